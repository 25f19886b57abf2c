/* SPDX-License-Identifier: Apache-2.0 */
/* TLS client certificates as an auth method: entries, revocation lists, configuration, the descriptor. */
#include "auth/cert_priv.h"

static struct mln_err name_of(struct mln_request *rq, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    bool is_clean = name.len > 0 && name.len <= MLN_NAME_MAX_BYTES;
    for (size_t i = 0; is_clean && i < name.len; i++) {
        is_clean = name.ptr[i] >= 0x20 && name.ptr[i] != 0x7f && name.ptr[i] != '/';
    }
    if (!is_clean) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a name has 1 to %d bytes, no control characters and no \"/\"", MLN_NAME_MAX_BYTES);
    }
    *ret = mln_text_dup(rq->cx, name);
    return mln_cx_err(rq->cx);
}

static struct mln_bytes key_of(struct mln_cx *cx, const char *kind, const char *name)
{
    return mln_bytes_format(cx, "%s/%s", kind, name);
}

static struct mln_err row_load(struct mln_request *rq, const char *kind, const char **ret_name, const struct mln_value **ret)
{
    MLN_TRY(name_of(rq, ret_name));
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key_of(rq->cx, kind, *ret_name), ret);
}

struct mln_err cert_load(struct mln_request *rq, const char *name, const struct mln_value **ret)
{
    struct mln_bytes text = mln_bytes_of(name);
    if (text.len == 0 || text.len > MLN_NAME_MAX_BYTES || mln_bytes_find(text, '/') < text.len) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key_of(rq->cx, "cert", name), ret);
}

static struct mln_err list_rows(struct mln_request *rq, const char *folder, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(folder), &names));
    if (mln_len(names) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- entries ---- */

static const char *const lists[] = {"allowed_names",      "allowed_common_names",         "allowed_dns_sans",
                                    "allowed_email_sans", "allowed_uri_sans",             "allowed_organizational_units",
                                    "required_extensions", "allowed_metadata_extensions"};

static struct mln_err check_oid(struct mln_cx *cx, struct mln_bytes oid)
{
    const char *text = mln_text_dup(cx, oid);
    ASN1_OBJECT *object = oid.len > 0 && oid.len <= 128 ? OBJ_txt2obj(text, 1) : NULL;
    ASN1_OBJECT_free(object);
    return object != NULL ? MLN_OK
                          : mln_fail(cx, MLN_E_INVALID, "\"%.*s\" is no object identifier", (int)(oid.len > 64 ? 64 : oid.len), text);
}

/* A constraint that cannot be read would let nobody in, or worse. */
static struct mln_err check_extensions(struct mln_cx *cx, const struct mln_value *entry)
{
    const struct mln_value *required = mln_get(entry, "required_extensions"), *meta = mln_get(entry, "allowed_metadata_extensions");
    for (size_t i = 0; i < mln_len(required); i++) {
        struct mln_bytes rest, all = mln_get_bytes(mln_item(required, i)), oid = mln_bytes_cut(all, ':', &rest);
        if (mln_bytes_is(oid, "hex")) {
            all = rest;
            oid = mln_bytes_cut(rest, ':', &rest);
        }
        if (oid.len == all.len) {
            return mln_fail(cx, MLN_E_INVALID, "required_extensions are written \"oid:value\" or \"hex:oid:value\"");
        }
        MLN_TRY(check_oid(cx, oid));
    }
    for (size_t i = 0; i < mln_len(meta); i++) {
        MLN_TRY(check_oid(cx, mln_get_bytes(mln_item(meta, i))));
    }
    return MLN_OK;
}

static struct mln_err take_certificate(struct mln_request *rq, struct mln_value *entry)
{
    MLN_AUTO(cert_stack_drop) STACK_OF(X509) *stack = NULL;
    const struct mln_value *given = mln_field_of(rq, "certificate");
    if (mln_len(given) == 0) {
        return mln_len(mln_get(entry, "certificate")) > 0 ? MLN_OK : mln_fail(rq->cx, MLN_E_INVALID, "failed to parse certificate");
    }
    MLN_TRY(cert_pem_read(rq->cx, mln_get_bytes(given), &stack));
    mln_put(rq->cx, entry, "certificate", given);
    return mln_cx_err(rq->cx);
}

static struct mln_err entry_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *before = NULL;
    (void)re;
    struct mln_err err = row_load(rq, "cert", &name, &before);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (mln_get_bool(mln_field_of(rq, "ocsp_enabled"), false)) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "OCSP is not supported: upload revocation lists to crls/");
    }
    struct mln_value *entry = before == NULL ? mln_object(rq->cx) : mln_value_dup(rq->cx, before);
    MLN_TRY(take_certificate(rq, entry));
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        const struct mln_value *v = mln_field_of(rq, lists[i]);
        if (!mln_is_null(v)) {
            mln_put(rq->cx, entry, lists[i], v);
        }
    }
    if (!mln_is_null(mln_field_of(rq, "display_name"))) {
        mln_put(rq->cx, entry, "display_name", mln_field_of(rq, "display_name"));
    }
    MLN_TRY(check_extensions(rq->cx, entry));
    MLN_TRY(mln_token_fields_take(rq, entry));
    mln_put_text(rq->cx, rq->detail, "cert", name);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key_of(rq->cx, "cert", name), entry);
}

