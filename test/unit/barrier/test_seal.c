/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Initialising and unsealing by shares and by key file; wrong shares, changed rows, crashes in
 * between.
 */
#include "barrier_kit.h"

#include <stdio.h>
#include <sys/stat.h>

#include "barrier/seal.h"

struct sealed {
    struct vault v;
    struct mln_seal *seal;
    struct mln_bytes shares[255];
    size_t n;
    char dir[KIT_PATH_MAX], keyfile[KIT_PATH_MAX];
};

static int seal_setup(void **state)
{
    struct sealed *s = calloc(1, sizeof(*s));
    vault_open_sealed(&s->v);
    kit_ok(s->v.cx, mln_seal_new(s->v.cx, s->v.store, s->v.barrier, &s->seal));
    kit_tmpdir(s->dir);
    kit_path(s->keyfile, s->dir, "key");
    *state = s;
    return 0;
}

static int seal_teardown(void **state)
{
    struct sealed *s = *state;
    mln_seal_free(s->seal);
    mln_seal_free(NULL);
    kit_rmtree(s->dir);
    return vault_teardown(state); /* the vault is the first member */
}

#define SEAL_TEST(fn) cmocka_unit_test_setup_teardown(fn, seal_setup, seal_teardown)

static struct mln_err init(struct sealed *s, enum mln_seal_kind kind, unsigned shares,
                           unsigned threshold)
{
    struct mln_seal_config config = {.kind = kind, .shares = shares, .threshold = threshold};
    return mln_seal_init(s->v.cx, s->seal, &config, s->keyfile, s->shares, &s->n);
}

static struct mln_err give(struct sealed *s, struct mln_bytes share, unsigned *ret)
{
    return mln_seal_give(s->v.cx, s->seal, share, ret);
}

static void give_counts(struct sealed *s, size_t which, unsigned want)
{
    unsigned progress = 99;
    kit_ok(s->v.cx, give(s, s->shares[which], &progress));
    assert_int_equal(progress, want);
    assert_int_equal(mln_barrier_is_sealed(s->v.barrier), want != 0);
}

static void test_shares(void **state)
{
    struct sealed *s = *state;
    struct mln_seal_config config;
    struct mln_seal_progress progress;
    unsigned n = 0;
    kit_refused(s->v.cx, mln_seal_read_config(s->v.cx, s->seal, &config), MLN_E_UNINIT);
    kit_refused(s->v.cx, give(s, MLN_BYTES("x"), &n), MLN_E_UNINIT);
    kit_ok(s->v.cx, init(s, MLN_SEAL_SHAMIR, 5, 3));
    assert_int_equal(s->n, 5);
    assert_int_equal(s->shares[0].len, 33);
    assert_true(mln_barrier_is_sealed(s->v.barrier));
    kit_refused(s->v.cx, init(s, MLN_SEAL_SHAMIR, 5, 3), MLN_E_EXISTS);
    kit_ok(s->v.cx, mln_seal_read_config(s->v.cx, s->seal, &config));
    assert_true(config.kind == MLN_SEAL_SHAMIR && config.shares == 5 && config.threshold == 3);
    give_counts(s, 4, 1);
    give_counts(s, 4, 1); /* the same again */
    give_counts(s, 0, 2);
    mln_seal_progress(s->seal, &progress);
    assert_int_equal(progress.given, 2);
    assert_int_equal(mln_bytes_of(progress.nonce).len, 36);
    give_counts(s, 2, 0);
    give_counts(s, 1, 0); /* unsealed already */
    mln_seal_progress(s->seal, &progress);
    assert_true(progress.given == 0 && progress.nonce[0] == '\0');
    mln_barrier_seal(s->v.barrier);
    give_counts(s, 3, 1);
    mln_seal_reset(s->seal);
    give_counts(s, 1, 1);
    give_counts(s, 0, 2);
    give_counts(s, 3, 0);
}

static void test_one_share(void **state)
{
    struct sealed *s = *state;
    unsigned n = 9;
    kit_ok(s->v.cx, init(s, MLN_SEAL_SHAMIR, 1, 1));
    assert_int_equal(s->shares[0].len, 32);
    uint8_t wrong[32] = {0};
    kit_refused(s->v.cx, give(s, mln_bytes_at(wrong, 32), &n), MLN_E_FORGED);
    give_counts(s, 0, 0);
}

