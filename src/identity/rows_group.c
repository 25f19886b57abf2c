/* SPDX-License-Identifier: Apache-2.0 */
/* Groups at rest, and which groups an entity is in. */
#include "identity/identity_priv.h"

#include "base/clock.h"

static struct mln_bytes alias_key(struct mln_cx *cx, const char *accessor, struct mln_bytes alias)
{
    return mln_bytes_format(cx, "group-alias/%s/%s", accessor, mln_hex_text(cx, alias));
}

static struct mln_bytes pair_key(struct mln_cx *cx, const char *kind, struct mln_bytes a,
                                 struct mln_bytes b)
{
    return mln_bytes_format(cx, "%s/%.*s/%.*s", kind, MLN_FMT(a), MLN_FMT(b));
}

/* ---- reading ---- */

struct mln_err id_group(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                        const struct mln_value **ret)
{
    return id_row(cx, txn, "group", id, ret);
}

static struct mln_err by_link(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes key,
                              const struct mln_value **ret)
{
    const char *id = NULL;
    MLN_TRY(id_link(cx, txn, key, &id));
    struct mln_err err = id_group(cx, txn, mln_bytes_of(id), ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(cx, MLN_E_CORRUPT, "identity: the group of this name or alias is missing")
               : err;
}

struct mln_err id_group_named(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes name,
                              const struct mln_value **ret)
{
    return by_link(cx, txn, id_name_key(cx, "group-name", name), ret);
}

struct mln_err id_group_of_alias(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                 struct mln_bytes alias, const struct mln_value **ret)
{
    return id_is_id(mln_bytes_of(accessor)) ? by_link(cx, txn, alias_key(cx, accessor, alias), ret)
                                            : (struct mln_err){MLN_E_NOT_FOUND};
}

struct mln_err id_group_of_alias_id(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                                    const struct mln_value **ret)
{
    if (!id_is_id(id)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return by_link(cx, txn, mln_bytes_format(cx, "group-alias-id/%.*s", MLN_FMT(id)), ret);
}

struct mln_err id_parents_of(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes group_id,
                             const struct mln_value **ret)
{
    return id_names(cx, txn, mln_bytes_format(cx, "parent/%.*s/", MLN_FMT(group_id)), ret);
}

/* ---- building ---- */

struct mln_value *id_group_new(struct mln_cx *cx, const char *name, const char *type,
                               int64_t now_ns)
{
    struct mln_value *g = mln_object(cx);
    mln_put_text(cx, g, "id", id_new_uuid(cx));
    mln_put_text(cx, g, "name",
                 name != NULL ? name
                              : mln_text_format(cx, "group_%08x", (unsigned)mln_random_u64()));
    mln_put_text(cx, g, "type", type);
    mln_put(cx, g, "metadata", mln_object(cx));
    mln_put(cx, g, "policies", mln_array(cx));
    mln_put(cx, g, "member_entity_ids", mln_array(cx));
    mln_put(cx, g, "member_group_ids", mln_array(cx));
    mln_put_null(cx, g, "alias");
    mln_put_int(cx, g, "created_ns", now_ns);
    mln_put_int(cx, g, "updated_ns", now_ns);
    mln_put_int(cx, g, "modify_index", 0);
    return g;
}

/* ---- writing ---- */

static struct mln_err put_members(struct mln_cx *cx, struct mln_txn *txn, const char *kind,
                                  const struct mln_value *before, const struct mln_value *after,
                                  struct mln_bytes group)
{
    struct mln_value *old = mln_set(cx), *new = mln_set(cx); /* sorted: a difference in one walk */
    for (size_t i = 0; i < mln_len(before); i++) {
        mln_push(cx, old, mln_item(before, i));
    }
    for (size_t i = 0; i < mln_len(after); i++) {
        mln_push(cx, new, mln_item(after, i));
    }
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0, k = 0; i < mln_len(old) || k < mln_len(new);) {
        int c = i == mln_len(old)   ? 1
                : k == mln_len(new) ? -1
                                    : mln_value_cmp(mln_item(old, i), mln_item(new, k));
        if (c < 0) {
            MLN_TRY(mln_txn_delete(cx, txn, id_view(),
                                   pair_key(cx, kind, mln_get_bytes(mln_item(old, i)), group)));
        } else if (c > 0) {
            MLN_TRY(mln_txn_put(cx, txn, id_view(),
                                pair_key(cx, kind, mln_get_bytes(mln_item(new, k)), group),
                                MLN_BYTES_NONE));
        }
        i += c <= 0;
        k += c >= 0;
    }
    return MLN_OK;
}

static struct mln_err expect_free(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes key,
                                  const char *id, const char *what)
{
    const char *other = NULL;
    struct mln_err err = id_link(cx, txn, key, &other);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    return mln_bytes_is(mln_bytes_of(other), id) ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "%s", what);
}

