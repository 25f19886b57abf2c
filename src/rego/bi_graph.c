/* SPDX-License-Identifier: Apache-2.0 */
/* walk: all values inside a value with their paths; graphs as objects of edges. */
#include "rego/builtin_priv.h"

static struct rg_val longer(struct rg_heap *heap, struct rg_val path, struct rg_val key)
{
    struct rg_val out = rg_array(heap, path.arr->len + 1);
    for (uint32_t i = 0; i < path.arr->len; i++) {
        rg_push(heap, out, path.arr->items[i]);
    }
    rg_push(heap, out, key);
    return out;
}

static void walk_into(struct rg_call *call, struct rg_val out, struct rg_val path, struct rg_val v)
{
    struct rg_val pair = rg_array(call->heap, 2);
    if (!rg_spend(call->vm, 1)) {
        return;
    }
    rg_push(call->heap, pair, path);
    rg_push(call->heap, pair, v);
    rg_push(call->heap, out, pair);
    size_t n = v.tag == RG_STR ? 0 : rg_len(v);
    for (uint32_t i = 0; i < n; i++) {
        struct rg_val key = v.tag == RG_ARRAY ? rg_int(i) : rg_key_at(v, i);
        struct rg_val item = v.tag == RG_ARRAY ? v.arr->items[i]
                             : v.tag == RG_SET ? key
                                               : rg_val_at(v, i);
        walk_into(call, out, longer(call->heap, path, key), item);
    }
}

static bool walk(struct rg_call *call)
{
    struct rg_val out = rg_array(call->heap, 0);
    walk_into(call, out, rg_array(call->heap, 0), call->args[0]);
    return rg_return(call, out);
}

/* ---- graphs ---- */
static void add_nodes(struct rg_heap *heap, struct rg_val to, struct rg_val from)
{
    for (uint32_t i = 0; (from.tag == RG_ARRAY || from.tag == RG_SET) && i < rg_len(from); i++) {
        rg_push(heap, to, from.tag == RG_ARRAY ? from.arr->items[i] : rg_key_at(from, i));
    }
}

static bool begin(struct rg_call *call, struct rg_val *graph, struct rg_val *queue)
{
    struct rg_val from = call->args[1];
    if (!rg_arg_tag(call, 1, RG_OBJECT, graph)) {
        return false;
    }
    if (from.tag != RG_ARRAY && from.tag != RG_SET) {
        return rg_fail_operand(call, 2, "must be one of {array, set} but got %s",
                               rg_type_name(from));
    }
    *queue = rg_array(call->heap, 0);
    add_nodes(call->heap, *queue, from);
    return true;
}

static bool reachable(struct rg_call *call)
{
    struct rg_val graph, queue, out = rg_set(call->heap, 0);
    if (!begin(call, &graph, &queue)) {
        return false;
    }
    for (uint32_t i = 0; i < queue.arr->len && rg_spend(call->vm, 1); i++) {
        struct rg_val node = queue.arr->items[i], edges = rg_get(graph, node);
        if (edges.tag != RG_UNDEF && !rg_has(out, node)) {
            rg_add(call->heap, out, node);
            add_nodes(call->heap, queue, edges);
        }
    }
    return rg_return(call, out);
}

struct paths {
    struct rg_call *call;
    struct rg_val graph, out;
};

static void add_paths(struct paths *p, struct rg_val path, struct rg_val seen, struct rg_val node)
{
    struct rg_heap *heap = p->call->heap;
    struct rg_val edges = rg_get(p->graph, node), next = rg_array(heap, 0);
    if (!rg_spend(p->call->vm, 1)) {
        return;
    }
    if (edges.tag == RG_UNDEF || rg_has(seen, node)) {
        if (path.arr->len > 0) {
            rg_add(heap, p->out, path);
        }
        return;
    }
    path = longer(heap, path, node);
    struct rg_val now = rg_set(heap, seen.map->len + 1);
    for (uint32_t i = 0; i < seen.map->len; i++) {
        rg_add(heap, now, seen.map->keys[i]);
    }
    rg_add(heap, now, node);
    add_nodes(heap, next, edges);
    if (next.arr->len == 0 || path.arr->len > 2000) {
        rg_add(heap, p->out, path);
        return;
    }
    for (uint32_t i = 0; i < next.arr->len; i++) {
        add_paths(p, path, now, next.arr->items[i]);
    }
}

static bool reachable_paths(struct rg_call *call)
{
    struct paths p = {.call = call, .out = rg_set(call->heap, 0)};
    struct rg_val queue;
    if (!begin(call, &p.graph, &queue)) {
        return false;
    }
    for (uint32_t i = 0; i < queue.arr->len; i++) {
        add_paths(&p, rg_array(call->heap, 0), rg_set(call->heap, 0), queue.arr->items[i]);
    }
    return rg_return(call, p.out);
}

const struct rg_builtin rg_builtins_graph[] = {
    {"walk", walk},
    {"graph.reachable", reachable},
    {"graph.reachable_paths", reachable_paths},
    {NULL, NULL},
};
