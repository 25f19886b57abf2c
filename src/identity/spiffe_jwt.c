/* SPDX-License-Identifier: Apache-2.0 */
/* JWT-SVIDs: signing, with a cache by entry and audience. */
#include "identity/spiffe_priv.h"

#define SLOTS  2048u /* tokens that are kept: some 700 bytes each */
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

void sp_jwt_key(const struct sp_holder_of *entry, const struct mln_value *audience, uint8_t ret[32])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    const char *const texts[] = {entry->id, entry->spiffe_id};
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        mln_buf_add_u32be(&all, (uint32_t)mln_bytes_of(texts[i]).len);
        mln_buf_add_text(&all, texts[i]);
    }
    mln_buf_add_u64be(&all, (uint64_t)entry->created_ns);
    mln_buf_add_u64be(&all, entry->revision);
    mln_buf_add_u32be(&all, entry->ttl_s);
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
    sp_jwt_key(entry, audience, w.key);
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