static struct mln_err drop_alias(struct mln_cx *cx, struct mln_txn *txn,
                                 const struct mln_value *alias)
{
    if (mln_is_null(alias)) {
        return MLN_OK;
    }
    struct mln_bytes name = mln_get_bytes(mln_get(alias, "name"));
    MLN_TRY(mln_txn_delete(cx, txn, id_view(),
                           alias_key(cx, id_text(cx, alias, "mount_accessor"), name)));
    return mln_txn_delete(cx, txn, id_view(),
                          mln_bytes_format(cx, "group-alias-id/%s", id_text(cx, alias, "id")));
}

static struct mln_err put_alias(struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *alias, const char *id)
{
    if (mln_is_null(alias)) {
        return MLN_OK;
    }
    struct mln_bytes key =
        alias_key(cx, id_text(cx, alias, "mount_accessor"), mln_get_bytes(mln_get(alias, "name")));
    MLN_TRY(expect_free(cx, txn, key, id,
                        "combination of mount and group alias name is already in use"));
    MLN_TRY(mln_txn_put_value(cx, txn, id_view(), key, mln_text(cx, id)));
    return mln_txn_put_value(cx, txn, id_view(),
                             mln_bytes_format(cx, "group-alias-id/%s", id_text(cx, alias, "id")),
                             mln_text(cx, id));
}

static struct mln_err put_links(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                                const struct mln_value *group)
{
    const char *id = id_text(cx, group, "id");
    struct mln_bytes name = mln_get_bytes(mln_get(group, "name")),
                     before = mln_get_bytes(mln_get(old, "name"));
    struct mln_bytes key = id_name_key(cx, "group-name", name);
    MLN_TRY(expect_free(cx, txn, key, id, "group name is already in use"));
    if (old != NULL && !mln_bytes_eq(name, before)) {
        MLN_TRY(mln_txn_delete(cx, txn, id_view(), id_name_key(cx, "group-name", before)));
    }
    if (old == NULL || !mln_bytes_eq(name, before)) {
        MLN_TRY(mln_txn_put_value(cx, txn, id_view(), key, mln_text(cx, id)));
    }
    if (!mln_value_eq(mln_get(old, "alias"), mln_get(group, "alias"))) {
        MLN_TRY(drop_alias(cx, txn, mln_get(old, "alias")));
        MLN_TRY(put_alias(cx, txn, mln_get(group, "alias"), id));
    }
    return MLN_OK;
}

struct mln_err id_group_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                            const struct mln_value *group)
{
    struct mln_bytes id = mln_get_bytes(mln_get(group, "id"));
    static const struct {
        const char *list, *kind;
    } members[] = {{"member_entity_ids", "member"}, {"member_group_ids", "parent"}};
    MLN_TRY(put_links(cx, txn, old, group));
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        const struct mln_value *after = mln_get(group, members[i].list);
        if (mln_len(after) > ID_MEMBERS_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "a group has at most %u members", ID_MEMBERS_MAX);
        }
        MLN_TRY(put_members(cx, txn, members[i].kind, mln_get(old, members[i].list), after, id));
    }
    struct mln_value *counted = mln_value_dup(cx, group);
    mln_put_int(cx, counted, "modify_index", mln_get_int(mln_get(old, "modify_index"), 0) + 1);
    MLN_TRY(mln_cx_err(cx));
    return mln_txn_put_value(cx, txn, id_view(), mln_bytes_format(cx, "group/%.*s", MLN_FMT(id)),
                             counted);
}

