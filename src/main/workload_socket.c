/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Unix socket of the Workload API. Everybody may connect: who it is decides what he gets. What must not happen is that somebody
 * else's socket stands where workloads look for ours.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "main/main_priv.h"

#define BACKLOG 1024

static struct mln_err address_of(struct mln_cx *cx, const char *path, struct sockaddr_un *ret)
{
    size_t n = mln_bytes_of(path).len;
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path[0] != '/' || n >= sizeof(ret->sun_path)) {
        return mln_fail(cx, MLN_E_INVALID, "the workload socket must be an absolute path of at most %zu bytes, not %s",
                        sizeof(ret->sun_path) - 1, path);
    }
    mln_copy(ret->sun_path, path, n);
    return MLN_OK;
}

static const char *folder_of(struct mln_cx *cx, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == path ? "/" : mln_text_dup(cx, mln_bytes_at(path, (size_t)(slash - path)));
}

/* Nobody but us and root may put something else there; in a sticky folder such as /tmp nobody can remove what is ours. */
static struct mln_err check_folder(struct mln_cx *cx, const char *folder)
{
    struct stat st;
    if (stat(folder, &st) != 0) {
        return mln_fail(cx, MLN_E_IO, "%s cannot be looked at (errno %d)", folder, errno);
    }
    bool is_ours = st.st_uid == geteuid() || st.st_uid == 0;
    bool is_open = (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0;
    return is_ours && !is_open ? MLN_OK
                               : mln_fail(cx, MLN_E_DENIED,
                                          "%s: others could replace a socket there: make it a folder that only this user may write to",
                                          folder);
}

static bool answers(const struct sockaddr_un *address)
{
    MLN_AUTO(mln_fd_drop) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd >= 0 ? connect(fd, (const struct sockaddr *)address, sizeof(*address)) : -1;
    return rc == 0 || (fd >= 0 && errno == EAGAIN); /* its queue may be full */
}

/* What is there already? A dead server's socket may go, nothing else. */
static struct mln_err check_old(struct mln_cx *cx, const char *path, const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(path, &st) != 0) {
        return errno == ENOENT ? MLN_OK : mln_fail(cx, MLN_E_IO, "%s cannot be looked at (errno %d)", path, errno);
    }
    if (!S_ISSOCK(st.st_mode)) {
        return mln_fail(cx, MLN_E_EXISTS, "%s is there and no socket: it is left alone", path);
    }
    if (answers(address)) {
        return mln_fail(cx, MLN_E_EXISTS, "%s is in use by another program", path);
    }
    return st.st_uid == geteuid() || geteuid() == 0 ? MLN_OK : mln_fail(cx, MLN_E_DENIED, "%s is another user's", path);
}

/* Made beside it and renamed: who connects finds the old one or the new one, with its rights already. */
static struct mln_err bind_beside(struct mln_cx *cx, int fd, const char *path, unsigned mode)
{
    struct sockaddr_un address;
    const char *beside = mln_text_format(cx, "%s.%d", path, (int)getpid());
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(address_of(cx, beside, &address));
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0) {
        return mln_fail(cx, MLN_E_IO, "cannot listen at %s (errno %d)", path, errno);
    }
    if (chmod(beside, (mode_t)mode) != 0 || rename(beside, path) != 0) {
        int why = errno;
        (void)unlink(beside);
        return mln_fail(cx, MLN_E_IO, "cannot put a socket at %s (errno %d)", path, why);
    }
    return MLN_OK;
}

struct mln_err workload_socket_open(struct mln_cx *cx, const char *path, int *ret)
{
    return unix_socket_open(cx, path, 0777, ret);
}

struct mln_err unix_socket_open(struct mln_cx *cx, const char *path, unsigned mode, int *ret)
{
    struct sockaddr_un address;
    MLN_TRY(address_of(cx, path, &address));
    const char *folder = folder_of(cx, path);
    MLN_TRY(mln_cx_err(cx));
    bool is_new = access(folder, F_OK) != 0;
    MLN_TRY(mln_dir_make(cx, folder, 0755));
    if (is_new && chmod(folder, 0755) != 0) { /* this process makes files for itself alone, else */
        return mln_fail(cx, MLN_E_IO, "%s cannot be opened for others (errno %d)", folder, errno);
    }
    MLN_TRY(check_folder(cx, folder));
    MLN_TRY(check_old(cx, path, &address));
    MLN_AUTO(mln_fd_drop) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return mln_fail(cx, MLN_E_IO, "no socket for %s (errno %d)", path, errno);
    }
    MLN_TRY(bind_beside(cx, fd, path, mode));
    *ret = fd;
    fd = -1;
    return MLN_OK;
}

void workload_socket_close(const char *path, int *fd)
{
    struct sockaddr_un address;
    struct stat st;
    mln_fd_drop(fd);
    bool is_ours = !mln_failed(address_of(NULL, path, &address)) && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !answers(&address);
    if (is_ours) {
        (void)unlink(path);
    }
}
