/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to the proxy: requests are read as strictly as the server reads them, passed on whole, and their answers passed
 * back. The token of the agent is added when the configuration says so.
 */
#include "agent/agent_priv.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"
#include "net/client.h"
#include "net/http1.h"

#define READ_BYTES  16384u
#define IDLE_MS     60000 /* without a byte: the connection ends */
#define UPSTREAM_NS ((int64_t)30000000000)
#define UPSTREAM_IDLE_NS                                                                           \
    ((int64_t)5000000000) /* a kept connection to the server older than this is dialled anew */

struct exchange {
    struct connection *c;
    struct mln_cx *cx;
    struct mln_buf *in; /* what was read; may begin with the next request afterwards */
    struct mln_http1_head *head;
    size_t head_len;
    struct mln_buf body;
};

static bool send_all(int fd, struct mln_bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        bytes = mln_bytes_from(bytes, (size_t)n);
    }
    return true;
}

/* More bytes into x->in; UNREACHABLE when the client or the agent ended it. */
static struct mln_err read_more(struct exchange *x)
{
    struct pollfd fds[2] = {{.fd = x->c->agent->stop_fd, .events = POLLIN},
                            {.fd = x->c->fd, .events = POLLIN}};
    if (!mln_buf_reserve(x->in, READ_BYTES)) {
        return mln_fail(x->cx, MLN_E_TOO_LARGE, "the request is too large");
    }
    if (poll(fds, 2, IDLE_MS) <= 0 || fds[0].revents != 0) {
        return mln_fail(x->cx, MLN_E_UNREACHABLE, "ended");
    }
    ssize_t n = recv(x->c->fd, x->in->ptr + x->in->len, x->in->cap - x->in->len, 0);
    if (n <= 0) {
        return mln_fail(x->cx, MLN_E_UNREACHABLE, "ended");
    }
    x->in->len += (size_t)n;
    return MLN_OK;
}

static struct mln_err read_head(struct exchange *x)
{
    struct mln_http1_scan scan = {0};
    for (;;) {
        MLN_TRY(mln_http1_scan(x->cx, &scan, mln_buf_bytes(x->in), &x->head_len));
        if (x->head_len > 0) {
            break;
        }
        MLN_TRY(read_more(x));
    }
    /* parsed from a copy: reading the body moves the buffer */
    struct mln_bytes head =
        mln_bytes_dup(x->cx, mln_bytes_sub(mln_buf_bytes(x->in), 0, x->head_len));
    MLN_TRY(mln_cx_err(x->cx));
    MLN_TRY(mln_http1_request(x->cx, head, x->head));
    mln_buf_shift(x->in, x->head_len);
    if (x->head->framing.expects_continue &&
        !send_all(x->c->fd, MLN_BYTES("HTTP/1.1 100 Continue\r\n\r\n"))) {
        return mln_fail(x->cx, MLN_E_UNREACHABLE, "ended");
    }
    return MLN_OK;
}

static struct mln_err read_body(struct exchange *x)
{
    const struct mln_http1_framing *f = &x->head->framing;
    struct mln_http1_chunks chunks = {0};
    if (f->has_length && f->length > MLN_BODY_MAX_BYTES) {
        return mln_fail(x->cx, MLN_E_TOO_LARGE, "the request is too large");
    }
    while (f->is_chunked && !chunks.is_done) {
        size_t used = 0;
        MLN_TRY(mln_http1_chunks(x->cx, &chunks, mln_buf_bytes(x->in), &x->body, MLN_BODY_MAX_BYTES,
                                 &used));
        mln_buf_shift(x->in, used);
        MLN_TRY(chunks.is_done ? MLN_OK : read_more(x));
    }
    while (!f->is_chunked && f->has_length && x->in->len < f->length) {
        MLN_TRY(read_more(x));
    }
    if (!f->is_chunked && f->has_length) {
        mln_buf_add(&x->body, x->in->ptr, (size_t)f->length);
        mln_buf_shift(x->in, (size_t)f->length);
    }
    return mln_buf_ok(x->cx, &x->body);
}

/* ---- who may ask what ---- */

static struct mln_bytes header(const struct mln_http1_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_headers; i++) {
        if (mln_bytes_is_nocase(head->headers[i].name, name)) {
            return head->headers[i].value;
        }
    }
    return MLN_BYTES_NONE;
}

/*
 * A page in a browser reaches the loopback too: it has an Origin, or a name of its own in Host that was made to lead here. Neither
 * may use the agent's token.
 */
