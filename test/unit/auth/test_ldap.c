/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LDAP through its descriptor, the directory played by this test: hostile names in filters and names, who binds and searches as whom,
 * policies of users and groups, what is refused. A real directory is in test/e2e/ldap.py.
 */
#include <stdio.h>
#include <string.h>

#include "auth/ldap_priv.h"
#include "crypto/x509.h"
#include "kit/engine_kit.h"

extern const struct mln_engine mln_method_ldap;

/* ---- texts ---- */

static void test_escapes(void **state)
{
    static const struct {
        const char *raw;
        size_t n;
        const char *filter, *dn;
    } t[] = {
        {"alice", 5, "alice", "alice"},
        {"*", 1, "\\2a", "\\2a"},
        {"a)(uid=*", 8, "a\\29\\28uid=\\2a", "a\\29\\28uid\\3d\\2a"},
        {"a\\2a", 4, "a\\5c2a", "a\\5c2a"},
        {"a\0b", 3, "a\\00b", "a\\00b"},
        {"x,ou=y+z", 8, "x,ou=y+z", "x\\2cou\\3dy\\2bz"},
        {" #a\"<>;", 7, " \\23a\\22\\3c\\3e\\3b", "\\20\\23a\\22\\3c\\3e\\3b"},
        {"j\303\266rg", 5, "j\\c3\\b6rg", "j\\c3\\b6rg"},
        {"&|!", 3, "\\26\\7c\\21", "\\26\\7c\\21"},
        {"a\nb", 3, "a\\0ab", "a\\0ab"},
        {"", 0, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf filter = {0};
        MLN_AUTO(mln_buf_drop) struct mln_buf dn = {0};
        ldap_filter_print(&filter, mln_bytes_at(t[i].raw, t[i].n));
        ldap_dn_print(&dn, mln_bytes_at(t[i].raw, t[i].n));
        kit_text(mln_buf_bytes(&filter), t[i].filter);
        kit_text(mln_buf_bytes(&dn), t[i].dn);
    }
}

static void test_templates(void **state)
{
    static const struct {
        const char *template, *want; /* NULL: refused */
    } t[] = {
        {"(uid={{.Username}})", "(uid=a\\2a)"},
        {"(|(m={{ .UserDN }})({{.UserAttr}}={{.Username}}))", "(|(m=cn=\\28x\\29)(uid=a\\2a))"},
        {"(objectClass=*)", "(objectClass=*)"},
        {"", ""},
        {"{{", NULL},
        {"{{.Other}}", NULL},
        {"{{printf .Username}}", NULL},
        {"{{.Username", NULL},
    };
    struct mln_cx *cx = kit_cx(state);
    struct ldap_names names = {MLN_BYTES("a*"), MLN_BYTES("cn=(x)"), MLN_BYTES("uid")};
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        const char *got = NULL;
        kit_expect(cx, t[i].template, ldap_template_fill(cx, mln_bytes_of(t[i].template), &names, &got),
                   t[i].want == NULL ? MLN_E_INVALID : MLN_E_OK);
        if (t[i].want != NULL) {
            assert_string_equal(got, t[i].want);
        }
    }
}

static void test_common_names(void **state)
{
    static const struct {
        const char *text, *want;
    } t[] = {
        {"CN=admins,OU=x", "admins"}, {"cn=a\\2cb,ou=x", "a,b"}, {"cn=a\\,b,ou=x", "a,b"}, {"cn=a+uid=1,ou=x", "a"},
        {"admins", "admins"},         {"ou=x", "ou=x"},          {"cn=", "cn="},          {"cn=a\\", "a\\"},
        {"cn=,ou=x", "cn=,ou=x"},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        kit_text(ldap_common_name(cx, mln_bytes_of(t[i].text)), t[i].want);
    }
    assert_true(ldap_attribute_is_sane(MLN_BYTES("sAMAccountName")));
    assert_false(ldap_attribute_is_sane(MLN_BYTES("uid=x)(")));
    assert_false(ldap_attribute_is_sane(MLN_BYTES("")));
}

/* ---- the directory ---- */

