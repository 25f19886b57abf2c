/* SPDX-License-Identifier: Apache-2.0 */
/* Entities, aliases, groups, lookups, merging; logins and what they change. Shapes are those of the Vault API. */
#include "kit/engine_kit.h"

#include <stdio.h>

#include "identity/identity.h"

extern const struct mln_engine mln_identity_identity;

static const struct mln_engine userpass = {
    .type = "userpass", .kind = MLN_MOUNT_AUTH, .summary = "", .paths = NULL};
static const struct mln_mount mounts[] = {
    {.path = "auth/userpass/",
     .type = "userpass",
     .accessor = "auth_userpass_1",
     .engine = &userpass},
    {.path = "auth/second/",
     .type = "userpass",
     .accessor = "auth_userpass_2",
     .engine = &userpass},
};

static const struct mln_mount *find_mount(struct mln_request *rq, const char *accessor)
{
    (void)rq;
    for (size_t i = 0; i < MLN_COUNT(mounts); i++) {
        if (mln_bytes_is(mln_bytes_of(mounts[i].accessor), accessor)) {
            return &mounts[i];
        }
    }
    return NULL;
}

static struct ek *new_kit(void)
{
    struct ek *k = ek_new();
    k->services.mount = find_mount;
    ek_mount(k, "identity/", &mln_identity_identity, "3e0f9b2a-0000-4000-8000-000000000000");
    return k;
}
#define KIT(name) MLN_AUTO(ek_drop) struct ek *name = new_kit()

static void keep(struct ek *k, const char *name, char to[40])
{
    (void)snprintf(to, 40, "%s", ek_text(k, name));
    assert_true(to[0] != 0);
}

static const char *path(const char *before, const char *id)
{
    static char out[200];
    (void)snprintf(out, sizeof(out), "%s%s", before, id);
    return out;
}

static const char *body(char out[400], const char *before, const char *id, const char *after)
{
    (void)snprintf(out, 400, "%s%s%s", before, id, after);
    return out;
}

static const struct mln_value *at(struct ek *k, const char *name)
{
    return mln_get(k->re.data, name);
}

static void make_entity(struct ek *k, const char *json, char id[40])
{
    EK_WANT(k, ek_write(k, "identity/entity", json), 200);
    keep(k, "id", id);
}

static void test_entity(void **state)
{
    (void)state;
    KIT(k);
    char id[40];
    make_entity(k, "{\"name\":\"e1\",\"metadata\":{\"a\":\"b\"},\"policies\":[\"p2\",\"p1\"]}", id);
    assert_true(mln_is_null(at(k, "aliases")));
    EK_WANT(k, ek_read(k, path("identity/entity/id/", id), NULL), 200);
    EK_VALUE(k, at(k, "policies"), "[\"p1\",\"p2\"]");
    EK_VALUE(k, at(k, "aliases"), "[]");
    EK_VALUE(k, at(k, "group_ids"), "[]");
    EK_VALUE(k, at(k, "metadata"), "{\"a\":\"b\"}");
    EK_VALUE(k, at(k, "disabled"), "false");
    assert_true(mln_is_null(at(k, "merged_entity_ids")));
    EK_WANT(k, ek_read(k, "identity/entity/name/E1", NULL), 200); /* in any case */
    EK_WANT(k, ek_write(k, "identity/entity/name/e1", "{\"disabled\":true,\"metadata\":[\"x=y\"]}"),
            204);
    EK_WANT(k, ek_write(k, path("identity/entity/id/", id), "{\"name\":\"e9\"}"), 204);
    EK_WANT(k, ek_read(k, "identity/entity/name/e1", NULL), 404);
    EK_WANT(k, ek_read(k, "identity/entity/name/e9", NULL), 200);
    EK_VALUE(k, at(k, "disabled"), "true");
    EK_VALUE(k, at(k, "metadata"), "{\"x\":\"y\"}");
    EK_WANT(k, ek_list(k, "identity/entity/name/"), 200);
    EK_DATA(k, "{\"keys\":[\"e9\"]}");
    EK_WANT(k, ek_list(k, "identity/entity/id/"), 200);
    assert_true(mln_is_text(mln_get(mln_get(at(k, "key_info"), id), "name"), "e9"));
    EK_WANT(k, ek_delete(k, path("identity/entity/id/", id)), 204);
    EK_WANT(k, ek_delete(k, path("identity/entity/id/", id)), 204);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", id), NULL), 404);
    EK_WANT(k, ek_list(k, "identity/entity/id/"), 404);
    EK_WANT(k, ek_write(k, "identity/entity", "{}"), 200);
    assert_true(mln_bytes_starts(mln_bytes_of(ek_text(k, "name")), MLN_BYTES("entity_")));
}