static void test_wrong_shares(void **state)
{
    struct sealed *s = *state;
    unsigned n = 9;
    kit_ok(s->v.cx, init(s, MLN_SEAL_SHAMIR, 3, 2));
    uint8_t wrong[33];
    mln_copy(wrong, s->shares[0].ptr, 33);
    wrong[7] ^= 1;
    give_counts(s, 1, 1);
    kit_refused(s->v.cx, give(s, mln_bytes_at(wrong, 33), &n), MLN_E_FORGED);
    give_counts(s, 0, 1); /* from the start again */
    kit_refused(s->v.cx, give(s, mln_bytes_at(wrong, 33), &n), MLN_E_FORGED); /* two of one place */
    kit_refused(s->v.cx, give(s, mln_bytes_at(wrong, 32), &n), MLN_E_INVALID);
    kit_refused(s->v.cx, give(s, MLN_BYTES_NONE, &n), MLN_E_INVALID);
    kit_refused(s->v.cx, mln_seal_open_keyfile(s->v.cx, s->seal, s->keyfile), MLN_E_UNSUPPORTED);
    give_counts(s, 2, 1);
    give_counts(s, 0, 0);
}

static const struct {
    enum mln_seal_kind kind;
    unsigned shares, threshold;
    enum mln_code want;
} configs[] = {
    {MLN_SEAL_SHAMIR, 0, 0, MLN_E_INVALID},       {MLN_SEAL_SHAMIR, 3, 1, MLN_E_INVALID},
    {MLN_SEAL_SHAMIR, 3, 4, MLN_E_INVALID},       {MLN_SEAL_SHAMIR, 256, 2, MLN_E_INVALID},
    {MLN_SEAL_SHAMIR, 1, 2, MLN_E_INVALID},       {MLN_SEAL_KEYFILE, 3, 2, MLN_E_INVALID},
    {(enum mln_seal_kind)7, 1, 1, MLN_E_INVALID}, {MLN_SEAL_SHAMIR, 255, 255, MLN_E_OK},
};

static void test_configs(void **state)
{
    struct sealed *s = *state;
    for (size_t i = 0; i < MLN_COUNT(configs); i++) {
        kit_expect(s->v.cx, "config",
                   init(s, configs[i].kind, configs[i].shares, configs[i].threshold),
                   configs[i].want);
    }
    for (size_t i = 0; i < 255; i++) {
        give_counts(s, i, i < 254 ? (unsigned)i + 1 : 0);
    }
    struct mln_seal_config nameless = {.kind = MLN_SEAL_KEYFILE, .shares = 1, .threshold = 1};
    kit_refused(s->v.cx, mln_seal_init(s->v.cx, s->seal, &nameless, NULL, s->shares, &s->n),
                MLN_E_INVALID);
}

