/* SPDX-License-Identifier: Apache-2.0 */
/* New authorities: a CA of our own or signed by a pki mount, a key for JWT-SVIDs. */
#include "identity/spiffe_priv.h"

#include "base/clock.h"
#include "crypto/jose.h"

#define SERIAL_BYTES 16u
#define CHAIN_MAX    8u /* certificates above ours */

struct mln_bytes sp_serial_new(struct mln_cx *cx)
{
    uint8_t *serial = mln_new(cx, SERIAL_BYTES);
    if (serial == NULL) {
        return MLN_BYTES_NONE;
    }
    mln_random(serial, SERIAL_BYTES);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and always of one length */
    return mln_bytes_at(serial, SERIAL_BYTES);
}

/* What a CA is on its way to be. */
struct ca {
    struct mln_request *rq;
    const struct sp_config *config;
    const char *domain;
    struct mln_key key;
    struct mln_x509_signer by;
    struct mln_bytes id, subject, cert, chain, roots;
    struct mln_bytes extensions[4];
    int64_t not_before_s, not_after_s;
};

static struct mln_err describe(struct ca *ca)
{
    struct mln_cx *cx = ca->rq->cx;
    struct mln_value *organization = mln_array(cx);
    MLN_TRY(mln_x509_key_id(cx, ca->key.spki, &ca->id));
    mln_push_text(cx, organization, ca->domain);
    struct mln_x509_name name = {
        .organization = organization,
        .common_name = MLN_BYTES("SPIFFE authority"),
        .serial_number = mln_bytes_of(mln_hex_text(cx, ca->id)),
    };
    if (mln_bytes_of(ca->domain).len >
        64) { /* RFC 5280's bound of the attribute; the URI says it whole */
        name.organization = NULL;
    }
    MLN_TRY(mln_x509_name_print(cx, &name, &ca->subject));
    struct mln_san uri = {.kind = MLN_SAN_URI,
                          .value = mln_bytes_format(cx, "spiffe://%s", ca->domain)};
    ca->extensions[0] = mln_ext_basic(cx, true, -1);
    ca->extensions[1] = mln_ext_key_usage(cx, MLN_KU_CERT_SIGN | MLN_KU_CRL_SIGN);
    ca->extensions[2] = mln_ext_subject_key(cx, ca->id);
    ca->extensions[3] = mln_ext_names(cx, &uri, 1, false);
    return mln_cx_err(cx);
}

static struct mln_err self_sign(struct ca *ca)
{
    struct mln_cert_spec spec = {.serial = sp_serial_new(ca->rq->cx),
                                 .issuer = ca->subject,
                                 .subject = ca->subject,
                                 .spki = ca->key.spki,
                                 .not_before_s = ca->not_before_s,
                                 .not_after_s = ca->not_after_s,
                                 .extensions = ca->extensions,
                                 .n = MLN_COUNT(ca->extensions)};
    MLN_TRY(mln_cx_err(ca->rq->cx));
    MLN_TRY(mln_cert_build(ca->rq->cx, &spec, &ca->by, &ca->cert));
    ca->roots = ca->cert;
    return MLN_OK;
}

static struct mln_err pem_der(struct ca *ca, struct mln_bytes pem, struct mln_bytes *ret)
{
    struct mln_bytes label;
    bool is_bad = false;
    if (!mln_pem_next(ca->rq->cx, &pem, &label, ret, &is_bad) ||
        !mln_bytes_is(label, "CERTIFICATE")) {
        return mln_fail(ca->rq->cx, MLN_E_REMOTE, "it answered with no certificate");
    }
    return MLN_OK;
}

/* The certificates above ours, lowest first; pki's ca_chain begins with ours. */
static struct mln_err read_above(struct ca *ca, const struct mln_value *data, struct mln_bytes *ret,
                                 size_t *ret_n)
{
    const struct mln_value *all = mln_get(data, "ca_chain");
    *ret_n = 0;
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes der;
        MLN_TRY(pem_der(ca, mln_get_bytes(mln_item(all, i)), &der));
        if (mln_bytes_eq(der, ca->cert)) {
            continue;
        }
        if (*ret_n == CHAIN_MAX) {
            return mln_fail(ca->rq->cx, MLN_E_REMOTE, "its chain has more than %u certificates",
                            CHAIN_MAX);
        }
        ret[(*ret_n)++] = der;
    }
    return *ret_n > 0
               ? MLN_OK
               : mln_fail(ca->rq->cx, MLN_E_REMOTE, "it answered without its own certificate");
}

