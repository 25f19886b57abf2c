/* SPDX-License-Identifier: Apache-2.0 */
/* The list of namespaces in memory, and which one a request is for. How they are made and deleted: sys_namespaces.c, space_delete.c. */
#include "core/space_priv.h"

#include <stdlib.h>

#define ARENA_BYTES (64u << 20) /* MLN_SPACES_MAX of them with all the metadata that one may have */

/* ---- the list ---- */

struct mln_spaces *mln_spaces_hold(struct mln_core *core)
{
    if (!atomic_load_explicit(&core->has_spaces, memory_order_acquire)) {
        return NULL;
    }
    pthread_rwlock_rdlock(&core->spaces_lock);
    struct mln_spaces *spaces = core->spaces;
    if (spaces != NULL) {
        atomic_fetch_add(&spaces->users, 1);
    }
    pthread_rwlock_unlock(&core->spaces_lock);
    return spaces;
}

void mln_spaces_release(struct mln_spaces *spaces)
{
    if (spaces != NULL && atomic_fetch_sub(&spaces->users, 1) == 1) {
        mln_arena_free(spaces->arena);
        mln_free(spaces);
    }
}

void mln_spaces_release_drop(struct mln_spaces **spaces)
{
    mln_spaces_release(*spaces);
    *spaces = NULL;
}

static void replace(struct mln_core *core, struct mln_spaces *spaces)
{
    pthread_rwlock_wrlock(&core->spaces_lock);
    struct mln_spaces *old = core->spaces;
    core->spaces = spaces;
    atomic_store_explicit(&core->has_spaces, spaces != NULL && spaces->n > 0, memory_order_release);
    pthread_rwlock_unlock(&core->spaces_lock);
    mln_spaces_release(old);
}

void mln_spaces_forget(struct mln_core *core)
{
    replace(core, NULL);
}

static int by_path(const void *a, const void *b)
{
    const struct mln_space *x = a, *y = b;
    return mln_bytes_cmp(mln_bytes_of(x->path), mln_bytes_of(y->path));
}

static int by_id(const void *a, const void *b)
{
    const struct mln_space *const *x = a, *const *y = b;
    return mln_bytes_cmp(mln_bytes_of((*x)->id), mln_bytes_of((*y)->id));
}

static void read_space(struct mln_cx *cx, const struct mln_value *row, struct mln_space *ret)
{
    const struct mln_value *v = mln_value_dup(cx, row);
    *ret = (struct mln_space){
        .id = mln_get_text(cx, mln_get(v, "id"), ""),
        .path = mln_get_text(cx, mln_get(v, "path"), ""),
        .uuid = mln_get_text(cx, mln_get(v, "uuid"), ""),
        .meta = mln_get(v, "custom_metadata"),
        .lock = mln_get_text(cx, mln_get(v, "lock"), ""),
        .is_tainted = mln_get_bool(mln_get(v, "tainted"), false),
    };
}

static struct mln_err fill(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *ids, struct mln_spaces *spaces)
{
    struct mln_cx own;
    mln_cx_init(&own, spaces->arena);
    spaces->list = mln_new_array(&own, mln_len(ids) + 1, sizeof(*spaces->list));
    spaces->by_id = mln_new_array(&own, mln_len(ids) + 1, sizeof(*spaces->by_id));
    for (size_t i = 0; i < mln_len(ids) && !mln_failed(mln_cx_err(&own)); i++) {
        const struct mln_value *row = NULL;
        MLN_TRY(space_row(cx, txn, mln_get_bytes(mln_item(ids, i)), &row));
        read_space(&own, row, &spaces->list[spaces->n++]);
    }
    if (mln_failed(mln_cx_err(&own))) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the list of namespaces");
    }
    qsort(spaces->list, spaces->n, sizeof(*spaces->list), by_path);
    for (size_t i = 0; i < spaces->n; i++) {
        spaces->by_id[i] = &spaces->list[i];
    }
    qsort(spaces->by_id, spaces->n, sizeof(const struct mln_space *), by_id);
    return MLN_OK;
}

static struct mln_err load(struct mln_cx *cx, struct mln_core *core)
{
    const struct mln_value *ids = NULL;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(mln_txn_list(cx, txn, space_view(), MLN_BYTES("id/"), &ids));
    struct mln_spaces *spaces = mln_alloc(sizeof(*spaces));
    if (spaces == NULL || (spaces->arena = mln_arena_new(ARENA_BYTES, false)) == NULL) {
        mln_free(spaces);
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the list of namespaces");
    }
    atomic_init(&spaces->users, 1);
    struct mln_err err = fill(cx, txn, ids, spaces);
    if (mln_failed(err)) {
        mln_spaces_release(spaces);
        return err;
    }
    replace(core, spaces);
    return MLN_OK;
}

