/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of the pipeline one by one: what is refused, what a use costs, who is recorded how, what a change does to others. */
#include "core_kit.h"

#include <pthread.h>
#include <string.h>

#include "core/core_priv.h"

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()

static void policy(struct ck *k, const char *name, const char *rules)
{
    char path[64], json[512];
    (void)snprintf(path, sizeof(path), "sys/policies/acl/%s", name);
    (void)snprintf(json, sizeof(json), "{\"policy\":\"%s\"}", rules);
    CK_WANT(k, ck_call(k, "root", "write", path, json), 204);
}

static const char *token(struct ck *k, const char *json)
{
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", json), 200);
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, "auth"), "client_token"), "");
}

/* The last record on `resource`, whole; NULL when there is none. */
static const struct mln_value *record_of(struct ck *k, const char *resource)
{
    const struct mln_value *found = NULL;
    assert_false(mln_failed(mln_ledger_flush(&k->cx, k->core->ledger)));
    CK_WANT(k, ck_call(k, "root", "read", "sys/ledger/entries", "{\"max\":1000}"), 200);
    const struct mln_value *all = mln_get(mln_get(k->answer, "data"), "entries");
    for (size_t i = 0; i < mln_len(all); i++) {
        if (mln_is_text(mln_get(mln_get(mln_item(all, i), "content"), "resource"), resource)) {
            found = mln_item(all, i);
        }
    }
    return found;
}

static const char *of_content(struct ck *k, const struct mln_value *record, const char *name)
{
    return mln_get_text(&k->cx, mln_get(mln_get(record, "content"), name), "");
}

static int64_t ledger_size(struct ck *k)
{
    struct mln_ledger_status status;
    assert_false(mln_failed(mln_ledger_flush(&k->cx, k->core->ledger)));
    mln_ledger_status(k->core->ledger, &status);
    return (int64_t)status.size;
}

static void test_create_or_update(void **state)
{
    static const struct {
        const char *capabilities;
        int first, second; /* of two writes of one secret */
    } t[] = {
        {"\\\"create\\\"", 200, 403},
        {"\\\"update\\\"", 403, 403},
        {"\\\"create\\\",\\\"update\\\"", 200, 200},
        {"\\\"read\\\"", 403, 403},
    };
    (void)state;
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char rules[128], path[64];
        (void)snprintf(rules, sizeof(rules), "path \\\"secret/data/*\\\" { capabilities = [%s] }", t[i].capabilities);
        (void)snprintf(path, sizeof(path), "secret/data/x%zu", i);
        policy(k, "w", rules);
        const char *id = token(k, "{\"policies\":[\"w\"]}");
        CK_WANT(k, ck_call(k, id, "write", path, "{\"data\":{\"n\":1}}"), t[i].first);
        CK_WANT(k, ck_call(k, id, "write", path, "{\"data\":{\"n\":2}}"), t[i].second);
    }
}

/* Policy comes before anything that the data says: who may not learns nothing of the schema. */
static void test_policy_first(void **state)
{
    (void)state;
    CK(k);
    const char *id = token(k, "{\"policies\":[\"default\"]}");
    CK_WANT(k, ck_call(k, id, "write", "secret/data/a", "{\"options\":7}"), 403);
    CK_WANT(k, ck_call(k, id, "write", "nosuch/x", "{}"), 403);
    CK_WANT(k, ck_call(k, id, "patch", "sys/seal", "{}"), 403);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"options\":7}"), 400);
}

/* A rule for a path holds for the path with a slash behind it as well: that is no other way to the same thing. */
static void test_slash(void **state)
{
    (void)state;
    CK(k);
    policy(k, "s", "path \\\"transit/keys/*\\\" { capabilities = [\\\"read\\\",\\\"update\\\",\\\"list\\\"] } "
                   "path \\\"transit/keys/k\\\" { capabilities = [\\\"deny\\\"] }");
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/transit", "{\"type\":\"transit\"}"), 204);
    CK_WANT(k, ck_call(k, "root", "write", "transit/keys/k", "{}"), 200);
    const char *id = token(k, "{\"policies\":[\"s\"]}");
    CK_WANT(k, ck_call(k, id, "read", "transit/keys/k", NULL), 403);
    CK_WANT(k, ck_call(k, id, "read", "transit/keys/k/", NULL), 404);
    CK_WANT(k, ck_call(k, id, "write", "transit/keys/k/", "{}"), 400);
    CK_WANT(k, ck_call(k, "root", "list", "transit/keys", NULL), 200);
}

