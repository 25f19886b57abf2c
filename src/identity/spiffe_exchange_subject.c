/* SPDX-License-Identifier: Apache-2.0 */
/* Token exchange: whose token is it, which rule is for him, who acts for him. Why somebody is refused stands in the record alone. */
#include "identity/spiffe_exchange_priv.h"

#include "crypto/crypto.h"
#include "policy/claims.h"
#include "policy/issuer.h"

#define NOT_TAKEN     "the subject_token is not accepted here"
#define ACT_NOT_TAKEN "the actor_token is not accepted here"
#define SWEEP_MAX     500u /* rows of one tick */

struct mln_err sx_refuse(struct sx *x, const char *error, const char *description, const char *why)
{
    if (x->refused.error == NULL) {
        x->refused = (struct sx_error){
            .status = 400, .error = error, .description = description, .why = why};
    }
    mln_cx_clear(x->rq->cx);
    return mln_fail(x->rq->cx, MLN_E_INVALID, "%s", description);
}

/* RFC 8693 sec. 2.2.2: whatever is wrong with either token is an invalid request. */
static struct mln_err not_taken(struct sx *x, const char *why)
{
    return sx_refuse(x, "invalid_request", NOT_TAKEN, why);
}

static struct mln_err not_taken_because(struct sx *x)
{
    return not_taken(x, mln_text_dup(x->rq->cx, mln_bytes_of(x->rq->cx->text)));
}

/* ---- the subject ---- */

static struct mln_err find_issuer(struct sx *x, const struct mln_value *iss)
{
    struct mln_value *rows = NULL;
    MLN_TRY(sx_rows(x->rq, SX_ISSUER, &rows));
    for (size_t i = 0; mln_type_of(iss) == MLN_STRING && i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        if (mln_get(row, "issuer") != NULL && mln_value_eq(mln_get(row, "issuer"), iss)) {
            x->issuer = row;
            x->issuer_name = mln_get_text(x->rq->cx, mln_get(row, "name"), "");
        }
    }
    return mln_cx_err(x->rq->cx);
}

/* Logins may do without exp; what is turned into something else may not. */
static struct mln_err check_others(struct sx *x)
{
    struct mln_cx *cx = x->rq->cx;
    const struct mln_claim_leeways leeways = {.clock_skew_s = SP_SKEW_S};
    double exp = mln_get_double(mln_get(x->claims, "exp"), -1);
    MLN_TRY(mln_claims_check_audience(cx, x->claims, mln_get(x->issuer, "audiences")));
    if (exp <= 0) {
        return mln_fail(cx, MLN_E_INVALID, "it has no exp");
    }
    return mln_claims_check_times(cx, x->claims, x->rq->now_ns, &leeways);
}

static struct mln_err verify_others(struct sx *x, struct mln_bytes token)
{
    struct mln_request *rq = x->rq;
    if (rq->services->reach == NULL && mln_len(mln_get(x->issuer, "public_keys")) == 0) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "this server reaches nothing outside");
    }
    struct mln_err err =
        mln_issuer_verify(rq, sx_issuer_config(rq->cx, x->issuer), token, &x->claims);
    err = mln_failed(err) ? err : check_others(x);
    return mln_is(err, MLN_E_BAD_LOGIN) || mln_is(err, MLN_E_INVALID) ? not_taken_because(x) : err;
}

/* A JWT-SVID for one of the audiences of exchanges. INVALID or DENIED, with why */
static struct mln_err verify_svid(struct sx *x, struct mln_bytes token, const char **ret_id,
                                  const struct mln_value **ret_claims)
{
    const struct mln_value *audiences = NULL;
    struct mln_spiffe_id id;
    MLN_TRY(sx_audiences_of(x->rq, &audiences));
    struct mln_err err = mln_fail(x->rq->cx, MLN_E_INVALID, "no audience is configured");
    for (size_t i = 0; mln_failed(err) && i < mln_len(audiences); i++) {
        struct sp_asked asked = {.token = token,
                                 .audience = mln_get_text(x->rq->cx, mln_item(audiences, i), "")};
        mln_cx_clear(x->rq->cx);
        err = sp_jwt_validate(x->rq, x->state, &asked, ret_id, ret_claims);
    }
    MLN_TRY(err);
    MLN_TRY(mln_spiffe_id_parse(x->rq->cx, mln_bytes_of(*ret_id), &id));
    return sp_policy_check(x->rq, x->state, &id);
}

