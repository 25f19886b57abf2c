/* SPDX-License-Identifier: Apache-2.0 */
/* What policies and constraints say of a review. */
#include "assure/admission.h"

#include "base/clock.h"

struct judging {
    struct mln_cx *cx;
    const struct mln_admission_judge *j;
    const struct mln_admission_review *r;
    int64_t end_ns;
    struct mln_value *denied, *warned, *dryrun, *patch, *annotations;
};

/* ---- policies ---- */

static struct mln_err ask(const struct judging *g, struct mln_rules *rules, const struct mln_value *input, const struct mln_value **ret)
{
    int64_t left_ns = g->end_ns - mln_mono_ns();
    struct mln_rules_question q = {.input = input, .data = g->j->data, .budget = g->j->budget, .now_ns = g->j->now_ns,
                                   .lookup = g->j->lookup, .lookup_with = g->j->lookup_with};
    if (left_ns <= 0) {
        return mln_fail(g->cx, MLN_E_TIMEOUT, "the time for one review is used up");
    }
    q.budget.time_ns = (uint64_t)left_ns;
    MLN_TRY(mln_rules_ask(rules, g->cx, &q, ret));
    if (g->j->heard != NULL) {
        g->j->heard(g->j->heard_with, rules, input, *ret);
    }
    return MLN_OK;
}

static void add_message(const struct judging *g, struct mln_value *list, const struct mln_value *policy, const struct mln_value *m)
{
    struct mln_value *one = mln_object(g->cx);
    mln_put(g->cx, one, "policy", policy);
    mln_put(g->cx, one, "msg", mln_get(m, "msg"));
    if (mln_get(m, "details") != NULL) {
        mln_put(g->cx, one, "details", mln_get(m, "details"));
    }
    mln_push(g->cx, list, one);
}

static struct mln_err take_messages(const struct judging *g, const struct mln_value *said, const char *head, struct mln_value *list)
{
    const struct mln_value *messages = NULL;
    MLN_TRY(mln_rules_messages(g->cx, said, head, &messages));
    for (size_t i = 0; i < mln_len(messages); i++) {
        add_message(g, list, mln_get(mln_item(messages, i), "package"), mln_item(messages, i));
    }
    return mln_cx_err(g->cx);
}

/* {"key": "text"} of rule `annotations`, as "policy.key": keys of two policies do not meet. */
static void take_annotations(const struct judging *g, const struct mln_value *said)
{
    for (size_t i = 0; i < mln_len(said); i++) {
        const struct mln_value *one = mln_item(said, i), *v = mln_get(one, "value");
        for (size_t k = 0; mln_is_text(mln_get(one, "rule"), "annotations") && mln_type_of(v) == MLN_OBJECT && k < mln_len(v); k++) {
            const struct mln_member *m = mln_member_at(v, k);
            struct mln_bytes key =
                mln_bytes_format(g->cx, "%.*s.%.*s", MLN_FMT(mln_get_bytes(mln_get(one, "package"))), MLN_FMT(m->key));
            if (mln_type_of(&m->value) == MLN_STRING) {
                mln_put_key(g->cx, g->annotations, key, &m->value);
            }
        }
    }
}

static struct mln_err judge_policies(const struct judging *g)
{
    const struct mln_value *said = NULL;
    if (g->j->validate == NULL || mln_rules_count(g->j->validate) == 0) {
        return MLN_OK;
    }
    MLN_TRY(ask(g, g->j->validate, g->r->review, &said));
    take_annotations(g, said);
    MLN_TRY(take_messages(g, said, "deny", g->denied));
    MLN_TRY(take_messages(g, said, "violation", g->denied));
    return take_messages(g, said, "warn", g->warned);
}

/* ---- patches (RFC 6902) ---- */

