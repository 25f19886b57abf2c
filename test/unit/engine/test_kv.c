/* SPDX-License-Identifier: Apache-2.0 */
/* Key-value engine through its descriptor: Vault's answers and texts, versions, cas, limits, faults. */
#include "kit/engine_kit.h"

extern const struct mln_engine mln_engine_kv;

#define T1 "2026-11-22T08:41:17.112564042Z"

static struct ek *kv_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "secret/", &mln_engine_kv, "11111111-0000-4000-8000-000000000000");
    return k;
}
#define KV(name) MLN_AUTO(ek_drop) struct ek *name = kv_new()

static void put(struct ek *k, const char *json)
{
    EK_WANT(k, ek_write(k, "secret/data/a/b", json), 200);
}

static void test_write_and_read(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"k\":\"v\",\"n\":1}}");
    EK_DATA(k, "{\"created_time\":\"" T1 "\",\"custom_metadata\":null,\"deletion_time\":\"\",\"destroyed\":false,"
               "\"version\":1}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_DATA(k, "{\"data\":{\"k\":\"v\",\"n\":1},\"metadata\":{\"created_time\":\"" T1
               "\",\"custom_metadata\":null,\"deletion_time\":\"\",\"destroyed\":false,\"version\":1}}");
    const struct mln_value *secret = mln_get(mln_get(k->re.data, "data"), "k");
    assert_true((secret->flags & MLN_VALUE_SECRET) != 0);
    assert_false(k->wrote);
    EK_VALUE(k, k->detail, "{\"version\":1}");
}

static void test_nothing_there(void **state)
{
    (void)state;
    KV(k);
    static const struct {
        enum mln_op op;
        const char *path, *json;
        int status;
    } t[] = {
        {MLN_OP_READ, "secret/data/x", NULL, 404},
        {MLN_OP_READ, "secret/data/x", "{\"version\":3}", 404},
        {MLN_OP_READ, "secret/metadata/x", NULL, 404},
        {MLN_OP_READ, "secret/subkeys/x", NULL, 404},
        {MLN_OP_LIST, "secret/metadata/", NULL, 404},
        {MLN_OP_LIST, "secret/metadata/x/", NULL, 404},
        {MLN_OP_PATCH, "secret/data/x", "{\"data\":{\"a\":1}}", 404},
        {MLN_OP_PATCH, "secret/metadata/x", "{}", 404},
        {MLN_OP_WRITE, "secret/delete/x", "{\"versions\":[1]}", 204},
        {MLN_OP_DELETE, "secret/data/x", NULL, 204},
        {MLN_OP_DELETE, "secret/metadata/x", NULL, 204},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_call(k, t[i].op, t[i].path, t[i].json), t[i].status);
        assert_true(t[i].status != 404 || k->re.no_errors_text);
        assert_false(k->wrote);
    }
}

