/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: made and read, whose requests reach what, how they go. (mln_sys_namespaces, mln_space_resolve, mln_spaces_tick) */
#include "contract/engine.h"

extern const struct mln_engine lent, mln_engine_cubbyhole;
#define CK_MORE_ENGINES &lent, &mln_engine_cubbyhole,
#include "life_kit.h"

#define R "root"

/* ---- an engine whose leases are counted ---- */

static atomic_int out_n;
static atomic_bool is_broken;

static struct mln_err give(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx), *internal = mln_object(rq->cx);
    struct mln_lease *lease = MLN_NEW(rq->cx, struct mln_lease);
    mln_put_text(rq->cx, data, "password", "hush");
    mln_put_text(rq->cx, internal, "name", "x");
    *lease = (struct mln_lease){.ttl_s = 3600, .is_renewable = true, .internal = internal};
    re->data = data;
    re->lease = lease;
    atomic_fetch_add(&out_n, 1);
    return mln_txn_put(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("last"), MLN_BYTES("x"));
}

static struct mln_err take_back(struct mln_request *rq, const struct mln_value *internal)
{
    struct mln_bytes row = MLN_BYTES_NONE;
    assert_true(mln_len(mln_get(internal, "name")) > 0);
    if (atomic_load(&is_broken)) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "the database is away");
    }
    MLN_TRY(mln_txn_get(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("last"), &row)); /* its keyring is there too */
    atomic_fetch_sub(&out_n, 1);
    return MLN_OK;
}

static const struct mln_path lent_paths[] = {{.pattern = "give", .summary = "Lend.", .read = give}, {0}};
const struct mln_engine lent = {
    .type = "lent", .kind = MLN_MOUNT_SECRET, .summary = "Lends.", .paths = lent_paths, .revoke = take_back};

/* ---- calls ---- */

static int in(struct ck *k, const char *ns, const char *token, const char *op, const char *path, const char *json)
{
    k->ns = ns;
    int status = ck_call(k, token, op, path, json);
    k->ns = NULL;
    return status;
}

static void make(struct ck *k, const char *path)
{
    CK_WANT(k, ck_call(k, R, "write", mln_text_format(&k->cx, "sys/namespaces/%s", path), "{}"), 200);
}

static const char *keep(const char *text) /* beyond the next call */
{
    char *copy = strdup(text);
    assert_non_null(copy);
    return copy;
}

static void drop(const char **text)
{
    free((void *)(uintptr_t)*text);
}
#define KEPT MLN_AUTO(drop) const char *

/* A token of a namespace with this policy, which is written there first. */
static const char *token_in(struct ck *k, const char *ns, const char *policy, const char *rules)
{
    char path[64], body[256];
    mln_cx_clear(&k->cx);
    struct mln_value *data = mln_object(&k->cx);
    mln_put_text(&k->cx, data, "policy", rules);
    (void)snprintf(path, sizeof(path), "sys/policies/acl/%s", policy);
    CK_WANT(k, in(k, ns, R, "write", path, ck_json(k, data)), 204);
    (void)snprintf(body, sizeof(body), "{\"policies\":[\"%s\"]}", policy);
    CK_WANT(k, in(k, ns, R, "write", "auth/token/create", body), 200);
    return keep(lk_text(k, "auth", "client_token"));
}

static void mount_kv(struct ck *k, const char *ns, const char *value)
{
    char body[64];
    (void)snprintf(body, sizeof(body), "{\"v\":\"%s\"}", value);
    CK_WANT(k, in(k, ns, R, "write", "sys/mounts/kv", "{\"type\":\"kv\"}"), 204);
    CK_WANT(k, in(k, ns, R, "write", "kv/a", body), 204);
}

/* ---- made, read, changed ---- */

static void test_paths(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "list", "sys/namespaces", NULL, 404, "errors", "[]"},
        {R, "read", "sys/namespaces/a", NULL, 404, "errors", "[]"},
        {R, "delete", "sys/namespaces/a", NULL, 404, "errors", "[]"},
        {R, "list", "sys/namespaces/a/b", NULL, 404, "errors", "[]"},
        {R, "patch", "sys/namespaces/a", "{}", 404, "errors", "[]"},
        {R, "read", "sys/namespaces", NULL, 405, NULL, NULL},
        {NULL, "list", "sys/namespaces", NULL, 403, NULL, "permission denied"},
        {R, "write", "sys/namespaces/a/b", "{}", 400, NULL, "the parent namespace \"a/\" does not exist"},
        {R, "write", "sys/namespaces/a", "{\"custom_metadata\":{\"k\":\"v\"}}", 200, "data|path", "\"a/\""},
        {R, "read", "sys/namespaces/a", NULL, 200, "data|custom_metadata", "{\"k\":\"v\"}"},
        {R, "read", "sys/namespaces/a", NULL, 200, "data|locked", "false"},
        {R, "read", "sys/namespaces/a", NULL, 200, "data|tainted", "false"},
        {R, "write", "sys/namespaces/a", "{}", 200, "data|custom_metadata", "{\"k\":\"v\"}"},
        {R, "patch", "sys/namespaces/a", "{\"custom_metadata\":{\"k\":null,\"l\":\"w\"}}", 200, "data|custom_metadata", "{\"l\":\"w\"}"},
        {R, "patch", "sys/namespaces/a", "{\"custom_metadata\":{\"k\":7}}", 400, NULL, NULL},
        {R, "write", "sys/namespaces/a/b", "{}", 200, "data|path", "\"a/b/\""},
        {R, "list", "sys/namespaces", NULL, 200, "data|keys", "[\"a/\"]"},
        {R, "list", "sys/namespaces/a", NULL, 200, "data|keys", "[\"b/\"]"},
        {R, "list", "a/sys/namespaces", NULL, 200, "data|keys", "[\"b/\"]"},
        {R, "list", "sys/namespaces", "{\"recursive\":true}", 200, "data|keys", "[\"a/\",\"a/b/\"]"},
        {R, "scan", "sys/namespaces", NULL, 200, "data|keys", "[\"a/\",\"a/b/\"]"},
        {R, "scan", "sys/namespaces/a", NULL, 200, "data|keys", "[\"b/\"]"},
        {R, "list", "sys/namespaces", NULL, 200, "data|key_info|a/|custom_metadata", "{\"l\":\"w\"}"},
        {R, "delete", "sys/namespaces/a", NULL, 400, NULL, "cannot delete namespace (\"a/\") containing child namespaces"},
    };
    CK_PLAY(k, t);
}

