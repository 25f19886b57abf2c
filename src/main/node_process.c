/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `merlon node run`: monitor, front and the attest process as of a server, and in core's place a process that asks the server. Its
 * main thread hears monitor; one thread, the poller, keeps the replica up to date: its question whether something changed is held by the
 * server until something did.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/sandbox.h"
#include "base/text.h"
#include "main/control.h"
#include "main/core_attest.h"
#include "main/main_priv.h"
#include "main/monitor.h"
#include "main/node_priv.h"

#define BOOT_BYTES (4u << 20)
#define POLL_MS                                                                                    \
    2000 /* between turns of a server that holds no questions, or that changes all the time */
#define SHORT_MS     500 /* after the first failure */
#define AGAIN_MAX_MS 30000
#define HASTY_NS     ((int64_t)200000000)
#define HASTY_MAX    50u
#define CALL_NS      ((int64_t)5000000000)
#define WATCH_NS                                                                                   \
    ((int64_t)75000000000) /* the longest wait, and a quarter of a minute for the way */

struct node_process {
    struct node node;
    struct core_attest attest;
    int stop;
    pthread_t poller;
    bool has_poller;
    bool has_news; /* the poller's: there is something to hear */
    unsigned hasty;
};

/* ---- changes ---- */

/* Put out: what processes were given is given no more, and streams end. */
static void forget(struct node *node, struct mln_cx *cx)
{
    node_session_end(node);
    node_self_forget(node, cx);
    mln_replica_clear(node->replica);
    node_wake(node);
}

/* A new session by the SVID, or by what there is to show. Refused: this node was put out. */
static struct mln_err begin(struct node *node, struct mln_cx *cx)
{
    struct mln_err err = node_attest(node, cx);
    if (mln_is(err, MLN_E_DENIED)) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        forget(node, cx);
        return mln_refail(cx, MLN_E_DENIED, "%s", why);
    }
    return err;
}

static struct mln_err follow(struct node_process *process, struct mln_cx *cx)
{
    if (process->has_news) {
        MLN_TRY(node_sync(&process->node, cx));
        process->has_news = false;
    }
    return node_watch(&process->node, cx, &process->has_news);
}

/* One turn: be somebody, hear what changed, have keys certified, wait for news. */
static struct mln_err turn(struct node_process *process, struct mln_cx *cx)
{
    struct node *node = &process->node;
    if (node->session[0] == '\0' || node_self_is_due(node, mln_now_ns() / 1000000000)) {
        MLN_TRY(begin(node, cx));
        process->has_news = true;
    }
    struct mln_err err = follow(process, cx);
    if (mln_is(err, MLN_E_DENIED)) {
        node_session_end(node); /* it is over: the next turn begins another, if it may */
    }
    return err;
}

/* How long to wait after so many failures: longer each time, and never all nodes at once when the server is back. */
static int wait_of(unsigned failures)
{
    int64_t most = (int64_t)SHORT_MS << (failures < 7 ? failures : 7);
    most = most < AGAIN_MAX_MS ? most : AGAIN_MAX_MS;
    return (int)(most / 2 + (int64_t)mln_random_below((uint64_t)(most / 2)));
}

static void *poller_main(void *arg)
{
    struct node_process *process = arg;
    struct mln_arena *arena = mln_arena_new(4u << 20, true);
    struct pollfd stop = {.fd = process->stop, .events = POLLIN};
    struct mln_cx cx;
    int wait_ms = 0;
    unsigned failures = 0;
    mln_cx_init(&cx, arena);
    process->has_news = true;
    while (arena != NULL && poll(&stop, 1, wait_ms) == 0) {
        int64_t begin_ns = mln_mono_ns();
        struct mln_err err = turn(process, &cx);
        failures = mln_failed(err) ? failures + 1 : 0;
        if (mln_failed(err) && poll(&stop, 1, 0) == 0) {
            process->has_news = true;
            mln_log_fault(failures == 1 ? MLN_LOG_WARN : MLN_LOG_DEBUG, "node", &cx,
                          "the server is not asked");
        }
        /* news that come at once, again and again, are a server that does not hold the question: then it is a poll */
        bool is_hasty = !mln_failed(err) && mln_mono_ns() - begin_ns < HASTY_NS;
        process->hasty = is_hasty ? process->hasty + 1 : 0;
        wait_ms = mln_failed(err) ? wait_of(failures) : process->hasty > HASTY_MAX ? POLL_MS : 0;
        mln_cx_clear(&cx);
        mln_arena_reset(arena);
    }
    mln_arena_free(arena);
    return NULL;
}

