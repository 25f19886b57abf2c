/* SPDX-License-Identifier: Apache-2.0 */
/* What writer and reader of dumps share: the members and tar's header (POSIX.1-2017, pax, "ustar Interchange Format"). */
#pragma once

#include "crypto/crypto.h"
#include "store/dump.h"

#define TAR_BLOCK      512u
#define ROW_HEAD       6u
#define SUMS_MAX       256u
#define SEALED_MAX     128u
#define SEALED_PREFIX  "hmac-sha256:"
#define DUMP_META      "meta.json"
#define DUMP_ROWS      "store.rows"
#define DUMP_SUMS      "SHA256SUMS"
#define DUMP_SEALED    "SHA256SUMS.sealed"

/* Eleven octal digits are what a plain header has: 8 GiB. */
#define TAR_SIZE_MAX ((uint64_t)0x1ffffffff)

static inline unsigned tar_sum(const uint8_t block[TAR_BLOCK])
{
    unsigned sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        sum += i >= 148 && i < 156 ? ' ' : block[i];
    }
    return sum;
}
