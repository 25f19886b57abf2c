/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a node shows who it is: a join token (made by an administrator, for one use), a certificate and a signature by its key (x509pop),
 * a service account token of Kubernetes that the cluster itself vouches for (spiffe_node_psat.c), a TPM (spiffe_node_tpm.c),
 * the SVID that it got (spiffe_node_svid.c). Row node-config {"x509pop_ca","clusters","tpm_ca","tpm_ek_hashes","svid_ttl"}.
 */
#include "base/clock.h"
#include "base/log.h"
#include "crypto/akey.h"
#include "crypto/digest.h"
#include "identity/spiffe_node_priv.h"

#define JOIN_TTL_S     600
#define JOIN_TTL_MAX_S (30 * 86400)
#define NONCE_S        60
#define CERT_MAX       16384u
#define SVID_TTL_MIN_S 30
#define SVID_TTL_MAX_S (7 * 86400)

struct mln_err sp_node_refuse(struct mln_request *rq, const char *why)
{
    struct mln_err err = mln_refail(rq->cx, MLN_E_DENIED, "this node is not attested");
    mln_put_text(rq->cx, rq->detail, "why", why);
    mln_log(MLN_LOG_WARN, "spiffe", "a node is not attested: %s", why);
    return err;
}

struct mln_err sp_node_id(struct mln_request *rq, const char *method, const char *rest,
                          const char **ret)
{
    const char *domain = NULL;
    MLN_TRY(sp_domain_settle(rq, &domain));
    *ret = mln_text_format(rq->cx, "spiffe://%s/merlon/node/%s/%s", domain, method, rest);
    struct mln_spiffe_id id;
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_failed(mln_spiffe_id_parse(rq->cx, mln_bytes_of(*ret), &id))
               ? sp_node_refuse(rq, "what it shows makes no SPIFFE id")
               : MLN_OK;
}

/* ---- join tokens ---- */

static struct mln_err join_create(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    char secret[33], name[37];
    int64_t ttl_s = mln_get_int(mln_field_of(rq, "ttl"), JOIN_TTL_S),
            expires_s = rq->now_ns / SP_SECOND_NS + ttl_s;
    struct mln_value *row = mln_object(cx), *data = mln_object(cx);
    const char *id = NULL;
    if (ttl_s < 1 || ttl_s > JOIN_TTL_MAX_S) {
        return mln_fail(cx, MLN_E_INVALID, "ttl must be 1 second to 30 days");
    }
    mln_uuid(name);
    MLN_TRY(sp_node_id(rq, "join_token", name, &id));
    mln_random_base62(secret, sizeof(secret) - 1);
    struct mln_bytes token = mln_bytes_dup(cx, mln_bytes_at(secret, sizeof(secret) - 1));
    mln_wipe(secret, sizeof(secret));
    mln_put_text(cx, row, "id", id);
    mln_put_int(cx, row, "expires", expires_s);
    MLN_TRY(sp_row_put(rq, "join/", mln_bytes_of(sp_node_hash(cx, token)), row));
    mln_put_text(cx, rq->detail, "node", id);
    mln_put(cx, data, "token", mln_secret_string(cx, token));
    mln_put_text(cx, data, "spiffe_id", id);
    mln_put_int(cx, data, "expires", expires_s);
    re->data = data;
    return mln_cx_err(cx);
}

/* Gone with this transaction: two that come with it at once make a conflict, and the second finds nothing. */
static struct mln_err by_join_token(struct mln_request *rq, const struct mln_value *payload,
                                    struct sp_node_proof *proof)
{
    const struct mln_value *row = NULL;
    const char *hash = sp_node_hash(rq->cx, mln_get_bytes(mln_get(payload, "token")));
    struct mln_err err = sp_row_get(rq, "join/", mln_bytes_of(hash), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return sp_node_refuse(rq, "an unknown or used join token");
    }
    MLN_TRY(err);
    if (mln_get_int(mln_get(row, "expires"), 0) <= rq->now_ns / SP_SECOND_NS) {
        return sp_node_refuse(rq, "a join token that has expired");
    }
    proof->id = mln_get_text(rq->cx, mln_get(row, "id"), "");
    return sp_row_delete(rq, "join/", mln_bytes_of(hash));
}

/* ---- proof of possession ---- */

