/* SPDX-License-Identifier: Apache-2.0 */
/* AppRole: logins and the descriptor. What is kept where: approle_priv.h. */
#include "auth/approle_priv.h"

#include "base/clock.h"
#include "crypto/crypto.h"

#define TICK_S 300 /* expired secret ids are refused at once; this only frees their rows */

/* ---- rows that all of it needs ---- */

struct mln_err approle_name(struct mln_request *rq, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "role_name"));
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, name.len == 0 ? "missing role_name" : "role_name is too long");
    }
    return mln_method_fold(rq, "role", name, ret);
}

struct mln_err approle_load(struct mln_request *rq, const char *name, const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "role/%s", name), ret);
}

struct mln_err approle_need(struct mln_request *rq, const char **ret_name, const struct mln_value **ret)
{
    MLN_TRY(approle_name(rq, ret_name));
    struct mln_err err = approle_load(rq, *ret_name, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role \"%.*s\" does not exist", MLN_FMT(mln_bytes_of(*ret_name)));
    }
    return err;
}

struct mln_err approle_put(struct mln_request *rq, const char *name, const struct mln_value *role)
{
    mln_put_text(rq->cx, rq->detail, "role", name);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "role/%s", name), role);
}

struct mln_err approle_mac(struct mln_request *rq, struct mln_bytes id, const char **ret)
{
    uint8_t mac[MLN_SHA256_BYTES];
    struct mln_bytes key;
    MLN_TRY(mln_txn_get(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key"), &key));
    mln_hmac_sha256(key, id, mac);
    *ret = mln_hex_text(rq->cx, mln_bytes_at(mac, sizeof(mac)));
    return mln_cx_err(rq->cx);
}

const char *approle_text(struct mln_cx *cx, const struct mln_value *row, const char *member)
{
    return mln_get_text(cx, mln_get(row, member), "");
}

static struct mln_err start(struct mln_request *rq)
{
    uint8_t *key = mln_new(rq->cx, MLN_KEY_BYTES);
    if (key == NULL) {
        return mln_cx_err(rq->cx);
    }
    mln_random(key, MLN_KEY_BYTES);
    return mln_txn_put(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("key"), mln_bytes_at(key, MLN_KEY_BYTES));
}

/* ---- logins ---- */

static struct mln_err bad_login(struct mln_request *rq)
{
    return mln_refail(rq->cx, MLN_E_BAD_LOGIN, "invalid role or secret ID");
}

static struct mln_err role_by_id(struct mln_request *rq, struct mln_bytes role_id, const char **ret_name,
                                 const struct mln_value **ret)
{
    const char *mac = NULL;
    const struct mln_value *name = NULL;
    MLN_TRY(approle_mac(rq, role_id, &mac));
    struct mln_err err =
        mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "role-id/%s", mac), &name);
    if (!mln_failed(err)) {
        *ret_name = mln_get_text(rq->cx, name, "");
        err = approle_load(rq, *ret_name, ret);
    }
    return mln_is(err, MLN_E_NOT_FOUND) ? bad_login(rq) : err;
}

static struct mln_err wrong_place(struct mln_request *rq, const char *what)
{
    return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "source address \"%s\" unauthorized through CIDR restrictions on the %s",
                    rq->source, what);
}

/* The secret id that was given, if the role asks for one; one use of it is spent. */
static struct mln_err take_secret(struct mln_request *rq, const struct mln_value *role, const struct mln_value **ret)
{
    struct mln_bytes secret_id = mln_get_bytes(mln_field_of(rq, "secret_id"));
    if (!mln_get_bool(mln_get(role, "bind_secret_id"), true)) {
        return MLN_OK;
    }
    if (secret_id.len == 0) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "missing secret_id");
    }
    if (secret_id.len > APPROLE_ID_MAX) {
        return bad_login(rq);
    }
    MLN_TRY(approle_secret_find(rq, role, secret_id, ret));
    if (!mln_cidrs_have(mln_get(*ret, "cidr_list"), rq->source)) {
        return wrong_place(rq, "secret ID");
    }
    return approle_secret_use(rq, role, *ret);
}

