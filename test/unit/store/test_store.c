/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The committer on the fault engine: seeded histories of batches, failures and crashes against a
 * plain model, groups on a full disk with relief among them, and the rules of the sequencer under
 * failure.
 */
#include "kit/kit.h"

#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"

/* ---- histories ---- */
#define KEYS 12

struct history {
    struct mln_cx *cx;
    struct mln_store *store;
    struct mln_store_fault *control;
    struct mln_prng g;
    uint32_t now[KEYS], durable[KEYS]; /* value of each key, 0 = absent */
    uint64_t now_version[KEYS], durable_version[KEYS];
    uint32_t next;
    size_t lost, refused;
};

static struct mln_bytes key_of(size_t i)
{
    static const char names[KEYS][4] = {"a", "b", "c", "d/1", "d/2", "d/3",
                                        "e", "f", "g", "h",   "i",   "j"};
    return mln_bytes_of(names[i]);
}

static void check(struct history *h)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    kit_ok(h->cx, mln_snap_begin(h->cx, h->store, &snap));
    for (size_t i = 0; i < KEYS; i++) {
        struct mln_bytes value;
        uint64_t version = 0;
        struct mln_err err = mln_snap_get(h->cx, snap, key_of(i), &value, &version);
        assert_int_equal(mln_failed(err), h->now[i] == 0);
        assert_int_equal(version, h->now_version[i]);
        if (h->now[i] != 0) {
            assert_int_equal(mln_get_u32be(value.ptr), h->now[i]);
        }
    }
}

static void keep(struct history *h)
{
    mln_copy(h->durable, h->now, sizeof(h->now));
    mln_copy(h->durable_version, h->now_version, sizeof(h->now_version));
}

/* One batch of up to four changes, each expected at its version or, now and then, at a wrong one. */
static void step_batch(struct history *h)
{
    struct mln_write writes[8];
    uint8_t values[4][4];
    uint32_t planned[KEYS];
    bool is_touched[KEYS] = {false};
    size_t n = 0;
    bool is_wrong = false;
    mln_copy(planned, h->now, sizeof(planned));
    for (size_t c = 1 + mln_prng_below(&h->g, 4), v = 0; v < c; v++) {
        size_t i = mln_prng_below(&h->g, KEYS);
        bool is_delete = mln_prng_below(&h->g, 3) == 0;
        bool is_off = mln_prng_below(&h->g, 12) == 0;
        is_wrong = is_wrong || is_off;
        writes[n++] = (struct mln_write){.op = MLN_WRITE_EXPECT,
                                         .key = key_of(i),
                                         .version = h->now_version[i] + (is_off ? 1 : 0)};
        mln_put_u32be(values[v], ++h->next);
        writes[n++] = (struct mln_write){.op = is_delete ? MLN_WRITE_DELETE : MLN_WRITE_PUT,
                                         .key = key_of(i),
                                         .value = mln_bytes_at(values[v], 4)};
        planned[i] = is_delete ? 0 : h->next;
        is_touched[i] = true;
    }
    h->control->fail_commit_at = mln_prng_below(&h->g, 10) == 0 ? 1 : 0;
    bool will_fail = h->control->fail_commit_at == 1;
    struct mln_batch batch = {.writes = writes, .n = n};
    struct mln_err err = mln_store_commit(h->cx, h->store, &batch);
    h->control->fail_commit_at = 0;
    kit_expect(h->cx, "a batch", err, is_wrong ? MLN_E_CONFLICT : will_fail ? MLN_E_IO : MLN_E_OK);
    h->refused += is_wrong || will_fail;
    if (is_wrong || will_fail) {
        return;
    }
    mln_copy(h->now, planned, sizeof(planned));
    for (size_t i = 0; i < KEYS; i++) {
        if (is_touched[i]) {
            h->now_version[i] = h->now[i] != 0 ? batch.version : 0;
        }
    }
    if (!h->control->forget_unsynced) {
        keep(h);
    }
}

static void step_crash(struct history *h)
{
    kit_ok(h->cx, mln_store_fault_crash(h->cx, h->store));
    h->lost += memcmp(h->now, h->durable, sizeof(h->now)) != 0;
    mln_copy(h->now, h->durable, sizeof(h->now));
    mln_copy(h->now_version, h->durable_version, sizeof(h->now_version));
    h->control->forget_unsynced = false;
}

static void test_histories(void **state)
{
    (void)state;
    size_t lost = 0;
    size_t refused = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct history h = {.cx = kit_cx_new()};
        mln_prng_seed(&h.g, seed);
        kit_ok(h.cx, mln_store_open_fault(h.cx, &h.store, &h.control));
        for (size_t i = 0; i < 150; i++) {
            uint64_t dice = mln_prng_below(&h.g, 40);
            if (dice == 0) {
                step_crash(&h);
            } else if (dice == 1) {
                h.control->forget_unsynced = true; /* a disk that lies, until the next crash */
            } else {
                step_batch(&h);
            }
            check(&h);
        }
        lost += h.lost;
        refused += h.refused;
        mln_store_close(h.store);
        kit_cx_free(h.cx);
    }
    assert_true(lost > 10 && refused > 100); /* the histories did meet faults */
}