static const char *nonce_mac(struct mln_request *rq, const struct sp_state *state,
                             struct mln_bytes text)
{
    uint8_t mac[MLN_HASH_MAX_BYTES];
    mln_hmac_sum(MLN_HASH_SHA2_256, mln_bytes_at(state->nonce_key, sizeof(state->nonce_key)), text,
                 mac);
    return mln_hex_text(rq->cx, mln_bytes_at(mac, 32));
}

struct mln_err sp_nonce_put(struct mln_request *rq, const char *context, struct mln_value *data)
{
    struct sp_state *state = NULL;
    const char *domain = NULL;
    uint8_t random[16];
    MLN_TRY(sp_domain_settle(rq, &domain));
    MLN_TRY(sp_state_get(rq, &state));
    mln_random(random, sizeof(random));
    const char *text = mln_text_format(rq->cx, "%lld.%s", (long long)rq->now_ns,
                                       mln_hex_text(rq->cx, mln_bytes_at(random, sizeof(random))));
    mln_put_text(rq->cx, data, "nonce",
                 mln_text_format(rq->cx, "%s.%s", text, nonce_mac(rq, state, mln_bytes_of(text))));
    mln_put_text(rq->cx, data, "context", context);
    mln_put_text(rq->cx, data, "trust_domain", domain);
    return mln_cx_err(rq->cx);
}

static struct mln_err challenge(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(sp_nonce_put(rq, MLN_NODE_POP_CONTEXT, data));
    re->data = data;
    return MLN_OK;
}

struct mln_err sp_nonce_check(struct mln_request *rq, struct mln_bytes nonce,
                              struct sp_node_proof *proof)
{
    struct sp_state *state = NULL;
    struct mln_bytes rest, random, mac;
    int64_t made_ns = 0;
    MLN_TRY(sp_state_get(rq, &state));
    struct mln_bytes time = mln_bytes_cut(nonce, '.', &rest);
    random = mln_bytes_cut(rest, '.', &mac);
    if (random.len != 32 || mac.len != 64 || !mln_i64_parse(time, &made_ns)) {
        return sp_node_refuse(rq, "a challenge that is none of ours");
    }
    const char *want = nonce_mac(rq, state, mln_bytes_sub(nonce, 0, time.len + 1 + random.len));
    bool is_ours = mln_eq_ct(want, 64, mac.ptr, mac.len);
    if (!is_ours || made_ns > rq->now_ns || rq->now_ns - made_ns > NONCE_S * SP_SECOND_NS) {
        return sp_node_refuse(rq, "a challenge that is old or none of ours");
    }
    proof->nonce_ns = made_ns;
    return MLN_OK;
}

static bool is_valid_now(const struct mln_x509_info *cert, int64_t now_s)
{
    return cert->not_before_s <= now_s && now_s < cert->not_after_s;
}

static bool may_sign(const struct mln_x509_info *cert, size_t below)
{
    return cert->is_ca && (cert->key_usage == 0 || (cert->key_usage & MLN_KU_CERT_SIGN) != 0) &&
           (cert->path_length < 0 || (uint64_t)cert->path_length >= below);
}

/* Is `der` signed by one of the authorities of the configuration? below: certificates between it and the leaf. */
static bool is_rooted(struct mln_request *rq, struct mln_bytes pem, struct mln_bytes der,
                      size_t below)
{
    struct mln_bytes label, root;
    bool is_bad = false, ok = false;
    struct mln_x509_info info;
    while (!ok && mln_pem_next(rq->cx, &pem, &label, &root, &is_bad)) {
        ok = !mln_failed(mln_x509_cert_read(rq->cx, root, &info)) &&
             is_valid_now(&info, rq->now_ns / SP_SECOND_NS) && may_sign(&info, below) &&
             !mln_failed(mln_x509_cert_verify(rq->cx, der, root));
        mln_cx_clear(rq->cx);
    }
    return ok;
}

