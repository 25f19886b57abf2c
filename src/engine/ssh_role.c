/* SPDX-License-Identifier: Apache-2.0 */
/* SSH engine: roles, which say who may have which certificates or passwords. A write replaces the whole role. */
#include "engine/ssh_priv.h"

#include "base/limits.h"
#include "base/text.h"

enum scope { FOR_CA = 1, FOR_OTP = 2 };

const struct mln_field ssh_role_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name of the role.", .is_query = true},
    {.name = "key_type", .type = MLN_FIELD_TEXT, .help = "ca or otp."},
    {.name = "default_user", .type = MLN_FIELD_TEXT, .fallback = "", .help = "User when the request names none."},
    {.name = "default_user_template", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "default_user is a template."},
    {.name = "cidr_list", .type = MLN_FIELD_LIST, .fallback = "", .help = "otp: addresses of hosts."},
    {.name = "exclude_cidr_list", .type = MLN_FIELD_LIST, .fallback = "", .help = "otp: addresses that are not among them."},
    {.name = "port", .type = MLN_FIELD_INT, .fallback = "22", .help = "otp: told to the client."},
    {.name = "allowed_users", .type = MLN_FIELD_LIST, .fallback = "", .help = "Users; * is any; for ca none without."},
    {.name = "allowed_users_template", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "allowed_users are templates."},
    {.name = "allowed_domains", .type = MLN_FIELD_LIST, .fallback = "", .help = "Domains of hosts; * is any."},
    {.name = "allowed_domains_template", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "allowed_domains are templates."},
    {.name = "ttl", .type = MLN_FIELD_DURATION, .fallback = "0", .help = "Of certificates; 0 is the mount's."},
    {.name = "max_ttl", .type = MLN_FIELD_DURATION, .fallback = "0", .help = "Longest that may be asked; 0 is the mount's."},
    {.name = "allowed_critical_options", .type = MLN_FIELD_LIST, .fallback = "", .help = "Without any: all."},
    {.name = "allowed_extensions", .type = MLN_FIELD_LIST, .fallback = "", .help = "* is any; without any: none."},
    {.name = "default_critical_options", .type = MLN_FIELD_MAP, .help = "When the request names none."},
    {.name = "default_extensions", .type = MLN_FIELD_MAP, .help = "When the request names none."},
    {.name = "default_extensions_template", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Their texts are templates."},
    {.name = "allow_user_certificates", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Certificates of users."},
    {.name = "allow_host_certificates", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Certificates of hosts."},
    {.name = "allow_bare_domains", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "The allowed domains themselves."},
    {.name = "allow_subdomains", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Names below the allowed domains."},
    {.name = "allow_user_key_ids", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "The request may name the key."},
    {.name = "allow_empty_principals", .type = MLN_FIELD_BOOL, .fallback = "false", .help = "Valid for anyone: dangerous."},
    {.name = "key_id_format", .type = MLN_FIELD_TEXT, .fallback = "",
     .help = "With {{token_display_name}}, {{role_name}} and {{public_key_hash}}."},
    {.name = "allowed_user_key_lengths", .type = MLN_FIELD_MAP, .help = "Kinds of keys and their sizes; without any: all."},
    {.name = "algorithm_signer", .type = MLN_FIELD_TEXT, .fallback = "default",
     .help = "Of an RSA authority: rsa-sha2-256 (default) or rsa-sha2-512."},
    {.name = "not_before_duration", .type = MLN_FIELD_DURATION, .fallback = "30", .help = "How far valid after lies back."},
    {0},
};

static struct mln_err key_of(struct mln_request *rq, struct mln_bytes name, struct mln_bytes *ret)
{
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a role's name has 1 to %d bytes", MLN_NAME_MAX_BYTES);
    }
    *ret = mln_bytes_format(rq->cx, "role/%.*s", MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_role_load(struct mln_request *rq, struct mln_bytes name, const struct mln_value **ret)
{
    struct mln_bytes key;
    MLN_TRY(key_of(rq, name, &key));
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, ret);
}

bool ssh_list_has(const struct mln_value *list, struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(list, i)), text)) {
            return true;
        }
    }
    return false;
}

