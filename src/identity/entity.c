/* SPDX-License-Identifier: Apache-2.0 */
/* identity/entity: made, changed, read, listed, deleted, merged. Shapes and texts are Vault's. */
#include "identity/identity_priv.h"

/* What the request says of it, on a copy. */
static struct mln_err change(struct mln_request *rq, const struct mln_value *old,
                             struct mln_bytes name, struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *e =
        old != NULL ? mln_value_dup(cx, old)
                    : id_entity_new(cx, name.len > 0 ? mln_text_dup(cx, name) : NULL, rq->now_ns);
    const struct mln_value *policies = NULL, *metadata = NULL,
                           *disabled = mln_field_of(rq, "disabled");
    MLN_TRY(id_field_policies(rq, &policies));
    MLN_TRY(id_field_pairs(rq, "metadata", &metadata));
    mln_remove(e, MLN_BYTES("by_login"));
    if (name.len > 0) {
        mln_put_bytes(cx, e, "name", name);
    }
    if (policies != NULL) {
        mln_put(cx, e, "policies", policies);
    }
    if (metadata != NULL) {
        mln_put(cx, e, "metadata", metadata);
    }
    if (!mln_is_null(disabled)) {
        mln_put(cx, e, "disabled", disabled);
    }
    mln_put_int(cx, e, "updated_ns", rq->now_ns);
    *ret = e;
    return mln_cx_err(cx);
}

static struct mln_err save(struct mln_request *rq, struct mln_reply *re,
                           const struct mln_value *old, struct mln_bytes name)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *entity = NULL, *data = mln_object(cx);
    MLN_TRY(change(rq, old, name, &entity));
    MLN_TRY(id_entity_put(cx, rq->txn, old, entity));
    mln_put(cx, rq->detail, "entity", mln_get(entity, "id"));
    if (old == NULL) {
        mln_put_null(cx, data, "aliases");
        mln_put(cx, data, "id", mln_get(entity, "id"));
        mln_put(cx, data, "name", mln_get(entity, "name"));
        re->data = data;
    }
    return mln_cx_err(cx);
}

/*
 * An entity that only a login made, named after its alias, is not meant by that name: whoever logs in as somebody at a weak mount must
 * not be given what is meant for that somebody. It gives the name up for one that is made up, as Vault names all that logins make.
 */
static struct mln_err give_name_up(struct mln_request *rq, const struct mln_value *old)
{
    struct mln_value *fresh = mln_value_dup(rq->cx, old);
    mln_put(rq->cx, fresh, "name", id_entity_name_made_up(rq->cx));
    mln_put(rq->cx, rq->detail, "renamed_entity", mln_get(old, "id"));
    return id_entity_put(rq->cx, rq->txn, old, fresh);
}


/* By "id" (in path or body) or by "name", which makes one when there is none. */
static struct mln_err write_entity(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id")), name;
    const struct mln_value *old = NULL;
    MLN_TRY(id_field_name(rq, "name", &name));
    struct mln_err err = id.len > 0     ? id_entity(rq->cx, rq->txn, id, &old)
                         : name.len > 0 ? id_entity_named(rq->cx, rq->txn, name, &old)
                                        : (struct mln_err){MLN_E_NOT_FOUND};
    if (mln_is(err, MLN_E_NOT_FOUND) && id.len > 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "entity not found from id");
    }
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (id.len == 0 && mln_get_bool(mln_get(old, "by_login"), false)) {
        MLN_TRY(give_name_up(rq, old));
        old = NULL;
    }
    return save(rq, re, old, name);
}

static struct mln_err find(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *id = mln_field_of(rq, "id");
    return id != NULL
               ? id_entity(rq->cx, rq->txn, mln_get_bytes(id), ret)
               : id_entity_named(rq->cx, rq->txn, mln_get_bytes(mln_field_of(rq, "name")), ret);
}

static struct mln_err read_entity(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entity = NULL;
    MLN_TRY(find(rq, &entity));
    return id_entity_show(rq, entity, &re->data);
}

static struct mln_err delete_entity(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entity = NULL;
    (void)re;
    struct mln_err err = find(rq, &entity);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    mln_txn_mark_relief(rq->txn);
    mln_put(rq->cx, rq->detail, "entity", mln_get(entity, "id"));
    return id_entity_delete(rq->cx, rq->txn, entity);
}

static struct mln_err batch_delete(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *ids = mln_field_of(rq, "entity_ids");
    (void)re;
    if (mln_len(ids) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing entity ids to delete");
    }
    mln_txn_mark_relief(rq->txn);
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *entity = NULL;
        struct mln_err err = id_entity(rq->cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &entity);
        if (!mln_failed(err)) {
            err = id_entity_delete(rq->cx, rq->txn, entity);
        }
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
    }
    mln_put(rq->cx, rq->detail, "entities", ids);
    return mln_cx_err(rq->cx);
}

