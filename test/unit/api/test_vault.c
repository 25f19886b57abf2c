/* SPDX-License-Identifier: Apache-2.0 */
/* Vault's API: requests as the messages they become, answers as the bytes they become. */
#include "kit/kit.h"

#include <string.h>

#include "api/vault.h"
#include "base/cbor.h"
#include "base/json.h"

#define TAIL ",\"ns\":\"\",\"data\":null,\"from\":\"192.0.2.7\",\"port\":4711,\"head\":false}"

struct row {
    const char *name, *method, *target, *headers, *body;
    enum mln_code want;
    const char *text; /* the message as JSON, or part of the error */
};

static const struct row requests[] = {
    {"read", "GET", "/v1/secret/data/a", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"secret/data/a\"" TAIL},
    {"trailing slash stays", "GET", "/v1/secret/", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"secret/\"" TAIL},
    {"list verb", "LIST", "/v1/secret/metadata", "", "", MLN_E_OK,
     "{\"op\":\"list\",\"path\":\"secret/metadata/\"" TAIL},
    {"list verb with slash", "LIST", "/v1/secret/metadata/", "", "", MLN_E_OK,
     "{\"op\":\"list\",\"path\":\"secret/metadata/\"" TAIL},
    {"list by query", "GET", "/v1/a?list=true", "", "", MLN_E_OK,
     "{\"op\":\"list\",\"path\":\"a/\"" TAIL},
    {"list=false", "GET", "/v1/a?list=false", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a\"" TAIL},
    {"help", "GET", "/v1/a?help=1", "", "", MLN_E_OK, "{\"op\":\"help\",\"path\":\"a\"" TAIL},
    {"delete", "DELETE", "/v1/a", "", "", MLN_E_OK, "{\"op\":\"delete\",\"path\":\"a\"" TAIL},
    {"wrap format", "GET", "/v1/a", "X-Vault-Wrap-TTL: 60|X-Vault-Wrap-Format: jwt", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a\",\"ns\":\"\",\"wrap\":\"60\",\"wrap_format\":\"jwt\",\"data\":null,"
     "\"from\":\"192.0.2.7\",\"port\":4711,\"head\":false}"},
    {"scan verb", "SCAN", "/v1/secret/metadata", "", "", MLN_E_OK,
     "{\"op\":\"scan\",\"path\":\"secret/metadata/\"" TAIL},
    {"scan by query", "GET", "/v1/a?scan=true", "", "", MLN_E_OK,
     "{\"op\":\"scan\",\"path\":\"a/\"" TAIL},
    {"scan=0", "GET", "/v1/a?scan=0&list=1", "", "", MLN_E_OK,
     "{\"op\":\"list\",\"path\":\"a/\"" TAIL},
    {"both", "GET", "/v1/a?list=true&scan=true", "", "", MLN_E_INVALID,
     "list and scan cannot both be asked for"},
    {"delete is no list", "DELETE", "/v1/a?list=1", "", "", MLN_E_OK,
     "{\"op\":\"delete\",\"path\":\"a\"" TAIL},
    {"decoded path", "GET", "/v1/a%20b/%C3%A9%2Fc", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a b/\xc3\xa9/c\"" TAIL},
    {"plus in a path", "GET", "/v1/a+b", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a+b\"" TAIL},
    {"head", "HEAD", "/v1/sys/health", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"sys/"
     "health\",\"ns\":\"\",\"data\":null,\"from\":\"192.0.2.7\",\"port\":4711,\"head\":true}"},
    {"query", "GET", "/v1/a?version=2&x=a+b%26&x=c&x=d&&y", "", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a\",\"ns\":\"\",\"data\":{\"version\":\"2\",\"x\":[\"a "
     "b&\",\"c\",\"d\"],\"y\":\"\"},\"from\":\"192.0.2.7\",\"port\":"
     "4711,\"head\":false}"},
    {"token and namespace", "GET", "/v1/a",
     "X-Vault-Token: hvs.abc|X-Vault-Namespace: /team/a/|X-Vault-Wrap-TTL: 5m|X-Vault-Request: "
     "true",
     "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a\",\"token\":\"hvs.abc\",\"ns\":\"team/a/"
     "\",\"wrap\":\"5m\",\"headers\":{\"x-vault-request\":\"true\"},\"data\":"
     "null,\"from\":\"192.0.2.7\",\"port\":4711,\"head\":false}"},
    {"bearer", "GET", "/v1/a", "authorization: Basic abc|Authorization: Bearer tok", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a\",\"token\":\"tok\"" TAIL},
    {"vault token wins", "GET", "/v1/a", "Authorization: Bearer tok|x-vault-token: one", "",
     MLN_E_OK, "{\"op\":\"read\",\"path\":\"a\",\"token\":\"one\"" TAIL},
    {"json", "POST", "/v1/a", "Content-Type: application/json",
     "{\"b\":18446744073709551616,\"c\":1.50,\"d\":-9223372036854775808}", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":{\"b\":18446744073709551616,\"c\":1.50,"
     "\"d\":-9223372036854775808},\"from\":\"192.0.2.7\","
     "\"port\":4711,\"head\":false}"},
    {"put without type", "PUT", "/v1/a?ignored=1", "", " {} ", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":{},\"from\":\"192.0.2.7\",\"port\":"
     "4711,\"head\":false}"},
    {"json under the form type of curl", "PUT", "/v1/a",
     "Content-Type: application/x-www-form-urlencoded", "{\"a\":1}", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":{\"a\":1},\"from\":\"192.0.2.7\","
     "\"port\":4711,\"head\":false}"},
    {"form", "PUT", "/v1/a", "Content-Type: application/x-www-form-urlencoded; charset=utf-8",
     "a=1&b=x+y&a=2&a=3", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":{\"a\":\"1,2,3\",\"b\":\"x "
     "y\"},\"from\":\"192.0.2.7\",\"port\":4711,\"head\":false}"},
    {"null body", "PUT", "/v1/a", "", "null", MLN_E_OK, "{\"op\":\"write\",\"path\":\"a\"" TAIL},
    {"empty body", "POST", "/v1/a", "", "", MLN_E_OK, "{\"op\":\"write\",\"path\":\"a\"" TAIL},
    {"raw", "PUT", "/v1/a", "Content-Type: application/octet-stream", "\x01\x02\x03", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":null,\"raw\":\"AQID\",\"ct\":"
     "\"application/octet-stream\",\"from\":\"192.0.2.7\",\"port\":4711,"
     "\"head\":false}"},
    {"raw of ocsp", "POST", "/v1/a", "Content-Type: application/ocsp-request", "{\"a\":1}", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":null,\"raw\":\"eyJhIjoxfQ==\",\"ct\":"
     "\"application/ocsp-request\",\"from\":\"192.0.2.7\",\"port\":4711,"
     "\"head\":false}"},
    {"a snapshot without a type", "POST", "/v1/a", "", "\x1f\x8b\x08", MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":null,\"raw\":\"H4sI\",\"ct\":"
     "\"application/gzip\",\"from\":\"192.0.2.7\",\"port\":4711,"
     "\"head\":false}"},
    {"a snapshot as curl sends it", "POST", "/v1/a", "Content-Type: application/x-www-form-urlencoded", "\x1f\x8b\x08",
     MLN_E_OK,
     "{\"op\":\"write\",\"path\":\"a\",\"ns\":\"\",\"data\":null,\"raw\":\"H4sI\",\"ct\":"
     "\"application/gzip\",\"from\":\"192.0.2.7\",\"port\":4711,"
     "\"head\":false}"},
    {"patch", "PATCH", "/v1/a", "Content-Type: application/merge-patch+json", "{\"x\":null}",
     MLN_E_OK,
     "{\"op\":\"patch\",\"path\":\"a\",\"ns\":\"\",\"data\":{\"x\":null},\"from\":\"192.0.2.7\","
     "\"port\":4711,\"head\":false}"},
    {"ledger", "GET", "/ledger/tile/0/x001/067.p/12?x", "X-Vault-Token: t", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"sys/internal/ledger/tile/0/x001/067.p/12\"" TAIL},
    {"welcome", "GET", "/", "", "", MLN_E_OK, NULL},

    {"patch type", "PATCH", "/v1/a", "Content-Type: application/json", "{}", MLN_E_MEDIA_TYPE,
     "PATCH requires Content-Type of application/merge-patch+json, provided application/json"},
    {"options", "OPTIONS", "/v1/a", "Origin: https://a.example|X-Vault-Token: t", "", MLN_E_OK,
     "{\"op\":\"read\",\"path\":\"a\",\"token\":\"t\",\"ns\":\"\",\"origin\":\"https://"
     "a.example\",\"preflight\":true,\"data\":null,\"from\":\"192.0.2.7\",\"port\":4711,"
     "\"head\":false}"},
    {"options without a path", "OPTIONS", "/v1/", "", "", MLN_E_NO_ROUTE, ""},
    {"an origin that is no text", "GET", "/v1/a", "Origin: \xff", "", MLN_E_INVALID,
     "malformed header origin"},
    {"odd verb", "FOO", "/v1/a", "", "", MLN_E_METHOD, ""},
    {"lower-case verb", "get", "/v1/a", "", "", MLN_E_METHOD, ""},
    {"elsewhere", "GET", "/v2/a", "", "", MLN_E_NO_ROUTE, ""},
    {"v1 alone", "GET", "/v1/", "", "", MLN_E_NO_ROUTE, ""},
    {"post to root", "POST", "/", "", "", MLN_E_NO_ROUTE, ""},
    {"dot dot", "GET", "/v1/secret/../sys", "", "", MLN_E_INVALID, "path"},
    {"encoded dot dot", "GET", "/v1/secret/%2e%2E/sys", "", "", MLN_E_INVALID, "path"},
    {"encoded slash around dots", "GET", "/v1/secret%2F..%2Fsys", "", "", MLN_E_INVALID, "path"},
    {"dot", "GET", "/v1/secret/./a", "", "", MLN_E_INVALID, "path"},
    {"empty segment", "GET", "/v1/secret//a", "", "", MLN_E_INVALID, "path"},
    {"leading slash", "GET", "/v1//secret", "", "", MLN_E_INVALID, "path"},
    {"double trailing slash", "GET", "/v1/secret//", "", "", MLN_E_INVALID, "path"},
    {"NUL", "GET", "/v1/a%00b", "", "", MLN_E_INVALID, "percent"},
    {"half escape", "GET", "/v1/a%2", "", "", MLN_E_INVALID, "percent"},
    {"bad escape", "GET", "/v1/a%zz", "", "", MLN_E_INVALID, "percent"},
    {"new line in path", "GET", "/v1/a%0ab", "", "", MLN_E_INVALID, "path"},
    {"bad UTF-8 in path", "GET", "/v1/a%ff", "", "", MLN_E_INVALID, "path"},
    {"bad UTF-8 in query", "GET", "/v1/a?b=%ff", "", "", MLN_E_INVALID, "UTF-8"},
    {"8-bit token", "GET", "/v1/a", "X-Vault-Token: t\xff", "", MLN_E_INVALID, "token"},
    {"token with blank", "GET", "/v1/a", "X-Vault-Token: a b", "", MLN_E_INVALID, "token"},
    {"8-bit namespace", "GET", "/v1/a", "X-Vault-Namespace: n\xff", "", MLN_E_INVALID, "ns"},
    {"8-bit wrap", "GET", "/v1/a", "X-Vault-Wrap-TTL: \xff", "", MLN_E_INVALID, "wrap"},
    {"malformed json", "POST", "/v1/a", "", "bad", MLN_E_PARSE, "failed to decode JSON input: "},
    {"array", "POST", "/v1/a", "", "[1]", MLN_E_PARSE, "failed to decode JSON input: "},
    {"duplicate key", "POST", "/v1/a", "", "{\"a\":1,\"a\":2}", MLN_E_PARSE,
     "failed to decode JSON input: "},
    {"two documents", "POST", "/v1/a", "", "{}{}", MLN_E_PARSE, "failed to decode JSON input: "},
    {"bad form", "PUT", "/v1/a", "Content-Type: application/x-www-form-urlencoded", "a=%zz",
     MLN_E_INVALID, "percent"},
    {"ledger write", "POST", "/ledger/checkpoint", "", "", MLN_E_METHOD, ""},
    {"ledger dots", "GET", "/ledger/../x", "", "", MLN_E_INVALID, "path"},
    {"ledger alone", "GET", "/ledger/", "", "", MLN_E_NO_ROUTE, ""},
};

