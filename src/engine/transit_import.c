/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: keys from outside. What comes in is base64 of
 *
 *   RSA-OAEP(wrapping key, 32 random bytes) 512 bytes | AES-256-KWP(those bytes, the key)
 *
 * the key being its bytes (symmetric) or PKCS #8 (pairs). OAEP's hash is said with it. Or only a public half comes, as PEM.
 */
#include "engine/transit_priv.h"

#include "base/text.h"

#define WRAP_ROW   MLN_BYTES("wrap")
#define WRAP_BYTES 512 /* RSA-4096 */

struct wrap {
    struct mln_bytes priv, pub;
};

static struct mln_err load_wrap(struct mln_request *rq, struct wrap *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, WRAP_ROW, &v));
    *ret = (struct wrap){mln_get_bytes(mln_item(v, 0)), mln_get_bytes(mln_item(v, 1))};
    return MLN_OK;
}

/* Made when it is first asked for, since that takes seconds. */
static struct mln_err make_wrap(struct mln_request *rq, struct wrap *ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *row = mln_array(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf priv = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf pub = {0};
    if (rq->services->block != NULL) {
        rq->services->block(rq);
    }
    MLN_TRY(mln_akey_generate(cx, MLN_AKEY_RSA4096, &priv, &pub));
    *ret = (struct wrap){mln_bytes_dup(cx, mln_buf_bytes(&priv)),
                         mln_bytes_dup(cx, mln_buf_bytes(&pub))};
    struct mln_value *secret = mln_secret_string(cx, ret->priv);
    if (mln_type_of(secret) == MLN_STRING) { /* else the arena is exhausted */
        secret->flags |= MLN_VALUE_BYTES;
    }
    mln_push(cx, row, secret);
    mln_push(cx, row, mln_blob(cx, ret->pub));
    MLN_TRY(mln_cx_err(cx));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, WRAP_ROW, row);
}

struct mln_err transit_wrapping_key_read(struct mln_request *rq, struct mln_reply *re)
{
    struct wrap wrap;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_err err = load_wrap(rq, &wrap);
    MLN_TRY(mln_is(err, MLN_E_NOT_FOUND) ? make_wrap(rq, &wrap) : err);
    mln_put_text(rq->cx, data, "public_key",
                 transit_public_text(rq->cx, TRANSIT_RSA4096, wrap.pub));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- opening ---- */

static struct mln_err read_oaep_hash(struct mln_request *rq, enum mln_hash *ret)
{
    static const struct {
        const char *name;
        enum mln_hash hash;
    } known[] = {{"SHA1", MLN_HASH_SHA1},
                 {"SHA224", MLN_HASH_SHA2_224},
                 {"SHA256", MLN_HASH_SHA2_256},
                 {"SHA384", MLN_HASH_SHA2_384},
                 {"SHA512", MLN_HASH_SHA2_512}};
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "hash_function"));
    *ret = MLN_HASH_SHA2_256;
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is_nocase(name, known[i].name)) {
            *ret = known[i].hash;
            return MLN_OK;
        }
    }
    return name.len == 0
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "unsupported hash_function: %.*s", MLN_FMT(name));
}

/* Whatever was wrong inside, there is one text: it must not tell which half it was. */
static struct mln_err unwrap(struct mln_request *rq, struct mln_bytes text, struct mln_buf *to)
{
    struct mln_cx *cx = rq->cx;
    struct wrap wrap;
    enum mln_hash hash = MLN_HASH_SHA2_256;
    MLN_AUTO(mln_buf_drop) struct mln_buf box = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf kek = {.is_secret = true};
    MLN_TRY(read_oaep_hash(rq, &hash));
    if (mln_failed(mln_base64_parse(cx, text, MLN_B64_STD, &box))) {
        return mln_refail(cx, MLN_E_INVALID, "failed to base64-decode ciphertext");
    }
    struct mln_err err = load_wrap(rq, &wrap);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_INVALID, "there is no wrapping key yet: read wrapping_key first");
    }
    MLN_TRY(err);
    struct mln_bytes all = mln_buf_bytes(&box);
    err = mln_akey_oaep_open(cx, wrap.priv, hash, mln_bytes_sub(all, 0, WRAP_BYTES), &kek);
    if (!mln_failed(err) && kek.len == MLN_KEY_BYTES) {
        err = mln_aes_kwp_open(cx, kek.ptr, mln_bytes_from(all, WRAP_BYTES), to);
    } else if (!mln_failed(err)) {
        err = (struct mln_err){MLN_E_FORGED};
    }
    return mln_is(err, MLN_E_FORGED) ? mln_refail(cx, MLN_E_INVALID, "failed to unwrap the key")
                                     : err;
}

