/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seal: keeps the root key sealed under an unseal key, which exists only as shares, or in a
 * file for development.
 *
 * core/seal-config   version u8 = 1 | kind u8 | shares u8 | threshold u8                      (in
 *                    clear)
 * core/seal          a sealed row (keyring_priv.h) of the root key under the unseal key; associated
 *                    data:
 *                    "merlon seal 1" 00 || the config row, so that a changed config does not open
 */
#include "barrier/seal_priv.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/text.h"

#define CONFIG_VERSION 1
#define KEYFILE_MAX    256

static void unlock(pthread_mutex_t **held)
{
    pthread_mutex_unlock(*held);
}

#define SEAL_LOCK(name, s)                                                                         \
    MLN_AUTO(unlock) pthread_mutex_t *name = &(s)->lock;                                           \
    pthread_mutex_lock(name)

struct mln_err mln_seal_new(struct mln_cx *cx, struct mln_store *store, struct mln_barrier *barrier,
                            struct mln_seal **ret)
{
    struct mln_seal *seal = mln_alloc(sizeof(*seal));
    if (seal == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    seal->store = store;
    seal->barrier = barrier;
    pthread_mutex_init(&seal->lock, NULL);
    *ret = seal;
    return MLN_OK;
}

static void forget_shares(struct mln_seal *seal)
{
    for (unsigned i = 0; i < seal->n; i++) {
        mln_secret_drop(&seal->given[i]);
        seal->given[i] = (struct mln_secret){0};
    }
    seal->n = 0;
    seal->nonce[0] = '\0';
}

void mln_seal_free(struct mln_seal *seal)
{
    if (seal != NULL) {
        forget_shares(seal);
        pthread_mutex_destroy(&seal->lock);
        mln_free(seal);
    }
}

/* ---- rows ---- */

struct mln_err seal_check_config(struct mln_cx *cx, const struct mln_seal_config *config)
{
    bool is_one = config->shares == 1 && config->threshold == 1;
    bool is_many =
        config->threshold >= 2 && config->threshold <= config->shares && config->shares <= 255;
    bool is_ok = config->kind == MLN_SEAL_KEYFILE
                     ? is_one
                     : config->kind == MLN_SEAL_SHAMIR && (is_one || is_many);
    return is_ok ? MLN_OK
                 : mln_fail(cx, MLN_E_INVALID,
                            "invalid seal configuration: 2 <= threshold <= shares <= 255, or one "
                            "share of one");
}

void seal_put_config(uint8_t row[CONFIG_N], const struct mln_seal_config *config)
{
    row[0] = CONFIG_VERSION;
    row[1] = (uint8_t)config->kind;
    row[2] = (uint8_t)config->shares;
    row[3] = (uint8_t)config->threshold;
}

struct mln_err seal_row(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes key,
                        struct mln_bytes *ret, uint64_t *ret_version)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes row = MLN_BYTES_NONE;
    uint64_t version = 0;
    MLN_TRY(mln_snap_begin(cx, seal->store, &snap));
    struct mln_err err = mln_snap_get(cx, snap, key, &row, &version);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_UNINIT, "Vault is not initialized");
    }
    MLN_TRY(err);
    *ret = mln_bytes_dup(cx, row);
    if (ret_version != NULL) {
        *ret_version = version;
    }
    return mln_cx_err(cx);
}

struct mln_err mln_seal_parse_config(struct mln_cx *cx, struct mln_bytes row, struct mln_seal_config *ret)
{
    if (row.len != CONFIG_N || row.ptr[0] != CONFIG_VERSION) {
        return mln_fail(cx, MLN_E_CORRUPT,
                        "the seal's configuration is damaged or of a newer format");
    }
    struct mln_seal_config config = {
        .kind = (enum mln_seal_kind)row.ptr[1], .shares = row.ptr[2], .threshold = row.ptr[3]};
    if (mln_failed(seal_check_config(NULL, &config))) {
        return mln_fail(cx, MLN_E_CORRUPT, "the seal's configuration is damaged");
    }
    *ret = config;
    return MLN_OK;
}

struct mln_err seal_config(struct mln_cx *cx, struct mln_seal *seal, struct mln_seal_config *ret,
                           struct mln_bytes *ret_row)
{
    if (!mln_barrier_is_initialized(
            cx, seal->barrier)) { /* also a seal whose barrier was not made yet */
        return mln_fail(cx, MLN_E_UNINIT, "Vault is not initialized");
    }
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_TRY(seal_row(cx, seal, CONFIG_KEY, &row, NULL));
    MLN_TRY(mln_seal_parse_config(cx, row, ret));
    *ret_row = row;
    return MLN_OK;
}

struct mln_err mln_seal_read_config(struct mln_cx *cx, struct mln_seal *seal,
                                    struct mln_seal_config *ret)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    return seal_config(cx, seal, ret, &row);
}

