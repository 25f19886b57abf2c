/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: roles, batch tokens, bound addresses, trees that die, lifetimes under a clock that jumps. */
#include "contract/engine.h"

extern const struct mln_engine mln_engine_cubbyhole;
#define CK_MORE_ENGINES &mln_engine_cubbyhole,
#include "life_kit.h"

#include "core/core_priv.h"

static void test_role(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "list", "auth/token/roles", NULL), 404);
    CK_WANT(
        k,
        ck_call(
            k, "root", "write", "auth/token/roles/r1",
            "{\"allowed_policies\":\"p1\",\"period\":\"1h\",\"orphan\":true,\"renewable\":true}"),
        204);
    CK_WANT(k, ck_call(k, "root", "read", "auth/token/roles/r1", NULL), 200);
    const struct mln_value *want = NULL;
    kit_ok(
        &k->cx,
        mln_json_parse(
            &k->cx,
            MLN_BYTES(
                "{\"allowed_entity_aliases\":null,\"allowed_policies\":[\"p1\"],\"allowed_policies_"
                "glob\":[],"
                "\"disallowed_policies\":[],\"disallowed_policies_glob\":[],\"explicit_max_ttl\":0,"
                "\"name\":\"r1\",\"orphan\":true,\"path_suffix\":\"\",\"period\":3600,"
                "\"renewable\":true,"
                "\"token_explicit_max_ttl\":0,\"token_no_default_policy\":false,\"token_period\":"
                "3600,"
                "\"token_type\":\"default-service\"}"),
            &want));
    assert_true(mln_value_eq(mln_get(k->answer, "data"), want));
    CK_WANT(k, ck_call(k, "root", "list", "auth/token/roles", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(k->answer, "data")), "{\"keys\":[\"r1\"]}");
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create/r1", "{}"), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "auth"), "policies")),
                        "[\"default\",\"p1\"]");
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 3600);
    const char *id = lk_text(k, "auth", "client_token");
    CK_WANT(k, lk_is(k, id), 200);
    assert_string_equal(lk_text(k, "data", "role"), "r1");
    assert_int_equal(lk_int(k, "data", "period"), 3600);
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/create/r1", "{\"policies\":[\"p9\"]}"),
               400,
               "token policies ([\"default\" \"p9\"]) must be subset of the role's allowed "
               "policies ([\"default\" \"p1\"]) or glob policies ([])");
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{\"increment\":10}"), 200);
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 3600);
    CK_WANT(k, ck_call(k, "root", "delete", "auth/token/roles/r1", NULL), 204);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 400);
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/create/r1", "{}"), 400,
               "unknown role r1");
}

/* The role is the one of the path, which policy judged: a body names none, and asks for no period without sudo. */
static void test_role_of_the_body(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/create\" { capabilities = [\"update\"] }\n"
                          "path \"auth/token/create/mine\" { capabilities = [\"update\"] }");
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/roles/admin", "{\"allowed_policies\":\"admin\",\"orphan\":true}"), 204);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/roles/mine", "{\"allowed_policies\":\"maker\"}"), 204);
    const char *id = lk_token(k, "{\"policies\":[\"maker\"]}");
    static const char *const bodies[] = {"{\"role\":\"admin\"}", "{\"role_name\":\"admin\"}"};
    static const char *const paths[] = {"auth/token/create", "auth/token/create/mine"};
    for (size_t i = 0; i < MLN_COUNT(bodies) * MLN_COUNT(paths); i++) {
        CK_WANT(k, ck_call(k, id, "write", paths[i / 2], bodies[i % 2]), 200);
        assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "auth"), "policies")), "[\"default\",\"maker\"]");
        assert_false(mln_get_bool(mln_get(mln_get(k->answer, "auth"), "orphan"), true));
    }
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/create/mine", "{\"period\":\"90000h\"}"), 400,
               "root or sudo privileges required to create periodic token");
}

