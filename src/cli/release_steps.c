/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon release: open the record, scan, measure fairness, note the model card, ask the gate, read
 * the record back.
 */
#include "cli/release_priv.h"

#include "artifact/box.h"
#include "base/yaml.h"

#define FINDINGS_MAX 64 /* in the record; the rest is counted */
#define CARD_MAX     (64u << 10)
#define SCANNER      "merlon " MLN_VERSION

/* ---- open ---- */

struct mln_err release_do_open(struct release *r, struct release_row *row)
{
    struct mln_cli *cli = r->cli;
    struct mln_oms_options options = {.signature_path = r->sig_path,
                                      .progress = release_progress(r, "hashing")};
    struct mln_err err = mln_oms_manifest(cli->cx, r->dir, &options, &r->manifest);
    mln_progress_end(&r->progress);
    MLN_TRY(err);
    r->root = mln_hex_text(cli->cx, mln_bytes_at(r->manifest.root, sizeof r->manifest.root));
    struct mln_value *body = mln_object(cli->cx);
    mln_put_text(cli->cx, body, "root", r->root);
    mln_put(cli->cx, body, "gate", r->gate_value);
    mln_put_int(cli->cx, body, "files", (int64_t)r->manifest.n_files);
    mln_put_int(cli->cx, body, "bytes", (int64_t)r->manifest.bytes);
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "POST", "release/open", body, &reply));
    r->record = reply.data;
    r->id = mln_get_text(cli->cx, mln_get(r->record, "id"), NULL);
    if (r->id == NULL) {
        return mln_fail(cli->cx, MLN_E_REMOTE, "the server's answer has no id of a release");
    }
    row->ledger_index = reply.ledger_index;
    row->verdict = mln_get_text(cli->cx, mln_get(r->record, "state"), "open");
    row->detail = mln_text_format(cli->cx, "%s, %zu files, %s", r->id, r->manifest.n_files,
                                  mln_size_text(cli->cx, r->manifest.bytes));
    return mln_cx_err(cli->cx);
}

/* ---- scan ---- */

/* "dir/a/b" as "a/b". */
static struct mln_bytes below_dir(const struct release *r, struct mln_bytes path)
{
    struct mln_bytes dir = mln_bytes_of(r->dir);
    bool is_below = mln_bytes_starts(path, dir) && path.len > dir.len && path.ptr[dir.len] == '/';
    return is_below ? mln_bytes_from(path, dir.len + 1) : path;
}

/* One line for people and for the gate: "at byte 17: REDUCE calls posix.system". */
static const char *finding_text(struct release *r, const struct mln_value *f)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_bytes detail = mln_get_bytes(mln_get(f, "detail")),
                     opcode = mln_get_bytes(mln_get(f, "opcode"));
    struct mln_bytes callable = mln_get_bytes(mln_get(f, "callable")),
                     member = mln_get_bytes(mln_get(f, "member"));
    const struct mln_value *offset = mln_get(f, "offset");
    const char *at = mln_is_null(offset)
                         ? ""
                         : mln_text_format(cx, "byte %lld: ", (long long)mln_get_int(offset, 0));
    const char *in = member.len > 0 ? mln_text_format(cx, "%.*s, ", MLN_FMT(member)) : "";
    const char *call = callable.len == 0
                           ? ""
                           : mln_text_format(cx, "%.*s%s%.*s: ", MLN_FMT(opcode),
                                             opcode.len > 0 ? " " : "", MLN_FMT(callable));
    return mln_text_format(cx, "%s%s%s%.*s", in, at, call, MLN_FMT(detail));
}

