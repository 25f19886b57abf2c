/* SPDX-License-Identifier: Apache-2.0 */
/* Argon2id texts: round trip, wrong passwords, damaged texts. */
#include "kit/kit.h"

#include "crypto/crypto.h"

static void test_round_trip(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const passwords[] = {"correct horse", "", "with \xc3\xa4 and more"};
    for (size_t i = 0; i < MLN_COUNT(passwords); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        kit_ok(cx, mln_password_hash(cx, mln_bytes_of(passwords[i]), &text));
        assert_true(
            mln_bytes_starts(mln_buf_bytes(&text), MLN_BYTES("$argon2id$v=19$m=65536,t=2,p=1$")));
        kit_ok(cx, mln_password_verify(cx, mln_bytes_of(passwords[i]), mln_buf_bytes(&text)));
        kit_refused(cx, mln_password_verify(cx, MLN_BYTES("wrong"), mln_buf_bytes(&text)),
                    MLN_E_BAD_LOGIN);
        if (i == 0) {
            MLN_AUTO(mln_buf_drop) struct mln_buf other = {0};
            kit_ok(cx, mln_password_hash(cx, mln_bytes_of(passwords[i]), &other));
            assert_false(mln_bytes_eq(mln_buf_bytes(&text), mln_buf_bytes(&other))); /* salted */
        }
    }
}

static const struct {
    const char *name, *text;
} damaged[] = {
    {"empty", ""},
    {"another scheme", "$2b$12$abcdefghijklmnopqrstuv"},
    {"head only", "$argon2id$v=19$"},
    {"bad base64", "$argon2id$v=19$m=65536,t=2,p=1$!!!!$!!!!"},
    {"argon2i",
     "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA"},
    {"too long", "$argon2id$v=19$m=65536,t=2,p=1$"
                 "c29tZXNhbHRzb21lc2FsdHNvbWVzYWx0c29tZXNhbHRzb21lc2FsdHNvbWVzYWx0c29tZX"
                 "NhbHRzb21lc2FsdHNvbWVzYWx0c29tZXNhbHQ"},
};

static void test_damaged(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(damaged); i++) {
        kit_expect(cx, damaged[i].name,
                   mln_password_verify(cx, MLN_BYTES("x"), mln_bytes_of(damaged[i].text)),
                   MLN_E_BAD_LOGIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_round_trip), KIT_TEST(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
