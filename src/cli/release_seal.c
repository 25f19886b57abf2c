/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon release: sign with a key that stays in the server, verify what came out, encrypt for a
 * key of the server.
 */
#include "cli/model_priv.h"
#include "cli/release_priv.h"

/* ---- keys of the server ---- */

/* The newest public key in PEM; makes the key when there is none and the caller may. */
static struct mln_err signing_key(struct mln_cli *cli, const char *text, struct mln_bytes *ret)
{
    struct model_key key = {0};
    struct model_signer keep;
    struct mln_oms_signer signer = {0};
    MLN_TRY(model_key_parse(cli, mln_text_format(cli->cx, "transit:%s", text), &key));
    struct mln_err err = model_signer_of(cli, &key, &keep, &signer);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        struct mln_cli_reply reply = {0};
        struct mln_value *body = mln_object(cli->cx);
        mln_cx_clear(cli->cx);
        mln_put_text(cli->cx, body, "type", "ecdsa-p256");
        MLN_TRY(mln_cli_call(cli, "POST", model_key_path(cli, &key, "keys"), body, &reply));
        err = model_signer_of(cli, &key, &keep, &signer);
    }
    MLN_TRY(err);
    *ret = mln_bytes_dup(cli->cx, signer.public_pem);
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
            .to = {.transit_key = r->encrypt_key, .transit = {.wrap = model_wrap, .arg = r->cli}},
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
