/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys/storage/raft/: snapshots of the store, taken and restored while the server runs. No server here uses raft; the paths are the
 * ones that Vault's clients know.
 *
 * A restore is checked within its request, which is recorded in the old log. Once that is over, the gate is closed, the store is
 * replaced in one transaction and opened again: nothing of it is seen half done, and what fails leaves all as it was.
 */
#include "core/sys_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "ledger/restore.h"

/* What an answer can carry: core holds it three times (file, arena, message), a message of the ring has at most 80 MiB. */
#define SNAPSHOT_MAX ((size_t)48 << 20)

/* ---- taking one ---- */

static struct mln_err to_buf(void *arg, struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_buf *buf = arg;
    mln_buf_add_bytes(buf, bytes);
    if (buf->is_over) {
        return mln_fail(cx, MLN_E_TOO_LARGE,
                        "the snapshot is larger than an answer may be (%zu MiB): stop the server and run 'merlon operator backup', which "
                        "has no such limit",
                        SNAPSHOT_MAX >> 20);
    }
    return mln_buf_ok(cx, buf);
}

static struct mln_err snapshot_key(struct mln_cx *cx, struct mln_core *core, uint8_t key[32])
{
    return mln_barrier_derive(cx, core->barrier, MLN_NS_ROOT, "snapshot", key);
}

static struct mln_err save(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_core *core = mln_core_of(rq);
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {.max = SNAPSHOT_MAX};
    struct mln_dump_sink sink = {to_buf, &file};
    uint8_t key[32];
    rq->services->block(rq);
    MLN_TRY(snapshot_key(rq->cx, core, key));
    MLN_TRY(mln_ledger_flush(rq->cx, core->ledger)); /* so that the checkpoint named in it is that of its log */
    MLN_TRY(mln_snap_begin(rq->cx, core->store, &snap));
    struct mln_err err = mln_dump_write(rq->cx, snap, mln_restore_about(rq->cx, core->config.data_dir, rq->now_ns), key, &sink);
    mln_wipe(key, sizeof(key));
    MLN_TRY(err);
    re->raw = mln_bytes_dup(rq->cx, mln_buf_bytes(&file));
    re->content_type = "application/gzip";
    mln_put_int(rq->cx, rq->detail, "bytes", (int64_t)file.len);
    return mln_cx_err(rq->cx);
}

/* ---- checking one ---- */

/* Rows that say whose it is. */
struct owner {
    struct mln_bytes keyring, seal_config;
    bool has_seal;
};

static struct mln_err find_owner(void *arg, struct mln_cx *cx, struct mln_bytes key, struct mln_bytes value)
{
    struct owner *o = arg;
    if (mln_bytes_is(key, "core/keyring/root")) {
        o->keyring = mln_bytes_dup(cx, value);
    } else if (mln_bytes_is(key, "core/seal-config")) {
        o->seal_config = mln_bytes_dup(cx, value);
    } else if (mln_bytes_is(key, "core/seal")) {
        o->has_seal = true;
    }
    return mln_cx_err(cx);
}

/* Could this server be unsealed with it at all? */
static struct mln_err check_seal(struct mln_cx *cx, struct mln_core *core, const struct owner *o)
{
    struct mln_seal_config config = {0};
    if (o->keyring.len == 0 || !o->has_seal || o->seal_config.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "the snapshot is of a server that was not initialized");
    }
    struct mln_err err = mln_seal_parse_config(cx, o->seal_config, &config);
    if (mln_failed(err)) {
        return mln_refail(cx, MLN_E_INVALID, "the snapshot's seal is damaged or of a newer format");
    }
    return config.kind == core->config.seal ? MLN_OK
                                            : mln_fail(cx, MLN_E_INVALID, "the snapshot has another kind of seal than this server");
}

static struct mln_err fits(struct mln_cx *cx, struct mln_core *core, const struct owner *o, bool *ret)
{
    struct mln_err err = mln_barrier_fits(cx, core->barrier, o->keyring);
    *ret = !mln_failed(err);
    if (mln_is(err, MLN_E_FORGED) || mln_is(err, MLN_E_CORRUPT)) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    return err;
}

static struct mln_err check_owner(struct mln_cx *cx, struct mln_core *core, const struct owner *o, bool is_authentic)
{
    bool is_ours = false;
    MLN_TRY(fits(cx, core, o, &is_ours));
    if (!is_ours) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the snapshot is of another server: its keys do not open with this server's root key. snapshot-force restores it "
                        "and leaves this server sealed, to be unsealed with the other's shares");
    }
    return is_authentic ? MLN_OK
                        : mln_fail(cx, MLN_E_INVALID,
                                   "the snapshot was changed, or made without this server's keys: its SHA256SUMS.sealed does not fit. "
                                   "snapshot-force restores it all the same");
}

