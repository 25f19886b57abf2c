/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of addresses: what is one, what lies in one. */
#include "kit/kit.h"

#include "base/cidr.h"

static void test_has(void **state)
{
    (void)state;
    static const struct {
        const char *block, *address;
        bool want;
    } t[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.1.2.3/8", "10.9.9.9", true}, /* bits beyond the mask mean nothing */
        {"192.168.1.128/25", "192.168.1.129", true},
        {"192.168.1.128/25", "192.168.1.127", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
        {"::ffff:10.0.0.0/104", "10.1.1.1", true},
        {"10.0.0.0/8", "", false},
        {"10.0.0.0/8", "10.0.0.1:80", false},
        {"10.0.0.0/8", "localhost", false},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_cidr block;
        assert_true(mln_cidr_parse(mln_bytes_of(t[i].block), &block));
        assert_int_equal(mln_cidr_has(&block, mln_bytes_of(t[i].address)), t[i].want);
    }
}

static void test_within(void **state)
{
    (void)state;
    static const struct {
        const char *inner, *outer;
        bool want;
    } t[] = {
        {"10.1.0.0/16", "10.0.0.0/8", true}, {"10.0.0.0/8", "10.1.0.0/16", false}, {"10.0.0.0/8", "10.0.0.0/8", true},
        {"10.0.0.1", "0.0.0.0/0", true},     {"::1", "0.0.0.0/0", false},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_cidr inner, outer;
        assert_true(mln_cidr_parse(mln_bytes_of(t[i].inner), &inner));
        assert_true(mln_cidr_parse(mln_bytes_of(t[i].outer), &outer));
        assert_int_equal(mln_cidr_within(&inner, &outer), t[i].want);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const t[] = {"",          "/8",         "10.0.0.0/",   "10.0.0.0/33",  "10.0.0.0/-1",  "10.0.0/8",      "::1/129",
                                    "fe80::1%a", "host/8",     "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/0x8", "010.0.0.0/8"};
    struct mln_cidr block = {.n = 77};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_false(mln_cidr_parse(mln_bytes_of(t[i]), &block));
        assert_int_equal(block.n, 77);
    }
    assert_false(mln_cidr_parse(mln_bytes_at("10.0.0.0\0/8", 11), &block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_has), cmocka_unit_test(test_within), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