static void test_entity_refused(void **state)
{
    static const struct {
        const char *path, *json, *text;
    } t[] = {
        {"identity/entity", "{\"policies\":[\"root\"]}", "policies cannot contain root"},
        {"identity/entity", "{\"policies\":\"a, ROOT\"}", "policies cannot contain root"},
        {"identity/entity", "{\"id\":\"nosuch\"}", "entity not found from id"},
        {"identity/entity", "{\"id\":\"../../token/id\"}", "entity not found from id"},
        {"identity/entity", "{\"name\":\"a\\u0001\"}", "control"},
        {"identity/entity", "{\"metadata\":{\"a\":1}}", "map of texts"},
        {"identity/entity", "{\"metadata\":[\"a\"]}", "map of texts"},
        {"identity/entity", "{\"metadata\":7}", "map of texts"},
        {"identity/entity/batch-delete", "{}", "missing entity ids"},
        {"identity/entity/merge", "{}", "missing entity ids to merge from"},
        {"identity/entity/merge", "{\"from_entity_ids\":\"a\",\"to_entity_id\":\"a\"}",
         "should not be present"},
        {"identity/entity/merge", "{\"from_entity_ids\":\"a\",\"to_entity_id\":\"b\"}",
         "entity id to merge to is invalid"},
        {"identity/entity-alias", "{}", "missing alias name"},
        {"identity/entity-alias", "{\"name\":\"a\"}", "missing mount_accessor"},
        {"identity/entity-alias", "{\"name\":\"a\",\"mount_accessor\":\"x\"}",
         "invalid mount accessor \"x\""},
        {"identity/entity-alias",
         "{\"name\":\"a\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"no\"}",
         "invalid canonical ID"},
        {"identity/entity-alias", "{\"id\":\"no\",\"name\":\"a\"}", "invalid alias ID"},
        {"identity/group", "{\"type\":\"odd\"}", "invalid group type \"odd\""},
        {"identity/group", "{\"policies\":[\"root\"]}", "policies cannot contain root"},
        {"identity/group", "{\"member_entity_ids\":[\"no\"]}", "invalid entity ID \"no\""},
        {"identity/group", "{\"member_group_ids\":[\"no\"]}", "invalid group ID \"no\""},
        {"identity/group", "{\"type\":\"external\",\"member_entity_ids\":[\"no\"]}",
         "can't be set manually"},
        {"identity/group-alias", "{\"name\":\"a\",\"mount_accessor\":\"x\"}",
         "invalid mount accessor"},
        {"identity/lookup/entity", "{}", "query parameter not supplied"},
        {"identity/lookup/entity", "{\"id\":\"a\",\"name\":\"b\"}", "query parameter conflict"},
        {"identity/lookup/entity", "{\"alias_name\":\"a\"}",
         "both 'alias_name' and 'alias_mount_accessor'"},
        {"identity/lookup/group", "{\"alias_mount_accessor\":\"a\"}",
         "both 'alias_name' and 'alias_mount_accessor'"},
    };
    (void)state;
    KIT(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), 400, t[i].text);
        assert_false(mln_failed(k->err) && k->status == 500);
    }
    char id[40];
    make_entity(k, "{\"name\":\"one\"}", id);
    make_entity(k, "{\"name\":\"two\"}", id);
    EK_REFUSED(k, ek_write(k, path("identity/entity/id/", id), "{\"name\":\"One\"}"), 400,
               "already in use");
}

