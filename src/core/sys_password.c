/* SPDX-License-Identifier: Apache-2.0 */
/* sys/policies/password: how engines and people have passwords made. */
#include "core/sys_priv.h"

#include "base/limits.h"
#include "policy/passgen.h"

static struct mln_view password_view(void)
{
    return mln_home_view("password-policy/");
}

static struct mln_err name_of(struct mln_request *rq, struct mln_bytes *ret)
{
    *ret = mln_get_bytes(mln_field_of(rq, "name"));
    if (ret->len == 0 || ret->len > MLN_NAME_MAX_BYTES || ret->ptr[ret->len - 1] == '/') {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing policy name");
    }
    return MLN_OK;
}

static struct mln_err stored(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name;
    MLN_TRY(name_of(rq, &name));
    struct mln_err err = mln_txn_get(rq->cx, rq->txn, password_view(), name, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "policy does not exist")
                                        : err;
}

static struct mln_err password_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, password_view(), MLN_BYTES_NONE, &keys));
    if (mln_len(keys) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err password_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes text;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(stored(rq, &text));
    mln_put_bytes(rq->cx, data, "policy", text);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err draw(struct mln_request *rq, struct mln_bytes text, const struct mln_value **ret)
{
    const struct mln_passgen *policy = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf password = {.is_secret = true};
    MLN_TRY(mln_passgen_parse(rq->cx, text, &policy));
    MLN_TRY(mln_passgen_draw(rq->cx, policy, &password));
    *ret = mln_secret_string(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&password)));
    return mln_cx_err(rq->cx);
}

static struct mln_err password_generate(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes text;
    const struct mln_value *password = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(stored(rq, &text));
    MLN_TRY(draw(rq, text, &password));
    mln_put(rq->cx, data, "password", password);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* A policy is tried before it is kept: one that nothing meets would fail when it is needed. */
static struct mln_err password_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, text = mln_get_bytes(mln_field_of(rq, "policy"));
    const struct mln_value *tried = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.max = MLN_POLICY_MAX_BYTES};
    (void)re;
    MLN_TRY(name_of(rq, &name));
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing policy");
    }
    if (!mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, &plain))) {
        text = mln_bytes_dup(rq->cx, mln_buf_bytes(&plain));
    }
    mln_cx_clear(rq->cx);
    struct mln_err err = draw(rq, text, &tried);
    if (mln_is(err, MLN_E_PARSE)) {
        const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
        return mln_refail(rq->cx, MLN_E_INVALID, "failed to parse policy: %s", why);
    }
    MLN_TRY(err);
    mln_put_bytes(rq->cx, rq->detail, "password_policy", name);
    return mln_txn_put(rq->cx, rq->txn, password_view(), name, text);
}

static struct mln_err password_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    (void)re;
    MLN_TRY(name_of(rq, &name));
    mln_put_bytes(rq->cx, rq->detail, "password_policy", name);
    return mln_txn_delete(rq->cx, rq->txn, password_view(), name);
}

static const struct mln_field fields[] = {
    F_TEXT("name", "The policy's name."),
    F_TEXT("policy", "Its text: length and charset rules in HCL or JSON, plain or in base64."),
    {0},
};

const struct mln_path mln_sys_password[] = {
    {.pattern = "policies/password",
     .summary = "List password policies.",
     .read = password_list,
     .list = password_list},
    {.pattern = "policies/password/{name...}/generate",
     .summary = "Draw a password.",
     .fields = fields,
     .read = password_generate},
    {.pattern = "policies/password/{name...}",
     .summary = "Read, write or delete a password policy.",
     .fields = fields,
     .read = password_read,
     .write = password_write,
     .remove = password_remove,
     .controls = "IA-5"},
    {0},
};
