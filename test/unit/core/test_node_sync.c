/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes hear of, what is signed for them and what not; and a replica that follows a server. */
#include "node_kit.h"

#define SYNC "spiffe/nodes/sync"

static const struct mln_value *sync_since(struct ck *k, const char *session, const char *since)
{
    CK_WANT(k,
            ck_call(k, session, "read", SYNC, mln_text_format(&k->cx, "{\"since\":\"%s\"}", since)),
            200);
    return mln_get(k->answer, "data");
}

static bool has_id(const struct mln_value *entries, const char *id)
{
    bool is_there = false;
    for (size_t i = 0; i < mln_len(entries); i++) {
        is_there = is_there || mln_is_text(mln_get(mln_item(entries, i), "id"), id);
    }
    return is_there;
}

static const char *at(struct ck *k, const struct mln_value *data)
{
    return mln_get_text(&k->cx, mln_get(data, "revision"), "");
}

static void test_what_a_node_hears(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    const char *mine = add_entry(k, n.id, "spiffe://example.org/mine");
    (void)add_entry(k, other.id, "spiffe://example.org/others");
    (void)add_entry(k, "spiffe://example.org/merlon/server", "spiffe://example.org/servers");
    const struct mln_value *data = sync_since(k, n.session, "");
    assert_true(mln_get_bool(mln_get(data, "whole"), false));
    assert_int_equal(mln_len(mln_get(data, "entries")), 1);
    assert_true(has_id(mln_get(data, "entries"), mine));
    assert_true(mln_is_text(mln_get(data, "node"), n.id));
    assert_true(mln_len(mln_get(mln_get(data, "keys"), "der")) > 100);
    const char *first = at(k, data);
    data = sync_since(k, n.session, first); /* nothing new */
    assert_false(mln_get_bool(mln_get(data, "whole"), true));
    assert_true(mln_len(mln_get(data, "entries")) == 0 && mln_len(mln_get(data, "gone")) == 0 &&
                mln_get(data, "keys") == NULL);
    (void)add_entry(k, other.id, "spiffe://example.org/others2");
    data = sync_since(k, n.session, first);
    assert_true(mln_len(mln_get(data, "entries")) == 0 && mln_len(mln_get(data, "gone")) == 0);
    const char *second = add_entry(k, n.id, "spiffe://example.org/second");
    data = sync_since(k, n.session, first);
    assert_true(mln_len(mln_get(data, "entries")) == 1 && has_id(mln_get(data, "entries"), second));
    const char *then = at(k, data);
    CK_WANT(k,
            ck_call(k, "root", "delete", mln_text_format(&k->cx, "spiffe/entries/%s", mine), NULL),
            204);
    data = sync_since(k, n.session, then);
    assert_true(mln_len(mln_get(data, "entries")) == 0 && mln_len(mln_get(data, "gone")) == 1);
    assert_true(mln_is_text(mln_item(mln_get(data, "gone"), 0), mine));
    assert_int_equal(mln_len(mln_get(sync_since(k, other.session, ""), "gone")),
                     0); /* no word of others' */
    then = at(k, data);
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/config", "{\"x509_svid_ttl\":600}"), 204);
    data = sync_since(k, n.session, then);
    assert_true(mln_get(data, "keys") != NULL && mln_len(mln_get(data, "entries")) == 0);
}

/* It goes to another parent: gone here, new there. */
static void test_an_entry_that_moves(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    const char *id = add_entry(k, n.id, "spiffe://example.org/mine");
    const char *since = at(k, sync_since(k, n.session, "")),
               *others = at(k, sync_since(k, other.session, ""));
    CK_WANT(k,
            ck_call(k, "root", "write", mln_text_format(&k->cx, "spiffe/entries/%s", id),
                    mln_text_format(&k->cx, "{\"parent_id\":\"%s\"}", other.id)),
            200);
    const struct mln_value *data = sync_since(k, n.session, since);
    assert_true(mln_is_text(mln_item(mln_get(data, "gone"), 0), id) &&
                mln_len(mln_get(data, "entries")) == 0);
    assert_true(has_id(mln_get(sync_since(k, other.session, others), "entries"), id));
}