static const struct mln_value *entry_of(struct ck *k, const char *id)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *entry = NULL;
    mln_cx_clear(&k->cx);
    kit_ok(&k->cx, mln_txn_begin(&k->cx, k->core->store, k->core->barrier, &txn));
    kit_ok(&k->cx, mln_token_find(k->core, &k->cx, txn, mln_now_ns(), mln_bytes_of(id), &entry));
    return entry;
}

/* What root makes stays root's: as an orphan, as a child's child, in somebody's name. Nobody approves a release with it. */
static void test_of_root(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/roles/imp",
                       "{\"orphan\":true,\"allowed_entity_aliases\":\"alice\",\"allowed_policies\":\"a\"}"), 204);
    static const char *const t[][2] = {{"auth/token/create", "{\"policies\":[\"a\"]}"},
                                       {"auth/token/create", "{\"no_parent\":true,\"policies\":[\"a\"]}"},
                                       {"auth/token/create-orphan", "{\"policies\":[\"a\"],\"entity_alias\":\"\"}"},
                                       {"auth/token/create/imp", "{\"entity_alias\":\"alice\"}"},
                                       {"auth/token/create/imp", "{\"entity_alias\":\"alice\",\"type\":\"batch\"}"}};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const struct mln_value *entry = entry_of(k, lk_token_by(k, "root", t[i][0], t[i][1]));
        assert_true(mln_get_bool(mln_get(entry, "root_child"), false));
        assert_int_equal(mln_get_bool(mln_get(entry, "in_name"), false), i >= 3);
    }
    lk_policy(k, "a", "path \"auth/token/create*\" { capabilities = [\"update\", \"sudo\"] }");
    const char *child = lk_token_by(k, lk_token_by(k, "root", t[3][0], t[3][1]), "auth/token/create-orphan", "{}");
    assert_true(mln_get_bool(mln_get(entry_of(k, child), "root_child"), false));
    assert_true(mln_get_bool(mln_get(entry_of(k, child), "in_name"), false));
}

static void test_role_rules(void **state)
{
    static const struct {
        const char *role, *ask;
        int status;
        const char *want; /* policies, or the error */
    } t[] = {
        {"{\"allowed_policies_glob\":\"team-*\"}",
         "{\"policies\":[\"team-a\"],\"no_default_policy\":true}", 200, "[\"team-a\"]"},
        {"{\"allowed_policies_glob\":\"*\"}", "{\"policies\":[\"x\"]}", 200, "[\"default\",\"x\"]"},
        {"{\"disallowed_policies\":\"bad\"}", "{\"policies\":[\"bad\"]}", 400,
         "token policy \"bad\" is disallowed by this role"},
        {"{\"disallowed_policies_glob\":\"b*\"}", "{\"policies\":[\"bad\"]}", 400,
         "token policy \"bad\" is disallowed by this role"},
        {"{\"disallowed_policies\":\"default\",\"allowed_policies\":\"a\"}", "{}", 200, "[\"a\"]"},
        {"{\"allowed_policies\":\"a\",\"token_no_default_policy\":true}", "{}", 200, "[\"a\"]"},
        {"{\"allowed_policies\":\"root\"}", "{\"policies\":[\"root\"],\"type\":\"batch\"}", 400,
         "batch tokens cannot be root tokens"},
        {"{\"token_type\":\"batch\"}", "{\"policies\":[\"a\"],\"num_uses\":3}", 400,
         "batch tokens cannot have \"num_uses\" set"},
        {"{}", "{\"policies\":[\"a\"],\"type\":\"other\"}", 400, "invalid 'token_type' value"},
        {"{\"allowed_entity_aliases\":\"ci-*\"}", "{\"policies\":[\"a\"],\"entity_alias\":\"ops\"}",
         400, "invalid 'entity_alias' value"},
        {"{\"allowed_entity_aliases\":\"ci-*\"}",
         "{\"policies\":[\"a\"],\"entity_alias\":\"ci-1\"}", 200, "[\"a\",\"default\"]"},
    };
    (void)state;
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, ck_call(k, "root", "delete", "auth/token/roles/r", NULL), 204);
        CK_WANT(k, ck_call(k, "root", "write", "auth/token/roles/r", t[i].role), 204);
        CK_WANT(k, ck_call(k, "root", "write", "auth/token/create/r", t[i].ask), t[i].status);
        if (t[i].status == 200) {
            assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "auth"), "policies")),
                                t[i].want);
        } else {
            assert_string_equal(ck_error(k), t[i].want);
        }
    }
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/create", "{\"entity_alias\":\"a\"}"), 400,
               "'entity_alias' is only allowed in combination with token role");
}

