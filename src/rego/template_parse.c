/* SPDX-License-Identifier: Apache-2.0 */
/* Reading templates: text, "{{" actions "}}" with their trim marks, blocks. */
#include "rego/template_priv.h"

#include "base/text.h"
#include "rego/rego.h"

#include <stdio.h>

#define OPERANDS_MAX 64u /* of one command: calls of people have a few */

struct parser {
    struct rg_tpl *t;
    size_t at;                   /* in the source */
    struct rg_tpl_node *pending; /* "{{else if}}" already read as the other branch */
    unsigned depth, loops;
};

enum stop { STOP_END, STOP_ELSE, STOP_EOF, STOP_ERROR };
static enum stop read_list(struct parser *p, struct rg_tpl_node **ret);
static bool read_pipe(struct parser *p, struct rg_tpl_pipe **ret, bool in_parens);

bool rg_tpl_fail(struct rg_tpl *t, size_t at, const struct rg_tpl_arg *in, const char *format, ...)
{
    char text[1024];
    size_t line = 1, col = 0;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (size_t i = 0; i < at && i < t->source.len; i++) {
        col = t->source.ptr[i] == '\n' ? 0 : col + 1;
        line += t->source.ptr[i] == '\n';
    }
    if (t->error == NULL && in == NULL) {
        t->error = rg_text_format(t->heap, "template: template:%zu: %s", line, text);
    } else if (t->error == NULL) {
        struct mln_bytes of = mln_bytes_sub(t->source, in->at, in->end - in->at);
        t->error = rg_text_format(
            t->heap, "template: template:%zu:%zu: executing \"template\" at <%.*s>: %s", line, col,
            MLN_FMT(of), text);
    }
    return false;
}