/* What policy allowed is the name in the path: an id in the body is not looked at. */
static void test_name_rules(void **state)
{
    char a[40], b[40], json[400];
    (void)state;
    KIT(k);
    make_entity(k, "{\"name\":\"mine\"}", a);
    make_entity(k, "{\"name\":\"other\"}", b);
    EK_WANT(k,
            ek_write(k, "identity/entity/name/mine",
                     body(json, "{\"disabled\":true,\"id\":\"", b, "\"}")),
            204);
    EK_WANT(k, ek_read(k, "identity/entity/name/other", NULL), 200);
    EK_VALUE(k, at(k, "disabled"), "false");
    EK_WANT(
        k,
        ek_call(k, MLN_OP_DELETE, "identity/entity/name/mine", body(json, "{\"id\":\"", b, "\"}")),
        204);
    EK_WANT(k, ek_read(k, "identity/entity/name/other", NULL), 200);
    EK_WANT(k, ek_read(k, "identity/entity/name/mine", NULL), 404);
}

static void test_alias(void **state)
{
    char e1[40], e2[40], alias[40], json[400];
    (void)state;
    KIT(k);
    make_entity(k, "{\"name\":\"e1\"}", e1);
    make_entity(k, "{\"name\":\"e2\"}", e2);
    body(json,
         "{\"name\":\"alice\",\"mount_accessor\":\"auth_userpass_1\",\"custom_metadata\":{\"c\":"
         "\"d\"},\"canonical_id\":\"",
         e1, "\"}");
    EK_WANT(k, ek_write(k, "identity/entity-alias", json), 200);
    keep(k, "id", alias);
    assert_string_equal(ek_text(k, "canonical_id"), e1);
    EK_WANT(k, ek_read(k, path("identity/entity-alias/id/", alias), NULL), 200);
    EK_VALUE(k, at(k, "custom_metadata"), "{\"c\":\"d\"}");
    EK_VALUE(k, at(k, "mount_path"), "\"auth/userpass/\"");
    EK_VALUE(k, at(k, "mount_type"), "\"userpass\"");
    EK_WANT(k,
            ek_write(k, "identity/lookup/entity",
                     "{\"alias_name\":\"alice\",\"alias_mount_accessor\":\"auth_userpass_1\"}"),
            200);
    assert_string_equal(ek_text(k, "id"), e1);
    EK_WANT(k,
            ek_write(k, "identity/lookup/entity",
                     "{\"alias_name\":\"alice\",\"alias_mount_accessor\":\"auth_userpass_2\"}"),
            204);
    EK_WANT(k, ek_write(k, "identity/lookup/entity", body(json, "{\"alias_id\":\"", alias, "\"}")),
            200);
    body(json, "{\"name\":\"bob\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"", e1,
         "\"}");
    EK_REFUSED(k, ek_write(k, "identity/entity-alias", json), 400,
               "already has an alias for the mount");
    /* renamed, then to another entity */
    EK_WANT(k, ek_write(k, path("identity/entity-alias/id/", alias), "{\"name\":\"alicia\"}"), 200);
    EK_WANT(k,
            ek_write(k, "identity/lookup/entity",
                     "{\"alias_name\":\"alice\",\"alias_mount_accessor\":\"auth_userpass_1\"}"),
            204);
    EK_WANT(k,
            ek_write(k, path("identity/entity-alias/id/", alias),
                     body(json, "{\"canonical_id\":\"", e2, "\"}")),
            200);
    EK_WANT(k,
            ek_write(k, "identity/lookup/entity",
                     "{\"alias_name\":\"alicia\",\"alias_mount_accessor\":\"auth_userpass_1\"}"),
            200);
    assert_string_equal(ek_text(k, "id"), e2);
    EK_WANT(k, ek_list(k, "identity/entity-alias/id/"), 200);
    assert_true(mln_is_text(mln_get(mln_get(at(k, "key_info"), alias), "canonical_id"), e2));
    EK_WANT(k, ek_delete(k, path("identity/entity-alias/id/", alias)), 204);
    EK_WANT(k, ek_read(k, path("identity/entity-alias/id/", alias), NULL), 404);
    EK_WANT(k, ek_list(k, "identity/entity-alias/id/"), 404);
}

