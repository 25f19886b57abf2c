/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ledger's door: opening and closing, its two threads, notes and records, and what it answers to readers.
 *
 * keeper      sequences what waits in the journal every few milliseconds; when the store is slower than that, makes the journal
 *             durable; notes the strangers of each second. Sleeps for ever when there is nothing.
 * publisher   publishes what is durable, at most once in publish_ns.
 */
#include "ledger/ledger_priv.h"

#include <time.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/text.h"

#define PUBLISH_NS    ((int64_t)200000000)
#define JOURNAL_BYTES ((uint64_t)8 << 20)
#define JOURNAL_MIN   ((uint64_t)64 << 10)
#define RETRY_NS      ((int64_t)100000000)  /* between tries of a store that fails */
#define REPUBLISH_NS  ((int64_t)1000000000) /* between tries of a folder that cannot be written */
#define STRANGERS_NS  ((int64_t)250000000)
#define THREAD_ARENA  ((size_t)64 << 20)
#define LOG_VERSION   1u
#define BASELINE_BYTES ((size_t)4 << 20) /* of digests in one record: half of what its content may have */
#define BASELINE_ITEM  8u                /* of CBOR around a key and a digest */

/* ---- waiting ---- */

void ledger_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    MLN_CHECK(pthread_condattr_init(&attr) == 0);
    MLN_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    MLN_CHECK(pthread_cond_init(cond, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

bool ledger_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t ns)
{
    struct timespec at;
    MLN_CHECK(clock_gettime(CLOCK_MONOTONIC, &at) == 0);
    int64_t sum = at.tv_nsec + ns % 1000000000;
    at.tv_sec += ns / 1000000000 + sum / 1000000000;
    at.tv_nsec = sum % 1000000000;
    return pthread_cond_timedwait(cond, lock, &at) == 0;
}

/* ---- the threads ---- */

static void wake_keeper(struct mln_ledger *ledger)
{
    if (atomic_exchange(&ledger->keeper_waits, false)) {
        pthread_mutex_lock(&ledger->lock);
        pthread_cond_signal(&ledger->wake_keeper);
        pthread_mutex_unlock(&ledger->lock);
    }
}

/* false: the ledger closes. `keeper_waits` is set before looking, so that who adds meanwhile sees it. */
static bool keeper_wait(struct mln_ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    atomic_store(&ledger->keeper_waits, true);
    bool is_idle = journal_is_idle(ledger->journal);
    bool has_strangers = strangers_any(ledger->strangers);
    if (!ledger->is_closing && is_idle && !has_strangers) {
        pthread_cond_wait(&ledger->wake_keeper, &ledger->lock);
    } else if (!ledger->is_closing && is_idle) {
        (void)ledger_wait(&ledger->wake_keeper, &ledger->lock, STRANGERS_NS);
    }
    atomic_store(&ledger->keeper_waits, false);
    if (!ledger->is_closing && (!is_idle || !journal_is_idle(ledger->journal))) {
        (void)ledger_wait(&ledger->wake_keeper, &ledger->lock, atomic_load(&ledger->has_failed) ? RETRY_NS : TICK_NS);
    }
    bool goes_on = !ledger->is_closing;
    pthread_mutex_unlock(&ledger->lock);
    return goes_on;
}

static void *keep(void *arg)
{
    struct mln_ledger *ledger = arg;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    uint64_t kicked = 0;
    while (keeper_wait(ledger)) {
        strangers_note(ledger, false);
        if (journal_is_idle(ledger->journal)) {
            continue;
        }
        if (!journal_is_past(ledger->journal, kicked)) { /* the store is still busy with the last: 20 ms are nearly over */
            (void)mln_failed(journal_sync(&cx, ledger->journal));
            mln_cx_clear(&cx);
        }
        kicked = journal_last(ledger->journal);
        mln_store_kick(ledger->store);
    }
    return NULL;
}

static bool publisher_wait(struct mln_ledger *ledger, bool has_failed)
{
    struct mln_hash root;
    pthread_mutex_lock(&ledger->lock);
    if (has_failed && !ledger->is_closing) {
        (void)ledger_wait(&ledger->closing, &ledger->lock, REPUBLISH_NS);
    }
    while (!ledger->is_closing && ledger->state.edge.size == publisher_size(ledger->publisher, &root)) {
        pthread_cond_wait(&ledger->wake_publisher, &ledger->lock);
    }
    bool goes_on = !ledger->is_closing;
    pthread_mutex_unlock(&ledger->lock);
    return goes_on;
}

static void publisher_pause(struct mln_ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    if (!ledger->is_closing) {
        (void)ledger_wait(&ledger->closing, &ledger->lock, ledger->publish_ns);
    }
    pthread_mutex_unlock(&ledger->lock);
}

static void *publish(void *arg)
{
    struct mln_ledger *ledger = arg;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(THREAD_ARENA, false);
    struct mln_cx cx;
    bool has_failed = false;
    mln_cx_init(&cx, arena);
    while (publisher_wait(ledger, has_failed)) {
        publisher_pause(ledger);
        has_failed = mln_failed(publisher_run(&cx, ledger));
        mln_cx_clear(&cx);
        mln_arena_reset(arena);
    }
    return NULL;
}

static struct mln_err start_threads(struct mln_cx *cx, struct mln_ledger *ledger)
{
    ledger->has_keeper = pthread_create(&ledger->keeper, NULL, keep, ledger) == 0;
    ledger->has_publisher = pthread_create(&ledger->publishing, NULL, publish, ledger) == 0;
    return ledger->has_keeper && ledger->has_publisher ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread for the ledger");
}

static void stop_threads(struct mln_ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    ledger->is_closing = true;
    pthread_cond_broadcast(&ledger->wake_keeper);
    pthread_cond_broadcast(&ledger->wake_publisher);
    pthread_cond_broadcast(&ledger->closing);
    pthread_mutex_unlock(&ledger->lock);
    if (ledger->has_keeper) {
        pthread_join(ledger->keeper, NULL);
    }
    if (ledger->has_publisher) {
        pthread_join(ledger->publishing, NULL);
    }
    ledger->has_keeper = ledger->has_publisher = false;
}

/* ---- opening ---- */

static struct mln_err set_keys(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_bytes seed)
{
    uint8_t public_key[32];
    const char *vkey = NULL;
    uint8_t key[MLN_KEY_BYTES];
    MLN_TRY(mln_secret_new(cx, 64, &ledger->keys));
    MLN_TRY(mln_secret_new(cx, sizeof(struct mln_hmac_key), &ledger->digest_key));
    mln_copy(LEDGER_SEED(ledger), seed.ptr, 32);
    MLN_TRY(mln_barrier_derive(cx, ledger->barrier, MLN_NS_ROOT, "ledger", key));
    mln_hmac_key_set((void *)ledger->digest_key.ptr, mln_bytes_at(key, sizeof(key)));
    mln_wipe(key, sizeof(key));
    MLN_TRY(mln_barrier_derive(cx, ledger->barrier, MLN_NS_ROOT, "ledger-journal", LEDGER_JOURNAL_KEY(ledger)));
    mln_ed25519_public(LEDGER_SEED(ledger), public_key);
    MLN_TRY(mln_vkey_make(cx, ledger->origin, public_key, &vkey));
    struct mln_bytes text = mln_bytes_of(vkey);
    if (text.len >= sizeof(ledger->vkey)) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: the origin is too long");
    }
    mln_copy(ledger->vkey, text.ptr, text.len + 1);
    return MLN_OK;
}

