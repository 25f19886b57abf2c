/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes to a program, and the classes of code points that it can tell apart. */
#include "rego/regex_priv.h"

#include <stdio.h>
#include <stdlib.h>

static uint32_t emit(struct rg_regex *re, enum rx_op op, uint32_t arg)
{
    if (re->code_n == RX_PROGRAM_MAX) {
        return re->code_n - 1; /* rx_compile sees that it is full */
    }
    if (re->code_n == re->code_cap) {
        uint32_t cap = re->code_cap < 32 ? 32 : re->code_cap * 2;
        cap = cap > RX_PROGRAM_MAX ? RX_PROGRAM_MAX : cap;
        void *more =
            mln_realloc(re->code, re->code_n * sizeof(*re->code), cap * sizeof(*re->code), false);
        if (more == NULL) {
            cap = re->code_n;
            re->code_n = RX_PROGRAM_MAX;
            return cap == 0 ? 0 : cap - 1;
        }
        re->code = more;
        re->code_cap = cap;
    }
    re->code[re->code_n] = (struct rx_ins){.op = (uint8_t)op, .arg = arg, .x = re->code_n + 1};
    return re->code_n++;
}

static bool is_full(const struct rg_regex *re)
{
    return re->code_n >= RX_PROGRAM_MAX;
}

static bool may_be_empty(const struct rg_regex *re, uint32_t node)
{
    const struct rx_node *n = &re->nodes[node - 1];
    bool all = true, any = false;
    if (n->kind == RX_SET) {
        return false;
    }
    if (n->kind == RX_REPEAT && n->min == 0) {
        return true;
    }
    for (uint32_t c = n->first; c != 0; c = re->nodes[c - 1].next) {
        bool empty = may_be_empty(re, c);
        all = all && empty;
        any = any || empty;
    }
    return n->kind == RX_ALT ? any : all;
}

static void compile(struct rg_regex *re, uint32_t node);

/* A split whose first way is the next instruction, unless lazy. Its other way is set by `join`. */
static uint32_t fork_here(struct rg_regex *re)
{
    return emit(re, RX_OP_SPLIT, 0);
}

static void join(struct rg_regex *re, uint32_t split, uint32_t inside, uint32_t outside, bool lazy)
{
    if (!is_full(re)) {
        re->code[split].x = lazy ? outside : inside;
        re->code[split].y = lazy ? inside : outside;
    }
}

static void compile_loop(struct rg_regex *re, const struct rx_node *n, uint32_t inner)
{
    bool lazy = n->is_lazy;
    if (may_be_empty(re, inner)) { /* (x+)?: a turn that takes nothing ends the loop, as in Go */
        uint32_t skip = fork_here(re), body = re->code_n;
        compile(re, inner);
        uint32_t again = fork_here(re);
        join(re, again, body, re->code_n, lazy);
        join(re, skip, body, re->code_n, lazy);
        return;
    }
    uint32_t split = fork_here(re), body = re->code_n;
    compile(re, inner);
    uint32_t back = emit(re, RX_OP_JMP, 0);
    if (!is_full(re)) {
        re->code[back].x = split;
    }
    join(re, split, body, re->code_n, lazy);
}

static void compile_repeat(struct rg_regex *re, uint32_t node)
{
    const struct rx_node n = re->nodes[node - 1];
    for (int32_t i = 0; i < n.min - (n.max < 0 && n.min > 0) && !is_full(re); i++) {
        compile(re, n.first);
    }
    if (n.max < 0 && n.min > 0) {
        uint32_t body = re->code_n;
        compile(re, n.first);
        uint32_t again = fork_here(re);
        join(re, again, body, re->code_n, n.is_lazy);
        return;
    }
    if (n.max < 0) {
        compile_loop(re, &n, n.first);
        return;
    }
    uint32_t splits[RX_REPEAT_MAX], split_n = 0;
    for (int32_t i = n.min; i < n.max && !is_full(re); i++) {
        splits[split_n++] = fork_here(re);
        compile(re, n.first);
    }
    for (uint32_t i = 0; i < split_n; i++) {
        join(re, splits[i], splits[i] + 1, re->code_n, n.is_lazy);
    }
}

