/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: how they show who they are, what they get for that, and that a proof works once. */
#include "node_kit.h"

#include "crypto/akey.h"
#include "crypto/crypto.h"
#include "crypto/digest.h"

static void test_who_is_no_node(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    const struct ck_step steps[] = {
        {NULL, "read", "spiffe/nodes/sync", NULL, 403, NULL, "only for nodes: attest first"},
        {"root", "read", "spiffe/nodes/sync", NULL, 403, NULL, "only for nodes: attest first"},
        {"mns.0123", "read", "spiffe/nodes/sync", NULL, 403, NULL,
         "this node is not known here: attest again"},
        {"mns.0123", "read", "spiffe/nodes/watch", NULL, 403, NULL, NULL},
        {"mns.0123", "write", "spiffe/nodes/sign", "{\"requests\":[]}", 403, NULL, NULL},
        {"mns.0123", "write", "spiffe/nodes/jwt", "{\"entry\":\"a\",\"audience\":[\"a\"]}", 403,
         NULL, NULL},
        {n.session, "read", "spiffe/entries", NULL, 403, NULL, NULL}, /* a session is no token */
        {n.session, "write", "spiffe/entries", "{}", 403, NULL, NULL},
        {n.session, "write", "spiffe/nodes/join-token", "{}", 403, NULL, NULL},
        {n.session, "list", "spiffe/nodes/list", NULL, 403, NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"magic\"}", 400, NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"join_token\",\"payload\":{}}", 403,
         NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"x509pop\",\"payload\":{}}", 403, NULL,
         NULL},
        {NULL, "write", "spiffe/nodes/attest", "{\"method\":\"x509_svid\",\"payload\":{}}", 403,
         NULL, NULL},
        {NULL, "write", "spiffe/nodes/attest",
         "{\"method\":\"k8s_psat\",\"payload\":{\"cluster\":\"a\",\"token\":\"b\"}}", 403, NULL,
         NULL},
        {"root", "write", "spiffe/nodes/join-token", "{\"ttl\":0}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"x509pop_ca\":\"no pem\"}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"svid_ttl\":29}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"svid_ttl\":604801}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"clusters\":{\"a\":{\"host\":\"http://x\"}}}",
         400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config",
         "{\"clusters\":{\"a\":{\"host\":\"https://x\",\"odd\":1}}}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"clusters\":{\"a\":\"x\"}}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"clusters\":{\"a\":[1]}}", 400, NULL, NULL},
        {"root", "write", "spiffe/nodes/config", "{\"clusters\":\"x\"}", 400, NULL, NULL},
    };
    CK_PLAY(k, steps);
}

static const char *path_of(struct ck *k, const char *id)
{
    CK_WANT(k, ck_call(k, "root", "list", "spiffe/nodes/list", NULL), 200);
    const struct mln_value *keys = mln_get(mln_get(k->answer, "data"), "keys");
    for (size_t i = 0; i < mln_len(keys); i++) {
        const char *path = mln_text_format(&k->cx, "spiffe/nodes/list/%s",
                                           mln_get_text(&k->cx, mln_item(keys, i), ""));
        CK_WANT(k, ck_call(k, "root", "read", path, NULL), 200);
        assert_string_equal(ck_at(k, "data|session"), "absent");
        if (strcmp(text_at(k, "id"), id) == 0) {
            return path;
        }
    }
    fail_msg("%s is not in the list", id);
    return NULL;
}

/* ---- proof of possession ---- */

struct party {
    struct mln_key key;
    struct mln_bytes name, cert;
};

