/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH private keys. Inside they are PKCS#8 DER; read from OpenSSH's own form or PEM, written in OpenSSH's form. Texts are decoded
 * here, into wiped memory: OpenSSL's PEM reader leaves copies behind. Sources: OpenSSH PROTOCOL.key; RFC 5958, 8017, 5915.
 */
#include "crypto/ssh_priv.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "base/clock.h"
#include "base/text.h"

#define MAGIC MLN_BYTES("openssh-key-v1\0") /* with its NUL */
#define BLOCK 8                             /* what an unencrypted private part is padded to */

static void p8_drop(PKCS8_PRIV_KEY_INFO **p)
{
    PKCS8_PRIV_KEY_INFO_free(*p);
}

static void bld_drop(OSSL_PARAM_BLD **p)
{
    OSSL_PARAM_BLD_free(*p);
}

static void params_drop(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p);
}

static void bn_ctx_drop(BN_CTX **p)
{
    BN_CTX_free(*p);
}

EVP_PKEY *ssh_pkey_of(struct mln_bytes der)
{
    const uint8_t *p = der.ptr;
    if (der.len == 0 || der.len > MLN_SSH_TEXT_MAX) {
        return NULL;
    }
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)der.len);
    if (key != NULL && p != der.ptr + der.len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static struct mln_err put_pkcs8(struct mln_cx *cx, EVP_PKEY *key, struct mln_buf *der)
{
    MLN_AUTO(p8_drop) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key);
    unsigned char *out = NULL;
    int n = p8 != NULL ? i2d_PKCS8_PRIV_KEY_INFO(p8, &out) : -1;
    if (n <= 0) {
        return crypto_failed(cx, "ssh: a private key as PKCS#8");
    }
    mln_buf_add(der, out, (size_t)n);
    OPENSSL_clear_free(out, (size_t)n);
    return mln_buf_ok(cx, der);
}

/* ---- the public half ---- */

static struct mln_err put_rsa(struct mln_cx *cx, EVP_PKEY *key, struct mln_buf *blob)
{
    MLN_AUTO(ssh_bn_drop) BIGNUM *n = NULL;
    MLN_AUTO(ssh_bn_drop) BIGNUM *e = NULL;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) != 1 || BN_num_bits(n) > MLN_SSH_RSA_BITS_MAX ||
        BN_num_bits(e) > 64) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: RSA keys have %d to %d bits", MLN_SSH_RSA_BITS_MIN,
                        MLN_SSH_RSA_BITS_MAX);
    }
    ssh_put_bn(blob, e);
    ssh_put_bn(blob, n);
    return MLN_OK;
}

static struct mln_err put_point(struct mln_cx *cx, EVP_PKEY *key, const struct ssh_kind *kind, struct mln_buf *blob)
{
    uint8_t point[133] = {4};
    int half = (int)(kind->bits + 7) / 8;
    MLN_AUTO(ssh_bn_drop) BIGNUM *x = NULL;
    MLN_AUTO(ssh_bn_drop) BIGNUM *y = NULL;
    if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) != 1 ||
        EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) != 1 || BN_bn2binpad(x, point + 1, half) != half ||
        BN_bn2binpad(y, point + 1 + half, half) != half) {
        return crypto_failed(cx, "ssh: the point of an EC key");
    }
    mln_ssh_put_string(blob, mln_bytes_of(kind->curve));
    mln_ssh_put_string(blob, mln_bytes_at(point, 1 + 2 * (size_t)half));
    return MLN_OK;
}

static bool kind_of(EVP_PKEY *key, enum mln_ssh_kind *ret)
{
    char group[64] = "";
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "ED25519")) {
        *ret = EVP_PKEY_is_a(key, "RSA") ? MLN_SSH_RSA : MLN_SSH_ED25519;
        return true;
    }
    if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1) {
        return false;
    }
    for (size_t i = MLN_SSH_P256; i <= MLN_SSH_P521; i++) {
        if (mln_bytes_is(mln_bytes_of(group), ssh_kinds[i].group)) {
            *ret = (enum mln_ssh_kind)i;
            return true;
        }
    }
    return false;
}

