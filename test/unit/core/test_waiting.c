/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are put aside while their commit is on its way: what comes back, also when it failed, was overtaken or core was sealed. */
#include "core_kit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "store/store.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()

enum { ASIDE_MAX = 64, WAIT_ROUNDS = 5000 };

/* One call with memory of its own. */
struct aside {
    struct ck *k;
    struct mln_arena *arena;
    struct mln_cx cx;
    struct mln_buf message, answer;
    struct mln_core_call call;
    _Atomic unsigned ready;
    unsigned blocks;
};

static void on_ready(void *arg)
{
    atomic_fetch_add(&((struct aside *)arg)->ready, 1);
}

static void on_block(void *arg)
{
    ((struct aside *)arg)->blocks++;
}

static void begin(struct ck *k, struct aside *a, const char *op, const char *path, const char *json)
{
    const struct mln_value *data = NULL;
    *a = (struct aside){.k = k, .arena = mln_arena_new(8u << 20, false)};
    mln_cx_init(&a->cx, a->arena);
    struct mln_value *rq = mln_object(&a->cx);
    mln_put_text(&a->cx, rq, "op", op);
    mln_put_text(&a->cx, rq, "path", path);
    mln_put(&a->cx, rq, "token", mln_secret_string(&a->cx, MLN_BYTES("root")));
    if (json != NULL) {
        assert_false(mln_failed(mln_json_parse(&a->cx, mln_bytes_of(json), &data)));
        mln_put(&a->cx, rq, "data", data);
    }
    mln_cbor_print(&a->message, rq);
    a->call = (struct mln_core_call){.message = mln_buf_bytes(&a->message), .block = on_block, .ready = on_ready, .arg = a};
    assert_false(mln_failed(mln_core_answer(&a->cx, k->core, &a->call, &a->answer)));
}

/* Until the committer has called; the number of its calls. */
static unsigned wait_ready(struct aside *a)
{
    for (unsigned i = 0; i < WAIT_ROUNDS && atomic_load(&a->ready) == 0; i++) {
        mln_sleep_ns(1000000);
    }
    return atomic_exchange(&a->ready, 0);
}

/* Goes on until there is an answer; the status. */
static int ended(struct aside *a)
{
    const struct mln_value *got = NULL;
    while (a->call.waiting != NULL) {
        assert_int_equal(a->answer.len, 0);
        assert_int_equal(wait_ready(a), 1);
        mln_core_resume(&a->call, &a->answer);
    }
    mln_cx_clear(&a->cx);
    assert_false(mln_failed(mln_cbor_parse(&a->cx, mln_buf_bytes(&a->answer), &got)));
    int status = (int)mln_get_int(mln_get(got, "status"), 0);
    mln_buf_drop(&a->message);
    mln_buf_drop(&a->answer);
    mln_arena_free(a->arena);
    return status;
}

static void test_who_waits(void **state)
{
    static const struct {
        const char *op, *path, *json;
        bool waits;
        int status;
    } t[] = {
        {"write", "secret/data/a", "{\"data\":{\"k\":1}}", true, 200},
        {"read", "secret/data/a", NULL, false, 200},
        {"read", "secret/data/none", NULL, false, 404},
        {"write", "auth/token/create", "{\"ttl\":\"1h\"}", true, 200},
        {"write", "sys/policies/acl/p", "{\"policy\":\"path \\\"x\\\" { capabilities = [\\\"read\\\"] }\"}", true, 204},
        {"write", "secret/data/a", "{\"no\":1}", false, 400},
        {"delete", "secret/metadata/a", NULL, true, 204},
        {"read", "secret/data/a", NULL, false, 404},
    };
    (void)state;
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct aside a;
        begin(k, &a, t[i].op, t[i].path, t[i].json);
        assert_int_equal(a.call.waiting != NULL, t[i].waits);
        assert_int_equal(a.blocks, 0);
        assert_int_equal(ended(&a), t[i].status);
    }
}

/* Many on one key, none of which had seen another's write: all are tried again until all are in. */
static void test_overtaken(void **state)
{
    (void)state;
    CK(k);
    struct aside *all = calloc(ASIDE_MAX, sizeof(*all));
    assert_non_null(all);
    for (size_t i = 0; i < ASIDE_MAX; i++) {
        begin(k, &all[i], "write", "secret/data/one", "{\"data\":{\"k\":1}}");
    }
    for (size_t i = 0; i < ASIDE_MAX; i++) {
        assert_int_equal(ended(&all[i]), 200);
    }
    free(all);
    CK_WANT(k, ck_call(k, "root", "read", "secret/metadata/one", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(mln_get(k->answer, "data"), "current_version"), 0), ASIDE_MAX);
}

/* A commit that fails is told and recorded, and nothing of it stays. */
static void test_failed(void **state)
{
    (void)state;
    CK(k);
    struct aside a;
    mln_fault_arm(MLN_FAULT_SYNC, 1, true);
    begin(k, &a, "write", "secret/data/lost", "{\"data\":{\"k\":1}}");
    assert_non_null(a.call.waiting);
    assert_int_equal(wait_ready(&a), 1);
    mln_fault_arm(MLN_FAULT_SYNC, 0, false);
    mln_core_resume(&a.call, &a.answer);
    assert_null(a.call.waiting);
    assert_int_equal(ended(&a), 500);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/lost", NULL), 404);
}

/* Sealed meanwhile: what waits is not lost, not recorded twice and not answered as done. */
static void test_sealed(void **state)
{
    (void)state;
    CK(k);
    struct aside a;
    begin(k, &a, "write", "secret/data/late", "{\"data\":{\"k\":7}}");
    assert_non_null(a.call.waiting);
    CK_WANT(k, ck_call(k, "root", "write", "sys/seal", NULL), 204);
    assert_true(mln_core_is_sealed(k->core));
    assert_int_equal(atomic_load(&a.ready), 1); /* sealing let it land */
    assert_int_equal(ended(&a), 503);
    mln_core_close(k->core);
    ck_open(k); /* its key file unseals */
    assert_false(mln_core_is_sealed(k->core));
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/late", NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_waits),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_failed),
        cmocka_unit_test(test_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
