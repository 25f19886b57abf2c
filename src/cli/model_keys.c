/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for `merlon model`: those that stay in the server, and those that a person trusts. */
#include "cli/model_priv.h"

#include <sys/stat.h>

#include "crypto/crypto.h"

#define PEM_MAX_BYTES (1u << 20)
#define PREFIX        "transit:"

/* ---- names ---- */

bool model_key_is(const char *text)
{
    return mln_bytes_starts(mln_bytes_of(text), MLN_BYTES(PREFIX));
}

/* "KEY" or "MOUNT/KEY" */
static struct mln_err split_key(struct mln_cli *cli, struct mln_bytes whole, struct model_key *ret)
{
    size_t at = whole.len;
    while (at > 0 && whole.ptr[at - 1] != '/') {
        at--;
    }
    struct mln_bytes mount = at > 0 ? mln_bytes_sub(whole, 0, at - 1) : MLN_BYTES("transit");
    if (at == whole.len || mount.len == 0 || mount.ptr[0] == '/') {
        return mln_cli_usage(cli, "'%.*s' is no key of the server: transit:KEY or transit:MOUNT/KEY", MLN_FMT(whole));
    }
    *ret = (struct model_key){
        .mount = mln_text_dup(cli->cx, mount),
        .name = mln_text_dup(cli->cx, mln_bytes_from(whole, at)),
    };
    return mln_cx_err(cli->cx);
}

struct mln_err model_key_parse(struct mln_cli *cli, const char *text, struct model_key *ret)
{
    MLN_CHECK(model_key_is(text));
    return split_key(cli, mln_bytes_from(mln_bytes_of(text), sizeof(PREFIX) - 1), ret);
}

const char *model_key_path(struct mln_cli *cli, const struct model_key *key, const char *kind)
{
    return mln_text_format(cli->cx, "%s/%s/%s", mln_cli_escape(cli, key->mount), kind, mln_cli_escape(cli, key->name));
}

/* ---- signing ---- */

/* What stands behind "vault:v3:". */
static struct mln_bytes unversioned(struct mln_bytes text)
{
    struct mln_bytes rest = MLN_BYTES_NONE;
    (void)mln_bytes_cut(text, ':', &rest);
    (void)mln_bytes_cut(rest, ':', &rest);
    return rest;
}

static struct mln_err sign_digest(void *arg, struct mln_cx *cx, struct mln_bytes digest, struct mln_buf *sig)
{
    struct model_signer *s = arg;
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cx);
    mln_put_text(cx, body, "input", mln_base64_text(cx, digest, MLN_B64_STD));
    mln_put_bool(cx, body, "prehashed", true);
    mln_put_text(cx, body, "hash_algorithm", "sha2-256");
    mln_put_text(cx, body, "marshaling_algorithm", "asn1");
    mln_put_int(cx, body, "key_version", s->version);
    MLN_TRY(mln_cli_call(s->cli, "POST", model_key_path(s->cli, &s->key, "sign"), body, &reply));
    struct mln_bytes text = unversioned(mln_get_bytes(mln_get(reply.data, "signature")));
    return mln_base64_parse(cx, text, MLN_B64_STD, sig);
}

struct mln_err model_signer_of(struct mln_cli *cli, const struct model_key *key, struct model_signer *keep,
                               struct mln_oms_signer *ret)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mln_cli_call(cli, "GET", model_key_path(cli, key, "keys"), NULL, &reply));
    int64_t newest = mln_get_int(mln_get(reply.data, "latest_version"), 0);
    const char *name = mln_text_format(cli->cx, "%lld", (long long)newest);
    const struct mln_value *pem = mln_get(mln_get(mln_get(reply.data, "keys"), name), "public_key");
    if (!mln_is_text(mln_get(reply.data, "type"), "ecdsa-p256") || mln_type_of(pem) != MLN_STRING) {
        cli->hint = mln_text_format(cli->cx, "make one with 'merlon transit create NAME --type ecdsa-p256'");
        return mln_fail(cli->cx, MLN_E_INVALID, "%s/%s is no ecdsa-p256 key", key->mount, key->name);
    }
    *keep = (struct model_signer){.cli = cli, .key = *key, .version = newest};
    *ret = (struct mln_oms_signer){.sign = sign_digest, .arg = keep, .public_pem = mln_get_bytes(pem)};
    return MLN_OK;
}

/* ---- file keys ---- */

struct mln_err model_wrap(void *arg, struct mln_cx *cx, const char *key, const uint8_t file_key[MLN_AGE_KEY],
                          struct mln_buf *wrapped, uint32_t *ret_version)
{
    struct mln_cli *cli = arg;
    struct model_key at = {0};
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cx);
    MLN_TRY(split_key(cli, mln_bytes_of(key), &at));
    const char *text = mln_base64_text(cx, mln_bytes_at(file_key, MLN_AGE_KEY), MLN_B64_STD);
    mln_put(cx, body, "plaintext", mln_secret_string(cx, mln_bytes_of(text)));
    MLN_TRY(mln_cli_call(cli, "POST", model_key_path(cli, &at, "encrypt"), body, &reply));
    int64_t version = mln_get_int(mln_get(reply.data, "key_version"), 0);
    struct mln_bytes box = mln_get_bytes(mln_get(reply.data, "ciphertext"));
    if (version < 1 || version > UINT32_MAX || box.len == 0) {
        return mln_fail(cx, MLN_E_REMOTE, "the server's answer has no wrapped key");
    }
    mln_buf_add_bytes(wrapped, box);
    *ret_version = (uint32_t)version;
    return mln_buf_ok(cx, wrapped);
}

