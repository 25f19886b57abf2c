/* SPDX-License-Identifier: Apache-2.0 */
/* Templates: whom they make an entry for, with what; hostile values; what a client may not say; changes; many. */
#include "unit/identity/spiffe_kit.h"

#include "identity/spiffe_template.h"

#define POD "[\"k8s:ns:prod\",\"k8s:sa:web\",\"k8s:pod-label:app:shop\",\"k8s:node-name:n1\"]"
#define ALL "{\"spiffe_id\":\"spiffe://{{trust_domain}}/ns/{{ns}}/sa/{{sa}}\"}"

/* The ids of the caller's SVIDs. */
static const char *ids_of(struct ek *k, const char *selectors)
{
    const char *text = "";
    sk_be(k, selectors);
    (void)ek_read(k, "spiffe/workload/x509-svids", NULL);
    for (size_t i = 0; !mln_failed(k->err) && i < mln_len(mln_get(k->re.data, "svids")); i++) {
        text = mln_text_format(k->cx, "%s%s%s", text, i > 0 ? " " : "",
                               mln_get_text(k->cx, mln_get(sk_svid(k, i), "spiffe_id"), "?") + 21);
    }
    sk_peers_n--;
    kit_cx_free(sk_peers[sk_peers_n].cx);
    k->peer = NULL;
    return text;
}

static const struct {
    const char *name, *tmpl, *selectors, *want;
} rows[] = {
    {"a pod", ALL, POD, "ns/prod/sa/web"},
    {"no pod", ALL, "[\"unix:uid:1000\"]", ""},
    {"no service account", ALL, "[\"k8s:ns:prod\"]", ""},
    {"two namespaces", ALL, "[\"k8s:ns:a\",\"k8s:ns:b\",\"k8s:sa:web\"]", ""},
    {"two accounts", ALL, "[\"k8s:ns:a\",\"k8s:sa:b\",\"k8s:sa:web\"]", ""},
    {"a slash", ALL, "[\"k8s:ns:a/b\",\"k8s:sa:web\"]", ""},
    {"dots", ALL, "[\"k8s:ns:..\",\"k8s:sa:web\"]", ""},
    {"a percent", ALL, "[\"k8s:ns:%2e%2e\",\"k8s:sa:web\"]", ""},
    {"a blank", ALL, "[\"k8s:ns:a b\",\"k8s:sa:web\"]", ""},
    {"no UTF-8 in ids", ALL, "[\"k8s:ns:\u00e4\",\"k8s:sa:web\"]", ""},
    {"braces", ALL, "[\"k8s:ns:{{sa}}\",\"k8s:sa:web\"]", ""},
    {"an empty one", ALL, "[\"k8s:ns:\",\"k8s:sa:web\"]", ""},
    {"servers' own paths", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}/{{sa}}\"}",
     "[\"k8s:ns:merlon\",\"k8s:sa:server\"]", ""},
    {"beside them", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}/{{sa}}\"}",
     "[\"k8s:ns:merlons\",\"k8s:sa:server\"]", "merlons/server"},
    {"its namespaces", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"namespaces\":[\"pr*\"]}",
     POD, "prod"},
    {"others' namespaces",
     "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"namespaces\":[\"pr\",\"*x\"]}", POD, ""},
    {"others' accounts",
     "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"service_accounts\":[\"api\"]}", POD, ""},
    {"a label", "{\"spiffe_id\":\"spiffe://example.org/{{label:app}}\"}", POD, "shop"},
    {"a label that fits", "{\"spiffe_id\":\"spiffe://example.org/x\",\"labels\":{\"app\":\"sh*\"}}",
     POD, "x"},
    {"one that does not", "{\"spiffe_id\":\"spiffe://example.org/x\",\"labels\":{\"app\":\"ho*\"}}",
     POD, ""},
    {"one that is not there",
     "{\"spiffe_id\":\"spiffe://example.org/x\",\"labels\":{\"tier\":\"*\"}}", POD, ""},
    {"a label to fill in that is not there",
     "{\"spiffe_id\":\"spiffe://example.org/{{label:tier}}\"}", POD, ""},
    {"a selector",
     "{\"spiffe_id\":\"spiffe://example.org/x\",\"selectors\":[\"k8s:node-name:n1\"]}", POD, "x"},
    {"another's", "{\"spiffe_id\":\"spiffe://example.org/x\",\"selectors\":[\"k8s:node-name:n2\"]}",
     POD, ""},
    {"parts of a segment", "{\"spiffe_id\":\"spiffe://example.org/a-{{ ns }}.x/{{node-name}}\"}",
     POD, "a-prod.x/n1"},
    {"a DNS name that is none",
     "{\"spiffe_id\":\"spiffe://example.org/x\",\"dns_names\":[\"{{ns}}.svc\"]}",
     "[\"k8s:ns:-\",\"k8s:sa:web\"]", ""},
    {"of other parents",
     "{\"spiffe_id\":\"spiffe://example.org/x\",\"parent_ids\":[\"spiffe://example.org/merlon/node/"
     "**\"]}",
     POD, ""},
    {"of this one",
     "{\"spiffe_id\":\"spiffe://example.org/x\",\"parent_ids\":[\"spiffe://example.org/merlon/"
     "*\"]}",
     POD, "x"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        SK(k);
        EK_WANT(k, ek_write(k, "spiffe/templates/t", rows[i].tmpl), 200);
        const char *got = ids_of(k, rows[i].selectors);
        if (!mln_bytes_is(mln_bytes_of(got), rows[i].want)) {
            fail_msg("%s: %s", rows[i].name, got);
        }
    }
}

