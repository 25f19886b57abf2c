/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed checkpoints and verifier keys. Input: a key, NUL, a note. What opens is signed again by a key of the test and opens as the
 * same checkpoint; what is refused leaves the output alone and says why.
 */
#include "fuzz.h"
#include "ledger/tlog.h"

static const uint8_t seed[32] = {1, 2, 3, 4, 5, 6, 7, 8};

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)16 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_bytes note = MLN_BYTES_NONE;
    struct mln_bytes vkey = mln_bytes_cut(mln_bytes_at(data, size), 0, &note);
    struct mln_checkpoint c = {.size = 77};
    struct mln_err err = mln_checkpoint_open(&cx, note, vkey, &c);
    if (mln_failed(err)) {
        MLN_CHECK(c.size == 77 && cx.text[0] != '\0');
        MLN_CHECK(mln_is(err, MLN_E_PARSE) || mln_is(err, MLN_E_FORGED));
    } else {
        MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
        struct mln_checkpoint same = {0};
        const char *own = NULL;
        uint8_t key[32];
        MLN_CHECK(!mln_failed(mln_checkpoint_sign(&cx, &c, seed, &again)));
        mln_ed25519_public(seed, key);
        MLN_CHECK(!mln_failed(mln_vkey_make(&cx, mln_text_dup(&cx, c.origin), key, &own)));
        MLN_CHECK(!mln_failed(mln_checkpoint_open(&cx, mln_buf_bytes(&again), mln_bytes_of(own), &same)));
        MLN_CHECK(same.size == c.size && mln_same(same.root.b, c.root.b, sizeof(c.root.b)));
        MLN_CHECK(mln_bytes_eq(same.origin, c.origin));
    }
    mln_arena_free(arena);
    return 0;
}
