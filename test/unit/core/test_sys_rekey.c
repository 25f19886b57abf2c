/* SPDX-License-Identifier: Apache-2.0 */
/* New shares: with and without a token, with verification, cut off and refused. */
#include "core_kit.h"

#define R k->root

static const char *text_at(struct ck *k, const char *where)
{
    const char *json = ck_at(k, where); /* a JSON string: without its quotes */
    return mln_text_dup(&k->cx, mln_bytes_sub(mln_bytes_of(json), 1, mln_bytes_of(json).len - 2));
}

static int give(struct ck *k, const char *token, const char *path, const char *key, const char *nonce)
{
    return ck_call(k, token, "write", path,
                   mln_text_format(&k->cx, "{\"key\":\"%s\",\"nonce\":\"%s\"}", key, nonce));
}

/* Do these open a sealed server? It stays open when they do. */
static bool opens(struct ck *k, const char *const *keys, unsigned n)
{
    CK_WANT(k, ck_call(k, k->root, "write", "sys/seal", NULL), 204);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", "{\"reset\":true}"), 200);
    for (unsigned i = 0; i < n; i++) {
        (void)ck_call(k, NULL, "write", "sys/unseal", mln_text_format(&k->cx, "{\"key\":\"%s\"}", keys[i]));
    }
    return !mln_core_is_sealed(k->core);
}

static void keep_keys(struct ck *k, const char *part, const char *keys[8])
{
    const struct mln_value *list = mln_get(mln_get(k->answer, part), "keys");
    for (size_t i = 0; i < mln_len(list); i++) {
        keys[i] = mln_get_text(&k->cx, mln_item(list, i), "");
    }
}

static void test_open(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(3, 2, true);
    const char *keys[8] = {0};
    CK_WANT(k, ck_call(k, NULL, "read", "sys/rekey/init", NULL), 200);
    assert_string_equal(ck_at(k, "bare"),
                        "{\"nonce\":\"\",\"started\":false,\"t\":0,\"n\":0,\"progress\":0,\"required\":2,"
                        "\"pgp_fingerprints\":null,\"backup\":false,\"verification_required\":false}");
    CK_WANT(k, ck_call(k, NULL, "write", "sys/rekey/init", "{\"secret_shares\":4,\"secret_threshold\":3}"), 200);
    const char *nonce = text_at(k, "bare|nonce");
    CK_WANT(k, ck_call(k, NULL, "write", "sys/rekey/init", "{\"secret_shares\":4,\"secret_threshold\":3}"), 400);
    assert_string_equal(ck_error(k), "rekey already in progress");
    CK_WANT(k, give(k, NULL, "sys/rekey/update", k->keys[0], "no"), 400);
    assert_non_null(strstr(ck_error(k), "incorrect nonce supplied; nonce for this operation is \""));
    CK_WANT(k, give(k, NULL, "sys/rekey/update", k->keys[0], nonce), 200);
    assert_string_equal(ck_at(k, "bare|progress"), "1");
    CK_WANT(k, give(k, NULL, "sys/rekey/update", k->keys[0], nonce), 400);
    CK_WANT(k, give(k, NULL, "sys/rekey/update", k->keys[2], nonce), 200);
    assert_string_equal(ck_at(k, "bare|complete"), "true");
    keep_keys(k, "bare", keys);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/rekey/init", NULL), 200);
    assert_string_equal(ck_at(k, "bare|started"), "false");
    assert_false(opens(k, k->keys, 2));
    CK_WANT(k, ck_call(k, NULL, "write", "sys/seal", NULL), 204); /* it is sealed, as wished */
    CK_WANT(k, ck_call(k, NULL, "read", "sys/seal", NULL), 503);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", "{\"reset\":true}"), 200);
    for (unsigned i = 1; i < 4; i++) {
        CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", mln_text_format(&k->cx, "{\"key\":\"%s\"}", keys[i])), 200);
    }
    assert_false(mln_core_is_sealed(k->core));
    CK_WANT(k, ck_call(k, R, "read", "sys/mounts", NULL), 200); /* all that was stored is as it was */
}

