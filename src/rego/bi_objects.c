/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: get, keys, union, subset, and parts of them by keys and by paths. */
#include "rego/builtin_priv.h"

static bool get(struct rg_call *call)
{
    struct rg_val from = call->args[0], key = call->args[1];
    if (from.tag != RG_OBJECT) {
        return rg_fail_operand(call, 1, "must be object but got %s", rg_type_name(from));
    }
    if (key.tag != RG_ARRAY) {
        struct rg_val v = rg_get(from, key);
        return rg_return(call, v.tag == RG_UNDEF ? call->args[2] : v);
    }
    for (uint32_t i = 0; i < key.arr->len && from.tag != RG_UNDEF; i++) {
        from = rg_get(from, key.arr->items[i]);
    }
    return rg_return(call, from.tag == RG_UNDEF ? call->args[2] : from);
}

static bool keys(struct rg_call *call)
{
    struct rg_val v;
    if (!rg_arg_tag(call, 1, RG_OBJECT, &v)) {
        return false;
    }
    struct rg_val out = rg_set(call->heap, v.map->len);
    for (uint32_t i = 0; i < v.map->len; i++) {
        rg_add(call->heap, out, v.map->keys[i]);
    }
    return rg_return(call, out);
}

static struct rg_val merge(struct rg_heap *heap, struct rg_val a, struct rg_val b)
{
    if (a.tag != RG_OBJECT || b.tag != RG_OBJECT) {
        return b;
    }
    struct rg_val out = rg_object(heap, a.map->len + b.map->len);
    for (uint32_t i = 0; i < a.map->len; i++) {
        rg_put(heap, out, a.map->keys[i], a.map->vals[i]);
    }
    for (uint32_t i = 0; i < b.map->len; i++) {
        struct rg_val had = rg_get(a, b.map->keys[i]);
        rg_put(heap, out, b.map->keys[i],
               had.tag == RG_UNDEF ? b.map->vals[i] : merge(heap, had, b.map->vals[i]));
    }
    return out;
}

static bool union_(struct rg_call *call)
{
    struct rg_val a, b;
    return rg_arg_tag(call, 1, RG_OBJECT, &a) && rg_arg_tag(call, 2, RG_OBJECT, &b) &&
           rg_return(call, merge(call->heap, a, b));
}

static bool union_n(struct rg_call *call)
{
    struct rg_val all, out = rg_object(call->heap, 0);
    if (!rg_arg_tag(call, 1, RG_ARRAY, &all)) {
        return false;
    }
    for (uint32_t i = 0; i < all.arr->len; i++) {
        if (all.arr->items[i].tag != RG_OBJECT) {
            return rg_fail_operand(call, 1, "must be array of objects but got array containing %s",
                                   rg_type_name(all.arr->items[i]));
        }
        if (!rg_spend(call->vm, 1 + all.arr->items[i].map->len / 16)) {
            return true;
        }
        out = merge(call->heap, out, all.arr->items[i]);
    }
    return rg_return(call, out);
}

/* The keys that an array, set or object names. */
static bool key_set(struct rg_call *call, uint32_t pos, struct rg_val *ret)
{
    struct rg_val v = call->args[pos - 1];
    if (v.tag == RG_SET) {
        *ret = v;
        return true;
    }
    if (v.tag != RG_ARRAY && v.tag != RG_OBJECT) {
        return rg_fail_operand(call, pos, "must be one of {object, set, array} but got %s",
                               rg_type_name(v));
    }
    *ret = rg_set(call->heap, (uint32_t)rg_len(v));
    for (uint32_t i = 0; i < rg_len(v); i++) {
        rg_add(call->heap, *ret, v.tag == RG_ARRAY ? v.arr->items[i] : v.map->keys[i]);
    }
    return true;
}

static bool keep(struct rg_call *call, bool named)
{
    struct rg_val v, names;
    if (!rg_arg_tag(call, 1, RG_OBJECT, &v) || !key_set(call, 2, &names)) {
        return false;
    }
    struct rg_val out = rg_object(call->heap, 0);
    for (uint32_t i = 0; i < v.map->len; i++) {
        if (rg_has(names, v.map->keys[i]) == named) {
            rg_put(call->heap, out, v.map->keys[i], v.map->vals[i]);
        }
    }
    return rg_return(call, out);
}

