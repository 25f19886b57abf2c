/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to services by the reach process, which gets a credential for the one call. */
#include "api/rego_feeder_priv.h"

#define CREDENTIAL_MAX ((size_t)64 << 10)
#define REDIRECTS      3

static struct mln_err read_small(struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    MLN_TRY(mln_file_read_all(cx, path, CREDENTIAL_MAX, &text));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&text));
    return mln_cx_err(cx);
}

static struct mln_err put_file(struct mln_cx *cx, struct mln_value *ask, const char *name, const char *path, bool is_secret)
{
    struct mln_bytes text;
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(read_small(cx, path, &text));
    mln_put(cx, ask, name, is_secret ? mln_secret_string(cx, text) : mln_string(cx, text));
    return mln_cx_err(cx);
}

/* The token is read each time: whoever renews it writes the file. */
static struct mln_err put_token(struct mln_cx *cx, const struct rego_service *s, struct mln_value *headers)
{
    struct mln_bytes token = mln_bytes_of(s->token);
    if (s->token_path != NULL) {
        MLN_TRY(read_small(cx, s->token_path, &token));
    }
    token = mln_bytes_trim(token);
    if (token.len > 0) {
        struct mln_bytes line = mln_bytes_format(cx, "%s ", s->scheme);
        uint8_t *whole = mln_new(cx, line.len + token.len);
        MLN_TRY(mln_cx_err(cx));
        mln_copy(whole, line.ptr, line.len);
        mln_copy(whole + line.len, token.ptr, token.len);
        mln_put(cx, headers, "Authorization", mln_secret_string(cx, mln_bytes_at(whole, line.len + token.len)));
    }
    return mln_cx_err(cx);
}

static struct mln_err put_headers(struct mln_cx *cx, const struct feeder_call *call, struct mln_value *ask)
{
    struct mln_value *headers = mln_object(cx);
    for (size_t i = 0; i < mln_len(call->service->headers); i++) {
        const struct mln_member *m = mln_member_at(call->service->headers, i);
        mln_put_key(cx, headers, m->key, &m->value);
    }
    if (call->etag != NULL) {
        mln_put_text(cx, headers, "If-None-Match", call->etag);
    }
    if (call->prefer != NULL) {
        mln_put_text(cx, headers, "Prefer", call->prefer);
    }
    if (call->content_type != NULL) {
        mln_put_text(cx, headers, "Content-Type", call->content_type);
    }
    if (call->is_gzip) {
        mln_put_text(cx, headers, "Content-Encoding", "gzip");
    }
    MLN_TRY(put_token(cx, call->service, headers));
    mln_put(cx, ask, "headers", headers);
    return mln_cx_err(cx);
}

static const char *url_of(struct mln_cx *cx, const struct feeder_call *call)
{
    struct mln_bytes base = mln_bytes_of(call->service->url), path = mln_bytes_of(call->resource);
    while (base.len > 0 && base.ptr[base.len - 1] == '/') {
        base.len--;
    }
    while (path.len > 0 && path.ptr[0] == '/') {
        path = mln_bytes_from(path, 1);
    }
    return mln_text_format(cx, "%.*s/%.*s", MLN_FMT(base), MLN_FMT(path));
}

struct mln_err feeder_call(struct feeder *f, struct mln_cx *cx, const struct feeder_call *call, const struct mln_value **ret)
{
    const struct rego_service *s = call->service;
    struct mln_value *ask = mln_object(cx);
    mln_put_text(cx, ask, "kind", "http");
    mln_put_text(cx, ask, "method", call->method);
    mln_put_text(cx, ask, "url", url_of(cx, call));
    mln_put_int(cx, ask, "timeout_ms", call->timeout_s * 1000);
    mln_put_int(cx, ask, "body_max", (int64_t)call->answer_max);
    mln_put_int(cx, ask, "redirects", REDIRECTS);
    mln_put_bool(cx, ask, "insecure_tls", s->is_insecure);
    if (call->body.ptr != NULL) {
        mln_put(cx, ask, "body", mln_blob(cx, call->body));
    }
    MLN_TRY(put_file(cx, ask, "ca_pem", s->ca_file, false));
    MLN_TRY(put_file(cx, ask, "cert_pem", s->cert_file, false));
    MLN_TRY(put_file(cx, ask, "key_pem", s->key_file, true));
    MLN_TRY(put_headers(cx, call, ask));
    return mln_reach_call(cx, f->reach, ask, ret);
}