static void test_wrong_shares(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(3, 2, true);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/rekey/init", "{\"secret_shares\":1,\"secret_threshold\":1}"), 200);
    const char *nonce = text_at(k, "bare|nonce");
    CK_WANT(k, give(k, NULL, "sys/rekey/update", k->keys[0], nonce), 200);
    CK_WANT(k, give(k, NULL, "sys/rekey/update", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff77",
                    nonce), 400);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/rekey/init", NULL), 200);
    assert_string_equal(ck_at(k, "bare|progress"), "0");
    CK_WANT(k, ck_call(k, NULL, "delete", "sys/rekey/init", NULL), 204);
    CK_WANT(k, give(k, NULL, "sys/rekey/update", k->keys[0], nonce), 400);
    assert_string_equal(ck_error(k), "no barrier rekey in progress");
    assert_true(opens(k, k->keys, 2));
}

static void test_verified(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    const char *keys[8] = {0};
    CK_WANT(k, ck_call(k, R, "write", "sys/rotate/root/init",
                       "{\"secret_shares\":2,\"secret_threshold\":2,\"require_verification\":true}"), 200);
    const char *nonce = text_at(k, "data|nonce");
    CK_WANT(k, ck_call(k, R, "read", "sys/rotate/root/verify", NULL), 400);
    assert_string_equal(ck_error(k), "no rekey verification in progress");
    CK_WANT(k, ck_call(k, R, "delete", "sys/rotate/root/verify", NULL), 400);
    CK_WANT(k, give(k, R, "sys/rotate/root/update", k->keys[0], nonce), 200);
    keep_keys(k, "data", keys);
    const char *verify = text_at(k, "data|verification_nonce");
    CK_WANT(k, ck_call(k, R, "read", "sys/rotate/root/init", NULL), 200);
    assert_string_equal(ck_at(k, "top|verification_required"), "true");
    CK_WANT(k, give(k, R, "sys/rotate/root/update", k->keys[0], nonce), 400);
    CK_WANT(k, give(k, R, "sys/rotate/root/verify", keys[0], verify), 200);
    assert_string_equal(ck_at(k, "data|progress"), "1");
    CK_WANT(k, ck_call(k, R, "delete", "sys/rotate/root/verify", NULL), 200);
    assert_string_equal(ck_at(k, "top|progress"), "0");
    const char *again = text_at(k, "data|nonce");
    assert_string_not_equal(again, verify);
    CK_WANT(k, give(k, R, "sys/rotate/root/verify", keys[0], verify), 400); /* a new nonce now */
    CK_WANT(k, ck_call(k, R, "read", "sys/rotate/root/verify", NULL), 200);
    verify = text_at(k, "data|nonce");
    assert_string_equal(again, verify);
    CK_WANT(k, give(k, R, "sys/rotate/root/verify", keys[0], verify), 200);
    CK_WANT(k, give(k, R, "sys/rotate/root/verify", k->keys[0], verify), 400); /* an old share */
    CK_WANT(k, give(k, R, "sys/rotate/root/verify", keys[0], verify), 200);
    CK_WANT(k, give(k, R, "sys/rotate/root/verify", keys[1], verify), 200);
    assert_string_equal(ck_at(k, "data|complete"), "true");
    assert_true(opens(k, keys, 2));
}

/* Sealed before the new shares were verified: the old ones open, and nothing of the ceremony is left. */
static void test_cut_off(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    CK_WANT(k, ck_call(k, R, "write", "sys/rotate/root/init",
                       "{\"secret_shares\":2,\"secret_threshold\":2,\"require_verification\":true}"), 200);
    CK_WANT(k, give(k, R, "sys/rotate/root/update", k->keys[0], text_at(k, "data|nonce")), 200);
    assert_true(opens(k, k->keys, 1));
    CK_WANT(k, ck_call(k, R, "read", "sys/rotate/root/init", NULL), 200);
    assert_string_equal(ck_at(k, "data|started"), "false");
}

