/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: what an engine handed out for a time. Rows are listed in core_priv.h, members of one in lease_priv.h. */
#include "core/lease_priv.h"

#include "base/clock.h"

#define S_NS    1000000000LL

static const char *text_of(struct mln_cx *cx, const struct mln_value *lease, const char *key)
{
    return mln_get_text(cx, mln_get(lease, key), "");
}

static struct mln_bytes id_of(const struct mln_value *lease)
{
    return mln_get_bytes(mln_get(lease, "id"));
}

static struct mln_bytes expiry_key(struct mln_cx *cx, const struct mln_value *lease)
{
    return mln_bytes_format(cx, "expiry/%016llx/%.*s",
                            (unsigned long long)mln_get_int(mln_get(lease, "expires_ns"), 0),
                            MLN_FMT(id_of(lease)));
}

static bool is_bad(const struct mln_value *lease)
{
    return mln_get_bool(mln_get(lease, "bad"), false);
}

/* ---- rows ---- */

/* The lease itself is sealed under the keyring of its namespace. */
static struct mln_view entry_view(struct mln_bytes id)
{
    return (struct mln_view){.ns = mln_lease_ns(id), .prefix = MLN_BYTES(MLN_LEASE_PREFIX)};
}

struct mln_err mln_lease_get(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                             const struct mln_value **ret)
{
    if (id.len == 0 || id.len > MLN_STORE_KEY_MAX / 2) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return mln_txn_get_value(cx, txn, entry_view(id), mln_lease_id_key(cx, mln_lease_ns(id), id), ret);
}

/* Its row of expiry, or of those that nothing will end. */
static struct mln_bytes due_key(struct mln_cx *cx, const struct mln_value *lease)
{
    return is_bad(lease) ? mln_bytes_format(cx, "bad/%.*s", MLN_FMT(id_of(lease)))
                         : expiry_key(cx, lease);
}

static struct mln_bytes token_key(struct mln_cx *cx, const struct mln_value *lease)
{
    const char *token = text_of(cx, lease, "token");
    return token[0] == 0 ? MLN_BYTES_NONE
                         : mln_bytes_format(cx, "token/%s/%.*s", token, MLN_FMT(id_of(lease)));
}

static struct mln_err tally(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *lease, int delta)
{
    struct mln_bytes id = id_of(lease);
    return mln_txn_tally(cx, txn, mln_lease_ns(id), mln_lease_quota_path(id), MLN_BYTES_NONE, delta);
}

struct mln_err mln_lease_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                             const struct mln_value *lease)
{
    struct mln_view view = mln_lease_view();
    struct mln_bytes token = token_key(cx, lease), due = due_key(cx, lease);
    if (old != NULL) {
        struct mln_bytes token_before = token_key(cx, old), due_before = due_key(cx, old);
        if (token_before.len > 0 && !mln_bytes_eq(token_before, token)) {
            MLN_TRY(mln_txn_delete(cx, txn, view, token_before));
        }
        if (!mln_bytes_eq(due_before, due)) {
            MLN_TRY(mln_txn_delete(cx, txn, view, due_before));
        }
    } else if (token.len > 0) {
        MLN_TRY(mln_txn_put(cx, txn, view, token, MLN_BYTES_NONE));
    }
    if (old == NULL) {
        MLN_TRY(tally(cx, txn, lease, 1));
    }
    MLN_TRY(mln_txn_put(cx, txn, view, due, MLN_BYTES_NONE));
    struct mln_bytes id = id_of(lease);
    return mln_txn_put_value(cx, txn, entry_view(id), mln_lease_id_key(cx, mln_lease_ns(id), id), lease);
}

struct mln_err mln_lease_remove(struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *lease)
{
    struct mln_view view = mln_lease_view();
    struct mln_bytes token = token_key(cx, lease);
    mln_txn_mark_relief(txn);
    MLN_TRY(tally(cx, txn, lease, -1));
    struct mln_bytes id = id_of(lease);
    MLN_TRY(mln_txn_delete(cx, txn, entry_view(id), mln_lease_id_key(cx, mln_lease_ns(id), id)));
    MLN_TRY(mln_txn_delete(cx, txn, view, due_key(cx, lease)));
    return token.len == 0 ? MLN_OK : mln_txn_delete(cx, txn, view, token);
}

