/* SPDX-License-Identifier: Apache-2.0 */
/* The core's life: open, initialise, unseal, seal, close; what it does every second. */
#include "core/core_priv.h"
#include "core/govern.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "identity/identity.h"

#define STATE_ARENA_BYTES (1u << 20) /* what processes say of themselves: a few lines each */
#define SPACES_A_TICK     32u
#define ROTATE_EVERY_NS (60 * 1000000000LL)

/* ---- configuration ---- */

static bool copy_text(const char *from, const char **ret)
{
    *ret = from == NULL ? NULL : mln_strdup(from);
    return from == NULL || *ret != NULL;
}

static struct mln_err copy_config(struct mln_cx *cx, struct mln_core *core,
                                  const struct mln_core_config *config)
{
    core->config = *config;
    bool ok = copy_text(config->data_dir, &core->config.data_dir);
    ok = copy_text(config->origin, &core->config.origin) && ok;
    ok = copy_text(config->keyfile, &core->config.keyfile) && ok;
    ok = copy_text(config->api_address, &core->config.api_address) && ok;
    return ok ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no memory to start");
}

static void free_config(struct mln_core *core)
{
    mln_free((void *)(uintptr_t)core->config.data_dir);
    mln_free((void *)(uintptr_t)core->config.origin);
    mln_free((void *)(uintptr_t)core->config.keyfile);
    mln_free((void *)(uintptr_t)core->config.api_address);
}

/* ---- open and close ---- */

static void init_locks(struct mln_core *core)
{
    pthread_rwlockattr_t fair; /* who wants to seal must not starve; nobody takes the gate twice */
    pthread_rwlockattr_init(&fair);
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&core->gate, &fair);
    pthread_rwlockattr_destroy(&fair);
    mln_errands_init(core);
    pthread_rwlock_init(&core->mounts_lock, NULL);
    pthread_rwlock_init(&core->acl_lock, NULL);
    pthread_rwlock_init(&core->person_lock, NULL);
    pthread_mutex_init(&core->seal_lock, NULL);
    pthread_mutex_init(&core->load_lock, NULL);
    pthread_mutex_init(&core->state_lock, NULL);
    pthread_mutex_init(&core->tick_lock, NULL);
    pthread_mutex_init(&core->kept_lock, NULL);
    pthread_mutex_init(&core->ceremonies.lock, NULL);
    mln_quotas_init(&core->quotas);
    pthread_mutex_init(&core->running_lock, NULL);
    mln_lease_quotas_init(&core->lease_quotas);
    pthread_rwlock_init(&core->cors_lock, NULL);
    pthread_rwlock_init(&core->rules_lock, NULL);
    pthread_rwlock_init(&core->spaces_lock, NULL);
}

static struct mln_err open_parts(struct mln_cx *cx, struct mln_core *core)
{
    core->audit = mln_audit_new();
    core->lockouts = mln_lockouts_new();
    core->peers = mln_peers_new(core->config.peer_wait_ms);
    if (core->audit == NULL || core->lockouts == NULL || core->peers == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to start");
    }
    const char *dir = mln_text_format(cx, "%s/store", core->config.data_dir);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_dir_make(cx, core->config.data_dir, 0700));
    struct mln_store_config config = {.dir = dir, .no_sync = core->config.no_sync};
    MLN_TRY(mln_store_open_lmdb(cx, &config, &core->store));
    MLN_TRY(mln_barrier_new(cx, core->store, &core->barrier));
    MLN_TRY(mln_seal_new(cx, core->store, core->barrier, &core->seal));
    core->state_arena = mln_arena_new(STATE_ARENA_BYTES, false);
    core->persons = mln_alloc_array(MLN_PERSON_CACHE, sizeof(*core->persons));
    atomic_store(&core->person_epoch, 1);
    if (core->state_arena == NULL || core->persons == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to start");
    }
    mln_cx_init(&core->state_cx, core->state_arena);
    core->state = mln_object(&core->state_cx);
    return MLN_OK;
}

