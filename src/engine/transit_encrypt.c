/* SPDX-License-Identifier: Apache-2.0 */
/* Transit engine: encrypt, decrypt, rewrap, data keys. */
#include "engine/transit_priv.h"

#include "base/clock.h"
#include "base/text.h"

static struct mln_err need_cipher(struct mln_cx *cx, const struct transit_key *key,
                                  const char *what)
{
    const struct transit_traits *traits = transit_traits(key->type);
    return traits->encrypts
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "message %s not supported for key type %s", what,
                          traits->name);
}

static struct mln_value *secret_base64(struct mln_cx *cx, struct mln_bytes bytes)
{
    return mln_secret_string(cx, mln_bytes_of(mln_base64_text(cx, bytes, MLN_B64_STD)));
}

/* Only Vault's first kind of convergent key took nonces from outside; none is made here. */
static struct mln_err refuse_nonce(struct mln_cx *cx, const struct mln_value *in)
{
    return mln_get_bytes(mln_get(in, "nonce")).len > 0
               ? mln_fail(cx, MLN_E_INVALID, "provided nonce not allowed for this key")
               : MLN_OK;
}

static struct mln_err encrypt_one(struct transit_call *call, const struct mln_value *in,
                                  struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    const struct mln_value *text = mln_get(in, "plaintext");
    struct mln_value *box = NULL;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    MLN_AUTO(transit_extra_drop) struct transit_extra x = {0};
    if (mln_type_of(text) != MLN_STRING) {
        return mln_fail(cx, MLN_E_INVALID, "missing plaintext to encrypt");
    }
    MLN_TRY(mln_base64_parse(cx, mln_get_bytes(text), MLN_B64_STD, &plain));
    MLN_TRY(refuse_nonce(cx, in));
    MLN_TRY(transit_read_extra(call, in, &x));
    MLN_TRY(transit_pick(cx, call->key, in, "encryption", &number));
    MLN_TRY(transit_seal(call, &x, number, mln_buf_bytes(&plain), &box));
    mln_put(cx, out, "ciphertext", box);
    mln_put_int(cx, out, "key_version", number);
    return MLN_OK;
}

/* Items with and without context mixed are somebody's mistake. *ret: do they have one? */
static struct mln_err contexts_of(struct mln_request *rq, bool *ret)
{
    const struct mln_value *batch = mln_field_of(rq, "batch_input");
    size_t with = 0, n = mln_len(batch);
    if (mln_is_null(batch)) {
        *ret = mln_get_bytes(mln_field_of(rq, "context")).len > 0;
        return MLN_OK;
    }
    for (size_t i = 0; i < n; i++) {
        with += mln_get_bytes(mln_get(mln_item(batch, i), "context")).len > 0 ? 1 : 0;
    }
    *ret = with > 0;
    return with == 0 || with == n
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "context should be set either in all the request blocks or in none");
}

/* Encrypting with a key that is not there makes it, if that is not turned off: the pipeline asked for "create". */
static struct mln_err make_key(struct mln_request *rq, struct mln_bytes name,
                               struct transit_key *ret)
{
    struct mln_cx *cx = rq->cx;
    bool is_off = false, has_context = false;
    struct transit_key key = {.name = name};
    bool is_convergent = mln_get_bool(mln_field_of(rq, "convergent_encryption"), false);
    MLN_TRY(transit_upsert_is_off(rq, &is_off));
    if (is_off) {
        return mln_fail(cx, MLN_E_INVALID, "encryption key not found");
    }
    MLN_TRY(transit_read_type(rq, &key.type));
    MLN_TRY(need_cipher(cx, &key, "encryption"));
    MLN_TRY(contexts_of(rq, &has_context));
    if (is_convergent && !has_context) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "convergent encryption requires derivation to be enabled, so context is required");
    }
    if (has_context && !transit_traits(key.type)->derives) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "key derivation and convergent encryption not supported for keys of type %s",
            transit_traits(key.type)->name);
    }
    transit_set(&key, TRANSIT_DERIVED, has_context);
    transit_set(&key, TRANSIT_CONVERGENT, is_convergent);
    MLN_TRY(transit_create(rq, &key));
    *ret = key;
    return MLN_OK;
}

