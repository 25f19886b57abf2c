/* SPDX-License-Identifier: Apache-2.0 */
/* providers.aws.sign_req: a request with the headers that AWS's Signature Version 4 asks for. */
#include "rego/builtin_priv.h"
#include "rego/gotime.h"

#include "base/text.h"
#include "crypto/digest.h"

struct signing {
    struct rg_call *call;
    struct rg_val request, config;
    struct rg_val own, headers; /* AWS's headers; what is signed, names in lower case */
    struct mln_bytes method, url, service, region, access_key, secret, token;
    struct mln_bytes host, path, query;
    const char *date, *stamp, *content;
};

static struct mln_bytes text_of(struct rg_val from, const char *key)
{
    struct rg_val v = rg_get_text(from, key);
    return v.tag == RG_STR ? rg_bytes(v) : MLN_BYTES_NONE;
}

/* The names that are missing from `from`, or whose values are no text, as a set in the error. */
static bool need(struct rg_call *call, uint32_t pos, struct rg_val from, const char *const *keys,
                 const char *what)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf list = {0};
    struct rg_val missing = rg_set(call->heap, 4), bad = rg_set(call->heap, 4);
    for (; *keys != NULL; keys++) {
        struct rg_val v = rg_get_text(from, *keys);
        if (v.tag != RG_STR) {
            rg_add(call->heap, v.tag == RG_UNDEF ? missing : bad, rg_text(call->heap, *keys));
        }
    }
    bool absent = rg_len(missing) > 0;
    if (!absent && rg_len(bad) == 0) {
        return true;
    }
    rg_print_rego(&list, absent ? missing : bad);
    struct mln_bytes names = mln_buf_bytes(&list);
    return rg_fail_operand(call, pos, "%s required %s parameters(s): %.*s",
                           absent ? "missing" : "invalid values for", what, MLN_FMT(names));
}

static const char *hash_text(struct rg_call *call, struct mln_bytes t)
{
    uint8_t sum[MLN_HASH_MAX_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_hash_sum(MLN_HASH_SHA2_256, t, sum);
    mln_hex_print(&out, mln_bytes_at(sum, 32));
    return rg_text_dup(call->heap, mln_buf_bytes(&out));
}

static bool read_content(struct signing *s)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct rg_val off = rg_get_text(s->config, "disable_payload_signing");
    struct rg_val raw = rg_get_text(s->request, "raw_body"), body = rg_get_text(s->request, "body");
    if (off.tag != RG_UNDEF && off.tag != RG_BOOL) {
        return rg_fail_operand(s->call, 2,
                               "invalid value for 'disable_payload_signing' in AWS config");
    }
    if (off.tag == RG_BOOL && off.integer != 0) {
        s->content = "UNSIGNED-PAYLOAD";
        return true;
    }
    if (raw.tag == RG_STR) {
        mln_buf_add_bytes(&json, rg_bytes(raw));
    } else if (body.tag != RG_UNDEF) {
        rg_print_json(&json, body);
    }
    s->content = hash_text(s->call, mln_buf_bytes(&json));
    return true;
}

static void read_url(struct signing *s)
{
    size_t at = mln_bytes_find_bytes(s->url, MLN_BYTES("://"));
    struct mln_bytes rest = at < s->url.len ? mln_bytes_from(s->url, at + 3) : s->url;
    rest = mln_bytes_sub(rest, 0, mln_bytes_find(rest, '#'));
    rest = mln_bytes_cut(rest, '?', &s->query);
    size_t slash = mln_bytes_find(rest, '/');
    s->host = mln_bytes_sub(rest, 0, slash);
    s->path = mln_bytes_from(rest, slash);
}

static struct rg_val lower(struct rg_call *call, struct mln_bytes t)
{
    char *to = rg_text_dup(call->heap, t);
    for (size_t i = 0; i < t.len; i++) {
        to[i] = (char)(to[i] >= 'A' && to[i] <= 'Z' ? to[i] | 0x20 : to[i]);
    }
    return rg_string(call->heap, mln_bytes_at(to, t.len));
}

static void put(struct signing *s, const char *name, struct mln_bytes v)
{
    struct rg_val text = rg_string(s->call->heap, v);
    rg_put_text(s->call->heap, s->own, name, text);
    rg_put_text(s->call->heap, s->headers, name, text);
}

/*
 * AWS's own headers and the request's but those that proxies change. When both have one, the request's is what is
 * signed and AWS's is what is sent: so does OPA.
 */
static void gather(struct signing *s)
{
    bool has_content = mln_bytes_is(s->service, "s3") || mln_bytes_is(s->service, "glacier") ||
                       mln_bytes_is(s->service, "s3-outposts") ||
                       mln_bytes_is(s->service, "s3-object-lambda");
    put(s, "host", s->host);
    put(s, "x-amz-date", mln_bytes_of(s->stamp));
    if (has_content) {
        put(s, "x-amz-content-sha256", mln_bytes_of(s->content));
    }
    if (s->token.len > 0) {
        put(s, "x-amz-security-token", s->token);
    }
    struct rg_val given = rg_get_text(s->request, "headers");
    for (size_t i = 0; given.tag == RG_OBJECT && i < rg_len(given); i++) {
        struct rg_val key = rg_key_at(given, i), v = rg_val_at(given, i);
        if (key.tag != RG_STR || v.tag != RG_STR) {
            continue;
        }
        struct rg_val name = lower(s->call, rg_bytes(key));
        struct mln_bytes n = rg_bytes(name);
        if (!mln_bytes_is(n, "authorization") && !mln_bytes_is(n, "user-agent") &&
            !mln_bytes_is(n, "x-amzn-trace-id")) {
            rg_put(s->call->heap, s->headers, name, v);
        }
    }
}

