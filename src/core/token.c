/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens at rest: made, found, used, revoked, expired. Only an HMAC of a token's id is stored, so that who reads the store cannot
 * use one. Rows in view "root/token/": "id/<name>" the entry, "accessor/<accessor>" its name, "parent/<name>/<child>" the tree,
 * "expiry/<16 hex digits of ns>/<name>" what a tick walks in order.
 */
#include "core/token_priv.h"

#include "base/clock.h"
#include "base/text.h"

#define TOKEN_ID_MAX    512u /* longer texts are no token: bounds the HMAC */
#define TOKEN_TREE_MAX  12000u /* tokens that one revocation takes along: four rows each fit one batch of the store */
#define TOKEN_TREE_DEPTH 64    /* of parents; creation refuses deeper trees */

static struct mln_view token_view(void)
{
    return mln_core_view("root/token/");
}

static const char *name_of(const struct mln_core *core, struct mln_cx *cx, struct mln_bytes id)
{
    uint8_t mac[MLN_SHA256_BYTES];
    mln_hmac_sha256(mln_bytes_at(core->token_key, sizeof(core->token_key)), id, mac);
    return mln_hex_text(cx, mln_bytes_at(mac, sizeof(mac)));
}

static struct mln_bytes key_of(struct mln_cx *cx, const char *kind, const char *name)
{
    return mln_bytes_format(cx, "%s/%s", kind, name);
}

static struct mln_bytes expiry_key(struct mln_cx *cx, int64_t expires_ns, const char *name)
{
    return mln_bytes_format(cx, "expiry/%016llx/%s", (unsigned long long)expires_ns, name);
}

static const char *text_of(struct mln_cx *cx, const struct mln_value *entry, const char *key)
{
    return mln_get_text(cx, mln_get(entry, key), "");
}

/* ---- reading ---- */

struct mln_err mln_token_by_name(struct mln_cx *cx, struct mln_txn *txn, const char *name, const struct mln_value **ret)
{
    return mln_txn_get_value(cx, txn, token_view(), key_of(cx, "id", name), ret);
}

struct mln_err mln_token_by_accessor(struct mln_cx *cx, struct mln_txn *txn, const char *accessor, const struct mln_value **ret)
{
    const struct mln_value *name = NULL;
    if (accessor[0] == 0 || mln_bytes_of(accessor).len > 64) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    MLN_TRY(mln_txn_get_value(cx, txn, token_view(), key_of(cx, "accessor", accessor), &name));
    return mln_token_by_name(cx, txn, mln_get_text(cx, name, ""), ret);
}

bool mln_token_is_live(const struct mln_value *entry, int64_t now_ns)
{
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    return (expires_ns == 0 || now_ns < expires_ns) && mln_get_int(mln_get(entry, "num_uses"), 0) >= 0;
}

struct mln_err mln_token_find(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns, struct mln_bytes token,
                              const struct mln_value **ret_entry)
{
    const struct mln_value *entry = NULL;
    if (token.len == 0 || token.len > TOKEN_ID_MAX) {
        return (struct mln_err){MLN_E_UNAUTHENTIC};
    }
    struct mln_err err = mln_token_by_name(cx, txn, name_of(core, cx, token), &entry);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return (struct mln_err){MLN_E_UNAUTHENTIC};
    }
    MLN_TRY(err);
    if (!mln_token_is_live(entry, now_ns)) {
        return (struct mln_err){MLN_E_UNAUTHENTIC};
    }
    *ret_entry = entry;
    return MLN_OK;
}

void mln_token_actor(struct mln_cx *cx, const struct mln_value *entry, struct mln_actor *ret)
{
    const struct mln_value *policies = mln_get(entry, "policies");
    *ret = (struct mln_actor){
        .kind = MLN_ACTOR_TOKEN,
        .is_root = mln_token_names(policies, "root"),
        .accessor = text_of(cx, entry, "accessor"),
        .display_name = text_of(cx, entry, "display_name"),
        .entity_id = text_of(cx, entry, "entity_id"),
        .entity_name = text_of(cx, entry, "entity_name"),
        .auth_path = text_of(cx, entry, "path"),
        .policies = policies,
        .meta = mln_get(entry, "meta"),
        .token = entry,
    };
}

/* ---- writing ---- */

static struct mln_err put_entry(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    return mln_txn_put_value(cx, txn, token_view(), key_of(cx, "id", text_of(cx, entry, "name")), entry);
}

static const char *new_id(struct mln_cx *cx)
{
    char *id = mln_new(cx, 4 + 24 + 1);
    if (id == NULL) {
        return "";
    }
    mln_copy(id, "hvs.", 4);
    mln_random_base62(id + 4, 24);
    return id;
}

