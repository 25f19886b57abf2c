/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Codes of time (TOTP, RFC 6238): as an authenticator program that gives codes, and as a server that checks those of others. A code
 * is taken once. Sources: Vault's public API documentation; docs/engine-totp.md.
 */
#include "engine/totp_priv.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"
#include "crypto/qr.h"

static struct mln_err row_key(struct mln_request *rq, const char *head, struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a key's name has 1 to %d bytes", MLN_NAME_MAX_BYTES);
    }
    *ret = mln_bytes_format(rq->cx, "%s/%.*s", head, MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

/* ---- rows ---- */

static struct mln_err load(struct mln_request *rq, struct totp_key *ret)
{
    struct mln_bytes at;
    const struct mln_value *v = NULL;
    MLN_TRY(row_key(rq, "key", &at));
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, at, &v));
    struct totp_key key = {
        .issuer = mln_get_bytes(mln_get(v, "issuer")),
        .account = mln_get_bytes(mln_get(v, "account_name")),
        .secret = mln_get_bytes(mln_get(v, "secret")),
        .digits = (unsigned)mln_get_int(mln_get(v, "digits"), 0),
        .period_s = mln_get_int(mln_get(v, "period"), 0),
        .skew = mln_get_int(mln_get(v, "skew"), -1),
    };
    if (!totp_hash_of(mln_get_bytes(mln_get(v, "algorithm")), &key.hash) || mln_failed(totp_check(rq->cx, &key))) {
        return mln_refail(rq->cx, MLN_E_CORRUPT, "totp: damaged key");
    }
    *ret = key;
    return MLN_OK;
}

static struct mln_value *shown(struct mln_cx *cx, const struct totp_key *key)
{
    struct mln_value *v = mln_object(cx);
    mln_put_bytes(cx, v, "account_name", key->account);
    mln_put_text(cx, v, "algorithm", totp_hash_name(key->hash));
    mln_put_int(cx, v, "digits", key->digits);
    mln_put_bytes(cx, v, "issuer", key->issuer);
    mln_put_int(cx, v, "period", key->period_s);
    return v;
}

/* A new secret starts with no code used. */
static struct mln_err store(struct mln_request *rq, const struct totp_key *key)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes at, used;
    struct mln_value *v = shown(cx, key), *secret = mln_secret_string(cx, key->secret);
    MLN_TRY(row_key(rq, "key", &at));
    MLN_TRY(row_key(rq, "used", &used));
    if (mln_type_of(secret) == MLN_STRING) { /* else the arena is exhausted */
        secret->flags |= MLN_VALUE_BYTES;
    }
    mln_put_int(cx, v, "skew", key->skew);
    mln_put(cx, v, "secret", secret);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_txn_delete(cx, rq->txn, rq->mount->view, used));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, at, v);
}

/* ---- keys ---- */

/* What the fields say, their defaults filled in. */
static struct mln_err from_fields(struct mln_request *rq, struct totp_key *ret)
{
    int64_t digits = mln_get_int(mln_field_of(rq, "digits"), 6);
    struct totp_key key = {
        .issuer = mln_get_bytes(mln_field_of(rq, "issuer")),
        .account = mln_get_bytes(mln_field_of(rq, "account_name")),
        .digits = digits == 6 || digits == 8 ? (unsigned)digits : 0,
        .period_s = mln_get_int(mln_field_of(rq, "period"), 30),
        .skew = mln_get_int(mln_field_of(rq, "skew"), 1),
    };
    if (!totp_hash_of(mln_get_bytes(mln_field_of(rq, "algorithm")), &key.hash)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the algorithm value is not valid");
    }
    *ret = key;
    return MLN_OK;
}

static struct mln_err make_secret(struct mln_request *rq, struct totp_key *key)
{
    int64_t n = mln_get_int(mln_field_of(rq, "key_size"), 20);
    const char *bad = key->issuer.len == 0    ? "the issuer value is required"
                      : key->account.len == 0 ? "the account_name value is required"
                      : n <= 0                ? "the key_size value must be greater than zero"
                      : n > TOTP_SECRET_MAX   ? "the key_size value is too large"
                      : mln_len(mln_field_of(rq, "key")) > 0 ? "a key should not be passed if generate is true"
                      : mln_len(mln_field_of(rq, "url")) > 0 ? "a url should not be passed if generate is true"
                                                             : NULL;
    if (bad != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s", bad);
    }
    uint8_t *secret = mln_new(rq->cx, (size_t)n);
    MLN_TRY(mln_cx_err(rq->cx));
    mln_random(secret, (size_t)n);
    key->secret = mln_bytes_at(secret, (size_t)n);
    return MLN_OK;
}