struct mln_err sp_chain_read(struct mln_request *rq, const struct mln_value *certs,
                             struct mln_x509_info chain[SP_NODE_CHAIN_MAX], size_t *ret_n)
{
    size_t n = mln_len(certs);
    if (mln_type_of(certs) != MLN_ARRAY || n == 0 || n > SP_NODE_CHAIN_MAX) {
        return sp_node_refuse(rq, "no certificates, or too many");
    }
    for (size_t i = 0; i < n; i++) {
        MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = CERT_MAX};
        bool ok = !mln_failed(mln_base64_parse(rq->cx, mln_get_bytes(mln_item(certs, i)),
                                               MLN_B64_STD, &der)) &&
                  !der.has_failed &&
                  !mln_failed(mln_x509_cert_read(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&der)),
                                                 &chain[i]));
        if (!ok || !is_valid_now(&chain[i], rq->now_ns / SP_SECOND_NS)) {
            return sp_node_refuse(rq, "a certificate that cannot be read or is out of its time");
        }
    }
    *ret_n = n;
    return MLN_OK;
}

static struct mln_err check_chain(struct mln_request *rq, struct mln_bytes roots,
                                  const struct mln_x509_info *chain, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_rooted(rq, roots, chain[i].der, i)) {
            return MLN_OK;
        }
        bool goes_on = i + 1 < n && may_sign(&chain[i + 1], i) &&
                       !mln_failed(mln_x509_cert_verify(rq->cx, chain[i].der, chain[i + 1].der));
        mln_cx_clear(rq->cx);
        if (!goes_on) {
            break;
        }
    }
    return sp_node_refuse(rq, "a certificate of no authority that is configured");
}

struct mln_err sp_signature_check(struct mln_request *rq, const struct mln_x509_info *leaf,
                                  const struct sp_signed *what)
{
    static const struct {
        enum mln_key_kind kind;
        unsigned bits;
        enum mln_akey akey;
    } kinds[] = {{MLN_KEY_EC, 256, MLN_AKEY_P256},
                 {MLN_KEY_EC, 384, MLN_AKEY_P384},
                 {MLN_KEY_RSA, 2048, MLN_AKEY_RSA2048},
                 {MLN_KEY_RSA, 3072, MLN_AKEY_RSA3072},
                 {MLN_KEY_RSA, 4096, MLN_AKEY_RSA4096}};
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {.max = 1024};
    const char *domain = NULL;
    struct mln_akey_how how = {.hash = MLN_HASH_SHA2_256, .salt = MLN_AKEY_SALT_HASH};
    uint8_t digest[MLN_SHA256_BYTES];
    MLN_TRY(sp_domain_settle(rq, &domain));
    struct mln_node_signed input = {.context = what->context,
                                    .nonce = what->nonce,
                                    .domain = mln_bytes_of(domain),
                                    .csr = mln_get_bytes(mln_field_of(rq, "csr"))};
    MLN_TRY(mln_node_proof_digest(rq->cx, &input, digest));
    bool ok = !mln_failed(mln_base64_parse(rq->cx, what->sig64, MLN_B64_STD, &sig)) && !sig.has_failed;
    for (size_t i = 0; ok && i < MLN_COUNT(kinds); i++) {
        if (leaf->kind == kinds[i].kind && leaf->bits == kinds[i].bits) {
            struct mln_err err =
                mln_akey_verify(rq->cx, kinds[i].akey, leaf->spki, &how,
                                mln_bytes_at(digest, sizeof(digest)), mln_buf_bytes(&sig));
            return mln_failed(err) ? sp_node_refuse(rq, "a signature that is not by the certificate's key")
                                   : MLN_OK;
        }
    }
    return sp_node_refuse(rq, "no signature, or a key of another kind");
}

