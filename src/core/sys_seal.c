/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: health, initialisation, seal and unseal, the barrier's keys. Bodies as Vault's clients read them. */
#include "core/sys_priv.h"

#include "base/io.h"

#define CLUSTER_NAME "merlon"
#define SHARE_MIN    16 /* bytes: what is shorter is no share of any server */

static bool is_initialized(struct mln_request *rq)
{
    return mln_core_is_initialized(rq->cx, mln_core_of(rq));
}

/* Vault's clients parse the version: a level of their API first, then ours. */
static const char *version_text(void)
{
    return "1.16.0+merlon" MLN_VERSION;
}

static struct mln_err sys_health(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *bare = mln_object(cx);
    bool sealed = mln_core_is_sealed(mln_core_of(rq)), ready = is_initialized(rq);
    const char *code = !ready ? "uninitcode" : sealed ? "sealedcode" : "activecode";
    int64_t status = mln_get_int(mln_field_of(rq, code), 200);
    if (status < 200 || status > 599) {
        return mln_fail(cx, MLN_E_INVALID, "%s must be a status from 200 to 599", code);
    }
    mln_put_bool(cx, bare, "initialized", ready);
    mln_put_bool(cx, bare, "sealed", sealed);
    mln_put_bool(cx, bare, "standby", sealed);
    mln_put_text(cx, bare, "replication_performance_mode", sealed ? "unknown" : "disabled");
    mln_put_text(cx, bare, "replication_dr_mode", sealed ? "unknown" : "disabled");
    mln_put_int(cx, bare, "server_time_utc", rq->now_ns / 1000000000);
    mln_put_text(cx, bare, "version", version_text());
    if (!sealed) {
        mln_put_text(cx, bare, "cluster_name", CLUSTER_NAME);
    }
    re->status = (int)status;
    re->bare = bare;
    return mln_cx_err(cx);
}

bool sys_has_recovery(struct mln_request *rq, struct mln_seal_config *config)
{
    struct mln_seal_config recovery = {0};
    struct mln_core *core = mln_core_of(rq);
    if (core->config.seal == MLN_SEAL_SHAMIR) {
        return false;
    }
    if (mln_failed(mln_seal_recovery_config(rq->cx, core->seal, &recovery))) {
        mln_cx_clear(rq->cx);
    }
    *config = recovery.shares > 0 ? recovery : *config;
    return recovery.shares > 0;
}

struct mln_err sys_holders(struct mln_request *rq, struct mln_seal_config *ret)
{
    MLN_TRY(mln_seal_read_config(rq->cx, mln_core_of(rq)->seal, ret));
    (void)sys_has_recovery(rq, ret);
    return MLN_OK;
}

static const struct mln_value *seal_status(struct mln_request *rq)
{
    struct mln_cx *cx = rq->cx;
    struct mln_core *core = mln_core_of(rq);
    struct mln_value *bare = mln_object(cx);
    struct mln_seal_config config = {0};
    struct mln_seal_progress progress = {0};
    bool ready = is_initialized(rq);
    if (ready && mln_failed(mln_seal_read_config(cx, core->seal, &config))) {
        mln_cx_clear(cx);
    }
    bool has_recovery = ready && sys_has_recovery(rq, &config);
    mln_seal_progress(core->seal, &progress);
    mln_put_text(cx, bare, "type", core->config.seal == MLN_SEAL_SHAMIR ? "shamir" : "keyfile");
    mln_put_bool(cx, bare, "initialized", ready);
    mln_put_bool(cx, bare, "sealed", mln_core_is_sealed(core));
    mln_put_int(cx, bare, "t", config.threshold);
    mln_put_int(cx, bare, "n", config.shares);
    mln_put_int(cx, bare, "progress", progress.given);
    mln_put_text(cx, bare, "nonce", mln_text_dup(cx, mln_bytes_of(progress.nonce)));
    mln_put_text(cx, bare, "version", version_text());
    mln_put_text(cx, bare, "build_date", "");
    mln_put_bool(cx, bare, "migration", false);
    if (!mln_core_is_sealed(core)) {
        mln_put_text(cx, bare, "cluster_name", CLUSTER_NAME);
    }
    mln_put_bool(cx, bare, "recovery_seal", has_recovery);
    if (has_recovery) {
        mln_put_text(cx, bare, "recovery_seal_type", "shamir");
    }
    mln_put_text(cx, bare, "storage_type", "lmdb");
    return bare;
}

