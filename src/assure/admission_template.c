/* SPDX-License-Identifier: Apache-2.0 */
/* Gatekeeper's ConstraintTemplates and constraints, read as they are; what cannot be done as it is written is refused. */
#include "assure/admission.h"

#define TARGET "admission.k8s.gatekeeper.sh"

/* ---- templates ---- */

static struct mln_err check_api(struct mln_cx *cx, const struct mln_value *v, const char *group)
{
    struct mln_bytes rest, api = mln_get_bytes(mln_get(v, "apiVersion"));
    struct mln_bytes have = mln_bytes_cut(api, '/', &rest);
    static const char *const versions[] = {"v1", "v1beta1", "v1alpha1"};
    for (size_t i = 0; mln_bytes_is(have, group) && i < MLN_COUNT(versions); i++) {
        if (mln_bytes_is(rest, versions[i])) {
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "apiVersion is not %s/v1, v1beta1 or v1alpha1", group);
}

static struct mln_err add_source(struct mln_cx *cx, struct mln_admission_template *t, const char *name, const struct mln_value *text)
{
    if (mln_type_of(text) != MLN_STRING || mln_len(text) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "template %s: %s is no text", t->name, name);
    }
    t->sources[t->n_sources++] =
        (struct mln_rego_source){.name = mln_text_format(cx, "%s/%s", t->name, name), .text = mln_get_bytes(text)};
    return mln_cx_err(cx);
}

static struct mln_err add_sources(struct mln_cx *cx, struct mln_admission_template *t, const struct mln_value *rego,
                                  const struct mln_value *libs)
{
    if (mln_len(libs) > MLN_ADMISSION_LIBS_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "template %s has more than %u libraries", t->name, MLN_ADMISSION_LIBS_MAX);
    }
    t->sources = mln_new_array(cx, mln_len(libs) + 1, sizeof(*t->sources));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(add_source(cx, t, "template.rego", rego));
    for (size_t i = 0; i < mln_len(libs); i++) {
        MLN_TRY(add_source(cx, t, mln_text_format(cx, "lib%zu.rego", i), mln_item(libs, i)));
    }
    return MLN_OK;
}

/* targets[].code: [{engine: Rego, source: {version: v1, rego, libs}}]; others of its engines are not run. */
static struct mln_err read_code(struct mln_cx *cx, struct mln_admission_template *t, const struct mln_value *code)
{
    for (size_t i = 0; i < mln_len(code); i++) {
        const struct mln_value *one = mln_item(code, i), *source = mln_get(one, "source");
        if (mln_is_text(mln_get(one, "engine"), "Rego")) {
            t->is_v0 = !mln_is_text(mln_get(source, "version"), "v1");
            return add_sources(cx, t, mln_get(source, "rego"), mln_get(source, "libs"));
        }
    }
    return mln_fail(cx, MLN_E_UNSUPPORTED, "template %s has no code in Rego: other engines are not run here", t->name);
}

static struct mln_err read_target(struct mln_cx *cx, struct mln_admission_template *t, const struct mln_value *targets)
{
    const struct mln_value *target = mln_item(targets, 0);
    if (mln_type_of(targets) != MLN_ARRAY || mln_len(targets) != 1) {
        return mln_fail(cx, MLN_E_INVALID, "template %s: spec.targets is no list of one", t->name);
    }
    if (!mln_is_text(mln_get(target, "target"), TARGET)) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "template %s: its target is not " TARGET, t->name);
    }
    t->is_v0 = true;
    return mln_get(target, "code") != NULL && mln_get(target, "rego") == NULL
               ? read_code(cx, t, mln_get(target, "code"))
               : add_sources(cx, t, mln_get(target, "rego"), mln_get(target, "libs"));
}

struct mln_err mln_admission_template(struct mln_cx *cx, const struct mln_value *v, struct mln_admission_template *ret)
{
    const struct mln_value *spec = mln_get(v, "spec");
    const struct mln_value *names = mln_get(mln_get(mln_get(mln_get(spec, "crd"), "spec"), "names"), "kind");
    struct mln_admission_template t = {.name = mln_get_text(cx, mln_get(mln_get(v, "metadata"), "name"), ""),
                                       .kind = mln_get_text(cx, names, "")};
    if (!mln_is_text(mln_get(v, "kind"), "ConstraintTemplate")) {
        return mln_fail(cx, MLN_E_INVALID, "this is no ConstraintTemplate");
    }
    MLN_TRY(check_api(cx, v, "templates.gatekeeper.sh"));
    if (t.name[0] == '\0' || t.kind[0] == '\0' || !mln_bytes_is_nocase(mln_bytes_of(t.kind), t.name)) {
        return mln_fail(cx, MLN_E_INVALID, "metadata.name is not spec.crd.spec.names.kind in lower case");
    }
    MLN_TRY(read_target(cx, &t, mln_get(spec, "targets")));
    *ret = t;
    return MLN_OK;
}

/* ---- constraints ---- */

enum shape { TEXT, TEXTS, OBJECTS, SELECTOR };
static const struct {
    const char *key;
    enum shape shape;
} match_keys[] = {
    {"kinds", OBJECTS},          {"namespaces", TEXTS},           {"excludedNamespaces", TEXTS}, {"labelSelector", SELECTOR},
    {"namespaceSelector", SELECTOR}, {"scope", TEXT},             {"name", TEXT},                {"source", TEXT},
};

