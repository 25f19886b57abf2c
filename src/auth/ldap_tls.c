/* SPDX-License-Identifier: Apache-2.0 */
/* The certificate that this server shows a directory, and its key: PEM texts of the configuration. See ldap_priv.h. */
#include "auth/ldap_priv.h"
#include "crypto/x509.h"

#define PEM_MAX_BYTES (64u << 10) /* a chain of some certificates; a key has 12 KiB at most */

/* The first block whose label ends so: keys may come behind "EC PARAMETERS". */
static bool find_block(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes end, struct mln_bytes *ret)
{
    struct mln_bytes label;
    bool is_bad = false;
    while (text.len <= PEM_MAX_BYTES && mln_pem_next(cx, &text, &label, ret, &is_bad)) {
        if (mln_bytes_ends(label, end)) {
            return true;
        }
    }
    return false;
}

static struct mln_err read_pair(struct mln_cx *cx, const struct mln_value *config, struct mln_x509_info *info,
                                struct mln_key *key)
{
    struct mln_bytes der = MLN_BYTES_NONE;
    if (!find_block(cx, ldap_of(config, "client_tls_cert"), MLN_BYTES("CERTIFICATE"), &der)) {
        return (struct mln_err){MLN_E_PARSE};
    }
    MLN_TRY(mln_x509_cert_read(cx, der, info));
    info->der = der;
    if (!find_block(cx, ldap_of(config, "client_tls_key"), MLN_BYTES("PRIVATE KEY"), &der)) {
        return (struct mln_err){MLN_E_PARSE};
    }
    return mln_key_read(cx, der, key);
}

struct mln_err ldap_client_pair(struct mln_cx *cx, const struct mln_value *config, struct ldap_pair *ret)
{
    struct mln_x509_info info = {0};
    struct mln_key key = {0};
    bool has_cert = ldap_of(config, "client_tls_cert").len > 0, has_key = ldap_of(config, "client_tls_key").len > 0;
    if (has_cert != has_key) {
        return mln_fail(cx, MLN_E_INVALID, "both client_tls_cert and client_tls_key must be set");
    }
    if (!has_cert) {
        *ret = (struct ldap_pair){0};
        return MLN_OK;
    }
    struct mln_err err = read_pair(cx, config, &info, &key);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_MEMORY) ? err : mln_refail(cx, MLN_E_INVALID, "failed to parse client X509 key pair");
    }
    if (!mln_bytes_eq(info.spki, key.spki)) {
        return mln_fail(cx, MLN_E_INVALID, "failed to parse client X509 key pair: the key is not the certificate's");
    }
    *ret = (struct ldap_pair){.cert = info.der, .key = key.plain};
    return MLN_OK;
}
