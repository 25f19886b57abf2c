/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: encrypt, decrypt, rewrap, data keys. The box is nonce 12 | ciphertext | tag 16 in base64 after "vault:vN:".
 * Nonces are random (NIST SP 800-38D section 8.2.2): rotate a key before it encrypted 2^32 times.
 */
#include "engine/transit_priv.h"

#include "base/clock.h"
#include "base/text.h"

#define BOX_OVERHEAD (MLN_GCM_NONCE_BYTES + MLN_GCM_TAG_BYTES)

static struct mln_err need_cipher(struct mln_cx *cx, const struct transit_key *key, const char *what)
{
    return transit_can_encrypt(key->type)
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "message %s not supported for key type %s", what,
                          transit_type_name(key->type));
}

/* What both directions take besides the text. */
static struct mln_err read_aad(struct mln_cx *cx, const struct mln_value *in, struct mln_buf *aad)
{
    if (mln_get_bytes(mln_get(in, "nonce")).len > 0) {
        return mln_fail(cx, MLN_E_INVALID, "provided nonce not allowed for this key");
    }
    struct mln_bytes text = mln_get_bytes(mln_get(in, "associated_data"));
    if (text.len > 0 && mln_failed(mln_base64_parse(cx, text, MLN_B64_STD, aad))) {
        return mln_refail(cx, MLN_E_INVALID, "failed to base64-decode associated_data");
    }
    return MLN_OK;
}

static struct mln_err seal_bytes(struct transit_call *call, int64_t number, struct mln_bytes aad, struct mln_bytes plain,
                                 struct mln_value **ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    uint8_t *box = mln_new(cx, plain.len + BOX_OVERHEAD);
    MLN_TRY(mln_cx_err(cx));
    mln_random(box, MLN_GCM_NONCE_BYTES);
    uint8_t *to = box + MLN_GCM_NONCE_BYTES;
    MLN_TRY(call->key->type == TRANSIT_AES256 ? mln_aes_gcm_seal(cx, v.key.ptr, box, aad, plain, to)
                                              : mln_chacha_seal(cx, v.key.ptr, box, aad, plain, to));
    *ret = transit_wrap_text(cx, number, mln_bytes_at(box, plain.len + BOX_OVERHEAD), false);
    return mln_cx_err(cx);
}

static struct mln_err open_bytes(struct transit_call *call, struct mln_bytes text, struct mln_bytes aad,
                                 struct mln_bytes *ret)
{
    struct mln_cx *cx = call->rq->cx;
    struct transit_version v;
    struct mln_bytes payload;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf box = {0};
    MLN_TRY(transit_split(cx, call->key, "ciphertext", text, &number, &payload));
    if (mln_failed(mln_base64_parse(cx, payload, MLN_B64_STD, &box))) {
        return mln_refail(cx, MLN_E_INVALID, "invalid ciphertext: could not decode base64");
    }
    if (box.len < BOX_OVERHEAD) {
        return mln_fail(cx, MLN_E_INVALID, "invalid ciphertext length");
    }
    MLN_TRY(transit_version_of(call->rq, call->key, number, &v));
    struct mln_bytes sealed = mln_bytes_from(mln_buf_bytes(&box), MLN_GCM_NONCE_BYTES);
    uint8_t *plain = mln_new(cx, box.len - BOX_OVERHEAD + 1);
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = call->key->type == TRANSIT_AES256
                             ? mln_aes_gcm_open(cx, v.key.ptr, box.ptr, aad, sealed, plain)
                             : mln_chacha_open(cx, v.key.ptr, box.ptr, aad, sealed, plain);
    if (mln_is(err, MLN_E_FORGED)) {
        return mln_refail(cx, MLN_E_FORGED, "cipher: message authentication failed");
    }
    *ret = mln_bytes_at(plain, box.len - BOX_OVERHEAD);
    return err;
}

static struct mln_value *secret_base64(struct mln_cx *cx, struct mln_bytes bytes)
{
    return mln_secret_string(cx, mln_bytes_of(mln_base64_text(cx, bytes, MLN_B64_STD)));
}

static struct mln_err encrypt_one(struct transit_call *call, const struct mln_value *in, struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    const struct mln_value *text = mln_get(in, "plaintext");
    struct mln_value *box = NULL;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf aad = {0};
    if (mln_type_of(text) != MLN_STRING) {
        return mln_fail(cx, MLN_E_INVALID, "missing plaintext to encrypt");
    }
    MLN_TRY(mln_base64_parse(cx, mln_get_bytes(text), MLN_B64_STD, &plain));
    MLN_TRY(read_aad(cx, in, &aad));
    MLN_TRY(transit_pick(cx, call->key, in, &number));
    MLN_TRY(seal_bytes(call, number, mln_buf_bytes(&aad), mln_buf_bytes(&plain), &box));
    mln_put(cx, out, "ciphertext", box);
    mln_put_int(cx, out, "key_version", number);
    return MLN_OK;
}

