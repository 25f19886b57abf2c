/* SPDX-License-Identifier: Apache-2.0 */
/* Modules, imports, rules and comments in OPA's form. */
#include "rego/fmt_priv.h"

#include "rego/rego_priv.h"

/* ---- lines ---- */
void rg_fmt_text(struct rg_fmt *f, const char *text)
{
    mln_buf_add_text(f->out, text);
}

void rg_fmt_bytes(struct rg_fmt *f, struct mln_bytes text)
{
    mln_buf_add_bytes(f->out, text);
}

void rg_fmt_start(struct rg_fmt *f)
{
    f->is_inline = true;
    for (uint32_t i = 0; i < f->level; i++) {
        mln_buf_add_byte(f->out, '\t');
    }
}

struct mln_bytes rg_fmt_source(const struct rg_fmt *f, struct rg_loc loc)
{
    return loc.to <= f->module->text.len && loc.from <= loc.to
               ? mln_bytes_sub(f->module->text, loc.from, loc.to - loc.from)
               : (struct mln_bytes){0};
}

static void write_comment(struct rg_fmt *f, const struct rg_comment *c)
{
    struct mln_bytes text = mln_bytes_sub(f->module->text, c->from, c->to - c->from);
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t' ||
                            text.ptr[text.len - 1] == '\r')) {
        text.len--;
    }
    rg_fmt_bytes(f, text);
}

void rg_fmt_end(struct rg_fmt *f)
{
    f->is_inline = false;
    if (f->waits != NULL && !f->is_delayed) {
        rg_fmt_text(f, " ");
        write_comment(f, f->waits);
        f->waits = NULL;
    }
    f->is_delayed = false;
    rg_fmt_text(f, "\n");
}

void rg_fmt_blank(struct rg_fmt *f)
{
    rg_fmt_text(f, "\n");
}

void rg_fmt_comments(struct rg_fmt *f, uint32_t row)
{
    const struct rg_comment *list = f->module->comments, *last = NULL;
    for (; f->next < f->module->comments_n && list[f->next].row < row; f->next++) {
        const struct rg_comment *c = &list[f->next];
        if (last != NULL && c->row > last->row + 1) {
            rg_fmt_blank(f);
        }
        if (!f->is_inline) {
            rg_fmt_start(f);
        }
        write_comment(f, c);
        rg_fmt_end(f);
        last = c;
    }
    if (last != NULL && row > last->row + 1) {
        rg_fmt_blank(f);
    }
    if (f->next < f->module->comments_n && list[f->next].row == row && f->waits == NULL) {
        f->waits = &list[f->next++];
    }
}

/* Behind the bracket that closes the first `open`; the length when there is none. Rows passed are counted. */
static size_t past(struct mln_bytes text, size_t at, const char *pair, uint32_t *rows)
{
    size_t depth = 0, from = at;
    while (from < text.len && text.ptr[from] != (uint8_t)pair[0]) {
        from++;
    }
    for (size_t i = from; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        *rows += c == '\n';
        depth += c == (uint8_t)pair[0];
        if (c == (uint8_t)pair[1] && --depth == 0) {
            return i + 1;
        }
    }
    return text.len + 1;
}

uint32_t rg_fmt_close(const struct rg_fmt *f, struct rg_loc loc, const char *skip, const char *pair)
{
    struct mln_bytes text = rg_fmt_source(f, loc);
    uint32_t rows = 0, skipped = 0;
    size_t at = skip == NULL ? 0 : past(text, 0, skip, &skipped);
    at = skip == NULL || at > text.len ? 0 : at;
    rows = at > 0 ? skipped : 0;
    return past(text, at, pair, &rows) > text.len ? 0 : loc.row + rows;
}

/* ---- package and imports ---- */
static void write_package(struct rg_fmt *f)
{
    const struct rg_module *m = f->module;
    rg_fmt_comments(f, m->loc.row);
    rg_fmt_start(f);
    rg_fmt_text(f, "package ");
    struct rg_term *first =
        rg_term_var(f->heap, m->package->items[1]->value.str, m->package->items[1]->loc);
    struct rg_term **items = rg_new(f->heap, m->package->n * sizeof(struct rg_term *));
    mln_copy(items, m->package->items + 1, (m->package->n - 1) * sizeof(struct rg_term *));
    items[0] = first;
    rg_fmt_ref(f, items, m->package->n - 1);
    rg_fmt_end(f);
    rg_fmt_blank(f);
}

