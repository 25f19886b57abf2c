/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: making, reading, changing, rotating, trimming and deleting keys. */
#include "engine/transit_priv.h"

#include "base/text.h"

struct mln_err transit_keys_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("k/"), &keys));
    if (mln_len(keys) == 0) {
        return transit_absent(re);
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
    MLN_AUTO(mln_buf_drop) struct mln_buf context = {0};
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return transit_absent(re);
    }
    MLN_TRY(err);
    MLN_TRY(transit_read_context(rq->cx, rq->fields, &context));
    return transit_show(rq, &key, mln_buf_bytes(&context), &re->data);
}

struct mln_err transit_keys_exists(struct mln_request *rq, bool *ret)
{
    struct mln_bytes name;
    MLN_TRY(transit_name(rq, &name));
    return transit_is_there(rq, name, ret);
}

static struct mln_err read_period(struct mln_request *rq, int64_t *ret)
{
    const struct mln_value *v = mln_field_of(rq, "auto_rotate_period");
    int64_t period = mln_get_int(v, *ret);
    if (!mln_is_null(v) && period != 0 && period < TRANSIT_ROTATE_MIN_S) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "auto rotate period must be 0 to disable or at least an hour");
    }
    *ret = period;
    return MLN_OK;
}

static struct mln_err read_size(struct mln_request *rq, struct transit_key *key)
{
    int64_t n = mln_get_int(mln_field_of(rq, "key_size"), 0);
    if (key->type != TRANSIT_HMAC) {
        return n == 0 ? MLN_OK
                      : mln_fail(rq->cx, MLN_E_INVALID, "key_size is not valid for algorithm %s",
                                 transit_traits(key->type)->name);
    }
    n = n == 0 ? TRANSIT_HMAC_MIN : n;
    if (n < TRANSIT_HMAC_MIN || n > TRANSIT_HMAC_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "invalid key_size %lld: an hmac key has %d to %d bytes", (long long)n,
                        TRANSIT_HMAC_MIN, TRANSIT_HMAC_MAX);
    }
    key->hmac_bytes = n;
    return MLN_OK;
}

static struct mln_err read_derivation(struct mln_request *rq, struct transit_key *key)
{
    const struct transit_traits *traits = transit_traits(key->type);
    bool is_derived = mln_get_bool(mln_field_of(rq, "derived"), false);
    bool is_convergent = mln_get_bool(mln_field_of(rq, "convergent_encryption"), false);
    if ((is_derived || is_convergent) && !traits->derives) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "key derivation and convergent encryption not supported for keys of type %s",
            traits->name);
    }
    if (is_convergent && !traits->is_aead) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "convergent encryption not supported for keys of type %s", traits->name);
    }
    if (is_convergent && !is_derived) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "convergent encryption requires derivation to be enabled");
    }
    transit_set(key, TRANSIT_DERIVED, is_derived);
    transit_set(key, TRANSIT_CONVERGENT, is_convergent);
    return MLN_OK;
}

static struct mln_err was_there(struct mln_request *rq, struct mln_reply *re,
                                const struct transit_key *key)
{
    mln_reply_warn(rq, re, mln_text_format(rq->cx, "key %.*s already existed", MLN_FMT(key->name)));
    return transit_show(rq, key, MLN_BYTES_NONE, &re->data);
}

struct mln_err transit_keys_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key there, key = {0};
    MLN_TRY(transit_name(rq, &name));
    key.name = name;
    MLN_TRY(transit_read_type(rq, &key.type));
    MLN_TRY(read_size(rq, &key));
    MLN_TRY(read_derivation(rq, &key));
    MLN_TRY(read_period(rq, &key.auto_rotate_s));
    struct mln_err err = transit_load(rq, name, &there);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
        return was_there(rq, re, &there);
    }
    transit_set(&key, TRANSIT_EXPORTABLE, mln_get_bool(mln_field_of(rq, "exportable"), false));
    transit_set(&key, TRANSIT_MAY_BACKUP,
                mln_get_bool(mln_field_of(rq, "allow_plaintext_backup"), false));
    MLN_TRY(transit_create(rq, &key));
    mln_put_text(rq->cx, rq->detail, "type", transit_traits(key.type)->name);
    MLN_TRY(transit_show(rq, &key, MLN_BYTES_NONE, &re->data));
    return transit_store(rq, &key);
}

struct mln_err transit_keys_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "error deleting policy %.*s: could not delete key; not found",
                        MLN_FMT(name));
    }
    MLN_TRY(err);
    if (!transit_is(&key, TRANSIT_MAY_DELETE)) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION,
                        "error deleting policy %.*s: deletion is not allowed for this key",
                        MLN_FMT(name));
    }
    mln_txn_mark_relief(rq->txn);
    re->status = 204;
    return transit_remove(rq, &key);
}

/* ---- settings ---- */

static struct mln_err change_min_decryption(struct mln_request *rq, struct mln_reply *re,
                                            struct transit_key *key)
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
        mln_reply_warn(rq, re,
                       "since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1");
        version = 1;
    }
    if (version > key->latest) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "cannot set min decryption version of %lld, latest key version is %lld",
                        (long long)version, (long long)key->latest);
    }
    if (version < key->min_available) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
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
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "cannot set min encryption version of %lld, latest key version is %lld",
                        (long long)version, (long long)key->latest);
    }
    if (version > 0 && version < key->min_decryption) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "cannot set min encryption/decryption values; min encryption version of "
                        "%lld must be greater "
                        "than or equal to min decryption version of %lld",
                        (long long)version, (long long)key->min_decryption);
    }
    key->min_encryption = version;
    return MLN_OK;
}

