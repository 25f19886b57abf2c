/* SPDX-License-Identifier: Apache-2.0 */
/* One-time codes of a counter: HOTP (RFC 4226), with the hashes that TOTP (RFC 6238) adds. */
#pragma once

#include "crypto/crypto.h"

enum mln_otp_hash { MLN_OTP_SHA1, MLN_OTP_SHA256, MLN_OTP_SHA512, MLN_OTP_HASHES };

#define MLN_OTP_DIGITS_MAX 9 /* more would always begin with 0, 1 or 2: the number has 31 bits */

/* key: 1 byte or more, secret. digits 1..MLN_OTP_DIGITS_MAX. code: digits and a NUL, secret. */
struct mln_err mln_otp_code(struct mln_cx *cx, enum mln_otp_hash hash, struct mln_bytes key, uint64_t counter, unsigned digits,
                            char code[MLN_OTP_DIGITS_MAX + 1]);
