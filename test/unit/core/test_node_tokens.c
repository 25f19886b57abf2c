/* SPDX-License-Identifier: Apache-2.0 */
/* Whose token is it? Entries that come again under an id of before, or change while a node asks. */
#include "node_kit.h"

#include "crypto/jose_verify.h"

static void put_entry(struct ck *k, const char *parent, const char *id)
{
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/entries",
                    mln_text_format(&k->cx,
                                    "{\"id\":\"web\",\"spiffe_id\":\"%s\",\"parent_id\":\"%s\","
                                    "\"selectors\":[\"unix:uid:7\"]}",
                                    id, parent)),
            200);
}

static void drop_entry(struct ck *k)
{
    CK_WANT(k, ck_call(k, "root", "delete", "spiffe/entries/web", NULL), 204);
}

static int ask_jwt(struct ck *k, const char *session, const char *more)
{
    return ck_call(k, session, "write", "spiffe/nodes/jwt",
                   mln_text_format(&k->cx, "{\"entry\":\"web\",\"audience\":[\"db\"]%s}", more));
}

static const char *sub_of(struct ck *k, const char *token)
{
    struct mln_jose_token parsed;
    assert_false(mln_failed(mln_jose_parse(&k->cx, mln_bytes_of(token), &parsed)));
    return mln_get_text(&k->cx, mln_get(parsed.claims, "sub"), "");
}

/* The id comes again with revision 0: what was kept for the entry before is another's. */
static void test_an_id_that_comes_again(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    put_entry(k, n.id, "spiffe://example.org/admin");
    CK_WANT(k, ask_jwt(k, n.session, ""), 200);
    const char *first = text_at(k, "svid");
    assert_string_equal(sub_of(k, first), "spiffe://example.org/admin");
    CK_WANT(k, ask_jwt(k, n.session, ""), 200);
    assert_string_equal(text_at(k, "svid"), first); /* kept */
    drop_entry(k);
    put_entry(k, other.id, "spiffe://example.org/guest");
    CK_WANT(k, ask_jwt(k, other.session, ""), 200);
    assert_string_equal(sub_of(k, text_at(k, "svid")), "spiffe://example.org/guest");
    CK_WANT(k, ask_jwt(k, n.session, ""), 403);
    drop_entry(k);
    put_entry(k, n.id, "spiffe://example.org/admin"); /* all the same, but another entry */
    CK_WANT(k, ask_jwt(k, n.session, ""), 200);
    assert_string_equal(sub_of(k, text_at(k, "svid")), "spiffe://example.org/admin");
}

/* ---- a replica ---- */

static void replica_drop(struct mln_replica **at)
{
    mln_replica_free(*at);
}

static void follow(struct ck *k, struct mln_replica *r, const char *session)
{
    bool has_more = true;
    CK_WANT(k,
            ck_call(k, session, "read", "spiffe/nodes/sync",
                    mln_text_format(&k->cx, "{\"since\":\"%s\"}", mln_replica_revision(&k->cx, r))),
            200);
    assert_false(mln_failed(mln_replica_put(&k->cx, r, mln_get(k->answer, "data"), &has_more)));
    assert_false(has_more);
}

/* A certificate of the entry before is not put to the one that has its id and revision now. */
static void test_a_certificate_for_one_that_is_gone(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_batch *batch = NULL;
    const struct mln_value *body = NULL;
    int64_t now_s = mln_now_ns() / 1000000000;
    size_t count = 9;
    put_entry(k, n.id, "spiffe://example.org/web");
    follow(k, r, n.session);
    assert_false(mln_failed(mln_replica_due(&k->cx, r, NULL, now_s, &batch, &body)));
    assert_non_null(batch);
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/sign", ck_json(k, body)), 200);
    const struct mln_value *signed_ = mln_get(k->answer, "data");
    drop_entry(k);
    put_entry(k, n.id, "spiffe://example.org/web");
    follow(k, r, n.session);
    assert_false(mln_failed(mln_replica_certified(&k->cx, r, batch, signed_, now_s, &count)));
    assert_int_equal(count, 0);
}

