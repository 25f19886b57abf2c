/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: lifetimes and policies as requests and logins ask for them. Source: Vault's public documentation of tokens. */
#include "core/token_priv.h"

#include "base/text.h"

#define TTL_SYSTEM_S (768 * 3600) /* 32 days: Vault's default for both */

int64_t mln_token_ttl_default(const struct mln_core *core, const struct mln_mount *mount)
{
    int64_t of_core = core->config.default_ttl_s > 0 ? core->config.default_ttl_s : TTL_SYSTEM_S;
    return mount != NULL && mount->default_ttl_s > 0 ? mount->default_ttl_s : of_core;
}

int64_t mln_token_ttl_max(const struct mln_core *core, const struct mln_mount *mount)
{
    int64_t of_core = core->config.max_ttl_s > 0 ? core->config.max_ttl_s : TTL_SYSTEM_S;
    return mount != NULL && mount->max_ttl_s > 0 ? mount->max_ttl_s : of_core;
}

static int64_t least(int64_t a, int64_t b) /* 0 is no limit */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

int64_t mln_token_ttl_cap(struct mln_request *rq, struct mln_reply *re, int64_t asked_s,
                          int64_t limit_s)
{
    if (limit_s == 0 || asked_s <= limit_s) {
        return asked_s;
    }
    if (re != NULL) {
        mln_reply_warn(rq, re,
                       mln_text_format(rq->cx,
                                       "TTL of \"%s\" exceeded the effective max_ttl of \"%s\"; "
                                       "TTL value is capped accordingly",
                                       mln_duration_text(rq->cx, asked_s),
                                       mln_duration_text(rq->cx, limit_s)));
    }
    return limit_s;
}

/* ---- policies ---- */

static const char *lower(struct mln_cx *cx, struct mln_bytes name)
{
    char *text = mln_new(cx, name.len + 1);
    for (size_t i = 0; text != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return text != NULL ? text : "";
}

const struct mln_value *mln_token_policies(struct mln_cx *cx, const struct mln_value *asked,
                                           bool with_default)
{
    struct mln_value *sorted = mln_set(cx), *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(asked); i++) {
        struct mln_bytes name = mln_bytes_trim(mln_get_bytes(mln_item(asked, i)));
        if (name.len > 0) {
            mln_push(cx, sorted, mln_text(cx, lower(cx, name)));
        }
    }
    if (with_default && !mln_token_names(sorted, "root")) {
        mln_push(cx, sorted, mln_text(cx, "default"));
    }
    for (size_t i = 0; i < mln_len(sorted); i++) {
        mln_push(cx, out, mln_item(sorted, i));
    }
    return out;
}

bool mln_token_names(const struct mln_value *names, const char *name)
{
    for (size_t i = 0; i < mln_len(names); i++) {
        if (mln_is_text(mln_item(names, i), name)) {
            return true;
        }
    }
    return false;
}

/* ---- logins ---- */

static const char *login_name(struct mln_cx *cx, const struct mln_mount *mount, const char *name)
{
    struct mln_bytes path = mln_bytes_of(mount->path);
    path = mln_bytes_starts(path, MLN_BYTES("auth/")) ? mln_bytes_from(path, 5) : path;
    path = mln_bytes_sub(path, 0, path.len > 0 ? path.len - 1 : 0);
    struct mln_value *flat =
        mln_textf(cx, "%.*s%s%s", MLN_FMT(path), name[0] != 0 ? "-" : "", name);
    char *text = mln_new(cx, mln_len(flat) + 1);
    struct mln_bytes from = mln_get_bytes(flat);
    for (size_t i = 0; text != NULL && i < from.len; i++) {
        text[i] = (char)(from.ptr[i] == '/' ? '-' : from.ptr[i]);
    }
    return text != NULL ? text : "";
}

static void login_times(struct mln_request *rq, const struct mln_login *login,
                        struct mln_token_spec *spec)
{
    const struct mln_core *core = mln_core_of(rq);
    int64_t max_s = least(login->max_ttl_s, mln_token_ttl_max(core, rq->mount));
    spec->max_ttl_s = max_s;
    spec->explicit_max_ttl_s = login->explicit_max_ttl_s;
    spec->period_s = login->period_s;
    spec->ttl_s = login->ttl_s > 0 ? login->ttl_s : mln_token_ttl_default(core, rq->mount);
    spec->ttl_s = login->period_s > 0 ? login->period_s : least(spec->ttl_s, max_s);
}

/* The mount's tuning decides: "service" and "batch" for all, "default-batch" where the role does not say. */
static bool is_batch_login(const struct mln_request *rq, const struct mln_login *login)
{
    struct mln_bytes tuned = mln_get_bytes(mln_get(rq->mount->config, "token_type"));
    return !mln_bytes_is(tuned, "service") &&
           (login->is_batch || mln_bytes_ends(tuned, MLN_BYTES("batch")));
}

static struct mln_err check_login(struct mln_request *rq, const struct mln_login *login,
                                  const struct mln_token_spec *spec)
{
    if (mln_token_names(spec->policies, "root")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "auth methods cannot create root tokens");
    }
    const char *bad = !spec->is_batch                 ? NULL
                      : login->num_uses > 0           ? "num_uses"
                      : login->period_s > 0           ? "period"
                      : login->explicit_max_ttl_s > 0 ? "explicit_max_ttl"
                                                      : NULL;
    if (bad != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "batch tokens cannot have \"%s\" set", bad);
    }
    return mln_token_cidrs_check(rq->cx, login->bound_cidrs);
}

struct mln_err mln_token_login(struct mln_request *rq, const struct mln_login *login,
                               const struct mln_value **ret_auth)
{
    struct mln_cx *cx = rq->cx;
    const char *name = login->display_name != NULL ? login->display_name : "";
    struct mln_token_spec spec = {
        .policies = mln_token_policies(cx, login->policies, !login->no_default_policy),
        .display_name = login_name(cx, rq->mount, name),
        .path = mln_text_dup(cx, rq->path),
        .meta = login->meta,
        .num_uses = login->num_uses,
        .is_renewable = !login->is_not_renewable,
        .is_batch = is_batch_login(rq, login),
        .auth_mount = rq->mount->path,
        .auth_uuid = rq->mount->uuid,
        .bound_cidrs = login->bound_cidrs,
        .internal = login->internal,
    };
    MLN_TRY(check_login(rq, login, &spec));
    login_times(rq, login, &spec);
    if (login->alias != NULL) {
        MLN_TRY(mln_entity_login(rq, login, &spec));
    }
    bool waits = false;
    MLN_TRY(mln_mfa_login(rq, login, spec.entity_id != NULL ? spec.entity_id : "", ret_auth, &waits));
    if (waits) {
        return MLN_OK;
    }
    mln_put_text(cx, rq->detail, "login", spec.display_name);
    return mln_token_create(mln_core_of(rq), cx, rq->txn, rq->now_ns, &spec, ret_auth, NULL);
}