static struct mln_err wish(struct mln_request *rq, bool is_force)
{
    struct mln_core *core = mln_core_of(rq);
    struct mln_cx *cx = rq->cx;
    struct mln_bytes file = mln_get_bytes(mln_get(rq->data, "raw"));
    struct mln_dump_facts facts = {0};
    struct owner owner = {0};
    struct mln_dump_take take = {find_owner, &owner};
    struct mln_restore_wish *w = MLN_NEW(cx, struct mln_restore_wish);
    uint8_t key[32];
    if (file.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "the body must be a snapshot");
    }
    rq->services->block(rq);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(snapshot_key(cx, core, key));
    struct mln_err err = mln_dump_read(cx, file, key, &take, &facts);
    mln_wipe(key, sizeof(key));
    MLN_TRY(err);
    MLN_TRY(check_seal(cx, core, &owner));
    MLN_TRY(is_force ? MLN_OK : check_owner(cx, core, &owner, facts.is_authentic));
    *w = (struct mln_restore_wish){.file = file, .is_force = is_force};
    mln_run_of(rq)->restore = w;
    mln_put_text(cx, rq->detail, "snapshot", mln_hex_text(cx, mln_bytes_at(facts.sums, sizeof(facts.sums))));
    mln_put_bool(cx, rq->detail, "force", is_force);
    return mln_cx_err(cx);
}

static struct mln_err restore(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return wish(rq, false);
}

static struct mln_err restore_force(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return wish(rq, true);
}

/* ---- putting it in place ---- */

static const struct mln_value *who_asked(struct mln_run *run)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *by = mln_object(cx);
    mln_put_text(cx, by, "name", run->actor.display_name);
    mln_put_text(cx, by, "accessor", run->actor.accessor);
    mln_put_text(cx, by, "entity_id", run->actor.entity_id);
    mln_put_text(cx, by, "from", run->rq.source);
    mln_put_text(cx, by, "request_id", run->rq.id);
    mln_put_bool(cx, by, "force", run->restore->is_force);
    return by;
}

/* Keys of before, and the store with or without its new rows: open it if they fit. */
static struct mln_err open_again(struct mln_cx *cx, struct mln_core *core, const struct mln_secret *root, const char *action)
{
    MLN_TRY(mln_barrier_unseal(cx, core->barrier, root));
    return mln_core_unsealed_at_gate(cx, core, action);
}

/* The gate is held for writing; the core is open and is so again, unless keys or shares are another's. */
static struct mln_err replace(struct mln_run *run, const struct mln_secret *root, const uint8_t key[32])
{
    struct mln_core *core = run->core;
    struct mln_cx *cx = run->rq.cx;
    const char *origin = mln_restore_origin(cx, core->config.origin, mln_now_ns());
    struct mln_restore r = {
        .dir = core->config.data_dir, .origin = origin, .dump = run->restore->file, .key = key, .by = who_asked(run)};
    MLN_TRY(mln_cx_err(cx));
    mln_core_seal_at_gate(core);
    struct mln_err err = mln_restore(cx, core->store, &r);
    if (!mln_failed(err)) {
        return MLN_OK;
    }
    struct mln_cx cause = *cx;
    mln_cx_clear(cx);
    if (mln_failed(open_again(cx, core, root, "restore failed"))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "sealed after a restore that failed");
    }
    *cx = cause;
    return err;
}

static void tell_monitor(struct mln_core *core, const struct mln_secret *root)
{
    if (core->config.root != NULL) {
        core->config.root(core->config.arg, root);
    }
}

static struct mln_err restore_at_gate(struct mln_run *run)
{
    struct mln_core *core = run->core;
    struct mln_cx *cx = run->rq.cx;
    MLN_AUTO(mln_secret_drop) struct mln_secret root = {0};
    uint8_t key[32];
    if (!atomic_load(&core->is_open)) {
        return mln_fail(cx, MLN_E_SEALED, "Vault is sealed");
    }
    MLN_TRY(snapshot_key(cx, core, key));
    MLN_TRY(mln_barrier_root(cx, core->barrier, &root));
    struct mln_err err = replace(run, &root, key);
    mln_wipe(key, sizeof(key));
    MLN_TRY(err);
    mln_log(MLN_LOG_WARN, "core", "the store was replaced by a snapshot; the ledger begins anew and names the old one");
    mln_seal_reset(core->seal);
    err = open_again(cx, core, &root, "restore");
    if (mln_is(err, MLN_E_FORGED) && run->restore->is_force) { /* another's keys: it waits for the other's shares */
        mln_cx_clear(cx);
        err = MLN_OK;
    }
    if (mln_core_is_sealed(core)) {
        tell_monitor(core, NULL);
    }
    return err;
}

struct mln_err mln_core_restore(struct mln_run *run)
{
    struct mln_core *core = run->core;
    pthread_mutex_lock(&core->seal_lock);
    pthread_rwlock_wrlock(&core->gate);
    struct mln_err err = restore_at_gate(run);
    pthread_rwlock_unlock(&core->gate);
    pthread_mutex_unlock(&core->seal_lock);
    return err;
}

/* ---- paths ---- */

const struct mln_path mln_sys_snapshot[] = {
    {.pattern = "storage/raft/snapshot",
     .summary = "Save or restore all that the server keeps.",
     .read = save,
     .write = restore,
     .is_sudo = true,
     .may_block = true,
     .controls = "CP-9,CP-10"},
    {.pattern = "storage/raft/snapshot-force",
     .summary = "Restore a snapshot of another server; stays sealed.",
     .write = restore_force,
     .is_sudo = true,
     .may_block = true,
     .controls = "CP-10"},
    {0},
};
