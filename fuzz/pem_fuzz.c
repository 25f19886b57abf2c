/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private keys in PEM and ECDSA signatures in DER: whatever is read as a key has a public half that
 * signs and verifies, whatever is read as a signature prints back as the same bytes.
 */
#include "crypto/crypto.h"
#include "fuzz.h"

static void try_key(struct mln_cx *cx, struct mln_bytes text)
{
    uint8_t scalar[32] = {0};
    uint8_t point[65];
    uint8_t again[65];
    uint8_t zero[32] = {0};
    struct mln_err err = mln_p256_from_pem(cx, text, scalar, point);
    if (mln_failed(err)) {
        MLN_CHECK(mln_same(scalar, zero, 32) && cx->text[0] != '\0');
        return;
    }
    MLN_CHECK(!mln_failed(mln_p256_public(cx, scalar, again)) && mln_same(point, again, 65));
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    MLN_CHECK(!mln_failed(mln_p256_sign_digest(cx, scalar, zero, &sig)));
    MLN_CHECK(!mln_failed(mln_p256_verify_digest(cx, point, zero, mln_buf_bytes(&sig))));
}

static void try_signature(struct mln_cx *cx, struct mln_bytes der)
{
    static const size_t halves[] = {32, 48, 66};
    for (size_t i = 0; i < MLN_COUNT(halves); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
        MLN_AUTO(mln_buf_drop) struct mln_buf again = {0};
        mln_cx_clear(cx);
        if (mln_failed(mln_ecdsa_der_to_raw(cx, der, halves[i], &raw))) {
            MLN_CHECK(raw.len == 0);
            continue;
        }
        MLN_CHECK(raw.len == 2 * halves[i]);
        MLN_CHECK(!mln_failed(mln_ecdsa_raw_to_der(cx, mln_buf_bytes(&raw), &again)));
        MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&again), der));
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    try_key(&cx, mln_bytes_at(data, size));
    try_signature(&cx, mln_bytes_at(data, size));
    return 0;
}
