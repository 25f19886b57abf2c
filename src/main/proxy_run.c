/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `merlon proxy`: reads the configuration, opens the listeners, starts keeper and relay, and from then on does what needs the operator's
 * rights: dials the workload socket and the targets, writes records, starts anew what died. A new keeper leaves connections alone; a new
 * relay has none of the old ones.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "main/main_priv.h"
#include "main/proxy_priv.h"
#include "policy/acl.h"

#define ARENA_BYTES  (32u << 20)
#define START_BYTES  (1u << 20) /* what a child is told, but for the configuration */
#define SECOND_NS    ((int64_t)1000000000)
#define RESOLVE_NS   (30 * SECOND_NS) /* how old an answer of the resolver may be */
#define RESOLVE_SOON_NS (2 * SECOND_NS) /* after one that failed */
#define AGAIN_NS     (SECOND_NS / 2)  /* a child that died is started anew */
#define SEND_S       5                /* a child that does not hear for so long is broken */
#define LEAVE_NS     (3 * SECOND_NS)  /* after the drain */
#define TURN_MS      500

enum who { KEEPER, RELAY, CHILDREN };
static const char *const names[] = {[KEEPER] = "merlon-keeper", [RELAY] = "merlon-relay"};

struct child {
    pid_t pid; /* 0 = does not run */
    int fd;    /* -1 = none */
    int64_t due_ns;
};
struct target {
    struct proxy_place place;
    struct mln_resolved known; /* under the lock */
    int64_t due_ns;
    unsigned turn;
};
struct proxy {
    struct mln_cx cx;
    const struct mln_value *all;
    struct proxy_config config;
    struct proxy_place workload;
    struct child children[CHILDREN];
    int listen_fds[MLN_PROXY_LISTENERS_MAX];
    const char *urls[MLN_PROXY_LISTENERS_MAX];
    struct target targets[MLN_PROXY_LISTENERS_MAX];
    pthread_mutex_t lock;
    pthread_t resolver;
    int counters_fd, snapshot_fd, signals;
    struct mln_proxy_counters *counters;
    _Atomic int64_t not_after_s;
    struct proxy_records *records;
    struct proxy_post *post; /* NULL: records go nowhere else */
    const char *metrics_url;
    enum mln_log_level level;
    bool is_json, is_ready, is_stopping;
    int64_t leave_ns;
};

/* ---- names ---- */

static void resolve_one(struct proxy *p, struct target *t)
{
    struct mln_resolved found = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    struct mln_err err = mln_resolve(&cx, t->place.host, t->place.port, &found);
    t->due_ns = mln_mono_ns() + (mln_failed(err) ? RESOLVE_SOON_NS : RESOLVE_NS);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_WARN, "proxy", &cx, "a target has no address, the last one stays");
        return;
    }
    (void)pthread_mutex_lock(&p->lock);
    t->known = found;
    (void)pthread_mutex_unlock(&p->lock);
}

static void *resolver_main(void *arg)
{
    struct proxy *p = arg;
    for (;;) {
        for (size_t i = 0; i < p->config.n_listeners; i++) {
            struct target *t = &p->targets[i];
            if (!t->place.is_unix && mln_mono_ns() >= t->due_ns) {
                resolve_one(p, t);
            }
        }
        mln_sleep_ns(SECOND_NS);
    }
    return NULL;
}

/* ---- to the children ---- */

static void tell(struct proxy *p, enum who who, const struct mln_proxy_message *message, const int *fds, unsigned n)
{
    struct child *child = &p->children[who];
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (child->fd >= 0 && mln_failed(mln_proxy_send(&cx, child->fd, message, fds, n, false))) {
        mln_log_fault(MLN_LOG_WARN, "proxy", &cx, names[who]);
        if (child->pid > 0) {
            (void)kill(child->pid, SIGKILL); /* found by waitpid */
        }
    }
}

static void tell_snapshot(struct proxy *p)
{
    struct mln_proxy_message message = {.kind = MLN_PROXY_IDENTITY};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (p->snapshot_fd < 0) {
        message.kind = MLN_PROXY_WITHDRAW;
        tell(p, RELAY, &message, NULL, 0);
    } else if (!mln_failed(mln_file_size(&cx, p->snapshot_fd, &message.number)) && lseek(p->snapshot_fd, 0, SEEK_SET) == 0) {
        tell(p, RELAY, &message, &p->snapshot_fd, 1);
    }
}

