/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node with a TPM 2.0. It says which endorsement key its TPM has and which attestation key it made there; the server makes a credential
 * (nodes/tpm-challenge) that only the TPM of that endorsement key opens, and only when that attestation key is in it. The node answers
 * with what was inside and a quote over the challenge and the request that goes with it (spiffe_node_proof.h). Nothing is remembered in
 * between: the secret is a MAC over challenge and both keys. An answer counts once (sp_node_begin).
 * Source: Trusted Platform Module Library 2.0, part 1 sec. 24 (credentials) and 9.5.3 (attestation of keys).
 */
#include "base/clock.h"
#include "base/text.h"
#include "crypto/tpm.h"
#include "crypto/x509_chain.h"
#include "identity/spiffe_node_priv.h"

#define HASHES_MAX 4096u /* a row's size: 64 bytes each */
#define CERT_MAX   16384u
#define EK_USAGE   "2.23.133.8.1" /* tcg-kp-EKCertificate */

struct keys {
    struct mln_tpm_key ek, ak;
    const char *ek_hash; /* of its SubjectPublicKeyInfo */
    const char *by;      /* what the endorsement key is trusted for */
};

struct mln_err sp_tpm_check_hashes(struct mln_request *rq, const struct mln_value *hashes)
{
    bool ok = mln_len(hashes) <= HASHES_MAX;
    for (size_t i = 0; ok && i < mln_len(hashes); i++) {
        struct mln_bytes text = mln_get_bytes(mln_item(hashes, i));
        MLN_AUTO(mln_buf_drop) struct mln_buf digest = {.max = MLN_SHA256_BYTES};
        ok = text.len == 2 * (size_t)MLN_SHA256_BYTES && !mln_failed(mln_hex_parse(rq->cx, text, &digest)) &&
             mln_bytes_is(text, mln_hex_text(rq->cx, mln_buf_bytes(&digest)));
    }
    return ok ? MLN_OK
              : mln_refail(rq->cx, MLN_E_INVALID,
                           "tpm_ek_hashes must be SHA-256 of endorsement keys in lower-case hex, at most %u", HASHES_MAX);
}

/* ---- which TPM ---- */

static struct mln_err read_binary(struct mln_request *rq, const struct mln_value *payload, const char *name, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf bytes = {.max = MLN_TPM_QUOTE_MAX};
    struct mln_bytes text = mln_get_bytes(mln_get(payload, name));
    if (text.len == 0 || mln_failed(mln_base64_parse(rq->cx, text, MLN_B64_STD, &bytes)) || bytes.has_failed) {
        return sp_node_refuse(rq, "something of the TPM is missing, too long or no base64");
    }
    *ret = mln_bytes_dup(rq->cx, mln_buf_bytes(&bytes));
    return mln_cx_err(rq->cx);
}

static struct mln_err read_chain(struct mln_request *rq, const struct mln_value *certs, struct mln_bytes chain[SP_NODE_CHAIN_MAX])
{
    if (mln_type_of(certs) != MLN_ARRAY || mln_len(certs) > SP_NODE_CHAIN_MAX) {
        return sp_node_refuse(rq, "too many certificates");
    }
    for (size_t i = 0; i < mln_len(certs); i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = CERT_MAX};
        if (mln_failed(mln_base64_parse(rq->cx, mln_get_bytes(mln_item(certs, i)), MLN_B64_STD, &der)) || der.has_failed) {
            return sp_node_refuse(rq, "a certificate that cannot be read");
        }
        chain[i] = mln_bytes_dup(rq->cx, mln_buf_bytes(&der));
    }
    return mln_cx_err(rq->cx);
}

/* The authorities of the configuration: were read when it was written. */
static size_t read_roots(struct mln_request *rq, struct mln_bytes pem, struct mln_bytes roots[SP_TPM_ROOTS_MAX])
{
    struct mln_bytes label;
    size_t n = 0;
    bool is_bad = false;
    while (n < SP_TPM_ROOTS_MAX && mln_pem_next(rq->cx, &pem, &label, &roots[n], &is_bad)) {
        n++;
    }
    return n;
}

