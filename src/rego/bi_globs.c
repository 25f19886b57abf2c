/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.globs_match: do two patterns have a text in common? A pattern is characters, "." and sets, each perhaps with "+" or
 * "*". The procedure and its answers are OPA's (glob-intersection): a token with a flag swallows what follows on the
 * other side until the token behind it fits and all the rest does. Pairs that failed are remembered, so that the time is
 * bounded by the product of the lengths times the longer.
 */
#include "rego/builtin_priv.h"
#include "rego/regex_priv.h"

#define TOKENS_MAX                                                                                 \
    1024u /* of a pattern: those of people have some tens; the failed pairs take a bit each */

struct token {
    char kind; /* c character, . any, [ set */
    char flag; /* 0, + or * */
    uint32_t rune;
    struct rx_set set;
};

struct globs {
    struct token *list;
    uint32_t n;
};

struct reader {
    struct rg_call *call;
    struct mln_bytes text;
    size_t at;    /* byte */
    size_t runes; /* read so far: what OPA's errors count */
};

struct meet {
    struct rg_call *call;
    const struct globs *a, *b;
    uint8_t *failed; /* bit per pair: from here on nothing fits */
    unsigned depth;
};

static void drop(struct globs *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        rx_set_drop(&g->list[i].set);
    }
    mln_free(g->list);
    *g = (struct globs){0};
}

static bool refuse(const struct reader *r, const char *what)
{
    return rg_fail(r->call, "input:%.*s, pos:%zu, %s: the input provided is invalid",
                   MLN_FMT(r->text), r->runes, what);
}

/* 1: a code point, 0: the end, -1 after an error. */
static int next_rune(struct reader *r, uint32_t *ret, bool *ret_escaped)
{
    size_t len = 0;
    if (r->at >= r->text.len) {
        return 0;
    }
    *ret_escaped = r->text.ptr[r->at] == '\\';
    if (*ret_escaped) {
        if (r->at + 1 == r->text.len) {
            (void)refuse(r, "input ends with a \\ (escape) character");
            return -1;
        }
        r->at++;
        r->runes++;
    }
    *ret = rx_rune(r->text.ptr + r->at, r->text.len - r->at, &len);
    r->at += len;
    r->runes++;
    return 1;
}

static bool read_range(struct reader *r, struct token *t, uint32_t from)
{
    uint32_t to = 0;
    bool escaped = false;
    if (r->at >= r->text.len) {
        return refuse(r, "range character '-' must be followed by a Unicode character");
    }
    if (next_rune(r, &to, &escaped) < 0) {
        return false;
    }
    if (!escaped && (to == ']' || to == '-')) {
        return refuse(r, "range character '-' cannot be followed by a special symbol");
    }
    if (to < from) {
        return refuse(r, "range is out of order");
    }
    rx_set_add(&t->set, from, to);
    return true;
}

static bool read_set(struct reader *r, struct token *t)
{
    uint32_t c = 0, prev = 0;
    bool escaped = false, has_prev = false;
    int more = 0;
    t->kind = '[';
    while ((more = next_rune(r, &c, &escaped)) > 0) {
        if (!escaped && c == ']') {
            rx_set_tidy(&t->set);
            return true;
        }
        if (!escaped && c == '-') {
            if (!has_prev) {
                return refuse(r, "range character '-' must be preceded by a Unicode character");
            }
            if (!read_range(r, t, prev)) {
                return false;
            }
            has_prev = false;
            continue;
        }
        rx_set_add(&t->set, c, c);
        prev = c;
        has_prev = true;
    }
    return more == 0 && refuse(r, "found [ without matching ]");
}

