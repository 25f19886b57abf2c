/* SPDX-License-Identifier: Apache-2.0 */
/* Group metrics, disparities and their bootstrap; the formulas stand in fairness.h. */
#include "assure/fairness.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"

/* ---- counting ---- */

struct counts {
    uint64_t cell[4]; /* index 2 * y + p: TN, FP, FN, TP */
};

enum { TN, FP, FN, TP };
#define ALL 15U /* every cell */

enum metric { SELECTION, TPR, FPR, TNR, FNR, ACCURACY, PRECISION, BASE, METRICS };

/* A rate is the sum of cells in `over` divided by the sum of those in `under`; bit i is cell i. */
static const struct {
    const char *name;
    unsigned over, under;
} metrics[METRICS] = {
    [SELECTION] = {"selection_rate", 1 << TP | 1 << FP, ALL},
    [TPR] = {"true_positive_rate", 1 << TP, 1 << TP | 1 << FN},
    [FPR] = {"false_positive_rate", 1 << FP, 1 << FP | 1 << TN},
    [TNR] = {"true_negative_rate", 1 << TN, 1 << FP | 1 << TN},
    [FNR] = {"false_negative_rate", 1 << FN, 1 << TP | 1 << FN},
    [ACCURACY] = {"accuracy", 1 << TP | 1 << TN, ALL},
    [PRECISION] = {"precision", 1 << TP, 1 << TP | 1 << FP},
    [BASE] = {"base_rate", 1 << TP | 1 << FN, ALL},
};

/* Disparities with names of their own: the worse of one or two base metrics. */
enum { PARITY, ODDS, OPPORTUNITY, IMPACT, NAMED, DISPARITIES = METRICS + NAMED };
static const struct {
    const char *name;
    enum metric first, second;
} named[NAMED] = {
    [PARITY] = {"demographic_parity", SELECTION, SELECTION},
    [ODDS] = {"equalized_odds", TPR, FPR},
    [OPPORTUNITY] = {"equal_opportunity", TPR, TPR},
    [IMPACT] = {"adverse_impact_ratio", SELECTION, SELECTION},
};

struct disparity {
    double difference, ratio; /* NaN = undefined */
};

struct judge {
    struct mln_cx *cx;
    const struct mln_csv *csv;
    const struct mln_fair_options *o;
    size_t n_groups;
    struct mln_bytes *names; /* of groups, sorted */
    uint8_t *cell_of;        /* of each row */
    uint16_t *slot_of;     /* of each row: 4 * group + cell, small so that it stays in the cache */
    struct counts *counts; /* of each group */
    struct disparity point[DISPARITIES];
    double interval[DISPARITIES][4]; /* ratio low, high, difference low, high; NaN = undefined */
    struct mln_value *reasons, *warnings;
};

static uint64_t sum(const struct counts *c, unsigned mask)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < 4; i++) {
        total += (mask >> i & 1) != 0 ? c->cell[i] : 0;
    }
    return total;
}

static double rate(const struct counts *c, enum metric m)
{
    uint64_t under = sum(c, metrics[m].under);
    return under == 0 ? NAN : (double)sum(c, metrics[m].over) / (double)under;
}

/*
 * Over the groups whose rate is defined in `real`. In a resample (groups are not real) such a group
 * may have nothing to divide by: its rate is 0 then, as long as it has rows.
 */
static struct disparity spread(const struct counts *groups, const struct counts *real, size_t n,
                               enum metric m)
{
    double low = INFINITY;
    double high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        double r = rate(&groups[i], m);
        if (isnan(r) && sum(&groups[i], ALL) > 0 && !isnan(rate(&real[i], m))) {
            r = 0;
        }
        low = r < low ? r : low;
        high = r > high ? r : high;
    }
    if (low > high) {
        return (struct disparity){NAN, NAN};
    }
    return (struct disparity){high - low, high > 0 ? low / high : 1};
}

/* The worse of two; undefined when either is. */
static struct disparity worse(struct disparity a, struct disparity b)
{
    if (isnan(a.difference) || isnan(b.difference)) {
        return (struct disparity){NAN, NAN};
    }
    return (struct disparity){a.difference > b.difference ? a.difference : b.difference,
                              a.ratio < b.ratio ? a.ratio : b.ratio};
}

static void disparities(const struct counts *groups, const struct counts *real, size_t n,
                        struct disparity to[DISPARITIES])
{
    for (unsigned m = 0; m < METRICS; m++) {
        to[m] = spread(groups, real, n, (enum metric)m);
    }
    for (unsigned i = 0; i < NAMED; i++) {
        to[METRICS + i] = worse(to[named[i].first], to[named[i].second]);
    }
}

