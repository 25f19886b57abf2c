/* SPDX-License-Identifier: Apache-2.0 */
/* What surrounds the relay: the configuration, answers of the Workload API, records that relay wrote. */
#include "../proxy/svid_kit.h"

#include "api/spiffe.h"
#include "base/cbor.h"
#include "main/config_read.c"
#include "main/proxy_config.c"
#include "main/proxy_place.c"
#include "main/proxy_post.c"
#include "main/proxy_record.c"
#include "main/workload_client.c"

#define ALLOW "    allow: [spiffe://example.org/web]\n"
#define ONE   "listeners:\n  - name: a\n    mode: server\n    listen: 0.0.0.0:8443\n    target: 127.0.0.1:80\n" ALLOW

#define FROM(listen, mode, target) \
    "listeners: [{name: a, mode: " mode ", listen: '" listen "', target: '" target "', allow: ['spiffe://a/b']}]"
#define SERVER(target) FROM("0.0.0.0:1", "server", target)
#define SERVER_WITH(rest) "listeners: [{name: a, mode: server, listen: '0.0.0.0:1', target: '127.0.0.1:80', " rest "}]"
#define CLIENT_WITH(rest) "listeners: [{name: a, mode: client, listen: 'unix:/a', target: 'x:1', allow: ['spiffe://a/b'], " rest "}]"

static struct mln_err read_text(struct mln_cx *cx, const char *text, bool is_yaml, struct proxy_config *ret)
{
    const struct mln_value *all = NULL;
    MLN_TRY(proxy_config_parse(cx, mln_bytes_of(text), is_yaml, &all));
    return proxy_config_read(cx, all, ret);
}