/* What templates can name of an id besides claims. */
static struct mln_err take_svid(struct sx *x, const char *id_text, const struct mln_value *claims)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_value *all = mln_value_dup(cx, claims);
    struct mln_spiffe_id id;
    MLN_TRY(mln_spiffe_id_parse(cx, mln_bytes_of(id_text), &id));
    mln_put_bytes(cx, all, "trust_domain", id.domain);
    mln_put_bytes(cx, all, "path", mln_bytes_from(id.path, 1));
    x->claims = all;
    x->issuer_name = SX_SPIFFE;
    x->is_svid = true;
    x->until_s = (int64_t)mln_get_double(mln_get(claims, "exp"),
                                         1); /* else one token would go on for ever */
    return mln_cx_err(cx);
}

static struct mln_err by_svid(struct sx *x, struct mln_bytes token)
{
    const char *id = NULL;
    const struct mln_value *claims = NULL;
    struct mln_err err = verify_svid(x, token, &id, &claims);
    if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_DENIED)) {
        return not_taken_because(x);
    }
    MLN_TRY(err);
    return take_svid(x, id, claims);
}

struct mln_err sx_subject(struct sx *x)
{
    struct mln_request *rq = x->rq;
    struct mln_jose_token parsed;
    struct mln_bytes token = mln_get_bytes(mln_field_of(rq, "subject_token"));
    if (mln_failed(mln_jose_parse(rq->cx, token, &parsed))) {
        return not_taken(x, "it is no signed JWT");
    }
    MLN_TRY(find_issuer(x, mln_get(parsed.claims, "iss")));
    bool is_svid =
        x->issuer == NULL &&
        mln_bytes_starts(mln_get_bytes(mln_get(parsed.claims, "sub")), MLN_BYTES("spiffe://"));
    if (x->issuer == NULL && !is_svid) {
        return not_taken(x, "its issuer is not configured");
    }
    MLN_TRY(is_svid ? by_svid(x, token) : verify_others(x, token));
    x->whole = parsed.claims; /* of the text that was verified */
    x->subject = mln_get_text(rq->cx, mln_get(x->claims, "sub"), "");
    if (rq->services->vouch != NULL) {
        rq->services->vouch(rq, mln_text_format(rq->cx, "%s %.*s", x->issuer_name,
                                                MLN_FMT(mln_bytes_of(x->subject))));
    }
    return mln_cx_err(rq->cx);
}

/* ---- the rule ---- */

static bool fits_one(const struct mln_value *patterns, const char *id)
{
    for (size_t i = 0; i < mln_len(patterns); i++) {
        if (mln_spiffe_pattern_fits(mln_get_bytes(mln_item(patterns, i)), mln_bytes_of(id))) {
            return true;
        }
    }
    return false;
}

static bool fits(struct sx *x, const struct mln_value *rule)
{
    struct mln_cx *cx = x->rq->cx;
    bool is_glob = mln_is_text(mln_get(rule, "bound_claims_type"), "glob");
    struct mln_bytes subject = mln_get_bytes(mln_get(rule, "bound_subject")),
                     mine = mln_bytes_of(x->subject);
    bool ok = mln_is_text(mln_get(rule, "issuer"), x->issuer_name);
    ok = ok && (subject.len == 0 ||
                (is_glob ? mln_glob_fits(subject, mine) : mln_bytes_eq(subject, mine)));
    ok = ok && (!x->is_svid || fits_one(mln_get(rule, "bound_ids"), x->subject));
    ok = ok &&
         !mln_failed(mln_claims_check_bound(cx, x->claims, mln_get(rule, "bound_claims"), is_glob));
    mln_cx_clear(cx);
    return ok;
}

/* A claim that does not fit refuses: another rule might be wider than this one was meant to be. */
static struct mln_err make_id(struct sx *x, const struct mln_value *rule)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_bytes template = mln_get_bytes(mln_get(rule, "id_template"));
    struct mln_spiffe_id id;
    if (template.len > 0) {
        struct mln_err err = sp_claims_id_fill(cx, template, x->claims, &x->id);
        return mln_is(err, MLN_E_INVALID) ? not_taken_because(x) : err;
    }
    MLN_TRY(mln_spiffe_id_parse(cx, mln_bytes_of(x->subject), &id));
    if (!mln_bytes_is(id.domain, x->state->domain) || sp_id_is_reserved(&id)) {
        return not_taken(x, "a rule without id_template keeps an id of this trust domain's "
                            "workloads, and this is none");
    }
    x->id = x->subject;
    return MLN_OK;
}

