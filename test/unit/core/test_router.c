/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns, captures, and fields by their schema: what is taken in which form, and what is refused. */
#include "core_kit.h"

#include "core/core_priv.h"

static struct mln_err nothing(struct mln_request *rq, struct mln_reply *re)
{
    (void)rq;
    (void)re;
    return MLN_OK;
}

static const struct mln_field fields[] = {
    {.name = "text", .type = MLN_FIELD_TEXT},
    {.name = "secret", .type = MLN_FIELD_SECRET},
    {.name = "int", .type = MLN_FIELD_INT},
    {.name = "bool", .type = MLN_FIELD_BOOL},
    {.name = "time", .type = MLN_FIELD_DURATION},
    {.name = "list", .type = MLN_FIELD_LIST},
    {.name = "ints", .type = MLN_FIELD_INTS},
    {.name = "map", .type = MLN_FIELD_MAP},
    {.name = "any", .type = MLN_FIELD_ANY},
    {.name = "name", .type = MLN_FIELD_TEXT},
    {0},
};
static const struct mln_field strict_fields[] = {
    {.name = "must", .type = MLN_FIELD_TEXT, .is_required = true},
    {.name = "n", .type = MLN_FIELD_INT, .fallback = "7"},
    {0},
};
static const struct mln_path paths[] = {
    {.pattern = "config", .fields = fields, .read = nothing, .write = nothing},
    {.pattern = "strict", .fields = strict_fields, .write = nothing},
    {.pattern = "random/{bytes}?", .read = nothing},
    {.pattern = "keys/{name}/rotate", .write = nothing},
    {.pattern = "keys/{name}", .fields = fields, .read = nothing},
    {.pattern = "data/{path...}", .read = nothing},
    {.pattern = "restore/{name}?", .fields = fields, .write = nothing},
    {.pattern = "free/{name}?", .write = nothing},
    {0},
};
static const struct mln_engine engine = {.type = "test", .kind = MLN_MOUNT_SECRET, .summary = "For tests.", .paths = paths};