static void test_role_refused(void **state)
{
    static const char *const t[] = {
        "{\"token_period\":-1}",
        "{\"token_num_uses\":-1}",
        "{\"token_type\":\"other\"}",
        "{\"path_suffix\":\"a/b\"}",
        "{\"path_suffix\":\"-a\"}",
        "{\"token_bound_cidrs\":\"10.0.0.0/33\"}",
        "{\"token_bound_cidrs\":\"here\"}",
        "{\"token_type\":\"batch\",\"token_period\":60}",
        "{\"token_type\":\"default-batch\",\"token_num_uses\":2}",
        "{\"token_type\":\"batch\",\"token_explicit_max_ttl\":60}",
    };
    (void)state;
    CK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, ck_call(k, "root", "write", "auth/token/roles/r", t[i]), 400);
        CK_WANT(k, ck_call(k, "root", "read", "auth/token/roles/r", NULL), 404);
    }
}

static void test_role_members(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/token/roles/r",
                    "{\"path_suffix\":\"ci\",\"token_explicit_max_ttl\":\"10m\",\"token_num_uses\":"
                    "5,\"renewable\":false,"
                    "\"token_bound_cidrs\":[\"10.0.0.0/8\",\"127.0.0.1\"],\"orphan\":false}"),
            204);
    const char *id =
        lk_token_by(k, "root", "auth/token/create/r", "{\"policies\":[\"a\"],\"ttl\":\"1h\"}");
    assert_int_equal(mln_len(mln_get(k->answer, "warnings")), 1);
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 600);
    assert_int_equal(lk_int(k, "auth", "num_uses"), 5);
    CK_WANT(k, lk_is(k, id), 200);
    assert_string_equal(lk_text(k, "data", "path"), "auth/token/create/r/ci");
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "bound_cidrs")),
                        "[\"10.0.0.0/8\",\"127.0.0.1\"]");
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 400, "invalid lease ID");
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/create", "{}"), 403,
               "1 error occurred:\n\t* permission denied\n\n");
}

static void test_addresses(void **state)
{
    static const struct {
        const char *from;
        int status;
    } t[] = {{"10.1.2.3", 200},    {"11.1.2.3", 403},    {"::ffff:10.0.0.1", 200},
             {"2001:db8::1", 200}, {"2001:db9::1", 403}, {"", 403}};
    (void)state;
    CK(k);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/token/roles/r",
                    "{\"token_bound_cidrs\":\"10.0.0.0/8,2001:db8::/32\"}"),
            204);
    const char *id = lk_token_by(k, "root", "auth/token/create/r", "{\"policies\":[\"default\"]}");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        CK_WANT(k, lk_call(k, id, "read", "auth/token/lookup-self", NULL, t[i].from, NULL),
                t[i].status);
        if (t[i].status == 403) {
            assert_string_equal(ck_error(k), "permission denied");
        }
    }
}

/* ---- batch tokens ---- */

