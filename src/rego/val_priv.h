/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values while they are evaluated: 16 bytes, passed by value. Strings carry their hash; objects and sets are one kind of
 * map with an index of hashes and are put into OPA's order only when somebody looks at the order.
 *
 * Values live in a heap (struct rg_heap) and die with it; what is reachable from a shared value (data, constants) is
 * "settled": sorted and indexed, never written again.
 *
 * Memory: rg_new answers always; over the budget it sets heap->is_over, and the evaluator stops at its next step. rg_try,
 * for what a policy can make large, answers NULL then. Constructors of strings, arrays and maps give an empty value instead.
 */
#pragma once

#include "base/buf.h"
#include "base/value.h"

/* The order is OPA's. DOC is a document of data that is not put together yet (vm_priv.h); no builtin ever sees one. */
enum rg_tag { RG_UNDEF, RG_NULL, RG_BOOL, RG_INT, RG_BIG, RG_STR, RG_ARRAY, RG_OBJECT, RG_SET, RG_DOC };

struct rg_str {
    uint32_t len;
    uint32_t hash;
    char text[]; /* ends in NUL */
};

/* A number that is no int64: its literal, of JSON's grammar. */
struct rg_big {
    uint32_t len;
    uint32_t is_int; /* no fraction, no exponent */
    char text[];
};

struct rg_val {
    uint8_t tag; /* enum rg_tag */
    uint8_t spare[3];
    uint32_t hash; /* of a string; else 0 */
    union {
        bool boolean;
        int64_t integer;
        const struct rg_big *big;
        const struct rg_str *str;
        struct rg_arr *arr;
        struct rg_map *map; /* object, set */
        const struct rg_doc *doc;
    };
};

/*
 * How much a container holds when all that is shared in it is counted each time, and how deep it is: both are bounded, or
 * a few rules that hold one another twice would be a value that nobody can print or compare.
 */
#define RG_WEIGHT_MAX (UINT32_C(1) << 27)

struct rg_arr {
    uint32_t len, cap;
    uint32_t weight, depth;
    uint32_t hash; /* once it was asked for; else 0 */
    struct rg_val *items;
};

struct rg_heap;
struct rg_map {
    struct rg_heap *heap; /* that it lives in */
    uint32_t len, cap;
    uint32_t weight, depth;
    uint32_t hash; /* as of arrays */
    uint32_t mask;      /* of index, when there is one */
    bool is_sorted;
    bool is_partial;    /* made by a partial rule, which may still add to it */
    struct rg_val *keys;
    struct rg_val *vals; /* NULL in a set */
    uint32_t *index;     /* position + 1 by hash; NULL while small */
};

