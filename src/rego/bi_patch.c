/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.patch (RFC 6902) on arrays, objects and sets. A path is a JSON pointer, with or without its first "/", or an
 * array of keys. What cannot be patched is undefined, as in OPA.
 */
#include "rego/builtin_priv.h"

#include "base/text.h"

struct edit {
    struct rg_heap *heap;
    const struct rg_val *path;
    uint32_t n;
    char op; /* + add, - remove, = replace */
    struct rg_val value;
};

static struct rg_val unescape(struct rg_heap *heap, struct mln_bytes t)
{
    char *to = rg_text_dup(heap, t);
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++) {
        char c = (char)t.ptr[i];
        if (c == '~' && i + 1 < t.len && (t.ptr[i + 1] == '0' || t.ptr[i + 1] == '1')) {
            c = t.ptr[++i] == '0' ? '~' : '/';
        }
        to[n++] = c;
    }
    return rg_string(heap, mln_bytes_at(to, n));
}

static bool read_path(struct rg_heap *heap, struct rg_val from, struct rg_val *ret)
{
    *ret = from;
    if (from.tag != RG_STR) {
        return from.tag == RG_ARRAY;
    }
    struct mln_bytes t = rg_bytes(from);
    *ret = rg_array(heap, 4);
    if (t.len == 0) {
        return true;
    }
    size_t at = t.ptr[0] == '/';
    while (true) {
        size_t n = mln_bytes_find(mln_bytes_from(t, at), '/');
        rg_push(heap, *ret, unescape(heap, mln_bytes_sub(t, at, n)));
        at += n + 1;
        if (at > t.len) {
            return true;
        }
    }
}

/* `end` is the index behind the last item, where only "add" may write. */
static bool index_of(struct rg_val key, uint32_t len, bool end, uint32_t *ret)
{
    int64_t i = -1;
    uint64_t u = 0;
    if (key.tag == RG_STR && end && mln_bytes_is(rg_bytes(key), "-")) {
        *ret = len;
        return true;
    }
    if (key.tag == RG_STR) {
        struct mln_bytes t = rg_bytes(key);
        if ((t.len > 1 && t.ptr[0] == '0') || !mln_u64_parse(t, &u) || u > UINT32_MAX) {
            return false;
        }
        i = (int64_t)u;
    } else if (!rg_is_number(key) || !rg_num_int(key, &i)) {
        return false;
    }
    *ret = (uint32_t)i;
    return i >= 0 && i < (int64_t)len + end;
}

static struct rg_val find(struct rg_val at, const struct rg_val *path, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = 0;
        if (at.tag == RG_ARRAY) {
            at = index_of(path[i], at.arr->len, false, &k) ? rg_item(at, k) : RG_NONE;
        } else if (at.tag == RG_SET) {
            at = rg_has(at, path[i]) ? path[i] : RG_NONE;
        } else {
            at = at.tag == RG_OBJECT ? rg_get(at, path[i]) : RG_NONE;
        }
        if (at.tag == RG_UNDEF) {
            return at;
        }
    }
    return at;
}

static struct rg_val edit(const struct edit *e, struct rg_val at, uint32_t i);

/* What stands where the path's i-th key points, after the edit below it. *drop: nothing stands there. */
static bool below(const struct edit *e, struct rg_val old, uint32_t i, struct rg_val *ret)
{
    bool last = i + 1 == e->n;
    if (last && e->op == '-') {
        *ret = RG_NONE;
        return old.tag != RG_UNDEF;
    }
    if (last) {
        *ret = e->value;
        return e->op == '+' || old.tag != RG_UNDEF;
    }
    *ret = old.tag == RG_UNDEF ? RG_NONE : edit(e, old, i + 1);
    return ret->tag != RG_UNDEF;
}

static struct rg_val edit_array(const struct edit *e, struct rg_val at, uint32_t i)
{
    bool insert = e->op == '+' && i + 1 == e->n;
    uint32_t k = 0;
    struct rg_val v, out = rg_array(e->heap, at.arr->len + 1);
    if (!index_of(e->path[i], at.arr->len, insert, &k) ||
        !below(e, insert ? RG_NONE : rg_item(at, k), i, &v)) {
        return RG_NONE;
    }
    for (uint32_t j = 0; j < at.arr->len; j++) {
        if (j == k && v.tag != RG_UNDEF) {
            rg_push(e->heap, out, v);
        }
        if (j != k || insert) {
            rg_push(e->heap, out, at.arr->items[j]);
        }
    }
    if (k == at.arr->len) {
        rg_push(e->heap, out, v);
    }
    return out;
}

