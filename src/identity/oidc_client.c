/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an administrator sets up for the OIDC provider: assignments (who may log in), scopes (templates of claims), clients
 * (applications) and providers. "allow_all" and the provider "default" are there without rows.
 */
#include "identity/oidc_provider_priv.h"

#include "base/clock.h"

#define CLIENT_ID_CHARS     32
#define CLIENT_SECRET_CHARS 64
#define TTL_S               (24 * 3600)

/* ---- assignments ---- */

struct mln_err oidc_assignment(struct mln_request *rq, struct mln_bytes name,
                               const struct mln_value **ret)
{
    if (!mln_bytes_is(name, "allow_all")) {
        return oidc_get(rq, "assignment", name, ret);
    }
    struct mln_value *all = mln_object(rq->cx), *any = mln_array(rq->cx);
    mln_push_text(rq->cx, any, "*");
    mln_put(rq->cx, all, "entity_ids", any);
    mln_put(rq->cx, all, "group_ids", any);
    *ret = all;
    return mln_cx_err(rq->cx);
}

static struct mln_err write_assignment(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    if (mln_bytes_is(name, "allow_all")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "modification of assignment \"allow_all\" not allowed");
    }
    struct mln_err err = oidc_get(rq, "assignment", name, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *row = mln_failed(err) ? mln_object(rq->cx) : mln_value_dup(rq->cx, old);
    if (mln_failed(err)) {
        mln_put(rq->cx, row, "entity_ids", mln_array(rq->cx));
        mln_put(rq->cx, row, "group_ids", mln_array(rq->cx));
    }
    MLN_TRY(oidc_put_list(rq, "entity_ids", row));
    MLN_TRY(oidc_put_list(rq, "group_ids", row));
    return oidc_put(rq, "assignment", name, row);
}

static struct mln_err read_assignment(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    return oidc_assignment(rq, name, &re->data);
}

static struct mln_err delete_assignment(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    return mln_bytes_is(name, "allow_all")
               ? mln_fail(rq->cx, MLN_E_INVALID, "deletion of assignment \"allow_all\" not allowed")
               : oidc_delete(rq, "assignment", name);
}

static struct mln_err list_with(struct mln_request *rq, struct mln_reply *re, const char *kind,
                                const char *builtin)
{
    const struct mln_value *names = NULL;
    struct mln_value *all = mln_array(rq->cx);
    MLN_TRY(oidc_names(rq, kind, &names));
    if (builtin != NULL && !id_has(names, mln_bytes_of(builtin))) {
        mln_push_text(rq->cx, all, builtin);
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        mln_push(rq->cx, all, mln_item(names, i));
    }
    return id_answer_list(rq, re, all, NULL);
}

static struct mln_err list_assignments(struct mln_request *rq, struct mln_reply *re)
{
    return list_with(rq, re, "assignment", "allow_all");
}

/* ---- scopes ---- */

static struct mln_err write_scope(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *row = mln_object(rq->cx);
    const char *template = NULL;
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    if (mln_bytes_is(name, "openid")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the \"openid\" scope name is reserved");
    }
    MLN_TRY(oidc_field_template(rq, &template));
    mln_put_text(rq->cx, row, "template", template != NULL ? template : "");
    mln_put_text(rq->cx, row, "description",
                 mln_get_text(rq->cx, mln_field_of(rq, "description"), ""));
    return oidc_put(rq, "scope", name, row);
}

static struct mln_err read_scope(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    return oidc_get(rq, "scope", name, &re->data);
}

