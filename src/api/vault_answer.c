/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers in Vault's shape: the envelope with all its members in their order, bare objects, raw
 * files, errors.
 */
#include "api/vault_priv.h"
#include "base/json.h"

#define JSON_TYPE      "application/json"
#define FOR_EVER       "public, max-age=31536000, immutable"
#define TYPE_BYTES_MAX 128u

static const char *const envelope_names[] = {"request_id",     "lease_id", "renewable",
                                             "lease_duration", "data",     "wrap_info",
                                             "warnings",       "auth"};

static void add_value(struct mln_buf *body, const char *name, const struct mln_value *value)
{
    mln_buf_add_text(body, name);
    if (value == NULL) {
        mln_buf_add_text(body, "null");
    } else {
        mln_json_print(body, value, MLN_JSON_COMPACT);
    }
}

static void add_string(struct mln_buf *body, const char *name, const struct mln_value *value)
{
    mln_buf_add_text(body, name);
    mln_json_print_string(body, mln_get_bytes(value), MLN_JSON_COMPACT);
}

static bool is_envelope_name(struct mln_bytes key)
{
    for (size_t i = 0; i < MLN_COUNT(envelope_names); i++) {
        if (mln_bytes_is(key, envelope_names[i])) {
            return true;
        }
    }
    return false;
}

/* Members beside data, for old clients. */
static void add_top(struct mln_buf *body, const struct mln_value *top)
{
    for (size_t i = 0; mln_type_of(top) == MLN_OBJECT && i < mln_len(top); i++) {
        const struct mln_member *m = mln_member_at(top, i);
        if (!is_envelope_name(m->key)) {
            mln_buf_add_byte(body, ',');
            mln_json_print_string(body, m->key, MLN_JSON_COMPACT);
            mln_buf_add_byte(body, ':');
            mln_json_print(body, &m->value, MLN_JSON_COMPACT);
        }
    }
}

static void add_envelope(struct mln_buf *body, const struct mln_value *answer)
{
    bool is_renewable = mln_get_bool(mln_get(answer, "renewable"), false);
    add_string(body, "{\"request_id\":", mln_get(answer, "request_id"));
    add_string(body, ",\"lease_id\":", mln_get(answer, "lease_id"));
    mln_buf_add_text(body, is_renewable ? ",\"renewable\":true" : ",\"renewable\":false");
    mln_buf_add_format(body, ",\"lease_duration\":%lld",
                       (long long)mln_get_int(mln_get(answer, "lease_duration"), 0));
    add_value(body, ",\"data\":", mln_get(answer, "data"));
    add_value(body, ",\"wrap_info\":", mln_get(answer, "wrap_info"));
    add_value(body, ",\"warnings\":", mln_get(answer, "warnings"));
    add_value(body, ",\"auth\":", mln_get(answer, "auth"));
    add_top(body, mln_get(answer, "top"));
    mln_buf_add_text(body, "}\n");
}

static void add_errors(struct mln_buf *body, const struct mln_value *errors)
{
    mln_buf_add_text(body, "{\"errors\":");
    if (mln_type_of(errors) == MLN_ARRAY) {
        mln_json_print(body, errors, MLN_JSON_COMPACT);
    } else {
        mln_buf_add_text(body, "[]");
    }
    mln_buf_add_text(body, "}\n");
}

/* Errors alone, or an envelope? A refusal that explains itself in data or warnings is an envelope (KV v2's 404s). */
static bool is_fault(const struct mln_value *answer, int64_t status)
{
    bool explains = !mln_is_null(mln_get(answer, "data")) || mln_len(mln_get(answer, "warnings")) > 0;
    return mln_get(answer, "errors") != NULL || (status >= 400 && !explains);
}

/* A content type that core names goes into a header line: nothing but visible characters may. */
static const char *type_of(struct mln_cx *cx, const struct mln_value *type)
{
    struct mln_bytes text = mln_get_bytes(type);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] >= 0x7f) {
            return "application/octet-stream";
        }
    }
    return text.len > 0 && text.len <= TYPE_BYTES_MAX ? mln_text_dup(cx, text)
                                                      : "application/octet-stream";
}

static void add_line(struct mln_buf *lines, const char *name, const struct mln_value *value)
{
    if (mln_type_of(value) == MLN_INT) {
        mln_buf_add_format(lines, "%s: %lld\r\n", name, (long long)mln_get_int(value, 0));
    }
}

