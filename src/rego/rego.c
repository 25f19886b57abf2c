/* SPDX-License-Identifier: Apache-2.0 */
/* Policies and queries: modules in, programs out. */
#include "rego/rego_priv.h"

#include "base/text.h"

struct mln_err mln_rego_new(struct mln_cx *cx, const struct mln_rego_options *options,
                            struct mln_rego **ret)
{
    struct mln_rego *rego = mln_alloc(sizeof(*rego));
    struct rg_heap *heap = rg_heap_new(0);
    if (rego == NULL || heap == NULL) {
        mln_free(rego);
        rg_heap_free(heap);
        return mln_fail(cx, MLN_E_MEMORY, "rego: no memory");
    }
    struct rg_policy *p = &rego->policy;
    p->heap = heap;
    p->options = options != NULL ? *options : (struct mln_rego_options){0};
    p->names.heap = heap;
    p->errors = (struct rg_errors){.heap = heap,
                                   .max = p->options.errors_max != 0 ? p->options.errors_max
                                                                     : MLN_REGO_ERRORS_MAX};
    (void)rg_node_package(p, NULL, true);
    *ret = rego;
    return MLN_OK;
}

void mln_rego_free(struct mln_rego *rego)
{
    if (rego != NULL) {
        rg_heap_free(rego->policy.heap);
        mln_free(rego);
    }
}

void mln_rego_drop(struct mln_rego **rego)
{
    mln_rego_free(*rego);
    *rego = NULL;
}

static struct mln_err first_error(struct mln_cx *cx, enum mln_code code,
                                  const struct rg_errors *errors)
{
    const struct mln_rego_error *e = &errors->list[0];
    return mln_fail(cx, code, "%s:%u: %s: %s", e->file, (unsigned)e->row, e->code, e->message);
}

struct mln_err mln_rego_add(struct mln_rego *rego, struct mln_cx *cx, const char *file,
                            struct mln_bytes text)
{
    return mln_rego_add_as(rego, cx, file, text, rego->policy.options.version);
}

struct mln_err mln_rego_add_as(struct mln_rego *rego, struct mln_cx *cx, const char *file, struct mln_bytes text,
                               enum mln_rego_version version)
{
    struct rg_policy *p = &rego->policy;
    MLN_CHECK(!p->is_compiled);
    const char *name = rg_text_dup(p->heap, mln_bytes_of(file));
    struct rg_loc top = {.file = name, .row = 1, .col = 1};
    uint32_t before = p->errors.n;
    if (text.len > MLN_REGO_MODULE_MAX) {
        rg_report(&p->errors, "rego_parse_error", top, "module is larger than %zu bytes",
                  MLN_REGO_MODULE_MAX);
        return first_error(cx, MLN_E_TOO_LARGE, &p->errors);
    }
    struct rg_parse how = {.heap = p->heap,
                           .names = &p->names,
                           .errors = &p->errors,
                           .file = name,
                           .text = mln_bytes_at(rg_text_dup(p->heap, text), text.len),
                           .version = version};
    struct rg_module *m = rg_parse_module(&how);
    if (m == NULL) {
        if (p->errors.n == before && before == 0) {
            rg_report(&p->errors, "rego_parse_error", top, "module cannot be read");
        }
        return first_error(cx, MLN_E_PARSE, &p->errors);
    }
    rg_notes_read(p->heap, m);
    RG_GROW(p->heap, p->modules, p->modules_n, p->modules_cap);
    p->modules[p->modules_n++] = m;
    return MLN_OK;
}

static void find_builtins(struct rg_policy *p)
{
    size_t n = 0;
    while (rg_decl_at(n) != NULL) {
        n++;
    }
    p->fns = rg_new(p->heap, n * sizeof(rg_builtin_fn));
    for (size_t i = 0; i < n; i++) {
        p->fns[i] = rg_builtin_find(rg_decl_at(i)->name);
    }
}

#define FOUND_MAX 1000u /* errors of a stage that are put in order before the first few are told */

/*
 * A stage of the compiler: its errors hide those of later stages. Functions that are
 * not there hide what is unsafe, and what is unsafe in heads hides the rest.
 */
static void stage(struct rg_compiler *c, void (*work)(struct rg_compiler *c), struct rg_errors *hard)
{
    struct rg_errors found = {.heap = c->heap, .max = FOUND_MAX};
    c->errors = &found;
    work(c);
    c->errors = &c->policy->errors;
    if (hard->n == 0) {
        const char *const order[] = {"rego_type_error", rg_code_head, NULL};
        for (size_t i = 0; hard->n == 0 && i < MLN_COUNT(order); i++) {
            rg_errors_move(hard, &found, order[i]);
        }
    }
}

