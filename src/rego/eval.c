/* SPDX-License-Identifier: Apache-2.0 */
/* Data, input, runs and answers. */
#include "rego/rego_priv.h"

#include "base/clock.h"

#define MEMORY_MAX ((size_t)1 << 30) /* when the caller names no budget */

/* ---- evaluation ---- */
struct mln_err mln_rego_eval_new(struct mln_cx *cx, struct mln_rego_eval **ret)
{
    struct mln_rego_eval *e = mln_alloc(sizeof(*e));
    if (e != NULL) {
        e->vm.heap = rg_heap_new(0);
        e->vm.cache_heap = rg_heap_new(0);
        e->input_heap = rg_heap_new(0);
    }
    if (e == NULL || e->vm.heap == NULL || e->vm.cache_heap == NULL || e->input_heap == NULL) {
        mln_rego_eval_free(e);
        return mln_fail(cx, MLN_E_MEMORY, "rego: no memory");
    }
    *ret = e;
    return MLN_OK;
}

static void drop_cached(struct rg_vm *vm)
{
    for (size_t i = 0; i < MLN_COUNT(vm->cached); i++) {
        for (struct rg_cached *c = vm->cached[i]; c != NULL; c = c->next) {
            c->drop(c->item);
        }
        vm->cached[i] = NULL;
    }
    vm->cached_n = 0;
    if (vm->cache_heap != NULL) {
        rg_heap_reset(vm->cache_heap, 0);
    }
}

void mln_rego_eval_free(struct mln_rego_eval *e)
{
    if (e == NULL) {
        return;
    }
    drop_cached(&e->vm);
    while (e->vm.stack != NULL) {
        struct rg_stack *next = e->vm.stack->next;
        mln_free(e->vm.stack);
        e->vm.stack = next;
    }
    mln_free(e->vm.memo);
    mln_free(e->vm.slots);
    rg_heap_free(e->vm.heap);
    rg_heap_free(e->vm.cache_heap);
    rg_heap_free(e->input_heap);
    mln_free(e);
}

void mln_rego_eval_drop(struct mln_rego_eval **eval)
{
    mln_rego_eval_free(*eval);
    *eval = NULL;
}

void mln_rego_eval_reset(struct mln_rego_eval *e)
{
    rg_heap_reset(e->input_heap, 0);
    rg_heap_reset(e->vm.heap, 0);
    e->input = RG_NONE;
    e->vm.rows = RG_NONE;
    e->vm.nd = RG_NONE;
    e->vm.has_failed = false;
}

struct mln_err mln_rego_eval_input(struct mln_rego_eval *e, struct mln_cx *cx,
                                   struct mln_bytes json)
{
    const char *error = NULL;
    rg_heap_reset(e->input_heap, MEMORY_MAX);
    e->input = rg_json_parse(e->input_heap, json, &error);
    return error == NULL ? MLN_OK : mln_fail(cx, MLN_E_PARSE, "rego: input: %s", error);
}

struct mln_err mln_rego_eval_input_value(struct mln_rego_eval *e, struct mln_cx *cx,
                                         const struct mln_value *value)
{
    rg_heap_reset(e->input_heap, MEMORY_MAX);
    e->input = rg_from_value(e->input_heap, value);
    return rg_heap_is_over(e->input_heap)
               ? mln_fail(cx, MLN_E_TOO_LARGE, "rego: input is too large")
               : MLN_OK;
}

struct mln_err mln_rego_eval_input_term(struct mln_rego_eval *e, struct mln_cx *cx,
                                        struct mln_bytes term)
{
    rg_heap_reset(e->input_heap, MEMORY_MAX);
    struct rg_names names = {.heap = e->input_heap};
    struct rg_errors errors = {.heap = e->input_heap, .max = 1};
    struct rg_parse how = {
        .heap = e->input_heap, .names = &names, .errors = &errors, .file = "input", .text = term};
    struct rg_term *t = rg_parse_value(&how);
    e->input = t == NULL ? RG_NONE : rg_term_ground(e->input_heap, t);
    if (e->input.tag == RG_UNDEF) {
        return mln_fail(cx, MLN_E_PARSE, "rego: input: %s",
                        errors.n > 0 ? errors.list[0].message : "not a ground term");
    }
    return MLN_OK;
}

static bool make_room(struct rg_memo **list, size_t *n, size_t want)
{
    if (*n >= want) {
        return true;
    }
    size_t more = want + want / 2 + 16;
    struct rg_memo *grown = mln_alloc_array(more, sizeof(*grown)); /* world 0 is no world */
    if (grown == NULL) {
        return false;
    }
    mln_free(*list);
    *list = grown;
    *n = more;
    return true;
}

#define CACHED_MAX                                                                                 \
    4096 /* compiled patterns that an evaluation keeps: a policy makes few, an input could make many */

