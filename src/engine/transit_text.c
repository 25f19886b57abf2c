/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: wrapped texts, versions that are asked for, batches. */
#include "engine/transit_priv.h"

#include "base/text.h"

struct mln_err transit_absent(struct mln_reply *re)
{
    re->status = 404;
    re->no_errors_text = true;
    return MLN_OK;
}

/* ---- wrapped texts ---- */

struct mln_value *transit_wrap_text(struct mln_cx *cx, int64_t version, struct mln_bytes payload,
                                    bool is_url)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_format(&text, "vault:v%lld:", (long long)version);
    mln_base64_print(&text, payload, is_url ? MLN_B64_URL_RAW : MLN_B64_STD);
    (void)mln_failed(mln_buf_ok(cx, &text));
    return mln_string_dup(cx, mln_buf_bytes(&text));
}

struct mln_err transit_split(struct mln_cx *cx, const char *what, struct mln_bytes text,
                             int64_t *ret_version, struct mln_bytes *ret_payload)
{
    const struct mln_bytes head = MLN_BYTES("vault:v");
    int64_t version = 0;
    if (!mln_bytes_starts(text, head)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: no prefix", what);
    }
    struct mln_bytes rest, number = mln_bytes_cut(mln_bytes_from(text, head.len), ':', &rest);
    if (number.len + head.len == text.len) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: wrong number of fields", what);
    }
    bool is_plain = number.len > 0 && number.ptr[0] >= '1' && number.ptr[0] <= '9';
    if (!is_plain || !mln_i64_parse(number, &version)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: version number could not be decoded", what);
    }
    *ret_version = version;
    *ret_payload = rest;
    return MLN_OK;
}

struct mln_err transit_split_for(struct mln_cx *cx, const struct transit_key *key, const char *what,
                                 struct mln_bytes text, int64_t *ret_version,
                                 struct mln_bytes *ret_payload)
{
    int64_t version = 0;
    MLN_TRY(transit_split(cx, what, text, &version, ret_payload));
    if (version > key->latest) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: version is too new", what);
    }
    if (version < key->min_decryption) {
        return mln_fail(cx, MLN_E_INVALID,
                        "ciphertext or signature version is disallowed by policy (too old)");
    }
    *ret_version = version;
    return MLN_OK;
}

int64_t transit_int(const struct mln_value *in, const char *name, int64_t otherwise)
{
    const struct mln_value *v = mln_get(in, name);
    int64_t number = otherwise;
    if (mln_type_of(v) == MLN_STRING && mln_i64_parse(mln_get_bytes(v), &number)) {
        return number;
    }
    return mln_get_int(v, otherwise);
}

struct mln_err transit_pick(struct mln_cx *cx, const struct transit_key *key,
                            const struct mln_value *in, const char *what, int64_t *ret)
{
    int64_t version = transit_int(in, "key_version", 0);
    const char *why =
        version < 0             ? "negative"
        : version > key->latest ? "higher than the latest key version"
        : version != 0 && (version < key->min_encryption || version < key->min_available)
            ? "less than the minimum encryption key version"
            : NULL;
    if (why != NULL) {
        return mln_fail(cx, MLN_E_INVALID, "requested version for %s is %s", what, why);
    }
    *ret = version == 0 ? key->latest : version;
    return MLN_OK;
}

struct mln_err transit_read_input(struct mln_cx *cx, const struct mln_value *in, const char *absent,
                                  struct mln_buf *to)
{
    const struct mln_value *text = mln_get(in, "input");
    if (mln_type_of(text) != MLN_STRING) {
        return mln_fail(cx, MLN_E_INVALID, "%s", absent);
    }
    if (mln_failed(mln_base64_parse(cx, mln_get_bytes(text), MLN_B64_STD, to))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "unable to decode input as base64: %s", why);
    }
    return MLN_OK;
}

/* ---- batches ---- */

/* An item's own mistake becomes a member of its result; anything else fails the request. */
static struct mln_err item_failed(struct mln_cx *cx, struct mln_err err, struct mln_value *out)
{
    int http = mln_err_http(err.code);
    if (http < 400 || http >= 500) {
        return err;
    }
    const char *text = mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    mln_put_text(cx, out, "error", text);
    return MLN_OK;
}

static struct mln_err run_item(struct transit_call *call, transit_op op, const struct mln_value *in,
                               struct mln_value *results, size_t *failed)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_value *out = mln_object(cx);
    const struct mln_value *reference = mln_get(in, "reference");
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = mln_type_of(in) == MLN_OBJECT
                             ? op(call, in, out)
                             : mln_fail(cx, MLN_E_INVALID, "a batch item must be a map");
    if (mln_failed(err)) {
        ++*failed;
        out = mln_object(cx); /* nothing of what the item had made so far */
        MLN_TRY(item_failed(cx, err, out));
        if (call->blank != NULL) {
            mln_put(cx, out, call->blank, call->blank_value);
        }
    }
    mln_put(cx, out, "reference",
            mln_type_of(reference) == MLN_STRING ? reference : mln_text(cx, ""));
    mln_push(cx, results, out);
    return MLN_OK;
}

struct mln_err transit_run(struct transit_call *call, struct mln_reply *re, transit_op op)
{
    struct mln_cx *cx = call->rq->cx;
    const struct mln_value *batch = mln_field_of(call->rq, "batch_input");
    struct mln_value *data = mln_object(cx);
    size_t failed = 0, n = mln_len(batch);
    if (mln_is_null(batch)) {
        MLN_TRY(op(call, call->rq->fields, data));
        re->data = data;
        return mln_cx_err(cx);
    }
    if (mln_type_of(batch) != MLN_ARRAY) {
        return mln_fail(cx, MLN_E_INVALID, "failed to parse batch input: a list of maps is expected");
    }
    if (n == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing batch input to process");
    }
    if (n > TRANSIT_BATCH_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "more than %d items in a batch", TRANSIT_BATCH_MAX);
    }
    struct mln_value *results = mln_array(cx);
    for (call->index = 0; call->index < n; call->index++) {
        MLN_TRY(run_item(call, op, mln_item(batch, call->index), results, &failed));
    }
    int64_t partial = mln_get_int(mln_field_of(call->rq, "partial_failure_response_code"), 0);
    bool may_be_partial = failed < n && partial >= 200 && partial < 500;
    int of_failed = may_be_partial ? (int)partial : call->is_lenient ? 200 : 400;
    re->status = failed == 0 ? 200 : of_failed;
    mln_put(cx, data, "batch_results", results);
    mln_put_int(cx, call->rq->detail, "batch", (int64_t)n);
    re->data = data;
    return mln_cx_err(cx);
}
