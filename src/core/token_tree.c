/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How tokens die: revoked, expired, with all that hangs on them. Revoking deletes the token's own rows and, when it has children,
 * leases or rows of a cubbyhole, leaves "gone/<name>" ("tree" or "orphan") in the same batch. From then on nothing below it is live
 * (mln_token_has_line); a tick deletes it in batches, and goes on after a crash where it was.
 */
#include "core/lease_priv.h"

#include "base/clock.h"

#define SWEEP_ROWS       256u /* of one batch: a few milliseconds of the committer */
#define LOOK_ARENA_BYTES (192u << 20) /* entries with much metadata */

/* ---- what hangs on a token ---- */

static struct mln_bytes children_prefix(struct mln_cx *cx, const char *name)
{
    return mln_bytes_format(cx, "root/token/parent/%s/", name);
}

/* Of the mount of type "cubbyhole" in the token's namespace; empty when there is none. */
static struct mln_bytes cubby_prefix(struct mln_core *core, struct mln_cx *cx, const char *name)
{
    MLN_AUTO(mln_mounts_release_drop) struct mln_mount_table *table = NULL;
    struct mln_bytes ns = mln_token_name_ns(mln_bytes_of(name));
    if (mln_failed(mln_mounts_hold_of(cx, core, ns, &table))) {
        return MLN_BYTES_NONE; /* on cx */
    }
    for (size_t i = 0; table != NULL && i < table->n; i++) {
        if (mln_bytes_is(mln_bytes_of(table->mounts[i].type), "cubbyhole")) {
            return mln_bytes_format(cx, "%.*s%s/", MLN_FMT(table->mounts[i].view.prefix), name);
        }
    }
    return MLN_BYTES_NONE;
}

static struct mln_err has_any(struct mln_core *core, struct mln_cx *cx, const char *name, bool *ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    const struct mln_bytes prefixes[] = {children_prefix(cx, name),
                                         mln_bytes_format(cx, "root/lease/token/%s/", name),
                                         cubby_prefix(core, cx, name)};
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_snap_begin(cx, core->store, &snap));
    for (size_t i = 0; i < MLN_COUNT(prefixes) && !*ret; i++) {
        struct mln_bytes key;
        struct mln_err err = prefixes[i].len == 0
                                 ? (struct mln_err){MLN_E_NOT_FOUND}
                                 : mln_snap_next(cx, snap, prefixes[i], MLN_BYTES_NONE, &key, NULL);
        *ret = !mln_failed(err);
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    return MLN_OK;
}

static struct mln_err mark(struct mln_cx *cx, struct mln_txn *txn, const char *name,
                           const char *kind)
{
    return mln_txn_put(cx, txn, mln_token_view(), mln_token_key(cx, "gone", name),
                       mln_bytes_of(kind));
}

static struct mln_err die(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                          const struct mln_value *entry, const char *kind)
{
    const char *name = mln_get_text(cx, mln_get(entry, "name"), "");
    bool is_parent = false;
    if (mln_token_is_batch(entry)) {
        return mln_fail(cx, MLN_E_INVALID, "batch tokens cannot be revoked");
    }
    mln_txn_mark_relief(txn);
    MLN_TRY(has_any(core, cx, name, &is_parent));
    MLN_TRY(mln_token_remove_rows(cx, txn, entry));
    return is_parent ? mark(cx, txn, name, kind) : MLN_OK;
}

struct mln_err mln_token_revoke(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *entry)
{
    return die(core, cx, txn, entry, "tree");
}

struct mln_err mln_token_revoke_orphan(struct mln_core *core, struct mln_cx *cx,
                                       struct mln_txn *txn, const struct mln_value *entry)
{
    return die(core, cx, txn, entry, "orphan");
}

/* ---- sweeping ---- */

struct sweep {
    struct mln_core *core;
    struct mln_cx *cx;
    struct mln_txn *txn;
    const char *name; /* of the dead parent */
    bool is_orphan;
    struct mln_bytes ns; /* only tokens of this one are looked at */
};

static struct mln_err free_child(struct sweep *s, const struct mln_value *child)
{
    struct mln_value *freed = mln_value_dup(s->cx, child);
    mln_put_bool(s->cx, freed, "orphan", true);
    mln_put_text(s->cx, freed, "parent", "");
    MLN_TRY(mln_cx_err(s->cx));
    return mln_token_put_entry(s->cx, s->txn, freed);
}

