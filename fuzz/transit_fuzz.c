/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What strangers give the transit engine besides JSON: wrapped texts, PEM, PKCS #8 and bare private keys, wrapped keys, backups.
 * What is read prints back equal or signs and verifies; what is refused leaves nothing behind and says why.
 */
#include "base/clock.h"
#include "base/text.h"
#include "engine/transit_priv.h"
#include "fuzz.h"

static void try_text(struct mln_cx *cx, struct mln_bytes in)
{
    int64_t version = 0;
    struct mln_bytes payload = MLN_BYTES_NONE;
    mln_cx_clear(cx);
    if (mln_failed(transit_split(cx, "ciphertext", in, &version, &payload))) {
        MLN_CHECK(version == 0 && payload.len == 0 && cx->text[0] != '\0');
        return;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf bytes = {0};
    MLN_CHECK(version > 0);
    if (!mln_failed(mln_base64_parse(cx, payload, MLN_B64_STD, &bytes))) {
        const struct mln_value *again =
            transit_wrap_text(cx, version, mln_buf_bytes(&bytes), false);
        MLN_CHECK(mln_bytes_eq(mln_get_bytes(again), in));
    }
}

static void try_pem(struct mln_cx *cx, struct mln_bytes in)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
    mln_cx_clear(cx);
    if (mln_failed(mln_pem_read(cx, "PUBLIC KEY", in, &der))) {
        return;
    }
    MLN_CHECK(!mln_failed(mln_pem_print(cx, "PUBLIC KEY", mln_buf_bytes(&der), &pem)));
    MLN_CHECK(!mln_failed(mln_pem_read(cx, "PUBLIC KEY", mln_buf_bytes(&pem), &again)));
    MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&der), mln_buf_bytes(&again)));
    struct transit_version v = {0};
    (void)mln_failed(transit_take_public(cx, TRANSIT_P256, in, &v));
    mln_cx_clear(cx);
    (void)mln_failed(transit_take_public(cx, TRANSIT_ED25519, in, &v));
}

/* A key that was taken signs what its public half verifies. */
static void try_key(struct mln_cx *cx, struct mln_bytes in, bool is_bare)
{
    struct transit_version v = {0};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256};
    uint8_t digest[32] = {1};
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    mln_cx_clear(cx);
    if (mln_failed(transit_take(cx, TRANSIT_P256, in, is_bare, &v))) {
        MLN_CHECK(v.key.len == 0 && v.public.len == 0);
        return;
    }
    struct mln_bytes sum = mln_bytes_at(digest, sizeof(digest));
    MLN_CHECK(!mln_failed(mln_akey_sign(cx, MLN_AKEY_P256, v.key, &how, sum, &sig)));
    MLN_CHECK(
        !mln_failed(mln_akey_verify(cx, MLN_AKEY_P256, v.public, &how, sum, mln_buf_bytes(&sig))));
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new((size_t)8 << 20, false);
    struct mln_bytes in = mln_bytes_at(data, size);
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    const uint8_t key[32] = {0};
    const struct mln_value *backup = NULL;
    struct transit_version v = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    try_text(&cx, in);
    try_pem(&cx, in);
    try_key(&cx, in, false);
    try_key(&cx, in, true);
    mln_cx_clear(&cx);
    (void)mln_failed(transit_take(&cx, TRANSIT_ED25519, in, false, &v));
    mln_cx_clear(&cx);
    MLN_CHECK(mln_failed(mln_aes_kwp_open(&cx, key, in, &plain)) == (plain.len == 0));
    mln_cx_clear(&cx);
    MLN_CHECK(mln_failed(transit_backup_parse(&cx, in, &backup)) == (backup == NULL));
    mln_arena_free(arena);
    return 0;
}
