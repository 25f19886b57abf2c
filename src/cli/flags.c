/* SPDX-License-Identifier: Apache-2.0 */
/* Flags: one table a command besides the common ones; "--name=value", "--name value", and one dash for habits from vault. */
#include "cli/cli_priv.h"

#include <stdlib.h>

const struct mln_flag mln_cli_output_flags[] = {
    {"format", MLN_FLAG_TEXT, "table|json|yaml|raw", NULL, "How the answer is printed (default table; env MERLON_FORMAT)"},
    {"field", MLN_FLAG_TEXT, "NAME", NULL, "Print one bare value of the answer"},
    {"no-color", MLN_FLAG_BOOL, NULL, NULL, "No colour (also NO_COLOR=1)"},
    {"no-progress", MLN_FLAG_BOOL, NULL, NULL, "No progress line"},
    {"quiet", MLN_FLAG_BOOL, NULL, NULL, "Nothing on stderr but errors"},
    {"verbose", MLN_FLAG_BOOL, NULL, NULL, "Say which settings were used"},
    {"help", MLN_FLAG_BOOL, NULL, NULL, "Show this page"},
    {0},
};

const struct mln_flag mln_cli_connection_flags[] = {
    {"address", MLN_FLAG_TEXT, "URL", NULL, "Server (env MERLON_ADDR; default http://127.0.0.1:8200)"},
    {"ca-cert", MLN_FLAG_TEXT, "FILE", NULL, "PEM roots to trust (env MERLON_CACERT)"},
    {"client-cert", MLN_FLAG_TEXT, "FILE", NULL, "Client certificate (env MERLON_CLIENT_CERT)"},
    {"client-key", MLN_FLAG_TEXT, "FILE", NULL, "Its private key (env MERLON_CLIENT_KEY)"},
    {"tls-server-name", MLN_FLAG_TEXT, "NAME", NULL, "Name to verify (env MERLON_TLS_SERVER_NAME)"},
    {"tls-skip-verify", MLN_FLAG_BOOL, NULL, NULL, "Do not verify the server (env MERLON_SKIP_VERIFY)"},
    {"namespace", MLN_FLAG_TEXT, "PATH", NULL, "Namespace (env MERLON_NAMESPACE)"},
    {"wrap-ttl", MLN_FLAG_TEXT, "TIME", NULL, "Wrap the answer for this long (env MERLON_WRAP_TTL)"},
    {"mfa", MLN_FLAG_TEXT, "METHOD:CODE", NULL, "Second factor (env MERLON_MFA)"},
    {"curl", MLN_FLAG_BOOL, NULL, NULL, "Print the request as a curl command instead"},
    {0},
};

static const struct mln_flag *find_in(const struct mln_flag *flags, struct mln_bytes name)
{
    for (; flags != NULL && flags->name != NULL; flags++) {
        if (mln_bytes_is(name, flags->name)) {
            return flags;
        }
    }
    return NULL;
}

static const struct mln_flag *find_flag(const struct mln_cli *cli, struct mln_bytes name)
{
    const struct mln_flag *flag = find_in(cli->command->flags, name);
    if (flag == NULL) {
        flag = find_in(mln_cli_output_flags, name);
    }
    if (flag == NULL && !cli->command->is_local) {
        flag = find_in(mln_cli_connection_flags, name);
    }
    return flag;
}

static void add_set(struct mln_cli *cli, const struct mln_flag *flag, const char *text)
{
    cli->sets[cli->n_sets].flag = flag;
    cli->sets[cli->n_sets].text = text;
    cli->n_sets++;
}

/* The letters of the command come before those that all commands have. */
static struct mln_bytes long_name(const struct mln_cli *cli, struct mln_bytes name)
{
    static const char *const common[] = {"h", "help",  "v",  "verbose",   "o",                  "output",
                                         "f", "force", "ns", "namespace", "output-curl-string", "curl", NULL};
    const char *const *lists[] = {cli->command->letters, common};
    for (size_t k = 0; k < MLN_COUNT(lists); k++) {
        for (size_t i = 0; lists[k] != NULL && lists[k][i] != NULL; i += 2) {
            if (mln_bytes_is(name, lists[k][i])) {
                return mln_bytes_of(lists[k][i + 1]);
            }
        }
    }
    return name;
}

