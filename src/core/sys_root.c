/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A new root token by the holders of shares: sys/generate-root (without a token, off unless configured) and, as OpenBao has it,
 * sys/generate-root-token (with one that has sudo). The token leaves XORed with a pad that whoever began has.
 */
#include "core/sys_priv.h"

#include "base/clock.h"

#define TOKEN_BYTES 28u /* "hvs." and 24 characters */

static struct mln_err answer(struct mln_request *rq, struct mln_reply *re, struct mln_value *status)
{
    if (rq->route->is_open) {
        re->bare = status;
    } else {
        re->data = re->top = status;
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err refuse_open(struct mln_request *rq)
{
    return sys_refuse_open(rq, mln_core_of(rq)->config.unauthed_root);
}

/* ---- showing ---- */

static struct mln_err status(struct mln_request *rq, const struct mln_ceremony *c, const char *otp,
                             const char *encoded, struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_seal_config config = {0};
    struct mln_value *out = mln_object(cx);
    MLN_TRY(sys_holders(rq, &config));
    bool is_complete = encoded[0] != 0;
    mln_put_text(cx, out, "nonce", mln_text_dup(cx, mln_bytes_of(c->nonce)));
    mln_put_bool(cx, out, "started", c->stage != MLN_CEREMONY_NONE);
    mln_put_int(cx, out, "progress", is_complete ? (int64_t)config.threshold : (int64_t)c->n);
    mln_put_int(cx, out, "required", config.threshold);
    mln_put_bool(cx, out, "complete", is_complete);
    mln_put(cx, out, "encoded_token", mln_secret_string(cx, mln_bytes_of(encoded)));
    mln_put(cx, out, "encoded_root_token", mln_secret_string(cx, mln_bytes_of(encoded)));
    mln_put_text(cx, out, "pgp_fingerprint", "");
    mln_put(cx, out, "otp", mln_secret_string(cx, mln_bytes_of(otp)));
    mln_put_int(cx, out, "otp_length", rq->route->remove == NULL ? 0 : TOKEN_BYTES); /* not at the update */
    *ret = out;
    return mln_cx_err(cx);
}

static struct mln_err show(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    (void)mln_ceremony_is_again(rq, c);
    MLN_TRY(status(rq, c, "", "", &out));
    return answer(rq, re, out);
}

/* ---- beginning ---- */

static struct mln_err take_otp(struct mln_request *rq, struct mln_ceremony *c)
{
    struct mln_bytes given = mln_get_bytes(mln_field_of(rq, "otp"));
    char made[TOKEN_BYTES + 1];
    if (mln_len(mln_field_of(rq, "pgp_key")) > 0) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED,
                        "pgp_key is not supported: begin with an otp, or without one to be given one");
    }
    if (given.len != 0 && given.len != TOKEN_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "OTP string has incorrect length");
    }
    mln_random_base62(made, TOKEN_BYTES);
    struct mln_err err = mln_secret_from(
        rq->cx, given.len != 0 ? given : mln_bytes_at(made, TOKEN_BYTES), &c->otp);
    mln_wipe(made, sizeof(made));
    return err;
}

static struct mln_err begin(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    if (!mln_ceremony_is_again(rq, c)) {
        if (c->stage != MLN_CEREMONY_NONE) {
            return mln_fail(rq->cx, MLN_E_INVALID, "root generation already in progress");
        }
        MLN_TRY(take_otp(rq, c));
        mln_uuid(c->nonce);
        c->stage = MLN_CEREMONY_GIVING;
    }
    bool is_theirs = mln_get_bytes(mln_field_of(rq, "otp")).len > 0; /* it is not sent back */
    const char *otp = is_theirs ? "" : mln_text_dup(rq->cx, mln_secret_bytes(&c->otp));
    mln_put_text(rq->cx, rq->detail, "root_token", "begun");
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(status(rq, c, otp, "", &out));
    return answer(rq, re, out);
}

static struct mln_err cancel(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    (void)re;
    mln_ceremony_clear(c);
    mln_put_text(rq->cx, rq->detail, "root_token", "cancelled");
    return MLN_OK;
}

/* ---- giving shares ---- */

static struct mln_err make_token(struct mln_request *rq, struct mln_ceremony *c)
{
    char id[TOKEN_BYTES + 1] = "hvs.";
    mln_random_base62(id + 4, TOKEN_BYTES - 4);
    struct mln_err err = mln_secret_from(rq->cx, mln_bytes_at(id, TOKEN_BYTES), &c->token);
    mln_wipe(id, sizeof(id));
    return err;
}

static struct mln_err take(struct mln_request *rq, struct mln_ceremony *c)
{
    struct mln_seal_config config = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf share = {.is_secret = true};
    if (c->stage == MLN_CEREMONY_NONE) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no root generation in progress");
    }
    MLN_TRY(sys_share_of(rq, &share));
    MLN_TRY(sys_holders(rq, &config));
    MLN_TRY(mln_ceremony_give(rq, c, c->nonce, mln_buf_bytes(&share)));
    if (c->n < config.threshold) {
        return MLN_OK;
    }
    struct mln_err err = sys_prove_shares(rq, c);
    mln_ceremony_restart(c);
    MLN_TRY(err);
    MLN_TRY(make_token(rq, c));
    c->is_done = true;
    return MLN_OK;
}

