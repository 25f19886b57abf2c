/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of policies alone: one process, the threads of front, no core behind it. Policies and documents are read before;
 * when the first byte comes the process is in front's sandbox. What needs files, sockets or keys is done by processes beside it:
 * the feeder (api/rego_feed.h), its reach process, and the signer (rego_signer.h). Each is started only when it is needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/rego.h"
#include "api/rego_feed.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "main/main_priv.h"
#include "main/rego_signer.h"

#define THREADS_MOST 64
#define IDLE_NS ((int64_t)300000000000) /* clients of policies keep connections for long */
#define SECOND_NS ((int64_t)1000000000)
#define PEM_MAX_BYTES ((size_t)256 << 10)
#define LOOK_NS (SECOND_NS / 50)

struct rego_process {
    const struct mln_rego_server_options *options;
    struct mln_rego_state *state;
    struct mln_front_listener listeners[MLN_FRONT_LISTENERS_MAX];
    unsigned n_listeners, threads;
    struct mln_bytes cert_pem, ca_pem;
    struct rego_signer signer;
    int stop_fd, from_feeder, to_feeder; /* -1: no feeder */
};

static unsigned threads_of(const struct mln_rego_server_options *options)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    long n = options->threads > 0 ? (long)options->threads : cpus > 0 ? cpus : 1;
    return (unsigned)(n < THREADS_MOST ? n : THREADS_MOST);
}

/* Readable when the process shall stop. */
static struct mln_err watch_signals(struct mln_cx *cx, int *ret)
{
    sigset_t set;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* a feeder that died is seen by the write */
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "signals cannot be blocked");
    }
    *ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret >= 0 ? MLN_OK : mln_fail(cx, MLN_E_INTERNAL, "no descriptor for signals");
}

/* ---- listeners ---- */

static struct mln_err read_pem(struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(cx, path, PEM_MAX_BYTES, &pem));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&pem));
    return mln_cx_err(cx);
}

static struct mln_err read_certificates(struct mln_cx *cx, struct rego_process *p)
{
    const struct mln_rego_server_options *o = p->options;
    if ((o->tls_cert_file == NULL) != (o->tls_key_file == NULL)) {
        return mln_fail(cx, MLN_E_USAGE, "--tls-cert-file and --tls-private-key-file come together");
    }
    if (o->tls_cert_file == NULL && (o->tls_ca_file != NULL || o->authentication == MLN_REGO_AUTHENTICATION_TLS)) {
        return mln_fail(cx, MLN_E_USAGE, "clients show certificates over TLS only: --tls-cert-file is needed");
    }
    MLN_TRY(read_pem(cx, o->tls_cert_file, &p->cert_pem));
    return read_pem(cx, o->tls_ca_file, &p->ca_pem);
}

/* "unix:///run/x.sock", "http://127.0.0.1:8181", "127.0.0.1:8181". */
static struct mln_err listen_at(struct mln_cx *cx, struct rego_process *p, const char *address, bool is_diagnostic)
{
    struct mln_bytes all = mln_bytes_of(address);
    const char *url = address;
    int fd = -1;
    bool is_unix = mln_bytes_starts(all, MLN_BYTES("unix://"));
    if (p->n_listeners == MLN_COUNT(p->listeners)) {
        return mln_fail(cx, MLN_E_USAGE, "more than %u addresses", MLN_FRONT_LISTENERS_MAX);
    }
    bool is_http = mln_bytes_starts(all, MLN_BYTES("http://"));
    const char *plain = is_http ? address + 7 : mln_bytes_starts(all, MLN_BYTES("https://")) ? address + 8 : address;
    bool is_tls = p->cert_pem.len > 0 && !is_unix && !is_http && !is_diagnostic;
    if (is_unix) {
        MLN_TRY(workload_socket_open(cx, address + 7, &fd));
    } else {
        MLN_TRY(server_listen(cx, plain[0] == ':' ? mln_text_format(cx, "0.0.0.0%s", plain) : plain, &fd, &url));
        url = is_tls ? mln_text_format(cx, "https%s", url + 4) : url;
    }
    p->listeners[p->n_listeners++] = (struct mln_front_listener){.fd = fd,
                                                                 .is_tls = is_tls,
                                                                 .cert_pem = p->cert_pem,
                                                                 .client_ca_pem = p->ca_pem,
                                                                 .asks_certs = p->options->authentication == MLN_REGO_AUTHENTICATION_TLS &&
                                                                               p->ca_pem.len == 0,
                                                                 .needs_certs = p->ca_pem.len > 0,
                                                                 .is_diagnostic = is_diagnostic};
    mln_log(MLN_LOG_INFO, "rego", is_diagnostic ? "serving health and metrics at %s" : "serving policies at %s", url);
    return MLN_OK;
}

