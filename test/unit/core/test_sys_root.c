/* SPDX-License-Identifier: Apache-2.0 */
/* A new root token by the holders of shares. */
#include "core_kit.h"

#include "base/text.h"

#define R k->root
#define OTP "abcdefghijklmnopqrstuvwxyz01"

static const char *text_at(struct ck *k, const char *where)
{
    const char *json = ck_at(k, where);
    return mln_text_dup(&k->cx, mln_bytes_sub(mln_bytes_of(json), 1, mln_bytes_of(json).len - 2));
}

static int give(struct ck *k, const char *token, const char *path, const char *key, const char *nonce)
{
    return ck_call(k, token, "write", path,
                   mln_text_format(&k->cx, "{\"key\":\"%s\",\"nonce\":\"%s\"}", key, nonce));
}

static const char *decode(struct ck *k, const char *encoded, const char *otp)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf bytes = {0};
    char *token = mln_new(&k->cx, 29);
    assert_false(mln_failed(mln_base64_parse(&k->cx, mln_bytes_of(encoded), MLN_B64_STD_RAW, &bytes)));
    assert_int_equal(bytes.len, 28);
    for (size_t i = 0; i < 28; i++) {
        token[i] = (char)(bytes.ptr[i] ^ (uint8_t)otp[i]);
    }
    return token;
}

static void test_open(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(3, 2, true);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/generate-root/attempt", NULL), 200);
    assert_string_equal(ck_at(k, "bare"),
                        "{\"nonce\":\"\",\"started\":false,\"progress\":0,\"required\":2,\"complete\":false,"
                        "\"encoded_token\":\"\",\"encoded_root_token\":\"\",\"pgp_fingerprint\":\"\","
                        "\"otp\":\"\",\"otp_length\":28}");
    CK_WANT(k, ck_call(k, NULL, "write", "sys/generate-root/attempt", "{\"otp\":\"" OTP "\"}"), 200);
    const char *nonce = text_at(k, "bare|nonce");
    CK_WANT(k, ck_call(k, NULL, "write", "sys/generate-root/attempt", "{}"), 400);
    assert_string_equal(ck_error(k), "root generation already in progress");
    CK_WANT(k, give(k, NULL, "sys/generate-root/update", k->keys[0], nonce), 200);
    assert_string_equal(ck_at(k, "bare|progress"), "1");
    assert_string_equal(ck_at(k, "bare|otp"), "\"\"");
    CK_WANT(k, give(k, NULL, "sys/generate-root/update", k->keys[1], nonce), 200);
    assert_string_equal(ck_at(k, "bare|complete"), "true");
    const char *token = decode(k, text_at(k, "bare|encoded_root_token"), OTP);
    CK_WANT(k, ck_call(k, token, "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(ck_at(k, "data|policies"), "[\"root\"]");
    assert_string_equal(ck_at(k, "data|ttl"), "0");
    CK_WANT(k, give(k, NULL, "sys/generate-root/update", k->keys[1], nonce), 400);
    assert_string_equal(ck_error(k), "no root generation in progress");
    CK_WANT(k, ck_call(k, NULL, "read", "sys/generate-root/attempt", NULL), 200);
    assert_string_equal(ck_at(k, "bare|started"), "false");
}

static void test_with_token(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    CK_WANT(k, ck_call(k, R, "write", "sys/generate-root-token/attempt", NULL), 200);
    const char *otp = text_at(k, "data|otp"), *nonce = text_at(k, "data|nonce");
    assert_int_equal(strlen(otp), 28);
    CK_WANT(k, give(k, R, "sys/generate-root-token/update",
                    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", nonce), 400);
    CK_WANT(k, give(k, R, "sys/generate-root-token/update", k->keys[0], nonce), 200);
    const char *token = decode(k, text_at(k, "top|encoded_token"), otp);
    CK_WANT(k, ck_call(k, token, "read", "sys/mounts", NULL), 200);
    CK_WANT(k, ck_call(k, token, "write", "sys/generate-root-token/attempt", NULL), 200);
    CK_WANT(k, ck_call(k, token, "delete", "sys/generate-root-token/attempt", NULL), 204);
    CK_WANT(k, give(k, R, "sys/generate-root-token/update", k->keys[0], nonce), 400);
}

static void test_refused(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    const struct ck_step t[] = {
        {NULL, "read", "sys/generate-root/attempt", NULL, 405, NULL, "unsupported operation"},
        {R, "read", "sys/generate-root/attempt", NULL, 405, NULL, "unsupported operation"},
        {NULL, "write", "sys/generate-root-token/attempt", "{}", 403, NULL, "permission denied"},
        {R, "write", "sys/generate-root-token/attempt", "{\"otp\":\"short\"}", 400, NULL,
         "OTP string has incorrect length"},
        {R, "write", "sys/generate-root-token/attempt", "{\"pgp_key\":\"x\"}", 400, NULL,
         "pgp_key is not supported: begin with an otp, or without one to be given one"},
        {R, "write", "sys/generate-root-token/attempt", "{}", 200, NULL, NULL},
        {R, "write", "sys/generate-root-token/update", "{\"nonce\":\"x\"}", 400, NULL,
         "'key' must be specified in request body as JSON, or 'reset' set to true"},
        {R, "write", "sys/generate-root-token/update",
         "{\"key\":\"00112233445566778899aabbccddeeff\"}", 400, NULL, "missing nonce"},
    };
    CK_PLAY(k, t);
}

/* A pad that the caller brought is not sent back; what was made opens without a token. */
static void test_decode(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    const struct ck_step t[] = {
        {R, "write", "sys/generate-root-token/attempt", "{\"otp\":\"" OTP "\"}", 200, "data|otp", "\"\""},
        {R, "read", "sys/generate-root-token/attempt", NULL, 200, "data|otp_length", "28"},
        {NULL, "write", "sys/decode-token", "{\"encoded_token\":\"AAAA\",\"otp\":\"abc\"}", 200, "data|token", "\"abc\""},
        {NULL, "write", "sys/decode-token", "{\"encoded_token\":\"AA==\",\"otp\":\"a\"}", 200, "data|token", "\"a\""},
        {NULL, "write", "sys/decode-token", "{\"encoded_token\":\"AAAA\",\"otp\":\"ab\"}", 400, NULL,
         "error xoring token: length of byte slices is not equivalent: 3 != 2"},
        {NULL, "write", "sys/decode-token", "{\"encoded_token\":\"!\",\"otp\":\"ab\"}", 400, NULL, "error decoding base64'd token"},
        {NULL, "write", "sys/decode-token", "{\"otp\":\"ab\"}", 400, NULL, "missing encoded_token"},
        {NULL, "write", "sys/decode-token", "{\"encoded_token\":\"AAAA\"}", 400, NULL, "missing otp"},
    };
    CK_PLAY(k, t);
}

static void test_key_file(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    char key[65] = "";
    FILE *f = fopen(k->keyfile, "r");
    assert_non_null(f);
    assert_int_equal(fread(key, 1, 64, f), 64);
    assert_int_equal(fclose(f), 0);
    CK_WANT(k, ck_call(k, R, "write", "sys/generate-root-token/attempt", "{\"otp\":\"" OTP "\"}"), 200);
    CK_WANT(k, give(k, R, "sys/generate-root-token/update", key, text_at(k, "data|nonce")), 200);
    const char *token = decode(k, text_at(k, "data|encoded_token"), OTP);
    CK_WANT(k, ck_call(k, token, "read", "sys/mounts", NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_open), cmocka_unit_test(test_with_token),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_key_file),
                                       cmocka_unit_test(test_decode)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
