/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decisions and status to services. Decisions wait in memory up to a limit, the oldest are dropped and counted; they go out as
 * gzip'd lists of at most the configured size. Of the status only the newest counts.
 */
#include "api/rego_feeder_priv.h"

#include "rego/gzip.h"

#define SOFT_FIRST(limit) ((limit) * 4) /* decisions repeat: gzip makes them smaller by that at least */
#define ANSWER_MAX        ((size_t)64 << 10)

static void batch_free(struct batch *b)
{
    if (b != NULL) {
        mln_buf_drop(&b->lines);
        mln_free(b);
    }
}

void report_console(const char *message, const char *type, struct mln_bytes lines)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)64 << 10, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    const char *now = mln_time_text(&cx, mln_now_ns(), 0);
    while (lines.len > 0) {
        struct mln_bytes line = mln_bytes_cut(lines, '\n', &lines);
        if (line.len < 2 || line.ptr[0] != '{') {
            continue;
        }
        mln_buf_add_format(&out, "{\"level\":\"info\",\"msg\":\"%s\",\"time\":\"%s\",\"type\":\"%s\"%s", message, now, type,
                           line.len > 2 ? "," : "");
        mln_buf_add_bytes(&out, mln_bytes_from(line, 1));
        mln_buf_add_byte(&out, '\n');
    }
    (void)mln_fd_write(&cx, 2, out.ptr, out.len);
}

/* ---- what waits ---- */

static uint64_t count_lines(struct mln_bytes lines)
{
    uint64_t n = 0;
    for (size_t i = 0; i < lines.len; i++) {
        n += lines.ptr[i] == '\n';
    }
    return n;
}

/* The lock is held. */
static void drop_oldest(struct upload *u)
{
    struct batch *b = u->first;
    u->first = b->next;
    u->last = u->first == NULL ? NULL : u->last;
    u->held -= b->lines.len;
    u->dropped += count_lines(mln_buf_bytes(&b->lines));
    batch_free(b);
}

void upload_add(struct upload *u, struct mln_bytes lines, bool replaces)
{
    struct batch *b = mln_alloc(sizeof(*b));
    if (b != NULL) {
        mln_buf_add_bytes(&b->lines, lines);
    }
    if (b == NULL || b->lines.has_failed) {
        batch_free(b);
        return;
    }
    (void)pthread_mutex_lock(&u->lock);
    while (u->first != NULL && (replaces || u->held + lines.len > u->how.buffer_max)) {
        drop_oldest(u);
    }
    if (u->last == NULL) {
        u->first = b;
    } else {
        u->last->next = b;
    }
    u->last = b;
    u->held += lines.len;
    (void)pthread_cond_signal(&u->news);
    (void)pthread_mutex_unlock(&u->lock);
}

static struct batch *take_all(struct upload *u, uint64_t *ret_dropped)
{
    (void)pthread_mutex_lock(&u->lock);
    struct batch *all = u->first;
    u->first = u->last = NULL;
    u->held = 0;
    *ret_dropped = u->dropped;
    u->dropped = 0;
    (void)pthread_mutex_unlock(&u->lock);
    return all;
}

/* What did not go out goes back in front of what came meanwhile. */
static void give_back(struct upload *u, struct batch *list)
{
    (void)pthread_mutex_lock(&u->lock);
    struct batch *end = list;
    for (struct batch *b = list; b != NULL; b = b->next) {
        u->held += b->lines.len;
        end = b;
    }
    if (list != NULL) {
        end->next = u->first;
        u->last = u->first == NULL ? end : u->last;
        u->first = list;
    }
    while (u->held > u->how.buffer_max && u->first != NULL) {
        drop_oldest(u);
    }
    (void)pthread_mutex_unlock(&u->lock);
}

/* ---- out ---- */

static bool post(struct upload *u, struct mln_bytes body, bool is_gzip)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(FEEDER_ARENA + 2 * body.len, false);
    const struct mln_value *answer = NULL;
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    const struct rego_service *service = rego_config_service(u->config, u->how.service);
    struct feeder_call call = {.service = service,
                               .method = "POST",
                               .resource = u->how.resource,
                               .content_type = "application/json",
                               .is_gzip = is_gzip,
                               .body = body,
                               .answer_max = ANSWER_MAX,
                               .timeout_s = service->timeout_s};
    if (arena == NULL || mln_failed(feeder_call(u->feeder, &cx, &call, &answer))) {
        mln_log(MLN_LOG_WARN, "rego", "a report to %s failed: %s", u->how.service, cx.text);
        return false;
    }
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    if (status < 200 || status > 299) {
        mln_log(MLN_LOG_WARN, "rego", "a report to %s failed: server replied with %lld", u->how.service, (long long)status);
    }
    return status >= 200 && status <= 299;
}

