/* SPDX-License-Identifier: Apache-2.0 */
/* Logins with a JWT, and the descriptors. What is kept where: jwt_priv.h. */
#include "auth/jwt_priv.h"

#include "base/clock.h"

#define TICK_S     300
#define GROUPS_MAX 1000u /* of one token: bounds what a login looks up */

static struct mln_err start(struct mln_request *rq)
{
    uint8_t *key = mln_new(rq->cx, MLN_KEY_BYTES);
    if (key == NULL) {
        return mln_cx_err(rq->cx);
    }
    mln_random(key, MLN_KEY_BYTES);
    return mln_txn_put(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key"), mln_bytes_at(key, MLN_KEY_BYTES));
}

/* ---- what a role asks of claims ---- */

static struct mln_err refuse(struct mln_request *rq, struct mln_err err, const char *what)
{
    if (!mln_is(err, MLN_E_INVALID)) {
        return err;
    }
    const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
    return mln_refail(rq->cx, MLN_E_BAD_LOGIN, "%s%s", what, why);
}

static struct mln_err check_names(struct mln_request *rq, const struct mln_value *config, const struct mln_value *role,
                                  const struct mln_value *claims)
{
    struct mln_bytes issuer = mln_get_bytes(mln_get(config, "bound_issuer"));
    struct mln_bytes subject = mln_get_bytes(mln_get(role, "bound_subject"));
    issuer = issuer.len > 0 ? issuer : mln_get_bytes(mln_get(config, "oidc_discovery_url"));
    if (issuer.len > 0 && !mln_bytes_eq(issuer, mln_get_bytes(mln_get(claims, "iss")))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid issuer (iss) claim");
    }
    if (subject.len > 0 && !mln_bytes_eq(subject, mln_get_bytes(mln_get(claims, "sub")))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid subject (sub) claim");
    }
    return MLN_OK;
}

struct mln_err jwt_check(struct mln_request *rq, const struct mln_value *config, const struct mln_value *role,
                         const struct mln_value *claims)
{
    struct mln_claim_leeways leeways = {
        .expiration_s = mln_get_int(mln_get(role, "expiration_leeway"), 0),
        .not_before_s = mln_get_int(mln_get(role, "not_before_leeway"), 0),
        .clock_skew_s = mln_get_int(mln_get(role, "clock_skew_leeway"), 0),
    };
    bool is_glob = mln_is_text(mln_get(role, "bound_claims_type"), "glob");
    MLN_TRY(refuse(rq, check_names(rq, config, role, claims), "error validating token: "));
    MLN_TRY(refuse(rq, mln_claims_check_times(rq->cx, claims, rq->now_ns, &leeways), "error validating token: "));
    return refuse(rq, mln_claims_check_bound(rq->cx, claims, mln_get(role, "bound_claims"), is_glob), "error validating claims: ");
}

/* The audience of a token that a machine brings. */
static struct mln_err check_audience(struct mln_request *rq, const struct mln_value *role, const struct mln_value *claims)
{
    const struct mln_value *bound = mln_get(role, "bound_audiences");
    return refuse(rq, mln_claims_check_audience(rq->cx, claims, bound), mln_len(bound) > 0 ? "error validating token: " : "");
}

/* ---- what the claims become ---- */

static struct mln_err user_of(struct mln_request *rq, const struct mln_value *role, const struct mln_value *claims, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_get(role, "user_claim"));
    bool is_pointer = mln_get_bool(mln_get(role, "user_claim_json_pointer"), false);
    const struct mln_value *claim = mln_claim_at(rq->cx, claims, name, is_pointer);
    if (claim == NULL) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "claim \"%.*s\" not found in token", MLN_FMT(name));
    }
    const char *user = mln_get_text(rq->cx, claim, NULL);
    size_t n = mln_bytes_of(user).len;
    if (n == 0 || n > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "claim \"%.*s\" could not be converted to string", MLN_FMT(name));
    }
    *ret = user;
    return mln_cx_err(rq->cx);
}

