/* SPDX-License-Identifier: Apache-2.0 */
/* Renewing a token: within its limits and, when a login made it, with what its auth method says of the role or user now. */
#include "core/token_priv.h"

#include "base/text.h"

static int64_t number(const struct mln_value *entry, const char *name)
{
    return mln_get_int(mln_get(entry, name), 0);
}

/* What limits this renewal; of the method where it spoke, else of the entry. */
#define S_NS ((int64_t)1000000000)

struct limits {
    int64_t ttl_s, max_ttl_s, period_s, explicit_max_ttl_s;
};


static struct mln_err check_policies(struct mln_request *rq, const struct mln_value *entry,
                                     const struct mln_login *login)
{
    if (login->policies == NULL || login->policies == mln_get(entry, "policies")) {
        return MLN_OK;
    }
    const struct mln_value *now =
        mln_token_policies(rq->cx, login->policies, !login->no_default_policy);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_value_eq(now, mln_get(entry, "policies"))
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "policies have changed, not renewing");
}

static struct mln_err ask_method(struct mln_request *rq, const struct mln_value *entry,
                                 const struct mln_mount *mount, struct limits *limits)
{
    struct mln_request inner = *rq;
    struct mln_login login = {
        .policies = mln_get(entry, "policies")}; /* what it has, for the method to compare */
    inner.mount = mount;
    inner.path = mln_get_bytes(mln_get(entry, "path"));
    inner.rest = mln_bytes_from(inner.path, mln_bytes_of(mount->path).len);
    inner.data = inner.fields = mln_object(rq->cx);
    inner.detail = mln_object(rq->cx);
    inner.ns = mount->view.ns;
    struct mln_bytes before = mln_txn_enter(rq->txn, inner.ns);
    struct mln_err err = mount->engine->renew_login(&inner, mln_get(entry, "internal"), &login);
    (void)mln_txn_enter(rq->txn, before);
    MLN_TRY(err);
    MLN_TRY(check_policies(rq, entry, &login));
    int64_t mount_max_s = mln_token_ttl_max(mln_core_of(rq), mount);
    limits->max_ttl_s =
        login.max_ttl_s > 0 && login.max_ttl_s < mount_max_s ? login.max_ttl_s : mount_max_s;
    limits->ttl_s = login.ttl_s > 0 ? login.ttl_s : mln_token_ttl_default(mln_core_of(rq), mount);
    limits->period_s = login.period_s;
    return MLN_OK;
}

/* A token made with a role of auth/token follows that role's period; a role that is gone refuses. */
static struct mln_err ask_role(struct mln_request *rq, const struct mln_value *entry,
                               struct limits *limits)
{
    const char *name = mln_get_text(rq->cx, mln_get(entry, "role"), "");
    const struct mln_value *role = NULL;
    if (name[0] == 0) {
        return MLN_OK;
    }
    struct mln_bytes before = mln_txn_enter(rq->txn, mln_token_ns(entry));
    struct mln_err err = mln_token_role_get(rq, name, &role);
    (void)mln_txn_enter(rq->txn, before);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(rq->cx, MLN_E_INVALID,
                          "original token role %s could not be found, not renewing", name);
    }
    MLN_TRY(err);
    limits->period_s = number(role, "token_period");
    return MLN_OK;
}

static struct mln_err find_limits(struct mln_request *rq, const struct mln_value *entry,
                                  struct limits *ret)
{
    struct mln_mount mount = {0};
    const char *uuid = mln_get_text(rq->cx, mln_get(entry, "auth_uuid"), "");
    int64_t last_s = number(entry, "renewed_ttl_s");
    *ret = (struct limits){.ttl_s = last_s > 0 ? last_s : number(entry, "ttl_s"),
                           .max_ttl_s = number(entry, "max_ttl_s"),
                           .period_s = number(entry, "period_s"),
                           .explicit_max_ttl_s = number(entry, "explicit_max_ttl_s")};
    if (mln_get(entry, "auth_uuid") == NULL) {
        return ask_role(rq, entry, ret);
    }
    struct mln_err err = mln_mount_of(rq, mln_token_ns(entry), uuid, &mount);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(err);
    }
    if (mount.engine == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the auth method of this token is gone");
    }
    return mount.engine->renew_login == NULL ? MLN_OK : ask_method(rq, entry, &mount, ret);
}