static void test_how_far(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    (void)add_entry(k, n.id, "spiffe://example.org/mine");
    const char *now = at(k, sync_since(k, n.session, ""));
    static const char *const strange[] = {
        "x",       "....", "0123456789abcdef.1.1.1",
        "0.0.0.0", "-1",   "0123456789abcdef.99999999999999999999.1.1"};
    for (size_t i = 0; i < MLN_COUNT(strange); i++) {
        assert_true(mln_get_bool(mln_get(sync_since(k, n.session, strange[i]), "whole"), false));
    }
    struct mln_bytes rest, epoch = mln_bytes_cut(mln_bytes_of(now), '.', &rest);
    const char *future = mln_text_format(&k->cx, "%.*s.999999.999999.1", MLN_FMT(epoch));
    assert_true(mln_get_bool(mln_get(sync_since(k, n.session, future), "whole"), false));
    assert_false(mln_get_bool(mln_get(sync_since(k, n.session, now), "whole"), true));
}

/* Nothing new: core names a topic and lets front hold the answer; the topic is the node's own. */
static void test_watching(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    const char *since = mln_text_format(&k->cx, "{\"since\":\"%s\",\"wait\":7}",
                                        at(k, sync_since(k, n.session, "")));
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/watch", since), 204);
    assert_int_equal(mln_get_int(mln_get(k->answer, "hold"), 0), 7);
    const char *topic = mln_get_text(&k->cx, mln_get(k->answer, "topic"), "");
    assert_true(mln_bytes_starts(mln_bytes_of(topic), MLN_BYTES("spiffe-node/")));
    const char *others =
        mln_text_format(&k->cx, "{\"since\":\"%s\"}", at(k, sync_since(k, other.session, "")));
    CK_WANT(k, ck_call(k, other.session, "read", "spiffe/nodes/watch", others), 204);
    assert_string_not_equal(mln_get_text(&k->cx, mln_get(k->answer, "topic"), ""), topic);
    assert_int_equal(mln_get_int(mln_get(k->answer, "hold"), 0), 50);
    (void)add_entry(k, n.id, "spiffe://example.org/mine");
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/watch", since), 200);
    assert_null(mln_get(k->answer, "hold"));
    CK_WANT(k, ck_call(k, other.session, "read", "spiffe/nodes/watch", others), 204);
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/watch", "{\"wait\":0}"), 400);
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/watch", "{\"wait\":61}"), 400);
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/watch", "{}"),
            200); /* it knows nothing yet */
}

/* ---- signing ---- */

static int sign_one(struct ck *k, const char *session, const char *entry, const char *csr)
{
    return ck_call(
        k, session, "write", "spiffe/nodes/sign",
        mln_text_format(&k->cx, "{\"requests\":[{\"entry\":\"%s\",\"csr\":\"%s\"}]}", entry, csr));
}

static const struct mln_value *svid_at(struct ck *k, size_t i)
{
    return mln_item(mln_get(mln_get(k->answer, "data"), "svids"), i);
}

static void test_what_is_signed(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    struct mln_key key, p384, rsa, small;
    struct mln_x509_info info;
    const char *mine = add_entry(k, n.id, "spiffe://example.org/mine");
    const char *theirs = add_entry(k, other.id, "spiffe://example.org/others");
    const char *servers =
        add_entry(k, "spiffe://example.org/merlon/server", "spiffe://example.org/servers");
    const char *csr = new_csr(k, &key);
    CK_WANT(k, sign_one(k, n.session, mine, csr), 200);
    struct mln_bytes chain = der_at(k, mln_get_text(&k->cx, mln_get(svid_at(k, 0), "chain"), ""));
    assert_false(mln_failed(mln_x509_cert_read(&k->cx, chain, &info)));
    assert_true(mln_bytes_eq(info.spki, key.spki) && !info.is_ca);
    assert_true(info.sans_n == 1 && mln_bytes_is(info.sans[0].value, "spiffe://example.org/mine"));
    assert_true(is_recorded(k, mln_hex_text(&k->cx, info.serial))); /* and it says for whom */
    CK_WANT(k, sign_one(k, n.session, theirs, csr), 403);
    assert_string_equal(ck_error(k), "this entry is not below this node");
    assert_true(is_recorded(k, mln_text_format(&k->cx, "\"refused_entry\":\"%s\"", theirs)));
    CK_WANT(k, sign_one(k, n.session, servers, csr), 403);
    assert_true(is_recorded(k, mln_text_format(&k->cx, "\"refused_entry\":\"%s\"", servers)));
    CK_WANT(k, sign_one(k, n.session, "0123", csr), 200);
    assert_true(mln_is_text(mln_get(svid_at(k, 0), "error"), "no such entry"));
    assert_false(mln_failed(mln_key_generate(&k->cx, MLN_KEY_EC, 384, &p384)));
    CK_WANT(k, sign_one(k, n.session, mine, csr_of(k, &p384)), 200);
    assert_false(mln_failed(mln_key_generate(&k->cx, MLN_KEY_RSA, 2048, &rsa)));
    CK_WANT(k, sign_one(k, n.session, mine, csr_of(k, &rsa)), 200);
    assert_false(mln_failed(mln_key_generate(&k->cx, MLN_KEY_ED25519, 0, &small)));
    CK_WANT(k, sign_one(k, n.session, mine, csr_of(k, &small)), 400);
    char *broken = (char *)(uintptr_t)mln_text_dup(&k->cx, mln_bytes_of(csr));
    broken[mln_bytes_of(csr).len - 12] =
        broken[mln_bytes_of(csr).len - 12] == 'A' ? 'B' : 'A'; /* in the signature */
    CK_WANT(k, sign_one(k, n.session, mine, broken), 400);
    CK_WANT(k, sign_one(k, n.session, mine, ""), 400);
    CK_WANT(k, sign_one(k, n.session, mine, "AAAA"), 400);
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/sign", "{\"requests\":[]}"), 400);
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/sign", "{\"requests\":{}}"), 400);
    /* one that is another's among many that are not: nothing is signed */
    CK_WANT(k,
            ck_call(k, n.session, "write", "spiffe/nodes/sign",
                    mln_text_format(&k->cx,
                                    "{\"requests\":[{\"entry\":\"%s\",\"csr\":\"%s\"},{\"entry\":"
                                    "\"%s\",\"csr\":\"%s\"}]}",
                                    mine, csr, theirs, csr)),
            403);
}

