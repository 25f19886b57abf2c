/* SPDX-License-Identifier: Apache-2.0 */
/* Processes at the workload socket: what core is told of them, and what their requests find. */
#include <pthread.h>
#include <time.h>

#include "contract/engine.h"
extern const struct mln_engine mln_engine_mirror;
#define CK_MORE_ENGINES &mln_engine_mirror,
#include "core_kit.h"

/* ---- an engine that tells who asks ---- */

static struct mln_err show(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put_int(rq->cx, data, "kind", rq->actor->kind);
    if (rq->peer != NULL) {
        mln_put_int(rq->cx, data, "pid", rq->peer->pid);
        mln_put_int(rq->cx, data, "uid", rq->peer->uid);
        mln_put_int(rq->cx, data, "gid", rq->peer->gid);
        mln_put(rq->cx, data, "selectors", rq->peer->selectors);
    }
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_path mirror_paths[] = {
    {.pattern = "peer", .summary = "tell who asks", .read = show, .needs_peer = true},
    {.pattern = "any", .summary = "tell who asks", .read = show},
    {0},
};
const struct mln_engine mln_engine_mirror = {
    .type = "mirror", .kind = MLN_MOUNT_SECRET, .summary = "tells who asks", .paths = mirror_paths};

/* ---- calls ---- */

static int call_as(struct ck *k, int64_t number, const char *token, const char *path)
{
    mln_cx_clear(&k->cx);
    struct mln_value *rq = mln_object(&k->cx);
    mln_put_text(&k->cx, rq, "op", "read");
    mln_put_text(&k->cx, rq, "path", path);
    mln_put_int(&k->cx, rq, "peer", number);
    if (token != NULL) {
        mln_put(&k->cx, rq, "token", mln_secret_string(&k->cx, mln_bytes_of(token)));
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    mln_cbor_print(&message, rq);
    mln_buf_drop(&k->buf);
    struct mln_core_call call = {.message = mln_buf_bytes(&message), .block = ck_block, .arg = k};
    assert_false(mln_failed(mln_core_answer(&k->cx, k->core, &call, &k->buf)));
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(mln_cbor_parse(&k->cx, mln_bytes_dup(&k->cx, mln_buf_bytes(&k->buf)), &k->answer)));
    return (int)mln_get_int(mln_get(k->answer, "status"), 0);
}

static struct mln_err put(struct ck *k, uint64_t number, const char *selectors)
{
    const struct mln_value *v = NULL;
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(selectors), &v)));
    struct mln_peer peer = {.number = number, .pid = 42, .uid = 1000, .gid = 100, .selectors = v};
    return mln_peers_put(&k->cx, mln_core_peers(k->core), &peer);
}

static struct ck *start(void)
{
    struct ck *k = ck_new();
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/mirror", "{\"type\":\"mirror\"}"), 204);
    return k;
}
#define PEERS(k) MLN_AUTO(ck_drop) struct ck *k = start()

static void test_an_attested_peer_is_answered(void **state)
{
    (void)state;
    PEERS(k);
    assert_false(mln_failed(put(k, 7, "[\"unix:uid:1000\"]")));
    CK_WANT(k, call_as(k, 7, NULL, "mirror/peer"), 200);
    assert_string_equal(ck_at(k, "data"),
                        "{\"kind\":3,\"pid\":42,\"uid\":1000,\"gid\":100,\"selectors\":[\"unix:uid:1000\"]}");
    CK_WANT(k, call_as(k, 7, "root", "mirror/peer"), 200); /* a token changes nothing there */
    assert_string_equal(ck_at(k, "data|kind"), "3");
    CK_WANT(k, call_as(k, 7, NULL, "mirror/any"), 403); /* and a peer is no token elsewhere */
    CK_WANT(k, call_as(k, 7, "root", "mirror/any"), 200);
    assert_string_equal(ck_at(k, "data|kind"), "1");
}

static void test_only_a_peer_is_answered(void **state)
{
    (void)state;
    PEERS(k);
    CK_WANT(k, ck_call(k, "root", "read", "mirror/peer", NULL), 403);
    assert_non_null(strstr(ck_error(k), "only for processes at the workload socket"));
    CK_WANT(k, ck_call(k, NULL, "read", "mirror/peer", NULL), 403);
    CK_WANT(k, ck_call(k, "root", "help", "mirror/peer", NULL), 403);
}

/* The record names the process. */
static void test_its_record(void **state)
{
    (void)state;
    PEERS(k);
    assert_false(mln_failed(put(k, 7, "[\"unix:uid:1000\"]")));
    CK_WANT(k, call_as(k, 7, NULL, "mirror/peer"), 200);
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/proof/0", NULL), 200); /* makes it write what waits */
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/entries", "{\"max\":1000}"), 200);
    const char *all = ck_at(k, "data|entries");
    assert_non_null(strstr(all, "\"kind\":\"peer\""));
    assert_non_null(strstr(all, "\"from\":\"unix:1000\""));
    assert_non_null(strstr(all, "\"pid\":42"));
}

