/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second factors: a login that needs one either brings its code (X-Vault-MFA) or gets an id instead of a token, with which the code is
 * handed in at sys/mfa/validate. Wrong codes are answered as 403 with what they cost committed, so that guessing is counted.
 */
#include "core/sys_priv.h"

#include "identity/identity.h"

static const char *const texts[] = {"alias", "display_name"};
static const char *const numbers[] = {"ttl_s", "max_ttl_s", "period_s", "explicit_max_ttl_s",
                                      "num_uses"};

/* ---- a login as a value ---- */

static void put_value(struct mln_cx *cx, struct mln_value *to, const char *key,
                      const struct mln_value *v)
{
    mln_put(cx, to, key, v != NULL ? v : mln_null(cx));
}

static struct mln_value *pack(struct mln_cx *cx, const struct mln_login *l)
{
    const int64_t values[] = {l->ttl_s, l->max_ttl_s, l->period_s, l->explicit_max_ttl_s,
                              l->num_uses};
    struct mln_value *v = mln_object(cx);
    mln_put(cx, v, texts[0], mln_text(cx, l->alias));
    mln_put(cx, v, texts[1], mln_text(cx, l->display_name));
    for (size_t i = 0; i < MLN_COUNT(numbers); i++) {
        mln_put_int(cx, v, numbers[i], values[i]);
    }
    put_value(cx, v, "policies", l->policies);
    put_value(cx, v, "meta", l->meta);
    put_value(cx, v, "bound_cidrs", l->bound_cidrs);
    put_value(cx, v, "groups", l->groups);
    put_value(cx, v, "alias_meta", l->alias_meta);
    put_value(cx, v, "internal", l->internal);
    mln_put_bool(cx, v, "no_default_policy", l->no_default_policy);
    mln_put_bool(cx, v, "is_batch", l->is_batch);
    mln_put_bool(cx, v, "is_not_renewable", l->is_not_renewable);
    return v;
}

static const struct mln_value *or_null(const struct mln_value *v, const char *key)
{
    return mln_is_null(mln_get(v, key)) ? NULL : mln_get(v, key);
}

static struct mln_login unpack(struct mln_cx *cx, const struct mln_value *v)
{
    return (struct mln_login){
        .alias = mln_get_text(cx, mln_get(v, "alias"), NULL),
        .display_name = mln_get_text(cx, mln_get(v, "display_name"), NULL),
        .policies = or_null(v, "policies"),
        .meta = or_null(v, "meta"),
        .ttl_s = mln_get_int(mln_get(v, "ttl_s"), 0),
        .max_ttl_s = mln_get_int(mln_get(v, "max_ttl_s"), 0),
        .period_s = mln_get_int(mln_get(v, "period_s"), 0),
        .explicit_max_ttl_s = mln_get_int(mln_get(v, "explicit_max_ttl_s"), 0),
        .num_uses = mln_get_int(mln_get(v, "num_uses"), 0),
        .no_default_policy = mln_get_bool(mln_get(v, "no_default_policy"), false),
        .is_batch = mln_get_bool(mln_get(v, "is_batch"), false),
        .is_not_renewable = mln_get_bool(mln_get(v, "is_not_renewable"), false),
        .bound_cidrs = or_null(v, "bound_cidrs"),
        .groups = or_null(v, "groups"),
        .alias_meta = or_null(v, "alias_meta"),
        .internal = or_null(v, "internal"),
    };
}

/* ---- answers ---- */

static struct mln_err refuse(struct mln_request *rq)
{
    struct mln_reply *re = &mln_run_of(rq)->reply;
    struct mln_value *bare = mln_object(rq->cx), *errors = mln_array(rq->cx);
    mln_push_text(rq->cx, errors, "failed to validate MFA: permission denied");
    mln_put(rq->cx, bare, "errors", errors);
    mln_put_text(rq->cx, rq->detail, "mfa", "refused");
    *re = (struct mln_reply){.status = 403, .bare = bare, .ledger_index = re->ledger_index};
    return mln_cx_err(rq->cx);
}

static const struct mln_value *waiting_auth(struct mln_cx *cx, const char *entity_id,
                                            const char *id, const struct mln_value *constraints)
{
    struct mln_value *auth = mln_object(cx), *need = mln_object(cx);
    mln_put_text(cx, need, "mfa_request_id", id);
    mln_put(cx, need, "mfa_constraints", constraints);
    mln_put_text(cx, auth, "client_token", "");
    mln_put_text(cx, auth, "accessor", "");
    mln_put_null(cx, auth, "policies");
    mln_put_null(cx, auth, "token_policies");
    mln_put_null(cx, auth, "metadata");
    mln_put_int(cx, auth, "lease_duration", 0);
    mln_put_bool(cx, auth, "renewable", false);
    mln_put_text(cx, auth, "entity_id", entity_id);
    mln_put_text(cx, auth, "token_type", "default");
    mln_put_bool(cx, auth, "orphan", false);
    mln_put(cx, auth, "mfa_requirement", need);
    mln_put_int(cx, auth, "num_uses", 0);
    return auth;
}

/* ---- at a login ---- */