struct mln_err id_group_member(struct mln_cx *cx, struct mln_txn *txn,
                               const struct mln_value *group, struct mln_bytes entity_id,
                               bool is_in)
{
    struct mln_value *next = mln_value_dup(cx, group);
    struct mln_value *ids = id_without(cx, mln_get(group, "member_entity_ids"), entity_id);
    if (is_in) {
        mln_push(cx, ids, mln_string(cx, mln_bytes_dup(cx, entity_id)));
    }
    mln_put(cx, next, "member_entity_ids", ids);
    return id_group_put(cx, txn, group, next);
}

static struct mln_err leave_parents(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id)
{
    const struct mln_value *parents = NULL, *parent = NULL;
    MLN_TRY(id_parents_of(cx, txn, id, &parents));
    for (size_t i = 0; i < mln_len(parents); i++) {
        struct mln_err err = id_group(cx, txn, mln_get_bytes(mln_item(parents, i)), &parent);
        if (!mln_failed(err)) {
            struct mln_value *next = mln_value_dup(cx, parent);
            mln_put(cx, next, "member_group_ids",
                    id_without(cx, mln_get(parent, "member_group_ids"), id));
            err = id_group_put(cx, txn, parent, next);
        }
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    return MLN_OK;
}

struct mln_err id_group_delete(struct mln_cx *cx, struct mln_txn *txn,
                               const struct mln_value *group)
{
    struct mln_bytes id = mln_get_bytes(mln_get(group, "id"));
    const struct mln_value *none = mln_array(cx);
    MLN_TRY(leave_parents(cx, txn, id));
    MLN_TRY(put_members(cx, txn, "member", mln_get(group, "member_entity_ids"), none, id));
    MLN_TRY(put_members(cx, txn, "parent", mln_get(group, "member_group_ids"), none, id));
    MLN_TRY(drop_alias(cx, txn, mln_get(group, "alias")));
    MLN_TRY(mln_txn_delete(cx, txn, id_view(),
                           id_name_key(cx, "group-name", mln_get_bytes(mln_get(group, "name")))));
    return mln_txn_delete(cx, txn, id_view(), mln_bytes_format(cx, "group/%.*s", MLN_FMT(id)));
}

/* ---- who is in what ---- */

/* Groups of these ids that are not in `seen` yet; a row that leads nowhere is passed over. */
static struct mln_err collect(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *ids,
                              struct mln_value *seen, struct mln_value *groups)
{
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *group = NULL;
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        if (id_has(seen, id)) {
            continue;
        }
        if (mln_len(seen) >= ID_GROUPS_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "an entity is in at most %u groups", ID_GROUPS_MAX);
        }
        struct mln_err err = id_group(cx, txn, id, &group);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue;
        }
        MLN_TRY(err);
        mln_push(cx, seen, mln_item(ids, i));
        mln_push(cx, groups, group);
    }
    return mln_cx_err(cx);
}

struct mln_err id_groups_of(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes entity_id,
                            const struct mln_value **ret_direct,
                            const struct mln_value **ret_inherited)
{
    struct mln_value *seen = mln_array(cx), *direct = mln_array(cx), *inherited = mln_array(cx);
    const struct mln_value *ids = NULL;
    MLN_TRY(id_names(cx, txn, mln_bytes_format(cx, "member/%.*s/", MLN_FMT(entity_id)), &ids));
    MLN_TRY(collect(cx, txn, ids, seen, direct));
    for (size_t i = 0; i < mln_len(seen); i++) { /* it grows while it is walked */
        MLN_TRY(id_parents_of(cx, txn, mln_get_bytes(mln_item(seen, i)), &ids));
        MLN_TRY(collect(cx, txn, ids, seen, inherited));
    }
    *ret_direct = direct;
    *ret_inherited = inherited;
    return mln_cx_err(cx);
}