static void test_refused(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_shamir(1, 1, false);
    const struct ck_step t[] = {
        {NULL, "read", "sys/rekey/init", NULL, 405, NULL, "unsupported operation"},
        {R, "read", "sys/rekey/init", NULL, 405, NULL, "unsupported operation"},
        {R, "write", "sys/rekey/update", "{\"key\":\"00\"}", 405, NULL, "unsupported operation"},
        {NULL, "write", "sys/rekey-recovery-key/init", "{}", 405, NULL, "unsupported operation"},
        {NULL, "write", "sys/rotate/root/init", "{}", 403, NULL, "permission denied"},
        {R, "write", "sys/rotate/root/init", "{}", 400, NULL, NULL},
        {R, "write", "sys/rotate/root/init", "{\"secret_shares\":3,\"secret_threshold\":1}", 400, NULL,
         "invalid rekey seal configuration: threshold must be greater than one for multiple shares"},
        {R, "write", "sys/rotate/root/init", "{\"secret_shares\":3,\"secret_threshold\":5}", 400, NULL,
         "invalid rekey seal configuration: threshold cannot be larger than shares"},
        {R, "write", "sys/rotate/root/init", "{\"secret_shares\":256,\"secret_threshold\":2}", 400, NULL,
         "invalid rekey seal configuration: shares must be less than 256"},
        {R, "write", "sys/rotate/root/init",
         "{\"secret_shares\":1,\"secret_threshold\":1,\"pgp_keys\":[\"x\"]}", 400, NULL,
         "pgp_keys are not supported: the new shares are answered as they are"},
        {R, "write", "sys/rotate/root/init", "{\"secret_shares\":1,\"secret_threshold\":1,\"backup\":true}", 400,
         NULL, "cannot request a backup of the new keys without providing PGP keys for encryption"},
        {R, "write", "sys/rotate/root/update", "{\"key\":\"00\",\"nonce\":\"x\"}", 400, NULL,
         "no barrier rekey in progress"},
        {R, "write", "sys/rotate/recovery/init", "{}", 400, NULL, "recovery rekeying not supported"},
        {R, "read", "sys/rotate/root/backup", NULL, 400, NULL, "no backed-up keys found"},
        {R, "delete", "sys/rotate/root/backup", NULL, 204, NULL, NULL},
        {NULL, "write", "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1,\"pgp_keys\":[\"x\"]}", 400, NULL,
         "pgp_keys, recovery_pgp_keys and root_token_pgp_key are not supported: shares and token are answered as they are"},
        {NULL, "write", "sys/init", "{\"secret_shares\":1,\"secret_threshold\":1,\"recovery_shares\":1}", 400, NULL,
         "parameters recovery_shares,recovery_threshold,recovery_pgp_keys not applicable to seal type shamir"},
    };
    CK_PLAY(k, t);
}

static void test_key_file(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    CK_WANT(k, ck_call(k, R, "write", "sys/rotate/root/init", "{\"secret_shares\":1,\"secret_threshold\":1}"), 400);
    assert_string_equal(ck_error(k), "this seal has a key file: there are no shares to make anew");
}

static const char *item(struct ck *k, const char *member, size_t i)
{
    return mln_get_text(&k->cx, mln_item(mln_get(mln_get(k->answer, "bare"), member), i), "");
}

/* A key file's server with recovery keys; *keys as hex. */
static struct ck *with_recovery(const char *keys[8])
{
    struct ck *k = ck_new_bare(false, true);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/init", "{\"recovery_shares\":3,\"recovery_threshold\":2}"), 200);
    for (size_t i = 0; i < 3; i++) {
        keys[i] = item(k, "recovery_keys", i);
        assert_int_equal(strlen(keys[i]), 66);
        assert_int_equal(strlen(item(k, "recovery_keys_base64", i)), 44);
    }
    assert_string_equal(ck_at(k, "bare|keys"), "[]");
    k->root = text_at(k, "bare|root_token");
    return k;
}