static void test_sudo(void **state)
{
    (void)state;
    CK(k);
    policy(k, "s", "path \\\"sys/auth/*\\\" { capabilities = [\\\"update\\\"] }");
    const char *id = token(k, "{\"policies\":[\"s\"]}");
    CK_WANT(k, ck_call(k, id, "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 403);
    policy(k, "s", "path \\\"sys/auth/*\\\" { capabilities = [\\\"update\\\",\\\"sudo\\\"] }");
    CK_WANT(k, ck_call(k, id, "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 204);
}

/* A refused or failed request spends a use as well: a token of one use is no oracle. */
static void test_uses(void **state)
{
    (void)state;
    static const struct {
        const char *op, *path, *json;
        int status;
    } t[] = {
        {"read", "secret/data/x", NULL, 403},
        {"write", "sys/capabilities-self", "{}", 400},
        {"read", "auth/token/lookup-self", NULL, 200},
        {"patch", "auth/token/lookup-self", "{}", 403},
    };
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *id = token(k, "{\"policies\":[\"default\"],\"num_uses\":1}");
        CK_WANT(k, ck_call(k, id, t[i].op, t[i].path, t[i].json), t[i].status);
        CK_WANT(k, ck_call(k, id, "read", "auth/token/lookup-self", NULL), 403);
        assert_string_equal(ck_error(k), "permission denied");
    }
}

static const struct mln_value *request(struct ck *k, const char *name, const char *value)
{
    struct mln_value *rq = mln_object(&k->cx);
    mln_put_text(&k->cx, rq, "op", "read");
    mln_put_text(&k->cx, rq, "path", "secret/data/a");
    mln_put(&k->cx, rq, "token", mln_secret_string(&k->cx, MLN_BYTES("root")));
    mln_put_text(&k->cx, rq, name, value);
    return rq;
}

static int64_t deliver(struct ck *k, const struct mln_value *rq)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf answer = {0};
    mln_cbor_print(&message, rq);
    struct mln_core_call call = {.message = mln_buf_bytes(&message)};
    assert_false(mln_failed(mln_core_answer(&k->cx, k->core, &call, &answer)));
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(mln_cbor_parse(&k->cx, mln_bytes_dup(&k->cx, mln_buf_bytes(&answer)), &k->answer)));
    return mln_get_int(mln_get(k->answer, "status"), 0);
}

/* What core cannot do is not passed over. */
static void test_asked_for_more(void **state)
{
    static const struct {
        const char *name, *value;
        int64_t status;
    } t[] = {
        {"ns", "", 200}, {"ns", "root", 200}, {"ns", "team/", 404}, {"wrap", "", 200},
        {"wrap", "60", 200}, {"wrap", "1m", 200}, {"wrap", "-1", 400}, {"wrap", "-5m", 400}, {"wrap", "x", 400},
        {"path", "secret/data/a\n", 400}, {"path", "secret/data/a", 200},
    };
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"k\":1}}"), 200);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        assert_int_equal(deliver(k, request(k, t[i].name, t[i].value)), t[i].status);
    }
    char longer[4096];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    assert_int_equal(deliver(k, request(k, "path", longer)), 400);
}

static void test_no_requests(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t n;
    } t[] = {
        {"nothing", "", 0},
        {"a number", "\x01", 1},
        {"half a map", "\xa2\x62op", 4},
        {"no op", "\xa1\x64path\x61" "a", 8},
        {"no path", "\xa1\x62op\x64read", 9},
        {"an empty path", "\xa2\x62op\x64read\x64path\x60", 15},
        {"another op", "\xa2\x62op\x63" "foo\x64path\x61" "a", 15},
        {"data that is none", "\xa3\x62op\x64read\x64path\x61" "a\x64" "data\x01", 22},
        {"more behind it", "\xa2\x62op\x64read\x64path\x61" "a\x01", 17},
    };
    (void)state;
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf answer = {0};
        struct mln_core_call call = {.message = mln_bytes_at(t[i].bytes, t[i].n)};
        kit_expect(&k->cx, t[i].name, mln_core_answer(&k->cx, k->core, &call, &answer), MLN_E_CORRUPT);
        assert_int_equal(answer.len, 0);
    }
}

