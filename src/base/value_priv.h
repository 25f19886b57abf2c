/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How containers lie in memory. An object's members stand behind a head:
 *
 *   | cap u32 | mask u32 | index * | member 0 | member 1 | ...
 *
 * index (objects of more than OBJECT_LINEAR_MAX members) is a hash table of mask + 1 positions + 1; 0 is free. It is
 * built by who adds members, so that readers never write and may share a value between threads.
 * Arrays and sets have room for 1 << spare items; spare 0 means exactly len.
 */
#pragma once

#include "base/value.h"

#define OBJECT_LINEAR_MAX 16 /* below, comparing lengths and bytes beats hashing */
#define DEPTH_HARD_MAX 80    /* a parsed document (MLN_VALUE_DEPTH_MAX) inside the envelopes of a request */

struct object_head {
    uint32_t cap;
    uint32_t mask;
    uint32_t *index;
};
static_assert(sizeof(struct object_head) == 16);
static_assert(sizeof(struct mln_value) == 16 && sizeof(struct mln_member) == 32);

static inline struct object_head *head_of(struct mln_member *members)
{
    return (struct object_head *)(void *)((uint8_t *)members - sizeof(struct object_head));
}

/* Room for n members (n > 0) behind a head; NULL with the fault on cx. */
struct mln_member *mln_members_new(struct mln_cx *cx, size_t n);
/*
 * Index the v->len members that a parser put in place; false when a key stands twice (its later position in *ret_twice)
 * or memory is out (*ret_twice = SIZE_MAX and the fault on cx).
 */
bool mln_members_seal(struct mln_cx *cx, struct mln_value *v, size_t *ret_twice);

/* A number from a literal of JSON's grammar: an integer where it fits, its text otherwise. False when it is none. */
bool mln_number_of(struct mln_value *to, struct mln_bytes literal);
/* Length of the number literal that `text` begins with, 0 when there is none; *ret_is_int without fraction and exponent. */
size_t mln_number_span(struct mln_bytes text, bool *ret_is_int);
/* Shortest text that reads back equal, by JSON's grammar; d is finite. Returns the length. */
size_t mln_double_print(char to[32], double d);
/* Order of two numbers by value, exactly. */
int mln_number_cmp(const struct mln_value *a, const struct mln_value *b);
/* Positions of the members of v sorted by key bytes: order[0..len), memory of the caller. */
void mln_members_sort(const struct mln_value *v, const struct mln_member **order);