static struct mln_err listen_all(struct mln_cx *cx, struct rego_process *p)
{
    const struct mln_rego_server_options *o = p->options;
    for (size_t i = 0; o->addresses != NULL && o->addresses[i] != NULL; i++) {
        MLN_TRY(listen_at(cx, p, o->addresses[i], false));
    }
    for (size_t i = 0; o->diagnostics != NULL && o->diagnostics[i] != NULL; i++) {
        MLN_TRY(listen_at(cx, p, o->diagnostics[i], true));
    }
    return MLN_OK;
}

/* ---- the feeder ---- */

static struct mln_err start_reach(struct mln_cx *cx, size_t body_max, int *ret_fd, int *ret_pid)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    MLN_AUTO(mln_fd_drop) int boot_fd = -1, ours = -1, theirs = -1, state_fd = -1;
    struct mln_cx own;
    int pair[2] = {-1, -1};
    mln_cx_init(&own, arena);
    struct mln_value *boot = mln_object(&own);
    mln_put_int(&own, boot, "parent", getpid());
    mln_put_int(&own, boot, "log_level", (int64_t)mln_log_level_first());
    mln_put_int(&own, boot, "body_max", (int64_t)body_max);
    MLN_TRY(boot_write(&own, boot, &boot_fd));
    state_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || state_fd < 0) {
        return mln_fail(cx, MLN_E_IO, "no socket for outbound calls (errno %d)", errno);
    }
    ours = pair[0];
    theirs = pair[1];
    const int fds[] = {boot_fd, theirs, state_fd};
    pid_t pid = 0;
    MLN_TRY(spawn(cx, "merlon-reach", fds, MLN_COUNT(fds), &pid));
    *ret_pid = (int)pid;
    *ret_fd = ours;
    ours = -1;
    return MLN_OK;
}

static void feeder_child(const struct mln_rego_server_options *options, int in_fd, int out_fd, pid_t parent)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)256 << 20, false);
    struct rego_feeder_options how = {.in_fd = in_fd,
                                      .out_fd = out_fd,
                                      .config = options->config,
                                      .bundle_paths = options->watched_bundles,
                                      .watched = options->watched,
                                      .reload = options->reload,
                                      .reload_arg = options->reload_arg,
                                      .start_reach = start_reach};
    sigset_t stop;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    name_process("merlon-feeder");
    harden_process();
    (void)parent; /* it ends when its pipe ends, after what was decided went out */
    (void)sigaction(SIGINT, &ignore, NULL);
    (void)sigaction(SIGTERM, &ignore, NULL);
    (void)sigemptyset(&stop);
    (void)pthread_sigmask(SIG_SETMASK, &stop, NULL);
    if (arena == NULL || mln_failed(rego_feeder_run(&cx, &how))) {
        mln_log_fault(MLN_LOG_ERROR, "rego", &cx, "the feeder ends: bundles and reports stop");
        _exit(1);
    }
    _exit(0);
}

static bool needs_feeder(const struct mln_rego_server_options *o)
{
    static const char *const members[] = {"bundles", "discovery", "decision_logs", "status"};
    bool needs = (o->watched != NULL && o->watched[0] != NULL) || (o->watched_bundles != NULL && o->watched_bundles[0] != NULL);
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        needs = needs || !mln_is_null(mln_get(o->config, members[i]));
    }
    return needs;
}

static void close_others(const struct rego_process *p)
{
    for (unsigned i = 0; i < p->n_listeners; i++) {
        (void)close(p->listeners[i].fd);
    }
    for (unsigned i = 0; i < p->signer.n; i++) {
        (void)close(p->signer.fds[i]);
    }
}