static const struct {
    const char *name, *body, *part;
} refused[] = {
    {"t", "{}", "spiffe_id"},
    {"t", "{\"spiffe_id\":\"spiffe://other.org/{{ns}}\"}", "trust domain"},
    {"t", "{\"spiffe_id\":\"spiffe://{{ns}}/x\"}", "trust domain"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/merlon/{{ns}}\"}", "/merlon/"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}-{{sa}}\"}", "at most one"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{label:a/b}}-{{label:c/d}}\"}", "at most one"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{pod-uid}}\"}", "one of"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{label:}}\"}", "one of"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns\"}", "segments"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{label:a\\u0000b}}\"}", "one of"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/x\",\"labels\":{\"a\\u0000b\":\"c\"}}", "labels"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/a/../{{ns}}\"}", "segments"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"dns_names\":[\"{{uid}}\"]}", "one of"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"dns_names\":[\"a b\"]}", "DNS name 1"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"namespaces\":[\"A\"]}", "namespaces"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"namespaces\":[\"\"]}", "namespaces"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"service_accounts\":[\"a/b\"]}",
     "service_accounts"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"labels\":{\"a:b\":\"c\"}}", "labels"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"labels\":{\"a\":7}}", "labels"},
    {"t",
     "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"parent_ids\":[\"spiffe://other.org/**\"]}",
     "parent_ids"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"selectors\":[\"x\"]}", "selector"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"federates_with\":[\"A\"]}",
     "federates_with"},
    {"t", "{\"spiffe_id\":\"spiffe://example.org/{{ns}}\",\"x509_svid_ttl\":-1}", "x509_svid_ttl"},
    {"a.b", ALL, "name"},
};

static void test_refused(void **state)
{
    (void)state;
    SK(k);
    for (size_t i = 0; i < MLN_COUNT(refused); i++) {
        char path[128];
        (void)snprintf(path, sizeof(path), "spiffe/templates/%s", refused[i].name);
        EK_REFUSED(k, ek_write(k, path, refused[i].body), 400, refused[i].part);
    }
    EK_WANT(k, ek_list(k, "spiffe/templates"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 0);
    EK_REFUSED(k, ek_read(k, "spiffe/templates/t", NULL), 404, "no such template");
    EK_REFUSED(k, ek_delete(k, "spiffe/templates/t"), 404, "no such template");
    for (size_t i = 0; i < SP_TEMPLATES_MAX; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "spiffe/templates/t%zu", i);
        EK_WANT(k, ek_write(k, path, ALL), 200);
    }
    (void)ek_write(k, "spiffe/templates/more", ALL);
    assert_true(mln_is(k->err, MLN_E_LIMIT));
    EK_WANT(k, ek_write(k, "spiffe/templates/t1", ALL), 200);
}