static void test_refused_names(void **state)
{
    (void)state;
    CK(k);
    static const char *const names[] = {"root", "sys", "auth", "audit", "cubbyhole", "identity", "api-lock", ".", "..", "a b", "a*", "a+",
                                        "a//b", "//a", "a%2fb", "a\\b", "a?b", "n\xc3\xa4me", "x/../y", "a//"};
    make(k, "x");
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "sys/namespaces/%s", names[i]);
        int got = ck_call(k, R, "write", path, "{}");
        if (got != 400) {
            fail_msg("\"%s\": %d: %s", names[i], got, ck_json(k, k->answer));
        }
    }
    char deep[128] = "sys/namespaces/x", longest[600] = "sys/namespaces/";
    for (size_t i = 1; i < 16; i++) {
        (void)strncat(deep, "/x", sizeof(deep) - strlen(deep) - 1);
        CK_WANT(k, ck_call(k, R, "write", deep, "{}"), 200);
    }
    (void)strncat(deep, "/x", sizeof(deep) - strlen(deep) - 1);
    LK_REFUSED(k, ck_call(k, R, "write", deep, "{}"), 400, "namespaces lie at most 16 deep");
    memset(longest + strlen(longest), 'l', 520);
    LK_REFUSED(k, ck_call(k, R, "write", longest, "{}"), 400, "a namespace's path has at most 512 bytes");
}

/* Mounts and namespaces share names: who comes first has it. */
static void test_names_of_mounts(void **state)
{
    (void)state;
    CK(k);
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/taken/deep", "{\"type\":\"kv\"}", 204, NULL, NULL},
        {R, "write", "sys/namespaces/taken", "{}", 400, NULL, "path is already in use at taken/deep/, a mount"},
        {R, "write", "sys/namespaces/secret", "{}", 400, NULL, "path is already in use at secret/, a mount"},
        {R, "write", "sys/namespaces/n1", "{}", 200, NULL, NULL},
        {R, "write", "sys/mounts/n1", "{\"type\":\"kv\"}", 400, NULL, "path is already in use at n1/, a namespace"},
        {R, "write", "sys/mounts/n1/kv", "{\"type\":\"kv\"}", 400, NULL, NULL},
        {R, "write", "sys/remount", "{\"from\":\"secret\",\"to\":\"n1/secret\"}", 400, NULL, NULL},
        {R, "write", "sys/auth/n1", "{\"type\":\"userpass\"}", 204, NULL, NULL},
        {R, "write", "n1/sys/mounts/n1", "{\"type\":\"kv\"}", 204, NULL, NULL},
        {R, "write", "sys/namespaces/n1/n1", "{}", 400, NULL, "path is already in use at n1/, a mount"},
        {R, "write", "n1/n1/a", "{\"v\":\"1\"}", 204, NULL, NULL},
        {R, "read", "n1/n1/a", NULL, 200, "data|v", "\"1\""},
    };
    CK_PLAY(k, t);
}

/* ---- routing ---- */

static void test_routing(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    make(k, "n1/n2");
    mount_kv(k, NULL, "root");
    mount_kv(k, "n1", "one");
    mount_kv(k, "n1/n2", "two");
    static const struct {
        const char *ns, *path;
        int status;
        const char *v;
    } t[] = {
        {NULL, "kv/a", 200, "\"root\""},
        {"", "kv/a", 200, "\"root\""},
        {"/", "kv/a", 200, "\"root\""},
        {"root", "kv/a", 200, "\"root\""},
        {"root/", "n1/kv/a", 200, "\"one\""},
        {"n1", "kv/a", 200, "\"one\""},
        {"n1/", "kv/a", 200, "\"one\""},
        {"/n1/", "kv/a", 200, "\"one\""},
        {NULL, "n1/kv/a", 200, "\"one\""},
        {"n1", "n2/kv/a", 200, "\"two\""},
        {"n1/n2", "kv/a", 200, "\"two\""},
        {NULL, "n1/n2/kv/a", 200, "\"two\""},
        {"n2", "kv/a", 404, NULL},
        {"n1//n2", "kv/a", 404, NULL},
        {"n1/../n1", "kv/a", 404, NULL},
        {"n1/n2/n3", "kv/a", 404, NULL},
        {"N1", "kv/a", 404, NULL},
        {"n1%2f", "kv/a", 404, NULL},
        {"n1", "n1/kv/a", 404, NULL},
        {NULL, "n1//kv/a", 404, NULL},
        {NULL, "n1/../kv/a", 404, NULL},
        {NULL, "/n1/kv/a", 404, NULL},
        {NULL, "n1", 404, NULL},
        {"n1", "kv/../../kv/a", 404, NULL},
        {"n1/n2", "/kv/a", 404, NULL},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int got = in(k, t[i].ns, R, "read", t[i].path, NULL);
        if (got != t[i].status || (t[i].v != NULL && strcmp(ck_at(k, "data|v"), t[i].v) != 0)) {
            fail_msg("%s + %s: %d: %s", t[i].ns == NULL ? "-" : t[i].ns, t[i].path, got, ck_json(k, k->answer));
        }
    }
    LK_REFUSED(k, in(k, "nosuch", R, "read", "sys/mounts", NULL), 404, "namespace not found");
}

