/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HCL 1, the lexical half: comments, identifiers, numbers, quoted strings with escapes, heredocs.
 * Source: the HCL 1 specification (README of the language) and its published error texts. The text is checked to be UTF-8
 * by the caller. Columns count characters, as the language's own messages do.
 */
#include "policy/hcl_priv.h"

#include "base/text.h"

const char *hcl_kind_name(enum hcl_kind kind)
{
    static const char *const names[] = {
        [HCL_EOF] = "EOF",       [HCL_IDENT] = "IDENT",       [HCL_STRING] = "STRING",
        [HCL_HEREDOC] = "HEREDOC", [HCL_NUMBER] = "NUMBER",   [HCL_ASSIGN] = "ASSIGN",
        [HCL_COMMA] = "COMMA",   [HCL_LBRACE] = "LBRACE",     [HCL_RBRACE] = "RBRACE",
        [HCL_LBRACKET] = "LBRACK", [HCL_RBRACKET] = "RBRACK",
    };
    return (size_t)kind < MLN_COUNT(names) ? names[kind] : "?";
}

void hcl_lex_start(struct hcl_lexer *lx, struct mln_bytes text)
{
    *lx = (struct hcl_lexer){.all = text, .line = 1, .column = 1};
}

static int peek(const struct hcl_lexer *lx, size_t ahead)
{
    return ahead < lx->all.len - lx->at ? lx->all.ptr[lx->at + ahead] : -1;
}

static void step(struct hcl_lexer *lx)
{
    uint8_t c = lx->all.ptr[lx->at++];
    if (c == '\n') {
        lx->line++;
        lx->column = 1;
    } else if ((c & 0xC0) != 0x80) { /* not the middle of a character */
        lx->column++;
    }
}

static void steps(struct hcl_lexer *lx, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        step(lx);
    }
}

static struct mln_err lex_fail(struct mln_cx *cx, const struct hcl_lexer *lx, const char *what)
{
    return mln_fail(cx, MLN_E_PARSE, "At %zu:%zu: %s", lx->line, lx->column, what);
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static struct mln_err skip_block_comment(struct mln_cx *cx, struct hcl_lexer *lx)
{
    struct hcl_lexer start = *lx;
    steps(lx, 2);
    while (peek(lx, 0) >= 0) {
        if (peek(lx, 0) == '*' && peek(lx, 1) == '/') {
            steps(lx, 2);
            return MLN_OK;
        }
        step(lx);
    }
    return lex_fail(cx, &start, "comment not terminated");
}

/* White space, "#" and "//" to the end of the line, and block comments. */
static struct mln_err skip_blank(struct mln_cx *cx, struct hcl_lexer *lx)
{
    for (;;) {
        int c = peek(lx, 0);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            step(lx);
        } else if (c == '#' || (c == '/' && peek(lx, 1) == '/')) {
            while (peek(lx, 0) >= 0 && peek(lx, 0) != '\n') {
                step(lx);
            }
        } else if (c == '/' && peek(lx, 1) == '*') {
            MLN_TRY(skip_block_comment(cx, lx));
        } else {
            return MLN_OK;
        }
    }
}

static size_t utf8_print(uint8_t to[4], uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t heads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        to[i] = (uint8_t)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    to[0] = (uint8_t)(heads[n] | c);
    return n;
}

/* Up to `n` digits of `base`; false when there are fewer. */
static bool read_digits(struct hcl_lexer *lx, unsigned base, size_t n, uint32_t *ret)
{
    uint32_t value = 0;
    for (size_t i = 0; i < n; i++) {
        int c = peek(lx, 0);
        unsigned digit = 99;
        if (is_digit(c)) {
            digit = (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (unsigned)(c - 'a' + 10);
        } else if (c >= 'A' && c <= 'F') {
            digit = (unsigned)(c - 'A' + 10);
        }
        if (digit >= base) {
            return false;
        }
        value = value * base + digit;
        step(lx);
    }
    *ret = value;
    return true;
}

/* After a backslash: append what the escape stands for. Bytes above 127 must come as \u, so that strings stay UTF-8. */
static struct mln_err lex_escape(struct mln_cx *cx, struct hcl_lexer *lx, struct mln_buf *out)
{
    static const char from[] = "abfnrtv\\\"";
    static const uint8_t to[] = {7, 8, 12, 10, 13, 9, 11, '\\', '"'};
    int c = peek(lx, 0);
    for (size_t i = 0; i + 1 < sizeof(from); i++) {
        if (c == from[i]) {
            mln_buf_add_byte(out, to[i]);
            step(lx);
            return MLN_OK;
        }
    }
    uint32_t value = 0;
    bool ok = false;
    if (c == 'u' || c == 'U' || c == 'x') {
        step(lx);
        ok = read_digits(lx, 16, c == 'u' ? 4 : c == 'U' ? 8 : 2, &value);
    } else if (c >= '0' && c <= '7') {
        ok = read_digits(lx, 8, 3, &value);
    }
    bool is_byte = c != 'u' && c != 'U';
    if (!ok || (is_byte && value > 127) || value == 0 || value > 0x10FFFF ||
        (value >= 0xD800 && value <= 0xDFFF)) {
        return lex_fail(cx, lx, "illegal char escape");
    }
    uint8_t bytes[4];
    mln_buf_add(out, bytes, utf8_print(bytes, value));
    return MLN_OK;
}

static struct mln_err lex_string(struct mln_cx *cx, struct hcl_lexer *lx, struct mln_bytes *ret)
{
    struct hcl_lexer start = *lx;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
    step(lx);
    for (;;) {
        int c = peek(lx, 0);
        if (c < 0 || c == '\n') {
            return lex_fail(cx, &start, "literal not terminated");
        }
        if (c == '"') {
            step(lx);
            break;
        }
        if (c == '\\') {
            step(lx);
            MLN_TRY(lex_escape(cx, lx, &out));
            continue;
        }
        mln_buf_add_byte(&out, (uint8_t)c);
        step(lx);
    }
    MLN_TRY(mln_buf_ok(cx, &out));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&out));
    return mln_cx_err(cx);
}

