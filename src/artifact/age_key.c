/* SPDX-License-Identifier: Apache-2.0 */
/* Recipients, identities, and how a file key is wrapped to the one and unwrapped by the other. */
#include <sodium.h>

#include "artifact/age_priv.h"
#include "artifact/bech32.h"
#include "base/clock.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define X25519_LABEL "age-encryption.org/v1/X25519"
#define SCRYPT_LABEL "age-encryption.org/v1/scrypt"
#define BODY         (MLN_AGE_KEY + MLN_AGE_TAG)
#define SALT         16

static const uint8_t zero_nonce[12];

struct mln_err mln_age_recipient_parse(struct mln_cx *cx, struct mln_bytes text,
                                       struct mln_age_recipient *ret)
{
    struct mln_buf raw = {0};
    bool is_upper = text.len > 0 && text.ptr[0] == 'A';
    struct mln_err err = is_upper
                             ? mln_fail(cx, MLN_E_PARSE, "a recipient is written in lower case")
                             : mln_bech32_parse(cx, text, "age", &raw);
    if (!mln_failed(err) && raw.len != 32) {
        err = mln_fail(cx, MLN_E_PARSE, "a recipient is not 32 bytes");
    }
    if (!mln_failed(err)) {
        mln_copy(ret->x25519, raw.ptr, 32);
    }
    mln_buf_drop(&raw);
    return err;
}

void mln_age_recipient_print(struct mln_buf *to, const uint8_t x25519[32])
{
    mln_bech32_print(to, "age", mln_bytes_at(x25519, 32));
}

void mln_age_identity_print(struct mln_buf *to, const uint8_t scalar[32])
{
    size_t start = to->len;
    mln_bech32_print(to, "age-secret-key-", mln_bytes_at(scalar, 32));
    for (size_t i = start; i < to->len; i++) {
        to->ptr[i] = to->ptr[i] >= 'a' && to->ptr[i] <= 'z' ? to->ptr[i] - 32 : to->ptr[i];
    }
}

static struct mln_err add_identity(struct mln_cx *cx, struct mln_bytes line, unsigned number,
                                   struct mln_buf *keys)
{
    size_t before = keys->len;
    bool is_upper = line.ptr[0] == 'A';
    struct mln_err err = mln_bech32_parse(NULL, line, "age-secret-key-", keys);
    if (mln_failed(err) || !is_upper || keys->len - before != 32) {
        return mln_fail(cx, MLN_E_PARSE, "line %u is no age identity (AGE-SECRET-KEY-1...)",
                        number);
    }
    return MLN_OK;
}

struct mln_err mln_age_identities_parse(struct mln_cx *cx, struct mln_bytes text,
                                        struct mln_secret *ret)
{
    struct mln_buf keys = {.is_secret = true};
    struct mln_err err = MLN_OK;
    for (unsigned number = 1; text.len > 0 && !mln_failed(err); number++) {
        struct mln_bytes line = mln_bytes_trim(mln_bytes_cut(text, '\n', &text));
        if (line.len > 0 && line.ptr[0] != '#') {
            err = add_identity(cx, line, number, &keys);
        }
    }
    if (!mln_failed(err)) {
        err = keys.len == 0 ? mln_fail(cx, MLN_E_INVALID, "there is no age identity in the file")
                            : mln_secret_from(cx, mln_buf_bytes(&keys), ret);
    }
    mln_buf_drop(&keys);
    return err;
}

/* ---- X25519 ---- */

static void x25519_wrap_key(const uint8_t shared[32], const uint8_t share[32],
                            const uint8_t recipient[32], uint8_t key[32])
{
    uint8_t salt[64];
    mln_copy(salt, share, 32);
    mln_copy(salt + 32, recipient, 32);
    mln_hkdf_sha256(mln_bytes_at(shared, 32), mln_bytes_at(salt, 64), MLN_BYTES(X25519_LABEL), key,
                    32);
}

