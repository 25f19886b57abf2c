/* SPDX-License-Identifier: Apache-2.0 */
/* sys/namespaces: made, read, changed, locked and unlocked, marked for deletion. Paths are relative to the request's namespace. */
#include "core/space_priv.h"

#include "base/clock.h"
#include "base/text.h"
#include "core/sys_priv.h"
#include "identity/identity.h"

#define META_MAX       64u  /* names of a namespace's metadata */
#define META_KEY_MAX   128u
#define META_VALUE_MAX 512u
#define KEY_CHARS      43u /* of an unlock key: 256 bits in base62 */

/* ---- paths ---- */

static bool is_reserved(struct mln_bytes part)
{
    static const char *const names[] = {".", "..", "api-lock", "audit", "auth", "cubbyhole", "identity", "root", "sys"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(part, names[i])) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_part(struct mln_cx *cx, struct mln_bytes part)
{
    if (part.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "a namespace's path has no empty segment");
    }
    if (is_reserved(part)) {
        return mln_fail(cx, MLN_E_INVALID, "\"%.*s\" is a reserved path and cannot be used as a namespace", MLN_FMT(part));
    }
    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] <= 0x20 || part.ptr[i] >= 0x7f || mln_bytes_find(MLN_BYTES("*+?#%\\"), part.ptr[i]) < 6) {
            return mln_fail(cx, MLN_E_INVALID,
                            "a namespace's path is ASCII without spaces, control characters, and none of %%*+?#\\");
        }
    }
    return MLN_OK;
}

/* The path from the root, with its final "/"; *ret_parent the same of what it lies in ("" for the root). */
static struct mln_err path_of(struct mln_request *rq, struct mln_bytes *ret, struct mln_bytes *ret_parent)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path")), left = MLN_BYTES_NONE, last = MLN_BYTES_NONE;
    path.len -= path.len > 0 && path.ptr[path.len - 1] == '/' ? 1 : 0;
    struct mln_bytes full = mln_space_full_path(mln_run_of(rq), mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(path)));
    unsigned depth = 0;
    if (path.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a namespace needs a path");
    }
    if (full.len > MLN_SPACE_PATH_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a namespace's path has at most %u bytes", MLN_SPACE_PATH_MAX);
    }
    for (left = mln_bytes_sub(full, 0, full.len - 1); left.len > 0 || depth == 0; depth++) {
        bool is_last = mln_bytes_find(left, '/') == left.len;
        last = mln_bytes_cut(left, '/', &left);
        MLN_TRY(check_part(rq->cx, last));
        if (!is_last && left.len == 0) {
            return check_part(rq->cx, left);
        }
    }
    if (depth > MLN_SPACE_DEPTH) {
        return mln_fail(rq->cx, MLN_E_INVALID, "namespaces lie at most %u deep", MLN_SPACE_DEPTH);
    }
    *ret = full;
    *ret_parent = mln_bytes_sub(full, 0, full.len - last.len - 1);
    return mln_cx_err(rq->cx);
}

/* The row of the namespace at this path. NOT_FOUND without text. */
static struct mln_err find(struct mln_request *rq, struct mln_bytes path, const struct mln_value **ret)
{
    struct mln_bytes id = MLN_BYTES_NONE;
    MLN_TRY(mln_txn_get(rq->cx, rq->txn, space_view(), mln_bytes_format(rq->cx, "path/%.*s", MLN_FMT(path)), &id));
    return space_row(rq->cx, rq->txn, id, ret);
}

static struct mln_err find_given(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_bytes path = MLN_BYTES_NONE, parent = MLN_BYTES_NONE;
    MLN_TRY(path_of(rq, &path, &parent));
    return find(rq, path, ret);
}

/* ---- answers ---- */

static struct mln_value *show(struct mln_cx *cx, const struct mln_value *row)
{
    struct mln_value *out = mln_object(cx);
    mln_put(cx, out, "custom_metadata", mln_get(row, "custom_metadata"));
    mln_put(cx, out, "id", mln_get(row, "id"));
    mln_put_bool(cx, out, "locked", mln_len(mln_get(row, "lock")) > 0);
    mln_put(cx, out, "path", mln_get(row, "path"));
    mln_put_bool(cx, out, "tainted", mln_get_bool(mln_get(row, "tainted"), false));
    mln_put(cx, out, "uuid", mln_get(row, "uuid"));
    return out;
}

