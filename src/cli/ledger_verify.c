/* SPDX-License-Identifier: Apache-2.0 */
/* merlon ledger verify: the whole log, offline or over HTTP, or one saved proof, against the log's key. */
#include "cli/cli_priv.h"

#include "base/cbor.h"
#include "ledger/tlog.h"

#include <sys/stat.h>

#define NOTE_MAX_BYTES  (64u << 10)
#define PROOF_MAX_BYTES (4u << 20)
#define PROOF_MAX       64
#define ENTRY_BYTES     50 /* version 1 | class 1 | index 8 | time 8 | commitment 32 */

static const struct mln_flag flags[] = {
    {"dir", MLN_FLAG_TEXT, "DATA", NULL, "A server's data folder, or a copy of its log"},
    {"url", MLN_FLAG_TEXT, "URL", NULL, "A server, when it is not that of --address"},
    {"vkey", MLN_FLAG_TEXT, "KEY|@FILE", NULL, "The log's key, as the server printed it"},
    {"old", MLN_FLAG_TEXT, "FILE", NULL, "An older checkpoint that must be a beginning of this"},
    {"proof", MLN_FLAG_TEXT, "FILE", NULL, "Check one saved proof instead of the log"},
    {0},
};

struct audit {
    struct mln_cli *cli;
    struct mln_client *client; /* of --url */
    struct mln_progress progress;
};

static void audit_drop(struct audit *a)
{
    mln_client_free(a->client);
}

/* ---- where the log is read from ---- */

static const char *flag_or_env(const struct mln_cli *cli, const char *flag, const char *env)
{
    const char *text = mln_cli_text(cli, flag);
    return text != NULL ? text : mln_cli_env(cli, env);
}

/* The URL without "/ledger" and slashes at its end. */
static const char *base_url(struct mln_cli *cli, const char *url)
{
    struct mln_bytes text = mln_bytes_of(url);
    while (text.len > 0 && text.ptr[text.len - 1] == '/') {
        text.len--;
    }
    struct mln_bytes tail = MLN_BYTES("/ledger");
    if (mln_bytes_ends(text, tail)) {
        text.len -= tail.len;
    }
    return mln_text_dup(cli->cx, text);
}

static struct mln_err connect_url(struct audit *a, const char *url)
{
    struct mln_client_config config = {
        .url = base_url(a->cli, url),
        .ca_file = flag_or_env(a->cli, "ca-cert", "CACERT"),
        .server_name = flag_or_env(a->cli, "tls-server-name", "TLS_SERVER_NAME"),
        .skip_verify = mln_cli_bool(a->cli, "tls-skip-verify"),
    };
    return mln_client_new(a->cli->cx, &config, &a->client);
}

/* A public file: no token is sent to it. */
static struct mln_err fetch_url(void *arg, struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    struct audit *a = arg;
    struct mln_client_answer answer = {0};
    const char *target = mln_text_format(cx, "/ledger/%s", path);
    MLN_TRY(mln_client_call(cx, a->client, "GET", target, NULL, 0, MLN_BYTES_NONE, &answer));
    if (answer.status == 404) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "the log has no %s", path);
    }
    if (answer.status != 200) {
        enum mln_code code = answer.status == 503 ? MLN_E_SEALED : MLN_E_REMOTE;
        return mln_fail(cx, code, "the server answered %d for %s", answer.status, path);
    }
    *ret = answer.body;
    return MLN_OK;
}

/* DATA/ledger, or DATA itself when the checkpoint lies in it. */
static const char *log_dir(struct mln_cli *cli, const char *data)
{
    struct stat st;
    bool is_log = stat(mln_text_format(cli->cx, "%s/checkpoint", data), &st) == 0;
    return is_log ? data : mln_text_format(cli->cx, "%s/ledger", data);
}

/* ---- the key ---- */

static struct mln_err read_vkey(struct audit *a, struct mln_bytes *ret)
{
    struct mln_cli *cli = a->cli;
    const char *vkey = mln_cli_text(cli, "vkey");
    if (vkey != NULL && vkey[0] == '@') {
        MLN_TRY(mln_cli_read_file(cli, vkey + 1, NOTE_MAX_BYTES, ret));
    } else if (vkey != NULL) {
        *ret = mln_bytes_of(vkey);
    } else if (a->client != NULL) {
        MLN_TRY(fetch_url(a, cli->cx, "vkey", ret));
        mln_cli_say(cli, "merlon: warning: the key is the server's own word; give the one that you know with --vkey\n");
    } else {
        cli->hint = "the server printed it at its start; 'merlon status' shows it";
        return mln_fail(cli->cx, MLN_E_USAGE, "--vkey KEY is needed");
    }
    *ret = mln_bytes_trim(*ret);
    return MLN_OK;
}

