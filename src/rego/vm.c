/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of the machine, and the instructions that run often. */
#include "rego/vm_priv.h"

#include "base/clock.h"

#include <stdio.h>

#define STACK_ITEMS 16384u

static inline struct rg_val get(const struct rg_frame *f, uint32_t x)
{
    return (x & RG_CONST) != 0 ? f->consts[x & ~RG_CONST] : f->regs[x];
}

static inline const struct rg_ins *no(const struct rg_frame *f, const struct rg_ins *ins)
{
    return f->proc->code + ins->fail;
}

struct rg_loc rg_vm_loc(const struct rg_frame *f, const struct rg_ins *ins)
{
    return f->proc->locs[ins - f->proc->code];
}

void rg_vm_fail(struct rg_vm *vm, const char *code, struct rg_loc loc, const char *format, ...)
{
    if (vm->has_failed) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    vm->has_failed = true;
    vm->error = (struct mln_rego_error){.code = code,
                                        .message = rg_text_dup(vm->heap, mln_bytes_of(text)),
                                        .file = loc.file,
                                        .row = loc.row,
                                        .col = loc.col};
}

bool rg_vm_step(struct rg_vm *vm)
{
    static const struct rg_loc nowhere;
    const struct mln_rego_run_options *o = &vm->options;
    if (rg_heap_is_over(vm->heap) && rg_heap_why(vm->heap) != NULL) {
        rg_vm_fail(vm, "eval_cancel_error", nowhere, "evaluation stopped: %s",
                   rg_heap_why(vm->heap));
    } else if (rg_heap_is_over(vm->heap)) {
        rg_vm_fail(vm, "eval_cancel_error", nowhere,
                   "evaluation stopped: it needs more than %zu bytes of memory",
                   o->budget.memory_max);
    } else if (o->budget.steps_max != 0 && vm->steps > o->budget.steps_max) {
        rg_vm_fail(vm, "eval_cancel_error", nowhere, "evaluation stopped: more than %llu steps",
                   (unsigned long long)o->budget.steps_max);
    } else if (o->stop != NULL && *o->stop) {
        rg_vm_fail(vm, "eval_cancel_error", nowhere, "caller cancelled query execution");
    } else if (vm->deadline_ns != 0 && mln_mono_ns() > vm->deadline_ns) {
        rg_vm_fail(vm, "eval_cancel_error", nowhere,
                   "evaluation stopped: it took longer than %llu ms",
                   (unsigned long long)(o->budget.time_ns / 1000000));
    }
    return !vm->has_failed;
}

static inline bool step(struct rg_vm *vm)
{
    return (++vm->steps & 255) != 0 || rg_vm_step(vm);
}

bool rg_spend(struct rg_vm *vm, uint64_t steps)
{
    uint64_t before = vm->steps;
    vm->steps += steps;
    return before >> 8 == vm->steps >> 8 || rg_vm_step(vm);
}

/* ---- instructions ---- */
static inline const struct rg_ins *op_END(struct rg_vm *vm, struct rg_frame *f,
                                          const struct rg_ins *ins)
{
    (void)vm;
    (void)ins;
    f->result = f->regs[0];
    return NULL;
}

static inline const struct rg_ins *op_DONE(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    (void)vm;
    f->result = get(f, ins->a);
    return NULL;
}

static inline const struct rg_ins *op_JUMP(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    (void)vm;
    return no(f, ins);
}

static inline const struct rg_ins *op_MOVE(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    (void)vm;
    f->regs[ins->a] = get(f, ins->b);
    return ins + 1;
}

static inline const struct rg_ins *op_CONST(struct rg_vm *vm, struct rg_frame *f,
                                            const struct rg_ins *ins)
{
    (void)vm;
    f->regs[ins->a] = f->consts[ins->d];
    return ins + 1;
}

static inline const struct rg_ins *path(struct rg_vm *vm, struct rg_frame *f,
                                        const struct rg_ins *ins, struct rg_val from)
{
    struct rg_memo *slot = &vm->slots[ins->d];
    if (slot->world != vm->world) {
        slot->v = ins->op == RG_OP_BASE ? rg_base_get(vm, from, get(f, ins->b))
                                        : rg_path_get(from, get(f, ins->b));
        slot->world = vm->world;
    }
    f->regs[ins->a] = slot->v;
    return slot->v.tag == RG_UNDEF ? no(f, ins) : ins + 1;
}

