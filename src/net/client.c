/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of the client: write the request, read the answer strictly, keep the connection when
 * both sides agree. A kept connection that the server closed meanwhile is dialled once more, but
 * only when nothing of an answer came and the method may be repeated.
 */
#include "net/client.h"

#include <openssl/ssl.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "net/client_priv.h"
#include "net/http1.h"

#define TIMEOUT_DEFAULT_NS ((int64_t)60000000000)
#define ANSWER_BYTES_MAX   ((size_t)80 << 20) /* as a ring's message */
#define READ_BYTES         16384u
#define INFORMATIONAL_MAX  8u

struct mln_client {
    struct client_place place;
    struct client_link link;
    char *host, *port, *host_header, *name;
    bool skips_verify;
    int64_t timeout_ns;
};

/* ---- the URL ---- */

static char *dup_bytes(struct mln_bytes text)
{
    char *copy = mln_alloc(text.len + 1);
    if (copy != NULL) {
        mln_copy(copy, text.ptr, text.len);
    }
    return copy;
}

/* "host", "host:1", "[::1]:1" into its parts; false when it is none of these. */
static bool split_authority(struct mln_bytes text, struct mln_bytes *host, struct mln_bytes *port)
{
    if (text.len > 0 && text.ptr[0] == '[') {
        *host = mln_bytes_cut(mln_bytes_from(text, 1), ']', port);
        if (mln_bytes_find(text, ']') == text.len || (port->len > 0 && port->ptr[0] != ':')) {
            return false;
        }
        *port = mln_bytes_from(*port, 1);
    } else {
        *host = mln_bytes_cut(text, ':', port);
    }
    uint64_t number = 0;
    if (port->len > 0 && (!mln_u64_parse(*port, &number) || number == 0 || number > 65535)) {
        return false;
    }
    for (size_t i = 0; i < host->len; i++) {
        uint8_t c = host->ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '@' || c == '/' || c == '?' || c == '#') {
            return false;
        }
    }
    return host->len > 0;
}

static struct mln_err read_url(struct mln_cx *cx, const char *text, struct mln_client *client)
{
    struct mln_bytes url = mln_bytes_of(text), host, port = MLN_BYTES_NONE;
    if (mln_bytes_starts(url, MLN_BYTES("unix:"))) {
        client->place.is_unix = true;
        client->host = dup_bytes(mln_bytes_from(url, 5));
        client->host_header = mln_strdup("localhost");
    } else {
        bool is_tls = mln_bytes_starts(url, MLN_BYTES("https://"));
        if (!is_tls && !mln_bytes_starts(url, MLN_BYTES("http://"))) {
            return mln_fail(cx, MLN_E_INVALID,
                            "address %s: begins with none of http://, https://, unix:", text);
        }
        url = mln_bytes_from(url, is_tls ? 8 : 7);
        if (url.len > 0 && url.ptr[url.len - 1] == '/') {
            url.len--;
        }
        if (!split_authority(url, &host, &port)) {
            return mln_fail(cx, MLN_E_INVALID, "address %s: host or port is malformed", text);
        }
        client->place.is_tls = is_tls;
        client->host = dup_bytes(host);
        client->port = port.len > 0 ? dup_bytes(port) : mln_strdup(is_tls ? "443" : "80");
        client->host_header = dup_bytes(url);
    }
    bool is_whole = client->host != NULL && client->host_header != NULL &&
                    (client->place.is_unix || client->port != NULL);
    client->place.host = client->host;
    client->place.port = client->port;
    return is_whole ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "out of memory");
}

