/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes: RFC 4226 appendix D, RFC 6238 appendix B. */
#include "kit/kit.h"

#include "crypto/otp.h"

#define S20 "12345678901234567890"
#define S32 "12345678901234567890123456789012"
#define S64 "1234567890123456789012345678901234567890123456789012345678901234"

static void test_hotp(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const want[] = {"755224", "287082", "359152", "969429", "338314",
                                       "254676", "287922", "162583", "399871", "520489"};
    for (size_t i = 0; i < MLN_COUNT(want); i++) {
        char code[MLN_OTP_DIGITS_MAX + 1];
        kit_ok(cx, mln_otp_code(cx, MLN_OTP_SHA1, MLN_BYTES(S20), i, 6, code));
        assert_string_equal(code, want[i]);
    }
}

static void test_totp(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        uint64_t time_s;
        const char *want[MLN_OTP_HASHES];
    } t[] = {
        {59, {"94287082", "46119246", "90693936"}},          {1111111109, {"07081804", "68084774", "25091201"}},
        {1111111111, {"14050471", "67062674", "99943326"}},  {1234567890, {"89005924", "91819424", "93441116"}},
        {2000000000, {"69279037", "90698825", "38618901"}},  {20000000000, {"65353130", "77737706", "47863826"}},
    };
    const struct mln_bytes keys[MLN_OTP_HASHES] = {MLN_BYTES(S20), MLN_BYTES(S32), MLN_BYTES(S64)};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        for (size_t h = 0; h < MLN_OTP_HASHES; h++) {
            char code[MLN_OTP_DIGITS_MAX + 1];
            kit_ok(cx, mln_otp_code(cx, (enum mln_otp_hash)h, keys[h], t[i].time_s / 30, 8, code));
            assert_string_equal(code, t[i].want[h]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_hotp), KIT_TEST(test_totp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
