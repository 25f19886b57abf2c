/* SPDX-License-Identifier: Apache-2.0 */
/* What is about the server: health, status, configuration, metrics. */
#include "api/rego_priv.h"

#include "base/clock.h"
#include "base/text.h"

/* ---- health ---- */

static bool plugins_ok(struct rego_call *call)
{
    bool skips_bundle = false, skips_discovery = false, ok = true;
    struct mln_bytes name;
    for (size_t i = 0; rego_param_at(call, "exclude-plugin", i, &name); i++) {
        skips_bundle = skips_bundle || mln_bytes_is(name, "bundle");
        skips_discovery = skips_discovery || mln_bytes_is(name, "discovery");
    }
    struct mln_rego_state *state = call->state;
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        const struct rego_bundle *b = &state->bundles[i];
        ok = ok && (b->is_active || (b->is_discovery ? skips_discovery : skips_bundle));
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    return ok;
}

static bool bundles_ok(struct mln_rego_state *state)
{
    bool ok = true;
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        ok = ok && (state->bundles[i].is_active || state->bundles[i].is_discovery);
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    return ok;
}

static void say_health(struct rego_call *call, const char *error)
{
    call->answer->status = error == NULL ? 200 : 500;
    mln_buf_add_text(call->body, "{");
    if (error != NULL) {
        mln_buf_add_text(call->body, "\"error\":");
        mln_json_print_string(call->body, mln_bytes_of(error), MLN_JSON_COMPACT);
    }
    mln_buf_add_byte(call->body, '}');
}

/* {"plugin_state": {"bundle": "OK"}, "plugins_ready": true} */
static bool put_plugin_input(struct rego_call *call)
{
    struct mln_cx *cx = call->cx;
    struct mln_value *input = mln_object(cx), *plugins = mln_object(cx);
    if (call->state->n_bundles > 0) {
        mln_put_text(cx, plugins, "bundle", bundles_ok(call->state) ? "OK" : "NOT_READY");
    }
    mln_put(cx, input, "plugin_state", plugins);
    mln_put_bool(cx, input, "plugins_ready", plugins_ok(call));
    return !mln_failed(mln_rego_eval_input_value(call->worker->eval, cx, input));
}

/* /health/live asks data.system.health.live. */
static void ask_policy(struct rego_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0}, answer = {0};
    struct mln_bytes names[MLN_REGO_PATH_MAX];
    struct mln_rego_path path = {names, 2};
    names[0] = MLN_BYTES("system");
    names[1] = MLN_BYTES("health");
    for (size_t i = 0; i < call->path.n && path.n < MLN_COUNT(names); i++) {
        names[path.n++] = call->path.names[i];
    }
    rego_path_query(path, &text);
    const struct mln_rego_query *query = put_plugin_input(call) ? rego_prepare(call, mln_buf_bytes(&text)) : NULL;
    if (query == NULL || !rego_evaluate(call, query)) {
        return;
    }
    bool is_there = mln_rego_binding_print(call->worker->eval, 0, REGO_RESULT, &answer);
    bool ok = is_there && mln_bytes_is(mln_buf_bytes(&answer), "true");
    say_health(call, ok ? NULL : is_there ? "health check returned unexpected value" : "health check was undefined");
}

void rego_health(struct rego_call *call)
{
    bool by_bundles = rego_flag(call, "bundles") || rego_flag(call, "bundle");
    if (call->path.n > 0) {
        ask_policy(call);
    } else if (by_bundles && !bundles_ok(call->state)) {
        say_health(call, "one or more bundles are not activated");
    } else if (rego_flag(call, "plugins") && !plugins_ok(call)) {
        say_health(call, "one or more plugins are not up");
    } else {
        say_health(call, NULL);
    }
}

/* ---- configuration ---- */