/* A certificate for p->key. */
static void certify(struct ck *k, const char *name, const struct party *issuer, bool is_ca,
                    int64_t life_s, struct party *p)
{
    struct mln_bytes extensions[2];
    struct mln_x509_name subject = {.common_name = mln_bytes_of(name)};
    int64_t now_s = mln_now_ns() / 1000000000;
    assert_false(mln_failed(mln_x509_name_print(&k->cx, &subject, &p->name)));
    extensions[0] = mln_ext_basic(&k->cx, is_ca, -1);
    extensions[1] = mln_ext_key_usage(&k->cx, is_ca ? MLN_KU_CERT_SIGN : MLN_KU_DIGITAL_SIGNATURE);
    const struct party *by = issuer != NULL ? issuer : p;
    struct mln_x509_signer signer = {.pkcs8 = by->key.pkcs8};
    assert_false(mln_failed(mln_sig_pick(&k->cx, MLN_KEY_EC, 256, 0, false, &signer.sig)));
    struct mln_cert_spec spec = {.serial = MLN_BYTES("\x01\x02"),
                                 .issuer = by->name,
                                 .subject = p->name,
                                 .spki = p->key.spki,
                                 .not_before_s = now_s - 60,
                                 .not_after_s = now_s + life_s,
                                 .extensions = extensions,
                                 .n = 2};
    assert_false(mln_failed(mln_cert_build(&k->cx, &spec, &signer, &p->cert)));
}

static struct party make(struct ck *k, const char *name, const struct party *issuer, bool is_ca,
                         int64_t life_s)
{
    struct party p = {0};
    assert_false(mln_failed(mln_key_generate(&k->cx, MLN_KEY_EC, 256, &p.key)));
    certify(k, name, issuer, is_ca, life_s, &p);
    return p;
}

#define POP_CONTEXT  "merlon node x509pop v2"
#define SVID_CONTEXT "merlon node svid v2"

static const char *nonce_of(struct ck *k)
{
    CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/challenge", "{}"), 200);
    return text_at(k, "nonce");
}

static const char *sign_text(struct ck *k, const struct mln_key *key, const char *context,
                             const char *nonce, const char *csr)
{
    MLN_AUTO(mln_buf_drop)
    struct mln_buf priv = {.is_secret = true}, pub = {0}, sig = {0}, input = {0}, der = {0};
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .salt = MLN_AKEY_SALT_HASH};
    uint8_t digest[MLN_SHA256_BYTES];
    mln_buf_add_text(&input, context);
    mln_buf_add_byte(&input, 0);
    mln_buf_add_text(&input, nonce);
    mln_buf_add_byte(&input, 0);
    mln_buf_add_text(&input, "example.org");
    mln_buf_add_byte(&input, 0);
    assert_false(mln_failed(mln_base64_parse(&k->cx, mln_bytes_of(csr), MLN_B64_STD, &der)));
    mln_sha256(mln_buf_bytes(&der), digest);
    mln_buf_add_bytes(&input, mln_bytes_at(digest, sizeof(digest)));
    mln_sha256(mln_buf_bytes(&input), digest);
    assert_false(mln_failed(mln_akey_from_pkcs8(&k->cx, MLN_AKEY_P256, key->pkcs8, &priv, &pub)));
    assert_false(mln_failed(mln_akey_sign(&k->cx, MLN_AKEY_P256, mln_buf_bytes(&priv), &how,
                                          mln_bytes_at(digest, sizeof(digest)), &sig)));
    return mln_base64_text(&k->cx, mln_buf_bytes(&sig), MLN_B64_STD);
}

static const char *sign_nonce(struct ck *k, const struct party *by, const char *nonce)
{
    return sign_text(k, &by->key, POP_CONTEXT, nonce, "");
}

static int show_for(struct ck *k, const struct party *const *chain, size_t n, const char *nonce,
                    const char *sig, const char *csr)
{
    const char *certs = "";
    for (size_t i = 0; i < n; i++) {
        certs = mln_text_format(&k->cx, "%s%s\"%s\"", certs, i > 0 ? "," : "",
                                mln_base64_text(&k->cx, chain[i]->cert, MLN_B64_STD));
    }
    return ck_call(k, NULL, "write", "spiffe/nodes/attest",
                   mln_text_format(&k->cx,
                                   "{\"method\":\"x509pop\",\"payload\":{\"certificates\":[%s],"
                                   "\"nonce\":\"%s\",\"signature\":\"%s\"},\"csr\":\"%s\"}",
                                   certs, nonce, sig, csr));
}

