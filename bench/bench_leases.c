/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many leases and tokens: what making one costs, how long a start with all of them takes and how much memory it needs, how long it
 * takes until all that is due is gone, and what readers notice of that.
 *
 * bench_leases [N [DIR]]   N leases and N / 10 tokens (default 1000000) in a new folder below DIR (default /var/tmp)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "core/core.h"

#define THREADS    8
#define TTL_S      3600
#define READS_MAX  1000000u
#define TURN_TICKS 600 /* seconds after which it gives up */

/* ---- an engine that hands out leases and has nothing to take back ---- */

static struct mln_err give(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *internal = mln_object(rq->cx);
    struct mln_lease *lease = MLN_NEW(rq->cx, struct mln_lease);
    if (lease == NULL) {
        return mln_cx_err(rq->cx);
    }
    mln_put_text(rq->cx, data, "username", "v-token-reader-abcdefghijkl");
    mln_put_text(rq->cx, internal, "username", "v-token-reader-abcdefghijkl");
    *lease = (struct mln_lease){.ttl_s = TTL_S, .is_renewable = true, .internal = internal};
    re->data = data;
    re->lease = lease;
    return mln_cx_err(rq->cx);
}

static const struct mln_path give_paths[] = {
    {.pattern = "creds", .summary = "Hand out.", .read = give}, {0}};
static const struct mln_engine giver = {
    .type = "giver", .kind = MLN_MOUNT_SECRET, .summary = "Hands out.", .paths = give_paths};
static const struct mln_engine *const engines[] = {&giver, NULL};
static const struct mln_engine *const *const registries[] = {engines, NULL};

/* ---- a clock that can be turned ---- */

static _Atomic int64_t ahead_ns;

static int64_t read_clock(clockid_t id)
{
    struct timespec at;
    (void)clock_gettime(id, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int64_t wall(void *arg)
{
    (void)arg;
    return read_clock(CLOCK_REALTIME) + ahead_ns;
}

static int64_t mono(void *arg)
{
    (void)arg;
    return read_clock(CLOCK_MONOTONIC);
}

/* ---- requests ---- */

struct bench {
    struct mln_core *core;
    char dir[256], keyfile[300];
    const char *root;
    const char *op, *path;
    const struct mln_value *data;
    _Atomic int64_t left;
    _Atomic bool is_over;
    int64_t *took_ns; /* of a reader */
    size_t n_took;
};

static void print_request(struct mln_cx *cx, const struct bench *b, struct mln_buf *to)
{
    struct mln_value *rq = mln_object(cx);
    mln_put_text(cx, rq, "op", b->op);
    mln_put_text(cx, rq, "path", b->path);
    mln_put(cx, rq, "data", b->data != NULL ? b->data : mln_null(cx));
    mln_put(cx, rq, "token", mln_secret_string(cx, mln_bytes_of(b->root)));
    mln_put_text(cx, rq, "from", "127.0.0.1");
    mln_cbor_print(to, rq);
}

static void ask(struct bench *b, struct mln_arena *arena, struct mln_bytes message)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf answer = {0};
    const struct mln_value *got = NULL;
    struct mln_cx cx;
    mln_arena_reset(arena);
    mln_cx_init(&cx, arena);
    struct mln_core_call call = {.message = message};
    MLN_CHECK(!mln_failed(mln_core_answer(&cx, b->core, &call, &answer)));
    mln_cx_clear(&cx);
    MLN_CHECK(!mln_failed(mln_cbor_parse(&cx, mln_buf_bytes(&answer), &got)));
    MLN_CHECK(mln_get_int(mln_get(got, "status"), 0) < 300);
}

static void *make_many(void *arg)
{
    struct bench *b = arg;
    MLN_AUTO(mln_arena_drop)
    struct mln_arena *arena = mln_arena_new(64u << 20, false),
                     *own = mln_arena_new(1u << 20, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, own);
    print_request(&cx, b, &message);
    while (b->left-- > 0) {
        ask(b, arena, mln_buf_bytes(&message));
    }
    return NULL;
}

static void run_many(struct bench *b, const char *what, int64_t n)
{
    pthread_t threads[THREADS];
    int64_t start_ns = mln_mono_ns(), cpu_ns = mln_cpu_ns();
    b->left = n;
    for (size_t i = 0; i < THREADS; i++) {
        MLN_CHECK(pthread_create(&threads[i], NULL, make_many, b) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        MLN_CHECK(pthread_join(threads[i], NULL) == 0);
    }
    double s = (double)(mln_mono_ns() - start_ns) / 1e9,
           cpu_us = (double)(mln_cpu_ns() - cpu_ns) / 1e3 / (double)n;
    printf("%-32s %9lld in %.1f s, %.0f a second, %.1f us of CPU each\n", what, (long long)n, s,
           (double)n / s, cpu_us);
    (void)fflush(stdout);
}

/* ---- a start ---- */

static void open_core(struct mln_cx *cx, struct bench *b)
{
    struct mln_core_config config = {.data_dir = b->dir,
                                     .origin = "bench.local/ledger",
                                     .seal = MLN_SEAL_KEYFILE,
                                     .keyfile = b->keyfile,
                                     .registries = registries,
                                     .no_sync = true};
    struct mln_err err = mln_core_open(cx, &config, &b->core);
    if (mln_failed(err)) {
        (void)fprintf(stderr, "open: %s (%s)\n", cx->text, cx->note);
        exit(1);
    }
}

static long resident_mb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f != NULL) {
        (void)!fscanf(f, "%*s %ld", &pages);
        (void)fclose(f);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024) / 1024;
}

