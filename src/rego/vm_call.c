/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of functions and builtins, what stands in for them, and with. */
#include "rego/vm_priv.h"

#include "base/clock.h"

static const struct rg_mock *mock_of(const struct rg_vm *vm, const struct rg_group *group,
                                     const struct rg_decl *decl)
{
    for (const struct rg_mock *m = vm->mocks; m != NULL; m = m->next) {
        if (group != NULL ? m->part->group == group : m->part->decl == decl) {
            return m;
        }
    }
    return NULL;
}

/* The answer of a nondeterministic builtin, for the log of decisions. */
static void note_answer(struct rg_vm *vm, const struct rg_decl *decl, const struct rg_val *args, uint32_t n, struct rg_val out)
{
    struct rg_val of = rg_get_text(vm->nd, decl->name), key = rg_array(vm->heap, n);
    if (out.tag == RG_UNDEF) {
        return;
    }
    if (of.tag == RG_UNDEF) {
        of = rg_object(vm->heap, 1);
        rg_put_text(vm->heap, vm->nd, decl->name, of);
    }
    for (uint32_t i = 0; i < n; i++) {
        rg_push(vm->heap, key, args[i]);
    }
    rg_put(vm->heap, of, key, out);
}

static struct rg_val call_real(struct rg_vm *vm, uint32_t index, const struct rg_val *args,
                               uint32_t n, struct rg_loc loc)
{
    const struct rg_decl *decl = rg_decl_at(index);
    rg_builtin_fn fn = vm->policy->fns[index];
    if (fn == NULL) {
        rg_vm_fail(vm, "eval_builtin_error", loc, "%s: this builtin is not available here",
                   decl->name);
        return RG_NONE;
    }
    struct rg_call call = {.vm = vm, .heap = vm->heap, .name = decl->name, .args = args, .n = n};
    if (fn(&call)) {
        if (vm->nd.tag != RG_UNDEF && (decl->flags & RG_NONDETERMINISTIC) != 0) {
            note_answer(vm, decl, args, n, call.out);
        }
        return vm->has_failed ? RG_NONE : call.out;
    }
    if (vm->options.is_strict || call.is_fatal) {
        rg_vm_fail(vm, call.error_code, loc, "%s", call.error);
    }
    return RG_NONE;
}

static struct rg_val call_mock(struct rg_vm *vm, const struct rg_mock *m, const struct rg_val *args,
                               uint32_t n, struct rg_loc loc)
{
    if (!m->part->is_call) {
        return m->value;
    }
    if (m->part->by_group == NULL) {
        return call_real(vm, (uint32_t)(m->part->by_decl - rg_decl_at(0)), args, n, loc);
    }
    if (n != m->part->by_group->arity) {
        return RG_NONE;
    }
    const struct rg_mock *mocks = vm->mocks; /* what stands in calls what is real */
    uint64_t world = vm->world;
    vm->mocks = NULL;
    vm->world = ++vm->worlds;
    struct rg_val v = rg_run(vm, m->part->by_group->proc, args, n);
    vm->mocks = mocks;
    vm->world = world;
    return v;
}

struct rg_val rg_call_group(struct rg_vm *vm, const struct rg_group *group,
                            const struct rg_val *args, uint32_t n)
{
    static const struct rg_loc nowhere;
    const struct rg_mock *m = mock_of(vm, group, NULL);
    return m != NULL ? call_mock(vm, m, args, n, nowhere) : rg_run(vm, group->proc, args, n);
}

struct rg_val rg_call_builtin(struct rg_vm *vm, uint32_t index, const struct rg_val *args,
                              uint32_t n, struct rg_loc loc)
{
    const struct rg_mock *m = vm->mocks == NULL ? NULL : mock_of(vm, NULL, rg_decl_at(index));
    return m != NULL ? call_mock(vm, m, args, n, loc) : call_real(vm, index, args, n, loc);
}

/* `root` with `v` at path[i..]: objects on the way are copied, what is in the way is replaced. */
static struct rg_val patch(struct rg_vm *vm, struct rg_val root, const struct rg_arr *path,
                           uint32_t i, struct rg_val v)
{
    if (i == path->len) {
        return v;
    }
    struct rg_val out = rg_object(vm->heap, root.tag == RG_OBJECT ? root.map->len + 1 : 1);
    for (uint32_t k = 0; root.tag == RG_OBJECT && k < root.map->len; k++) {
        rg_put(vm->heap, out, root.map->keys[k], root.map->vals[k]);
    }
    struct rg_val below = root.tag == RG_OBJECT ? rg_get(root, path->items[i]) : RG_NONE;
    rg_put(vm->heap, out, path->items[i], patch(vm, below, path, i + 1, v));
    return out;
}

