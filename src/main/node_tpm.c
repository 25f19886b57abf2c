/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TPM 2.0 of a node, by tpm2-tss: libraries are loaded and the device is opened before the sandbox; from then on there is one open
 * descriptor. Keys are made anew each time that the node shows who it is, by templates: the same TPM makes the same ones, and nothing
 * is kept in it. Endorsement key: that of the TCG's EK credential profile (template L-1), its persistent copy when there is one.
 */
#include "main/node_priv.h"

#ifdef MLN_HAS_TSS2

#include <dlfcn.h>
#include <stdlib.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include "base/text.h"
#include "crypto/tpm.h"
#include "identity/spiffe_bundle.h"

#define EK_HANDLE   0x81010001u /* EK credential profile sec. 2.2.1.5 */
#define EK_CERT     0x01c00002u /* the same, NV index of the certificate of RSA-2048 */
#define CERT_MAX    4096u       /* NV of TPMs is some 8 KiB */
#define NV_CHUNK    512u        /* every TPM reads as much at once */
#define QUOTED_PCRS 0xffu       /* 0 to 7: firmware and boot */
#define PUBLIC_MAX  1024u

#define TSS_FUNCTION(name) __typeof__(&name) name
static struct {
    TSS_FUNCTION(Esys_Initialize);
    TSS_FUNCTION(Esys_Finalize);
    TSS_FUNCTION(Esys_Free);
    TSS_FUNCTION(Esys_CreatePrimary);
    TSS_FUNCTION(Esys_ReadPublic);
    TSS_FUNCTION(Esys_TR_FromTPMPublic);
    TSS_FUNCTION(Esys_TR_Close);
    TSS_FUNCTION(Esys_FlushContext);
    TSS_FUNCTION(Esys_StartAuthSession);
    TSS_FUNCTION(Esys_PolicySecret);
    TSS_FUNCTION(Esys_ActivateCredential);
    TSS_FUNCTION(Esys_Quote);
    TSS_FUNCTION(Esys_NV_ReadPublic);
    TSS_FUNCTION(Esys_NV_Read);
    TSS_FUNCTION(Tss2_TctiLdr_Initialize);
    TSS_FUNCTION(Tss2_TctiLdr_Finalize);
    TSS_FUNCTION(Tss2_MU_TPMT_PUBLIC_Marshal);
    TSS_FUNCTION(Tss2_MU_TPMT_SIGNATURE_Marshal);
} tss;

struct node_tpm {
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys;
    ESYS_TR ek, ak; /* ESYS_TR_NONE = none */
    bool is_ek_kept; /* persistent: not ours to flush */
};

/* ---- the libraries ---- */

