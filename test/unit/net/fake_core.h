/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A core for tests and benchmarks of front: one thread a ring that answers by path, and signs
 * handshakes as core does. Paths: /echo (the body back), /size/N, /sleep/MS (answers later), /hang
 * (never answers), /hold/N (an answer that is held under "t/count", N seconds at most), /missed/N
 * (the same, of the version before), /cert (the client's certificate), /corrupt (breaks the ring),
 * /refuse/N (status N of gRPC), /follow and /follow/N (a counter under the topic "t/count", N: as many bytes; refused from
 * N of /until/N on), /count (publishes the next), /touch (publishes the same again), /group (the same, as "t/"). And the
 * translation between HTTP and values that goes with it.
 */
#pragma once

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/text.h"
#include "crypto/crypto.h"
#include "net/front.h"
#include "net/ring_priv.h"
#include "net/tls_sign.h"

#define FAKE_RINGS_MAX 4u
#define FAKE_LATER_MAX 512u

struct fake_later {
    int64_t due_ns;
    uint64_t id;
};
#define FAKE_SVID_KEY 1001

struct fake_core {
    struct mln_ring_fds fds[FAKE_RINGS_MAX];
    unsigned n_rings;
    pthread_t threads[FAKE_RINGS_MAX];
    uint8_t scalar[32], point[65];
    struct mln_buf svid; /* DER, of the same key: what CERT is answered with */
    _Atomic bool stop, refuses_to_sign, has_no_svid;
    _Atomic unsigned requests, signatures;
    _Atomic int64_t last_key; /* that a signature was wanted of */
};
struct fake_worker {
    struct fake_core *core;
    unsigned index;
    struct mln_ring *ring;
    struct mln_cx cx;
    struct mln_buf in, out;
    struct fake_later later[FAKE_LATER_MAX];
    size_t n_later;
    uint64_t count, version;
};

static void fake_send(struct fake_worker *w, uint64_t id, uint32_t kind,
                      const struct mln_value *value)
{
    struct mln_ring_head head = {.id = id, .kind = kind};
    mln_buf_clear(&w->out);
    mln_cbor_print(&w->out, value);
    MLN_CHECK(!w->out.has_failed);
    (void)mln_failed(mln_ring_send(w->ring, &head, mln_buf_bytes(&w->out)));
}

static void fake_answer_text(struct fake_worker *w, uint64_t id, const char *text)
{
    struct mln_value *v = mln_object(&w->cx);
    mln_put_int(&w->cx, v, "status", 200);
    mln_put(&w->cx, v, "raw", mln_blob(&w->cx, mln_bytes_of(text)));
    fake_send(w, id, MLN_WIRE_ANSWER, v);
}

static void fake_sign(struct fake_worker *w, uint64_t id, const struct mln_value *message)
{
    struct mln_value *v = mln_object(&w->cx);
    struct mln_buf input = {0}, sig = {0};
    enum mln_tls_how how;
    uint8_t digest[32];
    atomic_fetch_add(&w->core->signatures, 1);
    atomic_store(&w->core->last_key, mln_get_int(mln_get(message, "key"), -1));
    if (!atomic_load(&w->core->refuses_to_sign) &&
        !mln_failed(mln_tls_sign_input(&w->cx, message, &input, &how)) && how == MLN_TLS_ECDSA) {
        mln_sha256(mln_buf_bytes(&input), digest);
        MLN_CHECK(!mln_failed(mln_p256_sign_digest(&w->cx, w->core->scalar, digest, &sig)));
        mln_put(&w->cx, v, "sig", mln_blob(&w->cx, mln_buf_bytes(&sig)));
    }
    fake_send(w, id, MLN_WIRE_SIGNED, v);
    mln_buf_drop(&input);
    mln_buf_drop(&sig);
}

static void fake_cert(struct fake_worker *w, uint64_t id)
{
    struct mln_value *v = mln_object(&w->cx);
    if (!atomic_load(&w->core->has_no_svid)) {
        mln_put(&w->cx, v, "chain", mln_blob(&w->cx, mln_buf_bytes(&w->core->svid)));
        mln_put_int(&w->cx, v, "key", FAKE_SVID_KEY);
    }
    fake_send(w, id, MLN_WIRE_CERTED, v);
}

static void fake_corrupt(struct fake_worker *w)
{
    struct ring_map *map = mmap(NULL, RING_MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                                w->core->fds[w->index].memfd, 0);
    MLN_CHECK((void *)map != MAP_FAILED);
    atomic_store(&map->lanes[RING_TO_FRONT].tail, 3);
    uint64_t one = 1;
    (void)!write(w->core->fds[w->index].bell_front, &one, sizeof(one));
    (void)munmap(map, RING_MAP_BYTES);
}

static uint64_t fake_number(struct mln_bytes path, struct mln_bytes prefix)
{
    uint64_t n = 0;
    (void)mln_u64_parse(mln_bytes_from(path, prefix.len), &n);
    return n;
}

static void fake_publish(struct fake_worker *w, const char *topic, bool is_new)
{
    struct mln_value *v = mln_object(&w->cx);
    w->count += is_new;
    w->version++;
    mln_put_text(&w->cx, v, "topic", topic);
    mln_put_int(&w->cx, v, "version", (int64_t)w->version);
    mln_put_null(&w->cx, v, "value");
    fake_send(w, 0, MLN_WIRE_TOPIC, v);
}

static void fake_refuse(struct fake_worker *w, uint64_t id, int64_t code)
{
    struct mln_value *v = mln_object(&w->cx), *errors = mln_array(&w->cx);
    mln_push_text(&w->cx, errors, "no, 100%");
    mln_put_int(&w->cx, v, "status", 403);
    mln_put_int(&w->cx, v, "grpc", code);
    mln_put(&w->cx, v, "errors", errors);
    fake_send(w, id, MLN_WIRE_ANSWER, v);
}

/* "count:" and then as many bytes as were asked for. */
static void fake_follow(struct fake_worker *w, uint64_t id, size_t n)
{
    struct mln_value *v = mln_object(&w->cx);
    const char *head = mln_text_format(&w->cx, "%llu:", (unsigned long long)w->count);
    size_t len = strlen(head);
    uint8_t *text = mln_new(&w->cx, len + n);
    mln_copy(text, head, len);
    mln_fill(text + len, 'x', n);
    mln_put_int(&w->cx, v, "status", 200);
    mln_put(&w->cx, v, "raw", mln_blob(&w->cx, mln_bytes_at(text, len + n)));
    mln_put_text(&w->cx, v, "topic", "t/count");
    mln_put_int(&w->cx, v, "topic_version", (int64_t)w->version);
    fake_send(w, id, MLN_WIRE_ANSWER, v);
}

/* Nothing to say until the topic moves; as of version `behind` before the newest. */
static void fake_hold(struct fake_worker *w, uint64_t id, uint64_t hold_s, uint64_t behind)
{
    struct mln_value *v = mln_object(&w->cx);
    mln_put_int(&w->cx, v, "status", 204);
    mln_put_text(&w->cx, v, "topic", "t/count");
    mln_put_int(&w->cx, v, "topic_version", (int64_t)(w->version - behind));
    mln_put_int(&w->cx, v, "hold", (int64_t)hold_s);
    fake_send(w, id, MLN_WIRE_ANSWER, v);
}

/* Paths of streams; false: none of them. */
static bool fake_stream(struct fake_worker *w, uint64_t id, struct mln_bytes path)
{
    bool is_until = mln_bytes_starts(path, MLN_BYTES("/until/"));
    if (mln_bytes_starts(path, MLN_BYTES("/refuse/"))) {
        fake_refuse(w, id, (int64_t)fake_number(path, MLN_BYTES("/refuse/")));
    } else if (is_until && w->count >= fake_number(path, MLN_BYTES("/until/"))) {
        fake_refuse(w, id, 7);
    } else if (is_until || mln_bytes_starts(path, MLN_BYTES("/follow"))) {
        fake_follow(w, id, is_until ? 0 : (size_t)fake_number(path, MLN_BYTES("/follow/")));
    } else if (mln_bytes_starts(path, MLN_BYTES("/hold/"))) {
        fake_hold(w, id, fake_number(path, MLN_BYTES("/hold/")), 0);
    } else if (mln_bytes_starts(path, MLN_BYTES("/missed/"))) {
        fake_hold(w, id, fake_number(path, MLN_BYTES("/missed/")), 1);
    } else if (mln_bytes_is(path, "/count") || mln_bytes_is(path, "/touch") || mln_bytes_is(path, "/group")) {
        fake_publish(w, mln_bytes_is(path, "/group") ? "t/" : "t/count", mln_bytes_is(path, "/count"));
        fake_answer_text(w, id, "done");
    } else {
        return false;
    }
    return true;
}

static void fake_request(struct fake_worker *w, uint64_t id, const struct mln_value *rq)
{
    struct mln_cx *cx = &w->cx;
    struct mln_bytes path = mln_get_bytes(mln_get(rq, "path"));
    struct mln_value *v = mln_object(cx);
    atomic_fetch_add(&w->core->requests, 1);
    mln_put_int(cx, v, "status", 200);
    if (mln_bytes_starts(path, MLN_BYTES("/sleep/"))) {
        MLN_CHECK(w->n_later < FAKE_LATER_MAX);
        int64_t ms = (int64_t)fake_number(path, MLN_BYTES("/sleep/"));
        w->later[w->n_later++] =
            (struct fake_later){.due_ns = mln_mono_ns() + ms * 1000000, .id = id};
        return;
    }
    if (mln_bytes_is(path, "/hang") || fake_stream(w, id, path)) {
        return;
    }
    if (mln_bytes_is(path, "/corrupt")) {
        fake_corrupt(w);
        return;
    }
    if (mln_bytes_starts(path, MLN_BYTES("/size/"))) {
        size_t n = (size_t)fake_number(path, MLN_BYTES("/size/"));
        uint8_t *big = mln_new(cx, n);
        MLN_CHECK(big != NULL || n == 0);
        mln_fill(big, 'x', n);
        mln_put(cx, v, "raw", mln_blob(cx, mln_bytes_at(big, n)));
    } else {
        if (!mln_is_null(mln_get(rq, "data"))) { /* a request of the Vault API */
            mln_put_text(cx, v, "request_id", "0b1bd0b4-6c1e-4f5e-9d0c-0a7d8c9f1e2a");
            mln_put(cx, v, "data", mln_get(rq, "data"));
            fake_send(w, id, MLN_WIRE_ANSWER, v);
            return;
        }
        const char *what = mln_bytes_is(path, "/cert") ? "cert" : "raw";
        mln_put(cx, v, "raw", mln_blob(cx, mln_get_bytes(mln_get(rq, what))));
    }
    fake_send(w, id, MLN_WIRE_ANSWER, v);
}

static bool fake_take(struct fake_worker *w)
{
    struct mln_ring_head head;
    const struct mln_value *v = NULL;
    mln_buf_clear(&w->in);
    if (mln_failed(mln_ring_receive(w->ring, &head, &w->in))) {
        return false;
    }
    MLN_CHECK(!mln_failed(mln_cbor_parse(&w->cx, mln_buf_bytes(&w->in), &v)));
    if (head.kind == MLN_WIRE_SIGN) {
        fake_sign(w, head.id, v);
    } else if (head.kind == MLN_WIRE_CERT) {
        fake_cert(w, head.id);
    } else {
        fake_request(w, head.id, v);
    }
    mln_cx_clear(&w->cx);
    mln_arena_reset(w->cx.arena);
    mln_buf_clear(&w->in);
    mln_buf_clear(&w->out);
    return true;
}

static void fake_due(struct fake_worker *w)
{
    int64_t now = mln_mono_ns();
    for (size_t i = 0; i < w->n_later;) {
        if (w->later[i].due_ns > now) {
            i++;
            continue;
        }
        fake_answer_text(w, w->later[i].id, "slept");
        w->later[i] = w->later[--w->n_later];
    }
}

static void fake_nap(struct fake_worker *w)
{
    int bell = w->core->fds[w->index].bell_core;
    if (mln_ring_sleep(w->ring)) {
        struct pollfd pf = {.fd = bell, .events = POLLIN};
        uint64_t n;
        (void)poll(&pf, 1, w->n_later > 0 ? 5 : 100);
        (void)!read(bell, &n, sizeof(n));
    }
    mln_ring_awake(w->ring);
}

static void *fake_main(void *arg)
{
    struct fake_worker *w = arg;
    while (!atomic_load(&w->core->stop)) {
        while (fake_take(w)) {
        }
        fake_due(w);
        (void)mln_failed(mln_ring_flush(w->ring));
        mln_ring_bell(w->ring);
        fake_nap(w);
    }
    mln_ring_free(w->ring);
    mln_buf_drop(&w->in);
    mln_buf_drop(&w->out);
    mln_arena_free(w->cx.arena);
    mln_free(w);
    return NULL;
}

/* Rings and keys; no thread yet, so that a test may fork. */
static void fake_core_prepare(struct fake_core *core, unsigned n_rings)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    core->n_rings = n_rings;
    MLN_CHECK(!mln_failed(mln_p256_generate(&cx, core->scalar, core->point)));
    for (unsigned i = 0; i < n_rings; i++) {
        MLN_CHECK(!mln_failed(mln_ring_create(&cx, &core->fds[i])));
    }
}

