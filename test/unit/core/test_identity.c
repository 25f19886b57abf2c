/* SPDX-License-Identifier: Apache-2.0 */
/* Identity in the pipeline: policies of entities and groups act at once, disabling and deleting refuse, templates are filled in. */
#include "core_kit.h"

#include <string.h>

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()

static void policy(struct ck *k, const char *name, const char *rules)
{
    char path[64], json[512];
    (void)snprintf(path, sizeof(path), "sys/policies/acl/%s", name);
    (void)snprintf(json, sizeof(json), "{\"policy\":\"%s\"}", rules);
    CK_WANT(k, ck_call(k, "root", "write", path, json), 204);
}

static void text_of(struct ck *k, const char *part, const char *name, char to[100])
{
    (void)snprintf(to, 100, "%s",
                   mln_get_text(&k->cx, mln_get(mln_get(k->answer, part), name), ""));
    assert_true(to[0] != 0);
}

struct who {
    char token[100], entity[100];
};

static struct who log_in(struct ck *k)
{
    struct who w;
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"secret\"}"),
            200);
    text_of(k, "auth", "client_token", w.token);
    text_of(k, "auth", "entity_id", w.entity);
    return w;
}

static struct who start(struct ck *k)
{
    CK_WANT(k, ck_call(k, "root", "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 204);
    CK_WANT(k,
            ck_call(k, "root", "write", "auth/userpass/users/alice", "{\"password\":\"secret\"}"),
            204);
    CK_WANT(k, ck_call(k, "root", "write", "secret/data/a", "{\"data\":{\"n\":1}}"), 200);
    return log_in(k);
}

/* The JSON's "@" stands for the id. */
static void write_to(struct ck *k, const char *path, const char *text, const char *id, int want)
{
    char json[400];
    struct mln_bytes rest, first = mln_bytes_cut(mln_bytes_of(text), '@', &rest);
    (void)snprintf(json, sizeof(json), "%.*s%s%.*s", MLN_FMT(first), id, MLN_FMT(rest));
    CK_WANT(k, ck_call(k, "root", "write", path, json), want);
}

static void test_policies_of_groups(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k);
    policy(k, "reads", "path \\\"secret/data/*\\\" { capabilities = [\\\"read\\\"] }");
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 403);
    write_to(k, "identity/group",
             "{\"name\":\"g\",\"policies\":[\"reads\"],\"member_entity_ids\":[\"@\"]}", w.entity,
             200);
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 200);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 200);
    const struct mln_value *data = mln_get(k->answer, "data");
    assert_string_equal(ck_json(k, mln_get(data, "identity_policies")), "[\"reads\"]");
    assert_string_equal(ck_json(k, mln_get(data, "policies")), "[\"default\"]");
    CK_WANT(k,
            ck_call(k, w.token, "write", "sys/capabilities-self", "{\"path\":\"secret/data/a\"}"),
            200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "capabilities")),
                        "[\"read\"]");
    struct who again = log_in(k);
    const struct mln_value *auth = mln_get(k->answer, "auth");
    assert_string_equal(again.entity, w.entity);
    assert_string_equal(ck_json(k, mln_get(auth, "policies")), "[\"default\",\"reads\"]");
    assert_string_equal(ck_json(k, mln_get(auth, "token_policies")), "[\"default\"]");
    assert_string_equal(ck_json(k, mln_get(auth, "identity_policies")), "[\"reads\"]");
    CK_WANT(k, ck_call(k, "root", "delete", "identity/group/name/g", NULL), 204);
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 403);
    write_to(k, "identity/entity", "{\"policies\":[\"reads\"],\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 200);
    policy(k, "reads", "path \\\"secret/data/*\\\" { capabilities = [\\\"deny\\\"] }");
    CK_WANT(k, ck_call(k, w.token, "read", "secret/data/a", NULL), 403);
}

