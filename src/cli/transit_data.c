/* SPDX-License-Identifier: Apache-2.0 */
/* merlon transit encrypt, decrypt, rewrap, sign, verify: data from stdin or a file, never as an argument. */
#include "cli/transit_priv.h"

#include <stdio.h>
#include <unistd.h>

#define INPUT_MAX_BYTES (16u << 20) /* its base64 fits into a request */
#define DATA_ARG        "[-|@FILE]"

static const struct mln_flag encrypt_flags[] = {
    TRANSIT_MOUNT_FLAG,
    {"aad", MLN_FLAG_TEXT, "TEXT", NULL, "Bound to the data, not stored; the same to decrypt"},
    {"key-version", MLN_FLAG_INT, "N", NULL, "Version of the key (default: the newest)"},
    {0},
};
static const struct mln_flag decrypt_flags[] = {
    TRANSIT_MOUNT_FLAG,
    {"aad", MLN_FLAG_TEXT, "TEXT", NULL, "As it was given to encrypt"},
    {"output", MLN_FLAG_TEXT, "FILE", NULL, "Write the plain data there; - is stdout, always"},
    {0},
};
static const struct mln_flag rewrap_flags[] = {
    TRANSIT_MOUNT_FLAG,
    {"aad", MLN_FLAG_TEXT, "TEXT", NULL, "As it was given to encrypt"},
    {0},
};
static const struct mln_flag sign_flags[] = {
    TRANSIT_MOUNT_FLAG,
    {"prehashed", MLN_FLAG_BOOL, NULL, NULL, "The data is a SHA-256 digest already"},
    {"marshaling", MLN_FLAG_TEXT, "asn1|jws", "asn1", "Form of an ECDSA signature"},
    {"key-version", MLN_FLAG_INT, "N", NULL, "Version of the key (default: the newest)"},
    {0},
};
static const struct mln_flag verify_flags[] = {
    TRANSIT_MOUNT_FLAG,
    {"signature", MLN_FLAG_TEXT, "TEXT|@FILE", NULL, "As sign printed it"},
    {"prehashed", MLN_FLAG_BOOL, NULL, NULL, "The data is a SHA-256 digest already"},
    {"marshaling", MLN_FLAG_TEXT, "asn1|jws", "asn1", "Form of an ECDSA signature"},
    {0},
};

/* ---- input ---- */

/* The data of args[1], byte for byte: stdin by default, asked for when stdin is a terminal. */
static struct mln_err read_data(struct mln_cli *cli, struct mln_bytes *ret)
{
    const char *from = cli->n_args > 1 ? cli->args[1] : NULL;
    if (from == NULL && isatty(STDIN_FILENO) == 1) {
        return mln_cli_secret(cli, NULL, "Data", false, ret);
    }
    if (from == NULL || mln_bytes_is(mln_bytes_of(from), "-")) {
        return mln_cli_read_file(cli, "-", INPUT_MAX_BYTES, ret);
    }
    if (from[0] != '@') {
        cli->hint = "use '-' for stdin or '@FILE'";
        return mln_fail(cli->cx, MLN_E_USAGE,
                        "data is never given as an argument: others can read it there");
    }
    return mln_cli_read_file(cli, from + 1, INPUT_MAX_BYTES, ret);
}

/* Text that is no secret: itself, "-" or "@FILE", trimmed. */
static struct mln_err read_text(struct mln_cli *cli, const char *from, struct mln_bytes *ret)
{
    struct mln_bytes text = mln_bytes_of(from);
    if (mln_bytes_is(text, "-") || (text.len > 1 && text.ptr[0] == '@')) {
        MLN_TRY(
            mln_cli_read_file(cli, from[0] == '@' ? from + 1 : "-", 2 * INPUT_MAX_BYTES, &text));
    }
    *ret = mln_bytes_trim(text);
    return ret->len > 0 ? MLN_OK : mln_cli_usage(cli, "the text to read is empty");
}

static void put_base64(struct mln_cli *cli, struct mln_value *body, const char *key,
                       struct mln_bytes data)
{
    const char *text = mln_base64_text(cli->cx, data, MLN_B64_STD);
    mln_put(cli->cx, body, key, mln_secret_string(cli->cx, mln_bytes_of(text)));
}

/* --aad and --key-version, where the command has them. */
static struct mln_err put_common(struct mln_cli *cli, struct mln_value *body)
{
    const char *aad = mln_cli_text(cli, "aad");
    int64_t version = 0;
    MLN_TRY(mln_cli_int(cli, "key-version", 0, &version));
    if (version < 0) {
        return mln_cli_usage(cli, "--key-version wants a whole number from 1 on");
    }
    if (aad != NULL) {
        mln_put_text(cli->cx, body, "associated_data",
                     mln_base64_text(cli->cx, mln_bytes_of(aad), MLN_B64_STD));
    }
    if (version > 0) {
        mln_put_int(cli->cx, body, "key_version", version);
    }
    return mln_cx_err(cli->cx);
}

