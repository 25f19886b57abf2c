/* SPDX-License-Identifier: Apache-2.0 */
/* SSH public keys: the line of authorized_keys and the wire form. Sources: crypto/ssh.h. */
#include "crypto/ssh_priv.h"

#include "base/text.h"

#define EXPONENT_BYTES_MAX 8 /* 65537 everywhere; OpenSSL refuses larger ones for large moduli */

const struct ssh_kind ssh_kinds[MLN_SSH_KINDS] = {
    [MLN_SSH_RSA] = {.name = "ssh-rsa"},
    [MLN_SSH_ED25519] = {.name = "ssh-ed25519", .bits = 256},
    [MLN_SSH_P256] = {"ecdsa-sha2-nistp256", "nistp256", "prime256v1", "SHA256", 256, false},
    [MLN_SSH_P384] = {"ecdsa-sha2-nistp384", "nistp384", "secp384r1", "SHA384", 384, false},
    [MLN_SSH_P521] = {"ecdsa-sha2-nistp521", "nistp521", "secp521r1", "SHA512", 521, false},
    [MLN_SSH_SK_ED25519] = {.name = "sk-ssh-ed25519@openssh.com", .bits = 256, .has_application = true},
    [MLN_SSH_SK_P256] = {"sk-ecdsa-sha2-nistp256@openssh.com", "nistp256", "prime256v1", "SHA256", 256, true},
};

const char *mln_ssh_kind_name(enum mln_ssh_kind kind)
{
    return ssh_kinds[kind].name;
}

void mln_ssh_put_string(struct mln_buf *buf, struct mln_bytes bytes)
{
    mln_buf_add_u32be(buf, (uint32_t)bytes.len);
    mln_buf_add_bytes(buf, bytes);
}

void ssh_put_mpint(struct mln_buf *buf, struct mln_bytes n)
{
    while (n.len > 0 && n.ptr[0] == 0) {
        n = mln_bytes_from(n, 1);
    }
    bool has_sign = n.len > 0 && n.ptr[0] >= 0x80;
    mln_buf_add_u32be(buf, (uint32_t)(n.len + (has_sign ? 1 : 0)));
    if (has_sign) {
        mln_buf_add_byte(buf, 0);
    }
    mln_buf_add_bytes(buf, n);
}

void ssh_put_bn(struct mln_buf *buf, const BIGNUM *n)
{
    uint8_t bytes[MLN_SSH_RSA_BITS_MAX / 8];
    int len = BN_num_bytes(n);
    MLN_CHECK(len >= 0 && (size_t)len <= sizeof(bytes)); /* larger keys were refused */
    (void)BN_bn2bin(n, bytes);
    ssh_put_mpint(buf, mln_bytes_at(bytes, (size_t)len));
    mln_wipe(bytes, sizeof(bytes));
}

struct mln_bytes ssh_read_string(struct mln_reader *r)
{
    return mln_read_bytes(r, mln_read_u32be(r));
}

struct mln_bytes ssh_read_mpint(struct mln_reader *r)
{
    struct mln_bytes n = ssh_read_string(r);
    bool has_zero = n.len > 0 && n.ptr[0] == 0;
    bool is_negative = n.len > 0 && n.ptr[0] >= 0x80;
    if (n.len == 0 || is_negative || (has_zero && (n.len < 2 || n.ptr[1] < 0x80))) {
        r->is_short = true;
        return MLN_BYTES_NONE;
    }
    return mln_bytes_from(n, has_zero ? 1 : 0);
}

