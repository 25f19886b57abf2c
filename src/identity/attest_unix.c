/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestor "unix": user, groups, program. unix:uid, :user, :gid, :group, :supplementary_gid, :supplementary_group, :path, :sha256.
 *
 * uid and gid are the socket's: what the kernel noted when the process connected. The program is what /proc/PID/exe leads to, whose
 * path is only told when the process sees the same file system as we do: in a mount namespace of its own, which any user may make, a
 * process can put anything at any path. The digest is of the bytes and holds everywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"
#include "identity/attest_priv.h"

#define NAMES_MAX    (4u << 20)  /* of /etc/passwd and /etc/group */
#define PROGRAM_MAX  (64u << 20) /* default of size_limit: a quarter of a second to hash */
#define PATH_MAX_LEN 4096u

static void push_number(struct mln_cx *cx, struct mln_value *selectors, const char *type, uint32_t number)
{
    mln_attest_push(cx, selectors, type, mln_bytes_format(cx, "%u", number));
}

/* Files of names, absent when they cannot be read: then only numbers are told. */
static struct mln_bytes read_names(struct mln_cx *cx, const struct mln_attest_target *target, const char *name)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const char *path = mln_text_format(cx, "%s/%s", target->config->etc, name);
    if (mln_failed(mln_file_read_all(cx, path, NAMES_MAX, &text))) {
        mln_cx_clear(cx);
        return MLN_BYTES_NONE;
    }
    return mln_bytes_dup(cx, mln_buf_bytes(&text));
}

static void push_who(struct mln_cx *cx, const struct mln_attest_target *target, const struct attest_ids *ids,
                     struct mln_value *selectors)
{
    struct mln_bytes users = read_names(cx, target, "passwd"), groups = read_names(cx, target, "group");
    push_number(cx, selectors, "unix:uid", target->uid);
    push_number(cx, selectors, "unix:gid", target->gid);
    mln_attest_push(cx, selectors, "unix:user", attest_name_of(users, target->uid));
    mln_attest_push(cx, selectors, "unix:group", attest_name_of(groups, target->gid));
    for (size_t i = 0; i < ids->n_groups; i++) {
        push_number(cx, selectors, "unix:supplementary_gid", ids->groups[i]);
        mln_attest_push(cx, selectors, "unix:supplementary_group", attest_name_of(groups, ids->groups[i]));
    }
}

/* ---- the program ---- */

static bool is_our_file_system(const struct mln_attest_target *target)
{
    struct stat theirs, ours;
    return fstatat(target->proc_fd, "ns/mnt", &theirs, 0) == 0 && stat("/proc/self/ns/mnt", &ours) == 0 &&
           theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

static void push_path(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    char path[PATH_MAX_LEN];
    ssize_t n = readlinkat(target->proc_fd, "exe", path, sizeof(path));
    struct mln_bytes text = mln_bytes_at(path, n > 0 ? (size_t)n : 0);
    bool is_whole = n > 0 && (size_t)n < sizeof(path) && path[0] == '/';
    if (is_whole && !mln_bytes_ends(text, MLN_BYTES(" (deleted)")) && is_our_file_system(target)) {
        mln_attest_push(cx, selectors, "unix:path", text);
    }
}

static struct mln_err push_digest(struct mln_cx *cx, const struct mln_attest_target *target, uint64_t max,
                                  struct mln_value *selectors)
{
    char hex[65];
    MLN_AUTO(mln_fd_drop) int fd = openat(target->proc_fd, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return mln_fail(cx, MLN_E_DENIED, "a program cannot be opened (errno %d)", errno);
    }
    MLN_TRY(attest_digest(cx, target->config->cache, fd, max, hex));
    mln_attest_push(cx, selectors, "unix:sha256", mln_bytes_of(hex));
    return MLN_OK;
}

static uint64_t size_limit(const struct mln_value *settings)
{
    const struct mln_value *limit = mln_get(settings, "size_limit");
    uint64_t bytes = PROGRAM_MAX;
    if (mln_type_of(limit) == MLN_INT && mln_get_int(limit, 0) >= 0) {
        return (uint64_t)mln_get_int(limit, 0);
    }
    (void)mln_size_parse(mln_get_bytes(limit), &bytes);
    return bytes;
}

static struct mln_err look(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    const struct mln_value *settings = mln_attest_settings(target, "unix");
    struct mln_bytes status = MLN_BYTES_NONE;
    struct attest_ids ids = {0};
    MLN_TRY(mln_attest_read(cx, target, "status", MLN_ATTEST_TEXT_MAX, &status));
    MLN_TRY(attest_ids_parse(cx, status, &ids));
    push_who(cx, target, &ids, selectors);
    push_path(cx, target, selectors);
    return mln_get_bool(mln_get(settings, "sha256"), true) ? push_digest(cx, target, size_limit(settings), selectors) : MLN_OK;
}

static struct mln_err check(struct mln_cx *cx, const struct mln_value *settings)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < mln_len(settings); i++) {
        const struct mln_member *m = mln_member_at(settings, i);
        bool is_limit = mln_bytes_is(m->key, "size_limit"), is_flag = mln_bytes_is(m->key, "sha256");
        bool is_size = mln_get_int(&m->value, -1) >= 0 || mln_size_parse(mln_get_bytes(&m->value), &bytes);
        if (!is_limit && !is_flag) {
            return mln_fail(cx, MLN_E_INVALID, "unknown key 'spiffe.attest.unix.%.*s'", MLN_FMT(m->key));
        }
        if ((is_limit && !is_size) || (is_flag && m->value.type != MLN_BOOL)) {
            return mln_fail(cx, MLN_E_INVALID, "'spiffe.attest.unix.%.*s' must be %s", MLN_FMT(m->key),
                            is_limit ? "a size such as 64 MiB" : "true or false");
        }
    }
    return MLN_OK;
}

const struct mln_attestor mln_attestor_unix = {
    .name = "unix",
    .summary = "User, groups and program of a process.",
    .look = look,
    .check = check,
};