struct mln_err ssh_pkey_public(struct mln_cx *cx, EVP_PKEY *key, enum mln_ssh_kind *ret_kind, struct mln_buf *blob)
{
    uint8_t raw[32];
    size_t n = sizeof(raw);
    if (!kind_of(key, ret_kind)) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: a private key is RSA, ECDSA on P-256, P-384 or P-521, or Ed25519");
    }
    const struct ssh_kind *kind = &ssh_kinds[*ret_kind];
    mln_ssh_put_string(blob, mln_bytes_of(kind->name));
    if (*ret_kind == MLN_SSH_RSA) {
        MLN_TRY(put_rsa(cx, key, blob));
    } else if (kind->curve != NULL) {
        MLN_TRY(put_point(cx, key, kind, blob));
    } else if (EVP_PKEY_get_raw_public_key(key, raw, &n) == 1 && n == sizeof(raw)) {
        mln_ssh_put_string(blob, mln_bytes_at(raw, n));
    } else {
        return crypto_failed(cx, "ssh: the public half of an Ed25519 key");
    }
    return mln_buf_ok(cx, blob);
}

struct mln_err mln_ssh_public_of(struct mln_cx *cx, struct mln_bytes der, struct mln_ssh_key *ret)
{
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *key = ssh_pkey_of(der);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0};
    enum mln_ssh_kind kind = MLN_SSH_KINDS;
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: no private key found");
    }
    MLN_TRY(ssh_pkey_public(cx, key, &kind, &blob));
    return mln_ssh_blob_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&blob)), ret);
}

/* ---- making one ---- */

struct mln_err mln_ssh_generate(struct mln_cx *cx, enum mln_ssh_kind kind, unsigned bits, struct mln_buf *der)
{
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *key = NULL;
    MLN_CHECK(der->is_secret && !ssh_kinds[kind].has_application);
    if (kind == MLN_SSH_RSA) {
        if (bits != 2048 && bits != 3072 && bits != 4096) {
            return mln_fail(cx, MLN_E_INVALID, "ssh: a new RSA key has 2048, 3072 or 4096 bits");
        }
        key = EVP_RSA_gen(bits);
    } else if (kind == MLN_SSH_ED25519) {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    } else {
        key = EVP_EC_gen(ssh_kinds[kind].group);
    }
    return key != NULL ? put_pkcs8(cx, key, der) : crypto_failed(cx, "ssh: making a key");
}

/* ---- numbers to a key ---- */

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    MLN_AUTO(params_drop) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    MLN_AUTO(ssh_pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    bool ok = params != NULL && ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
              EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) == 1;
    return ok ? key : NULL;
}

/* Secret heap, so that copies in parameters are wiped too where the platform has one. */
static BIGNUM *bn_of(struct mln_bytes n)
{
    BIGNUM *bn = BN_secure_new();
    return bn != NULL && BN_bin2bn(n.ptr, (int)n.len, bn) != NULL ? bn : NULL;
}

/* d mod (prime - 1) */
static BIGNUM *exponent(const BIGNUM *d, const BIGNUM *prime)
{
    MLN_AUTO(bn_ctx_drop) BN_CTX *ctx = BN_CTX_secure_new();
    MLN_AUTO(ssh_bn_drop) BIGNUM *less = BN_dup(prime);
    BIGNUM *out = BN_secure_new();
    if (ctx == NULL || less == NULL || out == NULL || BN_is_zero(prime) || BN_is_one(prime) ||
        BN_sub_word(less, 1) != 1 || BN_mod(out, d, less, ctx) != 1) {
        BN_clear_free(out);
        return NULL;
    }
    return out;
}