static inline const struct rg_ins *op_INPUT(struct rg_vm *vm, struct rg_frame *f,
                                            const struct rg_ins *ins)
{
    return path(vm, f, ins, vm->input);
}

static inline const struct rg_ins *op_BASE(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    return path(vm, f, ins, vm->data);
}

static inline const struct rg_ins *op_DOC(struct rg_vm *vm, struct rg_frame *f,
                                          const struct rg_ins *ins)
{
    f->regs[ins->a] = rg_doc_at(vm, f->consts[ins->d]);
    return f->regs[ins->a].tag == RG_UNDEF ? no(f, ins) : ins + 1;
}

/* After a call: on, to fail, or out when the evaluation has failed. */
static inline const struct rg_ins *give(struct rg_vm *vm, struct rg_frame *f,
                                        const struct rg_ins *ins, struct rg_val v)
{
    f->regs[ins->a] = v;
    if (v.tag != RG_UNDEF) {
        return ins + 1;
    }
    return vm->has_failed ? NULL : no(f, ins);
}

static inline const struct rg_ins *op_RULE(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    const struct rg_memo *m = &vm->memo[ins->d];
    return give(vm, f, ins,
                m->world == vm->world ? m->v : rg_group_value(vm, vm->policy->groups[ins->d]));
}

static inline const struct rg_ins *op_FUNC(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    const struct rg_group *group = vm->policy->groups[ins->d];
    if (!step(vm)) {
        return NULL;
    }
    const struct rg_val *args = f->regs + ins->b;
    return give(vm, f, ins,
                vm->mocks == NULL ? rg_run(vm, group->proc, args, ins->c)
                                  : rg_call_group(vm, group, args, ins->c));
}

static const struct rg_ins *op_CALL(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    if (!step(vm)) {
        return NULL;
    }
    return give(vm, f, ins,
                rg_call_builtin(vm, ins->d, f->regs + ins->b, ins->c, rg_vm_loc(f, ins)));
}

static inline const struct rg_ins *op_DOT(struct rg_vm *vm, struct rg_frame *f,
                                          const struct rg_ins *ins)
{
    struct rg_val from = get(f, ins->b);
    return give(vm, f, ins,
                from.tag == RG_DOC ? rg_doc_get(vm, from, get(f, ins->c))
                                   : rg_get(from, get(f, ins->c)));
}

static inline const struct rg_ins *op_TEST(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    (void)vm;
    return rg_is_true(get(f, ins->a)) ? ins + 1 : no(f, ins);
}

#define TEST_OP(name, condition)                                                                   \
    static inline const struct rg_ins *op_##name(struct rg_vm *vm, struct rg_frame *f,             \
                                                 const struct rg_ins *ins)                         \
    {                                                                                              \
        (void)vm;                                                                                  \
        struct rg_val b = get(f, ins->b), c = get(f, ins->c);                                      \
        return (condition) ? ins + 1 : no(f, ins);                                                 \
    }
TEST_OP(EQ, rg_eq(b, c))
TEST_OP(NEQ, !rg_eq(b, c))
TEST_OP(LT, rg_cmp(b, c) < 0)
TEST_OP(LTE, rg_cmp(b, c) <= 0)
TEST_OP(GT, rg_cmp(b, c) > 0)
TEST_OP(GTE, rg_cmp(b, c) >= 0)

static const struct rg_ins *op_MEMBER(struct rg_vm *vm, struct rg_frame *f,
                                      const struct rg_ins *ins)
{
    struct rg_val item = get(f, ins->b), in = get(f, ins->c);
    bool found = in.tag == RG_SET && rg_has(in, item);
    size_t n = in.tag == RG_ARRAY || in.tag == RG_OBJECT ? rg_len(in) : 0;
    for (size_t i = 0; i < n && !found; i++) {
        found = rg_eq(item, in.tag == RG_ARRAY ? in.arr->items[i] : in.map->vals[i]);
    }
    vm->steps += n >> 4;
    return found ? ins + 1 : no(f, ins);
}

static inline const struct rg_ins *op_ARRAY_IS(struct rg_vm *vm, struct rg_frame *f,
                                               const struct rg_ins *ins)
{
    (void)vm;
    struct rg_val v = get(f, ins->a);
    return v.tag == RG_ARRAY && v.arr->len == ins->c ? ins + 1 : no(f, ins);
}

