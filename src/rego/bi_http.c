/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.send and net.lookup_ip_addr. The library reaches nothing: the host hands in functions (struct mln_rego_net), which
 * keep their own list of what may be reached; without them a call is an error. The same request is sent once in an
 * evaluation. Files and variables of the environment are not read for a policy.
 */
#include "rego/builtin_priv.h"

#include "base/json.h"
#include "base/text.h"
#include "base/yaml.h"
#include "rego/gotime.h"
#include "rego/rego.h"

#include <arpa/inet.h>

#define ANSWER_MEMORY ((size_t)64 << 20) /* what an answer of 4 MiB may become while it is read */
#define TIMEOUT_MS    5000               /* as OPA */
#define TIMEOUT_MOST  60000              /* of one request: an evaluation waits for it */

static const char *const known[] = {"method",
                                    "url",
                                    "body",
                                    "raw_body",
                                    "headers",
                                    "enable_redirect",
                                    "force_json_decode",
                                    "force_yaml_decode",
                                    "tls_use_system_certs",
                                    "tls_ca_cert",
                                    "tls_client_cert",
                                    "tls_client_key",
                                    "tls_insecure_skip_verify",
                                    "timeout",
                                    "cache",
                                    "force_cache",
                                    "force_cache_duration_seconds",
                                    "caching_mode",
                                    "cache_ignored_headers",
                                    "raise_error",
                                    "max_retry_attempts",
                                    "tls_server_name",
                                    "tls_ca_cert_file",
                                    "tls_ca_cert_env_variable",
                                    "tls_client_cert_file",
                                    "tls_client_cert_env_variable",
                                    "tls_client_key_file",
                                    "tls_client_key_env_variable"};
#define SUPPORTED                                                                                  \
    21 /* of known: what follows needs files, the environment or another name than the URL's */

static bool refuse_names(struct rg_call *call, const char *what, struct rg_val names)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf list = {0};
    if (rg_len(names) == 0) {
        return true;
    }
    rg_print_rego(&list, names);
    return rg_fail_operand(call, 1, "%s request parameters(s): %.*s", what,
                           MLN_FMT(mln_buf_bytes(&list)));
}

static bool check_names(struct rg_call *call, struct rg_val request)
{
    struct rg_val bad = rg_set(call->heap, 0), missing = rg_set(call->heap, 0);
    for (size_t i = 0; i < rg_len(request); i++) {
        struct rg_val key = rg_key_at(request, i);
        size_t k = 0;
        while (k < MLN_COUNT(known) &&
               (key.tag != RG_STR || !mln_bytes_is(rg_bytes(key), known[k]))) {
            k++;
        }
        if (k == MLN_COUNT(known)) {
            rg_add(call->heap, bad, key);
        } else if (k >= SUPPORTED) {
            return rg_fail(call, "%s is not supported: policies read no files and no environment",
                           known[k]);
        }
    }
    for (size_t i = 0; i < 2; i++) {
        if (rg_get_text(request, known[i]).tag == RG_UNDEF) {
            rg_add(call->heap, missing, rg_text(call->heap, known[i]));
        }
    }
    return refuse_names(call, "invalid", bad) && refuse_names(call, "missing required", missing);
}

static bool flag(struct rg_val request, const char *key)
{
    struct rg_val v = rg_get_text(request, key);
    return v.tag == RG_BOOL && v.integer != 0;
}

static bool read_timeout(struct rg_call *call, struct rg_val request, int64_t *ret_ms)
{
    struct rg_val v = rg_get_text(request, "timeout");
    int64_t ns = 0;
    *ret_ms = TIMEOUT_MS;
    if (v.tag == RG_UNDEF) {
        return true;
    }
    bool ok = rg_is_number(v) ? rg_num_int(v, &ns)
                              : v.tag == RG_STR && rg_duration_parse(rg_bytes(v), &ns);
    if (!ok || ns <= 0) {
        return rg_fail(call, "invalid value for \"timeout\"");
    }
    *ret_ms = ns / 1000000 < 1 ? 1 : ns / 1000000 > TIMEOUT_MOST ? TIMEOUT_MOST : ns / 1000000;
    return true;
}

