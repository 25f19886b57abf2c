/* SPDX-License-Identifier: Apache-2.0 */
/* The audit devices of this core, and the way of a request past them. The rule of failing: audit_priv.h. */
#include "core/audit_priv.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

/* ---- rows ---- */

static struct mln_view audit_view(void)
{
    return mln_core_view("root/audit/");
}

/* Paths hold slashes, keys of rows do not. */
static struct mln_bytes row_key(struct mln_cx *cx, const char *path)
{
    return mln_bytes_of(mln_hex_text(cx, mln_bytes_of(path)));
}

struct mln_err audit_rows(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret)
{
    const struct mln_value *keys = NULL, *row = NULL;
    struct mln_value *rows = mln_object(cx);
    MLN_TRY(mln_txn_list(cx, txn, audit_view(), MLN_BYTES_NONE, &keys));
    for (size_t i = 0; i < mln_len(keys); i++) {
        MLN_TRY(mln_txn_get_value(cx, txn, audit_view(), mln_get_bytes(mln_item(keys, i)), &row));
        mln_put_key(cx, rows, mln_get_bytes(mln_get(row, "path")), row);
    }
    *ret = rows;
    return mln_cx_err(cx);
}

struct mln_err audit_row_put(struct mln_cx *cx, struct mln_txn *txn, const char *path, const struct mln_value *row)
{
    return mln_txn_put_value(cx, txn, audit_view(), row_key(cx, path), row);
}

struct mln_err audit_row_delete(struct mln_cx *cx, struct mln_txn *txn, const char *path)
{
    return mln_txn_delete(cx, txn, audit_view(), row_key(cx, path));
}

struct mln_value *audit_row_new(struct mln_cx *cx, const char *type, const struct mln_value *options, const char *description)
{
    struct mln_value *row = mln_object(cx);
    uint8_t *salt = mln_new(cx, 32);
    char *id = mln_new(cx, 37);
    if (salt == NULL || id == NULL) {
        return row;
    }
    mln_random(salt, 32);
    mln_uuid(id);
    mln_put_text(cx, row, "type", type);
    mln_put_text(cx, row, "description", description);
    mln_put(cx, row, "options", options != NULL ? options : mln_object(cx));
    mln_put_bool(cx, row, "local", false);
    mln_put(cx, row, "salt", mln_blob(cx, mln_bytes_at(salt, 32)));
    mln_put_text(cx, row, "id", id);
    return row;
}

/* ---- the table ---- */

struct mln_audit *mln_audit_new(void)
{
    struct mln_audit *audit = mln_alloc(sizeof(*audit));
    if (audit != NULL) {
        (void)pthread_mutex_init(&audit->lock, NULL);
        (void)pthread_rwlock_init(&audit->headers_lock, NULL);
    }
    return audit;
}

void mln_audit_forget(struct mln_audit *audit)
{
    if (audit == NULL) {
        return; /* core could not be opened */
    }
    pthread_mutex_lock(&audit->lock);
    unsigned n = atomic_exchange(&audit->n, 0);
    for (unsigned i = 0; i < n; i++) {
        audit_device_release(audit->devices[i]);
        audit->devices[i] = NULL;
    }
    pthread_mutex_unlock(&audit->lock);
    audit_headers_forget(audit);
}

void mln_audit_free(struct mln_audit *audit)
{
    if (audit != NULL) {
        mln_audit_forget(audit);
        (void)pthread_mutex_destroy(&audit->lock);
        (void)pthread_rwlock_destroy(&audit->headers_lock);
        mln_free(audit);
    }
}

void mln_audit_reopen(struct mln_audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    for (unsigned i = 0; i < atomic_load(&audit->n); i++) {
        atomic_store(&audit->devices[i]->must_reopen, true);
    }
    pthread_mutex_unlock(&audit->lock);
}

/* The device that stands already, or a new one. A row that cannot be read any more is a device that takes no lines. */
static struct audit_device *device_for(struct mln_cx *cx, const struct mln_audit *audit, const char *path, const struct mln_value *row)
{
    struct mln_bytes salt = mln_get_bytes(mln_get(row, "salt"));
    const char *id = mln_get_text(cx, mln_get(row, "id"), "");
    struct audit_options options = {.target = ""};
    for (unsigned i = 0; i < atomic_load(&audit->n); i++) {
        if (mln_bytes_is(mln_bytes_of(audit->devices[i]->id), id)) {
            audit_device_hold(audit->devices[i]);
            return audit->devices[i];
        }
    }
    struct mln_err err = audit_options_read(cx, NULL, mln_get_text(cx, mln_get(row, "type"), ""), mln_get(row, "options"), &options);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "audit", cx, path);
        mln_cx_clear(cx);
        options = (struct audit_options){.kind = AUDIT_SOCKET, .target = "", .socket_type = ""};
    }
    return salt.len == 32 ? audit_device_new(path, id, &options, salt.ptr) : NULL;
}

