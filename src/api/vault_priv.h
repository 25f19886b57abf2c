/* SPDX-License-Identifier: Apache-2.0 */
/* Shared inside the api room: forms (form.c) and answers (vault_answer.c). */
#pragma once

#include "net/front.h"

/*
 * Percent-decoded text: borrowed when there is nothing to decode, else in the arena. errors INVALID
 */
struct mln_err mln_api_decode(struct mln_cx *cx, struct mln_bytes raw, bool plus_is_space,
                              struct mln_bytes *ret);

enum mln_api_repeat {
    MLN_API_ARRAY,
    MLN_API_JOIN
}; /* what a repeated key becomes: an array, or values joined by commas */
#define MLN_API_PAIRS_MAX 1024u
/* "a=b&c=d" as an object of strings. errors INVALID, TOO_LARGE */
struct mln_err mln_api_form(struct mln_cx *cx, struct mln_bytes text, enum mln_api_repeat repeat,
                            struct mln_value **ret);

struct mln_err mln_vault_answer(struct mln_cx *cx, const struct mln_value *answer,
                                struct mln_http_answer *ret, struct mln_buf *body);
void mln_vault_fault(struct mln_cx *cx, struct mln_err err, struct mln_http_answer *ret,
                     struct mln_buf *body);
