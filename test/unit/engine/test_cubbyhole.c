/* SPDX-License-Identifier: Apache-2.0 */
/* Cubbyholes: private to a token, refused where there is none. */
#include "kit/engine_kit.h"

extern const struct mln_engine mln_engine_cubbyhole;

#define A "aaaa1111"
#define B "aaaa1111b" /* begins as A: the slash must keep them apart */

/* A request of the token of this name and type. It outlives the call's arena, so it is built in its own. */
static int as(struct ek *k, const char *name, const char *type, enum mln_op op, const char *path, const char *json)
{
    static struct mln_cx *cx;
    if (cx != NULL) {
        kit_cx_free(cx);
    }
    cx = kit_cx_new();
    struct mln_value *token = mln_object(cx);
    if (name != NULL) {
        mln_put_text(cx, token, "name", name);
        mln_put_text(cx, token, "type", type);
    }
    k->actor.token = name != NULL ? token : NULL;
    int status = ek_call(k, op, path, json);
    k->actor.token = NULL;
    kit_cx_free(cx);
    cx = NULL;
    return status;
}
#define SERVICE(k, name, op, path, json) as((k), (name), "service", (op), (path), (json))

static struct ek *hole_new(void)
{
    struct ek *k = ek_new();
    ek_mount(k, "cubbyhole/", &mln_engine_cubbyhole, "22222222-0000-4000-8000-000000000000");
    return k;
}
#define HOLE(name) MLN_AUTO(ek_drop) struct ek *name = hole_new()

static void test_private(void **state)
{
    (void)state;
    HOLE(k);
    EK_WANT(k, SERVICE(k, A, MLN_OP_WRITE, "cubbyhole/x", "{\"a\":\"b\"}"), 204);
    EK_WANT(k, SERVICE(k, A, MLN_OP_WRITE, "cubbyhole/f/y", "{\"a\":\"c\"}"), 204);
    EK_WANT(k, SERVICE(k, B, MLN_OP_WRITE, "cubbyhole/z", "{\"a\":\"d\"}"), 204);
    EK_WANT(k, SERVICE(k, A, MLN_OP_READ, "cubbyhole/x", NULL), 200);
    EK_DATA(k, "{\"a\":\"b\"}");
    assert_int_equal(k->re.lease_duration_s, 0);
    EK_WANT(k, SERVICE(k, A, MLN_OP_LIST, "cubbyhole/", NULL), 200);
    EK_DATA(k, "{\"keys\":[\"f/\",\"x\"]}");
    EK_WANT(k, SERVICE(k, B, MLN_OP_LIST, "cubbyhole/", NULL), 200);
    EK_DATA(k, "{\"keys\":[\"z\"]}");
    EK_WANT(k, SERVICE(k, B, MLN_OP_READ, "cubbyhole/x", NULL), 404);
    EK_WANT(k, SERVICE(k, B, MLN_OP_DELETE, "cubbyhole/x", NULL), 204);
    EK_WANT(k, SERVICE(k, A, MLN_OP_READ, "cubbyhole/x", NULL), 200);
    EK_WANT(k, SERVICE(k, A, MLN_OP_DELETE, "cubbyhole/x", NULL), 204);
    EK_WANT(k, SERVICE(k, A, MLN_OP_READ, "cubbyhole/x", NULL), 404);
    EK_WANT(k, SERVICE(k, A, MLN_OP_LIST, "cubbyhole/f/", NULL), 200);
    EK_DATA(k, "{\"keys\":[\"y\"]}");
}

static void test_refused(void **state)
{
    (void)state;
    HOLE(k);
    static const struct {
        const char *name, *type;
        enum mln_op op;
        const char *path, *json;
        int status;
        const char *text;
    } t[] = {
        {A, "batch", MLN_OP_WRITE, "cubbyhole/x", "{\"a\":1}", 400, "only supported by \"service\" type tokens"},
        {A, "batch", MLN_OP_READ, "cubbyhole/x", NULL, 400, "only supported by \"service\" type tokens"},
        {A, "batch", MLN_OP_LIST, "cubbyhole/", NULL, 400, "only supported by \"service\" type tokens"},
        {NULL, NULL, MLN_OP_READ, "cubbyhole/x", NULL, 403, "permission denied"},
        {NULL, NULL, MLN_OP_LIST, "cubbyhole/", NULL, 403, "permission denied"},
        {"", "service", MLN_OP_WRITE, "cubbyhole/x", "{\"a\":1}", 403, "permission denied"},
        {A, "service", MLN_OP_WRITE, "cubbyhole/x", "{}", 400, "missing data fields"},
        {A, "service", MLN_OP_WRITE, "cubbyhole/x/", "{\"a\":1}", 400, "cannot write to a path ending in '/'"},
        {A, "service", MLN_OP_PATCH, "cubbyhole/x", "{\"a\":1}", 405, "unsupported operation"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, as(k, t[i].name, t[i].type, t[i].op, t[i].path, t[i].json), t[i].status, t[i].text);
    }
}

/* What core does when it revokes a token. */
static void test_sweep(void **state)
{
    (void)state;
    HOLE(k);
    EK_WANT(k, SERVICE(k, A, MLN_OP_WRITE, "cubbyhole/x/y", "{\"a\":\"b\"}"), 204);
    EK_WANT(k, SERVICE(k, B, MLN_OP_WRITE, "cubbyhole/x/y", "{\"a\":\"b\"}"), 204);
    struct mln_request rq;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_txn_delete_all(k->cx, k->txn, k->mounts[0].view, MLN_BYTES(A "/")));
    ek_end(k, MLN_OK);
    EK_WANT(k, SERVICE(k, A, MLN_OP_LIST, "cubbyhole/", NULL), 404);
    EK_WANT(k, SERVICE(k, B, MLN_OP_READ, "cubbyhole/x/y", NULL), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_private),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