/* Texts of core go into header lines: visible characters and blanks only. */
static void add_text_line(struct mln_buf *lines, const char *name, const struct mln_value *value)
{
    struct mln_bytes text = mln_get_bytes(value);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] >= 0x7f) {
            return;
        }
    }
    if (text.len > 0) {
        mln_buf_add_format(lines, "%s: ", name);
        mln_buf_add_bytes(lines, text);
        mln_buf_add_text(lines, "\r\n");
    }
}

static void add_cors(struct mln_buf *lines, const struct mln_value *cors)
{
    if (mln_is_null(cors)) {
        return;
    }
    add_text_line(lines, "Access-Control-Allow-Origin", mln_get(cors, "origin"));
    mln_buf_add_text(lines, "Vary: Origin\r\n");
    add_text_line(lines, "Access-Control-Allow-Methods", mln_get(cors, "methods"));
    add_text_line(lines, "Access-Control-Allow-Headers", mln_get(cors, "headers"));
    if (!mln_is_null(mln_get(cors, "methods"))) {
        mln_buf_add_text(lines, "Access-Control-Max-Age: 300\r\n");
    }
}

static const char *extra_of(struct mln_cx *cx, const struct mln_value *answer)
{
    const struct mln_value *rate = mln_get(answer, "rate");
    MLN_AUTO(mln_buf_drop) struct mln_buf lines = {0};
    add_line(&lines, "X-Merlon-Ledger-Index", mln_get(answer, "ledger"));
    add_line(&lines, "Retry-After", mln_get(answer, "retry_after"));
    add_line(&lines, "X-Ratelimit-Limit", mln_get(rate, "limit"));
    add_line(&lines, "X-Ratelimit-Remaining", mln_get(rate, "remaining"));
    add_line(&lines, "X-Ratelimit-Reset", mln_get(rate, "reset"));
    add_cors(&lines, mln_get(answer, "cors"));
    return lines.len == 0 ? NULL : mln_text_dup(cx, mln_buf_bytes(&lines));
}

struct mln_err mln_vault_answer(struct mln_cx *cx, const struct mln_value *answer,
                                struct mln_http_answer *ret, struct mln_buf *body)
{
    const struct mln_value *raw = mln_get(answer, "raw");
    const struct mln_value *bare = mln_get(answer, "bare");
    const struct mln_value *errors = mln_get(answer, "errors");
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    if (status < 200 || status > 599) {
        return mln_fail(cx, MLN_E_INTERNAL, "internal error");
    }
    ret->status = (int)status;
    ret->content_type = JSON_TYPE;
    ret->extra = extra_of(cx, answer);
    if (mln_get_bool(mln_get(answer, "immutable"), false) && status == 200) {
        ret->cache_control = FOR_EVER;
    }
    if (status == 204) {
        return MLN_OK;
    }
    if (mln_type_of(raw) == MLN_STRING) {
        ret->content_type = type_of(cx, mln_get(answer, "ct"));
        mln_buf_add_bytes(body, mln_get_bytes(raw));
    } else if (!mln_is_null(bare)) {
        mln_json_print(body, bare, MLN_JSON_COMPACT);
        mln_buf_add_byte(body, '\n');
    } else if (is_fault(answer, status)) {
        add_errors(body, errors);
    } else {
        add_envelope(body, answer);
    }
    return mln_cx_err(cx);
}

void mln_vault_fault(struct mln_cx *cx, struct mln_err err, struct mln_http_answer *ret,
                     struct mln_buf *body)
{
    if (!mln_failed(err)) {
        ret->status = 200;
        ret->content_type = "text/plain; charset=utf-8";
        mln_buf_add_text(body, "Merlon " MLN_VERSION
                               ": the API is below /v1/, its health at /v1/sys/health\n");
        return;
    }
    ret->status = mln_err_http(err.code);
    ret->content_type = JSON_TYPE;
    if (mln_is(err, MLN_E_LIMIT)) {
        ret->extra = "Retry-After: 1\r\n";
    }
    bool is_quiet = mln_is(err, MLN_E_METHOD) || mln_is(err, MLN_E_NO_ROUTE);
    const char *text = cx->text[0] != 0 ? cx->text : is_quiet ? "" : mln_err_text(err.code);
    mln_buf_add_text(body, "{\"errors\":[");
    if (text[0] != 0) {
        mln_json_print_string(body, mln_bytes_of(text), MLN_JSON_COMPACT);
    }
    mln_buf_add_text(body, "]}\n");
}