struct mln_err transit_encrypt_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    struct transit_key key;
    struct transit_call call = {.rq = rq, .key = &key};
    bool is_mixed = false;
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    bool is_new = mln_is(err, MLN_E_NOT_FOUND);
    MLN_TRY(is_new ? make_key(rq, name, &key) : err);
    if (transit_is(&key, TRANSIT_SOFT_DELETED)) {
        return transit_need(rq, "", &key); /* says so */
    }
    MLN_TRY(need_cipher(rq->cx, &key, "encryption"));
    MLN_TRY(contexts_of(rq, &is_mixed));
    MLN_TRY(transit_run(&call, re, encrypt_one));
    mln_put_int(rq->cx, rq->detail, "version", key.latest);
    return is_new && re->status < 400 ? transit_store(rq, &key) : MLN_OK;
}

static struct mln_err decrypt_one(struct transit_call *call, const struct mln_value *in,
                                  struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_bytes text = mln_get_bytes(mln_get(in, "ciphertext"));
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    MLN_AUTO(transit_extra_drop) struct transit_extra x = {0};
    if (text.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing ciphertext to decrypt");
    }
    MLN_TRY(transit_read_extra(call, in, &x));
    MLN_TRY(transit_open(call, &x, text, &plain));
    mln_put(cx, out, "plaintext", secret_base64(cx, mln_buf_bytes(&plain)));
    return MLN_OK;
}

struct mln_err transit_decrypt_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {
        .rq = rq, .key = &key, .blank = "plaintext", .blank_value = mln_text(rq->cx, "")};
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    MLN_TRY(need_cipher(rq->cx, &key, "decryption"));
    return transit_run(&call, re, decrypt_one);
}

static struct mln_err rewrap_one(struct transit_call *call, const struct mln_value *in,
                                 struct mln_value *out)
{
    struct mln_cx *cx = call->rq->cx;
    struct mln_bytes text = mln_get_bytes(mln_get(in, "ciphertext"));
    struct mln_value *box = NULL;
    int64_t number = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    MLN_AUTO(transit_extra_drop) struct transit_extra x = {0};
    if (text.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "missing ciphertext to decrypt");
    }
    MLN_TRY(transit_read_extra(call, in, &x));
    MLN_TRY(transit_pick(cx, call->key, in, "encryption", &number));
    MLN_TRY(transit_open(call, &x, text, &plain));
    MLN_TRY(transit_seal(call, &x, number, mln_buf_bytes(&plain), &box));
    mln_put(cx, out, "ciphertext", box);
    mln_put_int(cx, out, "key_version", number);
    return MLN_OK;
}

struct mln_err transit_rewrap_write(struct mln_request *rq, struct mln_reply *re)
{
    struct transit_key key;
    struct transit_call call = {.rq = rq, .key = &key, .is_lenient = true};
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    MLN_TRY(need_cipher(rq->cx, &key, "decryption"));
    return transit_run(&call, re, rewrap_one);
}

/* ---- data keys ---- */

static struct mln_err check_datakey(struct mln_request *rq, bool *ret_shows, size_t *ret_n)
{
    struct mln_bytes kind = mln_get_bytes(mln_field_of(rq, "kind"));
    int64_t bits = mln_get_int(mln_field_of(rq, "bits"), 256);
    *ret_shows = mln_bytes_is(kind, "plaintext");
    if (!*ret_shows && !mln_bytes_is(kind, "wrapped")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Invalid path, must be 'plaintext' or 'wrapped'");
    }
    if (bits != 128 && bits != 256 && bits != 512) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid bit length");
    }
    *ret_n = (size_t)bits / 8;
    return refuse_nonce(rq->cx, rq->fields);
}

struct mln_err transit_datakey_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct transit_key key;
    struct transit_call call = {.rq = rq, .key = &key};
    struct mln_value *box = NULL, *data = mln_object(cx);
    bool shows_it = false;
    size_t n = 0;
    int64_t number = 0;
    uint8_t secret[64];
    MLN_AUTO(transit_extra_drop) struct transit_extra x = {0};
    MLN_TRY(check_datakey(rq, &shows_it, &n));
    MLN_TRY(transit_need(rq, "encryption key not found", &key));
    MLN_TRY(need_cipher(cx, &key, "encryption"));
    MLN_TRY(transit_read_extra(&call, rq->fields, &x));
    MLN_TRY(transit_pick(cx, &key, rq->fields, "encryption", &number));
    mln_random(secret, n);
    struct mln_err err = transit_seal(&call, &x, number, mln_bytes_at(secret, n), &box);
    if (!mln_failed(err) && shows_it) {
        mln_put(cx, data, "plaintext", secret_base64(cx, mln_bytes_at(secret, n)));
    }
    mln_wipe(secret, sizeof(secret));
    MLN_TRY(err);
    mln_put(cx, data, "ciphertext", box);
    mln_put_int(cx, data, "key_version", number);
    re->data = data;
    return mln_cx_err(cx);
}
