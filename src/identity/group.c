/* SPDX-License-Identifier: Apache-2.0 */
/* identity/group: groups of entities and of groups. Members of external groups come from logins alone. */
#include "identity/identity_priv.h"

static bool is_external(const struct mln_value *group)
{
    return mln_is_text(mln_get(group, "type"), "external");
}

/* Each member once, all of them there. */
static struct mln_err members(struct mln_request *rq, const char *field, bool are_groups,
                              const struct mln_value **ret)
{
    const struct mln_value *v = mln_field_of(rq, field), *row = NULL;
    struct mln_value *set = mln_set(rq->cx), *out = mln_array(rq->cx);
    if (mln_len(v) > ID_MEMBERS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "a group has at most %u members", ID_MEMBERS_MAX);
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        struct mln_bytes id = mln_get_bytes(mln_item(v, i));
        struct mln_err err =
            are_groups ? id_group(rq->cx, rq->txn, id, &row) : id_entity(rq->cx, rq->txn, id, &row);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "invalid %s ID \"%.64s\"",
                            are_groups ? "group" : "entity", mln_text_dup(rq->cx, id));
        }
        MLN_TRY(err);
        mln_push(rq->cx, set, mln_item(v, i));
    }
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_push(rq->cx, out, mln_item(set, i));
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

