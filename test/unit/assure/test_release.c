/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Release engine through its descriptor: who may do what, what voids an approval, what the ledger
 * is told.
 */
#include "kit/engine_kit.h"

#include <stdio.h>

#include "assure/assure.h"

extern const struct mln_engine mln_assurance_release, mln_assurance_decision, mln_assurance_admission;

#define ROOT  "aaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define OTHER "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define TWIN  "aaaaaaaaaaaacccccccccccccccccccccccccccccccccccccccccccccccccccc" /* the same id */
#define ID    "release/rel-aaaaaaaaaaaa"
#define GATE  "{\"model\":\"m\",\"approvals\":{\"count\":1}}"
#define OPEN  "{\"root\":\"" ROOT "\",\"gate\":" GATE ",\"files\":2,\"bytes\":30}"
#define SCAN  "{\"step\":\"scan\",\"result\":{\"verdict\":\"clean\",\"files\":2}}"
#define SIGN                                                                                       \
    "{\"key\":\"transit/"                                                                          \
    "k\",\"digest\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"root\":\"" ROOT "\"}"
#define CHECK "{\"step\":\"verify\",\"result\":{\"verdict\":\"ok\",\"root\":\"" ROOT "\"}}"
#define YES   "{\"root\":\"" ROOT "\",\"comment\":\"looks right\"}"

/* ---- a transit engine that signs everything; the real one is another room's ---- */

static struct mln_err fake_sign(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put_int(rq->cx, data, "key_version", 1);
    mln_put_text(rq->cx, data, "signature",
                 mln_is_text(mln_field_of(rq, "name"), "aes") ? "" : "vault:v1:c2ln");
    re->data = data;
    return MLN_OK;
}

static struct mln_err fake_key(struct mln_request *rq, struct mln_reply *re)
{
    re->data = NULL;
    struct mln_value *data = mln_object(rq->cx), *keys = mln_object(rq->cx),
                     *one = mln_object(rq->cx);
    mln_put_text(rq->cx, one, "public_key", "PEM");
    mln_put(rq->cx, keys, "1", one);
    mln_put_text(rq->cx, data, "type",
                 mln_is_text(mln_field_of(rq, "name"), "ed") ? "ed25519" : "ecdsa-p256");
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return MLN_OK;
}

static const struct mln_path fake_paths[] = {
    {.pattern = "sign/{name}", .summary = "", .write = fake_sign},
    {.pattern = "keys/{name}", .summary = "", .read = fake_key},
    {0},
};
static const struct mln_engine fake_transit = {
    .type = "transit", .summary = "", .paths = fake_paths};

/* ---- who asks ---- */

static bool may(struct mln_request *rq, const char *path, const char *capability)
{
    (void)rq;
    struct mln_bytes p = mln_bytes_of(path);
    return mln_bytes_is(mln_bytes_of(capability), "update") &&
           !mln_bytes_is(p, "transit/sign/secret") && !mln_bytes_is(p, "release/model/theirs");
}

static void be(struct ek *k, const char *entity, const char *name)
{
    k->actor = (struct mln_actor){.kind = MLN_ACTOR_TOKEN,
                                  .accessor = "acc",
                                  .display_name = name,
                                  .entity_id = entity,
                                  .entity_name = name,
                                  .auth_path = "auth/userpass/login"};
}

static void be_root(struct ek *k)
{
    be(k, "", "root");
    k->actor.is_root = true;
}

static struct ek *release_new(void)
{
    struct ek *k = ek_new();
    k->services.may = may;
    ek_mount(k, "release/", &mln_assurance_release, "11111111-0000-4000-8000-000000000000");
    ek_mount(k, "transit/", &fake_transit, "22222222-0000-4000-8000-000000000000");
    be(k, "e-alice", "alice");
    return k;
}
#define RELEASE(name) MLN_AUTO(ek_drop) struct ek *name = release_new()

static const char *state(struct ek *k)
{
    return mln_get_text(k->cx, mln_get(k->re.data, "state"), "");
}

static const char *told(struct ek *k, const char *key)
{
    return mln_get_text(k->cx, mln_get(k->detail, key), "");
}