static bool load_one(void *library, const char *name, void *ret_function)
{
    void *symbol = library != NULL ? dlsym(library, name) : NULL;
    mln_copy(ret_function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

static bool load(void)
{
    void *esys = dlopen("libtss2-esys.so.0", RTLD_NOW | RTLD_LOCAL), *loader = dlopen("libtss2-tctildr.so.0", RTLD_NOW | RTLD_LOCAL),
         *mu = dlopen("libtss2-mu.so.0", RTLD_NOW | RTLD_LOCAL);
    bool ok = true;
#define LOAD(library, name) ok = load_one(library, #name, &tss.name) && ok
    LOAD(esys, Esys_Initialize);
    LOAD(esys, Esys_Finalize);
    LOAD(esys, Esys_Free);
    LOAD(esys, Esys_CreatePrimary);
    LOAD(esys, Esys_ReadPublic);
    LOAD(esys, Esys_TR_FromTPMPublic);
    LOAD(esys, Esys_TR_Close);
    LOAD(esys, Esys_FlushContext);
    LOAD(esys, Esys_StartAuthSession);
    LOAD(esys, Esys_PolicySecret);
    LOAD(esys, Esys_ActivateCredential);
    LOAD(esys, Esys_Quote);
    LOAD(esys, Esys_NV_ReadPublic);
    LOAD(esys, Esys_NV_Read);
    LOAD(loader, Tss2_TctiLdr_Initialize);
    LOAD(loader, Tss2_TctiLdr_Finalize);
    LOAD(mu, Tss2_MU_TPMT_PUBLIC_Marshal);
    LOAD(mu, Tss2_MU_TPMT_SIGNATURE_Marshal);
#undef LOAD
    return ok;
}

/* What the library gave; several at a time. */
static void give_back(void *ptr)
{
    tss.Esys_Free(ptr);
}

static struct mln_err tpm_failed(struct mln_cx *cx, const char *what, TSS2_RC rc)
{
    return mln_fail(cx, MLN_E_UNREACHABLE, "the TPM does not %s (error 0x%08x: `tpm2_rc_decode` says what it is)", what, (unsigned)rc);
}

/* ---- opening ---- */

struct mln_err node_tpm_open(struct mln_cx *cx, const char *where, struct node_tpm **ret)
{
    (void)setenv("TSS2_LOG", "all+none", 0); /* what fails is said here */
    if (!load()) {
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "--tpm needs libraries that are not there: install libtss2-esys-3.0.2-0 and libtss2-tctildr0");
    }
    struct node_tpm *tpm = mln_alloc(sizeof(*tpm));
    const char *name = where[0] == '/' ? mln_text_format(cx, "device:%s", where) : where;
    MLN_TRY(mln_cx_err(cx));
    if (tpm == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "node: no memory");
    }
    *tpm = (struct node_tpm){.ek = ESYS_TR_NONE, .ak = ESYS_TR_NONE};
    TSS2_RC rc = tss.Tss2_TctiLdr_Initialize(name, &tpm->tcti);
    rc = rc != 0 ? rc : tss.Esys_Initialize(&tpm->esys, tpm->tcti, NULL);
    if (rc != 0) {
        node_tpm_close(tpm);
        return mln_fail(cx, MLN_E_UNREACHABLE, "there is no TPM 2.0 at %s, or this user may not use it (error 0x%08x)", where,
                        (unsigned)rc);
    }
    *ret = tpm;
    return MLN_OK;
}

static void forget_keys(struct node_tpm *tpm)
{
    if (tpm->ek != ESYS_TR_NONE && tpm->is_ek_kept) {
        (void)tss.Esys_TR_Close(tpm->esys, &tpm->ek);
    } else if (tpm->ek != ESYS_TR_NONE) {
        (void)tss.Esys_FlushContext(tpm->esys, tpm->ek);
    }
    if (tpm->ak != ESYS_TR_NONE) {
        (void)tss.Esys_FlushContext(tpm->esys, tpm->ak);
    }
    tpm->ek = tpm->ak = ESYS_TR_NONE;
}

void node_tpm_close(struct node_tpm *tpm)
{
    if (tpm == NULL) {
        return;
    }
    if (tpm->esys != NULL) {
        forget_keys(tpm);
        tss.Esys_Finalize(&tpm->esys);
    }
    if (tpm->tcti != NULL) {
        tss.Tss2_TctiLdr_Finalize(&tpm->tcti);
    }
    mln_free(tpm);
}

/* ---- keys ---- */

static struct mln_err print_public(struct mln_cx *cx, const TPM2B_PUBLIC *area, struct mln_bytes *ret)
{
    uint8_t bytes[PUBLIC_MAX];
    size_t n = 0;
    TSS2_RC rc = tss.Tss2_MU_TPMT_PUBLIC_Marshal(&area->publicArea, bytes, sizeof(bytes), &n);
    *ret = rc == 0 ? mln_bytes_dup(cx, mln_bytes_at(bytes, n)) : MLN_BYTES_NONE;
    return rc == 0 ? mln_cx_err(cx) : tpm_failed(cx, "give a public key", rc);
}