static struct mln_err delete_scope(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL, *provider = NULL;
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(oidc_names(rq, "provider", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(oidc_get(rq, "provider", mln_get_bytes(mln_item(names, i)), &provider));
        if (id_has(mln_get(provider, "scopes_supported"), name)) {
            return mln_fail(
                rq->cx, MLN_E_INVALID,
                "unable to delete scope \"%.64s\" because it is currently referenced by a provider",
                mln_text_dup(rq->cx, name));
        }
    }
    return oidc_delete(rq, "scope", name);
}

static struct mln_err list_scopes(struct mln_request *rq, struct mln_reply *re)
{
    return list_with(rq, re, "scope", NULL);
}

/* ---- clients ---- */

struct mln_err oidc_client_by_id(struct mln_request *rq, struct mln_bytes id,
                                 const struct mln_value **ret)
{
    const struct mln_value *name = NULL;
    if (id.len == 0 || id.len > MLN_NAME_MAX_BYTES) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    MLN_TRY(oidc_get(rq, "client-id", id, &name));
    return oidc_get(rq, "client", mln_get_bytes(name), ret);
}

static const char *letters(struct mln_cx *cx, const char *prefix, size_t n)
{
    char *text = mln_new(cx, n + 1);
    if (text == NULL) {
        return "";
    }
    mln_random_base62(text, n);
    return mln_text_format(cx, "%s%s", prefix, text);
}

static struct mln_value *new_client(struct mln_request *rq, const char *type)
{
    struct mln_value *c = mln_object(rq->cx);
    mln_put_text(rq->cx, c, "client_id", letters(rq->cx, "", CLIENT_ID_CHARS));
    if (mln_bytes_is(mln_bytes_of(type), "confidential")) {
        const char *secret = letters(rq->cx, "hvo_secret_", CLIENT_SECRET_CHARS);
        mln_put(rq->cx, c, "client_secret", mln_secret_string(rq->cx, mln_bytes_of(secret)));
    }
    mln_put_text(rq->cx, c, "client_type", type);
    mln_put_text(rq->cx, c, "key", "default");
    mln_put(rq->cx, c, "redirect_uris", mln_array(rq->cx));
    mln_put(rq->cx, c, "assignments", mln_array(rq->cx));
    mln_put_int(rq->cx, c, "id_token_ttl", TTL_S);
    mln_put_int(rq->cx, c, "access_token_ttl", TTL_S);
    return c;
}

static struct mln_err check_client(struct mln_request *rq, const struct mln_value *c)
{
    const struct mln_value *key = NULL, *names = mln_get(c, "assignments"), *row = NULL;
    struct mln_err err = oidc_key(rq, mln_get_bytes(mln_get(c, "key")), &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key \"%.64s\" does not exist",
                        id_text(rq->cx, c, "key"));
    }
    MLN_TRY(err);
    if (mln_get_int(mln_get(c, "id_token_ttl"), 0) >
        mln_get_int(mln_get(key, "verification_ttl_s"), 0)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "a client's id_token_ttl cannot be greater than the verification_ttl of "
                        "the key it references");
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        err = oidc_assignment(rq, mln_get_bytes(mln_item(names, i)), &row);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "assignment \"%.64s\" does not exist",
                            mln_get_text(rq->cx, mln_item(names, i), ""));
        }
        MLN_TRY(err);
    }
    return MLN_OK;
}

static struct mln_err write_client(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    const char *type = mln_get_text(rq->cx, mln_field_of(rq, "client_type"), "");
    struct mln_bytes name, key = mln_get_bytes(mln_field_of(rq, "key"));
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    struct mln_err err = oidc_get(rq, "client", name, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (type[0] != 0 && !mln_bytes_is(mln_bytes_of(type), "confidential") &&
        !mln_bytes_is(mln_bytes_of(type), "public")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid client_type \"%.32s\"", type);
    }
    if (old != NULL && ((type[0] != 0 && !mln_is_text(mln_get(old, "client_type"), type)) ||
                        (key.len > 0 && !mln_bytes_eq(mln_get_bytes(mln_get(old, "key")), key)))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "client_type and key modification is not allowed");
    }
    struct mln_value *c = old != NULL ? mln_value_dup(rq->cx, old)
                                      : new_client(rq, type[0] != 0 ? type : "confidential");
    if (key.len > 0) {
        mln_put_bytes(rq->cx, c, "key", key);
    }
    MLN_TRY(oidc_put_list(rq, "redirect_uris", c));
    MLN_TRY(oidc_put_list(rq, "assignments", c));
    MLN_TRY(oidc_put_seconds(rq, "id_token_ttl", c, "id_token_ttl"));
    MLN_TRY(oidc_put_seconds(rq, "access_token_ttl", c, "access_token_ttl"));
    MLN_TRY(check_client(rq, c));
    mln_put(rq->cx, rq->detail, "client", mln_get(c, "client_id"));
    MLN_TRY(oidc_put(rq, "client-id", mln_get_bytes(mln_get(c, "client_id")),
                     mln_string(rq->cx, name)));
    return oidc_put(rq, "client", name, c);
}

