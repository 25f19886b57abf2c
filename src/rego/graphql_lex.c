/* SPDX-License-Identifier: Apache-2.0 */
/* Words of GraphQL (specification of October 2021, section 2.1). Places and texts of errors are those of OPA. */
#include "rego/graphql_priv.h"

#include <string.h>

const char *rg_gql_kind_text(enum rg_gql_kind kind)
{
    static const char *const names[] = {
        "<Invalid>", "<EOF>", "!",     "$",      "&",           "(",      ")", "...",
        ":",         "=",     "@",     "[",      "]",           "{",      "}", "|",
        "Name",      "Int",   "Float", "String", "BlockString", "Comment"};
    return names[kind];
}

static int at(const struct rg_gql_lex *x, size_t i)
{
    return i < x->text.len ? x->text.ptr[i] : -1;
}

static void step(struct rg_gql_lex *x, size_t n)
{
    x->end += n;
    x->end_col += (int32_t)n;
}

/* One code point. */
static void step_rune(struct rg_gql_lex *x)
{
    x->end++;
    while ((at(x, x->end) & 0xc0) == 0x80 && x->end < x->text.len) {
        x->end++;
    }
    x->end_col++;
}

/* A line ends behind what was just stepped over: columns count from there, also that of where the token began. */
static void new_line(struct rg_gql_lex *x)
{
    x->line++;
    x->start_col -= x->end_col;
    x->end_col = 0;
}

static void token(struct rg_gql_lex *x, enum rg_gql_kind kind, struct mln_bytes value,
                  struct rg_gql_token *ret)
{
    *ret = (struct rg_gql_token){
        .kind = kind, .value = value, .at = {.line = x->line, .col = x->start_col + 1}};
}

static struct mln_bytes here(const struct rg_gql_lex *x)
{
    return mln_bytes_sub(x->text, x->start, x->end - x->start);
}

static void wrong(struct rg_gql_lex *x, struct rg_gql_token *ret, const char *error)
{
    *ret = (struct rg_gql_token){
        .kind = RG_GQL_INVALID, .at = {.line = x->line, .col = x->end_col + 1}, .error = error};
    x->end = x->text.len; /* nothing is read behind an error */
}

static void skip_blank(struct rg_gql_lex *x)
{
    while (x->end < x->text.len) {
        int c = at(x, x->end);
        if (c == '\t' || c == ' ' || c == ',') {
            step(x, 1);
        } else if (c == '\n' || c == '\r') {
            step(x, 1);
            new_line(x);
            if (c == '\r' && at(x, x->end) == '\n') {
                step(x, 1);
            }
        } else if (c == 0xef && at(x, x->end + 1) == 0xbb && at(x, x->end + 2) == 0xbf) {
            step_rune(x);
        } else {
            return;
        }
    }
}

static size_t digits(struct rg_gql_lex *x)
{
    size_t n = 0;
    while (at(x, x->end) >= '0' && at(x, x->end) <= '9') {
        step(x, 1);
        n++;
    }
    return n;
}

static const char *no_digit(struct rg_gql_lex *x)
{
    int c = at(x, x->end);
    return c < 0 ? "Invalid number, expected digit but got: <EOF>."
                 : rg_text_format(x->heap, "Invalid number, expected digit but got: \"%c\".", c);
}

static void read_number(struct rg_gql_lex *x, struct rg_gql_token *ret)
{
    bool is_float = false;
    if (at(x, x->end) == '-') {
        step(x, 1);
    }
    if (at(x, x->end) == '0') {
        step(x, 1);
        int c = at(x, x->end);
        if (c >= '0' && c <= '9') {
            wrong(x, ret,
                  rg_text_format(x->heap, "Invalid number, unexpected digit after 0: \"%c\".", c));
            return;
        }
    } else if (digits(x) == 0) {
        wrong(x, ret, no_digit(x));
        return;
    }
    if (at(x, x->end) == '.') {
        is_float = true;
        step(x, 1);
        if (digits(x) == 0) {
            wrong(x, ret, no_digit(x));
            return;
        }
    }
    if (at(x, x->end) == 'e' || at(x, x->end) == 'E') {
        is_float = true;
        step(x, 1);
        step(x, at(x, x->end) == '-' || at(x, x->end) == '+');
        if (digits(x) == 0) {
            wrong(x, ret, no_digit(x));
            return;
        }
    }
    token(x, is_float ? RG_GQL_FLOAT : RG_GQL_INT, here(x), ret);
}