static void test_batch(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/*\" { capabilities = [\"update\",\"sudo\"] }");
    const char *id = lk_token(
        k, "{\"type\":\"batch\",\"policies\":[\"maker\"],\"ttl\":\"5m\",\"meta\":{\"a\":\"b\"}}");
    assert_int_equal(strncmp(id, "hvb.", 4), 0);
    assert_string_equal(lk_text(k, "auth", "accessor"), "");
    assert_string_equal(lk_text(k, "auth", "token_type"), "batch");
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 300);
    assert_false(mln_get_bool(mln_get(mln_get(k->answer, "auth"), "renewable"), true));
    CK_WANT(k, lk_is(k, id), 200);
    assert_string_equal(lk_text(k, "data", "type"), "batch");
    assert_string_equal(lk_text(k, "data", "id"), id);
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 400,
               "batch tokens cannot be renewed");
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/revoke-self", NULL), 400,
               "batch tokens cannot be revoked");
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/create", "{}"), 400,
               "batch tokens cannot create more tokens");
    char *changed = strdup(id);
    changed[40] = changed[40] == 'a' ? 'b' : 'a';
    LK_REFUSED(k, lk_is(k, changed), 403, "permission denied");
    changed[40] = '*';
    LK_REFUSED(k, lk_is(k, changed), 403, "permission denied");
    free(changed);
    LK_REFUSED(k, lk_is(k, "hvb."), 403, "permission denied");
    LK_REFUSED(k, lk_is(k, "hvb.AAAA"), 403, "permission denied");
    lk_turn(301);
    CK_WANT(k, lk_is(k, id), 403);
    lk_turn(0);
}

/* With its parent, unless it is an orphan. */
static void test_batch_parent(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/*\" { capabilities = [\"update\",\"sudo\"] }");
    const char *parent = lk_token(k, "{\"policies\":[\"maker\"]}");
    const char *child = lk_token_by(k, parent, "auth/token/create", "{\"type\":\"batch\"}");
    const char *orphan = lk_token_by(k, parent, "auth/token/create-orphan", "{\"type\":\"batch\"}");
    CK_WANT(k, lk_is(k, child), 200);
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/revoke-self", NULL), 204);
    CK_WANT(k, lk_is(k, child), 403);
    CK_WANT(k, lk_is(k, orphan), 200);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"type\":\"batch\"}"), 400);
    assert_string_equal(ck_error(k), "batch tokens cannot be root tokens");
}

/* What lookups say of a token that changes: uses left, a parent that was revoked alone, the last renewal's length. */
static void test_lookup_state(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/create*\" { capabilities = [\"update\"] }");
    const char *few = lk_token(k, "{\"policies\":[\"default\"],\"num_uses\":4}");
    CK_WANT(k, ck_call(k, few, "read", "auth/token/lookup-self", NULL), 200);
    assert_int_equal(lk_int(k, "data", "num_uses"), 3);
    char json[256];
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\"}", few);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/lookup", json), 200);
    assert_int_equal(lk_int(k, "data", "num_uses"), 3);
    const char *parent = lk_token(k, "{\"policies\":[\"maker\"]}");
    const char *child = lk_token_by(k, parent, "auth/token/create", "{\"ttl\":\"30m\"}");
    const char *orphan = lk_token_by(k, parent, "auth/token/create-orphan", "{}"); /* without sudo */
    CK_WANT(k, ck_call(k, child, "read", "auth/token/lookup-self", NULL), 200);
    assert_false(mln_get_bool(mln_get(mln_get(k->answer, "data"), "orphan"), true));
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\"}", parent);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/revoke-orphan", json), 204);
    CK_WANT(k, ck_call(k, child, "read", "auth/token/lookup-self", NULL), 200);
    assert_true(mln_get_bool(mln_get(mln_get(k->answer, "data"), "orphan"), false));
    CK_WANT(k, lk_is(k, orphan), 200);
    CK_WANT(k, ck_call(k, child, "write", "auth/token/renew-self", "{\"increment\":\"2h\"}"), 200);
    CK_WANT(k, ck_call(k, child, "write", "auth/token/renew-self", "{}"), 200);
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 7200);
    static const char *const paths[] = {"auth/token/lookup-accessor", "auth/token/renew-accessor"};
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        LK_REFUSED(k, ck_call(k, "root", "write", paths[i], "{\"accessor\":\"none\"}"), 400, "invalid accessor");
    }
}

/* ---- logins ---- */

static void enable_alice(struct ck *k)
{
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 204);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/userpass/users/alice",
                    "{\"password\":\"pw\",\"token_policies\":\"p\",\"token_ttl\":600}"),
            204);
}

static const char *login(struct ck *k)
{
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"pw\"}"),
            200);
    return lk_text(k, "auth", "client_token");
}

