/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys/remount: a mount gets another path. Its rows lie under its uuid, so nothing moves but the path in the table, and a move is over
 * when it is answered; its id is kept for a while for clients that ask how it went.
 */
#include "core/sys_mounts_priv.h"

#include "base/clock.h"

#define MOVES_KEPT 64u /* clients ask within seconds */

static struct mln_view moves_view(void)
{
    return mln_home_view("mount/");
}

static struct mln_err moves_read(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err =
        mln_txn_get_value(rq->cx, rq->txn, moves_view(), MLN_BYTES("moves"), ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = mln_array(rq->cx);
        return mln_cx_err(rq->cx);
    }
    return err;
}

static struct mln_err keep_move(struct mln_request *rq, const char *id, struct mln_bytes from,
                                struct mln_bytes to)
{
    const struct mln_value *old = NULL;
    struct mln_value *moves = mln_array(rq->cx), *move = mln_object(rq->cx);
    MLN_TRY(moves_read(rq, &old));
    for (size_t i = mln_len(old) >= MOVES_KEPT ? 1 : 0; i < mln_len(old); i++) {
        mln_push(rq->cx, moves, mln_item(old, i));
    }
    mln_put_text(rq->cx, move, "id", id);
    mln_put_bytes(rq->cx, move, "source_mount", from);
    mln_put_bytes(rq->cx, move, "target_mount", to);
    mln_put_text(rq->cx, move, "status", "success");
    mln_push(rq->cx, moves, move);
    return mln_txn_put_value(rq->cx, rq->txn, moves_view(), MLN_BYTES("moves"), moves);
}

static struct mln_err check_move(struct mln_request *rq, struct mln_bytes from, struct mln_bytes to)
{
    if (from.len == 0 || to.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "both 'from' and 'to' path must be specified as a string");
    }
    if (sys_mount_is_kept(from)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot remount \"%.*s\"", MLN_FMT(from));
    }
    bool was_auth = mln_bytes_starts(from, SYS_AUTH), is_auth = mln_bytes_starts(to, SYS_AUTH);
    if (was_auth != is_auth) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot remount %s mount to %s mount at \"%.*s\"",
                        was_auth ? "auth" : "secret", is_auth ? "auth" : "secret", MLN_FMT(to));
    }
    return mln_mount_check_path(rq->cx, to);
}

static struct mln_err move(struct mln_request *rq, struct mln_bytes from, struct mln_bytes to)
{
    const struct mln_value *rows = NULL;
    struct mln_value *others = mln_array(rq->cx);
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *was = sys_mount_row(rows, from);
    if (was == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no matching mount at \"%.*s\"", MLN_FMT(from));
    }
    for (size_t i = 0; i < mln_len(rows); i++) {
        if (mln_item(rows, i) != was) {
            mln_push(rq->cx, others, mln_item(rows, i));
        }
    }
    MLN_TRY(mln_mount_check_free(rq->cx, others, to));
    MLN_TRY(mln_space_check_mount(rq, to));
    struct mln_value *row = mln_value_dup(rq->cx, was);
    mln_put_bytes(rq->cx, row, "path", to);
    mln_push(rq->cx, others, row);
    mln_run_of(rq)->reload_mounts = true;
    return mln_mounts_put(rq->cx, rq->txn, others);
}

static struct mln_err remount(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes from = sys_mount_clean(rq->cx, mln_get_bytes(mln_field_of(rq, "from"))),
                     to = sys_mount_clean(rq->cx, mln_get_bytes(mln_field_of(rq, "to")));
    struct mln_value *data = mln_object(rq->cx);
    char uuid[37];
    mln_uuid(uuid);
    const char *id = mln_text_dup(rq->cx, mln_bytes_of(uuid));
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(check_move(rq, from, to));
    MLN_TRY(move(rq, from, to));
    MLN_TRY(keep_move(rq, id, from, to));
    mln_put_bytes(rq->cx, rq->detail, "from", from);
    mln_put_bytes(rq->cx, rq->detail, "to", to);
    mln_put_text(rq->cx, data, "migration_id", id);
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err remount_status(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *moves = NULL;
    MLN_TRY(moves_read(rq, &moves));
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "migration_id"));
    for (size_t i = 0; i < mln_len(moves); i++) {
        const struct mln_value *move_row = mln_item(moves, i);
        if (!mln_bytes_eq(mln_get_bytes(mln_get(move_row, "id")), id)) {
            continue;
        }
        struct mln_value *data = mln_object(rq->cx), *info = mln_object(rq->cx);
        mln_put(rq->cx, info, "source_mount", mln_get(move_row, "source_mount"));
        mln_put(rq->cx, info, "status", mln_get(move_row, "status"));
        mln_put(rq->cx, info, "target_mount", mln_get(move_row, "target_mount"));
        mln_put_bytes(rq->cx, data, "migration_id", id);
        mln_put(rq->cx, data, "migration_info", info);
        re->data = data;
        return mln_cx_err(rq->cx);
    }
    return (struct mln_err){MLN_E_NOT_FOUND};
}

static const struct mln_field remount_fields[] = {
    F_TEXT("from", "Where it stands: \"secret\", \"auth/userpass\"."),
    F_TEXT("to", "Where it shall stand."),
    {0},
};
static const struct mln_field status_fields[] = {F_TEXT("migration_id", "As remount gave it."), {0}};

const struct mln_path mln_sys_remount[] = {
    {.pattern = "remount",
     .summary = "Move a mount to another path.",
     .fields = remount_fields,
     .write = remount,
     .is_sudo = true,
     .controls = "CM-3"},
    {.pattern = "remount/status/{migration_id}",
     .summary = "How a move went.",
     .fields = status_fields,
     .read = remount_status},
    {0},
};
