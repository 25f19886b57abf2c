/* SPDX-License-Identifier: Apache-2.0 */
/* What commands use: flags, output, the server, secrets from the terminal. Everything lives in the arena of cli->cx. */
#pragma once

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cli.h"
#include "net/client.h"

enum mln_cli_format { MLN_FORMAT_TABLE, MLN_FORMAT_JSON, MLN_FORMAT_YAML, MLN_FORMAT_RAW };

#define MLN_CLI_ARGS_MAX 4096u

struct mln_cli_set {
    const struct mln_flag *flag;
    const char *text;
};

struct mln_cli {
    struct mln_cx *cx;
    const struct mln_cli_hooks *hooks;
    const struct mln_command *command;
    const char *const *args;
    size_t n_args;
    struct mln_cli_set *sets; /* flags given, in order */
    size_t n_sets;
    enum mln_cli_format format;
    const char *field; /* --field */
    bool is_tty_out, is_tty_err, has_colour, is_quiet, has_progress, is_verbose, wants_curl;
    const char *program; /* "merlon" */
    struct mln_client *client;
    bool asks_bare; /* what a command asks for itself is never wrapped */
    const char *request_id; /* of the last answer */
    int exit_code;    /* set by a command whose verdict is no error (5, 8, 9, ...); 0 otherwise */
    const char *hint; /* one line after an error */
};

/* ---- flags ---- */
const char *mln_cli_text(const struct mln_cli *cli,
                         const char *flag); /* last one given, else the fallback, else NULL */
bool mln_cli_bool(const struct mln_cli *cli, const char *flag);
struct mln_err mln_cli_int(const struct mln_cli *cli, const char *flag, int64_t otherwise,
                           int64_t *ret);
const struct mln_value *mln_cli_list(const struct mln_cli *cli,
                                     const char *flag); /* array; commas split */