static const char *disparity_name(unsigned i)
{
    return i < METRICS ? metrics[i].name : named[i - METRICS].name;
}

static unsigned disparity_index(struct mln_bytes name)
{
    for (unsigned i = 0; i < DISPARITIES; i++) {
        if (mln_bytes_is(name, disparity_name(i))) {
            return i;
        }
    }
    return DISPARITIES;
}

bool mln_fair_has_metric(struct mln_bytes name)
{
    return disparity_index(name) < DISPARITIES;
}

static_assert(4 * MLN_FAIR_GROUPS_MAX <= UINT16_MAX);

/* ---- reading the table ---- */

void mln_fair_defaults(struct mln_fair_options *options)
{
    *options = (struct mln_fair_options){.metric = MLN_BYTES("adverse_impact_ratio"),
                                         .minimum = MLN_FAIR_THRESHOLD,
                                         .min_group = MLN_FAIR_MIN_GROUP,
                                         .resamples = MLN_FAIR_RESAMPLES,
                                         .seed = 1,
                                         .confidence = 0.95};
}

static struct mln_err check_options(struct mln_cx *cx, const struct mln_fair_options *o)
{
    if (o->n_groups < 1 || o->n_groups > MLN_FAIR_COLUMNS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "name 1 to %d group columns", MLN_FAIR_COLUMNS_MAX);
    }
    for (size_t i = 0; i < o->n_groups; i++) {
        for (size_t j = 0; j < i; j++) {
            if (mln_bytes_eq(o->groups[i], o->groups[j])) {
                return mln_fail(cx, MLN_E_INVALID, "the group column %.*s is named twice",
                                MLN_FMT(o->groups[i]));
            }
        }
    }
    if (!mln_fair_has_metric(o->metric)) {
        return mln_fail(cx, MLN_E_INVALID, "there is no fairness metric \"%.*s\"",
                        MLN_FMT(o->metric));
    }
    if (!(o->minimum >= 0 && o->minimum <= 1) ||
        !(o->confidence >= 0.5 && o->confidence <= 0.999)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the least ratio must be in 0..1, the confidence in 0.5..0.999");
    }
    if (o->resamples > 100000 || (o->resamples < 100 && o->use == MLN_FAIR_LOWER)) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "resamples must be at most 100000, and at least 100 for the interval's end");
    }
    return MLN_OK;
}

/* 0, 1; -1 for anything else. */
static int truth(struct mln_bytes text)
{
    if (mln_bytes_is(text, "1") || mln_bytes_is_nocase(text, "true") || mln_bytes_is(text, "1.0")) {
        return 1;
    }
    if (mln_bytes_is(text, "0") || mln_bytes_is_nocase(text, "false") ||
        mln_bytes_is(text, "0.0")) {
        return 0;
    }
    return -1;
}

static struct mln_err read_truth(struct judge *j, size_t row, size_t column, unsigned *ret)
{
    struct mln_bytes text = mln_csv_field(j->csv, row, column);
    int value = truth(text);
    if (value < 0) {
        struct mln_bytes name = j->csv->names[column];
        return text.len == 0
                   ? mln_fail(j->cx, MLN_E_PARSE, "%.*s is blank in line %u", MLN_FMT(name),
                              j->csv->lines[row])
                   : mln_fail(j->cx, MLN_E_PARSE, "%.*s is \"%.*s\" in line %u; 0 or 1 is wanted",
                              MLN_FMT(name), (int)(text.len > 40 ? 40 : text.len),
                              (const char *)text.ptr, j->csv->lines[row]);
    }
    *ret = (unsigned)value;
    return MLN_OK;
}

static struct mln_err read_labels(struct judge *j)
{
    size_t label = 0;
    size_t prediction = 0;
    MLN_TRY(mln_csv_column(j->cx, j->csv, j->o->label, &label));
    MLN_TRY(mln_csv_column(j->cx, j->csv, j->o->prediction, &prediction));
    if (label == prediction) {
        return mln_fail(j->cx, MLN_E_INVALID, "label and prediction are the same column");
    }
    for (size_t row = 0; row < j->csv->n_rows; row++) {
        unsigned y = 0;
        unsigned p = 0;
        MLN_TRY(read_truth(j, row, label, &y));
        MLN_TRY(read_truth(j, row, prediction, &p));
        j->cell_of[row] = (uint8_t)(2 * y + p);
    }
    return MLN_OK;
}

struct named_row {
    struct mln_bytes name;
    size_t row;
};

