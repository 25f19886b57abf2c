/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wrapping token as a JWT that says where it is good: {"accessor", "addr", "exp", "iat", "jti": the token, "type": "wrapping"}, ES512.
 * The key is made with the first one and lies in row "wrap-jwt-key" of view "root/sys/" as PKCS#8. A signature says only that this
 * server made it: whether the token is good is asked of its row, as without a JWT.
 */
#include "core/wrap_priv.h"

#include "crypto/jose_verify.h"

#define KEY_ROW     MLN_BYTES("wrap-jwt-key")
#define JWT_MAX     4096u /* accessor, address and token: some 600 */
#define KEY_ID      "wrapping"

bool wrap_is_jwt_asked(const struct mln_run *run)
{
    return mln_is_text(mln_get(run->message, "wrap_format"), "jwt");
}

bool wrap_looks_jwt(struct mln_bytes token)
{
    return token.len <= JWT_MAX && mln_bytes_starts(token, MLN_BYTES("eyJ"));
}

/* NOT_FOUND without text when none was made yet. */
static struct mln_err find_key(struct mln_request *rq, struct mln_bytes *ret)
{
    return mln_txn_get(rq->cx, rq->txn, mln_core_view("root/sys/"), KEY_ROW, ret);
}

static struct mln_err make_key(struct mln_request *rq, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    MLN_TRY(mln_jose_generate(rq->cx, MLN_JOSE_ES512, &der));
    *ret = mln_bytes_dup(rq->cx, mln_buf_bytes(&der));
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put(rq->cx, rq->txn, mln_core_view("root/sys/"), KEY_ROW, *ret);
}

static const struct mln_value *claims_of(struct mln_request *rq, const struct mln_value *info)
{
    struct mln_value *claims = mln_object(rq->cx);
    int64_t now_s = rq->now_ns / 1000000000;
    mln_put(rq->cx, claims, "accessor", mln_get(info, "accessor"));
    mln_put_text(rq->cx, claims, "addr", rq->services->address(rq));
    mln_put_int(rq->cx, claims, "exp", now_s + mln_get_int(mln_get(info, "ttl"), 0));
    mln_put_int(rq->cx, claims, "iat", now_s);
    mln_put(rq->cx, claims, "jti", mln_get(info, "token"));
    mln_put_text(rq->cx, claims, "type", "wrapping");
    return claims;
}

struct mln_err wrap_jwt_sign(struct mln_run *run, struct mln_value *info)
{
    struct mln_request *rq = &run->rq;
    struct mln_jose_key key = {.alg = MLN_JOSE_ES512, .kid = KEY_ID};
    MLN_AUTO(mln_buf_drop) struct mln_buf jwt = {.is_secret = true};
    struct mln_err err = find_key(rq, &key.der);
    MLN_TRY(mln_is(err, MLN_E_NOT_FOUND) ? make_key(rq, &key.der) : err);
    const struct mln_value *claims = claims_of(rq, info);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_jose_sign(rq->cx, &key, "JWT", claims, &jwt));
    mln_put(rq->cx, info, "token", mln_secret_string(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&jwt))));
    return mln_cx_err(rq->cx);
}

static struct mln_err verify(struct mln_request *rq, const struct mln_jose_token *token)
{
    const struct mln_value *jwk = NULL;
    struct mln_bytes der;
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *public = NULL;
    struct mln_err err = find_key(rq, &der);
    MLN_TRY(mln_is(err, MLN_E_NOT_FOUND) ? (struct mln_err){MLN_E_FORGED} : err);
    MLN_TRY(mln_jose_jwk(rq->cx, MLN_JOSE_ES512, KEY_ID, der, &jwk));
    MLN_TRY(mln_jose_public_from_jwk(rq->cx, jwk, &public));
    return mln_jose_verify(rq->cx, public, token);
}

struct mln_err wrap_jwt_open(struct mln_request *rq, struct mln_bytes jwt, struct mln_bytes *ret)
{
    struct mln_jose_token token = {0};
    MLN_TRY(mln_jose_parse(rq->cx, jwt, &token));
    MLN_TRY(verify(rq, &token));
    if (!mln_is_text(mln_get(token.claims, "type"), "wrapping")) {
        return (struct mln_err){MLN_E_FORGED};
    }
    *ret = mln_get_bytes(mln_get(token.claims, "jti"));
    return mln_cx_err(rq->cx);
}
