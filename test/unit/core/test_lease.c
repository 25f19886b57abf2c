/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of an engine that counts what it handed out and can be told to fail. */
#include "contract/engine.h"

extern const struct mln_engine lent;
#define CK_MORE_ENGINES &lent,
#include "life_kit.h"

/* ---- the engine: lent/give/{name} hands out, and remembers what is out ---- */

static atomic_int out_n;      /* handed out and not taken back */
static atomic_bool is_broken; /* taking back fails */

static struct mln_err give(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *internal = mln_object(rq->cx);
    struct mln_lease *lease = MLN_NEW(rq->cx, struct mln_lease);
    mln_put_text(rq->cx, data, "password", "hush");
    mln_put(rq->cx, internal, "name", mln_field_of(rq, "name"));
    *lease = (struct mln_lease){.ttl_s = mln_get_int(mln_field_of(rq, "ttl"), 0),
                                .max_ttl_s = mln_get_int(mln_field_of(rq, "max"), 0),
                                .is_renewable = mln_get_bool(mln_field_of(rq, "renewable"), true),
                                .internal = internal};
    re->data = data;
    re->lease = lease;
    atomic_fetch_add(&out_n, 1);
    return mln_txn_put(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("last"), MLN_BYTES("x"));
}

static struct mln_err renew(struct mln_request *rq, const struct mln_value *internal,
                            struct mln_lease *lease)
{
    if (mln_is_text(mln_get(internal, "name"), "fixed")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "not this one");
    }
    lease->ttl_s = mln_is_text(mln_get(internal, "name"), "short") ? 30 : lease->ttl_s;
    return MLN_OK;
}

static struct mln_err take_back(struct mln_request *rq, const struct mln_value *internal)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    assert_true(mln_len(mln_get(internal, "name")) > 0);
    if (atomic_load(&is_broken)) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "the database is away");
    }
    MLN_TRY(mln_txn_get(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("last"),
                        &row)); /* its rows are there, also after unmounting */
    atomic_fetch_sub(&out_n, 1);
    return MLN_OK;
}

static const struct mln_field give_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "n"},
    {.name = "ttl", .type = MLN_FIELD_DURATION, .help = "t", .is_query = true},
    {.name = "max", .type = MLN_FIELD_DURATION, .help = "m", .is_query = true},
    {.name = "renewable", .type = MLN_FIELD_BOOL, .help = "r", .is_query = true},
    {0},
};
static struct mln_err file(struct mln_request *rq, struct mln_reply *re)
{
    (void)rq;
    re->raw = MLN_BYTES("\x01\x02 not JSON");
    re->content_type = "application/pkix-crl";
    return MLN_OK;
}

static const struct mln_path lent_paths[] = {
    {.pattern = "file", .summary = "A file.", .read = file},
    {.pattern = "give/{name}", .summary = "Hand out.", .fields = give_fields, .read = give},
    {0}};
const struct mln_engine lent = {.type = "lent",
                                .kind = MLN_MOUNT_SECRET,
                                .summary = "Hands out.",
                                .paths = lent_paths,
                                .renew = renew,
                                .revoke = take_back};

static struct ck *new_lent(void)
{
    struct ck *k = ck_new();
    atomic_store(&out_n, 0);
    atomic_store(&is_broken, false);
    lk_turn(0);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/lent", "{\"type\":\"lent\"}"), 204);
    lk_policy(k, "user",
              "path \"lent/*\" { capabilities = [\"read\"] } path \"sys/leases/*\" { capabilities "
              "= [\"update\"] }");
    return k;
}
#define LENT(name) MLN_AUTO(ck_drop) struct ck *name = new_lent()

static const char *get(struct ck *k, const char *token, const char *path, const char *json)
{
    CK_WANT(k, ck_call(k, token, "read", path, json), 200);
    return mln_get_text(&k->cx, mln_get(k->answer, "lease_id"), "");
}

static const char *body(const char *id)
{
    static char json[256];
    (void)snprintf(json, sizeof(json), "{\"lease_id\":\"%s\"}", id);
    return json;
}