static struct mln_err check_operation(const struct judging *g, const struct mln_value *policy, const struct mln_value *op)
{
    static const struct {
        const char *op;
        bool needs_value, needs_from;
    } all[] = {{"add", true, false},  {"replace", true, false}, {"remove", false, false},
               {"test", true, false}, {"move", false, true},    {"copy", false, true}};
    struct mln_bytes path = mln_get_bytes(mln_get(op, "path"));
    for (size_t i = 0; i < MLN_COUNT(all); i++) {
        bool is_pointer = path.len == 0 || path.ptr[0] == '/';
        if (mln_is_text(mln_get(op, "op"), all[i].op) && mln_type_of(mln_get(op, "path")) == MLN_STRING && is_pointer &&
            (!all[i].needs_value || mln_get(op, "value") != NULL) &&
            (!all[i].needs_from || mln_type_of(mln_get(op, "from")) == MLN_STRING)) {
            return MLN_OK;
        }
    }
    return mln_fail(g->cx, MLN_E_INVALID, "policy %.*s: patch is no operation of a JSON patch", MLN_FMT(mln_get_bytes(policy)));
}

static struct mln_err take_patch(const struct judging *g, const struct mln_value *policy, const struct mln_value *v)
{
    if (mln_type_of(v) != MLN_ARRAY && mln_type_of(v) != MLN_SET) {
        return mln_fail(g->cx, MLN_E_INVALID, "policy %.*s: patch is no list of operations", MLN_FMT(mln_get_bytes(policy)));
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_value *item = mln_item(v, i);
        if (mln_type_of(item) == MLN_ARRAY) { /* a set of lists: each in its order */
            for (size_t k = 0; k < mln_len(item); k++) {
                MLN_TRY(check_operation(g, policy, mln_item(item, k)));
                mln_push(g->cx, g->patch, mln_item(item, k));
            }
            continue;
        }
        MLN_TRY(check_operation(g, policy, item));
        mln_push(g->cx, g->patch, item);
    }
    return mln_len(g->patch) <= MLN_ADMISSION_PATCH_MAX
               ? mln_cx_err(g->cx)
               : mln_fail(g->cx, MLN_E_LIMIT, "more than %u operations in one patch", MLN_ADMISSION_PATCH_MAX);
}

static struct mln_err judge_patches(const struct judging *g)
{
    const struct mln_value *said = NULL;
    if (g->j->mutate == NULL || mln_rules_count(g->j->mutate) == 0) {
        return MLN_OK;
    }
    MLN_TRY(ask(g, g->j->mutate, g->r->review, &said));
    take_annotations(g, said);
    for (size_t i = 0; i < mln_len(said); i++) {
        const struct mln_value *one = mln_item(said, i);
        if (mln_is_text(mln_get(one, "rule"), "patch")) {
            MLN_TRY(take_patch(g, mln_get(one, "package"), mln_get(one, "value")));
        }
    }
    return MLN_OK;
}

/* ---- constraints ---- */

static const struct mln_value *namespace_of(const struct judging *g)
{
    const struct mln_value *all = mln_get(mln_get(mln_get(g->j->inventory, "cluster"), "v1"), "Namespace");
    return g->r->ns.len > 0 ? mln_get_key(all, g->r->ns) : NULL;
}

/* Either the new or the old object: a change must not slip out of a rule by leaving what the rule is about. */
static struct mln_err is_covered(const struct judging *g, const struct mln_value *match, const struct mln_value *ns, bool *ret)
{
    const struct mln_value *object = g->r->object != NULL ? g->r->object : g->r->old_object;
    MLN_TRY(mln_admission_match(g->cx, match, g->r, object, ns, ret));
    bool has_both = g->r->object != NULL && g->r->old_object != NULL;
    return *ret || !has_both ? MLN_OK : mln_admission_match(g->cx, match, g->r, g->r->old_object, ns, ret);
}

/* As Gatekeeper gives it: of a DELETE the old object stands in the object's place too. */
static const struct mln_value *review_of(const struct judging *g, const struct mln_value *ns)
{
    struct mln_value *review = mln_value_dup(g->cx, g->r->request);
    if (g->r->object == NULL && g->r->old_object != NULL) {
        mln_put(g->cx, review, "object", g->r->old_object);
    }
    if (ns != NULL) {
        mln_put(g->cx, review, "namespaceObject", ns);
    }
    return review;
}