static void begin_run(struct mln_rego_eval *e, const struct mln_rego_query *query,
                      const struct mln_rego_data *data)
{
    struct rg_vm *vm = &e->vm;
    if (vm->cached_n > CACHED_MAX) {
        drop_cached(vm);
    }
    if (vm->options.budget.memory_max == 0) {
        vm->options.budget.memory_max = MEMORY_MAX;
    }
    rg_heap_reset(vm->heap, vm->options.budget.memory_max);
    vm->policy = query->policy;
    vm->input = e->input;
    vm->data = data != NULL ? data->root : rg_object(vm->heap, 0);
    vm->masks = NULL;
    vm->mocks = NULL;
    vm->saved = NULL;
    vm->world = ++vm->worlds;
    vm->depth = 0;
    vm->steps = 0;
    vm->now_ns = 0;
    vm->random = 0;
    vm->has_failed = false;
    vm->answers = RG_NONE;
    vm->cases = RG_NONE;
    vm->rows = rg_array(vm->heap, 1);
    vm->nd = vm->options.notes_nd ? rg_object(vm->heap, 0) : RG_NONE;
    uint64_t time_ns = vm->options.budget.time_ns;
    vm->deadline_ns =
        time_ns == 0 ? 0
                     : mln_mono_ns() + (int64_t)(time_ns < INT64_MAX / 2 ? time_ns : INT64_MAX / 2);
}

static struct mln_err fault(struct rg_vm *vm, struct mln_cx *cx)
{
    const struct mln_rego_error *err = &vm->error;
    bool stopped = mln_bytes_is(mln_bytes_of(err->code), "eval_cancel_error");
    return mln_fail(cx, stopped ? MLN_E_TIMEOUT : MLN_E_INVALID, "%s:%u: %s: %s",
                    err->file == NULL ? "" : err->file, (unsigned)err->row, err->code,
                    err->message);
}

struct mln_err mln_rego_run(struct mln_rego_eval *e, struct mln_cx *cx,
                            const struct mln_rego_query *query, const struct mln_rego_data *data,
                            const struct mln_rego_run_options *options)
{
    struct rg_vm *vm = &e->vm;
    MLN_CHECK(query->proc != NULL);
    vm->options = options != NULL ? *options : (struct mln_rego_run_options){0};
    if (!make_room(&vm->memo, &vm->memo_n, query->policy->groups_n) ||
        !make_room(&vm->slots, &vm->slots_n, query->slots)) {
        return mln_fail(cx, MLN_E_MEMORY, "rego: no memory");
    }
    begin_run(e, query, data);
    (void)rg_run(vm, query->proc, NULL, 0);
    (void)rg_vm_step(vm); /* a budget that was used up since the last look */
    if (vm->has_failed) {
        vm->rows = rg_array(vm->heap, 0);
        return fault(vm, cx);
    }
    return MLN_OK;
}

const struct mln_rego_error *mln_rego_eval_error(const struct mln_rego_eval *e)
{
    return e->vm.has_failed ? &e->vm.error : NULL;
}

/* ---- answers ---- */
bool mln_rego_eval_input_print(const struct mln_rego_eval *e, struct mln_buf *buf)
{
    if (e->input.tag != RG_UNDEF) {
        rg_print_json(buf, e->input);
    }
    return e->input.tag != RG_UNDEF;
}

bool mln_rego_nd_print(const struct mln_rego_eval *e, struct mln_buf *buf)
{
    bool is_there = e->vm.nd.tag == RG_OBJECT && rg_len(e->vm.nd) > 0;
    if (is_there) {
        rg_print_json(buf, e->vm.nd);
    }
    return is_there;
}

size_t mln_rego_rows(const struct mln_rego_eval *e)
{
    return e->vm.rows.tag == RG_ARRAY ? e->vm.rows.arr->len : 0;
}

static struct rg_val part_of(const struct mln_rego_eval *e, size_t row, size_t part)
{
    return row < mln_rego_rows(e) ? e->vm.rows.arr->items[row].arr->items[part] : RG_NONE;
}

void mln_rego_rows_print(const struct mln_rego_eval *e, struct mln_buf *buf)
{
    mln_buf_add_byte(buf, '[');
    for (size_t i = 0; i < mln_rego_rows(e); i++) {
        mln_buf_add_text(buf, i == 0 ? "" : ",");
        rg_print_json(buf, part_of(e, i, 0));
    }
    mln_buf_add_byte(buf, ']');
}

bool mln_rego_binding_print(const struct mln_rego_eval *e, size_t row, const char *name,
                            struct mln_buf *buf)
{
    struct rg_val vars = part_of(e, row, 0),
                  v = vars.tag == RG_OBJECT ? rg_get_text(vars, name) : RG_NONE;
    if (v.tag != RG_UNDEF) {
        rg_print_json(buf, v);
    }
    return v.tag != RG_UNDEF;
}

bool mln_rego_expression_print(const struct mln_rego_eval *e, size_t row, size_t k,
                               struct mln_buf *buf)
{
    struct rg_val all = part_of(e, row, 1), v = all.tag == RG_ARRAY ? rg_item(all, k) : RG_NONE;
    if (v.tag != RG_UNDEF) {
        rg_print_json(buf, v);
    }
    return v.tag != RG_UNDEF;
}

void mln_rego_cases_print(const struct mln_rego_eval *e, struct mln_buf *buf)
{
    if (e->vm.cases.tag == RG_UNDEF) {
        mln_buf_add_text(buf, "[]");
    } else {
        rg_print_json(buf, e->vm.cases);
    }
}

const struct mln_value *mln_rego_answer(const struct mln_rego_eval *e, struct mln_cx *cx)
{
    struct rg_val all = part_of(e, 0, 1), v = all.tag == RG_ARRAY ? rg_item(all, 0) : RG_NONE;
    return v.tag == RG_UNDEF ? NULL : rg_to_value(cx, v);
}

uint64_t mln_rego_steps(const struct mln_rego_eval *e)
{
    return e->vm.steps;
}