static struct mln_err read_client(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    return oidc_get(rq, "client", name, &re->data);
}

static struct mln_err delete_client(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    struct mln_err err = oidc_get(rq, "client", name, &old);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    MLN_TRY(oidc_delete(rq, "client-id", mln_get_bytes(mln_get(old, "client_id"))));
    return oidc_delete(rq, "client", name);
}

static struct mln_err list_clients(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL, *c = NULL;
    struct mln_value *info = mln_object(rq->cx);
    MLN_TRY(oidc_names(rq, "client", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(oidc_get(rq, "client", mln_get_bytes(mln_item(names, i)), &c));
        struct mln_value *shown = mln_value_dup(rq->cx, c);
        mln_remove(shown, MLN_BYTES("client_secret"));
        mln_put_key(rq->cx, info, mln_get_bytes(mln_item(names, i)), shown);
    }
    return id_answer_list(rq, re, names, info);
}

/* ---- providers ---- */

struct mln_err oidc_provider(struct mln_request *rq, struct mln_bytes name,
                             const struct mln_value **ret)
{
    struct mln_err err = oidc_get(rq, "provider", name, ret);
    if (!mln_is(err, MLN_E_NOT_FOUND) || !mln_bytes_is(name, "default")) {
        return err;
    }
    struct mln_value *p = mln_object(rq->cx), *all = mln_array(rq->cx);
    mln_push_text(rq->cx, all, "*");
    mln_put_text(rq->cx, p, "issuer", "");
    mln_put(rq->cx, p, "allowed_client_ids", all);
    mln_put(rq->cx, p, "scopes_supported", mln_array(rq->cx));
    *ret = p;
    return mln_cx_err(rq->cx);
}

struct mln_err oidc_provider_issuer(struct mln_request *rq, struct mln_bytes name,
                                    const struct mln_value *provider, const char **ret)
{
    const char *base = id_text(rq->cx, provider, "issuer");
    base = base[0] != 0 ? base : rq->services->address(rq);
    *ret = mln_text_format(rq->cx, "%s/v1/identity/oidc/provider/%.*s", base, MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err write_provider(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL, *scopes = mln_field_of(rq, "scopes_supported"),
                           *scope = NULL;
    struct mln_bytes name, issuer = mln_get_bytes(mln_field_of(rq, "issuer"));
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    struct mln_err err = oidc_provider(rq, name, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *p = old != NULL ? mln_value_dup(rq->cx, old) : mln_object(rq->cx);
    if (old == NULL) {
        mln_put_text(rq->cx, p, "issuer", "");
        mln_put(rq->cx, p, "allowed_client_ids", mln_array(rq->cx));
        mln_put(rq->cx, p, "scopes_supported", mln_array(rq->cx));
    }
    if (issuer.len > 0 && !oidc_is_issuer(issuer)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "invalid issuer, which must include only a scheme, host, and optional port "
                        "(e.g. https://example.com:8200)");
    }
    if (issuer.len > 0) {
        mln_put_bytes(rq->cx, p, "issuer", issuer);
    }
    for (size_t i = 0; i < mln_len(scopes); i++) {
        err = oidc_get(rq, "scope", mln_get_bytes(mln_item(scopes, i)), &scope);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "scope \"%.64s\" does not exist",
                            mln_get_text(rq->cx, mln_item(scopes, i), ""));
        }
        MLN_TRY(err);
    }
    MLN_TRY(oidc_put_list(rq, "scopes_supported", p));
    MLN_TRY(oidc_put_list(rq, "allowed_client_ids", p));
    return oidc_put(rq, "provider", name, p);
}

static struct mln_err read_provider(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *p = NULL;
    const char *issuer = NULL;
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(oidc_provider(rq, name, &p));
    MLN_TRY(oidc_provider_issuer(rq, name, p, &issuer));
    struct mln_value *data = mln_value_dup(rq->cx, p);
    mln_put_text(rq->cx, data, "issuer", issuer);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err delete_provider(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    return mln_bytes_is(name, "default")
               ? mln_fail(rq->cx, MLN_E_INVALID,
                          "deletion of OIDC provider \"default\" not allowed")
               : oidc_delete(rq, "provider", name);
}

static struct mln_err list_providers(struct mln_request *rq, struct mln_reply *re)
{
    return list_with(rq, re, "provider", "default");
}

/* ---- the table ---- */

#define NAME                                                                                       \
    {                                                                                              \
        .name = "name", .type = MLN_FIELD_TEXT, .help = "Its name."                                \
    }

static const struct mln_field assignment_fields[] = {
    NAME,
    {.name = "entity_ids",
     .type = MLN_FIELD_LIST,
     .help = "Entities that may log in; \"*\" is all."},
    {.name = "group_ids", .type = MLN_FIELD_LIST, .help = "Groups whose members may."},
    {0},
};
static const struct mln_field scope_fields[] = {
    NAME,
    {.name = "template",
     .type = MLN_FIELD_TEXT,
     .help = "JSON of claims, with templates; plain or base64."},
    {.name = "description", .type = MLN_FIELD_TEXT, .help = "A line for people."},
    {0},
};
static const struct mln_field client_fields[] = {
    NAME,
    {.name = "key", .type = MLN_FIELD_TEXT, .help = "The key that signs; \"default\"."},
    {.name = "redirect_uris", .type = MLN_FIELD_LIST, .help = "Where codes may be sent."},
    {.name = "assignments",
     .type = MLN_FIELD_LIST,
     .help = "Who may log in: nobody without one; \"allow_all\"."},
    {.name = "client_type", .type = MLN_FIELD_TEXT, .help = "\"confidential\" or \"public\"."},
    {.name = "id_token_ttl", .type = MLN_FIELD_DURATION, .help = "A day by default."},
    {.name = "access_token_ttl", .type = MLN_FIELD_DURATION, .help = "A day by default."},
    {0},
};
static const struct mln_field provider_fields[] = {
    NAME,
    {.name = "issuer",
     .type = MLN_FIELD_TEXT,
     .help = "Scheme, host and port; the server's own address when empty."},
    {.name = "allowed_client_ids",
     .type = MLN_FIELD_LIST,
     .help = "Clients that may use it; \"*\" is all."},
    {.name = "scopes_supported", .type = MLN_FIELD_LIST, .help = "Scopes besides openid."},
    {0},
};

const struct mln_path id_oidc_client_paths[] = {
    {.pattern = "oidc/assignment", .summary = "List assignments.", .list = list_assignments},
    {.pattern = "oidc/assignment/{name}",
     .summary = "Who may log in.",
     .fields = assignment_fields,
     .read = read_assignment,
     .write = write_assignment,
     .remove = delete_assignment},
    {.pattern = "oidc/scope", .summary = "List scopes.", .list = list_scopes},
    {.pattern = "oidc/scope/{name}",
     .summary = "Claims of a scope.",
     .fields = scope_fields,
     .read = read_scope,
     .write = write_scope,
     .remove = delete_scope},
    {.pattern = "oidc/client", .summary = "List clients.", .list = list_clients},
    {.pattern = "oidc/client/{name}",
     .summary = "An application.",
     .fields = client_fields,
     .read = read_client,
     .write = write_client,
     .remove = delete_client,
     .may_block = true},
    {.pattern = "oidc/provider", .summary = "List providers.", .list = list_providers},
    {.pattern = "oidc/provider/{name}",
     .summary = "A provider.",
     .fields = provider_fields,
     .read = read_provider,
     .write = write_provider,
     .remove = delete_provider},
    {0},
};
