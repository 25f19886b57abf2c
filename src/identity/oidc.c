/* SPDX-License-Identifier: Apache-2.0 */
/* identity/oidc: the issuer, roles, tokens of the caller's entity, introspection, and what verifiers read without a token. */
#include "identity/oidc_priv.h"

#include "base/clock.h"

#define ROLE_TTL_S (24 * 3600)
#define CLIENT_ID  26 /* characters */

static struct mln_err issuer_of(struct mln_request *rq, const char **ret)
{
    const char *base = NULL;
    MLN_TRY(oidc_base(rq, &base));
    *ret = mln_text_format(rq->cx, "%s/v1/identity/oidc", base);
    return mln_cx_err(rq->cx);
}

/* ---- config ---- */

static struct mln_err write_config(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes issuer = mln_get_bytes(mln_field_of(rq, "issuer"));
    struct mln_value *row = mln_object(rq->cx);
    while (issuer.len > 0 && issuer.ptr[issuer.len - 1] == '/') {
        issuer.len--;
    }
    if (issuer.len > 0 && !oidc_is_issuer(issuer)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "invalid issuer, which must include only a scheme, host, and optional port "
                        "(e.g. https://example.com:8200)");
    }
    mln_put_bytes(rq->cx, row, "issuer", issuer);
    if (issuer.len > 0) {
        mln_reply_warn(rq, re,
                       "Tokens must be verified against the address that was set as issuer.");
    }
    return mln_txn_put_value(rq->cx, rq->txn, id_view(), MLN_BYTES("oidc/config"), row);
}

static struct mln_err read_config(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL;
    struct mln_err err =
        mln_txn_get_value(rq->cx, rq->txn, id_view(), MLN_BYTES("oidc/config"), &config);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    id_answer_text(rq, re, "issuer", mln_failed(err) ? "" : id_text(rq->cx, config, "issuer"));
    return mln_cx_err(rq->cx);
}

/* ---- roles ---- */

static struct mln_err check_role(struct mln_request *rq, const struct mln_value *role)
{
    const struct mln_value *key = NULL;
    struct mln_bytes name = mln_get_bytes(mln_get(role, "key"));
    if (name.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the key parameter is required");
    }
    struct mln_err err = oidc_key(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key \"%.64s\" does not exist",
                        mln_text_dup(rq->cx, name));
    }
    MLN_TRY(err);
    if (mln_get_int(mln_get(role, "ttl_s"), 0) >
        mln_get_int(mln_get(key, "verification_ttl_s"), 0)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "a role's token ttl cannot be longer than the verification_ttl of the key "
                        "it references");
    }
    return MLN_OK;
}

static struct mln_err write_role(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    const char *template = NULL;
    struct mln_bytes name, client_id, key = mln_get_bytes(mln_field_of(rq, "key"));
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(id_field_name(rq, "client_id", &client_id));
    struct mln_err err = oidc_get(rq, "role", name, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *role = old != NULL ? mln_value_dup(rq->cx, old) : mln_object(rq->cx);
    if (old == NULL) {
        char *id = mln_new(rq->cx, CLIENT_ID + 1);
        MLN_TRY(mln_cx_err(rq->cx));
        mln_random_base62(id, CLIENT_ID);
        mln_put_text(rq->cx, role, "client_id", id);
        mln_put_int(rq->cx, role, "ttl_s", ROLE_TTL_S);
        mln_put_text(rq->cx, role, "template", "");
    }
    if (key.len > 0) {
        mln_put_bytes(rq->cx, role, "key", key);
    }
    if (client_id.len > 0) {
        mln_put_bytes(rq->cx, role, "client_id", client_id);
    }
    MLN_TRY(oidc_put_seconds(rq, "ttl", role, "ttl_s"));
    MLN_TRY(oidc_field_template(rq, &template));
    if (template != NULL) {
        mln_put_text(rq->cx, role, "template", template);
    }
    MLN_TRY(check_role(rq, role));
    return oidc_put(rq, "role", name, role);
}

static struct mln_err read_role(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const same[] = {"client_id", "key", "template"};
    const struct mln_value *role = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(oidc_get(rq, "role", name, &role));
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(rq->cx, data, same[i], mln_get(role, same[i]));
    }
    mln_put(rq->cx, data, "ttl", mln_get(role, "ttl_s"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err delete_role(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    return oidc_delete(rq, "role", name);
}

static struct mln_err list_roles(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    MLN_TRY(oidc_names(rq, "role", &names));
    return id_answer_list(rq, re, names, NULL);
}

/* ---- tokens ---- */

static struct mln_err role_key(struct mln_request *rq, struct mln_bytes name,
                               const struct mln_value **ret_role, const struct mln_value **ret_key)
{
    struct mln_err err = oidc_get(rq, "role", name, ret_role);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role \"%.64s\" not found",
                        mln_text_dup(rq->cx, name));
    }
    MLN_TRY(err);
    err = oidc_get(rq, "key", mln_get_bytes(mln_get(*ret_role, "key")), ret_key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key \"%.64s\" not found",
                        id_text(rq->cx, *ret_role, "key"));
    }
    MLN_TRY(err);
    return oidc_allows(mln_get(*ret_key, "allowed_client_ids"),
                       mln_get_bytes(mln_get(*ret_role, "client_id")))
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "the key \"%.64s\" does not list the client ID of the role \"%.64s\" as "
                          "an allowed client ID",
                          id_text(rq->cx, *ret_role, "key"), mln_text_dup(rq->cx, name));
}