static void test_config(void **state)
{
    static const struct {
        const char *name, *text;
        bool is_yaml;
        enum mln_code want;
    } t[] = {
        {"one server", ONE, true, MLN_E_OK},
        {"one pattern as a text",
         "listeners: [{name: a, mode: client, listen: '[::1]:1', target: 'db.example:8443', allow: 'spiffe://example.org/*'}]", true,
         MLN_E_OK},
        {"to a Unix socket",
         FROM("[::]:1", "server", "unix:/run/a.sock"), true, MLN_E_OK},
        {"from a Unix socket", CLIENT_WITH("socket_mode: '0660'"), true,
         MLN_E_OK},
        {"HCL",
         "listener \"a\" {\n mode = \"server\"\n listen = \"0.0.0.0:1\"\n target = \"localhost:80\"\n allow = [\"spiffe://a/b\"]\n}\n",
         false, MLN_E_OK},
        {"HCL with a list",
         "listeners = [{name = \"a\", mode = \"server\", listen = \"0.0.0.0:1\", target = \"localhost:80\", "
         "allow = [\"spiffe://a/b\"]}]",
         false, MLN_E_OK},
        {"all there is",
         "workload_socket: unix:///run/w.sock\nspiffe_id: spiffe://a/b\nrecords: /r\nmetrics: 127.0.0.1:1\n"
         "limits: {connections: 5, threads: 2, handshake: 3s, connect: 4s, idle: 1h, drain: 9s}\n"
         "evidence: {server: 'https://m:8200', login: auth/spiffe, role: r}\n" ONE,
         true, MLN_E_OK},
        {"no listeners", "limits: {}\n", true, MLN_E_INVALID},
        {"no list of them", "listeners: {}\n", true, MLN_E_INVALID},
        {"none in the list", "listeners: []\n", true, MLN_E_INVALID},
        {"no object", "[]\n", true, MLN_E_INVALID},
        {"no mode", "listeners: [{name: a, listen: '0.0.0.0:1', target: '127.0.0.1:80', allow: ['spiffe://a/b']}]", true, MLN_E_INVALID},
        {"another mode",
         "listeners: [{name: a, mode: both, listen: '0.0.0.0:1', target: '127.0.0.1:80', allow: ['spiffe://a/b']}]", true, MLN_E_INVALID},
        {"nobody may", "listeners: [{name: a, mode: server, listen: '0.0.0.0:1', target: '127.0.0.1:80'}]", true, MLN_E_INVALID},
        {"an empty list may", SERVER_WITH("allow: []"), true, MLN_E_INVALID},
        {"everybody may", SERVER_WITH("allow: ['*']"), true, MLN_E_INVALID},
        {"any domain may", SERVER_WITH("allow: ['spiffe://*/b']"), true, MLN_E_INVALID},
        {"a number may", SERVER_WITH("allow: [5]"), true, MLN_E_INVALID},
        {"plain out to a name", SERVER("db:80"), true, MLN_E_INVALID},
        {"plain out to the net", SERVER("10.0.0.1:80"), true, MLN_E_INVALID},
        {"plain out to a name of numbers", SERVER("127.0.0.1.example:80"),
         true, MLN_E_INVALID},
        {"plain in from the net",
         FROM("0.0.0.0:1", "client", "db:80"), true, MLN_E_INVALID},
        {"mTLS in over a Unix socket", FROM("unix:/a", "server", "127.0.0.1:80"), true,
         MLN_E_INVALID},
        {"mTLS out over a Unix socket", FROM("127.0.0.1:1", "client", "unix:/a"), true,
         MLN_E_INVALID},
        {"a target without a port", SERVER("127.0.0.1"), true, MLN_E_INVALID},
        {"a target at port 0", SERVER("127.0.0.1:0"), true, MLN_E_INVALID},
        {"a port too large",
         FROM("0.0.0.0:65536", "server", "127.0.0.1:1"),
         true, MLN_E_INVALID},
        {"a relative Unix socket",
         FROM("unix:a", "client", "x:1"), true, MLN_E_INVALID},
        {"a mode that is none", CLIENT_WITH("socket_mode: '0880'"), true,
         MLN_E_INVALID},
        {"an empty protocol", CLIENT_WITH("alpn: ['']"), true, MLN_E_INVALID},
        {"no protocols", CLIENT_WITH("alpn: []"), true, MLN_E_INVALID},
        {"an odd key", ONE "insecure: true\n", true, MLN_E_INVALID},
        {"an odd limit", ONE "limits: {conections: 1}\n", true, MLN_E_INVALID},
        {"too many connections", ONE "limits: {connections: 100001}\n", true, MLN_E_INVALID},
        {"too many threads", ONE "limits: {threads: 17}\n", true, MLN_E_INVALID},
        {"no time", ONE "limits: {handshake: 0s}\n", true, MLN_E_INVALID},
        {"too much time", ONE "limits: {handshake: 1h}\n", true, MLN_E_INVALID},
        {"an identity that is none", ONE "spiffe_id: example.org/web\n", true, MLN_E_INVALID},
        {"metrics for the net", ONE "metrics: 0.0.0.0:1\n", true, MLN_E_INVALID},
        {"metrics at a Unix socket", ONE "metrics: unix:/m\n", true, MLN_E_INVALID},
        {"evidence without a way in", ONE "evidence: {server: 'https://m:8200'}\n", true, MLN_E_INVALID},
        {"evidence with two", ONE "evidence: {server: 'https://m:8200', token_file: /t, login: auth/spiffe}\n", true, MLN_E_INVALID},
        {"evidence in the clear", ONE "evidence: {server: 'http://m:8200', token_file: /t}\n", true, MLN_E_INVALID},
        {"Vault's proxy", "vault: {address: x}\n", true, MLN_E_INVALID},
        {"HCL without a name", "listener {\n mode = \"server\"\n}\n", false, MLN_E_INVALID},
        {"no YAML", "{", true, MLN_E_PARSE},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct proxy_config config;
        kit_expect(cx, t[i].name, read_text(cx, t[i].text, t[i].is_yaml, &config), t[i].want);
    }
}

static void test_config_is_read(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct proxy_config config;
    kit_ok(cx, read_text(cx, ONE "    alpn: [h2, http/1.1]\nlimits: {idle: 90s}\n", true, &config));
    const struct mln_proxy_listener *l = &config.listeners[0];
    assert_int_equal(config.n_listeners, 1);
    assert_int_equal(l->side, MLN_PROXY_SERVER);
    assert_true(mln_bytes_is(l->alpn, "\x02h2\x08http/1.1"));
    assert_true(l->n_allow == 1 && mln_bytes_is(l->allow[0], "spiffe://example.org/web"));
    assert_int_equal(config.limits.idle_s, 90);
    assert_int_equal(config.limits.connections, CONNECTIONS_DEFAULT);
    assert_int_equal(l->socket_mode, 0600);
    assert_string_equal(config.records, "-");
}

