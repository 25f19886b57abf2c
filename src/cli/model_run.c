/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon model run: verify a model, note which process is started with it, and become that program. The note is what attestation
 * believes (identity/attest_model.c), so it is written with the rights that the folder of notes asks for, root's. The files are read in
 * a child that has given these up already: a signature is a stranger's JSON.
 */
#include "cli/model_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "artifact/tree.h"
#include "identity/attest.h"

#define PASSWD_BYTES 16384u
#define NOTES_MAX    65536u /* in the folder: as many as processes may be */

struct launch {
    struct mln_cli *cli;
    const char *model, *records;
    struct passwd user;
    char user_text[PASSWD_BYTES];
    bool has_user;
    uid_t owner; /* whose files may be, besides root's: who started us, before he became the user */
};

/* ---- who runs it ---- */

static struct mln_err find_user(struct launch *l)
{
    const char *name = mln_cli_text(l->cli, "user");
    struct passwd *found = NULL;
    uint64_t uid = 0;
    if (name == NULL) {
        return MLN_OK;
    }
    bool is_number = mln_u64_parse(mln_bytes_of(name), &uid) && uid < UINT32_MAX;
    int rc = is_number
                 ? getpwuid_r((uid_t)uid, &l->user, l->user_text, sizeof(l->user_text), &found)
                 : getpwnam_r(name, &l->user, l->user_text, sizeof(l->user_text), &found);
    if (rc != 0 || found == NULL) {
        return mln_fail(l->cli->cx, MLN_E_NOT_FOUND, "there is no user %s", name);
    }
    l->has_user = true;
    return MLN_OK;
}

/* For good: afterwards root's rights cannot be had again. */
static struct mln_err become_user(struct launch *l, struct mln_cx *cx)
{
    if (!l->has_user || (geteuid() == l->user.pw_uid && l->user.pw_uid != 0)) {
        return MLN_OK;
    }
    if (initgroups(l->user.pw_name, l->user.pw_gid) != 0 ||
        setresgid(l->user.pw_gid, l->user.pw_gid, l->user.pw_gid) != 0 ||
        setresuid(l->user.pw_uid, l->user.pw_uid, l->user.pw_uid) != 0 ||
        (l->user.pw_uid != 0 && setuid(0) == 0)) {
        return mln_fail(cx, MLN_E_DENIED, "cannot become user %s: only root can (errno %d)",
                        l->user.pw_name, errno);
    }
    return MLN_OK;
}

/* ---- verifying, in the child ---- */

static void push_folders(struct mln_cx *cx, const char *path, struct mln_value *folders)
{
    struct mln_bytes text = mln_bytes_of(path);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '/') {
            mln_push(cx, folders, mln_string(cx, mln_bytes_sub(text, 0, i)));
        }
    }
}

/* Every file of the model and every folder, as it is now: a file that is added later shows in its folder's times. */
static struct mln_err look_at(struct mln_cx *cx, const struct launch *l, struct mln_value *watch)
{
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    struct mln_value *paths = mln_set(cx);
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_tree_walk(cx, l->model, NULL, &tree));
    MLN_TRY(mln_file_open(cx, l->model, O_PATH, 0, &fd));
    mln_push_text(cx, paths, "");
    for (size_t i = 0; i < tree.n_files && !tree.is_file; i++) {
        push_folders(cx, tree.files[i].path, paths);
        mln_push_text(cx, paths, tree.files[i].path);
    }
    for (size_t i = 0; i < mln_len(paths); i++) {
        MLN_TRY(mln_attest_model_watch(cx, fd, mln_get_text(cx, mln_item(paths, i), ""), l->owner,
                                       watch));
    }
    return mln_cx_err(cx);
}

/* Its key's digest, or every name that its certificate has. */
static const struct mln_value *signers_of(struct mln_cx *cx, const struct mln_value *signer)
{
    struct mln_value *all = mln_array(cx);
    const struct mln_value *names = mln_get(signer, "identities");
    if (mln_is_text(mln_get(signer, "kind"), "key")) {
        mln_push(cx, all, mln_textf(cx, "key:%s", mln_get_text(cx, mln_get(signer, "hint"), "")));
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        mln_push(cx, all,
                 mln_textf(cx, "certificate:%s", mln_get_text(cx, mln_item(names, i), "")));
    }
    return all;
}