static struct mln_err make_token(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *role = NULL, *key = NULL, *person = NULL;
    struct mln_value *claims = mln_object(cx), *data = mln_object(cx);
    const char *issuer = NULL, *token = NULL;
    struct mln_bytes name;
    if (rq->actor->entity_id[0] == 0) {
        return mln_fail(cx, MLN_E_INVALID, "no entity associated with the request's token");
    }
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(role_key(rq, name, &role, &key));
    MLN_TRY(rq->services->entity(rq, rq->actor->entity_id, &person));
    MLN_TRY(issuer_of(rq, &issuer));
    int64_t now_s = rq->now_ns / OIDC_SECOND_NS,
            ttl_s = mln_get_int(mln_get(role, "ttl_s"), ROLE_TTL_S);
    mln_put(cx, claims, "aud", mln_get(role, "client_id"));
    mln_put_int(cx, claims, "exp", now_s + ttl_s);
    mln_put_int(cx, claims, "iat", now_s);
    mln_put_text(cx, claims, "iss", issuer);
    mln_put_text(cx, claims, "namespace", "root");
    mln_put_text(cx, claims, "sub", rq->actor->entity_id);
    MLN_TRY(oidc_claims(rq, id_text(cx, role, "template"), person, claims));
    MLN_TRY(oidc_sign(rq, key, claims, &token));
    mln_put(cx, data, "client_id", mln_get(role, "client_id"));
    mln_put(cx, data, "token", mln_secret_string(cx, mln_bytes_of(token)));
    mln_put_int(cx, data, "ttl", ttl_s);
    mln_put(cx, rq->detail, "role", mln_field_of(rq, "name"));
    re->data = data;
    return mln_cx_err(cx);
}

/* Names of keys that roles use. */
static struct mln_err published(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *roles = NULL, *role = NULL;
    struct mln_value *names = mln_set(rq->cx);
    MLN_TRY(oidc_names(rq, "role", &roles));
    for (size_t i = 0; i < mln_len(roles); i++) {
        MLN_TRY(oidc_get(rq, "role", mln_get_bytes(mln_item(roles, i)), &role));
        mln_push(rq->cx, names, mln_get(role, "key"));
    }
    *ret = names;
    return mln_cx_err(rq->cx);
}

/* Why a token is not active; NULL when it is. */
static struct mln_err judge(struct mln_request *rq, const char **ret_why)
{
    struct mln_jose_token token;
    const struct mln_value *names = NULL, *jwks = NULL, *person = NULL;
    struct mln_bytes client_id = mln_get_bytes(mln_field_of(rq, "client_id"));
    const char *issuer = NULL;
    MLN_TRY(published(rq, &names));
    MLN_TRY(oidc_jwks(rq, names, &jwks));
    MLN_TRY(issuer_of(rq, &issuer));
    struct mln_err err = mln_jose_parse(rq->cx, mln_get_bytes(mln_field_of(rq, "token")), &token);
    err = mln_failed(err) ? err : mln_jose_verify_set(rq->cx, jwks, &token);
    if (mln_failed(err)) {
        mln_cx_clear(rq->cx);
        *ret_why = "unable to validate the token signature";
        return MLN_OK;
    }
    int64_t now_s = rq->now_ns / OIDC_SECOND_NS;
    if (!mln_is_text(mln_get(token.claims, "iss"), issuer)) {
        *ret_why = "unable to validate the token issuer";
    } else if (mln_get_int(mln_get(token.claims, "exp"), 0) <= now_s) {
        *ret_why = "token is expired";
    } else if (client_id.len > 0 &&
               !mln_bytes_eq(mln_get_bytes(mln_get(token.claims, "aud")), client_id)) {
        *ret_why = "the token is for another audience";
    } else {
        err = rq->services->entity(rq, id_text(rq->cx, token.claims, "sub"), &person);
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
        mln_cx_clear(rq->cx);
        bool is_off = mln_failed(err) || mln_get_bool(mln_get(person, "disabled"), false);
        *ret_why = is_off ? "entity was not found or is disabled" : NULL;
    }
    return MLN_OK;
}

