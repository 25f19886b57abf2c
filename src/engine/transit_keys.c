/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: making, reading, changing, rotating, trimming, exporting and deleting keys. */
#include "engine/transit_priv.h"

#include "base/text.h"

#define ROTATE_MIN_S 3600 /* Vault's least period */

static struct mln_err not_found(struct mln_reply *re)
{
    re->status = 404;
    re->no_errors_text = true;
    return MLN_OK;
}

struct mln_err transit_keys_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("k/"), &keys));
    if (mln_len(keys) == 0) {
        return not_found(re);
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err transit_keys_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return not_found(re);
    }
    MLN_TRY(err);
    re->data = transit_key_value(rq, &key);
    return mln_cx_err(rq->cx);
}

struct mln_err transit_keys_exists(struct mln_request *rq, bool *ret)
{
    struct mln_bytes name;
    struct transit_key key;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err read_type(struct mln_request *rq, enum transit_type *ret)
{
    static const char *const known[] = {
        "aes128-gcm96", "xchacha20-poly1305", "ecdsa-p384", "ecdsa-p521", "rsa-2048",
        "rsa-3072",     "rsa-4096",           "hmac",       "managed_key",
    };
    struct mln_bytes type = mln_get_bytes(mln_field_of(rq, "type"));
    if (type.len == 0) {
        *ret = TRANSIT_AES256;
        return MLN_OK;
    }
    if (transit_type_of(type, ret)) {
        return MLN_OK;
    }
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is(type, known[i])) {
            return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "key type %s is not supported", known[i]);
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "unknown key type %.*s", MLN_FMT(type));
}

static struct mln_err read_period(struct mln_request *rq, int64_t *ret)
{
    const struct mln_value *v = mln_field_of(rq, "auto_rotate_period");
    int64_t period = mln_get_int(v, *ret);
    if (!mln_is_null(v) && period != 0 && period < ROTATE_MIN_S) {
        return mln_fail(rq->cx, MLN_E_INVALID, "auto rotate period must be 0 to disable or at least an hour");
    }
    *ret = period;
    return MLN_OK;
}

struct mln_err transit_keys_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    enum transit_type type = TRANSIT_AES256;
    MLN_TRY(transit_name(rq, &name));
    MLN_TRY(read_type(rq, &type));
    if (mln_get_bool(mln_field_of(rq, "derived"), false) ||
        mln_get_bool(mln_field_of(rq, "convergent_encryption"), false)) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "derived and convergent keys are not supported");
    }
    struct mln_err err = transit_load(rq, name, &key);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
        mln_reply_warn(rq, re, mln_text_format(rq->cx, "key %.*s already existed", MLN_FMT(name)));
        re->data = transit_key_value(rq, &key);
        return mln_cx_err(rq->cx);
    }
    MLN_TRY(transit_create(rq, name, type, &key));
    MLN_TRY(read_period(rq, &key.auto_rotate_s));
    key.is_exportable = mln_get_bool(mln_field_of(rq, "exportable"), false);
    key.may_backup = mln_get_bool(mln_field_of(rq, "allow_plaintext_backup"), false);
    mln_put_text(rq->cx, rq->detail, "type", transit_type_name(type));
    re->data = transit_key_value(rq, &key);
    MLN_TRY(mln_cx_err(rq->cx));
    return transit_store(rq, &key);
}

struct mln_err transit_keys_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "error deleting policy %.*s: could not delete key; not found",
                        MLN_FMT(name));
    }
    MLN_TRY(err);
    if (!key.may_delete) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION, "error deleting policy %.*s: deletion is not allowed for this key",
                        MLN_FMT(name));
    }
    mln_txn_mark_relief(rq->txn);
    re->status = 204;
    return transit_remove(rq, &key);
}

