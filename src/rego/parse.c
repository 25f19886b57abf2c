/* SPDX-License-Identifier: Apache-2.0 */
/* Modules: package, imports, rules one after the other; after an error on with the next row that begins a rule. */
#include "rego/parse_priv.h"

#include <stdio.h>

bool rg_at_sign(const struct rg_parser *p, const char *sign)
{
    return p->x.token == RG_K_SIGN && mln_bytes_is(mln_bytes_of(p->x.sign), sign);
}

struct mln_bytes rg_token_text(const struct rg_parser *p)
{
    return mln_bytes_at(p->x.begin + p->x.loc.from, p->x.loc.to - p->x.loc.from);
}

bool rg_is_glued(const struct rg_parser *p)
{
    return p->x.before == p->x.loc.from;
}

/* A keyword with a dot right behind it is a name: `if.x`, `not.foo`. */
bool rg_at_word(const struct rg_parser *p, const char *word)
{
    if (p->x.token != RG_K_NAME || !mln_bytes_is(rg_token_text(p), word)) {
        return false;
    }
    return p->x.at == p->x.end || *p->x.at != '.';
}

bool rg_is_keyed(const struct rg_parser *p)
{
    return p->x.token == RG_K_NAME && p->x.at < p->x.end && *p->x.at == '[';
}

bool rg_take_sign(struct rg_parser *p, const char *sign)
{
    bool there = rg_at_sign(p, sign);
    if (there) {
        rg_lex_next(&p->x);
    }
    return there;
}

bool rg_take_word(struct rg_parser *p, const char *word)
{
    bool there = rg_at_word(p, word);
    if (there) {
        rg_lex_next(&p->x);
    }
    return there;
}

#define LINE_MAX_BYTES 400u /* of a line that is shown */

/* The line at the token, and a sign below the place. */
static const char *line_details(const struct rg_parser *p)
{
    struct mln_bytes rest = mln_bytes_at(p->x.begin, (size_t)(p->x.end - p->x.begin)), line = {0};
    for (uint32_t row = 0; row < p->x.loc.row && rest.len > 0; row++) {
        line = mln_bytes_cut(rest, '\n', &rest);
    }
    size_t tabs = 0, col = p->x.loc.col > 0 ? p->x.loc.col - 1 : 0;
    while (tabs < line.len && line.ptr[tabs] == '\t') {
        tabs++;
    }
    if (line.len > LINE_MAX_BYTES) {
        return NULL;
    }
    line = mln_bytes_from(line, tabs);
    return rg_text_format(p->heap, "%.*s\n%*s^", MLN_FMT(line), (int)(col > tabs ? col - tabs : 0),
                          "");
}

void rg_refuse(struct rg_parser *p, const char *format, ...)
{
    if (!p->is_bad && p->trial == 0) {
        char text[512];
        va_list args;
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        uint32_t before = p->errors->n;
        rg_report(p->errors, "rego_parse_error", p->x.loc, "%s", text);
        if (p->errors->n > before) {
            p->errors->list[before].details = line_details(p);
        }
    }
    p->is_bad = true;
}

void rg_unexpected(struct rg_parser *p, const char *wanted)
{
    static const char *const kinds[] = {[RG_K_END] = "eof",
                                        [RG_K_NUMBER] = "number",
                                        [RG_K_STRING] = "string",
                                        [RG_K_TEMPLATE] = "template-string"};
    if (p->x.token == RG_K_BAD) {
        rg_refuse(p, "%s", p->x.error);
        return;
    }
    const char *colon = wanted[0] == '\0' ? "" : ": ";
    if (p->x.token == RG_K_NAME) {
        struct mln_bytes text = rg_token_text(p);
        if (rg_is_reserved(p, text)) {
            rg_refuse(p, "unexpected %.*s keyword%s%s", MLN_FMT(text), colon, wanted);
        } else {
            rg_refuse(p, "unexpected identifier token%s%s", colon, wanted);
        }
        return;
    }
    rg_refuse(p, "unexpected %s token%s%s", p->x.token == RG_K_SIGN ? p->x.sign : kinds[p->x.token],
              colon, wanted);
}

bool rg_want_sign(struct rg_parser *p, const char *sign)
{
    if (rg_take_sign(p, sign)) {
        return true;
    }
    char wanted[32];
    (void)snprintf(wanted, sizeof(wanted), "expected \"%s\"", sign);
    rg_unexpected(p, wanted);
    return false;
}

bool rg_enter(struct rg_parser *p)
{
    if (p->depth >= MLN_REGO_NESTING_MAX) {
        rg_refuse(p, "max recursion depth of %d exceeded", MLN_REGO_NESTING_MAX);
        p->trials_left = 0;
        return false;
    }
    p->depth++;
    return true;
}

void rg_leave(struct rg_parser *p)
{
    p->depth--;
}

