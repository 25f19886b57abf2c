/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon migrate: moves what the API gives out between Vault, OpenBao and Merlon, either way. It
 * only reads at the source. Exit 0 all moved, 1 something failed, 8 something could not be moved or
 * stands otherwise at the target. docs/migrate.md.
 */
#include "cli/migrate_priv.h"

#include <unistd.h>

#define WORK_BYTES  ((size_t)512 << 20) /* one object: an answer of 80 MB as values, at both sides */
#define TOKEN_BYTES 65536u

/* clang-format off */
#define SIDE_FLAGS(side, Who)                                                                      \
    {side, MLN_FLAG_TEXT, "URL", NULL, Who},                                                       \
    {side "-token", MLN_FLAG_TEXT, "@FILE", NULL, "File with its token"},                          \
    {side "-namespace", MLN_FLAG_TEXT, "PATH", NULL, "Its namespace"},                             \
    {side "-ca-cert", MLN_FLAG_TEXT, "FILE", NULL, "PEM roots to trust"},                          \
    {side "-client-cert", MLN_FLAG_TEXT, "FILE", NULL, "Client certificate"},                      \
    {side "-client-key", MLN_FLAG_TEXT, "FILE", NULL, "Its private key"},                          \
    {side "-tls-server-name", MLN_FLAG_TEXT, "NAME", NULL, "Name to verify"},                      \
    {side "-tls-skip-verify", MLN_FLAG_BOOL, NULL, NULL, "Do not verify the server"}

static const struct mln_flag flags[] = {
    SIDE_FLAGS("from", "Source: only read (token: env MERLON_FROM_TOKEN)"),
    SIDE_FLAGS("to", "Target (token: env MERLON_TO_TOKEN)"),
    {"state", MLN_FLAG_TEXT, "FILE", NULL, "Names of what is done, to go on from after a break"},
    {"only", MLN_FLAG_LIST, "GLOB", NULL, "Only these paths and what is below them"},
    {"exclude", MLN_FLAG_LIST, "GLOB", NULL, "Not these paths nor what is below them"},
    {"overwrite", MLN_FLAG_BOOL, NULL, NULL, "Replace what stands otherwise at the target"},
    {"dry-run", MLN_FLAG_BOOL, NULL, NULL, "Print what would be done; change nothing"},
    {0},
};
/* clang-format on */

static const char *side_text(struct mln_cli *cli, const char *side, const char *what)
{
    return mln_cli_text(cli, mln_text_format(cli->cx, "%s-%s", side, what));
}

static struct mln_err take_token(struct mln_cli *cli, const char *side, const char **ret)
{
    const char *given = side_text(cli, side, "token");
    bool is_from = mln_bytes_is(mln_bytes_of(side), "from");
    if (given == NULL) {
        *ret = mln_cli_env(cli, is_from ? "FROM_TOKEN" : "TO_TOKEN");
        return *ret != NULL ? MLN_OK
                            : mln_cli_usage(cli, "no token of the %s: set MERLON_%s_TOKEN or --%s-token @FILE",
                                            is_from ? "source" : "target", is_from ? "FROM" : "TO", side);
    }
    if (given[0] != '@') {
        return mln_cli_usage(cli, "--%s-token wants @FILE: others can read the arguments of a program", side);
    }
    struct mln_bytes text;
    MLN_TRY(mln_cli_read_file(cli, given + 1, TOKEN_BYTES, &text));
    *ret = mln_text_dup(cli->cx, mln_bytes_trim(text));
    return mln_cx_err(cli->cx);
}

