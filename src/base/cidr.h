/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of network addresses (RFC 4632, RFC 4291): "10.0.0.0/8", "2001:db8::/32"; an address alone is a block of one. */
#pragma once

#include "base/bytes.h"

struct mln_cidr {
    uint8_t address[16]; /* IPv4 in its first four bytes; bits beyond `bits` may be set as they were written */
    uint8_t n;           /* 4 or 16 bytes */
    uint8_t bits;
};

/* The whole text or false. No names, no zones, no ports; an IPv4-mapped IPv6 address is its IPv4 address. */
bool mln_cidr_parse(struct mln_bytes text, struct mln_cidr *ret);
/* Is `address` (a text without port) in the block? False for what is no address. */
bool mln_cidr_has(const struct mln_cidr *block, struct mln_bytes address);
/* Is all of `inner` in `outer`? */
bool mln_cidr_within(const struct mln_cidr *inner, const struct mln_cidr *outer);
