/* SPDX-License-Identifier: Apache-2.0 */
/* See attest_kubelet.h. One question at a time: fixed-size asks, answers as core gets them. */
#include "main/attest_kubelet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/sandbox.h"
#include "identity/attest.h"
#include "main/attest_wire.h"
#include "main/main_priv.h"
#include "net/client.h"

#define URL_DEFAULT  "https://127.0.0.1:10250"
#define TOKEN_MAX    16384u
#define CA_DEFAULT   "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
#define TOKEN_DEFAULT "/var/run/secrets/kubernetes.io/serviceaccount/token"
#define ARENA_BYTES  (96u << 20) /* the list as text and as values; a node has at most some hundred pods */
#define FRESH_NS     ((int64_t)2000000000)
#define CALL_NS      ((int64_t)2000000000)
#define TRIES        5 /* a container runs some moments before the kubelet's list says so */
#define TRY_WAIT_NS  ((int64_t)300000000)
#define ANSWER_MS    15000 /* all tries and their waits */

struct ask {
    char pod[72], container[72];
    uint32_t n_token;
    char token[TOKEN_MAX];
};

/* ---- the process that asks ---- */

struct child {
    struct mln_cx cx;
    struct mln_client *client;
    struct ask ask;
    struct attest_tell answer;
    struct mln_buf list;
    int64_t fetched_ns;
};

static struct mln_err fetch(struct child *c)
{
    const char *header = mln_text_format(&c->cx, "Authorization: Bearer %.*s", (int)c->ask.n_token, c->ask.token);
    struct mln_client_answer got = {0};
    MLN_TRY(mln_cx_err(&c->cx));
    MLN_TRY(mln_client_call(&c->cx, c->client, "GET", "/pods", &header, c->ask.n_token > 0 ? 1 : 0, MLN_BYTES_NONE, &got));
    if (got.status != 200) {
        return mln_fail(&c->cx, MLN_E_UNREACHABLE, "the kubelet answers /pods with %d", got.status);
    }
    mln_buf_clear(&c->list);
    mln_buf_add_bytes(&c->list, got.body);
    MLN_TRY(mln_buf_ok(&c->cx, &c->list));
    c->fetched_ns = mln_mono_ns();
    return MLN_OK;
}

static struct mln_err look(struct child *c)
{
    struct mln_value *selectors = mln_set(&c->cx), *list = mln_array(&c->cx);
    MLN_TRY(mln_attest_pods_parse(&c->cx, mln_buf_bytes(&c->list), c->ask.pod, c->ask.container, selectors));
    for (size_t i = 0; i < mln_len(selectors); i++) {
        mln_push(&c->cx, list, mln_item(selectors, i));
    }
    c->answer = (struct attest_tell){.kind = ATTEST_FOUND};
    return attest_tell_fill(&c->cx, list, &c->answer);
}

static struct mln_err find(struct child *c)
{
    bool is_fresh = c->fetched_ns != 0 && mln_mono_ns() - c->fetched_ns < FRESH_NS;
    struct mln_err err = is_fresh ? look(c) : (struct mln_err){MLN_E_NOT_FOUND};
    for (int i = 0; i < TRIES && mln_is(err, MLN_E_NOT_FOUND); i++) {
        if (i > 0) {
            mln_sleep_ns(TRY_WAIT_NS);
        }
        mln_cx_clear(&c->cx);
        mln_arena_reset(c->cx.arena);
        MLN_TRY(fetch(c));
        err = look(c);
    }
    return err;
}

static void answer(struct child *c, int fd)
{
    struct mln_err err = find(c);
    if (mln_failed(err)) {
        c->answer = (struct attest_tell){.kind = ATTEST_REFUSED, .why = err.code};
        (void)snprintf(c->answer.bytes, sizeof(c->answer.bytes), "%s", c->cx.text);
        c->answer.n_bytes = (uint32_t)mln_bytes_of(c->answer.bytes).len + 1;
        mln_cx_clear(&c->cx);
    }
    mln_wipe(&c->ask, sizeof(c->ask));
    if (mln_failed(attest_tell_send(&c->cx, fd, &c->answer))) {
        _exit(0);
    }
    mln_arena_reset(c->cx.arena);
}

static _Noreturn void child_main(int fd, const struct mln_client_config *config, pid_t parent)
{
    static struct child c;
    struct mln_sandbox_state state;
    mln_cx_init(&c.cx, mln_arena_new(ARENA_BYTES, false));
    name_process("merlon-kubelet");
    struct mln_err err = {c.cx.arena != NULL ? MLN_E_OK : MLN_E_MEMORY};
    err = mln_failed(err) ? err : mln_client_new(&c.cx, config, &c.client);
    err = mln_failed(err) ? err : drop_root(&c.cx);
    harden_process();
    if (!mln_failed(err) && !die_with_parent(parent)) {
        _exit(0);
    }
    err = mln_failed(err) ? err : mln_sandbox_enter(&c.cx, MLN_SANDBOX_REACH, -1, &state);
    if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_ERROR, "attest", &c.cx, "the kubelet cannot be asked");
        _exit(1);
    }
    for (;;) {
        ssize_t n = recv(fd, &c.ask, sizeof(c.ask), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        c.ask.pod[sizeof(c.ask.pod) - 1] = c.ask.container[sizeof(c.ask.container) - 1] = 0;
        if (n != (ssize_t)sizeof(c.ask) || c.ask.n_token > sizeof(c.ask.token)) {
            _exit(0);
        }
        answer(&c, fd);
    }
}

