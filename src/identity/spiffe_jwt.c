/* SPDX-License-Identifier: Apache-2.0 */
/* JWT-SVIDs: signing, with a cache by entry and audience, and validating those of any trust domain that is known. */
#include "identity/spiffe_priv.h"

#define SLOTS  2048u /* tokens that are kept: some 700 bytes each */
#define SEEN   4096u /* signatures that are known to be right: 32 bytes each */
#define JUMP_S 60

struct sp_jwt_slot {
    uint8_t key[32];
    char *token;
    size_t token_n;
    int64_t made_s, turn_s, expires_s;
};

static void slot_clear(struct sp_jwt_slot *slot)
{
    mln_free_wiped(slot->token, slot->token_n);
    *slot = (struct sp_jwt_slot){0};
}

void sp_tokens_forget(struct sp_state *state)
{
    for (size_t i = 0; state->tokens != NULL && i < SLOTS; i++) {
        slot_clear(&state->tokens[i]);
    }
    mln_free(state->seen);
    state->seen = NULL;
    state->keys_read++;
}

void sp_tokens_free(struct sp_state *state)
{
    sp_tokens_forget(state);
    mln_free(state->tokens);
    state->tokens = NULL;
}

static void key_of(const struct sp_holder_of *entry, const struct mln_value *audience,
                   uint8_t ret[32])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    mln_buf_add_text(&all, entry->id);
    mln_buf_add_u64be(&all, entry->revision);
    for (size_t i = 0; i < mln_len(audience); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(audience, i));
        mln_buf_add_u32be(&all, (uint32_t)one.len);
        mln_buf_add_bytes(&all, one);
    }
    mln_sha256(mln_buf_bytes(&all), ret);
}

struct work {
    struct mln_request *rq;
    struct sp_state *state;
    const struct sp_holder_of *entry;
    const struct mln_value *audience;
    uint8_t key[32];
    int64_t now_s;
    struct sp_authority by; /* in the arena */
};

/* *ret filled when it is kept; else who signs. */
static struct mln_err look(struct work *w, struct sp_token *ret)
{
    struct mln_cx *cx = w->rq->cx;
    SP_READ(w->state);
    const struct sp_jwt_slot *slot =
        w->state->tokens == NULL ? NULL : &w->state->tokens[mln_get_u32le(w->key) % SLOTS];
    if (slot != NULL && slot->token != NULL && mln_same(slot->key, w->key, 32) &&
        w->now_s < slot->turn_s && w->now_s >= slot->made_s - JUMP_S) {
        ret->svid = mln_bytes_dup(cx, mln_bytes_at(slot->token, slot->token_n));
        ret->expires_s = slot->expires_s;
        return mln_cx_err(cx);
    }
    ret->is_new = true;
    return sp_authority_borrow(cx, w->state->authorities.jwt, w->state->authorities.jwt_n, w->now_s,
                               &w->by);
}

struct mln_err sp_jwt_sign(struct mln_request *rq, const struct sp_authority *by,
                           const struct sp_jwt_spec *spec, struct sp_token *ret)
{
    struct mln_cx *cx = rq->cx;
    struct sp_config config;
    struct mln_value *claims = mln_object(cx);
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    MLN_AUTO(mln_buf_drop) struct mln_buf jwt = {.is_secret = true};
    MLN_TRY(sp_config_get(rq, &config));
    int64_t expires_s = now_s + (spec->ttl_s > 0 ? spec->ttl_s : config.jwt_ttl_s);
    expires_s = spec->until_s > 0 && spec->until_s < expires_s ? spec->until_s : expires_s;
    ret->expires_s = expires_s < by->not_after_s ? expires_s : by->not_after_s;
    if (spec->act != NULL) {
        mln_put(cx, claims, "act", spec->act);
    }
    mln_put(cx, claims, "aud", spec->audience);
    mln_put_int(cx, claims, "exp", ret->expires_s);
    mln_put_int(cx, claims, "iat", now_s);
    if (config.issuer[0] != '\0') {
        mln_put_text(cx, claims, "iss", config.issuer);
    }
    if (spec->jti != NULL) {
        mln_put_text(cx, claims, "jti", spec->jti);
    }
    mln_put_text(cx, claims, "sub", spec->spiffe_id);
    struct mln_jose_key key = {.alg = by->alg, .kid = by->id, .der = mln_secret_bytes(&by->key)};
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_jose_sign(cx, &key, "JWT", claims, &jwt));
    ret->svid = mln_bytes_dup(cx, mln_buf_bytes(&jwt));
    return mln_cx_err(cx);
}

