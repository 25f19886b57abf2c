/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/spiffe_node_proof.h"

#include "base/text.h"

struct mln_err mln_node_proof_digest(struct mln_cx *cx, const struct mln_node_signed *what,
                                     uint8_t ret[MLN_SHA256_BYTES])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf input = {0}, der = {.max = MLN_NODE_CSR_MAX};
    uint8_t of_csr[MLN_SHA256_BYTES];
    if (mln_failed(mln_base64_parse(cx, what->csr, MLN_B64_STD, &der)) || der.has_failed) {
        return mln_refail(cx, MLN_E_INVALID, "csr must be base64 of at most %u bytes",
                          MLN_NODE_CSR_MAX);
    }
    mln_sha256(mln_buf_bytes(&der), of_csr);
    mln_buf_add_text(&input, what->context);
    mln_buf_add_byte(&input, 0);
    mln_buf_add_bytes(&input, what->nonce);
    mln_buf_add_byte(&input, 0);
    mln_buf_add_bytes(&input, what->domain);
    mln_buf_add_byte(&input, 0);
    mln_buf_add_bytes(&input, mln_bytes_at(of_csr, sizeof(of_csr)));
    MLN_TRY(mln_buf_ok(cx, &input));
    mln_sha256(mln_buf_bytes(&input), ret);
    return MLN_OK;
}