static int64_t seconds_to(const struct mln_token_spec *spec)
{
    int64_t ttl_s = spec->ttl_s;
    if (spec->explicit_max_ttl_s > 0 && (ttl_s == 0 || ttl_s > spec->explicit_max_ttl_s)) {
        ttl_s = spec->explicit_max_ttl_s;
    }
    return ttl_s;
}

static void fill_times(struct mln_cx *cx, struct mln_value *entry, int64_t now_ns, const struct mln_token_spec *spec)
{
    int64_t ttl_s = seconds_to(spec);
    mln_put_int(cx, entry, "created_ns", now_ns);
    mln_put_int(cx, entry, "expires_ns", ttl_s > 0 ? now_ns + ttl_s * 1000000000 : 0);
    mln_put_int(cx, entry, "ttl_s", ttl_s);
    mln_put_int(cx, entry, "max_ttl_s", spec->max_ttl_s);
    mln_put_int(cx, entry, "explicit_max_ttl_s", spec->explicit_max_ttl_s);
    mln_put_int(cx, entry, "period_s", spec->period_s);
    mln_put_int(cx, entry, "num_uses", spec->num_uses);
    mln_put_bool(cx, entry, "renewable", spec->is_renewable);
}

static struct mln_value *make_entry(struct mln_cx *cx, const char *name, int64_t now_ns, const struct mln_token_spec *spec)
{
    struct mln_value *entry = mln_object(cx);
    char *accessor = mln_new(cx, 25);
    if (accessor == NULL) {
        return entry;
    }
    mln_random_base62(accessor, 24);
    mln_put_text(cx, entry, "name", name);
    mln_put_text(cx, entry, "accessor", accessor);
    mln_put(cx, entry, "policies", spec->policies);
    mln_put_text(cx, entry, "display_name", spec->display_name != NULL ? spec->display_name : "token");
    mln_put_text(cx, entry, "entity_id", spec->entity_id != NULL ? spec->entity_id : "");
    mln_put_text(cx, entry, "entity_name", spec->entity_name != NULL ? spec->entity_name : "");
    mln_put_text(cx, entry, "path", spec->path != NULL ? spec->path : "");
    mln_put(cx, entry, "meta", spec->meta != NULL ? spec->meta : mln_null(cx));
    fill_times(cx, entry, now_ns, spec);
    mln_put_bool(cx, entry, "orphan", spec->parent == NULL);
    mln_put_text(cx, entry, "parent", text_of(cx, spec->parent, "name"));
    mln_put_int(cx, entry, "depth", spec->parent == NULL ? 0 : 1 + mln_get_int(mln_get(spec->parent, "depth"), 0));
    mln_put_text(cx, entry, "type", "service");
    mln_put_bool(cx, entry, "root_child",
                 spec->parent != NULL && (mln_token_names(mln_get(spec->parent, "policies"), "root") ||
                                          mln_get_bool(mln_get(spec->parent, "root_child"), false)));
    mln_put_text(cx, entry, "auth_mount", spec->auth_mount != NULL ? spec->auth_mount : "auth/token/");
    return entry;
}

static struct mln_err put_new(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    struct mln_view view = token_view();
    const char *name = text_of(cx, entry, "name"), *parent = text_of(cx, entry, "parent");
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    MLN_TRY(put_entry(cx, txn, entry));
    MLN_TRY(mln_txn_put_value(cx, txn, view, key_of(cx, "accessor", text_of(cx, entry, "accessor")), mln_text(cx, name)));
    if (parent[0] != 0) {
        MLN_TRY(mln_txn_put(cx, txn, view, mln_bytes_format(cx, "parent/%s/%s", parent, name), MLN_BYTES_NONE));
    }
    if (expires_ns != 0) {
        MLN_TRY(mln_txn_put(cx, txn, view, expiry_key(cx, expires_ns, name), MLN_BYTES_NONE));
    }
    return MLN_OK;
}

const struct mln_value *mln_token_auth(struct mln_cx *cx, const struct mln_value *entry, struct mln_bytes id)
{
    struct mln_value *auth = mln_object(cx);
    const struct mln_value *meta = mln_get(entry, "meta");
    mln_put(cx, auth, "client_token", mln_secret_string(cx, id));
    mln_put(cx, auth, "accessor", mln_get(entry, "accessor"));
    mln_put(cx, auth, "policies", mln_get(entry, "policies"));
    mln_put(cx, auth, "token_policies", mln_get(entry, "policies"));
    mln_put(cx, auth, "metadata", mln_is_null(meta) ? mln_null(cx) : meta);
    mln_put(cx, auth, "lease_duration", mln_get(entry, "ttl_s"));
    mln_put(cx, auth, "renewable", mln_get(entry, "renewable"));
    mln_put(cx, auth, "entity_id", mln_get(entry, "entity_id"));
    mln_put(cx, auth, "token_type", mln_get(entry, "type"));
    mln_put(cx, auth, "orphan", mln_get(entry, "orphan"));
    mln_put_null(cx, auth, "mfa_requirement");
    mln_put(cx, auth, "num_uses", mln_get(entry, "num_uses"));
    return auth;
}