static int by_group(const void *a, const void *b)
{
    return mln_bytes_cmp(((const struct named_row *)a)->name, ((const struct named_row *)b)->name);
}

static struct mln_err join_names(struct judge *j, const size_t *columns, size_t row,
                                 struct mln_bytes *ret)
{
    struct mln_bytes name = mln_csv_field(j->csv, row, columns[0]);
    for (size_t i = 0; i < j->o->n_groups; i++) {
        struct mln_bytes part = mln_csv_field(j->csv, row, columns[i]);
        if (mln_bytes_trim(part).len == 0) {
            return mln_fail(j->cx, MLN_E_PARSE, "%.*s is blank in line %u",
                            MLN_FMT(j->o->groups[i]), j->csv->lines[row]);
        }
        if (part.len > 256) {
            return mln_fail(j->cx, MLN_E_PARSE, "%.*s is longer than 256 bytes in line %u",
                            MLN_FMT(j->o->groups[i]), j->csv->lines[row]);
        }
        if (i > 0) {
            name = mln_bytes_format(j->cx, "%.*s | %.*s", MLN_FMT(name), MLN_FMT(part));
        }
    }
    *ret = name;
    return MLN_OK;
}

static struct mln_err number_groups(struct judge *j, struct named_row *rows)
{
    size_t n = j->csv->n_rows;
    qsort(rows, n, sizeof(*rows), by_group);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !mln_bytes_eq(rows[i].name, rows[i - 1].name)) {
            if (j->n_groups == MLN_FAIR_GROUPS_MAX) {
                return mln_fail(j->cx, MLN_E_TOO_LARGE,
                                "there are more than %d groups; is that column a group?",
                                MLN_FAIR_GROUPS_MAX);
            }
            j->names[j->n_groups++] = rows[i].name;
        }
        uint32_t group = (uint32_t)(j->n_groups - 1);
        uint8_t cell = j->cell_of[rows[i].row];
        j->slot_of[rows[i].row] = (uint16_t)(4 * group + cell);
        j->counts[group].cell[cell]++;
    }
    if (j->n_groups < 2) {
        return mln_fail(j->cx, MLN_E_INVALID, "there is one group only: nothing to compare");
    }
    return MLN_OK;
}

static struct mln_err read_groups(struct judge *j)
{
    size_t columns[MLN_FAIR_COLUMNS_MAX];
    for (size_t i = 0; i < j->o->n_groups; i++) {
        MLN_TRY(mln_csv_column(j->cx, j->csv, j->o->groups[i], &columns[i]));
    }
    struct named_row *rows = mln_alloc_array(j->csv->n_rows, sizeof(*rows));
    if (rows == NULL) {
        return mln_fail(j->cx, MLN_E_MEMORY, "no memory for %zu rows", j->csv->n_rows);
    }
    struct mln_err err = MLN_OK;
    for (size_t row = 0; row < j->csv->n_rows && !mln_failed(err); row++) {
        rows[row].row = row;
        err = join_names(j, columns, row, &rows[row].name);
    }
    if (!mln_failed(err)) {
        err = number_groups(j, rows);
    }
    mln_free(rows);
    return err;
}

/* ---- the bootstrap ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Type 7 of Hyndman and Fan: linear between order statistics; x sorted, n >= 1. */
static double quantile(const double *x, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    double part = at - (double)i;
    return i + 1 < n ? x[i] + part * (x[i + 1] - x[i]) : x[n - 1];
}

static void resample(const struct judge *j, struct mln_prng *prng, struct counts *to)
{
    size_t n = j->csv->n_rows;
    mln_fill(to, 0, j->n_groups * sizeof(*to));
    for (size_t i = 0; i < n; i++) {
        unsigned slot = j->slot_of[mln_prng_below(prng, n)];
        to[slot / 4].cell[slot % 4]++;
    }
}

/* Samples lie one disparity after the other, ratio then difference: resamples doubles each. */
static void quantiles(struct judge *j, double *samples)
{
    double tail = (1 - j->o->confidence) / 2;
    for (unsigned i = 0; i < 2 * DISPARITIES; i++) {
        double *x = samples + (size_t)i * j->o->resamples;
        size_t n = 0;
        for (size_t k = 0; k < j->o->resamples; k++) {
            if (!isnan(x[k])) {
                x[n++] = x[k];
            }
        }
        qsort(x, n, sizeof(*x), by_size);
        double *to = j->interval[i / 2] + 2 * (i % 2);
        to[0] = n > 0 ? quantile(x, n, tail) : NAN;
        to[1] = n > 0 ? quantile(x, n, 1 - tail) : NAN;
    }
}

