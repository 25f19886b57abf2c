/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens at rest: made, found, used. Only an HMAC of a token's id is stored, so that who reads the store cannot use one. Rows are
 * listed in core_priv.h; how trees of tokens die is in token_tree.c.
 */
#include "core/token_priv.h"

#include "base/clock.h"
#include "base/text.h"

#define TOKEN_ID_MAX 512u /* longer texts are no service token: bounds the HMAC */
#define TOKEN_TREE_DEPTH                                                                           \
    64 /* of parents; creation refuses deeper trees, so that the way up is short */

/*
 * 24 characters of base62 from 192 bits of the MAC: 142 bits of it, uniform but for 2^-16; and ".<namespace>", as the id has it.
 */
static const char *name_in(const struct mln_core *core, struct mln_cx *cx, struct mln_bytes ns, struct mln_bytes id)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t mac[MLN_SHA256_BYTES];
    char *name = mln_new(cx, MLN_TOKEN_NAME_LEN + 1);
    mln_hmac_by(&core->token_key, id, mac);
    for (size_t i = 0; name != NULL && i < 3; i++) {
        uint64_t v = mln_get_u64be(mac + 8 * i);
        for (size_t k = 0; k < 8; k++) {
            name[8 * i + k] = digits[v % 62];
            v /= 62;
        }
    }
    bool is_root = mln_bytes_eq(ns, MLN_NS_ROOT);
    return name == NULL ? "" : is_root ? name : mln_text_format(cx, "%s.%.*s", name, MLN_FMT(ns));
}

/* The name of an id as a client sent it. */
static const char *name_of(struct mln_core *core, struct mln_cx *cx, struct mln_bytes id)
{
    MLN_AUTO(mln_spaces_release_drop) struct mln_spaces *spaces = mln_spaces_hold(core);
    return name_in(core, cx, mln_space_of_id(spaces, id), id);
}

struct mln_bytes mln_token_ns(const struct mln_value *entry)
{
    struct mln_bytes ns = mln_get_bytes(mln_get(entry, "ns"));
    return ns.len > 0 ? ns : MLN_NS_ROOT;
}

struct mln_bytes mln_token_key(struct mln_cx *cx, const char *kind, const char *name)
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

bool mln_token_is_batch(const struct mln_value *entry)
{
    return mln_is_text(mln_get(entry, "type"), "batch");
}

bool mln_token_is_wrap(const struct mln_value *entry)
{
    return mln_get_bool(mln_get(entry, "wraps"), false);
}

/* ---- reading ---- */

struct mln_err mln_token_by_name(struct mln_cx *cx, struct mln_txn *txn, const char *name,
                                 const struct mln_value **ret)
{
    return mln_txn_get_value(cx, txn, mln_token_entry_view(mln_bytes_of(name)), mln_token_key(cx, "id", name), ret);
}

struct mln_err mln_token_by_accessor(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                     const struct mln_value **ret)
{
    struct mln_bytes name = mln_bytes_of(accessor);
    bool has_ns = name.len == MLN_TOKEN_NAME_LEN + 1 + MLN_NSID_LEN && name.ptr[MLN_TOKEN_NAME_LEN] == '.';
    if (name.len != MLN_TOKEN_NAME_LEN && !has_ns) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return mln_token_by_name(cx, txn, accessor, ret);
}

bool mln_token_is_live(const struct mln_value *entry, int64_t now_ns)
{
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    return (expires_ns == 0 || now_ns < expires_ns) &&
           mln_get_int(mln_get(entry, "num_uses"), 0) >= 0;
}

