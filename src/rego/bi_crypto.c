/* SPDX-License-Identifier: Apache-2.0 */
/* crypto.md5, sha1, sha256 and crypto.hmac.*, as hexadecimal text. MD5 is for names of old systems, not for safety. */
#include "rego/builtin_priv.h"

#include "base/text.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static bool answer(struct rg_call *call, const uint8_t *sum, unsigned n, bool ok)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    if (!ok) {
        return rg_fail(call, "this hash is not available here");
    }
    mln_hex_print(&out, mln_bytes_at(sum, n));
    return rg_return(call, rg_string_buf(call->heap, &out));
}

static bool hash(struct rg_call *call, const EVP_MD *md)
{
    struct mln_bytes t;
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    bool ok = EVP_Digest(t.ptr, t.len, sum, &n, md, NULL) == 1;
    return answer(call, sum, n, ok);
}

static bool hmac(struct rg_call *call, const EVP_MD *md)
{
    struct mln_bytes t, key;
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!rg_arg_string(call, 1, &t) || !rg_arg_string(call, 2, &key)) {
        return false;
    }
    if (key.len > INT32_MAX) {
        return rg_fail(call, "key is too long");
    }
    bool ok = HMAC(md, key.len == 0 ? (const uint8_t *)"" : key.ptr, (int)key.len, t.ptr, t.len, sum,
                   &n) != NULL;
    return answer(call, sum, n, ok);
}

#define HASH(name, md)                                                                             \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        return hash(call, md());                                                                   \
    }
#define KEYED(name, md)                                                                            \
    static bool name(struct rg_call *call)                                                         \
    {                                                                                              \
        return hmac(call, md());                                                                   \
    }
HASH(md5, EVP_md5)
HASH(sha1, EVP_sha1)
HASH(sha256, EVP_sha256)
KEYED(hmac_md5, EVP_md5)
KEYED(hmac_sha1, EVP_sha1)
KEYED(hmac_sha256, EVP_sha256)
KEYED(hmac_sha512, EVP_sha512)

static bool hmac_equal(struct rg_call *call)
{
    struct mln_bytes a, b;
    return rg_arg_string(call, 1, &a) && rg_arg_string(call, 2, &b) &&
           rg_return(call, rg_bool(mln_eq_ct(a.ptr, a.len, b.ptr, b.len)));
}

const struct rg_builtin rg_builtins_crypto[] = {{"crypto.md5", md5},
                                                {"crypto.sha1", sha1},
                                                {"crypto.sha256", sha256},
                                                {"crypto.hmac.md5", hmac_md5},
                                                {"crypto.hmac.sha1", hmac_sha1},
                                                {"crypto.hmac.sha256", hmac_sha256},
                                                {"crypto.hmac.sha512", hmac_sha512},
                                                {"crypto.hmac.equal", hmac_equal},
                                                {NULL, NULL}};
