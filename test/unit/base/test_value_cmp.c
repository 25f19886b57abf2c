/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include "base/json.h"

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

static int sign(int x)
{
    return (x > 0) - (x < 0);
}

/* In ascending order; rows of the same rank are equal. */
static void test_total_order(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        int rank;
        const char *text;
    } rows[] = {
        {0, "null"},
        {1, "false"},
        {2, "true"},
        {3, "-1e400"},
        {4, "-9223372036854775809"},
        {5, "-9223372036854775808"},
        {6, "-2"},
        {7, "-1.5"},
        {7, "-15e-1"},
        {7, "-0.15E1"},
        {8, "-1"},
        {9, "-0.001"},
        {10, "0"},
        {10, "-0"},
        {10, "0.000"},
        {10, "0e99"},
        {11, "1e-400"},
        {12, "0.0009"},
        {13, "0.001"},
        {13, "1e-3"},
        {14, "1"},
        {14, "1.000"},
        {14, "10e-1"},
        {14, "0.01e2"},
        {15, "1.0000000000000000000000000001"},
        {16, "9"},
        {17, "10"},
        {17, "1e1"},
        {18, "10.5"},
        {19, "9007199254740992"},
        {20, "9007199254740993"},
        {21, "9223372036854775807"},
        {22, "9223372036854775808"},
        {23, "1e400"},
        {24, "1e401"},
        {30, "\"\""},
        {31, "\"a\""},
        {32, "\"aa\""},
        {33, "\"b\""},
        {40, "[]"},
        {41, "[1]"},
        {41, "[1.0]"},
        {42, "[1,2]"},
        {43, "[2]"},
        {44, "[\"a\"]"},
        {50, "{}"},
        {51, "{\"a\":1}"},
        {52, "{\"a\":1,\"b\":2}"},
        {52, "{\"b\":2,\"a\":1}"},
        {53, "{\"a\":2}"},
        {54, "{\"b\":0}"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        for (size_t j = 0; j < MLN_COUNT(rows); j++) {
            const struct mln_value *a = json(cx, rows[i].text);
            const struct mln_value *b = json(cx, rows[j].text);
            int want = sign(rows[i].rank - rows[j].rank);
            if (sign(mln_value_cmp(a, b)) != want || mln_value_eq(a, b) != (want == 0)) {
                fail_msg("%s against %s", rows[i].text, rows[j].text);
            }
        }
    }
}

static void test_sets_come_last(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *set = mln_set(cx);
    assert_true(mln_value_cmp(set, json(cx, "{\"z\":1}")) > 0);
    struct mln_value *other = mln_set(cx);
    mln_push(cx, other, mln_int(cx, 1));
    assert_true(mln_value_cmp(set, other) < 0);
    mln_push(cx, set, mln_int(cx, 1));
    assert_true(mln_value_eq(set, other));
    assert_true(mln_value_eq(NULL, mln_null(cx)));
    assert_false(mln_value_eq(NULL, set));
}

static void test_flags(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    assert_true(mln_value_eq(mln_text(cx, "a"), mln_secret_string(cx, MLN_BYTES("a"))));
    assert_true(mln_value_cmp(mln_text(cx, "a"), mln_blob(cx, MLN_BYTES("a"))) < 0);
    assert_false(mln_value_eq(mln_text(cx, "a"), mln_blob(cx, MLN_BYTES("a"))));
}

static struct mln_value *many(struct mln_cx *cx, int n, int step)
{
    struct mln_value *o = mln_object(cx);
    for (int i = 0; i < n; i++) {
        mln_put_int(cx, o, mln_text_format(cx, "k%d", i * step % n), i * step % n);
    }
    return o;
}

/* Also without memory to sort in. */
static void test_large_objects(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *a = many(cx, 101, 1);
    const struct mln_value *b = many(cx, 101, 7);
    struct mln_value *c = many(cx, 101, 3);
    mln_put_int(cx, c, "k50", 51);
    struct mln_value *d = many(cx, 101, 1);
    mln_put_int(cx, d, "zz", 0);
    for (int fault = 0; fault < 2; fault++) {
        mln_fault_arm(MLN_FAULT_ALLOC, (uint64_t)fault, true);
        assert_int_equal(mln_value_cmp(a, b), 0);
        assert_true(mln_value_cmp(a, c) < 0 && mln_value_cmp(c, a) > 0);
        assert_true(mln_value_cmp(a, d) < 0 && mln_value_cmp(d, a) > 0);
        assert_true(mln_value_eq(a, b));
        assert_false(mln_value_eq(a, c) || mln_value_eq(a, d));
        mln_fault_arm(MLN_FAULT_ALLOC, 0, false);
    }
}

static void test_dup_is_deep(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char text[] = "{\"k\":[1,2.5,\"s\",null,true,{\"x\":{}}],\"e\":[]}";
    const struct mln_value *v = json(cx, text);
    struct mln_cx *other = kit_cx_new();
    struct mln_value *copy = mln_value_dup(other, v);
    assert_true(mln_value_eq(v, copy));
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        text[i] = '#'; /* the copy does not borrow */
    }
    assert_true(mln_value_eq(copy, json(cx, "{\"e\":[],\"k\":[1,2.5,\"s\",null,true,{\"x\":{}}]}")));
    kit_cx_free(other);
}

static void test_dup_keeps_growing(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *copy = mln_value_dup(cx, many(cx, 20, 1));
    mln_put_int(cx, copy, "more", 1);
    assert_int_equal(mln_len(copy), 21);
    assert_int_equal(mln_get_int(mln_get(copy, "k19"), 0), 19);
    assert_int_equal(mln_get_int(mln_get(copy, "more"), 0), 1);
    struct mln_value *list = mln_value_dup(cx, json(cx, "[1,2,3]"));
    mln_push(cx, list, mln_int(cx, 4));
    assert_int_equal(mln_get_int(mln_item(list, 3), 0), 4);
    assert_true(mln_is_null(mln_value_dup(cx, NULL)));
    struct mln_value *secret = mln_value_dup(cx, mln_secret_string(cx, MLN_BYTES("s")));
    assert_int_equal(secret->flags, MLN_VALUE_SECRET);
}

static void test_dup_too_deep(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *v = mln_array(cx);
    for (int i = 0; i < 300; i++) {
        struct mln_value *outer = mln_array(cx);
        mln_push(cx, outer, v);
        v = outer;
    }
    assert_true(mln_is_null(mln_value_dup(cx, v)));
    kit_refused(cx, mln_cx_err(cx), MLN_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_total_order),   KIT_TEST(test_sets_come_last),    KIT_TEST(test_flags),
        KIT_TEST(test_large_objects), KIT_TEST(test_dup_is_deep),       KIT_TEST(test_dup_keeps_growing),
        KIT_TEST(test_dup_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
