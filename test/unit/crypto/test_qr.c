/* SPDX-License-Identifier: Apache-2.0 */
/* QR codes: the picture is a whole PNG of at least the side asked for, and too long a text is refused. */
#include "kit/kit.h"

#include <zlib.h>

#include "base/bytes.h"
#include "crypto/qr.h"

#define TEXT "otpauth://totp/I:a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

static struct mln_bytes chunk(struct mln_reader *r, const char *type)
{
    struct mln_bytes all = mln_bytes_from(r->all, r->at + 4);
    uint32_t n = mln_read_u32be(r);
    assert_true(mln_bytes_is(mln_read_bytes(r, 4), type));
    struct mln_bytes data = mln_read_bytes(r, n);
    assert_int_equal(mln_read_u32be(r), crc32(0, all.ptr, n + 4));
    return data;
}

static bool is_black(const uint8_t *rows, uint32_t side, size_t x, size_t y)
{
    return (rows[y * ((side + 7) / 8 + 1) + 1 + x / 8] >> (7 - x % 8) & 1) == 0;
}

/* The first black pixel of the picture is the corner of a finder pattern: seven modules of black in a row. */
static void want_finder(const uint8_t *rows, uint32_t side)
{
    size_t at = 0, n = (size_t)side * side;
    while (at < n && !is_black(rows, side, at % side, at / side)) {
        at++;
    }
    assert_true(at < n);
    size_t x = at % side, y = at / side, wide = 0, high = 0;
    while (is_black(rows, side, x + wide, y)) {
        wide++;
    }
    while (is_black(rows, side, x, y + high)) {
        high++;
    }
    assert_int_equal(wide, high);
    assert_int_equal(wide % 7, 0);
    assert_true(x >= 4 * (wide / 7) && y >= 4 * (wide / 7)); /* quiet around */
}

static void test_picture(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const size_t sides[] = {200, 1, 41, MLN_QR_SIDE_MAX};
    for (size_t i = 0; i < MLN_COUNT(sides); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf png = {.is_secret = true};
        kit_ok(cx, mln_qr_png(cx, TEXT, sides[i], &png));
        struct mln_reader r = mln_reader_of(mln_buf_bytes(&png));
        assert_int_equal(mln_read_u64be(&r), 0x89504e470d0a1a0aULL);
        struct mln_bytes head = chunk(&r, "IHDR"), packed = chunk(&r, "IDAT");
        uint32_t side = mln_get_u32be(head.ptr);
        uLongf n = (uLongf)side * ((side + 7) / 8 + 1);
        uint8_t *rows = mln_alloc(n);
        assert_true(side >= sides[i] && mln_get_u32be(head.ptr + 4) == side);
        assert_int_equal(uncompress(rows, &n, packed.ptr, packed.len), Z_OK);
        assert_int_equal(n, side * ((side + 7) / 8 + 1));
        want_finder(rows, side);
        (void)chunk(&r, "IEND");
        assert_int_equal(mln_reader_left(&r), 0);
        mln_free(rows);
    }
}

static void test_too_long(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf png = {.is_secret = true}, text = {0};
    for (size_t i = 0; i < 4000; i++) {
        mln_buf_add_byte(&text, 'a');
    }
    mln_buf_add_byte(&text, 0);
    kit_refused_with(cx, mln_qr_png(cx, (const char *)text.ptr, 200, &png), MLN_E_INVALID, "too long a text for a QR code");
    assert_int_equal(png.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_picture), KIT_TEST(test_too_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