static void generate(struct rg_compiler *c)
{
    for (uint32_t i = 0; i < c->policy->groups_n; i++) {
        rg_gen_group(c, c->policy->groups[i]);
    }
}

static void compile(struct rg_compiler *c)
{
    static void (*const stages[])(struct rg_compiler *) = {generate, rg_tree_cycles, rg_infer_policy};
    struct rg_errors late = {.heap = c->heap, .max = FOUND_MAX}, soft = {.heap = c->heap, .max = FOUND_MAX},
                     hard = {.heap = c->heap, .max = FOUND_MAX}, *own = c->errors;
    c->soft = &soft;
    c->late = &late;
    stage(c, rg_check_modules, &hard);
    if (hard.n == 0) {
        stage(c, rg_tree_build, &hard);
        stage(c, rg_resolve_policy, &hard); /* also after errors: what is unused is told beside them */
    }
    if (hard.n == 0) {
        rg_check_unused(c);
    }
    for (size_t i = 0; hard.n == 0 && i < MLN_COUNT(stages); i++) {
        if (stages[i] != rg_infer_policy || soft.n == 0) {
            stage(c, stages[i], &hard);
        }
    }
    c->soft = c->late = NULL;
    if (hard.n == 0 && soft.n == 0) {
        rg_errors_move(&hard, &late, NULL);
    }
    rg_errors_move(&hard, &soft, NULL);
    rg_errors_move(own, &hard, NULL);
}

struct mln_err mln_rego_compile(struct mln_rego *rego, struct mln_cx *cx)
{
    struct rg_policy *p = &rego->policy;
    struct rg_compiler c = {
        .policy = p, .heap = p->heap, .errors = &p->errors, .names = &p->names, .stamp = 1};
    p->is_compiled = true;
    find_builtins(p);
    if (p->errors.n == 0) {
        compile(&c);
    }
    p->slots = c.slots;
    return p->errors.n > 0 ? first_error(cx, MLN_E_INVALID, &p->errors) : MLN_OK;
}

size_t mln_rego_error_count(const struct mln_rego *rego)
{
    return rego->policy.errors.n;
}

const struct mln_rego_error *mln_rego_error_at(const struct mln_rego *rego, size_t i)
{
    return i < rego->policy.errors.n ? &rego->policy.errors.list[i] : NULL;
}

void mln_rego_module_print(const struct mln_rego *rego, const char *file, struct mln_buf *buf)
{
    struct rg_heap *heap = rg_heap_new(0);
    const struct rg_module *found = NULL;
    for (uint32_t i = 0; i < rego->policy.modules_n; i++) {
        const struct rg_module *m = rego->policy.modules[i];
        found = mln_bytes_is(mln_bytes_of(file), m->file) ? m : found;
    }
    if (heap == NULL || found == NULL) {
        mln_buf_add_text(buf, "null");
    } else {
        rg_print_json(buf, rg_module_tree(heap, found));
    }
    rg_heap_free(heap);
}

size_t mln_rego_rule_count(const struct mln_rego *rego)
{
    size_t n = 0;
    for (uint32_t i = 0; i < rego->policy.modules_n; i++) {
        n += rego->policy.modules[i]->rules_n;
    }
    return n;
}

static const struct rg_rule *rule_of(const struct rg_policy *p, size_t i)
{
    for (uint32_t m = 0; m < p->modules_n; m++) {
        if (i < p->modules[m]->rules_n) {
            return p->modules[m]->rules[i];
        }
        i -= p->modules[m]->rules_n;
    }
    return NULL;
}

bool mln_rego_rule_at(const struct mln_rego *rego, size_t i, struct mln_rego_rule *ret)
{
    const struct rg_rule *r = rule_of(&rego->policy, i);
    if (r == NULL) {
        return false;
    }
    *ret = (struct mln_rego_rule){
        .path = r->path != NULL ? r->path : "",
        .file = r->loc.file,
        .row = r->loc.row,
        .col = r->loc.col,
        .end_row = r->end_row,
        .is_function = r->is_function,
        .is_default = r->is_default,
    };
    return true;
}

