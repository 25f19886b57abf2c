/* SPDX-License-Identifier: Apache-2.0 */
/* Lease counts: rules, what counts, what is refused, that counts stay exact. */
#include "contract/engine.h"

extern const struct mln_engine lent;
#define CK_MORE_ENGINES &lent,
#include "life_kit.h"

#include <pthread.h>

#define R       "root"
#define QUOTA   "sys/quotas/lease-count/"
#define MAKE    "auth/token/create"
#define HOUR    "{\"ttl\":\"1h\"}"
#define TOO_MANY(path) "request path \"" path "\": lease count quota exceeded"

static struct mln_err give(struct mln_request *rq, struct mln_reply *re)
{
    static const struct mln_lease lease = {.ttl_s = 3600, .is_renewable = true};
    re->data = mln_object(rq->cx);
    re->lease = &lease;
    return mln_cx_err(rq->cx);
}

static const struct mln_field give_fields[] = {{.name = "name", .type = MLN_FIELD_TEXT, .help = "n"}, {0}};
static const struct mln_path lent_paths[] = {
    {.pattern = "give/{name}", .summary = "Hand out.", .fields = give_fields, .read = give}, {0}};
const struct mln_engine lent = {
    .type = "lent", .kind = MLN_MOUNT_SECRET, .summary = "Hands out.", .paths = lent_paths};

static void want_count(struct ck *k, const char *name, int64_t want)
{
    char path[64];
    (void)snprintf(path, sizeof(path), QUOTA "%s", name);
    CK_WANT(k, ck_call(k, R, "read", path, NULL), 200);
    assert_int_equal(lk_int(k, "data", "counter"), want);
}

static void test_rules(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "list", QUOTA, NULL, 404, "errors", "[]"},
        {R, "write", QUOTA "q", "{\"max_leases\":10}", 204, NULL, NULL},
        {R, "read", QUOTA "q", NULL, 200, "data",
         "{\"counter\":0,\"inheritable\":true,\"max_leases\":10,\"name\":\"q\",\"path\":\"\",\"role\":\"\","
         "\"type\":\"lease-count\"}"},
        {R, "write", QUOTA "q", "{\"max_leases\":\"11\"}", 204, NULL, NULL},
        {R, "write", QUOTA "m", "{\"max_leases\":3,\"path\":\"auth/token\"}", 204, NULL, NULL},
        {R, "read", QUOTA "m", NULL, 200, "data|path", "\"auth/token/\""},
        {R, "list", QUOTA, NULL, 200, "data|keys", "[\"m\",\"q\"]"},
        {R, "write", QUOTA "r", "{\"max_leases\":3,\"path\":\"auth/token\",\"role\":\"ci\"}", 204, NULL, NULL},
        {R, "delete", QUOTA "m", NULL, 204, NULL, NULL},
        {R, "delete", QUOTA "m", NULL, 204, NULL, NULL},
        {R, "read", QUOTA "m", NULL, 404, "errors", "[]"},
        {R, "write", QUOTA "x", "{}", 400, NULL, "'max_leases' is invalid"},
        {R, "write", QUOTA "x", "{\"max_leases\":0}", 400, NULL, "'max_leases' is invalid"},
        {R, "write", QUOTA "x", "{\"max_leases\":-1}", 400, NULL, "'max_leases' is invalid"},
        {R, "write", QUOTA "x", "{\"max_leases\":1000000001}", 400, NULL, "'max_leases' is invalid"},
        {R, "write", QUOTA "x", "{\"max_leases\":5}", 400, NULL,
         "quota rule with similar properties exists under the name \"q\""},
        {R, "write", QUOTA "x", "{\"max_leases\":5,\"path\":\"secret\",\"role\":\"r\"}", 400, NULL,
         "'role' needs a 'path' that is the mount of an auth method, and at most 512 bytes"},
        {NULL, "read", QUOTA "q", NULL, 403, NULL, "permission denied"},
    };
    CK_PLAY(k, t);
}

static void test_tokens(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", MAKE, HOUR, 200, NULL, NULL}, /* counted when the rule comes */
        {R, "write", QUOTA "q", "{\"max_leases\":2,\"path\":\"auth/token\"}", 204, NULL, NULL},
        {R, "write", MAKE, HOUR, 200, NULL, NULL},
        {R, "write", MAKE, HOUR, 429, NULL, TOO_MANY(MAKE)},
        {R, "write", "auth/token/create-orphan", HOUR, 429, NULL, TOO_MANY("auth/token/create-orphan")},
        {R, "write", MAKE, "{\"ttl\":\"1h\",\"type\":\"batch\",\"policies\":[\"default\"]}", 200, NULL, NULL}, /* not stored */
        {R, "write", MAKE, "{\"policies\":[\"root\"]}", 200, NULL, NULL},           /* never expires */
    };
    CK_PLAY(k, t);
    want_count(k, "q", 2);
    CK_WANT(k, ck_call(k, R, "write", QUOTA "q", "{\"max_leases\":3,\"path\":\"auth/token\"}"), 204);
    const char *token = lk_token(k, HOUR);
    want_count(k, "q", 3);
    CK_WANT(k, ck_call(k, token, "write", "auth/token/renew-self", "{}"), 200); /* nothing new */
    CK_WANT(k, ck_call(k, token, "write", "auth/token/revoke-self", NULL), 204);
    want_count(k, "q", 2);
    mln_core_close(k->core);
    ck_open(k);
    want_count(k, "q", 2);
    lk_turn(7200);
    lk_tick(k);
    want_count(k, "q", 0);
    lk_turn(0);
}