static void test_patterns(void **state)
{
    static const struct {
        const char *rest, *pattern, *captures; /* pattern NULL: none */
    } t[] = {
        {"config", "config", "{}"},
        {"config/", "config", "{}"}, /* lists end in "/" */
        {"random", "random/{bytes}?", "{}"},
        {"random/32", "random/{bytes}?", "{\"bytes\":\"32\"}"},
        {"keys/a", "keys/{name}", "{\"name\":\"a\"}"},
        {"keys/a/", "keys/{name}", "{\"name\":\"a\"}"},
        {"keys/a/rotate", "keys/{name}/rotate", "{\"name\":\"a\"}"},
        {"data/a", "data/{path...}", "{\"path\":\"a\"}"},
        {"data/a/b/", "data/{path...}", "{\"path\":\"a/b/\"}"},
        {"", NULL, NULL},
        {"conf", NULL, NULL},
        {"config2", NULL, NULL},
        {"config/x", NULL, NULL},
        {"random/1/2", NULL, NULL},
        {"keys", NULL, NULL},
        {"keys/", NULL, NULL},
        {"keys//rotate", NULL, NULL},
        {"keys/a/rotate/b", NULL, NULL},
        {"data", NULL, NULL},
        {"data/", NULL, NULL},
        {"/config", NULL, NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_value *captures = mln_object(cx);
        const struct mln_path *found = mln_route_find(cx, &engine, mln_bytes_of(t[i].rest), captures);
        if ((found == NULL) != (t[i].pattern == NULL)) {
            fail_msg("\"%s\": %s", t[i].rest, found == NULL ? "nothing" : found->pattern);
        }
        if (found != NULL) {
            MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
            mln_json_print(&json, captures, MLN_JSON_COMPACT);
            assert_string_equal(found->pattern, t[i].pattern);
            kit_text(mln_buf_bytes(&json), t[i].captures);
        }
    }
}

static struct mln_err parse(struct mln_cx *cx, const char *rest, enum mln_op op, const char *json, const struct mln_value **ret)
{
    static const struct mln_mount mount = {.path = "t/", .engine = &engine};
    const struct mln_value *data = NULL;
    kit_ok(cx, mln_json_parse(cx, mln_bytes_of(json), &data));
    struct mln_request rq = {.cx = cx, .op = op, .mount = &mount, .rest = mln_bytes_of(rest), .data = data};
    MLN_TRY(mln_route(&rq));
    *ret = rq.fields;
    return MLN_OK;
}

static void test_fields(void **state)
{
    static const struct {
        const char *rest, *in, *out;
    } t[] = {
        {"config", "{}", "{}"},
        {"config", "{\"text\":\"a\",\"unknown\":1}", "{\"text\":\"a\"}"},
        {"config", "{\"text\":12}", "{\"text\":\"12\"}"},
        {"config", "{\"text\":1.5}", "{\"text\":\"1.5\"}"},
        {"config", "{\"text\":true}", "{\"text\":\"true\"}"},
        {"config", "{\"text\":null}", "{\"text\":null}"},
        {"config", "{\"int\":\"5\"}", "{\"int\":5}"},
        {"config", "{\"int\":-5}", "{\"int\":-5}"},
        {"config", "{\"bool\":\"true\"}", "{\"bool\":true}"},
        {"config", "{\"bool\":\"f\"}", "{\"bool\":false}"},
        {"config", "{\"bool\":1}", "{\"bool\":true}"},
        {"config", "{\"time\":\"30m\"}", "{\"time\":1800}"},
        {"config", "{\"time\":\"90\"}", "{\"time\":90}"},
        {"config", "{\"time\":90}", "{\"time\":90}"},
        {"config", "{\"list\":\"a, b,,c\"}", "{\"list\":[\"a\",\"b\",\"c\"]}"},
        {"config", "{\"list\":[\"a,b\",1]}", "{\"list\":[\"a,b\",\"1\"]}"},
        {"config", "{\"list\":\"\"}", "{\"list\":[]}"},
        {"config", "{\"ints\":\"1,2\"}", "{\"ints\":[1,2]}"},
        {"config", "{\"ints\":[1,\"2\"]}", "{\"ints\":[1,2]}"},
        {"config", "{\"map\":{\"a\":[]}}", "{\"map\":{\"a\":[]}}"},
        {"config", "{\"any\":[{}]}", "{\"any\":[{}]}"},
        {"keys/k", "{\"name\":\"other\"}", "{\"name\":\"k\"}"}, /* the path wins over the data */
        {"restore", "{\"text\":\"a\"}", "{\"text\":\"a\"}"},
        {"restore/k", "{\"text\":\"a\"}", "{\"name\":\"k\",\"text\":\"a\"}"},
        {"restore/k", "{\"name\":\"other\"}", "{\"name\":\"k\"}"},
        {"restore/k", "{\"name\":null}", "{\"name\":\"k\"}"},
        {"strict", "{\"must\":\"x\"}", "{\"must\":\"x\",\"n\":7}"},
        {"strict", "{\"must\":\"x\",\"n\":\"8\"}", "{\"must\":\"x\",\"n\":8}"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *got = NULL;
        bool is_read = t[i].rest[0] == 'c' || t[i].rest[0] == 'k';
        enum mln_op op = is_read ? MLN_OP_READ : MLN_OP_WRITE;
        MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
        kit_expect(cx, t[i].in, parse(cx, t[i].rest, op, t[i].in, &got), MLN_E_OK);
        mln_json_print(&json, got, MLN_JSON_COMPACT);
        kit_text(mln_buf_bytes(&json), t[i].out);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *rest, *in;
        enum mln_op op;
        enum mln_code code;
        const char *text;
    } t[] = {
        {"config", "{\"text\":[]}", MLN_OP_READ, MLN_E_INVALID, "\"text\": expected a string"},
        {"config", "{\"text\":{}}", MLN_OP_READ, MLN_E_INVALID, "\"text\""},
        {"config", "{\"secret\":{}}", MLN_OP_READ, MLN_E_INVALID, "\"secret\""},
        {"config", "{\"int\":\"5x\"}", MLN_OP_READ, MLN_E_INVALID, "\"int\": expected a number"},
        {"config", "{\"int\":1.5}", MLN_OP_READ, MLN_E_INVALID, "\"int\""},
        {"config", "{\"int\":\"9223372036854775808\"}", MLN_OP_READ, MLN_E_INVALID, "\"int\""},
        {"config", "{\"bool\":\"yes\"}", MLN_OP_READ, MLN_E_INVALID, "\"bool\""},
        {"config", "{\"bool\":2}", MLN_OP_READ, MLN_E_INVALID, "\"bool\""},
        {"config", "{\"time\":\"soon\"}", MLN_OP_READ, MLN_E_INVALID, "\"time\""},
        {"config", "{\"list\":[[]]}", MLN_OP_READ, MLN_E_INVALID, "\"list\""},
        {"config", "{\"list\":{}}", MLN_OP_READ, MLN_E_INVALID, "\"list\""},
        {"config", "{\"ints\":\"1,x\"}", MLN_OP_READ, MLN_E_INVALID, "\"ints\""},
        {"config", "{\"map\":[]}", MLN_OP_READ, MLN_E_INVALID, "\"map\""},
        {"strict", "{}", MLN_OP_WRITE, MLN_E_INVALID, "missing must"},
        {"strict", "{\"must\":\"x\"}", MLN_OP_READ, MLN_E_METHOD, "unsupported operation"},
        {"config", "{}", MLN_OP_HELP, MLN_E_METHOD, "unsupported operation"},
        {"nosuch", "{}", MLN_OP_READ, MLN_E_NO_ROUTE, "unsupported path"},
        /* what the path leaves out is not filled in by the query or the body: the policy has judged the path */
        {"restore", "{\"name\":\"k\"}", MLN_OP_WRITE, MLN_E_INVALID, "\"name\" belongs in the path"},
        {"restore/", "{\"name\":\"k\"}", MLN_OP_WRITE, MLN_E_INVALID, "\"name\" belongs in the path"},
        {"restore", "{\"name\":null}", MLN_OP_WRITE, MLN_E_INVALID, "\"name\" belongs in the path"},
        {"free", "{\"name\":\"k\"}", MLN_OP_WRITE, MLN_E_INVALID, "\"name\" belongs in the path"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *got = NULL;
        kit_expect_at(cx, parse(cx, t[i].rest, t[i].op, t[i].in, &got), t[i].code, t[i].text, t[i].in, __FILE__, __LINE__);
    }
}

/* A secret stays marked, whatever form it came in. */
static void test_secret(void **state)
{
    static const char *const t[] = {"{\"secret\":\"s\"}", "{\"secret\":5}", "{\"secret\":true}"};
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *got = NULL;
        kit_expect(cx, t[i], parse(cx, "config", MLN_OP_READ, t[i], &got), MLN_E_OK);
        assert_int_equal(mln_get(got, "secret")->flags & MLN_VALUE_SECRET, MLN_VALUE_SECRET);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_patterns), KIT_TEST(test_fields), KIT_TEST(test_refused), KIT_TEST(test_secret)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