static void test_too_many_at_once(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    struct mln_key key;
    const char *mine = add_entry(k, n.id, "spiffe://example.org/mine"), *csr = new_csr(k, &key),
               *list = "";
    for (unsigned i = 0; i < MLN_REPLICA_BATCH; i++) {
        list = mln_text_format(&k->cx, "%s%s{\"entry\":\"%s\",\"csr\":\"%s\"}", list,
                               i > 0 ? "," : "", mine, csr);
    }
    CK_WANT(k,
            ck_call(k, n.session, "write", "spiffe/nodes/sign",
                    mln_text_format(&k->cx, "{\"requests\":[%s]}", list)),
            200);
    assert_int_equal(mln_len(mln_get(mln_get(k->answer, "data"), "svids")), MLN_REPLICA_BATCH);
    assert_true(k->blocks > 0);
    CK_WANT(k,
            ck_call(k, n.session, "write", "spiffe/nodes/sign",
                    mln_text_format(&k->cx, "{\"requests\":[%s,{\"entry\":\"a\",\"csr\":\"b\"}]}",
                                    list)),
            400);
}

static void test_tokens(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    const char *mine = add_entry(k, n.id, "spiffe://example.org/mine");
    const char *theirs = add_entry(k, other.id, "spiffe://example.org/others");
    const char *body = mln_text_format(&k->cx, "{\"entry\":\"%s\",\"audience\":[\"a\"]}", mine);
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/jwt", body), 200);
    assert_true(mln_bytes_starts(mln_bytes_of(text_at(k, "svid")), MLN_BYTES("eyJ")));
    CK_WANT(k, ck_call(k, other.session, "write", "spiffe/nodes/jwt", body), 403);
    assert_true(is_recorded(k, mln_text_format(&k->cx, "\"refused_entry\":\"%s\"", mine)));
    CK_WANT(k,
            ck_call(k, n.session, "write", "spiffe/nodes/jwt",
                    mln_text_format(&k->cx, "{\"entry\":\"%s\",\"audience\":[]}", mine)),
            400);
    CK_WANT(k,
            ck_call(k, n.session, "write", "spiffe/nodes/jwt",
                    "{\"entry\":\"0123\",\"audience\":[\"a\"]}"),
            404);
    CK_WANT(k,
            ck_call(k, n.session, "write", "spiffe/nodes/jwt",
                    mln_text_format(&k->cx, "{\"entry\":\"%s\",\"audience\":[\"a\"]}", theirs)),
            403);
}

/* ---- a replica ---- */

static void replica_drop(struct mln_replica **at)
{
    mln_replica_free(*at);
}

