/* SPDX-License-Identifier: Apache-2.0 */
/* Base documents: snapshots that readers share, and changes that copy only the way to what is changed. */
#include "rego/rego_priv.h"

static struct mln_err data_new(struct mln_cx *cx, struct mln_rego_data **ret)
{
    struct mln_rego_data *d = mln_alloc(sizeof(*d));
    struct rg_heap *heap = rg_heap_new(0);
    if (d == NULL || heap == NULL) {
        mln_free(d);
        rg_heap_free(heap);
        return mln_fail(cx, MLN_E_MEMORY, "rego: no memory");
    }
    d->heap = heap;
    atomic_init(&d->refs, 1);
    *ret = d;
    return MLN_OK;
}

struct mln_err mln_rego_data_load(struct mln_cx *cx, struct mln_bytes json,
                                  struct mln_rego_data **ret)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *d = NULL;
    const char *error = NULL;
    MLN_TRY(data_new(cx, &d));
    d->root = rg_json_parse(d->heap, json, &error);
    if (error != NULL) {
        return mln_fail(cx, MLN_E_PARSE, "rego: data: %s", error);
    }
    rg_settle(d->root);
    *ret = mln_take(&d);
    return MLN_OK;
}

struct mln_err mln_rego_data_of(struct mln_cx *cx, const struct mln_value *value,
                                struct mln_rego_data **ret)
{
    MLN_TRY(data_new(cx, ret));
    (*ret)->root = rg_from_value((*ret)->heap, value);
    rg_settle((*ret)->root);
    return MLN_OK;
}

void mln_rego_data_free(struct mln_rego_data *data)
{
    while (data != NULL && atomic_fetch_sub(&data->refs, 1) == 1) {
        struct mln_rego_data *base = data->base;
        rg_heap_free(data->heap);
        mln_free(data);
        data = base;
    }
}

void mln_rego_data_drop(struct mln_rego_data **data)
{
    mln_rego_data_free(*data);
    *data = NULL;
}

size_t mln_rego_data_bytes(const struct mln_rego_data *data)
{
    size_t n = 0;
    for (; data != NULL; data = data->base) {
        n += rg_heap_held(data->heap);
    }
    return n;
}

/* ---- snapshots ---- */
struct change {
    struct rg_heap *heap;
    const struct mln_value *path;
    struct rg_val v; /* undefined: remove */
    bool is_missing;
};

static struct rg_val change_at(struct change *ch, struct rg_val from, size_t i)
{
    if (i == mln_len(ch->path)) {
        ch->is_missing |= from.tag == RG_UNDEF && ch->v.tag == RG_UNDEF;
        return ch->v;
    }
    struct rg_val key = rg_string(ch->heap, mln_get_bytes(mln_item(ch->path, i)));
    if (from.tag != RG_OBJECT || i > MLN_VALUE_DEPTH_MAX) {
        ch->is_missing = true;
        return RG_NONE;
    }
    struct rg_val below = change_at(ch, rg_get(from, key), i + 1),
                  out = rg_object(ch->heap, from.map->len + 1);
    for (uint32_t k = 0; k < from.map->len; k++) {
        if (!rg_eq(from.map->keys[k], key)) {
            rg_put(ch->heap, out, from.map->keys[k], from.map->vals[k]);
        }
    }
    if (below.tag != RG_UNDEF) {
        rg_put(ch->heap, out, key, below);
    }
    rg_sort_here(out);
    return out;
}

#define AGE_MAX 64u /* then all is copied, so that what nobody sees any more is freed */

struct mln_err mln_rego_data_put(struct mln_cx *cx, struct mln_rego_data *from,
                                 const struct mln_value *path, struct mln_bytes json,
                                 struct mln_rego_data **ret)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *d = NULL;
    const char *error = NULL;
    MLN_TRY(data_new(cx, &d));
    struct change ch = {.heap = d->heap, .path = path};
    if (json.ptr != NULL) {
        ch.v = rg_json_parse(d->heap, json, &error);
        if (error != NULL) {
            return mln_fail(cx, MLN_E_PARSE, "rego: data: %s", error);
        }
        rg_settle(ch.v);
    }
    d->root = change_at(&ch, from->root, 0);
    if (ch.is_missing) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "rego: nothing at this path of the data");
    }
    d->root = d->root.tag == RG_UNDEF ? rg_object(d->heap, 0) : d->root;
    if (from->age >= AGE_MAX) {
        MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *whole = NULL;
        MLN_TRY(data_new(cx, &whole));
        whole->root = rg_copy(whole->heap, d->root);
        rg_settle(whole->root);
        *ret = mln_take(&whole);
        return MLN_OK;
    }
    atomic_fetch_add(&from->refs, 1);
    d->base = from;
    d->age = from->age + 1;
    *ret = mln_take(&d);
    return MLN_OK;
}