static struct mln_err entry_exists(struct mln_request *rq, bool *ret)
{
    const char *name = NULL;
    const struct mln_value *entry = NULL;
    struct mln_err err = row_load(rq, "cert", &name, &entry);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err entry_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *entry = NULL;
    struct mln_cx *cx = rq->cx;
    MLN_TRY(row_load(rq, "cert", &name, &entry));
    struct mln_value *data = mln_object(cx);
    mln_put(cx, data, "certificate", mln_get(entry, "certificate"));
    const char *shown = mln_get_text(cx, mln_get(entry, "display_name"), "");
    mln_put_text(cx, data, "display_name", shown[0] != 0 ? shown : name);
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        const struct mln_value *v = mln_get(entry, lists[i]);
        mln_put(cx, data, lists[i], mln_is_null(v) ? mln_array(cx) : v);
    }
    mln_put_bool(cx, data, "ocsp_enabled", false);
    mln_token_fields_print(cx, entry, data);
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err entry_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    (void)re;
    MLN_TRY(name_of(rq, &name));
    mln_put_text(rq->cx, rq->detail, "cert", name);
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key_of(rq->cx, "cert", name));
}

static struct mln_err entry_list(struct mln_request *rq, struct mln_reply *re)
{
    return list_rows(rq, "cert/", re);
}

/* ---- revocation lists ---- */

static struct mln_err crl_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    struct mln_bytes der = MLN_BYTES_NONE;
    const struct mln_value *serials = NULL;
    struct mln_value *row = mln_object(rq->cx);
    (void)re;
    MLN_TRY(name_of(rq, &name));
    if (mln_len(mln_field_of(rq, "url")) > 0) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "lists are not fetched: upload them in \"crl\"");
    }
    MLN_TRY(cert_crl_read(rq->cx, mln_get_bytes(mln_field_of(rq, "crl")), &der, &serials));
    mln_put(rq->cx, row, "crl", mln_blob(rq->cx, der));
    mln_put(rq->cx, row, "serials", serials);
    mln_put_text(rq->cx, rq->detail, "crl", name);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key_of(rq->cx, "crl", name), row);
}

static struct mln_err crl_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *row = NULL;
    struct mln_err err = row_load(rq, "crl", &name, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no such CRL %.*s", MLN_FMT(mln_bytes_of(name)));
    }
    MLN_TRY(err);
    struct mln_value *data = mln_object(rq->cx), *out = mln_object(rq->cx);
    const struct mln_value *serials = mln_get(row, "serials");
    for (size_t i = 0; i < mln_len(serials); i++) {
        mln_put_key(rq->cx, out, mln_get_bytes(mln_item(serials, i)), mln_object(rq->cx));
    }
    mln_put(rq->cx, data, "serials", out);
    mln_put_null(rq->cx, data, "cdp");
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err crl_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *row = NULL;
    (void)re;
    struct mln_err err = row_load(rq, "crl", &name, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no such CRL %.*s", MLN_FMT(mln_bytes_of(name)));
    }
    MLN_TRY(err);
    mln_put_text(rq->cx, rq->detail, "crl", name);
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key_of(rq->cx, "crl", name));
}

static struct mln_err crl_list(struct mln_request *rq, struct mln_reply *re)
{
    return list_rows(rq, "crl/", re);
}

/* ---- configuration ---- */

struct mln_err cert_config(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = mln_object(rq->cx);
        return mln_cx_err(rq->cx);
    }
    return err;
}

