/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: how they show who they are, what they get and what not, and that a proof works once. */
#include "core_kit.h"

#include "base/clock.h"
#include "base/text.h"
#include "crypto/akey.h"
#include "crypto/crypto.h"
#include "crypto/digest.h"
#include "crypto/x509.h"

static struct ck *node_start(void)
{
    struct ck *k = ck_new();
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/config", "{\"trust_domain\":\"example.org\"}"),
            204);
    return k;
}
#define NODES(k) MLN_AUTO(ck_drop) struct ck *k = node_start()

static const char *text_at(struct ck *k, const char *name)
{
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, "data"), name), "");
}

/* A node by join token; its session, and its id into ret_id. */
static const char *join(struct ck *k, const char **ret_id)
{
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/join-token", "{\"ttl\":60}"), 200);
    const char *token = text_at(k, "token");
    const char *json = mln_text_format(
        &k->cx, "{\"method\":\"join_token\",\"payload\":{\"token\":\"%s\"}}", token);
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/attest", json), 200);
    *ret_id = text_at(k, "spiffe_id");
    const char *session = text_at(k, "session");
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/attest", json), 403); /* once */
    assert_string_equal(ck_error(k), "this node is not attested");
    return session;
}

static void entry(struct ck *k, const char *parent, const char *id)
{
    const char *json = mln_text_format(
        &k->cx, "{\"spiffe_id\":\"%s\",\"parent_id\":\"%s\",\"selectors\":[\"unix:uid:7\"]}", id,
        parent);
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/entries", json), 200);
}

/* What a process with unix:uid:7 on that node is answered: CBOR in raw. */
static const struct mln_value *ask(struct ck *k, const char *session, const char *question,
                                   const char *data)
{
    const struct mln_value *all = NULL;
    const char *json = mln_text_format(
        &k->cx, "{\"ask\":\"%s\",\"selectors\":[\"unix:gid:7\",\"unix:uid:7\"],\"data\":%s}",
        question, data);
    CK_WANT(k, ck_call(k, session, "write", "spiffe/nodes/workload", json), 200);
    assert_false(
        mln_failed(mln_cbor_parse(&k->cx, mln_get_bytes(mln_get(k->answer, "raw")), &all)));
    return all;
}

static void test_a_node_gets_what_is_below_it(void **state)
{
    (void)state;
    NODES(k);
    const char *id = NULL, *other = NULL;
    const char *session = join(k, &id), *second = join(k, &other);
    assert_true(mln_bytes_starts(mln_bytes_of(id),
                                 MLN_BYTES("spiffe://example.org/merlon/node/join_token/")));
    entry(k, id, "spiffe://example.org/mine");
    entry(k, other, "spiffe://example.org/others");
    entry(k, "spiffe://example.org/merlon/server", "spiffe://example.org/servers");
    const struct mln_value *svids =
        mln_get(mln_get(ask(k, session, "x509-svids", "{}"), "data"), "svids");
    assert_int_equal(mln_len(svids), 1);
    assert_true(mln_is_text(mln_get(mln_item(svids, 0), "spiffe_id"), "spiffe://example.org/mine"));
    assert_true(mln_len(mln_get(mln_item(svids, 0), "key")) > 0);
    svids = mln_get(mln_get(ask(k, second, "x509-svids", "{}"), "data"), "svids");
    assert_true(
        mln_is_text(mln_get(mln_item(svids, 0), "spiffe_id"), "spiffe://example.org/others"));
    const struct mln_value *all = ask(k, session, "jwt-svid", "{\"audience\":[\"a\"]}");
    assert_int_equal(mln_get_int(mln_get(all, "grpc"), -1), 0);
    assert_int_equal(mln_len(mln_get(mln_get(all, "data"), "svids")), 1);
    all = ask(k, session, "jwt-svid",
              "{\"audience\":[\"a\"],\"spiffe_id\":\"spiffe://example.org/others\"}");
    assert_int_equal(mln_get_int(mln_get(all, "grpc"), -1),
                     7); /* the process's refusal, as an answer */
    all = ask(k, session, "jwt-svid", "{\"audience\":[]}");
    assert_int_equal(mln_get_int(mln_get(all, "grpc"), -1), 3);
}

static const char *revision(struct ck *k, const char *session)
{
    CK_WANT(k, ck_call(k, session, "read", "spiffe/nodes/revision", NULL), 200);
    return text_at(k, "revision");
}

/* Changes of others' entries are no news; one's own are, and new keys. */
static void test_what_changes_a_revision(void **state)
{
    (void)state;
    NODES(k);
    const char *id = NULL, *other = NULL;
    const char *session = join(k, &id);
    (void)join(k, &other);
    const char *first = revision(k, session);
    entry(k, other, "spiffe://example.org/others");
    assert_string_equal(revision(k, session), first);
    entry(k, id, "spiffe://example.org/mine");
    const char *second = revision(k, session);
    assert_string_not_equal(second, first);
    (void)ask(k, session, "x509-svids", "{}");
    const char *third = revision(k, session);
    assert_string_not_equal(third, second); /* an SVID was made */
    (void)ask(k, session, "x509-svids", "{}");
    assert_string_equal(revision(k, session), third);
}

