/* SPDX-License-Identifier: Apache-2.0 */
/* sys/internal/ui: the mounts that a caller may use, one mount for clients that look for its version, the caller's rules. */
#include "core/sys_mounts_priv.h"

/* ---- may the caller see it? ---- */

struct touch {
    struct mln_bytes mount;
    bool is_touched;
};

static struct mln_err touches(void *arg, struct mln_cx *cx, const struct mln_acl *acl)
{
    struct touch *t = arg;
    (void)cx;
    t->is_touched = mln_acl_touches(acl, t->mount);
    return MLN_OK;
}

struct mln_err sys_may_use(struct mln_request *rq, struct mln_bytes mount, bool *ret)
{
    struct touch t = {.mount = mln_space_acl_path(mln_run_of(rq), mount), .is_touched = rq->actor->is_root};
    if (rq->actor->kind != MLN_ACTOR_STRANGER && !t.is_touched) {
        MLN_TRY(mln_policies_use_as(mln_core_of(rq), rq->cx, &mln_run_of(rq)->subject, touches,
                                 &t));
    }
    *ret = t.is_touched;
    return MLN_OK;
}

static bool is_listed_openly(const struct mln_value *row)
{
    return mln_is_text(mln_get(mln_get(row, "config"), "listing_visibility"), "unauth");
}

/* ---- lists ---- */

/* Strangers see only what a mount says of itself. */
static struct mln_value *show(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_value *out = mln_object(rq->cx);
    if (rq->actor->kind != MLN_ACTOR_STRANGER) {
        return sys_mount_show(rq->cx, row);
    }
    mln_put(rq->cx, out, "description", mln_get(row, "description"));
    mln_put(rq->cx, out, "options", mln_get(row, "options"));
    mln_put(rq->cx, out, "type", mln_get(row, "type"));
    return out;
}

static struct mln_err ui_mounts(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *rows = NULL;
    struct mln_value *data = mln_object(rq->cx), *auth = mln_object(rq->cx),
                     *secret = mln_object(rq->cx);
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        struct mln_bytes path = mln_get_bytes(mln_get(row, "path"));
        bool is_auth = mln_bytes_starts(path, SYS_AUTH), is_seen = is_listed_openly(row);
        if (!is_seen) {
            MLN_TRY(sys_may_use(rq, path, &is_seen));
        }
        if (is_seen) {
            mln_put_key(rq->cx, is_auth ? auth : secret,
                        mln_bytes_from(path, is_auth ? SYS_AUTH.len : 0), show(rq, row));
        }
    }
    mln_put(rq->cx, data, "auth", auth);
    mln_put(rq->cx, data, "secret", secret);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err ui_mount(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path = sys_mount_clean(rq->cx, mln_get_bytes(mln_field_of(rq, "path")));
    const struct mln_value *rows = NULL;
    const struct mln_mount *mount = mln_mounts_find(mln_run_of(rq)->table, path);
    bool is_seen = false;
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_mounts_rows(rq->cx, rq->txn, &rows));
    const struct mln_value *row =
        mount == NULL ? NULL : sys_mount_row(rows, mln_bytes_of(mount->path));
    if (row != NULL) {
        MLN_TRY(sys_may_use(rq, mln_bytes_of(mount->path), &is_seen));
    }
    if (!is_seen) {
        return mln_fail(rq->cx, MLN_E_DENIED,
                        "preflight capability check returned 403, please ensure client's policies "
                        "grant access to path \"%.*s\"",
                        MLN_FMT(path));
    }
    struct mln_value *data = sys_mount_show(rq->cx, row);
    mln_put_text(rq->cx, data, "path", mount->path);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- the caller's rules ---- */

static struct mln_err show_rules(void *arg, struct mln_cx *cx, const struct mln_acl *acl)
{
    struct mln_value *data = arg, *exact = mln_object(cx), *glob = mln_object(cx);
    struct mln_acl_shown rule;
    for (size_t i = 0; mln_acl_rule_at(acl, i, &rule); i++) {
        struct mln_value *one = mln_object(cx);
        mln_put(cx, one, "capabilities", mln_capability_names(cx, rule.capabilities, false));
        mln_put_key(cx, rule.is_glob ? glob : exact, mln_bytes_dup(cx, rule.pattern), one);
    }
    mln_put(cx, data, "exact_paths", exact);
    mln_put(cx, data, "glob_paths", glob);
    return mln_cx_err(cx);
}

static struct mln_err ui_rules(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    if (!rq->actor->is_root) {
        MLN_TRY(mln_policies_use_as(mln_core_of(rq), rq->cx, &mln_run_of(rq)->subject, show_rules,
                                 data));
    }
    mln_put_bool(rq->cx, data, "root", rq->actor->is_root);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field path_fields[] = {F_TEXT("path", "At or below a mount."), {0}};

const struct mln_path mln_sys_ui[] = {
    {.pattern = "internal/ui/mounts",
     .summary = "Mounts that the caller may use.",
     .read = ui_mounts,
     .is_open = true},
    {.pattern = "internal/ui/mounts/{path...}",
     .summary = "One mount, for clients that look for its version.",
     .fields = path_fields,
     .read = ui_mount,
     .is_open = true},
    {.pattern = "internal/ui/resultant-acl",
     .summary = "The caller's rules as they are in force.",
     .read = ui_rules},
    {0},
};