/* Its row is gone: was it revoked alone, so that its children live on? */
static struct mln_err was_freed(struct mln_cx *cx, struct mln_txn *txn, const char *parent,
                                bool *ret)
{
    struct mln_bytes kind = MLN_BYTES_NONE;
    struct mln_err err =
        mln_txn_get(cx, txn, mln_token_view(), mln_token_key(cx, "gone", parent), &kind);
    *ret = !mln_failed(err) && mln_bytes_is(kind, "orphan");
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

struct mln_err mln_token_is_orphan(struct mln_cx *cx, struct mln_txn *txn,
                                   const struct mln_value *entry, bool *ret)
{
    const char *parent = text_of(cx, entry, "parent");
    const struct mln_value *found = NULL;
    bool is_freed = false;
    if (parent[0] != 0) {
        struct mln_err err = mln_token_by_name(cx, txn, parent, &found);
        MLN_TRY(mln_is(err, MLN_E_NOT_FOUND) ? was_freed(cx, txn, parent, &is_freed) : err);
    }
    *ret = is_freed || mln_get_bool(mln_get(entry, "orphan"), false);
    return mln_cx_err(cx);
}

struct mln_err mln_token_has_line(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_value *entry, int64_t now_ns)
{
    const struct mln_value *at = entry;
    for (unsigned depth = 0; depth <= TOKEN_TREE_DEPTH; depth++) {
        const char *parent = text_of(cx, at, "parent");
        bool is_freed = false;
        if (parent[0] == 0) {
            return mln_cx_err(cx);
        }
        struct mln_err err = mln_token_by_name(cx, txn, parent, &at);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            MLN_TRY(was_freed(cx, txn, parent, &is_freed));
            return is_freed ? MLN_OK : (struct mln_err){MLN_E_UNAUTHENTIC};
        }
        MLN_TRY(err);
        if (!mln_token_is_live(at, now_ns)) {
            return (struct mln_err){MLN_E_UNAUTHENTIC};
        }
    }
    return (struct mln_err){MLN_E_UNAUTHENTIC};
}

struct mln_err mln_token_find(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                              int64_t now_ns, struct mln_bytes token,
                              const struct mln_value **ret_entry)
{
    const struct mln_value *entry = NULL;
    int64_t life_ns = mln_life_ns(core, now_ns);
    struct mln_err err = {MLN_E_NOT_FOUND};
    if (mln_token_looks_batch(token)) {
        MLN_TRY(mln_token_batch_open(core, cx, token, &entry));
        err = MLN_OK;
    } else if (token.len > 0 && token.len <= TOKEN_ID_MAX) {
        err = mln_token_by_name(cx, txn, name_of(core, cx, token), &entry);
    }
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return (struct mln_err){MLN_E_UNAUTHENTIC};
    }
    MLN_TRY(err);
    if (!mln_token_is_live(entry, life_ns)) {
        return (struct mln_err){MLN_E_UNAUTHENTIC};
    }
    MLN_TRY(mln_token_has_line(cx, txn, entry, life_ns));
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

