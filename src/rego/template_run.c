/* SPDX-License-Identifier: Apache-2.0 */
/* Running templates. */
#include "rego/template_priv.h"

#include "rego/rego.h"

struct variable {
    struct mln_bytes name;
    struct rg_tpl_val v;
};

#define VARIABLES_MAX 256u /* in sight at one place: templates of people have a few */

enum flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE, FLOW_ERROR };

struct runner {
    struct rg_tpl *t;
    struct mln_buf *out;
    struct variable vars[VARIABLES_MAX];
    uint32_t vars_n, vars_base; /* base: of the template that runs */
    unsigned depth;
};

static bool eval_pipe(struct runner *r, const struct rg_tpl_pipe *pipe, struct rg_tpl_val dot,
                      struct rg_tpl_val *ret);
static enum flow run_list(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val dot);

static struct variable *find(struct runner *r, struct mln_bytes name)
{
    for (uint32_t i = r->vars_n; i > r->vars_base; i--) {
        if (mln_bytes_eq(r->vars[i - 1].name, name)) {
            return &r->vars[i - 1];
        }
    }
    return NULL;
}

static bool declare(struct runner *r, struct mln_bytes name, struct rg_tpl_val v)
{
    if (r->vars_n == VARIABLES_MAX) {
        return rg_tpl_fail(r->t, 0, NULL, "more than %u variables", VARIABLES_MAX);
    }
    r->vars[r->vars_n++] = (struct variable){.name = name, .v = v};
    return true;
}

static bool field(struct runner *r, const struct rg_tpl_arg *a, struct rg_tpl_val *v,
                  struct mln_bytes name)
{
    if (v->v.tag == RG_UNDEF) {
        return true;
    }
    if (v->v.tag == RG_NULL) {
        return rg_tpl_fail(r->t, a->at, a, "nil pointer evaluating interface {}.%.*s",
                           MLN_FMT(name));
    }
    if (v->v.tag != RG_OBJECT) {
        return rg_tpl_fail(r->t, a->at, a, "can't evaluate field %.*s in type interface {}",
                           MLN_FMT(name));
    }
    *v = (struct rg_tpl_val){.v = rg_get(v->v, rg_string(r->t->heap, name))};
    return true;
}

static bool eval_arg(struct runner *r, const struct rg_tpl_arg *a, struct rg_tpl_val dot,
                     struct rg_tpl_val *ret)
{
    const struct variable *var = NULL;
    switch (a->kind) {
    case RG_TPL_DOT:
        *ret = dot;
        break;
    case RG_TPL_LITERAL:
        *ret = a->literal;
        break;
    case RG_TPL_NIL:
        *ret = (struct rg_tpl_val){.v = rg_null()};
        break;
    case RG_TPL_VARIABLE:
        var = find(r, a->name);
        if (var == NULL) {
            return rg_tpl_fail(r->t, a->at, NULL, "undefined variable \"%.*s\"", MLN_FMT(a->name));
        }
        *ret = var->v;
        break;
    case RG_TPL_PIPE:
        if (!eval_pipe(r, a->pipe, dot, ret)) {
            return false;
        }
        break;
    case RG_TPL_FUNCTION:
        return rg_tpl_call(r->t, a, NULL, 0, ret);
    }
    for (uint32_t i = 0; i < a->fields_n; i++) {
        if (!field(r, a, ret, a->fields[i])) {
            return false;
        }
    }
    return true;
}

/* and, or: what decides ends it, the rest is not looked at. */
static bool eval_logic(struct runner *r, const struct rg_tpl_command *c, struct rg_tpl_val dot,
                       const struct rg_tpl_val *last, struct rg_tpl_val *ret)
{
    bool is_and = mln_bytes_is(c->args[0].name, "and");
    uint32_t n = c->n - 1 + (last != NULL);
    if (n == 0) {
        return rg_tpl_fail(r->t, c->args[0].at, &c->args[0],
                           "wrong number of args for %s: want at least 1 got 0",
                           is_and ? "and" : "or");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (i + 1 < c->n) {
            if (!eval_arg(r, &c->args[i + 1], dot, ret)) {
                return false;
            }
        } else {
            *ret = *last;
        }
        if (rg_tpl_truth(*ret) != is_and) {
            return true;
        }
    }
    return true;
}

