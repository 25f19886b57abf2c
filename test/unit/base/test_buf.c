/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

static void test_add(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (int secret = 0; secret < 2; secret++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = secret != 0};
        mln_buf_add(&buf, NULL, 0);
        assert_int_equal(buf.len, 0);
        mln_buf_add_text(&buf, "ab");
        mln_buf_add_byte(&buf, 'c');
        mln_buf_add_bytes(&buf, MLN_BYTES("d"));
        mln_buf_add_format(&buf, "%d", 42);
        kit_text(mln_buf_bytes(&buf), "abcd42");
        mln_buf_clear(&buf);
        mln_buf_add_u16be(&buf, 0x0102);
        mln_buf_add_u32be(&buf, 0x03040506);
        mln_buf_add_u64be(&buf, 0x0708090a0b0c0d0eu);
        kit_same(cx, mln_buf_bytes(&buf), kit_hex(cx, "01020304 05060708 090a0b0c 0d0e"));
        mln_buf_shift(&buf, 4);
        kit_same(cx, mln_buf_bytes(&buf), kit_hex(cx, "05060708 090a0b0c 0d0e"));
        mln_buf_shift(&buf, buf.len);
        assert_int_equal(buf.len, 0);
        for (int i = 0; i < 10000; i++) {
            mln_buf_add_byte(&buf, (uint8_t)i);
        }
        for (int i = 0; i < 10000; i++) {
            assert_int_equal(buf.ptr[i], (uint8_t)i);
        }
        kit_ok(cx, mln_buf_ok(cx, &buf));
    }
}

static void test_long_format(void **state)
{
    (void)state;
    char longer[1001];
    memset(longer, 'y', 1000);
    longer[1000] = '\0';
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_buf_add_format(&buf, "<%s>", longer);
    assert_int_equal(buf.len, 1002);
    assert_int_equal(buf.ptr[1001], '>');
}

static void test_limit_sticks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.max = 10};
    mln_buf_add_text(&buf, "12345");
    kit_ok(cx, mln_buf_ok(cx, &buf));
    mln_buf_add_text(&buf, "678901");
    assert_true(buf.has_failed);
    mln_buf_add_text(&buf, "6");
    kit_text(mln_buf_bytes(&buf), "12345");
    kit_refused_with(cx, mln_buf_ok(cx, &buf), MLN_E_TOO_LARGE, "10 bytes");
    assert_false(mln_buf_reserve(&buf, 0));
    mln_buf_clear(&buf);
    mln_buf_add_text(&buf, "1234567890");
    kit_ok(cx, mln_buf_ok(cx, &buf));
    assert_false(mln_buf_reserve(&buf, SIZE_MAX));
    kit_refused(cx, mln_buf_ok(cx, &buf), MLN_E_TOO_LARGE);
}

static struct mln_err faulty(struct mln_cx *cx, void *arg)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = *(const bool *)arg};
    for (int i = 0; i < 100; i++) {
        mln_buf_add_format(&buf, "line %d\n", i);
        mln_buf_add_u32be(&buf, 7);
    }
    if (buf.len == 0 && !buf.has_failed) {
        return MLN_OK;
    }
    return mln_buf_ok(cx, &buf);
}

static void test_memory_sticks(void **state)
{
    (void)state;
    bool secret[2] = {false, true};
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty, &secret[0]) > 4);
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty, &secret[1]) > 4);
}

static void test_reader(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes all = kit_hex(cx, "01 0203 04050607 08090a0b0c0d0e0f 1011 12131415 1617 1819 1a1b 1c1d 61 62");
    struct mln_reader r = mln_reader_of(all);
    assert_int_equal(mln_read_u8(&r), 1);
    assert_int_equal(mln_read_u16be(&r), 0x0203);
    assert_int_equal(mln_read_u32be(&r), 0x04050607);
    assert_true(mln_read_u64be(&r) == 0x08090a0b0c0d0e0fu);
    assert_int_equal(mln_read_u16le(&r), 0x1110);
    assert_int_equal(mln_read_u32le(&r), 0x15141312);
    assert_true(mln_read_u64le(&r) == 0x1d1c1b1a19181716u);
    kit_text(mln_read_bytes(&r, 2), "ab");
    assert_false(r.is_short);
    assert_int_equal(mln_reader_left(&r), 0);
    kit_text(mln_read_bytes(&r, 0), "");
    assert_false(r.is_short);
}

static void test_reader_short(void **state)
{
    (void)state;
    static const struct {
        size_t have, want;
        bool is_short;
    } rows[] = {{3, 3, false}, {3, 4, true}, {0, 0, false}, {0, 1, true}, {5, SIZE_MAX, true}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_reader r = mln_reader_of(mln_bytes_at("abcdefgh", rows[i].have));
        struct mln_bytes got = mln_read_bytes(&r, rows[i].want);
        assert_int_equal(r.is_short, rows[i].is_short);
        assert_int_equal(got.len, rows[i].is_short ? 0 : rows[i].want);
    }
    struct mln_reader r = mln_reader_of(MLN_BYTES("ab"));
    assert_int_equal(mln_read_u32be(&r), 0);
    assert_true(r.is_short);
    assert_int_equal(mln_read_u8(&r), 0); /* and it stays short */
    assert_int_equal(mln_read_u16be(&r), 0);
    assert_true(mln_read_u64be(&r) == 0 && mln_read_u64le(&r) == 0);
    assert_int_equal(mln_read_u16le(&r) + mln_read_u32le(&r), 0);
    assert_int_equal(mln_reader_left(&r), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_add),          cmocka_unit_test(test_long_format), KIT_TEST(test_limit_sticks),
        KIT_TEST(test_memory_sticks), KIT_TEST(test_reader),              cmocka_unit_test(test_reader_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