static void test_recovery_init(void **state)
{
    (void)state;
    const char *keys[8] = {0};
    MLN_AUTO(ck_drop) struct ck *k = with_recovery(keys);
    const struct ck_step t[] = {
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|recovery_seal", "true"},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|recovery_seal_type", "\"shamir\""},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|type", "\"keyfile\""},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|n", "3"},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|t", "2"},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|sealed", "false"},
        {NULL, "read", "sys/generate-root/attempt", NULL, 200, "bare|required", "2"},
        {NULL, "write", "sys/rekey/init", "{\"secret_shares\":1,\"secret_threshold\":1}", 400, NULL,
         "this seal has a key file: there are no shares to make anew"},
        {k->root, "write", "sys/seal", NULL, 204, NULL, NULL},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|recovery_seal", "true"},
    };
    CK_PLAY(k, t);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", mln_text_format(&k->cx, "{\"key\":\"%s\"}", keys[0])), 400);
    assert_true(mln_core_is_sealed(k->core)); /* recovery keys open nothing */
}

static void test_recovery_init_refused(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_bare(false, true);
    const struct ck_step t[] = {
        {NULL, "write", "sys/init", "{\"recovery_shares\":3,\"recovery_threshold\":1}", 400, NULL, NULL},
        {NULL, "write", "sys/init", "{\"recovery_shares\":3}", 400, NULL, NULL},
        {NULL, "write", "sys/init", "{\"recovery_threshold\":3}", 400, NULL, NULL},
        {NULL, "write", "sys/init", "{\"recovery_shares\":-1,\"recovery_threshold\":-1}", 400, NULL, NULL},
        {NULL, "write", "sys/init", "{\"recovery_shares\":256,\"recovery_threshold\":2}", 400, NULL, NULL},
        {NULL, "write", "sys/init", "{\"recovery_shares\":1,\"recovery_threshold\":1,\"recovery_pgp_keys\":[\"x\"]}", 400,
         NULL, NULL},
        {NULL, "read", "sys/init", NULL, 200, "bare|initialized", "false"},
        {NULL, "write", "sys/init", "{}", 200, "bare|recovery_keys", "absent"},
        {NULL, "read", "sys/seal-status", NULL, 200, "bare|recovery_seal", "false"},
    };
    CK_PLAY(k, t);
}

static int root_by(struct ck *k, const char *const *keys, unsigned n)
{
    int status = 0;
    CK_WANT(k, ck_call(k, NULL, "write", "sys/generate-root/attempt", "{}"), 200);
    const char *nonce = text_at(k, "bare|nonce");
    for (unsigned i = 0; i < n; i++) {
        status = give(k, NULL, "sys/generate-root/update", keys[i], nonce);
    }
    return status;
}

static const char *keyfile_text(struct ck *k)
{
    char text[80] = {0};
    FILE *file = fopen(k->keyfile, "r");
    assert_non_null(file);
    assert_int_equal(fread(text, 1, 64, file), 64);
    assert_int_equal(fclose(file), 0);
    return mln_text_dup(&k->cx, mln_bytes_of(text));
}

/* Only recovery keys make a root token: not a wrong one, and the key file no longer. */
static void test_recovery_root(void **state)
{
    (void)state;
    const char *keys[8] = {0};
    MLN_AUTO(ck_drop) struct ck *k = with_recovery(keys);
    const char *file[] = {keyfile_text(k), keyfile_text(k)};
    const char *mixed[] = {keys[0], "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff77"};
    assert_int_equal(root_by(k, file, 1), 200);
    assert_string_equal(ck_at(k, "bare|complete"), "false");
    CK_WANT(k, ck_call(k, NULL, "delete", "sys/generate-root/attempt", NULL), 204);
    assert_int_equal(root_by(k, mixed, 2), 400);
    CK_WANT(k, ck_call(k, NULL, "delete", "sys/generate-root/attempt", NULL), 204);
    assert_int_equal(root_by(k, keys + 1, 2), 200);
    assert_string_equal(ck_at(k, "bare|complete"), "true");
}