/* The next line without its end; false at the end of the text. A line's "\r" stays out too. */
static bool next_line(struct hcl_lexer *lx, struct mln_bytes *ret)
{
    if (peek(lx, 0) < 0) {
        return false;
    }
    size_t from = lx->at;
    while (peek(lx, 0) >= 0 && peek(lx, 0) != '\n') {
        step(lx);
    }
    *ret = mln_bytes_sub(lx->all, from, lx->at - from);
    if (peek(lx, 0) == '\n') {
        step(lx);
    }
    if (ret->len > 0 && ret->ptr[ret->len - 1] == '\r') {
        ret->len--;
    }
    return true;
}

static struct mln_bytes trim_left(struct mln_bytes line)
{
    size_t i = 0;
    while (i < line.len && (line.ptr[i] == ' ' || line.ptr[i] == '\t')) {
        i++;
    }
    return mln_bytes_from(line, i);
}

/* The lines between `from` and the one that ends it, less the indent that all of them share when `is_indented`. */
static void heredoc_body(struct mln_bytes body, bool is_indented, struct mln_buf *out)
{
    size_t indent = is_indented ? SIZE_MAX : 0;
    struct hcl_lexer lines;
    struct mln_bytes line;
    hcl_lex_start(&lines, body);
    while (is_indented && next_line(&lines, &line)) {
        size_t here = line.len - trim_left(line).len;
        indent = here < indent ? here : indent;
    }
    hcl_lex_start(&lines, body);
    while (next_line(&lines, &line)) {
        mln_buf_add_bytes(out, mln_bytes_from(line, indent));
        mln_buf_add_byte(out, '\n');
    }
}

static struct mln_err lex_heredoc(struct mln_cx *cx, struct hcl_lexer *lx, struct mln_bytes *ret)
{
    struct hcl_lexer start = *lx;
    steps(lx, 2);
    bool is_indented = peek(lx, 0) == '-';
    if (is_indented) {
        step(lx);
    }
    struct mln_bytes anchor, line;
    if (!next_line(lx, &anchor) || anchor.len == 0) {
        return lex_fail(cx, &start, "zero-length heredoc anchor");
    }
    for (size_t i = 0; i < anchor.len; i++) {
        if (!is_letter(anchor.ptr[i]) && !is_digit(anchor.ptr[i])) {
            return lex_fail(cx, &start, "heredoc expectes newline after anchor");
        }
    }
    size_t from = lx->at;
    for (;;) {
        size_t end = lx->at;
        if (!next_line(lx, &line)) {
            return lex_fail(cx, &start, "heredoc not terminated");
        }
        if (mln_bytes_eq(trim_left(line), anchor)) {
            MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
            heredoc_body(mln_bytes_sub(lx->all, from, end - from), is_indented, &out);
            MLN_TRY(mln_buf_ok(cx, &out));
            *ret = mln_bytes_dup(cx, mln_buf_bytes(&out));
            return mln_cx_err(cx);
        }
    }
}

/* A run of characters that a number may have; hcl.c judges it. */
static struct mln_bytes lex_run(struct hcl_lexer *lx, bool is_number)
{
    size_t from = lx->at;
    for (;;) {
        int c = peek(lx, 0);
        bool sign = c == '-' || c == '+';
        bool after_e = is_number && sign && lx->at > from &&
                       (lx->all.ptr[lx->at - 1] == 'e' || lx->all.ptr[lx->at - 1] == 'E');
        bool takes = is_letter(c) || is_digit(c) || c == '.';
        if (is_number ? takes || after_e || (sign && lx->at == from) : takes || c == '-') {
            step(lx);
        } else {
            return mln_bytes_sub(lx->all, from, lx->at - from);
        }
    }
}

static enum hcl_kind punctuation(int c)
{
    return c == '='   ? HCL_ASSIGN
           : c == ',' ? HCL_COMMA
           : c == '{' ? HCL_LBRACE
           : c == '}' ? HCL_RBRACE
           : c == '[' ? HCL_LBRACKET
           : c == ']' ? HCL_RBRACKET
                      : HCL_EOF;
}

struct mln_err hcl_lex(struct mln_cx *cx, struct hcl_lexer *lx, struct hcl_token *ret)
{
    MLN_TRY(skip_blank(cx, lx));
    struct hcl_token t = {.line = lx->line, .column = lx->column};
    int c = peek(lx, 0);
    if (c < 0) {
        t.column++; /* as the language's own messages count the end */
    } else if (punctuation(c) != HCL_EOF) {
        t.kind = punctuation(c);
        t.text = mln_bytes_sub(lx->all, lx->at, 1);
        step(lx);
    } else if (c == '"') {
        t.kind = HCL_STRING;
        MLN_TRY(lex_string(cx, lx, &t.text));
    } else if (c == '<' && peek(lx, 1) == '<') {
        t.kind = HCL_HEREDOC;
        MLN_TRY(lex_heredoc(cx, lx, &t.text));
    } else if (is_letter(c)) {
        t.kind = HCL_IDENT;
        t.text = lex_run(lx, false);
    } else if (is_digit(c) || c == '-') {
        t.kind = HCL_NUMBER;
        t.text = lex_run(lx, true);
    } else {
        return lex_fail(cx, lx, "illegal character");
    }
    *ret = t;
    return MLN_OK;
}
