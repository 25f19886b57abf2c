/* SPDX-License-Identifier: Apache-2.0 */
/* identity/lookup: an entity or group by one thing that is known of it; nothing there is 204. */
#include "identity/identity_priv.h"

struct query {
    struct mln_bytes id, name, alias_id, alias_name;
    const char *accessor;
};

static struct mln_err read_query(struct mln_request *rq, struct query *q)
{
    q->id = mln_get_bytes(mln_field_of(rq, "id"));
    q->alias_id = mln_get_bytes(mln_field_of(rq, "alias_id"));
    q->accessor = mln_get_text(rq->cx, mln_field_of(rq, "alias_mount_accessor"), "");
    MLN_TRY(id_field_name(rq, "name", &q->name));
    MLN_TRY(id_field_name(rq, "alias_name", &q->alias_name));
    bool has_alias = q->alias_name.len > 0, has_mount = q->accessor[0] != 0;
    int n = (q->id.len > 0) + (q->name.len > 0) + (q->alias_id.len > 0) + (has_alias || has_mount);
    if (n == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "query parameter not supplied");
    }
    if (n > 1) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "query parameter conflict; please supply distinct set of query parameters");
    }
    if (has_alias != has_mount) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "both 'alias_name' and 'alias_mount_accessor' needs to be set");
    }
    return MLN_OK;
}

static struct mln_err or_nothing(struct mln_err err)
{
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static struct mln_err lookup_entity(struct mln_request *rq, struct mln_reply *re)
{
    struct query q = {0};
    const struct mln_value *e = NULL;
    MLN_TRY(read_query(rq, &q));
    struct mln_err err = q.id.len > 0     ? id_entity(rq->cx, rq->txn, q.id, &e)
                         : q.name.len > 0 ? id_entity_named(rq->cx, rq->txn, q.name, &e)
                         : q.alias_id.len > 0
                             ? id_entity_of_alias_id(rq->cx, rq->txn, q.alias_id, &e)
                             : id_entity_of_alias(rq->cx, rq->txn, q.accessor, q.alias_name, &e);
    return mln_failed(err) ? or_nothing(err) : id_entity_show(rq, e, &re->data);
}

static struct mln_err lookup_group(struct mln_request *rq, struct mln_reply *re)
{
    struct query q = {0};
    const struct mln_value *g = NULL;
    MLN_TRY(read_query(rq, &q));
    struct mln_err err = q.id.len > 0     ? id_group(rq->cx, rq->txn, q.id, &g)
                         : q.name.len > 0 ? id_group_named(rq->cx, rq->txn, q.name, &g)
                         : q.alias_id.len > 0
                             ? id_group_of_alias_id(rq->cx, rq->txn, q.alias_id, &g)
                             : id_group_of_alias(rq->cx, rq->txn, q.accessor, q.alias_name, &g);
    return mln_failed(err) ? or_nothing(err) : id_group_show(rq, g, &re->data);
}

static const struct mln_field lookup_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "Its id."},
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Its name."},
    {.name = "alias_id", .type = MLN_FIELD_TEXT, .help = "The id of an alias of it."},
    {.name = "alias_name",
     .type = MLN_FIELD_TEXT,
     .help = "The name of an alias; with alias_mount_accessor."},
    {.name = "alias_mount_accessor", .type = MLN_FIELD_TEXT, .help = "The alias's mount."},
    {0},
};

const struct mln_path id_lookup_paths[] = {
    {.pattern = "lookup/entity",
     .summary = "Find an entity.",
     .fields = lookup_fields,
     .write = lookup_entity},
    {.pattern = "lookup/group",
     .summary = "Find a group.",
     .fields = lookup_fields,
     .write = lookup_group},
    {0},
};
