/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics (Prometheus' text) and /healthz on loopback: one question a connection, one at a time, each within a second. */
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "main/main_priv.h"
#include "main/proxy_priv.h"
#include "net/http1.h"

#define SECOND_NS  ((int64_t)1000000000)
#define HEAD_BYTES 8192u
#define PAUSE_NS   (SECOND_NS / 20)

struct metrics {
    int fd;
    const struct mln_proxy_counters *counters;
    const _Atomic int64_t *not_after_s;
};

static void line(struct mln_buf *to, const char *name, const char *type, const char *help, uint64_t value)
{
    mln_buf_add_format(to, "# HELP merlon_proxy_%s %s\n# TYPE merlon_proxy_%s %s\n", name, help, name, type);
    mln_buf_add_format(to, "merlon_proxy_%s %llu\n", name, (unsigned long long)value);
}

void proxy_metrics_print(struct mln_buf *to, const struct mln_proxy_counters *c, int64_t not_after_s)
{
    line(to, "accepted_total", "counter", "Connections that were accepted.", atomic_load(&c->accepted));
    line(to, "opened_total", "counter", "Connections whose peer was authenticated and whose target answered.", atomic_load(&c->opened));
    line(to, "refused_total", "counter", "Connections that never opened.", atomic_load(&c->refused));
    line(to, "ended_total", "counter", "Connections that were open and ended.", atomic_load(&c->ended));
    line(to, "open_connections", "gauge", "Connections that are open.", atomic_load(&c->open));
    line(to, "handshakes", "gauge", "Handshakes that run.", atomic_load(&c->shaking));
    line(to, "peer_received_bytes_total", "counter", "Plaintext from peers.", atomic_load(&c->bytes_in));
    line(to, "peer_sent_bytes_total", "counter", "Plaintext to peers.", atomic_load(&c->bytes_out));
    line(to, "identities_total", "counter", "Snapshots of the Workload API that were taken into use.", atomic_load(&c->identities));
    line(to, "messages_waiting", "gauge", "Records and dials that monitor has not taken.", atomic_load(&c->records_waiting));
    line(to, "svid_expiry_seconds", "gauge", "When the SVID in use ends, in seconds since 1970; 0: there is none.",
         (uint64_t)(not_after_s > 0 ? not_after_s : 0));
}

static void answer(const struct metrics *m, struct mln_bytes path, struct mln_buf *to)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {0};
    int64_t not_after_s = atomic_load(m->not_after_s);
    bool is_healthy = not_after_s > mln_now_ns() / SECOND_NS;
    int status = 200;
    if (mln_bytes_is(path, "/metrics")) {
        proxy_metrics_print(&body, m->counters, not_after_s);
    } else if (mln_bytes_is(path, "/healthz")) {
        status = is_healthy ? 200 : 503;
        mln_buf_add_text(&body, is_healthy ? "ok\n" : "no identity\n");
    } else {
        status = 404;
    }
    mln_buf_add_format(to, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                       status, mln_http_reason(status), body.len);
    mln_buf_add_bytes(to, mln_buf_bytes(&body));
}

/* A whole head, or false. */
static bool read_head(struct mln_cx *cx, int fd, struct mln_buf *in, struct mln_http1_head *head)
{
    struct mln_http1_scan scan = {0};
    int64_t late_ns = mln_mono_ns() + SECOND_NS;
    size_t n = 0;
    while (n == 0) {
        if (mln_mono_ns() > late_ns || !mln_buf_reserve(in, 1024)) {
            return false;
        }
        ssize_t got = recv(fd, in->ptr + in->len, in->cap - in->len, 0);
        if (got <= 0) {
            return false;
        }
        in->len += (size_t)got;
        if (mln_failed(mln_http1_scan(cx, &scan, mln_buf_bytes(in), &n))) {
            return false;
        }
    }
    return !mln_failed(mln_http1_request(cx, mln_bytes_sub(mln_buf_bytes(in), 0, n), head));
}

static void serve(const struct metrics *m, int fd)
{
    static struct mln_http1_head head;
    MLN_AUTO(mln_buf_drop) struct mln_buf in = {.max = HEAD_BYTES}, out = {0};
    struct timeval second = {.tv_sec = 1};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &second, sizeof(second));
    if (read_head(&cx, fd, &in, &head) && mln_bytes_is(head.method, "GET")) {
        answer(m, head.path, &out);
        ssize_t n = out.has_failed ? 0 : send(fd, out.ptr, out.len, MSG_NOSIGNAL);
        (void)n;
    }
}

static void *metrics_main(void *arg)
{
    const struct metrics *m = arg;
    for (;;) {
        struct pollfd listening = {.fd = m->fd, .events = POLLIN};
        MLN_AUTO(mln_fd_drop) int fd = poll(&listening, 1, -1) > 0 ? accept4(m->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (fd < 0) {
            mln_sleep_ns(PAUSE_NS);
            continue;
        }
        serve(m, fd);
    }
    return NULL;
}

struct mln_err proxy_metrics_start(struct mln_cx *cx, const char *address, const struct mln_proxy_counters *counters,
                                   const _Atomic int64_t *not_after_s, const char **ret_url)
{
    static struct metrics metrics;
    pthread_t thread;
    metrics = (struct metrics){.fd = -1, .counters = counters, .not_after_s = not_after_s};
    MLN_TRY(server_listen(cx, address, &metrics.fd, ret_url));
    if (pthread_create(&thread, NULL, metrics_main, &metrics) != 0) {
        return mln_fail(cx, MLN_E_MEMORY, "a thread for the metrics cannot be started");
    }
    return MLN_OK;
}
