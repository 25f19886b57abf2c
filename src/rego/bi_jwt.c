/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.jwt.decode, verify_*, decode_verify. What signs decides what it can verify: a shared secret only the HMACs, a public
 * key only the algorithms of its kind. Tokens of tokens ("cty":"JWT") are opened to the innermost.
 */
#include "rego/builtin_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/jose_verify.h"

#include <string.h>


#define NESTED_MAX 8                   /* tokens in tokens */
#define WORK_MAX   ((size_t)4 << 20)   /* of reading one key set */

struct token {
    struct mln_bytes parts[3]; /* as they were sent */
    struct mln_bytes signed_part;
    struct mln_bytes signature; /* decoded, in the call's heap */
    struct rg_val header, payload; /* payload undefined while it is another token */
    struct mln_bytes inner;        /* that token */
};

static bool split(struct rg_call *call, struct mln_bytes t, struct token *to)
{
    size_t n = 1;
    for (size_t i = 0; i < t.len; i++) {
        n += t.ptr[i] == '.';
    }
    if (n == 1) {
        return rg_fail(call, "encoded JWT had no period separators");
    }
    if (n != 3) {
        return rg_fail(call, "encoded JWT must have 3 sections, found %zu", n);
    }
    struct mln_bytes rest;
    to->parts[0] = mln_bytes_cut(t, '.', &rest);
    to->parts[1] = mln_bytes_cut(rest, '.', &to->parts[2]);
    to->signed_part = mln_bytes_sub(t, 0, to->parts[0].len + 1 + to->parts[1].len);
    return true;
}

/* Go does not mind bits behind the last byte; base does. */
static struct mln_bytes without_spare_bits(struct rg_call *call, struct mln_bytes t)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *last = t.len == 0 ? NULL : strchr(digits, t.ptr[t.len - 1]);
    if (last == NULL || *last == '\0' || t.len % 4 < 2) {
        return t;
    }
    char *to = rg_text_dup(call->heap, t);
    to[t.len - 1] = digits[(size_t)(last - digits) & (t.len % 4 == 2 ? ~(size_t)15 : ~(size_t)3)];
    return mln_bytes_at(to, t.len);
}

static bool decode_part(struct rg_call *call, const char *what, struct mln_bytes t,
                        struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    while (t.len > 0 && t.ptr[t.len - 1] == '=') {
        t.len--;
    }
    t = without_spare_bits(call, t);
    if (mln_failed(mln_base64_parse(&cx, t, MLN_B64_URL_RAW, &out))) {
        return rg_fail(call, "JWT %s had invalid encoding: %s", what, cx.text);
    }
    *ret = mln_bytes_at(rg_text_dup(call->heap, mln_buf_bytes(&out)), out.len);
    return true;
}

static bool read_header(struct rg_call *call, struct token *t)
{
    struct mln_bytes text;
    const char *why = NULL;
    if (!decode_part(call, "header", t->parts[0], &text)) {
        return false;
    }
    t->header = rg_json_parse(call->heap, text, &why);
    if (t->header.tag != RG_OBJECT) {
        return rg_fail(call, "JWT header was not a JSON object");
    }
    if (rg_get_text(t->header, "enc").tag != RG_UNDEF) {
        return rg_fail(call, "JWT is a JWE object, which is not supported");
    }
    return true;
}

/* A token whose payload is a token again, bare or as a JSON string. */
static bool read_payload(struct rg_call *call, struct token *t)
{
    struct mln_bytes text;
    const char *why = NULL;
    struct rg_val cty = rg_get_text(t->header, "cty");
    if (!decode_part(call, "payload", t->parts[1], &text)) {
        return false;
    }
    if (cty.tag == RG_STR && mln_bytes_is_nocase(rg_bytes(cty), "JWT")) {
        bool quoted = text.len > 1 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
        t->inner = quoted ? mln_bytes_sub(text, 1, text.len - 2) : text;
        return true;
    }
    t->payload = rg_json_parse(call->heap, text, &why);
    return t->payload.tag == RG_OBJECT || rg_fail(call, "JWT payload was not a JSON object");
}

static bool read_token(struct rg_call *call, struct mln_bytes text, struct token *t)
{
    *t = (struct token){0};
    return split(call, text, t) && read_header(call, t) && read_payload(call, t) &&
           decode_part(call, "signature", t->parts[2], &t->signature);
}