static void test_refused(void **state)
{
    (void)state;
    KV(k);
    static const struct {
        enum mln_op op;
        const char *path, *json, *text;
    } t[] = {
        {MLN_OP_WRITE, "secret/data/a", "{\"k\":\"v\"}", "no data provided"},
        {MLN_OP_WRITE, "secret/data/a", "{\"data\":\"v\"}", "error converting input for field \"data\""},
        {MLN_OP_WRITE, "secret/data/a", "{\"data\":[]}", "error converting input for field \"data\""},
        {MLN_OP_WRITE, "secret/data/a/", "{\"data\":{}}", "cannot write to a path ending in '/'"},
        {MLN_OP_WRITE, "secret/data/a", "{\"data\":{},\"options\":{\"cas\":1}}",
         "check-and-set parameter did not match the current version"},
        {MLN_OP_WRITE, "secret/data/a", "{\"data\":{},\"options\":{\"cas\":-1}}", "check-and-set parameter"},
        {MLN_OP_WRITE, "secret/data/a", "{\"data\":{},\"options\":{\"cas\":\"x\"}}",
         "error parsing check-and-set parameter"},
        {MLN_OP_WRITE, "secret/data/a", "{\"data\":{},\"options\":{\"cas\":1.5}}",
         "error parsing check-and-set parameter"},
        {MLN_OP_PATCH, "secret/data/a", "{}", "no data provided"},
        {MLN_OP_PATCH, "secret/data/a", "{\"data\":null}", "no data provided"},
        {MLN_OP_PATCH, "secret/data/a", "{\"data\":1}", "error converting input for field \"data\""},
        {MLN_OP_READ, "secret/data/a", "{\"version\":\"x\"}", "version"},
        {MLN_OP_READ, "secret/subkeys/a", "{\"depth\":-1}", "depth cannot be negative"},
        {MLN_OP_WRITE, "secret/delete/a", "{}", "No version number provided"},
        {MLN_OP_WRITE, "secret/undelete/a", "{\"versions\":[]}", "No version number provided"},
        {MLN_OP_WRITE, "secret/destroy/a", "{}", "No version number provided"},
        {MLN_OP_WRITE, "secret/config", "{\"max_versions\":-1}", "max_versions"},
        {MLN_OP_WRITE, "secret/metadata/a", "{\"max_versions\":100001}", "max_versions"},
        {MLN_OP_WRITE, "secret/metadata/a", "{\"custom_metadata\":{\"a\":[1]}}", "must be a string"},
        {MLN_OP_WRITE, "secret/metadata/a", "{\"custom_metadata\":{\"a\":\"\"}}", "length of value for key \"a\" is 0"},
        {MLN_OP_WRITE, "secret/metadata/a", "{\"custom_metadata\":{\"\":\"a\"}}", "length of key \"\" is 0"},
        {MLN_OP_WRITE, "secret/metadata/a", "{\"custom_metadata\":{\"a\":\"x\\u001by\"}}", "unprintable"},
        {MLN_OP_LIST, "secret/metadata/", "{\"limit\":\"x\"}", "limit"},
        {MLN_OP_WRITE, "secret/metadata/a", "{\"metadata_cas\":1}", "metadata check-and-set parameter did not match"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_call(k, t[i].op, t[i].path, t[i].json), 400, t[i].text);
    }
    EK_REFUSED(k, ek_call(k, MLN_OP_LIST, "secret/data/a", NULL), 405, "unsupported operation");
}

static void test_versions(void **state)
{
    (void)state;
    KV(k);
    char json[64];
    for (int i = 1; i <= 13; i++) {
        struct mln_bytes text = mln_bytes_format(k->cx, "{\"data\":{\"n\":%d}}", i);
        mln_copy(json, text.ptr, text.len + 1);
        put(k, json);
    }
    /* ten are kept */
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":3}"), 404);
    assert_true(k->re.no_errors_text);
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":4}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"n\":4}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":\"13\"}"), 200);
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":0}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"n\":13}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":14}"), 404);
    EK_WANT(k, ek_read(k, "secret/metadata/a/b", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "oldest_version"), -1), 4);
    assert_int_equal(mln_len(mln_get(k->re.data, "versions")), 10);
    /* a lower limit acts with the next write */
    EK_WANT(k, ek_write(k, "secret/metadata/a/b", "{\"max_versions\":2}"), 204);
    put(k, "{\"data\":{\"n\":14}}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":12}"), 404);
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":13}"), 200);
}

static void test_no_old_values_are_left(void **state)
{
    (void)state;
    KV(k);
    EK_WANT(k, ek_write(k, "secret/config", "{\"max_versions\":3}"), 204);
    for (int i = 0; i < 8; i++) {
        put(k, "{\"data\":{\"n\":1}}");
    }
    struct mln_snap *snap = NULL;
    struct mln_bytes key = {0}, after = {0};
    size_t n = 0;
    kit_ok(k->cx, mln_snap_begin(k->cx, k->store, &snap));
    while (!mln_failed(mln_snap_next(k->cx, snap, k->mounts[0].view.prefix, after, &key, NULL))) {
        after = mln_bytes_dup(k->cx, key);
        n++;
    }
    mln_snap_end(snap);
    assert_int_equal(n, 4); /* config, history with the newest, two older values */
    EK_WANT(k, ek_delete(k, "secret/metadata/a/b"), 204);
    EK_WANT(k, ek_read(k, "secret/metadata/a/b", NULL), 404);
    kit_ok(k->cx, mln_snap_begin(k->cx, k->store, &snap));
    n = 0;
    after = MLN_BYTES_NONE;
    while (!mln_failed(mln_snap_next(k->cx, snap, k->mounts[0].view.prefix, after, &key, NULL))) {
        after = mln_bytes_dup(k->cx, key);
        n++;
    }
    mln_snap_end(snap);
    assert_int_equal(n, 1);
}

