/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spiffe/token: the token endpoint of RFC 8693. Tokens of Kubernetes, CI systems, clouds and other trust domains are verified and become
 * JWT-SVIDs or X.509-SVIDs by rules. Open to everybody, for the subject_token is what is shown. Answers and errors have the form of
 * RFC 6749; a refusal never says which rule did not fit.
 */
#include "identity/spiffe_exchange_priv.h"

#include "base/clock.h"
#include "identity/spiffe_bundle.h"
#include "policy/claims.h"

#define GRANT       "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE        "urn:ietf:params:oauth:token-type:"
#define TYPE_X509   "urn:merlon:params:oauth:token-type:x509-svid"
#define CSR_BYTES   16384u
#define TARGETS_MAX 64u

static struct mln_bytes field(const struct sx *x, const char *name)
{
    return mln_get_bytes(mln_field_of(x->rq, name));
}

/* ---- the request ---- */

static bool is_token_type(struct mln_bytes type)
{
    static const char *const types[] = {TYPE "jwt", TYPE "id_token", TYPE "access_token"};
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        if (mln_bytes_is(type, types[i])) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_request(struct sx *x)
{
    if (!mln_bytes_is(field(x, "grant_type"), GRANT)) {
        return sx_refuse(x, "unsupported_grant_type", "grant_type must be " GRANT,
                         "another grant_type");
    }
    if (field(x, "subject_token").len == 0 || !is_token_type(field(x, "subject_token_type"))) {
        return sx_refuse(x, "invalid_request",
                         "subject_token must be given, and its subject_token_type: " TYPE
                         "jwt, id_token or access_token",
                         "no subject_token of a known type");
    }
    if ((field(x, "actor_token").len > 0) != is_token_type(field(x, "actor_token_type"))) {
        return sx_refuse(x, "invalid_request",
                         "actor_token and actor_token_type (" TYPE "jwt) go together",
                         "no actor_token of a known type");
    }
    if (mln_bytes_trim(field(x, "scope")).len > 0) {
        return sx_refuse(x, "invalid_scope", "SVIDs have no scope: ask for an audience", "a scope");
    }
    struct mln_bytes wanted = field(x, "requested_token_type");
    bool is_known = wanted.len == 0 || mln_bytes_is(wanted, TYPE "jwt") ||
                    mln_bytes_is(wanted, TYPE "access_token") || mln_bytes_is(wanted, TYPE_X509);
    return is_known ? MLN_OK
                    : sx_refuse(x, "invalid_request",
                                "requested_token_type must be " TYPE "jwt or " TYPE_X509,
                                "another requested_token_type");
}

/* ---- for whom ---- */

static bool is_target(struct mln_bytes one)
{
    bool ok = one.len > 0 && one.len <= SP_AUDIENCE_BYTES && mln_utf8_valid(one);
    for (size_t i = 0; ok && i < one.len; i++) {
        ok = one.ptr[i] > ' ' && one.ptr[i] != 0x7f;
    }
    return ok;
}

/* RFC 8693 sec. 2.1: an absolute URI without fragment. */
static bool is_resource(struct mln_bytes one)
{
    size_t colon = mln_bytes_find(one, ':');
    return is_target(one) && colon > 0 && colon < one.len && mln_bytes_find(one, '#') == one.len;
}

static struct mln_err add_targets(struct sx *x, const char *name, bool (*is_good)(struct mln_bytes),
                                  struct mln_value *to)
{
    const struct mln_value *list = mln_field_of(x->rq, name);
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        if (!is_good(one) || mln_len(to) >= TARGETS_MAX) {
            return sx_refuse(x, "invalid_target", "an audience or resource cannot be one",
                             "a malformed target");
        }
        mln_push(x->rq->cx, to, mln_item(list, i));
    }
    return MLN_OK;
}

static bool may_be_for(const struct mln_value *rule, struct mln_bytes one)
{
    const struct mln_value *audiences = mln_get(rule, "audiences");
    for (size_t i = 0; i < mln_len(audiences); i++) {
        if (mln_glob_fits(mln_get_bytes(mln_item(audiences, i)), one)) {
            return true;
        }
    }
    return false;
}

