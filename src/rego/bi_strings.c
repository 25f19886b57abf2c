/* SPDX-License-Identifier: Apache-2.0 */
/* Strings. Positions count code points. */
#include "rego/builtin_priv.h"

static bool two(struct rg_call *call, struct mln_bytes *a, struct mln_bytes *b)
{
    return rg_arg_string(call, 1, a) && rg_arg_string(call, 2, b);
}

static bool contains(struct rg_call *call)
{
    struct mln_bytes a, b;
    return two(call, &a, &b) &&
           rg_return(call, rg_bool(b.len == 0 || mln_bytes_find_bytes(a, b) < a.len));
}

static bool startswith(struct rg_call *call)
{
    struct mln_bytes a, b;
    return two(call, &a, &b) && rg_return(call, rg_bool(mln_bytes_starts(a, b)));
}

static bool endswith(struct rg_call *call)
{
    struct mln_bytes a, b;
    return two(call, &a, &b) && rg_return(call, rg_bool(mln_bytes_ends(a, b)));
}

/* The items of a list of strings; false after an error. */
static bool add_texts(struct rg_call *call, uint32_t pos, struct mln_buf *buf,
                      struct mln_bytes join)
{
    struct rg_val v = call->args[pos - 1];
    if (v.tag != RG_ARRAY && v.tag != RG_SET) {
        return rg_fail_operand(call, pos, "must be one of {array, set} but got %s",
                               rg_type_name(v));
    }
    for (uint32_t i = 0; i < rg_len(v); i++) {
        struct rg_val s = v.tag == RG_ARRAY ? v.arr->items[i] : rg_key_at(v, i);
        if (s.tag != RG_STR) {
            return rg_fail_operand(call, pos, "must be %s of strings but got %s containing %s",
                                   rg_type_name(v), rg_type_name(v), rg_type_name(s));
        }
        if (i > 0) {
            mln_buf_add_bytes(buf, join);
        }
        mln_buf_add_bytes(buf, rg_bytes(s));
    }
    return true;
}

static bool concat(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = rg_buf(call->heap);
    struct mln_bytes join;
    return rg_arg_string(call, 1, &join) && add_texts(call, 2, &buf, join) &&
           rg_return(call, rg_string_buf(call->heap, &buf));
}

static size_t runes(struct mln_bytes t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++) {
        n += (t.ptr[i] & 0xc0) != 0x80;
    }
    return n;
}

/* Where the n-th code point begins. */
static size_t rune_at(struct mln_bytes t, size_t n)
{
    size_t i = 0;
    for (; i < t.len; i++) {
        if ((t.ptr[i] & 0xc0) != 0x80 && n-- == 0) {
            break;
        }
    }
    return i;
}

static bool indexof(struct rg_call *call)
{
    struct mln_bytes a, b;
    if (!two(call, &a, &b)) {
        return false;
    }
    if (b.len == 0) {
        return rg_fail(call, "empty search character");
    }
    size_t at = mln_bytes_find_bytes(a, b);
    return rg_return(call, rg_int(at >= a.len ? -1 : (int64_t)runes(mln_bytes_sub(a, 0, at))));
}

static bool indexof_n(struct rg_call *call)
{
    struct mln_bytes a, b;
    struct rg_val out = rg_array(call->heap, 0);
    if (!two(call, &a, &b)) {
        return false;
    }
    if (b.len == 0) {
        return rg_fail(call, "empty search character");
    }
    int64_t rune = 0;
    for (size_t i = 0; i + b.len <= a.len; i++) {
        if ((a.ptr[i] & 0xc0) == 0x80) {
            continue;
        }
        if (mln_same(a.ptr + i, b.ptr, b.len)) {
            rg_push(call->heap, out, rg_int(rune));
        }
        rune++;
    }
    return rg_return(call, out);
}

