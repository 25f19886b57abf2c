/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Template text to nodes. The grammar:
 *
 *   template  = { text | "{{" ["- "] action [" -"] "}}" }
 *   action    = comment | pipe | "$x :=" pipe | ("if" | "with" ["$x :="] | "range" [["$k,"] "$v :="]) pipe
 *             | "else" ["if" pipe] | "end"
 *   pipe      = call { "|" function { operand } }
 *   call      = function { operand } | operand
 *   operand   = ( "text" | `raw` | number | true | false | "." | "$x" | "(" pipe ")" ) { ".field" } | ".field" { ".field" } | function
 *
 * Source: Go's text/template documentation.
 */
#include "agent/template_priv.h"

#include "base/json.h"
#include "base/text.h"

struct parser {
    struct mln_cx *cx;
    struct mln_bytes text;
    size_t at;
    size_t placed; /* line and column are those of this offset */
    struct place place;
    size_t action_end; /* while inside an action: where its "}}" or " -}}" begins */
    struct mln_bytes vars[MLN_RENDER_VARS_MAX];
    size_t n_vars;
};

struct mln_err render_fail_at(struct mln_cx *cx, struct place at, enum mln_code code,
                              const char *text)
{
    return mln_fail(cx, code, "line %u, column %u: %s", at.line, at.column, text);
}

/* Offsets only grow, so that all places together cost one walk. Columns count bytes from 1. */
static struct place place_of(struct parser *p, size_t offset)
{
    for (; p->placed < offset; p->placed++) {
        bool is_end = p->text.ptr[p->placed] == '\n';
        p->place.line += is_end ? 1 : 0;
        p->place.column = is_end ? 1 : p->place.column + 1;
    }
    return p->place;
}

#define fail_here(p, ...)                                                                          \
    render_fail_at((p)->cx, place_of((p), (p)->at), MLN_E_PARSE,                                   \
                   mln_text_format((p)->cx, __VA_ARGS__))

/* ---- words ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The byte `more` ahead; 0 behind the action's end. */
static uint8_t peek(const struct parser *p, size_t more)
{
    return p->at + more < p->action_end ? p->text.ptr[p->at + more] : 0;
}

static void skip_blanks(struct parser *p)
{
    while (is_blank(peek(p, 0))) {
        p->at++;
    }
}

static struct mln_bytes word_at(const struct parser *p, size_t more)
{
    size_t n = 0;
    while (is_letter(peek(p, more + n)) || (n > 0 && is_digit(peek(p, more + n)))) {
        n++;
    }
    return mln_bytes_sub(p->text, p->at + more, n);
}

/* Take `word` when it stands here as a whole word. */
static bool take_word(struct parser *p, const char *word)
{
    struct mln_bytes here = word_at(p, 0);
    if (!mln_bytes_is(here, word)) {
        return false;
    }
    p->at += here.len;
    return true;
}

static bool ends_operand(uint8_t c)
{
    return c == 0 || is_blank(c) || c == ')' || c == '|';
}

/* ---- operands ---- */

static struct mln_err parse_pipe(struct parser *p, unsigned depth, const struct term **ret);

static struct mln_err parse_quoted(struct parser *p, struct term *term)
{
    size_t from = p->at;
    p->at++;
    while (peek(p, 0) != '"') {
        p->at += peek(p, 0) == '\\' ? 2 : 1;
        if (p->at >= p->action_end || peek(p, 0) == '\n') {
            return fail_here(p, "the text is not closed");
        }
    }
    p->at++;
    /* Go's and JSON's escapes agree on all that JSON has; the others (\x, \a, octal) are refused */
    struct mln_err err =
        mln_json_parse(p->cx, mln_bytes_sub(p->text, from, p->at - from), &term->value);
    if (mln_failed(err) && !mln_is(err, MLN_E_MEMORY)) {
        mln_cx_clear(p->cx);
        return fail_here(p, "the text before has an escape or character that is not supported");
    }
    return err;
}

