/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_tpm_ek_parse, mln_tpm_ak_parse, mln_tpm_quote_parse, mln_tpm_verify. What parses as a key is one of its kind with the name
 * of these very bytes, and a credential can be made for it; a quote's parts lie within it; nothing verifies that this key did not sign.
 */
#include "crypto/tpm.h"
#include "fuzz.h"

static void check_key(struct mln_cx *cx, struct mln_bytes from, const struct mln_tpm_key *key)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(from, digest);
    MLN_CHECK(mln_same(key->name + 2, digest, sizeof(digest)));
    MLN_CHECK(!mln_failed(mln_akey_check_public(cx, key->kind, key->spki)));
}

static bool is_within(struct mln_bytes part, const uint8_t *data, size_t size)
{
    return part.len == 0 || (part.ptr >= data && part.ptr + part.len <= data + size);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    static const uint8_t secret[MLN_TPM_SECRET_BYTES] = {1};
    struct mln_bytes from = mln_bytes_at(data, size), blob, seed;
    struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    struct mln_cx cx;
    struct mln_tpm_key key;
    struct mln_tpm_quote quote;
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    if (!mln_failed(mln_tpm_ek_parse(&cx, from, &key))) {
        check_key(&cx, from, &key);
        MLN_CHECK(mln_failed(mln_tpm_credential(&cx, &key, key.name, secret, &blob, &seed)) || (blob.len == 68 && seed.len == 256));
    }
    mln_cx_clear(&cx);
    if (!mln_failed(mln_tpm_ak_parse(&cx, from, &key))) {
        check_key(&cx, from, &key);
        MLN_CHECK(mln_failed(mln_tpm_verify(&cx, &key, from, from)));
    }
    mln_cx_clear(&cx);
    if (!mln_failed(mln_tpm_quote_parse(&cx, from, &quote))) {
        MLN_CHECK(is_within(quote.extra, data, size) && is_within(quote.pcr_digest, data, size));
    }
    mln_cx_clear(&cx);
    key.kind = size % 2 == 0 ? MLN_AKEY_P256 : MLN_AKEY_RSA2048;
    key.spki = MLN_BYTES_NONE;
    MLN_CHECK(mln_failed(mln_tpm_verify(&cx, &key, MLN_BYTES("x"), from))); /* nobody's */
    mln_arena_free(arena);
    return 0;
}
