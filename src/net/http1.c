/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heads: one pass finds the end and refuses impossible bytes, a second one cuts lines, names and
 * values.
 */
#include "net/http1.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/text.h"

/* ---- character classes ---- */

enum { TOKEN = 1, TARGET = 2, HOST = 4 };

/* clang-format off */
static const uint8_t classes[256] = {
    ['!'] = 7, ['#'] = 1, ['$'] = 7, ['%'] = 7, ['&'] = 7, ['\''] = 7, ['*'] = 7, ['+'] = 7,
    ['-'] = 7, ['.'] = 7, ['^'] = 1, ['_'] = 7, ['`'] = 1, ['|'] = 1, ['~'] = 7, ['('] = 6,
    [')'] = 6, [','] = 6, [';'] = 6, ['='] = 6, [':'] = 6, ['['] = 6, [']'] = 6, ['/'] = 2,
    ['?'] = 2, ['@'] = 2, ['0'] = 7, ['1'] = 7, ['2'] = 7, ['3'] = 7, ['4'] = 7, ['5'] = 7,
    ['6'] = 7, ['7'] = 7, ['8'] = 7, ['9'] = 7, ['a'] = 7, ['b'] = 7, ['c'] = 7, ['d'] = 7,
    ['e'] = 7, ['f'] = 7, ['g'] = 7, ['h'] = 7, ['i'] = 7, ['j'] = 7, ['k'] = 7, ['l'] = 7,
    ['m'] = 7, ['n'] = 7, ['o'] = 7, ['p'] = 7, ['q'] = 7, ['r'] = 7, ['s'] = 7, ['t'] = 7,
    ['u'] = 7, ['v'] = 7, ['w'] = 7, ['x'] = 7, ['y'] = 7, ['z'] = 7, ['A'] = 7, ['B'] = 7,
    ['C'] = 7, ['D'] = 7, ['E'] = 7, ['F'] = 7, ['G'] = 7, ['H'] = 7, ['I'] = 7, ['J'] = 7,
    ['K'] = 7, ['L'] = 7, ['M'] = 7, ['N'] = 7, ['O'] = 7, ['P'] = 7, ['Q'] = 7, ['R'] = 7,
    ['S'] = 7, ['T'] = 7, ['U'] = 7, ['V'] = 7, ['W'] = 7, ['X'] = 7, ['Y'] = 7, ['Z'] = 7,
};
/* clang-format on */

static size_t span(struct mln_bytes b, uint8_t class)
{
    size_t n = 0;
    while (n < b.len && (classes[b.ptr[n]] & class) != 0) {
        n++;
    }
    return n;
}

static bool is_control(uint8_t c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

/* Index of the first control character (tab is none) from `at` on; n when there is none. */
static size_t find_control(const uint8_t *p, size_t at, size_t n)
{
#ifdef __SSE2__
    const __m128i bias = _mm_set1_epi8((char)0x80), limit = _mm_set1_epi8((char)(0x80 ^ 0x20));
    const __m128i tab = _mm_set1_epi8('\t'), del = _mm_set1_epi8(0x7f);
    while (at + 16 <= n) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        __m128i low = _mm_cmplt_epi8(_mm_xor_si128(v, bias), limit);
        __m128i bad =
            _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(v, tab), low), _mm_cmpeq_epi8(v, del));
        unsigned mask = (unsigned)_mm_movemask_epi8(bad);
        if (mask != 0) {
            return at + (size_t)__builtin_ctz(mask);
        }
        at += 16;
    }
#endif
    while (at < n && !is_control(p[at])) {
        at++;
    }
    return at;
}

/* ---- the end of a head ---- */

static struct mln_err bad_byte(struct mln_cx *cx, uint8_t c, size_t at)
{
    if (c == '\n') {
        return mln_fail(cx, MLN_E_PARSE, "http: bare LF at byte %zu", at);
    }
    if (c == '\r') {
        return mln_fail(cx, MLN_E_PARSE, "http: bare CR at byte %zu", at);
    }
    return mln_fail(cx, MLN_E_PARSE, "http: control character 0x%02x at byte %zu", (unsigned)c, at);
}

struct mln_err mln_http1_scan(struct mln_cx *cx, struct mln_http1_scan *scan, struct mln_bytes in,
                              size_t *ret_len)
{
    size_t end = in.len < MLN_HTTP_HEAD_BYTES_MAX ? in.len : MLN_HTTP_HEAD_BYTES_MAX;
    size_t at = scan->at;
    *ret_len = 0;
    for (;;) {
        at = find_control(in.ptr, at, end);
        scan->at = at;
        if (at == end || (at + 1 == end && in.ptr[at] == '\r')) {
            break;
        }
        if (in.ptr[at] != '\r' || in.ptr[at + 1] != '\n') {
            return bad_byte(cx, in.ptr[at], at);
        }
        if (at == 0) {
            return mln_fail(cx, MLN_E_PARSE, "http: empty line instead of a request");
        }
        if (at == scan->line) {
            *ret_len = at + 2;
            return MLN_OK;
        }
        at += 2;
        scan->line = at;
    }
    if (in.len >= MLN_HTTP_HEAD_BYTES_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "http: head larger than %u bytes",
                        MLN_HTTP_HEAD_BYTES_MAX);
    }
    return MLN_OK;
}