static struct mln_err x25519_wrap(struct mln_cx *cx, const struct mln_age_recipient *to,
                                  const uint8_t file_key[MLN_AGE_KEY],
                                  struct mln_age_stanza *stanza)
{
    uint8_t ephemeral[32], shared[32], key[32], share[32];
    uint8_t *body = mln_new(cx, BODY);
    MLN_TRY(mln_cx_err(cx));
    mln_random(ephemeral, sizeof(ephemeral));
    mln_x25519_public(ephemeral, share);
    struct mln_err err = mln_x25519(cx, ephemeral, to->x25519, shared);
    if (!mln_failed(err)) {
        x25519_wrap_key(shared, share, to->x25519, key);
        err = mln_chacha_seal(cx, key, zero_nonce, MLN_BYTES_NONE,
                              mln_bytes_at(file_key, MLN_AGE_KEY), body);
    } else {
        err = mln_refail(cx, MLN_E_INVALID, "a recipient is a point of low order");
    }
    mln_wipe(ephemeral, sizeof(ephemeral));
    mln_wipe(shared, sizeof(shared));
    mln_wipe(key, sizeof(key));
    *stanza = (struct mln_age_stanza){.n_args = 2, .body = mln_bytes_at(body, BODY)};
    stanza->args[0] = MLN_BYTES("X25519");
    stanza->args[1] = mln_bytes_of(mln_base64_text(cx, mln_bytes_at(share, 32), MLN_B64_STD_RAW));
    return err;
}

static struct mln_err bad_stanza(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_PARSE, "age: a stanza %s is malformed", what);
}

/* `n` bytes of base64 without padding. */
static bool decode_arg(struct mln_bytes text, uint8_t *to, size_t n)
{
    struct mln_buf raw = {0};
    bool is_good = !mln_failed(mln_base64_parse(NULL, text, MLN_B64_STD_RAW, &raw)) && raw.len == n;
    if (is_good) {
        mln_copy(to, raw.ptr, n);
    }
    mln_buf_drop(&raw);
    return is_good;
}

static struct mln_err x25519_unwrap_one(struct mln_cx *cx, const uint8_t identity[32],
                                        const uint8_t share[32], struct mln_bytes body,
                                        uint8_t file_key[MLN_AGE_KEY], bool *ret_is_open)
{
    uint8_t shared[32], key[32], recipient[32];
    if (mln_failed(mln_x25519(NULL, identity, share, shared))) {
        return mln_refail(cx, MLN_E_PARSE, "age: a stanza X25519 holds a point of low order");
    }
    mln_x25519_public(identity, recipient);
    x25519_wrap_key(shared, share, recipient, key);
    *ret_is_open =
        !mln_failed(mln_chacha_open(NULL, key, zero_nonce, MLN_BYTES_NONE, body, file_key));
    mln_wipe(shared, sizeof(shared));
    mln_wipe(key, sizeof(key));
    return MLN_OK;
}

static struct mln_err x25519_unwrap(struct mln_cx *cx, const struct mln_age_stanza *stanza,
                                    const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY],
                                    bool *ret_is_open)
{
    uint8_t share[32];
    if (stanza->n_args != 2 || !decode_arg(stanza->args[1], share, sizeof(share)) ||
        stanza->body.len != BODY) {
        return bad_stanza(cx, "X25519");
    }
    for (size_t i = 0; i + 32 <= with->identities.len && !*ret_is_open; i += 32) {
        MLN_TRY(x25519_unwrap_one(cx, with->identities.ptr + i, share, stanza->body, file_key,
                                  ret_is_open));
    }
    return MLN_OK;
}

/* ---- scrypt: reading only ---- */

static struct mln_err scrypt_key(struct mln_cx *cx, const struct mln_age_with *with,
                                 const uint8_t salt[SALT], uint64_t log2_n, uint8_t key[32])
{
    struct mln_buf passphrase = {.is_secret = true};
    struct mln_err err = with->passphrase(with->passphrase_arg, cx, &passphrase);
    uint8_t labelled[sizeof(SCRYPT_LABEL) - 1 + SALT];
    mln_copy(labelled, SCRYPT_LABEL, sizeof(SCRYPT_LABEL) - 1);
    mln_copy(labelled + sizeof(SCRYPT_LABEL) - 1, salt, SALT);
    if (!mln_failed(err) && crypto_pwhash_scryptsalsa208sha256_ll(
                                passphrase.ptr, passphrase.len, labelled, sizeof(labelled),
                                (uint64_t)1 << log2_n, 8, 1, key, 32) != 0) {
        err = mln_fail(cx, MLN_E_MEMORY, "no memory for the passphrase's scrypt");
    }
    mln_buf_drop(&passphrase);
    return err;
}