static int show(struct ck *k, const struct party *const *chain, size_t n, const char *nonce,
                const char *sig)
{
    return show_for(k, chain, n, nonce, sig, "");
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
    const struct {
        const struct party *chain[3];
        size_t n;
        const struct party *signer;
        const char *nonce; /* NULL = a new one */
        int status;
    } rows[] = {
        {{&leaf, &middle}, 2, &leaf, NULL, 200},
        {{&leaf}, 1, &leaf, NULL, 403},               /* the one between is missing */
        {{&leaf, &middle}, 2, &middle, NULL, 403},    /* another's signature */
        {{&strange, &other}, 2, &strange, NULL, 403}, /* another authority's */
        {{&strange, &middle}, 2, &strange, NULL, 403},
        {{&old}, 1, &old, NULL, 403},
        {{&below, &no_ca}, 2, &below, NULL, 403}, /* signed by what is no authority */
        {{&leaf, &middle}, 2, &leaf, "1.00112233445566778899aabbccddeeff.00", 403},
        {{&leaf, &middle}, 2, &leaf, "", 403},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const char *given = rows[i].nonce != NULL ? rows[i].nonce : nonce_of(k);
        int got = show(k, rows[i].chain, rows[i].n, given, sign_nonce(k, rows[i].signer, given));
        if (got != rows[i].status) {
            fail_msg("row %zu: %d %s", i, got, ck_json(k, k->answer));
        }
    }
    const struct party *chain[] = {&leaf, &middle};
    const char *nonce = nonce_of(k);
    CK_WANT(k, show(k, chain, 2, nonce, sign_nonce(k, &leaf, nonce)), 200);
    const char *id = text_at(k, "spiffe_id");
    assert_true(
        mln_bytes_starts(mln_bytes_of(id), MLN_BYTES("spiffe://example.org/merlon/node/x509pop/")));
    const char *first = text_at(k, "session");
    nonce = nonce_of(k);
    CK_WANT(k, show(k, chain, 2, nonce, sign_nonce(k, &leaf, nonce)),
            200); /* the same node again: the session before is over */
    assert_string_equal(text_at(k, "spiffe_id"), id);
    CK_WANT(k, ck_call(k, first, "read", "spiffe/nodes/sync", NULL), 403);
    const char *bad = mln_text_format(&k->cx, "%c%s", nonce[0] == '9' ? '8' : '9',
                                      nonce + 1); /* its time is under the code, too */
    CK_WANT(k, show(k, chain, 2, bad, sign_nonce(k, &leaf, bad)), 403);
}

/* A proof that was seen serves nobody else: it counts once, and for the key that was asked for with it. */
static void test_a_proof_that_was_seen(void **state)
{
    (void)state;
    NODES(k);
    struct party root = make(k, "root", NULL, true, 3600),
                 leaf = make(k, "leaf", &root, false, 3600);
    const struct party *chain[] = {&leaf};
    struct mln_value *config = mln_object(&k->cx);
    struct mln_key own, strange;
    const char *csr = new_csr(k, &own), *other = new_csr(k, &strange);
    mln_put_text(&k->cx, config, "x509pop_ca", mln_pem_text(&k->cx, "CERTIFICATE", root.cert));
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/config", ck_json(k, config)), 204);
    const char *early = nonce_of(k), *nonce = nonce_of(k);
    const char *sig = sign_text(k, &leaf.key, POP_CONTEXT, nonce, csr);
    CK_WANT(k, show_for(k, chain, 1, nonce, sig, other), 403);
    CK_WANT(k, show_for(k, chain, 1, nonce, sig, ""), 403);
    CK_WANT(k, show_for(k, chain, 1, nonce, sig, csr), 200);
    const char *session = text_at(k, "session");
    CK_WANT(k, show_for(k, chain, 1, nonce, sig, csr), 403);
    CK_WANT(k, show_for(k, chain, 1, nonce, sig, other), 403);
    sig = sign_text(k, &leaf.key, POP_CONTEXT, early, csr);
    CK_WANT(k, show_for(k, chain, 1, early, sig, csr), 403); /* older than one that was used */
    CK_WANT(k, ck_call(k, session, "read", "spiffe/nodes/sync", NULL), 200);
    nonce = nonce_of(k);
    sig = sign_text(k, &leaf.key, POP_CONTEXT, nonce, csr);
    CK_WANT(k, show_for(k, chain, 1, nonce, sig, csr), 200);
}

