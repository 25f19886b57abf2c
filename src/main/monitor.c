/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See monitor.h. One loop over signals (a signalfd), core's socket and front's line about its
 * sandbox. What died is found by waitpid; step() starts what should run and does not.
 */
#include "main/monitor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "main/main_priv.h"
#include "net/peer_link.h"

#define MS_NS          ((int64_t)1000000)
#define MINUTE_NS      (60000 * MS_NS)
#define QUICK_NS       (1000 * MS_NS) /* a child that lived shorter died at its start */
#define QUICK_MAX      20u            /* such deaths in a row, then restarts slow down */
#define SLOW_NS        (500 * MS_NS)
#define BOX_AGAIN_NS   (10000 * MS_NS)
#define CORE_TRIES     5u              /* starts of core that never got ready, then we give up */
#define FRONT_STOP_NS  (12000 * MS_NS) /* its own grace is 10 s */
#define CORE_STOP_NS   (20000 * MS_NS)
#define PAGE_BYTES     4096u

void monitor_complain(struct monitor *m, struct mln_err err, const char *what)
{
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "main", &m->cx, what);
    }
    mln_cx_clear(&m->cx);
}

/* ---- the root key ---- */

static void forget_root(struct monitor *m)
{
    mln_secret_drop(&m->root);
}

/* The key's page is not given to children: between fork and exec they have no use for it. */
static void keep_root(struct monitor *m, struct mln_bytes key)
{
    forget_root(m);
    m->was_unsealed = m->was_unsealed || key.len > 0;
    if (key.len == 0 || m->config->rekey_per_minute == 0) {
        return;
    }
    struct mln_err err = mln_secret_from(&m->cx, key, &m->root);
    if (!mln_failed(err)) {
        uintptr_t page = (uintptr_t)m->root.ptr & ~(uintptr_t)(PAGE_BYTES - 1);
        size_t n = (uintptr_t)m->root.ptr + m->root.len - page;
        (void)madvise((void *)page, n, MADV_DONTFORK);
    }
    monitor_complain(m, err, "the root key cannot be kept: a crashed core stays sealed");
}

static bool may_rekey(struct monitor *m)
{
    int64_t now = mln_mono_ns();
    size_t most =
        m->config->rekey_per_minute < REKEYS_KEPT ? m->config->rekey_per_minute : REKEYS_KEPT;
    size_t recent = 0;
    for (size_t i = 0; i < m->n_rekeys; i++) {
        if (now - m->rekeys[i] < MINUTE_NS) {
            m->rekeys[recent++] = m->rekeys[i];
        }
    }
    m->n_rekeys = recent;
    if (recent >= most) {
        return false;
    }
    m->rekeys[m->n_rekeys++] = now;
    return true;
}

void monitor_rekey_core(struct monitor *m)
{
    if (m->root.ptr == NULL) {
        return;
    }
    if (!may_rekey(m)) {
        mln_log(MLN_LOG_ERROR, "main", "core died %u times within a minute: it stays sealed",
                m->config->rekey_per_minute + 1);
        forget_root(m);
        return;
    }
    struct control_message *message = &m->message;
    *message = (struct control_message){.kind = CONTROL_REKEY, .n = (uint32_t)m->root.len};
    mln_copy(message->bytes, m->root.ptr, m->root.len);
    monitor_complain(m, control_send(&m->cx, m->control_fd, message), "core cannot be re-keyed");
    mln_wipe(message, sizeof(*message));
}

/* ---- what processes say of themselves ---- */

void monitor_send_state(struct monitor *m, const char *process, const struct line *line)
{
    struct control_message message = {.kind = CONTROL_STATE, .n = line->len};
    if (line->len == 0 || m->control_fd < 0) {
        return;
    }
    (void)snprintf(message.text, sizeof(message.text), "%s", process);
    mln_copy(message.bytes, line->bytes, line->len);
    monitor_complain(m, control_send(&m->cx, m->control_fd, &message), "core does not hear");
}