static bool decode(struct rg_call *call)
{
    struct mln_bytes text;
    struct token t;
    MLN_AUTO(mln_buf_drop) struct mln_buf hex = {0};
    if (!rg_arg_string(call, 1, &text)) {
        return false;
    }
    for (int depth = 0; depth < NESTED_MAX; depth++) {
        if (!read_token(call, text, &t)) {
            return false;
        }
        if (t.payload.tag != RG_UNDEF) {
            break;
        }
        text = t.inner;
    }
    if (t.payload.tag == RG_UNDEF) {
        return rg_fail(call, "JWT nests more than %d tokens", NESTED_MAX);
    }
    struct rg_val out = rg_array(call->heap, 3);
    mln_hex_print(&hex, t.signature);
    rg_push(call->heap, out, t.header);
    rg_push(call->heap, out, t.payload);
    rg_push(call->heap, out, rg_string_buf(call->heap, &hex));
    return rg_return(call, out);
}

/* ---- keys ---- */
struct keys {
    struct rg_call *call;
    struct mln_cx cx;
    const struct token *token;
    enum mln_jose_alg alg;
    bool verified;
};

static void try_key(struct keys *k, struct mln_jose_public *key)
{
    struct mln_jose_token t = {.alg = k->alg,
                               .signed_part = k->token->signed_part,
                               .signature = k->token->signature};
    mln_cx_clear(&k->cx);
    k->verified = k->verified || !mln_failed(mln_jose_verify(&k->cx, key, &t));
    mln_cx_clear(&k->cx);
}

static bool try_pem(struct keys *k, struct mln_bytes pem)
{
    static const char end[] = "-----END ";
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
    size_t at = mln_bytes_find_bytes(pem, mln_bytes_of(end));
    struct mln_bytes last = mln_bytes_from(pem, at + sizeof(end) - 1);
    struct mln_bytes behind = mln_bytes_trim(mln_bytes_from(last, mln_bytes_find(last, '\n')));
    bool cert = mln_bytes_starts(pem, MLN_BYTES("-----BEGIN CERTIFICATE-----"));
    bool spki = mln_bytes_starts(pem, MLN_BYTES("-----BEGIN PUBLIC KEY-----"));
    if (at < pem.len && behind.len > 0) {
        return rg_fail(k->call, "extra data after a PEM certificate block");
    }
    if (!cert && !spki) {
        return rg_fail(k->call, "failed to extract a Key from the PEM certificate");
    }
    if (mln_failed(mln_jose_public_from_pem(&k->cx, pem, &key))) {
        return rg_fail(k->call, "failed to parse a PEM %s", cert ? "certificate" : "public key");
    }
    try_key(k, key);
    return true;
}

/* False when it is no key at all; one that is for something else is passed over. */
static bool try_jwk(struct keys *k, const struct mln_value *jwk, bool alone)
{
    MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
    if (mln_type_of(jwk) != MLN_OBJECT) {
        return false;
    }
    struct mln_value *plain = mln_object(&k->cx); /* OPA does not ask what a key is for */
    for (size_t i = 0; i < mln_len(jwk); i++) {
        const struct mln_member *m = mln_member_at(jwk, i);
        if (!mln_bytes_is(m->key, "use") && !mln_bytes_is(m->key, "key_ops")) {
            mln_put_key(&k->cx, plain, m->key, mln_value_dup(&k->cx, &m->value));
        }
    }
    if (mln_failed(mln_jose_public_from_jwk(&k->cx, plain, &key))) {
        mln_cx_clear(&k->cx);
        return !alone;
    }
    try_key(k, key);
    return true;
}

static bool try_jwks(struct keys *k, struct mln_bytes text)
{
    const struct mln_value *v = NULL;
    bool ok = !mln_failed(mln_json_parse(&k->cx, text, &v)) && mln_type_of(v) == MLN_OBJECT;
    const struct mln_value *list = ok ? mln_get(v, "keys") : NULL;
    if (ok && list == NULL) {
        ok = try_jwk(k, v, true);
    } else if (ok) {
        ok = mln_type_of(list) == MLN_ARRAY && mln_len(list) <= MLN_JOSE_KEYS_MAX;
        for (size_t i = 0; ok && i < mln_len(list) && !k->verified; i++) {
            ok = try_jwk(k, mln_item(list, i), false);
        }
    }
    return ok || rg_fail(k->call, "failed to parse a JWK key (set)");
}

/* Is the token signed by a key of `source` (PEM, JWK, JWK set)? False after an error. */
static bool verify_public(struct rg_call *call, const struct token *t, enum mln_jose_alg alg,
                          struct mln_bytes source, bool *ret)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(WORK_MAX, false);
    struct keys k = {.call = call, .token = t, .alg = alg};
    mln_cx_init(&k.cx, arena);
    struct mln_bytes pem = mln_bytes_trim(source);
    bool ok = mln_bytes_starts(pem, MLN_BYTES("-----BEGIN")) ? try_pem(&k, pem) : try_jwks(&k, source);
    *ret = k.verified;
    return ok;
}

