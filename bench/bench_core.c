/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Core alone: CPU of one thread a request, from the REQUEST message to the ANSWER message, ledger on, no process and no socket.
 * CPU of the calling thread and of the whole process (committer and publisher as well); best of five rounds.
 *
 * bench_core [DIR [WHAT]]   a new folder below DIR (default /tmp); WHAT: only rows that begin so, e.g. "KV"
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/json.h"
#include "core/core.h"

#define ROUNDS 5
#define CALLS  20000

static const struct mln_engine *const *const registries[] = {mln_engines, mln_methods, NULL};

struct bench {
    char dir[256], keyfile[300];
    struct mln_arena *arena;
    struct mln_cx cx;
    struct mln_core *core;
    struct mln_buf message, answer;
    const char *only;
};

static double cpu_us(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void make_message(struct bench *b, const char *op, const char *path, const char *json)
{
    const struct mln_value *data = NULL;
    mln_cx_clear(&b->cx);
    struct mln_value *rq = mln_object(&b->cx);
    mln_put_text(&b->cx, rq, "op", op);
    mln_put_text(&b->cx, rq, "path", path);
    if (json != NULL) {
        MLN_CHECK(!mln_failed(mln_json_parse(&b->cx, mln_bytes_of(json), &data)));
    }
    mln_put(&b->cx, rq, "data", data != NULL ? data : mln_null(&b->cx));
    mln_put_text(&b->cx, rq, "token", "root");
    mln_put_text(&b->cx, rq, "from", "127.0.0.1");
    mln_buf_drop(&b->message);
    mln_cbor_print(&b->message, rq);
}

static void call(struct bench *b)
{
    struct mln_core_call call = {.message = mln_buf_bytes(&b->message)};
    mln_arena_reset(b->arena);
    mln_cx_init(&b->cx, b->arena);
    mln_buf_clear(&b->answer);
    MLN_CHECK(!mln_failed(mln_core_answer(&b->cx, b->core, &call, &b->answer)));
}

static void once(struct bench *b, const char *op, const char *path, const char *json)
{
    make_message(b, op, path, json);
    call(b);
}

static void measure(struct bench *b, const char *what, unsigned calls)
{
    double thread_best = 1e9, process_best = 1e9;
    if (b->only != NULL && !mln_bytes_starts(mln_bytes_of(what), mln_bytes_of(b->only))) {
        return;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        double thread = cpu_us(CLOCK_THREAD_CPUTIME_ID), process = cpu_us(CLOCK_PROCESS_CPUTIME_ID);
        for (unsigned i = 0; i < calls; i++) {
            call(b);
        }
        thread = (cpu_us(CLOCK_THREAD_CPUTIME_ID) - thread) / calls;
        process = (cpu_us(CLOCK_PROCESS_CPUTIME_ID) - process) / calls;
        thread_best = thread < thread_best ? thread : thread_best;
        process_best = process < process_best ? process : process_best;
    }
    const struct mln_value *answer = NULL;
    MLN_CHECK(!mln_failed(mln_cbor_parse(&b->cx, mln_buf_bytes(&b->answer), &answer)));
    printf("%-24s %8.2f us of its thread  %8.2f us of all   (status %d)\n", what, thread_best, process_best,
           (int)mln_get_int(mln_get(answer, "status"), 0));
}

static void open_core(struct bench *b, const char *below)
{
    const char *token = NULL;
    mln_secret_allow_unlocked(true);
    (void)snprintf(b->dir, sizeof(b->dir), "%s/merlon-bench-XXXXXX", below);
    MLN_CHECK(mkdtemp(b->dir) != NULL);
    (void)snprintf(b->keyfile, sizeof(b->keyfile), "%s/unseal.key", b->dir);
    struct mln_core_config config = {.data_dir = b->dir, .origin = "bench.local/ledger", .seal = MLN_SEAL_KEYFILE,
                                     .keyfile = b->keyfile, .registries = registries, .is_dev = true};
    b->arena = mln_arena_new(16u << 20, true);
    mln_cx_init(&b->cx, b->arena);
    MLN_CHECK(!mln_failed(mln_core_open(&b->cx, &config, &b->core)));
    MLN_CHECK(!mln_failed(mln_core_init_dev(&b->cx, b->core, "root", &token)));
}

int main(int argc, char **argv)
{
    struct bench b = {.message = {.is_secret = true}, .answer = {.is_secret = true}, .only = argc > 2 ? argv[2] : NULL};
    char command[300];
    open_core(&b, argc > 1 ? argv[1] : "/tmp");
    once(&b, "write", "secret/data/a", "{\"data\":{\"user\":\"u\",\"password\":\"correct horse battery staple\"}}");
    once(&b, "write", "sys/mounts/transit", "{\"type\":\"transit\"}");
    once(&b, "write", "transit/keys/k", "{}");
    make_message(&b, "read", "auth/token/lookup-self", NULL);
    measure(&b, "token lookup-self", CALLS);
    make_message(&b, "read", "secret/data/a", NULL);
    measure(&b, "KV v2 read", CALLS);
    make_message(&b, "write", "transit/encrypt/k", "{\"plaintext\":\"aGVsbG8gd29ybGQ=\"}");
    measure(&b, "transit encrypt", CALLS);
    make_message(&b, "write", "secret/data/b", "{\"data\":{\"user\":\"u\",\"password\":\"correct horse battery staple\"}}");
    measure(&b, "KV v2 write, alone", 300);
    make_message(&b, "write", "auth/token/create", "{\"ttl\":\"1h\"}");
    measure(&b, "token create, alone", 300);
    mln_core_close(b.core);
    mln_buf_drop(&b.message);
    mln_buf_drop(&b.answer);
    mln_arena_free(b.arena);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", b.dir);
    return system(command) == 0 ? 0 : 1;
}