static struct mln_err bootstrap(struct judge *j)
{
    uint32_t times = j->o->resamples;
    MLN_AUTO(mln_free_drop)
    double *samples = mln_alloc_array((size_t)2 * DISPARITIES * times, sizeof(double));
    MLN_AUTO(mln_free_drop) struct counts *drawn = mln_alloc_array(j->n_groups, sizeof(*drawn));
    if (samples == NULL || drawn == NULL) {
        return mln_fail(j->cx, MLN_E_MEMORY, "no memory for %u resamples", times);
    }
    struct mln_prng prng;
    mln_prng_seed(&prng, j->o->seed);
    for (uint32_t k = 0; k < times; k++) {
        struct disparity d[DISPARITIES];
        resample(j, &prng, drawn);
        disparities(drawn, j->counts, j->n_groups, d);
        for (size_t i = 0; i < DISPARITIES; i++) {
            samples[2 * i * times + k] = d[i].ratio;
            samples[(2 * i + 1) * times + k] = d[i].difference;
        }
    }
    quantiles(j, samples);
    return MLN_OK;
}

/* ---- the answer ---- */

static struct mln_value *rates(struct mln_cx *cx, const struct counts *c)
{
    struct mln_value *v = mln_object(cx);
    for (unsigned m = 0; m < METRICS; m++) {
        mln_put(cx, v, metrics[m].name, mln_double(cx, rate(c, (enum metric)m)));
    }
    mln_put_int(cx, v, "n", (int64_t)sum(c, ALL));
    return v;
}

static struct mln_value *pair(struct mln_cx *cx, const double ends[2])
{
    struct mln_value *v = mln_array(cx);
    mln_push(cx, v, mln_double(cx, ends[0]));
    mln_push(cx, v, mln_double(cx, ends[1]));
    return v;
}

static struct mln_value *disparity_value(struct judge *j, unsigned i)
{
    struct mln_value *v = mln_object(j->cx);
    mln_put(j->cx, v, "difference", mln_double(j->cx, j->point[i].difference));
    mln_put(j->cx, v, "ratio", mln_double(j->cx, j->point[i].ratio));
    if (j->o->resamples > 0) {
        bool is_ratio = i == METRICS + IMPACT;
        mln_put(j->cx, v, "interval", pair(j->cx, j->interval[i] + (is_ratio ? 0 : 2)));
        mln_put(j->cx, v, "difference_interval", pair(j->cx, j->interval[i] + 2));
        mln_put(j->cx, v, "ratio_interval", pair(j->cx, j->interval[i]));
    }
    return v;
}

/* Groups too small to judge, each with a reason. */
static bool has_small_group(struct judge *j)
{
    bool is_small = false;
    for (size_t g = 0; g < j->n_groups; g++) {
        uint64_t n = sum(&j->counts[g], ALL);
        if (n < j->o->min_group) {
            is_small = true;
            mln_push(j->cx, j->reasons,
                     mln_textf(j->cx, "group \"%.*s\" has %llu rows, fewer than %u",
                               MLN_FMT(j->names[g]), (unsigned long long)n, j->o->min_group));
        }
    }
    return is_small;
}

/* Rates that a group does not have, for example TPR where no label is 1. */
static void warn_undefined(struct judge *j)
{
    for (unsigned m = 0; m < METRICS; m++) {
        for (size_t g = 0; g < j->n_groups; g++) {
            if (isnan(rate(&j->counts[g], (enum metric)m))) {
                mln_push(j->cx, j->warnings,
                         mln_textf(j->cx,
                                   "%s of group \"%.*s\" is undefined (nothing to divide by)",
                                   metrics[m].name, MLN_FMT(j->names[g])));
            }
        }
    }
}

static bool judged_rate_is_undefined(const struct judge *j, unsigned index)
{
    enum metric first = index < METRICS ? (enum metric)index : named[index - METRICS].first;
    enum metric second = index < METRICS ? (enum metric)index : named[index - METRICS].second;
    for (size_t g = 0; g < j->n_groups; g++) {
        if (isnan(rate(&j->counts[g], first)) || isnan(rate(&j->counts[g], second))) {
            return true;
        }
    }
    return false;
}