static const struct mln_login *login_of(struct mln_request *rq, const char *name, const struct mln_value *role,
                                        const struct mln_value *secret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_login *login = MLN_NEW(cx, struct mln_login);
    const struct mln_value *given = mln_get(secret, "metadata"), *blocks = mln_get(secret, "token_bound_cidrs");
    struct mln_value *meta = mln_len(given) > 0 ? mln_value_dup(cx, given) : mln_object(cx), *internal = mln_object(cx);
    if (login == NULL) {
        return NULL;
    }
    mln_put_text(cx, meta, "role_name", name);
    mln_put_text(cx, internal, "role_name", name);
    *login = (struct mln_login){.alias = approle_text(cx, role, "role_id"), .display_name = "", .meta = meta, .internal = internal};
    mln_token_fields_login(rq, role, login);
    if (mln_len(blocks) > 0) {
        login->bound_cidrs = blocks;
    }
    return login;
}

static struct mln_err login_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes role_id = mln_get_bytes(mln_field_of(rq, "role_id"));
    const struct mln_value *role = NULL, *secret = NULL;
    const char *name = NULL;
    if (role_id.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing role_id");
    }
    if (role_id.len > APPROLE_ID_MAX) {
        return bad_login(rq);
    }
    MLN_TRY(mln_login_attempt(rq, mln_get_text(rq->cx, mln_field_of(rq, "role_id"), "")));
    MLN_TRY(role_by_id(rq, role_id, &name, &role));
    MLN_TRY(take_secret(rq, role, &secret));
    if (!mln_cidrs_have(mln_get(role, "secret_id_bound_cidrs"), rq->source)) {
        return wrong_place(rq, "role");
    }
    bool is_own = mln_len(mln_get(secret, "token_bound_cidrs")) > 0;
    if (is_own ? !mln_cidrs_have(mln_get(secret, "token_bound_cidrs"), rq->source) : !mln_token_fields_from(rq, role)) {
        return wrong_place(rq, "token");
    }
    mln_put_text(rq->cx, rq->detail, "role", name);
    if (secret != NULL) {
        mln_put(rq->cx, rq->detail, "secret_id_accessor", mln_get(secret, "accessor"));
    }
    re->login = login_of(rq, name, role, secret);
    return mln_cx_err(rq->cx);
}

static struct mln_err renew_login(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login)
{
    const struct mln_value *role = NULL;
    const char *name = approle_text(rq->cx, internal, "role_name");
    struct mln_err err = approle_load(rq, name, &role);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role \"%.*s\" does not exist during renewal", MLN_FMT(mln_bytes_of(name)));
    }
    MLN_TRY(err);
    return mln_token_fields_renew(rq, role, login);
}

static struct mln_err tidy(struct mln_request *rq, struct mln_reply *re)
{
    MLN_TRY(approle_tick(rq));
    re->status = 202;
    mln_reply_warn(rq, re,
                   "Tidy operation successfully started. Any information from the operation will be printed to the server's logs.");
    return mln_cx_err(rq->cx);
}

/* ---- the descriptor ---- */

#define FIELD_ROLE {.name = "role_name", .type = MLN_FIELD_TEXT, .help = "The role's name.", .is_query = true}
#define FIELD_SECRET_ID {.name = "secret_id", .type = MLN_FIELD_SECRET, .help = "A secret id."}
#define FIELDS_OF_SECRETS                                                                                                       \
    {.name = "bind_secret_id", .type = MLN_FIELD_BOOL, .help = "Logins need a secret id (the default)."},                       \
    {.name = "secret_id_bound_cidrs", .type = MLN_FIELD_LIST, .help = "Address blocks that may log in."},                       \
    {.name = "bound_cidr_list", .type = MLN_FIELD_LIST, .help = "Old name of secret_id_bound_cidrs."},                          \
    {.name = "secret_id_num_uses", .type = MLN_FIELD_INT, .help = "Logins that a secret id is good for; 0 is no limit."},       \
    {.name = "secret_id_ttl", .type = MLN_FIELD_DURATION, .help = "How long a secret id lives; 0 is for ever."},                \
    {.name = "local_secret_ids", .type = MLN_FIELD_BOOL, .help = "Secret ids stay on this cluster. Only at creation."}

