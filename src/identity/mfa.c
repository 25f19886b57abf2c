/* SPDX-License-Identifier: Apache-2.0 */
/* identity/mfa/method/totp: methods, and the secrets that entities have for them. */
#include "identity/mfa_priv.h"

#include "base/clock.h"
#include "crypto/otp.h"
#include "crypto/qr.h"

#define KEY_MIN 16 /* bytes: RFC 4226 sec. 4, R6 */
#define KEY_MAX 128

struct mln_err mfa_method(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                          const struct mln_value **ret)
{
    return id_row(cx, txn, "mfa/method", id, ret);
}

struct mln_bytes mfa_secret_key(struct mln_cx *cx, struct mln_bytes method, struct mln_bytes entity)
{
    return mln_bytes_format(cx, "mfa/secret/%.*s/%.*s", MLN_FMT(method), MLN_FMT(entity));
}

/* ---- methods ---- */

static struct mln_err put_number(struct mln_request *rq, struct mln_value *m, const char *field,
                                 int64_t least, int64_t most)
{
    const struct mln_value *v = mln_field_of(rq, field);
    int64_t n = mln_get_int(v, least);
    if (n < least || n > most) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s must be between %lld and %lld", field,
                        (long long)least, (long long)most);
    }
    if (!mln_is_null(v)) {
        mln_put_int(rq->cx, m, field, n);
    }
    return MLN_OK;
}

static struct mln_err put_numbers(struct mln_request *rq, struct mln_value *m)
{
    MLN_TRY(put_number(rq, m, "period", 1, 3600));
    MLN_TRY(put_number(rq, m, "key_size", KEY_MIN, KEY_MAX));
    MLN_TRY(put_number(rq, m, "qr_size", 0, MLN_QR_SIDE_MAX));
    MLN_TRY(put_number(rq, m, "skew", 0, 1));
    MLN_TRY(put_number(rq, m, "max_validation_attempts", 1, 100));
    MLN_TRY(put_number(rq, m, "digits", 6, 8));
    return mln_get_int(mln_get(m, "digits"), 0) == 7
               ? mln_fail(rq->cx, MLN_E_INVALID, "digits can only be 6 or 8")
               : MLN_OK;
}

static struct mln_value *fresh(struct mln_request *rq)
{
    static const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"period", 30}, {"key_size", 20}, {"qr_size", 200},
                   {"digits", 6},  {"skew", 1},      {"max_validation_attempts", 5}};
    struct mln_value *m = mln_object(rq->cx);
    mln_put_text(rq->cx, m, "id", id_new_uuid(rq->cx));
    mln_put_text(rq->cx, m, "name", "");
    mln_put_text(rq->cx, m, "issuer", "");
    mln_put_text(rq->cx, m, "algorithm", "SHA1");
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        mln_put_int(rq->cx, m, numbers[i].name, numbers[i].value);
    }
    return m;
}

static bool is_hash(struct mln_bytes name)
{
    return mln_bytes_is(name, "SHA1") || mln_bytes_is(name, "SHA256") ||
           mln_bytes_is(name, "SHA512");
}

static struct mln_err change(struct mln_request *rq, struct mln_value *m)
{
    struct mln_bytes issuer, name, algorithm = mln_get_bytes(mln_field_of(rq, "algorithm"));
    MLN_TRY(id_field_name(rq, "issuer", &issuer));
    MLN_TRY(id_field_name(rq, "method_name", &name));
    if (issuer.len > 0) {
        mln_put_bytes(rq->cx, m, "issuer", issuer);
    }
    if (name.len > 0) {
        mln_put_bytes(rq->cx, m, "name", name);
    }
    if (algorithm.len > 0) {
        mln_put_bytes(rq->cx, m, "algorithm", algorithm);
    }
    if (mln_len(mln_get(m, "issuer")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "issuer must be set");
    }
    if (!is_hash(mln_get_bytes(mln_get(m, "algorithm")))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unrecognized algorithm: %.32s",
                        id_text(rq->cx, m, "algorithm"));
    }
    return put_numbers(rq, m);
}

