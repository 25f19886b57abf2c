/* SPDX-License-Identifier: Apache-2.0 */
/* The mount table: which engine stands at which path. Changed in transactions, read from an immutable copy in memory. */
#include "core/core_priv.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/text.h"

#define TABLE_ARENA_BYTES (16u << 20) /* MLN_MOUNTS_MAX rows with long paths and options */

#define SWEEP_ROWS 4096u /* of one batch: a few milliseconds of the committer */

static struct mln_view mount_view(void)
{
    return mln_home_view("mount/");
}

/* ---- rows ---- */

struct mln_err mln_mounts_rows(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(cx, txn, mount_view(), MLN_BYTES("table"), ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = mln_array(cx);
        return mln_cx_err(cx);
    }
    return err;
}

/* "gone/<uuid>" with the id of a namespace, nothing for the root: mounts of all namespaces that are to be swept. */
static struct mln_view gone_view(void)
{
    return mln_core_view("root/mount/");
}

struct mln_err mln_mounts_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *rows)
{
    return mln_txn_put_value(cx, txn, mount_view(), MLN_BYTES("table"), rows);
}

/* What Vault gives the mounts that a server has from the beginning. */
static struct mln_value *config_of(struct mln_cx *cx, const char *type, bool is_auth)
{
    bool is_system = mln_bytes_is(mln_bytes_of(type), "system"),
         is_identity = mln_bytes_is(mln_bytes_of(type), "identity");
    struct mln_value *config = mln_object(cx), *headers = mln_array(cx);
    if (is_system || is_identity) {
        mln_push_text(cx, headers, is_system ? "Accept" : "Authorization");
        mln_put(cx, config, "passthrough_request_headers", headers);
    }
    if (is_auth) {
        mln_put_text(cx, config, "token_type", "default-service");
    }
    return config;
}

struct mln_value *mln_mounts_row(struct mln_cx *cx, const char *path, const char *type,
                                 const char *description, const struct mln_value *options)
{
    char uuid[37];
    mln_uuid(uuid);
    bool is_auth = mln_bytes_starts(mln_bytes_of(path), MLN_BYTES("auth/"));
    struct mln_value *row = mln_object(cx);
    mln_put_text(cx, row, "path", path);
    mln_put_text(cx, row, "type", type);
    mln_put_text(cx, row, "uuid", mln_text_dup(cx, mln_bytes_of(uuid)));
    mln_put(cx, row, "accessor",
            mln_textf(cx, "%s%s_%08x", is_auth ? "auth_" : "", type, (unsigned)mln_random_u64()));
    mln_put_text(cx, row, "description", description != NULL ? description : "");
    mln_put(cx, row, "options", options != NULL ? options : mln_null(cx));
    mln_put_int(cx, row, "default_ttl_s", 0);
    mln_put_int(cx, row, "max_ttl_s", 0);
    mln_put(cx, row, "config", config_of(cx, type, is_auth));
    mln_put_bool(cx, row, "local", mln_bytes_is(mln_bytes_of(type), "cubbyhole"));
    mln_put_bool(cx, row, "seal_wrap", mln_bytes_is(mln_bytes_of(type), "system"));
    return row;
}

const struct mln_engine *mln_engine_find(const struct mln_core *core, const char *type,
                                         enum mln_mount_kind kind)
{
    struct mln_bytes name = mln_bytes_of(type);
    if (kind == MLN_MOUNT_SYSTEM) {
        return mln_bytes_is(name, "system") ? &mln_system : NULL;
    }
    if (kind == MLN_MOUNT_AUTH && mln_bytes_is(name, "token")) {
        return &mln_method_token;
    }
    for (size_t i = 0; core->config.registries[i] != NULL; i++) {
        const struct mln_engine *const *list = core->config.registries[i];
        for (size_t k = 0; list[k] != NULL; k++) {
            if (list[k]->kind == kind && mln_bytes_is(name, list[k]->type)) {
                return list[k];
            }
        }
    }
    return NULL;
}

static enum mln_mount_kind kind_of(struct mln_bytes path)
{
    return mln_bytes_is(path, "sys/")                   ? MLN_MOUNT_SYSTEM
           : mln_bytes_starts(path, MLN_BYTES("auth/")) ? MLN_MOUNT_AUTH
                                                        : MLN_MOUNT_SECRET;
}