static struct mln_err by_x509pop(struct mln_request *rq, const struct mln_value *payload,
                                 struct sp_node_proof *proof)
{
    const struct mln_value *config = NULL;
    struct mln_x509_info chain[SP_NODE_CHAIN_MAX];
    size_t n = 0;
    struct mln_bytes nonce = mln_get_bytes(mln_get(payload, "nonce"));
    struct mln_err err = sp_row_get(rq, "node-config", MLN_BYTES_NONE, &config);
    struct mln_bytes roots = mln_get_bytes(mln_get(config, "x509pop_ca"));
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && roots.len == 0)) {
        return sp_node_refuse(rq, "x509pop is not configured");
    }
    MLN_TRY(err);
    MLN_TRY(sp_nonce_check(rq, nonce, proof));
    MLN_TRY(sp_chain_read(rq, mln_get(payload, "certificates"), chain, &n));
    MLN_TRY(check_chain(rq, roots, chain, n));
    if (chain[0].key_usage != 0 && (chain[0].key_usage & MLN_KU_DIGITAL_SIGNATURE) == 0) {
        return sp_node_refuse(rq, "a certificate that may not sign");
    }
    struct sp_signed what = {.context = MLN_NODE_POP_CONTEXT, .nonce = nonce, .sig64 = mln_get_bytes(mln_get(payload, "signature"))};
    MLN_TRY(sp_signature_check(rq, &chain[0], &what));
    struct mln_value *facts = mln_object(rq->cx);
    mln_put_bytes(rq->cx, facts, "common_name", chain[0].common_name);
    mln_put_text(rq->cx, facts, "serial", mln_hex_text(rq->cx, chain[0].serial));
    proof->facts = facts;
    /* By the key, not the certificate: that can be written in other ways, and be issued again, and a ban must hold for all of them. */
    return sp_node_id(rq, "x509pop", sp_node_hash(rq->cx, chain[0].spki), &proof->id);
}

/* ---- attestation ---- */

static const struct {
    const char *name;
    sp_node_method *check;
} methods[] = {{"join_token", by_join_token},
               {"x509pop", by_x509pop},
               {"k8s_psat", sp_by_k8s_psat},
               {"tpm", sp_by_tpm},
               {"x509_svid", sp_by_svid}};

static struct mln_err attest(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes wanted = mln_get_bytes(mln_field_of(rq, "method"));
    for (size_t i = 0; i < MLN_COUNT(methods); i++) {
        if (mln_bytes_is(wanted, methods[i].name)) {
            struct sp_node_proof proof = {.method = methods[i].name, .facts = mln_object(rq->cx)};
            MLN_TRY(methods[i].check(rq, mln_field_of(rq, "payload"), &proof));
            return sp_node_begin(rq, &proof, re);
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "method must be join_token, x509pop, k8s_psat, tpm or x509_svid");
}

/* ---- configuration ---- */

static struct mln_err check_cluster(struct mln_request *rq, const struct mln_member *m)
{
    static const char *const names[] = {"host", "ca_cert", "token_reviewer_jwt",
                                        "service_accounts"};
    if (mln_type_of(&m->value) != MLN_OBJECT) {
        return mln_fail(rq->cx, MLN_E_INVALID, "clusters: \"%.*s\" must be an object",
                        MLN_FMT(m->key));
    }
    for (size_t i = 0; i < mln_len(&m->value); i++) {
        bool is_known = false;
        for (size_t n = 0; n < MLN_COUNT(names); n++) {
            is_known = is_known || mln_bytes_is(mln_member_at(&m->value, i)->key, names[n]);
        }
        if (!is_known) {
            return mln_fail(rq->cx, MLN_E_INVALID, "clusters: unknown key \"%.*s\"",
                            MLN_FMT(mln_member_at(&m->value, i)->key));
        }
    }
    bool ok = mln_bytes_starts(mln_get_bytes(mln_get(&m->value, "host")), MLN_BYTES("https://")) &&
              mln_len(mln_get(&m->value, "token_reviewer_jwt")) > 0 &&
              mln_len(mln_get(&m->value, "service_accounts")) > 0;
    return ok ? MLN_OK
              : mln_fail(rq->cx, MLN_E_INVALID,
                         "a cluster needs host (https://...), token_reviewer_jwt and "
                         "service_accounts (namespace:name)");
}

/* Of TPMs: their makers' authorities have names of any kind. */
static struct mln_err check_authorities(struct mln_request *rq, const char *name, bool is_of_tpms)
{
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, name)), pem = text, label, der;
    struct mln_x509_info info;
    bool is_bad = false;
    for (size_t n = 0; mln_pem_next(rq->cx, &pem, &label, &der, &is_bad); n++) {
        MLN_TRY(is_of_tpms ? mln_x509_cert_read_unnamed(rq->cx, der, &info) : mln_x509_cert_read(rq->cx, der, &info));
        is_bad = is_bad || !info.is_ca || (is_of_tpms && n >= SP_TPM_ROOTS_MAX);
    }
    bool has_none = text.len > 0 && mln_bytes_find_bytes(text, MLN_BYTES("-----BEGIN CERTIFICATE-----")) == text.len;
    return is_bad || has_none
               ? mln_fail(rq->cx, MLN_E_INVALID, "%s must be certificates of authorities in PEM", name)
               : MLN_OK;
}

