/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf by tables: bytes as protoc's own encoders write them, and what is refused. */
#include "kit/kit.h"

#include <string.h>

#include "api/protobuf.h"
#include "base/json.h"
#include "base/text.h"

static const struct mln_pb_field inner[] = {{1, "name", MLN_PB_STRING, MLN_PB_ONE, NULL}, {2, "n", MLN_PB_INT, MLN_PB_ONE, NULL}, {0}};
static const struct mln_pb_field outer[] = {
    {1, "text", MLN_PB_STRING, MLN_PB_ONE, NULL},      {2, "blob", MLN_PB_BYTES, MLN_PB_ONE, NULL},
    {3, "yes", MLN_PB_BOOL, MLN_PB_ONE, NULL},         {4, "texts", MLN_PB_STRING, MLN_PB_MANY, NULL},
    {5, "inner", MLN_PB_MESSAGE, MLN_PB_ONE, inner},   {6, "many", MLN_PB_MESSAGE, MLN_PB_MANY, inner},
    {7, "map", MLN_PB_STRING, MLN_PB_MAP, NULL},       {8, "maps", MLN_PB_MESSAGE, MLN_PB_MAP, inner},
    {16, "secret", MLN_PB_SECRET, MLN_PB_ONE, NULL},   {17, "n", MLN_PB_INT, MLN_PB_ONE, NULL},
    {18, "any", MLN_PB_STRUCT, MLN_PB_ONE, NULL},      {0},
};

static const char *text_of(struct mln_cx *cx, const struct mln_value *value)
{
    struct mln_buf buf = {0};
    mln_json_print(&buf, value, MLN_JSON_COMPACT);
    const char *text = mln_text_dup(cx, mln_buf_bytes(&buf));
    mln_buf_drop(&buf);
    return text;
}

static void unhex(struct mln_cx *cx, const char *hex, struct mln_buf *ret)
{
    kit_ok(cx, mln_hex_parse(cx, mln_bytes_of(hex), ret));
}

static void test_read(void **state)
{
    static const struct {
        const char *hex, *json; /* NULL = refused */
    } rows[] = {
        {"", "{}"},
        {"0a0161", "{\"text\":\"a\"}"},
        {"0a00", "{\"text\":\"\"}"},
        {"1801", "{\"yes\":true}"},
        {"1800", "{\"yes\":false}"},
        {"220161220162", "{\"texts\":[\"a\",\"b\"]}"},
        {"2a050a01611002", "{\"inner\":{\"name\":\"a\",\"n\":2}}"},
        {"3200320310ff01", "{\"many\":[{},{\"n\":255}]}"},
        {"3a060a016b120176", "{\"map\":{\"k\":\"v\"}}"},
        {"3a030a016b", "{\"map\":{\"k\":\"\"}}"},
        {"3a00", "{\"map\":{\"\":\"\"}}"},
        {"42070a016b12021001", "{\"maps\":{\"k\":{\"n\":1}}}"},
        {"880105", "{\"n\":5}"},
        {"8801ffffffffffffffffff01", "{\"n\":-1}"},
        {"9a0603616263", "{}"}, /* unknown field 99 */
        {"9d0601020304990601020304050607089806ff01", "{}"},
        {"0a0161f20700", "{\"text\":\"a\"}"},
        {"0a", NULL}, {"0a02", NULL}, {"0a0261", NULL}, {"08", NULL}, {"0801", NULL} /* varint where a text is due */,
        {"1a0101", NULL} /* bytes where a bool is due */, {"0a01ff", NULL} /* no UTF-8 */, {"0a02c080", NULL},
        {"0a01610a0162", NULL} /* twice */, {"18011801", NULL}, {"2a002a00", NULL}, {"3a060a016b1201763a060a016b120177", NULL},
        {"2a020a05", NULL} /* the inner one is short */, {"2a01ff", NULL}, {"0000", NULL} /* field 0 */, {"0b0c", NULL} /* groups */,
        {"1880808080808080808002", NULL} /* more than 64 bits */, {"ffffffffff0f00", NULL}, {"9201020a00", NULL} /* printed only */,
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_buf bytes = {0};
        const struct mln_value *got = NULL;
        unhex(cx, rows[i].hex, &bytes);
        struct mln_err err = mln_pb_decode(cx, outer, mln_buf_bytes(&bytes), &got);
        if (mln_failed(err) != (rows[i].json == NULL)) {
            fail_msg("%s: %s", rows[i].hex, mln_failed(err) ? cx->text : "taken");
        }
        if (rows[i].json != NULL) {
            assert_string_equal(text_of(cx, got), rows[i].json);
            struct mln_buf again = {0};
            const struct mln_value *same = NULL;
            kit_ok(cx, mln_pb_encode(cx, outer, got, &again));
            kit_ok(cx, mln_pb_decode(cx, outer, mln_buf_bytes(&again), &same));
            mln_buf_drop(&again);
        }
        mln_cx_clear(cx);
        mln_buf_drop(&bytes);
    }
}

