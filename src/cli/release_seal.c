/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon release: sign with a key that stays in the server, verify what came out, encrypt for a
 * key of the server.
 */
#include "cli/release_priv.h"

/* ---- keys of the server ---- */

/* "MOUNT/NAME" as MOUNT/<kind>/NAME. */
static struct mln_err key_path(struct mln_cli *cli, const char *key, const char *kind,
                               const char **ret)
{
    struct mln_bytes whole = mln_bytes_of(key);
    size_t at = whole.len;
    while (at > 0 && whole.ptr[at - 1] != '/') {
        at--;
    }
    if (at < 2 || at == whole.len) {
        return mln_cli_usage(
            cli, "'%s' is no key of the server: MOUNT/NAME, such as " RELEASE_SIGN_KEY, key);
    }
    const char *mount = mln_text_dup(cli->cx, mln_bytes_sub(whole, 0, at - 1));
    const char *name = mln_text_dup(cli->cx, mln_bytes_from(whole, at));
    *ret = mln_text_format(cli->cx, "%s/%s/%s", mln_cli_escape(cli, mount), kind,
                           mln_cli_escape(cli, name));
    return mln_cx_err(cli->cx);
}

/* The newest public key in PEM; makes the key when there is none and the caller may. */
static struct mln_err signing_key(struct mln_cli *cli, const char *key, struct mln_bytes *ret)
{
    const char *path = NULL;
    struct mln_cli_reply reply = {0};
    MLN_TRY(key_path(cli, key, "keys", &path));
    struct mln_err err = mln_cli_call(cli, "GET", path, NULL, &reply);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(cli->cx);
        struct mln_value *body = mln_object(cli->cx);
        mln_put_text(cli->cx, body, "type", "ecdsa-p256");
        MLN_TRY(mln_cli_call(cli, "POST", path, body, &reply));
        err = mln_cli_call(cli, "GET", path, NULL, &reply);
    }
    MLN_TRY(err);
    const char *newest = mln_text_format(
        cli->cx, "%lld", (long long)mln_get_int(mln_get(reply.data, "latest_version"), 0));
    const struct mln_value *pem =
        mln_get(mln_get(mln_get(reply.data, "keys"), newest), "public_key");
    if (!mln_is_text(mln_get(reply.data, "type"), "ecdsa-p256") || mln_type_of(pem) != MLN_STRING) {
        return mln_fail(cli->cx, MLN_E_INVALID, "%s is no ecdsa-p256 key", key);
    }
    *ret = mln_bytes_dup(cli->cx, mln_get_bytes(pem));
    return mln_cx_err(cli->cx);
}

/* ---- sign ---- */

struct signing {
    struct release *r;
    struct release_row *row;
    const struct mln_value *made; /* what the server answered */
};

static struct mln_err sign_digest(void *arg, struct mln_cx *cx, struct mln_bytes digest,
                                  struct mln_buf *sig)
{
    struct signing *s = arg;
    struct mln_value *body = mln_object(cx);
    mln_put_text(cx, body, "key", s->r->sign_key);
    mln_put_text(cx, body, "root", s->r->root);
    mln_put_text(cx, body, "digest", mln_base64_text(cx, digest, MLN_B64_STD));
    MLN_TRY(release_post(s->r, "sign", body, s->row, &s->made));
    return mln_base64_parse(cx, mln_get_bytes(mln_get(s->made, "signature")), MLN_B64_STD, sig);
}

static struct mln_bytes public_of(const struct release *r)
{
    return mln_get_bytes(mln_get(mln_get(r->record, "signature"), "public_key"));
}

static struct mln_err read_bundle(struct release *r, const char *path, struct mln_bytes *ret)
{
    return mln_cli_read_file(r->cli, path, MLN_DSSE_BUNDLE_MAX, ret);
}

/* Is the bundle that lies there the one this release signed, with the key that is asked for? */
static bool is_signed(struct release *r)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_bytes bundle;
    const struct mln_value *signer = NULL;
    uint8_t root[32] = {0};
    struct mln_oms_trust trust = {.public_pem = public_of(r)};
    bool is_same_key = mln_is_text(mln_get(mln_get(r->record, "signature"), "key"), r->sign_key);
    bool is_ok = trust.public_pem.len > 0 && (is_same_key || release_is_done(r)) &&
                 !mln_failed(read_bundle(r, r->sig_path, &bundle)) &&
                 !mln_failed(mln_oms_verify_signature(cx, bundle, &trust, false, root, &signer)) &&
                 mln_same(root, r->manifest.root, sizeof root);
    mln_cx_clear(cx);
    return is_ok;
}

