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

/* In base documents a number names the member of its text, as in the paths of OPA's store. */
struct rg_val rg_base_get(struct rg_vm *vm, struct rg_val from, struct rg_val path)
{
    char space[24];
    for (uint32_t i = 0; i < path.arr->len && from.tag != RG_UNDEF; i++) {
        struct rg_val key = path.arr->items[i];
        if (from.tag == RG_OBJECT && key.tag == RG_INT) {
            key = rg_string(vm->heap, rg_num_text(key, space));
        }
        from = rg_get(from, key);
    }
    return from;
}

/* What a partial rule added below its own containers after they were put in their places. */
static void reweigh(struct rg_vm *vm, struct rg_val v)
{
    v.map->weight = v.map->depth = 0;
    for (uint32_t i = 0; i < v.map->len; i++) {
        struct rg_val item = v.tag == RG_OBJECT ? v.map->vals[i] : RG_NONE;
        bool own = (item.tag == RG_OBJECT || item.tag == RG_SET) && item.map->is_partial &&
                   item.map->weight < RG_WEIGHT_MAX;
        if (own && item.tag == RG_OBJECT) {
            reweigh(vm, item); /* as deep as a rule's head has keys */
        }
        rg_weigh(vm->heap, v, v.map->keys[i]);
        rg_weigh(vm->heap, v, item);
    }
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
    if (group->kind == RG_G_OBJECT && v.tag == RG_OBJECT) {
        reweigh(vm, v);
    }
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

static struct rg_val join(struct rg_vm *vm, struct rg_val a, struct rg_val b);

static struct rg_val join_maps(struct rg_vm *vm, struct rg_val a, struct rg_val b)
{
    bool set = a.tag == RG_SET;
    uint32_t n = a.map->len + b.map->len;
    struct rg_val out = set ? rg_set(vm->heap, n) : rg_object(vm->heap, n);
    out.map->is_partial = true;
    for (uint32_t i = 0; i < a.map->len; i++) {
        rg_put(vm->heap, out, a.map->keys[i], set ? RG_NONE : a.map->vals[i]);
    }
    for (uint32_t i = 0; i < b.map->len; i++) {
        struct rg_val key = b.map->keys[i];
        rg_put(vm->heap, out, key, set ? RG_NONE : join(vm, rg_get(a, key), b.map->vals[i]));
    }
    return out;
}

/* What two rules say of one path: partial documents are put together, other values must be equal. */
static struct rg_val join(struct rg_vm *vm, struct rg_val a, struct rg_val b)
{
    static const struct rg_loc nowhere;
    bool maps = a.tag == b.tag && (a.tag == RG_OBJECT || a.tag == RG_SET);
    if (a.tag == RG_UNDEF || b.tag == RG_UNDEF) {
        return a.tag == RG_UNDEF ? b : a;
    }
    if (maps && a.map->is_partial && b.map->is_partial) {
        return join_maps(vm, a, b);
    }
    if (!rg_eq(a, b)) {
        rg_vm_fail(vm, "eval_conflict_error", nowhere, "object keys must be unique");
    }
    return b;
}

/* Base documents win where both have a value. */
static struct rg_val over_base(struct rg_vm *vm, struct rg_val v, struct rg_val base)
{
    if (v.tag != RG_OBJECT || base.tag != RG_OBJECT) {
        return base.tag == RG_UNDEF ? v : base;
    }
    struct rg_val out = rg_object(vm->heap, v.map->len + base.map->len);
    for (uint32_t i = 0; i < v.map->len; i++) {
        rg_put(vm->heap, out, v.map->keys[i], v.map->vals[i]);
    }
    for (uint32_t i = 0; i < base.map->len; i++) {
        struct rg_val key = base.map->keys[i];
        rg_put(vm->heap, out, key, over_base(vm, rg_get(v, key), base.map->vals[i]));
    }
    return out;
}

/* The value of all rules at and below a node. */
static struct rg_val rules_below(struct rg_vm *vm, const struct rg_node *node)
{
    if (vm->masks != NULL && rg_is_masked(vm, node)) {
        return RG_NONE;
    }
    struct rg_val out = node->group == NULL ? RG_NONE : rg_group_value(vm, node->group);
    if (node->n == 0 && node->group != NULL) {
        return out;
    }
    struct rg_val below = rg_object(vm->heap, node->n);
    below.map->is_partial = true;
    for (uint32_t i = 0; i < node->n && !vm->has_failed; i++) {
        const struct rg_str *name = node->kids[i]->name;
        struct rg_val key = {.tag = RG_STR, .hash = name->hash, .str = name};
        struct rg_val v = rules_below(vm, node->kids[i]);
        if (v.tag != RG_UNDEF) {
            rg_put(vm->heap, below, key, v);
        }
    }
    return join(vm, out, below);
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
    if (own.tag == RG_UNDEF) {
        return doc_new(vm, kid, base);
    }
    own = join(vm, own, rules_below(vm, kid));
    return vm->has_failed ? RG_NONE : over_base(vm, own, base);
}

struct rg_val rg_doc_force(struct rg_vm *vm, struct rg_val v)
{
    const struct rg_doc *doc = v.doc;
    struct rg_val out = rules_below(vm, doc->node);
    return vm->has_failed ? RG_NONE : over_base(vm, out, doc->base);
}