static struct mln_err meta_of(struct mln_request *rq, const char *role_name, const struct mln_value *role,
                              const struct mln_value *claims, struct mln_value *meta)
{
    const struct mln_value *map = mln_get(role, "claim_mappings");
    mln_put_text(rq->cx, meta, "role", role_name);
    for (size_t i = 0; i < mln_len(map); i++) {
        const struct mln_member *m = mln_member_at(map, i);
        const struct mln_value *claim = mln_claim(rq->cx, claims, m->key);
        const char *text = mln_claim_text(rq->cx, claim);
        if (claim != NULL && text == NULL) {
            return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "error converting claim '%.*s' to string", MLN_FMT(m->key));
        }
        if (text != NULL) {
            mln_put(rq->cx, meta, mln_text_dup(rq->cx, mln_get_bytes(&m->value)), mln_text(rq->cx, text));
        }
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err groups_of(struct mln_request *rq, const struct mln_value *role, const struct mln_value *claims,
                                const struct mln_value **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_get(role, "groups_claim"));
    struct mln_value *list = mln_array(rq->cx);
    if (name.len == 0) {
        return MLN_OK;
    }
    const struct mln_value *claim = mln_claim(rq->cx, claims, name);
    if (claim == NULL) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "failed to fetch groups: \"%.*s\" claim not found in token", MLN_FMT(name));
    }
    if (mln_type_of(claim) == MLN_STRING) {
        mln_push(rq->cx, list, claim);
        claim = list;
    }
    for (size_t i = 0; i < mln_len(claim) || mln_type_of(claim) != MLN_ARRAY; i++) {
        if (mln_type_of(claim) != MLN_ARRAY || mln_len(claim) > GROUPS_MAX || mln_type_of(mln_item(claim, i)) != MLN_STRING) {
            return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "failed to fetch groups: \"%.*s\" claim could not be converted to string list",
                            MLN_FMT(name));
        }
    }
    *ret = claim;
    return mln_cx_err(rq->cx);
}

struct mln_err jwt_finish(struct mln_request *rq, const char *role_name, const struct mln_value *role, const struct mln_value *claims,
                          struct mln_reply *re)
{
    struct mln_login *login = MLN_NEW(rq->cx, struct mln_login);
    struct mln_value *meta = mln_object(rq->cx), *internal = mln_object(rq->cx);
    const struct mln_value *groups = NULL;
    const char *user = "";
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(user_of(rq, role, claims, &user));
    MLN_TRY(groups_of(rq, role, claims, &groups));
    MLN_TRY(meta_of(rq, role_name, role, claims, meta));
    mln_put_text(rq->cx, internal, "role", role_name);
    mln_put_text(rq->cx, rq->detail, "role", role_name);
    *login = (struct mln_login){.alias = user, .display_name = user, .meta = meta, .alias_meta = meta, .groups = groups,
                                .internal = internal};
    mln_token_fields_login(rq, role, login);
    re->login = login;
    return mln_cx_err(rq->cx);
}

static struct mln_err login_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL, *role = NULL, *claims = NULL;
    struct mln_bytes jwt = mln_get_bytes(mln_field_of(rq, "jwt"));
    const char *name = NULL;
    MLN_TRY(jwt_config_need(rq, &config));
    MLN_TRY(jwt_role_need(rq, config, &name, &role));
    if (mln_is_text(mln_get(role, "role_type"), "oidc")) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "role with oidc role_type is not allowed");
    }
    if (jwt.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing token");
    }
    if (!mln_token_fields_from(rq, role)) {
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    MLN_TRY(mln_issuer_verify(rq, config, jwt, &claims));
    MLN_TRY(check_audience(rq, role, claims));
    MLN_TRY(jwt_check(rq, config, role, claims));
    return jwt_finish(rq, name, role, claims, re);
}

static struct mln_err renew_login(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login)
{
    const struct mln_value *role = NULL;
    const char *name = jwt_text(rq->cx, internal, "role");
    struct mln_err err = jwt_role_load(rq, name, &role);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role %.*s does not exist during renewal", MLN_FMT(mln_bytes_of(name)));
    }
    MLN_TRY(err);
    return mln_token_fields_renew(rq, role, login);
}

