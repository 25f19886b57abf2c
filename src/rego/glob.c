/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns with * ? ** [a-z] [!abc] {x,y}: a program of small steps whose ways are all followed at once, so that no
 * pattern takes longer than its length times that of the text.
 */
#include "rego/glob.h"

#include "rego/regex_priv.h"

enum op { ONE, ANY, NOT_DELIMITER, CLASS, FORK, JUMP, END };

struct ins {
    uint8_t op;
    bool negate;       /* CLASS */
    uint32_t x, y;     /* code point of ONE, first and last of CLASS; ways of FORK, JUMP */
    uint32_t from, to; /* list of CLASS: bytes of the pattern */
};

struct rg_glob {
    struct ins *code;
    uint32_t n, cap;
    char *pattern;
    uint32_t *delimiters;
    uint32_t delimiter_n;
    uint32_t *now, *next, *marks, mark, *todo;
    const char *why;
};

struct reader {
    struct rg_glob *g;
    struct mln_bytes t;
    size_t at;
    unsigned depth;
};

static bool fails(struct reader *r, const char *why)
{
    r->g->why = r->g->why == NULL ? why : r->g->why;
    return false;
}

static uint32_t emit(struct reader *r, struct ins ins)
{
    struct rg_glob *g = r->g;
    if (g->n == g->cap) {
        uint32_t cap = g->cap < 16 ? 16 : g->cap * 2;
        void *more = cap > GLOB_STEPS_MAX ? NULL
                                          : mln_realloc(g->code, g->n * sizeof(*g->code),
                                                        cap * sizeof(*g->code), false);
        if (more == NULL) {
            (void)fails(r, "pattern is too large");
            return 0;
        }
        g->code = more;
        g->cap = cap;
    }
    g->code[g->n] = ins;
    return g->n++;
}

static uint32_t rune(struct reader *r)
{
    size_t len = 0;
    uint32_t c = rx_rune(r->t.ptr + r->at, r->t.len - r->at, &len);
    r->at += len;
    return c;
}

static uint8_t peek(const struct reader *r)
{
    return r->at < r->t.len ? r->t.ptr[r->at] : 0;
}

/* L: fork(L + 1, out); what; jump L */
static void emit_loop(struct reader *r, enum op what)
{
    uint32_t fork = emit(r, (struct ins){.op = FORK});
    (void)emit(r, (struct ins){.op = (uint8_t)what});
    (void)emit(r, (struct ins){.op = JUMP, .x = fork});
    if (r->g->why == NULL) {
        r->g->code[fork].x = fork + 1;
        r->g->code[fork].y = r->g->n;
    }
}

static bool read_class(struct reader *r)
{
    struct ins c = {.op = CLASS, .negate = peek(r) == '!'};
    r->at += c.negate;
    size_t from = r->at;
    if (r->at >= r->t.len) {
        return fails(r, "unexpected end of input");
    }
    uint32_t lo = rune(r);
    if (peek(r) == '-' && lo != '\\') {
        r->at++;
        if (r->at >= r->t.len) {
            return fails(r, "unexpected end of input");
        }
        uint32_t hi = rune(r);
        if (hi < lo) {
            return fails(r, "hi character should be greater than lo character");
        }
        if (peek(r) != ']') {
            return fails(r, "could not parse range");
        }
        c.x = lo;
        c.y = hi;
    } else {
        r->at = from;
        while (r->at < r->t.len && peek(r) != ']') {
            r->at += peek(r) == '\\';
            if (r->at < r->t.len) {
                (void)rune(r);
            }
        }
        if (r->at >= r->t.len || r->at == from) {
            return fails(r, "could not parse range");
        }
        c.x = 1;
        c.from = (uint32_t)from;
        c.to = (uint32_t)r->at;
    }
    r->at++;
    (void)emit(r, c);
    return true;
}

static bool read_all(struct reader *r);

/* {a,b}: fork before each but the last, a jump to the end behind each. */
static bool read_alternatives(struct reader *r)
{
    uint32_t last = 0;
    if (++r->depth > GLOB_NEST_MAX) {
        return fails(r, "pattern nests too deeply");
    }
    while (true) {
        uint32_t fork = emit(r, (struct ins){.op = FORK});
        if (!read_all(r)) {
            return false;
        }
        uint8_t c = peek(r);
        if (c != ',' && c != '}') {
            return fails(r, "unexpected end of input");
        }
        r->at++;
        last = emit(r, (struct ins){.op = JUMP, .x = last});
        if (r->g->why != NULL) {
            return false;
        }
        r->g->code[fork].x = fork + 1;
        r->g->code[fork].y = c == ',' ? r->g->n : fork + 1;
        if (c == '}') {
            break;
        }
    }
    while (last != 0) {
        uint32_t before = r->g->code[last].x;
        r->g->code[last].x = r->g->n;
        last = before;
    }
    r->depth--;
    return true;
}

static bool read_one(struct reader *r)
{
    uint8_t c = peek(r);
    r->at++;
    if (c == '*') {
        bool super = peek(r) == '*';
        while (peek(r) == '*') {
            r->at++;
        }
        emit_loop(r, super ? ANY : NOT_DELIMITER);
        return true;
    }
    if (c == '?') {
        (void)emit(r, (struct ins){.op = NOT_DELIMITER});
        return true;
    }
    if (c == '[') {
        return read_class(r);
    }
    if (c == '{') {
        return read_alternatives(r);
    }
    r->at -= c != '\\' || r->at >= r->t.len;
    (void)emit(r, (struct ins){.op = ONE, .x = rune(r)});
    return true;
}

