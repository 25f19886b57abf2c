/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 reader: what is taken, what is refused, and that it does not matter how the bytes
 * are cut.
 */
#include "kit/kit.h"

#include <string.h>

#include "net/http1.h"

/* A constant view, for tables. */
#define B(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)("" text), sizeof(text) - 1                                               \
    }
#define H "Host: x\r\n"

/* Whole head: scan in one go and byte by byte (must agree), then parse. */
static struct mln_err head_of(struct mln_cx *cx, struct mln_bytes in, bool is_answer,
                              struct mln_http1_head *ret)
{
    struct mln_http1_scan whole = {0}, slow = {0};
    size_t len = 0, slow_len = 0;
    struct mln_err err = mln_http1_scan(cx, &whole, in, &len);
    struct mln_cx other;
    mln_cx_init(&other, NULL);
    struct mln_err slow_err = MLN_OK;
    for (size_t n = 1; n <= in.len && slow_len == 0 && !mln_failed(slow_err); n++) {
        slow_err = mln_http1_scan(&other, &slow, mln_bytes_sub(in, 0, n), &slow_len);
    }
    assert_int_equal(err.code, slow_err.code);
    assert_int_equal(len, slow_len);
    MLN_TRY(err);
    if (len == 0) {
        return mln_fail(cx, MLN_E_WAITING, "more");
    }
    struct mln_bytes head = mln_bytes_sub(in, 0, len);
    return is_answer ? mln_http1_answer(cx, head, ret) : mln_http1_request(cx, head, ret);
}