static void test_life(void **state)
{
    (void)state;
    LENT(k);
    const char *id = get(k, "root", "lent/give/a", "{\"ttl\":\"1h\",\"max\":\"2h\"}");
    assert_int_equal(mln_bytes_of(id).len, 11 + 1 + 24);
    assert_int_equal(strncmp(id, "lent/give/a/", 12), 0);
    assert_int_equal(mln_get_int(mln_get(k->answer, "lease_duration"), 0), 3600);
    assert_true(mln_get_bool(mln_get(k->answer, "renewable"), false));
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/lookup", body(id)), 200);
    assert_string_equal(lk_text(k, "data", "id"), id);
    assert_string_equal(lk_text(k, "data", "path"), "lent/give/a");
    assert_true(mln_is_null(mln_get(mln_get(k->answer, "data"), "last_renewal")));
    assert_in_range(lk_int(k, "data", "ttl"), 3598, 3600);
    CK_WANT(k, ck_call(k, "root", "list", "sys/leases/lookup/lent/give", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"keys\":[\"a/\"]}");
    CK_WANT(k, ck_call(k, "root", "list", "sys/leases/lookup", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"keys\":[\"lent/\"]}");
    CK_WANT(k, ck_call(k, "root", "list", "sys/leases/lookup/nosuch", NULL), 404);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke", body(id)), 204);
    assert_int_equal(atomic_load(&out_n), 0);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/leases/lookup", body(id)), 400, "invalid lease");
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke", body(id)), 204);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/renew", body(id)), 404,
               "1 error occurred:\n\t* unsupported path\n\n");
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/revoke", body(id)), 404,
               "1 error occurred:\n\t* unsupported path\n\n");
}

static void test_renew(void **state)
{
    static const struct {
        const char *path, *data, *ask;
        int status;
        int64_t want_s;
        const char *error;
    } t[] = {
        {"lent/give/a", "{\"ttl\":600,\"max\":3600}", "{}", 200, 600, ""},
        {"lent/give/a", "{\"ttl\":600,\"max\":3600}", "{\"increment\":\"30m\"}", 200, 1800, ""},
        {"lent/give/a", "{\"ttl\":600,\"max\":3600}", "{\"increment\":\"2h\"}", 200, 3600, ""},
        {"lent/give/short", "{\"ttl\":600}", "{\"increment\":\"2h\"}", 200, 30, ""},
        {"lent/give/fixed", "{\"ttl\":600}", "{}", 400, 0, "not this one"},
        {"lent/give/a", "{\"ttl\":600,\"renewable\":false}", "{}", 400, 0,
         "lease is not renewable"},
        {"lent/give/a", "{\"ttl\":600}", "{\"increment\":-1}", 400, 0,
         "increment cannot be negative or more than 100 years"},
    };
    (void)state;
    LENT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "sys/leases/renew/%s",
                       get(k, "root", t[i].path, t[i].data));
        CK_WANT(k, ck_call(k, "root", "write", path, t[i].ask), t[i].status);
        assert_string_equal(ck_error(k), t[i].error);
        if (t[i].status == 200) {
            assert_in_range(mln_get_int(mln_get(k->answer, "lease_duration"), 0), t[i].want_s - 1,
                            t[i].want_s);
            assert_true(mln_bytes_of(mln_get_text(&k->cx, mln_get(k->answer, "lease_id"), "")).len >
                        24);
        }
    }
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/leases/renew", body("nosuch")), 400,
               "lease not found");
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/renew", "{}"), 400);
}

static void test_expiry(void **state)
{
    (void)state;
    LENT(k);
    const char *brief = get(k, "root", "lent/give/a", "{\"ttl\":60}"),
               *lasting = get(k, "root", "lent/give/b", "{\"ttl\":7200}");
    lk_turn(59);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 2);
    lk_turn(3600);
    lk_turn(0); /* nobody saw that */
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 2);
    lk_turn(3600);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 1);
    lk_turn(-3600);
    lk_tick(k);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 1);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/lookup", body(brief)), 400);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/renew", body(lasting)), 200);
    lk_turn(0);
}

static void test_with_token(void **state)
{
    (void)state;
    LENT(k);
    const char *id = lk_token(k, "{\"policies\":[\"user\"]}"),
               *other = lk_token(k, "{\"policies\":[\"user\"]}");
    const char *lease = get(k, id, "lent/give/a", NULL);
    (void)get(k, id, "lent/give/b", NULL);
    (void)get(k, other, "lent/give/c", NULL);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/revoke-self", NULL), 204);
    LK_REFUSED(k, ck_call(k, "root", "write", "sys/leases/renew", body(lease)), 400,
               "lease not found");
    lk_tick(k);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 1);
    const char *once =
        lk_token(k, "{\"policies\":[\"user\"],\"num_uses\":1}"); /* its last use made the lease */
    (void)get(k, once, "lent/give/d", NULL);
    lk_tick(k);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 1);
    const char *batch =
        lk_token(k, "{\"policies\":[\"user\"],\"type\":\"batch\",\"ttl\":120,\"no_parent\":true}");
    (void)get(k, batch, "lent/give/e", NULL);
    assert_in_range(mln_get_int(mln_get(k->answer, "lease_duration"), 0), 118, 120);
    assert_false(mln_get_bool(mln_get(k->answer, "renewable"), true));
    lk_turn(121);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 1);
    lk_turn(0);
}