/* ---- groups ---- */
#define GROUP 12

struct group {
    struct mln_cx *cx;
    struct mln_store *store;
    struct mln_store_fault *control;
    sem_t done;
    struct mln_batch batches[GROUP];
    struct mln_write writes[GROUP];
    char keys[GROUP][8];
    size_t order[GROUP], finished;
};

static int group_setup(void **state)
{
    struct group *g = calloc(1, sizeof(*g));
    g->cx = kit_cx_new();
    kit_ok(g->cx, mln_store_open_fault(g->cx, &g->store, &g->control));
    sem_init(&g->done, 0, 0);
    *state = g;
    return 0;
}

static int group_teardown(void **state)
{
    struct group *g = *state;
    mln_store_close(g->store);
    sem_destroy(&g->done);
    kit_cx_free(g->cx);
    free(g);
    return 0;
}
#define GROUP_TEST(fn) cmocka_unit_test_setup_teardown(fn, group_setup, group_teardown)

static void one_done(struct mln_batch *batch)
{
    struct group *g = batch->arg;
    g->order[g->finished++] = (size_t)(batch - g->batches);
    sem_post(&g->done);
}

/* Submits all; a stalled first commit lets the others gather into one group. */
static void submit_all(struct group *g)
{
    g->control->stall_ns = 20000000;
    for (size_t i = 0; i < GROUP; i++) {
        snprintf(g->keys[i], sizeof(g->keys[i]), "k%02zu", i);
        g->writes[i].key = mln_bytes_of(g->keys[i]);
        g->batches[i].writes = &g->writes[i];
        g->batches[i].n = 1;
        g->batches[i].done = one_done;
        g->batches[i].arg = g;
        mln_store_submit(g->store, &g->batches[i]);
    }
    for (size_t i = 0; i < GROUP; i++) {
        sem_wait(&g->done);
    }
    g->control->stall_ns = 0;
}

static void check_results(struct group *g, const enum mln_code *want)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    kit_ok(g->cx, mln_snap_begin(g->cx, g->store, &snap));
    for (size_t i = 0; i < GROUP; i++) {
        struct mln_bytes value;
        uint64_t version = 0;
        kit_expect(g->cx, g->keys[i], g->batches[i].result, want[i]);
        struct mln_err err = mln_snap_get(g->cx, snap, g->writes[i].key, &value, &version);
        assert_int_equal(!mln_failed(err), want[i] == MLN_E_OK);
        assert_true(want[i] != MLN_E_OK || version == g->batches[i].version);
    }
}

/* A full disk: of one group the relief batches alone pass. */
static void test_relief_in_a_group(void **state)
{
    struct group *g = *state;
    enum mln_code want[GROUP];
    g->control->is_full = true;
    for (size_t i = 0; i < GROUP; i++) {
        g->batches[i].is_relief = i % 3 == 0;
        want[i] = i % 3 == 0 ? MLN_E_OK : MLN_E_FULL;
    }
    submit_all(g);
    check_results(g, want);
    struct mln_store_stat stat;
    mln_store_stat(g->store, &stat);
    assert_true(stat.is_full);
    assert_int_equal(stat.batches, GROUP);
}

/* Batches that are wrong in themselves are refused by themselves, whatever their group. */
static void test_invalid_in_a_group(void **state)
{
    struct group *g = *state;
    enum mln_code want[GROUP] = {MLN_E_OK};
    struct mln_write bad = {.op = MLN_WRITE_PUT, .key = MLN_BYTES_NONE};
    for (size_t i = 0; i < GROUP; i++) {
        want[i] = MLN_E_OK;
    }
    submit_all(g);
    check_results(g, want);
    g->finished = 0;
    mln_fill(g->order, 0, sizeof(g->order));
    g->control->stall_ns = 20000000;
    for (size_t i = 0; i < GROUP; i++) {
        g->batches[i].writes = i == 5 ? &bad : &g->writes[i];
        mln_store_submit(g->store, &g->batches[i]);
    }
    for (size_t i = 0; i < GROUP; i++) {
        sem_wait(&g->done);
    }
    for (size_t i = 0; i < GROUP; i++) {
        kit_expect(g->cx, g->keys[i], g->batches[i].result, i == 5 ? MLN_E_INVALID : MLN_E_OK);
        assert_int_equal(g->order[i], i); /* done in the order of submission */
    }
}