/* What is asked for, else the only one that there is. */
static struct mln_err targets_of(struct sx *x, const struct mln_value **ret)
{
    struct mln_cx *cx = x->rq->cx;
    const struct mln_value *audiences = mln_get(x->rule, "audiences");
    struct mln_value *targets = mln_array(cx);
    MLN_TRY(add_targets(x, "audience", is_target, targets));
    MLN_TRY(add_targets(x, "resource", is_resource, targets));
    struct mln_bytes only =
        mln_len(audiences) == 1 ? mln_get_bytes(mln_item(audiences, 0)) : MLN_BYTES_NONE;
    if (mln_len(targets) == 0 && only.len > 0 && mln_bytes_find(only, '*') == only.len) {
        mln_push(cx, targets, mln_item(audiences, 0));
    }
    if (mln_len(targets) == 0) {
        return sx_refuse(x, "invalid_request", "audience must be given: whom the token is for",
                         "no audience");
    }
    for (size_t i = 0; i < mln_len(targets); i++) {
        if (!may_be_for(x->rule, mln_get_bytes(mln_item(targets, i)))) {
            return sx_refuse(x, "invalid_target", "the subject gets no token for this audience",
                             "an audience that the rule does not name");
        }
    }
    *ret = targets;
    return mln_cx_err(cx);
}

/* ---- what is given ---- */

static struct mln_value *answer_of(struct sx *x, struct mln_bytes token, const char *type,
                                   bool is_bearer, int64_t expires_s)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_value *bare = mln_object(cx);
    mln_put(cx, bare, "access_token", mln_secret_string(cx, token));
    mln_put_text(cx, bare, "issued_token_type", type);
    mln_put_text(cx, bare, "token_type", is_bearer ? "Bearer" : "N_A");
    mln_put_int(cx, bare, "expires_in", expires_s - x->rq->now_ns / SP_SECOND_NS);
    return bare;
}

static void note(struct sx *x, const char *member, const struct mln_value *what, int64_t expires_s)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_value *one = mln_object(cx);
    mln_put_text(cx, one, "spiffe_id", x->id);
    mln_put_text(cx, one, "issuer", x->issuer_name);
    mln_put_text(cx, one, "subject", x->subject);
    mln_put(cx, one, "rule", mln_get(x->rule, "name"));
    mln_put(cx, one, "subject_jti", mln_get(x->claims, "jti"));
    if (x->actor != NULL) {
        mln_put_text(cx, one, "actor", x->actor);
    }
    mln_put(cx, one, member, what);
    mln_put_int(cx, one, "expires", expires_s);
    mln_put(cx, x->rq->detail, "exchanged", one);
}

static struct mln_err give_jwt(struct sx *x, struct mln_reply *re)
{
    struct mln_request *rq = x->rq;
    struct sp_authority by;
    struct sp_token token = {.spiffe_id = x->id};
    char jti[37];
    struct sp_jwt_spec spec = {.spiffe_id = x->id,
                               .ttl_s = mln_get_int(mln_get(x->rule, "ttl"), 0),
                               .until_s = x->until_s,
                               .act = x->act};
    MLN_TRY(targets_of(x, &spec.audience));
    mln_uuid(jti);
    spec.jti = mln_text_dup(rq->cx, mln_bytes_of(jti));
    {
        SP_READ(x->state);
        MLN_TRY(sp_authority_borrow(rq->cx, x->state->authorities.jwt, x->state->authorities.jwt_n,
                                    rq->now_ns / SP_SECOND_NS, &by));
    }
    MLN_TRY(sx_use(x));
    MLN_TRY(sp_jwt_sign(rq, &by, &spec, &token));
    struct mln_value *what = mln_object(rq->cx);
    mln_put(rq->cx, what, "audience", spec.audience);
    mln_put_text(rq->cx, what, "jti", spec.jti);
    note(x, "jwt", what, token.expires_s);
    bool is_access = mln_bytes_is(field(x, "requested_token_type"), TYPE "access_token");
    re->bare = answer_of(x, token.svid, is_access ? TYPE "access_token" : TYPE "jwt", true,
                         token.expires_s);
    return mln_cx_err(rq->cx);
}

