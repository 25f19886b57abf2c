/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Yes or no by an automaton whose states are made when they are first met: a table look-up a code point. When the states
 * take more memory than STATES_MAX they are forgotten and made anew.
 */
#include "rego/regex_priv.h"

#define STATES_MAX ((size_t)2 << 20) /* bytes of states of one expression */
#define SLOTS      1024u

enum { DEAD = 0, MATCH = 1, FIRST = 2 }; /* states; FIRST is the first real one */

struct state {
    struct state *twin; /* next with the same slot */
    uint32_t id;
    uint32_t n;
    uint32_t places[]; /* sorted as they were met */
};

struct rx_dfa {
    struct state *slots[SLOTS];
    struct state **states; /* by id */
    uint32_t *next;        /* id * width + class; the last class is the end of the text. 0: not known, else id + 1 */
    uint32_t n, cap, width;
    size_t bytes;
    uint32_t *todo, *marks, mark; /* marks[pc] == mark: already in the set */
    uint32_t *set;
    uint32_t set_n;
    bool set_matches;
};

static void forget(struct rx_dfa *d)
{
    for (uint32_t i = FIRST; i < d->n; i++) {
        mln_free(d->states[i]);
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        d->slots[i] = NULL;
    }
    d->n = FIRST;
    d->bytes = 0;
}

void rx_dfa_free(struct rx_dfa *d)
{
    if (d != NULL) {
        forget(d);
        mln_free(d->states);
        mln_free(d->next);
        mln_free(d->todo);
        mln_free(d->marks);
        mln_free(d->set);
        mln_free(d);
    }
}

static struct rx_dfa *new_dfa(const struct rg_regex *re)
{
    struct rx_dfa *d = mln_alloc(sizeof(*d));
    if (d == NULL) {
        return NULL;
    }
    d->n = FIRST;
    d->width = re->class_n + 1;
    d->todo = mln_alloc_array((size_t)re->code_n * 2 + 2, sizeof(*d->todo));
    d->marks = mln_alloc_array(re->code_n, sizeof(*d->marks));
    d->set = mln_alloc_array(re->code_n, sizeof(*d->set));
    if (d->todo == NULL || d->marks == NULL || d->set == NULL) {
        rx_dfa_free(d);
        return NULL;
    }
    return d;
}

static void begin_set(struct rx_dfa *d)
{
    d->mark++;
    d->set_n = 0;
    d->set_matches = false;
}

/* Into the set: all that is reached from pc without text. */
static void add(const struct rg_regex *re, uint32_t start, bool at_begin, bool at_end)
{
    struct rx_dfa *d = re->dfa;
    size_t n = 0;
    d->todo[n++] = start;
    while (n > 0) {
        uint32_t pc = d->todo[--n];
        const struct rx_ins *ins = &re->code[pc];
        if (d->marks[pc] == d->mark) {
            continue;
        }
        d->marks[pc] = d->mark;
        switch (ins->op) {
        case RX_OP_SPLIT:
            d->todo[n++] = ins->y;
            d->todo[n++] = ins->x;
            break;
        case RX_OP_JMP:
        case RX_OP_SAVE:
            d->todo[n++] = ins->x;
            break;
        case RX_OP_MATCH:
            d->set_matches = true;
            break;
        case RX_OP_ASSERT:
            if (ins->arg == RX_TEXT_BEGIN ? at_begin : at_end) {
                d->todo[n++] = ins->x;
            } else if (ins->arg == RX_TEXT_END) {
                d->set[d->set_n++] = pc;
            }
            break;
        default:
            d->set[d->set_n++] = pc;
            break;
        }
    }
}

static bool grow(struct rx_dfa *d)
{
    uint32_t cap = d->cap == 0 ? 16 : d->cap * 2;
    struct state **states =
        mln_realloc(d->states, d->cap * sizeof(*states), cap * sizeof(*states), false);
    if (states == NULL) {
        return false;
    }
    d->states = states;
    uint32_t *next = mln_realloc(d->next, (size_t)d->cap * d->width * sizeof(*next),
                                 (size_t)cap * d->width * sizeof(*next), false);
    if (next == NULL) {
        return false;
    }
    d->next = next;
    d->cap = cap;
    return true;
}

