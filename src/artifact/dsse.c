/* SPDX-License-Identifier: Apache-2.0 */
/* Sigstore bundle and DSSE envelope; what they promise stands in dsse.h. */
#include "artifact/dsse.h"

#include "base/json.h"
#include "base/text.h"

static struct mln_err bad(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_FORGED, "bundle: %s", what);
}

/* A string member that holds standard base64 with padding. */
static struct mln_err decode(struct mln_cx *cx, const struct mln_value *v, const char *what,
                             struct mln_bytes *ret)
{
    struct mln_bytes text = mln_get_bytes(v);
    if (mln_type_of(v) != MLN_STRING || text.len == 0) {
        return mln_refail(cx, MLN_E_FORGED, "bundle: %s is missing", what);
    }
    struct mln_buf buf = {0};
    struct mln_err err = mln_base64_parse(cx, text, MLN_B64_STD, &buf);
    if (!mln_failed(err)) {
        err = mln_buf_ok(cx, &buf);
    }
    if (!mln_failed(err)) {
        *ret = mln_bytes_dup(cx, mln_buf_bytes(&buf));
    }
    mln_buf_drop(&buf);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err)) {
        return mln_refail(cx, MLN_E_FORGED, "bundle: %s is not base64", what);
    }
    return mln_cx_err(cx);
}

static struct mln_err parse_chain(struct mln_cx *cx, const struct mln_value *chain,
                                  struct mln_dsse *to)
{
    const struct mln_value *certs = mln_get(chain, "certificates");
    if (mln_type_of(certs) != MLN_ARRAY || mln_len(certs) == 0 ||
        mln_len(certs) > MLN_DSSE_CERTS_MAX) {
        return bad(cx, "certificates are not a list of 1 to 8");
    }
    to->material = MLN_DSSE_CHAIN;
    to->n_certs = mln_len(certs);
    for (size_t i = 0; i < to->n_certs; i++) {
        MLN_TRY(
            decode(cx, mln_get(mln_item(certs, i), "rawBytes"), "a certificate", &to->certs[i]));
    }
    return MLN_OK;
}

static struct mln_err parse_material(struct mln_cx *cx, const struct mln_value *material,
                                     struct mln_dsse *to)
{
    const struct mln_value *key = mln_get(material, "publicKey");
    const struct mln_value *chain = mln_get(material, "x509CertificateChain");
    const struct mln_value *keyless = mln_get(material, "certificate");
    int n = (key != NULL) + (chain != NULL) + (keyless != NULL);
    if (mln_type_of(material) != MLN_OBJECT || n != 1) {
        return bad(cx, "verificationMaterial must hold exactly one of publicKey, "
                       "x509CertificateChain, certificate");
    }
    if (keyless != NULL) {
        return mln_refail(cx, MLN_E_UNSUPPORTED,
                          "bundle: keyless (Fulcio) signatures are not supported");
    }
    if (chain != NULL) {
        return parse_chain(cx, chain, to);
    }
    const struct mln_value *hint = mln_get(key, "hint");
    if (mln_type_of(key) != MLN_OBJECT || (!mln_is_null(hint) && mln_type_of(hint) != MLN_STRING)) {
        return bad(cx, "publicKey is malformed");
    }
    to->material = MLN_DSSE_KEY;
    to->hint = mln_get_bytes(hint);
    return MLN_OK;
}

static struct mln_err parse_envelope(struct mln_cx *cx, const struct mln_value *envelope,
                                     struct mln_dsse *to)
{
    if (mln_type_of(envelope) != MLN_OBJECT) {
        return bad(cx, "dsseEnvelope is missing");
    }
    const struct mln_value *type = mln_get(envelope, "payloadType");
    const struct mln_value *sigs = mln_get(envelope, "signatures");
    if (mln_type_of(type) != MLN_STRING) {
        return bad(cx, "payloadType is missing");
    }
    if (mln_type_of(sigs) != MLN_ARRAY || mln_len(sigs) != 1) {
        return bad(cx, "there must be exactly one signature");
    }
    to->payload_type = mln_get_bytes(type);
    MLN_TRY(decode(cx, mln_get(envelope, "payload"), "payload", &to->payload));
    return decode(cx, mln_get(mln_item(sigs, 0), "sig"), "the signature", &to->sig);
}

