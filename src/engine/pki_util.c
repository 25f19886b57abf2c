/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: rows of the store, serial numbers, texts. No handler is here. */
#include "engine/pki_priv.h"

#include "base/clock.h"
#include "base/text.h"

struct mln_bytes pki_text(const struct mln_request *rq, const char *name)
{
    return mln_get_bytes(mln_field_of(rq, name));
}

bool pki_flag(const struct mln_request *rq, const char *name, bool otherwise)
{
    return mln_get_bool(mln_field_of(rq, name), otherwise);
}

/* ---- rows ---- */

static struct mln_bytes row(struct mln_cx *cx, const char *folder, struct mln_bytes name)
{
    struct mln_bytes head = mln_bytes_of(folder);
    uint8_t *key = mln_new(cx, head.len + name.len + 1);
    if (key == NULL) {
        return MLN_BYTES_NONE;
    }
    mln_copy(key, head.ptr, head.len);
    mln_copy(key + head.len, name.ptr, name.len);
    return mln_bytes_at(key, head.len + name.len);
}

struct mln_err pki_get(struct mln_request *rq, const char *folder, struct mln_bytes name,
                       const struct mln_value **ret)
{
    if (name.len > PKI_NAME_MAX) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_bytes key = row(rq->cx, folder, name);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, ret);
}

struct mln_err pki_find(struct mln_request *rq, const char *folder, struct mln_bytes name,
                        const struct mln_value **ret)
{
    const struct mln_value *v = NULL;
    struct mln_err err = pki_get(rq, folder, name, &v);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = NULL;
        return MLN_OK;
    }
    MLN_TRY(err);
    *ret = v;
    return MLN_OK;
}

struct mln_err pki_put(struct mln_request *rq, const char *folder, struct mln_bytes name,
                       const struct mln_value *v)
{
    struct mln_bytes key = row(rq->cx, folder, name);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key, v);
}

struct mln_err pki_delete(struct mln_request *rq, const char *folder, struct mln_bytes name)
{
    struct mln_bytes key = row(rq->cx, folder, name);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key);
}

struct mln_err pki_list(struct mln_request *rq, const char *folder, const struct mln_value **ret)
{
    const struct mln_value *keys = NULL;
    struct mln_err err =
        mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(folder), &keys);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = mln_array(rq->cx);
        return mln_cx_err(rq->cx);
    }
    MLN_TRY(err);
    *ret = keys;
    return MLN_OK;
}