static size_t split_headers(const char *text, struct mln_http_header *to)
{
    size_t n = 0;
    struct mln_bytes all = mln_bytes_of(text);
    while (all.len > 0) {
        struct mln_bytes line = mln_bytes_cut(all, '|', &all);
        to[n].name = mln_bytes_cut(line, ':', &to[n].value);
        to[n].value = mln_bytes_trim(to[n].value);
        n++;
    }
    return n;
}

static struct mln_err request_of(struct mln_cx *cx, const struct row *row,
                                 const struct mln_value **ret)
{
    struct mln_http_header headers[8];
    struct mln_http_request http = {
        .method = mln_bytes_of(row->method),
        .target = mln_bytes_of(row->target),
        .headers = headers,
        .n_headers = split_headers(row->headers, headers),
        .body = mln_bytes_of(row->body),
        .peer = MLN_BYTES("192.0.2.7"),
        .peer_port = 4711,
    };
    http.path = mln_bytes_cut(http.target, '?', &http.query);
    return mln_vault_api.request(cx, &http, ret);
}

/* Headers for audit lines: without credentials, as plain text, all values of a name. */
static void test_sent_headers(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const struct {
        const char *headers, *want; /* NULL = no member */
    } rows[] = {
        {"", NULL},
        {"X-Vault-Token: s|Authorization: Bearer t|Cookie: c|Proxy-Authorization: p", NULL},
        {"Connection: close|Content-Length: 0|Transfer-Encoding: chunked", NULL},
        {"X-Request-ID: 17|User-Agent: hvac", "{\"x-request-id\":[\"17\"],\"user-agent\":[\"hvac\"]}"},
        {"X-A: 1|x-a: 2|X-B: 3|X-A: 4", "{\"x-a\":[\"1\",\"2\",\"4\"],\"x-b\":[\"3\"]}"},
        {"X-A: caf\xc3\xa9 \xff", "{\"x-a\":[\"caf?? ?\"]}"},
        {"X-\xc3: 1", "{\"x-?\":[\"1\"]}"},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct row row = {.name = rows[i].headers, .method = "GET", .target = "/v1/a", .headers = rows[i].headers, .body = ""};
        const struct mln_value *got = NULL;
        kit_expect(cx, row.name, request_of(cx, &row, &got), MLN_E_OK);
        const struct mln_value *sent = mln_get(got, "sent");
        assert_int_equal(sent == NULL, rows[i].want == NULL);
        if (sent != NULL) {
            struct mln_buf buf = {0};
            mln_json_print(&buf, sent, MLN_JSON_COMPACT);
            kit_text(mln_buf_bytes(&buf), rows[i].want);
            mln_buf_drop(&buf);
        }
    }
}