static void test_decisions(void **state)
{
    (void)state;
    CK(k);
    policy(k, "r", "path \\\"secret/data/seen\\\" { capabilities = [\\\"read\\\"] }");
    const char *id = token(k, "{\"policies\":[\"r\"]}");
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/seen", "{\"data\":{\"k\":1}}"), 200);
    CK_WANT(k, ck_call(k, id, "read", "secret/data/seen", NULL), 200);
    CK_WANT(k, ck_call(k, id, "read", "secret/data/hidden", NULL), 403);
    const struct mln_value *seen = record_of(k, "secret/data/seen");
    assert_true(mln_is_text(mln_get(seen, "class"), "read"));
    assert_string_equal(of_content(k, seen, "decision"), "allow");
    assert_string_equal(of_content(k, seen, "reason"), "policy");
    assert_string_equal(of_content(k, seen, "rule"), "secret/data/seen");
    assert_int_equal(strlen(of_content(k, seen, "answer")), 32);
    const struct mln_value *hidden = record_of(k, "secret/data/hidden");
    assert_true(mln_is_text(mln_get(hidden, "class"), "denied"));
    assert_string_equal(of_content(k, hidden, "decision"), "deny");
}

/* Health leaves nothing; strangers are counted together, so that a flood does not fill the log. */
static void test_strangers(void **state)
{
    (void)state;
    CK(k);
    int64_t before = ledger_size(k);
    for (int i = 0; i < 50; i++) {
        CK_WANT(k, ck_call(k, NULL, "read", "sys/health", NULL), 200);
        CK_WANT(k, ck_call(k, NULL, "read", "secret/data/x", NULL), 403);
        CK_WANT(k, ck_call(k, NULL, "read", "sys/internal/ui/mounts", NULL), 200);
    }
    assert_true(ledger_size(k) - before <= 4); /* at most a record a second, and this takes less than four */
}

/* The preflight of Vault's command line works for a token that may see one secret only, and says nothing to others. */
static void test_preflight(void **state)
{
    (void)state;
    CK(k);
    policy(k, "one", "path \\\"secret/data/app/*\\\" { capabilities = [\\\"read\\\"] }");
    const char *id = token(k, "{\"policies\":[\"one\"]}");
    const char *other = token(k, "{\"policies\":[\"default\"]}");
    CK_WANT(k, ck_call(k, id, "read", "sys/internal/ui/mounts/secret/app/x", NULL), 200);
    assert_string_equal(mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "path"), ""), "secret/");
    CK_WANT(k, ck_call(k, other, "read", "sys/internal/ui/mounts/secret/app/x", NULL), 403);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/internal/ui/mounts/secret/app/x", NULL), 403);
    CK_WANT(k, ck_call(k, "root", "read", "sys/internal/ui/mounts/nosuch/x", NULL), 403);
    CK_WANT(k, ck_call(k, NULL, "read", "sys/internal/ui/mounts", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"auth\":{},\"secret\":{}}");
}

/* Unmounting hides everything at once; ticks delete the rows, and the ledger knows each that went. */
static void test_sweep(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/gone", "{\"type\":\"kv\",\"options\":{\"version\":\"2\"}}"), 204);
    for (int i = 0; i < 20; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "gone/data/x%d", i);
        CK_WANT(k, ck_call(k, "root", "write", path, "{\"data\":{\"a\":1}}"), 200);
    }
    CK_WANT(k, ck_call(k, "root", "read", "sys/mounts/gone", NULL), 200);
    const char *uuid = mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), "uuid"), "");
    struct mln_bytes prefix = mln_bytes_format(&k->cx, "root/%s/", uuid);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/mounts/gone", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "gone/data/x1", NULL), 404);
    mln_core_tick(&k->cx, k->core);
    MLN_AUTO(mln_snap_drop) struct mln_snap *snap = NULL;
    struct mln_bytes key = MLN_BYTES_NONE;
    assert_false(mln_failed(mln_snap_begin(&k->cx, k->core->store, &snap)));
    kit_refused(&k->cx, mln_snap_next(&k->cx, snap, prefix, MLN_BYTES_NONE, &key, NULL), MLN_E_NOT_FOUND);
    CK_WANT(k, ck_call(k, "root", "read", "sys/verify-store", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "problems")), "[]");
}

