/* SPDX-License-Identifier: Apache-2.0 */
/* auth/token/create, create-orphan and create/{role}: what a token may hand on to a child. Texts as Vault's clients match them. */
#include "core/token_priv.h"

#include "base/text.h"

/* One creation: what was asked for, by whom, with which role. */
struct creation {
    struct mln_request *rq;
    struct mln_reply *re;
    const struct mln_value *role; /* NULL without */
    bool is_sudo, is_orphan, is_batch;
    struct mln_token_spec spec;
};

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

/* ---- policies ---- */

/* A text with "*" at its ends against another text. */
static bool is_glob_of(struct mln_bytes pattern, struct mln_bytes text)
{
    bool at_start = pattern.len > 0 && pattern.ptr[0] == '*';
    struct mln_bytes core = mln_bytes_from(pattern, at_start ? 1 : 0);
    bool at_end = core.len > 0 && core.ptr[core.len - 1] == '*';
    core.len -= at_end ? 1 : 0;
    if (at_start && at_end) {
        return core.len == 0 || mln_bytes_find_bytes(text, core) < text.len;
    }
    return at_start ? mln_bytes_ends(text, core)
           : at_end ? mln_bytes_starts(text, core)
                    : mln_bytes_eq(text, core);
}

static bool matches_any(const struct mln_value *globs, struct mln_bytes name)
{
    for (size_t i = 0; i < mln_len(globs); i++) {
        if (is_glob_of(mln_get_bytes(mln_item(globs, i)), name)) {
            return true;
        }
    }
    return false;
}

static const struct mln_value *of_role(const struct creation *c, const char *name)
{
    return mln_get(c->role, name);
}

/* ["a" "b"], as Go prints a list of texts. */
static const char *go_list(struct mln_cx *cx, const struct mln_value *list)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.max = 200}; /* of an error's line */
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_buf_add_format(&out, "%s\"%.*s\"", i > 0 ? " " : "",
                           MLN_FMT(mln_get_bytes(mln_item(list, i))));
    }
    return mln_text_format(cx, "[%s]", mln_text_dup(cx, mln_buf_bytes(&out)));
}