static struct mln_err replace(struct mln_cx *cx, struct mln_audit *audit, const struct mln_value *rows)
{
    struct audit_device *fresh[AUDIT_DEVICES_MAX] = {NULL};
    unsigned n = 0;
    bool is_whole = true;
    for (size_t i = 0; i < mln_len(rows) && n < AUDIT_DEVICES_MAX; i++) {
        const struct mln_member *m = mln_member_at(rows, i);
        fresh[n] = device_for(cx, audit, mln_text_dup(cx, m->key), &m->value);
        is_whole = is_whole && fresh[n] != NULL;
        n += fresh[n] != NULL;
    }
    for (unsigned i = 0; i < AUDIT_DEVICES_MAX; i++) {
        struct audit_device *old = i < atomic_load(&audit->n) ? audit->devices[i] : NULL;
        audit->devices[i] = fresh[i];
        audit_device_release(old);
    }
    atomic_store(&audit->n, n);
    return is_whole ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no memory for an audit device");
}

struct mln_err mln_audit_load(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *rows = NULL;
    pthread_mutex_lock(&core->audit->lock);
    struct mln_err err = mln_txn_begin(cx, core->store, core->barrier, &txn);
    err = mln_failed(err) ? err : audit_rows(cx, txn, &rows);
    err = mln_failed(err) ? err : audit_headers_load(cx, txn, core->audit);
    err = mln_failed(err) ? err : replace(cx, core->audit, rows);
    pthread_mutex_unlock(&core->audit->lock);
    return err;
}

/* ---- devices that the configuration names ---- */

static struct mln_err declare_one(struct mln_cx *cx, struct mln_core *core, struct mln_txn *txn, const struct mln_value *rows,
                                  const struct mln_value *wanted)
{
    struct mln_bytes path = mln_get_bytes(mln_get(wanted, "path"));
    const struct mln_value *row = mln_get_key(rows, path), *options = mln_get(wanted, "options");
    const char *type = mln_get_text(cx, mln_get(wanted, "type"), "");
    struct audit_options read;
    MLN_TRY(audit_options_read(cx, core->config.data_dir, type, options, &read));
    if (row != NULL && mln_value_eq(mln_get(row, "options"), options) && mln_is_text(mln_get(row, "type"), type)) {
        return MLN_OK;
    }
    struct mln_value *fresh = audit_row_new(cx, type, options, mln_get_text(cx, mln_get(wanted, "description"), ""));
    if (row != NULL) {
        mln_put(cx, fresh, "salt", mln_get(row, "salt")); /* hashes of before stay comparable */
    }
    mln_put_bool(cx, fresh, "declared", true);
    mln_put_bytes(cx, fresh, "path", path);
    MLN_TRY(mln_cx_err(cx));
    return audit_row_put(cx, txn, mln_text_dup(cx, path), fresh);
}

static bool is_wanted(const struct mln_value *wanted, struct mln_bytes path)
{
    for (size_t i = 0; i < mln_len(wanted); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(wanted, i), "path")), path)) {
            return true;
        }
    }
    return false;
}

static struct mln_err declare_all(struct mln_cx *cx, struct mln_core *core, struct mln_txn *txn)
{
    const struct mln_value *rows = NULL, *wanted = core->config.audit;
    MLN_TRY(audit_rows(cx, txn, &rows));
    for (size_t i = 0; i < mln_len(wanted); i++) {
        MLN_TRY(declare_one(cx, core, txn, rows, mln_item(wanted, i)));
    }
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_member *m = mln_member_at(rows, i);
        if (mln_get_bool(mln_get(&m->value, "declared"), false) && !is_wanted(wanted, m->key)) {
            MLN_TRY(audit_row_delete(cx, txn, mln_text_dup(cx, m->key)));
        }
    }
    return mln_core_commit(core, cx, txn, "audit devices of the configuration", NULL);
}

struct mln_err mln_audit_start(struct mln_cx *cx, struct mln_core *core)
{
    struct mln_txn *txn = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    struct mln_err err = declare_all(cx, core, txn);
    mln_txn_end(txn);
    return mln_failed(err) ? err : mln_audit_load(cx, core);
}

/* ---- a request's way ---- */

static void on_wait(void *arg)
{
    mln_run_block(arg);
}

/* The devices of this moment stay with the request, with the lines that are not written yet. */
struct mln_audit_run {
    unsigned n;
    struct audit_device *devices[AUDIT_DEVICES_MAX];
    struct mln_buf lines[AUDIT_DEVICES_MAX];
};

static struct mln_audit_run *hold(struct mln_run *run)
{
    struct mln_audit *audit = run->core->audit;
    struct mln_audit_run *held = run->audit;
    if (held != NULL || atomic_load(&audit->n) == 0) {
        return held;
    }
    held = mln_alloc(sizeof(*held));
    if (held == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&audit->lock);
    held->n = atomic_load(&audit->n);
    for (unsigned i = 0; i < held->n; i++) {
        held->devices[i] = audit->devices[i];
        audit_device_hold(held->devices[i]);
        held->lines[i] = (struct mln_buf){.is_secret = held->devices[i]->options.log_raw, .max = AUDIT_LINE_MAX};
    }
    pthread_mutex_unlock(&audit->lock);
    run->audit = held;
    return held;
}