struct mln_err release_do_sign(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    if (!r->gate.wants_signature) {
        row->verdict = "not asked";
        return MLN_OK;
    }
    if (is_signed(r)) {
        release_keep(r, row);
    } else {
        struct signing s = {.r = r, .row = row};
        struct mln_oms_signer signer = {.sign = sign_digest, .arg = &s};
        MLN_AUTO(mln_buf_drop) struct mln_buf payload = {0};
        MLN_AUTO(mln_buf_drop) struct mln_buf bundle = {0};
        MLN_TRY(signing_key(r->cli, r->sign_key, &signer.public_pem));
        MLN_TRY(mln_oms_statement(cx, &r->manifest, &payload));
        MLN_TRY(mln_oms_bundle(cx, mln_buf_bytes(&payload), &signer, &bundle));
        MLN_TRY(mln_file_replace(cx, r->sig_path, mln_buf_bytes(&bundle), 0644, true));
        struct mln_value *record = mln_value_dup(cx, r->record);
        struct mln_value *evidence = mln_value_dup(cx, mln_get(record, "evidence"));
        mln_remove(evidence, MLN_BYTES("verify"));
        mln_put(cx, record, "evidence", evidence);
        mln_put(cx, record, "signature", s.made);
        r->record = record;
    }
    const struct mln_value *signature = mln_get(r->record, "signature");
    row->verdict = "signed";
    row->detail = mln_text_format(
        cx, "%s v%lld, in %s", mln_get_text(cx, mln_get(signature, "key"), ""),
        (long long)mln_get_int(mln_get(signature, "version"), 0), MLN_MODEL_SIGNATURE);
    return mln_cx_err(cx);
}

/* ---- verify ---- */

struct mln_err release_do_verify(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_bytes bundle;
    const struct mln_value *report = NULL;
    struct mln_value *result = mln_object(cx);
    if (!r->gate.wants_signature) {
        row->verdict = "not asked";
        return MLN_OK;
    }
    struct mln_oms_trust trust = {.public_pem = public_of(r)};
    struct mln_oms_options options = {.signature_path = r->sig_path,
                                      .progress = release_progress(r, "verifying")};
    MLN_TRY(read_bundle(r, r->sig_path, &bundle));
    struct mln_err err = mln_oms_verify(cx, r->dir, bundle, &trust, &options, &report);
    mln_progress_end(&r->progress);
    if (mln_failed(err) && !mln_is(err, MLN_E_FORGED)) {
        return err;
    }
    bool is_ok = !mln_failed(err);
    row->verdict = is_ok ? "ok" : "refused";
    row->detail = is_ok ? mln_text_format(cx, "%lld files are what was signed",
                                          (long long)mln_get_int(mln_get(report, "files"), 0))
                        : mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    r->is_bad = r->is_bad || !is_ok;
    mln_put_text(cx, result, "verdict", row->verdict);
    mln_put(cx, result, "root",
            mln_get(report, "root") != NULL ? mln_get(report, "root") : mln_null(cx));
    mln_put_text(cx, result, is_ok ? "summary" : "error", row->detail);
    mln_put(cx, result, "signer",
            mln_get(report, "signer") != NULL ? mln_get(report, "signer") : mln_null(cx));
    return release_show(r, "verify", result, row);
}

/* ---- encrypt ---- */

static struct mln_err wrap_key(void *arg, struct mln_cx *cx, const char *key,
                               const uint8_t file_key[MLN_AGE_KEY], struct mln_buf *wrapped,
                               uint32_t *ret_version)
{
    struct mln_cli *cli = arg;
    const char *path = NULL;
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mln_object(cx);
    MLN_TRY(key_path(cli, key, "encrypt", &path));
    struct mln_bytes text =
        mln_bytes_of(mln_base64_text(cx, mln_bytes_at(file_key, MLN_AGE_KEY), MLN_B64_STD));
    mln_put(cx, body, "plaintext", mln_secret_string(cx, text));
    MLN_TRY(mln_cli_call(cli, "POST", path, body, &reply));
    int64_t version = mln_get_int(mln_get(reply.data, "key_version"), 0);
    struct mln_bytes ciphertext = mln_get_bytes(mln_get(reply.data, "ciphertext"));
    if (version < 1 || version > UINT32_MAX || ciphertext.len == 0) {
        return mln_fail(cx, MLN_E_REMOTE, "the server's answer has no wrapped key");
    }
    mln_buf_add_bytes(wrapped, ciphertext);
    *ret_version = (uint32_t)version;
    return mln_buf_ok(cx, wrapped);
}

