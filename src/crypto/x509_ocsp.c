/* SPDX-License-Identifier: Apache-2.0 */
/* OCSP (RFC 6960) by OpenSSL: requests read, answers built and signed by the issuer's own key. */
#include "crypto/x509_priv.h"

#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/ocsp.h>

static void request_drop(OCSP_REQUEST **p)
{
    OCSP_REQUEST_free(*p);
}

static void basic_drop(OCSP_BASICRESP **p)
{
    OCSP_BASICRESP_free(*p);
}

static void time_drop(ASN1_GENERALIZEDTIME **p)
{
    ASN1_GENERALIZEDTIME_free(*p);
}

static void x509_drop(X509 **p)
{
    X509_free(*p);
}

static void md_drop(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

static OCSP_REQUEST *request_of(struct mln_bytes der)
{
    const uint8_t *at = der.ptr;
    OCSP_REQUEST *request = der.len > 0 && der.len <= MLN_OCSP_REQUEST_MAX
                                ? d2i_OCSP_REQUEST(NULL, &at, (long)der.len)
                                : NULL;
    if (request != NULL && at != der.ptr + der.len) {
        OCSP_REQUEST_free(request);
        request = NULL;
    }
    ERR_clear_error();
    return request;
}

static struct mln_bytes string_of(struct mln_cx *cx, const ASN1_STRING *s)
{
    return mln_bytes_dup(cx, mln_bytes_at(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
}

static struct mln_err asked_of(struct mln_cx *cx, OCSP_ONEREQ *one, struct mln_ocsp_asked *ret)
{
    ASN1_OCTET_STRING *name = NULL, *key = NULL;
    ASN1_OBJECT *hash = NULL;
    ASN1_INTEGER *serial = NULL;
    OCSP_CERTID *id = OCSP_onereq_get0_id(one);
    if (id == NULL || OCSP_id_get0_info(&name, &hash, &key, &serial, id) != 1 ||
        ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER) {
        return mln_fail(cx, MLN_E_PARSE, "the OCSP request is damaged");
    }
    int nid = OBJ_obj2nid(hash);
    *ret = (struct mln_ocsp_asked){.serial = string_of(cx, serial),
                                   .name_hash = string_of(cx, name),
                                   .key_hash = string_of(cx, key),
                                   .is_sha1 = nid == NID_sha1,
                                   .is_sha256 = nid == NID_sha256};
    return mln_cx_err(cx);
}

struct mln_err mln_ocsp_read(struct mln_cx *cx, struct mln_bytes der, struct mln_ocsp_ask *ret)
{
    crypto_algorithms();
    MLN_AUTO(request_drop) OCSP_REQUEST *request = request_of(der);
    int n = request != NULL ? OCSP_request_onereq_count(request) : 0;
    if (n <= 0) {
        return mln_fail(cx, MLN_E_PARSE, "the OCSP request is damaged");
    }
    if (n > (int)MLN_OCSP_ASKED_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "an OCSP request may ask for %u certificates",
                        MLN_OCSP_ASKED_MAX);
    }
    ret->n = 0;
    for (int i = 0; i < n; i++) {
        MLN_TRY(asked_of(cx, OCSP_request_onereq_get0(request, i), &ret->asked[i]));
        ret->n++;
    }
    return MLN_OK;
}

static bool hashes_to(const EVP_MD *md, struct mln_bytes from, struct mln_bytes want)
{
    uint8_t got[32];
    unsigned n = 0;
    return EVP_Digest(from.ptr, from.len, got, &n, md, NULL) == 1 &&
           mln_bytes_eq(mln_bytes_at(got, n), want);
}

bool mln_ocsp_is_issuer(const struct mln_ocsp_asked *asked, struct mln_bytes subject,
                        struct mln_bytes spki)
{
    const EVP_MD *md = asked->is_sha1 ? EVP_sha1() : asked->is_sha256 ? EVP_sha256() : NULL;
    return md != NULL && hashes_to(md, subject, asked->name_hash) &&
           hashes_to(md, x509_key_bits(spki), asked->key_hash);
}

static bool add_states(OCSP_REQUEST *request, OCSP_BASICRESP *basic,
                       const struct mln_ocsp_spec *spec)
{
    MLN_AUTO(time_drop)
    ASN1_GENERALIZEDTIME *this = ASN1_GENERALIZEDTIME_set(NULL, (time_t)spec->this_s);
    MLN_AUTO(time_drop)
    ASN1_GENERALIZEDTIME *next =
        spec->next_s != 0 ? ASN1_GENERALIZEDTIME_set(NULL, (time_t)spec->next_s) : NULL;
    int n = OCSP_request_onereq_count(request);
    for (int i = 0; this != NULL && i < n; i++) {
        static const int codes[] = {[MLN_OCSP_GOOD] = V_OCSP_CERTSTATUS_GOOD,
                                    [MLN_OCSP_REVOKED] = V_OCSP_CERTSTATUS_REVOKED,
                                    [MLN_OCSP_UNKNOWN] = V_OCSP_CERTSTATUS_UNKNOWN};
        const struct mln_ocsp_state_of *of = &spec->states[i];
        bool is_revoked = of->state == MLN_OCSP_REVOKED;
        MLN_AUTO(time_drop)
        ASN1_GENERALIZEDTIME *revoked =
            is_revoked ? ASN1_GENERALIZEDTIME_set(NULL, (time_t)of->revoked_s) : NULL;
        OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, i));
        if ((is_revoked && revoked == NULL) ||
            OCSP_basic_add1_status(basic, id, codes[of->state], -1, revoked, this, next) == NULL) {
            return false;
        }
    }
    return this != NULL;
}