static void test_cas(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"a\":1},\"options\":{\"cas\":0}}");
    EK_REFUSED(k, ek_write(k, "secret/data/a/b", "{\"data\":{\"a\":2},\"options\":{\"cas\":0}}"), 400,
               "check-and-set parameter did not match the current version");
    put(k, "{\"data\":{\"a\":2},\"options\":{\"cas\":1}}");
    put(k, "{\"data\":{\"a\":3},\"options\":{\"cas\":\"2\"}}");
    EK_WANT(k, ek_write(k, "secret/metadata/a/b", "{\"cas_required\":true}"), 204);
    EK_REFUSED(k, ek_write(k, "secret/data/a/b", "{\"data\":{\"a\":4}}"), 400,
               "check-and-set parameter required for this call");
    EK_REFUSED(k, ek_patch(k, "secret/data/a/b", "{\"data\":{\"a\":4}}"), 400, "required for this call");
    EK_WANT(k, ek_write(k, "secret/metadata/a/b", "{\"cas_required\":false}"), 204);
    EK_WANT(k, ek_write(k, "secret/config", "{\"cas_required\":true}"), 204);
    EK_REFUSED(k, ek_write(k, "secret/data/a/b", "{\"data\":{\"a\":4}}"), 400, "required for this call");
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"a\":3}");
}

static void test_patch(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"a\":\"1\",\"b\":{\"c\":1,\"d\":2},\"e\":[1]}}");
    EK_WANT(k, ek_patch(k, "secret/data/a/b", "{\"data\":{\"a\":null,\"b\":{\"c\":null,\"x\":{\"y\":null,\"z\":1}},\"e\":[2]}}"),
            200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "version"), 0), 2);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"b\":{\"d\":2,\"x\":{\"z\":1}},\"e\":[2]}");
    EK_WANT(k, ek_delete(k, "secret/data/a/b"), 204);
    EK_WANT(k, ek_patch(k, "secret/data/a/b", "{\"data\":{\"a\":1}}"), 404);
    EK_DATA(k, "{\"created_time\":\"" T1 "\",\"custom_metadata\":null,\"deletion_time\":\"" T1 "\","
               "\"destroyed\":false,\"version\":2}");
}

/* A null is a version that holds nothing; versions below 1 are the newest. As recorded from OpenBao 2.6.2. */
static void test_odd_values(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"n\":1}}");
    put(k, "{\"data\":null}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":0}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{}");
    put(k, "{\"data\":{\"n\":3}}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":-1}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"n\":3}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":2}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{}");
}

