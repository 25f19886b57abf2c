/* SPDX-License-Identifier: Apache-2.0 */
/* Terms and expressions in OPA's form. */
#include "rego/fmt_priv.h"

static bool is_name(struct mln_bytes s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return s.len > 0;
}

bool rg_fmt_is_keyword(const struct rg_fmt *f, struct mln_bytes s)
{
    static const char *const words[] = {"as",   "default", "else", "false", "import", "package", "not",
                                        "null", "true",    "some", "with",  "in",     "every",   "if",
                                        "contains"};
    size_t n = f->is_v1 ? MLN_COUNT(words) : MLN_COUNT(words) - 4;
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is(s, words[i])) {
            return true;
        }
    }
    return false;
}

static void write_key(struct rg_fmt *f, struct rg_term *key)
{
    bool is_text = key->kind == RG_T_VALUE && key->value.tag == RG_STR;
    struct mln_bytes source = rg_fmt_source(f, key->loc);
    bool dotted = source.len > 0 && source.ptr[0] != '"' && source.ptr[0] != '`';
    if (is_text && is_name(rg_bytes(key->value)) && (dotted || !rg_fmt_is_keyword(f, rg_bytes(key->value)))) {
        rg_fmt_text(f, ".");
        rg_fmt_bytes(f, rg_bytes(key->value));
        return;
    }
    rg_fmt_text(f, "[");
    if (is_text) {
        rg_print_rego(f->out, key->value);
    } else if (key->kind == RG_T_VAR) {
        rg_fmt_text(f, key->name->text);
    } else {
        rg_fmt_term(f, key, false);
    }
    rg_fmt_text(f, "]");
}

void rg_fmt_ref(struct rg_fmt *f, struct rg_term *const *items, uint32_t n)
{
    rg_fmt_term(f, items[0], items[0]->kind == RG_T_CALL && items[0]->is_grouped);
    for (uint32_t i = 1; i < n; i++) {
        write_key(f, items[i]);
    }
}

/* ---- items in brackets ---- */
struct line {
    uint32_t from, n;
};

static uint32_t last_row(const struct rg_fmt *f, struct rg_loc loc)
{
    struct mln_bytes text = rg_fmt_source(f, loc);
    uint32_t row = loc.row;
    for (size_t i = 0; i < text.len; i++) {
        row += text.ptr[i] == '\n';
    }
    return row;
}

/* Infix calls know only where they begin. */
static uint32_t end_row(const struct rg_fmt *f, const struct rg_term *t)
{
    uint32_t row = last_row(f, t->loc);
    uint32_t inner = t->kind == RG_T_CALL && t->n > 1 ? end_row(f, t->items[t->n - 1]) : 0;
    return inner > row ? inner : row;
}

static bool is_composite(const struct rg_term *t)
{
    return t->kind == RG_T_OBJECT || t->kind == RG_T_ARRAY || t->kind == RG_T_SET;
}

/* How the items stand in rows; the first line is empty when they begin on a row of their own. */
static uint32_t lines_of(struct rg_fmt *f, struct rg_term *const *items, uint32_t n, uint32_t step,
                         uint32_t row, struct line **ret)
{
    struct line *lines = rg_new(f->heap, (n + 2) * sizeof(*lines));
    uint32_t count = 0;
    bool holds_first = step == 1 && n > 0 && f->is_call && is_composite(items[0]);
    lines[0] = (struct line){0};
    for (uint32_t i = 0; i < n; i += step) {
        if (items[i]->loc.row > row) {
            lines[++count] = (struct line){.from = i};
        }
        bool is_held = holds_first && i == 0; /* f({ ... }, x): goes on behind the bracket */
        row = is_held ? end_row(f, items[0]) : items[i]->loc.row;
        lines[count].n += step;
    }
    *ret = lines;
    return count + 1;
}

static void write_item(struct rg_fmt *f, struct rg_term *t)
{
    bool is_or = t->kind == RG_T_CALL && rg_call_is(t, "or");
    rg_fmt_term(f, t, is_or && t->is_grouped);
}