/* ---- output ---- */

static void print_member(struct mln_cli *cli, const struct mln_value *data, const char *key)
{
    mln_cli_out("%s\n", mln_cli_scalar(cli, mln_get(data, key)));
}

static void ciphertext_table(struct mln_cli *cli, const struct mln_value *data)
{
    print_member(cli, data, "ciphertext");
}

static void signature_table(struct mln_cli *cli, const struct mln_value *data)
{
    print_member(cli, data, "signature");
}

static bool is_printable(struct mln_bytes data)
{
    for (size_t i = 0; i < data.len; i++) {
        uint8_t c = data.ptr[i];
        if ((c < 32 && c != '\n' && c != '\t' && c != '\r') || c == 127) {
            return false;
        }
    }
    return mln_utf8_valid(data);
}

/* Plain data to a file or stdout; what is not text never goes to a terminal unasked. */
static struct mln_err write_plain(struct mln_cli *cli, struct mln_bytes plain)
{
    const char *out = mln_cli_text(cli, "output");
    bool is_stdout = out != NULL && mln_bytes_is(mln_bytes_of(out), "-");
    if (out != NULL && !is_stdout) {
        return mln_file_replace(cli->cx, out, plain, 0600, false);
    }
    if (cli->is_tty_out && !is_stdout && !is_printable(plain)) {
        cli->hint = "write it to a file with -o FILE, or here all the same with -o -";
        return mln_fail(cli->cx, MLN_E_USAGE, "the data is not text: it does not go to a terminal");
    }
    fwrite(plain.ptr, 1, plain.len, stdout);
    if (cli->is_tty_out && plain.len > 0 && plain.ptr[plain.len - 1] != '\n') {
        fputc('\n', stdout);
    }
    return MLN_OK;
}

/* ---- commands ---- */

static struct mln_err run_encrypt(struct mln_cli *cli)
{
    struct mln_bytes data = MLN_BYTES_NONE;
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    MLN_TRY(put_common(cli, body));
    MLN_TRY(read_data(cli, &data));
    put_base64(cli, body, "plaintext", data);
    MLN_TRY(mln_cli_call(cli, "POST", transit_path(cli, "encrypt", cli->args[0]), body, &reply));
    return mln_cli_answer(cli, reply.data, ciphertext_table);
}

static struct mln_err run_decrypt(struct mln_cli *cli)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    MLN_TRY(read_text(cli, cli->n_args > 1 ? cli->args[1] : "-", &text));
    MLN_TRY(put_common(cli, body));
    mln_put_bytes(cli->cx, body, "ciphertext", text);
    MLN_TRY(mln_cli_call(cli, "POST", transit_path(cli, "decrypt", cli->args[0]), body, &reply));
    if (cli->format != MLN_FORMAT_TABLE || cli->field != NULL) {
        return mln_cli_answer(cli, reply.data, NULL);
    }
    MLN_TRY(mln_base64_parse(cli->cx, mln_get_bytes(mln_get(reply.data, "plaintext")), MLN_B64_STD,
                             &plain));
    return write_plain(cli, mln_buf_bytes(&plain));
}

static struct mln_err run_rewrap(struct mln_cli *cli)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    MLN_TRY(read_text(cli, cli->n_args > 1 ? cli->args[1] : "-", &text));
    MLN_TRY(put_common(cli, body));
    mln_put_bytes(cli->cx, body, "ciphertext", text);
    MLN_TRY(mln_cli_call(cli, "POST", transit_path(cli, "rewrap", cli->args[0]), body, &reply));
    return mln_cli_answer(cli, reply.data, ciphertext_table);
}

static struct mln_err put_signing(struct mln_cli *cli, struct mln_value *body)
{
    struct mln_bytes data = MLN_BYTES_NONE;
    const char *form = mln_cli_text(cli, "marshaling");
    if (!mln_bytes_is(mln_bytes_of(form), "asn1") && !mln_bytes_is(mln_bytes_of(form), "jws")) {
        return mln_cli_usage(cli, "--marshaling is asn1 or jws, not '%s'", form);
    }
    MLN_TRY(put_common(cli, body));
    MLN_TRY(read_data(cli, &data));
    put_base64(cli, body, "input", data);
    mln_put_text(cli->cx, body, "marshaling_algorithm", form);
    if (mln_cli_bool(cli, "prehashed")) {
        mln_put_bool(cli->cx, body, "prehashed", true);
    }
    return mln_cx_err(cli->cx);
}

