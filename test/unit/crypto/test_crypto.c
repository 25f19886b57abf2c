/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts of threads: many threads that come and go, keys that are really gone after
 * mln_crypto_forget, and calls that give the same answers on every thread.
 */
#include "kit/kit.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/crypto.h"
#include "crypto/crypto_priv.h"

/* What every thread computes: one of each kind. */
static void compute(uint8_t out[32])
{
    uint8_t key[32] = {1}, nonce[24] = {2}, box[36], all[36 * 3 + 64 + 32];
    mln_fill(all, 0, sizeof(all));
    struct mln_bytes plain = mln_bytes_at(key, 20);
    MLN_CHECK(!mln_failed(mln_aes_gcm_seal(NULL, key, nonce, plain, plain, box)));
    mln_copy(all, box, 36);
    MLN_CHECK(!mln_failed(mln_xaes_seal(NULL, key, nonce, plain, plain, box)));
    mln_copy(all + 36, box, 36);
    MLN_CHECK(!mln_failed(mln_chacha_seal(NULL, key, nonce, plain, plain, box)));
    mln_copy(all + 72, box, 36);
    mln_ed25519_sign(key, plain, all + 108);
    mln_hmac_sha256(plain, plain, all + 172);
    mln_sha256(mln_bytes_at(all, sizeof(all)), out);
}

static void *compute_thread(void *arg)
{
    compute(arg);
    return NULL;
}

static void test_threads(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t want[32];
    compute(want);
    for (size_t round = 0; round < 30; round++) {
        pthread_t threads[8];
        uint8_t out[8][32];
        for (size_t i = 0; i < 8; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, compute_thread, out[i]), 0);
        }
        for (size_t i = 0; i < 8; i++) {
            pthread_join(threads[i], NULL);
            kit_same(cx, mln_bytes_at(out[i], 32), mln_bytes_at(want, 32));
        }
    }
    mln_crypto_forget(); /* walks the registry: threads that ended are not in it */
    uint8_t again[32];
    compute(again);
    kit_same(cx, mln_bytes_at(again, 32), mln_bytes_at(want, 32));
}

/* The thread's own structure holds copies of keys while they are cached, and none afterwards. */
static bool holds(const struct crypto_thread *t, const uint8_t *key)
{
    MLN_CHECK(t != NULL);
    return memmem(t, sizeof(*t), key, 32) != NULL;
}

static const struct crypto_thread *own_contexts(void)
{
    struct crypto_thread *t = crypto_enter();
    const struct crypto_thread *found = t;
    crypto_leave(&t);
    return found;
}

static void use_keys(struct mln_cx *cx, const uint8_t *gcm, const uint8_t *xaes, const uint8_t *ec,
                     const uint8_t *ed)
{
    uint8_t nonce[24] = {0}, box[20], signature[64];
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    kit_ok(cx, mln_aes_gcm_seal(cx, gcm, nonce, MLN_BYTES_NONE, MLN_BYTES("four"), box));
    kit_ok(cx, mln_xaes_seal(cx, xaes, nonce, MLN_BYTES_NONE, MLN_BYTES("four"), box));
    kit_ok(cx, mln_p256_sign_digest(cx, ec, ed, &sig));
    mln_ed25519_sign(ed, MLN_BYTES("four"), signature);
}

static void test_forget(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t gcm[32], xaes[32], ec[32], ed[32], point[65];
    mln_random(gcm, 32);
    mln_random(xaes, 32);
    mln_random(ed, 32);
    kit_ok(cx, mln_p256_generate(cx, ec, point));
    use_keys(cx, gcm, xaes, ec, ed);
    const struct crypto_thread *t = own_contexts();
    assert_true(holds(t, xaes) && holds(t, ec) && holds(t, ed));
    mln_crypto_forget();
    assert_false(holds(t, gcm) || holds(t, xaes) || holds(t, ec) || holds(t, ed));
    for (size_t i = 0; i < XAES_SLOTS; i++) {
        assert_null(t->xaes[i].ecb);
    }
    assert_null(t->gcm[0]);
    assert_null(t->gcm[1]);
    use_keys(cx, gcm, xaes, ec, ed);
    assert_true(holds(t, xaes));
}

/* A key that was derived for one call does not stay as a copy. */
static void test_derived_keys_are_not_kept(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t key[32] = {1}, nonce[24] = {3}, box[20];
    const struct crypto_thread *t = own_contexts();
    kit_ok(cx, mln_xaes_seal(cx, key, nonce, MLN_BYTES_NONE, MLN_BYTES("four"), box));
    assert_false(t->gcm_key[1].is_set);
    kit_ok(cx, mln_aes_gcm_seal(cx, key, nonce, MLN_BYTES_NONE, MLN_BYTES("four"), box));
    assert_true(t->gcm_key[1].is_set);
    kit_ok(cx, mln_xaes_seal(cx, key, nonce, MLN_BYTES_NONE, MLN_BYTES("four"), box));
    assert_false(t->gcm_key[1].is_set);
}

/* An error in one call leaves nothing in OpenSSL's queue that another would take for its own. */
static void test_errors_do_not_linger(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t scalar[32], point[65], digest[32] = {0};
    for (size_t i = 0; i < 3; i++) {
        kit_refused(cx,
                    mln_p256_from_pem(
                        cx,
                        MLN_BYTES("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----"),
                        scalar, point),
                    MLN_E_PARSE);
        kit_refused(
            cx,
            mln_ec_verify_digest(cx, MLN_BYTES("\x04xx"), mln_bytes_at(digest, 32), MLN_BYTES("x")),
            MLN_E_INVALID);
        kit_ok(cx, mln_p256_generate(cx, scalar, point));
        kit_refused(cx, mln_p256_verify_digest(cx, point, digest, MLN_BYTES("junk")), MLN_E_FORGED);
        assert_int_equal(ERR_peek_error(), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_threads),
        KIT_TEST(test_forget),
        KIT_TEST(test_derived_keys_are_not_kept),
        KIT_TEST(test_errors_do_not_linger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
