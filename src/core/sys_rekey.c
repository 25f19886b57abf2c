/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New shares by the holders of the old ones: sys/rekey (without a token, off unless configured) and, as OpenBao has it,
 * sys/rotate/root (with one that has sudo). The new shares are in force in one batch, at the end of giving or of verifying; until then
 * the old ones open. sys/rekey-recovery-key and sys/rotate/recovery do the same with the recovery keys of a seal that opens by itself.
 */
#include "core/sys_priv.h"

#include "base/clock.h"

static bool is_recovery(struct mln_request *rq, const struct mln_ceremony *c)
{
    return c == &mln_core_of(rq)->ceremonies.recovery;
}

static struct mln_err answer(struct mln_request *rq, struct mln_reply *re, struct mln_value *status)
{
    if (rq->route->is_open) {
        re->bare = status;
    } else {
        re->data = re->top = status;
    }
    return mln_cx_err(rq->cx);
}

/* ---- showing ---- */

static struct mln_err status(struct mln_request *rq, const struct mln_ceremony *c,
                             struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_seal_config config = {0};
    struct mln_value *out = mln_object(cx);
    MLN_TRY(sys_holders(rq, &config));
    bool is_verifying = c->stage == MLN_CEREMONY_VERIFYING;
    mln_put_text(cx, out, "nonce", mln_text_dup(cx, mln_bytes_of(c->nonce)));
    mln_put_bool(cx, out, "started", c->stage != MLN_CEREMONY_NONE);
    mln_put_int(cx, out, "t", c->config.threshold);
    mln_put_int(cx, out, "n", c->config.shares);
    mln_put_int(cx, out, "progress", is_verifying ? 0 : (int64_t)c->n);
    mln_put_int(cx, out, "required", config.threshold);
    mln_put_null(cx, out, "pgp_fingerprints");
    mln_put_bool(cx, out, "backup", false);
    mln_put_bool(cx, out, "verification_required", c->needs_verification);
    if (is_verifying) {
        mln_put_text(cx, out, "verification_nonce", mln_text_dup(cx, mln_bytes_of(c->verify_nonce)));
    }
    *ret = out;
    return mln_cx_err(cx);
}

static struct mln_value *verify_status(struct mln_request *rq, const struct mln_ceremony *c)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *out = mln_object(cx);
    mln_put_text(cx, out, "nonce", mln_text_dup(cx, mln_bytes_of(c->verify_nonce)));
    mln_put_bool(cx, out, "started", c->stage == MLN_CEREMONY_VERIFYING);
    mln_put_int(cx, out, "t", c->config.threshold);
    mln_put_int(cx, out, "n", c->config.shares);
    mln_put_int(cx, out, "progress", (int64_t)c->n);
    return out;
}

/* The new shares: handed out once. */
static struct mln_value *new_shares(struct mln_request *rq, const struct mln_ceremony *c)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *out = mln_object(cx), *hex = mln_array(cx), *base64 = mln_array(cx);
    size_t len = c->shares_n == 0 ? 0 : c->shares.len / c->shares_n;
    for (size_t i = 0; i < c->shares_n; i++) {
        struct mln_bytes share = mln_bytes_at(c->shares.ptr + i * len, len);
        mln_push(cx, hex, mln_secret_string(cx, mln_bytes_of(mln_hex_text(cx, share))));
        mln_push(cx, base64,
                 mln_secret_string(cx, mln_bytes_of(mln_base64_text(cx, share, MLN_B64_STD))));
    }
    mln_put_text(cx, out, "nonce", mln_text_dup(cx, mln_bytes_of(c->nonce)));
    mln_put_bool(cx, out, "complete", true);
    mln_put(cx, out, "keys", hex);
    mln_put(cx, out, "keys_base64", base64);
    mln_put_null(cx, out, "pgp_fingerprints");
    mln_put_bool(cx, out, "backup", false);
    mln_put_bool(cx, out, "verification_required", c->needs_verification);
    if (c->needs_verification) {
        mln_put_text(cx, out, "verification_nonce", mln_text_dup(cx, mln_bytes_of(c->verify_nonce)));
    }
    return out;
}

static void forget_shares(struct mln_ceremony *c)
{
    mln_secret_drop(&c->shares);
    c->shares = (struct mln_secret){0};
    c->shares_n = 0;
}

