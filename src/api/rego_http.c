/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of OPA's REST API, parameters of requests, and how refusals look. */
#include "api/rego_priv.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define JSON "application/json"

/* ---- parameters ---- */

static struct mln_bytes decoded(struct mln_cx *cx, struct mln_bytes text, bool plus_is_space, bool *ok)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    *ok = !mln_failed(mln_percent_parse(cx, text, plus_is_space, &out)) && !out.has_failed &&
          mln_utf8_valid(mln_buf_bytes(&out));
    return mln_bytes_dup(cx, mln_buf_bytes(&out));
}

bool rego_param(struct rego_call *call, const char *name, struct mln_bytes *ret)
{
    struct mln_bytes rest = call->http->query;
    while (rest.len > 0) {
        struct mln_bytes value, pair = mln_bytes_cut(rest, '&', &rest);
        struct mln_bytes key = mln_bytes_cut(pair, '=', &value);
        bool ok = true;
        if (mln_bytes_is(key, name)) {
            *ret = decoded(call->cx, value, true, &ok);
            return ok;
        }
    }
    return false;
}

bool rego_flag(struct rego_call *call, const char *name)
{
    struct mln_bytes value;
    return call->http->query.len > 0 && rego_param(call, name, &value) &&
           (value.len == 0 || mln_bytes_is_nocase(value, "true") || mln_bytes_is(value, "1"));
}

/* ---- refusals ---- */

static void begin_refusal(struct rego_call *call, int status, const char *code, const char *message)
{
    call->answer->status = status;
    call->is_empty = false;
    mln_buf_clear(call->body);
    mln_buf_add_text(call->body, "{\"code\":");
    mln_json_print_string(call->body, mln_bytes_of(code), MLN_JSON_COMPACT);
    mln_buf_add_text(call->body, ",\"message\":");
    mln_json_print_string(call->body, mln_bytes_of(message), MLN_JSON_COMPACT);
}

void rego_refuse(struct rego_call *call, int status, const char *code, const char *format, ...)
{
    char text[MLN_CX_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    begin_refusal(call, status, code, text);
    mln_buf_add_byte(call->body, '}');
}

static void add_error(struct mln_buf *out, const struct mln_rego_error *e)
{
    mln_buf_add_text(out, "{\"code\":");
    mln_json_print_string(out, mln_bytes_of(e->code), MLN_JSON_COMPACT);
    mln_buf_add_text(out, ",\"message\":");
    mln_json_print_string(out, mln_bytes_of(e->message), MLN_JSON_COMPACT);
    if (e->row > 0) {
        mln_buf_add_text(out, ",\"location\":{\"file\":");
        mln_json_print_string(out, mln_bytes_of(e->file == NULL ? "" : e->file), MLN_JSON_COMPACT);
        mln_buf_add_format(out, ",\"row\":%u,\"col\":%u}", (unsigned)e->row, (unsigned)e->col);
    }
    mln_buf_add_byte(out, '}');
}

void rego_refuse_list(struct rego_call *call, int status, const char *code, const char *message, rego_error_fn *at,
                      const void *of)
{
    begin_refusal(call, status, code, message);
    mln_buf_add_text(call->body, ",\"errors\":[");
    for (size_t i = 0; at(of, i) != NULL; i++) {
        mln_buf_add_text(call->body, i == 0 ? "" : ",");
        add_error(call->body, at(of, i));
    }
    mln_buf_add_text(call->body, "]}");
}

void rego_refuse_change(struct rego_call *call, struct mln_err err)
{
    const char *text = call->cx->text;
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        rego_refuse(call, 404, "resource_not_found", "storage_not_found_error: %s", text);
    } else if (mln_is(err, MLN_E_PARSE)) {
        rego_refuse(call, 400, "invalid_parameter", "body contains malformed JSON: %s", text);
    } else if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_EXISTS)) {
        rego_refuse(call, 400, "invalid_parameter", "%s", text);
    } else {
        rego_refuse(call, mln_err_http(err.code), "internal_error", "%s", text);
    }
}

/* ---- what answers may have besides the result ---- */

static void add_metrics(struct rego_call *call)
{
    struct mln_buf *out = call->body;
    mln_buf_add_format(out,
                       "\"metrics\":{\"counter_server_query_cache_hit\":%d,\"timer_rego_external_resolve_ns\":0,"
                       "\"timer_rego_input_parse_ns\":%lld,\"timer_rego_query_compile_ns\":%lld,"
                       "\"timer_rego_query_eval_ns\":%lld,\"timer_server_handler_ns\":%lld}",
                       call->was_kept, (long long)call->parse_ns, (long long)call->compile_ns,
                       (long long)call->eval_ns, (long long)(mln_mono_ns() - call->start_ns));
}

void rego_add_extras(struct rego_call *call, bool is_first)
{
    if (call->has_metrics) {
        mln_buf_add_text(call->body, is_first ? "" : ",");
        add_metrics(call);
        is_first = false;
    }
    if (call->has_provenance) {
        mln_buf_add_format(call->body,
                           "%s\"provenance\":{\"version\":\"%s\",\"build_commit\":\"\",\"build_timestamp\":\"\","
                           "\"build_hostname\":\"\"}",
                           is_first ? "" : ",", MLN_VERSION);
    }
}

