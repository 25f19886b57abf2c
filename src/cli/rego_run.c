/* SPDX-License-Identifier: Apache-2.0 */
/* merlon rego run --server: OPA's REST API alone. */
#include "cli/rego_priv.h"

#include "base/yaml.h"
#include "rego/bundle.h"

#define CONFIG_MAX  ((size_t)4 << 20)
#define SET_DEPTH   16u
#define KEY_MAX     ((size_t)64 << 10)
#define KEY_NAME    "default" /* of the key of the command line, as OPA has it */

/* ---- files ---- */

static struct mln_err load_files(struct mln_cli *cli, struct rego_files *files)
{
    for (size_t i = 0; i < cli->n_args; i++) {
        MLN_TRY(rego_files_load(cli, cli->args[i], files));
    }
    return MLN_OK;
}

/* What the files hold now as a bundle, for the server that watches them. Called in another process, with an arena of its own. */
static struct mln_err reload(void *arg, struct mln_cx *cx, struct mln_buf *ret_packed)
{
    struct mln_cli cli = *(struct mln_cli *)arg;
    MLN_AUTO(rego_files_drop) struct rego_files files = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf data = {0}, manifest = {0};
    struct mln_value *whole = mln_object(cx), *metadata = mln_object(cx), *names = mln_object(cx);
    cli.cx = cx;
    MLN_TRY(load_files(&cli, &files));
    struct mln_bundle_file *list = mln_new_array(cx, files.n + 2, sizeof(*list));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < files.n; i++) {
        list[i] = (struct mln_bundle_file){mln_text_format(cx, "%zu.rego", i), files.modules[i].text};
        mln_put_text(cx, names, list[i].path, files.modules[i].name);
    }
    mln_put(cx, metadata, "names", names);
    mln_put(cx, whole, "metadata", metadata);
    mln_json_print(&manifest, whole, MLN_JSON_COMPACT);
    if (!mln_rego_data_print(files.data, (struct mln_rego_path){0}, &data)) {
        mln_buf_add_text(&data, "{}");
    }
    list[files.n] = (struct mln_bundle_file){".manifest", mln_buf_bytes(&manifest)};
    list[files.n + 1] = (struct mln_bundle_file){"data.json", mln_buf_bytes(&data)};
    return mln_bundle_pack(cx, list, files.n + 2, ret_packed);
}

/* ---- bundles ---- */

static struct mln_err read_key(struct mln_cli *cli, struct mln_bundle_key *key, size_t *ret_n)
{
    const char *text = mln_cli_text(cli, "verification-key");
    const char *algorithm = mln_cli_text(cli, "signing-alg"), *id = mln_cli_text(cli, "verification-key-id");
    if (text == NULL) {
        return MLN_OK;
    }
    *key = (struct mln_bundle_key){.id = id == NULL ? KEY_NAME : id, .algorithm = algorithm, .scope = mln_cli_text(cli, "scope")};
    MLN_TRY(mln_cli_read_file(cli, text, KEY_MAX, &key->key));
    if (mln_bytes_starts(mln_bytes_of(algorithm), MLN_BYTES("HS"))) {
        key->key = mln_bytes_trim(key->key);
    }
    *ret_n = 1;
    return MLN_OK;
}

static const char *const *texts_of(struct mln_cli *cli, const char *flag)
{
    const char **list = mln_new_array(cli->cx, cli->n_sets + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; list != NULL && i < cli->n_sets; i++) {
        if (mln_bytes_is(mln_bytes_of(flag), cli->sets[i].flag->name)) {
            list[n++] = cli->sets[i].text;
        }
    }
    return list;
}

