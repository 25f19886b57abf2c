/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings: whole messages of all sizes in order, sleep and bells, wiping, and a peer that scribbles.
 */
#include "kit/kit.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/ring_priv.h"
#include "net/wire.h"

struct pair {
    struct mln_ring_fds fds;
    struct mln_ring *front, *core;
};

static struct pair pair_new(struct mln_cx *cx)
{
    struct pair p = {0};
    kit_ok(cx, mln_ring_create(cx, &p.fds));
    kit_ok(cx, mln_ring_attach(cx, &p.fds, MLN_RING_FRONT, &p.front));
    kit_ok(cx, mln_ring_attach(cx, &p.fds, MLN_RING_CORE, &p.core));
    return p;
}

static void pair_drop(struct pair *p)
{
    mln_ring_free(p->front);
    mln_ring_free(p->core);
    mln_ring_fds_close(&p->fds);
}

static void *map_of(const struct pair *p)
{
    void *map = mmap(NULL, RING_MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->fds.memfd, 0);
    if (map == MAP_FAILED || map == NULL) {
        abort();
    }
    return map;
}

static void fill(struct mln_buf *buf, size_t n, uint64_t seed)
{
    struct mln_prng g;
    mln_prng_seed(&g, seed);
    while (buf->len + 8 <= n) {
        mln_buf_add_u64be(buf, mln_prng_u64(&g));
    }
    while (buf->len < n) {
        mln_buf_add_byte(buf, (uint8_t)mln_prng_u64(&g));
    }
    assert_false(buf->has_failed);
}

static void bell_clear(int fd)
{
    uint64_t n;
    (void)!read(fd, &n, sizeof(n));
}

static bool bell_rang(int fd)
{
    uint64_t n = 0;
    return read(fd, &n, sizeof(n)) == sizeof(n);
}

static void test_one_thread_all_sizes(void **state)
{
    static const size_t sizes[] = {0,
                                   1,
                                   47,
                                   48,
                                   49,
                                   200,
                                   4096,
                                   MLN_RING_FRAGMENT - 1,
                                   MLN_RING_FRAGMENT,
                                   MLN_RING_FRAGMENT + 1,
                                   3 * MLN_RING_FRAGMENT,
                                   400000};
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    for (unsigned round = 0; round < 4; round++) {
        for (size_t i = 0; i < MLN_COUNT(sizes); i++) {
            struct mln_buf in = {0}, out = {0};
            fill(&in, sizes[i], i + round);
            struct mln_ring_head head = {.id = i * 77 + round, .kind = MLN_WIRE_REQUEST}, got = {0};
            kit_ok(cx, mln_ring_send(p.front, &head, mln_buf_bytes(&in)));
            kit_ok(cx, mln_ring_receive(p.core, &got, &out));
            kit_same(cx, mln_buf_bytes(&out), mln_buf_bytes(&in));
            assert_true(got.id == head.id && got.kind == head.kind);
            kit_refused(cx, mln_ring_receive(p.core, &got, &out), MLN_E_NOT_FOUND);
            mln_buf_drop(&in);
            mln_buf_drop(&out);
        }
    }
    pair_drop(&p);
}

static void test_appends_to_what_is_there(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    struct mln_buf in = {0}, out = {0};
    fill(&in, 100000, 3);
    struct mln_ring_head head = {.id = 1, .kind = 2}, got;
    kit_ok(cx, mln_ring_send(p.core, &head, mln_buf_bytes(&in)));
    mln_buf_add_text(&out, "before");
    kit_ok(cx, mln_ring_receive(p.front, &got, &out));
    assert_int_equal(out.len, 100006);
    kit_same(cx, mln_bytes_sub(mln_buf_bytes(&out), 0, 6), MLN_BYTES("before"));
    kit_same(cx, mln_bytes_from(mln_buf_bytes(&out), 6), mln_buf_bytes(&in));
    mln_buf_drop(&in);
    mln_buf_drop(&out);
    pair_drop(&p);
}

/*
 * More than fits waits in the sender's queue, keeps its order, and the consumer rings when it made
 * room.
 */