/* ---- what is about the server ---- */

static void health(struct rego_call *call)
{
    mln_buf_add_text(call->body, "{}");
}

static void root_get(struct rego_call *call)
{
    call->answer->content_type = "text/html; charset=utf-8";
    mln_buf_add_text(call->body, "<!DOCTYPE html><title>Merlon</title><p>Policies are served here: POST /v1/data/PATH\n");
}

static void config_get(struct rego_call *call)
{
    mln_buf_add_format(call->body,
                       "{\"result\":{\"default_authorization_decision\":\"/system/authz/allow\","
                       "\"default_decision\":\"/system/main\",\"labels\":{\"id\":\"%s\",\"version\":\"%s\"}}}",
                       call->state->id, MLN_VERSION);
}

static void status_get(struct rego_call *call)
{
    mln_buf_add_format(call->body,
                       "{\"result\":{\"labels\":{\"id\":\"%s\",\"version\":\"%s\"},\"plugins\":{},"
                       "\"policies\":%zu,\"data_bytes\":%zu}}",
                       call->state->id, MLN_VERSION, call->snapshot->set->n,
                       mln_rego_data_bytes(call->snapshot->documents->data));
}

static void metrics_get(struct rego_call *call)
{
    static const char *const codes[] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    struct mln_buf *out = call->body;
    call->answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    mln_buf_add_text(out, "# HELP http_requests_total Requests that were answered, by class of status.\n"
                          "# TYPE http_requests_total counter\n");
    for (size_t k = 0; k < MLN_COUNT(codes); k++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < MLN_COUNT(call->state->workers); i++) {
            sum += atomic_load_explicit(&call->state->workers[i].requests[k], memory_order_relaxed);
        }
        mln_buf_add_format(out, "http_requests_total{code=\"%s\"} %llu\n", codes[k], (unsigned long long)sum);
    }
    mln_buf_add_format(out,
                       "# HELP rego_policies Policies that are loaded.\n# TYPE rego_policies gauge\nrego_policies %zu\n"
                       "# HELP rego_data_bytes Memory of the documents.\n# TYPE rego_data_bytes gauge\nrego_data_bytes %zu\n"
                       "# HELP process_cpu_seconds_total CPU time of the process.\n"
                       "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.3f\n"
                       "# HELP process_start_time_seconds Start, since 1970.\n"
                       "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.3f\n",
                       call->snapshot->set->n, mln_rego_data_bytes(call->snapshot->documents->data),
                       (double)mln_cpu_ns() / 1e9, (double)call->state->start_ns / 1e9);
}

static void compile_post(struct rego_call *call)
{
    rego_refuse(call, 501, "not_implemented", "partial evaluation (/v1/compile) is not supported");
}

/* ---- routes ---- */

enum need { ANY, NONE, SOME }; /* names behind the prefix */
static const struct route {
    const char *method, *prefix;
    enum need need;
    void (*run)(struct rego_call *call);
} routes[] = {
    {"POST", "/v1/data", ANY, rego_data_post},
    {"GET", "/v1/data", ANY, rego_data_get},
    {"PUT", "/v1/data", ANY, rego_data_put},
    {"PATCH", "/v1/data", ANY, rego_data_patch},
    {"DELETE", "/v1/data", ANY, rego_data_delete},
    {"POST", "/v0/data", ANY, rego_v0_post},
    {"GET", "/v1/policies", NONE, rego_policy_list},
    {"GET", "/v1/policies", SOME, rego_policy_get},
    {"PUT", "/v1/policies", SOME, rego_policy_put},
    {"DELETE", "/v1/policies", SOME, rego_policy_delete},
    {"GET", "/v1/query", NONE, rego_query_ask_get},
    {"POST", "/v1/query", NONE, rego_query_ask_post},
    {"POST", "/v1/compile", ANY, compile_post},
    {"GET", "/v1/config", NONE, config_get},
    {"GET", "/v1/status", NONE, status_get},
    {"GET", "/health", ANY, health},
    {"GET", "/metrics", NONE, metrics_get},
    {"POST", "/", NONE, rego_root_post},
    {"GET", "/", NONE, root_get},
};

/* The names between slashes, decoded. False: not what a path may be. */
static bool read_path(struct rego_call *call, struct mln_bytes rest)
{
    struct mln_bytes *names = mln_new_array(call->cx, MLN_REGO_PATH_MAX, sizeof(*names));
    bool ok = names != NULL;
    size_t n = 0;
    while (rest.len > 0 && rest.ptr[0] == '/') {
        rest = mln_bytes_from(rest, 1);
    }
    while (rest.len > 0 && rest.ptr[rest.len - 1] == '/') {
        rest.len--;
    }
    while (ok && rest.len > 0) {
        if (n == MLN_REGO_PATH_MAX) {
            return false;
        }
        names[n++] = decoded(call->cx, mln_bytes_cut(rest, '/', &rest), false, &ok);
    }
    call->path = (struct mln_rego_path){names, n};
    return ok;
}