static void test_requests(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(requests); i++) {
        const struct row *row = &requests[i];
        const struct mln_value *got = NULL;
        struct mln_err err = request_of(cx, row, &got);
        if (row->want != MLN_E_OK) {
            kit_expect_at(cx, err, row->want, row->text, row->name, __FILE__, __LINE__);
            mln_cx_clear(cx);
            continue;
        }
        kit_expect(cx, row->name, err, MLN_E_OK);
        if (row->text == NULL) {
            assert_null(got);
            continue;
        }
        struct mln_buf buf = {0}, wire = {0};
        struct mln_value *but_sent = mln_value_dup(cx, got); /* those have a test of their own */
        mln_remove(but_sent, MLN_BYTES("sent"));
        mln_json_print(&buf, but_sent, MLN_JSON_COMPACT);
        kit_text(mln_buf_bytes(&buf), row->text);
        /* What front makes, core takes. */
        const struct mln_value *back = NULL;
        mln_cbor_print(&wire, got);
        kit_expect(cx, row->name, mln_cbor_parse(cx, mln_buf_bytes(&wire), &back), MLN_E_OK);
        assert_true(mln_value_eq(got, back));
        mln_buf_drop(&buf);
        mln_buf_drop(&wire);
    }
}

static void test_token_is_secret(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct row row = {"", "GET", "/v1/a", "X-Vault-Token: hvs.abc", "", MLN_E_OK, NULL};
    const struct mln_value *got = NULL;
    kit_ok(cx, request_of(cx, &row, &got));
    assert_true((mln_get(got, "token")->flags & MLN_VALUE_SECRET) != 0);
}