/* In a child: its memory is that of a start alone. */
static void time_start(struct mln_cx *cx, struct bench *b)
{
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "bench_leases", "restart", b->dir, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    MLN_CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    open_core(cx, b);
}

static int restart(const char *dir)
{
    struct bench b = {.root = "root", .op = "read", .path = "auth/token/lookup-self"};
    struct mln_arena *arena = mln_arena_new(64u << 20, false),
                     *own = mln_arena_new(1u << 20, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, own);
    (void)snprintf(b.dir, sizeof(b.dir), "%s", dir);
    (void)snprintf(b.keyfile, sizeof(b.keyfile), "%s/unseal.key", dir);
    int64_t start_ns = mln_mono_ns();
    open_core(&cx, &b);
    print_request(&cx, &b, &message);
    ask(&b, arena, mln_buf_bytes(&message));
    double s = (double)(mln_mono_ns() - start_ns) / 1e9;
    mln_core_tick(&cx, b.core);
    printf("%-32s %.2f s, %ld MB resident after the first tick\n", "start to the first answer", s,
           resident_mb());
    mln_core_close(b.core);
    return 0;
}

/* ---- expiry, with a reader beside it ---- */

static void *read_on(void *arg)
{
    struct bench *b = arg;
    MLN_AUTO(mln_arena_drop)
    struct mln_arena *arena = mln_arena_new(64u << 20, false),
                     *own = mln_arena_new(1u << 20, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, own);
    print_request(&cx, b, &message);
    while (!b->is_over && b->n_took < READS_MAX) {
        int64_t start_ns = mln_mono_ns();
        ask(b, arena, mln_buf_bytes(&message));
        b->took_ns[b->n_took++] = mln_mono_ns() - start_ns;
        mln_sleep_ns(200000);
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_reads(struct bench *b, const char *what)
{
    qsort(b->took_ns, b->n_took, sizeof(*b->took_ns), by_size);
    printf("%-32s %zu, p50 %.2f ms, p99 %.2f ms, longest %.2f ms\n", what, b->n_took,
           (double)b->took_ns[b->n_took / 2] / 1e6, (double)b->took_ns[b->n_took * 99 / 100] / 1e6,
           (double)b->took_ns[b->n_took - 1] / 1e6);
}

/* How many leases and tokens are left: rows of expiry, counted in a snapshot through a request would cost more than the tick. */
static bool is_empty(struct bench *b, struct mln_cx *cx)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0}, answer = {0};
    const struct mln_value *got = NULL;
    struct bench list = *b;
    list.op = "list";
    list.path = "sys/leases/lookup/";
    print_request(cx, &list, &message);
    struct mln_core_call call = {.message = mln_buf_bytes(&message)};
    MLN_CHECK(!mln_failed(mln_core_answer(cx, b->core, &call, &answer)));
    mln_cx_clear(cx);
    MLN_CHECK(!mln_failed(mln_cbor_parse(cx, mln_buf_bytes(&answer), &got)));
    return mln_get_int(mln_get(got, "status"), 0) == 404;
}