static bool is_from_browser(const struct exchange *x)
{
    struct mln_bytes rest, host = header(x->head, "Host");
    if (x->c->listener->is_unix) {
        return false;
    }
    bool is_six = mln_bytes_is(host, "[::1]") || mln_bytes_starts(host, MLN_BYTES("[::1]:"));
    struct mln_bytes name = mln_bytes_cut(host, ':', &rest);
    bool is_digits = mln_bytes_starts(name, MLN_BYTES("127."));
    for (size_t i = 0; i < name.len && is_digits; i++) {
        is_digits = (name.ptr[i] >= '0' && name.ptr[i] <= '9') || name.ptr[i] == '.';
    }
    return header(x->head, "Origin").len > 0 ||
           !(is_six || is_digits || mln_bytes_is_nocase(name, "localhost"));
}

static bool is_clear(const struct exchange *x)
{
    return x->c->agent->leases != NULL && (mln_bytes_is(x->head->path, "/agent/v1/cache-clear") ||
                                           mln_bytes_is(x->head->path, "/proxy/v1/cache-clear"));
}

static struct mln_err check_request(struct exchange *x)
{
    if (!is_clear(x) && !mln_bytes_starts(x->head->path, MLN_BYTES("/v1/"))) {
        return mln_fail(x->cx, MLN_E_NOT_FOUND, "the agent passes on /v1/ only");
    }
    if (x->c->listener->needs_header && !mln_bytes_is(header(x->head, "X-Vault-Request"), "true")) {
        return mln_fail(x->cx, MLN_E_INVALID, "missing 'X-Vault-Request' header");
    }
    return is_from_browser(x) ? mln_fail(x->cx, MLN_E_DENIED, "not for pages of a browser")
                              : MLN_OK;
}

/* ---- passing on ---- */