/* The version that the request brings. */
static struct mln_err read_material(struct mln_request *rq, const struct transit_key *key,
                                    struct transit_version *ret)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "ciphertext")),
                     pem = mln_get_bytes(mln_field_of(rq, "public_key"));
    struct transit_version v = {.created_ns = rq->now_ns, .hmac = transit_new_hmac(rq->cx)};
    MLN_AUTO(mln_buf_drop) struct mln_buf secret = {.is_secret = true};
    MLN_TRY(mln_cx_err(rq->cx));
    if ((text.len == 0) == (pem.len == 0)) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            text.len == 0
                ? "one of the following fields, ciphertext and public_key, must be provided"
                : "only one of the following fields, ciphertext and public_key, can be provided");
    }
    if (pem.len > 0 && transit_is(key, TRANSIT_DERIVED)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key derivation not supported for this key");
    }
    if (pem.len > 0) {
        MLN_TRY(transit_take_public(rq->cx, key->type, pem, &v));
    } else {
        MLN_TRY(unwrap(rq, text, &secret));
        MLN_TRY(transit_take(rq->cx, key->type, mln_buf_bytes(&secret), false, &v));
    }
    *ret = v;
    return MLN_OK;
}

/* ---- handlers ---- */

static struct mln_err read_settings(struct mln_request *rq, struct transit_key *key)
{
    const struct mln_value *period = mln_field_of(rq, "auto_rotate_period");
    const struct transit_traits *traits = transit_traits(key->type);
    bool is_derived = mln_get_bool(mln_field_of(rq, "derived"), false);
    bool may_rotate = mln_get_bool(mln_field_of(rq, "allow_rotation"), false);
    key->auto_rotate_s = mln_get_int(period, 0);
    const char *why = key->auto_rotate_s != 0 && key->auto_rotate_s < TRANSIT_ROTATE_MIN_S
                          ? "auto rotate period must be 0 to disable or at least an hour"
                      : key->auto_rotate_s != 0 && !may_rotate
                          ? "allow_rotation must be set to true if auto-rotation is enabled"
                      : mln_get_bool(mln_field_of(rq, "convergent_encryption"), false)
                          ? "import cannot be used on keys with convergent encryption enabled"
                      : is_derived && !traits->derives ? "key derivation not supported for this key"
                                                       : NULL;
    if (why != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s", why);
    }
    transit_set(key, TRANSIT_IMPORTED, true);
    transit_set(key, TRANSIT_DERIVED, is_derived);
    transit_set(key, TRANSIT_MAY_ROTATE, may_rotate);
    transit_set(key, TRANSIT_EXPORTABLE, mln_get_bool(mln_field_of(rq, "exportable"), false));
    transit_set(key, TRANSIT_MAY_BACKUP,
                mln_get_bool(mln_field_of(rq, "allow_plaintext_backup"), false));
    return MLN_OK;
}

struct mln_err transit_import_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    bool is_there = false;
    MLN_TRY(transit_name(rq, &name));
    MLN_TRY(transit_is_there(rq, name, &is_there));
    if (is_there) {
        return mln_fail(rq->cx, MLN_E_EXISTS,
                        "the import path cannot be used with an existing key; use import-version "
                        "to rotate an existing "
                        "imported key");
    }
    struct transit_key key = {.name = name, .latest = 1, .min_decryption = 1};
    MLN_TRY(transit_read_type(rq, &key.type));
    MLN_TRY(read_settings(rq, &key));
    MLN_TRY(read_material(rq, &key, &key.newest));
    key.hmac_bytes = key.type == TRANSIT_HMAC ? (int64_t)key.newest.key.len : 0;
    mln_put_text(rq->cx, rq->detail, "type", transit_traits(key.type)->name);
    re->status = 204;
    return transit_store(rq, &key);
}

/* The private half of a version that came in public only: in its place. */
static struct mln_err complete(struct mln_request *rq, struct transit_key *key, int64_t number,
                               const struct transit_version *v)
{
    struct transit_version there;
    if (number < 1 || number < key->min_available || number > key->latest) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unable to import key: key version %lld not found",
                        (long long)number);
    }
    MLN_TRY(transit_version_of(rq, key, number, &there));
    if (there.key.len > 0 || v->key.len == 0 || !mln_bytes_eq(there.public, v->public)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "unable to import key: it is not the private part that version %lld lacks",
                        (long long)number);
    }
    there.key = v->key;
    if (number == key->latest) {
        key->newest = there;
        return transit_store(rq, key);
    }
    return transit_store_version(rq, key, number, &there);
}

struct mln_err transit_import_version_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    struct transit_version v;
    const struct mln_value *number = mln_field_of(rq, "version");
    MLN_TRY(transit_name(rq, &name));
    MLN_TRY(transit_need(
        rq,
        mln_text_format(
            rq->cx, "no key found with name %.*s; to import a new key, use the import/ endpoint",
            MLN_FMT(name)),
        &key));
    if (!transit_is(&key, TRANSIT_IMPORTED)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "the import_version endpoint can only be used with an imported key");
    }
    MLN_TRY(read_material(rq, &key, &v));
    re->status = 204;
    if (!mln_is_null(number)) {
        return complete(rq, &key, mln_get_int(number, 0), &v);
    }
    if (key.type == TRANSIT_HMAC) {
        key.hmac_bytes = (int64_t)v.key.len;
    }
    MLN_TRY(transit_push_version(rq, &key, &v));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    return transit_store(rq, &key);
}
