/* SPDX-License-Identifier: Apache-2.0 */
/* Certificate authorities of trust domains and what they sign, made for a test. */
#pragma once

#include "kit/kit.h"

#include "crypto/x509.h"

#define SVK_NOW 1795336877

struct svk_ca {
    struct mln_key key;
    struct mln_bytes name, der;
};
struct svk_leaf {
    const char *uris[3]; /* NULL-ended */
    const char *dns;
    int64_t from_s, until_s;
    unsigned usage;
    const char *ext_usage; /* one OID; NULL = none */
    bool is_ca;
};

static inline struct mln_bytes svk_cert(struct mln_cx *cx, const struct svk_ca *by, struct mln_bytes subject, struct mln_bytes spki,
                                        const struct svk_leaf *leaf)
{
    static const uint8_t serial[] = {0x11, 0x22, 0x33};
    struct mln_bytes der, extensions[4];
    struct mln_san sans[4];
    size_t n = 0, n_sans = 0;
    for (size_t i = 0; i < MLN_COUNT(leaf->uris) && leaf->uris[i] != NULL; i++) {
        sans[n_sans++] = (struct mln_san){.kind = MLN_SAN_URI, .value = mln_bytes_of(leaf->uris[i])};
    }
    if (leaf->dns != NULL) {
        sans[n_sans++] = (struct mln_san){.kind = MLN_SAN_DNS, .value = mln_bytes_of(leaf->dns)};
    }
    extensions[n++] = mln_ext_basic(cx, leaf->is_ca, -1);
    extensions[n++] = mln_ext_key_usage(cx, leaf->usage);
    if (n_sans > 0) {
        extensions[n++] = mln_ext_names(cx, sans, n_sans, true);
    }
    if (leaf->ext_usage != NULL) {
        struct mln_value *oids = mln_array(cx);
        mln_push_text(cx, oids, leaf->ext_usage);
        extensions[n++] = mln_ext_ext_key_usage(cx, oids);
    }
    struct mln_x509_signer signer = {by->key.pkcs8, MLN_SIG_EC_256};
    struct mln_cert_spec spec = {.serial = mln_bytes_at(serial, sizeof(serial)),
                                 .issuer = by->name,
                                 .subject = subject,
                                 .spki = spki,
                                 .not_before_s = leaf->from_s != 0 ? leaf->from_s : SVK_NOW - 60,
                                 .not_after_s = leaf->until_s != 0 ? leaf->until_s : SVK_NOW + 3600,
                                 .extensions = extensions,
                                 .n = n};
    kit_ok(cx, mln_cert_build(cx, &spec, &signer, &der));
    return der;
}

static inline struct svk_ca svk_ca_new(struct mln_cx *cx, const char *name, const char *uri)
{
    struct svk_ca ca;
    struct mln_x509_name parts = {.common_name = mln_bytes_of(name)};
    struct svk_leaf self = {.uris = {uri}, .usage = MLN_KU_CERT_SIGN | MLN_KU_CRL_SIGN, .is_ca = true, .until_s = SVK_NOW + 86400};
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, &ca.key));
    kit_ok(cx, mln_x509_name_print(cx, &parts, &ca.name));
    ca.der = svk_cert(cx, &ca, ca.name, ca.key.spki, &self);
    return ca;
}

/* A leaf of `by`; *ret_key, when asked for, its PKCS #8. */
static inline struct mln_bytes svk_leaf_new(struct mln_cx *cx, const struct svk_ca *by, const struct svk_leaf *leaf,
                                            struct mln_bytes *ret_key)
{
    struct mln_key key;
    struct mln_bytes name;
    struct mln_x509_name parts = {.common_name = MLN_BYTES("leaf")};
    kit_ok(cx, mln_key_generate(cx, MLN_KEY_EC, 256, &key));
    kit_ok(cx, mln_x509_name_print(cx, &parts, &name));
    if (ret_key != NULL) {
        *ret_key = key.pkcs8;
    }
    return svk_cert(cx, by, name, key.spki, leaf);
}