/* As a node does: all pages, and certificates for what is due. */
static void follow(struct ck *k, struct mln_replica *r, const char *session)
{
    bool has_more = true;
    struct mln_replica_batch *batch = NULL;
    const struct mln_value *body = NULL;
    size_t n = 1;
    while (has_more) {
        const struct mln_value *data = sync_since(k, session, mln_replica_revision(&k->cx, r));
        assert_false(mln_failed(mln_replica_put(&k->cx, r, data, &has_more)));
    }
    while (n > 0) {
        int64_t now_s = mln_now_ns() / 1000000000;
        assert_false(mln_failed(mln_replica_due(&k->cx, r, NULL, now_s, &batch, &body)));
        if (batch == NULL) {
            return;
        }
        CK_WANT(k, ck_call(k, session, "write", "spiffe/nodes/sign", ck_json(k, body)), 200);
        assert_false(mln_failed(
            mln_replica_certified(&k->cx, r, batch, mln_get(k->answer, "data"), now_s, &n)));
    }
}

static struct mln_err ask(struct ck *k, struct mln_replica *r, const char *question,
                          const char *data, bool is_cut_off, int64_t later_s,
                          struct mln_replica_reply *ret)
{
    const struct mln_value *parsed = NULL;
    struct mln_value *selectors = mln_array(&k->cx);
    mln_cx_clear(&k->cx);
    mln_push_text(&k->cx, selectors, "unix:gid:7");
    mln_push_text(&k->cx, selectors, "unix:uid:7");
    assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(data), &parsed)));
    struct mln_replica_ask a = {.question = mln_bytes_of(question),
                                .data = parsed,
                                .selectors = selectors,
                                .now_ns = mln_now_ns() + later_s * 1000000000,
                                .is_cut_off = is_cut_off};
    struct mln_err err = mln_replica_answer(&k->cx, r, &a, ret);
    if (!mln_failed(err) && ret->entry != NULL) {
        struct mln_replica_reply lacks = *ret;
        const char *body = ck_json(k, lacks.body);
        CK_WANT(k,
                ck_call(k, mln_get_text(&k->cx, mln_get(parsed, "session"), ""), "write",
                        "spiffe/nodes/jwt", body),
                200);
        assert_false(
            mln_failed(mln_replica_token(&k->cx, r, &a, &lacks, mln_get(k->answer, "data"))));
        err = mln_replica_answer(&k->cx, r, &a, ret);
    }
    return err;
}

static void test_a_replica_answers(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_reply reply;
    assert_true(mln_is(ask(k, r, "x509-svids", "{}", false, 0, &reply),
                       MLN_E_UNREACHABLE)); /* it has heard nothing */
    follow(k, r, n.session);
    assert_true(mln_is(ask(k, r, "x509-svids", "{}", false, 0, &reply), MLN_E_DENIED));
    assert_true(mln_is(ask(k, r, "x509-bundles", "{}", false, 0, &reply), MLN_E_DENIED));
    const char *mine = add_entry(k, n.id, "spiffe://example.org/mine");
    follow(k, r, n.session);
    assert_false(mln_failed(ask(k, r, "x509-svids", "{}", false, 0, &reply)));
    const struct mln_value *svid = mln_item(mln_get(reply.data, "svids"), 0);
    assert_true(mln_is_text(mln_get(svid, "spiffe_id"), "spiffe://example.org/mine"));
    struct mln_key key;
    struct mln_x509_info leaf;
    assert_false(mln_failed(mln_key_read(&k->cx, mln_get_bytes(mln_get(svid, "key")), &key)));
    assert_false(
        mln_failed(mln_x509_cert_read(&k->cx, mln_get_bytes(mln_get(svid, "chain")), &leaf)));
    assert_true(mln_bytes_eq(key.spki, leaf.spki));
    assert_true(mln_len(mln_get(svid, "bundle")) > 100);
    assert_false(mln_failed(ask(k, r, "jwt-bundles", "{}", false, 0, &reply)));
    assert_int_equal(mln_len(mln_get(reply.data, "bundles")), 1);
    const char *question =
        mln_text_format(&k->cx, "{\"audience\":[\"a\"],\"session\":\"%s\"}", n.session);
    assert_false(mln_failed(ask(k, r, "jwt-svid", question, false, 0, &reply)));
    const char *token =
        mln_get_text(&k->cx, mln_get(mln_item(mln_get(reply.data, "svids"), 0), "svid"), "");
    assert_false(mln_failed(ask(
        k, r, "validate", mln_text_format(&k->cx, "{\"audience\":\"a\",\"svid\":\"%s\"}", token),
        false, 0, &reply)));
    assert_true(mln_is_text(mln_get(reply.data, "spiffe_id"), "spiffe://example.org/mine"));
    assert_true(mln_is(ask(k, r, "validate",
                           mln_text_format(&k->cx, "{\"audience\":\"b\",\"svid\":\"%s\"}", token),
                           false, 0, &reply),
                       MLN_E_INVALID));
    assert_true(
        mln_is(ask(k, r, "jwt-svid", "{\"audience\":[]}", false, 0, &reply), MLN_E_INVALID));
    assert_true(mln_is(ask(k, r, "jwt-svid",
                           "{\"audience\":[\"a\"],\"spiffe_id\":\"spiffe://example.org/x\"}", false,
                           0, &reply),
                       MLN_E_DENIED));
    assert_true(mln_is(ask(k, r, "magic", "{}", false, 0, &reply), MLN_E_NO_ROUTE));
    CK_WANT(k,
            ck_call(k, "root", "delete", mln_text_format(&k->cx, "spiffe/entries/%s", mine), NULL),
            204);
    follow(k, r, n.session);
    assert_true(mln_is(ask(k, r, "x509-svids", "{}", false, 0, &reply), MLN_E_DENIED));
}