static struct {
    char log[2048];  /* what was asked, one line each */
    size_t log_n;
    const char *people, *groups; /* entries that searches find, as JSON */
    const char *password;        /* that binds take */
    bool first_is_down;
    uint8_t key[2048]; /* the last that was sent along */
    size_t key_n;
    bool is_tls_seen; /* the settings of TLS and aliases were sent along */
} directory;

static void note(struct mln_cx *cx, const struct mln_value *ask)
{
    bool is_search = mln_is_text(mln_get(ask, "op"), "search");
    int n = snprintf(directory.log + directory.log_n, sizeof(directory.log) - directory.log_n, "%s as <%s>%s%s%s%s\n",
                     mln_get_text(cx, mln_get(ask, "op"), ""), mln_get_text(cx, mln_get(ask, "bind_dn"), ""),
                     is_search ? " in " : "", is_search ? mln_get_text(cx, mln_get(ask, "base"), "") : "", is_search ? " for " : "",
                     is_search ? mln_get_text(cx, mln_get(ask, "filter"), "") : "");
    directory.log_n += n > 0 ? (size_t)n : 0;
    assert_true(directory.log_n < sizeof(directory.log));
}

static struct mln_err fake_reach(struct mln_request *rq, const struct mln_value *ask, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *answer = mln_object(cx);
    const struct mln_value *entries = NULL;
    if (directory.first_is_down && mln_is_text(mln_get(ask, "url"), "ldap://first")) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "reach: down");
    }
    note(cx, ask);
    struct mln_bytes key = mln_get_bytes(mln_get(ask, "key_der"));
    assert_true(key.len <= sizeof(directory.key) && (key.len > 0) == (mln_len(mln_get(ask, "cert_der")) > 0));
    mln_copy(directory.key, key.ptr, key.len);
    directory.key_n = key.len;
    directory.is_tls_seen = mln_is_text(mln_get(ask, "tls_min_version"), "tls13") && mln_is_text(mln_get(ask, "dereference"), "always");
    bool is_anonymous = mln_get(ask, "bind_dn") == NULL;
    bool is_let_in = is_anonymous || mln_is_text(mln_get(ask, "password"), directory.password) ||
                     mln_is_text(mln_get(ask, "password"), "searcher's");
    if (is_let_in && mln_is_text(mln_get(ask, "op"), "search")) {
        bool is_group = mln_is_text(mln_get(ask, "base"), "ou=g");
        kit_ok(cx, mln_json_parse(cx, mln_bytes_of(is_group ? directory.groups : directory.people), &entries));
        mln_put(cx, answer, "entries", entries);
    }
    mln_put_int(cx, answer, "code", is_let_in ? 0 : 49);
    *ret = answer;
    return mln_cx_err(cx);
}

#define ALICE "[{\"dn\":\"uid=alice,ou=p\",\"attributes\":{\"UID\":[\"Alice\"]}}]"
#define GROUPS                                                                                                         \
    "[{\"dn\":\"cn=Admins,ou=g\",\"attributes\":{\"cn\":[\"Admins\"]}},{\"dn\":\"cn=staff,ou=g\",\"attributes\":{}}]"

static struct ek *ldap_new(const char *more)
{
    char config[1024];
    struct ek *k = ek_new();
    k->services.reach = fake_reach;
    ek_mount(k, "auth/ldap/", &mln_method_ldap, "77777777-0000-4000-8000-000000000000");
    (void)snprintf(config, sizeof(config),
                   "{\"url\":\"ldap://first,ldaps://second\",\"userdn\":\"ou=p\",\"userattr\":\"uid\",\"groupdn\":\"ou=g\"%s}", more);
    EK_WANT(k, ek_write(k, "auth/ldap/config", config), 204);
    EK_WANT(k, ek_write(k, "auth/ldap/groups/admins", "{\"policies\":\"adm,x\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/ldap/groups/extra", "{\"policies\":\"more\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/ldap/users/Alice", "{\"policies\":\"x,own\",\"groups\":\"extra\"}"), 204);
    directory.people = ALICE;
    directory.groups = GROUPS;
    directory.password = "pw";
    directory.first_is_down = false;
    directory.log_n = 0;
    directory.log[0] = 0;
    return k;
}
#define LDAP(name, more) MLN_AUTO(ek_drop) struct ek *name = ldap_new(more)