static inline const struct rg_ins *op_OBJECT_IS(struct rg_vm *vm, struct rg_frame *f,
                                                const struct rg_ins *ins)
{
    (void)vm;
    struct rg_val v = get(f, ins->a);
    return v.tag == RG_OBJECT && v.map->len == ins->c ? ins + 1 : no(f, ins);
}

static inline const struct rg_ins *op_ITER(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    struct rg_val over = get(f, ins->b);
    if (over.tag == RG_DOC) {
        over = rg_doc_force(vm, over);
        if (vm->has_failed) {
            return NULL;
        }
    }
    f->regs[ins->a] = over;
    f->regs[ins->a + 1] = rg_int(0);
    if (over.tag == RG_OBJECT || over.tag == RG_SET) {
        if ((ins->c & RG_ANY_ORDER) == 0) {
            rg_sort(over);
        } else if (
            !over.map
                 ->is_sorted) { /* it may be sorted while we walk: that moves it to other arrays */
            struct rg_map *view = rg_new(vm->heap, sizeof(*view));
            *view = *over.map;
            f->regs[ins->a].map = view;
        }
        return ins + 1;
    }
    return over.tag == RG_ARRAY ? ins + 1 : no(f, ins);
}

static inline const struct rg_ins *op_NEXT(struct rg_vm *vm, struct rg_frame *f,
                                           const struct rg_ins *ins)
{
    struct rg_val over = f->regs[ins->a];
    size_t i = (size_t)f->regs[ins->a + 1].integer;
    if (!step(vm)) {
        return NULL;
    }
    if (over.tag == RG_ARRAY) {
        if (i >= over.arr->len) {
            return no(f, ins);
        }
        f->regs[ins->b] = rg_int((int64_t)i);
        f->regs[ins->c] = over.arr->items[i];
    } else {
        if (i >= over.map->len) {
            return no(f, ins);
        }
        f->regs[ins->b] = over.map->keys[i];
        f->regs[ins->c] = over.tag == RG_SET ? over.map->keys[i] : over.map->vals[i];
    }
    f->regs[ins->a + 1].integer++;
    return ins + 1;
}

static const struct rg_ins *op_FORCE(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    if (f->regs[ins->a].tag != RG_DOC) {
        return ins + 1;
    }
    return give(vm, f, ins, rg_doc_force(vm, f->regs[ins->a]));
}

static const struct rg_ins *op_ARRAY(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    struct rg_val out = rg_array(vm->heap, ins->c);
    for (uint32_t i = 0; i < ins->c; i++) {
        rg_push(vm->heap, out, f->regs[ins->b + i]);
    }
    f->regs[ins->a] = out;
    return ins + 1;
}

static const struct rg_ins *op_SET(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    struct rg_val out = rg_set(vm->heap, ins->c);
    for (uint32_t i = 0; i < ins->c; i++) {
        rg_add(vm->heap, out, f->regs[ins->b + i]);
    }
    f->regs[ins->a] = out;
    return ins + 1;
}

static const struct rg_ins *put(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins,
                                struct rg_val to, const struct rg_val pair[2])
{
    struct rg_val had = rg_get(to, pair[0]);
    if (had.tag == RG_UNDEF) {
        rg_put(vm->heap, to, pair[0], pair[1]);
    } else if (!rg_eq(had, pair[1])) {
        rg_vm_fail(vm, "eval_conflict_error", rg_vm_loc(f, ins), "object keys must be unique");
        return NULL;
    }
    return ins + 1;
}

static const struct rg_ins *op_OBJECT(struct rg_vm *vm, struct rg_frame *f,
                                      const struct rg_ins *ins)
{
    struct rg_val out = rg_object(vm->heap, ins->c / 2);
    for (uint32_t i = 0; i < ins->c; i += 2) {
        rg_put(vm->heap, out, f->regs[ins->b + i], f->regs[ins->b + i + 1]);
    }
    f->regs[ins->a] = out;
    return ins + 1;
}

static const struct rg_ins *op_ARRAY_NEW(struct rg_vm *vm, struct rg_frame *f,
                                         const struct rg_ins *ins)
{
    f->regs[ins->a] = rg_array(vm->heap, 0);
    return ins + 1;
}