/* No group is in itself: the group must not be reached from its members. */
static struct mln_err expect_no_cycle(struct mln_request *rq, const struct mln_value *group)
{
    struct mln_value *below = mln_array(rq->cx);
    const struct mln_value *first = mln_get(group, "member_group_ids"), *row = NULL;
    struct mln_bytes own = mln_get_bytes(mln_get(group, "id"));
    for (size_t i = 0; i < mln_len(first); i++) {
        mln_push(rq->cx, below, mln_item(first, i));
    }
    for (size_t i = 0; i < mln_len(below); i++) {
        struct mln_bytes id = mln_get_bytes(mln_item(below, i));
        if (mln_bytes_eq(id, own)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "cyclic relationship detected for member group ID \"%.*s\"",
                            MLN_FMT(id));
        }
        if (mln_len(below) > ID_MEMBERS_MAX) {
            return mln_fail(rq->cx, MLN_E_LIMIT, "more than %u groups below one", ID_MEMBERS_MAX);
        }
        struct mln_err err = id_group(rq->cx, rq->txn, id, &row);
        if (mln_failed(err)) {
            if (mln_is(err, MLN_E_NOT_FOUND)) {
                continue;
            }
            return err;
        }
        const struct mln_value *next = mln_get(row, "member_group_ids");
        for (size_t k = 0; k < mln_len(next); k++) {
            if (!id_has(below, mln_get_bytes(mln_item(next, k)))) {
                mln_push(rq->cx, below, mln_item(next, k));
            }
        }
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err change_members(struct mln_request *rq, struct mln_value *group)
{
    const struct mln_value *list = NULL;
    if (!mln_is_null(mln_field_of(rq, "member_group_ids"))) {
        MLN_TRY(members(rq, "member_group_ids", true, &list));
        mln_put(rq->cx, group, "member_group_ids", list);
        MLN_TRY(expect_no_cycle(rq, group));
    }
    if (mln_is_null(mln_field_of(rq, "member_entity_ids"))) {
        return MLN_OK;
    }
    if (is_external(group)) {
        return mln_len(mln_field_of(rq, "member_entity_ids")) == 0
                   ? MLN_OK
                   : mln_fail(rq->cx, MLN_E_INVALID,
                              "member entities can't be set manually for external groups");
    }
    MLN_TRY(members(rq, "member_entity_ids", false, &list));
    mln_put(rq->cx, group, "member_entity_ids", list);
    return mln_cx_err(rq->cx);
}

static struct mln_err change(struct mln_request *rq, const struct mln_value *old,
                             struct mln_bytes name, struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const char *type = mln_get_text(cx, mln_field_of(rq, "type"), "");
    const struct mln_value *policies = NULL, *metadata = NULL;
    if (type[0] != 0 && !mln_bytes_is(mln_bytes_of(type), "internal") &&
        !mln_bytes_is(mln_bytes_of(type), "external")) {
        return mln_fail(cx, MLN_E_INVALID, "invalid group type \"%s\"", type);
    }
    if (old != NULL && type[0] != 0 && !mln_is_text(mln_get(old, "type"), type)) {
        return mln_fail(cx, MLN_E_INVALID, "group type cannot be changed");
    }
    const char *own = name.len > 0 ? mln_text_dup(cx, name) : NULL;
    struct mln_value *group =
        old != NULL ? mln_value_dup(cx, old)
                    : id_group_new(cx, own, type[0] != 0 ? type : "internal", rq->now_ns);
    MLN_TRY(id_field_policies(rq, &policies));
    MLN_TRY(id_field_pairs(rq, "metadata", &metadata));
    if (name.len > 0) {
        mln_put_bytes(cx, group, "name", name);
    }
    if (policies != NULL) {
        mln_put(cx, group, "policies", policies);
    }
    if (metadata != NULL) {
        mln_put(cx, group, "metadata", metadata);
    }
    mln_put_int(cx, group, "updated_ns", rq->now_ns);
    *ret = group;
    return change_members(rq, group);
}

static struct mln_err write_group(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id")), name;
    const struct mln_value *old = NULL;
    struct mln_value *group = NULL, *data = mln_object(cx);
    MLN_TRY(id_field_name(rq, "name", &name));
    struct mln_err err = id.len > 0     ? id_group(cx, rq->txn, id, &old)
                         : name.len > 0 ? id_group_named(cx, rq->txn, name, &old)
                                        : (struct mln_err){MLN_E_NOT_FOUND};
    if (mln_is(err, MLN_E_NOT_FOUND) && id.len > 0) {
        return mln_fail(cx, MLN_E_INVALID, "invalid group ID");
    }
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(change(rq, old, name, &group));
    MLN_TRY(id_group_put(cx, rq->txn, old, group));
    mln_put(cx, rq->detail, "group", mln_get(group, "id"));
    mln_put(cx, data, "id", mln_get(group, "id"));
    mln_put(cx, data, "name", mln_get(group, "name"));
    re->data = old == NULL ? data : NULL;
    return mln_cx_err(cx);
}

static struct mln_err find(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *id = mln_field_of(rq, "id");
    return id != NULL
               ? id_group(rq->cx, rq->txn, mln_get_bytes(id), ret)
               : id_group_named(rq->cx, rq->txn, mln_get_bytes(mln_field_of(rq, "name")), ret);
}

static struct mln_err read_group(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *group = NULL;
    MLN_TRY(find(rq, &group));
    return id_group_show(rq, group, &re->data);
}

static struct mln_err delete_group(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *group = NULL;
    (void)re;
    struct mln_err err = find(rq, &group);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    mln_txn_mark_relief(rq->txn);
    mln_put(rq->cx, rq->detail, "group", mln_get(group, "id"));
    return id_group_delete(rq->cx, rq->txn, group);
}

static struct mln_err list_groups(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = NULL, *parents = NULL;
    bool by_id = mln_bytes_starts(rq->rest, MLN_BYTES("group/id"));
    struct mln_value *info = mln_object(cx), *names = mln_array(cx);
    MLN_TRY(id_names(cx, rq->txn, MLN_BYTES("group/"), &ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *group = NULL;
        struct mln_value *one = mln_object(cx);
        MLN_TRY(id_group(cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &group));
        MLN_TRY(id_parents_of(cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &parents));
        mln_put(cx, one, "name", mln_get(group, "name"));
        mln_put_int(cx, one, "num_member_entities",
                    (int64_t)mln_len(mln_get(group, "member_entity_ids")));
        mln_put_int(cx, one, "num_parent_groups", (int64_t)mln_len(parents));
        mln_put_key(cx, info, mln_get_bytes(mln_item(ids, i)), one);
        mln_push(cx, names, mln_get(group, "name"));
        MLN_TRY(mln_cx_err(cx));
    }
    return id_answer_list(rq, re, by_id ? ids : names, by_id ? info : NULL);
}

#define GROUP_FIELDS                                                                               \
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name; made up when absent."},                \
        {.name = "type", .type = MLN_FIELD_TEXT, .help = "\"internal\" or \"external\"."},         \
        {.name = "metadata", .type = MLN_FIELD_ANY, .help = "Names and texts."},                   \
        {.name = "policies", .type = MLN_FIELD_LIST, .help = "Policies of all that are in it."},   \
        {.name = "member_entity_ids", .type = MLN_FIELD_LIST, .help = "Entities in it."},          \
    {                                                                                              \
        .name = "member_group_ids", .type = MLN_FIELD_LIST, .help = "Groups in it."                \
    }

static const struct mln_field name_fields[] = {GROUP_FIELDS, {0}};
static const struct mln_field group_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "Id of a group to change."}, GROUP_FIELDS, {0}};

const struct mln_path id_group_paths[] = {
    {.pattern = "group",
     .summary = "Make or change a group.",
     .fields = group_fields,
     .write = write_group},
    {.pattern = "group/id", .summary = "List groups by id.", .list = list_groups},
    {.pattern = "group/name", .summary = "List groups by name.", .list = list_groups},
    {.pattern = "group/id/{id}",
     .summary = "A group by its id.",
     .fields = group_fields,
     .read = read_group,
     .write = write_group,
     .remove = delete_group,
     .is_relief = true},
    {.pattern = "group/name/{name}",
     .summary = "A group by its name.",
     .fields = name_fields,
     .read = read_group,
     .write = write_group,
     .remove = delete_group,
     .is_relief = true},
    {0},
};
