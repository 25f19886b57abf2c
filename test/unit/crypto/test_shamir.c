/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splitting and combining: every subset of shares, shares of another implementation, wrong sets,
 * limits.
 */
#include "kit/kit.h"

#include "base/clock.h"
#include "crypto/crypto.h"

typedef uint8_t share_row[MLN_SHAMIR_SECRET_MAX + 1];

static void combine_is(struct mln_cx *cx, const struct mln_bytes *shares, size_t n,
                       struct mln_bytes want, bool is_equal)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret got = {0};
    kit_ok(cx, mln_shamir_combine(cx, shares, n, &got));
    assert_int_equal(got.len, want.len);
    assert_int_equal(mln_eq_ct(got.ptr, got.len, want.ptr, want.len), is_equal);
}

static void test_subsets(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t secret[32];
    share_row shares[5];
    mln_random(secret, sizeof(secret));
    kit_ok(cx, mln_shamir_split(cx, mln_bytes_at(secret, 32), 5, 3, shares));
    for (unsigned set = 1; set < 32; set++) {
        struct mln_bytes given[5];
        size_t n = 0;
        for (unsigned i = 5; i-- > 0;) {
            if (set >> i & 1) {
                given[n++] = mln_bytes_at(shares[i], 33);
            }
        }
        if (n >= 2) {
            combine_is(cx, given, n, mln_bytes_at(secret, 32), n >= 3);
        }
    }
    shares[0][4] ^= 1; /* a damaged share gives another secret, silently: the seal checks it */
    struct mln_bytes given[3] = {mln_bytes_at(shares[0], 33), mln_bytes_at(shares[1], 33),
                                 mln_bytes_at(shares[2], 33)};
    combine_is(cx, given, 3, mln_bytes_at(secret, 32), false);
}

/*
 * f(x) = s + a x over GF(2^8)/0x11b by hand: s = 0x53, a = 0xca: f(1) = 0x99, f(2) = 0xdc (0xca * 2
 * = 0x8f).
 */
static void test_known(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t one[2] = {0x53 ^ 0xca, 1}, two[2] = {0x53 ^ 0x8f, 2};
    uint8_t secret[1] = {0x53};
    struct mln_bytes given[2] = {mln_bytes_at(one, 2), mln_bytes_at(two, 2)};
    combine_is(cx, given, 2, mln_bytes_at(secret, 1), true);
}

static const struct {
    const char *name;
    size_t secret_n;
    unsigned shares, threshold;
    enum mln_code want;
} splits[] = {
    {"two of two", 32, 2, 2, MLN_E_OK},
    {"one of one", 32, 1, 1, MLN_E_OK},
    {"shortest", 1, 3, 2, MLN_E_OK},
    {"longest and most", 64, 255, 255, MLN_E_OK},
    {"no secret", 0, 3, 2, MLN_E_INVALID},
    {"too long", 65, 3, 2, MLN_E_INVALID},
    {"one of three", 32, 3, 1, MLN_E_INVALID},
    {"none", 32, 0, 0, MLN_E_INVALID},
    {"threshold over shares", 32, 3, 4, MLN_E_INVALID},
    {"too many", 32, 256, 3, MLN_E_INVALID},
};

static void test_split_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    uint8_t secret[65];
    mln_random(secret, sizeof(secret));
    for (size_t i = 0; i < MLN_COUNT(splits); i++) {
        share_row *shares = mln_new(cx, 256 * sizeof(share_row));
        size_t n = splits[i].secret_n;
        unsigned k = splits[i].threshold;
        kit_expect(cx, splits[i].name,
                   mln_shamir_split(cx, mln_bytes_at(secret, n), splits[i].shares, k, shares),
                   splits[i].want);
        if (splits[i].want != MLN_E_OK) {
            continue;
        }
        bool is_taken[256] = {false};
        struct mln_bytes given[255];
        for (unsigned s = 0; s < splits[i].shares; s++) {
            given[s] = mln_bytes_at(shares[s], k == 1 ? n : n + 1);
            assert_true(k == 1 || (shares[s][n] != 0 && !is_taken[shares[s][n]]));
            is_taken[shares[s][n]] = true;
        }
        combine_is(cx, given, k, mln_bytes_at(secret, n), true);
    }
}

static void test_combine_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_secret_drop) struct mln_secret got = {0};
    uint8_t zero_place[3] = {1, 2, 0};
    struct mln_bytes a = MLN_BYTES("ab\x01"), b = MLN_BYTES("cd\x02"), shorter = MLN_BYTES("e\x03");
    struct mln_bytes zero = mln_bytes_at(zero_place, 3);
    const struct {
        const char *name;
        struct mln_bytes shares[2];
        size_t n;
    } sets[] = {
        {"none", {a, b}, 0},
        {"twice the same", {a, a}, 2},
        {"lengths differ", {a, shorter}, 2},
        {"place zero", {a, zero}, 2},
        {"empty", {MLN_BYTES_NONE, MLN_BYTES_NONE}, 2},
        {"one byte", {MLN_BYTES("a"), MLN_BYTES("b")}, 2},
    };
    for (size_t i = 0; i < MLN_COUNT(sets); i++) {
        kit_expect(cx, sets[i].name, mln_shamir_combine(cx, sets[i].shares, sets[i].n, &got),
                   MLN_E_INVALID);
        assert_null(got.ptr);
    }
}

/*
 * Each byte of one share of 2-of-2 takes all values about equally often: a share says nothing of
 * the secret.
 */
static void test_shares_look_random(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    unsigned seen[256] = {0};
    uint8_t secret[64] = {0};
    for (unsigned i = 0; i < 400; i++) {
        share_row shares[2];
        kit_ok(cx, mln_shamir_split(cx, mln_bytes_at(secret, 64), 2, 2, shares));
        for (size_t at = 0; at < 64; at++) {
            seen[shares[0][at]]++;
        }
    }
    for (unsigned v = 0; v < 256; v++) { /* 100 expected, 10 is one deviation */
        assert_in_range(seen[v], 40, 170);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_subsets),
        KIT_TEST(test_known),
        KIT_TEST(test_split_limits),
        KIT_TEST(test_combine_refused),
        KIT_TEST(test_shares_look_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
