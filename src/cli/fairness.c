/* SPDX-License-Identifier: Apache-2.0 */
/* merlon fairness: group metrics from predictions in a CSV, and a verdict. Works with no server. */
#include "cli/cli_priv.h"

#include "assure/fairness.h"

static const struct mln_flag flags[] = {
    {"label", MLN_FLAG_TEXT, "COLUMN", NULL, "Column of the true label (0 or 1)"},
    {"pred", MLN_FLAG_TEXT, "COLUMN", NULL, "Column of the prediction (0 or 1)"},
    {"group", MLN_FLAG_LIST, "COLUMN", NULL, "Column of the group; several are crossed"},
    {"metric", MLN_FLAG_TEXT, "NAME", "adverse_impact_ratio", "Metric that is judged"},
    {"minimum", MLN_FLAG_TEXT, "RATIO", "0.8", "Least ratio of that metric"},
    {"use", MLN_FLAG_TEXT, "point|lower", "point", "Judge the value or its interval's end"},
    {"min-group", MLN_FLAG_INT, "N", "30", "A smaller group is insufficient"},
    {"resamples", MLN_FLAG_INT, "N", "1000", "Of the bootstrap; 0: no intervals"},
    {"seed", MLN_FLAG_INT, "N", "1", "Of the bootstrap"},
    {"confidence", MLN_FLAG_TEXT, "P", "0.95", "Of the intervals"},
    {0},
};

/* ---- options ---- */

static struct mln_err read_number(struct mln_cli *cli, const char *flag, double low, double high, double *ret)
{
    const char *text = mln_cli_text(cli, flag);
    if (text == NULL || !mln_double_parse(mln_bytes_of(text), ret) || *ret < low || *ret > high) {
        return mln_cli_usage(cli, "--%s wants a number from %g to %g", flag, low, high);
    }
    return MLN_OK;
}

static struct mln_err read_count(struct mln_cli *cli, const char *flag, int64_t high, int64_t *ret)
{
    MLN_TRY(mln_cli_int(cli, flag, 0, ret));
    return *ret < 0 || *ret > high
               ? mln_cli_usage(cli, "--%s wants a whole number from 0 to %lld", flag, (long long)high)
               : MLN_OK;
}

static struct mln_err read_columns(struct mln_cli *cli, struct mln_fair_options *o)
{
    const struct mln_value *groups = mln_cli_list(cli, "group");
    o->label = mln_bytes_of(mln_cli_text(cli, "label"));
    o->prediction = mln_bytes_of(mln_cli_text(cli, "pred"));
    if (o->label.len == 0 || o->prediction.len == 0 || mln_len(groups) == 0) {
        return mln_cli_usage(cli, "--label, --pred and --group name columns and are needed");
    }
    if (mln_len(groups) > MLN_FAIR_COLUMNS_MAX) {
        return mln_cli_usage(cli, "more than %d columns of groups", MLN_FAIR_COLUMNS_MAX);
    }
    for (size_t i = 0; i < mln_len(groups); i++) {
        o->groups[o->n_groups] = mln_get_bytes(mln_item(groups, i));
        o->n_groups++;
    }
    return MLN_OK;
}

static struct mln_err read_options(struct mln_cli *cli, struct mln_fair_options *o)
{
    int64_t min_group = 0, resamples = 0, seed = 0;
    struct mln_bytes use = mln_bytes_of(mln_cli_text(cli, "use"));
    mln_fair_defaults(o);
    MLN_TRY(read_columns(cli, o));
    MLN_TRY(read_number(cli, "minimum", 0.0, 1.0, &o->minimum));
    MLN_TRY(read_number(cli, "confidence", 0.5, 0.999, &o->confidence));
    MLN_TRY(read_count(cli, "min-group", UINT32_MAX, &min_group));
    MLN_TRY(read_count(cli, "resamples", 100000, &resamples));
    MLN_TRY(read_count(cli, "seed", INT64_MAX, &seed));
    o->min_group = (uint32_t)min_group;
    o->resamples = (uint32_t)resamples;
    o->seed = (uint64_t)seed;
    o->metric = mln_bytes_of(mln_cli_text(cli, "metric"));
    if (!mln_fair_has_metric(o->metric)) {
        return mln_cli_usage(cli, "unknown metric '%.*s'", MLN_FMT(o->metric));
    }
    if (!mln_bytes_is(use, "point") && !mln_bytes_is(use, "lower")) {
        return mln_cli_usage(cli, "--use is point or lower, not '%.*s'", MLN_FMT(use));
    }
    o->use = mln_bytes_is(use, "lower") ? MLN_FAIR_LOWER : MLN_FAIR_POINT;
    return MLN_OK;
}

/* ---- answer ---- */

static const char *rounded(struct mln_cli *cli, const struct mln_value *v)
{
    return mln_is_null(v) ? "-" : mln_text_format(cli->cx, "%.4f", mln_get_double(v, 0));
}

