/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: private keys of issuers. They leave only when made as "exported", in that one answer. */
#include "engine/pki_priv.h"

static struct mln_err key_load(struct mln_request *rq, struct mln_bytes id, struct pki_key *ret)
{
    const struct mln_value *v = NULL;
    MLN_TRY(pki_get(rq, "key/", id, &v));
    *ret = (struct pki_key){
        .id = mln_text_dup(rq->cx, id),
        .name = mln_get_text(rq->cx, mln_get(v, "name"), ""),
        .key = {.kind = (enum mln_key_kind)mln_get_int(mln_get(v, "kind"), MLN_KEY_KINDS),
                .bits = (unsigned)mln_get_int(mln_get(v, "bits"), 0),
                .pkcs8 = mln_get_bytes(mln_get(v, "pkcs8")),
                .spki = mln_get_bytes(mln_get(v, "spki"))},
    };
    if (ret->key.kind >= MLN_KEY_KINDS || ret->key.pkcs8.len == 0) {
        return mln_fail(rq->cx, MLN_E_CORRUPT, "pki: a key's row is damaged");
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err key_store(struct mln_request *rq, const struct pki_key *key)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "name", key->name);
    mln_put_int(cx, v, "kind", key->key.kind);
    mln_put_int(cx, v, "bits", key->key.bits);
    mln_put(cx, v, "pkcs8", mln_blob(cx, key->key.pkcs8));
    mln_put(cx, v, "spki", mln_blob(cx, key->key.spki));
    return pki_put(rq, "key/", mln_bytes_of(key->id), v);
}

/* The first key for which `is` holds; bare NOT_FOUND. */
static struct mln_err search(struct mln_request *rq, struct mln_bytes name, struct mln_bytes spki,
                             struct pki_key *ret)
{
    const struct mln_value *ids = NULL;
    MLN_TRY(pki_list(rq, "key/", &ids));
    for (size_t i = 0; i < mln_len(ids); i++) {
        struct pki_key one;
        MLN_TRY(key_load(rq, mln_get_bytes(mln_item(ids, i)), &one));
        if ((name.len > 0 && mln_bytes_is(name, one.name)) ||
            (spki.len > 0 && mln_bytes_eq(spki, one.key.spki))) {
            *ret = one;
            return MLN_OK;
        }
    }
    return (struct mln_err){MLN_E_NOT_FOUND};
}

struct mln_err pki_key_find(struct mln_request *rq, struct mln_bytes ref, struct pki_key *ret)
{
    struct mln_bytes id = ref;
    if (mln_bytes_is(ref, "default")) {
        MLN_TRY(pki_default_key(rq, &id));
    }
    struct mln_err err = id.len == 36 ? key_load(rq, id, ret) : (struct mln_err){MLN_E_NOT_FOUND};
    return mln_is(err, MLN_E_NOT_FOUND) && id.len > 0 ? search(rq, id, MLN_BYTES_NONE, ret) : err;
}

struct mln_err pki_key_of(struct mln_request *rq, struct mln_bytes spki, const char **ret)
{
    struct pki_key key;
    struct mln_err err = search(rq, MLN_BYTES_NONE, spki, &key);
    *ret = "";
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    *ret = key.id;
    return MLN_OK;
}

struct mln_err pki_key_add(struct mln_request *rq, const struct mln_key *key, struct mln_bytes name,
                           struct pki_key *ret, bool *ret_is_new)
{
    struct mln_err err = search(rq, MLN_BYTES_NONE, key->spki, ret);
    *ret_is_new = mln_is(err, MLN_E_NOT_FOUND);
    if (!*ret_is_new) {
        return err;
    }
    if (name.len > 0) {
        MLN_TRY(pki_name_check(rq, "key", name));
        err = search(rq, name, MLN_BYTES_NONE, ret);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            MLN_TRY(err);
            return mln_fail(rq->cx, MLN_E_INVALID, "key name already in use");
        }
    }
    *ret =
        (struct pki_key){.id = pki_uuid(rq->cx), .name = mln_text_dup(rq->cx, name), .key = *key};
    MLN_TRY(key_store(rq, ret));
    return pki_default_set(rq, NULL, ret->id, true);
}

struct mln_err pki_key_want(struct mln_request *rq, struct mln_bytes type, int64_t bits,
                            enum mln_key_kind *ret, unsigned *ret_bits)
{
    enum mln_key_kind kind = MLN_KEY_RSA;
    if (type.len > 0 && !mln_key_kind_of(type, &kind)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unknown key type %.*s",
                        MLN_FMT(mln_bytes_sub(type, 0, 64)));
    }
    bits = bits != 0 ? bits : kind == MLN_KEY_RSA ? 2048 : kind == MLN_KEY_EC ? 256 : 0;
    if (kind == MLN_KEY_RSA && bits < 2048) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "RSA keys < 2048 bits are unsafe and not supported: got %lld",
                        (long long)bits);
    }
    bool is_known =
        kind == MLN_KEY_ED25519 ||
        (kind == MLN_KEY_RSA && (bits == 2048 || bits == 3072 || bits == 4096 || bits == 8192)) ||
        (kind == MLN_KEY_EC && (bits == 224 || bits == 256 || bits == 384 || bits == 521));
    if (!is_known) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unsupported bit length for %s key: %lld",
                        kind == MLN_KEY_RSA ? "RSA" : "EC", (long long)bits);
    }
    *ret = kind;
    *ret_bits = kind == MLN_KEY_ED25519 ? 0 : (unsigned)bits;
    return MLN_OK;
}