static void test_nearest_rule(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/lent", "{\"type\":\"lent\"}", 204, NULL, NULL},
        {R, "write", "sys/auth/userpass", "{\"type\":\"userpass\"}", 204, NULL, NULL},
        {R, "write", "auth/userpass/users/u", "{\"password\":\"pw\"}", 204, NULL, NULL},
        {R, "write", QUOTA "all", "{\"max_leases\":2}", 204, NULL, NULL},
        {R, "write", QUOTA "lent", "{\"max_leases\":3,\"path\":\"lent\"}", 204, NULL, NULL},
        {R, "write", QUOTA "one", "{\"max_leases\":1,\"path\":\"lent/give/a\"}", 204, NULL, NULL},
        {R, "read", "lent/give/a", NULL, 200, NULL, NULL},
        {R, "read", "lent/give/a", NULL, 429, NULL, TOO_MANY("lent/give/a")},
        {R, "read", "lent/give/b", NULL, 200, NULL, NULL},
        {R, "read", "lent/give/c", NULL, 200, NULL, NULL},
        {R, "read", "lent/give/d", NULL, 200, NULL, NULL},
        {R, "read", "lent/give/e", NULL, 429, NULL, TOO_MANY("lent/give/e")},
        {NULL, "write", "auth/userpass/login/u", "{\"password\":\"pw\"}", 200, NULL, NULL},
        {NULL, "write", "auth/userpass/login/u", "{\"password\":\"pw\"}", 200, NULL, NULL},
        {NULL, "write", "auth/userpass/login/u", "{\"password\":\"pw\"}", 429, NULL,
         TOO_MANY("auth/userpass/login/u")},
        {R, "write", "auth/token/roles/ci", "{}", 204, NULL, NULL},
        {R, "write", QUOTA "ci", "{\"max_leases\":1,\"path\":\"auth/token\",\"role\":\"ci\"}", 204, NULL, NULL},
        {R, "write", MAKE "/ci", HOUR, 200, NULL, NULL},
        {R, "write", MAKE "/ci", HOUR, 429, NULL, TOO_MANY(MAKE "/ci")},
        {R, "write", MAKE, HOUR, 429, NULL, TOO_MANY(MAKE)}, /* falls under "all" */
    };
    CK_PLAY(k, t);
    want_count(k, "all", 2);
    want_count(k, "lent", 3);
    want_count(k, "one", 1);
    want_count(k, "ci", 1);
    CK_WANT(k, ck_call(k, R, "write", "sys/leases/revoke-prefix/lent/give/b", NULL), 204);
    want_count(k, "lent", 2);
    CK_WANT(k, ck_call(k, R, "delete", QUOTA "one", NULL), 204);
    want_count(k, "lent", 3); /* its lease falls to the next */
}

/* A wrapping token is one as well; rewrapping at the limit is a change of place. */
static void test_rewrap_at_limit(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, R, "write", QUOTA "q", "{\"max_leases\":1}"), 204);
    CK_WANT(k, lk_call(k, R, "write", "sys/wrapping/wrap", "{\"a\":1}", NULL, "60"), 200);
    const char *json = mln_text_format(&k->cx, "{\"token\":\"%s\"}", lk_text(k, "wrap_info", "token"));
    want_count(k, "q", 1);
    LK_REFUSED(k, lk_call(k, R, "write", "sys/wrapping/wrap", "{\"a\":1}", NULL, "60"), 429,
               TOO_MANY("sys/wrapping/wrap"));
    CK_WANT(k, ck_call(k, R, "write", "sys/wrapping/rewrap", json), 200);
    want_count(k, "q", 1);
}

/* ---- many at once: exactly as many as may ---- */

#define THREADS 4
#define EACH    20
#define LIMIT   50

struct maker {
    struct ck *k;
    int made, refused;
};

static void *make_tokens(void *arg)
{
    struct maker *m = arg;
    struct ck own = *m->k;
    own.arena = mln_arena_new(16u << 20, false);
    own.buf = (struct mln_buf){0};
    mln_cx_init(&own.cx, own.arena);
    for (int i = 0; i < EACH; i++) {
        int status = ck_call(&own, R, "write", MAKE, HOUR);
        m->made += status == 200;
        m->refused += status == 429;
    }
    mln_buf_drop(&own.buf);
    mln_arena_free(own.arena);
    return NULL;
}

static void test_exact(void **state)
{
    (void)state;
    CK(k);
    pthread_t threads[THREADS];
    struct maker makers[THREADS] = {0};
    int made = 0, refused = 0;
    char json[64];
    (void)snprintf(json, sizeof(json), "{\"max_leases\":%d}", LIMIT);
    CK_WANT(k, ck_call(k, R, "write", QUOTA "q", json), 204);
    for (size_t i = 0; i < THREADS; i++) {
        makers[i].k = k;
        assert_int_equal(pthread_create(&threads[i], NULL, make_tokens, &makers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        made += makers[i].made;
        refused += makers[i].refused;
    }
    assert_int_equal(made, LIMIT);
    assert_int_equal(refused, THREADS * EACH - LIMIT);
    want_count(k, "q", LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_nearest_rule), cmocka_unit_test(test_rewrap_at_limit),
        cmocka_unit_test(test_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
