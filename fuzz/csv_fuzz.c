/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_csv_parse, mln_csv_print, mln_fair_judge. */
#include "fuzz.h"

#include "assure/fairness.h"

/* Printed and parsed again, every field is the same. */
static void round_trip(struct mln_cx *cx, const struct mln_csv *csv)
{
    struct mln_csv again;
    struct mln_buf text = {0};
    mln_csv_print(&text, csv->names, csv->n_columns);
    for (size_t row = 0; row < csv->n_rows; row++) {
        mln_csv_print(&text, csv->fields + row * csv->n_columns, csv->n_columns);
    }
    struct mln_err err = mln_csv_parse(cx, mln_buf_bytes(&text), &again);
    MLN_CHECK(!mln_failed(err));
    MLN_CHECK(again.n_rows == csv->n_rows && again.n_columns == csv->n_columns);
    for (size_t i = 0; i < csv->n_rows * csv->n_columns; i++) {
        MLN_CHECK(mln_bytes_eq(again.fields[i], csv->fields[i]));
    }
    mln_buf_drop(&text);
}

/* The first columns as label, prediction and group: whatever they hold, an answer or an error. */
static void judge(struct mln_cx *cx, const struct mln_csv *csv)
{
    struct mln_fair_options o;
    const struct mln_value *answer = NULL;
    mln_fair_defaults(&o);
    o.label = csv->names[0];
    o.prediction = csv->names[1 % csv->n_columns];
    o.groups[0] = csv->names[2 % csv->n_columns];
    o.n_groups = 1;
    o.resamples = 10;
    struct mln_err err = mln_fair_judge(cx, csv, &o, &answer);
    MLN_CHECK(mln_failed(err) == (answer == NULL));
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    struct mln_csv csv;
    mln_cx_init(&cx, arena);
    struct mln_err err = mln_csv_parse(&cx, mln_bytes_at(data, size), &csv);
    if (!mln_failed(err)) {
        round_trip(&cx, &csv);
        judge(&cx, &csv);
    }
    mln_arena_free(arena);
    return 0;
}