/* ---- lists ---- */

static struct mln_value *info_of(struct mln_cx *cx, const struct mln_value *entity)
{
    struct mln_value *info = mln_object(cx), *brief = mln_array(cx);
    const struct mln_value *aliases = mln_get(entity, "aliases");
    for (size_t i = 0; i < mln_len(aliases); i++) {
        mln_push(cx, brief, id_alias_brief(cx, mln_item(aliases, i)));
    }
    if (mln_len(aliases) > 0) {
        mln_put(cx, info, "aliases", brief);
    }
    mln_put(cx, info, "name", mln_get(entity, "name"));
    return info;
}

static struct mln_err list_entities(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = NULL;
    bool by_id = mln_bytes_starts(rq->rest, MLN_BYTES("entity/id"));
    struct mln_value *info = mln_object(cx), *names = mln_array(cx);
    MLN_TRY(id_names(cx, rq->txn, MLN_BYTES("id/"), &ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *entity = NULL;
        MLN_TRY(id_entity(cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &entity));
        mln_put_key(cx, info, mln_get_bytes(mln_item(ids, i)), info_of(cx, entity));
        mln_push(cx, names, mln_get(entity, "name"));
        MLN_TRY(mln_cx_err(cx));
    }
    return id_answer_list(rq, re, by_id ? ids : names, by_id ? info : NULL);
}

/* ---- merging ---- */

static struct mln_err move_groups(struct mln_request *rq, const struct mln_value *from,
                                  struct mln_bytes to)
{
    struct mln_bytes id = mln_get_bytes(mln_get(from, "id"));
    const struct mln_value *direct = NULL, *inherited = NULL, *group = NULL;
    MLN_TRY(id_groups_of(rq->cx, rq->txn, id, &direct, &inherited));
    for (size_t i = 0; i < mln_len(direct); i++) {
        MLN_TRY(id_group_member(rq->cx, rq->txn, mln_item(direct, i), id, false));
        MLN_TRY(
            id_group(rq->cx, rq->txn, mln_get_bytes(mln_get(mln_item(direct, i), "id")), &group));
        MLN_TRY(id_group_member(rq->cx, rq->txn, group, to, true));
    }
    return MLN_OK;
}

static const struct mln_value *alias_at(const struct mln_value *entity,
                                        const struct mln_value *accessor)
{
    const struct mln_value *aliases = mln_get(entity, "aliases");
    for (size_t i = 0; i < mln_len(aliases); i++) {
        if (mln_value_eq(mln_get(mln_item(aliases, i), "mount_accessor"), accessor)) {
            return mln_item(aliases, i);
        }
    }
    return NULL;
}

/* Two aliases at one mount cannot both stay: the request names the one that does. */
static struct mln_err move_alias(struct mln_request *rq, const struct mln_value *alias,
                                 const struct mln_value *from, struct mln_value **to)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *kept = mln_field_of(rq, "conflicting_alias_ids_to_keep");
    const struct mln_value *other = alias_at(*to, mln_get(alias, "mount_accessor"));
    struct mln_value *moved = mln_value_dup(cx, alias),
                     *origin = mln_value_dup(cx, mln_get(alias, "merged_from"));
    bool keep_this = id_has(kept, mln_get_bytes(mln_get(alias, "id")));
    if (other != NULL && keep_this == id_has(kept, mln_get_bytes(mln_get(other, "id")))) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "toEntity and at least one fromEntity have aliases with the same mount accessor, "
            "repeat the "
            "merge request specifying exactly one of the conflicting aliases to be kept");
    }
    if (other != NULL && !keep_this) {
        return MLN_OK;
    }
    if (other != NULL) {
        *to = id_entity_with_alias(cx, *to, mln_get_bytes(mln_get(other, "id")), NULL);
    }
    mln_push(cx, origin, mln_get(from, "id"));
    mln_put(cx, moved, "merged_from", origin);
    *to = id_entity_with_alias(cx, *to, mln_get_bytes(mln_get(alias, "id")), moved);
    return mln_cx_err(cx);
}

static struct mln_err absorb(struct mln_request *rq, const struct mln_value *from,
                             struct mln_value **to)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *aliases = mln_get(from, "aliases");
    struct mln_value *merged = mln_value_dup(cx, mln_get(*to, "merged"));
    MLN_TRY(move_groups(rq, from, mln_get_bytes(mln_get(*to, "id"))));
    for (size_t i = 0; i < mln_len(aliases); i++) {
        MLN_TRY(move_alias(rq, mln_item(aliases, i), from, to));
    }
    mln_push(cx, merged, mln_get(from, "id"));
    for (size_t i = 0; i < mln_len(mln_get(from, "merged")); i++) {
        mln_push(cx, merged, mln_item(mln_get(from, "merged"), i));
    }
    mln_put(cx, *to, "merged", merged);
    return id_entity_delete(cx, rq->txn, from);
}

