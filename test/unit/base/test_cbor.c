/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <string.h>

#include "base/cbor.h"
#include "base/json.h"

/* Encodings of RFC 8949, appendix A, and our tags; what is refused has a part of its text instead. */
static const struct {
    const char *hex, *json, *refused;
} rows[] = {
    {"00", "0", NULL},
    {"01", "1", NULL},
    {"0a", "10", NULL},
    {"17", "23", NULL},
    {"1818", "24", NULL},
    {"1864", "100", NULL},
    {"1903e8", "1000", NULL},
    {"1a000f4240", "1000000", NULL},
    {"1b000000e8d4a51000", "1000000000000", NULL},
    {"1b7fffffffffffffff", "9223372036854775807", NULL},
    {"20", "-1", NULL},
    {"3903e7", "-1000", NULL},
    {"3b7fffffffffffffff", "-9223372036854775808", NULL},
    {"f4", "false", NULL},
    {"f5", "true", NULL},
    {"f6", "null", NULL},
    {"60", "\"\"", NULL},
    {"6161", "\"a\"", NULL},
    {"6449455446", "\"IETF\"", NULL},
    {"62c3bc", "\"\xC3\xBC\"", NULL},
    {"40", "\"\"", NULL},
    {"4401020304", "\"AQIDBA==\"", NULL},
    {"80", "[]", NULL},
    {"83010203", "[1,2,3]", NULL},
    {"8301820203820405", "[1,[2,3],[4,5]]", NULL},
    {"a0", "{}", NULL},
    {"a26161016162820203", "{\"a\":1,\"b\":[2,3]}", NULL},
    {"a141ff01", "{\"\xEF\xBF\xBD\":1}", NULL},
    {"da004d4c016161", "\"a\"", NULL},
    {"da004d4c0141ff", "\"/w==\"", NULL},
    {"da004d4c0280", "[]", NULL},
    {"da004d4c0283f60161" "61", "[null,1,\"a\"]", NULL},
    {"da004d4c0363312e35", "1.5", NULL},
    {"da004d4c037339323233333732303336383534373735383038", "9223372036854775808", NULL},
    /* refused */
    {"", NULL, "ends early at byte 0"},
    {"0000", NULL, "behind the value at byte 1"},
    {"1817", NULL, "shortest"},
    {"1900ff", NULL, "shortest"},
    {"1a0000ffff", NULL, "shortest"},
    {"1b00000000ffffffff", NULL, "shortest"},
    {"18", NULL, "ends early"},
    {"1903", NULL, "ends early"},
    {"1c", NULL, "reserved"},
    {"1f", NULL, "indefinite or reserved"},
    {"1b8000000000000000", NULL, "beyond 64 bits"},
    {"3b8000000000000000", NULL, "beyond 64 bits"},
    {"f7", NULL, "simple value or float"},
    {"f0", NULL, "simple value or float"},
    {"f8ff", NULL, "simple value or float"},
    {"f90000", NULL, "simple value or float"},
    {"fb3ff199999999999a", NULL, "simple value or float"},
    {"ff", NULL, "simple value or float"},
    {"5f42010243030405ff", NULL, "indefinite"},
    {"7f657374726561646d696e67ff", NULL, "indefinite"},
    {"9f018202039f0405ffff", NULL, "indefinite"},
    {"bf61610161629f0203ffff", NULL, "indefinite"},
    {"6261", NULL, "longer than the text"},
    {"7b7fffffffffffffff61", NULL, "longer than the text"},
    {"61ff", NULL, "bad UTF-8"},
    {"62c0ae", NULL, "bad UTF-8"},
    {"8201", NULL, "more items"},
    {"820118", NULL, "ends early"},
    {"9bffffffffffffffff00", NULL, "more items"},
    {"9a7fffffff00", NULL, "more items"},
    {"a1", NULL, "more members"},
    {"bb7fffffffffffffff6161", NULL, "more members"},
    {"a10101", NULL, "key is no string"},
    {"a1f601", NULL, "key is no string"},
    {"a1416101", NULL, "text as a byte string key"},
    {"a2616101616102", NULL, "duplicate key"},
    {"c0f6", NULL, "unknown tag"},
    {"c24101", NULL, "unknown tag"},
    {"da004d4c0101", NULL, "unknown tag"},
    {"da004d4c0161", NULL, "longer"},
    {"da004d4c02820201", NULL, "not in order"},
    {"da004d4c02820101", NULL, "not in order"},
    {"da004d4c026161", NULL, "unknown tag"},
    {"da004d4c036131", NULL, "bad decimal"},
    {"da004d4c03626161", NULL, "bad decimal"},
    {"da004d4c0343312e35", NULL, "unknown tag"},
    {"da004d4c01da004d4c016161", NULL, "unknown tag"},
    {"da004d4c", NULL, "ends early"},
};

