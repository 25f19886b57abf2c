/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon migrate: entities, groups and their aliases. Ids and accessors are each server's own:
 * entities and groups are matched by name, aliases by the path of their auth mount.
 */
#include "cli/migrate_priv.h"

#define ENTITY "identity/entity/name"
#define GROUP  "identity/group/name"

/* ---- ids and names ---- */

static struct mln_err ids_at(struct migrate *m, const struct mig_side *side, const char *path,
                             const struct mln_value **ret)
{
    struct mln_cli_reply reply = {0};
    mig_fresh(m);
    struct mln_err err = mig_call(m, side, "LIST", path, NULL, &reply);
    *ret = NULL;
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mig_fresh(m);
        return MLN_OK;
    }
    if (mln_failed(err)) { /* the body of a refusal is not looked at, and forgotten with its row */
        return mig_caught(m, path, err);
    }
    *ret = mln_value_dup(m->cli->cx, mln_get(reply.data, "key_info"));
    return mln_cx_err(m->cli->cx);
}

static struct mln_err look(struct migrate *m, struct mig_side *side)
{
    MLN_TRY(ids_at(m, side, "identity/entity/id", &side->entities));
    return ids_at(m, side, "identity/group/id", &side->groups);
}

/* An array of ids as an array of names; ids that nobody has are left out. */
static struct mln_value *names_of(struct mln_cx *cx, const struct mln_value *info, const struct mln_value *ids)
{
    struct mln_value *names = mln_array(cx);
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *name = mln_get(mln_get_key(info, mln_get_bytes(mln_item(ids, i))), "name");
        if (mln_len(name) > 0) {
            mln_push(cx, names, name);
        }
    }
    return names;
}

static struct mln_bytes id_of(const struct mln_value *info, struct mln_bytes name)
{
    for (size_t i = 0; mln_type_of(info) == MLN_OBJECT && i < mln_len(info); i++) {
        const struct mln_member *x = mln_member_at(info, i);
        if (mln_bytes_eq(mln_get_bytes(mln_get(&x->value, "name")), name)) {
            return x->key;
        }
    }
    return MLN_BYTES_NONE;
}

static struct mln_value *ids_of(struct mln_cx *cx, const struct mln_value *info,
                                const struct mln_value *names, size_t *ret_missing)
{
    struct mln_value *ids = mln_array(cx);
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes id = id_of(info, mln_get_bytes(mln_item(names, i)));
        *ret_missing += id.len == 0;
        if (id.len > 0) {
            mln_push(cx, ids, mln_string(cx, id));
        }
    }
    return ids;
}

/* ---- groups ---- */

static struct mln_err read_group(struct migrate *m, const struct mig_side *side, const char *path,
                                 struct mln_value *body, const char **note)
{
    (void)path;
    (void)note;
    struct mln_cx *cx = &m->work;
    struct mln_value *entities = names_of(cx, side->entities, mln_get(body, "member_entity_ids"));
    struct mln_value *groups = names_of(cx, side->groups, mln_get(body, "member_group_ids"));
    mln_remove(body, MLN_BYTES("member_entity_ids"));
    mln_remove(body, MLN_BYTES("member_group_ids"));
    if (!mln_is_text(mln_get(body, "type"), "external")) { /* members of those follow logins */
        mln_put(cx, body, "member_entities", entities);
        mln_put(cx, body, "member_groups", groups);
    }
    return mln_cx_err(cx);
}

static struct mln_err write_group(struct migrate *m, const struct mig_side *side, const char *path,
                                  struct mln_value *body, const char **note)
{
    (void)path;
    struct mln_cx *cx = &m->work;
    size_t missing = 0;
    bool has_members = mln_get(body, "member_entities") != NULL;
    struct mln_value *entities = ids_of(cx, side->entities, mln_get(body, "member_entities"), &missing);
    struct mln_value *groups = ids_of(cx, side->groups, mln_get(body, "member_groups"), &missing);
    mln_remove(body, MLN_BYTES("member_entities"));
    mln_remove(body, MLN_BYTES("member_groups"));
    if (has_members) {
        mln_put(cx, body, "member_entity_ids", entities);
        mln_put(cx, body, "member_group_ids", groups);
    }
    if (missing > 0) {
        *note = mln_text_format(cx, "%zu members are not at the target", missing);
    }
    return mln_cx_err(cx);
}

