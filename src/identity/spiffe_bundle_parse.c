/* SPDX-License-Identifier: Apache-2.0 */
/* See spiffe_bundle.h. */
#include "identity/spiffe_bundle.h"

#include "base/json.h"
#include "base/text.h"
#include "crypto/jose_verify.h"
#include "crypto/x509.h"

#define KID_BYTES 512u

struct parsing {
    struct mln_cx *cx;
    struct mln_value *x509, *jwt;
};

size_t sp_der_length(struct mln_bytes der)
{
    size_t n = 0, head = 2;
    if (der.len < 2) {
        return 0;
    }
    if (der.ptr[1] < 0x80) {
        n = der.ptr[1];
    } else {
        size_t bytes = der.ptr[1] & 0x7fu;
        head += bytes;
        if (bytes == 0 || bytes > 4 || der.len < head) {
            return 0;
        }
        for (size_t i = 0; i < bytes; i++) {
            n = n << 8 | der.ptr[2 + i];
        }
    }
    return n <= der.len - head ? head + n : 0;
}

static struct mln_err add_cert(struct parsing *p, struct mln_bytes der)
{
    struct mln_x509_info info;
    struct mln_err err = mln_x509_cert_read(p->cx, der, &info);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err) || !info.is_ca) {
        return mln_refail(p->cx, MLN_E_INVALID,
                          "the bundle has an authority that is no CA's certificate");
    }
    mln_push(p->cx, p->x509, mln_blob(p->cx, mln_bytes_dup(p->cx, der)));
    return mln_cx_err(p->cx);
}

static struct mln_err x509_key(struct parsing *p, const struct mln_value *jwk)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = MLN_X509_MAX_BYTES};
    const struct mln_value *x5c = mln_get(jwk, "x5c");
    if (mln_type_of(x5c) != MLN_ARRAY || mln_len(x5c) != 1 ||
        mln_failed(mln_base64_parse(p->cx, mln_get_bytes(mln_item(x5c, 0)), MLN_B64_STD, &der)) ||
        der.len == 0) {
        return mln_refail(p->cx, MLN_E_INVALID,
                          "an x509-svid key of the bundle has not exactly one certificate in x5c");
    }
    return add_cert(p, mln_buf_bytes(&der));
}

static bool has_kid(const struct mln_value *keys, struct mln_bytes kid)
{
    for (size_t i = 0; i < mln_len(keys); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(keys, i), "kid")), kid)) {
            return true;
        }
    }
    return false;
}

static struct mln_err jwt_key(struct parsing *p, const struct mln_value *jwk)
{
    static const char *const members[] = {"kty", "kid", "crv", "x", "y", "n", "e"};
    struct mln_value *bare = mln_object(p->cx);
    struct mln_jose_public *key = NULL;
    struct mln_bytes kid = mln_get_bytes(mln_get(jwk, "kid"));
    if (kid.len == 0 || kid.len > KID_BYTES || has_kid(p->jwt, kid)) {
        return mln_fail(p->cx, MLN_E_INVALID,
                        "a jwt-svid key of the bundle has no kid, or one that another key has");
    }
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (mln_get(jwk, members[i]) != NULL) {
            mln_put(p->cx, bare, members[i], mln_get(jwk, members[i]));
        }
    }
    if (mln_get(jwk, "d") != NULL || mln_failed(mln_jose_public_from_jwk(p->cx, bare, &key))) {
        return mln_refail(
            p->cx, MLN_E_INVALID,
            "a jwt-svid key of the bundle is no public key of a kind that SPIFFE has");
    }
    mln_jose_public_free(key);
    mln_push(p->cx, p->jwt, bare);
    return mln_cx_err(p->cx);
}

static struct mln_err number_of(struct parsing *p, const struct mln_value *document,
                                const char *name, int64_t *ret)
{
    const struct mln_value *v = mln_get(document, name);
    *ret = mln_get_int(v, 0);
    if (v != NULL && (mln_type_of(v) != MLN_INT || *ret < 0)) {
        return mln_fail(p->cx, MLN_E_INVALID, "the bundle's %s is no number of 0 or more", name);
    }
    return MLN_OK;
}