static bool is_again(struct mln_request *rq, struct mln_ceremony *c)
{
    bool again = mln_ceremony_is_again(rq, c);
    if (!again) { /* they were handed out with the answer of the request before */
        forget_shares(c);
    }
    return again;
}

static struct mln_err show(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    (void)is_again(rq, c);
    MLN_TRY(status(rq, c, &out));
    return answer(rq, re, out);
}

/* ---- beginning ---- */

/* A server without recovery keys gets its first ones by what its key file holds. */
static struct mln_err check_seal(struct mln_request *rq, bool of_recovery)
{
    bool is_shamir = mln_core_of(rq)->config.seal == MLN_SEAL_SHAMIR;
    if (of_recovery && is_shamir) {
        return mln_fail(rq->cx, MLN_E_INVALID, "recovery rekeying not supported");
    }
    return of_recovery || is_shamir
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                          "this seal has a key file: there are no shares to make anew");
}

static struct mln_err check_begin(struct mln_request *rq, const struct mln_ceremony *c)
{
    if (mln_len(mln_field_of(rq, "pgp_keys")) > 0) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                        "pgp_keys are not supported: the new shares are answered as they are");
    }
    if (mln_get_bool(mln_field_of(rq, "backup"), false)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "cannot request a backup of the new keys without providing PGP keys for "
                        "encryption");
    }
    return check_seal(rq, is_recovery(rq, c));
}

static struct mln_err read_config(struct mln_request *rq, struct mln_seal_config *ret)
{
    int64_t n = mln_get_int(mln_field_of(rq, "secret_shares"), 0),
            t = mln_get_int(mln_field_of(rq, "secret_threshold"), 0);
    if (sys_shares_wrong(n, t) != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid rekey seal configuration: %s", sys_shares_wrong(n, t));
    }
    *ret = (struct mln_seal_config){
        .kind = MLN_SEAL_SHAMIR, .shares = (unsigned)n, .threshold = (unsigned)t};
    return MLN_OK;
}

static struct mln_err begin(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    struct mln_seal_config config = {0};
    MLN_TRY(check_begin(rq, c));
    MLN_TRY(read_config(rq, &config));
    if (!is_again(rq, c)) {
        if (c->stage != MLN_CEREMONY_NONE) {
            return mln_fail(rq->cx, MLN_E_INVALID, "rekey already in progress");
        }
        mln_uuid(c->nonce);
        c->config = config;
        c->needs_verification = mln_get_bool(mln_field_of(rq, "require_verification"), false);
        c->stage = MLN_CEREMONY_GIVING;
    }
    mln_put_text(rq->cx, rq->detail, "shares", "new ones begun");
    MLN_TRY(status(rq, c, &out));
    return answer(rq, re, out);
}

static struct mln_err cancel(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    (void)re;
    mln_ceremony_clear(c);
    mln_put_text(rq->cx, rq->detail, "shares", "new ones cancelled");
    return MLN_OK;
}

/* ---- giving the old shares ---- */

static struct mln_err make_shares(struct mln_request *rq, struct mln_ceremony *c)
{
    struct mln_bytes *shares = mln_new_array(rq->cx, 256, sizeof(*shares));
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_seal_change_begin(rq->cx, &c->config, shares, &c->change));
    size_t len = shares[0].len;
    MLN_TRY(mln_secret_new(rq->cx, len * c->config.shares, &c->shares));
    for (size_t i = 0; i < c->config.shares; i++) {
        mln_copy(c->shares.ptr + i * len, shares[i].ptr, len);
    }
    c->shares_n = c->config.shares;
    return MLN_OK;
}

/* A conflict would have the request run again, which has handed nothing out: it is told as it is. */
static struct mln_err commit(struct mln_request *rq, struct mln_ceremony *c)
{
    struct mln_err err = is_recovery(rq, c)
                             ? mln_seal_recovery_commit(rq->cx, mln_core_of(rq)->seal, &c->change)
                             : mln_seal_change_commit(rq->cx, mln_core_of(rq)->seal, &c->change);
    return mln_is(err, MLN_E_CONFLICT)
               ? mln_refail(rq->cx, MLN_E_PRECONDITION, "the seal was changed meanwhile")
               : err;
}