/* Alice shows everything; the gate waits for another person. */
static void to_waiting(struct ek *k)
{
    be(k, "e-alice", "alice");
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    EK_WANT(k, ek_write(k, ID "/evidence", SCAN), 200);
    EK_WANT(k, ek_write(k, ID "/sign", SIGN), 200);
    EK_WANT(k, ek_write(k, ID "/evidence", CHECK), 200);
    EK_WANT(k, ek_write(k, ID "/gate", "{\"ledger\":{\"scan\":7,\"odd\":1,\"sign\":-4}}"), 200);
    assert_string_equal(state(k), "waiting");
}

static void approve(struct ek *k, const char *entity, const char *name)
{
    be(k, entity, name);
    EK_WANT(k, ek_write(k, ID "/approve", YES), 200);
    be(k, "e-alice", "alice");
}

static void test_whole_way(void **unused)
{
    (void)unused;
    RELEASE(k);
    EK_WANT(k, ek_list(k, "release/"), 404);
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    assert_string_equal(state(k), "open");
    assert_string_equal(told(k, "step"), "open");
    assert_string_equal(told(k, "release"), "rel-aaaaaaaaaaaa");
    assert_string_equal(k->topic, "release/rel-aaaaaaaaaaaa");
    EK_WANT(k, ek_write(k, ID "/evidence", SCAN), 200);
    assert_string_equal(told(k, "text"), "clean, 2 files");
    assert_string_equal(told(k, "root"), ROOT);
    to_waiting(k);
    assert_string_equal(told(k, "text"), "approvals: none of 1 given");
    EK_VALUE(k, mln_get(k->re.data, "ledger"), "{\"scan\":7}");
    EK_WANT(k, ek_read(k, "release/root/" ROOT, NULL), 200);
    assert_null(mln_get(k->re.data, "public_key"));
    approve(k, "e-bob", "bob");
    assert_string_equal(told(k, "approver"), "bob");
    assert_string_equal(told(k, "author"), "alice");
    EK_WANT(k, ek_read(k, "release/model/m", NULL), 404);
    EK_WANT(k, ek_write(k, ID "/gate", NULL), 200);
    assert_string_equal(state(k), "released");
    EK_WANT(k, ek_read(k, "release/model/m", NULL), 200);
    assert_string_equal(mln_get_text(k->cx, mln_get(k->re.data, "public_key"), ""), "PEM");
    EK_WANT(k, ek_read(k, "release/root/" ROOT, NULL), 200);
    assert_string_equal(state(k), "released");
    EK_WANT(k, ek_read(k, "release/root/" TWIN, NULL), 404);
    EK_WANT(k, ek_read(k, ID, NULL), 200);
    EK_WANT(k, ek_list(k, "release/"), 200);
    EK_DATA(k, "{\"keys\":[\"rel-aaaaaaaaaaaa\"]}");
    /* opened again by its author: as it is; nothing of it changes any more */
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    assert_string_equal(state(k), "released");
    assert_false(k->wrote);
    EK_REFUSED(k, ek_write(k, ID "/evidence", SCAN), 400, "is released");
    EK_REFUSED(k, ek_write(k, ID "/gate", NULL), 400, "is released");
    EK_REFUSED(k, ek_write(k, "release/open", "{\"root\":\"" ROOT "\",\"gate\":{\"model\":\"n\"}}"),
               400, "is released");
}

static void test_who_may_not(void **unused)
{
    (void)unused;
    RELEASE(k);
    static const struct {
        const char *name, *entity;
        bool is_root, is_root_child;
        const char *path, *json, *text;
    } t[] = {
        {"root opens", "", true, false, "release/open", OPEN,
         "root and tokens made by root cannot open"},
        {"root with an entity", "e-eve", true, false, ID "/approve", YES,
         "root and tokens made by root cannot approve"},
        {"root approves", "", true, false, ID "/approve", YES,
         "root and tokens made by root cannot approve"},
        {"root's child approves", "", false, true, ID "/approve", YES,
         "root and tokens made by root cannot approve"},
        {"root's child with an entity", "e-eve", false, true, ID "/approve", YES,
         "root and tokens made by root"},
        {"bare token approves", "", false, false, ID "/approve", YES,
         "without a person behind it cannot approve"},
        {"bare token opens", "", false, false, "release/open", OPEN,
         "without a person behind it cannot open"},
        {"author approves", "e-alice", false, false, ID "/approve", YES,
         "the author of rel-aaaaaaaaaaaa cannot approve"},
        {"another shows evidence", "e-eve", false, false, ID "/evidence", SCAN,
         "is the release of alice"},
        {"another signs", "e-eve", false, false, ID "/sign", SIGN, "is the release of alice"},
        {"another gates", "e-eve", false, false, ID "/gate", NULL, "is the release of alice"},
        {"another opens it again", "e-eve", false, false, "release/open", OPEN,
         "is the release of alice"},
        {"root gates", "", true, false, ID "/gate", NULL,
         "root and tokens made by root cannot change"},
    };
    to_waiting(k);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(1u << 16, false);
        struct mln_cx cx;
        mln_cx_init(&cx, arena);
        struct mln_value *token = mln_object(&cx);
        mln_put_bool(&cx, token, "root_child", t[i].is_root_child);
        be(k, t[i].entity, "eve");
        k->actor.is_root = t[i].is_root;
        k->actor.token = token;
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), 403, t[i].text);
        assert_false(k->wrote);
    }
}

