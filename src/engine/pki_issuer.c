/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: issuers in the store, taking them in, their chains. No handler is here. */
#include "engine/pki_priv.h"

#include "base/text.h"

/* ---- rows ---- */

static void put_blob(struct mln_cx *cx, struct mln_value *to, const char *name,
                     struct mln_bytes bytes)
{
    mln_put(cx, to, name, mln_blob(cx, bytes));
}

struct mln_err pki_issuer_store(struct mln_request *rq, const struct pki_issuer *i)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "name", i->name);
    mln_put_text(cx, v, "key", i->key_id);
    mln_put_text(cx, v, "list", i->list);
    put_blob(cx, v, "der", i->der);
    put_blob(cx, v, "subject", i->subject);
    put_blob(cx, v, "spki", i->spki);
    put_blob(cx, v, "serial", i->serial);
    put_blob(cx, v, "subject_key", i->subject_key);
    mln_put_int(cx, v, "not_after", i->not_after_s);
    mln_put_int(cx, v, "kind", i->kind);
    mln_put_int(cx, v, "bits", i->bits);
    mln_put_int(cx, v, "sig", i->list_sig);
    mln_put_int(cx, v, "usage", i->usage);
    mln_put_int(cx, v, "leaf", i->leaf);
    mln_put_int(cx, v, "revoked", i->revoked_ns);
    mln_put(cx, v, "manual", i->manual != NULL ? i->manual : mln_null(cx));
    mln_put(cx, v, "chain", pki_list_of(cx, i->chain));
    mln_put(cx, v, "urls", i->urls != NULL ? i->urls : mln_object(cx));
    return pki_put(rq, "issuer/", mln_bytes_of(i->id), v);
}

struct mln_err pki_issuer_load(struct mln_request *rq, struct mln_bytes id, struct pki_issuer *ret)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *v = NULL;
    MLN_TRY(pki_get(rq, "issuer/", id, &v));
    *ret = (struct pki_issuer){
        .id = mln_text_dup(cx, id),
        .name = mln_get_text(cx, mln_get(v, "name"), ""),
        .key_id = mln_get_text(cx, mln_get(v, "key"), ""),
        .list = mln_get_text(cx, mln_get(v, "list"), ""),
        .der = mln_get_bytes(mln_get(v, "der")),
        .subject = mln_get_bytes(mln_get(v, "subject")),
        .spki = mln_get_bytes(mln_get(v, "spki")),
        .serial = mln_get_bytes(mln_get(v, "serial")),
        .subject_key = mln_get_bytes(mln_get(v, "subject_key")),
        .not_after_s = mln_get_int(mln_get(v, "not_after"), 0),
        .kind = (enum mln_key_kind)mln_get_int(mln_get(v, "kind"), 0),
        .bits = (unsigned)mln_get_int(mln_get(v, "bits"), 0),
        .list_sig = (enum mln_sig)mln_get_int(mln_get(v, "sig"), 0),
        .usage = (unsigned)mln_get_int(mln_get(v, "usage"), 0),
        .leaf = (enum pki_leaf)mln_get_int(mln_get(v, "leaf"), 0),
        .revoked_ns = mln_get_int(mln_get(v, "revoked"), 0),
        .manual = mln_is_null(mln_get(v, "manual")) ? NULL : mln_get(v, "manual"),
        .chain = mln_get(v, "chain"),
        .urls = mln_get(v, "urls"),
    };
    if (ret->der.len == 0 || ret->kind >= MLN_KEY_KINDS || ret->list_sig >= MLN_SIGS) {
        return mln_fail(cx, MLN_E_CORRUPT, "pki: an issuer's row is damaged");
    }
    return mln_cx_err(cx);
}

struct mln_err pki_issuers_all(struct mln_request *rq, struct pki_issuer **ret, size_t *ret_n)
{
    const struct mln_value *ids = NULL;
    MLN_TRY(pki_list(rq, "issuer/", &ids));
    size_t n = mln_len(ids);
    struct pki_issuer *all = mln_new_array(rq->cx, n + 1, sizeof(*all));
    for (size_t i = 0; all != NULL && i < n; i++) {
        MLN_TRY(pki_issuer_load(rq, mln_get_bytes(mln_item(ids, i)), &all[i]));
    }
    MLN_TRY(mln_cx_err(rq->cx));
    *ret = all;
    *ret_n = n;
    return MLN_OK;
}

