/* SPDX-License-Identifier: Apache-2.0 */
/* Release engine: from a record to what the gate judges, and from a step's result to one line. */
#include "assure/release_priv.h"

#include "assure/decision_keep.h"
#include "base/text.h"

/*
 * A signature counts when this release made it and its author then verified it over the files: the
 * verification names the root that the bundle covers.
 */
static const struct mln_value *signature_of(struct mln_cx *cx, const struct mln_value *record)
{
    const struct mln_value *verify = mln_get(mln_get(record, "evidence"), "verify");
    if (mln_is_null(mln_get(record, "signature")) || mln_is_null(verify)) {
        return NULL;
    }
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "verdict",
                 mln_is_text(mln_get(verify, "verdict"), "ok") ? "ok" : "refused");
    mln_put_bytes(cx, v, "root", mln_get_bytes(mln_get(verify, "root")));
    mln_put_bytes(cx, v, "error", mln_get_bytes(mln_get(verify, "error")));
    return v;
}

struct mln_err mln_gate_evidence(struct mln_cx *cx, const struct mln_value *record,
                                 const struct mln_value **ret)
{
    struct mln_value *shown = mln_object(cx);
    static const char *const steps[] = {"scan", "fairness", "gates"};
    static const char *const parts[] = {"root", "author", "approvals"};
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        mln_put(cx, shown, parts[i], mln_get(record, parts[i]));
    }
    for (size_t i = 0; i < MLN_COUNT(steps); i++) {
        const struct mln_value *step = mln_get(mln_get(record, "evidence"), steps[i]);
        if (step != NULL) {
            mln_put(cx, shown, steps[i], step);
        }
    }
    const struct mln_value *signature = signature_of(cx, record);
    if (signature != NULL) {
        mln_put(cx, shown, "signature", signature);
    }
    *ret = shown;
    return mln_cx_err(cx);
}

struct mln_err release_judge(struct mln_request *rq, const struct mln_value *record,
                             const struct mln_value **ret)
{
    static const char *const digests[] = {"input_digest", "result_digest"};
    static const char *const as[] = {"input", "result"};
    struct mln_gate gate;
    const struct mln_value *shown = NULL;
    struct mln_value *decision = NULL;
    bool is_kept = false;
    MLN_TRY(mln_gate_parse(rq->cx, mln_get(record, "gate"), &gate));
    MLN_TRY(mln_gate_evidence(rq->cx, record, &shown));
    MLN_TRY(mln_gate_decide(rq->cx, &gate, shown, rq->now_ns, ret, &decision));
    mln_put(rq->cx, rq->detail, "decision", mln_get(decision, "id"));
    mln_put(rq->cx, rq->detail, "policy", mln_get(mln_get(decision, "policy"), "digest"));
    for (size_t i = 0; i < MLN_COUNT(digests); i++) {
        mln_put(rq->cx, rq->detail, as[i], mln_get(decision, digests[i]));
    }
    return mln_decision_keep(rq, decision, &is_kept);
}

static const char *scan_summary(struct mln_cx *cx, const struct mln_value *result)
{
    struct mln_bytes verdict = mln_get_bytes(mln_get(result, "verdict"));
    const struct mln_value *first = mln_item(mln_get(result, "findings"), 0);
    const char *files =
        mln_text_format(cx, "%lld files", (long long)mln_get_int(mln_get(result, "files"), 0));
    if (first == NULL) {
        return mln_text_format(cx, "%.*s, %s", MLN_FMT(verdict), files);
    }
    return mln_text_format(cx, "%.*s, %s; %.*s: %.*s", MLN_FMT(verdict), files,
                           MLN_FMT(mln_get_bytes(mln_get(first, "file"))),
                           MLN_FMT(mln_get_bytes(mln_get(first, "message"))));
}

static const char *fairness_summary(struct mln_cx *cx, const struct mln_value *result)
{
    const struct mln_value *value = mln_get(result, "value");
    struct mln_bytes verdict = mln_get_bytes(mln_get(result, "verdict")),
                     metric = mln_get_bytes(mln_get(result, "metric"));
    if (mln_is_null(value)) {
        return mln_text_format(cx, "%.*s", MLN_FMT(verdict));
    }
    return mln_text_format(cx, "%.*s, %.*s %.4f against %.4f", MLN_FMT(verdict), MLN_FMT(metric),
                           mln_get_double(value, 0),
                           mln_get_double(mln_get(result, "threshold"), 0));
}

const char *release_summary(struct mln_cx *cx, const char *step, const struct mln_value *result)
{
    struct mln_bytes name = mln_bytes_of(step), error = mln_get_bytes(mln_get(result, "error"));
    if (error.len > 0) {
        return mln_text_format(cx, "%.*s", MLN_FMT(error));
    }
    if (mln_bytes_is(name, "scan")) {
        return scan_summary(cx, result);
    }
    if (mln_bytes_is(name, "fairness")) {
        return fairness_summary(cx, result);
    }
    struct mln_bytes note = mln_get_bytes(mln_get(result, "summary"));
    return mln_text_format(
        cx, "%.*s", MLN_FMT(note.len > 0 ? note : mln_get_bytes(mln_get(result, "verdict"))));
}