static void expire_all(struct bench *b)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(192u << 20, false);
    struct mln_cx cx;
    pthread_t reader;
    bool is_done = false;
    mln_cx_init(&cx, arena);
    b->op = "read";
    b->path = "auth/token/lookup-self";
    b->data = NULL;
    ahead_ns = (TTL_S + 1) * 1000000000LL;
    MLN_CHECK(pthread_create(&reader, NULL, read_on, b) == 0);
    int64_t start_ns = mln_mono_ns(), cpu_ns = mln_cpu_ns();
    for (int i = 0; i < TURN_TICKS && !is_done;
         i++) { /* as the server does: a second between ends and begins of ticks */
        mln_arena_reset(arena);
        mln_cx_clear(&cx);
        int64_t tick_ns = mln_mono_ns();
        mln_core_tick(&cx, b->core);
        is_done = is_empty(b, &cx);
        int64_t rest_ns = 1000000000 - (mln_mono_ns() - tick_ns);
        mln_sleep_ns(!is_done && rest_ns > 0 ? rest_ns : 0);
    }
    b->is_over = true;
    MLN_CHECK(pthread_join(reader, NULL) == 0);
    printf("%-32s %.1f s, %.1f s of CPU%s\n", "all that was due is gone after",
           (double)(mln_mono_ns() - start_ns) / 1e9, (double)(mln_cpu_ns() - cpu_ns) / 1e9,
           is_done ? "" : " (not all)");
    print_reads(b, "reads meanwhile");
}

int main(int argc, char **argv)
{
    static const struct mln_clock clock = {.now_ns = wall, .mono_ns = mono};
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    struct bench b = {
        .op = "read", .path = "giver/creds", .took_ns = calloc(READS_MAX, sizeof(int64_t))};
    struct mln_cx cx;
    mln_secret_allow_unlocked(true);
    mln_clock_use(&clock);
    if (argc > 1 && strcmp(argv[1], "restart") == 0) {
        return restart(argc > 2 ? argv[2] : "");
    }
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : 1000000;
    mln_cx_init(&cx, arena);
    (void)snprintf(b.dir, sizeof(b.dir), "%s/mln-leases-XXXXXX", argc > 2 ? argv[2] : "/var/tmp");
    MLN_CHECK(mkdtemp(b.dir) != NULL && b.took_ns != NULL && n > 0);
    (void)snprintf(b.keyfile, sizeof(b.keyfile), "%s/unseal.key", b.dir);
    open_core(&cx, &b);
    if (mln_failed(mln_core_init_dev(&cx, b.core, "root", &b.root))) {
        (void)fprintf(stderr, "init: %s (%s)\n", cx.text, cx.note);
        return 1;
    }
    struct mln_value *mount = mln_object(&cx), *token = mln_object(&cx);
    mln_put_text(&cx, mount, "type", "giver");
    struct bench one = b;
    one.op = "write";
    one.path = "sys/mounts/giver";
    one.data = mount;
    run_many(&one, "mount", 1);
    run_many(&b, "leases made", n);
    mln_put_text(&cx, token, "policies", "default");
    mln_put_int(&cx, token, "ttl", TTL_S);
    b.op = "write";
    b.path = "auth/token/create";
    b.data = token;
    run_many(&b, "tokens made", n / 10 + 1);
    mln_core_close(b.core);
    time_start(&cx, &b);
    expire_all(&b);
    mln_core_close(b.core);
    char command[300];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", b.dir);
    return system(command);
}