static const char *verdict(struct judge *j, double *ret_value)
{
    unsigned i = disparity_index(j->o->metric);
    bool is_lower = j->o->use == MLN_FAIR_LOWER;
    double value = is_lower ? j->interval[i][0] : j->point[i].ratio;
    const char *what = is_lower ? "the interval's low end of " : "";
    *ret_value = value;
    bool is_small = has_small_group(j);
    if (isnan(value) || judged_rate_is_undefined(j, i)) {
        mln_push(j->cx, j->reasons,
                 mln_textf(j->cx, "%s%s is undefined in a group", what, disparity_name(i)));
        return "insufficient";
    }
    if (is_small) {
        return "insufficient";
    }
    bool is_good = value >= j->o->minimum;
    mln_push(j->cx, j->reasons,
             mln_textf(j->cx, "%s%s is %.4f, %s %.4f", what, disparity_name(i), value,
                       is_good ? "at least" : "below", j->o->minimum));
    return is_good ? "pass" : "fail";
}

static struct mln_value *groups_value(struct judge *j, struct counts *all)
{
    struct mln_value *groups = mln_object(j->cx);
    for (size_t g = 0; g < j->n_groups; g++) {
        mln_put_key(j->cx, groups, j->names[g], rates(j->cx, &j->counts[g]));
        for (unsigned i = 0; i < 4; i++) {
            all->cell[i] += j->counts[g].cell[i];
        }
    }
    return groups;
}

static struct mln_value *columns_value(struct judge *j)
{
    struct mln_value *groups = mln_array(j->cx);
    for (size_t i = 0; i < j->o->n_groups; i++) {
        mln_push(j->cx, groups, mln_string(j->cx, j->o->groups[i]));
    }
    struct mln_value *v = mln_object(j->cx);
    mln_put_bytes(j->cx, v, "label", j->o->label);
    mln_put_bytes(j->cx, v, "prediction", j->o->prediction);
    mln_put(j->cx, v, "groups", groups);
    return v;
}

static struct mln_value *answer(struct judge *j)
{
    struct mln_cx *cx = j->cx;
    struct counts all = {{0}};
    struct mln_value *groups = groups_value(j, &all);
    struct mln_value *disparity = mln_object(cx);
    for (unsigned i = 0; i < DISPARITIES; i++) {
        mln_put(cx, disparity, disparity_name(i), disparity_value(j, i));
    }
    double value = NAN;
    const char *says = verdict(j, &value);
    warn_undefined(j);
    struct mln_value *v = mln_object(cx);
    mln_put(cx, v, "overall", rates(cx, &all));
    mln_put(cx, v, "groups", groups);
    mln_put(cx, v, "disparity", disparity);
    mln_put(cx, v, "columns", columns_value(j));
    mln_put_text(cx, v, "verdict", says);
    mln_put_text(cx, v, "metric", disparity_name(disparity_index(j->o->metric)));
    mln_put(cx, v, "value", mln_double(cx, value));
    mln_put(cx, v, "threshold", mln_double(cx, j->o->minimum));
    mln_put_text(cx, v, "use", j->o->use == MLN_FAIR_LOWER ? "lower" : "point");
    mln_put_int(cx, v, "min_group", j->o->min_group);
    mln_put_int(cx, v, "resamples", j->o->resamples);
    mln_put_int(cx, v, "seed", (int64_t)j->o->seed);
    mln_put(cx, v, "confidence", mln_double(cx, j->o->confidence));
    mln_put(cx, v, "reasons", j->reasons);
    mln_put(cx, v, "warnings", j->warnings);
    return v;
}

static struct mln_err rooms(struct judge *j)
{
    size_t n = j->csv->n_rows;
    if (n == 0) {
        return mln_fail(j->cx, MLN_E_INVALID, "the table has no rows");
    }
    j->slot_of = mln_new_array(j->cx, n, sizeof(*j->slot_of));
    j->cell_of = mln_new_array(j->cx, n, sizeof(*j->cell_of));
    j->names = mln_new_array(j->cx, MLN_FAIR_GROUPS_MAX, sizeof(*j->names));
    j->counts = mln_new_array(j->cx, MLN_FAIR_GROUPS_MAX, sizeof(*j->counts));
    j->reasons = mln_array(j->cx);
    j->warnings = mln_array(j->cx);
    return mln_cx_err(j->cx);
}

struct mln_err mln_fair_judge(struct mln_cx *cx, const struct mln_csv *csv,
                              const struct mln_fair_options *options, const struct mln_value **ret)
{
    struct judge j = {.cx = cx, .csv = csv, .o = options};
    MLN_TRY(check_options(cx, options));
    MLN_TRY(rooms(&j));
    MLN_TRY(read_labels(&j));
    MLN_TRY(read_groups(&j));
    disparities(j.counts, j.counts, j.n_groups, j.point);
    if (options->resamples > 0) {
        MLN_TRY(bootstrap(&j));
    }
    const struct mln_value *v = answer(&j);
    MLN_TRY(mln_cx_err(cx));
    *ret = v;
    return MLN_OK;
}