static bool substring(struct rg_call *call)
{
    struct mln_bytes t;
    int64_t at = 0, n = 0;
    if (!rg_arg_string(call, 1, &t) || !rg_arg_int(call, 2, &at) || !rg_arg_int(call, 3, &n)) {
        return false;
    }
    if (at < 0) {
        return rg_fail(call, "negative offset");
    }
    size_t from = rune_at(t, (size_t)at);
    struct mln_bytes rest = mln_bytes_from(t, from);
    return rg_return(
        call,
        rg_string(call->heap, n < 0 ? rest : mln_bytes_sub(rest, 0, rune_at(rest, (size_t)n))));
}

static void add_piece(struct rg_call *call, struct rg_val out, struct mln_bytes t)
{
    rg_push(call->heap, out, rg_string(call->heap, t));
}

/* Parts of `t` between `by`. */
static struct rg_val split_into(struct rg_call *call, struct mln_bytes t, struct mln_bytes by)
{
    struct rg_val out = rg_array(call->heap, 0);
    while (true) {
        size_t n = by.len == 0 ? rune_at(t, 1) : mln_bytes_find_bytes(t, by);
        if (n >= t.len) {
            break;
        }
        add_piece(call, out, mln_bytes_sub(t, 0, n));
        t = mln_bytes_from(t, n + by.len);
    }
    if (by.len > 0 || t.len > 0) {
        add_piece(call, out, t);
    }
    return out;
}

static bool split(struct rg_call *call)
{
    struct mln_bytes a, b;
    return two(call, &a, &b) && rg_return(call, split_into(call, a, b));
}

static bool split_n(struct rg_call *call)
{
    struct mln_bytes a, b;
    int64_t n = 0;
    if (!two(call, &a, &b) || !rg_arg_int(call, 3, &n)) {
        return false;
    }
    struct rg_val all = split_into(call, a, b), out = rg_array(call->heap, 0);
    int64_t len = all.arr->len, from = n < 0 && n > -len ? len + n : 0,
            to = n >= 0 && n < len ? n : len;
    for (int64_t i = from; i < to; i++) {
        rg_push(call->heap, out, all.arr->items[i]);
    }
    return rg_return(call, out);
}

static void replace_into(struct mln_buf *buf, struct mln_bytes t, struct mln_bytes from,
                         struct mln_bytes to)
{
    while (true) {
        size_t n = from.len == 0 ? rune_at(t, 1) : mln_bytes_find_bytes(t, from);
        if (from.len == 0) {
            mln_buf_add_bytes(buf, to);
        }
        if (n >= t.len && !(from.len == 0 && t.len > 0)) {
            mln_buf_add_bytes(buf, t);
            return;
        }
        mln_buf_add_bytes(buf, mln_bytes_sub(t, 0, n));
        if (from.len > 0) {
            mln_buf_add_bytes(buf, to);
        }
        t = mln_bytes_from(t, n + from.len);
    }
}

static bool replace(struct rg_call *call)
{
    struct mln_bytes t, from, to;
    struct mln_buf buf = rg_buf(call->heap);
    if (!two(call, &t, &from) || !rg_arg_string(call, 3, &to)) {
        return false;
    }
    replace_into(&buf, t, from, to);
    return rg_return(call, rg_string_buf(call->heap, &buf));
}

/* The patterns compete at each place in their order, as Go's Replacer: the first that fits. */
static size_t fits(struct rg_val patterns, struct mln_bytes t, bool was_empty,
                   struct mln_bytes *ret_to)
{
    for (uint32_t i = 0; i < patterns.map->len; i++) {
        struct mln_bytes from = rg_bytes(rg_key_at(patterns, i));
        if (mln_bytes_starts(t, from) && !(was_empty && from.len == 0)) {
            *ret_to = rg_bytes(rg_val_at(patterns, i));
            return from.len;
        }
    }
    return SIZE_MAX;
}

