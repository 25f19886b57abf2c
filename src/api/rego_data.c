/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/data, /v0/data and the default decision: what policies say, and the documents that they look at. */
#include "api/rego_priv.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/yaml.h"

#define RESULT "result" /* the variable that an answer is bound to */

/* ---- decisions ---- */

static bool is_index(struct mln_bytes name)
{
    uint64_t n = 0;
    return mln_u64_parse(name, &n) && n <= INT64_MAX && (name.len == 1 || name.ptr[0] != '0');
}

/* result = data["a"]["b"][0] */
static void query_text(const struct rego_call *call, struct mln_rego_path path, struct mln_buf *out)
{
    (void)call;
    mln_buf_add_text(out, RESULT " = data");
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

/* Evaluate the document at the path; false when it failed and was answered. */
static bool decide(struct rego_call *call, struct mln_rego_path path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    query_text(call, path, &text);
    const struct mln_rego_query *query = rego_prepare(call, mln_buf_bytes(&text));
    return query != NULL && rego_evaluate(call, query);
}

/* Bodies in YAML are taken as OPA takes them. */
static struct mln_err body_json(struct rego_call *call, struct mln_bytes *ret)
{
    struct mln_bytes type = mln_http_header(call->http, "Content-Type");
    *ret = call->http->body;
    if (mln_bytes_find_bytes(type, MLN_BYTES("yaml")) < type.len) {
        const struct mln_value *value = NULL;
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        MLN_TRY(mln_yaml_parse(call->cx, call->http->body, &value));
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
    int64_t start_ns = mln_mono_ns();
    *ret_has_input = false;
    if (mln_bytes_trim(call->http->body).len == 0) {
        return true;
    }
    if (mln_failed(body_json(call, &json)) ||
        mln_failed(mln_rego_eval_body(call->worker->eval, call->cx, json, &query, ret_has_input))) {
        return refuse_input(call);
    }
    call->parse_ns = mln_mono_ns() - start_ns;
    return true;
}

static void answer_result(struct rego_call *call, bool has_warning)
{
    struct mln_buf *out = call->body;
    mln_buf_add_text(out, "{\"result\":");
    bool is_first = !mln_rego_binding_print(call->worker->eval, 0, RESULT, out);
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
    if (decide(call, call->path)) {
        answer_result(call, false);
    }
}

void rego_data_post(struct rego_call *call)
{
    bool has_input = false;
    if (read_input(call, &has_input) && decide(call, call->path)) {
        answer_result(call, !has_input);
    }
}

/* The body is the input, the answer is the bare result. */
static void bare_decision(struct rego_call *call, struct mln_rego_path path)
{
    struct mln_bytes json;
    bool is_empty = mln_bytes_trim(call->http->body).len == 0;
    if (!is_empty && (mln_failed(body_json(call, &json)) ||
                      mln_failed(mln_rego_eval_input(call->worker->eval, call->cx, json)))) {
        (void)refuse_input(call);
        return;
    }
    if (!decide(call, path)) {
        return;
    }
    if (!mln_rego_binding_print(call->worker->eval, 0, RESULT, call->body)) {
        MLN_AUTO(mln_buf_drop) struct mln_buf name = {0};
        for (size_t i = 0; i < path.n; i++) {
            mln_buf_add_byte(&name, '.');
            mln_buf_add_bytes(&name, path.names[i]);
        }
        rego_refuse(call, 404, "undefined_document", "document missing or undefined: data%.*s",
                    MLN_FMT(mln_buf_bytes(&name)));
    }
}

void rego_v0_post(struct rego_call *call)
{
    bare_decision(call, call->path);
}

void rego_root_post(struct rego_call *call)
{
    const struct mln_bytes names[] = {MLN_BYTES("system"), MLN_BYTES("main")};
    bare_decision(call, (struct mln_rego_path){names, MLN_COUNT(names)});
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
    struct mln_err err = rego_publish(call->cx, call->state, NULL, data);
    if (mln_failed(err)) {
        rego_refuse_change(call, err);
        return;
    }
    call->answer->status = 204;
    call->is_empty = true;
}

static void change(struct rego_call *call, enum mln_rego_change kind)
{
    struct mln_rego_data *data = NULL;
    struct mln_bytes json = {0};
    struct mln_err err = kind == MLN_REGO_REMOVE ? MLN_OK : body_json(call, &json);
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
