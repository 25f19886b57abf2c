/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: keys in the store, their versions, wrapped texts, batches. No handler is here. */
#include "engine/transit_priv.h"

#include "base/clock.h"
#include "base/text.h"

#define KEY_FORMAT 1
#define NAME_MAX_BYTES 128 /* a name is part of a store key */

static const struct {
    const char *name;
    bool can_encrypt, can_sign;
} types[TRANSIT_TYPES] = {
    [TRANSIT_AES256] = {"aes256-gcm96", true, false},
    [TRANSIT_CHACHA] = {"chacha20-poly1305", true, false},
    [TRANSIT_P256] = {"ecdsa-p256", false, true},
    [TRANSIT_ED25519] = {"ed25519", false, true},
};

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

const char *transit_type_name(enum transit_type type)
{
    return types[type].name;
}

bool transit_can_encrypt(enum transit_type type)
{
    return types[type].can_encrypt;
}

bool transit_can_sign(enum transit_type type)
{
    return types[type].can_sign;
}

struct mln_err transit_name(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    bool ok = name.len > 0 && name.len <= NAME_MAX_BYTES;
    for (size_t i = 0; ok && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool is_inside = (c == '-' || c == '.') && i > 0 && i + 1 < name.len;
        ok = is_word || is_inside;
    }
    if (!ok) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "invalid key name: letters, digits, '_', and inside '-' and '.', at most %d", NAME_MAX_BYTES);
    }
    *ret = name;
    return MLN_OK;
}

static struct mln_bytes row_key(struct mln_cx *cx, struct mln_bytes name, int64_t version)
{
    return version == 0 ? mln_bytes_format(cx, "k/%.*s", MLN_FMT(name))
                        : mln_bytes_format(cx, "v/%.*s/%08llx", MLN_FMT(name), (unsigned long long)version);
}

static struct mln_value *secret_bytes(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_value *v = mln_secret_string(cx, bytes);
    if (mln_type_of(v) == MLN_STRING) { /* else the arena is exhausted */
        v->flags |= MLN_VALUE_BYTES;
    }
    return v;
}

static struct mln_value *material_value(struct mln_cx *cx, const struct transit_version *v)
{
    struct mln_value *out = mln_array(cx);
    mln_push(cx, out, mln_int(cx, v->created_ns));
    mln_push(cx, out, secret_bytes(cx, v->key));
    mln_push(cx, out, secret_bytes(cx, v->hmac));
    mln_push(cx, out, mln_blob(cx, v->public));
    return out;
}

static struct mln_err material_read(struct mln_cx *cx, const struct mln_value *v, struct transit_version *ret)
{
    struct transit_version out = {
        .created_ns = mln_get_int(mln_item(v, 0), 0),
        .key = mln_get_bytes(mln_item(v, 1)),
        .hmac = mln_get_bytes(mln_item(v, 2)),
        .public = mln_get_bytes(mln_item(v, 3)),
    };
    if (out.key.len != MLN_KEY_BYTES || out.hmac.len != MLN_KEY_BYTES) {
        return mln_fail(cx, MLN_E_CORRUPT, "transit: damaged key");
    }
    *ret = out;
    return MLN_OK;
}

enum {
    COL_FORMAT, COL_TYPE, COL_LATEST, COL_MIN_DEC, COL_MIN_ENC, COL_MIN_AVAILABLE, COL_ROTATE, COL_DELETE, COL_EXPORT,
    COL_BACKUP, COL_HISTORY, COL_NEWEST, COL_COUNT,
};

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
    key.may_delete = mln_get_bool(mln_item(v, COL_DELETE), false);
    key.is_exportable = mln_get_bool(mln_item(v, COL_EXPORT), false);
    key.may_backup = mln_get_bool(mln_item(v, COL_BACKUP), false);
    key.history = mln_item(v, COL_HISTORY);
    MLN_TRY(material_read(cx, mln_item(v, COL_NEWEST), &key.newest));
    *ret = key;
    return MLN_OK;
}