/* ---- monitor ---- */

static void tell(enum control_kind kind, uint64_t number)
{
    struct control_message message = {.kind = kind, .number = number};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (mln_failed(control_send(&cx, FD_CONTROL, &message))) {
        mln_log_fault(MLN_LOG_WARN, "node", &cx, "monitor does not hear");
    }
}

static void on_broken(void *arg, uint64_t generation)
{
    (void)arg;
    tell(CONTROL_DROP, generation);
}

static void take(struct mln_cx *cx, struct node_process *process,
                 const struct control_message *message, struct control_fds *fds)
{
    struct mln_err err = MLN_OK;
    if (message->kind == CONTROL_RINGS) {
        err = workers_attach(cx, atomic_load(&process->node.workers), message->number, fds->rings,
                             fds->n_rings);
        if (mln_failed(err)) {
            on_broken(process, message->number);
        }
    } else if (message->kind == CONTROL_ATTEST) {
        err = core_attest_attach(cx, &process->attest, process->node.peers, fds->socket);
    } else {
        control_fds_close(fds);
    }
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "node", cx, "a message of monitor is not followed");
    }
}

static void listen_to_monitor(struct node_process *process)
{
    static struct control_fds fds;
    static struct control_message message;
    struct mln_cx cx;
    do {
        mln_cx_init(&cx, NULL);
        if (mln_failed(control_receive(&cx, FD_CONTROL, false, &message, &fds))) {
            return;
        }
        take(&cx, process, &message, &fds);
    } while (message.kind != CONTROL_STOP);
}

/* ---- sandbox ---- */

#define FOLDERS_MAX 8u

/* The folder of a file that is read now and then: it may be replaced, as mounted tokens are. */
static const char *folder_of(struct mln_cx *cx, const char *path)
{
    struct mln_bytes text = mln_bytes_of(path);
    size_t n = text.len;
    while (n > 0 && text.ptr[n - 1] != '/') {
        n--;
    }
    return n == 0   ? "."
           : n == 1 ? path /* of the root folder: the file alone */
                    : mln_text_dup(cx, mln_bytes_sub(text, 0, n - 1));
}

/* From here on: sockets to the outside, the files that it was told of, its own folder; no program, no listening. */
static struct mln_err confine(struct mln_cx *cx, struct node *node)
{
    static const char *const names[] = {"join_token_file", "cert_file", "key_file", "psat_token_file"};
    const char *reads[FOLDERS_MAX];
    struct mln_sandbox_folders folders = {.reads = reads, .writes = node->data_dir};
    struct mln_sandbox_state state = {0};
    if (node->server.ca_file != NULL) {
        reads[folders.n_reads++] = folder_of(cx, node->server.ca_file);
    }
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        const char *path = mln_get_text(cx, mln_get(node->proof, names[i]), NULL);
        if (path != NULL) {
            reads[folders.n_reads++] = folder_of(cx, path);
        }
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_sandbox_enter_node(cx, &folders, &state));
    mln_log(MLN_LOG_INFO, "node", "sandbox: seccomp %s, Landlock %s", state.has_seccomp ? "yes" : "no",
            state.has_landlock ? "yes" : "no");
    return MLN_OK;
}

/* ---- start ---- */

