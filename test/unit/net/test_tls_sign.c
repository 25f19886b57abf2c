/* SPDX-License-Identifier: Apache-2.0 */
/* What core agrees to sign for a TLS server, and what not. */
#include "kit/kit.h"

#include <string.h>

#include "net/tls_sign.h"

#define CONTEXT "TLS 1.3, server CertificateVerify"

static void spaces(struct mln_buf *buf, unsigned n)
{
    while (n-- > 0) {
        mln_buf_add_byte(buf, ' ');
    }
}

static void hash(struct mln_buf *buf, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        mln_buf_add_byte(buf, (uint8_t)(i * 3 + 1));
    }
}

/* What OpenSSL hands over becomes a message; the message becomes the same bytes again. */
static void round_trip(struct mln_cx *cx, struct mln_bytes input, int64_t version)
{
    const struct mln_value *message = NULL;
    struct mln_buf back = {0};
    enum mln_tls_how how = MLN_TLS_ECDSA;
    kit_ok(cx, mln_tls_sign_message(cx, input, MLN_TLS_PSS, 5, &message));
    assert_int_equal(mln_get_int(mln_get(message, "v"), 0), version);
    assert_int_equal(mln_get_int(mln_get(message, "key"), 0), 5);
    kit_ok(cx, mln_tls_sign_input(cx, message, &back, &how));
    assert_int_equal(how, MLN_TLS_PSS);
    kit_same(cx, mln_buf_bytes(&back), input);
    mln_buf_drop(&back);
}

