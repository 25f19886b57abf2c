/* SPDX-License-Identifier: Apache-2.0 */
/* gzip (RFC 1952) of whole texts: bundles, bodies of requests, answers, uploads. */
#pragma once

#include "base/buf.h"

#define MLN_GZIP_RATIO_MAX  200u               /* unpacked to packed; documents that repeat reach 50, bombs 1,030 */
#define MLN_GZIP_RATIO_FROM ((size_t)16 << 20) /* below, the ratio is not looked at: it hurts nobody */

/*
 * Appended to ret: one member and nothing behind it.
 * max      bytes that it may unpack to
 * errors   PARSE (no whole gzip data), TOO_LARGE (max, or the ratio), MEMORY
 */
struct mln_err mln_gzip_open(struct mln_cx *cx, struct mln_bytes packed, size_t max, struct mln_buf *ret);
/* Appended to ret; the same bytes for the same text. */
struct mln_err mln_gzip_make(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *ret);