static struct mln_err open_keyfile(struct mln_cx *cx, struct mln_core *core)
{
    if (core->config.seal != MLN_SEAL_KEYFILE || core->config.keyfile == NULL ||
        !mln_core_is_initialized(cx, core)) {
        return MLN_OK;
    }
    MLN_TRY(mln_seal_open_keyfile(cx, core->seal, core->config.keyfile));
    return mln_core_unsealed(cx, core, "unseal by key file");
}

struct mln_err mln_core_open(struct mln_cx *cx, const struct mln_core_config *config,
                             struct mln_core **ret)
{
    struct mln_secret home = {0};
    MLN_TRY(mln_secret_new(cx, (sizeof(struct mln_core) + 63) / 64 * 64,
                           &home)); /* it ends at a page's end: keep it aligned */
    struct mln_core *core = (void *)home.ptr;
    core->home = home;
    atomic_init(&core->topic_version, (unsigned long long)(mln_now_ns() / 1000));
    init_locks(core);
    struct mln_err err = copy_config(cx, core, config);
    err = mln_failed(err) ? err : open_parts(cx, core);
    err = mln_failed(err) ? err : open_keyfile(cx, core);
    if (mln_failed(err)) {
        mln_core_close(core);
        return err;
    }
    *ret = core;
    return MLN_OK;
}

void mln_core_close(struct mln_core *core)
{
    if (core == NULL) {
        return;
    }
    mln_errands_end(core);
    mln_core_seal_now(core, false);
    mln_seal_free(core->seal);
    mln_barrier_free(core->barrier);
    mln_store_close(core->store);
    mln_arena_free(core->state_arena);
    mln_audit_free(core->audit);
    mln_lockouts_free(core->lockouts);
    mln_peers_free(core->peers);
    free_config(core);
    pthread_rwlock_destroy(&core->gate);
    pthread_rwlock_destroy(&core->mounts_lock);
    pthread_rwlock_destroy(&core->acl_lock);
    pthread_rwlock_destroy(&core->person_lock);
    mln_free(core->persons);
    pthread_mutex_destroy(&core->seal_lock);
    pthread_mutex_destroy(&core->load_lock);
    pthread_mutex_destroy(&core->state_lock);
    pthread_mutex_destroy(&core->tick_lock);
    pthread_mutex_destroy(&core->kept_lock);
    pthread_mutex_destroy(&core->ceremonies.lock);
    mln_quotas_drop(&core->quotas);
    pthread_mutex_destroy(&core->running_lock);
    mln_lease_quotas_drop(&core->lease_quotas);
    mln_errands_fini(core);
    pthread_rwlock_destroy(&core->cors_lock);
    pthread_rwlock_destroy(&core->rules_lock);
    pthread_rwlock_destroy(&core->spaces_lock);
    struct mln_secret home = core->home;
    mln_secret_drop(&home);
}

bool mln_core_is_sealed(const struct mln_core *core)
{
    return !atomic_load(&core->is_open);
}

/* ---- unseal and seal ---- */

static struct mln_err note_system(struct mln_cx *cx, struct mln_core *core, const char *action)
{
    struct mln_run run = {.is_system = true};
    struct mln_record record = {0};
    MLN_TRY(mln_run_begin(cx, core, &run));
    run.actor.kind = MLN_ACTOR_SYSTEM;
    run.rq.path = mln_bytes_of(action);
    run.rq.op = MLN_OP_WRITE;
    mln_run_record(&run, MLN_OK, NULL, &record);
    MLN_TRY(mln_cx_err(cx));
    return mln_ledger_note(cx, core->ledger, &record);
}

static struct mln_err open_ledger(struct mln_cx *cx, struct mln_core *core)
{
    struct mln_ledger_config config = {.dir = core->config.data_dir, .origin = core->config.origin};
    uint8_t key[MLN_KEY_BYTES];
    MLN_TRY(mln_barrier_derive(cx, core->barrier, MLN_NS_ROOT, "token", key));
    mln_hmac_key_set(&core->token_key, mln_bytes_at(key, sizeof(key)));
    mln_wipe(key, sizeof(key));
    MLN_TRY(mln_barrier_derive(cx, core->barrier, MLN_NS_ROOT, "batch token", core->batch_key));
    return mln_ledger_open(cx, core->store, core->barrier, &config, &core->ledger);
}