static void write_line(struct rg_fmt *f, struct rg_term *const *items, struct line line, uint32_t step)
{
    for (uint32_t i = 0; i < line.n; i += step) {
        rg_fmt_text(f, i == 0 ? "" : ", ");
        write_item(f, items[line.from + i]);
        if (step == 2) {
            rg_fmt_text(f, ": ");
            write_item(f, items[line.from + i + 1]);
        }
    }
}

static void write_items(struct rg_fmt *f, struct rg_term *const *items, uint32_t n, uint32_t step,
                        const uint32_t rows[2])
{
    struct line *lines = NULL;
    uint32_t count = lines_of(f, items, n, step, rows[0], &lines);
    f->is_call = false;
    if (count > 1) {
        f->is_delayed = true;
        rg_fmt_end(f);
        f->level++;
        rg_fmt_start(f);
    }
    for (uint32_t i = lines[0].n == 0 ? 1 : 0; i < count; i++) {
        write_line(f, items, lines[i], step);
        if (i + 1 < count) {
            rg_fmt_text(f, ",");
            rg_fmt_end(f);
            rg_fmt_start(f);
        }
    }
    if (count > 1) {
        rg_fmt_text(f, ",");
        rg_fmt_end(f);
        rg_fmt_comments(f, rows[1]);
        f->level--;
        rg_fmt_start(f);
    }
}

void rg_fmt_items(struct rg_fmt *f, struct rg_term *const *items, uint32_t n, struct rg_loc open,
                  uint32_t close_row)
{
    write_items(f, items, n, 1, (const uint32_t[2]){open.row, close_row});
}

#define DISTINCT_MAX 1000u /* members that are compared with one another */

/* A set has what is written twice but once. */
static struct rg_term **distinct(struct rg_fmt *f, struct rg_term *t, uint32_t *n)
{
    struct rg_term **out = rg_new(f->heap, (t->n + 1) * sizeof(*out));
    struct rg_val seen = rg_set(f->heap, 8);
    *n = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct rg_val v = i < DISTINCT_MAX ? rg_term_ground(f->heap, t->items[i]) : RG_NONE;
        if (v.tag == RG_UNDEF || !rg_has(seen, v)) {
            out[(*n)++] = t->items[i];
        }
        if (v.tag != RG_UNDEF) {
            rg_add(f->heap, seen, v);
        }
    }
    return out;
}

static void write_composite(struct rg_fmt *f, struct rg_term *t)
{
    const char *pair = t->kind == RG_T_ARRAY ? "[]" : "{}";
    if (t->kind == RG_T_SET && t->n == 0) {
        rg_fmt_text(f, "set()");
        return;
    }
    rg_fmt_bytes(f, mln_bytes_at(pair, 1));
    uint32_t n = t->n;
    struct rg_term **items = t->kind == RG_T_SET ? distinct(f, t, &n) : t->items;
    write_items(f, items, n, t->kind == RG_T_OBJECT ? 2 : 1,
                (const uint32_t[2]){t->loc.row, rg_fmt_close(f, t->loc, NULL, pair)});
    rg_fmt_bytes(f, mln_bytes_at(pair + 1, 1));
}

/* ---- comprehensions ---- */
static struct rg_loc begin_of(const struct rg_body *body)
{
    return body->n > 0 ? body->exprs[0]->loc : body->loc;
}

static bool is_in_rows(const struct rg_body *body, uint32_t row)
{
    for (uint32_t i = 0; i < body->n; i++) {
        if (body->exprs[i]->loc.row > row) {
            return true;
        }
        row = body->exprs[i]->loc.row;
    }
    return false;
}

void rg_fmt_closure(struct rg_fmt *f, struct rg_body *body, uint32_t row, uint32_t close_row)
{
    if (is_in_rows(body, row)) {
        rg_fmt_end(f);
        f->level++;
        rg_fmt_body(f, body);
        rg_fmt_comments(f, close_row);
        f->level--;
        rg_fmt_start(f);
        return;
    }
    for (uint32_t i = 0; i < body->n; i++) {
        rg_fmt_text(f, i == 0 ? " " : "; ");
        rg_fmt_expr(f, body->exprs[i]);
    }
    rg_fmt_comments(f, close_row);
}