static bool role_has_rules(const struct creation *c)
{
    static const char *const lists[] = {"allowed_policies", "allowed_policies_glob",
                                        "disallowed_policies", "disallowed_policies_glob"};
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        if (mln_len(of_role(c, lists[i])) > 0) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_allowed(struct creation *c, const struct mln_value *allowed,
                                    const struct mln_value *wanted)
{
    struct mln_cx *cx = c->rq->cx;
    const struct mln_value *globs =
        mln_token_policies(cx, of_role(c, "allowed_policies_glob"), false);
    for (size_t i = 0; i < mln_len(wanted); i++) {
        const char *name = mln_get_text(cx, mln_item(wanted, i), "");
        if (!mln_token_names(allowed, name) && !matches_any(globs, mln_bytes_of(name))) {
            return mln_fail(cx, MLN_E_INVALID,
                            "token policies (%s) must be subset of the role's allowed policies "
                            "(%s) or glob policies (%s)",
                            go_list(cx, wanted), go_list(cx, allowed), go_list(cx, globs));
        }
    }
    return mln_cx_err(cx);
}

static struct mln_err check_disallowed(struct creation *c, const struct mln_value *wanted)
{
    struct mln_cx *cx = c->rq->cx;
    const struct mln_value *names =
        mln_token_policies(cx, of_role(c, "disallowed_policies"), false);
    const struct mln_value *globs =
        mln_token_policies(cx, of_role(c, "disallowed_policies_glob"), false);
    for (size_t i = 0; i < mln_len(wanted); i++) {
        const char *name = mln_get_text(cx, mln_item(wanted, i), "");
        if (mln_token_names(names, name) || matches_any(globs, mln_bytes_of(name))) {
            return mln_fail(cx, MLN_E_INVALID, "token policy \"%s\" is disallowed by this role",
                            name);
        }
    }
    return mln_cx_err(cx);
}

/* A role with lists of its own decides alone, whatever the caller has. */
static struct mln_err policies_by_role(struct creation *c, const struct mln_value **ret)
{
    struct mln_request *rq = c->rq;
    const struct mln_value *asked = mln_field_of(rq, "policies");
    bool has_allowed = mln_len(of_role(c, "allowed_policies")) > 0 ||
                       mln_len(of_role(c, "allowed_policies_glob")) > 0;
    bool with_default = !flag(rq, "no_default_policy") &&
                        !mln_get_bool(of_role(c, "token_no_default_policy"), false) &&
                        !mln_token_names(of_role(c, "disallowed_policies"), "default") &&
                        !matches_any(of_role(c, "disallowed_policies_glob"), MLN_BYTES("default"));
    const struct mln_value *allowed =
        mln_token_policies(rq->cx, of_role(c, "allowed_policies"), with_default);
    if (mln_len(asked) > 0) {
        *ret = mln_token_policies(rq->cx, asked, with_default);
    } else {
        *ret =
            has_allowed ? allowed : mln_token_policies(rq->cx, rq->actor->policies, with_default);
    }
    if (has_allowed && mln_len(asked) > 0) {
        MLN_TRY(check_allowed(c, allowed, *ret));
    }
    return check_disallowed(c, *ret);
}

/* The caller's own, all of them below him, or anything for sudo. */
static struct mln_err policies_by_parent(struct creation *c, const struct mln_value **ret)
{
    struct mln_request *rq = c->rq;
    struct mln_cx *cx = rq->cx;
    const struct mln_value *asked = mln_field_of(rq, "policies"), *own = rq->actor->policies;
    bool with_default = !flag(rq, "no_default_policy") &&
                        !mln_get_bool(of_role(c, "token_no_default_policy"), false);
    if (mln_len(asked) == 0) {
        *ret = mln_token_policies(cx, own, with_default && mln_token_names(own, "default"));
        return mln_cx_err(cx);
    }
    const struct mln_value *wanted = mln_token_policies(cx, asked, with_default);
    for (size_t i = 0; !c->is_sudo && i < mln_len(wanted); i++) {
        const char *name = mln_get_text(cx, mln_item(wanted, i), "");
        bool is_root = mln_bytes_is(mln_bytes_of(name), "root"); /* has a text of its own */
        if (!is_root && !mln_token_names(own, name) &&
            !mln_bytes_is(mln_bytes_of(name), "default")) {
            return mln_fail(cx, MLN_E_INVALID, "child policies must be subset of parent");
        }
    }
    *ret = wanted;
    return mln_cx_err(cx);
}

static struct mln_err choose_policies(struct creation *c)
{
    struct mln_request *rq = c->rq;
    MLN_TRY(c->role != NULL && role_has_rules(c) ? policies_by_role(c, &c->spec.policies)
                                                 : policies_by_parent(c, &c->spec.policies));
    static const char *const never[] = {"response-wrapping", "control-group"};
    for (size_t i = 0; i < MLN_COUNT(never); i++) {
        if (mln_token_names(c->spec.policies, never[i])) {
            return mln_fail(rq->cx, MLN_E_INVALID, "cannot assign policy \"%s\"", never[i]);
        }
    }
    if (mln_token_names(c->spec.policies, "root") && !rq->actor->is_root) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "root tokens may not be created without parent token being root");
    }
    if (mln_token_names(c->spec.policies, "root") && c->is_batch) {
        return mln_fail(rq->cx, MLN_E_INVALID, "batch tokens cannot be root tokens");
    }
    return MLN_OK;
}

/* ---- what may be asked for ---- */

static struct mln_err choose_type(struct creation *c)
{
    struct mln_request *rq = c->rq;
    const char *type = mln_get_text(rq->cx, mln_field_of(rq, "type"), "");
    const char *of = mln_get_text(rq->cx, of_role(c, "token_type"), "default-service");
    bool is_fixed =
        mln_bytes_is(mln_bytes_of(of), "service") || mln_bytes_is(mln_bytes_of(of), "batch");
    type = is_fixed                                                          ? of
           : type[0] == 0 && mln_bytes_is(mln_bytes_of(of), "default-batch") ? "batch"
                                                                             : type;
    c->is_batch = mln_bytes_is(mln_bytes_of(type), "batch");
    if (!c->is_batch && type[0] != 0 && !mln_bytes_is(mln_bytes_of(type), "service")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid 'token_type' value");
    }
    const char *bad = !c->is_batch                         ? NULL
                      : number(rq, "explicit_max_ttl") > 0 ? "explicit_max_ttl"
                      : number(rq, "num_uses") > 0         ? "num_uses"
                      : number(rq, "period") > 0           ? "period"
                                                           : NULL;
    return bad == NULL
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "batch tokens cannot have \"%s\" set", bad);
}

