/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feeder's start and heart: it hears the evaluator, keeps a reach process, and has a thread for each bundle. Calls block; each
 * bundle may be waited for by long polling without holding up the others.
 */
#include "api/rego_feeder_priv.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES   ((size_t)256 << 10)
#define ANSWER_WAIT_S 600 /* the evaluator reads and compiles 100 MB in seconds; after this it hangs */
#define LOG_BODY_MAX  ((size_t)256 << 20)
#define REACH_QUICK_NS SECOND_NS
#define END_PATIENCE_NS (5 * SECOND_NS)

/* ---- time ---- */

void feeder_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(cond, &attr);
    (void)pthread_condattr_destroy(&attr);
}

struct timespec feeder_end_after(int64_t ns)
{
    struct timespec end = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t sum = end.tv_nsec + ns % SECOND_NS;
    end.tv_sec += (time_t)(ns / SECOND_NS + sum / SECOND_NS);
    end.tv_nsec = (long)(sum % SECOND_NS);
    return end;
}

int64_t feeder_delay_ns(int64_t min_s, int64_t max_s, unsigned failures)
{
    int64_t low = min_s * SECOND_NS, high = max_s * SECOND_NS;
    for (unsigned i = 1; i < failures && low < high; i++) {
        low = low == 0 ? SECOND_NS / 10 : low * 2;
    }
    low = low > high ? high : low;
    return low + (high > low ? (int64_t)mln_random_below((uint64_t)(high - low)) : 0);
}

bool poller_wait(struct poller *p, int64_t ns)
{
    struct timespec end = feeder_end_after(ns);
    bool in_time = true;
    (void)pthread_mutex_lock(&p->lock);
    while (!p->is_stopped && in_time) {
        in_time = pthread_cond_timedwait(&p->news, &p->lock, &end) == 0;
    }
    bool goes_on = !p->is_stopped;
    (void)pthread_mutex_unlock(&p->lock);
    return goes_on;
}

/* ---- to the evaluator ---- */

struct mln_err feeder_send(struct feeder *f, struct mln_cx *cx, const struct mln_value *head, struct mln_bytes body)
{
    (void)pthread_mutex_lock(&f->send_lock);
    struct mln_err err = rego_feed_send(cx, f->options->out_fd, head, body);
    (void)pthread_mutex_unlock(&f->send_lock);
    if (mln_is(err, MLN_E_UNREACHABLE)) {
        _exit(0); /* the evaluator is gone */
    }
    return err;
}

static bool await_answer(struct poller *p)
{
    struct timespec end = feeder_end_after(ANSWER_WAIT_S * SECOND_NS);
    bool in_time = true;
    (void)pthread_mutex_lock(&p->lock);
    while (!p->is_answered && !p->is_stopped && in_time) {
        in_time = pthread_cond_timedwait(&p->news, &p->lock, &end) == 0;
    }
    bool ok = p->is_answered && p->is_ok;
    (void)pthread_mutex_unlock(&p->lock);
    return ok;
}

bool feeder_offer(struct poller *p, const char *etag, const char *from, struct mln_bytes packed)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_value *head = mln_object(&cx);
    mln_put_text(&cx, head, "do", p->is_discovery ? "discovery" : "bundle");
    mln_put_text(&cx, head, "name", p->bundle->name);
    mln_put_text(&cx, head, "etag", etag);
    mln_put_text(&cx, head, "from", from);
    mln_put_int(&cx, head, "size", (int64_t)packed.len);
    (void)pthread_mutex_lock(&p->lock);
    p->is_answered = false;
    (void)pthread_mutex_unlock(&p->lock);
    return arena != NULL && !mln_failed(feeder_send(p->feeder, &cx, head, packed)) && await_answer(p);
}

void feeder_note(struct poller *p, const char *code, const char *message, int64_t http)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)1 << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_value *head = mln_object(&cx);
    mln_put_text(&cx, head, "do", "note");
    mln_put_text(&cx, head, "name", p->bundle->name);
    mln_put_text(&cx, head, "code", code);
    mln_put_text(&cx, head, "message", message);
    mln_put_int(&cx, head, "http", http);
    if (code[0] != '\0') {
        mln_log(MLN_LOG_WARN, "rego", "bundle %s: %s", p->bundle->name, message);
    }
    if (arena != NULL) {
        (void)feeder_send(p->feeder, &cx, head, MLN_BYTES_NONE);
    }
}

/* ---- pollers ---- */

static void poller_free(struct poller *p)
{
    if (p != NULL) {
        mln_free(p->etag);
        mln_arena_free(p->arena);
        mln_free(p);
    }
}

