/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bech32 as age uses it: BIP 173 checksum, no length limit of 90, data regrouped from 5 to 8 bits
 * with zero padding. Source: BIP 173; C2SP age specification, "X25519 recipient stanza".
 */
#pragma once

#include "base/buf.h"

#define MLN_BECH32_MAX 1024 /* characters of a text that is read */

/* Append lower-case text of `data` under the human-readable part `hrp` (lower case). */
void mln_bech32_print(struct mln_buf *buf, const char *hrp, struct mln_bytes data);
/*
 * text      all lower or all upper case
 * hrp       lower case, must be the text's
 * buf       the data is appended
 * errors    PARSE; never echoes the text, which may be a secret key
 */
struct mln_err mln_bech32_parse(struct mln_cx *cx, struct mln_bytes text, const char *hrp,
                                struct mln_buf *buf);
