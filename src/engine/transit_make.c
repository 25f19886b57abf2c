/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: where the material of keys comes from: made here, or brought in. */
#include "engine/transit_priv.h"

#include "base/clock.h"

struct mln_bytes transit_new_hmac(struct mln_cx *cx)
{
    uint8_t *to = mln_new(cx, MLN_KEY_BYTES);
    if (to != NULL) {
        mln_random(to, MLN_KEY_BYTES);
    }
    return mln_bytes_at(to, to != NULL ? MLN_KEY_BYTES : 0);
}

static struct mln_err keep_halves(struct mln_cx *cx, const struct mln_buf *priv,
                                  const struct mln_buf *pub, struct transit_version *v)
{
    v->key = mln_bytes_dup(cx, mln_buf_bytes(priv));
    v->public = mln_bytes_dup(cx, mln_buf_bytes(pub));
    return mln_cx_err(cx);
}

static struct mln_err make_pair(struct mln_request *rq, enum mln_akey kind,
                                struct transit_version *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf priv = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf pub = {0};
    if (mln_akey_is_rsa(kind) && rq->services->block != NULL) {
        rq->services->block(rq); /* primes take a while */
    }
    MLN_TRY(mln_akey_generate(rq->cx, kind, &priv, &pub));
    return keep_halves(rq->cx, &priv, &pub, v);
}

static struct mln_err make_plain(struct mln_cx *cx, enum transit_type type, size_t n,
                                 struct transit_version *v)
{
    uint8_t *secret = mln_new(cx, n), *public = mln_new(cx, 32);
    MLN_TRY(mln_cx_err(cx));
    mln_random(secret, n);
    v->key = mln_bytes_at(secret, n);
    if (type == TRANSIT_ED25519) {
        mln_ed25519_public(secret, public);
        v->public = mln_bytes_at(public, 32);
    }
    return MLN_OK;
}

static struct mln_err make_version(struct mln_request *rq, const struct transit_key *key,
                                   struct transit_version *ret)
{
    const struct transit_traits *traits = transit_traits(key->type);
    struct transit_version v = {.created_ns = rq->now_ns, .hmac = transit_new_hmac(rq->cx)};
    size_t n = key->type == TRANSIT_HMAC ? (size_t)key->hmac_bytes : traits->key_bytes;
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(traits->is_akey ? make_pair(rq, traits->akey, &v)
                            : make_plain(rq->cx, key->type, n, &v));
    if (key->type == TRANSIT_HMAC) {
        v.hmac = v.key;
    }
    *ret = v;
    return MLN_OK;
}

struct mln_err transit_create(struct mln_request *rq, struct transit_key *key)
{
    MLN_TRY(make_version(rq, key, &key->newest));
    key->latest = 1;
    key->min_decryption = 1;
    return MLN_OK;
}

struct mln_err transit_push_version(struct mln_request *rq, struct transit_key *key,
                                    const struct transit_version *v)
{
    if (key->latest >= TRANSIT_VERSIONS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "key has %d versions: no more", TRANSIT_VERSIONS_MAX);
    }
    MLN_TRY(transit_store_version(rq, key, key->latest, &key->newest));
    key->newest = *v;
    key->latest++;
    return MLN_OK;
}

struct mln_err transit_rotate(struct mln_request *rq, struct transit_key *key)
{
    struct transit_version v;
    if (transit_is(key, TRANSIT_IMPORTED)) {
        if (!transit_is(key, TRANSIT_MAY_ROTATE)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "imported key %.*s does not allow rotation within Vault",
                            MLN_FMT(key->name));
        }
        if (key->newest.key.len == 0) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "key %.*s has only its public half: import the next version",
                            MLN_FMT(key->name));
        }
    }
    MLN_TRY(make_version(rq, key, &v));
    MLN_TRY(transit_push_version(rq, key, &v));
    transit_set(key, TRANSIT_IMPORTED, false); /* from now on it is the server's */
    return transit_store(rq, key);
}

/* ---- from outside ---- */

static struct mln_err take_plain(struct mln_cx *cx, enum transit_type type, struct mln_bytes secret,
                                 struct transit_version *v)
{
    const struct transit_traits *traits = transit_traits(type);
    bool fits = type == TRANSIT_HMAC
                    ? secret.len >= TRANSIT_HMAC_MIN && secret.len <= TRANSIT_HMAC_MAX
                    : secret.len == traits->key_bytes;
    if (!fits) {
        return mln_fail(cx, MLN_E_INVALID, "invalid key size %zu bytes for key type %s", secret.len,
                        traits->name);
    }
    v->key = mln_bytes_dup(cx, secret);
    v->hmac = type == TRANSIT_HMAC ? v->key : v->hmac;
    return mln_cx_err(cx);
}

static struct mln_err take_ed25519(struct mln_cx *cx, struct mln_bytes secret, bool is_bare,
                                   struct transit_version *v)
{
    uint8_t *seed = mln_new(cx, 32), *public = mln_new(cx, 32);
    MLN_TRY(mln_cx_err(cx));
    if (!is_bare) {
        MLN_TRY(mln_ed25519_from_pkcs8(cx, secret, seed));
    } else if (secret.len == 32) {
        mln_copy(seed, secret.ptr, 32);
    } else {
        return mln_fail(cx, MLN_E_INVALID, "invalid key size %zu bytes for key type ed25519",
                        secret.len);
    }
    mln_ed25519_public(seed, public);
    v->key = mln_bytes_at(seed, 32);
    v->public = mln_bytes_at(public, 32);
    return MLN_OK;
}

struct mln_err transit_take(struct mln_cx *cx, enum transit_type type, struct mln_bytes secret,
                            bool is_bare, struct transit_version *ret)
{
    const struct transit_traits *traits = transit_traits(type);
    if (type == TRANSIT_ED25519) {
        return take_ed25519(cx, secret, is_bare, ret);
    }
    if (!traits->is_akey) {
        return take_plain(cx, type, secret, ret);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf priv = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf pub = {0};
    MLN_TRY(is_bare ? mln_akey_from_private(cx, traits->akey, secret, &priv, &pub)
                    : mln_akey_from_pkcs8(cx, traits->akey, secret, &priv, &pub));
    return keep_halves(cx, &priv, &pub, ret);
}

/* SubjectPublicKeyInfo of an Ed25519 key up to the key (RFC 8410). */
static const uint8_t ed25519_head[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                       0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

struct mln_err transit_take_public(struct mln_cx *cx, enum transit_type type, struct mln_bytes pem,
                                   struct transit_version *ret)
{
    const struct transit_traits *traits = transit_traits(type);
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    if (!traits->is_pair) {
        return mln_fail(cx, MLN_E_INVALID, "provided type %s does not support public_key import",
                        traits->name);
    }
    if (mln_failed(mln_pem_read(cx, "PUBLIC KEY", pem, &der))) {
        return mln_refail(cx, MLN_E_INVALID, "error parsing public key: no PUBLIC KEY in PEM");
    }
    struct mln_bytes all = mln_buf_bytes(&der),
                     head = mln_bytes_at(ed25519_head, sizeof(ed25519_head));
    if (traits->is_akey) {
        MLN_TRY(mln_akey_check_public(cx, traits->akey, all));
    } else if (all.len != head.len + 32 || !mln_bytes_starts(all, head)) {
        return mln_fail(cx, MLN_E_INVALID, "the public key is bad, or of another type or size");
    }
    ret->key = MLN_BYTES_NONE;
    ret->public = mln_bytes_dup(cx, traits->is_akey ? all : mln_bytes_from(all, head.len));
    return mln_cx_err(cx);
}