static void write_comprehension(struct rg_fmt *f, struct rg_term *t)
{
    const char *pair = t->kind == RG_T_ARRAY_OF ? "[]" : "{}";
    rg_fmt_bytes(f, mln_bytes_at(pair, 1));
    for (uint32_t i = 0; i < t->n; i++) {
        if (i == 0 && t->items[0]->loc.row > t->loc.row) {
            rg_fmt_end(f);
            rg_fmt_start(f);
        }
        rg_fmt_text(f, i == 0 ? "" : ": ");
        rg_fmt_term(f, t->items[i], t->items[i]->kind == RG_T_CALL && t->items[i]->is_grouped);
    }
    rg_fmt_text(f, " |");
    rg_fmt_closure(f, t->body, t->items[0]->loc.row, rg_fmt_close(f, t->loc, NULL, pair));
    rg_fmt_bytes(f, mln_bytes_at(pair + 1, 1));
}

/* ---- calls ---- */
static void write_in(struct rg_fmt *f, struct rg_term *t, bool parens)
{
    parens = parens && t->n == 4;
    rg_fmt_text(f, parens ? "(" : "");
    for (uint32_t i = 1; i < t->n; i++) {
        rg_fmt_text(f, i == 1 ? "" : i + 1 == t->n ? " in " : ", ");
        /* "a in b in c" is "(a in b) in c": what stands elsewhere keeps its parentheses */
        bool is_kept = rg_call_is(t->items[i], "internal.member_2") && (t->n == 4 || i > 1);
        rg_fmt_text(f, is_kept ? "(" : "");
        rg_fmt_term(f, t->items[i], true);
        rg_fmt_text(f, is_kept ? ")" : "");
    }
    rg_fmt_text(f, parens ? ")" : "");
}

static const struct rg_decl *infix_of(const struct rg_term *t)
{
    const struct rg_term *op = t->items[0];
    if (op->kind != RG_T_VAR) {
        return NULL;
    }
    const struct rg_decl *decl = rg_decl_find(mln_bytes_at(op->name->text, op->name->len));
    bool is_written = t->n == 3 && decl != NULL && decl->infix[0] != '\0';
    return is_written ? decl : NULL;
}

static void write_call(struct rg_fmt *f, struct rg_term *t, bool parens)
{
    const struct rg_decl *infix = infix_of(t);
    if ((t->n == 3 && rg_call_is(t, "internal.member_2")) ||
        (t->n == 4 && rg_call_is(t, "internal.member_3"))) {
        write_in(f, t, !f->is_top);
    } else if (infix != NULL) {
        bool inner = !f->is_top;
        rg_fmt_text(f, parens ? "(" : "");
        rg_fmt_term(f, t->items[1], inner);
        rg_fmt_text(f, " ");
        rg_fmt_text(f, infix->infix);
        rg_fmt_text(f, " ");
        rg_fmt_term(f, t->items[2], inner);
        rg_fmt_text(f, parens ? ")" : "");
    } else {
        rg_fmt_text(f, rg_term_text(f->heap, t->items[0]));
        rg_fmt_text(f, "(");
        f->is_call = true;
        rg_fmt_items(f, t->items + 1, t->n - 1, t->loc, rg_fmt_close(f, t->loc, NULL, "()"));
        rg_fmt_text(f, ")");
    }
}

/* A constant in a template becomes text of it, unless it holds what would have to be escaped. */
static bool is_plain(struct rg_val v)
{
    for (size_t i = 0; v.tag == RG_STR && i < v.str->len; i++) {
        char c = v.str->text[i];
        if (c == '"' || c == '\\' || c == '`' || c == '{' || c == '}' || (c >= 0 && c < ' ')) {
            return false;
        }
    }
    return v.tag != RG_UNDEF;
}

static void write_constant(struct rg_fmt *f, struct rg_val v)
{
    if (v.tag == RG_STR) {
        rg_fmt_bytes(f, rg_bytes(v));
    } else {
        rg_print_rego(f->out, v);
    }
}

