/* SPDX-License-Identifier: Apache-2.0 */
/* Coverage, profiles and traces from the events of evaluations. */
#include "cli/rego_watch.h"

#include <stdlib.h>

#define STACK_MAX 2001u               /* rules that wait for rules, and the query */
#define LINES_MAX ((size_t)16 << 20)  /* of a trace: nobody reads more */
#define PLACE     18                  /* columns of "file:row" */

struct mln_err rego_watch_begin(struct rego_watch *w, struct mln_cx *cx, const struct mln_rego *rego, enum rego_trace trace)
{
    struct mln_rego_note note;
    *w = (struct rego_watch){.cx = cx, .rego = rego, .trace = trace, .lines = {.max = LINES_MAX}};
    while (mln_rego_note_at(rego, w->n, &note)) {
        w->n++;
    }
    w->at = w->n;
    w->evals = mln_new_array(cx, w->n + 1, sizeof(*w->evals));
    w->holds = mln_new_array(cx, w->n + 1, sizeof(*w->holds));
    w->time_ns = mln_new_array(cx, w->n + 1, sizeof(*w->time_ns));
    w->is_open = mln_new_array(cx, w->n + 1, sizeof(*w->is_open));
    w->stack = mln_new_array(cx, STACK_MAX, sizeof(*w->stack));
    w->depths = mln_new_array(cx, STACK_MAX, sizeof(*w->depths));
    w->is_told = mln_new_array(cx, STACK_MAX, sizeof(*w->is_told));
    return mln_cx_err(cx);
}

void rego_watch_drop(struct rego_watch *w)
{
    mln_buf_drop(&w->lines);
}

/* ---- trace ---- */
static void add_line(struct rego_watch *w, size_t i, unsigned depth, const char *word)
{
    struct mln_rego_note note = {0};
    (void)mln_rego_note_at(w->rego, i, &note);
    size_t from = w->lines.len;
    mln_buf_add_format(&w->lines, "%s:%u", note.file, (unsigned)note.row);
    do {
        mln_buf_add_byte(&w->lines, ' ');
    } while (w->lines.len - from < PLACE && !w->lines.has_failed);
    for (unsigned k = 1; k < depth; k++) {
        mln_buf_add_text(&w->lines, "| ");
    }
    mln_buf_add_format(&w->lines, "%s ", word);
    for (const char *c = note.text; c != NULL && *c != '\0'; c++) {
        mln_buf_add_byte(&w->lines, *c == '\n' || *c == '\t' ? ' ' : (uint8_t)*c);
    }
    mln_buf_add_byte(&w->lines, '\n');
}

static void enter(struct rego_watch *w, size_t i, unsigned depth)
{
    while (w->stack_n > 0 && w->depths[w->stack_n - 1] >= depth) {
        w->stack_n--;
    }
    if (w->stack_n < STACK_MAX) {
        w->stack[w->stack_n] = i;
        w->depths[w->stack_n] = depth;
        w->is_told[w->stack_n++] = false;
    }
}

/* The rules around what failed are told once, before it. */
static void tell_fail(struct rego_watch *w, size_t i, unsigned depth)
{
    for (size_t k = 0; k < w->stack_n && w->depths[k] <= depth; k++) {
        if (!w->is_told[k]) {
            add_line(w, w->stack[k], w->depths[k], "Enter");
            w->is_told[k] = true;
        }
    }
    add_line(w, i, depth + 1, "Fail");
}

static void trace(struct rego_watch *w, enum mln_rego_event event, size_t i, unsigned depth)
{
    static const char *const words[] = {[MLN_REGO_ENTER] = "Enter",
                                        [MLN_REGO_EXIT] = "Exit",
                                        [MLN_REGO_EVAL] = "Eval",
                                        [MLN_REGO_FAIL] = "Fail"};
    bool is_fail = event == MLN_REGO_FAIL && w->is_open[i];
    if (w->trace == REGO_TRACE_FULL && event != MLN_REGO_PASS && (event != MLN_REGO_FAIL || is_fail)) {
        add_line(w, i, event == MLN_REGO_ENTER || event == MLN_REGO_EXIT ? depth : depth + 1, words[event]);
    } else if (w->trace == REGO_TRACE_FAILS && event == MLN_REGO_ENTER) {
        enter(w, i, depth);
    } else if (w->trace == REGO_TRACE_FAILS && is_fail) {
        tell_fail(w, i, depth);
    }
}

/* The time between two events belongs to the expression that began last. */
static void clock_on(struct rego_watch *w, size_t i)
{
    int64_t now = mln_mono_ns();
    if (w->at < w->n) {
        w->time_ns[w->at] += now - w->since_ns;
    }
    w->at = i;
    w->since_ns = now;
}

void rego_watch_note(void *watch, enum mln_rego_event event, size_t i, unsigned depth)
{
    struct rego_watch *w = watch;
    if (i >= w->n) {
        return;
    }
    trace(w, event, i, depth);
    if (event == MLN_REGO_EVAL) {
        w->evals[i]++;
        w->is_open[i] = true;
        clock_on(w, i);
    } else if (event == MLN_REGO_PASS || event == MLN_REGO_EXIT) {
        w->holds[i]++;
        w->is_open[i] = false;
    } else if (event == MLN_REGO_FAIL) {
        w->is_open[i] = false;
    }
}

/* ---- coverage ---- */
struct row {
    const char *file;
    uint32_t row;
    bool is_covered;
};

static int by_row(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int c = mln_bytes_cmp(mln_bytes_of(x->file), mln_bytes_of(y->file));
    return c != 0 ? c : x->row < y->row ? -1 : x->row > y->row;
}