/* What is the server's is not a namespace's, with whatever token. */
static void test_server_paths(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    static const char *const paths[] = {"sys/seal",          "sys/audit/x",         "sys/storage/raft/snapshot", "sys/rotate",
                                        "sys/rekey/init",    "sys/generate-root/attempt", "sys/ledger/records",  "sys/metrics",
                                        "sys/config/cors",   "sys/quotas/rate-limit/x",   "sys/health",          "sys/init",
                                        "sys/unseal",        "sys/key-status",      "sys/host-info",             "sys/step-down",
                                        "sys/authx",         "sys/policiesx/acl/a", "sys/status"};
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        LK_REFUSED(k, in(k, "n1", R, "write", paths[i], "{}"), 400, "operation unavailable in namespaces");
        char path[64];
        (void)snprintf(path, sizeof(path), "n1/%s", paths[i]);
        LK_REFUSED(k, ck_call(k, R, "write", path, "{}"), 400, "operation unavailable in namespaces");
    }
    CK_WANT(k, in(k, "n1", NULL, "read", "sys/seal-status", NULL), 200);
    CK_WANT(k, ck_call(k, NULL, "read", "n1/sys/seal-status", NULL), 200);
}

/* ---- who reaches what ---- */

static const char all[] = "path \"*\" { capabilities = [\"create\",\"read\",\"update\",\"delete\",\"list\",\"sudo\"] }";

static void test_reach(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    make(k, "n1/n2");
    make(k, "n3");
    make(k, "n11");
    mount_kv(k, NULL, "root");
    mount_kv(k, "n1", "one");
    mount_kv(k, "n1/n2", "two");
    mount_kv(k, "n3", "three");
    mount_kv(k, "n11", "eleven");
    KEPT one = token_in(k, "n1", "p", all);
    KEPT two = token_in(k, "n1/n2", "p", all);
    KEPT narrow = token_in(k, "n1", "q", "path \"n2/kv/*\" { capabilities = [\"read\"] }");
    KEPT above = token_in(k, NULL, "r",
                          "path \"n1/kv/a\" { capabilities = [\"read\"] }\n"
                          "path \"+/n2/kv/a\" { capabilities = [\"read\"] }");
    assert_non_null(strrchr(one, '.'));
    assert_int_equal(strlen(strrchr(one, '.')), 7);
    const struct {
        const char *token, *ns, *path;
        int status;
    } t[] = {
        {one, "n1", "kv/a", 200},      {one, NULL, "n1/kv/a", 200}, {one, "n1/n2", "kv/a", 200}, {one, NULL, "kv/a", 403},
        {one, "n3", "kv/a", 403},      {one, "n11", "kv/a", 403},   {one, NULL, "n3/kv/a", 403}, {one, NULL, "sys/mounts", 403},
        {one, "n1", "sys/mounts", 200}, {one, "n3", "sys/mounts", 403}, {one, NULL, "sys/namespaces/n3", 403},
        {two, "n1/n2", "kv/a", 200},   {two, "n1", "kv/a", 403},    {two, NULL, "kv/a", 403},    {two, "n1", "n2/kv/a", 200},
        {two, "n1", "sys/namespaces/n2", 403}, {narrow, "n1/n2", "kv/a", 200}, {narrow, "n1", "kv/a", 403},
        {narrow, "n1/n2", "sys/mounts", 403},  {above, "n1", "kv/a", 200},     {above, "n1/n2", "kv/a", 200},
        {above, "n3", "kv/a", 403},    {above, NULL, "kv/a", 403},
        {one, "n1", "auth/token/lookup-self", 200}, {one, NULL, "auth/token/lookup-self", 403},
        {above, "n1", "auth/token/lookup-self", 403},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        int got = in(k, t[i].ns, t[i].token, "read", t[i].path, NULL);
        if (got != t[i].status) {
            fail_msg("%zu: %s + %s: %d: %s", i, t[i].ns == NULL ? "-" : t[i].ns, t[i].path, got, ck_json(k, k->answer));
        }
    }
    CK_WANT(k, in(k, "n1", one, "read", "auth/token/lookup-self", NULL), 200);
    assert_string_equal(ck_at(k, "data|namespace_path"), "\"n1/\"");
}