static void test_delete_undelete_destroy(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"n\":1}}");
    put(k, "{\"data\":{\"n\":2}}");
    k->now_ns += 1000000000;
    EK_WANT(k, ek_delete(k, "secret/data/a/b"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 404);
    assert_false(k->re.no_errors_text);
    EK_DATA(k, "{\"data\":null,\"metadata\":{\"created_time\":\"" T1 "\",\"custom_metadata\":null,"
               "\"deletion_time\":\"2026-11-22T08:41:18.112564042Z\",\"destroyed\":false,\"version\":2}}");
    EK_WANT(k, ek_read(k, "secret/subkeys/a/b", NULL), 404);
    EK_VALUE(k, mln_get(k->re.data, "subkeys"), "null");
    /* twice changes nothing */
    EK_WANT(k, ek_delete(k, "secret/data/a/b"), 204);
    assert_false(k->wrote);
    EK_WANT(k, ek_write(k, "secret/undelete/a/b", "{\"versions\":[2]}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_WANT(k, ek_write(k, "secret/delete/a/b", "{\"versions\":\"1,2\"}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":1}"), 404);
    EK_WANT(k, ek_write(k, "secret/destroy/a/b", "{\"versions\":[1,99,0]}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":1}"), 404);
    assert_true(mln_get_bool(mln_get(mln_get(k->re.data, "metadata"), "destroyed"), false));
    /* what is destroyed does not come back */
    EK_WANT(k, ek_write(k, "secret/undelete/a/b", "{\"versions\":[1,2]}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":1}"), 404);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    /* the newest, which lies in the history's row */
    EK_WANT(k, ek_write(k, "secret/destroy/a/b", "{\"versions\":[2]}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 404);
    put(k, "{\"data\":{\"n\":3}}");
    EK_WANT(k, ek_read(k, "secret/data/a/b", "{\"version\":2}"), 404);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"n\":3}");
}

static void test_delete_version_after(void **state)
{
    (void)state;
    static const struct {
        const char *mount, *secret;
        int64_t want_s; /* 0 = never */
    } t[] = {
        {"{}", "{}", 0},
        {"{\"delete_version_after\":\"1h\"}", "{}", 3600},
        {"{}", "{\"delete_version_after\":\"30m\"}", 1800},
        {"{\"delete_version_after\":\"1h\"}", "{\"delete_version_after\":\"30m\"}", 1800},
        {"{\"delete_version_after\":\"30m\"}", "{\"delete_version_after\":\"1h\"}", 1800},
        {"{\"delete_version_after\":-1}", "{}", 0},
        {"{\"delete_version_after\":\"1h\"}", "{\"delete_version_after\":-1}", 0},
        {"{}", "{\"delete_version_after\":9223372036854775807}", 0},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        KV(k);
        EK_WANT(k, ek_write(k, "secret/config", t[i].mount), 204);
        EK_WANT(k, ek_write(k, "secret/metadata/a/b", t[i].secret), 204);
        put(k, "{\"data\":{\"n\":1}}");
        k->now_ns += t[i].want_s * 1000000000 - 1;
        EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
        k->now_ns += t[i].want_s != 0 ? 1 : (int64_t)1000 * 86400 * 1000000000;
        EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), t[i].want_s != 0 ? 404 : 200);
    }
}

static void test_metadata(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"n\":1}}");
    EK_WANT(k, ek_read(k, "secret/metadata/a/b", NULL), 200);
    EK_DATA(k, "{\"cas_required\":false,\"created_time\":\"" T1 "\",\"current_metadata_version\":0,\"current_version\":1,"
               "\"custom_metadata\":null,\"delete_version_after\":\"0s\",\"max_versions\":0,"
               "\"metadata_cas_required\":false,\"oldest_version\":0,\"updated_time\":\"" T1
               "\",\"versions\":{\"1\":{\"created_time\":\"" T1 "\",\"deletion_time\":\"\",\"destroyed\":false}}}");
    EK_WANT(k, ek_write(k, "secret/metadata/a/b", "{\"max_versions\":5,\"cas_required\":false,\"delete_version_after\":"
                                                   "\"1h30m\",\"custom_metadata\":{\"owner\":\"x\"}}"), 204);
    EK_WANT(k, ek_patch(k, "secret/metadata/a/b", "{\"custom_metadata\":{\"o2\":\"y\"}}"), 204);
    EK_WANT(k, ek_read(k, "secret/metadata/a/b", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "custom_metadata"), "{\"o2\":\"y\",\"owner\":\"x\"}");
    assert_string_equal(ek_text(k, "delete_version_after"), "1h30m0s");
    assert_int_equal(mln_get_int(mln_get(k->re.data, "current_metadata_version"), -1), 2);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "max_versions"), -1), 5);
    EK_WANT(k, ek_patch(k, "secret/metadata/a/b", "{\"custom_metadata\":{\"owner\":null}}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(mln_get(k->re.data, "metadata"), "custom_metadata"), "{\"o2\":\"y\"}");
    /* settings may come before the first version */
    EK_WANT(k, ek_write(k, "secret/metadata/new", "{\"max_versions\":1}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/new", NULL), 404);
    EK_WANT(k, ek_read(k, "secret/metadata/new", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "current_version"), -1), 0);
}

static void test_metadata_cas(void **state)
{
    (void)state;
    KV(k);
    EK_WANT(k, ek_write(k, "secret/config", "{\"metadata_cas_required\":true}"), 204);
    EK_REFUSED(k, ek_write(k, "secret/metadata/a", "{}"), 400, "metadata check-and-set parameter required");
    EK_WANT(k, ek_write(k, "secret/metadata/a", "{\"metadata_cas\":0}"), 204);
    EK_REFUSED(k, ek_write(k, "secret/metadata/a", "{\"metadata_cas\":0}"), 400, "did not match");
    EK_WANT(k, ek_patch(k, "secret/metadata/a", "{\"metadata_cas\":1}"), 204);
}

