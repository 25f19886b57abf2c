/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reach process: one thread reads what core asks, the others each do one call at a time and answer. It gives up its rights
 * before the first ask; what crashes here loses the calls in flight and nothing else.
 */
#include <netdb.h>
#include <nss.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/sandbox.h"
#include "net/reach_priv.h"

#define CALL_ARENA_MORE ((size_t)16 << 20) /* besides an ask and an answer at their largest, twice */
#define QUEUE_MAX        (2u * MLN_REACH_CALLS_MAX)
#define STACK_BYTES      (512u << 10) /* libcurl's and the resolver's, with room */

struct server {
    struct mln_reach_config config;
    pthread_mutex_t lock, send_lock;
    pthread_cond_t news;
    size_t frame_max;
    struct mln_buf queue[QUEUE_MAX];
    size_t first, n;
};

static struct mln_err answer_ask(struct mln_cx *cx, const struct server *server,
                                 const struct mln_value *ask, const struct mln_value **ret)
{
    const struct mln_value *kind = mln_get(ask, "kind");
    int64_t body_max = mln_get_int(mln_get(ask, "body_max"), 1);
    if (body_max < 1 || (uint64_t)body_max > server->config.body_max) {
        return mln_fail(cx, MLN_E_INVALID, "reach: body_max is 1 to %zu", server->config.body_max);
    }
    if (mln_is_text(kind, "http")) {
        return reach_http(cx, server->config.allow, ask, ret);
    }
    if (mln_is_text(kind, "ldap")) {
        return reach_ldap(cx, server->config.allow, ask, ret);
    }
    if (mln_is_text(kind, "lookup")) {
        return reach_lookup(cx, server->config.allow, ask, ret);
    }
    return mln_fail(cx, MLN_E_UNSUPPORTED, "reach: calls are of kind http, ldap or lookup");
}

static void send_message(struct server *server, const struct mln_value *message)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    (void)pthread_mutex_lock(&server->send_lock);
    struct mln_err err = reach_frame_send(&cx, server->config.fd, server->frame_max, message);
    (void)pthread_mutex_unlock(&server->send_lock);
    if (mln_is(err, MLN_E_UNREACHABLE)) {
        _exit(0); /* core is gone */
    }
}

/* The texts of errors come from libraries: only what is text goes on. */
static void put_error(struct mln_cx *cx, struct mln_err err, const char *text, struct mln_value *message)
{
    struct mln_bytes clean = mln_bytes_dup(cx, mln_bytes_of(text));
    for (size_t i = 0; i < clean.len; i++) {
        uint8_t c = clean.ptr[i];
        ((uint8_t *)(uintptr_t)clean.ptr)[i] = c < 0x20 || c >= 0x7f ? ' ' : c;
    }
    mln_put_text(cx, message, "code", mln_err_name(err.code));
    mln_put_bytes(cx, message, "text", clean);
}

static void handle(struct server *server, struct mln_arena *arena, struct mln_bytes frame)
{
    const struct mln_value *in = NULL, *answer = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_err err = mln_cbor_parse(&cx, frame, &in);
    int64_t id = mln_get_int(mln_get(in, "id"), -1);
    err = mln_failed(err) ? err : answer_ask(&cx, server, mln_get(in, "ask"), &answer);
    const char *text = mln_failed(err) ? mln_text_dup(&cx, mln_bytes_of(cx.text)) : "";
    mln_cx_clear(&cx);
    struct mln_value *message = mln_object(&cx);
    mln_put_int(&cx, message, "id", id);
    if (mln_failed(err)) {
        put_error(&cx, err, text, message);
    } else {
        mln_put(&cx, message, "answer", answer);
    }
    if (!mln_failed(mln_cx_err(&cx))) {
        send_message(server, message);
    }
}

