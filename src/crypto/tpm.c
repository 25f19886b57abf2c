/* SPDX-License-Identifier: Apache-2.0 */
/* Public areas and quotes, see tpm.h. All numbers are big-endian; a "2B" is a u16 length and as many bytes. */
#include "crypto/tpm.h"

#define ALG_RSA    0x0001u
#define ALG_AES    0x0006u
#define ALG_SHA256 0x000bu
#define ALG_NULL   0x0010u
#define ALG_RSASSA 0x0014u
#define ALG_ECDSA  0x0018u
#define ALG_ECC    0x0023u
#define ALG_CFB    0x0043u
#define CURVE_P256 0x0003u

/* Attributes of an object: part 2 sec. 8.3. */
#define FIXED_TPM    (1u << 1)
#define FIXED_PARENT (1u << 4)
#define OWN_RANDOM   (1u << 5) /* sensitiveDataOrigin: made in the TPM */
#define RESTRICTED   (1u << 16)
#define DECRYPT      (1u << 17)
#define SIGN         (1u << 18)
#define BOUND        (FIXED_TPM | FIXED_PARENT | OWN_RANDOM | RESTRICTED)

#define GENERATED    0xff544347u /* "\xffTCG": what begins so was made by a TPM, and no restricted key signs it for anyone else */
#define ST_QUOTE     0x8018u
#define PCR_BANKS    16u /* as many algorithms as a TPM may hash with */
#define PCR_BYTES    32u
#define DIGEST_MAX   64u /* of SHA-512 */
#define NAME_MAX     68u /* of SHA-512, and room */
#define RSA_BYTES    256u
#define P256_BYTES   32u

static struct mln_bytes read_2b(struct mln_reader *r, size_t most)
{
    size_t n = mln_read_u16be(r);
    r->is_short = r->is_short || n > most;
    return r->is_short ? MLN_BYTES_NONE : mln_read_bytes(r, n);
}

static bool is_at_end(const struct mln_reader *r)
{
    return !r->is_short && mln_reader_left(r) == 0;
}

/* ---- public areas ---- */

struct head {
    uint16_t kind;
    uint32_t attributes;
    struct mln_reader r; /* behind it: parameters and unique */
};

static struct mln_err no_area(struct mln_cx *cx)
{
    return mln_fail(cx, MLN_E_PARSE, "tpm: this is no public area (TPMT_PUBLIC)");
}

static struct mln_err read_head(struct mln_cx *cx, struct mln_bytes from, struct head *ret)
{
    if (from.len > MLN_TPM_PUBLIC_MAX) {
        return mln_fail(cx, MLN_E_PARSE, "tpm: a public area has at most %u bytes", MLN_TPM_PUBLIC_MAX);
    }
    ret->r = mln_reader_of(from);
    ret->kind = mln_read_u16be(&ret->r);
    uint16_t name_alg = mln_read_u16be(&ret->r);
    ret->attributes = mln_read_u32be(&ret->r);
    (void)read_2b(&ret->r, DIGEST_MAX); /* authPolicy */
    if (ret->r.is_short) {
        return no_area(cx);
    }
    return name_alg == ALG_SHA256 ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "tpm: only keys whose name is by SHA-256 are taken");
}

static bool has_use(const struct head *h, uint32_t use)
{
    return (h->attributes & (BOUND | DECRYPT | SIGN)) == (BOUND | use);
}

/* A SubjectPublicKeyInfo of a fixed size: head, key, tail. */
static struct mln_err take_key(struct mln_cx *cx, struct mln_bytes head, struct mln_bytes key, struct mln_bytes tail,
                               struct mln_tpm_key *ret)
{
    uint8_t *der = mln_new(cx, head.len + key.len + tail.len);
    MLN_TRY(mln_cx_err(cx));
    mln_copy(der, head.ptr, head.len);
    mln_copy(der + head.len, key.ptr, key.len);
    mln_copy(der + head.len + key.len, tail.ptr, tail.len);
    ret->spki = mln_bytes_at(der, head.len + key.len + tail.len);
    return mln_failed(mln_akey_check_public(cx, ret->kind, ret->spki))
               ? mln_refail(cx, MLN_E_INVALID, "tpm: a public key that is none")
               : MLN_OK;
}