static struct mln_err check_numbers(struct mln_request *rq)
{
    static const char *const positive[] = {"ttl", "lease", "explicit_max_ttl", "period",
                                           "num_uses"};
    for (size_t i = 0; i < MLN_COUNT(positive); i++) {
        if (number(rq, positive[i]) < 0) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s must be positive", positive[i]);
        }
    }
    return MLN_OK;
}

static struct mln_err check_fields(struct creation *c)
{
    struct mln_request *rq = c->rq;
    MLN_TRY(check_numbers(rq));
    if (mln_token_is_batch(rq->actor->token)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "batch tokens cannot create more tokens");
    }
    if (mln_get_int(mln_get(rq->actor->token, "num_uses"), 0) > 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "restricted use token cannot generate child tokens");
    }
    if (!c->is_sudo && is_given(rq, "id")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "root or sudo privileges required to specify token id");
    }
    if (!c->is_sudo && flag(rq, "no_parent")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "root or sudo privileges required to create orphan token");
    }
    if (!c->is_sudo && number(rq, "period") > 0 &&
        mln_get_int(of_role(c, "token_period"), 0) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "root or sudo privileges required to create periodic token");
    }
    /* an empty one is none: OpenBao's client always sends it */
    if (mln_len(mln_field_of(rq, "entity_alias")) > 0 && c->role == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "'entity_alias' is only allowed in combination with token role");
    }
    return choose_type(c);
}

/* ---- lifetimes ---- */

static int64_t least(int64_t a, int64_t b) /* 0 is no limit */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static void choose_times(struct creation *c)
{
    struct mln_request *rq = c->rq;
    struct mln_token_spec *spec = &c->spec;
    const struct mln_core *core = mln_core_of(rq);
    int64_t asked_s = number(rq, "ttl") > 0 ? number(rq, "ttl") : number(rq, "lease");
    int64_t role_period_s = mln_get_int(of_role(c, "token_period"), 0);
    spec->period_s = role_period_s > 0 ? role_period_s : number(rq, "period");
    spec->explicit_max_ttl_s =
        least(number(rq, "explicit_max_ttl"), mln_get_int(of_role(c, "token_explicit_max_ttl"), 0));
    spec->max_ttl_s = mln_token_ttl_max(core, rq->mount);
    if (mln_token_names(spec->policies, "root") && asked_s == 0 && spec->period_s == 0 &&
        spec->explicit_max_ttl_s == 0 &&
        mln_get_int(mln_get(rq->actor->token, "expires_ns"), 0) == 0) {
        spec->is_renewable = false;
        return; /* never expires, as its parent */
    }
    if (spec->period_s > 0) {
        spec->ttl_s = mln_token_ttl_cap(rq, c->re, spec->period_s, spec->explicit_max_ttl_s);
        return;
    }
    asked_s = asked_s > 0 ? asked_s : mln_token_ttl_default(core, rq->mount);
    asked_s = mln_token_ttl_cap(rq, c->re, asked_s, spec->max_ttl_s);
    spec->ttl_s = mln_token_ttl_cap(rq, c->re, asked_s, spec->explicit_max_ttl_s);
}

/* ---- the rest ---- */

static const char *child_name(struct mln_request *rq)
{
    const char *name = mln_get_text(rq->cx, mln_field_of(rq, "display_name"), "token");
    return name[0] == 0 || mln_bytes_is(mln_bytes_of(name), "token")
               ? "token"
               : mln_text_format(rq->cx, "token-%s", name);
}

/* Of the path alone: that is what policy judged. A role in the body would let whoever may create choose any role. */
static struct mln_err find_role(struct creation *c)
{
    struct mln_request *rq = c->rq;
    const char *name = mln_get_text(rq->cx, mln_field_of(rq, "role"), "");
    if (name[0] == 0) {
        return MLN_OK;
    }
    struct mln_err err = mln_token_role_get(rq, name, &c->role);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "unknown role %s", name);
    }
    c->spec.role = name;
    return err;
}

