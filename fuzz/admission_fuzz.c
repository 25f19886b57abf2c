/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_admission_read, mln_admission_template, mln_admission_constraint, mln_admission_match, mln_admission_judge,
 * mln_admission_answer, over {"review", "template", "constraint", "namespace"}. What answers, answers the uid that was asked, and twice
 * the same.
 */
#include "fuzz.h"

#include "assure/admission.h"
#include "base/json.h"

static const char policy[] = "package merlon.admission.fuzz\nimport rego.v1\n"
                             "deny contains input.request.object.metadata.name if input.request.operation == \"DELETE\"\n"
                             "warn contains c.image if some c in input.request.object.spec.containers\n"
                             "annotations[\"a\"] := input.request.name\n"
                             "patch contains {\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": input.request.object.metadata}\n";
static const char *const heads[] = {"deny", "warn", "annotations*", "patch", NULL};

static struct mln_rules *make(struct mln_cx *cx, const struct mln_rego_source *sources, size_t n, const char *prefix,
                              const char *const *names, bool is_v0)
{
    struct mln_rules *rules = NULL;
    struct mln_rules_options o = {.modules = sources, .n_modules = n, .prefix = prefix, .heads = names, .is_v0 = is_v0};
    bool ok = !mln_failed(mln_rules_new(cx, &o, &rules));
    mln_cx_clear(cx);
    return ok ? rules : NULL;
}

static void review(struct mln_cx *cx, const struct mln_admission_judge *j, const struct mln_value *doc, bool is_mutating)
{
    struct mln_admission_review r;
    struct mln_value *first = NULL, *second = NULL;
    const struct mln_value *answer = NULL;
    bool fits = false;
    if (mln_failed(mln_admission_read(cx, mln_get(doc, "review"), &r))) {
        mln_cx_clear(cx);
        return;
    }
    (void)mln_failed(mln_admission_match(cx, mln_get(mln_get(mln_get(doc, "constraint"), "spec"), "match"), &r, r.object,
                                         mln_get(doc, "namespace"), &fits));
    mln_cx_clear(cx);
    if (!mln_failed(mln_admission_judge(cx, j, &r, is_mutating, &first)) &&
        !mln_failed(mln_admission_judge(cx, j, &r, is_mutating, &second))) {
        MLN_CHECK(mln_value_eq(first, second));
        if (!mln_failed(mln_admission_answer(cx, &r, first, &answer))) {
            MLN_CHECK(mln_bytes_eq(mln_get_bytes(mln_get(mln_get(answer, "response"), "uid")), r.uid));
        }
    }
    mln_cx_clear(cx);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    const struct mln_value *doc = NULL;
    struct mln_rego_source source = {.name = "fuzz.rego", .text = mln_bytes_of(policy)};
    static const char *const violation[] = {"violation", NULL};
    mln_cx_init(&cx, arena);
    if (size <= 65536 && !mln_failed(mln_json_parse(&cx, mln_bytes_at(data, size), &doc))) {
        struct mln_admission_template t = {0};
        struct mln_admission_checked checked = {0};
        struct mln_value *constraints = mln_array(&cx);
        if (!mln_failed(mln_admission_template(&cx, mln_get(doc, "template"), &t))) {
            checked = (struct mln_admission_checked){.kind = t.kind,
                                                     .rules = make(&cx, t.sources, t.n_sources, "data", violation, t.is_v0)};
        }
        mln_cx_clear(&cx);
        if (!mln_failed(mln_admission_constraint(&cx, mln_get(doc, "constraint")))) {
            mln_push(&cx, constraints, mln_get(doc, "constraint"));
        }
        mln_cx_clear(&cx);
        struct mln_admission_judge j = {.templates = &checked, .n_templates = checked.rules != NULL, .constraints = constraints,
                                        .now_ns = 1, .budget = {.steps_max = 20000, .memory_max = (size_t)16 << 20}};
        j.validate = j.mutate = make(&cx, &source, 1, MLN_ADMISSION_PREFIX, heads, false);
        review(&cx, &j, doc, false);
        review(&cx, &j, doc, true);
        mln_rules_free(checked.rules);
        mln_rules_free(j.validate);
    }
    mln_arena_free(arena);
    return 0;
}