static void test_queue_and_room_bell(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    struct mln_buf in = {0};
    fill(&in, 300000, 9);
    for (uint64_t i = 0; i < 10; i++) {
        struct mln_ring_head head = {.id = i, .kind = MLN_WIRE_ANSWER};
        kit_ok(cx, mln_ring_send(p.core, &head, mln_buf_bytes(&in)));
    }
    assert_true(mln_ring_queued(p.core) > 0);
    bell_clear(p.fds.bell_core);
    uint64_t seen = 0;
    for (unsigned turn = 0; turn < 200 && seen < 10; turn++) {
        struct mln_buf out = {0};
        struct mln_ring_head got;
        struct mln_err err = mln_ring_receive(p.front, &got, &out);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            mln_ring_bell(p.front);
            assert_true(bell_rang(p.fds.bell_core));
            kit_ok(cx, mln_ring_flush(p.core));
            mln_buf_drop(&out);
            continue;
        }
        kit_ok(cx, err);
        assert_true(got.id == seen++);
        kit_same(cx, mln_buf_bytes(&out), mln_buf_bytes(&in));
        mln_buf_drop(&out);
    }
    assert_true(seen == 10);
    assert_int_equal(mln_ring_queued(p.core), 0);
    mln_buf_drop(&in);
    pair_drop(&p);
}

static void test_sleep_and_bell(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    struct mln_ring_head head = {.id = 1, .kind = 1}, got;
    struct mln_buf out = {0};
    kit_ok(cx, mln_ring_send(p.front, &head, MLN_BYTES("a")));
    mln_ring_bell(p.front);
    assert_false(bell_rang(p.fds.bell_core)); /* core did not sleep: no system call */
    assert_false(mln_ring_sleep(p.core));     /* there is something */
    mln_ring_awake(p.core);
    kit_ok(cx, mln_ring_receive(p.core, &got, &out));
    assert_true(mln_ring_sleep(p.core));
    kit_ok(cx, mln_ring_send(p.front, &head, MLN_BYTES("b")));
    mln_ring_bell(p.front);
    assert_true(bell_rang(p.fds.bell_core));
    mln_ring_bell(p.front);
    assert_false(bell_rang(p.fds.bell_core)); /* once a sleep */
    mln_ring_awake(p.core);
    mln_buf_drop(&out);
    pair_drop(&p);
}

static void test_slots_are_wiped(void **state)
{
    static const char secret[] = "hvs.this-is-a-token-that-must-not-stay";
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    uint8_t *map = map_of(&p);
    struct mln_ring_head head = {.id = 1, .kind = 1}, got;
    struct mln_buf in = {0};
    for (unsigned i = 0; i < 2000; i++) {
        mln_buf_add_text(&in, secret);
    }
    for (unsigned i = 0; i < 30; i++) { /* around the end as well */
        struct mln_buf out = {0};
        kit_ok(cx, mln_ring_send(p.front, &head, mln_buf_bytes(&in)));
        assert_non_null(memmem(map, RING_MAP_BYTES, secret, sizeof(secret) - 1));
        kit_ok(cx, mln_ring_receive(p.core, &got, &out));
        assert_null(memmem(map, RING_MAP_BYTES, secret, 12));
        mln_buf_drop(&out);
    }
    for (size_t i = RING_CONTROL_BYTES; i < RING_MAP_BYTES; i++) {
        assert_int_equal(map[i], 0);
    }
    mln_buf_drop(&in);
    munmap(map, RING_MAP_BYTES);
    pair_drop(&p);
}

static void test_refuses_unsealed_and_foreign_sizes(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_ring_fds fds;
    struct mln_ring *ring = NULL;
    kit_ok(cx, mln_ring_create(cx, &fds));
    assert_int_not_equal(ftruncate(fds.memfd, 4096), 0); /* sealed */
    int plain = memfd_create("x", MFD_CLOEXEC);
    assert_int_equal(ftruncate(plain, RING_MAP_BYTES), 0);
    struct mln_ring_fds bad = {
        .memfd = plain, .bell_core = fds.bell_core, .bell_front = fds.bell_front};
    kit_refused_with(cx, mln_ring_attach(cx, &bad, MLN_RING_CORE, &ring), MLN_E_INVALID, "sealed");
    assert_null(ring);
    close(plain);
    mln_ring_fds_close(&fds);
    assert_int_equal(fds.memfd, -1);
}