/* ---- header lines ---- */

/* The line at *at without its CRLF; *at moves behind it. */
static struct mln_bytes next_line(struct mln_bytes head, size_t *at)
{
    size_t begin = *at;
    size_t end = find_control(head.ptr, begin, head.len);
    *at = end + 2 <= head.len ? end + 2 : head.len;
    return mln_bytes_at(head.ptr + begin, end - begin);
}

static struct mln_bytes trim_blank(struct mln_bytes v)
{
    while (v.len > 0 && (v.ptr[0] == ' ' || v.ptr[0] == '\t')) {
        v.ptr++;
        v.len--;
    }
    while (v.len > 0 && (v.ptr[v.len - 1] == ' ' || v.ptr[v.len - 1] == '\t')) {
        v.len--;
    }
    return v;
}

static struct mln_err parse_field(struct mln_cx *cx, struct mln_bytes line,
                                  struct mln_http_header *ret)
{
    size_t n = span(line, TOKEN);
    if (n == 0 || n == line.len || line.ptr[n] != ':') {
        bool is_fold = n == 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t');
        return mln_fail(cx, MLN_E_PARSE,
                        is_fold ? "http: folded header line" : "http: malformed header line");
    }
    ret->name = mln_bytes_at(line.ptr, n);
    ret->value = trim_blank(mln_bytes_at(line.ptr + n + 1, line.len - n - 1));
    return MLN_OK;
}

static struct mln_err parse_fields(struct mln_cx *cx, struct mln_bytes head, size_t at,
                                   struct mln_http1_head *ret)
{
    while (at + 2 < head.len) {
        if (ret->n_headers == MLN_HTTP_HEADERS_MAX) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "http: more than %u headers",
                            MLN_HTTP_HEADERS_MAX);
        }
        struct mln_bytes line = next_line(head, &at);
        MLN_TRY(parse_field(cx, line, &ret->headers[ret->n_headers]));
        ret->n_headers++;
    }
    return MLN_OK;
}

/* ---- what headers mean for framing ---- */

struct seen {
    unsigned hosts, lengths, encodings;
    bool close, keep_alive;
};

static struct mln_err read_length(struct mln_cx *cx, struct mln_bytes value, struct seen *seen,
                                  struct mln_http1_framing *f)
{
    if (seen->lengths++ > 0) {
        return mln_fail(cx, MLN_E_PARSE, "http: more than one Content-Length");
    }
    if (value.len > 19 || !mln_u64_parse(value, &f->length)) {
        return mln_fail(cx, MLN_E_PARSE, "http: malformed Content-Length");
    }
    f->has_length = true;
    return MLN_OK;
}

static struct mln_err read_encoding(struct mln_cx *cx, struct mln_bytes value, struct seen *seen,
                                    struct mln_http1_framing *f)
{
    if (seen->encodings++ > 0 || !mln_bytes_is_nocase(value, "chunked")) {
        return mln_fail(cx, MLN_E_PARSE, "http: Transfer-Encoding other than one \"chunked\"");
    }
    f->is_chunked = true;
    return MLN_OK;
}

static void read_connection(struct mln_bytes value, struct seen *seen)
{
    while (value.len > 0) {
        struct mln_bytes word = trim_blank(mln_bytes_cut(value, ',', &value));
        seen->close = seen->close || mln_bytes_is_nocase(word, "close");
        seen->keep_alive = seen->keep_alive || mln_bytes_is_nocase(word, "keep-alive");
    }
}

static struct mln_err read_host(struct mln_cx *cx, struct mln_bytes value, struct seen *seen)
{
    if (seen->hosts++ > 0) {
        return mln_fail(cx, MLN_E_PARSE, "http: more than one Host");
    }
    if (span(value, HOST) != value.len) {
        return mln_fail(cx, MLN_E_PARSE, "http: malformed Host");
    }
    return MLN_OK;
}

static struct mln_err read_expect(struct mln_cx *cx, struct mln_bytes value,
                                  struct mln_http1_framing *f)
{
    if (!mln_bytes_is_nocase(value, "100-continue")) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "http: Expect other than 100-continue");
    }
    f->expects_continue = true;
    return MLN_OK;
}

