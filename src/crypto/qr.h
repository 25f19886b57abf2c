/* SPDX-License-Identifier: Apache-2.0 */
/* A text as QR code in a PNG: how a key for one-time passwords gets into a telephone. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define MLN_QR_SIDE_MAX 4096u /* pixels a side: 2 MiB before compression */
/*
 * A PNG, at least side_px a side, of the text, appended to png, which must be marked secret.
 * errors INVALID: too long for a code; MEMORY
 */
struct mln_err mln_qr_png(struct mln_cx *cx, const char *text, size_t side_px, struct mln_buf *png);