struct mln_err transit_need(struct mln_request *rq, const char *absent, struct transit_key *ret)
{
    struct mln_bytes name;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_INVALID, "%s", absent) : err;
}

struct mln_err transit_store(struct mln_request *rq, const struct transit_key *key)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_array(cx);
    const int64_t numbers[] = {key->latest,        key->min_decryption, key->min_encryption,
                               key->min_available, key->auto_rotate_s};
    mln_push(cx, v, mln_int(cx, KEY_FORMAT));
    mln_push_text(cx, v, transit_type_name(key->type));
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        mln_push(cx, v, mln_int(cx, numbers[i]));
    }
    mln_push(cx, v, mln_bool(cx, key->may_delete));
    mln_push(cx, v, mln_bool(cx, key->is_exportable));
    mln_push(cx, v, mln_bool(cx, key->may_backup));
    mln_push(cx, v, key->history);
    mln_push(cx, v, material_value(cx, &key->newest));
    struct mln_bytes at = row_key(cx, key->name, 0);
    MLN_TRY(mln_cx_err(cx));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, at, v);
}

/* New material; it becomes the newest version. */
static struct mln_err make_version(struct mln_request *rq, struct transit_key *key)
{
    struct mln_cx *cx = rq->cx;
    uint8_t *secret = mln_new(cx, 2 * MLN_KEY_BYTES), *public = mln_new(cx, 65);
    MLN_TRY(mln_cx_err(cx));
    size_t public_n = key->type == TRANSIT_P256 ? 65 : key->type == TRANSIT_ED25519 ? 32 : 0;
    mln_random(secret, 2 * MLN_KEY_BYTES);
    if (key->type == TRANSIT_P256) {
        MLN_TRY(mln_p256_generate(cx, secret, public));
    } else if (key->type == TRANSIT_ED25519) {
        mln_ed25519_public(secret, public);
    }
    key->newest = (struct transit_version){
        .created_ns = rq->now_ns,
        .key = mln_bytes_at(secret, MLN_KEY_BYTES),
        .hmac = mln_bytes_at(secret + MLN_KEY_BYTES, MLN_KEY_BYTES),
        .public = mln_bytes_at(public, public_n),
    };
    struct mln_value *history = mln_value_dup(cx, key->history);
    mln_push(cx, history, mln_int(cx, rq->now_ns));
    mln_push(cx, history, mln_blob(cx, key->newest.public));
    key->history = history;
    key->latest++;
    return mln_cx_err(cx);
}

struct mln_err transit_create(struct mln_request *rq, struct mln_bytes name, enum transit_type type,
                              struct transit_key *ret)
{
    *ret = (struct transit_key){.name = name, .type = type, .min_decryption = 1, .history = mln_array(rq->cx)};
    MLN_TRY(mln_cx_err(rq->cx));
    return make_version(rq, ret);
}

struct mln_err transit_rotate(struct mln_request *rq, struct transit_key *key)
{
    if (key->latest >= TRANSIT_VERSIONS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "key has %d versions: no more", TRANSIT_VERSIONS_MAX);
    }
    struct mln_bytes at = row_key(rq->cx, key->name, key->latest);
    struct mln_value *old = material_value(rq->cx, &key->newest);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, at, old));
    MLN_TRY(make_version(rq, key));
    return transit_store(rq, key);
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
    struct mln_value *history = mln_array(rq->cx);
    for (int64_t i = 1; i <= key->latest; i++) {
        for (size_t j = 0; j < 2; j++) {
            const struct mln_value *v = mln_item(key->history, (size_t)(i - 1) * 2 + j);
            mln_push(rq->cx, history, i >= first ? v : mln_null(rq->cx));
        }
        if (i < first && i >= key->min_available) {
            struct mln_bytes at = row_key(rq->cx, key->name, i);
            MLN_TRY(mln_cx_err(rq->cx));
            MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, at));
        }
    }
    key->history = history;
    key->min_available = first;
    return transit_store(rq, key);
}

