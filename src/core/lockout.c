/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that may not log in for a while after too many failures in a row. Failures are counted in memory, in a table of fixed size
 * whose oldest entries give way; a lock is a row, so that a restart does not end it: view "root/lockout/", row
 * "<mount uuid>/<hex SHA-256 of the name>" {"alias", "mount_accessor", "until_ns"}. Methods say who tries to log in before they look at
 * what he shows; names that nobody has are locked as well, or locking would tell who is there.
 */
#include "core/core_priv.h"

#include "base/log.h"
#include "base/text.h"

#define BUCKETS     1024u
#define WAYS        8u /* 8192 names that fail at the same time; each failure of a person costs 50 ms of hashing */
#define SWEEP_S     60
#define SWEEP_MAX   1000u
#define NS_PER_S    ((int64_t)1000000000)
#define THRESHOLD   5   /* Vault's defaults */
#define DURATION_S  900
#define RESET_S     900

struct tries {
    uint8_t name[16];
    uint32_t n;
    int64_t last_ns;
};

struct mln_lockouts {
    pthread_mutex_t lock;
    struct tries tries[BUCKETS][WAYS];
};

struct rule {
    int64_t threshold, duration_s, reset_s;
    bool is_off;
};

struct mln_lockouts *mln_lockouts_new(void)
{
    struct mln_lockouts *lockouts = mln_alloc(sizeof(*lockouts));
    if (lockouts != NULL) {
        (void)pthread_mutex_init(&lockouts->lock, NULL);
    }
    return lockouts;
}

void mln_lockouts_free(struct mln_lockouts *lockouts)
{
    if (lockouts != NULL) {
        (void)pthread_mutex_destroy(&lockouts->lock);
        mln_free(lockouts);
    }
}

static int64_t setting(const struct mln_value *config, const char *name, int64_t usual)
{
    int64_t n = mln_get_int(mln_get(config, name), usual);
    return n > 0 ? n : usual;
}

static struct rule rule_of(const struct mln_mount *mount)
{
    const struct mln_value *config = mln_get(mount->config, "user_lockout_config");
    return (struct rule){
        .threshold = setting(config, "lockout_threshold", THRESHOLD),
        .duration_s = setting(config, "lockout_duration", DURATION_S),
        .reset_s = setting(config, "lockout_counter_reset", RESET_S),
        .is_off = mln_get_bool(mln_get(config, "lockout_disable"), false),
    };
}

/* ---- rows ---- */

static struct mln_view lockout_view(void)
{
    return mln_core_view("root/lockout/");
}

static struct mln_bytes row_key(struct mln_cx *cx, const char *uuid, const char *alias)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(mln_bytes_of(alias), digest);
    return mln_bytes_format(cx, "%s/%s", uuid, mln_hex_text(cx, mln_bytes_at(digest, sizeof(digest))));
}

struct mln_err mln_lockout_attempt(struct mln_request *rq, const char *alias)
{
    struct mln_run *run = mln_run_of(rq);
    const struct mln_value *row = NULL;
    if (rule_of(rq->mount).is_off || alias[0] == 0) {
        return MLN_OK;
    }
    run->attempt = mln_text_dup(rq->cx, mln_bytes_of(alias));
    run->attempt_mount = rq->mount;
    struct mln_bytes key = row_key(rq->cx, rq->mount->uuid, alias);
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, lockout_view(), key, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    if (rq->now_ns < mln_get_int(mln_get(row, "until_ns"), 0)) {
        run->attempt = NULL; /* no failure is counted: nothing was tried */
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    return mln_txn_delete(rq->cx, rq->txn, lockout_view(), key);
}

/* ---- counting ---- */

static void name_of(const struct mln_run *run, uint8_t name[16], unsigned *bucket)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256_2(mln_bytes_at(run->attempt_mount->uuid, 36), mln_bytes_of(run->attempt), digest);
    mln_copy(name, digest, 16);
    *bucket = (digest[16] | (unsigned)digest[17] << 8) % BUCKETS;
}

/* The entry of that name, or the one that gives way to it. */
static struct tries *entry_of(struct tries *ways, const uint8_t name[16])
{
    struct tries *oldest = &ways[0];
    for (unsigned i = 0; i < WAYS; i++) {
        if (ways[i].n > 0 && mln_same(ways[i].name, name, 16)) {
            return &ways[i];
        }
        oldest = ways[i].last_ns < oldest->last_ns ? &ways[i] : oldest;
    }
    *oldest = (struct tries){0};
    mln_copy(oldest->name, name, 16);
    return oldest;
}

/* True: that was one too many; counting begins anew. */
static bool count(const struct mln_run *run, const struct rule *rule)
{
    struct mln_lockouts *lockouts = run->core->lockouts;
    uint8_t name[16];
    unsigned bucket = 0;
    name_of(run, name, &bucket);
    pthread_mutex_lock(&lockouts->lock);
    struct tries *t = entry_of(lockouts->tries[bucket], name);
    t->n = t->last_ns + rule->reset_s * NS_PER_S < run->rq.now_ns ? 1 : t->n + 1;
    t->last_ns = run->rq.now_ns;
    bool is_over = t->n >= rule->threshold;
    if (is_over) {
        *t = (struct tries){0};
    }
    pthread_mutex_unlock(&lockouts->lock);
    return is_over;
}