struct mln_err mln_lease_make_due(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_value *lease, int64_t now_ns)
{
    struct mln_value *due = mln_value_dup(cx, lease);
    mln_put_text(cx, due, "token", "");
    if (!is_bad(lease)) {
        mln_put_int(cx, due, "expires_ns", now_ns);
    }
    MLN_TRY(mln_cx_err(cx));
    return mln_lease_put(cx, txn, lease, due);
}

struct mln_err mln_lease_token_gone(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                    const char *name, size_t max, size_t *ret_n)
{
    struct mln_value *ids = mln_array(cx);
    const struct mln_value *lease = NULL;
    struct mln_bytes prefix = mln_bytes_format(cx, MLN_LEASE_PREFIX "token/%s/", name);
    MLN_TRY(mln_life_keys(core, cx, prefix, MLN_BYTES_NONE, MLN_BYTES_NONE, max, ids));
    *ret_n = mln_len(ids);
    for (size_t i = 0; i < mln_len(ids); i++) {
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        struct mln_err err = mln_lease_get(cx, txn, id, &lease);
        if (mln_life_is_lost(cx, err)) {
            err = mln_txn_delete(cx, txn, mln_lease_view(),
                                 mln_bytes_format(cx, "token/%s/%.*s", name, MLN_FMT(id)));
        } else if (!mln_failed(err)) {
            err = mln_lease_make_due(cx, txn, lease, mln_now_ns());
        }
        MLN_TRY(err);
    }
    return MLN_OK;
}

struct mln_bytes mln_lease_quota_path(struct mln_bytes id)
{
    size_t n = id.len;
    while (n > 0 && id.ptr[n - 1] != '/') {
        n--;
    }
    return mln_bytes_sub(id, 0, n > 0 ? n - 1 : 0);
}

/* ---- making ---- */

static int64_t least(int64_t a, int64_t b) /* 0 is no limit */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* What a batch token gets dies with it and hangs on its parent; a stranger's lease hangs on nothing. */
static void bind_to_token(struct mln_request *rq, struct mln_value *lease)
{
    const struct mln_value *token = rq->actor->token;
    bool is_batch = mln_token_is_batch(token);
    mln_put_text(rq->cx, lease, "token", text_of(rq->cx, token, is_batch ? "parent" : "name"));
    int64_t dies_ns = is_batch ? mln_get_int(mln_get(token, "expires_ns"), 0) : 0;
    if (is_batch) {
        mln_put_bool(rq->cx, lease, "renewable", false);
    }
    if (dies_ns != 0) {
        mln_put_int(rq->cx, lease, "expires_ns",
                    least(mln_get_int(mln_get(lease, "expires_ns"), 0), dies_ns));
        mln_put_int(rq->cx, lease, "max_ns",
                    least(mln_get_int(mln_get(lease, "max_ns"), 0), dies_ns));
    }
}

/*
 * "<path>/<24 characters>": 7 of the time in milliseconds, most significant first, and 17 random ones (101 bits). So leases lie in the
 * store by their age, and those that are made or due together share pages.
 */
static const char *new_id(struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes path, int64_t now_ns)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint64_t ms = (uint64_t)now_ns / 1000000;
    char id[25];
    for (size_t i = 7; i-- > 0;) {
        id[i] = digits[ms % 62];
        ms /= 62;
    }
    mln_random_base62(id + 7, 17);
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    return mln_bytes_eq(ns, MLN_NS_ROOT)
               ? mln_text_format(cx, "%.*s/%s", MLN_FMT(path), id)
               : mln_text_format(cx, "%.*s/%s.%.*s", MLN_FMT(path), id, MLN_FMT(ns));
}

