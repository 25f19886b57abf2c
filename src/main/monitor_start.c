/* SPDX-License-Identifier: Apache-2.0 */
/* How core, front, reach and attest are started, and which sockets each is given. */
#include "main/monitor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "main/main_priv.h"
#include "net/peer_link.h"

static const char *core_name(const struct monitor *m)
{
    return m->config->core_name != NULL ? m->config->core_name : "merlon-core";
}

struct mln_err monitor_start_core(struct monitor *m)
{
    int pair[2] = {-1, -1};
    MLN_TRY(control_pair(&m->cx, pair));
    MLN_AUTO(mln_fd_drop) int theirs = pair[1];
    const int fds[] = {m->config->core_boot, theirs};
    m->control_fd = pair[0];
    struct mln_err err = spawn(&m->cx, core_name(m), fds, MLN_COUNT(fds), &m->core.pid);
    if (mln_failed(err)) {
        mln_fd_drop(&m->control_fd);
        return err;
    }
    m->core.started_ns = mln_mono_ns();
    m->core_ready = false;
    struct control_message start = {.kind = CONTROL_START, .number = m->was_unsealed ? 0 : 1};
    monitor_complain(m, control_send(&m->cx, m->control_fd, &start), "core does not hear");
    monitor_rekey_core(m);
    monitor_send_state(m, "box", &m->box_line);
    if (m->reach.pid > 0) {
        (void)kill(m->reach.pid, SIGKILL); /* its socket leads to the core that died */
    }
    if (m->attest.pid > 0) {
        (void)kill(m->attest.pid, SIGKILL); /* the same */
    }
    return MLN_OK;
}

static void rings_close(struct mln_ring_fds *rings, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        mln_ring_fds_close(&rings[i]);
    }
}

/* Front's end goes with front. */
static void use_link(struct monitor *m, int link[2])
{
    mln_fd_drop(&link[1]);
    if (m->peers != NULL) {
        mln_fd_drop(&m->link_fd);
        m->link_fd = link[0];
        peers_set_front(m->peers, m->link_fd);
    }
}

/* Descriptors of front in their order: see main_priv.h. */
static struct mln_err spawn_front(struct monitor *m, const struct mln_ring_fds *rings)
{
    const struct monitor_config *config = m->config;
    int fds[4 + MLN_FRONT_LISTENERS_MAX + 3 * CONTROL_RINGS_MAX];
    int stop[2] = {-1, -1}, state[2] = {-1, -1}, link[2] = {-1, -1};
    unsigned n = 0;
    if (m->peers != NULL) {
        MLN_TRY(mln_peer_link_pair(&m->cx, link));
    }
    if (pipe2(stop, O_CLOEXEC) != 0 || pipe2(state, O_CLOEXEC) != 0) {
        mln_fd_drop(&stop[0]);
        mln_fd_drop(&stop[1]);
        mln_fd_drop(&link[0]);
        mln_fd_drop(&link[1]);
        return mln_fail(&m->cx, MLN_E_IO, "no pipe for front (errno %d)", errno);
    }
    fds[n++] = config->front_boot;
    fds[n++] = stop[0];
    fds[n++] = state[1];
    if (link[1] >= 0) {
        fds[n++] = link[1];
    }
    for (unsigned i = 0; i < config->n_listeners; i++) {
        fds[n++] = config->listeners[i];
    }
    for (unsigned i = 0; i < config->n_rings; i++) {
        fds[n++] = rings[i].memfd;
        fds[n++] = rings[i].bell_core;
        fds[n++] = rings[i].bell_front;
    }
    struct mln_err err = spawn(&m->cx, "merlon-front", fds, n, &m->front.pid);
    mln_fd_drop(&stop[0]);
    mln_fd_drop(&state[1]);
    mln_fd_drop(&m->stop_fd);
    mln_fd_drop(&m->state_fd);
    m->stop_fd = stop[1];
    m->state_fd = state[0];
    use_link(m, link);
    return err;
}

struct mln_err monitor_start_front(struct monitor *m)
{
    struct mln_ring_fds rings[CONTROL_RINGS_MAX];
    unsigned n = 0;
    struct mln_err err = MLN_OK;
    while (n < m->config->n_rings && !mln_failed(err)) {
        err = mln_ring_create(&m->cx, &rings[n]);
        n += mln_failed(err) ? 0 : 1;
    }
    if (!mln_failed(err)) {
        err = control_send_rings(&m->cx, m->control_fd, ++m->generation, rings, n);
    }
    err = mln_failed(err) ? err : spawn_front(m, rings);
    rings_close(rings, n);
    m->front.started_ns = mln_mono_ns();
    m->front_ready = false;
    return err;
}

/* Core gets one end of a socket, reach the other: what they say to each other is no business of monitor's. */
struct mln_err monitor_start_reach(struct monitor *m)
{
    int pair[2] = {-1, -1}, state[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
        pipe2(state, O_CLOEXEC) != 0) {
        mln_fd_drop(&pair[0]);
        mln_fd_drop(&pair[1]);
        return mln_fail(&m->cx, MLN_E_IO, "no socket for reach (errno %d)", errno);
    }
    const int fds[] = {m->config->reach_boot, pair[1], state[1]};
    struct mln_err err = control_send_socket(&m->cx, m->control_fd, CONTROL_REACH, pair[0]);
    err = mln_failed(err) ? err : spawn(&m->cx, "merlon-reach", fds, MLN_COUNT(fds), &m->reach.pid);
    mln_fd_drop(&pair[0]);
    mln_fd_drop(&pair[1]);
    mln_fd_drop(&state[1]);
    mln_fd_drop(&m->reach_state_fd);
    m->reach_state_fd = state[0];
    m->reach.started_ns = mln_mono_ns();
    return err;
}

/* To core it tells what it found, from us it hears what to look at. */
struct mln_err monitor_start_attest(struct monitor *m)
{
    int core[2] = {-1, -1}, ours[2] = {-1, -1}, state[2] = {-1, -1};
    struct mln_err err = control_pair(&m->cx, core);
    err = mln_failed(err) ? err : control_pair(&m->cx, ours);
    if (!mln_failed(err) && pipe2(state, O_CLOEXEC) != 0) {
        err = mln_fail(&m->cx, MLN_E_IO, "no pipe for attest (errno %d)", errno);
    }
    err =
        mln_failed(err) ? err : control_send_socket(&m->cx, m->control_fd, CONTROL_ATTEST, core[0]);
    const int fds[] = {m->config->attest_boot, core[1], state[1], ours[1]};
    err =
        mln_failed(err) ? err : spawn(&m->cx, "merlon-attest", fds, MLN_COUNT(fds), &m->attest.pid);
    mln_fd_drop(&core[0]);
    mln_fd_drop(&core[1]);
    mln_fd_drop(&ours[1]);
    mln_fd_drop(&state[1]);
    mln_fd_drop(&m->attest_state_fd);
    mln_fd_drop(&m->attest_fd);
    m->attest_state_fd = state[0];
    m->attest_fd = ours[0];
    m->attest.started_ns = mln_mono_ns();
    peers_set_attest(m->peers, m->attest.pid > 0 ? m->attest_fd : -1);
    return err;
}
