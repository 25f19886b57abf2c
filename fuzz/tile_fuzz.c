/* SPDX-License-Identifier: Apache-2.0 */
/* Names of tiles: a tile has one name, so what is accepted prints back as the very same text. */
#include "fuzz.h"
#include "ledger/tlog.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_bytes path = mln_bytes_at(data, size);
    int level = 77;
    uint64_t n = 77;
    unsigned width = 77;
    if (mln_tlog_tile_parse(path, &level, &n, &width)) {
        MLN_CHECK(mln_bytes_is(path, mln_tlog_tile_path(&cx, level, n, width)));
    } else {
        MLN_CHECK(level == 77 && n == 77 && width == 77);
    }
    mln_arena_free(arena);
    return 0;
}
