/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of OPA's REST API, parameters of requests, and how refusals look. */
#include "api/rego_priv.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "rego/gzip.h"

#define JSON "application/json"

/* ---- parameters ---- */

static struct mln_bytes decoded(struct mln_cx *cx, struct mln_bytes text, bool plus_is_space, bool *ok)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    *ok = !mln_failed(mln_percent_parse(cx, text, plus_is_space, &out)) && !out.has_failed &&
          mln_utf8_valid(mln_buf_bytes(&out));
    return mln_bytes_dup(cx, mln_buf_bytes(&out));
}

bool rego_param_at(struct rego_call *call, const char *name, size_t i, struct mln_bytes *ret)
{
    struct mln_bytes rest = call->http->query;
    while (rest.len > 0) {
        struct mln_bytes value, pair = mln_bytes_cut(rest, '&', &rest);
        struct mln_bytes key = mln_bytes_cut(pair, '=', &value);
        bool ok = true;
        if (mln_bytes_is(key, name) && i-- == 0) {
            *ret = decoded(call->cx, value, true, &ok);
            return ok;
        }
    }
    return false;
}

bool rego_param(struct rego_call *call, const char *name, struct mln_bytes *ret)
{
    return rego_param_at(call, name, 0, ret);
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
        mln_buf_add_text(call->body, is_first ? "" : ",");
        mln_buf_add_text(call->body, "\"provenance\":");
        rego_print_provenance(call, call->body);
        is_first = false;
    }
    if (call->is_decision) {
        mln_buf_add_format(call->body, "%s\"decision_id\":\"%s\"", is_first ? "" : ",", call->decision_id);
    }
}

void rego_print_provenance(struct rego_call *call, struct mln_buf *out)
{
    mln_buf_add_format(out, "{\"version\":\"%s\",\"build_commit\":\"\",\"build_timestamp\":\"\",\"build_hostname\":\"\"", MLN_VERSION);
    if (call->snapshot->revisions.len > 0) {
        mln_buf_add_text(out, ",\"bundles\":");
        mln_buf_add_bytes(out, call->snapshot->revisions);
    }
    mln_buf_add_byte(out, '}');
}

static void root_get(struct rego_call *call)
{
    call->answer->content_type = "text/html; charset=utf-8";
    mln_buf_add_text(call->body, "<!DOCTYPE html><title>Merlon</title><p>Policies are served here: POST /v1/data/PATH\n");
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
    {"POST", "/v1/compile", ANY, rego_compile_post},
    {"GET", "/v1/config", NONE, rego_config_show},
    {"GET", "/v1/status", NONE, rego_status_show},
    {"GET", "/health", ANY, rego_health},
    {"GET", "/metrics", NONE, rego_metrics_show},
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

/* A body that was packed is unpacked once, for whoever looks at it. */
static bool open_body(struct rego_call *call)
{
    struct mln_bytes coding = mln_http_header(call->http, "Content-Encoding");
    call->input = call->http->body;
    if (coding.len == 0 || mln_bytes_is_nocase(coding, "identity")) {
        return true;
    }
    if (!mln_bytes_is_nocase(coding, "gzip")) {
        rego_refuse(call, 415, "invalid_parameter", "Content-Encoding may be gzip");
        return false;
    }
    call->unpacked.max = MLN_REGO_BODY_MAX + 1;
    struct mln_err err = mln_gzip_open(call->cx, call->http->body, MLN_REGO_BODY_MAX, &call->unpacked);
    if (mln_failed(err)) {
        rego_refuse(call, mln_is(err, MLN_E_TOO_LARGE) ? 413 : 400, "invalid_parameter", "the body: %s", call->cx->text);
        return false;
    }
    call->input = mln_buf_bytes(&call->unpacked);
    return true;
}

static void begin(struct rego_call *call)
{
    struct mln_bytes explain;
    if (call->http->query.len > 0) {
        call->is_pretty = rego_flag(call, "pretty");
        call->is_strict = rego_flag(call, "strict-builtin-errors");
        call->has_metrics = rego_flag(call, "metrics") || rego_flag(call, "instrument");
        call->has_provenance = rego_flag(call, "provenance");
        bool explains = rego_param(call, "explain", &explain) && explain.len > 0 && !mln_bytes_is(explain, "off");
        if (explains) {
            rego_refuse(call, 501, "not_implemented", "explain=off is the only mode that is supported");
            return;
        }
    }
    struct mln_bytes path = call->http->path;
    bool is_known = !call->http->is_diagnostic || is_below(path, "/health", &explain) || is_below(path, "/metrics", &explain);
    if (!is_known) {
        rego_refuse(call, 404, "resource_not_found", "nothing is served at this path");
    } else if (open_body(call) && (call->http->is_diagnostic || rego_authorized(call))) {
        run_route(call);
    }
}

/* "gzip" among the codings that the client takes, and not with q=0. */
static bool takes_gzip(const struct mln_http_request *http)
{
    struct mln_bytes rest = mln_http_header(http, "Accept-Encoding");
    while (rest.len > 0) {
        struct mln_bytes how, one = mln_bytes_cut(rest, ',', &rest);
        struct mln_bytes name = mln_bytes_trim(mln_bytes_cut(one, ';', &how));
        if (mln_bytes_is_nocase(name, "gzip")) {
            how = mln_bytes_trim(how);
            return !mln_bytes_is(how, "q=0") && !mln_bytes_starts(how, MLN_BYTES("q=0.0"));
        }
    }
    return false;
}

static void pack_answer(struct rego_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    bool is_long = call->body->len >= (size_t)call->snapshot->settings->config->gzip_min;
    if (!is_long || !takes_gzip(call->http) || mln_failed(mln_gzip_make(call->cx, mln_buf_bytes(call->body), &packed))) {
        return;
    }
    mln_buf_clear(call->body);
    mln_buf_add_bytes(call->body, mln_buf_bytes(&packed));
    call->answer->extra = "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n";
}

static void count(struct rego_call *call)
{
    static const int64_t below_ns[REGO_TIME_BUCKETS] = {1000, 5000, 10000, 50000, 100000, 500000, 1000000, 10000000, 100000000, 1000000000};
    struct rego_worker *w = call->worker;
    int digit = call->answer->status / 100;
    int64_t ns = mln_mono_ns() - call->start_ns;
    size_t bucket = 0;
    while (bucket < REGO_TIME_BUCKETS && ns > below_ns[bucket]) {
        bucket++;
    }
    (void)atomic_fetch_add_explicit(&w->requests[digit >= 1 && digit <= 5 ? digit : 0], 1, memory_order_relaxed);
    (void)atomic_fetch_add_explicit(&w->seconds_ns, (uint64_t)ns, memory_order_relaxed);
    if (bucket < REGO_TIME_BUCKETS) {
        (void)atomic_fetch_add_explicit(&w->buckets[bucket], 1, memory_order_relaxed);
    }
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
    if (!call->is_empty) {
        pack_answer(call);
    }
    count(call);
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
    mln_buf_drop(&call.unpacked);
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
