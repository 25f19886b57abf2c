/* SPDX-License-Identifier: Apache-2.0 */
/* identity/entity-alias: the names of entities at auth mounts. */
#include "identity/identity_priv.h"

/* The auth mount of an accessor. */
static struct mln_err mount_of(struct mln_request *rq, const char *accessor,
                               const struct mln_mount **ret)
{
    const struct mln_mount *mount = rq->services->mount(rq, accessor);
    if (mount == NULL || mount->engine == NULL || mount->engine->kind != MLN_MOUNT_AUTH) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid mount accessor \"%s\"", accessor);
    }
    *ret = mount;
    return MLN_OK;
}

static struct mln_err owner(struct mln_request *rq, struct mln_bytes id,
                            const struct mln_value **ret)
{
    struct mln_err err = id_entity(rq->cx, rq->txn, id, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_INVALID, "invalid canonical ID")
                                        : err;
}

/* One alias at a mount is what an entity may have. */
static struct mln_err expect_one(struct mln_request *rq, const struct mln_value *entity,
                                 const struct mln_value *alias)
{
    const struct mln_value *aliases = mln_get(entity, "aliases");
    for (size_t i = 0; i < mln_len(aliases); i++) {
        const struct mln_value *other = mln_item(aliases, i);
        if (mln_value_eq(mln_get(other, "mount_accessor"), mln_get(alias, "mount_accessor")) &&
            !mln_value_eq(mln_get(other, "id"), mln_get(alias, "id"))) {
            return mln_fail(rq->cx, MLN_E_INVALID, "Entity already has an alias for the mount %s",
                            id_text(rq->cx, alias, "mount_path"));
        }
    }
    return MLN_OK;
}

static struct mln_err answer(struct mln_request *rq, struct mln_reply *re,
                             const struct mln_value *alias, const struct mln_value *entity)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "canonical_id", mln_get(entity, "id"));
    mln_put(rq->cx, data, "id", mln_get(alias, "id"));
    mln_put(rq->cx, rq->detail, "alias", mln_get(alias, "id"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* The alias with what the request says of it; mount NULL: stays where it is. */
static struct mln_err change(struct mln_request *rq, struct mln_value *alias,
                             const struct mln_mount *mount)
{
    const struct mln_value *custom = NULL;
    struct mln_bytes name;
    MLN_TRY(id_field_name(rq, "name", &name));
    MLN_TRY(id_field_pairs(rq, "custom_metadata", &custom));
    if (name.len > 0) {
        mln_put_bytes(rq->cx, alias, "name", name);
    }
    if (custom != NULL) {
        mln_put(rq->cx, alias, "custom_metadata", custom);
    }
    if (mount != NULL) {
        mln_put_text(rq->cx, alias, "mount_accessor", mount->accessor);
        mln_put_text(rq->cx, alias, "mount_path", mount->path);
        mln_put_text(rq->cx, alias, "mount_type", mount->type);
    }
    mln_put_int(rq->cx, alias, "updated_ns", rq->now_ns);
    return mln_cx_err(rq->cx);
}

/* Put a changed alias into its entity, or into another one that the request names. */
static struct mln_err place(struct mln_request *rq, struct mln_reply *re,
                            const struct mln_value *entity, const struct mln_value *alias)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes id = mln_get_bytes(mln_get(alias, "id")),
                     asked = mln_get_bytes(mln_field_of(rq, "canonical_id"));
    const struct mln_value *target = entity;
    if (asked.len > 0 && !mln_bytes_eq(asked, mln_get_bytes(mln_get(entity, "id")))) {
        MLN_TRY(owner(rq, asked, &target));
        MLN_TRY(id_entity_put(cx, rq->txn, entity, id_entity_with_alias(cx, entity, id, NULL)));
    }
    MLN_TRY(expect_one(rq, target, alias));
    MLN_TRY(id_entity_put(cx, rq->txn, target, id_entity_with_alias(cx, target, id, alias)));
    return answer(rq, re, alias, target);
}

static struct mln_err update(struct mln_request *rq, struct mln_reply *re, struct mln_bytes id)
{
    const struct mln_value *entity = NULL;
    const struct mln_mount *mount = NULL;
    struct mln_err err = id_entity_of_alias_id(rq->cx, rq->txn, id, &entity);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid alias ID");
    }
    MLN_TRY(err);
    const char *accessor = mln_get_text(rq->cx, mln_field_of(rq, "mount_accessor"), "");
    if (accessor[0] != 0) {
        MLN_TRY(mount_of(rq, accessor, &mount));
    }
    struct mln_value *alias = mln_value_dup(rq->cx, id_alias_of(entity, id));
    MLN_TRY(change(rq, alias, mount));
    return place(rq, re, entity, alias);
}