static struct mln_err write_config(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const kept[] = {"x509pop_ca", "clusters", "tpm_ca", "tpm_ek_hashes"};
    const struct mln_value *clusters = mln_field_of(rq, "clusters");
    struct mln_value *row = mln_object(rq->cx);
    (void)re;
    MLN_TRY(check_authorities(rq, "x509pop_ca", false));
    MLN_TRY(check_authorities(rq, "tpm_ca", true));
    MLN_TRY(sp_tpm_check_hashes(rq, mln_field_of(rq, "tpm_ek_hashes")));
    for (size_t i = 0; i < mln_len(clusters); i++) {
        MLN_TRY(check_cluster(rq, mln_member_at(clusters, i)));
    }
    int64_t ttl_s = mln_get_int(mln_field_of(rq, "svid_ttl"), 0);
    if (mln_field_of(rq, "svid_ttl") != NULL && (ttl_s < SVID_TTL_MIN_S || ttl_s > SVID_TTL_MAX_S)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "svid_ttl must be 30 seconds to 7 days");
    }
    if (ttl_s > 0) {
        mln_put_int(rq->cx, row, "svid_ttl", ttl_s);
    }
    for (size_t i = 0; i < MLN_COUNT(kept); i++) {
        if (mln_field_of(rq, kept[i]) != NULL) {
            mln_put(rq->cx, row, kept[i], mln_field_of(rq, kept[i]));
        }
    }
    return sp_row_put(rq, "node-config", MLN_BYTES_NONE, row);
}

/* ---- paths ---- */

static const struct mln_field join_fields[] = {{.name = "ttl",
                                                .type = MLN_FIELD_DURATION,
                                                .fallback = "600",
                                                .help = "How long it may wait to be used."},
                                               {0}};
static const struct mln_field attest_fields[] = {
    {.name = "method",
     .type = MLN_FIELD_TEXT,
     .help = "join_token, x509pop, k8s_psat, tpm or x509_svid.",
     .is_required = true},
    {.name = "payload",
     .type = MLN_FIELD_MAP,
     .help = "token; certificates, nonce, signature; cluster, token; or ek, ak, certificates, nonce, "
             "secret, quote, signature."},
    {.name = "csr",
     .type = MLN_FIELD_TEXT,
     .help = "PKCS #10 in base64: the key of the node's own SVID."},
    {0},
};
static const struct mln_field config_fields[] = {
    {.name = "x509pop_ca",
     .type = MLN_FIELD_TEXT,
     .help = "Authorities of nodes' certificates, PEM."},
    {.name = "clusters",
     .type = MLN_FIELD_MAP,
     .help = "Clusters by name: host, ca_cert, token_reviewer_jwt, service_accounts."},
    {.name = "tpm_ca",
     .type = MLN_FIELD_TEXT,
     .help = "Authorities of TPMs' endorsement certificates, PEM."},
    {.name = "tpm_ek_hashes",
     .type = MLN_FIELD_LIST,
     .help = "SHA-256 of endorsement keys' SubjectPublicKeyInfo, hex."},
    {.name = "svid_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of nodes' own SVIDs: 30 seconds to 7 days, 24 hours unless said."},
    {0},
};
static const struct mln_field no_fields[] = {{0}};

const struct mln_path sp_node_attest_paths[] = {
    {.pattern = "nodes/join-token",
     .summary = "Make a token with which one node may join.",
     .fields = join_fields,
     .write = join_create,
     .controls = "IA-3"},
    {.pattern = "nodes/challenge",
     .summary = "A text for a node to sign.",
     .fields = no_fields,
     .write = challenge,
     .is_open = true},
    {.pattern = "nodes/attest",
     .summary = "Show that this is a node.",
     .fields = attest_fields,
     .write = attest,
     .is_open = true,
     .act = MLN_ACT_EVIDENCE,
     .controls = "IA-3"},
    {.pattern = "nodes/config",
     .summary = "How nodes are attested.",
     .fields = config_fields,
     .write = write_config,
     .controls = "IA-3"},
    {0},
};