static struct mln_err find_named(struct mln_request *rq, struct mln_bytes name,
                                 struct pki_issuer *ret)
{
    struct pki_issuer *all = NULL;
    size_t n = 0;
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    for (size_t i = 0; i < n; i++) {
        if (name.len > 0 && mln_bytes_is(name, all[i].name)) {
            *ret = all[i];
            return MLN_OK;
        }
    }
    return (struct mln_err){MLN_E_NOT_FOUND};
}

struct mln_err pki_issuer_find(struct mln_request *rq, struct mln_bytes ref, struct pki_issuer *ret)
{
    struct mln_bytes id = ref;
    if (ref.len == 0 || mln_bytes_is(ref, "default")) {
        MLN_TRY(pki_default_issuer(rq, &id));
    }
    if (id.len == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_err err =
        id.len == 36 ? pki_issuer_load(rq, id, ret) : (struct mln_err){MLN_E_NOT_FOUND};
    return mln_is(err, MLN_E_NOT_FOUND) ? find_named(rq, id, ret) : err;
}

struct mln_err pki_issuer_need(struct mln_request *rq, struct mln_bytes ref, unsigned usage,
                               struct pki_issuer *ret)
{
    struct mln_err err = pki_issuer_find(rq, ref, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        bool is_default = ref.len == 0 || mln_bytes_is(ref, "default");
        return is_default
                   ? mln_fail(rq->cx, MLN_E_INVALID, "no default issuer currently configured")
                   : mln_fail(rq->cx, MLN_E_INVALID,
                              "unable to find PKI issuer for reference: %.*s", MLN_FMT(ref));
    }
    MLN_TRY(err);
    if ((ret->usage & usage) != usage) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "requested usage %s for issuer [%s] but only had usage %s",
                        usage == PKI_ISSUING       ? "issuing-certificates"
                        : usage == PKI_CRL_SIGNING ? "crl-signing"
                                                   : "ocsp-signing",
                        ret->id, (ret->usage & PKI_READ_ONLY) != 0 ? "read-only" : "none of them");
    }
    if (ret->key_id[0] == '\0') {
        return mln_fail(rq->cx, MLN_E_INVALID, "the issuer [%s] has no private key here", ret->id);
    }
    return MLN_OK;
}

struct mln_err pki_no_issuer(struct mln_request *rq, struct mln_reply *re, struct mln_bytes ref)
{
    struct mln_value *bare = mln_object(rq->cx), *errors = mln_array(rq->cx);
    mln_push(rq->cx, errors,
             mln_textf(rq->cx,
                       "1 error occurred:\n\t* unable to find PKI issuer for reference: %.*s\n\n",
                       MLN_FMT(mln_bytes_sub(ref, 0, 256))));
    mln_put(rq->cx, bare, "errors", errors);
    re->status = 500;
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

/* ---- taking in ---- */

bool pki_issuer_is_self(const struct mln_x509_info *info)
{
    return mln_bytes_eq(info->subject, info->issuer);
}

/* Issuers of one name and key share a revocation list: certificates cannot tell which of them signed. */
static const char *list_of(struct mln_cx *cx, const struct mln_x509_info *info)
{
    uint8_t digest[32];
    mln_sha256_2(info->subject, info->spki, digest);
    return mln_hex_text(cx, mln_bytes_at(digest, 16));
}

struct mln_err pki_issuer_add(struct mln_request *rq, struct mln_bytes der, struct mln_bytes name,
                              struct pki_issuer *ret, bool *ret_is_new)
{
    struct mln_x509_info info;
    struct pki_issuer *all = NULL;
    size_t n = 0;
    MLN_TRY(mln_x509_cert_read(rq->cx, der, &info));
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    *ret_is_new = false;
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_eq(all[i].der, der)) {
            *ret = all[i];
            return MLN_OK;
        }
        if (name.len > 0 && mln_bytes_is(name, all[i].name)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "issuer name already in use");
        }
    }
    if (n >= PKI_ISSUERS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "a mount can have %d issuers", PKI_ISSUERS_MAX);
    }
    if (!info.is_ca) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "the given certificate is not marked for CA use and cannot be used with this backend");
    }
    if (info.subject_key.len == 0) {
        MLN_TRY(mln_x509_key_id(rq->cx, info.spki, &info.subject_key));
    }
    struct pki_issuer issuer = {
        .id = pki_uuid(rq->cx),
        .name = mln_text_dup(rq->cx, name),
        .list = list_of(rq->cx, &info),
        .der = der,
        .subject = info.subject,
        .spki = info.spki,
        .serial = info.serial,
        .subject_key = info.subject_key,
        .not_after_s = info.not_after_s,
        .kind = info.kind,
        .bits = info.bits,
        .usage = PKI_USAGE_ALL,
    };
    MLN_TRY(mln_sig_pick(rq->cx, info.kind, info.bits, 0, false, &issuer.list_sig));
    MLN_TRY(pki_key_of(rq, info.spki, &issuer.key_id));
    MLN_TRY(pki_issuer_store(rq, &issuer));
    *ret = issuer;
    *ret_is_new = true;
    return mln_cx_err(rq->cx);
}