static struct mln_err read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    MLN_TRY(find_given(rq, &row));
    re->data = show(rq->cx, row);
    return mln_cx_err(rq->cx);
}

/* Those right below a namespace, or with `all` everything below. */
static struct mln_err list_below(struct mln_request *rq, struct mln_reply *re, struct mln_bytes here, bool all)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_run *run = mln_run_of(rq);
    struct mln_value *data = mln_object(cx), *keys = mln_array(cx), *info = mln_object(cx);
    for (size_t i = 0; run->spaces != NULL && i < run->spaces->n; i++) {
        struct mln_bytes path = mln_bytes_of(run->spaces->list[i].path), rest = mln_bytes_from(path, here.len);
        bool is_below = mln_bytes_starts(path, here) && rest.len > 0;
        if (!is_below || (!all && mln_bytes_find(rest, '/') + 1 != rest.len)) {
            continue;
        }
        const struct mln_value *row = NULL;
        struct mln_err err = space_row(cx, rq->txn, mln_bytes_of(run->spaces->list[i].id), &row);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue; /* deleted since the list was read */
        }
        MLN_TRY(err);
        mln_push(cx, keys, mln_string(cx, rest));
        mln_put_key(cx, info, rest, show(cx, row));
    }
    if (mln_len(keys) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(cx, data, "key_info", info);
    mln_put(cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err list_at(struct mln_request *rq, struct mln_reply *re, bool all)
{
    struct mln_bytes here = mln_space_path(mln_run_of(rq)->space), parent = MLN_BYTES_NONE;
    if (mln_len(mln_field_of(rq, "path")) > 0) {
        MLN_TRY(path_of(rq, &here, &parent));
    }
    return list_below(rq, re, here, all);
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    return list_at(rq, re, mln_get_bool(mln_field_of(rq, "recursive"), false));
}

static struct mln_err scan(struct mln_request *rq, struct mln_reply *re)
{
    return list_at(rq, re, true);
}

/* ---- metadata ---- */

static struct mln_err check_meta(struct mln_cx *cx, const struct mln_value *meta)
{
    if (mln_len(meta) > META_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "custom_metadata has at most %u names", META_MAX);
    }
    for (size_t i = 0; i < mln_len(meta); i++) {
        const struct mln_member *m = mln_member_at(meta, i);
        if (m->key.len == 0 || m->key.len > META_KEY_MAX || mln_type_of(&m->value) != MLN_STRING ||
            mln_len(&m->value) > META_VALUE_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "custom_metadata has names of 1 to %u bytes with texts of at most %u", META_KEY_MAX,
                            META_VALUE_MAX);
        }
    }
    return MLN_OK;
}

static struct mln_err put_meta(struct mln_request *rq, struct mln_reply *re, const struct mln_value *row,
                               const struct mln_value *meta)
{
    struct mln_value *next = mln_value_dup(rq->cx, row);
    MLN_TRY(check_meta(rq->cx, meta));
    mln_put(rq->cx, next, "custom_metadata", meta);
    mln_put(rq->cx, rq->detail, "namespace", mln_get(row, "path"));
    mln_run_of(rq)->reload_spaces = true;
    re->data = show(rq->cx, next);
    MLN_TRY(mln_cx_err(rq->cx));
    return space_put(rq->cx, rq->txn, next);
}

/* A merge patch: null takes a name away. */
static struct mln_err patch(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL, *given = mln_field_of(rq, "custom_metadata");
    struct mln_value *meta = mln_object(rq->cx);
    MLN_TRY(find_given(rq, &row));
    const struct mln_value *old = mln_get(row, "custom_metadata");
    for (size_t i = 0; i < mln_len(old); i++) {
        const struct mln_member *m = mln_member_at(old, i);
        if (mln_get_key(given, m->key) == NULL) {
            mln_put_key(rq->cx, meta, m->key, &m->value);
        }
    }
    for (size_t i = 0; i < mln_len(given); i++) {
        const struct mln_member *m = mln_member_at(given, i);
        if (!mln_is_null(&m->value)) {
            mln_put_key(rq->cx, meta, m->key, &m->value);
        }
    }
    MLN_TRY(mln_cx_err(rq->cx));
    return put_meta(rq, re, row, meta);
}

