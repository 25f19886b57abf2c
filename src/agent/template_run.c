/* SPDX-License-Identifier: Apache-2.0 */
/* Running a template: nodes in order, terms to values. What Go does with missing members is done here too; see docs/agent.md. */
#include "agent/template_priv.h"

#include <stdlib.h>

static const struct mln_value nothing = {.type = MLN_NULL};

bool render_is_true(const struct mln_value *v)
{
    switch (mln_type_of(v)) {
    case MLN_BOOL:
        return mln_get_bool(v, false);
    case MLN_INT:
        return mln_get_int(v, 0) != 0;
    case MLN_DECIMAL:
        return mln_get_double(v, 0) < 0 || mln_get_double(v, 0) > 0;
    case MLN_STRING:
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
        return mln_len(v) > 0;
    case MLN_NULL:
    default:
        return false;
    }
}

struct mln_err render_text_of(struct run *run, struct place at, const struct mln_value *v,
                              struct mln_bytes *ret)
{
    switch (mln_type_of(v)) {
    case MLN_NULL:
        *ret = MLN_BYTES("<no value>");
        return MLN_OK;
    case MLN_BOOL:
        *ret = mln_get_bool(v, false) ? MLN_BYTES("true") : MLN_BYTES("false");
        return MLN_OK;
    case MLN_INT:
        *ret = mln_bytes_format(run->cx, "%lld", (long long)mln_get_int(v, 0));
        return mln_cx_err(run->cx);
    case MLN_DECIMAL:
        *ret = mln_bytes_at(v->text, v->len);
        return MLN_OK;
    case MLN_STRING:
        *ret = mln_get_bytes(v);
        return MLN_OK;
    case MLN_ARRAY:
    case MLN_OBJECT:
    case MLN_SET:
    default:
        return render_fail(run->cx, at, "%s cannot be printed: pass it to toJSON",
                           mln_type_of(v) == MLN_OBJECT ? "a map" : "a list");
    }
}

struct mln_err render_step(struct run *run, struct place at)
{
    if (++run->steps > MLN_RENDER_STEPS_MAX) {
        return render_fail_at(run->cx, at, MLN_E_TOO_LARGE, "the template runs too long");
    }
    return MLN_OK;
}

/* ---- terms ---- */

static struct mln_err take_fields(struct run *run, const struct term *term,
                                  const struct mln_value *v, const struct mln_value **ret)
{
    for (size_t i = 0; i < term->n_fields; i++) {
        struct mln_bytes name = term->fields[i];
        if (mln_type_of(v) != MLN_OBJECT) {
            return mln_is_null(v)
                       ? render_fail(run->cx, term->at, "'.%.*s' of nothing", MLN_FMT(name))
                       : render_fail(run->cx, term->at, "'.%.*s' of what is no map", MLN_FMT(name));
        }
        v = mln_get_key(v, name);
        if (v == NULL && run->world->fails_on_missing) {
            return render_fail(run->cx, term->at, "there is no member '%.*s'", MLN_FMT(name));
        }
    }
    *ret = v != NULL ? v : &nothing;
    return MLN_OK;
}

static struct mln_err eval(struct run *run, const struct term *term, const struct mln_value **ret);

static struct mln_err eval_call(struct run *run, const struct term *term,
                                const struct mln_value **ret)
{
    const struct mln_value *args[ARGS_MAX + 1];
    for (size_t i = 0; i < term->n_args; i++) {
        args[i] = &nothing;
        MLN_TRY(eval(run, term->args[i], &args[i]));
    }
    MLN_TRY(term->fn->call(run, term->at, args, term->n_args, ret));
    return mln_cx_err(run->cx);
}

/* Depth is bounded by what the parser lets through. */
static struct mln_err eval(struct run *run, const struct term *term, const struct mln_value **ret)
{
    const struct mln_value *v = &nothing;
    MLN_TRY(render_step(run, term->at));
    switch (term->kind) {
    case TERM_CONST:
        v = term->value;
        break;
    case TERM_DOT:
        v = run->dot;
        break;
    case TERM_VAR:
        v = run->vars[term->slot];
        break;
    case TERM_CALL:
        MLN_TRY(eval_call(run, term, &v));
        break;
    default:
        break;
    }
    return take_fields(run, term, v != NULL ? v : &nothing, ret);
}

/* ---- nodes ---- */

static struct mln_err run_nodes(struct run *run, const struct node *node);

static void set_var(struct run *run, size_t slot, const struct mln_value *v)
{
    if (slot != SLOT_NONE) {
        run->vars[slot] = v;
    }
}

