/* SPDX-License-Identifier: Apache-2.0 */
/* sys/quotas: rate limits and what is exempt from them. */
#include "core/sys_priv.h"

#include "base/limits.h"

#define RATE_MAX     1e9
#define INTERVAL_MAX (366 * 86400)
#define EXEMPT_MAX   256u /* paths that every limited request is compared with */

struct mln_err mln_quota_key(struct mln_request *rq, const char *kind, struct mln_bytes *ret_name,
                             struct mln_bytes *ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name"));
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES || mln_bytes_find(name, '/') < name.len) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a quota's name has 1 to %d bytes and no \"/\"",
                        MLN_NAME_MAX_BYTES);
    }
    *ret_name = name;
    *ret = mln_bytes_format(rq->cx, "%s/%.*s", kind, MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err name_key(struct mln_request *rq, struct mln_bytes *ret_name, struct mln_bytes *ret)
{
    return mln_quota_key(rq, "rate-limit", ret_name, ret);
}

struct mln_err mln_quota_list(struct mln_request *rq, struct mln_bytes folder, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, mln_quota_view(), folder, &keys));
    if (mln_len(keys) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_quota_list(rq, MLN_BYTES("rate-limit/"), re);
}

static struct mln_err read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, key;
    MLN_TRY(name_key(rq, &name, &key));
    return mln_txn_get_value(rq->cx, rq->txn, mln_quota_view(), key, &re->data);
}

static struct mln_err check_rule(struct mln_request *rq, double rate, int64_t interval_s, int64_t block_s)
{
    struct mln_cx *cx = rq->cx;
    if (mln_len(mln_field_of(rq, "role")) > 0) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "quotas for a role are not supported");
    }
    if (!(rate > 0 && rate <= RATE_MAX)) {
        return mln_fail(cx, MLN_E_INVALID, "'rate' is invalid");
    }
    if (interval_s < 1 || interval_s > INTERVAL_MAX || rate * (double)INTERVAL_MAX < (double)interval_s) {
        return mln_fail(cx, MLN_E_INVALID, "'interval' is invalid");
    }
    if (block_s < 0 || block_s > INTERVAL_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'block_interval' is invalid");
    }
    return mln_get_bytes(mln_field_of(rq, "path")).len <= MLN_PATH_MAX_BYTES
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "'path' is longer than %d bytes", MLN_PATH_MAX_BYTES);
}

/* A path that names a mount covers all below it, as in Vault. */
struct mln_bytes mln_quota_rule_path(struct mln_request *rq)
{
    struct mln_bytes path = mln_get_bytes(mln_field_of(rq, "path"));
    const struct mln_mount *mount =
        path.len == 0 ? NULL : mln_mounts_find(mln_run_of(rq)->table, path);
    bool is_mount = mount != NULL && mln_bytes_of(mount->path).len == path.len + 1;
    return is_mount ? mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(path)) : path;
}

static struct mln_err count(struct mln_request *rq, struct mln_bytes key)
{
    const struct mln_value *keys = NULL, *old = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, mln_quota_view(), key, &old);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, mln_quota_view(), MLN_BYTES("rate-limit/"), &keys));
    return mln_len(keys) < MLN_QUOTAS_MAX
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "at most %u quotas", MLN_QUOTAS_MAX);
}

