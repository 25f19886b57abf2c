/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: rules in memory and their buckets. */
#include "core/core_priv.h"

#include "base/clock.h"

#define PROBES     8u /* buckets looked at for one source: the one that was not used for longest is given up */
#define SHARE_BITS 64 /* of an IPv6 address: a subscriber has that many to himself */

void mln_quotas_init(struct mln_quotas *q)
{
    pthread_mutex_init(&q->lock, NULL);
    q->hash_key = mln_random_u64();
}

/* ---- rules ---- */

static void free_rules(struct mln_quota *rules, size_t n, char **exempt)
{
    for (size_t i = 0; i < n; i++) {
        mln_free(rules[i].name);
        mln_free(rules[i].path);
    }
    for (size_t i = 0; exempt != NULL && exempt[i] != NULL; i++) {
        mln_free(exempt[i]);
    }
    mln_free(rules);
    mln_free(exempt);
}

void mln_quotas_drop(struct mln_quotas *q)
{
    free_rules(q->rules, q->n, q->exempt);
    mln_free(q->buckets);
    pthread_mutex_destroy(&q->lock);
}

/* Takes the rules over; those of before are freed. */
static void replace(struct mln_quotas *q, struct mln_quota *rules, size_t n, char **exempt,
                    bool shows_headers)
{
    pthread_mutex_lock(&q->lock);
    struct mln_quota *old = q->rules;
    char **old_exempt = q->exempt;
    size_t old_n = q->n;
    q->rules = rules;
    q->n = n;
    q->exempt = exempt;
    q->shows_headers = shows_headers;
    for (size_t i = 0; i < n; i++) {
        rules[i].id = ++q->last_id;
    }
    if (n > 0 && q->buckets == NULL) {
        q->buckets = mln_alloc_array(MLN_QUOTA_BUCKETS, sizeof(*q->buckets));
    }
    atomic_store(&q->has_any, n > 0);
    pthread_mutex_unlock(&q->lock);
    free_rules(old, old_n, old_exempt);
}

void mln_quotas_forget(struct mln_core *core)
{
    replace(&core->quotas, NULL, 0, NULL, false);
}

struct mln_err mln_quotas_config(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret)
{
    static const char *const usual[] = {
        "sys/generate-recovery-token/attempt", "sys/generate-recovery-token/update",
        "sys/generate-root/attempt",           "sys/generate-root/update",
        "sys/health",                          "sys/seal-status",
        "sys/unseal"};
    struct mln_err err = mln_txn_get_value(cx, txn, mln_quota_view(), MLN_BYTES("config"), ret);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *config = mln_object(cx), *exempt = mln_array(cx);
    for (size_t i = 0; i < MLN_COUNT(usual); i++) {
        mln_push_text(cx, exempt, usual[i]);
    }
    mln_put_bool(cx, config, "enable_rate_limit_audit_logging", false);
    mln_put_bool(cx, config, "enable_rate_limit_response_headers", false);
    mln_put(cx, config, "rate_limit_exempt_paths", exempt);
    *ret = config;
    return mln_cx_err(cx);
}

static struct mln_err copy_rule(struct mln_cx *cx, const struct mln_value *row, struct mln_quota *ret)
{
    ret->name = mln_strdup(mln_get_text(cx, mln_get(row, "name"), ""));
    ret->path = mln_strdup(mln_get_text(cx, mln_get(row, "path"), ""));
    ret->rate = mln_get_double(mln_get(row, "rate"), 1);
    ret->interval_ns = mln_get_int(mln_get(row, "interval"), 1) * 1000000000;
    ret->block_ns = mln_get_int(mln_get(row, "block_interval"), 0) * 1000000000;
    return ret->name != NULL && ret->path != NULL ? MLN_OK
                                                  : mln_fail(cx, MLN_E_MEMORY, "no memory for quotas");
}

static struct mln_err read_rules(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *names,
                                 struct mln_quota *rules)
{
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *row = NULL;
        struct mln_bytes key =
            mln_bytes_format(cx, "rate-limit/%.*s", MLN_FMT(mln_get_bytes(mln_item(names, i))));
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(mln_txn_get_value(cx, txn, mln_quota_view(), key, &row));
        MLN_TRY(copy_rule(cx, row, &rules[i]));
    }
    return MLN_OK;
}

static struct mln_err read_exempt(struct mln_cx *cx, const struct mln_value *list, char **exempt)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        exempt[i] = mln_strdup(mln_get_text(cx, mln_item(list, i), ""));
        if (exempt[i] == NULL) {
            return mln_fail(cx, MLN_E_MEMORY, "no memory for quotas");
        }
    }
    return MLN_OK;
}

struct mln_err mln_quotas_load(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *names = NULL, *config = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(mln_quotas_config(cx, txn, &config));
    MLN_TRY(mln_txn_list(cx, txn, mln_quota_view(), MLN_BYTES("rate-limit/"), &names));
    const struct mln_value *list = mln_get(config, "rate_limit_exempt_paths");
    size_t n = mln_len(names);
    struct mln_quota *rules = mln_alloc_array(n + 1, sizeof(*rules));
    char **exempt = mln_alloc_array(mln_len(list) + 1, sizeof(*exempt));
    struct mln_err err = rules == NULL || exempt == NULL
                             ? mln_fail(cx, MLN_E_MEMORY, "no memory for quotas")
                             : read_rules(cx, txn, names, rules);
    err = mln_failed(err) ? err : read_exempt(cx, list, exempt);
    if (mln_failed(err)) {
        free_rules(rules, rules == NULL ? 0 : n, exempt);
        return err;
    }
    replace(&core->quotas, rules, n, exempt,
            mln_get_bool(mln_get(config, "enable_rate_limit_response_headers"), false));
    return MLN_OK;
}