static struct mln_err change_min_decryption(struct mln_request *rq, struct mln_reply *re, struct transit_key *key)
{
    const struct mln_value *v = mln_field_of(rq, "min_decryption_version");
    int64_t version = mln_get_int(v, 0);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (version < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "min decryption version cannot be negative");
    }
    if (version == 0) {
        mln_reply_warn(rq, re, "since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1");
        version = 1;
    }
    if (version > key->latest) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot set min decryption version of %lld, latest key version is %lld",
                        (long long)version, (long long)key->latest);
    }
    if (version < key->min_available) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "cannot set min decryption version of %lld, versions below %lld are trimmed",
                        (long long)version, (long long)key->min_available);
    }
    key->min_decryption = version;
    return MLN_OK;
}

static struct mln_err change_min_encryption(struct mln_request *rq, struct transit_key *key)
{
    const struct mln_value *v = mln_field_of(rq, "min_encryption_version");
    int64_t version = mln_get_int(v, key->min_encryption);
    if (version < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "min encryption version cannot be negative");
    }
    if (version > key->latest) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot set min encryption version of %lld, latest key version is %lld",
                        (long long)version, (long long)key->latest);
    }
    if (version > 0 && version < key->min_decryption) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "cannot set min encryption/decryption values; min encryption version of %lld must be greater "
                        "than or equal to min decryption version of %lld",
                        (long long)version, (long long)key->min_decryption);
    }
    key->min_encryption = version;
    return MLN_OK;
}

/* Only ever turns on: a key that was exportable once cannot be called safe again. */
static struct mln_err turn_on(struct mln_request *rq, const char *name, bool *is_on)
{
    const struct mln_value *v = mln_field_of(rq, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (*is_on && !mln_get_bool(v, true)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s cannot be turned off", name);
    }
    *is_on = *is_on || mln_get_bool(v, false);
    return MLN_OK;
}

struct mln_err transit_config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no existing key named %.*s could be found", MLN_FMT(name));
    }
    MLN_TRY(err);
    MLN_TRY(change_min_decryption(rq, re, &key));
    MLN_TRY(change_min_encryption(rq, &key));
    MLN_TRY(turn_on(rq, "exportable", &key.is_exportable));
    MLN_TRY(turn_on(rq, "allow_plaintext_backup", &key.may_backup));
    MLN_TRY(read_period(rq, &key.auto_rotate_s));
    key.may_delete = mln_get_bool(mln_field_of(rq, "deletion_allowed"), key.may_delete);
    re->data = transit_key_value(rq, &key);
    MLN_TRY(mln_cx_err(rq->cx));
    return transit_store(rq, &key);
}

struct mln_err transit_rotate_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    MLN_TRY(transit_need(rq, "key not found", &key));
    MLN_TRY(transit_rotate(rq, &key));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    re->data = transit_key_value(rq, &key);
    return mln_cx_err(rq->cx);
}

struct mln_err transit_trim_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    MLN_TRY(transit_need(rq, "invalid key name", &key));
    int64_t first = mln_get_int(mln_field_of(rq, "min_available_version"), 0);
    const char *why = first < 1                     ? "minimum available version must be positive"
                      : key.min_encryption == 0     ? "minimum available version cannot be set when minimum encryption "
                                                      "version is not set"
                      : first > key.min_encryption  ? "minimum available version cannot be higher than minimum "
                                                      "encryption version"
                      : first > key.min_decryption  ? "minimum available version cannot be higher than minimum "
                                                      "decryption version"
                      : first < key.min_available   ? "minimum available version cannot be decremented"
                                                    : NULL;
    if (why != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s", why);
    }
    MLN_TRY(transit_trim(rq, &key, first));
    re->data = transit_key_value(rq, &key);
    return mln_cx_err(rq->cx);
}

/* ---- export ---- */

enum what { WHAT_CIPHER, WHAT_SIGN, WHAT_HMAC, WHAT_PUBLIC };

