/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fairness: point values against fairlearn's within 1e-9, intervals within sampling error,
 * verdicts, what is refused.
 */
#include "kit/kit.h"

#include <math.h>
#include <stdio.h>

#include "assure/fairness.h"
#include "base/json.h"

#define POINT_TOLERANCE 1e-9

/* ---- vectors ---- */

static const char *const tables[] = {"loans", "fair", "rare"};

/* fairlearn's name of a metric, ours where it differs. */
static const char *const same_names[][2] = {
    {"accuracy", "accuracy"},
    {"precision", "precision"},
    {"recall", "true_positive_rate"},
    {"selection_rate", "selection_rate"},
    {"true_positive_rate", "true_positive_rate"},
    {"true_negative_rate", "true_negative_rate"},
    {"false_positive_rate", "false_positive_rate"},
    {"false_negative_rate", "false_negative_rate"},
};

static const char *const same_disparities[][3] = {
    {"demographic_parity_difference", "demographic_parity", "difference"},
    {"demographic_parity_ratio", "demographic_parity", "ratio"},
    {"equalized_odds_difference", "equalized_odds", "difference"},
    {"equalized_odds_ratio", "equalized_odds", "ratio"},
    {"equal_opportunity_difference", "equal_opportunity", "difference"},
    {"equal_opportunity_ratio", "equal_opportunity", "ratio"},
};

static const struct mln_value *load_json(struct mln_cx *cx, const char *table)
{
    char path[KIT_PATH_MAX], name[64];
    const struct mln_value *v = NULL;
    snprintf(name, sizeof(name), "vectors/fair/%s.json", table);
    kit_ok(cx, mln_json_parse(cx, kit_read_file(cx, kit_test_file(path, name)), &v));
    return mln_get(v, "results");
}

static void load_csv(struct mln_cx *cx, const char *table, struct mln_csv *csv)
{
    char path[KIT_PATH_MAX], name[64];
    snprintf(name, sizeof(name), "vectors/fair/%s.csv", table);
    kit_ok(cx, mln_csv_parse(cx, kit_read_file(cx, kit_test_file(path, name)), csv));
}

static struct mln_fair_options options_for(const char *group, const char *second)
{
    struct mln_fair_options o;
    mln_fair_defaults(&o);
    o.label = MLN_BYTES("y_true");
    o.prediction = MLN_BYTES("y_pred");
    o.groups[0] = mln_bytes_of(group);
    o.groups[1] = mln_bytes_of(second);
    o.n_groups = second != NULL ? 2 : 1;
    return o;
}

static void near(const struct mln_value *got, const struct mln_value *want, double tolerance,
                 const char *what)
{
    double a = mln_get_double(got, NAN);
    double b = mln_get_double(want, NAN);
    if (!(fabs(a - b) <= tolerance)) {
        fail_msg("%s: got %.17g want %.17g", what, a, b);
    }
}

static void compare_points(const struct mln_value *got, const struct mln_value *want)
{
    for (size_t i = 0; i < MLN_COUNT(same_names); i++) {
        const char *theirs = same_names[i][0];
        const char *ours = same_names[i][1];
        near(mln_get(mln_get(got, "overall"), ours), mln_get(mln_get(want, "overall"), theirs),
             POINT_TOLERANCE, theirs);
        const struct mln_value *groups = mln_get(mln_get(want, "by_group"), theirs);
        assert_int_equal(mln_len(groups), mln_len(mln_get(got, "groups")));
        for (size_t g = 0; g < mln_len(groups); g++) {
            const struct mln_member *m = mln_member_at(groups, g);
            near(mln_get(mln_get_key(mln_get(got, "groups"), m->key), ours), &m->value,
                 POINT_TOLERANCE, theirs);
        }
        const struct mln_value *d = mln_get(mln_get(got, "disparity"), ours);
        near(mln_get(d, "difference"), mln_get(mln_get(want, "difference_between_groups"), theirs),
             POINT_TOLERANCE, theirs);
        near(mln_get(d, "ratio"), mln_get(mln_get(want, "ratio_between_groups"), theirs),
             POINT_TOLERANCE, theirs);
    }
}