static const struct rg_ins *op_SET_NEW(struct rg_vm *vm, struct rg_frame *f,
                                       const struct rg_ins *ins)
{
    f->regs[ins->a] = rg_set(vm->heap, 0);
    f->regs[ins->a].map->is_partial = ins->c != 0;
    return ins + 1;
}

static const struct rg_ins *op_OBJECT_NEW(struct rg_vm *vm, struct rg_frame *f,
                                          const struct rg_ins *ins)
{
    f->regs[ins->a] = rg_object(vm->heap, 0);
    f->regs[ins->a].map->is_partial = ins->c != 0;
    return ins + 1;
}

static const struct rg_ins *op_PUSH(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    rg_push(vm->heap, f->regs[ins->a], get(f, ins->b));
    return ins + 1;
}

static const struct rg_ins *op_ADD(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    rg_add(vm->heap, f->regs[ins->a], get(f, ins->b));
    return ins + 1;
}

static const struct rg_ins *op_PUT(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    return put(vm, f, ins, f->regs[ins->a], (struct rg_val[2]){get(f, ins->b), get(f, ins->c)});
}

static const struct rg_ins *op_PUT_PATH(struct rg_vm *vm, struct rg_frame *f,
                                        const struct rg_ins *ins)
{
    if (!rg_put_path(vm, f->regs[0], f->regs + ins->b, ins->c, get(f, ins->a))) {
        rg_vm_fail(vm, "eval_conflict_error", rg_vm_loc(f, ins), "object keys must be unique");
        return NULL;
    }
    return ins + 1;
}

static const struct rg_ins *op_ADD_PATH(struct rg_vm *vm, struct rg_frame *f,
                                        const struct rg_ins *ins)
{
    if (!rg_add_path(vm, f->regs[0], f->regs + ins->b, ins->c, get(f, ins->a))) {
        rg_vm_fail(vm, "eval_conflict_error", rg_vm_loc(f, ins), "object keys must be unique");
        return NULL;
    }
    return ins + 1;
}

static inline const struct rg_ins *op_UNSET(struct rg_vm *vm, struct rg_frame *f,
                                            const struct rg_ins *ins)
{
    (void)vm;
    f->regs[ins->a] = RG_NONE;
    return ins + 1;
}

static const struct rg_ins *op_RESULT(struct rg_vm *vm, struct rg_frame *f,
                                      const struct rg_ins *ins)
{
    struct rg_val v = get(f, ins->a);
    if (f->regs[0].tag == RG_UNDEF) {
        f->regs[0] = v;
    } else if (!rg_eq(f->regs[0], v)) {
        rg_vm_fail(vm, "eval_conflict_error", rg_vm_loc(f, ins),
                   ins->c != 0 ? "function %s produced conflicting values for the same inputs"
                               : "rule %s produced conflicting values",
                   f->proc->name);
        return NULL;
    }
    f->regs[ins->b] = rg_bool(true);
    return no(f, ins);
}

static inline const struct rg_ins *op_IF_SET(struct rg_vm *vm, struct rg_frame *f,
                                             const struct rg_ins *ins)
{
    (void)vm;
    return f->regs[ins->a].tag != RG_UNDEF ? no(f, ins) : ins + 1;
}

static const struct rg_ins *op_WITH(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    rg_with_begin(vm, f->proc->withs[ins->d], f->regs + ins->b);
    return vm->has_failed ? NULL : ins + 1;
}

static const struct rg_ins *op_WITHOUT(struct rg_vm *vm, struct rg_frame *f,
                                       const struct rg_ins *ins)
{
    (void)f;
    rg_with_end(vm);
    return ins + 1;
}

static const struct rg_ins *op_TEMPLATE(struct rg_vm *vm, struct rg_frame *f,
                                        const struct rg_ins *ins)
{
    f->regs[ins->a] = rg_template(vm, f->regs + ins->b, ins->c);
    return ins + 1;
}