void rego_config_show(struct rego_call *call)
{
    struct mln_cx *cx = call->cx;
    const struct rego_settings *s = call->snapshot->settings;
    struct mln_value *all = mln_value_dup(cx, rego_config_shown(cx, s->config));
    const struct mln_value *labels = NULL;
    if (mln_failed(mln_json_parse(cx, s->labels, &labels))) {
        rego_refuse(call, 500, "internal_error", "labels cannot be read");
        return;
    }
    mln_put(cx, all, "labels", labels);
    mln_buf_add_text(call->body, "{\"result\":");
    mln_json_print(call->body, all, MLN_JSON_COMPACT);
    mln_buf_add_byte(call->body, '}');
}

/* ---- status ---- */

static void put_time(struct mln_cx *cx, struct mln_value *to, const char *name, int64_t ns)
{
    if (ns != 0) {
        mln_put_text(cx, to, name, mln_time_text_go(cx, ns));
    }
}

static struct mln_value *bundle_status(struct mln_cx *cx, const struct rego_bundle *b)
{
    struct mln_value *v = mln_object(cx), *metrics = mln_object(cx);
    mln_put_bytes(cx, v, "name", mln_bytes_of(mln_text_dup(cx, mln_bytes_of(b->name))));
    if (b->is_active && b->revision != NULL) {
        mln_put_text(cx, v, "active_revision", mln_text_dup(cx, mln_bytes_of(b->revision)));
    }
    put_time(cx, v, "last_request", b->requested_ns);
    put_time(cx, v, "last_successful_request", b->answered_ns);
    put_time(cx, v, "last_successful_download", b->downloaded_ns);
    put_time(cx, v, "last_successful_activation", b->activated_ns);
    mln_put_text(cx, v, "type", b->is_delta ? "delta" : "snapshot");
    mln_put_int(cx, v, "size", b->bytes);
    mln_put_int(cx, metrics, "timer_bundle_activation_ns", b->took_ns);
    mln_put(cx, v, "metrics", metrics);
    if (b->code[0] != '\0') {
        mln_put_text(cx, v, "code", mln_text_dup(cx, mln_bytes_of(b->code)));
        mln_put_text(cx, v, "message", mln_text_dup(cx, mln_bytes_of(b->message)));
    }
    if (b->http != 0 && b->http != 200 && b->http != 304) {
        mln_put(cx, v, "http_code", mln_textf(cx, "%lld", (long long)b->http));
    }
    return v;
}

static void put_plugin(struct mln_cx *cx, struct mln_value *plugins, const char *name, bool ok)
{
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "state", ok ? "OK" : "NOT_READY");
    mln_put(cx, plugins, name, v);
}

void rego_print_status(struct mln_cx *cx, struct mln_rego_state *state, struct mln_buf *out)
{
    struct mln_value *all = mln_object(cx), *bundles = mln_object(cx), *plugins = mln_object(cx);
    const struct mln_value *labels = NULL;
    bool ok = true, has_bundle = false;
    (void)pthread_mutex_lock(&state->lock);
    struct mln_bytes text = mln_bytes_dup(cx, state->now->settings->labels);
    bool logs = state->now->settings->config->decisions.is_on, reports = state->now->settings->config->status.is_on;
    (void)pthread_mutex_unlock(&state->lock);
    if (!mln_failed(mln_json_parse(cx, text, &labels))) {
        mln_put(cx, all, "labels", labels);
    }
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        const struct rego_bundle *b = &state->bundles[i];
        struct mln_value *v = bundle_status(cx, b);
        if (b->is_discovery) {
            mln_put(cx, all, "discovery", v);
            put_plugin(cx, plugins, "discovery", b->is_active);
        } else {
            mln_put(cx, bundles, mln_text_dup(cx, mln_bytes_of(b->name)), v);
            ok = ok && b->is_active;
            has_bundle = true;
        }
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    if (has_bundle) {
        mln_put(cx, all, "bundles", bundles);
        put_plugin(cx, plugins, "bundle", ok);
    }
    if (logs) {
        put_plugin(cx, plugins, "decision_logs", true);
    }
    if (reports) {
        put_plugin(cx, plugins, "status", true);
    }
    mln_put(cx, all, "plugins", plugins);
    mln_json_print(out, all, MLN_JSON_COMPACT);
}

