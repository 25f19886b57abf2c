/* SPDX-License-Identifier: Apache-2.0 */
#include "kit/kit.h"

#include <float.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void test_getters_take_anything(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *all[] = {
        NULL,          mln_null(cx),  mln_bool(cx, true), mln_int(cx, 1), mln_decimal(cx, MLN_BYTES("1.5")),
        mln_text(cx, "x"), mln_array(cx), mln_object(cx),     mln_set(cx),
    };
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        enum mln_type type = mln_type_of(all[i]);
        assert_int_equal(mln_is_null(all[i]), type == MLN_NULL);
        assert_int_equal(mln_get_bool(all[i], false), type == MLN_BOOL);
        assert_int_equal(mln_get_int(all[i], 7), type == MLN_INT ? 1 : 7);
        assert_string_equal(mln_get_text(cx, all[i], "no"), type == MLN_STRING ? "x" : "no");
        assert_int_equal(mln_get_bytes(all[i]).len, type == MLN_STRING);
        assert_int_equal(mln_is_text(all[i], "x"), type == MLN_STRING);
        assert_null(mln_get(all[i], "a"));
        assert_null(mln_item(all[i], 0));
        assert_null(mln_member_at(all[i], 0));
        assert_int_equal(mln_len(all[i]), type == MLN_STRING || type == MLN_DECIMAL ? (type == MLN_STRING) : 0);
        assert_non_null(mln_type_name(type));
    }
    assert_string_equal(mln_type_name(MLN_DECIMAL), "number");
    assert_string_equal(mln_type_name((enum mln_type)99), "unknown");
    assert_null(mln_get_text(cx, mln_string(cx, MLN_BYTES("a\0b")), NULL));
    assert_true(mln_is_null(mln_text(cx, NULL)));
}

static void test_numbers(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *literal;
        enum mln_type type; /* MLN_NULL = refused */
        double as_double;
    } rows[] = {
        {"0", MLN_INT, 0},
        {"-1", MLN_INT, -1},
        {"9223372036854775807", MLN_INT, 9223372036854775807.0},
        {"-9223372036854775808", MLN_INT, -9223372036854775808.0},
        {"9223372036854775808", MLN_DECIMAL, 9223372036854775808.0},
        {"-9223372036854775809", MLN_DECIMAL, -9223372036854775808.0},
        {"18446744073709551616", MLN_DECIMAL, 18446744073709551616.0},
        {"-0", MLN_DECIMAL, 0},
        {"1.0", MLN_DECIMAL, 1},
        {"1e5", MLN_DECIMAL, 1e5},
        {"1E+5", MLN_DECIMAL, 1e5},
        {"0.1e-7", MLN_DECIMAL, 0.1e-7},
        {"1e999999999", MLN_DECIMAL, -5}, /* no double: the default */
        {"", MLN_NULL, 0},
        {"-", MLN_NULL, 0},
        {"+1", MLN_NULL, 0},
        {"01", MLN_NULL, 0},
        {"-01", MLN_NULL, 0},
        {"1.", MLN_NULL, 0},
        {".5", MLN_NULL, 0},
        {"1e", MLN_NULL, 0},
        {"1e+", MLN_NULL, 0},
        {"1e9999999999", MLN_NULL, 0},
        {"1 ", MLN_NULL, 0},
        {" 1", MLN_NULL, 0},
        {"0x1", MLN_NULL, 0},
        {"NaN", MLN_NULL, 0},
        {"1e0000000000000001", MLN_DECIMAL, 10},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_value *v = mln_decimal(cx, mln_bytes_of(rows[i].literal));
        assert_int_equal(mln_type_of(v), rows[i].type);
        kit_expect(cx, rows[i].literal, mln_cx_err(cx), rows[i].type == MLN_NULL ? MLN_E_INVALID : MLN_E_OK);
        if (rows[i].type != MLN_NULL) {
            assert_true(mln_get_double(v, -5) >= rows[i].as_double && mln_get_double(v, -5) <= rows[i].as_double);
        }
    }
    char longest[MLN_DECIMAL_DIGITS_MAX + 2];
    memset(longest, '7', sizeof(longest));
    assert_int_equal(mln_type_of(mln_decimal(cx, mln_bytes_at(longest, MLN_DECIMAL_DIGITS_MAX))), MLN_DECIMAL);
    kit_ok(cx, mln_cx_err(cx));
    assert_int_equal(mln_type_of(mln_decimal(cx, mln_bytes_at(longest, MLN_DECIMAL_DIGITS_MAX + 1))), MLN_NULL);
    kit_refused(cx, mln_cx_err(cx), MLN_E_INVALID);
}