static struct mln_err make_primary(struct node_tpm *tpm, struct mln_cx *cx, const TPM2B_PUBLIC *template, ESYS_TR *ret,
                                   struct mln_bytes *ret_public)
{
    static const TPM2B_SENSITIVE_CREATE no_auth = {0};
    static const TPM2B_DATA no_data = {0};
    static const TPML_PCR_SELECTION no_pcrs = {0};
    TPM2B_PUBLIC *area = NULL;
    TPM2B_CREATION_DATA *data = NULL;
    TPM2B_DIGEST *hash = NULL;
    TPMT_TK_CREATION *ticket = NULL;
    TSS2_RC rc = tss.Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &no_auth, template,
                                        &no_data, &no_pcrs, ret, &area, &data, &hash, &ticket);
    if (rc != 0) {
        return tpm_failed(cx, "make a key (its endorsement hierarchy must have no password)", rc);
    }
    struct mln_err err = print_public(cx, area, ret_public);
    give_back(area);
    give_back(data);
    give_back(hash);
    give_back(ticket);
    return err;
}

/* PolicySecret of the endorsement hierarchy: profile sec. B.3.3. */
static struct mln_err make_ek(struct node_tpm *tpm, struct mln_cx *cx, struct mln_bytes *ret)
{
    static const TPM2B_PUBLIC template = {
        .publicArea = {
            .type = TPM2_ALG_RSA,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
            .authPolicy = {.size = 32,
                           .buffer = {0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24,
                                      0xfd, 0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa}},
            .parameters.rsaDetail = {.symmetric = {.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB},
                                     .scheme.scheme = TPM2_ALG_NULL,
                                     .keyBits = 2048},
            .unique.rsa.size = 256}};
    tpm->is_ek_kept = false;
    return make_primary(tpm, cx, &template, &tpm->ek, ret);
}

static struct mln_err make_ak(struct node_tpm *tpm, struct mln_cx *cx, struct mln_bytes *ret)
{
    static const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                           TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_SIGN_ENCRYPT,
                       .parameters.eccDetail = {.symmetric.algorithm = TPM2_ALG_NULL,
                                                .scheme = {.scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256},
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf.scheme = TPM2_ALG_NULL}}};
    return make_primary(tpm, cx, &template, &tpm->ak, ret);
}

/* Making the key takes a TPM up to a minute: makers of machines leave it in there. */
static bool find_ek(struct node_tpm *tpm, struct mln_cx *cx, struct mln_bytes *ret)
{
    TPM2B_PUBLIC *area = NULL;
    TPM2B_NAME *name = NULL, *qualified = NULL;
    struct mln_tpm_key key;
    if (tss.Esys_TR_FromTPMPublic(tpm->esys, EK_HANDLE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &tpm->ek) != 0) {
        tpm->ek = ESYS_TR_NONE;
        return false;
    }
    tpm->is_ek_kept = true;
    bool ok = tss.Esys_ReadPublic(tpm->esys, tpm->ek, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, &name, &qualified) == 0;
    ok = ok && !mln_failed(print_public(cx, area, ret)) && !mln_failed(mln_tpm_ek_parse(cx, *ret, &key));
    mln_cx_clear(cx);
    give_back(area);
    give_back(name);
    give_back(qualified);
    if (!ok) {
        (void)tss.Esys_TR_Close(tpm->esys, &tpm->ek);
        tpm->ek = ESYS_TR_NONE;
    }
    return ok;
}

static bool read_nv(struct node_tpm *tpm, ESYS_TR index, size_t size, struct mln_buf *to)
{
    while (to->len < size && !to->has_failed) {
        size_t want = size - to->len < NV_CHUNK ? size - to->len : NV_CHUNK;
        TPM2B_MAX_NV_BUFFER *part = NULL;
        if (tss.Esys_NV_Read(tpm->esys, index, index, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, (UINT16)want, (UINT16)to->len,
                             &part) != 0) {
            return false;
        }
        size_t got = part->size <= want ? part->size : 0;
        mln_buf_add(to, part->buffer, got);
        give_back(part);
        if (got == 0) {
            return false;
        }
    }
    return !to->has_failed;
}

