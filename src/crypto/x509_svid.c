/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/x509_svid.h"

#include "base/value.h"

static const char *const usages[] = {[MLN_SVID_CLIENT] = "1.3.6.1.5.5.7.3.2",
                                     [MLN_SVID_SERVER] = "1.3.6.1.5.5.7.3.1"};

static bool is_for(const struct mln_x509_info *info, enum mln_svid_side side)
{
    const unsigned forbidden = MLN_KU_CERT_SIGN | MLN_KU_CRL_SIGN;
    bool has_usage = mln_len(info->ext_key_usage) == 0;
    for (size_t i = 0; i < mln_len(info->ext_key_usage); i++) {
        has_usage = has_usage || mln_is_text(mln_item(info->ext_key_usage, i), usages[side]);
    }
    return !info->is_ca && (info->key_usage & MLN_KU_DIGITAL_SIGNATURE) != 0 &&
           (info->key_usage & forbidden) == 0 && has_usage;
}

struct mln_err mln_x509_svid_read(struct mln_cx *cx, struct mln_bytes der, enum mln_svid_side side,
                                  struct mln_spiffe_id *ret)
{
    struct mln_x509_info info;
    struct mln_spiffe_id id;
    struct mln_bytes uri = MLN_BYTES_NONE;
    size_t n = 0;
    struct mln_err err = mln_x509_cert_read(cx, der, &info);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err)) {
        return mln_refail(cx, MLN_E_FORGED, "the certificate cannot be read");
    }
    for (size_t i = 0; i < info.sans_n; i++) {
        if (info.sans[i].kind == MLN_SAN_URI) {
            uri = info.sans[i].value;
            n++;
        }
    }
    if (n != 1 || !is_for(&info, side)) {
        return mln_fail(cx, MLN_E_FORGED, "the certificate is no X.509-SVID of a workload: %s",
                        n != 1 ? "it has not exactly one URI" : "its uses are others");
    }
    if (mln_failed(mln_spiffe_id_parse(cx, mln_bytes_dup(cx, uri), &id)) || id.path.len == 0) {
        return mln_refail(cx, MLN_E_FORGED, "the certificate's URI is no SPIFFE id of a workload");
    }
    *ret = id;
    return mln_cx_err(cx);
}
