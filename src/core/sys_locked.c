/* SPDX-License-Identifier: Apache-2.0 */
/* sys/locked-users: names that may not log in for a while. */
#include "core/sys_priv.h"

#include "base/limits.h"

static struct mln_err add_mount(struct mln_request *rq, const struct mln_mount *mount, struct mln_value *mounts, int64_t *total)
{
    const struct mln_value *aliases = NULL;
    struct mln_value *one = mln_object(rq->cx);
    MLN_TRY(mln_lockout_rows(rq, mount->uuid, &aliases));
    if (mln_len(aliases) == 0) {
        return MLN_OK;
    }
    mln_put_text(rq->cx, one, "mount_accessor", mount->accessor);
    mln_put_int(rq->cx, one, "counts", (int64_t)mln_len(aliases));
    mln_put(rq->cx, one, "alias_identifiers", aliases);
    mln_push(rq->cx, mounts, one);
    *total += (int64_t)mln_len(aliases);
    return MLN_OK;
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_mount_table *table = mln_run_of(rq)->table;
    const char *only = mln_get_text(rq->cx, mln_field_of(rq, "mount_accessor"), "");
    struct mln_value *mounts = mln_array(rq->cx), *spaces = mln_array(rq->cx), *space = mln_object(rq->cx);
    struct mln_value *data = mln_object(rq->cx);
    int64_t total = 0;
    for (size_t i = 0; i < table->n; i++) {
        const struct mln_mount *mount = &table->mounts[i];
        bool is_meant = mount->engine != NULL && mount->engine->kind == MLN_MOUNT_AUTH;
        if (is_meant && (only[0] == 0 || mln_bytes_is(mln_bytes_of(mount->accessor), only))) {
            MLN_TRY(add_mount(rq, mount, mounts, &total));
        }
    }
    mln_put_bytes(rq->cx, space, "namespace_id", rq->ns);
    mln_put_bytes(rq->cx, space, "namespace_path", mln_space_path(mln_run_of(rq)->space));
    mln_put_int(rq->cx, space, "counts", total);
    mln_put(rq->cx, space, "mount_accessors", mounts);
    mln_push(rq->cx, spaces, space);
    mln_put(rq->cx, data, "by_namespace", spaces);
    mln_put_int(rq->cx, data, "total", total);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err unlock(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_mount_table *table = mln_run_of(rq)->table;
    const char *accessor = mln_get_text(rq->cx, mln_field_of(rq, "mount_accessor"), "");
    const char *alias = mln_get_text(rq->cx, mln_field_of(rq, "alias_identifier"), "");
    (void)re;
    mln_put_text(rq->cx, rq->detail, "alias", alias);
    for (size_t i = 0; i < table->n; i++) {
        if (mln_bytes_is(mln_bytes_of(table->mounts[i].accessor), accessor)) {
            return mln_lockout_unlock(rq, table->mounts[i].uuid, alias);
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "mount accessor \"%.*s\" is invalid", MLN_FMT(mln_bytes_sub(mln_bytes_of(accessor), 0, 64)));
}

static const struct mln_field fields[] = {F_TEXT("mount_accessor", "Only of this mount."), {0}};
static const struct mln_field unlock_fields[] = {
    F_TEXT("mount_accessor", "The auth mount's accessor."), F_TEXT("alias_identifier", "The name that was locked out."), {0}};

const struct mln_path mln_sys_locked[] = {
    {.pattern = "locked-users", .summary = "List names that are locked out.", .fields = fields, .read = list, .list = list,
     .controls = "AC-7"},
    {.pattern = "locked-users/{mount_accessor}/unlock/{alias_identifier...}", .summary = "Let a name log in again.",
     .fields = unlock_fields, .write = unlock, .is_relief = true, .controls = "AC-7"},
    {0},
};