static struct mln_err create(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes name, canonical = mln_get_bytes(mln_field_of(rq, "canonical_id"));
    const char *accessor = mln_get_text(cx, mln_field_of(rq, "mount_accessor"), "");
    const struct mln_value *entity = NULL, *fresh = NULL;
    const struct mln_mount *mount = NULL;
    MLN_TRY(id_field_name(rq, "name", &name));
    if (name.len == 0 || accessor[0] == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        name.len == 0 ? "missing alias name" : "missing mount_accessor");
    }
    MLN_TRY(mount_of(rq, accessor, &mount));
    struct mln_err err = id_entity_of_alias(cx, rq->txn, accessor, name, &entity);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (!mln_failed(err)) { /* there already: changed */
        const struct mln_value *aliases = mln_get(entity, "aliases");
        for (size_t i = 0; i < mln_len(aliases); i++) {
            if (mln_is_text(mln_get(mln_item(aliases, i), "mount_accessor"), accessor) &&
                mln_bytes_eq(mln_get_bytes(mln_get(mln_item(aliases, i), "name")), name)) {
                return update(rq, re, mln_get_bytes(mln_get(mln_item(aliases, i), "id")));
            }
        }
        return mln_fail(cx, MLN_E_CORRUPT, "identity: an alias is missing in its entity");
    }
    if (canonical.len == 0) {
        fresh = id_entity_new(cx, NULL, rq->now_ns);
        MLN_TRY(id_entity_put(cx, rq->txn, NULL, fresh));
    } else {
        MLN_TRY(owner(rq, canonical, &fresh));
    }
    struct mln_value *alias = id_alias_new(cx, mount, name, rq->now_ns);
    MLN_TRY(change(rq, alias, NULL));
    MLN_TRY(expect_one(rq, fresh, alias));
    MLN_TRY(
        id_entity_put(cx, rq->txn, fresh, id_entity_with_alias(cx, fresh, MLN_BYTES_NONE, alias)));
    return answer(rq, re, alias, fresh);
}

static struct mln_err write_alias(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id"));
    if (mln_len(mln_field_of(rq, "canonical_id")) == 0 &&
        mln_len(mln_field_of(rq, "entity_id")) > 0) {
        struct mln_value *fields = mln_value_dup(rq->cx, rq->fields); /* the old name of it */
        mln_put(rq->cx, fields, "canonical_id", mln_field_of(rq, "entity_id"));
        rq->fields = fields;
    }
    return id.len > 0 ? update(rq, re, id) : create(rq, re);
}

static struct mln_err read_alias(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id"));
    const struct mln_value *entity = NULL;
    MLN_TRY(id_entity_of_alias_id(rq->cx, rq->txn, id, &entity));
    struct mln_value *data =
        id_alias_show(rq->cx, id_alias_of(entity, id), id_text(rq->cx, entity, "id"));
    mln_put_bytes(rq->cx, data, "namespace_id", rq->ns);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err delete_alias(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id"));
    const struct mln_value *entity = NULL;
    (void)re;
    struct mln_err err = id_entity_of_alias_id(rq->cx, rq->txn, id, &entity);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    mln_txn_mark_relief(rq->txn);
    mln_put_bytes(rq->cx, rq->detail, "alias", id);
    return id_entity_put(rq->cx, rq->txn, entity, id_entity_with_alias(rq->cx, entity, id, NULL));
}

static struct mln_err list_aliases(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = NULL;
    struct mln_value *info = mln_object(cx);
    MLN_TRY(id_names(cx, rq->txn, MLN_BYTES("alias-id/"), &ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *entity = NULL;
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        MLN_TRY(id_entity_of_alias_id(cx, rq->txn, id, &entity));
        const struct mln_value *alias = id_alias_of(entity, id);
        struct mln_value *one = id_alias_brief(cx, alias);
        mln_remove(one, MLN_BYTES("id"));
        mln_put(cx, one, "canonical_id", mln_get(entity, "id"));
        mln_put(cx, one, "custom_metadata", mln_get(alias, "custom_metadata"));
        mln_put_bool(cx, one, "local", false);
        mln_put_key(cx, info, id, one);
        MLN_TRY(mln_cx_err(cx));
    }
    return id_answer_list(rq, re, ids, info);
}

static const struct mln_field alias_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "Id of an alias to change."},
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The name at the mount."},
    {.name = "canonical_id", .type = MLN_FIELD_TEXT, .help = "The entity; a new one when absent."},
    {.name = "entity_id", .type = MLN_FIELD_TEXT, .help = "Old name of canonical_id."},
    {.name = "mount_accessor", .type = MLN_FIELD_TEXT, .help = "Accessor of the auth mount."},
    {.name = "custom_metadata",
     .type = MLN_FIELD_ANY,
     .help = "Names and texts that logins leave alone."},
    {0},
};

const struct mln_path id_alias_paths[] = {
    {.pattern = "entity-alias",
     .summary = "Make or change an alias.",
     .fields = alias_fields,
     .write = write_alias},
    {.pattern = "entity-alias/id", .summary = "List aliases.", .list = list_aliases},
    {.pattern = "entity-alias/id/{id}",
     .summary = "An alias by its id.",
     .fields = alias_fields,
     .read = read_alias,
     .write = write_alias,
     .remove = delete_alias,
     .is_relief = true},
    {0},
};