static const struct rg_ins *op_PRINT(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    if (vm->options.print != NULL) {
        struct mln_buf buf = rg_buf(vm->heap);
        for (uint32_t i = 0; i < ins->c; i++) {
            struct rg_val v = f->regs[ins->b + i];
            mln_buf_add_text(&buf, i == 0 ? "" : " ");
            if (v.tag == RG_STR) {
                mln_buf_add_bytes(&buf, rg_bytes(v));
            } else if (v.tag == RG_UNDEF) {
                mln_buf_add_text(&buf, "<undefined>");
            } else {
                rg_print_rego(&buf, v);
            }
        }
        struct rg_loc loc = rg_vm_loc(f, ins);
        struct rg_val text = rg_string_buf(vm->heap, &buf);
        vm->options.print(vm->options.print_with, loc.file, loc.row, text.str->text);
    }
    return ins + 1;
}

static const struct rg_ins *op_CASE(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    struct rg_val keys = rg_array(vm->heap, ins->c);
    for (uint32_t i = 0; i < ins->c; i++) {
        rg_push(vm->heap, keys, f->regs[ins->b + i]);
    }
    if (vm->cases.tag == RG_UNDEF) {
        vm->cases = rg_array(vm->heap, 8);
    }
    rg_push(vm->heap, vm->cases, keys);
    return ins + 1;
}

static const struct rg_ins *op_NOTE(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    (void)f;
    if (vm->options.note != NULL) {
        vm->options.note(vm->options.note_with, (enum mln_rego_event)ins->a, ins->d, vm->depth);
    }
    return ins + 1;
}

static const struct rg_ins *op_ROW(struct rg_vm *vm, struct rg_frame *f, const struct rg_ins *ins)
{
    struct rg_val row = rg_array(vm->heap, 2), vars = rg_object(vm->heap, ins->c),
                  exprs = rg_array(vm->heap, ins->d);
    for (uint32_t i = 0; i < ins->c; i++) {
        rg_put_text(vm->heap, vars, f->proc->vars[i], f->regs[ins->b + i]);
    }
    for (uint32_t i = 0; i < ins->d; i++) {
        rg_push(vm->heap, exprs, f->regs[ins->b + ins->c + i]);
    }
    rg_push(vm->heap, row, vars);
    rg_push(vm->heap, row, exprs);
    rg_push(vm->heap, vm->rows, row);
    return ins + 1;
}

/* ---- frames ---- */
static struct rg_val *frame_new(struct rg_vm *vm, uint32_t n)
{
    struct rg_stack *s = vm->stack;
    if (s == NULL || (size_t)(s->end - s->at) < n) {
        size_t items = n > STACK_ITEMS ? n : STACK_ITEMS;
        s = mln_alloc(sizeof(*s) + items * sizeof(struct rg_val));
        if (s == NULL) {
            return NULL;
        }
        s->next = vm->stack;
        s->at = s->items;
        s->end = s->items + items;
        vm->stack = s;
    }
    struct rg_val *regs = s->at;
    s->at += n;
    return regs;
}

static void frame_free(struct rg_vm *vm, struct rg_val *regs)
{
    struct rg_stack *s = vm->stack;
    s->at = regs;
    if (s->at == s->items && s->next != NULL) {
        vm->stack = s->next;
        mln_free(s);
    }
}

struct rg_val rg_run(struct rg_vm *vm, const struct rg_proc *proc, const struct rg_val *args,
                     uint32_t n)
{
    static const struct rg_loc nowhere;
    struct rg_frame frame = {.consts = proc->consts, .proc = proc}, *f = &frame;
    f->regs = vm->depth < MLN_REGO_CALLS_MAX ? frame_new(vm, proc->regs) : NULL;
    if (f->regs == NULL) {
        rg_vm_fail(vm, "eval_cancel_error", nowhere,
                   "evaluation stopped: rules call rules more than %d deep", MLN_REGO_CALLS_MAX);
        return RG_NONE;
    }
    vm->depth++;
    for (uint32_t i = 0; i < n; i++) {
        f->regs[1 + i] = args[i];
    }
    const struct rg_ins *ins = proc->code;
    while (ins != NULL) {
        switch (ins->op) {
#define RG_OP(name)                                                                                \
    case RG_OP_##name:                                                                             \
        ins = op_##name(vm, f, ins);                                                               \
        break;
#include "rego/op.def"
#undef RG_OP
        default:
            ins = NULL;
            break;
        }
    }
    vm->depth--;
    frame_free(vm, f->regs);
    return vm->has_failed ? RG_NONE : f->result;
}