static bool hex4(const struct rg_gql_lex *x, size_t from, uint32_t *ret)
{
    *ret = 0;
    for (size_t i = from; i < from + 4; i++) {
        int c = at(x, i);
        int d = c >= '0' && c <= '9'                 ? c - '0'
                : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                     : -1;
        if (d < 0) {
            return false;
        }
        *ret = *ret * 16 + (uint32_t)d;
    }
    return true;
}

/* Behind a backslash. False after `wrong`. */
static bool read_escape(struct rg_gql_lex *x, struct mln_buf *out, struct rg_gql_token *ret)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = at(x, x->end + 1);
    const char *known = c > 0 ? strchr(from, c) : NULL;
    uint32_t rune = 0;
    if (known != NULL) {
        mln_buf_add_byte(out, (uint8_t)to[known - from]);
        step(x, 2);
        return true;
    }
    if (c == 'u' && x->end + 6 < x->text.len && hex4(x, x->end + 2, &rune)) {
        rg_add_rune(out, rune >= 0xd800 && rune < 0xe000 ? 0xfffd : rune);
        step(x, 6);
        return true;
    }
    step(x, 1);
    struct mln_bytes rest = mln_bytes_sub(x->text, x->end, c == 'u' ? 5 : 1);
    wrong(x, ret,
          c < 0 ? "Invalid character escape sequence."
                : rg_text_format(x->heap, "Invalid character escape sequence: \\%.*s.",
                                 MLN_FMT(rest)));
    return false;
}

static const char *bad_char(struct rg_gql_lex *x, int c)
{
    return rg_text_format(x->heap, "Invalid character within String: \"\\u%04x\".", (unsigned)c);
}

static void read_string(struct rg_gql_lex *x, struct rg_gql_token *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = rg_buf(x->heap);
    step(x, 1);
    x->start = x->end; /* OPA's column is that of the text, not of its mark */
    x->start_col = x->end_col;
    for (int c; (c = at(x, x->end)) >= 0 && c != '\n' && c != '\r';) {
        if (c == '"') {
            token(x, RG_GQL_STRING,
                  mln_bytes_at(rg_text_dup(x->heap, mln_buf_bytes(&out)), out.len), ret);
            step(x, 1);
            return;
        }
        if (c < 0x20 && c != '\t') {
            wrong(x, ret, bad_char(x, c));
            return;
        }
        if (c == '\\') {
            if (!read_escape(x, &out, ret)) {
                return;
            }
            continue;
        }
        size_t from = x->end;
        step_rune(x);
        mln_buf_add(&out, x->text.ptr + from, x->end - from);
    }
    wrong(x, ret, "Unterminated string.");
}

static size_t indent_of(struct mln_bytes line) /* SIZE_MAX: blank */
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t') {
            return i;
        }
    }
    return SIZE_MAX;
}

/* BlockStringValue of section 2.9.4; as OPA, the first line counts for the common indent too. */
static struct mln_bytes block_value(struct rg_heap *heap, struct mln_bytes raw)
{
    size_t common = SIZE_MAX;
    for (struct mln_bytes rest = raw; rest.len > 0;) {
        size_t n = indent_of(mln_bytes_cut(rest, '\n', &rest));
        common = n < common ? n : common;
    }
    char *out = rg_text_dup(heap, raw);
    size_t n = 0, keep = 0, from = 0;
    bool is_first = true, has_text = false;
    while (from <= raw.len) {
        struct mln_bytes line =
            mln_bytes_sub(raw, from, mln_bytes_find(mln_bytes_from(raw, from), '\n'));
        from += line.len + 1;
        bool is_blank = indent_of(line) == SIZE_MAX;
        size_t cut = is_first || common == SIZE_MAX ? 0 : common < line.len ? common : line.len;
        is_first = false;
        if (is_blank && !has_text) {
            continue;
        }
        if (has_text) {
            out[n++] = '\n';
        }
        has_text = true;
        mln_copy(out + n, line.ptr + cut, line.len - cut);
        n += line.len - cut;
        keep = is_blank ? keep : n;
    }
    return mln_bytes_at(out, keep);
}

