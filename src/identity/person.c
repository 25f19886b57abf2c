/* SPDX-License-Identifier: Apache-2.0 */
/* What core asks: who logs in, what an entity amounts to with its groups, what an unmounted auth method leaves behind. */
#include "identity/identity_priv.h"

#define GONE_BATCH 2000u /* aliases of an unmounted method that one batch takes: four rows each */

/* ---- persons ---- */

static void add_policies(struct mln_cx *cx, struct mln_value *set, const struct mln_value *from)
{
    for (size_t i = 0; i < mln_len(from); i++) {
        mln_push(cx, set, mln_item(from, i));
    }
}

static void add_groups(struct mln_cx *cx, const struct mln_value *groups, struct mln_value *shown,
                       struct mln_value *policies)
{
    static const char *const same[] = {"id", "name", "metadata"};
    for (size_t i = 0; i < mln_len(groups); i++) {
        struct mln_value *one = mln_object(cx);
        for (size_t k = 0; k < MLN_COUNT(same); k++) {
            mln_put(cx, one, same[k], mln_get(mln_item(groups, i), same[k]));
        }
        mln_push(cx, shown, one);
        add_policies(cx, policies, mln_get(mln_item(groups, i), "policies"));
    }
}

static const struct mln_value *aliases_of(struct mln_cx *cx, const struct mln_value *entity)
{
    static const char *const same[] = {"id", "name", "mount_accessor", "metadata",
                                       "custom_metadata"};
    const struct mln_value *aliases = mln_get(entity, "aliases");
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(aliases); i++) {
        struct mln_value *one = mln_object(cx);
        for (size_t k = 0; k < MLN_COUNT(same); k++) {
            const struct mln_value *v = mln_get(mln_item(aliases, i), same[k]);
            mln_put(cx, one, same[k], v != NULL ? v : mln_object(cx));
        }
        mln_push(cx, out, one);
    }
    return out;
}

/* By its id or by the id of what was merged into it. */
static struct mln_err find(struct mln_cx *cx, struct mln_txn *txn, const char *id,
                           const struct mln_value **ret)
{
    const char *now = NULL;
    struct mln_err err = id_entity(cx, txn, mln_bytes_of(id), ret);
    if (!mln_is(err, MLN_E_NOT_FOUND) || !id_is_id(mln_bytes_of(id))) {
        return err;
    }
    MLN_TRY(id_link(cx, txn, mln_bytes_format(cx, "merged/%s", id), &now));
    return id_entity(cx, txn, mln_bytes_of(now), ret);
}

struct mln_err mln_identity_person(struct mln_cx *cx, struct mln_txn *txn, const char *id,
                                   const struct mln_value **ret)
{
    const struct mln_value *e = NULL, *direct = NULL, *inherited = NULL, *own = NULL,
                           *metadata = NULL;
    struct mln_value *out = mln_object(cx), *groups = mln_array(cx), *set = mln_set(cx),
                     *all = mln_array(cx);
    MLN_TRY(find(cx, txn, id, &e));
    MLN_TRY(id_groups_of(cx, txn, mln_get_bytes(mln_get(e, "id")), &direct, &inherited));
    own = mln_get(e, "policies");
    metadata = mln_get(e, "metadata");
    add_policies(cx, set, own);
    add_groups(cx, direct, groups, set);
    add_groups(cx, inherited, groups, set);
    add_policies(cx, all, set);
    mln_put(cx, out, "id", mln_get(e, "id"));
    mln_put(cx, out, "name", mln_get(e, "name"));
    mln_put(cx, out, "metadata", metadata != NULL ? metadata : mln_object(cx));
    mln_put_bool(cx, out, "disabled", mln_get_bool(mln_get(e, "disabled"), false));
    mln_put(cx, out, "policies", own != NULL ? own : mln_array(cx));
    mln_put(cx, out, "all_policies", all);
    mln_put(cx, out, "aliases", aliases_of(cx, e));
    mln_put(cx, out, "groups", groups);
    *ret = out;
    return mln_cx_err(cx);
}

/* ---- logins ---- */