static bool eval_command(struct runner *r, const struct rg_tpl_command *c, struct rg_tpl_val dot,
                         const struct rg_tpl_val *last, struct rg_tpl_val *ret)
{
    const struct rg_tpl_arg *fn = &c->args[0];
    struct rg_tpl_val args[65];
    uint32_t n = 0;
    if (!rg_spend(r->t->vm, 1)) {
        return rg_tpl_fail(r->t, fn->at, fn, "the budget is used up");
    }
    if (fn->kind == RG_TPL_FUNCTION &&
        (mln_bytes_is(fn->name, "and") || mln_bytes_is(fn->name, "or"))) {
        return eval_logic(r, c, dot, last, ret);
    }
    if (fn->kind != RG_TPL_FUNCTION) {
        if (c->n > 1 || last != NULL) {
            return rg_tpl_fail(r->t, fn->at, fn, "can't give argument to non-function");
        }
        return fn->kind == RG_TPL_NIL ? rg_tpl_fail(r->t, fn->at, fn, "nil is not a command")
                                      : eval_arg(r, fn, dot, ret);
    }
    for (uint32_t i = 1; i < c->n; i++) {
        if (!eval_arg(r, &c->args[i], dot, &args[n++])) {
            return false;
        }
    }
    if (last != NULL) {
        args[n++] = *last;
    }
    return rg_tpl_call(r->t, fn, args, n, ret);
}

static bool eval_pipe(struct runner *r, const struct rg_tpl_pipe *pipe, struct rg_tpl_val dot,
                      struct rg_tpl_val *ret)
{
    struct rg_tpl_val v = {0};
    for (uint32_t i = 0; i < pipe->n; i++) {
        struct rg_tpl_val last = v;
        if (!eval_command(r, &pipe->commands[i], dot, i > 0 ? &last : NULL, &v)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < pipe->vars_n; i++) {
        struct variable *var = pipe->is_assign ? find(r, pipe->vars[i]) : NULL;
        if (pipe->is_assign && var == NULL) {
            return rg_tpl_fail(r->t, 0, NULL, "undefined variable \"%.*s\"",
                               MLN_FMT(pipe->vars[i]));
        }
        if (var != NULL) {
            var->v = v;
        } else if (!declare(r, pipe->vars[i], v)) {
            return false;
        }
    }
    *ret = v;
    return true;
}

/* ---- nodes ---- */
static enum flow run_if(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val dot)
{
    struct rg_tpl_val v;
    uint32_t mark = r->vars_n;
    if (!eval_pipe(r, n->pipe, dot, &v)) {
        return FLOW_ERROR;
    }
    bool yes = rg_tpl_truth(v);
    enum flow flow = run_list(r, yes ? n->body : n->other, yes && n->kind == RG_TPL_WITH ? v : dot);
    r->vars_n = mark;
    return flow;
}

/* One turn of a loop. */
static enum flow run_turn(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val key,
                          struct rg_tpl_val item, uint32_t mark)
{
    const struct rg_tpl_pipe *pipe = n->pipe;
    for (uint32_t i = 0; i < pipe->vars_n; i++) {
        struct rg_tpl_val v = pipe->vars_n == 2 && i == 0 ? key : item;
        struct variable *var = find(r, pipe->vars[i]);
        if (var == NULL) {
            return rg_tpl_fail(r->t, 0, NULL, "undefined variable \"%.*s\"", MLN_FMT(pipe->vars[i]))
                       ? FLOW_ON
                       : FLOW_ERROR;
        }
        var->v = v;
    }
    enum flow flow = run_list(r, n->body, item);
    r->vars_n = mark;
    return flow == FLOW_CONTINUE ? FLOW_ON : flow;
}

static enum flow run_items(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val v,
                           size_t count)
{
    enum flow flow = FLOW_ON;
    uint32_t mark = r->vars_n;
    for (size_t i = 0; flow == FLOW_ON && i < count; i++) {
        if (!rg_spend(r->t->vm, 1)) { /* an empty body spends nothing itself */
            (void)rg_tpl_fail(r->t, 0, NULL, "the budget is used up");
            return FLOW_ERROR;
        }
        struct rg_tpl_val key = {.v = rg_int((int64_t)i), .is_go = true}, item = key;
        if (v.v.tag == RG_OBJECT) {
            key = (struct rg_tpl_val){.v = rg_key_at(v.v, i)};
            item = (struct rg_tpl_val){.v = rg_val_at(v.v, i)};
        } else if (v.v.tag != RG_INT) {
            item =
                (struct rg_tpl_val){.v = v.v.tag == RG_ARRAY ? rg_item(v.v, i) : rg_key_at(v.v, i)};
        }
        flow = run_turn(r, n, key, item, mark);
    }
    return flow == FLOW_BREAK ? FLOW_ON : flow;
}

static enum flow run_range(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val dot)
{
    struct rg_tpl_val v;
    uint32_t mark = r->vars_n;
    if (!eval_pipe(r, n->pipe, dot, &v)) {
        return FLOW_ERROR;
    }
    bool is_count = v.is_go && v.v.tag == RG_INT;
    bool is_list = v.v.tag == RG_ARRAY || v.v.tag == RG_OBJECT || v.v.tag == RG_SET;
    if (!is_count && !is_list && v.v.tag != RG_UNDEF && v.v.tag != RG_NULL) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = 1024};
        const struct rg_tpl_arg *a = &n->pipe->commands[0].args[0];
        rg_tpl_print(&text, v, false);
        (void)rg_tpl_fail(r->t, a->at, a, "range can't iterate over %.*s",
                          MLN_FMT(mln_buf_bytes(&text)));
        return FLOW_ERROR;
    }
    size_t count = is_count  ? (v.v.integer > 0 ? (size_t)v.v.integer : 0)
                   : is_list ? rg_len(v.v)
                             : 0;
    enum flow flow = count > 0 ? run_items(r, n, v, count) : run_list(r, n->other, dot);
    r->vars_n = mark;
    return flow;
}

