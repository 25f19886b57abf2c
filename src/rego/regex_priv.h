/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions with Go's (RE2's) syntax and meaning: the leftmost match, of these the one that a backtracking
 * engine would find first; time grows with pattern times text, never faster. A compiled expression belongs to one
 * thread: it learns states of its automaton while it runs.
 *
 * regex_parse.c text to nodes, regex_class.c sets of code points, regex_compile.c nodes to a program,
 * regex_run.c the program with groups, regex_dfa.c the program as an automaton, for yes or no.
 */
#pragma once

#include "base/buf.h"

#include <string.h>

#define RX_RUNE_MAX    0x10FFFFu
#define RX_REPEAT_MAX  1000 /* as Go: x{1001} is refused, also (x{100}){11} */
#define RX_NEST_MAX    1000 /* groups in groups: the compiler recurses */
#define RX_PROGRAM_MAX 100000u
#define RX_CAPS_MAX    ((size_t)16 << 20) /* bytes of groups while a program runs */

enum rx_node_kind { RX_EMPTY, RX_SET, RX_CAT, RX_ALT, RX_REPEAT, RX_GROUP, RX_ASSERT };
enum rx_assert {
    RX_TEXT_BEGIN,
    RX_TEXT_END,
    RX_LINE_BEGIN,
    RX_LINE_END,
    RX_WORD,
    RX_NO_WORD
};

struct rx_range {
    uint32_t lo, hi;
};

struct rx_set {
    struct rx_range *ranges; /* sorted, apart */
    uint32_t n, cap;
    bool is_broken; /* no memory */
};

struct rx_node {
    uint8_t kind;
    uint8_t assertion;
    bool is_lazy;
    uint32_t first, next; /* child, sibling: index + 1 */
    uint32_t set;         /* of RX_SET */
    uint32_t group;       /* number of RX_GROUP; 0: captures nothing */
    int32_t min, max;     /* of RX_REPEAT; max -1: no end */
    int32_t reps;         /* product of nested counts */
};

enum rx_op { RX_OP_SET, RX_OP_SPLIT, RX_OP_JMP, RX_OP_SAVE, RX_OP_ASSERT, RX_OP_MATCH };

struct rx_ins {
    uint8_t op;
    uint32_t arg; /* set, group place, assertion */
    uint32_t x, y;
};

struct rx_dfa;

struct rg_regex {
    struct rx_node *nodes;
    uint32_t node_n, node_cap;
    struct rx_set *sets;
    uint32_t set_n, set_cap;
    struct rx_ins *code;
    uint32_t code_n, code_cap;
    uint32_t start;      /* of the program itself */
    uint32_t any_start;  /* with a loop before it that skips text */
    uint32_t groups;     /* with group 0 */
    char **names;        /* of groups, NULL without */
    bool is_anchored;    /* begins at the begin of the text */
    bool has_context;    /* asks for words or lines: no automaton */
    char prefix[64];     /* every match begins so */
    size_t prefix_len;
    /* classes of code points that the program cannot tell apart */
    uint16_t ascii[128];
    struct rx_range *cuts; /* lo of an interval, hi its class */
    uint32_t cut_n;
    uint32_t class_n;
    uint8_t *set_has; /* set * class_n + class */
    struct rx_dfa *dfa;
    void *threads; /* kept between runs */
};

/* Budget of a run: told how many steps are behind; false ends it. */
struct rg_regex_meter {
    bool (*spend)(void *of, uint64_t steps);
    void *of;
};

/* NULL: `why` has Go's text ("error parsing regexp: ..."). */
struct rg_regex *rg_regex_new(struct mln_bytes pattern, char *why, size_t why_max);
void rg_regex_free(void *regex);
enum rg_found { RG_FOUND, RG_FOUND_NOT, RG_FOUND_STOPPED };
/* Is there a match anywhere? */
enum rg_found rg_regex_test(struct rg_regex *re, struct mln_bytes text, struct rg_regex_meter *meter);
/* The first match at or behind `from`; places[2 * g], [2 * g + 1] are ends of group g, SIZE_MAX when it took no part. */
enum rg_found rg_regex_find(struct rg_regex *re, struct mln_bytes text, size_t from, size_t *places,
                            uint32_t groups, struct rg_regex_meter *meter);

/* ---- between its files ---- */
bool rx_parse(struct rg_regex *re, struct mln_bytes pattern, uint32_t *ret_root, char *why, size_t why_max);
bool rx_compile(struct rg_regex *re, uint32_t root);
bool rx_classify(struct rg_regex *re);
void rx_set_add(struct rx_set *set, uint32_t lo, uint32_t hi);
void rx_set_add_set(struct rx_set *set, const struct rx_set *from);
void rx_set_fold(struct rx_set *set); /* with what differs in case only */
void rx_set_tidy(struct rx_set *set);
void rx_set_not(struct rx_set *set);
void rx_set_drop(struct rx_set *set);
bool rx_set_named(struct rx_set *set, struct mln_bytes name); /* "L", "Lu", "Greek", "Any" */
bool rx_set_perl(struct rx_set *set, uint8_t letter);         /* d s w */
bool rx_set_posix(struct rx_set *set, struct mln_bytes name); /* "alpha" */
void rx_dfa_free(struct rx_dfa *dfa);
enum rg_found rx_dfa_run(struct rg_regex *re, struct mln_bytes text, struct rg_regex_meter *meter);
uint32_t rx_class_wide(const struct rg_regex *re, uint32_t rune);

/* The code point at p; what is no UTF-8 is U+FFFD of one byte. */
static inline uint32_t rx_rune(const uint8_t *p, size_t n, size_t *ret_len)
{
    uint32_t a = p[0];
    *ret_len = 1;
    if (a < 0x80) {
        return a;
    }
    size_t len = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : a >= 0xc2 ? 2 : 0;
    if (len == 0 || a > 0xf4 || n < len) {
        return 0xfffd;
    }
    uint32_t c = a & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0xfffd;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (c < least[len] || c > RX_RUNE_MAX || (c >= 0xd800 && c < 0xe000)) {
        return 0xfffd;
    }
    *ret_len = len;
    return c;
}

static inline uint32_t rx_class(const struct rg_regex *re, uint32_t rune)
{
    return rune < 128 ? re->ascii[rune] : rx_class_wide(re, rune);
}

/* A code point (no surrogate) as UTF-8; its length. */
static inline size_t rx_put(uint8_t *to, uint32_t c)
{
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t heads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len - 1; i > 0; i--) {
        to[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    to[0] = (uint8_t)(heads[len] | c);
    return len;
}