struct mln_err model_unwrap(void *arg, struct mln_cx *cx, const char *key, uint32_t version, struct mln_bytes wrapped,
                            uint8_t file_key[MLN_AGE_KEY])
{
    struct mln_cli *cli = arg;
    struct model_key at = {0};
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    const char *claimed = mln_text_format(cx, "vault:v%u:", (unsigned)version);
    if (!mln_bytes_starts(wrapped, mln_bytes_of(claimed))) {
        return mln_fail(cx, MLN_E_FORGED, "the stanza's version is not that of its wrapped key");
    }
    MLN_TRY(split_key(cli, mln_bytes_of(key), &at));
    mln_put_bytes(cx, body, "ciphertext", wrapped);
    MLN_TRY(mln_cli_call(cli, "POST", model_key_path(cli, &at, "decrypt"), body, &reply));
    MLN_TRY(mln_base64_parse(cx, mln_get_bytes(mln_get(reply.data, "plaintext")), MLN_B64_STD, &plain));
    if (plain.len != MLN_AGE_KEY) {
        return mln_fail(cx, MLN_E_REMOTE, "the server's answer is no file key");
    }
    mln_copy(file_key, plain.ptr, MLN_AGE_KEY);
    return MLN_OK;
}

/* ---- trust ---- */

struct mln_err model_trust(struct mln_cli *cli, struct mln_oms_trust *ret, bool *ret_is_given)
{
    const char *key = mln_cli_text(cli, "key");
    const char *roots = mln_cli_text(cli, "roots");
    *ret = (struct mln_oms_trust){
        .identity = mln_cli_text(cli, "identity-of"),
        .valid_now = mln_cli_bool(cli, "valid-now"),
    };
    *ret_is_given = key != NULL || roots != NULL;
    if (key != NULL && roots != NULL) {
        return mln_cli_usage(cli, "either --key or --roots, not both");
    }
    if (key != NULL && model_key_is(key)) {
        struct model_key at = {0};
        struct model_signer unused;
        struct mln_oms_signer signer = {0};
        MLN_TRY(model_key_parse(cli, key, &at));
        MLN_TRY(model_signer_of(cli, &at, &unused, &signer));
        ret->public_pem = signer.public_pem;
        return MLN_OK;
    }
    if (key != NULL) {
        return mln_cli_read_file(cli, key, PEM_MAX_BYTES, &ret->public_pem);
    }
    return roots != NULL ? mln_cli_read_file(cli, roots, PEM_MAX_BYTES, &ret->roots_pem) : MLN_OK;
}

/* The root digest that a bundle claims; nothing is verified yet. */
static struct mln_err claimed_root(struct mln_cx *cx, struct mln_bytes bundle, struct mln_bytes *ret)
{
    struct mln_dsse dsse;
    const struct mln_value *statement = NULL;
    MLN_TRY(mln_dsse_parse(cx, bundle, &dsse));
    MLN_TRY(mln_json_parse(cx, dsse.payload, &statement));
    const struct mln_value *subject = mln_item(mln_get(statement, "subject"), 0);
    *ret = mln_get_bytes(mln_get(mln_get(subject, "digest"), "sha256"));
    for (size_t i = 0; i < ret->len; i++) {
        uint8_t c = ret->ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) {
            ret->len = 0;
        }
    }
    return ret->len == 64 ? MLN_OK : mln_fail(cx, MLN_E_FORGED, "bundle: it names no root digest");
}

struct mln_err model_trust_of_server(void *arg, struct mln_cx *cx, struct mln_bytes bundle, struct mln_oms_trust *ret)
{
    struct mln_cli *cli = arg;
    struct mln_bytes root = MLN_BYTES_NONE;
    struct mln_cli_reply reply = {0};
    MLN_TRY(claimed_root(cx, bundle, &root));
    struct mln_err err = mln_cli_call(cli, "GET", mln_text_format(cx, "release/root/%.*s", MLN_FMT(root)), NULL, &reply);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        cli->hint = "name whom to trust with --key or --roots";
        return mln_refail(cx, MLN_E_FORGED, "the server has no release of this model");
    }
    MLN_TRY(err);
    struct mln_bytes pem = mln_get_bytes(mln_get(reply.data, "public_key"));
    if (pem.len == 0) {
        cli->hint = "name whom to trust with --key or --roots";
        return mln_fail(cx, MLN_E_FORGED, "the server's record of this model names no signer");
    }
    *ret = (struct mln_oms_trust){.public_pem = pem};
    return MLN_OK;
}

struct mln_oms_options model_verify_options(struct mln_cli *cli)
{
    return (struct mln_oms_options){
        .ignore_unsigned = mln_cli_bool(cli, "ignore-unsigned"),
        .allow_uncovered = mln_cli_bool(cli, "allow-uncovered"),
        .legacy = mln_cli_bool(cli, "legacy"),
    };
}

/* ---- progress ---- */

static void step(void *arg, uint64_t done, uint64_t all)
{
    mln_progress_step(arg, done, all, "bytes");
}

struct mln_work_progress model_progress(struct mln_cli *cli, const char *what, struct mln_progress *keep)
{
    mln_progress_begin(keep, cli, what);
    return (struct mln_work_progress){.step = step, .arg = keep};
}

const char *model_signature_path(struct mln_cli *cli, const char *model)
{
    const char *given = mln_cli_text(cli, "signature");
    struct stat st;
    if (given != NULL) {
        return given;
    }
    bool is_dir = stat(model, &st) == 0 && S_ISDIR(st.st_mode);
    return mln_text_format(cli->cx, is_dir ? "%s/" MLN_MODEL_SIGNATURE : "%s.sig", model);
}
