/* SPDX-License-Identifier: Apache-2.0 */
/* Replies and errors as ANSWER values (net/wire.h). Error texts are those that clients of Vault's API match on. */
#include "core/core_priv.h"

#include "base/cbor.h"
#include "base/log.h"

/* Inner causes may name files and states: they go to the log. FORGED is what an input can be, and says so. */
static bool is_inner(struct mln_err err)
{
    struct mln_bytes klass = mln_bytes_of(mln_err_class(err.code));
    return !mln_is(err, MLN_E_FORGED) && (mln_bytes_is(klass, "INTERNAL") || mln_bytes_is(klass, "CRYPTO"));
}

/* Vault prints what policy and router refuse as a list of errors; texts of a context are one line, so it is made here. */
static bool is_listed(const struct mln_run *run, struct mln_err err)
{
    bool has_engine = run->rq.mount != NULL && run->rq.mount->engine != NULL;
    return (mln_is(err, MLN_E_METHOD) && !run->is_off) || (mln_is(err, MLN_E_DENIED) && run->is_refused) ||
           (mln_is(err, MLN_E_NO_ROUTE) && has_engine && run->rq.route == NULL);
}

static void put_errors(struct mln_run *run, struct mln_err err, const char *text, struct mln_value *out)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *errors = mln_array(cx);
    const char *told = is_inner(err) ? "internal error" : text[0] != 0 ? text : mln_err_text(err.code);
    if (is_listed(run, err)) {
        mln_push(cx, errors, mln_textf(cx, "1 error occurred:\n\t* %s\n\n", told));
    } else if (text[0] != 0 || !mln_is(err, MLN_E_NOT_FOUND)) {
        mln_push_text(cx, errors, told);
    }
    mln_put_int(cx, out, "status", mln_err_http(err.code));
    mln_put_int(cx, out, "grpc", mln_err_grpc(err.code));
    mln_put(cx, out, "errors", errors);
    if (mln_is(err, MLN_E_LIMIT)) {
        mln_put_int(cx, out, "retry_after", run->rate.is_shown ? run->rate.reset_s : 1);
    }
}

void mln_run_reply(struct mln_run *run, struct mln_value *out)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_reply *re = &run->reply;
    bool has_body = re->data != NULL || re->bare != NULL || re->auth != NULL || re->raw.ptr != NULL || re->warnings != NULL ||
                    re->top != NULL || re->topic != NULL || run->lease_id != NULL;
    mln_put_int(cx, out, "status", re->status != 0 ? re->status : has_body ? 200 : 204);
    const struct {
        const char *name;
        const struct mln_value *value;
    } parts[] = {{"data", re->data}, {"bare", re->bare}, {"top", re->top}, {"auth", re->auth}, {"warnings", re->warnings}};
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        if (parts[i].value != NULL) {
            mln_put(cx, out, parts[i].name, parts[i].value);
        }
    }
    if (re->no_errors_text || (re->status >= 400 && re->data == NULL && re->bare == NULL && re->warnings == NULL)) {
        mln_put(cx, out, "errors", mln_array(cx));
    }
    if (re->raw.ptr != NULL) {
        mln_put(cx, out, "raw", mln_blob(cx, re->raw));
        mln_put_text(cx, out, "ct", re->content_type != NULL ? re->content_type : "application/octet-stream");
        mln_put_bool(cx, out, "immutable", re->is_immutable);
    }
    mln_put_text(cx, out, "lease_id", run->lease_id != NULL ? run->lease_id : "");
    mln_put_bool(cx, out, "renewable", run->lease_id != NULL && run->lease_renewable);
    mln_put_int(cx, out, "lease_duration", run->lease_id != NULL ? run->lease_ttl_s : re->lease_duration_s);
    if (re->topic != NULL) {
        mln_put_text(cx, out, "topic", re->topic);
        mln_put_int(cx, out, "topic_version", (int64_t)(re->topic_version != 0 ? re->topic_version : run->topic_version));
        if (re->hold_s > 0) {
            mln_put_int(cx, out, "hold", re->hold_s);
        }
    }
}

