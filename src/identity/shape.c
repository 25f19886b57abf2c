/* SPDX-License-Identifier: Apache-2.0 */
/* Fields that several paths of identity take, and the shapes in which entities, aliases and groups are shown. */
#include "identity/identity_priv.h"

/* ---- fields ---- */

static struct mln_err put_pair(struct mln_request *rq, struct mln_bytes key, struct mln_bytes value,
                               struct mln_value *out)
{
    if (key.len == 0 || key.len > ID_METADATA_KEY || value.len > ID_METADATA_VALUE) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "a key of metadata has 1 to %u bytes, its value at most %u",
                        ID_METADATA_KEY, ID_METADATA_VALUE);
    }
    mln_put_key(rq->cx, out, key, mln_string(rq->cx, value));
    return MLN_OK;
}

/* {"a":"b"}, or "a=b" once or in an array. */
struct mln_err id_field_pairs(struct mln_request *rq, const char *field,
                              const struct mln_value **ret)
{
    const struct mln_value *v = mln_field_of(rq, field);
    struct mln_value *out = mln_object(rq->cx);
    enum mln_type type = mln_type_of(v);
    if (type == MLN_NULL) {
        *ret = NULL;
        return MLN_OK;
    }
    if (type != MLN_OBJECT && type != MLN_ARRAY && type != MLN_STRING) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s must be a map of texts", field);
    }
    for (size_t i = 0; i < (type == MLN_STRING ? 1 : mln_len(v)); i++) {
        const struct mln_value *value = type == MLN_OBJECT  ? &mln_member_at(v, i)->value
                                        : type == MLN_ARRAY ? mln_item(v, i)
                                                            : v;
        struct mln_bytes text = mln_get_bytes(value), rest = text;
        struct mln_bytes key =
            type == MLN_OBJECT ? mln_member_at(v, i)->key : mln_bytes_cut(text, '=', &rest);
        if (mln_type_of(value) != MLN_STRING || (type != MLN_OBJECT && key.len == text.len)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s must be a map of texts", field);
        }
        MLN_TRY(put_pair(rq, key, rest, out));
    }
    if (mln_len(out) > ID_METADATA_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s has at most %u pairs", field, ID_METADATA_MAX);
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

struct mln_err id_field_policies(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *v = mln_field_of(rq, "policies");
    struct mln_value *sorted = mln_set(rq->cx), *out = mln_array(rq->cx);
    if (mln_is_null(v)) {
        *ret = NULL;
        return MLN_OK;
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        struct mln_bytes name = mln_bytes_trim(mln_get_bytes(mln_item(v, i)));
        if (mln_bytes_is_nocase(name, "root")) {
            return mln_fail(rq->cx, MLN_E_INVALID, "policies cannot contain root");
        }
        if (name.len > MLN_NAME_MAX_BYTES || mln_len(v) > ID_POLICIES_MAX) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "at most %u policies with names of at most %d bytes", ID_POLICIES_MAX,
                            MLN_NAME_MAX_BYTES);
        }
        if (name.len > 0) {
            mln_push(rq->cx, sorted, mln_string(rq->cx, name));
        }
    }
    for (size_t i = 0; i < mln_len(sorted); i++) {
        mln_push(rq->cx, out, mln_item(sorted, i));
    }
    *ret = out;
    return mln_cx_err(rq->cx);
}

struct mln_err id_field_name(struct mln_request *rq, const char *field, struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, field));
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] < 0x20 || name.ptr[i] == 0x7f) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s has no control characters", field);
        }
    }
    if (name.len > MLN_NAME_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s has at most %d bytes", field,
                        MLN_NAME_MAX_BYTES);
    }
    *ret = name;
    return MLN_OK;
}

/* ---- answers ---- */

const struct mln_value *id_list_or_null(struct mln_cx *cx, const struct mln_value *list)
{
    return mln_len(list) > 0 ? list : mln_null(cx);
}

static void put_time(struct mln_cx *cx, struct mln_value *out, const char *key,
                     const struct mln_value *from, const char *column)
{
    mln_put_text(cx, out, key, mln_time_text_go(cx, mln_get_int(mln_get(from, column), 0)));
}

struct mln_value *id_alias_brief(struct mln_cx *cx, const struct mln_value *alias)
{
    static const char *const same[] = {"id", "mount_accessor", "mount_path", "mount_type", "name"};
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(cx, out, same[i],
                mln_get(alias, same[i]) != NULL ? mln_get(alias, same[i]) : mln_text(cx, ""));
    }
    return out;
}