/* New sockets between relay's threads and the keeper. */
static void tell_signers(struct proxy *p)
{
    int keeper[MLN_PROXY_THREADS_MAX], relay[MLN_PROXY_THREADS_MAX];
    unsigned n = 0;
    struct mln_proxy_message message = {.kind = MLN_PROXY_SIGNERS};
    if (p->children[KEEPER].pid == 0 || p->children[RELAY].pid == 0) {
        return;
    }
    while (n < (unsigned)p->config.limits.threads) {
        int pair[2];
        if (mln_failed(mln_proxy_pair(&p->cx, pair))) {
            mln_log_fault(MLN_LOG_ERROR, "proxy", &p->cx, "relay cannot ask the keeper");
            mln_cx_clear(&p->cx);
            break;
        }
        keeper[n] = pair[0];
        relay[n++] = pair[1];
    }
    if (n == (unsigned)p->config.limits.threads) {
        tell(p, KEEPER, &message, keeper, n);
        tell(p, RELAY, &message, relay, n);
    }
    while (n > 0) {
        n--;
        mln_fd_drop(&keeper[n]);
        mln_fd_drop(&relay[n]);
    }
}

/* ---- children ---- */

static struct mln_err boot_of(struct mln_cx *cx, struct proxy *p, enum who who, int *ret_fd)
{
    struct mln_value *boot = mln_object(cx);
    mln_put_int(cx, boot, "parent", getpid());
    mln_put_int(cx, boot, "log_level", (int64_t)p->level);
    mln_put_bool(cx, boot, "log_json", p->is_json);
    if (who == RELAY) {
        mln_put(cx, boot, "config", p->all);
    } else if (p->config.spiffe_id != NULL) {
        mln_put_text(cx, boot, "spiffe_id", p->config.spiffe_id);
    }
    MLN_TRY(mln_cx_err(cx));
    return boot_write(cx, boot, ret_fd);
}