struct mln_err transit_encrypt_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    struct transit_call call = {rq, &key};
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    bool is_new = mln_is(err, MLN_E_NOT_FOUND);
    if (is_new) { /* the pipeline asked for "create": see transit_keys_exists */
        enum transit_type type = TRANSIT_AES256;
        struct mln_bytes asked = mln_get_bytes(mln_field_of(rq, "type"));
        if (asked.len > 0 && !transit_type_of(asked, &type)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "unknown key type %.*s", MLN_FMT(asked));
        }
        err = transit_create(rq, name, type, &key);
    }
    MLN_TRY(err);
    MLN_TRY(need_cipher(rq->cx, &key, "encryption"));
    MLN_TRY(transit_run(&call, re, encrypt_one));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    return is_new && re->status < 400 ? transit_store(rq, &key) : MLN_OK;
}

static struct mln_err decrypt_one(struct transit_call *call, const struct mln_value *in, struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_bytes plain, text = mln_get_bytes(mln_get(in, "ciphertext"));
    MLN_AUTO(mln_buf_drop) struct mln_buf aad = {0};
    if (text.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing ciphertext to decrypt");
    }
    MLN_TRY(read_aad(cx, in, &aad));
    MLN_TRY(open_bytes(call, text, mln_buf_bytes(&aad), &plain));
    mln_put(cx, out, "plaintext", secret_base64(cx, plain));
    return MLN_OK;
}

struct mln_err transit_decrypt_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {rq, &key};
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    MLN_TRY(need_cipher(rq->cx, &key, "decryption"));
    return transit_run(&call, re, decrypt_one);
}

static struct mln_err rewrap_one(struct transit_call *call, const struct mln_value *in, struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_bytes plain, text = mln_get_bytes(mln_get(in, "ciphertext"));
    struct mln_value *box = NULL;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf aad = {0};
    if (text.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing ciphertext to decrypt");
    }
    MLN_TRY(read_aad(cx, in, &aad));
    MLN_TRY(transit_pick(cx, call->key, in, &number));
    MLN_TRY(open_bytes(call, text, mln_buf_bytes(&aad), &plain));
    MLN_TRY(seal_bytes(call, number, mln_buf_bytes(&aad), plain, &box));
    mln_put(cx, out, "ciphertext", box);
    mln_put_int(cx, out, "key_version", number);
    return MLN_OK;
}

struct mln_err transit_rewrap_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {rq, &key};
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    MLN_TRY(need_cipher(rq->cx, &key, "decryption"));
    return transit_run(&call, re, rewrap_one);
}

struct mln_err transit_datakey_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct transit_key key;
    struct transit_call call = {rq, &key};
    struct mln_value *box = NULL, *data = mln_object(cx);
    struct mln_bytes kind = mln_get_bytes(mln_field_of(rq, "kind"));
    int64_t bits = mln_get_int(mln_field_of(rq, "bits"), 256), number = 0;
    uint8_t secret[64];
    MLN_AUTO(mln_buf_drop) struct mln_buf aad = {0};
    bool shows_it = mln_bytes_is(kind, "plaintext");
    if (!shows_it && !mln_bytes_is(kind, "wrapped")) {
        return mln_fail(cx, MLN_E_INVALID, "Invalid path, must be 'plaintext' or 'wrapped'");
    }
    if (bits != 128 && bits != 256 && bits != 512) {
        return mln_fail(cx, MLN_E_INVALID, "invalid bit length");
    }
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    MLN_TRY(need_cipher(cx, &key, "encryption"));
    MLN_TRY(read_aad(cx, rq->fields, &aad));
    MLN_TRY(transit_pick(cx, &key, rq->fields, &number));
    struct mln_bytes plain = mln_bytes_at(secret, (size_t)bits / 8);
    mln_random(secret, plain.len);
    struct mln_err err = seal_bytes(&call, number, mln_buf_bytes(&aad), plain, &box);
    if (!mln_failed(err) && shows_it) {
        mln_put(cx, data, "plaintext", secret_base64(cx, plain));
    }
    mln_wipe(secret, sizeof(secret));
    MLN_TRY(err);
    mln_put(cx, data, "ciphertext", box);
    mln_put_int(cx, data, "key_version", number);
    re->data = data;
    return mln_cx_err(cx);
}
