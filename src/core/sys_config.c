/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys/config: which web pages may ask (CORS), which request headers audit devices show, which headers a user interface gets. Each is
 * one row; CORS is kept in memory as well, for every request with an Origin is judged by it (cors.c).
 */
#include "core/sys_priv.h"

#define NAMES_MAX     128u /* of origins or headers: the lists are gone through for a request */
#define NAME_MAX_LEN  256u

static struct mln_view config_view(void)
{
    return mln_core_view("root/sys/");
}

/* The stored object, or an empty one. */
static struct mln_err stored(struct mln_request *rq, const char *key, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, config_view(), mln_bytes_of(key), ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = mln_object(rq->cx);
        return mln_cx_err(rq->cx);
    }
    return err;
}

static struct mln_err store(struct mln_request *rq, const char *key, const struct mln_value *value)
{
    mln_put_text(rq->cx, rq->detail, "config", key);
    return mln_txn_put_value(rq->cx, rq->txn, config_view(), mln_bytes_of(key), value);
}

/* A header's name or an origin: visible characters, for it goes into header lines. */
static bool is_sane(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7f || text.ptr[i] == ',') {
            return false;
        }
    }
    return text.len > 0 && text.len <= NAME_MAX_LEN;
}

static struct mln_err check_list(struct mln_request *rq, const char *name)
{
    const struct mln_value *list = mln_field_of(rq, name);
    bool is_fine = mln_len(list) <= NAMES_MAX;
    for (size_t i = 0; is_fine && i < mln_len(list); i++) {
        is_fine = is_sane(mln_get_bytes(mln_item(list, i)));
    }
    return is_fine ? MLN_OK : mln_fail(rq->cx, MLN_E_INVALID, "'%s' holds what is no name", name);
}

/* ---- CORS ---- */

static struct mln_err cors_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(stored(rq, MLN_CORS_ROW, &row));
    bool is_on = mln_len(row) > 0;
    if (is_on) {
        mln_put(rq->cx, data, "allowed_headers", mln_get(row, "allowed_headers"));
        mln_put(rq->cx, data, "allowed_origins", mln_get(row, "allowed_origins"));
    }
    mln_put_bool(rq->cx, data, "enabled", is_on);
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err cors_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *origins = mln_field_of(rq, "allowed_origins"),
                           *headers = mln_field_of(rq, "allowed_headers");
    struct mln_value *row = mln_object(rq->cx);
    (void)re;
    if (mln_len(origins) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "at least one origin or the wildcard must be provided");
    }
    for (size_t i = 0; mln_len(origins) > 1 && i < mln_len(origins); i++) {
        if (mln_is_text(mln_item(origins, i), "*")) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "to allow all origins the '*' must be the only value for allowed_origins");
        }
    }
    MLN_TRY(check_list(rq, "allowed_origins"));
    MLN_TRY(check_list(rq, "allowed_headers"));
    mln_put(rq->cx, row, "allowed_origins", origins);
    mln_put(rq->cx, row, "allowed_headers", headers != NULL ? headers : mln_array(rq->cx));
    mln_run_of(rq)->changed_cors = true;
    return store(rq, MLN_CORS_ROW, row);
}

static struct mln_err cors_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    mln_run_of(rq)->changed_cors = true;
    mln_put_text(rq->cx, rq->detail, "config", MLN_CORS_ROW);
    return mln_txn_delete(rq->cx, rq->txn, config_view(), MLN_BYTES(MLN_CORS_ROW));
}

/* ---- headers: objects of lower-case names ---- */

static struct mln_err header_name(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "header"));
    uint8_t *lower = mln_new(rq->cx, name.len + 1);
    if (!is_sane(name) || lower == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "malformed header name");
    }
    for (size_t i = 0; i < name.len; i++) {
        lower[i] = (uint8_t)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] + 32 : name.ptr[i]);
    }
    *ret = mln_bytes_at(lower, name.len);
    return MLN_OK;
}

static struct mln_err put_header(struct mln_request *rq, const char *row, const struct mln_value *value)
{
    const struct mln_value *old = NULL;
    struct mln_bytes name;
    MLN_TRY(header_name(rq, &name));
    MLN_TRY(stored(rq, row, &old));
    struct mln_value *all = mln_value_dup(rq->cx, old);
    if (value == NULL) {
        mln_remove(all, name);
    } else {
        mln_put_key(rq->cx, all, name, value);
    }
    if (mln_len(all) > NAMES_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "at most %u headers", NAMES_MAX);
    }
    return store(rq, row, all);
}