static void print_groups(struct mln_cli *cli, const struct mln_value *report)
{
    static const char *const heads[] = {"GROUP", "N", "SELECTED", "TPR", "FPR", "ACCURACY"};
    static const char *const keys[] = {"selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"};
    const struct mln_value *groups = mln_get(report, "groups");
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    for (size_t i = 0; i <= mln_len(groups); i++) {
        const struct mln_member *m = i < mln_len(groups) ? mln_member_at(groups, i) : NULL;
        const struct mln_value *row = m != NULL ? &m->value : mln_get(report, "overall");
        mln_table_add(cli, &t, m != NULL ? mln_text_dup(cli->cx, m->key) : "(all)", MLN_INK_NONE);
        mln_table_add(cli, &t, mln_cli_scalar(cli, mln_get(row, "n")), MLN_INK_NONE);
        for (size_t k = 0; k < MLN_COUNT(keys); k++) {
            mln_table_add(cli, &t, rounded(cli, mln_get(row, keys[k])), MLN_INK_NONE);
        }
    }
    mln_table_print(cli, &t);
}

static void print_disparities(struct mln_cli *cli, const struct mln_value *report)
{
    static const char *const heads[] = {"DISPARITY", "DIFFERENCE", "RATIO", "INTERVAL"};
    static const char *const keys[] = {"adverse_impact_ratio", "demographic_parity", "equal_opportunity", "equalized_odds"};
    struct mln_table t = {.heads = heads, .n_columns = MLN_COUNT(heads)};
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        const struct mln_value *d = mln_get(mln_get(report, "disparity"), keys[i]);
        const struct mln_value *range = mln_get(d, "interval");
        mln_table_add(cli, &t, keys[i], MLN_INK_NONE);
        mln_table_add(cli, &t, rounded(cli, mln_get(d, "difference")), MLN_INK_NONE);
        mln_table_add(cli, &t, rounded(cli, mln_get(d, "ratio")), MLN_INK_NONE);
        mln_table_add(cli, &t,
                      mln_len(range) != 2 ? NULL
                                          : mln_text_format(cli->cx, "%s to %s", rounded(cli, mln_item(range, 0)),
                                                            rounded(cli, mln_item(range, 1))),
                      MLN_INK_NONE);
    }
    mln_table_print(cli, &t);
}

static void table(struct mln_cli *cli, const struct mln_value *report)
{
    const struct mln_value *reasons = mln_get(report, "reasons");
    const char *verdict = mln_get_text(cli->cx, mln_get(report, "verdict"), "-");
    bool is_pass = mln_is_text(mln_get(report, "verdict"), "pass");
    print_groups(cli, report);
    mln_cli_out("\n");
    print_disparities(cli, report);
    mln_cli_out("\n%s%s%s  %s %s, at least %s is wanted\n", mln_cli_ink(cli, is_pass ? MLN_INK_GREEN : MLN_INK_RED),
                verdict, mln_cli_ink(cli, MLN_INK_NONE), mln_cli_scalar(cli, mln_get(report, "metric")),
                rounded(cli, mln_get(report, "value")), rounded(cli, mln_get(report, "threshold")));
    for (size_t i = 0; i < mln_len(reasons); i++) {
        mln_cli_out("  %s\n", mln_cli_scalar(cli, mln_item(reasons, i)));
    }
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_fair_options options = {0};
    struct mln_bytes text = MLN_BYTES_NONE;
    struct mln_csv csv = {0};
    const struct mln_value *report = NULL;
    MLN_TRY(read_options(cli, &options));
    MLN_TRY(mln_cli_read_file(cli, cli->args[0], MLN_CSV_BYTES_MAX, &text));
    MLN_TRY(mln_csv_parse(cli->cx, text, &csv));
    MLN_TRY(mln_fair_judge(cli->cx, &csv, &options, &report));
    const struct mln_value *warnings = mln_get(report, "warnings");
    for (size_t i = 0; i < mln_len(warnings); i++) {
        mln_cli_say(cli, "merlon: warning: %s\n", mln_cli_scalar(cli, mln_item(warnings, i)));
    }
    MLN_TRY(mln_cli_answer(cli, report, table));
    const struct mln_value *verdict = mln_get(report, "verdict");
    cli->exit_code = mln_is_text(verdict, "pass") ? 0 : mln_err_exit(mln_is_text(verdict, "fail") ? MLN_E_VERDICT : MLN_E_UNJUDGED);
    return MLN_OK;
}

static const char *const examples[] = {
    "merlon fairness preds.csv --label y --pred p --group sex",
    "merlon fairness preds.csv --label y --pred p --group sex,age --use lower",
    "merlon fairness - --label y --pred p --group sex --format json < preds.csv",
    NULL,
};
const struct mln_command mln_command_fairness = {
    .noun = "fairness",
    .summary = "Measure group fairness of a classifier's predictions and judge it",
    .args = "FILE.csv",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .is_local = true,
    .more = "Exit 5 when the metric is below the minimum, 8 when a group is too small to judge.\n"
            "Intervals are a seeded bootstrap: the same file gives the same numbers everywhere.",
    .run = run,
};