static void tell_root(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    if (core->config.root != NULL && !mln_failed(mln_barrier_root(cx, core->barrier, &root))) {
        core->config.root(core->config.arg, &root);
    }
}

/* Not before the first rows: they make the store count as initialised. */
static struct mln_err note_version(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    if (!mln_core_is_initialized(cx, core)) {
        return MLN_OK;
    }
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(mln_version_note(cx, txn, mln_now_ns()));
    struct mln_err err = mln_core_commit(core, cx, txn, "a new version of the program", NULL);
    if (mln_is(err, MLN_E_FULL)) { /* a full disk must not keep the server shut */
        mln_cx_clear(cx);
        return MLN_OK;
    }
    return err;
}

/* Mounts that a store of an older program lacks, unless something else stands there. */
static struct mln_err late_mounts(struct mln_cx *cx, struct mln_core *core)
{
    struct mln_run run = {.is_system = true};
    const struct mln_value *rows = NULL;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    if (!mln_core_is_initialized(cx, core) || mln_engine_find(core, "spiffe", MLN_MOUNT_SECRET) == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_run_begin(cx, core, &run));
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    run.actor.kind = MLN_ACTOR_SYSTEM;
    run.rq.txn = txn;
    MLN_TRY(mln_mounts_rows(cx, txn, &rows));
    if (mln_failed(mln_mount_check_free(cx, rows, MLN_BYTES(MLN_SPIFFE_MOUNT)))) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(mln_mount_add(&run.rq, mln_mounts_row(cx, MLN_SPIFFE_MOUNT, "spiffe", "workload identities", NULL)));
    struct mln_err err = mln_core_commit(core, cx, txn, "mount spiffe/", NULL);
    if (mln_is(err, MLN_E_FULL)) { /* a full disk must not keep the server shut */
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    mln_txn_drop(&txn);
    return mln_mounts_load(cx, core, MLN_NS_ROOT);
}

struct mln_err mln_core_unsealed_at_gate(struct mln_cx *cx, struct mln_core *core, const char *action)
{
    struct mln_err err = atomic_load(&core->is_open) ? MLN_OK : open_ledger(cx, core);
    err = mln_failed(err) ? err : mln_mounts_load(cx, core, MLN_NS_ROOT);
    err = mln_failed(err) ? err : mln_spaces_load(cx, core);
    err = mln_failed(err) ? err : mln_rotate_load(cx, core);
    err = mln_failed(err) ? err : mln_quotas_load(cx, core);
    err = mln_failed(err) ? err : mln_lease_quotas_load(cx, core);
    err = mln_failed(err) ? err : mln_cors_load(cx, core);
    err = mln_failed(err) ? err : mln_govern_load(cx, core);
    err = mln_failed(err) ? err : note_version(cx, core);
    err = mln_failed(err) ? err : late_mounts(cx, core);
    err = mln_failed(err) ? err : note_system(cx, core, action);
    err = mln_failed(err) ? err : mln_audit_start(cx, core);
    if (mln_failed(err)) {
        mln_ledger_close(core->ledger);
        core->ledger = NULL;
        mln_mounts_forget(core);
        mln_spaces_forget(core);
        mln_audit_forget(core->audit);
        mln_wipe(&core->token_key, sizeof(core->token_key));
        mln_wipe(core->batch_key, sizeof(core->batch_key));
        mln_barrier_seal(core->barrier);
    } else {
        atomic_store(&core->is_open, true);
    }
    return err;
}

struct mln_err mln_core_unsealed(struct mln_cx *cx, struct mln_core *core, const char *action)
{
    pthread_rwlock_wrlock(&core->gate);
    struct mln_err err = mln_core_unsealed_at_gate(cx, core, action);
    pthread_rwlock_unlock(&core->gate);
    if (!mln_failed(err)) {
        tell_root(cx, core);
    }
    return err;
}

/* Commits come in order: behind this empty one none is on its way that a request did not wait for at the gate. */
static void let_land(struct mln_core *core)
{
    struct mln_batch none = {0};
    if (core->ledger != NULL && mln_failed(mln_store_commit(NULL, core->store, &none))) {
        mln_log(MLN_LOG_WARN, "core", "sealing: the store fails, writes that wait are lost with an error");
    }
}

void mln_core_seal_at_gate(struct mln_core *core)
{
    atomic_store(&core->is_open, false);
    let_land(core);
    mln_ledger_close(core->ledger);
    core->ledger = NULL;
    mln_policies_forget(core);
    mln_persons_forget(core);
    mln_mounts_forget(core);
    mln_spaces_forget(core);
    mln_ceremonies_forget(core);
    mln_quotas_forget(core);
    mln_lease_quotas_forget(core);
    mln_audit_forget(core->audit);
    mln_cors_forget(core);
    mln_govern_forget(core);
    mln_kept_forget(core);
    if (core->config.present != NULL) {
        struct mln_cx cx;
        mln_cx_init(&cx, NULL);
        (void)core->config.present(core->config.arg, &cx, MLN_BYTES_NONE, MLN_BYTES_NONE);
    }
    if (core->barrier != NULL) {
        mln_barrier_seal(core->barrier);
    }
    mln_wipe(&core->token_key, sizeof(core->token_key));
    mln_wipe(core->batch_key, sizeof(core->batch_key));
}

void mln_core_seal_now(struct mln_core *core, bool on_purpose)
{
    pthread_rwlock_wrlock(&core->gate);
    mln_core_seal_at_gate(core);
    pthread_rwlock_unlock(&core->gate);
    if (on_purpose && core->config.root != NULL) {
        core->config.root(core->config.arg, NULL);
    }
}

struct mln_err mln_core_rekey(struct mln_cx *cx, struct mln_core *core,
                              const struct mln_secret *root)
{
    pthread_mutex_lock(&core->seal_lock);
    struct mln_err err = MLN_OK;
    if (mln_core_is_sealed(core)) {
        err = mln_barrier_unseal(cx, core->barrier, root);
        err = mln_failed(err) ? err : mln_core_unsealed(cx, core, "core re-keyed");
    }
    pthread_mutex_unlock(&core->seal_lock);
    return err;
}

/* ---- initialise ---- */

/* Mounts of engines that this build may lack. */
static bool has_engine(const struct mln_core *core, const char *type)
{
    return mln_engine_find(core, type, MLN_MOUNT_SECRET) != NULL;
}

static struct mln_err add_mount(struct mln_run *run, const char *path, const char *type,
                                const char *what, const struct mln_value *options)
{
    return mln_mount_add(&run->rq, mln_mounts_row(run->rq.cx, path, type, what, options));
}

static struct mln_err add_mounts(struct mln_run *run)
{
    struct mln_value *v2 = mln_object(run->rq.cx);
    mln_put_text(run->rq.cx, v2, "version", "2");
    struct mln_value *rows = mln_array(run->rq.cx);
    mln_push(run->rq.cx, rows,
             mln_mounts_row(run->rq.cx, "sys/", "system",
                            "system endpoints used for control, policy and debugging", NULL));
    if (has_engine(run->core, "identity")) {
        mln_push(run->rq.cx, rows, mln_mounts_row(run->rq.cx, MLN_IDENTITY_MOUNT, "identity", "identity store", NULL));
    }
    MLN_TRY(mln_mounts_put(run->rq.cx, run->rq.txn, rows));
    MLN_TRY(add_mount(run, "auth/token/", "token", "token based credentials", NULL));
    if (has_engine(run->core, "cubbyhole")) {
        MLN_TRY(add_mount(run, "cubbyhole/", "cubbyhole", "per-token private secret storage", NULL));
    }
    if (has_engine(run->core, "release")) {
        MLN_TRY(add_mount(run, "release/", "release", "releases of models", NULL));
    }
    if (has_engine(run->core, "decision")) {
        MLN_TRY(add_mount(run, "decision/", "decision", "decisions of policies, for replay", NULL));
    }
    if (has_engine(run->core, "spiffe")) {
        MLN_TRY(add_mount(run, MLN_SPIFFE_MOUNT, "spiffe", "workload identities", NULL));
    }
    return run->core->config.is_dev
               ? add_mount(run, "secret/", "kv", "key/value secret storage", v2)
               : MLN_OK;
}

static struct mln_err first_rows(struct mln_cx *cx, struct mln_core *core, const char *root_token,
                                 const char **ret_token)
{
    struct mln_run run = {.is_system = true};
    struct mln_value *root = mln_array(cx), *entry_policies = root;
    const struct mln_value *auth = NULL;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    MLN_TRY(mln_run_begin(cx, core, &run));
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    run.actor.kind = MLN_ACTOR_SYSTEM;
    run.rq.txn = txn;
    mln_push_text(cx, entry_policies, "root");
    MLN_TRY(add_mounts(&run));
    MLN_TRY(mln_policies_start(cx, txn));
    MLN_TRY(mln_version_note(cx, txn, run.rq.now_ns));
    /* The token that a developer chose looks like one that was made with the first one. */
    bool is_chosen = core->config.is_dev && root_token != NULL;
    struct mln_token_spec spec = {.id = root_token,
                                  .policies = root,
                                  .display_name = is_chosen ? "token" : "root",
                                  .path = is_chosen ? "auth/token/create" : MLN_PATH_FIRST_TOKEN};
    MLN_TRY(mln_token_create(core, cx, txn, run.rq.now_ns, &spec, &auth, NULL));
    MLN_TRY(mln_core_commit(core, cx, txn, "initialise", NULL));
    *ret_token = mln_get_text(cx, mln_get(auth, "client_token"), "");
    return mln_mounts_load(cx, core, MLN_NS_ROOT);
}

static struct mln_err unseal_with(struct mln_cx *cx, struct mln_core *core,
                                  const struct mln_bytes *shares, size_t n)
{
    if (core->config.seal == MLN_SEAL_KEYFILE) {
        return mln_seal_open_keyfile(cx, core->seal, core->config.keyfile);
    }
    unsigned progress = 1;
    for (size_t i = 0; i < n && progress > 0; i++) {
        MLN_TRY(mln_seal_give(cx, core->seal, shares[i], &progress));
    }
    return MLN_OK;
}

/* Recovery keys of a seal that opens by itself, when they are wanted: what is cut off before the first rows is thrown away with them. */
static struct mln_err make_recovery(struct mln_cx *cx, struct mln_core *core, const struct mln_seal_config *seal,
                                    struct mln_bytes *ret_shares, size_t *ret_n)
{
    struct mln_seal_change change = {0};
    struct mln_seal_config config = {
        .kind = MLN_SEAL_SHAMIR, .shares = seal->recovery_shares, .threshold = seal->recovery_threshold};
    if (seal->kind == MLN_SEAL_SHAMIR || config.shares == 0) {
        return MLN_OK;
    }
    MLN_TRY(mln_seal_change_begin(cx, &config, ret_shares, &change));
    struct mln_err err = mln_seal_recovery_commit(cx, core->seal, &change);
    mln_seal_change_drop(&change);
    *ret_n = config.shares;
    return err;
}

static struct mln_err init_locked(struct mln_cx *cx, struct mln_core *core,
                                  const struct mln_seal_config *seal, const char *root_token,
                                  struct mln_bytes *ret_shares, size_t *ret_n,
                                  const char **ret_token)
{
    if (mln_core_is_initialized(cx, core)) {
        return mln_fail(cx, MLN_E_EXISTS, "Vault is already initialized");
    }
    MLN_TRY(mln_core_discard_unfinished(cx, core));
    MLN_TRY(mln_seal_init(cx, core->seal, seal, core->config.keyfile, ret_shares, ret_n));
    MLN_TRY(unseal_with(cx, core, ret_shares, *ret_n));
    MLN_TRY(mln_core_unsealed(cx, core, "initialise"));
    struct mln_err err = make_recovery(cx, core, seal, ret_shares, ret_n);
    err = mln_failed(err) ? err : first_rows(cx, core, root_token, ret_token);
    if (mln_failed(err) || core->config.seal == MLN_SEAL_SHAMIR) {
        mln_core_seal_now(core, true); /* a Shamir seal stays closed until its shares are given */
    }
    return err;
}

struct mln_err mln_core_init(struct mln_cx *cx, struct mln_core *core,
                             const struct mln_seal_config *seal, const char *root_token,
                             struct mln_bytes *ret_shares, size_t *ret_n, const char **ret_token)
{
    pthread_mutex_lock(&core->seal_lock);
    struct mln_err err = init_locked(cx, core, seal, root_token, ret_shares, ret_n, ret_token);
    pthread_mutex_unlock(&core->seal_lock);
    return err;
}

struct mln_err mln_core_init_dev(struct mln_cx *cx, struct mln_core *core, const char *root_token,
                                 const char **ret_token)
{
    struct mln_seal_config seal = {.kind = core->config.seal, .shares = 1, .threshold = 1};
    struct mln_bytes shares[1] = {MLN_BYTES_NONE};
    size_t n = 0;
    MLN_TRY(mln_core_init(cx, core, &seal, root_token, shares, &n, ret_token));
    if (!mln_core_is_sealed(core)) {
        return MLN_OK;
    }
    MLN_TRY(unseal_with(cx, core, shares, n));
    return mln_core_unsealed(cx, core, "unseal");
}

/* ---- what processes say of themselves ---- */

void mln_core_process_state(struct mln_core *core, const char *process,
                            const struct mln_value *state)
{
    pthread_mutex_lock(&core->state_lock);
    struct mln_arena *fresh = mln_arena_new(STATE_ARENA_BYTES, false);
    if (fresh != NULL) {
        struct mln_cx cx;
        mln_cx_init(&cx, fresh);
        struct mln_value *all = mln_value_dup(&cx, core->state);
        mln_put(&cx, all, mln_text_dup(&cx, mln_bytes_of(process)), mln_value_dup(&cx, state));
        mln_arena_free(core->state_arena);
        core->state_arena = fresh;
        core->state = all;
    }
    pthread_mutex_unlock(&core->state_lock);
}

void mln_core_reopen(struct mln_core *core)
{
    mln_audit_reopen(core->audit);
}

void mln_core_vkey(struct mln_core *core, char to[256])
{
    struct mln_ledger_status status = {0};
    pthread_rwlock_rdlock(&core->gate);
    if (core->ledger != NULL) {
        mln_ledger_status(core->ledger, &status);
    }
    pthread_rwlock_unlock(&core->gate);
    mln_copy(to, status.vkey, sizeof(status.vkey));
}

/* ---- every second ---- */

static struct mln_err tick_one(struct mln_request *rq, void *arg)
{
    (void)arg;
    return rq->mount->engine->tick(rq);
}

static struct mln_err tick_engine(struct mln_cx *cx, struct mln_core *core,
                                  struct mln_mount_table *table, const struct mln_mount *mount,
                                  struct mln_value *topics)
{
    struct mln_system_job work = {.table = table, .mount = mount, .name = "tick", .fn = tick_one};
    return mln_system_work(cx, core, &work, topics);
}

static void failed(struct mln_cx *cx, const char *what)
{
    mln_log_fault(MLN_LOG_WARN, "core", cx, what);
    mln_cx_clear(cx);
}

/* Engines' ticks by the clock: due when a multiple of their period lies between the last look and now. */
static void tick_table(struct mln_cx *cx, struct mln_core *core, struct mln_mount_table *table, int64_t last_ns,
                       int64_t now_ns, struct mln_value *topics)
{
    for (size_t i = 0; table != NULL && i < table->n; i++) {
        const struct mln_engine *engine = table->mounts[i].engine;
        if (engine == NULL || engine->tick == NULL || engine->tick_s <= 0) {
            continue;
        }
        int64_t period_ns = engine->tick_s * 1000000000;
        if (now_ns / period_ns != last_ns / period_ns) {
            if (mln_failed(tick_engine(cx, core, table, &table->mounts[i], topics))) {
                failed(cx, "an engine's scheduled work waits for the next period");
            }
        }
    }
}

/*
 * Namespaces take turns, SPACES_A_TICK a second: a round begins with the first, and what is due is judged by when rounds begin, so that
 * a thousand of them cost a second no more than a few.
 */
static void tick_spaces(struct mln_cx *cx, struct mln_core *core, int64_t now_ns, struct mln_value *topics)
{
    MLN_AUTO(mln_spaces_release_drop) struct mln_spaces *spaces = mln_spaces_hold(core);
    size_t n = spaces != NULL ? spaces->n : 0;
    if (core->space_at >= n) {
        core->space_at = 0;
    }
    if (core->space_at == 0) {
        core->last_round_ns = core->round_ns != 0 ? core->round_ns : core->last_tick_ns;
        core->round_ns = now_ns;
    }
    for (size_t i = 0; i < SPACES_A_TICK && core->space_at < n; i++) {
        const struct mln_space *space = &spaces->list[core->space_at++];
        MLN_AUTO(mln_mounts_release_drop) struct mln_mount_table *table = NULL;
        if (space->is_tainted) {
            continue;
        }
        if (mln_failed(mln_mounts_hold_of(cx, core, mln_bytes_of(space->id), &table))) {
            failed(cx, "scheduled work of a namespace waits for the next period");
            continue;
        }
        tick_table(cx, core, table, core->last_round_ns, core->round_ns, topics);
    }
}

static void tick_engines(struct mln_cx *cx, struct mln_core *core, int64_t now_ns, struct mln_value *topics)
{
    MLN_AUTO(mln_mounts_release_drop) struct mln_mount_table *table = mln_mounts_hold(core);
    tick_table(cx, core, table, core->last_tick_ns, now_ns, topics);
    tick_spaces(cx, core, now_ns, topics);
}

static void tick_keys(struct mln_cx *cx, struct mln_core *core, int64_t now_ns)
{
    size_t n = 0;
    if (now_ns - core->last_rotate_ns <= ROTATE_EVERY_NS) {
        return;
    }
    core->last_rotate_ns = now_ns;
    struct mln_err err = mln_barrier_tick(cx, core->barrier, &n);
    if (!mln_failed(err) && n > 0) {
        err = note_system(cx, core, "rotate the barrier's keys");
    }
    if (mln_failed(err)) {
        failed(cx, "the barrier's keys are not rotated");
    }
}

/* What does not get done now is done in the next second; what expired is refused already. */
static void tick_open(struct mln_cx *cx, struct mln_core *core, int64_t now_ns,
                      struct mln_value *topics)
{
    bool more = false;
    mln_life_tick(core, cx, now_ns);
    if (mln_failed(mln_mounts_sweep(cx, core, &more))) {
        failed(cx, "rows of an unmounted engine are not deleted yet");
    }
    mln_spaces_tick(cx, core, now_ns);
    mln_ceremonies_tick(core);
    mln_lockout_tick(cx, core, now_ns);
    tick_engines(cx, core, now_ns, topics);
    tick_keys(cx, core, now_ns);
}

void mln_core_tick(struct mln_cx *cx, struct mln_core *core)
{
    pthread_mutex_lock(&core->tick_lock);
    pthread_rwlock_rdlock(&core->gate);
    int64_t now_ns = mln_now_ns();
    struct mln_run run = {.core = core, .rq = {.cx = cx}, .topics = mln_array(cx)};
    if (atomic_load(&core->is_open)) {
        tick_open(cx, core, now_ns, run.topics);
    }
    core->last_tick_ns = now_ns;
    pthread_rwlock_unlock(&core->gate);
    mln_topics_publish(&run);
    pthread_mutex_unlock(&core->tick_lock);
}
