/* SPDX-License-Identifier: Apache-2.0 */
/* Kubernetes: configuration, roles, logins, the descriptor. See kubernetes_priv.h. */
#include "auth/kubernetes_priv.h"
#include "crypto/jose_verify.h"

#define PEM_KEYS_MAX 16u /* a login tries each */

/* ---- configuration ---- */

static struct mln_err config_load(struct mln_request *rq, const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), ret);
}

static struct mln_err check_config(struct mln_request *rq, const struct mln_value *config)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *pems = mln_get(config, "pem_keys");
    struct mln_bytes host = mln_get_bytes(mln_get(config, "kubernetes_host"));
    if (host.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "no host provided");
    }
    if (!mln_bytes_starts(host, MLN_BYTES("https://")) && !mln_bytes_starts(host, MLN_BYTES("http://"))) {
        return mln_fail(cx, MLN_E_INVALID, "kubernetes_host must be a URL such as https://10.0.0.1:6443");
    }
    if (mln_get_bool(mln_get(config, "disable_local_ca_jwt"), false) && mln_len(mln_get(config, "kubernetes_ca_cert")) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "kubernetes_ca_cert must be given when disable_local_ca_jwt is true");
    }
    if (mln_len(pems) > PEM_KEYS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "more than %u pem_keys", PEM_KEYS_MAX);
    }
    for (size_t i = 0; i < mln_len(pems); i++) {
        MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
        if (mln_failed(mln_jose_public_from_pem(cx, mln_get_bytes(mln_item(pems, i)), &key))) {
            return mln_refail(cx, MLN_E_INVALID, "data does not contain any valid RSA or ECDSA public keys");
        }
    }
    if (mln_len(pems) == 0 && mln_get_bool(mln_get(config, "disable_token_review"), false)) {
        return mln_fail(cx, MLN_E_INVALID, "disable_token_review needs pem_keys: somebody has to vouch for tokens");
    }
    return MLN_OK;
}

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const texts[] = {"kubernetes_ca_cert", "issuer"};
    static const char *const bools[] = {"disable_iss_validation", "disable_local_ca_jwt", "disable_token_review",
                                        "use_annotations_as_alias_metadata"};
    struct mln_cx *cx = rq->cx;
    struct mln_value *config = mln_object(cx);
    struct mln_bytes host = mln_get_bytes(mln_field_of(rq, "kubernetes_host"));
    const struct mln_value *reviewer = mln_field_of(rq, "token_reviewer_jwt"), *pems = mln_field_of(rq, "pem_keys");
    (void)re;
    host.len -= host.len > 0 && host.ptr[host.len - 1] == '/' ? 1 : 0;
    mln_put(cx, config, "kubernetes_host", mln_string_dup(cx, host));
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        mln_put_text(cx, config, texts[i], mln_get_text(cx, mln_field_of(rq, texts[i]), ""));
    }
    for (size_t i = 0; i < MLN_COUNT(bools); i++) {
        mln_put_bool(cx, config, bools[i], mln_get_bool(mln_field_of(rq, bools[i]), i == 0));
    }
    mln_put(cx, config, "pem_keys", mln_is_null(pems) ? mln_array(cx) : pems);
    if (mln_len(reviewer) > 0) {
        mln_put(cx, config, "token_reviewer_jwt", reviewer);
    }
    MLN_TRY(check_config(rq, config));
    if (mln_get_bool(mln_get(config, "use_annotations_as_alias_metadata"), false)) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "use_annotations_as_alias_metadata is not supported");
    }
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, MLN_BYTES("config"), config);
}

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL;
    MLN_TRY(config_load(rq, &config));
    struct mln_value *data = mln_value_dup(rq->cx, config);
    mln_put_bool(rq->cx, data, "token_reviewer_jwt_set", mln_len(mln_get(config, "token_reviewer_jwt")) > 0);
    mln_remove(data, MLN_BYTES("token_reviewer_jwt"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- roles ---- */

static struct mln_err role_name(struct mln_request *rq, const char *field, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, field));
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, name.len == 0 ? "missing %s" : "%s is too long", field);
    }
    return mln_method_fold(rq, "role", name, ret);
}

static struct mln_bytes role_key(struct mln_cx *cx, const char *name)
{
    return mln_bytes_format(cx, "role/%s", name);
}

static struct mln_err role_load(struct mln_request *rq, const char *name, const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, role_key(rq->cx, name), ret);
}

/* "*" alone is everybody; beside others it is a mistake that opens the role. */
static struct mln_err check_bound(struct mln_request *rq, const struct mln_value *list, const char *what)
{
    if (mln_len(list) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "\"%s\" can not be empty", what);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_len(list) > 1 && mln_is_text(mln_item(list, i), "*")) {
            return mln_fail(rq->cx, MLN_E_INVALID, "can not mix \"*\" with values");
        }
        if (mln_len(mln_item(list, i)) == 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "\"%s\" has an empty value", what);
        }
    }
    return MLN_OK;
}

