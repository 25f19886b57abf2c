/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: types of keys, and keys in the store. No handler is here. */
#include "engine/transit_priv.h"

#include "base/text.h"

#define KEY_FORMAT     2
#define NAME_MAX_BYTES 128 /* a name is part of a store key */

/* clang-format off */
static const struct transit_traits types[TRANSIT_TYPES] = {
    [TRANSIT_AES128] = {"aes128-gcm96", NULL, 16, .encrypts = true, .derives = true, .is_aead = true},
    [TRANSIT_AES256] = {"aes256-gcm96", NULL, 32, .encrypts = true, .derives = true, .is_aead = true},
    [TRANSIT_CHACHA] = {"chacha20-poly1305", NULL, 32, .encrypts = true, .derives = true, .is_aead = true},
    [TRANSIT_XCHACHA] = {"xchacha20-poly1305", NULL, 32, .encrypts = true, .derives = true, .is_aead = true},
    [TRANSIT_ED25519] = {"ed25519", "ed25519", 32, .signs = true, .derives = true, .is_pair = true},
    [TRANSIT_P256] = {"ecdsa-p256", "P-256", 0, .signs = true, .is_pair = true, .is_akey = true, .akey = MLN_AKEY_P256},
    [TRANSIT_P384] = {"ecdsa-p384", "P-384", 0, .signs = true, .is_pair = true, .is_akey = true, .akey = MLN_AKEY_P384},
    [TRANSIT_P521] = {"ecdsa-p521", "P-521", 0, .signs = true, .is_pair = true, .is_akey = true, .akey = MLN_AKEY_P521},
    [TRANSIT_RSA2048] = {"rsa-2048", "rsa-2048", 0, .encrypts = true, .signs = true, .is_pair = true, .is_akey = true,
                         .akey = MLN_AKEY_RSA2048},
    [TRANSIT_RSA3072] = {"rsa-3072", "rsa-3072", 0, .encrypts = true, .signs = true, .is_pair = true, .is_akey = true,
                         .akey = MLN_AKEY_RSA3072},
    [TRANSIT_RSA4096] = {"rsa-4096", "rsa-4096", 0, .encrypts = true, .signs = true, .is_pair = true, .is_akey = true,
                         .akey = MLN_AKEY_RSA4096},
    [TRANSIT_HMAC] = {.name = "hmac"},
};
/* clang-format on */

const struct transit_traits *transit_traits(enum transit_type type)
{
    MLN_CHECK(type < TRANSIT_TYPES);
    return &types[type];
}

bool transit_type_of(struct mln_bytes name, enum transit_type *ret)
{
    for (size_t i = 0; i < TRANSIT_TYPES; i++) {
        if (mln_bytes_is(name, types[i].name)) {
            *ret = (enum transit_type)i;
            return true;
        }
    }
    return false;
}

struct mln_err transit_read_type(struct mln_request *rq, enum transit_type *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "type"));
    *ret = TRANSIT_AES256;
    if (name.len == 0 || transit_type_of(name, ret)) {
        return MLN_OK;
    }
    return mln_bytes_is(name, "managed_key")
               ? mln_fail(rq->cx, MLN_E_UNSUPPORTED, "key type managed_key is not supported")
               : mln_fail(rq->cx, MLN_E_INVALID, "unknown key type %.*s", MLN_FMT(name));
}

void transit_set(struct transit_key *key, enum transit_flag flag, bool is_on)
{
    key->flags = is_on ? key->flags | (unsigned)flag : key->flags & ~(unsigned)flag;
}

/* ---- names ---- */

struct mln_err transit_name_check(struct mln_cx *cx, struct mln_bytes name)
{
    bool ok = name.len > 0 && name.len <= NAME_MAX_BYTES;
    for (size_t i = 0; ok && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_word =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool is_inside = (c == '-' || c == '.') && i > 0 && i + 1 < name.len;
        ok = is_word || is_inside;
    }
    return ok ? MLN_OK
              : mln_fail(
                    cx, MLN_E_INVALID,
                    "invalid key name: letters, digits, '_', and inside '-' and '.', at most %d",
                    NAME_MAX_BYTES);
}

