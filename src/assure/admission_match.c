/* SPDX-License-Identifier: Apache-2.0 */
/* spec.match of Gatekeeper's constraints: kinds, namespaces, selectors, scope, name. */
#include "assure/admission.h"

struct match {
    struct mln_cx *cx;
    const struct mln_value *match, *object, *ns;
    const struct mln_admission_review *r;
};

static bool has_text(const struct mln_value *list, struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes item = mln_get_bytes(mln_item(list, i));
        if (mln_bytes_is(item, "*") || mln_bytes_eq(item, text)) {
            return true;
        }
    }
    return mln_len(list) == 0;
}

static bool fits_kinds(const struct match *m)
{
    const struct mln_value *kinds = mln_get(m->match, "kinds");
    for (size_t i = 0; i < mln_len(kinds); i++) {
        const struct mln_value *one = mln_item(kinds, i);
        if (has_text(mln_get(one, "kinds"), m->r->kind) && has_text(mln_get(one, "apiGroups"), m->r->group)) {
            return true;
        }
    }
    return mln_len(kinds) == 0;
}

static bool is_namespace(const struct match *m)
{
    return m->r->group.len == 0 && mln_bytes_is(m->r->kind, "Namespace");
}

static struct mln_bytes meta(const struct match *m, const char *key)
{
    return mln_get_bytes(mln_get(mln_get(m->object, "metadata"), key));
}

/* Where it is: a Namespace is in itself; nothing for what is in none. */
static struct mln_bytes place_of(const struct match *m)
{
    if (is_namespace(m)) {
        struct mln_bytes name = meta(m, "name");
        return name.len > 0 ? name : m->r->name;
    }
    return m->r->ns.len > 0 ? m->r->ns : meta(m, "namespace");
}

static bool fits_scope(const struct match *m)
{
    const struct mln_value *scope = mln_get(m->match, "scope");
    bool is_cluster = is_namespace(m) || place_of(m).len == 0;
    return mln_is_text(scope, "Cluster") ? is_cluster : mln_is_text(scope, "Namespaced") ? !is_cluster : true;
}

static bool is_named(const struct mln_value *patterns, struct mln_bytes name)
{
    for (size_t i = 0; i < mln_len(patterns); i++) {
        if (mln_bytes_glob(mln_get_bytes(mln_item(patterns, i)), name)) {
            return true;
        }
    }
    return false;
}

/* What is in no namespace is neither chosen nor left out by one. */
static bool fits_namespaces(const struct match *m)
{
    const struct mln_value *in = mln_get(m->match, "namespaces"), *out = mln_get(m->match, "excludedNamespaces");
    struct mln_bytes place = place_of(m);
    return place.len == 0 || ((mln_len(in) == 0 || is_named(in, place)) && !is_named(out, place));
}

static bool fits_expression(const struct mln_value *e, const struct mln_value *labels)
{
    const struct mln_value *op = mln_get(e, "operator"), *values = mln_get(e, "values");
    const struct mln_value *label = mln_get_key(labels, mln_get_bytes(mln_get(e, "key")));
    bool is_in = false;
    for (size_t i = 0; label != NULL && i < mln_len(values); i++) {
        is_in = is_in || mln_bytes_eq(mln_get_bytes(mln_item(values, i)), mln_get_bytes(label));
    }
    return mln_is_text(op, "In")             ? is_in
           : mln_is_text(op, "NotIn")        ? !is_in
           : mln_is_text(op, "Exists")       ? label != NULL
           : mln_is_text(op, "DoesNotExist") ? label == NULL
                                             : false;
}

static bool fits_selector(const struct mln_value *selector, const struct mln_value *labels)
{
    const struct mln_value *all = mln_get(selector, "matchLabels"), *expressions = mln_get(selector, "matchExpressions");
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_member *want = mln_member_at(all, i);
        const struct mln_value *have = mln_get_key(labels, want->key);
        if (have == NULL || !mln_bytes_eq(mln_get_bytes(have), mln_get_bytes(&want->value))) {
            return false;
        }
    }
    for (size_t i = 0; i < mln_len(expressions); i++) {
        if (!fits_expression(mln_item(expressions, i), labels)) {
            return false;
        }
    }
    return true;
}

static struct mln_err fits_namespace_selector(const struct match *m, bool *ret)
{
    const struct mln_value *selector = mln_get(m->match, "namespaceSelector");
    struct mln_bytes place = place_of(m);
    *ret = true;
    if (selector == NULL || place.len == 0) {
        return MLN_OK;
    }
    const struct mln_value *whose = is_namespace(m) ? m->object : m->ns;
    if (whose == NULL) {
        return mln_fail(m->cx, MLN_E_PRECONDITION,
                        "a constraint has a namespaceSelector, and namespace %.*s is not in the inventory", MLN_FMT(place));
    }
    *ret = fits_selector(selector, mln_get(mln_get(whose, "metadata"), "labels"));
    return MLN_OK;
}

struct mln_err mln_admission_match(struct mln_cx *cx, const struct mln_value *match, const struct mln_admission_review *r,
                                   const struct mln_value *object, const struct mln_value *ns, bool *ret)
{
    struct match m = {.cx = cx, .match = match, .object = object, .ns = ns, .r = r};
    const struct mln_value *labels = mln_get(match, "labelSelector");
    struct mln_bytes pattern = mln_get_bytes(mln_get(match, "name")), name = meta(&m, "name");
    name = name.len > 0 ? name : r->name;
    bool fits = fits_kinds(&m) && fits_scope(&m) && fits_namespaces(&m) &&
                (labels == NULL || fits_selector(labels, mln_get(mln_get(object, "metadata"), "labels"))) &&
                (pattern.len == 0 || mln_bytes_glob(pattern, name));
    if (!fits) {
        *ret = false;
        return MLN_OK;
    }
    return fits_namespace_selector(&m, ret);
}