static struct mln_err verify(struct launch *l, struct mln_oms_trust *trust, bool has_trust,
                             struct mln_value *note)
{
    struct mln_cli *cli = l->cli;
    struct mln_bytes bundle = MLN_BYTES_NONE;
    const struct mln_value *report = NULL;
    struct mln_value *before = mln_array(cli->cx), *after = mln_array(cli->cx);
    struct mln_oms_options options = model_verify_options(cli);
    const char *given = mln_cli_text(cli, "signature");
    options.signature_path =
        given != NULL ? given : mln_text_format(cli->cx, "%s/" MLN_MODEL_SIGNATURE, l->model);
    MLN_TRY(mln_cli_read_file(cli, options.signature_path, MLN_DSSE_BUNDLE_MAX, &bundle));
    if (!has_trust) {
        MLN_TRY(model_trust_of_server(cli, cli->cx, bundle, trust));
    }
    MLN_TRY(look_at(cli->cx, l, before));
    MLN_TRY(mln_oms_verify(cli->cx, l->model, bundle, trust, &options, &report));
    MLN_TRY(look_at(cli->cx, l, after));
    if (!mln_value_eq(before, after)) {
        return mln_fail(cli->cx, MLN_E_CONFLICT,
                        "files of the model changed while they were verified");
    }
    mln_put_text(cli->cx, note, "model", l->model);
    mln_put(cli->cx, note, "root", mln_get(report, "root"));
    mln_put(cli->cx, note, "name", mln_get(report, "signed_as"));
    mln_put(cli->cx, note, "signers", signers_of(cli->cx, mln_get(report, "signer")));
    mln_put(cli->cx, note, "watch", before);
    return mln_cx_err(cli->cx);
}

/* First byte: the error's code; then its text, or the note. */
static _Noreturn void child(struct launch *l, struct mln_oms_trust *trust, bool has_trust, int fd)
{
    struct mln_cx *cx = l->cli->cx;
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    struct mln_value *note = mln_object(cx);
    struct mln_err err = become_user(l, cx);
    err = mln_failed(err) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
              ? err
              : verify(l, trust, has_trust, note);
    mln_buf_add_byte(&out, (uint8_t)err.code);
    if (mln_failed(err)) {
        mln_buf_add_text(&out, cx->text);
    } else {
        mln_json_print(&out, note, MLN_JSON_COMPACT);
    }
    mln_cx_clear(cx);
    err = mln_fd_write(cx, fd, out.ptr, out.len);
    _exit(mln_failed(err) || out.has_failed ? 1 : 0);
}

static struct mln_err take(struct mln_cx *cx, struct mln_bytes told, struct mln_value *note)
{
    static const char *const members[] = {"model", "root", "name", "signers", "watch"};
    const struct mln_value *got = NULL;
    if (told.len == 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "the process that verified the model died");
    }
    struct mln_bytes text = mln_bytes_dup(cx, mln_bytes_from(told, 1));
    if (told.ptr[0] != MLN_E_OK) {
        return mln_fail(cx, (enum mln_code)told.ptr[0], "%.*s", MLN_FMT(text));
    }
    MLN_TRY(mln_json_parse(cx, text, &got));
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        mln_put(cx, note, members[i], mln_get(got, members[i]));
    }
    return mln_cx_err(cx);
}

static struct mln_err verify_apart(struct launch *l, struct mln_value *note)
{
    struct mln_cx *cx = l->cli->cx;
    struct mln_oms_trust trust = {0};
    bool has_trust = false;
    int ends[2] = {-1, -1}, status = 0;
    MLN_AUTO(mln_buf_drop) struct mln_buf told = {0};
    MLN_TRY(model_trust(l->cli, &trust, &has_trust));
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return mln_fail(cx, MLN_E_IO, "no pipe (errno %d)", errno);
    }
    MLN_AUTO(mln_fd_drop) int fd = ends[0];
    pid_t pid = fork();
    if (pid == 0) {
        (void)close(ends[0]);
        child(l, &trust, has_trust, ends[1]);
    }
    (void)close(ends[1]);
    if (pid < 0) {
        return mln_fail(cx, MLN_E_IO, "no process to verify the model (errno %d)", errno);
    }
    struct mln_err err = mln_fd_read_all(cx, fd, MLN_MODEL_RECORD_MAX - 4096, &told);
    mln_fd_drop(&fd); /* it may have more to say: then it ends by that */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (mln_is(err, MLN_E_TOO_LARGE)) {
        return mln_refail(cx, MLN_E_TOO_LARGE, "a model has too many files to be watched");
    }
    MLN_TRY(err);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? take(cx, mln_buf_bytes(&told), note)
                                                         : take(cx, MLN_BYTES_NONE, note);
}

/* ---- the note ---- */

