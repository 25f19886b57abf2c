/* SPDX-License-Identifier: Apache-2.0 */
/* Records to a server's ledger: POST spiffe/connections, with a token from a file or by a login with the proxy's own JWT-SVID. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/secret.h"
#include "base/text.h"
#include "main/proxy_priv.h"
#include "net/client.h"

#define SECOND_NS     ((int64_t)1000000000)
#define WAIT_NS       SECOND_NS        /* what comes meanwhile goes along */
#define AGAIN_MAX_NS  (30 * SECOND_NS) /* between tries while the server is away */
#define CALL_NS       (5 * SECOND_NS)
#define LOGIN_WAIT_NS (5 * SECOND_NS)  /* for a JWT-SVID of the keeper's */
#define BATCH         100u
#define TOKEN_MAX     8192u
#define ARENA_BYTES   (4u << 20)

struct line {
    struct line *next;
    size_t n;
    uint8_t json[];
};
struct proxy_post {
    const struct proxy_evidence *evidence;
    struct mln_client *client;
    struct mln_arena *arena;
    struct mln_cx cx;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t news;
    struct line *first, *last;
    size_t n;
    int64_t lost;
    bool is_stopping;
    bool wants_jwt, has_asked, has_jwt; /* of a login */
    struct mln_buf jwt;
    struct mln_buf token; /* "" = none yet; only the thread's */
};

/* ---- what comes in ---- */

void proxy_post_take(struct proxy_post *post, struct mln_bytes json)
{
    struct line *line = mln_alloc(sizeof(*line) + json.len);
    (void)pthread_mutex_lock(&post->lock);
    if (line == NULL || post->n >= PROXY_POST_MAX) {
        post->lost++;
        mln_free(line);
    } else {
        line->n = json.len;
        mln_copy(line->json, json.ptr, json.len);
        *(post->last != NULL ? &post->last->next : &post->first) = line;
        post->last = line;
        post->n++;
        (void)pthread_cond_signal(&post->news);
    }
    (void)pthread_mutex_unlock(&post->lock);
}

bool proxy_post_wants_token(struct proxy_post *post)
{
    (void)pthread_mutex_lock(&post->lock);
    bool wants = post->wants_jwt && !post->has_asked;
    post->has_asked = post->has_asked || wants;
    (void)pthread_mutex_unlock(&post->lock);
    return wants;
}

void proxy_post_token(struct proxy_post *post, struct mln_bytes jwt)
{
    (void)pthread_mutex_lock(&post->lock);
    mln_buf_clear(&post->jwt);
    mln_buf_add_bytes(&post->jwt, jwt);
    post->has_jwt = true;
    (void)pthread_cond_signal(&post->news);
    (void)pthread_mutex_unlock(&post->lock);
}

/* Under the lock: until news or then. */
static void wait_ns(struct proxy_post *post, int64_t ns)
{
    int64_t until_ns = mln_now_ns() + ns;
    struct timespec until = {.tv_sec = until_ns / SECOND_NS, .tv_nsec = until_ns % SECOND_NS};
    (void)pthread_cond_timedwait(&post->news, &post->lock, &until);
}

/* ---- who we are ---- */

static struct mln_err call(struct proxy_post *post, const char *path, const struct mln_value *body, struct mln_client_answer *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    struct mln_cx *cx = &post->cx;
    mln_json_print(&text, body, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &text));
    const char *headers[] = {"X-Vault-Request: true", mln_text_format(cx, "X-Vault-Token: %.*s", MLN_FMT(mln_buf_bytes(&post->token)))};
    MLN_TRY(mln_cx_err(cx));
    return mln_client_call(cx, post->client, "POST", path, headers, post->token.len > 0 ? 2 : 1, mln_buf_bytes(&text), ret);
}

static struct mln_err keep_token(struct proxy_post *post, struct mln_bytes token)
{
    token = mln_bytes_trim(token);
    mln_buf_clear(&post->token);
    for (size_t i = 0; i < token.len; i++) {
        if (token.ptr[i] <= 0x20 || token.ptr[i] >= 0x7f) {
            return mln_fail(&post->cx, MLN_E_INVALID, "what should be a token has other characters");
        }
    }
    if (token.len == 0 || token.len > TOKEN_MAX) {
        return mln_fail(&post->cx, MLN_E_INVALID, "there is no token");
    }
    mln_buf_add_bytes(&post->token, token);
    return mln_buf_ok(&post->cx, &post->token);
}

