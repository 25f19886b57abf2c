/* SPDX-License-Identifier: Apache-2.0 */
/* merlon gate check: release.yaml and the gates beside it, in CI. merlon gate show: release.yaml as Rego. docs/gates.md */
#include "cli/gate_priv.h"

#include <limits.h>
#include <sys/stat.h>

#include "assure/decision.h"
#include "assure/exception.h"
#include "base/yaml.h"
#include "cli/release_priv.h"

#define FILE_MAX     ((size_t)4 << 20) /* of evidence and documents */
#define DOCUMENTS_MAX 1024u

struct check {
    struct mln_cli *cli;
    struct release release; /* cli, dir and gate, for its steps */
    const char *gate_file;  /* as it is named in findings */
    struct mln_gates gates;
    struct mln_value *input;
};

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* JSON is YAML, but its errors say the byte. */
static struct mln_err read_value(struct mln_cli *cli, const char *path, const struct mln_value **ret)
{
    struct mln_bytes text;
    MLN_TRY(mln_cli_read_file(cli, path, FILE_MAX, &text));
    struct mln_err err = mln_bytes_ends(mln_bytes_of(path), MLN_BYTES(".json")) ? mln_json_parse(cli->cx, text, ret)
                                                                                : mln_yaml_parse(cli->cx, text, ret);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cli->cx, mln_bytes_of(cli->cx->text));
        return mln_refail(cli->cx, (enum mln_code)err.code, "%s: %s", path, why);
    }
    return MLN_OK;
}

static const char *beside(const struct check *c, const char *flag, const char *name)
{
    const char *given = mln_cli_text(c->cli, flag);
    bool is_here = mln_bytes_is(mln_bytes_of(c->release.dir), ".");
    return given != NULL ? given : is_here ? name : mln_text_format(c->cli->cx, "%s/%s", c->release.dir, name);
}

/* ---- what is judged by ---- */

static struct mln_err read_gate(struct check *c)
{
    c->gate_file = beside(c, "gate", "release.yaml");
    if (mln_cli_text(c->cli, "gate") == NULL && !is_there(c->gate_file)) {
        return MLN_OK;
    }
    MLN_TRY(read_value(c->cli, c->gate_file, &c->release.gate_value));
    MLN_TRY(mln_gate_parse(c->cli->cx, c->release.gate_value, &c->release.gate));
    c->gates.gate = &c->release.gate;
    return MLN_OK;
}

static struct mln_err add_source(struct check *c, struct mln_rego_source *all, const char *path)
{
    if (c->gates.n_sources == MLN_RULES_MODULES_MAX) {
        return mln_fail(c->cli->cx, MLN_E_LIMIT, "more than %u gates", MLN_RULES_MODULES_MAX);
    }
    struct mln_rego_source *s = &all[c->gates.n_sources++];
    s->name = path;
    return mln_cli_read_file(c->cli, path, MLN_GATES_FILE_MAX, &s->text);
}

static bool is_gate_file(struct mln_bytes name)
{
    return mln_bytes_ends(name, MLN_BYTES(".rego")) && !mln_bytes_ends(name, MLN_BYTES("_test.rego"));
}

static struct mln_err read_folder(struct check *c, struct mln_rego_source *all, const char *dir)
{
    const struct mln_value *names = NULL;
    if (is_gate_file(mln_bytes_of(dir))) {
        return add_source(c, all, dir);
    }
    MLN_TRY(mln_dir_list(c->cli->cx, dir, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        if (is_gate_file(name)) {
            MLN_TRY(add_source(c, all, mln_text_format(c->cli->cx, "%s/%.*s", dir, MLN_FMT(name))));
        }
    }
    return MLN_OK;
}

static struct mln_err read_sources(struct check *c)
{
    const char *own = beside(c, "gates", "gates");
    struct mln_rego_source *all = mln_new_array(c->cli->cx, MLN_RULES_MODULES_MAX, sizeof(*all));
    MLN_TRY(mln_cx_err(c->cli->cx));
    c->gates.sources = all;
    if (mln_cli_text(c->cli, "gates") == NULL) {
        return is_there(own) ? read_folder(c, all, own) : MLN_OK;
    }
    for (size_t i = 0; i < c->cli->n_sets; i++) {
        if (mln_bytes_is(mln_bytes_of(c->cli->sets[i].flag->name), "gates")) {
            MLN_TRY(read_folder(c, all, c->cli->sets[i].text));
        }
    }
    return MLN_OK;
}

static struct mln_err read_exceptions(struct check *c)
{
    const char *path = beside(c, "exceptions", "exceptions.yaml");
    const struct mln_value *v = NULL;
    if (mln_cli_text(c->cli, "exceptions") == NULL && !is_there(path)) {
        return MLN_OK;
    }
    MLN_TRY(read_value(c->cli, path, &v));
    struct mln_err err = mln_exceptions_parse(c->cli->cx, v, c->gates.now_ns, &c->gates.exceptions);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(c->cli->cx, mln_bytes_of(c->cli->cx->text));
        return mln_refail(c->cli->cx, (enum mln_code)err.code, "%s: %s", path, why);
    }
    return MLN_OK;
}

