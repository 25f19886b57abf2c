/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: signatures (ECDSA P-256 with SHA-256, Ed25519), keyed hashes, plain hashes, random bytes. */
#include "engine/transit_priv.h"

#include "base/clock.h"
#include "base/text.h"

struct sign_options {
    bool is_prehashed, is_jws;
};

/* The hash may stand in the path or in the body; only SHA-256 is there. */
static struct mln_err check_hash(struct mln_request *rq, const char *in_path, const char *in_body)
{
    static const char *const others[] = {"sha1",     "sha2-224", "sha2-384", "sha2-512", "sha3-224",
                                         "sha3-256", "sha3-384", "sha3-512", "none"};
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, in_path));
    name = name.len > 0 ? name : mln_get_bytes(mln_field_of(rq, in_body));
    if (name.len == 0 || mln_bytes_is(name, "sha2-256")) {
        return MLN_OK;
    }
    for (size_t i = 0; i < MLN_COUNT(others); i++) {
        if (mln_bytes_is(name, others[i])) {
            return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "hash algorithm %s is not supported", others[i]);
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "invalid hash algorithm %.*s", MLN_FMT(name));
}

static struct mln_err read_options(struct mln_request *rq, struct sign_options *ret)
{
    struct mln_bytes form = mln_get_bytes(mln_field_of(rq, "marshaling_algorithm"));
    MLN_TRY(check_hash(rq, "urlalgorithm", "hash_algorithm"));
    bool is_jws = mln_bytes_is(form, "jws");
    if (form.len > 0 && !is_jws && !mln_bytes_is(form, "asn1")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid marshaling type %.*s", MLN_FMT(form));
    }
    *ret = (struct sign_options){
        .is_prehashed = mln_get_bool(mln_field_of(rq, "prehashed"), false),
        .is_jws = is_jws,
    };
    return MLN_OK;
}

static struct mln_err read_input(struct mln_cx *cx, const struct mln_value *in, struct mln_buf *to)
{
    const struct mln_value *text = mln_get(in, "input");
    if (mln_type_of(text) != MLN_STRING) {
        return mln_fail(cx, MLN_E_INVALID, "missing input");
    }
    if (mln_failed(mln_base64_parse(cx, mln_get_bytes(text), MLN_B64_STD, to))) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "unable to decode input as base64: %s", why);
    }
    return MLN_OK;
}

static struct mln_err digest_of(struct mln_cx *cx, const struct sign_options *options, struct mln_bytes input,
                                uint8_t digest[MLN_SHA256_BYTES])
{
    if (!options->is_prehashed) {
        mln_sha256(input, digest);
        return MLN_OK;
    }
    if (input.len != MLN_SHA256_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "prehashed input must have %d bytes", MLN_SHA256_BYTES);
    }
    mln_copy(digest, input.ptr, MLN_SHA256_BYTES);
    return MLN_OK;
}

static struct mln_err check_signer(struct mln_cx *cx, const struct transit_key *key, const struct sign_options *options,
                                   const char *what)
{
    if (!transit_can_sign(key->type)) {
        return mln_fail(cx, MLN_E_INVALID, "key type %s does not support %s", transit_type_name(key->type), what);
    }
    if (key->type == TRANSIT_ED25519 && options->is_prehashed) {
        return mln_fail(cx, MLN_E_INVALID, "only Pure Ed25519 signatures supported, not prehashed input");
    }
    return MLN_OK;
}