/* What must be equal for a bundle to go on as it is. */
static struct mln_bytes raw_of(struct mln_cx *cx, const struct rego_config *config, const char *name)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    mln_json_print(&raw, mln_get(mln_get(config->raw, "bundles"), name), MLN_JSON_SORTED);
    return mln_bytes_dup(cx, mln_buf_bytes(&raw));
}

static struct mln_err poller_fill(struct mln_cx *cx, struct poller *p, struct mln_bytes json, const char *name)
{
    const struct mln_value *raw = NULL;
    struct mln_cx own;
    mln_cx_init(&own, p->arena);
    p->config = MLN_NEW(&own, struct rego_config);
    if (p->config == NULL || mln_failed(mln_json_parse(&own, mln_bytes_dup(&own, json), &raw)) ||
        mln_failed(rego_config_read(&own, raw, p->config))) {
        return mln_fail(cx, MLN_E_INVALID, "%s", own.text);
    }
    p->bundle = p->is_discovery ? &p->config->discovery : NULL;
    for (size_t i = 0; !p->is_discovery && i < p->config->n_bundles; i++) {
        if (mln_bytes_is(mln_bytes_of(name), p->config->bundles[i].name)) {
            p->bundle = &p->config->bundles[i];
        }
    }
    p->raw = raw_of(&own, p->config, name);
    return p->bundle != NULL ? mln_cx_err(&own) : mln_fail(cx, MLN_E_INTERNAL, "a bundle without configuration");
}

static void thread_attr(pthread_attr_t *attr)
{
    (void)pthread_attr_init(attr);
    (void)pthread_attr_setstacksize(attr, STACK_BYTES);
    (void)pthread_attr_setdetachstate(attr, PTHREAD_CREATE_DETACHED);
}

static struct mln_err poller_start(struct mln_cx *cx, struct feeder *f, struct mln_bytes config_json, const char *name,
                                   bool is_discovery)
{
    struct poller *p = mln_alloc(sizeof(*p));
    size_t slot = 0;
    while (slot < FEEDER_POLLERS && f->pollers[slot] != NULL) {
        slot++;
    }
    if (p == NULL || slot == FEEDER_POLLERS) {
        mln_free(p);
        return mln_fail(cx, MLN_E_LIMIT, "too many bundles");
    }
    *p = (struct poller){.feeder = f, .is_discovery = is_discovery, .arena = mln_arena_new(FEEDER_ARENA, false)};
    struct mln_err err = p->arena == NULL ? mln_fail(cx, MLN_E_MEMORY, "out of memory") : poller_fill(cx, p, config_json, name);
    if (mln_failed(err)) {
        poller_free(p);
        return err;
    }
    (void)pthread_mutex_init(&p->lock, NULL);
    feeder_cond_init(&p->news);
    pthread_attr_t attr;
    thread_attr(&attr);
    f->pollers[slot] = p;
    p->is_running = pthread_create(&p->thread, &attr, p->bundle->path != NULL ? poller_disk_main : poller_main, p) == 0;
    (void)pthread_attr_destroy(&attr);
    return p->is_running ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread for a bundle");
}

/* It ends when it wakes; its few bytes stay, as nobody waits for it. */
static void poller_stop(struct poller *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->is_stopped = true;
    (void)pthread_cond_signal(&p->news);
    (void)pthread_mutex_unlock(&p->lock);
}

static struct poller *find_poller(struct feeder *f, struct mln_bytes name, bool is_discovery)
{
    for (size_t i = 0; i < FEEDER_POLLERS; i++) {
        struct poller *p = f->pollers[i];
        if (p != NULL && p->is_discovery == is_discovery && mln_bytes_is(name, p->bundle->name)) {
            return p;
        }
    }
    return NULL;
}

/* ---- configuration ---- */

static void print_config(const struct rego_config *config, struct mln_buf *json)
{
    mln_json_print(json, config->raw, MLN_JSON_COMPACT);
}

/* Bundles that are new or changed start, others that are gone stop. */
static void apply_bundles(struct feeder *f, struct mln_cx *cx, const struct rego_config *config)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    print_config(config, &json);
    for (size_t i = 0; i < FEEDER_POLLERS; i++) {
        struct poller *p = f->pollers[i];
        if (p != NULL && !p->is_discovery && !mln_bytes_eq(p->raw, raw_of(cx, config, p->bundle->name))) {
            poller_stop(p);
            f->pollers[i] = NULL;
        }
    }
    for (size_t i = 0; i < config->n_bundles; i++) {
        const char *name = config->bundles[i].name;
        if (find_poller(f, mln_bytes_of(name), false) == NULL &&
            mln_failed(poller_start(cx, f, mln_buf_bytes(&json), name, false))) {
            mln_log_fault(MLN_LOG_ERROR, "rego", cx, "a bundle cannot be asked for");
            mln_cx_clear(cx);
        }
    }
}

