/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may ask: the policy at the configured decision (data.system.authz.allow) is asked about each request, with OPA's input:
 * identity (bearer token, or subject of the client's certificate), method, path as a list, params, headers, body. True, or an object
 * whose "allowed" is true, permits; everything else, undefined and errors among them, refuses.
 */
#include "api/rego_priv.h"

#include "base/text.h"
#include "crypto/x509.h"

#define AUTHZ_STEPS 10000000u

static void put_identity(struct rego_call *call, struct mln_value *input)
{
    struct mln_cx *cx = call->cx;
    if (call->state->authentication == MLN_REGO_AUTHENTICATION_TOKEN) {
        struct mln_bytes token, kind = mln_http_header(call->http, "Authorization");
        kind = mln_bytes_cut(kind, ' ', &token);
        if (mln_bytes_is_nocase(kind, "Bearer") && mln_utf8_valid(token)) {
            mln_put(cx, input, "identity", mln_string(cx, mln_bytes_trim(token)));
        }
    } else if (call->state->authentication == MLN_REGO_AUTHENTICATION_TLS && call->http->n_peer_certs > 0) {
        const char *subject = NULL;
        if (!mln_failed(mln_x509_subject_text(cx, call->http->peer_certs[0], &subject))) {
            mln_put_text(cx, input, "identity", subject);
        } else {
            mln_cx_clear(cx);
        }
    }
}

/* {"name": ["value", ..]}: names as Go writes headers, "Content-Type". */
static void add_to_list(struct mln_cx *cx, struct mln_value *object, struct mln_bytes name, struct mln_bytes value)
{
    struct mln_value *list = (struct mln_value *)(uintptr_t)mln_get_key(object, name);
    if (!mln_utf8_valid(name) || !mln_utf8_valid(value)) {
        return;
    }
    if (list == NULL) {
        mln_put_key(cx, object, name, mln_array(cx));
        list = (struct mln_value *)(uintptr_t)mln_get_key(object, name);
    }
    mln_push(cx, list, mln_string(cx, value));
}

static struct mln_bytes canonical(struct mln_cx *cx, struct mln_bytes name)
{
    uint8_t *out = mln_new(cx, name.len + 1);
    bool is_first = true;
    for (size_t i = 0; out != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        bool is_lower = c >= 'a' && c <= 'z', is_upper = c >= 'A' && c <= 'Z';
        out[i] = is_first && is_lower ? (uint8_t)(c - 32) : !is_first && is_upper ? (uint8_t)(c + 32) : c;
        is_first = c == '-';
    }
    return mln_bytes_at(out, out == NULL ? 0 : name.len);
}

static void put_headers(struct rego_call *call, struct mln_value *input)
{
    struct mln_value *headers = mln_object(call->cx);
    for (size_t i = 0; i < call->http->n_headers; i++) {
        add_to_list(call->cx, headers, canonical(call->cx, call->http->headers[i].name), call->http->headers[i].value);
    }
    mln_put(call->cx, input, "headers", headers);
}

static void put_params(struct rego_call *call, struct mln_value *input)
{
    struct mln_value *params = mln_object(call->cx);
    struct mln_bytes rest = call->http->query;
    while (rest.len > 0) {
        MLN_AUTO(mln_buf_drop) struct mln_buf name = {0}, text = {0};
        struct mln_bytes value, pair = mln_bytes_cut(rest, '&', &rest), key = mln_bytes_cut(pair, '=', &value);
        if (!mln_failed(mln_percent_parse(call->cx, key, true, &name)) && !mln_failed(mln_percent_parse(call->cx, value, true, &text))) {
            add_to_list(call->cx, params, mln_bytes_dup(call->cx, mln_buf_bytes(&name)), mln_bytes_dup(call->cx, mln_buf_bytes(&text)));
        }
        mln_cx_clear(call->cx);
    }
    mln_put(call->cx, input, "params", params);
}

static bool is_policies(struct mln_bytes path)
{
    return mln_bytes_is(path, "/v1/policies") || mln_bytes_starts(path, MLN_BYTES("/v1/policies/"));
}

/* A policy's id is its names joined by slashes: one that holds a slash is the same as two, and is shown so. */
static void push_name(struct rego_call *call, struct mln_value *list, struct mln_bytes name)
{
    bool splits = is_policies(call->http->path);
    for (size_t at; splits && (at = mln_bytes_find(name, '/')) < name.len; name = mln_bytes_from(name, at + 1)) {
        mln_push(call->cx, list, mln_string_dup(call->cx, mln_bytes_sub(name, 0, at)));
    }
    mln_push(call->cx, list, mln_string_dup(call->cx, name));
}

static void put_path(struct rego_call *call, struct mln_value *input)
{
    struct mln_value *list = mln_array(call->cx);
    struct mln_bytes rest = call->http->path;
    rest = mln_bytes_starts(rest, MLN_BYTES("/")) ? mln_bytes_from(rest, 1) : rest;
    while (rest.len > 0) {
        MLN_AUTO(mln_buf_drop) struct mln_buf name = {0};
        struct mln_bytes part = mln_bytes_cut(rest, '/', &rest);
        bool ok = !mln_failed(mln_percent_parse(call->cx, part, false, &name)) && mln_utf8_valid(mln_buf_bytes(&name));
        mln_cx_clear(call->cx);
        push_name(call, list, ok ? mln_buf_bytes(&name) : MLN_BYTES(""));
    }
    mln_put(call->cx, input, "path", list);
}

/*
 * The policy must see what the handler will read. So the body is read the handler's way (YAML too), and one that cannot be shown
 * whole is refused: names that come twice would be one thing here and another there. Policies are texts, and no part of the input.
 */
#define BODY_MAX ((size_t)4 << 20) /* held twice while the policy decides */
static bool put_body(struct rego_call *call, struct mln_value *input)
{
    const struct mln_value *body = NULL;
    struct mln_bytes json;
    if (is_policies(call->http->path) || mln_bytes_trim(call->input).len == 0) {
        return true;
    }
    if (call->input.len > BODY_MAX) {
        rego_refuse(call, 413, "invalid_parameter", "with authorization a body may have %zu MiB: the policy sees it", BODY_MAX >> 20);
        return false;
    }
    struct mln_err err = rego_body_json(call, &json);
    err = mln_failed(err) ? err : mln_json_parse(call->cx, json, &body);
    if (mln_failed(err)) {
        rego_refuse(call, 400, "invalid_parameter", "the body cannot be shown to the policy that authorizes: %s", call->cx->text);
        return false;
    }
    mln_put(call->cx, input, "body", body);
    return true;
}

static bool is_allowed(const struct mln_value *answer, struct mln_cx *cx, const char **ret_reason)
{
    if (mln_type_of(answer) == MLN_OBJECT) {
        *ret_reason = mln_get_text(cx, mln_get(answer, "reason"), NULL);
        return mln_get_bool(mln_get(answer, "allowed"), false);
    }
    return mln_get_bool(answer, false);
}

static struct mln_err ask(struct rego_call *call, const struct mln_value *input, const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0}, json = {0};
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *failed = NULL;
    const struct mln_rego_query *query = NULL;
    struct mln_rego_eval *eval = call->worker->eval;
    struct mln_rego_run_options options = {.budget = {.steps_max = AUTHZ_STEPS, .time_ns = call->state->time_ns},
                                           .zones = call->state->zones};
    rego_path_query(rego_path_of(call->cx, call->snapshot->settings->config->default_authorization), &text);
    MLN_TRY(mln_rego_eval_input_value(eval, call->cx, input));
    MLN_TRY(rego_query_get(call, mln_buf_bytes(&text), mln_buf_bytes(&text), &query, &failed));
    MLN_TRY(mln_rego_run(eval, call->cx, query, call->snapshot->documents->data, &options));
    if (!mln_rego_binding_print(eval, 0, REGO_RESULT, &json)) {
        return MLN_OK;
    }
    return mln_json_parse(call->cx, mln_bytes_dup(call->cx, mln_buf_bytes(&json)), ret);
}