/* Is this an age file for the key of this release? */
static bool is_for_key(struct release *r, const char *path)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_age_header header;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    uint64_t size = 0;
    if (mln_failed(mln_file_open(cx, path, 0, 0, &fd)) ||
        mln_failed(mln_file_size(cx, fd, &size))) {
        return false;
    }
    size_t n = size < 4096 ? (size_t)size : 4096;
    uint8_t *bytes = mln_new(cx, n);
    if (bytes == NULL || mln_failed(mln_fd_pread(cx, fd, bytes, n, 0)) ||
        mln_failed(mln_age_header_parse(cx, mln_bytes_at(bytes, n), &header))) {
        return false;
    }
    for (size_t i = 0; i < header.n_stanzas; i++) {
        const struct mln_age_stanza *s = &header.stanzas[i];
        if (s->n_args == 3 && mln_bytes_is(s->args[0], MLN_AGE_TRANSIT) &&
            mln_bytes_is(s->args[1], r->encrypt_key)) {
            return true;
        }
    }
    return false;
}

/*
 * The encrypted folder of an earlier run: the same signature, every file there, for the same key.
 */
static bool is_encrypted(struct release *r)
{
    struct mln_cx *cx = r->cli->cx;
    struct mln_bytes here = {0}, there = {0};
    bool is_ok = true;
    if (r->gate.wants_signature) {
        is_ok = !mln_failed(read_bundle(r, r->sig_path, &here)) &&
                !mln_failed(read_bundle(r, mln_text_format(cx, "%s/" MLN_MODEL_SIGNATURE, r->out),
                                        &there)) &&
                mln_bytes_eq(here, there);
    }
    for (size_t i = 0; is_ok && i < r->manifest.n_entries; i++) {
        is_ok = is_for_key(
            r, mln_text_format(cx, "%s/%.*s.age", r->out, MLN_FMT(r->manifest.entries[i].name)));
    }
    mln_cx_clear(cx);
    return is_ok;
}

struct mln_err release_do_encrypt(struct release *r, struct release_row *row)
{
    struct mln_cx *cx = r->cli->cx;
    if (mln_cli_bool(r->cli, "no-encrypt")) {
        row->verdict = "not asked";
        r->out = NULL;
        return MLN_OK;
    }
    if (!is_encrypted(r)) {
        struct mln_model_encrypt how = {
            .to = {.transit_key = r->encrypt_key, .transit = {.wrap = wrap_key, .arg = r->cli}},
            .durable = true,
            .progress = release_progress(r, "encrypting"),
        };
        const struct mln_value *done = NULL;
        struct mln_err err = mln_model_encrypt(cx, r->dir, r->out, &how, &done);
        mln_progress_end(&r->progress);
        if (mln_is(err, MLN_E_EXISTS)) {
            r->cli->hint = "it is of another signature or key: move it away, or name another "
                           "folder with --out";
        }
        MLN_TRY(err);
    }
    struct mln_value *result = mln_object(cx);
    row->verdict = "encrypted";
    row->detail =
        mln_text_format(cx, "%zu files for %s, in %s", r->manifest.n_files, r->encrypt_key, r->out);
    mln_put_text(cx, result, "verdict", row->verdict);
    mln_put_text(cx, result, "key", r->encrypt_key);
    mln_put_int(cx, result, "files", (int64_t)r->manifest.n_files);
    mln_put_text(cx, result, "summary",
                 mln_text_format(cx, "%zu files for %s", r->manifest.n_files, r->encrypt_key));
    if (release_is_done(r)) {
        release_keep(r, row);
        return MLN_OK;
    }
    return release_show(r, "encrypt", result, row);
}