/* The server is away: SVIDs are given until they die, however long half of their lives is over. */
static void test_a_replica_cut_off(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_reply reply;
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/config",
                    "{\"x509_svid_ttl\":1000,\"jwt_svid_ttl\":1000}"),
            204);
    (void)add_entry(k, n.id, "spiffe://example.org/mine");
    follow(k, r, n.session);
    int64_t now_s = mln_now_ns() / 1000000000;
    assert_in_range(mln_replica_next_s(r, now_s, 10000), 390, 610);
    const char *question =
        mln_text_format(&k->cx, "{\"audience\":[\"a\"],\"session\":\"%s\"}", n.session);
    assert_false(mln_failed(ask(k, r, "jwt-svid", question, false, 0, &reply)));
    static const struct {
        const char *question;
        int64_t later_s;
        bool is_cut_off;
        enum mln_code want;
        bool has_answer;
    } rows[] = {
        {"x509-svids", 300, false, MLN_E_OK, true},
        {"x509-svids", 700, false, MLN_E_OK, false}, /* half is over: a new one is wanted */
        {"x509-svids", 700, true, MLN_E_OK, true},
        {"x509-svids", 990, true, MLN_E_OK, true},
        {"x509-svids", 1010, true, MLN_E_UNREACHABLE, false},
        {"x509-svids", -100, false, MLN_E_OK, false}, /* the clock was set back */
        {"jwt-svid", 700, true, MLN_E_OK, true},
        {"jwt-svid", 1010, true, MLN_E_UNREACHABLE, false},
        {"x509-bundles", 100000, true, MLN_E_OK, true},
        {"secrets", 990, true, MLN_E_OK, true},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        reply = (struct mln_replica_reply){0};
        struct mln_err err = ask(k, r, rows[i].question, "{\"audience\":[\"a\"]}",
                                 rows[i].is_cut_off, rows[i].later_s, &reply);
        if (err.code != rows[i].want || (reply.data != NULL) != rows[i].has_answer) {
            fail_msg("row %zu: %s %s", i, mln_err_name((enum mln_code)err.code), k->cx.text);
        }
    }
    assert_true(mln_is(ask(k, r, "jwt-svid", "{\"audience\":[\"new\"]}", true, 0, &reply),
                       MLN_E_UNREACHABLE));
}

/* Many pages, an entry that goes between two of them, a server that begins anew: SVIDs of what stays stay. */
static void test_a_replica_of_many(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    bool has_more = false;
    size_t entries = 0, svids = 0;
    const char *ids[1100];
    for (unsigned i = 0; i < MLN_COUNT(ids); i++) {
        ids[i] = add_entry(k, n.id, mln_text_format(&k->cx, "spiffe://example.org/w%u", i));
    }
    const struct mln_value *data = sync_since(k, n.session, "");
    assert_false(mln_failed(mln_replica_put(&k->cx, r, data, &has_more)));
    assert_true(has_more);
    CK_WANT(
        k, ck_call(k, "root", "delete", mln_text_format(&k->cx, "spiffe/entries/%s", ids[3]), NULL),
        204);
    CK_WANT(
        k,
        ck_call(k, "root", "delete", mln_text_format(&k->cx, "spiffe/entries/%s", ids[1050]), NULL),
        204);
    int64_t now_s = mln_now_ns() / 1000000000;
    while (has_more) {
        data = sync_since(k, n.session, mln_replica_revision(&k->cx, r));
        assert_false(mln_get_bool(mln_get(data, "whole"), true));
        assert_false(mln_failed(mln_replica_put(&k->cx, r, data, &has_more)));
    }
    mln_replica_count(r, now_s, &entries, &svids);
    assert_int_equal(entries, MLN_COUNT(ids) - 2);
    assert_int_equal(svids, 0);
}

