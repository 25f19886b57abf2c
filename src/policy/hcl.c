/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HCL 1 and JSON to values. Not a whole HCL: no interpolation (text in ${} stays as it is) and no printing.
 * Source: the HCL 1 specification; error texts as its reader gives them ("At line:column: ...").
 *
 *   a = 1                      {"a": 1}
 *   path "x" { c = ["r"] }     {"path": {"x": {"c": ["r"]}}}
 *   b { n = 1 } b { n = 2 }    {"b": [{"n": 1}, {"n": 2}]}
 *
 * An attribute that is set twice in one object is refused: which of the two counts would be a guess.
 */
#include "policy/hcl_priv.h"

#include "base/json.h"
#include "base/text.h"

#define HCL_DEPTH_MAX 48 /* below MLN_VALUE_DEPTH_MAX: labels nest too */
#define HCL_KEYS_MAX  8  /* labels of one block */

struct hcl_parser {
    struct mln_cx *cx;
    struct hcl_lexer lexer;
    struct hcl_token token; /* the one that is looked at */
};

static struct mln_err advance(struct hcl_parser *p)
{
    return hcl_lex(p->cx, &p->lexer, &p->token);
}

static struct mln_err unexpected(struct hcl_parser *p, const char *what)
{
    return mln_fail(p->cx, MLN_E_PARSE, "At %zu:%zu: %s got: %s", p->token.line, p->token.column,
                    what, hcl_kind_name(p->token.kind));
}

static struct mln_err fail_at(struct hcl_parser *p, const struct hcl_token *at, const char *what)
{
    return mln_fail(p->cx, MLN_E_PARSE, "At %zu:%zu: %s", at->line, at->column, what);
}

/* 0x1f, 017 */
static bool radix_parse(struct mln_bytes text, int64_t *ret)
{
    bool is_hex = text.len > 2 && text.ptr[0] == '0' && (text.ptr[1] | 0x20) == 'x';
    bool is_octal = text.len > 1 && text.ptr[0] == '0';
    if (!is_hex && !is_octal) {
        return false;
    }
    int64_t value = 0, base = is_hex ? 16 : 8;
    for (size_t i = is_hex ? 2 : 1; i < text.len; i++) {
        int c = text.ptr[i] | 0x20;
        int digit = text.ptr[i] >= '0' && text.ptr[i] <= '9' ? text.ptr[i] - '0'
                    : c >= 'a' && c <= 'f'                   ? c - 'a' + 10
                                                             : 99;
        if (digit >= base || value > (INT64_MAX - digit) / base) {
            return false;
        }
        value = value * base + digit;
    }
    *ret = value;
    return true;
}

static struct mln_err number_value(struct hcl_parser *p, struct mln_value *ret)
{
    int64_t i = 0;
    double d = 0;
    struct mln_bytes text = p->token.text;
    bool has_zero = text.len > 1 && text.ptr[0] == '0' && text.ptr[1] != '.';
    if (has_zero ? radix_parse(text, &i) : mln_i64_parse(text, &i)) {
        *ret = *mln_int(p->cx, i);
    } else if (!has_zero && text.len <= MLN_DECIMAL_DIGITS_MAX && mln_double_parse(text, &d)) {
        *ret = *mln_decimal(p->cx, text);
    } else {
        return fail_at(p, &p->token, "illegal number");
    }
    return mln_cx_err(p->cx);
}

static struct mln_err parse_items(struct hcl_parser *p, enum hcl_kind end, unsigned depth,
                                  struct mln_value *ret);
static struct mln_err parse_value(struct hcl_parser *p, unsigned depth, struct mln_value *ret);

static struct mln_err parse_object(struct hcl_parser *p, unsigned depth, struct mln_value *ret)
{
    MLN_TRY(advance(p));
    MLN_TRY(parse_items(p, HCL_RBRACE, depth + 1, ret));
    return advance(p);
}

static struct mln_err parse_list(struct hcl_parser *p, unsigned depth, struct mln_value *ret)
{
    struct mln_value *list = mln_array(p->cx);
    bool needs_comma = false;
    MLN_TRY(advance(p));
    while (p->token.kind != HCL_RBRACKET) {
        if (p->token.kind == HCL_COMMA && needs_comma) {
            needs_comma = false;
            MLN_TRY(advance(p));
            continue;
        }
        if (needs_comma) {
            return unexpected(p, "error parsing list, expected comma or list end,");
        }
        struct mln_value item;
        MLN_TRY(parse_value(p, depth + 1, &item));
        mln_push(p->cx, list, &item);
        needs_comma = true;
    }
    *ret = *list;
    MLN_TRY(mln_cx_err(p->cx));
    return advance(p);
}

static struct mln_err parse_value(struct hcl_parser *p, unsigned depth, struct mln_value *ret)
{
    if (depth > HCL_DEPTH_MAX) {
        return fail_at(p, &p->token, "nested too deeply");
    }
    struct hcl_token t = p->token;
    if (t.kind == HCL_LBRACE) {
        return parse_object(p, depth, ret);
    }
    if (t.kind == HCL_LBRACKET) {
        return parse_list(p, depth, ret);
    }
    if (t.kind == HCL_STRING || t.kind == HCL_HEREDOC) {
        *ret = *mln_string(p->cx, t.text);
    } else if (t.kind == HCL_NUMBER) {
        MLN_TRY(number_value(p, ret));
    } else if (t.kind == HCL_IDENT &&
               (mln_bytes_is(t.text, "true") || mln_bytes_is(t.text, "false"))) {
        *ret = *mln_bool(p->cx, mln_bytes_is(t.text, "true"));
    } else {
        return unexpected(p, "expected a value,");
    }
    MLN_TRY(mln_cx_err(p->cx));
    return advance(p);
}