static bool filter(struct rg_call *call)
{
    return keep(call, true);
}

static bool remove_(struct rg_call *call)
{
    return keep(call, false);
}

/* ---- subset ---- */
static bool within(struct rg_val super, struct rg_val sub);

static bool object_within(struct rg_val super, struct rg_val sub)
{
    for (uint32_t i = 0; i < sub.map->len; i++) {
        struct rg_val has = rg_get(super, sub.map->keys[i]), want = sub.map->vals[i];
        if (has.tag == RG_UNDEF) {
            return false;
        }
        if (!within(has, want)) {
            return false;
        }
    }
    return true;
}

static bool array_within(struct rg_val super, struct rg_val sub)
{
    for (uint32_t at = 0; at + sub.arr->len <= super.arr->len; at++) {
        uint32_t i = 0;
        while (i < sub.arr->len && rg_eq(super.arr->items[at + i], sub.arr->items[i])) {
            i++;
        }
        if (i == sub.arr->len) {
            return true;
        }
    }
    return false;
}

static bool set_within(struct rg_val super, struct rg_val sub)
{
    for (uint32_t i = 0; i < sub.map->len; i++) {
        if (!rg_has(super, sub.map->keys[i])) {
            return false;
        }
    }
    return true;
}

static bool within(struct rg_val super, struct rg_val sub)
{
    if (super.tag != sub.tag) {
        return rg_eq(super, sub);
    }
    return sub.tag == RG_OBJECT  ? object_within(super, sub)
           : sub.tag == RG_ARRAY ? array_within(super, sub)
           : sub.tag == RG_SET   ? set_within(super, sub)
                                 : rg_eq(super, sub);
}