/* Named after its first alias where nobody has that name yet; people read names in the ledger. */
static struct mln_err make(struct mln_cx *cx, struct mln_txn *txn,
                           const struct mln_identity_login *login, const struct mln_value **ret)
{
    struct mln_bytes name = mln_bytes_of(login->alias);
    const struct mln_value *other = NULL;
    struct mln_err err = id_entity_named(cx, txn, name, &other);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *entity =
        id_entity_new(cx, mln_failed(err) ? login->alias : NULL, login->now_ns);
    struct mln_value *alias = id_alias_new(cx, login->mount, name, login->now_ns),
                     *aliases = mln_array(cx);
    if (login->alias_meta != NULL) {
        mln_put(cx, alias, "metadata", login->alias_meta);
    }
    mln_push(cx, aliases, alias);
    mln_put(cx, entity, "aliases", aliases);
    mln_put_bool(cx, entity, "by_login", true); /* nobody chose this name for it: entity.c */
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(id_entity_put(cx, txn, NULL, entity));
    *ret = entity;
    return MLN_OK;
}

static const struct mln_value *alias_named(const struct mln_value *entity,
                                           const struct mln_identity_login *login)
{
    const struct mln_value *aliases = mln_get(entity, "aliases");
    for (size_t i = 0; i < mln_len(aliases); i++) {
        const struct mln_value *a = mln_item(aliases, i);
        if (mln_is_text(mln_get(a, "mount_accessor"), login->mount->accessor) &&
            mln_is_text(mln_get(a, "name"), login->alias)) {
            return a;
        }
    }
    return NULL;
}

/* What the method says of the alias now. */
static struct mln_err refresh(struct mln_cx *cx, struct mln_txn *txn,
                              const struct mln_identity_login *login,
                              const struct mln_value **entity, bool *ret_changed)
{
    const struct mln_value *alias = alias_named(*entity, login);
    if (login->alias_meta == NULL || alias == NULL ||
        mln_value_eq(mln_get(alias, "metadata"), login->alias_meta)) {
        return MLN_OK;
    }
    struct mln_value *next = mln_value_dup(cx, alias);
    mln_put(cx, next, "metadata", login->alias_meta);
    mln_put_int(cx, next, "updated_ns", login->now_ns);
    struct mln_value *with =
        id_entity_with_alias(cx, *entity, mln_get_bytes(mln_get(alias, "id")), next);
    MLN_TRY(id_entity_put(cx, txn, *entity, with));
    *entity = with;
    *ret_changed = true;
    return MLN_OK;
}

/* In external groups that have an alias at this mount: exactly those that the method names. */
static struct mln_err leave_groups(struct mln_cx *cx, struct mln_txn *txn,
                                   const struct mln_identity_login *login, struct mln_bytes id,
                                   bool *ret_changed)
{
    const struct mln_value *direct = NULL, *inherited = NULL;
    MLN_TRY(id_groups_of(cx, txn, id, &direct, &inherited));
    for (size_t i = 0; i < mln_len(direct); i++) {
        const struct mln_value *alias = mln_get(mln_item(direct, i), "alias");
        if (mln_is_text(mln_get(alias, "mount_accessor"), login->mount->accessor) &&
            !id_has(login->groups, mln_get_bytes(mln_get(alias, "name")))) {
            MLN_TRY(id_group_member(cx, txn, mln_item(direct, i), id, false));
            *ret_changed = true;
        }
    }
    return MLN_OK;
}

static struct mln_err join_groups(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_identity_login *login, struct mln_bytes id,
                                  bool *ret_changed)
{
    for (size_t i = 0; i < mln_len(login->groups); i++) {
        const struct mln_value *group = NULL;
        struct mln_bytes name = mln_get_bytes(mln_item(login->groups, i));
        if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
            continue; /* no alias can have such a name */
        }
        struct mln_err err = id_group_of_alias(cx, txn, login->mount->accessor, name, &group);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue;
        }
        MLN_TRY(err);
        if (!id_has(mln_get(group, "member_entity_ids"), id)) {
            MLN_TRY(id_group_member(cx, txn, group, id, true));
            *ret_changed = true;
        }
    }
    return MLN_OK;
}