/* PEM, or base64 of DER. Its signature shows that whoever asks has the key. */
static struct mln_err read_csr(struct sx *x, struct mln_x509_info *ret)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_bytes text = mln_bytes_trim(field(x, "csr")), label, der = MLN_BYTES_NONE;
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {.max = CSR_BYTES};
    bool is_bad = false, is_pem = mln_bytes_starts(text, MLN_BYTES("-----BEGIN"));
    if (is_pem && text.len <= CSR_BYTES && mln_pem_next(cx, &text, &label, &der, &is_bad)) {
        der = mln_bytes_ends(label, MLN_BYTES("CERTIFICATE REQUEST")) ? der : MLN_BYTES_NONE;
    } else if (!is_pem && !mln_failed(mln_base64_parse(cx, text, MLN_B64_STD, &raw))) {
        der = mln_bytes_dup(cx, mln_buf_bytes(&raw));
    }
    bool is_good = der.len > 0 && !mln_failed(mln_x509_csr_read(cx, der, ret)) &&
                   (ret->kind != MLN_KEY_RSA || ret->bits >= 2048);
    return is_good ? MLN_OK
                   : sx_refuse(x, "invalid_request",
                               "csr must be a certificate request in PEM, or base64 of DER, signed "
                               "by its own key",
                               "a certificate request that is none");
}

static const char *pem_of(struct mln_cx *cx, struct mln_bytes chain)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    for (size_t n; chain.len > 0; chain = mln_bytes_from(chain, n)) {
        n = sp_der_length(chain);
        MLN_CHECK(n > 0); /* built by us, or read before it was kept */
        mln_buf_add_text(&out, mln_pem_text(cx, "CERTIFICATE", mln_bytes_sub(chain, 0, n)));
        mln_buf_add_byte(&out, '\n');
    }
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

static struct mln_err sign_leaf(struct sx *x, const struct mln_x509_info *csr, struct sp_made *ret)
{
    struct mln_request *rq = x->rq;
    struct sp_config config;
    struct sp_authority by;
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    MLN_TRY(sp_config_get(rq, &config));
    int64_t ttl_s = mln_get_int(mln_get(x->rule, "x509_ttl"), config.x509_ttl_s);
    ttl_s = x->until_s > 0 && x->until_s - now_s < ttl_s ? x->until_s - now_s : ttl_s;
    struct sp_leaf leaf = {
        .spki = csr->spki, .spiffe_id = x->id, .ttl_s = ttl_s, .is_rsa = csr->kind == MLN_KEY_RSA};
    {
        SP_READ(x->state);
        MLN_TRY(sp_authority_borrow(rq->cx, x->state->authorities.x509,
                                    x->state->authorities.x509_n, now_s, &by));
    }
    return sp_leaf_sign(rq->cx, &by, &leaf, now_s, ret);
}

