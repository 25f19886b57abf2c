/* SPDX-License-Identifier: Apache-2.0 */
/* Bech32; what it promises stands in bech32.h. */
#include "artifact/bech32.h"

#define CHECK_LEN 6

static const char alphabet[33] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t step(uint32_t state, uint8_t value)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd,
                                          0x2a1462b3};
    uint32_t top = state >> 25;
    state = (state & 0x1ffffff) << 5 ^ value;
    for (unsigned i = 0; i < 5; i++) {
        state ^= (top >> i & 1) != 0 ? generator[i] : 0;
    }
    return state;
}

static uint32_t start(const char *hrp)
{
    uint32_t state = 1;
    for (const char *c = hrp; *c != '\0'; c++) {
        state = step(state, (uint8_t)*c >> 5);
    }
    state = step(state, 0);
    for (const char *c = hrp; *c != '\0'; c++) {
        state = step(state, (uint8_t)*c & 31);
    }
    return state;
}

void mln_bech32_print(struct mln_buf *buf, const char *hrp, struct mln_bytes data)
{
    uint32_t state = start(hrp);
    uint32_t bits = 0;
    unsigned n_bits = 0;
    mln_buf_add_text(buf, hrp);
    mln_buf_add_byte(buf, '1');
    for (size_t i = 0; i < data.len || n_bits > 0;) {
        if (n_bits < 5 && i < data.len) {
            bits = (bits << 8 | data.ptr[i++]) & 0xfff;
            n_bits += 8;
        }
        unsigned take = n_bits < 5 ? n_bits : 5;
        uint8_t value = (uint8_t)(bits >> (n_bits - take) << (5 - take) & 31);
        n_bits -= take;
        state = step(state, value);
        mln_buf_add_byte(buf, (uint8_t)alphabet[value]);
    }
    for (unsigned i = 0; i < CHECK_LEN; i++) {
        state = step(state, 0);
    }
    state ^= 1;
    for (unsigned i = 0; i < CHECK_LEN; i++) {
        mln_buf_add_byte(buf, (uint8_t)alphabet[state >> (5 * (5 - i)) & 31]);
    }
}

/*
 * Value of a character of one case, 32 when it is none. No table lookup by secret bytes: compares
 * all.
 */
static uint8_t value_of(uint8_t c, bool is_upper)
{
    uint32_t value = 32;
    for (uint32_t i = 0; i < 32; i++) {
        uint8_t letter = (uint8_t)alphabet[i];
        uint8_t want = is_upper && letter >= 'a' ? (uint8_t)(letter - 32) : letter;
        uint32_t mask = (uint32_t)0 - (uint32_t)(c == want);
        value = (value & ~mask) | (i & mask);
    }
    return (uint8_t)value;
}

static struct mln_err bad(struct mln_cx *cx, const char *why)
{
    return mln_fail(cx, MLN_E_PARSE, "bech32: %s", why);
}

static struct mln_err decode(struct mln_cx *cx, struct mln_bytes data, uint32_t state,
                             bool is_upper, struct mln_buf *buf)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;
    for (size_t i = 0; i < data.len; i++) {
        uint8_t value = value_of(data.ptr[i], is_upper);
        if (value > 31) {
            return bad(cx, "a character is outside of the alphabet");
        }
        state = step(state, value);
        if (i >= data.len - CHECK_LEN) {
            continue;
        }
        bits = (bits << 5 | value) & 0xfff;
        n_bits += 5;
        if (n_bits >= 8) {
            n_bits -= 8;
            mln_buf_add_byte(buf, (uint8_t)(bits >> n_bits));
        }
    }
    if (state != 1) {
        return bad(cx, "the checksum is wrong");
    }
    if (n_bits >= 5 || (bits & ((1U << n_bits) - 1)) != 0) {
        return bad(cx, "the padding is not zero");
    }
    return mln_buf_ok(cx, buf);
}

struct mln_err mln_bech32_parse(struct mln_cx *cx, struct mln_bytes text, const char *hrp,
                                struct mln_buf *buf)
{
    struct mln_bytes want = mln_bytes_of(hrp);
    if (text.len > MLN_BECH32_MAX || text.len < want.len + 1 + CHECK_LEN) {
        return bad(cx, "the length is wrong");
    }
    struct mln_bytes head = mln_bytes_sub(text, 0, want.len);
    bool is_upper = head.len > 0 && head.ptr[0] >= 'A' && head.ptr[0] <= 'Z';
    bool is_same = text.ptr[want.len] == '1';
    for (size_t i = 0; i < want.len && is_same; i++) {
        uint8_t c = want.ptr[i];
        is_same = head.ptr[i] == (is_upper && c >= 'a' && c <= 'z' ? c - 32 : c);
    }
    if (!is_same) {
        return mln_fail(cx, MLN_E_PARSE, "bech32: it does not begin with \"%s1\" in one case", hrp);
    }
    size_t before = buf->len;
    struct mln_err err = decode(cx, mln_bytes_from(text, want.len + 1), start(hrp), is_upper, buf);
    if (mln_failed(err)) {
        mln_wipe(buf->ptr + before, buf->len - before);
        buf->len = before;
    }
    return err;
}