static struct mln_err put_method(struct mln_request *rq, const struct mln_value *m)
{
    MLN_TRY(mln_cx_err(rq->cx));
    mln_put(rq->cx, rq->detail, "method", mln_get(m, "id"));
    return mln_txn_put_value(rq->cx, rq->txn, id_view(),
                             mln_bytes_format(rq->cx, "mfa/method/%s", id_text(rq->cx, m, "id")),
                             m);
}

static struct mln_err create_method(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *m = fresh(rq);
    MLN_TRY(change(rq, m));
    MLN_TRY(put_method(rq, m));
    id_answer_text(rq, re, "method_id", id_text(rq->cx, m, "id"));
    return mln_cx_err(rq->cx);
}

static struct mln_err update_method(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    (void)re;
    struct mln_err err =
        mfa_method(rq->cx, rq->txn, mln_get_bytes(mln_field_of(rq, "method_id")), &old);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "method does not exist");
    }
    MLN_TRY(err);
    struct mln_value *m = mln_value_dup(rq->cx, old);
    MLN_TRY(change(rq, m));
    return put_method(rq, m);
}

static struct mln_value *show(struct mln_request *rq, const struct mln_value *m)
{
    struct mln_value *out = mln_value_dup(rq->cx, m);
    mln_put_bytes(rq->cx, out, "namespace_id", rq->ns);
    mln_put_text(rq->cx, out, "type", "totp");
    return out;
}

static struct mln_err read_method(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *m = NULL;
    MLN_TRY(mfa_method(rq->cx, rq->txn, mln_get_bytes(mln_field_of(rq, "method_id")), &m));
    re->data = show(rq, m);
    return mln_cx_err(rq->cx);
}

static struct mln_err expect_unused(struct mln_request *rq, struct mln_bytes id)
{
    const struct mln_value *names = NULL, *e = NULL;
    MLN_TRY(id_names(rq->cx, rq->txn, MLN_BYTES("mfa/enforcement/"), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(id_row(rq->cx, rq->txn, "mfa/enforcement", mln_get_bytes(mln_item(names, i)), &e));
        if (id_has(mln_get(e, "mfa_method_ids"), id)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "methodID is still used by an enforcement configuration with ID: %s",
                            id_text(rq->cx, e, "id"));
        }
    }
    return MLN_OK;
}

static struct mln_err delete_method(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "method_id"));
    (void)re;
    if (!id_is_id(id)) {
        return MLN_OK;
    }
    MLN_TRY(expect_unused(rq, id));
    mln_put(rq->cx, rq->detail, "method", mln_field_of(rq, "method_id"));
    MLN_TRY(mln_txn_delete_all(rq->cx, rq->txn, id_view(),
                               mln_bytes_format(rq->cx, "mfa/secret/%.*s/", MLN_FMT(id))));
    return mln_txn_delete(rq->cx, rq->txn, id_view(),
                          mln_bytes_format(rq->cx, "mfa/method/%.*s", MLN_FMT(id)));
}

static struct mln_err list_methods(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *ids = NULL, *m = NULL;
    struct mln_value *info = mln_object(rq->cx);
    MLN_TRY(id_names(rq->cx, rq->txn, MLN_BYTES("mfa/method/"), &ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        MLN_TRY(mfa_method(rq->cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &m));
        mln_put_key(rq->cx, info, mln_get_bytes(mln_item(ids, i)), show(rq, m));
    }
    return id_answer_list(rq, re, ids, info);
}

/* ---- secrets ---- */

/* RFC 4648 base32 without padding, as authenticator apps read it. */
static const char *base32(struct mln_cx *cx, struct mln_bytes in)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    char *out = mln_new(cx, (in.len * 8 + 4) / 5 + 1);
    unsigned bits = 0, n_bits = 0;
    size_t at = 0;
    for (size_t i = 0; out != NULL && i < in.len; i++) {
        bits = (bits << 8 | in.ptr[i]) & 0xffffu;
        for (n_bits += 8; n_bits >= 5; n_bits -= 5) {
            out[at++] = letters[bits >> (n_bits - 5) & 31];
        }
    }
    if (out != NULL && n_bits > 0) {
        out[at++] = letters[bits << (5 - n_bits) & 31];
    }
    return out != NULL ? out : "";
}

