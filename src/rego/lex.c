/* SPDX-License-Identifier: Apache-2.0 */
/* The lexer: one token at a time, so that the parser can go back and templates can nest. */
#include "rego/lex_priv.h"

#include "base/text.h"

#include <string.h>

void rg_lex_begin(struct rg_lexer *x, const struct rg_parse *how)
{
    static const uint8_t nothing = 0;
    const uint8_t *from = how->text.ptr == NULL ? &nothing : how->text.ptr;
    struct rg_module *module = x->module;
    *x = (struct rg_lexer){.heap = how->heap,
                           .module = module,
                           .file = how->file,
                           .begin = from,
                           .at = from,
                           .line = from,
                           .end = from + how->text.len,
                           .row = 1};
    if (how->text.len >= 3 && mln_same(from, "\xef\xbb\xbf", 3)) {
        x->at = x->line = from + 3;
    }
    x->loc.file = how->file;
    rg_lex_next(x);
}

static void newline(struct rg_lexer *x)
{
    x->row++;
    x->line = x->at;
    x->is_first = true;
}

/* A reading that is tried again meets its comments twice: only what is behind the last one is new. */
static void keep_comment(struct rg_lexer *x, const uint8_t *from)
{
    struct rg_module *m = x->module;
    uint32_t at = (uint32_t)(from - x->begin);
    if (m == NULL || (m->comments_n > 0 && m->comments[m->comments_n - 1].from >= at)) {
        return;
    }
    if (m->comments_n == m->comments_cap) {
        uint32_t cap = m->comments_cap == 0 ? 16 : m->comments_cap * 2;
        struct rg_comment *more = rg_try(x->heap, cap * sizeof(*more));
        if (more == NULL) {
            return;
        }
        mln_copy(more, m->comments, m->comments_n * sizeof(*more));
        m->comments = more;
        m->comments_cap = cap;
    }
    m->comments[m->comments_n++] = (struct rg_comment){.row = x->row,
                                                       .col = (uint32_t)(from - x->line) + 1,
                                                       .from = at,
                                                       .to = (uint32_t)(x->at - x->begin)};
}

