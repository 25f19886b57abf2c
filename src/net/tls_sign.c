/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_sign.h. One table of shapes serves both directions, so that they cannot differ. */
#include "net/tls_sign.h"

#define PAD_BYTES     64u /* spaces in front of every TLS 1.3 signature */
#define RANDOMS_BYTES 64u

#define CONTEXT_BYTES 34u /* of both, with the NUL */
static const char *const contexts[] = {[MLN_TLS_SERVER] = "TLS 1.3, server CertificateVerify",
                                       [MLN_TLS_CLIENT] = "TLS 1.3, client CertificateVerify"};

static struct mln_bytes context_of(enum mln_tls_side side)
{
    return mln_bytes_at(contexts[side], CONTEXT_BYTES);
}

/*
 * Is it client random, server random, then ECDH parameters of a named group with a key of its size?
 */
static bool is_tls12(struct mln_bytes tbs)
{
    if (tbs.len < RANDOMS_BYTES + 4 || tbs.ptr[RANDOMS_BYTES] != 3 ||
        tbs.ptr[RANDOMS_BYTES + 1] != 0) {
        return false;
    }
    uint8_t group = tbs.ptr[RANDOMS_BYTES + 2];
    uint8_t n = tbs.ptr[RANDOMS_BYTES + 3];
    if (tbs.len != RANDOMS_BYTES + 4 + (size_t)n) {
        return false;
    }
    bool is_p256 = group == 0x17 && n == 65 && tbs.ptr[RANDOMS_BYTES + 4] == 4;
    return is_p256 || (group == 0x1d && n == 32);
}

static bool is_hash(size_t n)
{
    return n == 32 || n == 48;
}

/* The transcript hash of a TLS 1.3 input of this side; none when it is no such input. */
static struct mln_bytes hash_of(struct mln_bytes input, enum mln_tls_side side)
{
    size_t head = PAD_BYTES + CONTEXT_BYTES;
    if (input.len <= head || !is_hash(input.len - head)) {
        return MLN_BYTES_NONE;
    }
    for (size_t i = 0; i < PAD_BYTES; i++) {
        if (input.ptr[i] != ' ') {
            return MLN_BYTES_NONE;
        }
    }
    if (!mln_bytes_eq(mln_bytes_sub(input, PAD_BYTES, CONTEXT_BYTES), context_of(side))) {
        return MLN_BYTES_NONE;
    }
    return mln_bytes_from(input, head);
}

static const char *const hows[] = {[MLN_TLS_ECDSA] = "ecdsa", [MLN_TLS_PSS] = "pss", [MLN_TLS_PKCS1] = "pkcs1"};

static bool how_of(const struct mln_value *message, int64_t version, enum mln_tls_how *ret)
{
    for (size_t i = 0; i < MLN_COUNT(hows); i++) {
        if (mln_is_text(mln_get(message, "how"), hows[i])) {
            *ret = (enum mln_tls_how)i;
            return version == 12 || *ret != MLN_TLS_PKCS1;
        }
    }
    return false;
}

struct mln_err mln_tls_sign_message(struct mln_cx *cx, struct mln_bytes input, enum mln_tls_how how, int64_t key,
                                    const struct mln_value **ret)
{
    return mln_tls_sign_message_of(cx, input, how, key, MLN_TLS_SERVER, ret);
}

struct mln_err mln_tls_sign_message_of(struct mln_cx *cx, struct mln_bytes input, enum mln_tls_how how, int64_t key, unsigned sides,
                                       const struct mln_value **ret)
{
    struct mln_bytes hash = hash_of(input, MLN_TLS_CLIENT);
    bool is_client = hash.len != 0;
    hash = is_client ? hash : hash_of(input, MLN_TLS_SERVER);
    bool is_known = hash.len != 0 ? how != MLN_TLS_PKCS1 : is_tls12(input);
    if (!is_known || (sides & (is_client ? MLN_TLS_CLIENT : MLN_TLS_SERVER)) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "tls: not a handshake to sign");
    }
    struct mln_value *message = mln_object(cx);
    mln_put_int(cx, message, "v", hash.len != 0 ? 13 : 12);
    mln_put(cx, message, hash.len != 0 ? "hash" : "tbs",
            mln_blob(cx, hash.len != 0 ? hash : input));
    mln_put_text(cx, message, "how", hows[how]);
    mln_put_int(cx, message, "key", key);
    if (is_client) {
        mln_put_text(cx, message, "side", "client");
    }
    *ret = message;
    return mln_cx_err(cx);
}

struct mln_err mln_tls_sign_input(struct mln_cx *cx, const struct mln_value *message,
                                  struct mln_buf *buf, enum mln_tls_how *ret_how)
{
    return mln_tls_sign_input_of(cx, message, MLN_TLS_SERVER, buf, ret_how);
}

struct mln_err mln_tls_sign_input_of(struct mln_cx *cx, const struct mln_value *message, unsigned sides,
                                     struct mln_buf *buf, enum mln_tls_how *ret_how)
{
    int64_t version = mln_get_int(mln_get(message, "v"), 0);
    const struct mln_value *named = mln_get(message, "side");
    enum mln_tls_side side = named == NULL ? MLN_TLS_SERVER : MLN_TLS_CLIENT;
    if ((sides & side) == 0 || (named != NULL && (!mln_is_text(named, "client") || version != 13))) {
        return mln_fail(cx, MLN_E_INVALID, "tls: not a side that is signed for here");
    }
    if (!how_of(message, version, ret_how)) {
        return mln_fail(cx, MLN_E_INVALID, "tls: not a way in which handshakes are signed");
    }
    if (version == 13) {
        struct mln_bytes hash = mln_get_bytes(mln_get(message, "hash"));
        if (!is_hash(hash.len)) {
            return mln_fail(cx, MLN_E_INVALID, "tls: transcript hash of %zu bytes", hash.len);
        }
        for (size_t i = 0; i < PAD_BYTES; i++) {
            mln_buf_add_byte(buf, ' ');
        }
        mln_buf_add_bytes(buf, context_of(side));
        mln_buf_add_bytes(buf, hash);
        return mln_buf_ok(cx, buf);
    }
    struct mln_bytes tbs = mln_get_bytes(mln_get(message, "tbs"));
    if (version != 12 || !is_tls12(tbs)) {
        return mln_fail(cx, MLN_E_INVALID, "tls: not a server handshake to sign");
    }
    mln_buf_add_bytes(buf, tbs);
    return mln_buf_ok(cx, buf);
}
