/* SPDX-License-Identifier: Apache-2.0 */
#include "assure/rows.h"

#include "barrier/txn.h"

struct mln_err mln_assure_list(struct mln_request *rq, struct mln_bytes folder, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, folder, &keys));
    if (mln_len(keys) == 0) {
        re->status = 404;
        re->no_errors_text = true;
        return MLN_OK;
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}
