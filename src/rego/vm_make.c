/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions that make values: partial documents and texts. */
#include "rego/vm_priv.h"

/* The container below a key, which we may write to; undefined when something else is there. */
static struct rg_val open_below(struct rg_vm *vm, struct rg_val object, struct rg_val key,
                                bool is_set)
{
    struct rg_val below = rg_get(object, key);
    enum rg_tag tag = is_set ? RG_SET : RG_OBJECT;
    if (below.tag == tag && below.map->is_partial) {
        return below;
    }
    if (below.tag != RG_UNDEF && below.tag != tag) {
        return RG_NONE;
    }
    struct rg_val own = is_set ? rg_set(vm->heap, 0) : rg_object(vm->heap, 0);
    for (uint32_t i = 0; below.tag == tag && i < below.map->len; i++) {
        rg_put(vm->heap, own, below.map->keys[i], is_set ? RG_NONE : below.map->vals[i]);
    }
    own.map->is_partial = true;
    rg_put(vm->heap, object, key, own);
    return own;
}

bool rg_put_path(struct rg_vm *vm, struct rg_val object, const struct rg_val *keys, uint32_t n,
                 struct rg_val v)
{
    for (uint32_t i = 0; i + 1 < n; i++) {
        object = open_below(vm, object, keys[i], false);
        if (object.tag == RG_UNDEF) {
            return false;
        }
    }
    struct rg_val had = rg_get(object, keys[n - 1]);
    if (had.tag == RG_UNDEF) {
        rg_put(vm->heap, object, keys[n - 1], v);
        return true;
    }
    return rg_eq(had, v);
}

bool rg_add_path(struct rg_vm *vm, struct rg_val object, const struct rg_val *keys, uint32_t n,
                 struct rg_val v)
{
    for (uint32_t i = 0; i < n; i++) {
        object = open_below(vm, object, keys[i], i + 1 == n);
        if (object.tag == RG_UNDEF) {
            return false;
        }
    }
    rg_add(vm->heap, object, v);
    return true;
}

struct rg_val rg_template(struct rg_vm *vm, const struct rg_val *parts, uint32_t n)
{
    struct mln_buf buf = rg_buf(vm->heap);
    for (uint32_t i = 0; i < n; i++) {
        struct rg_val v = parts[i];
        if (v.tag == RG_UNDEF) {
            mln_buf_add_text(&buf, "<undefined>");
            continue;
        }
        v = v.tag == RG_ARRAY ? v.arr->items[0]
                              : v; /* text of the template itself is not wrapped */
        if (v.tag == RG_STR) {
            mln_buf_add_bytes(&buf, rg_bytes(v));
        } else {
            rg_print_rego(&buf, v);
        }
    }
    return rg_string_buf(vm->heap, &buf);
}