static bool verify_secret(const struct token *t, enum mln_hash hash, struct mln_bytes secret)
{
    uint8_t sum[MLN_HASH_MAX_BYTES];
    mln_hmac_sum(hash, secret, t->signed_part, sum);
    return mln_eq_ct(sum, mln_hash_bytes(hash), t->signature.ptr, t->signature.len);
}

static bool verify_as(struct rg_call *call, enum mln_jose_alg alg)
{
    struct mln_bytes text, key;
    struct token t = {0};
    bool yes = false;
    return rg_arg_string(call, 1, &text) && rg_arg_string(call, 2, &key) && split(call, text, &t) &&
           decode_part(call, "signature", t.parts[2], &t.signature) &&
           verify_public(call, &t, alg, key, &yes) && rg_return(call, rg_bool(yes));
}

static bool verify_hs(struct rg_call *call, enum mln_hash hash)
{
    struct mln_bytes text, key;
    struct token t = {0};
    return rg_arg_string(call, 1, &text) && rg_arg_string(call, 2, &key) && split(call, text, &t) &&
           decode_part(call, "signature", t.parts[2], &t.signature) &&
           rg_return(call, rg_bool(verify_secret(&t, hash, key)));
}

#define VERIFY(name, alg)                                                                          \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        return verify_as(call, alg);                                                               \
    }
#define VERIFY_HS(name, hash)                                                                      \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        return verify_hs(call, hash);                                                              \
    }
VERIFY(rs256, MLN_JOSE_RS256)
VERIFY(rs384, MLN_JOSE_RS384)
VERIFY(rs512, MLN_JOSE_RS512)
VERIFY(ps256, MLN_JOSE_PS256)
VERIFY(ps384, MLN_JOSE_PS384)
VERIFY(ps512, MLN_JOSE_PS512)
VERIFY(es256, MLN_JOSE_ES256)
VERIFY(es384, MLN_JOSE_ES384)
VERIFY(es512, MLN_JOSE_ES512)
VERIFY(eddsa, MLN_JOSE_EDDSA)
VERIFY_HS(hs256, MLN_HASH_SHA2_256)
VERIFY_HS(hs384, MLN_HASH_SHA2_384)
VERIFY_HS(hs512, MLN_HASH_SHA2_512)

/* ---- decode_verify ---- */
struct constraints {
    struct rg_val cert, secret, alg, iss, aud, time;
};

static bool read_constraints(struct rg_call *call, struct constraints *c)
{
    struct rg_val from;
    *c = (struct constraints){.time = RG_NONE};
    if (!rg_arg_tag(call, 2, RG_OBJECT, &from)) {
        return false;
    }
    const struct {
        const char *name;
        struct rg_val *to;
    } rows[] = {{"cert", &c->cert}, {"secret", &c->secret}, {"alg", &c->alg},
                {"iss", &c->iss},   {"aud", &c->aud},       {"time", &c->time}};
    for (size_t i = 0; i < rg_len(from); i++) {
        struct rg_val key = rg_key_at(from, i), v = rg_val_at(from, i);
        size_t k = 0;
        while (k < MLN_COUNT(rows) &&
               !(key.tag == RG_STR && mln_bytes_is(rg_bytes(key), rows[k].name))) {
            k++;
        }
        if (k == MLN_COUNT(rows)) {
            return rg_fail(call, "unknown token validation constraint");
        }
        if (rows[k].to == &c->time ? !rg_is_number(v) : v.tag != RG_STR) {
            return rg_fail(call, "%s constraint: must be a %s", rows[k].name,
                           rows[k].to == &c->time ? "number" : "string");
        }
        *rows[k].to = v;
    }
    if (c->cert.tag == RG_UNDEF && c->secret.tag == RG_UNDEF) {
        return rg_fail(call, "no key constraint");
    }
    if (c->cert.tag != RG_UNDEF && c->secret.tag != RG_UNDEF) {
        return rg_fail(call, "duplicate key constraints");
    }
    return true;
}

