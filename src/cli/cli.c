/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch: noun and verb to a descriptor, flags, the command, its exit code. */
#include "cli/cli_priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLI_ARENA_BYTES ((size_t)1 << 30) /* answers of up to 256 MB as values */

#define MLN_COMMAND(name) extern const struct mln_command mln_command_##name;
#include "cli/command.def"
#undef MLN_COMMAND

const struct mln_command *const mln_commands[] = {
#define MLN_COMMAND(name) &mln_command_##name,
#include "cli/command.def"
#undef MLN_COMMAND
    NULL,
};

struct mln_err mln_cli_usage(struct mln_cli *cli, const char *format, ...)
{
    char text[MLN_CX_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (cli->command != NULL) {
        cli->hint = mln_text_format(cli->cx, "try 'merlon %s%s%s --help'", cli->command->noun,
                                    cli->command->verb != NULL ? " " : "",
                                    cli->command->verb != NULL ? cli->command->verb : "");
    }
    return mln_fail(cli->cx, MLN_E_USAGE, "%s", text);
}

static bool is_noun(const char *word)
{
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        if (mln_bytes_is(mln_bytes_of(word), mln_commands[i]->noun)) {
            return true;
        }
    }
    return false;
}

/* The command that argv names; *used = how many words name it. NULL with *used = 1: a noun alone that has verbs. */
static const struct mln_command *find_command(int argc, char **argv, int *used)
{
    const struct mln_command *bare = NULL;
    for (size_t i = 0; mln_commands[i] != NULL; i++) {
        const struct mln_command *c = mln_commands[i];
        if (!mln_bytes_is(mln_bytes_of(argv[1]), c->noun)) {
            continue;
        }
        if (c->verb == NULL) {
            bare = c;
        } else if (argc > 2 && mln_bytes_is(mln_bytes_of(argv[2]), c->verb)) {
            *used = 2;
            return c;
        }
    }
    *used = 1;
    return bare;
}

/* A command with formats of its own reads them itself. */
static bool has_own_format(const struct mln_command *command)
{
    for (const struct mln_flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++) {
        if (mln_bytes_is(mln_bytes_of(flag->name), "format")) {
            return true;
        }
    }
    return false;
}

static struct mln_err setup_output(struct mln_cli *cli)
{
    bool is_own = has_own_format(cli->command);
    const char *format = is_own ? NULL : mln_cli_text(cli, "format");
    format = format != NULL || is_own ? format : mln_cli_env(cli, "FORMAT");
    static const char *const names[] = {"table", "json", "yaml", "raw"};
    for (size_t i = 0; format != NULL && i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(mln_bytes_of(format), names[i])) {
            cli->format = (enum mln_cli_format)i;
            format = NULL;
        }
    }
    if (format != NULL) {
        return mln_cli_usage(cli, "unknown format '%s': table, json, yaml or raw", format);
    }
    const char *term = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    const char *force = getenv("CLICOLOR_FORCE");
    bool plain = (no_colour != NULL && no_colour[0] != '\0') || mln_cli_bool(cli, "no-color") ||
                 (term != NULL && mln_bytes_is(mln_bytes_of(term), "dumb"));
    cli->has_colour = !plain && (cli->is_tty_out || (force != NULL && force[0] != '\0' && force[0] != '0'));
    cli->field = mln_cli_text(cli, "field");
    cli->is_quiet = mln_cli_bool(cli, "quiet");
    cli->is_verbose = mln_cli_bool(cli, "verbose");
    cli->has_progress = cli->is_tty_err && !cli->is_quiet && !mln_cli_bool(cli, "no-progress");
    return MLN_OK;
}

static void print_error_json(struct mln_cli *cli, struct mln_err err)
{
    struct mln_value *inner = mln_object(cli->cx);
    mln_put_text(cli->cx, inner, "code", mln_err_name(err.code));
    mln_put_text(cli->cx, inner, "class", mln_err_class(err.code));
    mln_put_text(cli->cx, inner, "message", cli->cx->text);
    mln_put_text(cli->cx, inner, "request_id", cli->request_id);
    struct mln_value *outer = mln_object(cli->cx);
    mln_put(cli->cx, outer, "error", inner);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_json_print(&buf, outer, MLN_JSON_COMPACT);
    fprintf(stderr, "%.*s\n", (int)buf.len, (const char *)buf.ptr);
}