static void test_limits(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    struct mln_ring_head head = {.id = 1, .kind = 1};
    kit_refused(cx,
                mln_ring_send(p.front, &head, mln_bytes_at("", (size_t)MLN_RING_MESSAGE_MAX + 1)),
                MLN_E_TOO_LARGE);
    struct mln_buf out = {.max = 10};
    struct mln_ring_head got;
    kit_ok(cx, mln_ring_send(p.front, &head, MLN_BYTES("more than ten bytes")));
    kit_refused(cx, mln_ring_receive(p.core, &got, &out), MLN_E_TOO_LARGE);
    mln_buf_drop(&out);
    pair_drop(&p);
}

/* ---- two threads ---- */

struct echo {
    struct mln_ring *ring;
    int bell;
    unsigned count;
    bool failed;
};

static void nap(struct mln_ring *ring, int bell)
{
    if (mln_ring_sleep(ring)) {
        struct pollfd pf = {.fd = bell, .events = POLLIN};
        (void)poll(&pf, 1, 10000);
        bell_clear(bell);
    }
    mln_ring_awake(ring);
}

static void *echo_main(void *arg)
{
    struct echo *e = arg;
    for (unsigned done = 0; done < e->count;) {
        struct mln_ring_head head;
        struct mln_buf buf = {0};
        struct mln_err err = mln_ring_receive(e->ring, &head, &buf);
        if (!mln_failed(err)) {
            head.kind = MLN_WIRE_ANSWER;
            err = mln_ring_send(e->ring, &head, mln_buf_bytes(&buf));
            done++;
        } else if (mln_is(err, MLN_E_NOT_FOUND)) {
            err = mln_ring_flush(e->ring);
            mln_ring_bell(e->ring);
            nap(e->ring, e->bell);
        }
        mln_buf_drop(&buf);
        if (mln_failed(err)) {
            e->failed = true;
            return NULL;
        }
    }
    while (mln_ring_queued(e->ring) > 0 && !mln_failed(mln_ring_flush(e->ring))) {
        mln_ring_bell(e->ring);
        nap(e->ring, e->bell);
    }
    mln_ring_bell(e->ring);
    return NULL;
}

static size_t size_of_turn(struct mln_prng *g)
{
    static const size_t most[] = {64, 300, 5000, 70000, 1000000, 10000000};
    uint64_t pick = mln_prng_below(g, 100);
    return (size_t)mln_prng_below(g, most[pick < 50   ? 0
                                          : pick < 80 ? 1
                                          : pick < 92 ? 2
                                          : pick < 97 ? 3
                                          : pick < 99 ? 4
                                                      : 5]);
}

static void test_two_threads(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    struct echo e = {.ring = p.core, .bell = p.fds.bell_core, .count = 3000};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, echo_main, &e), 0);
    struct mln_prng g;
    mln_prng_seed(&g, 42);
    unsigned sent = 0, got = 0;
    while (got < e.count) {
        while (sent < e.count && sent - got < 16) {
            struct mln_buf in = {0};
            fill(&in, size_of_turn(&g), sent);
            struct mln_ring_head head = {.id = sent++, .kind = MLN_WIRE_REQUEST};
            kit_ok(cx, mln_ring_send(p.front, &head, mln_buf_bytes(&in)));
            mln_buf_drop(&in);
        }
        struct mln_buf out = {0}, want = {0};
        struct mln_ring_head head;
        struct mln_err err = mln_ring_receive(p.front, &head, &out);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            kit_ok(cx, mln_ring_flush(p.front));
            mln_ring_bell(p.front);
            nap(p.front, p.fds.bell_front);
        } else {
            kit_ok(cx, err);
            assert_true(head.id == got && head.kind == MLN_WIRE_ANSWER);
            fill(&want, out.len, got++);
            kit_same(cx, mln_buf_bytes(&out), mln_buf_bytes(&want));
        }
        mln_buf_drop(&out);
        mln_buf_drop(&want);
    }
    mln_ring_bell(p.front);
    pthread_join(thread, NULL);
    assert_false(e.failed);
    pair_drop(&p);
}