/* ---- what is judged ---- */

static struct mln_err given_evidence(struct check *c, struct mln_value **ret)
{
    struct mln_cli *cli = c->cli;
    const char *file = mln_cli_text(cli, "evidence"), *id = mln_cli_text(cli, "release");
    const struct mln_value *v = NULL;
    if (file != NULL && id != NULL) {
        return mln_cli_usage(cli, "--evidence or --release, not both");
    }
    if (file != NULL) {
        MLN_TRY(read_value(cli, file, &v));
    } else if (id != NULL) {
        struct mln_cli_reply reply = {0};
        MLN_TRY(mln_cli_call(cli, "GET", mln_text_format(cli->cx, "release/%s", mln_cli_escape(cli, id)), NULL, &reply));
        MLN_TRY(mln_gate_evidence(cli->cx, reply.data, &v));
    }
    if (v != NULL && mln_type_of(v) != MLN_OBJECT) {
        return mln_fail(cli->cx, MLN_E_INVALID, "%s: evidence is a mapping", file);
    }
    *ret = v == NULL ? mln_object(cli->cx) : mln_value_dup(cli->cx, v);
    return mln_cx_err(cli->cx);
}

/* What release.yaml asks for and can be seen here: the scan and the numbers. */
static struct mln_err see_evidence(struct check *c, struct mln_value *evidence)
{
    const struct mln_value *v = NULL;
    struct release *r = &c->release;
    bool may_look = mln_cli_text(c->cli, "release") == NULL && c->gates.gate != NULL;
    if (may_look && r->gate.wants_clean_scan && mln_get(evidence, "scan") == NULL && !mln_cli_bool(c->cli, "no-scan")) {
        MLN_TRY(release_scan(r, &v));
        mln_put(c->cli->cx, evidence, "scan", v);
    }
    if (may_look && r->gate.wants_fairness && mln_get(evidence, "fairness") == NULL) {
        MLN_TRY(release_measure(r, &v));
        mln_put(c->cli->cx, evidence, "fairness", v);
    }
    return mln_cx_err(c->cli->cx);
}

static struct mln_err read_documents(struct check *c)
{
    struct mln_cli *cli = c->cli;
    struct mln_value *list = mln_array(cli->cx);
    for (size_t i = 0; i < cli->n_sets; i++) {
        if (!mln_bytes_is(mln_bytes_of(cli->sets[i].flag->name), "input")) {
            continue;
        }
        const struct mln_value *v = NULL;
        struct mln_value *one = mln_object(cli->cx);
        MLN_TRY(read_value(cli, cli->sets[i].text, &v));
        mln_put_text(cli->cx, one, "file", cli->sets[i].text);
        mln_put(cli->cx, one, "document", v);
        mln_push(cli->cx, list, one);
        if (mln_len(list) > DOCUMENTS_MAX) {
            return mln_fail(cli->cx, MLN_E_LIMIT, "more than %u documents", DOCUMENTS_MAX);
        }
    }
    mln_put(cli->cx, c->input, "documents", list);
    return mln_cx_err(cli->cx);
}

static struct mln_err gather(struct check *c)
{
    struct mln_cx *cx = c->cli->cx;
    struct mln_value *evidence = NULL;
    const struct mln_value *card = NULL;
    c->input = mln_object(cx);
    MLN_TRY(given_evidence(c, &evidence));
    MLN_TRY(see_evidence(c, evidence));
    MLN_TRY(release_card(&c->release, &card));
    mln_put(cx, c->input, "evidence", evidence);
    if (c->release.gate_value != NULL) {
        mln_put(cx, c->input, "release", c->release.gate_value);
    }
    if (card != NULL) {
        mln_put(cx, c->input, "card", card);
    }
    MLN_TRY(read_documents(c));
    c->gates.input = c->input;
    return mln_cx_err(cx);
}

/* ---- the verdict ---- */

