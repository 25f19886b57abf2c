/* SPDX-License-Identifier: Apache-2.0 */
/* merlon migrate: globs, sameness, and the state file with all that may be wrong with it. */
#include "kit/kit.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"
#include "base/json.h"
#include "cli/migrate_priv.h"

#define FROM "http://a:8200 "
#define TO   "http://b:8200 "
#define HEAD "{\"format\":\"merlon-migrate-1\",\"from\":\"" FROM "\",\"to\":\"" TO "\"}\n"

/* ---- globs ---- */

static const struct {
    const char *pattern, *path;
    bool want;
} globs[] = {
    {"secret/a", "secret/a", true},
    {"secret", "secret/a/b", true},
    {"secret", "secrets/a", false},
    {"secret/a", "secret", false},
    {"secret/*", "secret/a", true},
    {"secret/*", "secret/a/b", true},
    {"secret/*/b", "secret/a/b", true},
    {"secret/*/b", "secret/a/c/b", false},
    {"secret/**/b", "secret/a/c/b", true},
    {"**/b", "x/y/b/z", true},
    {"**", "anything/at/all", true},
    {"**x", "a/b", false},
    {"*", "secret", true},
    {"*/a", "secret/a", true},
    {"s?cret", "secret", true},
    {"s?cret", "s/cret", false},
    {"a*b*c", "aXbXbYc", true},
    {"a*b*c", "aXbXbY", false},
    {"**a*b", "x/a/acb", true},
    {"", "", true},
    {"", "a", false},
    {"a", "", false},
    {"*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
};

static void test_globs(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(globs); i++) {
        bool got = mig_glob(mln_bytes_of(globs[i].pattern), mln_bytes_of(globs[i].path));
        if (got != globs[i].want) {
            fail_msg("%s against %s", globs[i].pattern, globs[i].path);
        }
    }
}

static void test_wanted(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_value *only = mln_array(cx), *exclude = mln_array(cx);
    assert_true(mig_wanted(only, exclude, "secret/a"));
    mln_push_text(cx, only, "secret/");
    mln_push_text(cx, exclude, "secret/private");
    assert_true(mig_wanted(only, exclude, "secret/a"));
    assert_false(mig_wanted(only, exclude, "secret/private/key"));
    assert_false(mig_wanted(only, exclude, "other"));
}

/* ---- sameness ---- */

static const struct {
    const char *a, *b;
    bool want;
} pairs[] = {
    {"{}", "{\"x\":0}", true},
    {"{\"x\":null}", "{}", true},
    {"{\"x\":\"\",\"y\":[],\"z\":{},\"f\":false}", "{}", true},
    {"{\"x\":1}", "{}", false},
    {"{}", "{\"x\":true}", false},
    {"{\"ttl\":3600}", "{\"ttl\":\"1h\"}", true},
    {"{\"ttl\":\"60m\"}", "{\"ttl\":\"1h0m0s\"}", true},
    {"{\"ttl\":3600}", "{\"ttl\":\"2h\"}", false},
    {"{\"l\":[\"a\",\"b\"]}", "{\"l\":[\"b\",\"a\"]}", true},
    {"{\"l\":[\"a\",\"a\"]}", "{\"l\":[\"a\",\"b\"]}", false},
    {"{\"l\":[\"a\"]}", "{\"l\":[\"a\",\"b\"]}", false},
    {"{\"o\":{\"p\":{\"q\":1}}}", "{\"o\":{\"p\":{\"q\":2}}}", false},
    {"{\"x\":\"a\"}", "{\"x\":[\"a\"]}", false},
    {"{\"x\":1.5}", "{\"x\":1.5}", true},
    {"{\"x\":true}", "{\"x\":1}", false},
};

static const struct mln_value *json(struct mln_cx *cx, const char *text)
{
    const struct mln_value *v = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(text), &v));
    return v;
}

static void test_same(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(pairs); i++) {
        const struct mln_value *a = json(cx, pairs[i].a), *b = json(cx, pairs[i].b);
        if (mig_same(a, b) != pairs[i].want || mig_same(b, a) != pairs[i].want) {
            fail_msg("%s and %s", pairs[i].a, pairs[i].b);
        }
    }
}

static void test_members(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *v = json(cx, "{\"a\":1,\"b\":null,\"c\":\"\",\"ab\":2}");
    assert_int_equal(mln_len(mig_without(cx, v, "", false)), 3);
    assert_int_equal(mln_len(mig_without(cx, v, "", true)), 2);
    assert_int_equal(mln_len(mig_without(cx, v, "a,x", true)), 1);
    assert_int_equal(mln_len(mig_without(cx, NULL, "", true)), 0);
    const struct mln_value *have = json(cx, "{\"a\":2,\"ab\":3,\"more\":1}");
    assert_string_equal(mig_differing(cx, v, have, ""), "a,ab");
    assert_string_equal(mig_differing(cx, v, have, "a"), "ab");
    assert_string_equal(mig_differing(cx, v, have, "a,ab"), "");
    static const struct {
        const char *wanted, *have, *want;
    } silent[] = {
        {"{\"issuer_ref\":\"default\",\"role_cache_size\":200}", "{}", ""}, /* what is done without them */
        {"{\"issuer_ref\":\"mine\",\"role_cache_size\":9}", "{}", "issuer_ref,role_cache_size"},
        {"{\"issuer_ref\":\"default\"}", "{\"issuer_ref\":\"mine\"}", "issuer_ref"},
        {"{\"other\":\"default\"}", "{}", "other"},
    };
    for (size_t i = 0; i < MLN_COUNT(silent); i++) {
        assert_string_equal(mig_differing(cx, json(cx, silent[i].wanted), json(cx, silent[i].have), ""), silent[i].want);
    }
    assert_true(mig_has_word("a,bc", MLN_BYTES("bc")));
    assert_false(mig_has_word("a,bc", MLN_BYTES("b")));
}