/* What was put away, as it was; else a wrapping token; else the reply. */
static void put_success(struct mln_run *run, struct mln_value *out)
{
    struct mln_cx *cx = run->rq.cx;
    for (size_t i = 0; i < mln_len(run->unwrapped); i++) {
        const struct mln_member *m = mln_member_at(run->unwrapped, i);
        mln_put_key(cx, out, m->key, &m->value);
    }
    if (run->unwrapped != NULL) {
        return;
    }
    if (run->wrap_info == NULL) {
        mln_run_reply(run, out);
        return;
    }
    mln_put_text(cx, out, "request_id", "");
    mln_put_int(cx, out, "status", 200);
    mln_put(cx, out, "wrap_info", run->wrap_info);
    mln_put_text(cx, out, "lease_id", "");
    mln_put_bool(cx, out, "renewable", false);
    mln_put_int(cx, out, "lease_duration", 0);
}

/* No memory for the answer: a short one that needs none. */
void mln_answer_short(struct mln_buf *answer, size_t before)
{
    static const uint8_t text[] = {0xa2, 0x66, 's', 't', 'a', 't', 'u', 's', 0x19, 0x01, 0xf4, 0x66, 'e', 'r', 'r', 'o', 'r', 's', 0x81,
                                   0x6d, 'o', 'u', 't', ' ', 'o', 'f', ' ', 'm', 'e', 'm', 'o', 'r', 'y'};
    if (answer->len > before) {
        mln_wipe(answer->ptr + before, answer->len - before);
    }
    answer->len = before;
    answer->has_failed = false;
    mln_buf_add(answer, text, sizeof(text));
}

/* The fault's text; inner ones are logged, and the context is free for the answer. */
static void take_fault(struct mln_run *run, struct mln_err err, char text[MLN_CX_TEXT_MAX])
{
    struct mln_cx *cx = run->rq.cx;
    mln_copy(text, cx->text, MLN_CX_TEXT_MAX);
    if (is_inner(err)) {
        char what[64] = "request ";
        mln_copy(what + 8, run->rq.id, mln_bytes_of(run->rq.id).len); /* a UUID or "" */
        mln_log_fault(MLN_LOG_ERROR, "core", cx, what);
    }
    mln_cx_clear(cx);
}

void mln_run_answer(struct mln_run *run, struct mln_err err, struct mln_buf *answer)
{
    struct mln_cx *cx = run->rq.cx;
    char text[MLN_CX_TEXT_MAX] = "";
    size_t before = answer->len;
    if (mln_failed(err)) {
        take_fault(run, err, text);
    }
    struct mln_value *out = mln_object(cx);
    mln_put_text(cx, out, "request_id", run->rq.id);
    if (mln_failed(err)) {
        put_errors(run, err, text, out);
    } else {
        put_success(run, out);
    }
    if (run->cors != NULL) {
        mln_put(cx, out, "cors", run->cors);
    } else if (!mln_failed(err) && run->reply.is_public) {
        struct mln_value *anywhere = mln_object(cx);
        mln_put_text(cx, anywhere, "origin", "*");
        mln_put(cx, out, "cors", anywhere);
    }
    if (run->rate.is_shown) {
        struct mln_value *rate = mln_object(cx);
        mln_put_int(cx, rate, "limit", run->rate.limit);
        mln_put_int(cx, rate, "remaining", run->rate.left);
        mln_put_int(cx, rate, "reset", run->rate.reset_s);
        mln_put(cx, out, "rate", rate);
    }
    if (run->ledger_index != UINT64_MAX) {
        mln_put_int(cx, out, "ledger", (int64_t)run->ledger_index);
    }
    mln_count_request(run->core, run->rq.op, mln_get_int(mln_get(out, "status"), 500));
    if (!mln_failed(mln_cx_err(cx))) {
        mln_cbor_print(answer, out);
    }
    if (mln_failed(mln_cx_err(cx)) || answer->has_failed) {
        mln_answer_short(answer, before);
    }
}