static void name_it(struct mln_bytes from, struct mln_tpm_key *key)
{
    key->name[0] = ALG_SHA256 >> 8;
    key->name[1] = ALG_SHA256 & 0xff;
    mln_sha256(from, key->name + 2);
}

/* What both RSA kinds end with: size, exponent (0 = 65537), modulus. */
static struct mln_err read_rsa(struct mln_cx *cx, struct mln_reader *r, struct mln_tpm_key *ret)
{
    static const uint8_t head[] = {0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01,
                                   0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00};
    static const uint8_t tail[] = {0x02, 0x03, 0x01, 0x00, 0x01};
    uint16_t bits = mln_read_u16be(r);
    uint32_t exponent = mln_read_u32be(r);
    struct mln_bytes modulus = read_2b(r, RSA_BYTES);
    if (!is_at_end(r)) {
        return no_area(cx);
    }
    if (bits != 8 * RSA_BYTES || modulus.len != RSA_BYTES || (exponent != 0 && exponent != 65537) || modulus.ptr[0] < 0x80 ||
        modulus.ptr[RSA_BYTES - 1] % 2 == 0) {
        return mln_fail(cx, MLN_E_INVALID, "tpm: of RSA only 2048 bits and exponent 65537 are taken");
    }
    ret->kind = MLN_AKEY_RSA2048;
    return take_key(cx, mln_bytes_at(head, sizeof(head)), modulus, mln_bytes_at(tail, sizeof(tail)), ret);
}

static struct mln_err read_p256(struct mln_cx *cx, struct mln_reader *r, struct mln_tpm_key *ret)
{
    static const uint8_t head[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                                   0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04};
    uint8_t point[2 * P256_BYTES] = {0};
    uint16_t curve = mln_read_u16be(r), derivation = mln_read_u16be(r);
    struct mln_bytes x = read_2b(r, P256_BYTES), y = read_2b(r, P256_BYTES);
    if (!is_at_end(r)) {
        return no_area(cx);
    }
    if (curve != CURVE_P256 || derivation != ALG_NULL) {
        return mln_fail(cx, MLN_E_INVALID, "tpm: of curves only P-256 is taken");
    }
    mln_copy(point + P256_BYTES - x.len, x.ptr, x.len); /* leading zeros may be left out */
    mln_copy(point + 2 * P256_BYTES - y.len, y.ptr, y.len);
    ret->kind = MLN_AKEY_P256;
    return take_key(cx, mln_bytes_at(head, sizeof(head)), mln_bytes_at(point, sizeof(point)), MLN_BYTES_NONE, ret);
}

struct mln_err mln_tpm_ek_parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_key *ret)
{
    struct head h;
    struct mln_tpm_key key;
    MLN_TRY(read_head(cx, from, &h));
    bool ok = h.kind == ALG_RSA && has_use(&h, DECRYPT);
    ok = ok && mln_read_u16be(&h.r) == ALG_AES && mln_read_u16be(&h.r) == 128 && mln_read_u16be(&h.r) == ALG_CFB;
    ok = ok && mln_read_u16be(&h.r) == ALG_NULL;
    if (h.r.is_short) {
        return no_area(cx);
    }
    if (!ok) {
        return mln_fail(cx, MLN_E_INVALID, "tpm: an endorsement key must be RSA-2048, bound to its TPM and restricted to decrypt");
    }
    MLN_TRY(read_rsa(cx, &h.r, &key));
    name_it(from, &key);
    *ret = key;
    return MLN_OK;
}

struct mln_err mln_tpm_ak_parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_key *ret)
{
    struct head h;
    struct mln_tpm_key key;
    MLN_TRY(read_head(cx, from, &h));
    bool is_rsa = h.kind == ALG_RSA, ok = (is_rsa || h.kind == ALG_ECC) && has_use(&h, SIGN);
    ok = ok && mln_read_u16be(&h.r) == ALG_NULL && mln_read_u16be(&h.r) == (is_rsa ? ALG_RSASSA : ALG_ECDSA);
    ok = ok && mln_read_u16be(&h.r) == ALG_SHA256;
    if (h.r.is_short) {
        return no_area(cx);
    }
    if (!ok) {
        return mln_fail(cx, MLN_E_INVALID,
                        "tpm: an attestation key must be made in its TPM, bound to it and restricted to sign "
                        "(ECDSA or RSASSA with SHA-256)");
    }
    MLN_TRY(is_rsa ? read_rsa(cx, &h.r, &key) : read_p256(cx, &h.r, &key));
    name_it(from, &key);
    *ret = key;
    return MLN_OK;
}