static void compare_disparities(const struct mln_value *got, const struct mln_value *want)
{
    for (size_t i = 0; i < MLN_COUNT(same_disparities); i++) {
        near(mln_get(mln_get(mln_get(got, "disparity"), same_disparities[i][1]),
                     same_disparities[i][2]),
             mln_get(mln_get(want, "disparity"), same_disparities[i][0]), POINT_TOLERANCE,
             same_disparities[i][0]);
    }
    double least = 1;
    const struct mln_value *air = mln_get(want, "adverse_impact_ratio");
    for (size_t g = 0; g < mln_len(air); g++) {
        least = fmin(least, mln_get_double(&mln_member_at(air, g)->value, NAN));
    }
    double ours = mln_get_double(
        mln_get(mln_get(mln_get(got, "disparity"), "adverse_impact_ratio"), "ratio"), NAN);
    assert_true(fabs(ours - least) <= POINT_TOLERANCE);
    const struct mln_value *impact = mln_get(mln_get(got, "disparity"), "adverse_impact_ratio");
    const struct mln_value *ends = mln_get(impact, "interval");
    assert_true(mln_value_eq(ends, mln_get(impact, "ratio_interval")));
    assert_true(mln_get_double(mln_item(ends, 0), 9) < ours);
    assert_true(mln_get_double(mln_item(ends, 1), -9) > ours || least > 0.99);
}

static void compare_intervals(const struct mln_value *got, const struct mln_value *want,
                              double tolerance)
{
    static const char *const names[][2] = {{"selection_rate_difference", "selection_rate"},
                                           {"recall_difference", "true_positive_rate"}};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        const struct mln_value *theirs =
            mln_get(mln_get(want, "bootstrap_1000_seed7"), names[i][0]);
        const struct mln_value *ours =
            mln_get(mln_get(mln_get(got, "disparity"), names[i][1]), "interval");
        near(mln_item(ours, 0), mln_item(theirs, 0), tolerance, names[i][0]);
        near(mln_item(ours, 1), mln_item(theirs, 2), tolerance, names[i][0]);
    }
}

static void test_vectors(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(tables); i++) {
        struct mln_csv csv;
        const struct mln_value *got = NULL;
        const struct mln_value *want = load_json(cx, tables[i]);
        struct mln_fair_options o = options_for("group", NULL);
        load_csv(cx, tables[i], &csv);
        kit_ok(cx, mln_fair_judge(cx, &csv, &o, &got));
        compare_points(got, want);
        compare_disparities(got, want);
        compare_intervals(got, want, i == 2 ? 0.05 : 0.01);
    }
}

static void test_intersections(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(tables); i++) {
        struct mln_csv csv;
        const struct mln_value *got = NULL;
        const struct mln_value *want = mln_get(load_json(cx, tables[i]), "intersectional");
        struct mln_fair_options o = options_for("group", "region");
        o.resamples = 0;
        load_csv(cx, tables[i], &csv);
        kit_ok(cx, mln_fair_judge(cx, &csv, &o, &got));
        const struct mln_value *rates = mln_get(want, "selection_rate");
        assert_int_equal(mln_len(rates), mln_len(mln_get(got, "groups")));
        for (size_t g = 0; g < mln_len(rates); g++) {
            const struct mln_member *m = mln_member_at(rates, g);
            const struct mln_value *ours = mln_get_key(mln_get(got, "groups"), m->key);
            near(mln_get(ours, "selection_rate"), &m->value, POINT_TOLERANCE,
                 "selection rate of an intersection");
            near(mln_get(ours, "n"), mln_get_key(mln_get(want, "count"), m->key), 0, "count");
        }
        assert_null(mln_get(mln_get(mln_get(got, "disparity"), "selection_rate"), "interval"));
    }
}

/* ---- verdicts ---- */

/*
 * n rows a group: of group A, a of n selected; of group B, b of n. Labels are as predicted but for
 * the first row.
 */
static void table(struct mln_cx *cx, struct mln_buf *text, unsigned n, unsigned a, unsigned b,
                  struct mln_csv *csv)
{
    mln_buf_clear(text);
    mln_buf_add_text(text, "y,p,g\n");
    for (unsigned i = 0; i < n; i++) {
        mln_buf_add_format(text, "%u,%u,A\n", i % 2, i < a ? 1U : 0U);
        mln_buf_add_format(text, "%u,%u,B\n", i % 2, i < b ? 1U : 0U);
    }
    kit_ok(cx, mln_csv_parse(cx, mln_buf_bytes(text), csv));
}

