/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon release: scan, measure, note, sign, verify, encrypt, gate, record. Every step is shown to
 * the server as evidence; running it again goes on from the record. Exit 0 released, 9 waiting for
 * an approval, 5 refused, 4 denied. docs/release.md.
 */
#include "cli/model_priv.h"
#include "cli/release_priv.h"

#include "base/yaml.h"

#include <limits.h>
#include <stdlib.h>

#define GATE_MAX (64u << 10)

static const struct mln_flag flags[] = {
    {"gate", MLN_FLAG_TEXT, "FILE", NULL, "What must hold (default DIR/release.yaml)"},
    {"card", MLN_FLAG_TEXT, "FILE", NULL,
     "Model card facts (default DIR/model-card.yaml when there)"},
    {"sign-key", MLN_FLAG_TEXT, "MOUNT/KEY", RELEASE_SIGN_KEY, "Key of the server that signs"},
    {"encrypt-key", MLN_FLAG_TEXT, "MOUNT/KEY", NULL,
     "Key of the server that opens it (default transit/<model>)"},
    {"out", MLN_FLAG_TEXT, "FOLDER", NULL,
     "Where the encrypted model goes (default DIR.<id of the release>)"},
    {"no-encrypt", MLN_FLAG_BOOL, NULL, NULL, "Do not encrypt"},
    {0},
};

static const struct {
    const char *name;
    release_step run;
    bool even_if_bad; /* also after a step that said no */
} steps[] = {
    {"open", release_do_open, true},         {"scan", release_do_scan, true},
    {"fairness", release_do_fairness, true}, {"card", release_do_card, true},
    {"gates", release_do_gates, true},
    {"sign", release_do_sign, false},        {"verify", release_do_verify, false},
    {"encrypt", release_do_encrypt, false},  {"gate", release_do_gate, true},
    {"record", release_do_record, true},
};
static_assert(MLN_COUNT(steps) <= RELEASE_ROWS_MAX, "a row a step");

/*
 * DIR as given, without slashes at its end; "." and ".." by their real name, so that names can be
 * put behind it.
 */
static struct mln_err take_dir(struct mln_cli *cli, const char *given, const char **ret)
{
    struct mln_bytes dir = mln_bytes_of(given);
    while (dir.len > 1 && dir.ptr[dir.len - 1] == '/') {
        dir.len--;
    }
    if (dir.len == 0) {
        return mln_cli_usage(cli, "DIR is empty");
    }
    *ret = mln_text_dup(cli->cx, dir);
    if (dir.ptr[dir.len - 1] == '.') {
        char real[PATH_MAX];
        if (realpath(*ret, real) == NULL) {
            return mln_fail(cli->cx, MLN_E_NOT_FOUND, "%s: there is no such folder", given);
        }
        *ret = mln_text_dup(cli->cx, mln_bytes_of(real));
    }
    return mln_cx_err(cli->cx);
}

/* A key of the server as MOUNT/KEY; "transit:KEY", as the model commands have it, is taken too. */
static struct mln_err take_key(struct mln_cli *cli, const char *text, const char **ret)
{
    struct model_key key = {0};
    const char *whole = model_key_is(text) ? text : mln_text_format(cli->cx, "transit:%s", text);
    MLN_TRY(model_key_parse(cli, whole, &key));
    *ret = mln_text_format(cli->cx, "%s/%s", key.mount, key.name);
    return mln_cx_err(cli->cx);
}

static struct mln_err prepare(struct release *r)
{
    struct mln_cli *cli = r->cli;
    struct mln_bytes text;
    MLN_TRY(take_dir(cli, cli->args[0], &r->dir));
    const char *gate = mln_cli_text(cli, "gate");
    gate = gate != NULL ? gate : mln_text_format(cli->cx, "%s/release.yaml", r->dir);
    struct mln_err err = mln_cli_read_file(cli, gate, GATE_MAX, &text);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        cli->hint = "a release needs its gate: DIR/release.yaml, or --gate FILE";
    }
    MLN_TRY(err);
    MLN_TRY(mln_yaml_parse(cli->cx, text, &r->gate_value));
    MLN_TRY(mln_gate_parse(cli->cx, r->gate_value, &r->gate));
    r->sig_path = mln_text_format(cli->cx, "%s/" MLN_MODEL_SIGNATURE, r->dir);
    MLN_TRY(take_key(cli, mln_cli_text(cli, "sign-key"), &r->sign_key));
    const char *key = mln_cli_text(cli, "encrypt-key");
    key = key != NULL ? key : mln_text_format(cli->cx, "transit/%s", r->gate.model);
    MLN_TRY(take_key(cli, key, &r->encrypt_key));
    return mln_cx_err(cli->cx);
}

static struct mln_err run_step(struct release *r, size_t i)
{
    struct release_row *row = &r->rows[r->n_rows++];
    *row = (struct release_row){.step = steps[i].name, .ledger_index = -1, .verdict = "failed"};
    if (r->is_bad && !steps[i].even_if_bad) {
        row->verdict = "skipped";
        row->detail = "a step before says no";
        return MLN_OK;
    }
    int64_t start = mln_mono_ns();
    struct mln_err err = steps[i].run(r, row);
    row->duration_ns = mln_mono_ns() - start;
    if (mln_failed(err)) {
        row->detail = mln_text_dup(r->cli->cx, mln_bytes_of(r->cli->cx->text));
        row->verdict = mln_err_exit(err.code) == 4 ? "denied" : "failed";
    }
    return err;
}

static int exit_of(const struct mln_value *record)
{
    const struct mln_value *state = mln_get(record, "state");
    return mln_is_text(state, "released") ? 0 : mln_is_text(state, "waiting") ? 9 : 5;
}

static struct mln_err run(struct mln_cli *cli)
{
    struct release *r = MLN_NEW(cli->cx, struct release);
    MLN_TRY(mln_cx_err(cli->cx));
    r->cli = cli;
    MLN_TRY(prepare(r));
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < MLN_COUNT(steps) && !mln_failed(err); i++) {
        err = run_step(r, i);
        if (i == 0 && r->id != NULL) {
            const char *out = mln_cli_text(cli, "out");
            r->out = out != NULL ? out : mln_text_format(cli->cx, "%s.%s", r->dir, r->id);
        }
    }
    if (mln_failed(err)) {
        if (cli->format == MLN_FORMAT_TABLE && r->n_rows > 1) { /* how far it came */
            struct mln_value *so_far = mln_value_dup(cli->cx, release_answer(r));
            mln_put_null(cli->cx, so_far, "state");
            release_table(cli, so_far);
        }
        return err;
    }
    if (r->is_bad) {
        r->out = NULL;
    }
    cli->exit_code = exit_of(r->record);
    return mln_cli_answer(cli, release_answer(r), release_table);
}

static const char *const examples[] = {
    "merlon release models/diabetes",
    "merlon release models/diabetes --sign-key transit/ml-team --out /srv/diabetes",
    "merlon release models/diabetes --format json",
    NULL,
};

const struct mln_command mln_command_release = {
    .noun = "release",
    .summary = "Protect and release a model: scan, fairness, card, sign, verify, encrypt, gate",
    .args = "DIR",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .more =
        "Run it again to go on after an approval; what holds already is not done twice. Writes "
        "DIR/model.sig and the\n"
        "encrypted folder. Exit codes: 0 released, 9 waiting for approval, 5 refused, 4 denied.",
    .run = run,
};