/* Up to the end, or inside braces to what ends an alternative. */
static bool read_all(struct reader *r)
{
    while (r->at < r->t.len && r->g->why == NULL) {
        if (r->depth > 0 && (peek(r) == ',' || peek(r) == '}')) {
            return true;
        }
        if (!read_one(r)) {
            return false;
        }
    }
    return r->g->why == NULL;
}

static bool make(struct rg_glob *g, struct mln_bytes pattern)
{
    g->pattern = mln_alloc(pattern.len + 1);
    if (g->pattern == NULL) {
        return false;
    }
    mln_copy(g->pattern, pattern.ptr, pattern.len);
    struct reader r = {.g = g, .t = mln_bytes_at(g->pattern, pattern.len)};
    (void)emit(&r, (struct ins){.op = JUMP, .x = 1});
    if (!read_all(&r)) {
        return false;
    }
    (void)emit(&r, (struct ins){.op = END});
    g->now = mln_alloc_array(g->n, sizeof(*g->now));
    g->next = mln_alloc_array(g->n, sizeof(*g->next));
    g->marks = mln_alloc_array(g->n, sizeof(*g->marks));
    g->todo = mln_alloc_array((size_t)g->n * 2 + 1, sizeof(*g->todo));
    return g->why == NULL && g->now != NULL && g->next != NULL && g->marks != NULL && g->todo != NULL;
}

struct rg_glob *rg_glob_new(struct mln_bytes pattern, const uint32_t *delimiters, uint32_t n,
                            const char **why)
{
    struct rg_glob *g = mln_alloc(sizeof(*g));
    *why = "no memory";
    if (g == NULL) {
        return NULL;
    }
    bool ok = make(g, pattern);
    g->delimiters = mln_alloc_array((size_t)n + 1, sizeof(*g->delimiters));
    if (!ok || g->delimiters == NULL) {
        *why = g->why != NULL ? g->why : *why;
        rg_glob_free(g);
        return NULL;
    }
    mln_copy(g->delimiters, delimiters, n * sizeof(*delimiters));
    g->delimiter_n = n;
    return g;
}

void rg_glob_free(void *glob)
{
    struct rg_glob *g = glob;
    if (g != NULL) {
        mln_free(g->code);
        mln_free(g->pattern);
        mln_free(g->delimiters);
        mln_free(g->now);
        mln_free(g->next);
        mln_free(g->marks);
        mln_free(g->todo);
        mln_free(g);
    }
}

static bool is_delimiter(const struct rg_glob *g, uint32_t c)
{
    for (uint32_t i = 0; i < g->delimiter_n; i++) {
        if (g->delimiters[i] == c) {
            return true;
        }
    }
    return false;
}

static bool in_class(const struct rg_glob *g, const struct ins *ins, uint32_t c)
{
    bool in = ins->to == 0 && c >= ins->x && c <= ins->y;
    for (size_t i = ins->from, len = 0; i < ins->to; i += len) {
        const uint8_t *p = (const uint8_t *)g->pattern + i;
        bool escaped = *p == '\\' && i + 1 < ins->to;
        in = rx_rune(p + escaped, ins->to - i - escaped, &len) == c || in;
        len += escaped;
    }
    return in != ins->negate;
}

static void follow(struct rg_glob *g, uint32_t *list, uint32_t *n, uint32_t start)
{
    uint32_t left = 0;
    g->todo[left++] = start;
    while (left > 0) {
        uint32_t pc = g->todo[--left];
        const struct ins *ins = &g->code[pc];
        if (g->marks[pc] == g->mark) {
            continue;
        }
        g->marks[pc] = g->mark;
        if (ins->op == FORK) {
            g->todo[left++] = ins->y;
            g->todo[left++] = ins->x;
        } else if (ins->op == JUMP) {
            g->todo[left++] = ins->x;
        } else {
            list[(*n)++] = pc;
        }
    }
}

static bool takes(const struct rg_glob *g, const struct ins *ins, uint32_t c)
{
    switch (ins->op) {
    case ONE:
        return ins->x == c;
    case ANY:
        return true;
    case NOT_DELIMITER:
        return !is_delimiter(g, c);
    case CLASS:
        return in_class(g, ins, c);
    default:
        return false;
    }
}

bool rg_glob_match(struct rg_glob *g, struct mln_bytes text, uint64_t *ret_steps)
{
    uint32_t n = 0, *now = g->now, *next = g->next;
    g->mark++;
    follow(g, now, &n, 0);
    size_t len = 0;
    for (size_t at = 0; at < text.len && n > 0; at += len) {
        uint32_t c = rx_rune(text.ptr + at, text.len - at, &len), m = 0;
        g->mark++;
        for (uint32_t i = 0; i < n; i++) {
            if (takes(g, &g->code[now[i]], c)) {
                follow(g, next, &m, now[i] + 1);
            }
        }
        *ret_steps += n;
        uint32_t *swap = now;
        now = next;
        next = swap;
        n = m;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (g->code[now[i]].op == END) {
            return true;
        }
    }
    return false;
}