static struct mln_err scrypt_unwrap(struct mln_cx *cx, const struct mln_age_stanza *stanza,
                                    const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY],
                                    bool *ret_is_open)
{
    uint8_t salt[SALT];
    uint8_t key[32];
    uint64_t log2_n = 0;
    if (stanza->n_args != 3 || !decode_arg(stanza->args[1], salt, sizeof(salt)) ||
        stanza->args[2].ptr[0] == '0' || !mln_u64_parse(stanza->args[2], &log2_n) ||
        stanza->body.len != BODY) {
        return bad_stanza(cx, "scrypt");
    }
    if (log2_n > MLN_AGE_SCRYPT_LOG2_MAX) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "age: the passphrase's work factor %llu is above %d",
                        (unsigned long long)log2_n, MLN_AGE_SCRYPT_LOG2_MAX);
    }
    if (with->passphrase == NULL) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "age: the file wants a passphrase");
    }
    MLN_TRY(scrypt_key(cx, with, salt, log2_n, key));
    *ret_is_open =
        !mln_failed(mln_chacha_open(NULL, key, zero_nonce, MLN_BYTES_NONE, stanza->body, file_key));
    mln_wipe(key, sizeof(key));
    return *ret_is_open ? MLN_OK : mln_fail(cx, MLN_E_DENIED, "age: the passphrase is wrong");
}

/* ---- transit ---- */

static struct mln_err transit_wrap(struct mln_cx *cx, const struct mln_age_to *to,
                                   const uint8_t file_key[MLN_AGE_KEY],
                                   struct mln_age_stanza *stanza)
{
    struct mln_buf wrapped = {0};
    uint32_t version = 0;
    struct mln_err err =
        to->transit.wrap(to->transit.arg, cx, to->transit_key, file_key, &wrapped, &version);
    if (!mln_failed(err)) {
        err = mln_buf_ok(cx, &wrapped);
    }
    if (!mln_failed(err) && (wrapped.len == 0 || wrapped.len > MLN_AGE_WRAPPED_MAX)) {
        err = mln_fail(cx, MLN_E_REMOTE, "the wrapped file key has %zu bytes", wrapped.len);
    }
    if (!mln_failed(err)) {
        *stanza = (struct mln_age_stanza){.n_args = 3,
                                          .body = mln_bytes_dup(cx, mln_buf_bytes(&wrapped))};
        stanza->args[0] = MLN_BYTES(MLN_AGE_TRANSIT);
        stanza->args[1] = mln_bytes_of(to->transit_key);
        stanza->args[2] = mln_bytes_format(cx, "%u", version);
        err = mln_cx_err(cx);
    }
    mln_buf_drop(&wrapped);
    return err;
}

/* A file may carry stanzas for other servers: what this one does not know is not ours. */
static struct mln_err transit_unwrap(struct mln_cx *cx, const struct mln_age_stanza *stanza,
                                     const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY],
                                     bool *ret_is_open)
{
    uint64_t version = 0;
    if (stanza->n_args != 3 || !mln_u64_parse(stanza->args[2], &version) || version > UINT32_MAX ||
        stanza->body.len == 0 || stanza->body.len > MLN_AGE_WRAPPED_MAX) {
        return bad_stanza(cx, MLN_AGE_TRANSIT);
    }
    const char *key = mln_text_dup(cx, stanza->args[1]);
    struct mln_err err = with->transit->unwrap(with->transit->arg, cx, key, (uint32_t)version,
                                               stanza->body, file_key);
    *ret_is_open = !mln_failed(err);
    if (mln_is(err, MLN_E_NOT_FOUND) || mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_FORGED)) {
        mln_cx_clear(cx);
        return MLN_OK;
    }
    return err;
}