static struct mln_err sys_seal_status(struct mln_request *rq, struct mln_reply *re)
{
    re->bare = seal_status(rq);
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_init_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *bare = mln_object(rq->cx);
    mln_put_bool(rq->cx, bare, "initialized", is_initialized(rq));
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

/* Shares as hex and base64: given out once. */
static void put_shares(struct mln_cx *cx, const struct mln_bytes *shares, size_t n, bool is_recovery,
                       struct mln_value *bare)
{
    struct mln_value *hex = mln_array(cx), *base64 = mln_array(cx);
    for (size_t i = 0; i < n; i++) {
        mln_push(cx, hex, mln_secret_string(cx, mln_bytes_of(mln_hex_text(cx, shares[i]))));
        mln_push(cx, base64,
                 mln_secret_string(cx, mln_bytes_of(mln_base64_text(cx, shares[i], MLN_B64_STD))));
    }
    mln_put(cx, bare, is_recovery ? "recovery_keys" : "keys", hex);
    mln_put(cx, bare, is_recovery ? "recovery_keys_base64" : "keys_base64", base64);
}

/* What Vault takes and this server does not is refused: shares that should have come encrypted must not come in clear. */
static struct mln_err check_init(struct mln_request *rq, bool is_shamir)
{
    static const char *const recovery[] = {"recovery_shares", "recovery_threshold"};
    bool has_pgp = mln_len(mln_field_of(rq, "recovery_pgp_keys")) > 0, has_recovery = has_pgp;
    if ((has_pgp && !is_shamir) || mln_len(mln_field_of(rq, "pgp_keys")) > 0 || mln_len(mln_field_of(rq, "root_token_pgp_key")) > 0) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                        "pgp_keys, recovery_pgp_keys and root_token_pgp_key are not supported: shares and token are "
                        "answered as they are");
    }
    for (size_t i = 0; i < MLN_COUNT(recovery); i++) {
        has_recovery = has_recovery || mln_get_int(mln_field_of(rq, recovery[i]), 0) != 0;
    }
    return !has_recovery || !is_shamir
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "parameters recovery_shares,recovery_threshold,recovery_pgp_keys "
                          "not applicable to seal type shamir");
}

/* Of a Shamir seal its shares; of another its recovery keys, which need not be. */
static struct mln_err init_config(struct mln_request *rq, bool is_shamir, struct mln_seal_config *ret)
{
    int64_t n = mln_get_int(mln_field_of(rq, is_shamir ? "secret_shares" : "recovery_shares"), 0),
            t = mln_get_int(mln_field_of(rq, is_shamir ? "secret_threshold" : "recovery_threshold"), 0);
    bool is_none = !is_shamir && n == 0 && t == 0;
    if (!is_none && sys_shares_wrong(n, t) != NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid %s configuration: %s", is_shamir ? "seal" : "recovery",
                        sys_shares_wrong(n, t));
    }
    *ret = is_shamir ? (struct mln_seal_config){.kind = MLN_SEAL_SHAMIR, .shares = (unsigned)n, .threshold = (unsigned)t}
                     : (struct mln_seal_config){.kind = MLN_SEAL_KEYFILE, .shares = 1, .threshold = 1,
                                                .recovery_shares = (unsigned)n, .recovery_threshold = (unsigned)t};
    return MLN_OK;
}

static struct mln_err sys_init(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_core *core = mln_core_of(rq);
    bool is_shamir = core->config.seal == MLN_SEAL_SHAMIR;
    struct mln_seal_config config = {0};
    MLN_TRY(check_init(rq, is_shamir));
    MLN_TRY(init_config(rq, is_shamir, &config));
    struct mln_bytes *shares = mln_new_array(cx, 256, sizeof(*shares));
    struct mln_value *bare = mln_object(cx);
    const char *token = NULL;
    size_t n_shares = 0;
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_core_init(cx, core, &config, NULL, shares, &n_shares, &token));
    put_shares(cx, shares, is_shamir ? n_shares : 0, false, bare);
    if (!is_shamir && n_shares > 0) {
        put_shares(cx, shares, n_shares, true, bare);
    }
    mln_put(cx, bare, "root_token", mln_secret_string(cx, mln_bytes_of(token)));
    re->bare = bare;
    return mln_cx_err(cx);
}

