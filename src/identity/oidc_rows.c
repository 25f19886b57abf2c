/* SPDX-License-Identifier: Apache-2.0 */
/* Rows, fields and templates that the files of OIDC share. */
#include "identity/oidc_priv.h"

#include "base/json.h"

static struct mln_bytes key_of(struct mln_request *rq, const char *kind, struct mln_bytes name)
{
    return mln_bytes_format(rq->cx, "oidc/%s/%s", kind, mln_hex_text(rq->cx, name));
}

struct mln_err oidc_get(struct mln_request *rq, const char *kind, struct mln_bytes name,
                        const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, id_view(), key_of(rq, kind, name), ret);
}

struct mln_err oidc_put(struct mln_request *rq, const char *kind, struct mln_bytes name,
                        const struct mln_value *row)
{
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, id_view(), key_of(rq, kind, name), row);
}

struct mln_err oidc_delete(struct mln_request *rq, const char *kind, struct mln_bytes name)
{
    return mln_txn_delete(rq->cx, rq->txn, id_view(), key_of(rq, kind, name));
}

struct mln_err oidc_names(struct mln_request *rq, const char *kind, const struct mln_value **ret)
{
    const struct mln_value *hex = NULL;
    struct mln_value *out = mln_array(rq->cx);
    MLN_TRY(id_names(rq->cx, rq->txn, mln_bytes_format(rq->cx, "oidc/%s/", kind), &hex));
    for (size_t i = 0; i < mln_len(hex); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf name = {0};
        MLN_TRY(mln_hex_parse(rq->cx, mln_get_bytes(mln_item(hex, i)), &name));
        mln_push(rq->cx, out, mln_string_dup(rq->cx, mln_buf_bytes(&name)));
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

struct mln_err oidc_field_name(struct mln_request *rq, struct mln_bytes *ret)
{
    MLN_TRY(id_field_name(rq, "name", ret));
    return ret->len > 0 ? MLN_OK : mln_fail(rq->cx, MLN_E_INVALID, "missing name");
}

struct mln_err oidc_put_list(struct mln_request *rq, const char *field, struct mln_value *row)
{
    const struct mln_value *list = mln_field_of(rq, field);
    if (mln_len(list) > OIDC_LIST_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "%s has at most %u entries", field, OIDC_LIST_MAX);
    }
    if (!mln_is_null(list)) {
        mln_put(rq->cx, row, field, list);
    }
    return MLN_OK;
}

struct mln_err oidc_put_seconds(struct mln_request *rq, const char *field, struct mln_value *row,
                                const char *column)
{
    const struct mln_value *v = mln_field_of(rq, field);
    int64_t s = mln_get_int(v, 0);
    if (s < 0 || s > (int64_t)100 * 365 * 86400) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s must be 0 or more", field);
    }
    if (!mln_is_null(v)) {
        mln_put_int(rq->cx, row, column, s);
    }
    return MLN_OK;
}

/* ---- addresses ---- */

bool oidc_is_issuer(struct mln_bytes text)
{
    bool is_https = mln_bytes_starts(text, MLN_BYTES("https://"));
    struct mln_bytes host = mln_bytes_from(text, is_https ? 8 : 7);
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '/' || c == '?' || c == '#' || c == '@' || c == '\\' ||
            c == '"') {
            return false;
        }
    }
    return (is_https || mln_bytes_starts(text, MLN_BYTES("http://"))) && host.len > 0 &&
           host.len <= MLN_NAME_MAX_BYTES;
}

struct mln_err oidc_base(struct mln_request *rq, const char **ret)
{
    const struct mln_value *config = NULL;
    struct mln_err err =
        mln_txn_get_value(rq->cx, rq->txn, id_view(), MLN_BYTES("oidc/config"), &config);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    const char *issuer = mln_failed(err) ? "" : id_text(rq->cx, config, "issuer");
    *ret = issuer[0] != 0 ? issuer : rq->services->address(rq);
    return mln_cx_err(rq->cx);
}

bool oidc_allows(const struct mln_value *list, struct mln_bytes id)
{
    return id_has(list, MLN_BYTES("*")) || id_has(list, id);
}

/* ---- templates ---- */

static bool is_reserved(struct mln_bytes claim)
{
    static const char *const reserved[] = {"iat",       "aud",   "exp",     "iss",    "sub",
                                           "namespace", "nonce", "at_hash", "c_hash", "auth_time"};
    for (size_t i = 0; i < MLN_COUNT(reserved); i++) {
        if (mln_bytes_is(claim, reserved[i])) {
            return true;
        }
    }
    return false;
}

struct mln_err oidc_claims(struct mln_request *rq, const char *text, const struct mln_value *person,
                           struct mln_value *claims)
{
    const struct mln_template_who who = {.person = person, .now_s = rq->now_ns / OIDC_SECOND_NS};
    const struct mln_value *filled = NULL;
    const char *json = NULL;
    if (text[0] == 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_template_fill(rq->cx, mln_bytes_of(text), MLN_TEMPLATE_JSON, &who, &json));
    struct mln_err err = mln_json_parse(rq->cx, mln_bytes_of(json), &filled);
    if (mln_failed(err) || mln_type_of(filled) != MLN_OBJECT) {
        return mln_refail(rq->cx, MLN_E_INVALID,
                          "error parsing template JSON: it must be an object");
    }
    for (size_t i = 0; i < mln_len(filled); i++) {
        const struct mln_member *m = mln_member_at(filled, i);
        if (is_reserved(m->key)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "top level key \"%.64s\" not allowed",
                            mln_text_dup(rq->cx, m->key));
        }
        mln_put_key(rq->cx, claims, m->key, &m->value);
    }
    return mln_cx_err(rq->cx);
}

struct mln_err oidc_field_template(struct mln_request *rq, const char **ret)
{
    const struct mln_value *v = mln_field_of(rq, "template");
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {0};
    struct mln_bytes text = mln_bytes_trim(mln_get_bytes(v));
    *ret = NULL;
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (text.len > OIDC_TEMPLATE_MAX) {
        return mln_fail(rq->cx, MLN_E_TOO_LARGE, "a template has at most %u bytes",
                        OIDC_TEMPLATE_MAX);
    }
    if (text.len > 0 && text.ptr[0] != '{' &&
        !mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, &plain))) {
        text = mln_buf_bytes(&plain);
    }
    mln_cx_clear(rq->cx);
    const char *own = mln_text_dup(rq->cx, text);
    MLN_TRY(oidc_claims(rq, own, NULL, mln_object(rq->cx)));
    *ret = own;
    return mln_cx_err(rq->cx);
}