/* The signer's certificate is the issuer's own: clients have it, so it is not sent. */
static bool sign_basic(OCSP_BASICRESP *basic, const struct mln_ocsp_spec *spec)
{
    const uint8_t *at = spec->issuer.ptr;
    MLN_AUTO(x509_drop) X509 *issuer = d2i_X509(NULL, &at, (long)spec->issuer.len);
    MLN_AUTO(md_drop) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    CRYPTO_ENTER(t);
    EVP_PKEY *key = x509_key_of(t, spec->by.pkcs8);
    if (issuer == NULL || ctx == NULL || key == NULL ||
        EVP_DigestSignInit(ctx, &options, x509_digest_of(spec->by.sig), NULL, key) != 1) {
        return false;
    }
    if (x509_is_pss(spec->by.sig) &&
        (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) <= 0 ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) <= 0)) {
        return false;
    }
    return OCSP_basic_sign_ctx(basic, issuer, ctx, NULL, OCSP_NOCERTS | OCSP_RESPID_KEY) == 1;
}

static struct mln_err print_response(struct mln_cx *cx, OCSP_BASICRESP *basic, int status,
                                     struct mln_bytes *ret)
{
    OCSP_RESPONSE *response = OCSP_response_create(status, basic);
    unsigned char *der = NULL;
    int n = response != NULL ? i2d_OCSP_RESPONSE(response, &der) : -1;
    if (n > 0) {
        *ret = mln_bytes_dup(cx, mln_bytes_at(der, (size_t)n));
    }
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    return n > 0 ? mln_cx_err(cx) : crypto_failed(cx, "the OCSP answer");
}

struct mln_err mln_ocsp_build(struct mln_cx *cx, const struct mln_ocsp_spec *spec,
                              struct mln_bytes *ret)
{
    crypto_algorithms();
    MLN_AUTO(request_drop) OCSP_REQUEST *request = request_of(spec->request);
    MLN_AUTO(basic_drop) OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    if (request == NULL || basic == NULL || !add_states(request, basic, spec) ||
        OCSP_copy_nonce(basic, request) == 0 || !sign_basic(basic, spec)) {
        return crypto_failed(cx, "the OCSP answer");
    }
    return print_response(cx, basic, OCSP_RESPONSE_STATUS_SUCCESSFUL, ret);
}

struct mln_bytes mln_ocsp_refusal(struct mln_cx *cx, enum mln_ocsp_refusal why)
{
    uint8_t code[1] = {(uint8_t)why};
    return DER(cx, DER_SEQUENCE, DER(cx, DER_ENUMERATED, DER_RAW(code)));
}
