/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions for the log, in OPA's shape. A policy may drop them (data.system.log.drop) or mask parts of them (data.system.log.mask).
 * A thread carries them to the feeder in batches, so that who answers never waits for a pipe.
 */
#include "api/rego_priv.h"

#include <stdlib.h>

#include <stdio.h>
#include <unistd.h>

#include "api/rego_feed.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "base/text.h"

#define BATCH_NS     ((int64_t)20000000)  /* what is gathered before it goes: wakes cost more than copies */
#define LINES_MAX    ((size_t)64 << 20)   /* waits for the feeder; more is dropped and counted */
#define SCRIBE_ARENA ((size_t)1 << 20)
#define MASK_STEPS   1000000u
#define PARTS_MAX    64u

/* ---- the thread ---- */

/* Sent in order: answers to the feeder, then the status, then decisions. False: the feeder is gone. */
static bool send_all(struct mln_rego_state *state, struct mln_buf *answers, struct mln_buf *status, struct mln_buf *lines)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRIBE_ARENA, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_value *head = mln_object(&cx), *other = mln_object(&cx);
    bool ok = arena != NULL && !mln_failed(mln_fd_write(&cx, state->feeder_fd, answers->ptr, answers->len));
    mln_put_text(&cx, head, "did", "status");
    mln_put_text(&cx, other, "did", "log");
    if (ok && status->len > 0) {
        ok = !mln_failed(rego_feed_send(&cx, state->feeder_fd, head, mln_buf_bytes(status)));
    }
    if (ok && lines->len > 0) {
        ok = !mln_failed(rego_feed_send(&cx, state->feeder_fd, other, mln_buf_bytes(lines)));
    }
    mln_buf_clear(answers);
    mln_buf_clear(status);
    mln_buf_clear(lines);
    return ok;
}

static void swap(struct mln_buf *a, struct mln_buf *b)
{
    struct mln_buf old = *a;
    *a = *b;
    *b = old;
}

static bool has_news(const struct rego_scribe *s)
{
    return s->lines.len > 0 || s->status.len > 0 || s->answers.len > 0;
}

static void *scribe_main(void *arg)
{
    struct mln_rego_state *state = arg;
    struct rego_scribe *s = &state->scribe;
    struct mln_sandbox_state sandbox;
    MLN_AUTO(mln_buf_drop) struct mln_buf lines = {0}, status = {0}, answers = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    bool goes_on = !mln_failed(mln_sandbox_enter(&cx, MLN_SANDBOX_FRONT, -1, &sandbox)), is_last = false;
    while (goes_on && !is_last) {
        (void)pthread_mutex_lock(&s->lock);
        while (!has_news(s) && !s->is_ended) {
            s->is_waiting = true;
            (void)pthread_cond_wait(&s->news, &s->lock);
        }
        s->is_waiting = false;
        is_last = s->is_ended;
        swap(&lines, &s->lines);
        swap(&status, &s->status);
        swap(&answers, &s->answers);
        uint64_t dropped = s->dropped;
        s->dropped = 0;
        (void)pthread_mutex_unlock(&s->lock);
        if (dropped > 0) {
            mln_log(MLN_LOG_WARN, "rego", "%llu decisions were not logged: they came faster than they go out, or than is configured",
                    (unsigned long long)dropped);
        }
        bool is_urgent = answers.len > 0 || is_last;
        goes_on = send_all(state, &answers, &status, &lines);
        if (goes_on && !is_urgent) {
            mln_sleep_ns(BATCH_NS);
        }
    }
    return NULL;
}

struct mln_err rego_scribe_start(struct mln_cx *cx, struct mln_rego_state *state)
{
    state->scribe.has_thread = pthread_create(&state->scribe.thread, NULL, scribe_main, state) == 0;
    return state->scribe.has_thread ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread for the log of decisions");
}

/* The lock is held. */
static void wake(struct rego_scribe *s)
{
    if (s->is_waiting) {
        (void)pthread_cond_signal(&s->news);
    }
}

