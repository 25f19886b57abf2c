/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: a key for each context. As Vault's kdf "hkdf_sha256". */
#include "engine/transit_priv.h"

#include "base/text.h"

struct mln_err transit_read_context(struct mln_cx *cx, const struct mln_value *in,
                                    struct mln_buf *context)
{
    struct mln_bytes text = mln_get_bytes(mln_get(in, "context"));
    return text.len > 0 ? mln_base64_parse(cx, text, MLN_B64_STD, context) : MLN_OK;
}

struct mln_err transit_derive(struct mln_cx *cx, const struct transit_key *key,
                              const struct transit_version *v, struct mln_bytes context,
                              uint8_t *out, size_t n)
{
    if (!transit_is(key, TRANSIT_DERIVED)) {
        MLN_CHECK(n <= v->key.len);
        mln_copy(out, v->key.ptr, n);
        return MLN_OK;
    }
    if (context.len == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "missing 'context' for key derivation; the key was created using a derived "
                        "key, which means "
                        "additional, per-request information must be included in order to perform "
                        "operations with the key");
    }
    mln_hkdf_sha256(v->key, MLN_BYTES_NONE, context, out, n);
    return MLN_OK;
}