static struct mln_err check_new(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_token_spec *spec,
                                const char *id)
{
    struct mln_bytes bytes = mln_bytes_of(id);
    const struct mln_value *other = NULL;
    if (spec->parent != NULL && mln_get_int(mln_get(spec->parent, "depth"), 0) >= TOKEN_TREE_DEPTH) {
        return mln_fail(cx, MLN_E_LIMIT, "tokens made by tokens end at %d generations: log in again", TOKEN_TREE_DEPTH);
    }
    if (spec->id == NULL) {
        return mln_cx_err(cx);
    }
    if (bytes.len == 0 || bytes.len > TOKEN_ID_MAX || mln_bytes_find(bytes, '.') == 1) {
        return mln_fail(cx, MLN_E_INVALID, "a token id has 1 to %u characters and no \".\" as its second", TOKEN_ID_MAX);
    }
    struct mln_err err = mln_token_by_name(cx, txn, name_of(core, cx, bytes), &other);
    if (!mln_failed(err)) {
        return mln_fail(cx, MLN_E_EXISTS, "cannot create a token with a duplicate ID");
    }
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

struct mln_err mln_token_create(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns,
                                const struct mln_token_spec *spec, const struct mln_value **ret_auth, const struct mln_value **ret_entry)
{
    const char *id = spec->id != NULL ? spec->id : new_id(cx);
    MLN_TRY(check_new(core, cx, txn, spec, id));
    struct mln_value *entry = make_entry(cx, name_of(core, cx, mln_bytes_of(id)), now_ns, spec);
    const struct mln_value *auth = mln_token_auth(cx, entry, mln_bytes_of(id));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(put_new(cx, txn, entry));
    *ret_auth = auth;
    if (ret_entry != NULL) {
        *ret_entry = entry;
    }
    return MLN_OK;
}

/* Put a changed entry, moving its row of expiry. */
struct mln_err mln_token_replace(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old, const struct mln_value *entry)
{
    const char *name = text_of(cx, entry, "name");
    int64_t before = mln_get_int(mln_get(old, "expires_ns"), 0), after = mln_get_int(mln_get(entry, "expires_ns"), 0);
    if (before != after && before != 0) {
        MLN_TRY(mln_txn_delete(cx, txn, token_view(), expiry_key(cx, before, name)));
    }
    if (before != after && after != 0) {
        MLN_TRY(mln_txn_put(cx, txn, token_view(), expiry_key(cx, after, name), MLN_BYTES_NONE));
    }
    return put_entry(cx, txn, entry);
}

struct mln_err mln_token_use(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    int64_t uses = mln_get_int(mln_get(entry, "num_uses"), 0);
    if (uses == 0) {
        return MLN_OK;
    }
    if (uses == 1) {
        return mln_token_revoke(core, cx, txn, entry);
    }
    struct mln_value *less = mln_value_dup(cx, entry);
    mln_put_int(cx, less, "num_uses", uses - 1);
    MLN_TRY(mln_cx_err(cx));
    return put_entry(cx, txn, less);
}

struct mln_err mln_token_accessors(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret)
{
    return mln_txn_list(cx, txn, token_view(), MLN_BYTES("accessor/"), ret);
}

/* ---- revoking ---- */

static struct mln_err remove_rows(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    struct mln_view view = token_view();
    const char *name = text_of(cx, entry, "name"), *parent = text_of(cx, entry, "parent");
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    MLN_TRY(mln_txn_delete(cx, txn, view, key_of(cx, "id", name)));
    MLN_TRY(mln_txn_delete(cx, txn, view, key_of(cx, "accessor", text_of(cx, entry, "accessor"))));
    if (parent[0] != 0) {
        MLN_TRY(mln_txn_delete(cx, txn, view, mln_bytes_format(cx, "parent/%s/%s", parent, name)));
    }
    return expires_ns == 0 ? MLN_OK : mln_txn_delete(cx, txn, view, expiry_key(cx, expires_ns, name));
}

static struct mln_err children_of(struct mln_cx *cx, struct mln_txn *txn, const char *name, const struct mln_value **ret)
{
    *ret = NULL;
    struct mln_err err = mln_txn_list(cx, txn, token_view(), mln_bytes_format(cx, "parent/%s/", name), ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

struct mln_err mln_token_orphan_children(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    const struct mln_value *names = NULL, *child = NULL;
    const char *parent = text_of(cx, entry, "name");
    MLN_TRY(children_of(cx, txn, parent, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        MLN_TRY(mln_txn_delete(cx, txn, token_view(), mln_bytes_format(cx, "parent/%s/%s", parent, name)));
        struct mln_err err = mln_token_by_name(cx, txn, name, &child);
        if (mln_failed(err)) {
            if (mln_is(err, MLN_E_NOT_FOUND)) {
                continue;
            }
            return err;
        }
        struct mln_value *freed = mln_value_dup(cx, child);
        mln_put_bool(cx, freed, "orphan", true);
        mln_put_text(cx, freed, "parent", "");
        MLN_TRY(put_entry(cx, txn, freed));
    }
    return MLN_OK;
}

struct mln_err mln_token_remove(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    return remove_rows(cx, txn, entry);
}

struct mln_err mln_token_revoke(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    (void)core;
    struct mln_value *waiting = mln_array(cx);
    mln_push(cx, waiting, entry);
    mln_txn_mark_relief(txn);
    for (size_t i = 0; i < mln_len(waiting); i++) {
        const struct mln_value *names = NULL, *child = NULL, *at = mln_item(waiting, i);
        MLN_TRY(children_of(cx, txn, text_of(cx, at, "name"), &names));
        if (mln_len(waiting) + mln_len(names) > TOKEN_TREE_MAX) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "more than %u tokens below this one: revoke its children first", TOKEN_TREE_MAX);
        }
        MLN_TRY(remove_rows(cx, txn, at));
        for (size_t k = 0; k < mln_len(names); k++) {
            struct mln_err err = mln_token_by_name(cx, txn, mln_get_text(cx, mln_item(names, k), ""), &child);
            if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
                return err;
            }
            if (!mln_failed(err)) {
                mln_push(cx, waiting, child);
            }
        }
    }
    return mln_cx_err(cx);
}

/* ---- expiry ---- */

/* Names of what is due, from the clear keys of the expiry rows. */
static struct mln_err due_names(struct mln_core *core, struct mln_cx *cx, int64_t now_ns, size_t max, struct mln_value *ret)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes prefix = MLN_BYTES("root/token/expiry/"), after = MLN_BYTES_NONE, key;
    MLN_TRY(mln_snap_begin(cx, core->store, &snap));
    while (mln_len(ret) < max) {
        struct mln_err err = mln_snap_next(cx, snap, prefix, after, &key, NULL);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return MLN_OK;
        }
        MLN_TRY(err);
        after = mln_bytes_dup(cx, key);
        struct mln_bytes name, when = mln_bytes_cut(mln_bytes_from(after, prefix.len), '/', &name);
        struct mln_bytes limit = mln_bytes_format(cx, "%016llx", (unsigned long long)now_ns);
        if (mln_bytes_cmp(when, limit) > 0) {
            return MLN_OK;
        }
        mln_push(cx, ret, mln_string(cx, name));
        MLN_TRY(mln_cx_err(cx));
    }
    return MLN_OK;
}