/* ---- the whole log ---- */

static void step(void *arg, uint64_t done, uint64_t all)
{
    struct audit *a = arg;
    mln_progress_step(&a->progress, done, all, "records");
}

/* mln_tlog_fetch has one arg for reading and for progress. */
static struct mln_err fetch_dir(void *arg, struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    struct audit *a = arg;
    const char *dir = log_dir(a->cli, mln_cli_text(a->cli, "dir"));
    return mln_tlog_fetch_dir((void *)(uintptr_t)dir, cx, path, ret);
}

static void audit_table(struct mln_cli *cli, const struct mln_value *v)
{
    bool is_ok = mln_get_bool(mln_get(v, "ok"), false);
    const struct mln_value *problems = mln_get(v, "problems");
    mln_cli_out("%s%s%s  %s  %lld records, %lld checked, root %s\n",
                mln_cli_ink(cli, is_ok ? MLN_INK_GREEN : MLN_INK_RED), is_ok ? "verified" : "damaged",
                mln_cli_ink(cli, MLN_INK_NONE), mln_cli_scalar(cli, mln_get(v, "origin")),
                (long long)mln_get_int(mln_get(v, "size"), 0), (long long)mln_get_int(mln_get(v, "checked"), 0),
                mln_cli_scalar(cli, mln_get(v, "root")));
    for (size_t i = 0; i < mln_len(problems); i++) {
        const struct mln_value *p = mln_item(problems, i);
        const struct mln_value *index = mln_get(p, "index");
        mln_cli_out("  %s%s%s%s: %s\n", mln_cli_scalar(cli, mln_get(p, "file")), mln_is_null(index) ? "" : " record ",
                    mln_is_null(index) ? "" : mln_cli_scalar(cli, index), "", mln_cli_scalar(cli, mln_get(p, "detail")));
    }
}

static struct mln_err verify_log(struct audit *a, struct mln_bytes vkey)
{
    struct mln_cli *cli = a->cli;
    struct mln_bytes old = MLN_BYTES_NONE;
    const struct mln_value *result = NULL;
    const char *old_path = mln_cli_text(cli, "old");
    if (old_path != NULL) {
        MLN_TRY(mln_cli_read_file(cli, old_path, NOTE_MAX_BYTES, &old));
    }
    struct mln_tlog_fetch source = {.file = a->client != NULL ? fetch_url : fetch_dir, .progress = step, .arg = a};
    mln_progress_begin(&a->progress, cli, "verifying");
    struct mln_err err = mln_tlog_audit(cli->cx, &source, vkey, old, &result);
    mln_progress_end(&a->progress);
    MLN_TRY(err);
    MLN_TRY(mln_cli_answer(cli, result, audit_table));
    cli->exit_code = mln_get_bool(mln_get(result, "ok"), false) ? 0 : mln_err_exit(MLN_E_FORGED);
    return MLN_OK;
}

/* ---- one saved proof ---- */

/* Bytes of n: hex or base64. */
static struct mln_err read_bytes(struct mln_cx *cx, const struct mln_value *v, const char *what, uint8_t *to, size_t n)
{
    struct mln_bytes text = mln_get_bytes(v);
    MLN_AUTO(mln_buf_drop) struct mln_buf raw = {0};
    struct mln_err err = text.len == 2 * n ? mln_hex_parse(cx, text, &raw) : mln_base64_parse(cx, text, MLN_B64_STD, &raw);
    if (mln_failed(err) || raw.len != n) {
        return mln_refail(cx, MLN_E_FORGED, "the proof's %s is not %zu bytes in hex or base64", what, n);
    }
    mln_copy(to, raw.ptr, n);
    return MLN_OK;
}

/* Does the entry commit to this content? */
static struct mln_err check_content(struct mln_cx *cx, const struct mln_value *proof, const uint8_t entry[ENTRY_BYTES])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {.is_secret = true};
    uint8_t salt[32];
    uint8_t digest[MLN_SHA256_BYTES];
    if (mln_is_null(mln_get(proof, "content"))) {
        return mln_fail(cx, MLN_E_UNJUDGED, "the proof has no content: only that the record is there could be checked");
    }
    MLN_TRY(read_bytes(cx, mln_get(proof, "salt"), "salt", salt, sizeof(salt)));
    mln_buf_add(&plain, salt, sizeof(salt));
    mln_cbor_print_sorted(&plain, mln_get(proof, "content"));
    MLN_TRY(mln_buf_ok(cx, &plain));
    mln_sha256(mln_buf_bytes(&plain), digest);
    return mln_same(digest, entry + 18, sizeof(digest))
               ? MLN_OK
               : mln_fail(cx, MLN_E_FORGED, "the content is not what the record commits to");
}

