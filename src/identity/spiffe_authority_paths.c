/* SPDX-License-Identifier: Apache-2.0 */
/* spiffe/authority/{kind}: see what signs, and turn it by hand. */
#include "identity/spiffe_priv.h"

#include "identity/identity_priv.h"

static struct mln_err folder_of(struct mln_request *rq, const char **ret)
{
    struct mln_bytes kind = mln_get_bytes(mln_field_of(rq, "kind"));
    *ret = mln_bytes_is(kind, "x509") ? SP_X509 : mln_bytes_is(kind, "jwt") ? SP_JWT : NULL;
    return *ret != NULL
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "the kind of an authority is x509 or jwt");
}

static struct mln_value *show(struct mln_request *rq, const struct mln_value *row)
{
    static const char *const plain[] = {"id",           "state", "not_before", "not_after",
                                        "activated_at", "sig",   "upstream",   "jwk"};
    struct mln_value *out = mln_object(rq->cx);
    struct mln_bytes cert = mln_get_bytes(mln_get(row, "cert"));
    for (size_t i = 0; i < MLN_COUNT(plain); i++) {
        if (mln_get(row, plain[i]) != NULL) {
            mln_put(rq->cx, out, plain[i], mln_get(row, plain[i]));
        }
    }
    mln_put_int(rq->cx, out, "created_at",
                mln_get_int(mln_get(row, "created_ns"), 0) / SP_SECOND_NS);
    if (cert.len > 0) {
        mln_put_text(rq->cx, out, "certificate", mln_pem_text(rq->cx, "CERTIFICATE", cert));
    }
    return out;
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    const char *folder = NULL;
    struct mln_value *rows = NULL, *keys = mln_array(rq->cx), *info = mln_object(rq->cx);
    MLN_TRY(folder_of(rq, &folder));
    MLN_TRY(sp_authority_rows(rq, folder, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        mln_push(rq->cx, keys, mln_get(row, "id"));
        mln_put_key(rq->cx, info, mln_get_bytes(mln_get(row, "id")), show(rq, row));
    }
    return id_answer_list(rq, re, keys, info);
}

static struct mln_err row_named(struct mln_request *rq, const char *folder,
                                const struct mln_value **ret)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "authority_id"));
    struct mln_err err =
        id_is_id(id) ? sp_row_get(rq, folder, id, ret) : (struct mln_err){MLN_E_NOT_FOUND};
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "no such authority")
                                        : err;
}

static struct mln_err read(struct mln_request *rq, struct mln_reply *re)
{
    const char *folder = NULL;
    const struct mln_value *row = NULL;
    MLN_TRY(folder_of(rq, &folder));
    MLN_TRY(row_named(rq, folder, &row));
    re->data = show(rq, row);
    return mln_cx_err(rq->cx);
}

static struct mln_err changed(struct mln_request *rq, struct mln_reply *re,
                              const struct mln_value *row, enum sp_authority_state state)
{
    struct mln_value *data = show(rq, row);
    mln_put_text(rq->cx, data, "state", sp_state_names[state]);
    re->data = data;
    sp_after_keys(rq);
    return sp_bundle_bump(rq);
}