static void test_custom_metadata_limits(void **state)
{
    (void)state;
    KV(k);
    static const struct {
        size_t keys, key_n, value_n;
        int status;
    } t[] = {{64, 6, 1, 204}, {65, 6, 1, 400}, {1, 128, 1, 204}, {1, 129, 1, 400}, {1, 6, 512, 204}, {1, 6, 513, 400}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        mln_buf_add_text(&json, "{\"custom_metadata\":{");
        for (size_t j = 0; j < t[i].keys; j++) {
            mln_buf_add_format(&json, "%s\"%0*zu\":\"%0*d\"", j > 0 ? "," : "", (int)t[i].key_n, j, (int)t[i].value_n, 0);
        }
        mln_buf_add(&json, "}}", 3);
        EK_WANT(k, ek_write(k, "secret/metadata/m", (const char *)json.ptr), t[i].status);
    }
}

static void test_list(void **state)
{
    (void)state;
    KV(k);
    static const char *const paths[] = {"secret/data/b", "secret/data/a/x", "secret/data/a/y/z", "secret/data/a"};
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        EK_WANT(k, ek_write(k, paths[i], "{\"data\":{}}"), 200);
        EK_WANT(k, ek_write(k, paths[i], "{\"data\":{}}"), 200); /* older versions are not listed */
    }
    static const struct {
        const char *path, *want;
    } t[] = {
        {"secret/metadata/", "{\"keys\":[\"a\",\"a/\",\"b\"]}"},  {"secret/metadata", "{\"keys\":[\"a\",\"a/\",\"b\"]}"},
        {"secret/metadata/a/", "{\"keys\":[\"x\",\"y/\"]}"},      {"secret/metadata/a", "{\"keys\":[\"x\",\"y/\"]}"},
        {"secret/metadata/a/y", "{\"keys\":[\"z\"]}"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_list(k, t[i].path), 200);
        EK_DATA(k, t[i].want);
    }
}

static void test_subkeys(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"a\":\"s\",\"b\":{\"c\":{\"d\":1}},\"e\":[1,{\"f\":2}]}}");
    static const struct {
        const char *json, *want;
    } t[] = {
        {"{}", "{\"a\":null,\"b\":{\"c\":{\"d\":null}},\"e\":null}"},
        {"{\"depth\":1}", "{\"a\":null,\"b\":null,\"e\":null}"},
        {"{\"depth\":\"2\"}", "{\"a\":null,\"b\":{\"c\":null},\"e\":null}"},
        {"{\"depth\":9000000000}", "{\"a\":null,\"b\":{\"c\":{\"d\":null}},\"e\":null}"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_read(k, "secret/subkeys/a/b", t[i].json), 200);
        EK_VALUE(k, mln_get(k->re.data, "subkeys"), t[i].want);
        assert_int_equal(mln_get_int(mln_get(mln_get(k->re.data, "metadata"), "version"), 0), 1);
        assert_null(mln_get(k->re.data, "data"));
    }
}

static void test_config(void **state)
{
    (void)state;
    KV(k);
    EK_WANT(k, ek_read(k, "secret/config", NULL), 200);
    EK_DATA(k, "{\"cas_required\":false,\"delete_version_after\":\"0s\",\"max_versions\":0,\"metadata_cas_required\":false}");
    EK_WANT(k, ek_write(k, "secret/config", "{\"max_versions\":7,\"delete_version_after\":\"24h\",\"cas_required\":\"true\"}"),
            204);
    EK_WANT(k, ek_write(k, "secret/config", "{\"max_versions\":8}"), 204);
    EK_WANT(k, ek_read(k, "secret/config", NULL), 200);
    EK_DATA(k, "{\"cas_required\":true,\"delete_version_after\":\"24h0m0s\",\"max_versions\":8,"
               "\"metadata_cas_required\":false}");
}

static void test_old_paths(void **state)
{
    (void)state;
    KV(k);
    static const struct {
        enum mln_op op;
        const char *verb;
    } t[] = {{MLN_OP_READ, "'merlon kv get'"}, {MLN_OP_LIST, "'merlon kv list'"}, {MLN_OP_WRITE, "'merlon kv put'"},
             {MLN_OP_DELETE, "'merlon kv delete'"}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_call(k, t[i].op, "secret/a/b", NULL), 404);
        assert_null(k->re.data);
        const char *warning = mln_get_text(k->cx, mln_item(k->re.warnings, 0), "");
        assert_non_null(strstr(warning, "Invalid path for a versioned K/V secrets engine"));
        assert_non_null(strstr(warning, t[i].verb));
    }
}

