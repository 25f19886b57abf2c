/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CBOR (RFC 8949), the subset that values need, in its deterministic encoding: shortest lengths, definite lengths only.
 * Object order is kept (not sorted) unless asked. Text strings are UTF-8; byte strings carry MLN_VALUE_BYTES.
 * Private tags: 0x4d4c01 secret string, 0x4d4c02 set, 0x4d4c03 decimal (as text). It is the format of the rings and of the
 * store, so the reader is as strict as for strangers: anything else is refused.
 */
#pragma once

#include "base/value.h"

void mln_cbor_print(struct mln_buf *buf, const struct mln_value *v);
/* Members sorted by key bytes, so that equal values give equal bytes: for digests. */
void mln_cbor_print_sorted(struct mln_buf *buf, const struct mln_value *v);
/* Strings are borrowed from `bytes`. errors PARSE ("cbor: ... at byte N"), MEMORY */
struct mln_err mln_cbor_parse(struct mln_cx *cx, struct mln_bytes bytes, const struct mln_value **ret);
