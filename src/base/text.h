/* SPDX-License-Identifier: Apache-2.0 */
/* Text: encodings, numbers, durations, sizes, time stamps, UTF-8. Parsers take the whole view or refuse. */
#pragma once

#include "base/value.h"

bool mln_utf8_valid(struct mln_bytes text);

/* Encodings append to buf; decoders are strict (canonical, no white space) and append too. */
enum mln_b64 { MLN_B64_STD, MLN_B64_STD_RAW /* no padding */, MLN_B64_URL, MLN_B64_URL_RAW };
void mln_base64_print(struct mln_buf *buf, struct mln_bytes bytes, enum mln_b64 kind);
/* errors PARSE with `ret_at` as Go's "illegal base64 data at input byte N" when cx has room */
struct mln_err mln_base64_parse(struct mln_cx *cx, struct mln_bytes text, enum mln_b64 kind, struct mln_buf *buf);
void mln_hex_print(struct mln_buf *buf, struct mln_bytes bytes);
struct mln_err mln_hex_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *buf);
void mln_percent_print(struct mln_buf *buf, struct mln_bytes bytes);                           /* RFC 3986 unreserved stay, "/" too */
struct mln_err mln_percent_parse(struct mln_cx *cx, struct mln_bytes text, bool plus_is_space, struct mln_buf *buf); /* "%00" refused */
/* Arena forms for handlers. */
const char *mln_base64_text(struct mln_cx *cx, struct mln_bytes bytes, enum mln_b64 kind);
const char *mln_hex_text(struct mln_cx *cx, struct mln_bytes bytes);

/* Whole view, no sign for u64, no overflow; false otherwise and *ret untouched. */
bool mln_u64_parse(struct mln_bytes text, uint64_t *ret);
bool mln_i64_parse(struct mln_bytes text, int64_t *ret);
bool mln_double_parse(struct mln_bytes text, double *ret); /* JSON grammar, finite, locale-free */
/* "90", "30m", "1h30m", "7d", "1.5h": seconds; as Vault reads durations. */
bool mln_duration_parse(struct mln_bytes text, int64_t *ret_s);
/* Seconds as Go prints them: "0s", "1h0m0s", "768h0m0s". */
const char *mln_duration_text(struct mln_cx *cx, int64_t s);
/* "25 MB"-like sizes: "64K", "1MiB", plain bytes. */
bool mln_size_parse(struct mln_bytes text, uint64_t *ret_bytes);
const char *mln_size_text(struct mln_cx *cx, uint64_t bytes); /* "1.5 MiB" */

/* RFC 3339 in UTC. `ns` since 1970. digits 0..9 of the fraction. */
const char *mln_time_text(struct mln_cx *cx, int64_t ns, int digits);
const char *mln_time_text_go(struct mln_cx *cx, int64_t ns); /* nanoseconds with trailing zeros cut, as Go's RFC3339Nano */
bool mln_time_parse(struct mln_bytes text, int64_t *ret_ns);