static struct mln_err give_x509(struct sx *x, struct mln_reply *re)
{
    struct mln_request *rq = x->rq;
    struct mln_x509_info csr;
    struct sp_made made;
    struct mln_bytes roots;
    if (!mln_get_bool(mln_get(x->rule, "x509"), false)) {
        return sx_refuse(x, "invalid_target", "the subject gets no X.509-SVID",
                         "the rule gives no X.509-SVIDs");
    }
    if (x->act !=
        NULL) { /* a certificate cannot say it, and must not say less than the token did */
        return sx_refuse(x, "invalid_target", "an X.509-SVID cannot say who acts for the subject",
                         "an X.509-SVID for somebody who acts");
    }
    MLN_TRY(read_csr(x, &csr));
    MLN_TRY(sx_use(x));
    MLN_TRY(sign_leaf(x, &csr, &made));
    MLN_TRY(sp_roots_of(rq, x->state, x->state->id, &roots));
    note(x, "serial", mln_text(rq->cx, mln_hex_text(rq->cx, made.serial)), made.not_after_s);
    struct mln_value *bare =
        answer_of(x, mln_bytes_of(pem_of(rq->cx, made.chain)), TYPE_X509, false, made.not_after_s);
    mln_put_text(rq->cx, bare, "trust_bundle", pem_of(rq->cx, roots));
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

/* ---- the endpoint ---- */

static struct mln_err exchange(struct sx *x, struct mln_reply *re)
{
    MLN_TRY(sp_state_get(x->rq, &x->state));
    MLN_TRY(check_request(x));
    MLN_TRY(sx_subject(x));
    MLN_TRY(sx_rule(x));
    MLN_TRY(sx_actor(x));
    return mln_bytes_is(field(x, "requested_token_type"), TYPE_X509) ? give_x509(x, re)
                                                                     : give_jwt(x, re);
}

static struct mln_err answer_error(struct sx *x, struct mln_reply *re, const struct sx_error *e)
{
    struct mln_cx *cx = x->rq->cx;
    struct mln_value *bare = mln_object(cx);
    mln_cx_clear(cx);
    mln_put_text(cx, bare, "error", e->error);
    mln_put_text(cx, bare, "error_description", e->description);
    mln_put_text(cx, x->rq->detail, "refused", e->why);
    *re = (struct mln_reply){.status = e->status, .bare = bare, .ledger_index = re->ledger_index};
    return mln_cx_err(cx);
}

/* Keys that cannot be had just now, authorities that are being read: it passes. */
static bool is_passing(struct mln_err err)
{
    static const enum mln_code codes[] = {MLN_E_UNREACHABLE, MLN_E_TIMEOUT, MLN_E_LIMIT,
                                          MLN_E_TOO_LARGE,   MLN_E_REMOTE,  MLN_E_UNSUPPORTED,
                                          MLN_E_DENIED};
    for (size_t i = 0; i < MLN_COUNT(codes); i++) {
        if (mln_is(err, codes[i])) {
            return true;
        }
    }
    return false;
}

static struct mln_err write_token(struct mln_request *rq, struct mln_reply *re)
{
    struct sx x = {.rq = rq};
    struct mln_err err = exchange(&x, re);
    if (mln_failed(err) && x.refused.error != NULL && mln_is(err, MLN_E_INVALID)) {
        return answer_error(&x, re, &x.refused);
    }
    if (is_passing(err)) {
        struct sx_error passing = {.status = 503,
                                   .error = "temporarily_unavailable",
                                   .description =
                                       "the subject_token cannot be verified at the moment",
                                   .why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text))};
        return answer_error(&x, re, &passing);
    }
    return err;
}

static const struct mln_field fields[] = {
    {.name = "grant_type", .type = MLN_FIELD_TEXT, .help = GRANT "."},
    {.name = "subject_token", .type = MLN_FIELD_SECRET, .help = "The token that is exchanged."},
    {.name = "subject_token_type",
     .type = MLN_FIELD_TEXT,
     .help = TYPE "jwt, id_token or access_token."},
    {.name = "audience", .type = MLN_FIELD_LIST, .help = "Whom the new token is for."},
    {.name = "resource", .type = MLN_FIELD_LIST, .help = "The same as absolute URIs."},
    {.name = "scope", .type = MLN_FIELD_TEXT, .help = "Must be empty: SVIDs have none."},
    {.name = "requested_token_type",
     .type = MLN_FIELD_TEXT,
     .help = TYPE "jwt (default) or " TYPE_X509 "."},
    {.name = "csr",
     .type = MLN_FIELD_TEXT,
     .help = "For an X.509-SVID: a certificate request, PEM or base64."},
    {.name = "actor_token",
     .type = MLN_FIELD_SECRET,
     .help = "The JWT-SVID of who acts for the subject."},
    {.name = "actor_token_type", .type = MLN_FIELD_TEXT, .help = TYPE "jwt."},
    {.name = "spiffe_id",
     .type = MLN_FIELD_TEXT,
     .help = "Only this identity, where several rules fit."},
    {0},
};

const struct mln_path sp_exchange_paths[] = {
    {.pattern = "token",
     .summary = "Exchange a token of others for an SVID (RFC 8693).",
     .fields = fields,
     .write = write_token,
     .is_open = true,
     .may_block = true,
     .act = MLN_ACT_LOGIN,
     .controls = "IA-8,IA-9"},
    {0},
};