/* The old shares were right: the new ones are made, and in force unless they are to be verified first. */
static struct mln_err complete(struct mln_request *rq, struct mln_ceremony *c)
{
    MLN_TRY(make_shares(rq, c));
    if (c->needs_verification) {
        mln_uuid(c->verify_nonce);
        c->stage = MLN_CEREMONY_VERIFYING;
        return MLN_OK;
    }
    MLN_TRY(commit(rq, c));
    c->is_done = true;
    return MLN_OK;
}

static struct mln_err take(struct mln_request *rq, struct mln_ceremony *c)
{
    struct mln_seal_config config = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf share = {.is_secret = true};
    if (c->stage != MLN_CEREMONY_GIVING) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        c->stage == MLN_CEREMONY_NONE
                            ? is_recovery(rq, c) ? "no recovery rekey in progress" : "no barrier rekey in progress"
                            : "rekey operation already finished; verification must be performed");
    }
    MLN_TRY(sys_share_of(rq, &share));
    MLN_TRY(sys_holders(rq, &config));
    MLN_TRY(mln_ceremony_give(rq, c, c->nonce, mln_buf_bytes(&share)));
    if (c->n < config.threshold) {
        return MLN_OK;
    }
    struct mln_err err = sys_prove_shares(rq, c);
    mln_ceremony_restart(c);
    err = mln_failed(err) ? err : complete(rq, c);
    if (mln_failed(err)) {
        mln_seal_change_drop(&c->change);
        forget_shares(c);
    }
    return err;
}

static struct mln_err update(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    if (!is_again(rq, c)) {
        MLN_TRY(take(rq, c));
    }
    if (c->shares_n > 0) {
        mln_put_text(rq->cx, rq->detail, "shares",
                     c->is_done ? "new ones in force" : "new ones to be verified");
        return answer(rq, re, new_shares(rq, c));
    }
    mln_put_text(rq->cx, rq->detail, "shares", "one was given");
    MLN_TRY(status(rq, c, &out));
    return answer(rq, re, out);
}

/* ---- verifying the new ones ---- */

static struct mln_err check_verifying(struct mln_request *rq, const struct mln_ceremony *c)
{
    return c->stage == MLN_CEREMONY_VERIFYING
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "no rekey verification in progress");
}

static struct mln_err verify_show(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    (void)is_again(rq, c);
    MLN_TRY(check_verifying(rq, c));
    return answer(rq, re, verify_status(rq, c));
}

/* The shares are handed out already: only what was given to verify them is forgotten, and the answer has the nonce to go on with. */
static struct mln_err verify_cancel(struct mln_request *rq, struct mln_reply *re,
                                    struct mln_ceremony *c)
{
    (void)is_again(rq, c);
    MLN_TRY(check_verifying(rq, c));
    mln_ceremony_restart(c);
    mln_uuid(c->verify_nonce);
    return answer(rq, re, verify_status(rq, c));
}

static struct mln_err verify_take(struct mln_request *rq, struct mln_ceremony *c)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf share = {.is_secret = true};
    struct mln_bytes given[255];
    MLN_TRY(check_verifying(rq, c));
    MLN_TRY(sys_share_of(rq, &share));
    MLN_TRY(mln_ceremony_give(rq, c, c->verify_nonce, mln_buf_bytes(&share)));
    if (c->n < c->config.threshold) {
        return MLN_OK;
    }
    size_t n = mln_ceremony_given(c, given);
    struct mln_err err = mln_seal_change_prove(rq->cx, &c->change, given, n);
    mln_ceremony_restart(c);
    MLN_TRY(err);
    MLN_TRY(commit(rq, c));
    c->is_done = true;
    return MLN_OK;
}

static struct mln_err verify(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    if (!is_again(rq, c)) {
        MLN_TRY(verify_take(rq, c));
    }
    mln_put_text(rq->cx, rq->detail, "shares", c->is_done ? "new ones in force" : "a new one was shown");
    out = c->is_done ? mln_object(rq->cx) : verify_status(rq, c);
    if (c->is_done) {
        mln_put_text(rq->cx, out, "nonce", mln_text_dup(rq->cx, mln_bytes_of(c->verify_nonce)));
        mln_put_bool(rq->cx, out, "complete", true);
    }
    return answer(rq, re, out);
}

/* ---- paths ---- */

typedef struct mln_err (*step)(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c);