/* ---- making ---- */

/* Its keyring is a batch of its own, made once for all tries of the request; who fails gives it back (pipeline.c). */
static struct mln_err make_keyring(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_run *run = mln_run_of(rq);
    const struct mln_value *row = NULL;
    for (int i = 0; run->fresh_ns[0] == 0 && i < 8; i++) {
        char id[MLN_NSID_LEN + 1];
        mln_random_base62(id, MLN_NSID_LEN);
        struct mln_err err = space_row(rq->cx, rq->txn, mln_bytes_of(id), &row);
        if (!mln_failed(err)) {
            continue;
        }
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
        mln_run_block(run);
        err = mln_barrier_add_namespace(rq->cx, run->core->barrier, mln_bytes_of(id));
        if (mln_is(err, MLN_E_EXISTS)) {
            mln_cx_clear(rq->cx);
            continue;
        }
        MLN_TRY(err);
        mln_copy(run->fresh_ns, id, sizeof(id));
    }
    *ret = mln_bytes_of(run->fresh_ns);
    return ret->len > 0 ? MLN_OK : mln_fail(rq->cx, MLN_E_INTERNAL, "no free id for a namespace");
}

/* The mounts that every namespace has, as the root has them. */
static struct mln_err first_mounts(struct mln_request *rq)
{
    static const struct {
        const char *path, *type, *what;
    } mounts[] = {
        {"sys/", "system", "system endpoints used for control, policy and debugging"},
        {MLN_IDENTITY_MOUNT, "identity", "identity store"},
        {"auth/token/", "token", "token based credentials"},
        {"cubbyhole/", "cubbyhole", "per-token private secret storage"},
    };
    struct mln_value *rows = mln_array(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(mounts); i++) {
        bool is_fixed = i == 0 || i == 2;
        if (is_fixed || mln_engine_find(mln_core_of(rq), mounts[i].type, MLN_MOUNT_SECRET) != NULL) {
            struct mln_value *row = mln_mounts_row(rq->cx, mounts[i].path, mounts[i].type, mounts[i].what, NULL);
            mln_put_bool(rq->cx, row, "of_namespace", true);
            mln_push(rq->cx, rows, row);
        }
    }
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_mounts_put(rq->cx, rq->txn, rows));
    return mln_policies_start(rq->cx, rq->txn);
}

/*
 * Nothing may be mounted in the parent where the namespace shall be. The parent's table is written again, so that a mount which is made
 * in this moment is tried again and meets the namespace.
 */
static struct mln_err claim(struct mln_request *rq, struct mln_bytes parent_id, struct mln_bytes name)
{
    const struct mln_value *rows = NULL;
    struct mln_bytes before = mln_txn_enter(rq->txn, parent_id);
    struct mln_err err = mln_mounts_rows(rq->cx, rq->txn, &rows);
    for (size_t i = 0; !mln_failed(err) && i < mln_len(rows); i++) {
        struct mln_bytes at = mln_get_bytes(mln_get(mln_item(rows, i), "path"));
        if (mln_bytes_starts(at, name) || mln_bytes_starts(name, at)) {
            err = mln_fail(rq->cx, MLN_E_INVALID, "path is already in use at %.*s, a mount", MLN_FMT(at));
        }
    }
    err = mln_failed(err) ? err : mln_mounts_put(rq->cx, rq->txn, rows);
    (void)mln_txn_enter(rq->txn, before);
    return err;
}

static struct mln_err find_parent(struct mln_request *rq, struct mln_bytes path, struct mln_bytes *ret_id)
{
    const struct mln_value *row = NULL;
    *ret_id = MLN_NS_ROOT;
    if (path.len == 0) {
        return MLN_OK;
    }
    struct mln_err err = find(rq, path, &row);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && mln_get_bool(mln_get(row, "tainted"), false))) {
        return mln_refail(rq->cx, MLN_E_INVALID, "the parent namespace \"%.*s\" does not exist", MLN_FMT(path));
    }
    *ret_id = mln_get_bytes(mln_get(row, "id"));
    return err;
}