static void put_text(struct mln_cx *cx, struct mln_value *ask, const char *key, struct rg_val v)
{
    if (v.tag == RG_STR) {
        mln_put(cx, ask, key, mln_string_dup(cx, rg_bytes(v)));
    }
}

static bool put_headers(struct rg_call *call, struct mln_cx *cx, struct mln_value *ask,
                        struct rg_val headers)
{
    struct mln_value *out = mln_object(cx);
    if (headers.tag != RG_UNDEF && headers.tag != RG_OBJECT) {
        return rg_fail(call, "invalid type for \"headers\"");
    }
    for (size_t i = 0; headers.tag == RG_OBJECT && i < rg_len(headers); i++) {
        if (rg_key_at(headers, i).tag != RG_STR || rg_val_at(headers, i).tag != RG_STR) {
            return rg_fail(call, "invalid type for headers value");
        }
        mln_put_key(cx, out, mln_bytes_dup(cx, rg_bytes(rg_key_at(headers, i))),
                    mln_string_dup(cx, rg_bytes(rg_val_at(headers, i))));
    }
    mln_put(cx, ask, "headers", out);
    return true;
}

static bool put_body(struct rg_call *call, struct mln_cx *cx, struct mln_value *ask,
                     struct rg_val request)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = rg_buf(call->heap);
    struct rg_val body = rg_get_text(request, "body"), raw = rg_get_text(request, "raw_body");
    if (raw.tag != RG_UNDEF && raw.tag != RG_STR) {
        return rg_fail(call, "raw_body must be a string");
    }
    if (raw.tag == RG_STR) {
        put_text(cx, ask, "body", raw);
    } else if (body.tag != RG_UNDEF) {
        rg_print_json(&json, body);
        mln_put(cx, ask, "body", mln_string_dup(cx, mln_buf_bytes(&json)));
    }
    return true;
}

static const char *upper(struct rg_call *call, struct rg_val v)
{
    char *to = rg_text_dup(call->heap, rg_bytes(v));
    for (char *p = to; *p != '\0'; p++) {
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p & ~0x20 : *p);
    }
    return to;
}

/* What the host is asked (rego.h). */
static bool make_ask(struct rg_call *call, struct mln_cx *cx, struct rg_val request,
                     struct mln_value **ret)
{
    struct mln_value *ask = mln_object(cx);
    struct rg_val method = rg_get_text(request, "method"), url = rg_get_text(request, "url");
    struct rg_val age = rg_get_text(request, "force_cache_duration_seconds");
    int64_t timeout_ms = 0, age_s = 0;
    if (method.tag != RG_STR || url.tag != RG_STR) {
        return rg_fail(call, "\"method\" and \"url\" must be strings");
    }
    if (!read_timeout(call, request, &timeout_ms) ||
        !put_headers(call, cx, ask, rg_get_text(request, "headers")) ||
        !put_body(call, cx, ask, request)) {
        return false;
    }
    mln_put(cx, ask, "kind", mln_string(cx, MLN_BYTES("http")));
    mln_put(cx, ask, "method", mln_string_dup(cx, mln_bytes_of(upper(call, method))));
    mln_put(cx, ask, "timeout_ms", mln_int(cx, timeout_ms));
    put_text(cx, ask, "url", url);
    put_text(cx, ask, "ca_pem", rg_get_text(request, "tls_ca_cert"));
    put_text(cx, ask, "cert_pem", rg_get_text(request, "tls_client_cert"));
    put_text(cx, ask, "key_pem", rg_get_text(request, "tls_client_key"));
    if (flag(request, "tls_insecure_skip_verify")) {
        mln_put(cx, ask, "insecure_tls", mln_bool(cx, true));
    }
    if (flag(request, "enable_redirect")) {
        mln_put(cx, ask, "redirects", mln_int(cx, 5));
    }
    if (flag(request, "force_cache") && rg_is_number(age) && rg_num_int(age, &age_s) && age_s > 0 &&
        age_s <= 86400) {
        mln_put(cx, ask, "max_age_ms", mln_int(cx, age_s * 1000));
    }
    *ret = ask;
    return !mln_failed(mln_cx_err(cx)) || rg_fail(call, "request is too large");
}

