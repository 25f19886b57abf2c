/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a query needs: documents that it reads and rules that it asks, found in the programs that were made of it. And what
 * tools ask about a module: its tree, its package, its annotations.
 */
#include "rego/rego_priv.h"

struct deps {
    const struct rg_policy *policy;
    struct rg_heap *heap;
    struct rg_val base, rules; /* sets of paths */
    struct rg_val seen;        /* ids of groups */
};

static void see_proc(struct deps *d, const struct rg_proc *proc);

static struct rg_val path_below(struct deps *d, const char *root, struct rg_val path)
{
    struct rg_val out = rg_array(d->heap, path.arr->len + 1);
    rg_push(d->heap, out, rg_text(d->heap, root));
    for (uint32_t i = 0; i < path.arr->len; i++) {
        rg_push(d->heap, out, path.arr->items[i]);
    }
    return out;
}

static void see_group(struct deps *d, const struct rg_group *g)
{
    if (rg_has(d->seen, rg_int(g->id))) {
        return;
    }
    rg_add(d->heap, d->seen, rg_int(g->id));
    rg_add(d->heap, d->rules, path_below(d, "data", g->node->path));
    see_proc(d, g->proc);
}

static void see_tree(struct deps *d, const struct rg_node *node)
{
    if (node->group != NULL) {
        see_group(d, node->group);
    }
    for (uint32_t i = 0; i < node->n; i++) {
        see_tree(d, node->kids[i]);
    }
}

static void see_document(struct deps *d, struct rg_val path)
{
    const struct rg_node *node = d->policy->root;
    for (uint32_t i = 0; i < path.arr->len && node != NULL; i++) {
        node = rg_node_kid(node, path.arr->items[i]);
    }
    if (node != NULL) {
        see_tree(d, node);
    }
}

static void see_proc(struct deps *d, const struct rg_proc *proc)
{
    for (uint32_t i = 0; i < proc->n; i++) {
        const struct rg_ins *ins = &proc->code[i];
        if (ins->op == RG_OP_INPUT || ins->op == RG_OP_BASE) {
            rg_add(d->heap, d->base,
                   path_below(d, ins->op == RG_OP_INPUT ? "input" : "data",
                              proc->consts[ins->b & ~RG_CONST]));
        } else if (ins->op == RG_OP_RULE || ins->op == RG_OP_FUNC) {
            see_group(d, d->policy->groups[ins->d]);
        } else if (ins->op == RG_OP_DOC) {
            see_document(d, proc->consts[ins->d]);
        }
    }
    for (uint32_t i = 0; i < proc->withs_n; i++) {
        for (uint32_t k = 0; k < proc->withs[i]->n; k++) {
            if (proc->withs[i]->parts[k].by_group != NULL) {
                see_group(d, proc->withs[i]->parts[k].by_group);
            }
        }
    }
}

/* A ref as OPA writes it in JSON. */
static struct rg_val ref_value(struct rg_heap *heap, struct rg_val path)
{
    struct rg_val out = rg_array(heap, path.arr->len);
    for (uint32_t i = 0; i < path.arr->len; i++) {
        struct rg_val one = rg_object(heap, 2);
        rg_put_text(heap, one, "type", rg_text(heap, i == 0 ? "var" : rg_type_name(path.arr->items[i])));
        rg_put_text(heap, one, "value", path.arr->items[i]);
        rg_push(heap, out, one);
    }
    return out;
}

/* A path stands for what is below it: only the shortest are told. */
static bool is_covered(struct rg_val all, struct rg_val path)
{
    for (uint32_t i = 0; i < all.map->len; i++) {
        const struct rg_arr *other = all.map->keys[i].arr;
        uint32_t n = 0;
        while (n < other->len && other->len < path.arr->len && rg_eq(other->items[n], path.arr->items[n])) {
            n++;
        }
        if (n > 0 && n == other->len) {
            return true;
        }
    }
    return false;
}