/* ---- templates: what stands in braces is written anew, the text around it as it was ---- */
static void write_template(struct rg_fmt *f, struct rg_term *t)
{
    struct mln_bytes text = f->module->text;
    uint32_t at = t->loc.from;
    for (uint32_t i = 0; i < t->n; i++) {
        const struct rg_term *part = t->items[i];
        if (part->kind == RG_T_VALUE) {
            continue;
        }
        uint32_t open = part->loc.from, close = part->loc.to;
        while (open > at && text.ptr[open - 1] != '{') {
            open--;
        }
        while (close < text.len && text.ptr[close] != '}') {
            close++;
        }
        if (part->body == NULL && part->items[0]->kind == RG_T_VALUE && is_plain(part->items[0]->value)) {
            rg_fmt_bytes(f, mln_bytes_sub(text, at, open - at - 1));
            write_constant(f, part->items[0]->value);
            at = close + 1;
            continue;
        }
        rg_fmt_bytes(f, mln_bytes_sub(text, at, open - at));
        if (part->body != NULL) {
            struct rg_expr *e = part->body->exprs[0];
            rg_fmt_term(f, e->term->items[2], false);
            for (uint32_t k = 0; k < e->with_n; k++) {
                rg_fmt_text(f, " with ");
                rg_fmt_term(f, e->with[k].target, false);
                rg_fmt_text(f, " as ");
                rg_fmt_term(f, e->with[k].value, false);
            }
        } else {
            rg_fmt_term(f, part->items[0], false);
        }
        at = close;
    }
    rg_fmt_bytes(f, mln_bytes_sub(text, at, t->loc.to > at ? t->loc.to - at : 0));
}

static void write_any(struct rg_fmt *f, struct rg_term *t, bool parens)
{
    switch ((enum rg_kind)t->kind) {
    case RG_T_VALUE:
        if (t->is_generated) {
            rg_print_rego(f->out, t->value);
        } else {
            rg_fmt_bytes(f, rg_fmt_source(f, t->loc));
        }
        return;
    case RG_T_VAR:
        rg_fmt_text(f, t->name->text);
        return;
    case RG_T_REF:
        rg_fmt_ref(f, t->items, t->n);
        return;
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
        write_composite(f, t);
        return;
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
        write_comprehension(f, t);
        return;
    case RG_T_CALL:
        write_call(f, t, parens);
        return;
    case RG_T_TEMPLATE:
        write_template(f, t);
        return;
    }
}

void rg_fmt_term(struct rg_fmt *f, struct rg_term *t, bool parens)
{
    bool was_top = f->is_top;
    f->is_top = false;
    rg_fmt_comments(f, t->loc.row);
    if (!f->is_inline) {
        rg_fmt_start(f);
    }
    write_any(f, t, parens);
    if (!f->is_inline) {
        rg_fmt_end(f);
    }
    f->is_top = was_top;
}

/* ---- expressions ---- */
static void write_some(struct rg_fmt *f, struct rg_expr *e)
{
    uint32_t row = e->loc.row;
    rg_fmt_text(f, "some ");
    for (uint32_t i = 0; i < e->n; i++) {
        if (e->terms[i]->loc.row > row) {
            rg_fmt_end(f);
            rg_fmt_start(f);
            rg_fmt_text(f, "\t");
            row = e->terms[i]->loc.row;
        } else {
            rg_fmt_text(f, i == 0 ? "" : " ");
        }
        rg_fmt_term(f, e->terms[i], false);
        rg_fmt_text(f, i + 1 < e->n ? "," : "");
    }
}

static void write_names_in(struct rg_fmt *f, struct rg_expr *e, const char *word)
{
    rg_fmt_text(f, word);
    if (e->terms[0] != NULL) {
        rg_fmt_term(f, e->terms[0], true);
        rg_fmt_text(f, ", ");
    }
    rg_fmt_term(f, e->terms[1], true);
    rg_fmt_text(f, " in ");
    rg_fmt_term(f, e->terms[2], e->kind == RG_E_SOME_IN);
}

