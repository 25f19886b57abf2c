/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pickle machine between its files: values, stack, memo (pickle_value.c), opcodes (pickle_run.c), names and calls
 * (pickle_call.c, pickle_allow.c). It does what Python's unpickler does, but a call yields an object that only remembers who was
 * called; so it always ends, in time linear to the input.
 */
#pragma once

#include "artifact/scan.h"

#define PK_STACK_MAX                                                                               \
    ((size_t)16 << 20) /* values at once: 256 MiB; honest files stay below thousands */
#define PK_MEMO_MAX   ((size_t)16 << 20) /* numbered in order: 256 MiB */
#define PK_SPARSE_MAX ((size_t)1 << 16)  /* memo numbers out of order, which no pickler writes */
#define PK_GAP_MAX    1024u              /* numbers that a pickler may leave out in order */
#define PK_KEPT_MAX   64u                /* members of one container that are remembered */
#define PK_NEST_MAX   8u                 /* pickles that wrappers read from inside a pickle */
#define PK_NAME_MAX   512u               /* module or name; longer ones are cut in findings */

enum pk_type {
    PK_MARK,
    PK_NONE,
    PK_BOOL,
    PK_INT,     /* fits 64 bits: number */
    PK_BIG_INT, /* little-endian two's complement in text; empty when written in decimals */
    PK_FLOAT,
    PK_STR,
    PK_BYTES,
    PK_TUPLE,
    PK_LIST,
    PK_DICT,
    PK_SET,
    PK_GLOBAL,
    PK_OBJECT, /* what a call gave */
    PK_PERSID,
    PK_UNKNOWN,
};

struct pk_node;

struct pk_value {
    uint8_t type; /* enum pk_type */
    uint8_t spare[3];
    uint32_t len; /* of text, of kept items */
    union {
        int64_t number;
        const uint8_t *text;
        struct pk_node *node; /* container, global, object, persistent id */
    };
};
static_assert(sizeof(struct pk_value) == 16);

/* How a (module, name) is judged. */
enum pk_rating { PK_UNLISTED, PK_ALLOWED, PK_DANGEROUS };

/* What more a listed callable needs looked at. */
enum pk_rule {
    PK_RULE_NONE,
    PK_RULE_CODEC,   /* _codecs.encode: only codecs that are plain */
    PK_RULE_NESTED,  /* bytes that are a model of their own */
    PK_RULE_DTYPE,   /* numpy.dtype: size of an item is remembered */
    PK_RULE_WRAPPER, /* joblib's array wrapper: raw bytes follow its state */
    PK_RULE_OTHER,   /* joblib's older wrapper: names another file */
};

struct pk_node {
    uint64_t at; /* where it was made */
    union {
        struct {
            struct pk_value
                *items; /* of a container: kept ones; of a dict key, value, key, value */
            uint64_t n; /* in all */
        };
        struct {
            struct mln_bytes module, name;
            enum pk_rating rating;
            enum pk_rule rule;
        };
        struct {
            struct pk_node *callable; /* NULL: a computed one */
            uint64_t item_bytes;      /* of a dtype; 0 = not known */
            bool has_object;          /* of a dtype */
        };
        struct pk_value id; /* of a persistent id */
    };
    uint32_t kept, cap;
};

struct pk_memo_slot {
    uint64_t key; /* + 1; 0 = free */
    struct pk_value value;
};

