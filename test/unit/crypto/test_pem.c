/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as OpenSSL writes them, read and written; damaged and foreign ones refused. The keys here
 * are for tests only.
 */
#include "kit/kit.h"

#include "crypto/crypto.h"

#define SCALAR "901877621af36a923f6518f5541556dfad3c31e95059a803a0db2315c73a5d26"
#define SEC1                                                                                       \
    "-----BEGIN EC PRIVATE "                                                                       \
    "KEY-----\nMHcCAQEEIJAYd2Ia82qSP2UY9VQVVt+tPDHpUFmoA6DbIxXHOl0moAoGCCqGSM49\n"                 \
    "AwEHoUQDQgAE0cQfTx4jJV+Nb7+"                                                                  \
    "nojBVUjwvmoLJ8wiy2VGWxwkxN1SvB5d76QGL\nd8QTLZklJLFIqQXCQlH8R94XYqej2yzssA==\n"                \
    "-----END EC PRIVATE KEY-----\n"
#define PKCS8                                                                                      \
    "-----BEGIN PRIVATE "                                                                          \
    "KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgkBh3YhrzapI/ZRj1\n"                 \
    "VBVW3608MelQWagDoNsjFcc6XSahRANCAATRxB9PHiMlX41vv6eiMFVSPC+"                                  \
    "agsnz\nCLLZUZbHCTE3VK8Hl3vpAYt3xBMtmSUksUipBcJCUfxH"                                          \
    "3hdip6PbLOyw\n-----END PRIVATE KEY-----\n"
#define PUBLIC                                                                                     \
    "-----BEGIN PUBLIC "                                                                           \
    "KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0cQfTx4jJV+Nb7+nojBVUjwvmoLJ\n"                 \
    "8wiy2VGWxwkxN1SvB5d76QGLd8QTLZklJLFIqQXCQlH8R94XYqej2yzssA==\n-----END PUBLIC KEY-----\n"
#define ED25519                                                                                    \
    "-----BEGIN PRIVATE "                                                                          \
    "KEY-----\nMC4CAQAwBQYDK2VwBCIEINaS4vw4gSsMTMPB8fY2+C6Ym1jENGSs0s+jwRFM8kLd\n-----END "        \
    "PRIVATE KEY-----\n"

static const struct {
    const char *name, *pem;
    enum mln_code want;
} rows[] = {
    {"SEC 1", SEC1, MLN_E_OK},
    {"PKCS 8", PKCS8, MLN_E_OK},
    {"with parameters in front",
     "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" SEC1,
     MLN_E_OK},
    {"Ed25519", ED25519, MLN_E_UNSUPPORTED},
    {"public", PUBLIC, MLN_E_PARSE},
    {"empty", "", MLN_E_PARSE},
    {"no end", "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n", MLN_E_PARSE},
    {"encrypted",
     "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
     MLN_E_UNSUPPORTED},
    {"no base64", "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", MLN_E_PARSE},
    {"no DER", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", MLN_E_PARSE},
    {"nothing inside", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", MLN_E_PARSE},
};

static void test_private(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        uint8_t scalar[32] = {0};
        uint8_t point[65];
        struct mln_err err = mln_p256_from_pem(cx, mln_bytes_of(rows[i].pem), scalar, point);
        kit_expect(cx, rows[i].name, err, rows[i].want);
        uint8_t zero[32] = {0};
        struct mln_bytes want =
            rows[i].want == MLN_E_OK ? kit_hex(cx, SCALAR) : mln_bytes_at(zero, 32);
        kit_same(cx, mln_bytes_at(scalar, 32), want);
        if (rows[i].want == MLN_E_OK) {
            MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
            kit_ok(cx, mln_p256_public_pem(cx, point, &pem));
            kit_text(mln_buf_bytes(&pem), PUBLIC);
        }
    }
}

/* Every cut and every changed byte of a key is refused or read as some key, never a crash. */
static void test_damaged(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    struct mln_bytes whole = mln_bytes_of(PKCS8);
    uint8_t text[512];
    for (size_t i = 0; i < whole.len; i++) {
        uint8_t scalar[32];
        uint8_t point[65];
        mln_copy(text, whole.ptr, whole.len);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        (void)mln_p256_from_pem(cx, mln_bytes_at(text, whole.len), scalar, point);
        mln_cx_clear(cx);
        if (i < whole.len - 1) {
            kit_refused(cx, mln_p256_from_pem(cx, mln_bytes_at(whole.ptr, i), scalar, point),
                        MLN_E_PARSE);
        }
    }
}

static void test_ed25519(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    const uint8_t *key =
        kit_hex(cx, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a").ptr;
    kit_ok(cx, mln_ed25519_public_pem(cx, key, &pem));
    kit_text(mln_buf_bytes(&pem), "-----BEGIN PUBLIC KEY-----\n"
                                  "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                  "-----END PUBLIC KEY-----\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {KIT_TEST(test_private), KIT_TEST(test_damaged),
                                       KIT_TEST(test_ed25519)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
