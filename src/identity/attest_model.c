/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestor "model": the signed release that a process was started with. Nothing that the process itself says is believed: neither its
 * arguments, which it can overwrite, nor files that it has open or mapped, which prove only that it may read them. `merlon model run`,
 * started by root, verifies the files, writes a record of its own process, gives up root's rights and becomes the program by exec. The
 * record holds for that process alone (number, start, boot, namespace): no child has one, and no process that gets the number later.
 * It holds as long as no file of the model changed: the kernel sets change times, and nobody but root may write the files.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "identity/attest_priv.h"

#define ROOT_HEX    64u
#define SIGNERS_MAX 64u
#define BOOT_BYTES  64u
#define LEAVE_ALONE (S_IWGRP | S_IWOTH)

/* ---- which process ---- */

static struct mln_err read_boot(struct mln_cx *cx, const char *proc, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_TRY(mln_file_read_all(cx, mln_text_format(cx, "%s/sys/kernel/random/boot_id", proc),
                              BOOT_BYTES, &text));
    *ret = mln_bytes_dup(cx, mln_bytes_trim(mln_buf_bytes(&text)));
    return mln_cx_err(cx);
}

/* Start and namespace of the process whose folder this is. */
static struct mln_err read_process(struct mln_cx *cx, int proc_fd, int64_t *ret_started_ns,
                                   int64_t *ret_ns)
{
    struct mln_attest_target target = {.proc_fd = proc_fd};
    struct mln_bytes stat = MLN_BYTES_NONE;
    struct stat ns;
    MLN_TRY(mln_attest_read(cx, &target, "stat", ATTEST_STAT_MAX, &stat));
    MLN_TRY(attest_start_parse(cx, stat, sysconf(_SC_CLK_TCK), ret_started_ns));
    if (fstatat(proc_fd, "ns/pid", &ns, 0) != 0) {
        return mln_fail(cx, MLN_E_IO, "the namespace of a process cannot be seen (errno %d)",
                        errno);
    }
    *ret_ns = (int64_t)ns.st_ino;
    return MLN_OK;
}

struct mln_err mln_attest_model_self(struct mln_cx *cx, const char *proc, struct mln_value *record)
{
    struct mln_bytes boot = MLN_BYTES_NONE;
    int64_t started_ns = 0, ns = 0;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, mln_text_format(cx, "%s/self", proc), O_PATH | O_DIRECTORY, 0, &fd));
    MLN_TRY(read_process(cx, fd, &started_ns, &ns));
    MLN_TRY(read_boot(cx, proc, &boot));
    mln_put_text(cx, record, "format", MLN_MODEL_FORMAT);
    mln_put_int(cx, record, "pid", getpid());
    mln_put_int(cx, record, "started_ns", started_ns);
    mln_put_bytes(cx, record, "boot", boot);
    mln_put_int(cx, record, "pid_namespace", ns);
    return mln_cx_err(cx);
}

static struct mln_err check_process(struct mln_cx *cx, const char *proc, int proc_fd, int64_t pid,
                                    const struct mln_value *record)
{
    struct mln_bytes boot = MLN_BYTES_NONE;
    int64_t started_ns = 0, ns = 0;
    MLN_TRY(read_process(cx, proc_fd, &started_ns, &ns));
    MLN_TRY(read_boot(cx, proc, &boot));
    bool is_it = mln_get_int(mln_get(record, "pid"), -1) == pid &&
                 mln_get_int(mln_get(record, "started_ns"), -1) == started_ns &&
                 mln_get_int(mln_get(record, "pid_namespace"), -1) == ns && boot.len > 0 &&
                 mln_bytes_eq(mln_get_bytes(mln_get(record, "boot")), boot);
    return is_it ? MLN_OK
                 : mln_fail(cx, MLN_E_DENIED, "the record of a model is of another process");
}

/* ---- files ---- */