static void add_findings(struct release *r, const struct mln_value *report, struct mln_value *to)
{
    struct mln_cx *cx = r->cli->cx;
    static const char *const same[] = {"rule",   "severity", "offset",
                                       "opcode", "callable", "member"};
    const struct mln_value *findings = mln_get(report, "findings");
    for (size_t i = 0; i < mln_len(findings) && mln_len(to) < FINDINGS_MAX; i++) {
        const struct mln_value *f = mln_item(findings, i);
        struct mln_value *one = mln_object(cx);
        mln_put_bytes(cx, one, "file", below_dir(r, mln_get_bytes(mln_get(report, "path"))));
        mln_put_text(cx, one, "message", finding_text(r, f));
        for (size_t k = 0; k < MLN_COUNT(same); k++) {
            if (mln_get(f, same[k]) != NULL) {
                mln_put(cx, one, same[k], mln_get(f, same[k]));
            }
        }
        mln_push(cx, to, one);
    }
}

/*
 * The scanner's answer as evidence: verdict, counts, and the findings of files that are not clean.
 */
static const struct mln_value *scan_evidence(struct release *r, const struct mln_value *all)
{
    struct mln_cx *cx = r->cli->cx;
    static const char *const counts[] = {"files",     "bytes",     "clean",      "suspicious",
                                         "malicious", "malformed", "unsupported"};
    struct mln_value *v = mln_object(cx), *findings = mln_array(cx);
    const struct mln_value *summary = mln_get(all, "summary"), *files = mln_get(all, "files");
    mln_put(cx, v, "verdict", mln_get(summary, "verdict"));
    for (size_t i = 0; i < MLN_COUNT(counts); i++) {
        mln_put(cx, v, counts[i], mln_get(summary, counts[i]));
    }
    for (size_t i = 0; i < mln_len(files); i++) {
        const struct mln_value *report = mln_item(files, i);
        if (mln_is_text(mln_get(report, "verdict"), "clean")) {
            continue;
        }
        if (mln_len(mln_get(report, "findings")) > 0) {
            add_findings(r, report, findings);
        } else if (mln_len(findings) < FINDINGS_MAX) {
            struct mln_value *one = mln_object(cx);
            mln_put_bytes(cx, one, "file", below_dir(r, mln_get_bytes(mln_get(report, "path"))));
            mln_put(cx, one, "message", mln_get(report, "verdict"));
            mln_push(cx, findings, one);
        }
    }
    mln_put(cx, v, "findings", findings);
    mln_put_text(cx, v, "scanner", SCANNER);
    return v;
}

static void scan_progress(void *arg, uint64_t done, uint64_t all)
{
    mln_progress_step(arg, done, all, "bytes");
}

struct mln_err release_scan(struct release *r, const struct mln_value **ret)
{
    MLN_AUTO(mln_box_drop) struct mln_box *box = NULL;
    const struct mln_value *all = NULL;
    const char *paths[] = {r->dir};
    MLN_TRY(mln_box_start(r->cli->cx, &(struct mln_box_config){0}, &box));
    mln_progress_begin(&r->progress, r->cli, "scanning");
    struct mln_scan_progress progress = {.step = scan_progress, .arg = &r->progress};
    struct mln_err err = mln_scan_paths(r->cli->cx, box, paths, 1, &progress, &all);
    mln_progress_end(&r->progress);
    MLN_TRY(err);
    *ret = scan_evidence(r, all);
    return mln_cx_err(r->cli->cx);
}

struct mln_err release_do_scan(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *before = mln_get(mln_get(r->record, "evidence"), "scan");
    bool is_known = mln_is_text(mln_get(before, "verdict"), "clean") &&
                    (release_is_done(r) || mln_is_text(mln_get(before, "scanner"), SCANNER));
    if (is_known) { /* the same files, by their digests, and the same scanner */
        r->scan = before;
        release_keep(r, row);
    } else {
        MLN_TRY(release_scan(r, &r->scan));
        MLN_TRY(release_show(r, "scan", r->scan, row));
    }
    row->verdict = mln_get_text(cx, mln_get(r->scan, "verdict"), "unknown");
    bool is_clean = mln_bytes_is(mln_bytes_of(row->verdict), "clean");
    r->is_bad = r->is_bad || (r->gate.wants_clean_scan && !is_clean);
    const struct mln_value *first = mln_item(mln_get(r->scan, "findings"), 0);
    row->detail = mln_text_format(
        cx, "%lld files%s%s%s%s", (long long)mln_get_int(mln_get(r->scan, "files"), 0),
        first != NULL ? "; " : "",
        first != NULL ? mln_get_text(cx, mln_get(first, "file"), "") : "",
        first != NULL ? ", " : "",
        first != NULL ? mln_get_text(cx, mln_get(first, "message"), "") : "");
    return mln_cx_err(cx);
}