struct mln_err transit_version_of(struct mln_request *rq, const struct transit_key *key, int64_t number,
                                  struct transit_version *ret)
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
        return mln_fail(rq->cx, MLN_E_INVALID, "key version %lld is not available", (long long)number);
    }
    MLN_TRY(err);
    return material_read(rq->cx, v, ret);
}

static const char *public_text(struct mln_cx *cx, enum transit_type type, struct mln_bytes public)
{
    if (type == TRANSIT_ED25519) {
        return mln_base64_text(cx, public, MLN_B64_STD);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    if (public.len != 65 || mln_failed(mln_p256_public_pem(cx, public.ptr, &pem))) {
        return "";
    }
    return mln_text_dup(cx, mln_buf_bytes(&pem));
}

static const struct mln_value *versions_value(struct mln_request *rq, const struct transit_key *key)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *all = mln_object(cx);
    for (int64_t i = key->min_decryption; i <= key->latest; i++) {
        const struct mln_value *created = mln_item(key->history, (size_t)(i - 1) * 2);
        const struct mln_value *public = mln_item(key->history, (size_t)(i - 1) * 2 + 1);
        int64_t ns = mln_get_int(created, 0);
        const char *name = mln_text_format(cx, "%lld", (long long)i);
        if (!transit_can_sign(key->type)) {
            mln_put_int(cx, all, name, ns / 1000000000);
            continue;
        }
        struct mln_value *one = mln_object(cx);
        mln_put_text(cx, one, "certificate_chain", "");
        mln_put_text(cx, one, "creation_time", mln_time_text_go(cx, ns));
        mln_put_text(cx, one, "name", key->type == TRANSIT_P256 ? "P-256" : "ed25519");
        mln_put_text(cx, one, "public_key", public_text(cx, key->type, mln_get_bytes(public)));
        mln_put(cx, all, name, one);
    }
    return all;
}

const struct mln_value *transit_key_value(struct mln_request *rq, const struct transit_key *key)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_object(cx);
    bool encrypts = transit_can_encrypt(key->type);
    mln_put_bool(cx, v, "allow_plaintext_backup", key->may_backup);
    mln_put_int(cx, v, "auto_rotate_period", key->auto_rotate_s);
    mln_put_bool(cx, v, "deletion_allowed", key->may_delete);
    mln_put_bool(cx, v, "derived", false);
    mln_put_bool(cx, v, "exportable", key->is_exportable);
    mln_put_bool(cx, v, "imported_key", false);
    mln_put(cx, v, "keys", versions_value(rq, key));
    mln_put_int(cx, v, "latest_version", key->latest);
    mln_put_int(cx, v, "min_available_version", key->min_available);
    mln_put_int(cx, v, "min_decryption_version", key->min_decryption);
    mln_put_int(cx, v, "min_encryption_version", key->min_encryption);
    mln_put_bytes(cx, v, "name", key->name);
    mln_put_bool(cx, v, "soft_deleted", false);
    mln_put_bool(cx, v, "supports_decryption", encrypts);
    mln_put_bool(cx, v, "supports_derivation", key->type != TRANSIT_P256);
    mln_put_bool(cx, v, "supports_encryption", encrypts);
    mln_put_bool(cx, v, "supports_signing", transit_can_sign(key->type));
    mln_put_text(cx, v, "type", transit_type_name(key->type));
    return v;
}

/* ---- wrapped texts ---- */

struct mln_value *transit_wrap_text(struct mln_cx *cx, int64_t version, struct mln_bytes payload, bool is_url)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_format(&text, "vault:v%lld:", (long long)version);
    mln_base64_print(&text, payload, is_url ? MLN_B64_URL_RAW : MLN_B64_STD);
    (void)mln_failed(mln_buf_ok(cx, &text));
    return mln_string_dup(cx, mln_buf_bytes(&text));
}