static int finish(struct mln_cli *cli, struct mln_err err)
{
    if (fflush(stdout) != 0 && !mln_failed(err)) {
        err = mln_fail(cli->cx, MLN_E_IO, "cannot write to the standard output");
    }
    if (!mln_failed(err)) {
        return cli->exit_code;
    }
    if (mln_is(err, MLN_E_INTERRUPTED) && cli->command != NULL && !cli->command->is_local && mln_cli_bool(cli, "curl")) {
        return 0;
    }
    if (cli->format == MLN_FORMAT_JSON) {
        print_error_json(cli, err);
    } else {
        fprintf(stderr, "merlon: error: %s\n", cli->cx->text[0] != '\0' ? cli->cx->text : mln_err_text(err.code));
        if (cli->hint != NULL) {
            fprintf(stderr, "merlon: hint: %s\n", cli->hint);
        }
    }
    return cli->exit_code != 0 ? cli->exit_code : mln_err_exit(err.code);
}

static int unknown_command(struct mln_cli *cli, int argc, char **argv)
{
    if (is_noun(argv[1])) {
        bool wants_help = argc > 2 && (mln_bytes_is(mln_bytes_of(argv[2]), "--help") || mln_bytes_is(mln_bytes_of(argv[2]), "-h"));
        if (argc == 2 || wants_help) {
            mln_cli_help_noun(cli, argv[1]);
            return wants_help ? 0 : 2;
        }
        fprintf(stderr, "merlon: error: '%s' has no verb '%s'\nmerlon: hint: try 'merlon %s --help'\n", argv[1], argv[2], argv[1]);
        return 2;
    }
    fprintf(stderr, "merlon: error: unknown command '%s'\nmerlon: hint: try 'merlon --help'\n", argv[1]);
    return 2;
}

static bool is_word(const char *arg, const char *a, const char *b, const char *c)
{
    struct mln_bytes word = mln_bytes_of(arg);
    return mln_bytes_is(word, a) || mln_bytes_is(word, b) || mln_bytes_is(word, c);
}

/* What needs no command: help and version. -1 = go on. */
static int early(struct mln_cli *cli, int argc, char **argv)
{
    if (argc < 2 || is_word(argv[1], "--help", "-help", "-h")) {
        mln_cli_help_all(cli);
        return argc < 2 ? 2 : 0;
    }
    if (is_word(argv[1], "--version", "-version", "version")) {
        /* The API's level first: Vault's clients and scripts read it from here. */
        printf("Vault v1.16.0 (Merlon v%s)\n", MLN_VERSION);
        return 0;
    }
    if (!mln_bytes_is(mln_bytes_of(argv[1]), "help")) {
        return -1;
    }
    if (argc == 2) {
        mln_cli_help_all(cli);
        return 0;
    }
    if (mln_cli_help_topic(cli, argv[2])) {
        return 0;
    }
    int used = 0;
    const struct mln_command *c = find_command(argc - 1, argv + 1, &used);
    if (c == NULL) {
        return unknown_command(cli, argc - 1, argv + 1) == 0 || is_noun(argv[2]) ? 0 : 2;
    }
    mln_cli_help(cli, c);
    return 0;
}

static int run(struct mln_cli *cli, int argc, char **argv)
{
    int done = early(cli, argc, argv);
    if (done >= 0) {
        return done;
    }
    int used = 0;
    cli->command = find_command(argc, argv, &used);
    if (cli->command == NULL) {
        return unknown_command(cli, argc, argv);
    }
    struct mln_err err = mln_cli_parse(cli, argc - 1 - used, argv + 1 + used);
    if (!mln_failed(err) && mln_cli_bool(cli, "help")) {
        mln_cli_help(cli, cli->command);
        return 0;
    }
    if (!mln_failed(err)) {
        err = setup_output(cli);
    }
    if (!mln_failed(err)) {
        err = cli->command->run(cli);
    }
    return finish(cli, err);
}

int mln_cli_main(int argc, char **argv, const struct mln_cli_hooks *hooks)
{
    signal(SIGPIPE, SIG_IGN);
    struct mln_arena *arena = mln_arena_new(CLI_ARENA_BYTES, false);
    if (arena == NULL) {
        fprintf(stderr, "merlon: error: out of memory\n");
        return 1;
    }
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_cli cli = {
        .cx = &cx,
        .hooks = hooks,
        .is_tty_out = isatty(STDOUT_FILENO) == 1,
        .is_tty_err = isatty(STDERR_FILENO) == 1,
        .program = "merlon",
    };
    int code = run(&cli, argc, argv);
    mln_client_free(cli.client);
    mln_arena_free(arena);
    return code;
}