static bool read_token(struct reader *r, struct token *t, bool *ret_end)
{
    uint32_t c = 0;
    bool escaped = false;
    int more = next_rune(r, &c, &escaped);
    *t = (struct token){.kind = 'c', .rune = c};
    *ret_end = more == 0;
    if (more <= 0) {
        return more == 0;
    }
    if (!escaped && c == '.') {
        t->kind = '.';
    } else if (!escaped && c == '[') {
        if (!read_set(r, t)) {
            return false;
        }
    } else if (!escaped && c == ']') {
        return refuse(r, "set-close ']' with no preceding '['");
    } else if (!escaped && (c == '+' || c == '*')) {
        return refuse(r, c == '+' ? "flag '+' must be preceded by a non-flag"
                                  : "flag '*' must be preceded by a non-flag");
    }
    if (r->at < r->text.len && (r->text.ptr[r->at] == '+' || r->text.ptr[r->at] == '*')) {
        t->flag = (char)r->text.ptr[r->at++];
        r->runes++;
    }
    return true;
}

static bool same_token(const struct token *a, const struct token *b)
{
    if (a->kind != b->kind || a->rune != b->rune || a->set.n != b->set.n) {
        return false;
    }
    for (size_t i = 0; i < a->set.n; i++) {
        if (a->set.ranges[i].lo != b->set.ranges[i].lo ||
            a->set.ranges[i].hi != b->set.ranges[i].hi) {
            return false;
        }
    }
    return true;
}

static bool read_globs(struct rg_call *call, struct mln_bytes text, struct globs *g)
{
    struct reader r = {.call = call, .text = text};
    g->list = mln_alloc_array(TOKENS_MAX, sizeof(*g->list));
    if (g->list == NULL) {
        return rg_fail(call, "no memory");
    }
    for (;;) {
        struct token t;
        bool end = false;
        bool ok = read_token(&r, &t, &end);
        if (!ok || end) {
            rx_set_drop(&t.set);
            return ok;
        }
        struct token *last = g->n > 0 ? &g->list[g->n - 1] : NULL;
        if (last != NULL && last->flag != 0 && t.flag != 0 && same_token(last, &t)) {
            last->flag = last->flag == '+' || t.flag == '+' ? '+' : '*'; /* x*x+ is x+ */
            rx_set_drop(&t.set);
        } else if (g->n == TOKENS_MAX) {
            rx_set_drop(&t.set);
            return rg_fail(call, "more than 1024 tokens in a pattern");
        } else {
            g->list[g->n++] = t;
        }
    }
}

static bool has_rune(const struct rx_set *set, uint32_t rune)
{
    for (size_t i = 0; i < set->n; i++) {
        if (rune >= set->ranges[i].lo && rune <= set->ranges[i].hi) {
            return true;
        }
    }
    return false;
}

static bool sets_meet(const struct rx_set *a, const struct rx_set *b)
{
    for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
        if (a->ranges[i].hi < b->ranges[k].lo) {
            i++;
        } else if (b->ranges[k].hi < a->ranges[i].lo) {
            k++;
        } else {
            return true;
        }
    }
    return false;
}

static bool fits(const struct token *a, const struct token *b)
{
    if (a->kind == '.' || b->kind == '.') {
        return true;
    }
    if (a->kind == 'c' && b->kind == 'c') {
        return a->rune == b->rune;
    }
    return a->kind == 'c'   ? has_rune(&b->set, a->rune)
           : b->kind == 'c' ? has_rune(&a->set, b->rune)
                            : sets_meet(&a->set, &b->set);
}

/* A suffix of each side; `swapped`: x is of b. */
struct pair {
    uint32_t x, y;
    bool swapped;
};

static const struct globs *side(const struct meet *m, bool first, bool swapped)
{
    return first != swapped ? m->a : m->b;
}

static bool meets(struct meet *m, struct pair at);

static bool star(struct meet *m, struct pair at)
{
    const struct globs *x = side(m, true, at.swapped), *y = side(m, false, at.swapped);
    const struct token *self = &x->list[at.x], *next = at.x + 1 < x->n ? self + 1 : NULL;
    for (uint32_t k = at.y; k < y->n; k++) {
        if (!rg_spend(m->call->vm, 1)) {
            return false;
        }
        if (next != NULL && fits(&y->list[k], next) &&
            meets(m, (struct pair){at.x + 1, k, at.swapped})) {
            return true;
        }
        if (!fits(&y->list[k], self)) {
            return false;
        }
    }
    return next == NULL;
}