static int cmp_paths(const struct rg_term *a, const struct rg_term *b)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        struct mln_bytes x = i == 0 ? mln_bytes_of(a->items[0]->name->text) : rg_bytes(a->items[i]->value),
                         y = i == 0 ? mln_bytes_of(b->items[0]->name->text) : rg_bytes(b->items[i]->value);
        int c = mln_bytes_cmp(x, y);
        if (c != 0) {
            return c;
        }
    }
    return a->n < b->n ? -1 : a->n > b->n;
}

static int cmp_imports(const struct rg_import *a, const struct rg_import *b)
{
    int c = cmp_paths(a->path, b->path);
    return c != 0 ? c
                  : mln_bytes_cmp(mln_bytes_of(a->alias == NULL ? "" : a->alias->text),
                                  mln_bytes_of(b->alias == NULL ? "" : b->alias->text));
}

struct entry {
    struct rg_import import;
    const struct rg_comment *comment; /* on its row */
};

static bool is_language(const struct rg_import *import, const char *second)
{
    const struct rg_term *p = import->path;
    const char *head = mln_bytes_is(mln_bytes_of(second), "keywords") ? "future" : "rego";
    return p->n >= 2 && rg_name_is(p->items[0]->name, head) && p->items[1]->kind == RG_T_VALUE &&
           mln_bytes_is(rg_bytes(p->items[1]->value), second);
}

static bool is_dropped(const struct rg_fmt *f, const struct rg_import *import)
{
    const struct rg_term *p = import->path;
    bool is_new = p->n == 3 && (mln_bytes_is(rg_bytes(p->items[2]->value), "and") ||
                                mln_bytes_is(rg_bytes(p->items[2]->value), "or") ||
                                mln_bytes_is(rg_bytes(p->items[2]->value), "not"));
    bool is_covered = is_language(import, "v1") || is_language(import, "keywords");
    if (f->has_v2 && is_covered) {
        return true;
    }
    return f->drops_imports && ((is_language(import, "keywords") && !is_new) || is_language(import, "v1"));
}

static void write_import(struct rg_fmt *f, const struct entry *e)
{
    rg_fmt_start(f);
    rg_fmt_text(f, "import ");
    rg_fmt_ref(f, e->import.path->items, e->import.path->n);
    if (e->import.alias != NULL) {
        rg_fmt_text(f, " as ");
        rg_fmt_text(f, e->import.alias->text);
    }
    if (e->comment != NULL) {
        rg_fmt_text(f, " ");
        write_comment(f, e->comment);
    }
    rg_fmt_end(f);
}

static void sort_entries(struct entry *list, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        struct entry e = list[i];
        uint32_t k = i;
        for (; k > 0 && cmp_imports(&list[k - 1].import, &e.import) > 0; k--) {
            list[k] = list[k - 1];
        }
        list[k] = e;
    }
}

/* Comments on the rows of imports go with them, also when the imports change their places. */
static void take_comments(struct rg_fmt *f, struct entry *list, uint32_t n)
{
    struct rg_module *own = rg_new(f->heap, sizeof(*own));
    *own = *f->module;
    own->comments = rg_new(f->heap, (own->comments_n + 1) * sizeof(*own->comments));
    own->comments_n = 0;
    for (uint32_t i = 0; i < f->module->comments_n; i++) {
        const struct rg_comment *c = &f->module->comments[i];
        bool is_taken = false;
        for (uint32_t k = 0; k < n && !is_taken; k++) {
            is_taken = list[k].import.loc.row == c->row;
            list[k].comment = is_taken ? c : list[k].comment;
        }
        if (!is_taken) {
            own->comments[own->comments_n++] = *c;
        }
    }
    f->module = own;
}

static void write_imports(struct rg_fmt *f, bool adds_v1)
{
    const struct rg_module *m = f->module;
    struct entry *list = rg_new(f->heap, (m->imports_n + 1) * sizeof(*list));
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->imports_n; i++) {
        adds_v1 = adds_v1 && !is_language(&m->imports[i], "v1");
        bool is_old = adds_v1 && is_language(&m->imports[i], "keywords");
        if (!is_dropped(f, &m->imports[i]) && !is_old) {
            list[n++] = (struct entry){.import = m->imports[i]};
        }
    }
    take_comments(f, list, n);
    if (adds_v1) {
        rg_fmt_text(f, "import rego.v1\n\n");
    }
    for (uint32_t i = 0, k = 0; i < n; i = k) {
        for (k = i + 1; k < n && list[k].import.loc.row <= list[k - 1].import.loc.row + 1;) {
            k++;
        }
        rg_fmt_comments(f, list[i].import.loc.row);
        sort_entries(list + i, k - i);
        for (uint32_t j = i; j < k; j++) {
            if (j == i || cmp_imports(&list[j].import, &list[j - 1].import) != 0) {
                write_import(f, &list[j]);
            }
        }
        rg_fmt_blank(f);
    }
}