/* Of processes that are gone. What is not ours to read or delete stays. */
static void clear_notes(struct launch *l)
{
    struct mln_cx *cx = l->cli->cx;
    const struct mln_value *names = NULL;
    if (mln_failed(mln_dir_list(cx, l->records, &names))) {
        mln_cx_clear(cx);
    }
    for (size_t i = 0; i < mln_len(names) && i < NOTES_MAX; i++) {
        uint64_t number = 0;
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        const char *path = mln_text_format(cx, "%s/%.*s", l->records, MLN_FMT(name));
        if (mln_u64_parse(name, &number) &&
            !mln_failed(mln_file_read_all(cx, path, MLN_MODEL_RECORD_MAX, &text)) &&
            !mln_attest_model_lives(cx, "/proc", mln_buf_bytes(&text))) {
            (void)unlink(path);
        }
        mln_cx_clear(cx);
    }
}

static struct mln_err write_note(struct launch *l, struct mln_value *note)
{
    struct mln_cx *cx = l->cli->cx;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_TRY(mln_attest_model_self(cx, "/proc", note));
    MLN_TRY(mln_dir_make(cx, l->records, 0755));
    clear_notes(l);
    mln_json_print(&text, note, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &text));
    struct mln_err err =
        mln_file_replace(cx, mln_text_format(cx, "%s/%lld", l->records, (long long)getpid()),
                         mln_buf_bytes(&text), 0600, false);
    if (mln_is(err, MLN_E_DENIED)) {
        l->cli->hint = "run it as root with --user NAME: who may write the notes says who was "
                       "started with what";
    }
    return err;
}

/* ---- becoming the program ---- */

static struct mln_err become(struct launch *l, const struct mln_value *note)
{
    struct mln_cx *cx = l->cli->cx;
    size_t n = l->cli->n_args - 1;
    char **argv = mln_new_array(cx, n + 1, sizeof(*argv));
    const char *root = mln_get_text(cx, mln_get(note, "root"), "");
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        argv[i] = (char *)(uintptr_t)l->cli->args[i + 1];
    }
    MLN_TRY(become_user(l, cx));
    if (setenv("MERLON_MODEL", l->model, 1) != 0 || setenv("MERLON_MODEL_SHA256", root, 1) != 0) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the environment");
    }
    (void)execvp(argv[0], argv);
    return mln_fail(cx, errno == ENOENT ? MLN_E_NOT_FOUND : MLN_E_DENIED,
                    "%s cannot be started (errno %d)", argv[0], errno);
}

static struct mln_err run(struct mln_cli *cli)
{
    static struct launch l;
    struct mln_value *note = mln_object(cli->cx);
    static char whole[PATH_MAX];
    const char *path = realpath(cli->args[0], whole);
    l = (struct launch){.cli = cli, .records = mln_cli_text(cli, "records"), .owner = geteuid()};
    l.model = path != NULL ? mln_text_dup(cli->cx, mln_bytes_of(path)) : NULL;
    if (l.model == NULL) {
        return mln_fail(cli->cx, MLN_E_NOT_FOUND, "there is no model %s", cli->args[0]);
    }
    MLN_TRY(find_user(&l));
    MLN_TRY(verify_apart(&l, note));
    MLN_TRY(write_note(&l, note));
    return become(&l, note);
}

static const struct mln_flag flags[] = {
    {"user", MLN_FLAG_TEXT, "NAME", NULL, "Who runs the program (default: who runs this command)"},
    {"signature", MLN_FLAG_TEXT, "FILE", NULL, "The signature (default: model.sig inside)"},
    {"records", MLN_FLAG_TEXT, "DIR", MLN_MODEL_RECORDS,
     "Where attestation looks for who was started with what"},
    MODEL_TRUST_FLAGS,
    {0},
};
static const char *const examples[] = {
    "merlon model run /models/ranker --key signer.pub.pem --user serve -- python3 serve.py",
    "merlon model run /models/ranker --roots ca.pem --identity-of ml@example.org --user serve -- "
    "./server --port 8000",
    NULL,
};

const struct mln_command mln_command_model_run = {
    .noun = "model",
    .verb = "run",
    .summary = "Verify a model and start a program with it, so that its identity names the release",
    .args = "DIR -- PROGRAM [ARG...]",
    .examples = examples,
    .flags = flags,
    .min_args = 2,
    .max_args = MLN_CLI_ARGS_MAX,
    .more = "Run it as root, with --user. The process that becomes the program shows model:sha256, "
            "model:name and\n"
            "model:signer at the workload socket, where spiffe.attest.model is switched on. The "
            "program finds the\n"
            "model's path in MERLON_MODEL and its digest in MERLON_MODEL_SHA256.",
    .run = run,
};