static bool flagged(struct meet *m, struct pair at)
{
    const struct globs *x = side(m, true, at.swapped), *y = side(m, false, at.swapped);
    if (x->list[at.x].flag == 0) {
        return flagged(m, (struct pair){at.y, at.x, !at.swapped});
    }
    if (x->list[at.x].flag == '*') {
        return star(m, at);
    }
    if (!fits(&x->list[at.x], &y->list[at.y])) {
        return false;
    }
    return star(m, (struct pair){at.x, at.y + 1, at.swapped}) ||
           (y->list[at.y].flag != 0 && meets(m, (struct pair){at.x + 1, at.y, at.swapped}));
}

static bool meets(struct meet *m, struct pair at)
{
    const struct globs *x = side(m, true, at.swapped), *y = side(m, false, at.swapped);
    size_t bit = at.swapped ? (size_t)at.y * (TOKENS_MAX + 1) + at.x
                            : (size_t)at.x * (TOKENS_MAX + 1) + at.y;
    if ((m->failed[bit / 8] >> (bit % 8) & 1) != 0 || !rg_spend(m->call->vm, 1)) {
        return false;
    }
    struct pair now = at;
    bool ok = true;
    while (ok && now.x < x->n && now.y < y->n && x->list[now.x].flag == 0 &&
           y->list[now.y].flag == 0) {
        ok = fits(&x->list[now.x++], &y->list[now.y++]);
    }
    if (ok) {
        ok = now.x < x->n && now.y < y->n ? flagged(m, now) : now.x == x->n && now.y == y->n;
    }
    if (!ok) {
        m->failed[bit / 8] |= (uint8_t)(1u << (bit % 8));
    }
    return ok;
}

/* Tokens without flags at the ends must fit; what is left of both, at least one token each, goes on. */
static bool trim(const struct globs *a, const struct globs *b, struct globs *ret_a,
                 struct globs *ret_b)
{
    uint32_t l = 0, x = a->n, y = b->n;
    while (l < a->n && l < b->n && a->list[l].flag == 0 && b->list[l].flag == 0) {
        if (!fits(&a->list[l], &b->list[l])) {
            return false;
        }
        l++;
    }
    l -= l > 0;
    while (x > l && y > l && a->list[x - 1].flag == 0 && b->list[y - 1].flag == 0) {
        if (!fits(&a->list[x - 1], &b->list[y - 1])) {
            return false;
        }
        x--;
        y--;
    }
    if (x < a->n) {
        x++;
        y++;
    }
    *ret_a = (struct globs){a->list + l, x - l};
    *ret_b = (struct globs){b->list + l, y - l};
    return true;
}

static bool globs_match(struct rg_call *call)
{
    struct mln_bytes s, t;
    MLN_AUTO(drop) struct globs a = {0};
    MLN_AUTO(drop) struct globs b = {0};
    struct globs x, y;
    if (!rg_arg_string(call, 1, &s) || !rg_arg_string(call, 2, &t) || !read_globs(call, s, &a) ||
        !read_globs(call, t, &b)) {
        return false;
    }
    struct meet m = {.call = call, .a = &x, .b = &y};
    size_t bytes = (size_t)(TOKENS_MAX + 1) * (TOKENS_MAX + 1) / 8 + 1;
    m.failed = rg_try(call->heap, bytes);
    if (m.failed == NULL) {
        return rg_fail(call, "no memory");
    }
    mln_fill(m.failed, 0, bytes);
    return rg_return(call, rg_bool(trim(&a, &b, &x, &y) && meets(&m, (struct pair){0})));
}

const struct rg_builtin rg_builtins_globs[] = {{"regex.globs_match", globs_match}, {NULL, NULL}};