static void set_origin(struct mln_ledger *ledger, struct mln_bytes origin)
{
    mln_copy(ledger->origin, origin.ptr, origin.len);
    ledger->origin[origin.len] = 0;
}

static struct mln_err load_log(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_bytes box)
{
    struct mln_bytes plain;
    struct mln_err err = mln_barrier_decrypt(cx, ledger->barrier, MLN_NS_ROOT, LOG_KEY, box, &plain);
    if (mln_is(err, MLN_E_SEALED) || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err) || plain.len < 33 || plain.ptr[0] != LOG_VERSION) {
        return mln_refail(cx, MLN_E_CORRUPT, "ledger: the key of the log is damaged");
    }
    struct mln_bytes origin = mln_bytes_from(plain, 33);
    if (!restore_origin_fits(origin, ledger->origin) || origin.len >= sizeof(ledger->origin)) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: this log is \"%.*s\", its origin cannot be changed", MLN_FMT(origin));
    }
    set_origin(ledger, origin);
    return set_keys(cx, ledger, mln_bytes_sub(plain, 1, 32));
}

static struct mln_err new_log(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_write *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    uint8_t seed[32];
    mln_random(seed, sizeof(seed));
    mln_buf_add_byte(&plain, LOG_VERSION);
    mln_buf_add(&plain, seed, sizeof(seed));
    mln_wipe(seed, sizeof(seed));
    mln_buf_add_text(&plain, ledger->origin);
    MLN_TRY(mln_buf_ok(cx, &plain));
    struct mln_bytes box;
    MLN_TRY(mln_barrier_encrypt(cx, ledger->barrier, MLN_NS_ROOT, LOG_KEY, mln_buf_bytes(&plain), &box));
    *ret = (struct mln_write){.op = MLN_WRITE_PUT, .key = LOG_KEY, .value = box};
    return set_keys(cx, ledger, mln_bytes_sub(mln_buf_bytes(&plain), 1, 32));
}

