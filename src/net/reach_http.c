/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP by libcurl, loaded when reach starts. libcurl connects and speaks; where it may go is decided here: at each hop by the
 * list, at each socket by the address that it is about to connect to (a name that changes its mind gains nothing).
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <openssl/ssl.h>

#include "base/text.h"
#include "crypto/x509_svid.h"
#include "net/reach_priv.h"

#define HEADERS_MAX       100u           /* of an ask or an answer */
#define HEADERS_MAX_BYTES (64u << 10)    /* of an answer */
#define REDIRECTS_MAX     5

#define CURL_FUNCTION(name) __typeof__(&curl_##name) name
static struct {
    CURL_FUNCTION(global_init);
    CURL_FUNCTION(easy_init);
    CURL_FUNCTION(easy_setopt);
    CURL_FUNCTION(easy_perform);
    CURL_FUNCTION(easy_getinfo);
    CURL_FUNCTION(easy_cleanup);
    CURL_FUNCTION(easy_strerror);
    CURL_FUNCTION(slist_append);
    CURL_FUNCTION(slist_free_all);
    bool is_there;
} curl;

/* One hop. */
struct hop {
    struct mln_cx *cx;
    const struct mln_value *allow, *ask;
    CURL *easy;
    struct curl_slist *headers;
    struct mln_buf body;
    struct mln_value *answer_headers;
    size_t header_bytes;
    bool was_denied, was_too_large;
    const char *svid_why; /* who the server is was not what was asked for; NULL = it was, or nobody looked */
    char why[CURL_ERROR_SIZE];
};

bool reach_symbol(void *library, const char *name, void *ret_function, size_t size)
{
    void *symbol = dlsym(library, name);
    mln_copy(ret_function, &symbol, size);
    return symbol != NULL;
}

bool reach_http_load(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        return false;
    }
    bool ok = true;
#define LOAD(name) ok = reach_symbol(library, "curl_" #name, &curl.name, sizeof(curl.name)) && ok
    LOAD(global_init);
    LOAD(easy_init);
    LOAD(easy_setopt);
    LOAD(easy_perform);
    LOAD(easy_getinfo);
    LOAD(easy_cleanup);
    LOAD(easy_strerror);
    LOAD(slist_append);
    LOAD(slist_free_all);
#undef LOAD
    curl.is_there = ok && curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    return curl.is_there;
}

/* ---- what libcurl calls ---- */

static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct hop *hop = arg;
    if (purpose != CURLSOCKTYPE_IPCXN || !mln_reach_address_allowed(hop->allow, &address->addr)) {
        hop->was_denied = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct hop *hop = arg;
    mln_buf_add(&hop->body, bytes, size * n);
    hop->was_too_large = hop->body.has_failed;
    return hop->body.has_failed ? 0 : size * n;
}

