/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query strings and form bodies (WHATWG application/x-www-form-urlencoded), strictly: bad escapes
 * and bad UTF-8 are refused.
 */
#include "api/vault_priv.h"
#include "base/text.h"

static bool needs_decoding(struct mln_bytes raw, bool plus_is_space)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.ptr[i] == '%' || (plus_is_space && raw.ptr[i] == '+')) {
            return true;
        }
    }
    return false;
}

struct mln_err mln_api_decode(struct mln_cx *cx, struct mln_bytes raw, bool plus_is_space,
                              struct mln_bytes *ret)
{
    if (!needs_decoding(raw, plus_is_space)) {
        *ret = raw;
        return MLN_OK;
    }
    struct mln_buf buf = {.is_secret = true};
    if (mln_failed(mln_percent_parse(cx, raw, plus_is_space, &buf))) {
        mln_buf_drop(&buf);
        return mln_refail(cx, MLN_E_INVALID, "malformed percent-encoding");
    }
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return mln_cx_err(cx);
}

static struct mln_err decode_text(struct mln_cx *cx, struct mln_bytes raw, struct mln_bytes *ret)
{
    MLN_TRY(mln_api_decode(cx, raw, true, ret));
    if (!mln_utf8_valid(*ret)) {
        return mln_fail(cx, MLN_E_INVALID, "a parameter is not UTF-8");
    }
    return MLN_OK;
}

static void put_joined(struct mln_cx *cx, struct mln_value *to, struct mln_bytes key,
                       struct mln_bytes old, struct mln_bytes more)
{
    uint8_t *both = mln_new(cx, old.len + 1 + more.len);
    if (both != NULL) {
        mln_copy(both, old.ptr, old.len);
        both[old.len] = ',';
        mln_copy(both + old.len + 1, more.ptr, more.len);
        mln_put_key(cx, to, key, mln_string(cx, mln_bytes_at(both, old.len + 1 + more.len)));
    }
}

static void put_pair(struct mln_cx *cx, struct mln_value *to, struct mln_bytes key,
                     struct mln_bytes value, enum mln_api_repeat repeat)
{
    const struct mln_value *old = mln_get_key(to, key);
    if (old == NULL) {
        mln_put_key(cx, to, key, mln_string(cx, value));
    } else if (repeat == MLN_API_JOIN) {
        put_joined(cx, to, key, mln_get_bytes(old), value);
    } else {
        /* A new array each time: values are not changed once they were handed on. */
        struct mln_value *array = mln_array(cx);
        bool is_array = mln_type_of(old) == MLN_ARRAY;
        for (size_t i = 0; is_array && i < mln_len(old); i++) {
            mln_push(cx, array, mln_item(old, i));
        }
        if (!is_array) {
            mln_push(cx, array, old);
        }
        mln_push(cx, array, mln_string(cx, value));
        mln_put_key(cx, to, key, array);
    }
}

struct mln_err mln_api_form(struct mln_cx *cx, struct mln_bytes text, enum mln_api_repeat repeat,
                            struct mln_value **ret)
{
    struct mln_value *form = mln_object(cx);
    for (size_t n = 0; text.len > 0; n++) {
        struct mln_bytes pair = mln_bytes_cut(text, '&', &text);
        struct mln_bytes key = MLN_BYTES_NONE, value = MLN_BYTES_NONE;
        struct mln_bytes raw_key = mln_bytes_cut(pair, '=', &value);
        if (n >= MLN_API_PAIRS_MAX) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "more than %u parameters", MLN_API_PAIRS_MAX);
        }
        if (pair.len == 0) {
            continue;
        }
        MLN_TRY(decode_text(cx, raw_key, &key));
        MLN_TRY(decode_text(cx, value, &value));
        put_pair(cx, form, key, value, repeat);
    }
    *ret = form;
    return mln_cx_err(cx);
}