static struct mln_err introspect(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *bare = mln_object(rq->cx);
    const char *why = NULL;
    MLN_TRY(judge(rq, &why));
    mln_put_bool(rq->cx, bare, "active", why == NULL);
    if (why != NULL) {
        mln_put_text(rq->cx, bare, "error", why);
    }
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

/* ---- what verifiers read ---- */

static struct mln_err well_known_keys(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    MLN_TRY(published(rq, &names));
    return oidc_jwks(rq, names, &re->bare);
}

static const struct mln_value *texts(struct mln_cx *cx, const char *const *list)
{
    struct mln_value *out = mln_array(cx);
    for (; *list != NULL; list++) {
        mln_push_text(cx, out, *list);
    }
    return out;
}

static struct mln_err well_known_config(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const response[] = {"id_token", NULL}, *const subject[] = {"public", NULL};
    static const char *const algorithms[] = {"RS256", "RS384", "RS512", "ES256",
                                             "ES384", "ES512", "EdDSA", NULL};
    struct mln_value *bare = mln_object(rq->cx);
    const char *issuer = NULL;
    MLN_TRY(issuer_of(rq, &issuer));
    mln_put_text(rq->cx, bare, "issuer", issuer);
    mln_put_text(rq->cx, bare, "jwks_uri", mln_text_format(rq->cx, "%s/.well-known/keys", issuer));
    mln_put(rq->cx, bare, "response_types_supported", texts(rq->cx, response));
    mln_put(rq->cx, bare, "subject_types_supported", texts(rq->cx, subject));
    mln_put(rq->cx, bare, "id_token_signing_alg_values_supported", texts(rq->cx, algorithms));
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

static const struct mln_field config_fields[] = {
    {.name = "issuer",
     .type = MLN_FIELD_TEXT,
     .help = "Scheme, host and port that tokens name; the server's own address when empty."},
    {0}};
static const struct mln_field role_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The role's name."},
    {.name = "key", .type = MLN_FIELD_TEXT, .help = "The key that signs."},
    {.name = "template",
     .type = MLN_FIELD_TEXT,
     .help = "JSON of further claims, with templates; plain or base64."},
    {.name = "ttl", .type = MLN_FIELD_DURATION, .help = "How long tokens live; a day by default."},
    {.name = "client_id",
     .type = MLN_FIELD_TEXT,
     .help = "Audience of tokens; made up when absent."},
    {0},
};
static const struct mln_field name_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The role's name."}, {0}};
static const struct mln_field introspect_fields[] = {
    {.name = "token", .type = MLN_FIELD_SECRET, .help = "The token to judge."},
    {.name = "client_id", .type = MLN_FIELD_TEXT, .help = "The audience that it must have."},
    {0},
};

const struct mln_path id_oidc_paths[] = {
    {.pattern = "oidc/config",
     .summary = "The issuer.",
     .fields = config_fields,
     .read = read_config,
     .write = write_config},
    {.pattern = "oidc/role", .summary = "List roles.", .list = list_roles},
    {.pattern = "oidc/role/{name}",
     .summary = "A role: key, claims and life of tokens.",
     .fields = role_fields,
     .read = read_role,
     .write = write_role,
     .remove = delete_role},
    {.pattern = "oidc/token/{name}",
     .summary = "A token that says who the caller is.",
     .fields = name_fields,
     .read = make_token,
     .write = make_token,
     .controls = "IA-2"},
    {.pattern = "oidc/introspect",
     .summary = "Is a token active?",
     .fields = introspect_fields,
     .write = introspect},
    {.pattern = "oidc/.well-known/keys",
     .summary = "Keys that verify tokens.",
     .read = well_known_keys,
     .is_open = true},
    {.pattern = "oidc/.well-known/openid-configuration",
     .summary = "Discovery.",
     .read = well_known_config,
     .is_open = true},
    {0},
};