/* The prefix is all of the path or stands before a slash. */
static bool is_below(struct mln_bytes path, const char *prefix, struct mln_bytes *ret_rest)
{
    struct mln_bytes p = mln_bytes_of(prefix);
    *ret_rest = mln_bytes_from(path, p.len);
    return mln_bytes_starts(path, p) && (p.len == 1 ? path.len == 1 : ret_rest->len == 0 || ret_rest->ptr[0] == '/');
}

static void run_route(struct rego_call *call)
{
    struct mln_bytes path = call->http->path, method = call->http->method, rest;
    bool is_there = false;
    method = mln_bytes_is(method, "HEAD") ? MLN_BYTES("GET") : method;
    for (size_t i = 0; i < MLN_COUNT(routes); i++) {
        const struct route *r = &routes[i];
        if (!is_below(path, r->prefix, &rest)) {
            continue;
        }
        bool has_names = rest.len > 1;
        if ((r->need == NONE && has_names) || (r->need == SOME && !has_names)) {
            continue;
        }
        is_there = true;
        if (!mln_bytes_is(method, r->method)) {
            continue;
        }
        if (!read_path(call, rest)) {
            mln_cx_clear(call->cx);
            rego_refuse(call, 400, "invalid_parameter", "bad path: not decodable, or more than %d names",
                        MLN_REGO_PATH_MAX);
            return;
        }
        r->run(call);
        return;
    }
    if (is_there) {
        rego_refuse(call, 405, "method_not_allowed", "this path does not take %.*s", MLN_FMT(method));
    } else {
        rego_refuse(call, 404, "resource_not_found", "nothing is served at this path");
    }
}

static void begin(struct rego_call *call)
{
    struct mln_bytes explain;
    call->is_pretty = rego_flag(call, "pretty");
    call->is_strict = rego_flag(call, "strict-builtin-errors");
    call->has_metrics = rego_flag(call, "metrics") || rego_flag(call, "instrument");
    call->has_provenance = rego_flag(call, "provenance");
    bool explains = call->http->query.len > 0 && rego_param(call, "explain", &explain) && explain.len > 0 &&
                    !mln_bytes_is(explain, "off");
    if (explains) {
        rego_refuse(call, 501, "not_implemented", "explain=off is the only mode that is supported");
        return;
    }
    run_route(call);
}

static void finish(struct rego_call *call)
{
    bool is_json = call->answer->content_type == NULL;
    call->answer->content_type = is_json ? JSON : call->answer->content_type;
    if (call->is_empty) {
        call->answer->content_type = NULL;
    } else if (is_json && call->is_pretty) {
        struct mln_bytes compact = mln_bytes_dup(call->cx, mln_buf_bytes(call->body));
        mln_buf_clear(call->body);
        mln_rego_json_indent(call->body, compact, "  ");
    }
    if (is_json && !call->is_empty) {
        mln_buf_add_byte(call->body, '\n');
    }
    int digit = call->answer->status / 100;
    atomic_fetch_add_explicit(&call->worker->requests[digit >= 1 && digit <= 5 ? digit : 0], 1,
                              memory_order_relaxed);
}

/* ---- the door ---- */

struct mln_err mln_rego_answer_http(void *arg, unsigned thread, struct mln_cx *cx,
                                    const struct mln_http_request *http,
                                    struct mln_http_answer *ret, struct mln_buf *body)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = MLN_BUF_MAX};
    struct mln_rego_state *state = arg;
    MLN_CHECK(thread < MLN_COUNT(state->workers));
    struct rego_call call = {.state = state,
                             .worker = &state->workers[thread],
                             .cx = cx,
                             .http = http,
                             .answer = ret,
                             .body = &text,
                             .start_ns = mln_mono_ns()};
    if (call.worker->eval == NULL) {
        MLN_TRY(mln_rego_eval_new(cx, &call.worker->eval));
    }
    call.snapshot = rego_current(state, call.worker);
    begin(&call);
    mln_cx_clear(cx); /* what a route refused is in its answer */
    finish(&call);
    mln_rego_eval_reset(call.worker->eval);
    MLN_TRY(mln_buf_ok(cx, &text));
    mln_buf_add_bytes(body, mln_buf_bytes(&text));
    return MLN_OK;
}

/* What front refuses before it is a request. */
static void fault(struct mln_cx *cx, struct mln_err err, struct mln_http_answer *ret, struct mln_buf *body)
{
    const char *text = cx->text[0] != '\0' ? cx->text : mln_err_text(err.code);
    const char *code = mln_err_http(err.code) >= 500 ? "internal_error" : "invalid_parameter";
    ret->content_type = JSON;
    mln_buf_add_format(body, "{\"code\":\"%s\",\"message\":", code);
    mln_json_print_string(body, mln_bytes_of(text), MLN_JSON_COMPACT);
    mln_buf_add_text(body, "}\n");
}

const struct mln_front_api mln_rego_api = {.fault = fault};