void rego_scribe_end(struct mln_rego_state *state)
{
    struct rego_scribe *s = &state->scribe;
    if (s->has_thread) {
        (void)pthread_mutex_lock(&s->lock);
        s->is_ended = true;
        wake(s);
        (void)pthread_mutex_unlock(&s->lock);
        (void)pthread_join(s->thread, NULL);
    }
    mln_fd_drop(&state->feeder_fd); /* the feeder sees it, sends what it has and ends; then the keeper sees that */
    if (state->has_keeper) {
        (void)pthread_join(state->keeper, NULL);
    }
    mln_fd_drop(&state->feeder_in);
}

void rego_scribe_answer(struct mln_rego_state *state, const struct mln_value *head, struct mln_bytes body)
{
    struct rego_scribe *s = &state->scribe;
    (void)pthread_mutex_lock(&s->lock);
    rego_feed_print(&s->answers, head, body);
    wake(s);
    (void)pthread_mutex_unlock(&s->lock);
}

void rego_scribe_status(struct mln_rego_state *state)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(SCRIBE_ARENA, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct rego_scribe *s = &state->scribe;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (arena == NULL || state->feeder_fd < 0 || !state->now->settings->config->status.is_on) {
        return;
    }
    rego_print_status(&cx, state, &text);
    mln_buf_add_byte(&text, '\n');
    (void)pthread_mutex_lock(&s->lock);
    swap(&s->status, &text);
    wake(s);
    (void)pthread_mutex_unlock(&s->lock);
}

/* ---- one decision ---- */

static const struct rego_report_config *report_of(const struct rego_call *call)
{
    return &call->snapshot->settings->config->decisions;
}

bool rego_logs_decisions(const struct rego_call *call)
{
    return call->state->feeder_fd >= 0 && report_of(call)->is_on;
}

void rego_log_begin(struct rego_call *call)
{
    call->is_decision = rego_logs_decisions(call);
    if (call->is_decision && call->decision_id[0] == '\0') {
        mln_uuid(call->decision_id);
    }
}

static void add_member(struct mln_buf *out, const char *name, struct mln_bytes json)
{
    if (json.len > 0) {
        mln_buf_add_format(out, ",\"%s\":", name);
        mln_buf_add_bytes(out, json);
    }
}

static void add_text(struct mln_buf *out, const char *name, struct mln_bytes text)
{
    mln_buf_add_format(out, ",\"%s\":", name);
    mln_json_print_string(out, text, MLN_JSON_COMPACT);
}

static void add_headers(struct rego_call *call, struct mln_buf *out)
{
    const struct mln_value *names = report_of(call)->headers;
    bool is_first = true;
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(call->cx, mln_item(names, i), "");
        struct mln_bytes value = mln_http_header(call->http, name);
        if (value.len > 0 && mln_utf8_valid(value)) {
            mln_buf_add_text(out, is_first ? ",\"request_context\":{\"http\":{\"headers\":{" : ",");
            mln_json_print_string(out, mln_bytes_of(name), MLN_JSON_COMPACT);
            mln_buf_add_text(out, ":[");
            mln_json_print_string(out, value, MLN_JSON_COMPACT);
            mln_buf_add_byte(out, ']');
            is_first = false;
        }
    }
    mln_buf_add_text(out, is_first ? "" : "}}}");
}