/* "Name: value\r\n"; a status line begins anew. */
static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
    struct hop *hop = arg;
    struct mln_bytes value, name, line = mln_bytes_at(bytes, size * n);
    hop->header_bytes += line.len;
    if (hop->header_bytes > HEADERS_MAX_BYTES || mln_len(hop->answer_headers) > HEADERS_MAX) {
        hop->was_too_large = true;
        return 0;
    }
    if (mln_bytes_starts(line, MLN_BYTES("HTTP/"))) {
        hop->answer_headers = mln_object(hop->cx);
        return line.len;
    }
    name = mln_bytes_cut(line, ':', &value);
    if (name.len == line.len || !mln_utf8_valid(line)) {
        return line.len;
    }
    char *lower = mln_new(hop->cx, name.len + 1);
    for (size_t i = 0; lower != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        lower[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    if (lower != NULL) {
        mln_put(hop->cx, hop->answer_headers, lower, mln_string_dup(hop->cx, mln_bytes_trim(value)));
    }
    return line.len;
}

/* ---- who the server is, where it shows an X.509-SVID ---- */

/* Why not, for who asked: libcurl only says that verification failed. */
static int refuse_svid(struct hop *hop, X509_STORE_CTX *store, const char *why)
{
    X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    hop->svid_why = mln_text_dup(hop->cx, mln_bytes_of(why));
    mln_cx_clear(hop->cx);
    return 0;
}

/* In place of OpenSSL's: the same, by the authorities of the ask, and then exactly the id. No host name counts. */
static int verify_svid(X509_STORE_CTX *store, void *arg)
{
    struct hop *hop = arg;
    struct mln_spiffe_id id;
    unsigned char *der = NULL;
    struct mln_bytes wanted = mln_get_bytes(mln_get(hop->ask, "spiffe_id"));
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    if (X509_verify_cert(store) != 1) {
        return refuse_svid(hop, store, X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    }
    int n = leaf != NULL ? i2d_X509(leaf, &der) : 0;
    struct mln_err err = n > 0 ? mln_x509_svid_read(hop->cx, mln_bytes_dup(hop->cx, mln_bytes_at(der, (size_t)n)), MLN_SVID_SERVER, &id)
                               : mln_fail(hop->cx, MLN_E_FORGED, "no certificate");
    OPENSSL_free(der);
    if (mln_failed(err)) {
        return refuse_svid(hop, store, hop->cx->text);
    }
    return mln_bytes_eq(id.text, wanted)
               ? 1
               : refuse_svid(hop, store, mln_text_format(hop->cx, "it presents %.*s", MLN_FMT(id.text)));
}

static CURLcode on_tls(CURL *easy, void *tls, void *arg)
{
    (void)easy;
    SSL_CTX_set_cert_verify_callback(tls, verify_svid, arg);
    return CURLE_OK;
}

static bool set_svid(struct hop *hop)
{
    if (mln_get(hop->ask, "spiffe_id") == NULL) {
        return true;
    }
    return curl.easy_setopt(hop->easy, CURLOPT_SSL_VERIFYHOST, 0L) == CURLE_OK &&
           curl.easy_setopt(hop->easy, CURLOPT_SSL_CTX_FUNCTION, on_tls) == CURLE_OK &&
           curl.easy_setopt(hop->easy, CURLOPT_SSL_CTX_DATA, hop) == CURLE_OK;
}

/* Of such an ask nothing is taken on trust: an answer in clear, without authorities or from elsewhere would be. */
static struct mln_err check_svid(struct mln_cx *cx, const struct mln_value *ask, const char *url)
{
    const struct mln_value *id = mln_get(ask, "spiffe_id");
    bool is_good = mln_len(id) > 0 && mln_len(mln_get(ask, "ca_pem")) > 0 && !mln_get_bool(mln_get(ask, "insecure_tls"), false) &&
                   mln_get_int(mln_get(ask, "redirects"), 0) == 0 && mln_bytes_starts(mln_bytes_of(url), MLN_BYTES("https://"));
    return id == NULL || is_good ? MLN_OK
                                 : mln_fail(cx, MLN_E_INVALID, "reach: spiffe_id needs https, ca_pem and no redirects");
}

/* ---- the ask ---- */

static bool is_header_safe(struct mln_bytes name, struct mln_bytes value)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f || name.ptr[i] == ':') {
            return false;
        }
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < ' ' || value.ptr[i] == 0x7f) {
            return false;
        }
    }
    return name.len > 0;
}

static bool add_header(struct hop *hop, const char *line)
{
    struct curl_slist *longer = curl.slist_append(hop->headers, line);
    hop->headers = longer != NULL ? longer : hop->headers;
    return longer != NULL;
}

/* keeps_secrets: not after a redirect to another host. */
static struct mln_err set_headers(struct hop *hop, bool keeps_secrets)
{
    struct mln_cx *cx = hop->cx;
    const struct mln_value *headers = mln_get(hop->ask, "headers");
    bool ok = add_header(hop, "Expect:") && add_header(hop, "User-Agent: merlon/" MLN_VERSION);
    if (mln_len(headers) > HEADERS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "reach: more than %u headers", HEADERS_MAX);
    }
    for (size_t i = 0; i < mln_len(headers) && keeps_secrets; i++) {
        const struct mln_member *m = mln_member_at(headers, i);
        struct mln_bytes value = mln_get_bytes(&m->value);
        if (!is_header_safe(m->key, value)) {
            return mln_fail(cx, MLN_E_INVALID, "reach: a header that is none");
        }
        struct mln_buf line = {.is_secret = true};
        mln_buf_add_bytes(&line, m->key);
        mln_buf_add_text(&line, value.len > 0 ? ": " : ";"); /* libcurl's way to send an empty one */
        mln_buf_add_bytes(&line, value);
        mln_buf_add_byte(&line, 0);
        ok = !line.has_failed && ok && add_header(hop, (const char *)line.ptr);
        mln_buf_drop(&line);
    }
    ok = ok && curl.easy_setopt(hop->easy, CURLOPT_HTTPHEADER, hop->headers) == CURLE_OK;
    return ok ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "reach: no memory for headers");
}

static bool set_blob(CURL *easy, CURLoption option, struct mln_bytes text)
{
    struct curl_blob blob = {.data = (void *)(uintptr_t)text.ptr, .len = text.len, .flags = CURL_BLOB_COPY};
    return text.len == 0 || curl.easy_setopt(easy, option, &blob) == CURLE_OK;
}