/* A token that was made with an entity_alias: nobody logged in for it. */
static void test_in_name(void **unused)
{
    (void)unused;
    RELEASE(k);
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(1u << 16, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_value *token = mln_object(&cx);
    to_waiting(k);
    mln_put_bool(&cx, token, "in_name", true);
    be(k, "e-eve", "eve");
    k->actor.token = token;
    EK_REFUSED(k, ek_write(k, ID "/approve", YES), 403, "made in somebody's name cannot approve");
    EK_REFUSED(k, ek_write(k, "release/open", OPEN), 403, "made in somebody's name cannot open");
    assert_false(k->wrote);
}

/*
 * The author's second token, minted by himself, is still the author: another accessor, the same
 * entity.
 */
static void test_second_token(void **unused)
{
    (void)unused;
    RELEASE(k);
    to_waiting(k);
    be(k, "e-alice", "alice");
    k->actor.accessor = "another";
    k->actor.auth_path = "auth/token/create";
    EK_REFUSED(k, ek_write(k, ID "/approve", YES), 403, "with whatever token");
    /* and a second token of an approver does not make a second approver */
    approve(k, "e-bob", "bob");
    be(k, "e-bob", "bob");
    k->actor.accessor = "another";
    EK_REFUSED(k, ek_write(k, ID "/approve", YES), 400, "a person counts once");
}

static void test_refused(void **unused)
{
    (void)unused;
    RELEASE(k);
    static const struct {
        const char *path, *json;
        int status;
        const char *text;
    } t[] = {
        {"release/open", "{\"gate\":" GATE "}", 400, "root is not a root digest"},
        {"release/open", "{\"root\":\"AAAA\",\"gate\":" GATE "}", 400, "root is not a root digest"},
        {"release/open", "{\"root\":\"" ROOT "\"}", 400, "missing gate"},
        {"release/open", "{\"root\":\"" ROOT "\",\"gate\":[]}", 400, "must be a map"},
        {"release/open", "{\"root\":\"" ROOT "\",\"gate\":{\"model\":\"m\",\"scn\":\"clean\"}}",
         400, "has no key \"scn\""},
        {"release/open", "{\"root\":\"" OTHER "\",\"gate\":" GATE ",\"files\":-1}", 400,
         "cannot be negative"},
        {"release/open", "{\"root\":\"" OTHER "\",\"gate\":{\"model\":\"theirs\"}}", 403,
         "needs update on release/model/theirs"},
        {"release/open", "{\"root\":\"" TWIN "\",\"gate\":" GATE "}", 409,
         "another root with the same beginning"},
        {"release/rel-x/evidence", SCAN, 400, "no id of a release"},
        {"release/rel-bbbbbbbbbbbb/evidence", SCAN, 404, "there is no release rel-bbbbbbbbbbbb"},
        {ID "/evidence", "{\"step\":\"magic\",\"result\":{}}", 400, "step is none of"},
        {ID "/evidence", "{\"step\":\"sign\",\"result\":{}}", 400, "step is none of"},
        {ID "/evidence", "{\"step\":\"scan\",\"result\":[]}", 400, "must be a map"},
        {ID "/sign", "{\"key\":\"transit/k\",\"digest\":\"AAAA\",\"root\":\"" ROOT "\"}", 400,
         "not the base64 of 32 bytes"},
        {ID "/sign", "{\"key\":\"transit/k\",\"digest\":\"\",\"root\":\"" OTHER "\"}", 400,
         "not that of this release"},
        {ID "/sign", "{\"key\":\"k\",\"digest\":\"\",\"root\":\"" ROOT "\"}", 400,
         "key is not MOUNT/NAME"},
        {ID "/sign", "{\"key\":\"../k\",\"digest\":\"\",\"root\":\"" ROOT "\"}", 400,
         "key is not MOUNT/NAME"},
        {ID "/sign", "{\"key\":\"transit/a b\",\"digest\":\"\",\"root\":\"" ROOT "\"}", 400,
         "key is not MOUNT/NAME"},
        {ID "/sign",
         "{\"key\":\"transit/"
         "secret\",\"digest\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"root\":\"" ROOT
         "\"}",
         403, "needs update on transit/sign/secret"},
        {ID "/sign",
         "{\"key\":\"transit/"
         "ed\",\"digest\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"root\":\"" ROOT "\"}",
         400, "is no ecdsa-p256 key"},
        {ID "/sign",
         "{\"key\":\"transit/"
         "aes\",\"digest\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\",\"root\":\"" ROOT "\"}",
         400, "is no key that signs"},
    };
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        EK_REFUSED(k, ek_write(k, t[i].path, t[i].json), t[i].status, t[i].text);
        assert_false(k->wrote);
    }
    be(k, "e-bob", "bob");
    EK_REFUSED(k, ek_write(k, ID "/approve", YES), 400, "not waiting for an approval: it is open");
    to_waiting(k);
    be(k, "e-bob", "bob");
    EK_REFUSED(k, ek_write(k, ID "/approve", "{\"root\":\"" OTHER "\"}"), 400,
               "is not that of rel-aaaaaaaaaaaa");
    EK_REFUSED(k, ek_write(k, ID "/approve", "{}"), 400, "root is not a root digest");
    EK_REFUSED(
        k, ek_write(k, ID "/approve", "{\"root\":\"" ROOT "\",\"seen\":\"2020-01-01T00:00:00Z\"}"),
        409, "since it was shown");
    EK_WANT(k, ek_read(k, "release/root/" OTHER, NULL), 404);
    EK_REFUSED(k, ek_read(k, "release/root/zz", NULL), 400, "root is not a root digest");
}

