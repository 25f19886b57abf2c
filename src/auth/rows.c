/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/rows.h"

#include "barrier/txn.h"

struct mln_err mln_method_fold(struct mln_request *rq, const char *what, struct mln_bytes name, const char **ret)
{
    char *text = mln_new(rq->cx, name.len + 1);
    for (size_t i = 0; text != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c < 0x20 || c == 0x7f || c == '/') {
            return mln_fail(rq->cx, MLN_E_INVALID, "a %s name has no control characters and no \"/\"", what);
        }
        text[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    *ret = text;
    return mln_cx_err(rq->cx);
}

struct mln_err mln_method_list(struct mln_request *rq, struct mln_reply *re, struct mln_bytes folder)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, folder, &names));
    if (mln_len(names) == 0) {
        re->status = 404;
        re->no_errors_text = true;
        return MLN_OK;
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}
