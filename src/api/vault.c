/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See vault.h. Everything that becomes a text of a message is checked to be UTF-8 here: core takes
 * nothing else.
 */
#include "api/vault.h"

#include "api/vault_priv.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/text.h"

#define TOKEN_BYTES_MAX  16384u /* a JWT as a bearer token */
#define HEADER_BYTES_MAX 1024u
#define SENT_BYTES_MAX   8192u /* of headers for audit lines: behind so many no more are taken */

/* ---- headers ---- */

struct known {
    struct mln_bytes token, bearer, ns, wrap, type;
    struct mln_bytes request, mfa, origin, format;
};

static struct mln_bytes *slot_of(struct known *k, struct mln_bytes name)
{
    switch (name.len) {
    case 6:
        return mln_bytes_is_nocase(name, "origin") ? &k->origin : NULL;
    case 12:
        return mln_bytes_is_nocase(name, "content-type") ? &k->type : NULL;
    case 11:
        return mln_bytes_is_nocase(name, "x-vault-mfa") ? &k->mfa : NULL;
    case 13:
        return mln_bytes_is_nocase(name, "x-vault-token")   ? &k->token
               : mln_bytes_is_nocase(name, "authorization") ? &k->bearer
                                                            : NULL;
    case 15:
        return mln_bytes_is_nocase(name, "x-vault-request") ? &k->request : NULL;
    case 16:
        return mln_bytes_is_nocase(name, "x-vault-wrap-ttl") ? &k->wrap : NULL;
    case 17:
        return mln_bytes_is_nocase(name, "x-vault-namespace") ? &k->ns : NULL;
    case 19:
        return mln_bytes_is_nocase(name, "x-vault-wrap-format") ? &k->format : NULL;
    default:
        return NULL;
    }
}

/* The first of each name counts; of Authorization the first that is a bearer token. */
static void read_headers(const struct mln_http_request *http, struct known *ret)
{
    for (size_t i = 0; i < http->n_headers; i++) {
        struct mln_bytes *slot = slot_of(ret, http->headers[i].name);
        struct mln_bytes value = http->headers[i].value;
        if (slot == NULL || slot->len > 0) {
            continue;
        }
        if (slot == &ret->bearer) {
            bool is_bearer =
                value.len > 7 && mln_bytes_is_nocase(mln_bytes_sub(value, 0, 7), "bearer ");
            value = is_bearer ? mln_bytes_from(value, 7) : MLN_BYTES_NONE;
        }
        *slot = value;
    }
}