/* Before any tick. A method enabled again at the same place is another one. */
static void test_method_gone(void **state)
{
    (void)state;
    CK(k);
    enable_alice(k);
    const char *id = login(k);
    CK_WANT(k, lk_is(k, id), 200);
    CK_WANT(k, ck_call(k, "root", "write", "sys/remount", "{\"from\":\"auth/userpass\",\"to\":\"auth/up\"}"), 200);
    CK_WANT(k, lk_is(k, id), 200);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/auth/up", NULL), 204);
    CK_WANT(k, lk_is(k, id), 403);
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/up", "{\"type\":\"userpass\"}"), 204);
    CK_WANT(k, lk_is(k, id), 403);
}

static void test_login_renewal(void **state)
{
    (void)state;
    CK(k);
    enable_alice(k);
    const char *id = login(k);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 200);
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 600);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{\"increment\":\"2h\"}"), 200);
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 7200);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/userpass/users/alice", "{\"token_max_ttl\":\"1h\"}"),
            204);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{\"increment\":\"2h\"}"), 200);
    assert_int_equal(lk_int(k, "auth", "lease_duration"), 3600);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/userpass/users/alice", "{\"token_policies\":\"q\"}"),
            204);
    LK_REFUSED(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 400,
               "policies have changed, not renewing");
    CK_WANT(k, ck_call(k, "root", "delete", "auth/userpass/users/alice", NULL), 204);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 400);
    CK_WANT(k, lk_is(k, id), 200);
    CK_WANT(k, ck_call(k, "root", "delete", "sys/auth/userpass", NULL), 204);
    lk_tick(k);
    lk_tick(k);
    CK_WANT(k, lk_is(k, id), 403);
}

static void test_login_batch(void **state)
{
    (void)state;
    CK(k);
    enable_alice(k);
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass/tune", "{\"token_type\":\"batch\"}"),
            204);
    const char *id = login(k);
    assert_int_equal(strncmp(id, "hvb.", 4), 0);
    CK_WANT(k, lk_is(k, id), 200);
    CK_WANT(k, ck_call(k, "root", "write", "auth/userpass/users/alice", "{\"token_num_uses\":3}"),
            204);
    LK_REFUSED(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"pw\"}"),
               400, "batch tokens cannot have \"num_uses\" set");
}

static void test_revoke_prefix(void **state)
{
    (void)state;
    CK(k);
    enable_alice(k);
    const char *one = login(k), *two = login(k);
    CK_WANT(k,
            ck_call(k, "root", "write", "sys/leases/revoke-prefix/auth/userpass/login/bob", NULL),
            204);
    CK_WANT(k, lk_is(k, one), 200);
    CK_WANT(k, ck_call(k, "root", "write", "sys/leases/revoke-prefix/auth/userpass", NULL), 204);
    CK_WANT(k, lk_is(k, one), 403);
    CK_WANT(k, lk_is(k, two), 403);
    CK_WANT(k, ck_call(k, two, "write", "sys/leases/revoke-prefix/auth/userpass", NULL), 403);
}

/* ---- trees ---- */

static size_t below(struct ck *k, struct mln_bytes prefix)
{
    struct mln_value *keys = mln_array(&k->cx);
    kit_ok(&k->cx,
           mln_life_keys(k->core, &k->cx, prefix, MLN_BYTES_NONE, MLN_BYTES_NONE, 100000, keys));
    return mln_len(keys);
}

/* All but the ledger's, which only grows. */
static size_t kept(struct ck *k)
{
    return below(k, MLN_BYTES("root/")) - below(k, MLN_BYTES("root/ledger/"));
}

/* How many tokens have a row. */
static size_t rows(struct ck *k)
{
    return below(k, MLN_BYTES("root/token/id/"));
}