struct mln_err mln_identity_login(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_identity_login *login,
                                  const struct mln_value **ret_entity, bool *ret_changed)
{
    struct mln_bytes name = mln_bytes_of(login->alias);
    const struct mln_value *entity = NULL;
    bool is_changed = false;
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "an alias has 1 to %d bytes", MLN_NAME_MAX_BYTES);
    }
    struct mln_err err = id_entity_of_alias(cx, txn, login->mount->accessor, name, &entity);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(make(cx, txn, login, &entity));
    } else {
        MLN_TRY(err);
        MLN_TRY(refresh(cx, txn, login, &entity, &is_changed));
    }
    struct mln_bytes id = mln_get_bytes(mln_get(entity, "id"));
    MLN_TRY(leave_groups(cx, txn, login, id, &is_changed));
    MLN_TRY(join_groups(cx, txn, login, id, &is_changed));
    *ret_entity = entity;
    *ret_changed = is_changed;
    return mln_cx_err(cx);
}

/* ---- mounts that go ---- */

static struct mln_err drop_alias(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                 const char *id)
{
    const struct mln_value *entity = NULL;
    MLN_TRY(id_entity(cx, txn, mln_bytes_of(id), &entity));
    struct mln_value *next = mln_value_dup(cx, entity), *kept = mln_array(cx);
    const struct mln_value *aliases = mln_get(entity, "aliases");
    for (size_t k = 0; k < mln_len(aliases); k++) {
        if (!mln_is_text(mln_get(mln_item(aliases, k), "mount_accessor"), accessor)) {
            mln_push(cx, kept, mln_item(aliases, k));
        }
    }
    mln_put(cx, next, "aliases", kept);
    return id_entity_put(cx, txn, entity, next);
}

/* Members came through the alias: without it there are none. */
static struct mln_err drop_group_alias(struct mln_cx *cx, struct mln_txn *txn, const char *id)
{
    const struct mln_value *group = NULL;
    MLN_TRY(id_group(cx, txn, mln_bytes_of(id), &group));
    struct mln_value *next = mln_value_dup(cx, group);
    mln_put_null(cx, next, "alias");
    mln_put(cx, next, "member_entity_ids", mln_array(cx));
    return id_group_put(cx, txn, group, next);
}

/* At most GONE_BATCH of one kind; *ret_more: there are others. */
static struct mln_err drop_some(struct mln_cx *cx, struct mln_txn *txn, const char *kind,
                                const char *accessor, bool *ret_more)
{
    const struct mln_value *names = NULL;
    bool are_groups = mln_bytes_starts(mln_bytes_of(kind), MLN_BYTES("group"));
    MLN_TRY(id_names(cx, txn, mln_bytes_format(cx, "%s/%s/", kind, accessor), &names));
    for (size_t i = 0; i < mln_len(names) && i < GONE_BATCH; i++) {
        const char *id = NULL;
        MLN_TRY(id_link(cx, txn,
                        mln_bytes_format(cx, "%s/%s/%.*s", kind, accessor,
                                         MLN_FMT(mln_get_bytes(mln_item(names, i)))),
                        &id));
        MLN_TRY(are_groups ? drop_group_alias(cx, txn, id) : drop_alias(cx, txn, accessor, id));
    }
    *ret_more = *ret_more || mln_len(names) > GONE_BATCH;
    return mln_cx_err(cx);
}

struct mln_err mln_identity_mount_gone(struct mln_cx *cx, struct mln_txn *txn, const char *accessor)
{
    struct mln_bytes key = mln_bytes_format(cx, "gone/%s", accessor);
    bool more = false;
    if (!id_is_id(mln_bytes_of(accessor))) {
        return MLN_OK;
    }
    MLN_TRY(drop_some(cx, txn, "group-alias", accessor, &more));
    MLN_TRY(drop_some(cx, txn, "alias", accessor, &more));
    return more ? mln_txn_put(cx, txn, id_view(), key, MLN_BYTES_NONE)
                : mln_txn_delete(cx, txn, id_view(), key);
}

struct mln_err id_sweep(struct mln_request *rq)
{
    const struct mln_value *gone = NULL;
    MLN_TRY(id_names(rq->cx, rq->txn, MLN_BYTES("gone/"), &gone));
    if (mln_len(gone) == 0) {
        return MLN_OK;
    }
    mln_put(rq->cx, rq->detail, "accessors", gone);
    return mln_identity_mount_gone(rq->cx, rq->txn, mln_get_text(rq->cx, mln_item(gone, 0), ""));
}