static bool is_graphic(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= 0x20 || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static struct mln_err put_token(struct mln_cx *cx, const struct known *k, struct mln_value *rq)
{
    struct mln_bytes token = k->token.len > 0 ? k->token : k->bearer;
    if (token.len == 0) {
        return MLN_OK;
    }
    if (token.len > TOKEN_BYTES_MAX || !is_graphic(token)) {
        return mln_fail(cx, MLN_E_INVALID, "malformed token");
    }
    mln_put(cx, rq, "token", mln_secret_string(cx, token));
    return MLN_OK;
}

static struct mln_err put_header(struct mln_cx *cx, struct mln_value *to, const char *name,
                                 struct mln_bytes value)
{
    if (value.len > HEADER_BYTES_MAX || !mln_utf8_valid(value)) {
        return mln_fail(cx, MLN_E_INVALID, "malformed header %s", name);
    }
    mln_put_bytes(cx, to, name, value);
    return MLN_OK;
}

static struct mln_err put_headers(struct mln_cx *cx, const struct known *k, struct mln_value *rq)
{
    struct mln_bytes ns = k->ns;
    while (ns.len > 0 && ns.ptr[0] == '/') {
        ns = mln_bytes_from(ns, 1);
    }
    MLN_TRY(put_header(cx, rq, "ns", ns));
    if (k->wrap.len > 0) {
        MLN_TRY(put_header(cx, rq, "wrap", k->wrap));
    }
    if (k->format.len > 0) {
        MLN_TRY(put_header(cx, rq, "wrap_format", k->format));
    }
    if (k->request.len == 0 && k->mfa.len == 0) {
        return MLN_OK;
    }
    struct mln_value *headers = mln_object(cx);
    if (k->request.len > 0) {
        MLN_TRY(put_header(cx, headers, "x-vault-request", k->request));
    }
    if (k->mfa.len > 0) {
        MLN_TRY(put_header(cx, headers, "x-vault-mfa", k->mfa));
    }
    mln_put(cx, rq, "headers", headers);
    return MLN_OK;
}

/* What may stand in an audit line: credentials never, nor what only this connection means. */
static bool may_be_shown(struct mln_bytes name)
{
    static const char *const never[] = {"authorization", "proxy-authorization", "x-vault-token", "cookie",
                                        "connection",    "content-length",      "transfer-encoding"};
    for (size_t i = 0; i < MLN_COUNT(never); i++) {
        if (mln_bytes_is_nocase(name, never[i])) {
            return false;
        }
    }
    return true;
}

/* As text: what is no ASCII stands as "?", control characters cannot get here. */
static const struct mln_value *plain_text(struct mln_cx *cx, struct mln_bytes value, bool is_name)
{
    size_t n = value.len < HEADER_BYTES_MAX ? value.len : HEADER_BYTES_MAX;
    uint8_t *to = mln_new(cx, n + 1);
    for (size_t i = 0; to != NULL && i < n; i++) {
        uint8_t c = value.ptr[i];
        to[i] = is_name && c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c >= 0x20 && c < 0x7f ? c : '?';
    }
    return mln_string(cx, mln_bytes_at(to, to != NULL ? n : 0));
}

/* All headers for core, which knows the few that audit devices show: {"name": [values]}. */
static void put_sent(struct mln_cx *cx, const struct mln_http_request *http, struct mln_value *rq)
{
    struct mln_value *sent = mln_object(cx);
    size_t bytes = 0;
    for (size_t i = 0; i < http->n_headers && bytes < SENT_BYTES_MAX; i++) {
        if (!may_be_shown(http->headers[i].name)) {
            continue;
        }
        struct mln_bytes name = mln_get_bytes(plain_text(cx, http->headers[i].name, true));
        struct mln_value *values = mln_array(cx);
        const struct mln_value *before = mln_get_key(sent, name);
        for (size_t k = 0; k < mln_len(before); k++) {
            mln_push(cx, values, mln_item(before, k));
        }
        mln_push(cx, values, plain_text(cx, http->headers[i].value, false));
        mln_put_key(cx, sent, name, values);
        bytes += http->headers[i].name.len + http->headers[i].value.len;
    }
    if (mln_len(sent) > 0) {
        mln_put(cx, rq, "sent", sent);
    }
}

/* A web page's origin; core judges it, and answers an OPTIONS by it alone. */
static struct mln_err put_origin(struct mln_cx *cx, const struct mln_http_request *http,
                                 const struct known *k, struct mln_value *rq)
{
    if (k->origin.len > 0) {
        MLN_TRY(put_header(cx, rq, "origin", k->origin));
    }
    if (mln_bytes_is(http->method, "OPTIONS")) {
        mln_put_bool(cx, rq, "preflight", true);
    }
    return MLN_OK;
}

/* ---- paths ---- */

/* No empty, "." or ".." segments (a trailing slash is fine), no control characters. */
static bool is_clean_path(struct mln_bytes path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] < 0x20 || path.ptr[i] == 0x7f) {
            return false;
        }
    }
    while (path.len > 0) {
        struct mln_bytes segment = mln_bytes_cut(path, '/', &path);
        if (segment.len == 0 || mln_bytes_is(segment, ".") || mln_bytes_is(segment, "..")) {
            return false;
        }
    }
    return true;
}

