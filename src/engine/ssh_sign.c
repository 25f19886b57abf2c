/* SPDX-License-Identifier: Apache-2.0 */
/* SSH engine: certifying keys that came, and keys that are made here. */
#include "engine/ssh_priv.h"

#include "base/clock.h"

#define RSA_ISSUE_BITS 2048

/* The role of the request, which must be for certificates. */
static struct mln_err role_of(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "role")), type;
    struct mln_err err = ssh_role_load(rq, name, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Unknown role: %.*s", MLN_FMT(name));
    }
    MLN_TRY(err);
    type = mln_get_bytes(mln_get(*ret, "key_type"));
    return mln_bytes_is(type, "ca") ? MLN_OK
                                    : mln_fail(rq->cx, MLN_E_INVALID, "role key type '%.*s' not allowed to issue key pairs",
                                               MLN_FMT(type));
}

/* NULL: the authority's own. What the role says is for RSA. */
static const char *signer_of(struct mln_request *rq, const struct mln_value *role, const struct ssh_ca *ca)
{
    const char *signer = mln_get_text(rq->cx, mln_get(role, "algorithm_signer"), "");
    bool is_default = signer[0] == 0 || mln_bytes_is(mln_bytes_of(signer), "default");
    return is_default || ca->public.kind != MLN_SSH_RSA ? NULL : signer;
}

static struct mln_err certify(struct mln_request *rq, struct mln_reply *re, const struct mln_value *role,
                              const struct mln_ssh_key *key, struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct ssh_ca ca;
    struct ssh_cert cert = {.key = key, .serial = mln_random_u64()};
    MLN_AUTO(mln_buf_drop) struct mln_buf blob = {0};
    MLN_TRY(ssh_rule_key(rq, role, key));
    MLN_TRY(ssh_rule_key_id(rq, role, &cert));
    MLN_TRY(ssh_rule_type(rq, role, &cert));
    MLN_TRY(ssh_rule_principals(rq, role, &cert));
    MLN_TRY(ssh_rule_time(rq, role, &cert));
    MLN_TRY(ssh_rule_options(rq, re, role, &cert));
    MLN_TRY(ssh_ca_load(rq, &ca));
    MLN_TRY(ssh_cert_sign(cx, &cert, &ca, signer_of(rq, role, &ca), &blob));
    const char *serial = mln_text_format(cx, "%llx", (unsigned long long)cert.serial);
    struct mln_value *data = mln_object(cx);
    mln_put_text(cx, data, "issuer_id", ca.id);
    mln_put_text(cx, data, "serial_number", serial);
    mln_put(cx, data, "signed_key", mln_textf(cx, "%s\n", mln_ssh_public_text(cx, mln_buf_bytes(&blob))));
    mln_put_text(cx, rq->detail, "serial_number", serial);
    mln_put_bytes(cx, rq->detail, "key_id", cert.key_id);
    mln_put_text(cx, rq->detail, "cert_type", cert.is_host ? "host" : "user");
    mln_put(cx, rq->detail, "valid_principals", cert.principals);
    mln_put_int(cx, rq->detail, "valid_before", (int64_t)cert.before_s);
    *ret = data;
    return mln_cx_err(cx);
}

struct mln_err ssh_sign_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *role = NULL;
    struct mln_ssh_key key;
    struct mln_value *data = NULL;
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "public_key"));
    MLN_TRY(role_of(rq, &role));
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing public_key");
    }
    if (mln_failed(mln_ssh_public_parse(rq->cx, text, &key))) {
        const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
        return mln_refail(rq->cx, MLN_E_INVALID, "failed to parse public_key as SSH key: %s", why);
    }
    MLN_TRY(certify(rq, re, role, &key, &data));
    re->data = data;
    return MLN_OK;
}

struct mln_err ssh_issue_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const types[MLN_SSH_KINDS] = {
        [MLN_SSH_RSA] = "rsa", [MLN_SSH_ED25519] = "ed25519", [MLN_SSH_P256] = "ec", [MLN_SSH_P384] = "ec", [MLN_SSH_P521] = "ec"};
    const struct mln_value *role = NULL;
    struct mln_ssh_key key;
    struct mln_value *data = NULL;
    enum mln_ssh_kind kind = MLN_SSH_RSA;
    unsigned bits = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true}, text = {.is_secret = true};
    MLN_TRY(role_of(rq, &role));
    MLN_TRY(ssh_key_spec(rq, RSA_ISSUE_BITS, &kind, &bits));
    MLN_TRY(mln_ssh_generate(rq->cx, kind, bits, &der));
    MLN_TRY(mln_ssh_public_of(rq->cx, mln_buf_bytes(&der), &key));
    MLN_TRY(certify(rq, re, role, &key, &data));
    MLN_TRY(mln_ssh_private_print(rq->cx, mln_buf_bytes(&der), &text));
    mln_put(rq->cx, data, "private_key", mln_secret_string(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&text))));
    mln_put_text(rq->cx, data, "private_key_type", types[kind]);
    mln_put(rq->cx, data, "public_key", mln_textf(rq->cx, "%s\n", mln_ssh_public_text(rq->cx, key.blob)));
    re->data = data;
    return mln_cx_err(rq->cx);
}
