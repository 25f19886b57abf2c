/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shamir's secret sharing (CACM 22, 1979) byte by byte over GF(2^8) with the polynomial of AES,
 * 0x11b; shares laid out as
 * Vault's. Products are made of masks: no table is indexed by a secret and no branch depends on
 * one.
 */
#include "crypto/crypto_priv.h"

#include "base/clock.h"

static uint8_t gf_mul(uint8_t a, uint8_t b)
{
    unsigned r = 0;
    for (int i = 7; i >= 0; i--) {
        unsigned carry = 0U - (r >> 7);
        r = (r << 1 & 0xff) ^ (carry & 0x1b);
        r ^= (0U - ((unsigned)b >> i & 1)) & a;
    }
    return (uint8_t)r;
}

static uint8_t gf_inverse(uint8_t a)
{
    uint8_t square = gf_mul(a, a); /* a^254 = a^2 a^4 a^8 ... a^128 */
    uint8_t r = square;
    for (int i = 0; i < 6; i++) {
        square = gf_mul(square, square);
        r = gf_mul(r, square);
    }
    return r;
}

/*
 * 1..255 in random order: the places of the shares are public, but say nothing of who holds which.
 */
static void draw_places(uint8_t places[255])
{
    for (unsigned i = 0; i < 255; i++) {
        places[i] = (uint8_t)(i + 1);
    }
    for (unsigned i = 254; i > 0; i--) {
        uint64_t j = mln_random_below(i + 1);
        uint8_t other = places[j];
        places[j] = places[i];
        places[i] = other;
    }
}

static void split_byte(size_t at, uint8_t secret, const uint8_t *places, unsigned shares,
                       unsigned threshold, uint8_t (*ret_shares)[MLN_SHAMIR_SECRET_MAX + 1])
{
    uint8_t polynomial[255];
    polynomial[0] = secret;
    mln_random(polynomial + 1, threshold - 1);
    for (unsigned s = 0; s < shares; s++) {
        uint8_t y = 0;
        for (unsigned i = threshold; i-- > 0;) {
            y = gf_mul(y, places[s]) ^ polynomial[i];
        }
        ret_shares[s][at] = y;
    }
    mln_wipe(polynomial, sizeof(polynomial));
}

struct mln_err mln_shamir_split(struct mln_cx *cx, struct mln_bytes secret, unsigned shares,
                                unsigned threshold,
                                uint8_t (*ret_shares)[MLN_SHAMIR_SECRET_MAX + 1])
{
    if (secret.len < 1 || secret.len > MLN_SHAMIR_SECRET_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "a secret to share has 1 to %d bytes",
                        MLN_SHAMIR_SECRET_MAX);
    }
    if (shares == 1 && threshold == 1) {
        mln_copy(ret_shares[0], secret.ptr, secret.len);
        return MLN_OK;
    }
    if (threshold < 2 || threshold > shares || shares > 255) {
        return mln_fail(cx, MLN_E_INVALID, "shares: 2 <= threshold <= shares <= 255, or 1 of 1");
    }
    uint8_t places[255];
    draw_places(places);
    for (size_t at = 0; at < secret.len; at++) {
        split_byte(at, secret.ptr[at], places, shares, threshold, ret_shares);
    }
    for (unsigned s = 0; s < shares; s++) {
        ret_shares[s][secret.len] = places[s];
    }
    return MLN_OK;
}

static struct mln_err check_shares(struct mln_cx *cx, const struct mln_bytes *shares, size_t n)
{
    bool is_taken[256] = {false};
    if (n < 1 || n > 255) {
        return mln_fail(cx, MLN_E_INVALID, "1 to 255 shares are needed");
    }
    for (size_t i = 0; i < n; i++) {
        size_t len = shares[i].len;
        if (len != shares[0].len || len < (n == 1 ? 1 : 2) || len > MLN_SHAMIR_SECRET_MAX + 1) {
            return mln_fail(cx, MLN_E_INVALID, "share %zu has a wrong length", i + 1);
        }
        uint8_t place = shares[i].ptr[len - 1];
        if (n > 1 && (place == 0 || is_taken[place])) {
            return mln_fail(cx, MLN_E_INVALID, "share %zu is given twice or damaged", i + 1);
        }
        is_taken[place] = true;
    }
    return MLN_OK;
}

/* The weight of share i when the polynomial is read at 0: the product of x_j / (x_j - x_i). */
static uint8_t weight(const struct mln_bytes *shares, size_t n, size_t i)
{
    size_t last = shares[0].len - 1;
    uint8_t r = 1;
    for (size_t j = 0; j < n; j++) {
        if (j != i) {
            uint8_t xj = shares[j].ptr[last];
            r = gf_mul(r, gf_mul(xj, gf_inverse(xj ^ shares[i].ptr[last])));
        }
    }
    return r;
}

struct mln_err mln_shamir_combine(struct mln_cx *cx, const struct mln_bytes *shares, size_t n,
                                  struct mln_secret *ret)
{
    MLN_TRY(check_shares(cx, shares, n));
    if (n == 1) {
        return mln_secret_from(cx, shares[0], ret);
    }
    MLN_AUTO(mln_secret_drop) struct mln_secret out = {0};
    MLN_TRY(mln_secret_new(cx, shares[0].len - 1, &out));
    for (size_t i = 0; i < n; i++) {
        uint8_t w = weight(shares, n, i);
        for (size_t at = 0; at < out.len; at++) {
            out.ptr[at] ^= gf_mul(w, shares[i].ptr[at]);
        }
    }
    *ret = out;
    out = (struct mln_secret){0};
    return MLN_OK;
}
