/* SPDX-License-Identifier: Apache-2.0 */
/* Entities at rest: read, written together with the rows that lead to them, deleted. */
#include "identity/mfa_priv.h"

#include "base/clock.h"

static struct mln_bytes alias_key(struct mln_cx *cx, const char *accessor, struct mln_bytes alias)
{
    return mln_bytes_format(cx, "alias/%s/%s", accessor, mln_hex_text(cx, alias));
}

static struct mln_bytes alias_key_of(struct mln_cx *cx, const struct mln_value *alias)
{
    return alias_key(cx, id_text(cx, alias, "mount_accessor"),
                     mln_get_bytes(mln_get(alias, "name")));
}

/* ---- reading ---- */

struct mln_err id_entity(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                         const struct mln_value **ret)
{
    return id_row(cx, txn, "id", id, ret);
}

/* Through a row that leads to it: that it is missing then is damage. */
static struct mln_err by_link(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes key,
                              const struct mln_value **ret)
{
    const char *id = NULL;
    MLN_TRY(id_link(cx, txn, key, &id));
    struct mln_err err = id_entity(cx, txn, mln_bytes_of(id), ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(cx, MLN_E_CORRUPT,
                          "identity: the entity of this name or alias is missing")
               : err;
}

struct mln_err id_entity_named(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes name,
                               const struct mln_value **ret)
{
    return by_link(cx, txn, id_name_key(cx, "name", name), ret);
}

struct mln_err id_entity_of_alias(struct mln_cx *cx, struct mln_txn *txn, const char *accessor,
                                  struct mln_bytes alias, const struct mln_value **ret)
{
    return id_is_id(mln_bytes_of(accessor)) ? by_link(cx, txn, alias_key(cx, accessor, alias), ret)
                                            : (struct mln_err){MLN_E_NOT_FOUND};
}

struct mln_err id_entity_of_alias_id(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                                     const struct mln_value **ret)
{
    if (!id_is_id(id)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return by_link(cx, txn, mln_bytes_format(cx, "alias-id/%.*s", MLN_FMT(id)), ret);
}

const struct mln_value *id_alias_of(const struct mln_value *entity, struct mln_bytes alias_id)
{
    const struct mln_value *aliases = mln_get(entity, "aliases");
    for (size_t i = 0; i < mln_len(aliases); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(aliases, i), "id")), alias_id)) {
            return mln_item(aliases, i);
        }
    }
    return NULL;
}

/* ---- building ---- */

struct mln_value *id_entity_name_made_up(struct mln_cx *cx)
{
    return mln_text(cx, mln_text_format(cx, "entity_%08x", (unsigned)mln_random_u64()));
}

struct mln_value *id_entity_new(struct mln_cx *cx, const char *name, int64_t now_ns)
{
    struct mln_value *e = mln_object(cx);
    mln_put_text(cx, e, "id", id_new_uuid(cx));
    mln_put(cx, e, "name", name != NULL ? mln_text(cx, name) : id_entity_name_made_up(cx));
    mln_put(cx, e, "aliases", mln_array(cx));
    mln_put(cx, e, "metadata", mln_object(cx));
    mln_put(cx, e, "policies", mln_array(cx));
    mln_put_bool(cx, e, "disabled", false);
    mln_put(cx, e, "merged", mln_array(cx));
    mln_put_int(cx, e, "created_ns", now_ns);
    mln_put_int(cx, e, "updated_ns", now_ns);
    return e;
}

struct mln_value *id_alias_new(struct mln_cx *cx, const struct mln_mount *mount,
                               struct mln_bytes name, int64_t now_ns)
{
    struct mln_value *a = mln_object(cx);
    mln_put_text(cx, a, "id", id_new_uuid(cx));
    mln_put_bytes(cx, a, "name", mln_bytes_dup(cx, name));
    mln_put_text(cx, a, "mount_accessor", mount->accessor);
    mln_put_text(cx, a, "mount_path", mount->path);
    mln_put_text(cx, a, "mount_type", mount->type);
    mln_put(cx, a, "metadata", mln_object(cx));
    mln_put(cx, a, "custom_metadata", mln_object(cx));
    mln_put_int(cx, a, "created_ns", now_ns);
    mln_put_int(cx, a, "updated_ns", now_ns);
    mln_put(cx, a, "merged_from", mln_array(cx));
    return a;
}

struct mln_value *id_entity_with_alias(struct mln_cx *cx, const struct mln_value *entity,
                                       struct mln_bytes alias_id, const struct mln_value *alias)
{
    struct mln_value *out = mln_value_dup(cx, entity), *aliases = mln_array(cx);
    const struct mln_value *old = mln_get(entity, "aliases");
    bool is_placed = false;
    for (size_t i = 0; i < mln_len(old); i++) {
        bool is_it = mln_bytes_eq(mln_get_bytes(mln_get(mln_item(old, i), "id")), alias_id);
        if (!is_it) {
            mln_push(cx, aliases, mln_item(old, i));
        } else if (alias != NULL) {
            mln_push(cx, aliases, alias);
            is_placed = true;
        }
    }
    if (alias != NULL && !is_placed) {
        mln_push(cx, aliases, alias);
    }
    mln_put(cx, out, "aliases", aliases);
    return out;
}

/* ---- writing ---- */

/* The link `key` may lead to id or nowhere. */
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

