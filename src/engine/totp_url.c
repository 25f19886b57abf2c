/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOTP engine: secrets as base32 (RFC 4648 sec. 6) and keys as "otpauth" URLs, the form that authenticator programs read from QR
 * codes (github.com/google/google-authenticator/wiki/Key-Uri-Format).
 */
#include "engine/totp_priv.h"

#include "base/text.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char *const hashes[MLN_OTP_HASHES] = {"SHA1", "SHA256", "SHA512"};

bool totp_hash_of(struct mln_bytes name, enum mln_otp_hash *ret)
{
    for (size_t i = 0; i < MLN_OTP_HASHES; i++) {
        if (mln_bytes_is_nocase(name, hashes[i])) {
            *ret = (enum mln_otp_hash)i;
            return true;
        }
    }
    return false;
}

const char *totp_hash_name(enum mln_otp_hash hash)
{
    return hashes[hash];
}

/* ---- base32 ---- */

/* 0..31; -1: no digit. */
static int digit(uint8_t c)
{
    if (c >= 'a' && c <= 'z') {
        return c - 'a';
    }
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

static struct mln_err bad_secret(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_INVALID, "invalid key value: no base32 of 1 to %d bytes", TOTP_SECRET_MAX);
}

/* Bits beyond the last whole byte are dropped: programs hand out such secrets. */
struct mln_err totp_secret_read(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes *ret)
{
    uint8_t *out = mln_new(cx, TOTP_SECRET_MAX);
    size_t n = 0, digits = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    MLN_TRY(mln_cx_err(cx));
    while (text.len > 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ' ' || text.ptr[i] == '-') {
            continue;
        }
        int value = digit(text.ptr[i]);
        if (value < 0 || n == TOTP_SECRET_MAX) {
            return bad_secret(cx);
        }
        bits = (bits << 5 | (uint32_t)value) & 0xfffu;
        have += 5;
        digits++;
        if (have >= 8) {
            have -= 8;
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    size_t odd = digits % 8; /* of a last group: 1, 3 and 6 digits end inside a byte */
    if (n == 0 || odd == 1 || odd == 3 || odd == 6) {
        return bad_secret(cx);
    }
    *ret = mln_bytes_at(out, n);
    return MLN_OK;
}

static void put_base32(struct mln_buf *to, struct mln_bytes bytes)
{
    uint32_t bits = 0;
    unsigned have = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        bits = (bits << 8 | bytes.ptr[i]) & 0xffffu;
        for (have += 8; have >= 5; have -= 5) {
            mln_buf_add_byte(to, (uint8_t)alphabet[bits >> (have - 5) & 31]);
        }
    }
    if (have > 0) {
        mln_buf_add_byte(to, (uint8_t)alphabet[bits << (5 - have) & 31]);
    }
}

/* ---- URLs ---- */

/* "@" is readable in names and allowed there; "/" and ":" are not part of a name. */
static void put_name(struct mln_buf *to, struct mln_bytes name)
{
    while (name.len > 0) {
        bool is_at = name.ptr[0] == '@', is_slash = name.ptr[0] == '/';
        size_t n = 1;
        while (!is_at && !is_slash && n < name.len && name.ptr[n] != '@' && name.ptr[n] != '/') {
            n++;
        }
        if (is_at || is_slash) {
            mln_buf_add_text(to, is_at ? "@" : "%2F");
        } else {
            mln_percent_print(to, mln_bytes_sub(name, 0, n));
        }
        name = mln_bytes_from(name, n);
    }
}

const char *totp_url_text(struct mln_cx *cx, const struct totp_key *key)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf url = {.is_secret = true};
    mln_buf_add_text(&url, "otpauth://totp/");
    if (key->issuer.len > 0) {
        put_name(&url, key->issuer);
        mln_buf_add_byte(&url, ':');
    }
    put_name(&url, key->account);
    mln_buf_add_format(&url, "?algorithm=%s&digits=%u", hashes[key->hash], key->digits);
    if (key->issuer.len > 0) {
        mln_buf_add_text(&url, "&issuer=");
        mln_percent_print(&url, key->issuer);
    }
    mln_buf_add_format(&url, "&period=%lld&secret=", (long long)key->period_s);
    put_base32(&url, key->secret);
    return mln_failed(mln_buf_ok(cx, &url)) ? "" : mln_text_dup(cx, mln_buf_bytes(&url));
}