static struct mln_err parse_raw(struct parser *p, struct term *term)
{
    size_t n = 1;
    while (p->at + n < p->action_end && peek(p, n) != '`') {
        n++;
    }
    if (peek(p, n) != '`') {
        return fail_here(p, "the raw text is not closed");
    }
    term->value = mln_string(p->cx, mln_bytes_sub(p->text, p->at + 1, n - 1));
    p->at += n + 1;
    return mln_cx_err(p->cx);
}

static struct mln_err parse_number(struct parser *p, struct term *term)
{
    size_t n = 1;
    while (!ends_operand(peek(p, n))) {
        n++;
    }
    int64_t number = 0;
    if (!mln_i64_parse(mln_bytes_sub(p->text, p->at, n), &number)) {
        return fail_here(p, "not a whole number");
    }
    term->value = mln_int(p->cx, number);
    p->at += n;
    return mln_cx_err(p->cx);
}

static struct mln_err parse_variable(struct parser *p, struct term *term)
{
    struct mln_bytes name = word_at(p, 1);
    for (size_t i = p->n_vars; i > 0; i--) {
        if (name.len > 0 && mln_bytes_eq(p->vars[i - 1], name)) {
            term->kind = TERM_VAR;
            term->slot = i - 1;
            p->at += 1 + name.len;
            return MLN_OK;
        }
    }
    return fail_here(p, "undefined variable '$%.*s'", MLN_FMT(name));
}

static struct mln_err find_function(struct parser *p, const struct render_fn **ret)
{
    struct mln_bytes name = word_at(p, 0);
    for (size_t i = 0; render_fns[i].name != NULL; i++) {
        if (mln_bytes_is(name, render_fns[i].name)) {
            *ret = &render_fns[i];
            p->at += name.len;
            return MLN_OK;
        }
    }
    return name.len > 0 ? fail_here(p, "unknown function '%.*s'", MLN_FMT(name))
                        : fail_here(p, "not expected here");
}

static struct mln_err parse_fields(struct parser *p, struct term *term)
{
    struct mln_bytes fields[FIELDS_MAX];
    size_t n = 0;
    bool is_bare_dot = term->kind == TERM_DOT; /* its "." was not taken yet */
    while (peek(p, 0) == '.') {
        struct mln_bytes name = word_at(p, 1);
        if (name.len == 0 && is_bare_dot && n == 0) {
            p->at++;
            break;
        }
        if (name.len == 0 || n == FIELDS_MAX) {
            return name.len == 0 ? fail_here(p, "a field's name is missing")
                                 : fail_here(p, "more than %u fields", FIELDS_MAX);
        }
        fields[n++] = name;
        p->at += 1 + name.len;
    }
    if (!ends_operand(peek(p, 0))) {
        return fail_here(p, "not expected here");
    }
    struct mln_bytes *kept = mln_new_array(p->cx, n + 1, sizeof(*kept));
    MLN_TRY(mln_cx_err(p->cx));
    mln_copy(kept, fields, n * sizeof(*kept));
    term->fields = kept;
    term->n_fields = n;
    return MLN_OK;
}

static struct mln_err check_count(struct parser *p, const struct term *term)
{
    if (term->n_args >= term->fn->min_args && term->n_args <= term->fn->max_args) {
        return MLN_OK;
    }
    return fail_here(p, "wrong number of arguments for '%s': %zu", term->fn->name, term->n_args);
}

