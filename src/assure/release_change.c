/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release engine: what the author does (open, evidence, gate) and what another person does
 * (approve).
 */
#include "assure/release_priv.h"

#include "base/json.h"
#include "base/text.h"

static const char *const steps[] = {"scan", "fairness", "card", "gates", "encrypt", "verify"};

static const struct mln_value *person_value(struct mln_request *rq)
{
    struct mln_value *v = mln_object(rq->cx);
    const char *name = rq->actor->entity_name != NULL ? rq->actor->entity_name : "";
    mln_put_text(rq->cx, v, "id", rq->actor->entity_id);
    mln_put_text(rq->cx, v, "name", name[0] != '\0' ? name : rq->actor->display_name);
    return v;
}

/* ---- open ---- */

static struct mln_err make_record(struct mln_request *rq, struct mln_bytes root, const char *model,
                                  struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *record = mln_object(cx);
    int64_t files = mln_get_int(mln_field_of(rq, "files"), 0),
            bytes = mln_get_int(mln_field_of(rq, "bytes"), 0);
    if (files < 0 || bytes < 0) {
        return mln_fail(cx, MLN_E_INVALID, "files and bytes cannot be negative");
    }
    mln_put_text(cx, record, "id", release_id_of(cx, root));
    mln_put_text(cx, record, "state", "open");
    mln_put_text(cx, record, "model", model);
    mln_put_bytes(cx, record, "root", root);
    mln_put_int(cx, record, "files", files);
    mln_put_int(cx, record, "bytes", bytes);
    mln_put(cx, record, "author", person_value(rq));
    mln_put_text(cx, record, "created_time", mln_time_text_go(cx, rq->now_ns));
    mln_put(cx, record, "gate", mln_field_of(rq, "gate"));
    mln_put(cx, record, "evidence", mln_object(cx));
    mln_put_null(cx, record, "signature");
    mln_put(cx, record, "approvals", mln_array(cx));
    mln_put_null(cx, record, "verdict");
    mln_put(cx, record, "ledger", mln_object(cx));
    *ret = record;
    return mln_cx_err(cx);
}

/*
 * A record of this root is there already: its author goes on with it, perhaps under another gate.
 */
static struct mln_err open_again(struct mln_request *rq, struct mln_value *record,
                                 struct mln_bytes root, const char *model, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *author = mln_get(record, "author");
    const char *id = mln_get_text(cx, mln_get(record, "id"), "");
    if (!mln_bytes_eq(mln_get_bytes(mln_get(record, "root")), root)) {
        return mln_fail(cx, MLN_E_CONFLICT,
                        "%s is the release of another root with the same beginning", id);
    }
    if (!mln_is_text(mln_get(author, "id"), rq->actor->entity_id)) {
        return mln_fail(
            cx, MLN_E_DENIED,
            "permission denied: %s is the release of %s, and only its author goes on with it", id,
            mln_get_text(cx, mln_get(author, "name"), "someone else"));
    }
    re->data = record;
    if (mln_value_eq(mln_get(record, "gate"), mln_field_of(rq, "gate"))) {
        release_tell(rq, record, "open", mln_get_text(cx, mln_get(record, "state"), ""));
        return mln_cx_err(cx);
    }
    if (mln_is_text(mln_get(record, "state"), "released")) {
        return mln_fail(cx, MLN_E_PRECONDITION, "%s is released: its gate is not changed", id);
    }
    mln_put_text(cx, record, "model", model);
    mln_put(cx, record, "gate", mln_field_of(rq, "gate"));
    release_reopen(rq, record);
    release_tell(rq, record, "open", "gate changed");
    return release_store(rq, record, re);
}

struct mln_err release_open_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes root;
    struct mln_gate gate;
    struct mln_value *record = NULL;
    MLN_TRY(release_person(rq, "open a release"));
    MLN_TRY(release_root(rq, &root));
    MLN_TRY(mln_gate_parse(cx, mln_field_of(rq, "gate"), &gate));
    const char *claim = mln_text_format(cx, "%smodel/%s", rq->mount->path, gate.model);
    if (!rq->services->may(rq, claim, "update")) {
        return mln_fail(cx, MLN_E_DENIED,
                        "permission denied: releasing a model named \"%s\" needs update on %s",
                        gate.model, claim);
    }
    struct mln_err err = release_load(rq, release_id_of(cx, root), &record);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
        return open_again(rq, record, root, gate.model, re);
    }
    mln_cx_clear(cx);
    MLN_TRY(make_record(rq, root, gate.model, &record));
    release_tell(rq, record, "open", "open");
    return release_store(rq, record, re);
}

