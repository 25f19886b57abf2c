/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/data, /v0/data and the default decision: what policies say, and the documents that they look at. */
#include "api/rego_priv.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/yaml.h"


/* ---- decisions ---- */

static bool is_index(struct mln_bytes name)
{
    uint64_t n = 0;
    return mln_u64_parse(name, &n) && n <= INT64_MAX && (name.len == 1 || name.ptr[0] != '0');
}

void rego_path_query(struct mln_rego_path path, struct mln_buf *out)
{
    mln_buf_add_text(out, REGO_RESULT " = data");
    for (size_t i = 0; i < path.n; i++) {
        mln_buf_add_byte(out, '[');
        if (is_index(path.names[i])) {
            mln_buf_add_bytes(out, path.names[i]);
        } else {
            mln_json_print_string(out, path.names[i], MLN_JSON_COMPACT);
        }
        mln_buf_add_byte(out, ']');
    }
}

struct mln_rego_path rego_path_of(struct mln_cx *cx, const char *text)
{
    struct mln_bytes *names = mln_new_array(cx, MLN_REGO_PATH_MAX, sizeof(*names));
    struct mln_bytes rest = mln_bytes_of(text);
    size_t n = 0;
    while (names != NULL && rest.len > 0 && n < MLN_REGO_PATH_MAX) {
        names[n++] = mln_bytes_cut(rest, '/', &rest);
    }
    return (struct mln_rego_path){names, n};
}

/* Evaluate the document at the path; false when it failed and was answered. */
static bool decide(struct rego_call *call, struct mln_rego_path path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    bool is_own = path.names == call->path.names; /* else the configuration says which, and may change */
    rego_log_begin(call);
    const struct mln_rego_query *query = is_own ? rego_query_kept(call, call->http->path) : NULL;
    if (query == NULL) {
        rego_path_query(path, &text);
        query = rego_prepare_as(call, is_own ? call->http->path : mln_buf_bytes(&text), mln_buf_bytes(&text));
    }
    return query != NULL && rego_evaluate(call, query);
}

/* The names of a path with slashes between, for the log. */
static const char *path_text(struct rego_call *call, struct mln_rego_path path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    for (size_t i = 0; i < path.n; i++) {
        mln_buf_add_text(&out, i == 0 ? "" : "/");
        mln_buf_add_bytes(&out, path.names[i]);
    }
    return mln_text_dup(call->cx, mln_buf_bytes(&out));
}

/* After the answer was printed: the log may use the evaluator again. */
static void log_decision(struct rego_call *call, struct mln_rego_path path, bool is_decided)
{
    if (!call->is_decision) {
        return;
    }
    const char *why = call->cx->text[0] != '\0' ? call->cx->text : "evaluation failed";
    const char *error = is_decided ? NULL : mln_text_dup(call->cx, mln_bytes_of(why));
    struct rego_decision d = {.path = path_text(call, path), .error = error};
    if (is_decided && call->result_len > 0) {
        d.result = mln_bytes_sub(mln_buf_bytes(call->body), call->result_from, call->result_len);
    }
    rego_log_decision(call, &d);
}

struct mln_err rego_body_json(struct rego_call *call, struct mln_bytes *ret)
{
    struct mln_bytes type = mln_http_header(call->http, "Content-Type");
    *ret = call->input;
    if (mln_bytes_find_bytes(type, MLN_BYTES("yaml")) < type.len) {
        const struct mln_value *value = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        MLN_TRY(mln_yaml_parse(call->cx, call->input, &value));
        mln_json_print(&json, value, MLN_JSON_COMPACT);
        *ret = mln_bytes_dup(call->cx, mln_buf_bytes(&json));
    }
    return mln_cx_err(call->cx);
}

static bool refuse_input(struct rego_call *call)
{
    rego_refuse(call, 400, "invalid_parameter", "body contains malformed input document: %s", call->cx->text);
    return false;
}

/* The member "input" of the body. */
static bool read_input(struct rego_call *call, bool *ret_has_input)
{
    struct mln_bytes json, query;
    int64_t start_ns = rego_clock(call);
    *ret_has_input = false;
    if (mln_bytes_trim(call->input).len == 0) {
        return true;
    }
    if (mln_failed(rego_body_json(call, &json)) ||
        mln_failed(mln_rego_eval_body(call->worker->eval, call->cx, json, &query, ret_has_input))) {
        return refuse_input(call);
    }
    call->parse_ns = rego_clock(call) - start_ns;
    return true;
}

static void answer_result(struct rego_call *call, bool has_warning)
{
    struct mln_buf *out = call->body;
    mln_buf_add_text(out, "{\"result\":");
    call->result_from = out->len;
    bool is_first = !mln_rego_binding_print(call->worker->eval, 0, REGO_RESULT, out);
    call->result_len = out->len - call->result_from;
    if (is_first) {
        mln_buf_clear(out);
        mln_buf_add_byte(out, '{');
    }
    if (has_warning) {
        mln_buf_add_format(out, "%s\"warning\":{\"code\":\"api_usage_warning\","
                                "\"message\":\"'input' key missing from the request\"}", is_first ? "" : ",");
        is_first = false;
    }
    rego_add_extras(call, is_first);
    mln_buf_add_byte(out, '}');
}

