/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes. Source: RFC 4226 sec. 5.3, RFC 6238 sec. 4. */
#include "crypto/otp.h"

#include "crypto/crypto_priv.h"

struct mln_err mln_otp_code(struct mln_cx *cx, enum mln_otp_hash hash, struct mln_bytes key, uint64_t counter, unsigned digits,
                            char code[MLN_OTP_DIGITS_MAX + 1])
{
    static const char *const names[MLN_OTP_HASHES] = {"SHA1", "SHA256", "SHA512"};
    uint8_t message[8], mac[64] = {0};
    size_t n = 0;
    MLN_CHECK(hash < MLN_OTP_HASHES && key.len > 0 && digits > 0 && digits <= MLN_OTP_DIGITS_MAX);
    mln_put_u64be(message, counter);
    if (EVP_Q_mac(NULL, "HMAC", NULL, names[hash], NULL, key.ptr, key.len, message, sizeof(message), mac, sizeof(mac), &n) ==
            NULL ||
        n < 20) {
        return crypto_failed(cx, "otp: HMAC");
    }
    uint32_t number = mln_get_u32be(mac + (mac[n - 1] & 0x0f)) & 0x7fffffffu; /* at most bytes 15..18 of 20 or more */
    for (unsigned i = digits; i > 0; i--) {
        code[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    code[digits] = 0;
    mln_wipe(mac, sizeof(mac));
    return MLN_OK;
}
