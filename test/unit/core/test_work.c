/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands: what is asked outside while nobody waits, what becomes of the answer, and what of errands when the server is sealed, a mount
 * goes or core ends meanwhile. A stranger for whom a handler vouches.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "barrier/txn.h"
#include "base/clock.h"
#include "contract/engine.h"

/* ---- the world outside: it answers when it is let ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static bool is_open, fails;
static _Atomic unsigned asked;

static struct mln_err outside(void *arg, struct mln_cx *cx, const struct mln_value *ask,
                              const struct mln_value **ret)
{
    struct mln_value *answer = mln_object(cx);
    (void)arg;
    atomic_fetch_add(&asked, 1);
    (void)pthread_mutex_lock(&lock);
    while (!is_open) {
        (void)pthread_cond_wait(&news, &lock);
    }
    bool ends_badly = fails;
    (void)pthread_mutex_unlock(&lock);
    if (ends_badly) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "nobody is there");
    }
    mln_put(cx, answer, "said", mln_get(ask, "url"));
    *ret = answer;
    return MLN_OK;
}

static void open_world(bool open, bool failing)
{
    (void)pthread_mutex_lock(&lock);
    is_open = open;
    fails = failing;
    (void)pthread_cond_broadcast(&news);
    (void)pthread_mutex_unlock(&lock);
}

/* ---- an engine that asks ---- */

static struct mln_err answered(struct mln_request *rq, const struct mln_value *arg,
                               const struct mln_value *answer, const char *why)
{
    struct mln_value *row = mln_object(rq->cx);
    mln_put(rq->cx, row, "said", answer != NULL ? mln_get(answer, "said") : mln_text(rq->cx, why));
    mln_put_bool(rq->cx, row, "is_system", rq->actor->kind == MLN_ACTOR_SYSTEM);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, mln_get_bytes(mln_get(arg, "name")),
                             row);
}

static struct mln_err ask(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *what = mln_object(rq->cx), *arg = mln_object(rq->cx);
    (void)re;
    mln_put_text(rq->cx, what, "kind", "http");
    mln_put(rq->cx, what, "url", mln_field_of(rq, "url"));
    mln_put(rq->cx, arg, "name", mln_field_of(rq, "name"));
    return rq->services->errand(rq, what, answered, arg);
}

static struct mln_err got(struct mln_request *rq, struct mln_reply *re)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view,
                             mln_get_bytes(mln_field_of(rq, "name")), &re->data);
}

static struct mln_err vouched(struct mln_request *rq, struct mln_reply *re)
{
    rq->services->vouch(rq, "ci somebody");
    re->data = mln_object(rq->cx);
    return mln_cx_err(rq->cx);
}

static const struct mln_field fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT}, {.name = "url", .type = MLN_FIELD_TEXT}, {0}};
static const struct mln_path paths[] = {
    {.pattern = "ask/{name}", .summary = "Ask.", .fields = fields, .read = got, .write = ask},
    {.pattern = "vouched", .summary = "Vouch.", .read = vouched, .is_open = true},
    {0},
};
static const struct mln_engine asker = {
    .type = "asker", .kind = MLN_MOUNT_SECRET, .summary = "Asks outside.", .paths = paths};

#define CK_MORE_ENGINES &asker,
#define CK_REACH        outside
#include "core_kit.h"

#define CK(name)    MLN_AUTO(ck_drop) struct ck *name = mounted()
#define ASK(k, n)   ck_call((k), "root", "write", "asker/ask/" n, "{\"url\":\"https://a.example/x\"}")
#define WAIT_ROUNDS 5000

static struct ck *mounted(void)
{
    struct ck *k = ck_new();
    open_world(false, false);
    atomic_store(&asked, 0);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/asker", "{\"type\":\"asker\"}"), 204);
    return k;
}

/* What came of it, after at most some seconds. */
static int wait_for(struct ck *k, const char *path)
{
    int status = 404;
    for (unsigned i = 0; i < WAIT_ROUNDS && status != 200; i++) {
        status = ck_call(k, "root", "read", path, NULL);
        mln_sleep_ns(status == 200 ? 0 : 1000000);
    }
    return status;
}

static void wait_asked(unsigned n)
{
    for (unsigned i = 0; i < WAIT_ROUNDS && atomic_load(&asked) < n; i++) {
        mln_sleep_ns(1000000);
    }
    assert_int_equal(atomic_load(&asked), n);
}

static void test_answers(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ASK(k, "one"), 204); /* the world is silent, and nobody waits */
    wait_asked(1);
    CK_WANT(k, ck_call(k, "root", "read", "asker/ask/one", NULL), 404);
    mln_core_tick(&k->cx, k->core); /* ticks go on */
    open_world(true, false);
    CK_WANT(k, wait_for(k, "asker/ask/one"), 200);
    assert_string_equal(ck_at(k, "data"), "{\"said\":\"https://a.example/x\",\"is_system\":true}");
    open_world(true, true);
    CK_WANT(k, ASK(k, "two"), 204);
    CK_WANT(k, wait_for(k, "asker/ask/two"), 200);
    assert_string_equal(ck_at(k, "data|said"), "\"nobody is there\"");
    CK_WANT(k, ck_call(k, "root", "write", "asker/ask/x", "{\"url\":\"nonsense\"}"), 400);
    /* each is a record of its own, with where it went */
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/entries", "{\"max\":1000}"), 200);
    const char *all = ck_json(k, k->answer);
    assert_non_null(strstr(all, "errand asker/"));
    assert_non_null(strstr(all, "\"reached\":\"a.example:443\""));
}

static void test_many(void **state)
{
    (void)state;
    CK(k);
    for (int i = 0; i < 16; i++) {
        CK_WANT(k, ASK(k, "many"), 204);
    }
    CK_WANT(k, ASK(k, "one more"), 429);
    open_world(true, false);
    CK_WANT(k, wait_for(k, "asker/ask/many"), 200);
    int status = 429;
    for (unsigned i = 0; i < WAIT_ROUNDS && status == 429; i++) {
        status = ASK(k, "again");
        mln_sleep_ns(1000000);
    }
    CK_WANT(k, status, 204);
}

/* The mount goes, the server is sealed, core ends while the world is asked: nothing is written, nothing hangs. */
static void test_ends(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ASK(k, "one"), 204);
    wait_asked(1);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/mounts/asker", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/asker", "{\"type\":\"asker\"}"), 204);
    open_world(true, false);
    CK_WANT(k, ASK(k, "two"), 204);
    CK_WANT(k, wait_for(k, "asker/ask/two"), 200);
    CK_WANT(k, ck_call(k, "root", "read", "asker/ask/one", NULL), 404); /* it was another mount's */
    open_world(false, false);
    CK_WANT(k, ASK(k, "three"), 204);
    wait_asked(3);
    CK_WANT(k, ck_call(k, "root", "write", "sys/seal", NULL), 204);
    open_world(true, false);
    mln_sleep_ns(20000000);
    assert_true(mln_core_is_sealed(k->core));
}

static void test_vouched(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, NULL, "read", "asker/vouched", NULL), 200);
    bool is_there = false;
    for (unsigned i = 0; i < WAIT_ROUNDS && !is_there;
         i++) { /* reads are sequenced a little later */
        CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/entries", "{\"max\":1000}"), 200);
        is_there =
            strstr(ck_json(k, k->answer), "\"kind\":\"bearer\",\"name\":\"ci somebody\"") != NULL;
        mln_arena_reset(k->arena);
        mln_sleep_ns(1000000);
    }
    assert_true(is_there);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_vouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
