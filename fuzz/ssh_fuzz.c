/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH keys: a public line that is read prints back as itself; a private key that is read prints as a text that reads as the same
 * key, and its public half reads.
 */
#include "base/text.h"
#include "crypto/ssh.h"
#include "fuzz.h"

static void try_public(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_ssh_key key, again;
    if (mln_failed(mln_ssh_public_parse(cx, text, &key))) {
        MLN_CHECK(cx->text[0] != '\0');
        return;
    }
    const char *printed = mln_ssh_public_text(cx, key.blob);
    MLN_CHECK(!mln_failed(mln_ssh_public_parse(cx, mln_bytes_of(printed), &again)));
    MLN_CHECK(key.kind == again.kind && key.bits == again.bits && mln_bytes_eq(key.blob, again.blob));
    MLN_CHECK(!mln_failed(mln_ssh_blob_parse(cx, key.blob, &again)));
}

static void try_private(struct mln_cx *cx, struct mln_bytes text)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true}, printed = {.is_secret = true}, again = {.is_secret = true};
    struct mln_ssh_key key;
    mln_cx_clear(cx);
    if (mln_failed(mln_ssh_private_parse(cx, text, &der))) {
        return;
    }
    MLN_CHECK(!mln_failed(mln_ssh_public_of(cx, mln_buf_bytes(&der), &key)));
    MLN_CHECK(!mln_failed(mln_ssh_private_print(cx, mln_buf_bytes(&der), &printed)));
    MLN_CHECK(!mln_failed(mln_ssh_private_parse(cx, mln_buf_bytes(&printed), &again)));
    MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&der), mln_buf_bytes(&again)));
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new(4u << 20, false);
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    try_public(&cx, mln_bytes_at(data, size));
    try_private(&cx, mln_bytes_at(data, size));
    mln_arena_free(arena);
    return 0;
}