static const struct gate_form *form_of(const char *name)
{
    for (const struct gate_form *f = gate_forms; f->name != NULL; f++) {
        if (mln_bytes_is(mln_bytes_of(name), f->name)) {
            return f;
        }
    }
    return NULL;
}

static bool has_warning(const struct mln_value *verdict)
{
    const struct mln_value *all = mln_get(verdict, "findings");
    for (size_t i = 0; i < mln_len(all); i++) {
        if (mln_is_text(mln_get(mln_item(all, i), "level"), "warn")) {
            return true;
        }
    }
    return false;
}

static int exit_of(const struct check *c, const struct mln_value *verdict)
{
    const struct mln_value *v = mln_get(verdict, "verdict");
    if (mln_is_text(v, "fail") || (mln_cli_bool(c->cli, "strict") && has_warning(verdict))) {
        return mln_err_exit(MLN_E_VERDICT);
    }
    return mln_is_text(v, "waiting") && !mln_cli_bool(c->cli, "before-approval") ? mln_err_exit(MLN_E_WAITING) : 0;
}

static struct mln_err keep(struct check *c, const struct mln_value *verdict)
{
    const struct mln_value *decision = mln_get(verdict, "decision");
    const char *file = mln_cli_text(c->cli, "record");
    if (file != NULL) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        mln_json_print(&text, decision, MLN_JSON_PRETTY);
        mln_buf_add_byte(&text, '\n');
        MLN_TRY(mln_buf_ok(c->cli->cx, &text));
        MLN_TRY(mln_file_replace(c->cli->cx, file, mln_buf_bytes(&text), 0600, false));
    }
    if (mln_cli_bool(c->cli, "keep")) {
        struct mln_value *body = mln_object(c->cli->cx);
        struct mln_cli_reply reply = {0};
        mln_put(c->cli->cx, body, "decision", decision);
        return mln_cli_call(c->cli, "POST", "decision/keep", body, &reply);
    }
    return MLN_OK;
}

static struct mln_err prepare(struct check *c)
{
    struct mln_cli *cli = c->cli;
    struct mln_bytes dir = mln_bytes_of(cli->n_args > 0 ? cli->args[0] : ".");
    while (dir.len > 1 && dir.ptr[dir.len - 1] == '/') {
        dir.len--;
    }
    c->release.cli = cli;
    c->release.dir = mln_text_dup(cli->cx, dir);
    c->gates.now_ns = mln_now_ns();
    c->gates.masks = mln_cli_list(cli, "mask");
    MLN_TRY(read_gate(c));
    MLN_TRY(read_sources(c));
    MLN_TRY(read_exceptions(c));
    return mln_cx_err(cli->cx);
}

/* A policy that cannot be evaluated gives no verdict: that is not a no. */
static struct mln_err judge(struct check *c, const struct mln_value **ret)
{
    struct mln_err err = mln_gates_judge(c->cli->cx, &c->gates, ret);
    if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_TIMEOUT)) {
        const char *why = mln_text_dup(c->cli->cx, mln_bytes_of(c->cli->cx->text));
        return mln_refail(c->cli->cx, MLN_E_UNJUDGED, "%s", why);
    }
    return err;
}

static struct mln_err run_check(struct mln_cli *cli)
{
    struct check *c = MLN_NEW(cli->cx, struct check);
    const struct gate_form *form = form_of(mln_cli_text(cli, "format"));
    const struct mln_value *verdict = NULL;
    if (form == NULL) {
        return mln_cli_usage(cli, "unknown format '%s': text, json, sarif, junit, github or gitlab", mln_cli_text(cli, "format"));
    }
    MLN_TRY(mln_cx_err(cli->cx));
    c->cli = cli;
    MLN_TRY(prepare(c));
    MLN_TRY(gather(c));
    MLN_TRY(judge(c, &verdict));
    MLN_TRY(keep(c, verdict));
    form->print(cli, verdict, c->gate_file);
    cli->exit_code = exit_of(c, verdict);
    return MLN_OK;
}

struct mln_err gate_beside(struct release *r, const struct mln_value *evidence, struct mln_gates *ret)
{
    struct mln_cx *cx = r->cli->cx;
    struct check *c = MLN_NEW(cx, struct check);
    const struct mln_value *card = NULL;
    struct mln_value *input = mln_object(cx);
    MLN_TRY(mln_cx_err(cx));
    c->cli = r->cli;
    c->release.cli = r->cli;
    c->release.dir = r->dir;
    c->gates.now_ns = mln_now_ns();
    MLN_TRY(read_sources(c));
    MLN_TRY(read_exceptions(c));
    MLN_TRY(release_card(r, &card));
    mln_put(cx, input, "evidence", evidence);
    mln_put(cx, input, "release", r->gate_value);
    if (card != NULL) {
        mln_put(cx, input, "card", card);
    }
    mln_put(cx, input, "documents", mln_array(cx));
    c->gates.input = input;
    *ret = c->gates;
    return mln_cx_err(cx);
}

