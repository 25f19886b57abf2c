/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cidr.h"

#include "base/text.h"

#include <arpa/inet.h>

#define ADDRESS_MAX 46u /* INET6_ADDRSTRLEN */

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool address_parse(struct mln_bytes text, struct mln_cidr *ret)
{
    char copy[ADDRESS_MAX] = "";
    uint8_t raw[16] = {0};
    if (text.len == 0 || text.len >= sizeof(copy) || mln_bytes_find(text, 0) < text.len) {
        return false;
    }
    mln_copy(copy, text.ptr, text.len);
    if (inet_pton(AF_INET, copy, raw) == 1) {
        ret->n = 4;
    } else if (inet_pton(AF_INET6, copy, raw) == 1) {
        ret->n = 16;
    } else {
        return false;
    }
    mln_copy(ret->address, raw, sizeof(raw));
    ret->bits = (uint8_t)(ret->n * 8);
    return true;
}

/* ::ffff:10.0.0.0/104 is 10.0.0.0/8. */
static void unmap(struct mln_cidr *block)
{
    if (block->n == 16 && block->bits >= 96 &&
        mln_bytes_eq(mln_bytes_at(block->address, 12), mln_bytes_at(mapped, 12))) {
        uint8_t v4[16] = {block->address[12], block->address[13], block->address[14], block->address[15]};
        mln_copy(block->address, v4, sizeof(v4));
        block->n = 4;
        block->bits = (uint8_t)(block->bits - 96);
    }
}

bool mln_cidr_parse(struct mln_bytes text, struct mln_cidr *ret)
{
    struct mln_cidr block = {.n = 0};
    struct mln_bytes after, address = mln_bytes_cut(text, '/', &after);
    uint64_t bits = 0;
    if (!address_parse(address, &block)) {
        return false;
    }
    if (address.len < text.len) {
        if (after.len > 3 || !mln_u64_parse(after, &bits) || bits > block.bits) {
            return false;
        }
        block.bits = (uint8_t)bits;
    }
    unmap(&block);
    *ret = block;
    return true;
}

/* The first `bits` of both are equal. */
static bool starts_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    size_t whole = bits / 8u;
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8u));
    return mln_bytes_eq(mln_bytes_at(a, whole), mln_bytes_at(b, whole)) &&
           (bits % 8u == 0 || (a[whole] & mask) == (b[whole] & mask));
}

bool mln_cidr_within(const struct mln_cidr *inner, const struct mln_cidr *outer)
{
    return inner->n == outer->n && inner->bits >= outer->bits && starts_equal(inner->address, outer->address, outer->bits);
}

bool mln_cidr_has(const struct mln_cidr *block, struct mln_bytes address)
{
    struct mln_cidr one = {.n = 0};
    if (!address_parse(address, &one)) {
        return false;
    }
    unmap(&one);
    return mln_cidr_within(&one, block);
}