/* The endorsement certificate, if this TPM has one. */
static void put_certificate(struct node_tpm *tpm, struct mln_cx *cx, struct mln_value *certs)
{
    ESYS_TR index = ESYS_TR_NONE;
    TPM2B_NV_PUBLIC *area = NULL;
    TPM2B_NAME *name = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.max = CERT_MAX};
    if (tss.Esys_TR_FromTPMPublic(tpm->esys, EK_CERT, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index) != 0) {
        return;
    }
    if (tss.Esys_NV_ReadPublic(tpm->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &area, &name) == 0 &&
        area->nvPublic.dataSize <= CERT_MAX && read_nv(tpm, index, area->nvPublic.dataSize, &text)) {
        size_t n = sp_der_length(mln_buf_bytes(&text)); /* what follows is filling */
        if (n > 0 && n <= text.len) {
            mln_push_text(cx, certs, mln_base64_text(cx, mln_bytes_sub(mln_buf_bytes(&text), 0, n), MLN_B64_STD));
        }
    }
    give_back(area);
    give_back(name);
    (void)tss.Esys_TR_Close(tpm->esys, &index);
}

struct mln_err node_tpm_put_keys(struct node_tpm *tpm, struct mln_cx *cx, struct mln_value *payload)
{
    struct mln_bytes ek, ak;
    struct mln_value *certs = mln_array(cx);
    forget_keys(tpm);
    if (!find_ek(tpm, cx, &ek)) {
        MLN_TRY(make_ek(tpm, cx, &ek));
    }
    MLN_TRY(make_ak(tpm, cx, &ak));
    put_certificate(tpm, cx, certs);
    mln_put_text(cx, payload, "ek", mln_base64_text(cx, ek, MLN_B64_STD));
    mln_put_text(cx, payload, "ak", mln_base64_text(cx, ak, MLN_B64_STD));
    mln_put(cx, payload, "certificates", certs);
    return mln_cx_err(cx);
}

/* ---- the challenge ---- */

/* The endorsement key is used by a policy session in which the (empty) password of its hierarchy was shown. */
static TSS2_RC begin_policy(struct node_tpm *tpm, ESYS_TR *ret)
{
    static const TPMT_SYM_DEF none = {.algorithm = TPM2_ALG_NULL};
    TPM2B_TIMEOUT *timeout = NULL;
    TPMT_TK_AUTH *ticket = NULL;
    TSS2_RC rc = tss.Esys_StartAuthSession(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, NULL,
                                           TPM2_SE_POLICY, &none, TPM2_ALG_SHA256, ret);
    if (rc != 0) {
        *ret = ESYS_TR_NONE;
        return rc;
    }
    rc = tss.Esys_PolicySecret(tpm->esys, ESYS_TR_RH_ENDORSEMENT, *ret, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, NULL, NULL, NULL, 0,
                               &timeout, &ticket);
    give_back(timeout);
    give_back(ticket);
    return rc;
}

static struct mln_err take_binary(struct mln_cx *cx, const struct mln_value *data, const char *name, struct mln_buf *ret)
{
    bool ok = !mln_failed(mln_base64_parse(cx, mln_get_bytes(mln_get(data, name)), MLN_B64_STD, ret)) && !ret->has_failed && ret->len > 0;
    return ok ? MLN_OK : mln_refail(cx, MLN_E_REMOTE, "the server's challenge cannot be read");
}

static struct mln_err open_credential(struct node_tpm *tpm, struct mln_cx *cx, const struct mln_value *data, struct mln_value *payload)
{
    TPM2B_ID_OBJECT blob = {0};
    TPM2B_ENCRYPTED_SECRET seed = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf blob_bytes = {.max = sizeof(blob.credential)}, seed_bytes = {.max = sizeof(seed.secret)};
    TPM2B_DIGEST *secret = NULL;
    ESYS_TR session = ESYS_TR_NONE;
    MLN_TRY(take_binary(cx, data, "credential", &blob_bytes));
    MLN_TRY(take_binary(cx, data, "seed", &seed_bytes));
    blob.size = (UINT16)blob_bytes.len;
    seed.size = (UINT16)seed_bytes.len;
    mln_copy(blob.credential, blob_bytes.ptr, blob_bytes.len);
    mln_copy(seed.secret, seed_bytes.ptr, seed_bytes.len);
    TSS2_RC rc = begin_policy(tpm, &session);
    rc = rc != 0 ? rc
                 : tss.Esys_ActivateCredential(tpm->esys, tpm->ak, tpm->ek, ESYS_TR_PASSWORD, session, ESYS_TR_NONE, &blob, &seed, &secret);
    if (session != ESYS_TR_NONE) {
        (void)tss.Esys_FlushContext(tpm->esys, session);
    }
    if (rc != 0) {
        return tpm_failed(cx, "open the server's credential", rc);
    }
    const char *text = mln_base64_text(cx, mln_bytes_at(secret->buffer, secret->size), MLN_B64_STD);
    mln_wipe(secret->buffer, sizeof(secret->buffer));
    give_back(secret);
    mln_put(cx, payload, "secret", mln_secret_string(cx, mln_bytes_of(text)));
    return mln_cx_err(cx);
}