/* ---- threads ---- */

struct writer {
    struct mln_core *core;
    int wanted, written;
};

static void *write_many(void *arg)
{
    struct writer *w = arg;
    struct mln_cx *cx = kit_cx_new();
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf answer = {0};
    struct mln_value *rq = mln_object(cx);
    const struct mln_value *data = NULL, *got = NULL;
    kit_ok(cx, mln_json_parse(cx, MLN_BYTES("{\"data\":{\"k\":1}}"), &data));
    mln_put_text(cx, rq, "op", "write");
    mln_put_text(cx, rq, "path", "secret/data/hot");
    mln_put(cx, rq, "token", mln_secret_string(cx, MLN_BYTES("root")));
    mln_put(cx, rq, "data", data);
    mln_cbor_print(&message, rq);
    for (int i = 0; i < w->wanted; i++) {
        struct mln_core_call call = {.message = mln_buf_bytes(&message)};
        mln_arena_reset(cx->arena);
        mln_buf_clear(&answer);
        kit_ok(cx, mln_core_answer(cx, w->core, &call, &answer));
        mln_cx_clear(cx);
        kit_ok(cx, mln_cbor_parse(cx, mln_buf_bytes(&answer), &got));
        w->written += mln_get_int(mln_get(got, "status"), 0) == 200;
    }
    kit_cx_free(cx);
    return NULL;
}

/* Writers of one secret get in each other's way, and each gets through: none is lost, none is counted twice. */
static void test_hot_key(void **state)
{
    enum { THREADS = 16, EACH = 20 };
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    (void)state;
    CK(k);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.core = k->core, .wanted = EACH};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &writers[i]), 0);
    }
    int written = 0;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        written += writers[i].written;
    }
    assert_int_equal(written, THREADS * EACH);
    CK_WANT(k, ck_call(k, "root", "read", "secret/data/hot", NULL), 200);
    const struct mln_value *metadata = mln_get(mln_get(k->answer, "data"), "metadata");
    assert_int_equal(mln_get_int(mln_get(metadata, "version"), 0), THREADS * EACH);
}

/* Sealing waits for what runs and then nothing runs; unsealing brings all of it back. */
static void test_seal_under_writes(void **state)
{
    pthread_t thread;
    (void)state;
    CK(k);
    struct writer w = {.core = k->core, .wanted = 200};
    assert_int_equal(pthread_create(&thread, NULL, write_many, &w), 0);
    CK_WANT(k, ck_call(k, "root", "write", "sys/seal", NULL), 204);
    assert_int_equal(pthread_join(thread, NULL), 0);
    mln_core_close(k->core);
    ck_open(k);
    if (w.written > 0) {
        CK_WANT(k, ck_call(k, "root", "read", "secret/data/hot", NULL), 200);
        const struct mln_value *metadata = mln_get(mln_get(k->answer, "data"), "metadata");
        assert_int_equal(mln_get_int(mln_get(metadata, "version"), 0), w.written);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_or_update), cmocka_unit_test(test_policy_first), cmocka_unit_test(test_slash),
        cmocka_unit_test(test_sudo),
        cmocka_unit_test(test_uses),             cmocka_unit_test(test_asked_for_more), cmocka_unit_test(test_no_requests),
        cmocka_unit_test(test_decisions),        cmocka_unit_test(test_strangers),    cmocka_unit_test(test_preflight),
        cmocka_unit_test(test_sweep),            cmocka_unit_test(test_hot_key),      cmocka_unit_test(test_seal_under_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