/* ---- fairness ---- */

static struct mln_err judge_file(struct release *r, const struct mln_value **ret)
{
    struct mln_cx *cx = r->cli->cx;
    const char *path = mln_text_format(cx, "%s/%s", r->dir, r->gate.predictions);
    struct mln_bytes text;
    struct mln_csv csv;
    MLN_TRY(mln_cli_read_file(r->cli, path, MLN_CSV_BYTES_MAX, &text));
    MLN_TRY(mln_csv_parse(cx, text, &csv));
    return mln_fair_judge(cx, &csv, &r->gate.fair, ret);
}

struct mln_err release_measure(struct release *r, const struct mln_value **ret)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *judged = NULL;
    struct mln_value *result = NULL;
    struct mln_err err = judge_file(r, &judged);
    if (mln_is(err, MLN_E_MEMORY) || mln_is(err, MLN_E_IO)) {
        return err;
    }
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        mln_cx_clear(cx);
        result = mln_object(cx);
        mln_put_text(cx, result, "verdict", "unknown");
        mln_put_text(cx, result, "error", why);
    } else {
        result = mln_value_dup(cx, judged);
    }
    mln_put_text(cx, result, "predictions", r->gate.predictions);
    *ret = result;
    return mln_cx_err(cx);
}

static const char *fairness_detail(struct release *r, const struct mln_value *result)
{
    struct mln_cx *cx = r->cli->cx;
    double value = mln_get_double(mln_get(result, "value"), -1), least = r->gate.fair.minimum;
    const char *error = mln_get_text(cx, mln_get(result, "error"), NULL);
    const char *reason = mln_get_text(cx, mln_item(mln_get(result, "reasons"), 0), NULL);
    if (error != NULL || (value < 0 && reason != NULL)) {
        return error != NULL ? error : reason;
    }
    return mln_text_format(cx, "%s %.4f, %s %.4f", mln_get_text(cx, mln_get(result, "metric"), ""),
                           value, value >= least ? "at least" : "below", least);
}

struct mln_err release_do_fairness(struct release *r, struct release_row *row)
{
    if (!r->gate.wants_fairness) {
        row->verdict = "not asked";
        return MLN_OK;
    }
    const struct mln_value *result = NULL;
    MLN_TRY(release_measure(r, &result));
    row->detail = fairness_detail(r, result);
    r->fairness = result;
    row->verdict = mln_get_text(r->cli->cx, mln_get(result, "verdict"), "unknown");
    bool is_pass = mln_bytes_is(mln_bytes_of(row->verdict), "pass");
    r->is_bad = r->is_bad || !is_pass;
    return release_show(r, "fairness", result, row);
}

/* ---- model card ---- */

struct mln_err release_card(struct release *r, const struct mln_value **ret)
{
    const char *path = mln_cli_text(r->cli, "card");
    struct mln_bytes text;
    struct mln_err err = mln_cli_read_file(
        r->cli, path != NULL ? path : mln_text_format(r->cli->cx, "%s/model-card.yaml", r->dir),
        CARD_MAX, &text);
    if (path == NULL && mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(r->cli->cx);
        *ret = NULL;
        return MLN_OK;
    }
    MLN_TRY(err);
    MLN_TRY(mln_yaml_parse(r->cli->cx, text, ret));
    return mln_type_of(*ret) == MLN_OBJECT
               ? MLN_OK
               : mln_fail(r->cli->cx, MLN_E_INVALID, "the model card is not a mapping");
}