static struct mln_err sweep_child(struct sweep *s, const char *name)
{
    const struct mln_value *child = NULL;
    struct mln_bytes link = mln_bytes_format(s->cx, "parent/%s/%s", s->name, name);
    MLN_TRY(mln_txn_delete(s->cx, s->txn, mln_token_view(), link));
    struct mln_err err = mln_token_by_name(s->cx, s->txn, name, &child);
    if (mln_life_is_lost(s->cx, err)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    return s->is_orphan ? free_child(s, child) : mln_token_revoke(s->core, s->cx, s->txn, child);
}

/* Children first, then leases, then the cubbyhole; *ret_n: how many rows were met, 0 = nothing is left. */
static struct mln_err sweep_below(struct sweep *s, size_t *ret_n)
{
    struct mln_value *children = mln_array(s->cx), *rows = mln_array(s->cx);
    MLN_TRY(mln_life_keys(s->core, s->cx, children_prefix(s->cx, s->name), MLN_BYTES_NONE,
                          MLN_BYTES_NONE, SWEEP_ROWS, children));
    *ret_n = mln_len(children);
    for (size_t i = 0; i < mln_len(children); i++) {
        MLN_TRY(sweep_child(s, mln_get_text(s->cx, mln_item(children, i), "")));
    }
    if (*ret_n > 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_lease_token_gone(s->core, s->cx, s->txn, s->name, SWEEP_ROWS, ret_n));
    struct mln_bytes cubby = cubby_prefix(s->core, s->cx, s->name);
    if (*ret_n > 0 || cubby.len == 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_life_keys(s->core, s->cx, cubby, MLN_BYTES_NONE, MLN_BYTES_NONE, SWEEP_ROWS, rows));
    *ret_n = mln_len(rows);
    for (size_t i = 0; i < mln_len(rows); i++) {
        struct mln_view view = {.ns = mln_token_name_ns(mln_bytes_of(s->name)), .prefix = cubby};
        MLN_TRY(mln_txn_delete(s->cx, s->txn, view, mln_get_bytes(mln_item(rows, i))));
    }
    return MLN_OK;
}

static struct mln_err sweep_one(struct sweep *s)
{
    struct mln_bytes kind = MLN_BYTES_NONE;
    struct mln_value *detail = mln_object(s->cx);
    size_t n = 0;
    MLN_TRY(
        mln_txn_get(s->cx, s->txn, mln_token_view(), mln_token_key(s->cx, "gone", s->name), &kind));
    s->is_orphan = mln_bytes_is(kind, "orphan");
    MLN_TRY(sweep_below(s, &n));
    if (n == 0) {
        MLN_TRY(
            mln_txn_delete(s->cx, s->txn, mln_token_view(), mln_token_key(s->cx, "gone", s->name)));
    }
    mln_put_text(s->cx, detail, "accessor", s->name);
    mln_txn_mark_relief(s->txn);
    return mln_core_commit(s->core, s->cx, s->txn, "sweep below a revoked token", detail);
}

struct mln_err mln_token_sweep(struct mln_core *core, struct mln_cx *cx, bool *ret_more)
{
    struct mln_value *gone = mln_array(cx);
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    *ret_more = false;
    MLN_TRY(mln_life_keys(core, cx, MLN_BYTES("root/token/gone/"), MLN_BYTES_NONE, MLN_BYTES_NONE,
                          1, gone));
    if (mln_len(gone) == 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    struct sweep s = {
        .core = core, .cx = cx, .txn = txn, .name = mln_get_text(cx, mln_item(gone, 0), "")};
    *ret_more = true;
    return sweep_one(&s);
}

/* ---- what tokens made ---- */

static bool is_made_below(struct mln_cx *cx, const struct mln_value *entry, struct mln_bytes prefix)
{
    struct mln_bytes path = mln_get_bytes(mln_get(entry, "path"));
    bool may_be = mln_get(entry, "auth_uuid") == NULL && mln_get_int(mln_get(entry, "expires_ns"), 0) != 0;
    return may_be && mln_bytes_starts(mln_bytes_format(cx, "%.*s/", MLN_FMT(path)), prefix);
}

/* In a context of its own: so many entries would fill the request's memory. */
static struct mln_err look(struct sweep *s, struct mln_bytes prefix, const struct mln_value *rows,
                           struct mln_cx *outer, struct mln_value *names)
{
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *entry = NULL;
        struct mln_bytes name = mln_get_bytes(mln_item(rows, i));
        if (!mln_bytes_eq(mln_token_name_ns(name), s->ns)) {
            continue;
        }
        struct mln_err err = mln_token_by_name(s->cx, s->txn, mln_text_dup(s->cx, name), &entry);
        if (mln_life_is_lost(s->cx, err)) {
            continue;
        }
        MLN_TRY(err);
        if (is_made_below(s->cx, entry, prefix)) {
            mln_push(outer, names, mln_string(outer, mln_bytes_dup(outer, name)));
        }
    }
    return mln_cx_err(s->cx);
}

struct mln_err mln_token_made_below(struct mln_request *rq, struct mln_bytes prefix, struct mln_bytes *after,
                                    struct mln_value *names, bool *ret_all)
{
    struct mln_core *core = mln_core_of(rq);
    struct mln_cx *cx = rq->cx;
    const struct mln_bytes ids = MLN_BYTES("root/token/id/");
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(LOOK_ARENA_BYTES, false);
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    struct mln_cx inner;
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to look through tokens");
    }
    mln_cx_init(&inner, arena);
    struct mln_value *rows = mln_array(&inner);
    struct mln_bytes from =
        after->len > 0 ? mln_bytes_format(&inner, "%.*s%.*s", MLN_FMT(ids), MLN_FMT(*after)) : MLN_BYTES_NONE;
    struct mln_err err = mln_txn_begin(&inner, core->store, core->barrier, &txn);
    err = mln_failed(err) ? err : mln_life_keys(core, &inner, ids, from, MLN_BYTES_NONE, MLN_TOKEN_LOOK_ROWS, rows);
    struct sweep s = {.core = core, .cx = &inner, .txn = txn, .ns = rq->ns};
    err = mln_failed(err) ? err : look(&s, prefix, rows, cx, names);
    if (mln_failed(err)) {
        return mln_fail(cx, err.code, "looking through tokens failed: %s", inner.text);
    }
    *ret_all = mln_len(rows) < MLN_TOKEN_LOOK_ROWS;
    if (mln_len(rows) > 0) {
        *after = mln_bytes_dup(cx, mln_get_bytes(mln_item(rows, mln_len(rows) - 1)));
    }
    return mln_cx_err(cx);
}

