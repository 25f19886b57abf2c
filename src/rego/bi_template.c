/* SPDX-License-Identifier: Apache-2.0 */
/* strings.render_template. */
#include "rego/template_priv.h"

static bool render(struct rg_call *call)
{
    struct rg_tpl t = {.heap = call->heap, .vm = call->vm};
    struct rg_val data;
    if (!rg_arg_string(call, 1, &t.source) || !rg_arg_tag(call, 2, RG_OBJECT, &data)) {
        return false;
    }
    struct mln_buf out = rg_buf(call->heap);
    bool ok =
        rg_spend(call->vm, t.source.len / 16) && rg_tpl_parse(&t) && rg_tpl_run(&t, data, &out);
    if (!ok) {
        mln_buf_drop(&out);
        return rg_fail(call, "%s", t.error == NULL ? "the budget is used up" : t.error);
    }
    return rg_return(call, rg_string_buf(call->heap, &out));
}

const struct rg_builtin rg_builtins_template[] = {{"strings.render_template", render},
                                                  {NULL, NULL}};