struct mln_err mln_token_accessors(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes ns,
                                   const struct mln_value **ret)
{
    const struct mln_value *all = NULL;
    struct mln_value *own = mln_array(cx);
    if (!mln_bytes_eq(ns, MLN_NS_ROOT)) {
        return mln_txn_list(cx, txn, mln_token_view(), mln_bytes_format(cx, "ns/%.*s/", MLN_FMT(ns)), ret);
    }
    MLN_TRY(mln_txn_list(cx, txn, mln_token_view(), MLN_BYTES("id/"), &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        if (mln_get_bytes(mln_item(all, i)).len == MLN_TOKEN_NAME_LEN) {
            mln_push(cx, own, mln_item(all, i));
        }
    }
    *ret = own;
    return mln_cx_err(cx);
}

/* ---- a new entry ---- */

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

/* The id of a token in this namespace: "<given or random>", and ".<namespace>" but for the root. */
static struct mln_bytes id_in(struct mln_cx *cx, struct mln_bytes ns, const char *given)
{
    struct mln_bytes id = mln_bytes_of(given != NULL ? given : new_id(cx));
    return mln_bytes_eq(ns, MLN_NS_ROOT) ? id : mln_bytes_format(cx, "%.*s.%.*s", MLN_FMT(id), MLN_FMT(ns));
}

static void fill_times(struct mln_cx *cx, struct mln_value *entry, int64_t now_ns,
                       const struct mln_token_spec *spec)
{
    int64_t ttl_s = spec->ttl_s;
    if (spec->explicit_max_ttl_s > 0 && (ttl_s == 0 || ttl_s > spec->explicit_max_ttl_s)) {
        ttl_s = spec->explicit_max_ttl_s;
    }
    mln_put_int(cx, entry, "created_ns", now_ns);
    mln_put_int(cx, entry, "expires_ns", ttl_s > 0 ? now_ns + ttl_s * 1000000000 : 0);
    mln_put_int(cx, entry, "ttl_s", ttl_s);
    mln_put_int(cx, entry, "max_ttl_s", spec->max_ttl_s);
    mln_put_int(cx, entry, "explicit_max_ttl_s", spec->explicit_max_ttl_s);
    mln_put_int(cx, entry, "period_s", spec->period_s);
    mln_put_int(cx, entry, "num_uses", spec->num_uses);
    mln_put_bool(cx, entry, "renewable", spec->is_renewable && !spec->is_batch);
}

/* Members that most tokens lack are left out. */
static void fill_rare(struct mln_cx *cx, struct mln_value *entry, const struct mln_token_spec *spec)
{
    if (spec->role != NULL) {
        mln_put_text(cx, entry, "role", spec->role);
    }
    if (spec->auth_uuid != NULL) {
        mln_put_text(cx, entry, "auth_uuid", spec->auth_uuid);
    }
    if (mln_len(spec->bound_cidrs) > 0) {
        mln_put(cx, entry, "bound_cidrs", spec->bound_cidrs);
    }
    if (!mln_is_null(spec->internal)) {
        mln_put(cx, entry, "internal", spec->internal);
    }
    if (spec->is_wrap) {
        mln_put_bool(cx, entry, "wraps", true);
    }
}

static void fill_parent(struct mln_cx *cx, struct mln_value *entry,
                        const struct mln_token_spec *spec)
{
    const struct mln_value *parent = spec->parent;
    mln_put_bool(cx, entry, "orphan", parent == NULL);
    mln_put_text(cx, entry, "parent", text_of(cx, parent, "name"));
    mln_put_int(cx, entry, "depth",
                parent == NULL ? 0 : 1 + mln_get_int(mln_get(parent, "depth"), 0));
    mln_put_bool(cx, entry, "root_child", spec->is_of_root);
    if (spec->is_in_name) {
        mln_put_bool(cx, entry, "in_name", true);
    }
}

static struct mln_value *make_entry(struct mln_cx *cx, struct mln_bytes ns, const char *name, int64_t now_ns,
                                    const struct mln_token_spec *spec)
{
    struct mln_value *entry = mln_object(cx);
    if (!mln_bytes_eq(ns, MLN_NS_ROOT)) {
        mln_put_bytes(cx, entry, "ns", ns);
    }
    mln_put_text(cx, entry, "name", name);
    mln_put_text(cx, entry, "accessor", name);
    mln_put(cx, entry, "policies", spec->policies);
    mln_put_text(cx, entry, "display_name",
                 spec->display_name != NULL ? spec->display_name : "token");
    mln_put_text(cx, entry, "entity_id", spec->entity_id != NULL ? spec->entity_id : "");
    mln_put_text(cx, entry, "entity_name", spec->entity_name != NULL ? spec->entity_name : "");
    mln_put_text(cx, entry, "path", spec->path != NULL ? spec->path : "");
    mln_put(cx, entry, "meta", spec->meta != NULL ? spec->meta : mln_null(cx));
    fill_times(cx, entry, now_ns, spec);
    fill_parent(cx, entry, spec);
    mln_put_text(cx, entry, "type", spec->is_batch ? "batch" : "service");
    mln_put_text(cx, entry, "auth_mount",
                 spec->auth_mount != NULL ? spec->auth_mount : "auth/token/");
    fill_rare(cx, entry, spec);
    return entry;
}

const struct mln_value *mln_token_auth(struct mln_cx *cx, const struct mln_value *entry,
                                       struct mln_bytes id)
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

/* ---- writing ---- */

struct mln_err mln_token_put_entry(struct mln_cx *cx, struct mln_txn *txn,
                                   const struct mln_value *entry)
{
    const char *name = text_of(cx, entry, "name");
    return mln_txn_put_value(cx, txn, mln_token_entry_view(mln_bytes_of(name)), mln_token_key(cx, "id", name),
                             entry);
}

/* The row by which a login's token is found below its mount; "" for tokens that tokens made. */
static struct mln_bytes path_key(struct mln_cx *cx, const struct mln_value *entry)
{
    bool is_login = mln_get(entry, "auth_uuid") != NULL;
    struct mln_bytes below = mln_bytes_format(cx, "%s/%s", text_of(cx, entry, "path"), text_of(cx, entry, "name"));
    return is_login ? mln_token_path_key(cx, mln_token_ns(entry), below) : MLN_BYTES_NONE;
}

/* The role that a login named is what the method noted; of other tokens, clients choose the metadata. */
struct mln_bytes mln_token_quota_role(const struct mln_value *entry)
{
    const struct mln_value *meta = mln_get(entry, "meta"), *role = mln_get(entry, "role");
    bool is_login = mln_get(entry, "auth_uuid") != NULL;
    role = role == NULL && is_login ? mln_get(meta, "role_name") : role;
    role = role == NULL && is_login ? mln_get(meta, "role") : role;
    return mln_get_bytes(role);
}

/* A token that expires is a lease and counts for quotas. */
static struct mln_err tally(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry,
                            int delta)
{
    bool counts = mln_get_int(mln_get(entry, "expires_ns"), 0) != 0;
    return !counts ? MLN_OK
               : mln_txn_tally(cx, txn, mln_token_ns(entry), mln_get_bytes(mln_get(entry, "path")),
                               mln_token_quota_role(entry), delta);
}

static struct mln_err put_new(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry)
{
    struct mln_view view = mln_token_view();
    const char *name = text_of(cx, entry, "name"), *parent = text_of(cx, entry, "parent");
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    struct mln_bytes path = path_key(cx, entry), in_ns = mln_token_ns_key(cx, mln_bytes_of(name));
    MLN_TRY(mln_token_put_entry(cx, txn, entry));
    MLN_TRY(tally(cx, txn, entry, 1));
    if (in_ns.len > 0) {
        MLN_TRY(mln_txn_put(cx, txn, view, in_ns, MLN_BYTES_NONE));
    }
    if (parent[0] != 0) {
        MLN_TRY(mln_txn_put(cx, txn, view, mln_bytes_format(cx, "parent/%s/%s", parent, name),
                            MLN_BYTES_NONE));
    }
    if (path.len > 0) {
        MLN_TRY(mln_txn_put(cx, txn, view, path, MLN_BYTES_NONE));
    }
    return expires_ns == 0
               ? MLN_OK
               : mln_txn_put(cx, txn, view, expiry_key(cx, expires_ns, name), MLN_BYTES_NONE);
}

struct mln_err mln_token_remove_rows(struct mln_cx *cx, struct mln_txn *txn,
                                     const struct mln_value *entry)
{
    struct mln_view view = mln_token_view();
    const char *name = text_of(cx, entry, "name"), *parent = text_of(cx, entry, "parent");
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    struct mln_bytes path = path_key(cx, entry), in_ns = mln_token_ns_key(cx, mln_bytes_of(name));
    MLN_TRY(mln_txn_delete(cx, txn, mln_token_entry_view(mln_bytes_of(name)), mln_token_key(cx, "id", name)));
    if (in_ns.len > 0) {
        MLN_TRY(mln_txn_delete(cx, txn, view, in_ns));
    }
    MLN_TRY(tally(cx, txn, entry, -1));
    if (parent[0] != 0) {
        MLN_TRY(mln_txn_delete(cx, txn, view, mln_bytes_format(cx, "parent/%s/%s", parent, name)));
    }
    if (path.len > 0) {
        MLN_TRY(mln_txn_delete(cx, txn, view, path));
    }
    if (mln_token_is_wrap(entry)) {
        MLN_TRY(mln_txn_delete(cx, txn, mln_wrap_view(mln_bytes_of(name)), mln_bytes_of(name)));
    }
    return expires_ns == 0 ? MLN_OK
                           : mln_txn_delete(cx, txn, view, expiry_key(cx, expires_ns, name));
}

static struct mln_err check_id(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                               struct mln_bytes ns, const char *given)
{
    struct mln_bytes bytes = id_in(cx, ns, given), row = MLN_BYTES_NONE;
    const char *name = name_of(core, cx, bytes), *const kinds[] = {"id", "gone"};
    if (bytes.len == 0 || bytes.len > TOKEN_ID_MAX || mln_bytes_find(bytes, '.') == 1 ||
        mln_bytes_starts(bytes, MLN_BYTES("hvb."))) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "a token id has 1 to %u characters, no \".\" as its second, and no \"hvb.\" in front",
            TOKEN_ID_MAX);
    }
    if (!mln_bytes_eq(mln_token_name_ns(mln_bytes_of(name)), ns)) {
        return mln_fail(cx, MLN_E_INVALID, "a token id does not end in the id of a namespace");
    }
    for (size_t i = 0; i < MLN_COUNT(kinds);
         i++) { /* what a revoked token of this id left would take the new one's children */
        struct mln_err err =
            mln_txn_get(cx, txn, i == 0 ? mln_token_entry_view(mln_bytes_of(name)) : mln_token_view(),
                        mln_token_key(cx, kinds[i], name), &row);
        if (!mln_failed(err)) {
            return mln_fail(cx, MLN_E_EXISTS, "cannot create a token with a duplicate ID");
        }
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    return MLN_OK;
}