static void test_who_is_no_node(void **state)
{
    (void)state;
    NODES(k);
    const char *id = NULL;
    const char *session = join(k, &id);
    const struct ck_step steps[] = {
        {NULL, "read", "spiffe/nodes/revision", NULL, 403, NULL, "only for nodes: attest first"},
        {"root", "read", "spiffe/nodes/revision", NULL, 403, NULL, "only for nodes: attest first"},
        {"mns.0123", "read", "spiffe/nodes/revision", NULL, 403, NULL,
         "this node is not known here: attest again"},
        {"mns.0123", "write", "spiffe/nodes/workload", "{\"ask\":\"x509-svids\",\"selectors\":[]}",
         403, NULL, NULL},
        {session, "write", "spiffe/nodes/workload", "{\"ask\":\"x509-svids\",\"selectors\":{}}",
         400, NULL, NULL},
        {session, "write", "spiffe/nodes/workload",
         "{\"ask\":\"x509-svids\",\"selectors\":[\"nocolon\"]}", 400, NULL, NULL},
        {session, "read", "spiffe/entries", NULL, 403, NULL, NULL}, /* a session is no token */
        {session, "write", "spiffe/nodes/join-token", "{}", 403, NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"magic\"}", 400, NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"join_token\",\"payload\":{}}", 403,
         NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"x509pop\",\"payload\":{}}", 403, NULL,
         NULL},
        {NULL, "write", "spiffe/nodes/attest",
         "{\"method\":\"k8s_psat\",\"payload\":{\"cluster\":\"a\",\"token\":\"b\"}}", 403, NULL,
         NULL},
        {"root", "write", "spiffe/nodes/join-token", "{\"ttl\":0}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"x509pop_ca\":\"no pem\"}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"clusters\":{\"a\":{\"host\":\"http://x\"}}}",
         400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config",
         "{\"clusters\":{\"a\":{\"host\":\"https://x\",\"odd\":1}}}", 400, NULL, NULL},
    };
    CK_PLAY(k, steps);
}

static void test_an_evicted_node(void **state)
{
    (void)state;
    NODES(k);
    const char *id = NULL;
    const char *session = join(k, &id);
    (void)revision(k, session);
    CK_WANT(k, ck_call(k, "root", "list", "spiffe/nodes/list", NULL), 200);
    const struct mln_value *keys = mln_get(mln_get(k->answer, "data"), "keys");
    assert_int_equal(mln_len(keys), 1);
    const char *path = mln_text_format(&k->cx, "spiffe/nodes/list/%s",
                                       mln_get_text(&k->cx, mln_item(keys, 0), ""));
    CK_WANT(k, ck_call(k, "root", "read", path, NULL), 200);
    assert_string_equal(text_at(k, "id"), id);
    assert_string_equal(ck_at(k, "data|session"), "absent");
    CK_WANT(k, ck_call(k, "root", "delete", path, NULL), 204);
    CK_WANT(k, ck_call(k, session, "read", "spiffe/nodes/revision", NULL), 403);
}

/* ---- proof of possession ---- */

struct party {
    struct mln_key key;
    struct mln_bytes name, cert;
};

static struct party make(struct ck *k, const char *name, const struct party *issuer, bool is_ca,
                         int64_t life_s)
{
    struct party p = {0};
    struct mln_bytes extensions[2];
    struct mln_x509_name subject = {.common_name = mln_bytes_of(name)};
    int64_t now_s = mln_now_ns() / 1000000000;
    assert_false(mln_failed(mln_key_generate(&k->cx, MLN_KEY_EC, 256, &p.key)));
    assert_false(mln_failed(mln_x509_name_print(&k->cx, &subject, &p.name)));
    extensions[0] = mln_ext_basic(&k->cx, is_ca, -1);
    extensions[1] = mln_ext_key_usage(&k->cx, is_ca ? MLN_KU_CERT_SIGN : MLN_KU_DIGITAL_SIGNATURE);
    const struct party *by = issuer != NULL ? issuer : &p;
    struct mln_x509_signer signer = {.pkcs8 = by->key.pkcs8};
    assert_false(mln_failed(mln_sig_pick(&k->cx, MLN_KEY_EC, 256, 0, false, &signer.sig)));
    struct mln_cert_spec spec = {.serial = MLN_BYTES("\x01\x02"),
                                 .issuer = by->name,
                                 .subject = p.name,
                                 .spki = p.key.spki,
                                 .not_before_s = now_s - 60,
                                 .not_after_s = now_s + life_s,
                                 .extensions = extensions,
                                 .n = 2};
    assert_false(mln_failed(mln_cert_build(&k->cx, &spec, &signer, &p.cert)));
    return p;
}

static const char *nonce_of(struct ck *k)
{
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/challenge", "{}"), 200);
    return text_at(k, "nonce");
}