/* ---- the first records ---- */

/* Where the walk over rows that lie there before the log is; `scratch` holds what goes into one record. */
struct baseline {
    struct mln_ledger *ledger;
    struct mln_snap *snap;
    struct mln_buf last;
    struct mln_cx scratch;
    bool is_done;
};

static struct mln_err add_digest(struct mln_cx *cx, struct mln_value *digests, struct mln_bytes key, struct mln_bytes value)
{
    struct mln_value *pair = mln_array(cx);
    uint8_t *digest = mln_new(cx, MLN_SHA256_BYTES);
    if (digest == NULL) {
        return mln_cx_err(cx);
    }
    mln_sha256(value, digest);
    mln_push(cx, pair, mln_blob(cx, mln_bytes_dup(cx, key)));
    mln_push(cx, pair, mln_blob(cx, mln_bytes_at(digest, MLN_SHA256_BYTES)));
    mln_push(cx, digests, pair);
    return mln_cx_err(cx);
}

/* Digests of the next rows, as many as a record may list. */
static struct mln_err next_digests(struct mln_cx *cx, struct baseline *b, struct mln_value *digests)
{
    struct mln_bytes key = MLN_BYTES_NONE;
    struct mln_bytes value = MLN_BYTES_NONE;
    size_t bytes = 0;
    while (bytes < BASELINE_BYTES) {
        struct mln_err err = mln_snap_next(cx, b->snap, MLN_BYTES_NONE, mln_buf_bytes(&b->last), &key, &value);
        b->is_done = mln_is(err, MLN_E_NOT_FOUND);
        if (b->is_done) {
            return mln_cx_err(cx);
        }
        MLN_TRY(err);
        mln_buf_clear(&b->last);
        mln_buf_add_bytes(&b->last, key);
        MLN_TRY(mln_buf_ok(cx, &b->last));
        if (!key_is_exempt(key)) {
            MLN_TRY(add_digest(cx, digests, key, value));
            bytes += key.len + MLN_SHA256_BYTES + BASELINE_ITEM;
        }
    }
    return MLN_OK;
}

