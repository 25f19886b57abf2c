/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key-value secrets without versions: Vault's KV version 1, which a mount is when its options name no version. A secret is what
 * was written last, at any path below the mount. Source: Vault's public API documentation; docs/engine-kv.md.
 */
#include "engine/kv_priv.h"

#include "base/text.h"

#define LEASE_DEFAULT_S 2764800 /* 32 days: what Vault answers when neither the secret nor the mount says */

static const struct mln_field v1_fields[] = {
    {.name = "path", .type = MLN_FIELD_TEXT, .help = "Where the secret lies.", .is_query = true},
    {.name = "ttl", .type = MLN_FIELD_ANY, .help = "How long readers should keep it: a hint, nothing is deleted."},
    {0},
};

static const struct mln_field root_fields[] = {KV_FIELDS_PAGE, {0}};

static struct mln_err key_of(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_bytes path;
    MLN_TRY(kv_path(rq, &path));
    *ret = kv_plain_key(rq->cx, "r/", path);
    return mln_cx_err(rq->cx);
}

/* "ttl" (or "lease", its older name) of the secret; what is no duration counts as absent. */
static int64_t lease_of(const struct mln_request *rq, const struct mln_value *secret)
{
    int64_t s = 0;
    const struct mln_value *ttl = mln_get(secret, "ttl") != NULL ? mln_get(secret, "ttl") : mln_get(secret, "lease");
    if (mln_type_of(ttl) == MLN_INT) {
        s = mln_get_int(ttl, 0);
    } else if (!mln_duration_parse(mln_get_bytes(ttl), &s)) {
        s = 0;
    }
    return s > 0 ? s : rq->mount->default_ttl_s > 0 ? rq->mount->default_ttl_s : LEASE_DEFAULT_S;
}

static struct mln_err v1_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    MLN_TRY(kv_plain_read(rq, re, at));
    re->lease_duration_s = re->data != NULL ? lease_of(rq, re->data) : 0;
    return MLN_OK;
}

static struct mln_err v1_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_write(rq, re, at);
}

static struct mln_err v1_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_remove(rq, re, at);
}

static struct mln_err v1_list(struct mln_request *rq, struct mln_reply *re)
{
    return kv_plain_list(rq, re, kv_plain_folder(rq->cx, "r/", mln_get_bytes(mln_field_of(rq, "path"))));
}

static struct mln_err v1_exists(struct mln_request *rq, bool *ret)
{
    struct mln_bytes at;
    MLN_TRY(key_of(rq, &at));
    return kv_plain_exists(rq, at, ret);
}

static struct mln_err v1_start(struct mln_request *rq)
{
    const struct mln_value *version = mln_get(rq->mount->options, "version");
    bool is_one = mln_is_null(version) || mln_is_text(version, "1") || mln_is_text(version, "") ||
                  mln_get_int(version, 0) == 1;
    return is_one ? MLN_OK
                  : mln_fail(rq->cx, MLN_E_INVALID,
                             "nil backend of type \"kv\" returned from factory: version is \"1\" or \"2\"");
}

static const struct mln_path v1_paths[] = {
    {.pattern = "", .summary = "List secrets.", .fields = root_fields, .list = v1_list, .may_scan = true},
    {.pattern = "{path...}", .summary = "Read, write, list or delete a secret.", .fields = v1_fields,
     .read = v1_read, .list = v1_list, .may_scan = true, .write = v1_write, .remove = v1_remove, .exists = v1_exists},
    {0},
};

const struct mln_engine kv_version_1 = {
    .type = "kv",
    .kind = MLN_MOUNT_SECRET,
    .summary = "Key-value secrets without versions.",
    .paths = v1_paths,
    .start = v1_start,
};