static struct mln_err done(struct parsing *p, int64_t sequence, int64_t hint_s,
                           const struct mln_value **ret)
{
    struct mln_value *out = mln_object(p->cx);
    if (mln_len(p->x509) + mln_len(p->jwt) == 0) {
        return mln_fail(p->cx, MLN_E_INVALID, "the bundle has no key of use x509-svid or jwt-svid");
    }
    mln_put_int(p->cx, out, "sequence", sequence);
    mln_put_int(p->cx, out, "refresh_hint", hint_s);
    mln_put(p->cx, out, "x509", p->x509);
    mln_put(p->cx, out, "jwt", p->jwt);
    *ret = out;
    return mln_cx_err(p->cx);
}

struct mln_err sp_bundle_parse(struct mln_cx *cx, const struct mln_value *document,
                               const struct mln_value **ret)
{
    struct parsing p = {.cx = cx, .x509 = mln_array(cx), .jwt = mln_array(cx)};
    const struct mln_value *keys = mln_get(document, "keys");
    int64_t sequence = 0, hint_s = 0;
    if (mln_type_of(keys) != MLN_ARRAY || mln_len(keys) > SP_BUNDLE_KEYS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "a bundle is an object with at most %u \"keys\"",
                        SP_BUNDLE_KEYS_MAX);
    }
    MLN_TRY(number_of(&p, document, "spiffe_sequence", &sequence));
    MLN_TRY(number_of(&p, document, "spiffe_refresh_hint", &hint_s));
    for (size_t i = 0; i < mln_len(keys); i++) {
        const struct mln_value *use = mln_get(mln_item(keys, i), "use");
        if (mln_is_text(use, "x509-svid")) {
            MLN_TRY(x509_key(&p, mln_item(keys, i)));
        } else if (mln_is_text(use, "jwt-svid")) {
            MLN_TRY(jwt_key(&p, mln_item(keys, i)));
        }
    }
    return done(&p, sequence, hint_s < SP_HINT_MAX_S ? hint_s : SP_HINT_MAX_S, ret);
}

static struct mln_err parse_pem(struct mln_cx *cx, struct mln_bytes text,
                                const struct mln_value **ret)
{
    struct parsing p = {.cx = cx, .x509 = mln_array(cx), .jwt = mln_array(cx)};
    struct mln_bytes label, der;
    bool is_bad = false;
    while (mln_pem_next(cx, &text, &label, &der, &is_bad)) {
        if (!mln_bytes_is(label, "CERTIFICATE") || mln_len(p.x509) >= SP_BUNDLE_KEYS_MAX) {
            return mln_fail(cx, MLN_E_INVALID,
                            "a bundle in PEM has at most %u certificates and nothing else",
                            SP_BUNDLE_KEYS_MAX);
        }
        MLN_TRY(add_cert(&p, der));
    }
    return is_bad ? mln_refail(cx, MLN_E_INVALID, "the PEM text is damaged") : done(&p, 0, 0, ret);
}

struct mln_err sp_bundle_parse_text(struct mln_cx *cx, struct mln_bytes text,
                                    const struct mln_value **ret)
{
    const struct mln_value *document = NULL;
    text = mln_bytes_trim(text);
    if (text.len > SP_BUNDLE_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "a bundle has at most %u bytes", SP_BUNDLE_BYTES);
    }
    if (mln_bytes_starts(text, MLN_BYTES("-----BEGIN"))) {
        return parse_pem(cx, text, ret);
    }
    if (mln_failed(mln_json_parse(cx, text, &document))) {
        return mln_refail(cx, MLN_E_INVALID, "a bundle is a JSON document, or certificates in PEM");
    }
    return sp_bundle_parse(cx, document, ret);
}

struct mln_err sp_bundle_parse_any(struct mln_cx *cx, const struct mln_value *given,
                                   const struct mln_value **ret)
{
    return mln_type_of(given) == MLN_STRING ? sp_bundle_parse_text(cx, mln_get_bytes(given), ret)
                                            : sp_bundle_parse(cx, given, ret);
}