static const struct mig_kind entity_kind = {
    .item = ENTITY,
    .drop = "id,name,aliases,creation_time,last_update_time,direct_group_ids,group_ids,inherited_group_ids,"
            "merged_entity_ids,namespace_id,bucket_key_hash,mfa_secrets,modify_index",
};
static const struct mig_kind group_kind = {
    .item = GROUP,
    .drop = "id,name,alias,creation_time,last_update_time,modify_index,namespace_id,parent_group_ids",
    .read = read_group,
    .write = write_group,
};

/* A group that is not there yet, bare, so that others can have it as a member. */
static struct mln_err found(struct migrate *m, const char *path)
{
    const struct mln_value *wanted = NULL, *have = NULL;
    struct mln_cli_reply reply = {0};
    MLN_TRY(mig_read(m, &m->from, path, &wanted));
    MLN_TRY(mig_read(m, &m->to, path, &have));
    if (wanted == NULL || have != NULL) {
        return MLN_OK;
    }
    struct mln_value *body = mln_object(&m->work);
    mln_put(&m->work, body, "type", mln_get(wanted, "type"));
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, path, MIG_OPEN, ""));
    return mig_call(m, &m->to, "POST", path, body, &reply);
}

/* ---- aliases ---- */

/* The target's accessor of the auth mount at "auth/jwt/"; NULL = nothing is mounted there. */
static const struct mln_value *accessor_at(const struct migrate *m, struct mln_bytes mount_path)
{
    struct mln_bytes auth = MLN_BYTES("auth/");
    mount_path = mln_bytes_starts(mount_path, auth) ? mln_bytes_from(mount_path, auth.len) : mount_path;
    return mln_get(mln_get_key(m->to.auth, mount_path), "accessor");
}

struct alias {
    const char *owner; /* path of the entity or group */
    const char *path;  /* as the report has it */
    const char *api;   /* "identity/entity-alias" */
    const char *lookup;
    struct mln_value *name, *accessor, *custom;
};

/* Whose the alias is at the target: an id, or none. */
static struct mln_err holder(struct migrate *m, const struct alias *a, struct mln_bytes *ret)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(&m->work);
    mln_put(&m->work, body, "alias_name", a->name);
    mln_put(&m->work, body, "alias_mount_accessor", a->accessor);
    struct mln_err err = mig_call(m, &m->to, "POST", a->lookup, body, &reply);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(&m->work);
        err = MLN_OK;
    }
    *ret = mln_get_bytes(mln_get(reply.data, "id"));
    return err;
}

static struct mln_err attach(struct migrate *m, const struct alias *a, const struct mln_value *owner)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(&m->work);
    mln_put(&m->work, body, "name", a->name);
    mln_put(&m->work, body, "mount_accessor", a->accessor);
    mln_put(&m->work, body, "canonical_id", mln_get(owner, "id"));
    if (!mig_is_empty(a->custom)) {
        mln_put(&m->work, body, "custom_metadata", a->custom);
    }
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, a->path, MIG_OPEN, ""));
    MLN_TRY(mig_call(m, &m->to, "POST", a->api, body, &reply));
    return mig_done(m, a->path, "", NULL);
}