static void test_too_large(void **unused)
{
    (void)unused;
    RELEASE(k);
    to_waiting(k);
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    mln_buf_add_text(&json, "{\"step\":\"scan\",\"result\":{\"verdict\":\"");
    for (size_t i = 0; i < (1u << 20); i++) {
        mln_buf_add_byte(&json, 'x');
    }
    mln_buf_add_text(&json, "\"}}");
    mln_buf_add_byte(&json, 0);
    EK_REFUSED(k, ek_write(k, ID "/evidence", (const char *)json.ptr), 413, "longer than");
    json.len = 0;
    mln_buf_add_text(&json, "{\"root\":\"" ROOT "\",\"comment\":\"");
    for (size_t i = 0; i < 1025; i++) {
        mln_buf_add_byte(&json, 'x');
    }
    mln_buf_add_text(&json, "\"}");
    mln_buf_add_byte(&json, 0);
    be(k, "e-bob", "bob");
    EK_REFUSED(k, ek_write(k, ID "/approve", (const char *)json.ptr), 413,
               "comment is longer than");
}

/* What was approved is what was shown: change it and the approval is gone. */
static void test_stale_evidence(void **unused)
{
    (void)unused;
    static const struct {
        const char *name, *path, *json;
    } t[] = {
        {"other scan", ID "/evidence",
         "{\"step\":\"scan\",\"result\":{\"verdict\":\"clean\",\"files\":3}}"},
        {"a card", ID "/evidence", "{\"step\":\"card\",\"result\":{\"name\":\"x\"}}"},
        {"signed again", ID "/sign", SIGN},
        {"other gate", "release/open",
         "{\"root\":\"" ROOT "\",\"gate\":{\"model\":\"m\",\"scan\":\"skip\"}}"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        RELEASE(k);
        to_waiting(k);
        approve(k, "e-bob", "bob");
        EK_WANT(k, ek_write(k, t[i].path, t[i].json), 200);
        assert_int_equal(mln_get_int(mln_get(k->detail, "approvals_voided"), 0), 1);
        EK_WANT(k, ek_read(k, ID, NULL), 200);
        assert_string_equal(state(k), "open");
        assert_int_equal(mln_len(mln_get(k->re.data, "approvals")), 0);
        EK_WANT(k, ek_write(k, ID "/gate", NULL), 200);
        assert_string_not_equal(state(k), "released");
    }
    /* the same shown again voids nothing */
    RELEASE(k);
    to_waiting(k);
    approve(k, "e-bob", "bob");
    EK_WANT(k, ek_write(k, ID "/evidence", SCAN), 200);
    assert_false(k->wrote);
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    EK_WANT(k, ek_write(k, ID "/gate", NULL), 200);
    assert_string_equal(state(k), "released");
}

static void test_gate_says_no(void **unused)
{
    (void)unused;
    static const struct {
        const char *scan, *verify, *why;
    } t[] = {
        {"{\"step\":\"scan\",\"result\":{\"verdict\":\"malicious\",\"files\":1,\"findings\":[{"
         "\"file\":\"m.pkl\",\"message\":\"os.system\"}]}}",
         CHECK, "scan: the scan says malicious; m.pkl: os.system"},
        {SCAN, "{\"step\":\"verify\",\"result\":{\"verdict\":\"refused\",\"error\":\"changed\"}}",
         "signature: not valid: changed"},
        {SCAN, "{\"step\":\"verify\",\"result\":{\"verdict\":\"ok\",\"root\":\"" OTHER "\"}}",
         "signature: it is over another model"},
        {SCAN, "{\"step\":\"card\",\"result\":{}}", "signature: no signature was shown"},
    };
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        RELEASE(k);
        EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
        EK_WANT(k, ek_write(k, ID "/evidence", t[i].scan), 200);
        EK_WANT(k, ek_write(k, ID "/sign", SIGN), 200);
        EK_WANT(k, ek_write(k, ID "/evidence", t[i].verify), 200);
        EK_WANT(k, ek_write(k, ID "/gate", NULL), 200);
        assert_string_equal(state(k), "refused");
        assert_non_null(strstr(told(k, "text"), t[i].why));
        be(k, "e-bob", "bob");
        EK_REFUSED(k, ek_write(k, ID "/approve", YES), 400, "it is refused");
    }
    /* verified, but signed by nobody here */
    RELEASE(k);
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    EK_WANT(k, ek_write(k, ID "/evidence", SCAN), 200);
    EK_WANT(k, ek_write(k, ID "/evidence", CHECK), 200);
    EK_WANT(k, ek_write(k, ID "/gate", NULL), 200);
    assert_string_equal(state(k), "refused");
}