/* "METHOD-ID:CODE" */
static const struct mln_value *from_header(struct mln_request *rq)
{
    struct mln_bytes header =
        mln_get_bytes(mln_get(mln_get(mln_run_of(rq)->message, "headers"), "x-vault-mfa"));
    struct mln_bytes code, id = mln_bytes_cut(header, ':', &code);
    struct mln_value *given = mln_object(rq->cx), *codes = mln_array(rq->cx);
    if (code.len == 0) {
        return NULL;
    }
    mln_push(rq->cx, codes, mln_secret_string(rq->cx, code));
    mln_put_key(rq->cx, given, id, codes);
    return given;
}

struct mln_err mln_mfa_login(struct mln_request *rq, const struct mln_login *login,
                             const char *entity_id, const struct mln_value **ret_auth,
                             bool *ret_waits)
{
    const struct mln_value *constraints = NULL, *given = from_header(rq);
    const char *id = NULL;
    bool ok = false;
    *ret_waits = false;
    if (mln_run_of(rq)->mfa_done) {
        return MLN_OK;
    }
    MLN_TRY(mln_mfa_needed(rq->cx, rq->txn, rq->mount, entity_id, &constraints));
    if (constraints == NULL) {
        return MLN_OK;
    }
    if (given != NULL || entity_id[0] == 0) {
        const struct mln_mfa_try t = {.entity_id = entity_id,
                                      .constraints = constraints,
                                      .given = given,
                                      .now_ns = rq->now_ns};
        MLN_TRY(mln_mfa_check(rq->cx, rq->txn, &t, &ok));
        *ret_waits = !ok;
        return ok ? MLN_OK : refuse(rq);
    }
    struct mln_value *pending = mln_object(rq->cx);
    mln_put(rq->cx, pending, "login", pack(rq->cx, login));
    mln_put(rq->cx, pending, "constraints", constraints);
    mln_put_text(rq->cx, pending, "entity_id", entity_id);
    mln_put_text(rq->cx, pending, "accessor", rq->mount->accessor);
    mln_put_bytes(rq->cx, pending, "path", rq->path);
    mln_put_text(rq->cx, pending, "from", rq->source);
    MLN_TRY(mln_mfa_keep(rq->cx, rq->txn, pending, rq->now_ns, &id));
    mln_put_text(rq->cx, rq->detail, "mfa", "waits");
    *ret_waits = true;
    *ret_auth = waiting_auth(rq->cx, entity_id, id, constraints);
    return mln_cx_err(rq->cx);
}

/* ---- sys/mfa/validate ---- */

/* {"<id>":["123456"]}; a bare text counts as a list of one. */
static const struct mln_value *payload(struct mln_request *rq)
{
    const struct mln_value *v = mln_field_of(rq, "mfa_payload");
    struct mln_value *out = mln_object(rq->cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        struct mln_value *one = mln_array(rq->cx);
        if (mln_type_of(&m->value) == MLN_STRING) {
            mln_push(rq->cx, one, &m->value);
        }
        mln_put_key(rq->cx, out, m->key, mln_type_of(&m->value) == MLN_ARRAY ? &m->value : one);
    }
    return out;
}

static struct mln_err log_in(struct mln_request *rq, struct mln_reply *re,
                             const struct mln_value *pending)
{
    struct mln_request inner = *rq;
    struct mln_login login = unpack(rq->cx, mln_get(pending, "login"));
    inner.mount = rq->services->mount(rq, mln_get_text(rq->cx, mln_get(pending, "accessor"), ""));
    inner.path = mln_get_bytes(mln_get(pending, "path"));
    if (inner.mount == NULL || inner.mount->engine == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid request ID");
    }
    mln_run_of(rq)->mfa_done = true;
    return mln_token_login(&inner, &login, &re->auth);
}

static struct mln_err validate(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "mfa_request_id"));
    const struct mln_value *pending = NULL;
    bool ok = false;
    if (id.len == 0 || mln_len(mln_field_of(rq, "mfa_payload")) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        id.len == 0 ? "missing request ID" : "missing mfa_payload");
    }
    struct mln_err err = mln_mfa_pending(rq->cx, rq->txn, id, rq->now_ns, &pending);
    if (mln_is(err, MLN_E_NOT_FOUND) ||
        (!mln_failed(err) && !mln_is_text(mln_get(pending, "from"), rq->source))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid request ID");
    }
    MLN_TRY(err);
    const struct mln_mfa_try t = {
        .entity_id = mln_get_text(rq->cx, mln_get(pending, "entity_id"), ""),
        .constraints = mln_get(pending, "constraints"),
        .given = payload(rq),
        .now_ns = rq->now_ns,
    };
    MLN_TRY(mln_mfa_check(rq->cx, rq->txn, &t, &ok));
    if (!ok) {
        return refuse(rq);
    }
    MLN_TRY(mln_mfa_done(rq->cx, rq->txn, id));
    return log_in(rq, re, pending);
}

static const struct mln_field validate_fields[] = {
    F_TEXT("mfa_request_id", "What the login answered."),
    {.name = "mfa_payload", .type = MLN_FIELD_MAP, .help = "Codes by method id."},
    {0},
};

const struct mln_path mln_sys_mfa[] = {
    {.pattern = "mfa/validate",
     .summary = "End a login that waits for a second factor.",
     .fields = validate_fields,
     .write = validate,
     .is_open = true,
     .act = MLN_ACT_LOGIN,
     .controls = "IA-2"},
    {0},
};
