/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: signatures. Ed25519 (also derived), ECDSA on three curves, RSA with PSS or PKCS #1 v1.5. */
#include "engine/transit_priv.h"

#include "base/text.h"

struct options {
    struct mln_akey_how how;
    bool is_prehashed, is_jws;
};

struct mln_err transit_read_hash(struct mln_request *rq, bool may_be_none, enum mln_hash *ret)
{
    static const char *const fields[] = {"urlalgorithm", "hash_algorithm", "algorithm"};
    struct mln_bytes name = MLN_BYTES_NONE;
    for (size_t i = 0; i < MLN_COUNT(fields) && name.len == 0; i++) {
        name = mln_get_bytes(mln_field_of(rq, fields[i]));
    }
    *ret = MLN_HASH_SHA2_256;
    if (name.len == 0 || (mln_hash_of_name(name, ret) && (may_be_none || *ret != MLN_HASH_NONE))) {
        return MLN_OK;
    }
    return mln_fail(rq->cx, MLN_E_INVALID,
                    may_be_none ? "invalid hash algorithm \"%.*s\""
                                : "unsupported algorithm \"%.*s\"",
                    MLN_FMT(name));
}

static struct mln_err read_salt(struct mln_request *rq, const struct mln_akey_how *how, int *ret)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "salt_length"));
    int64_t n = 0;
    *ret = MLN_AKEY_SALT_AUTO;
    if (text.len == 0 || mln_bytes_is_nocase(text, "auto")) {
        return MLN_OK;
    }
    if (!mln_bytes_is_nocase(text, "hash") && !mln_i64_parse(text, &n)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "salt length not \"auto\", \"hash\", or an int: %.*s", MLN_FMT(text));
    }
    n = mln_bytes_is_nocase(text, "hash") ? -1 : n;
    if (n < -1 || n > 512) {
        return mln_fail(rq->cx, MLN_E_INVALID, "salt length is invalid: %lld", (long long)n);
    }
    if (how->is_pkcs1v15) {
        return MLN_OK;
    }
    /* numbers as Vault gives them meaning: 0 is auto, -1 is hash */
    *ret = n == 0 ? MLN_AKEY_SALT_AUTO : n == -1 ? MLN_AKEY_SALT_HASH : (int)n;
    return MLN_OK;
}

static struct mln_err read_padding(struct mln_request *rq, bool *ret_pkcs1v15)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "signature_algorithm"));
    *ret_pkcs1v15 = mln_bytes_is(name, "pkcs1v15");
    return name.len == 0 || *ret_pkcs1v15 || mln_bytes_is(name, "pss")
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "unsupported rsa signature algorithm %.*s",
                          MLN_FMT(name));
}

static struct mln_err read_options(struct mln_request *rq, struct options *ret)
{
    struct mln_bytes form = mln_get_bytes(mln_field_of(rq, "marshaling_algorithm"));
    struct options o = {.is_prehashed = mln_get_bool(mln_field_of(rq, "prehashed"), false),
                        .is_jws = mln_bytes_is(form, "jws")};
    MLN_TRY(transit_read_hash(rq, true, &o.how.hash));
    if (form.len > 0 && !o.is_jws && !mln_bytes_is(form, "asn1")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid marshaling type \"%.*s\"", MLN_FMT(form));
    }
    MLN_TRY(read_padding(rq, &o.how.is_pkcs1v15));
    MLN_TRY(read_salt(rq, &o.how, &o.how.salt));
    if (o.how.hash == MLN_HASH_NONE && !(o.is_prehashed && o.how.is_pkcs1v15)) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15");
    }
    *ret = o;
    return MLN_OK;
}

static struct mln_err check_signer(struct mln_cx *cx, const struct transit_key *key,
                                   const struct options *o, const char *what)
{
    const struct transit_traits *traits = transit_traits(key->type);
    if (!traits->signs) {
        return mln_fail(cx, MLN_E_INVALID, "key type %s does not support %s", traits->name, what);
    }
    if (key->type == TRANSIT_ED25519 && o->is_prehashed) {
        return mln_fail(cx, MLN_E_INVALID,
                        "only Pure Ed25519 signatures supported, not prehashed input");
    }
    if (o->how.hash == MLN_HASH_NONE && !mln_akey_is_rsa(traits->akey)) {
        return mln_fail(cx, MLN_E_INVALID, "hash_algorithm=none is only for RSA keys");
    }
    return MLN_OK;
}