/* ---- memory ---- */
struct rg_heap;
#define RG_SMALL 65536 /* rg_new is for less than this */
struct rg_heap *rg_heap_new(size_t budget); /* NULL without memory; budget 0: none */
void rg_heap_free(struct rg_heap *heap);
void rg_heap_reset(struct rg_heap *heap, size_t budget); /* keeps the first chunks */
void rg_heap_refuse(struct rg_heap *heap, const char *why); /* as if the budget were used up */
const char *rg_heap_why(const struct rg_heap *heap);         /* NULL: the budget */
void rg_heap_charge(struct rg_heap *heap, size_t n); /* what something beside it costs: off the budget until reset */
struct mln_buf rg_buf(const struct rg_heap *heap);           /* may grow to what the budget leaves */
bool rg_heap_is_over(const struct rg_heap *heap);
size_t rg_heap_used(const struct rg_heap *heap);
size_t rg_heap_held(const struct rg_heap *heap); /* with what is free inside */
void *rg_new(struct rg_heap *heap, size_t n);    /* not zeroed, 8-byte aligned */
void *rg_try(struct rg_heap *heap, size_t n);    /* NULL over the budget */
char *rg_text_dup(struct rg_heap *heap, struct mln_bytes text);
char *rg_text_format(struct rg_heap *heap, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- making ---- */
#define RG_NONE ((struct rg_val){0})
static inline struct rg_val rg_null(void)
{
    return (struct rg_val){.tag = RG_NULL};
}
static inline struct rg_val rg_bool(bool b)
{
    return (struct rg_val){.tag = RG_BOOL, .integer = b};
}
static inline struct rg_val rg_int(int64_t i)
{
    return (struct rg_val){.tag = RG_INT, .integer = i};
}
struct rg_val rg_string(struct rg_heap *heap, struct mln_bytes text); /* copies */
struct rg_val rg_text(struct rg_heap *heap, const char *text);        /* copies */
struct rg_val rg_string_of(struct rg_str *str);                       /* hashes what was just filled */
struct rg_str *rg_str_new(struct rg_heap *heap, size_t len);          /* to be filled; NULL over the budget */
struct rg_val rg_string_buf(struct rg_heap *heap, struct mln_buf *buf); /* copies and drops buf */
struct rg_val rg_array(struct rg_heap *heap, uint32_t cap);
void rg_weigh(struct rg_heap *heap, struct rg_val container, struct rg_val item); /* count it in */
void rg_push(struct rg_heap *heap, struct rg_val array, struct rg_val item);
struct rg_val rg_object(struct rg_heap *heap, uint32_t cap);
struct rg_val rg_set(struct rg_heap *heap, uint32_t cap);
/* Replaces. For a set, val is ignored. */
void rg_put(struct rg_heap *heap, struct rg_val map, struct rg_val key, struct rg_val val);
void rg_put_text(struct rg_heap *heap, struct rg_val object, const char *key, struct rg_val val);
void rg_add(struct rg_heap *heap, struct rg_val set, struct rg_val item);

/* ---- reading ---- */
/* Texts of strings begin at a multiple of 8 and their last word is filled with zeros, so whole words are compared. */
static inline bool rg_same_text(const struct rg_str *a, const struct rg_str *b)
{
    for (uint32_t i = 0; i < a->len; i += 8) {
        uint64_t x, y;
        __builtin_memcpy(&x, a->text + i, 8);
        __builtin_memcpy(&y, b->text + i, 8);
        if (x != y) {
            return false;
        }
    }
    return true;
}
static inline bool rg_same_string(struct rg_val a, struct rg_val b)
{
    return a.str == b.str || (a.hash == b.hash && a.str->len == b.str->len && rg_same_text(a.str, b.str));
}
static inline struct mln_bytes rg_bytes(struct rg_val v)
{
    return mln_bytes_at(v.str->text, v.str->len);
}
static inline bool rg_is_number(struct rg_val v)
{
    return v.tag == RG_INT || v.tag == RG_BIG;
}
static inline bool rg_is_true(struct rg_val v) /* what a body goes on with */
{
    return v.tag != RG_UNDEF && !(v.tag == RG_BOOL && v.integer == 0);
}
size_t rg_len(struct rg_val v); /* items; code points of a string; else 0 */
/* The value under a key, undefined when absent. Arrays take integers; a set's member gives itself. */
struct rg_val rg_get(struct rg_val from, struct rg_val key);
struct rg_val rg_map_find(const struct rg_map *map, struct rg_val key);
struct rg_val rg_get_text(struct rg_val object, const char *key);
bool rg_has(struct rg_val set_or_object, struct rg_val key);
struct rg_val rg_item(struct rg_val v, size_t i);   /* of an array */
struct rg_val rg_key_at(struct rg_val v, size_t i); /* of an object or set, in OPA's order */
struct rg_val rg_val_at(struct rg_val v, size_t i);
void rg_sort(struct rg_val map);      /* into OPA's order; once */
void rg_sort_here(struct rg_val map); /* the same in place: nobody is walking over it */
void rg_settle(struct rg_val v);   /* sort and index all that is reachable: from then on threads may share it */
struct rg_val rg_copy(struct rg_heap *heap, struct rg_val v); /* deep */

int rg_cmp(struct rg_val a, struct rg_val b); /* OPA's total order */
bool rg_eq(struct rg_val a, struct rg_val b);
uint32_t rg_hash(struct rg_val v);
uint32_t rg_hash_bytes(const void *p, size_t n);
void rg_sort_items(struct rg_val *items, size_t n);
const char *rg_type_name(struct rg_val v); /* "null" "boolean" "number" "string" "array" "object" "set" */

/* ---- numbers (num.c): an answer that is too large is undefined ---- */
struct rg_val rg_number(struct rg_heap *heap, struct mln_bytes literal); /* JSON's grammar, checked before */
struct rg_val rg_num_double(struct rg_heap *heap, double d);
double rg_num_to_double(struct rg_val v);
bool rg_num_int(struct rg_val v, int64_t *ret); /* an integer that fits, also 1.0 and 1e2 */
bool rg_num_is_int(struct rg_val v);            /* an integer by value */
int rg_num_cmp(struct rg_val a, struct rg_val b);
struct rg_val rg_num_add(struct rg_heap *heap, struct rg_val a, struct rg_val b);
struct rg_val rg_num_sub(struct rg_heap *heap, struct rg_val a, struct rg_val b);
struct rg_val rg_num_mul(struct rg_heap *heap, struct rg_val a, struct rg_val b);
struct rg_val rg_num_div(struct rg_heap *heap, struct rg_val a, struct rg_val b); /* b is not zero */
struct rg_val rg_num_rem(struct rg_heap *heap, struct rg_val a, struct rg_val b); /* both whole, b not zero; sign of a */
bool rg_num_is_multiple(struct rg_val v, struct rg_val of); /* exact, of fractions too; `of` not zero */
struct rg_val rg_num_abs(struct rg_heap *heap, struct rg_val v);
#define RG_NUM_EXPONENT_MAX 30102 /* 2^100,000, as in OPA: beyond it printing costs more than linear time */
bool rg_num_in_range(struct mln_bytes literal); /* of JSON's grammar */
/* Digits of a whole number to base 2, 8 or 16. False when it is none, or has too many. */
bool rg_num_radix(struct mln_buf *buf, struct rg_val v, unsigned base);
void rg_num_print_double(struct mln_buf *buf, double d); /* as Go's %v */
struct rg_val rg_num_round(struct rg_heap *heap, struct rg_val v, int how); /* -1 floor, 0 half away from zero, 1 ceil */
struct mln_bytes rg_num_text(struct rg_val v, char space[24]);

/* ---- text ---- */
void rg_add_rune(struct mln_buf *buf, uint32_t c); /* as UTF-8; c up to 0x10ffff, no surrogate */
/* JSON with arrays for sets; objects in OPA's order. */
void rg_print_json(struct mln_buf *buf, struct rg_val v);
void rg_print_rego(struct mln_buf *buf, struct rg_val v); /* as the language writes it: {"a"}, set() */
struct rg_val rg_json_parse(struct rg_heap *heap, struct mln_bytes text, const char **ret_error); /* undefined: *ret_error says why */
struct rg_val rg_from_value(struct rg_heap *heap, const struct mln_value *v);
struct mln_value *rg_to_value(struct mln_cx *cx, struct rg_val v);