bool rg_is_reserved(const struct rg_parser *p, struct mln_bytes name)
{
    static const char *const always[] = {"as",  "default", "else", "false", "import", "package",
                                         "not", "null",    "true", "some",  "with"};
    for (size_t i = 0; i < MLN_COUNT(always); i++) {
        if (mln_bytes_is(name, always[i])) {
            return true;
        }
    }
    return (p->has_in && mln_bytes_is(name, "in")) ||
           (p->has_every && mln_bytes_is(name, "every")) ||
           (p->has_if && mln_bytes_is(name, "if")) ||
           (p->has_contains && mln_bytes_is(name, "contains")) ||
           (p->module->has_and && mln_bytes_is(name, "and")) ||
           (p->module->has_or && mln_bytes_is(name, "or"));
}

bool rg_try_begin(struct rg_parser *p, struct rg_saved *saved)
{
    *saved = (struct rg_saved){.x = p->x, .is_bad = p->is_bad};
    if (p->trials_left == 0) {
        return false;
    }
    p->trial++;
    return true;
}

void rg_try_end(struct rg_parser *p, const struct rg_saved *saved, bool is_kept)
{
    p->trial--;
    if (!is_kept) {
        p->x = saved->x;
        p->is_bad = saved->is_bad;
        p->trials_left -= p->trials_left > 0;
    }
}

void rg_list_add(struct rg_parser *p, struct rg_list *list, struct rg_term *t)
{
    if (list->n == list->cap) {
        uint32_t cap = list->cap == 0 ? 4 : list->cap * 2;
        struct rg_term **more = rg_try(p->heap, cap * sizeof(*more));
        if (more == NULL) {
            rg_refuse(p, "no memory");
            return;
        }
        mln_copy(more, list->items, list->n * sizeof(*more));
        list->items = more;
        list->cap = cap;
    }
    list->items[list->n++] = t;
}

static bool path_is(const struct rg_term *t, const char *a, const char *b, const char *c)
{
    const char *want[] = {a, b, c};
    uint32_t n = c != NULL ? 3 : 2;
    if (t->kind != RG_T_REF || t->n != n || !rg_name_is(t->items[0]->name, a)) {
        return false;
    }
    for (uint32_t i = 1; i < n; i++) {
        if (t->items[i]->kind != RG_T_VALUE || t->items[i]->value.tag != RG_STR ||
            !mln_bytes_is(rg_bytes(t->items[i]->value), want[i])) {
            return false;
        }
    }
    return true;
}

static void all_keywords(struct rg_parser *p)
{
    p->has_in = p->has_every = p->has_if = p->has_contains = true;
}

/* Imports of the language itself. true: it was one. */
static bool language_import(struct rg_parser *p, const struct rg_term *path)
{
    bool v2 = path_is(path, "rego", "v2", NULL);
    if (v2 || path_is(path, "rego", "v1", NULL)) {
        all_keywords(p);
        p->module->is_v1 = true;
        p->module->has_and |= v2;
        p->module->has_or |= v2;
        p->module->has_not |= v2;
        return true;
    }
    if (path_is(path, "future", "keywords", NULL)) {
        all_keywords(p);
        p->module->has_and = p->module->has_or = p->module->has_not = true;
        return true;
    }
    if (path->n != 3 || !path_is(&(struct rg_term){.kind = RG_T_REF, .n = 2, .items = path->items},
                                 "future", "keywords", NULL)) {
        return false;
    }
    struct {
        const char *word;
        bool *flag;
    } words[] = {{"in", &p->has_in},           {"every", &p->has_every},
                 {"if", &p->has_if},           {"contains", &p->has_contains},
                 {"and", &p->module->has_and}, {"or", &p->module->has_or},
                 {"not", &p->module->has_not}};
    for (size_t i = 0; i < MLN_COUNT(words); i++) {
        if (path_is(path, "future", "keywords", words[i].word)) {
            *words[i].flag = true;
            p->has_in |= mln_bytes_is(mln_bytes_of(words[i].word), "every");
            return true;
        }
    }
    rg_refuse(p, "unexpected keyword, must be one of [contains every if in and not or]");
    return true;
}

bool rg_parse_import(struct rg_parser *p, struct rg_import *ret)
{
    struct rg_loc loc = p->x.loc;
    struct rg_term *path = p->x.token == RG_K_NAME ? rg_parse_head_ref(p) : NULL;
    if (path == NULL) {
        rg_unexpected(p, "expected ident");
        return false;
    }
    const struct rg_str *head = path->items[0]->name;
    if (!rg_name_is(head, "data") && !rg_name_is(head, "input") && !rg_name_is(head, "future") &&
        !rg_name_is(head, "rego")) {
        rg_refuse(
            p,
            "unexpected import path, must begin with one of: {data, future, input, rego}, got: %s",
            head->text);
        return false;
    }
    *ret = (struct rg_import){.path = path, .loc = loc};
    if (rg_take_word(p, "as")) {
        if (p->x.token != RG_K_NAME) {
            rg_unexpected(p, "expected var");
            return false;
        }
        ret->alias = rg_name(p->names, rg_token_text(p));
        rg_lex_next(&p->x);
    }
    return !p->is_bad;
}