/* What an operand begins with, without its fields. */
static struct mln_err parse_head(struct parser *p, unsigned depth, struct term **term)
{
    uint8_t c = peek(p, 0);
    const struct term *inner = NULL;
    if (c == '"') {
        return parse_quoted(p, *term);
    }
    if (c == '`') {
        return parse_raw(p, *term);
    }
    if (is_digit(c) || c == '-' || c == '+') {
        return parse_number(p, *term);
    }
    if (c == '.') {
        (*term)->kind = TERM_DOT;
        return MLN_OK;
    }
    if (c == '$') {
        return parse_variable(p, *term);
    }
    if (c == '(') {
        p->at++;
        MLN_TRY(parse_pipe(p, depth + 1, &inner));
        skip_blanks(p);
        if (peek(p, 0) != ')') {
            return fail_here(p, "')' is missing");
        }
        p->at++;
        struct term *copy = mln_new(p->cx, sizeof(*copy)); /* fields behind it are its own */
        MLN_TRY(mln_cx_err(p->cx));
        if (inner->n_fields > 0 && peek(p, 0) == '.') {
            return fail_here(p, "write the fields inside the parentheses");
        }
        *copy = *inner;
        *term = copy;
        return MLN_OK;
    }
    if (take_word(p, "true") || take_word(p, "false")) {
        (*term)->value = mln_bool(p->cx, p->text.ptr[p->at - 2] == 'u');
        return mln_cx_err(p->cx);
    }
    (*term)->kind = TERM_CALL;
    MLN_TRY(find_function(p, &(*term)->fn));
    return check_count(p, *term);
}

static struct mln_err parse_operand(struct parser *p, unsigned depth, const struct term **ret)
{
    struct term *term = MLN_NEW(p->cx, struct term);
    MLN_TRY(mln_cx_err(p->cx));
    struct place at = place_of(p, p->at);
    term->at = at;
    bool is_wrapped = peek(p, 0) == '(';
    MLN_TRY(parse_head(p, depth, &term));
    if (!is_wrapped || term->n_fields == 0) {
        bool was_dot = term->kind == TERM_DOT && is_wrapped; /* "(.)" has its dot already */
        if (was_dot && peek(p, 0) == '.' && word_at(p, 1).len == 0) {
            return fail_here(p, "a field's name is missing");
        }
        MLN_TRY(parse_fields(p, term));
    } else if (!ends_operand(peek(p, 0))) {
        return fail_here(p, "not expected here");
    }
    *ret = term;
    return MLN_OK;
}

/* ---- calls and pipes ---- */

static struct mln_err parse_args(struct parser *p, unsigned depth, const struct term *piped,
                                 struct term *call)
{
    const struct term *args[ARGS_MAX + 1];
    size_t n = 0;
    for (;;) {
        skip_blanks(p);
        if (peek(p, 0) == 0 || peek(p, 0) == ')' || peek(p, 0) == '|') {
            break;
        }
        if (n == ARGS_MAX) {
            return fail_here(p, "more than %u arguments", ARGS_MAX);
        }
        MLN_TRY(parse_operand(p, depth, &args[n]));
        n++;
    }
    if (piped != NULL) {
        args[n++] = piped;
    }
    const struct term **kept = mln_new_array(p->cx, n + 1, sizeof(*kept));
    MLN_TRY(mln_cx_err(p->cx));
    mln_copy(kept, args, n * sizeof(struct term *));
    call->args = kept;
    call->n_args = n;
    return check_count(p, call);
}

static bool is_function_here(const struct parser *p)
{
    struct mln_bytes word = word_at(p, 0);
    return word.len > 0 && !mln_bytes_is(word, "true") && !mln_bytes_is(word, "false");
}

static struct mln_err parse_call(struct parser *p, unsigned depth, const struct term *piped,
                                 const struct term **ret)
{
    skip_blanks(p);
    if (!is_function_here(p)) {
        if (piped != NULL || peek(p, 0) == 0) {
            return fail_here(p, piped != NULL ? "a function is missing behind '|'"
                                              : "a value is missing");
        }
        MLN_TRY(parse_operand(p, depth, ret));
        skip_blanks(p);
        if (peek(p, 0) != 0 && peek(p, 0) != ')' && peek(p, 0) != '|') {
            return fail_here(p, "a value takes no arguments");
        }
        return MLN_OK;
    }
    struct term *call = MLN_NEW(p->cx, struct term);
    MLN_TRY(mln_cx_err(p->cx));
    call->kind = TERM_CALL;
    call->at = place_of(p, p->at);
    MLN_TRY(find_function(p, &call->fn));
    if (!ends_operand(peek(p, 0))) {
        return fail_here(p, "not expected here");
    }
    MLN_TRY(parse_args(p, depth, piped, call));
    *ret = call;
    return MLN_OK;
}