static void mac(uint8_t key[32], struct mln_bytes t)
{
    uint8_t out[MLN_HASH_MAX_BYTES];
    mln_hmac_sum(MLN_HASH_SHA2_256, mln_bytes_at(key, 32), t, out);
    mln_copy(key, out, 32);
    mln_wipe(out, sizeof(out));
}

static void add_names(struct mln_buf *out, const struct signing *s)
{
    for (size_t i = 0; i < rg_len(s->headers); i++) {
        mln_buf_add_text(out, i == 0 ? "" : ";");
        mln_buf_add_bytes(out, rg_bytes(rg_key_at(s->headers, i)));
    }
}

static const char *canonical_hash(struct signing *s)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_buf_add_bytes(&out, s->method); /* as it was written: OPA does not raise it */
    mln_buf_add_byte(&out, '\n');
    mln_buf_add_bytes(&out, s->path);
    mln_buf_add_byte(&out, '\n');
    mln_buf_add_bytes(&out, s->query);
    mln_buf_add_byte(&out, '\n');
    for (size_t i = 0; i < rg_len(s->headers); i++) {
        mln_buf_add_bytes(&out, rg_bytes(rg_key_at(s->headers, i)));
        mln_buf_add_byte(&out, ':');
        mln_buf_add_bytes(&out, rg_bytes(rg_val_at(s->headers, i)));
        mln_buf_add_byte(&out, '\n');
    }
    mln_buf_add_byte(&out, '\n');
    add_names(&out, s);
    mln_buf_add_byte(&out, '\n');
    mln_buf_add_text(&out, s->content);
    return hash_text(s->call, mln_buf_bytes(&out));
}

static void add_signature(struct mln_buf *out, struct signing *s, const char *scope)
{
    uint8_t key[MLN_HASH_MAX_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf secret = {.is_secret = true}, text = {0};
    mln_buf_add_text(&secret, "AWS4");
    mln_buf_add_bytes(&secret, s->secret);
    mln_hmac_sum(MLN_HASH_SHA2_256, mln_buf_bytes(&secret), mln_bytes_of(s->date), key);
    mac(key, s->region);
    mac(key, s->service);
    mac(key, MLN_BYTES("aws4_request"));
    mln_buf_add_format(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->stamp, scope, canonical_hash(s));
    mac(key, mln_buf_bytes(&text));
    mln_hex_print(out, mln_bytes_at(key, 32));
    mln_wipe(key, sizeof(key));
}

static bool answer(struct signing *s)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf auth = {0};
    struct rg_heap *heap = s->call->heap;
    const char *scope = rg_text_format(heap, "%s/%.*s/%.*s/aws4_request", s->date,
                                       MLN_FMT(s->region), MLN_FMT(s->service));
    mln_buf_add_format(
        &auth, "AWS4-HMAC-SHA256 Credential=%.*s/%s,SignedHeaders=", MLN_FMT(s->access_key), scope);
    add_names(&auth, s);
    mln_buf_add_text(&auth, ",Signature=");
    add_signature(&auth, s, scope);
    struct rg_val out = rg_object(heap, 8), headers = rg_object(heap, 8);
    struct rg_val given = rg_get_text(s->request, "headers");
    for (size_t i = 0; given.tag == RG_OBJECT && i < rg_len(given); i++) {
        rg_put(heap, headers, rg_key_at(given, i), rg_val_at(given, i));
    }
    for (size_t i = 0; i < rg_len(s->own); i++) {
        rg_put(heap, headers, rg_key_at(s->own, i), rg_val_at(s->own, i));
    }
    rg_put_text(heap, headers, "Authorization", rg_string_buf(heap, &auth));
    for (size_t i = 0; i < rg_len(s->request); i++) {
        rg_put(heap, out, rg_key_at(s->request, i), rg_val_at(s->request, i));
    }
    rg_put_text(heap, out, "headers", headers);
    return rg_return(s->call, out);
}

static bool sign_req(struct rg_call *call)
{
    static const char *const request_keys[] = {"method", "url", NULL};
    static const char *const config_keys[] = {"aws_access_key", "aws_region",
                                              "aws_secret_access_key", "aws_service", NULL};
    struct signing s = {
        .call = call, .own = rg_object(call->heap, 4), .headers = rg_object(call->heap, 8)};
    struct rg_civil t;
    int64_t ns = 0;
    if (!rg_arg_tag(call, 1, RG_OBJECT, &s.request) || !rg_arg_tag(call, 2, RG_OBJECT, &s.config) ||
        !need(call, 1, s.request, request_keys, "request") ||
        !need(call, 2, s.config, config_keys, "AWS config")) {
        return false;
    }
    if (!rg_is_number(call->args[2]) || !rg_num_int(call->args[2], &ns) || ns < 0) {
        return rg_fail_operand(call, 3, "could not convert time_ns value into a unix timestamp");
    }
    rg_civil_of(ns, NULL, &t);
    s.date = rg_text_format(call->heap, "%04d%02d%02d", (int)t.year, t.month, t.day);
    s.stamp = rg_text_format(call->heap, "%sT%02d%02d%02dZ", s.date, t.hour, t.minute, t.second);
    s.method = text_of(s.request, "method");
    s.url = text_of(s.request, "url");
    s.service = text_of(s.config, "aws_service");
    s.region = text_of(s.config, "aws_region");
    s.access_key = text_of(s.config, "aws_access_key");
    s.secret = text_of(s.config, "aws_secret_access_key");
    s.token = text_of(s.config, "aws_session_token");
    if (!read_content(&s)) {
        return false;
    }
    read_url(&s);
    gather(&s);
    return answer(&s);
}

const struct rg_builtin rg_builtins_aws[] = {{"providers.aws.sign_req", sign_req}, {NULL, NULL}};