/* The same of who shows the SVID that it has. */
static void test_an_svid_proof_that_was_seen(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k);
    struct mln_key own, strange;
    const char *csr = new_csr(k, &own), *other = new_csr(k, &strange), *nonce = nonce_of(k);
    const char *payload = mln_text_format(
        &k->cx,
        "{\"method\":\"x509_svid\",\"payload\":{\"certificates\":[\"%s\"],\"nonce\":\"%s\","
        "\"signature\":\"%s\"},\"csr\":",
        mln_base64_text(&k->cx, n.svid, MLN_B64_STD), nonce,
        sign_text(k, &n.key, SVID_CONTEXT, nonce, csr));
    const struct {
        const char *csr;
        int status;
    } rows[] = {{other, 403}, {csr, 200}, {csr, 403}, {other, 403}};
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        const char *json = mln_text_format(&k->cx, "%s\"%s\"}", payload, rows[i].csr);
        CK_WANT(k, ck_call(k, NULL, "write", "spiffe/nodes/attest", json), rows[i].status);
    }
}

/* ---- the node's own SVID ---- */

/* Show an SVID with a signature by that key; next: the key of the next one, NULL = none is asked for. */
static int show_svid(struct ck *k, struct mln_bytes svid, const struct mln_key *by,
                     const char *context, struct mln_key *next)
{
    const char *nonce = nonce_of(k);
    const char *csr = next != NULL ? new_csr(k, next) : "";
    return ck_call(
        k, NULL, "write", "spiffe/nodes/attest",
        mln_text_format(&k->cx,
                        "{\"method\":\"x509_svid\",\"payload\":{\"certificates\":[\"%s\"],"
                        "\"nonce\":\"%s\",\"signature\":\"%s\"},\"csr\":\"%s\"}",
                        mln_base64_text(&k->cx, svid, MLN_B64_STD), nonce,
                        sign_text(k, by, context, nonce, csr), csr));
}

static void test_own_svid(void **state)
{
    (void)state;
    NODES(k);
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/config", "{\"svid_ttl\":120}"), 204);
    struct joined first = join_node(k), second = {0}, third = {0};
    struct mln_x509_info info;
    int64_t now_s = mln_now_ns() / 1000000000;
    assert_false(mln_failed(mln_x509_cert_read(&k->cx, first.svid, &info)));
    assert_true(mln_bytes_eq(info.spki, first.key.spki) && !info.is_ca && info.sans_n == 1);
    assert_true(mln_bytes_is(info.sans[0].value, first.id));
    assert_true(info.not_after_s > now_s + 100 && info.not_after_s <= now_s + 121);
    CK_WANT(k, show_svid(k, first.svid, &first.key, SVID_CONTEXT, &second.key), 200);
    take_joined(k, &second);
    assert_string_equal(first.id, second.id);
    CK_WANT(k, ck_call(k, first.session, "read", "spiffe/nodes/sync", NULL), 403);
    CK_WANT(k, ck_call(k, second.session, "read", "spiffe/nodes/sync", NULL), 200);
    CK_WANT(k, show_svid(k, first.svid, &first.key, SVID_CONTEXT, &second.key),
            200); /* the answer got lost */
    take_joined(k, &second);
    CK_WANT(k, show_svid(k, second.svid, &second.key, SVID_CONTEXT, &third.key), 200);
    take_joined(k, &third);
    CK_WANT(k, show_svid(k, first.svid, &first.key, SVID_CONTEXT, &second.key),
            403); /* copied from somewhere */
    CK_WANT(k, ck_call(k, third.session, "read", "spiffe/nodes/sync", NULL), 200);
    assert_string_equal(first.id, third.id);
}