struct mln_err transit_split(struct mln_cx *cx, const struct transit_key *key, const char *what, struct mln_bytes text,
                             int64_t *ret_version, struct mln_bytes *ret_payload)
{
    const struct mln_bytes head = MLN_BYTES("vault:v");
    int64_t version = 0;
    if (!mln_bytes_starts(text, head)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: no prefix", what);
    }
    struct mln_bytes rest, number = mln_bytes_cut(mln_bytes_from(text, head.len), ':', &rest);
    if (number.len + head.len == text.len) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: wrong number of fields", what);
    }
    if (!mln_i64_parse(number, &version) || version < 1) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: version number could not be decoded", what);
    }
    if (version > key->latest) {
        return mln_fail(cx, MLN_E_INVALID, "invalid %s: version is too new", what);
    }
    if (version < key->min_decryption) {
        return mln_fail(cx, MLN_E_INVALID, "ciphertext or signature version is disallowed by policy (too old)");
    }
    *ret_version = version;
    *ret_payload = rest;
    return MLN_OK;
}

int64_t transit_int(const struct mln_value *in, const char *name, int64_t otherwise)
{
    const struct mln_value *v = mln_get(in, name);
    int64_t number = otherwise;
    if (mln_type_of(v) == MLN_STRING && mln_i64_parse(mln_get_bytes(v), &number)) {
        return number;
    }
    return mln_get_int(v, otherwise);
}

struct mln_err transit_pick(struct mln_cx *cx, const struct transit_key *key, const struct mln_value *in, int64_t *ret)
{
    int64_t version = transit_int(in, "key_version", 0);
    if (version < 0) {
        return mln_fail(cx, MLN_E_INVALID, "requested version for encryption is negative");
    }
    if (version > key->latest) {
        return mln_fail(cx, MLN_E_INVALID, "requested version for encryption is higher than the latest key version");
    }
    if (version != 0 && (version < key->min_encryption || version < key->min_available)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "requested version for encryption is less than the minimum encryption key version");
    }
    *ret = version == 0 ? key->latest : version;
    return MLN_OK;
}

/* ---- batches ---- */

/* An item's own mistake becomes a member of its result; anything else fails the request. */
static struct mln_err item_failed(struct mln_cx *cx, struct mln_err err, struct mln_value *out)
{
    int http = mln_err_http(err.code);
    if (http < 400 || http >= 500) {
        return err;
    }
    const char *text = mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    mln_put_text(cx, out, "error", text);
    return MLN_OK;
}

struct mln_err transit_run(struct transit_call *call, struct mln_reply *re, transit_op op)
{
    struct mln_cx *cx = call->rq->cx;
    const struct mln_value *batch = mln_field_of(call->rq, "batch_input");
    struct mln_value *data = mln_object(cx), *results = mln_array(cx);
    size_t failed = 0, n = mln_len(batch);
    re->data = data;
    if (mln_is_null(batch)) {
        MLN_TRY(op(call, call->rq->fields, data));
        return mln_cx_err(cx);
    }
    if (mln_type_of(batch) != MLN_ARRAY || n == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing batch input to process");
    }
    if (n > TRANSIT_BATCH_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "more than %d items in a batch", TRANSIT_BATCH_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        const struct mln_value *in = mln_item(batch, i), *reference = mln_get(in, "reference");
        struct mln_value *out = mln_object(cx);
        MLN_TRY(mln_cx_err(cx));
        struct mln_err err = mln_type_of(in) == MLN_OBJECT ? op(call, in, out)
                                                           : mln_fail(cx, MLN_E_INVALID, "a batch item must be a map");
        if (mln_failed(err)) {
            failed++;
            MLN_TRY(item_failed(cx, err, out));
        }
        mln_put(cx, out, "reference", mln_type_of(reference) == MLN_STRING ? reference : mln_text(cx, ""));
        mln_push(cx, results, out);
    }
    int64_t partial = mln_get_int(mln_field_of(call->rq, "partial_failure_response_code"), 0);
    bool may_be_partial = failed < n && partial >= 200 && partial < 500;
    re->status = failed == 0 ? 200 : may_be_partial ? (int)partial : 400;
    mln_put(cx, data, "batch_results", results);
    mln_put_int(cx, call->rq->detail, "batch", (int64_t)n);
    return mln_cx_err(cx);
}