static struct mln_err parse_pipe(struct parser *p, unsigned depth, const struct term **ret)
{
    if (depth > MLN_RENDER_DEPTH_MAX) {
        return fail_here(p, "nested deeper than %u", MLN_RENDER_DEPTH_MAX);
    }
    const struct term *term = NULL;
    MLN_TRY(parse_call(p, depth, NULL, &term));
    for (unsigned stages = depth; skip_blanks(p), peek(p, 0) == '|'; stages++) {
        if (stages > MLN_RENDER_DEPTH_MAX) { /* each stage is one call deeper when it runs */
            return fail_here(p, "more than %u stages", MLN_RENDER_DEPTH_MAX);
        }
        p->at++;
        MLN_TRY(parse_call(p, depth, term, &term));
    }
    *ret = term;
    return MLN_OK;
}

/* ---- actions ---- */

static struct mln_err declare(struct parser *p, struct mln_bytes name, size_t *ret_slot)
{
    if (p->n_vars == MLN_RENDER_VARS_MAX) {
        return fail_here(p, "more than %u variables", MLN_RENDER_VARS_MAX);
    }
    *ret_slot = p->n_vars;
    p->vars[p->n_vars++] = name;
    return MLN_OK;
}

/* "$x :=" or, where two may stand, "$k, $v :="; nothing taken when neither stands here. Declared only behind their pipe. */
static struct mln_err parse_names(struct parser *p, unsigned most, struct mln_bytes names[2],
                                  unsigned *ret_n)
{
    size_t began = p->at;
    unsigned n = 0;
    *ret_n = 0;
    while (peek(p, 0) == '$' && n < 2) {
        names[n] = word_at(p, 1);
        if (names[n].len == 0) {
            break;
        }
        p->at += 1 + names[n++].len;
        skip_blanks(p);
        if (peek(p, 0) != ',') {
            break;
        }
        p->at++;
        skip_blanks(p);
    }
    if (n > 0 && peek(p, 0) == ':' && peek(p, 1) == '=') {
        if (n > most) {
            return fail_here(p, "two variables are for 'range' only");
        }
        p->at += 2;
        *ret_n = n;
        return MLN_OK;
    }
    if (n > 0 && peek(p, 0) == '=') {
        return fail_here(p, "variables are set once, with ':='");
    }
    p->at = began;
    return MLN_OK;
}

static struct mln_err end_action(struct parser *p)
{
    skip_blanks(p);
    return p->at == p->action_end ? MLN_OK : fail_here(p, "not expected here");
}

/* The pipe of an action with its variables, up to the action's end. */
static struct mln_err parse_condition(struct parser *p, unsigned most_names, struct node *node)
{
    struct mln_bytes names[2];
    unsigned n = 0;
    skip_blanks(p);
    MLN_TRY(parse_names(p, most_names, names, &n));
    MLN_TRY(parse_pipe(p, 0, &node->term));
    MLN_TRY(end_action(p));
    if (n == 2) {
        MLN_TRY(declare(p, names[0], &node->key_slot));
    }
    return n > 0 ? declare(p, names[n - 1], &node->value_slot) : MLN_OK;
}

/* Where the action that begins at p->at ends; texts in it may hold "}}". Sets p->action_end; *ret_next is behind it. */
static struct mln_err find_end(struct parser *p, size_t *ret_next, bool *ret_trims)
{
    uint8_t quote = 0;
    for (size_t i = p->at; i < p->text.len; i++) {
        uint8_t c = p->text.ptr[i];
        if (quote == '"' && c == '\\') {
            i++;
        } else if (quote != 0) {
            quote = c == quote ? 0 : quote;
        } else if (c == '"' || c == '`') {
            quote = c;
        } else if (c == '}' && i + 1 < p->text.len && p->text.ptr[i + 1] == '}') {
            *ret_trims =
                i >= p->at + 2 && p->text.ptr[i - 1] == '-' && is_blank(p->text.ptr[i - 2]);
            p->action_end = i - (*ret_trims ? 1 : 0);
            *ret_next = i + 2;
            return MLN_OK;
        }
    }
    return fail_here(p, "the action is not closed");
}