/* ---- rules ---- */
static bool is_true_term(const struct rg_term *t)
{
    return t != NULL && t->kind == RG_T_VALUE && t->value.tag == RG_BOOL && t->value.integer != 0;
}

static bool is_true_body(const struct rg_body *b)
{
    return b->n == 1 && b->exprs[0]->kind == RG_E_TERM && b->exprs[0]->with_n == 0 &&
           is_true_term(b->exprs[0]->term);
}

static void write_value(struct rg_fmt *f, const struct rg_rule *r, bool is_const)
{
    bool is_pair = r->ref->n == 2 && !f->is_v1 && r->has_value && !r->is_function && !r->is_else;
    bool is_shown = r->value != NULL && (is_pair || !is_true_term(r->value) || is_const || r->is_default);
    if (r->value == NULL || !is_shown) {
        return;
    }
    bool is_const_v1 = is_const && !r->is_function && r->head != RG_HEAD_SET &&
                       (f->is_v1 || r->ref->n > 1);
    if (!r->has_value && !r->is_else && is_true_term(r->value) && !is_const_v1) {
        return;
    }
    rg_fmt_text(f, r->is_assign || f->is_v1 ? " := " : " = ");
    rg_fmt_term(f, r->value, false);
}

/* p["q"] stays in brackets unless a head of the module has more keys; `in` and `if` would not be read so. */
static bool is_bracketed(const struct rg_fmt *f, const struct rg_rule *r)
{
    const struct rg_str *name = r->ref->items[0]->name;
    return r->ref->n == 2 && !f->has_refs && r->head != RG_HEAD_SET && !rg_name_is(name, "in") &&
           !rg_name_is(name, "if");
}

static void write_head(struct rg_fmt *f, struct rg_rule *r, bool is_const)
{
    if (r->is_else) {
        rg_fmt_text(f, "else");
    } else if (is_bracketed(f, r)) {
        rg_fmt_ref(f, r->ref->items, 1);
        rg_fmt_text(f, "[");
        if (r->ref->items[1]->kind == RG_T_VALUE && r->ref->items[1]->value.tag == RG_STR) {
            rg_print_rego(f->out, r->ref->items[1]->value);
        } else {
            rg_fmt_term(f, r->ref->items[1], false);
        }
        rg_fmt_text(f, "]");
    } else {
        rg_fmt_ref(f, r->ref->items, r->ref->n);
    }
    if (r->args_n > 0 && !r->is_else) {
        rg_fmt_text(f, "(");
        rg_fmt_items(f, r->args, r->args_n, r->loc, rg_fmt_close(f, r->loc, NULL, "()"));
        rg_fmt_text(f, ")");
    }
    if (r->key != NULL) {
        rg_fmt_text(f, f->has_contains ? " contains " : "[");
        rg_fmt_term(f, r->key, false);
        rg_fmt_text(f, f->has_contains ? "" : "]");
    }
    write_value(f, r, is_const);
}

static void write_rule(struct rg_fmt *f, struct rg_rule *r);

/* The row of else begins with it: it stood on a line of its own. */
static bool begins_row(const struct rg_fmt *f, uint32_t row)
{
    struct mln_bytes rest = f->module->text, line = {0};
    for (uint32_t i = 0; i < row && rest.len > 0; i++) {
        line = mln_bytes_cut(rest, '\n', &rest);
    }
    return mln_bytes_starts(mln_bytes_trim(line), MLN_BYTES("else"));
}

static void write_else(struct rg_fmt *f, const struct rg_rule *r)
{
    struct rg_rule *e = r->otherwise;
    bool was_inline = e->loc.row > r->loc.row && !begins_row(f, e->loc.row);
    bool has_comment = f->waits != NULL || (f->next < f->module->comments_n &&
                                            f->module->comments[f->next].row < e->loc.row);
    if (!has_comment && was_inline) {
        rg_fmt_text(f, " ");
    } else {
        if (f->is_inline) {
            rg_fmt_end(f);
        }
        rg_fmt_blank(f);
        rg_fmt_start(f);
    }
    rg_fmt_comments(f, e->loc.row);
    if (!f->is_inline) {
        rg_fmt_start(f);
    }
    write_rule(f, e);
}