/* ---- queries ---- */
static void add_imports(struct mln_rego_query *q, struct rg_module *module,
                        const char *const *imports)
{
    uint32_t n = 0;
    while (imports != NULL && imports[n] != NULL) {
        n++;
    }
    module->imports = rg_new(q->heap, (n + 1) * sizeof(*module->imports));
    for (uint32_t i = 0; i < n; i++) {
        struct rg_parse how = {.heap = q->heap,
                               .names = &q->names,
                               .errors = &q->errors,
                               .file = "",
                               .text = mln_bytes_of(imports[i])};
        struct rg_import *import = rg_parse_import_text(&how);
        if (import != NULL) {
            module->imports[module->imports_n++] = *import;
        }
    }
}

static void set_package(struct mln_rego_query *q, struct rg_compiler *c, const char *package)
{
    struct rg_node *node = c->policy->root;
    struct mln_bytes rest = mln_bytes_of(package);
    while (node != NULL && rest.len > 0) {
        struct mln_bytes part = mln_bytes_cut(rest, '.', &rest);
        node = rg_node_kid(node, rg_string(q->heap, part));
    }
    c->package = node;
}

static void prepare(struct mln_rego_query *q, struct rg_policy *policy, struct mln_bytes text,
                    const struct mln_rego_query_options *options)
{
    struct rg_module *module = rg_new(q->heap, sizeof(*module));
    *module = (struct rg_module){0};
    struct rg_compiler c = {.policy = policy,
                            .heap = q->heap,
                            .errors = &q->errors,
                            .names = &q->names,
                            .stamp = 1,
                            .slots = policy->slots};
    c.module = module;
    if (options != NULL) {
        add_imports(q, module, options->imports);
        if (options->package != NULL) {
            set_package(q, &c, options->package);
        }
    }
    struct rg_parse how = {
        .heap = q->heap, .names = &q->names, .errors = &q->errors, .file = "", .text = text};
    how.text = mln_bytes_at(rg_text_dup(q->heap, text), text.len);
    how.version = options != NULL ? options->version : MLN_REGO_V1;
    struct rg_body *body = q->errors.n == 0 ? rg_parse_query(&how, module) : NULL;
    if (body != NULL) {
        rg_resolve_query(&c, body);
    }
    if (body != NULL && q->errors.n == 0) {
        q->proc = rg_gen_query(&c, body);
    }
    if (q->proc != NULL) {
        rg_infer_query(&c, body);
    }
    q->slots = c.slots;
}

struct mln_err mln_rego_prepare(struct mln_rego *rego, struct mln_cx *cx, struct mln_bytes text,
                                const struct mln_rego_query_options *options,
                                struct mln_rego_query **ret)
{
    static const struct rg_loc nowhere = {.file = "", .row = 1, .col = 1};
    MLN_CHECK(rego->policy.is_compiled && rego->policy.errors.n == 0);
    struct mln_rego_query *q = mln_alloc(sizeof(*q));
    struct rg_heap *heap = rg_heap_new(0);
    if (q == NULL || heap == NULL) {
        mln_free(q);
        rg_heap_free(heap);
        return mln_fail(cx, MLN_E_MEMORY, "rego: no memory");
    }
    q->heap = heap;
    q->errors = (struct rg_errors){.heap = heap, .max = MLN_REGO_ERRORS_MAX};
    q->names.heap = heap;
    q->policy = &rego->policy;
    *ret = q;
    if (text.len > MLN_REGO_MODULE_MAX) {
        rg_report(&q->errors, "rego_parse_error", nowhere, "query is larger than %zu bytes",
                  MLN_REGO_MODULE_MAX);
    } else {
        prepare(q, &rego->policy, text, options);
    }
    if (q->proc == NULL && q->errors.n == 0) {
        rg_report(&q->errors, "rego_parse_error", nowhere, "query cannot be read");
    }
    return q->errors.n > 0 ? first_error(cx, MLN_E_INVALID, &q->errors) : MLN_OK;
}

void mln_rego_query_free(struct mln_rego_query *query)
{
    if (query != NULL) {
        rg_heap_free(query->heap);
        mln_free(query);
    }
}

void mln_rego_query_drop(struct mln_rego_query **query)
{
    mln_rego_query_free(*query);
    *query = NULL;
}

size_t mln_rego_query_error_count(const struct mln_rego_query *query)
{
    return query->errors.n;
}

const struct mln_rego_error *mln_rego_query_error_at(const struct mln_rego_query *query, size_t i)
{
    return i < query->errors.n ? &query->errors.list[i] : NULL;
}