/* A URL names all; a key alone its secret. */
static struct mln_err take_secret(struct mln_request *rq, struct totp_key *key)
{
    struct mln_bytes url = mln_get_bytes(mln_field_of(rq, "url")), text = mln_get_bytes(mln_field_of(rq, "key"));
    if (url.len > 0) {
        return totp_url_read(rq->cx, url, key);
    }
    return text.len > 0 ? totp_secret_read(rq->cx, text, &key->secret)
                        : mln_fail(rq->cx, MLN_E_INVALID, "the key value is required");
}

static struct mln_err export_key(struct mln_request *rq, struct mln_reply *re, const struct totp_key *key)
{
    struct mln_cx *cx = rq->cx;
    int64_t side = mln_get_int(mln_field_of(rq, "qr_size"), 200);
    struct mln_value *data = mln_object(cx);
    const char *url = totp_url_text(cx, key);
    MLN_AUTO(mln_buf_drop) struct mln_buf png = {.is_secret = true};
    MLN_TRY(mln_cx_err(cx));
    if (side > 0) {
        struct mln_err err = mln_qr_png(cx, url, (size_t)side, &png);
        MLN_TRY(mln_is(err, MLN_E_INVALID)
                    ? mln_refail(cx, MLN_E_INVALID, "the issuer or account_name value is too long for a QR code")
                    : err);
        const char *barcode = mln_base64_text(cx, mln_buf_bytes(&png), MLN_B64_STD);
        mln_put(cx, data, "barcode", mln_secret_string(cx, mln_bytes_of(barcode)));
    }
    mln_put(cx, data, "url", mln_secret_string(cx, mln_bytes_of(url)));
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err keys_write(struct mln_request *rq, struct mln_reply *re)
{
    struct totp_key key;
    int64_t side = mln_get_int(mln_field_of(rq, "qr_size"), 200);
    bool generates = mln_get_bool(mln_field_of(rq, "generate"), false);
    if (side < 0 || side > (int64_t)MLN_QR_SIDE_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        side < 0 ? "the qr_size value must be greater than or equal to zero" : "the qr_size value is too large");
    }
    MLN_TRY(from_fields(rq, &key));
    MLN_TRY(generates ? make_secret(rq, &key) : take_secret(rq, &key));
    MLN_TRY(totp_check(rq->cx, &key));
    MLN_TRY(store(rq, &key));
    if (generates && mln_get_bool(mln_field_of(rq, "exported"), true)) {
        return export_key(rq, re, &key);
    }
    re->status = 204;
    return MLN_OK;
}

static struct mln_err keys_read(struct mln_request *rq, struct mln_reply *re)
{
    struct totp_key key;
    MLN_TRY(load(rq, &key));
    re->data = shown(rq->cx, &key);
    return mln_cx_err(rq->cx);
}

static struct mln_err keys_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at, used;
    MLN_TRY(row_key(rq, "key", &at));
    MLN_TRY(row_key(rq, "used", &used));
    mln_txn_mark_relief(rq->txn);
    re->status = 204;
    MLN_TRY(mln_txn_delete(rq->cx, rq->txn, rq->mount->view, used));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, at);
}

static struct mln_err keys_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key/"), &keys));
    if (mln_len(keys) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- codes ---- */

static struct mln_err need(struct mln_request *rq, struct totp_key *ret)
{
    struct mln_err err = load(rq, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_INVALID, "unknown key: %.*s", MLN_FMT(mln_get_bytes(mln_field_of(rq, "name"))))
               : err;
}

static struct mln_err code_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct totp_key key;
    char *code = mln_new(cx, MLN_OTP_DIGITS_MAX + 1);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(need(rq, &key));
    int64_t now_s = rq->now_ns / 1000000000, counter = now_s / key.period_s;
    MLN_TRY(mln_otp_code(cx, key.hash, key.secret, (uint64_t)counter, key.digits, code));
    struct mln_value *data = mln_object(cx);
    mln_put(cx, data, "code", mln_secret_string(cx, mln_bytes_at(code, key.digits)));
    mln_put_int(cx, data, "expire_time", (counter + 1) * key.period_s);
    mln_put_int(cx, data, "generated", now_s);
    mln_put_text(cx, data, "period", mln_duration_text(cx, key.period_s));
    re->data = data;
    return mln_cx_err(cx);
}

static bool has_counter(const struct mln_value *used, int64_t counter)
{
    for (size_t i = 0; i < mln_len(used); i++) {
        if (mln_get_int(mln_item(used, i), -1) == counter) {
            return true;
        }
    }
    return false;
}

/*
 * Look at all periods that count, also after a match, so that time tells nothing. *ret: the newest whose code this is and that was not
 * taken; -1 none. *ret_used: one was, but taken.
 */