/* With an entry of its own a pod has that; without, the template's; of a template for all, both. */
static void test_fallback(void **state)
{
    (void)state;
    SK(k);
    EK_WANT(k, ek_write(k, "spiffe/templates/t", ALL), 200);
    assert_string_equal(ids_of(k, POD), "ns/prod/sa/web");
    const char *id =
        sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/own\",\"selectors\":[\"k8s:sa:web\"]}");
    assert_string_equal(ids_of(k, POD), "own");
    assert_string_equal(ids_of(k, "[\"k8s:ns:prod\",\"k8s:sa:api\"]"), "ns/prod/sa/api");
    EK_WANT(k,
            ek_write(k, "spiffe/templates/all",
                     "{\"spiffe_id\":\"spiffe://example.org/all/{{ns}}\",\"fallback\":false}"),
            200);
    assert_string_equal(ids_of(k, POD), "own all/prod");
    EK_WANT(k, ek_delete(k, mln_text_format(k->cx, "spiffe/entries/%s", id)), 204);
    assert_string_equal(ids_of(k, POD), "all/prod");
    EK_WANT(k, ek_delete(k, "spiffe/templates/all"), 204);
    assert_string_equal(ids_of(k, POD), "ns/prod/sa/web");
    /* the same id by an entry and by a template is one identity */
    (void)sk_entry(
        k, "{\"spiffe_id\":\"spiffe://example.org/all/prod\",\"selectors\":[\"k8s:sa:web\"]}");
    EK_WANT(k,
            ek_write(k, "spiffe/templates/all",
                     "{\"spiffe_id\":\"spiffe://example.org/all/{{ns}}\",\"fallback\":false}"),
            200);
    assert_string_equal(ids_of(k, POD), "all/prod");
}

/* Its DNS names, times and bundles; one SVID for all pods of an account; another after a change; nothing in the store or the list. */
static void test_made(void **state)
{
    (void)state;
    SK(k);
    char serial[64];
    EK_WANT(k,
            ek_write(k, "spiffe/templates/t",
                     "{\"spiffe_id\":\"spiffe://{{trust_domain}}/ns/{{ns}}/sa/"
                     "{{sa}}\",\"dns_names\":[\"{{sa}}.{{ns}}.svc\"],"
                     "\"x509_svid_ttl\":\"10m\",\"hint\":\"pod\"}"),
            200);
    sk_be(k, POD);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    struct mln_x509_info leaf = sk_leaf(k, 0);
    assert_true(leaf.sans_n == 2 && mln_bytes_is(leaf.sans[1].value, "web.prod.svc"));
    assert_int_equal(leaf.not_after_s, k->now_ns / SK_SECOND + 600);
    assert_true(mln_is_text(mln_get(sk_svid(k, 0), "hint"), "pod") && sk_is_trusted(k, 0));
    (void)snprintf(serial, sizeof(serial), "%s", mln_hex_text(k->cx, leaf.serial));
    const char *entry =
        mln_get_text(k->cx, mln_get(mln_item(mln_get(k->detail, "issued"), 0), "entry"), "");
    assert_true(mln_bytes_starts(mln_bytes_of(entry), SP_MADE_PREFIX));
    EK_WANT(k, ek_write(k, "spiffe/workload/jwt-svid", "{\"audience\":\"a\"}"), 200);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
    sk_be(k, "[\"k8s:ns:prod\",\"k8s:sa:web\",\"k8s:pod-name:other\"]");
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_string_equal(mln_hex_text(k->cx, sk_leaf(k, 0).serial), serial);
    EK_WANT(k, ek_list(k, "spiffe/entries"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 0);
    EK_WANT(k, ek_read(k, "spiffe/entries/count", NULL), 200);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "count"), -1), 0);
    k->topic = NULL;
    EK_WANT(
        k, ek_write(k, "spiffe/templates/t", "{\"spiffe_id\":\"spiffe://example.org/new/{{sa}}\"}"),
        200);
    assert_string_equal(k->topic, SP_TOPIC_ALL);
    assert_int_equal(mln_get_int(mln_get(k->re.data, "revision"), -1), 1);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_true(mln_is_text(mln_get(sk_svid(k, 0), "spiffe_id"), "spiffe://example.org/new/web"));
    EK_WANT(k, ek_delete(k, "spiffe/templates/t"), 204);
    EK_REFUSED(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 403, "no identity issued");
    /* nobody's entry passes for one of these */
    EK_REFUSED(k,
               ek_write(k, "spiffe/entries",
                        "{\"id\":\"template-1\",\"spiffe_id\":\"spiffe://example.org/"
                        "x\",\"selectors\":[\"a:b\"]}"),
               400, "templates");
}