static void read_block(struct rg_gql_lex *x, struct rg_gql_token *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = rg_buf(x->heap);
    step(x, 3);
    x->start = x->end;
    x->start_col = x->end_col;
    for (int c; (c = at(x, x->end)) >= 0;) {
        size_t quotes = 0, from = x->end;
        while (at(x, x->end + quotes) == '"') {
            quotes++;
        }
        if (quotes >= 3) {
            for (size_t i = 3; i < quotes; i++) {
                mln_buf_add_byte(&out, '"');
            }
            token(x, RG_GQL_BLOCK, block_value(x->heap, mln_buf_bytes(&out)), ret);
            step(x, quotes);
            return;
        }
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            wrong(x, ret, bad_char(x, c));
            return;
        }
        if (c == '\\' && mln_bytes_is(mln_bytes_sub(x->text, from, 4), "\\\"\"\"")) {
            mln_buf_add_text(&out, "\"\"\"");
            step(x, 4);
        } else if (c == '\r' || c == '\n') {
            step(x, c == '\r' && at(x, from + 1) == '\n' ? 2 : 1);
            mln_buf_add_byte(&out, '\n');
            new_line(x);
        } else {
            step_rune(x);
            mln_buf_add(&out, x->text.ptr + from, x->end - from);
        }
    }
    wrong(x, ret, "Unterminated string.");
}

static bool is_name_char(int c, bool is_first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (!is_first && c >= '0' && c <= '9');
}

static void read_word(struct rg_gql_lex *x, struct rg_gql_token *ret)
{
    int c = at(x, x->end);
    if (c == '#') {
        while (at(x, x->end) >= 0x20 || at(x, x->end) == '\t') {
            step_rune(x);
        }
        token(x, RG_GQL_COMMENT, here(x), ret);
    } else if (is_name_char(c, true)) {
        while (is_name_char(at(x, x->end), false)) {
            step(x, 1);
        }
        token(x, RG_GQL_NAME, here(x), ret);
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        read_number(x, ret);
    } else if (mln_bytes_is(mln_bytes_sub(x->text, x->end, 3), "\"\"\"")) {
        read_block(x, ret);
    } else if (c == '"') {
        read_string(x, ret);
    } else if (c < 0x20) {
        wrong(x, ret,
              rg_text_format(x->heap, "Cannot contain the invalid character \"\\u%04x\"",
                             (unsigned)c));
    } else if (c == '\'') {
        wrong(x, ret,
              "Unexpected single quote character ('), did you mean to use a double quote (\")?");
    } else {
        struct mln_buf rune = {0};
        rg_add_rune(&rune, (uint32_t)c);
        wrong(x, ret,
              rg_text_format(x->heap, "Cannot parse the unexpected character \"%.*s\".",
                             MLN_FMT(mln_buf_bytes(&rune))));
        mln_buf_drop(&rune);
    }
}

void rg_gql_next(struct rg_gql_lex *x, struct rg_gql_token *ret)
{
    static const char marks[] = "!$&():=@[]{}|";
    static const uint8_t kinds[] = {
        RG_GQL_BANG,    RG_GQL_DOLLAR,  RG_GQL_AMP, RG_GQL_PAREN_L,   RG_GQL_PAREN_R,
        RG_GQL_COLON,   RG_GQL_EQUALS,  RG_GQL_AT,  RG_GQL_BRACKET_L, RG_GQL_BRACKET_R,
        RG_GQL_BRACE_L, RG_GQL_BRACE_R, RG_GQL_PIPE};
    skip_blank(x);
    x->start = x->end;
    x->start_col = x->end_col;
    int c = at(x, x->end);
    const char *mark = c > 0 ? strchr(marks, c) : NULL;
    if (c < 0) {
        token(x, RG_GQL_EOF, MLN_BYTES_NONE, ret);
    } else if (mark != NULL) {
        step(x, 1);
        token(x, (enum rg_gql_kind)kinds[mark - marks], MLN_BYTES_NONE, ret);
    } else if (mln_bytes_is(mln_bytes_sub(x->text, x->end, 3), "...")) {
        step(x, 3);
        token(x, RG_GQL_SPREAD, MLN_BYTES_NONE, ret);
    } else {
        read_word(x, ret);
    }
}