/* Root's, or the server's user's where that is not root; and nobody else may write it. */
static bool is_trusted(const struct stat *st, uint32_t owner)
{
    return (st->st_uid == 0 || st->st_uid == owner) && (st->st_mode & LEAVE_ALONE) == 0;
}

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* Device, inode, size (of a file) and times. */
static void look_of(const struct stat *st, int64_t ret[5])
{
    ret[0] = (int64_t)st->st_dev;
    ret[1] = (int64_t)st->st_ino;
    ret[2] = S_ISREG(st->st_mode) ? (int64_t)st->st_size : -1;
    ret[3] = ns_of(&st->st_mtim);
    ret[4] = ns_of(&st->st_ctim);
}

static bool stat_at(int model_fd, const char *path, struct stat *ret)
{
    int rc = path[0] == '\0' ? fstat(model_fd, ret)
                             : fstatat(model_fd, path, ret, AT_SYMLINK_NOFOLLOW);
    return rc == 0 && (S_ISREG(ret->st_mode) || S_ISDIR(ret->st_mode));
}

/* Times tell of writes by system calls alone. Whoever could open a file for writing may have it mapped, and what he writes into a page
 * that was dirty already shows in no time: so nobody else may be able to. */
static struct mln_err check_owner(struct mln_cx *cx, const struct stat *st, uint32_t owner)
{
    return is_trusted(st, owner)
               ? MLN_OK
               : mln_fail(cx, MLN_E_DENIED,
                          "a file or folder of the model is not root's, or group or others may "
                          "write it: let root install a copy of the model (cp -r, chmod -R go-w)");
}

struct mln_err mln_attest_model_watch(struct mln_cx *cx, int model_fd, const char *path,
                                      uint32_t owner, struct mln_value *watch)
{
    int64_t look[5];
    struct stat st;
    struct mln_value *one = mln_array(cx);
    if (!stat_at(model_fd, path, &st)) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "a file of the model is gone, or is no file");
    }
    MLN_TRY(check_owner(cx, &st, owner));
    look_of(&st, look);
    mln_push_text(cx, one, path);
    for (size_t i = 0; i < MLN_COUNT(look); i++) {
        mln_push(cx, one, mln_int(cx, look[i]));
    }
    mln_push(cx, watch, one);
    return mln_cx_err(cx);
}

static bool is_unchanged(struct mln_cx *cx, int model_fd, const struct mln_value *one,
                         struct stat *ret)
{
    int64_t now[5] = {0};
    const char *path = mln_get_text(cx, mln_item(one, 0), NULL);
    bool is = mln_len(one) == 1 + MLN_COUNT(now) && path != NULL && path[0] != '/' &&
              stat_at(model_fd, path, ret);
    if (is) {
        look_of(ret, now);
    }
    for (size_t i = 0; is && i < MLN_COUNT(now); i++) {
        const struct mln_value *was = mln_item(one, i + 1);
        is = mln_type_of(was) == MLN_INT && mln_get_int(was, 0) == now[i];
    }
    return is;
}

static struct mln_err check_files(struct mln_cx *cx, const struct mln_value *record, uint32_t owner)
{
    const struct mln_value *watch = mln_get(record, "watch");
    const char *model = mln_get_text(cx, mln_get(record, "model"), "");
    MLN_AUTO(mln_fd_drop) int fd = -1;
    if (model[0] != '/' || mln_len(watch) == 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "the record of a model is not as merlon model run writes it");
    }
    MLN_TRY(mln_file_open(cx, model, O_PATH | O_NOFOLLOW, 0, &fd));
    for (size_t i = 0; i < mln_len(watch); i++) {
        struct stat st;
        if (!is_unchanged(cx, fd, mln_item(watch, i), &st)) {
            return mln_fail(cx, MLN_E_DENIED,
                            "files of the model changed since the process was started with it");
        }
        MLN_TRY(check_owner(cx, &st, owner));
    }
    return mln_cx_err(cx);
}

/* ---- the record ---- */