/* Decode and check; in the arena, with `prefix` in front and a slash behind when `wants_slash`. */
static struct mln_err decode_path(struct mln_cx *cx, const char *prefix, struct mln_bytes raw,
                                  bool wants_slash, struct mln_bytes *ret)
{
    struct mln_bytes path;
    MLN_TRY(mln_api_decode(cx, raw, false, &path));
    if (!mln_utf8_valid(path) || !is_clean_path(path)) {
        return mln_fail(cx, MLN_E_INVALID, "malformed path");
    }
    if (path.len > MLN_PATH_MAX_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "path longer than %d bytes", MLN_PATH_MAX_BYTES);
    }
    bool adds = wants_slash && path.len > 0 && path.ptr[path.len - 1] != '/';
    if (prefix[0] != 0 || adds) {
        path = mln_bytes_format(cx, "%s%.*s%s", prefix, MLN_FMT(path), adds ? "/" : "");
    }
    *ret = path;
    return mln_cx_err(cx);
}

/* ---- operations ---- */

struct verb {
    const char *method, *op;
    bool takes_query, takes_body;
};
static const struct verb verbs[] = {
    {"GET", "read", true, false},    {"PUT", "write", false, true},
    {"POST", "write", false, true},  {"LIST", "list", true, false},
    {"HEAD", "read", true, false},   {"DELETE", "delete", true, false},
    {"PATCH", "patch", false, true}, {"OPTIONS", "read", true, false},
    {"SCAN", "scan", true, false},
};

static struct mln_err verb_of(struct mln_cx *cx, struct mln_bytes method, const struct verb **ret)
{
    for (size_t i = 0; i < MLN_COUNT(verbs); i++) {
        if (mln_bytes_is(method, verbs[i].method)) {
            *ret = &verbs[i];
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_METHOD, "%s", "");
}

/* As Go reads booleans. */
static bool is_true(struct mln_bytes text)
{
    static const char *const words[] = {"1", "t", "T", "true", "TRUE", "True"};
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        if (mln_bytes_is(text, words[i])) {
            return true;
        }
    }
    return false;
}

/* "list", "scan" and "help" of the query choose the operation; they are no data. */
static struct mln_err op_of(struct mln_cx *cx, const struct verb *verb, struct mln_value *query, const char **ret)
{
    bool is_list = is_true(mln_get_bytes(mln_get(query, "list")));
    bool is_scan = is_true(mln_get_bytes(mln_get(query, "scan")));
    bool is_help = is_true(mln_get_bytes(mln_get(query, "help")));
    bool is_read = mln_bytes_is(mln_bytes_of(verb->op), "read");
    mln_remove(query, MLN_BYTES("list"));
    mln_remove(query, MLN_BYTES("scan"));
    mln_remove(query, MLN_BYTES("help"));
    if (is_list && is_scan && is_read) {
        return mln_fail(cx, MLN_E_INVALID, "list and scan cannot both be asked for");
    }
    *ret = is_help ? "help" : is_list && is_read ? "list" : is_scan && is_read ? "scan" : verb->op;
    return MLN_OK;
}

/* ---- bodies ---- */

static struct mln_bytes media_type(struct mln_bytes value)
{
    struct mln_bytes rest;
    return mln_bytes_trim(mln_bytes_cut(value, ';', &rest));
}

static struct mln_err read_json(struct mln_cx *cx, struct mln_bytes body,
                                const struct mln_value **ret)
{
    struct mln_err err = mln_json_parse(cx, body, ret);
    if (mln_is(err, MLN_E_PARSE)) {
        char text[MLN_CX_TEXT_MAX];
        mln_copy(text, cx->text, sizeof(text));
        bool has_prefix = mln_bytes_starts(mln_bytes_of(text), MLN_BYTES("json: "));
        return mln_refail(cx, MLN_E_PARSE, "failed to decode JSON input: %s",
                          text + (has_prefix ? 6 : 0));
    }
    MLN_TRY(err);
    if (mln_is_null(*ret)) {
        *ret = NULL;
    } else if (mln_type_of(*ret) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_PARSE,
                        "failed to decode JSON input: a JSON object is needed, not %s",
                        mln_type_name(mln_type_of(*ret)));
    }
    return MLN_OK;
}