static void test_exists(void **state)
{
    (void)state;
    KV(k);
    for (int i = 0; i < 2; i++) {
        struct mln_request rq;
        bool exists = i == 0;
        ek_begin(k, &rq);
        struct mln_value *fields = mln_object(k->cx);
        mln_put_text(k->cx, fields, "path", "a/b");
        rq.mount = &k->mounts[0];
        rq.fields = fields;
        rq.op = MLN_OP_WRITE;
        kit_ok(k->cx, mln_engine_kv.paths[1].exists(&rq, &exists));
        ek_end(k, MLN_OK);
        assert_int_equal(exists, i == 1);
        put(k, "{\"data\":{}}");
    }
}

static void test_mount_versions(void **state)
{
    (void)state;
    static const struct {
        const char *options;
        bool is_two;
        enum mln_code want;
    } t[] = {{"null", false, MLN_E_OK}, {"{}", false, MLN_E_OK}, {"{\"version\":\"1\"}", false, MLN_E_OK},
             {"{\"version\":1}", false, MLN_E_OK}, {"{\"version\":\"2\"}", true, MLN_E_OK}, {"{\"version\":2}", true, MLN_E_OK},
             {"{\"version\":\"3\"}", false, MLN_E_INVALID}, {"{\"version\":\"x\"}", false, MLN_E_INVALID}};
    KV(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_request rq;
        struct mln_mount mount = k->mounts[0];
        ek_begin(k, &rq);
        kit_ok(k->cx, mln_json_parse(k->cx, mln_bytes_of(t[i].options), &mount.options));
        const struct mln_engine *engine = mln_engine_kv.variant(mount.options);
        assert_int_equal(engine == &mln_engine_kv, t[i].is_two);
        rq.mount = &mount;
        kit_expect(k->cx, t[i].options, engine->start == NULL ? MLN_OK : engine->start(&rq), t[i].want);
        ek_end(k, MLN_OK);
    }
}

static void test_pages(void **state)
{
    (void)state;
    KV(k);
    static const char *const paths[] = {"secret/data/a", "secret/data/b/c", "secret/data/d", "secret/data/e"};
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        EK_WANT(k, ek_write(k, paths[i], "{\"data\":{}}"), 200);
    }
    static const struct {
        const char *query, *want; /* NULL = 404 */
    } t[] = {
        {"{\"limit\":2}", "{\"keys\":[\"a\",\"b/\"]}"},
        {"{\"limit\":\"1\"}", "{\"keys\":[\"a\"]}"},
        {"{\"limit\":-1}", "{\"keys\":[\"a\",\"b/\",\"d\",\"e\"]}"},
        {"{\"limit\":9000000000}", "{\"keys\":[\"a\",\"b/\",\"d\",\"e\"]}"},
        {"{\"after\":\"b/\",\"limit\":1}", "{\"keys\":[\"d\"]}"},
        {"{\"after\":\"c\"}", "{\"keys\":[\"d\",\"e\"]}"},
        {"{\"after\":\"e\"}", NULL},
        {"{\"path\":\"b/\"}", "{\"keys\":[\"a\",\"b/\",\"d\",\"e\"]}"}, /* a query names no folder */
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_WANT(k, ek_call(k, MLN_OP_LIST, "secret/metadata/", t[i].query), t[i].want != NULL ? 200 : 404);
        if (t[i].want != NULL) {
            EK_DATA(k, t[i].want);
        }
    }
}

static void test_detailed_list(void **state)
{
    (void)state;
    KV(k);
    EK_WANT(k, ek_list(k, "secret/detailed-metadata/"), 404);
    assert_true(k->re.no_errors_text);
    put(k, "{\"data\":{\"n\":1}}");
    EK_WANT(k, ek_list(k, "secret/detailed-metadata/"), 200);
    EK_DATA(k, "{\"key_info\":{},\"keys\":[\"a/\"]}");
    EK_WANT(k, ek_list(k, "secret/detailed-metadata/a/"), 200);
    EK_DATA(k, "{\"key_info\":{\"b\":{\"cas_required\":false,\"created_time\":\"" T1 "\",\"current_metadata_version\":0,"
               "\"current_version\":1,\"custom_metadata\":null,\"delete_version_after\":\"0s\",\"max_versions\":0,"
               "\"metadata_cas_required\":false,\"oldest_version\":0,\"updated_time\":\"" T1 "\"}},\"keys\":[\"b\"]}");
}