static struct mln_err write_origin(struct mln_cx *cx, struct baseline *b, const struct mln_value *restart, struct mln_write *log)
{
    struct mln_ledger *ledger = b->ledger;
    struct mln_value *content = ledger_content(cx, NULL, "origin");
    struct mln_value *digests = mln_array(cx);
    struct mln_write writes[] = {*log, {.op = MLN_WRITE_DELETE, .key = RESTART_KEY}};
    mln_put_text(cx, content, "origin", ledger->origin);
    mln_put_text(cx, content, "vkey", ledger->vkey);
    if (restart != NULL) {
        mln_put(cx, content, "restore", restart);
    }
    MLN_TRY(next_digests(cx, b, digests));
    mln_put(cx, content, "digests", digests);
    MLN_TRY(mln_cx_err(cx));
    struct mln_record record = {.klass = MLN_RECORD_ORIGIN, .content = content};
    struct mln_batch batch = {.writes = writes, .n = restart != NULL ? 2 : 1};
    MLN_TRY(mln_ledger_attach(cx, ledger, &record, &batch));
    return mln_store_commit(cx, ledger->store, &batch);
}

/* Rows that one record cannot list follow in more. */
static struct mln_err write_more(struct mln_cx *cx, struct baseline *b)
{
    struct mln_value *content = ledger_content(cx, NULL, "origin goes on");
    struct mln_value *digests = mln_array(cx);
    MLN_TRY(next_digests(cx, b, digests));
    if (mln_len(digests) == 0) {
        return MLN_OK;
    }
    mln_put(cx, content, "digests", digests);
    MLN_TRY(mln_cx_err(cx));
    struct mln_record record = {.klass = MLN_RECORD_SYSTEM, .content = content};
    return ledger_commit(cx, b->ledger, &record);
}

/* What was in the store before there was a ledger: the first records vouch for it. */
static struct mln_err begin_log(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value *restart, struct mln_write *log)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(THREAD_ARENA, false);
    struct baseline b = {.ledger = ledger};
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_cx_init(&b.scratch, arena);
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    b.snap = snap;
    struct mln_err err = write_origin(&b.scratch, &b, restart, log);
    while (!mln_failed(err) && !b.is_done) {
        mln_arena_reset(arena);
        err = write_more(&b.scratch, &b);
    }
    mln_buf_drop(&b.last);
    return mln_failed(err) ? mln_fail(cx, (enum mln_code)err.code, "%s", b.scratch.text) : MLN_OK;
}

/* A log without a beginning beside files of one that was published: never silent. */
static struct mln_err refuse_old_files(struct mln_cx *cx, const char *dir)
{
    const char *path = mln_text_format(cx, "%s/ledger/checkpoint", dir);
    MLN_TRY(mln_cx_err(cx));
    return access(path, F_OK) != 0
               ? MLN_OK
               : mln_fail(cx, MLN_E_CORRUPT, "ledger: a log was signed in %s/ledger, the store knows of none: it is another store. "
                                             "'merlon operator restore' begins a new log and keeps the old one", dir);
}

static struct mln_err prepare_new(struct mln_cx *cx, struct mln_ledger *ledger, const char *dir, struct mln_snap *snap,
                                  const struct mln_value **ret_restart)
{
    MLN_TRY(restart_load(cx, snap, ledger->origin, ret_restart));
    if (*ret_restart == NULL) {
        return refuse_old_files(cx, dir);
    }
    set_origin(ledger, mln_get_bytes(mln_get(*ret_restart, "origin")));
    return restart_move(cx, dir, *ret_restart);
}

