/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private place of each token: what one token writes no other reads, root's included, and it goes with the token. Mounted once, at
 * "cubbyhole/". Batch tokens have none: there is nothing that could die with them.
 *
 *   <token's name, hex>/<path>    a row as kv_plain.c keeps it; the name is the "name" of the token's entry
 *
 * Core deletes everything below "<name>/" of the mount's view when it revokes a token. Source: Vault's public API documentation.
 */
#include "engine/kv_priv.h"

/* "<name>/": every key of this request begins so. */
static struct mln_err hole_of(struct mln_request *rq, const char **ret)
{
    const struct mln_value *token = rq->actor->token;
    struct mln_bytes name = mln_get_bytes(mln_get(token, "name"));
    if (mln_is_text(mln_get(token, "type"), "batch")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cubbyhole operations are only supported by \"service\" type tokens");
    }
    if (name.len == 0) {
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied"); /* nobody's: the system's own work, a stranger */
    }
    *ret = mln_text_format(rq->cx, "%.*s/", MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err key_of(struct mln_request *rq, struct mln_bytes *ret)
{
    const char *hole = NULL;
    struct mln_bytes path;
    MLN_TRY(hole_of(rq, &hole));
    MLN_TRY(kv_path(rq, &path));
    *ret = kv_plain_key(rq->cx, hole, path);
    return mln_cx_err(rq->cx);
}

static struct mln_err hole_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_read(rq, re, at);
}

static struct mln_err hole_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_write(rq, re, at);
}

static struct mln_err hole_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_remove(rq, re, at);
}

static struct mln_err hole_list(struct mln_request *rq, struct mln_reply *re)
{
    const char *hole = NULL;
    MLN_TRY(hole_of(rq, &hole));
    return kv_plain_list(rq, re, kv_plain_folder(rq->cx, hole, mln_get_bytes(mln_field_of(rq, "path"))));
}

static struct mln_err hole_exists(struct mln_request *rq, bool *ret)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_exists(rq, at, ret);
}

static const struct mln_field hole_fields[] = {
    {.name = "path", .type = MLN_FIELD_TEXT, .help = "Where the secret lies.", .is_query = true},
    {0},
};
static const struct mln_field root_fields[] = {KV_FIELDS_PAGE, {0}};

static const struct mln_path hole_paths[] = {
    {.pattern = "", .summary = "List what this token keeps.", .fields = root_fields, .list = hole_list, .may_scan = true},
    {.pattern = "{path...}", .summary = "Read, write, list or delete what only this token sees.", .fields = hole_fields,
     .read = hole_read, .list = hole_list, .may_scan = true, .write = hole_write, .remove = hole_remove, .exists = hole_exists},
    {0},
};

const struct mln_engine mln_engine_cubbyhole = {
    .type = "cubbyhole",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Secrets private to a token.",
    .paths = hole_paths,
};
