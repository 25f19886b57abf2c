/* SPDX-License-Identifier: Apache-2.0 */
/* Notes for those who watch an evaluation. Without has_notes nothing is made, so it costs nothing. */
#include "rego/gen_priv.h"

#include "rego/rego_priv.h"

static uint32_t note_new(struct rg_gen *g, struct rg_loc loc, bool is_rule, const char *text)
{
    struct rg_policy *p = g->c->policy;
    RG_GROW(p->heap, p->notes, p->notes_n, p->notes_cap);
    p->notes[p->notes_n] = (struct mln_rego_note){
        .file = loc.file, .row = loc.row, .col = loc.col, .is_rule = is_rule, .text = text};
    return p->notes_n++;
}

/* A query is no part of the policy: others may be made beside it. */
static bool is_watched(const struct rg_gen *g)
{
    return g->c->policy->options.has_notes && g->c->rule != NULL;
}

uint32_t rg_note_rule(struct rg_gen *g, const struct rg_rule *r)
{
    return is_watched(g) ? note_new(g, r->loc, true, g->c->group->name) : 0;
}

uint32_t rg_note_expr(struct rg_gen *g, const struct rg_expr *e)
{
    if (!is_watched(g)) {
        return 0;
    }
    struct mln_bytes text = g->c->module->text;
    uint32_t to = e->loc.to > e->loc.from && e->loc.to <= text.len ? e->loc.to : e->loc.from;
    return note_new(g, e->loc, false,
                    rg_text_dup(g->c->policy->heap, mln_bytes_sub(text, e->loc.from, to - e->loc.from)));
}

void rg_gen_note(struct rg_gen *g, enum mln_rego_event event, uint32_t note)
{
    if (is_watched(g)) {
        rg_emit_d(g, RG_OP_NOTE, event, 0, 0, note);
    }
}

static void see_free(void *with, struct rg_term *t)
{
    bool *is_free = with;
    *is_free |= t->var != NULL && !t->var->is_bound;
}

/* test_x[note] fails for each note that the body meets and then does not hold for: so they are told as soon as known. */
void rg_gen_case(struct rg_gen *g)
{
    bool is_free = false;
    if (g->case_keys == NULL || g->c->depth != 1 || g->is_bad) {
        return;
    }
    for (uint32_t i = 0; i < g->case_n; i++) {
        rg_walk_term(g->case_keys[i], see_free, &is_free);
    }
    if (is_free) {
        return;
    }
    struct rg_term **keys = g->case_keys;
    g->case_keys = NULL;
    uint32_t *operands = rg_gen_all(g, keys, g->case_n);
    if (!g->is_bad) {
        rg_emit(g, RG_OP_CASE, 0, rg_in_row(g, operands, g->case_n), g->case_n);
    }
}

bool mln_rego_note_at(const struct mln_rego *rego, size_t i, struct mln_rego_note *ret)
{
    if (i >= rego->policy.notes_n) {
        return false;
    }
    *ret = rego->policy.notes[i];
    return true;
}
