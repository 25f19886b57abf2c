/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pki mount that signs our X.509 authority, when it does not: what is held goes on signing for as long as it lives, and the mount is
 * asked again with growing pauses. Row "upstream": {"path","error","failures","failed_ns","next_ns"}, gone as soon as it signs.
 */
#include "identity/spiffe_priv.h"

#include "base/log.h"

#define RETRY_MIN_S 5 /* doubled with each failure */
#define RETRY_MAX_S 300

static struct mln_err row_of(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = sp_row_get(rq, "upstream", MLN_BYTES_NONE, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        *ret = NULL;
        return MLN_OK;
    }
    return err;
}

struct mln_err sp_upstream_waits(struct mln_request *rq, const struct sp_config *config, bool *ret)
{
    const struct mln_value *row = NULL;
    MLN_TRY(row_of(rq, &row));
    *ret = row != NULL && mln_is_text(mln_get(row, "path"), config->upstream) &&
           mln_get_int(mln_get(row, "next_ns"), 0) > rq->now_ns;
    return MLN_OK;
}

struct mln_err sp_upstream_failed(struct mln_request *rq, const struct sp_config *config,
                                  const char *why)
{
    const struct mln_value *before = NULL;
    struct mln_value *row = mln_object(rq->cx);
    MLN_TRY(row_of(rq, &before));
    bool is_same = mln_is_text(mln_get(before, "path"), config->upstream);
    int64_t failures = is_same ? mln_get_int(mln_get(before, "failures"), 0) + 1 : 1;
    int64_t wait_s = failures > 6 ? RETRY_MAX_S : (int64_t)RETRY_MIN_S << (failures - 1);
    mln_put_text(rq->cx, row, "path", config->upstream);
    mln_put_text(rq->cx, row, "error", why);
    mln_put_int(rq->cx, row, "failures", failures);
    mln_put_int(rq->cx, row, "failed_ns", rq->now_ns);
    mln_put_int(rq->cx, row, "next_ns", rq->now_ns + wait_s * SP_SECOND_NS);
    mln_put_text(rq->cx, rq->detail, "upstream_error", why);
    mln_log(MLN_LOG_WARN, "spiffe", "%s; the authority that is held goes on", why);
    return sp_row_put(rq, "upstream", MLN_BYTES_NONE, row);
}

struct mln_err sp_upstream_fine(struct mln_request *rq)
{
    const struct mln_value *row = NULL;
    MLN_TRY(row_of(rq, &row));
    return row != NULL ? sp_row_delete(rq, "upstream", MLN_BYTES_NONE) : MLN_OK;
}

struct mln_err sp_upstream_show(struct mln_request *rq, struct mln_value *data)
{
    const struct mln_value *row = NULL;
    MLN_TRY(row_of(rq, &row));
    mln_put_text(rq->cx, data, "upstream_error", mln_get_text(rq->cx, mln_get(row, "error"), ""));
    mln_put_int(rq->cx, data, "upstream_failed_at",
                mln_get_int(mln_get(row, "failed_ns"), 0) / SP_SECOND_NS);
    return mln_cx_err(rq->cx);
}