static void test_groups(void **state)
{
    char e[40], g1[40], g2[40], json[400];
    (void)state;
    KIT(k);
    make_entity(k, "{\"name\":\"e\"}", e);
    EK_WANT(k,
            ek_write(k, "identity/group",
                     body(json, "{\"name\":\"g1\",\"policies\":[\"p1\"],\"member_entity_ids\":[\"",
                          e, "\"]}")),
            200);
    keep(k, "id", g1);
    EK_WANT(k,
            ek_write(k, "identity/group",
                     body(json, "{\"name\":\"g2\",\"policies\":[\"p2\"],\"member_group_ids\":[\"",
                          g1, "\"]}")),
            200);
    keep(k, "id", g2);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", e), NULL), 200);
    assert_true(mln_is_text(mln_item(at(k, "direct_group_ids"), 0), g1));
    assert_true(mln_is_text(mln_item(at(k, "inherited_group_ids"), 0), g2));
    assert_int_equal(mln_len(at(k, "group_ids")), 2);
    EK_WANT(k, ek_read(k, "identity/group/name/g1", NULL), 200);
    EK_VALUE(k, at(k, "alias"), "{}");
    EK_VALUE(k, at(k, "member_group_ids"), "null");
    EK_VALUE(k, at(k, "modify_index"), "1");
    EK_VALUE(k, at(k, "type"), "\"internal\"");
    assert_true(mln_is_text(mln_item(at(k, "parent_group_ids"), 0), g2));
    /* no cycles, however long */
    EK_REFUSED(k,
               ek_write(k, path("identity/group/id/", g1),
                        body(json, "{\"member_group_ids\":[\"", g2, "\"]}")),
               400, "cyclic");
    EK_REFUSED(k,
               ek_write(k, path("identity/group/id/", g1),
                        body(json, "{\"member_group_ids\":[\"", g1, "\"]}")),
               400, "cyclic");
    EK_REFUSED(k, ek_write(k, "identity/group/name/g1", "{\"type\":\"external\"}"), 400,
               "group type cannot be changed");
    EK_WANT(k, ek_write(k, "identity/group/name/g1", "{\"member_entity_ids\":[]}"), 204);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", e), NULL), 200);
    EK_VALUE(k, at(k, "group_ids"), "[]");
    EK_WANT(k, ek_write(k, "identity/lookup/group", "{\"name\":\"G2\"}"), 200);
    EK_WANT(k, ek_write(k, "identity/lookup/group", "{\"name\":\"g3\"}"), 204);
    EK_WANT(k, ek_list(k, "identity/group/id/"), 200);
    assert_int_equal(mln_get_int(mln_get(mln_get(at(k, "key_info"), g1), "num_parent_groups"), 0),
                     1);
    EK_WANT(k, ek_delete(k, path("identity/group/id/", g1)), 204);
    EK_WANT(k, ek_read(k, "identity/group/name/g2", NULL), 200);
    EK_VALUE(k, at(k, "member_group_ids"), "null");
    EK_WANT(k, ek_list(k, "identity/group/name/"), 200);
    EK_DATA(k, "{\"keys\":[\"g2\"]}");
}