/* ---- the state file ---- */

static void put_file(struct mln_cx *cx, const char *path, const char *text)
{
    kit_ok(cx, mln_file_replace(cx, path, mln_bytes_of(text), 0644, false));
}

static void test_state(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char dir[KIT_PATH_MAX], path[KIT_PATH_MAX];
    struct mig_state s = {.fd = -1}, other = {.fd = -1};
    struct stat st;
    kit_tmpdir(dir);
    kit_path(path, dir, "state");
    kit_ok(cx, mig_state_open(cx, &s, path, FROM, TO));
    for (unsigned i = 0; i < 3000; i++) { /* over several growths of the table */
        kit_ok(cx, mig_state_mark(cx, &s, mln_text_format(cx, "secret/%u", i), MIG_OPEN, ""));
    }
    kit_ok(cx, mig_state_mark(cx, &s, "secret/7", MIG_DONE, "ttl,max_ttl"));
    kit_refused(cx, mig_state_open(cx, &other, path, FROM, TO), MLN_E_CONFLICT);
    mig_state_close(&other);
    mig_state_close(&s);
    assert_true(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    kit_ok(cx, mig_state_open(cx, &s, path, FROM, TO));
    assert_int_equal(s.n, 3000);
    assert_int_equal(mig_state_get(&s, "secret/7")->mark, MIG_DONE);
    assert_string_equal(mig_state_get(&s, "secret/7")->kept, "ttl,max_ttl");
    assert_int_equal(mig_state_get(&s, "secret/8")->mark, MIG_OPEN);
    assert_null(mig_state_get(&s, "secret/3000"));
    mig_state_close(&s);
    kit_rmtree(dir);
}

static const struct {
    const char *name, *text;
    enum mln_code want;
    size_t n;
} files[] = {
    {"empty", "", MLN_E_OK, 0},
    {"head", HEAD, MLN_E_OK, 0},
    {"cut in the head", "{\"format\":\"merlon-migrate-1\",\"fr", MLN_E_OK, 0},
    {"one", HEAD "{\"path\":\"a\",\"state\":\"done\"}\n", MLN_E_OK, 1},
    {"cut line", HEAD "{\"path\":\"a\",\"state\":\"done\"}\n{\"path\":\"b\",\"st", MLN_E_OK, 1},
    {"foreign text, no line end", "my diary", MLN_E_INVALID, 0},
    {"foreign text", "my diary\n", MLN_E_INVALID, 0},
    {"foreign JSON", "{\"format\":\"other\"}\n", MLN_E_INVALID, 0},
    {"other servers", "{\"format\":\"merlon-migrate-1\",\"from\":\"x\",\"to\":\"" TO "\"}\n", MLN_E_INVALID, 0},
    {"no path", HEAD "{\"state\":\"done\"}\n", MLN_E_PARSE, 0},
    {"unknown state", HEAD "{\"path\":\"a\",\"state\":\"maybe\"}\n", MLN_E_PARSE, 0},
    {"no JSON within", HEAD "what\n{\"path\":\"a\",\"state\":\"done\"}\n", MLN_E_PARSE, 0},
    {"empty line", HEAD "\n", MLN_E_PARSE, 0},
};

static void test_files(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    char dir[KIT_PATH_MAX], path[KIT_PATH_MAX];
    kit_tmpdir(dir);
    kit_path(path, dir, "state");
    for (size_t i = 0; i < MLN_COUNT(files); i++) {
        struct mig_state s = {.fd = -1};
        put_file(cx, path, files[i].text);
        kit_expect(cx, files[i].name, mig_state_open(cx, &s, path, FROM, TO), files[i].want);
        if (files[i].want != MLN_E_OK) { /* untouched */
            assert_true(mln_bytes_is(kit_read_file(cx, path), files[i].text));
        } else {
            assert_int_equal(s.n, files[i].n);
            kit_ok(cx, mig_state_mark(cx, &s, "more", MIG_DONE, ""));
            mig_state_close(&s);
            kit_ok(cx, mig_state_open(cx, &s, path, FROM, TO));
            assert_int_equal(s.n, files[i].n + 1);
        }
        mig_state_close(&s);
    }
    kit_rmtree(dir);
}

static void test_memory_only(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mig_state s = {.fd = -1};
    kit_ok(cx, mig_state_open(cx, &s, NULL, FROM, TO));
    kit_ok(cx, mig_state_mark(cx, &s, "a", MIG_OPEN, ""));
    assert_int_equal(mig_state_get(&s, "a")->mark, MIG_OPEN);
    mig_state_close(&s);
}

static struct mln_err write_body(struct mln_cx *cx, void *arg)
{
    struct mig_state s = {.fd = -1};
    struct mln_err err = mig_state_open(cx, &s, arg, FROM, TO);
    if (!mln_failed(err)) {
        err = mig_state_mark(cx, &s, "a", MIG_DONE, "");
    }
    mig_state_close(&s);
    return err;
}

static void test_faults(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX], path[KIT_PATH_MAX];
    kit_tmpdir(dir);
    kit_path(path, dir, "state");
    assert_true(mln_each_fault(MLN_FAULT_WRITE, write_body, path) > 0);
    kit_rmtree(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_globs), KIT_TEST(test_wanted), KIT_TEST(test_same),        KIT_TEST(test_members),
        KIT_TEST(test_state), KIT_TEST(test_files),  KIT_TEST(test_memory_only), KIT_TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