/* Memory of the table's own arena. A type that this build lacks stays listed and answers nothing. */
static void read_row(struct mln_cx *cx, const struct mln_core *core, struct mln_bytes ns,
                     const struct mln_value *row, struct mln_mount *ret)
{
    const struct mln_value *v = mln_value_dup(cx, row);
    const char *uuid = mln_get_text(cx, mln_get(v, "uuid"), "");
    *ret = (struct mln_mount){
        .path = mln_get_text(cx, mln_get(v, "path"), ""),
        .type = mln_get_text(cx, mln_get(v, "type"), ""),
        .uuid = uuid,
        .accessor = mln_get_text(cx, mln_get(v, "accessor"), ""),
        .description = mln_get_text(cx, mln_get(v, "description"), ""),
        .options = mln_is_null(mln_get(v, "options")) ? NULL : mln_get(v, "options"),
        .config = mln_is_null(mln_get(v, "config")) ? NULL : mln_get(v, "config"),
        .default_ttl_s = mln_get_int(mln_get(v, "default_ttl_s"), 0),
        .max_ttl_s = mln_get_int(mln_get(v, "max_ttl_s"), 0),
        .view = {.ns = mln_bytes_dup(cx, ns), .prefix = mln_bytes_format(cx, "%.*s/%s/", MLN_FMT(ns), uuid)},
    };
    const struct mln_engine *engine = mln_engine_find(core, ret->type, kind_of(mln_bytes_of(ret->path)));
    ret->engine = engine != NULL && engine->variant != NULL ? engine->variant(ret->options) : engine;
}

/* ---- the table in memory ---- */

struct mln_mount_table *mln_mounts_hold(struct mln_core *core)
{
    pthread_rwlock_rdlock(&core->mounts_lock);
    struct mln_mount_table *table = core->mounts;
    if (table != NULL) {
        atomic_fetch_add(&table->users, 1);
    }
    pthread_rwlock_unlock(&core->mounts_lock);
    return table;
}

void mln_mounts_release(struct mln_mount_table *table)
{
    if (table != NULL && atomic_fetch_sub(&table->users, 1) == 1) {
        mln_arena_free(table->arena);
        mln_free(table);
    }
}

void mln_mounts_release_drop(struct mln_mount_table **table)
{
    mln_mounts_release(*table);
    *table = NULL;
}

static void replace(struct mln_core *core, struct mln_mount_table *table)
{
    pthread_rwlock_wrlock(&core->mounts_lock);
    struct mln_mount_table *old = core->mounts;
    core->mounts = table;
    pthread_rwlock_unlock(&core->mounts_lock);
    mln_mounts_release(old);
}

static struct mln_side_table *side_of(struct mln_core *core, struct mln_bytes ns)
{
    uint32_t h = 0x811c9dc5u; /* FNV-1a: ids are made by us */
    for (size_t i = 0; i < ns.len; i++) {
        h = (h ^ ns.ptr[i]) * 0x01000193u;
    }
    return &core->side[(h ^ h >> 16) % MLN_SIDE_TABLES];
}

static void replace_side(struct mln_core *core, struct mln_bytes ns, struct mln_mount_table *table)
{
    pthread_rwlock_wrlock(&core->mounts_lock);
    struct mln_side_table *side = side_of(core, ns);
    struct mln_mount_table *old = side->table;
    side->table = table;
    mln_fill(side->ns, 0, sizeof(side->ns));
    mln_copy(side->ns, ns.ptr, ns.len < MLN_NSID_LEN ? ns.len : MLN_NSID_LEN);
    pthread_rwlock_unlock(&core->mounts_lock);
    mln_mounts_release(old);
}

void mln_mounts_forget(struct mln_core *core)
{
    replace(core, NULL);
    pthread_rwlock_wrlock(&core->mounts_lock);
    for (size_t i = 0; i < MLN_SIDE_TABLES; i++) {
        mln_mounts_release(core->side[i].table);
        core->side[i] = (struct mln_side_table){0};
    }
    pthread_rwlock_unlock(&core->mounts_lock);
}

static struct mln_err build(struct mln_cx *cx, struct mln_core *core, struct mln_bytes ns,
                            const struct mln_value *rows, struct mln_mount_table *table)
{
    struct mln_cx own;
    mln_cx_init(&own, table->arena);
    table->n = mln_len(rows);
    table->mounts = mln_new_array(&own, table->n + 1, sizeof(*table->mounts));
    for (size_t i = 0; i < table->n && !mln_failed(mln_cx_err(&own)); i++) {
        read_row(&own, core, ns, mln_item(rows, i), &table->mounts[i]);
    }
    return mln_failed(mln_cx_err(&own))
               ? mln_fail(cx, MLN_E_MEMORY, "no memory for the mount table")
               : MLN_OK;
}

