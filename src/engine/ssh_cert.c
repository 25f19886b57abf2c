/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH engine: certificates in OpenSSH's form (PROTOCOL.certkeys):
 *
 *   string type | string nonce | the key's own parts | u64 serial | u32 1 = user, 2 = host | string key id |
 *   string principals (strings) | u64 valid after | u64 valid before | string critical options | string extensions |
 *   string reserved | string authority's key | string signature of all before
 */
#include "engine/ssh_priv.h"

#include "base/clock.h"

#define NONCE_BYTES 32
#define CERT_USER   1
#define CERT_HOST   2

/* "ssh-ed25519" is "ssh-ed25519-cert-v01@openssh.com"; names that have the domain already keep it at their end. */
static void put_type(struct mln_buf *to, enum mln_ssh_kind kind, struct mln_cx *cx)
{
    struct mln_bytes name = mln_bytes_of(mln_ssh_kind_name(kind));
    struct mln_bytes head = mln_bytes_sub(name, 0, mln_bytes_find(name, '@'));
    mln_ssh_put_string(to, mln_bytes_format(cx, "%.*s-cert-v01@openssh.com", MLN_FMT(head)));
}

/* Pairs of name and data in the order of names, as OpenSSH demands; a text lies as a string inside its data, nothing as empty data. */
static void put_options(struct mln_cx *cx, struct mln_buf *to, const struct mln_value *options)
{
    struct mln_value *names = mln_set(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    for (size_t i = 0; i < mln_len(options); i++) {
        mln_push(cx, names, mln_string(cx, mln_member_at(options, i)->key));
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        struct mln_bytes text = mln_get_bytes(mln_get_key(options, name));
        MLN_AUTO(mln_buf_drop) struct mln_buf data = {0};
        if (text.len > 0) {
            mln_ssh_put_string(&data, text);
        }
        mln_ssh_put_string(&all, name);
        mln_ssh_put_string(&all, mln_buf_bytes(&data));
        all.has_failed = all.has_failed || data.has_failed;
    }
    mln_ssh_put_string(to, mln_buf_bytes(&all));
    to->has_failed = to->has_failed || all.has_failed;
}

static void put_principals(struct mln_buf *to, const struct mln_value *principals)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    for (size_t i = 0; i < mln_len(principals); i++) {
        mln_ssh_put_string(&all, mln_get_bytes(mln_item(principals, i)));
    }
    mln_ssh_put_string(to, mln_buf_bytes(&all));
    to->has_failed = to->has_failed || all.has_failed;
}

struct mln_err ssh_cert_sign(struct mln_cx *cx, const struct ssh_cert *cert, const struct ssh_ca *ca, const char *algorithm,
                             struct mln_buf *blob)
{
    uint8_t nonce[NONCE_BYTES];
    MLN_AUTO(mln_buf_drop) struct mln_buf sig = {0};
    size_t name_n = mln_bytes_of(mln_ssh_kind_name(cert->key->kind)).len;
    MLN_CHECK(blob->len == 0 && cert->key->blob.len > 4 + name_n);
    mln_random(nonce, sizeof(nonce));
    put_type(blob, cert->key->kind, cx);
    mln_ssh_put_string(blob, mln_bytes_at(nonce, sizeof(nonce)));
    mln_buf_add_bytes(blob, mln_bytes_from(cert->key->blob, 4 + name_n));
    mln_buf_add_u64be(blob, cert->serial);
    mln_buf_add_u32be(blob, cert->is_host ? CERT_HOST : CERT_USER);
    mln_ssh_put_string(blob, cert->key_id);
    put_principals(blob, cert->principals);
    mln_buf_add_u64be(blob, cert->after_s);
    mln_buf_add_u64be(blob, cert->before_s);
    put_options(cx, blob, cert->critical);
    put_options(cx, blob, cert->extensions);
    mln_ssh_put_string(blob, MLN_BYTES_NONE); /* reserved */
    mln_ssh_put_string(blob, ca->public.blob);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_buf_ok(cx, blob));
    MLN_TRY(mln_ssh_sign(cx, ca->private, algorithm, mln_buf_bytes(blob), &sig));
    mln_ssh_put_string(blob, mln_buf_bytes(&sig));
    return mln_buf_ok(cx, blob);
}