static const struct {
    const char *name;
    int64_t usual; /* of a number; -1: a boolean */
} settings[] = {
    {"disable_binding", -1}, {"enable_identity_alias_metadata", -1}, {"ocsp_cache_size", 100}, {"role_cache_size", 200}};

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *before = NULL;
    (void)re;
    MLN_TRY(cert_config(rq, &before));
    struct mln_value *config = mln_value_dup(rq->cx, before);
    for (size_t i = 0; i < MLN_COUNT(settings); i++) {
        const struct mln_value *v = mln_field_of(rq, settings[i].name);
        if (!mln_is_null(v)) {
            mln_put(rq->cx, config, settings[i].name, v);
        }
    }
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), config);
}

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(cert_config(rq, &config));
    for (size_t i = 0; i < MLN_COUNT(settings); i++) {
        const struct mln_value *v = mln_get(config, settings[i].name);
        if (settings[i].usual < 0) {
            mln_put_bool(rq->cx, data, settings[i].name, mln_get_bool(v, false));
        } else {
            mln_put_int(rq->cx, data, settings[i].name, mln_get_int(v, settings[i].usual));
        }
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- the descriptor ---- */

#define FIELD_NAME {.name = "name", .type = MLN_FIELD_TEXT, .help = "The entry's name.", .is_query = true}
#define LIST(field, text) {.name = field, .type = MLN_FIELD_LIST, .help = text}

static const struct mln_field entry_fields[] = {
    FIELD_NAME,
    {.name = "certificate", .type = MLN_FIELD_TEXT, .help = "PEM: authorities that lead to clients, or clients' own certificates."},
    {.name = "display_name", .type = MLN_FIELD_TEXT, .help = "Of the tokens; the entry's name when absent."},
    LIST("allowed_names", "Globs, of which the common name or a DNS or e-mail name must match one."),
    LIST("allowed_common_names", "Globs for the common name."),
    LIST("allowed_dns_sans", "Globs for DNS names."),
    LIST("allowed_email_sans", "Globs for e-mail names."),
    LIST("allowed_uri_sans", "Globs for URIs."),
    LIST("allowed_organizational_units", "Globs for organisational units."),
    LIST("required_extensions", "\"oid:glob\" or \"hex:oid:glob\"; all must be there."),
    LIST("allowed_metadata_extensions", "Object identifiers of extensions that become metadata."),
    {.name = "ocsp_enabled", .type = MLN_FIELD_BOOL, .help = "Refused: this server asks no OCSP responder."},
    MLN_TOKEN_FIELDS,
    {0},
};
static const struct mln_field name_fields[] = {FIELD_NAME, {0}};
static const struct mln_field crl_fields[] = {
    FIELD_NAME,
    {.name = "crl", .type = MLN_FIELD_TEXT, .help = "The list, PEM."},
    {.name = "url", .type = MLN_FIELD_TEXT, .help = "Refused: lists are not fetched."},
    {0},
};
static const struct mln_field config_fields[] = {
    {.name = "disable_binding", .type = MLN_FIELD_BOOL, .help = "Renew without the login's certificate."},
    {.name = "enable_identity_alias_metadata", .type = MLN_FIELD_BOOL, .help = "Keep the metadata with the alias too."},
    {.name = "ocsp_cache_size", .type = MLN_FIELD_INT, .help = "Kept, without effect."},
    {.name = "role_cache_size", .type = MLN_FIELD_INT, .help = "Kept, without effect."},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "login", .summary = "Log in with a TLS client certificate.", .fields = name_fields, .write = cert_login_write,
     .is_open = true, .may_block = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-5"},
    {.pattern = "certs", .summary = "List entries.", .list = entry_list},
    {.pattern = "certs/{name}", .summary = "Make, read, change or delete an entry.", .fields = entry_fields, .read = entry_read,
     .write = entry_write, .remove = entry_remove, .exists = entry_exists, .controls = "AC-2,IA-5"},
    {.pattern = "crls", .summary = "List revocation lists.", .list = crl_list},
    {.pattern = "crls/{name}", .summary = "Upload, read or delete a revocation list.", .fields = crl_fields, .read = crl_read,
     .write = crl_write, .remove = crl_remove, .controls = "IA-5"},
    {.pattern = "config", .summary = "Read or change the settings.", .fields = config_fields, .read = config_read,
     .write = config_write},
    {0},
};

const struct mln_engine mln_method_cert = {
    .type = "cert",
    .kind = MLN_MOUNT_AUTH,
    .summary = "TLS client certificates.",
    .paths = paths,
    .renew_login = cert_renew_login,
};
