/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mig_glob, mig_same. Input: a pattern, a NUL, a path. A pattern without signs fits itself and what is below;
 * "**" fits all; what fits also fits with more below. Sameness of a JSON document with itself and with nothing.
 */
#include "fuzz.h"

#include "base/json.h"
#include "cli/migrate_priv.h"

static void same(struct mln_bytes text)
{
    struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    struct mln_cx cx;
    const struct mln_value *v = NULL;
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    if (!mln_failed(mln_json_parse(&cx, text, &v))) {
        MLN_CHECK(mig_same(v, v));
        MLN_CHECK(mig_same(v, NULL) == mig_same(NULL, v));
    }
    mln_arena_free(arena);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_bytes path, pattern = mln_bytes_cut(mln_bytes_at(data, size > 512 ? 512 : size), 0, &path);
    bool is_fit = mig_glob(pattern, path);
    bool is_plain = mln_bytes_find(pattern, '*') == pattern.len && mln_bytes_find(pattern, '?') == pattern.len;
    MLN_CHECK(mig_glob(MLN_BYTES("**"), path));
    MLN_CHECK(!is_plain || mig_glob(pattern, pattern));
    MLN_CHECK(!is_plain || is_fit == (mln_bytes_starts(path, pattern) &&
                                      (path.len == pattern.len || path.ptr[pattern.len] == '/')));
    same(mln_bytes_at(data, size > 4096 ? 4096 : size));
    return 0;
}