static int look(const struct parser *p, size_t ahead)
{
    return p->at + ahead < p->t->source.len ? p->t->source.ptr[p->at + ahead] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_word(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c >= 0x80;
}

static void skip_space(struct parser *p)
{
    while (is_space(look(p, 0))) {
        p->at++;
    }
}

static bool looking_at(const struct parser *p, const char *text)
{
    return mln_bytes_starts(mln_bytes_from(p->t->source, p->at), mln_bytes_of(text));
}

/* "}}" or " -}}" */
static bool at_close(const struct parser *p)
{
    return looking_at(p, "}}") ||
           (is_space(look(p, 0)) &&
            mln_bytes_starts(mln_bytes_from(p->t->source, p->at + 1), MLN_BYTES("-}}")));
}

static bool close_action(struct parser *p)
{
    while (!at_close(p) && is_space(look(p, 0))) {
        p->at++;
    }
    if (looking_at(p, "}}")) {
        p->at += 2;
        return true;
    }
    if (at_close(p)) {
        p->at += 4;
        skip_space(p);
        return true;
    }
    return rg_tpl_fail(
        p->t, p->at, NULL,
        p->at >= p->t->source.len ? "unclosed action" : "unexpected \"%c\" in operand", look(p, 0));
}

static struct mln_bytes read_word(struct parser *p)
{
    size_t from = p->at;
    while (is_word(look(p, 0))) {
        p->at++;
    }
    return mln_bytes_sub(p->t->source, from, p->at - from);
}

/* ---- literals ---- */
static int hex_digit(int c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static bool read_escape(struct parser *p, struct mln_buf *out, uint32_t *ret_rune)
{
    static const char from[] = "abfnrtv\\'\"", to[] = "\a\b\f\n\r\t\v\\'\"";
    int c = look(p, 1);
    size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t rune = 0;
    p->at += 2;
    for (size_t i = 0; c > 0 && i < sizeof(from) - 1; i++) {
        if (from[i] == c) {
            *ret_rune = (uint8_t)to[i];
            mln_buf_add_byte(out, (uint8_t)to[i]);
            return true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        int d = hex_digit(look(p, 0));
        if (d < 0) {
            return false;
        }
        rune = rune << 4 | (uint32_t)d;
        p->at++;
    }
    if (n == 0 || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000)) {
        return false;
    }
    *ret_rune = rune;
    rg_add_rune(out, rune);
    return true;
}

static bool read_text(struct parser *p, struct rg_tpl_arg *a)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = rg_buf(p->t->heap);
    int quote = look(p, 0);
    uint32_t rune = 0;
    size_t from = p->at++;
    while (look(p, 0) != quote) {
        int c = look(p, 0);
        if (c < 0 || (c == '\n' && quote != '`')) {
            return rg_tpl_fail(p->t, from, NULL,
                               quote == '`'   ? "unterminated raw quoted string"
                               : quote == '"' ? "unterminated quoted string"
                                              : "unterminated character constant");
        }
        if (c == '\\' && quote != '`') {
            if (!read_escape(p, &out, &rune)) {
                return rg_tpl_fail(p->t, from, NULL, "invalid syntax");
            }
            continue;
        }
        mln_buf_add_byte(&out, (uint8_t)c);
        rune = (uint32_t)c;
        p->at++;
    }
    p->at++;
    a->kind = RG_TPL_LITERAL;
    if (quote == '\'') {
        a->literal = (struct rg_tpl_val){.v = rg_int(rune), .is_go = true};
        return out.len == 1 || rg_tpl_fail(p->t, from, NULL, "malformed character constant");
    }
    a->literal.v = rg_string(p->t->heap, mln_buf_bytes(&out));
    return true;
}

static bool read_hex_number(struct parser *p, struct rg_tpl_arg *a)
{
    uint64_t n = 0;
    p->at += 2;
    for (int d; (d = hex_digit(look(p, 0))) >= 0; p->at++) {
        if (n >> 59 != 0) {
            return rg_tpl_fail(p->t, p->at, NULL, "integer overflow");
        }
        n = n << 4 | (uint64_t)d;
    }
    a->literal.v = rg_int((int64_t)n);
    return true;
}

static bool read_number(struct parser *p, struct rg_tpl_arg *a)
{
    size_t from = p->at, digits = 0;
    a->kind = RG_TPL_LITERAL;
    a->literal.is_go = true;
    if (look(p, 0) == '0' && (look(p, 1) | 32) == 'x') {
        return read_hex_number(p, a);
    }
    p->at += look(p, 0) == '-' || look(p, 0) == '+';
    bool is_float = false;
    for (int c; (c = look(p, 0)) >= 0; p->at++) {
        bool sign =
            (c == '-' || c == '+') && p->at > from && (p->t->source.ptr[p->at - 1] | 32) == 'e';
        if (c >= '0' && c <= '9') {
            digits++;
        } else if (c == '.' || c == 'e' || c == 'E' || sign) {
            is_float = true;
        } else {
            break;
        }
    }
    struct mln_bytes text = mln_bytes_sub(p->t->source, from, p->at - from);
    text = text.len > 0 && text.ptr[0] == '+' ? mln_bytes_from(text, 1) : text;
    const char *why = NULL;
    a->literal.v = rg_json_parse(p->t->heap, text, &why);
    if (digits == 0 || a->literal.v.tag == RG_UNDEF || is_word(look(p, 0))) {
        return rg_tpl_fail(p->t, from, NULL, "bad number syntax: \"%.*s\"", MLN_FMT(text));
    }
    if (is_float) {
        a->literal.v = rg_num_double(p->t->heap, rg_num_to_double(a->literal.v));
    }
    return true;
}

/* ---- operands ---- */
static bool read_fields(struct parser *p, struct rg_tpl_arg *a, bool has_dot)
{
    struct mln_bytes list[OPERANDS_MAX];
    while (look(p, 0) == '.' && is_word(look(p, 1)) && a->fields_n < OPERANDS_MAX) {
        p->at++;
        list[a->fields_n++] = read_word(p);
    }
    if (look(p, 0) == '.' && !(has_dot && a->fields_n == 0)) {
        return rg_tpl_fail(p->t, p->at, NULL, "unexpected <.> in operand");
    }
    a->fields = rg_new(p->t->heap, a->fields_n * sizeof(*list) + 8);
    mln_copy(a->fields, list, a->fields_n * sizeof(*list));
    return true;
}

static bool read_name(struct parser *p, struct rg_tpl_arg *a)
{
    size_t from = p->at;
    a->name = read_word(p);
    if (mln_bytes_is(a->name, "true") || mln_bytes_is(a->name, "false")) {
        a->kind = RG_TPL_LITERAL;
        a->literal.v = rg_bool(a->name.len == 4);
        return true;
    }
    if (mln_bytes_is(a->name, "nil")) {
        a->kind = RG_TPL_NIL;
        return true;
    }
    a->kind = RG_TPL_FUNCTION;
    return rg_tpl_is_function(a->name) ||
           rg_tpl_fail(p->t, from, NULL, "function \"%.*s\" not defined", MLN_FMT(a->name));
}

static bool read_operand(struct parser *p, struct rg_tpl_arg *a)
{
    int c = look(p, 0);
    bool ok = false;
    *a = (struct rg_tpl_arg){.at = p->at};
    if (c == '"' || c == '`' || c == '\'') {
        ok = read_text(p, a);
    } else if ((c >= '0' && c <= '9') ||
               ((c == '-' || c == '+') && look(p, 1) >= '0' && look(p, 1) <= '9')) {
        ok = read_number(p, a);
    } else if (c == '.') {
        a->kind = RG_TPL_DOT;
        p->at += !is_word(look(p, 1));
        ok = read_fields(p, a, true);
    } else if (c == '$') {
        p->at++;
        a->kind = RG_TPL_VARIABLE;
        struct mln_bytes rest = read_word(p);
        a->name = mln_bytes_sub(p->t->source, a->at, rest.len + 1);
        ok = read_fields(p, a, false);
    } else if (c == '(') {
        p->at++;
        a->kind = RG_TPL_PIPE;
        ok = read_pipe(p, &a->pipe, true) && read_fields(p, a, false);
    } else if (is_word(c)) {
        ok = read_name(p, a);
    } else {
        ok = c < 0 ? rg_tpl_fail(p->t, p->at, NULL, "unclosed action")
                   : rg_tpl_fail(p->t, p->at, NULL, "unexpected \"%c\" in operand", c);
    }
    a->end = p->at;
    return ok;
}

static bool read_command(struct parser *p, struct rg_tpl_command *ret, bool in_parens)
{
    struct rg_tpl_arg list[OPERANDS_MAX];
    uint32_t n = 0;
    for (;;) {
        while (!at_close(p) && is_space(look(p, 0))) {
            p->at++;
        }
        if (at_close(p) || look(p, 0) == '|' || (in_parens && look(p, 0) == ')')) {
            break;
        }
        if (n == OPERANDS_MAX) {
            return rg_tpl_fail(p->t, p->at, NULL, "more than %u operands", OPERANDS_MAX);
        }
        if (!read_operand(p, &list[n++])) {
            return false;
        }
        int c = look(p, 0);
        if (!is_space(c) && c != '|' && c != ')' && !at_close(p)) {
            return c < 0 ? rg_tpl_fail(p->t, p->at, NULL, "unclosed action")
                         : rg_tpl_fail(p->t, p->at, NULL, "unexpected \"%c\" in operand", c);
        }
    }
    if (n == 0) {
        return rg_tpl_fail(p->t, p->at, NULL, "missing value for command");
    }
    ret->n = n;
    list[0].end =
        list[0].kind == RG_TPL_FUNCTION ? list[n - 1].end : list[0].end; /* what an error shows */
    ret->args = rg_new(p->t->heap, n * sizeof(*list));
    mln_copy(ret->args, list, n * sizeof(*list));
    return true;
}

/* "$a, $b :=" or "$a =" before a pipeline; nothing is read when there is none. */
static void read_variables(struct parser *p, struct rg_tpl_pipe *pipe)
{
    size_t back = p->at;
    uint32_t n = 0;
    while (n < 2 && look(p, 0) == '$') {
        size_t from = p->at++;
        (void)read_word(p);
        pipe->vars[n++] = mln_bytes_sub(p->t->source, from, p->at - from);
        skip_space(p);
        if (look(p, 0) != ',') {
            break;
        }
        p->at++;
        skip_space(p);
    }
    bool declare = looking_at(p, ":="), assign = look(p, 0) == '=' && look(p, 1) != '=';
    if (n == 0 || (!declare && !assign)) {
        p->at = back;
        return;
    }
    p->at += declare ? 2 : 1;
    pipe->vars_n = n;
    pipe->is_assign = assign;
}

static bool read_pipe(struct parser *p, struct rg_tpl_pipe **ret, bool in_parens)
{
    struct rg_tpl_command list[OPERANDS_MAX];
    struct rg_tpl_pipe *pipe = rg_new(p->t->heap, sizeof(*pipe));
    *pipe = (struct rg_tpl_pipe){0};
    *ret = pipe;
    if (++p->depth > MLN_REGO_NESTING_MAX) {
        return rg_tpl_fail(p->t, p->at, NULL, "nested deeper than %u",
                           (unsigned)MLN_REGO_NESTING_MAX);
    }
    skip_space(p);
    read_variables(p, pipe);
    do {
        if (pipe->n == OPERANDS_MAX || !read_command(p, &list[pipe->n++], in_parens)) {
            return pipe->n < OPERANDS_MAX ? false
                                          : rg_tpl_fail(p->t, p->at, NULL, "pipeline is too long");
        }
    } while (look(p, 0) == '|' && p->at++ < p->t->source.len);
    pipe->commands = rg_new(p->t->heap, pipe->n * sizeof(*list));
    mln_copy(pipe->commands, list, pipe->n * sizeof(*list));
    p->depth--;
    if (in_parens && look(p, 0) != ')') {
        return rg_tpl_fail(p->t, p->at, NULL, "unclosed left paren");
    }
    p->at += in_parens;
    return true;
}

/* ---- actions ---- */
static struct rg_tpl_node *new_node(struct parser *p, enum rg_tpl_kind kind)
{
    struct rg_tpl_node *n = rg_new(p->t->heap, sizeof(*n));
    *n = (struct rg_tpl_node){.kind = kind};
    return n;
}

static bool at_word(struct parser *p, const char *word)
{
    size_t n = mln_bytes_of(word).len;
    if (!looking_at(p, word) || is_word(look(p, n))) {
        return false;
    }
    p->at += n;
    return true;
}

static bool read_block(struct parser *p, struct rg_tpl_node *n)
{
    if (!read_pipe(p, &n->pipe, false) || !close_action(p)) {
        return false;
    }
    if (++p->depth > MLN_REGO_NESTING_MAX) {
        return rg_tpl_fail(p->t, p->at, NULL, "nested deeper than %u",
                           (unsigned)MLN_REGO_NESTING_MAX);
    }
    p->loops += n->kind == RG_TPL_RANGE;
    enum stop stop = read_list(p, &n->body);
    p->loops -= n->kind == RG_TPL_RANGE;
    if (stop == STOP_ELSE && p->pending != NULL) {
        n->other = p->pending; /* {{else if}}: its {{end}} is ours too */
        p->pending = NULL;
        stop = STOP_END;
    } else if (stop == STOP_ELSE) {
        stop = read_list(p, &n->other);
        if (stop == STOP_ELSE) {
            (void)rg_tpl_fail(p->t, p->at, NULL, "expected end; found {{else}}");
            stop = STOP_ERROR;
        }
    }
    p->depth--;
    return stop == STOP_END ||
           (stop == STOP_EOF && rg_tpl_fail(p->t, p->at, NULL, "unexpected EOF"));
}

static bool read_define(struct parser *p, bool is_block, struct rg_tpl_node **ret)
{
    struct rg_tpl_define *d = rg_new(p->t->heap, sizeof(*d));
    struct rg_tpl_arg name;
    skip_space(p);
    if (!read_operand(p, &name) || name.literal.v.tag != RG_STR) {
        return rg_tpl_fail(p->t, p->at, NULL, "unexpected \"%c\" in %s clause", look(p, 0),
                           is_block ? "block" : "define");
    }
    *d = (struct rg_tpl_define){.name = rg_bytes(name.literal.v), .next = p->t->defines};
    struct rg_tpl_node *call = new_node(p, RG_TPL_CALL);
    call->text = d->name;
    if ((is_block && !read_pipe(p, &call->pipe, false)) || !close_action(p)) {
        return false;
    }
    enum stop stop = ++p->depth > MLN_REGO_NESTING_MAX ? STOP_EOF : read_list(p, &d->body);
    p->depth--;
    if (stop != STOP_END) {
        return rg_tpl_fail(p->t, p->at, NULL, "unexpected EOF");
    }
    d->next = p->t->defines; /* others may have come within */
    p->t->defines = d;
    *ret = is_block ? call : NULL;
    return true;
}

static bool read_call(struct parser *p, struct rg_tpl_node **ret)
{
    struct rg_tpl_arg name;
    struct rg_tpl_node *n = new_node(p, RG_TPL_CALL);
    skip_space(p);
    if (!read_operand(p, &name) || name.literal.v.tag != RG_STR) {
        return rg_tpl_fail(p->t, p->at, NULL, "unexpected \"%c\" in template clause", look(p, 0));
    }
    n->text = rg_bytes(name.literal.v);
    while (!at_close(p) && is_space(look(p, 0))) {
        p->at++;
    }
    *ret = n;
    return (at_close(p) || read_pipe(p, &n->pipe, false)) && close_action(p);
}

static bool read_jump(struct parser *p, enum rg_tpl_kind kind, struct rg_tpl_node **ret)
{
    *ret = new_node(p, kind);
    if (p->loops == 0) {
        return rg_tpl_fail(p->t, p->at, NULL, "{{%s}} outside {{range}}",
                           kind == RG_TPL_BREAK ? "break" : "continue");
    }
    return close_action(p);
}

/* Behind "{{else": STOP_ELSE; of "else if" and "else with" the node waits in p->pending. */
static enum stop read_else(struct parser *p)
{
    skip_space(p);
    bool is_if = at_word(p, "if"), is_with = !is_if && at_word(p, "with");
    if (is_if || is_with) {
        struct rg_tpl_node *n = new_node(p, is_if ? RG_TPL_IF : RG_TPL_WITH);
        bool ok = read_block(p, n);
        p->pending = n;
        return ok ? STOP_ELSE : STOP_ERROR;
    }
    return close_action(p) ? STOP_ELSE : STOP_ERROR;
}

static bool read_comment(struct parser *p)
{
    size_t end = mln_bytes_find_bytes(mln_bytes_from(p->t->source, p->at), MLN_BYTES("*/"));
    if (p->at + end >= p->t->source.len) {
        return rg_tpl_fail(p->t, p->at, NULL, "unclosed comment");
    }
    p->at += end + 2;
    return (looking_at(p, "}}") || at_close(p))
               ? close_action(p)
               : rg_tpl_fail(p->t, p->at, NULL, "comment ends before closing delimiter");
}

/* One action; *ret NULL when it leaves no node. *ret_stop other than STOP_EOF ends the list. */
static bool read_action(struct parser *p, struct rg_tpl_node **ret, enum stop *ret_stop)
{
    static const struct {
        const char *word;
        enum rg_tpl_kind kind;
    } blocks[] = {{"if", RG_TPL_IF}, {"with", RG_TPL_WITH}, {"range", RG_TPL_RANGE}};
    *ret = NULL;
    *ret_stop = STOP_EOF;
    if (looking_at(p, "/*")) {
        return read_comment(p);
    }
    skip_space(p);
    if (at_word(p, "end")) {
        *ret_stop = STOP_END;
        return close_action(p);
    }
    if (at_word(p, "else")) {
        *ret_stop = read_else(p);
        return *ret_stop == STOP_ELSE;
    }
    for (size_t i = 0; i < MLN_COUNT(blocks); i++) {
        if (at_word(p, blocks[i].word)) {
            *ret = new_node(p, blocks[i].kind);
            return read_block(p, *ret);
        }
    }
    if (at_word(p, "define")) {
        return read_define(p, false, ret);
    }
    if (at_word(p, "block")) {
        return read_define(p, true, ret);
    }
    if (at_word(p, "template")) {
        return read_call(p, ret);
    }
    if (at_word(p, "break")) {
        return read_jump(p, RG_TPL_BREAK, ret);
    }
    if (at_word(p, "continue")) {
        return read_jump(p, RG_TPL_CONTINUE, ret);
    }
    *ret = new_node(p, RG_TPL_ACTION);
    return read_pipe(p, &(*ret)->pipe, false) && close_action(p);
}

/* Text up to the next "{{", without blanks at its end when the mark says so; p->at is behind the mark. */
static struct mln_bytes read_plain(struct parser *p, bool *ret_action)
{
    struct mln_bytes rest = mln_bytes_from(p->t->source, p->at);
    size_t n = mln_bytes_find_bytes(rest, MLN_BYTES("{{"));
    *ret_action = n < rest.len;
    struct mln_bytes text = mln_bytes_sub(rest, 0, n);
    p->at += *ret_action ? n + 2 : n;
    if (*ret_action && look(p, 0) == '-' && is_space(look(p, 1))) {
        p->at += 2;
        while (text.len > 0 && is_space(text.ptr[text.len - 1])) {
            text.len--;
        }
        skip_space(p);
    }
    return text;
}

static enum stop read_list(struct parser *p, struct rg_tpl_node **ret)
{
    struct rg_tpl_node **tail = ret;
    bool is_action = true;
    while (is_action) {
        if (!rg_spend(p->t->vm, 1)) {
            (void)rg_tpl_fail(p->t, p->at, NULL, "the budget is used up");
            return STOP_ERROR;
        }
        struct mln_bytes text = read_plain(p, &is_action);
        if (text.len > 0) {
            *tail = new_node(p, RG_TPL_TEXT);
            (*tail)->text = text;
            tail = &(*tail)->next;
        }
        enum stop stop = STOP_EOF;
        struct rg_tpl_node *n = NULL;
        if (is_action && !read_action(p, &n, &stop)) {
            return STOP_ERROR;
        }
        if (stop != STOP_EOF) {
            return stop;
        }
        if (n != NULL) {
            *tail = n;
            tail = &n->next;
        }
    }
    return STOP_EOF;
}

bool rg_tpl_parse(struct rg_tpl *t)
{
    struct parser p = {.t = t};
    enum stop stop = read_list(&p, &t->root);
    if (stop == STOP_END || stop == STOP_ELSE) {
        return rg_tpl_fail(t, p.at, NULL, "unexpected {{%s}}", stop == STOP_END ? "end" : "else");
    }
    return stop == STOP_EOF;
}