static void test_keyfile(void **state)
{
    struct sealed *s = *state;
    struct stat st;
    unsigned n = 0;
    kit_ok(s->v.cx, init(s, MLN_SEAL_KEYFILE, 1, 1));
    assert_int_equal(s->n, 0);
    assert_int_equal(stat(s->keyfile, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct mln_bytes text = kit_read_file(s->v.cx, s->keyfile);
    kit_refused(s->v.cx, give(s, MLN_BYTES("x"), &n), MLN_E_UNSUPPORTED);
    kit_ok(s->v.cx, mln_seal_open_keyfile(s->v.cx, s->seal, s->keyfile));
    assert_false(mln_barrier_is_sealed(s->v.barrier));
    mln_barrier_seal(s->v.barrier);
    const struct {
        const char *name;
        struct mln_bytes text;
        unsigned mode;
        enum mln_code want;
    } rows[] = {
        {"of others", text, 0640, MLN_E_DENIED},
        {"cut short", mln_bytes_sub(text, 0, 63), 0600, MLN_E_PARSE},
        {"empty", MLN_BYTES(""), 0600, MLN_E_PARSE},
        {"no hexadecimal", MLN_BYTES("zz"), 0600, MLN_E_PARSE},
        {"another key",
         MLN_BYTES("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"), 0600,
         MLN_E_FORGED},
        {"without new line", mln_bytes_sub(text, 0, 64), 0400, MLN_E_OK},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        chmod(s->keyfile, 0600);
        kit_write_file(s->keyfile, rows[i].text);
        chmod(s->keyfile, rows[i].mode);
        kit_expect(s->v.cx, rows[i].name, mln_seal_open_keyfile(s->v.cx, s->seal, s->keyfile),
                   rows[i].want);
        assert_int_equal(mln_barrier_is_sealed(s->v.barrier), rows[i].want != MLN_E_OK);
    }
    remove(s->keyfile);
    kit_refused(s->v.cx, mln_seal_open_keyfile(s->v.cx, s->seal, s->keyfile), MLN_E_NOT_FOUND);
}

static void test_keyfile_of_another(void **state)
{
    struct sealed *s = *state;
    kit_write_file(s->keyfile, MLN_BYTES("precious"));
    kit_refused(s->v.cx, init(s, MLN_SEAL_KEYFILE, 1, 1), MLN_E_EXISTS);
    kit_text(kit_read_file(s->v.cx, s->keyfile), "precious");
    assert_false(mln_barrier_is_initialized(s->v.cx, s->v.barrier));
}

static void test_changed_rows(void **state)
{
    struct sealed *s = *state;
    unsigned n = 0;
    kit_ok(s->v.cx, init(s, MLN_SEAL_SHAMIR, 3, 2));
    struct mln_bytes config = raw_get(&s->v, MLN_BYTES("core/seal-config"));
    struct mln_bytes row = raw_get(&s->v, MLN_BYTES("core/seal"));
    assert_int_equal(config.len, 4);
    static const uint8_t bad[][4] = {{2, 0, 3, 2}, {1, 9, 3, 2}, {1, 0, 3, 4}, {1, 0, 0, 0}};
    struct mln_seal_config read;
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        raw_put(&s->v, MLN_BYTES("core/seal-config"), mln_bytes_at(bad[i], 4));
        kit_refused(s->v.cx, mln_seal_read_config(s->v.cx, s->seal, &read), MLN_E_CORRUPT);
    }
    static const uint8_t fewer[] = {1, 0, 5, 2}; /* plausible, but not what was sealed */
    raw_put(&s->v, MLN_BYTES("core/seal-config"), mln_bytes_at(fewer, 4));
    give_counts(s, 0, 1);
    kit_refused(s->v.cx, give(s, s->shares[1], &n), MLN_E_FORGED);
    raw_put(&s->v, MLN_BYTES("core/seal-config"), config);
    uint8_t bytes[256];
    for (size_t i = 0; i < row.len; i += 5) {
        mln_copy(bytes, row.ptr, row.len);
        bytes[i] ^= 2;
        raw_put(&s->v, MLN_BYTES("core/seal"), mln_bytes_at(bytes, row.len));
        give_counts(s, 0, 1);
        kit_refused(s->v.cx, give(s, s->shares[1], &n), MLN_E_FORGED);
    }
    raw_put(&s->v, MLN_BYTES("core/seal"), row);
    give_counts(s, 0, 1);
    give_counts(s, 1, 0);
}

/* Initialising fails at each commit: it can be done again, and no key file is left behind. */
static void test_failed_init(void **state)
{
    struct sealed *s = *state;
    struct stat st;
    for (uint64_t nth = 1; nth <= 2; nth++) {
        s->v.control->fail_commit_at = nth;
        kit_refused(s->v.cx, init(s, MLN_SEAL_KEYFILE, 1, 1), MLN_E_IO);
        assert_int_equal(stat(s->keyfile, &st), -1);
        struct mln_seal_config config;
        kit_refused(s->v.cx, mln_seal_read_config(s->v.cx, s->seal, &config), MLN_E_UNINIT);
    }
    s->v.control->fail_commit_at = 0;
    kit_ok(s->v.cx, init(s, MLN_SEAL_SHAMIR, 2, 2));
    give_counts(s, 0, 1);
    give_counts(s, 1, 0);
}

static struct mln_err unseal_all(struct mln_cx *cx, void *arg)
{
    struct sealed *s = arg;
    unsigned n = 9;
    mln_barrier_seal(s->v.barrier);
    mln_seal_reset(s->seal);
    MLN_TRY(mln_seal_give(cx, s->seal, s->shares[0], &n));
    MLN_TRY(mln_seal_give(cx, s->seal, s->shares[1], &n));
    return n == 0 ? MLN_OK : mln_fail(cx, MLN_E_INTERNAL, "not unsealed");
}

static void test_faults(void **state)
{
    struct sealed *s = *state;
    kit_ok(s->v.cx, init(s, MLN_SEAL_SHAMIR, 2, 2));
    assert_true(mln_each_fault_loose(MLN_FAULT_ALLOC, unseal_all, s) > 3);
    kit_ok(s->v.cx, unseal_all(s->v.cx, s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEAL_TEST(test_shares),       SEAL_TEST(test_one_share),
        SEAL_TEST(test_wrong_shares), SEAL_TEST(test_configs),
        SEAL_TEST(test_keyfile),      SEAL_TEST(test_keyfile_of_another),
        SEAL_TEST(test_changed_rows), SEAL_TEST(test_failed_init),
        SEAL_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
