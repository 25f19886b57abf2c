/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine. One program runs in one frame of registers; rules call rules by C recursion, bounded by MLN_REGO_CALLS_MAX.
 * What is known of rules and paths is kept per world: a `with` begins a new world and gives the old one back at its end.
 */
#pragma once

#include "rego/compile_priv.h"

/* A document of data whose rules have not been evaluated yet: a node, and the base document beside it. */
struct rg_doc {
    const struct rg_node *node;
    struct rg_val base;
};

struct rg_memo {
    uint64_t world;
    struct rg_val v;
};

struct rg_mask {
    const struct rg_mask *next;
    const struct rg_node *node; /* base documents from here on */
};

struct rg_mock {
    const struct rg_mock *next;
    const struct rg_with_part *part;
    struct rg_val value;
};

struct rg_saved_world {
    struct rg_saved_world *next;
    struct rg_val input, data;
    const struct rg_mask *masks;
    const struct rg_mock *mocks;
    uint64_t world;
};

struct rg_frame {
    struct rg_val *regs;
    const struct rg_val *consts;
    const struct rg_proc *proc;
    struct rg_val result;
};

struct rg_stack {
    struct rg_stack *next;
    struct rg_val *at, *end;
    struct rg_val items[];
};

struct rg_cached {
    struct rg_cached *next;
    const void *kind;
    struct rg_val key;
    void *item;
    void (*drop)(void *item);
};

struct rg_vm {
    struct rg_heap *heap;
    const struct rg_policy *policy;
    struct rg_val input, data;
    struct rg_memo *memo; /* by group */
    struct rg_memo *slots;
    size_t memo_n, slots_n;
    uint64_t world, worlds;
    const struct rg_mask *masks;
    const struct rg_mock *mocks;
    struct rg_saved_world *saved;
    struct rg_stack *stack;
    unsigned depth;
    uint64_t steps;
    struct mln_rego_run_options options;
    int64_t deadline_ns;
    int64_t now_ns;
    uint64_t random;
    bool has_failed;
    struct mln_rego_error error;
    struct rg_val answers; /* to requests of this evaluation; undefined until one is made */
    struct rg_val cases; /* of tables of tests: array of arrays of keys; undefined: none */
    struct rg_val rows; /* array of [bindings, expressions] */
    struct rg_val nd;   /* what nondeterministic builtins answered: {name: {arguments: answer}}; undefined: nobody asks */
    struct rg_heap *cache_heap; /* keys of cached */
    struct rg_cached *cached[64];
    size_t cached_n;
};

struct rg_val rg_run(struct rg_vm *vm, const struct rg_proc *proc, const struct rg_val *args, uint32_t n);
void rg_vm_fail(struct rg_vm *vm, const char *code, struct rg_loc loc, const char *format, ...) __attribute__((format(printf, 4, 5)));
bool rg_vm_step(struct rg_vm *vm); /* the slow part of a step: false: stop */
struct rg_loc rg_vm_loc(const struct rg_frame *f, const struct rg_ins *ins);

/* ---- documents (vm_doc.c) ---- */
struct rg_val rg_doc_at(struct rg_vm *vm, struct rg_val path);           /* of a node, as a DOC */
struct rg_val rg_doc_get(struct rg_vm *vm, struct rg_val v, struct rg_val key);
struct rg_val rg_doc_force(struct rg_vm *vm, struct rg_val v);
struct rg_val rg_group_value(struct rg_vm *vm, const struct rg_group *group);
struct rg_val rg_base_get(struct rg_vm *vm, struct rg_val from, struct rg_val path); /* with numbers as text */
struct rg_val rg_path_get(struct rg_val from, struct rg_val path);
bool rg_is_masked(const struct rg_vm *vm, const struct rg_node *node);

/* ---- calls and with (vm_call.c) ---- */
struct rg_val rg_call_group(struct rg_vm *vm, const struct rg_group *group, const struct rg_val *args, uint32_t n);
struct rg_val rg_call_builtin(struct rg_vm *vm, uint32_t index, const struct rg_val *args, uint32_t n, struct rg_loc loc);
void rg_with_begin(struct rg_vm *vm, const struct rg_with_set *set, const struct rg_val *values);
void rg_with_end(struct rg_vm *vm);

/* ---- making values (vm_make.c) ---- */
bool rg_put_path(struct rg_vm *vm, struct rg_val object, const struct rg_val *keys, uint32_t n, struct rg_val v);
bool rg_add_path(struct rg_vm *vm, struct rg_val object, const struct rg_val *keys, uint32_t n, struct rg_val v);
struct rg_val rg_template(struct rg_vm *vm, const struct rg_val *parts, uint32_t n);