static struct rg_val edit_map(const struct edit *e, struct rg_val at, uint32_t i)
{
    struct rg_val v, key = e->path[i], old = rg_get(at, key);
    bool is_set = at.tag == RG_SET, last = i + 1 == e->n;
    if (is_set && last && e->op == '+' && !rg_eq(key, e->value)) {
        return RG_NONE; /* a member is its own key */
    }
    if (is_set) {
        old = rg_has(at, key) ? key : RG_NONE;
    }
    if (!below(e, old, i, &v)) {
        return RG_NONE;
    }
    struct rg_val out = is_set ? rg_set(e->heap, at.map->len + 1) : rg_object(e->heap, at.map->len + 1);
    for (uint32_t j = 0; j < at.map->len; j++) {
        if (!rg_eq(at.map->keys[j], key)) {
            rg_put(e->heap, out, at.map->keys[j], is_set ? RG_NONE : at.map->vals[j]);
        }
    }
    if (v.tag != RG_UNDEF) {
        rg_put(e->heap, out, is_set ? v : key, v);
    }
    return out;
}

/* `at` with the edit at path[i..]; undefined where it cannot be done. */
static struct rg_val edit(const struct edit *e, struct rg_val at, uint32_t i)
{
    if (i == e->n) {
        return e->op == '-' ? RG_NONE : e->value;
    }
    if (at.tag == RG_ARRAY) {
        return edit_array(e, at, i);
    }
    return at.tag == RG_OBJECT || at.tag == RG_SET ? edit_map(e, at, i) : RG_NONE;
}

static struct rg_val change(struct rg_heap *heap, struct rg_val doc, char op, struct rg_val path,
                            struct rg_val value)
{
    struct edit e = {
        .heap = heap, .path = path.arr->items, .n = path.arr->len, .op = op, .value = value};
    return edit(&e, doc, 0);
}

static struct rg_val apply(struct rg_heap *heap, struct rg_val doc, struct rg_val step)
{
    struct rg_val path, from, op = rg_get_text(step, "op"), value = rg_get_text(step, "value");
    if (op.tag != RG_STR || !read_path(heap, rg_get_text(step, "path"), &path)) {
        return RG_NONE;
    }
    struct mln_bytes name = rg_bytes(op);
    bool move = mln_bytes_is(name, "move"), copy = mln_bytes_is(name, "copy");
    if (mln_bytes_is(name, "remove")) {
        return change(heap, doc, '-', path, RG_NONE);
    }
    if (move || copy) {
        if (!read_path(heap, rg_get_text(step, "from"), &from)) {
            return RG_NONE;
        }
        value = find(doc, from.arr->items, from.arr->len);
        doc = move && value.tag != RG_UNDEF ? change(heap, doc, '-', from, RG_NONE) : doc;
        name = MLN_BYTES("add");
    }
    if (value.tag == RG_UNDEF || doc.tag == RG_UNDEF) {
        return RG_NONE;
    }
    if (mln_bytes_is(name, "test")) {
        struct rg_val there = find(doc, path.arr->items, path.arr->len);
        return there.tag != RG_UNDEF && rg_eq(there, value) ? doc : RG_NONE;
    }
    bool add = mln_bytes_is(name, "add");
    return add || mln_bytes_is(name, "replace") ? change(heap, doc, add ? '+' : '=', path, value)
                                                : RG_NONE;
}

static bool json_patch(struct rg_call *call)
{
    struct rg_val doc = call->args[0], steps;
    if (!rg_arg_tag(call, 2, RG_ARRAY, &steps)) {
        return false;
    }
    for (uint32_t i = 0; i < steps.arr->len && doc.tag != RG_UNDEF; i++) {
        struct rg_val step = steps.arr->items[i];
        doc = step.tag == RG_OBJECT && rg_spend(call->vm, 1 + rg_len(doc))
                  ? apply(call->heap, doc, step)
                  : RG_NONE;
    }
    return rg_return(call, doc);
}

const struct rg_builtin rg_builtins_patch[] = {{"json.patch", json_patch}, {NULL, NULL}};