/* Only ever turns on: a key that could leave once cannot be called safe again. Vault says nothing; here it is told. */
static void turn_on(struct mln_request *rq, struct mln_reply *re, struct transit_key *key,
                    const char *name, enum transit_flag flag)
{
    const struct mln_value *v = mln_field_of(rq, name);
    if (transit_is(key, flag) && !mln_get_bool(v, true)) {
        mln_reply_warn(rq, re, mln_text_format(rq->cx, "%s cannot be turned off", name));
    }
    if (mln_get_bool(v, false)) {
        transit_set(key, flag, true);
    }
}

static struct mln_err find(struct mln_request *rq, struct transit_key *ret)
{
    struct mln_bytes name;
    MLN_TRY(transit_name(rq, &name));
    return transit_need(
        rq, mln_text_format(rq->cx, "no existing key named %.*s could be found", MLN_FMT(name)),
        ret);
}

struct mln_err transit_config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    MLN_TRY(find(rq, &key));
    MLN_TRY(change_min_decryption(rq, re, &key));
    MLN_TRY(change_min_encryption(rq, &key));
    MLN_TRY(read_period(rq, &key.auto_rotate_s));
    if (key.auto_rotate_s > 0 && transit_is(&key, TRANSIT_IMPORTED) &&
        !transit_is(&key, TRANSIT_MAY_ROTATE)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "imported key %.*s does not allow rotation within Vault",
                        MLN_FMT(key.name));
    }
    turn_on(rq, re, &key, "exportable", TRANSIT_EXPORTABLE);
    turn_on(rq, re, &key, "allow_plaintext_backup", TRANSIT_MAY_BACKUP);
    bool may_delete =
        mln_get_bool(mln_field_of(rq, "deletion_allowed"), transit_is(&key, TRANSIT_MAY_DELETE));
    transit_set(&key, TRANSIT_MAY_DELETE, may_delete);
    MLN_TRY(transit_show(rq, &key, MLN_BYTES_NONE, &re->data));
    return transit_store(rq, &key);
}

struct mln_err transit_rotate_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    MLN_TRY(transit_need(rq, "key not found", &key));
    MLN_TRY(transit_rotate(rq, &key));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    return transit_show(rq, &key, MLN_BYTES_NONE, &re->data);
}

struct mln_err transit_trim_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    MLN_TRY(transit_need(rq, "invalid key name", &key));
    int64_t first = mln_get_int(mln_field_of(rq, "min_available_version"), 0);
    const char *why =
        first < 1 ? "minimum available version must be positive"
        : key.min_encryption == 0
            ? "minimum available version cannot be set when minimum encryption "
              "version is not set"
        : first > key.min_encryption ? "minimum available version cannot be greater than minmum "
                                       "encryption version" /* as clients know it */
        : first > key.min_decryption ? "minimum available version cannot be greater than minimum "
                                       "decryption version"
        : first < key.min_available  ? "minimum available version cannot be decremented"
                                     : NULL;
    if (why != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s", why);
    }
    MLN_TRY(transit_trim(rq, &key, first));
    return transit_show(rq, &key, MLN_BYTES_NONE, &re->data);
}

/* ---- soft deletion (OpenBao): the key stays, and can be backed up, but does nothing ---- */

static struct mln_err mark(struct mln_request *rq, struct mln_reply *re, bool is_deleted)
{
    struct mln_bytes name;
    struct transit_key key;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no existing key named %.*s could be found",
                        MLN_FMT(name));
    }
    MLN_TRY(err);
    re->status = 204;
    if (transit_is(&key, TRANSIT_SOFT_DELETED) == is_deleted) {
        return MLN_OK;
    }
    transit_set(&key, TRANSIT_SOFT_DELETED, is_deleted);
    return transit_store(rq, &key);
}

struct mln_err transit_soft_delete(struct mln_request *rq, struct mln_reply *re)
{
    return mark(rq, re, true);
}

struct mln_err transit_soft_restore(struct mln_request *rq, struct mln_reply *re)
{
    return mark(rq, re, false);
}

/* ---- time ---- */

static bool is_due(const struct mln_request *rq, const struct transit_key *key)
{
    int64_t age_s = (rq->now_ns - key->newest.created_ns) / 1000000000;
    bool may = !transit_is(key, TRANSIT_SOFT_DELETED) && key->latest < TRANSIT_VERSIONS_MAX &&
               (!transit_is(key, TRANSIT_IMPORTED) ||
                (transit_is(key, TRANSIT_MAY_ROTATE) && key->newest.key.len > 0));
    return may && key->auto_rotate_s > 0 && age_s >= key->auto_rotate_s;
}

/* Rotate what is due. */
struct mln_err transit_tick(struct mln_request *rq)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("k/"), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct transit_key key;
        MLN_TRY(transit_load(rq, mln_get_bytes(mln_item(names, i)), &key));
        if (is_due(rq, &key)) {
            MLN_TRY(transit_rotate(rq, &key));
            mln_put_key(rq->cx, rq->detail, key.name, mln_int(rq->cx, key.latest));
        }
    }
    return mln_cx_err(rq->cx);
}