static struct mln_err bad_url(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_INVALID, "an error occurred while parsing url string");
}

static struct mln_err unescape(struct mln_cx *cx, struct mln_bytes text, bool is_query, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
    if (mln_failed(mln_percent_parse(NULL, text, is_query, &out)) || !mln_utf8_valid(mln_buf_bytes(&out))) {
        return bad_url(cx);
    }
    MLN_TRY(mln_buf_ok(cx, &out));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

/* "Issuer:account" or "account"; the colon may be escaped. */
static struct mln_err read_label(struct mln_cx *cx, struct mln_bytes label, struct totp_key *key)
{
    struct mln_bytes before, after = MLN_BYTES_NONE;
    bool is_split = mln_bytes_find(label, ':') < label.len;
    before = is_split ? mln_bytes_cut(label, ':', &after) : label;
    MLN_TRY(unescape(cx, before, false, &before));
    MLN_TRY(unescape(cx, after, false, &after));
    if (!is_split && mln_bytes_find(before, ':') < before.len) {
        before = mln_bytes_cut(before, ':', &after);
        is_split = true;
    }
    if (is_split) {
        key->issuer = mln_bytes_trim(before);
    }
    key->account = mln_bytes_trim(is_split ? after : before);
    return MLN_OK;
}

static struct mln_err read_number(struct mln_cx *cx, struct mln_bytes value, int64_t *ret)
{
    return mln_i64_parse(value, ret) ? MLN_OK : bad_url(cx);
}

static struct mln_err read_pair(struct mln_cx *cx, struct mln_bytes name, struct mln_bytes value, struct totp_key *key)
{
    int64_t number = 0;
    if (mln_bytes_is(name, "secret")) {
        return totp_secret_read(cx, value, &key->secret);
    }
    if (mln_bytes_is(name, "issuer") && value.len > 0) {
        key->issuer = value;
    } else if (mln_bytes_is(name, "algorithm") && !totp_hash_of(value, &key->hash)) {
        return mln_fail(cx, MLN_E_INVALID, "the algorithm value is not valid");
    } else if (mln_bytes_is(name, "period")) {
        return read_number(cx, value, &key->period_s);
    } else if (mln_bytes_is(name, "digits")) {
        MLN_TRY(read_number(cx, value, &number));
        key->digits = number == 6 || number == 8 ? (unsigned)number : 0; /* 0: refused by totp_check */
    }
    return MLN_OK;
}

struct mln_err totp_url_read(struct mln_cx *cx, struct mln_bytes url, struct totp_key *key)
{
    static const char head[] = "otpauth://totp/";
    struct mln_bytes query, rest, name, value;
    if (url.len > TOTP_URL_MAX || !mln_bytes_starts(url, mln_bytes_of(head))) {
        return bad_url(cx);
    }
    rest = mln_bytes_from(url, sizeof(head) - 1);
    MLN_TRY(read_label(cx, mln_bytes_cut(rest, '?', &query), key));
    query = mln_bytes_cut(query, '#', &rest);
    while (query.len > 0) {
        struct mln_bytes pair = mln_bytes_cut(query, '&', &query);
        MLN_TRY(unescape(cx, mln_bytes_cut(pair, '=', &value), true, &name));
        MLN_TRY(unescape(cx, value, true, &value));
        MLN_TRY(read_pair(cx, name, value, key));
    }
    return MLN_OK;
}

struct mln_err totp_check(struct mln_cx *cx, const struct totp_key *key)
{
    const char *bad = NULL;
    if (key->digits != 6 && key->digits != 8) {
        bad = "the digits value can only be 6 or 8";
    } else if (key->period_s <= 0) {
        bad = "the period value must be greater than zero";
    } else if (key->period_s > TOTP_PERIOD_MAX) {
        bad = "the period value is longer than a day";
    } else if (key->skew != 0 && key->skew != 1) {
        bad = "the skew value must be 0 or 1";
    } else if (key->issuer.len > TOTP_TEXT_MAX || key->account.len > TOTP_TEXT_MAX) {
        bad = "the issuer or account_name value is too long";
    } else if (key->secret.len == 0) {
        bad = "the key value is required";
    }
    return bad == NULL ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "%s", bad);
}