static const char *escaped(struct mln_cx *cx, const char *text)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_percent_print(&out, mln_bytes_of(text));
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

static const char *url_of(struct mln_cx *cx, const struct mln_value *m, const char *account,
                          struct mln_bytes key)
{
    const char *issuer = escaped(cx, id_text(cx, m, "issuer"));
    return mln_text_format(
        cx, "otpauth://totp/%s:%s?algorithm=%s&digits=%lld&issuer=%s&period=%lld&secret=%s", issuer,
        escaped(cx, account), id_text(cx, m, "algorithm"),
        (long long)mln_get_int(mln_get(m, "digits"), 6), issuer,
        (long long)mln_get_int(mln_get(m, "period"), 30), base32(cx, key));
}

/* The URL as a picture; "" when the method wants none. */
static struct mln_err put_barcode(struct mln_cx *cx, struct mln_value *data, const char *url, int64_t side)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf png = {.is_secret = true};
    if (side <= 0) {
        mln_put_text(cx, data, "barcode", "");
        return mln_cx_err(cx);
    }
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = mln_qr_png(cx, url, (size_t)side, &png);
    MLN_TRY(mln_is(err, MLN_E_INVALID) ? mln_refail(cx, MLN_E_INVALID, "issuer and entity name are too long for a QR code")
                                       : err);
    const char *barcode = mln_base64_text(cx, mln_buf_bytes(&png), MLN_B64_STD);
    mln_put(cx, data, "barcode", mln_secret_string(cx, mln_bytes_of(barcode)));
    return mln_cx_err(cx);
}

static struct mln_err generate_for(struct mln_request *rq, struct mln_reply *re,
                                   struct mln_bytes entity_id)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "method_id"));
    const struct mln_value *m = NULL, *entity = NULL, *old = NULL;
    struct mln_err err = mfa_method(cx, rq->txn, id, &m);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_INVALID, "configuration for method ID \"%.64s\" does not exist",
                        mln_text_dup(cx, id));
    }
    MLN_TRY(err);
    err = id_entity(cx, rq->txn, entity_id, &entity);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid entity ID");
    }
    MLN_TRY(err);
    struct mln_bytes row = mfa_secret_key(cx, id, entity_id);
    err = mln_txn_get_value(cx, rq->txn, id_view(), row, &old);
    if (!mln_failed(err)) {
        mln_reply_warn(rq, re,
                       mln_text_format(cx, "Entity already has a secret for MFA method \"%.64s\"",
                                       id_text(cx, m, "name")));
        return mln_cx_err(cx);
    }
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    size_t n = (size_t)mln_get_int(mln_get(m, "key_size"), 20);
    uint8_t *key = mln_new(cx, n);
    MLN_TRY(mln_cx_err(cx));
    mln_random(key, n);
    struct mln_value *secret = mln_object(cx), *data = mln_object(cx);
    mln_put(cx, secret, "key", mln_blob(cx, mln_bytes_at(key, n)));
    mln_put_int(cx, secret, "last_step", 0);
    mln_put_int(cx, secret, "failures", 0);
    mln_put_int(cx, secret, "failed_ns", 0);
    MLN_TRY(mln_txn_put_value(cx, rq->txn, id_view(), row, secret));
    const char *url = url_of(cx, m, id_text(cx, entity, "name"), mln_bytes_at(key, n));
    MLN_TRY(put_barcode(cx, data, url, mln_get_int(mln_get(m, "qr_size"), 200)));
    mln_put(cx, data, "url", mln_secret_string(cx, mln_bytes_of(url)));
    mln_put(cx, rq->detail, "method", mln_get(m, "id"));
    mln_put(cx, rq->detail, "entity", mln_get(entity, "id"));
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err generate(struct mln_request *rq, struct mln_reply *re)
{
    if (rq->actor->entity_id[0] == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no entity associated with the request's token");
    }
    return generate_for(rq, re, mln_bytes_of(rq->actor->entity_id));
}