/* ---- evidence ---- */

static struct mln_err take_step(struct mln_request *rq, const char **ret)
{
    for (size_t i = 0; i < MLN_COUNT(steps); i++) {
        if (mln_is_text(mln_field_of(rq, "step"), steps[i])) {
            *ret = steps[i];
            return MLN_OK;
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "step is none of scan, fairness, card, gates, encrypt, verify");
}

static struct mln_err check_result(struct mln_request *rq, const struct mln_value *result)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = RELEASE_RESULT_MAX};
    if (mln_type_of(result) != MLN_OBJECT) {
        return mln_fail(rq->cx, MLN_E_INVALID, "result is no object");
    }
    mln_json_print(&text, result, MLN_JSON_COMPACT);
    return text.is_over ? mln_fail(rq->cx, MLN_E_TOO_LARGE, "result is longer than %u bytes",
                                   RELEASE_RESULT_MAX)
                        : mln_buf_ok(rq->cx, &text);
}

static void tell_step(struct mln_request *rq, const struct mln_value *record, const char *step,
                      const struct mln_value *result)
{
    static const char *const numbers[] = {"files", "bytes", "metric", "value", "threshold", "key"};
    const char *verdict = mln_get_text(rq->cx, mln_get(result, "verdict"), "noted");
    release_tell(rq, record, step, verdict);
    mln_put_text(rq->cx, rq->detail, "text", release_summary(rq->cx, step, result));
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        const struct mln_value *v = mln_get(result, numbers[i]);
        if (v != NULL && mln_type_of(v) != MLN_OBJECT && mln_type_of(v) != MLN_ARRAY) {
            mln_put(rq->cx, rq->detail, numbers[i], v);
        }
    }
}

struct mln_err release_evidence_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *record = NULL;
    const struct mln_value *result = mln_field_of(rq, "result");
    const char *step = NULL;
    MLN_TRY(release_need_own(rq, &record));
    MLN_TRY(take_step(rq, &step));
    MLN_TRY(check_result(rq, result));
    tell_step(rq, record, step, result);
    struct mln_value *evidence = mln_value_dup(cx, mln_get(record, "evidence"));
    if (mln_value_eq(mln_get(evidence, step), result)) {
        re->data = record; /* shown again, the same: what was approved stays approved */
        return mln_cx_err(cx);
    }
    mln_put(cx, evidence, step, result);
    mln_put(cx, record, "evidence", evidence);
    release_reopen(rq, record);
    return release_store(rq, record, re);
}

/* ---- gate ---- */

static const char *state_of(const struct mln_value *verdict)
{
    return mln_is_text(mln_get(verdict, "verdict"), "pass")      ? "released"
           : mln_is_text(mln_get(verdict, "verdict"), "waiting") ? "waiting"
                                                                 : "refused";
}

/*
 * "fairness: adverse_impact_ratio is 0.6290, below 0.8000" of all checks that do not hold; else of
 * all approvals.
 */
static const char *why_of(struct mln_cx *cx, const struct mln_value *verdict)
{
    const struct mln_value *checks = mln_get(verdict, "checks");
    const char *text = "";
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *check = mln_item(checks, i);
        if (!mln_get_bool(mln_get(check, "ok"), false)) {
            text = mln_text_format(cx, "%s%s%.*s: %.*s", text, text[0] != '\0' ? "; " : "",
                                   MLN_FMT(mln_get_bytes(mln_get(check, "name"))),
                                   MLN_FMT(mln_get_bytes(mln_get(check, "detail"))));
        }
    }
    return text[0] != '\0' ? text : "all checks hold";
}

/* Where the author's client saw the records of the steps: a help for readers, not evidence. */
static void take_indexes(struct mln_request *rq, struct mln_value *record)
{
    const struct mln_value *given = mln_field_of(rq, "ledger");
    struct mln_value *all = mln_value_dup(rq->cx, mln_get(record, "ledger"));
    static const char *const names[] = {"open", "scan", "fairness", "card",
                                        "gates", "sign", "verify", "encrypt"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        int64_t index = mln_get_int(mln_get(given, names[i]), -1);
        if (index >= 0) {
            mln_put_int(rq->cx, all, names[i], index);
        }
    }
    mln_put(rq->cx, record, "ledger", all);
}