/* Bodies that are no JSON are handed on as they are: the name of their kind, NULL for others. */
static const char *raw_kind(struct mln_bytes kind, struct mln_bytes body)
{
    static const char *const kinds[] = {"application/octet-stream", "application/ocsp-request", "application/gzip"};
    if (mln_bytes_starts(body, MLN_BYTES("\x1f\x8b"))) {
        return "application/gzip"; /* a snapshot: Vault's clients do not say what it is. No JSON and no form begins so. */
    }
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        if (mln_bytes_is_nocase(kind, kinds[i])) {
            return kinds[i];
        }
    }
    return NULL;
}

static struct mln_err put_body(struct mln_cx *cx, const struct mln_http_request *http,
                               struct mln_bytes type, struct mln_value *rq)
{
    const struct mln_value *data = NULL;
    struct mln_bytes kind = media_type(type);
    if (mln_bytes_is(http->method, "PATCH") &&
        !mln_bytes_is_nocase(kind, "application/merge-patch+json")) {
        bool is_shown = kind.len <= 100 && is_graphic(kind);
        return mln_fail(
            cx, MLN_E_MEDIA_TYPE,
            "PATCH requires Content-Type of application/merge-patch+json, provided %.*s",
            is_shown ? (int)kind.len : 0, is_shown && kind.len > 0 ? (const char *)kind.ptr : "");
    }
    struct mln_bytes body = http->body;
    const char *raw = raw_kind(kind, body);
    if (raw != NULL && body.len > 0) {
        mln_put_null(cx, rq, "data");
        mln_put(cx, rq, "raw", mln_blob(cx, body));
        mln_put_text(cx, rq, "ct", raw);
        return MLN_OK;
    }
    bool is_form = mln_bytes_is_nocase(kind, "application/x-www-form-urlencoded");
    if (is_form && body.len > 0 && body.ptr[0] != '{') {
        struct mln_value *form = NULL;
        MLN_TRY(mln_api_form(cx, body, MLN_API_JOIN, &form));
        data = form;
    } else if (mln_bytes_trim(body).len > 0) {
        MLN_TRY(read_json(cx, body, &data));
    }
    mln_put(cx, rq, "data", data != NULL ? data : mln_null(cx));
    return MLN_OK;
}

/* ---- requests ---- */

static void put_peer(struct mln_cx *cx, const struct mln_http_request *http, struct mln_value *rq)
{
    mln_put_bytes(cx, rq, "from", http->peer);
    mln_put_int(cx, rq, "port", http->peer_port);
    mln_put_bool(cx, rq, "head", mln_bytes_is(http->method, "HEAD"));
    struct mln_value *certs = http->n_peer_certs > 0 ? mln_array(cx) : NULL;
    for (size_t i = 0; i < http->n_peer_certs; i++) {
        mln_push(cx, certs, mln_blob(cx, http->peer_certs[i]));
    }
    if (certs != NULL) {
        mln_put(cx, rq, "certs", certs);
    }
}

/* /v1/... */
static struct mln_err read_api(struct mln_cx *cx, const struct mln_http_request *http,
                               struct mln_value *rq)
{
    const struct verb *verb = NULL;
    struct known known = {0};
    struct mln_value *query = NULL;
    struct mln_bytes path;
    MLN_TRY(verb_of(cx, http->method, &verb));
    read_headers(http, &known);
    MLN_TRY(mln_api_form(cx, http->query, MLN_API_ARRAY, &query));
    const char *op = NULL;
    MLN_TRY(op_of(cx, verb, query, &op));
    bool is_list = mln_bytes_is(mln_bytes_of(op), "list") || mln_bytes_is(mln_bytes_of(op), "scan");
    MLN_TRY(decode_path(cx, "", mln_bytes_from(http->path, 4), is_list, &path));
    if (path.len == 0) {
        return mln_fail(cx, MLN_E_NO_ROUTE, "%s", "");
    }
    mln_put_text(cx, rq, "op", op);
    mln_put_bytes(cx, rq, "path", path);
    MLN_TRY(put_token(cx, &known, rq));
    MLN_TRY(put_headers(cx, &known, rq));
    MLN_TRY(put_origin(cx, http, &known, rq));
    if (verb->takes_body) {
        MLN_TRY(put_body(cx, http, known.type, rq));
    } else {
        mln_put(cx, rq, "data", mln_len(query) > 0 ? query : mln_null(cx));
    }
    put_peer(cx, http, rq);
    put_sent(cx, http, rq);
    return MLN_OK;
}