static void begin_part(struct rg_vm *vm, const struct rg_with_part *part, struct rg_val v)
{
    if (part->kind == RG_W_INPUT) {
        vm->input = patch(vm, vm->input, part->path.arr, 0, v);
        return;
    }
    if (part->kind == RG_W_CALL) {
        struct rg_mock *m = rg_new(vm->heap, sizeof(*m));
        *m = (struct rg_mock){.next = vm->mocks, .part = part, .value = v};
        vm->mocks = m;
        return;
    }
    vm->data = patch(vm, vm->data, part->path.arr, 0, v);
    if (part->node != NULL) {
        struct rg_mask *m = rg_new(vm->heap, sizeof(*m));
        *m = (struct rg_mask){.next = vm->masks, .node = part->node};
        vm->masks = m;
    }
}

void rg_with_begin(struct rg_vm *vm, const struct rg_with_set *set, const struct rg_val *values)
{
    struct rg_saved_world *s = rg_new(vm->heap, sizeof(*s));
    *s = (struct rg_saved_world){.next = vm->saved,
                                 .input = vm->input,
                                 .data = vm->data,
                                 .masks = vm->masks,
                                 .mocks = vm->mocks,
                                 .world = vm->world};
    vm->saved = s;
    vm->world = ++vm->worlds;
    for (uint32_t i = 0; i < set->n; i++) {
        begin_part(vm, &set->parts[i], values[i]);
    }
}

void rg_with_end(struct rg_vm *vm)
{
    const struct rg_saved_world *s = vm->saved;
    vm->input = s->input;
    vm->data = s->data;
    vm->masks = s->masks;
    vm->mocks = s->mocks;
    vm->world = s->world;
    vm->saved = s->next;
}

/* ---- what builtins ask for ---- */
int64_t rg_now_ns(struct rg_vm *vm)
{
    if (vm->now_ns == 0) {
        vm->now_ns = vm->options.now_ns != 0 ? vm->options.now_ns : mln_now_ns();
    }
    return vm->now_ns;
}

uint64_t rg_random(struct rg_vm *vm)
{
    if (vm->random == 0) {
        vm->random = vm->options.seed != 0 ? vm->options.seed
                                           : (uint64_t)mln_mono_ns() * 0x9e3779b97f4a7c15u;
    }
    vm->random += 0x9e3779b97f4a7c15u;
    uint64_t x = vm->random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

const struct mln_rego_net *rg_net(const struct rg_vm *vm)
{
    return vm->options.net;
}

const struct mln_rego_zones *rg_zones(const struct rg_vm *vm)
{
    return vm->options.zones;
}

struct rg_val rg_answers(struct rg_vm *vm)
{
    if (vm->answers.tag == RG_UNDEF) {
        vm->answers = rg_object(vm->heap, 1);
    }
    return vm->answers;
}

static struct rg_cached **cache_slot(struct rg_vm *vm, struct rg_val key)
{
    return &vm->cached[rg_hash(key) % MLN_COUNT(vm->cached)];
}

void *rg_cache_get(struct rg_vm *vm, const void *kind, struct rg_val key)
{
    for (struct rg_cached *c = *cache_slot(vm, key); c != NULL; c = c->next) {
        if (c->kind == kind && rg_eq(c->key, key)) {
            return c->item;
        }
    }
    return NULL;
}

void rg_cache_put(struct rg_vm *vm, const void *kind, struct rg_val key, void *item,
                  void (*drop)(void *item))
{
    struct rg_cached *c = rg_new(vm->cache_heap, sizeof(*c)), **slot = cache_slot(vm, key);
    *c = (struct rg_cached){.next = *slot,
                            .kind = kind,
                            .key = rg_copy(vm->cache_heap, key),
                            .item = item,
                            .drop = drop};
    *slot = c;
    vm->cached_n++;
}

void rg_cache_weigh(struct rg_vm *vm, size_t n)
{
    vm->cached_n += n / 4096;
    rg_heap_charge(vm->heap, n);
}