struct mln_err sx_rule(struct sx *x)
{
    struct mln_value *rules = NULL;
    struct mln_bytes wanted = mln_get_bytes(mln_field_of(x->rq, "spiffe_id"));
    MLN_TRY(sx_rows(x->rq, SX_RULE, &rules));
    for (size_t i = 0; i < mln_len(rules); i++) {
        const struct mln_value *rule = mln_item(rules, i);
        if (!fits(x, rule)) {
            continue;
        }
        MLN_TRY(make_id(x, rule));
        if (wanted.len == 0 || mln_bytes_is(wanted, x->id)) {
            x->rule = rule;
            return MLN_OK;
        }
    }
    x->id = NULL;
    return not_taken(x, wanted.len == 0 ? "no rule is for it"
                                        : "no rule for it makes the id that is asked for");
}

/* ---- who acts for him ---- */

bool sx_act_is_ours(const struct mln_value *act)
{
    size_t n = 0;
    for (; act != NULL; act = mln_get(act, "act"), n++) {
        const struct mln_value *sub = mln_get(act, "sub"), *more = mln_get(act, "act");
        bool ok = mln_type_of(act) == MLN_OBJECT && mln_len(act) == (more == NULL ? 1u : 2u) &&
                  mln_type_of(sub) == MLN_STRING && mln_len(sub) > 0 &&
                  mln_len(sub) <= MLN_SPIFFE_ID_MAX;
        if (!ok || n == SX_ACT_DEPTH) {
            return false;
        }
    }
    return true;
}

/* What our own JWT-SVIDs say of actors stays said. Of another trust domain it is that domain's word, which we would sign: it is refused,
 * for without its actors the token would say more than was shown. Of other issuers' tokens an act means nothing here. */
static struct mln_err acted_before(struct sx *x, const struct mln_value **ret)
{
    struct mln_spiffe_id id;
    const struct mln_value *act = x->is_svid ? mln_get(x->whole, "act") : NULL;
    *ret = NULL;
    if (act == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_spiffe_id_parse(x->rq->cx, mln_bytes_of(x->subject), &id));
    if (!mln_bytes_is(id.domain, x->state->domain)) {
        return not_taken(x, "somebody acts in a token of another trust domain");
    }
    if (!sx_act_is_ours(act)) {
        return not_taken(x, "its act is none of ours");
    }
    *ret = act;
    return MLN_OK;
}

/* RFC 8693 sec. 4.4: the subject says himself who may act for him. */
static bool may_act(struct sx *x, const struct mln_value *may)
{
    struct sp_config config;
    const struct mln_value *iss = mln_get(may, "iss");
    if (may == NULL) {
        return true;
    }
    if (mln_type_of(may) != MLN_OBJECT || x->actor == NULL ||
        mln_failed(sp_config_get(x->rq, &config))) {
        return false;
    }
    return mln_is_text(mln_get(may, "sub"), x->actor) &&
           (iss == NULL || mln_is_text(iss, config.issuer));
}

static struct mln_err read_actor(struct sx *x, struct mln_bytes token)
{
    const struct mln_value *claims = NULL;
    struct mln_err err = verify_svid(x, token, &x->actor, &claims);
    if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_DENIED)) {
        return sx_refuse(x, "invalid_request", ACT_NOT_TAKEN,
                         mln_text_dup(x->rq->cx, mln_bytes_of(x->rq->cx->text)));
    }
    MLN_TRY(err);
    int64_t exp_s = (int64_t)mln_get_double(mln_get(claims, "exp"), 1);
    x->until_s = x->until_s == 0 || exp_s < x->until_s ? exp_s : x->until_s;
    return fits_one(mln_get(x->rule, "actors"), x->actor)
               ? MLN_OK
               : sx_refuse(x, "invalid_request", ACT_NOT_TAKEN, "the rule does not let it act");
}