/* Suffixes of tokens, accessors and leases are no way across. */
static void test_ids(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    make(k, "n2");
    KEPT one = token_in(k, "n1", "p", all);
    KEPT two = token_in(k, "n2", "p", all);
    KEPT other = keep(one);
    char body[128], forged[64];
    memcpy(strrchr((char *)(uintptr_t)other, '.'), strrchr(two, '.'), 7);
    CK_WANT(k, in(k, "n2", other, "read", "sys/mounts", NULL), 403);
    (void)snprintf(forged, sizeof(forged), "%.*s", (int)(strlen(one) - 7), one);
    CK_WANT(k, ck_call(k, forged, "read", "sys/mounts", NULL), 403);
    (void)snprintf(body, sizeof(body), "{\"token\":\"%s\"}", two);
    LK_REFUSED(k, in(k, "n1", one, "write", "auth/token/lookup", body), 403, "bad token");
    CK_WANT(k, in(k, "n1", one, "write", "auth/token/revoke", body), 204);
    CK_WANT(k, in(k, "n2", two, "read", "auth/token/lookup-self", NULL), 200); /* as if there were none */
    LK_REFUSED(k, in(k, "n1", one, "write", "sys/capabilities",
               mln_text_format(&k->cx, "{\"token\":\"%s\",\"paths\":[\"a\"]}", two)), 400,
               "invalid token");
    CK_WANT(k, ck_call(k, R, "write", "auth/token/lookup", body), 200); /* from above it is seen */
    KEPT accessor = keep(lk_text(k, "data", "accessor"));
    (void)snprintf(body, sizeof(body), "{\"accessor\":\"%s\"}", accessor);
    LK_REFUSED(k, in(k, "n1", one, "write", "auth/token/lookup-accessor", body), 400, "invalid accessor");
    CK_WANT(k, in(k, "n1", one, "list", "auth/token/accessors", NULL), 200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "data"), "keys")), 1);
    CK_WANT(k, ck_call(k, R, "list", "auth/token/accessors", NULL), 200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "data"), "keys")), 1); /* root itself */
    (void)snprintf(body, sizeof(body), "{\"id\":\"mine%s\"}", strrchr(two, '.'));
    LK_REFUSED(k, ck_call(k, R, "write", "auth/token/create", body), 400, "a token id does not end in the id of a namespace");
    CK_WANT(k, in(k, "n2", R, "write", "auth/token/create", "{\"id\":\"mine\",\"policies\":[\"p\"]}"), 200);
    KEPT named = keep(lk_text(k, "auth", "client_token"));
    assert_memory_equal(named, "mine.", 5);
    CK_WANT(k, in(k, "n2", named, "read", "sys/mounts", NULL), 200);
    CK_WANT(k, in(k, "n2", "mine", "read", "sys/mounts", NULL), 403);
}

static void test_kinds_of_tokens(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    mount_kv(k, "n1", "one");
    KEPT one = token_in(k, "n1", "p", all);
    CK_WANT(k, in(k, "n1", R, "write", "auth/token/create", "{\"type\":\"batch\",\"policies\":[\"p\"]}"), 200);
    KEPT batch = keep(lk_text(k, "auth", "client_token"));
    CK_WANT(k, in(k, "n1", batch, "read", "kv/a", NULL), 200);
    CK_WANT(k, ck_call(k, batch, "read", "sys/mounts", NULL), 403);
    KEPT bare = keep(batch);
    *strrchr((char *)(uintptr_t)bare, '.') = 0;
    CK_WANT(k, in(k, "n1", bare, "read", "kv/a", NULL), 403);
    LK_REFUSED(k, in(k, "n1", one, "write", "auth/token/create", "{\"policies\":[\"root\"]}"), 400,
               "root tokens may not be created without parent token being root");
    CK_WANT(k, in(k, "n1", R, "write", "auth/token/create", "{\"policies\":[\"root\"]}"), 200); /* root of n1 and what is below */
    KEPT root = keep(lk_text(k, "auth", "client_token"));
    CK_WANT(k, in(k, "n1", root, "read", "kv/a", NULL), 200);
    CK_WANT(k, in(k, "n1", root, "write", "sys/namespaces/sub", "{}"), 200);
    CK_WANT(k, in(k, "n1/sub", root, "read", "sys/mounts", NULL), 200);
    CK_WANT(k, ck_call(k, root, "read", "sys/mounts", NULL), 403);
    CK_WANT(k, in(k, "n1", root, "write", "sys/seal", "{}"), 400);
    CK_WANT(k, ck_call(k, root, "write", "sys/seal", "{}"), 403);
    /* a parent's child dies with the parent, over the border */
    CK_WANT(k, ck_call(k, R, "write", "auth/token/create", "{\"policies\":[\"over\"],\"no_parent\":true}"), 200);
    lk_policy(k, "over", "path \"n1/auth/token/create\" { capabilities = [\"update\",\"sudo\"] }");
    KEPT parent = lk_token(k, "{\"policies\":[\"over\"]}");
    parent = keep(parent);
    CK_WANT(k, in(k, "n1", parent, "write", "auth/token/create", "{\"policies\":[\"p\"]}"), 200);
    KEPT child = keep(lk_text(k, "auth", "client_token"));
    CK_WANT(k, in(k, "n1", child, "read", "kv/a", NULL), 200);
    CK_WANT(k, ck_call(k, parent, "write", "auth/token/revoke-self", "{}"), 204);
    CK_WANT(k, in(k, "n1", child, "read", "kv/a", NULL), 403);
    lk_tick(k);
    CK_WANT(k, in(k, "n1", one, "read", "kv/a", NULL), 200);
}

