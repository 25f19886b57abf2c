/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core process: opens the core, serves the rings that monitor hands over, ticks. The main
 * thread does nothing but listen to monitor.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "assure/assure.h"
#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"
#include "core/core.h"
#include "crypto/crypto.h"
#include "identity/identity.h"
#include "main/control.h"
#include "main/core_attest.h"
#include "main/core_svid.h"
#include "main/main_priv.h"
#include "main/workers.h"
#include "net/reach.h"

#define BOOT_ARENA_BYTES  (2u * BOOT_MAX_BYTES + (1u << 20))
#define TOPIC_ARENA_BYTES (64u << 10) /* the message's frame; the value is borrowed */
#define TICK_MS           1000

struct core_process {
    struct mln_core *core;
    _Atomic(struct workers *) workers;
    struct mln_secret keys[SERVER_LISTENERS_MAX];
    unsigned n_keys;
    struct mln_reach *reach;
    struct core_attest attest;
    struct core_svid svid;
    int tick_stop; /* eventfd */
    pthread_t tick;
    bool has_tick;
};

/* ---- what core tells ---- */

static void on_topic(void *arg, const char *topic, uint64_t version, const struct mln_value *value)
{
    struct core_process *process = arg;
    struct workers *workers = atomic_load(&process->workers);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(TOPIC_ARENA_BYTES, false);
    MLN_AUTO(mln_buf_drop)
    struct mln_buf text = {.is_secret = true, .max = MLN_RING_MESSAGE_MAX};
    struct mln_cx cx;
    if (workers == NULL || arena == NULL) {
        return;
    }
    mln_cx_init(&cx, arena);
    struct mln_value *v = mln_object(&cx);
    mln_put_text(&cx, v, "topic", topic);
    mln_put_int(&cx, v, "version", (int64_t)version);
    mln_put(&cx, v, "value", value);
    mln_cbor_print(&text, v);
    if (!text.has_failed && !mln_failed(mln_cx_err(&cx))) {
        workers_publish(workers, mln_buf_bytes(&text));
    }
}

static void tell(const struct control_message *message)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (mln_failed(control_send(&cx, FD_CONTROL, message))) {
        mln_log_fault(MLN_LOG_WARN, "core", &cx, "monitor does not hear");
    }
}

static void on_root(void *arg, const struct mln_secret *root)
{
    (void)arg;
    struct control_message message = {.kind = CONTROL_ROOT};
    if (root != NULL) {
        MLN_CHECK(root->len <= sizeof(message.bytes));
        message.n = (uint32_t)root->len;
        mln_copy(message.bytes, root->ptr, root->len);
    }
    tell(&message);
    mln_wipe(&message, sizeof(message));
}

static void on_broken(void *arg, uint64_t generation)
{
    (void)arg;
    struct control_message message = {.kind = CONTROL_DROP, .number = generation};
    tell(&message);
}

static struct mln_err on_reach(void *arg, struct mln_cx *cx, const struct mln_value *ask,
                               const struct mln_value **ret)
{
    struct core_process *process = arg;
    return mln_reach_call(cx, process->reach, ask, ret);
}

static struct mln_err on_present(void *arg, struct mln_cx *cx, struct mln_bytes chain, struct mln_bytes key)
{
    struct core_process *process = arg;
    return core_svid_set(cx, &process->svid, chain, key);
}

static void tell_ready(const struct core_process *process, const char *token)
{
    struct control_message message = {.kind = CONTROL_READY,
                                      .number = mln_core_is_sealed(process->core) ? 1 : 0};
    size_t n = mln_bytes_of(token).len;
    mln_core_vkey(process->core, message.text);
    if (n <= sizeof(message.bytes)) {
        mln_copy(message.bytes, token, n);
        message.n = (uint32_t)n;
    }
    tell(&message);
    mln_wipe(&message, sizeof(message));
}

/* ---- what monitor tells ---- */

/*
 * A process's line about its sandbox: looked through for two words and a number, not parsed, for it
 * comes from where strangers are heard.
 */