/* ---- the attest process ---- */

static const char *setting(struct mln_cx *cx, const struct mln_value *settings, const char *name, const char *otherwise)
{
    return mln_get_text(cx, mln_get(settings, name), otherwise != NULL && access(otherwise, R_OK) == 0 ? otherwise : NULL);
}

struct mln_err attest_kubelet_start(struct mln_cx *cx, const struct mln_value *settings, struct attest_kubelet *kubelet)
{
    int pair[2] = {-1, -1};
    kubelet->fd = -1;
    (void)pthread_mutex_init(&kubelet->lock, NULL);
    if (mln_is_null(settings)) {
        return MLN_OK;
    }
    struct mln_client_config config = {.url = mln_get_text(cx, mln_get(settings, "kubelet"), URL_DEFAULT),
                                       .ca_file = setting(cx, settings, "ca_file", CA_DEFAULT),
                                       .skip_verify = mln_get_bool(mln_get(settings, "skip_verify"), false),
                                       .timeout_ns = CALL_NS};
    kubelet->token_file = setting(cx, settings, "token_file", TOKEN_DEFAULT);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        return mln_fail(cx, MLN_E_IO, "no socket to ask the kubelet (errno %d)", errno);
    }
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        for (int fd = FD_BOOT; fd <= FD_MORE; fd++) {
            (void)close(fd);
        }
        (void)close(pair[0]);
        child_main(pair[1], &config, parent);
    }
    mln_fd_drop(&pair[1]);
    kubelet->fd = pair[0];
    return pid > 0 ? MLN_OK : mln_fail(cx, MLN_E_IO, "no process to ask the kubelet (errno %d)", errno);
}

/* Read each time: it is renewed every hour. */
static struct mln_err read_token(struct mln_cx *cx, const char *path, struct ask *ask)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(cx, path, TOKEN_MAX, &text));
    struct mln_bytes token = mln_bytes_trim(mln_buf_bytes(&text));
    mln_copy(ask->token, token.ptr, token.len);
    ask->n_token = (uint32_t)token.len;
    return MLN_OK;
}

static struct mln_err fill(struct mln_cx *cx, const struct attest_kubelet *kubelet, const char *pod, const char *container, struct ask *ask)
{
    size_t n_pod = mln_bytes_of(pod).len, n_container = mln_bytes_of(container).len;
    if (n_pod >= sizeof(ask->pod) || n_container >= sizeof(ask->container)) {
        return mln_fail(cx, MLN_E_INVALID, "the name of a pod is too long");
    }
    mln_copy(ask->pod, pod, n_pod);
    mln_copy(ask->container, container, n_container);
    return read_token(cx, kubelet->token_file, ask);
}

static struct mln_err call(struct mln_cx *cx, int fd, const struct ask *ask, struct attest_tell *ret)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    struct iovec part = {(void *)(uintptr_t)ask, sizeof(*ask)};
    struct msghdr head = {.msg_iov = &part, .msg_iovlen = 1}; /* the sandbox knows sendmsg, not send */
    bool ok = sendmsg(fd, &head, MSG_NOSIGNAL) == (ssize_t)sizeof(*ask) && poll(&one, 1, ANSWER_MS) == 1 &&
              !mln_failed(attest_tell_receive(cx, fd, ret));
    if (!ok) { /* it died, or hangs: both start anew together */
        mln_log(MLN_LOG_ERROR, "attest", "the process that asks the kubelet is gone");
        _exit(1);
    }
    return MLN_OK;
}

static struct mln_err take(struct mln_cx *cx, const struct attest_tell *tell, const struct mln_value **ret)
{
    struct mln_value *found = mln_array(cx);
    struct mln_bytes left = mln_bytes_dup(cx, mln_bytes_at(tell->bytes, tell->n_bytes));
    if (tell->kind != ATTEST_FOUND) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "%.*s", MLN_FMT(mln_bytes_cut(left, 0, &left)));
    }
    while (left.len > 0) { /* whatever it says, it can only say so of Kubernetes */
        struct mln_bytes one = mln_bytes_cut(left, 0, &left);
        if (mln_bytes_starts(one, MLN_BYTES("k8s:"))) {
            size_t colon = 4 + mln_bytes_find(mln_bytes_from(one, 4), ':');
            mln_attest_push(cx, found, mln_text_dup(cx, mln_bytes_sub(one, 0, colon)), mln_bytes_from(one, colon + 1));
        }
    }
    *ret = found;
    return mln_cx_err(cx);
}

struct mln_err attest_kubelet_pod(void *arg, struct mln_cx *cx, const char *pod, const char *container, const struct mln_value **ret)
{
    struct attest_kubelet *kubelet = arg;
    static struct ask ask;           /* under the lock */
    static struct attest_tell got;
    (void)pthread_mutex_lock(&kubelet->lock);
    mln_fill(&ask, 0, sizeof(ask));
    struct mln_err err = fill(cx, kubelet, pod, container, &ask);
    err = mln_failed(err) ? err : call(cx, kubelet->fd, &ask, &got);
    err = mln_failed(err) ? err : take(cx, &got, ret);
    mln_wipe(&ask, sizeof(ask));
    (void)pthread_mutex_unlock(&kubelet->lock);
    return err;
}