static struct mln_value *new_lease(struct mln_request *rq, const struct mln_lease *asked,
                                   const char *id)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *lease = mln_object(cx);
    const struct mln_core *core = mln_core_of(rq);
    int64_t max_s = least(asked->max_ttl_s, mln_token_ttl_max(core, rq->mount));
    int64_t ttl_s =
        least(asked->ttl_s > 0 ? asked->ttl_s : mln_token_ttl_default(core, rq->mount), max_s);
    mln_put_text(cx, lease, "id", id);
    mln_put_bytes(cx, lease, "path", rq->path);
    mln_put_text(cx, lease, "mount", rq->mount->uuid);
    mln_put_int(cx, lease, "created_ns", rq->now_ns);
    mln_put_int(cx, lease, "expires_ns", rq->now_ns + ttl_s * S_NS);
    mln_put_int(cx, lease, "max_ns", rq->now_ns + max_s * S_NS);
    mln_put_bool(cx, lease, "renewable", asked->is_renewable);
    if (!mln_is_null(asked->internal)) {
        mln_put(cx, lease, "internal", asked->internal);
    }
    bind_to_token(rq, lease);
    mln_put_int(cx, lease, "ttl_s",
                (mln_get_int(mln_get(lease, "expires_ns"), 0) - rq->now_ns) / S_NS);
    return lease;
}

struct mln_err mln_lease_make(struct mln_request *rq, const struct mln_lease *asked)
{
    struct mln_run *run = mln_run_of(rq);
    if (asked->ttl_s < 0 || asked->max_ttl_s < 0 || asked->ttl_s > MLN_TTL_MAX_S ||
        asked->max_ttl_s > MLN_TTL_MAX_S) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "a lease of less than nothing or more than 100 years");
    }
    const char *id = new_id(rq->cx, rq->ns, rq->path, rq->now_ns);
    struct mln_value *lease = new_lease(rq, asked, id);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_lease_put(rq->cx, rq->txn, NULL, lease));
    mln_put_text(rq->cx, rq->detail, "lease", id);
    if (rq == &run->rq) {
        run->lease_id = id;
        run->lease_ttl_s = mln_get_int(mln_get(lease, "ttl_s"), 0);
        run->lease_renewable = mln_get_bool(mln_get(lease, "renewable"), false);
    }
    return mln_cx_err(rq->cx);
}

/* ---- the engine's part ---- */

/* The mount of a lease, also one that was unmounted and whose leases are being ended. NOT_FOUND */
static struct mln_err mount_of(struct mln_request *rq, const struct mln_value *lease,
                               struct mln_mount *ret)
{
    const char *uuid = text_of(rq->cx, lease, "mount");
    const struct mln_value *gone = NULL;
    struct mln_bytes ns = mln_lease_ns(id_of(lease));
    struct mln_err err = mln_mount_of(rq, ns, uuid, ret);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, mln_lease_view(),
                              mln_bytes_format(rq->cx, "mount/%s", uuid), &gone));
    *ret = (struct mln_mount){
        .path = text_of(rq->cx, gone, "path"),
        .type = text_of(rq->cx, gone, "type"),
        .uuid = uuid,
        .accessor = "",
        .description = "",
        .view = {.ns = ns, .prefix = mln_bytes_format(rq->cx, "%.*s/%s/", MLN_FMT(ns), uuid)},
    };
    ret->engine = mln_engine_find(mln_core_of(rq), ret->type, MLN_MOUNT_SECRET);
    return mln_cx_err(rq->cx);
}

static struct mln_request inner_of(const struct mln_request *rq, const struct mln_mount *mount,
                                   const struct mln_value *lease)
{
    struct mln_request inner = *rq;
    struct mln_bytes path = mln_get_bytes(mln_get(lease, "path"));
    inner.mount = mount;
    inner.ns = mount->view.ns;
    inner.path = path;
    inner.rest = mln_bytes_from(path, mln_bytes_of(mount->path).len);
    inner.data = inner.fields = mln_object(rq->cx);
    inner.detail = mln_object(rq->cx);
    return inner;
}

struct mln_err mln_lease_end(struct mln_request *rq, const struct mln_value *lease, bool is_forced)
{
    struct mln_mount mount = {0};
    struct mln_err err = mount_of(rq, lease, &mount);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (!mln_failed(err) && mount.engine != NULL && mount.engine->revoke != NULL) {
        struct mln_request inner = inner_of(rq, &mount, lease);
        struct mln_bytes before = mln_txn_enter(rq->txn, inner.ns);
        err = mount.engine->revoke(&inner, mln_get(lease, "internal"));
        (void)mln_txn_enter(rq->txn, before);
        if (mln_failed(err) && !is_forced) {
            return err;
        }
        if (mln_failed(err)) {
            mln_cx_clear(rq->cx);
        }
    }
    return mln_lease_remove(rq->cx, rq->txn, lease);
}

