/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a module by itself: imports that shadow, documents that are overwritten, deprecated builtins. */
#include "rego/compile_priv.h"

static struct mln_bytes alias_of(const struct rg_import *import)
{
    const struct rg_term *last = import->path->items[import->path->n - 1];
    if (import->alias != NULL) {
        return mln_bytes_at(import->alias->text, import->alias->len);
    }
    return last->kind == RG_T_VAR ? mln_bytes_at(last->name->text, last->name->len)
                                  : rg_bytes(last->value);
}

static void check_imports(struct rg_compiler *c, const struct rg_module *m)
{
    for (uint32_t i = 0; i < m->imports_n; i++) {
        for (uint32_t k = 0; m->is_v1 && k < i; k++) {
            if (mln_bytes_eq(alias_of(&m->imports[i]), alias_of(&m->imports[k]))) {
                rg_report(c->soft, "rego_compile_error", m->imports[i].loc,
                          "import must not shadow import %s",
                          rg_term_text(c->heap, m->imports[k].path));
                break;
            }
        }
    }
}

static bool is_document(const struct rg_term *t)
{
    return t->kind == RG_T_VAR && (rg_name_is(t->name, "data") || rg_name_is(t->name, "input"));
}

/* Names of arguments and rules that hide the documents. */
static void check_heads(struct rg_compiler *c, const struct rg_module *m, bool is_args)
{
    for (uint32_t i = 0; (m->is_v1 || c->policy->options.is_strict) && i < m->rules_n; i++) {
        const struct rg_rule *r = m->rules[i];
        if (!is_args && is_document(r->ref->items[0])) {
            rg_report(c->soft, "rego_compile_error", r->loc,
                      "rules must not shadow %s (use a different rule name)",
                      r->ref->items[0]->name->text);
        }
        for (uint32_t k = 0; is_args && k < r->args_n; k++) {
            if (is_document(r->args[k])) {
                rg_report(c->errors, "rego_compile_error", r->loc,
                          "args must not shadow %s (use a different variable name)",
                          r->args[k]->name->text);
            }
        }
    }
}

void rg_check_modules(struct rg_compiler *c)
{
    for (uint32_t i = 0; i < c->policy->modules_n; i++) {
        check_imports(c, c->policy->modules[i]);
        check_heads(c, c->policy->modules[i], true);
    }
    for (uint32_t i = 0; c->errors->n == 0 && i < c->policy->modules_n; i++) {
        check_heads(c, c->policy->modules[i], false);
    }
}

void rg_check_unused(struct rg_compiler *c)
{
    for (uint32_t i = 0; c->policy->options.is_strict && i < c->policy->modules_n; i++) {
        const struct rg_module *m = c->policy->modules[i];
        for (uint32_t k = 0; k < m->imports_n; k++) {
            const struct rg_str *head = m->imports[k].path->items[0]->name;
            if (!m->imports[k].is_used && !rg_name_is(head, "rego") &&
                !rg_name_is(head, "future")) {
                rg_report(c->soft, "rego_compile_error", m->imports[k].loc, "import %s unused",
                          rg_term_text(c->heap, m->imports[k].path));
            }
        }
    }
}