/* ---- answers ---- */
static bool has_type(const struct mln_value *headers, const char *const *types)
{
    struct mln_bytes t = mln_get_bytes(mln_get(headers, "content-type"));
    t = mln_bytes_trim(mln_bytes_sub(t, 0, mln_bytes_find(t, ';')));
    for (; *types != NULL; types++) {
        if (mln_bytes_is_nocase(t, *types) ||
            (**types == '+' && mln_bytes_ends(t, mln_bytes_of(*types)))) {
            return true;
        }
    }
    return false;
}

static struct rg_val body_value(struct rg_call *call, struct mln_cx *cx, struct rg_val request,
                                const struct mln_value *headers, struct mln_bytes body)
{
    static const char *const json[] = {"application/json", "+json", NULL};
    static const char *const yaml[] = {"application/yaml", "application/x-yaml", "text/yaml",
                                       "+yaml", NULL};
    const struct mln_value *v = NULL;
    const char *why = NULL;
    struct rg_val out = RG_NONE;
    if (flag(request, "force_json_decode") || has_type(headers, json)) {
        out = rg_json_parse(call->heap, body, &why);
    } else if (flag(request, "force_yaml_decode") || has_type(headers, yaml)) {
        out =
            mln_failed(mln_yaml_parse_first(cx, body, &v)) ? RG_NONE : rg_from_value(call->heap, v);
    }
    return out.tag == RG_UNDEF ? rg_null() : out;
}

static struct rg_val header_values(struct rg_heap *heap, const struct mln_value *headers)
{
    struct rg_val out = rg_object(heap, 8);
    for (size_t i = 0; i < mln_len(headers); i++) {
        const struct mln_member *m = mln_member_at(headers, i);
        struct rg_val list = rg_array(heap, 1);
        rg_push(heap, list, rg_string(heap, mln_get_bytes(&m->value)));
        rg_put(heap, out, rg_string(heap, m->key), list);
    }
    return out;
}

static const char *status_text(int64_t code)
{
    static const struct {
        int64_t code;
        const char *text;
    } texts[] = {{200, "OK"},
                 {201, "Created"},
                 {202, "Accepted"},
                 {204, "No Content"},
                 {301, "Moved Permanently"},
                 {302, "Found"},
                 {304, "Not Modified"},
                 {307, "Temporary Redirect"},
                 {308, "Permanent Redirect"},
                 {400, "Bad Request"},
                 {401, "Unauthorized"},
                 {403, "Forbidden"},
                 {404, "Not Found"},
                 {405, "Method Not Allowed"},
                 {409, "Conflict"},
                 {410, "Gone"},
                 {422, "Unprocessable Entity"},
                 {429, "Too Many Requests"},
                 {500, "Internal Server Error"},
                 {502, "Bad Gateway"},
                 {503, "Service Unavailable"},
                 {504, "Gateway Timeout"}};
    for (size_t i = 0; i < MLN_COUNT(texts); i++) {
        if (texts[i].code == code) {
            return texts[i].text;
        }
    }
    return "";
}

static struct rg_val answer_value(struct rg_call *call, struct mln_cx *cx, struct rg_val request,
                                  const struct mln_value *answer)
{
    struct rg_heap *heap = call->heap;
    const struct mln_value *headers = mln_get(answer, "headers");
    struct mln_bytes body = mln_get_bytes(mln_get(answer, "body"));
    int64_t code = mln_get_int(mln_get(answer, "status"), 0);
    struct rg_val out = rg_object(heap, 5);
    rg_put_text(heap, out, "status",
                rg_text(heap, rg_text_format(heap, "%lld %s", (long long)code, status_text(code))));
    rg_put_text(heap, out, "status_code", rg_int(code));
    rg_put_text(heap, out, "headers", header_values(heap, headers));
    rg_put_text(heap, out, "raw_body",
                mln_utf8_valid(body) ? rg_string(heap, body) : rg_text(heap, ""));
    rg_put_text(heap, out, "body", body_value(call, cx, request, headers, body));
    return out;
}

