/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users with passwords: Vault's userpass paths. Passwords are kept as Argon2id hashes only; a wrong name costs the same time as a
 * wrong password and gets the same answer. Names are folded to lower case. Source: Vault's public API documentation.
 */
#include "auth/rows.h"
#include "auth/token_fields.h"
#include "barrier/txn.h"
#include "base/limits.h"
#include "base/text.h"
#include "contract/engine.h"
#include "crypto/crypto.h"

#define PASSWORD_MAX_BYTES 4096u /* longer is no password: bounds what is hashed */

/* The hash of a random password, for names that are not there: the same work, never a match. */
#define NOBODY_HASH "$argon2id$v=19$m=65536,t=2,p=1$oGfQ2KXy4b3Z5tqzYw1nXA$l9qWmZ0pS7n1vK3XHc2u5dRfTgYbNjMkQwErTyUiOpA"

static struct mln_err bad_login(struct mln_request *rq)
{
    return mln_refail(rq->cx, MLN_E_BAD_LOGIN, "invalid username or password");
}

static struct mln_err user_name(struct mln_request *rq, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "username"));
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a user name has 1 to %d bytes", MLN_NAME_MAX_BYTES);
    }
    return mln_method_fold(rq, "user", name, ret);
}

static struct mln_bytes user_key(struct mln_cx *cx, const char *name)
{
    return mln_bytes_format(cx, "user/%s", name);
}

/* NOT_FOUND without text when there is no such user. */
static struct mln_err user_load(struct mln_request *rq, const char **ret_name, const struct mln_value **ret)
{
    MLN_TRY(user_name(rq, ret_name));
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, user_key(rq->cx, *ret_name), ret);
}

static struct mln_err user_exists(struct mln_request *rq, bool *ret)
{
    const char *name = NULL;
    const struct mln_value *user = NULL;
    struct mln_err err = user_load(rq, &name, &user);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err put_password(struct mln_request *rq, struct mln_value *user, struct mln_bytes password)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf hash = {.is_secret = true};
    if (mln_len(mln_field_of(rq, "password_hash")) > 0) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "password_hash (bcrypt) is not supported: give the password");
    }
    if (password.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "must provide either password or password_hash");
    }
    if (password.len > PASSWORD_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a password has at most %u bytes", PASSWORD_MAX_BYTES);
    }
    rq->services->block(rq);
    MLN_TRY(mln_password_hash(rq->cx, password, &hash));
    mln_put(rq->cx, user, "hash", mln_secret_string(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&hash))));
    return mln_cx_err(rq->cx);
}

static struct mln_err user_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *before = NULL;
    (void)re;
    struct mln_err err = user_load(rq, &name, &before);
    bool is_new = mln_is(err, MLN_E_NOT_FOUND);
    if (mln_failed(err) && !is_new) {
        return err;
    }
    struct mln_value *user = is_new ? mln_object(rq->cx) : mln_value_dup(rq->cx, before);
    struct mln_bytes password = mln_get_bytes(mln_field_of(rq, "password"));
    MLN_TRY(mln_token_fields_take(rq, user));
    if (is_new || password.len > 0 || mln_len(mln_field_of(rq, "password_hash")) > 0) {
        MLN_TRY(put_password(rq, user, password));
    }
    mln_put_text(rq->cx, rq->detail, "user", name);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, user_key(rq->cx, name), user);
}

static struct mln_err user_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *user = NULL;
    MLN_TRY(user_load(rq, &name, &user));
    struct mln_value *data = mln_object(rq->cx);
    mln_token_fields_print(rq->cx, user, data);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err user_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    (void)re;
    MLN_TRY(user_name(rq, &name));
    mln_put_text(rq->cx, rq->detail, "user", name);
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, user_key(rq->cx, name));
}

static struct mln_err user_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_method_list(rq, re, MLN_BYTES("user/"));
}

/* Both settings below a user: he must be there. */
static struct mln_err change(struct mln_request *rq, bool is_password)
{
    const char *name = NULL;
    const struct mln_value *before = NULL;
    struct mln_err err = user_load(rq, &name, &before);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "username does not exist");
    }
    MLN_TRY(err);
    struct mln_value *user = mln_value_dup(rq->cx, before);
    if (is_password) {
        MLN_TRY(put_password(rq, user, mln_get_bytes(mln_field_of(rq, "password"))));
    } else {
        MLN_TRY(mln_token_fields_take(rq, user));
    }
    mln_put_text(rq->cx, rq->detail, "user", name);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, user_key(rq->cx, name), user);
}