static void test_bind_by_name(void **state)
{
    (void)state;
    LDAP(k, ",\"token_policies\":\"fixed\",\"token_ttl\":60");
    EK_WANT(k, ek_write(k, "auth/ldap/login/ALICE", "{\"password\":\"pw\"}"), 204);
    assert_string_equal(directory.log,
                        "bind as <uid=alice,ou=p>\n"
                        "search as <uid=alice,ou=p> in ou=g for (|(memberUid=alice)(member=uid=alice,ou=p)(uniqueMember=uid=ali"
                            "ce,ou=p))\n");
    assert_string_equal(k->re.login->alias, "alice");
    assert_int_equal(k->re.login->ttl_s, 60);
    EK_VALUE(k, k->re.login->policies, "[\"fixed\",\"x\",\"own\",\"adm\",\"more\"]");
    EK_VALUE(k, k->re.login->groups, "[\"Admins\",\"staff\",\"extra\"]");
    EK_VALUE(k, k->re.login->meta, "{\"username\":\"alice\"}");
    EK_VALUE(k, k->re.login->internal, "{\"groups\":[\"Admins\",\"staff\",\"extra\"],\"username\":\"alice\"}"); /* no password */
    assert_false(k->wrote);
}

static void test_searched_for(void **state)
{
    (void)state;
    LDAP(k, ",\"binddn\":\"cn=s\",\"bindpass\":\"searcher's\"");
    EK_WANT(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 204);
    assert_non_null(strstr(directory.log, "search as <cn=s> in ou=p for (uid=alice)\nbind as <uid=alice,ou=p>\nsearch as <cn=s>"
        " in ou=g"));
    assert_string_equal(k->re.login->alias, "Alice"); /* as the directory spells it */
    directory.people = "[]";
    EK_REFUSED(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 400, "failed to bind as user");
    directory.people = "[{\"dn\":\"uid=a,ou=p\"},{\"dn\":\"uid=b,ou=p\"}]";
    EK_REFUSED(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 400, "failed to bind as user");
    directory.people = "[{\"dn\":\"\"}]";
    EK_REFUSED(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 400, "failed to bind as user");
}

static void test_other_ways(void **state)
{
    (void)state;
    {
        LDAP(k, ",\"upndomain\":\"corp.example\",\"username_as_alias\":true");
        EK_WANT(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 204);
        assert_non_null(strstr(directory.log, "bind as <alice@corp.example>\nsearch as <alice@corp.example> in ou=p for "
                                              "(userPrincipalName=alice@corp.example)\n"));
        assert_string_equal(k->re.login->alias, "alice");
    }
    {
        LDAP(k, ",\"discoverdn\":true,\"anonymous_group_search\":true");
        EK_WANT(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 204);
        assert_non_null(strstr(directory.log, "search as <> in ou=p"));
        assert_non_null(strstr(directory.log, "search as <> in ou=g"));
    }
    {
        LDAP(k, ",\"case_sensitive_names\":true");
        directory.first_is_down = true;
        EK_WANT(k, ek_write(k, "auth/ldap/login/ALICE", "{\"password\":\"pw\"}"), 204);
        assert_non_null(strstr(directory.log, "bind as <uid=ALICE,ou=p>"));
        EK_VALUE(k, k->re.login->policies, "[]"); /* rows "Alice" and "admins" are of other names */
    }
}