static bool is_listed(struct mln_bytes name, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (mln_bytes_is_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

static const char *header_line(struct mln_cx *cx, struct mln_bytes name, struct mln_bytes value)
{
    char *line = mln_new(cx, name.len + value.len + 3);
    if (line != NULL) {
        mln_copy(line, name.ptr, name.len);
        mln_copy(line + name.len, ": ", 2);
        mln_copy(line + name.len + 2, value.ptr, value.len);
    }
    return line;
}

/* What is about this connection only, and what the client writes itself. */
static const char *const hop_headers[] = {"Connection",
                                          "Keep-Alive",
                                          "Proxy-Connection",
                                          "Proxy-Authorization",
                                          "TE",
                                          "Trailer",
                                          "Transfer-Encoding",
                                          "Upgrade",
                                          "Content-Length",
                                          "Expect",
                                          "Host",
                                          "User-Agent",
                                          NULL};
static const char *const token_headers[] = {"X-Vault-Token", "Authorization", NULL};

/* The token that the server will see: the client's or the agent's. */
static struct mln_bytes token_of(struct exchange *x)
{
    enum mln_agent_proxy proxy = x->c->agent->config->proxy;
    struct mln_bytes token = header(x->head, "X-Vault-Token"), bearer = header(x->head, "Authorization");
    if (token.len == 0 && mln_bytes_starts(bearer, MLN_BYTES("Bearer "))) {
        token = mln_bytes_from(bearer, 7);
    }
    bool is_own = proxy == MLN_AGENT_FORCE || (proxy == MLN_AGENT_ADD && token.len == 0 && bearer.len == 0);
    return is_own ? agent_token(x->cx, x->c->agent) : token;
}

static struct mln_err headers_of(struct exchange *x, const char **to, size_t *ret_n)
{
    const struct mln_agent_config *config = x->c->agent->config;
    bool has_token = false;
    size_t n = 0;
    for (size_t i = 0; i < x->head->n_headers; i++) {
        struct mln_bytes name = x->head->headers[i].name;
        bool is_token = is_listed(name, token_headers);
        if (is_listed(name, hop_headers) || (is_token && config->proxy == MLN_AGENT_FORCE)) {
            continue;
        }
        has_token = has_token || is_token;
        to[n++] = header_line(x->cx, name, x->head->headers[i].value);
    }
    if (config->proxy != MLN_AGENT_PASS && !has_token) {
        struct mln_bytes token = agent_token(x->cx, x->c->agent);
        if (token.len > 0) {
            to[n++] = header_line(x->cx, MLN_BYTES("X-Vault-Token"), token);
        }
    }
    if (config->server.ns != NULL && header(x->head, "X-Vault-Namespace").len == 0) {
        to[n++] =
            header_line(x->cx, MLN_BYTES("X-Vault-Namespace"), mln_bytes_of(config->server.ns));
    }
    *ret_n = n;
    return mln_cx_err(x->cx);
}

/* cached: "HIT", "MISS", or NULL where nothing is kept. */
static bool answer_with(struct exchange *x, const struct mln_client_answer *answer, bool keeps, const char *cached)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
    bool is_head = mln_bytes_is(x->head->method, "HEAD"),
         has_length = answer->status >= 200 && answer->status != 204 && answer->status != 304;
    mln_buf_add_format(&out, "HTTP/1.1 %d %s\r\n", answer->status, mln_http_reason(answer->status));
    for (size_t i = 0; i < answer->n_headers; i++) {
        bool is_length =
            is_head && mln_bytes_is_nocase(answer->headers[i].name,
                                           "Content-Length"); /* of what GET would give */
        if (!is_listed(answer->headers[i].name, hop_headers) || is_length) {
            mln_buf_add_bytes(&out, answer->headers[i].name);
            mln_buf_add_text(&out, ": ");
            mln_buf_add_bytes(&out, answer->headers[i].value);
            mln_buf_add_text(&out, "\r\n");
        }
    }
    if (cached != NULL) {
        mln_buf_add_format(&out, "X-Cache: %s\r\n", cached);
    }
    if (has_length && !is_head) {
        mln_buf_add_format(&out, "Content-Length: %zu\r\n", answer->body.len);
    }
    mln_buf_add_text(&out, keeps ? "\r\n" : "Connection: close\r\n\r\n");
    mln_buf_add_bytes(&out, answer->body);
    return !out.has_failed && send_all(x->c->fd, mln_buf_bytes(&out));
}

static void answer_error(struct exchange *x, struct mln_err err)
{
    struct mln_value *body = mln_object(x->cx), *errors = mln_array(x->cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_http_header type = {MLN_BYTES("Content-Type"), MLN_BYTES("application/json")};
    mln_push(x->cx, errors, mln_text(x->cx, x->cx->text));
    mln_put(x->cx, body, "errors", errors);
    mln_json_print(&text, body, MLN_JSON_COMPACT);
    struct mln_client_answer answer = {.status = mln_err_http(err.code),
                                       .headers = &type,
                                       .n_headers = 1,
                                       .body = mln_buf_bytes(&text)};
    (void)answer_with(x, &answer, false, NULL);
}

static struct mln_err pass_on(struct exchange *x, struct mln_client **upstream,
                              struct mln_client_answer *ret)
{
    const char *headers[MLN_HTTP_HEADERS_MAX + 2];
    size_t n = 0;
    MLN_TRY(headers_of(x, headers, &n));
    if (*upstream == NULL) {
        MLN_TRY(agent_client(x->cx, &x->c->agent->config->server, UPSTREAM_NS, upstream));
    }
    return mln_client_call(x->cx, *upstream, mln_text_dup(x->cx, x->head->method),
                           mln_text_dup(x->cx, x->head->target), headers, n,
                           mln_buf_bytes(&x->body), ret);
}

/* ---- answers that are kept ---- */

static struct mln_leased_ask ask_of(struct exchange *x)
{
    const struct mln_agent_config *config = x->c->agent->config;
    struct mln_bytes ns = header(x->head, "X-Vault-Namespace");
    return (struct mln_leased_ask){
        .method = x->head->method,
        .target = x->head->target,
        .ns = ns.len == 0 && config->server.ns != NULL ? mln_bytes_of(config->server.ns) : ns,
        .token = token_of(x),
        .wrap = header(x->head, "X-Vault-Wrap-TTL"),
        .body = mln_buf_bytes(&x->body)};
}

static bool find_kept(struct exchange *x, const struct mln_leased_ask *ask, struct mln_client_answer *ret)
{
    struct mln_leased_key key = mln_leased_key_of(ask);
    struct mln_http_header *headers = mln_new_array(x->cx, 2, sizeof(*headers));
    int64_t age_s = 0;
    if (headers == NULL || !mln_leases_find(x->c->agent->leases, x->cx, &key, &ret->body, &age_s)) {
        return false;
    }
    headers[0] = (struct mln_http_header){MLN_BYTES("Content-Type"), MLN_BYTES("application/json")};
    headers[1] = (struct mln_http_header){MLN_BYTES("Age"), mln_bytes_format(x->cx, "%lld", (long long)age_s)};
    ret->status = 200;
    ret->headers = headers;
    ret->n_headers = 2;
    return !mln_failed(mln_cx_err(x->cx));
}

static void keep(struct exchange *x, const struct mln_leased_ask *ask, const struct mln_client_answer *answer)
{
    struct agent *agent = x->c->agent;
    if (answer->status == 200 &&
        mln_leases_keep(agent->leases, x->cx, ask, agent_token(x->cx, agent), answer->body)) {
        (void)pthread_kill(agent->main, SIGUSR2); /* it plans the renewal */
    }
    if (answer->status == 200 || answer->status == 204) {
        mln_leases_note(agent->leases, x->cx, ask);
    }
}

/* POST /agent/v1/cache-clear {"type": "lease", "value": "..."} */
static struct mln_err clear_kept(struct exchange *x, struct mln_client_answer *ret)
{
    const struct mln_value *v = NULL;
    if (!mln_bytes_is(x->head->method, "POST") && !mln_bytes_is(x->head->method, "PUT")) {
        return mln_fail(x->cx, MLN_E_METHOD, "cache-clear takes POST");
    }
    MLN_TRY(mln_json_parse(x->cx, mln_buf_bytes(&x->body), &v));
    if (!mln_leases_clear(x->c->agent->leases, mln_get_bytes(mln_get(v, "type")), mln_get_bytes(mln_get(v, "value")))) {
        return mln_fail(x->cx, MLN_E_INVALID, "'type' is all, request_path, lease, token or token_accessor");
    }
    ret->status = 200;
    return MLN_OK;
}

static struct mln_err get_answer(struct exchange *x, struct mln_client **upstream,
                                 struct mln_client_answer *ret, const char **ret_cached)
{
    if (x->c->agent->leases == NULL) {
        return pass_on(x, upstream, ret);
    }
    if (is_clear(x)) {
        return clear_kept(x, ret);
    }
    struct mln_leased_ask ask = ask_of(x);
    MLN_TRY(mln_cx_err(x->cx));
    if (find_kept(x, &ask, ret)) {
        *ret_cached = "HIT";
        return MLN_OK;
    }
    MLN_TRY(pass_on(x, upstream, ret));
    keep(x, &ask, ret);
    *ret_cached = "MISS";
    return mln_cx_err(x->cx);
}

/* One request; false when the connection is at its end. */
static bool serve_one(struct exchange *x, struct mln_client **upstream)
{
    struct mln_client_answer answer = {0};
    const char *cached = NULL;
    struct mln_err err = read_head(x);
    err = mln_failed(err) ? err : read_body(x);
    if (mln_is(err, MLN_E_UNREACHABLE)) {
        return false;
    }
    err = mln_failed(err) ? err : check_request(x);
    err = mln_failed(err) ? err : get_answer(x, upstream, &answer, &cached);
    if (mln_failed(err)) {
        answer_error(x, err);
        return false;
    }
    bool keeps = !x->head->framing.wants_close;
    return answer_with(x, &answer, keeps, cached) && keeps;
}

void agent_serve(struct connection *c)
{
    MLN_AUTO(mln_buf_drop)
    struct mln_buf in = {.is_secret = true,
                         .max = MLN_BODY_MAX_BYTES + MLN_HTTP_HEAD_BYTES_MAX + READ_BYTES};
    MLN_AUTO(mln_client_drop) struct mln_client *upstream = NULL;
    MLN_AUTO(mln_arena_drop)
    struct mln_arena *arena = mln_arena_new(MLN_REQUEST_ARENA_BYTES, false);
    int64_t used_ns = mln_mono_ns();
    bool goes_on = arena != NULL;
    while (goes_on) {
        struct mln_cx cx;
        mln_cx_init(&cx, arena);
        struct exchange x = {.c = c,
                             .cx = &cx,
                             .in = &in,
                             .head = mln_new(&cx, sizeof(*x.head)),
                             .body = {.is_secret = true}};
        if (in.len == 0 && x.head != NULL &&
            mln_failed(read_more(&x))) { /* here the time between two requests passes */
            break;
        }
        if (mln_mono_ns() - used_ns > UPSTREAM_IDLE_NS) {
            mln_client_drop(&upstream);
        }
        goes_on = x.head != NULL && serve_one(&x, &upstream);
        used_ns = mln_mono_ns();
        mln_buf_drop(&x.body);
        mln_arena_reset(arena);
    }
}
