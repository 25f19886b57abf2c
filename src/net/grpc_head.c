/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads of calls: which method, and may it begin? The order of refusals is that of how little is known of the caller: no gRPC at all,
 * no such method, then the service's own header (before anything of the request is looked at), then the rest.
 * Source: grpc/doc/PROTOCOL-HTTP2.md.
 */
#include "net/grpc_priv.h"

#include <string.h>

#include "base/text.h"

#define TYPE "application/grpc"

const struct mln_grpc_method *mln_grpc_find(const struct mln_grpc_service *const *services, struct mln_bytes path,
                                            const struct mln_grpc_service **ret_service)
{
    struct mln_bytes method, service;
    if (services == NULL || path.len == 0 || path.ptr[0] != '/') {
        return NULL;
    }
    service = mln_bytes_cut(mln_bytes_from(path, 1), '/', &method);
    for (size_t i = 0; services[i] != NULL; i++) {
        if (!mln_bytes_is(service, services[i]->name)) {
            continue;
        }
        for (const struct mln_grpc_method *m = services[i]->methods; m->name != NULL; m++) {
            if (mln_bytes_is(method, m->name)) {
                *ret_service = services[i];
                return m;
            }
        }
    }
    return NULL;
}

bool mln_grpc_timeout_parse(struct mln_bytes text, int64_t *ret_ns)
{
    static const struct {
        char unit;
        int64_t ns;
    } units[] = {{'H', 3600000000000}, {'M', 60000000000}, {'S', 1000000000}, {'m', 1000000}, {'u', 1000}, {'n', 1}};
    const int64_t most = INT64_MAX / 2;
    uint64_t n = 0;
    if (text.len < 2 || text.len > 9 || !mln_u64_parse(mln_bytes_sub(text, 0, text.len - 1), &n)) {
        return false;
    }
    for (size_t i = 0; i < MLN_COUNT(units); i++) {
        if (text.ptr[text.len - 1] == (uint8_t)units[i].unit) {
            *ret_ns = (int64_t)n > most / units[i].ns ? most : (int64_t)n * units[i].ns;
            return true;
        }
    }
    return false;
}

/* "application/grpc", or that with "+proto" or parameters. */
static bool is_grpc(struct mln_bytes type)
{
    if (!mln_bytes_starts(type, MLN_BYTES(TYPE))) {
        return false;
    }
    struct mln_bytes rest = mln_bytes_from(type, sizeof(TYPE) - 1);
    return rest.len == 0 || rest.ptr[0] == ';' || mln_bytes_is(rest, "+proto") || mln_bytes_starts(rest, MLN_BYTES("+proto;"));
}

static void take_path(struct grpc_stream *stream, struct mln_bytes value)
{
    const struct mln_front_config *config = &stream->grpc->conn->loop->front->config;
    stream->method = mln_grpc_find(config->services, value, &stream->head.service);
}

void grpc_head_line(struct grpc_stream *stream, struct mln_bytes name, struct mln_bytes value)
{
    struct grpc_head *head = &stream->head;
    head->n_lines++;
    head->n_bytes += (uint32_t)(name.len + value.len);
    if (mln_bytes_is(name, ":path")) {
        take_path(stream, value);
    } else if (mln_bytes_is(name, ":method")) {
        head->is_post = mln_bytes_is(value, "POST");
    } else if (mln_bytes_is(name, "content-type")) {
        head->is_grpc = !head->has_type && is_grpc(value);
        head->has_type = true;
    } else if (mln_bytes_is(name, "te")) {
        head->has_te = mln_bytes_is_nocase(value, "trailers");
    } else if (mln_bytes_is(name, "grpc-timeout")) {
        head->is_timeless = head->is_timeless || stream->timeout_ns != INT64_MAX ||
                            !mln_grpc_timeout_parse(value, &stream->timeout_ns);
    } else if (mln_bytes_is(name, "grpc-encoding")) {
        head->is_packed = !mln_bytes_is(value, "identity");
    } else if (head->service != NULL && head->service->header != NULL && mln_bytes_is(name, head->service->header)) {
        head->is_true = head->n_must == 0 && mln_bytes_is(value, "true");
        head->n_must++;
    }
}

static const char *refusal(const struct grpc_stream *stream, int *ret_http, int *ret_status)
{
    const struct grpc_head *head = &stream->head;
    const struct {
        bool is;
        int http, status;
        const char *text;
    } rows[] = {
        {head->n_lines > GRPC_HEADERS_MAX || head->n_bytes > GRPC_HEAD_BYTES_MAX, 200, mln_err_grpc(MLN_E_LIMIT),
         "more metadata than 64 lines or 8192 bytes"},
        {!head->is_post, 405, mln_err_grpc(MLN_E_METHOD), "gRPC is spoken here: the method must be POST"},
        {!head->is_grpc, 415, mln_err_grpc(MLN_E_MEDIA_TYPE), "gRPC is spoken here: content-type must be " TYPE},
        {stream->method == NULL, 200, mln_err_grpc(MLN_E_NO_ROUTE), "unknown service or method"},
        {head->service != NULL && head->service->header != NULL && !head->is_true, 200, mln_err_grpc(MLN_E_INVALID),
         "security header missing from request, or in it more than once"},
        {stream->method != NULL && stream->method->ask == NULL, 200, mln_err_grpc(MLN_E_UNSUPPORTED), "not implemented"},
        {!head->has_te, 200, mln_err_grpc(MLN_E_INVALID), "te: trailers is missing"},
        {head->is_timeless, 200, mln_err_grpc(MLN_E_INVALID), "malformed grpc-timeout"},
        {head->is_packed, 200, mln_err_grpc(MLN_E_UNSUPPORTED), "compressed messages are not taken"},
        {stream->grpc->conn->loop->n_calls > GRPC_ALL_STREAMS_MAX, 200, mln_err_grpc(MLN_E_LIMIT), "too many streams at once"},
        {stream->grpc->is_stopping, 200, mln_err_grpc(MLN_E_UNREACHABLE), "the server is stopping"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        if (rows[i].is) {
            *ret_http = rows[i].http;
            *ret_status = rows[i].status;
            return rows[i].text;
        }
    }
    return NULL;
}

bool grpc_head_end(struct grpc_stream *stream)
{
    struct loop *loop = stream->grpc->conn->loop;
    int http = 0, status = 0;
    const char *text = refusal(stream, &http, &status);
    if (text != NULL) {
        grpc_refuse(stream, http, status, text);
        return false;
    }
    if (stream->method->state_bytes > 0 && (stream->call.state = mln_alloc(stream->method->state_bytes)) == NULL) {
        grpc_refuse(stream, 200, mln_err_grpc(MLN_E_MEMORY), mln_err_text(MLN_E_MEMORY));
        return false;
    }
    int64_t within_ns = stream->timeout_ns;
    int64_t arrive_ns = loop->front->config.body_deadline_ns;
    if (within_ns != INT64_MAX) {
        stream->timeout_ns = within_ns > INT64_MAX - loop->now_ns ? INT64_MAX : loop->now_ns + within_ns;
    }
    grpc_deadline(stream, loop->now_ns + (within_ns < arrive_ns ? within_ns : arrive_ns));
    return true;
}