static struct mln_err start(struct mln_cx *cx, struct node_process *process,
                            const struct mln_value *boot)
{
    struct node *node = &process->node;
    node->server =
        (struct mln_client_config){.url = mln_get_text(cx, mln_get(boot, "server"), ""),
                                   .ca_file = mln_get_text(cx, mln_get(boot, "ca_file"), NULL),
                                   .timeout_ns = CALL_NS};
    node->data_dir = mln_get_text(cx, mln_get(boot, "data"), "");
    node->proof = mln_get(boot, "proof");
    node->peers = mln_peers_new(0);
    node->replica = mln_replica_new();
    atomic_init(&node->version, 1);
    (void)pthread_mutex_init(&node->lock, NULL);
    (void)pthread_mutex_init(&node->signing, NULL);
    (void)pthread_mutex_init(&node->syncing, NULL);
    process->stop = eventfd(0, EFD_CLOEXEC);
    if (node->peers == NULL || node->replica == NULL || process->stop < 0) {
        return mln_fail(cx, MLN_E_MEMORY, "node: no memory or descriptors");
    }
    node->server.has_cancel = true; /* whoever waits for the server goes when this process does */
    node->server.cancel_fd = process->stop;
    struct mln_client_config watcher = node->server;
    watcher.timeout_ns = WATCH_NS;
    MLN_TRY(mln_client_new(cx, &watcher, &node->watcher));
    const char *tpm = mln_get_text(cx, mln_get(node->proof, "tpm"), NULL);
    if (tpm != NULL) {
        MLN_TRY(node_tpm_open(cx, tpm, &node->tpm));
    }
    MLN_TRY(confine(cx, node));
    node_self_load(node, cx);
    struct workers_config config = {.answer = node_answer_call,
                                    .broken = on_broken,
                                    .arg = node,
                                    .lock_requests = can_lock_much()};
    struct workers *workers = NULL;
    MLN_TRY(workers_new(cx, &config, &workers));
    atomic_store(&node->workers, workers);
    struct mln_err err = node_attest(node, cx);
    if (mln_is(err,
               MLN_E_UNREACHABLE)) { /* it will be there: until then processes hear to try again */
        mln_log_fault(MLN_LOG_WARN, "node", cx, "the server is not there yet");
        mln_cx_clear(cx);
        err = MLN_OK;
    }
    MLN_TRY(err);
    process->has_poller = pthread_create(&process->poller, NULL, poller_main, process) == 0;
    return process->has_poller ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "node: no thread");
}

static struct mln_err run(struct mln_cx *cx, struct node_process *process)
{
    const struct mln_value *boot = NULL;
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "node");
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "node: monitor is gone");
    }
    raise_descriptors();
    MLN_TRY(start(cx, process, boot));
    tell(CONTROL_READY, 0);
    listen_to_monitor(process);
    return MLN_OK;
}

static void finish(struct node_process *process)
{
    uint64_t one = 1;
    if (process->has_poller) {
        ssize_t n = write(process->stop, &one, sizeof(one));
        (void)n;
        (void)pthread_join(process->poller, NULL);
    }
    core_attest_end(&process->attest);
    workers_free(atomic_exchange(&process->node.workers, NULL));
    mln_replica_free(process->node.replica);
    mln_client_free(process->node.watcher);
    node_tpm_close(process->node.tpm);
    mln_buf_drop(&process->node.self.key);
    mln_buf_drop(&process->node.self.chain);
    while (process->node.n_idle > 0) {
        mln_client_free(process->node.idle[--process->node.n_idle]);
    }
    mln_peers_free(process->node.peers);
}

int node_main(void)
{
    static struct node_process process = {.stop = -1, .attest = {.fd = -1}};
    struct mln_arena *arena = mln_arena_new(BOOT_BYTES, true);
    struct mln_cx cx;
    name_process("merlon-node");
    harden_process();
    mln_cx_init(&cx, arena);
    struct mln_err err = arena != NULL ? run(&cx, &process) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "node", &cx, "the node cannot start");
    }
    finish(&process);
    mln_arena_free(arena);
    return mln_err_exit(err.code);
}
