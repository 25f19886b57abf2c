/* SPDX-License-Identifier: Apache-2.0 */
/* Making trees, names, and the list of errors. */
#include "rego/ast_priv.h"

#include <stdio.h>

const char rg_code_head[] = "rego_unsafe_var_error";

static int by_place(const struct mln_rego_error *a, const struct mln_rego_error *b)
{
    int c = mln_bytes_cmp(mln_bytes_of(a->file), mln_bytes_of(b->file));
    if (c != 0) {
        return c;
    }
    if (a->row != b->row || a->col != b->col) {
        return a->row != b->row ? (a->row < b->row ? -1 : 1) : a->col < b->col ? -1 : 1;
    }
    c = mln_bytes_cmp(mln_bytes_of(a->code), mln_bytes_of(b->code));
    return c != 0 ? c : mln_bytes_cmp(mln_bytes_of(a->message), mln_bytes_of(b->message));
}

/* The last one says that there were more. */
static void say_limit(struct rg_errors *errors)
{
    struct mln_rego_error *more = rg_new(errors->heap, (errors->n + 1) * sizeof(*more));
    mln_copy(more, errors->list, errors->n * sizeof(*more));
    more[errors->n++] = (struct mln_rego_error){
        .code = "rego_compile_error", .message = "error limit reached", .file = ""};
    errors->list = more;
}

void rg_errors_move(struct rg_errors *to, struct rg_errors *from, const char *code)
{
    for (uint32_t i = 1; i < from->n; i++) {
        struct mln_rego_error e = from->list[i];
        uint32_t k = i;
        for (; k > 0 && by_place(&from->list[k - 1], &e) > 0; k--) {
            from->list[k] = from->list[k - 1];
        }
        from->list[k] = e;
    }
    for (uint32_t i = 0; i < from->n; i++) {
        const struct mln_rego_error *e = &from->list[i];
        uint32_t before = to->n;
        struct rg_loc loc = {.file = e->file, .row = e->row, .col = e->col};
        bool is_head = code == rg_code_head; /* that very one: bodies have the same text */
        if (code == NULL || (is_head ? e->code == code : mln_bytes_is(mln_bytes_of(e->code), code))) {
            rg_report(to, e->code, loc, "%s", e->message);
        }
        if (to->n > before) {
            to->list[before].details = e->details;
        }
    }
    if (from->n > 0 && code == NULL && to->n == to->max) {
        say_limit(to);
    }
}

void rg_report(struct rg_errors *errors, const char *code, struct rg_loc loc, const char *format,
               ...)
{
    if (errors->n >= errors->max) {
        return;
    }
    if (errors->list == NULL) {
        errors->list = rg_new(errors->heap, errors->max * sizeof(*errors->list));
    }
    char text[2048];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    errors->list[errors->n++] = (struct mln_rego_error){
        .code = code,
        .message = rg_text_dup(errors->heap, mln_bytes_of(text)),
        .file = loc.file,
        .row = loc.row,
        .col = loc.col,
    };
}

const struct rg_str *rg_name(struct rg_names *names, struct mln_bytes text)
{
    if (names->table.tag == RG_UNDEF) {
        names->table = rg_object(names->heap, 64);
    }
    struct rg_val key = rg_string(names->heap, text), had = rg_get(names->table, key);
    if (had.tag == RG_STR) {
        return had.str;
    }
    rg_put(names->heap, names->table, key, key);
    return key.str;
}

const struct rg_str *rg_name_of(struct rg_names *names, const char *text)
{
    return rg_name(names, mln_bytes_of(text));
}

struct rg_term *rg_term_new(struct rg_heap *heap, enum rg_kind kind, struct rg_loc loc)
{
    struct rg_term *t = rg_new(heap, sizeof(*t));
    *t = (struct rg_term){.kind = (uint8_t)kind, .loc = loc};
    return t;
}

struct rg_term *rg_term_value(struct rg_heap *heap, struct rg_val v, struct rg_loc loc)
{
    struct rg_term *t = rg_term_new(heap, RG_T_VALUE, loc);
    t->value = v;
    return t;
}

struct rg_term *rg_term_var(struct rg_heap *heap, const struct rg_str *name, struct rg_loc loc)
{
    struct rg_term *t = rg_term_new(heap, RG_T_VAR, loc);
    t->name = name;
    return t;
}

struct rg_term *rg_term_list(struct rg_heap *heap, enum rg_kind kind, struct rg_loc loc,
                             struct rg_term *const *items, uint32_t n)
{
    struct rg_term *t = rg_term_new(heap, kind, loc);
    t->items = rg_try(heap, (size_t)n * sizeof(*items) + 1);
    t->n = t->items == NULL ? 0 : n;
    mln_copy(t->items, items, t->n * sizeof(*items));
    return t;
}