/* In the request's transaction, so that token and record stand or fall together. */
static struct mln_err store_token(struct mln_request *rq, const struct mln_ceremony *c)
{
    struct mln_value *root = mln_array(rq->cx);
    const struct mln_value *auth = NULL;
    mln_push_text(rq->cx, root, "root");
    struct mln_token_spec spec = {.id = mln_text_dup(rq->cx, mln_secret_bytes(&c->token)),
                                  .policies = root,
                                  .display_name = "root",
                                  .path = MLN_PATH_FIRST_TOKEN};
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_token_create(mln_core_of(rq), rq->cx, rq->txn, rq->now_ns, &spec, &auth, NULL);
}

static const char *encode(struct mln_request *rq, const struct mln_ceremony *c)
{
    uint8_t *pad = mln_new(rq->cx, TOKEN_BYTES);
    for (size_t i = 0; pad != NULL && i < TOKEN_BYTES; i++) {
        pad[i] = c->token.ptr[i] ^ c->otp.ptr[i];
    }
    return pad == NULL ? "" : mln_base64_text(rq->cx, mln_bytes_at(pad, TOKEN_BYTES), MLN_B64_STD_RAW);
}

static struct mln_err update(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c)
{
    struct mln_value *out = NULL;
    const char *encoded = "";
    if (!mln_ceremony_is_again(rq, c)) {
        MLN_TRY(take(rq, c));
    }
    mln_put_text(rq->cx, rq->detail, "root_token", c->is_done ? "made" : "a share was given");
    if (c->is_done) {
        MLN_TRY(store_token(rq, c));
        encoded = encode(rq, c);
    }
    MLN_TRY(status(rq, c, "", encoded, &out));
    return answer(rq, re, out);
}

/* ---- opening what was made ---- */

/* Nothing of the server is in it: for who has the pad and no program for it. */
static struct mln_err decode(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes encoded = mln_get_bytes(mln_field_of(rq, "encoded_token")), otp = mln_get_bytes(mln_field_of(rq, "otp"));
    MLN_AUTO(mln_buf_drop) struct mln_buf token = {.is_secret = true};
    struct mln_value *data = mln_object(rq->cx);
    while (encoded.len > 0 && encoded.ptr[encoded.len - 1] == '=') {
        encoded.len--;
    }
    if (encoded.len == 0 || otp.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, encoded.len == 0 ? "missing encoded_token" : "missing otp");
    }
    if (mln_failed(mln_base64_parse(rq->cx, encoded, MLN_B64_STD_RAW, &token))) {
        return mln_refail(rq->cx, MLN_E_INVALID, "error decoding base64'd token");
    }
    if (token.len != otp.len) {
        return mln_fail(rq->cx, MLN_E_INVALID, "error xoring token: length of byte slices is not equivalent: %zu != %zu", token.len,
                        otp.len);
    }
    for (size_t i = 0; i < token.len; i++) {
        token.ptr[i] ^= otp.ptr[i];
    }
    mln_put(rq->cx, data, "token", mln_secret_string(rq->cx, mln_bytes_of(mln_text_dup(rq->cx, mln_buf_bytes(&token)))));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- paths ---- */

typedef struct mln_err (*step)(struct mln_request *rq, struct mln_reply *re, struct mln_ceremony *c);

static struct mln_err locked(struct mln_request *rq, struct mln_reply *re, step what)
{
    struct mln_ceremonies *all = &mln_core_of(rq)->ceremonies;
    MLN_TRY(refuse_open(rq));
    pthread_mutex_lock(&all->lock);
    struct mln_err err = what(rq, re, &all->root);
    pthread_mutex_unlock(&all->lock);
    return err;
}

static struct mln_err root_read(struct mln_request *rq, struct mln_reply *re)
{
    return locked(rq, re, show);
}
static struct mln_err root_begin(struct mln_request *rq, struct mln_reply *re)
{
    return locked(rq, re, begin);
}
static struct mln_err root_cancel(struct mln_request *rq, struct mln_reply *re)
{
    return locked(rq, re, cancel);
}
static struct mln_err root_update(struct mln_request *rq, struct mln_reply *re)
{
    return locked(rq, re, update);
}

static const struct mln_field attempt_fields[] = {
    {.name = "otp", .type = MLN_FIELD_SECRET, .help = "A pad of 28 characters; made when not given."},
    F_TEXT("pgp_key", "Refused: not supported."),
    {0},
};
static const struct mln_field update_fields[] = {
    {.name = "key", .type = MLN_FIELD_SECRET, .help = "One share, hex or base64."},
    F_TEXT("nonce", "As the beginning answered it."),
    {0},
};

static const struct mln_field decode_fields[] = {
    {.name = "encoded_token", .type = MLN_FIELD_SECRET, .help = "As the last share's answer had it."},
    {.name = "otp", .type = MLN_FIELD_SECRET, .help = "The pad."},
    {0},
};

#define ATTEMPT(at, open)                                                                          \
    {                                                                                              \
        .pattern = at, .summary = "Begin, watch or cancel making a root token.",                   \
        .fields = attempt_fields, .read = root_read, .write = root_begin, .remove = root_cancel,   \
        .is_open = open, .is_sudo = !open, .controls = "AC-6"                                      \
    }
#define UPDATE(at, open)                                                                           \
    {                                                                                              \
        .pattern = at, .summary = "Give a share towards a root token.", .fields = update_fields,   \
        .write = root_update, .is_open = open, .is_sudo = !open, .may_block = true,                \
        .controls = "AC-6"                                                                         \
    }

const struct mln_path mln_sys_root[] = {
    ATTEMPT("generate-root/attempt", true),
    UPDATE("generate-root/update", true),
    ATTEMPT("generate-root-token/attempt", false),
    UPDATE("generate-root-token/update", false),
    {.pattern = "decode-token", .summary = "Open an encoded root token with its pad.", .fields = decode_fields, .write = decode,
     .is_open = true, .controls = "AC-6"},
    {0},
};
