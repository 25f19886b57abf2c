/* SPDX-License-Identifier: Apache-2.0 */
/* An initialisation that is cut off: at every step the store counts as not initialised, and it can be run again.
 * (mln_sys_seal: init, health) */
#include "core_kit.h"

#include "barrier/seal.h"
#include "ledger/ledger.h"

/* What an initialisation leaves when the process dies after this step. */
enum step { SEAL, BARRIER_OPEN, LEDGER };

static void leave(struct ck *k, enum step until)
{
    struct mln_store *store = NULL;
    struct mln_barrier *barrier = NULL;
    struct mln_seal *seal = NULL;
    struct mln_ledger *ledger = NULL;
    struct mln_bytes shares[255];
    size_t n = 0;
    const char *dir = mln_text_format(&k->cx, "%s/store", k->dir);
    struct mln_store_config at = {.dir = dir, .no_sync = true};
    struct mln_seal_config kind = {.kind = k->is_shamir ? MLN_SEAL_SHAMIR : MLN_SEAL_KEYFILE, .shares = 1, .threshold = 1};
    assert_false(mln_failed(mln_store_open_lmdb(&k->cx, &at, &store)));
    assert_false(mln_failed(mln_barrier_new(&k->cx, store, &barrier)));
    assert_false(mln_failed(mln_seal_new(&k->cx, store, barrier, &seal)));
    assert_false(mln_failed(mln_seal_init(&k->cx, seal, &kind, k->keyfile, shares, &n)));
    if (until >= BARRIER_OPEN && k->is_shamir) {
        unsigned progress = 1;
        assert_false(mln_failed(mln_seal_give(&k->cx, seal, shares[0], &progress)));
    } else if (until >= BARRIER_OPEN) {
        assert_false(mln_failed(mln_seal_open_keyfile(&k->cx, seal, k->keyfile)));
    }
    if (until >= LEDGER) {
        struct mln_ledger_config config = {.dir = k->dir, .origin = "test.local/ledger"};
        assert_false(mln_failed(mln_ledger_open(&k->cx, store, barrier, &config, &ledger)));
    }
    mln_ledger_close(ledger);
    mln_seal_free(seal);
    mln_barrier_free(barrier);
    mln_store_close(store);
}

static void cut_off(bool is_shamir, enum step until)
{
    MLN_AUTO(ck_drop) struct ck *k = ck_new_bare(is_shamir, false);
    mln_core_close(k->core);
    k->core = NULL;
    leave(k, until);
    ck_open(k);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/init", NULL), 200);
    assert_string_equal(ck_at(k, "bare|initialized"), "false");
    CK_WANT(k, ck_call(k, NULL, "read", "sys/health", NULL), 501);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal",
                       "{\"key\":\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"}"), 400);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1}"), 200);
    const struct mln_value *bare = mln_get(k->answer, "bare");
    const char *root = mln_get_text(&k->cx, mln_get(bare, "root_token"), "");
    if (is_shamir) {
        const char *key = mln_get_text(&k->cx, mln_item(mln_get(bare, "keys"), 0), "");
        CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", mln_text_format(&k->cx, "{\"key\":\"%s\"}", key)), 200);
    }
    CK_WANT(k, ck_call(k, root, "read", "sys/mounts", NULL), 200);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1}"), 400);
    assert_string_equal(ck_error(k), "Vault is already initialized");
    CK_WANT(k, ck_call(k, root, "write", "sys/verify-store", NULL), 200);
    assert_string_equal(ck_at(k, "data|problems"), "[]");
}

static void test_cut_off(void **state)
{
    (void)state;
    for (int until = SEAL; until <= LEDGER; until++) {
        cut_off(true, (enum step)until);
        cut_off(false, (enum step)until);
    }
}

/* A finished store is never thrown away, whatever is missing of it but everything. */
static void test_finished_stays(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    mln_core_close(k->core);
    k->core = NULL;
    ck_open(k);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/init", NULL), 200);
    assert_string_equal(ck_at(k, "bare|initialized"), "true");
    CK_WANT(k, ck_call(k, NULL, "write", "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1}"), 400);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", mln_text_format(&k->cx, "{\"key\":\"%s\"}", k->keys[0])), 200);
    CK_WANT(k, ck_call(k, k->root, "read", "sys/mounts", NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut_off), cmocka_unit_test(test_finished_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
