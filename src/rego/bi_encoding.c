/* SPDX-License-Identifier: Apache-2.0 */
/* base64, base64url, hex, urlquery. Errors are Go's. */
#include "rego/builtin_priv.h"

#include "base/text.h"

static bool encode(struct rg_call *call, enum mln_b64 kind)
{
    struct mln_bytes t;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    mln_base64_print(&out, t, kind);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

struct mln_bytes rg_one_line(struct rg_heap *heap, struct mln_bytes t)
{
    if (mln_bytes_find(t, '\n') == t.len && mln_bytes_find(t, '\r') == t.len) {
        return t;
    }
    char *to = rg_text_dup(heap, t);
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] != '\n' && t.ptr[i] != '\r') {
            to[n++] = (char)t.ptr[i];
        }
    }
    return mln_bytes_at(to, n);
}

static bool decode(struct rg_call *call, enum mln_b64 kind)
{
    struct mln_bytes t;
    struct mln_cx cx;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_cx_init(&cx, NULL);
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    t = rg_one_line(call->heap, t);
    if (kind == MLN_B64_URL && t.len % 4 != 0 && mln_bytes_find(t, '=') == t.len) {
        kind = MLN_B64_URL_RAW;
    }
    if (mln_failed(mln_base64_parse(&cx, t, kind, &out))) {
        return rg_fail(call, "%s", cx.text);
    }
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool b64_encode(struct rg_call *call)
{
    return encode(call, MLN_B64_STD);
}

static bool b64_decode(struct rg_call *call)
{
    return decode(call, MLN_B64_STD);
}

static bool b64_is_valid(struct rg_call *call)
{
    struct mln_bytes t;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    return rg_arg_string(call, 1, &t) &&
           rg_return(call, rg_bool(!mln_failed(mln_base64_parse(NULL, rg_one_line(call->heap, t),
                                                                MLN_B64_STD, &out))));
}

static bool url_encode(struct rg_call *call)
{
    return encode(call, MLN_B64_URL);
}

static bool url_encode_raw(struct rg_call *call)
{
    return encode(call, MLN_B64_URL_RAW);
}

static bool url_decode(struct rg_call *call)
{
    return decode(call, MLN_B64_URL);
}

static bool hex_encode(struct rg_call *call)
{
    struct mln_bytes t;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    mln_hex_print(&out, t);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static int hex_of(uint8_t c)
{
    uint8_t l = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

static bool hex_decode(struct rg_call *call)
{
    struct mln_bytes t;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    for (size_t i = 0; i < t.len; i++) {
        if (hex_of(t.ptr[i]) < 0) {
            return t.ptr[i] > 0x20 && t.ptr[i] < 0x7f
                       ? rg_fail(call, "encoding/hex: invalid byte: U+%04X '%c'", t.ptr[i],
                                 t.ptr[i])
                       : rg_fail(call, "encoding/hex: invalid byte: U+%04X", t.ptr[i]);
        }
    }
    if (t.len % 2 != 0) {
        return rg_fail(call, "encoding/hex: odd length hex string");
    }
    for (size_t i = 0; i < t.len; i += 2) {
        mln_buf_add_byte(&out, (uint8_t)(hex_of(t.ptr[i]) << 4 | hex_of(t.ptr[i + 1])));
    }
    return rg_return(call, rg_string_buf(call->heap, &out));
}

/* ---- urlquery ---- */
static void add_escaped(struct mln_buf *out, struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        uint8_t c = t.ptr[i], l = c | 0x20;
        if ((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
            c == '~') {
            mln_buf_add_byte(out, c);
        } else if (c == ' ') {
            mln_buf_add_byte(out, '+');
        } else {
            mln_buf_add_format(out, "%%%02X", c);
        }
    }
}

/* Appends; false after an error with Go's words. */
static bool add_unescaped(struct rg_call *call, struct mln_buf *out, struct mln_bytes t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (t.ptr[i] != '%') {
            mln_buf_add_byte(out, t.ptr[i] == '+' ? ' ' : t.ptr[i]);
            continue;
        }
        int a = i + 1 < t.len ? hex_of(t.ptr[i + 1]) : -1;
        int b = i + 2 < t.len ? hex_of(t.ptr[i + 2]) : -1;
        if (a < 0 || b < 0) {
            struct mln_bytes bad = mln_bytes_sub(t, i, 3);
            return rg_fail(call, "invalid URL escape \"%.*s\"", MLN_FMT(bad));
        }
        mln_buf_add_byte(out, (uint8_t)(a << 4 | b));
        i += 2;
    }
    return true;
}

static bool query_encode(struct rg_call *call)
{
    struct mln_bytes t;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    add_escaped(&out, t);
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool query_decode(struct rg_call *call)
{
    struct mln_bytes t;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    return rg_arg_string(call, 1, &t) && add_unescaped(call, &out, t) &&
           rg_return(call, rg_string_buf(call->heap, &out));
}

static bool add_pair(struct rg_call *call, struct mln_buf *out, struct rg_val key, struct rg_val v)
{
    if (v.tag != RG_STR) {
        return rg_fail_operand(call, 1, "must be object with values of string, array or set of "
                                        "strings but got %s",
                               rg_type_name(v));
    }
    mln_buf_add_text(out, out->len == 0 ? "" : "&");
    add_escaped(out, rg_bytes(key));
    mln_buf_add_byte(out, '=');
    add_escaped(out, rg_bytes(v));
    return true;
}

static bool query_encode_object(struct rg_call *call)
{
    struct rg_val from;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (!rg_arg_tag(call, 1, RG_OBJECT, &from)) {
        return false;
    }
    for (size_t i = 0; i < rg_len(from); i++) {
        struct rg_val key = rg_key_at(from, i), v = rg_val_at(from, i);
        if (key.tag != RG_STR) {
            return rg_fail_operand(call, 1, "must be object with string keys but got %s",
                                   rg_type_name(key));
        }
        if (v.tag != RG_ARRAY && v.tag != RG_SET) {
            if (!add_pair(call, &out, key, v)) {
                return false;
            }
            continue;
        }
        for (size_t k = 0; k < rg_len(v); k++) {
            if (!add_pair(call, &out, key, v.tag == RG_ARRAY ? rg_item(v, k) : rg_key_at(v, k))) {
                return false;
            }
        }
    }
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool query_decode_object(struct rg_call *call)
{
    struct mln_bytes t;
    struct rg_val out = rg_object(call->heap, 0);
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    while (t.len > 0) {
        MLN_AUTO(mln_buf_drop) struct mln_buf key = {0}, value = {0};
        struct mln_bytes after, pair = mln_bytes_cut(t, '&', &t);
        struct mln_bytes name = mln_bytes_cut(pair, '=', &after);
        if (mln_bytes_find(pair, ';') < pair.len) {
            return rg_fail(call, "invalid semicolon separator in query");
        }
        if (pair.len == 0) {
            continue;
        }
        if (!add_unescaped(call, &key, name) || !add_unescaped(call, &value, after)) {
            return false;
        }
        struct rg_val k = rg_string(call->heap, mln_buf_bytes(&key)), list = rg_get(out, k);
        if (list.tag == RG_UNDEF) {
            list = rg_array(call->heap, 1);
            rg_put(call->heap, out, k, list);
        }
        rg_push(call->heap, list, rg_string(call->heap, mln_buf_bytes(&value)));
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_encoding[] = {
    {"base64.encode", b64_encode},
    {"base64.decode", b64_decode},
    {"base64.is_valid", b64_is_valid},
    {"base64url.encode", url_encode},
    {"base64url.encode_no_pad", url_encode_raw},
    {"base64url.decode", url_decode},
    {"hex.encode", hex_encode},
    {"hex.decode", hex_decode},
    {"urlquery.encode", query_encode},
    {"urlquery.decode", query_decode},
    {"urlquery.encode_object", query_encode_object},
    {"urlquery.decode_object", query_decode_object},
    {NULL, NULL}};