static void test_tree(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/*\" { capabilities = [\"update\",\"sudo\"] }");
    const char *at = lk_token(k, "{\"policies\":[\"maker\"]}"), *top = at, *line[40];
    for (size_t i = 0; i < MLN_COUNT(line); i++) {
        line[i] = at = lk_token_by(k, at, "auth/token/create", "{}");
    }
    assert_int_equal(rows(k), 42);
    CK_WANT(k, ck_call(k, top, "write", "auth/token/revoke-self", NULL), 204);
    for (size_t i = 0; i < MLN_COUNT(line); i++) { /* no tick has run yet */
        CK_WANT(k, lk_is(k, line[i]), 403);
        CK_WANT(k, ck_call(k, line[i], "write", "auth/token/create", "{}"), 403);
    }
    mln_core_close(k->core); /* nor does it matter when core goes now */
    ck_open(k);
    CK_WANT(k, lk_is(k, line[39]), 403);
    lk_tick(k);
    assert_int_equal(rows(k), 1);
}

static void test_orphans(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/*\" { capabilities = [\"update\",\"sudo\"] }");
    const char *parent = lk_token(k, "{\"policies\":[\"maker\"]}");
    const char *child = lk_token_by(k, parent, "auth/token/create", "{}");
    const char *grandchild = lk_token_by(k, child, "auth/token/create", "{}");
    char json[128];
    (void)snprintf(json, sizeof(json), "{\"token\":\"%s\"}", parent);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/revoke-orphan", json), 204);
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/revoke-orphan", json), 400,
               "token to revoke not found");
    CK_WANT(k, lk_is(k, parent), 403);
    CK_WANT(k, lk_is(k, child), 200); /* before the sweep */
    CK_WANT(k, lk_is(k, grandchild), 200);
    lk_tick(k);
    CK_WANT(k, lk_is(k, child), 200);
    assert_true(mln_get_bool(mln_get(mln_get(k->answer, "data"), "orphan"), false));
    CK_WANT(k, lk_is(k, grandchild), 200);
    CK_WANT(k, ck_call(k, child, "write", "auth/token/revoke-self", NULL), 204);
    CK_WANT(k, lk_is(k, grandchild), 403);
}

/* A new token of the same id must not meet what the old one left. */
static void test_same_id(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/*\" { capabilities = [\"update\",\"sudo\"] }");
    const char *mine = lk_token(k, "{\"id\":\"mine\",\"policies\":[\"maker\"]}");
    (void)lk_token_by(k, mine, "auth/token/create", "{}");
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/create", "{\"id\":\"mine\"}"), 400,
               "cannot create a token with a duplicate ID");
    CK_WANT(k, ck_call(k, mine, "write", "auth/token/revoke-self", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"id\":\"mine\"}"), 400);
    lk_tick(k);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"id\":\"mine\"}"), 200);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"id\":\"hvb.mine\"}"), 400);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"ttl\":99999999999}"),
            200); /* capped */
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"period\":99999999999}"), 400);
}

/* All that a token had goes with it: nothing is left in the store. */
static void test_nothing_left(void **state)
{
    (void)state;
    CK(k);
    lk_policy(k, "maker", "path \"auth/token/*\" { capabilities = [\"update\",\"sudo\"] }");
    size_t before = kept(k);
    const char *parent = lk_token(k, "{\"policies\":[\"maker\"]}");
    const char *child = lk_token_by(k, parent, "auth/token/create", "{}");
    CK_WANT(k, ck_call(k, child, "write", "cubbyhole/a/b", "{\"k\":\"v\"}"), 204);
    CK_WANT(k, ck_call(k, child, "write", "cubbyhole/c", "{\"k\":\"v\"}"), 204);
    CK_WANT(k, lk_call(k, child, "read", "cubbyhole/c", NULL, NULL, "60"), 200);
    const char *wrapping = lk_text(k, "wrap_info", "token");
    CK_WANT(k, ck_call(k, wrapping, "write", "sys/wrapping/unwrap", NULL), 200);
    assert_true(kept(k) >= before + 8);
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/revoke-self", NULL), 204);
    lk_tick(k);
    assert_int_equal(kept(k), before);
}

/* ---- time ---- */

