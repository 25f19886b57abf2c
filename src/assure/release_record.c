/* SPDX-License-Identifier: Apache-2.0 */
/* Release engine: the record in the store, who may change it, and what the ledger is told. */
#include "assure/release_priv.h"

#include "base/text.h"

struct mln_err release_person(struct mln_request *rq, const char *what)
{
    const struct mln_actor *actor = rq->actor;
    if (actor->is_root || mln_get_bool(mln_get(actor->token, "root_child"), false)) {
        return mln_fail(
            rq->cx, MLN_E_DENIED,
            "permission denied: root and tokens made by root cannot %s; log in as a person", what);
    }
    if (actor->entity_id == NULL || actor->entity_id[0] == '\0') {
        return mln_fail(rq->cx, MLN_E_DENIED,
                        "permission denied: a token without a person behind it cannot %s; log in "
                        "through an auth method",
                        what);
    }
    if (mln_get_bool(mln_get(actor->token, "in_name"), false)) {
        return mln_fail(rq->cx, MLN_E_DENIED,
                        "permission denied: a token made in somebody's name cannot %s; log in as a "
                        "person",
                        what);
    }
    return MLN_OK;
}

static bool is_hex(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!((text.ptr[i] >= '0' && text.ptr[i] <= '9') ||
              (text.ptr[i] >= 'a' && text.ptr[i] <= 'f'))) {
            return false;
        }
    }
    return text.len > 0;
}

struct mln_err release_root(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes root = mln_get_bytes(mln_field_of(rq, "root"));
    if (root.len != RELEASE_ROOT_HEX || !is_hex(root)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "root is not a root digest: %d lower-case hex digits", RELEASE_ROOT_HEX);
    }
    *ret = root;
    return MLN_OK;
}

const char *release_id_of(struct mln_cx *cx, struct mln_bytes root)
{
    return mln_text_format(cx, "rel-%.*s", RELEASE_ID_HEX, (const char *)root.ptr);
}

struct mln_err release_load(struct mln_request *rq, const char *id, struct mln_value **ret)
{
    const struct mln_value *record = NULL;
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view,
                              mln_bytes_format(rq->cx, "r/%s", id), &record));
    *ret = mln_value_dup(rq->cx, record);
    return mln_cx_err(rq->cx);
}

struct mln_err release_need(struct mln_request *rq, struct mln_value **ret)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id")), head = MLN_BYTES("rel-");
    if (id.len != head.len + RELEASE_ID_HEX || !mln_bytes_starts(id, head) ||
        !is_hex(mln_bytes_from(id, head.len))) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "no id of a release: rel- and %d lower-case hex digits", RELEASE_ID_HEX);
    }
    const char *text = mln_text_dup(rq->cx, id);
    struct mln_err err = release_load(rq, text, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_refail(rq->cx, MLN_E_NOT_FOUND, "there is no release %s", text)
               : err;
}

struct mln_err release_need_own(struct mln_request *rq, struct mln_value **ret)
{
    struct mln_value *record = NULL;
    MLN_TRY(release_person(rq, "change a release"));
    MLN_TRY(release_need(rq, &record));
    const struct mln_value *author = mln_get(record, "author");
    const char *id = mln_get_text(rq->cx, mln_get(record, "id"), "");
    if (!mln_is_text(mln_get(author, "id"), rq->actor->entity_id)) {
        return mln_fail(
            rq->cx, MLN_E_DENIED,
            "permission denied: %s is the release of %s, and only its author changes it", id,
            mln_get_text(rq->cx, mln_get(author, "name"), "someone else"));
    }
    if (mln_is_text(mln_get(record, "state"), "released")) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION,
                        "%s is released: a released record is not changed", id);
    }
    *ret = record;
    return MLN_OK;
}

struct mln_err release_store(struct mln_request *rq, struct mln_value *record, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const char *id = mln_get_text(cx, mln_get(record, "id"), "");
    mln_put_text(cx, record, "updated_time", mln_time_text_go(cx, rq->now_ns));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(
        mln_txn_put_value(cx, rq->txn, rq->mount->view, mln_bytes_format(cx, "r/%s", id), record));
    rq->services->publish(rq, mln_text_format(cx, "release/%s", id), record);
    re->data = record;
    return mln_cx_err(cx);
}

void release_reopen(struct mln_request *rq, struct mln_value *record)
{
    size_t n = mln_len(mln_get(record, "approvals"));
    if (n > 0) {
        mln_put_int(rq->cx, rq->detail, "approvals_voided", (int64_t)n);
    }
    mln_put(rq->cx, record, "approvals", mln_array(rq->cx));
    mln_put_text(rq->cx, record, "state", "open");
    mln_put_null(rq->cx, record, "verdict");
}

void release_tell(struct mln_request *rq, const struct mln_value *record, const char *step,
                  const char *verdict)
{
    static const char *const same[] = {"id", "model", "root"};
    static const char *const as[] = {"release", "model", "root"};
    mln_put_text(rq->cx, rq->detail, "step", step);
    mln_put_text(rq->cx, rq->detail, "verdict", verdict);
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(rq->cx, rq->detail, as[i], mln_get(record, same[i]));
    }
}
