/* SPDX-License-Identifier: Apache-2.0 */
/* identity/group-alias: which group of an auth mount an external group stands for. */
#include "identity/identity_priv.h"

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

/* The group that the request names, or a new external one. */
static struct mln_err target(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "canonical_id"));
    if (id.len == 0) {
        struct mln_value *group = id_group_new(rq->cx, NULL, "external", rq->now_ns);
        MLN_TRY(id_group_put(rq->cx, rq->txn, NULL, group));
        *ret = group;
        return MLN_OK;
    }
    struct mln_err err = id_group(rq->cx, rq->txn, id, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid group ID given in 'canonical_id'");
    }
    MLN_TRY(err);
    return mln_is_text(mln_get(*ret, "type"), "external")
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "alias can't be set on an internal group");
}

static struct mln_err place(struct mln_request *rq, struct mln_reply *re,
                            const struct mln_value *group, const struct mln_value *alias)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *old = mln_get(group, "alias");
    struct mln_value *next = mln_value_dup(cx, group), *data = mln_object(cx);
    if (!mln_is_null(old) && !mln_value_eq(mln_get(old, "id"), mln_get(alias, "id"))) {
        return mln_fail(cx, MLN_E_INVALID, "the group has an alias already");
    }
    mln_put(cx, next, "alias", alias);
    mln_put_int(cx, next, "updated_ns", rq->now_ns);
    MLN_TRY(id_group_put(cx, rq->txn, group, next));
    mln_put(cx, data, "canonical_id", mln_get(group, "id"));
    mln_put(cx, data, "id", mln_get(alias, "id"));
    mln_put(cx, rq->detail, "alias", mln_get(alias, "id"));
    re->data = data;
    return mln_cx_err(cx);
}

/* Take it out of a group; its members came through it. */
static struct mln_err take_out(struct mln_request *rq, const struct mln_value *group)
{
    struct mln_value *next = mln_value_dup(rq->cx, group);
    mln_put_null(rq->cx, next, "alias");
    mln_put(rq->cx, next, "member_entity_ids", mln_array(rq->cx));
    mln_put_int(rq->cx, next, "updated_ns", rq->now_ns);
    return id_group_put(rq->cx, rq->txn, group, next);
}

static struct mln_err update(struct mln_request *rq, struct mln_reply *re, struct mln_bytes id)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *group = NULL, *to = NULL;
    const struct mln_mount *mount = NULL;
    struct mln_bytes name, asked = mln_get_bytes(mln_field_of(rq, "canonical_id"));
    struct mln_err err = id_group_of_alias_id(cx, rq->txn, id, &group);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid group alias ID");
    }
    MLN_TRY(err);
    MLN_TRY(id_field_name(rq, "name", &name));
    struct mln_value *alias = mln_value_dup(cx, mln_get(group, "alias"));
    if (name.len > 0) {
        mln_put_bytes(cx, alias, "name", name);
    }
    if (mln_len(mln_field_of(rq, "mount_accessor")) > 0) {
        MLN_TRY(mount_of(rq, mln_get_text(cx, mln_field_of(rq, "mount_accessor"), ""), &mount));
        mln_put_text(cx, alias, "mount_accessor", mount->accessor);
        mln_put_text(cx, alias, "mount_path", mount->path);
        mln_put_text(cx, alias, "mount_type", mount->type);
    }
    mln_put_int(cx, alias, "updated_ns", rq->now_ns);
    if (asked.len == 0 || mln_bytes_eq(asked, mln_get_bytes(mln_get(group, "id")))) {
        return place(rq, re, group, alias);
    }
    MLN_TRY(target(rq, &to));
    MLN_TRY(take_out(rq, group));
    return place(rq, re, to, alias);
}

static struct mln_err create(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const char *accessor = mln_get_text(cx, mln_field_of(rq, "mount_accessor"), "");
    const struct mln_value *group = NULL;
    const struct mln_mount *mount = NULL;
    struct mln_bytes name;
    MLN_TRY(id_field_name(rq, "name", &name));
    if (name.len == 0 || accessor[0] == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        name.len == 0 ? "missing alias name" : "missing mount_accessor");
    }
    MLN_TRY(mount_of(rq, accessor, &mount));
    struct mln_err err = id_group_of_alias(cx, rq->txn, accessor, name, &group);
    if (!mln_failed(err)) {
        return update(rq, re, mln_get_bytes(mln_get(mln_get(group, "alias"), "id")));
    }
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(target(rq, &group));
    return place(rq, re, group, id_alias_new(cx, mount, name, rq->now_ns));
}

static struct mln_err write_alias(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "id"));
    return id.len > 0 ? update(rq, re, id) : create(rq, re);
}

static struct mln_err read_alias(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *group = NULL;
    MLN_TRY(id_group_of_alias_id(rq->cx, rq->txn, mln_get_bytes(mln_field_of(rq, "id")), &group));
    re->data = id_alias_show(rq->cx, mln_get(group, "alias"), id_text(rq->cx, group, "id"));
    return mln_cx_err(rq->cx);
}

static struct mln_err delete_alias(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *group = NULL;
    (void)re;
    struct mln_err err =
        id_group_of_alias_id(rq->cx, rq->txn, mln_get_bytes(mln_field_of(rq, "id")), &group);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    mln_txn_mark_relief(rq->txn);
    mln_put(rq->cx, rq->detail, "alias", mln_field_of(rq, "id"));
    return take_out(rq, group);
}

static struct mln_err list_aliases(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = NULL;
    struct mln_value *info = mln_object(cx);
    MLN_TRY(id_names(cx, rq->txn, MLN_BYTES("group-alias-id/"), &ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *group = NULL;
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        MLN_TRY(id_group_of_alias_id(cx, rq->txn, id, &group));
        struct mln_value *one = id_alias_brief(cx, mln_get(group, "alias"));
        mln_remove(one, MLN_BYTES("id"));
        mln_put(cx, one, "canonical_id", mln_get(group, "id"));
        mln_put_key(cx, info, id, one);
        MLN_TRY(mln_cx_err(cx));
    }
    return id_answer_list(rq, re, ids, info);
}

static const struct mln_field alias_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "Id of an alias to change."},
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The group's name at the mount."},
    {.name = "canonical_id",
     .type = MLN_FIELD_TEXT,
     .help = "The external group; a new one when absent."},
    {.name = "mount_accessor", .type = MLN_FIELD_TEXT, .help = "Accessor of the auth mount."},
    {0},
};

const struct mln_path id_group_alias_paths[] = {
    {.pattern = "group-alias",
     .summary = "Make or change a group alias.",
     .fields = alias_fields,
     .write = write_alias},
    {.pattern = "group-alias/id", .summary = "List group aliases.", .list = list_aliases},
    {.pattern = "group-alias/id/{id}",
     .summary = "A group alias by its id.",
     .fields = alias_fields,
     .read = read_alias,
     .write = write_alias,
     .remove = delete_alias,
     .is_relief = true},
    {0},
};