void mln_audit_release(struct mln_run *run)
{
    struct mln_audit_run *held = run->audit;
    run->audit = NULL;
    for (unsigned i = 0; held != NULL && i < held->n; i++) {
        audit_device_release(held->devices[i]);
        mln_buf_drop(&held->lines[i]);
    }
    mln_free(held);
}

static bool is_audited(const struct mln_run *run)
{
    return !run->is_system && (run->rq.route == NULL || !run->rq.route->is_exempt);
}

/* What was built and is not written. One device that takes it is enough; the others' log says that they did not. */
static struct mln_err flush(struct mln_run *run)
{
    struct mln_audit_run *held = run->audit;
    unsigned n_good = 0, n_lines = 0;
    for (unsigned i = 0; held != NULL && i < held->n; i++) {
        struct mln_buf *lines = &held->lines[i];
        if (lines->len == 0 && !lines->has_failed) {
            continue;
        }
        n_lines++;
        n_good += !lines->has_failed && audit_device_write(held->devices[i], mln_buf_bytes(lines), on_wait, run);
        mln_buf_clear(lines);
    }
    if (n_lines == 0 || n_good > 0) {
        return MLN_OK;
    }
    return mln_refail(run->rq.cx, MLN_E_INTERNAL, "no audit device took the line of this request");
}

/* Disabling a device goes on when none takes its line, or a device that is gone for good would lock everybody out. The ledger has it. */
static bool is_rescue(const struct mln_run *run)
{
    return run->rq.op == MLN_OP_DELETE && mln_bytes_starts(run->rq.path, MLN_BYTES("sys/audit/")) && !run->is_refused;
}

static struct mln_err flush_or_rescue(struct mln_run *run, struct mln_err err)
{
    struct mln_cx cause = *run->rq.cx;
    struct mln_err written = flush(run);
    if (mln_failed(written) && !is_rescue(run)) {
        return written;
    }
    *run->rq.cx = cause;
    return err;
}

struct mln_err mln_audit_flush(struct mln_run *run)
{
    return run->audit == NULL ? MLN_OK : flush_or_rescue(run, MLN_OK);
}

/* The fault as it will be told. */
static const char *told(const struct mln_run *run, struct mln_err err)
{
    if (!mln_failed(err)) {
        return NULL;
    }
    const char *text = run->rq.cx->text;
    return text[0] != 0 ? text : mln_err_text(err.code);
}

/* Reads that nothing outside hears of are written with their answer: one call of the system instead of two. */
static bool may_wait(const struct mln_run *run)
{
    const struct mln_path *route = run->rq.route;
    return (run->rq.op == MLN_OP_READ || mln_op_is_list(run->rq.op)) && (route == NULL || !route->may_block);
}

static struct mln_err no_memory(struct mln_run *run)
{
    return atomic_load(&run->core->audit->n) == 0 ? MLN_OK
                                                  : mln_refail(run->rq.cx, MLN_E_MEMORY, "no memory for the audit devices");
}

struct mln_err mln_audit_request(struct mln_run *run, struct mln_err err)
{
    if (run->has_audit_request || !is_audited(run)) {
        return err;
    }
    struct mln_audit_run *held = hold(run);
    if (held == NULL) {
        struct mln_err none = no_memory(run);
        return mln_failed(none) ? none : err;
    }
    run->has_audit_request = true;
    for (unsigned i = 0; i < held->n; i++) {
        audit_entry_request(run, held->devices[i], told(run, err), &held->lines[i]);
    }
    if (may_wait(run)) {
        return err;
    }
    return flush_or_rescue(run, err);
}

struct mln_err mln_audit_response(struct mln_run *run, struct mln_err err)
{
    struct mln_audit_run *held = is_audited(run) ? hold(run) : NULL;
    if (held == NULL) {
        return err;
    }
    for (unsigned i = 0; i < held->n; i++) {
        audit_entry_response(run, held->devices[i], told(run, err), &held->lines[i]);
    }
    struct mln_err ended = flush_or_rescue(run, err);
    if (mln_failed(ended)) {
        run->reply = (struct mln_reply){0};
        run->wrap_info = run->unwrapped = NULL;
        run->lease_id = NULL;
    }
    return ended;
}

/* ---- hashes for who searches the lines ---- */

struct mln_err mln_audit_hash(struct mln_core *core, struct mln_cx *cx, const char *path, struct mln_bytes input, const char **ret)
{
    char *to = mln_new(cx, 64 + 13);
    struct audit_device *device = NULL;
    pthread_mutex_lock(&core->audit->lock);
    for (unsigned i = 0; i < atomic_load(&core->audit->n) && device == NULL; i++) {
        device = mln_bytes_is(mln_bytes_of(core->audit->devices[i]->path), path) ? core->audit->devices[i] : NULL;
    }
    if (device != NULL && to != NULL) {
        audit_mac(device, input, to);
    }
    pthread_mutex_unlock(&core->audit->lock);
    if (device == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "unknown audit backend: \"%s\"", path);
    }
    *ret = to;
    return mln_cx_err(cx);
}