/* {{/ * ... * /}} with nothing but trims around; false when no comment begins here. */
static struct mln_err skip_comment(struct parser *p, size_t *ret_next, bool *ret_trims)
{
    struct mln_bytes rest = mln_bytes_from(p->text, p->at);
    size_t n = mln_bytes_find_bytes(mln_bytes_from(rest, 2), MLN_BYTES("*/")) + 4;
    struct mln_bytes behind = mln_bytes_from(rest, n);
    *ret_trims = mln_bytes_starts(behind, MLN_BYTES(" -}}"));
    if (n > rest.len || (!*ret_trims && !mln_bytes_starts(behind, MLN_BYTES("}}")))) {
        return fail_here(p, "the comment is not closed");
    }
    *ret_next = p->at + n + (*ret_trims ? 4 : 2);
    return MLN_OK;
}

/* ---- nodes ---- */

enum stop { STOP_NONE, STOP_END, STOP_ELSE, STOP_ELSE_IF, STOP_TEXT };

struct block {
    struct node **tail; /* where the next node goes */
    bool trims;         /* the last action ate the blanks behind it */
};

static struct node *add_node(struct parser *p, struct block *b, enum node_kind kind)
{
    struct node *node = MLN_NEW(p->cx, struct node);
    if (node != NULL) {
        node->kind = kind;
        node->at = place_of(p, p->at);
        node->key_slot = node->value_slot = SLOT_NONE;
        *b->tail = node;
        b->tail = &node->next;
    }
    return node;
}

/* Text up to the next action, which then begins at p->at. */
static struct mln_err take_text(struct parser *p, struct block *b)
{
    size_t from = p->at;
    size_t to = from + mln_bytes_find_bytes(mln_bytes_from(p->text, from), MLN_BYTES("{{"));
    struct mln_bytes text = mln_bytes_sub(p->text, from, to - from);
    bool trims =
        to + 3 < p->text.len && p->text.ptr[to + 2] == '-' && is_blank(p->text.ptr[to + 3]);
    while (b->trims && text.len > 0 && is_blank(text.ptr[0])) {
        text = mln_bytes_from(text, 1);
    }
    while (trims && text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    if (text.len > 0) {
        struct node *node = add_node(p, b, NODE_TEXT);
        MLN_TRY(mln_cx_err(p->cx));
        node->text = text;
    }
    p->at = to >= p->text.len ? p->text.len : to + 2 + (trims ? 1 : 0);
    return MLN_OK;
}

static struct mln_err parse_nodes(struct parser *p, unsigned depth, struct node **first,
                                  bool *trims, enum stop *ret_stop);

/* "if", "with", "range" and what belongs to them, up to their "end". The action's word was taken. */
static struct mln_err parse_block(struct parser *p, unsigned depth, struct node *node, size_t next,
                                  bool *trims)
{
    if (depth >= MLN_RENDER_DEPTH_MAX) {
        return fail_here(p, "nested deeper than %u", MLN_RENDER_DEPTH_MAX);
    }
    size_t vars = p->n_vars;
    enum stop stop = STOP_NONE;
    MLN_TRY(parse_condition(p, node->kind == NODE_RANGE ? 2 : 1, node));
    p->at = next;
    MLN_TRY(parse_nodes(p, depth + 1, &node->body, trims, &stop));
    p->n_vars = vars;
    if (stop == STOP_ELSE_IF) {
        struct block inner = {.tail = &node->otherwise};
        struct node *chained = add_node(p, &inner, NODE_IF);
        MLN_TRY(mln_cx_err(p->cx));
        bool inner_trims = false;
        MLN_TRY(find_end(p, &next, &inner_trims));
        *trims = inner_trims;
        return parse_block(p, depth + 1, chained, next, trims);
    }
    if (stop == STOP_ELSE) {
        MLN_TRY(parse_nodes(p, depth + 1, &node->otherwise, trims, &stop));
        p->n_vars = vars;
        if (stop != STOP_END && stop != STOP_TEXT) {
            return fail_here(p, "a second 'else'");
        }
    }
    if (stop != STOP_END) {
        return render_fail_at(p->cx, node->at, MLN_E_PARSE,
                              "'end' is missing for what begins here");
    }
    return MLN_OK;
}

/* "end" and "else": *ret_stop says which. For "else if" p->at is behind "if", for the others behind the action. */
static struct mln_err take_stop(struct parser *p, size_t next, enum stop *ret_stop)
{
    if (take_word(p, "end")) {
        *ret_stop = STOP_END;
    } else if (take_word(p, "else")) {
        skip_blanks(p);
        *ret_stop = take_word(p, "if") ? STOP_ELSE_IF : STOP_ELSE;
    } else {
        *ret_stop = STOP_NONE;
        return MLN_OK;
    }
    if (*ret_stop != STOP_ELSE_IF) {
        MLN_TRY(end_action(p));
        p->at = next;
    }
    return MLN_OK;
}

/* One action that is no comment, "end" or "else". */
static struct mln_err take_action(struct parser *p, unsigned depth, struct block *b, size_t next)
{
    static const struct {
        const char *word;
        enum node_kind kind;
    } words[] = {{"if", NODE_IF}, {"with", NODE_WITH}, {"range", NODE_RANGE}};
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        if (mln_bytes_is(word_at(p, 0), words[i].word)) {
            struct node *node = add_node(p, b, words[i].kind);
            MLN_TRY(mln_cx_err(p->cx));
            (void)take_word(p, words[i].word);
            return parse_block(p, depth, node, next, &b->trims);
        }
    }
    struct node *node = add_node(p, b, NODE_PRINT);
    MLN_TRY(mln_cx_err(p->cx));
    MLN_TRY(parse_condition(p, 1, node));
    if (node->value_slot != SLOT_NONE) {
        node->kind = NODE_SET;
    }
    p->at = next;
    return MLN_OK;
}