/* A JWT-SVID from the keeper, by way of the main thread. */
static struct mln_err ask_jwt(struct proxy_post *post, struct mln_buf *ret)
{
    int64_t late_ns = mln_mono_ns() + LOGIN_WAIT_NS;
    (void)pthread_mutex_lock(&post->lock);
    post->wants_jwt = true;
    post->has_asked = post->has_jwt = false;
    while (!post->has_jwt && mln_mono_ns() < late_ns) {
        wait_ns(post, SECOND_NS / 4);
    }
    post->wants_jwt = false;
    mln_buf_add_bytes(ret, mln_buf_bytes(&post->jwt));
    mln_buf_clear(&post->jwt);
    (void)pthread_mutex_unlock(&post->lock);
    return ret->len > 0 ? MLN_OK : mln_fail(&post->cx, MLN_E_UNREACHABLE, "no JWT-SVID to log in with");
}

static struct mln_err log_in(struct proxy_post *post)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf jwt = {.is_secret = true, .max = TOKEN_MAX};
    struct mln_cx *cx = &post->cx;
    struct mln_client_answer answer = {0};
    const struct mln_value *json = NULL;
    struct mln_value *body = mln_object(cx);
    mln_buf_clear(&post->token);
    MLN_TRY(ask_jwt(post, &jwt));
    mln_put(cx, body, "svid", mln_secret_string(cx, mln_buf_bytes(&jwt)));
    if (post->evidence->role != NULL) {
        mln_put_text(cx, body, "role", post->evidence->role);
    }
    MLN_TRY(call(post, mln_text_format(cx, "/v1/%s/login", post->evidence->login), body, &answer));
    if (answer.status != 200) {
        return mln_fail(cx, MLN_E_DENIED, "the login answers %d", answer.status);
    }
    MLN_TRY(mln_json_parse(cx, answer.body, &json));
    return keep_token(post, mln_get_bytes(mln_get(mln_get(json, "auth"), "client_token")));
}

static struct mln_err become_someone(struct proxy_post *post)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (post->evidence->login != NULL) {
        return post->token.len > 0 ? MLN_OK : log_in(post);
    }
    MLN_TRY(mln_file_read_all(&post->cx, post->evidence->token_file, TOKEN_MAX, &text)); /* anew: who renews it writes it there */
    return keep_token(post, mln_buf_bytes(&text));
}

/* ---- sending ---- */

/* The first `n` lines as a body; the strings live as long as the lines. */
static struct mln_err body_of(struct proxy_post *post, size_t n, int64_t lost, const struct mln_value **ret)
{
    struct mln_cx *cx = &post->cx;
    struct mln_value *body = mln_object(cx), *list = mln_array(cx);
    const struct line *line = post->first;
    for (size_t i = 0; i < n; i++, line = line->next) {
        const struct mln_value *one = NULL;
        MLN_TRY(mln_json_parse(cx, mln_bytes_at(line->json, line->n), &one));
        mln_push(cx, list, one);
    }
    mln_put(cx, body, "connections", list);
    if (lost > 0) {
        mln_put_int(cx, body, "lost", lost);
    }
    *ret = body;
    return mln_cx_err(cx);
}

/* Only this thread takes lines away, so that the first ones stay where they are. */
static void forget(struct proxy_post *post, size_t n, int64_t lost)
{
    (void)pthread_mutex_lock(&post->lock);
    for (; n > 0; n--, post->n--) {
        struct line *line = post->first;
        post->first = line->next;
        post->last = line->next != NULL ? post->last : NULL;
        mln_free(line);
    }
    post->lost -= lost;
    (void)pthread_mutex_unlock(&post->lock);
}