static struct mln_err write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes name, key;
    struct mln_value *row = mln_object(cx);
    double rate = mln_get_double(mln_field_of(rq, "rate"), -1);
    int64_t interval_s = mln_get_int(mln_field_of(rq, "interval"), 1),
            block_s = mln_get_int(mln_field_of(rq, "block_interval"), 0);
    (void)re;
    if (mln_type_of(mln_field_of(rq, "rate")) == MLN_STRING &&
        !mln_double_parse(mln_get_bytes(mln_field_of(rq, "rate")), &rate)) {
        rate = -1;
    }
    MLN_TRY(name_key(rq, &name, &key));
    MLN_TRY(check_rule(rq, rate, interval_s, block_s));
    MLN_TRY(count(rq, key));
    mln_put_int(cx, row, "block_interval", block_s);
    mln_put_bool(cx, row, "inheritable", mln_get_bool(mln_field_of(rq, "inheritable"), true));
    mln_put_int(cx, row, "interval", interval_s);
    mln_put_bytes(cx, row, "name", name);
    mln_put_bytes(cx, row, "path", mln_quota_rule_path(rq));
    mln_put(cx, row, "rate", mln_type_of(mln_field_of(rq, "rate")) == MLN_STRING ? mln_double(cx, rate) : mln_field_of(rq, "rate"));
    mln_put_text(cx, row, "role", "");
    mln_put_text(cx, row, "type", "rate-limit");
    mln_run_of(rq)->changed_quotas = true;
    mln_put_bytes(cx, rq->detail, "quota", name);
    return mln_txn_put_value(cx, rq->txn, mln_quota_view(), key, row);
}

static struct mln_err erase(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name, key;
    (void)re;
    MLN_TRY(name_key(rq, &name, &key));
    mln_run_of(rq)->changed_quotas = true;
    mln_put_bytes(rq->cx, rq->detail, "quota", name);
    return mln_txn_delete(rq->cx, rq->txn, mln_quota_view(), key);
}

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    return mln_quotas_config(rq->cx, rq->txn, &re->data);
}

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const names[] = {"enable_rate_limit_audit_logging",
                                        "enable_rate_limit_response_headers", "rate_limit_exempt_paths"};
    const struct mln_value *old = NULL;
    (void)re;
    MLN_TRY(mln_quotas_config(rq->cx, rq->txn, &old));
    struct mln_value *config = mln_value_dup(rq->cx, old);
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (!mln_is_null(mln_field_of(rq, names[i]))) {
            mln_put(rq->cx, config, names[i], mln_field_of(rq, names[i]));
        }
    }
    if (mln_len(mln_get(config, "rate_limit_exempt_paths")) > EXEMPT_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "at most %u exempt paths", EXEMPT_MAX);
    }
    mln_run_of(rq)->changed_quotas = true;
    mln_put_text(rq->cx, rq->detail, "quota", "settings");
    return mln_txn_put_value(rq->cx, rq->txn, mln_quota_view(), MLN_BYTES("config"), config);
}

static const struct mln_field rule_fields[] = {
    F_TEXT("name", "The quota's name."),
    {.name = "rate", .type = MLN_FIELD_ANY, .help = "Requests an interval and source, above 0."},
    F_DURATION("interval", "1 second unless said otherwise."),
    F_DURATION("block_interval", "A source that was refused is refused so long."),
    F_TEXT("path", "A mount, a path, or a beginning with \"*\"; empty: everything."),
    F_TEXT("role", "Refused: not supported."),
    F_BOOL("inheritable", "true", "Kept; a rule is of the paths that it names."),
    {0},
};
static const struct mln_field config_fields[] = {
    F_BOOL("enable_rate_limit_audit_logging", NULL, "Kept; refusals are counted in the ledger in any case."),
    F_BOOL("enable_rate_limit_response_headers", NULL, "X-Ratelimit headers with every answer."),
    F_LIST("rate_limit_exempt_paths", "Paths that no quota limits."),
    {0},
};

const struct mln_path mln_sys_quotas[] = {
    {.pattern = "quotas/config",
     .summary = "What is exempt, and what answers tell.",
     .fields = config_fields,
     .read = config_read,
     .write = config_write,
     .controls = "SC-5"},
    {.pattern = "quotas/rate-limit", .summary = "List rate limits.", .read = list, .list = list},
    {.pattern = "quotas/rate-limit/{name}",
     .summary = "Read, write or delete a rate limit.",
     .fields = rule_fields,
     .read = read,
     .write = write,
     .remove = erase,
     .controls = "SC-5"},
    {0},
};