static void print_event(struct rego_call *call, const struct rego_decision *d, struct mln_buf *out)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf part = {0};
    mln_buf_add_text(out, "{\"labels\":");
    mln_buf_add_bytes(out, call->snapshot->settings->labels);
    add_text(out, "decision_id", mln_bytes_of(call->decision_id));
    add_member(out, "bundles", call->snapshot->revisions);
    if (d->path != NULL) {
        add_text(out, "path", mln_bytes_of(d->path));
    }
    if (d->query.len > 0) {
        add_text(out, "query", d->query);
    }
    if (mln_rego_eval_input_print(call->worker->eval, &part)) {
        add_member(out, "input", mln_buf_bytes(&part));
    }
    add_member(out, "result", d->result);
    mln_buf_clear(&part);
    if (mln_rego_nd_print(call->worker->eval, &part)) {
        add_member(out, "nd_builtin_cache", mln_buf_bytes(&part));
    }
    if (d->error != NULL) {
        mln_buf_add_text(out, ",\"error\":{\"code\":\"internal_error\"");
        add_text(out, "message", mln_bytes_of(d->error));
        mln_buf_add_byte(out, '}');
    }
    mln_buf_add_format(out, ",\"requested_by\":\"%.*s%s%u\"", MLN_FMT(call->http->peer), call->http->peer_port == 0 ? "" : ":",
                       (unsigned)call->http->peer_port);
    add_text(out, "timestamp", mln_bytes_of(mln_time_text_go(call->cx, mln_now_ns())));
    add_headers(call, out);
    mln_buf_add_format(out, ",\"metrics\":{\"timer_rego_input_parse_ns\":%lld,\"timer_rego_query_compile_ns\":%lld,"
                            "\"timer_rego_query_eval_ns\":%lld,\"timer_server_handler_ns\":%lld}}",
                       (long long)call->parse_ns, (long long)call->compile_ns, (long long)call->eval_ns,
                       (long long)(mln_mono_ns() - call->start_ns));
}

/* ---- masks ---- */

/* What the policy at this path says of the event; NULL when it is undefined. The evaluator's input and answer are lost. */
static struct mln_err ask(struct rego_call *call, const char *path, struct mln_bytes event, const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0}, json = {0};
    const struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *failed = NULL;
    struct mln_rego_eval *eval = call->worker->eval;
    struct mln_rego_run_options options = {.budget = {.steps_max = MASK_STEPS, .time_ns = call->state->time_ns},
                                           .zones = call->state->zones};
    rego_path_query(rego_path_of(call->cx, path), &text);
    MLN_TRY(mln_rego_eval_input(eval, call->cx, event));
    MLN_TRY(rego_query_get(call, mln_buf_bytes(&text), mln_buf_bytes(&text), &query, &failed));
    MLN_TRY(mln_rego_run(eval, call->cx, query, call->snapshot->documents->data, &options));
    *ret = NULL;
    if (!mln_rego_binding_print(eval, 0, REGO_RESULT, &json)) {
        return MLN_OK;
    }
    return mln_json_parse(call->cx, mln_bytes_dup(call->cx, mln_buf_bytes(&json)), ret);
}

/* A path of a mask: "/input/a/b" as its names. */
struct pointer {
    struct mln_bytes parts[PARTS_MAX];
    size_t n;
};

static bool read_pointer(struct mln_cx *cx, struct mln_bytes text, struct pointer *ret)
{
    struct mln_bytes rest = text;
    ret->n = 0;
    if (!mln_bytes_starts(text, MLN_BYTES("/"))) {
        return false;
    }
    rest = mln_bytes_from(rest, 1);
    while (rest.len > 0 && ret->n < PARTS_MAX) {
        MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
        struct mln_bytes part = mln_bytes_cut(rest, '/', &rest);
        for (size_t i = 0; i < part.len; i++) { /* ~1 is "/", ~0 is "~" */
            bool is_escape = part.ptr[i] == '~' && i + 1 < part.len && (part.ptr[i + 1] == '0' || part.ptr[i + 1] == '1');
            mln_buf_add_byte(&out, !is_escape ? part.ptr[i] : part.ptr[i + 1] == '0' ? '~' : '/');
            i += is_escape;
        }
        ret->parts[ret->n++] = mln_bytes_dup(cx, mln_buf_bytes(&out));
    }
    struct mln_bytes top = ret->n > 0 ? ret->parts[0] : MLN_BYTES_NONE;
    bool is_known = mln_bytes_is(top, "input") || mln_bytes_is(top, "result") || mln_bytes_is(top, "nd_builtin_cache");
    return rest.len == 0 && is_known;
}