/* Under load_lock. ret_table, may be NULL: the caller holds it then as well. */
static struct mln_err load(struct mln_cx *cx, struct mln_core *core, struct mln_bytes ns,
                           struct mln_mount_table **ret_table)
{
    const struct mln_value *rows = NULL;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    (void)mln_txn_enter(txn, ns);
    MLN_TRY(mln_mounts_rows(cx, txn, &rows));
    struct mln_mount_table *table = mln_alloc(sizeof(*table));
    if (table == NULL || (table->arena = mln_arena_new(TABLE_ARENA_BYTES, false)) == NULL) {
        mln_free(table);
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the mount table");
    }
    atomic_init(&table->users, 1);
    struct mln_err err = build(cx, core, ns, rows, table);
    if (mln_failed(err)) {
        mln_mounts_release(table);
        return err;
    }
    if (ret_table != NULL) {
        atomic_fetch_add(&table->users, 1);
        *ret_table = table;
    }
    if (mln_bytes_eq(ns, MLN_NS_ROOT)) {
        replace(core, table);
    } else {
        replace_side(core, ns, table);
    }
    return MLN_OK;
}

struct mln_err mln_mounts_load(struct mln_cx *cx, struct mln_core *core, struct mln_bytes ns)
{
    pthread_mutex_lock(&core->load_lock);
    struct mln_err err = load(cx, core, ns, NULL);
    pthread_mutex_unlock(&core->load_lock);
    return err;
}

static struct mln_mount_table *side_table(struct mln_core *core, struct mln_bytes ns)
{
    struct mln_mount_table *table = NULL;
    pthread_rwlock_rdlock(&core->mounts_lock);
    const struct mln_side_table *side = side_of(core, ns);
    if (side->table != NULL && mln_bytes_is(ns, side->ns)) {
        table = side->table;
        atomic_fetch_add(&table->users, 1);
    }
    pthread_rwlock_unlock(&core->mounts_lock);
    return table;
}

struct mln_err mln_mounts_hold_of(struct mln_cx *cx, struct mln_core *core, struct mln_bytes ns,
                                  struct mln_mount_table **ret)
{
    struct mln_err err = MLN_OK;
    if (mln_bytes_eq(ns, MLN_NS_ROOT)) {
        *ret = mln_mounts_hold(core);
        return MLN_OK;
    }
    *ret = side_table(core, ns);
    if (*ret == NULL) {
        pthread_mutex_lock(&core->load_lock);
        *ret = side_table(core, ns); /* another may have read it meanwhile */
        err = *ret == NULL ? load(cx, core, ns, ret) : MLN_OK;
        pthread_mutex_unlock(&core->load_lock);
    }
    return err;
}

struct mln_err mln_mount_of(struct mln_request *rq, struct mln_bytes ns, const char *uuid,
                            struct mln_mount *ret)
{
    const struct mln_mount_table *table = mln_run_of(rq)->table;
    const struct mln_value *rows = NULL;
    if (table != NULL && mln_bytes_eq(ns, mln_run_of(rq)->rq.ns)) {
        for (size_t i = 0; i < table->n; i++) {
            if (mln_bytes_is(mln_bytes_of(table->mounts[i].uuid), uuid)) {
                *ret = table->mounts[i];
                return MLN_OK;
            }
        }
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_bytes before = mln_txn_enter(rq->txn, ns);
    struct mln_err err = mln_mounts_rows(rq->cx, rq->txn, &rows);
    (void)mln_txn_enter(rq->txn, before);
    for (size_t i = 0; !mln_failed(err) && i < mln_len(rows); i++) {
        if (mln_is_text(mln_get(mln_item(rows, i), "uuid"), uuid)) {
            read_row(rq->cx, mln_core_of(rq), ns, mln_item(rows, i), ret);
            return mln_cx_err(rq->cx);
        }
    }
    return mln_failed(err) ? err : (struct mln_err){MLN_E_NOT_FOUND};
}

const struct mln_mount *mln_mounts_find(const struct mln_mount_table *table, struct mln_bytes path)
{
    const struct mln_mount *best = NULL;
    for (size_t i = 0; table != NULL && i < table->n; i++) {
        struct mln_bytes at = mln_bytes_of(table->mounts[i].path);
        bool is_it =
            mln_bytes_starts(path, at) || (path.len + 1 == at.len && mln_bytes_starts(at, path));
        if (is_it && (best == NULL || at.len > mln_bytes_of(best->path).len)) {
            best = &table->mounts[i];
        }
    }
    return best;
}

/* ---- adding ---- */

struct mln_err mln_mount_check_path(struct mln_cx *cx, struct mln_bytes path)
{
    struct mln_bytes left = path;
    if (path.len < 2 || path.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "a mount's path has 1 to %d bytes",
                        MLN_NAME_MAX_BYTES - 1);
    }
    while (left.len > 0) {
        struct mln_bytes part = mln_bytes_cut(left, '/', &left);
        if (part.len == 0 || mln_bytes_is(part, ".") || mln_bytes_is(part, "..") ||
            mln_bytes_is(part, "+")) {
            return mln_fail(cx, MLN_E_INVALID,
                            "a mount's path has no empty, \".\", \"..\" or \"+\" segment");
        }
        for (size_t i = 0; i < part.len; i++) {
            if (part.ptr[i] <= 0x20 || part.ptr[i] == 0x7f || part.ptr[i] == '*') {
                return mln_fail(cx, MLN_E_INVALID,
                                "a mount's path has no spaces, control characters or \"*\"");
            }
        }
    }
    return MLN_OK;
}