static struct mln_err ask_engine(struct mln_request *rq, const struct mln_value *lease,
                                 struct mln_lease *terms)
{
    struct mln_mount mount = {0};
    struct mln_err err = mount_of(rq, lease, &mount);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && mount.engine == NULL)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "lease not found");
    }
    MLN_TRY(err);
    if (mount.engine->renew == NULL) {
        return MLN_OK;
    }
    struct mln_request inner = inner_of(rq, &mount, lease);
    struct mln_bytes before = mln_txn_enter(rq->txn, inner.ns);
    err = mount.engine->renew(&inner, terms->internal, terms);
    (void)mln_txn_enter(rq->txn, before);
    return err;
}

struct mln_err mln_lease_renew(struct mln_request *rq, struct mln_reply *re,
                               const struct mln_value *lease, int64_t asked_s)
{
    struct mln_cx *cx = rq->cx;
    struct mln_run *run = mln_run_of(rq);
    int64_t left_s = (mln_get_int(mln_get(lease, "max_ns"), 0) - rq->now_ns) / S_NS;
    struct mln_lease terms = {.ttl_s =
                                  asked_s > 0 ? asked_s : mln_get_int(mln_get(lease, "ttl_s"), 0),
                              .is_renewable = true,
                              .internal = mln_get(lease, "internal")};
    MLN_TRY(ask_engine(rq, lease, &terms));
    if (terms.max_ttl_s > 0) {
        int64_t age_s = (rq->now_ns - mln_get_int(mln_get(lease, "created_ns"), 0)) / S_NS;
        left_s = terms.max_ttl_s - age_s < left_s ? terms.max_ttl_s - age_s : left_s;
    }
    int64_t ttl_s = mln_token_ttl_cap(rq, re, terms.ttl_s, left_s > 0 ? left_s : 1);
    struct mln_value *next = mln_value_dup(cx, lease);
    mln_put_int(cx, next, "expires_ns", rq->now_ns + ttl_s * S_NS);
    mln_put_int(cx, next, "renewed_ns", rq->now_ns);
    mln_put_bool(cx, next, "renewable", terms.is_renewable);
    if (!mln_is_null(terms.internal)) {
        mln_put(cx, next, "internal", terms.internal);
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_lease_put(cx, rq->txn, lease, next));
    run->lease_id = text_of(cx, lease, "id");
    run->lease_ttl_s = ttl_s;
    run->lease_renewable = terms.is_renewable;
    return mln_cx_err(cx);
}

/* ---- of a namespace that goes ---- */

struct mln_err mln_lease_space_is_busy(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns,
                                       size_t max, bool *ret)
{
    struct mln_value *ids = mln_array(cx), *jobs = mln_array(cx);
    struct mln_bytes below = mln_bytes_format(cx, MLN_LEASE_PREFIX "ns/%.*s/", MLN_FMT(ns));
    struct mln_bytes job = mln_bytes_format(cx, MLN_LEASE_PREFIX "nsjob/%.*s/", MLN_FMT(ns));
    MLN_TRY(mln_life_keys(core, cx, below, MLN_BYTES_NONE, MLN_BYTES_NONE, max, ids));
    MLN_TRY(mln_life_keys(core, cx, job, MLN_BYTES_NONE, MLN_BYTES_NONE, 1, jobs));
    *ret = mln_len(ids) > 0 || mln_len(jobs) > 0;
    for (size_t i = 0; mln_len(jobs) == 0 && i < mln_len(ids); i++) { /* with jobs they may still be tried */
        const struct mln_value *lease = NULL;
        struct mln_err err = mln_lease_get(cx, txn, mln_get_bytes(mln_item(ids, i)), &lease);
        if (mln_life_is_lost(cx, err)) {
            err = mln_txn_delete(cx, txn, mln_lease_view(), mln_bytes_format(cx, "ns/%.*s/%.*s", MLN_FMT(ns),
                                                                              MLN_FMT(mln_get_bytes(mln_item(ids, i)))));
        } else if (!mln_failed(err) && is_bad(lease)) {
            err = mln_lease_remove(cx, txn, lease);
        }
        MLN_TRY(err);
    }
    return MLN_OK;
}