static void apply_upload(struct feeder *f, struct mln_cx *cx, const struct rego_report_config *how, const struct rego_config *config,
                         struct upload *u)
{
    pthread_attr_t attr;
    bool was_running = u->is_running;
    u->how = *how;
    u->feeder = f;
    if (how->service == NULL || was_running) {
        return;
    }
    u->config = (struct rego_config *)(uintptr_t)config;
    thread_attr(&attr);
    if (mln_failed(upload_start(cx, u, &attr, u == &f->decisions ? upload_decisions_main : upload_status_main))) {
        mln_log_fault(MLN_LOG_ERROR, "rego", cx, "reports cannot be sent");
        mln_cx_clear(cx);
    }
    (void)pthread_attr_destroy(&attr);
}

/* config lives as long as the process: what it says is used by threads. */
static void apply(struct feeder *f, struct mln_cx *cx, const struct rego_config *config)
{
    (void)pthread_mutex_lock(&f->lock);
    apply_bundles(f, cx, config);
    apply_upload(f, cx, &config->decisions, config, &f->decisions);
    apply_upload(f, cx, &config->status, config, &f->status);
    (void)pthread_mutex_unlock(&f->lock);
}

/* A configuration of its own arena, for ever: discoveries are few. */
static struct mln_err keep_config(struct mln_cx *cx, struct mln_bytes json, struct rego_config **ret, struct mln_cx *own)
{
    struct mln_arena *arena = mln_arena_new(FEEDER_ARENA, false);
    const struct mln_value *raw = NULL;
    mln_cx_init(own, arena);
    *ret = arena == NULL ? NULL : MLN_NEW(own, struct rego_config);
    if (*ret == NULL || mln_failed(mln_json_parse(own, mln_bytes_dup(own, json), &raw)) ||
        mln_failed(rego_config_read(own, raw, *ret))) {
        struct mln_err err = mln_fail(cx, MLN_E_INVALID, "%s", own->text);
        mln_arena_free(arena);
        return err;
    }
    return MLN_OK;
}

/* ---- what the evaluator says ---- */