static struct mln_err start_feeder(struct mln_cx *cx, struct rego_process *p)
{
    int to_us[2], to_feeder[2];
    if (!needs_feeder(p->options)) {
        return MLN_OK;
    }
    if (pipe2(to_us, O_CLOEXEC) != 0 || pipe2(to_feeder, O_CLOEXEC) != 0) {
        return mln_fail(cx, MLN_E_IO, "no pipes for the feeder (errno %d)", errno);
    }
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        return mln_fail(cx, MLN_E_IO, "the feeder cannot be started (errno %d)", errno);
    }
    if (pid == 0) {
        (void)close(to_us[0]);
        (void)close(to_feeder[1]);
        close_others(p);
        feeder_child(p->options, to_feeder[0], to_us[1], parent);
    }
    (void)close(to_us[1]);
    (void)close(to_feeder[0]);
    p->from_feeder = to_us[0];
    p->to_feeder = to_feeder[1];
    return MLN_OK;
}

static struct mln_err await_ready(struct mln_cx *cx, const struct rego_process *p)
{
    int64_t end_ns = mln_mono_ns() + p->options->ready_timeout_s * SECOND_NS;
    while (p->options->ready_timeout_s > 0 && !mln_rego_state_ready(p->state)) {
        struct signalfd_siginfo info;
        if (read(p->stop_fd, &info, sizeof(info)) > 0) {
            return mln_fail(cx, MLN_E_INTERRUPTED, "stopped before the bundles were there");
        }
        if (mln_mono_ns() > end_ns) {
            return mln_fail(cx, MLN_E_TIMEOUT, "the bundles are not active after --ready-timeout");
        }
        mln_sleep_ns(LOOK_NS);
    }
    return MLN_OK;
}

/* ---- the whole ---- */

static struct mln_err prepare(struct mln_cx *cx, struct rego_process *p)
{
    p->threads = threads_of(p->options);
    MLN_TRY(watch_signals(cx, &p->stop_fd));
    MLN_TRY(read_certificates(cx, p));
    MLN_TRY(listen_all(cx, p));
    if (p->cert_pem.len > 0) {
        MLN_TRY(rego_signer_start(cx, p->options->tls_key_file, p->cert_pem, p->threads, &p->signer));
    }
    raise_descriptors();
    return MLN_OK;
}

static void close_sockets(struct rego_process *p)
{
    for (unsigned i = 0; i < p->n_listeners; i++) {
        mln_fd_drop(&p->listeners[i].fd);
    }
}

static struct mln_err serve(struct mln_cx *cx, struct rego_process *p, int *ret_code)
{
    MLN_TRY(prepare(cx, p));
    MLN_TRY(start_feeder(cx, p));
    MLN_TRY(drop_root(cx));
    harden_process();
    if (p->to_feeder >= 0) { /* its threads are confined at once: who the process is must be settled before */
        MLN_TRY(mln_rego_state_feed(cx, p->state, p->from_feeder, p->to_feeder));
    }
    MLN_TRY(await_ready(cx, p));
    struct mln_front_config config = {
        .n_rings = p->threads,
        .listeners = p->listeners,
        .n_listeners = p->n_listeners,
        .api = &mln_rego_api,
        .local = {.answer = mln_rego_answer_http,
                  .arg = p->state,
                  .sign = p->cert_pem.len > 0 ? rego_signer_sign : NULL,
                  .sign_arg = &p->signer},
        .stop_fd = p->stop_fd,
        .peer_fd = -1,
        .state_fd = -1,
        .idle_ns = IDLE_NS,
        .body_max = MLN_REGO_BODY_MAX,
        .grace_ns = p->options->grace_s * SECOND_NS,
    };
    *ret_code = mln_front_main(&config);
    return MLN_OK;
}

struct mln_err rego_run(struct mln_cx *cx, const struct mln_rego_server_options *options, int *ret_code)
{
    enum mln_log_level level = MLN_LOG_INFO;
    static struct rego_process process; /* threads look at it until the process ends */
    if (options->log_level != NULL && !mln_log_level_parse(mln_bytes_of(options->log_level), &level)) {
        return mln_fail(cx, MLN_E_USAGE, "--log-level is error, warn, info or debug");
    }
    bool is_json = options->log_format != NULL && mln_bytes_starts(mln_bytes_of(options->log_format), MLN_BYTES("json"));
    mln_log_setup("rego", level, is_json ? MLN_LOG_JSON : MLN_LOG_TEXT);
    process = (struct rego_process){.options = options, .stop_fd = -1, .from_feeder = -1, .to_feeder = -1};
    MLN_TRY(mln_rego_state_new(cx, options, &process.state));
    struct mln_err err = serve(cx, &process, ret_code);
    close_sockets(&process);
    mln_rego_state_drop(&process.state);
    mln_fd_drop(&process.stop_fd);
    return err;
}