static struct mln_err check_new(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_token_spec *spec)
{
    if (spec->parent != NULL &&
        mln_get_int(mln_get(spec->parent, "depth"), 0) >= TOKEN_TREE_DEPTH) {
        return mln_fail(cx, MLN_E_LIMIT,
                        "tokens made by tokens end at %d generations: log in again",
                        TOKEN_TREE_DEPTH);
    }
    if (spec->ttl_s > MLN_TTL_MAX_S || spec->explicit_max_ttl_s > MLN_TTL_MAX_S ||
        spec->period_s > MLN_TTL_MAX_S) {
        return mln_fail(cx, MLN_E_INVALID, "a lifetime of more than 100 years");
    }
    return spec->id != NULL ? check_id(core, cx, txn, mln_txn_home(txn), spec->id) : mln_cx_err(cx);
}

struct mln_err mln_token_create(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                int64_t now_ns, const struct mln_token_spec *spec,
                                const struct mln_value **ret_auth,
                                const struct mln_value **ret_entry)
{
    struct mln_bytes id = MLN_BYTES_NONE;
    const char *name = "";
    struct mln_bytes ns = mln_txn_home(txn);
    MLN_TRY(check_new(core, cx, txn, spec));
    if (!spec->is_batch) {
        id = id_in(cx, ns, spec->id);
        name = name_in(core, cx, ns, id);
    }
    struct mln_value *entry = make_entry(cx, ns, name, now_ns, spec);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(spec->is_batch ? mln_token_batch_seal(core, cx, entry, &id) : put_new(cx, txn, entry));
    *ret_auth = mln_token_auth(cx, entry, id);
    if (ret_entry != NULL) {
        *ret_entry = entry;
    }
    return mln_cx_err(cx);
}