static void test_own_svid_refused(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    struct mln_key next, worker;
    const char *id = add_entry(k, n.id, "spiffe://example.org/mine");
    const char *json = mln_text_format(&k->cx, "{\"requests\":[{\"entry\":\"%s\",\"csr\":\"%s\"}]}",
                                       id, new_csr(k, &worker));
    CK_WANT(k, ck_call(k, n.session, "write", "spiffe/nodes/sign", json), 200);
    struct mln_bytes of_worker = der_at(
        k, mln_get_text(&k->cx,
                        mln_get(mln_item(mln_get(mln_get(k->answer, "data"), "svids"), 0), "chain"),
                        ""));
    struct party root = make(k, "root", NULL, true, 3600),
                 strange = make(k, "leaf", &root, false, 3600);
    const struct {
        struct mln_bytes svid;
        const struct mln_key *by;
        const char *context;
        bool has_next;
        int status;
    } rows[] = {
        {n.svid, &other.key, SVID_CONTEXT, true, 403},         /* another's signature */
        {n.svid, &n.key, POP_CONTEXT, true, 403},              /* made for something else */
        {n.svid, &n.key, SVID_CONTEXT, false, 403},            /* no next one */
        {of_worker, &worker, SVID_CONTEXT, true, 403},         /* a process is no node */
        {strange.cert, &strange.key, SVID_CONTEXT, true, 403}, /* another authority's */
        {root.cert, &root.key, SVID_CONTEXT, true, 403},
        {n.svid, &n.key, SVID_CONTEXT, true, 200},
    };
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        int got = show_svid(k, rows[i].svid, rows[i].by, rows[i].context,
                            rows[i].has_next ? &next : NULL);
        if (got != rows[i].status) {
            fail_msg("row %zu: %d %s", i, got, ck_json(k, k->answer));
        }
    }
}

static void test_an_evicted_node(void **state)
{
    (void)state;
    NODES(k);
    struct joined n = join_node(k), other = join_node(k);
    struct mln_key next;
    CK_WANT(k, ck_call(k, "root", "delete", path_of(k, n.id), NULL), 204);
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/sync", NULL), 403);
    CK_WANT(k, ck_call(k, n.session, "read", "spiffe/nodes/watch", NULL), 403);
    CK_WANT(k, show_svid(k, n.svid, &n.key, SVID_CONTEXT, &next), 403);
    CK_WANT(k, ck_call(k, other.session, "read", "spiffe/nodes/sync", NULL), 200);
}

/* One that may show as often as it likes what it has: only a ban keeps it out. */
static void test_a_banned_node(void **state)
{
    (void)state;
    NODES(k);
    struct party root = make(k, "root", NULL, true, 3600),
                 leaf = make(k, "leaf", &root, false, 3600);
    const struct party *chain[] = {&leaf};
    struct mln_value *config = mln_object(&k->cx);
    mln_put_text(&k->cx, config, "x509pop_ca", mln_pem_text(&k->cx, "CERTIFICATE", root.cert));
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/config", ck_json(k, config)), 204);
    const char *nonce = nonce_of(k);
    CK_WANT(k, show(k, chain, 1, nonce, sign_nonce(k, &leaf, nonce)), 200);
    const char *session = text_at(k, "session"), *path = path_of(k, text_at(k, "spiffe_id"));
    CK_WANT(k, ck_call(k, "root", "delete", path, NULL), 204);
    nonce = nonce_of(k);
    CK_WANT(k, show(k, chain, 1, nonce, sign_nonce(k, &leaf, nonce)),
            200); /* put out is not kept out */
    session = text_at(k, "session");
    CK_WANT(k, ck_call(k, "root", "write", path, "{\"banned\":true}"), 204);
    CK_WANT(k, ck_call(k, session, "read", "spiffe/nodes/sync", NULL), 403);
    nonce = nonce_of(k);
    CK_WANT(k, show(k, chain, 1, nonce, sign_nonce(k, &leaf, nonce)), 403);
    CK_WANT(k, ck_call(k, "root", "write", path, "{\"banned\":false}"), 204);
    CK_WANT(k, show(k, chain, 1, nonce, sign_nonce(k, &leaf, nonce)), 200);
}