static struct rg_val refs_value(struct rg_heap *heap, struct rg_val paths, bool shortest)
{
    struct rg_val out = rg_array(heap, paths.map->len);
    rg_sort(paths);
    for (uint32_t i = 0; i < paths.map->len; i++) {
        if (!shortest || !is_covered(paths, paths.map->keys[i])) {
            rg_push(heap, out, ref_value(heap, paths.map->keys[i]));
        }
    }
    return out;
}

bool mln_rego_deps_print(const struct mln_rego_query *query, struct mln_buf *buf)
{
    struct rg_heap *heap = query->proc == NULL ? NULL : rg_heap_new(0);
    if (heap == NULL) {
        return false;
    }
    struct deps d = {.policy = query->policy, .heap = heap};
    d.base = rg_set(heap, 0);
    d.rules = rg_set(heap, 0);
    d.seen = rg_set(heap, 0);
    see_proc(&d, query->proc);
    struct rg_val out = rg_object(heap, 2);
    rg_put_text(heap, out, "base", refs_value(heap, d.base, true));
    rg_put_text(heap, out, "virtual", refs_value(heap, d.rules, false));
    rg_print_json(buf, out);
    rg_heap_free(heap);
    return true;
}

/* ---- modules ---- */
size_t mln_rego_module_count(const struct mln_rego *rego)
{
    return rego->policy.modules_n;
}

const char *mln_rego_module_package(const struct mln_rego *rego, size_t i)
{
    const struct rg_policy *p = &rego->policy;
    return i < p->modules_n ? rg_term_text(p->heap, p->modules[i]->package) : NULL;
}

const char *mln_rego_module_file(const struct mln_rego *rego, size_t i)
{
    return i < rego->policy.modules_n ? rego->policy.modules[i]->file : NULL;
}

bool mln_rego_tree_print(const struct mln_rego *rego, size_t i, struct mln_buf *buf)
{
    const struct rg_policy *p = &rego->policy;
    struct rg_heap *heap = i >= p->modules_n || p->is_compiled ? NULL : rg_heap_new(0);
    if (heap == NULL) {
        return false;
    }
    rg_print_json(buf, rg_module_tree(heap, p->modules[i]));
    rg_heap_free(heap);
    return !buf->has_failed;
}

static void add_notes(struct rg_heap *heap, struct rg_val out, struct rg_val notes, const struct rg_term *package,
                      const struct rg_rule *rule)
{
    for (uint32_t k = 0; notes.tag == RG_ARRAY && k < notes.arr->len; k++) {
        struct rg_val one = rg_object(heap, 4), at = rg_object(heap, 3);
        struct rg_loc loc = rule != NULL ? rule->loc : package->loc;
        rg_put_text(heap, one, "annotations", notes.arr->items[k]);
        rg_put_text(heap, one, "package", rg_text(heap, rg_term_text(heap, package)));
        if (rule != NULL) {
            rg_put_text(heap, one, "rule", rg_text(heap, rg_term_text(heap, rule->ref)));
        }
        rg_put_text(heap, at, "file", rg_text(heap, loc.file));
        rg_put_text(heap, at, "row", rg_int(loc.row));
        rg_put_text(heap, at, "col", rg_int(loc.col));
        rg_put_text(heap, one, "location", at);
        rg_push(heap, out, one);
    }
}

bool mln_rego_notes_print(const struct mln_rego *rego, struct mln_buf *buf)
{
    const struct rg_policy *p = &rego->policy;
    struct rg_heap *heap = rg_heap_new(0);
    if (heap == NULL) {
        return false;
    }
    struct rg_val out = rg_array(heap, 8);
    for (uint32_t i = 0; i < p->modules_n; i++) {
        const struct rg_module *m = p->modules[i];
        add_notes(heap, out, m->notes, m->package, NULL);
        for (uint32_t k = 0; k < m->rules_n; k++) {
            add_notes(heap, out, m->rules[k]->notes, m->package, m->rules[k]);
        }
    }
    rg_print_json(buf, out);
    rg_heap_free(heap);
    return !buf->has_failed;
}