struct mln_err mln_client_new(struct mln_cx *cx, const struct mln_client_config *config,
                              struct mln_client **ret)
{
    MLN_AUTO(mln_client_drop) struct mln_client *client = mln_alloc(sizeof(*client));
    if (client == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    client->link.fd = -1;
    client->link.cancel_fd = config->has_cancel ? config->cancel_fd : -1;
    client->skips_verify = config->skip_verify;
    client->timeout_ns = config->timeout_ns > 0 ? config->timeout_ns : TIMEOUT_DEFAULT_NS;
    MLN_TRY(read_url(cx, config->url, client));
    client->name = mln_strdup(config->server_name != NULL ? config->server_name : client->host);
    if (client->name == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (client->place.is_tls) {
        MLN_TRY(client_tls_setup(cx, config, &client->link.tls));
    }
    *ret = mln_take(&client);
    return MLN_OK;
}

void mln_client_free(struct mln_client *client)
{
    if (client == NULL) {
        return;
    }
    client_hang_up(&client->link);
    SSL_CTX_free(client->link.tls);
    mln_free(client->host);
    mln_free(client->port);
    mln_free(client->host_header);
    mln_free(client->name);
    mln_free(client);
}

void mln_client_drop(struct mln_client **client)
{
    mln_client_free(*client);
    *client = NULL;
}

/* ---- the request ---- */

static bool is_line(const char *text)
{
    for (const char *c = text; *c != 0; c++) {
        if ((unsigned char)*c < 0x20 && *c != '\t') {
            return false;
        }
    }
    return true;
}

static struct mln_err build_request(struct mln_cx *cx, const struct mln_client *client,
                                    const char *method, const char *target,
                                    const char *const *headers, size_t n_headers,
                                    struct mln_bytes body, struct mln_buf *to)
{
    if (target[0] != '/' || !is_line(target) || strchr(target, ' ') != NULL || !is_line(method)) {
        return mln_fail(cx, MLN_E_INVALID, "request target is not a path");
    }
    mln_buf_add_format(to, "%s ", method);
    mln_buf_add_text(to, target);
    mln_buf_add_format(to, " HTTP/1.1\r\nHost: %s\r\nUser-Agent: merlon/" MLN_VERSION "\r\n",
                       client->host_header);
    for (size_t i = 0; i < n_headers; i++) {
        if (!is_line(headers[i])) {
            return mln_fail(cx, MLN_E_INVALID, "a header has a control character");
        }
        mln_buf_add_text(to, headers[i]);
        mln_buf_add_text(to, "\r\n");
    }
    bool is_plain = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
                    strcmp(method, "LIST") == 0 || strcmp(method, "DELETE") == 0;
    if (body.len > 0 || !is_plain) {
        mln_buf_add_format(to, "Content-Length: %zu\r\n", body.len);
    }
    mln_buf_add_text(to, "\r\n");
    mln_buf_add_bytes(to, body);
    return mln_buf_ok(cx, to);
}

/* ---- the answer ---- */

struct reading {
    struct mln_buf in; /* as received */
    struct mln_buf body;
    struct mln_http1_head *head;
    size_t head_len;
    bool is_ended; /* the server closed */
    bool has_begun;
};

static void reading_drop(struct reading *r)
{
    mln_buf_drop(&r->in);
    mln_buf_drop(&r->body);
}

static struct mln_err read_more(struct mln_cx *cx, struct mln_client *client, struct reading *r)
{
    size_t n = 0;
    if (!mln_buf_reserve(&r->in, READ_BYTES)) {
        return mln_fail(cx, r->in.is_over ? MLN_E_TOO_LARGE : MLN_E_MEMORY,
                        "the answer is too large");
    }
    MLN_TRY(client_read(cx, &client->link, r->in.ptr + r->in.len, r->in.cap - r->in.len, &n));
    r->in.len += n;
    r->is_ended = n == 0;
    r->has_begun = r->has_begun || n > 0;
    return MLN_OK;
}

/* The head of the final answer: those of 1xx are read over. */
static struct mln_err read_head(struct mln_cx *cx, struct mln_client *client, struct reading *r)
{
    for (unsigned i = 0; i < INFORMATIONAL_MAX; i++) {
        struct mln_http1_scan scan = {0};
        for (;;) {
            struct mln_err err = mln_http1_scan(cx, &scan, mln_buf_bytes(&r->in), &r->head_len);
            if (mln_failed(err)) {
                return mln_refail(cx, MLN_E_REMOTE, "the server does not answer in HTTP/1.1");
            }
            if (r->head_len > 0) {
                break;
            }
            if (r->is_ended) {
                return mln_fail(cx, MLN_E_UNREACHABLE, "the server closed the connection");
            }
            MLN_TRY(read_more(cx, client, r));
        }
        /* parsed from a copy: the buffer moves while the body is read */
        struct mln_bytes head =
            mln_bytes_dup(cx, mln_bytes_sub(mln_buf_bytes(&r->in), 0, r->head_len));
        MLN_TRY(mln_cx_err(cx));
        if (mln_failed(mln_http1_answer(cx, head, r->head))) {
            return mln_refail(cx, MLN_E_REMOTE, "the server's answer is malformed");
        }
        if (r->head->status >= 200) {
            return MLN_OK;
        }
        mln_buf_shift(&r->in, r->head_len);
    }
    return mln_fail(cx, MLN_E_REMOTE, "the server answers with nothing but interim answers");
}

static struct mln_err read_chunked(struct mln_cx *cx, struct mln_client *client, struct reading *r)
{
    struct mln_http1_chunks chunks = {0};
    for (;;) {
        size_t used = 0;
        struct mln_bytes there = mln_bytes_from(mln_buf_bytes(&r->in), r->head_len);
        struct mln_err err =
            mln_http1_chunks(cx, &chunks, there, &r->body, ANSWER_BYTES_MAX, &used);
        if (mln_is(err, MLN_E_PARSE)) {
            return mln_refail(cx, MLN_E_REMOTE, "the server's answer is malformed");
        }
        MLN_TRY(err);
        mln_move(r->in.ptr + r->head_len, r->in.ptr + r->head_len + used, there.len - used);
        r->in.len -= used;
        if (chunks.is_done) {
            return MLN_OK;
        }
        if (r->is_ended) {
            return mln_fail(cx, MLN_E_REMOTE, "the server's answer is cut off");
        }
        MLN_TRY(read_more(cx, client, r));
    }
}

/* Sets r->body; *ret_keep false when the connection cannot be used again. */
static struct mln_err read_body(struct mln_cx *cx, struct mln_client *client, bool is_head,
                                struct reading *r, bool *ret_keep)
{
    const struct mln_http1_framing *f = &r->head->framing;
    *ret_keep = !f->wants_close;
    if (is_head || r->head->status == 204 || r->head->status == 304) {
        return MLN_OK;
    }
    if (f->is_chunked) {
        return read_chunked(cx, client, r);
    }
    if (f->has_length && f->length > ANSWER_BYTES_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the answer is larger than %zu bytes",
                        ANSWER_BYTES_MAX);
    }
    size_t whole = f->has_length ? r->head_len + (size_t)f->length : SIZE_MAX;
    while (r->in.len < whole && !r->is_ended) {
        MLN_TRY(read_more(cx, client, r));
    }
    if (f->has_length && r->in.len != whole) {
        return mln_fail(cx, MLN_E_REMOTE,
                        r->in.len < whole ? "the server's answer is cut off"
                                          : "the server sent more than an answer");
    }
    *ret_keep = *ret_keep && f->has_length;
    mln_buf_add(&r->body, r->in.ptr + r->head_len, r->in.len - r->head_len);
    return mln_buf_ok(cx, &r->body);
}

static struct mln_err copy_out(struct mln_cx *cx, const struct reading *r,
                               struct mln_client_answer *ret)
{
    const struct mln_http1_head *head = r->head;
    ret->status = head->status;
    ret->n_headers = head->n_headers;
    ret->headers = mln_new_array(cx, head->n_headers, sizeof(*ret->headers));
    for (size_t i = 0; ret->headers != NULL && i < head->n_headers; i++) {
        ret->headers[i].name = mln_bytes_dup(cx, head->headers[i].name);
        ret->headers[i].value = mln_bytes_dup(cx, head->headers[i].value);
    }
    ret->body = mln_bytes_dup(cx, mln_buf_bytes(&r->body));
    return mln_cx_err(cx);
}

static struct mln_err exchange(struct mln_cx *cx, struct mln_client *client,
                               struct mln_bytes request, bool is_head, struct reading *r)
{
    bool keeps = false;
    if (client->link.fd < 0) {
        struct mln_err err =
            client_dial(cx, &client->place, client->name, client->skips_verify, &client->link);
        if (mln_failed(err)) {
            return err;
        }
    }
    struct mln_err err = client_write(cx, &client->link, request);
    if (mln_is(err, MLN_E_UNREACHABLE)) { /* a refusal may stand there already */
        mln_cx_clear(cx);
        err = MLN_OK;
    }
    err = mln_failed(err) ? err : read_head(cx, client, r);
    err = mln_failed(err) ? err : read_body(cx, client, is_head, r, &keeps);
    if (mln_failed(err) || !keeps) {
        client_hang_up(&client->link);
    }
    return err;
}

struct mln_err mln_client_call(struct mln_cx *cx, struct mln_client *client, const char *method,
                               const char *target, const char *const *headers, size_t n_headers,
                               struct mln_bytes body, struct mln_client_answer *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf request = {.is_secret = true};
    MLN_AUTO(reading_drop)
    struct reading r = {
        .in = {.is_secret = true, .max = ANSWER_BYTES_MAX + MLN_HTTP_HEAD_BYTES_MAX}};
    r.body.is_secret = true;
    r.head = mln_new(cx, sizeof(*r.head));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(build_request(cx, client, method, target, headers, n_headers, body, &request));
    client->link.deadline_ns = mln_mono_ns() + client->timeout_ns;
    bool was_kept = client->link.fd >= 0;
    bool is_head = strcmp(method, "HEAD") == 0;
    bool may_repeat = is_head || strcmp(method, "GET") == 0 || strcmp(method, "LIST") == 0;
    struct mln_err err = exchange(cx, client, mln_buf_bytes(&request), is_head, &r);
    if (mln_is(err, MLN_E_UNREACHABLE) && was_kept && may_repeat && !r.has_begun) {
        mln_cx_clear(cx);
        mln_buf_clear(&r.in);
        r.is_ended = false;
        err = exchange(cx, client, mln_buf_bytes(&request), is_head, &r);
    }
    MLN_TRY(err);
    return copy_out(cx, &r, ret);
}