/* In memory again after a seal. */
static void test_again(void **state)
{
    (void)state;
    SK(k);
    EK_WANT(k, ek_write(k, "spiffe/templates/t", ALL), 200);
    assert_string_equal(ids_of(k, POD), "ns/prod/sa/web");
    ek_forget(k);
    assert_string_equal(ids_of(k, POD), "ns/prod/sa/web");
}

/* ---- the index alone ---- */

static const struct mln_value *row(struct mln_cx *cx, size_t i, const char *by)
{
    struct mln_value *v = mln_object(cx), *selectors = mln_array(cx);
    mln_push_text(cx, selectors, mln_text_format(cx, "k8s:sa:s%zu", i));
    mln_put_text(cx, v, "id", mln_text_format(cx, "%s%zu", by != NULL ? by : "e", i));
    mln_put_text(cx, v, "spiffe_id", mln_text_format(cx, "spiffe://d/%zu", i));
    mln_put_text(cx, v, "parent_id", "spiffe://d/p");
    mln_put(cx, v, "selectors", selectors);
    mln_put_int(cx, v, "created_ns", (int64_t)(i % 7));
    mln_put_text(cx, v, "made_by", by);
    return v;
}

static void test_forget(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct sp_index *index = sp_index_new(NULL);
    struct mln_bytes a = MLN_BYTES("a");
    for (size_t i = 0; i < 300; i++) {
        kit_ok(cx, sp_index_put(cx, index, row(cx, i, i % 3 == 0 ? NULL : i % 3 == 1 ? "a" : "b")));
    }
    assert_int_equal(sp_index_made(index), 200);
    sp_index_forget_made(index, &a);
    assert_int_equal(sp_index_made(index), 100);
    assert_int_equal(sp_index_count(index), 200);
    for (size_t i = 0; i < 300; i++) {
        const char *id = mln_text_format(cx, "%s%zu", i % 3 == 0 ? "e" : i % 3 == 1 ? "a" : "b", i);
        assert_true((sp_index_get(index, mln_bytes_of(id)) != NULL) == (i % 3 != 1));
    }
    sp_index_forget_made(index, NULL);
    assert_int_equal(sp_index_count(index), 100);
    for (size_t i = 1; i < 100; i++) {
        assert_true(sp_index_at(index, i - 1)->created_ns <= sp_index_at(index, i)->created_ns);
    }
    sp_index_remove(index, MLN_BYTES("e0"));
    assert_int_equal(sp_index_count(index), 99);
    sp_index_free(index);
}

/* What is made for one parent goes without that of others; who has most is known. */
static void test_forget_of(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct sp_index *index = sp_index_new(NULL);
    struct mln_bytes p = MLN_BYTES("spiffe://d/p"), q = MLN_BYTES("spiffe://d/q");
    assert_int_equal(sp_index_made_most(index).len, 0);
    for (size_t i = 0; i < 300; i++) {
        const char *by = i % 3 == 0 ? NULL : i % 3 == 1 ? "a" : "b";
        struct mln_value *one = mln_value_dup(cx, row(cx, i, by));
        mln_put_bytes(cx, one, "parent_id", i % 5 == 0 ? q : p);
        kit_ok(cx, sp_index_put(cx, index, one));
    }
    assert_int_equal(sp_index_made_of(index, p), 160);
    assert_int_equal(sp_index_made_of(index, q), 40);
    assert_int_equal(sp_index_made_of(index, MLN_BYTES("spiffe://d/none")), 0);
    assert_true(mln_bytes_eq(sp_index_made_most(index), p));
    sp_index_forget_made_of(index, MLN_BYTES("spiffe://d/none"));
    assert_int_equal(sp_index_made(index), 200);
    sp_index_forget_made_of(index, p);
    assert_int_equal(sp_index_made_of(index, p), 0);
    assert_int_equal(sp_index_made_of(index, q), 40);
    assert_int_equal(sp_index_count(index), 140);
    assert_true(mln_bytes_eq(sp_index_made_most(index), q));
    assert_non_null(sp_index_get(index, MLN_BYTES("e3"))); /* of p, and registered */
    sp_index_remove(index, MLN_BYTES("a10"));
    assert_int_equal(sp_index_made_of(index, q), 39);
    sp_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_TEST(test_rows),  KIT_TEST(test_refused), KIT_TEST(test_fallback),  KIT_TEST(test_made),
        KIT_TEST(test_again), KIT_TEST(test_forget),  KIT_TEST(test_forget_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