static struct mln_err put_alias_links(struct mln_cx *cx, struct mln_txn *txn,
                                      const struct mln_value *alias, const char *id)
{
    struct mln_bytes key = alias_key_of(cx, alias);
    const char *alias_id = id_text(cx, alias, "id");
    MLN_TRY(expect_free(cx, txn, key, id, "alias already belongs to a different entity"));
    MLN_TRY(mln_txn_put_value(cx, txn, id_view(), key, mln_text(cx, id)));
    return mln_txn_put_value(cx, txn, id_view(), mln_bytes_format(cx, "alias-id/%s", alias_id),
                             mln_text(cx, id));
}

static struct mln_err drop_alias_links(struct mln_cx *cx, struct mln_txn *txn,
                                       const struct mln_value *alias)
{
    const char *id = id_text(cx, alias, "id");
    MLN_TRY(mln_txn_delete(cx, txn, id_view(), alias_key_of(cx, alias)));
    return id[0] == 0 ? MLN_OK
                      : mln_txn_delete(cx, txn, id_view(), mln_bytes_format(cx, "alias-id/%s", id));
}

static bool is_same_link(const struct mln_value *a, const struct mln_value *b)
{
    return mln_value_eq(mln_get(a, "mount_accessor"), mln_get(b, "mount_accessor")) &&
           mln_value_eq(mln_get(a, "name"), mln_get(b, "name"));
}

static struct mln_err put_aliases(struct mln_cx *cx, struct mln_txn *txn,
                                  const struct mln_value *old, const struct mln_value *entity)
{
    const struct mln_value *before = mln_get(old, "aliases"), *after = mln_get(entity, "aliases");
    for (size_t i = 0; i < mln_len(before); i++) {
        const struct mln_value *a = mln_item(before, i),
                               *b = id_alias_of(entity, mln_get_bytes(mln_get(a, "id")));
        if (b == NULL || !is_same_link(a, b)) {
            MLN_TRY(drop_alias_links(cx, txn, a));
        }
    }
    for (size_t i = 0; i < mln_len(after); i++) {
        const struct mln_value *b = mln_item(after, i),
                               *a = id_alias_of(old, mln_get_bytes(mln_get(b, "id")));
        if (a == NULL || !is_same_link(a, b)) {
            MLN_TRY(put_alias_links(cx, txn, b, id_text(cx, entity, "id")));
        }
    }
    return MLN_OK;
}

struct mln_err id_entity_put(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old,
                             const struct mln_value *entity)
{
    const char *id = id_text(cx, entity, "id");
    struct mln_bytes name = mln_get_bytes(mln_get(entity, "name")),
                     before = mln_get_bytes(mln_get(old, "name"));
    struct mln_bytes key = id_name_key(cx, "name", name);
    MLN_TRY(mln_cx_err(cx));
    if (mln_len(mln_get(entity, "aliases")) > ID_ALIASES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "an entity has at most %u aliases", ID_ALIASES_MAX);
    }
    MLN_TRY(expect_free(cx, txn, key, id, "entity name is already in use"));
    if (old != NULL && !mln_bytes_eq(name, before)) {
        MLN_TRY(mln_txn_delete(cx, txn, id_view(), id_name_key(cx, "name", before)));
    }
    if (old == NULL || !mln_bytes_eq(name, before)) {
        MLN_TRY(mln_txn_put_value(cx, txn, id_view(), key, mln_text(cx, id)));
    }
    MLN_TRY(put_aliases(cx, txn, old, entity));
    return mln_txn_put_value(cx, txn, id_view(), mln_bytes_format(cx, "id/%s", id), entity);
}

static struct mln_err leave_groups(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id)
{
    const struct mln_value *names = NULL, *group = NULL;
    MLN_TRY(id_names(cx, txn, mln_bytes_format(cx, "member/%.*s/", MLN_FMT(id)), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_err err = id_group(cx, txn, mln_get_bytes(mln_item(names, i)), &group);
        if (!mln_failed(err)) {
            err = id_group_member(cx, txn, group, id, false);
        }
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    return MLN_OK;
}

/* Its secrets of second factors: one row a method. */
static struct mln_err drop_factors(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id)
{
    const struct mln_value *methods = NULL;
    MLN_TRY(id_names(cx, txn, MLN_BYTES("mfa/method/"), &methods));
    for (size_t i = 0; i < mln_len(methods); i++) {
        struct mln_bytes method = mln_get_bytes(mln_item(methods, i));
        MLN_TRY(mln_txn_delete(cx, txn, id_view(), mfa_secret_key(cx, method, id)));
    }
    return MLN_OK;
}

struct mln_err id_entity_delete(struct mln_cx *cx, struct mln_txn *txn,
                                const struct mln_value *entity)
{
    struct mln_bytes id = mln_get_bytes(mln_get(entity, "id"));
    const struct mln_value *aliases = mln_get(entity, "aliases"),
                           *merged = mln_get(entity, "merged");
    MLN_TRY(leave_groups(cx, txn, id));
    MLN_TRY(drop_factors(cx, txn, id));
    for (size_t i = 0; i < mln_len(aliases); i++) {
        MLN_TRY(drop_alias_links(cx, txn, mln_item(aliases, i)));
    }
    for (size_t i = 0; i < mln_len(merged); i++) {
        MLN_TRY(mln_txn_delete(
            cx, txn, id_view(),
            mln_bytes_format(cx, "merged/%.*s", MLN_FMT(mln_get_bytes(mln_item(merged, i))))));
    }
    MLN_TRY(mln_txn_delete(cx, txn, id_view(),
                           id_name_key(cx, "name", mln_get_bytes(mln_get(entity, "name")))));
    return mln_txn_delete(cx, txn, id_view(), mln_bytes_format(cx, "id/%.*s", MLN_FMT(id)));
}