static void test_tls13(void **state)
{
    static const struct {
        const char *name;
        unsigned pad;
        const char *context;
        unsigned context_n, hash_n;
        bool is_good;
    } t[] = {
        {"SHA-256", 64, CONTEXT "\0", sizeof(CONTEXT), 32, true},
        {"SHA-384", 64, CONTEXT "\0", sizeof(CONTEXT), 48, true},
        {"client's context", 64, "TLS 1.3, client CertificateVerify\0", 34, 32, false},
        {"another protocol", 64, "SSH 2.0, server CertificateVerify\0", 34, 32, false},
        {"no NUL", 64, CONTEXT "x", 34, 32, false},
        {"63 spaces", 63, CONTEXT "\0", 34, 32, false},
        {"65 spaces", 65, CONTEXT "\0", 34, 32, false},
        {"no hash", 64, CONTEXT "\0", 34, 0, false},
        {"SHA-1", 64, CONTEXT "\0", 34, 20, false},
        {"SHA-512", 64, CONTEXT "\0", 34, 64, false},
        {"33 bytes", 64, CONTEXT "\0", 34, 33, false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_buf input = {0};
        spaces(&input, t[i].pad);
        mln_buf_add(&input, t[i].context, t[i].context_n);
        hash(&input, t[i].hash_n);
        if (t[i].is_good) {
            round_trip(cx, mln_buf_bytes(&input), 13);
        } else {
            const struct mln_value *message = NULL;
            kit_expect(cx, t[i].name, mln_tls_sign_message(cx, mln_buf_bytes(&input), MLN_TLS_ECDSA, 0, &message),
                       MLN_E_INVALID);
            assert_null(message);
        }
        mln_buf_drop(&input);
    }
}

static void ecdh(struct mln_buf *buf, const uint8_t head[4], unsigned n, uint8_t first)
{
    hash(buf, 64);
    mln_buf_add(buf, head, 4);
    for (unsigned i = 0; i < n; i++) {
        mln_buf_add_byte(buf, i == 0 ? first : 0x55);
    }
}

static void test_tls12(void **state)
{
    static const struct {
        const char *name;
        uint8_t head[4];
        unsigned n;
        uint8_t first;
        bool is_good;
    } t[] = {
        {"P-256", {3, 0, 0x17, 65}, 65, 4, true},
        {"X25519", {3, 0, 0x1d, 32}, 32, 9, true},
        {"explicit curve", {1, 0, 0x17, 65}, 65, 4, false},
        {"other page of groups", {3, 1, 0x17, 65}, 65, 4, false},
        {"P-384", {3, 0, 0x18, 97}, 97, 4, false},
        {"compressed point", {3, 0, 0x17, 33}, 33, 2, false},
        {"point with another form", {3, 0, 0x17, 65}, 65, 6, false},
        {"X25519 of P-256's size", {3, 0, 0x1d, 65}, 65, 4, false},
        {"P-256 of X25519's size", {3, 0, 0x17, 32}, 32, 4, false},
        {"a byte too many", {3, 0, 0x1d, 32}, 33, 9, false},
        {"a byte too few", {3, 0, 0x1d, 32}, 31, 9, false},
        {"no key", {3, 0, 0x1d, 0}, 0, 0, false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_buf input = {0};
        ecdh(&input, t[i].head, t[i].n, t[i].first);
        const struct mln_value *message = NULL;
        if (t[i].is_good) {
            round_trip(cx, mln_buf_bytes(&input), 12);
        } else {
            kit_expect(cx, t[i].name, mln_tls_sign_message(cx, mln_buf_bytes(&input), MLN_TLS_ECDSA, 0, &message),
                       MLN_E_INVALID);
        }
        /* The same in a message that a taken front made up. */
        struct mln_value *forged = mln_object(cx);
        struct mln_buf back = {0};
        enum mln_tls_how how = MLN_TLS_ECDSA;
        mln_put_int(cx, forged, "v", 12);
        mln_put_text(cx, forged, "how", "pkcs1");
        mln_put(cx, forged, "tbs", mln_blob(cx, mln_buf_bytes(&input)));
        kit_expect(cx, t[i].name, mln_tls_sign_input(cx, forged, &back, &how),
                   t[i].is_good ? MLN_E_OK : MLN_E_INVALID);
        assert_true(t[i].is_good || back.len == 0);
        mln_buf_drop(&back);
        mln_buf_drop(&input);
    }
}

static void test_made_up_messages(void **state)
{
    static const struct {
        const char *name;
        int64_t version;
        const char *member;
        size_t n;
    } t[] = {
        {"no version", 0, "hash", 32},   {"version 11", 11, "tbs", 100},
        {"version 14", 14, "hash", 32},  {"no hash", 13, "other", 32},
        {"hash of 31", 13, "hash", 31},  {"hash of 49", 13, "hash", 49},
        {"empty hash", 13, "hash", 0},   {"tbs as 1.3", 13, "tbs", 32},
        {"hash as 1.2", 12, "hash", 32}, {"a digest as 1.2", 12, "tbs", 32},
        {"short", 12, "tbs", 67},        {"a certificate's size", 12, "tbs", 600},
    };
    struct mln_cx *cx = kit_cx(state);
    uint8_t bytes[600] = {0};
    enum mln_tls_how how = MLN_TLS_ECDSA;
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_value *message = mln_object(cx);
        struct mln_buf back = {0};
        mln_put_int(cx, message, "v", t[i].version);
        mln_put_text(cx, message, "how", "ecdsa");
        mln_put(cx, message, t[i].member, mln_blob(cx, mln_bytes_at(bytes, t[i].n)));
        kit_expect(cx, t[i].name, mln_tls_sign_input(cx, message, &back, &how), MLN_E_INVALID);
        assert_int_equal(back.len, 0);
        mln_buf_drop(&back);
    }
    struct mln_buf back = {0};
    kit_refused(cx, mln_tls_sign_input(cx, NULL, &back, &how), MLN_E_INVALID);
    kit_refused(cx, mln_tls_sign_input(cx, mln_text(cx, "x"), &back, &how), MLN_E_INVALID);
}

/* Ways of signing: PKCS #1 not in TLS 1.3, and no other names. */
static void test_how(void **state)
{
    static const struct {
        const char *how;
        bool is_good;
    } t[] = {{"ecdsa", true}, {"pss", true}, {"pkcs1", false}, {"none", false}, {"", false}};
    struct mln_cx *cx = kit_cx(state);
    struct mln_buf input = {0};
    const struct mln_value *made = NULL;
    spaces(&input, 64);
    mln_buf_add(&input, CONTEXT "\0", sizeof(CONTEXT));
    hash(&input, 32);
    kit_refused(cx, mln_tls_sign_message(cx, mln_buf_bytes(&input), MLN_TLS_PKCS1, 0, &made), MLN_E_INVALID);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_value *message = mln_object(cx);
        struct mln_buf back = {0};
        enum mln_tls_how how = MLN_TLS_ECDSA;
        mln_put_int(cx, message, "v", 13);
        mln_put_text(cx, message, "how", t[i].how);
        mln_put(cx, message, "hash", mln_blob(cx, mln_bytes_from(mln_buf_bytes(&input), 98)));
        kit_expect(cx, t[i].how, mln_tls_sign_input(cx, message, &back, &how), t[i].is_good ? MLN_E_OK : MLN_E_INVALID);
        mln_buf_drop(&back);
    }
    mln_buf_drop(&input);
}