/* Policies, identity, cubbyholes, wrapping, passwords' rules: each namespace has its own. */
static void test_own_rooms(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    make(k, "n2");
    KEPT one = token_in(k, "n1", "p", all);
    KEPT two = token_in(k, "n2", "p", "path \"sys/mounts\" { capabilities = [\"read\"] }");
    CK_WANT(k, in(k, "n1", one, "list", "sys/policies/acl", NULL), 200);
    assert_string_equal(ck_at(k, "data|keys"), "[\"default\",\"p\",\"root\"]");
    CK_WANT(k, in(k, "n2", two, "read", "sys/auth", NULL), 403); /* same name, another text */
    CK_WANT(k, ck_call(k, R, "read", "sys/policies/acl/p", NULL), 404);
    CK_WANT(k, in(k, "n1", one, "write", "identity/entity", "{\"name\":\"alice\"}"), 200);
    KEPT id = keep(lk_text(k, "data", "id"));
    CK_WANT(k, in(k, "n1", one, "read", "identity/entity/name/alice", NULL), 200);
    KEPT shown = keep(lk_text(k, "data", "namespace_id"));
    CK_WANT(k, ck_call(k, R, "read", "sys/namespaces/n1", NULL), 200);
    assert_string_equal(shown, lk_text(k, "data", "id"));
    CK_WANT(k, in(k, "n1", one, "write", "identity/group", "{\"name\":\"staff\"}"), 200);
    CK_WANT(k, in(k, "n1", one, "read", "identity/group/name/staff", NULL), 200);
    assert_string_equal(shown, lk_text(k, "data", "namespace_id"));
    CK_WANT(k, ck_call(k, R, "write", "identity/entity", "{\"name\":\"bob\"}"), 200);
    CK_WANT(k, ck_call(k, R, "read", "identity/entity/name/bob", NULL), 200);
    assert_string_equal(lk_text(k, "data", "namespace_id"), "root");
    CK_WANT(k, ck_call(k, R, "read", "identity/entity/name/alice", NULL), 404);
    CK_WANT(k, in(k, "n2", R, "read", mln_text_format(&k->cx, "identity/entity/id/%s", id), NULL), 404);
    CK_WANT(k, in(k, "n1", one, "write", "cubbyhole/mine", "{\"v\":\"1\"}"), 204);
    CK_WANT(k, in(k, "n1", one, "read", "cubbyhole/mine", NULL), 200);
    LK_REFUSED(k, in(k, "n1", R, "write", "cubbyhole/mine", "{\"v\":\"1\"}"), 400,
               "a cubbyhole is in the namespace of its token: use \"root\"");
    /* a login's */
    CK_WANT(k, in(k, "n1", one, "write", "sys/auth/userpass", "{\"type\":\"userpass\"}"), 204);
    CK_WANT(k, in(k, "n1", one, "write", "auth/userpass/users/bob", "{\"password\":\"Passw0rd-of-bob\",\"policies\":[\"p\"]}"), 204);
    CK_WANT(k, ck_call(k, NULL, "write", "n1/auth/userpass/login/bob", "{\"password\":\"Passw0rd-of-bob\"}"), 200);
    KEPT bob = keep(lk_text(k, "auth", "client_token"));
    CK_WANT(k, ck_call(k, NULL, "write", "auth/userpass/login/bob", "{\"password\":\"Passw0rd-of-bob\"}"), 403);
    CK_WANT(k, in(k, "n1", bob, "read", "sys/mounts", NULL), 200);
    CK_WANT(k, in(k, "n1", bob, "write", "auth/token/renew-self", "{}"), 200);
    CK_WANT(k, ck_call(k, bob, "read", "sys/mounts", NULL), 403);
    CK_WANT(k, in(k, "n1", one, "delete", "sys/auth/userpass", NULL), 204);
    CK_WANT(k, in(k, "n1", bob, "read", "sys/mounts", NULL), 403);
    /* wrapped there, unwrapped there or above */
    k->wrap = "60s";
    CK_WANT(k, in(k, "n1", one, "write", "sys/wrapping/wrap", "{\"a\":\"b\"}"), 200);
    k->wrap = NULL;
    KEPT wrapping = keep(lk_text(k, "wrap_info", "token"));
    char body[128];
    (void)snprintf(body, sizeof(body), "{\"token\":\"%s\"}", wrapping);
    LK_REFUSED(k, in(k, "n2", two, "write", "sys/wrapping/lookup", body), 400, "wrapping token is not valid or does not exist");
    CK_WANT(k, in(k, "n1", wrapping, "write", "sys/wrapping/unwrap", "{}"), 200);
    assert_string_equal(ck_at(k, "data|a"), "\"b\"");
    CK_WANT(k, in(k, "n1", wrapping, "write", "sys/wrapping/unwrap", "{}"), 400);
}