/* `v` with the value at the pointer replaced, or removed when `with` is NULL; *ret_done: there was something to do. */
static const struct mln_value *edit(struct mln_cx *cx, const struct mln_value *v, const struct pointer *at, size_t i,
                                    const struct mln_value *with, bool *ret_done)
{
    bool is_array = mln_type_of(v) == MLN_ARRAY, is_last = i + 1 == at->n;
    uint64_t index = 0;
    if (is_array ? !mln_u64_parse(at->parts[i], &index) || index >= mln_len(v) : mln_type_of(v) != MLN_OBJECT) {
        return v;
    }
    struct mln_value *out = is_array ? mln_array(cx) : mln_object(cx);
    const struct mln_value *old = is_array ? mln_item(v, (size_t)index) : mln_get_key(v, at->parts[i]);
    if (old == NULL && !(is_last && with != NULL)) {
        return v;
    }
    const struct mln_value *new = is_last ? with : edit(cx, old, at, i + 1, with, ret_done);
    *ret_done = *ret_done || is_last;
    for (size_t k = 0; k < mln_len(v); k++) {
        bool is_it = is_array ? k == index : mln_bytes_eq(mln_member_at(v, k)->key, at->parts[i]);
        const struct mln_value *one = is_it ? new : is_array ? mln_item(v, k) : &mln_member_at(v, k)->value;
        if (one != NULL && is_array) {
            mln_push(cx, out, one);
        } else if (one != NULL) {
            mln_put_key(cx, out, mln_member_at(v, k)->key, one);
        }
    }
    if (!is_array && old == NULL) {
        mln_put_key(cx, out, at->parts[i], new);
    }
    return out;
}

struct masked {
    const struct mln_value *event;
    struct mln_value *erased, *changed;
};

struct mask_rule {
    struct pointer at;
    const struct mln_value *path, *with; /* with: NULL erases */
    size_t order;
};

static bool read_rule(struct mln_cx *cx, const struct mln_value *rule, struct mask_rule *ret)
{
    bool is_text = mln_type_of(rule) == MLN_STRING;
    bool is_upsert = !is_text && mln_is_text(mln_get(rule, "op"), "upsert");
    const struct mln_value *with = is_upsert ? mln_get(rule, "value") : NULL;
    ret->path = is_text ? rule : mln_get(rule, "path");
    ret->with = is_upsert && with == NULL ? mln_null(cx) : with;
    return read_pointer(cx, mln_get_bytes(ret->path), &ret->at);
}

/* Indexes as numbers, before other names, which are texts. */
static int by_part(struct mln_bytes a, struct mln_bytes b)
{
    uint64_t x = 0, y = 0;
    bool a_counts = mln_u64_parse(a, &x), b_counts = mln_u64_parse(b, &y);
    if (a_counts && b_counts) {
        return (x > y) - (x < y);
    }
    return a_counts != b_counts ? b_counts - a_counts : mln_bytes_cmp(a, b);
}

/* Erasing moves what stands behind: so erasures come last, and of one list those behind first. */
static int by_turn(const void *left, const void *right)
{
    const struct mask_rule *a = left, *b = right;
    bool a_erases = a->with == NULL, b_erases = b->with == NULL;
    if (a_erases != b_erases || !a_erases) {
        return a_erases != b_erases ? a_erases - b_erases : (a->order > b->order) - (a->order < b->order);
    }
    for (size_t i = 0; i < a->at.n && i < b->at.n; i++) {
        int how = by_part(b->at.parts[i], a->at.parts[i]);
        if (how != 0) {
            return how;
        }
    }
    return (b->at.n > a->at.n) - (b->at.n < a->at.n);
}

/* All of them in the order in which they are done. INVALID: one that is none */
static struct mln_err read_rules(struct mln_cx *cx, const struct mln_value *all, struct mask_rule **ret)
{
    size_t n = mln_len(all);
    bool is_object = mln_type_of(all) == MLN_OBJECT;
    if (!is_object && mln_type_of(all) != MLN_ARRAY) {
        return mln_fail(cx, MLN_E_INVALID, "a mask is a set of paths or of objects");
    }
    struct mask_rule *rules = mln_new_array(cx, n + 1, sizeof(*rules));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        rules[i].order = i;
        if (!read_rule(cx, is_object ? &mln_member_at(all, i)->value : mln_item(all, i), &rules[i])) {
            return mln_fail(cx, MLN_E_INVALID, "a mask has a path that is none: it begins with /input, /result or /nd_builtin_cache");
        }
    }
    qsort(rules, n, sizeof(*rules), by_turn);
    *ret = rules;
    return MLN_OK;
}