/* ---- the Workload API ---- */

struct answer {
    struct mln_bytes chain, key, bundle;
    const char *id;
};

static struct mln_bytes encode(struct mln_cx *cx, const struct answer *answers, size_t n, struct mln_value *federated)
{
    struct mln_value *all = mln_object(cx), *list = mln_array(cx);
    struct mln_buf text = {0};
    for (size_t i = 0; i < n; i++) {
        struct mln_value *one = mln_object(cx);
        mln_put_text(cx, one, "spiffe_id", answers[i].id);
        mln_put(cx, one, "chain", mln_blob(cx, answers[i].chain));
        mln_put(cx, one, "key", mln_blob(cx, answers[i].key));
        mln_put(cx, one, "bundle", mln_blob(cx, answers[i].bundle));
        mln_push(cx, list, one);
    }
    mln_put(cx, all, "svids", list);
    mln_put(cx, all, "federated", federated);
    kit_ok(cx, mln_pb_encode(cx, mln_spiffe_x509_svids, all, &text));
    struct mln_bytes kept = mln_bytes_dup(cx, mln_buf_bytes(&text));
    mln_buf_drop(&text);
    return kept;
}

static struct mln_err snapshot(struct mln_cx *cx, struct mln_bytes message, const char *wanted, const struct mln_value **ret)
{
    struct workload_svid svid;
    const struct mln_value *federated = NULL;
    int64_t until_s = 0;
    MLN_TRY(workload_svid_read(cx, message, wanted, &svid, &federated));
    return workload_snapshot(cx, &svid, federated, 7, ret, &until_s);
}

static void test_workload(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct svk_ca own = svk_ca_new(cx, "own", "spiffe://example.org"), far = svk_ca_new(cx, "far", "spiffe://far.example");
    struct svk_leaf web = {.uris = {"spiffe://example.org/web"}, .usage = MLN_KU_DIGITAL_SIGNATURE},
                    db = {.uris = {"spiffe://example.org/db"}, .usage = MLN_KU_DIGITAL_SIGNATURE};
    struct answer answers[2] = {{.bundle = own.der, .id = "spiffe://example.org/web"},
                                {.bundle = own.der, .id = "spiffe://example.org/db"}};
    struct mln_value *federated = mln_object(cx);
    const struct mln_value *got = NULL;
    answers[0].chain = svk_leaf_new(cx, &own, &web, &answers[0].key);
    answers[1].chain = svk_leaf_new(cx, &own, &db, &answers[1].key);
    mln_put(cx, federated, "spiffe://far.example", mln_blob(cx, far.der));
    mln_put(cx, federated, "spiffe://example.org", mln_blob(cx, far.der)); /* does not speak for our own domain */
    struct mln_bytes message = encode(cx, answers, 2, federated);
    kit_ok(cx, snapshot(cx, message, NULL, &got));
    assert_true(mln_is_text(mln_get(got, "spiffe_id"), "spiffe://example.org/web"));
    assert_true(mln_is_text(mln_get(got, "serial"), "112233"));
    assert_int_equal(mln_get_int(mln_get(got, "key"), 0), 7);
    assert_int_equal(mln_len(mln_get(got, "bundles")), 2);
    const struct mln_value *first = mln_item(mln_get(got, "bundles"), 0);
    assert_true(mln_is_text(mln_get(first, "domain"), "example.org"));
    assert_true(mln_bytes_eq(mln_get_bytes(mln_item(mln_get(first, "roots"), 0)), own.der));
    kit_ok(cx, snapshot(cx, message, "spiffe://example.org/db", &got));
    assert_true(mln_is_text(mln_get(got, "spiffe_id"), "spiffe://example.org/db"));
    kit_refused(cx, snapshot(cx, message, "spiffe://example.org/none", &got), MLN_E_NOT_FOUND);
    kit_refused(cx, snapshot(cx, MLN_BYTES_NONE, NULL, &got), MLN_E_NOT_FOUND);
    kit_refused(cx, snapshot(cx, MLN_BYTES("\x0a\xff"), NULL, &got), MLN_E_PARSE);
    answers[0].id = "spiffe://example.org/other"; /* not what its certificate says */
    kit_refused(cx, snapshot(cx, encode(cx, answers, 1, federated), NULL, &got), MLN_E_INVALID);
    answers[0].id = "spiffe://example.org/web";
    answers[0].bundle = mln_bytes_sub(own.der, 0, own.der.len - 1);
    kit_refused(cx, snapshot(cx, encode(cx, answers, 1, federated), NULL, &got), MLN_E_PARSE);
    answers[0].bundle = own.der;
    answers[0].chain = MLN_BYTES("x");
    kit_refused(cx, snapshot(cx, encode(cx, answers, 1, federated), NULL, &got), MLN_E_PARSE);
}