static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf target = {0};
    const struct mln_value *got = NULL;
    mln_buf_add_text(&target, "/v1/");
    while (target.len < 2100) {
        mln_buf_add_text(&target, "abcdefgh/");
    }
    mln_buf_add_text(&target, "x");
    mln_buf_add_byte(&target, 0);
    struct row row = {"", "GET", (const char *)target.ptr, "", "", MLN_E_OK, NULL};
    kit_refused_with(cx, request_of(cx, &row, &got), MLN_E_INVALID, "longer than");
    mln_buf_clear(&target);
    mln_buf_add_text(&target, "/v1/a?");
    for (unsigned i = 0; i < 1025; i++) {
        mln_buf_add_text(&target, "a&");
    }
    mln_buf_add_byte(&target, 0);
    row.target = (const char *)target.ptr;
    kit_refused_with(cx, request_of(cx, &row, &got), MLN_E_TOO_LARGE, "parameters");
    mln_buf_drop(&target);
}

/* ---- answers ---- */

static void test_answers(void **state)
{
    static const struct {
        const char *name, *answer;
        int status;
        const char *type, *cache, *extra, *body;
    } t[] = {
        {"envelope", "{\"status\":200,\"request_id\":\"r\",\"data\":{\"a\":1.50}}", 200,
         "application/json", NULL, NULL,
         "{\"request_id\":\"r\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,"
         "\"data\":{\"a\":1.50},\"wrap_info\":null,\"warnings\":null,"
         "\"auth\":null}\n"},
        {"all members",
         "{\"status\":200,\"request_id\":\"r\",\"lease_id\":\"l\",\"renewable\":true,\"lease_"
         "duration\":60,\"auth\":{\"x\":1},\"wrap_info\":{},"
         "\"warnings\":[\"w\"],\"ledger\":7}",
         200, "application/json", NULL, "X-Merlon-Ledger-Index: 7\r\n",
         "{\"request_id\":\"r\",\"lease_id\":\"l\",\"renewable\":true,\"lease_duration\":60,"
         "\"data\":null,\"wrap_info\":{},\"warnings\":[\"w\"],\"auth\":{\"x\":1}}"
         "\n"},
        {"top",
         "{\"status\":200,\"request_id\":\"r\",\"data\":{},\"top\":{\"secret/"
         "\":{\"t\":1},\"data\":2}}",
         200, "application/json", NULL, NULL,
         "{\"request_id\":\"r\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,"
         "\"data\":{},\"wrap_info\":null,\"warnings\":null,\"auth\":null,"
         "\"secret/\":{\"t\":1}}\n"},
        {"nothing", "{\"status\":204,\"request_id\":\"r\",\"ledger\":0}", 204, "application/json",
         NULL, "X-Merlon-Ledger-Index: 0\r\n", ""},
        {"bare", "{\"status\":503,\"bare\":{\"sealed\":true}}", 503, "application/json", NULL, NULL,
         "{\"sealed\":true}\n"},
        {"errors", "{\"status\":403,\"errors\":[\"permission denied\"],\"ledger\":3}", 403,
         "application/json", NULL, "X-Merlon-Ledger-Index: 3\r\n",
         "{\"errors\":[\"permission denied\"]}\n"},
        {"404 of nothing", "{\"status\":404}", 404, "application/json", NULL, NULL,
         "{\"errors\":[]}\n"},
        {"404 with a warning", "{\"status\":404,\"request_id\":\"r\",\"warnings\":[\"w\"]}", 404,
         "application/json", NULL, NULL,
         "{\"request_id\":\"r\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,"
         "\"data\":null,\"wrap_info\":null,\"warnings\":[\"w\"],\"auth\":null}\n"},
        {"404 with data", "{\"status\":404,\"request_id\":\"r\",\"data\":{\"data\":null}}", 404,
         "application/json", NULL, NULL,
         "{\"request_id\":\"r\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,"
         "\"data\":{\"data\":null},\"wrap_info\":null,\"warnings\":null,\"auth\":"
         "null}\n"},
        {"retry", "{\"status\":429,\"errors\":[\"slow\"],\"retry_after\":2}", 429,
         "application/json", NULL, "Retry-After: 2\r\n", "{\"errors\":[\"slow\"]}\n"},
        {"both headers", "{\"status\":429,\"errors\":[],\"retry_after\":2,\"ledger\":1}", 429,
         "application/json", NULL, "X-Merlon-Ledger-Index: 1\r\nRetry-After: 2\r\n",
         "{\"errors\":[]}\n"},
        {"rate", "{\"status\":429,\"errors\":[],\"rate\":{\"limit\":2,\"remaining\":0,\"reset\":5}}", 429,
         "application/json", NULL,
         "X-Ratelimit-Limit: 2\r\nX-Ratelimit-Remaining: 0\r\nX-Ratelimit-Reset: 5\r\n",
         "{\"errors\":[]}\n"},
        {"web page", "{\"status\":403,\"errors\":[],\"cors\":{\"origin\":\"https://a\"}}", 403,
         "application/json", NULL, "Access-Control-Allow-Origin: https://a\r\nVary: Origin\r\n",
         "{\"errors\":[]}\n"},
        {"web page that asks first",
         "{\"status\":204,\"cors\":{\"origin\":\"https://a\",\"methods\":\"GET\",\"headers\":\"X\"}}", 204,
         "application/json", NULL,
         "Access-Control-Allow-Origin: https://a\r\nVary: Origin\r\nAccess-Control-Allow-Methods: GET\r\n"
         "Access-Control-Allow-Headers: X\r\nAccess-Control-Max-Age: 300\r\n",
         ""},
        {"origin with a new line", "{\"status\":403,\"errors\":[],\"cors\":{\"origin\":\"a\\r\\nX: y\"}}", 403,
         "application/json", NULL, "Vary: Origin\r\n", "{\"errors\":[]}\n"},
        {"raw", "{\"status\":200,\"raw\":\"tile\",\"ct\":\"text/plain\",\"immutable\":true}", 200,
         "text/plain", "public, max-age=31536000, immutable", NULL, "tile"},
        {"raw without type", "{\"status\":200,\"raw\":\"x\"}", 200, "application/octet-stream",
         NULL, NULL, "x"},
        {"type with a new line", "{\"status\":200,\"raw\":\"x\",\"ct\":\"a\\r\\nX: y\"}", 200,
         "application/octet-stream", NULL, NULL, "x"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *answer = NULL;
        struct mln_http_answer got = {0};
        struct mln_buf body = {0};
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(t[i].answer), &answer));
        kit_expect(cx, t[i].name, mln_vault_api.answer(cx, answer, &got, &body), MLN_E_OK);
        kit_text(mln_buf_bytes(&body), t[i].body);
        assert_int_equal(got.status, t[i].status);
        assert_string_equal(got.content_type, t[i].type);
        kit_text(mln_bytes_of(got.cache_control), t[i].cache != NULL ? t[i].cache : "");
        kit_text(mln_bytes_of(got.extra), t[i].extra != NULL ? t[i].extra : "");
        mln_buf_drop(&body);
    }
}