static struct mln_err check_proof(struct mln_cx *cx, const struct mln_value *proof, struct mln_bytes vkey,
                                  struct mln_checkpoint *ret)
{
    uint8_t entry[ENTRY_BYTES];
    struct mln_hash hashes[PROOF_MAX], leaf;
    const struct mln_value *list = mln_get(proof, "proof");
    int64_t index = mln_get_int(mln_get(proof, "index"), -1);
    MLN_TRY(mln_checkpoint_open(cx, mln_get_bytes(mln_get(proof, "checkpoint")), vkey, ret));
    MLN_TRY(read_bytes(cx, mln_get(proof, "entry"), "entry", entry, sizeof(entry)));
    if (index < 0 || mln_get_u64be(entry + 2) != (uint64_t)index) {
        return mln_fail(cx, MLN_E_FORGED, "the proof is of another record than it says");
    }
    if (mln_len(list) > PROOF_MAX) {
        return mln_fail(cx, MLN_E_FORGED, "the proof has more than %d hashes", PROOF_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        MLN_TRY(read_bytes(cx, mln_item(list, i), "hash", hashes[i].b, sizeof(hashes[i].b)));
    }
    mln_tlog_leaf(mln_bytes_at(entry, sizeof(entry)), &leaf);
    MLN_TRY(mln_tlog_check_inclusion(cx, hashes, mln_len(list), ret->size, &ret->root, (uint64_t)index, &leaf));
    return check_content(cx, proof, entry);
}

static void proof_table(struct mln_cli *cli, const struct mln_value *v)
{
    mln_cli_out("%sverified%s  record %s of %s is in %s\n", mln_cli_ink(cli, MLN_INK_GREEN), mln_cli_ink(cli, MLN_INK_NONE),
                mln_cli_scalar(cli, mln_get(v, "index")), mln_cli_scalar(cli, mln_get(v, "size")),
                mln_cli_scalar(cli, mln_get(v, "origin")));
    mln_cli_out("%s\n", mln_cli_scalar(cli, mln_get(v, "content")));
}

static struct mln_err verify_proof(struct mln_cli *cli, const char *path, struct mln_bytes vkey)
{
    struct mln_bytes text = MLN_BYTES_NONE;
    const struct mln_value *proof = NULL;
    struct mln_checkpoint checkpoint = {0};
    MLN_TRY(mln_cli_read_file(cli, path, PROOF_MAX_BYTES, &text));
    MLN_TRY(mln_json_parse(cli->cx, text, &proof));
    proof = mln_get(proof, "data") != NULL ? mln_get(proof, "data") : proof;
    MLN_TRY(check_proof(cli->cx, proof, vkey, &checkpoint));
    struct mln_value *answer = mln_object(cli->cx);
    mln_put_bool(cli->cx, answer, "ok", true);
    mln_put(cli->cx, answer, "index", mln_get(proof, "index"));
    mln_put_bytes(cli->cx, answer, "origin", checkpoint.origin);
    mln_put_int(cli->cx, answer, "size", (int64_t)checkpoint.size);
    mln_put(cli->cx, answer, "content", mln_get(proof, "content"));
    return mln_cli_answer(cli, answer, proof_table);
}

static struct mln_err run(struct mln_cli *cli)
{
    MLN_AUTO(audit_drop) struct audit a = {.cli = cli};
    struct mln_bytes vkey = MLN_BYTES_NONE;
    const char *dir = mln_cli_text(cli, "dir"), *url = mln_cli_text(cli, "url"), *proof = mln_cli_text(cli, "proof");
    if ((dir != NULL) + (url != NULL) + (proof != NULL) > 1) {
        return mln_cli_usage(cli, "one of --dir, --url and --proof, not several");
    }
    if (dir == NULL && proof == NULL) {
        MLN_TRY(connect_url(&a, url != NULL ? url : mln_cli_address(cli)));
    }
    MLN_TRY(read_vkey(&a, &vkey));
    return proof != NULL ? verify_proof(cli, proof, vkey) : verify_log(&a, vkey);
}

static const char *const examples[] = {
    "merlon ledger verify --dir /var/lib/merlon --vkey @merlon.vkey",
    "merlon ledger verify --url https://merlon.example.org --vkey @merlon.vkey",
    "merlon ledger verify --proof release.proof --vkey @merlon.vkey",
    NULL,
};
const struct mln_command mln_command_ledger_verify = {
    .noun = "ledger",
    .verb = "verify",
    .summary = "Check the whole log, or one saved proof, against the log's key",
    .args = "",
    .examples = examples,
    .flags = flags,
    .more = "Checked are the signature of the checkpoint, every record against its tile, every tile\n"
            "against the root and, with --old, that nothing was taken back. Exit 5 and the name of\n"
            "the file when something does not hold. --dir and --proof need no server and no token.",
    .run = run,
};
