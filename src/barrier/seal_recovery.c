/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery keys: shares by which people decide while a seal opens by itself. Their key opens nothing; the barrier keeps what tells it.
 *
 * core/seal-recovery          a value of the root namespace: the configuration | SHA-256("merlon recovery 1" 00 || key)
 * core/seal-recovery-config   the configuration in clear, as core/seal-config, for the status of a sealed server; nothing is decided by it
 */
#include "barrier/seal_priv.h"

#include "crypto/crypto.h"

#define RECOVERY_KEY    MLN_BYTES("core/seal-recovery")
#define RECOVERY_CONFIG MLN_BYTES("core/seal-recovery-config")
#define RECOVERY_LABEL  MLN_BYTES("merlon recovery 1\0")
#define RECOVERY_N      (CONFIG_N + MLN_SHA256_BYTES)

struct mln_err mln_seal_recovery_config(struct mln_cx *cx, struct mln_seal *seal, struct mln_seal_config *ret)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    struct mln_err err = seal_row(cx, seal, RECOVERY_CONFIG, &row, NULL);
    *ret = (struct mln_seal_config){0};
    if (mln_is(err, MLN_E_UNINIT)) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    return mln_seal_parse_config(cx, row, ret);
}

static void print_key(const struct mln_seal_config *config, struct mln_bytes key, uint8_t to[RECOVERY_N])
{
    seal_put_config(to, config);
    mln_sha256_2(RECOVERY_LABEL, key, to + CONFIG_N);
}

struct mln_err mln_seal_recovery_commit(struct mln_cx *cx, struct mln_seal *seal, const struct mln_seal_change *change)
{
    uint8_t plain[RECOVERY_N];
    struct mln_bytes box = MLN_BYTES_NONE, old = MLN_BYTES_NONE;
    uint64_t version = 0;
    print_key(&change->config, mln_secret_bytes(&change->key), plain);
    MLN_TRY(mln_barrier_encrypt(cx, seal->barrier, MLN_NS_ROOT, RECOVERY_KEY, mln_bytes_at(plain, RECOVERY_N), &box));
    struct mln_err err = seal_row(cx, seal, RECOVERY_KEY, &old, &version);
    if (mln_failed(err) && !mln_is(err, MLN_E_UNINIT)) {
        return err;
    }
    mln_cx_clear(cx);
    struct mln_write writes[] = {
        {.op = MLN_WRITE_EXPECT, .key = RECOVERY_KEY, .version = version},
        {.op = MLN_WRITE_PUT, .key = RECOVERY_KEY, .value = box},
        {.op = MLN_WRITE_PUT, .key = RECOVERY_CONFIG, .value = mln_bytes_at(plain, CONFIG_N)},
    };
    struct mln_batch batch = {.writes = writes, .n = MLN_COUNT(writes)};
    return mln_store_commit(cx, seal->store, &batch);
}

static struct mln_err read_kept(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes *ret, struct mln_seal_config *config)
{
    struct mln_bytes box = MLN_BYTES_NONE, plain = MLN_BYTES_NONE;
    struct mln_err err = seal_row(cx, seal, RECOVERY_KEY, &box, NULL);
    if (mln_is(err, MLN_E_UNINIT)) {
        return mln_refail(cx, MLN_E_NOT_FOUND, "this server has no recovery keys");
    }
    MLN_TRY(err);
    MLN_TRY(mln_barrier_decrypt(cx, seal->barrier, MLN_NS_ROOT, RECOVERY_KEY, box, &plain));
    if (plain.len != RECOVERY_N) {
        return mln_fail(cx, MLN_E_CORRUPT, "the recovery keys' row is damaged");
    }
    *ret = plain;
    return mln_seal_parse_config(cx, mln_bytes_sub(plain, 0, CONFIG_N), config);
}

struct mln_err mln_seal_recovery_prove(struct mln_cx *cx, struct mln_seal *seal, const struct mln_bytes *shares, size_t n)
{
    struct mln_seal_config config = {0};
    struct mln_bytes kept = MLN_BYTES_NONE;
    uint8_t shown[RECOVERY_N];
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    MLN_TRY(read_kept(cx, seal, &kept, &config));
    if (n != config.threshold) {
        return mln_fail(cx, MLN_E_FORGED, "invalid key: %u recovery keys are needed", config.threshold);
    }
    MLN_TRY(seal_combine(cx, shares, n, &key));
    print_key(&config, mln_secret_bytes(&key), shown);
    bool is_same = mln_eq_ct(shown, RECOVERY_N, kept.ptr, kept.len);
    mln_wipe_stack();
    return is_same ? MLN_OK : mln_fail(cx, MLN_E_FORGED, "invalid key: these are not the recovery keys");
}
