/* SPDX-License-Identifier: Apache-2.0 */
/* Documents below data: base documents and rules put together, no earlier than somebody asks. */
#include "rego/vm_priv.h"

bool rg_is_masked(const struct rg_vm *vm, const struct rg_node *node)
{
    for (const struct rg_mask *m = vm->masks; m != NULL; m = m->next) {
        for (const struct rg_node *n = node; n != NULL; n = n->parent) {
            if (n == m->node) {
                return true;
            }
        }
    }
    return false;
}

struct rg_val rg_path_get(struct rg_val from, struct rg_val path)
{
    for (uint32_t i = 0; i < path.arr->len && from.tag != RG_UNDEF; i++) {
        from = rg_get(from, path.arr->items[i]);
    }
    return from;
}

struct rg_val rg_group_value(struct rg_vm *vm, const struct rg_group *group)
{
    struct rg_memo *m = &vm->memo[group->id];
    if (m->world == vm->world) {
        return m->v;
    }
    if (vm->masks != NULL && rg_is_masked(vm, group->node)) {
        return rg_path_get(vm->data, group->node->path);
    }
    if (group->kind == RG_G_FUNCTION) {
        return RG_NONE;
    }
    struct rg_val v = rg_run(vm, group->proc, NULL, 0);
    if (!vm->has_failed) {
        m->v = v;
        m->world = vm->world;
    }
    return v;
}

static struct rg_val doc_new(struct rg_vm *vm, const struct rg_node *node, struct rg_val base)
{
    if (vm->masks != NULL && rg_is_masked(vm, node)) {
        return base;
    }
    if (node->group != NULL && node->n == 0) {
        return rg_group_value(vm, node->group);
    }
    struct rg_doc *doc = rg_new(vm->heap, sizeof(*doc));
    *doc = (struct rg_doc){.node = node, .base = base};
    return (struct rg_val){.tag = RG_DOC, .doc = doc};
}

struct rg_val rg_doc_at(struct rg_vm *vm, struct rg_val path)
{
    const struct rg_node *node = vm->policy->root;
    for (uint32_t i = 0; i < path.arr->len && node != NULL; i++) {
        node = rg_node_kid(node, path.arr->items[i]);
    }
    struct rg_val base = rg_path_get(vm->data, path);
    return node == NULL ? base : doc_new(vm, node, base);
}

/* Objects are put together, the second wins; all else: the second. */
static struct rg_val merge(struct rg_vm *vm, struct rg_val a, struct rg_val b)
{
    if (a.tag != RG_OBJECT || b.tag != RG_OBJECT) {
        return b.tag == RG_UNDEF ? a : b;
    }
    struct rg_val out = rg_object(vm->heap, a.map->len + b.map->len);
    for (uint32_t i = 0; i < a.map->len; i++) {
        rg_put(vm->heap, out, a.map->keys[i], a.map->vals[i]);
    }
    for (uint32_t i = 0; i < b.map->len; i++) {
        rg_put(vm->heap, out, b.map->keys[i], merge(vm, rg_get(a, b.map->keys[i]), b.map->vals[i]));
    }
    return out;
}

struct rg_val rg_doc_get(struct rg_vm *vm, struct rg_val v, struct rg_val key)
{
    const struct rg_doc *doc = v.doc;
    const struct rg_node *kid = rg_node_kid(doc->node, key);
    struct rg_val base = rg_get(doc->base, key), own = RG_NONE;
    if (doc->node->group != NULL) {
        own = rg_get(rg_group_value(vm, doc->node->group), key);
    }
    if (kid == NULL || vm->has_failed) {
        return own.tag != RG_UNDEF ? own : base;
    }
    struct rg_val below = doc_new(vm, kid, base);
    if (own.tag == RG_UNDEF) {
        return below;
    }
    return merge(vm, own, below.tag == RG_DOC ? rg_doc_force(vm, below) : below);
}

static struct rg_val copy_base(struct rg_vm *vm, const struct rg_doc *doc)
{
    struct rg_val out = rg_object(vm->heap, doc->node->n);
    for (uint32_t i = 0; doc->base.tag == RG_OBJECT && i < doc->base.map->len; i++) {
        rg_put(vm->heap, out, doc->base.map->keys[i], doc->base.map->vals[i]);
    }
    return out;
}

struct rg_val rg_doc_force(struct rg_vm *vm, struct rg_val v)
{
    const struct rg_doc *doc = v.doc;
    struct rg_val out = copy_base(vm, doc);
    if (doc->node->group != NULL) {
        out = merge(vm, out, rg_group_value(vm, doc->node->group));
    }
    for (uint32_t i = 0; i < doc->node->n && !vm->has_failed && out.tag == RG_OBJECT; i++) {
        const struct rg_node *kid = doc->node->kids[i];
        struct rg_val key = {.tag = RG_STR, .hash = kid->name->hash, .str = kid->name};
        struct rg_val below = doc_new(vm, kid, rg_get(doc->base, key));
        below = below.tag == RG_DOC ? rg_doc_force(vm, below) : below;
        if (below.tag != RG_UNDEF) {
            rg_put(vm->heap, out, key, merge(vm, rg_get(out, key), below));
        }
    }
    return vm->has_failed ? RG_NONE : out;
}
