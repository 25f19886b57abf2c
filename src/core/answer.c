/* SPDX-License-Identifier: Apache-2.0 */
/* Replies and errors as ANSWER values (net/wire.h). Error texts are those that clients of Vault's API match on. */
#include "core/core_priv.h"

#include "base/cbor.h"

/* Some texts come from a printer of many errors in the servers that clients know; they match on parts of it. */
static const char *as_printed(struct mln_run *run, struct mln_err err)
{
    bool is_many = run->is_refused || (mln_is(err, MLN_E_NO_ROUTE) && mln_bytes_is(mln_bytes_of(run->fault), "unsupported path")) ||
                   (mln_is(err, MLN_E_METHOD) && run->fault[0] != 0);
    return is_many ? mln_text_format(run->rq.cx, "1 error occurred:\n\t* %s\n\n", run->fault) : run->fault;
}

static void put_errors(struct mln_run *run, struct mln_err err, struct mln_value *out)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *errors = mln_array(cx);
    bool is_quiet = mln_is(err, MLN_E_NOT_FOUND) || run->reply.no_errors_text;
    if (run->fault[0] != 0) {
        mln_push_text(cx, errors, as_printed(run, err));
    } else if (!is_quiet) {
        mln_push_text(cx, errors, mln_err_text(err.code));
    }
    mln_put_int(cx, out, "status", mln_err_http(err.code));
    mln_put(cx, out, "errors", errors);
}

static void put_reply(struct mln_run *run, struct mln_value *out)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_reply *re = &run->reply;
    bool has_body = re->data != NULL || re->bare != NULL || re->auth != NULL || re->raw.ptr != NULL || re->warnings != NULL || re->top != NULL;
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
    if (re->status >= 400 && re->data == NULL && re->bare == NULL) {
        mln_put(cx, out, "errors", mln_array(cx));
    }
    if (re->raw.ptr != NULL) {
        mln_put(cx, out, "raw", mln_blob(cx, re->raw));
        mln_put_text(cx, out, "ct", re->content_type != NULL ? re->content_type : "application/octet-stream");
        mln_put_bool(cx, out, "immutable", re->is_immutable);
    }
    mln_put_text(cx, out, "lease_id", "");
    mln_put_bool(cx, out, "renewable", false);
    mln_put_int(cx, out, "lease_duration", re->lease_duration_s);
    if (re->topic != NULL) {
        mln_put_text(cx, out, "topic", re->topic);
        mln_put_int(cx, out, "topic_version", (int64_t)re->topic_version);
    }
}

void mln_run_answer(struct mln_run *run, struct mln_err err, struct mln_buf *answer)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *out = mln_object(cx);
    mln_put_text(cx, out, "request_id", run->rq.id);
    if (mln_failed(err)) {
        put_errors(run, err, out);
    } else {
        put_reply(run, out);
    }
    if (run->ledger_index != UINT64_MAX) {
        mln_put_int(cx, out, "ledger", (int64_t)run->ledger_index);
    }
    size_t before = answer->len;
    mln_cbor_print(answer, out);
    bool is_whole = !answer->has_failed && (mln_failed(err) || !mln_failed(mln_cx_err(cx)));
    if (!is_whole) { /* no memory for the answer: a short one that needs none */
        static const uint8_t short_answer[] = {0xa2, 0x66, 's', 't', 'a', 't', 'u', 's', 0x19, 0x01, 0xf4, 0x66, 'e', 'r', 'r', 'o', 'r', 's', 0x81,
                                               0x6d, 'o', 'u', 't', ' ', 'o', 'f', ' ', 'm', 'e', 'm', 'o', 'r', 'y'};
        answer->len = before;
        answer->has_failed = false;
        mln_buf_add(answer, short_answer, sizeof(short_answer));
    }
}