/* ---- the descriptors ---- */

static const struct mln_field config_fields[] = {
    {.name = "oidc_discovery_url", .type = MLN_FIELD_TEXT, .help = "The provider's issuer, without .well-known."},
    {.name = "oidc_discovery_ca_pem", .type = MLN_FIELD_TEXT, .help = "Authorities for it, instead of the system's."},
    {.name = "oidc_client_id", .type = MLN_FIELD_TEXT, .help = "Our id at the provider, for browser logins."},
    {.name = "oidc_client_secret", .type = MLN_FIELD_SECRET, .help = "Its secret."},
    {.name = "oidc_response_mode", .type = MLN_FIELD_TEXT, .help = "query or form_post."},
    {.name = "oidc_response_types", .type = MLN_FIELD_LIST, .help = "Only code is supported."},
    {.name = "jwks_url", .type = MLN_FIELD_TEXT, .help = "Where keys are published."},
    {.name = "jwks_ca_pem", .type = MLN_FIELD_TEXT, .help = "Authorities for it, instead of the system's."},
    {.name = "jwt_validation_pubkeys", .type = MLN_FIELD_LIST, .help = "Public keys or certificates in PEM."},
    {.name = "bound_issuer", .type = MLN_FIELD_TEXT, .help = "What iss must be."},
    {.name = "jwt_supported_algs", .type = MLN_FIELD_LIST, .help = "Algorithms that are taken; none named: all that the keys can."},
    {.name = "default_role", .type = MLN_FIELD_TEXT, .help = "The role of a login that names none."},
    {.name = "provider_config", .type = MLN_FIELD_MAP, .help = "Must be empty: no provider has special treatment."},
    {.name = "namespace_in_state", .type = MLN_FIELD_BOOL, .help = "Kept for clients that set it."},
    {.name = "override_allowed_server_names", .type = MLN_FIELD_LIST, .help = "Kept for clients that set it."},
    {0},
};
static const struct mln_field role_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The role's name."},
    {.name = "role_type", .type = MLN_FIELD_TEXT, .help = "jwt, or oidc (the default)."},
    {.name = "bound_audiences", .type = MLN_FIELD_LIST, .help = "One of these must be in aud."},
    {.name = "bound_subject", .type = MLN_FIELD_TEXT, .help = "What sub must be."},
    {.name = "bound_claims", .type = MLN_FIELD_MAP, .help = "Claims (names or JSON pointers) and the values they may have."},
    {.name = "bound_claims_type", .type = MLN_FIELD_TEXT, .help = "string, or glob: * in values stands for anything."},
    {.name = "user_claim", .type = MLN_FIELD_TEXT, .help = "The claim that names who logs in."},
    {.name = "user_claim_json_pointer", .type = MLN_FIELD_BOOL, .help = "user_claim is a JSON pointer."},
    {.name = "groups_claim", .type = MLN_FIELD_TEXT, .help = "The claim (name or JSON pointer) that lists groups."},
    {.name = "claim_mappings", .type = MLN_FIELD_MAP, .help = "Claims that become metadata, and its names."},
    {.name = "oidc_scopes", .type = MLN_FIELD_LIST, .help = "Scopes to ask for besides openid."},
    {.name = "allowed_redirect_uris", .type = MLN_FIELD_LIST, .help = "Where a browser may be sent back to."},
    {.name = "callback_mode", .type = MLN_FIELD_TEXT, .help = "client (the default) or direct."},
    {.name = "expiration_leeway", .type = MLN_FIELD_DURATION, .help = "Life of a token without exp; 0 is 150 s, below 0 none."},
    {.name = "not_before_leeway", .type = MLN_FIELD_DURATION, .help = "The same without nbf."},
    {.name = "clock_skew_leeway", .type = MLN_FIELD_DURATION, .help = "How far clocks may differ; 0 is 60 s, below 0 none."},
    {.name = "max_age", .type = MLN_FIELD_DURATION, .help = "How old a person's sign-in at the provider may be."},
    {.name = "verbose_oidc_logging", .type = MLN_FIELD_BOOL, .help = "Kept; claims are never logged."},
    {.name = "oauth2_metadata", .type = MLN_FIELD_LIST, .help = "Not supported."},
    {.name = "oidc_disable_confirmation", .type = MLN_FIELD_BOOL, .help = "Kept for clients that set it."},
    {.name = "token_policies_template_claims", .type = MLN_FIELD_BOOL, .help = "Not supported."},
    MLN_TOKEN_FIELDS,
    {0},
};
static const struct mln_field login_fields[] = {
    {.name = "role", .type = MLN_FIELD_TEXT, .help = "The role; none is the configured default."},
    {.name = "jwt", .type = MLN_FIELD_SECRET, .help = "The signed token."},
    {0},
};
static const struct mln_field url_fields[] = {
    {.name = "role", .type = MLN_FIELD_TEXT, .help = "The role; none is the configured default."},
    {.name = "redirect_uri", .type = MLN_FIELD_TEXT, .help = "Where the browser comes back to."},
    {.name = "client_nonce", .type = MLN_FIELD_SECRET, .help = "Ties the two halves of a login to one client."},
    {0},
};
static const struct mln_field callback_fields[] = {
    {.name = "state", .type = MLN_FIELD_TEXT, .help = "As it was given with the URL.", .is_query = true},
    {.name = "code", .type = MLN_FIELD_SECRET, .help = "The provider's code.", .is_query = true},
    {.name = "id_token", .type = MLN_FIELD_SECRET, .help = "Not used.", .is_query = true},
    {.name = "client_nonce", .type = MLN_FIELD_SECRET, .help = "As it was given for the URL.", .is_query = true},
    {.name = "nonce", .type = MLN_FIELD_SECRET, .help = "Not used: it is in the state.", .is_query = true},
    {.name = "error", .type = MLN_FIELD_TEXT, .help = "The provider's refusal.", .is_query = true},
    {.name = "error_description", .type = MLN_FIELD_TEXT, .help = "Its words.", .is_query = true},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "config", .summary = "Configure where keys come from.", .fields = config_fields, .read = jwt_config_read,
     .write = jwt_config_write, .may_block = true, .controls = "IA-2,IA-8"},
    {.pattern = "role", .summary = "List roles.", .list = jwt_role_list},
    {.pattern = "role/{name}", .summary = "Make, read, change or delete a role.", .fields = role_fields, .read = jwt_role_read,
     .write = jwt_role_write, .remove = jwt_role_remove, .exists = jwt_role_exists, .controls = "AC-2,IA-8"},
    {.pattern = "login", .summary = "Log in with a signed token.", .fields = login_fields, .write = login_write, .is_open = true,
     .may_block = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-8"},
    {.pattern = "oidc/auth_url", .summary = "Begin a browser login.", .fields = url_fields, .write = jwt_auth_url, .is_open = true,
     .may_block = true, .controls = "IA-2"},
    {.pattern = "oidc/callback", .summary = "End a browser login.", .fields = callback_fields, .read = jwt_callback,
     .write = jwt_callback, .is_open = true, .may_block = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-8"},
    {.pattern = "oidc/poll", .summary = "Take the outcome of a browser login in mode direct.", .fields = callback_fields,
     .write = jwt_poll, .is_open = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-8"},
    {0},
};

const struct mln_engine mln_method_jwt = {
    .type = "jwt",
    .kind = MLN_MOUNT_AUTH,
    .summary = "Whoever brings a token that a known publisher signed.",
    .paths = paths,
    .start = start,
    .tick = jwt_tick,
    .tick_s = TICK_S,
    .renew_login = renew_login,
};
const struct mln_engine mln_method_oidc = {
    .type = "oidc",
    .kind = MLN_MOUNT_AUTH,
    .summary = "People who sign in at an OpenID Connect provider.",
    .paths = paths,
    .start = start,
    .tick = jwt_tick,
    .tick_s = TICK_S,
    .renew_login = renew_login,
};