struct mln_err transit_name(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    MLN_TRY(transit_name_check(rq->cx, name));
    *ret = name;
    return MLN_OK;
}

/* ---- rows ---- */

static struct mln_bytes row_key(struct mln_cx *cx, struct mln_bytes name, int64_t version)
{
    return version == 0
               ? mln_bytes_format(cx, "k/%.*s", MLN_FMT(name))
               : mln_bytes_format(cx, "v/%.*s/%08llx", MLN_FMT(name), (unsigned long long)version);
}

static void push_secret(struct mln_cx *cx, struct mln_value *to, struct mln_bytes bytes)
{
    struct mln_value *v = mln_secret_string(cx, bytes);
    if (mln_type_of(v) == MLN_STRING) { /* else the arena is exhausted */
        v->flags |= MLN_VALUE_BYTES;
    }
    mln_push(cx, to, v);
}

static struct mln_value *material_value(struct mln_cx *cx, enum transit_type type,
                                        const struct transit_version *v)
{
    struct mln_value *out = mln_array(cx);
    mln_push(cx, out, mln_int(cx, v->created_ns));
    push_secret(cx, out, v->key);
    push_secret(cx, out, type == TRANSIT_HMAC ? MLN_BYTES_NONE : v->hmac);
    mln_push(cx, out, mln_blob(cx, v->public));
    return out;
}

static struct mln_err material_read(struct mln_cx *cx, const struct transit_key *key,
                                    const struct mln_value *v, struct transit_version *ret)
{
    const struct transit_traits *traits = transit_traits(key->type);
    struct transit_version out = {
        .created_ns = mln_get_int(mln_item(v, 0), 0),
        .key = mln_get_bytes(mln_item(v, 1)),
        .hmac = mln_get_bytes(mln_item(v, 2)),
        .public = mln_get_bytes(mln_item(v, 3)),
    };
    if (key->type == TRANSIT_HMAC) {
        out.hmac = out.key;
    }
    bool has_key = traits->key_bytes > 0 ? out.key.len == traits->key_bytes : out.key.len > 0;
    bool is_public_only = out.key.len == 0 && traits->is_pair; /* imported so */
    if ((!has_key && !is_public_only) || out.hmac.len < MLN_KEY_BYTES ||
        (traits->is_pair && out.public.len < 32)) {
        return mln_fail(cx, MLN_E_CORRUPT, "transit: damaged key");
    }
    *ret = out;
    return MLN_OK;
}

enum {
    COL_FORMAT,
    COL_TYPE,
    COL_LATEST,
    COL_MIN_DEC,
    COL_MIN_ENC,
    COL_MIN_AVAILABLE,
    COL_ROTATE,
    COL_HMAC,
    COL_FLAGS,
    COL_NEWEST,
    COL_COUNT,
};