static void take_state(struct core_process *process, const struct control_message *message)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(TOPIC_ARENA_BYTES, false);
    struct mln_bytes line = mln_bytes_at(message->bytes, message->n);
    struct mln_bytes abi_key = MLN_BYTES("abi\":");
    struct mln_bytes number =
        mln_bytes_from(line, mln_bytes_find_bytes(line, abi_key) + abi_key.len);
    struct mln_cx cx;
    if (arena == NULL) {
        return;
    }
    mln_cx_init(&cx, arena);
    struct mln_value *v = mln_object(&cx);
    bool has_seccomp = mln_bytes_find_bytes(line, MLN_BYTES("\"seccomp\":true")) < line.len;
    bool has_landlock = mln_bytes_find_bytes(line, MLN_BYTES("\"landlock\":true")) < line.len;
    bool has_abi = number.len > 0 && number.ptr[0] >= '0' && number.ptr[0] <= '9';
    mln_put_bool(&cx, v, "seccomp", has_seccomp);
    mln_put_bool(&cx, v, "landlock", has_landlock);
    mln_put_int(&cx, v, "abi", has_abi ? number.ptr[0] - '0' : 0);
    if (!mln_failed(mln_cx_err(&cx))) {
        mln_core_process_state(process->core, message->text, v);
    }
}

static void take_root(struct mln_cx *cx, struct core_process *process,
                      const struct control_message *message)
{
    struct mln_secret root = {0};
    if (!mln_core_is_sealed(process->core)) {
        return;
    }
    struct mln_err err = mln_secret_from(cx, mln_bytes_at(message->bytes, message->n), &root);
    err = mln_failed(err) ? err : mln_core_rekey(cx, process->core, &root);
    mln_secret_drop(&root);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "core stays sealed: it could not be re-keyed");
    } else {
        mln_log(MLN_LOG_WARN, "core", "re-keyed after its predecessor died");
    }
}

static void take_reach(struct mln_cx *cx, struct core_process *process, int fd)
{
    if (mln_failed(mln_reach_attach(cx, process->reach, fd))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "nothing outside can be reached");
    }
}

static void take_attest(struct mln_cx *cx, struct core_process *process, int fd)
{
    if (mln_failed(core_attest_attach(cx, &process->attest, mln_core_peers(process->core), fd))) {
        mln_log_fault(MLN_LOG_ERROR, "core", cx, "no process is attested");
    }
}

/* Until monitor says stop or is gone. */
static void listen_to_monitor(struct core_process *process)
{
    static struct control_fds fds;
    MLN_AUTO(mln_arena_drop)
    struct mln_arena *arena = mln_arena_new(MLN_REQUEST_ARENA_BYTES, false);
    struct mln_cx own, *cx = &own;
    bool goes_on = arena != NULL;
    mln_cx_init(cx, arena);
    while (goes_on) {
        struct control_message message;
        mln_cx_clear(cx);
        mln_arena_reset(arena);
        struct mln_err err = control_receive(cx, FD_CONTROL, false, &message, &fds);
        if (mln_failed(err)) {
            break;
        }
        if (message.kind == CONTROL_REKEY) {
            take_root(cx, process, &message);
        } else if (message.kind == CONTROL_STATE) {
            take_state(process, &message);
        } else if (message.kind == CONTROL_RINGS) {
            err = workers_attach(cx, atomic_load(&process->workers), message.number, fds.rings,
                                 fds.n_rings);
            if (mln_failed(err)) {
                mln_log_fault(MLN_LOG_ERROR, "core", cx, "rings of front cannot be served");
                on_broken(process, message.number);
            }
        } else if (message.kind == CONTROL_REACH) {
            take_reach(cx, process, fds.socket);
        } else if (message.kind == CONTROL_ATTEST) {
            take_attest(cx, process, fds.socket);
        } else if (message.kind == CONTROL_REOPEN) {
            mln_core_reopen(process->core);
        }
        goes_on = message.kind != CONTROL_STOP;
        mln_wipe(&message, sizeof(message));
    }
}

