/* SPDX-License-Identifier: Apache-2.0 */
/* Facts of the host: what Merlon knows of a model. The host answers (mln_rego_run_options.lookup); OPA has none of these. */
#include "rego/vm_priv.h"

#define ARGS_MAX 2

static bool fail_lookup(struct rg_call *call, struct mln_bytes why)
{
    bool ok = why.len > 0 ? rg_fail(call, "%.*s", MLN_FMT(why)) : rg_fail(call, "this cannot be looked up now");
    call->error_code = "eval_lookup_error";
    call->is_fatal = true;
    return ok;
}

static bool found(struct rg_call *call, struct mln_bytes json)
{
    const char *error = NULL;
    struct rg_val v = rg_json_parse(call->heap, json, &error);
    return error == NULL ? rg_return(call, v) : fail_lookup(call, mln_bytes_of(error));
}

static bool lookup(struct rg_call *call)
{
    const struct mln_rego_run_options *options = &call->vm->options;
    struct mln_bytes args[ARGS_MAX], answer = MLN_BYTES_NONE;
    MLN_CHECK(call->n <= ARGS_MAX);
    for (uint32_t i = 0; i < call->n; i++) {
        if (!rg_arg_string(call, i + 1, &args[i])) {
            return false;
        }
    }
    if (options->lookup == NULL) {
        return rg_fail(call, "this builtin is not available here");
    }
    switch (options->lookup(options->lookup_with, call->name, args, call->n, &answer)) {
    case MLN_REGO_FOUND:
        return found(call, answer);
    case MLN_REGO_ABSENT:
        return true;
    case MLN_REGO_FAILED:
        break;
    }
    return fail_lookup(call, answer);
}

const struct rg_builtin rg_builtins_merlon[] = {
    {"merlon.approval", lookup},
    {"merlon.evidence", lookup},
    {"merlon.model.verdict", lookup},
    {NULL, NULL},
};