static void announce(struct monitor *m)
{
    if (m->core_ready && m->front_ready && !m->was_announced) {
        m->was_announced = true;
        m->config->ready(m->config->arg, m->is_sealed, m->vkey, m->token != NULL ? m->token : "");
    }
    if (m->was_announced && m->token != NULL) {
        mln_free_wiped(m->token, mln_bytes_of(m->token).len);
        m->token = NULL;
    }
}

/* Front's line comes when all its threads are inside their sandbox and answer. */
static void hear_front(struct monitor *m)
{
    struct line line = {0};
    ssize_t n = read(m->state_fd, line.bytes, sizeof(line.bytes));
    mln_fd_drop(&m->state_fd);
    if (n > 0) {
        line.len = (uint32_t)n;
        m->front_line = line;
        m->front_ready = true;
        monitor_send_state(m, "front", &line);
        announce(m);
    }
}

static void hear_attest(struct monitor *m)
{
    struct line line = {0};
    ssize_t n = read(m->attest_state_fd, line.bytes, sizeof(line.bytes));
    mln_fd_drop(&m->attest_state_fd);
    if (n > 0) {
        line.len = (uint32_t)n;
        monitor_send_state(m, "attest", &line);
    }
}

static void hear_reach(struct monitor *m)
{
    struct line line = {0};
    ssize_t n = read(m->reach_state_fd, line.bytes, sizeof(line.bytes));
    mln_fd_drop(&m->reach_state_fd);
    if (n > 0) {
        line.len = (uint32_t)n;
        m->reach_line = line;
        monitor_send_state(m, "reach", &line);
    }
}

/* ---- box ---- */

static void start_box(struct monitor *m)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    struct mln_box_config config = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    m->box_due_ns = mln_mono_ns() + BOX_AGAIN_NS;
    if (arena == NULL || mln_failed(mln_box_start(&cx, &config, &m->box))) {
        mln_log_fault(MLN_LOG_ERROR, "main", &cx, "the box cannot be started");
        m->box = NULL;
        return;
    }
    const struct mln_value *state = mln_box_state(&cx, m->box);
    int n = snprintf((char *)m->box_line.bytes, sizeof(m->box_line.bytes),
                     "{\"seccomp\":%s,\"landlock\":%s,\"landlock_abi\":%d}",
                     mln_get_bool(mln_get(state, "seccomp"), false) ? "true" : "false",
                     mln_get_bool(mln_get(state, "landlock"), false) ? "true" : "false",
                     (int)mln_get_int(mln_get(state, "abi"), 0));
    m->box_line.len = n > 0 && (size_t)n < sizeof(m->box_line.bytes) ? (uint32_t)n : 0;
    monitor_send_state(m, "box", &m->box_line);
}

/* Its zombie is the box's own to reap. */
static void check_box(struct monitor *m)
{
    siginfo_t info = {0};
    if (m->box == NULL) {
        return;
    }
    int rc = waitid(P_PID, (id_t)mln_box_pid(m->box), &info, WEXITED | WNOHANG | WNOWAIT);
    if ((rc == 0 && info.si_pid != 0) || (rc != 0 && errno == ECHILD)) {
        mln_log(MLN_LOG_WARN, "main", "the box died");
        mln_box_drop(&m->box);
        m->box_due_ns = mln_mono_ns();
    }
}

/* When may it be started again? At once, unless it keeps dying at its start. */
static void plan_restart(struct child *child)
{
    int64_t now = mln_mono_ns();
    child->quick = now - child->started_ns < QUICK_NS ? child->quick + 1 : 0;
    child->due_ns = child->quick > QUICK_MAX ? now + SLOW_NS : now;
    child->pid = 0;
}

/* ---- messages of core ---- */

static void take_ready(struct monitor *m)
{
    struct control_message *message = &m->message;
    m->core_ready = true;
    m->core.quick = 0;
    m->is_sealed = message->number != 0;
    (void)snprintf(m->vkey, sizeof(m->vkey), "%s", message->text);
    if (message->n > 0 && !m->was_announced) {
        m->token = mln_alloc(message->n + 1);
        if (m->token != NULL) {
            mln_copy(m->token, message->bytes, message->n);
        }
    }
    announce(m);
}