/* Rows with something to run, each once: it is covered when anything on it ran. */
static size_t rows_of(struct rego_watch *w, struct row *rows)
{
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < w->n; i++) {
        struct mln_rego_note note = {0};
        (void)mln_rego_note_at(w->rego, i, &note);
        rows[n++] = (struct row){note.file, note.row, note.is_rule ? w->holds[i] > 0 : w->evals[i] > 0};
    }
    qsort(rows, n, sizeof(*rows), by_row);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && by_row(&rows[kept - 1], &rows[i]) == 0) {
            rows[kept - 1].is_covered |= rows[i].is_covered;
        } else {
            rows[kept++] = rows[i];
        }
    }
    return kept;
}

static double percent(uint64_t covered, uint64_t all)
{
    double p = all == 0 ? 100.0 : 100.0 * (double)covered / (double)all;
    return (double)(int64_t)(p * 100.0 + 0.5) / 100.0;
}

static struct mln_value *number(struct mln_cx *cx, double d)
{
    const char *text = mln_text_format(cx, "%.6g", d);
    return mln_decimal(cx, mln_bytes_of(text));
}

static struct mln_value *range(struct mln_cx *cx, uint32_t from, uint32_t to)
{
    struct mln_value *v = mln_object(cx), *start = mln_object(cx), *end = mln_object(cx);
    mln_put_int(cx, start, "row", from);
    mln_put_int(cx, end, "row", to);
    mln_put(cx, v, "start", start);
    mln_put(cx, v, "end", end);
    return v;
}

/* Rows of one kind behind one another are one range; rows without anything to run do not part them. */
static struct mln_value *ranges(struct mln_cx *cx, const struct row *rows, size_t n, bool covered, uint64_t *ret_lines)
{
    struct mln_value *list = mln_array(cx);
    *ret_lines = 0;
    for (size_t i = 0, k = 0; i < n; i = k) {
        for (k = i + 1; k < n && rows[k].is_covered == rows[i].is_covered && rows[k].row == rows[k - 1].row + 1;) {
            k++;
        }
        if (rows[i].is_covered == covered) {
            mln_push(cx, list, range(cx, rows[i].row, rows[k - 1].row));
            *ret_lines += k - i;
        }
    }
    return list;
}

static struct mln_value *summary(struct mln_cx *cx, struct mln_value *v, uint64_t covered, uint64_t missed)
{
    mln_put_int(cx, v, "covered_lines", (int64_t)covered);
    mln_put_int(cx, v, "not_covered_lines", (int64_t)missed);
    mln_put(cx, v, "coverage", number(cx, percent(covered, covered + missed)));
    return v;
}

struct mln_value *rego_watch_coverage(struct rego_watch *w, double *ret_percent)
{
    struct mln_value *v = mln_object(w->cx), *files = mln_object(w->cx);
    struct row *rows = mln_new_array(w->cx, w->n + 1, sizeof(*rows));
    size_t n = rows == NULL ? 0 : rows_of(w, rows);
    uint64_t all_covered = 0, all_missed = 0;
    for (size_t i = 0, k = 0; i < n; i = k) {
        uint64_t covered = 0, missed = 0;
        for (k = i + 1; k < n && mln_bytes_is(mln_bytes_of(rows[k].file), rows[i].file);) {
            k++;
        }
        struct mln_value *file = mln_object(w->cx), *in = ranges(w->cx, rows + i, k - i, true, &covered),
                         *out = ranges(w->cx, rows + i, k - i, false, &missed);
        if (covered > 0) {
            mln_put(w->cx, file, "covered", in);
        }
        if (missed > 0) {
            mln_put(w->cx, file, "not_covered", out);
        }
        mln_put_key(w->cx, files, mln_bytes_of(rows[i].file), summary(w->cx, file, covered, missed));
        all_covered += covered;
        all_missed += missed;
    }
    *ret_percent = percent(all_covered, all_covered + all_missed);
    mln_put(w->cx, v, "files", files);
    return summary(w->cx, v, all_covered, all_missed);
}

/* ---- profile ---- */
struct spent {
    int64_t ns;
    size_t i;
};

static int by_time(const void *a, const void *b)
{
    const struct spent *x = a, *y = b;
    return x->ns > y->ns ? -1 : x->ns < y->ns;
}

#define PROFILE_MAX 10u /* places, as OPA tells */

struct mln_value *rego_watch_profile(struct rego_watch *w)
{
    struct mln_value *list = mln_array(w->cx);
    struct spent *all = mln_new_array(w->cx, w->n + 1, sizeof(*all));
    size_t n = 0;
    clock_on(w, w->n);
    for (size_t i = 0; all != NULL && i < w->n; i++) {
        if (w->evals[i] > 0) {
            all[n++] = (struct spent){w->time_ns[i], i};
        }
    }
    if (n > 0) {
        qsort(all, n, sizeof(*all), by_time);
    }
    for (size_t k = 0; k < n && k < PROFILE_MAX; k++) {
        struct mln_rego_note note = {0};
        struct mln_value *v = mln_object(w->cx), *at = mln_object(w->cx);
        uint64_t evals = w->evals[all[k].i], holds = w->holds[all[k].i];
        (void)mln_rego_note_at(w->rego, all[k].i, &note);
        mln_put_int(w->cx, v, "total_time_ns", all[k].ns);
        mln_put_int(w->cx, v, "num_eval", (int64_t)evals);
        mln_put_int(w->cx, v, "num_redo", (int64_t)holds);
        mln_put_int(w->cx, v, "num_gen_expr", 1);
        mln_put_text(w->cx, at, "file", note.file);
        mln_put_int(w->cx, at, "row", note.row);
        mln_put_int(w->cx, at, "col", note.col);
        mln_put(w->cx, v, "location", at);
        mln_push(w->cx, list, v);
    }
    return list;
}