static struct mln_err run_show(struct mln_cli *cli)
{
    struct check *c = MLN_NEW(cli->cx, struct check);
    struct mln_bytes module;
    MLN_TRY(mln_cx_err(cli->cx));
    c->cli = cli;
    c->release.dir = cli->n_args > 0 ? cli->args[0] : ".";
    MLN_TRY(read_gate(c));
    if (c->gates.gate == NULL) {
        return mln_fail(cli->cx, MLN_E_NOT_FOUND, "%s: there is no such file", c->gate_file);
    }
    MLN_TRY(mln_gate_rego(cli->cx, c->gates.gate, &module));
    mln_cli_raw(module);
    return MLN_OK;
}

static const struct mln_flag flags[] = {
    {"gate", MLN_FLAG_TEXT, "FILE", NULL, "Thresholds (default DIR/release.yaml when there)"},
    {"gates", MLN_FLAG_LIST, "PATH", NULL, "Gates in Rego, several times (default DIR/gates when there)"},
    {"exceptions", MLN_FLAG_TEXT, "FILE", NULL, "Exceptions (default DIR/exceptions.yaml when there)"},
    {"card", MLN_FLAG_TEXT, "FILE", NULL, "Model card facts (default DIR/model-card.yaml when there)"},
    {"evidence", MLN_FLAG_TEXT, "FILE", NULL, "Evidence, JSON or YAML; what is missing is looked at here"},
    {"release", MLN_FLAG_TEXT, "ID", NULL, "Evidence of a release that the server keeps"},
    {"input", MLN_FLAG_LIST, "FILE", NULL, "A document for the gates: input.documents (several times)"},
    {"format", MLN_FLAG_TEXT, "FORM", "text", "text, json, sarif, junit, github or gitlab"},
    {"record", MLN_FLAG_TEXT, "FILE", NULL, "Write the decision, so that it can be replayed"},
    {"keep", MLN_FLAG_BOOL, NULL, NULL, "Keep the decision in the server, with a record in its ledger"},
    {"mask", MLN_FLAG_LIST, "PATH", NULL, "Leave this out of the record: /evidence/author/name"},
    {"no-scan", MLN_FLAG_BOOL, NULL, NULL, "Do not scan the folder: a scan must be in the evidence"},
    {"strict", MLN_FLAG_BOOL, NULL, NULL, "Warnings fail"},
    {"before-approval", MLN_FLAG_BOOL, NULL, NULL, "Missing approvals do not fail"},
    {0},
};
static const char *const check_examples[] = {
    "merlon gate check models/diabetes --before-approval",
    "merlon gate check --gates policy/ --input deploy.yaml --format sarif > gate.sarif",
    "merlon gate check models/diabetes --format github --record decision.json",
    NULL,
};
static const char *const check_letters[] = {"f", "format", "i", "input", NULL};
const struct mln_command mln_command_gate_check = {
    .noun = "gate",
    .verb = "check",
    .summary = "Judge a model or documents by release.yaml and by gates in Rego",
    .args = "[DIR]",
    .examples = check_examples,
    .flags = flags,
    .min_args = 0,
    .max_args = 1,
    .letters = check_letters,
    .more = "A gate is a package merlon.gates.NAME with rules deny and warn over input.evidence, input.release, input.card and\n"
            "input.documents. Exit codes: 0 passed, 5 denied, 8 could not be judged, 9 only approvals are missing.",
    .run = run_check,
};

static const struct mln_flag show_flags[] = {
    {"gate", MLN_FLAG_TEXT, "FILE", NULL, "Thresholds (default DIR/release.yaml)"},
    {0},
};
static const char *const show_examples[] = {"merlon gate show models/diabetes", "merlon gate show models/diabetes > release.rego", NULL};
const struct mln_command mln_command_gate_show = {
    .noun = "gate",
    .verb = "show",
    .summary = "Print release.yaml as the Rego that judges",
    .args = "[DIR]",
    .examples = show_examples,
    .flags = show_flags,
    .min_args = 0,
    .max_args = 1,
    .is_local = true,
    .run = run_show,
};
