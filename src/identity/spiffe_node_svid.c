/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's own SVID, shown: for a new session, and for the next SVID. It counts while its authority does, while the node was not put out,
 * and only as the newest one or the one before that (an answer may get lost): an older one was copied from somewhere.
 */
#include "crypto/digest.h"
#include "identity/spiffe_node_priv.h"

/* Under the lock: an authority of ours that was neither tainted nor revoked. */
static bool is_ours(struct mln_request *rq, const struct sp_state *state,
                    const struct mln_x509_info *leaf)
{
    bool ok = false;
    for (size_t i = 0; !ok && i < state->authorities.x509_n; i++) {
        const struct sp_authority *a = &state->authorities.x509[i];
        if ((a->state == SP_ACTIVE || a->state == SP_OLD) &&
            mln_bytes_eq(a->key_id, leaf->authority_key)) {
            ok = !mln_failed(
                mln_x509_cert_verify(rq->cx, leaf->der, mln_bytes_at(a->cert, a->cert_n)));
            mln_cx_clear(rq->cx);
        }
    }
    return ok;
}

static struct mln_err check_leaf(struct mln_request *rq, const struct mln_x509_info *leaf,
                                 struct mln_bytes *ret_id)
{
    struct sp_state *state = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    SP_READ(state);
    bool has_id = leaf->sans_n == 1 && leaf->sans[0].kind == MLN_SAN_URI &&
                  sp_is_node(state, leaf->sans[0].value);
    if (leaf->is_ca || !has_id || !is_ours(rq, state, leaf)) {
        return sp_node_refuse(rq, "a certificate that is no SVID of a node of this trust domain");
    }
    *ret_id = leaf->sans[0].value;
    return MLN_OK;
}

static struct mln_err check_row(struct mln_request *rq, struct mln_bytes id, const char *serial)
{
    const struct mln_value *row = NULL;
    struct mln_err err = sp_row_get(rq, "node/", mln_bytes_of(sp_node_hash(rq->cx, id)), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return sp_node_refuse(rq, "an SVID of a node that was put out");
    }
    MLN_TRY(err);
    return mln_is_text(mln_get(row, "serial"), serial) ||
                   mln_is_text(mln_get(row, "serial_before"), serial)
               ? MLN_OK
               : sp_node_refuse(rq, "an SVID that the node has had newer ones than");
}

struct mln_err sp_by_svid(struct mln_request *rq, const struct mln_value *payload,
                          struct sp_node_proof *proof)
{
    struct mln_x509_info chain[SP_NODE_CHAIN_MAX];
    struct sp_signed what = {.context = MLN_NODE_SVID_CONTEXT,
                             .nonce = mln_get_bytes(mln_get(payload, "nonce")),
                             .sig64 = mln_get_bytes(mln_get(payload, "signature"))};
    struct mln_bytes id;
    size_t n = 0;
    MLN_TRY(sp_nonce_check(rq, what.nonce, proof));
    MLN_TRY(sp_chain_read(rq, mln_get(payload, "certificates"), chain, &n));
    MLN_TRY(check_leaf(rq, &chain[0], &id));
    MLN_TRY(sp_signature_check(rq, &chain[0], &what));
    proof->serial = mln_hex_text(rq->cx, chain[0].serial);
    MLN_TRY(check_row(rq, id, proof->serial));
    if (mln_len(mln_field_of(rq, "csr")) == 0) {
        return sp_node_refuse(rq, "no request for the next SVID");
    }
    proof->id = mln_text_dup(rq->cx, id);
    proof->facts = NULL;
    return mln_cx_err(rq->cx);
}