static struct mln_err audit_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *all = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(stored(rq, MLN_AUDIT_HEADERS_ROW, &all));
    mln_put(rq->cx, data, "headers", all);
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err audit_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *all = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_bytes name;
    MLN_TRY(header_name(rq, &name));
    MLN_TRY(stored(rq, MLN_AUDIT_HEADERS_ROW, &all));
    if (mln_get_key(all, name) == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Could not find header in config");
    }
    mln_put_key(rq->cx, data, name, mln_get_key(all, name));
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err audit_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *one = mln_object(rq->cx);
    (void)re;
    mln_put_bool(rq->cx, one, "hmac", mln_get_bool(mln_field_of(rq, "hmac"), false));
    mln_run_of(rq)->reload_audit = true;
    return put_header(rq, MLN_AUDIT_HEADERS_ROW, one);
}

static struct mln_err audit_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    mln_run_of(rq)->reload_audit = true;
    return put_header(rq, MLN_AUDIT_HEADERS_ROW, NULL);
}

#define UI_ROW "ui-headers"

static struct mln_err ui_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *all = NULL;
    struct mln_value *data = mln_object(rq->cx), *keys = mln_array(rq->cx);
    MLN_TRY(stored(rq, UI_ROW, &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        mln_push(rq->cx, keys, mln_string(rq->cx, mln_member_at(all, i)->key));
    }
    if (mln_len(keys) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err ui_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *all = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_bytes name;
    MLN_TRY(header_name(rq, &name));
    MLN_TRY(stored(rq, UI_ROW, &all));
    const struct mln_value *values = mln_get_key(all, name);
    if (values == NULL) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "value", mln_item(values, 0));
    if (mln_get_bool(mln_field_of(rq, "multivalue"), false)) {
        mln_put(rq->cx, data, "values", values);
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err ui_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *values = mln_field_of(rq, "values");
    struct mln_bytes name;
    (void)re;
    MLN_TRY(header_name(rq, &name));
    if (mln_len(values) == 0 || mln_len(values) > NAMES_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "header values must be specified");
    }
    if (mln_bytes_starts(name, MLN_BYTES("x-vault-"))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "X-Vault headers cannot be set");
    }
    return put_header(rq, UI_ROW, values);
}

static struct mln_err ui_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return put_header(rq, UI_ROW, NULL);
}

/* ---- paths ---- */

static const struct mln_field cors_fields[] = {
    F_BOOL("enable", "true", "Kept for old clients: writing enables."),
    F_LIST("allowed_origins", "Web pages that may ask: \"https://a.example\", or \"*\" alone."),
    F_LIST("allowed_headers", "Headers that they may send besides the usual ones."),
    {0},
};
static const struct mln_field audit_fields[] = {
    F_TEXT("header", "Name of the header."),
    F_BOOL("hmac", "false", "Show it hashed."),
    {0},
};
static const struct mln_field ui_fields[] = {
    F_TEXT("header", "Name of the header."),
    F_LIST("values", "Its values."),
    F_BOOL("multivalue", "false", "Answer all values."),
    {0},
};

const struct mln_path mln_sys_config[] = {
    {.pattern = "config/cors",
     .summary = "Which web pages may ask.",
     .fields = cors_fields,
     .read = cors_read,
     .write = cors_write,
     .remove = cors_remove,
     .is_sudo = true,
     .controls = "AC-4"},
    {.pattern = "config/auditing/request-headers",
     .summary = "Request headers that audit devices show.",
     .read = audit_list,
     .is_sudo = true},
    {.pattern = "config/auditing/request-headers/{header}",
     .summary = "Show a request header in audit devices, or no longer.",
     .fields = audit_fields,
     .read = audit_read,
     .write = audit_write,
     .remove = audit_remove,
     .is_sudo = true,
     .controls = "AU-3"},
    {.pattern = "config/ui/headers",
     .summary = "Headers for a user interface.",
     .read = ui_list,
     .list = ui_list,
     .is_sudo = true},
    {.pattern = "config/ui/headers/{header}",
     .summary = "Read, write or delete a header for a user interface.",
     .fields = ui_fields,
     .read = ui_read,
     .write = ui_write,
     .remove = ui_remove,
     .is_sudo = true},
    {0},
};