/* ---- an entry that changes while a node asks ---- */

static void test_the_entry_that_is_known(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    put_entry(k, n.id, "spiffe://example.org/web");
    static const struct {
        const char *more;
        int want;
    } rows[] = {
        {",\"revision\":0,\"spiffe_id\":\"spiffe://example.org/web\"", 200},
        {",\"revision\":1,\"spiffe_id\":\"spiffe://example.org/web\"", 404},
        {",\"revision\":-1,\"spiffe_id\":\"spiffe://example.org/web\"", 404},
        {",\"revision\":0,\"spiffe_id\":\"spiffe://example.org/we\"", 404},
        {",\"revision\":0,\"spiffe_id\":\"\"", 404},
        {"", 200},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        CK_WANT(k, ask_jwt(k, n.session, rows[i].more), rows[i].want);
    }
}

static struct mln_err ask(struct ck *k, struct mln_replica *r, struct mln_replica_ask *a,
                          struct mln_replica_reply *ret)
{
    struct mln_value *data = mln_object(&k->cx), *selectors = mln_array(&k->cx),
                     *audience = mln_array(&k->cx);
    mln_push_text(&k->cx, selectors, "unix:uid:7");
    mln_push_text(&k->cx, audience, "db");
    mln_put(&k->cx, data, "audience", audience);
    *a = (struct mln_replica_ask){.question = MLN_BYTES("jwt-svid"),
                                  .data = data,
                                  .selectors = selectors,
                                  .tokens = mln_object(&k->cx),
                                  .now_ns = mln_now_ns()};
    return mln_replica_answer(&k->cx, r, a, ret);
}

/* The server's entry is another's by now: neither does it sign for what the node knows, nor does the node take what it signs. */
static void test_an_entry_that_changes_meanwhile(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_ask a;
    struct mln_replica_reply lacks, reply;
    put_entry(k, n.id, "spiffe://example.org/guest");
    follow(k, r, n.session);
    assert_false(mln_failed(ask(k, r, &a, &lacks)));
    assert_string_equal(lacks.entry, "web");
    const char *body = ck_json(k, lacks.body);
    drop_entry(k);
    put_entry(k, n.id, "spiffe://example.org/admin");
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/jwt", body), 404);
    CK_WANT(k, ask_jwt(k, n.session, ""), 200); /* as a server would that does not look */
    const struct mln_value *answer = mln_get(k->answer, "data");
    assert_true(mln_is(mln_replica_token(&k->cx, r, &a, &lacks, answer), MLN_E_NOT_FOUND));
    mln_cx_clear(&k->cx);
    assert_int_equal(mln_len(a.tokens), 0);
    assert_false(mln_failed(mln_replica_answer(&k->cx, r, &a, &reply)));
    assert_null(reply.data); /* it has none still */
    follow(k, r, n.session);
    assert_false(mln_failed(ask(k, r, &a, &lacks)));
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/jwt", ck_json(k, lacks.body)), 200);
    answer = mln_get(k->answer, "data");
    struct mln_value *later = mln_value_dup(&k->cx, answer);
    mln_put_int(&k->cx, later, "revision", 1);
    assert_true(mln_is(mln_replica_token(&k->cx, r, &a, &lacks, later), MLN_E_NOT_FOUND));
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(mln_replica_token(&k->cx, r, &a, &lacks, answer)));
    assert_int_equal(mln_len(a.tokens), 1);
    assert_false(mln_failed(mln_replica_answer(&k->cx, r, &a, &reply)));
    const char *token =
        mln_get_text(&k->cx, mln_get(mln_item(mln_get(reply.data, "svids"), 0), "svid"), "");
    assert_string_equal(sub_of(k, token), "spiffe://example.org/admin");
}

/* ---- tokens of another trust domain ---- */