static EVP_PKEY *rsa_key(struct mln_reader *r)
{
    struct mln_bytes part[6]; /* n, e, d, inverse of q mod p, p, q */
    BIGNUM *bn[8] = {NULL};
    EVP_PKEY *key = NULL;
    static const char *const names[8] = {
        OSSL_PKEY_PARAM_RSA_N,       OSSL_PKEY_PARAM_RSA_E,       OSSL_PKEY_PARAM_RSA_D,
        OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1, OSSL_PKEY_PARAM_RSA_FACTOR2,
        OSSL_PKEY_PARAM_RSA_EXPONENT1,    OSSL_PKEY_PARAM_RSA_EXPONENT2,
    };
    for (size_t i = 0; i < MLN_COUNT(part); i++) {
        part[i] = ssh_read_mpint(r);
        bool fits = !r->is_short && part[i].len <= MLN_SSH_RSA_BITS_MAX / 8;
        bn[i] = fits ? bn_of(part[i]) : NULL;
    }
    MLN_AUTO(bld_drop) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    bool ok = bld != NULL && bn[2] != NULL && bn[4] != NULL && bn[5] != NULL;
    bn[6] = ok ? exponent(bn[2], bn[4]) : NULL;
    bn[7] = ok ? exponent(bn[2], bn[5]) : NULL;
    for (size_t i = 0; ok && i < MLN_COUNT(bn); i++) {
        ok = bn[i] != NULL && OSSL_PARAM_BLD_push_BN(bld, names[i], bn[i]) == 1;
    }
    key = ok ? from_params("RSA", bld) : NULL;
    for (size_t i = 0; i < MLN_COUNT(bn); i++) {
        BN_clear_free(bn[i]);
    }
    return key;
}

static EVP_PKEY *ec_key(struct mln_reader *r, const struct ssh_kind *kind)
{
    struct mln_bytes curve = ssh_read_string(r), point = ssh_read_string(r), scalar = ssh_read_mpint(r);
    if (r->is_short || !mln_bytes_is(curve, kind->curve) || scalar.len > (kind->bits + 7) / 8) {
        return NULL;
    }
    MLN_AUTO(bld_drop) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    MLN_AUTO(ssh_bn_drop) BIGNUM *d = bn_of(scalar);
    bool ok = bld != NULL && d != NULL &&
              OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, kind->group, 0) == 1 &&
              OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.ptr, point.len) == 1 &&
              OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1;
    return ok ? from_params("EC", bld) : NULL;
}

static EVP_PKEY *ed_key(struct mln_reader *r)
{
    struct mln_bytes public = ssh_read_string(r), secret = ssh_read_string(r);
    if (r->is_short || public.len != 32 || secret.len != 64 ||
        !mln_bytes_eq(public, mln_bytes_from(secret, 32))) {
        return NULL;
    }
    return EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, secret.ptr, 32);
}

/* ---- OpenSSH's form ---- */

static bool is_padding(struct mln_bytes rest)
{
    bool ok = rest.len < BLOCK;
    for (size_t i = 0; ok && i < rest.len; i++) {
        ok = rest.ptr[i] == i + 1;
    }
    return ok;
}

static EVP_PKEY *private_part(struct mln_bytes body)
{
    struct mln_reader r = mln_reader_of(body);
    uint32_t check = mln_read_u32be(&r);
    bool same = check == mln_read_u32be(&r);
    struct mln_bytes name = ssh_read_string(&r);
    EVP_PKEY *key = NULL;
    if (!same) {
        return NULL;
    }
    if (mln_bytes_is(name, ssh_kinds[MLN_SSH_RSA].name)) {
        key = rsa_key(&r);
    } else if (mln_bytes_is(name, ssh_kinds[MLN_SSH_ED25519].name)) {
        key = ed_key(&r);
    }
    for (size_t i = MLN_SSH_P256; i <= MLN_SSH_P521; i++) {
        if (mln_bytes_is(name, ssh_kinds[i].name)) {
            key = ec_key(&r, &ssh_kinds[i]);
        }
    }
    (void)ssh_read_string(&r); /* comment */
    if (key != NULL && (r.is_short || !is_padding(mln_bytes_from(body, r.at)))) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

struct mln_err ssh_pkey_openssh(struct mln_cx *cx, struct mln_bytes body, EVP_PKEY **ret)
{
    struct mln_reader r = mln_reader_of(body);
    struct mln_bytes magic = mln_read_bytes(&r, MAGIC.len), cipher = ssh_read_string(&r), kdf = ssh_read_string(&r);
    struct mln_bytes options = ssh_read_string(&r);
    uint32_t n = mln_read_u32be(&r);
    struct mln_bytes public = ssh_read_string(&r), private = ssh_read_string(&r);
    if (r.is_short || mln_reader_left(&r) != 0 || !mln_bytes_eq(magic, MAGIC) || n != 1) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged private key");
    }
    if (!mln_bytes_is(cipher, "none") || !mln_bytes_is(kdf, "none") || options.len != 0) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: the private key is encrypted");
    }
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *key = private_part(private);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0};
    enum mln_ssh_kind kind = MLN_SSH_KINDS;
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged private key");
    }
    MLN_TRY(ssh_pkey_public(cx, key, &kind, &blob));
    if (!mln_bytes_eq(mln_buf_bytes(&blob), public)) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: the halves of the private key do not belong together");
    }
    *ret = mln_take(&key);
    return MLN_OK;
}

