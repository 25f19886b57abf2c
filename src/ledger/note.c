/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signed notes that hold a checkpoint, and the text form of the key that verifies them.
 * Sources: C2SP signed-note, tlog-checkpoint.
 *
 * note     "<origin>\n<size>\n<base64 root>\n" [more lines] "\n" then lines "U+2014 <name> <base64(hash 4 || signature)>\n"
 * vkey     "<name>+<hex hash>+<base64(algorithm || key)>"; hash: first 4 bytes of SHA-256(name "\n" algorithm key)
 * Only Ed25519 (algorithm 1). Lines of keys that we do not know are ignored: so witnesses add theirs.
 */
#include "ledger/tlog.h"

#include <inttypes.h>

#include "base/text.h"

#define ED25519_ALGORITHM 1
#define NOTE_MAX          (64u << 10) /* bytes: a checkpoint with a hundred witnesses is 20 KiB */
#define ORIGIN_MAX        199u
#define LINES_MAX         128u
#define DASH              "\xe2\x80\x94 "

/* A name holds no white space and no plus sign: both separate. */
static bool name_is_valid(struct mln_bytes name)
{
    if (name.len == 0 || name.len > ORIGIN_MAX || !mln_utf8_valid(name)) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] == 0x7f || name.ptr[i] == '+') {
            return false;
        }
    }
    return true;
}

static struct mln_err key_hash(struct mln_cx *cx, struct mln_bytes name, const uint8_t key[32], uint8_t ret[4])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    uint8_t digest[MLN_SHA256_BYTES];
    mln_buf_add_bytes(&buf, name);
    mln_buf_add_byte(&buf, '\n');
    mln_buf_add_byte(&buf, ED25519_ALGORITHM);
    mln_buf_add(&buf, key, 32);
    MLN_TRY(mln_buf_ok(cx, &buf));
    mln_sha256(mln_buf_bytes(&buf), digest);
    mln_copy(ret, digest, 4);
    return MLN_OK;
}

struct mln_err mln_vkey_make(struct mln_cx *cx, const char *origin, const uint8_t public_key[32], const char **ret)
{
    uint8_t hash[4];
    uint8_t key[33];
    if (!name_is_valid(mln_bytes_of(origin))) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: the origin is no name of a log");
    }
    MLN_TRY(key_hash(cx, mln_bytes_of(origin), public_key, hash));
    key[0] = ED25519_ALGORITHM;
    mln_copy(key + 1, public_key, 32);
    const char *text = mln_text_format(cx, "%s+%s+%s", origin, mln_hex_text(cx, mln_bytes_at(hash, 4)),
                                       mln_base64_text(cx, mln_bytes_at(key, 33), MLN_B64_STD));
    MLN_TRY(mln_cx_err(cx));
    *ret = text;
    return MLN_OK;
}

struct vkey {
    struct mln_bytes name;
    uint8_t hash[4];
    uint8_t key[32];
};

static struct mln_err bad_vkey(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_PARSE, "ledger: the verifier key %s", what);
}

static struct mln_err parse_vkey(struct mln_cx *cx, struct mln_bytes text, struct vkey *ret)
{
    struct mln_bytes left = text;
    struct vkey v = {.name = mln_bytes_cut(text, '+', &left)};
    struct mln_bytes hex = mln_bytes_cut(left, '+', &left);
    MLN_AUTO(mln_buf_drop) struct mln_buf hash = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf key = {0};
    uint8_t want[4];
    if (!name_is_valid(v.name) || hex.len != 8 || left.len != 44) {
        return bad_vkey(cx, "is not of the form name+hash+key");
    }
    if (mln_failed(mln_hex_parse(cx, hex, &hash)) || hash.len != 4 ||
        mln_failed(mln_base64_parse(cx, left, MLN_B64_STD, &key)) || key.len != 33) {
        return bad_vkey(cx, "has a bad hash or key");
    }
    if (key.ptr[0] != ED25519_ALGORITHM) {
        return bad_vkey(cx, "is not an Ed25519 key");
    }
    mln_copy(v.key, key.ptr + 1, 32);
    mln_copy(v.hash, hash.ptr, 4);
    MLN_TRY(key_hash(cx, v.name, v.key, want));
    if (!mln_same(want, v.hash, 4)) {
        return bad_vkey(cx, "does not fit its own hash");
    }
    *ret = v;
    return MLN_OK;
}

/* ---- writing ---- */

static void add_signature(struct mln_buf *note, struct mln_bytes name, const uint8_t hash[4], const uint8_t signature[64])
{
    uint8_t blob[4 + 64];
    mln_copy(blob, hash, 4);
    mln_copy(blob + 4, signature, 64);
    mln_buf_add_text(note, "\n" DASH);
    mln_buf_add_bytes(note, name);
    mln_buf_add_byte(note, ' ');
    mln_base64_print(note, mln_bytes_at(blob, sizeof(blob)), MLN_B64_STD);
    mln_buf_add_byte(note, '\n');
}