/* A deleted entity leaves no secret of a second factor behind. */
static void test_factors_go(void **state)
{
    char e[40], m[40], json[400];
    struct mln_request rq;
    const struct mln_value *left = NULL;
    (void)state;
    KIT(k);
    make_entity(k, "{\"name\":\"e\"}", e);
    EK_WANT(k, ek_write(k, "identity/mfa/method/totp", "{\"issuer\":\"m\"}"), 200);
    keep(k, "method_id", m);
    (void)snprintf(json, sizeof(json), "{\"method_id\":\"%s\",\"entity_id\":\"%s\"}", m, e);
    EK_WANT(k, ek_write(k, "identity/mfa/method/totp/admin-generate", json), 200);
    assert_int_equal(strncmp(ek_text(k, "barcode"), "iVBORw0KGgo", 11), 0); /* a PNG */
    EK_WANT(k, ek_delete(k, path("identity/entity/id/", e)), 204);
    ek_begin(k, &rq);
    struct mln_view view = {.ns = MLN_NS_ROOT, .prefix = MLN_BYTES("root/entity/mfa/secret/")};
    struct mln_err err = mln_txn_list(k->cx, rq.txn, view, MLN_BYTES_NONE, &left);
    assert_true(mln_is(err, MLN_E_NOT_FOUND) || mln_len(left) == 0);
    ek_end(k, MLN_OK);
}

/* Deleting an entity takes it out of its groups. */
static void test_entity_leaves(void **state)
{
    char e[40], json[400];
    (void)state;
    KIT(k);
    make_entity(k, "{\"name\":\"e\"}", e);
    EK_WANT(k,
            ek_write(k, "identity/group",
                     body(json, "{\"name\":\"g\",\"member_entity_ids\":[\"", e, "\"]}")),
            200);
    EK_WANT(k,
            ek_write(k, "identity/entity/batch-delete",
                     body(json, "{\"entity_ids\":[\"", e, "\",\"nosuch\"]}")),
            204);
    EK_WANT(k, ek_read(k, "identity/group/name/g", NULL), 200);
    assert_true(mln_is_null(at(k, "member_entity_ids")));
}

static void test_merge(void **state)
{
    char a[40], b[40], json[400], alias[40];
    (void)state;
    KIT(k);
    make_entity(k, "{\"name\":\"a\"}", a);
    make_entity(k, "{\"name\":\"b\"}", b);
    body(json, "{\"name\":\"al\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"", b,
         "\"}");
    EK_WANT(k, ek_write(k, "identity/entity-alias", json), 200);
    keep(k, "id", alias);
    EK_WANT(k,
            ek_write(k, "identity/group",
                     body(json, "{\"name\":\"g\",\"policies\":\"pg\",\"member_entity_ids\":[\"", b,
                          "\"]}")),
            200);
    (void)snprintf(json, sizeof(json), "{\"from_entity_ids\":[\"%s\"],\"to_entity_id\":\"%s\"}", b,
                   a);
    EK_WANT(k, ek_write(k, "identity/entity/merge", json), 204);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", b), NULL), 404);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", a), NULL), 200);
    assert_true(mln_is_text(mln_item(at(k, "merged_entity_ids"), 0), b));
    assert_true(mln_is_text(mln_get(mln_item(at(k, "aliases"), 0), "id"), alias));
    assert_int_equal(mln_len(at(k, "direct_group_ids")), 1);
    /* tokens of the merged one are now of the other */
    struct mln_request rq;
    const struct mln_value *person = NULL;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_identity_person(k->cx, rq.txn, b, &person));
    assert_true(mln_is_text(mln_get(person, "id"), a));
    EK_VALUE(k, mln_get(person, "all_policies"), "[\"pg\"]");
    ek_end(k, MLN_OK);
    /* two aliases at one mount: the request says which stays */
    make_entity(k, "{\"name\":\"c\"}", b);
    body(json, "{\"name\":\"cl\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"", b,
         "\"}");
    EK_WANT(k, ek_write(k, "identity/entity-alias", json), 200);
    keep(k, "id", alias);
    (void)snprintf(json, sizeof(json), "{\"from_entity_ids\":[\"%s\"],\"to_entity_id\":\"%s\"}", b,
                   a);
    EK_REFUSED(k, ek_write(k, "identity/entity/merge", json), 400,
               "exactly one of the conflicting aliases");
    (void)snprintf(json, sizeof(json),
                   "{\"from_entity_ids\":[\"%s\"],\"to_entity_id\":\"%s\",\"conflicting_alias_ids_"
                   "to_keep\":\"%s\"}",
                   b, a, alias);
    EK_WANT(k, ek_write(k, "identity/entity/merge", json), 204);
    EK_WANT(k,
            ek_write(k, "identity/lookup/entity",
                     "{\"alias_name\":\"cl\",\"alias_mount_accessor\":\"auth_userpass_1\"}"),
            200);
    assert_string_equal(ek_text(k, "id"), a);
    EK_WANT(k,
            ek_write(k, "identity/lookup/entity",
                     "{\"alias_name\":\"al\",\"alias_mount_accessor\":\"auth_userpass_1\"}"),
            204);
}

