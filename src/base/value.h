/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one data model: null, bool, number, string, array, object, set. JSON, YAML, CBOR and protobuf become values at the
 * edge; requests, answers, configuration and evidence are values everywhere else.
 *
 * Values live in the arena of the context that built them. A value is built with mln_push / mln_put* and is not changed
 * after it was handed on. Constructors never return NULL: when the arena is exhausted they record MLN_E_MEMORY on cx and
 * return a shared null, so code builds straight on and asks mln_cx_err(cx) once at the end.
 * Getters accept NULL and wrong types and answer with the default, so that `mln_get_text(mln_get(v, "a"), "x")` is safe.
 *
 * Numbers: 64-bit integers are exact (MLN_INT); every other decimal keeps its text (MLN_DECIMAL, canonical JSON spelling),
 * so nothing is lost between reading and writing. Objects keep insertion order and reject duplicate keys at the edge;
 * mln_put replaces. Sets are sorted and unique (mln_value_cmp). Strings are bytes; strings from JSON and YAML are UTF-8.
 */
#pragma once

#include "base/buf.h"

enum mln_type { MLN_NULL, MLN_BOOL, MLN_INT, MLN_DECIMAL, MLN_STRING, MLN_ARRAY, MLN_OBJECT, MLN_SET };

enum mln_value_flags {
    MLN_VALUE_SECRET = 1, /* a string that must not be logged or shown; survives CBOR */
    MLN_VALUE_BYTES = 2,  /* a string that is not text: CBOR byte string, base64 in JSON */
};

struct mln_member;

struct mln_value {
    uint8_t type;  /* enum mln_type */
    uint8_t flags; /* enum mln_value_flags */
    uint16_t spare;
    uint32_t len; /* bytes of a string or decimal; items of an array, object or set */
    union {
        bool boolean;
        int64_t integer;
        const uint8_t *text;       /* string, decimal */
        struct mln_value *items;   /* array, set: private, use mln_item */
        struct mln_member *members; /* object: private, use mln_member_at */
    };
};

struct mln_member {
    struct mln_bytes key;
    struct mln_value value;
};

#define MLN_VALUE_DEPTH_MAX 64            /* nesting: parsers recurse with a depth argument; deeper is MLN_E_PARSE */
#define MLN_VALUE_ITEMS_MAX (16u << 20)   /* items of one container */
#define MLN_DECIMAL_DIGITS_MAX 4096       /* longer number literals are refused: cost of arithmetic on them */

/* ---- building ---- */
struct mln_value *mln_null(struct mln_cx *cx);
struct mln_value *mln_bool(struct mln_cx *cx, bool b);
struct mln_value *mln_int(struct mln_cx *cx, int64_t i);
struct mln_value *mln_double(struct mln_cx *cx, double d); /* shortest text that reads back equal; NaN and infinities become null */
struct mln_value *mln_decimal(struct mln_cx *cx, struct mln_bytes literal); /* borrowed literal, JSON grammar, checked */
struct mln_value *mln_string(struct mln_cx *cx, struct mln_bytes text);     /* borrows: text must outlive the value */
struct mln_value *mln_string_dup(struct mln_cx *cx, struct mln_bytes text);
struct mln_value *mln_text(struct mln_cx *cx, const char *text); /* borrows a NUL-ended text; NULL gives null */
struct mln_value *mln_textf(struct mln_cx *cx, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct mln_value *mln_secret_string(struct mln_cx *cx, struct mln_bytes text); /* borrows; marked secret */
struct mln_value *mln_blob(struct mln_cx *cx, struct mln_bytes bytes);         /* borrows; marked bytes */
struct mln_value *mln_array(struct mln_cx *cx);
struct mln_value *mln_object(struct mln_cx *cx);
struct mln_value *mln_set(struct mln_cx *cx);

/* Append to an array, insert into a set (equal items once). The item is copied shallowly: 16 bytes. */
void mln_push(struct mln_cx *cx, struct mln_value *array, const struct mln_value *item);
void mln_push_text(struct mln_cx *cx, struct mln_value *array, const char *text);
/* Set a member (replacing one of the same key, in its place). Keys are borrowed; use a literal or arena text. */
void mln_put(struct mln_cx *cx, struct mln_value *object, const char *key, const struct mln_value *value);
void mln_put_key(struct mln_cx *cx, struct mln_value *object, struct mln_bytes key, const struct mln_value *value);
void mln_put_text(struct mln_cx *cx, struct mln_value *object, const char *key, const char *text);
void mln_put_bytes(struct mln_cx *cx, struct mln_value *object, const char *key, struct mln_bytes text);
void mln_put_int(struct mln_cx *cx, struct mln_value *object, const char *key, int64_t i);
void mln_put_bool(struct mln_cx *cx, struct mln_value *object, const char *key, bool b);
void mln_put_null(struct mln_cx *cx, struct mln_value *object, const char *key);
/* Remove a member if there; keeps the order of the others. */
void mln_remove(struct mln_value *object, struct mln_bytes key);

/* ---- reading ---- */
enum mln_type mln_type_of(const struct mln_value *v); /* NULL reads as MLN_NULL */
const char *mln_type_name(enum mln_type type);
bool mln_is_null(const struct mln_value *v); /* also NULL */
size_t mln_len(const struct mln_value *v);   /* items of a container, bytes of a string, else 0 */
const struct mln_value *mln_item(const struct mln_value *v, size_t i); /* array or set; NULL outside */
const struct mln_member *mln_member_at(const struct mln_value *v, size_t i);
const struct mln_value *mln_get(const struct mln_value *object, const char *key); /* NULL when absent */
const struct mln_value *mln_get_key(const struct mln_value *object, struct mln_bytes key);
bool mln_get_bool(const struct mln_value *v, bool otherwise);
int64_t mln_get_int(const struct mln_value *v, int64_t otherwise);     /* integers only */
double mln_get_double(const struct mln_value *v, double otherwise);    /* any number */
struct mln_bytes mln_get_bytes(const struct mln_value *v);             /* string; none otherwise */
bool mln_is_text(const struct mln_value *v, const char *text);
/* A NUL-ended copy of a string in the arena of cx; `otherwise` (borrowed) when it is no string or has a NUL inside. */
const char *mln_get_text(struct mln_cx *cx, const struct mln_value *v, const char *otherwise);

/* Total order: type (null < bool < number < string < array < object < set), then content; as OPA orders values. */
int mln_value_cmp(const struct mln_value *a, const struct mln_value *b);
bool mln_value_eq(const struct mln_value *a, const struct mln_value *b); /* objects: regardless of order */
/* A deep copy into the arena of cx: strings and keys are copied too. */
struct mln_value *mln_value_dup(struct mln_cx *cx, const struct mln_value *v);