static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf bytes = {0};
    const struct mln_value *got = NULL;
    for (unsigned i = 0; i <= MLN_PB_ITEMS_MAX; i++) {
        if (i == MLN_PB_ITEMS_MAX) {
            kit_ok(cx, mln_pb_decode(cx, outer, mln_buf_bytes(&bytes), &got));
            assert_int_equal(mln_len(mln_get(got, "texts")), MLN_PB_ITEMS_MAX);
        }
        mln_buf_add(&bytes, "\x22\x01x", 3);
    }
    kit_refused(cx, mln_pb_decode(cx, outer, mln_buf_bytes(&bytes), &got), MLN_E_TOO_LARGE);
    mln_buf_drop(&bytes);
}

static void test_secret(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf bytes = {0};
    const struct mln_value *got = NULL;
    unhex(cx, "82010161", &bytes);
    kit_ok(cx, mln_pb_decode(cx, outer, mln_buf_bytes(&bytes), &got));
    assert_int_equal(mln_get(got, "secret")->flags & MLN_VALUE_SECRET, MLN_VALUE_SECRET);
    mln_buf_drop(&bytes);
}

/* JSON to bytes. google.protobuf.Struct as Go's structpb writes it: every member has its value, defaults too. */
static void test_print(void **state)
{
    static const struct {
        const char *json, *hex; /* NULL = refused */
    } rows[] = {
        {"{}", ""},
        {"null", ""},
        {"{\"text\":\"a\",\"yes\":true,\"n\":300}", "0a016118018801ac02"},
        {"{\"text\":\"\",\"yes\":false,\"n\":0,\"blob\":null,\"texts\":[],\"map\":{},\"unknown\":1}", ""},
        {"{\"texts\":[\"\",\"b\"]}", "2200220162"},
        {"{\"inner\":{}}", "2a00"},
        {"{\"inner\":{\"name\":\"a\"}}", "2a030a0161"},
        {"{\"map\":{\"k\":\"v\",\"\":\"\"}}", "3a060a016b1201763a040a001200"},
        {"{\"n\":-1}", "8801ffffffffffffffffff01"},
        {"{\"any\":{}}", "920100"},
        {"{\"any\":{\"a\":null}}", "9201090a070a016112020800"},
        {"{\"any\":{\"a\":1}}", "9201100a0e0a0161120911000000000000f03f"},
        {"{\"any\":{\"a\":0.5}}", "9201100a0e0a0161120911000000000000e03f"},
        {"{\"any\":{\"a\":\"x\"}}", "92010a0a080a016112031a0178"},
        {"{\"any\":{\"a\":false}}", "9201090a070a016112022000"},
        {"{\"any\":{\"a\":{}}}", "9201090a070a016112022a00"},
        {"{\"any\":{\"a\":[\"x\"]}}", "92010e0a0c0a0161120732050a031a0178"},
        {"{\"text\":1}", NULL}, {"{\"yes\":1}", NULL}, {"{\"n\":\"1\"}", NULL}, {"{\"texts\":\"a\"}", NULL}, {"{\"map\":[]}", NULL},
        {"{\"inner\":[]}", NULL}, {"{\"any\":1}", NULL}, {"{\"map\":{\"k\":1}}", NULL}, {"{\"n\":1.5}", NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_buf bytes = {0};
        const struct mln_value *value = NULL;
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(rows[i].json), &value));
        struct mln_err err = mln_pb_encode(cx, outer, value, &bytes);
        if (mln_failed(err) != (rows[i].hex == NULL)) {
            fail_msg("%s: %s", rows[i].json, mln_failed(err) ? cx->text : "taken");
        }
        if (rows[i].hex != NULL && strcmp(mln_hex_text(cx, mln_buf_bytes(&bytes)), rows[i].hex) != 0) {
            fail_msg("%s: %s", rows[i].json, mln_hex_text(cx, mln_buf_bytes(&bytes)));
        }
        mln_cx_clear(cx);
        mln_buf_drop(&bytes);
    }
}

/* Long members: the length in front grows over its first byte. */
static void test_long(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t n = 100; n < 40000; n = n * 3 / 2) {
        struct mln_value *value = mln_object(cx), *in = mln_object(cx), *many = mln_array(cx);
        uint8_t *big = mln_new(cx, n);
        mln_fill(big, 'x', n);
        mln_put_bytes(cx, in, "name", mln_bytes_at(big, n));
        mln_push(cx, many, in);
        mln_push(cx, many, in);
        mln_put(cx, value, "many", many);
        struct mln_buf bytes = {0};
        const struct mln_value *got = NULL;
        kit_ok(cx, mln_pb_encode(cx, outer, value, &bytes));
        kit_ok(cx, mln_pb_decode(cx, outer, mln_buf_bytes(&bytes), &got));
        assert_true(mln_value_eq(got, value));
        mln_buf_drop(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_read), KIT_TEST(test_limits), KIT_TEST(test_secret), KIT_TEST(test_print),
                                       KIT_TEST(test_long)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
