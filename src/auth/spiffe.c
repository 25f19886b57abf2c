/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins with a SPIFFE identity: the X.509-SVID of the TLS connection, or a JWT-SVID in the request. The engine at spiffe/ says whose
 * it is; a role says which ids it takes and what they become. Rows: "role/<name>", "config".
 */
#include "auth/rows.h"
#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/spiffe_id.h"
#include "base/text.h"

#define PATTERNS_MAX  256u
#define AUDIENCES_MAX 16u
#define AUDIENCE      "merlon" /* of JWT-SVIDs when nothing else is said */

/* ---- roles ---- */

static struct mln_bytes role_key(struct mln_request *rq, const char *name)
{
    return mln_bytes_format(rq->cx, "role/%s", name);
}

static struct mln_err name_of(struct mln_request *rq, const char *field, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, field));
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        name.len == 0 ? "missing role" : "the role's name is too long");
    }
    return mln_method_fold(rq, "role", name, ret);
}

static struct mln_err role_of(struct mln_request *rq, const char *name,
                              const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, role_key(rq, name), ret);
}

static struct mln_err check_patterns(struct mln_request *rq, const struct mln_value *patterns)
{
    if (mln_type_of(patterns) != MLN_ARRAY || mln_len(patterns) == 0 ||
        mln_len(patterns) > PATTERNS_MAX) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "bound_ids must be given: 1 to %u patterns like spiffe://example.org/ns/*/sa/web",
            PATTERNS_MAX);
    }
    for (size_t i = 0; i < mln_len(patterns); i++) {
        MLN_TRY(mln_spiffe_pattern_check(rq->cx, mln_get_bytes(mln_item(patterns, i))));
    }
    return MLN_OK;
}

static struct mln_err role_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *old = NULL, *patterns = mln_field_of(rq, "bound_ids");
    (void)re;
    MLN_TRY(name_of(rq, "name", &name));
    struct mln_err err = role_of(rq, name, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *role = mln_failed(err) ? mln_object(rq->cx) : mln_value_dup(rq->cx, old);
    if (patterns != NULL) {
        mln_put(rq->cx, role, "bound_ids", patterns);
    }
    MLN_TRY(check_patterns(rq, mln_get(role, "bound_ids")));
    MLN_TRY(mln_token_fields_take(rq, role));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, role_key(rq, name), role);
}

static struct mln_err role_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(name_of(rq, "name", &name));
    MLN_TRY(role_of(rq, name, &role));
    mln_put(rq->cx, data, "bound_ids", mln_get(role, "bound_ids"));
    mln_token_fields_print(rq->cx, role, data);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err role_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    (void)re;
    MLN_TRY(name_of(rq, "name", &name));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, role_key(rq, name));
}

static struct mln_err role_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_method_list(rq, re, MLN_BYTES("role/"));
}

static struct mln_err role_exists(struct mln_request *rq, bool *ret)
{
    const char *name = NULL;
    const struct mln_value *role = NULL;
    MLN_TRY(name_of(rq, "name", &name));
    struct mln_err err = role_of(rq, name, &role);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

/* ---- config ---- */

static struct mln_err audiences_of(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *row = NULL;
    struct mln_err err =
        mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        struct mln_value *usual = mln_array(rq->cx);
        mln_push_text(rq->cx, usual, AUDIENCE);
        *ret = usual;
        return mln_cx_err(rq->cx);
    }
    MLN_TRY(err);
    *ret = mln_get(row, "audiences");
    return MLN_OK;
}

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *audiences = mln_field_of(rq, "audiences");
    struct mln_value *row = mln_object(rq->cx);
    (void)re;
    if (mln_type_of(audiences) != MLN_ARRAY || mln_len(audiences) == 0 ||
        mln_len(audiences) > AUDIENCES_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "audiences must be given: 1 to %u names of this server", AUDIENCES_MAX);
    }
    mln_put(rq->cx, row, "audiences", audiences);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("config"), row);
}

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *audiences = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(audiences_of(rq, &audiences));
    mln_put(rq->cx, data, "audiences", audiences);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- login ---- */

/* Why an identity is not taken is for the log: who asks learns only that. */
static struct mln_err refuse(struct mln_request *rq, const char *why)
{
    const char *own = mln_text_dup(rq->cx, mln_bytes_of(why));
    return mln_refail(rq->cx, MLN_E_BAD_LOGIN, "%s", own);
}

static struct mln_err who(struct mln_request *rq, const char **ret_id, const char **ret_domain)
{
    const struct mln_value *svid = mln_field_of(rq, "svid"), *audiences = NULL;
    struct mln_value *ask = mln_object(rq->cx);
    struct mln_reply re = {0};
    if (mln_len(svid) > 0) {
        MLN_TRY(audiences_of(rq, &audiences));
        mln_put(rq->cx, ask, "svid", svid);
        mln_put(rq->cx, ask, "audience", audiences);
    } else if (rq->client_certs != NULL) {
        mln_put(rq->cx, ask, "certs", rq->client_certs);
    } else {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN,
                        "give a JWT-SVID as svid, or show an X.509-SVID as TLS client certificate");
    }
    struct mln_err err = rq->services->call(rq, MLN_OP_WRITE, "spiffe/verify", ask, &re);
    if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_FORGED) || mln_is(err, MLN_E_DENIED) ||
        mln_is(err, MLN_E_PARSE) || mln_is(err, MLN_E_UNSUPPORTED)) {
        return refuse(rq, rq->cx->text);
    }
    MLN_TRY(err);
    *ret_id = mln_get_text(rq->cx, mln_get(re.data, "spiffe_id"), "");
    *ret_domain = mln_get_text(rq->cx, mln_get(re.data, "trust_domain"), "");
    return mln_cx_err(rq->cx);
}