static void compile_alt(struct rg_regex *re, const struct rx_node *n)
{
    uint32_t last = 0; /* jumps to the end are a list through x */
    for (uint32_t c = n->first; c != 0; c = re->nodes[c - 1].next) {
        if (re->nodes[c - 1].next == 0) {
            compile(re, c);
            break;
        }
        uint32_t split = fork_here(re);
        compile(re, c);
        uint32_t jump = emit(re, RX_OP_JMP, 0);
        if (is_full(re)) {
            return;
        }
        re->code[jump].x = last;
        last = jump;
        join(re, split, split + 1, re->code_n, false);
    }
    while (last != 0 && !is_full(re)) {
        uint32_t before = re->code[last].x;
        re->code[last].x = re->code_n;
        last = before;
    }
}

static void compile(struct rg_regex *re, uint32_t node)
{
    const struct rx_node n = re->nodes[node - 1];
    if (is_full(re)) {
        return;
    }
    switch (n.kind) {
    case RX_SET:
        (void)emit(re, RX_OP_SET, n.set);
        return;
    case RX_ASSERT:
        re->has_context |= n.assertion >= RX_LINE_BEGIN;
        (void)emit(re, RX_OP_ASSERT, n.assertion);
        return;
    case RX_REPEAT:
        compile_repeat(re, node);
        return;
    case RX_ALT:
        compile_alt(re, &n);
        return;
    default:
        break;
    }
    if (n.kind == RX_GROUP && n.group != 0) {
        (void)emit(re, RX_OP_SAVE, 2 * n.group);
    }
    for (uint32_t c = n.first; c != 0; c = re->nodes[c - 1].next) {
        compile(re, c);
    }
    if (n.kind == RX_GROUP && n.group != 0) {
        (void)emit(re, RX_OP_SAVE, 2 * n.group + 1);
    }
}

/* What every match begins with: the single code points at the start of the program. */
static void find_prefix(struct rg_regex *re)
{
    uint32_t pc = re->start;
    if (re->code[pc].op == RX_OP_ASSERT && re->code[pc].arg == RX_TEXT_BEGIN) {
        re->is_anchored = true;
        return;
    }
    while (re->code[pc].op == RX_OP_SET || re->code[pc].op == RX_OP_SAVE) {
        if (re->code[pc].op == RX_OP_SET) {
            const struct rx_set *s = &re->sets[re->code[pc].arg];
            if (s->n != 1 || s->ranges[0].lo != s->ranges[0].hi || s->ranges[0].lo == 0xfffd ||
                re->prefix_len + 4 > sizeof(re->prefix) ||
                (s->ranges[0].lo >= 0xd800 && s->ranges[0].lo < 0xe000)) {
                return;
            }
            re->prefix_len += rx_put((uint8_t *)re->prefix + re->prefix_len, s->ranges[0].lo);
        }
        pc = re->code[pc].x;
    }
}

bool rx_compile(struct rg_regex *re, uint32_t root)
{
    (void)emit(re, RX_OP_JMP, 0); /* 0 is no place to jump to */
    re->start = re->code_n;
    compile(re, root);
    (void)emit(re, RX_OP_MATCH, 0);
    struct rx_set any = {0};
    rx_set_add(&any, 0, RX_RUNE_MAX);
    if (any.is_broken || is_full(re) || re->set_n + 1 > re->set_cap) {
        uint32_t cap = re->set_cap + 1;
        struct rx_set *sets = any.is_broken || is_full(re)
                                  ? NULL
                                  : mln_realloc(re->sets, re->set_n * sizeof(*sets),
                                                cap * sizeof(*sets), false);
        if (sets == NULL) {
            rx_set_drop(&any);
            return false;
        }
        re->sets = sets;
        re->set_cap = cap;
    }
    re->sets[re->set_n++] = any;
    re->any_start = emit(re, RX_OP_SPLIT, 0);
    uint32_t step = emit(re, RX_OP_SET, re->set_n - 1), back = emit(re, RX_OP_JMP, 0);
    if (is_full(re) ||
        (size_t)re->code_n * re->groups * 2 * sizeof(size_t) * 2 > RX_CAPS_MAX) {
        return false;
    }
    re->code[re->any_start].x = re->start;
    re->code[re->any_start].y = step;
    re->code[back].x = re->any_start;
    find_prefix(re);
    return true;
}

