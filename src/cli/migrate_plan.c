/* SPDX-License-Identifier: Apache-2.0 */
/* merlon migrate: which objects are meant, and when two of them are the same. */
#include "cli/migrate_priv.h"

/* ---- globs ---- */

/* The whole of `path`, or all of it up to a "/" . Two places to go back to: the last "*", the last "**". */
bool mig_glob(struct mln_bytes pattern, struct mln_bytes path)
{
    size_t p = 0, s = 0;
    size_t star_p = SIZE_MAX, star_s = 0, deep_p = SIZE_MAX, deep_s = 0;
    while (p < pattern.len || (s < path.len && path.ptr[s] != '/')) {
        uint8_t c = p < pattern.len ? pattern.ptr[p] : 0;
        if (c == '*' && p + 1 < pattern.len && pattern.ptr[p + 1] == '*') {
            p += 2;
            deep_p = p;
            deep_s = s;
            star_p = SIZE_MAX;
        } else if (c == '*') {
            p++;
            star_p = p;
            star_s = s;
        } else if (p < pattern.len && s < path.len &&
                   (c == path.ptr[s] || (c == '?' && path.ptr[s] != '/'))) {
            p++;
            s++;
        } else if (star_p != SIZE_MAX && star_s < path.len && path.ptr[star_s] != '/') {
            p = star_p;
            s = ++star_s;
        } else if (deep_p != SIZE_MAX && deep_s < path.len) {
            p = deep_p;
            s = ++deep_s;
            star_p = SIZE_MAX;
        } else {
            return false;
        }
    }
    return true;
}

static bool fits_one(const struct mln_value *patterns, const char *path)
{
    for (size_t i = 0; i < mln_len(patterns); i++) {
        struct mln_bytes pattern = mln_get_bytes(mln_item(patterns, i));
        while (pattern.len > 1 && pattern.ptr[pattern.len - 1] == '/') {
            pattern.len--;
        }
        if (mig_glob(pattern, mln_bytes_of(path))) {
            return true;
        }
    }
    return false;
}

bool mig_wanted(const struct mln_value *only, const struct mln_value *exclude, const char *path)
{
    return (mln_len(only) == 0 || fits_one(only, path)) && !fits_one(exclude, path);
}

/* ---- sameness ---- */

bool mig_is_empty(const struct mln_value *v)
{
    switch (mln_type_of(v)) {
    case MLN_NULL:
        return true;
    case MLN_BOOL:
        return !mln_get_bool(v, false);
    case MLN_INT:
        return mln_get_int(v, 0) == 0;
    case MLN_DECIMAL:
        return false;
    case MLN_STRING:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
    default:
        return mln_len(v) == 0;
    }
}

/* Seconds of 3600, "3600" and "1h". */
static bool seconds_of(const struct mln_value *v, int64_t *ret)
{
    if (mln_type_of(v) == MLN_INT) {
        *ret = mln_get_int(v, 0);
        return true;
    }
    return mln_type_of(v) == MLN_STRING && mln_duration_parse(mln_get_bytes(v), ret);
}

static bool holds(const struct mln_value *list, const struct mln_value *item)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_value_eq(mln_item(list, i), item)) {
            return true;
        }
    }
    return false;
}

static bool same_list(const struct mln_value *a, const struct mln_value *b)
{
    bool is_same = mln_len(a) == mln_len(b);
    for (size_t i = 0; is_same && i < mln_len(a); i++) {
        is_same = holds(b, mln_item(a, i)) && holds(a, mln_item(b, i));
    }
    return is_same;
}

static bool same_object(const struct mln_value *a, const struct mln_value *b)
{
    for (size_t i = 0; i < mln_len(a); i++) {
        const struct mln_member *x = mln_member_at(a, i);
        if (!mig_same(&x->value, mln_get_key(b, x->key))) {
            return false;
        }
    }
    for (size_t i = 0; i < mln_len(b); i++) {
        const struct mln_member *x = mln_member_at(b, i);
        if (mln_get_key(a, x->key) == NULL && !mig_is_empty(&x->value)) {
            return false;
        }
    }
    return true;
}

bool mig_same(const struct mln_value *a, const struct mln_value *b)
{
    int64_t x = 0, y = 0;
    if ((mig_is_empty(a) && mig_is_empty(b)) || (a != NULL && b != NULL && mln_value_eq(a, b))) {
        return true;
    }
    if (mln_type_of(a) == MLN_ARRAY && mln_type_of(b) == MLN_ARRAY) {
        return same_list(a, b);
    }
    if (mln_type_of(a) == MLN_OBJECT && mln_type_of(b) == MLN_OBJECT) {
        return same_object(a, b); /* as deep as the parser let it be */
    }
    return seconds_of(a, &x) && seconds_of(b, &y) && x == y;
}

bool mig_has_word(const char *words, struct mln_bytes word)
{
    struct mln_bytes rest = mln_bytes_of(words);
    while (rest.len > 0) {
        if (mln_bytes_eq(mln_bytes_cut(rest, ',', &rest), word)) {
            return true;
        }
    }
    return false;
}

/* What a server that does not know the member does anyway. */
static bool is_default(const struct mln_member *x)
{
    return mig_is_empty(&x->value) || (mln_bytes_is(x->key, "issuer_ref") && mln_is_text(&x->value, "default")) ||
           (mln_bytes_is(x->key, "role_cache_size") && mln_get_int(&x->value, 0) == 200);
}

const char *mig_differing(struct mln_cx *cx, const struct mln_value *wanted,
                          const struct mln_value *have, const char *except)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (size_t i = 0; i < mln_len(wanted); i++) {
        const struct mln_member *x = mln_member_at(wanted, i);
        const struct mln_value *there = mln_get_key(have, x->key);
        bool is_same = there == NULL ? is_default(x) : mig_same(&x->value, there);
        if (mig_has_word(except, x->key) || is_same) {
            continue;
        }
        mln_buf_add_text(&buf, buf.len > 0 ? "," : "");
        mln_buf_add_bytes(&buf, x->key);
    }
    return buf.len == 0 ? "" : mln_text_dup(cx, mln_buf_bytes(&buf));
}

struct mln_value *mig_without(struct mln_cx *cx, const struct mln_value *v, const char *drop,
                              bool is_sparse)
{
    struct mln_value *copy = mln_object(cx);
    for (size_t i = 0; mln_type_of(v) == MLN_OBJECT && i < mln_len(v); i++) {
        const struct mln_member *x = mln_member_at(v, i);
        bool is_out = mln_is_null(&x->value) || (is_sparse && mig_is_empty(&x->value));
        if (!is_out && !mig_has_word(drop, x->key)) {
            mln_put_key(cx, copy, x->key, &x->value);
        }
    }
    return copy;
}
