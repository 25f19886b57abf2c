/* SPDX-License-Identifier: Apache-2.0 */
/* json.verify_schema, json.match_schema. */
#include "rego/schema_priv.h"

/* A document or schema: JSON text, or a value. False with *ret_why in OPA's words. */
static bool read(struct rg_call *call, struct rg_val arg, struct rg_val *ret, const char **ret_why)
{
    const char *why = NULL;
    *ret = arg;
    if (arg.tag == RG_STR) {
        *ret = rg_json_parse(call->heap, rg_bytes(arg), &why);
        *ret_why = "invalid JSON string";
        return ret->tag != RG_UNDEF;
    }
    *ret_why = "wrong type, expected string or object";
    return arg.tag == RG_OBJECT || arg.tag == RG_ARRAY;
}

static bool verify(struct rg_call *call)
{
    struct rg_schema s = {.heap = call->heap, .vm = call->vm};
    struct rg_val schema, out = rg_array(call->heap, 2);
    const char *why = NULL;
    bool ok = read(call, call->args[0], &schema, &why) && rg_schema_check(&s, schema);
    why = s.error != NULL ? s.error : why;
    rg_push(call->heap, out, rg_bool(ok));
    rg_push(call->heap, out,
            ok ? rg_null()
               : rg_text(call->heap, rg_text_format(call->heap, "jsonschema: %s", why)));
    return rg_return(call, out);
}

static bool match(struct rg_call *call)
{
    struct rg_schema s = {.heap = call->heap, .vm = call->vm};
    struct rg_val document, schema, out = rg_array(call->heap, 2);
    const char *why = NULL;
    if (!read(call, call->args[0], &document, &why) || !read(call, call->args[1], &schema, &why)) {
        return rg_fail(call, "%s", why);
    }
    if (!rg_schema_check(&s, schema)) {
        return rg_fail(call, "%s", s.error == NULL ? "the budget is used up" : s.error);
    }
    struct rg_val errors = rg_schema_match(&s, document);
    if (errors.tag == RG_UNDEF) {
        return rg_fail(call, "%s", s.error == NULL ? "the budget is used up" : s.error);
    }
    rg_push(call->heap, out, rg_bool(errors.arr->len == 0));
    rg_push(call->heap, out, errors);
    return rg_return(call, out);
}

const struct rg_builtin rg_builtins_schema[] = {
    {"json.verify_schema", verify}, {"json.match_schema", match}, {NULL, NULL}};
