/* SPDX-License-Identifier: Apache-2.0 */
/* Files and descriptors: every loop over short counts and EINTR, every fault point and every errno are here. */
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem_priv.h"

#define READ_STEP ((size_t)64 << 10)

static enum mln_code code_of(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return MLN_E_FULL;
    case ENOENT:
        return MLN_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return MLN_E_DENIED;
    case ENOMEM:
        return MLN_E_MEMORY;
    default:
        return MLN_E_IO;
    }
}

/* "cannot open x: No such file or directory" */
static struct mln_err io_failed(struct mln_cx *cx, const char *what, const char *path, int error)
{
    char why[128];
    const char *text = strerror_r(error, why, sizeof(why));
    return mln_fail(cx, code_of(error), "cannot %s %s: %s", what, path, text);
}

/* Descriptors have no name here. */
static const char a_file[] = "the file";

/* An injected fault looks like the error that is most common for its kind. */
static bool injected(enum mln_fault_kind kind)
{
    if (!fault_point(kind)) {
        return false;
    }
    errno = kind == MLN_FAULT_WRITE ? ENOSPC : EIO;
    return true;
}

void mln_fd_drop(int *fd)
{
    if (*fd >= 0) {
        int kept = errno;
        (void)close(*fd);
        errno = kept;
        *fd = -1;
    }
}

struct mln_err mln_file_open(struct mln_cx *cx, const char *path, int flags, unsigned mode, int *ret_fd)
{
    bool is_read = (flags & O_ACCMODE) == O_RDONLY;
    int fd = -1;
    if (!injected(is_read ? MLN_FAULT_READ : MLN_FAULT_WRITE)) {
        do {
            fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
        } while (fd < 0 && errno == EINTR);
    }
    if (fd < 0) {
        return io_failed(cx, "open", path, errno);
    }
    *ret_fd = fd;
    return MLN_OK;
}

/* ---- reading ---- */

static ssize_t read_some(int fd, void *to, size_t n)
{
    ssize_t got;
    if (injected(MLN_FAULT_READ)) {
        return -1;
    }
    do {
        got = read(fd, to, n);
    } while (got < 0 && errno == EINTR);
    return got;
}

static struct mln_err read_named(struct mln_cx *cx, int fd, const char *path, size_t max, struct mln_buf *ret)
{
    size_t before = ret->len;
    for (;;) {
        size_t left = max - (ret->len - before);
        size_t want = left < READ_STEP ? left + 1 : READ_STEP; /* one more tells a file that is too large */
        if (!mln_buf_reserve(ret, want)) {
            return mln_buf_ok(cx, ret);
        }
        ssize_t got = read_some(fd, ret->ptr + ret->len, want);
        if (got < 0) {
            return io_failed(cx, "read", path, errno);
        }
        if (got == 0) {
            return MLN_OK;
        }
        if ((size_t)got > left) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "%s is too large: more than %zu bytes", path, max);
        }
        ret->len += (size_t)got;
    }
}

struct mln_err mln_fd_read_all(struct mln_cx *cx, int fd, size_t max, struct mln_buf *ret)
{
    return read_named(cx, fd, a_file, max, ret);
}

struct mln_err mln_file_read_all(struct mln_cx *cx, const char *path, size_t max, struct mln_buf *ret)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, path, O_RDONLY, 0, &fd));
    return read_named(cx, fd, path, max, ret);
}

struct mln_err mln_fd_pread(struct mln_cx *cx, int fd, void *to, size_t n, uint64_t offset)
{
    uint8_t *at = to;
    while (n > 0) {
        ssize_t got = injected(MLN_FAULT_READ) ? -1 : pread(fd, at, n, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return io_failed(cx, "read", a_file, errno);
        }
        if (got == 0) {
            return mln_fail(cx, MLN_E_IO, "cannot read the file: it ends %zu bytes early", n);
        }
        at += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return MLN_OK;
}

struct mln_err mln_file_size(struct mln_cx *cx, int fd, uint64_t *ret)
{
    struct stat st;
    if (injected(MLN_FAULT_READ) || fstat(fd, &st) != 0) {
        return io_failed(cx, "look at", a_file, errno);
    }
    *ret = (uint64_t)st.st_size;
    return MLN_OK;
}

/* ---- writing ---- */

static struct mln_err write_named(struct mln_cx *cx, int fd, const char *path, const void *from, size_t n)
{
    const uint8_t *at = from;
    while (n > 0) {
        ssize_t put = injected(MLN_FAULT_WRITE) ? -1 : write(fd, at, n);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return io_failed(cx, "write", path, errno);
        }
        at += put;
        n -= (size_t)put;
    }
    return MLN_OK;
}

struct mln_err mln_fd_write(struct mln_cx *cx, int fd, const void *from, size_t n)
{
    return write_named(cx, fd, a_file, from, n);
}

struct mln_err mln_fd_pwrite(struct mln_cx *cx, int fd, const void *from, size_t n, uint64_t offset)
{
    const uint8_t *at = from;
    while (n > 0) {
        ssize_t put = injected(MLN_FAULT_WRITE) ? -1 : pwrite(fd, at, n, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return io_failed(cx, "write", a_file, errno);
        }
        at += put;
        offset += (uint64_t)put;
        n -= (size_t)put;
    }
    return MLN_OK;
}