struct mln_err mln_dsse_parse(struct mln_cx *cx, struct mln_bytes json, struct mln_dsse *ret)
{
    struct mln_dsse dsse = {0};
    const struct mln_value *doc = NULL;
    if (json.len > MLN_DSSE_BUNDLE_MAX) {
        return bad(cx, "larger than 64 MiB");
    }
    struct mln_err err = mln_json_parse(cx, json, &doc);
    if (mln_is(err, MLN_E_PARSE)) {
        struct mln_cx cause = *cx;
        return mln_refail(cx, MLN_E_FORGED, "bundle: %s", cause.text);
    }
    MLN_TRY(err);
    if (!mln_is_text(mln_get(doc, "mediaType"), MLN_DSSE_MEDIA_TYPE)) {
        return bad(cx, "mediaType is not " MLN_DSSE_MEDIA_TYPE);
    }
    if (mln_get(doc, "messageSignature") != NULL) {
        return bad(cx, "holds a messageSignature beside or instead of a dsseEnvelope");
    }
    MLN_TRY(parse_material(cx, mln_get(doc, "verificationMaterial"), &dsse));
    MLN_TRY(parse_envelope(cx, mln_get(doc, "dsseEnvelope"), &dsse));
    *ret = dsse;
    return MLN_OK;
}

static struct mln_value *material_value(struct mln_cx *cx, const struct mln_dsse *dsse)
{
    struct mln_value *material = mln_object(cx);
    if (dsse->material == MLN_DSSE_KEY) {
        struct mln_value *key = mln_object(cx);
        mln_put_bytes(cx, key, "hint", dsse->hint);
        mln_put(cx, material, "publicKey", key);
    } else {
        struct mln_value *certs = mln_array(cx);
        for (size_t i = 0; i < dsse->n_certs; i++) {
            struct mln_value *cert = mln_object(cx);
            mln_put_text(cx, cert, "rawBytes", mln_base64_text(cx, dsse->certs[i], MLN_B64_STD));
            mln_push(cx, certs, cert);
        }
        struct mln_value *chain = mln_object(cx);
        mln_put(cx, chain, "certificates", certs);
        mln_put(cx, material, "x509CertificateChain", chain);
    }
    mln_put(cx, material, "tlogEntries", mln_array(cx));
    return material;
}

void mln_dsse_print(struct mln_cx *cx, struct mln_buf *buf, const struct mln_dsse *dsse)
{
    struct mln_value *sig = mln_object(cx);
    mln_put_text(cx, sig, "sig", mln_base64_text(cx, dsse->sig, MLN_B64_STD));
    mln_put_text(cx, sig, "keyid", "");
    struct mln_value *sigs = mln_array(cx);
    mln_push(cx, sigs, sig);
    struct mln_value *envelope = mln_object(cx);
    mln_put_text(cx, envelope, "payload", mln_base64_text(cx, dsse->payload, MLN_B64_STD));
    mln_put_bytes(cx, envelope, "payloadType", dsse->payload_type);
    mln_put(cx, envelope, "signatures", sigs);
    struct mln_value *doc = mln_object(cx);
    mln_put_text(cx, doc, "mediaType", MLN_DSSE_MEDIA_TYPE);
    mln_put(cx, doc, "verificationMaterial", material_value(cx, dsse));
    mln_put(cx, doc, "dsseEnvelope", envelope);
    mln_json_print(buf, doc, MLN_JSON_PRETTY);
    mln_buf_add_byte(buf, '\n');
}

static void pae(struct mln_buf *buf, const char *version, struct mln_bytes type,
                struct mln_bytes payload)
{
    mln_buf_add_format(buf, "%s %zu ", version, type.len);
    mln_buf_add_bytes(buf, type);
    mln_buf_add_format(buf, " %zu ", payload.len);
    mln_buf_add_bytes(buf, payload);
}

void mln_dsse_pae(struct mln_buf *buf, struct mln_bytes type, struct mln_bytes payload)
{
    pae(buf, "DSSEv1", type, payload);
}

/* As Python's repr of bytes: single quotes, unless there are only single ones inside. */
static void python_repr(struct mln_buf *to, struct mln_bytes bytes)
{
    bool has_single = mln_bytes_find(bytes, '\'') < bytes.len;
    bool has_double = mln_bytes_find(bytes, '"') < bytes.len;
    uint8_t quote = has_single && !has_double ? '"' : '\'';
    mln_buf_add_byte(to, 'b');
    mln_buf_add_byte(to, quote);
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.ptr[i];
        if (c == quote || c == '\\') {
            mln_buf_add_byte(to, '\\');
            mln_buf_add_byte(to, c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            mln_buf_add_text(to, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        } else if (c < 0x20 || c >= 0x7f) {
            mln_buf_add_format(to, "\\x%02x", c);
        } else {
            mln_buf_add_byte(to, c);
        }
    }
    mln_buf_add_byte(to, quote);
}

void mln_dsse_pae_legacy(struct mln_buf *buf, struct mln_bytes type, struct mln_bytes payload)
{
    struct mln_buf printed = {0};
    python_repr(&printed, payload);
    pae(buf, "DSSEV1", type, mln_buf_bytes(&printed));
    buf->has_failed = buf->has_failed || printed.has_failed;
    mln_buf_drop(&printed);
}
