/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON text to values and back (RFC 8259, strict): duplicate keys, lone surrogates, bad UTF-8, bare control characters, NaN,
 * leading zeros, trailing commas and trailing text are refused, with the byte offset in the error.
 */
#pragma once

#include "base/value.h"

/*
 * text      whole document; strings without escapes are borrowed from it, so it must outlive the value
 * ret       in the arena of cx
 * errors    PARSE ("json: ... at byte N"), MEMORY
 */
struct mln_err mln_json_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret);
/* The same for newline-delimited documents is the caller's loop: *ret_used is where the next document begins. */
struct mln_err mln_json_parse_prefix(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret, size_t *ret_used);

enum mln_json_style {
    MLN_JSON_COMPACT = 0,
    MLN_JSON_PRETTY = 1,  /* two spaces, ": ", one member a line */
    MLN_JSON_SORTED = 2,  /* members by key bytes: for digests and for comparing */
    MLN_JSON_HIDE = 4,    /* strings marked secret print as "(hidden)" */
    MLN_JSON_HTML = 8,    /* also escape < > & U+2028 U+2029 as Go's encoder does */
};
/* Append to buf; sets print as arrays, byte strings as base64. Failures stick to buf. */
void mln_json_print(struct mln_buf *buf, const struct mln_value *v, unsigned style);
/* Append one JSON string with its quotes. */
void mln_json_print_string(struct mln_buf *buf, struct mln_bytes text, unsigned style);