static void keep(const struct work *w, const struct sp_token *token)
{
    SP_WRITE(w->state);
    struct sp_state *state = w->state;
    state->tokens =
        state->tokens != NULL ? state->tokens : mln_alloc_array(SLOTS, sizeof(*state->tokens));
    char *own = state->tokens != NULL && state->is_loaded ? mln_alloc(token->svid.len) : NULL;
    if (own == NULL) {
        return; /* made again the next time */
    }
    struct sp_jwt_slot *slot = &state->tokens[mln_get_u32le(w->key) % SLOTS];
    slot_clear(slot);
    mln_copy(own, token->svid.ptr, token->svid.len);
    *slot = (struct sp_jwt_slot){.token = own,
                                 .token_n = token->svid.len,
                                 .made_s = w->now_s,
                                 .expires_s = token->expires_s,
                                 .turn_s = w->now_s + (token->expires_s - w->now_s) / 2};
    mln_copy(slot->key, w->key, 32);
}

struct mln_err sp_jwt_make(struct mln_request *rq, struct sp_state *state,
                           const struct sp_holder_of *entry, const struct mln_value *audience,
                           struct sp_token *ret)
{
    struct work w = {.rq = rq,
                     .state = state,
                     .entry = entry,
                     .audience = audience,
                     .now_s = rq->now_ns / SP_SECOND_NS};
    *ret = (struct sp_token){.spiffe_id = entry->spiffe_id, .hint = entry->hint};
    key_of(entry, audience, w.key);
    MLN_TRY(look(&w, ret));
    if (!ret->is_new) {
        return MLN_OK;
    }
    struct sp_jwt_spec spec = {
        .spiffe_id = entry->spiffe_id, .audience = audience, .ttl_s = entry->ttl_s};
    MLN_TRY(sp_jwt_sign(rq, &w.by, &spec, ret));
    keep(&w, ret);
    struct mln_value *one = mln_object(rq->cx);
    mln_put_text(rq->cx, one, "spiffe_id", entry->spiffe_id);
    mln_put_text(rq->cx, one, "entry", entry->id);
    mln_put(rq->cx, one, "audience", audience);
    mln_put_text(rq->cx, one, "authority", mln_text_dup(rq->cx, mln_bytes_of(w.by.id)));
    mln_put_int(rq->cx, one, "expires", ret->expires_s);
    sp_note_svid(rq, one);
    return mln_cx_err(rq->cx);
}

/* ---- validating ---- */

static struct mln_err invalid(struct mln_cx *cx, const char *why)
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
        return invalid(cx, "its typ is neither JWT nor JOSE");
    }
    if (token->kid.len == 0 || token->alg == MLN_JOSE_EDDSA) {
        return invalid(cx, token->kid.len == 0 ? "it names no key"
                                               : "its algorithm is not one of SPIFFE's");
    }
    if (mln_get_double(exp, -1) <= now_s) {
        return invalid(cx, mln_get_double(exp, -1) < 0 ? "it has no exp" : "it has expired");
    }
    if (nbf != NULL && mln_get_double(nbf, now_s + 1) > now_s) {
        return invalid(cx, "it is not valid yet");
    }
    return is_for(mln_get(token->claims, "aud"), audience)
               ? MLN_OK
               : invalid(cx, "it is for another audience");
}

/*
 * Verifying a signature is most of the work, and services are shown the same token again and again. So the digests of tokens
 * whose signature was right are remembered, for as long as no key of any bundle changes. All else is checked each time: whose
 * key it is, whether the bundle shows it still, times and audience.
 */
struct seen {
    uint8_t digest[32];
    uint64_t keys_read; /* of the state when the signature was verified */
    bool is_known;
};

static struct mln_err check_signature(struct mln_cx *cx, const struct sp_state *state,
                                      const struct mln_jose_public *key,
                                      const struct mln_jose_token *token, struct seen *seen)
{
    const uint8_t *slot =
        state->seen == NULL ? NULL : state->seen[mln_get_u32le(seen->digest) % SEEN];
    seen->keys_read = state->keys_read;
    seen->is_known = slot != NULL && mln_same(slot, seen->digest, sizeof(seen->digest));
    return seen->is_known || !mln_failed(mln_jose_verify(cx, key, token))
               ? MLN_OK
               : invalid(cx, "its signature is wrong");
}

static void remember(struct sp_state *state, const struct seen *seen)
{
    if (seen->is_known) {
        return;
    }
    SP_WRITE(state);
    if (seen->keys_read != state->keys_read) {
        return;
    }
    state->seen =
        state->seen != NULL ? state->seen : mln_alloc_array(SEEN, sizeof(*state->seen));
    if (state->seen != NULL) {
        mln_copy(state->seen[mln_get_u32le(seen->digest) % SEEN], seen->digest,
                 sizeof(seen->digest));
    }
}