static struct mln_err run_sign(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    MLN_TRY(put_signing(cli, body));
    MLN_TRY(mln_cli_call(cli, "POST", transit_path(cli, "sign", cli->args[0]), body, &reply));
    return mln_cli_answer(cli, reply.data, signature_table);
}

static void verify_table(struct mln_cli *cli, const struct mln_value *data)
{
    bool is_valid = mln_get_bool(mln_get(data, "valid"), false);
    mln_cli_out("%s%s%s\n", mln_cli_ink(cli, is_valid ? MLN_INK_GREEN : MLN_INK_RED),
                is_valid ? "valid" : "not valid", mln_cli_ink(cli, MLN_INK_NONE));
}

static struct mln_err run_verify(struct mln_cli *cli)
{
    struct mln_value *body = mln_object(cli->cx);
    struct mln_cli_reply reply = {0};
    struct mln_bytes signature = MLN_BYTES_NONE;
    const char *from = mln_cli_text(cli, "signature");
    if (from == NULL || mln_bytes_is(mln_bytes_of(from), "-")) {
        return mln_cli_usage(cli, "--signature TEXT or @FILE is needed");
    }
    MLN_TRY(read_text(cli, from, &signature));
    MLN_TRY(put_signing(cli, body));
    mln_put_bytes(cli->cx, body, "signature", signature);
    MLN_TRY(mln_cli_call(cli, "POST", transit_path(cli, "verify", cli->args[0]), body, &reply));
    MLN_TRY(mln_cli_answer(cli, reply.data, verify_table));
    cli->exit_code =
        mln_get_bool(mln_get(reply.data, "valid"), false) ? 0 : mln_err_exit(MLN_E_FORGED);
    return MLN_OK;
}

/* ---- descriptors ---- */

static const char *const encrypt_examples[] = {
    "merlon transit encrypt training-data @rows.csv > rows.enc",
    "pg_dump ml | merlon transit encrypt training-data > ml.enc",
    "merlon transit encrypt training-data --aad run-17 @rows.csv", NULL};
const struct mln_command mln_command_transit_encrypt = {
    .noun = "transit",
    .verb = "encrypt",
    .summary = "Encrypt data from stdin or a file, up to 16 MiB",
    .args = "KEY " DATA_ARG,
    .examples = encrypt_examples,
    .flags = encrypt_flags,
    .min_args = 1,
    .max_args = 2,
    .more = "For larger data use 'merlon model encrypt --to transit:KEY', which wraps a file key.",
    .run = run_encrypt,
};
static const char *const decrypt_examples[] = {
    "merlon transit decrypt training-data @rows.enc > rows.csv",
    "merlon transit decrypt training-data vault:v1:8SDd3WHDOjf7...",
    "merlon transit decrypt training-data @rows.enc -o rows.csv", NULL};
const struct mln_command mln_command_transit_decrypt = {
    .noun = "transit",
    .verb = "decrypt",
    .summary = "Decrypt what encrypt printed",
    .args = "KEY [CIPHERTEXT|-|@FILE]",
    .examples = decrypt_examples,
    .flags = decrypt_flags,
    .min_args = 1,
    .max_args = 2,
    .run = run_decrypt,
};
static const char *const rewrap_examples[] = {
    "merlon transit rewrap training-data @rows.enc > rows.new", NULL};
const struct mln_command mln_command_transit_rewrap = {
    .noun = "transit",
    .verb = "rewrap",
    .summary = "Encrypt again under the newest version; the data is not shown",
    .args = "KEY [CIPHERTEXT|-|@FILE]",
    .examples = rewrap_examples,
    .flags = rewrap_flags,
    .min_args = 1,
    .max_args = 2,
    .run = run_rewrap,
};
static const char *const sign_examples[] = {
    "merlon transit sign models @release.txt > release.sig",
    "sha256sum big | cut -c1-64 | xxd -r -p | merlon transit sign models --prehashed", NULL};
const struct mln_command mln_command_transit_sign = {
    .noun = "transit",
    .verb = "sign",
    .summary = "Sign data from stdin or a file",
    .args = "KEY " DATA_ARG,
    .examples = sign_examples,
    .flags = sign_flags,
    .min_args = 1,
    .max_args = 2,
    .run = run_sign,
};
static const char *const verify_examples[] = {
    "merlon transit verify models --signature @release.sig @release.txt", NULL};
const struct mln_command mln_command_transit_verify = {
    .noun = "transit",
    .verb = "verify",
    .summary = "Verify a signature; exit 5 when it is not valid",
    .args = "KEY " DATA_ARG,
    .examples = verify_examples,
    .flags = verify_flags,
    .min_args = 1,
    .max_args = 2,
    .run = run_verify,
};