/* Put a changed entry, moving its row of expiry. */
struct mln_err mln_token_replace(struct mln_cx *cx, struct mln_txn *txn,
                                 const struct mln_value *old, const struct mln_value *entry)
{
    const char *name = text_of(cx, entry, "name");
    int64_t before = mln_get_int(mln_get(old, "expires_ns"), 0),
            after = mln_get_int(mln_get(entry, "expires_ns"), 0);
    if (before != after && before != 0) {
        MLN_TRY(mln_txn_delete(cx, txn, mln_token_view(), expiry_key(cx, before, name)));
    }
    if (before != after && after != 0) {
        MLN_TRY(
            mln_txn_put(cx, txn, mln_token_view(), expiry_key(cx, after, name), MLN_BYTES_NONE));
    }
    return mln_token_put_entry(cx, txn, entry);
}

struct mln_err mln_token_use(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                             const struct mln_value *entry)
{
    int64_t uses = mln_get_int(mln_get(entry, "num_uses"), 0);
    if (uses == 0) {
        return MLN_OK;
    }
    if (uses == 1) { /* what this request will hang on it is swept */
        MLN_TRY(mln_token_revoke(core, cx, txn, entry));
        return mln_txn_put(cx, txn, mln_token_view(),
                           mln_token_key(cx, "gone", text_of(cx, entry, "name")),
                           MLN_BYTES("tree"));
    }
    struct mln_value *less = mln_value_dup(cx, entry);
    mln_put_int(cx, less, "num_uses", uses - 1);
    MLN_TRY(mln_cx_err(cx));
    return mln_token_put_entry(cx, txn, less);
}
