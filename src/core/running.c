/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on their way: a list of what the threads of core answer just now. Data and tokens of a request are never shown. */
#include "core/core_priv.h"

#include "base/text.h"

void mln_running_add(struct mln_core *core, struct mln_running *one, const struct mln_run *run)
{
    one->run = run;
    pthread_mutex_lock(&core->running_lock);
    one->next = core->running;
    one->at = &core->running;
    if (one->next != NULL) {
        one->next->at = &one->next;
    }
    core->running = one;
    pthread_mutex_unlock(&core->running_lock);
}

void mln_running_remove(struct mln_core *core, struct mln_running *one)
{
    pthread_mutex_lock(&core->running_lock);
    *one->at = one->next;
    if (one->next != NULL) {
        one->next->at = one->at;
    }
    pthread_mutex_unlock(&core->running_lock);
}

static void put_row(struct mln_cx *cx, const struct mln_run *run, struct mln_value *rows)
{
    static const char *const methods[] = {"GET", "LIST", "PUT", "PATCH", "DELETE", "GET", "SCAN"};
    struct mln_value *row = mln_object(cx);
    bool is_v6 = mln_bytes_find(mln_bytes_of(run->rq.source), ':') < mln_bytes_of(run->rq.source).len;
    mln_put_text(cx, row, "start_time", mln_time_text_go(cx, run->rq.now_ns));
    mln_put_text(cx, row, "client_remote_address",
                 mln_text_format(cx, is_v6 ? "[%s]:%lld" : "%s:%lld", run->rq.source,
                                 (long long)mln_get_int(mln_get(run->message, "port"), 0)));
    mln_put_text(cx, row, "request_path", mln_text_format(cx, "/v1/%.*s", MLN_FMT(run->rq.path)));
    mln_put_text(cx, row, "request_method", methods[run->rq.op]);
    mln_put_text(cx, row, "client_id", ""); /* who asks is not yet known of all */
    mln_put(cx, rows, mln_text_dup(cx, mln_bytes_of(run->rq.id)), row);
}

const struct mln_value *mln_running_rows(struct mln_cx *cx, struct mln_core *core)
{
    struct mln_value *rows = mln_object(cx);
    pthread_mutex_lock(&core->running_lock);
    for (const struct mln_running *one = core->running; one != NULL; one = one->next) {
        put_row(cx, one->run, rows);
    }
    pthread_mutex_unlock(&core->running_lock);
    return rows;
}