static int by_key(const void *a, const void *b)
{
    const struct mln_member *const *x = a, *const *y = b;
    return mln_bytes_cmp((*x)->key, (*y)->key);
}

/* Members by their keys, as Go does. */
static struct mln_err range_object(struct run *run, const struct node *node,
                                   const struct mln_value *all)
{
    size_t n = mln_len(all);
    const struct mln_member **order = mln_new_array(run->cx, n, sizeof(*order));
    MLN_TRY(mln_cx_err(run->cx));
    for (size_t i = 0; i < n; i++) {
        order[i] = mln_member_at(all, i);
    }
    qsort(order, n, sizeof(*order), by_key);
    for (size_t i = 0; i < n; i++) {
        MLN_TRY(render_step(run, node->at));
        run->dot = &order[i]->value;
        if (node->key_slot != SLOT_NONE) {
            run->vars[node->key_slot] = mln_string(run->cx, order[i]->key);
        }
        set_var(run, node->value_slot, run->dot);
        MLN_TRY(run_nodes(run, node->body));
    }
    return MLN_OK;
}

static struct mln_err range_list(struct run *run, const struct node *node,
                                 const struct mln_value *all)
{
    for (size_t i = 0; i < mln_len(all); i++) {
        MLN_TRY(render_step(run, node->at));
        run->dot = mln_item(all, i);
        if (node->key_slot != SLOT_NONE) {
            run->vars[node->key_slot] = mln_int(run->cx, (int64_t)i);
        }
        set_var(run, node->value_slot, run->dot);
        MLN_TRY(run_nodes(run, node->body));
    }
    return MLN_OK;
}

static struct mln_err run_range(struct run *run, const struct node *node,
                                const struct mln_value *all)
{
    enum mln_type type = mln_type_of(all);
    if (type == MLN_NULL ||
        ((type == MLN_ARRAY || type == MLN_OBJECT || type == MLN_SET) && mln_len(all) == 0)) {
        return run_nodes(run, node->otherwise);
    }
    if (type == MLN_OBJECT) {
        return range_object(run, node, all);
    }
    if (type == MLN_ARRAY || type == MLN_SET) {
        return range_list(run, node, all);
    }
    return render_fail(run->cx, node->at, "'range' is over maps and lists only");
}

static struct mln_err print(struct run *run, const struct node *node, const struct mln_value *v)
{
    struct mln_bytes text;
    MLN_TRY(render_text_of(run, node->at, v, &text));
    mln_buf_add_bytes(run->to, text);
    return MLN_OK;
}

static struct mln_err run_node(struct run *run, const struct node *node)
{
    const struct mln_value *v = &nothing, *dot = run->dot;
    if (node->kind == NODE_TEXT) {
        mln_buf_add_bytes(run->to, node->text);
        return MLN_OK;
    }
    MLN_TRY(eval(run, node->term, &v));
    struct mln_err err = MLN_OK;
    switch (node->kind) {
    case NODE_PRINT:
        return print(run, node, v);
    case NODE_SET:
        set_var(run, node->value_slot, v);
        return MLN_OK;
    case NODE_IF:
        set_var(run, node->value_slot, v);
        return run_nodes(run, render_is_true(v) ? node->body : node->otherwise);
    case NODE_WITH:
        set_var(run, node->value_slot, v);
        run->dot = render_is_true(v) ? v : dot;
        err = run_nodes(run, render_is_true(v) ? node->body : node->otherwise);
        break;
    case NODE_RANGE:
        err = run_range(run, node, v);
        break;
    case NODE_TEXT:
    default:
        break;
    }
    run->dot = dot;
    return err;
}

/* Depth is bounded by MLN_RENDER_DEPTH_MAX of the parser. */
static struct mln_err run_nodes(struct run *run, const struct node *node)
{
    for (; node != NULL; node = node->next) {
        MLN_TRY(render_step(run, node->at));
        MLN_TRY(run_node(run, node));
        if (run->to->has_failed) {
            return run->to->is_over ? render_fail_at(run->cx, node->at, MLN_E_TOO_LARGE,
                                                     "the output is too large")
                                    : mln_buf_ok(run->cx, run->to);
        }
    }
    return mln_cx_err(run->cx);
}

struct mln_err mln_render_run(struct mln_cx *cx, const struct mln_render *render,
                              const struct mln_render_world *world, struct mln_buf *to)
{
    struct run *run = MLN_NEW(cx, struct run);
    MLN_TRY(mln_cx_err(cx));
    *run = (struct run){.cx = cx, .world = world, .to = to, .dot = &nothing};
    to->max = MLN_RENDER_OUTPUT_MAX;
    return run_nodes(run, render->first);
}