struct mln_err release_gate_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *record = NULL;
    const struct mln_value *verdict = NULL;
    MLN_TRY(release_need_own(rq, &record));
    MLN_TRY(release_judge(rq, record, &verdict));
    const char *state = state_of(verdict);
    mln_put_text(cx, record, "state", state);
    mln_put(cx, record, "verdict", verdict);
    take_indexes(rq, record);
    release_tell(rq, record, "gate", state);
    mln_put_text(cx, rq->detail, "text", why_of(cx, verdict));
    if (mln_bytes_is(mln_bytes_of(state), "released")) {
        struct mln_value *newest = mln_object(cx);
        mln_put_text(cx, record, "released_time", mln_time_text_go(cx, rq->now_ns));
        mln_put(cx, newest, "id", mln_get(record, "id"));
        const char *model = mln_get_text(cx, mln_get(record, "model"), "");
        MLN_TRY(mln_txn_put_value(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "m/%s", model),
                                  newest));
    }
    return release_store(rq, record, re);
}

/* ---- approve ---- */

static struct mln_err may_approve(struct mln_request *rq, const struct mln_value *record)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes root;
    const struct mln_value *approvals = mln_get(record, "approvals");
    const char *id = mln_get_text(cx, mln_get(record, "id"), "");
    if (mln_is_text(mln_get(mln_get(record, "author"), "id"), rq->actor->entity_id)) {
        return mln_fail(
            cx, MLN_E_DENIED,
            "permission denied: the author of %s cannot approve it, with whatever token", id);
    }
    MLN_TRY(release_root(rq, &root));
    if (!mln_bytes_eq(root, mln_get_bytes(mln_get(record, "root")))) {
        return mln_fail(cx, MLN_E_INVALID, "the root that is approved is not that of %s", id);
    }
    struct mln_bytes seen = mln_get_bytes(mln_field_of(rq, "seen"));
    if (seen.len > 0 && !mln_bytes_eq(seen, mln_get_bytes(mln_get(record, "updated_time")))) {
        return mln_fail(cx, MLN_E_CONFLICT, "%s has changed since it was shown; look at it again",
                        id);
    }
    if (!mln_is_text(mln_get(record, "state"), "waiting")) {
        return mln_fail(cx, MLN_E_PRECONDITION, "%s is not waiting for an approval: it is %s", id,
                        mln_get_text(cx, mln_get(record, "state"), ""));
    }
    for (size_t i = 0; i < mln_len(approvals); i++) {
        if (mln_is_text(mln_get(mln_item(approvals, i), "id"), rq->actor->entity_id)) {
            return mln_fail(cx, MLN_E_EXISTS, "you approved %s already; a person counts once", id);
        }
    }
    if (mln_len(approvals) >= RELEASE_APPROVALS_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "%s has %d approvals already", id, RELEASE_APPROVALS_MAX);
    }
    return MLN_OK;
}

struct mln_err release_approve_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *record = NULL;
    struct mln_bytes comment = mln_get_bytes(mln_field_of(rq, "comment"));
    MLN_TRY(release_person(rq, "approve a release"));
    MLN_TRY(release_need(rq, &record));
    MLN_TRY(may_approve(rq, record));
    if (comment.len > RELEASE_COMMENT_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "comment is longer than %d bytes",
                        RELEASE_COMMENT_MAX);
    }
    struct mln_value *approval = mln_value_dup(cx, person_value(rq));
    mln_put(cx, approval, "root", mln_get(record, "root"));
    mln_put_bytes(cx, approval, "comment", comment);
    mln_put_text(cx, approval, "time", mln_time_text_go(cx, rq->now_ns));
    struct mln_value *approvals = mln_value_dup(cx, mln_get(record, "approvals"));
    mln_push(cx, approvals, approval);
    mln_put(cx, record, "approvals", approvals);
    release_tell(rq, record, "approve", "approved");
    mln_put(cx, rq->detail, "author", mln_get(mln_get(record, "author"), "name"));
    mln_put(cx, rq->detail, "approver", mln_get(approval, "name"));
    mln_put_bytes(cx, rq->detail, "comment", comment);
    return release_store(rq, record, re);
}