bool rego_authorized(struct rego_call *call)
{
    const struct mln_value *answer = NULL;
    const char *reason = NULL;
    if (!call->state->is_authorized) {
        return true;
    }
    if (mln_bytes_find_bytes(call->http->path, MLN_BYTES("//")) < call->http->path.len) {
        rego_refuse(call, 400, "invalid_parameter", "the path has an empty name");
        return false;
    }
    struct mln_value *input = mln_object(call->cx);
    put_identity(call, input);
    mln_put(call->cx, input, "method", mln_string(call->cx, call->http->method));
    put_path(call, input);
    put_params(call, input);
    put_headers(call, input);
    if (!put_body(call, input)) {
        return false;
    }
    struct mln_err err = mln_cx_err(call->cx);
    err = mln_failed(err) ? err : ask(call, input, &answer);
    mln_rego_eval_reset(call->worker->eval);
    if (mln_failed(err)) {
        rego_refuse(call, 500, "internal_error", "the policy that authorizes failed: %s", call->cx->text);
        return false;
    }
    if (is_allowed(answer, call->cx, &reason)) {
        return true;
    }
    if (answer == NULL) {
        rego_refuse(call, 500, "internal_error", "authorization policy missing or undefined");
    } else {
        rego_refuse(call, 401, "unauthorized", "%s", reason != NULL ? reason : "request rejected by administrative policy");
    }
    return false;
}