/* ---- expiry ---- */

static struct mln_err expire_one(struct sweep *s, int64_t now_ns, struct mln_bytes row,
                                 struct mln_value *accessors)
{
    const struct mln_value *entry = NULL;
    struct mln_bytes name;
    (void)mln_bytes_cut(row, '/', &name);
    struct mln_err err = mln_token_by_name(s->cx, s->txn, mln_text_dup(s->cx, name), &entry);
    bool is_lost = mln_life_is_lost(s->cx, err);
    if (!is_lost) {
        MLN_TRY(err);
    }
    if (is_lost ||
        mln_token_is_live(entry, now_ns)) { /* or renewed: only this row is left, if that */
        return mln_txn_delete(s->cx, s->txn, mln_token_view(),
                              mln_bytes_format(s->cx, "expiry/%.*s", MLN_FMT(row)));
    }
    mln_push(s->cx, accessors, mln_get(entry, "accessor"));
    return mln_token_revoke(s->core, s->cx, s->txn, entry);
}

struct mln_err mln_token_expire(struct mln_core *core, struct mln_cx *cx, int64_t now_ns,
                                size_t max, size_t *ret_n)
{
    struct mln_value *rows = mln_array(cx), *accessors = mln_array(cx), *detail = mln_object(cx);
    struct mln_bytes until =
        mln_bytes_format(cx, "%016llx0", (unsigned long long)now_ns); /* '0' follows '/' */
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    *ret_n = 0;
    MLN_TRY(
        mln_life_keys(core, cx, MLN_BYTES("root/token/expiry/"), MLN_BYTES_NONE, until, max, rows));
    if (mln_len(rows) == 0) {
        return mln_cx_err(cx);
    }
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    struct sweep s = {.core = core, .cx = cx, .txn = txn};
    for (size_t i = 0; i < mln_len(rows); i++) {
        MLN_TRY(expire_one(&s, now_ns, mln_get_bytes(mln_item(rows, i)), accessors));
    }
    mln_put(cx, detail, "accessors", accessors);
    MLN_TRY(mln_core_commit(core, cx, txn, "expire tokens", detail));
    *ret_n = mln_len(rows);
    return MLN_OK;
}