/* Documents that anybody may read, and where they lie in the API. An OIDC issuer's are at fixed places below its address. */
static const struct {
    const char *at, *path;
    bool is_folder;
} open_documents[] = {
    {"/ledger/", "sys/internal/ledger/", true},
    {"/.well-known/openid-configuration", "spiffe/.well-known/openid-configuration", false},
    {"/keys", "spiffe/keys", false},
};

/* At a bundle endpoint: the root, as SPIRE publishes its bundle, and where it is in the API. */
static const char *bundle_of(struct mln_bytes path, size_t *ret_prefix)
{
    static const char *const places[] = {"/", "/v1/spiffe/bundle/endpoint"};
    for (size_t i = 0; i < MLN_COUNT(places); i++) {
        if (mln_bytes_is(path, places[i])) {
            *ret_prefix = path.len;
            return "spiffe/bundle/endpoint";
        }
    }
    return NULL;
}

static const char *document_of(struct mln_bytes path, size_t *ret_prefix)
{
    for (size_t i = 0; i < MLN_COUNT(open_documents); i++) {
        struct mln_bytes at = mln_bytes_of(open_documents[i].at);
        if (open_documents[i].is_folder ? path.len > at.len && mln_bytes_starts(path, at) : mln_bytes_eq(path, at)) {
            *ret_prefix = at.len;
            return open_documents[i].path;
        }
    }
    return NULL;
}

static struct mln_err read_document(struct mln_cx *cx, const struct mln_http_request *http, const char *folder, size_t prefix,
                                    struct mln_value *rq)
{
    struct mln_bytes path;
    if (!mln_bytes_is(http->method, "GET") && !mln_bytes_is(http->method, "HEAD")) {
        return mln_fail(cx, MLN_E_METHOD, "%s", "");
    }
    MLN_TRY(decode_path(cx, folder, mln_bytes_from(http->path, prefix), false, &path));
    mln_put_text(cx, rq, "op", "read");
    mln_put_bytes(cx, rq, "path", path);
    mln_put_text(cx, rq, "ns", "");
    mln_put_null(cx, rq, "data");
    put_peer(cx, http, rq);
    return MLN_OK;
}

static struct mln_err vault_request(struct mln_cx *cx, const struct mln_http_request *http,
                                    const struct mln_value **ret)
{
    struct mln_value *rq = mln_object(cx);
    size_t prefix = 0;
    const char *document = http->only_bundle ? bundle_of(http->path, &prefix) : document_of(http->path, &prefix);
    if (http->only_bundle && document == NULL) {
        return mln_fail(cx, MLN_E_NO_ROUTE, "%s", "");
    }
    if (!http->only_bundle && mln_bytes_starts(http->path, MLN_BYTES("/v1/"))) {
        MLN_TRY(read_api(cx, http, rq));
    } else if (document != NULL) {
        MLN_TRY(read_document(cx, http, document, prefix, rq));
    } else if (mln_bytes_is(http->path, "/") &&
               (mln_bytes_is(http->method, "GET") || mln_bytes_is(http->method, "HEAD"))) {
        *ret = NULL; /* vault_fault greets */
        return MLN_OK;
    } else {
        return mln_fail(cx, MLN_E_NO_ROUTE, "%s", "");
    }
    *ret = rq;
    return mln_cx_err(cx);
}

const struct mln_front_api mln_vault_api = {
    .request = vault_request,
    .answer = mln_vault_answer,
    .fault = mln_vault_fault,
};