static void test_doubles(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        double d;
        const char *want; /* NULL: null */
    } rows[] = {
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "4.94065645841247e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {1e22, "1e+22"},
        {-0.0, "-0"},
        {-2.5, "-2.5"},
        {0.30000000000000004, "0.30000000000000004"},
        {__builtin_inf(), NULL},
        {-__builtin_inf(), NULL},
        {__builtin_nan(""), NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_value *v = mln_double(cx, rows[i].d);
        if (rows[i].want == NULL) {
            assert_true(mln_is_null(v));
            continue;
        }
        assert_int_equal(mln_type_of(v), MLN_DECIMAL);
        kit_text(mln_bytes_at(v->text, v->len), rows[i].want);
        double again = mln_get_double(v, 99);
        assert_memory_equal(&again, &rows[i].d, sizeof(again));
    }
    assert_int_equal(mln_get_int(mln_double(cx, 3.0), 0), 3);
    assert_int_equal(mln_get_int(mln_double(cx, -1e14), 0), -100000000000000);
    kit_ok(cx, mln_cx_err(cx));
}

static void test_arrays(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *array = mln_array(cx);
    for (int i = 0; i < 1000; i++) {
        mln_push(cx, array, mln_int(cx, i));
    }
    mln_push_text(cx, array, "t");
    mln_push_text(cx, array, NULL);
    mln_push(cx, array, NULL);
    assert_int_equal(mln_len(array), 1003);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(mln_get_int(mln_item(array, (size_t)i), -1), i);
    }
    assert_true(mln_is_text(mln_item(array, 1000), "t"));
    assert_true(mln_is_null(mln_item(array, 1001)) && mln_is_null(mln_item(array, 1002)));
    assert_null(mln_item(array, 1003));
    kit_ok(cx, mln_cx_err(cx));
}

static void test_sets(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *set = mln_set(cx);
    for (int i = 0; i < 300; i++) {
        mln_push(cx, set, mln_int(cx, i * 7 % 101));
    }
    mln_push_text(cx, set, "a");
    mln_push(cx, set, mln_bool(cx, true));
    mln_push(cx, set, mln_decimal(cx, MLN_BYTES("5.0"))); /* equals the integer 5 */
    assert_int_equal(mln_len(set), 103);
    for (size_t i = 1; i < mln_len(set); i++) {
        assert_true(mln_value_cmp(mln_item(set, i - 1), mln_item(set, i)) < 0);
    }
    kit_ok(cx, mln_cx_err(cx));
}

/* Objects of every size around the change from comparing to hashing. */
static void test_objects(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const size_t sizes[] = {0, 1, 4, 15, 16, 17, 18, 33, 200, 5000};
    for (size_t s = 0; s < MLN_COUNT(sizes); s++) {
        struct mln_value *o = mln_object(cx);
        for (size_t i = 0; i < sizes[s]; i++) {
            mln_put_int(cx, o, mln_text_format(cx, "key%zu", i), (int64_t)i);
        }
        for (size_t i = 0; i < sizes[s]; i += 3) {
            mln_put_int(cx, o, mln_text_format(cx, "key%zu", i), -(int64_t)i);
        }
        assert_int_equal(mln_len(o), sizes[s]);
        for (size_t i = 0; i < sizes[s]; i++) {
            const char *key = mln_text_format(cx, "key%zu", i);
            assert_int_equal(mln_get_int(mln_get(o, key), 99999), i % 3 == 0 ? -(int64_t)i : (int64_t)i);
            kit_text(mln_member_at(o, i)->key, key);
        }
        assert_null(mln_get(o, "absent"));
        assert_null(mln_get(o, ""));
        assert_null(mln_member_at(o, sizes[s]));
    }
    kit_ok(cx, mln_cx_err(cx));
}

static void test_remove(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const size_t sizes[] = {1, 5, 16, 17, 40};
    for (size_t s = 0; s < MLN_COUNT(sizes); s++) {
        struct mln_value *o = mln_object(cx);
        for (size_t i = 0; i < sizes[s]; i++) {
            mln_put_int(cx, o, mln_text_format(cx, "k%zu", i), (int64_t)i);
        }
        mln_remove(o, MLN_BYTES("none"));
        assert_int_equal(mln_len(o), sizes[s]);
        for (size_t i = 0; i < sizes[s]; i += 2) {
            mln_remove(o, mln_bytes_of(mln_text_format(cx, "k%zu", i)));
        }
        assert_int_equal(mln_len(o), sizes[s] / 2);
        for (size_t i = 0; i < sizes[s]; i++) {
            const struct mln_value *v = mln_get(o, mln_text_format(cx, "k%zu", i));
            assert_int_equal(mln_get_int(v, -1), i % 2 == 0 ? -1 : (int64_t)i);
        }
        for (size_t i = 0; i + 1 < mln_len(o); i++) {
            assert_int_equal(mln_get_int(&mln_member_at(o, i)->value, -1), 2 * i + 1);
        }
        mln_put_int(cx, o, "k0", 5);
        assert_int_equal(mln_get_int(mln_get(o, "k0"), 0), 5);
    }
    mln_remove(NULL, MLN_BYTES("x"));
    mln_remove(mln_array(cx), MLN_BYTES("x"));
    kit_ok(cx, mln_cx_err(cx));
}