/* What the gate says is a decision: kept where there is a place for it, named in the record in any case. */
static void test_decision(void **unused)
{
    (void)unused;
    RELEASE(k);
    EK_WANT(k, ek_write(k, "release/open", OPEN), 200);
    EK_WANT(k, ek_write(k, ID "/gate", NULL), 200); /* no such mount yet */
    assert_non_null(mln_get(k->detail, "policy"));
    ek_mount(k, "decision/", &mln_assurance_decision, "33333333-0000-4000-8000-000000000000");
    EK_WANT(k, ek_write(k, ID "/gate", NULL), 200);
    struct mln_bytes id = mln_get_bytes(mln_get(k->detail, "decision"));
    char path[64];
    snprintf(path, sizeof path, "decision/%.*s", MLN_FMT(id));
    EK_WANT(k, ek_read(k, path, NULL), 200);
    assert_true(mln_is_text(mln_get(k->re.data, "verdict"), "fail"));
}

static void test_registry(void **unused)
{
    (void)unused;
    assert_ptr_equal(mln_assurances[0], &mln_assurance_release);
    assert_ptr_equal(mln_assurances[1], &mln_assurance_decision);
    assert_ptr_equal(mln_assurances[2], &mln_assurance_admission);
    assert_null(mln_assurances[3]);
    for (const struct mln_path *p = mln_assurance_release.paths; p->pattern != NULL; p++) {
        assert_true(p->write == NULL || p->act == MLN_ACT_EVIDENCE);
        assert_false(p->is_open);
    }
    RELEASE(k);
    be_root(k);
    EK_REFUSED(k, ek_write(k, "release/open", OPEN), 403, "log in as a person");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_way),    cmocka_unit_test(test_who_may_not), cmocka_unit_test(test_in_name),
        cmocka_unit_test(test_second_token), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_too_large),    cmocka_unit_test(test_stale_evidence),
        cmocka_unit_test(test_gate_says_no), cmocka_unit_test(test_decision), cmocka_unit_test(test_registry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