static struct mln_err send_batch(struct proxy_post *post, size_t n, int64_t lost)
{
    struct mln_client_answer answer = {0};
    const struct mln_value *body = NULL;
    MLN_TRY(become_someone(post));
    MLN_TRY(body_of(post, n, lost, &body));
    MLN_TRY(call(post, "/v1/spiffe/connections", body, &answer));
    if (answer.status == 403) {
        mln_buf_clear(&post->token); /* over its time, perhaps: log in anew */
    }
    if (answer.status != 200) {
        return mln_fail(&post->cx, answer.status == 400 ? MLN_E_INVALID : MLN_E_DENIED, "the server answers %d", answer.status);
    }
    return MLN_OK;
}

/* True when there is nothing more to send, or no use in trying at once. */
static bool send_some(struct proxy_post *post, int64_t *pause_ns)
{
    (void)pthread_mutex_lock(&post->lock);
    size_t n = post->n < BATCH ? post->n : BATCH;
    int64_t lost = post->lost;
    (void)pthread_mutex_unlock(&post->lock);
    if (n == 0) {
        *pause_ns = WAIT_NS;
        return true;
    }
    struct mln_err err = send_batch(post, n, lost);
    if (mln_is(err, MLN_E_INVALID)) { /* a server that knows other records: these will never be taken */
        mln_log_fault(MLN_LOG_ERROR, "proxy", &post->cx, "records are not taken into the ledger and are only in the file");
        forget(post, n, -(int64_t)n);
    } else if (mln_failed(err)) {
        mln_log_fault(MLN_LOG_WARN, "proxy", &post->cx, "records wait for the ledger");
        *pause_ns = *pause_ns * 2 > AGAIN_MAX_NS ? AGAIN_MAX_NS : *pause_ns * 2;
    } else {
        forget(post, n, lost);
        *pause_ns = WAIT_NS;
    }
    mln_cx_clear(&post->cx);
    mln_arena_reset(post->arena);
    return mln_failed(err) && !mln_is(err, MLN_E_INVALID);
}

static void *post_main(void *arg)
{
    struct proxy_post *post = arg;
    int64_t pause_ns = WAIT_NS;
    for (bool is_last = false; !is_last;) {
        (void)pthread_mutex_lock(&post->lock);
        int64_t until_ns = mln_mono_ns() + pause_ns;
        while (!post->is_stopping && mln_mono_ns() < until_ns) {
            wait_ns(post, until_ns - mln_mono_ns());
        }
        is_last = post->is_stopping;
        (void)pthread_mutex_unlock(&post->lock);
        while (!send_some(post, &pause_ns)) {
        }
    }
    return NULL;
}

/* ---- life ---- */

struct mln_err proxy_post_new(struct mln_cx *cx, const struct proxy_evidence *evidence, struct proxy_post **ret)
{
    struct mln_client_config config = {.url = evidence->url, .ca_file = evidence->ca_file, .timeout_ns = CALL_NS};
    struct proxy_post *post = mln_alloc(sizeof(*post));
    if (post == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    post->evidence = evidence;
    post->jwt.is_secret = post->token.is_secret = true;
    post->arena = mln_arena_new(ARENA_BYTES, false);
    mln_cx_init(&post->cx, post->arena);
    (void)pthread_mutex_init(&post->lock, NULL);
    (void)pthread_cond_init(&post->news, NULL);
    struct mln_err err = post->arena != NULL ? mln_client_new(cx, &config, &post->client) : mln_fail(cx, MLN_E_MEMORY, "out of memory");
    if (!mln_failed(err) && pthread_create(&post->thread, NULL, post_main, post) != 0) {
        err = mln_fail(cx, MLN_E_MEMORY, "a thread cannot be started");
    }
    if (mln_failed(err)) {
        mln_client_free(post->client);
        mln_arena_free(post->arena);
        mln_free(post);
        return err;
    }
    *ret = post;
    return MLN_OK;
}

void proxy_post_free(struct proxy_post *post)
{
    if (post == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&post->lock);
    post->is_stopping = true;
    (void)pthread_cond_signal(&post->news);
    (void)pthread_mutex_unlock(&post->lock);
    (void)pthread_join(post->thread, NULL);
    if (post->n > 0) {
        mln_log(MLN_LOG_WARN, "proxy", "%zu records did not get into the ledger", post->n);
    }
    forget(post, post->n, 0);
    mln_client_free(post->client);
    mln_buf_drop(&post->jwt);
    mln_buf_drop(&post->token);
    mln_arena_free(post->arena);
    mln_free(post);
}