static void test_listings(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    static const struct ck_step t[] = {
        {R, "read", "n1/sys/mounts", NULL, 200, "data|sys/|type", "\"ns_system\""},
        {R, "read", "n1/sys/mounts", NULL, 200, "data|identity/|type", "\"ns_identity\""},
        {R, "read", "n1/sys/auth", NULL, 200, "data|token/|type", "\"ns_token\""},
        {R, "read", "sys/mounts", NULL, 200, "data|sys/|type", "\"system\""},
        {R, "write", "n1/sys/mounts/kv", "{\"type\":\"kv\"}", 204, NULL, NULL},
        {R, "read", "n1/sys/internal/ui/mounts/kv", NULL, 200, "data|path", "\"kv/\""},
        {R, "read", "n1/sys/internal/ui/mounts", NULL, 200, "data|secret|kv/|type", "\"kv\""},
        {R, "write", "n1/sys/policies/password/pin",
         "{\"policy\":\"length=8\\nrule \\\"charset\\\" { charset = \\\"0123456789\\\" }\"}", 204,
         NULL, NULL},
        {R, "list", "sys/policies/password", NULL, 404, NULL, NULL},
        {R, "list", "n1/sys/policies/password", NULL, 200, "data|keys", "[\"pin\"]"},
        {R, "write", "n1/auth/token/roles/ci", "{}", 204, NULL, NULL},
        {R, "list", "auth/token/roles", NULL, 404, NULL, NULL},
        {R, "list", "n1/auth/token/roles", NULL, 200, "data|keys", "[\"ci\"]"},
        {R, "write", "n1/sys/remount", "{\"from\":\"kv\",\"to\":\"kv2\"}", 200, NULL, NULL},
        {R, "write", "n1/kv2/a", "{\"v\":\"1\"}", 204, NULL, NULL},
        {R, "delete", "n1/sys/mounts/kv2", NULL, 204, NULL, NULL},
        {R, "read", "n1/kv2/a", NULL, 404, NULL, NULL},
    };
    CK_PLAY(k, t);
    lk_tick(k);
    KEPT one = token_in(k, NULL, "cap", "path \"n1/kv/*\" { capabilities = [\"read\"] }");
    CK_WANT(k, in(k, "n1", R, "write", "sys/capabilities", mln_text_format(&k->cx, "{\"token\":\"%s\",\"paths\":[\"kv/a\"]}", one)), 400);
    CK_WANT(k, ck_call(k, R, "write", "sys/capabilities",
               mln_text_format(&k->cx, "{\"token\":\"%s\",\"paths\":[\"n1/kv/a\"]}", one)), 200);
    assert_string_equal(ck_at(k, "data|capabilities"), "[\"read\"]");
}

/* ---- leases ---- */

static void test_leases(void **state)
{
    (void)state;
    CK(k);
    atomic_store(&out_n, 0);
    make(k, "n1");
    make(k, "n2");
    CK_WANT(k, in(k, NULL, R, "write", "sys/mounts/lent", "{\"type\":\"lent\"}"), 204);
    CK_WANT(k, in(k, "n1", R, "write", "sys/mounts/lent", "{\"type\":\"lent\"}"), 204);
    KEPT one = token_in(k, "n1", "p", all);
    KEPT two = token_in(k, "n2", "p", all);
    CK_WANT(k, in(k, "n1", one, "read", "lent/give", NULL), 200);
    KEPT lease = keep(mln_get_text(&k->cx, mln_get(k->answer, "lease_id"), ""));
    CK_WANT(k, in(k, "n1", R, "read", "lent/give", NULL), 200); /* root's, in n1 */
    CK_WANT(k, ck_call(k, R, "read", "lent/give", NULL), 200);
    assert_int_equal(atomic_load(&out_n), 3);
    char body[160];
    (void)snprintf(body, sizeof(body), "{\"lease_id\":\"%s\"}", lease);
    CK_WANT(k, in(k, "n1", one, "write", "sys/leases/lookup", body), 200);
    CK_WANT(k, in(k, "n1", one, "write", "sys/leases/renew", body), 200);
    CK_WANT(k, ck_call(k, R, "write", "sys/leases/lookup", body), 200);
    LK_REFUSED(k, in(k, "n2", two, "write", "sys/leases/lookup", body), 400, "invalid lease");
    CK_WANT(k, in(k, "n2", two, "write", "sys/leases/revoke", body), 204);
    assert_int_equal(atomic_load(&out_n), 3);
    CK_WANT(k, in(k, "n1", one, "list", "sys/leases/lookup/lent/give/", NULL), 200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "data"), "keys")), 2);
    CK_WANT(k, ck_call(k, R, "list", "sys/leases/lookup/lent/give/", NULL), 200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "data"), "keys")), 1);
    CK_WANT(k, ck_call(k, R, "write", "sys/leases/revoke-prefix/lent", "{}"), 204);
    assert_int_equal(atomic_load(&out_n), 2); /* root's own alone */
    CK_WANT(k, in(k, "n1", one, "write", "auth/token/revoke-self", "{}"), 204);
    lk_tick(k);
    lk_tick(k);
    assert_int_equal(atomic_load(&out_n), 1);
    lk_turn(7200);
    lk_tick(k);
    lk_turn(0);
    assert_int_equal(atomic_load(&out_n), 0);
}

#define QUOTA "sys/quotas/lease-count/"

static void want_count(struct ck *k, const char *name, int64_t want)
{
    char path[64];
    (void)snprintf(path, sizeof(path), QUOTA "%s", name);
    CK_WANT(k, ck_call(k, R, "read", path, NULL), 200);
    assert_int_equal(lk_int(k, "data", "counter"), want);
}