struct mln_err sx_actor(struct sx *x)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_bytes token = mln_get_bytes(mln_field_of(x->rq, "actor_token"));
    const struct mln_value *before = NULL;
    MLN_TRY(acted_before(x, &before));
    x->act = before;
    if ((token.len == 0) != (mln_len(mln_get(x->rule, "actors")) == 0)) {
        return sx_refuse(x, "invalid_request", token.len == 0 ? NOT_TAKEN : ACT_NOT_TAKEN,
                         token.len == 0 ? "the rule wants somebody to act for the subject"
                                        : "the rule lets nobody act for the subject");
    }
    if (token.len > 0) {
        struct mln_value *act = mln_object(cx);
        MLN_TRY(read_actor(x, token));
        mln_put_text(cx, act, "sub", x->actor);
        if (before != NULL) {
            mln_put(cx, act, "act", before);
        }
        x->act = act;
    }
    if (!may_act(x, mln_get(x->whole, "may_act"))) {
        return not_taken(x, "its may_act names another actor");
    }
    return sx_act_is_ours(x->act) ? mln_cx_err(cx) : not_taken(x, "too many act for each other");
}

/* ---- single uses ---- */

static const char *used_key(struct sx *x, struct mln_bytes jti, int64_t exp_s)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    uint8_t digest[MLN_SHA256_BYTES];
    mln_buf_add_text(&all, x->issuer_name);
    mln_buf_add_byte(&all, 0);
    mln_buf_add_bytes(&all, jti);
    mln_sha256(mln_buf_bytes(&all), digest);
    return mln_text_format(x->rq->cx, "%012lld/%s", (long long)(exp_s / 3600),
                           mln_hex_text(x->rq->cx, mln_bytes_at(digest, sizeof(digest))));
}

/* Two that come with it at once make a conflict, and the second finds the row. */
struct mln_err sx_use(struct sx *x)
{
    struct mln_request *rq = x->rq;
    const struct mln_value *row = NULL, *jti = mln_get(x->claims, "jti");
    int64_t exp_s = (int64_t)mln_get_double(mln_get(x->claims, "exp"), 0);
    if (x->issuer == NULL || !mln_get_bool(mln_get(x->issuer, "single_use"), false)) {
        return MLN_OK;
    }
    if (mln_type_of(jti) != MLN_STRING || mln_len(jti) == 0 ||
        exp_s > rq->now_ns / SP_SECOND_NS + SX_USED_S) {
        return not_taken(x, "a token of a single use needs a jti and lives a day at most");
    }
    struct mln_bytes key = mln_bytes_of(used_key(x, mln_get_bytes(jti), exp_s));
    struct mln_err err = sp_row_get(rq, SX_USED, key, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        return sp_row_put(rq, SX_USED, key, mln_object(rq->cx));
    }
    return mln_failed(err) ? err : not_taken(x, "it was exchanged before");
}

static struct mln_err sweep_hour(struct mln_request *rq, struct mln_bytes hour, size_t *ret_left)
{
    const char *folder = mln_text_format(rq->cx, SX_USED "%.*s", MLN_FMT(hour));
    const struct mln_value *names = NULL;
    MLN_TRY(sp_row_names(rq, folder, &names));
    for (size_t i = 0; i < mln_len(names) && *ret_left > 0; i++, --*ret_left) {
        MLN_TRY(sp_row_delete(rq, folder, mln_get_bytes(mln_item(names, i))));
    }
    return MLN_OK;
}

/* Hours sort by their digits; a token is remembered until the hour after the one in which it expires, for clocks differ. */
struct mln_err sx_sweep(struct mln_request *rq)
{
    const struct mln_value *hours = NULL;
    size_t left = SWEEP_MAX;
    int64_t now_hour = rq->now_ns / SP_SECOND_NS / 3600, hour = 0;
    MLN_TRY(sp_row_names(rq, SX_USED, &hours));
    for (size_t i = 0; i < mln_len(hours) && left > 0; i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(hours, i)), rest;
        bool is_number = mln_i64_parse(mln_bytes_cut(name, '/', &rest), &hour);
        if (!is_number || hour + 1 >= now_hour) {
            break;
        }
        MLN_TRY(sweep_hour(rq, name, &left));
    }
    return mln_cx_err(rq->cx);
}