static const struct mln_field role_fields[] = {
    FIELD_ROLE,
    {.name = "role_id", .type = MLN_FIELD_TEXT, .help = "Instead of a random one."},
    FIELDS_OF_SECRETS,
    MLN_TOKEN_FIELDS,
    {0},
};
static const struct mln_field one_fields[] = {FIELD_ROLE, FIELDS_OF_SECRETS, MLN_TOKEN_FIELDS, {0}};
static const struct mln_field id_fields[] = {FIELD_ROLE, {.name = "role_id", .type = MLN_FIELD_TEXT, .help = "The role's id."}, {0}};
static const struct mln_field make_fields[] = {
    FIELD_ROLE,
    FIELD_SECRET_ID,
    {.name = "metadata", .type = MLN_FIELD_ANY, .help = "Texts by name, as a JSON string; tokens carry them."},
    {.name = "cidr_list", .type = MLN_FIELD_LIST, .help = "Address blocks that may log in with it."},
    {.name = "token_bound_cidrs", .type = MLN_FIELD_LIST, .help = "Address blocks that may use its tokens."},
    {.name = "num_uses", .type = MLN_FIELD_INT, .help = "Logins that it is good for, at most the role's."},
    {.name = "ttl", .type = MLN_FIELD_DURATION, .help = "How long it lives, at most the role's."},
    {0},
};
static const struct mln_field secret_fields[] = {FIELD_ROLE, FIELD_SECRET_ID, {0}};
static const struct mln_field accessor_fields[] = {
    FIELD_ROLE, {.name = "secret_id_accessor", .type = MLN_FIELD_TEXT, .help = "A secret id's accessor."}, {0}};
static const struct mln_field login_fields[] = {
    {.name = "role_id", .type = MLN_FIELD_TEXT, .help = "The role's id."}, FIELD_SECRET_ID, {0}};

#define ONE_FIELD(segment)                                                                                                      \
    {.pattern = "role/{role_name}/" segment, .summary = "Read, change or reset this field of a role.", .fields = one_fields,    \
     .read = approle_field_read, .write = approle_field_write, .remove = approle_field_remove, .controls = "AC-2"}

static const struct mln_path paths[] = {
    {.pattern = "login", .summary = "Log in with a role id and a secret id.", .fields = login_fields, .write = login_write,
     .is_open = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-5"},
    {.pattern = "role", .summary = "List roles.", .list = approle_role_list},
    {.pattern = "role/{role_name}", .summary = "Make, read, change or delete a role.", .fields = role_fields,
     .read = approle_role_read, .write = approle_role_write, .remove = approle_role_remove, .exists = approle_role_exists,
     .controls = "AC-2,IA-5"},
    {.pattern = "role/{role_name}/role-id", .summary = "Read or set the role's id.", .fields = id_fields,
     .read = approle_role_id_read, .write = approle_role_id_write, .controls = "IA-4"},
    {.pattern = "role/{role_name}/secret-id", .summary = "Make a secret id; list accessors.", .fields = make_fields,
     .write = approle_secret_make, .list = approle_secret_list, .controls = "IA-5"},
    {.pattern = "role/{role_name}/custom-secret-id", .summary = "Take a secret id that someone made himself.",
     .fields = make_fields, .write = approle_secret_custom, .controls = "IA-5"},
    {.pattern = "role/{role_name}/secret-id/lookup", .summary = "Look at a secret id.", .fields = secret_fields,
     .write = approle_secret_lookup},
    {.pattern = "role/{role_name}/secret-id/destroy", .summary = "Destroy a secret id.", .fields = secret_fields,
     .write = approle_secret_destroy, .remove = approle_secret_destroy, .is_relief = true, .controls = "IA-5"},
    {.pattern = "role/{role_name}/secret-id-accessor/lookup", .summary = "Look at a secret id by its accessor.",
     .fields = accessor_fields, .write = approle_accessor_lookup},
    {.pattern = "role/{role_name}/secret-id-accessor/destroy", .summary = "Destroy a secret id by its accessor.",
     .fields = accessor_fields, .write = approle_accessor_destroy, .remove = approle_accessor_destroy, .is_relief = true,
     .controls = "IA-5"},
    ONE_FIELD("policies"),
    ONE_FIELD("local-secret-ids"),
    ONE_FIELD("bound-cidr-list"),
    ONE_FIELD("secret-id-bound-cidrs"),
    ONE_FIELD("token-bound-cidrs"),
    ONE_FIELD("bind-secret-id"),
    ONE_FIELD("secret-id-num-uses"),
    ONE_FIELD("secret-id-ttl"),
    ONE_FIELD("period"),
    ONE_FIELD("token-num-uses"),
    ONE_FIELD("token-ttl"),
    ONE_FIELD("token-max-ttl"),
    {.pattern = "tidy/secret-id", .summary = "Delete expired secret ids now.", .write = tidy, .is_relief = true},
    {0},
};

const struct mln_engine mln_method_approle = {
    .type = "approle",
    .kind = MLN_MOUNT_AUTH,
    .summary = "Machines that log in with a role id and a secret id.",
    .paths = paths,
    .start = start,
    .tick = approle_tick,
    .tick_s = TICK_S,
    .renew_login = renew_login,
};