static void test_recovery_rekey(void **state)
{
    (void)state;
    const char *keys[8] = {0}, *fresh[8] = {0};
    MLN_AUTO(ck_drop) struct ck *k = with_recovery(keys);
    const char *path = "sys/rekey-recovery-key/init";
    CK_WANT(k, give(k, NULL, "sys/rekey-recovery-key/update", keys[0], "x"), 400);
    assert_string_equal(ck_error(k), "no recovery rekey in progress");
    CK_WANT(k, ck_call(k, NULL, "write", path,
                       "{\"secret_shares\":2,\"secret_threshold\":2,\"require_verification\":true}"), 200);
    const char *nonce = text_at(k, "bare|nonce");
    assert_string_equal(ck_at(k, "bare|required"), "2");
    CK_WANT(k, give(k, NULL, "sys/rekey-recovery-key/update", keys[0], nonce), 200);
    CK_WANT(k, give(k, NULL, "sys/rekey-recovery-key/update", keys[2], nonce), 200);
    keep_keys(k, "bare", fresh);
    const char *verify = text_at(k, "bare|verification_nonce");
    assert_int_equal(root_by(k, keys, 2), 200); /* the old ones decide until the new ones were shown */
    CK_WANT(k, give(k, NULL, "sys/rekey-recovery-key/verify", fresh[0], verify), 200);
    CK_WANT(k, give(k, NULL, "sys/rekey-recovery-key/verify", fresh[1], verify), 200);
    assert_string_equal(ck_at(k, "bare|complete"), "true");
    assert_int_equal(root_by(k, keys, 2), 400);
    CK_WANT(k, ck_call(k, NULL, "delete", "sys/generate-root/attempt", NULL), 204);
    assert_int_equal(root_by(k, fresh, 2), 200);
    assert_string_equal(ck_at(k, "bare|complete"), "true");
}

/* A server that was initialised without them gets recovery keys by its key file. A seal in between forgets all that was begun. */
static void test_recovery_first(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new();
    const char *begin = "{\"secret_shares\":1,\"secret_threshold\":1}", *file = keyfile_text(k);
    CK_WANT(k, ck_call(k, R, "write", "sys/rotate/recovery/init", begin), 200);
    CK_WANT(k, ck_call(k, R, "write", "sys/seal", NULL), 204);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", mln_text_format(&k->cx, "{\"key\":\"%s\"}", file)), 200);
    CK_WANT(k, ck_call(k, R, "read", "sys/rotate/recovery/init", NULL), 200);
    assert_string_equal(ck_at(k, "data|started"), "false");
    CK_WANT(k, ck_call(k, R, "write", "sys/rotate/recovery/init", begin), 200);
    CK_WANT(k, give(k, R, "sys/rotate/recovery/update", file, text_at(k, "data|nonce")), 200);
    assert_string_equal(ck_at(k, "data|complete"), "true");
    CK_WANT(k, ck_call(k, NULL, "read", "sys/seal-status", NULL), 200);
    assert_string_equal(ck_at(k, "bare|recovery_seal"), "true");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),    cmocka_unit_test(test_wrong_shares), cmocka_unit_test(test_verified),
        cmocka_unit_test(test_cut_off), cmocka_unit_test(test_refused),      cmocka_unit_test(test_key_file),
        cmocka_unit_test(test_recovery_init), cmocka_unit_test(test_recovery_init_refused),
        cmocka_unit_test(test_recovery_root), cmocka_unit_test(test_recovery_rekey),
        cmocka_unit_test(test_recovery_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
