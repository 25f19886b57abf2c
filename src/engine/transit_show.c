/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: what is told about a key. */
#include "engine/transit_priv.h"

#include "base/text.h"

const char *transit_public_text(struct mln_cx *cx, enum transit_type type, struct mln_bytes public)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    if (type == TRANSIT_ED25519) {
        return mln_base64_text(cx, public, MLN_B64_STD);
    }
    return mln_failed(mln_pem_print(cx, "PUBLIC KEY", public, &pem))
               ? ""
               : mln_text_dup(cx, mln_buf_bytes(&pem));
}

/* A derived Ed25519 key has a public half only for a context. */
static struct mln_err public_of(struct mln_request *rq, const struct transit_key *key,
                                const struct transit_version *v, struct mln_bytes context,
                                const char **ret)
{
    uint8_t seed[32], public[32];
    if (!transit_is(key, TRANSIT_DERIVED)) {
        *ret = transit_public_text(rq->cx, key->type, v->public);
        return mln_cx_err(rq->cx);
    }
    *ret = "";
    if (context.len > 0) {
        MLN_TRY(transit_derive(rq->cx, key, v, context, seed, sizeof(seed)));
        mln_ed25519_public(seed, public);
        mln_wipe(seed, sizeof(seed));
        *ret = transit_public_text(rq->cx, key->type, mln_bytes_at(public, 32));
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err show_versions(struct mln_request *rq, const struct transit_key *key,
                                    struct mln_bytes context, struct mln_value *all)
{
    struct mln_cx *cx = rq->cx;
    const struct transit_traits *traits = transit_traits(key->type);
    for (int64_t i = key->min_decryption; i <= key->latest; i++) {
        struct transit_version v;
        const char *public = "", *name = mln_text_format(cx, "%lld", (long long)i);
        MLN_TRY(transit_version_of(rq, key, i, &v));
        if (!traits->is_pair) {
            mln_put_int(cx, all, name, v.created_ns / 1000000000);
            continue;
        }
        MLN_TRY(public_of(rq, key, &v, context, &public));
        struct mln_value *one = mln_object(cx);
        mln_put_text(cx, one, "certificate_chain", "");
        mln_put_text(cx, one, "creation_time", mln_time_text_go(cx, v.created_ns));
        mln_put_text(cx, one, "name", traits->title);
        mln_put_text(cx, one, "public_key", public);
        mln_put(cx, all, name, one);
    }
    return mln_cx_err(cx);
}

static void put_kind(struct mln_cx *cx, const struct transit_key *key, struct mln_value *v)
{
    mln_put_bool(cx, v, "derived", transit_is(key, TRANSIT_DERIVED));
    mln_put_bool(cx, v, "imported_key", transit_is(key, TRANSIT_IMPORTED));
    if (transit_is(key, TRANSIT_DERIVED)) {
        mln_put_text(cx, v, "kdf", "hkdf_sha256");
        mln_put_bool(cx, v, "convergent_encryption", transit_is(key, TRANSIT_CONVERGENT));
    }
    if (transit_is(key, TRANSIT_CONVERGENT)) {
        mln_put_int(cx, v, "convergent_encryption_version", -1); /* the newest: 3 */
    }
    if (transit_is(key, TRANSIT_IMPORTED)) {
        mln_put_bool(cx, v, "imported_key_allow_rotation", transit_is(key, TRANSIT_MAY_ROTATE));
    }
    if (key->type == TRANSIT_HMAC) {
        mln_put_int(cx, v, "key_size", key->hmac_bytes);
    }
}

struct mln_err transit_show(struct mln_request *rq, const struct transit_key *key,
                            struct mln_bytes context, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    const struct transit_traits *traits = transit_traits(key->type);
    struct mln_value *v = mln_object(cx), *versions = mln_object(cx);
    MLN_TRY(show_versions(rq, key, context, versions));
    mln_put_bool(cx, v, "allow_plaintext_backup", transit_is(key, TRANSIT_MAY_BACKUP));
    mln_put_int(cx, v, "auto_rotate_period", key->auto_rotate_s);
    mln_put_bool(cx, v, "deletion_allowed", transit_is(key, TRANSIT_MAY_DELETE));
    put_kind(cx, key, v);
    mln_put_bool(cx, v, "exportable", transit_is(key, TRANSIT_EXPORTABLE));
    mln_put(cx, v, "keys", versions);
    mln_put_int(cx, v, "latest_version", key->latest);
    mln_put_int(cx, v, "min_available_version", key->min_available);
    mln_put_int(cx, v, "min_decryption_version", key->min_decryption);
    mln_put_int(cx, v, "min_encryption_version", key->min_encryption);
    mln_put_bytes(cx, v, "name", key->name);
    mln_put_bool(cx, v, "soft_deleted", transit_is(key, TRANSIT_SOFT_DELETED));
    mln_put_bool(cx, v, "supports_decryption", traits->encrypts);
    mln_put_bool(cx, v, "supports_derivation", traits->derives);
    mln_put_bool(cx, v, "supports_encryption", traits->encrypts);
    mln_put_bool(cx, v, "supports_signing", traits->signs);
    mln_put_text(cx, v, "type", traits->name);
    *ret = v;
    return mln_cx_err(cx);
}