struct mln_err transit_is_there(struct mln_request *rq, struct mln_bytes name, bool *ret)
{
    struct mln_bytes row, at = row_key(rq->cx, name, 0);
    MLN_TRY(mln_cx_err(rq->cx));
    struct mln_err err = mln_txn_get(rq->cx, rq->txn, rq->mount->view, at, &row);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

struct mln_err transit_load(struct mln_request *rq, struct mln_bytes name, struct transit_key *ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *v = NULL;
    struct mln_bytes at = row_key(cx, name, 0);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_txn_get_value(cx, rq->txn, rq->mount->view, at, &v));
    struct transit_key key = {.name = name};
    if (mln_len(v) != COL_COUNT || mln_get_int(mln_item(v, COL_FORMAT), 0) != KEY_FORMAT ||
        !transit_type_of(mln_get_bytes(mln_item(v, COL_TYPE)), &key.type)) {
        return mln_fail(cx, MLN_E_CORRUPT, "transit: damaged key");
    }
    key.latest = mln_get_int(mln_item(v, COL_LATEST), 0);
    key.min_decryption = mln_get_int(mln_item(v, COL_MIN_DEC), 1);
    key.min_encryption = mln_get_int(mln_item(v, COL_MIN_ENC), 0);
    key.min_available = mln_get_int(mln_item(v, COL_MIN_AVAILABLE), 0);
    key.auto_rotate_s = mln_get_int(mln_item(v, COL_ROTATE), 0);
    key.hmac_bytes = mln_get_int(mln_item(v, COL_HMAC), 0);
    key.flags = (unsigned)mln_get_int(mln_item(v, COL_FLAGS), 0) & TRANSIT_FLAGS_ALL;
    MLN_TRY(material_read(cx, &key, mln_item(v, COL_NEWEST), &key.newest));
    *ret = key;
    return MLN_OK;
}

struct mln_err transit_need(struct mln_request *rq, const char *absent, struct transit_key *ret)
{
    struct mln_bytes name;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s", absent);
    }
    MLN_TRY(err);
    return transit_is(ret, TRANSIT_SOFT_DELETED)
               ? mln_fail(rq->cx, MLN_E_INVALID, "key %.*s is soft deleted: restore it first",
                          MLN_FMT(name))
               : MLN_OK;
}

struct mln_err transit_store(struct mln_request *rq, const struct transit_key *key)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_array(cx);
    const int64_t numbers[] = {key->latest,        key->min_decryption, key->min_encryption,
                               key->min_available, key->auto_rotate_s,  key->hmac_bytes,
                               (int64_t)key->flags};
    mln_push(cx, v, mln_int(cx, KEY_FORMAT));
    mln_push_text(cx, v, transit_traits(key->type)->name);
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        mln_push(cx, v, mln_int(cx, numbers[i]));
    }
    mln_push(cx, v, material_value(cx, key->type, &key->newest));
    struct mln_bytes at = row_key(cx, key->name, 0);
    MLN_TRY(mln_cx_err(cx));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, at, v);
}

struct mln_err transit_store_version(struct mln_request *rq, const struct transit_key *key,
                                     int64_t number, const struct transit_version *v)
{
    struct mln_bytes at = row_key(rq->cx, key->name, number);
    struct mln_value *value = material_value(rq->cx, key->type, v);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, at, value);
}

struct mln_err transit_version_of(struct mln_request *rq, const struct transit_key *key,
                                  int64_t number, struct transit_version *ret)
{
    if (number == key->latest) {
        *ret = key->newest;
        return MLN_OK;
    }
    const struct mln_value *v = NULL;
    struct mln_bytes at = row_key(rq->cx, key->name, number);
    MLN_TRY(mln_cx_err(rq->cx));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, at, &v);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key version %lld is not available",
                        (long long)number);
    }
    MLN_TRY(err);
    return material_read(rq->cx, key, v, ret);
}

struct mln_err transit_remove(struct mln_request *rq, const struct transit_key *key)
{
    struct mln_bytes versions = mln_bytes_format(rq->cx, "v/%.*s/", MLN_FMT(key->name));
    struct mln_bytes at = row_key(rq->cx, key->name, 0);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_txn_delete_all(rq->cx, rq->txn, rq->mount->view, versions));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, at);
}

struct mln_err transit_trim(struct mln_request *rq, struct transit_key *key, int64_t first)
{
    for (int64_t i = key->min_available > 1 ? key->min_available : 1; i < first; i++) {
        struct mln_bytes at = row_key(rq->cx, key->name, i);
        MLN_TRY(mln_cx_err(rq->cx));
        MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, at));
    }
    key->min_available = first;
    return transit_store(rq, key);
}