struct mln_err sp_authority_replace(struct mln_request *rq, const char *folder,
                                    struct mln_value **ret)
{
    const char *domain = NULL;
    struct mln_value *rows = NULL;
    struct sp_config config;
    MLN_TRY(sp_domain_settle(rq, &domain));
    MLN_TRY(sp_config_get(rq, &config));
    MLN_TRY(sp_authority_rows(rq, folder, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        if (sp_state_of(mln_item(rows, i)) == SP_PREPARED) {
            MLN_TRY(sp_row_delete(rq, folder, mln_get_bytes(mln_get(mln_item(rows, i), "id"))));
        }
    }
    if (mln_len(rows) >= SP_AUTHORITIES_MAX - 2) {
        return mln_fail(rq->cx, MLN_E_LIMIT,
                        "%zu authorities are not dead yet; wait until old ones expire",
                        mln_len(rows));
    }
    return sp_authority_prepare(rq, folder, &config, domain, ret);
}

static struct mln_err prepare(struct mln_request *rq, struct mln_reply *re)
{
    const char *folder = NULL;
    struct mln_value *row = NULL;
    MLN_TRY(folder_of(rq, &folder));
    MLN_TRY(sp_authority_replace(rq, folder, &row));
    return changed(rq, re, row, SP_PREPARED);
}

static struct mln_err wrong_state(struct mln_request *rq, const struct mln_value *row,
                                  const char *want)
{
    return mln_fail(rq->cx, MLN_E_PRECONDITION,
                    "this authority is %s; only one that is %s can go there",
                    sp_state_names[sp_state_of(row)], want);
}

static struct mln_err activate(struct mln_request *rq, struct mln_reply *re)
{
    const char *folder = NULL;
    struct mln_value *rows = NULL;
    const struct mln_value *row = NULL, *active = NULL;
    MLN_TRY(folder_of(rq, &folder));
    MLN_TRY(row_named(rq, folder, &row));
    if (sp_state_of(row) != SP_PREPARED) {
        return wrong_state(rq, row, "prepared");
    }
    MLN_TRY(sp_authority_rows(rq, folder, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        active = sp_state_of(mln_item(rows, i)) == SP_ACTIVE ? mln_item(rows, i) : active;
    }
    MLN_TRY(sp_authority_activate(rq, folder, row, active));
    return changed(rq, re, row, SP_ACTIVE);
}

static struct mln_err taint(struct mln_request *rq, struct mln_reply *re)
{
    const char *folder = NULL;
    const struct mln_value *row = NULL;
    MLN_TRY(folder_of(rq, &folder));
    MLN_TRY(row_named(rq, folder, &row));
    if (sp_state_of(row) != SP_OLD) {
        return wrong_state(rq, row, "old");
    }
    MLN_TRY(sp_authority_set(rq, folder, row, SP_TAINTED));
    return changed(rq, re, row, SP_TAINTED);
}

static struct mln_err revoke(struct mln_request *rq, struct mln_reply *re)
{
    const char *folder = NULL;
    const struct mln_value *row = NULL;
    MLN_TRY(folder_of(rq, &folder));
    MLN_TRY(row_named(rq, folder, &row));
    enum sp_authority_state state = sp_state_of(row);
    if (state != SP_OLD && state != SP_TAINTED) {
        return wrong_state(rq, row, "old or tainted");
    }
    MLN_TRY(sp_authority_set(rq, folder, row, SP_REVOKED));
    return changed(rq, re, row, SP_REVOKED);
}

static const struct mln_field fields[] = {
    {.name = "kind", .type = MLN_FIELD_TEXT, .help = "x509 or jwt."},
    {.name = "authority_id", .type = MLN_FIELD_TEXT, .help = "The authority's id."},
    {0},
};

const struct mln_path sp_authority_paths[] = {
    {.pattern = "authority/{kind}", .summary = "List authorities.", .fields = fields, .list = list},
    {.pattern = "authority/{kind}/prepare",
     .summary = "Make the next authority; it is published and does not sign yet.",
     .fields = fields,
     .write = prepare,
     .may_block = true,
     .controls = "SC-12"},
    {.pattern = "authority/{kind}/activate",
     .summary = "Let the prepared authority sign.",
     .fields = fields,
     .write = activate,
     .controls = "SC-12"},
    {.pattern = "authority/{kind}/taint",
     .summary = "Replace what an old authority signed at once.",
     .fields = fields,
     .write = taint,
     .controls = "SC-12"},
    {.pattern = "authority/{kind}/revoke",
     .summary = "Take an old authority out of the bundle.",
     .fields = fields,
     .write = revoke,
     .is_relief = true,
     .controls = "SC-12"},
    {.pattern = "authority/{kind}/{authority_id}",
     .summary = "One authority.",
     .fields = fields,
     .read = read},
    {0},
};