/* What the card says, and beside it what this run saw itself. */
struct mln_err release_do_card(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *facts = NULL;
    struct mln_value *result = mln_object(cx), *seen = mln_object(cx);
    MLN_TRY(release_card(r, &facts));
    mln_put_int(cx, seen, "files", (int64_t)r->manifest.n_files);
    mln_put_int(cx, seen, "bytes", (int64_t)r->manifest.bytes);
    mln_put(cx, seen, "scan", r->scan != NULL ? mln_get(r->scan, "verdict") : mln_null(cx));
    if (r->fairness != NULL) {
        static const char *const same[] = {"metric", "value", "overall"};
        for (size_t i = 0; i < MLN_COUNT(same); i++) {
            const struct mln_value *v = mln_get(r->fairness, same[i]);
            mln_put(cx, seen, same[i], v != NULL ? v : mln_null(cx));
        }
    }
    row->verdict = facts != NULL ? "noted" : "none";
    const char *name = mln_get_text(cx, mln_get(facts, "name"), r->gate.model);
    const char *version = mln_cli_scalar(r->cli, mln_get(facts, "version"));
    row->detail = facts == NULL
                      ? "no model-card.yaml"
                      : mln_text_format(cx, "%s %s, %zu facts", name, version, mln_len(facts));
    mln_put_text(cx, result, "verdict", row->verdict);
    mln_put_text(cx, result, "summary", row->detail);
    mln_put(cx, result, "facts", facts != NULL ? facts : mln_object(cx));
    mln_put(cx, result, "seen", seen);
    return release_show(r, "card", result, row);
}

/* ---- gate and record ---- */

static const char *gate_detail(struct release *r)
{
    struct mln_cx *cx = r->cli->cx;
    const struct mln_value *checks = mln_get(mln_get(r->record, "verdict"), "checks");
    const char *text = "";
    size_t n = 0;
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *check = mln_item(checks, i);
        if (!mln_get_bool(mln_get(check, "ok"), false)) {
            text = mln_text_format(cx, "%s%s%s: %s", text, n++ > 0 ? "; " : "",
                                   mln_get_text(cx, mln_get(check, "name"), ""),
                                   mln_get_text(cx, mln_get(check, "detail"), ""));
        }
    }
    return n > 0 ? text : mln_text_format(cx, "%zu checks hold", mln_len(checks));
}

struct mln_err release_do_gate(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    if (release_is_done(r)) {
        release_keep(r, row);
    } else {
        struct mln_value *body = mln_object(cx), *indexes = mln_object(cx);
        for (size_t i = 0; i + 1 < r->n_rows; i++) {
            if (r->rows[i].ledger_index >= 0 && !r->rows[i].is_earlier) {
                mln_put_int(cx, indexes, r->rows[i].step, r->rows[i].ledger_index);
            }
        }
        mln_put(cx, body, "ledger", indexes);
        MLN_TRY(release_post(r, "gate", body, row, &r->record));
    }
    row->verdict = mln_get_text(cx, mln_get(mln_get(r->record, "verdict"), "verdict"), "unknown");
    row->detail = gate_detail(r);
    return mln_cx_err(cx);
}

/*
 * What the server keeps, read back: it must be about this root and in the state that the gate
 * left.
 */
struct mln_err release_do_record(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(r->cli, "GET", mln_text_format(cx, "release/%s", r->id), NULL, &reply));
    if (!mln_is_text(mln_get(reply.data, "root"), r->root) ||
        !mln_value_eq(mln_get(reply.data, "state"), mln_get(r->record, "state"))) {
        return mln_fail(cx, MLN_E_CONFLICT, "the record of %s changed meanwhile", r->id);
    }
    r->record = reply.data;
    const struct release_row *gate = row - 1; /* a read's own record is sequenced later */
    row->ledger_index = reply.ledger_index >= 0 ? reply.ledger_index : gate->ledger_index;
    row->verdict = mln_get_text(cx, mln_get(r->record, "state"), "unknown");
    row->detail = r->id;
    return mln_cx_err(cx);
}