static struct mln_err start(struct mln_cx *cx, struct proxy *p, enum who who)
{
    int fds[FD_MORE - FD_BOOT + MLN_PROXY_LISTENERS_MAX], pair[2];
    unsigned n = 2;
    struct timeval limit = {.tv_sec = SEND_S};
    struct child *child = &p->children[who];
    MLN_AUTO(mln_fd_drop) int boot = -1;
    MLN_TRY(boot_of(cx, p, who, &boot));
    MLN_TRY(mln_proxy_pair(cx, pair));
    MLN_AUTO(mln_fd_drop) int theirs = pair[1];
    child->fd = pair[0];
    (void)setsockopt(child->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    fds[0] = boot;
    fds[1] = theirs;
    if (who == RELAY) {
        fds[n++] = p->counters_fd;
        for (size_t i = 0; i < p->config.n_listeners; i++) {
            fds[n++] = p->listen_fds[i];
        }
        mln_fill(p->counters, 0, sizeof(*p->counters));
    }
    return spawn(cx, names[who], fds, n, &child->pid);
}

static void start_due(struct proxy *p)
{
    bool is_new = false;
    for (int who = KEEPER; who < CHILDREN; who++) {
        struct child *child = &p->children[who];
        if (child->pid != 0 || p->is_stopping || mln_mono_ns() < child->due_ns) {
            continue;
        }
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(START_BYTES, false); /* starts may be many */
        struct mln_cx cx;
        mln_cx_init(&cx, arena);
        struct mln_err err = arena != NULL ? start(&cx, p, (enum who)who) : (struct mln_err){MLN_E_MEMORY};
        if (mln_failed(err)) {
            mln_log_fault(MLN_LOG_ERROR, "proxy", &cx, names[who]);
            mln_fd_drop(&child->fd);
            child->due_ns = mln_mono_ns() + AGAIN_NS;
        }
        is_new = is_new || !mln_failed(err);
    }
    if (is_new) {
        tell_signers(p);
        tell_snapshot(p);
    }
}

/* ---- from the children ---- */

static void dial_target(struct proxy *p, const struct mln_proxy_message *ask)
{
    struct mln_proxy_message answer = {.kind = MLN_PROXY_DIALLED, .thread = ask->thread, .conn = ask->conn};
    if (ask->listener >= p->config.n_listeners) {
        return;
    }
    struct target *t = &p->targets[ask->listener];
    (void)pthread_mutex_lock(&p->lock);
    struct mln_resolved known = t->known;
    (void)pthread_mutex_unlock(&p->lock);
    unsigned first = ask->attempt == 0 ? t->turn++ : t->turn - 1;
    int fd = proxy_dial(&t->place, &known, first + ask->attempt, &answer.error);
    tell(p, RELAY, &answer, &fd, fd >= 0 ? 1 : 0);
    mln_fd_drop(&fd);
}

static void take_from_relay(struct proxy *p, const struct mln_proxy_message *message)
{
    if (message->kind == MLN_PROXY_DIAL) {
        dial_target(p, message);
    } else if (message->kind == MLN_PROXY_RECORD) {
        proxy_records_take(p->records, mln_bytes_at(message->bytes, message->n));
    }
}

static void dial_workload(struct proxy *p)
{
    static const struct mln_resolved none = {0};
    struct mln_proxy_message answer = {.kind = MLN_PROXY_DIALLED};
    int fd = proxy_dial(&p->workload, &none, 0, &answer.error);
    tell(p, KEEPER, &answer, &fd, fd >= 0 ? 1 : 0);
    mln_fd_drop(&fd);
}

static void say_ready(struct proxy *p)
{
    for (size_t i = 0; i < p->config.n_listeners && !p->is_ready; i++) {
        const struct mln_proxy_listener *l = &p->config.listeners[i];
        (void)printf("%s: %s on %s, %s to %s\n", l->name, l->side == MLN_PROXY_SERVER ? "mTLS" : "plain", p->urls[i],
                     l->side == MLN_PROXY_SERVER ? "plain" : "mTLS", l->target);
    }
    if (!p->is_ready) {
        if (p->metrics_url != NULL) {
            (void)printf("metrics: %s/metrics\n", p->metrics_url);
        }
        (void)printf("ready\n");
        (void)fflush(stdout);
        p->is_ready = true;
    }
}

static void take_from_keeper(struct proxy *p, const struct mln_proxy_message *message, int *fds, unsigned n)
{
    if (message->kind == MLN_PROXY_DIAL) {
        dial_workload(p);
    } else if (message->kind == MLN_PROXY_IDENTITY && n == 1) {
        mln_fd_drop(&p->snapshot_fd);
        p->snapshot_fd = fds[0];
        fds[0] = -1;
        atomic_store(&p->not_after_s, (int64_t)message->number);
        tell_snapshot(p);
        say_ready(p);
    } else if (message->kind == MLN_PROXY_WITHDRAW) {
        mln_fd_drop(&p->snapshot_fd);
        atomic_store(&p->not_after_s, 0);
        tell_snapshot(p);
    } else if (message->kind == MLN_PROXY_TOKEN && p->post != NULL) {
        proxy_post_token(p->post, mln_bytes_at(message->bytes, message->n));
    }
}

/* The thread that posts cannot ask the keeper itself. */
static void ask_token(struct proxy *p)
{
    struct mln_proxy_message message = {.kind = MLN_PROXY_ASK_TOKEN};
    struct mln_bytes audience = mln_bytes_of(p->config.evidence.audience);
    if (p->post == NULL || p->children[KEEPER].fd < 0 || !p->is_ready || !proxy_post_wants_token(p->post)) {
        return;
    }
    message.n = (uint32_t)audience.len;
    mln_copy(message.bytes, audience.ptr, audience.len);
    tell(p, KEEPER, &message, NULL, 0);
}

/* All that is there now. */
static void hear(struct proxy *p, enum who who)
{
    static struct mln_proxy_message message;
    int fds[MLN_PROXY_THREADS_MAX];
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    while (p->children[who].fd >= 0) {
        unsigned n = 0;
        struct mln_err err = mln_proxy_receive(&cx, p->children[who].fd, true, &message, fds, &n);
        if (mln_is(err, MLN_E_UNREACHABLE)) {
            mln_fd_drop(&p->children[who].fd);
        }
        if (mln_failed(err)) {
            return;
        }
        if (who == RELAY) {
            take_from_relay(p, &message);
        } else {
            take_from_keeper(p, &message, fds, n);
        }
        mln_wipe(message.bytes, message.n); /* a JWT-SVID, it may be */
        for (unsigned i = 0; i < n; i++) {
            mln_fd_drop(&fds[i]);
        }
    }
}

/* ---- signals ---- */

static void reap(struct proxy *p)
{
    int status = 0;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (int who = KEEPER; who < CHILDREN; who++) {
            struct child *child = &p->children[who];
            if (child->pid != pid) {
                continue;
            }
            child->pid = 0;
            hear(p, (enum who)who); /* what it said last is still there */
            child->due_ns = mln_mono_ns() + AGAIN_NS;
            mln_fd_drop(&child->fd);
            if (!p->is_stopping) {
                mln_log(MLN_LOG_ERROR, "proxy", "%s ended (%s %d), another is started", names[who],
                        WIFSIGNALED(status) ? "signal" : "code", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            }
        }
    }
}

static void stop(struct proxy *p)
{
    struct mln_proxy_message message = {.kind = MLN_PROXY_STOP, .number = p->is_stopping ? 0 : (uint64_t)p->config.limits.drain_s};
    p->leave_ns = mln_mono_ns() + (int64_t)message.number * SECOND_NS + LEAVE_NS;
    p->is_stopping = true;
    for (size_t i = 0; i < p->config.n_listeners; i++) {
        (void)shutdown(p->listen_fds[i], SHUT_RDWR); /* relay's too: who comes now hears no at once */
    }
    mln_log(MLN_LOG_INFO, "proxy", "connections may end within %llu s", (unsigned long long)message.number);
    tell(p, RELAY, &message, NULL, 0);
}

static void take_signal(struct proxy *p)
{
    struct signalfd_siginfo info;
    while (read(p->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD) {
            reap(p);
        } else if (info.ssi_signo == SIGHUP) {
            proxy_records_reopen(p->records);
        } else {
            stop(p);
        }
    }
}

static void serve(struct proxy *p)
{
    while (!p->is_stopping || (p->children[RELAY].pid != 0 && mln_mono_ns() < p->leave_ns)) {
        start_due(p);
        struct pollfd fds[] = {{.fd = p->signals, .events = POLLIN},
                               {.fd = p->children[KEEPER].fd, .events = POLLIN},
                               {.fd = p->children[RELAY].fd, .events = POLLIN}};
        (void)poll(fds, MLN_COUNT(fds), TURN_MS);
        hear(p, KEEPER);
        hear(p, RELAY);
        take_signal(p);
        ask_token(p);
    }
    for (int who = KEEPER; who < CHILDREN; who++) {
        hear(p, (enum who)who);
        mln_fd_drop(&p->children[who].fd); /* what still runs ends */
    }
}

/* ---- start ---- */

static struct mln_err load(struct proxy *p, const struct mln_proxy_options *o)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_value *all = NULL;
    if (o->config_file == NULL) {
        MLN_TRY(proxy_config_of_flags(&p->cx, o, &p->all));
    } else {
        struct mln_bytes name = mln_bytes_of(o->config_file);
        bool is_yaml = mln_bytes_ends(name, MLN_BYTES(".yaml")) || mln_bytes_ends(name, MLN_BYTES(".yml"));
        if (o->listen != NULL || o->target != NULL || mln_len(o->allow) > 0 || mln_len(o->server_ids) > 0 || mln_len(o->alpn) > 0) {
            return mln_fail(&p->cx, MLN_E_USAGE, "listeners are in the file of --config, or one in flags");
        }
        MLN_TRY(mln_file_read_all(&p->cx, o->config_file, PROXY_CONFIG_MAX, &text));
        MLN_TRY(proxy_config_parse(&p->cx, mln_bytes_dup(&p->cx, mln_buf_bytes(&text)), is_yaml, &p->all));
    }
    all = mln_value_dup(&p->cx, p->all);
    const char *const more[][2] = {{"workload_socket", o->workload_socket},
                                   {"spiffe_id", o->spiffe_id},
                                   {"records", o->records},
                                   {"metrics", o->metrics}};
    for (size_t i = 0; i < MLN_COUNT(more) && mln_type_of(all) == MLN_OBJECT; i++) {
        if (more[i][1] != NULL) {
            mln_put_text(&p->cx, all, more[i][0], more[i][1]);
        }
    }
    p->all = all;
    return proxy_config_read(&p->cx, all, &p->config);
}