static void test_clock(void **state)
{
    (void)state;
    CK(k);
    lk_turn(0);
    const char *brief = lk_token(k, "{\"policies\":[\"default\"],\"ttl\":\"30m\"}"),
               *lasting = lk_token(k, "{\"policies\":[\"default\"],\"ttl\":\"3h\"}");
    lk_turn(3600);
    CK_WANT(k, lk_is(k, brief), 403);
    CK_WANT(k, lk_is(k, lasting), 200);
    lk_turn(0);
    CK_WANT(k, lk_is(k, brief), 403); /* also before a tick has deleted it */
    CK_WANT(k, lk_is(k, lasting), 200);
    lk_tick(k);
    CK_WANT(k, lk_is(k, brief), 403);
    lk_turn(2 * 3600); /* its own time, not that of the jump */
    CK_WANT(k, lk_is(k, lasting), 200);
    lk_turn(-86400);
    CK_WANT(k, lk_is(k, lasting), 200);
    lk_tick(k);
    lk_turn(3 * 3600 - 60);
    CK_WANT(k, lk_is(k, lasting), 200);
    lk_tick(k);
    CK_WANT(k, lk_is(k, lasting), 200);
    lk_turn(3 * 3600 + 1);
    CK_WANT(k, lk_is(k, lasting), 403);
    lk_turn(0);
}

static void test_many_expire(void **state)
{
    (void)state;
    CK(k);
    lk_turn(0);
    for (size_t i = 0; i < 1300; i++) { /* more than two batches */
        (void)lk_token(k, "{\"policies\":[\"default\"],\"ttl\":60}");
        mln_arena_reset(k->arena);
    }
    const char *kept = lk_token(k, "{\"policies\":[\"default\"],\"ttl\":600}");
    lk_turn(61);
    lk_tick(k);
    assert_int_equal(rows(k), 2);
    CK_WANT(k, lk_is(k, kept), 200);
    lk_turn(0);
}

/* What the accessor of a revoked token is good for: nothing, and it is the caller's error, not a matter of rights. */
static void test_accessor_gone(void **state)
{
    (void)state;
    CK(k);
    (void)lk_token(k, "{}");
    const char *body = mln_text_format(&k->cx, "{\"accessor\":\"%s\"}", lk_text(k, "auth", "accessor"));
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/lookup-accessor", body), 200);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/revoke-accessor", body), 204);
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/lookup-accessor", body), 400, "invalid accessor");
    LK_REFUSED(k, ck_call(k, "root", "write", "auth/token/renew-accessor", body), 400, "invalid accessor");
}

/* Whole seconds are rounded up in answers; the end itself is not, or the last second would never end. */
static void test_last_second(void **state)
{
    (void)state;
    CK(k);
    lk_turn(0);
    const char *id = lk_token(k, "{\"ttl\":100,\"explicit_max_ttl\":100}");
    atomic_store(&lk_ahead_ns, 99200000000);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 200);
    assert_int_equal(mln_get_int(mln_get(mln_get(k->answer, "auth"), "lease_duration"), 0), 1);
    atomic_store(&lk_ahead_ns, 100050000000);
    CK_WANT(k, ck_call(k, id, "write", "auth/token/renew-self", "{}"), 403);
    lk_turn(0);
}

static void test_tidy(void **state)
{
    (void)state;
    CK(k);
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/tidy", NULL), 202);
    assert_int_equal(mln_len(mln_item(mln_get(k->answer, "warnings"), 0)), 111);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_role),         cmocka_unit_test(test_role_of_the_body),
       cmocka_unit_test(test_of_root),
        cmocka_unit_test(test_role_rules),
        cmocka_unit_test(test_role_refused), cmocka_unit_test(test_role_members),
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_batch),
        cmocka_unit_test(test_lookup_state), cmocka_unit_test(test_method_gone),
        cmocka_unit_test(test_batch_parent), cmocka_unit_test(test_login_renewal),
        cmocka_unit_test(test_login_batch),  cmocka_unit_test(test_revoke_prefix),
        cmocka_unit_test(test_tree),         cmocka_unit_test(test_orphans),
        cmocka_unit_test(test_same_id),      cmocka_unit_test(test_clock),
        cmocka_unit_test(test_many_expire),  cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_nothing_left), cmocka_unit_test(test_accessor_gone),
        cmocka_unit_test(test_last_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