static struct mln_err admin_generate(struct mln_request *rq, struct mln_reply *re)
{
    return generate_for(rq, re, mln_get_bytes(mln_field_of(rq, "entity_id")));
}

static struct mln_err admin_destroy(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes method = mln_get_bytes(mln_field_of(rq, "method_id")),
                     entity = mln_get_bytes(mln_field_of(rq, "entity_id"));
    (void)re;
    if (!id_is_id(method) || !id_is_id(entity)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        !id_is_id(method) ? "missing method ID" : "missing entity ID");
    }
    mln_put(rq->cx, rq->detail, "method", mln_field_of(rq, "method_id"));
    mln_put(rq->cx, rq->detail, "entity", mln_field_of(rq, "entity_id"));
    return mln_txn_delete(rq->cx, rq->txn, id_view(), mfa_secret_key(rq->cx, method, entity));
}

#define METHOD_FIELDS                                                                              \
    {.name = "method_name",                                                                        \
     .type = MLN_FIELD_TEXT,                                                                       \
     .help = "A name for people and for X-Vault-MFA."},                                            \
        {.name = "issuer", .type = MLN_FIELD_TEXT, .help = "Whom apps show."},                     \
        {.name = "period", .type = MLN_FIELD_DURATION, .help = "Seconds of a code; 30."},          \
        {.name = "key_size", .type = MLN_FIELD_INT, .help = "Bytes of a key; 20."},                \
        {.name = "qr_size", .type = MLN_FIELD_INT, .help = "Pixels a side of the QR code; 0: none."},           \
        {.name = "algorithm", .type = MLN_FIELD_TEXT, .help = "SHA1, SHA256 or SHA512."},          \
        {.name = "digits", .type = MLN_FIELD_INT, .help = "6 or 8."},                              \
        {.name = "skew",                                                                           \
         .type = MLN_FIELD_INT,                                                                    \
         .help = "Periods before and after that count too: 0 or 1."},                              \
    {                                                                                              \
        .name = "max_validation_attempts", .type = MLN_FIELD_INT,                                  \
        .help = "Wrong codes in one period before it is refused; 5."                               \
    }

static const struct mln_field new_fields[] = {METHOD_FIELDS, {0}};
static const struct mln_field method_fields[] = {
    {.name = "method_id", .type = MLN_FIELD_TEXT, .help = "The method's id."}, METHOD_FIELDS, {0}};
static const struct mln_field secret_fields[] = {
    {.name = "method_id", .type = MLN_FIELD_TEXT, .help = "The method's id."},
    {.name = "entity_id", .type = MLN_FIELD_TEXT, .help = "Whose secret."},
    {0},
};
static const struct mln_field own_fields[] = {
    {.name = "method_id", .type = MLN_FIELD_TEXT, .help = "The method's id."}, {0}};

const struct mln_path id_mfa_paths[] = {
    {.pattern = "mfa/method", .summary = "List methods.", .list = list_methods},
    {.pattern = "mfa/method/totp",
     .summary = "Make a TOTP method; list them.",
     .fields = new_fields,
     .list = list_methods,
     .write = create_method},
    {.pattern = "mfa/method/{method_id}",
     .summary = "A method.",
     .fields = own_fields,
     .read = read_method},
    {.pattern = "mfa/method/totp/generate",
     .summary = "A secret for the caller.",
     .fields = own_fields,
     .read = generate,
     .write = generate},
    {.pattern = "mfa/method/totp/admin-generate",
     .summary = "A secret for an entity.",
     .fields = secret_fields,
     .write = admin_generate},
    {.pattern = "mfa/method/totp/admin-destroy",
     .summary = "Delete an entity's secret.",
     .fields = secret_fields,
     .write = admin_destroy},
    {.pattern = "mfa/method/totp/{method_id}",
     .summary = "A TOTP method.",
     .fields = method_fields,
     .read = read_method,
     .write = update_method,
     .remove = delete_method},
    {0},
};