static struct mln_err find_workload(struct proxy *p, const char *environment)
{
    const char *given = p->config.workload_socket != NULL ? p->config.workload_socket : environment;
    if (given == NULL) {
        return mln_fail(&p->cx, MLN_E_USAGE, "say where the Workload API is: --workload-socket unix:///PATH, or SPIFFE_ENDPOINT_SOCKET");
    }
    const char *text = given[0] == '/' ? mln_text_format(&p->cx, "unix:%s", given) : given;
    MLN_TRY(proxy_place_parse(&p->cx, text, &p->workload));
    return p->workload.is_unix ? MLN_OK : mln_fail(&p->cx, MLN_E_INVALID, "the Workload API must be at a Unix socket, not at %s", given);
}

static struct mln_err open_listener(struct proxy *p, size_t i)
{
    const struct mln_proxy_listener *l = &p->config.listeners[i];
    struct proxy_place place;
    MLN_TRY(proxy_place_parse(&p->cx, l->target, &p->targets[i].place));
    MLN_TRY(proxy_place_parse(&p->cx, l->listen, &place));
    if (place.is_unix) {
        p->urls[i] = l->listen;
        return unix_socket_open(&p->cx, place.path, l->socket_mode, &p->listen_fds[i]);
    }
    MLN_TRY(server_listen(&p->cx, l->listen, &p->listen_fds[i], &p->urls[i]));
    p->urls[i] += sizeof("http://") - 1;
    int one = 1; /* inherited by what is accepted */
    (void)setsockopt(p->listen_fds[i], SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    (void)setsockopt(p->listen_fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return MLN_OK;
}

static struct mln_err open_signals(struct proxy *p)
{
    static const int taken[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < MLN_COUNT(taken); i++) {
        (void)sigaddset(&set, taken[i]);
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    p->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return p->signals >= 0 ? MLN_OK : mln_fail(&p->cx, MLN_E_IO, "no descriptor for signals (errno %d)", errno);
}

static struct mln_err open_counters(struct proxy *p)
{
    p->counters_fd = memfd_create("merlon-counters", MFD_CLOEXEC);
    if (p->counters_fd < 0 || ftruncate(p->counters_fd, sizeof(struct mln_proxy_counters)) != 0) {
        return mln_fail(&p->cx, MLN_E_IO, "no memory file for counters (errno %d)", errno);
    }
    void *page = mmap(NULL, sizeof(struct mln_proxy_counters), PROT_READ | PROT_WRITE, MAP_SHARED, p->counters_fd, 0);
    if (page == MAP_FAILED) {
        return mln_fail(&p->cx, MLN_E_IO, "counters cannot be mapped (errno %d)", errno);
    }
    p->counters = page;
    return MLN_OK;
}

static struct mln_err prepare(struct proxy *p, const struct mln_proxy_options *o)
{
    if (!mln_log_level_parse(mln_bytes_of(o->log_level), &p->level)) {
        return mln_fail(&p->cx, MLN_E_USAGE, "--log-level must be error, warn, info or debug");
    }
    p->is_json = mln_bytes_is(mln_bytes_of(o->log_format), "json");
    mln_log_setup("proxy", p->level, p->is_json ? MLN_LOG_JSON : MLN_LOG_TEXT);
    MLN_TRY(load(p, o));
    MLN_TRY(find_workload(p, o->workload_environment));
    raise_descriptors();
    MLN_TRY(open_signals(p));
    MLN_TRY(open_counters(p));
    if (p->config.evidence.url != NULL) {
        MLN_TRY(proxy_post_new(&p->cx, &p->config.evidence, &p->post));
    }
    MLN_TRY(proxy_records_new(&p->cx, &p->config, p->post, &p->records));
    for (size_t i = 0; i < p->config.n_listeners; i++) {
        MLN_TRY(open_listener(p, i));
        if (!p->targets[i].place.is_unix) {
            resolve_one(p, &p->targets[i]);
        }
    }
    if (p->config.metrics != NULL) {
        MLN_TRY(proxy_metrics_start(&p->cx, p->config.metrics, p->counters, &p->not_after_s, &p->metrics_url));
    }
    return pthread_create(&p->resolver, NULL, resolver_main, p) == 0 ? MLN_OK
                                                                     : mln_fail(&p->cx, MLN_E_MEMORY, "a thread cannot be started");
}

static void close_listeners(struct proxy *p)
{
    for (size_t i = 0; i < p->config.n_listeners; i++) {
        struct proxy_place place;
        if (p->listen_fds[i] >= 0 && !mln_failed(proxy_place_parse(&p->cx, p->config.listeners[i].listen, &place)) && place.is_unix) {
            workload_socket_close(place.path, &p->listen_fds[i]);
        }
        mln_fd_drop(&p->listen_fds[i]);
    }
}

int proxy_run(const struct mln_proxy_options *options)
{
    static struct proxy proxy;
    struct proxy *p = &proxy;
    int code = 0;
    *p = (struct proxy){.counters_fd = -1, .snapshot_fd = -1, .signals = -1, .children = {{.fd = -1}, {.fd = -1}}};
    for (size_t i = 0; i < MLN_COUNT(p->listen_fds); i++) {
        p->listen_fds[i] = -1;
    }
    harden_process();
    (void)pthread_mutex_init(&p->lock, NULL);
    mln_cx_init(&p->cx, mln_arena_new(ARENA_BYTES, false));
    struct mln_err err = p->cx.arena != NULL ? prepare(p, options) : (struct mln_err){MLN_E_MEMORY};
    if (mln_failed(err)) {
        (void)fprintf(stderr, "merlon: error: %s\n", p->cx.text[0] != 0 ? p->cx.text : mln_err_text(err.code));
        code = mln_err_exit(err.code);
    } else {
        serve(p);
    }
    close_listeners(p);
    proxy_records_free(p->records);
    proxy_post_free(p->post);
    return code;
}