/* In the order in which Vault looks. */
const char *sys_shares_wrong(int64_t n, int64_t t)
{
    return n < 1               ? "shares must be at least one"
           : t < 1             ? "threshold must be at least one"
           : n > 1 && t == 1   ? "threshold must be greater than one for multiple shares"
           : n > 255           ? "shares must be less than 256"
           : t > 255           ? "threshold must be less than 256"
           : t > n             ? "threshold cannot be larger than shares"
                               : NULL;
}

struct mln_err sys_share_of(struct mln_request *rq, struct mln_buf *ret)
{
    struct mln_bytes text = mln_bytes_trim(mln_get_bytes(mln_field_of(rq, "key")));
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "'key' must be specified in request body as JSON, or 'reset' set to true");
    }
    if (!mln_failed(mln_hex_parse(rq->cx, text, ret)) && ret->len >= SHARE_MIN) {
        return MLN_OK;
    }
    mln_cx_clear(rq->cx);
    mln_buf_clear(ret);
    if (mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, ret)) || ret->len < SHARE_MIN) {
        return mln_refail(rq->cx, MLN_E_INVALID, "'key' must be a valid hex or base64 string");
    }
    return MLN_OK;
}

/* A key file's seal is opened by who can show what the file holds: its key in hex, as the file has it. */
static struct mln_err check_keyfile(struct mln_request *rq, struct mln_bytes key)
{
    const char *path = mln_core_of(rq)->config.keyfile;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf held = {.is_secret = true};
    MLN_TRY(mln_file_read_all(rq->cx, path, 4096, &text));
    MLN_TRY(mln_hex_parse(rq->cx, mln_bytes_trim(mln_buf_bytes(&text)), &held));
    return mln_eq_ct(key.ptr, key.len, held.ptr, held.len)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "the key is not that of the key file");
}

static struct mln_err show_keyfile(struct mln_request *rq, struct mln_bytes key)
{
    MLN_TRY(check_keyfile(rq, key));
    return mln_seal_open_keyfile(rq->cx, mln_core_of(rq)->seal, mln_core_of(rq)->config.keyfile);
}

struct mln_err sys_prove_shares(struct mln_request *rq, const struct mln_ceremony *c)
{
    struct mln_bytes given[255];
    size_t n = mln_ceremony_given(c, given);
    struct mln_seal_config config = {0};
    if (sys_has_recovery(rq, &config)) {
        return mln_seal_recovery_prove(rq->cx, mln_core_of(rq)->seal, given, n);
    }
    return mln_core_of(rq)->config.seal == MLN_SEAL_KEYFILE
               ? check_keyfile(rq, n == 1 ? given[0] : MLN_BYTES_NONE)
               : mln_seal_prove(rq->cx, mln_core_of(rq)->seal, given, n);
}

struct mln_err sys_refuse_open(struct mln_request *rq, bool is_on)
{
    if (!rq->route->is_open || is_on) {
        return MLN_OK;
    }
    mln_run_of(rq)->is_off = true;
    return mln_fail(rq->cx, MLN_E_METHOD, "unsupported operation");
}

static struct mln_err give_share(struct mln_request *rq)
{
    struct mln_core *core = mln_core_of(rq);
    MLN_AUTO(mln_buf_drop) struct mln_buf share = {.is_secret = true};
    unsigned progress = 0;
    if (!is_initialized(rq)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Vault is not initialized");
    }
    if (!mln_core_is_sealed(core)) {
        return MLN_OK;
    }
    MLN_TRY(sys_share_of(rq, &share));
    if (core->config.seal == MLN_SEAL_KEYFILE) {
        MLN_TRY(show_keyfile(rq, mln_buf_bytes(&share)));
    } else {
        MLN_TRY(mln_seal_give(rq->cx, core->seal, mln_buf_bytes(&share), &progress));
    }
    return progress > 0 ? MLN_OK : mln_core_unsealed(rq->cx, core, "unseal");
}