static void write_every(struct rg_fmt *f, struct rg_expr *e)
{
    write_names_in(f, e, "every ");
    rg_fmt_text(f, " {");
    rg_fmt_closure(f, e->left, e->loc.row, rg_fmt_close(f, e->loc, NULL, "{}"));
    bool is_one = e->left->n == 1 && e->left->exprs[0]->loc.row == e->loc.row;
    rg_fmt_text(f, is_one ? " }" : "}");
}

static void write_plain(struct rg_fmt *f, struct rg_expr *e);

/* An operand of and, or, not: one expression, in parentheses where it was or where it needs them, or a body in braces. */
static void write_operand(struct rg_fmt *f, struct rg_body *body, int kind)
{
    struct rg_expr *e = body->exprs[0];
    bool is_other = e->kind == RG_E_OR && (kind == RG_E_AND || kind == RG_E_NOT);
    if (body->is_braced || body->n > 1) {
        bool in_rows = kind == RG_E_NOT || is_in_rows(body, body->loc.row);
        rg_fmt_text(f, "{");
        rg_fmt_closure(f, body, in_rows ? 0 : body->loc.row, 0);
        rg_fmt_text(f, in_rows ? "}" : " }");
        return;
    }
    bool parens = kind >= 0 && (body->is_grouped || is_other || e->with_n > 0);
    rg_fmt_text(f, parens ? "(" : "");
    rg_fmt_expr(f, e);
    rg_fmt_text(f, parens ? ")" : "");
}

static void write_plain(struct rg_fmt *f, struct rg_expr *e)
{
    switch ((enum rg_expr_kind)e->kind) {
    case RG_E_TERM:
        f->is_top = e->term->kind == RG_T_CALL;
        if (f->is_top) {
            write_call(f, e->term, false);
            f->is_top = false;
        } else {
            rg_fmt_term(f, e->term, false);
        }
        return;
    case RG_E_SOME:
        write_some(f, e);
        return;
    case RG_E_SOME_IN:
        write_names_in(f, e, "some ");
        return;
    case RG_E_EVERY:
        write_every(f, e);
        return;
    case RG_E_NOT:
        rg_fmt_text(f, "not ");
        write_operand(f, e->left, e->kind == RG_E_NOT ? RG_E_NOT : -1);
        return;
    case RG_E_AND:
    case RG_E_OR:
        write_operand(f, e->left, e->kind);
        rg_fmt_text(f, e->kind == RG_E_AND ? " and " : " or ");
        write_operand(f, e->right, e->kind);
        return;
    case RG_E_BLOCK:
        write_operand(f, e->left, e->kind == RG_E_NOT ? RG_E_NOT : -1);
        return;
    }
}

void rg_fmt_expr(struct rg_fmt *f, struct rg_expr *e)
{
    bool is_down = false;
    rg_fmt_comments(f, e->loc.row);
    if (!f->is_inline) {
        rg_fmt_start(f);
    }
    write_plain(f, e);
    for (uint32_t i = 0; i < e->with_n; i++) {
        uint32_t before = i > 0 ? e->with[i - 1].loc.row : e->kind == RG_E_TERM ? end_row(f, e->term) : e->with[0].loc.row;
        bool same_row = e->with[i].loc.row == before;
        if (!same_row) {
            f->level += !is_down;
            is_down = true;
            rg_fmt_end(f);
            rg_fmt_start(f);
        }
        rg_fmt_comments(f, e->with[i].loc.row);
        rg_fmt_text(f, same_row ? " with " : "with ");
        rg_fmt_term(f, e->with[i].target, false);
        rg_fmt_text(f, " as ");
        rg_fmt_term(f, e->with[i].value, false);
    }
    f->level -= is_down;
}

void rg_fmt_body(struct rg_fmt *f, struct rg_body *body)
{
    rg_fmt_comments(f, begin_of(body).row);
    for (uint32_t i = 0; i < body->n; i++) {
        if (i > 0 && body->exprs[i]->loc.row > last_row(f, body->exprs[i - 1]->loc) + 1) {
            rg_fmt_blank(f);
        }
        rg_fmt_start(f);
        rg_fmt_expr(f, body->exprs[i]);
        rg_fmt_end(f);
    }
}
