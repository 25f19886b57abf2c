/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about SSH keys share. */
#pragma once

#include <openssl/bn.h>

#include "crypto/crypto_priv.h"
#include "crypto/ssh.h"

struct ssh_kind {
    const char *name;
    const char *curve; /* as SSH calls it: "nistp256"; NULL for others */
    const char *group; /* as OpenSSL calls it */
    const char *hash;  /* of its signatures; NULL: the algorithm hashes itself */
    unsigned bits;     /* 0: as the key says */
    bool has_application; /* in a token: the name of the application is a part of the key */
};
extern const struct ssh_kind ssh_kinds[MLN_SSH_KINDS];

struct mln_bytes ssh_read_string(struct mln_reader *r);
/* "mpint" of RFC 4251, positive and canonical; else the reader turns short. */
struct mln_bytes ssh_read_mpint(struct mln_reader *r);
void ssh_put_mpint(struct mln_buf *buf, struct mln_bytes big_endian);
void ssh_put_bn(struct mln_buf *buf, const BIGNUM *n);

static inline void ssh_pkey_drop(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}
static inline void ssh_pkey_ctx_drop(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}
static inline void ssh_bn_drop(BIGNUM **p)
{
    BN_clear_free(*p);
}
/* The key in a PKCS#8 DER that this room made or checked; NULL when it is none. */
EVP_PKEY *ssh_pkey_of(struct mln_bytes der);
/* Which kind, and its public half as blob. errors INVALID: another kind of key */
struct mln_err ssh_pkey_public(struct mln_cx *cx, EVP_PKEY *key, enum mln_ssh_kind *ret_kind, struct mln_buf *blob);
/* A key from its numbers (RSA: n e d p q; EC: see the caller). */
struct mln_err ssh_pkey_openssh(struct mln_cx *cx, struct mln_bytes body, EVP_PKEY **ret);