static bool all_are(const struct mln_value *list, enum mln_type type)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_type_of(mln_item(list, i)) != type) {
            return false;
        }
    }
    return mln_type_of(list) == MLN_ARRAY;
}

static bool is_selector(const struct mln_value *v)
{
    static const char *const operators[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    const struct mln_value *labels = mln_get(v, "matchLabels"), *expressions = mln_get(v, "matchExpressions");
    size_t n = (labels != NULL ? 1u : 0u) + (expressions != NULL ? 1u : 0u);
    bool ok = mln_type_of(v) == MLN_OBJECT && n == mln_len(v) && (labels == NULL || mln_type_of(labels) == MLN_OBJECT) &&
              (expressions == NULL || all_are(expressions, MLN_OBJECT));
    for (size_t i = 0; ok && i < mln_len(expressions); i++) {
        const struct mln_value *e = mln_item(expressions, i);
        bool is_known = false;
        for (size_t k = 0; k < MLN_COUNT(operators); k++) {
            is_known = is_known || mln_is_text(mln_get(e, "operator"), operators[k]);
        }
        bool needs_values = mln_is_text(mln_get(e, "operator"), "In") || mln_is_text(mln_get(e, "operator"), "NotIn");
        ok = is_known && mln_len(mln_get(e, "key")) > 0 && (!needs_values || mln_len(mln_get(e, "values")) > 0);
    }
    return ok;
}

static bool has_shape(const struct mln_value *v, enum shape shape)
{
    switch (shape) {
    case TEXT:
        return mln_type_of(v) == MLN_STRING;
    case TEXTS:
        return all_are(v, MLN_STRING);
    case OBJECTS:
        return all_are(v, MLN_OBJECT);
    case SELECTOR:
        break;
    }
    return is_selector(v);
}

/* A condition that is not understood would make a rule silently wider or narrower: it is refused. */
static struct mln_err check_match(struct mln_cx *cx, const struct mln_value *match)
{
    if (match != NULL && mln_type_of(match) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "constraint: spec.match is no object");
    }
    for (size_t i = 0; i < mln_len(match); i++) {
        const struct mln_member *m = mln_member_at(match, i);
        size_t k = 0;
        while (k < MLN_COUNT(match_keys) && !mln_bytes_is(m->key, match_keys[k].key)) {
            k++;
        }
        if (k == MLN_COUNT(match_keys)) {
            return mln_fail(cx, MLN_E_UNSUPPORTED, "constraint: spec.match.%.*s is not known here", MLN_FMT(m->key));
        }
        if (!has_shape(&m->value, match_keys[k].shape)) {
            return mln_fail(cx, MLN_E_INVALID, "constraint: spec.match.%s is malformed", match_keys[k].key);
        }
    }
    if (mln_is_text(mln_get(match, "source"), "Generated")) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "constraint: spec.match.source Generated: resources are not expanded here");
    }
    const struct mln_value *scope = mln_get(match, "scope");
    bool ok = scope == NULL || mln_is_text(scope, "*") || mln_is_text(scope, "Cluster") || mln_is_text(scope, "Namespaced");
    return ok ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "constraint: spec.match.scope is none of *, Cluster, Namespaced");
}

static const char *word_of(const struct mln_value *action)
{
    static const char *const all[] = {"deny", "warn", "dryrun"};
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        if (mln_is_text(action, all[i])) {
            return all[i];
        }
    }
    return NULL;
}

static bool is_for_webhook(const struct mln_value *points)
{
    for (size_t i = 0; i < mln_len(points); i++) {
        const struct mln_value *name = mln_get(mln_item(points, i), "name");
        if (mln_is_text(name, "*") || mln_is_text(name, "validation.gatekeeper.sh")) {
            return true;
        }
    }
    return false;
}

/* Of several for the webhook the strictest. */
static const char *scoped_action(const struct mln_value *scoped)
{
    static const char *const order[] = {"deny", "warn", "dryrun"};
    for (size_t k = 0; k < MLN_COUNT(order); k++) {
        for (size_t i = 0; i < mln_len(scoped); i++) {
            const struct mln_value *one = mln_item(scoped, i);
            if (mln_is_text(mln_get(one, "action"), order[k]) && is_for_webhook(mln_get(one, "enforcementPoints"))) {
                return order[k];
            }
        }
    }
    return NULL;
}

const char *mln_admission_action(const struct mln_value *constraint)
{
    const struct mln_value *spec = mln_get(constraint, "spec"), *action = mln_get(spec, "enforcementAction");
    return action == NULL                 ? "deny"
           : mln_is_text(action, "scoped") ? scoped_action(mln_get(spec, "scopedEnforcementActions"))
                                          : word_of(action);
}

struct mln_err mln_admission_constraint(struct mln_cx *cx, const struct mln_value *v)
{
    const struct mln_value *spec = mln_get(v, "spec"), *action = mln_get(spec, "enforcementAction");
    if (mln_type_of(v) != MLN_OBJECT || mln_len(mln_get(v, "kind")) == 0 ||
        mln_len(mln_get(mln_get(v, "metadata"), "name")) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "this is no constraint: kind or metadata.name is missing");
    }
    MLN_TRY(check_api(cx, v, "constraints.gatekeeper.sh"));
    if (spec != NULL && mln_type_of(spec) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "constraint: spec is no object");
    }
    if (action != NULL && !mln_is_text(action, "scoped") && word_of(action) == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "constraint: spec.enforcementAction is none of deny, warn, dryrun, scoped");
    }
    return check_match(cx, mln_get(spec, "match"));
}