static struct mln_err choose_entity(struct creation *c)
{
    struct mln_request *rq = c->rq;
    const char *alias = mln_get_text(rq->cx, mln_field_of(rq, "entity_alias"), "");
    if (alias[0] == 0) {
        c->spec.entity_id = c->is_orphan ? "" : rq->actor->entity_id;
        c->spec.entity_name = c->is_orphan ? "" : rq->actor->entity_name;
        return MLN_OK;
    }
    const struct mln_value *allowed = of_role(c, "allowed_entity_aliases");
    bool may = false;
    for (size_t i = 0; i < mln_len(allowed) && !may; i++) {
        may = is_glob_of(mln_get_bytes(mln_item(allowed, i)), mln_bytes_of(alias));
    }
    if (!may) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid 'entity_alias' value");
    }
    struct mln_login asked = {.alias = alias};
    return mln_entity_login(rq, &asked, &c->spec);
}

static const char *path_of(struct creation *c)
{
    const char *suffix = mln_get_text(c->rq->cx, of_role(c, "path_suffix"), "");
    const char *path = mln_text_dup(c->rq->cx, c->rq->path);
    return suffix[0] == 0 ? path : mln_text_format(c->rq->cx, "%s/%s", path, suffix);
}

static void warn(struct creation *c)
{
    struct mln_request *rq = c->rq;
    if (mln_get_int(of_role(c, "token_period"), 0) > 0 && number(rq, "period") > 0) {
        mln_reply_warn(rq, c->re,
                       "period specified both during creation call and in role; using role value");
    }
}

static void fill_spec(struct creation *c)
{
    struct mln_request *rq = c->rq;
    int64_t role_uses = mln_get_int(of_role(c, "token_num_uses"), 0);
    bool may_renew = mln_get_bool(mln_field_of(rq, "renewable"), true) &&
                     mln_get_bool(of_role(c, "renewable"), true);
    c->is_orphan = flag(rq, "no_parent") || mln_bytes_ends(rq->rest, MLN_BYTES("create-orphan")) ||
                   mln_get_bool(of_role(c, "orphan"), false);
    c->spec.id = is_given(rq, "id") ? mln_get_text(rq->cx, mln_field_of(rq, "id"), "") : NULL;
    c->spec.display_name = child_name(rq);
    c->spec.path = path_of(c);
    c->spec.meta = mln_is_null(mln_field_of(rq, "meta")) ? NULL : mln_field_of(rq, "meta");
    c->spec.num_uses = c->is_batch ? 0 : least(number(rq, "num_uses"), role_uses);
    c->spec.parent = c->is_orphan ? NULL : rq->actor->token;
    c->spec.is_of_root = rq->actor->is_root || mln_get_bool(mln_get(rq->actor->token, "root_child"), false);
    c->spec.is_in_name = mln_len(mln_field_of(rq, "entity_alias")) > 0 || mln_get_bool(mln_get(rq->actor->token, "in_name"), false);
    c->spec.is_renewable = may_renew && !c->is_batch;
    c->spec.is_batch = c->is_batch;
    c->spec.bound_cidrs = of_role(c, "token_bound_cidrs");
}

struct mln_err mln_token_create_path(struct mln_request *rq, struct mln_reply *re)
{
    struct creation c = {.rq = rq, .re = re};
    const struct mln_value *auth = NULL;
    c.is_sudo = rq->actor->is_root || rq->services->may(rq, mln_text_dup(rq->cx, rq->path), "sudo");
    MLN_TRY(find_role(&c));
    MLN_TRY(check_fields(&c));
    fill_spec(&c);
    MLN_TRY(choose_policies(&c));
    MLN_TRY(choose_entity(&c));
    choose_times(&c);
    warn(&c);
    MLN_TRY(mln_token_create(mln_core_of(rq), rq->cx, rq->txn, rq->now_ns, &c.spec, &auth, NULL));
    mln_put(rq->cx, rq->detail, "accessor", mln_get(auth, "accessor"));
    mln_put(rq->cx, rq->detail, "policies", c.spec.policies);
    re->auth = auth;
    return mln_cx_err(rq->cx);
}