static void test_rows(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes in = kit_hex(cx, rows[i].hex);
        MLN_AUTO(mln_free_drop) uint8_t *copy = mln_alloc(in.len);
        mln_copy(copy, in.ptr, in.len);
        const struct mln_value *v = NULL;
        struct mln_err err = mln_cbor_parse(cx, mln_bytes_at(copy, in.len), &v);
        if (rows[i].refused != NULL) {
            kit_expect_at(cx, err, MLN_E_PARSE, rows[i].refused, rows[i].hex, __FILE__, __LINE__);
            assert_null(v);
            continue;
        }
        kit_expect(cx, rows[i].hex, err, MLN_E_OK);
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_json_print(&buf, v, MLN_JSON_COMPACT);
        kit_text(mln_buf_bytes(&buf), rows[i].json);
        mln_buf_clear(&buf);
        mln_cbor_print(&buf, v);
        kit_same(cx, mln_buf_bytes(&buf), in);
    }
}

static void test_flags_survive(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct {
        const struct mln_value *v;
        uint8_t flags;
    } marked[] = {
        {mln_text(cx, "a"), 0},
        {mln_secret_string(cx, MLN_BYTES("a")), MLN_VALUE_SECRET},
        {mln_blob(cx, MLN_BYTES("a")), MLN_VALUE_BYTES},
        {mln_string(cx, MLN_BYTES("\xff")), MLN_VALUE_BYTES}, /* no text: it travels as bytes */
        {mln_secret_string(cx, MLN_BYTES("\xff")), MLN_VALUE_SECRET | MLN_VALUE_BYTES},
    };
    for (size_t i = 0; i < MLN_COUNT(marked); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_cbor_print(&buf, marked[i].v);
        const struct mln_value *again;
        kit_ok(cx, mln_cbor_parse(cx, mln_buf_bytes(&buf), &again));
        assert_int_equal(again->flags, marked[i].flags);
        assert_true(mln_bytes_eq(mln_get_bytes(again), mln_get_bytes(marked[i].v)));
    }
}

static void test_sorted_is_canonical(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const same[] = {"{\"a\":1,\"b\":{\"x\":1,\"y\":2}}", "{\"b\":{\"y\":2,\"x\":1},\"a\":1}"};
    struct mln_bytes first = MLN_BYTES_NONE;
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        const struct mln_value *v;
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(same[i]), &v));
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        mln_cbor_print_sorted(&buf, v);
        struct mln_bytes got = mln_bytes_dup(cx, mln_buf_bytes(&buf));
        if (i == 0) {
            first = got;
        }
        kit_same(cx, got, first);
        mln_buf_clear(&buf);
        mln_cbor_print(&buf, v);
        assert_int_equal(mln_bytes_eq(mln_buf_bytes(&buf), first), i == 0);
    }
}

static void test_depth(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (int depth = 60; depth < 100; depth++) {
        uint8_t text[101];
        mln_fill(text, 0x81, (size_t)depth);
        text[depth] = 0;
        const struct mln_value *v = NULL;
        struct mln_err err = mln_cbor_parse(cx, mln_bytes_at(text, (size_t)depth + 1), &v);
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        if (depth > 80) {
            kit_refused_with(cx, err, MLN_E_PARSE, "too deep");
            continue;
        }
        kit_ok(cx, err);
        mln_cbor_print(&buf, v);
        kit_same(cx, mln_buf_bytes(&buf), mln_bytes_at(text, (size_t)depth + 1));
    }
    struct mln_value *deep = mln_object(cx);
    for (int i = 0; i < 100; i++) {
        struct mln_value *outer = mln_object(cx);
        mln_put(cx, outer, "x", deep);
        deep = outer;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_cbor_print(&buf, deep);
    kit_refused(cx, mln_buf_ok(cx, &buf), MLN_E_TOO_LARGE);
}

static void test_many(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *o = mln_object(cx);
    for (int i = 0; i < 70000; i++) {
        mln_put_int(cx, o, mln_text_format(cx, "k%d", i), i - 35000);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_cbor_print(&buf, o);
    const struct mln_value *v;
    kit_ok(cx, mln_cbor_parse(cx, mln_buf_bytes(&buf), &v));
    assert_true(mln_value_eq(o, v));
    assert_int_equal(mln_get_int(mln_get(v, "k69999"), 0), 34999);
}

static struct mln_err print_and_parse(struct mln_cx *cx, void *arg)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_cbor_print_sorted(&buf, arg);
    MLN_TRY(mln_buf_ok(cx, &buf));
    const struct mln_value *v;
    return mln_cbor_parse(cx, mln_buf_bytes(&buf), &v);
}

static void test_faults(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *o = mln_object(cx);
    for (int i = 0; i < 30; i++) {
        struct mln_value *list = mln_array(cx);
        mln_push_text(cx, list, "a string of some length");
        mln_put(cx, o, mln_text_format(cx, "k%d", i), list);
    }
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, print_and_parse, o) > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),  KIT_TEST(test_flags_survive), KIT_TEST(test_sorted_is_canonical),
        KIT_TEST(test_depth), KIT_TEST(test_many),          KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