/* ---- a hostile peer ---- */

/*
 * Seeded scribbles over the control page, then over slots: never a crash, and an impossible cursor
 * is always seen.
 */
static void test_hostile_scribbles(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    unsigned corrupt = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct pair p = pair_new(cx);
        struct mln_prng g;
        mln_prng_seed(&g, seed);
        uint8_t *map = map_of(&p);
        for (unsigned turn = 0; turn < 60; turn++) {
            struct mln_ring_head head = {.id = turn, .kind = 1}, got;
            uint8_t some[3000] = {1};
            (void)mln_failed(mln_ring_send(
                p.front, &head, mln_bytes_at(some, (size_t)mln_prng_below(&g, sizeof(some)))));
            bool at_cursors = mln_prng_below(&g, 2) != 0;
            uint64_t scribbles = mln_prng_below(&g, 4);
            for (uint64_t k = 0; k < scribbles; k++) {
                uint64_t at = at_cursors ? mln_prng_below(&g, 4) * 128 + mln_prng_below(&g, 8)
                                         : mln_prng_below(&g, RING_CONTROL_BYTES + 65536);
                map[at] = (uint8_t)mln_prng_u64(&g);
            }
            struct mln_buf out = {0};
            struct mln_err err = mln_ring_receive(p.core, &got, &out);
            (void)mln_failed(mln_ring_send(p.core, &head, mln_buf_bytes(&out)));
            mln_ring_bell(p.core);
            (void)mln_ring_sleep(p.core);
            mln_ring_awake(p.core);
            mln_buf_drop(&out);
            if (mln_is(err, MLN_E_CORRUPT)) {
                corrupt++;
                kit_refused(cx, mln_ring_receive(p.core, &got, &out), MLN_E_CORRUPT); /* for good */
                kit_refused(cx, mln_ring_send(p.core, &head, MLN_BYTES("x")), MLN_E_CORRUPT);
                break;
            }
        }
        munmap(map, RING_MAP_BYTES);
        pair_drop(&p);
    }
    assert_true(corrupt > 200);
}

static void test_impossible_slots(void **state)
{
    static const struct {
        const char *name;
        struct ring_slot slot;
        uint64_t tail;
        enum mln_code want;
    } t[] = {
        {"whole", {.len = 10, .kind = 1, .id = 1}, 64, MLN_E_OK},
        {"empty", {.len = 0, .kind = 1, .id = 1}, 64, MLN_E_OK},
        {"kind 0", {.len = 10, .kind = 0}, 64, MLN_E_CORRUPT},
        {"kind 256", {.len = 10, .kind = 256}, 64, MLN_E_CORRUPT},
        {"longer than what was published", {.len = 49, .kind = 1}, 64, MLN_E_CORRUPT},
        {"longer than a fragment", {.len = MLN_RING_FRAGMENT + 1, .kind = 1}, 65536, MLN_E_CORRUPT},
        {"length that wraps", {.len = 0xffffffffu, .kind = 1}, 65536, MLN_E_CORRUPT},
        {"short fragment with more", {.len = 10, .kind = 1 | RING_MORE}, 64, MLN_E_CORRUPT},
        {"tail not on a slot", {.len = 10, .kind = 1}, 65, MLN_E_CORRUPT},
        {"tail beyond the lane", {.len = 10, .kind = 1}, MLN_RING_BYTES + 64, MLN_E_CORRUPT},
        {"tail far", {.len = 10, .kind = 1}, UINT64_MAX - 63, MLN_E_CORRUPT},
        {"nothing", {.len = 10, .kind = 1}, 0, MLN_E_NOT_FOUND},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct pair p = pair_new(cx);
        struct ring_map *map = map_of(&p);
        memcpy(ring_bytes_of(map, RING_TO_CORE), &t[i].slot, sizeof(t[i].slot));
        atomic_store(&map->lanes[RING_TO_CORE].tail, t[i].tail);
        struct mln_buf out = {0};
        struct mln_ring_head got;
        kit_expect(cx, t[i].name, mln_ring_receive(p.core, &got, &out), t[i].want);
        mln_buf_drop(&out);
        munmap(map, RING_MAP_BYTES);
        pair_drop(&p);
    }
}

