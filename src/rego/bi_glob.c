/* SPDX-License-Identifier: Apache-2.0 */
/* glob.match and glob.quote_meta. */
#include "rego/builtin_priv.h"
#include "rego/glob.h"
#include "rego/regex_priv.h"

#define DELIMITERS_MAX 64u /* each is asked for every code point */

static const int glob_kind = 0;

/* null: none; []: the dot; else one code point each. */
static bool delimiters_of(struct rg_call *call, uint32_t to[DELIMITERS_MAX], uint32_t *n)
{
    struct rg_val v = call->args[1];
    if (v.tag == RG_NULL) {
        return true;
    }
    if (v.tag != RG_ARRAY) {
        return rg_fail_operand(call, 2, "must be one of {null, array} but got %s", rg_type_name(v));
    }
    if (v.arr->len > DELIMITERS_MAX) {
        return rg_fail(call, "more than %u delimiters", DELIMITERS_MAX);
    }
    for (uint32_t i = 0; i < v.arr->len; i++) {
        struct rg_val d = v.arr->items[i];
        size_t len = 0;
        if (d.tag != RG_STR) {
            return rg_fail_operand(call, 2, "must be array of strings but got array containing %s",
                                   rg_type_name(d));
        }
        to[(*n)++] = d.str->len == 0 ? 0 : rx_rune(rg_bytes(d).ptr, d.str->len, &len);
        if (d.str->len == 0 || len != d.str->len) {
            return rg_fail(call, "delimiters must be single characters");
        }
    }
    if (*n == 0) {
        to[(*n)++] = '.';
    }
    return true;
}

static struct rg_glob *glob_of(struct rg_call *call)
{
    uint32_t delimiters[DELIMITERS_MAX], n = 0;
    const char *why = NULL;
    struct mln_bytes pattern;
    if (!rg_arg_string(call, 1, &pattern)) {
        return NULL;
    }
    struct rg_val key = rg_array(call->heap, 2);
    rg_push(call->heap, key, call->args[0]);
    rg_push(call->heap, key, call->args[1]);
    struct rg_glob *g = rg_cache_get(call->vm, &glob_kind, key);
    if (g != NULL) {
        return g;
    }
    if (!delimiters_of(call, delimiters, &n)) {
        return NULL;
    }
    g = rg_glob_new(pattern, delimiters, n, &why);
    if (g == NULL) {
        (void)rg_fail(call, "%s", why);
        return NULL;
    }
    rg_cache_put(call->vm, &glob_kind, key, g, rg_glob_free);
    return g;
}

static bool match(struct rg_call *call)
{
    struct mln_bytes text;
    uint64_t steps = 1;
    struct rg_glob *g = glob_of(call);
    if (g == NULL || !rg_arg_string(call, 3, &text)) {
        return false;
    }
    if (!rg_spend(call->vm, text.len / 64 + 1)) {
        return true;
    }
    bool yes = rg_glob_match(g, text, &steps);
    (void)rg_spend(call->vm, steps / 16);
    return rg_return(call, rg_bool(yes));
}

static bool quote_meta(struct rg_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_bytes t;
    if (!rg_arg_string(call, 1, &t)) {
        return false;
    }
    for (size_t i = 0; i < t.len; i++) {
        if (mln_bytes_find(MLN_BYTES("*?\\[]{}"), t.ptr[i]) < 7) {
            mln_buf_add_byte(&out, '\\');
        }
        mln_buf_add_byte(&out, t.ptr[i]);
    }
    return rg_return(call, rg_string_buf(call->heap, &out));
}

const struct rg_builtin rg_builtins_glob[] = {
    {"glob.match", match}, {"glob.quote_meta", quote_meta}, {NULL, NULL}};