struct mln_value *id_alias_show(struct mln_cx *cx, const struct mln_value *alias,
                                const char *canonical_id)
{
    struct mln_value *out = id_alias_brief(cx, alias);
    const struct mln_value *custom = mln_get(alias, "custom_metadata");
    mln_put_text(cx, out, "canonical_id", canonical_id);
    put_time(cx, out, "creation_time", alias, "created_ns");
    mln_put(cx, out, "custom_metadata", id_list_or_null(cx, custom));
    put_time(cx, out, "last_update_time", alias, "updated_ns");
    mln_put_bool(cx, out, "local", false);
    mln_put(cx, out, "merged_from_canonical_ids",
            id_list_or_null(cx, mln_get(alias, "merged_from")));
    mln_put(cx, out, "metadata", id_list_or_null(cx, mln_get(alias, "metadata")));
    return out;
}

static const struct mln_value *ids_of(struct mln_cx *cx, const struct mln_value *groups,
                                      struct mln_value *also)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(groups); i++) {
        mln_push(cx, out, mln_get(mln_item(groups, i), "id"));
        mln_push(cx, also, mln_get(mln_item(groups, i), "id"));
    }
    return out;
}

struct mln_err id_entity_show(struct mln_request *rq, const struct mln_value *entity,
                              const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *direct = NULL, *inherited = NULL, *aliases = mln_get(entity, "aliases");
    struct mln_value *out = mln_object(cx), *all = mln_array(cx), *shown = mln_array(cx);
    MLN_TRY(id_groups_of(cx, rq->txn, mln_get_bytes(mln_get(entity, "id")), &direct, &inherited));
    for (size_t i = 0; i < mln_len(aliases); i++) {
        mln_push(cx, shown, id_alias_show(cx, mln_item(aliases, i), id_text(cx, entity, "id")));
    }
    mln_put(cx, out, "aliases", shown);
    put_time(cx, out, "creation_time", entity, "created_ns");
    mln_put(cx, out, "direct_group_ids", ids_of(cx, direct, all));
    mln_put_bool(cx, out, "disabled", mln_get_bool(mln_get(entity, "disabled"), false));
    const struct mln_value *inherited_ids = ids_of(cx, inherited, all);
    mln_put(cx, out, "group_ids", all);
    mln_put(cx, out, "id", mln_get(entity, "id"));
    mln_put(cx, out, "inherited_group_ids", inherited_ids);
    put_time(cx, out, "last_update_time", entity, "updated_ns");
    mln_put(cx, out, "merged_entity_ids", id_list_or_null(cx, mln_get(entity, "merged")));
    mln_put(cx, out, "metadata", id_list_or_null(cx, mln_get(entity, "metadata")));
    mln_put(cx, out, "name", mln_get(entity, "name"));
    mln_put_bytes(cx, out, "namespace_id", rq->ns);
    mln_put(cx, out, "policies",
            mln_get(entity, "policies") != NULL ? mln_get(entity, "policies") : mln_array(cx));
    *ret = out;
    return mln_cx_err(cx);
}

struct mln_err id_group_show(struct mln_request *rq, const struct mln_value *group,
                             const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *parents = NULL, *alias = mln_get(group, "alias");
    struct mln_value *out = mln_object(cx);
    MLN_TRY(id_parents_of(cx, rq->txn, mln_get_bytes(mln_get(group, "id")), &parents));
    mln_put(cx, out, "alias",
            mln_is_null(alias) ? mln_object(cx)
                               : id_alias_show(cx, alias, id_text(cx, group, "id")));
    put_time(cx, out, "creation_time", group, "created_ns");
    mln_put(cx, out, "id", mln_get(group, "id"));
    put_time(cx, out, "last_update_time", group, "updated_ns");
    mln_put(cx, out, "member_entity_ids", id_list_or_null(cx, mln_get(group, "member_entity_ids")));
    mln_put(cx, out, "member_group_ids", id_list_or_null(cx, mln_get(group, "member_group_ids")));
    mln_put(cx, out, "metadata", id_list_or_null(cx, mln_get(group, "metadata")));
    mln_put(cx, out, "modify_index", mln_get(group, "modify_index"));
    mln_put(cx, out, "name", mln_get(group, "name"));
    mln_put_bytes(cx, out, "namespace_id", rq->ns);
    mln_put(cx, out, "parent_group_ids", id_list_or_null(cx, parents));
    mln_put(cx, out, "policies", id_list_or_null(cx, mln_get(group, "policies")));
    mln_put(cx, out, "type", mln_get(group, "type"));
    *ret = out;
    return mln_cx_err(cx);
}

struct mln_err id_answer_list(struct mln_request *rq, struct mln_reply *re,
                              const struct mln_value *keys, const struct mln_value *info)
{
    struct mln_value *data = mln_object(rq->cx);
    if (mln_len(keys) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    if (info != NULL) {
        mln_put(rq->cx, data, "key_info", info);
    }
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

void id_answer_text(struct mln_request *rq, struct mln_reply *re, const char *key, const char *text)
{
    struct mln_value *data =
        re->data != NULL ? mln_value_dup(rq->cx, re->data) : mln_object(rq->cx);
    mln_put_text(rq->cx, data, key, text);
    re->data = data;
}