static struct mln_err open_side(struct mln_cli *cli, const char *name, struct mig_side *side)
{
    side->name = name;
    side->url = mln_cli_text(cli, name);
    if (side->url == NULL) {
        return mln_cli_usage(cli, "--%s is missing", name);
    }
    MLN_TRY(take_token(cli, name, &side->peer.token));
    side->peer.ns = side_text(cli, name, "namespace");
    struct mln_client_config config = {
        .url = side->url,
        .ca_file = side_text(cli, name, "ca-cert"),
        .cert_file = side_text(cli, name, "client-cert"),
        .key_file = side_text(cli, name, "client-key"),
        .server_name = side_text(cli, name, "tls-server-name"),
        .skip_verify = mln_cli_bool(cli, mln_text_format(cli->cx, "%s-tls-skip-verify", name)),
    };
    if (config.skip_verify) {
        mln_cli_say(cli, "merlon: warning: the certificate of --%s is not verified\n", name);
    }
    return mln_client_new(cli->cx, &config, &side->peer.client);
}

static struct mln_err prepare(struct migrate *m)
{
    struct mln_cli *cli = m->cli;
    m->only = mln_cli_list(cli, "only");
    m->exclude = mln_cli_list(cli, "exclude");
    m->is_dry = mln_cli_bool(cli, "dry-run");
    m->overwrites = mln_cli_bool(cli, "overwrite");
    m->rows = mln_array(cli->cx);
    if (mln_len(m->only) + mln_len(m->exclude) > MIG_PATTERNS_MAX) {
        return mln_cli_usage(cli, "more than %u patterns", MIG_PATTERNS_MAX);
    }
    MLN_TRY(open_side(cli, "from", &m->from));
    MLN_TRY(open_side(cli, "to", &m->to));
    if (mln_bytes_is(mln_bytes_of(m->from.url), m->to.url) && m->from.peer.ns == m->to.peer.ns) {
        return mln_cli_usage(cli, "--from and --to are the same server");
    }
    const char *from = mln_text_format(cli->cx, "%s %s", m->from.url, m->from.peer.ns != NULL ? m->from.peer.ns : "");
    const char *to = mln_text_format(cli->cx, "%s %s", m->to.url, m->to.peer.ns != NULL ? m->to.peer.ns : "");
    const char *state = mln_cli_text(cli, "state");
    if (m->is_dry && state != NULL && access(state, F_OK) != 0) {
        state = NULL; /* a dry run makes no file */
    }
    return mig_state_open(cli->cx, &m->state, state, from, to);
}

/* Policies before what names them, mounts before what lies in them, identity after its mounts. */
static struct mln_err move_all(struct migrate *m)
{
    MLN_TRY(mig_kinds(m, mig_system_kinds, NULL, false, "", false));
    MLN_TRY(mig_mounts(m, true));
    MLN_TRY(mig_mounts(m, false));
    MLN_TRY(mig_contents(m, true));
    MLN_TRY(mig_contents(m, false));
    MLN_TRY(mig_identity(m));
    return mig_leftovers(m);
}

/* ---- the report ---- */

static const struct {
    const char *name;
    enum mln_ink ink;
} looks[MIG_VERDICTS] = {
    {"moved", MLN_INK_GREEN}, {"present", MLN_INK_NONE}, {"verified", MLN_INK_NONE}, {"planned", MLN_INK_GREEN},
    {"conflict", MLN_INK_YELLOW}, {"left", MLN_INK_YELLOW}, {"failed", MLN_INK_RED},
};

static enum mln_ink ink_of(const struct mln_value *state)
{
    for (size_t i = 0; i < MIG_VERDICTS; i++) {
        if (mln_is_text(state, looks[i].name)) {
            return looks[i].ink;
        }
    }
    return MLN_INK_NONE;
}