struct mln_err ssh_texts(struct mln_request *rq, const struct mln_value *map, const char *name, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *out = mln_object(cx);
    if (mln_len(map) > SSH_OPTIONS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "at most %d %s", SSH_OPTIONS_MAX, name);
    }
    for (size_t i = 0; i < mln_len(map); i++) {
        const struct mln_member *m = mln_member_at(map, i);
        const struct mln_value *v = &m->value;
        enum mln_type type = mln_type_of(v);
        if (m->key.len == 0 || type == MLN_ARRAY || type == MLN_OBJECT || type == MLN_SET || type == MLN_DECIMAL) {
            return mln_fail(cx, MLN_E_INVALID, "%s: names with texts", name);
        }
        const struct mln_value *text = type == MLN_STRING ? v
                                       : type == MLN_INT  ? mln_textf(cx, "%lld", (long long)mln_get_int(v, 0))
                                       : type == MLN_BOOL ? mln_text(cx, mln_get_bool(v, false) ? "true" : "false")
                                                          : mln_text(cx, "");
        mln_put_key(cx, out, m->key, text);
    }
    *ret = out;
    return mln_cx_err(cx);
}

/* {"rsa": [2048], "ec": "256,384", "ed25519": 0} as lists of numbers. */
static struct mln_err key_lengths(struct mln_request *rq, const struct mln_value *map, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(map); i++) {
        const struct mln_member *m = mln_member_at(map, i);
        struct mln_value *sizes = mln_array(cx);
        struct mln_bytes text = mln_get_bytes(&m->value);
        size_t n = mln_type_of(&m->value) == MLN_ARRAY ? mln_len(&m->value) : 1;
        for (size_t k = 0; k < n || text.len > 0; k++) {
            const struct mln_value *v = mln_type_of(&m->value) == MLN_ARRAY ? mln_item(&m->value, k) : &m->value;
            int64_t size = mln_get_int(v, -1);
            bool is_text = text.len > 0 && mln_i64_parse(mln_bytes_trim(mln_bytes_cut(text, ',', &text)), &size);
            if (size < 0 || size > MLN_SSH_RSA_BITS_MAX || (mln_type_of(v) != MLN_INT && !is_text)) {
                return mln_fail(cx, MLN_E_INVALID, "error processing allowed_user_key_lengths: sizes are numbers of bits");
            }
            mln_push(cx, sizes, mln_int(cx, size));
        }
        mln_put_key(cx, out, m->key, sizes);
    }
    *ret = out;
    return mln_cx_err(cx);
}

static struct mln_err check_otp(struct mln_request *rq)
{
    int64_t port = mln_get_int(mln_field_of(rq, "port"), 22);
    if (mln_len(mln_field_of(rq, "default_user")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing default user");
    }
    if (port < 1 || port > 65535) {
        return mln_fail(rq->cx, MLN_E_INVALID, "port must be 1 to 65535");
    }
    MLN_TRY(ssh_check_cidrs(rq, mln_field_of(rq, "cidr_list"), "cidr_list"));
    return ssh_check_cidrs(rq, mln_field_of(rq, "exclude_cidr_list"), "exclude_cidr_list");
}

static struct mln_err check_ca(struct mln_request *rq)
{
    static const char *const signers[] = {"", "default", "rsa-sha2-256", "rsa-sha2-512"};
    static const char *const times[] = {"ttl", "max_ttl", "not_before_duration"};
    struct mln_bytes signer = mln_get_bytes(mln_field_of(rq, "algorithm_signer"));
    int64_t ttl_s = mln_get_int(mln_field_of(rq, "ttl"), 0), max_s = mln_get_int(mln_field_of(rq, "max_ttl"), 0);
    bool is_known = false;
    for (size_t i = 0; i < MLN_COUNT(signers); i++) {
        is_known = is_known || mln_bytes_is(signer, signers[i]);
    }
    if (!is_known) { /* "ssh-rsa", SHA-1, among them: OpenSSH has long refused such certificates */
        return mln_fail(rq->cx, MLN_E_INVALID, "unknown algorithm signer \"%.*s\"", MLN_FMT(mln_bytes_sub(signer, 0, 64)));
    }
    for (size_t i = 0; i < MLN_COUNT(times); i++) {
        if (mln_get_int(mln_field_of(rq, times[i]), 0) < 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s cannot be negative", times[i]);
        }
    }
    bool users = mln_get_bool(mln_field_of(rq, "allow_user_certificates"), false);
    if (!users && !mln_get_bool(mln_field_of(rq, "allow_host_certificates"), false)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "either 'allow_user_certificates' or 'allow_host_certificates' must be set to 'true'");
    }
    return ttl_s == 0 || max_s == 0 || ttl_s <= max_s
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "\"ttl\" value must be less than \"max_ttl\" when both are specified");
}