/* Of spiffe://other.org/ns/a; with it, the bundle of that trust domain. */
static void of_another_domain(struct ck *k, const char **ret_token, const char **ret_bundle)
{
    MLN_AUTO(ck_drop) struct ck *other = ck_new();
    CK_WANT(other,
            ck_call(other, "root", "write", "spiffe/config", "{\"trust_domain\":\"other.org\"}"),
            204);
    struct joined n = join_node(other);
    put_entry(other, n.id, "spiffe://other.org/ns/a");
    CK_WANT(other, ask_jwt(other, n.session, ""), 200);
    *ret_token = mln_text_dup(&k->cx, mln_bytes_of(text_at(other, "svid")));
    CK_WANT(other, ck_call(other, "root", "read", "spiffe/bundle", NULL), 200);
    const struct mln_value *bundle = mln_get(mln_get(other->answer, "data"), "bundle");
    *ret_bundle = mln_text_dup(&k->cx, mln_bytes_of(ck_json(other, bundle)));
}

static struct mln_err validate(struct ck *k, struct mln_replica *r, const char *token)
{
    struct mln_replica_reply reply;
    struct mln_value *data = mln_object(&k->cx), *selectors = mln_array(&k->cx);
    mln_push_text(&k->cx, selectors, "unix:uid:7");
    mln_put_text(&k->cx, data, "audience", "db");
    mln_put_text(&k->cx, data, "svid", token);
    struct mln_replica_ask a = {.question = MLN_BYTES("validate"),
                                .data = data,
                                .selectors = selectors,
                                .now_ns = mln_now_ns()};
    return mln_replica_answer(&k->cx, r, &a, &reply);
}

static void relate(struct ck *k, const char *allowed)
{
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/federation/other.org",
                    mln_text_format(&k->cx,
                                    "{\"url\":\"https://other.org/b\",\"allowed_ids\":%s}",
                                    allowed)),
            200);
}

/* allowed_ids of a relationship bound what a node finds valid, too, as soon as it hears of them. */
static void test_ids_that_do_not_count(void **state)
{
    (void)state;
    NODES(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    const char *token = NULL, *bundle = NULL;
    struct joined n = join_node(k);
    of_another_domain(k, &token, &bundle);
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/bundles/other.org",
                    mln_text_format(&k->cx, "{\"bundle\":%s}", bundle)),
            204);
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/entries",
                    mln_text_format(&k->cx,
                                    "{\"spiffe_id\":\"spiffe://example.org/web\",\"parent_id\":\"%s\","
                                    "\"selectors\":[\"unix:uid:7\"],"
                                    "\"federates_with\":[\"spiffe://other.org\"]}",
                                    n.id)),
            200);
    follow(k, r, n.session);
    if (mln_failed(validate(k, r, token))) { /* no relationship: nothing narrows it */
        fail_msg("%s", k->cx.text);
    }
    static const struct {
        const char *allowed;
        bool is_taken;
    } rows[] = {
        {"[\"spiffe://other.org/ns/b\"]", false},
        {"[\"spiffe://other.org/ns/b\",\"spiffe://other.org/ns/*\"]", true},
        {"[\"spiffe://other.org/db/**\"]", false},
        {"[]", true},
        {"[\"spiffe://other.org/ns/a/b\"]", false},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        relate(k, rows[i].allowed);
        follow(k, r, n.session);
        struct mln_err err = validate(k, r, token);
        if (rows[i].is_taken ? mln_failed(err) : !mln_is(err, MLN_E_INVALID)) {
            fail_msg("%s: %s", rows[i].allowed, k->cx.text);
        }
        mln_cx_clear(&k->cx);
    }
    CK_WANT(k, ck_call(k, "root", "delete", "spiffe/federation/other.org", NULL), 204);
    follow(k, r, n.session);
    assert_false(mln_failed(validate(k, r, token)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_id_that_comes_again),
        cmocka_unit_test(test_a_certificate_for_one_that_is_gone),
        cmocka_unit_test(test_the_entry_that_is_known),
        cmocka_unit_test(test_an_entry_that_changes_meanwhile),
        cmocka_unit_test(test_ids_that_do_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
