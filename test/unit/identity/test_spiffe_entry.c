/* SPDX-License-Identifier: Apache-2.0 */
/* Registration entries and bundles of others: what is taken, what is refused and why, lists and batches. */
#include "unit/identity/spiffe_kit.h"

#define OK "\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"unix:uid:1\"]"

static void test_refused(void **state)
{
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{}", "spiffe_id"},
        {"{\"spiffe_id\":\"spiffe://example.org\",\"selectors\":[\"a:b\"]}",
         "below this server's trust domain"},
        {"{\"spiffe_id\":\"spiffe://other.org/a\",\"selectors\":[\"a:b\"]}",
         "below this server's trust domain"},
        {"{\"spiffe_id\":\"spiffe://example.org/a/\",\"selectors\":[\"a:b\"]}", "segments"},
        {"{\"spiffe_id\":\"spiffe://example.org/merlon/node/x\",\"selectors\":[\"a:b\"]}",
         "/merlon/"},
        {"{" OK ",\"parent_id\":\"spiffe://other.org/a\"}", "parent_id"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\"}", "selectors must be given"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[]}", "selectors must be given"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"uid\"]}", "TYPE:VALUE"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\":x\"]}", "TYPE:VALUE"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"x:\"]}", "TYPE:VALUE"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"Unix:uid:1\"]}", "TYPE:VALUE"},
        {"{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"unix:a\\nb\"]}", "TYPE:VALUE"},
        {"{" OK ",\"x509_svid_ttl\":-1}", "x509_svid_ttl"},
        {"{" OK ",\"dns_names\":[\"a..b\"]}", "DNS name 1"},
        {"{" OK ",\"dns_names\":[\"-a\"]}", "DNS name 1"},
        {"{" OK ",\"dns_names\":[\"a b\"]}", "DNS name 1"},
        {"{" OK ",\"federates_with\":[\"example.org\"]}", "server's own"},
        {"{" OK ",\"federates_with\":[\"spiffe://B\"]}", "trust domain 1"},
        {"{" OK ",\"hint\":\"a\\tb\"}", "hint"},
        {"{" OK ",\"id\":\"a/b\"}", "entry's id"},
    };
    (void)state;
    SK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "spiffe/entries", t[i].json), 400, t[i].part);
    }
    EK_WANT(k, ek_read(k, "spiffe/entries/count", NULL), 200);
    EK_DATA(k, "{\"count\":0}");
    EK_REFUSED(k, ek_write(k, "spiffe/entries/batch", "{\"entries\":[]}"), 400, "1 to 1000");
    EK_REFUSED(k, ek_write(k, "spiffe/entries/batch", "{\"entries\":{}}"), 400, "1 to 1000");
    EK_WANT(
        k, ek_write(k, "spiffe/entries/batch", "{\"entries\":[{" OK ",\"selector\":[\"a:b\"]},7]}"),
        200);
    EK_VALUE(k, mln_get(mln_item(mln_get(k->re.data, "results"), 0), "error"),
             "\"a registration entry has no \\\"selector\\\"\"");
    EK_VALUE(k, mln_get(mln_item(mln_get(k->re.data, "results"), 1), "status"), "\"invalid\"");
}

/* Similar: the same parent, id and selectors, in whatever order. */
static void test_similar(void **state)
{
    char path[80];
    (void)state;
    SK(k);
    const char *id = sk_entry(
        k, "{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"a:2\",\"a:1\",\"a:2\"]}");
    EK_VALUE(k, mln_get(k->re.data, "selectors"), "[\"a:1\",\"a:2\"]");
    EK_REFUSED(
        k,
        ek_write(k, "spiffe/entries",
                 "{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"a:1\",\"a:2\"]}"),
        400, id);
    const char *other = sk_entry(
        k, "{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"a:1\"],\"id\":\"mine\"}");
    assert_string_equal(other, "mine");
    EK_REFUSED(
        k,
        ek_write(
            k, "spiffe/entries",
            "{\"spiffe_id\":\"spiffe://example.org/b\",\"selectors\":[\"a:1\"],\"id\":\"mine\"}"),
        400, "exists already");
    EK_REFUSED(k, ek_write(k, "spiffe/entries/mine", "{\"selectors\":[\"a:2\",\"a:1\"]}"), 400, id);
    EK_WANT(k, ek_write(k, "spiffe/entries/mine", "{\"selectors\":[\"a:3\"]}"), 200);
    (void)sk_entry(
        k, "{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"a:1\"]}"); /* free again */
    (void)snprintf(path, sizeof(path), "spiffe/entries/%s", id);
    EK_WANT(k, ek_delete(k, path), 204);
    EK_WANT(k, ek_delete(k, path), 404);
    (void)sk_entry(k, "{\"spiffe_id\":\"spiffe://example.org/a\",\"selectors\":[\"a:1\",\"a:2\"]}");
    EK_WANT(k,
            ek_write(k, "spiffe/entries/mine",
                     "{\"federates_with\":\"x.org,y.org\",\"jwt_svid_ttl\":\"2m\"}"),
            200);
    EK_VALUE(k, mln_get(k->re.data, "federates_with"), "[\"spiffe://x.org\",\"spiffe://y.org\"]");
    EK_VALUE(k, mln_get(k->re.data, "jwt_svid_ttl"), "120");
    EK_VALUE(k, mln_get(k->re.data, "revision"), "2");
}