/* All fields, maps as they are kept. */
static struct mln_err role_value(struct mln_request *rq, struct mln_value **ret)
{
    static const char *const maps[] = {"default_critical_options", "default_extensions"};
    struct mln_value *role = mln_object(rq->cx);
    const struct mln_value *map = NULL;
    for (const struct mln_field *f = ssh_role_fields + 1; f->name != NULL; f++) {
        const struct mln_value *v = mln_field_of(rq, f->name);
        mln_put(rq->cx, role, f->name, v != NULL ? v : mln_object(rq->cx)); /* only maps have no default */
    }
    for (size_t i = 0; i < MLN_COUNT(maps); i++) {
        MLN_TRY(ssh_texts(rq, mln_field_of(rq, maps[i]), maps[i], &map));
        mln_put(rq->cx, role, maps[i], map);
    }
    MLN_TRY(key_lengths(rq, mln_field_of(rq, "allowed_user_key_lengths"), &map));
    mln_put(rq->cx, role, "allowed_user_key_lengths", map);
    *ret = role;
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_role_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key, type = mln_get_bytes(mln_field_of(rq, "key_type"));
    struct mln_value *role = NULL;
    MLN_TRY(key_of(rq, mln_get_bytes(mln_field_of(rq, "name")), &key));
    if (!mln_bytes_is(type, "ca") && !mln_bytes_is(type, "otp")) {
        return mln_fail(rq->cx, MLN_E_INVALID, type.len == 0 ? "missing key type" : "invalid key type");
    }
    MLN_TRY(mln_bytes_is(type, "ca") ? check_ca(rq) : check_otp(rq));
    MLN_TRY(role_value(rq, &role));
    mln_put_bytes(rq->cx, rq->detail, "key_type", type);
    re->status = 204;
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key, role);
}

static bool is_shown(const char *name, bool is_ca)
{
    static const char *const otp[] = {"key_type", "default_user", "cidr_list", "exclude_cidr_list", "port", "allowed_users"};
    static const char *const only_otp[] = {"cidr_list", "exclude_cidr_list", "port"};
    const char *const *list = is_ca ? only_otp : otp;
    size_t n = is_ca ? MLN_COUNT(only_otp) : MLN_COUNT(otp);
    bool is_listed = false;
    for (size_t i = 0; i < n; i++) {
        is_listed = is_listed || mln_bytes_is(mln_bytes_of(name), list[i]);
    }
    return is_listed != is_ca;
}

/* Lists are answered as Vault keeps them: one text with commas. */
static const struct mln_value *joined(struct mln_cx *cx, const struct mln_value *list)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_buf_add_text(&text, i > 0 ? "," : "");
        mln_buf_add_bytes(&text, mln_get_bytes(mln_item(list, i)));
    }
    return mln_failed(mln_buf_ok(cx, &text)) ? mln_null(cx) : mln_string_dup(cx, mln_buf_bytes(&text));
}

struct mln_err ssh_role_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *role = NULL;
    MLN_TRY(ssh_role_load(rq, mln_get_bytes(mln_field_of(rq, "name")), &role));
    bool is_ca = mln_is_text(mln_get(role, "key_type"), "ca");
    struct mln_value *data = mln_object(rq->cx);
    for (const struct mln_field *f = ssh_role_fields + 1; f->name != NULL; f++) {
        const struct mln_value *v = mln_get(role, f->name);
        if (v != NULL && is_shown(f->name, is_ca)) {
            mln_put(rq->cx, data, f->name, f->type == MLN_FIELD_LIST ? joined(rq->cx, v) : v);
        }
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_role_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    MLN_TRY(key_of(rq, mln_get_bytes(mln_field_of(rq, "name")), &key));
    mln_txn_mark_relief(rq->txn);
    re->status = 204;
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key);
}

struct mln_err ssh_role_exists(struct mln_request *rq, bool *ret)
{
    const struct mln_value *role = NULL;
    struct mln_err err = ssh_role_load(rq, mln_get_bytes(mln_field_of(rq, "name")), &role);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

struct mln_err ssh_role_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL, *role = NULL;
    struct mln_value *data = mln_object(rq->cx), *infos = mln_object(rq->cx);
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("role/"), &keys));
    if (mln_len(keys) == 0) {
        re->status = 404;
        re->no_errors_text = true;
        return MLN_OK;
    }
    for (size_t i = 0; i < mln_len(keys); i++) {
        struct mln_value *info = mln_object(rq->cx);
        MLN_TRY(ssh_role_load(rq, mln_get_bytes(mln_item(keys, i)), &role));
        mln_put(rq->cx, info, "key_type", mln_get(role, "key_type"));
        mln_put_key(rq->cx, infos, mln_get_bytes(mln_item(keys, i)), info);
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put(rq->cx, data, "key_info", infos);
    re->data = data;
    return mln_cx_err(rq->cx);
}