static struct mln_err check_rsa(struct mln_cx *cx, struct mln_reader *r, struct mln_ssh_key *key)
{
    struct mln_bytes e = ssh_read_mpint(r), n = ssh_read_mpint(r);
    if (r->is_short || e.len > EXPONENT_BYTES_MAX || (e.ptr[e.len - 1] & 1) == 0 ||
        (e.len == 1 && e.ptr[0] == 1)) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged RSA key");
    }
    size_t bits = n.len * 8;
    for (uint8_t top = n.ptr[0]; top < 0x80; top = (uint8_t)(top << 1)) {
        bits--;
    }
    if (bits < MLN_SSH_RSA_BITS_MIN || bits > MLN_SSH_RSA_BITS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: RSA keys have %d to %d bits", MLN_SSH_RSA_BITS_MIN,
                        MLN_SSH_RSA_BITS_MAX);
    }
    key->bits = (unsigned)bits;
    return MLN_OK;
}

static struct mln_err check_point(struct mln_cx *cx, struct mln_reader *r, const struct ssh_kind *kind)
{
    struct mln_bytes curve = ssh_read_string(r), point = ssh_read_string(r);
    size_t half = (kind->bits + 7) / 8;
    if (!mln_bytes_is(curve, kind->curve) || point.len != 1 + 2 * half || point.ptr[0] != 4) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged ECDSA key");
    }
    MLN_AUTO(ssh_pkey_drop) EVP_PKEY *on_curve = crypto_ec_key(kind->group, NULL, point);
    return on_curve != NULL ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "ssh: the point is not on its curve");
}

struct mln_err mln_ssh_blob_parse(struct mln_cx *cx, struct mln_bytes blob, struct mln_ssh_key *ret)
{
    struct mln_reader r = mln_reader_of(blob);
    struct mln_bytes name = ssh_read_string(&r);
    struct mln_ssh_key key = {.kind = MLN_SSH_KINDS, .blob = blob};
    for (size_t i = 0; i < MLN_SSH_KINDS; i++) {
        key.kind = mln_bytes_is(name, ssh_kinds[i].name) ? (enum mln_ssh_kind)i : key.kind;
    }
    if (key.kind == MLN_SSH_KINDS) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: unknown kind of key");
    }
    const struct ssh_kind *kind = &ssh_kinds[key.kind];
    key.bits = kind->bits;
    if (key.kind == MLN_SSH_RSA) {
        MLN_TRY(check_rsa(cx, &r, &key));
    } else if (kind->curve != NULL) {
        MLN_TRY(check_point(cx, &r, kind));
    } else if (ssh_read_string(&r).len != 32) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged Ed25519 key");
    }
    if (kind->has_application) {
        (void)ssh_read_string(&r);
    }
    if (r.is_short || mln_reader_left(&r) != 0) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: damaged key");
    }
    *ret = key;
    return MLN_OK;
}

struct mln_err mln_ssh_public_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_ssh_key *ret)
{
    struct mln_bytes rest, line = mln_bytes_trim(text);
    struct mln_ssh_key key;
    if (line.len > MLN_SSH_TEXT_MAX || mln_bytes_find(line, '\n') < line.len) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: a public key is one line");
    }
    struct mln_bytes name = mln_bytes_cut(line, ' ', &rest);
    struct mln_bytes body = mln_bytes_cut(mln_bytes_trim(rest), ' ', &rest);
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0};
    if (body.len == 0 || mln_failed(mln_base64_parse(NULL, body, MLN_B64_STD, &blob))) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: no key found");
    }
    MLN_TRY(mln_ssh_blob_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&blob)), &key));
    if (!mln_bytes_is(name, ssh_kinds[key.kind].name)) {
        return mln_fail(cx, MLN_E_INVALID, "ssh: the key is not of the kind that its line says");
    }
    *ret = key;
    return MLN_OK;
}

const char *mln_ssh_public_text(struct mln_cx *cx, struct mln_bytes blob)
{
    struct mln_reader r = mln_reader_of(blob);
    struct mln_bytes name = ssh_read_string(&r);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    mln_buf_add_bytes(&text, name);
    mln_buf_add_byte(&text, ' ');
    mln_base64_print(&text, blob, MLN_B64_STD);
    return mln_failed(mln_buf_ok(cx, &text)) ? "" : mln_text_dup(cx, mln_buf_bytes(&text));
}