/* An authority of TPMs says that it is an endorsement key: this very one. */
static struct mln_err check_certificate(struct mln_request *rq, struct mln_bytes pem, const struct mln_value *certs,
                                        const struct mln_tpm_key *ek)
{
    struct mln_bytes *roots = mln_new_array(rq->cx, SP_TPM_ROOTS_MAX, sizeof(*roots)), sent[SP_NODE_CHAIN_MAX];
    struct mln_x509_info leaf;
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(read_chain(rq, certs, sent));
    struct mln_x509_chain chain = {.certs = sent,
                                   .n = mln_len(certs),
                                   .roots = roots,
                                   .n_roots = read_roots(rq, pem, roots),
                                   .now_s = rq->now_ns / SP_SECOND_NS};
    if (mln_failed(mln_x509_chain_verify(rq->cx, &chain)) || mln_failed(mln_x509_cert_read_unnamed(rq->cx, sent[0], &leaf))) {
        return sp_node_refuse(rq, mln_text_format(rq->cx, "the endorsement key %s: %s", sp_node_hash(rq->cx, ek->spki),
                                                  mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text))));
    }
    bool is_for_it = mln_bytes_eq(leaf.spki, ek->spki) && !leaf.is_ca &&
                     (mln_len(leaf.ext_key_usage) == 0 || sp_has(leaf.ext_key_usage, MLN_BYTES(EK_USAGE)));
    return is_for_it ? MLN_OK : sp_node_refuse(rq, "a certificate that is not of this endorsement key");
}

static struct mln_err check_trust(struct mln_request *rq, const struct mln_value *certs, struct keys *keys)
{
    const struct mln_value *config = NULL;
    struct mln_err err = sp_row_get(rq, "node-config", MLN_BYTES_NONE, &config);
    struct mln_bytes roots = mln_get_bytes(mln_get(config, "tpm_ca"));
    const struct mln_value *hashes = mln_get(config, "tpm_ek_hashes");
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && roots.len == 0 && mln_len(hashes) == 0)) {
        return sp_node_refuse(rq, "tpm is not configured");
    }
    MLN_TRY(err);
    keys->by = "tpm_ek_hashes";
    if (sp_has(hashes, mln_bytes_of(keys->ek_hash))) {
        return MLN_OK;
    }
    if (roots.len == 0 || mln_len(certs) == 0) {
        return sp_node_refuse(rq, mln_text_format(rq->cx, "the endorsement key %s is not in tpm_ek_hashes%s", keys->ek_hash,
                                                  roots.len == 0 ? "" : ", and there is no certificate of it"));
    }
    keys->by = "tpm_ca";
    return check_certificate(rq, roots, certs, &keys->ek);
}

static struct mln_err read_keys(struct mln_request *rq, const struct mln_value *payload, struct keys *ret)
{
    struct mln_bytes ek, ak;
    MLN_TRY(read_binary(rq, payload, "ek", &ek));
    MLN_TRY(read_binary(rq, payload, "ak", &ak));
    struct mln_err err = mln_tpm_ek_parse(rq->cx, ek, &ret->ek);
    err = mln_failed(err) ? err : mln_tpm_ak_parse(rq->cx, ak, &ret->ak);
    if (mln_failed(err)) {
        return sp_node_refuse(rq, mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text)));
    }
    ret->ek_hash = sp_node_hash(rq->cx, ret->ek.spki);
    MLN_TRY(mln_cx_err(rq->cx));
    return check_trust(rq, mln_get(payload, "certificates"), ret);
}

/* ---- the challenge ---- */

/* What the credential holds: of this server, for this challenge and these keys. */
static struct mln_err secret_of(struct mln_request *rq, const struct keys *keys, struct mln_bytes nonce,
                                uint8_t ret[MLN_TPM_SECRET_BYTES])
{
    struct sp_state *state = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_TRY(sp_state_get(rq, &state));
    mln_buf_add(&text, MLN_NODE_TPM_CONTEXT, sizeof(MLN_NODE_TPM_CONTEXT)); /* with its NUL: no challenge begins so */
    mln_buf_add(&text, keys->ek.name, sizeof(keys->ek.name));
    mln_buf_add(&text, keys->ak.name, sizeof(keys->ak.name));
    mln_buf_add_bytes(&text, nonce);
    MLN_TRY(mln_buf_ok(rq->cx, &text));
    mln_hmac_sha256(mln_bytes_at(state->nonce_key, sizeof(state->nonce_key)), mln_buf_bytes(&text), ret);
    return MLN_OK;
}