/* The longest life of the token, from when it was made; 0 = no limit. */
static int64_t longest_s(const struct limits *limits)
{
    int64_t limit_s = limits->period_s > 0 ? 0 : limits->max_ttl_s;
    if (limits->explicit_max_ttl_s > 0 && (limit_s == 0 || limits->explicit_max_ttl_s < limit_s)) {
        limit_s = limits->explicit_max_ttl_s;
    }
    return limit_s;
}

/*
 * When a renewal by *asked_s ends: never behind the token's longest life, to the nanosecond, or renewals within the last second
 * would go on for ever. *asked_s becomes what is left, in whole seconds and rounded up.
 */
static struct mln_err end_of(struct mln_request *rq, struct mln_reply *re, const struct mln_value *entry, const struct limits *limits,
                             int64_t *asked_s, int64_t *ret_ns)
{
    int64_t created_ns = number(entry, "created_ns"), limit_s = longest_s(limits);
    int64_t last_ns = limit_s == 0 || limit_s > (INT64_MAX - created_ns) / S_NS ? INT64_MAX : created_ns + limit_s * S_NS;
    if (rq->now_ns >= last_ns) { /* the limit was lowered */
        return mln_fail(rq->cx, MLN_E_INVALID, "past the max TTL, cannot renew");
    }
    if (last_ns != INT64_MAX) {
        *asked_s = mln_token_ttl_cap(rq, re, *asked_s, (last_ns - rq->now_ns + S_NS - 1) / S_NS);
    }
    int64_t end_ns = rq->now_ns + *asked_s * S_NS;
    *ret_ns = end_ns < last_ns ? end_ns : last_ns;
    return MLN_OK;
}

static struct mln_err check_renewable(struct mln_request *rq, const struct mln_value *entry)
{
    if (mln_token_is_batch(entry)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "batch tokens cannot be renewed");
    }
    if (!mln_get_bool(mln_get(entry, "renewable"), false) || number(entry, "expires_ns") == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid lease ID");
    }
    if (mln_get_int(mln_field_of(rq, "increment"), 0) < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "increment cannot be negative");
    }
    return MLN_OK;
}

struct mln_err mln_token_renew_entry(struct mln_request *rq, struct mln_reply *re,
                                     const struct mln_value *entry, struct mln_bytes id)
{
    struct mln_cx *cx = rq->cx;
    struct limits limits;
    MLN_TRY(check_renewable(rq, entry));
    MLN_TRY(find_limits(rq, entry, &limits));
    int64_t asked_s = mln_get_int(mln_field_of(rq, "increment"), 0);
    asked_s = limits.period_s > 0 ? limits.period_s : asked_s > 0 ? asked_s : limits.ttl_s;
    asked_s = asked_s > MLN_TTL_MAX_S ? MLN_TTL_MAX_S : asked_s;
    int64_t end_ns = 0;
    MLN_TRY(end_of(rq, re, entry, &limits, &asked_s, &end_ns));
    struct mln_value *next = mln_value_dup(cx, entry);
    mln_remove(next, MLN_BYTES("id"));
    mln_put_int(cx, next, "expires_ns", end_ns);
    mln_put_int(cx, next, "renewed_ns", rq->now_ns);
    mln_put_int(cx, next, "renewed_ttl_s", asked_s); /* what a renewal gives that asks for none */
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_token_replace(cx, rq->txn, entry, next));
    struct mln_value *auth = mln_value_dup(cx, mln_token_auth(cx, next, id));
    mln_put_int(cx, auth, "lease_duration", asked_s);
    re->auth = auth;
    return mln_cx_err(cx);
}