static struct mln_err write_rows(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes config,
                                 const struct mln_secret *unseal_key, const struct mln_secret *root)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_TRY(row_seal(cx, unseal_key->ptr, SEAL_LABEL, config, mln_secret_bytes(root), &row));
    struct mln_write writes[] = {
        {.op = MLN_WRITE_EXPECT, .key = MLN_BYTES("core/keyring/root"), .version = 0},
        {.op = MLN_WRITE_PUT, .key = CONFIG_KEY, .value = config},
        {.op = MLN_WRITE_PUT, .key = SEAL_KEY, .value = row},
    };
    struct mln_batch batch = {.writes = writes, .n = 3};
    struct mln_err err = mln_store_commit(cx, seal->store, &batch);
    return mln_is(err, MLN_E_CONFLICT)
               ? mln_refail(cx, MLN_E_EXISTS, "Vault is already initialized")
               : err;
}

/* ---- initialising ---- */

struct mln_err seal_make_shares(struct mln_cx *cx, const struct mln_seal_config *config,
                                const struct mln_secret *unseal_key, struct mln_bytes *ret_shares)
{
    uint8_t shares[255][MLN_SHAMIR_SECRET_MAX + 1];
    size_t n = config->shares == 1 ? unseal_key->len : unseal_key->len + 1;
    MLN_TRY(mln_shamir_split(cx, mln_secret_bytes(unseal_key), config->shares, config->threshold,
                             shares));
    for (unsigned i = 0; i < config->shares; i++) {
        ret_shares[i] = mln_bytes_dup(cx, mln_bytes_at(shares[i], n));
    }
    mln_wipe(shares, sizeof(shares));
    return mln_cx_err(cx);
}

/* A new file; never over one that is there, which may be another store's. */
static struct mln_err write_keyfile(struct mln_cx *cx, const char *path,
                                    const struct mln_secret *key)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    mln_hex_print(&text, mln_secret_bytes(key));
    mln_buf_add_byte(&text, '\n');
    MLN_TRY(mln_buf_ok(cx, &text));
    if (access(path, F_OK) == 0) {
        return mln_fail(cx, MLN_E_EXISTS, "the key file is there already");
    }
    MLN_TRY(mln_file_open(cx, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd));
    struct mln_err err = mln_fd_write(cx, fd, text.ptr, text.len);
    if (!mln_failed(err)) {
        err = mln_fd_sync(cx, fd);
    }
    if (mln_failed(err)) {
        (void)unlink(path);
    }
    return err;
}

static struct mln_err init_rows(struct mln_cx *cx, struct mln_seal *seal,
                                const struct mln_seal_config *config,
                                const struct mln_secret *unseal_key)
{
    uint8_t row[CONFIG_N];
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    MLN_TRY(mln_secret_random(cx, MLN_KEY_BYTES, &root));
    seal_put_config(row, config);
    /* The seal first: without a keyring it counts for nothing and is made anew. */
    MLN_TRY(write_rows(cx, seal, mln_bytes_at(row, CONFIG_N), unseal_key, &root));
    return mln_barrier_init(cx, seal->barrier, &root);
}

struct mln_err mln_seal_init(struct mln_cx *cx, struct mln_seal *seal,
                             const struct mln_seal_config *config, const char *keyfile,
                             struct mln_bytes *ret_shares, size_t *ret_n)
{
    MLN_TRY(seal_check_config(cx, config));
    if (config->kind == MLN_SEAL_KEYFILE && keyfile == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "a key file seal needs the name of its file");
    }
    SEAL_LOCK(held, seal);
    if (mln_barrier_is_initialized(cx, seal->barrier)) {
        return mln_fail(cx, MLN_E_EXISTS, "Vault is already initialized");
    }
    MLN_AUTO(mln_secret_drop) struct mln_secret unseal_key = {0};
    MLN_TRY(mln_secret_random(cx, MLN_KEY_BYTES, &unseal_key));
    bool is_file = config->kind == MLN_SEAL_KEYFILE;
    MLN_TRY(is_file ? write_keyfile(cx, keyfile, &unseal_key)
                    : seal_make_shares(cx, config, &unseal_key, ret_shares));
    struct mln_err err = init_rows(cx, seal, config, &unseal_key);
    if (mln_failed(err)) {
        if (is_file) {
            (void)unlink(keyfile);
        }
        return err;
    }
    *ret_n = is_file ? 0 : config->shares;
    return MLN_OK;
}

/* ---- unsealing ---- */

struct mln_err seal_open_root(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes config,
                              const struct mln_secret *unseal_key, struct mln_secret *ret)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    MLN_TRY(seal_row(cx, seal, SEAL_KEY, &row, NULL));
    struct mln_err err = unseal_key->len == MLN_KEY_BYTES
                             ? row_open(cx, unseal_key->ptr, SEAL_LABEL, config, row, ret)
                             : (struct mln_err){MLN_E_FORGED};
    return mln_is(err, MLN_E_FORGED)
               ? mln_refail(cx, MLN_E_FORGED, "invalid key: the root key cannot be opened with it")
               : err;
}