/* A commit that fails takes all of its transaction with it, and no more. */
static void test_io_in_a_group(void **state)
{
    struct group *g = *state;
    g->control->fail_commit_at = 1;
    submit_all(g);
    size_t failed = 0;
    uint64_t version = 0;
    for (size_t i = 0; i < GROUP; i++) {
        failed += mln_is(g->batches[i].result, MLN_E_IO);
        assert_true(mln_is(g->batches[i].result, MLN_E_IO) || !mln_failed(g->batches[i].result));
        version = g->batches[i].version > version ? g->batches[i].version : version;
    }
    struct mln_store_stat stat;
    mln_store_stat(g->store, &stat);
    assert_true(stat.version <= version);
    enum mln_code want[GROUP];
    for (size_t i = 0; i < GROUP; i++) {
        want[i] = (enum mln_code)g->batches[i].result.code;
    }
    check_results(g, want);
    assert_true(failed > 0);
}

/* ---- the sequencer ---- */
struct ledger {
    uint64_t size, pending; /* kept only when `after` says so */
    size_t calls, failed;
    bool is_bad_key;
};

static struct mln_err number(void *arg, struct mln_cx *cx, struct mln_store_writer *w,
                             struct mln_batch *const *batches, size_t n)
{
    struct ledger *l = arg;
    (void)batches;
    l->calls++;
    l->pending = l->size + n;
    uint8_t value[8];
    mln_put_u64be(value, l->pending);
    if (l->is_bad_key) {
        return mln_writer_put(cx, w, MLN_BYTES_NONE, MLN_BYTES_NONE);
    }
    return n > 0 ? mln_writer_put(cx, w, MLN_BYTES("ledger/size"), mln_bytes_at(value, 8)) : MLN_OK;
}

static void keep_or_not(void *arg, bool ok)
{
    struct ledger *l = arg;
    l->failed += !ok;
    l->size = ok ? l->pending : l->size;
}

static uint64_t stored_size(struct group *g)
{
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes value;
    uint64_t version = 0;
    kit_ok(g->cx, mln_snap_begin(g->cx, g->store, &snap));
    bool is_there =
        !mln_failed(mln_snap_get(g->cx, snap, MLN_BYTES("ledger/size"), &value, &version));
    return is_there ? mln_get_u64be(value.ptr) : 0;
}

/* Whatever fails, the number in the store is the number of batches that passed, and the sequencer's own. */
static void test_sequencer_agrees(void **state)
{
    struct group *g = *state;
    struct ledger l = {0};
    struct mln_sequencer sequencer = {number, keep_or_not, &l};
    size_t passed = 0;
    mln_store_set_sequencer(g->store, &sequencer);
    for (size_t round = 0; round < 12; round++) {
        g->finished = 0;
        g->control->is_full = round % 4 == 1;
        g->control->fail_commit_at = round % 4 == 2 ? 1 : 0;
        for (size_t i = 0; i < GROUP; i++) {
            g->batches[i] = (struct mln_batch){.is_relief = i % 2 == 0};
            g->writes[i] = (struct mln_write){
                .op = round % 4 == 3 ? MLN_WRITE_EXPECT : MLN_WRITE_PUT, .version = i % 2};
        }
        submit_all(g);
        for (size_t i = 0; i < GROUP; i++) {
            passed += !mln_failed(g->batches[i].result);
        }
        assert_int_equal(stored_size(g), passed);
        assert_int_equal(l.size, passed);
    }
    assert_true(l.failed > 0 && passed > GROUP);
    l.is_bad_key = true;
    struct mln_batch empty = {0};
    kit_refused(g->cx, mln_store_commit(g->cx, g->store, &empty), MLN_E_INVALID);
    l.is_bad_key = false;
    mln_store_set_sequencer(g->store, NULL);
    size_t calls = l.calls;
    kit_ok(g->cx, mln_store_commit(g->cx, g->store, &empty));
    assert_int_equal(l.calls, calls);
}

/* Many kicks in a row are few transactions. */
static void test_kicks_coalesce(void **state)
{
    struct group *g = *state;
    struct ledger l = {0};
    struct mln_sequencer sequencer = {number, keep_or_not, &l};
    struct mln_batch empty = {0};
    g->control->stall_ns = 5000000;
    mln_store_set_sequencer(g->store, &sequencer);
    g->writes[0] = (struct mln_write){.op = MLN_WRITE_PUT, .key = MLN_BYTES("a")};
    struct mln_batch busy = {.writes = &g->writes[0], .n = 1, .done = one_done, .arg = g};
    g->batches[0] = busy;
    mln_store_submit(g->store, &g->batches[0]);
    for (size_t i = 0; i < 10000; i++) {
        mln_store_kick(g->store);
    }
    sem_wait(&g->done);
    kit_ok(g->cx, mln_store_commit(g->cx, g->store, &empty));
    assert_in_range(l.calls, 1, 1000);
    mln_store_set_sequencer(g->store, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),    GROUP_TEST(test_relief_in_a_group),
        GROUP_TEST(test_invalid_in_a_group), GROUP_TEST(test_io_in_a_group),
        GROUP_TEST(test_sequencer_agrees),   GROUP_TEST(test_kicks_coalesce),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