static struct mln_err parse_nodes(struct parser *p, unsigned depth, struct node **first,
                                  bool *trims, enum stop *ret_stop)
{
    struct block b = {.tail = first, .trims = *trims};
    *ret_stop = STOP_NONE;
    while (*ret_stop == STOP_NONE) {
        size_t next = 0;
        bool behind = false;
        MLN_TRY(take_text(p, &b));
        if (p->at >= p->text.len) {
            *ret_stop = STOP_TEXT;
            bool is_open = p->text.len >= 2 && mln_bytes_ends(p->text, MLN_BYTES("{{"));
            return is_open ? fail_here(p, "the action is not closed") : MLN_OK;
        }
        size_t began = p->at;
        while (began < p->text.len && is_blank(p->text.ptr[began])) {
            began++;
        }
        if (mln_bytes_starts(mln_bytes_from(p->text, began), MLN_BYTES("/*"))) {
            p->at = began;
            MLN_TRY(skip_comment(p, &next, &b.trims));
            p->at = next;
            continue;
        }
        MLN_TRY(find_end(p, &next, &behind));
        b.trims = behind;
        skip_blanks(p);
        MLN_TRY(take_stop(p, next, ret_stop));
        if (*ret_stop == STOP_NONE) {
            MLN_TRY(take_action(p, depth, &b, next));
        }
    }
    *trims = b.trims;
    return MLN_OK;
}

struct mln_err mln_render_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_render **ret)
{
    struct parser *p = MLN_NEW(cx, struct parser);
    struct mln_render *render = MLN_NEW(cx, struct mln_render);
    enum stop stop = STOP_NONE;
    bool trims = false;
    MLN_TRY(mln_cx_err(cx));
    if (text.len > MLN_RENDER_SOURCE_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the template is larger than %zu bytes",
                        MLN_RENDER_SOURCE_MAX);
    }
    *p = (struct parser){.cx = cx, .text = text, .place = {1, 1}};
    MLN_TRY(parse_nodes(p, 0, &render->first, &trims, &stop));
    if (stop != STOP_TEXT) {
        return fail_here(p, "'%s' stands outside of any block", stop == STOP_END ? "end" : "else");
    }
    *ret = render;
    return MLN_OK;
}