static void hear_did_bundle(struct feeder *f, const struct mln_value *head, bool is_discovery)
{
    (void)pthread_mutex_lock(&f->lock);
    struct poller *p = find_poller(f, mln_get_bytes(mln_get(head, "name")), is_discovery);
    if (p != NULL) {
        (void)pthread_mutex_lock(&p->lock);
        p->is_answered = true;
        p->is_ok = mln_get_bool(mln_get(head, "ok"), false);
        (void)pthread_cond_signal(&p->news);
        (void)pthread_mutex_unlock(&p->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

static void hear_report(struct upload *u, struct mln_bytes body, bool is_status)
{
    if (u->how.is_console) {
        report_console(is_status ? "Status Log" : "Decision Log",
                       is_status ? "openpolicyagent.org/status" : "openpolicyagent.org/decision_logs", body);
    }
    if (u->is_running) {
        upload_add(u, body, is_status);
    }
}

static void hear(struct feeder *f, struct mln_cx *cx, const struct mln_value *head, struct mln_bytes body)
{
    const struct mln_value *did = mln_get(head, "did");
    if (mln_is_text(did, "bundle") || mln_is_text(did, "discovery")) {
        hear_did_bundle(f, head, mln_is_text(did, "discovery"));
    } else if (mln_is_text(did, "log")) {
        hear_report(&f->decisions, body, false);
    } else if (mln_is_text(did, "status")) {
        hear_report(&f->status, body, true);
    } else if (mln_is_text(did, "config")) {
        struct rego_config *config = NULL;
        struct mln_cx own;
        if (mln_failed(keep_config(cx, body, &config, &own))) {
            mln_log_fault(MLN_LOG_ERROR, "rego", cx, "the discovered configuration is not one");
            return;
        }
        apply(f, cx, config);
    }
}

static void listen_to_evaluator(struct feeder *f)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (bool goes_on = true; goes_on;) {
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(FEEDER_ARENA, false);
        const struct mln_value *head = NULL;
        struct mln_bytes body;
        struct mln_cx cx;
        mln_cx_init(&cx, arena);
        goes_on = arena != NULL && !mln_failed(rego_feed_receive(&cx, f->options->in_fd, LOG_BODY_MAX, &buf, &head, &body));
        if (goes_on) {
            hear(f, &cx, head, body);
        }
    }
}

/* ---- the reach process ---- */

static void *reach_main_thread(void *arg)
{
    struct feeder *f = arg;
    while (f->reach != NULL) {
        struct mln_cx cx;
        int fd = -1, pid = 0, status = 0;
        int64_t start = mln_mono_ns();
        mln_cx_init(&cx, NULL);
        if (mln_failed(f->options->start_reach(&cx, REGO_FEED_BODY_MAX < MLN_REACH_BODY_MOST ? REGO_FEED_BODY_MAX : MLN_REACH_BODY_MOST,
                                               &fd, &pid)) ||
            mln_failed(mln_reach_attach(&cx, f->reach, fd))) {
            mln_log_fault(MLN_LOG_ERROR, "rego", &cx, "the process for outbound calls cannot be started");
        }
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
        if (mln_mono_ns() - start < REACH_QUICK_NS) {
            mln_sleep_ns(REACH_QUICK_NS);
        }
    }
    return NULL;
}

static bool needs_reach(const struct rego_config *config)
{
    bool needs = config->discovery.name != NULL || config->decisions.service != NULL || config->status.service != NULL;
    for (size_t i = 0; i < config->n_bundles; i++) {
        needs = needs || config->bundles[i].path == NULL;
    }
    return needs;
}

static struct mln_err start_thread(struct mln_cx *cx, struct feeder *f, void *(*main_fn)(void *arg))
{
    pthread_attr_t attr;
    pthread_t thread;
    thread_attr(&attr);
    bool ok = pthread_create(&thread, &attr, main_fn, f) == 0;
    (void)pthread_attr_destroy(&attr);
    return ok ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread for the feeder");
}

/* ---- the whole ---- */

/* What was decided goes out, when the service takes it soon. */
static void finish_upload(struct upload *u)
{
    if (!u->is_running) {
        return;
    }
    (void)pthread_mutex_lock(&u->lock);
    u->is_stopped = true;
    (void)pthread_cond_signal(&u->news);
    (void)pthread_mutex_unlock(&u->lock);
    for (int64_t end = mln_mono_ns() + END_PATIENCE_NS; mln_mono_ns() < end && !atomic_load(&u->has_ended);) {
        mln_sleep_ns(SECOND_NS / 50);
    }
}

/* Bundles of the command line are like those of a configuration with file:// resources. */
static const struct mln_value *with_paths(struct mln_cx *cx, const struct rego_feeder_options *options)
{
    struct mln_value *bundles = mln_object(cx), *more = mln_object(cx);
    for (size_t i = 0; options->bundle_paths != NULL && options->bundle_paths[i] != NULL; i++) {
        struct mln_value *one = mln_object(cx);
        mln_put_text(cx, one, "resource", mln_text_format(cx, "file://%s", options->bundle_paths[i]));
        mln_put(cx, bundles, options->bundle_paths[i], one);
    }
    mln_put(cx, more, "bundles", bundles);
    return rego_config_merge(cx, mln_is_null(options->config) ? mln_object(cx) : options->config, more, 0);
}

struct mln_err rego_feeder_run(struct mln_cx *cx, const struct rego_feeder_options *options)
{
    static struct feeder f; /* threads outlive this call by a moment */
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct rego_config *config = NULL;
    struct mln_cx own;
    f = (struct feeder){.options = options};
    (void)pthread_mutex_init(&f.send_lock, NULL);
    (void)pthread_mutex_init(&f.lock, NULL);
    mln_json_print(&json, with_paths(cx, options), MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &json));
    MLN_TRY(keep_config(cx, mln_buf_bytes(&json), &config, &own));
    MLN_TRY(mln_reach_new(cx, &f.reach));
    mln_reach_allow_body(f.reach, MLN_REACH_BODY_MOST);
    if (needs_reach(config)) {
        MLN_TRY(start_thread(cx, &f, reach_main_thread));
    }
    if (config->discovery.name != NULL) {
        MLN_TRY(poller_start(cx, &f, mln_buf_bytes(&json), config->discovery.name, true));
    }
    apply(&f, cx, config);
    if (options->watched != NULL && options->watched[0] != NULL) {
        MLN_TRY(start_thread(cx, &f, watch_main));
    }
    listen_to_evaluator(&f);
    finish_upload(&f.decisions);
    return MLN_OK;
}