static struct mln_rules *rules_of(const struct mln_admission_judge *j, const struct mln_value *constraint)
{
    for (size_t i = 0; i < j->n_templates; i++) {
        if (mln_is_text(mln_get(constraint, "kind"), j->templates[i].kind)) {
            return j->templates[i].rules;
        }
    }
    return NULL;
}

static struct mln_err judge_constraint(const struct judging *g, const struct mln_value *c, const struct mln_value *review,
                                       const char *action)
{
    struct mln_cx *cx = g->cx;
    const struct mln_value *parameters = mln_get(mln_get(c, "spec"), "parameters"), *said = NULL, *messages = NULL;
    struct mln_rules *rules = rules_of(g->j, c);
    struct mln_value *input = mln_object(cx);
    const struct mln_value *name = mln_get(mln_get(c, "metadata"), "name");
    if (rules == NULL) {
        return mln_fail(cx, MLN_E_PRECONDITION, "constraint %.*s has no template", MLN_FMT(mln_get_bytes(name)));
    }
    mln_put(cx, input, "review", review);
    mln_put(cx, input, "parameters", parameters != NULL ? parameters : mln_object(cx));
    MLN_TRY(ask(g, rules, input, &said));
    MLN_TRY(mln_rules_messages(cx, said, "violation", &messages));
    struct mln_value *list = mln_bytes_is(mln_bytes_of(action), "deny")   ? g->denied
                             : mln_bytes_is(mln_bytes_of(action), "warn") ? g->warned
                                                                          : g->dryrun;
    for (size_t i = 0; i < mln_len(messages); i++) {
        add_message(g, list, name, mln_item(messages, i));
    }
    return mln_cx_err(cx);
}

static struct mln_err judge_constraints(const struct judging *g)
{
    const struct mln_value *ns = namespace_of(g), *review = NULL;
    for (size_t i = 0; i < mln_len(g->j->constraints); i++) {
        const struct mln_value *c = mln_item(g->j->constraints, i);
        const char *action = mln_admission_action(c);
        bool fits = false;
        if (action == NULL) {
            continue;
        }
        MLN_TRY(is_covered(g, mln_get(mln_get(c, "spec"), "match"), ns, &fits));
        if (fits) {
            review = review != NULL ? review : review_of(g, ns);
            MLN_TRY(judge_constraint(g, c, review, action));
        }
    }
    return MLN_OK;
}

struct mln_err mln_admission_judge(struct mln_cx *cx, const struct mln_admission_judge *j, const struct mln_admission_review *r,
                                   bool is_mutating, struct mln_value **ret)
{
    uint64_t time_ns = j->budget.time_ns != 0 ? j->budget.time_ns : MLN_RULES_TIME_NS;
    struct judging g = {.cx = cx, .j = j, .r = r, .end_ns = mln_mono_ns() + (int64_t)time_ns, .denied = mln_array(cx),
                        .warned = mln_array(cx), .dryrun = mln_array(cx), .patch = mln_array(cx), .annotations = mln_object(cx)};
    struct mln_value *v = mln_object(cx);
    if (is_mutating) {
        MLN_TRY(judge_patches(&g));
    } else {
        MLN_TRY(judge_policies(&g));
        MLN_TRY(judge_constraints(&g));
    }
    mln_put_bool(cx, v, "allowed", mln_len(g.denied) == 0);
    mln_put(cx, v, "denied", g.denied);
    mln_put(cx, v, "warned", g.warned);
    mln_put(cx, v, "dryrun", g.dryrun);
    mln_put(cx, v, "patch", g.patch);
    mln_put(cx, v, "annotations", g.annotations);
    MLN_TRY(mln_cx_err(cx));
    *ret = v;
    return MLN_OK;
}
