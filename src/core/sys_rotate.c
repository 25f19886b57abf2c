/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: the barrier's keys: their state, a new one, and when one is made by itself. */
#include "core/sys_priv.h"

#define OPERATIONS_MIN 1000000       /* Vault's limits for max_operations: more often is a mistake, */
#define OPERATIONS_MAX 3865470566    /* later than nine tenths of 2^32 too near the end */
#define INTERVAL_MIN_S 86400

static struct mln_view rotate_view(void)
{
    return mln_core_view("root/sys/");
}

static struct mln_err key_status(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_barrier_status status = {0};
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(mln_barrier_key_status(rq->cx, mln_core_of(rq)->barrier, rq->ns, &status));
    mln_put_int(rq->cx, data, "term", status.term);
    mln_put_text(rq->cx, data, "install_time", mln_time_text_go(rq->cx, status.install_ns));
    mln_put_int(rq->cx, data, "encryptions", (int64_t)status.encryptions);
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err rotate(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    rq->services->block(rq);
    return mln_barrier_rotate(rq->cx, mln_core_of(rq)->barrier, rq->ns);
}

/* ---- when one is made by itself ---- */

static struct mln_err read_config(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(cx, txn, rotate_view(), MLN_BYTES("rotate"), ret);
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *usual = mln_object(cx);
    mln_put_bool(cx, usual, "enabled", true);
    mln_put_int(cx, usual, "interval", MLN_KEY_AGE_MAX_NS / 1000000000);
    mln_put_int(cx, usual, "max_operations", OPERATIONS_MAX);
    *ret = usual;
    return mln_cx_err(cx);
}

/* Turned off, a key is still replaced before it has sealed 2^32 values: that is no matter of taste. */
static void use_config(struct mln_core *core, const struct mln_value *config)
{
    bool is_on = mln_get_bool(mln_get(config, "enabled"), true);
    int64_t n = mln_get_int(mln_get(config, "max_operations"), 0),
            s = mln_get_int(mln_get(config, "interval"), 0);
    mln_barrier_limits(core->barrier, is_on ? (uint64_t)n : 0, is_on ? s * 1000000000 : 0);
}

struct mln_err mln_rotate_load(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *config = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(read_config(cx, txn, &config));
    use_config(core, config);
    return MLN_OK;
}

static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    MLN_TRY(read_config(rq->cx, rq->txn, &re->data));
    re->top = re->data;
    return MLN_OK;
}

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    (void)re;
    MLN_TRY(read_config(rq->cx, rq->txn, &old));
    struct mln_value *config = mln_value_dup(rq->cx, old);
    static const char *const names[] = {"enabled", "interval", "max_operations"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (!mln_is_null(mln_field_of(rq, names[i]))) {
            mln_put(rq->cx, config, names[i], mln_field_of(rq, names[i]));
        }
    }
    int64_t n = mln_get_int(mln_get(config, "max_operations"), 0),
            s = mln_get_int(mln_get(config, "interval"), 0);
    if (n < OPERATIONS_MIN || n > OPERATIONS_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "max_operations must be in the range %d to %lld",
                        OPERATIONS_MIN, (long long)OPERATIONS_MAX);
    }
    if (s != 0 && (s < INTERVAL_MIN_S || s > MLN_KEY_AGE_MAX_NS / 1000000000)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "interval must be greater or equal to 24h0m0s and at most 8760h0m0s; 0 "
                        "rotates by count alone");
    }
    use_config(mln_core_of(rq), config); /* also when the commit fails: the next unsealing reads what is stored */
    mln_put(rq->cx, rq->detail, "rotate", config);
    return mln_txn_put_value(rq->cx, rq->txn, rotate_view(), MLN_BYTES("rotate"), config);
}

static const struct mln_field config_fields[] = {
    F_BOOL("enabled", NULL, "Make new keys without being told."),
    F_INT("max_operations", NULL, "After so many values."),
    F_DURATION("interval", "After so long; 0: by count alone."),
    {0},
};

#define ROTATE(at)                                                                                 \
    {                                                                                              \
        .pattern = at, .summary = "A new key for the barrier.", .write = rotate, .is_sudo = true,  \
        .may_block = true, .controls = "SC-12"                                                     \
    }
#define CONFIG(at)                                                                                 \
    {                                                                                              \
        .pattern = at, .summary = "When a new key is made by itself.", .fields = config_fields,    \
        .read = config_read, .write = config_write, .is_sudo = true, .controls = "SC-12"           \
    }

const struct mln_path mln_sys_rotate[] = {
    {.pattern = "key-status", .summary = "The barrier's newest key.", .read = key_status},
    ROTATE("rotate"),
    ROTATE("rotate/keyring"),
    CONFIG("rotate/config"),
    CONFIG("rotate/keyring/config"),
    {0},
};