static void test_put_kinds(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *o = mln_object(cx);
    mln_put_text(cx, o, "text", "t");
    mln_put_text(cx, o, "none", NULL);
    mln_put_bytes(cx, o, "bytes", MLN_BYTES("bb"));
    mln_put_bool(cx, o, "bool", true);
    mln_put_null(cx, o, "null");
    mln_put_key(cx, o, MLN_BYTES("a\0b"), mln_textf(cx, "%s-%d", "f", 1));
    mln_put(cx, o, "secret", mln_secret_string(cx, MLN_BYTES("s")));
    mln_put(cx, o, "blob", mln_blob(cx, MLN_BYTES("\xff")));
    mln_put(cx, o, "dup", mln_string_dup(cx, MLN_BYTES("d")));
    assert_true(mln_is_text(mln_get(o, "text"), "t"));
    assert_true(mln_get(o, "none") != NULL && mln_is_null(mln_get(o, "none")));
    assert_true(mln_get_bool(mln_get(o, "bool"), false));
    assert_true(mln_is_text(mln_get_key(o, MLN_BYTES("a\0b")), "f-1"));
    assert_null(mln_get(o, "a"));
    assert_int_equal(mln_get(o, "secret")->flags, MLN_VALUE_SECRET);
    assert_int_equal(mln_get(o, "blob")->flags, MLN_VALUE_BYTES);
    assert_int_equal(mln_len(o), 9);
    kit_ok(cx, mln_cx_err(cx));
}

static struct mln_err build_much(struct mln_cx *cx, void *arg)
{
    (void)arg;
    struct mln_value *o = mln_object(cx);
    for (int i = 0; i < 20; i++) {
        struct mln_value *list = mln_array(cx);
        mln_push(cx, list, mln_int(cx, i));
        mln_push(cx, list, mln_double(cx, 0.5));
        mln_push_text(cx, list, "x");
        mln_put(cx, o, mln_text_format(cx, "k%d", i), list);
    }
    struct mln_value *set = mln_set(cx);
    mln_push(cx, set, mln_textf(cx, "%d", 1));
    mln_push(cx, set, mln_string_dup(cx, MLN_BYTES("y")));
    mln_put(cx, o, "set", set);
    mln_put(cx, o, "copy", mln_value_dup(cx, o));
    mln_put(cx, o, "bool", mln_bool(cx, true));
    mln_put(cx, o, "secret", mln_secret_string(cx, MLN_BYTES("s")));
    return mln_cx_err(cx);
}

static void test_exhaustion_sticks(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, build_much, NULL) > 200);
    struct mln_cx none;
    mln_cx_init(&none, NULL);
    struct mln_value *o = mln_object(&none);
    mln_put_int(&none, o, "a", 1);
    mln_push(&none, mln_array(&none), NULL);
    assert_true(mln_is_null(o));
    kit_refused(&none, mln_cx_err(&none), MLN_E_MEMORY);
    /* the shared null is still null for everyone else, and putting into it is not silent */
    mln_put_int(cx, o, "a", 1);
    kit_refused(cx, mln_cx_err(cx), MLN_E_MEMORY);
    assert_true(mln_is_null(o) && mln_get(o, "a") == NULL);
}

static void *read_all(void *arg)
{
    const struct mln_value *o = arg;
    char key[24];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 500; i++) {
            (void)snprintf(key, sizeof(key), "key%d", i);
            if (mln_get_int(mln_get(o, key), -1) != i) {
                return arg;
            }
        }
    }
    return NULL;
}

static void test_threads_share(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *o = mln_object(cx);
    for (int i = 0; i < 500; i++) {
        mln_put_int(cx, o, mln_text_format(cx, "key%d", i), i);
    }
    pthread_t threads[3];
    for (size_t i = 0; i < MLN_COUNT(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, o), 0);
    }
    for (size_t i = 0; i < MLN_COUNT(threads); i++) {
        void *bad;
        assert_int_equal(pthread_join(threads[i], &bad), 0);
        assert_null(bad);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_getters_take_anything), KIT_TEST(test_numbers), KIT_TEST(test_doubles),
        KIT_TEST(test_arrays),                KIT_TEST(test_sets),    KIT_TEST(test_objects),
        KIT_TEST(test_remove),                KIT_TEST(test_put_kinds), KIT_TEST(test_exhaustion_sticks),
        KIT_TEST(test_threads_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