static struct mln_err make(struct mln_request *rq, struct mln_bytes path, struct mln_bytes parent, const struct mln_value *meta,
                           const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_run *run = mln_run_of(rq);
    struct mln_bytes parent_id = MLN_NS_ROOT, id = MLN_BYTES_NONE;
    char uuid[37];
    if (run->spaces != NULL && run->spaces->n >= MLN_SPACES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "at most %u namespaces", MLN_SPACES_MAX);
    }
    MLN_TRY(find_parent(rq, parent, &parent_id));
    MLN_TRY(claim(rq, parent_id, mln_bytes_from(path, parent.len)));
    MLN_TRY(make_keyring(rq, &id));
    mln_uuid(uuid);
    struct mln_value *row = mln_object(cx);
    mln_put_bytes(cx, row, "id", id);
    mln_put_bytes(cx, row, "path", path);
    mln_put_text(cx, row, "uuid", mln_text_dup(cx, mln_bytes_of(uuid)));
    mln_put(cx, row, "custom_metadata", meta);
    mln_put_text(cx, row, "lock", "");
    mln_put_int(cx, row, "created_ns", rq->now_ns);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(space_put(cx, rq->txn, row));
    MLN_TRY(mln_txn_put(cx, rq->txn, space_view(), mln_bytes_format(cx, "path/%.*s", MLN_FMT(path)), id));
    struct mln_bytes before = mln_txn_enter(rq->txn, id);
    struct mln_err err = first_mounts(rq);
    (void)mln_txn_enter(rq->txn, before);
    *ret = row;
    return err;
}

static struct mln_err write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes path = MLN_BYTES_NONE, parent = MLN_BYTES_NONE;
    const struct mln_value *row = NULL, *given = mln_field_of(rq, "custom_metadata");
    const struct mln_value *meta = mln_is_null(given) ? mln_object(rq->cx) : given;
    MLN_TRY(path_of(rq, &path, &parent));
    MLN_TRY(check_meta(rq->cx, meta));
    struct mln_err err = find(rq, path, &row);
    if (!mln_failed(err)) {
        return mln_get_bool(mln_get(row, "tainted"), false)
                   ? mln_fail(rq->cx, MLN_E_INVALID, "namespace \"%.*s\" is being deleted", MLN_FMT(path))
                   : put_meta(rq, re, row, mln_is_null(given) ? mln_get(row, "custom_metadata") : given);
    }
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(make(rq, path, parent, meta, &row));
    mln_put_bytes(rq->cx, rq->detail, "namespace", path);
    mln_put(rq->cx, rq->detail, "id", mln_get(row, "id"));
    mln_run_of(rq)->reload_spaces = true;
    re->data = show(rq->cx, row);
    return mln_cx_err(rq->cx);
}

/* ---- deleting: marked here, emptied by ticks (space_delete.c) ---- */

static struct mln_err erase(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes path = MLN_BYTES_NONE, parent = MLN_BYTES_NONE;
    const struct mln_value *row = NULL, *below = NULL;
    struct mln_value *data = mln_object(cx);
    mln_txn_mark_relief(rq->txn);
    MLN_TRY(path_of(rq, &path, &parent));
    struct mln_err err = find(rq, path, &row);
    MLN_TRY(err);
    MLN_TRY(mln_txn_list(cx, rq->txn, space_view(), mln_bytes_format(cx, "path/%.*s", MLN_FMT(path)), &below));
    for (size_t i = 0; i < mln_len(below); i++) {
        if (mln_get_bytes(mln_item(below, i)).len > 0) {
            return mln_fail(cx, MLN_E_INVALID, "cannot delete namespace (\"%.*s\") containing child namespaces", MLN_FMT(path));
        }
    }
    struct mln_value *next = mln_value_dup(cx, row);
    mln_put_bool(cx, next, "tainted", true);
    mln_put_bytes(cx, rq->detail, "namespace", path);
    mln_put_text(cx, data, "status", "in-progress");
    mln_run_of(rq)->reload_spaces = true;
    re->data = data;
    MLN_TRY(mln_cx_err(cx));
    return space_put(cx, rq->txn, next);
}

/* ---- locking ---- */