static bool array_has_set(struct rg_val super, struct rg_val sub)
{
    for (uint32_t i = 0; i < sub.map->len; i++) {
        bool found = false;
        for (uint32_t k = 0; k < super.arr->len && !found; k++) {
            found = rg_eq(super.arr->items[k], sub.map->keys[i]);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool subset(struct rg_call *call)
{
    struct rg_val super = call->args[0], sub = call->args[1];
    if (!rg_spend(call->vm, rg_len(super) / 16)) {
        return true;
    }
    if (super.tag == RG_OBJECT && sub.tag == RG_OBJECT) {
        return rg_return(call, rg_bool(object_within(super, sub)));
    }
    if (super.tag == RG_SET && sub.tag == RG_SET) {
        return rg_return(call, rg_bool(set_within(super, sub)));
    }
    if (super.tag == RG_ARRAY && sub.tag == RG_ARRAY) {
        return rg_return(call, rg_bool(array_within(super, sub)));
    }
    if (super.tag == RG_ARRAY && sub.tag == RG_SET) {
        return rg_return(call, rg_bool(array_has_set(super, sub)));
    }
    return rg_fail(call, "both arguments object.subset must be of the same type or array and set");
}

/* ---- json.filter, json.remove: a trie of paths as an object; `true` is the end of one ---- */
static bool add_path(struct rg_call *call, struct rg_val trie, struct rg_val path)
{
    struct rg_val parts = rg_array(call->heap, 4);
    if (path.tag == RG_ARRAY) {
        parts = path;
    } else if (path.tag == RG_STR) {
        struct mln_bytes rest = rg_bytes(path);
        while (rest.len > 0 && rest.ptr[0] == '/') {
            rest = mln_bytes_from(rest, 1);
        }
        for (bool more = true; more;) {
            size_t n = mln_bytes_find(rest, '/');
            more = n < rest.len;
            struct mln_buf text = {0};
            for (size_t i = 0; i < n; i++) {
                bool slash = rest.ptr[i] == '~' && i + 1 < n && rest.ptr[i + 1] == '1',
                     tilde = rest.ptr[i] == '~' && i + 1 < n && rest.ptr[i + 1] == '0';
                mln_buf_add_byte(&text, slash ? '/' : rest.ptr[i]);
                i += slash || tilde;
            }
            rg_push(call->heap, parts, rg_string_buf(call->heap, &text));
            rest = mln_bytes_from(rest, n + (more ? 1 : 0));
        }
    } else {
        return rg_fail_operand(call, 2,
                               "must be one of {set, array} containing string paths or array of "
                               "path segments but got %s",
                               rg_type_name(path));
    }
    for (uint32_t i = 0; i < parts.arr->len; i++) {
        struct rg_val below = rg_get(trie, parts.arr->items[i]);
        if (below.tag == RG_BOOL) {
            return true; /* a shorter path covers it */
        }
        bool last = i + 1 == parts.arr->len;
        if (last || below.tag == RG_UNDEF) {
            below = last ? rg_bool(true) : rg_object(call->heap, 0);
            rg_put(call->heap, trie, parts.arr->items[i], below);
        }
        trie = below;
    }
    return true;
}

static bool paths(struct rg_call *call, struct rg_val *ret)
{
    struct rg_val list = call->args[1];
    *ret = rg_object(call->heap, 0);
    if (list.tag != RG_ARRAY && list.tag != RG_SET) {
        return rg_fail_operand(call, 2, "must be one of {set, array} but got %s",
                               rg_type_name(list));
    }
    for (uint32_t i = 0; i < rg_len(list); i++) {
        if (!add_path(call, *ret, list.tag == RG_ARRAY ? list.arr->items[i] : rg_key_at(list, i))) {
            return false;
        }
    }
    return true;
}

static struct rg_val index_text(struct rg_call *call, uint32_t i)
{
    char space[24];
    return rg_string(call->heap, rg_num_text(rg_int(i), space));
}

static struct rg_val cut(struct rg_call *call, struct rg_val v, struct rg_val trie, bool named);

static void cut_item(struct rg_call *call, struct rg_val item, struct rg_val below, bool named,
                     struct rg_val *ret)
{
    *ret = RG_NONE;
    if (below.tag == RG_UNDEF) {
        *ret = named ? RG_NONE : item;
    } else if (below.tag == RG_BOOL) {
        *ret = named ? item : RG_NONE;
    } else {
        *ret = cut(call, item, below, named);
    }
}

static struct rg_val cut(struct rg_call *call, struct rg_val v, struct rg_val trie, bool named)
{
    struct rg_val part = RG_NONE;
    if (v.tag == RG_OBJECT) {
        struct rg_val out = rg_object(call->heap, 0);
        for (uint32_t i = 0; i < v.map->len; i++) {
            cut_item(call, v.map->vals[i], rg_get(trie, v.map->keys[i]), named, &part);
            if (part.tag != RG_UNDEF) {
                rg_put(call->heap, out, v.map->keys[i], part);
            }
        }
        return out;
    }
    if (v.tag == RG_ARRAY) {
        struct rg_val out = rg_array(call->heap, 0);
        for (uint32_t i = 0; i < v.arr->len; i++) {
            struct rg_val below = rg_get(trie, index_text(call, i));
            below = below.tag == RG_UNDEF ? rg_get(trie, rg_int(i)) : below;
            cut_item(call, v.arr->items[i], below, named, &part);
            if (part.tag != RG_UNDEF) {
                rg_push(call->heap, out, part);
            }
        }
        return out;
    }
    if (v.tag == RG_SET) {
        struct rg_val out = rg_set(call->heap, 0);
        for (uint32_t i = 0; i < v.map->len; i++) {
            cut_item(call, v.map->keys[i], rg_get(trie, v.map->keys[i]), named, &part);
            if (part.tag != RG_UNDEF) {
                rg_add(call->heap, out, part);
            }
        }
        return out;
    }
    return named ? RG_NONE : v;
}

static bool json_cut(struct rg_call *call, bool named)
{
    struct rg_val v, trie;
    return rg_arg_tag(call, 1, RG_OBJECT, &v) && paths(call, &trie) &&
           rg_return(call, cut(call, v, trie, named));
}

static bool json_filter(struct rg_call *call)
{
    return json_cut(call, true);
}

static bool json_remove(struct rg_call *call)
{
    return json_cut(call, false);
}

const struct rg_builtin rg_builtins_objects[] = {
    {"object.get", get},          {"object.keys", keys},
    {"object.union", union_},     {"object.union_n", union_n},
    {"object.filter", filter},    {"object.remove", remove_},
    {"object.subset", subset},    {"json.filter", json_filter},
    {"json.remove", json_remove}, {NULL, NULL},
};
