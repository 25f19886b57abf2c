/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: random bytes, plain hashes, settings of the mount. */
#include "engine/transit_priv.h"

#include "crypto/tools.h"

#define CACHE_MIN 10

struct mln_err transit_random_write(struct mln_request *rq, struct mln_reply *re)
{
    return mln_tools_random(rq->cx, rq->fields, &re->data);
}

struct mln_err transit_hash_write(struct mln_request *rq, struct mln_reply *re)
{
    return mln_tools_hash(rq->cx, rq->fields, &re->data);
}

/* ---- settings: one row, an object ---- */

static struct mln_err load(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("set"), ret);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    *ret = mln_object(rq->cx);
    return mln_cx_err(rq->cx);
}

static struct mln_err change(struct mln_request *rq, const char *name,
                             const struct mln_value *value)
{
    const struct mln_value *before = NULL;
    MLN_TRY(load(rq, &before));
    struct mln_value *after = mln_value_dup(rq->cx, before);
    mln_put(rq->cx, after, name, value);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("set"), after);
}

struct mln_err transit_upsert_is_off(struct mln_request *rq, bool *ret)
{
    const struct mln_value *settings = NULL;
    MLN_TRY(load(rq, &settings));
    *ret = mln_get_bool(mln_get(settings, "disable_upsert"), false);
    return MLN_OK;
}

/* Vault keeps parsed keys in a cache of this size. Here one row holds all that encrypting needs: the number is only kept. */
struct mln_err transit_cache_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *settings = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(load(rq, &settings));
    mln_put_int(rq->cx, data, "size", mln_get_int(mln_get(settings, "cache_size"), 0));
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err transit_cache_write(struct mln_request *rq, struct mln_reply *re)
{
    int64_t size = mln_get_int(mln_field_of(rq, "size"), 0);
    if (size != 0 && size < CACHE_MIN) {
        return mln_fail(rq->cx, MLN_E_INVALID, "size must be 0 or a value greater or equal to %d",
                        CACHE_MIN);
    }
    re->status = 204;
    return change(rq, "cache_size", mln_int(rq->cx, size));
}

struct mln_err transit_settings_read(struct mln_request *rq, struct mln_reply *re)
{
    bool is_off = false;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(transit_upsert_is_off(rq, &is_off));
    mln_put_bool(rq->cx, data, "disable_upsert", is_off);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err transit_settings_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *given = mln_field_of(rq, "disable_upsert");
    if (!mln_is_null(given)) {
        MLN_TRY(change(rq, "disable_upsert", mln_bool(rq->cx, mln_get_bool(given, false))));
    }
    return transit_settings_read(rq, re);
}