struct mln_err mln_mount_check_free(struct mln_cx *cx, const struct mln_value *rows,
                                    struct mln_bytes path)
{
    static const char *const kept[] = {"sys/", "auth/", "cubbyhole/", "identity/"};
    bool is_auth = mln_bytes_starts(path, MLN_BYTES("auth/")) && path.len > 5;
    for (size_t i = 0; !is_auth && i < MLN_COUNT(kept); i++) {
        if (mln_bytes_starts(path, mln_bytes_of(kept[i])) && mln_len(rows) > 0) {
            return mln_fail(cx, MLN_E_INVALID, "cannot mount under existing mount \"%s\"", kept[i]);
        }
    }
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_bytes other = mln_get_bytes(mln_get(mln_item(rows, i), "path"));
        if (mln_bytes_eq(other, path)) {
            struct mln_bytes shown = is_auth ? mln_bytes_from(path, 5) : path;
            return mln_fail(cx, MLN_E_INVALID, "path is already in use at %.*s", MLN_FMT(shown));
        }
        if (mln_bytes_starts(other, path) || mln_bytes_starts(path, other)) {
            return mln_fail(cx, MLN_E_INVALID, "path is already in use at %.*s", MLN_FMT(other));
        }
    }
    return mln_len(rows) < MLN_MOUNTS_MAX
               ? MLN_OK
               : mln_fail(cx, MLN_E_LIMIT, "at most %u mounts", MLN_MOUNTS_MAX);
}

/* Once, in the transaction that mounts it. */
static struct mln_err start_engine(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_mount mount;
    struct mln_request inner = *rq;
    read_row(rq->cx, mln_core_of(rq), mln_txn_home(rq->txn), row, &mount);
    inner.mount = &mount;
    inner.detail = mln_object(rq->cx);
    MLN_TRY(mln_cx_err(rq->cx));
    return mount.engine->start == NULL ? MLN_OK : mount.engine->start(&inner);
}

struct mln_err mln_mount_add(struct mln_request *rq, struct mln_value *row)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *rows = NULL;
    struct mln_bytes path = mln_get_bytes(mln_get(row, "path"));
    const char *type = mln_get_text(cx, mln_get(row, "type"), "");
    MLN_TRY(mln_mount_check_path(cx, path));
    MLN_TRY(mln_mounts_rows(cx, rq->txn, &rows));
    if (!mln_run_of(rq)->is_system && mln_bytes_is(mln_bytes_of(type), "token")) {
        return mln_fail(cx, MLN_E_INVALID, "token credential backend cannot be instantiated");
    }
    if (mln_engine_find(mln_core_of(rq), type, kind_of(path)) == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "plugin not found in the catalog: %s", type);
    }
    if (!mln_run_of(rq)->is_system) { /* core itself mounts where nobody else may, and only when there is nothing yet */
        MLN_TRY(mln_mount_check_free(cx, rows, path));
        MLN_TRY(mln_space_check_mount(rq, path));
    }
    struct mln_value *grown = mln_value_dup(cx, rows);
    mln_push(cx, grown, row);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(start_engine(rq, row));
    mln_run_of(rq)->reload_mounts = true;
    return mln_mounts_put(cx, rq->txn, grown);
}