struct pk {
    struct mln_cx *cx;
    const struct mln_scan_input *input;
    struct mln_scan_report *report;
    struct mln_bytes map;
    size_t at;      /* of the next opcode */
    size_t op_at;   /* of the one that runs */
    const char *op; /* its name */
    bool allow_persid;
    bool is_dry;      /* a probe: stop at the first call */
    bool has_called;  /* something was called, or a dangerous name imported */
    bool has_stopped; /* STOP was reached */
    bool is_dead;     /* a loader would give up here */
    unsigned depth;
    struct pk_value *stack;
    size_t n_stack, cap_stack;
    struct pk_value *memo;
    size_t n_memo, cap_memo; /* memo[0..n_memo), PK_MARK = never put */
    size_t n_puts;           /* of them that were put */
    struct pk_memo_slot *sparse;
    size_t n_sparse, cap_sparse;
    struct pk_value result;
    size_t frame_end; /* of the running frame; 0 = none */
    uint64_t n_ops;
    uint64_t max_ops; /* of a probe; 0 = no limit */
    struct {
        uint64_t n_storages;
    } torch;
};

/* ---- pickle_value.c ---- */
void pk_drop(struct pk *pk);
/* All may end the machine (is_dead) with a finding; memory faults stand on cx. */
void pk_push(struct pk *pk, struct pk_value v);
struct pk_value pk_pop(struct pk *pk);
struct pk_value *pk_top(struct pk *pk); /* NULL when there is none above the last mark */
void pk_push_text(struct pk *pk, enum pk_type type, struct mln_bytes text);
void pk_push_int(struct pk *pk, int64_t number);
/* Items above the last mark, which goes as well; a view of the stack that holds until the next push. */
struct pk_value *pk_pop_mark(struct pk *pk, size_t *ret_n);
struct pk_node *pk_node(struct pk *pk); /* NULL: memory is out, the machine has ended */
struct pk_value pk_container(struct pk *pk, enum pk_type type, const struct pk_value *items,
                             size_t n);
void pk_add(struct pk *pk, struct pk_value *container, const struct pk_value *items, size_t n);
const struct pk_value *pk_dict_get(const struct pk_value *dict,
                                   const char *key); /* the last one kept; NULL */
void pk_memo_put(struct pk *pk, uint64_t key, struct pk_value v);
struct pk_value pk_memo_get(struct pk *pk, uint64_t key);
uint64_t pk_memo_count(const struct pk *pk);
/* Python's escapes of a protocol 0 string, raw-unicode-escape of a unicode line: as UTF-8 in the arena; borrowed without any. */
struct mln_bytes pk_unescape(struct pk *pk, struct mln_bytes line);
struct mln_bytes pk_raw_unicode(struct pk *pk, struct mln_bytes line);
struct mln_bytes pk_text(const struct pk_value *v); /* of a string; none otherwise */
/* What is wrong at the running opcode; the machine goes on when a loader might. */
void pk_wrong(struct pk *pk, const char *rule, const char *text);
void pk_die(struct pk *pk, const char *rule, const char *text);

/* ---- pickle_call.c ---- */
void pk_import(struct pk *pk, struct pk_value module, struct pk_value name);
void pk_call(struct pk *pk, struct pk_value callable, struct pk_value args, struct pk_value kwargs);
void pk_build(struct pk *pk, struct pk_value *inst, struct pk_value state);
void pk_persistent(struct pk *pk, struct pk_value id);
void pk_extension(struct pk *pk, uint64_t code);
/* Writing into something that is no plain container. */
void pk_touch(struct pk *pk, const struct pk_value *target);

/* ---- pickle_array.c ---- */
/* numpy.dtype("f8", ...): size of an item and whether it holds objects. */
void pk_dtype_made(struct pk_node *object, const struct pk_value *args);
void pk_dtype_state(struct pk *pk, struct pk_node *object, const struct pk_value *state);
/* joblib: raw bytes, or a pickle, lie behind the wrapper's state. */
void pk_wrapper_data(struct pk *pk, const struct pk_value *state);

/* ---- pickle_run.c ---- */
/* From pk->at to STOP, the end or what no loader passes. errors MEMORY */
struct mln_err pk_run(struct pk *pk);

/* ---- pickle_allow.c ---- */
enum pk_rating pk_rate(struct mln_bytes module, struct mln_bytes name, enum pk_rule *ret_rule);
bool pk_allow_sorted(void); /* for a test: the tables are in order */
