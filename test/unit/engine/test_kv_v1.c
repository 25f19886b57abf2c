/* SPDX-License-Identifier: Apache-2.0 */
/* Version 1 of the key-value engine, and what becomes of its rows when the mount is upgraded. */
#include "kit/engine_kit.h"

extern const struct mln_engine mln_engine_kv;

#define T1 "2026-11-22T08:41:17.112564042Z"

static struct ek *v1_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "kv1/", mln_engine_kv.variant(NULL), "11111111-0000-4000-8000-000000000000");
    return k;
}
#define V1(name) MLN_AUTO(ek_drop) struct ek *name = v1_new()

static void test_round_trip(void **state)
{
    (void)state;
    V1(k);
    static const char *const paths[] = {"kv1/a", "kv1/data/x", "kv1/metadata/x", "kv1/config", "kv1/a/b/c"};
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        EK_WANT(k, ek_read(k, paths[i], NULL), 404);
        assert_true(k->re.no_errors_text);
        EK_WANT(k, ek_write(k, paths[i], "{\"k\":\"v\",\"n\":1.50,\"limit\":\"none\",\"path\":\"else\"}"), 204);
        EK_WANT(k, ek_read(k, paths[i], NULL), 200);
        EK_DATA(k, "{\"k\":\"v\",\"limit\":\"none\",\"n\":1.50,\"path\":\"else\"}");
        assert_int_equal(k->re.lease_duration_s, 2764800);
        assert_true((mln_get(k->re.data, "k")->flags & MLN_VALUE_SECRET) != 0);
        EK_WANT(k, ek_write(k, paths[i], "{\"k\":2}"), 204);
        EK_WANT(k, ek_read(k, paths[i], NULL), 200);
        EK_DATA(k, "{\"k\":2}");
    }
    EK_WANT(k, ek_list(k, "kv1/"), 200);
    EK_DATA(k, "{\"keys\":[\"a\",\"a/\",\"config\",\"data/\",\"metadata/\"]}");
    EK_WANT(k, ek_call(k, MLN_OP_LIST, "kv1/", "{\"path\":\"a/b\",\"after\":\"a\",\"limit\":1}"), 200);
    EK_DATA(k, "{\"keys\":[\"a/\"]}");
    EK_WANT(k, ek_list(k, "kv1/a/b/"), 200);
    EK_DATA(k, "{\"keys\":[\"c\"]}");
    EK_WANT(k, ek_delete(k, "kv1/a/b/c"), 204);
    EK_WANT(k, ek_delete(k, "kv1/a/b/c"), 204);
    EK_WANT(k, ek_list(k, "kv1/a/"), 404);
    EK_WANT(k, ek_read(k, "kv1/a/b/c", NULL), 404);
}

static void test_ttl(void **state)
{
    (void)state;
    V1(k);
    static const struct {
        const char *json;
        int64_t mount_s, want_s;
    } t[] = {
        {"{\"k\":1,\"ttl\":\"30m\"}", 0, 1800}, {"{\"ttl\":90}", 0, 90},          {"{\"ttl\":\"90\"}", 0, 90},
        {"{\"lease\":\"1h\"}", 0, 3600},        {"{\"ttl\":\"soon\"}", 0, 2764800}, {"{\"ttl\":-4}", 0, 2764800},
        {"{\"ttl\":{}}", 0, 2764800},           {"{\"k\":1}", 60, 60},            {"{\"ttl\":\"2m\"}", 60, 120},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        k->mounts[0].default_ttl_s = t[i].mount_s;
        EK_WANT(k, ek_write(k, "kv1/t", t[i].json), 204);
        EK_WANT(k, ek_read(k, "kv1/t", NULL), 200);
        assert_int_equal(k->re.lease_duration_s, t[i].want_s);
        EK_DATA(k, t[i].json);
    }
}