/*
 * Would anybody who has the topmost certificate take what we sign? Each is signed by the next, and may have as many below it as there
 * are.
 */
static struct mln_err check_chain(struct ca *ca, const struct mln_bytes *above, size_t n)
{
    struct mln_cx *cx = ca->rq->cx;
    struct mln_bytes below = ca->cert;
    for (size_t i = 0; i < n; i++) {
        struct mln_x509_info info;
        MLN_TRY(mln_x509_cert_read(cx, above[i], &info));
        if (!info.is_ca || (info.path_length >= 0 && (uint64_t)info.path_length <= i)) {
            return mln_fail(cx, MLN_E_REMOTE, "its certificates allow no authority below them");
        }
        if (mln_failed(mln_x509_cert_verify(cx, below, above[i]))) {
            return mln_refail(cx, MLN_E_REMOTE, "its chain does not fit together");
        }
        below = above[i];
    }
    return mln_cx_err(cx);
}

/* What the pki mount answered: our certificate, those above it; the topmost is what the bundle shows. */
static struct mln_err take_answer(struct ca *ca, const struct mln_value *data)
{
    struct mln_cx *cx = ca->rq->cx;
    struct mln_bytes above[CHAIN_MAX];
    struct mln_x509_info info;
    MLN_AUTO(mln_buf_drop) struct mln_buf chain = {0};
    size_t n = 0;
    MLN_TRY(pem_der(ca, mln_get_bytes(mln_get(data, "certificate")), &ca->cert));
    MLN_TRY(read_above(ca, data, above, &n));
    mln_buf_add_bytes(&chain, ca->cert);
    for (size_t i = 0; i + 1 < n; i++) {
        mln_buf_add_bytes(&chain, above[i]);
    }
    ca->roots = above[n - 1];
    MLN_TRY(mln_buf_ok(cx, &chain));
    ca->chain = mln_bytes_dup(cx, mln_buf_bytes(&chain));
    MLN_TRY(mln_x509_cert_read(cx, ca->cert, &info));
    if (!info.is_ca || !mln_bytes_eq(info.spki, ca->key.spki) || info.sans_n != 1 ||
        info.sans[0].kind != MLN_SAN_URI) {
        return mln_fail(cx, MLN_E_REMOTE, "it signed something else than was asked for");
    }
    MLN_TRY(check_chain(ca, above, n));
    ca->not_before_s = info.not_before_s;
    ca->not_after_s = info.not_after_s < ca->not_after_s ? info.not_after_s : ca->not_after_s;
    return mln_cx_err(cx);
}

/* What is wrong with the store or with memory is nobody's upstream's. */
static bool is_its_fault(struct mln_err err)
{
    static const enum mln_code ours[] = {MLN_E_OK,     MLN_E_MEMORY,  MLN_E_IO,
                                         MLN_E_FULL,   MLN_E_CORRUPT, MLN_E_CONFLICT,
                                         MLN_E_SEALED, MLN_E_INTERNAL};
    for (size_t i = 0; i < MLN_COUNT(ours); i++) {
        if (mln_is(err, ours[i])) {
            return false;
        }
    }
    return mln_failed(err);
}

static struct mln_err blame(struct ca *ca, struct mln_err err)
{
    struct mln_cx *cx = ca->rq->cx;
    const char *why = mln_is(err, MLN_E_NO_ROUTE) || mln_is(err, MLN_E_METHOD)
                          ? "there is no pki engine"
                          : mln_text_dup(cx, mln_bytes_of(cx->text));
    return mln_refail(cx, MLN_E_REMOTE, "the upstream authority %s does not sign: %s",
                      ca->config->upstream, why);
}