/* What is signed: the digest of the input, or the input when it is one. Borrows either. */
static struct mln_err digest_of(struct mln_cx *cx, const struct options *o, struct mln_bytes input,
                                uint8_t sum[MLN_HASH_MAX_BYTES], struct mln_bytes *ret)
{
    size_t n = mln_hash_bytes(o->how.hash);
    *ret = input;
    if (!o->is_prehashed) {
        mln_hash_sum(o->how.hash, input, sum);
        *ret = mln_bytes_at(sum, n);
    } else if (o->how.hash != MLN_HASH_NONE && input.len != n) {
        return mln_fail(cx, MLN_E_INVALID, "prehashed input must have %zu bytes", n);
    }
    return MLN_OK;
}

/* ---- signing ---- */

static struct mln_err sign_ed25519(struct transit_call *call, const struct transit_version *v,
                                   const struct mln_value *in, struct mln_bytes input,
                                   struct mln_value *out, struct mln_buf *to)
{
    struct mln_cx *cx = call->rq->cx;
    uint8_t seed[32], public[32], signature[64];
    MLN_AUTO(mln_buf_drop) struct mln_buf context = {0};
    MLN_TRY(transit_read_context(cx, in, &context));
    MLN_TRY(transit_derive(cx, call->key, v, mln_buf_bytes(&context), seed, sizeof(seed)));
    mln_ed25519_sign(seed, input, signature);
    if (transit_is(call->key, TRANSIT_DERIVED)) {
        const char *name =
            mln_is_null(mln_field_of(call->rq, "batch_input")) ? "public_key" : "publickey";
        mln_ed25519_public(seed, public);
        mln_put_text(cx, out, name, mln_base64_text(cx, mln_bytes_at(public, 32), MLN_B64_STD));
    }
    mln_wipe(seed, sizeof(seed));
    mln_buf_add(to, signature, sizeof(signature));
    return mln_buf_ok(cx, to);
}

static struct mln_err sign_akey(struct transit_call *call, const struct transit_version *v,
                                const struct options *o, struct mln_bytes input, struct mln_buf *to)
{
    struct mln_cx *cx = call->rq->cx;
    enum mln_akey kind = transit_traits(call->key->type)->akey;
    uint8_t sum[MLN_HASH_MAX_BYTES];
    struct mln_bytes digest;
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    bool is_raw = o->is_jws && !mln_akey_is_rsa(kind);
    MLN_TRY(digest_of(cx, o, input, sum, &digest));
    MLN_TRY(mln_akey_sign(cx, kind, v->key, &o->how, digest, is_raw ? &der : to));
    return is_raw ? mln_ecdsa_der_to_raw(cx, mln_buf_bytes(&der), mln_akey_half(kind), to) : MLN_OK;
}

static struct mln_err sign_one(struct transit_call *call, const struct mln_value *in,
                               struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    const struct options *o = call->arg;
    struct transit_version v;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf signature = {0};
    MLN_TRY(transit_read_input(cx, in, "missing input", &input));
    MLN_TRY(transit_pick(cx, call->key, call->rq->fields, "signing", &number));
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    if (v.key.len == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "requested version for signing does not contain a private part");
    }
    MLN_TRY(call->key->type == TRANSIT_ED25519
                ? sign_ed25519(call, &v, in, mln_buf_bytes(&input), out, &signature)
                : sign_akey(call, &v, o, mln_buf_bytes(&input), &signature));
    mln_put_int(cx, out, "key_version", number);
    mln_put(cx, out, "signature",
            transit_wrap_text(cx, number, mln_buf_bytes(&signature), o->is_jws));
    return MLN_OK;
}

struct mln_err transit_sign_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct options o;
    struct transit_call call = {.rq = rq,
                                .key = &key,
                                .arg = &o,
                                .blank = "key_version",
                                .blank_value = mln_int(rq->cx, 0),
                                .is_lenient = true};
    MLN_TRY(transit_need(rq, "signing key not found", &key));
    MLN_TRY(read_options(rq, &o));
    MLN_TRY(check_signer(rq->cx, &key, &o, "signing"));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    return transit_run(&call, re, sign_one);
}

/* ---- verifying ---- */