static void test_refused(void **state)
{
    (void)state;
    V1(k);
    EK_REFUSED(k, ek_write(k, "kv1/e", "{}"), 400, "missing data fields");
    EK_REFUSED(k, ek_write(k, "kv1/e/", "{\"k\":1}"), 400, "cannot write to a path ending in '/'");
    EK_REFUSED(k, ek_patch(k, "kv1/e", "{\"k\":1}"), 405, "unsupported operation");
    EK_REFUSED(k, ek_call(k, MLN_OP_LIST, "kv1/x/", "{\"limit\":\"many\"}"), 400, "limit is a number");
    struct mln_request rq;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_txn_put_value(k->cx, k->txn, k->mounts[0].view, MLN_BYTES("r/bad"), mln_int(k->cx, 7)));
    ek_end(k, MLN_OK);
    EK_REFUSED(k, ek_read(k, "kv1/bad", NULL), 500, "damaged");
}

/* The mount's options say 2 from here on. */
static void upgrade(struct ek *k)
{
    k->mounts[0].engine = &mln_engine_kv;
}

static void test_upgrade(void **state)
{
    (void)state;
    V1(k);
    EK_WANT(k, ek_write(k, "kv1/a/b", "{\"k\":\"v\"}"), 204);
    EK_WANT(k, ek_write(k, "kv1/a/c", "{\"k\":\"w\"}"), 204);
    EK_WANT(k, ek_write(k, "kv1/d", "{\"k\":\"x\"}"), 204);
    k->now_ns += 1000000000;
    upgrade(k);
    EK_WANT(k, ek_read(k, "kv1/data/a/b", NULL), 200);
    assert_false(k->wrote);
    EK_DATA(k, "{\"data\":{\"k\":\"v\"},\"metadata\":{\"created_time\":\"" T1 "\",\"custom_metadata\":null,\"deletion_time\":\"\","
               "\"destroyed\":false,\"version\":1}}");
    EK_WANT(k, ek_read(k, "kv1/metadata/a/b", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "current_version"), 0), 1);
    EK_WANT(k, ek_write(k, "kv1/data/a/b", "{\"data\":{\"k\":2},\"options\":{\"cas\":1}}"), 200);
    EK_WANT(k, ek_read(k, "kv1/data/a/b", "{\"version\":1}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"k\":\"v\"}");
    EK_WANT(k, ek_read(k, "kv1/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"k\":2}");
    EK_WANT(k, ek_write(k, "kv1/data/e", "{\"data\":{}}"), 200);
    EK_WANT(k, ek_list(k, "kv1/metadata/"), 200);
    EK_DATA(k, "{\"keys\":[\"a/\",\"d\",\"e\"]}");
    EK_WANT(k, ek_list(k, "kv1/metadata/a"), 200);
    EK_DATA(k, "{\"keys\":[\"b\",\"c\"]}");
    EK_WANT(k, ek_patch(k, "kv1/data/a/c", "{\"data\":{\"n\":1}}"), 200);
    EK_WANT(k, ek_read(k, "kv1/data/a/c", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"k\":\"w\",\"n\":1}");
}

/* What is deleted after the upgrade does not come back from its old row. */
static void test_upgrade_then_gone(void **state)
{
    (void)state;
    static const struct {
        enum mln_op op;
        const char *path, *json;
        bool is_listed;
    } t[] = {
        {MLN_OP_DELETE, "kv1/data/a", NULL, true},
        {MLN_OP_WRITE, "kv1/destroy/a", "{\"versions\":[1]}", true},
        {MLN_OP_WRITE, "kv1/delete/a", "{\"versions\":[1]}", true},
        {MLN_OP_DELETE, "kv1/metadata/a", NULL, false},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        V1(k);
        EK_WANT(k, ek_write(k, "kv1/a", "{\"k\":\"v\"}"), 204);
        upgrade(k);
        EK_WANT(k, ek_call(k, t[i].op, t[i].path, t[i].json), 204);
        EK_WANT(k, ek_read(k, "kv1/data/a", NULL), 404);
        EK_WANT(k, ek_list(k, "kv1/metadata/"), t[i].is_listed ? 200 : 404);
        EK_WANT(k, ek_read(k, "kv1/metadata/a", NULL), t[i].is_listed ? 200 : 404);
        struct mln_request rq;
        struct mln_bytes row;
        ek_begin(k, &rq);
        assert_true(mln_is(mln_txn_get(k->cx, k->txn, k->mounts[0].view, MLN_BYTES("r/a"), &row), MLN_E_NOT_FOUND));
        ek_end(k, MLN_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_ttl), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_upgrade),    cmocka_unit_test(test_upgrade_then_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