/* ---- chains ---- */

/* The issuer of all[at] among all: by name, then by signature. n when it is not here. */
static size_t parent_of(struct mln_cx *cx, const struct pki_issuer *all, size_t n, size_t at)
{
    struct mln_x509_info info;
    if (mln_failed(mln_x509_cert_read(cx, all[at].der, &info)) || pki_issuer_is_self(&info)) {
        mln_cx_clear(cx);
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        if (i != at && mln_bytes_eq(all[i].subject, info.issuer)) {
            if (!mln_failed(mln_x509_cert_verify(cx, all[at].der, all[i].der))) {
                return i;
            }
            mln_cx_clear(cx);
        }
    }
    return n;
}

static const struct mln_value *chain_from(struct mln_cx *cx, const struct pki_issuer *all,
                                          const size_t *parents, size_t n, size_t at)
{
    struct mln_value *chain = mln_array(cx);
    for (size_t depth = 0; at < n && depth < PKI_CHAIN_MAX;
         depth++) { /* cross-signed ones can go in circles */
        mln_push_text(cx, chain, all[at].id);
        at = parents[at];
    }
    return chain;
}

/* Find keys and chains of all issuers again: after something came or went. */
struct mln_err pki_chains_find(struct mln_request *rq)
{
    struct mln_cx *cx = rq->cx;
    struct pki_issuer *all = NULL;
    size_t n = 0;
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    size_t *parents = mln_new_array(cx, n + 1, sizeof(*parents));
    for (size_t i = 0; parents != NULL && i < n; i++) {
        parents[i] = parent_of(cx, all, n, i);
    }
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        const char *key_id = NULL;
        const struct mln_value *chain = chain_from(cx, all, parents, n, i);
        MLN_TRY(pki_key_of(rq, all[i].spki, &key_id));
        if (mln_value_eq(chain, pki_list_of(cx, all[i].chain)) &&
            mln_bytes_is(mln_bytes_of(key_id), all[i].key_id)) {
            continue;
        }
        all[i].chain = chain;
        all[i].key_id = key_id;
        MLN_TRY(pki_issuer_store(rq, &all[i]));
    }
    return mln_cx_err(cx);
}

struct mln_err pki_chain(struct mln_request *rq, const struct pki_issuer *issuer,
                         struct mln_bytes ders[PKI_CHAIN_MAX], size_t *ret_n)
{
    const struct mln_value *ids = issuer->manual != NULL ? issuer->manual : issuer->chain;
    size_t n = 0;
    for (size_t i = 0; i < mln_len(ids) && n < PKI_CHAIN_MAX; i++) {
        struct pki_issuer one;
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        if (mln_bytes_is(id, issuer->id)) {
            ders[n++] = issuer->der;
            continue;
        }
        struct mln_err err = pki_issuer_load(rq, id, &one);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            MLN_TRY(err);
            ders[n++] = one.der;
        }
    }
    if (n == 0) {
        ders[n++] = issuer->der;
    }
    *ret_n = n;
    return MLN_OK;
}

struct mln_err pki_signer_of(struct mln_request *rq, const struct pki_issuer *issuer,
                             int64_t hash_bits, bool use_pss, struct mln_x509_signer *ret)
{
    struct pki_key key;
    struct mln_err err = pki_key_find(rq, mln_bytes_of(issuer->key_id), &key);
    if (issuer->key_id[0] == '\0' || mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the issuer [%s] has no private key here",
                        issuer->id);
    }
    MLN_TRY(err);
    ret->pkcs8 = key.key.pkcs8;
    return mln_sig_pick(rq->cx, issuer->kind, issuer->bits, hash_bits, use_pss, &ret->sig);
}