struct mln_err mln_spaces_load(struct mln_cx *cx, struct mln_core *core)
{
    pthread_mutex_lock(&core->load_lock);
    struct mln_err err = load(cx, core);
    pthread_mutex_unlock(&core->load_lock);
    return err;
}

/* ---- finding ---- */

const struct mln_space *mln_space_by_id(const struct mln_spaces *spaces, struct mln_bytes id)
{
    size_t low = 0, high = spaces != NULL ? spaces->n : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = mln_bytes_cmp(mln_bytes_of(spaces->by_id[middle]->id), id);
        if (c == 0) {
            return spaces->by_id[middle];
        }
        low = c < 0 ? middle + 1 : low;
        high = c < 0 ? high : middle;
    }
    return NULL;
}

const struct mln_space *mln_space_by_path(const struct mln_spaces *spaces, struct mln_bytes path)
{
    size_t low = 0, high = spaces != NULL ? spaces->n : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int c = mln_bytes_cmp(mln_bytes_of(spaces->list[middle].path), path);
        if (c == 0) {
            return &spaces->list[middle];
        }
        low = c < 0 ? middle + 1 : low;
        high = c < 0 ? high : middle;
    }
    return NULL;
}

struct mln_bytes mln_space_path(const struct mln_space *space)
{
    return space == NULL ? MLN_BYTES_NONE : mln_bytes_of(space->path);
}

struct mln_bytes mln_space_of_id(const struct mln_spaces *spaces, struct mln_bytes token)
{
    size_t at = token.len > MLN_NSID_LEN + 1 ? token.len - MLN_NSID_LEN - 1 : 0;
    bool has_one = spaces != NULL && at > 0 && token.ptr[at] == '.';
    const struct mln_space *space = has_one ? mln_space_by_id(spaces, mln_bytes_from(token, at + 1)) : NULL;
    return space != NULL ? mln_bytes_of(space->id) : MLN_NS_ROOT;
}

/* ---- a request's namespace ---- */

static struct mln_bytes trimmed(struct mln_bytes path)
{
    while (path.len > 0 && path.ptr[0] == '/') {
        path = mln_bytes_from(path, 1);
    }
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    return path;
}

/* What the header names, without slashes around it; "" for the root. */
static struct mln_bytes header_of(const struct mln_run *run)
{
    struct mln_bytes name = trimmed(mln_get_bytes(mln_get(run->message, "ns")));
    return mln_bytes_is(name, "root") ? MLN_BYTES_NONE : name;
}

/* Parts of sys/ that a namespace has for itself; all others are the server's. */
static bool is_of_namespace(struct mln_bytes rest)
{
    static const char *const parts[] = {
        "auth", "capabilities", "capabilities-accessor", "capabilities-self", "control-group", "internal/specs", "internal/ui",
        "leases", "locked-users", "mfa", "mounts", "namespaces", "policies", "policy", "remount", "renew", "revoke",
        "revoke-force", "revoke-prefix", "seal-status", "tools", "wrapping"};
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        struct mln_bytes part = mln_bytes_of(parts[i]);
        if (mln_bytes_starts(rest, part) && (rest.len == part.len || rest.ptr[part.len] == '/')) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_sys(struct mln_cx *cx, struct mln_bytes path)
{
    bool is_sys = mln_bytes_starts(path, MLN_BYTES("sys/"));
    return !is_sys || is_of_namespace(mln_bytes_from(path, 4))
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "operation unavailable in namespaces");
}

struct mln_err mln_space_check_open(struct mln_run *run)
{
    return header_of(run).len == 0 ? MLN_OK : check_sys(run->rq.cx, run->rq.path);
}

/* From the root down to it: is one of them locked? */
static const struct mln_space *locking(const struct mln_spaces *spaces, const struct mln_space *space)
{
    struct mln_bytes path = mln_bytes_of(space->path);
    for (size_t i = 0; i < path.len; i++) {
        const struct mln_space *at = path.ptr[i] == '/' ? mln_space_by_path(spaces, mln_bytes_sub(path, 0, i + 1)) : NULL;
        if (at != NULL && at->lock[0] != 0) {
            return at;
        }
    }
    return NULL;
}