/* As many lines as fit, as a packed list; their bytes are counted in *ret_used. */
static void pack(struct upload *u, struct mln_bytes lines, struct mln_buf *packed, size_t *ret_used)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf list = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    size_t soft = u->soft;
    for (;;) {
        struct mln_bytes rest = lines;
        size_t n = 0;
        mln_buf_clear(&list);
        mln_buf_clear(packed);
        mln_buf_add_byte(&list, '[');
        while (rest.len > 0 && (n == 0 || list.len < soft)) {
            mln_buf_add_text(&list, n++ == 0 ? "" : ",");
            mln_buf_add_bytes(&list, mln_bytes_cut(rest, '\n', &rest));
        }
        mln_buf_add_byte(&list, ']');
        *ret_used = lines.len - rest.len;
        if (mln_failed(mln_gzip_make(&cx, mln_buf_bytes(&list), packed))) {
            packed->len = 0;
            return;
        }
        if (packed->len <= u->how.upload_max) {
            u->soft = rest.len > 0 && packed->len < u->how.upload_max / 2 ? soft * 2 : soft;
            return;
        }
        if (n == 1) {
            mln_log(MLN_LOG_WARN, "rego", "a decision is larger than upload_size_limit_bytes and is dropped");
            packed->len = 0;
            return;
        }
        u->soft = soft = list.len / 2;
    }
}

/* False: the service did not take it, and what is left stays in the batch. */
static bool send_batch(struct upload *u, struct batch *b)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    while (b->lines.len > 0) {
        size_t used = 0;
        pack(u, mln_buf_bytes(&b->lines), &packed, &used);
        if (packed.len > 0 && !post(u, mln_buf_bytes(&packed), true)) {
            return false;
        }
        mln_buf_shift(&b->lines, used);
    }
    return true;
}

/* All batches as one, so that chunks are as full as they may be. */
static struct batch *join(struct batch *all)
{
    while (all != NULL && all->next != NULL) {
        struct batch *second = all->next;
        mln_buf_add_bytes(&all->lines, mln_buf_bytes(&second->lines));
        if (all->lines.has_failed) {
            return all;
        }
        all->next = second->next;
        batch_free(second);
    }
    return all;
}

static bool wait_for(struct upload *u, int64_t ns, bool for_news)
{
    struct timespec end = feeder_end_after(ns);
    (void)pthread_mutex_lock(&u->lock);
    bool in_time = true;
    while (!u->is_stopped && in_time && !(for_news && u->first != NULL)) {
        in_time = pthread_cond_timedwait(&u->news, &u->lock, &end) == 0;
    }
    bool goes_on = !u->is_stopped;
    (void)pthread_mutex_unlock(&u->lock);
    return goes_on;
}

static bool send_all(struct upload *u)
{
    uint64_t dropped = 0;
    struct batch *all = join(take_all(u, &dropped));
    if (dropped > 0) {
        mln_log(MLN_LOG_WARN, "rego", "%llu decisions were dropped: they did not fit in buffer_size_limit_bytes",
                (unsigned long long)dropped);
    }
    while (all != NULL) {
        if (!send_batch(u, all)) {
            give_back(u, all);
            return false;
        }
        struct batch *next = all->next;
        batch_free(all);
        all = next;
    }
    return true;
}

void *upload_decisions_main(void *arg)
{
    struct upload *u = arg;
    unsigned failures = 0;
    u->soft = SOFT_FIRST(u->how.upload_max);
    while (wait_for(u, feeder_delay_ns(u->how.min_s, u->how.max_s, failures), false)) {
        failures = send_all(u) ? 0 : failures + 1;
    }
    (void)send_all(u); /* what was decided before the end */
    atomic_store(&u->has_ended, true);
    return NULL;
}

void *upload_status_main(void *arg)
{
    struct upload *u = arg;
    unsigned failures = 0;
    int64_t long_ns = 3600 * SECOND_NS;
    while (wait_for(u, failures > 0 ? feeder_delay_ns(1, 60, failures) : long_ns, failures == 0)) {
        uint64_t dropped = 0;
        struct batch *newest = take_all(u, &dropped);
        if (newest == NULL) {
            continue;
        }
        bool ok = post(u, mln_bytes_trim(mln_buf_bytes(&newest->lines)), false);
        failures = ok ? 0 : failures + 1;
        if (ok) {
            batch_free(newest);
        } else {
            give_back(u, newest);
        }
    }
    return NULL;
}

struct mln_err upload_start(struct mln_cx *cx, struct upload *u, pthread_attr_t *attr, void *(*main_fn)(void *arg))
{
    (void)pthread_mutex_init(&u->lock, NULL);
    feeder_cond_init(&u->news);
    u->is_running = pthread_create(&u->thread, attr, main_fn, u) == 0;
    return u->is_running ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no thread for reports");
}