/* One item: its keys, and what it sets. */
struct hcl_item {
    struct mln_bytes keys[HCL_KEYS_MAX];
    size_t n;
    bool is_block; /* no "=" */
    struct hcl_token at;
    struct mln_value value;
};

static struct mln_err parse_keys(struct hcl_parser *p, struct hcl_item *item)
{
    item->at = p->token;
    while (p->token.kind == HCL_IDENT || p->token.kind == HCL_STRING) {
        if (item->n == HCL_KEYS_MAX) {
            return fail_at(p, &p->token, "too many labels");
        }
        item->keys[item->n++] = p->token.text;
        MLN_TRY(advance(p));
    }
    if (item->n == 0) {
        return unexpected(p, "object expected closing RBRACE");
    }
    if (p->token.kind == HCL_ASSIGN) {
        return item->n == 1 ? advance(p)
                            : fail_at(p, &p->token,
                                      "nested object expected: LBRACE got: ASSIGN");
    }
    if (p->token.kind != HCL_LBRACE) {
        return mln_fail(p->cx, MLN_E_PARSE,
                        "At %zu:%zu: key '%.*s' expected start of object ('{') or assignment ('=')",
                        p->token.line, p->token.column, MLN_FMT(item->keys[0]));
    }
    item->is_block = true;
    return MLN_OK;
}

/* Put item.value under keys[i..]; blocks of the same keys become an array. */
static struct mln_err put_item(struct hcl_parser *p, struct mln_value *object,
                               const struct hcl_item *item, size_t i)
{
    struct mln_bytes key = item->keys[i];
    const struct mln_value *old = mln_get_key(object, key);
    bool is_last = i + 1 == item->n;
    if (old == NULL && is_last) {
        mln_put_key(p->cx, object, key, &item->value);
        return mln_cx_err(p->cx);
    }
    struct mln_value now;
    if (!is_last) {
        if (old != NULL && mln_type_of(old) != MLN_OBJECT) {
            return fail_at(p, &item->at, "a block with labels and one without share a name");
        }
        now = old != NULL ? *old : *mln_object(p->cx);
        MLN_TRY(mln_cx_err(p->cx));
        MLN_TRY(put_item(p, &now, item, i + 1));
    } else if (!item->is_block) {
        return mln_fail(p->cx, MLN_E_PARSE,
                        "At %zu:%zu: The argument \"%.*s\" was already set. Each argument can only "
                        "be defined once",
                        item->at.line, item->at.column, MLN_FMT(key));
    } else {
        now = mln_type_of(old) == MLN_ARRAY ? *old : *mln_array(p->cx);
        MLN_TRY(mln_cx_err(p->cx));
        if (mln_type_of(old) != MLN_ARRAY) {
            mln_push(p->cx, &now, old);
        }
        mln_push(p->cx, &now, &item->value);
    }
    mln_put_key(p->cx, object, key, &now);
    return mln_cx_err(p->cx);
}

static struct mln_err parse_items(struct hcl_parser *p, enum hcl_kind end, unsigned depth,
                                  struct mln_value *ret)
{
    struct mln_value *object = mln_object(p->cx);
    MLN_TRY(mln_cx_err(p->cx));
    while (p->token.kind != end) {
        struct hcl_item item = {0};
        if (end == HCL_EOF && p->token.kind != HCL_IDENT && p->token.kind != HCL_STRING) {
            return unexpected(p, "expected: IDENT | STRING");
        }
        MLN_TRY(parse_keys(p, &item));
        MLN_TRY(parse_value(p, depth + (unsigned)item.n, &item.value));
        MLN_TRY(put_item(p, object, &item, 0));
        if (p->token.kind == HCL_COMMA) {
            MLN_TRY(advance(p));
        }
    }
    *ret = *object;
    return mln_cx_err(p->cx);
}

struct mln_err mln_hcl_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret)
{
    struct mln_bytes trimmed = mln_bytes_trim(text);
    if (trimmed.len > 0 && trimmed.ptr[0] == '{') {
        return mln_json_parse(cx, text, ret);
    }
    if (!mln_utf8_valid(text)) {
        return mln_fail(cx, MLN_E_PARSE, "At 1:1: illegal UTF-8 encoding");
    }
    if (text.len > 0 && mln_bytes_find(text, 0) != text.len) {
        return mln_fail(cx, MLN_E_PARSE, "At 1:1: unexpected null character (0x00)");
    }
    struct hcl_parser p = {.cx = cx};
    struct mln_value *value = MLN_NEW(cx, struct mln_value);
    MLN_TRY(mln_cx_err(cx));
    hcl_lex_start(&p.lexer, text);
    MLN_TRY(advance(&p));
    MLN_TRY(parse_items(&p, HCL_EOF, 0, value));
    *ret = value;
    return MLN_OK;
}