static struct mln_err unseal_with(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes config,
                                  const struct mln_secret *unseal_key)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    MLN_TRY(seal_open_root(cx, seal, config, unseal_key, &root));
    return mln_barrier_unseal(cx, seal->barrier, &root);
}

static bool is_given(const struct mln_seal *seal, struct mln_bytes share)
{
    bool is_same = false;
    for (unsigned i = 0; i < seal->n; i++) {
        is_same |= mln_eq_ct(seal->given[i].ptr, seal->given[i].len, share.ptr, share.len);
    }
    return is_same;
}

struct mln_err seal_combine(struct mln_cx *cx, const struct mln_bytes *shares, size_t n,
                            struct mln_secret *ret)
{
    struct mln_err err = mln_shamir_combine(cx, shares, n, ret);
    return mln_is(err, MLN_E_INVALID)
               ? mln_refail(cx, MLN_E_FORGED, "invalid key: the shares do not belong together")
               : err;
}

static struct mln_err combine(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes config)
{
    struct mln_bytes views[255];
    MLN_AUTO(mln_secret_drop) struct mln_secret unseal_key = {0};
    for (unsigned i = 0; i < seal->n; i++) {
        views[i] = mln_secret_bytes(&seal->given[i]);
    }
    MLN_TRY(seal_combine(cx, views, seal->n, &unseal_key));
    return unseal_with(cx, seal, config, &unseal_key);
}

static struct mln_err take_share(struct mln_cx *cx, struct mln_seal *seal,
                                 const struct mln_seal_config *config, struct mln_bytes share)
{
    size_t want = config->shares == 1 ? MLN_KEY_BYTES : MLN_KEY_BYTES + 1;
    if (share.len != want) {
        return mln_fail(cx, MLN_E_INVALID, "invalid key: it has %zu bytes, a share has %zu",
                        share.len, want);
    }
    if (!is_given(seal, share)) {
        MLN_TRY(mln_secret_from(cx, share, &seal->given[seal->n]));
        seal->n++;
    }
    if (seal->nonce[0] == '\0') {
        mln_uuid(seal->nonce);
    }
    return MLN_OK;
}

struct mln_err mln_seal_give(struct mln_cx *cx, struct mln_seal *seal, struct mln_bytes share,
                             unsigned *ret_progress)
{
    struct mln_seal_config config;
    struct mln_bytes row = MLN_BYTES_NONE;
    SEAL_LOCK(held, seal);
    MLN_TRY(seal_config(cx, seal, &config, &row));
    if (!mln_barrier_is_sealed(seal->barrier)) {
        forget_shares(seal);
        *ret_progress = 0;
        return MLN_OK;
    }
    if (config.kind != MLN_SEAL_SHAMIR) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "this seal has a key file and takes no shares");
    }
    MLN_TRY(take_share(cx, seal, &config, share));
    if (seal->n < config.threshold) {
        *ret_progress = seal->n;
        return MLN_OK;
    }
    struct mln_err err = combine(cx, seal, row);
    forget_shares(seal);
    mln_wipe_stack();
    if (!mln_failed(err)) {
        *ret_progress = 0;
    }
    return err;
}

void mln_seal_reset(struct mln_seal *seal)
{
    SEAL_LOCK(held, seal);
    forget_shares(seal);
}

void mln_seal_progress(struct mln_seal *seal, struct mln_seal_progress *ret)
{
    SEAL_LOCK(held, seal);
    ret->given = seal->n;
    mln_copy(ret->nonce, seal->nonce, sizeof(ret->nonce));
}

struct mln_err seal_read_keyfile(struct mln_cx *cx, const char *path, struct mln_secret *ret)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf key = {.is_secret = true};
    struct stat st;
    MLN_TRY(mln_file_open(cx, path, O_RDONLY, 0, &fd));
    if (fstat(fd, &st) != 0 || (st.st_mode & 077) != 0) {
        return mln_fail(cx, MLN_E_DENIED,
                        "the key file can be read by others: its mode must be 0600");
    }
    MLN_TRY(mln_fd_read_all(cx, fd, KEYFILE_MAX, &text));
    if (mln_failed(mln_hex_parse(cx, mln_bytes_trim(mln_buf_bytes(&text)), &key)) ||
        key.len != MLN_KEY_BYTES) {
        return mln_refail(cx, MLN_E_PARSE, "the key file does not hold 64 hexadecimal digits");
    }
    return mln_secret_from(cx, mln_buf_bytes(&key), ret);
}

struct mln_err mln_seal_open_keyfile(struct mln_cx *cx, struct mln_seal *seal, const char *keyfile)
{
    struct mln_seal_config config;
    struct mln_bytes row = MLN_BYTES_NONE;
    SEAL_LOCK(held, seal);
    MLN_TRY(seal_config(cx, seal, &config, &row));
    if (config.kind != MLN_SEAL_KEYFILE) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "this seal takes shares and has no key file");
    }
    MLN_AUTO(mln_secret_drop) struct mln_secret key = {0};
    MLN_TRY(seal_read_keyfile(cx, keyfile, &key));
    return unseal_with(cx, seal, row, &key);
}
