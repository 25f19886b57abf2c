/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: certificates and keys that come from outside: bundles of PEM blocks. */
#include "engine/pki_priv.h"

#define BLOCKS_MAX   100 /* of one bundle */
#define SHORT_BUNDLE 75  /* bytes: less holds no PEM block; someone gave the name of a file */

struct bundle {
    struct mln_request *rq;
    bool may_have_keys;
    struct mln_value *issuers, *keys, *old_issuers, *old_keys; /* ids */
    struct mln_value *seen;   /* ids of all issuers of the bundle */
    const char *first_issuer; /* new one that has a key here: becomes the default */
};

static bool is_key_label(struct mln_bytes label)
{
    return mln_bytes_is(label, "PRIVATE KEY") || mln_bytes_is(label, "EC PRIVATE KEY") ||
           mln_bytes_is(label, "RSA PRIVATE KEY");
}

static struct mln_err take_key(struct bundle *b, struct mln_bytes der)
{
    struct mln_key key;
    struct pki_key got;
    bool is_new = false;
    if (!b->may_have_keys) {
        return mln_fail(
            b->rq->cx, MLN_E_INVALID,
            "private keys found in the PEM but not allowed by the path; use issuers/import/bundle");
    }
    MLN_TRY(mln_key_read(b->rq->cx, der, &key));
    if (key.kind == MLN_KEY_RSA && key.bits < 2048) {
        return mln_fail(b->rq->cx, MLN_E_INVALID,
                        "RSA keys < 2048 bits are unsafe and not supported: got %u", key.bits);
    }
    MLN_TRY(pki_key_add(b->rq, &key, MLN_BYTES_NONE, &got, &is_new));
    mln_push_text(b->rq->cx, is_new ? b->keys : b->old_keys, got.id);
    return mln_cx_err(b->rq->cx);
}

static struct mln_err take_cert(struct bundle *b, struct mln_bytes der)
{
    struct pki_issuer issuer;
    bool is_new = false;
    MLN_TRY(pki_issuer_add(b->rq, der, MLN_BYTES_NONE, &issuer, &is_new));
    mln_push_text(b->rq->cx, is_new ? b->issuers : b->old_issuers, issuer.id);
    if (!pki_list_has(b->seen, mln_bytes_of(issuer.id))) {
        mln_push_text(b->rq->cx, b->seen, issuer.id);
    }
    return mln_cx_err(b->rq->cx);
}

/* Keys before certificates, so that certificates find theirs. */
static struct mln_err take_all(struct bundle *b, struct mln_bytes text, bool keys)
{
    struct mln_bytes label, der;
    bool is_bad = false;
    for (size_t n = 0; mln_pem_next(b->rq->cx, &text, &label, &der, &is_bad); n++) {
        if (n >= BLOCKS_MAX) {
            return mln_fail(b->rq->cx, MLN_E_TOO_LARGE, "more than %d blocks in the bundle",
                            BLOCKS_MAX);
        }
        if (is_key_label(label) && keys) {
            MLN_TRY(take_key(b, der));
        } else if (mln_bytes_is(label, "CERTIFICATE") && !keys) {
            MLN_TRY(take_cert(b, der));
        } else if (!is_key_label(label) && !mln_bytes_is(label, "CERTIFICATE") &&
                   !mln_bytes_is(label, "EC PARAMETERS") && !mln_bytes_is(label, "X509 CRL")) {
            return mln_fail(b->rq->cx, MLN_E_INVALID, "unable to import a block of kind %.*s",
                            MLN_FMT(label));
        }
    }
    return is_bad
               ? mln_fail(b->rq->cx, MLN_E_INVALID, "unable to parse the bundle: no valid PEM data")
               : mln_cx_err(b->rq->cx);
}

/* Which issuer has which key; "" where the key is not here. */
static struct mln_err mapping_of(struct bundle *b, const struct mln_value **ret)
{
    struct mln_cx *cx = b->rq->cx;
    struct mln_value *mapping = mln_object(cx);
    for (size_t i = 0; i < mln_len(b->seen); i++) {
        struct pki_issuer issuer;
        MLN_TRY(pki_issuer_load(b->rq, mln_get_bytes(mln_item(b->seen, i)), &issuer));
        mln_put_text(cx, mapping, issuer.id, issuer.key_id);
        if (issuer.key_id[0] != '\0' && b->first_issuer == NULL &&
            pki_list_has(b->issuers, mln_bytes_of(issuer.id))) {
            b->first_issuer = issuer.id;
        }
    }
    *ret = mapping;
    return mln_cx_err(cx);
}

static const struct mln_value *or_null(struct mln_cx *cx, const struct mln_value *list)
{
    return mln_len(list) > 0 ? list : mln_null(cx);
}

static struct mln_err import(struct mln_request *rq, struct mln_reply *re, struct mln_bytes text,
                             bool may_have_keys)
{
    struct mln_cx *cx = rq->cx;
    struct bundle b = {.rq = rq,
                       .may_have_keys = may_have_keys,
                       .issuers = mln_array(cx),
                       .keys = mln_array(cx),
                       .old_issuers = mln_array(cx),
                       .old_keys = mln_array(cx),
                       .seen = mln_array(cx)};
    const struct mln_value *mapping = NULL;
    if (text.len < SHORT_BUNDLE) {
        return mln_fail(cx, MLN_E_INVALID,
                        "provided data for import was too short; perhaps a path was passed to the "
                        "API rather than the contents of a PEM file");
    }
    MLN_TRY(take_all(&b, text, true));
    MLN_TRY(take_all(&b, text, false));
    if (mln_len(b.seen) + mln_len(b.keys) + mln_len(b.old_keys) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "unable to parse the bundle: no valid PEM data");
    }
    MLN_TRY(pki_chains_find(rq));
    MLN_TRY(mapping_of(&b, &mapping));
    if (b.first_issuer != NULL) {
        MLN_TRY(pki_default_set(rq, b.first_issuer, NULL, true));
    }
    struct mln_value *data = mln_object(cx);
    mln_put(cx, data, "existing_issuers", or_null(cx, b.old_issuers));
    mln_put(cx, data, "existing_keys", or_null(cx, b.old_keys));
    mln_put(cx, data, "imported_issuers", or_null(cx, b.issuers));
    mln_put(cx, data, "imported_keys", or_null(cx, b.keys));
    mln_put(cx, data, "mapping", mapping);
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err pki_import_cert(struct mln_request *rq, struct mln_reply *re)
{
    return import(rq, re, pki_text(rq, "pem_bundle"), false);
}

struct mln_err pki_import_bundle(struct mln_request *rq, struct mln_reply *re)
{
    return import(rq, re, pki_text(rq, "pem_bundle"), true);
}

struct mln_err pki_set_signed(struct mln_request *rq, struct mln_reply *re)
{
    return import(rq, re, pki_text(rq, "certificate"), false);
}