static struct mln_err challenge(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct keys keys;
    uint8_t secret[MLN_TPM_SECRET_BYTES];
    struct mln_bytes blob, seed;
    struct mln_value *data = mln_object(cx);
    MLN_TRY(read_keys(rq, mln_field_of(rq, "payload"), &keys));
    MLN_TRY(sp_nonce_put(rq, MLN_NODE_TPM_CONTEXT, data));
    MLN_TRY(secret_of(rq, &keys, mln_get_bytes(mln_get(data, "nonce")), secret));
    struct mln_err err = mln_tpm_credential(cx, &keys.ek, keys.ak.name, secret, &blob, &seed);
    mln_wipe(secret, sizeof(secret));
    MLN_TRY(err);
    mln_put_text(cx, data, "credential", mln_base64_text(cx, blob, MLN_B64_STD));
    mln_put_text(cx, data, "seed", mln_base64_text(cx, seed, MLN_B64_STD));
    re->data = data;
    return mln_cx_err(cx);
}

/* ---- the answer ---- */

static struct mln_err check_secret(struct mln_request *rq, const struct keys *keys, struct mln_bytes nonce, struct mln_bytes shown)
{
    uint8_t secret[MLN_TPM_SECRET_BYTES];
    MLN_TRY(secret_of(rq, keys, nonce, secret));
    bool ok = mln_eq_ct(secret, sizeof(secret), shown.ptr, shown.len);
    mln_wipe(secret, sizeof(secret));
    return ok ? MLN_OK : sp_node_refuse(rq, "the credential was not opened: it is another TPM, or another key in it");
}

static struct mln_err check_quote(struct mln_request *rq, const struct keys *keys, const struct mln_value *payload,
                                  struct mln_value *facts)
{
    struct mln_bytes quote, sig;
    const char *domain = NULL;
    struct mln_tpm_quote q;
    uint8_t want[MLN_SHA256_BYTES];
    MLN_TRY(sp_domain_settle(rq, &domain));
    struct mln_node_signed input = {.context = MLN_NODE_TPM_CONTEXT,
                                    .nonce = mln_get_bytes(mln_get(payload, "nonce")),
                                    .domain = mln_bytes_of(domain),
                                    .csr = mln_get_bytes(mln_field_of(rq, "csr"))};
    MLN_TRY(read_binary(rq, payload, "quote", &quote));
    MLN_TRY(read_binary(rq, payload, "signature", &sig));
    MLN_TRY(mln_node_proof_digest(rq->cx, &input, want));
    if (mln_failed(mln_tpm_verify(rq->cx, &keys->ak, quote, sig))) {
        return sp_node_refuse(rq, "a quote that is not signed by the attestation key");
    }
    if (mln_failed(mln_tpm_quote_parse(rq->cx, quote, &q)) || !mln_bytes_eq(q.extra, mln_bytes_at(want, sizeof(want)))) {
        return sp_node_refuse(rq, "a quote over something else than this challenge and request");
    }
    mln_put_text(rq->cx, facts, "ek_hash", keys->ek_hash);
    mln_put_text(rq->cx, facts, "trusted_by", keys->by);
    mln_put_text(rq->cx, facts, "pcr_digest", mln_hex_text(rq->cx, q.pcr_digest));
    mln_put_text(rq->cx, facts, "firmware", mln_text_format(rq->cx, "%016llx", (unsigned long long)q.firmware));
    mln_put_int(rq->cx, facts, "resets", q.resets);
    return mln_cx_err(rq->cx);
}

struct mln_err sp_by_tpm(struct mln_request *rq, const struct mln_value *payload, struct sp_node_proof *proof)
{
    struct keys keys;
    struct mln_bytes shown, nonce = mln_get_bytes(mln_get(payload, "nonce"));
    struct mln_value *facts = mln_object(rq->cx);
    MLN_TRY(read_keys(rq, payload, &keys));
    MLN_TRY(sp_nonce_check(rq, nonce, proof));
    MLN_TRY(read_binary(rq, payload, "secret", &shown));
    MLN_TRY(check_secret(rq, &keys, nonce, shown));
    MLN_TRY(check_quote(rq, &keys, payload, facts));
    proof->facts = facts;
    return sp_node_id(rq, "tpm", keys.ek_hash, &proof->id);
}

/* ---- paths ---- */

static const struct mln_field challenge_fields[] = {
    {.name = "payload",
     .type = MLN_FIELD_MAP,
     .help = "ek, ak: TPMT_PUBLIC in base64; certificates: of the endorsement key, if any.",
     .is_required = true},
    {0},
};

const struct mln_path sp_node_tpm_paths[] = {
    {.pattern = "nodes/tpm-challenge",
     .summary = "A credential for a node's TPM to open.",
     .fields = challenge_fields,
     .write = challenge,
     .is_open = true},
    {0},
};