static struct mln_err sys_unseal(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_core *core = mln_core_of(rq);
    struct mln_err err = MLN_OK;
    pthread_mutex_lock(&core->seal_lock);
    if (mln_get_bool(mln_field_of(rq, "reset"), false)) {
        mln_seal_reset(core->seal);
    } else {
        err = give_share(rq);
    }
    pthread_mutex_unlock(&core->seal_lock);
    MLN_TRY(err);
    re->bare = seal_status(rq);
    return mln_cx_err(rq->cx);
}

static struct mln_err sys_seal(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    mln_run_of(rq)->seals = true; /* after the answer: this request runs while the store is open */
    mln_put_text(rq->cx, rq->detail, "seal", "asked");
    return MLN_OK;
}

static struct mln_err sys_status(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_core *core = mln_core_of(rq);
    struct mln_value *data = mln_object(cx), *ledger = mln_object(cx);
    struct mln_ledger_status status = {0};
    pthread_rwlock_rdlock(&core->gate);
    bool has_ledger = core->ledger != NULL;
    if (has_ledger) {
        mln_ledger_status(core->ledger, &status);
    }
    pthread_rwlock_unlock(&core->gate);
    if (has_ledger) {
        mln_put_int(cx, ledger, "size", (int64_t)status.size);
        mln_put_int(cx, ledger, "published", (int64_t)status.published);
        mln_put_int(cx, ledger, "pruned", (int64_t)status.pruned);
        mln_put_text(cx, ledger, "origin", mln_text_dup(cx, mln_bytes_of(status.origin)));
        mln_put_text(cx, ledger, "vkey", mln_text_dup(cx, mln_bytes_of(status.vkey)));
        mln_put_text(cx, ledger, "root",
                     mln_hex_text(cx, mln_bytes_at(status.root, sizeof(status.root))));
        mln_put(cx, data, "ledger", ledger);
    }
    pthread_mutex_lock(&core->state_lock);
    mln_put(cx, data, "sandbox", mln_value_dup(cx, core->state));
    pthread_mutex_unlock(&core->state_lock);
    re->data = data;
    return mln_cx_err(cx);
}

/* ---- paths ---- */

static const struct mln_field init_fields[] = {
    F_INT("secret_shares", "5", "How many shares."),
    F_INT("secret_threshold", "3", "How many of them unseal."),
    F_LIST("pgp_keys", "Refused: not supported."),
    F_TEXT("root_token_pgp_key", "Refused: not supported."),
    F_INT("recovery_shares", NULL, "How many recovery keys, of a seal that opens by itself."),
    F_INT("recovery_threshold", NULL, "How many of them decide."),
    F_LIST("recovery_pgp_keys", "Refused: not supported."),
    F_INT("stored_shares", NULL, "Old, without meaning."),
    {0},
};
static const struct mln_field unseal_fields[] = {
    {.name = "key", .type = MLN_FIELD_SECRET, .help = "One share, hex or base64."},
    {.name = "reset",
     .type = MLN_FIELD_BOOL,
     .fallback = "false",
     .help = "Forget the shares given so far."},
    {0},
};
static const struct mln_field health_fields[] = {
    F_INT("activecode", "200", "Status when open."),
    F_INT("sealedcode", "503", "Status when sealed."),
    F_INT("uninitcode", "501", "Status when not initialised."),
    {0},
};

const struct mln_path mln_sys_seal[] = {
    {.pattern = "health",
     .summary = "Is it up and open?",
     .fields = health_fields,
     .read = sys_health,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true},
    {.pattern = "init",
     .summary = "Initialise, or ask whether it is.",
     .fields = init_fields,
     .read = sys_init_read,
     .write = sys_init,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true,
     .may_block = true},
    {.pattern = "seal-status",
     .summary = "Shares given and needed.",
     .read = sys_seal_status,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true},
    {.pattern = "unseal",
     .summary = "Give a share.",
     .fields = unseal_fields,
     .write = sys_unseal,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true,
     .may_block = true},
    {.pattern = "status",
     .summary = "Ledger and sandbox.",
     .read = sys_status,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true},
    {.pattern = "seal",
     .summary = "Seal: all keys are wiped.",
     .write = sys_seal,
     .is_sudo = true,
     .is_relief = true,
     .controls = "SC-12"},
    {0},
};