static void add_import(struct rg_parser *p, struct rg_import import)
{
    struct rg_module *m = p->module;
    struct rg_import *more = rg_new(p->heap, (m->imports_n + 1) * sizeof(*more)); /* few */
    mln_copy(more, m->imports, m->imports_n * sizeof(*more));
    more[m->imports_n++] = import;
    m->imports = more;
}

static void parse_package(struct rg_parser *p)
{
    struct rg_loc loc = p->x.loc;
    if (!rg_take_word(p, "package")) {
        rg_refuse(p, p->x.token == RG_K_END ? "empty module" : "package expected");
        return;
    }
    struct rg_term *name = p->x.token == RG_K_NAME ? rg_parse_head_ref(p) : NULL;
    if (name == NULL) {
        rg_unexpected(p, "expected ident");
        return;
    }
    for (uint32_t i = 1; i < name->n; i++) {
        if (name->items[i]->kind != RG_T_VALUE || name->items[i]->value.tag != RG_STR) {
            rg_refuse(p, "unexpected non-string value in package path");
            return;
        }
    }
    struct rg_list list = {0};
    rg_list_add(p, &list, rg_term_var(p->heap, rg_name_of(p->names, "data"), loc));
    const struct rg_str *first = name->items[0]->name;
    rg_list_add(p, &list,
                rg_term_value(p->heap,
                              (struct rg_val){.tag = RG_STR, .hash = first->hash, .str = first},
                              name->loc));
    for (uint32_t i = 1; i < name->n; i++) {
        rg_list_add(p, &list, name->items[i]);
    }
    p->module->package = rg_term_list(p->heap, RG_T_REF, loc, list.items, list.n);
    p->module->loc = loc;
}

static void recover(struct rg_parser *p)
{
    while (p->x.token != RG_K_END &&
           !(p->x.is_first && p->x.loc.col == 1 && p->x.token == RG_K_NAME)) {
        rg_lex_next(&p->x);
    }
    p->is_bad = false;
    p->depth = 0;
}

static void parse_statement(struct rg_parser *p)
{
    if (rg_is_keyed(p)) {
        rg_parse_rule(p);
    } else if (rg_at_word(p, "import")) {
        struct rg_loc loc = p->x.loc;
        rg_lex_next(&p->x);
        struct rg_import import;
        if (rg_parse_import(p, &import)) {
            import.loc = loc;
            (void)language_import(p, import.path);
            add_import(p, import);
        }
    } else if (rg_at_word(p, "package")) {
        rg_unexpected(p, "only one package declaration allowed");
    } else {
        rg_parse_rule(p);
    }
}

static void begin(struct rg_parser *p, const struct rg_parse *how, struct rg_module *module)
{
    *p = (struct rg_parser){.heap = how->heap,
                            .names = how->names,
                            .errors = how->errors,
                            .module = module,
                            .trials_left = RG_TRIALS_MAX};
    if (how->version == MLN_REGO_V1) {
        all_keywords(p);
        module->is_v1 = true;
    }
    p->x.module = module;
    rg_lex_begin(&p->x, how);
}

struct rg_module *rg_parse_module(const struct rg_parse *how)
{
    struct rg_module *m = rg_new(how->heap, sizeof(*m));
    *m = (struct rg_module){.file = how->file, .text = how->text};
    struct rg_parser p;
    uint32_t before = how->errors->n;
    begin(&p, how, m);
    parse_package(&p);
    bool is_bad = p.is_bad;
    while (p.x.token != RG_K_END && !(is_bad && m->package == NULL)) {
        if (rg_take_sign(&p, ";")) {
            continue;
        }
        uint32_t from = p.x.loc.from;
        parse_statement(&p);

        if (p.is_bad) {
            is_bad = true;
            if (p.x.loc.from == from) {
                rg_lex_next(&p.x);
            }
            recover(&p);
        }
    }
    return is_bad || how->errors->n > before ? NULL : m;
}

struct rg_body *rg_parse_query(const struct rg_parse *how, struct rg_module *module)
{
    struct rg_parser p;
    begin(&p, how, module);
    struct rg_body *body = rg_parse_body(&p, "");
    return p.is_bad ? NULL : body;
}

struct rg_term *rg_parse_value(const struct rg_parse *how)
{
    struct rg_module module = {0};
    struct rg_parser p;
    begin(&p, how, &module);
    struct rg_term *t = rg_parse_term(&p, RG_P_RELATION);
    if (t != NULL && p.x.token != RG_K_END) {
        rg_unexpected(&p, "expected one term");
    }
    return p.is_bad ? NULL : t;
}

struct rg_import *rg_parse_import_text(const struct rg_parse *how)
{
    struct rg_module module = {0};
    struct rg_parser p;
    begin(&p, how, &module);
    struct rg_import *import = rg_new(how->heap, sizeof(*import));
    bool ok = rg_parse_import(&p, import);
    if (ok && p.x.token != RG_K_END) {
        rg_unexpected(&p, "expected one import");
    }
    return p.is_bad ? NULL : import;
}
