/* SPDX-License-Identifier: Apache-2.0 */
/* The program run for all ways at once, in the order in which a backtracking engine would try them, with groups. */
#include "rego/regex_priv.h"

#include <stdio.h>

struct list {
    uint32_t n;
    uint32_t *dense;  /* places in the program, in order */
    uint32_t *sparse; /* place to index in dense */
    size_t *places;   /* of thread i: from i * width */
};

struct todo {
    uint32_t pc;    /* 0: undo a group's place */
    uint32_t place; /* which */
    size_t old;
};

struct threads {
    struct list a, b;
    struct todo *todo;
    size_t *now; /* places of the thread that is being followed */
};

struct run {
    const struct rg_regex *re;
    struct mln_bytes text;
    struct threads *t;
    uint32_t width; /* places that are kept */
    struct rg_regex_meter *meter;
    size_t *best;
    bool found;
};

static bool is_word(struct mln_bytes text, size_t i)
{
    uint8_t c = i < text.len ? text.ptr[i] : 0, l = c | 0x20;
    return (l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static bool holds(struct mln_bytes text, uint32_t what, size_t at)
{
    switch (what) {
    case RX_TEXT_BEGIN:
        return at == 0;
    case RX_TEXT_END:
        return at == text.len;
    case RX_LINE_BEGIN:
        return at == 0 || text.ptr[at - 1] == '\n';
    case RX_LINE_END:
        return at == text.len || text.ptr[at] == '\n';
    default:
        return (what == RX_WORD) == ((at > 0 && is_word(text, at - 1)) != is_word(text, at));
    }
}

static bool add_place(struct list *l, uint32_t pc)
{
    uint32_t at = l->sparse[pc];
    if (at < l->n && l->dense[at] == pc) {
        return false;
    }
    l->sparse[pc] = l->n;
    l->dense[l->n++] = pc;
    return true;
}

/* Follow what takes no text from pc on; the list keeps the order of preference. */
static void follow(struct run *r, struct list *l, uint32_t start, size_t at)
{
    const struct rx_ins *code = r->re->code;
    struct todo *todo = r->t->todo;
    size_t n = 0, *now = r->t->now;
    todo[n++] = (struct todo){.pc = start};
    while (n > 0) {
        struct todo next = todo[--n];
        if (next.pc == 0) {
            now[next.place] = next.old;
            continue;
        }
        uint32_t pc = next.pc;
        if (!add_place(l, pc)) {
            continue;
        }
        const struct rx_ins *ins = &code[pc];
        switch (ins->op) {
        case RX_OP_JMP:
            todo[n++] = (struct todo){.pc = ins->x};
            break;
        case RX_OP_SPLIT:
            todo[n++] = (struct todo){.pc = ins->y};
            todo[n++] = (struct todo){.pc = ins->x};
            break;
        case RX_OP_ASSERT:
            if (holds(r->text, ins->arg, at)) {
                todo[n++] = (struct todo){.pc = ins->x};
            }
            break;
        case RX_OP_SAVE:
            if (ins->arg < r->width) {
                todo[n++] = (struct todo){.place = ins->arg, .old = now[ins->arg]};
                now[ins->arg] = at;
            }
            todo[n++] = (struct todo){.pc = ins->x};
            break;
        default:
            mln_copy(l->places + (size_t)(l->n - 1) * r->width, now, r->width * sizeof(*now));
            break;
        }
    }
}

/* All threads over one code point; those behind a match are worse and end. */
static void step(struct run *r, struct list *from, struct list *to, size_t at, size_t len,
                 uint32_t class)
{
    const struct rg_regex *re = r->re;
    to->n = 0;
    for (uint32_t i = 0; i < from->n; i++) {
        const struct rx_ins *ins = &re->code[from->dense[i]];
        size_t *places = from->places + (size_t)i * r->width;
        if (ins->op == RX_OP_MATCH) {
            mln_copy(r->best, places, r->width * sizeof(*places));
            r->best[1] = at;
            r->found = true;
            return;
        }
        if (ins->op == RX_OP_SET && len > 0 &&
            re->set_has[(size_t)ins->arg * re->class_n + class] != 0) {
            mln_copy(r->t->now, places, r->width * sizeof(*places));
            follow(r, to, ins->x, at + len);
        }
    }
}

static void free_threads(struct threads *t)
{
    if (t != NULL) {
        mln_free(t->a.dense);
        mln_free(t->a.sparse);
        mln_free(t->a.places);
        mln_free(t->b.dense);
        mln_free(t->b.sparse);
        mln_free(t->b.places);
        mln_free(t->todo);
        mln_free(t->now);
        mln_free(t);
    }
}

static bool new_list(struct list *l, const struct rg_regex *re)
{
    l->dense = mln_alloc_array(re->code_n, sizeof(*l->dense));
    l->sparse = mln_alloc_array(re->code_n, sizeof(*l->sparse));
    l->places = mln_alloc_array((size_t)re->code_n * re->groups * 2, sizeof(*l->places));
    return l->dense != NULL && l->sparse != NULL && l->places != NULL;
}

static struct threads *threads_of(struct rg_regex *re)
{
    if (re->threads != NULL) {
        return re->threads;
    }
    struct threads *t = mln_alloc(sizeof(*t));
    if (t == NULL) {
        return NULL;
    }
    bool ok = new_list(&t->a, re) && new_list(&t->b, re);
    t->todo = mln_alloc_array((size_t)re->code_n * 3 + 4, sizeof(*t->todo));
    t->now = mln_alloc_array((size_t)re->groups * 2, sizeof(*t->now));
    if (!ok || t->todo == NULL || t->now == NULL) {
        free_threads(t);
        return NULL;
    }
    re->threads = t;
    return t;
}

/* Where the next match can begin at all. */
static size_t skip(const struct rg_regex *re, struct mln_bytes text, size_t at)
{
    if (re->prefix_len == 0) {
        return at;
    }
    const void *p = memmem(text.ptr + at, text.len - at, re->prefix, re->prefix_len);
    return p == NULL ? text.len + 1 : (size_t)((const uint8_t *)p - text.ptr);
}

static enum rg_found run(struct run *r, size_t at)
{
    struct list *now = &r->t->a, *next = &r->t->b;
    uint64_t steps = 0;
    now->n = 0;
    while (true) {
        if (now->n == 0) {
            size_t from = r->found || (r->re->is_anchored && at > 0) ? r->text.len + 1
                                                                      : skip(r->re, r->text, at);
            if (from > r->text.len) {
                break;
            }
            at = from;
        }
        if (!r->found) {
            for (uint32_t i = 0; i < r->width; i++) {
                r->t->now[i] = SIZE_MAX;
            }
            r->t->now[0] = at;
            follow(r, now, r->re->start, at);
        }
        steps += now->n + 1u;
        if (steps > 4096) {
            if (r->meter != NULL && !r->meter->spend(r->meter->of, steps / 16)) {
                return RG_FOUND_STOPPED;
            }
            steps = 0;
        }
        size_t len = 0;
        uint32_t class = 0;
        if (at < r->text.len) {
            class = rx_class(r->re, rx_rune(r->text.ptr + at, r->text.len - at, &len));
        }
        step(r, now, next, at, len, class);
        struct list *swap = now;
        now = next;
        next = swap;
        if (at >= r->text.len) {
            break;
        }
        at += len;
    }
    return r->found ? RG_FOUND : RG_FOUND_NOT;
}

enum rg_found rg_regex_find(struct rg_regex *re, struct mln_bytes text, size_t from, size_t *places,
                            uint32_t groups, struct rg_regex_meter *meter)
{
    static const uint8_t none[1];
    groups = groups < 1 ? 1 : groups > re->groups ? re->groups : groups;
    if (text.ptr == NULL) {
        text = mln_bytes_at(none, 0);
    }
    struct run r = {
        .re = re, .text = text, .t = threads_of(re), .width = groups * 2, .meter = meter};
    r.best = places;
    return r.t == NULL || from > text.len ? RG_FOUND_NOT : run(&r, from);
}

enum rg_found rg_regex_test(struct rg_regex *re, struct mln_bytes text,
                            struct rg_regex_meter *meter)
{
    size_t places[2];
    if (re->prefix_len > 0 && text.len > 0 && skip(re, text, 0) > text.len) {
        return RG_FOUND_NOT;
    }
    return re->has_context ? rg_regex_find(re, text, 0, places, 1, meter)
                           : rx_dfa_run(re, text, meter);
}

struct rg_regex *rg_regex_new(struct mln_bytes pattern, char *why, size_t why_max)
{
    uint32_t root = 0;
    struct rg_regex *re = mln_alloc(sizeof(*re));
    (void)snprintf(why, why_max, "error parsing regexp: expression too large: `%.*s`",
                   MLN_FMT(pattern));
    if (re == NULL || !rx_parse(re, pattern, &root, why, why_max) || !rx_compile(re, root) ||
        !rx_classify(re)) {
        rg_regex_free(re);
        return NULL;
    }
    return re;
}

void rg_regex_free(void *regex)
{
    struct rg_regex *re = regex;
    if (re == NULL) {
        return;
    }
    for (uint32_t i = 0; i < re->set_n; i++) {
        rx_set_drop(&re->sets[i]);
    }
    for (uint32_t i = 0; re->names != NULL && i < re->groups; i++) {
        mln_free(re->names[i]);
    }
    mln_free(re->names);
    mln_free(re->sets);
    mln_free(re->nodes);
    mln_free(re->code);
    mln_free(re->cuts);
    mln_free(re->set_has);
    rx_dfa_free(re->dfa);
    free_threads(re->threads);
    mln_free(re);
}