static struct mln_err load_bundles(struct mln_cli *cli, struct mln_rego_server_options *options)
{
    struct mln_bundle_key key = {0};
    struct mln_bundle_verify verify = {.keys = &key,
                                       .key_id = mln_cli_text(cli, "verification-key-id") == NULL ? KEY_NAME : NULL,
                                       .scope = mln_cli_text(cli, "scope"),
                                       .exclude = texts_of(cli, "exclude-files-verify"),
                                       .is_needed = true};
    struct mln_bundle_options how = {.skip_verify = mln_cli_bool(cli, "skip-verify"),
                                     .version = options->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
    struct mln_rego_named_bundle *list = mln_new_array(cli->cx, cli->n_args + 1, sizeof(*list));
    MLN_TRY(read_key(cli, &key, &verify.n_keys));
    MLN_TRY(mln_cx_err(cli->cx));
    how.verify = verify.n_keys > 0 ? &verify : NULL;
    options->bundles = list;
    for (size_t i = 0; i < cli->n_args; i++) {
        struct mln_bundle *bundle = NULL;
        struct mln_err err = mln_bundle_load(cli->cx, cli->args[i], &how, &bundle);
        if (mln_failed(err)) {
            const char *why = mln_text_dup(cli->cx, mln_bytes_of(cli->cx->text));
            return mln_refail(cli->cx, (enum mln_code)err.code, "%s: %s", cli->args[i], why);
        }
        list[options->n_bundles++] = (struct mln_rego_named_bundle){cli->args[i], bundle};
    }
    return MLN_OK;
}

static void drop_bundles(const struct mln_rego_server_options *options)
{
    for (size_t i = 0; i < options->n_bundles; i++) {
        mln_bundle_free(options->bundles[i].bundle);
    }
}

/* ---- configuration ---- */

/* ${NAME} is what the environment says; a name that is not there is nothing, as with OPA. */
static struct mln_err substitute(struct mln_cli *cli, struct mln_bytes text, struct mln_buf *out)
{
    while (text.len > 0) {
        size_t at = mln_bytes_find_bytes(text, MLN_BYTES("${"));
        mln_buf_add_bytes(out, mln_bytes_sub(text, 0, at));
        text = mln_bytes_from(text, at);
        size_t end = mln_bytes_find(text, '}');
        if (text.len == 0 || end == text.len) {
            mln_buf_add_bytes(out, text);
            break;
        }
        mln_buf_add_text(out, mln_cli_environ(mln_text_dup(cli->cx, mln_bytes_sub(text, 2, end - 2))));
        text = mln_bytes_from(text, end + 1);
    }
    return mln_buf_ok(cli->cx, out);
}

/* true, 7, [..] are what JSON says; all else is text. */
static const struct mln_value *scalar(struct mln_cli *cli, struct mln_bytes text)
{
    const struct mln_value *v = NULL;
    struct mln_cx own;
    mln_cx_init(&own, cli->cx->arena);
    bool is_json = text.len > 0 && text.ptr[0] != '"' && !mln_failed(mln_json_parse(&own, text, &v));
    return is_json ? v : mln_string(cli->cx, text);
}

/* `of` with the value at a.b.c set. */
static const struct mln_value *with(struct mln_cli *cli, const struct mln_value *of, struct mln_bytes path, const struct mln_value *v,
                                    unsigned depth)
{
    struct mln_bytes rest, name = mln_bytes_cut(path, '.', &rest);
    struct mln_value *out = mln_object(cli->cx);
    if (path.len == 0 || depth == SET_DEPTH) {
        return v;
    }
    for (size_t i = 0; mln_type_of(of) == MLN_OBJECT && i < mln_len(of); i++) {
        mln_put_key(cli->cx, out, mln_member_at(of, i)->key, &mln_member_at(of, i)->value);
    }
    mln_put_key(cli->cx, out, name, with(cli, mln_get_key(out, name), rest, v, depth + 1));
    return out;
}

static struct mln_err apply_sets(struct mln_cli *cli, const char *flag, bool is_file, const struct mln_value **config)
{
    const char *const *list = texts_of(cli, flag);
    MLN_TRY(mln_cx_err(cli->cx));
    for (size_t i = 0; list[i] != NULL; i++) {
        struct mln_bytes text, path = mln_bytes_cut(mln_bytes_of(list[i]), '=', &text);
        if (path.len == 0 || path.len == mln_bytes_of(list[i]).len) {
            return mln_cli_usage(cli, "--%s is NAME=VALUE, as --%s decision_logs.console=true", flag, flag);
        }
        const struct mln_value *v = is_file ? NULL : scalar(cli, text);
        if (is_file) {
            struct mln_bytes content;
            MLN_TRY(mln_cli_read_file(cli, mln_text_dup(cli->cx, text), KEY_MAX, &content));
            v = mln_string(cli->cx, content);
        }
        *config = with(cli, *config, path, v, 0);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err read_config(struct mln_cli *cli, const struct mln_value **ret)
{
    const char *path = mln_cli_text(cli, "config-file");
    MLN_AUTO(mln_buf_drop) struct mln_buf whole = {.is_secret = true};
    const struct mln_value *config = mln_object(cli->cx);
    if (path != NULL) {
        struct mln_bytes text;
        MLN_TRY(mln_cli_read_file(cli, path, CONFIG_MAX, &text));
        MLN_TRY(substitute(cli, text, &whole));
        if (mln_failed(mln_yaml_parse(cli->cx, mln_bytes_dup(cli->cx, mln_buf_bytes(&whole)), &config))) {
            const char *why = mln_text_dup(cli->cx, mln_bytes_of(cli->cx->text));
            return mln_refail(cli->cx, MLN_E_PARSE, "%s: %s", path, why);
        }
    }
    MLN_TRY(apply_sets(cli, "set", false, &config));
    MLN_TRY(apply_sets(cli, "set-file", true, &config));
    *ret = config;
    return MLN_OK;
}

/* ---- options ---- */

static struct mln_err read_authentication(struct mln_cli *cli, struct mln_rego_server_options *options)
{
    struct mln_bytes who = mln_bytes_of(mln_cli_text(cli, "authentication")), may = mln_bytes_of(mln_cli_text(cli, "authorization"));
    static const char *const kinds[] = {"off", "token", "tls"};
    size_t k = 0;
    while (k < MLN_COUNT(kinds) && !mln_bytes_is(who, kinds[k])) {
        k++;
    }
    if (k == MLN_COUNT(kinds)) {
        return mln_cli_usage(cli, "--authentication is token, tls or off");
    }
    if (!mln_bytes_is(may, "basic") && !mln_bytes_is(may, "off")) {
        return mln_cli_usage(cli, "--authorization is basic or off");
    }
    options->authentication = (enum mln_rego_authentication)k;
    options->is_authorized = mln_bytes_is(may, "basic");
    if (options->authentication != MLN_REGO_AUTHENTICATION_OFF && !options->is_authorized) {
        cli->hint = "with --authorization=basic data.system.authz.allow decides";
        return mln_cli_usage(cli, "--authentication says who asks; nobody looks at it without --authorization=basic");
    }
    return MLN_OK;
}

static struct mln_err read_times(struct mln_cli *cli, struct mln_rego_server_options *options)
{
    const char *limit = mln_cli_text(cli, "query-timeout");
    MLN_TRY(mln_cli_int(cli, "threads", 0, &options->threads));
    MLN_TRY(mln_cli_int(cli, "shutdown-grace-period", 10, &options->grace_s));
    MLN_TRY(mln_cli_int(cli, "ready-timeout", 0, &options->ready_timeout_s));
    if (!mln_duration_parse(mln_bytes_of(limit), &options->time_s) || options->time_s < 0 || options->time_s > 86400) {
        return mln_cli_usage(cli, "--query-timeout is a duration up to a day: 30s; 0 for no limit");
    }
    if (options->grace_s < 0 || options->grace_s > 3600 || options->ready_timeout_s < 0 || options->ready_timeout_s > 86400) {
        return mln_cli_usage(cli, "--shutdown-grace-period is up to an hour, --ready-timeout up to a day, in seconds");
    }
    return MLN_OK;
}

static struct mln_err read_options(struct mln_cli *cli, struct mln_rego_server_options *options)
{
    static const char *const usual[] = {"127.0.0.1:8181", NULL};
    const char *const *addresses = texts_of(cli, "addr");
    *options = (struct mln_rego_server_options){
        .addresses = addresses != NULL && addresses[0] != NULL ? addresses : usual,
        .diagnostics = texts_of(cli, "diagnostic-addr"),
        .is_v0 = mln_cli_bool(cli, "v0-compatible"),
        .tls_cert_file = mln_cli_text(cli, "tls-cert-file"),
        .tls_key_file = mln_cli_text(cli, "tls-private-key-file"),
        .tls_ca_file = mln_cli_text(cli, "tls-ca-cert-file"),
        .log_level = mln_cli_text(cli, "log-level"),
        .log_format = mln_cli_text(cli, "log-format"),
    };
    MLN_TRY(mln_cx_err(cli->cx));
    MLN_TRY(read_authentication(cli, options));
    MLN_TRY(read_times(cli, options));
    return read_config(cli, &options->config);
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(rego_files_drop) struct rego_files files = {0};
    struct mln_rego_server_options options;
    const char **paths = mln_new_array(cli->cx, cli->n_args + 1, sizeof(*paths));
    if (!mln_cli_bool(cli, "server")) {
        cli->hint = "'merlon rego eval QUERY' evaluates one query";
        return mln_cli_usage(cli, "only --server is supported: there is no prompt");
    }
    if (cli->hooks == NULL || cli->hooks->rego_run == NULL) {
        return mln_fail(cli->cx, MLN_E_UNSUPPORTED, "this build has no server");
    }
    MLN_TRY(mln_cx_err(cli->cx));
    MLN_TRY(read_options(cli, &options));
    for (size_t i = 0; i < cli->n_args; i++) { /* processes that are named anew lose what stood in the arguments */
        paths[i] = mln_text_dup(cli->cx, mln_bytes_of(cli->args[i]));
    }
    cli->args = paths;
    MLN_TRY(mln_cx_err(cli->cx));
    bool watches = mln_cli_bool(cli, "watch"), is_bundle = mln_cli_bool(cli, "bundle");
    if (is_bundle) {
        struct mln_err err = load_bundles(cli, &options);
        if (mln_failed(err)) {
            drop_bundles(&options);
            return err;
        }
        options.watched_bundles = watches ? paths : NULL;
    } else {
        MLN_TRY(load_files(cli, &files));
        options.watched = watches ? paths : NULL;
        options.reload = reload;
        options.reload_arg = cli;
    }
    options.modules = files.modules;
    options.n_modules = files.n;
    options.data = mln_take(&files.data);
    return cli->hooks->rego_run(cli->cx, &options, &cli->exit_code);
}

static const struct mln_flag flags[] = {
    {"server", MLN_FLAG_BOOL, NULL, NULL, "Serve the REST API (always needed)"},
    {"addr", MLN_FLAG_TEXT, "ADDRESS", "127.0.0.1:8181", "Where to listen, several times: HOST:PORT (0: any free one), unix:///PATH"},
    {"diagnostic-addr", MLN_FLAG_TEXT, "ADDRESS", NULL, "Listen here for /health and /metrics only, without authorization"},
    {"bundle", MLN_FLAG_BOOL, NULL, NULL, "Paths are bundles: a tar.gz, or a folder"},
    {"config-file", MLN_FLAG_TEXT, "FILE", NULL, "OPA's configuration: services, bundles, discovery, decision_logs, status"},
    {"set", MLN_FLAG_TEXT, "NAME=VALUE", NULL, "Set a member of the configuration, as decision_logs.console=true; several times"},
    {"set-file", MLN_FLAG_TEXT, "NAME=FILE", NULL, "Set a member of the configuration to the content of a file"},
    {"watch", MLN_FLAG_BOOL, NULL, NULL, "Read the paths again when they change; what is bad then changes nothing"},
    {"authentication", MLN_FLAG_TEXT, "token|tls|off", "off", "Who asks: the bearer token or the client's certificate, as input.identity"},
    {"authorization", MLN_FLAG_TEXT, "basic|off", "off", "basic: data.system.authz.allow decides about each request"},
    {"tls-cert-file", MLN_FLAG_TEXT, "FILE", NULL, "Serve TLS with this certificate chain in PEM"},
    {"tls-private-key-file", MLN_FLAG_TEXT, "FILE", NULL, "Its private key in PEM"},
    {"tls-ca-cert-file", MLN_FLAG_TEXT, "FILE", NULL, "Clients must show a certificate of these authorities"},
    {"verification-key", MLN_FLAG_TEXT, "FILE", NULL, "Bundles of the paths must be signed by this key: PEM, or a secret for HS256"},
    {"verification-key-id", MLN_FLAG_TEXT, "NAME", NULL, "Name of that key in signatures (none: whatever they say)"},
    {"signing-alg", MLN_FLAG_TEXT, "NAME", "RS256", "Algorithm of that key"},
    {"scope", MLN_FLAG_TEXT, "TEXT", NULL, "Scope that signatures must have"},
    {"exclude-files-verify", MLN_FLAG_TEXT, "PATTERN", NULL, "Files in bundles that need no signature; several times"},
    {"skip-verify", MLN_FLAG_BOOL, NULL, NULL, "Do not look at signatures of bundles"},
    {"ready-timeout", MLN_FLAG_INT, "SECONDS", "0", "Listen for requests when the bundles are active, or end after this time; 0: at once"},
    {"shutdown-grace-period", MLN_FLAG_INT, "SECONDS", "10", "At the end requests in flight may take this long"},
    {"v0-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v0"},
    {"v1-compatible", MLN_FLAG_BOOL, NULL, NULL, "Read policies as of OPA's v1 (the default)"},
    {"threads", MLN_FLAG_INT, "N", "0", "Threads that answer; 0: one a CPU"},
    {"query-timeout", MLN_FLAG_TEXT, "TIME", "30s", "One evaluation may take this long; 0: no limit"},
    {"log-level", MLN_FLAG_TEXT, "LEVEL", "info", "error, warn, info or debug"},
    {"log-format", MLN_FLAG_TEXT, "FORM", "text", "text or json"},
    {"h2c", MLN_FLAG_BOOL, NULL, NULL, "HTTP/2 in clear (it is always on)"},
    {"disable-telemetry", MLN_FLAG_BOOL, NULL, NULL, "Report nothing to anybody (nothing ever is)"},
    {"skip-version-check", MLN_FLAG_BOOL, NULL, NULL, "The same"},
    {0},
};
static const char *const letters[] = {"s", "server", "a", "addr", "b", "bundle", "c", "config-file", "w", "watch", "l", "log-level", NULL};
static const char *const examples[] = {
    "merlon rego run --server policy.rego data.json",
    "merlon rego run --server --addr 127.0.0.1:8181 --v0-compatible",
    "merlon rego run --server -b bundle.tar.gz --verification-key key.pem",
    "merlon rego run --server -c config.yaml --set decision_logs.console=true",
    NULL,
};
const struct mln_command mln_command_rego_run = {
    .noun = "rego",
    .verb = "run",
    .summary = "Serve policies by OPA's REST API",
    .args = "[PATH...]",
    .examples = examples,
    .flags = flags,
    .max_args = MLN_CLI_ARGS_MAX,
    .is_local = true,
    .letters = letters,
    .more = "Without --authorization who reaches the address may read and change everything: keep it on the loopback, or behind "
            "something that checks. Policies and documents live in memory; bundles may be kept on disk (persist).",
    .run = run,
};