void rego_data_get(struct rego_call *call)
{
    struct mln_bytes input;
    if (call->http->query.len > 0 && rego_param(call, "input", &input) &&
        mln_failed(mln_rego_eval_input(call->worker->eval, call->cx, input))) {
        rego_refuse(call, 400, "invalid_parameter", "parameter contains malformed input document: %s", call->cx->text);
        return;
    }
    bool ok = decide(call, call->path);
    if (ok) {
        answer_result(call, false);
    }
    log_decision(call, call->path, ok);
}

void rego_data_post(struct rego_call *call)
{
    bool has_input = false;
    rego_log_begin(call); /* what is logged is measured */
    if (!read_input(call, &has_input)) {
        return;
    }
    bool ok = decide(call, call->path);
    if (ok) {
        answer_result(call, !has_input);
    }
    log_decision(call, call->path, ok);
}

static void refuse_undefined(struct rego_call *call, struct mln_rego_path path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf name = {0};
    for (size_t i = 0; i < path.n; i++) {
        mln_buf_add_byte(&name, '.');
        mln_buf_add_bytes(&name, path.names[i]);
    }
    rego_refuse(call, 404, "undefined_document", "document missing or undefined: data%.*s", MLN_FMT(mln_buf_bytes(&name)));
}

/* The body is the input, the answer is the bare result. */
static void bare_decision(struct rego_call *call, struct mln_rego_path path)
{
    struct mln_bytes json;
    bool is_empty = mln_bytes_trim(call->input).len == 0;
    if (!is_empty && (mln_failed(rego_body_json(call, &json)) ||
                      mln_failed(mln_rego_eval_input(call->worker->eval, call->cx, json)))) {
        (void)refuse_input(call);
        return;
    }
    bool ok = decide(call, path);
    if (ok && !mln_rego_binding_print(call->worker->eval, 0, REGO_RESULT, call->body)) {
        refuse_undefined(call, path);
    } else if (ok) {
        call->result_len = call->body->len;
    }
    log_decision(call, path, ok);
}

void rego_v0_post(struct rego_call *call)
{
    bare_decision(call, call->path);
}

void rego_root_post(struct rego_call *call)
{
    bare_decision(call, rego_path_of(call->cx, call->snapshot->settings->config->default_decision));
}

/* ---- documents ---- */

/* A new snapshot with these documents, unless a rule stands in their place. `writing` is held. */
static void publish(struct rego_call *call, struct mln_rego_data *data)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf clash = {0};
    if (mln_rego_data_conflict(call->state->now->set->rego, data, &clash)) {
        mln_rego_data_free(data);
        rego_refuse(call, 400, "invalid_parameter", "rego_compile_error: conflicting rule for data path %.*s found",
                    MLN_FMT(mln_buf_bytes(&clash)));
        return;
    }
    struct mln_err err = rego_publish(call->cx, call->state, (struct rego_next){.data = data});
    if (mln_failed(err)) {
        rego_refuse_change(call, err);
        return;
    }
    call->answer->status = 204;
    call->is_empty = true;
}

/* What a bundle owns is changed by bundles only. */
static bool refuse_owned(struct rego_call *call)
{
    const char *path = path_text(call, call->path);
    const char *owner = rego_bundle_owner(call->cx, call->state, mln_bytes_of(path));
    if (owner != NULL) {
        rego_refuse(call, 400, "invalid_parameter", "path %s is owned by bundle \"%s\"", path, owner);
    }
    return owner != NULL;
}

static void change(struct rego_call *call, enum mln_rego_change kind)
{
    struct mln_rego_data *data = NULL;
    struct mln_bytes json = {0};
    if (refuse_owned(call)) {
        return;
    }
    struct mln_err err = kind == MLN_REGO_REMOVE ? MLN_OK : rego_body_json(call, &json);
    (void)pthread_mutex_lock(&call->state->writing);
    const struct mln_rego_data *old = call->state->now->documents->data;
    if (!mln_failed(err) && kind == MLN_REGO_MERGE) { /* here: a patch */
        err = mln_rego_data_patch(call->cx, old, call->path, json, &data);
    } else if (!mln_failed(err)) {
        err = mln_rego_data_change(call->cx, old, kind, call->path, json, &data);
    }
    if (mln_failed(err)) {
        rego_refuse_change(call, err);
    } else {
        publish(call, data);
    }
    (void)pthread_mutex_unlock(&call->state->writing);
}

void rego_data_put(struct rego_call *call)
{
    struct mln_bytes condition = mln_http_header(call->http, "If-None-Match");
    if (mln_bytes_is(condition, "*") && mln_rego_data_has(call->snapshot->documents->data, call->path)) {
        call->answer->status = 304;
        call->is_empty = true;
        return;
    }
    change(call, MLN_REGO_PUT);
}

void rego_data_patch(struct rego_call *call)
{
    change(call, MLN_REGO_MERGE);
}

void rego_data_delete(struct rego_call *call)
{
    change(call, MLN_REGO_REMOVE);
}