/* ---- texts ---- */

/* What lies between the lines of this label, decoded. Empty when they are not there. */
static struct mln_err decode(struct mln_cx *cx, struct mln_bytes text, const char *label, struct mln_buf *body)
{
    struct mln_bytes begin = mln_bytes_format(cx, "-----BEGIN %s-----", label);
    struct mln_bytes end = mln_bytes_format(cx, "-----END %s-----", label);
    MLN_TRY(mln_cx_err(cx));
    size_t from = mln_bytes_find_bytes(text, begin);
    struct mln_bytes rest = mln_bytes_from(text, from + begin.len);
    size_t stop = mln_bytes_find_bytes(rest, end);
    if (from == text.len || stop == rest.len) {
        return MLN_OK;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {.is_secret = true};
    for (size_t i = 0; i < stop; i++) {
        uint8_t c = rest.ptr[i];
        if (c != '\n' && c != '\r' && c != ' ' && c != '\t') {
            mln_buf_add_byte(&packed, c);
        }
    }
    MLN_TRY(mln_buf_ok(cx, &packed));
    if (mln_failed(mln_base64_parse(NULL, mln_buf_bytes(&packed), MLN_B64_STD, body))) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged private key");
    }
    return mln_buf_ok(cx, body);
}

static struct mln_err check_pair(struct mln_cx *cx, EVP_PKEY *key)
{
    MLN_AUTO(ssh_pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    enum mln_ssh_kind kind = MLN_SSH_KINDS;
    bool ok = ctx != NULL && kind_of(key, &kind) && EVP_PKEY_get_bits(key) <= MLN_SSH_RSA_BITS_MAX;
    /* an Ed25519 key is made from its seed: nothing to compare, and OpenSSL 3.0 has no check for it */
    ok = ok && (kind == MLN_SSH_ED25519 || EVP_PKEY_pairwise_check(ctx) == 1);
    return ok ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "ssh: the halves of the private key do not belong together");
}

static struct mln_err put_private(struct mln_cx *cx, EVP_PKEY *key, enum mln_ssh_kind kind, struct mln_buf *to)
{
    static const char *const numbers[] = {OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E, OSSL_PKEY_PARAM_RSA_D,
                                          OSSL_PKEY_PARAM_RSA_COEFFICIENT1, OSSL_PKEY_PARAM_RSA_FACTOR1,
                                          OSSL_PKEY_PARAM_RSA_FACTOR2};
    static const char *const scalar[] = {OSSL_PKEY_PARAM_PRIV_KEY};
    const char *const *names = kind == MLN_SSH_RSA ? numbers : scalar;
    size_t n = kind == MLN_SSH_RSA ? MLN_COUNT(numbers) : 1, raw_n = 32;
    uint8_t pair[64];
    if (kind == MLN_SSH_ED25519) {
        size_t public_n = 32;
        bool ok = EVP_PKEY_get_raw_private_key(key, pair, &raw_n) == 1 &&
                  EVP_PKEY_get_raw_public_key(key, pair + 32, &public_n) == 1;
        mln_ssh_put_string(to, mln_bytes_at(pair + 32, 32));
        mln_ssh_put_string(to, mln_bytes_at(pair, 64));
        mln_wipe(pair, sizeof(pair));
        return ok ? mln_buf_ok(cx, to) : crypto_failed(cx, "ssh: a private key's parts");
    }
    for (size_t i = 0; i < n; i++) {
        MLN_AUTO(ssh_bn_drop) BIGNUM *number = NULL;
        if (EVP_PKEY_get_bn_param(key, names[i], &number) != 1) {
            return crypto_failed(cx, "ssh: a private key's parts");
        }
        ssh_put_bn(to, number);
    }
    return mln_buf_ok(cx, to);
}