static struct mln_err check_role(struct mln_request *rq, const struct mln_value *role)
{
    struct mln_bytes source = mln_get_bytes(mln_get(role, "alias_name_source"));
    MLN_TRY(check_bound(rq, mln_get(role, "bound_service_account_names"), "bound_service_account_names"));
    MLN_TRY(check_bound(rq, mln_get(role, "bound_service_account_namespaces"), "bound_service_account_namespaces"));
    if (!mln_bytes_is(source, "serviceaccount_uid") && !mln_bytes_is(source, "serviceaccount_name")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid alias_name_source \"%.*s\"", MLN_FMT(source));
    }
    return MLN_OK;
}

static struct mln_err role_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const own[] = {"bound_service_account_names", "bound_service_account_namespaces", "audience",
                                      "alias_name_source"};
    struct mln_cx *cx = rq->cx;
    const struct mln_value *before = NULL;
    const char *name = NULL;
    MLN_TRY(role_name(rq, "name", &name));
    struct mln_err err = role_load(rq, name, &before);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *role = mln_failed(err) ? mln_object(cx) : mln_value_dup(cx, before);
    for (size_t i = 0; i < MLN_COUNT(own); i++) {
        if (!mln_is_null(mln_field_of(rq, own[i]))) {
            mln_put(cx, role, own[i], mln_field_of(rq, own[i]));
        }
    }
    if (mln_len(mln_get(role, "alias_name_source")) == 0) {
        mln_put_text(cx, role, "alias_name_source", "serviceaccount_uid");
    }
    if (mln_len(mln_field_of(rq, "bound_service_account_namespace_selector")) > 0) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "bound_service_account_namespace_selector is not supported: name the namespaces");
    }
    MLN_TRY(mln_token_fields_take(rq, role));
    MLN_TRY(check_role(rq, role));
    if (mln_len(mln_get(role, "audience")) == 0) {
        mln_reply_warn(rq, re, "Role has no audience: tokens that were made for other services are taken too.");
    }
    mln_put_text(cx, rq->detail, "role", name);
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, role_key(cx, name), role);
}

static struct mln_err role_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *role = NULL;
    const char *name = NULL;
    MLN_TRY(role_name(rq, "name", &name));
    MLN_TRY(role_load(rq, name, &role));
    struct mln_value *data = mln_object(cx);
    mln_put(cx, data, "bound_service_account_names", mln_get(role, "bound_service_account_names"));
    mln_put(cx, data, "bound_service_account_namespaces", mln_get(role, "bound_service_account_namespaces"));
    mln_put_text(cx, data, "bound_service_account_namespace_selector", "");
    mln_put(cx, data, "alias_name_source", mln_get(role, "alias_name_source"));
    if (mln_len(mln_get(role, "audience")) > 0) {
        mln_put(cx, data, "audience", mln_get(role, "audience"));
    }
    mln_token_fields_print(cx, role, data);
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err role_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    (void)re;
    MLN_TRY(role_name(rq, "name", &name));
    mln_put_text(rq->cx, rq->detail, "role", name);
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, role_key(rq->cx, name));
}

static struct mln_err role_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_method_list(rq, re, MLN_BYTES("role/"));
}

static struct mln_err role_exists(struct mln_request *rq, bool *ret)
{
    const struct mln_value *role = NULL;
    const char *name = NULL;
    MLN_TRY(role_name(rq, "name", &name));
    struct mln_err err = role_load(rq, name, &role);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

/* ---- logins ---- */

static bool list_has(const struct mln_value *list, const char *text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_glob_fits(mln_get_bytes(mln_item(list, i)), mln_bytes_of(text))) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_account(struct mln_request *rq, const struct mln_value *role, const struct kubernetes_account *account)
{
    if (!list_has(mln_get(role, "bound_service_account_namespaces"), account->space)) {
        return mln_fail(rq->cx, MLN_E_DENIED, "namespace not authorized");
    }
    if (!list_has(mln_get(role, "bound_service_account_names"), account->name)) {
        return mln_fail(rq->cx, MLN_E_DENIED, "service account name not authorized");
    }
    return MLN_OK;
}

static const struct mln_login *login_of(struct mln_request *rq, const char *name, const struct mln_value *role,
                                        const struct kubernetes_account *account)
{
    struct mln_cx *cx = rq->cx;
    struct mln_login *login = MLN_NEW(cx, struct mln_login);
    struct mln_value *meta = mln_object(cx), *alias_meta, *internal = mln_object(cx);
    bool by_name = mln_is_text(mln_get(role, "alias_name_source"), "serviceaccount_name");
    if (login == NULL) {
        return NULL;
    }
    mln_put_text(cx, meta, "service_account_name", account->name);
    mln_put_text(cx, meta, "service_account_namespace", account->space);
    mln_put_text(cx, meta, "service_account_secret_name", "");
    mln_put_text(cx, meta, "service_account_uid", account->uid);
    alias_meta = mln_value_dup(cx, meta);
    mln_put_text(cx, meta, "role", name);
    mln_put_text(cx, internal, "role", name);
    *login = (struct mln_login){
        .alias = by_name ? mln_text_format(cx, "%s/%s", account->space, account->name) : account->uid,
        .display_name = mln_text_format(cx, "%s-%s", account->space, account->name),
        .meta = meta,
        .alias_meta = alias_meta,
        .internal = internal,
    };
    mln_token_fields_login(rq, role, login);
    return login;
}

static struct mln_err login_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *config = NULL, *role = NULL;
    struct mln_bytes jwt = mln_get_bytes(mln_field_of(rq, "jwt"));
    struct kubernetes_account account;
    const char *name = NULL;
    MLN_TRY(role_name(rq, "role", &name));
    if (jwt.len == 0 || jwt.len > MLN_JOSE_TEXT_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "missing jwt");
    }
    struct mln_err err = role_load(rq, name, &role);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_BAD_LOGIN, "invalid role name \"%.*s\"", MLN_FMT(mln_bytes_of(name)));
    }
    MLN_TRY(err);
    err = config_load(rq, &config);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_INVALID, "could not load backend configuration");
    }
    MLN_TRY(err);
    if (!mln_token_fields_from(rq, role)) {
        return mln_fail(cx, MLN_E_DENIED, "permission denied");
    }
    MLN_TRY(kubernetes_account_of(rq, config, jwt, mln_get_text(cx, mln_get(role, "audience"), ""), &account));
    MLN_TRY(check_account(rq, role, &account));
    mln_put_text(cx, rq->detail, "role", name);
    re->login = login_of(rq, name, role, &account);
    return mln_cx_err(cx);
}