static struct mln_err ask_upstream(struct ca *ca)
{
    struct mln_cx *cx = ca->rq->cx;
    struct mln_reply re = {0};
    struct mln_bytes csr;
    struct mln_value *ask = mln_object(cx);
    struct mln_cert_spec spec = {.subject = ca->subject,
                                 .spki = ca->key.spki,
                                 .extensions = ca->extensions,
                                 .n = MLN_COUNT(ca->extensions)};
    MLN_TRY(mln_csr_build(cx, &spec, &ca->by, &csr));
    mln_put_text(cx, ask, "csr", mln_pem_text(cx, "CERTIFICATE REQUEST", csr));
    mln_put_bool(cx, ask, "use_csr_values", true);
    mln_put_text(cx, ask, "format", "pem");
    mln_put_int(cx, ask, "ttl", ca->config->ca_ttl_s);
    const char *path = mln_text_format(cx, "%sroot/sign-intermediate", ca->config->upstream);
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = ca->rq->services->call(ca->rq, MLN_OP_WRITE, path, ask, &re);
    err = mln_failed(err) ? err : take_answer(ca, re.data);
    return is_its_fault(err) ? blame(ca, err) : err;
}

static struct mln_value *secret_blob(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_value *v = mln_blob(cx, bytes);
    v->flags |= MLN_VALUE_SECRET;
    return v;
}

static struct mln_value *row_of(struct mln_request *rq, const char *id, const char *sig,
                                struct mln_bytes key)
{
    struct mln_value *row = mln_object(rq->cx);
    mln_put_text(rq->cx, row, "id", id);
    mln_put_int(rq->cx, row, "created_ns", rq->now_ns);
    mln_put_text(rq->cx, row, "sig", sig);
    mln_put(rq->cx, row, "key", secret_blob(rq->cx, key));
    return row;
}

struct mln_err sp_x509_make(struct mln_request *rq, const struct sp_config *config,
                            const char *domain, struct mln_value **ret)
{
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    struct ca ca = {.rq = rq,
                    .config = config,
                    .domain = domain,
                    .not_before_s = now_s - SP_SKEW_S,
                    .not_after_s = now_s + config->ca_ttl_s};
    if (config->ca_kind == MLN_KEY_RSA) {
        rq->services->block(rq);
    }
    MLN_TRY(mln_key_generate(rq->cx, config->ca_kind, config->ca_bits, &ca.key));
    ca.by.pkcs8 = ca.key.pkcs8;
    MLN_TRY(mln_sig_pick(rq->cx, config->ca_kind, config->ca_bits, 0, false, &ca.by.sig));
    MLN_TRY(describe(&ca));
    MLN_TRY(config->upstream[0] == '\0' ? self_sign(&ca) : ask_upstream(&ca));
    struct mln_value *row =
        row_of(rq, mln_hex_text(rq->cx, ca.id), mln_sig_name(ca.by.sig), ca.key.pkcs8);
    mln_put(rq->cx, row, "cert", mln_blob(rq->cx, ca.cert));
    mln_put(rq->cx, row, "chain", mln_blob(rq->cx, ca.chain));
    mln_put(rq->cx, row, "roots", mln_blob(rq->cx, ca.roots));
    mln_put_int(rq->cx, row, "not_before", ca.not_before_s);
    mln_put_int(rq->cx, row, "not_after", ca.not_after_s);
    mln_put_text(rq->cx, row, "upstream", config->upstream);
    *ret = row;
    return mln_cx_err(rq->cx);
}

struct mln_err sp_jwt_key_make(struct mln_request *rq, const struct sp_config *config,
                               struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    char kid[33];
    const struct mln_value *jwk = NULL;
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    rq->services->block(rq);
    MLN_TRY(mln_jose_generate(rq->cx, config->jwt_alg, &der));
    mln_random_base62(kid, sizeof(kid) - 1);
    const char *id = mln_text_dup(rq->cx, mln_bytes_of(kid));
    MLN_TRY(mln_jose_jwk(rq->cx, config->jwt_alg, id, mln_buf_bytes(&der), &jwk));
    struct mln_value *bare = mln_value_dup(rq->cx, jwk);
    mln_remove(bare, MLN_BYTES("use"));
    mln_remove(bare, MLN_BYTES("alg"));
    struct mln_value *row = row_of(rq, id, mln_jose_alg_name(config->jwt_alg),
                                   mln_bytes_dup(rq->cx, mln_buf_bytes(&der)));
    mln_put(rq->cx, row, "jwk", bare);
    mln_put_int(rq->cx, row, "not_before", now_s - SP_SKEW_S);
    mln_put_int(rq->cx, row, "not_after", now_s + config->ca_ttl_s);
    *ret = row;
    return mln_cx_err(rq->cx);
}