/* Over the challenge and the request that goes with it: spiffe_node_proof.h. */
static struct mln_err quote(struct node_tpm *tpm, struct mln_cx *cx, const struct mln_node_signed *input, struct mln_value *payload)
{
    static const TPMT_SIG_SCHEME as_key = {.scheme = TPM2_ALG_NULL};
    static const TPML_PCR_SELECTION pcrs = {
        .count = 1, .pcrSelections = {{.hash = TPM2_ALG_SHA256, .sizeofSelect = 3, .pcrSelect = {QUOTED_PCRS}}}};
    TPM2B_DATA asked = {.size = MLN_SHA256_BYTES};
    TPM2B_ATTEST *quoted = NULL;
    TPMT_SIGNATURE *signature = NULL;
    uint8_t bytes[PUBLIC_MAX];
    size_t n = 0;
    MLN_TRY(mln_node_proof_digest(cx, input, asked.buffer));
    TSS2_RC rc = tss.Esys_Quote(tpm->esys, tpm->ak, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &asked, &as_key, &pcrs, &quoted,
                                &signature);
    rc = rc != 0 ? rc : tss.Tss2_MU_TPMT_SIGNATURE_Marshal(signature, bytes, sizeof(bytes), &n);
    if (rc == 0) {
        mln_put_text(cx, payload, "quote", mln_base64_text(cx, mln_bytes_at(quoted->attestationData, quoted->size), MLN_B64_STD));
        mln_put_text(cx, payload, "signature", mln_base64_text(cx, mln_bytes_at(bytes, n), MLN_B64_STD));
    }
    give_back(quoted);
    give_back(signature);
    return rc == 0 ? mln_cx_err(cx) : tpm_failed(cx, "sign the server's challenge", rc);
}

struct mln_err node_tpm_answer(struct node_tpm *tpm, struct mln_cx *cx, const struct mln_value *data, const char *csr,
                               struct mln_value *payload)
{
    struct mln_node_signed input = {.context = MLN_NODE_TPM_CONTEXT,
                                    .nonce = mln_get_bytes(mln_get(data, "nonce")),
                                    .domain = mln_get_bytes(mln_get(data, "trust_domain")),
                                    .csr = mln_bytes_of(csr)};
    struct mln_err err = open_credential(tpm, cx, data, payload);
    err = mln_failed(err) ? err : quote(tpm, cx, &input, payload);
    forget_keys(tpm);
    MLN_TRY(err);
    mln_put(cx, payload, "nonce", mln_get(data, "nonce"));
    return mln_cx_err(cx);
}

#else

struct mln_err node_tpm_open(struct mln_cx *cx, const char *where, struct node_tpm **ret)
{
    (void)where;
    (void)ret;
    return mln_fail(cx, MLN_E_UNSUPPORTED, "this merlon was built without support for TPMs: install libtss2-dev and build it again");
}

void node_tpm_close(struct node_tpm *tpm)
{
    (void)tpm;
}

struct mln_err node_tpm_put_keys(struct node_tpm *tpm, struct mln_cx *cx, struct mln_value *payload)
{
    (void)tpm;
    (void)payload;
    return mln_fail(cx, MLN_E_UNSUPPORTED, "no TPM");
}

struct mln_err node_tpm_answer(struct node_tpm *tpm, struct mln_cx *cx, const struct mln_value *data, const char *csr,
                               struct mln_value *payload)
{
    (void)tpm;
    (void)data;
    (void)csr;
    (void)payload;
    return mln_fail(cx, MLN_E_UNSUPPORTED, "no TPM");
}

#endif
