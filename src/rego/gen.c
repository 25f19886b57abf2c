/* SPDX-License-Identifier: Apache-2.0 */
/* Instructions, labels, constants, registers; queries. */
#include "rego/gen_priv.h"

void rg_gen_begin(struct rg_gen *g, struct rg_compiler *c, const char *name)
{
    *g = (struct rg_gen){.c = c, .heap = c->heap};
    g->proc = rg_new(c->heap, sizeof(*g->proc));
    *g->proc = (struct rg_proc){.name = name, .regs = 1};
}

uint32_t rg_reg(struct rg_gen *g, uint32_t n)
{
    uint32_t first = g->proc->regs;
    if (n > RG_REGS_MAX - first) {
        if (!g->is_bad) {
            rg_report(g->c->errors, "rego_compile_error", g->loc,
                      "rule is too large: more than %u values at a time", RG_REGS_MAX);
        }
        g->is_bad = true;
        return 1;
    }
    g->proc->regs += n;
    return first;
}

struct rg_ins *rg_emit(struct rg_gen *g, enum rg_op op, uint32_t a, uint32_t b, uint32_t c)
{
    struct rg_proc *p = g->proc;
    if (p->n == p->cap) {
        uint32_t cap = p->cap == 0 ? 16 : p->cap * 2;
        struct rg_ins *code = rg_try(g->heap, cap * sizeof(*code));
        struct rg_loc *locs = rg_try(g->heap, cap * sizeof(*locs));
        MLN_CHECK(code != NULL &&
                  locs != NULL); /* heaps of policies have no budget; modules are bounded */
        mln_copy(code, p->code, p->n * sizeof(*code));
        mln_copy(locs, p->locs, p->n * sizeof(*locs));
        p->code = code;
        p->locs = locs;
        p->cap = cap;
    }
    p->locs[p->n] = g->loc;
    p->code[p->n] = (struct rg_ins){
        .op = (uint16_t)op, .a = (uint16_t)a, .b = (uint16_t)b, .c = (uint16_t)c, .fail = g->fail};
    return &p->code[p->n++];
}

void rg_emit_d(struct rg_gen *g, enum rg_op op, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    rg_emit(g, op, a, b, c)->d = d;
}

uint32_t rg_label(struct rg_gen *g)
{
    RG_GROW(g->heap, g->labels, g->labels_n, g->labels_cap);
    g->labels[g->labels_n] = 0;
    return g->labels_n++;
}

void rg_place(struct rg_gen *g, uint32_t label)
{
    g->labels[label] = g->proc->n;
}

void rg_jump(struct rg_gen *g, uint32_t label)
{
    rg_emit(g, RG_OP_JUMP, 0, 0, 0)->fail = label;
}

uint32_t rg_const_index(struct rg_gen *g, struct rg_val v)
{
    struct rg_proc *p = g->proc;
    for (uint32_t i = p->consts_n; i > 0 && i + 64 > p->consts_n; i--) {
        if (p->consts[i - 1].tag == v.tag && rg_eq(p->consts[i - 1], v)) {
            return i - 1;
        }
    }
    rg_settle(v);
    RG_GROW(g->heap, p->consts, p->consts_n, p->consts_cap);
    p->consts[p->consts_n] = v;
    return p->consts_n++;
}

uint32_t rg_const(struct rg_gen *g, struct rg_val v)
{
    uint32_t i = rg_const_index(g, v);
    if (i < 0x7000) {
        return RG_CONST | i;
    }
    uint32_t reg = rg_reg(g, 1);
    rg_emit_d(g, RG_OP_CONST, reg, 0, 0, i);
    return reg;
}

uint32_t rg_in_row(struct rg_gen *g, const uint32_t *operands, uint32_t n)
{
    uint32_t first = n > 0 ? operands[0] : 1;
    for (uint32_t i = 0; i < n; i++) {
        if ((operands[i] & RG_CONST) != 0 || operands[i] != first + i) {
            first = 0;
            break;
        }
    }
    if (first != 0) {
        return first; /* they stand so already */
    }
    first = rg_reg(g, n);
    for (uint32_t i = 0; i < n && !g->is_bad; i++) {
        rg_emit(g, RG_OP_MOVE, first + i, operands[i], 0);
    }
    return first;
}

struct rg_proc *rg_gen_end(struct rg_gen *g)
{
    for (uint32_t i = 0; i < g->proc->n; i++) {
        struct rg_ins *ins = &g->proc->code[i];
        ins->fail = ins->fail < g->labels_n ? g->labels[ins->fail] : 0;
    }
    return g->is_bad || g->was_bad ? NULL : g->proc;
}

static uint32_t query_vars(struct rg_gen *g, uint32_t *operands)
{
    struct rg_scope *top = g->c->scope;
    const char **names = rg_new(g->heap, (top->n + 1) * sizeof(*names));
    uint32_t n = 0;
    for (uint32_t i = 0; i < top->n; i++) {
        struct rg_var *v = top->vars[i];
        if (v->is_bound && !v->is_wildcard) {
            names[n] = v->name->text;
            operands[n++] = v->reg;
        }
    }
    names[n] = NULL;
    g->proc->vars = names;
    return n;
}

struct rg_proc *rg_gen_query(struct rg_compiler *c, struct rg_body *body)
{
    struct rg_gen gen, *g = &gen;
    rg_gen_begin(g, c, "query");
    c->depth = 0;
    uint32_t end = rg_label(g);
    g->fail = end;
    g->results = rg_new(c->heap, (body->n + 1) * sizeof(*g->results));
    rg_gen_body(g, body);
    uint32_t *operands = rg_new(c->heap, (c->scope->n + body->n + 1) * sizeof(*operands));
    uint32_t vars = query_vars(g, operands), exprs = 0;
    for (uint32_t i = 0; i < body->n && !g->is_bad; i++) {
        if (body->exprs[i]->kind != RG_E_SOME) {
            operands[vars + exprs++] = g->results[i];
        }
    }
    if (!g->is_bad) {
        rg_emit_d(g, RG_OP_ROW, 0, rg_in_row(g, operands, vars + exprs), vars, exprs);
    }
    rg_jump(g, g->fail);
    rg_place(g, end);
    rg_emit(g, RG_OP_END, 0, 0, 0);
    return rg_gen_end(g);
}