/* ---- logins ---- */

static bool login(struct ek *k, size_t mount, const char *alias, const char *groups, char id[40])
{
    struct mln_request rq;
    const struct mln_value *entity = NULL, *list = NULL;
    bool changed = false;
    ek_begin(k, &rq);
    if (groups != NULL) {
        kit_ok(k->cx, mln_json_parse(k->cx, mln_bytes_of(groups), &list));
    }
    struct mln_value *meta = mln_object(k->cx);
    mln_put_text(k->cx, meta, "from", groups != NULL ? groups : "x");
    const struct mln_identity_login asked = {.mount = &mounts[mount],
                                             .alias = alias,
                                             .groups = list,
                                             .alias_meta = meta,
                                             .now_ns = k->now_ns};
    kit_ok(k->cx, mln_identity_login(k->cx, rq.txn, &asked, &entity, &changed));
    (void)snprintf(id, 40, "%s", mln_get_text(k->cx, mln_get(entity, "id"), ""));
    ek_end(k, MLN_OK);
    kit_ok(k->cx, k->err);
    return changed;
}

static const char *policies(struct ek *k, const char *id)
{
    struct mln_request rq;
    const struct mln_value *person = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_identity_person(k->cx, rq.txn, id, &person));
    mln_json_print(&out, mln_get(person, "all_policies"), MLN_JSON_COMPACT);
    ek_end(k, MLN_OK);
    return mln_text_dup(k->cx, mln_buf_bytes(&out));
}

static void test_login(void **state)
{
    char a[40], b[40], c[40], g[40], json[400];
    (void)state;
    KIT(k);
    assert_false(login(k, 0, "alice", NULL, a));
    assert_false(login(k, 0, "alice", NULL, b));
    assert_string_equal(a, b);
    EK_WANT(k, ek_read(k, "identity/entity/name/alice", NULL), 200);
    (void)login(k, 1, "alice", NULL,
                c); /* the name is taken: another entity with a name of its own */
    assert_string_not_equal(a, c);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", c), NULL), 200);
    assert_true(mln_bytes_starts(mln_bytes_of(ek_text(k, "name")), MLN_BYTES("entity_")));
    EK_WANT(k,
            ek_write(k, "identity/group",
                     "{\"name\":\"ops\",\"type\":\"external\",\"policies\":\"pops\"}"),
            200);
    keep(k, "id", g);
    body(json, "{\"name\":\"cn=ops\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"", g,
         "\"}");
    EK_WANT(k, ek_write(k, "identity/group-alias", json), 200);
    assert_true(login(k, 0, "alice", "[\"cn=ops\",\"other\",\"\"]", a));
    assert_string_equal(policies(k, a), "[\"pops\"]");
    assert_false(login(k, 0, "alice", "[\"cn=ops\",\"other\",\"\"]", a));
    (void)login(k, 1, "alice", "[\"cn=ops\"]",
                c); /* the same name at another mount is another group */
    assert_string_equal(policies(k, c), "[]");
    assert_true(login(k, 0, "alice", "[\"other\"]", a));
    assert_string_equal(policies(k, a), "[]");
    EK_WANT(k, ek_read(k, "identity/entity/name/alice", NULL), 200);
    EK_VALUE(k, mln_get(mln_item(at(k, "aliases"), 0), "metadata"),
             "{\"from\":\"[\\\"other\\\"]\"}");
}

