/* SPDX-License-Identifier: Apache-2.0 */
/* identity/mfa/login-enforcement: whose logins need which second factor. */
#include "identity/mfa_priv.h"

#define ENTRIES_MAX 1024u /* of one list */

static const char *const selectors[] = {"auth_method_accessors", "auth_method_types",
                                        "identity_group_ids", "identity_entity_ids"};

static struct mln_err key_of(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes name;
    MLN_TRY(id_field_name(rq, "name", &name));
    if (name.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing enforcement name");
    }
    *ret = mln_bytes_format(rq->cx, "mfa/enforcement/%s", mln_hex_text(rq->cx, name));
    return mln_cx_err(rq->cx);
}

static struct mln_err put_selectors(struct mln_request *rq, struct mln_value *e)
{
    size_t n = 0;
    for (size_t i = 0; i < MLN_COUNT(selectors); i++) {
        const struct mln_value *v = mln_field_of(rq, selectors[i]);
        if (mln_len(v) > ENTRIES_MAX) {
            return mln_fail(rq->cx, MLN_E_LIMIT, "%s has at most %u entries", selectors[i],
                            ENTRIES_MAX);
        }
        if (!mln_is_null(v)) {
            mln_put(rq->cx, e, selectors[i], v);
        }
        n += mln_len(mln_get(e, selectors[i]));
    }
    return n > 0 ? MLN_OK
                 : mln_fail(rq->cx, MLN_E_INVALID,
                            "One of auth_method_accessors, auth_method_types, identity_group_ids, "
                            "identity_entity_ids "
                            "must be specified");
}

static struct mln_err put_methods(struct mln_request *rq, struct mln_value *e)
{
    const struct mln_value *ids = mln_field_of(rq, "mfa_method_ids"), *m = NULL;
    for (size_t i = 0; i < mln_len(ids) && i <= ENTRIES_MAX; i++) {
        struct mln_err err = mfa_method(rq->cx, rq->txn, mln_get_bytes(mln_item(ids, i)), &m);
        if (mln_is(err, MLN_E_NOT_FOUND) || i == ENTRIES_MAX) {
            return mln_fail(rq->cx, MLN_E_INVALID, "one of the provided method ids doesn't exist");
        }
        MLN_TRY(err);
    }
    if (!mln_is_null(ids)) {
        mln_put(rq->cx, e, "mfa_method_ids", ids);
    }
    return mln_len(mln_get(e, "mfa_method_ids")) > 0
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "missing method ids");
}

static struct mln_err write_enforcement(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    struct mln_bytes key;
    (void)re;
    MLN_TRY(key_of(rq, &key));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, id_view(), key, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *e = old != NULL ? mln_value_dup(rq->cx, old) : mln_object(rq->cx);
    if (old == NULL) {
        mln_put_text(rq->cx, e, "id", id_new_uuid(rq->cx));
        mln_put(rq->cx, e, "name", mln_field_of(rq, "name"));
        for (size_t i = 0; i < MLN_COUNT(selectors); i++) {
            mln_put(rq->cx, e, selectors[i], mln_array(rq->cx));
        }
    }
    MLN_TRY(put_methods(rq, e));
    MLN_TRY(put_selectors(rq, e));
    mln_put(rq->cx, rq->detail, "enforcement", mln_field_of(rq, "name"));
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, id_view(), key, e);
}

static struct mln_err read_enforcement(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *e = NULL;
    struct mln_bytes key;
    MLN_TRY(key_of(rq, &key));
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, id_view(), key, &e));
    struct mln_value *out = mln_value_dup(rq->cx, e);
    mln_put_bytes(rq->cx, out, "namespace_id", rq->ns);
    re->data = out;
    return mln_cx_err(rq->cx);
}

static struct mln_err delete_enforcement(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes key;
    (void)re;
    MLN_TRY(key_of(rq, &key));
    mln_put(rq->cx, rq->detail, "enforcement", mln_field_of(rq, "name"));
    return mln_txn_delete(rq->cx, rq->txn, id_view(), key);
}

static struct mln_err list_enforcements(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL, *e = NULL;
    struct mln_value *names = mln_array(rq->cx), *info = mln_object(rq->cx);
    MLN_TRY(id_names(rq->cx, rq->txn, MLN_BYTES("mfa/enforcement/"), &keys));
    for (size_t i = 0; i < mln_len(keys); i++) {
        MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, id_view(),
                                  mln_bytes_format(rq->cx, "mfa/enforcement/%.*s",
                                                   MLN_FMT(mln_get_bytes(mln_item(keys, i)))),
                                  &e));
        mln_push(rq->cx, names, mln_get(e, "name"));
        mln_put_key(rq->cx, info, mln_get_bytes(mln_get(e, "name")), e);
    }
    return id_answer_list(rq, re, names, info);
}

static const struct mln_field fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Its name."},
    {.name = "mfa_method_ids",
     .type = MLN_FIELD_LIST,
     .help = "Methods, one of which a login must pass."},
    {.name = "auth_method_accessors", .type = MLN_FIELD_LIST, .help = "Logins at these mounts."},
    {.name = "auth_method_types",
     .type = MLN_FIELD_LIST,
     .help = "Logins by methods of these types."},
    {.name = "identity_group_ids",
     .type = MLN_FIELD_LIST,
     .help = "Logins of entities in these groups."},
    {.name = "identity_entity_ids", .type = MLN_FIELD_LIST, .help = "Logins of these entities."},
    {0},
};

const struct mln_path id_mfa_enforcement_paths[] = {
    {.pattern = "mfa/login-enforcement",
     .summary = "List enforcements.",
     .list = list_enforcements},
    {.pattern = "mfa/login-enforcement/{name}",
     .summary = "Whose logins need a second factor.",
     .fields = fields,
     .read = read_enforcement,
     .write = write_enforcement,
     .remove = delete_enforcement,
     .controls = "IA-2"},
    {0},
};