static void test_impossible_heads(void **state)
{
    static const uint64_t heads[] = {63, 128 + MLN_RING_BYTES, UINT64_MAX - 63, 1u << 30};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(heads); i++) {
        struct pair p = pair_new(cx);
        struct ring_map *map = map_of(&p);
        atomic_store(&map->lanes[RING_TO_CORE].head, heads[i]);
        struct mln_buf in = {0};
        fill(&in, MLN_RING_BYTES + 5, 1);
        struct mln_ring_head head = {.id = 1, .kind = 1};
        kit_refused(cx, mln_ring_send(p.front, &head, mln_buf_bytes(&in)), MLN_E_CORRUPT);
        mln_buf_drop(&in);
        munmap(map, RING_MAP_BYTES);
        pair_drop(&p);
    }
}

/* Another message's fragment in the middle of one. */
static void test_mixed_fragments(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct pair p = pair_new(cx);
    struct ring_map *map = map_of(&p);
    struct mln_buf in = {0}, out = {0};
    fill(&in, 2 * MLN_RING_FRAGMENT, 1);
    struct mln_ring_head head = {.id = 1, .kind = 1}, got;
    kit_ok(cx, mln_ring_send(p.front, &head, mln_buf_bytes(&in)));
    struct ring_slot other = {.len = MLN_RING_FRAGMENT, .kind = 1, .id = 2};
    memcpy(ring_bytes_of(map, RING_TO_CORE) + MLN_RING_FRAGMENT + RING_ALIGN, &other,
           sizeof(other));
    kit_refused(cx, mln_ring_receive(p.core, &got, &out), MLN_E_CORRUPT);
    mln_buf_drop(&in);
    mln_buf_drop(&out);
    munmap(map, RING_MAP_BYTES);
    pair_drop(&p);
}

static struct mln_err faulty_body(struct mln_cx *cx, void *arg)
{
    (void)arg;
    struct mln_ring_fds fds;
    struct mln_ring *front = NULL, *core = NULL;
    MLN_TRY(mln_ring_create(cx, &fds));
    struct mln_err err = mln_ring_attach(cx, &fds, MLN_RING_FRONT, &front);
    err = mln_failed(err) ? err : mln_ring_attach(cx, &fds, MLN_RING_CORE, &core);
    static uint8_t big[MLN_RING_BYTES + 100];
    struct mln_ring_head head = {.id = 1, .kind = 1}, got;
    err = mln_failed(err) ? err : mln_ring_send(front, &head, mln_bytes_at(big, sizeof(big)));
    struct mln_buf out = {0};
    for (unsigned i = 0; i < 4 && !mln_failed(err); i++) {
        err = mln_ring_receive(core, &got, &out);
        err = mln_is(err, MLN_E_NOT_FOUND) ? mln_ring_flush(front) : err;
    }
    mln_buf_drop(&out);
    mln_ring_free(front);
    mln_ring_free(core);
    mln_ring_fds_close(&fds);
    return err;
}

static void test_each_allocation_fails(void **state)
{
    (void)state;
    assert_true(mln_each_fault(MLN_FAULT_ALLOC, faulty_body, NULL) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_one_thread_all_sizes),
        KIT_TEST(test_appends_to_what_is_there),
        KIT_TEST(test_queue_and_room_bell),
        KIT_TEST(test_sleep_and_bell),
        KIT_TEST(test_slots_are_wiped),
        KIT_TEST(test_refuses_unsealed_and_foreign_sizes),
        KIT_TEST(test_limits),
        KIT_TEST(test_two_threads),
        KIT_TEST(test_hostile_scribbles),
        KIT_TEST(test_impossible_slots),
        KIT_TEST(test_impossible_heads),
        KIT_TEST(test_mixed_fragments),
        KIT_TEST(test_each_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