/* ---- all of them ---- */

struct mln_err mln_age_wrap(struct mln_cx *cx, const struct mln_age_to *to,
                            uint8_t file_key[MLN_AGE_KEY], struct mln_buf *header)
{
    size_t n = to->n_recipients + (to->transit_key != NULL);
    if (n == 0 || to->n_recipients > MLN_AGE_RECIPIENTS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "encryption wants 1 to %d recipients",
                        MLN_AGE_RECIPIENTS_MAX);
    }
    struct mln_age_stanza *stanzas = mln_new_array(cx, n, sizeof(*stanzas));
    MLN_TRY(mln_cx_err(cx));
    mln_random(file_key, MLN_AGE_KEY);
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < to->n_recipients && !mln_failed(err); i++) {
        err = x25519_wrap(cx, &to->recipients[i], file_key, &stanzas[i]);
    }
    if (!mln_failed(err) && to->transit_key != NULL) {
        err = transit_wrap(cx, to, file_key, &stanzas[n - 1]);
    }
    if (!mln_failed(err)) {
        err = mln_age_header_print(cx, stanzas, n, file_key, header);
    }
    if (mln_failed(err)) {
        mln_wipe(file_key, MLN_AGE_KEY);
    }
    return err;
}

static bool has_type(const struct mln_age_stanza *stanza, const char *type)
{
    return mln_bytes_is(stanza->args[0], type);
}

static struct mln_err open_stanza(struct mln_cx *cx, const struct mln_age_header *header,
                                  const struct mln_age_stanza *stanza,
                                  const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY],
                                  bool *ret_is_open)
{
    if (has_type(stanza, "X25519")) {
        return x25519_unwrap(cx, stanza, with, file_key, ret_is_open);
    }
    if (has_type(stanza, "scrypt")) {
        return header->n_stanzas == 1 ? scrypt_unwrap(cx, stanza, with, file_key, ret_is_open)
                                      : bad_stanza(cx, "scrypt beside another one");
    }
    if (has_type(stanza, MLN_AGE_TRANSIT) && with->transit != NULL) {
        return transit_unwrap(cx, stanza, with, file_key, ret_is_open);
    }
    return MLN_OK;
}

/*
 * Every stanza's form is checked, also behind the one that opened: a malformed header is refused as
 * a whole.
 */
static struct mln_err try_stanzas(struct mln_cx *cx, const struct mln_age_header *header,
                                  const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY],
                                  bool *ret_is_open)
{
    static const struct mln_age_with nothing;
    for (size_t i = 0; i < header->n_stanzas; i++) {
        uint8_t key[MLN_AGE_KEY] = {0};
        bool is_open = false;
        struct mln_err err = open_stanza(cx, header, &header->stanzas[i],
                                         *ret_is_open ? &nothing : with, key, &is_open);
        if (is_open) {
            mln_copy(file_key, key, sizeof(key));
            *ret_is_open = true;
        }
        mln_wipe(key, sizeof(key));
        MLN_TRY(err);
    }
    return MLN_OK;
}

struct mln_err mln_age_unwrap(struct mln_cx *cx, const struct mln_age_header *header,
                              const struct mln_age_with *with, uint8_t file_key[MLN_AGE_KEY])
{
    bool is_open = false;
    uint8_t mac[32];
    struct mln_err err = try_stanzas(cx, header, with, file_key, &is_open);
    if (!mln_failed(err) && !is_open) {
        err = mln_fail(cx, MLN_E_DENIED, "age: no identity opens this file");
    }
    if (!mln_failed(err)) {
        age_mac(file_key, header->maced, mac);
        if (!mln_eq_ct(mac, sizeof(mac), header->mac, sizeof(header->mac))) {
            err = mln_fail(cx, MLN_E_FORGED, "age: the header was changed (its MAC is wrong)");
        }
    }
    if (mln_failed(err)) {
        mln_wipe(file_key, MLN_AGE_KEY);
    }
    return err;
}