static struct mln_err password_write(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return change(rq, true);
}

static struct mln_err policies_write(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return change(rq, false);
}

static const struct mln_login *login_of(struct mln_request *rq, const char *name, const struct mln_value *user)
{
    struct mln_login *login = MLN_NEW(rq->cx, struct mln_login);
    struct mln_value *meta = mln_object(rq->cx), *internal = mln_object(rq->cx);
    if (login == NULL) {
        return NULL;
    }
    mln_put_text(rq->cx, meta, "username", name);
    mln_put_text(rq->cx, internal, "username", name);
    *login = (struct mln_login){.alias = name, .display_name = name, .meta = meta, .internal = internal};
    mln_token_fields_login(rq, user, login);
    return login;
}

/* The user must be there still, with the policies that the token was made with. */
static struct mln_err renew_login(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login)
{
    const struct mln_value *user = NULL;
    const char *name = mln_get_text(rq->cx, mln_get(internal, "username"), "");
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, user_key(rq->cx, name), &user);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "user no longer exists");
    }
    MLN_TRY(err);
    return mln_token_fields_renew(rq, user, login);
}

static struct mln_err login_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *user = NULL;
    struct mln_bytes password = mln_get_bytes(mln_field_of(rq, "password"));
    if (password.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing password");
    }
    if (password.len > PASSWORD_MAX_BYTES) {
        return bad_login(rq);
    }
    struct mln_err err = user_load(rq, &name, &user);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    bool is_known = !mln_failed(err);
    MLN_TRY(mln_login_attempt(rq, name));
    struct mln_bytes hash = is_known ? mln_get_bytes(mln_get(user, "hash")) : MLN_BYTES(NOBODY_HASH);
    rq->services->block(rq);
    err = mln_password_verify(rq->cx, password, hash);
    if (mln_is(err, MLN_E_BAD_LOGIN) || !is_known) {
        return mln_is(err, MLN_E_MEMORY) ? err : bad_login(rq);
    }
    MLN_TRY(err);
    if (!mln_token_fields_from(rq, user)) {
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    mln_put_text(rq->cx, rq->detail, "user", name);
    re->login = login_of(rq, name, user);
    return mln_cx_err(rq->cx);
}

/* ---- the descriptor ---- */

#define FIELD_USER {.name = "username", .type = MLN_FIELD_TEXT, .help = "The user's name.", .is_query = true}
#define FIELD_PASSWORD {.name = "password", .type = MLN_FIELD_SECRET, .help = "The password."}
#define FIELD_HASH {.name = "password_hash", .type = MLN_FIELD_SECRET, .help = "Refused: give the password."}

static const struct mln_field user_fields[] = {FIELD_USER, FIELD_PASSWORD, FIELD_HASH, MLN_TOKEN_FIELDS, {0}};
static const struct mln_field password_fields[] = {FIELD_USER, FIELD_PASSWORD, FIELD_HASH, {0}};
static const struct mln_field policy_fields[] = {
    FIELD_USER,
    {.name = "token_policies", .type = MLN_FIELD_LIST, .help = "Policies of the tokens."},
    {.name = "policies", .type = MLN_FIELD_LIST, .help = "Old name of token_policies."},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "login/{username}", .summary = "Log in with a password.", .fields = password_fields, .write = login_write, .is_open = true,
     .may_block = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-5"},
    {.pattern = "users", .summary = "List users.", .list = user_list},
    {.pattern = "users/{username}", .summary = "Make, read, change or delete a user.", .fields = user_fields, .read = user_read,
     .write = user_write, .remove = user_remove, .exists = user_exists, .may_block = true, .controls = "AC-2,IA-5"},
    {.pattern = "users/{username}/password", .summary = "Change a user's password.", .fields = password_fields, .write = password_write,
     .may_block = true, .controls = "IA-5"},
    {.pattern = "users/{username}/policies", .summary = "Change a user's policies.", .fields = policy_fields, .write = policies_write,
     .controls = "AC-2"},
    {0},
};

const struct mln_engine mln_method_userpass = {
    .type = "userpass",
    .kind = MLN_MOUNT_AUTH,
    .summary = "Users with passwords (Argon2id).",
    .paths = paths,
    .renew_login = renew_login,
};