static void test_metadata_nulls(void **state)
{
    (void)state;
    KV(k);
    EK_WANT(k, ek_write(k, "secret/metadata/a", "{\"max_versions\":5,\"cas_required\":true,\"delete_version_after\":9,"
                                                "\"custom_metadata\":{\"n\":1,\"b\":true}}"), 204);
    EK_WANT(k, ek_read(k, "secret/metadata/a", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "custom_metadata"), "{\"b\":\"1\",\"n\":\"1\"}");
    EK_WANT(k, ek_patch(k, "secret/metadata/a", "{\"max_versions\":null,\"cas_required\":null,\"delete_version_after\":null,"
                                                "\"custom_metadata\":null}"), 204);
    EK_WANT(k, ek_read(k, "secret/metadata/a", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "custom_metadata"), "null");
    assert_int_equal(mln_get_int(mln_get(k->re.data, "max_versions"), -1), 0);
    assert_string_equal(ek_text(k, "delete_version_after"), "0s");
    assert_false(mln_get_bool(mln_get(k->re.data, "cas_required"), true));
    EK_WANT(k, ek_write(k, "secret/config", "{\"cas_required\":true}"), 204);
    EK_WANT(k, ek_write(k, "secret/metadata/a", "{\"cas_required\":false}"), 200);
    assert_non_null(strstr(mln_get_text(k->cx, mln_item(k->re.warnings, 0), ""), "mandated by backend config"));
}

static void test_undelete_sets_the_time_again(void **state)
{
    (void)state;
    KV(k);
    EK_WANT(k, ek_write(k, "secret/config", "{\"delete_version_after\":\"1h\"}"), 204);
    put(k, "{\"data\":{\"n\":1}}");
    assert_string_equal(mln_get_text(k->cx, mln_get(k->re.data, "deletion_time"), ""), "2026-11-22T09:41:17.112564042Z");
    EK_WANT(k, ek_delete(k, "secret/data/a/b"), 204);
    k->now_ns += 60 * (int64_t)1000000000;
    EK_WANT(k, ek_write(k, "secret/undelete/a/b", "{\"versions\":[1]}"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(mln_get(k->re.data, "metadata"), "deletion_time"), "\"2026-11-22T09:42:17.112564042Z\"");
}

static void test_names_with_versions_in_them(void **state)
{
    (void)state;
    KV(k);
    /* the older values of "a" must not be taken for a secret of that name */
    for (int i = 1; i <= 3; i++) {
        EK_WANT(k, ek_write(k, "secret/data/a", "{\"data\":{\"of\":\"a\"}}"), 200);
        EK_WANT(k, ek_write(k, "secret/data/a/00000001", "{\"data\":{\"of\":\"other\"}}"), 200);
    }
    EK_WANT(k, ek_delete(k, "secret/metadata/a/00000001"), 204);
    EK_WANT(k, ek_read(k, "secret/data/a", "{\"version\":1}"), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"of\":\"a\"}");
}

static void test_damaged_history(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"n\":1}}");
    struct mln_request rq;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_txn_put_value(k->cx, k->txn, k->mounts[0].view, MLN_BYTES("d/a/b"), mln_int(k->cx, 7)));
    ek_end(k, MLN_OK);
    EK_REFUSED(k, ek_read(k, "secret/data/a/b", NULL), 500, "damaged history");
}

static void test_failed_commit_changes_nothing(void **state)
{
    (void)state;
    KV(k);
    put(k, "{\"data\":{\"n\":1}}");
    k->control->fail_commit_at = 1;
    EK_WANT(k, ek_write(k, "secret/data/a/b", "{\"data\":{\"n\":2}}"), 500);
    EK_WANT(k, ek_read(k, "secret/data/a/b", NULL), 200);
    EK_VALUE(k, mln_get(k->re.data, "data"), "{\"n\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_no_old_values_are_left),
        cmocka_unit_test(test_cas),
        cmocka_unit_test(test_patch), cmocka_unit_test(test_odd_values),
        cmocka_unit_test(test_delete_undelete_destroy),
        cmocka_unit_test(test_delete_version_after),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_metadata_cas),
        cmocka_unit_test(test_custom_metadata_limits),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_subkeys),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_old_paths),
        cmocka_unit_test(test_exists),
        cmocka_unit_test(test_mount_versions),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_detailed_list),
        cmocka_unit_test(test_metadata_nulls),
        cmocka_unit_test(test_undelete_sets_the_time_again),
        cmocka_unit_test(test_names_with_versions_in_them),
        cmocka_unit_test(test_damaged_history),
        cmocka_unit_test(test_failed_commit_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