static bool replace_n(struct rg_call *call)
{
    struct rg_val patterns;
    struct mln_bytes t, to;
    if (!rg_arg_tag(call, 1, RG_OBJECT, &patterns) || !rg_arg_string(call, 2, &t)) {
        return false;
    }
    for (uint32_t i = 0; i < patterns.map->len; i++) {
        if (rg_key_at(patterns, i).tag != RG_STR || rg_val_at(patterns, i).tag != RG_STR) {
            return rg_fail_operand(call, 1, "non-string %s found in pattern object",
                                   rg_key_at(patterns, i).tag != RG_STR ? "key" : "value");
        }
    }
    struct mln_buf buf = rg_buf(call->heap);
    bool was_empty = false;
    for (size_t i = 0; i <= t.len && rg_spend(call->vm, 1);) {
        size_t n = fits(patterns, mln_bytes_from(t, i), was_empty, &to);
        if (n != SIZE_MAX) {
            mln_buf_add_bytes(&buf, to);
            was_empty = n == 0;
            i += n;
            if (n > 0 || i < t.len) {
                continue;
            }
        }
        if (i < t.len) {
            mln_buf_add_byte(&buf, t.ptr[i]);
        }
        was_empty = false;
        i++;
    }
    return rg_return(call, rg_string_buf(call->heap, &buf));
}

/* ---- trims ---- */
static size_t rune_len(struct mln_bytes t)
{
    size_t n = 1;
    while (n < t.len && (t.ptr[n] & 0xc0) == 0x80) {
        n++;
    }
    return n;
}

static struct mln_bytes trim_left_of(struct mln_bytes t, struct mln_bytes set)
{
    while (t.len > 0) {
        size_t n = rune_len(t);
        if (mln_bytes_find_bytes(set, mln_bytes_sub(t, 0, n)) >= set.len) {
            break;
        }
        t = mln_bytes_from(t, n);
    }
    return t;
}

static struct mln_bytes trim_right_of(struct mln_bytes t, struct mln_bytes set)
{
    while (t.len > 0) {
        size_t at = t.len - 1;
        while (at > 0 && (t.ptr[at] & 0xc0) == 0x80) {
            at--;
        }
        if (mln_bytes_find_bytes(set, mln_bytes_from(t, at)) >= set.len) {
            break;
        }
        t = mln_bytes_sub(t, 0, at);
    }
    return t;
}

static bool trim_with(struct rg_call *call, bool left, bool right)
{
    struct mln_bytes t, set;
    if (!two(call, &t, &set)) {
        return false;
    }
    t = left ? trim_left_of(t, set) : t;
    return rg_return(call, rg_string(call->heap, right ? trim_right_of(t, set) : t));
}

static bool trim(struct rg_call *call)
{
    return trim_with(call, true, true);
}

static bool trim_left(struct rg_call *call)
{
    return trim_with(call, true, false);
}

static bool trim_right(struct rg_call *call)
{
    return trim_with(call, false, true);
}

static bool trim_prefix(struct rg_call *call)
{
    struct mln_bytes a, b;
    return two(call, &a, &b) &&
           rg_return(call, mln_bytes_starts(a, b) ? rg_string(call->heap, mln_bytes_from(a, b.len))
                                                  : call->args[0]);
}

static bool trim_suffix(struct rg_call *call)
{
    struct mln_bytes a, b;
    return two(call, &a, &b) &&
           rg_return(call, mln_bytes_ends(a, b)
                               ? rg_string(call->heap, mln_bytes_sub(a, 0, a.len - b.len))
                               : call->args[0]);
}

static bool trim_space(struct rg_call *call)
{
    /* what Unicode calls white space */
    struct mln_bytes blanks = MLN_BYTES(
        "\t\n\v\f\r \xc2\x85\xc2\xa0\xe1\x9a\x80\xe2\x80\x80\xe2\x80\x81\xe2\x80\x82\xe2\x80\x83"
        "\xe2\x80\x84\xe2\x80\x85\xe2\x80\x86\xe2\x80\x87\xe2\x80\x88\xe2\x80\x89\xe2\x80\x8a"
        "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaf\xe2\x81\x9f\xe3\x80\x80");
    struct mln_bytes t;
    return rg_arg_string(call, 1, &t) &&
           rg_return(call, rg_string(call->heap, trim_right_of(trim_left_of(t, blanks), blanks)));
}