static bool set_tls(const struct hop *hop)
{
    CURL *easy = hop->easy;
    struct mln_bytes ca = mln_get_bytes(mln_get(hop->ask, "ca_pem"));
    bool verify = !mln_get_bool(mln_get(hop->ask, "insecure_tls"), false);
    bool ok = curl.easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (ca.len > 0) { /* this one instead of the system's, not besides */
        ok = ok && curl.easy_setopt(easy, CURLOPT_CAINFO, NULL) == CURLE_OK;
        ok = ok && curl.easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    ok = ok && set_blob(easy, CURLOPT_CAINFO_BLOB, ca);
    ok = ok && set_blob(easy, CURLOPT_SSLCERT_BLOB, mln_get_bytes(mln_get(hop->ask, "cert_pem")));
    return ok && set_blob(easy, CURLOPT_SSLKEY_BLOB, mln_get_bytes(mln_get(hop->ask, "key_pem")));
}

static bool set_method(const struct hop *hop, const char *method)
{
    CURL *easy = hop->easy;
    const struct mln_value *body = mln_get(hop->ask, "body");
    struct mln_bytes bytes = mln_get_bytes(body);
    bool ok = true;
    if (mln_bytes_is(mln_bytes_of(method), "HEAD")) {
        return curl.easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    }
    if (!mln_is_null(body)) {
        ok = curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes.len) == CURLE_OK;
        ok = ok && curl.easy_setopt(easy, CURLOPT_POSTFIELDS, bytes.ptr != NULL ? (const char *)bytes.ptr : "") == CURLE_OK;
    }
    return ok && curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
}

static bool set_rest(struct hop *hop, const char *url, int64_t timeout_ms)
{
    CURL *easy = hop->easy;
    bool ok = curl.easy_setopt(easy, CURLOPT_URL, url) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, hop->why) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_OPENSOCKETDATA, hop) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_WRITEDATA, hop) == CURLE_OK;
    ok = ok && curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK;
    return ok && curl.easy_setopt(easy, CURLOPT_HEADERDATA, hop) == CURLE_OK;
}

/* ---- one hop ---- */

static enum mln_code code_of(const struct hop *hop, CURLcode rc)
{
    if (hop->was_denied) {
        return MLN_E_DENIED;
    }
    if (hop->was_too_large) {
        return MLN_E_TOO_LARGE;
    }
    switch ((int)rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return MLN_E_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return MLN_E_MEMORY;
    case CURLE_URL_MALFORMAT:
        return MLN_E_INVALID;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
        return MLN_E_REMOTE;
    default:
        return MLN_E_UNREACHABLE;
    }
}

static struct mln_err fail_hop(struct hop *hop, const char *target, CURLcode rc)
{
    enum mln_code code = code_of(hop, rc);
    if (code == MLN_E_DENIED) {
        return mln_fail(hop->cx, code, "reach: the address of %s is not one to connect to", target);
    }
    if (hop->svid_why != NULL) {
        return mln_fail(hop->cx, MLN_E_UNREACHABLE, "reach: %s is not who it should be: %s", target, hop->svid_why);
    }
    if (code == MLN_E_TOO_LARGE) {
        return mln_fail(hop->cx, code, "reach: the answer of %s is over %zu bytes", target, hop->body.max);
    }
    return mln_fail(hop->cx, code, "reach: %s: %.*s", target,
                    MLN_FMT(mln_bytes_of(hop->why[0] != 0 ? hop->why : curl.easy_strerror(rc))));
}

static struct mln_err run_hop(struct hop *hop, const char *url, const char *method, bool keeps_secrets,
                              int64_t timeout_ms)
{
    struct reach_url parts;
    MLN_TRY(reach_url_parse(hop->cx, mln_bytes_of(url), &parts));
    const char *target = reach_url_target(hop->cx, &parts);
    if (!mln_bytes_is_nocase(parts.scheme, "https") && !mln_bytes_is_nocase(parts.scheme, "http")) {
        return mln_fail(hop->cx, MLN_E_INVALID, "reach: the URL is not one of HTTP");
    }
    if (!mln_reach_allows(hop->allow, mln_bytes_of(target))) {
        return mln_fail(hop->cx, MLN_E_DENIED, "reach: %s is not in the configured list", target);
    }
    MLN_TRY(set_headers(hop, keeps_secrets));
    if (!set_tls(hop) || !set_svid(hop) || !set_method(hop, method) || !set_rest(hop, url, timeout_ms)) {
        return mln_fail(hop->cx, MLN_E_INVALID, "reach: the call to %s cannot be set up", target);
    }
    CURLcode rc = curl.easy_perform(hop->easy);
    return rc == CURLE_OK ? MLN_OK : fail_hop(hop, target, rc);
}