static struct mln_err sign_bytes(struct mln_cx *cx, const struct transit_key *key, const struct transit_version *v,
                                 const struct sign_options *options, struct mln_bytes input, struct mln_buf *to)
{
    if (key->type == TRANSIT_ED25519) {
        uint8_t signature[64];
        mln_ed25519_sign(v->key.ptr, input, signature);
        mln_buf_add(to, signature, sizeof(signature));
        return mln_buf_ok(cx, to);
    }
    uint8_t digest[MLN_SHA256_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    MLN_TRY(digest_of(cx, options, input, digest));
    MLN_TRY(mln_p256_sign_digest(cx, v->key.ptr, digest, &der));
    if (options->is_jws) {
        return mln_ecdsa_der_to_raw(cx, mln_buf_bytes(&der), 32, to);
    }
    mln_buf_add_bytes(to, mln_buf_bytes(&der));
    return mln_buf_ok(cx, to);
}

static struct mln_err sign_one(struct transit_call *call, const struct mln_value *in, struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct sign_options options;
    struct transit_version v;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf signature = {0};
    MLN_TRY(read_options(call->rq, &options));
    MLN_TRY(check_signer(cx, call->key, &options, "signing"));
    MLN_TRY(read_input(cx, in, &input));
    MLN_TRY(transit_pick(cx, call->key, call->rq->fields, &number));
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    MLN_TRY(sign_bytes(cx, call->key, &v, &options, mln_buf_bytes(&input), &signature));
    mln_put_int(cx, out, "key_version", number);
    mln_put(cx, out, "signature", transit_wrap_text(cx, number, mln_buf_bytes(&signature), options.is_jws));
    return MLN_OK;
}

struct mln_err transit_sign_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {rq, &key};
    MLN_TRY(transit_need(rq, "signing key not found", &key));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    return transit_run(&call, re, sign_one);
}

/* MLN_OK when the signature is right. A wrong one is not a failure of the request: *ret says it. */
static struct mln_err verify_bytes(struct mln_cx *cx, const struct transit_key *key, const struct transit_version *v,
                                   const struct sign_options *options, struct mln_bytes input, struct mln_bytes signature,
                                   bool *ret)
{
    struct mln_err err;
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0};
    if (key->type == TRANSIT_ED25519) {
        err = mln_ed25519_verify(cx, v->public.ptr, input, signature);
    } else {
        uint8_t digest[MLN_SHA256_BYTES];
        MLN_TRY(digest_of(cx, options, input, digest));
        err = options->is_jws ? mln_ecdsa_raw_to_der(cx, signature, &der) : MLN_OK;
        if (!mln_failed(err)) {
            struct mln_bytes asn1 = options->is_jws ? mln_buf_bytes(&der) : signature;
            err = mln_p256_verify_digest(cx, v->public.ptr, digest, asn1);
        }
    }
    if (mln_failed(err) && mln_err_http(err.code) >= 500) {
        return err;
    }
    mln_cx_clear(cx);
    *ret = !mln_failed(err);
    return MLN_OK;
}

static struct mln_err verify_signature(struct transit_call *call, const struct mln_value *in, struct mln_bytes text,
                                       bool *ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct sign_options options;
    struct transit_version v;
    struct mln_bytes payload;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf signature = {0};
    MLN_TRY(read_options(call->rq, &options));
    MLN_TRY(check_signer(cx, call->key, &options, "verification"));
    MLN_TRY(read_input(cx, in, &input));
    MLN_TRY(transit_split(cx, call->key, "signature", text, &number, &payload));
    if (mln_failed(mln_base64_parse(cx, payload, options.is_jws ? MLN_B64_URL_RAW : MLN_B64_STD, &signature))) {
        return mln_refail(cx, MLN_E_INVALID, "invalid base64 signature value");
    }
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    return verify_bytes(cx, call->key, &v, &options, mln_buf_bytes(&input), mln_buf_bytes(&signature), ret);
}

static struct mln_err verify_hmac(struct transit_call *call, const struct mln_value *in, struct mln_bytes text, bool *ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    struct mln_bytes payload;
    int64_t number = 0;
    uint8_t want[MLN_SHA256_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf given = {0};
    MLN_TRY(check_hash(call->rq, "urlalgorithm", "hash_algorithm"));
    MLN_TRY(read_input(cx, in, &input));
    MLN_TRY(transit_split(cx, call->key, "HMAC to verify", text, &number, &payload));
    if (mln_failed(mln_base64_parse(cx, payload, MLN_B64_STD, &given))) {
        return mln_refail(cx, MLN_E_INVALID, "unable to decode verification string as base64");
    }
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    mln_hmac_sha256(v.hmac, mln_buf_bytes(&input), want);
    *ret = mln_eq_ct(given.ptr, given.len, want, sizeof(want));
    mln_wipe(want, sizeof(want));
    return MLN_OK;
}

static struct mln_err verify_one(struct transit_call *call, const struct mln_value *in, struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_bytes signature = mln_get_bytes(mln_get(in, "signature")), hmac = mln_get_bytes(mln_get(in, "hmac"));
    bool is_valid = false;
    if (signature.len > 0 && hmac.len > 0) {
        return mln_fail(cx, MLN_E_INVALID, "provide one of 'signature' or 'hmac'");
    }
    if (signature.len == 0 && hmac.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "neither a 'signature' nor 'hmac' was provided");
    }
    MLN_TRY(hmac.len > 0 ? verify_hmac(call, in, hmac, &is_valid) : verify_signature(call, in, signature, &is_valid));
    mln_put_bool(cx, out, "valid", is_valid);
    return MLN_OK;
}