/* Lease counts reach into namespaces, exactly, also when they are counted anew and when the namespace goes. */
static void test_lease_counts(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    make(k, "n1/n2");
    static const struct ck_step t[] = {
        {R, "write", "sys/mounts/lent", "{\"type\":\"lent\"}", 204, NULL, NULL},
        {R, "write", "n1/sys/mounts/lent", "{\"type\":\"lent\"}", 204, NULL, NULL},
        {R, "write", "n1/n2/sys/mounts/lent", "{\"type\":\"lent\"}", 204, NULL, NULL},
        {R, "read", "n1/lent/give", NULL, 200, NULL, NULL}, /* counted when the rule comes */
        {R, "write", QUOTA "all", "{\"max_leases\":3}", 204, NULL, NULL},
        {R, "write", QUOTA "mount", "{\"max_leases\":2,\"path\":\"n1/lent/\"}", 204, NULL, NULL},
        {R, "read", "n1/lent/give", NULL, 200, NULL, NULL},
        {R, "read", "n1/lent/give", NULL, 429, NULL, NULL},
        {R, "write", "n1/auth/token/create", "{\"ttl\":\"1h\"}", 200, NULL, NULL},
        {R, "read", "lent/give", NULL, 200, NULL, NULL},
        {R, "read", "n1/n2/lent/give", NULL, 200, NULL, NULL},
        {R, "read", "lent/give", NULL, 429, NULL, NULL},
        {R, "read", "n1/n2/lent/give", NULL, 429, NULL, NULL},
        {R, "write", "n1/auth/token/create", "{\"ttl\":\"1h\"}", 429, NULL, NULL},
        {R, "write", QUOTA "own", "{\"max_leases\":9,\"path\":\"n1/\"}", 204, NULL, NULL}, /* not what n1/n2/ has */
        {R, "write", "n1/sys/quotas/lease-count/x", "{\"max_leases\":9}", 400, NULL, NULL},
    };
    CK_PLAY(k, t);
    want_count(k, "own", 1);
    want_count(k, "all", 2);
    want_count(k, "mount", 2);
    CK_WANT(k, ck_call(k, R, "write", QUOTA "own", "{\"max_leases\":9,\"path\":\"n1/\",\"inheritable\":true}"), 204);
    want_count(k, "own", 2);
    want_count(k, "all", 1);
    mln_core_close(k->core);
    mln_cx_clear(&k->cx);
    ck_open(k);
    want_count(k, "own", 2);
    want_count(k, "mount", 2);
    CK_WANT(k, in(k, "n1", R, "write", "sys/leases/revoke-prefix/lent", "{}"), 204);
    want_count(k, "mount", 0);
    CK_WANT(k, ck_call(k, R, "delete", "sys/namespaces/n1/n2", NULL), 200);
    for (int i = 0; i < 8; i++) {
        lk_tick(k);
    }
    want_count(k, "own", 1); /* the token */
    want_count(k, "all", 1);
    lk_turn(7200);
    lk_tick(k);
    lk_turn(0);
    want_count(k, "own", 0);
    want_count(k, "all", 0);
}

/* ---- locks ---- */

static void test_locks(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    make(k, "n1/n2");
    KEPT one = token_in(k, "n1", "p", all);
    LK_REFUSED(k, ck_call(k, R, "write", "sys/namespaces/api-lock/lock", "{}"), 400, "the root namespace cannot be locked");
    LK_REFUSED(k, ck_call(k, R, "write", "sys/namespaces/api-lock/lock/no", "{}"), 400, "requested namespace does not exist");
    CK_WANT(k, in(k, "n1", one, "write", "sys/namespaces/api-lock/lock", "{}"), 200);
    KEPT key = keep(lk_text(k, "data", "unlock_key"));
    assert_int_equal(strlen(key), 43);
    LK_REFUSED(k, in(k, "n1", one, "read", "sys/mounts", NULL), 503,
               "API access to this namespace has been locked by an administrator - \"n1/\" must be unlocked to gain access.");
    CK_WANT(k, in(k, "n1/n2", R, "read", "sys/mounts", NULL), 503);
    CK_WANT(k, ck_call(k, R, "read", "sys/namespaces/n1", NULL), 200);
    assert_string_equal(ck_at(k, "data|locked"), "true");
    LK_REFUSED(k, in(k, "n1", one, "write", "sys/namespaces/api-lock/unlock", "{\"unlock_key\":\"x\"}"), 400, "incorrect unlock key");
    LK_REFUSED(k, in(k, "n1", one, "write", "sys/namespaces/api-lock/unlock", "{}"), 400, "incorrect unlock key");
    LK_REFUSED(k, in(k, "n1", R, "write", "sys/namespaces/api-lock/unlock", "{\"unlock_key\":\"x\"}"), 400, "incorrect unlock key");
    CK_WANT(k, in(k, "n1", one, "write", "sys/namespaces/api-lock/unlock", mln_text_format(&k->cx, "{\"unlock_key\":\"%s\"}", key)), 204);
    CK_WANT(k, in(k, "n1", one, "read", "sys/mounts", NULL), 200);
    LK_REFUSED(k, in(k, "n1", one, "write", "sys/namespaces/api-lock/unlock", "{}"), 400, "namespace \"n1/\" is not locked");
    CK_WANT(k, ck_call(k, R, "write", "sys/namespaces/api-lock/lock/n1", "{}"), 200);
    LK_REFUSED(k, ck_call(k, R, "write", "sys/namespaces/api-lock/lock/n1", "{}"), 400,
               "cannot lock namespace \"n1/\": it is locked already");
    CK_WANT(k, ck_call(k, R, "write", "sys/namespaces/api-lock/unlock/n1", "{}"), 204); /* root needs no key */
    CK_WANT(k, in(k, "n1", one, "read", "sys/mounts", NULL), 200);
}

/* ---- the end ---- */