static struct mln_err put_merged(struct mln_request *rq, const struct mln_value *old,
                                 struct mln_value *to)
{
    const struct mln_value *merged = mln_get(to, "merged");
    mln_put_int(rq->cx, to, "updated_ns", rq->now_ns);
    for (size_t i = 0; i < mln_len(merged); i++) {
        struct mln_bytes key =
            mln_bytes_format(rq->cx, "merged/%.*s", MLN_FMT(mln_get_bytes(mln_item(merged, i))));
        MLN_TRY(mln_txn_put_value(rq->cx, rq->txn, id_view(), key, mln_get(to, "id")));
    }
    return id_entity_put(rq->cx, rq->txn, old, to);
}

static struct mln_err merge(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = mln_field_of(rq, "from_entity_ids"), *old = NULL, *from = NULL;
    struct mln_bytes to_id = mln_get_bytes(mln_field_of(rq, "to_entity_id"));
    (void)re;
    if (mln_len(ids) == 0 || to_id.len == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        mln_len(ids) == 0 ? "missing entity ids to merge from"
                                          : "missing entity id to merge to");
    }
    if (id_has(ids, to_id)) {
        return mln_fail(cx, MLN_E_INVALID, "to_entity_id should not be present in from_entity_ids");
    }
    struct mln_err err = id_entity(cx, rq->txn, to_id, &old);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND)
                   ? mln_fail(cx, MLN_E_INVALID, "entity id to merge to is invalid")
                   : err;
    }
    struct mln_value *to = mln_value_dup(cx, old);
    for (size_t i = 0; i < mln_len(ids); i++) {
        err = id_entity(cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &from);
        if (mln_failed(err)) {
            return mln_is(err, MLN_E_NOT_FOUND)
                       ? mln_fail(cx, MLN_E_INVALID, "entity id to merge from is invalid")
                       : err;
        }
        MLN_TRY(absorb(rq, from, &to));
    }
    mln_put(cx, rq->detail, "merged", ids);
    mln_put_bytes(cx, rq->detail, "entity", to_id);
    return put_merged(rq, old, to);
}

/* ---- the table ---- */

#define ENTITY_FIELDS                                                                              \
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name; made up when absent."},                \
        {.name = "metadata", .type = MLN_FIELD_ANY, .help = "Names and texts."},                   \
        {.name = "policies",                                                                       \
         .type = MLN_FIELD_LIST,                                                                   \
         .help = "Policies that its tokens have besides their own."},                              \
    {                                                                                              \
        .name = "disabled", .type = MLN_FIELD_BOOL, .help = "Its tokens are refused."              \
    }

/* A name in the path is all that says whose it is: policy judged the path. */
static const struct mln_field name_fields[] = {ENTITY_FIELDS, {0}};
static const struct mln_field entity_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "Id of an entity to change."},
    ENTITY_FIELDS,
    {0}};
static const struct mln_field ids_fields[] = {
    {.name = "entity_ids", .type = MLN_FIELD_LIST, .help = "Ids to delete."}, {0}};
static const struct mln_field merge_fields[] = {
    {.name = "from_entity_ids", .type = MLN_FIELD_LIST, .help = "Entities that go."},
    {.name = "to_entity_id", .type = MLN_FIELD_TEXT, .help = "The one that stays."},
    {.name = "conflicting_alias_ids_to_keep",
     .type = MLN_FIELD_LIST,
     .help = "Of two aliases at one mount, the one that stays."},
    {.name = "force",
     .type = MLN_FIELD_BOOL,
     .help = "Taken for clients' sake; secrets of a second factor stay with the target."},
    {0},
};

const struct mln_path id_entity_paths[] = {
    {.pattern = "entity",
     .summary = "Make or change an entity.",
     .fields = entity_fields,
     .write = write_entity},
    {.pattern = "entity/merge",
     .summary = "Merge entities into one.",
     .fields = merge_fields,
     .write = merge},
    {.pattern = "entity/batch-delete",
     .summary = "Delete entities.",
     .fields = ids_fields,
     .write = batch_delete,
     .is_relief = true},
    {.pattern = "entity/id", .summary = "List entities by id.", .list = list_entities},
    {.pattern = "entity/name", .summary = "List entities by name.", .list = list_entities},
    {.pattern = "entity/id/{id}",
     .summary = "An entity by its id.",
     .fields = entity_fields,
     .read = read_entity,
     .write = write_entity,
     .remove = delete_entity,
     .is_relief = true},
    {.pattern = "entity/name/{name}",
     .summary = "An entity by its name.",
     .fields = name_fields,
     .read = read_entity,
     .write = write_entity,
     .remove = delete_entity,
     .is_relief = true},
    {0},
};
