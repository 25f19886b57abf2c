/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of "abc" (FIPS 180-4 and 202, example values) and HMACs of RFC 4231 test case 2; names. */
#include "kit/kit.h"

#include "crypto/digest.h"

static const struct {
    enum mln_hash hash;
    const char *name, *abc;
} sums[] = {
    {MLN_HASH_SHA1, "sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {MLN_HASH_SHA2_224, "sha2-224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
    {MLN_HASH_SHA2_256, "sha2-256",
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {MLN_HASH_SHA2_384, "sha2-384",
     "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c82"
     "5a7"},
    {MLN_HASH_SHA2_512, "sha2-512",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    {MLN_HASH_SHA3_224, "sha3-224", "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"},
    {MLN_HASH_SHA3_256, "sha3-256",
     "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
    {MLN_HASH_SHA3_384, "sha3-384",
     "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376"
     "d25"},
    {MLN_HASH_SHA3_512, "sha3-512",
     "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
     "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
};

static void test_sums(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(sums); i++) {
        uint8_t out[MLN_HASH_MAX_BYTES];
        enum mln_hash hash = MLN_HASH_NONE;
        assert_true(mln_hash_of_name(mln_bytes_of(sums[i].name), &hash));
        assert_int_equal(hash, sums[i].hash);
        assert_string_equal(mln_hash_name(hash), sums[i].name);
        mln_hash_sum(hash, MLN_BYTES("abc"), out);
        kit_same(cx, mln_bytes_at(out, mln_hash_bytes(hash)), kit_hex(cx, sums[i].abc));
    }
    uint8_t empty[MLN_HASH_MAX_BYTES];
    mln_hash_sum(MLN_HASH_SHA1, MLN_BYTES_NONE, empty);
    kit_same(cx, mln_bytes_at(empty, 20), kit_hex(cx, "da39a3ee5e6b4b0d3255bfef95601890afd80709"));
}

static void test_hmacs(void **state)
{
    static const struct {
        enum mln_hash hash;
        const char *want;
    } t[] = {
        {MLN_HASH_SHA2_224, "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"},
        {MLN_HASH_SHA2_256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {MLN_HASH_SHA2_384, "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240"
                            "ca5e69e2c78b3239ecfab21649"},
        {MLN_HASH_SHA2_512, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                            "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        uint8_t out[MLN_HASH_MAX_BYTES];
        mln_hmac_sum(t[i].hash, MLN_BYTES("Jefe"), MLN_BYTES("what do ya want for nothing?"), out);
        kit_same(cx, mln_bytes_at(out, mln_hash_bytes(t[i].hash)), kit_hex(cx, t[i].want));
    }
}

static void test_names(void **state)
{
    static const char *const none[] = {"",    "sha256",  "SHA2-256", "sha2-256 ",
                                       "md5", "sha2-25", "sha3"};
    (void)state;
    enum mln_hash hash = MLN_HASH_SHA1;
    for (size_t i = 0; i < MLN_COUNT(none); i++) {
        assert_false(mln_hash_of_name(mln_bytes_of(none[i]), &hash));
        assert_int_equal(hash, MLN_HASH_SHA1);
    }
    assert_true(mln_hash_of_name(MLN_BYTES("none"), &hash));
    assert_int_equal(mln_hash_bytes(hash), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_sums), KIT_TEST(test_hmacs),
                                       KIT_TEST(test_names)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