/* ---- taking ---- */

bool mln_quota_covers(struct mln_bytes rule, struct mln_bytes path)
{
    if (rule.len == 0) {
        return true;
    }
    uint8_t last = rule.ptr[rule.len - 1];
    if (last == '*') {
        return mln_bytes_starts(path, mln_bytes_sub(rule, 0, rule.len - 1));
    }
    return last == '/' ? mln_bytes_starts(path, rule) : mln_bytes_eq(path, rule);
}

/* The longest rule is the most specific one. */
static const struct mln_quota *rule_of(const struct mln_quotas *q, struct mln_bytes path)
{
    const struct mln_quota *best = NULL;
    for (size_t i = 0; i < q->n; i++) {
        struct mln_bytes rule = mln_bytes_of(q->rules[i].path);
        if (mln_quota_covers(rule, path) && (best == NULL || rule.len > mln_bytes_of(best->path).len)) {
            best = &q->rules[i];
        }
    }
    return best;
}

static bool is_exempt(const struct mln_quotas *q, struct mln_bytes path)
{
    for (size_t i = 0; q->exempt != NULL && q->exempt[i] != NULL; i++) {
        if (mln_quota_covers(mln_bytes_of(q->exempt[i]), path) && q->exempt[i][0] != 0) {
            return true;
        }
    }
    return false;
}

/* IPv4 as it is; of IPv6 the first four groups as they are written. */
static struct mln_bytes share_of(struct mln_bytes source)
{
    size_t groups = 0;
    for (size_t i = 0; i < source.len; i++) {
        groups += source.ptr[i] == ':' ? 1 : 0;
        if (groups == SHARE_BITS / 16) {
            return mln_bytes_sub(source, 0, i);
        }
    }
    return mln_bytes_sub(source, 0, MLN_QUOTA_SOURCE_MAX - 1);
}

static struct mln_quota_bucket *bucket_of(struct mln_quotas *q, const struct mln_quota *rule,
                                          struct mln_bytes source, int64_t now_ns)
{
    uint64_t h = q->hash_key ^ rule->id * 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < source.len; i++) {
        h = (h ^ source.ptr[i]) * 0x100000001b3u;
    }
    h ^= h >> 29;
    struct mln_quota_bucket *oldest = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        struct mln_quota_bucket *b = &q->buckets[(h + i) % MLN_QUOTA_BUCKETS];
        if (b->id == rule->id && mln_bytes_eq(mln_bytes_of(b->source), source)) {
            return b;
        }
        oldest = oldest == NULL || b->id == 0 || b->last_ns < oldest->last_ns ? b : oldest;
    }
    *oldest = (struct mln_quota_bucket){.id = rule->id, .left = rule->rate, .last_ns = now_ns};
    mln_copy(oldest->source, source.ptr, source.len);
    return oldest;
}

static int64_t seconds_up(double ns)
{
    int64_t s = (int64_t)(ns / 1e9);
    return (double)s * 1e9 < ns ? s + 1 : s;
}

/* A bucket holds `rate` requests and fills evenly within an interval. */
static bool take(const struct mln_quota *rule, struct mln_quota_bucket *b, int64_t now_ns,
                 struct mln_rate *ret)
{
    double per_ns = rule->rate / (double)rule->interval_ns;
    double gained = now_ns > b->last_ns ? (double)(now_ns - b->last_ns) * per_ns : 0;
    b->left = b->left + gained > rule->rate ? rule->rate : b->left + gained;
    b->last_ns = now_ns;
    bool is_blocked = now_ns < b->blocked_until_ns, may = !is_blocked && b->left >= 1;
    if (may) {
        b->left -= 1;
    } else if (!is_blocked && rule->block_ns > 0) {
        b->blocked_until_ns = now_ns + rule->block_ns;
        is_blocked = true;
    }
    double wait_ns = is_blocked ? (double)(b->blocked_until_ns - now_ns)
                     : may      ? 0
                                : (1 - b->left) / per_ns;
    ret->limit = (int64_t)rule->rate < 1 ? 1 : (int64_t)rule->rate;
    ret->left = may ? (int64_t)b->left : 0;
    ret->reset_s = may ? seconds_up((rule->rate - b->left) / per_ns) : seconds_up(wait_ns);
    ret->reset_s = !may && ret->reset_s < 1 ? 1 : ret->reset_s;
    return may;
}

struct mln_err mln_quotas_take(struct mln_cx *cx, struct mln_quotas *q, struct mln_bytes path,
                               const char *source, int64_t now_ns, struct mln_rate *ret)
{
    bool may = true;
    if (!atomic_load(&q->has_any)) {
        return MLN_OK;
    }
    pthread_mutex_lock(&q->lock);
    const struct mln_quota *rule = is_exempt(q, path) ? NULL : rule_of(q, path);
    if (rule != NULL && q->buckets != NULL) {
        struct mln_bytes share = share_of(mln_bytes_of(source));
        may = take(rule, bucket_of(q, rule, share, now_ns), now_ns, ret);
        ret->is_shown = q->shows_headers || !may;
    }
    pthread_mutex_unlock(&q->lock);
    return may ? MLN_OK
               : mln_fail(cx, MLN_E_LIMIT, "request path \"%.*s\": rate limit quota exceeded",
                          MLN_FMT(path));
}