static void test_refused_logins(void **state)
{
    static const struct {
        const char *name, *json, *why;
    } t[] = {
        {"alice", "{\"password\":\"wrong\"}", "ldap operation failed: failed to bind as user"},
        {"alice", "{\"password\":\"\"}", "zero length"},
        {"alice", "{}", "zero length"},
        {"alice", "{\"password\":\"pw\\u0000x\"}", "zero length"},
        {"al\001ice", "{\"password\":\"pw\"}", "no control characters"},
        {"al\377ice", "{\"password\":\"pw\"}", "1 to"},
    };
    (void)state;
    LDAP(k, "");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "auth/ldap/login/%s", t[i].name);
        EK_REFUSED(k, ek_write(k, path, t[i].json), 400, t[i].why);
        assert_null(k->re.login);
    }
    directory.log_n = 0;
    EK_WANT(k, ek_write(k, "auth/ldap/login/a,ou=x)(*", "{\"password\":\"pw\"}"), 204); /* the directory's to know */
    assert_non_null(strstr(directory.log, "bind as <uid=a\\2cou\\3dx\\29\\28\\2a,ou=p>\n"));
    assert_non_null(strstr(directory.log, "(memberUid=a,ou=x\\29\\28\\2a)(member=uid=a\\5c2cou\\5c3dx"));
}

static void test_settings(void **state)
{
    static const struct {
        const char *json, *why;
    } t[] = {
        {"{\"url\":\"http://x\"}", "url must be"},
        {"{\"url\":\"ldap://a,ftp://b\"}", "url must be"},
        {"{\"userattr\":\"uid)(\"}", "names of attributes"},
        {"{\"groupattr\":\"\"}", "names of attributes"},
        {"{\"userfilter\":\"({{.Password}})\"}", "a filter may name"},
        {"{\"groupfilter\":\"{{\"}", "a filter may name"},
        {"{\"use_token_groups\":true}", "not supported"},
        {"{\"dereference_aliases\":\"often\"}", "never, finding, searching or always"},
        {"{\"tls_min_version\":\"tls10\"}", "invalid 'tls_min_version'"},
        {"{\"tls_min_version\":\"tls13\"}", "'tls_max_version' must be greater than or equal to 'tls_min_version'"},
        {"{\"client_tls_cert\":\"x\"}", "both client_tls_cert and client_tls_key must be set"},
        {"{\"client_tls_key\":\"x\"}", "both client_tls_cert and client_tls_key must be set"},
        {"{\"client_tls_cert\":\"x\",\"client_tls_key\":\"x\"}", "failed to parse client X509 key pair"},
    };
    (void)state;
    LDAP(k, ",\"binddn\":\"cn=s\",\"bindpass\":\"hidden\"");
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "auth/ldap/config", t[i].json), 400, t[i].why);
        assert_false(k->wrote);
    }
    EK_WANT(k, ek_read(k, "auth/ldap/config", NULL), 200);
    assert_null(mln_get(k->re.data, "bindpass"));
    assert_true(mln_is_text(mln_get(k->re.data, "groupattr"), "cn"));
    assert_true(mln_is_text(mln_get(k->re.data, "groupfilter"), LDAP_GROUPFILTER));
    EK_WANT(k, ek_read(k, "auth/ldap/users/alice", NULL), 200);
    EK_DATA(k, "{\"groups\":\"extra\",\"policies\":[\"x\",\"own\"]}");
    EK_WANT(k, ek_read(k, "auth/ldap/groups/admins", NULL), 200);
    EK_DATA(k, "{\"policies\":[\"adm\",\"x\"]}");
    EK_WANT(k, ek_list(k, "auth/ldap/groups/"), 200);
    EK_DATA(k, "{\"keys\":[\"admins\",\"extra\"]}");
    EK_WANT(k, ek_delete(k, "auth/ldap/users/alice"), 204);
    EK_WANT(k, ek_read(k, "auth/ldap/users/alice", NULL), 404);
    EK_WANT(k, ek_list(k, "auth/ldap/users/"), 404);
}

/* ---- the certificate that is shown to the directory ---- */

static const char *escaped(struct mln_cx *cx, const char *pem)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (; *pem != 0; pem++) {
        mln_buf_add_bytes(&buf, *pem == '\n' ? MLN_BYTES("\\n") : mln_bytes_at(pem, 1));
    }
    return mln_text_dup(cx, mln_buf_bytes(&buf));
}