static const struct {
    const char *name;
    struct mln_bytes in;
    enum mln_code want;
} heads[] = {
    {"plain", B("GET / HTTP/1.1\r\n" H "\r\n"), MLN_E_OK},
    {"upper-case names", B("GET / HTTP/1.1\r\nHOST: x\r\n\r\n"), MLN_E_OK},
    {"empty value", B("GET / HTTP/1.1\r\n" H "X-A:\r\n\r\n"), MLN_E_OK},
    {"empty host", B("GET / HTTP/1.1\r\nHost:\r\n\r\n"), MLN_E_OK},
    {"host with port", B("GET / HTTP/1.1\r\nHost: [::1]:8200\r\n\r\n"), MLN_E_OK},
    {"tabs and 8-bit in values", B("GET / HTTP/1.1\r\n" H "X-A: \tb\tc\xc3\xa9\t \r\n\r\n"),
     MLN_E_OK},
    {"1.0 without host", B("GET / HTTP/1.0\r\n\r\n"), MLN_E_OK},
    {"length", B("PUT / HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\n{}"), MLN_E_OK},
    {"chunked", B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"), MLN_E_OK},
    {"options star", B("OPTIONS * HTTP/1.1\r\n" H "\r\n"), MLN_E_OK},
    {"odd method", B("FOO /v1/x HTTP/1.1\r\n" H "\r\n"), MLN_E_OK},
    {"not yet whole", B("GET / HTTP/1.1\r\n" H "X: y"), MLN_E_WAITING},
    {"not yet whole after CR", B("GET / HTTP/1.1\r\n" H "\r"), MLN_E_WAITING},
    {"CL with TE",
     B("PUT / HTTP/1.1\r\n" H "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
     MLN_E_PARSE},
    {"TE with CL",
     B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n"),
     MLN_E_PARSE},
    {"two different CL", B("PUT / HTTP/1.1\r\n" H "Content-Length: 2\r\nContent-Length: 3\r\n\r\n"),
     MLN_E_PARSE},
    {"two equal CL", B("PUT / HTTP/1.1\r\n" H "Content-Length: 2\r\ncontent-length: 2\r\n\r\n"),
     MLN_E_PARSE},
    {"CL list", B("PUT / HTTP/1.1\r\n" H "Content-Length: 2, 2\r\n\r\n"), MLN_E_PARSE},
    {"CL plus", B("PUT / HTTP/1.1\r\n" H "Content-Length: +2\r\n\r\n"), MLN_E_PARSE},
    {"CL minus", B("PUT / HTTP/1.1\r\n" H "Content-Length: -2\r\n\r\n"), MLN_E_PARSE},
    {"CL hex", B("PUT / HTTP/1.1\r\n" H "Content-Length: 0x2\r\n\r\n"), MLN_E_PARSE},
    {"CL empty", B("PUT / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n"), MLN_E_PARSE},
    {"CL inner blank", B("PUT / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\n"), MLN_E_PARSE},
    {"CL overflow", B("PUT / HTTP/1.1\r\n" H "Content-Length: 18446744073709551618\r\n\r\n"),
     MLN_E_PARSE},
    {"CL of 20 digits", B("PUT / HTTP/1.1\r\n" H "Content-Length: 00000000000000000002\r\n\r\n"),
     MLN_E_PARSE},
    {"TE xchunked", B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n"), MLN_E_PARSE},
    {"TE twice in one", B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n"),
     MLN_E_PARSE},
    {"TE twice",
     B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
     MLN_E_PARSE},
    {"TE identity", B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n"), MLN_E_PARSE},
    {"TE gzip", B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n"), MLN_E_PARSE},
    {"TE vertical tab",
     B("PUT / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b"
       "chunked\r\n\r\n"),
     MLN_E_PARSE},
    {"TE in 1.0", B("PUT / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n"), MLN_E_PARSE},
    {"space before colon", B("PUT / HTTP/1.1\r\n" H "Content-Length : 2\r\n\r\n"), MLN_E_PARSE},
    {"tab before colon", B("PUT / HTTP/1.1\r\n" H "Content-Length\t: 2\r\n\r\n"), MLN_E_PARSE},
    {"fold", B("GET / HTTP/1.1\r\n" H "X-A: b\r\n  c\r\n\r\n"), MLN_E_PARSE},
    {"fold by tab", B("GET / HTTP/1.1\r\n" H "X-A: b\r\n\tc: d\r\n\r\n"), MLN_E_PARSE},
    {"fold at the first header", B("GET / HTTP/1.1\r\n Host: x\r\n\r\n"), MLN_E_PARSE},
    {"bare LF", B("GET / HTTP/1.1\nHost: x\n\n"), MLN_E_PARSE},
    {"one bare LF", B("GET / HTTP/1.1\r\nHost: x\n\r\n"), MLN_E_PARSE},
    {"bare CR in value", B("GET / HTTP/1.1\r\n" H "X-A: b\rX-B: c\r\n\r\n"), MLN_E_PARSE},
    {"CR CR LF", B("GET / HTTP/1.1\r\n" H "X-A: b\r\r\n\r\n"), MLN_E_PARSE},
    {"NUL in value", B("GET / HTTP/1.1\r\n" H "X-A: b\0c\r\n\r\n"), MLN_E_PARSE},
    {"NUL in name", B("GET / HTTP/1.1\r\n" H "X\0A: b\r\n\r\n"), MLN_E_PARSE},
    {"DEL in value", B("GET / HTTP/1.1\r\n" H "X-A: \x7f\r\n\r\n"), MLN_E_PARSE},
    {"no host", B("GET / HTTP/1.1\r\nX: y\r\n\r\n"), MLN_E_PARSE},
    {"two hosts", B("GET / HTTP/1.1\r\n" H H "\r\n"), MLN_E_PARSE},
    {"host with blank", B("GET / HTTP/1.1\r\nHost: x y\r\n\r\n"), MLN_E_PARSE},
    {"host with path", B("GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"), MLN_E_PARSE},
    {"version 1.12", B("GET / HTTP/1.12\r\n" H "\r\n"), MLN_E_PARSE},
    {"version 9.9", B("GET / HTTP/9.9\r\n" H "\r\n"), MLN_E_PARSE},
    {"version 2.0", B("GET / HTTP/2.0\r\n" H "\r\n"), MLN_E_PARSE},
    {"lower-case version", B("GET / http/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"no version", B("GET /\r\n" H "\r\n"), MLN_E_PARSE},
    {"two spaces", B("GET  / HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"two spaces before version", B("GET /  HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"space behind version", B("GET / HTTP/1.1 \r\n" H "\r\n"), MLN_E_PARSE},
    {"tab in request line", B("GET\t/ HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"8-bit target", B("GET /\xff\xfe HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"fragment in target", B("GET /a#b HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"absolute target", B("GET http://x/ HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"authority target", B("CONNECT x:1 HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"star with GET", B("GET * HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"header without colon", B("GET / HTTP/1.1\r\n" H "X-A b\r\n\r\n"), MLN_E_PARSE},
    {"header without name", B("GET / HTTP/1.1\r\n" H ": b\r\n\r\n"), MLN_E_PARSE},
    {"odd byte in name", B("GET / HTTP/1.1\r\n" H "X(A: b\r\n\r\n"), MLN_E_PARSE},
    {"8-bit in name", B("GET / HTTP/1.1\r\n" H "X\xc3\xa9: b\r\n\r\n"), MLN_E_PARSE},
    {"empty line first", B("\r\nGET / HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"TLS hello", B("\x16\x03\x01\x02\x00"), MLN_E_PARSE},
    {"long method", B("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" H "\r\n"), MLN_E_PARSE},
    {"odd expectation", B("GET / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n"), MLN_E_UNSUPPORTED},
};

static void test_heads(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(heads); i++) {
        struct mln_http1_head h;
        kit_expect(cx, heads[i].name, head_of(cx, heads[i].in, false, &h), heads[i].want);
    }
}

static void test_parts_of_a_request(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_http1_head h;
    kit_ok(cx, head_of(cx,
                       MLN_BYTES(
                           "POST /v1/a%20b?x=1&y HTTP/1.1\r\nHost: h:8200\r\nX-Vault-Token:  t o k "
                           "\r\nContent-Length: 12\r\n"
                           "Expect: 100-Continue\r\nConnection: foo, CLOSE\r\n\r\n"),
                       false, &h));
    kit_text(h.method, "POST");
    kit_text(h.target, "/v1/a%20b?x=1&y");
    kit_text(h.path, "/v1/a%20b");
    kit_text(h.query, "x=1&y");
    assert_int_equal(h.n_headers, 5);
    kit_text(h.headers[1].value, "t o k");
    assert_true(h.framing.has_length && h.framing.length == 12 && h.framing.expects_continue &&
                h.framing.wants_close);
    struct mln_http_request http = {.headers = h.headers, .n_headers = h.n_headers};
    kit_text(mln_http_header(&http, "x-vault-TOKEN"), "t o k");
    assert_null(mln_http_header(&http, "X-Other").ptr);
}

static void test_connection_of_versions(void **state)
{
    static const struct {
        const char *name;
        struct mln_bytes in;
        bool wants_close;
    } t[] = {
        {"1.1", B("GET / HTTP/1.1\r\n" H "\r\n"), false},
        {"1.1 close", B("GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n"), true},
        {"1.1 both", B("GET / HTTP/1.1\r\n" H "Connection: keep-alive, close\r\n\r\n"), true},
        {"1.1 other", B("GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n"), false},
        {"1.0", B("GET / HTTP/1.0\r\n\r\n"), true},
        {"1.0 keep-alive", B("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_http1_head h;
        kit_expect(cx, t[i].name, head_of(cx, t[i].in, false, &h), MLN_E_OK);
        assert_int_equal(h.framing.wants_close, t[i].wants_close);
    }
}

static void test_head_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_http1_head h;
    for (unsigned n = MLN_HTTP_HEADERS_MAX - 1; n <= MLN_HTTP_HEADERS_MAX; n++) {
        struct mln_buf buf = {0};
        mln_buf_add_text(&buf, "GET / HTTP/1.1\r\n" H);
        for (unsigned i = 0; i < n; i++) {
            mln_buf_add_text(&buf, "X-A: b\r\n");
        }
        mln_buf_add_text(&buf, "\r\n");
        kit_expect(cx, "headers", head_of(cx, mln_buf_bytes(&buf), false, &h),
                   n < MLN_HTTP_HEADERS_MAX ? MLN_E_OK : MLN_E_TOO_LARGE);
        mln_buf_drop(&buf);
    }
    struct mln_buf big = {0};
    mln_buf_add_text(&big, "GET / HTTP/1.1\r\n" H "X-A: ");
    for (size_t i = 0; i < MLN_HTTP_HEAD_BYTES_MAX; i++) {
        mln_buf_add_byte(&big, 'a');
    }
    struct mln_http1_scan scan = {0};
    size_t len;
    kit_refused(cx, mln_http1_scan(cx, &scan, mln_buf_bytes(&big), &len), MLN_E_TOO_LARGE);
    mln_buf_drop(&big);
}

static void test_answers(void **state)
{
    static const struct {
        const char *name;
        struct mln_bytes in;
        enum mln_code want;
        int status;
    } t[] = {
        {"ok", B("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), MLN_E_OK, 200},
        {"no reason", B("HTTP/1.1 204\r\n\r\n"), MLN_E_OK, 204},
        {"empty reason", B("HTTP/1.0 503 \r\n\r\n"), MLN_E_OK, 503},
        {"not http", B("SSH-2.0-x\r\n\r\n"), MLN_E_PARSE, 0},
        {"status 2", B("HTTP/1.1 2\r\n\r\n"), MLN_E_PARSE, 0},
        {"status 2000", B("HTTP/1.1 2000 x\r\n\r\n"), MLN_E_PARSE, 0},
        {"status 099", B("HTTP/1.1 099 x\r\n\r\n"), MLN_E_PARSE, 0},
        {"status +20", B("HTTP/1.1 +20 x\r\n\r\n"), MLN_E_PARSE, 0},
        {"CL with TE",
         B("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
         MLN_E_PARSE, 0},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_http1_head h = {0};
        kit_expect(cx, t[i].name, head_of(cx, t[i].in, true, &h), t[i].want);
        assert_true(t[i].want != MLN_E_OK || h.status == t[i].status);
    }
}

/* ---- chunks ---- */

static struct mln_err chunks_cut(struct mln_cx *cx, struct mln_bytes in, size_t cut,
                                 struct mln_buf *body, size_t *ret_used, bool *ret_done)
{
    struct mln_http1_chunks k = {0};
    size_t used = 0, more = 0;
    struct mln_err err = mln_http1_chunks(cx, &k, mln_bytes_sub(in, 0, cut), body, 100, &used);
    if (!mln_failed(err) && !k.is_done) {
        assert_int_equal(used, cut);
        err = mln_http1_chunks(cx, &k, mln_bytes_from(in, cut), body, 100, &more);
    }
    *ret_used = used + more;
    *ret_done = k.is_done;
    return err;
}

static void test_chunks(void **state)
{
    static const struct {
        const char *name;
        struct mln_bytes in;
        enum mln_code want; /* WAITING: more needed */
        const char *body;
        size_t left; /* bytes behind the body */
    } t[] = {
        {"empty", B("0\r\n\r\n"), MLN_E_OK, "", 0},
        {"two", B("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET"), MLN_E_OK, "abcde", 3},
        {"hex and zeros", B("0000000A\r\n0123456789\r\n0\r\n\r\n"), MLN_E_OK, "0123456789", 0},
        {"extension", B("1;a=\"b\" ; c\r\nx\r\n0\r\n\r\n"), MLN_E_OK, "x", 0},
        {"trailers", B("1\r\nx\r\n0\r\nX-A: b\r\nY:\r\n\r\n"), MLN_E_OK, "x", 0},
        {"content with CRLF", B("4\r\n\r\n\r\n\r\n0\r\n\r\n"), MLN_E_OK, "\r\n\r\n", 0},
        {"not whole", B("3\r\nab"), MLN_E_WAITING, "ab", 0},
        {"no size", B("\r\nabc"), MLN_E_PARSE, NULL, 0},
        {"sign", B("+2\r\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"0x", B("0x2\r\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"bare LF", B("2\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"space", B("2 \r\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"overflow", B("fffffffffffffffff\r\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"nine digits", B("000000002\r\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"content too long", B("2\r\n{}x\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"content too short", B("3\r\n{}\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"NUL in extension", B("1;\0\r\nx\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"LF in extension", B("1;a\nx\r\n0\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"trailer folded", B("0\r\n a: b\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"trailer without colon", B("0\r\nab\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"trailer bare CR", B("0\r\na: b\rc\r\n\r\n"), MLN_E_PARSE, NULL, 0},
        {"over the limit", B("65\r\nx"), MLN_E_TOO_LARGE, NULL, 0},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        for (size_t cut = 0; cut <= t[i].in.len; cut++) {
            struct mln_buf body = {0};
            size_t used = 0;
            bool done = false;
            struct mln_err err = chunks_cut(cx, t[i].in, cut, &body, &used, &done);
            kit_expect(cx, t[i].name, err, t[i].want == MLN_E_WAITING ? MLN_E_OK : t[i].want);
            if (t[i].body != NULL) {
                kit_text(mln_buf_bytes(&body), t[i].body);
                assert_int_equal(done, t[i].want == MLN_E_OK);
                assert_int_equal(t[i].in.len - used, t[i].left);
            }
            mln_buf_drop(&body);
        }
    }
}

static void test_chunk_limits(void **state)
{
    static const struct {
        const char *head, *filler, *tail;
        size_t count;
        enum mln_code want;
    } t[] = {
        {"1;", "a", "\r\nx\r\n0\r\n\r\n", 200, MLN_E_OK},
        {"1;", "a", "\r\nx\r\n0\r\n\r\n", 300, MLN_E_PARSE},
        {"", "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n",
         "0\r\n\r\n", 60, MLN_E_OK},
        {"", "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n",
         "0\r\n\r\n", 80, MLN_E_PARSE},
        {"0\r\n", "a: b\r\n", "\r\n", 1000, MLN_E_OK},
        {"0\r\n", "a: b\r\n", "\r\n", 2000, MLN_E_PARSE},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_buf in = {0}, body = {0};
        mln_buf_add_text(&in, t[i].head);
        for (size_t k = 0; k < t[i].count; k++) {
            mln_buf_add_text(&in, t[i].filler);
        }
        mln_buf_add_text(&in, t[i].tail);
        struct mln_http1_chunks k = {0};
        size_t used;
        kit_expect(cx, t[i].filler,
                   mln_http1_chunks(cx, &k, mln_buf_bytes(&in), &body, 1000, &used), t[i].want);
        assert_true(t[i].want != MLN_E_OK || k.is_done);
        mln_buf_drop(&in);
        mln_buf_drop(&body);
    }
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(mln_http_reason(200), "OK");
    assert_string_equal(mln_http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(mln_http_reason(299), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_heads),
        KIT_TEST(test_parts_of_a_request),
        KIT_TEST(test_connection_of_versions),
        KIT_TEST(test_head_limits),
        KIT_TEST(test_answers),
        KIT_TEST(test_chunks),
        KIT_TEST(test_chunk_limits),
        KIT_TEST(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