static struct mln_err load(struct mln_cx *cx, struct mln_ledger *ledger, const char *dir, struct mln_write *ret_log,
                           const struct mln_value **ret_restart)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes box;
    uint64_t version = 0;
    MLN_TRY(mln_snap_begin(cx, ledger->store, &snap));
    struct mln_err err = mln_snap_get(cx, snap, LOG_KEY, &box, &version);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        MLN_TRY(prepare_new(cx, ledger, dir, snap, ret_restart));
        return new_log(cx, ledger, ret_log);
    }
    MLN_TRY(err);
    MLN_TRY(load_log(cx, ledger, box));
    err = state_load(cx, ledger, snap, &ledger->state);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(cx, MLN_E_CORRUPT, "ledger: its state in the store is missing") : err;
}

static struct mln_err init(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_ledger_config *config)
{
    struct mln_bytes origin = mln_bytes_of(config->origin);
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_mutex_init(&ledger->prune_lock, NULL);
    ledger_cond_init(&ledger->wake_keeper);
    ledger_cond_init(&ledger->wake_publisher);
    ledger_cond_init(&ledger->closing);
    ledger->publish_ns = config->publish_ns > 0 ? config->publish_ns : PUBLISH_NS;
    if (origin.len == 0 || origin.len >= sizeof(ledger->origin)) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: the origin is no name of a log");
    }
    mln_copy(ledger->origin, origin.ptr, origin.len);
    ledger->strangers = strangers_new();
    return ledger->strangers != NULL ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "out of memory");
}

static struct mln_err open_parts(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_ledger_config *config)
{
    uint64_t bytes = config->journal_bytes > 0 ? config->journal_bytes : JOURNAL_BYTES;
    const char *journal = mln_text_format(cx, "%s/journal", config->dir);
    const char *files = mln_text_format(cx, "%s/ledger", config->dir);
    MLN_TRY(mln_cx_err(cx));
    bytes = bytes < JOURNAL_MIN ? JOURNAL_MIN : bytes;
    MLN_TRY(journal_open(cx, journal, bytes, LEDGER_JOURNAL_KEY(ledger), ledger->state.mark, &ledger->journal));
    return publisher_open(cx, ledger, files, &ledger->publisher);
}

/* What waits in the journal; on a full disk it waits on, so that relief can work. */
static struct mln_err settle_first(struct mln_cx *cx, struct mln_ledger *ledger)
{
    struct mln_err err = ledger_settle(cx, ledger);
    if (!mln_failed(err) && ledger->state.pruned > 0) {
        err = prune_sweep(cx, ledger);
    }
    if (mln_is(err, MLN_E_FULL)) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    return err;
}

static void ledger_free(struct mln_ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    mln_store_set_sequencer(ledger->store, NULL);
    journal_close(ledger->journal);
    publisher_close(ledger->publisher);
    strangers_free(ledger->strangers);
    mln_secret_drop(&ledger->keys);
    mln_secret_drop(&ledger->digest_key);
    mln_buf_drop(&ledger->entries);
    mln_buf_drop(&ledger->contents);
    pthread_cond_destroy(&ledger->wake_keeper);
    pthread_cond_destroy(&ledger->wake_publisher);
    pthread_cond_destroy(&ledger->closing);
    pthread_mutex_destroy(&ledger->lock);
    pthread_mutex_destroy(&ledger->prune_lock);
    mln_free(ledger);
}

static void ledger_drop(struct mln_ledger **ledger)
{
    if (*ledger != NULL) {
        stop_threads(*ledger);
        ledger_free(*ledger);
    }
}