static void test_mount_gone(void **state)
{
    char a[40], b[40], g[40], json[400];
    (void)state;
    KIT(k);
    EK_WANT(k, ek_write(k, "identity/group", "{\"name\":\"ops\",\"type\":\"external\"}"), 200);
    keep(k, "id", g);
    EK_WANT(k, ek_read(k, "identity/group/name/ops", NULL), 200);
    assert_true(mln_is_null(at(k, "member_entity_ids"))); /* nobody is null, as with member_group_ids */
    body(json, "{\"name\":\"ops\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"", g,
         "\"}");
    EK_WANT(k, ek_write(k, "identity/group-alias", json), 200);
    (void)login(k, 0, "alice", "[\"ops\"]", a);
    (void)login(k, 1, "bob", NULL, b);
    struct mln_request rq;
    ek_begin(k, &rq);
    kit_ok(k->cx, mln_identity_mount_gone(k->cx, rq.txn, "auth_userpass_1"));
    ek_end(k, MLN_OK);
    kit_ok(k->cx, k->err);
    EK_WANT(k, ek_read(k, path("identity/entity/id/", a), NULL), 200);
    EK_VALUE(k, at(k, "aliases"), "[]");
    EK_VALUE(k, at(k, "group_ids"), "[]");
    EK_WANT(k, ek_read(k, path("identity/entity/id/", b), NULL), 200);
    assert_int_equal(mln_len(at(k, "aliases")), 1);
    EK_WANT(k, ek_list(k, "identity/group-alias/id/"), 404);
}

static void test_group_alias(void **state)
{
    char internal[40], alias[40], json[400];
    (void)state;
    KIT(k);
    EK_WANT(k, ek_write(k, "identity/group", "{\"name\":\"in\"}"), 200);
    keep(k, "id", internal);
    body(json, "{\"name\":\"x\",\"mount_accessor\":\"auth_userpass_1\",\"canonical_id\":\"",
         internal, "\"}");
    EK_REFUSED(k, ek_write(k, "identity/group-alias", json), 400,
               "alias can't be set on an internal group");
    EK_WANT(k,
            ek_write(k, "identity/group-alias",
                     "{\"name\":\"x\",\"mount_accessor\":\"auth_userpass_1\"}"),
            200);
    keep(k, "id", alias);
    EK_WANT(k, ek_read(k, path("identity/group-alias/id/", alias), NULL), 200);
    EK_VALUE(k, at(k, "name"), "\"x\"");
    EK_WANT(k, ek_write(k, path("identity/group-alias/id/", alias), "{\"name\":\"y\"}"), 200);
    EK_WANT(k,
            ek_write(k, "identity/lookup/group",
                     "{\"alias_name\":\"y\",\"alias_mount_accessor\":\"auth_userpass_1\"}"),
            200);
    EK_VALUE(k, mln_get(at(k, "alias"), "name"), "\"y\"");
    EK_WANT(k, ek_list(k, "identity/group-alias/id/"), 200);
    EK_WANT(k, ek_delete(k, path("identity/group-alias/id/", alias)), 204);
    EK_WANT(k, ek_read(k, path("identity/group-alias/id/", alias), NULL), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entity),      cmocka_unit_test(test_entity_refused),
        cmocka_unit_test(test_name_rules),  cmocka_unit_test(test_alias),
        cmocka_unit_test(test_groups),      cmocka_unit_test(test_entity_leaves),
        cmocka_unit_test(test_factors_go),  cmocka_unit_test(test_merge),
        cmocka_unit_test(test_login),       cmocka_unit_test(test_mount_gone),
        cmocka_unit_test(test_group_alias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