static struct mln_err export_kind(struct mln_request *rq, const struct transit_key *key, enum what *ret)
{
    static const char *const names[] = {"encryption-key", "signing-key", "hmac-key", "public-key"};
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "kind"));
    size_t i = 0;
    while (i < MLN_COUNT(names) && !mln_bytes_is(name, names[i])) {
        i++;
    }
    *ret = (enum what)i;
    if (i == MLN_COUNT(names)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid export type: %.*s", MLN_FMT(name));
    }
    if (*ret != WHAT_PUBLIC && !key->is_exportable) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION, "private key material is not exportable");
    }
    bool is_wrong = (*ret == WHAT_CIPHER && !transit_can_encrypt(key->type)) ||
                    ((*ret == WHAT_SIGN || *ret == WHAT_PUBLIC) && !transit_can_sign(key->type));
    if (is_wrong) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key type %s has no %s", transit_type_name(key->type), names[i]);
    }
    if (*ret == WHAT_SIGN && key->type == TRANSIT_P256) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "signing keys of type ecdsa-p256 cannot be exported");
    }
    return MLN_OK;
}

static struct mln_err export_one(struct mln_request *rq, const struct transit_key *key, int64_t number, enum what what,
                                 struct mln_value *out)
{
    struct mln_cx *cx = rq->cx;
    struct transit_version v;
    uint8_t both[64];
    const char *text = NULL;
    MLN_TRY(transit_version_of(rq, key, number, &v));
    if (what == WHAT_PUBLIC && key->type == TRANSIT_P256) {
        const struct mln_value *keys = mln_get(transit_key_value(rq, key), "keys");
        const struct mln_value *one = mln_get(keys, mln_text_format(cx, "%lld", (long long)number));
        text = mln_get_text(cx, mln_get(one, "public_key"), "");
    } else if (what == WHAT_SIGN) {
        mln_copy(both, v.key.ptr, 32);
        mln_copy(both + 32, v.public.ptr, 32);
        text = mln_base64_text(cx, mln_bytes_at(both, 64), MLN_B64_STD);
        mln_wipe(both, sizeof(both));
    } else {
        struct mln_bytes bytes = what == WHAT_PUBLIC ? v.public : what == WHAT_HMAC ? v.hmac : v.key;
        text = mln_base64_text(cx, bytes, MLN_B64_STD);
    }
    mln_put(cx, out, mln_text_format(cx, "%lld", (long long)number), mln_secret_string(cx, mln_bytes_of(text)));
    return mln_cx_err(cx);
}

struct mln_err transit_export_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, version = mln_get_bytes(mln_field_of(rq, "version"));
    struct transit_key key;
    enum what what = WHAT_PUBLIC;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return not_found(re);
    }
    MLN_TRY(err);
    MLN_TRY(export_kind(rq, &key, &what));
    int64_t first = key.min_decryption, last = key.latest;
    if (mln_bytes_is(version, "latest")) {
        first = last;
    } else if (version.len > 0) {
        int64_t number = 0;
        if (!mln_i64_parse(version, &number) || number < first || number > last) {
            return mln_fail(rq->cx, MLN_E_INVALID, "version for export is not valid or disallowed by policy");
        }
        first = last = number;
    }
    struct mln_value *keys = mln_object(rq->cx), *data = mln_object(rq->cx);
    for (int64_t i = first; i <= last; i++) {
        MLN_TRY(export_one(rq, &key, i, what, keys));
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put_bytes(rq->cx, data, "name", name);
    mln_put_text(rq->cx, data, "type", transit_type_name(key.type));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* Rotate what is due. */
struct mln_err transit_tick(struct mln_request *rq)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("k/"), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct transit_key key;
        MLN_TRY(transit_load(rq, mln_get_bytes(mln_item(names, i)), &key));
        int64_t age_s = (rq->now_ns - key.newest.created_ns) / 1000000000;
        if (key.auto_rotate_s > 0 && age_s >= key.auto_rotate_s && key.latest < TRANSIT_VERSIONS_MAX) {
            MLN_TRY(transit_rotate(rq, &key));
            mln_put_key(rq->cx, rq->detail, key.name, mln_int(rq->cx, key.latest));
        }
    }
    return mln_cx_err(rq->cx);
}
