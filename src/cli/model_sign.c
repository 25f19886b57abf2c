/* SPDX-License-Identifier: Apache-2.0 */
/* merlon model sign: a model.sig (OpenSSF Model Signing) by a key file or by a key that stays in the server. */
#include "cli/model_priv.h"

#include <sys/stat.h>

#define KEY_MAX_BYTES (64u << 10)

static const struct mln_flag flags[] = {
    {"key", MLN_FLAG_TEXT, "FILE|transit:NAME", NULL, "Private key in PEM, or one of the server"},
    {"signature", MLN_FLAG_TEXT, "FILE", NULL, "Where it is written (default: model.sig inside)"},
    {"chain", MLN_FLAG_TEXT, "FILE", NULL, "Certificates, the signer's first (PEM)"},
    {"ignore", MLN_FLAG_LIST, "PATH", NULL, "Leave this path out (again for more)"},
    {"shard-size", MLN_FLAG_TEXT, "SIZE", NULL, "One digest per SIZE bytes, so all cores work"},
    {"hash", MLN_FLAG_TEXT, "sha256|blake2b", "sha256", "Digest of the files"},
    {"allow-symlinks", MLN_FLAG_BOOL, NULL, NULL, "Sign what links to files lead to"},
    {"keep-git", MLN_FLAG_BOOL, NULL, NULL, "Sign .git and its kin too"},
    {0},
};

/* Beside a file, inside a folder. */
static const char *default_signature(struct mln_cli *cli, const char *model)
{
    struct stat st;
    bool is_dir = stat(model, &st) == 0 && S_ISDIR(st.st_mode);
    return mln_text_format(cli->cx, is_dir ? "%s/" MLN_MODEL_SIGNATURE : "%s.sig", model);
}

static struct mln_err read_options(struct mln_cli *cli, const char *signature, struct mln_oms_options *ret)
{
    const char *shard = mln_cli_text(cli, "shard-size");
    const char *hash = mln_cli_text(cli, "hash");
    *ret = (struct mln_oms_options){
        .ignore = mln_cli_list(cli, "ignore"),
        .signature_path = signature,
        .allow_symlinks = mln_cli_bool(cli, "allow-symlinks"),
        .keep_git_paths = mln_cli_bool(cli, "keep-git"),
    };
    if (shard != NULL && (!mln_size_parse(mln_bytes_of(shard), &ret->shard_size) || ret->shard_size == 0)) {
        return mln_cli_usage(cli, "--shard-size wants a size such as 64MiB, not '%s'", shard);
    }
    if (!mln_digest_parse(mln_bytes_of(hash), &ret->digest)) {
        return mln_cli_usage(cli, "--hash is sha256 or blake2b, not '%s'", hash);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err write_bundle(struct mln_cli *cli, const char *path, struct mln_bytes payload,
                                   struct mln_oms_signer *signer)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf bundle = {0};
    const char *chain = mln_cli_text(cli, "chain");
    if (chain != NULL) {
        MLN_TRY(mln_cli_read_file(cli, chain, MLN_DSSE_BUNDLE_MAX, &signer->chain_pem));
    }
    MLN_TRY(mln_oms_bundle(cli->cx, payload, signer, &bundle));
    return mln_file_replace(cli->cx, path, mln_buf_bytes(&bundle), 0644, true);
}

static struct mln_err sign_by_file(struct mln_cli *cli, const char *path, const char *out, struct mln_bytes payload)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {.is_secret = true};
    struct mln_oms_signer signer = {0};
    MLN_TRY(mln_file_read_all(cli->cx, path, KEY_MAX_BYTES, &pem));
    MLN_TRY(mln_oms_signer_from_pem(cli->cx, mln_buf_bytes(&pem), &signer));
    struct mln_err err = write_bundle(cli, out, payload, &signer);
    mln_oms_signer_free(&signer);
    return err;
}

static struct mln_err sign_by_server(struct mln_cli *cli, const char *text, const char *out, struct mln_bytes payload)
{
    struct model_key key = {0};
    struct model_signer keep = {0};
    struct mln_oms_signer signer = {0};
    MLN_TRY(model_key_parse(cli, text, &key));
    MLN_TRY(model_signer_of(cli, &key, &keep, &signer));
    return write_bundle(cli, out, payload, &signer);
}

static void table(struct mln_cli *cli, const struct mln_value *v)
{
    mln_cli_out("%ssigned%s  %s  %lld files, %s, root %s\n", mln_cli_ink(cli, MLN_INK_GREEN),
                mln_cli_ink(cli, MLN_INK_NONE), mln_cli_scalar(cli, mln_get(v, "signature")),
                (long long)mln_get_int(mln_get(v, "files"), 0),
                mln_size_text(cli->cx, (uint64_t)mln_get_int(mln_get(v, "bytes"), 0)),
                mln_cli_scalar(cli, mln_get(v, "root")));
}

static struct mln_err run(struct mln_cli *cli)
{
    struct mln_cx *cx = cli->cx;
    const char *key = mln_cli_text(cli, "key");
    const char *out = mln_cli_text(cli, "signature");
    out = out != NULL ? out : default_signature(cli, cli->args[0]);
    if (key == NULL) {
        return mln_cli_usage(cli, "--key FILE or --key transit:NAME is needed");
    }
    struct mln_oms_options options = {0};
    struct mln_oms_manifest manifest = {0};
    struct mln_progress progress;
    MLN_AUTO(mln_buf_drop) struct mln_buf payload = {0};
    MLN_TRY(read_options(cli, out, &options));
    options.progress = model_progress(cli, "hashing", &progress);
    struct mln_err err = mln_oms_manifest(cx, cli->args[0], &options, &manifest);
    mln_progress_end(&progress);
    MLN_TRY(err);
    MLN_TRY(mln_oms_statement(cx, &manifest, &payload));
    MLN_TRY(model_key_is(key) ? sign_by_server(cli, key, out, mln_buf_bytes(&payload))
                              : sign_by_file(cli, key, out, mln_buf_bytes(&payload)));
    struct mln_value *answer = mln_object(cx);
    mln_put_text(cx, answer, "model", cli->args[0]);
    mln_put_text(cx, answer, "signature", out);
    mln_put_text(cx, answer, "root", mln_hex_text(cx, mln_bytes_at(manifest.root, sizeof(manifest.root))));
    mln_put_text(cx, answer, "hash", mln_digest_name(manifest.digest));
    mln_put_int(cx, answer, "files", (int64_t)manifest.n_files);
    mln_put_int(cx, answer, "bytes", (int64_t)manifest.bytes);
    return mln_cli_answer(cli, answer, table);
}

static const char *const examples[] = {
    "merlon model sign ./model --key signer.pem",
    "merlon model sign ./model --key transit:models",
    "merlon model sign ./m.onnx --key transit:ci/models --signature m.sig",
    NULL,
};
const struct mln_command mln_command_model_sign = {
    .noun = "model",
    .verb = "sign",
    .summary = "Sign the files of a model",
    .args = "DIR|FILE",
    .examples = examples,
    .flags = flags,
    .min_args = 1,
    .max_args = 1,
    .more = "The signature is a Sigstore bundle as OpenSSF Model Signing has it: ECDSA on P-256,\n"
            "P-384 or P-521. A key transit:MOUNT/NAME stays in the server, which signs.",
    .run = run,
};