/* An environment variable: MERLON_<name>, else VAULT_<name>, else BAO_<name>; NULL when unset or empty. */
const char *mln_cli_env(const struct mln_cli *cli, const char *name);
const char *mln_cli_environ(const char *name); /* by its whole name; NULL when unset */
struct mln_err mln_cli_parse(struct mln_cli *cli, int argc, char **argv);
extern const struct mln_flag mln_cli_output_flags[];
extern const struct mln_flag mln_cli_connection_flags[];
struct mln_err mln_cli_usage(struct mln_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct mln_cli_reply;
/* ---- output ---- */
enum mln_ink {
    MLN_INK_NONE,
    MLN_INK_RED,
    MLN_INK_YELLOW,
    MLN_INK_GREEN,
    MLN_INK_BOLD,
    MLN_INK_DIM
};
const char *mln_cli_ink(const struct mln_cli *cli,
                        enum mln_ink ink); /* "" without colour; MLN_INK_NONE resets */
struct mln_table {
    const char *const *heads;
    size_t n_columns;
    struct {
        const char *text;
        enum mln_ink ink;
    } * cells;
    size_t n_cells, cap;
};
void mln_table_add(struct mln_cli *cli, struct mln_table *table, const char *text,
                   enum mln_ink ink); /* NULL prints "-" */
void mln_table_print(
    struct mln_cli *cli,
    const struct mln_table *table); /* aligned on a terminal; tabs and no header when piped */
/* The command's answer: prints JSON, YAML or --field of value; for the table format calls `table` (NULL: keys and values). */
struct mln_err mln_cli_answer(struct mln_cli *cli, const struct mln_value *value,
                              void (*table)(struct mln_cli *cli, const struct mln_value *value));
/*
 * The whole answer of a path as vault's command prints it: data with its lease, a login, a wrapping token (--field finds their
 * members); `otherwise` on stderr when it has no body.
 */
struct mln_err mln_cli_reply_print(struct mln_cli *cli, const struct mln_cli_reply *reply, const char *otherwise);
void mln_cli_raw(struct mln_bytes bytes); /* stdout */
void mln_cli_out(const char *format, ...) __attribute__((format(printf, 1, 2))); /* stdout */
void mln_cli_say(const struct mln_cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* stderr, not with --quiet */
const char *mln_cli_scalar(struct mln_cli *cli, const struct mln_value *v); /* as a table cell */
const char *mln_cli_ago(struct mln_cli *cli,
                        int64_t ns); /* "3m ago" on a terminal, RFC 3339 piped */

struct mln_progress {
    struct mln_cli *cli;
    const char *what;
    int64_t start_ns, last_ns;
    bool is_shown;
};
void mln_progress_begin(struct mln_progress *p, struct mln_cli *cli, const char *what);
void mln_progress_step(struct mln_progress *p, uint64_t done, uint64_t all, const char *unit);
void mln_progress_end(struct mln_progress *p);

/* ---- server ---- */
struct mln_cli_reply {
    int status;
    const struct mln_value *body; /* whole JSON body, or NULL */
    const struct mln_value *data; /* body.data */
    struct mln_bytes raw;
    int64_t ledger_index; /* -1 = none */
};
/* One call: path without "/v1/". Errors carry the server's text: DENIED, NOT_FOUND, SEALED, UNREACHABLE, ... */
struct mln_err mln_cli_call(struct mln_cli *cli, const char *method, const char *path,
                            const struct mln_value *body, struct mln_cli_reply *ret);
struct mln_err mln_cli_get_raw(struct mln_cli *cli, const char *target, struct mln_bytes *ret);
struct mln_err mln_cli_send_raw(struct mln_cli *cli, const char *method, const char *path, struct mln_bytes body,
                                struct mln_cli_reply *ret); /* as application/octet-stream */
/*
 * A server besides the session's own, for commands that talk to two. The call works in the arena of
 * `cx` and looks at no flag, environment or token file; errors as mln_cli_call.
 */
struct mln_cli_peer {
    struct mln_client *client;
    const char *token;
    const char *ns; /* NULL = none */
};
struct mln_err mln_cli_peer_call(struct mln_cx *cx, const struct mln_cli_peer *peer,
                                 const char *method, const char *path,
                                 const struct mln_value *body, struct mln_cli_reply *ret);
const char *mln_cli_address(const struct mln_cli *cli);
struct mln_err
mln_cli_token(struct mln_cli *cli,
              const char **ret); /* env, then the token file; DENIED with a hint when none */
struct mln_err mln_cli_token_save(struct mln_cli *cli, const char *token);
const char *mln_cli_escape(struct mln_cli *cli,
                           const char *segment_path); /* percent-encoded, "/" kept */

/* ---- secrets and files ---- */
/* "-" stdin, "@file", else a prompt on the terminal (no echo) when text is NULL; plain text in argv is refused with a hint. */
struct mln_err mln_cli_secret(struct mln_cli *cli, const char *text, const char *prompt, bool twice,
                              struct mln_bytes *ret);
/* As mln_cli_secret, but plain text is taken with a warning: for what scripts of others pass so. */
struct mln_err mln_cli_given(struct mln_cli *cli, const char *text, struct mln_bytes *ret);
struct mln_err mln_cli_read_file(struct mln_cli *cli, const char *path, size_t max,
                                 struct mln_bytes *ret); /* "-" = stdin */
struct mln_err
mln_cli_confirm(struct mln_cli *cli,
                const char *question); /* --yes, or asks on a terminal; USAGE otherwise */
/* KEY=VALUE arguments (value "-" stdin, "@file") to an object. */
struct mln_err mln_cli_pairs(struct mln_cli *cli, size_t from, struct mln_value **ret);

/* ---- help ---- */
void mln_cli_help(struct mln_cli *cli, const struct mln_command *command);
void mln_cli_help_noun(struct mln_cli *cli, const char *noun);
void mln_cli_help_all(struct mln_cli *cli);
bool mln_cli_help_topic(struct mln_cli *cli,
                        const char *topic); /* environment, exit-codes, formats */
extern const char *const mln_cli_noun_summaries[][2];
