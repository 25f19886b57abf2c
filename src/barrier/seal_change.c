/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seal while the server is open: proving shares, new shares, and forgetting a seal that was never finished. A change is one batch
 * that expects the rows it replaces, so that a crash leaves either the old shares or the new ones, whole.
 */
#include "barrier/seal_priv.h"

#include <unistd.h>

#define DISCARD_ROWS 1024u /* of one batch; an unfinished store has some dozens */

struct mln_err mln_seal_prove(struct mln_cx *cx, struct mln_seal *seal, const struct mln_bytes *shares,
                              size_t n)
{
    struct mln_seal_config config;
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    MLN_TRY(seal_config(cx, seal, &config, &row));
    if (n != config.threshold) {
        return mln_fail(cx, MLN_E_FORGED, "invalid key: %u shares are needed", config.threshold);
    }
    MLN_TRY(seal_combine(cx, shares, n, &key));
    struct mln_err err = seal_open_root(cx, seal, row, &key, &root);
    mln_wipe_stack();
    return err;
}

struct mln_err mln_seal_change_begin(struct mln_cx *cx, const struct mln_seal_config *config,
                                     struct mln_bytes *ret_shares, struct mln_seal_change *ret)
{
    MLN_TRY(seal_check_config(cx, config));
    if (config->kind != MLN_SEAL_SHAMIR) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "this seal has a key file and no shares");
    }
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    MLN_TRY(mln_secret_random(cx, MLN_KEY_BYTES, &key));
    MLN_TRY(seal_make_shares(cx, config, &key, ret_shares));
    *ret = (struct mln_seal_change){.config = *config, .key = key};
    key = (struct mln_secret){0};
    return MLN_OK;
}

struct mln_err mln_seal_change_prove(struct mln_cx *cx, const struct mln_seal_change *change,
                                     const struct mln_bytes *shares, size_t n)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    if (n == change->config.threshold) {
        MLN_TRY(seal_combine(cx, shares, n, &key));
    }
    return mln_eq_ct(key.ptr, key.len, change->key.ptr, change->key.len)
               ? MLN_OK
               : mln_fail(cx, MLN_E_FORGED, "invalid key: these are not the new shares");
}

struct mln_err mln_seal_change_commit(struct mln_cx *cx, struct mln_seal *seal,
                                      const struct mln_seal_change *change)
{
    uint8_t config[CONFIG_N];
    struct mln_bytes old = MLN_BYTES_NONE, row = MLN_BYTES_NONE;
    uint64_t config_version = 0, seal_version = 0;
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    MLN_TRY(mln_barrier_root(cx, seal->barrier, &root));
    MLN_TRY(seal_row(cx, seal, CONFIG_KEY, &old, &config_version));
    MLN_TRY(seal_row(cx, seal, SEAL_KEY, &old, &seal_version));
    seal_put_config(config, &change->config);
    MLN_TRY(row_seal(cx, change->key.ptr, SEAL_LABEL, mln_bytes_at(config, CONFIG_N),
                     mln_secret_bytes(&root), &row));
    struct mln_write writes[] = {
        {.op = MLN_WRITE_EXPECT, .key = CONFIG_KEY, .version = config_version},
        {.op = MLN_WRITE_EXPECT, .key = SEAL_KEY, .version = seal_version},
        {.op = MLN_WRITE_PUT, .key = CONFIG_KEY, .value = mln_bytes_at(config, CONFIG_N)},
        {.op = MLN_WRITE_PUT, .key = SEAL_KEY, .value = row},
    };
    struct mln_batch batch = {.writes = writes, .n = MLN_COUNT(writes)};
    return mln_store_commit(cx, seal->store, &batch);
}

void mln_seal_change_drop(struct mln_seal_change *change)
{
    mln_secret_drop(&change->key);
    *change = (struct mln_seal_change){0};
}

/* ---- a seal that was never finished ---- */

/* A key file is removed only when it opens this seal: it may be another store's. */
static struct mln_err discard_keyfile(struct mln_cx *cx, struct mln_seal *seal, const char *path)
{
    struct mln_seal_config config;
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    if (access(path, F_OK) != 0) {
        return MLN_OK;
    }
    MLN_TRY(seal_config(cx, seal, &config, &row));
    MLN_TRY(seal_read_keyfile(cx, path, &key));
    MLN_TRY(seal_open_root(cx, seal, row, &key, &root));
    return unlink(path) == 0 ? MLN_OK : mln_fail(cx, MLN_E_IO, "the key file cannot be removed");
}

/* The keyring's row goes with the last batch: until then the store counts as unfinished and this is run again. */
static struct mln_err discard_rows(struct mln_cx *cx, struct mln_seal *seal, bool *ret_all)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_write *writes = mln_new_array(cx, DISCARD_ROWS + 1, sizeof(*writes));
    struct mln_bytes after = MLN_BYTES_NONE, key = MLN_BYTES_NONE, last = MLN_BYTES("core/keyring/root");
    size_t n = 0;
    struct mln_err err = MLN_OK;
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_snap_begin(cx, seal->store, &snap));
    while (n < DISCARD_ROWS && !mln_failed(err)) {
        err = mln_snap_next(cx, snap, MLN_BYTES_NONE, after, &key, NULL);
        if (!mln_failed(err)) {
            after = mln_bytes_dup(cx, key);
            MLN_TRY(mln_cx_err(cx));
            if (!mln_bytes_eq(after, last)) {
                writes[n++] = (struct mln_write){.op = MLN_WRITE_DELETE, .key = after};
            }
        }
    }
    *ret_all = mln_is(err, MLN_E_NOT_FOUND);
    if (mln_failed(err) && !*ret_all) {
        return err;
    }
    if (*ret_all) {
        writes[n++] = (struct mln_write){.op = MLN_WRITE_DELETE, .key = last};
    }
    struct mln_batch batch = {.writes = writes, .n = n, .is_relief = true};
    return mln_store_commit(cx, seal->store, &batch);
}

struct mln_err mln_seal_discard(struct mln_cx *cx, struct mln_seal *seal, const char *keyfile)
{
    bool is_all = false;
    if (keyfile != NULL) {
        MLN_TRY(discard_keyfile(cx, seal, keyfile));
    }
    while (!is_all) {
        MLN_TRY(discard_rows(cx, seal, &is_all));
    }
    return MLN_OK;
}