/* ---- ticks ---- */

static void *tick_main(void *arg)
{
    struct core_process *process = arg;
    MLN_AUTO(mln_arena_drop)
    struct mln_arena *arena = mln_arena_new(MLN_REQUEST_ARENA_BYTES, false);
    struct pollfd stop = {.fd = process->tick_stop, .events = POLLIN};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    while (arena != NULL && poll(&stop, 1, TICK_MS) <= 0) {
        mln_core_tick(&cx, process->core);
        mln_cx_clear(&cx);
        mln_arena_reset(arena);
    }
    return NULL;
}

static struct mln_err start_ticks(struct mln_cx *cx, struct core_process *process)
{
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    process->tick_stop = eventfd(0, EFD_CLOEXEC);
    process->has_tick =
        process->tick_stop >= 0 && pthread_create(&process->tick, &attr, tick_main, process) == 0;
    (void)pthread_attr_destroy(&attr);
    return process->has_tick ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "core: no thread for ticks");
}

static void stop_ticks(struct core_process *process)
{
    uint64_t one = 1;
    if (process->has_tick) {
        ssize_t n = write(process->tick_stop, &one, sizeof(one));
        (void)n;
        (void)pthread_join(process->tick, NULL);
    }
    mln_fd_drop(&process->tick_stop);
}

/* ---- start ---- */

static struct mln_err load_keys(struct mln_cx *cx, struct core_process *process,
                                const struct mln_value *listeners)
{
    process->n_keys = (unsigned)mln_len(listeners);
    if (process->n_keys > MLN_COUNT(process->keys)) {
        return mln_fail(cx, MLN_E_INVALID, "core: more listeners than it has keys for");
    }
    for (unsigned i = 0; i < process->n_keys; i++) {
        const struct mln_value *item = mln_item(listeners, i);
        const char *path = mln_get_text(cx, mln_get(item, "key_file"), NULL);
        if (path != NULL) {
            MLN_TRY(tls_key_load(cx, path, &process->keys[i]));
            MLN_TRY(tls_key_fits(cx, &process->keys[i], mln_get_bytes(mln_get(item, "cert"))));
        }
    }
    return MLN_OK;
}

/*
 * Monitor's first message. A core that took the place of one that died is not unsealed by a key
 * file: how often that may happen is monitor's to count.
 */
static struct mln_err may_use_keyfile(struct mln_cx *cx, bool *ret)
{
    struct control_message message;
    struct control_fds fds;
    MLN_TRY(control_receive(cx, FD_CONTROL, false, &message, &fds));
    if (message.kind != CONTROL_START) {
        return mln_fail(cx, MLN_E_INVALID, "core: monitor did not say how to start");
    }
    *ret = message.number == 1;
    return MLN_OK;
}