/* ---- the whole ---- */

static void hop_drop(struct hop *hop)
{
    if (hop->easy != NULL) {
        curl.easy_cleanup(hop->easy);
    }
    curl.slist_free_all(hop->headers);
    mln_buf_drop(&hop->body);
}

/* Where does the answer send us? NULL: nowhere, or to another scheme. */
static const char *next_url(struct hop *hop, const char *url)
{
    const char *to = NULL;
    struct reach_url from, there;
    if (curl.easy_getinfo(hop->easy, CURLINFO_REDIRECT_URL, &to) != CURLE_OK || to == NULL) {
        return NULL;
    }
    if (mln_failed(reach_url_parse(NULL, mln_bytes_of(to), &there)) ||
        mln_failed(reach_url_parse(NULL, mln_bytes_of(url), &from)) || !mln_bytes_eq(from.scheme, there.scheme)) {
        return NULL;
    }
    return mln_text_dup(hop->cx, mln_bytes_of(to));
}

static bool same_target(struct mln_cx *cx, const char *a, const char *b)
{
    struct reach_url first, second;
    if (mln_failed(reach_url_parse(NULL, mln_bytes_of(a), &first)) ||
        mln_failed(reach_url_parse(NULL, mln_bytes_of(b), &second))) {
        return false;
    }
    return mln_bytes_eq(mln_bytes_of(reach_url_target(cx, &first)), mln_bytes_of(reach_url_target(cx, &second)));
}

/* *url becomes where to go next, NULL when this was the last hop. */
static struct mln_err one_hop(struct mln_cx *cx, const struct mln_value *allow, const struct mln_value *ask,
                              const char **url, bool *keeps_secrets, struct mln_value *answer)
{
    size_t body_max = (size_t)mln_get_int(mln_get(ask, "body_max"), MLN_REACH_BODY_MAX);
    MLN_AUTO(hop_drop)
    struct hop hop = {.cx = cx, .allow = allow, .ask = ask, .easy = curl.easy_init(),
                      .answer_headers = mln_object(cx), .body = {.max = body_max, .is_secret = true}};
    const char *method = mln_get_text(cx, mln_get(ask, "method"), "GET");
    long status = 0;
    if (hop.easy == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "reach: no memory for a call");
    }
    MLN_TRY(run_hop(&hop, *url, method, *keeps_secrets, reach_timeout_ms(ask)));
    (void)curl.easy_getinfo(hop.easy, CURLINFO_RESPONSE_CODE, &status);
    mln_put_int(cx, answer, "status", status);
    mln_put(cx, answer, "headers", hop.answer_headers);
    mln_put(cx, answer, "body", mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&hop.body))));
    const char *next = status >= 300 && status <= 399 ? next_url(&hop, *url) : NULL;
    *keeps_secrets = *keeps_secrets && next != NULL && same_target(cx, *url, next);
    *url = next;
    return mln_cx_err(cx);
}

static struct mln_err check_ask(struct mln_cx *cx, const struct mln_value *ask, bool *ret_follows)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
    const char *method = mln_get_text(cx, mln_get(ask, "method"), "GET");
    bool is_known = false;
    for (size_t i = 0; i < MLN_COUNT(methods); i++) {
        is_known = is_known || mln_bytes_is(mln_bytes_of(method), methods[i]);
        *ret_follows = i < 2 && is_known ? true : *ret_follows;
    }
    if (!curl.is_there) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "reach: libcurl is not installed");
    }
    return is_known ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "reach: the method is not one to use");
}

struct mln_err reach_http(struct mln_cx *cx, const struct mln_value *allow,
                          const struct mln_value *ask, const struct mln_value **ret)
{
    const char *url = mln_get_text(cx, mln_get(ask, "url"), "");
    struct mln_value *answer = mln_object(cx);
    bool keeps_secrets = true, follows = false;
    MLN_TRY(check_ask(cx, ask, &follows));
    MLN_TRY(check_svid(cx, ask, url));
    int64_t left = follows ? mln_get_int(mln_get(ask, "redirects"), 0) : 0;
    left = left < 0 ? 0 : left > REDIRECTS_MAX ? REDIRECTS_MAX : left;
    MLN_TRY(one_hop(cx, allow, ask, &url, &keeps_secrets, answer));
    for (; url != NULL && left > 0; left--) {
        MLN_TRY(one_hop(cx, allow, ask, &url, &keeps_secrets, answer));
    }
    *ret = answer;
    return mln_cx_err(cx);
}