void rg_body_add(struct rg_heap *heap, struct rg_body *body, struct rg_expr *expr)
{
    if (body->n == body->cap) {
        uint32_t cap = body->cap == 0 ? 4 : body->cap * 2;
        struct rg_expr **more = rg_try(heap, cap * sizeof(*more));
        if (more == NULL) {
            return;
        }
        mln_copy(more, body->exprs, body->n * sizeof(*more));
        body->exprs = more;
        body->cap = cap;
    }
    body->exprs[body->n++] = expr;
}

bool rg_call_is(const struct rg_term *t, const char *op)
{
    return t->kind == RG_T_CALL && t->items[0]->kind == RG_T_VAR &&
           rg_name_is(t->items[0]->name, op);
}

static struct rg_val ground_list(struct rg_heap *heap, const struct rg_term *t)
{
    struct rg_val out = t->kind == RG_T_ARRAY ? rg_array(heap, t->n)
                        : t->kind == RG_T_SET ? rg_set(heap, t->n)
                                              : rg_object(heap, t->n / 2);
    for (uint32_t i = 0; i < t->n; i++) {
        struct rg_val v = rg_term_ground(heap, t->items[i]);
        if (v.tag == RG_UNDEF) {
            return RG_NONE;
        }
        if (t->kind == RG_T_ARRAY) {
            rg_push(heap, out, v);
        } else if (t->kind == RG_T_SET) {
            rg_add(heap, out, v);
        } else {
            struct rg_val item = rg_term_ground(heap, t->items[++i]);
            if (item.tag == RG_UNDEF) {
                return RG_NONE;
            }
            rg_put(heap, out, v, item);
        }
    }
    return out;
}

struct rg_val rg_term_ground(struct rg_heap *heap, const struct rg_term *t)
{
    switch (t->kind) {
    case RG_T_VALUE:
        return t->value;
    case RG_T_ARRAY:
    case RG_T_SET:
    case RG_T_OBJECT:
        return ground_list(heap, t);
    default:
        return RG_NONE;
    }
}

static bool is_plain_name(struct rg_val v)
{
    if (v.tag != RG_STR || v.str->len == 0) {
        return false;
    }
    for (uint32_t i = 0; i < v.str->len; i++) {
        char c = v.str->text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return true;
}

static void print_ref(struct mln_buf *buf, const struct rg_term *t)
{
    rg_print_term(buf, t->items[0]);
    for (uint32_t i = 1; i < t->n; i++) {
        const struct rg_term *k = t->items[i];
        if (k->kind == RG_T_VALUE && is_plain_name(k->value)) {
            mln_buf_add_byte(buf, '.');
            mln_buf_add_bytes(buf, rg_bytes(k->value));
        } else {
            mln_buf_add_byte(buf, '[');
            rg_print_term(buf, k);
            mln_buf_add_byte(buf, ']');
        }
    }
}

static void print_items(struct mln_buf *buf, const struct rg_term *t, uint32_t from,
                        const char *open, const char *close)
{
    mln_buf_add_text(buf, open);
    for (uint32_t i = from; i < t->n; i++) {
        mln_buf_add_text(buf, i == from ? "" : t->kind == RG_T_OBJECT && i % 2 == 1 ? ": " : ", ");
        rg_print_term(buf, t->items[i]);
    }
    mln_buf_add_text(buf, close);
}

void rg_print_term(struct mln_buf *buf, const struct rg_term *t)
{
    switch ((enum rg_kind)t->kind) {
    case RG_T_VALUE:
        rg_print_rego(buf, t->value);
        return;
    case RG_T_VAR:
        mln_buf_add(buf, t->name->text, t->name->len);
        return;
    case RG_T_REF:
        print_ref(buf, t);
        return;
    case RG_T_ARRAY:
        print_items(buf, t, 0, "[", "]");
        return;
    case RG_T_SET:
        print_items(buf, t, 0, t->n == 0 ? "set(" : "{", t->n == 0 ? ")" : "}");
        return;
    case RG_T_OBJECT:
        print_items(buf, t, 0, "{", "}");
        return;
    case RG_T_CALL:
        rg_print_term(buf, t->items[0]);
        print_items(buf, t, 1, "(", ")");
        return;
    case RG_T_ARRAY_OF:
    case RG_T_SET_OF:
    case RG_T_OBJECT_OF:
        print_items(buf, t, 0, t->kind == RG_T_ARRAY_OF ? "[" : "{", " | ...");
        mln_buf_add_text(buf, t->kind == RG_T_ARRAY_OF ? "]" : "}");
        return;
    case RG_T_TEMPLATE:
        mln_buf_add_text(buf, "$\"...\"");
        return;
    }
}

const char *rg_term_text(struct rg_heap *heap, const struct rg_term *t)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    rg_print_term(&buf, t);
    return rg_text_dup(heap, mln_buf_bytes(&buf));
}
