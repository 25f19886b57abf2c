/* SPDX-License-Identifier: Apache-2.0 */
/* The language about itself: modules as values. rego.metadata.* are constants by the time that anything runs. */
#include "rego/ast_priv.h"

static bool parse_module(struct rg_call *call)
{
    struct mln_bytes file, text;
    if (!rg_arg_string(call, 1, &file) || !rg_arg_string(call, 2, &text)) {
        return false;
    }
    struct rg_names names = {.heap = call->heap};
    struct rg_errors errors = {.heap = call->heap, .max = MLN_REGO_ERRORS_MAX};
    struct rg_parse how = {.heap = call->heap, .names = &names, .errors = &errors, .text = text};
    how.file = rg_text_dup(call->heap, file);
    if (text.len > MLN_REGO_MODULE_MAX || !rg_spend(call->vm, text.len)) {
        return rg_fail(call, "module is too large");
    }
    struct rg_module *m = rg_parse_module(&how);
    if (m == NULL) {
        const struct mln_rego_error *e = errors.n > 0 ? &errors.list[0] : NULL;
        return e == NULL
                   ? rg_fail(call, "module cannot be read")
                   : rg_fail(call, "%s:%u: %s: %s", e->file, (unsigned)e->row, e->code, e->message);
    }
    return rg_return(call, rg_module_tree(call->heap, m));
}

static bool runtime(struct rg_call *call)
{
    return rg_return(call, rg_object(call->heap, 0)); /* nothing of the process is told to policies */
}

/* A note for a trace of the evaluation, which nobody takes here: true, as in OPA. */
static bool trace(struct rg_call *call)
{
    struct mln_bytes note;
    return rg_arg_string(call, 1, &note) && rg_return(call, rg_bool(true));
}

const struct rg_builtin rg_builtins_rego[] = {
    {"rego.parse_module", parse_module}, {"opa.runtime", runtime}, {"trace", trace}, {NULL, NULL}};