/* raise_error false: the error is the answer. */
static struct rg_val error_value(struct rg_heap *heap, const char *message)
{
    struct rg_val out = rg_object(heap, 2), e = rg_object(heap, 2);
    rg_put_text(heap, e, "code", rg_text(heap, "eval_http_send_network_error"));
    rg_put_text(heap, e, "message", rg_text(heap, message));
    rg_put_text(heap, out, "status_code", rg_int(0));
    rg_put_text(heap, out, "error", e);
    return out;
}

static bool send_request(struct rg_call *call)
{
    struct rg_val request, raise;
    struct mln_cx cx;
    const struct mln_rego_net *net = rg_net(call->vm);
    struct rg_val sent = rg_answers(call->vm);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = NULL;
    if (!rg_arg_tag(call, 1, RG_OBJECT, &request) || !check_names(call, request)) {
        return false;
    }
    if (rg_has(sent, request)) {
        return rg_return(call, rg_get(sent, request));
    }
    if (net == NULL || net->http == NULL) {
        return rg_fail(call, "nothing may be reached from here (--allow-net)");
    }
    raise = rg_get_text(request, "raise_error");
    arena = mln_arena_new(ANSWER_MEMORY, false);
    mln_cx_init(&cx, arena);
    struct mln_value *ask = NULL;
    const struct mln_value *answer = NULL;
    if (arena == NULL || !make_ask(call, &cx, request, &ask)) {
        return arena != NULL ? false : rg_fail(call, "no memory");
    }
    bool ok = !mln_failed(net->http(net->with, &cx, ask, &answer));
    if (!ok && (raise.tag != RG_BOOL || raise.integer != 0)) {
        return rg_fail(call, "%s", cx.text);
    }
    struct rg_val out =
        ok ? answer_value(call, &cx, request, answer) : error_value(call->heap, cx.text);
    rg_put(call->heap, sent, request, out);
    return rg_return(call, out);
}

/* ---- names ---- */
static bool is_address(struct mln_bytes t)
{
    char text[64];
    uint8_t raw[16];
    if (t.len == 0 || t.len >= sizeof(text)) {
        return false;
    }
    mln_copy(text, t.ptr, t.len);
    text[t.len] = '\0';
    return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

/* RFC 6761 section 6.3: this name needs nobody. */
static bool is_local(struct mln_bytes t)
{
    t.len -= mln_bytes_ends(t, MLN_BYTES("."));
    return mln_bytes_is_nocase(t, "localhost") || mln_bytes_ends(t, MLN_BYTES(".localhost"));
}

static bool lookup(struct rg_call *call)
{
    struct mln_bytes name;
    struct mln_cx cx;
    const struct mln_rego_net *net = rg_net(call->vm);
    struct rg_val out = rg_set(call->heap, 2);
    const struct mln_value *list = NULL;
    if (!rg_arg_string(call, 1, &name)) {
        return false;
    }
    if (is_address(name)) {
        rg_add(call->heap, out, call->args[0]);
        return rg_return(call, out);
    }
    if (is_local(name)) {
        rg_add(call->heap, out, rg_text(call->heap, "127.0.0.1"));
        rg_add(call->heap, out, rg_text(call->heap, "::1"));
        return rg_return(call, out);
    }
    if (net == NULL || net->lookup == NULL) {
        return rg_fail(call, "no name may be looked up from here (--allow-net)");
    }
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    mln_cx_init(&cx, arena);
    if (arena == NULL || mln_failed(net->lookup(net->with, &cx, name, &list))) {
        return rg_fail(call, "%s", arena == NULL ? "no memory" : cx.text);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        rg_add(call->heap, out, rg_string(call->heap, mln_get_bytes(mln_item(list, i))));
    }
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_http[] = {
    {"http.send", send_request}, {"net.lookup_ip_addr", lookup}, {NULL, NULL}};