static void test_a_server_that_begins_anew(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_reply reply;
    size_t entries = 0, svids = 0;
    const char *goes = add_entry(k, n.id, "spiffe://example.org/goes");
    (void)add_entry(k, n.id, "spiffe://example.org/stays");
    follow(k, r, n.session);
    CK_WANT(k,
            ck_call(k, "root", "delete", mln_text_format(&k->cx, "spiffe/entries/%s", goes), NULL),
            204);
    mln_core_close(k->core);
    ck_open(k);
    const struct mln_value *data =
        sync_since(k, n.session, mln_replica_revision(&k->cx, r)); /* the session is there still */
    bool has_more = true;
    assert_true(mln_get_bool(mln_get(data, "whole"), false));
    assert_false(mln_failed(mln_replica_put(&k->cx, r, data, &has_more)));
    mln_replica_count(r, mln_now_ns() / 1000000000, &entries, &svids);
    assert_true(entries == 1 && svids == 1); /* not made again */
    assert_false(mln_failed(ask(k, r, "x509-svids", "{}", false, 0, &reply)));
    assert_int_equal(mln_len(mln_get(reply.data, "svids")), 1);
}

/* An authority that is tainted ends its SVIDs here as there. */
static void test_a_tainted_authority(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_reply reply;
    (void)add_entry(k, n.id, "spiffe://example.org/mine");
    follow(k, r, n.session);
    assert_false(mln_failed(ask(k, r, "x509-svids", "{}", false, 0, &reply)));
    struct mln_bytes before =
        mln_get_bytes(mln_get(mln_item(mln_get(reply.data, "svids"), 0), "chain"));
    CK_WANT(k, ck_call(k, "root", "list", "spiffe/authority/x509", NULL), 200);
    const char *id =
        mln_get_text(&k->cx, mln_item(mln_get(mln_get(k->answer, "data"), "keys"), 0), "");
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/authority/x509/prepare", "{}"), 200);
    CK_WANT(k, ck_call(k, "root", "list", "spiffe/authority/x509", NULL), 200);
    const struct mln_value *keys = mln_get(mln_get(k->answer, "data"), "keys");
    size_t newer = mln_is_text(mln_item(keys, 0), id) ? 1 : 0;
    const char *next = mln_text_format(&k->cx, "{\"authority_id\":\"%s\"}",
                                       mln_get_text(&k->cx, mln_item(keys, newer), ""));
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/authority/x509/activate", next), 200);
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/authority/x509/taint",
                    mln_text_format(&k->cx, "{\"authority_id\":\"%s\"}", id)),
            200);
    bool has_more = false;
    assert_false(mln_failed(mln_replica_put(
        &k->cx, r, sync_since(k, n.session, mln_replica_revision(&k->cx, r)), &has_more)));
    assert_false(mln_failed(ask(k, r, "x509-svids", "{}", false, 0, &reply)));
    assert_int_equal(mln_len(reply.ids), 1); /* a new one is wanted */
    assert_true(mln_is(ask(k, r, "x509-svids", "{}", true, 0, &reply), MLN_E_UNREACHABLE));
    assert_false(mln_replica_trusts(r, id));
    follow(k, r, n.session);
    assert_false(mln_failed(ask(k, r, "x509-svids", "{}", false, 0, &reply)));
    assert_false(mln_bytes_eq(
        mln_get_bytes(mln_get(mln_item(mln_get(reply.data, "svids"), 0), "chain")), before));
}

/* As a node does for a pod: it has templates asked, hears what they made, and answers of that. */
static struct mln_err ask_pod(struct ck *k, struct mln_replica *r, const char *session,
                              const char *selectors, struct mln_replica_reply *ret)
{
    const struct mln_value *shown = NULL;
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(selectors), &shown)));
    struct mln_replica_ask a = {.question = MLN_BYTES("x509-svids"),
                                .data = mln_object(&k->cx),
                                .selectors = shown,
                                .now_ns = mln_now_ns()};
    struct mln_err err = mln_replica_answer(&k->cx, r, &a, ret);
    if (!mln_failed(err) && ret->needs_match) {
        const char *body = mln_text_format(&k->cx, "{\"selectors\":%s}", selectors);
        CK_WANT(k, ck_call(k, session, "write", "spiffe/nodes/match", body), 204);
        follow(k, r, session);
        mln_replica_matched(r, shown);
        err = mln_replica_answer(&k->cx, r, &a, ret);
        assert_false(ret->needs_match);
    }
    return err;
}

