/* SPDX-License-Identifier: Apache-2.0 */
/* sys/in-flight-req: what is being answered, from another request and itself. */
#include "contract/engine.h"

extern const struct mln_engine slow;
#define CK_MORE_ENGINES &slow,
#include "life_kit.h"

#include <pthread.h>
#include <semaphore.h>

static sem_t has_begun, may_end;

static struct mln_err wait_here(struct mln_request *rq, struct mln_reply *re)
{
    (void)rq;
    re->status = 204;
    assert_int_equal(sem_post(&has_begun), 0);
    assert_int_equal(sem_wait(&may_end), 0);
    return MLN_OK;
}

static const struct mln_field slow_fields[] = {{.name = "name", .type = MLN_FIELD_TEXT, .help = "n"}, {0}};
static const struct mln_path slow_paths[] = {
    {.pattern = "wait/{name}", .summary = "Wait.", .fields = slow_fields, .write = wait_here}, {0}};
const struct mln_engine slow = {.type = "slow", .kind = MLN_MOUNT_SECRET, .summary = "Waits.", .paths = slow_paths};

static void *ask_slow(void *arg)
{
    struct ck own = *(struct ck *)arg;
    own.arena = mln_arena_new(16u << 20, false);
    own.buf = (struct mln_buf){0};
    mln_cx_init(&own.cx, own.arena);
    CK_WANT(&own, ck_call(&own, "root", "write", "slow/wait/a", "{\"secret\":\"hush\"}"), 204);
    mln_buf_drop(&own.buf);
    mln_arena_free(own.arena);
    return NULL;
}

/* The row of a path; NULL when it is not there. */
static const struct mln_value *row_of(struct ck *k, const char *path)
{
    const struct mln_value *rows = mln_get(k->answer, "bare");
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_member *m = mln_member_at(rows, i);
        if (mln_is_text(mln_get(&m->value, "request_path"), path)) {
            assert_int_equal(m->key.len, 36);
            return &m->value;
        }
    }
    return NULL;
}

static void test_in_flight(void **state)
{
    (void)state;
    CK(k);
    pthread_t thread;
    assert_int_equal(sem_init(&has_begun, 0, 0), 0);
    assert_int_equal(sem_init(&may_end, 0, 0), 0);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/slow", "{\"type\":\"slow\"}"), 204);
    assert_int_equal(pthread_create(&thread, NULL, ask_slow, k), 0);
    assert_int_equal(sem_wait(&has_begun), 0);
    CK_WANT(k, ck_call(k, "root", "read", "sys/in-flight-req", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->answer, "bare")), 2);
    const struct mln_value *row = row_of(k, "/v1/slow/wait/a");
    assert_non_null(row);
    assert_true(mln_is_text(mln_get(row, "request_method"), "PUT"));
    assert_true(mln_is_text(mln_get(row, "client_remote_address"), "127.0.0.1:0"));
    assert_true(mln_len(mln_get(row, "start_time")) > 19);
    assert_non_null(row_of(k, "/v1/sys/in-flight-req"));
    assert_null(strstr(ck_json(k, k->answer), "hush"));
    assert_int_equal(sem_post(&may_end), 0);
    pthread_join(thread, NULL);
    CK_WANT(k, ck_call(k, "root", "read", "sys/in-flight-req", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->answer, "bare")), 1);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/in-flight-req", NULL), 403);
    lk_policy(k, "reads", "path \"sys/in-flight-req\" { capabilities = [\"read\"] }");
    const char *token = lk_token(k, "{\"policies\":[\"reads\"]}");
    CK_WANT(k, ck_call(k, token, "read", "sys/in-flight-req", NULL), 403); /* sudo is needed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_flight)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