/* One flag; *i moves on when its value is the next argument. */
static struct mln_err take_flag(struct mln_cli *cli, int argc, char **argv, int *i)
{
    struct mln_bytes word = mln_bytes_of(argv[*i]);
    word = mln_bytes_from(word, word.len > 1 && word.ptr[1] == '-' ? 2 : 1);
    struct mln_bytes value = {0};
    bool has_value = mln_bytes_find(word, '=') < word.len;
    struct mln_bytes name = long_name(cli, mln_bytes_cut(word, '=', &value));
    const struct mln_flag *flag = find_flag(cli, name);
    if (flag == NULL) {
        return mln_cli_usage(cli, "unknown flag --%.*s", MLN_FMT(name));
    }
    if (flag->kind == MLN_FLAG_BOOL) {
        if (has_value && !mln_bytes_is(value, "true") && !mln_bytes_is(value, "false")) {
            return mln_cli_usage(cli, "--%s takes no value", flag->name);
        }
        add_set(cli, flag, has_value ? mln_text_dup(cli->cx, value) : "true");
        return MLN_OK;
    }
    if (!has_value) {
        if (*i + 1 >= argc) {
            return mln_cli_usage(cli, "--%s needs a value: %s", flag->name, flag->placeholder);
        }
        *i += 1;
        value = mln_bytes_of(argv[*i]);
    }
    add_set(cli, flag, mln_text_dup(cli->cx, value));
    return MLN_OK;
}

static struct mln_err check_count(struct mln_cli *cli)
{
    const struct mln_command *c = cli->command;
    if (mln_cli_bool(cli, "help")) {
        return MLN_OK;
    }
    if (cli->n_args < c->min_args) {
        return mln_cli_usage(cli, "too few arguments: %s", c->args);
    }
    if (cli->n_args > c->max_args) {
        return mln_cli_usage(cli, "unexpected argument '%s'", cli->args[c->max_args]);
    }
    return MLN_OK;
}

struct mln_err mln_cli_parse(struct mln_cli *cli, int argc, char **argv)
{
    if (argc > (int)MLN_CLI_ARGS_MAX) {
        return mln_cli_usage(cli, "more than %u arguments", MLN_CLI_ARGS_MAX);
    }
    const char **args = mln_new_array(cli->cx, (size_t)argc + 1, sizeof *args);
    cli->sets = mln_new_array(cli->cx, (size_t)argc + 1, sizeof *cli->sets);
    if (args == NULL || cli->sets == NULL) {
        return mln_cx_err(cli->cx);
    }
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!only_args && mln_bytes_is(mln_bytes_of(word), "--")) {
            only_args = true;
        } else if (!only_args && word[0] == '-' && word[1] != '\0') {
            MLN_TRY(take_flag(cli, argc, argv, &i));
        } else {
            args[cli->n_args] = word;
            cli->n_args++;
        }
    }
    cli->args = args;
    return check_count(cli);
}

const char *mln_cli_text(const struct mln_cli *cli, const char *flag)
{
    struct mln_bytes name = mln_bytes_of(flag);
    const char *found = NULL;
    for (size_t i = 0; i < cli->n_sets; i++) {
        if (mln_bytes_is(name, cli->sets[i].flag->name)) {
            found = cli->sets[i].text;
        }
    }
    if (found == NULL) {
        const struct mln_flag *f = find_flag(cli, name);
        found = f != NULL ? f->fallback : NULL;
    }
    return found;
}

bool mln_cli_bool(const struct mln_cli *cli, const char *flag)
{
    const char *text = mln_cli_text(cli, flag);
    return text != NULL && mln_bytes_is(mln_bytes_of(text), "true");
}

struct mln_err mln_cli_int(const struct mln_cli *cli, const char *flag, int64_t otherwise, int64_t *ret)
{
    const char *text = mln_cli_text(cli, flag);
    if (text == NULL) {
        *ret = otherwise;
        return MLN_OK;
    }
    if (!mln_i64_parse(mln_bytes_of(text), ret)) {
        return mln_fail(cli->cx, MLN_E_USAGE, "--%s wants a whole number, not '%s'", flag, text);
    }
    return MLN_OK;
}

const struct mln_value *mln_cli_list(const struct mln_cli *cli, const char *flag)
{
    struct mln_value *list = mln_array(cli->cx);
    struct mln_bytes name = mln_bytes_of(flag);
    for (size_t i = 0; i < cli->n_sets; i++) {
        if (!mln_bytes_is(name, cli->sets[i].flag->name)) {
            continue;
        }
        struct mln_bytes rest = mln_bytes_of(cli->sets[i].text);
        while (rest.len > 0) {
            struct mln_bytes part = mln_bytes_trim(mln_bytes_cut(rest, ',', &rest));
            if (part.len > 0) {
                mln_push(cli->cx, list, mln_string(cli->cx, part));
            }
        }
    }
    return list;
}

const char *mln_cli_environ(const char *name)
{
    return getenv(name);
}

const char *mln_cli_env(const struct mln_cli *cli, const char *name)
{
    static const char *const prefixes[] = {"MERLON_", "VAULT_", "BAO_"};
    for (size_t i = 0; i < MLN_COUNT(prefixes); i++) {
        const char *full = mln_text_format(cli->cx, "%s%s", prefixes[i], name);
        const char *value = getenv(full);
        if (value != NULL && value[0] != '\0') {
            if (cli->is_verbose) {
                mln_cli_say(cli, "merlon: using %s from the environment\n", full);
            }
            return value;
        }
    }
    return NULL;
}