static void skip_blank(struct rg_lexer *x)
{
    while (x->at < x->end) {
        uint8_t c = *x->at;
        if (c == '#') {
            const uint8_t *from = x->at;
            while (x->at < x->end && *x->at != '\n') {
                x->at++;
            }
            keep_comment(x, from);
        } else if (c == '\n') {
            x->at++;
            newline(x);
        } else if (c == ' ' || c == '\t' || c == '\r') {
            x->at++;
        } else {
            return;
        }
    }
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void bad(struct rg_lexer *x, const char *why)
{
    x->token = RG_K_BAD;
    x->error = why;
}

static void lex_name(struct rg_lexer *x)
{
    while (x->at < x->end && (is_letter(*x->at) || is_digit(*x->at))) {
        x->at++;
    }
    x->token = RG_K_NAME;
}

static void lex_digits(struct rg_lexer *x)
{
    while (x->at < x->end && is_digit(*x->at)) {
        x->at++;
    }
}

static void lex_number(struct rg_lexer *x)
{
    const uint8_t *from = x->at;
    lex_digits(x);
    if (*from == '0' && x->at - from > 1) {
        bad(x, "expected number without leading zero");
        return;
    }
    if (x->at + 1 < x->end && *x->at == '.' && is_digit(x->at[1])) {
        x->at++;
        lex_digits(x);
    }
    if (x->at < x->end && (*x->at | 32) == 'e') {
        x->at++;
        x->at += x->at < x->end && (*x->at == '+' || *x->at == '-');
        const uint8_t *exponent = x->at;
        lex_digits(x);
        if (x->at == exponent) {
            bad(x, "invalid number: expected exponent");
            return;
        }
    }
    if (x->at < x->end && is_letter(*x->at)) {
        bad(x, "illegal number format");
        return;
    }
    if (x->at - from > MLN_DECIMAL_DIGITS_MAX) {
        bad(x, "number literal is too long");
        return;
    }
    struct mln_bytes text = mln_bytes_at(from, (size_t)(x->at - from));
    if (*from == '.') {
        text = mln_bytes_of(rg_text_format(x->heap, "0%.*s", MLN_FMT(text)));
    }
    x->value = rg_number(x->heap, text);
    x->token = RG_K_NUMBER;
}

/* A string in double quotes is JSON's but for raw UTF-8 rules: let that reader judge it. */
static void lex_string(struct rg_lexer *x)
{
    const uint8_t *from = x->at++;
    while (x->at < x->end && *x->at != '"' && *x->at != '\n') {
        x->at += *x->at == '\\' && x->at + 1 < x->end ? 2 : 1;
    }
    if (x->at >= x->end || *x->at != '"') {
        x->at = x->at > x->end ? x->end : x->at;
        bad(x, "non-terminated string");
        return;
    }
    x->at++;
    const char *error = NULL;
    x->value = rg_json_parse(x->heap, mln_bytes_at(from, (size_t)(x->at - from)), &error);
    x->token = RG_K_STRING;
    if (error != NULL) {
        bad(x, "illegal string literal");
    }
}

static void lex_raw(struct rg_lexer *x)
{
    const uint8_t *from = ++x->at;
    uint32_t row = x->row;
    const uint8_t *line = x->line;
    bool first = x->is_first;
    while (x->at < x->end && *x->at != '`') {
        if (*x->at++ == '\n') {
            newline(x);
        }
    }
    if (x->at == x->end) {
        x->row = row;
        x->line = line;
        bad(x, "non-terminated string");
        return;
    }
    x->is_first = first;
    x->value = rg_string(x->heap, mln_bytes_at(from, (size_t)(x->at - from)));
    x->at++;
    x->token = mln_utf8_valid(rg_bytes(x->value)) ? RG_K_STRING : RG_K_BAD;
    x->error = "illegal string literal";
}

static void lex_sign(struct rg_lexer *x)
{
    static const char two[][3] = {":=", "==", "!=", "<=", ">="};
    static const char one[] = ":=<>+-*/%&|()[]{},.;";
    for (size_t i = 0; x->end - x->at >= 2 && i < MLN_COUNT(two); i++) {
        if (mln_same(x->at, two[i], 2)) {
            mln_copy(x->sign, two[i], 3);
            x->at += 2;
            x->token = RG_K_SIGN;
            return;
        }
    }
    char c = (char)*x->at++;
    if (c == '\0' || strchr(one, c) == NULL) {
        bad(x, "illegal token");
        return;
    }
    x->sign[0] = c;
    x->sign[1] = '\0';
    x->token = RG_K_SIGN;
}

static void lex_token(struct rg_lexer *x)
{
    uint8_t c = *x->at;
    uint8_t after = x->at + 1 < x->end ? x->at[1] : 0;
    if (is_letter(c)) {
        lex_name(x);
    } else if (is_digit(c) ||
               (c == '.' && is_digit(after) && x->before < (uint32_t)(x->at - x->begin))) {
        lex_number(x);
    } else if (c == '"') {
        lex_string(x);
    } else if (c == '`') {
        lex_raw(x);
    } else if (c == '$' && (after == '"' || after == '`')) {
        x->at += 2;
        x->token = RG_K_TEMPLATE;
    } else {
        lex_sign(x);
    }
}

void rg_lex_next(struct rg_lexer *x)
{
    x->before = (uint32_t)(x->at - x->begin);
    x->is_first = false;
    x->row_before = x->row;
    skip_blank(x);
    x->loc.row = x->row;
    x->loc.col = (uint32_t)(x->at - x->line) + 1;
    x->loc.from = (uint32_t)(x->at - x->begin);
    x->sign[0] = '\0';
    if (x->at >= x->end) {
        x->token = RG_K_END;
    } else {
        lex_token(x);
    }
    x->loc.to = (uint32_t)(x->at - x->begin);
}

static bool piece_escape(struct rg_lexer *x, struct mln_buf *buf)
{
    uint8_t c = x->at + 1 < x->end ? x->at[1] : 0;
    if (c == '{') {
        mln_buf_add_byte(buf, '{');
        x->at += 2;
        return true;
    }
    size_t n = c == 'u' ? 6 : 2;
    bool pair = c == 'u' && x->end - x->at >= 12 && (x->at[2] | 32) == 'd' && x->at[6] == '\\' &&
                x->at[7] == 'u';
    n = pair ? 12 : n;
    if ((size_t)(x->end - x->at) < n) {
        return false;
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf quoted = {0};
    mln_buf_add_byte(&quoted, '"');
    mln_buf_add(&quoted, x->at, n);
    mln_buf_add_byte(&quoted, '"');
    const char *error = NULL;
    struct rg_val v = rg_json_parse(x->heap, mln_buf_bytes(&quoted), &error);
    if (error != NULL) {
        return false;
    }
    mln_buf_add_bytes(buf, rg_bytes(v));
    x->at += n;
    return true;
}

bool rg_lex_piece(struct rg_lexer *x, bool is_raw, struct mln_buf *buf, bool *ret_done)
{
    uint8_t close = is_raw ? '`' : '"';
    while (x->at < x->end && *x->at != close && *x->at != '{') {
        uint8_t c = *x->at;
        if (c == '\\' && (!is_raw || (x->at + 1 < x->end && x->at[1] == '{'))) {
            if (!piece_escape(x, buf)) {
                return false;
            }
            continue;
        }
        if (c == '\n' && !is_raw) {
            return false;
        }
        mln_buf_add_byte(buf, c);
        x->at++;
        if (c == '\n') {
            newline(x);
        }
    }
    if (x->at == x->end) {
        return false;
    }
    *ret_done = *x->at++ == close;
    return mln_utf8_valid(mln_buf_bytes(buf));
}