static bool takes(const struct mln_value *role, const char *id)
{
    const struct mln_value *patterns = mln_get(role, "bound_ids");
    for (size_t i = 0; i < mln_len(patterns); i++) {
        if (mln_spiffe_pattern_fits(mln_get_bytes(mln_item(patterns, i)), mln_bytes_of(id))) {
            return true;
        }
    }
    return false;
}

/* The role that was asked for, else the first by name that takes the id. */
static struct mln_err find_role(struct mln_request *rq, const char *id, const char **ret_name,
                                const struct mln_value **ret)
{
    const struct mln_value *names = NULL, *role = NULL;
    if (mln_len(mln_field_of(rq, "role")) > 0) {
        MLN_TRY(name_of(rq, "role", ret_name));
        struct mln_err err = role_of(rq, *ret_name, ret);
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
        return !mln_failed(err) && takes(*ret, id)
                   ? MLN_OK
                   : refuse(rq, "the role does not take this identity");
    }
    struct mln_err err = mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("role/"), &names);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    for (size_t i = 0; !mln_failed(err) && i < mln_len(names); i++) {
        const char *name = mln_get_text(rq->cx, mln_item(names, i), "");
        MLN_TRY(role_of(rq, name, &role));
        if (takes(role, id)) {
            *ret_name = name;
            *ret = role;
            return mln_cx_err(rq->cx);
        }
    }
    return refuse(rq, "no role takes this identity");
}

static struct mln_err login(struct mln_request *rq, struct mln_reply *re)
{
    const char *id = NULL, *domain = NULL, *name = NULL;
    const struct mln_value *role = NULL;
    struct mln_login *out = MLN_NEW(rq->cx, struct mln_login);
    struct mln_value *meta = mln_object(rq->cx), *internal = mln_object(rq->cx);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(who(rq, &id, &domain));
    MLN_TRY(find_role(rq, id, &name, &role));
    if (!mln_token_fields_from(rq, role)) {
        return refuse(rq, "the role takes no logins from this address");
    }
    mln_put_text(rq->cx, meta, "spiffe_id", id);
    mln_put_text(rq->cx, meta, "trust_domain", domain);
    mln_put_text(rq->cx, meta, "role", name);
    mln_put_text(rq->cx, internal, "role", name);
    mln_put_text(rq->cx, internal, "spiffe_id", id);
    mln_put_text(rq->cx, rq->detail, "spiffe_id", id);
    mln_put_text(rq->cx, rq->detail, "role", name);
    *out = (struct mln_login){
        .alias = id, .display_name = id, .meta = meta, .alias_meta = meta, .internal = internal};
    mln_token_fields_login(rq, role, out);
    re->login = out;
    return mln_cx_err(rq->cx);
}

/* The role must be there and still take the identity. */
static struct mln_err renew(struct mln_request *rq, const struct mln_value *internal,
                            struct mln_login *out)
{
    const struct mln_value *role = NULL;
    const char *name = mln_get_text(rq->cx, mln_get(internal, "role"), ""),
               *id = mln_get_text(rq->cx, mln_get(internal, "spiffe_id"), "");
    struct mln_err err = role_of(rq, name, &role);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && !takes(role, id))) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "the role is gone or does not take this identity any more");
    }
    MLN_TRY(err);
    return mln_token_fields_renew(rq, role, out);
}

/* ---- the descriptor ---- */

static const struct mln_field role_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The role's name."},
    {.name = "bound_ids",
     .type = MLN_FIELD_LIST,
     .help = "Patterns of SPIFFE ids: spiffe://example.org/ns/*/sa/web, or .../** for all below."},
    MLN_TOKEN_FIELDS,
    {0},
};
static const struct mln_field config_fields[] = {
    {.name = "audiences",
     .type = MLN_FIELD_LIST,
     .help = "Whom JWT-SVIDs may be for; \"merlon\" when nothing is said."},
    {0},
};
static const struct mln_field login_fields[] = {
    {.name = "role",
     .type = MLN_FIELD_TEXT,
     .help = "The role; the first that takes the identity when absent."},
    {.name = "svid",
     .type = MLN_FIELD_SECRET,
     .help = "A JWT-SVID; the TLS client certificate counts when absent."},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "login",
     .summary = "Log in with an X.509-SVID or a JWT-SVID.",
     .fields = login_fields,
     .write = login,
     .is_open = true,
     .may_block = true,
     .act = MLN_ACT_LOGIN,
     .controls = "IA-2,IA-9"},
    {.pattern = "role", .summary = "List roles.", .list = role_list},
    {.pattern = "role/{name}",
     .summary = "Which identities log in, and what they become.",
     .fields = role_fields,
     .read = role_read,
     .write = role_write,
     .remove = role_remove,
     .exists = role_exists,
     .controls = "AC-2"},
    {.pattern = "config",
     .summary = "Whom JWT-SVIDs may be for.",
     .fields = config_fields,
     .read = config_read,
     .write = config_write},
    {0},
};

const struct mln_engine mln_method_spiffe = {
    .type = "spiffe",
    .kind = MLN_MOUNT_AUTH,
    .summary = "SPIFFE identities: X.509-SVIDs and JWT-SVIDs.",
    .paths = paths,
    .renew_login = renew,
};