struct mln_err pki_answer_list(struct mln_request *rq, struct mln_reply *re, const char *folder)
{
    const struct mln_value *keys = NULL;
    MLN_TRY(pki_list(rq, folder, &keys));
    if (mln_len(keys) == 0) {
        return pki_not_found(re);
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_not_found(struct mln_reply *re)
{
    re->status = 404;
    re->no_errors_text = true;
    return MLN_OK;
}

/* ---- serial numbers ---- */

const char *pki_serial_text(struct mln_cx *cx, struct mln_bytes serial)
{
    static const char digits[] = "0123456789abcdef";
    char *out = mln_new(cx, serial.len * 3 + 1);
    if (out == NULL || serial.len == 0) {
        return "";
    }
    for (size_t i = 0; i < serial.len; i++) {
        out[3 * i] = digits[serial.ptr[i] >> 4];
        out[3 * i + 1] = digits[serial.ptr[i] & 15];
        out[3 * i + 2] = ':';
    }
    out[3 * serial.len - 1] = '\0';
    return out;
}

static int hex_of(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

struct mln_bytes pki_serial_bytes(struct mln_cx *cx, struct mln_bytes text)
{
    uint8_t bytes[20];
    size_t n = 0, at = 0;
    while (at + 1 < text.len && n < sizeof(bytes)) {
        int high = hex_of(text.ptr[at]), low = hex_of(text.ptr[at + 1]);
        if (high < 0 || low < 0) {
            return MLN_BYTES_NONE;
        }
        bytes[n++] = (uint8_t)(high << 4 | low);
        at += 2;
        if (at + 2 < text.len && (text.ptr[at] == ':' || text.ptr[at] == '-')) {
            at++;
        }
    }
    return at == text.len ? mln_bytes_dup(cx, mln_bytes_at(bytes, n)) : MLN_BYTES_NONE;
}

const char *pki_serial_parse(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_bytes bytes = pki_serial_bytes(cx, mln_bytes_trim(text));
    return bytes.len > 0 ? pki_serial_text(cx, bytes) : NULL;
}

/* 20 bytes, positive, never short: 159 random bits (RFC 5280 sec. 4.1.2.2). */
struct mln_bytes pki_serial_random(struct mln_cx *cx)
{
    uint8_t serial[20];
    do {
        mln_random(serial, sizeof(serial));
        serial[0] &= 0x7f;
    } while (serial[0] == 0);
    return mln_bytes_dup(cx, mln_bytes_at(serial, sizeof(serial)));
}

const char *pki_uuid(struct mln_cx *cx)
{
    char id[37];
    mln_uuid(id);
    return mln_text_dup(cx, mln_bytes_of(id));
}

/* ---- answers ---- */

struct mln_err pki_raw(struct mln_reply *re, struct mln_bytes body, const char *type)
{
    re->raw = body;
    re->content_type = type;
    return MLN_OK;
}

struct mln_err pki_raw_text(struct mln_reply *re, const char *text, const char *type)
{
    return pki_raw(re, mln_bytes_of(text), type);
}

void pki_put_secret(struct mln_cx *cx, struct mln_value *out, const char *key, const char *text)
{
    mln_put(cx, out, key, mln_secret_string(cx, mln_bytes_of(text)));
}

/* ---- texts ---- */

static bool is_plain_name(struct mln_bytes name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        bool is_inner = (c == '-' || c == '.') && i > 0 && i + 1 < name.len;
        if (!is_letter && !is_inner) {
            return false;
        }
    }
    return name.len > 0 && name.len <= PKI_NAME_MAX;
}

struct mln_err pki_name_check(struct mln_request *rq, const char *what, struct mln_bytes name)
{
    if (mln_bytes_is_nocase(name, "default")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "reserved keyword 'default' can not be used as %s name", what);
    }
    if (!is_plain_name(name)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s name contained invalid characters", what);
    }
    return MLN_OK;
}

const struct mln_value *pki_list_of(struct mln_cx *cx, const struct mln_value *v)
{
    return mln_type_of(v) == MLN_ARRAY ? v : mln_array(cx);
}

bool pki_list_has(const struct mln_value *list, struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(list, i)), text)) {
            return true;
        }
    }
    return false;
}

struct mln_err pki_pem_one(struct mln_cx *cx, struct mln_bytes text, const char *label,
                           const char *bad, struct mln_bytes *ret)
{
    struct mln_bytes left = text, kind, der;
    bool is_bad = false;
    while (mln_pem_next(cx, &left, &kind, &der, &is_bad)) {
        const struct mln_bytes old = MLN_BYTES("NEW "); /* "NEW CERTIFICATE REQUEST" of old tools */
        if (mln_bytes_is(kind, label) ||
            (mln_bytes_starts(kind, old) && mln_bytes_is(mln_bytes_from(kind, old.len), label))) {
            *ret = der;
            return MLN_OK;
        }
    }
    MLN_TRY(mln_cx_err(cx));
    return mln_fail(cx, MLN_E_INVALID, "%s", bad);
}

bool pki_glob(struct mln_bytes pattern, struct mln_bytes text)
{
    size_t p = 0, t = 0, star = pattern.len, mark = 0; /* star: behind the last "*" seen */
    bool has_star = false;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            has_star = true;
            star = ++p;
            mark = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (has_star) {
            p = star;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

struct mln_err pki_fill(struct mln_request *rq, struct mln_bytes text, const char **ret)
{
    *ret = NULL;
    if (mln_bytes_find_bytes(text, MLN_BYTES("{{")) == text.len) {
        *ret = mln_text_dup(rq->cx, text);
        return mln_cx_err(rq->cx);
    }
    return rq->services->fill != NULL ? rq->services->fill(rq, text, ret) : MLN_OK;
}
