/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords: Argon2id (RFC 9106), libsodium's interactive limits: 64 MiB, 2 passes. */
#include "crypto/crypto_priv.h"

#include <errno.h>
#include <sodium.h>

static const char nothing[1];

static const char *text_of(struct mln_bytes password)
{
    return password.ptr != NULL ? (const char *)password.ptr : nothing;
}

struct mln_err mln_password_hash(struct mln_cx *cx, struct mln_bytes password, struct mln_buf *text)
{
    crypto_algorithms();
    char out[crypto_pwhash_STRBYTES];
    if (crypto_pwhash_str_alg(
            out, text_of(password), password.len, crypto_pwhash_OPSLIMIT_INTERACTIVE,
            crypto_pwhash_MEMLIMIT_INTERACTIVE, crypto_pwhash_ALG_ARGON2ID13) != 0) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to hash a password");
    }
    mln_buf_add_text(text, out);
    return mln_buf_ok(cx, text);
}

struct mln_err mln_password_verify(struct mln_cx *cx, struct mln_bytes password,
                                   struct mln_bytes text)
{
    crypto_algorithms();
    char stored[crypto_pwhash_STRBYTES] = {0}; /* libsodium reads a NUL-ended text */
    if (text.len >= sizeof(stored) || !mln_bytes_starts(text, MLN_BYTES("$argon2id$v=19$"))) {
        return mln_fail(cx, MLN_E_BAD_LOGIN, "invalid username or password");
    }
    mln_copy(stored, text.ptr, text.len);
    errno = 0;
    if (crypto_pwhash_str_verify(stored, text_of(password), password.len) == 0) {
        return MLN_OK;
    }
    if (errno == ENOMEM) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to check a password");
    }
    return mln_fail(cx, MLN_E_BAD_LOGIN, "invalid username or password");
}