static struct mln_err verify_ed25519(struct transit_call *call, const struct transit_version *v,
                                     const struct mln_value *in, struct mln_bytes input,
                                     struct mln_bytes signature)
{
    struct mln_cx *cx = call->rq->cx;
    uint8_t seed[32], public[32];
    MLN_AUTO(mln_buf_drop) struct mln_buf context = {0};
    if (!transit_is(call->key, TRANSIT_DERIVED)) {
        return mln_ed25519_verify(cx, v->public.ptr, input, signature);
    }
    MLN_TRY(transit_read_context(cx, in, &context));
    MLN_TRY(transit_derive(cx, call->key, v, mln_buf_bytes(&context), seed, sizeof(seed)));
    mln_ed25519_public(seed, public);
    mln_wipe(seed, sizeof(seed));
    return mln_ed25519_verify(cx, public, input, signature);
}

static struct mln_err verify_akey(struct transit_call *call, const struct transit_version *v,
                                  const struct options *o, struct mln_bytes input,
                                  struct mln_bytes signature)
{
    struct mln_cx *cx = call->rq->cx;
    enum mln_akey kind = transit_traits(call->key->type)->akey;
    uint8_t sum[MLN_HASH_MAX_BYTES];
    struct mln_bytes digest;
    MLN_AUTO(mln_buf_drop) struct mln_buf form = {0};
    MLN_TRY(digest_of(cx, o, input, sum, &digest));
    if (!mln_akey_is_rsa(kind)) {
        struct mln_err err = o->is_jws
                                 ? mln_ecdsa_raw_to_der(cx, signature, &form)
                                 : mln_ecdsa_der_to_raw(cx, signature, mln_akey_half(kind), &form);
        if (mln_is(err, MLN_E_PARSE)) {
            return mln_refail(cx, MLN_E_FORGED, "supplied signature is invalid");
        }
        MLN_TRY(err);
        signature = o->is_jws ? mln_buf_bytes(&form) : signature;
    }
    return mln_akey_verify(cx, kind, v->public, &o->how, digest, signature);
}

/* A wrong signature is not a failure of the request: *ret says it. */
static struct mln_err judge(struct mln_cx *cx, struct mln_err err, bool *ret)
{
    *ret = !mln_failed(err);
    if (!mln_is(err, MLN_E_FORGED)) {
        return err;
    }
    mln_cx_clear(cx);
    return MLN_OK;
}

static struct mln_err verify_signature(struct transit_call *call, const struct mln_value *in,
                                       struct mln_bytes text, bool *ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct options o;
    struct transit_version v;
    struct mln_bytes payload;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf signature = {0};
    MLN_TRY(read_options(call->rq, &o));
    MLN_TRY(check_signer(cx, call->key, &o, "verification"));
    MLN_TRY(transit_read_input(cx, in, "missing input", &input));
    MLN_TRY(transit_split_for(cx, call->key, "signature", text, &number, &payload));
    if (mln_failed(
            mln_base64_parse(cx, payload, o.is_jws ? MLN_B64_URL_RAW : MLN_B64_STD, &signature))) {
        return mln_refail(cx, MLN_E_INVALID, "invalid base64 signature value");
    }
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    struct mln_err err =
        call->key->type == TRANSIT_ED25519
            ? verify_ed25519(call, &v, in, mln_buf_bytes(&input), mln_buf_bytes(&signature))
            : verify_akey(call, &v, &o, mln_buf_bytes(&input), mln_buf_bytes(&signature));
    return judge(cx, err, ret);
}

static struct mln_err verify_one(struct transit_call *call, const struct mln_value *in,
                                 struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_bytes signature = mln_get_bytes(mln_get(in, "signature")),
                     hmac = mln_get_bytes(mln_get(in, "hmac"));
    bool is_valid = false;
    if (signature.len > 0 && hmac.len > 0) {
        MLN_TRY(verify_signature(call, in, signature, &is_valid)); /* a broken one is named first */
        return mln_fail(cx, MLN_E_INVALID, "provide one of 'signature' or 'hmac'");
    }
    if (signature.len == 0 && hmac.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "neither a 'signature' nor 'hmac' was provided");
    }
    MLN_TRY(hmac.len > 0 ? transit_verify_hmac(call, in, hmac, &is_valid)
                         : verify_signature(call, in, signature, &is_valid));
    mln_put_bool(cx, out, "valid", is_valid);
    return MLN_OK;
}

struct mln_err transit_verify_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {.rq = rq,
                                .key = &key,
                                .blank = "valid",
                                .blank_value = mln_bool(rq->cx, false),
                                .is_lenient = true};
    MLN_TRY(transit_need(rq, "signature verification key not found", &key));
    return transit_run(&call, re, verify_one);
}
