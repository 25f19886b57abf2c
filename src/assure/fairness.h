/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Group fairness of a binary classifier from its predictions, and a verdict against a threshold.
 *
 * Numeric contract
 *   y, p        n labels and n predictions, each 0 or 1; n >= 1
 *   group       of each row: the texts of the group columns joined by " | ", in the order of the
 *               columns ("A | north")
 *   counts      TP, FP, TN, FN of a set of rows, exact integers
 *   rates       dimensionless, in [0, 1], one double division of exact integers (error below 1 ulp;
 *               tests: 1e-9):
 *               selection_rate       (TP + FP) / n
 *               true_positive_rate   TP / (TP + FN)        (recall)
 *               false_positive_rate  FP / (FP + TN)
 *               true_negative_rate   TN / (FP + TN)
 *               false_negative_rate  FN / (TP + FN)
 *               accuracy             (TP + TN) / n
 *               precision            TP / (TP + FP)
 *               base_rate            (TP + FN) / n
 *   undefined   A rate with denominator 0 is null, never 0: nothing was observed. Disparities are
 *               over the groups where the rate is defined; null when fewer than one is. (fairlearn
 *               answers 0.0 for such rates; its vectors have none.)
 *   difference  max - min over groups; ratio: min / max, 1 when all are 0 (fairlearn: NaN)
 *   demographic_parity   of selection_rate
 *   equalized_odds       difference: the larger of those of TPR and FPR; ratio: the smaller (Hardt,
 *                        Price, Srebro 2016)
 *   equal_opportunity    of true_positive_rate (ibid.)
 *   adverse_impact_ratio ratio: lowest selection rate over the highest; the four-fifths rule,
 *                        29 CFR 1607.4(D), takes less than 0.8 as evidence of adverse impact.
 *                        difference: that of the selection rates
 *   intervals   percentile bootstrap: rows drawn with replacement over the whole table, `resamples`
 *               times; quantiles alpha/2 and 1 - alpha/2 by linear interpolation between order
 *               statistics (Hyndman and Fan type 7); Efron and Tibshirani 1993, ch. 13. Seeded:
 *               equal input gives equal bytes on every machine. "difference_interval" and
 *               "ratio_interval" of every disparity; "interval" is that of what the metric is
 *               judged by in practice: the ratio for adverse_impact_ratio, the difference for all
 *               others. A group that a resample leaves without a denominator has rate 0 in it (as
 *               in fairlearn, and never in a group's favour); one without rows is left out.
 *   insufficient  any group with fewer than min_group rows makes the verdict "insufficient" (no
 *                 pass by small numbers)
 *
 * Sources: Uniform Guidelines on Employee Selection Procedures, 29 CFR 1607.4(D); Hardt, Price,
 * Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016. Point values equal
 * fairlearn 0.15 (test/vectors/fair).
 */
#pragma once

#include "assure/csv.h"

#define MLN_FAIR_MIN_GROUP   30
#define MLN_FAIR_RESAMPLES   1000
#define MLN_FAIR_THRESHOLD   0.8
#define MLN_FAIR_GROUPS_MAX  1000 /* more is an identifier, not a group */
#define MLN_FAIR_COLUMNS_MAX 8

enum mln_fair_use { MLN_FAIR_POINT, MLN_FAIR_LOWER };

struct mln_fair_options {
    struct mln_bytes label, prediction;            /* column names */
    struct mln_bytes groups[MLN_FAIR_COLUMNS_MAX]; /* column names */
    size_t n_groups;                               /* 1..MLN_FAIR_COLUMNS_MAX */
    struct mln_bytes metric;                       /* judged; empty = adverse_impact_ratio */
    double minimum;                                /* least ratio of that metric, 0..1 */
    enum mln_fair_use use; /* the point value or the low end of its interval */
    uint32_t min_group;
    uint32_t resamples; /* 0 = no intervals; at most 100,000 */
    uint64_t seed;
    double confidence; /* of the interval, 0.5..0.999 */
};

/* min_group 30, 1,000 resamples, 95 %, ratio at least 0.8, point value, seed 1. */
void mln_fair_defaults(struct mln_fair_options *options);
/*
 * ret       {"overall":{metric:value,"n"},"groups":{group:{metric:value,"n"}},
 *            "disparity":{metric:{"difference","ratio","interval":[lo,hi],
 *                                 "difference_interval","ratio_interval"}},
 *            "columns":{"label","prediction","groups":[...]},
 *            "verdict":"pass"|"fail"|"insufficient","metric","value","threshold","use","min_group",
 *            "resamples","seed","confidence","reasons":[...],"warnings":[...]}
 * errors    NOT_FOUND (a column), INVALID (options; fewer than two groups), PARSE (a label that is
 *           not 0/1/true/false, a blank group; names the line), TOO_LARGE (groups), MEMORY
 */
struct mln_err mln_fair_judge(struct mln_cx *cx, const struct mln_csv *csv,
                              const struct mln_fair_options *options, const struct mln_value **ret);
/* Whether a disparity of this name exists: a base metric or a named one. */
bool mln_fair_has_metric(struct mln_bytes name);