/*
 * The same certificate with another signature that is as good: of ECDSA's (r, s) there is (r, n - s), too. Made when s has a zero byte
 * before it and the other one has none, so that all lengths around it are one less; nothing otherwise.
 */
static struct mln_bytes other_form(struct ck *k, struct mln_bytes cert)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    const uint8_t *s = cert.ptr + cert.len - 32;
    size_t r_len = s[-38] == 0x02 && s[-37] == 33 ? 33 : 32;
    uint8_t all[1024], other[32];
    int borrow = 0;
    for (size_t i = 32; i-- > 0;) {
        int digit = order[i] - s[i] - borrow;
        borrow = digit < 0;
        other[i] = (uint8_t)(digit + (borrow != 0 ? 256 : 0));
    }
    size_t bits = cert.len - 32 - 3 - r_len - 2 - 2 - 3; /* where the BIT STRING begins */
    if (s[-3] != 0x02 || s[-2] != 33 || other[0] == 0 || other[0] > 0x7f ||
        cert.ptr[bits] != 0x03 || cert.ptr[bits + 6] != r_len || cert.ptr[3] == 0) {
        return MLN_BYTES_NONE;
    }
    assert_true(cert.len < sizeof(all) && cert.ptr[1] == 0x82);
    mln_copy(all, cert.ptr, cert.len - 33);
    mln_copy(all + cert.len - 33, other, sizeof(other));
    all[3]--;
    all[bits + 1]--;
    all[bits + 4]--;
    all[cert.len - 34]--;
    return mln_bytes_dup(&k->cx, mln_bytes_at(all, cert.len - 1));
}

/* A ban holds for the key: whatever is made of its certificate, and of the next one. */
static void test_a_ban_is_of_the_key(void **state)
{
    (void)state;
    NODES(k);
    struct party root = make(k, "root", NULL, true, 3600),
                 leaf = make(k, "leaf", &root, false, 3600), next = leaf, formed = leaf;
    struct mln_value *config = mln_object(&k->cx);
    formed.cert = MLN_BYTES_NONE;
    for (unsigned i = 0; formed.cert.len == 0 && i < 256; i++) { /* every second one can be used */
        certify(k, "leaf", &root, false, 3600, &leaf);
        formed.cert = other_form(k, leaf.cert);
    }
    assert_true(formed.cert.len > 0 && !mln_bytes_eq(formed.cert, leaf.cert));
    certify(k, "next year", &root, false, 7200, &next);
    mln_put_text(&k->cx, config, "x509pop_ca", mln_pem_text(&k->cx, "CERTIFICATE", root.cert));
    CK_WANT(k, ck_call(k, "root", "write", "spiffe/nodes/config", ck_json(k, config)), 204);
    const struct party *const forms[] = {&leaf, &formed, &next};
    const char *id = NULL;
    for (size_t i = 0; i < MLN_COUNT(forms); i++) {
        const struct party *chain[] = {forms[i]};
        const char *nonce = nonce_of(k);
        CK_WANT(k, show(k, chain, 1, nonce, sign_nonce(k, &leaf, nonce)), 200);
        id = id != NULL ? id : text_at(k, "spiffe_id");
        assert_string_equal(text_at(k, "spiffe_id"), id);
    }
    CK_WANT(k, ck_call(k, "root", "write", path_of(k, id), "{\"banned\":true}"), 204);
    for (size_t i = 0; i < MLN_COUNT(forms); i++) {
        const struct party *chain[] = {forms[i]};
        const char *nonce = nonce_of(k);
        CK_WANT(k, show(k, chain, 1, nonce, sign_nonce(k, &leaf, nonce)), 403);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_is_no_node),
        cmocka_unit_test(test_proof_of_possession),
        cmocka_unit_test(test_own_svid),
        cmocka_unit_test(test_own_svid_refused),
        cmocka_unit_test(test_an_evicted_node),
        cmocka_unit_test(test_a_banned_node),
        cmocka_unit_test(test_a_ban_is_of_the_key),
        cmocka_unit_test(test_a_proof_that_was_seen),
        cmocka_unit_test(test_an_svid_proof_that_was_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