void rego_status_show(struct rego_call *call)
{
    mln_buf_add_text(call->body, "{\"result\":");
    rego_print_status(call->cx, call->state, call->body);
    mln_buf_add_byte(call->body, '}');
}

/* ---- metrics ---- */

static const char *const bucket_names[REGO_TIME_BUCKETS] = {"1e-06",  "5e-06", "1e-05", "5e-05", "0.0001",
                                                            "0.0005", "0.001", "0.01",  "0.1",   "1"};

static uint64_t sum_of(struct mln_rego_state *state, size_t offset)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < MLN_COUNT(state->workers); i++) {
        const char *at = (const char *)&state->workers[i] + offset;
        sum += atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_relaxed);
    }
    return sum;
}

static void print_durations(struct mln_rego_state *state, struct mln_buf *out, uint64_t all)
{
    mln_buf_add_text(out, "# HELP http_request_duration_seconds A histogram of duration for requests.\n"
                          "# TYPE http_request_duration_seconds histogram\n");
    uint64_t below = 0;
    for (size_t k = 0; k < REGO_TIME_BUCKETS; k++) {
        below += sum_of(state, offsetof(struct rego_worker, buckets) + k * sizeof(_Atomic uint64_t));
        mln_buf_add_format(out, "http_request_duration_seconds_bucket{le=\"%s\"} %llu\n", bucket_names[k], (unsigned long long)below);
    }
    uint64_t ns = sum_of(state, offsetof(struct rego_worker, seconds_ns));
    mln_buf_add_format(out,
                       "http_request_duration_seconds_bucket{le=\"+Inf\"} %llu\nhttp_request_duration_seconds_sum %.9f\n"
                       "http_request_duration_seconds_count %llu\n",
                       (unsigned long long)all, (double)ns / 1e9, (unsigned long long)all);
}

static void print_bundles(struct mln_rego_state *state, struct mln_buf *out)
{
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        const struct rego_bundle *b = &state->bundles[i];
        mln_buf_add_text(out, i == 0 ? "# HELP bundle_active Is the bundle active?\n# TYPE bundle_active gauge\n" : "");
        mln_buf_add_text(out, "bundle_active{name=");
        mln_json_print_string(out, mln_bytes_of(b->name), MLN_JSON_COMPACT);
        mln_buf_add_format(out, "} %d\n", b->is_active);
    }
    for (size_t i = 0; i < state->n_bundles; i++) {
        const struct rego_bundle *b = &state->bundles[i];
        mln_buf_add_text(out, i == 0 ? "# HELP last_success_bundle_activation When it became active, since 1970.\n"
                                       "# TYPE last_success_bundle_activation gauge\n"
                                     : "");
        mln_buf_add_text(out, "last_success_bundle_activation{name=");
        mln_json_print_string(out, mln_bytes_of(b->name), MLN_JSON_COMPACT);
        mln_buf_add_format(out, "} %.3f\n", (double)b->activated_ns / 1e9);
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
}

void rego_print_metrics(struct mln_rego_state *state, struct mln_buf *out)
{
    static const char *const codes[REGO_STATUS_CLASSES] = {"other", "1xx", "2xx", "3xx", "4xx", "5xx"};
    uint64_t all = 0;
    mln_buf_add_text(out, "# HELP http_requests_total Requests that were answered, by class of status.\n"
                          "# TYPE http_requests_total counter\n");
    for (size_t k = 0; k < REGO_STATUS_CLASSES; k++) {
        uint64_t sum = sum_of(state, offsetof(struct rego_worker, requests) + k * sizeof(_Atomic uint64_t));
        mln_buf_add_format(out, "http_requests_total{code=\"%s\"} %llu\n", codes[k], (unsigned long long)sum);
        all += sum;
    }
    print_durations(state, out, all);
    print_bundles(state, out);
}

void rego_metrics_show(struct rego_call *call)
{
    struct mln_buf *out = call->body;
    call->answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
    rego_print_metrics(call->state, out);
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