static struct mln_err match(struct mln_request *rq, const struct totp_key *key, const struct mln_value *used, int64_t *ret,
                            bool *ret_used)
{
    struct mln_bytes given = mln_bytes_trim(mln_get_bytes(mln_field_of(rq, "code")));
    int64_t now = rq->now_ns / 1000000000 / key->period_s;
    char code[MLN_OTP_DIGITS_MAX + 1];
    *ret = -1;
    *ret_used = false;
    for (int64_t counter = now - key->skew; counter <= now + key->skew; counter++) {
        MLN_TRY(mln_otp_code(rq->cx, key->hash, key->secret, (uint64_t)counter, key->digits, code));
        bool same = mln_eq_ct(given.ptr, given.len, code, key->digits), was_used = has_counter(used, counter);
        *ret = same && !was_used ? counter : *ret;
        *ret_used = *ret_used || (same && was_used);
    }
    mln_wipe(code, sizeof(code));
    return MLN_OK;
}

/* The counter is taken; those that can no longer be offered are forgotten. */
static struct mln_err take(struct mln_request *rq, const struct totp_key *key, const struct mln_value *used, int64_t counter)
{
    struct mln_bytes at;
    struct mln_value *kept = mln_array(rq->cx);
    int64_t oldest = rq->now_ns / 1000000000 / key->period_s - key->skew;
    for (size_t i = 0; i < mln_len(used); i++) {
        if (mln_get_int(mln_item(used, i), -1) >= oldest) {
            mln_push(rq->cx, kept, mln_item(used, i));
        }
    }
    mln_push(rq->cx, kept, mln_int(rq->cx, counter));
    MLN_TRY(row_key(rq, "used", &at));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, at, kept);
}

static struct mln_err code_write(struct mln_request *rq, struct mln_reply *re)
{
    struct totp_key key;
    struct mln_bytes at;
    const struct mln_value *used = NULL;
    int64_t counter = -1;
    bool was_used = false;
    if (mln_len(mln_field_of(rq, "code")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the code value is required");
    }
    MLN_TRY(need(rq, &key));
    MLN_TRY(row_key(rq, "used", &at));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, at, &used);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(match(rq, &key, used, &counter, &was_used));
    if (counter < 0 && was_used) {
        return mln_fail(rq->cx, MLN_E_INVALID, "code already used; wait until the next time period");
    }
    if (counter >= 0) {
        MLN_TRY(take(rq, &key, used, counter));
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put_bool(rq->cx, data, "valid", counter >= 0);
    mln_put_bool(rq->cx, rq->detail, "valid", counter >= 0);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- the descriptor ---- */

#define FIELD_NAME {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name of the key.", .is_query = true}

static const struct mln_field key_fields[] = {
    FIELD_NAME,
    {.name = "generate", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Make the secret here."},
    {.name = "exported", .type = MLN_FIELD_BOOL, .fallback = "true", .help = "Answer a made secret, once."},
    {.name = "key_size", .type = MLN_FIELD_INT, .fallback = "20", .help = "Bytes of a made secret."},
    {.name = "url", .type = MLN_FIELD_SECRET, .help = "An otpauth URL that names all."},
    {.name = "key", .type = MLN_FIELD_SECRET, .help = "The secret in base32."},
    {.name = "issuer", .type = MLN_FIELD_TEXT, .fallback = "", .help = "Who asks for the codes."},
    {.name = "account_name", .type = MLN_FIELD_TEXT, .fallback = "", .help = "Whose codes they are."},
    {.name = "period", .type = MLN_FIELD_DURATION, .fallback = "30", .help = "How long a code counts."},
    {.name = "algorithm", .type = MLN_FIELD_TEXT, .fallback = "SHA1", .help = "SHA1, SHA256 or SHA512."},
    {.name = "digits", .type = MLN_FIELD_INT, .fallback = "6", .help = "6 or 8."},
    {.name = "skew", .type = MLN_FIELD_INT, .fallback = "1", .help = "Periods before and after that count too: 0 or 1."},
    {.name = "qr_size", .type = MLN_FIELD_INT, .fallback = "200", .help = "Pixels of the QR code; 0 is none."},
    {0},
};

static const struct mln_field code_fields[] = {
    FIELD_NAME,
    {.name = "code", .type = MLN_FIELD_SECRET, .help = "The code to check."},
    {0},
};

static const struct mln_path totp_paths[] = {
    {.pattern = "keys", .summary = "List keys.", .list = keys_list},
    {.pattern = "keys/{name}", .summary = "Make, import, read or delete a key.", .fields = key_fields, .read = keys_read,
     .write = keys_write, .remove = keys_remove},
    {.pattern = "code/{name}", .summary = "Give the code of now, or check one.", .fields = code_fields, .read = code_read,
     .write = code_write, .controls = "IA-2"},
    {0},
};

const struct mln_engine mln_engine_totp = {
    .type = "totp",
    .kind = MLN_MOUNT_SECRET,
    .summary = "One-time codes of time.",
    .paths = totp_paths,
};