/* By the algorithm that the header names; *ret false where it does not go with the constraints. */
static bool verify_named(struct rg_call *call, const struct token *t, const struct constraints *c,
                         bool *ret)
{
    static const struct {
        const char *name;
        enum mln_hash hash;
    } secrets[] = {
        {"HS256", MLN_HASH_SHA2_256}, {"HS384", MLN_HASH_SHA2_384}, {"HS512", MLN_HASH_SHA2_512}};
    struct rg_val name = rg_get_text(t->header, "alg");
    enum mln_jose_alg alg;
    *ret = false;
    if (name.tag != RG_STR || rg_get_text(t->header, "crit").tag != RG_UNDEF ||
        (c->alg.tag != RG_UNDEF && !rg_eq(c->alg, name))) {
        return true;
    }
    for (size_t i = 0; i < MLN_COUNT(secrets); i++) {
        if (mln_bytes_is(rg_bytes(name), secrets[i].name)) {
            *ret = c->secret.tag == RG_STR &&
                   verify_secret(t, secrets[i].hash, rg_bytes(c->secret));
            return true;
        }
    }
    return !mln_jose_alg_of(rg_bytes(name), &alg) || c->cert.tag != RG_STR ||
           verify_public(call, t, alg, rg_bytes(c->cert), ret);
}

static bool audience_fits(struct rg_val payload, struct rg_val wanted)
{
    struct rg_val aud = rg_get_text(payload, "aud");
    if (aud.tag == RG_UNDEF || wanted.tag == RG_UNDEF) {
        return aud.tag == wanted.tag;
    }
    if (aud.tag == RG_STR) {
        return rg_eq(aud, wanted);
    }
    for (size_t i = 0; aud.tag == RG_ARRAY && i < rg_len(aud); i++) {
        if (rg_eq(rg_item(aud, i), wanted)) {
            return true;
        }
    }
    return false;
}

/* Issuer, audience, times. */
static bool check_claims(struct rg_call *call, struct rg_val payload, const struct constraints *c,
                         bool *ret)
{
    struct rg_val iss = rg_get_text(payload, "iss"), exp = rg_get_text(payload, "exp"),
                  nbf = rg_get_text(payload, "nbf");
    *ret = false;
    if ((c->iss.tag != RG_UNDEF && (iss.tag != RG_STR || !rg_eq(iss, c->iss))) ||
        !audience_fits(payload, c->aud)) {
        return true;
    }
    if (exp.tag != RG_UNDEF && !rg_is_number(exp)) {
        return rg_fail(call, "exp value must be a number");
    }
    if (nbf.tag != RG_UNDEF && !rg_is_number(nbf)) {
        return rg_fail(call, "nbf value must be a number");
    }
    struct rg_val now = c->time.tag != RG_UNDEF ? c->time : rg_int(rg_now_ns(call->vm));
    now = rg_num_div(call->heap, now, rg_int(1000000000));
    *ret = (exp.tag == RG_UNDEF || rg_num_cmp(now, exp) < 0) &&
           (nbf.tag == RG_UNDEF || rg_num_cmp(now, nbf) >= 0);
    return true;
}

static bool answer(struct rg_call *call, bool yes, struct rg_val header, struct rg_val payload)
{
    struct rg_val out = rg_array(call->heap, 3);
    rg_push(call->heap, out, rg_bool(yes));
    rg_push(call->heap, out, yes ? header : rg_object(call->heap, 0));
    rg_push(call->heap, out, yes ? payload : rg_object(call->heap, 0));
    return rg_return(call, out);
}

static bool decode_verify(struct rg_call *call)
{
    struct mln_bytes text;
    struct constraints c;
    struct token t;
    bool yes = false;
    if (!rg_arg_string(call, 1, &text) || !read_constraints(call, &c)) {
        return false;
    }
    for (int depth = 0; depth < NESTED_MAX; depth++) {
        if (!read_token(call, text, &t) || !verify_named(call, &t, &c, &yes)) {
            return false;
        }
        if (!yes || t.payload.tag != RG_UNDEF) {
            break;
        }
        text = t.inner;
    }
    if (!yes || t.payload.tag == RG_UNDEF) {
        return answer(call, false, RG_NONE, RG_NONE);
    }
    return check_claims(call, t.payload, &c, &yes) && answer(call, yes, t.header, t.payload);
}

const struct rg_builtin rg_builtins_jwt[] = {
    {"io.jwt.decode", decode},       {"io.jwt.decode_verify", decode_verify},
    {"io.jwt.verify_rs256", rs256},  {"io.jwt.verify_rs384", rs384},
    {"io.jwt.verify_rs512", rs512},  {"io.jwt.verify_ps256", ps256},
    {"io.jwt.verify_ps384", ps384},  {"io.jwt.verify_ps512", ps512},
    {"io.jwt.verify_es256", es256},  {"io.jwt.verify_es384", es384},
    {"io.jwt.verify_es512", es512},  {"io.jwt.verify_eddsa", eddsa},
    {"io.jwt.verify_hs256", hs256},  {"io.jwt.verify_hs384", hs384},
    {"io.jwt.verify_hs512", hs512},  {NULL, NULL}};