static void write_rule(struct rg_fmt *f, struct rg_rule *r)
{
    bool is_const = is_true_body(r->body) && r->otherwise == NULL;
    if (!r->is_else) {
        rg_fmt_start(f);
    }
    rg_fmt_text(f, r->is_default ? "default " : "");
    write_head(f, r, is_const);
    if (is_const) {
        rg_fmt_end(f);
        return;
    }
    bool takes_if = f->has_if && (f->has_contains || r->value != NULL);
    rg_fmt_text(f, takes_if ? " if" : "");
    struct rg_expr *first = r->body->exprs[0];
    if (takes_if && r->body->n == 1 && first->loc.row == r->loc.row) {
        rg_fmt_text(f, " ");
        rg_fmt_expr(f, first);
        rg_fmt_end(f);
        if (r->otherwise != NULL) {
            write_else(f, r);
        }
        return;
    }
    rg_fmt_text(f, " {");
    rg_fmt_end(f);
    f->level++;
    rg_fmt_body(f, r->body);
    rg_fmt_comments(f, rg_fmt_close(f, r->loc, r->is_function ? "()" : "[]", "{}"));
    f->level--;
    rg_fmt_start(f);
    rg_fmt_text(f, "}");
    if (r->otherwise != NULL) {
        write_else(f, r);
    } else {
        rg_fmt_end(f);
    }
}

static bool is_groupable(const struct rg_fmt *f, const struct rg_rule *r)
{
    return r->body->n <= 1 && !r->is_default && r->otherwise == NULL && f->has_if && (f->has_contains || r->value != NULL);
}

static void write_rules(struct rg_fmt *f)
{
    const struct rg_module *m = f->module;
    for (uint32_t i = 0; i < m->rules_n; i++) {
        struct rg_rule *r = m->rules[i];
        rg_fmt_comments(f, r->loc.row);
        write_rule(f, r);
        bool is_followed = i + 1 < m->rules_n && is_groupable(f, r) &&
                           is_groupable(f, m->rules[i + 1]) &&
                           m->rules[i + 1]->loc.row == r->loc.row + 1;
        if (!is_followed) {
            rg_fmt_blank(f);
        }
    }
}

static bool imports_word(const struct rg_module *m, const char *word)
{
    for (uint32_t i = 0; i < m->imports_n; i++) {
        const struct rg_import *import = &m->imports[i];
        bool all = is_language(import, "keywords") && import->path->n == 2;
        bool one = is_language(import, "keywords") && import->path->n == 3 &&
                   mln_bytes_is(rg_bytes(import->path->items[2]->value), word);
        if (all || one || is_language(import, "v1") || is_language(import, "v2")) {
            return true;
        }
    }
    return false;
}

/* What is left of the comments, and one end of line. */
static void finish(struct rg_fmt *f)
{
    rg_fmt_comments(f, UINT32_MAX);
    if (f->waits != NULL) {
        rg_fmt_end(f);
    }
    while (f->out->len > 0 && (f->out->ptr[f->out->len - 1] == '\n' || f->out->ptr[f->out->len - 1] == ' ')) {
        f->out->len--;
    }
    rg_fmt_text(f, "\n");
}

bool mln_rego_format(const struct mln_rego *rego, size_t module,
                     const struct mln_rego_format_options *options, struct mln_buf *buf)
{
    const struct rg_policy *p = &rego->policy;
    if (module >= p->modules_n || p->is_compiled) {
        return false;
    }
    struct rg_heap *heap = rg_heap_new(0);
    if (heap == NULL) {
        return false;
    }
    const struct rg_module *m = p->modules[module];
    bool is_v1 = options->to_v1 || p->options.version == MLN_REGO_V1 || m->is_v1;
    struct rg_fmt f = {.heap = heap,
                       .module = m,
                       .out = buf,
                       .is_v1 = is_v1,
                       .has_if = is_v1 || imports_word(m, "if"),
                       .has_contains = is_v1 || imports_word(m, "contains"),
                       .drops_imports = options->drops_imports && is_v1};
    for (uint32_t i = 0; i < m->rules_n; i++) {
        f.has_refs |= m->rules[i]->ref->n > 2;
    }
    for (uint32_t i = 0; i < m->imports_n; i++) {
        f.has_v2 |= is_language(&m->imports[i], "v2");
    }
    write_package(&f);
    write_imports(&f, options->to_v1 && !options->drops_imports);
    write_rules(&f);
    finish(&f);
    rg_heap_free(heap);
    return !buf->has_failed;
}