/* ---- quotes ---- */

static void skip_selection(struct mln_reader *r)
{
    uint32_t n = mln_read_u32be(r);
    r->is_short = r->is_short || n > PCR_BANKS;
    for (uint32_t i = 0; i < n && !r->is_short; i++) {
        (void)mln_read_u16be(r);
        size_t bytes = mln_read_u8(r);
        r->is_short = r->is_short || bytes > PCR_BYTES;
        (void)mln_read_bytes(r, r->is_short ? 0 : bytes);
    }
}

struct mln_err mln_tpm_quote_parse(struct mln_cx *cx, struct mln_bytes from, struct mln_tpm_quote *ret)
{
    struct mln_tpm_quote q;
    struct mln_reader r = mln_reader_of(from);
    uint32_t magic = mln_read_u32be(&r);
    uint16_t type = mln_read_u16be(&r);
    if (from.len > MLN_TPM_QUOTE_MAX || magic != GENERATED || type != ST_QUOTE) {
        return mln_fail(cx, MLN_E_PARSE, "tpm: this is no quote (TPMS_ATTEST)");
    }
    (void)read_2b(&r, NAME_MAX); /* qualifiedSigner */
    q.extra = read_2b(&r, DIGEST_MAX);
    (void)mln_read_u64be(&r); /* clock */
    q.resets = mln_read_u32be(&r);
    q.restarts = mln_read_u32be(&r);
    uint8_t is_safe = mln_read_u8(&r);
    q.firmware = mln_read_u64be(&r);
    skip_selection(&r);
    q.pcr_digest = read_2b(&r, DIGEST_MAX);
    if (!is_at_end(&r) || is_safe > 1) {
        return mln_fail(cx, MLN_E_PARSE, "tpm: this is no quote (TPMS_ATTEST)");
    }
    *ret = q;
    return MLN_OK;
}

/* ---- signatures ---- */

static void pad_half(struct mln_buf *to, struct mln_bytes half)
{
    for (size_t i = half.len; i < P256_BYTES; i++) {
        mln_buf_add_byte(to, 0);
    }
    mln_buf_add_bytes(to, half);
}

/* TPMT_SIGNATURE as OpenSSL has it. */
static struct mln_err read_signature(struct mln_cx *cx, const struct mln_tpm_key *ak, struct mln_bytes sig, struct mln_buf *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    struct mln_reader r = mln_reader_of(sig);
    bool is_rsa = ak->kind == MLN_AKEY_RSA2048;
    uint16_t alg = mln_read_u16be(&r), hash = mln_read_u16be(&r);
    struct mln_bytes first = read_2b(&r, is_rsa ? RSA_BYTES : P256_BYTES);
    struct mln_bytes second = is_rsa ? MLN_BYTES_NONE : read_2b(&r, P256_BYTES);
    if (!is_at_end(&r) || alg != (is_rsa ? ALG_RSASSA : ALG_ECDSA) || hash != ALG_SHA256) {
        return mln_fail(cx, MLN_E_PARSE, "tpm: this is no signature of the attestation key's kind, with SHA-256");
    }
    if (is_rsa) {
        mln_buf_add_bytes(ret, first);
        return mln_buf_ok(cx, ret);
    }
    pad_half(&raw, first);
    pad_half(&raw, second);
    MLN_TRY(mln_buf_ok(cx, &raw));
    return mln_ecdsa_raw_to_der(cx, mln_buf_bytes(&raw), ret);
}

struct mln_err mln_tpm_verify(struct mln_cx *cx, const struct mln_tpm_key *ak, struct mln_bytes bytes, struct mln_bytes sig)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {0};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .is_pkcs1v15 = true};
    uint8_t digest[MLN_SHA256_BYTES];
    MLN_TRY(read_signature(cx, ak, sig, &plain));
    mln_sha256(bytes, digest);
    return mln_akey_verify(cx, ak->kind, ak->spki, &how, mln_bytes_at(digest, sizeof(digest)), mln_buf_bytes(&plain));
}