/* The part that a passphrase would encrypt. */
static struct mln_err private_body(struct mln_cx *cx, EVP_PKEY *key, enum mln_ssh_kind kind, struct mln_bytes blob,
                                   struct mln_buf *to)
{
    uint32_t check = (uint32_t)mln_random_u64();
    mln_buf_add_u32be(to, check);
    mln_buf_add_u32be(to, check);
    mln_ssh_put_string(to, mln_bytes_of(ssh_kinds[kind].name));
    if (ssh_kinds[kind].curve != NULL) { /* curve and point as in the public half */
        mln_buf_add_bytes(to, mln_bytes_from(blob, 4 + mln_bytes_of(ssh_kinds[kind].name).len));
    }
    MLN_TRY(put_private(cx, key, kind, to));
    mln_ssh_put_string(to, MLN_BYTES_NONE); /* comment */
    for (uint8_t i = 1; to->len % BLOCK != 0; i++) {
        mln_buf_add_byte(to, i);
    }
    return mln_buf_ok(cx, to);
}

/*
 * The same key from its numbers alone: what a PKCS#8 or SEC 1 file may carry besides (attributes, explicit or compressed forms, its
 * own CRT exponents) stays behind.
 */
static struct mln_err bare_key(struct mln_cx *cx, EVP_PKEY *key, EVP_PKEY **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0}, body = {.is_secret = true};
    enum mln_ssh_kind kind = MLN_SSH_KINDS;
    MLN_TRY(ssh_pkey_public(cx, key, &kind, &blob));
    MLN_TRY(private_body(cx, key, kind, mln_buf_bytes(&blob), &body));
    *ret = private_part(mln_buf_bytes(&body));
    return *ret != NULL ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "ssh: damaged private key");
}

struct mln_err mln_ssh_private_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_buf *der)
{
    static const char *const labels[] = {"OPENSSH PRIVATE KEY", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"};
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {.is_secret = true};
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *key = NULL;
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *bare = NULL;
    struct mln_ssh_key public;
    MLN_CHECK(der->is_secret);
    size_t i = 0;
    for (; text.len <= MLN_SSH_TEXT_MAX && i < MLN_COUNT(labels) && body.len == 0; i++) {
        MLN_TRY(decode(cx, text, labels[i], &body));
    }
    if (body.len > 0 && i == 1) {
        MLN_TRY(ssh_pkey_openssh(cx, mln_buf_bytes(&body), &key));
    } else {
        key = ssh_pkey_of(mln_buf_bytes(&body));
    }
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: no key found");
    }
    MLN_TRY(bare_key(cx, key, &bare));
    MLN_TRY(check_pair(cx, bare));
    size_t before = der->len;
    MLN_TRY(put_pkcs8(cx, bare, der));
    return mln_ssh_public_of(cx, mln_bytes_from(mln_buf_bytes(der), before), &public);
}

struct mln_err mln_ssh_private_print(struct mln_cx *cx, struct mln_bytes der, struct mln_buf *text)
{
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *key = ssh_pkey_of(der);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0}, body = {.is_secret = true}, all = {.is_secret = true},
                                          encoded = {.is_secret = true};
    enum mln_ssh_kind kind = MLN_SSH_KINDS;
    MLN_CHECK(text->is_secret);
    if (key == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: no private key found");
    }
    MLN_TRY(ssh_pkey_public(cx, key, &kind, &blob));
    MLN_TRY(private_body(cx, key, kind, mln_buf_bytes(&blob), &body));
    mln_buf_add_bytes(&all, MAGIC);
    mln_ssh_put_string(&all, MLN_BYTES("none"));
    mln_ssh_put_string(&all, MLN_BYTES("none"));
    mln_ssh_put_string(&all, MLN_BYTES_NONE);
    mln_buf_add_u32be(&all, 1);
    mln_ssh_put_string(&all, mln_buf_bytes(&blob));
    mln_ssh_put_string(&all, mln_buf_bytes(&body));
    MLN_TRY(mln_buf_ok(cx, &all));
    mln_base64_print(&encoded, mln_buf_bytes(&all), MLN_B64_STD);
    mln_buf_add_text(text, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    for (size_t at = 0; at < encoded.len; at += 70) {
        mln_buf_add_bytes(text, mln_bytes_sub(mln_buf_bytes(&encoded), at, 70));
        mln_buf_add_byte(text, '\n');
    }
    mln_buf_add_text(text, "-----END OPENSSH PRIVATE KEY-----\n");
    return mln_buf_ok(cx, text);
}