/* ---- mounts that go ---- */

/* The table is one row: that it was read makes a change of it a conflict. A uuid is found in its bytes without parsing them. */
struct mln_err mln_mounts_expect(struct mln_cx *cx, struct mln_txn *txn,
                                 const struct mln_mount *mount)
{
    struct mln_bytes row = MLN_BYTES_NONE, uuid = mln_bytes_of(mount->uuid);
    if (mount->engine != NULL && mount->engine->kind == MLN_MOUNT_SYSTEM) {
        return MLN_OK;
    }
    struct mln_err err = mln_txn_get(cx, txn, mount_view(), MLN_BYTES("table"), &row);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (uuid.len == 0 || mln_bytes_find_bytes(row, uuid) == row.len) {
        return mln_fail(cx, MLN_E_NO_ROUTE, "no handler for route \"%s\". route entry not found.",
                        mount->path);
    }
    return MLN_OK;
}

struct mln_err mln_mounts_gone(struct mln_cx *cx, struct mln_txn *txn, const char *uuid)
{
    struct mln_bytes home = mln_txn_home(txn);
    return mln_txn_put(cx, txn, gone_view(), mln_bytes_format(cx, "gone/%s", uuid),
                       mln_bytes_eq(home, MLN_NS_ROOT) ? MLN_BYTES_NONE : home);
}

struct mln_err mln_rows_sweep(struct mln_cx *cx, struct mln_core *core, struct mln_txn *txn,
                              struct mln_view view, bool *ret_all)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes after = MLN_BYTES_NONE, key = MLN_BYTES_NONE;
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_snap_begin(cx, core->store, &snap));
    for (size_t i = 0; i < SWEEP_ROWS; i++) {
        struct mln_err err = mln_snap_next(cx, snap, view.prefix, after, &key, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            *ret_all = true;
            return MLN_OK;
        }
        MLN_TRY(err);
        after = mln_bytes_dup(cx, key);
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(mln_txn_delete(cx, txn, view, mln_bytes_from(after, view.prefix.len)));
    }
    *ret_all = false;
    return MLN_OK;
}

/* An engine's rows stay as long as revoking its leases needs them. */
static struct mln_err first_free(struct mln_cx *cx, struct mln_txn *txn,
                                 const struct mln_value *gone, const char **ret)
{
    for (size_t i = 0; i < mln_len(gone) && *ret == NULL; i++) {
        const char *uuid = mln_get_text(cx, mln_item(gone, i), "");
        bool is_busy = false;
        MLN_TRY(mln_lease_mount_is_busy(cx, txn, uuid, &is_busy));
        *ret = is_busy ? NULL : uuid;
    }
    return MLN_OK;
}

struct mln_err mln_mounts_sweep(struct mln_cx *cx, struct mln_core *core, bool *ret_more)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *gone = NULL;
    bool is_all = true;
    *ret_more = false;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(mln_txn_list(cx, txn, gone_view(), MLN_BYTES("gone/"), &gone));
    if (mln_len(gone) == 0) {
        return MLN_OK;
    }
    const char *uuid = NULL;
    MLN_TRY(first_free(cx, txn, gone, &uuid));
    if (uuid == NULL) {
        return MLN_OK;
    }
    struct mln_value *detail = mln_object(cx);
    struct mln_bytes ns = MLN_BYTES_NONE, row = mln_bytes_format(cx, "gone/%s", uuid);
    MLN_TRY(mln_txn_get(cx, txn, gone_view(), row, &ns));
    ns = ns.len > 0 ? ns : MLN_NS_ROOT;
    struct mln_view view = {.ns = ns, .prefix = mln_bytes_format(cx, "%.*s/%s/", MLN_FMT(ns), uuid)};
    mln_put_text(cx, detail, "mount", uuid);
    MLN_TRY(mln_rows_sweep(cx, core, txn, view, &is_all));
    if (is_all) {
        MLN_TRY(mln_txn_delete(cx, txn, gone_view(), row));
    }
    mln_txn_mark_relief(txn);
    MLN_TRY(mln_core_commit(core, cx, txn, "delete what an unmounted engine kept", detail));
    *ret_more = !is_all || mln_len(gone) > 1;
    return MLN_OK;
}