static void test_prefix(void **state)
{
    (void)state;
    LENT(k);
    for (size_t i = 0; i < 20; i++) {
        (void)get(k, "root", i % 2 == 0 ? "lent/give/a" : "lent/give/ab", NULL);
    }
    const char *user = lk_token(k, "{\"policies\":[\"user\"]}");
    CK_WANT(k, ck_call(k, user, "write", "sys/leases/revoke-prefix/lent/give/a", NULL),
            403); /* sudo is needed */
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke-prefix/lent/give/a", NULL), 204);
    assert_int_equal(atomic_load(&out_n), 10);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke-prefix/lent", "{\"sync\":false}"),
            202);
    assert_int_equal(atomic_load(&out_n), 10);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 0);
    CK_WANT(k, ck_call(k, "root", "list", "sys/leases/lookup/lent", NULL), 404);
}

/* Tokens of tokens have no row by their path: all are looked through, now or in ticks. */
static void test_made_tokens(void **state)
{
    (void)state;
    LENT(k);
    char made[64], orphan[64], by_role[64], lasting[64];
    static const struct {
        const char *path, *json;
        bool made, orphan, by_role;
    } rows[] = {
        {"sys/leases/revoke-prefix/auth/token/create-orphan", NULL, true, false, true},
        {"sys/leases/revoke-prefix/auth/token/create/ci", NULL, true, true, false},
        {"sys/leases/revoke-prefix/auth/token/crea", NULL, true, true, true},
        {"sys/leases/revoke-prefix/auth/token/create", NULL, false, true, false},
        {"sys/leases/revoke-prefix/auth/token", NULL, false, false, false},
        {"sys/leases/revoke-force/auth", NULL, false, false, false},
        {"sys/leases/revoke-prefix/auth/token/create", "{\"sync\":false}", false, true, false},
        {"sys/leases/revoke-prefix/lent", NULL, true, true, true},
    };
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/roles/ci", "{}"), 204);
    (void)snprintf(lasting, sizeof(lasting), "%s", lk_token(k, "{\"policies\":[\"root\"]}"));
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        (void)snprintf(made, sizeof(made), "%s", lk_token(k, "{\"ttl\":\"1h\"}"));
        (void)snprintf(orphan, sizeof(orphan), "%s",
                       lk_token_by(k, "root", "auth/token/create-orphan", "{\"ttl\":\"1h\"}"));
        (void)snprintf(by_role, sizeof(by_role), "%s",
                       lk_token_by(k, "root", "auth/token/create/ci", "{\"ttl\":\"1h\"}"));
        CK_WANT(k, ck_call(k, "root", "write", rows[i].path, rows[i].json), rows[i].json == NULL ? 204 : 202);
        lk_tick(k);
        assert_int_equal(lk_is(k, made), rows[i].made ? 200 : 403);
        assert_int_equal(lk_is(k, orphan), rows[i].orphan ? 200 : 403);
        assert_int_equal(lk_is(k, by_role), rows[i].by_role ? 200 : 403);
    }
    assert_int_equal(lk_is(k, lasting), 200); /* no lease: it never ends */
}

/* More than one look and one request take: the rest goes in ticks. */
static void test_many_made_tokens(void **state)
{
    (void)state;
    LENT(k);
    char last[64];
    for (size_t i = 0; i < 4500; i++) {
        (void)lk_token(k, "{\"ttl\":\"1h\"}");
        mln_arena_reset(k->arena); /* so many answers would fill it */
        mln_cx_init(&k->cx, k->arena);
    }
    (void)snprintf(last, sizeof(last), "%s", lk_token(k, "{\"ttl\":\"1h\"}"));
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke-prefix/auth/token", "{\"sync\":false}"), 202);
    for (size_t i = 0; i < 20 && lk_is(k, last) == 200; i++) {
        lk_tick(k);
    }
    assert_int_equal(lk_is(k, last), 403);
    CK_WANT(k, ck_call(k, "root", "list", "auth/token/accessors", NULL), 200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "data"), "keys")), 1);
}