static const char *sign_nonce(struct ck *k, const struct party *by, const char *nonce)
{
    MLN_AUTO(mln_buf_drop)
    struct mln_buf priv = {.is_secret = true},
                   pub = {0}, sig = {0}, input = {0};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .salt = MLN_AKEY_SALT_HASH};
    uint8_t digest[MLN_SHA256_BYTES];
    mln_buf_add_text(&input, "merlon node x509pop");
    mln_buf_add_byte(&input, 0);
    mln_buf_add_text(&input, nonce);
    mln_sha256(mln_buf_bytes(&input), digest);
    assert_false(
        mln_failed(mln_akey_from_pkcs8(&k->cx, MLN_AKEY_P256, by->key.pkcs8, &priv, &pub)));
    assert_false(mln_failed(mln_akey_sign(&k->cx, MLN_AKEY_P256, mln_buf_bytes(&priv), &how,
                                          mln_bytes_at(digest, sizeof(digest)), &sig)));
    return mln_base64_text(&k->cx, mln_buf_bytes(&sig), MLN_B64_STD);
}

static int show(struct ck *k, const struct party *const *chain, size_t n, const char *nonce,
                const char *sig)
{
    const char *certs = "";
    for (size_t i = 0; i < n; i++) {
        certs = mln_text_format(&k->cx, "%s%s\"%s\"", certs, i > 0 ? "," : "",
                                mln_base64_text(&k->cx, chain[i]->cert, MLN_B64_STD));
    }
    return ck_call(k, NULL, "write", "spiffe/nodes/attest",
                   mln_text_format(&k->cx,
                                   "{\"method\":\"x509pop\",\"payload\":{\"certificates\":[%s],"
                                   "\"nonce\":\"%s\",\"signature\":\"%s\"}}",
                                   certs, nonce, sig));
}

static void test_proof_of_possession(void **state)
{
    (void)state;
    NODES(k);
    struct party root = make(k, "root", NULL, true, 3600),
                 middle = make(k, "middle", &root, true, 3600);
    struct party leaf = make(k, "leaf", &middle, false, 3600),
                 other = make(k, "other", NULL, true, 3600);
    struct party strange = make(k, "leaf", &other, false, 3600),
                 old = make(k, "old", &root, false, -10);
    struct party no_ca = make(k, "noca", &root, false, 3600),
                 below = make(k, "below", &no_ca, false, 3600);
    struct mln_value *config = mln_object(&k->cx);
    mln_put_text(&k->cx, config, "x509pop_ca",
                 mln_text_format(&k->cx, "%s\n", mln_pem_text(&k->cx, "CERTIFICATE", root.cert)));
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/config", ck_json(k, config)), 204);
    const char *nonce = nonce_of(k);
    const struct {
        const struct party *chain[3];
        size_t n;
        const struct party *signer;
        const char *nonce;
        int status;
    } rows[] = {
        {{&leaf, &middle}, 2, &leaf, nonce, 200},
        {{&leaf}, 1, &leaf, nonce, 403},               /* the one between is missing */
        {{&leaf, &middle}, 2, &middle, nonce, 403},    /* another's signature */
        {{&strange, &other}, 2, &strange, nonce, 403}, /* another authority's */
        {{&strange, &middle}, 2, &strange, nonce, 403},
        {{&old}, 1, &old, nonce, 403},
        {{&below, &no_ca}, 2, &below, nonce, 403}, /* signed by what is no authority */
        {{&leaf, &middle}, 2, &leaf, "1.00112233445566778899aabbccddeeff.00", 403},
        {{&leaf, &middle}, 2, &leaf, "", 403},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int got = show(k, rows[i].chain, rows[i].n, rows[i].nonce,
                       sign_nonce(k, rows[i].signer, rows[i].nonce));
        if (got != rows[i].status) {
            fail_msg("row %zu: %d %s", i, got, ck_json(k, k->answer));
        }
    }
    const struct party *chain[] = {&leaf, &middle};
    CK_WANT(k, show(k, chain, 2, nonce, sign_nonce(k, &leaf, nonce)), 200);
    const char *id = text_at(k, "spiffe_id");
    assert_true(
        mln_bytes_starts(mln_bytes_of(id), MLN_BYTES("spiffe://example.org/merlon/node/x509pop/")));
    const char *first = text_at(k, "session");
    nonce = nonce_of(k);
    CK_WANT(k, show(k, chain, 2, nonce, sign_nonce(k, &leaf, nonce)),
            200); /* the same node again: the session before is over */
    assert_string_equal(text_at(k, "spiffe_id"), id);
    CK_WANT(k, ck_call(k, first, "read", "spiffe/nodes/revision", NULL), 403);
    const char *bad = mln_text_format(&k->cx, "%c%s", nonce[0] == '9' ? '8' : '9',
                                      nonce + 1); /* its time is under the code, too */
    CK_WANT(k, show(k, chain, 2, bad, sign_nonce(k, &leaf, bad)), 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_gets_what_is_below_it),
        cmocka_unit_test(test_what_changes_a_revision),
        cmocka_unit_test(test_who_is_no_node),
        cmocka_unit_test(test_an_evicted_node),
        cmocka_unit_test(test_proof_of_possession),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
