/* SPDX-License-Identifier: Apache-2.0 */
/* auth/token/create: what a token may hand on to a child. */
#include "core/token_priv.h"

#include "base/text.h"

static bool flag(const struct mln_request *rq, const char *name)
{
    return mln_get_bool(mln_field_of(rq, name), false);
}

static int64_t number(const struct mln_request *rq, const char *name)
{
    return mln_get_int(mln_field_of(rq, name), 0);
}

static bool is_given(const struct mln_request *rq, const char *name)
{
    return !mln_is_null(mln_field_of(rq, name));
}

/* The caller's own, all of them below him, or anything for sudo. */
static struct mln_err choose_policies(struct mln_request *rq, bool is_sudo, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *asked = mln_field_of(rq, "policies"), *own = rq->actor->policies;
    bool with_default = !flag(rq, "no_default_policy");
    if (mln_len(asked) == 0) {
        *ret = mln_token_policies(cx, own, with_default && mln_token_names(own, "default"));
        return mln_cx_err(cx);
    }
    const struct mln_value *wanted = mln_token_policies(cx, asked, with_default);
    if (mln_token_names(wanted, "root") && !rq->actor->is_root) {
        return mln_fail(cx, MLN_E_INVALID, "root tokens may not be created without parent token being root");
    }
    for (size_t i = 0; !is_sudo && i < mln_len(wanted); i++) {
        const char *name = mln_get_text(cx, mln_item(wanted, i), "");
        if (!mln_token_names(own, name) && !mln_bytes_is(mln_bytes_of(name), "default")) {
            return mln_fail(cx, MLN_E_INVALID, "child policies must be subset of parent");
        }
    }
    *ret = wanted;
    return mln_cx_err(cx);
}

static struct mln_err check_fields(struct mln_request *rq, bool is_sudo)
{
    static const char *const positive[] = {"ttl", "lease", "explicit_max_ttl", "period", "num_uses"};
    for (size_t i = 0; i < MLN_COUNT(positive); i++) {
        if (number(rq, positive[i]) < 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s must be positive", positive[i]);
        }
    }
    const struct mln_value *type = mln_field_of(rq, "type");
    if (!mln_is_null(type) && !mln_is_text(type, "service") && !mln_is_text(type, "")) {
        return mln_fail(rq->cx, mln_is_text(type, "batch") ? MLN_E_UNSUPPORTED : MLN_E_INVALID, "unsupported token type: %s",
                        mln_get_text(rq->cx, type, "?"));
    }
    if (!is_sudo && (is_given(rq, "id") || flag(rq, "no_parent") || number(rq, "period") > 0)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "root or sudo privileges required to %s",
                        is_given(rq, "id") ? "specify token id" : flag(rq, "no_parent") ? "create orphan token" : "create periodic token");
    }
    if (mln_get_int(mln_get(rq->actor->token, "num_uses"), 0) > 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "restricted use token cannot generate child tokens");
    }
    return MLN_OK;
}

static void choose_times(struct mln_request *rq, struct mln_reply *re, struct mln_token_spec *spec)
{
    const struct mln_core *core = mln_core_of(rq);
    int64_t asked_s = number(rq, "ttl") > 0 ? number(rq, "ttl") : number(rq, "lease");
    spec->period_s = number(rq, "period");
    spec->explicit_max_ttl_s = number(rq, "explicit_max_ttl");
    spec->max_ttl_s = mln_token_ttl_max(core, rq->mount);
    if (mln_token_names(spec->policies, "root") && asked_s == 0 && spec->period_s == 0 && spec->explicit_max_ttl_s == 0 &&
        mln_get_int(mln_get(rq->actor->token, "expires_ns"), 0) == 0) {
        spec->is_renewable = false;
        return; /* never expires, as its parent */
    }
    if (spec->period_s > 0) {
        spec->ttl_s = mln_token_ttl_cap(rq, re, spec->period_s, spec->explicit_max_ttl_s);
        return;
    }
    asked_s = asked_s > 0 ? asked_s : mln_token_ttl_default(core, rq->mount);
    asked_s = mln_token_ttl_cap(rq, re, asked_s, spec->max_ttl_s);
    spec->ttl_s = mln_token_ttl_cap(rq, re, asked_s, spec->explicit_max_ttl_s);
}

static const char *child_name(struct mln_request *rq)
{
    const char *name = mln_get_text(rq->cx, mln_field_of(rq, "display_name"), "token");
    return name[0] == 0 || mln_bytes_is(mln_bytes_of(name), "token") ? "token" : mln_text_format(rq->cx, "token-%s", name);
}

struct mln_err mln_token_create_path(struct mln_request *rq, struct mln_reply *re)
{
    bool is_sudo = rq->actor->is_root || rq->services->may(rq, mln_text_dup(rq->cx, rq->path), "sudo");
    bool is_orphan = flag(rq, "no_parent") || mln_bytes_ends(rq->rest, MLN_BYTES("create-orphan"));
    struct mln_token_spec spec = {
        .id = is_given(rq, "id") ? mln_get_text(rq->cx, mln_field_of(rq, "id"), "") : NULL,
        .display_name = child_name(rq),
        .entity_id = is_orphan ? "" : rq->actor->entity_id,
        .entity_name = is_orphan ? "" : rq->actor->entity_name,
        .path = mln_text_dup(rq->cx, rq->path),
        .meta = mln_field_of(rq, "meta"),
        .num_uses = number(rq, "num_uses"),
        .parent = is_orphan ? NULL : rq->actor->token,
        .is_renewable = mln_get_bool(mln_field_of(rq, "renewable"), true),
    };
    MLN_TRY(check_fields(rq, is_sudo));
    MLN_TRY(choose_policies(rq, is_sudo, &spec.policies));
    choose_times(rq, re, &spec);
    const struct mln_value *auth = NULL;
    MLN_TRY(mln_token_create(mln_core_of(rq), rq->cx, rq->txn, rq->now_ns, &spec, &auth, NULL));
    mln_put(rq->cx, rq->detail, "accessor", mln_get(auth, "accessor"));
    mln_put(rq->cx, rq->detail, "policies", spec.policies);
    re->auth = auth;
    return mln_cx_err(rq->cx);
}