/* The state of the set; *ret_lost: all states were forgotten to make room for it. */
static uint32_t state_of(struct rx_dfa *d, bool *ret_lost)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < d->set_n; i++) {
        hash = (hash ^ d->set[i]) * 16777619u;
    }
    if (d->set_matches || d->set_n == 0) {
        return d->set_matches ? MATCH : DEAD;
    }
    struct state **slot = &d->slots[hash % SLOTS];
    for (struct state *s = *slot; s != NULL; s = s->twin) {
        if (s->n == d->set_n && mln_same(s->places, d->set, s->n * sizeof(*d->set))) {
            return s->id;
        }
    }
    size_t size = sizeof(struct state) + d->set_n * sizeof(*d->set);
    if (d->bytes + size + d->width * sizeof(*d->next) > STATES_MAX && d->n > FIRST) {
        forget(d);
        *ret_lost = true;
    }
    struct state *s = d->n >= d->cap && !grow(d) ? NULL : mln_alloc(size);
    if (s == NULL) {
        return DEAD;
    }
    *s = (struct state){.twin = *slot, .id = d->n, .n = d->set_n};
    mln_copy(s->places, d->set, d->set_n * sizeof(*d->set));
    *slot = s;
    mln_fill(d->next + (size_t)d->n * d->width, 0, d->width * sizeof(*d->next));
    d->states[d->n] = s;
    d->bytes += size + d->width * sizeof(*d->next);
    return d->n++;
}

static uint32_t make_next(struct rg_regex *re, uint32_t from, uint32_t class,
                          struct rg_regex_meter *meter, bool *stop)
{
    struct rx_dfa *d = re->dfa;
    const struct state *s = d->states[from];
    bool at_end = class == d->width - 1, lost = false;
    begin_set(d);
    for (uint32_t i = 0; i < s->n; i++) {
        const struct rx_ins *ins = &re->code[s->places[i]];
        if (ins->op == RX_OP_ASSERT ? at_end
                                    : !at_end && re->set_has[(size_t)ins->arg * re->class_n +
                                                             class] != 0) {
            add(re, ins->x, false, at_end);
        }
    }
    *stop = meter != NULL && !meter->spend(meter->of, 1 + (s->n + d->set_n) / 16);
    uint32_t to = state_of(d, &lost);
    if (!lost) {
        d->next[(size_t)from * d->width + class] = to + 1;
    }
    return to;
}

static uint32_t first_state(struct rg_regex *re, bool at_end)
{
    bool lost = false;
    begin_set(re->dfa);
    add(re, re->is_anchored ? re->start : re->any_start, true, at_end);
    return state_of(re->dfa, &lost);
}

enum rg_found rx_dfa_run(struct rg_regex *re, struct mln_bytes text, struct rg_regex_meter *meter)
{
    re->dfa = re->dfa != NULL ? re->dfa : new_dfa(re);
    struct rx_dfa *d = re->dfa;
    if (d == NULL) {
        return RG_FOUND_NOT;
    }
    bool stop = meter != NULL && !meter->spend(meter->of, 1 + text.len / 64);
    uint32_t state = first_state(re, text.len == 0);
    size_t at = 0, len = 1;
    while (at <= text.len && state > MATCH && !stop) {
        uint32_t class = d->width - 1;
        len = 1;
        if (at < text.len) {
            uint8_t c = text.ptr[at];
            class = c < 128 ? re->ascii[c]
                            : rx_class_wide(re, rx_rune(text.ptr + at, text.len - at, &len));
        }
        uint32_t next = d->next[(size_t)state * d->width + class];
        state = next != 0 ? next - 1 : make_next(re, state, class, meter, &stop);
        at += len;
    }
    return stop ? RG_FOUND_STOPPED : state == MATCH ? RG_FOUND : RG_FOUND_NOT;
}