static struct mln_err check_lock(const struct mln_run *run)
{
    const struct mln_space *by = locking(run->spaces, run->space);
    if (by == NULL || mln_bytes_is(run->rq.path, "sys/namespaces/api-lock/unlock")) {
        return MLN_OK;
    }
    return mln_fail(run->rq.cx, MLN_E_SEALED,
                    "API access to this namespace has been locked by an administrator - \"%s\" must be unlocked to gain access.", by->path);
}

/* Namespaces that the path begins with, below the one of the header. */
static struct mln_err descend(struct mln_run *run, struct mln_bytes base)
{
    struct mln_request *rq = &run->rq;
    struct mln_bytes rest = rq->path, after = MLN_BYTES_NONE;
    for (unsigned depth = 0; depth < MLN_SPACE_DEPTH; depth++) {
        struct mln_bytes part = mln_bytes_cut(rest, '/', &after);
        if (part.len == 0 || part.len == rest.len) {
            break;
        }
        struct mln_bytes longer = mln_bytes_format(rq->cx, "%.*s%.*s/", MLN_FMT(base), MLN_FMT(part));
        const struct mln_space *space = mln_space_by_path(run->spaces, longer);
        if (space == NULL) {
            break;
        }
        run->space = space;
        base = longer;
        rest = after;
    }
    rq->path = rest;
    return mln_cx_err(rq->cx);
}

struct mln_err mln_space_resolve(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    struct mln_bytes header = header_of(run);
    run->spaces = mln_spaces_hold(run->core);
    if (run->spaces == NULL && header.len == 0) {
        return MLN_OK;
    }
    struct mln_bytes base = header.len == 0 ? MLN_BYTES_NONE : mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(header));
    run->space = mln_space_by_path(run->spaces, base);
    if (header.len > 0 && run->space == NULL) {
        return mln_fail(rq->cx, MLN_E_NO_ROUTE, "namespace not found");
    }
    MLN_TRY(descend(run, base));
    if (run->space == NULL) {
        return MLN_OK;
    }
    if (run->space->is_tainted) {
        return mln_fail(rq->cx, MLN_E_NO_ROUTE, "namespace not found");
    }
    rq->ns = mln_bytes_of(run->space->id);
    MLN_TRY(check_lock(run));
    return check_sys(rq->cx, rq->path);
}

/* ---- paths and reach ---- */

static bool is_at_or_below(const struct mln_space *space, const struct mln_space *of)
{
    return mln_bytes_starts(mln_space_path(space), mln_space_path(of));
}

bool mln_space_is_below(const struct mln_run *run, struct mln_bytes id)
{
    const struct mln_space *space = mln_space_by_id(run->spaces, id);
    return run->space == NULL || (space != NULL && is_at_or_below(space, run->space));
}

bool mln_space_enter(struct mln_run *run, struct mln_bytes id)
{
    bool is_root = mln_bytes_eq(id, MLN_NS_ROOT);
    run->home = is_root ? NULL : mln_space_by_id(run->spaces, id);
    return is_root || (run->home != NULL && !run->home->is_tainted && is_at_or_below(run->space, run->home));
}

struct mln_bytes mln_space_acl_path(const struct mln_run *run, struct mln_bytes path)
{
    struct mln_bytes here = mln_bytes_from(mln_space_path(run->space), mln_space_path(run->home).len);
    return here.len == 0 ? path : mln_bytes_format(run->rq.cx, "%.*s%.*s", MLN_FMT(here), MLN_FMT(path));
}

struct mln_bytes mln_space_full_path(const struct mln_run *run, struct mln_bytes path)
{
    struct mln_bytes here = mln_space_path(run->space);
    return here.len == 0 ? path : mln_bytes_format(run->rq.cx, "%.*s%.*s", MLN_FMT(here), MLN_FMT(path));
}

struct mln_err mln_space_check_mount(struct mln_request *rq, struct mln_bytes path)
{
    const struct mln_run *run = mln_run_of(rq);
    struct mln_bytes here = mln_space_path(run->space), id = MLN_BYTES_NONE;
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] != '/') {
            continue;
        }
        struct mln_bytes upto = mln_bytes_sub(path, 0, i + 1);
        struct mln_err err = mln_txn_get(rq->cx, rq->txn, space_view(),
                                         mln_bytes_format(rq->cx, "path/%.*s%.*s", MLN_FMT(here), MLN_FMT(upto)), &id);
        if (!mln_failed(err)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "path is already in use at %.*s, a namespace", MLN_FMT(upto));
        }
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    return MLN_OK;
}