struct mln_err mln_checkpoint_sign(struct mln_cx *cx, const struct mln_checkpoint *c, const uint8_t seed[32],
                                   struct mln_buf *note)
{
    uint8_t public_key[32];
    uint8_t signature[64];
    uint8_t hash[4];
    if (!name_is_valid(c->origin)) {
        return mln_fail(cx, MLN_E_INVALID, "ledger: the origin is no name of a log");
    }
    size_t start = note->len;
    mln_buf_add_bytes(note, c->origin);
    mln_buf_add_format(note, "\n%" PRIu64 "\n", c->size);
    mln_base64_print(note, mln_bytes_at(c->root.b, sizeof(c->root.b)), MLN_B64_STD);
    mln_buf_add_byte(note, '\n');
    MLN_TRY(mln_buf_ok(cx, note));
    mln_ed25519_public(seed, public_key);
    MLN_TRY(key_hash(cx, c->origin, public_key, hash));
    mln_ed25519_sign(seed, mln_bytes_from(mln_buf_bytes(note), start), signature);
    add_signature(note, c->origin, hash, signature);
    return mln_buf_ok(cx, note);
}

/* ---- reading ---- */

static struct mln_err bad_note(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_PARSE, "ledger: the checkpoint %s", what);
}

/* Text with its last newline, and the signature lines behind the last blank line. */
static bool split_note(struct mln_bytes note, struct mln_bytes *ret_text, struct mln_bytes *ret_lines)
{
    for (size_t i = note.len; i >= 2; i--) {
        if (note.ptr[i - 1] == '\n' && note.ptr[i - 2] == '\n') {
            *ret_text = mln_bytes_sub(note, 0, i - 1);
            *ret_lines = mln_bytes_from(note, i);
            return true;
        }
    }
    return false;
}

struct line {
    struct mln_bytes name, hash, signature;
};

static struct mln_err parse_line(struct mln_cx *cx, struct mln_bytes text, struct line *ret)
{
    if (!mln_bytes_starts(text, MLN_BYTES(DASH))) {
        return bad_note(cx, "has a malformed signature line");
    }
    struct mln_bytes blob;
    struct mln_bytes name = mln_bytes_cut(mln_bytes_from(text, sizeof(DASH) - 1), ' ', &blob);
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    if (!name_is_valid(name) || mln_failed(mln_base64_parse(cx, blob, MLN_B64_STD, &raw)) || raw.len < 5) {
        return bad_note(cx, "has a malformed signature line");
    }
    struct mln_bytes copy = mln_bytes_dup(cx, mln_buf_bytes(&raw));
    MLN_TRY(mln_cx_err(cx));
    *ret = (struct line){name, mln_bytes_sub(copy, 0, 4), mln_bytes_from(copy, 4)};
    return MLN_OK;
}

static struct mln_err check_lines(struct mln_cx *cx, struct mln_bytes text, struct mln_bytes lines, const struct vkey *v)
{
    bool is_signed = false;
    unsigned n = 0;
    if (lines.len == 0 || lines.ptr[lines.len - 1] != '\n') {
        return bad_note(cx, "has no signature line");
    }
    while (lines.len > 0) {
        struct line line = {0};
        if (++n > LINES_MAX) {
            return bad_note(cx, "has too many signature lines");
        }
        MLN_TRY(parse_line(cx, mln_bytes_cut(lines, '\n', &lines), &line));
        if (!mln_bytes_eq(line.name, v->name) || !mln_same(line.hash.ptr, v->hash, 4)) {
            continue;
        }
        if (mln_failed(mln_ed25519_verify(cx, v->key, text, line.signature))) {
            return mln_refail(cx, MLN_E_FORGED, "ledger: the signature of the checkpoint is wrong");
        }
        is_signed = true;
    }
    return is_signed ? MLN_OK : mln_fail(cx, MLN_E_FORGED, "ledger: the checkpoint is not signed by this key");
}

static struct mln_err parse_text(struct mln_cx *cx, struct mln_bytes text, struct mln_checkpoint *ret)
{
    struct mln_bytes left = text;
    struct mln_checkpoint c = {.origin = mln_bytes_cut(left, '\n', &left)};
    struct mln_bytes size = mln_bytes_cut(left, '\n', &left);
    struct mln_bytes root = mln_bytes_cut(left, '\n', &left);
    if (!name_is_valid(c.origin) || size.len == 0 || (size.len > 1 && size.ptr[0] == '0') ||
        !mln_u64_parse(size, &c.size) || c.size > INT64_MAX) {
        return bad_note(cx, "has a malformed origin or size");
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf hash = {0};
    if (mln_failed(mln_base64_parse(cx, root, MLN_B64_STD, &hash)) || hash.len != sizeof(c.root.b)) {
        return bad_note(cx, "has a malformed root");
    }
    mln_copy(c.root.b, hash.ptr, sizeof(c.root.b));
    *ret = c;
    return MLN_OK;
}

struct mln_err mln_checkpoint_open(struct mln_cx *cx, struct mln_bytes note, struct mln_bytes vkey, struct mln_checkpoint *ret)
{
    struct vkey v = {0};
    struct mln_checkpoint c = {0};
    struct mln_bytes text;
    struct mln_bytes lines;
    MLN_TRY(parse_vkey(cx, vkey, &v));
    if (note.len > NOTE_MAX || !mln_utf8_valid(note) || !split_note(note, &text, &lines)) {
        return bad_note(cx, "is no signed note");
    }
    MLN_TRY(check_lines(cx, text, lines, &v));
    MLN_TRY(parse_text(cx, text, &c));
    if (!mln_bytes_eq(c.origin, v.name)) {
        return mln_fail(cx, MLN_E_FORGED, "ledger: the checkpoint is of another log");
    }
    *ret = c;
    return MLN_OK;
}