/* What a child gets on paper stays within the token's own policies: those of a group end with the membership. */
static void test_children(void **state)
{
    char child[100];
    (void)state;
    CK(k);
    struct who w = start(k);
    policy(k, "reads", "path \\\"secret/data/*\\\" { capabilities = [\\\"read\\\"] }");
    policy(k, "makes", "path \\\"auth/token/create\\\" { capabilities = [\\\"update\\\"] }");
    write_to(k, "identity/entity", "{\"policies\":[\"reads\",\"makes\"],\"id\":\"@\"}", w.entity,
             204);
    CK_WANT(k, ck_call(k, w.token, "write", "auth/token/create", "{}"), 200);
    text_of(k, "auth", "client_token", child);
    CK_WANT(k, ck_call(k, child, "read", "secret/data/a", NULL), 200); /* of the same entity */
    write_to(k, "identity/entity", "{\"policies\":[],\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, child, "read", "secret/data/a", NULL), 403);
}

static void test_disabled(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 200);
    write_to(k, "identity/entity", "{\"disabled\":true,\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 403);
    assert_string_equal(ck_error(k), "permission denied");
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/alice", "{\"password\":\"secret\"}"),
            403);
    write_to(k, "identity/entity", "{\"disabled\":false,\"id\":\"@\"}", w.entity, 204);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 200);
    CK_WANT(k, ck_call(k, "root", "delete", "identity/entity/name/alice", NULL), 204);
    CK_WANT(k, ck_call(k, w.token, "read", "auth/token/lookup-self", NULL), 403);
}

/* A path with an alias's name in it; a name that would change the path's shape fills nothing. */
static void test_templates(void **state)
{
    char path[200];
    (void)state;
    CK(k);
    struct who w = start(k);
    (void)snprintf(path, sizeof(path), "identity/entity/id/%s", w.entity);
    CK_WANT(k, ck_call(k, w.token, "read", path, NULL), 200); /* by the default policy */
    CK_WANT(k, ck_call(k, w.token, "read", "identity/entity/name/alice", NULL), 200);
    CK_WANT(k, ck_call(k, w.token, "read", "identity/entity/name/bob", NULL), 403);
    policy(k, "default",
           "path \\\"secret/data/{{identity.entity.metadata.team}}/*\\\" { capabilities = "
           "[\\\"read\\\"] }");
    static const struct {
        const char *team, *path;
        int status;
    } t[] = {
        {"red", "secret/data/red/x", 404}, {"red", "secret/data/blue/x", 403},
        {"*", "secret/data/blue/x", 403},  {"+", "secret/data/blue/x", 403},
        {"a/b", "secret/data/a/b/x", 403}, {"blue", "secret/data/blue/x", 404},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char json[200];
        (void)snprintf(json, sizeof(json), "{\"metadata\":{\"team\":\"%s\"}}", t[i].team);
        CK_WANT(k, ck_call(k, "root", "write", "identity/entity/name/alice", json), 204);
        CK_WANT(k, ck_call(k, w.token, "read", t[i].path, NULL), t[i].status);
    }
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", "{\"policies\":[\"default\"]}"),
            200);
    text_of(k, "auth", "client_token", path);
    CK_WANT(k, ck_call(k, path, "read", "secret/data/blue/x", NULL),
            403); /* no entity: the path is dropped */
}

static void test_unmount(void **state)
{
    (void)state;
    CK(k);
    struct who w = start(k), other;
    CK_WANT(k, ck_call(k, "root", "delete", "sys/auth/userpass", NULL), 204);
    CK_WANT(k, ck_call(k, "root", "read", "identity/entity/name/alice", NULL), 200);
    assert_string_equal(ck_json(k, mln_get(mln_get(k->answer, "data"), "aliases")), "[]");
    other = start(k);
    assert_string_not_equal(other.entity, w.entity);
    CK_WANT(k, ck_call(k, "root", "read", "sys/mounts", NULL), 200);
    assert_non_null(mln_get(mln_get(k->answer, "data"), "identity/"));
    CK_WANT(k, ck_call(k, "root", "delete", "sys/mounts/identity", NULL), 400);
    mln_core_tick(&k->cx, k->core);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies_of_groups),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_disabled),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_unmount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
