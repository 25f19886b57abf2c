/* SPDX-License-Identifier: Apache-2.0 */
/* What is an X509-SVID of a workload and what is not: one certificate a row, made for it. */
#include "kit/kit.h"

#include "crypto/x509_svid.h"

#define SERVER "1.3.6.1.5.5.7.3.1"
#define CLIENT "1.3.6.1.5.5.7.3.2"
#define ID     "spiffe://example.org/web"

static struct mln_bytes certificate(struct mln_cx *cx, const char *const uris[2], unsigned usage, const char *extended, bool is_ca)
{
    struct mln_key key;
    struct mln_x509_signer by = {0};
    struct mln_bytes der, subject, extensions[4];
    struct mln_san sans[2];
    struct mln_value *oids = mln_array(cx);
    size_t n_sans = 0, n = 0;
    for (size_t i = 0; i < 2 && uris[i] != NULL; i++) {
        sans[n_sans++] = (struct mln_san){.kind = MLN_SAN_URI, .value = mln_bytes_of(uris[i])};
    }
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, &key));
    by.pkcs8 = key.pkcs8;
    kit_ok(cx, mln_sig_pick(cx, MLN_KEY_EC, 256, 0, false, &by.sig));
    struct mln_x509_name name = {.common_name = MLN_BYTES("a")};
    kit_ok(cx, mln_x509_name_print(cx, &name, &subject));
    extensions[n++] = mln_ext_basic(cx, is_ca, -1);
    if (usage != 0) {
        extensions[n++] = mln_ext_key_usage(cx, usage);
    }
    if (extended != NULL) {
        mln_push_text(cx, oids, extended);
        extensions[n++] = mln_ext_ext_key_usage(cx, oids);
    }
    if (n_sans > 0) {
        extensions[n++] = mln_ext_names(cx, sans, n_sans, false);
    }
    struct mln_cert_spec spec = {.serial = MLN_BYTES("\x01"), .issuer = subject, .subject = subject, .spki = key.spki,
                                 .not_before_s = 0, .not_after_s = 4000000000, .extensions = extensions, .n = n};
    kit_ok(cx, mln_cert_build(cx, &spec, &by, &der));
    return der;
}

static void test_leaves(void **state)
{
    static const struct {
        const char *name, *uris[2], *extended;
        unsigned usage;
        bool is_ca, for_client, for_server;
    } t[] = {
        {"a workload's", {ID}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, true, true},
        {"a server's alone", {ID}, SERVER, MLN_KU_DIGITAL_SIGNATURE, false, false, true},
        {"a client's alone", {ID}, CLIENT, MLN_KU_DIGITAL_SIGNATURE, false, true, false},
        {"a CA", {ID}, NULL, MLN_KU_DIGITAL_SIGNATURE, true, false, false},
        {"signs certificates", {ID}, NULL, MLN_KU_DIGITAL_SIGNATURE | MLN_KU_CERT_SIGN, false, false, false},
        {"signs revocations", {ID}, NULL, MLN_KU_DIGITAL_SIGNATURE | MLN_KU_CRL_SIGN, false, false, false},
        {"signs nothing", {ID}, NULL, MLN_KU_KEY_ENCIPHERMENT, false, false, false},
        {"no usage", {ID}, NULL, 0, false, false, false},
        {"no URI", {NULL}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, false, false},
        {"two URIs", {ID, "spiffe://example.org/db"}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, false, false},
        {"the same URI twice", {ID, ID}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, false, false},
        {"a trust domain", {"spiffe://example.org"}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, false, false},
        {"another scheme", {"https://example.org/web"}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, false, false},
        {"dots in the path", {"spiffe://example.org/../web"}, NULL, MLN_KU_DIGITAL_SIGNATURE, false, false, false},
    };
    struct mln_cx *cx = kit_cx(state);
    for (size_t i = 0; i < MLN_COUNT(t); i++) {
        struct mln_bytes der = certificate(cx, t[i].uris, t[i].usage, t[i].extended, t[i].is_ca);
        const bool good[] = {[MLN_SVID_CLIENT] = t[i].for_client, [MLN_SVID_SERVER] = t[i].for_server};
        for (unsigned side = MLN_SVID_CLIENT; side <= MLN_SVID_SERVER; side++) {
            struct mln_spiffe_id id = {0};
            struct mln_err err = mln_x509_svid_read(cx, der, (enum mln_svid_side)side, &id);
            if (good[side]) {
                kit_ok(cx, err);
                assert_true(mln_bytes_is(id.text, ID));
            } else {
                kit_expect(cx, t[i].name, err, MLN_E_FORGED);
                assert_int_equal(id.text.len, 0);
            }
        }
    }
}

static void test_damaged(void **state)
{
    struct mln_cx *cx = kit_cx(state);
    static const char *const uris[2] = {ID};
    struct mln_bytes der = certificate(cx, uris, MLN_KU_DIGITAL_SIGNATURE, NULL, false);
    struct mln_spiffe_id id = {0};
    kit_expect(cx, "nothing", mln_x509_svid_read(cx, MLN_BYTES_NONE, MLN_SVID_SERVER, &id), MLN_E_FORGED);
    kit_expect(cx, "cut off", mln_x509_svid_read(cx, mln_bytes_sub(der, 0, der.len - 1), MLN_SVID_SERVER, &id), MLN_E_FORGED);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {KIT_TEST(test_leaves), KIT_TEST(test_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