/* The namespace of the path's rest, or the request's own. */
static struct mln_err find_lock(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_run *run = mln_run_of(rq);
    bool is_own = mln_get_bytes(mln_field_of(rq, "path")).len == 0;
    if (is_own && run->space == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the root namespace cannot be locked");
    }
    struct mln_err err = is_own ? space_row(rq->cx, rq->txn, rq->ns, ret) : find_given(rq, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_refail(rq->cx, MLN_E_INVALID, "requested namespace does not exist") : err;
}

static struct mln_err put_lock(struct mln_request *rq, const struct mln_value *row, const char *lock)
{
    struct mln_value *next = mln_value_dup(rq->cx, row);
    mln_put_text(rq->cx, next, "lock", lock);
    mln_put(rq->cx, rq->detail, "namespace", mln_get(row, "path"));
    mln_run_of(rq)->reload_spaces = true;
    MLN_TRY(mln_cx_err(rq->cx));
    return space_put(rq->cx, rq->txn, next);
}

static const char *digest_of(struct mln_cx *cx, struct mln_bytes key)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(key, digest);
    return mln_hex_text(cx, mln_bytes_at(digest, sizeof(digest)));
}

static struct mln_err lock(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    struct mln_value *data = mln_object(rq->cx);
    char *key = mln_new(rq->cx, KEY_CHARS + 1); /* of the request's arena, which is wiped */
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(find_lock(rq, &row));
    if (mln_len(mln_get(row, "lock")) > 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cannot lock namespace \"%s\": it is locked already",
                        mln_get_text(rq->cx, mln_get(row, "path"), ""));
    }
    mln_random_base62(key, KEY_CHARS);
    mln_put(rq->cx, data, "unlock_key", mln_secret_string(rq->cx, mln_bytes_of(key)));
    re->data = data;
    return put_lock(rq, row, digest_of(rq->cx, mln_bytes_of(key)));
}

/* With the key, or as root without. */
static struct mln_err unlock(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    struct mln_bytes key = mln_get_bytes(mln_field_of(rq, "unlock_key"));
    (void)re;
    MLN_TRY(find_lock(rq, &row));
    struct mln_bytes want = mln_get_bytes(mln_get(row, "lock")), got = mln_bytes_of(digest_of(rq->cx, key));
    if (want.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "namespace \"%s\" is not locked", mln_get_text(rq->cx, mln_get(row, "path"), ""));
    }
    bool is_right = key.len > 0 && mln_eq_ct(want.ptr, want.len, got.ptr, got.len);
    if (!is_right && !(rq->actor->is_root && key.len == 0)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "incorrect unlock key");
    }
    return put_lock(rq, row, "");
}

static struct mln_err exists(struct mln_request *rq, bool *ret)
{
    const struct mln_value *row = NULL;
    struct mln_err err = find_given(rq, &row);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static const struct mln_field fields[] = {
    F_TEXT("path", "Of the namespace, below the request's; those above it must exist."),
    {.name = "custom_metadata", .type = MLN_FIELD_MAP, .help = "Names with texts, for people and tools."},
    F_BOOL("recursive", "false", "List all that lies below, however deep."),
    {0},
};
static const struct mln_field list_fields[] = {F_BOOL("recursive", "false", "All that lies below, however deep."), {0}};
static const struct mln_field lock_fields[] = {
    {.name = "path", .type = MLN_FIELD_TEXT, .help = "A namespace below; the request's own when absent."},
    {.name = "unlock_key", .type = MLN_FIELD_SECRET, .help = "As locking gave it; a root token needs none."},
    {0},
};

const struct mln_path mln_sys_namespaces[] = {
    {.pattern = "namespaces", .summary = "List namespaces.", .fields = list_fields, .list = list, .scan = scan},
    {.pattern = "namespaces/api-lock/lock/{path...}?",
     .summary = "Lock the API for a namespace and what lies below it.",
     .fields = lock_fields,
     .write = lock,
     .is_relief = true,
     .controls = "AC-3"},
    {.pattern = "namespaces/api-lock/unlock/{path...}?",
     .summary = "Unlock it.",
     .fields = lock_fields,
     .write = unlock,
     .is_relief = true,
     .controls = "AC-3"},
    {.pattern = "namespaces/{path...}",
     .summary = "Make, read, change or delete a namespace.",
     .fields = fields,
     .read = read,
     .list = list,
     .scan = scan,
     .write = write,
     .patch = patch,
     .remove = erase,
     .exists = exists,
     .controls = "AC-3,SC-4"},
    {0},
};