static void forget(const struct mln_run *run)
{
    struct mln_lockouts *lockouts = run->core->lockouts;
    uint8_t name[16];
    unsigned bucket = 0;
    name_of(run, name, &bucket);
    pthread_mutex_lock(&lockouts->lock);
    *entry_of(lockouts->tries[bucket], name) = (struct tries){0};
    pthread_mutex_unlock(&lockouts->lock);
}

static struct mln_err lock_name(struct mln_cx *cx, const struct mln_run *run, const struct rule *rule)
{
    const struct mln_mount *mount = run->attempt_mount;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    struct mln_value *row = mln_object(cx), *detail = mln_object(cx);
    mln_put_text(cx, row, "alias", run->attempt);
    mln_put_text(cx, row, "mount_accessor", mount->accessor);
    mln_put_int(cx, row, "until_ns", run->rq.now_ns + rule->duration_s * NS_PER_S);
    mln_put_text(cx, detail, "alias", run->attempt);
    mln_put_text(cx, detail, "mount", mount->path);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_txn_begin(cx, run->core->store, run->core->barrier, &txn));
    MLN_TRY(mln_txn_put_value(cx, txn, lockout_view(), row_key(cx, mount->uuid, run->attempt), row));
    return mln_core_commit(run->core, cx, txn, "lock a name out", detail);
}

void mln_lockout_ended(struct mln_run *run, struct mln_err err)
{
    if (run->attempt == NULL) {
        return;
    }
    struct rule rule = rule_of(run->attempt_mount);
    if (!mln_failed(err)) {
        forget(run);
        return;
    }
    if (!mln_is(err, MLN_E_BAD_LOGIN) || !count(run, &rule)) {
        return;
    }
    struct mln_cx cx; /* the request's keeps the fault that will be told */
    mln_cx_init(&cx, run->rq.cx->arena);
    struct mln_err locked = lock_name(&cx, run, &rule);
    if (mln_failed(locked) && !mln_is(locked, MLN_E_CONFLICT)) { /* conflict: another failure has just locked it */
        mln_log_fault(MLN_LOG_WARN, "core", &cx, "a name could not be locked out");
    }
}

/* ---- what is over ---- */

static struct mln_err sweep_mount(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes folder, int64_t now_ns, size_t *left)
{
    const struct mln_value *keys = NULL, *row = NULL;
    MLN_TRY(mln_txn_list(cx, txn, lockout_view(), folder, &keys));
    for (size_t i = 0; i < mln_len(keys) && *left > 0; i++, --*left) {
        struct mln_bytes key = mln_bytes_format(cx, "%.*s%.*s", MLN_FMT(folder), MLN_FMT(mln_get_bytes(mln_item(keys, i))));
        MLN_TRY(mln_txn_get_value(cx, txn, lockout_view(), key, &row));
        if (mln_get_int(mln_get(row, "until_ns"), 0) <= now_ns) {
            MLN_TRY(mln_txn_delete(cx, txn, lockout_view(), key));
        }
    }
    return MLN_OK;
}

static struct mln_err sweep(struct mln_cx *cx, struct mln_core *core, int64_t now_ns)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *mounts = NULL;
    size_t left = SWEEP_MAX;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(mln_txn_list(cx, txn, lockout_view(), MLN_BYTES_NONE, &mounts));
    for (size_t i = 0; i < mln_len(mounts) && left > 0; i++) {
        MLN_TRY(sweep_mount(cx, txn, mln_get_bytes(mln_item(mounts, i)), now_ns, &left));
    }
    return mln_core_commit(core, cx, txn, "end lockouts", NULL);
}

void mln_lockout_tick(struct mln_cx *cx, struct mln_core *core, int64_t now_ns)
{
    if (now_ns / (SWEEP_S * NS_PER_S) == core->last_tick_ns / (SWEEP_S * NS_PER_S)) {
        return;
    }
    if (mln_failed(sweep(cx, core, now_ns))) {
        mln_log_fault(MLN_LOG_WARN, "core", cx, "lockouts that are over are not deleted yet");
        mln_cx_clear(cx);
    }
}

/* ---- for sys/locked-users ---- */

struct mln_err mln_lockout_rows(struct mln_request *rq, const char *uuid, const struct mln_value **ret)
{
    const struct mln_value *keys = NULL, *row = NULL;
    struct mln_value *aliases = mln_array(rq->cx);
    struct mln_bytes folder = mln_bytes_format(rq->cx, "%s/", uuid);
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, lockout_view(), folder, &keys));
    for (size_t i = 0; i < mln_len(keys); i++) {
        struct mln_bytes key = mln_bytes_format(rq->cx, "%s/%.*s", uuid, MLN_FMT(mln_get_bytes(mln_item(keys, i))));
        MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, lockout_view(), key, &row));
        if (rq->now_ns < mln_get_int(mln_get(row, "until_ns"), 0)) {
            mln_push(rq->cx, aliases, mln_get(row, "alias"));
        }
    }
    *ret = aliases;
    return mln_cx_err(rq->cx);
}

struct mln_err mln_lockout_unlock(struct mln_request *rq, const char *uuid, const char *alias)
{
    return mln_txn_delete(rq->cx, rq->txn, lockout_view(), row_key(rq->cx, uuid, alias));
}