static struct mln_err sync_named(struct mln_cx *cx, int fd, const char *path)
{
    if (injected(MLN_FAULT_SYNC) || fdatasync(fd) != 0) {
        return io_failed(cx, "sync", path, errno);
    }
    return MLN_OK;
}

struct mln_err mln_fd_sync(struct mln_cx *cx, int fd)
{
    return sync_named(cx, fd, a_file);
}

struct mln_err mln_dir_sync(struct mln_cx *cx, const char *dir)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, dir, O_RDONLY | O_DIRECTORY, 0, &fd));
    if (injected(MLN_FAULT_SYNC) || fsync(fd) != 0) {
        return io_failed(cx, "sync", dir, errno);
    }
    return MLN_OK;
}

struct mln_err mln_fs_sync(struct mln_cx *cx, const char *dir)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, dir, O_RDONLY | O_DIRECTORY, 0, &fd));
    if (injected(MLN_FAULT_SYNC) || syncfs(fd) != 0) {
        return io_failed(cx, "sync", dir, errno);
    }
    return MLN_OK;
}

/* The folder part of `path` into memory of mln_alloc: "." when there is none. */
static char *folder_of(const char *path)
{
    char *dir = mln_strdup(path);
    if (dir == NULL) {
        return NULL;
    }
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        mln_free(dir);
        return mln_strdup(".");
    }
    slash[slash == dir ? 1 : 0] = '\0';
    return dir;
}

static struct mln_err replace_by(struct mln_cx *cx, const char *path, const char *temporary,
                                 struct mln_bytes content, unsigned mode, bool durable)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_file_open(cx, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode, &fd));
    struct mln_err err = write_named(cx, fd, path, content.ptr, content.len);
    if (!mln_failed(err) && durable) {
        err = sync_named(cx, fd, path);
    }
    if (!mln_failed(err) && (injected(MLN_FAULT_WRITE) || rename(temporary, path) != 0)) {
        err = io_failed(cx, "replace", path, errno);
    }
    if (mln_failed(err)) {
        (void)unlink(temporary);
    }
    return err;
}

struct mln_err mln_file_replace(struct mln_cx *cx, const char *path, struct mln_bytes content, unsigned mode,
                                bool durable)
{
    char mark[13];
    mln_random_base62(mark, sizeof(mark) - 1);
    size_t n = strlen(path) + sizeof(mark) + 8;
    MLN_AUTO(mln_free_drop) char *temporary = mln_alloc(n);
    MLN_AUTO(mln_free_drop) char *dir = folder_of(path);
    if (temporary == NULL || dir == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    (void)snprintf(temporary, n, "%s.%s.tmp", path, mark);
    MLN_TRY(replace_by(cx, path, temporary, content, mode, durable));
    return durable ? mln_dir_sync(cx, dir) : MLN_OK;
}

/* ---- folders ---- */

static struct mln_err dir_make_one(struct mln_cx *cx, const char *dir, unsigned mode)
{
    if (injected(MLN_FAULT_WRITE)) {
        return io_failed(cx, "make the folder", dir, errno);
    }
    if (mkdir(dir, (mode_t)mode) == 0) {
        return MLN_OK;
    }
    int error = errno;
    struct stat st;
    if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)) {
        return MLN_OK;
    }
    return io_failed(cx, "make the folder", dir, error);
}

struct mln_err mln_dir_make(struct mln_cx *cx, const char *dir, unsigned mode)
{
    MLN_AUTO(mln_free_drop) char *part = mln_strdup(dir);
    if (part == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    for (char *at = part + 1; *part != '\0' && *at != '\0'; at++) {
        if (*at == '/') {
            *at = '\0';
            MLN_TRY(dir_make_one(cx, part, mode));
            *at = '/';
        }
    }
    return dir_make_one(cx, part, mode);
}

static void dir_drop(DIR **dir)
{
    if (*dir != NULL) {
        (void)closedir(*dir);
        *dir = NULL;
    }
}

static int by_name(const void *a, const void *b)
{
    return mln_value_cmp(a, b);
}

struct mln_err mln_dir_list(struct mln_cx *cx, const char *dir, const struct mln_value **ret)
{
    MLN_AUTO(dir_drop) DIR *open_dir = injected(MLN_FAULT_READ) ? NULL : opendir(dir);
    if (open_dir == NULL) {
        return io_failed(cx, "list", dir, errno);
    }
    struct mln_value *names = mln_array(cx);
    for (;;) {
        errno = injected(MLN_FAULT_READ) ? EIO : 0;
        const struct dirent *entry = errno == 0 ? readdir(open_dir) : NULL;
        if (entry == NULL && errno != 0) {
            return io_failed(cx, "list", dir, errno);
        }
        if (entry == NULL || mln_failed(mln_cx_err(cx))) {
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            mln_push(cx, names, mln_string_dup(cx, mln_bytes_of(entry->d_name)));
        }
    }
    MLN_TRY(mln_cx_err(cx));
    if (names->len > 1) {
        qsort(names->items, names->len, sizeof(names->items[0]), by_name);
    }
    *ret = names;
    return MLN_OK;
}