/* Closed and opened again: what a kill between two ticks leaves. */
static void again(struct ck *k)
{
    mln_core_close(k->core);
    mln_cx_clear(&k->cx);
    ck_open(k);
}

static void fill(struct ck *k)
{
    atomic_store(&out_n, 0);
    atomic_store(&is_broken, false);
    make(k, "n1");
    mount_kv(k, "n1", "one");
    CK_WANT(k, in(k, "n1", R, "write", "sys/mounts/lent", "{\"type\":\"lent\"}"), 204);
    for (int i = 0; i < 5; i++) {
        CK_WANT(k, in(k, "n1", R, "read", "lent/give", NULL), 200);
    }
    CK_WANT(k, in(k, "n1", R, "write", "identity/entity", "{\"name\":\"alice\"}"), 200);
}

static bool is_gone(struct ck *k, const char *path)
{
    return ck_call(k, R, "read", path, NULL) == 404;
}

static void test_delete(void **state)
{
    (void)state;
    for (unsigned kill_after = 0; kill_after < 6; kill_after++) {
        CK(k);
        fill(k);
        KEPT one = token_in(k, "n1", "p", all);
        CK_WANT(k, in(k, "n1", one, "read", "lent/give", NULL), 200);
        CK_WANT(k, ck_call(k, R, "delete", "sys/namespaces/n1", NULL), 200);
        assert_string_equal(ck_at(k, "data|status"), "\"in-progress\"");
        CK_WANT(k, in(k, "n1", one, "read", "kv/a", NULL), 404); /* at once */
        CK_WANT(k, ck_call(k, R, "read", "sys/namespaces/n1", NULL), 200);
        assert_string_equal(ck_at(k, "data|tainted"), "true");
        LK_REFUSED(k, ck_call(k, R, "write", "sys/namespaces/n1", "{}"), 400, "namespace \"n1/\" is being deleted");
        unsigned ticks = 0;
        for (; ticks < 20 && !is_gone(k, "sys/namespaces/n1"); ticks++) {
            lk_tick(k);
            if (ticks == kill_after) {
                again(k);
            }
        }
        assert_true(ticks < 20);
        assert_int_equal(atomic_load(&out_n), 0);
        make(k, "n1"); /* the same name, nothing of what was */
        CK_WANT(k, in(k, "n1", R, "read", "kv/a", NULL), 404);
        CK_WANT(k, in(k, "n1", one, "read", "sys/mounts", NULL), 403);
        CK_WANT(k, in(k, "n1", R, "read", "identity/entity/name/alice", NULL), 404);
        mount_kv(k, "n1", "new");
    }
}

/* Leases that no engine takes back hold the namespace until they are given up, not for ever. */
static void test_delete_with_bad_leases(void **state)
{
    (void)state;
    CK(k);
    fill(k);
    atomic_store(&is_broken, true);
    CK_WANT(k, ck_call(k, R, "delete", "sys/namespaces/n1", NULL), 200);
    for (int i = 0; i < 4; i++) {
        lk_tick(k);
    }
    CK_WANT(k, ck_call(k, R, "read", "sys/namespaces/n1", NULL), 200);
    for (int i = 1; i < 60 && !is_gone(k, "sys/namespaces/n1"); i++) {
        lk_turn((int64_t)i * 3600);
        lk_tick(k);
    }
    bool is_over = is_gone(k, "sys/namespaces/n1");
    lk_turn(0);
    assert_true(is_over);
    assert_int_equal(atomic_load(&out_n), 5);
}

/* All is there again after a restart, and rotating and restoring know the keyrings. */
static void test_restart(void **state)
{
    (void)state;
    CK(k);
    make(k, "n1");
    mount_kv(k, "n1", "one");
    KEPT one = token_in(k, "n1", "p", all);
    CK_WANT(k, ck_call(k, R, "write", "sys/rotate", "{}"), 204);
    again(k);
    CK_WANT(k, in(k, "n1", one, "read", "kv/a", NULL), 200);
    assert_string_equal(ck_at(k, "data|v"), "\"one\"");
}

static void test_many(void **state)
{
    (void)state;
    CK(k);
    for (int i = 0; i < 200; i++) {
        char path[32];
        (void)snprintf(path, sizeof(path), "team-%d", i);
        make(k, path);
        mln_arena_reset(k->arena);
        mln_cx_init(&k->cx, k->arena);
    }
    for (int i = 0; i < 200; i++) { /* more than there are tables in memory */
        char path[48];
        (void)snprintf(path, sizeof(path), "team-%d/sys/mounts", i);
        CK_WANT(k, ck_call(k, R, "read", path, NULL), 200);
        mln_arena_reset(k->arena);
        mln_cx_init(&k->cx, k->arena);
    }
    for (int i = 0; i < 8; i++) {
        lk_tick(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),       cmocka_unit_test(test_refused_names),   cmocka_unit_test(test_names_of_mounts),
        cmocka_unit_test(test_routing),     cmocka_unit_test(test_server_paths),    cmocka_unit_test(test_reach),
        cmocka_unit_test(test_ids),         cmocka_unit_test(test_kinds_of_tokens), cmocka_unit_test(test_own_rooms),
        cmocka_unit_test(test_listings),    cmocka_unit_test(test_leases),          cmocka_unit_test(test_locks),
        cmocka_unit_test(test_lease_counts),
        cmocka_unit_test(test_delete),      cmocka_unit_test(test_delete_with_bad_leases), cmocka_unit_test(test_restart),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