/* ---- classes ---- */
static int cmp_u32(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static bool set_has(const struct rx_set *s, uint32_t c)
{
    uint32_t lo = 0, hi = s->n;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (s->ranges[mid].hi < c) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < s->n && s->ranges[lo].lo <= c;
}

/* Where the answer of some set changes. */
static uint32_t *all_cuts(const struct rg_regex *re, uint32_t *ret_n)
{
    size_t n = 1;
    for (uint32_t i = 0; i < re->set_n; i++) {
        n += 2 * (size_t)re->sets[i].n;
    }
    uint32_t *cuts = mln_alloc_array(n, sizeof(*cuts)), kept = 0;
    if (cuts == NULL) {
        return NULL;
    }
    n = 1;
    for (uint32_t i = 0; i < re->set_n; i++) {
        for (uint32_t k = 0; k < re->sets[i].n; k++) {
            cuts[n++] = re->sets[i].ranges[k].lo;
            cuts[n++] = re->sets[i].ranges[k].hi + 1;
        }
    }
    qsort(cuts, n, sizeof(*cuts), cmp_u32);
    for (size_t i = 0; i < n; i++) {
        if (kept == 0 || cuts[i] != cuts[kept - 1]) {
            cuts[kept++] = cuts[i];
        }
    }
    *ret_n = kept;
    return cuts;
}

struct mark {
    uint64_t sign; /* of the sets that have the interval */
    uint32_t cut;
};

static int cmp_mark(const void *a, const void *b)
{
    const struct mark *x = a, *y = b;
    return (x->sign > y->sign) - (x->sign < y->sign);
}

static uint64_t sign_of(const struct rg_regex *re, uint32_t c)
{
    uint64_t h = 1469598103934665603u;
    for (uint32_t i = 0; i < re->set_n; i++) {
        if (set_has(&re->sets[i], c)) {
            h += (h ^ ((uint64_t)i + 1)) * 0x9e3779b97f4a7c15u;
            h ^= h >> 29;
        }
    }
    return h;
}

static bool number_classes(struct rg_regex *re, struct mark *marks)
{
    for (uint32_t i = 0; i < re->cut_n; i++) {
        marks[i] = (struct mark){sign_of(re, re->cuts[i].lo), i};
    }
    qsort(marks, re->cut_n, sizeof(*marks), cmp_mark);
    for (uint32_t i = 0; i < re->cut_n; i++) {
        re->class_n += i == 0 || marks[i].sign != marks[i - 1].sign;
        re->cuts[marks[i].cut].hi = re->class_n - 1;
    }
    re->set_has = mln_alloc_array(re->set_n, re->class_n);
    for (uint32_t s = 0; re->set_has != NULL && s < re->set_n; s++) {
        for (uint32_t i = 0; i < re->cut_n; i++) {
            re->set_has[(size_t)s * re->class_n + re->cuts[i].hi] =
                set_has(&re->sets[s], re->cuts[i].lo);
        }
    }
    for (uint32_t c = 0; c < 128; c++) {
        uint32_t class = rx_class_wide(re, c);
        if (class > UINT16_MAX) {
            return false;
        }
        re->ascii[c] = (uint16_t)class;
    }
    return re->set_has != NULL;
}

uint32_t rx_class_wide(const struct rg_regex *re, uint32_t rune)
{
    uint32_t lo = 0, hi = re->cut_n;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (re->cuts[mid].lo <= rune) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return re->cuts[lo].hi;
}

bool rx_classify(struct rg_regex *re)
{
    uint32_t *cuts = all_cuts(re, &re->cut_n);
    struct mark *marks = cuts == NULL ? NULL : mln_alloc_array(re->cut_n, sizeof(*marks));
    re->cuts = marks == NULL ? NULL : mln_alloc_array(re->cut_n, sizeof(*re->cuts));
    bool ok = re->cuts != NULL;
    for (uint32_t i = 0; ok && i < re->cut_n; i++) {
        re->cuts[i].lo = cuts[i];
    }
    ok = ok && number_classes(re, marks);
    mln_free(marks);
    mln_free(cuts);
    return ok;
}