static void test_impossible_answers(void **state)
{
    static const char *const t[] = {"{}", "{\"status\":100}", "{\"status\":600}",
                                    "{\"status\":\"200\"}"};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *answer = NULL;
        struct mln_http_answer got = {0};
        struct mln_buf body = {0};
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(t[i]), &answer));
        kit_refused(cx, mln_vault_api.answer(cx, answer, &got, &body), MLN_E_INTERNAL);
        mln_buf_drop(&body);
    }
}

static void test_faults(void **state)
{
    static const struct {
        enum mln_code code;
        const char *text;
        int status;
        const char *body;
    } t[] = {
        {MLN_E_PARSE, "say \"no\"", 400, "{\"errors\":[\"say \\\"no\\\"\"]}\n"},
        {MLN_E_METHOD, "", 405, "{\"errors\":[]}\n"},
        {MLN_E_NO_ROUTE, "", 404, "{\"errors\":[]}\n"},
        {MLN_E_MEMORY, "", 500, "{\"errors\":[\"out of memory\"]}\n"},
        {MLN_E_LIMIT, "busy", 429, "{\"errors\":[\"busy\"]}\n"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_http_answer got = {0};
        struct mln_buf body = {0};
        struct mln_err err = mln_fail(cx, t[i].code, "%s", t[i].text);
        mln_vault_api.fault(cx, err, &got, &body);
        kit_text(mln_buf_bytes(&body), t[i].body);
        assert_int_equal(got.status, t[i].status);
        mln_buf_drop(&body);
        mln_cx_clear(cx);
    }
    struct mln_http_answer got = {0};
    struct mln_buf body = {0};
    mln_vault_api.fault(cx, MLN_OK, &got, &body);
    assert_int_equal(got.status, 200);
    assert_true(mln_bytes_starts(mln_buf_bytes(&body), MLN_BYTES("Merlon ")));
    mln_buf_drop(&body);
}

static struct mln_err faulty(struct mln_cx *cx, void *arg)
{
    const struct mln_value *got = NULL;
    return request_of(cx, arg, &got);
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    struct row row = {"",
                      "POST",
                      "/v1/a%20b?x=1&x=2",
                      "X-Vault-Token: t|X-Vault-Request: true",
                      "{\"a\":{\"b\":[1,2,\"\\u00e9\"]}}",
                      MLN_E_OK,
                      NULL};
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty, &row) > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_requests),
        KIT_TEST(test_sent_headers),
        KIT_TEST(test_token_is_secret),
        KIT_TEST(test_limits),
        KIT_TEST(test_answers),
        KIT_TEST(test_impossible_answers),
        KIT_TEST(test_faults),
        KIT_TEST(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
