/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 8032 section 7.1, RFC 7748 sections 5.2 and 6.1, small orders, changed signatures. */
#include "kit/kit.h"

#include "crypto/crypto.h"

static const struct {
    const char *seed, *public_key, *message, *signature;
} rows[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46bd25bf5f0"
     "595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c387b2eae"
     "b4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "6594a7c15e9"
     "716ed28dc027beceea1ec40a"},
};

static void test_known(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t round = 0; round < 2; round++) { /* the second comes from the cache */
        for (size_t i = 0; i < MLN_COUNT(rows); i++) {
            struct mln_bytes message = kit_hex(cx, rows[i].message);
            const uint8_t *seed = kit_hex(cx, rows[i].seed).ptr;
            uint8_t public_key[32];
            uint8_t signature[64];
            mln_ed25519_public(seed, public_key);
            kit_same(cx, mln_bytes_at(public_key, 32), kit_hex(cx, rows[i].public_key));
            mln_ed25519_sign(seed, message, signature);
            kit_same(cx, mln_bytes_at(signature, 64), kit_hex(cx, rows[i].signature));
            kit_ok(cx, mln_ed25519_verify(cx, public_key, message, mln_bytes_at(signature, 64)));
        }
    }
}

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t seed[32] = {3};
    uint8_t key[32];
    uint8_t signature[65] = {0};
    mln_ed25519_public(seed, key);
    mln_ed25519_sign(seed, MLN_BYTES("x"), signature);
    kit_refused(cx, mln_ed25519_verify(cx, key, MLN_BYTES("y"), mln_bytes_at(signature, 64)),
                MLN_E_FORGED);
    kit_refused(cx, mln_ed25519_verify(cx, key, MLN_BYTES("x"), mln_bytes_at(signature, 63)),
                MLN_E_FORGED);
    kit_refused(cx, mln_ed25519_verify(cx, key, MLN_BYTES("x"), mln_bytes_at(signature, 65)),
                MLN_E_FORGED);
    kit_refused(cx, mln_ed25519_verify(cx, key, MLN_BYTES("x"), MLN_BYTES_NONE), MLN_E_FORGED);
    for (size_t bit = 0; bit < 512; bit++) {
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        kit_refused(cx, mln_ed25519_verify(cx, key, MLN_BYTES("x"), mln_bytes_at(signature, 64)),
                    MLN_E_FORGED);
        signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    uint8_t small[32] = {1}; /* the neutral element signs anything in lax verifiers */
    uint8_t forged[64] = {1};
    kit_refused(cx, mln_ed25519_verify(cx, small, MLN_BYTES("x"), mln_bytes_at(forged, 64)),
                MLN_E_FORGED);
}

static void test_x25519(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const uint8_t *scalar =
        kit_hex(cx, "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4").ptr;
    const uint8_t *point =
        kit_hex(cx, "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c").ptr;
    struct mln_bytes want =
        kit_hex(cx, "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    uint8_t out[32];
    kit_ok(cx, mln_x25519(cx, scalar, point, out));
    kit_same(cx, mln_bytes_at(out, 32), want);
    uint8_t a[32] = {1, 9}, b[32] = {2, 7};
    uint8_t pa[32], pb[32], ab[32], ba[32];
    mln_x25519_public(a, pa);
    mln_x25519_public(b, pb);
    kit_ok(cx, mln_x25519(cx, a, pb, ab));
    kit_ok(cx, mln_x25519(cx, b, pa, ba));
    kit_same(cx, mln_bytes_at(ab, 32), mln_bytes_at(ba, 32));
    uint8_t nine[32] = {9};
    kit_ok(cx, mln_x25519(cx, a, nine, out));
    kit_same(cx, mln_bytes_at(out, 32), mln_bytes_at(pa, 32));
    uint8_t low[3][32] = {{0}, {1}, {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae,
                                     0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
                                     0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd,
                                     0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00}};
    for (size_t i = 0; i < MLN_COUNT(low); i++) {
        kit_refused(cx, mln_x25519(cx, a, low[i], out), MLN_E_INVALID);
        uint8_t zero[32] = {0};
        assert_memory_equal(out, zero, 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_known), KIT_TEST(test_refused),
                                       KIT_TEST(test_x25519)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