static void make_pair(struct mln_cx *cx, struct mln_key *key, const char **ret_cert, const char **ret_key)
{
    const struct mln_x509_name name = {.common_name = MLN_BYTES("merlon")};
    const uint8_t serial[] = {1};
    struct mln_x509_signer by = {.sig = MLN_SIG_EC_256};
    struct mln_bytes subject, der;
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, key));
    kit_ok(cx, mln_x509_name_print(cx, &name, &subject));
    by.pkcs8 = key->pkcs8;
    const struct mln_cert_spec spec = {.serial = mln_bytes_at(serial, 1), .issuer = subject, .subject = subject, .spki = key->spki,
                                       .not_before_s = 1700000000, .not_after_s = 1800000000};
    kit_ok(cx, mln_cert_build(cx, &spec, &by, &der));
    *ret_cert = escaped(cx, mln_pem_text(cx, "CERTIFICATE", der));
    *ret_key = escaped(cx, mln_pem_text(cx, "PRIVATE KEY", key->pkcs8));
}

static void test_client_pair(void **state)
{
    struct mln_key one = {0}, two = {0};
    const char *cert = NULL, *key = NULL, *other_cert = NULL, *other_key = NULL;
    struct mln_cx *cx = kit_cx(state);
    LDAP(k, "");
    make_pair(cx, &one, &cert, &key);
    make_pair(cx, &two, &other_cert, &other_key);
    EK_REFUSED(k, ek_write(k, "auth/ldap/config", mln_text_format(cx, "{\"client_tls_cert\":\"%s\",\"client_tls_key\":\"%s\"}", cert,
               other_key)), 400, "the key is not the certificate's");
    EK_WANT(k, ek_write(k, "auth/ldap/config", mln_text_format(cx, "{\"client_tls_cert\":\"%s\",\"client_tls_key\":\"%s\","
            "\"tls_min_version\":\"tls13\",\"tls_max_version\":\"tls13\",\"dereference_aliases\":\"always\"}", cert, key)), 204);
    EK_WANT(k, ek_read(k, "auth/ldap/config", NULL), 200);
    assert_null(mln_get(k->re.data, "client_tls_key"));
    directory.is_tls_seen = false;
    EK_WANT(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 204);
    assert_true(directory.is_tls_seen);
    assert_true(mln_bytes_eq(mln_bytes_at(directory.key, directory.key_n), one.plain));
    EK_REFUSED(k, ek_write(k, "auth/ldap/config", "{\"client_tls_key\":\"\"}"), 400, "both client_tls_cert");
    EK_WANT(k, ek_write(k, "auth/ldap/config", "{\"client_tls_cert\":\"\",\"client_tls_key\":\"\"}"), 204);
    EK_WANT(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 204);
    assert_int_equal(directory.key_n, 0);
}

/* What clients set from habit, and what is shown before anything was set. */
static void test_usual(void **state)
{
    (void)state;
    MLN_AUTO(ek_drop) struct ek *k = ek_new();
    k->services.reach = fake_reach;
    ek_mount(k, "auth/ldap/", &mln_method_ldap, "77777777-0000-4000-8000-000000000000");
    EK_WANT(k, ek_read(k, "auth/ldap/config", NULL), 200);
    assert_true(mln_is_text(mln_get(k->re.data, "url"), "ldap://127.0.0.1"));
    assert_true(mln_get_bool(mln_get(k->re.data, "deny_null_bind"), false));
    EK_VALUE(k, mln_get(k->re.data, "token_policies"), "[]");
    EK_REFUSED(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"pw\"}"), 400, "ldap backend not configured");
    EK_WANT(k, ek_write(k, "auth/ldap/config", "{\"url\":\"ldap://first\",\"userdn\":\"ou=p\",\"deny_null_bind\":false}"), 204);
    EK_WANT(k, ek_read(k, "auth/ldap/config", NULL), 200);
    assert_false(mln_get_bool(mln_get(k->re.data, "deny_null_bind"), true));
    EK_REFUSED(k, ek_write(k, "auth/ldap/login/alice", "{\"password\":\"\"}"), 400, "zero length");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_escapes),           KIT_TEST(test_templates),       KIT_TEST(test_common_names),
        cmocka_unit_test(test_bind_by_name), cmocka_unit_test(test_searched_for), cmocka_unit_test(test_other_ways),
        cmocka_unit_test(test_refused_logins), cmocka_unit_test(test_settings),
        KIT_TEST(test_client_pair),       cmocka_unit_test(test_usual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