#define CLIENT_CONTEXT "TLS 1.3, client CertificateVerify"
#define BOTH           (MLN_TLS_SERVER | MLN_TLS_CLIENT)

/* A holder of a workload's keys signs for clients too; who signs for servers alone never does. */
static void test_sides(void **state)
{
    static const struct {
        const char *name, *context;
        unsigned ask, hold; /* sides of who asks, and of who holds the key */
        enum mln_code want_message, want_input;
    } t[] = {
        {"client, both", CLIENT_CONTEXT, BOTH, BOTH, MLN_E_OK, MLN_E_OK},
        {"server, both", CONTEXT, BOTH, BOTH, MLN_E_OK, MLN_E_OK},
        {"client, at a server's", CLIENT_CONTEXT, MLN_TLS_CLIENT, MLN_TLS_SERVER, MLN_E_OK, MLN_E_INVALID},
        {"server, at a client's", CONTEXT, MLN_TLS_SERVER, MLN_TLS_CLIENT, MLN_E_OK, MLN_E_INVALID},
        {"client, asked as server", CLIENT_CONTEXT, MLN_TLS_SERVER, MLN_TLS_CLIENT, MLN_E_INVALID, MLN_E_OK},
        {"server, asked as client", CONTEXT, MLN_TLS_CLIENT, MLN_TLS_SERVER, MLN_E_INVALID, MLN_E_OK},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_buf input = {0}, back = {0};
        const struct mln_value *message = NULL;
        enum mln_tls_how how = MLN_TLS_PSS;
        spaces(&input, 64);
        mln_buf_add(&input, t[i].context, 34);
        hash(&input, 32);
        kit_expect(cx, t[i].name, mln_tls_sign_message_of(cx, mln_buf_bytes(&input), MLN_TLS_ECDSA, 3, t[i].ask, &message),
                   t[i].want_message);
        if (t[i].want_message == MLN_E_OK) {
            kit_expect(cx, t[i].name, mln_tls_sign_input_of(cx, message, t[i].hold, &back, &how), t[i].want_input);
        }
        if (t[i].want_message == MLN_E_OK && t[i].want_input == MLN_E_OK) {
            kit_same(cx, mln_buf_bytes(&back), mln_buf_bytes(&input));
        }
        mln_buf_drop(&input);
        mln_buf_drop(&back);
    }
    struct mln_value *forged = mln_object(cx);
    struct mln_buf back = {0};
    enum mln_tls_how how = MLN_TLS_ECDSA;
    mln_put_int(cx, forged, "v", 12);
    mln_put_text(cx, forged, "how", "ecdsa");
    mln_put_text(cx, forged, "side", "client");
    kit_refused(cx, mln_tls_sign_input_of(cx, forged, BOTH, &back, &how), MLN_E_INVALID);
    mln_put_int(cx, forged, "v", 13);
    mln_put_text(cx, forged, "side", "both");
    kit_refused(cx, mln_tls_sign_input_of(cx, forged, BOTH, &back, &how), MLN_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_tls13), KIT_TEST(test_tls12),
                                       KIT_TEST(test_made_up_messages), KIT_TEST(test_how),
                                       KIT_TEST(test_sides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