static void mask_one(struct mln_cx *cx, const struct mask_rule *rule, struct masked *m)
{
    bool is_done = false;
    m->event = edit(cx, m->event, &rule->at, 0, rule->with, &is_done);
    if (is_done) {
        mln_push(cx, rule->with != NULL ? m->changed : m->erased, rule->path);
    }
}

static struct mln_err mask(struct rego_call *call, struct mln_buf *event)
{
    struct mln_cx *cx = call->cx;
    const struct mln_value *said = NULL, *whole = NULL;
    struct mask_rule *rules = NULL;
    struct masked m = {.erased = mln_array(cx), .changed = mln_array(cx)};
    MLN_TRY(ask(call, report_of(call)->mask, mln_buf_bytes(event), &said));
    if (said == NULL) {
        return MLN_OK;
    }
    MLN_TRY(read_rules(cx, said, &rules));
    MLN_TRY(mln_json_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(event)), &whole));
    m.event = whole;
    for (size_t i = 0; i < mln_len(said); i++) {
        mask_one(cx, &rules[i], &m);
    }
    struct mln_value *out = mln_value_dup(cx, m.event);
    if (mln_len(m.erased) > 0) {
        mln_put(cx, out, "erased", m.erased);
    }
    if (mln_len(m.changed) > 0) {
        mln_put(cx, out, "masked", m.changed);
    }
    MLN_TRY(mln_cx_err(cx));
    mln_buf_clear(event);
    mln_json_print(event, out, MLN_JSON_COMPACT);
    return mln_buf_ok(cx, event);
}

/* A mask that fails hides everything: what should have been masked must not be seen. */
static void hide(struct rego_call *call, const struct rego_decision *d, struct mln_buf *event)
{
    struct rego_decision bare = *d;
    mln_log(MLN_LOG_ERROR, "rego", "the mask of decisions failed, input and result are left out: %s", call->cx->text);
    mln_cx_clear(call->cx);
    bare.result = MLN_BYTES_NONE;
    mln_rego_eval_reset(call->worker->eval);
    mln_buf_clear(event);
    print_event(call, &bare, event);
    event->len -= event->len > 0;
    mln_buf_add_text(event, ",\"erased\":[\"/input\",\"/result\"]}");
}

static bool is_dropped(struct rego_call *call, struct mln_bytes event)
{
    const struct mln_value *v = NULL;
    bool failed = mln_failed(ask(call, report_of(call)->drop, event, &v));
    mln_cx_clear(call->cx);
    return !failed && mln_get_bool(v, false);
}

/* The lock is held. Within this second's share? */
static bool is_in_time(struct rego_scribe *s, int64_t per_second_max)
{
    int64_t now_s = mln_mono_ns() / 1000000000;
    if (now_s != s->window_s) {
        s->window_s = now_s;
        s->in_window = 0;
    }
    return per_second_max == 0 || ++s->in_window <= per_second_max;
}

void rego_log_decision(struct rego_call *call, const struct rego_decision *decision)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf event = {.max = LINES_MAX};
    struct rego_scribe *s = &call->state->scribe;
    mln_cx_clear(call->cx);
    print_event(call, decision, &event);
    bool has_drop = call->snapshot->set->has_drop || !mln_bytes_is(mln_bytes_of(report_of(call)->drop), "system/log/drop");
    bool has_mask = call->snapshot->set->has_mask || !mln_bytes_is(mln_bytes_of(report_of(call)->mask), "system/log/mask");
    if (has_drop && is_dropped(call, mln_buf_bytes(&event))) {
        return;
    }
    if (has_mask && mln_failed(mask(call, &event))) {
        hide(call, decision, &event);
    }
    mln_buf_add_byte(&event, '\n');
    (void)pthread_mutex_lock(&s->lock);
    if (event.has_failed || s->lines.len + event.len > LINES_MAX || !is_in_time(s, report_of(call)->per_second_max)) {
        s->dropped++;
    } else {
        mln_buf_add_bytes(&s->lines, mln_buf_bytes(&event));
    }
    wake(s);
    (void)pthread_mutex_unlock(&s->lock);
}