static struct mln_err renew_login(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login)
{
    const struct mln_value *role = NULL;
    const char *name = mln_get_text(rq->cx, mln_get(internal, "role"), "");
    struct mln_err err = role_load(rq, name, &role);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role %.*s does not exist during renewal", MLN_FMT(mln_bytes_of(name)));
    }
    MLN_TRY(err);
    return mln_token_fields_renew(rq, role, login);
}

/* ---- the descriptor ---- */

static const struct mln_field config_fields[] = {
    {.name = "kubernetes_host", .type = MLN_FIELD_TEXT, .help = "URL of the cluster's API server."},
    {.name = "kubernetes_ca_cert", .type = MLN_FIELD_TEXT, .help = "Its authorities in PEM, instead of the system's."},
    {.name = "token_reviewer_jwt", .type = MLN_FIELD_SECRET, .help = "Asks for reviews; none: each token asks about itself."},
    {.name = "pem_keys", .type = MLN_FIELD_LIST, .help = "Public keys or certificates that sign the cluster's tokens."},
    {.name = "issuer", .type = MLN_FIELD_TEXT, .help = "What iss must be, with disable_iss_validation=false."},
    {.name = "disable_iss_validation", .type = MLN_FIELD_BOOL, .help = "Do not look at iss (the default)."},
    {.name = "disable_local_ca_jwt", .type = MLN_FIELD_BOOL, .help = "Kept; a pod's own files are never read."},
    {.name = "disable_token_review", .type = MLN_FIELD_BOOL, .help = "pem_keys alone vouch: tokens of deleted accounts live on."},
    {.name = "use_annotations_as_alias_metadata", .type = MLN_FIELD_BOOL, .help = "Not supported."},
    {0},
};
static const struct mln_field role_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The role's name."},
    {.name = "bound_service_account_names", .type = MLN_FIELD_LIST, .help = "Accounts; * in a name stands for anything."},
    {.name = "bound_service_account_namespaces", .type = MLN_FIELD_LIST, .help = "Their namespaces, the same way."},
    {.name = "bound_service_account_namespace_selector", .type = MLN_FIELD_TEXT, .help = "Not supported."},
    {.name = "audience", .type = MLN_FIELD_TEXT, .help = "What tokens must have been made for."},
    {.name = "alias_name_source", .type = MLN_FIELD_TEXT, .help = "serviceaccount_uid (the default) or serviceaccount_name."},
    MLN_TOKEN_FIELDS,
    {0},
};
static const struct mln_field login_fields[] = {
    {.name = "role", .type = MLN_FIELD_TEXT, .help = "The role."},
    {.name = "jwt", .type = MLN_FIELD_SECRET, .help = "The service account's token."},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "config", .summary = "Configure the cluster.", .fields = config_fields, .read = config_read, .write = config_write,
     .controls = "IA-2,IA-9"},
    {.pattern = "role", .summary = "List roles.", .list = role_list},
    {.pattern = "role/{name}", .summary = "Make, read, change or delete a role.", .fields = role_fields, .read = role_read,
     .write = role_write, .remove = role_remove, .exists = role_exists, .controls = "AC-2,IA-9"},
    {.pattern = "login", .summary = "Log in with a service account's token.", .fields = login_fields, .write = login_write,
     .is_open = true, .may_block = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-9"},
    {0},
};

const struct mln_engine mln_method_kubernetes = {
    .type = "kubernetes",
    .kind = MLN_MOUNT_AUTH,
    .summary = "Pods that bring their service account's token.",
    .paths = paths,
    .renew_login = renew_login,
};