static enum flow run_call(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val dot)
{
    const struct rg_tpl_define *d = r->t->defines;
    struct rg_tpl_val v = {0};
    uint32_t mark = r->vars_n, base = r->vars_base;
    while (d != NULL && !mln_bytes_eq(d->name, n->text)) {
        d = d->next;
    }
    if (d == NULL) {
        (void)rg_tpl_fail(r->t, 0, NULL, "template \"%.*s\" not defined", MLN_FMT(n->text));
        return FLOW_ERROR;
    }
    if (n->pipe != NULL && !eval_pipe(r, n->pipe, dot, &v)) {
        return FLOW_ERROR;
    }
    r->vars_base = r->vars_n;
    enum flow flow = declare(r, MLN_BYTES("$"), v) ? run_list(r, d->body, v) : FLOW_ERROR;
    r->vars_n = mark;
    r->vars_base = base;
    return flow;
}

static enum flow run_node(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val dot)
{
    struct rg_tpl_val v;
    switch (n->kind) {
    case RG_TPL_TEXT:
        mln_buf_add_bytes(r->out, n->text);
        return FLOW_ON;
    case RG_TPL_ACTION:
        if (!eval_pipe(r, n->pipe, dot, &v)) {
            return FLOW_ERROR;
        }
        if (n->pipe->vars_n == 0) {
            rg_tpl_print(r->out, v, false);
        }
        return FLOW_ON;
    case RG_TPL_IF:
    case RG_TPL_WITH:
        return run_if(r, n, dot);
    case RG_TPL_RANGE:
        return run_range(r, n, dot);
    case RG_TPL_CALL:
        return run_call(r, n, dot);
    case RG_TPL_BREAK:
        return FLOW_BREAK;
    case RG_TPL_CONTINUE:
    default:
        return FLOW_CONTINUE;
    }
}

static enum flow run_list(struct runner *r, const struct rg_tpl_node *n, struct rg_tpl_val dot)
{
    enum flow flow = FLOW_ON;
    if (++r->depth > MLN_REGO_NESTING_MAX) {
        (void)rg_tpl_fail(r->t, 0, NULL, "exceeded maximum template depth (%u)",
                          (unsigned)MLN_REGO_NESTING_MAX);
        return FLOW_ERROR;
    }
    for (; n != NULL && flow == FLOW_ON; n = n->next) {
        if (r->out->has_failed || !rg_spend(r->t->vm, 1)) {
            (void)rg_tpl_fail(r->t, 0, NULL, "the budget is used up");
            return FLOW_ERROR;
        }
        flow = run_node(r, n, dot);
    }
    r->depth--;
    return flow;
}

bool rg_tpl_run(struct rg_tpl *t, struct rg_val data, struct mln_buf *out)
{
    struct runner *r = rg_new(t->heap, sizeof(*r));
    struct rg_tpl_val dot = {.v = data};
    *r = (struct runner){.t = t, .out = out};
    return declare(r, MLN_BYTES("$"), dot) && run_list(r, t->root, dot) != FLOW_ERROR;
}
