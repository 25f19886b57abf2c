/* SPDX-License-Identifier: Apache-2.0 */
/* What this engine has, in the form of OPA's capabilities.json; and policies held to what another engine has. */
#include "rego/rego_priv.h"

#include "rego/type_priv.h"

static struct rg_val type_value(struct rg_heap *heap, const struct rg_type *t);

static struct rg_val types_value(struct rg_heap *heap, const struct rg_type *t)
{
    struct rg_val out = rg_array(heap, t->n);
    for (uint32_t i = 0; i < t->n; i++) {
        rg_push(heap, out, type_value(heap, t->items[i]));
    }
    return out;
}

static void put_object(struct rg_heap *heap, struct rg_val out, const struct rg_type *t)
{
    if (t->n > 0) {
        struct rg_val fixed = rg_array(heap, t->n);
        for (uint32_t i = 0; i < t->n; i++) {
            struct rg_val one = rg_object(heap, 2);
            rg_put_text(heap, one, "key", t->keys[i]);
            rg_put_text(heap, one, "value", type_value(heap, t->items[i]));
            rg_push(heap, fixed, one);
        }
        rg_put_text(heap, out, "static", fixed);
    }
    if (t->key != NULL) {
        struct rg_val dynamic = rg_object(heap, 2);
        rg_put_text(heap, dynamic, "key", type_value(heap, t->key));
        rg_put_text(heap, dynamic, "value", type_value(heap, t->rest));
        rg_put_text(heap, out, "dynamic", dynamic);
    }
}

static struct rg_val type_value(struct rg_heap *heap, const struct rg_type *t)
{
    static const char *const names[] = {"null", "boolean", "number", "string", "array", "object", "set", "any", "function"};
    struct rg_val out = rg_object(heap, 3);
    rg_put_text(heap, out, "type", rg_text(heap, names[t->kind]));
    if (t->kind == RG_Y_OBJECT) {
        put_object(heap, out, t);
    } else if (t->n > 0) {
        rg_put_text(heap, out, t->kind == RG_Y_ANY ? "of" : t->kind == RG_Y_ARRAY ? "static" : "args", types_value(heap, t));
    }
    if (t->kind != RG_Y_OBJECT && t->rest != NULL) {
        const char *name = t->kind == RG_Y_SET ? "of" : t->kind == RG_Y_ARRAY ? "dynamic" : "result";
        rg_put_text(heap, out, name, type_value(heap, t->rest));
    }
    if (t->is_variadic) {
        rg_put_text(heap, out, "variadic", type_value(heap, &rg_type_any));
    }
    return out;
}

static struct rg_val names_value(struct rg_heap *heap, const char *const *names, size_t n)
{
    struct rg_val out = rg_array(heap, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        rg_push(heap, out, rg_text(heap, names[i]));
    }
    return out;
}

static struct rg_val builtin_value(struct rg_heap *heap, const struct rg_decl *d)
{
    struct rg_val one = rg_object(heap, 5);
    rg_put_text(heap, one, "name", rg_text(heap, d->name));
    rg_put_text(heap, one, "decl", type_value(heap, rg_type_of_decl(heap, d)));
    if (d->infix[0] != '\0') {
        rg_put_text(heap, one, "infix", rg_text(heap, d->infix));
    }
    if ((d->flags & RG_RELATION) != 0) {
        rg_put_text(heap, one, "relation", rg_bool(true));
    }
    if ((d->flags & RG_NONDETERMINISTIC) != 0) {
        rg_put_text(heap, one, "nondeterministic", rg_bool(true));
    }
    if ((d->flags & RG_DEPRECATED) != 0) {
        rg_put_text(heap, one, "deprecated", rg_bool(true));
    }
    return one;
}

bool mln_rego_capabilities_print(struct mln_buf *buf)
{
    static const char *const words[] = {"and", "not", "or"};
    static const char *const features[] = {"keywords_in_refs", "rego_v1", "template_strings"};
    struct rg_heap *heap = rg_heap_new(0);
    if (heap == NULL) {
        return false;
    }
    struct rg_val out = rg_object(heap, 3), list = rg_array(heap, 256);
    for (size_t i = 0; rg_decl_at(i) != NULL; i++) {
        if (rg_builtin_find(rg_decl_at(i)->name) != NULL || rg_decl_at(i)->infix[0] != '\0') {
            rg_push(heap, list, builtin_value(heap, rg_decl_at(i)));
        }
    }
    rg_put_text(heap, out, "builtins", list);
    rg_put_text(heap, out, "future_keywords", names_value(heap, words, MLN_COUNT(words)));
    rg_put_text(heap, out, "features", names_value(heap, features, MLN_COUNT(features)));
    rg_print_json(buf, out);
    rg_heap_free(heap);
    return !buf->has_failed;
}

/* A list of builtins {"builtins": [{"name": ..}, ..]}: calls of others are errors. */
struct mln_err mln_rego_restrict(struct mln_rego *rego, struct mln_cx *cx, struct mln_bytes json)
{
    struct rg_policy *p = &rego->policy;
    const char *error = NULL;
    MLN_CHECK(!p->is_compiled);
    struct rg_val v = rg_json_parse(p->heap, json, &error), list = RG_NONE;
    if (error == NULL && v.tag == RG_OBJECT) {
        list = rg_get_text(v, "builtins");
    }
    if (list.tag != RG_ARRAY) {
        return mln_fail(cx, MLN_E_PARSE, "rego: capabilities: %s",
                        error != NULL ? error : "an object with a list \"builtins\" is expected");
    }
    size_t n = 0;
    while (rg_decl_at(n) != NULL) {
        n++;
    }
    p->allowed = rg_new(p->heap, n);
    mln_fill(p->allowed, 0, n);
    for (uint32_t i = 0; i < list.arr->len; i++) {
        struct rg_val item = list.arr->items[i], name = item.tag == RG_OBJECT ? rg_get_text(item, "name") : RG_NONE;
        const struct rg_decl *d = name.tag == RG_STR ? rg_decl_find(rg_bytes(name)) : NULL;
        if (d != NULL) {
            p->allowed[d - rg_decl_at(0)] = true;
        }
    }
    return MLN_OK;
}

struct mln_err mln_rego_schema(struct mln_rego *rego, struct mln_cx *cx, const char *name, struct mln_bytes json)
{
    struct rg_policy *p = &rego->policy;
    const char *error = NULL;
    MLN_CHECK(!p->is_compiled);
    struct rg_val v = rg_json_parse(p->heap, json, &error);
    if (error != NULL) {
        return mln_fail(cx, MLN_E_PARSE, "rego: schema %s: %s", name, error);
    }
    const struct rg_type *type = rg_type_of_schema(p->heap, v, &error);
    if (type == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "rego: schema %s: %s", name, error);
    }
    if (name[0] == '\0') {
        p->input_type = type;
        return MLN_OK;
    }
    struct rg_schema *s = rg_new(p->heap, sizeof(*s));
    *s = (struct rg_schema){.next = p->schemas, .name = rg_text_dup(p->heap, mln_bytes_of(name)), .type = type};
    p->schemas = s;
    return MLN_OK;
}
