/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the TOTP engine share. docs/engine-totp.md.
 *
 *   key/<name>     object: {"issuer", "account_name", "algorithm", "digits", "period", "skew", "secret": bytes}
 *   used/<name>    array of the counters whose codes were taken, as long as they could be offered again
 */
#pragma once

#include "barrier/txn.h"
#include "contract/engine.h"
#include "crypto/otp.h"

#define TOTP_SECRET_MAX 128  /* bytes: two blocks of HMAC-SHA-512's; more gives no more strength */
#define TOTP_TEXT_MAX   512  /* of issuer and account: both fit a QR code with the rest */
#define TOTP_URL_MAX    4096
#define TOTP_PERIOD_MAX 86400 /* s: longer ones are mistakes, and passwords rather than codes */

struct totp_key {
    struct mln_bytes issuer, account, secret;
    enum mln_otp_hash hash;
    unsigned digits;
    int64_t period_s, skew;
};

/* ---- totp_url.c ---- */
bool totp_hash_of(struct mln_bytes name, enum mln_otp_hash *ret); /* "SHA1"; in any case */
const char *totp_hash_name(enum mln_otp_hash hash);
/* Base32 (RFC 4648) in either case, padded or not, spaces and "-" between; 1..TOTP_SECRET_MAX bytes. */
struct mln_err totp_secret_read(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes *ret);
/* "otpauth://totp/Issuer:account?secret=..."; what it names replaces what is in key. */
struct mln_err totp_url_read(struct mln_cx *cx, struct mln_bytes url, struct totp_key *key);
const char *totp_url_text(struct mln_cx *cx, const struct totp_key *key); /* arena; secret */
/* digits, period, skew, lengths: INVALID with the client's text. */
struct mln_err totp_check(struct mln_cx *cx, const struct totp_key *key);