static const struct {
    const char *name;
    unsigned n, a, b;
    enum mln_fair_use use;
    const char *verdict, *reason;
} verdicts[] = {
    {"equal", 100, 50, 50, MLN_FAIR_POINT, "pass", "is 1.0000, at least 0.8000"},
    {"exactly four fifths", 100, 50, 40, MLN_FAIR_POINT, "pass", "is 0.8000, at least"},
    {"just below", 100, 50, 39, MLN_FAIR_POINT, "fail", "is 0.7800, below 0.8000"},
    {"the other way round", 100, 20, 80, MLN_FAIR_POINT, "fail", "is 0.2500"},
    {"good point, wide interval", 100, 50, 45, MLN_FAIR_LOWER, "fail",
     "the interval's low end of adverse_impact_ratio is 0."},
    {"good with many rows", 4000, 2000, 2000, MLN_FAIR_LOWER, "pass", "the interval's low end"},
    {"small groups", 29, 15, 15, MLN_FAIR_POINT, "insufficient",
     "group \"A\" has 29 rows, fewer than 30"},
    {"just enough", 30, 15, 15, MLN_FAIR_POINT, "pass", "is 1.0000"},
    {"nobody is selected", 100, 0, 0, MLN_FAIR_POINT, "pass", "is 1.0000"},
    {"one group is never selected", 100, 10, 0, MLN_FAIR_POINT, "fail", "is 0.0000"},
};

static void test_verdicts(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf text = {0};
    for (size_t i = 0; i < MLN_COUNT(verdicts); i++) {
        struct mln_csv csv;
        const struct mln_value *got = NULL;
        struct mln_fair_options o;
        mln_fair_defaults(&o);
        o.label = MLN_BYTES("y");
        o.prediction = MLN_BYTES("p");
        o.groups[0] = MLN_BYTES("g");
        o.n_groups = 1;
        o.use = verdicts[i].use;
        o.resamples = 200;
        table(cx, &text, verdicts[i].n, verdicts[i].a, verdicts[i].b, &csv);
        kit_expect(cx, verdicts[i].name, mln_fair_judge(cx, &csv, &o, &got), MLN_E_OK);
        kit_text(mln_get_bytes(mln_get(got, "verdict")), verdicts[i].verdict);
        struct mln_bytes reason = mln_get_bytes(mln_item(mln_get(got, "reasons"), 0));
        if (mln_bytes_find_bytes(reason, mln_bytes_of(verdicts[i].reason)) == reason.len) {
            fail_msg("%s: %.*s", verdicts[i].name, MLN_FMT(reason));
        }
    }
    mln_buf_drop(&text);
}

/* A rate with nothing to divide by is null, and cannot pass when it is the judged one. */
static void test_undefined(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_csv csv;
    const struct mln_value *got = NULL;
    struct mln_fair_options o = options_for("g", NULL);
    o.min_group = 1;
    o.metric = MLN_BYTES("equal_opportunity");
    kit_ok(cx, mln_csv_parse(cx, MLN_BYTES("y_true,y_pred,g\n0,1,A\n0,0,A\n1,1,B\n0,0,B\n"), &csv));
    kit_ok(cx, mln_fair_judge(cx, &csv, &o, &got));
    const struct mln_value *a = mln_get(mln_get(got, "groups"), "A");
    assert_true(mln_is_null(mln_get(a, "true_positive_rate")));
    assert_non_null(mln_get(a, "true_positive_rate"));
    near(mln_get(a, "false_positive_rate"), mln_double(cx, 0.5), 0, "FPR");
    near(mln_get(a, "precision"), mln_int(cx, 0), 0, "precision");
    kit_text(mln_get_bytes(mln_get(got, "verdict")), "insufficient");
    assert_int_equal(mln_len(mln_get(got, "warnings")), 2);
    o.metric = MLN_BYTES("adverse_impact_ratio");
    kit_ok(cx, mln_fair_judge(cx, &csv, &o, &got));
    kit_text(mln_get_bytes(mln_get(got, "verdict")), "pass");
}

/*
 * Equal input and seed, equal answer to the last byte; another seed, another interval but the same
 * points.
 */
static void test_seeded(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_csv csv;
    const struct mln_value *a = NULL, *b = NULL, *c = NULL;
    struct mln_fair_options o = options_for("group", NULL);
    load_csv(cx, "fair", &csv);
    o.resamples = 150;
    kit_ok(cx, mln_fair_judge(cx, &csv, &o, &a));
    kit_ok(cx, mln_fair_judge(cx, &csv, &o, &b));
    o.seed = 2;
    kit_ok(cx, mln_fair_judge(cx, &csv, &o, &c));
    assert_true(mln_value_eq(a, b));
    assert_false(mln_value_eq(mln_get(a, "disparity"), mln_get(c, "disparity")));
    assert_true(mln_value_eq(mln_get(a, "groups"), mln_get(c, "groups")));
}

/* ---- refused ---- */