static void test_templates(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_reply reply;
    CK_WANT(k,
            ck_call(k, "root", "write", "spiffe/templates/pods",
                    mln_text_format(&k->cx,
                                    "{\"spiffe_id\":\"spiffe://example.org/ns/{{ns}}/sa/"
                                    "{{sa}}\",\"parent_ids\":[\"%s\"],"
                                    "\"namespaces\":[\"prod\"]}",
                                    n.id)),
            200);
    follow(k, r, n.session);
    assert_false(mln_failed(ask_pod(k, r, n.session, "[\"k8s:ns:prod\",\"k8s:sa:api\"]", &reply)));
    const struct mln_value *svid = mln_item(mln_get(reply.data, "svids"), 0);
    assert_true(mln_is_text(mln_get(svid, "spiffe_id"), "spiffe://example.org/ns/prod/sa/api"));
    static const char *const none[] = {"[\"k8s:ns:dev\",\"k8s:sa:api\"]", "[\"k8s:ns:prod\"]",
                                       "[\"k8s:ns:prod\",\"k8s:sa:../../merlon/server\"]",
                                       "[\"k8s:ns:prod\",\"k8s:ns:stage-1\",\"k8s:sa:api\"]"};
    for (size_t i = 0; i < MLN_COUNT(none); i++) {
        if (!mln_is(ask_pod(k, r, n.session, none[i], &reply), MLN_E_DENIED)) {
            fail_msg("%s gets an identity", none[i]);
        }
    }
    /* another node is none of those that the template names */
    CK_WANT(k,
            ck_call(k, other.session, "write", "spiffe/nodes/match",
                    "{\"selectors\":[\"k8s:ns:prod\",\"k8s:sa:api\"]}"),
            204);
    assert_int_equal(mln_len(mln_get(sync_since(k, other.session, ""), "entries")), 0);
    static const char *const bad[] = {"{}", "{\"selectors\":{}}", "{\"selectors\":[\"nocolon\"]}",
                                      "{\"selectors\":[7]}"};
    for (size_t i = 0; i < MLN_COUNT(bad); i++) {
        CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/match", bad[i]), 400);
    }
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/match", "{\"selectors\":[]}"), 403);
    CK_WANT(k, ck_call(k, "root", "delete", "spiffe/templates/pods", NULL), 204);
    follow(k, r, n.session);
    assert_true(
        mln_is(ask_pod(k, r, n.session, "[\"k8s:ns:prod\",\"k8s:sa:api\"]", &reply), MLN_E_DENIED));
}

/* One pod, which each of the templates takes. */
static int match_pod(struct ck *k, const char *session, size_t i)
{
    return ck_call(k, session, "write", "spiffe/nodes/match",
                   mln_text_format(&k->cx, "{\"selectors\":[\"k8s:ns:prod\",\"k8s:sa:s%zu\"]}", i));
}

