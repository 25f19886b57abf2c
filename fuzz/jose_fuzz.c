/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens and keys of others: what parses as a token has the three parts that it borrows from, what is read as a key verifies no
 * token that it did not sign.
 */
#include "base/json.h"
#include "crypto/jose_verify.h"
#include "fuzz.h"

static void try_token(struct mln_cx *cx, struct mln_bytes text)
{
    struct mln_jose_token token = {0};
    if (mln_failed(mln_jose_parse(cx, text, &token))) {
        MLN_CHECK(cx->text[0] != '\0' && token.signed_part.ptr == NULL);
        return;
    }
    MLN_CHECK(mln_type_of(token.header) == MLN_OBJECT && mln_type_of(token.claims) == MLN_OBJECT);
    MLN_CHECK(token.signed_part.ptr == text.ptr && token.signed_part.len < text.len);
    MLN_CHECK(mln_get(token.header, "crit") == NULL);
}

static void try_key(struct mln_cx *cx, struct mln_jose_public *key)
{
    uint8_t zeros[256] = {0};
    struct mln_jose_token token = {.signed_part = MLN_BYTES("a.b"), .signature = {zeros, sizeof(zeros)}};
    for (int alg = MLN_JOSE_RS256; alg <= MLN_JOSE_EDDSA; alg++) {
        token.alg = (enum mln_jose_alg)alg;
        mln_cx_clear(cx);
        MLN_CHECK(mln_failed(mln_jose_verify(cx, key, &token)));
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_bytes text = mln_bytes_at(data, size);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)4 << 20, false);
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *jwk = NULL;
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *pem = NULL;
    const struct mln_value *value = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    try_token(&cx, text);
    mln_cx_clear(&cx);
    if (!mln_failed(mln_json_parse(&cx, text, &value)) && !mln_failed(mln_jose_public_from_jwk(&cx, value, &jwk))) {
        try_key(&cx, jwk);
    }
    mln_cx_clear(&cx);
    if (!mln_failed(mln_jose_public_from_pem(&cx, text, &pem))) {
        try_key(&cx, pem);
    }
    return 0;
}
