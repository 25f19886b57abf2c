/* SPDX-License-Identifier: Apache-2.0 */
/* Roles of a JWT or OIDC mount: whose tokens are taken, and what they become. */
#include "auth/jwt_priv.h"

enum kind { KIND_TEXT, KIND_LIST, KIND_MAP, KIND_BOOL, KIND_INT };

/* Members of a role besides the token fields, with what a read shows when they were never set. */
static const struct own_field {
    const char *name;
    enum kind kind;
} own_fields[] = {
    {"allowed_redirect_uris", KIND_LIST}, {"bound_audiences", KIND_LIST},      {"bound_claims", KIND_MAP},
    {"bound_claims_type", KIND_TEXT},     {"bound_subject", KIND_TEXT},        {"callback_mode", KIND_TEXT},
    {"claim_mappings", KIND_MAP},         {"clock_skew_leeway", KIND_INT},     {"expiration_leeway", KIND_INT},
    {"groups_claim", KIND_TEXT},          {"max_age", KIND_INT},               {"not_before_leeway", KIND_INT},
    {"oauth2_metadata", KIND_LIST},       {"oidc_disable_confirmation", KIND_BOOL}, {"oidc_scopes", KIND_LIST},
    {"role_type", KIND_TEXT},             {"token_policies_template_claims", KIND_BOOL}, {"user_claim", KIND_TEXT},
    {"user_claim_json_pointer", KIND_BOOL}, {"verbose_oidc_logging", KIND_BOOL},
};

static struct mln_err lower_name(struct mln_request *rq, struct mln_bytes name, const char **ret)
{
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, name.len == 0 ? "missing role" : "the role's name is too long");
    }
    return mln_method_fold(rq, "role", name, ret);
}

static struct mln_bytes role_key(struct mln_cx *cx, const char *name)
{
    return mln_bytes_format(cx, "role/%s", name);
}

struct mln_err jwt_role_load(struct mln_request *rq, const char *name, const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, role_key(rq->cx, name), ret);
}

struct mln_err jwt_role_need(struct mln_request *rq, const struct mln_value *config, const char **ret_name,
                             const struct mln_value **ret)
{
    struct mln_bytes given = mln_get_bytes(mln_field_of(rq, "role"));
    given = given.len > 0 ? given : mln_get_bytes(mln_get(config, "default_role"));
    MLN_TRY(lower_name(rq, given, ret_name));
    struct mln_err err = jwt_role_load(rq, *ret_name, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_BAD_LOGIN, "role \"%.*s\" could not be found", MLN_FMT(mln_bytes_of(*ret_name)))
               : err;
}

/* ---- checks of a write ---- */

static struct mln_err check_bound_claims(struct mln_request *rq, const struct mln_value *role)
{
    const struct mln_value *bound = mln_get(role, "bound_claims");
    struct mln_bytes type = mln_get_bytes(mln_get(role, "bound_claims_type"));
    bool is_glob = mln_bytes_is(type, "glob");
    if (!is_glob && !mln_bytes_is(type, "string")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid 'bound_claims_type': %.*s", MLN_FMT(type));
    }
    for (size_t i = 0; i < mln_len(bound); i++) {
        const struct mln_value *v = &mln_member_at(bound, i)->value;
        size_t n = mln_type_of(v) == MLN_ARRAY ? mln_len(v) : 1;
        for (size_t j = 0; j < n; j++) {
            const struct mln_value *one = mln_type_of(v) == MLN_ARRAY ? mln_item(v, j) : v;
            bool is_plain = mln_claim_text(rq->cx, one) != NULL;
            if (is_glob ? mln_type_of(one) != MLN_STRING : !is_plain) {
                return mln_fail(rq->cx, MLN_E_INVALID, "claim is not a string or list: \"%.*s\"",
                                MLN_FMT(mln_member_at(bound, i)->key));
            }
        }
    }
    return MLN_OK;
}

static struct mln_err check_mappings(struct mln_request *rq, const struct mln_value *role)
{
    const struct mln_value *map = mln_get(role, "claim_mappings");
    for (size_t i = 0; i < mln_len(map); i++) {
        struct mln_bytes to = mln_get_bytes(&mln_member_at(map, i)->value);
        if (to.len == 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "claim_mappings name a metadata key for each claim");
        }
        if (mln_bytes_is(to, "role")) {
            return mln_fail(rq->cx, MLN_E_INVALID, "metadata key \"role\" is reserved and may not be a mapping destination");
        }
        for (size_t j = 0; j < i; j++) {
            if (mln_bytes_eq(mln_get_bytes(&mln_member_at(map, j)->value), to)) {
                return mln_fail(rq->cx, MLN_E_INVALID, "multiple keys are mapped to metadata key \"%.*s\"", MLN_FMT(to));
            }
        }
    }
    return MLN_OK;
}

