/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: the statement of a model signature (mln_oms_verify_signature, mln_oms_verify). A
 * statement is read only when it is signed, so the input is signed here with a key of this run.
 */
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "fuzz.h"

#include "artifact/oms.h"

static struct mln_oms_signer signer;
static char private_pem[512];

/* One key for the run. */
static void make_signer(struct mln_cx *cx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_mem());
    MLN_CHECK(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
    int n = BIO_read(bio, private_pem, sizeof(private_pem));
    struct mln_err err = mln_oms_signer_from_pem(cx, mln_bytes_at(private_pem, (size_t)n), &signer);
    MLN_CHECK(!mln_failed(err));
    BIO_free(bio);
    EVP_PKEY_free(key);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    static struct mln_arena *key_arena;
    struct mln_arena *arena = mln_arena_new((size_t)32 << 20, false);
    struct mln_cx cx;
    if (key_arena == NULL) {
        key_arena = mln_arena_new((size_t)1 << 20, false);
        mln_cx_init(&cx, key_arena);
        make_signer(&cx);
    }
    mln_cx_init(&cx, arena);
    struct mln_buf bundle = {0};
    struct mln_err err = mln_oms_bundle(&cx, mln_bytes_at(data, size), &signer, &bundle);
    if (!mln_failed(err)) {
        struct mln_oms_trust trust = {.public_pem = signer.public_pem};
        const struct mln_oms_options options = {.legacy = true, .allow_uncovered = true};
        const struct mln_value *who = NULL;
        uint8_t root[32];
        err = mln_oms_verify_signature(&cx, mln_buf_bytes(&bundle), &trust, true, root, &who);
        bool is_read = !mln_failed(err);
        mln_cx_clear(&cx);
        err = mln_oms_verify(&cx, "/dev/null", mln_buf_bytes(&bundle), &trust, &options, NULL);
        MLN_CHECK(mln_failed(err)); /* no model: never ok */
        MLN_CHECK(is_read == (who != NULL));
    }
    mln_buf_drop(&bundle);
    mln_arena_free(arena);
    return 0;
}