/* Of 64 templates and a node that names pods without end: it loses its own entries, and then waits; another one notices nothing. */
static void test_a_node_that_names_pods_without_end(void **state)
{
    (void)state;
    NODES(k);
    enum { EACH = 64, PODS = 4096 / EACH };
    struct joined n = join_node(k), other = join_node(k);
    for (size_t i = 0; i < EACH; i++) {
        CK_WANT(k,
                ck_call(k, "root", "write", mln_text_format(&k->cx, "spiffe/templates/t%zu", i),
                        mln_text_format(&k->cx,
                                        "{\"spiffe_id\":\"spiffe://example.org/t%zu/{{sa}}\","
                                        "\"parent_ids\":"
                                        "[\"spiffe://example.org/merlon/node/**\"]}",
                                        i)),
                200);
    }
    CK_WANT(k, match_pod(k, other.session, 0), 204);
    const char *before =
        mln_get_text(&k->cx, mln_get(sync_since(k, other.session, ""), "revision"), "");
    CK_WANT(k, match_pod(k, n.session, 0), 204);
    const char *own = mln_get_text(&k->cx, mln_get(sync_since(k, n.session, ""), "revision"), "");
    for (size_t i = 1; i <= PODS; i++) { /* the last one is too much */
        CK_WANT(k, match_pod(k, n.session, i), 204);
    }
    const struct mln_value *told = sync_since(k, n.session, own);
    assert_true(mln_get_bool(mln_get(told, "whole"), false));
    assert_int_equal(mln_len(mln_get(told, "entries")), EACH);
    told = sync_since(k, other.session, before);
    assert_false(mln_get_bool(mln_get(told, "whole"), true));
    assert_int_equal(mln_len(mln_get(told, "gone")), 0);
    assert_int_equal(mln_len(mln_get(sync_since(k, other.session, ""), "entries")), EACH);
    for (size_t i = 1; i < PODS; i++) {
        CK_WANT(k, match_pod(k, n.session, PODS + i), 204);
    }
    CK_WANT(k, match_pod(k, n.session, 2 * PODS), 429);
    CK_WANT(k, match_pod(k, n.session, PODS), 204); /* it is there */
    CK_WANT(k, match_pod(k, other.session, 1), 204);
    assert_int_equal(mln_len(mln_get(sync_since(k, other.session, ""), "entries")), 2 * EACH);
}

/* What is no answer of a server leaves a replica as it was. */
static void test_answers_that_are_none(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    MLN_AUTO(replica_drop) struct mln_replica *r = mln_replica_new();
    struct mln_replica_reply reply;
    struct mln_replica_batch *batch = NULL;
    const struct mln_value *body = NULL, *data = NULL;
    size_t got = 0;
    bool has_more = false;
    (void)add_entry(k, n.id, "spiffe://example.org/mine");
    data = sync_since(k, n.session, "");
    static const struct {
        const char *member, *json;
    } rows[] = {
        {"revision", "\"\""},
        {"revision", "7"},
        {"node", "\"\""},
        {"keys", "{}"},
        {"keys", "{\"domain\":\"example.org\",\"key_kind\":\"ec\",\"key_bits\":256,\"der\":\"!\","
                 "\"jwks\":\"{}\"}"},
        {"entries", "[{}]"},
        {"entries", "[{\"id\":\"a\",\"parent_id\":\"b\",\"spiffe_id\":\"c\",\"selectors\":[]}]"}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const struct mln_value *part = NULL;
        struct mln_value *bad = mln_value_dup(&k->cx, data);
        assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(rows[i].json), &part)));
        mln_put(&k->cx, bad, rows[i].member, part);
        if (!mln_is(mln_replica_put(&k->cx, r, bad, &has_more), MLN_E_REMOTE)) {
            fail_msg("row %zu is taken", i);
        }
        mln_cx_clear(&k->cx);
        assert_string_equal(mln_replica_revision(&k->cx, r), "");
    }
    assert_false(mln_failed(mln_replica_put(&k->cx, r, data, &has_more)));
    int64_t now_s = mln_now_ns() / 1000000000;
    assert_false(mln_failed(mln_replica_due(&k->cx, r, NULL, now_s, &batch, &body)));
    struct mln_key other;
    const char *id =
        mln_get_text(&k->cx, mln_get(mln_item(mln_get(body, "requests"), 0), "entry"), "");
    CK_WANT(k, sign_one(k, n.session, id, new_csr(k, &other)), 200); /* another key's certificate */
    assert_true(
        mln_is(mln_replica_certified(&k->cx, r, batch, mln_get(k->answer, "data"), now_s, &got),
               MLN_E_REMOTE));
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(ask(k, r, "x509-svids", "{}", false, 0, &reply)));
    assert_int_equal(mln_len(reply.ids), 1);
    mln_replica_clear(r);
    assert_true(mln_is(ask(k, r, "x509-svids", "{}", false, 0, &reply), MLN_E_UNREACHABLE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_node_hears),
        cmocka_unit_test(test_an_entry_that_moves),
        cmocka_unit_test(test_how_far),
        cmocka_unit_test(test_watching),
        cmocka_unit_test(test_what_is_signed),
        cmocka_unit_test(test_too_many_at_once),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_a_replica_answers),
        cmocka_unit_test(test_a_replica_cut_off),
        cmocka_unit_test(test_a_replica_of_many),
        cmocka_unit_test(test_a_server_that_begins_anew),
        cmocka_unit_test(test_a_tainted_authority),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_a_node_that_names_pods_without_end),
        cmocka_unit_test(test_answers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