static struct mln_err expire_one(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn, int64_t now_ns, const char *name,
                                 struct mln_value *accessors)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = mln_token_by_name(cx, txn, name, &entry);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    }
    if (mln_token_is_live(entry, now_ns)) {
        return MLN_OK;
    }
    mln_push(cx, accessors, mln_get(entry, "accessor"));
    return mln_token_revoke(core, cx, txn, entry);
}

struct mln_err mln_token_expire(struct mln_core *core, struct mln_cx *cx, int64_t now_ns, size_t max)
{
    struct mln_value *names = mln_array(cx), *accessors = mln_array(cx), *detail = mln_object(cx);
    MLN_TRY(due_names(core, cx, now_ns, max, names));
    if (mln_len(names) == 0) {
        return mln_cx_err(cx);
    }
    struct mln_txn *txn = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < mln_len(names) && !mln_failed(err); i++) {
        err = expire_one(core, cx, txn, now_ns, mln_get_text(cx, mln_item(names, i), ""), accessors);
    }
    mln_put(cx, detail, "accessors", accessors);
    err = mln_failed(err) ? err : mln_cx_err(cx);
    err = mln_failed(err) ? err : mln_core_commit(core, cx, txn, "expire tokens", detail);
    mln_txn_end(txn);
    return err;
}
