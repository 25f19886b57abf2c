/* SPDX-License-Identifier: Apache-2.0 */
/* sys/quotas/lease-count: how many leases may live below a path. */
#include "core/sys_priv.h"

#include "base/limits.h"

#define LEASES_MAX 1000000000LL /* more than a store holds: above it a limit is a slip of the pen */

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_quota_list(rq, MLN_BYTES("lease-count/"), re);
}

static struct mln_err read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, key;
    const struct mln_value *row = NULL;
    MLN_TRY(mln_quota_key(rq, "lease-count", &name, &key));
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, mln_quota_view(), key, &row));
    struct mln_value *data = mln_object(rq->cx);
    mln_put_int(rq->cx, data, "counter", mln_lease_quota_count(mln_core_of(rq), name));
    for (size_t i = 0; i < mln_len(row); i++) {
        mln_put_key(rq->cx, data, mln_member_at(row, i)->key, &mln_member_at(row, i)->value);
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* A role is one of a method: its quota stands for the whole mount. */
static struct mln_err check_role(struct mln_request *rq, struct mln_bytes path)
{
    struct mln_bytes role = mln_get_bytes(mln_field_of(rq, "role"));
    if (role.len == 0) {
        return MLN_OK;
    }
    const struct mln_mount *mount = mln_mounts_find(mln_run_of(rq)->table, path);
    bool is_mount = mount != NULL && mln_bytes_is(path, mount->path);
    if (role.len > MLN_NAME_MAX_BYTES || !is_mount || !mln_bytes_starts(path, MLN_BYTES("auth/"))) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "'role' needs a 'path' that is the mount of an auth method, and at most %d bytes",
                        MLN_NAME_MAX_BYTES);
    }
    return MLN_OK;
}

static struct mln_err check(struct mln_request *rq, struct mln_bytes path, int64_t max)
{
    if (max < 1 || max > LEASES_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'max_leases' is invalid");
    }
    if (path.len > MLN_PATH_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'path' is longer than %d bytes", MLN_PATH_MAX_BYTES);
    }
    return check_role(rq, path);
}

/* Not too many, and no other that stands for the same. */
static struct mln_err check_others(struct mln_request *rq, struct mln_bytes name, struct mln_bytes path)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *names = NULL, *row = NULL;
    struct mln_bytes role = mln_get_bytes(mln_field_of(rq, "role"));
    size_t others = 0;
    MLN_TRY(mln_txn_list(cx, rq->txn, mln_quota_view(), MLN_BYTES("lease-count/"), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes other = mln_get_bytes(mln_item(names, i));
        if (mln_bytes_eq(other, name)) {
            continue;
        }
        others++;
        MLN_TRY(mln_txn_get_value(cx, rq->txn, mln_quota_view(),
                                  mln_bytes_format(cx, "lease-count/%.*s", MLN_FMT(other)), &row));
        if (mln_bytes_eq(mln_get_bytes(mln_get(row, "path")), path) &&
            mln_bytes_eq(mln_get_bytes(mln_get(row, "role")), role)) {
            return mln_fail(cx, MLN_E_INVALID, "quota rule with similar properties exists under the name \"%.*s\"",
                            MLN_FMT(other));
        }
    }
    return others < MLN_LEASE_QUOTAS_MAX
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "at most %u quotas", MLN_LEASE_QUOTAS_MAX);
}

static struct mln_err write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes name, key, path = mln_quota_rule_path(rq);
    struct mln_value *row = mln_object(cx);
    int64_t max = mln_get_int(mln_field_of(rq, "max_leases"), 0);
    (void)re;
    MLN_TRY(mln_quota_key(rq, "lease-count", &name, &key));
    MLN_TRY(check(rq, path, max));
    MLN_TRY(check_others(rq, name, path));
    mln_put_bool(cx, row, "inheritable", mln_get_bool(mln_field_of(rq, "inheritable"), path.len == 0));
    mln_put_int(cx, row, "max_leases", max);
    mln_put_bytes(cx, row, "name", name);
    mln_put_bytes(cx, row, "path", path);
    mln_put_bytes(cx, row, "role", mln_get_bytes(mln_field_of(rq, "role")));
    mln_put_text(cx, row, "type", "lease-count");
    mln_run_of(rq)->changed_lease_quotas = true;
    mln_put_bytes(cx, rq->detail, "quota", name);
    return mln_txn_put_value(cx, rq->txn, mln_quota_view(), key, row);
}

static struct mln_err erase(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, key;
    (void)re;
    MLN_TRY(mln_quota_key(rq, "lease-count", &name, &key));
    mln_run_of(rq)->changed_lease_quotas = true;
    mln_put_bytes(rq->cx, rq->detail, "quota", name);
    return mln_txn_delete(rq->cx, rq->txn, mln_quota_view(), key);
}

static const struct mln_field fields[] = {
    F_TEXT("name", "The quota's name."),
    F_INT("max_leases", NULL, "Leases that may live at once, above 0."),
    F_TEXT("path", "A mount, a path, or a beginning with \"*\"; empty: everything."),
    F_TEXT("role", "Only logins by this role of the auth method at `path`."),
    F_BOOL("inheritable", NULL, "Also counts what is in namespaces below the path; usual without a path."),
    {0},
};

const struct mln_path mln_sys_lease_quotas[] = {
    {.pattern = "quotas/lease-count", .summary = "List lease counts.", .read = list, .list = list},
    {.pattern = "quotas/lease-count/{name}",
     .summary = "Read, write or delete a lease count.",
     .fields = fields,
     .read = read,
     .write = write,
     .remove = erase,
     .may_block = true,
     .controls = "SC-5"},
    {0},
};
