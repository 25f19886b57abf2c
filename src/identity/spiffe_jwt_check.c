/* SPDX-License-Identifier: Apache-2.0 */
/* JWT-SVIDs: validating those of any trust domain that is known, at the server and at a node's replica. */
#include "identity/spiffe_priv.h"

#define SEEN 4096u /* signatures that are known to be right: 32 bytes each */

struct mln_err sp_jwt_invalid(struct mln_cx *cx, const char *why)
{
    return mln_refail(cx, MLN_E_INVALID, "this is no valid JWT-SVID: %s", why);
}

static bool is_for(const struct mln_value *aud, const char *audience)
{
    if (mln_type_of(aud) == MLN_STRING) {
        return mln_is_text(aud, audience);
    }
    for (size_t i = 0; i < mln_len(aud); i++) {
        if (mln_is_text(mln_item(aud, i), audience)) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_claims(struct mln_cx *cx, const struct mln_jose_token *token,
                                   const char *audience, double now_s)
{
    const struct mln_value *typ = mln_get(token->header, "typ"),
                           *exp = mln_get(token->claims, "exp"),
                           *nbf = mln_get(token->claims, "nbf");
    if (typ != NULL && !mln_is_text(typ, "JWT") && !mln_is_text(typ, "JOSE")) {
        return sp_jwt_invalid(cx, "its typ is neither JWT nor JOSE");
    }
    if (token->kid.len == 0 || token->alg == MLN_JOSE_EDDSA) {
        return sp_jwt_invalid(cx, token->kid.len == 0 ? "it names no key"
                                                      : "its algorithm is not one of SPIFFE's");
    }
    if (mln_get_double(exp, -1) <= now_s) {
        return sp_jwt_invalid(cx, mln_get_double(exp, -1) < 0 ? "it has no exp" : "it has expired");
    }
    if (nbf != NULL && mln_get_double(nbf, now_s + 1) > now_s) {
        return sp_jwt_invalid(cx, "it is not valid yet");
    }
    return is_for(mln_get(token->claims, "aud"), audience)
               ? MLN_OK
               : sp_jwt_invalid(cx, "it is for another audience");
}

struct mln_err sp_jwt_signature(struct mln_cx *cx, const struct mln_jose_public *key,
                                const struct mln_jose_token *token)
{
    return mln_failed(mln_jose_verify(cx, key, token))
               ? sp_jwt_invalid(cx, "its signature is wrong")
               : MLN_OK;
}

struct mln_err sp_foreign_key(struct mln_cx *cx, const struct sp_foreign *list,
                              const struct mln_jose_token *token, const char *domain,
                              const struct mln_jose_public **ret)
{
    const struct sp_foreign *f = list;
    while (f != NULL && !mln_bytes_is(mln_bytes_of(domain), f->id)) {
        f = f->next;
    }
    for (size_t i = 0; f != NULL && i < f->keys_n; i++) {
        if (mln_bytes_is(token->kid, f->keys[i].kid)) {
            *ret = f->keys[i].public;
            return MLN_OK;
        }
    }
    return sp_jwt_invalid(cx, f != NULL ? "its key is not in the trust domain's bundle"
                                        : "its trust domain is not known here");
}

/* aud is a list in what is answered; of a foreign domain only what is known to mean the same here. */
static struct mln_err show_claims(struct mln_cx *cx, const struct mln_value *claims,
                                  const struct mln_value *foreign, bool is_own,
                                  const struct mln_value **ret)
{
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(claims); i++) {
        const struct mln_member *m = mln_member_at(claims, i);
        bool is_shown = is_own || mln_bytes_is(m->key, "sub") || mln_bytes_is(m->key, "exp") ||
                        mln_bytes_is(m->key, "aud");
        for (size_t k = 0; !is_shown && k < mln_len(foreign); k++) {
            is_shown = mln_bytes_eq(mln_get_bytes(mln_item(foreign, k)), m->key);
        }
        if (is_shown && mln_bytes_is(m->key, "aud") && mln_type_of(&m->value) == MLN_STRING) {
            struct mln_value *list = mln_array(cx);
            mln_push(cx, list, &m->value);
            mln_put(cx, out, "aud", list);
        } else if (is_shown) {
            mln_put_key(cx, out, m->key, &m->value);
        }
    }
    *ret = out;
    return mln_cx_err(cx);
}

struct mln_err sp_jwt_check(struct mln_cx *cx, const struct sp_checker *by,
                            const struct sp_asked *asked, const char **ret_id,
                            const struct mln_value **ret_claims)
{
    struct mln_jose_token parsed;
    struct mln_spiffe_id id;
    if (mln_failed(mln_jose_parse(cx, asked->token, &parsed))) {
        return sp_jwt_invalid(cx,
                              "it is no compact JWS with JSON claims and an algorithm of SPIFFE's");
    }
    MLN_TRY(check_claims(cx, &parsed, asked->audience, (double)by->now_ns / 1e9));
    if (mln_failed(mln_spiffe_id_parse(cx, mln_get_bytes(mln_get(parsed.claims, "sub")), &id)) ||
        id.path.len == 0) {
        return sp_jwt_invalid(cx, "its sub is no SPIFFE id of a workload");
    }
    const char *domain = mln_text_format(cx, "spiffe://%.*s", MLN_FMT(id.domain));
    bool is_own = mln_bytes_is(mln_bytes_of(domain), by->own_id),
         is_let = asked->domains == NULL || is_own || sp_has(asked->domains, mln_bytes_of(domain));
    MLN_TRY(mln_cx_err(cx));
    if (!is_let) {
        return sp_jwt_invalid(cx, "its trust domain is not known here");
    }
    MLN_TRY(by->verify(by->arg, cx, &parsed, domain));
    *ret_id = mln_text_dup(cx, id.text);
    return show_claims(cx, parsed.claims, by->claims, is_own, ret_claims);
}

/* ---- at the server ---- */

/*
 * Verifying a signature is most of the work, and services are shown the same token again and again. So the digests of tokens
 * whose signature was right are remembered, for as long as no key of any bundle changes. All else is checked each time: whose
 * key it is, whether the bundle shows it still, times and audience.
 */
struct here {
    struct sp_state *state;
    int64_t now_s;
    uint8_t digest[32];
    uint64_t keys_read; /* of the state when the signature was verified */
    bool is_known;
};

static void remember(const struct here *here)
{
    struct sp_state *state = here->state;
    if (here->is_known) {
        return;
    }
    SP_WRITE(state);
    if (here->keys_read != state->keys_read) {
        return;
    }
    state->seen = state->seen != NULL ? state->seen : mln_alloc_array(SEEN, sizeof(*state->seen));
    if (state->seen != NULL) {
        mln_copy(state->seen[mln_get_u32le(here->digest) % SEEN], here->digest,
                 sizeof(here->digest));
    }
}

/* Ours: by the authorities, some of which the bundle shows no more. */
static struct mln_err own_key(struct mln_cx *cx, const struct here *here,
                              const struct mln_jose_token *token,
                              const struct mln_jose_public **ret)
{
    const struct sp_authorities *all = &here->state->authorities;
    for (size_t i = 0; i < all->jwt_n; i++) {
        if (mln_bytes_is(token->kid, all->jwt[i].id) &&
            sp_authority_is_shown(&all->jwt[i], here->now_s)) {
            *ret = all->jwt[i].public;
            return MLN_OK;
        }
    }
    return sp_jwt_invalid(cx, "its key is not in the trust domain's bundle");
}

static struct mln_err verify(void *arg, struct mln_cx *cx, const struct mln_jose_token *token,
                             const char *domain)
{
    struct here *here = arg;
    const struct sp_state *state = here->state;
    const struct mln_jose_public *key = NULL;
    SP_READ(here->state);
    MLN_TRY(mln_bytes_is(mln_bytes_of(domain), state->id)
                ? own_key(cx, here, token, &key)
                : sp_foreign_key(cx, state->foreign, token, domain, &key));
    const uint8_t *slot =
        state->seen == NULL ? NULL : state->seen[mln_get_u32le(here->digest) % SEEN];
    here->keys_read = state->keys_read;
    here->is_known = slot != NULL && mln_same(slot, here->digest, sizeof(here->digest));
    return here->is_known ? MLN_OK : sp_jwt_signature(cx, key, token);
}

struct mln_err sp_jwt_validate(struct mln_request *rq, struct sp_state *state,
                               const struct sp_asked *asked, const char **ret_id,
                               const struct mln_value **ret_claims)
{
    struct sp_config config;
    struct here here = {.state = state, .now_s = rq->now_ns / SP_SECOND_NS};
    MLN_TRY(sp_config_get(rq, &config));
    struct sp_checker by = {.now_ns = rq->now_ns,
                            .own_id = state->id,
                            .claims = config.claims,
                            .verify = verify,
                            .arg = &here};
    mln_sha256(asked->token, here.digest);
    MLN_TRY(sp_jwt_check(rq->cx, &by, asked, ret_id, ret_claims));
    remember(&here);
    return MLN_OK;
}
