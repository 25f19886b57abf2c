/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the X.509 files: a writer of DER (X.690) by wrapping parts, and what they share. */
#pragma once

#include "base/value.h"
#include "crypto/crypto_priv.h"
#include "crypto/x509.h"

#include <openssl/x509v3.h>

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BITS = 0x03,
    DER_OCTETS = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_ENUMERATED = 0x0a,
    DER_UTF8 = 0x0c,
    DER_PRINTABLE = 0x13,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31,
    DER_CONTEXT = 0x80,
    DER_CONTEXT_IN = 0xa0, /* + number; IN: constructed */
};

/* A tag around the parts, one after the other. Out of memory: an empty view and the fault on cx. */
struct mln_bytes der_wrap(struct mln_cx *cx, unsigned tag, const struct mln_bytes *parts, size_t n);
#define DER(cx, tag, ...)                                                                          \
    der_wrap((cx), (tag), (const struct mln_bytes[]){__VA_ARGS__},                                 \
             sizeof((const struct mln_bytes[]){__VA_ARGS__}) / sizeof(struct mln_bytes))
#define DER_RAW(array) mln_bytes_at((array), sizeof(array))
struct mln_bytes der_null(void);
struct mln_bytes der_true(void);
struct mln_bytes der_uint(struct mln_cx *cx,
                          struct mln_bytes magnitude);  /* leading zeros are cut */
struct mln_bytes der_int(struct mln_cx *cx, int64_t i); /* i >= 0 */
struct mln_bytes der_nid(struct mln_cx *cx, int nid);
struct mln_bytes der_oid(struct mln_cx *cx,
                         struct mln_bytes dotted); /* INVALID on cx when it is none */
struct mln_bytes der_bits(struct mln_cx *cx, struct mln_bytes bytes); /* a whole number of bytes */
struct mln_bytes der_time(struct mln_cx *cx, int64_t s);              /* UTCTime until 2049 */
struct mln_bytes der_algorithm(struct mln_cx *cx, enum mln_sig sig);
struct mln_bytes der_extension(struct mln_cx *cx, struct mln_bytes oid, bool is_critical,
                               struct mln_bytes value);

/* SEQUENCE { tbs, algorithm, signature over tbs } */
struct mln_err x509_sign(struct mln_cx *cx, struct mln_bytes tbs, const struct mln_x509_signer *by,
                         struct mln_bytes *ret);
/* This thread's expanded form of a key, cached; borrowed until crypto_leave. NULL: it is none. */
EVP_PKEY *x509_key_of(struct crypto_thread *t, struct mln_bytes pkcs8);
const EVP_MD *x509_digest_of(enum mln_sig sig); /* NULL of Ed25519 */
bool x509_is_pss(enum mln_sig sig);
/* Kind, bits and SubjectPublicKeyInfo of a public key. UNSUPPORTED. */
struct mln_err x509_key_kind(struct mln_cx *cx, EVP_PKEY *key, enum mln_key_kind *ret,
                             unsigned *ret_bits);
/* The content of the BIT STRING of a SubjectPublicKeyInfo; empty when it is none. */
struct mln_bytes x509_key_bits(struct mln_bytes spki);