static void *work(void *arg)
{
    struct server *server = arg;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(2 * server->frame_max + CALL_ARENA_MORE, false);
    while (arena != NULL) {
        (void)pthread_mutex_lock(&server->lock);
        while (server->n == 0) {
            (void)pthread_cond_wait(&server->news, &server->lock);
        }
        struct mln_buf frame = server->queue[server->first];
        server->queue[server->first] = (struct mln_buf){.is_secret = true};
        server->first = (server->first + 1) % QUEUE_MAX;
        server->n--;
        (void)pthread_mutex_unlock(&server->lock);
        handle(server, arena, mln_buf_bytes(&frame));
        mln_buf_drop(&frame);
        mln_arena_reset(arena);
        mln_wipe_stack();
    }
    return NULL;
}

static bool enqueue(struct server *server, struct mln_buf *frame)
{
    (void)pthread_mutex_lock(&server->lock);
    bool fits = server->n < QUEUE_MAX;
    if (fits) {
        server->queue[(server->first + server->n++) % QUEUE_MAX] = *frame;
        *frame = (struct mln_buf){.is_secret = true};
        (void)pthread_cond_signal(&server->news);
    }
    (void)pthread_mutex_unlock(&server->lock);
    return fits;
}

/*
 * Names come from files and the DNS; other sources would load code. A first look-up makes the C library read its settings while
 * the files can be opened whatever they link to.
 */
static void warm_up(void)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    (void)setenv("LDAPNOINIT", "1", 1); /* no ldaprc of anybody */
    (void)__nss_configure_lookup("hosts", "files dns");
    if (getaddrinfo("localhost", "443", &hints, &list) == 0) {
        freeaddrinfo(list);
    }
    (void)reach_http_load();
    (void)reach_ldap_load();
}

static struct mln_err enter(struct mln_cx *cx, const struct mln_reach_config *config)
{
    struct mln_sandbox_state state = {0};
    char line[128];
    if (!config->no_sandbox) {
        MLN_TRY(mln_sandbox_enter(cx, MLN_SANDBOX_REACH, config->fd, &state));
    }
    if (config->state_fd >= 0) {
        int n = snprintf(line, sizeof(line), "{\"seccomp\":%s,\"landlock\":%s,\"landlock_abi\":%d}\n",
                         state.has_seccomp ? "true" : "false", state.has_landlock ? "true" : "false",
                         state.landlock_abi);
        ssize_t sent = write(config->state_fd, line, (size_t)n);
        (void)sent;
        (void)close(config->state_fd);
    }
    return MLN_OK;
}

static struct mln_err start_threads(struct mln_cx *cx, struct server *server)
{
    pthread_attr_t attr;
    pthread_t thread;
    bool ok = true;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    for (unsigned i = 0; i < MLN_REACH_CALLS_MAX && ok; i++) {
        ok = pthread_create(&thread, &attr, work, server) == 0;
    }
    (void)pthread_attr_destroy(&attr);
    return ok ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "reach: no threads");
}

struct mln_err mln_reach_serve(struct mln_cx *cx, const struct mln_reach_config *config)
{
    static struct server server; /* detached threads outlive this call */
    struct mln_buf frame = {.is_secret = true};
    size_t body_max = config->body_max == 0 ? MLN_REACH_BODY_MAX : config->body_max;
    if (body_max > MLN_REACH_BODY_MOST) {
        return mln_fail(cx, MLN_E_INVALID, "reach: answers of more than %zu bytes", MLN_REACH_BODY_MOST);
    }
    server = (struct server){.config = *config, .frame_max = body_max + MLN_REACH_FRAME_MORE};
    server.config.body_max = body_max;
    (void)pthread_mutex_init(&server.lock, NULL);
    (void)pthread_mutex_init(&server.send_lock, NULL);
    (void)pthread_cond_init(&server.news, NULL);
    warm_up();
    MLN_TRY(enter(cx, config));
    MLN_TRY(start_threads(cx, &server));
    while (!mln_failed(reach_frame_receive(cx, config->fd, server.frame_max, &frame))) {
        if (!enqueue(&server, &frame)) {
            return mln_fail(cx, MLN_E_LIMIT, "reach: core asks more than it may");
        }
    }
    mln_buf_drop(&frame);
    mln_cx_clear(cx);
    return MLN_OK;
}