static void take_drop(struct monitor *m, uint64_t generation)
{
    if (generation == m->generation && m->front.pid > 0) {
        mln_log(MLN_LOG_ERROR, "main", "front broke its ring: it is replaced");
        (void)kill(m->front.pid, SIGKILL);
    }
}

static void hear_core(struct monitor *m)
{
    struct control_fds fds;
    while (m->control_fd >= 0) {
        struct control_message *message = &m->message;
        struct mln_err err = control_receive(&m->cx, m->control_fd, true, message, &fds);
        if (mln_failed(err)) {
            if (!mln_is(err, MLN_E_NOT_FOUND)) {
                mln_fd_drop(&m->control_fd);
                mln_cx_clear(&m->cx);
            }
            return;
        }
        control_fds_close(&fds);
        if (message->kind == CONTROL_READY) {
            take_ready(m);
        } else if (message->kind == CONTROL_ROOT) {
            keep_root(m, mln_bytes_at(message->bytes, message->n));
        } else if (message->kind == CONTROL_DROP) {
            take_drop(m, message->number);
        }
        mln_wipe(message, sizeof(*message));
    }
}

/* ---- ends ---- */

static void core_ended(struct monitor *m, int status)
{
    bool was_ready = m->core_ready;
    hear_core(m); /* what it said last: perhaps the root key */
    mln_fd_drop(&m->control_fd);
    m->core_ready = false;
    plan_restart(&m->core);
    if (m->phase != PHASE_RUN) {
        bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        m->code = is_clean || m->code != 0 ? m->code : 1;
        return;
    }
    mln_log(MLN_LOG_ERROR, "main", "core ended (%s %d)", WIFEXITED(status) ? "exit" : "signal",
            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    if (m->front.pid > 0) {
        (void)kill(m->front.pid, SIGKILL); /* its rings lead nowhere now */
        m->is_front_killed = true;
    }
    if (!was_ready && (!m->was_announced || m->core.quick > CORE_TRIES)) {
        m->code = WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1;
        m->phase = PHASE_STOP_FRONT;
        m->deadline_ns = mln_mono_ns();
    }
}

static void front_ended(struct monitor *m, int status)
{
    if (!m->is_front_killed && m->phase == PHASE_RUN) {
        mln_log(MLN_LOG_ERROR, "main", "front ended (%s %d)", WIFEXITED(status) ? "exit" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    mln_fd_drop(&m->stop_fd);
    mln_fd_drop(&m->state_fd);
    if (m->peers != NULL) {
        peers_set_front(m->peers, -1);
        mln_fd_drop(&m->link_fd);
    }
    m->front_ready = m->is_front_killed = false;
    plan_restart(&m->front);
}

/* With its core it ends by itself, and that is no news. */
static void reach_ended(struct monitor *m, int status)
{
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_clean && m->phase == PHASE_RUN) {
        mln_log(MLN_LOG_ERROR, "main", "reach ended (%s %d)", WIFEXITED(status) ? "exit" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    mln_fd_drop(&m->reach_state_fd);
    plan_restart(&m->reach);
}

static void attest_ended(struct monitor *m, int status)
{
    bool is_clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!is_clean && m->phase == PHASE_RUN) {
        mln_log(MLN_LOG_ERROR, "main", "attest ended (%s %d)", WIFEXITED(status) ? "exit" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    }
    peers_set_attest(m->peers, -1);
    mln_fd_drop(&m->attest_state_fd);
    mln_fd_drop(&m->attest_fd);
    plan_restart(&m->attest);
}

static void reap(struct monitor *m)
{
    int status = 0;
    if (m->attest.pid > 0 && waitpid(m->attest.pid, &status, WNOHANG) == m->attest.pid) {
        attest_ended(m, status);
    }
    if (m->reach.pid > 0 && waitpid(m->reach.pid, &status, WNOHANG) == m->reach.pid) {
        reach_ended(m, status);
    }
    if (m->core.pid > 0 && waitpid(m->core.pid, &status, WNOHANG) == m->core.pid) {
        core_ended(m, status);
    }
    if (m->front.pid > 0 && waitpid(m->front.pid, &status, WNOHANG) == m->front.pid) {
        front_ended(m, status);
    }
    check_box(m);
}

/* ---- stopping ---- */

/* Front first: it finishes what is in flight, for which core has to be there. */
static void begin_stop(struct monitor *m)
{
    if (m->phase == PHASE_RUN) {
        mln_log(MLN_LOG_INFO, "main", "stopping");
        m->phase = PHASE_STOP_FRONT;
        m->deadline_ns = mln_mono_ns() + FRONT_STOP_NS;
    } else {
        m->deadline_ns = mln_mono_ns(); /* asked twice: at once */
    }
    mln_fd_drop(&m->stop_fd);
}

static void step_stop(struct monitor *m)
{
    bool is_late = mln_mono_ns() >= m->deadline_ns;
    if (m->phase == PHASE_STOP_FRONT) {
        if (m->front.pid > 0) {
            (void)(is_late ? kill(m->front.pid, SIGKILL) : 0);
            return;
        }
        struct control_message message = {.kind = CONTROL_STOP};
        if (m->control_fd >= 0) {
            monitor_complain(m, control_send(&m->cx, m->control_fd, &message),
                             "core does not hear");
        }
        m->phase = PHASE_STOP_CORE;
        m->deadline_ns = mln_mono_ns() + CORE_STOP_NS;
    } else if (m->core.pid > 0) {
        (void)(is_late ? kill(m->core.pid, SIGKILL) : 0);
    } else if (m->reach.pid > 0) {
        (void)kill(m->reach.pid, SIGKILL); /* it holds nothing that wants an end */
    } else if (m->attest.pid > 0) {
        (void)kill(m->attest.pid, SIGKILL); /* the same */
    } else {
        m->phase = PHASE_END;
    }
}

/* ---- the loop ---- */

static void step_run(struct monitor *m)
{
    int64_t now = mln_mono_ns();
    if (m->core.pid == 0 && now >= m->core.due_ns) {
        monitor_complain(m, monitor_start_core(m), "core cannot be started");
        m->core.due_ns = now + SLOW_NS;
    }
    if (m->core.pid > 0 && m->front.pid == 0 && now >= m->front.due_ns) {
        monitor_complain(m, monitor_start_front(m), "front cannot be started");
        m->front.due_ns = now + SLOW_NS;
    }
    if (!m->config->is_node && m->core.pid > 0 && m->reach.pid == 0 && now >= m->reach.due_ns) {
        monitor_complain(m, monitor_start_reach(m), "reach cannot be started");
        m->reach.due_ns = now + SLOW_NS;
    }
    if (m->peers != NULL && m->core.pid > 0 && m->attest.pid == 0 && now >= m->attest.due_ns) {
        monitor_complain(m, monitor_start_attest(m), "attest cannot be started");
        m->attest.due_ns = now + SLOW_NS;
    }
    if (!m->config->is_node && m->box == NULL && now >= m->box_due_ns) {
        start_box(m);
    }
}

static void take_signals(struct monitor *m)
{
    struct signalfd_siginfo info;
    while (read(m->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) {
            begin_stop(m);
        } else if (info.ssi_signo == SIGHUP && m->control_fd >= 0 && m->phase == PHASE_RUN) {
            struct control_message message = {.kind = CONTROL_REOPEN};
            monitor_complain(m, control_send(&m->cx, m->control_fd, &message),
                             "core does not hear");
        }
    }
}

static void step_peers(struct monitor *m)
{
    if (m->peers != NULL) {
        m->peers_again = peers_step(m->peers, &m->cx);
    }
}

static int wait_ms(const struct monitor *m)
{
    bool is_whole = m->phase == PHASE_RUN && m->core.pid > 0 && m->front.pid > 0 &&
                    (m->config->is_node || (m->reach.pid > 0 && m->box != NULL)) &&
                    (m->peers == NULL || m->attest.pid > 0);
    return m->peers_again ? 10 : is_whole ? -1 : 50;
}

static void wait_for_news(struct monitor *m)
{
    bool has_peers = m->peers != NULL && m->phase == PHASE_RUN;
    struct pollfd fds[] = {
        {.fd = m->signal_fd, .events = POLLIN},
        {.fd = m->control_fd, .events = POLLIN},
        {.fd = m->state_fd, .events = POLLIN},
        {.fd = m->reach_state_fd, .events = POLLIN},
        {.fd = m->attest_state_fd, .events = POLLIN},
        {.fd = has_peers ? peers_listener(m->peers) : -1, .events = POLLIN},
        {.fd = has_peers ? peers_link(m->peers) : -1, .events = POLLIN},
    };
    (void)poll(fds, MLN_COUNT(fds), wait_ms(m));
    if (fds[0].revents != 0) {
        take_signals(m);
    }
    if (fds[1].revents != 0) {
        hear_core(m);
    }
    if (fds[2].revents != 0 && m->state_fd >= 0) {
        hear_front(m);
    }
    if (fds[3].revents != 0 && m->reach_state_fd >= 0) {
        hear_reach(m);
    }
    if (fds[4].revents != 0 && m->attest_state_fd >= 0) {
        hear_attest(m);
    }
    if (has_peers) {
        step_peers(m);
    }
    reap(m);
}

/* Signals become readable. That of a broken pipe means nothing here. */
static struct mln_err catch_signals(struct monitor *m)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
    static const int ignored[] = {SIGPIPE};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < MLN_COUNT(ignored); i++) {
        (void)sigaction(ignored[i], &ignore, NULL);
    }
    for (size_t i = 0; i < MLN_COUNT(caught); i++) {
        (void)sigaction(caught[i], &usual, NULL);
        (void)sigaddset(&set, caught[i]);
    }
    m->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (m->signal_fd < 0 || sigprocmask(SIG_SETMASK, &set, NULL) != 0) {
        return mln_fail(&m->cx, MLN_E_IO, "signals cannot be caught (errno %d)", errno);
    }
    return MLN_OK;
}

/* The box before any key exists; the terminal's signals are not for it. */
static void start_first_box(struct monitor *m)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGINT, &ignore, NULL);
    (void)sigaction(SIGTERM, &ignore, NULL);
    if (!m->config->is_node) {
        start_box(m);
    }
}