/* ---- records ---- */

static struct mln_value *good_record(struct mln_cx *cx)
{
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "event", "end");
    mln_put_int(cx, v, "conn", 0x1234);
    mln_put_int(cx, v, "listener", 0);
    mln_put_text(cx, v, "from", "127.0.0.1:5");
    mln_put_text(cx, v, "peer_id", "spiffe://example.org/web");
    mln_put_bool(cx, v, "proved", true);
    mln_put_int(cx, v, "start_ns", 1795336877000000000);
    mln_put_int(cx, v, "bytes_in", 5);
    mln_put_text(cx, v, "reason", "closed");
    return v;
}

static struct mln_err read_record(struct mln_cx *cx, const struct mln_value *v, const struct mln_value **ret)
{
    struct proxy_config config;
    struct mln_buf text = {0};
    kit_ok(cx, read_text(cx, ONE, true, &config));
    mln_cbor_print(&text, v);
    struct mln_err err = proxy_record_read(cx, mln_bytes_dup(cx, mln_buf_bytes(&text)), &config, ret);
    mln_buf_drop(&text);
    return err;
}

static void test_record(void **state)
{
    static const struct {
        const char *name, *key, *text;
        int64_t number;
        enum mln_code want;
    } t[] = {
        {"as it is", "from", "127.0.0.1:5", 0, MLN_E_OK},
        {"another event", "event", "login", 0, MLN_E_INVALID},
        {"no such listener", "listener", NULL, 1, MLN_E_INVALID},
        {"a listener below none", "listener", NULL, -1, MLN_E_INVALID},
        {"an id that is none", "peer_id", "spiffe://example.org/a b", 0, MLN_E_INVALID},
        {"an own id that is none", "own_id", "web", 0, MLN_E_INVALID},
        {"a new line in a text", "from", "a\n{\"event\":\"open\"}", 0, MLN_E_INVALID},
        {"no text", "detail", NULL, 5, MLN_E_INVALID},
        {"a count below none", "bytes_in", NULL, -1, MLN_E_INVALID},
        {"a time below none", "end_ns", NULL, -1, MLN_E_INVALID},
        {"another reason", "reason", "because", 0, MLN_E_INVALID},
    };
    struct mln_cx *cx = kit_cx(state);
    const struct mln_value *got = NULL;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_value *v = good_record(cx);
        if (t[i].text != NULL) {
            mln_put_text(cx, v, t[i].key, t[i].text);
        } else {
            mln_put_int(cx, v, t[i].key, t[i].number);
        }
        kit_expect(cx, t[i].name, read_record(cx, v, &got), t[i].want);
    }
    struct mln_value *v = good_record(cx);
    mln_put_text(cx, v, "token", "s.secret"); /* what a record has no place for does not get in */
    kit_ok(cx, read_record(cx, v, &got));
    assert_null(mln_get(got, "token"));
    assert_true(mln_is_text(mln_get(got, "conn"), "0000000000001234"));
    assert_true(mln_is_text(mln_get(got, "listener"), "a"));
    assert_true(mln_is_text(mln_get(got, "start"), "2026-11-22T08:41:17.000000Z"));
    kit_refused(cx, proxy_record_read(cx, MLN_BYTES("\xff"), &(struct proxy_config){0}, &got), MLN_E_PARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_config), KIT_TEST(test_config_is_read), KIT_TEST(test_workload),
                                       KIT_TEST(test_record)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