static void print_report(struct mln_cli *cli, const struct mln_value *report)
{
    static const char *const heads[] = {"STATE", "PATH", "REASON"};
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    const struct mln_value *rows = mln_get(report, "objects"), *counts = mln_get(report, "counts");
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(row, "state")), ink_of(mln_get(row, "state")));
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(row, "path")), MLN_INK_NONE);
        const struct mln_value *reason = mln_get(row, "reason");
        mln_table_add(cli, &t, reason != NULL ? mln_cli_scalar(cli, reason) : "", MLN_INK_DIM);
    }
    mln_table_print(cli, &t);
    for (size_t i = 0; i < MIG_VERDICTS; i++) {
        mln_cli_say(cli, "%s%lld %s", i > 0 ? ", " : "", (long long)mln_get_int(mln_get(counts, looks[i].name), 0),
                    looks[i].name);
    }
    mln_cli_say(cli, "\n");
}

static const struct mln_value *report_of(struct migrate *m, bool is_whole)
{
    struct mln_cx *cx = m->cli->cx;
    struct mln_value *report = mln_object(cx), *counts = mln_object(cx);
    for (size_t i = 0; i < MIG_VERDICTS; i++) {
        mln_put_int(cx, counts, looks[i].name, (int64_t)m->counts[i]);
    }
    mln_put_text(cx, report, "from", m->from.url);
    mln_put_text(cx, report, "to", m->to.url);
    mln_put_bool(cx, report, "dry_run", m->is_dry);
    mln_put_bool(cx, report, "complete", is_whole);
    mln_put(cx, report, "counts", counts);
    mln_put(cx, report, "objects", m->rows);
    return report;
}

static int exit_of(const struct migrate *m)
{
    if (m->counts[MIG_FAILED] > 0) {
        return 1;
    }
    return m->counts[MIG_CONFLICT] + m->counts[MIG_LEFT] > 0 || m->is_partial ? 8 : 0;
}

/* What was done is told even when the run broke off: the error comes after it. */
static struct mln_err tell(struct migrate *m, struct mln_err err)
{
    struct mln_cli *cli = m->cli;
    if (!mln_failed(err)) {
        cli->exit_code = exit_of(m);
        return mln_cli_answer(cli, report_of(m, true), print_report);
    }
    cli->exit_code = mln_is(err, MLN_E_USAGE) ? 2 : 1;
    if (mln_len(m->rows) == 0 || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    struct mln_cx kept = *cli->cx;
    mln_cx_clear(cli->cx);
    struct mln_err told = mln_cli_answer(cli, report_of(m, false), print_report);
    *cli->cx = kept;
    return mln_failed(told) ? told : err;
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(WORK_BYTES, false);
    struct migrate m = {.cli = cli, .state = {.fd = -1}};
    if (arena == NULL) {
        return mln_fail(cli->cx, MLN_E_MEMORY, "out of memory");
    }
    mln_cx_init(&m.work, arena);
    struct mln_err err = prepare(&m);
    if (!mln_failed(err)) {
        err = move_all(&m);
    }
    err = tell(&m, err);
    mig_state_close(&m.state);
    mln_client_free(m.from.peer.client);
    mln_client_free(m.to.peer.client);
    return err;
}

static const char *const examples[] = {
    "merlon migrate --from https://vault:8200 --to https://merlon:8200 --dry-run",
    "merlon migrate --from https://vault:8200 --to https://merlon:8200 --state move.state --format json",
    "merlon migrate --from http://a:8200 --to http://b:8200 --only 'secret/team,sys/policies/acl'",
    NULL,
};

const struct mln_command mln_command_migrate = {
    .noun = "migrate",
    .summary = "Move what the API gives out between Vault, OpenBao and Merlon, either way",
    .args = "",
    .examples = examples,
    .flags = flags,
    .is_local = true, /* two servers of its own, not the session's */
    .more =
        "Reads at the source, writes at the target, compares; run it again to go on. What stands at the\n"
        "target otherwise is reported and left unless --overwrite. Globs: * and ? within a segment, ** across;\n"
        "a pattern also covers what is below. Tokens, leases, passwords, private keys of authorities and keys that are\n"
        "not exportable stay: the report says so. Exit codes: 0 all moved, 1 something failed, 8 something stayed.",
    .run = run,
};