static struct mln_err read_record(struct mln_cx *cx, const struct mln_attest_target *target,
                                  const char *folder, const struct mln_value **ret)
{
    struct stat st;
    MLN_AUTO(mln_fd_drop) int dir = -1;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_TRY(mln_file_open(cx, folder, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, &dir));
    if (fstat(dir, &st) != 0 || !is_trusted(&st, target->config->owner)) {
        return mln_fail(cx, MLN_E_DENIED,
                        "others than root may write the folder of records of models");
    }
    MLN_AUTO(mln_fd_drop)
    int fd = openat(dir, mln_text_format(cx, "%lld", (long long)target->pid),
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "a process that was started with no model");
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || !is_trusted(&st, target->config->owner)) {
        return mln_fail(cx, MLN_E_DENIED, "others than root may write the record of a model");
    }
    MLN_TRY(mln_fd_read_all(cx, fd, MLN_MODEL_RECORD_MAX, &text));
    MLN_TRY(mln_json_parse(cx, mln_bytes_dup(cx, mln_buf_bytes(&text)), ret));
    return mln_is_text(mln_get(*ret, "format"), MLN_MODEL_FORMAT)
               ? MLN_OK
               : mln_fail(cx, MLN_E_UNSUPPORTED,
                          "the record of a model is of a format that is not known");
}

static bool is_hex(struct mln_bytes text)
{
    bool ok = text.len == ROOT_HEX;
    for (size_t i = 0; ok && i < text.len; i++) {
        ok = (text.ptr[i] >= '0' && text.ptr[i] <= '9') ||
             (text.ptr[i] >= 'a' && text.ptr[i] <= 'f');
    }
    return ok;
}

static struct mln_err push(struct mln_cx *cx, const struct mln_value *record,
                           struct mln_value *selectors)
{
    struct mln_bytes root = mln_get_bytes(mln_get(record, "root"));
    const struct mln_value *signers = mln_get(record, "signers");
    if (!is_hex(root)) {
        return mln_fail(cx, MLN_E_INVALID, "the record of a model names no digest");
    }
    mln_attest_push(cx, selectors, "model:sha256", root);
    mln_attest_push(cx, selectors, "model:name", mln_get_bytes(mln_get(record, "name")));
    for (size_t i = 0; i < mln_len(signers) && i < SIGNERS_MAX; i++) {
        mln_attest_push(cx, selectors, "model:signer", mln_get_bytes(mln_item(signers, i)));
    }
    return MLN_OK;
}

static struct mln_err look(struct mln_cx *cx, const struct mln_attest_target *target,
                           struct mln_value *selectors)
{
    const struct mln_value *record = NULL, *settings = mln_attest_settings(target, "model");
    const char *folder = mln_get_text(cx, mln_get(settings, "records"), MLN_MODEL_RECORDS);
    MLN_TRY(read_record(cx, target, folder, &record));
    MLN_TRY(check_process(cx, target->config->proc, target->proc_fd, target->pid, record));
    MLN_TRY(check_files(cx, record, target->config->owner));
    return push(cx, record, selectors);
}

bool mln_attest_model_lives(struct mln_cx *cx, const char *proc, struct mln_bytes text)
{
    const struct mln_value *record = NULL;
    MLN_AUTO(mln_fd_drop) int fd = -1;
    struct mln_err err = mln_json_parse(cx, text, &record);
    int64_t pid = mln_get_int(mln_get(record, "pid"), -1);
    const char *folder = mln_text_format(cx, "%s/%lld", proc, (long long)pid);
    err = mln_failed(err) ? err : mln_file_open(cx, folder, O_PATH | O_DIRECTORY, 0, &fd);
    err = mln_failed(err) ? err : check_process(cx, proc, fd, pid, record);
    mln_cx_clear(cx);
    return !mln_failed(err);
}

static struct mln_err check(struct mln_cx *cx, const struct mln_value *settings)
{
    for (size_t i = 0; i < mln_len(settings); i++) {
        const struct mln_member *m = mln_member_at(settings, i);
        struct mln_bytes value = mln_get_bytes(&m->value);
        if (!mln_bytes_is(m->key, "records")) {
            return mln_fail(cx, MLN_E_INVALID, "unknown key 'spiffe.attest.model.%.*s'",
                            MLN_FMT(m->key));
        }
        if (value.len == 0 || value.ptr[0] != '/') {
            return mln_fail(cx, MLN_E_INVALID,
                            "'spiffe.attest.model.records' must be the path of a folder");
        }
    }
    return MLN_OK;
}

const struct mln_attestor mln_attestor_model = {
    .name = "model",
    .summary = "The signed release of a model that a process was started with by merlon model run.",
    .is_optional = true,
    .look = look,
    .check = check,
};
