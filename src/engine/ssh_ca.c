/* SPDX-License-Identifier: Apache-2.0 */
/* SSH engine: the authority's key. */
#include "engine/ssh_priv.h"

#include "base/clock.h"

#define RSA_CA_BITS 4096

struct mln_err ssh_ca_load(struct mln_request *rq, struct ssh_ca *ret)
{
    const struct mln_value *v = NULL;
    struct ssh_ca ca = {0};
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("ca"), &v);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "keys haven't been configured yet");
    }
    MLN_TRY(err);
    ca.id = mln_get_text(rq->cx, mln_get(v, "id"), "");
    ca.private = mln_get_bytes(mln_get(v, "private"));
    if (mln_failed(mln_ssh_blob_parse(rq->cx, mln_get_bytes(mln_get(v, "public")), &ca.public)) || ca.private.len == 0) {
        return mln_refail(rq->cx, MLN_E_CORRUPT, "ssh: damaged authority");
    }
    *ret = ca;
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_key_spec(struct mln_request *rq, unsigned rsa_default, enum mln_ssh_kind *ret_kind, unsigned *ret_bits)
{
    struct mln_bytes type = mln_get_bytes(mln_field_of(rq, "key_type"));
    int64_t bits = mln_get_int(mln_field_of(rq, "key_bits"), 0);
    bool is_ec = mln_bytes_is(type, "ec") || mln_bytes_is(type, "ecdsa");
    *ret_bits = 0;
    if (type.len == 0 || mln_bytes_is(type, "rsa") || mln_bytes_is(type, "ssh-rsa")) {
        *ret_kind = MLN_SSH_RSA;
        *ret_bits = bits == 0 ? rsa_default : bits == 2048 || bits == 3072 || bits == 4096 ? (unsigned)bits : 1;
    } else if (mln_bytes_is(type, "ed25519") || mln_bytes_is(type, "ssh-ed25519")) {
        *ret_kind = MLN_SSH_ED25519;
    } else if ((is_ec && (bits == 0 || bits == 256)) || mln_bytes_is(type, "ecdsa-sha2-nistp256")) {
        *ret_kind = MLN_SSH_P256;
    } else if ((is_ec && bits == 384) || mln_bytes_is(type, "ecdsa-sha2-nistp384")) {
        *ret_kind = MLN_SSH_P384;
    } else if ((is_ec && bits == 521) || mln_bytes_is(type, "ecdsa-sha2-nistp521")) {
        *ret_kind = MLN_SSH_P521;
    } else if (is_ec) {
        *ret_bits = 1;
    } else {
        return mln_fail(rq->cx, MLN_E_INVALID, "unknown ssh key type %.*s", MLN_FMT(mln_bytes_sub(type, 0, 64)));
    }
    return *ret_bits != 1 ? MLN_OK : mln_fail(rq->cx, MLN_E_INVALID, "invalid key_bits for that key_type");
}

static struct mln_err generate(struct mln_request *rq, struct mln_buf *der)
{
    enum mln_ssh_kind kind = MLN_SSH_RSA;
    unsigned bits = 0;
    bool has_keys = mln_len(mln_field_of(rq, "private_key")) > 0 || mln_len(mln_field_of(rq, "public_key")) > 0;
    if (has_keys) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "public_key and private_key must not be set when generate_signing_key is set to true");
    }
    MLN_TRY(ssh_key_spec(rq, RSA_CA_BITS, &kind, &bits));
    return mln_ssh_generate(rq->cx, kind, bits, der);
}

/* Both halves, which must belong together: a typo here would show only when servers refuse every certificate. */
static struct mln_err import(struct mln_request *rq, struct mln_buf *der)
{
    struct mln_bytes private = mln_get_bytes(mln_field_of(rq, "private_key"));
    struct mln_bytes public = mln_get_bytes(mln_field_of(rq, "public_key"));
    struct mln_ssh_key given, own;
    if (public.len == 0 || private.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, public.len == 0 ? "missing public_key" : "missing private_key");
    }
    if (mln_failed(mln_ssh_public_parse(rq->cx, public, &given))) {
        return mln_refail(rq->cx, MLN_E_INVALID, "Unable to parse public_key as an SSH public key");
    }
    MLN_TRY(mln_ssh_private_parse(rq->cx, private, der));
    MLN_TRY(mln_ssh_public_of(rq->cx, mln_buf_bytes(der), &own));
    return mln_bytes_eq(given.blob, own.blob)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "public_key and private_key do not belong together");
}

static struct mln_value *secret_bytes(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_value *v = mln_secret_string(cx, mln_bytes_dup(cx, bytes));
    if (mln_type_of(v) == MLN_STRING) { /* else the arena is exhausted */
        v->flags |= MLN_VALUE_BYTES;
    }
    return v;
}

static const struct mln_value *public_value(struct mln_request *rq, const char *id, const struct mln_ssh_key *key)
{
    struct mln_value *data = mln_object(rq->cx);
    mln_put_text(rq->cx, data, "issuer_id", id);
    mln_put_text(rq->cx, data, "issuer_name", "");
    mln_put(rq->cx, data, "public_key", mln_textf(rq->cx, "%s\n", mln_ssh_public_text(rq->cx, key->blob)));
    return data;
}

static struct mln_err store(struct mln_request *rq, struct mln_reply *re, struct mln_bytes der)
{
    char id[37];
    struct mln_ssh_key key;
    struct mln_value *v = mln_object(rq->cx);
    MLN_TRY(mln_ssh_public_of(rq->cx, der, &key));
    mln_uuid(id);
    const char *kept = mln_text_dup(rq->cx, mln_bytes_of(id));
    mln_put_text(rq->cx, v, "id", kept);
    mln_put(rq->cx, v, "public", mln_blob(rq->cx, key.blob));
    mln_put(rq->cx, v, "private", secret_bytes(rq->cx, der));
    mln_put_int(rq->cx, v, "created_ns", rq->now_ns);
    mln_put_text(rq->cx, rq->detail, "key_type", mln_ssh_kind_name(key.kind));
    re->data = public_value(rq, kept, &key);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("ca"), v);
}

struct mln_err ssh_ca_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes row;
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    bool generates = mln_get_bool(mln_field_of(rq, "generate_signing_key"), true);
    struct mln_err err = mln_txn_get(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("ca"), &row);
    if (!mln_failed(err)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "keys are already configured; delete them before reconfiguring");
    }
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(generates ? generate(rq, &der) : import(rq, &der));
    return store(rq, re, mln_buf_bytes(&der));
}

struct mln_err ssh_ca_read(struct mln_request *rq, struct mln_reply *re)
{
    struct ssh_ca ca;
    MLN_TRY(ssh_ca_load(rq, &ca));
    re->data = public_value(rq, ca.id, &ca.public);
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_ca_remove(struct mln_request *rq, struct mln_reply *re)
{
    mln_txn_mark_relief(rq->txn);
    re->status = 204;
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("ca"));
}

struct mln_err ssh_public_key_read(struct mln_request *rq, struct mln_reply *re)
{
    struct ssh_ca ca;
    struct mln_err err = ssh_ca_load(rq, &ca);
    if (mln_is(err, MLN_E_INVALID)) {
        mln_cx_clear(rq->cx);
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    MLN_TRY(err);
    re->raw = mln_bytes_format(rq->cx, "%s\n", mln_ssh_public_text(rq->cx, ca.public.blob));
    re->status = 200;
    re->content_type = "text/plain";
    return mln_cx_err(rq->cx);
}