static void finish(struct monitor *m)
{
    forget_root(m);
    mln_wipe(&m->message, sizeof(m->message));
    mln_box_drop(&m->box);
    mln_fd_drop(&m->signal_fd);
    mln_fd_drop(&m->control_fd);
    mln_fd_drop(&m->state_fd);
    mln_fd_drop(&m->reach_state_fd);
    mln_fd_drop(&m->stop_fd);
    mln_fd_drop(&m->attest_fd);
    mln_fd_drop(&m->attest_state_fd);
    mln_fd_drop(&m->link_fd);
    peers_free(m->peers);
    mln_free(m->token);
}

int monitor_run(const struct monitor_config *config)
{
    static struct monitor m;
    m = (struct monitor){
        .config = config, .signal_fd = -1, .control_fd = -1, .state_fd = -1, .reach_state_fd = -1, .stop_fd = -1,
        .attest_fd = -1, .attest_state_fd = -1, .link_fd = -1,
        .peers = config->workload >= 0 ? peers_new(config->workload) : NULL};
    MLN_CHECK(config->n_rings > 0 && config->n_rings <= CONTROL_RINGS_MAX);
    mln_cx_init(&m.cx, NULL);
    start_first_box(&m);
    struct mln_err err = catch_signals(&m);
    if (mln_failed(err)) {
        monitor_complain(&m, err, "monitor cannot start");
        finish(&m);
        return 1;
    }
    while (m.phase != PHASE_END) {
        if (m.phase == PHASE_RUN) {
            step_run(&m);
        } else {
            step_stop(&m);
        }
        if (m.phase != PHASE_END) {
            wait_for_news(&m);
        }
    }
    finish(&m);
    return m.code;
}