static struct mln_err locked(struct mln_request *rq, struct mln_reply *re, bool of_recovery, step what)
{
    struct mln_core *core = mln_core_of(rq);
    MLN_TRY(sys_refuse_open(rq, core->config.unauthed_rekey));
    if (of_recovery) {
        MLN_TRY(check_seal(rq, true));
    }
    pthread_mutex_lock(&core->ceremonies.lock);
    struct mln_err err = what(rq, re, of_recovery ? &core->ceremonies.recovery : &core->ceremonies.rekey);
    pthread_mutex_unlock(&core->ceremonies.lock);
    return err;
}

#define STEP(name, what)                                                                           \
    static struct mln_err name(struct mln_request *rq, struct mln_reply *re)                       \
    {                                                                                              \
        return locked(rq, re, false, what);                                                        \
    }                                                                                              \
    static struct mln_err recovery_##name(struct mln_request *rq, struct mln_reply *re)            \
    {                                                                                              \
        return locked(rq, re, true, what);                                                         \
    }
STEP(rekey_read, show)
STEP(rekey_begin, begin)
STEP(rekey_cancel, cancel)
STEP(rekey_update, update)
STEP(rekey_verify_read, verify_show)
STEP(rekey_verify, verify)
STEP(rekey_verify_cancel, verify_cancel)

/* Shares encrypted to PGP keys would be kept here; none are. */
static struct mln_err backup_read(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    MLN_TRY(sys_refuse_open(rq, true));
    return mln_fail(rq->cx, MLN_E_INVALID, "no backed-up keys found");
}

static struct mln_err backup_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)rq;
    (void)re;
    return MLN_OK;
}

static const struct mln_field init_fields[] = {
    F_INT("secret_shares", NULL, "How many new shares."),
    F_INT("secret_threshold", NULL, "How many of them unseal."),
    F_LIST("pgp_keys", "Refused: not supported."),
    F_BOOL("backup", "false", "Refused: needs pgp_keys."),
    F_BOOL("require_verification", "false", "The new shares are in force only when they were shown."),
    {0},
};
static const struct mln_field share_fields[] = {
    {.name = "key", .type = MLN_FIELD_SECRET, .help = "One share, hex or base64."},
    F_TEXT("nonce", "Of this ceremony."),
    {0},
};

#define INIT(at, open, of)                                                                            \
    {                                                                                              \
        .pattern = at, .summary = "Begin, watch or cancel making new shares.",                     \
        .fields = init_fields, .read = of##rekey_read, .write = of##rekey_begin,                   \
        .remove = of##rekey_cancel,                                                                \
        .is_open = open, .is_sudo = !open, .controls = "SC-12"                                     \
    }
#define UPDATE(at, open, of)                                                                          \
    {                                                                                              \
        .pattern = at, .summary = "Give an old share towards new ones.", .fields = share_fields,   \
        .write = of##rekey_update, .is_open = open, .is_sudo = !open, .may_block = true,               \
        .controls = "SC-12"                                                                        \
    }
#define VERIFY(at, open, of)                                                                          \
    {                                                                                              \
        .pattern = at, .summary = "Show the new shares before they are in force.",                 \
        .fields = share_fields, .read = of##rekey_verify_read, .write = of##rekey_verify,          \
        .remove = of##rekey_verify_cancel, .is_open = open, .is_sudo = !open, .may_block = true,       \
        .controls = "SC-12"                                                                        \
    }
#define BACKUP(at)                                                                                 \
    {                                                                                              \
        .pattern = at, .summary = "Shares kept for PGP keys: none are.", .read = backup_read,      \
        .remove = backup_remove, .is_sudo = true                                                   \
    }

const struct mln_path mln_sys_rekey[] = {
    INIT("rekey/init", true, ),
    UPDATE("rekey/update", true, ),
    VERIFY("rekey/verify", true, ),
    BACKUP("rekey/backup"),
    BACKUP("rekey/recovery-key-backup"),
    INIT("rekey-recovery-key/init", true, recovery_),
    UPDATE("rekey-recovery-key/update", true, recovery_),
    VERIFY("rekey-recovery-key/verify", true, recovery_),
    INIT("rotate/root/init", false, ),
    UPDATE("rotate/root/update", false, ),
    VERIFY("rotate/root/verify", false, ),
    BACKUP("rotate/root/backup"),
    INIT("rotate/recovery/init", false, recovery_),
    UPDATE("rotate/recovery/update", false, recovery_),
    VERIFY("rotate/recovery/verify", false, recovery_),
    BACKUP("rotate/recovery/backup"),
    {0},
};