static struct mln_err open_core(struct mln_cx *cx, struct core_process *process,
                                const struct mln_value *boot)
{
    bool has_keyfile = false;
    MLN_TRY(may_use_keyfile(cx, &has_keyfile));
    static const struct mln_engine *const *const registries[] = {mln_engines, mln_methods,
                                                                 mln_assurances, mln_identities, NULL};
    struct mln_value *settings = mln_object(cx), *spiffe = mln_object(cx);
    if (mln_get(boot, "trust_domain") != NULL) {
        mln_put(cx, spiffe, "trust_domain", mln_get(boot, "trust_domain"));
    }
    mln_put_bool(cx, spiffe, "shows_svid", mln_get_bool(mln_get(boot, "shows_svid"), false));
    mln_put(cx, settings, "spiffe", spiffe);
    struct mln_core_config config = {
        .settings = settings,
        .data_dir = mln_get_text(cx, mln_get(boot, "data"), ""),
        .origin = mln_get_text(cx, mln_get(boot, "origin"), ""),
        .api_address = mln_get_text(cx, mln_get(boot, "api_address"), NULL),
        .seal = (enum mln_seal_kind)mln_get_int(mln_get(boot, "seal"), MLN_SEAL_SHAMIR),
        .keyfile = has_keyfile ? mln_get_text(cx, mln_get(boot, "keyfile"), NULL) : NULL,
        .registries = registries,
        .default_ttl_s = mln_get_int(mln_get(boot, "default_ttl"), 0),
        .max_ttl_s = mln_get_int(mln_get(boot, "max_ttl"), 0),
        .is_dev = mln_get_bool(mln_get(boot, "dev"), false),
        .audit = mln_get(boot, "audit"),
        .audit_by_api = mln_get_bool(mln_get(boot, "audit_by_api"), false),
        .durable_reads = mln_get_bool(mln_get(boot, "durable_reads"), false),
        .unauthed_rekey = mln_get_bool(mln_get(boot, "unauthed_rekey"), false),
        .unauthed_root = mln_get_bool(mln_get(boot, "unauthed_root"), false),
        .publish = on_topic,
        .root = on_root,
        .reach = on_reach,
        .present = on_present,
        .arg = process,
    };
    MLN_TRY(mln_cx_err(cx));
    return mln_core_open(cx, &config, &process->core);
}

/* Development: initialised by itself. Data that was kept from an earlier run stays as it is. */
static struct mln_err init_dev(struct mln_cx *cx, struct core_process *process,
                               const struct mln_value *boot, const char **ret_token)
{
    if (!mln_get_bool(mln_get(boot, "dev"), false)) {
        return MLN_OK;
    }
    const char *wanted = mln_get_text(cx, mln_get(boot, "root_token"), NULL);
    struct mln_err err = mln_core_init_dev(cx, process->core, wanted, ret_token);
    if (mln_is(err, MLN_E_EXISTS)) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    return err;
}

static struct mln_err run(struct mln_cx *cx, struct core_process *process)
{
    const struct mln_value *boot = NULL;
    const char *token = "";
    struct workers *workers = NULL;
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "core");
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "core: monitor is gone");
    }
    raise_descriptors();
    bool can_lock = can_lock_much();
    MLN_TRY(load_keys(cx, process, mln_get(boot, "listeners")));
    MLN_TRY(mln_reach_new(cx, &process->reach));
    MLN_TRY(open_core(cx, process, boot));
    MLN_TRY(init_dev(cx, process, boot, &token));
    struct workers_config config = {.core = process->core,
                                    .keys = process->keys,
                                    .n_keys = process->n_keys,
                                    .svid = &process->svid,
                                    .lock_requests = can_lock,
                                    .broken = on_broken};
    MLN_TRY(workers_new(cx, &config, &workers));
    atomic_store(&process->workers, workers);
    MLN_TRY(start_ticks(cx, process));
    tell_ready(process, token);
    listen_to_monitor(process);
    return MLN_OK;
}

static void finish(struct core_process *process)
{
    struct workers *workers = atomic_exchange(&process->workers, NULL);
    stop_ticks(process);
    core_attest_end(&process->attest);
    mln_reach_end(process->reach); /* nobody waits for strangers at the end */
    workers_free(workers);
    if (process->core != NULL) {
        mln_core_close(process->core);
    }
    mln_reach_free(process->reach);
    core_svid_fini(&process->svid);
    for (unsigned i = 0; i < MLN_COUNT(process->keys); i++) {
        mln_secret_drop(&process->keys[i]);
    }
}

int core_main(void)
{
    static struct core_process process = {.tick_stop = -1, .attest = {.fd = -1}};
    struct mln_arena *arena = mln_arena_new(BOOT_ARENA_BYTES, false);
    struct mln_cx cx;
    name_process("merlon-core");
    harden_process();
    mln_cx_init(&cx, arena);
    core_svid_init(&process.svid);
    struct mln_err err = arena != NULL ? run(&cx, &process) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "core", &cx, "core cannot start");
    }
    finish(&process);
    mln_arena_free(arena);
    return mln_err_exit(err.code);
}