static void test_unmount(void **state)
{
    (void)state;
    LENT(k);
    for (size_t i = 0; i < 300; i++) { /* more than a batch */
        (void)get(k, "root", "lent/give/a", NULL);
    }
    CK_WANT(k, ck_call(k, "root", "delete", "sys/mounts/lent", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "write", "sys/mounts/lent", "{\"type\":\"lent\"}"), 204);
    (void)get(k, "root", "lent/give/new", NULL); /* of another mount at the same path: it stays */
    for (size_t i = 0; i < 4; i++) {
        lk_tick(k);
    }
    assert_int_equal(atomic_load(&out_n), 1);
    CK_WANT(k, ck_call(k, "root", "list", "sys/leases/lookup/lent/give/", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"keys\":[\"new/\"]}");
}

static void test_failures(void **state)
{
    (void)state;
    LENT(k);
    const char *id = get(k, "root", "lent/give/a", "{\"ttl\":60}");
    int64_t at = 61;
    atomic_store(&is_broken, true);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke", body(id)), 400);
    for (int try = 0; try < 6; try++) {
        CK_WANT(k, ck_call(k, "root", "read", "sys/leases/count", "{\"type\":\"irrevocable\"}"),
                200);
        assert_int_equal(lk_int(k, "data", "lease_count"), 0);
        lk_turn(at);
        lk_tick(k);
        lk_tick(k); /* not before its time */
        at += (10 << try) + 1;
    }
    CK_WANT(k, ck_call(k, "root", "read", "sys/leases", "{\"type\":\"irrevocable\"}"), 200);
    assert_int_equal(lk_int(k, "data", "lease_count"), 1);
    const struct mln_value *bad = mln_item(mln_get(mln_get(k->answer, "data"), "leases"), 0);
    assert_string_equal(mln_get_text(&k->cx, mln_get(bad, "lease_id"), ""), id);
    assert_string_equal(mln_get_text(&k->cx, mln_get(bad, "error"), ""), "the database is away");
    CK_WANT(k, ck_call(k, "root", "read", "sys/leases/count", NULL), 400);
    CK_WANT(k, ck_call(k, "root", "read", "sys/leases/count", "{\"type\":\"other\"}"), 400);
    lk_turn(at + 86400);
    lk_tick(k);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke-force/lent", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "sys/leases/count", "{\"type\":\"irrevocable\"}"), 200);
    assert_int_equal(lk_int(k, "data", "lease_count"), 0);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "counts")), "{}");
    lk_turn(0);
}

/* One that cannot be taken back stops none of the others. */
static void test_mixed(void **state)
{
    (void)state;
    LENT(k);
    for (size_t i = 0; i < 5; i++) {
        (void)get(k, "root", "lent/give/a", "{\"ttl\":60}");
    }
    atomic_store(&is_broken, true);
    lk_turn(61);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 5);
    atomic_store(&is_broken, false);
    lk_turn(75);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 0);
    lk_turn(0);
}

static void test_wrapped(void **state)
{
    (void)state;
    LENT(k);
    CK_WANT(k, lk_call(k, "root", "read", "lent/give/a", NULL, NULL, "60"), 200);
    assert_string_equal(mln_get_text(&k->cx, mln_get(k->answer, "lease_id"), "?"), "");
    CK_WANT(k, ck_call(k, lk_text(k, "wrap_info", "token"), "write", "sys/wrapping/unwrap", NULL),
            200);
    assert_string_equal(lk_text(k, "data", "password"), "hush");
    assert_int_equal(
        strncmp(mln_get_text(&k->cx, mln_get(k->answer, "lease_id"), ""), "lent/give/a/", 12), 0);
    assert_true(mln_get_int(mln_get(k->answer, "lease_duration"), 0) > 0);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/tidy", NULL), 202);
    CK_WANT(k, lk_call(k, "root", "read", "lent/file", NULL, NULL, "60"), 200);
    assert_true(mln_get(k->answer, "raw") == NULL);
    CK_WANT(k, ck_call(k, lk_text(k, "wrap_info", "token"), "write", "sys/wrapping/unwrap", NULL),
            200);
    kit_text(mln_get_bytes(mln_get(k->answer, "raw")), "\x01\x02 not JSON");
    assert_string_equal(mln_get_text(&k->cx, mln_get(k->answer, "ct"), ""), "application/pkix-crl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),     cmocka_unit_test(test_renew),
        cmocka_unit_test(test_expiry),   cmocka_unit_test(test_with_token),
        cmocka_unit_test(test_prefix),   cmocka_unit_test(test_made_tokens),
        cmocka_unit_test(test_many_made_tokens), cmocka_unit_test(test_unmount),
        cmocka_unit_test(test_failures), cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