static struct mln_err place(struct migrate *m, const struct alias *a)
{
    const struct mln_value *owner = NULL;
    struct mln_bytes who;
    if (mln_is_null(a->accessor)) {
        return m->is_dry ? mig_row(m, a->path, MIG_PLANNED, NULL)
                         : mig_row(m, a->path, MIG_LEFT, "its auth mount is not at the target");
    }
    MLN_TRY(mig_read(m, &m->to, a->owner, &owner));
    MLN_TRY(holder(m, a, &who));
    if (who.len > 0 && mln_bytes_eq(who, mln_get_bytes(mln_get(owner, "id")))) {
        const struct mig_entry *e = mig_state_get(&m->state, a->path);
        return mig_row(m, a->path, e != NULL && e->mark == MIG_DONE ? MIG_VERIFIED : MIG_PRESENT, NULL);
    }
    if (who.len > 0) {
        return mig_row(m, a->path, MIG_CONFLICT, "it is another's at the target");
    }
    if (m->is_dry) {
        return mig_row(m, a->path, MIG_PLANNED, NULL);
    }
    return owner == NULL ? mig_row(m, a->path, MIG_LEFT, "its owner is not at the target")
                         : attach(m, a, owner);
}

static struct mln_err alias(struct migrate *m, const char *owner, bool is_group, const struct mln_value *v)
{
    struct mln_cx *cx = m->cli->cx;
    struct mln_bytes mount = mln_get_bytes(mln_get(v, "mount_path"));
    struct mln_bytes name = mln_get_bytes(mln_get(v, "name"));
    struct alias a = {
        .owner = owner,
        .path = mln_text_format(cx, "%s/alias/%.*s%.*s", owner, MLN_FMT(mount), MLN_FMT(name)),
        .api = is_group ? "identity/group-alias" : "identity/entity-alias",
        .lookup = is_group ? "identity/lookup/group" : "identity/lookup/entity",
        .name = mln_string_dup(cx, name),
        .custom = mln_value_dup(cx, mln_get(v, "custom_metadata")),
        .accessor = mln_value_dup(cx, accessor_at(m, mount)),
    };
    MLN_TRY(mln_cx_err(cx));
    if (!mig_wanted(m->only, m->exclude, a.path)) {
        return MLN_OK;
    }
    mig_fresh(m);
    return mig_caught(m, a.path, place(m, &a));
}

static struct mln_err aliases_of(struct migrate *m, const char *path, bool is_group)
{
    const struct mln_value *data = NULL;
    mig_fresh(m);
    MLN_TRY(mig_caught(m, path, mig_read(m, &m->from, path, &data)));
    const struct mln_value *one = mln_value_dup(m->cli->cx, mln_get(data, is_group ? "alias" : "aliases"));
    if (is_group) {
        return mln_len(one) > 0 ? alias(m, path, true, one) : mln_cx_err(m->cli->cx);
    }
    for (size_t i = 0; i < mln_len(one); i++) {
        MLN_TRY(alias(m, path, false, mln_item(one, i)));
    }
    return mln_cx_err(m->cli->cx);
}

/* ---- all ---- */

static const char *path_of(struct migrate *m, const char *under, const struct mln_value *names, size_t i)
{
    return mln_text_format(m->cli->cx, "%s/%s", under, mln_get_text(m->cli->cx, mln_item(names, i), ""));
}

static struct mln_err entities(struct migrate *m)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mig_caught(m, ENTITY, mig_list(m, &m->from, ENTITY, &names)));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *path = path_of(m, ENTITY, names, i);
        MLN_TRY(mig_object(m, &entity_kind, path, false));
        MLN_TRY(aliases_of(m, path, false));
    }
    return MLN_OK;
}

static struct mln_err groups(struct migrate *m)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mig_caught(m, GROUP, mig_list(m, &m->from, GROUP, &names)));
    for (size_t i = 0; i < mln_len(names) && !m->is_dry; i++) {
        const char *path = path_of(m, GROUP, names, i);
        mig_fresh(m);
        if (mig_wanted(m->only, m->exclude, path)) {
            MLN_TRY(mig_caught(m, path, found(m, path)));
        }
    }
    MLN_TRY(look(m, &m->from));
    MLN_TRY(look(m, &m->to));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *path = path_of(m, GROUP, names, i);
        MLN_TRY(mig_object(m, &group_kind, path, false));
        MLN_TRY(aliases_of(m, path, true));
    }
    return mln_cx_err(m->cli->cx);
}

struct mln_err mig_identity(struct migrate *m)
{
    MLN_TRY(entities(m));
    return groups(m);
}
