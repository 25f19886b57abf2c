/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys/metrics: counts since the start, as Prometheus' text or as JSON. Counting a request is one relaxed addition; what must be walked
 * to be counted is not shown here. Source: the text format of Prometheus' documentation.
 */
#include "core/sys_priv.h"

static const char *const op_names[] = {"read", "list", "write", "patch", "delete", "help", "scan"};
static_assert(MLN_COUNT(op_names) == MLN_COUNT(((struct mln_counts *)0)->requests), "a row an operation");

void mln_count_request(struct mln_core *core, enum mln_op op, int64_t status)
{
    size_t klass = status >= 200 && status <= 599 ? (size_t)status / 100 - 2 : 3;
    atomic_fetch_add_explicit(&core->counts.requests[op][klass], 1, memory_order_relaxed);
}

/* ---- one list for both forms ---- */

struct metric {
    const char *name, *kind, *help;
    const char *op, *status; /* labels, or NULL */
    uint64_t value;
};

struct metrics {
    struct metric all[MLN_COUNT(op_names) * 4 + 16];
    size_t n;
};

static void add(struct metrics *m, const char *name, const char *kind, const char *help, uint64_t value)
{
    MLN_CHECK(m->n < MLN_COUNT(m->all));
    m->all[m->n++] = (struct metric){.name = name, .kind = kind, .help = help, .value = value};
}

static void add_requests(struct mln_core *core, struct metrics *m)
{
    static const char *const classes[] = {"2xx", "3xx", "4xx", "5xx"};
    for (size_t op = 0; op < MLN_COUNT(op_names); op++) {
        for (size_t c = 0; c < MLN_COUNT(classes); c++) {
            uint64_t n = atomic_load_explicit(&core->counts.requests[op][c], memory_order_relaxed);
            if (n > 0 || (op == 0 && c == 0)) {
                add(m, "merlon_requests_total", "counter", "Requests answered, by operation and status.", n);
                m->all[m->n - 1].op = op_names[op];
                m->all[m->n - 1].status = classes[c];
            }
        }
    }
}

static struct mln_err collect(struct mln_request *rq, struct metrics *m)
{
    struct mln_core *core = mln_core_of(rq);
    struct mln_store_stat stat = {0};
    struct mln_ledger_status ledger = {0};
    struct mln_barrier_status key = {0};
    mln_store_stat(core->store, &stat);
    mln_ledger_status(core->ledger, &ledger);
    MLN_TRY(mln_barrier_key_status(rq->cx, core->barrier, rq->ns, &key));
    add_requests(core, m);
    add(m, "merlon_store_bytes", "gauge", "Used by the store.", stat.bytes);
    add(m, "merlon_store_commits_total", "counter", "Synced transactions.", stat.commits);
    add(m, "merlon_store_batches_total", "counter", "Batches in them.", stat.batches);
    add(m, "merlon_store_conflicts_total", "counter", "Batches refused because of another.", stat.conflicts);
    add(m, "merlon_store_is_full", "gauge", "1: only what frees or closes is taken.", stat.is_full ? 1 : 0);
    add(m, "merlon_ledger_size", "gauge", "Records.", ledger.size);
    add(m, "merlon_ledger_published", "gauge", "Records below the newest checkpoint.", ledger.published);
    add(m, "merlon_ledger_pruned", "gauge", "Records whose contents are forgotten.", ledger.pruned);
    add(m, "merlon_barrier_key_term", "gauge", "The newest key's number.", key.term);
    add(m, "merlon_barrier_encryptions", "gauge", "Values sealed under it, about.", key.encryptions);
    add(m, "merlon_mounts", "gauge", "Mounts.", mln_run_of(rq)->table == NULL ? 0 : mln_run_of(rq)->table->n);
    return MLN_OK;
}

static struct mln_err as_text(struct mln_request *rq, const struct metrics *m, struct mln_reply *re)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    for (size_t i = 0; i < m->n; i++) {
        const struct metric *one = &m->all[i];
        bool is_first = i == 0 || !mln_bytes_is(mln_bytes_of(one->name), m->all[i - 1].name);
        if (is_first) {
            mln_buf_add_format(&out, "# HELP %s %s\n# TYPE %s %s\n", one->name, one->help, one->name, one->kind);
        }
        if (one->op != NULL) {
            mln_buf_add_format(&out, "%s{op=\"%s\",status=\"%s\"} %llu\n", one->name, one->op, one->status,
                               (unsigned long long)one->value);
        } else {
            mln_buf_add_format(&out, "%s %llu\n", one->name, (unsigned long long)one->value);
        }
    }
    MLN_TRY(mln_buf_ok(rq->cx, &out));
    re->raw = mln_bytes_dup(rq->cx, mln_buf_bytes(&out));
    re->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return mln_cx_err(rq->cx);
}

static struct mln_err as_json(struct mln_request *rq, const struct metrics *m, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *bare = mln_object(cx), *gauges = mln_array(cx), *counters = mln_array(cx);
    for (size_t i = 0; i < m->n; i++) {
        const struct metric *from = &m->all[i];
        bool is_counter = mln_bytes_is(mln_bytes_of(from->kind), "counter");
        struct mln_value *one = mln_object(cx), *labels = mln_object(cx);
        if (from->op != NULL) {
            mln_put_text(cx, labels, "op", from->op);
            mln_put_text(cx, labels, "status", from->status);
        }
        mln_put_text(cx, one, "Name", from->name);
        mln_put_int(cx, one, is_counter ? "Count" : "Value", (int64_t)from->value);
        mln_put(cx, one, "Labels", labels);
        mln_push(cx, is_counter ? counters : gauges, one);
    }
    mln_put_text(cx, bare, "Timestamp", mln_time_text(cx, rq->now_ns, 0));
    mln_put(cx, bare, "Gauges", gauges);
    mln_put(cx, bare, "Points", mln_array(cx));
    mln_put(cx, bare, "Counters", counters);
    mln_put(cx, bare, "Samples", mln_array(cx));
    re->bare = bare;
    return mln_cx_err(cx);
}

static struct mln_err metrics(struct mln_request *rq, struct mln_reply *re)
{
    struct metrics *m = mln_new(rq->cx, sizeof(*m));
    struct mln_bytes format = mln_get_bytes(mln_field_of(rq, "format"));
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(collect(rq, m));
    if (format.len == 0) {
        return as_json(rq, m, re);
    }
    return mln_bytes_is(format, "prometheus")
               ? as_text(rq, m, re)
               : mln_fail(rq->cx, MLN_E_INVALID, "metric response content type \"%.*s\" is not supported",
                          MLN_FMT(format));
}

static const struct mln_field metrics_fields[] = {F_TEXT("format", "prometheus; JSON without."), {0}};

const struct mln_path mln_sys_metrics[] = {
    {.pattern = "metrics",
     .summary = "Counts since the start.",
     .fields = metrics_fields,
     .read = metrics,
     .is_exempt = true},
    {0},
};