static void test_what_is_refused(void **state)
{
    (void)state;
    PEERS(k);
    static const struct {
        uint64_t number;
        const char *selectors;
        enum mln_code code;
    } rows[] = {
        {0, "[\"unix:uid:1\"]", MLN_E_INVALID},
        {(uint64_t)INT64_MAX + 1, "[\"unix:uid:1\"]", MLN_E_INVALID},
        {1, "{}", MLN_E_INVALID},
        {1, "[1]", MLN_E_INVALID},
        {1, "[\"unix\"]", MLN_E_INVALID},
        {1, "[\":uid\"]", MLN_E_INVALID},
        {1, "[\"unix:\"]", MLN_E_INVALID},
        {1, "[]", MLN_E_OK},
        {1, "[]", MLN_E_EXISTS},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_err err = put(k, rows[i].number, rows[i].selectors);
        if (!mln_is(err, rows[i].code)) {
            fail_msg("row %zu: %s", i, mln_err_name(err.code));
        }
    }
    struct mln_value *many = mln_array(&k->cx);
    for (unsigned i = 0; i <= MLN_PEER_SELECTORS; i++) {
        mln_push_text(&k->cx, many, "a:b");
    }
    struct mln_peer peer = {.number = 2, .selectors = many};
    mln_cx_clear(&k->cx);
    assert_true(mln_is(mln_peers_put(&k->cx, mln_core_peers(k->core), &peer), MLN_E_INVALID));
}

static void test_refused_and_ended(void **state)
{
    (void)state;
    PEERS(k);
    mln_peers_refuse(&k->cx, mln_core_peers(k->core), 8, MLN_E_UNREACHABLE);
    CK_WANT(k, call_as(k, 8, NULL, "mirror/peer"), 502);
    assert_non_null(strstr(ck_error(k), "could not be attested"));
    assert_false(mln_failed(put(k, 9, "[\"a:b\"]")));
    mln_peers_refuse(&k->cx, mln_core_peers(k->core), 9, MLN_E_DENIED);
    CK_WANT(k, call_as(k, 9, NULL, "mirror/peer"), 403);
    assert_non_null(strstr(ck_error(k), "has ended"));
    mln_peers_end(mln_core_peers(k->core), 9);
    mln_peers_end(mln_core_peers(k->core), 9);
    assert_false(mln_failed(put(k, 9, "[\"a:b\"]"))); /* forgotten: only then may the number come again */
    mln_peers_end_all(mln_core_peers(k->core));
    assert_false(mln_failed(put(k, 9, "[\"a:b\"]")));
    CK_WANT(k, call_as(k, 0, NULL, "mirror/peer"), 400);
    CK_WANT(k, call_as(k, -5, NULL, "mirror/peer"), 400);
}

/* ---- requests that are here before their line ---- */

struct late {
    struct ck *k;
    uint64_t number;
    int64_t after_ms;
};

static void *put_late(void *arg)
{
    struct late *late = arg;
    struct timespec wait = {.tv_nsec = late->after_ms * 1000000};
    struct mln_arena *arena = mln_arena_new(1u << 16, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    (void)nanosleep(&wait, NULL);
    struct mln_value *selectors = mln_array(&cx);
    mln_push_text(&cx, selectors, "unix:uid:5");
    struct mln_peer peer = {.number = late->number, .pid = 1, .uid = 5, .selectors = selectors};
    assert_false(mln_failed(mln_peers_put(&cx, mln_core_peers(late->k->core), &peer)));
    mln_arena_free(arena);
    return NULL;
}

static void test_a_request_waits_for_its_line(void **state)
{
    (void)state;
    PEERS(k);
    struct late late = {k, 11, 50};
    pthread_t thread;
    k->blocks = 0;
    assert_int_equal(pthread_create(&thread, NULL, put_late, &late), 0);
    CK_WANT(k, call_as(k, 11, NULL, "mirror/peer"), 200);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(ck_at(k, "data|uid"), "5");
    assert_int_equal(k->blocks, 1); /* the ring was handed on */
}

static void test_the_wait_ends(void **state)
{
    (void)state;
    MLN_AUTO(ck_drop) struct ck *k = ck_new_bare(false, false);
    mln_core_close(k->core);
    struct mln_core_config config = {.data_dir = k->dir, .origin = "test.local/ledger", .seal = MLN_SEAL_KEYFILE,
                                     .keyfile = k->keyfile, .registries = ck_registries, .no_sync = true, .peer_wait_ms = 50};
    assert_false(mln_failed(mln_core_open(&k->cx, &config, &k->core)));
    CK_WANT(k, call_as(k, 12, NULL, "mirror/peer"), 502);
    assert_non_null(strstr(ck_error(k), "not attested yet"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_attested_peer_is_answered),
        cmocka_unit_test(test_only_a_peer_is_answered),
        cmocka_unit_test(test_its_record),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_refused_and_ended),
        cmocka_unit_test(test_a_request_waits_for_its_line),
        cmocka_unit_test(test_the_wait_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