static const struct {
    const char *name, *text;
    enum mln_code code;
    const char *part;
} refused[] = {
    {"no label column", "y,y_pred,g\n1,1,A\n", MLN_E_NOT_FOUND, "y_true"},
    {"no group column", "y_true,y_pred,h\n1,1,A\n", MLN_E_NOT_FOUND, "\"g\""},
    {"no rows", "y_true,y_pred,g\n", MLN_E_INVALID, "no rows"},
    {"one group", "y_true,y_pred,g\n1,1,A\n0,1,A\n", MLN_E_INVALID, "one group only"},
    {"blank label", "y_true,y_pred,g\n1,1,A\n,1,B\n", MLN_E_PARSE, "y_true is blank in line 3"},
    {"NaN", "y_true,y_pred,g\n1,NaN,A\n", MLN_E_PARSE, "y_pred is \"NaN\" in line 2"},
    {"a score", "y_true,y_pred,g\n1,0.7,A\n", MLN_E_PARSE, "\"0.7\" in line 2"},
    {"two", "y_true,y_pred,g\n2,1,A\n", MLN_E_PARSE, "y_true is \"2\""},
    {"minus", "y_true,y_pred,g\n-0,1,A\n", MLN_E_PARSE, "0 or 1 is wanted"},
    {"a space", "y_true,y_pred,g\n1, 1,A\n", MLN_E_PARSE, "\" 1\""},
    {"blank group", "y_true,y_pred,g\n1,1,A\n1,1,\n", MLN_E_PARSE, "g is blank in line 3"},
};

static void test_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *got = NULL;
    struct mln_csv csv;
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        struct mln_fair_options o = options_for("g", NULL);
        kit_ok(cx, mln_csv_parse(cx, mln_bytes_of(refused[i].text), &csv));
        struct mln_err err = mln_fair_judge(cx, &csv, &o, &got);
        kit_expect_at(cx, err, refused[i].code, refused[i].part, refused[i].name, __FILE__,
                      __LINE__);
    }
    assert_null(got);
}

static void test_options_refused(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_csv csv;
    const struct mln_value *got = NULL;
    kit_ok(cx, mln_csv_parse(cx, MLN_BYTES("y_true,y_pred,g\n1,true,A\nFalse,1.0,B\n"), &csv));
    struct mln_fair_options good = options_for("g", NULL);
    kit_ok(cx, mln_fair_judge(cx, &csv, &good, &got));
    struct mln_fair_options o = good;
    o.n_groups = 0;
    kit_refused(cx, mln_fair_judge(cx, &csv, &o, &got), MLN_E_INVALID);
    o = good;
    o.groups[1] = o.groups[0];
    o.n_groups = 2;
    kit_refused_with(cx, mln_fair_judge(cx, &csv, &o, &got), MLN_E_INVALID, "twice");
    o = good;
    o.metric = MLN_BYTES("fair");
    kit_refused_with(cx, mln_fair_judge(cx, &csv, &o, &got), MLN_E_INVALID, "no fairness metric");
    o = good;
    o.minimum = NAN;
    kit_refused(cx, mln_fair_judge(cx, &csv, &o, &got), MLN_E_INVALID);
    o = good;
    o.resamples = 0;
    o.use = MLN_FAIR_LOWER;
    kit_refused(cx, mln_fair_judge(cx, &csv, &o, &got), MLN_E_INVALID);
    o = good;
    o.prediction = o.label;
    kit_refused_with(cx, mln_fair_judge(cx, &csv, &o, &got), MLN_E_INVALID, "same column");
    struct mln_buf text = {0};
    mln_buf_add_text(&text, "y_true,y_pred,g\n");
    for (int i = 0; i <= MLN_FAIR_GROUPS_MAX; i++) {
        mln_buf_add_format(&text, "1,1,person %d\n", i);
    }
    kit_ok(cx, mln_csv_parse(cx, mln_buf_bytes(&text), &csv));
    kit_refused_with(cx, mln_fair_judge(cx, &csv, &good, &got), MLN_E_TOO_LARGE,
                     "is that column a group");
    mln_buf_drop(&text);
}

static struct mln_err judge_body(struct mln_cx *cx, void *arg)
{
    struct mln_csv csv;
    const struct mln_value *got = NULL;
    (void)arg;
    struct mln_fair_options o = options_for("g", NULL);
    o.resamples = 100;
    MLN_TRY(mln_csv_parse(cx, MLN_BYTES("y_true,y_pred,g\n1,1,A\n0,1,B\n"), &csv));
    return mln_fair_judge(cx, &csv, &o, &got);
}

static void test_faults(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, judge_body, NULL) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_vectors),         KIT_TEST(test_intersections), KIT_TEST(test_verdicts),
        KIT_TEST(test_undefined),       KIT_TEST(test_seeded),        KIT_TEST(test_refused),
        KIT_TEST(test_options_refused), KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