static void test_pages(void **state)
{
    char after[64] = "";
    size_t seen = 0;
    (void)state;
    SK(k);
    for (int i = 0; i < 25; i++) {
        char json[160];
        (void)snprintf(
            json, sizeof(json),
            "{\"spiffe_id\":\"spiffe://example.org/%d\",\"selectors\":[\"a:%d\",\"b:%d\"]}", i, i,
            i % 2);
        (void)sk_entry(k, json);
        k->now_ns++;
    }
    for (int page = 0; page < 3; page++) {
        char json[120];
        (void)snprintf(json, sizeof(json), "{\"limit\":10%s%s%s}",
                       after[0] != 0 ? ",\"after\":\"" : "", after, after[0] != 0 ? "\"" : "");
        EK_WANT(k, ek_call(k, MLN_OP_LIST, "spiffe/entries", json), 200);
        const struct mln_value *keys = mln_get(k->re.data, "keys");
        for (size_t i = 0; i < mln_len(keys); i++, seen++) {
            char want[64];
            (void)snprintf(want, sizeof(want), "spiffe://example.org/%zu", seen);
            const struct mln_value *row =
                mln_get_key(mln_get(k->re.data, "key_info"), mln_get_bytes(mln_item(keys, i)));
            assert_true(mln_is_text(mln_get(row, "spiffe_id"), want));
        }
        assert_true(mln_get_bool(mln_get(k->re.data, "has_more"), false) == (page < 2));
        (void)snprintf(after, sizeof(after), "%s",
                       mln_get_text(k->cx, mln_item(keys, mln_len(keys) - 1), ""));
    }
    assert_int_equal(seen, 25);
    EK_WANT(k, ek_call(k, MLN_OP_LIST, "spiffe/entries", "{\"selectors\":\"b:1\"}"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 12);
    EK_WANT(k, ek_call(k, MLN_OP_LIST, "spiffe/entries", "{\"selectors\":\"b:1,a:3\"}"), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "keys")), 1);
    EK_REFUSED(k, ek_call(k, MLN_OP_LIST, "spiffe/entries", "{\"limit\":0}"), 400, "limit");
    EK_REFUSED(k, ek_call(k, MLN_OP_LIST, "spiffe/entries", "{\"after\":\"gone\"}"), 400,
               "begin again");
}

static void test_bundles(void **state)
{
    static const struct {
        const char *json, *part;
    } t[] = {
        {"{\"bundle\":\"\"}", "JSON document"},
        {"{\"bundle\":{\"keys\":[]}}", "no key"},
        {"{\"bundle\":{\"keys\":7}}", "keys"},
        {"{\"bundle\":{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\"}]}}", "no key"},
        {"{\"bundle\":{\"keys\":[{\"use\":\"x509-svid\"}]}}", "exactly one certificate"},
        {"{\"bundle\":{\"keys\":[{\"use\":\"x509-svid\",\"x5c\":[\"AAAA\"]}]}}",
         "no CA's certificate"},
        {"{\"bundle\":{\"keys\":[{\"use\":\"x509-svid\",\"x5c\":[\"AAAA\",\"AAAA\"]}]}}",
         "exactly one certificate"},
        {"{\"bundle\":{\"keys\":[{\"use\":\"jwt-svid\",\"kty\":\"EC\"}]}}", "no kid"},
        {"{\"bundle\":{\"keys\":[{\"use\":\"jwt-svid\",\"kid\":\"a\",\"kty\":\"oct\",\"k\":"
         "\"AAAA\"}]}}",
         "no public key"},
        {"{\"bundle\":{\"keys\":[],\"spiffe_sequence\":-1}}", "spiffe_sequence"},
        {"{\"bundle\":{\"keys\":[],\"spiffe_sequence\":\"1\"}}", "spiffe_sequence"},
        {"{\"bundle\":\"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n\"}",
         "no CA's certificate"},
        {"{\"bundle\":\"-----BEGIN PRIVATE KEY-----\\nAAAA\\n-----END PRIVATE KEY-----\\n\"}",
         "nothing else"},
    };
    static char document[16384];
    (void)state;
    SK(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, "spiffe/bundles/other.org", t[i].json), 400, t[i].part);
    }
    EK_REFUSED(k, ek_write(k, "spiffe/bundles/Other", "{\"bundle\":{}}"), 400, "a-z");
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    EK_WANT(k, ek_read(k, "spiffe/bundle", NULL), 200);
    mln_json_print(&json, mln_get(k->re.data, "bundle"), MLN_JSON_COMPACT);
    (void)snprintf(document, sizeof(document), "{\"bundle\":%.*s}", (int)json.len,
                   (const char *)json.ptr);
    EK_REFUSED(k, ek_write(k, "spiffe/bundles/example.org", document), 400, "own trust domain");
    EK_WANT(k, ek_write(k, "spiffe/bundles/other.org", document), 204);
    assert_string_equal(k->topic, "spiffe/");
    /* who federates with it gets it, others do not */
    (void)sk_entry(k, "{" OK "}");
    (void)sk_entry(
        k, "{\"spiffe_id\":\"spiffe://example.org/"
           "b\",\"selectors\":[\"unix:uid:2\"],\"federates_with\":[\"other.org\",\"third.org\"]}");
    sk_be(k, "[\"unix:uid:1\"]");
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "federated")), 0);
    sk_be(k, "[\"unix:uid:2\"]");
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "federated")), 1);
    assert_true(mln_len(mln_get(mln_get(k->re.data, "federated"), "spiffe://other.org")) > 100);
    EK_WANT(k, ek_read(k, "spiffe/workload/jwt-bundles", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "bundles")), 2);
    EK_WANT(k, ek_read(k, "spiffe/workload/secrets", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "bundles")), 2);
    EK_WANT(k, ek_delete(k, "spiffe/bundles/other.org"), 204);
    EK_WANT(k, ek_delete(k, "spiffe/bundles/other.org"), 404);
    EK_WANT(k, ek_read(k, "spiffe/workload/x509-svids", NULL), 200);
    assert_int_equal(mln_len(mln_get(k->re.data, "federated")), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_similar),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_bundles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