/* ---- handlers ---- */

struct mln_err pki_keys_list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *ids = NULL;
    struct mln_bytes first;
    MLN_TRY(pki_list(rq, "key/", &ids));
    MLN_TRY(pki_default_key(rq, &first));
    if (mln_len(ids) == 0) {
        return pki_not_found(re);
    }
    struct mln_value *data = mln_object(cx), *info = mln_object(cx);
    for (size_t i = 0; i < mln_len(ids); i++) {
        struct pki_key key;
        struct mln_value *one = mln_object(cx);
        MLN_TRY(key_load(rq, mln_get_bytes(mln_item(ids, i)), &key));
        mln_put_bool(cx, one, "is_default", mln_bytes_is(first, key.id));
        mln_put_text(cx, one, "key_name", key.name);
        mln_put(cx, info, key.id, one);
    }
    mln_put(cx, data, "key_info", info);
    mln_put(cx, data, "keys", ids);
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err key_answer(struct mln_request *rq, struct mln_reply *re,
                                 const struct pki_key *key, struct mln_value *data)
{
    mln_put_text(rq->cx, data, "key_id", key->id);
    mln_put_text(rq->cx, data, "key_name", key->name);
    mln_put_text(rq->cx, data, "key_type", mln_key_kind_name(key->key.kind));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err need(struct mln_request *rq, struct pki_key *ret)
{
    struct mln_bytes ref = pki_text(rq, "key_ref");
    struct mln_err err = pki_key_find(rq, ref, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_INVALID, "unable to find PKI key for reference: %.*s",
                          MLN_FMT(mln_bytes_sub(ref, 0, 256)))
               : err;
}

struct mln_err pki_key_read(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_key key;
    MLN_TRY(need(rq, &key));
    return key_answer(rq, re, &key, mln_object(rq->cx));
}

struct mln_err pki_key_write(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_key key, other;
    struct mln_bytes name = pki_text(rq, "key_name");
    MLN_TRY(need(rq, &key));
    if (name.len > 0 && !mln_bytes_is(name, key.name)) {
        MLN_TRY(pki_name_check(rq, "key", name));
        struct mln_err err = search(rq, name, MLN_BYTES_NONE, &other);
        if (!mln_is(err, MLN_E_NOT_FOUND)) {
            MLN_TRY(err);
            return mln_fail(rq->cx, MLN_E_INVALID, "key name already in use");
        }
    }
    key.name = mln_text_dup(rq->cx, name);
    MLN_TRY(key_store(rq, &key));
    return key_answer(rq, re, &key, mln_object(rq->cx));
}

struct mln_err pki_key_remove(struct mln_request *rq, struct mln_reply *re)
{
    struct pki_key key;
    struct pki_issuer *all = NULL;
    size_t n = 0;
    struct mln_bytes first;
    re->status = 204;
    struct mln_err err = pki_key_find(rq, pki_text(rq, "key_ref"), &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    MLN_TRY(pki_issuers_all(rq, &all, &n));
    for (size_t i = 0; i < n; i++) {
        if (mln_bytes_is(mln_bytes_of(all[i].key_id), key.id)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "key is in use by at least one issuer: %s",
                            all[i].id);
        }
    }
    MLN_TRY(pki_default_key(rq, &first));
    MLN_TRY(pki_delete(rq, "key/", mln_bytes_of(key.id)));
    return mln_bytes_is(first, key.id) ? pki_default_set(rq, NULL, "", false) : MLN_OK;
}

struct mln_err pki_key_generate(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes how = pki_text(rq, "exported");
    enum mln_key_kind kind;
    unsigned bits = 0;
    struct mln_key made;
    struct pki_key key;
    bool is_new = false;
    if (!mln_bytes_is(how, "internal") && !mln_bytes_is(how, "exported")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "the \"exported\" path parameter must be \"internal\" or \"exported\"");
    }
    MLN_TRY(pki_key_want(rq, pki_text(rq, "key_type"), mln_get_int(mln_field_of(rq, "key_bits"), 0),
                         &kind, &bits));
    MLN_TRY(mln_key_generate(rq->cx, kind, bits, &made));
    MLN_TRY(pki_key_add(rq, &made, pki_text(rq, "key_name"), &key, &is_new));
    struct mln_value *data = mln_object(rq->cx);
    if (mln_bytes_is(how, "exported")) {
        MLN_TRY(pki_put_key(rq, data, &made, PKI_PEM, NULL));
        mln_remove(data, MLN_BYTES("private_key_type"));
    }
    return key_answer(rq, re, &key, data);
}

struct mln_err pki_key_import(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes text = pki_text(rq, "pem_bundle"), label, der;
    struct mln_key read;
    struct pki_key key;
    bool is_bad = false, is_new = false;
    if (!mln_pem_next(rq->cx, &text, &label, &der, &is_bad)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "unable to parse the private key: no PEM data was found");
    }
    MLN_TRY(mln_key_read(rq->cx, der, &read));
    MLN_TRY(pki_key_add(rq, &read, pki_text(rq, "key_name"), &key, &is_new));
    MLN_TRY(pki_chains_find(rq));
    return key_answer(rq, re, &key, mln_object(rq->cx));
}