static bool reverse(struct rg_call *call)
{
    struct mln_bytes t;
    struct mln_buf buf = rg_buf(call->heap);
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    for (size_t end = t.len; end > 0;) {
        size_t at = end - 1;
        while (at > 0 && (t.ptr[at] & 0xc0) == 0x80) {
            at--;
        }
        mln_buf_add(&buf, t.ptr + at, end - at);
        end = at;
    }
    return rg_return(call, rg_string_buf(call->heap, &buf));
}

static bool count(struct rg_call *call)
{
    struct mln_bytes t, what;
    int64_t n = 0;
    if (!two(call, &t, &what)) {
        return false;
    }
    if (what.len == 0) {
        return rg_return(call, rg_int((int64_t)runes(t) + 1));
    }
    for (size_t at = mln_bytes_find_bytes(t, what); at < t.len;
         at = mln_bytes_find_bytes(t, what)) {
        n++;
        t = mln_bytes_from(t, at + what.len);
    }
    return rg_return(call, rg_int(n));
}

/* ---- any of these at the beginning or end of any of those ---- */
static bool each_text(struct rg_call *call, uint32_t pos, struct rg_val *ret)
{
    struct rg_val v = call->args[pos - 1];
    *ret = rg_array(call->heap, 1);
    if (v.tag == RG_STR) {
        rg_push(call->heap, *ret, v);
        return true;
    }
    if (v.tag != RG_ARRAY && v.tag != RG_SET) {
        return rg_fail_operand(call, pos, "must be one of {string, set, array} but got %s",
                               rg_type_name(v));
    }
    for (uint32_t i = 0; i < rg_len(v); i++) {
        struct rg_val s = v.tag == RG_ARRAY ? v.arr->items[i] : rg_key_at(v, i);
        if (s.tag != RG_STR) {
            return rg_fail_operand(call, pos, "must be %s of strings but got %s containing %s",
                                   rg_type_name(v), rg_type_name(v), rg_type_name(s));
        }
        rg_push(call->heap, *ret, s);
    }
    return true;
}

static bool any_match(struct rg_call *call, bool (*match)(struct mln_bytes, struct mln_bytes))
{
    struct rg_val texts, bases;
    bool found = false;
    if (!each_text(call, 1, &texts) || !each_text(call, 2, &bases)) {
        return false;
    }
    for (uint32_t i = 0;
         i < texts.arr->len && !found && rg_spend(call->vm, 1 + bases.arr->len / 16); i++) {
        for (uint32_t k = 0; k < bases.arr->len && !found; k++) {
            found = match(rg_bytes(texts.arr->items[i]), rg_bytes(bases.arr->items[k]));
        }
    }
    return rg_return(call, rg_bool(found));
}

static bool any_prefix(struct rg_call *call)
{
    return any_match(call, mln_bytes_starts);
}

static bool any_suffix(struct rg_call *call)
{
    return any_match(call, mln_bytes_ends);
}

const struct rg_builtin rg_builtins_strings[] = {
    {"contains", contains},
    {"startswith", startswith},
    {"endswith", endswith},
    {"concat", concat},
    {"indexof", indexof},
    {"indexof_n", indexof_n},
    {"substring", substring},
    {"split", split},
    {"strings.split_n", split_n},
    {"replace", replace},
    {"strings.replace_n", replace_n},
    {"trim", trim},
    {"trim_left", trim_left},
    {"trim_right", trim_right},
    {"trim_prefix", trim_prefix},
    {"trim_suffix", trim_suffix},
    {"trim_space", trim_space},
    {"strings.reverse", reverse},
    {"strings.count", count},
    {"strings.any_prefix_match", any_prefix},
    {"strings.any_suffix_match", any_suffix},
    {NULL, NULL},
};