static struct mln_err check_type(struct mln_request *rq, const struct mln_value *role)
{
    static const char *const bindings[] = {"bound_audiences", "bound_subject", "bound_claims", "token_bound_cidrs"};
    const struct mln_value *type = mln_get(role, "role_type");
    bool is_oidc = mln_is_text(type, "oidc"), is_bound = is_oidc;
    if (!is_oidc && !mln_is_text(type, "jwt")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid 'role_type': %.*s", MLN_FMT(mln_get_bytes(type)));
    }
    if (is_oidc && mln_len(mln_get(role, "allowed_redirect_uris")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.");
    }
    for (size_t i = 0; i < MLN_COUNT(bindings); i++) {
        is_bound = is_bound || mln_len(mln_get(role, bindings[i])) > 0;
    }
    return is_bound ? MLN_OK
                    : mln_fail(rq->cx, MLN_E_INVALID,
                               "must have at least one bound constraint when creating/updating a role");
}

static struct mln_err check_role(struct mln_request *rq, const struct mln_value *role)
{
    struct mln_bytes mode = mln_get_bytes(mln_get(role, "callback_mode"));
    if (mln_len(mln_get(role, "user_claim")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a user claim must be defined on the role");
    }
    if (!mln_bytes_is(mode, "client") && !mln_bytes_is(mode, "direct")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid callback_mode: client or direct");
    }
    if (mln_get_bool(mln_get(role, "token_policies_template_claims"), false) || mln_len(mln_get(role, "oauth2_metadata")) > 0) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "token_policies_template_claims and oauth2_metadata are not supported");
    }
    MLN_TRY(check_type(rq, role));
    MLN_TRY(check_bound_claims(rq, role));
    return check_mappings(rq, role);
}

static void put_defaults(struct mln_cx *cx, struct mln_value *role)
{
    static const struct {
        const char *name, *text;
    } t[] = {{"role_type", "oidc"}, {"bound_claims_type", "string"}, {"callback_mode", "client"}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        if (mln_len(mln_get(role, t[i].name)) == 0) {
            mln_put_text(cx, role, t[i].name, t[i].text);
        }
    }
}

struct mln_err jwt_role_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *before = NULL;
    const char *name = NULL;
    (void)re;
    MLN_TRY(lower_name(rq, mln_get_bytes(mln_field_of(rq, "name")), &name));
    struct mln_err err = jwt_role_load(rq, name, &before);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *role = mln_failed(err) ? mln_object(cx) : mln_value_dup(cx, before);
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        const struct mln_value *v = mln_field_of(rq, own_fields[i].name);
        if (!mln_is_null(v)) {
            mln_put(cx, role, own_fields[i].name, v);
        }
    }
    put_defaults(cx, role);
    MLN_TRY(mln_token_fields_take(rq, role));
    MLN_TRY(check_role(rq, role));
    mln_put_text(cx, rq->detail, "role", name);
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, role_key(cx, name), role);
}

static const struct mln_value *shown(struct mln_cx *cx, const struct mln_value *role, const struct own_field *f)
{
    const struct mln_value *v = mln_get(role, f->name);
    if (!mln_is_null(v)) {
        return v;
    }
    switch (f->kind) {
    case KIND_TEXT:
        return mln_text(cx, "");
    case KIND_BOOL:
        return mln_bool(cx, false);
    case KIND_INT:
        return mln_int(cx, 0);
    case KIND_LIST:
    case KIND_MAP:
    default:
        return mln_null(cx);
    }
}

struct mln_err jwt_role_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *role = NULL;
    const char *name = NULL;
    MLN_TRY(lower_name(rq, mln_get_bytes(mln_field_of(rq, "name")), &name));
    MLN_TRY(jwt_role_load(rq, name, &role));
    struct mln_value *data = mln_object(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        mln_put(rq->cx, data, own_fields[i].name, shown(rq->cx, role, &own_fields[i]));
    }
    mln_token_fields_print(rq->cx, role, data);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err jwt_role_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    (void)re;
    MLN_TRY(lower_name(rq, mln_get_bytes(mln_field_of(rq, "name")), &name));
    mln_put_text(rq->cx, rq->detail, "role", name);
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, role_key(rq->cx, name));
}

struct mln_err jwt_role_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_method_list(rq, re, MLN_BYTES("role/"));
}

struct mln_err jwt_role_exists(struct mln_request *rq, bool *ret)
{
    const struct mln_value *role = NULL;
    const char *name = NULL;
    MLN_TRY(lower_name(rq, mln_get_bytes(mln_field_of(rq, "name")), &name));
    struct mln_err err = jwt_role_load(rq, name, &role);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}