struct mln_err transit_verify_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {rq, &key};
    MLN_TRY(transit_need(rq, "signature verification key not found", &key));
    return transit_run(&call, re, verify_one);
}

static struct mln_err hmac_one(struct transit_call *call, const struct mln_value *in, struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    int64_t number = 0;
    uint8_t sum[MLN_SHA256_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_TRY(check_hash(call->rq, "urlalgorithm", "algorithm"));
    MLN_TRY(read_input(cx, in, &input));
    MLN_TRY(transit_pick(cx, call->key, call->rq->fields, &number));
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    mln_hmac_sha256(v.hmac, mln_buf_bytes(&input), sum);
    mln_put(cx, out, "hmac", transit_wrap_text(cx, number, mln_bytes_at(sum, sizeof(sum)), false));
    return MLN_OK;
}

struct mln_err transit_hmac_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {rq, &key};
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    return transit_run(&call, re, hmac_one);
}

/* "hex" or "base64"; *ret is what the body says or the default. */
static struct mln_err read_format(struct mln_request *rq, bool is_hex, bool *ret)
{
    struct mln_bytes format = mln_get_bytes(mln_field_of(rq, "format"));
    *ret = format.len == 0 ? is_hex : mln_bytes_is(format, "hex");
    if (format.len > 0 && !*ret && !mln_bytes_is(format, "base64")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unsupported encoding format %.*s; must be \"hex\" or \"base64\"",
                        MLN_FMT(format));
    }
    return MLN_OK;
}

struct mln_err transit_random_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes source = mln_get_bytes(mln_field_of(rq, "source")), last = mln_get_bytes(mln_field_of(rq, "urlbytes"));
    int64_t n = mln_get_int(mln_field_of(rq, "bytes"), 32);
    bool is_hex = false;
    MLN_TRY(read_format(rq, false, &is_hex));
    /* random/N, random/SOURCE, random/SOURCE/N: there is one source, so its name decides nothing */
    struct mln_bytes number = last.len > 0 ? last : source;
    bool is_source = mln_bytes_is(number, "platform") || mln_bytes_is(number, "seal") || mln_bytes_is(number, "all");
    if (number.len > 0 && !is_source && !mln_i64_parse(number, &n)) {
        return mln_fail(cx, MLN_E_INVALID, "error parsing url-set byte count");
    }
    if (n < 1 || n > TRANSIT_RANDOM_MAX) {
        return mln_fail(cx, MLN_E_INVALID, n < 1 ? "\"bytes\" cannot be less than 1 (is %lld; most is %d)"
                                                 : "\"bytes\" is %lld: should be less than %d",
                        (long long)n, TRANSIT_RANDOM_MAX);
    }
    uint8_t *bytes = mln_new(cx, (size_t)n);
    MLN_TRY(mln_cx_err(cx));
    mln_random(bytes, (size_t)n);
    struct mln_bytes all = mln_bytes_at(bytes, (size_t)n);
    struct mln_value *data = mln_object(cx);
    const char *text = is_hex ? mln_hex_text(cx, all) : mln_base64_text(cx, all, MLN_B64_STD);
    mln_put(cx, data, "random_bytes", mln_secret_string(cx, mln_bytes_of(text)));
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err transit_hash_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    bool is_hex = true;
    uint8_t sum[MLN_SHA256_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {.is_secret = true};
    MLN_TRY(check_hash(rq, "urlalgorithm", "algorithm"));
    MLN_TRY(read_format(rq, true, &is_hex));
    MLN_TRY(read_input(cx, rq->fields, &input));
    mln_sha256(mln_buf_bytes(&input), sum);
    struct mln_bytes all = mln_bytes_at(sum, sizeof(sum));
    struct mln_value *data = mln_object(cx);
    mln_put_text(cx, data, "sum", is_hex ? mln_hex_text(cx, all) : mln_base64_text(cx, all, MLN_B64_STD));
    re->data = data;
    return mln_cx_err(cx);
}