static struct mln_err verify_own(struct mln_cx *cx, const struct sp_state *state,
                                 const struct mln_jose_token *token, int64_t now_s,
                                 struct seen *seen)
{
    for (size_t i = 0; i < state->authorities.jwt_n; i++) {
        const struct sp_authority *a = &state->authorities.jwt[i];
        if (mln_bytes_is(token->kid, a->id) && sp_authority_is_shown(a, now_s)) {
            return check_signature(cx, state, a->public, token, seen);
        }
    }
    return invalid(cx, "its key is not in the trust domain's bundle");
}

static struct mln_err verify_foreign(struct mln_cx *cx, const struct sp_state *state,
                                     const struct sp_foreign *f,
                                     const struct mln_jose_token *token, struct seen *seen)
{
    for (size_t i = 0; i < f->keys_n; i++) {
        if (mln_bytes_is(token->kid, f->keys[i].kid)) {
            return check_signature(cx, state, f->keys[i].public, token, seen);
        }
    }
    return invalid(cx, "its key is not in the trust domain's bundle");
}

static struct mln_err verify(struct mln_request *rq, struct sp_state *state,
                             const struct mln_jose_token *token, const char *domain,
                             struct seen *seen)
{
    SP_READ(state);
    if (mln_bytes_is(mln_bytes_of(domain), state->id)) {
        return verify_own(rq->cx, state, token, rq->now_ns / SP_SECOND_NS, seen);
    }
    const struct sp_foreign *f = state->foreign;
    while (f != NULL && !mln_bytes_is(mln_bytes_of(domain), f->id)) {
        f = f->next;
    }
    return f != NULL ? verify_foreign(rq->cx, state, f, token, seen)
                     : invalid(rq->cx, "its trust domain is not known here");
}

/* aud is a list in what is answered; of a foreign domain only what is known to mean the same here. */
static struct mln_err show_claims(struct mln_request *rq, const struct mln_value *claims,
                                  bool is_own, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct sp_config config;
    struct mln_value *out = mln_object(cx);
    MLN_TRY(sp_config_get(rq, &config));
    for (size_t i = 0; i < mln_len(claims); i++) {
        const struct mln_member *m = mln_member_at(claims, i);
        bool is_shown = is_own || mln_bytes_is(m->key, "sub") || mln_bytes_is(m->key, "exp") ||
                        mln_bytes_is(m->key, "aud");
        for (size_t k = 0; !is_shown && k < mln_len(config.claims); k++) {
            is_shown = mln_bytes_eq(mln_get_bytes(mln_item(config.claims, k)), m->key);
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

struct mln_err sp_jwt_validate(struct mln_request *rq, struct sp_state *state,
                               const struct sp_asked *asked, const char **ret_id,
                               const struct mln_value **ret_claims)
{
    struct mln_cx *cx = rq->cx;
    struct mln_jose_token parsed;
    struct mln_spiffe_id id;
    struct seen seen = {.is_known = false};
    if (mln_failed(mln_jose_parse(cx, asked->token, &parsed))) {
        return invalid(cx, "it is no compact JWS with JSON claims and an algorithm of SPIFFE's");
    }
    MLN_TRY(check_claims(cx, &parsed, asked->audience, (double)rq->now_ns / 1e9));
    if (mln_failed(mln_spiffe_id_parse(cx, mln_get_bytes(mln_get(parsed.claims, "sub")), &id)) ||
        id.path.len == 0) {
        return invalid(cx, "its sub is no SPIFFE id of a workload");
    }
    const char *domain = mln_text_format(cx, "spiffe://%.*s", MLN_FMT(id.domain));
    bool is_own = mln_bytes_is(mln_bytes_of(domain), state->id),
         is_let = asked->domains == NULL || is_own;
    for (size_t i = 0; !is_let && i < mln_len(asked->domains); i++) {
        is_let = mln_is_text(mln_item(asked->domains, i), domain);
    }
    MLN_TRY(mln_cx_err(cx));
    if (!is_let) {
        return invalid(cx, "its trust domain is not known here");
    }
    mln_sha256(asked->token, seen.digest);
    MLN_TRY(verify(rq, state, &parsed, domain, &seen));
    remember(state, &seen);
    *ret_id = mln_text_dup(cx, id.text);
    return show_claims(rq, parsed.claims, is_own, ret_claims);
}
