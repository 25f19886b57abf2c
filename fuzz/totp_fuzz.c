/* SPDX-License-Identifier: Apache-2.0 */
/* "otpauth" URLs: a key that is read from one prints as a URL that reads as the same key. */
#include "engine/totp_priv.h"
#include "fuzz.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_arena *arena = mln_arena_new(4u << 20, false);
    struct totp_key key = {.digits = 6, .period_s = 30, .skew = 1}, again = key;
    MLN_CHECK(arena != NULL);
    mln_cx_init(&cx, arena);
    if (!mln_failed(totp_url_read(&cx, mln_bytes_at(data, size), &key)) && !mln_failed(totp_check(&cx, &key))) {
        struct mln_bytes url = mln_bytes_of(totp_url_text(&cx, &key));
        bool is_plain = key.issuer.len > 0 || mln_bytes_find(key.account, ':') == key.account.len; /* else ambiguous by the format */
        MLN_CHECK(url.len > 0);
        if (is_plain && url.len <= TOTP_URL_MAX) {
            MLN_CHECK(!mln_failed(totp_url_read(&cx, url, &again)));
            MLN_CHECK(mln_bytes_eq(key.secret, again.secret) && mln_bytes_eq(key.account, again.account));
            MLN_CHECK(mln_bytes_eq(key.issuer, again.issuer) && key.hash == again.hash);
            MLN_CHECK(key.digits == again.digits && key.period_s == again.period_s);
        }
    }
    mln_arena_free(arena);
    return 0;
}