struct mln_err mln_ledger_open(struct mln_cx *cx, struct mln_store *store, struct mln_barrier *barrier,
                               const struct mln_ledger_config *config, struct mln_ledger **ret)
{
    MLN_AUTO(ledger_drop) struct mln_ledger *ledger = mln_alloc(sizeof(*ledger));
    struct mln_write log = {0}; /* without a key: the log is there already */
    const struct mln_value *restart = NULL;
    if (ledger == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    ledger->store = store;
    ledger->barrier = barrier;
    MLN_TRY(init(cx, ledger, config));
    MLN_TRY(load(cx, ledger, config->dir, &log, &restart));
    MLN_TRY(open_parts(cx, ledger, config));
    struct mln_sequencer sequencer = {ledger_sequence, ledger_after, ledger};
    mln_store_set_sequencer(store, &sequencer);
    MLN_TRY(log.key.len > 0 ? begin_log(cx, ledger, restart, &log) : settle_first(cx, ledger));
    struct mln_err err = publisher_run(cx, ledger);
    if (mln_is(err, MLN_E_FULL)) {
        mln_cx_clear(cx);
        err = MLN_OK;
    }
    MLN_TRY(err);
    MLN_TRY(start_threads(cx, ledger));
    *ret = mln_take(&ledger);
    return MLN_OK;
}

void mln_ledger_close(struct mln_ledger *ledger)
{
    if (ledger == NULL) {
        return;
    }
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(THREAD_ARENA, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    stop_threads(ledger);
    strangers_note(ledger, true);
    if (mln_failed(ledger_settle(&cx, ledger)) || mln_failed(publisher_run(&cx, ledger))) {
        mln_cx_clear(&cx);
        (void)mln_failed(journal_sync(&cx, ledger->journal)); /* the next start takes up what is left */
    }
    ledger_free(ledger);
}

/* ---- records ---- */

struct mln_err mln_ledger_note(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record)
{
    MLN_TRY(record_seal(cx, ledger, record, NOTE_BYTES_MAX));
    MLN_TRY(journal_add(cx, ledger->journal, record->frame));
    wake_keeper(ledger);
    return MLN_OK;
}

struct mln_err mln_ledger_attach(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record, struct mln_batch *batch)
{
    MLN_TRY(record_seal(cx, ledger, record, CONTENT_MAX));
    batch->tag = record;
    return MLN_OK;
}

struct mln_err ledger_commit(struct mln_cx *cx, struct mln_ledger *ledger, struct mln_record *record)
{
    struct mln_batch batch = {.is_relief = true};
    MLN_TRY(mln_ledger_attach(cx, ledger, record, &batch));
    return mln_store_commit(cx, ledger->store, &batch);
}

struct mln_value *ledger_content(struct mln_cx *cx, const struct mln_value *actor, const char *action)
{
    struct mln_value *content = mln_object(cx);
    mln_put(cx, content, "actor", actor != NULL ? actor : mln_text(cx, "system"));
    mln_put_text(cx, content, "action", action);
    mln_put_text(cx, content, "resource", "ledger");
    mln_put_text(cx, content, "decision", "allowed");
    return content;
}

void mln_ledger_stranger(struct mln_ledger *ledger, struct mln_bytes source, const char *what)
{
    if (strangers_add(ledger->strangers, source, what)) {
        wake_keeper(ledger);
    }
}

const char *mln_ledger_digest(struct mln_cx *cx, struct mln_ledger *ledger, const struct mln_value *value)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = true};
    uint8_t mac[MLN_SHA256_BYTES];
    mln_cbor_print_sorted(&buf, value);
    if (mln_failed(mln_buf_ok(cx, &buf))) {
        return "";
    }
    mln_hmac_by(LEDGER_DIGEST_KEY(ledger), mln_buf_bytes(&buf), mac);
    return mln_hex_text(cx, mln_bytes_at(mac, 16));
}

struct mln_err ledger_settle(struct mln_cx *cx, struct mln_ledger *ledger)
{
    uint64_t number = journal_last(ledger->journal);
    while (!journal_is_past(ledger->journal, number)) {
        struct mln_batch batch = {0}; /* empty: a transaction for the sequencer alone */
        MLN_TRY(mln_store_commit(cx, ledger->store, &batch));
    }
    return MLN_OK;
}

struct mln_err mln_ledger_flush(struct mln_cx *cx, struct mln_ledger *ledger)
{
    MLN_TRY(ledger_settle(cx, ledger));
    return publisher_run(cx, ledger);
}