static struct mln_err read_field(struct mln_cx *cx, const struct mln_http_header *h,
                                 struct seen *seen, struct mln_http1_framing *f)
{
    switch (h->name.len) {
    case 4:
        return mln_bytes_is_nocase(h->name, "host") ? read_host(cx, h->value, seen) : MLN_OK;
    case 6:
        return mln_bytes_is_nocase(h->name, "expect") ? read_expect(cx, h->value, f) : MLN_OK;
    case 10:
        if (mln_bytes_is_nocase(h->name, "connection")) {
            read_connection(h->value, seen);
        }
        return MLN_OK;
    case 14:
        return mln_bytes_is_nocase(h->name, "content-length") ? read_length(cx, h->value, seen, f)
                                                              : MLN_OK;
    case 17:
        return mln_bytes_is_nocase(h->name, "transfer-encoding")
                   ? read_encoding(cx, h->value, seen, f)
                   : MLN_OK;
    default:
        return MLN_OK;
    }
}

static struct mln_err read_framing(struct mln_cx *cx, struct mln_http1_head *head,
                                   struct seen *seen)
{
    struct mln_http1_framing *f = &head->framing;
    for (size_t i = 0; i < head->n_headers; i++) {
        MLN_TRY(read_field(cx, &head->headers[i], seen, f));
    }
    if (f->is_chunked && (f->has_length || f->is_http10)) {
        return mln_fail(cx, MLN_E_PARSE, "http: Transfer-Encoding with %s",
                        f->has_length ? "Content-Length" : "version 1.0");
    }
    f->wants_close = seen->close || (f->is_http10 && !seen->keep_alive);
    f->expects_continue = f->expects_continue && !f->is_http10;
    return MLN_OK;
}

/* ---- first lines ---- */

static struct mln_err parse_version(struct mln_cx *cx, struct mln_bytes version,
                                    struct mln_http1_framing *f)
{
    f->is_http10 = mln_bytes_is(version, "HTTP/1.0");
    if (!f->is_http10 && !mln_bytes_is(version, "HTTP/1.1")) {
        return mln_fail(cx, MLN_E_PARSE, "http: unsupported version");
    }
    return MLN_OK;
}

static struct mln_err parse_request_line(struct mln_cx *cx, struct mln_bytes line,
                                         struct mln_http1_head *ret)
{
    size_t n = span(line, TOKEN);
    if (n == 0 || n > MLN_HTTP1_METHOD_MAX || n == line.len || line.ptr[n] != ' ') {
        return mln_fail(cx, MLN_E_PARSE, "http: malformed method");
    }
    ret->method = mln_bytes_at(line.ptr, n);
    struct mln_bytes rest = mln_bytes_from(line, n + 1);
    n = span(rest, TARGET);
    ret->target = mln_bytes_at(rest.ptr, n);
    if (n == 0 || n == rest.len || rest.ptr[n] != ' ') {
        return mln_fail(cx, MLN_E_PARSE, "http: malformed request target");
    }
    if (rest.ptr[0] != '/' &&
        !(n == 1 && rest.ptr[0] == '*' && mln_bytes_is(ret->method, "OPTIONS"))) {
        return mln_fail(cx, MLN_E_PARSE, "http: request target is not a path");
    }
    ret->path = mln_bytes_cut(ret->target, '?', &ret->query);
    return parse_version(cx, mln_bytes_from(rest, n + 1), &ret->framing);
}

struct mln_err mln_http1_request(struct mln_cx *cx, struct mln_bytes head,
                                 struct mln_http1_head *ret)
{
    ret->framing = (struct mln_http1_framing){0};
    ret->n_headers = 0;
    ret->status = 0;
    size_t at = 0;
    MLN_TRY(parse_request_line(cx, next_line(head, &at), ret));
    MLN_TRY(parse_fields(cx, head, at, ret));
    struct seen seen = {0};
    MLN_TRY(read_framing(cx, ret, &seen));
    if (seen.hosts == 0 && !ret->framing.is_http10) {
        return mln_fail(cx, MLN_E_PARSE, "http: no Host");
    }
    return MLN_OK;
}

struct mln_err mln_http1_answer(struct mln_cx *cx, struct mln_bytes head,
                                struct mln_http1_head *ret)
{
    ret->framing = (struct mln_http1_framing){0};
    ret->n_headers = 0;
    ret->method = ret->target = ret->path = ret->query = MLN_BYTES_NONE;
    size_t at = 0;
    uint64_t status = 0;
    struct mln_bytes line = next_line(head, &at);
    struct mln_bytes rest = MLN_BYTES_NONE;
    MLN_TRY(parse_version(cx, mln_bytes_cut(line, ' ', &rest), &ret->framing));
    if (rest.len < 3 || !mln_u64_parse(mln_bytes_sub(rest, 0, 3), &status) || status < 100 ||
        (rest.len > 3 && rest.ptr[3] != ' ')) {
        return mln_fail(cx, MLN_E_PARSE, "http: malformed status line");
    }
    ret->status = (int)status;
    MLN_TRY(parse_fields(cx, head, at, ret));
    struct seen seen = {0};
    return read_framing(cx, ret, &seen);
}