static void fake_core_run(struct fake_core *core)
{
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    for (unsigned i = 0; i < core->n_rings; i++) {
        struct fake_worker *w = mln_alloc(sizeof(*w));
        MLN_CHECK(w != NULL);
        MLN_CHECK(!mln_failed(mln_ring_attach(&cx, &core->fds[i], MLN_RING_CORE, &w->ring)));
        w->core = core;
        w->index = i;
        w->in.is_secret = w->out.is_secret = true;
        w->version = 1;
        mln_cx_init(&w->cx, mln_arena_new((size_t)200 << 20, false));
        MLN_CHECK(w->cx.arena != NULL &&
                  pthread_create(&core->threads[i], NULL, fake_main, w) == 0);
    }
}

static void fake_core_stop(struct fake_core *core)
{
    atomic_store(&core->stop, true);
    for (unsigned i = 0; i < core->n_rings; i++) {
        uint64_t one = 1;
        (void)!write(core->fds[i].bell_core, &one, sizeof(one));
        (void)pthread_join(core->threads[i], NULL);
        mln_ring_fds_close(&core->fds[i]);
    }
}

/* ---- the translation ---- */

static struct mln_err fake_api_request(struct mln_cx *cx, const struct mln_http_request *http,
                                       const struct mln_value **ret)
{
    if (mln_bytes_is(http->path, "/bad")) {
        return mln_fail(cx, MLN_E_INVALID, "a bad request");
    }
    struct mln_value *v = mln_object(cx);
    mln_put(cx, v, "path", mln_string(cx, http->path));
    mln_put(cx, v, "raw", mln_blob(cx, http->body));
    mln_put(cx, v, "cert", mln_blob(cx, http->n_peer_certs > 0 ? http->peer_certs[0] : MLN_BYTES_NONE));
    mln_put_int(cx, v, "certs", (int64_t)http->n_peer_certs);
    mln_put(cx, v, "token", mln_secret_string(cx, mln_http_header(http, "x-vault-token")));
    mln_put(cx, v, "from", mln_string(cx, http->peer));
    *ret = v;
    return mln_cx_err(cx);
}

static struct mln_err fake_api_answer(struct mln_cx *cx, const struct mln_value *answer,
                                      struct mln_http_answer *ret, struct mln_buf *body)
{
    (void)cx;
    ret->status = (int)mln_get_int(mln_get(answer, "status"), 500);
    ret->content_type = "application/octet-stream";
    mln_buf_add_bytes(body, mln_get_bytes(mln_get(answer, "raw")));
    return MLN_OK;
}

static void fake_api_fault(struct mln_cx *cx, struct mln_err err, struct mln_http_answer *ret,
                           struct mln_buf *body)
{
    ret->status = mln_err_http(err.code);
    ret->content_type = "text/plain";
    mln_buf_add_text(body, cx->text[0] != 0 ? cx->text : mln_err_text(err.code));
}

static const struct mln_front_api fake_api = {
    .request = fake_api_request, .answer = fake_api_answer, .fault = fake_api_fault};
