/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_cidr_parse, mln_cidr_has, mln_cidr_within. What parses is printed by inet_ntop and parsed again equal. */
#include "fuzz.h"

#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cidr block = {.n = 0}, again = {.n = 0};
    char address[64] = "", text[80] = "";
    if (!mln_cidr_parse(mln_bytes_at(data, size), &block)) {
        MLN_CHECK(block.n == 0);
        return 0;
    }
    MLN_CHECK(block.n == 4 || block.n == 16);
    MLN_CHECK(block.bits <= block.n * 8);
    MLN_CHECK(inet_ntop(block.n == 4 ? AF_INET : AF_INET6, block.address, address, sizeof(address)) != NULL);
    (void)snprintf(text, sizeof(text), "%s/%u", address, (unsigned)block.bits);
    MLN_CHECK(mln_cidr_parse(mln_bytes_of(text), &again));
    MLN_CHECK(mln_cidr_within(&block, &again) && mln_cidr_within(&again, &block));
    /* a mapped address is an IPv4 one, and no IPv4 address lies in a block of IPv6 */
    bool is_mapped = block.n == 16 && mln_bytes_starts(mln_bytes_of(address), MLN_BYTES("::ffff:")) && block.bits < 96;
    MLN_CHECK(mln_cidr_has(&block, mln_bytes_of(address)) || is_mapped);
    return 0;
}
