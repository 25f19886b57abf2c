/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and descriptors, reached only through here: whole reads and writes, EINTR, short counts, fault injection.
 * ENOSPC and EDQUOT are MLN_E_FULL, ENOENT is MLN_E_NOT_FOUND, EACCES and EPERM are MLN_E_DENIED, others MLN_E_IO; the text
 * names the path as the caller gave it.
 */
#pragma once

#include "base/value.h"

void mln_fd_drop(int *fd); /* MLN_AUTO(mln_fd_drop) int fd = -1; */
struct mln_err mln_file_open(struct mln_cx *cx, const char *path, int flags, unsigned mode, int *ret_fd); /* adds O_CLOEXEC */
struct mln_err mln_file_read_all(struct mln_cx *cx, const char *path, size_t max, struct mln_buf *ret); /* appends; TOO_LARGE over max */
struct mln_err mln_fd_read_all(struct mln_cx *cx, int fd, size_t max, struct mln_buf *ret);
struct mln_err mln_fd_pread(struct mln_cx *cx, int fd, void *to, size_t n, uint64_t offset); /* all n bytes; a short file is IO */
struct mln_err mln_fd_pwrite(struct mln_cx *cx, int fd, const void *from, size_t n, uint64_t offset);
struct mln_err mln_fd_write(struct mln_cx *cx, int fd, const void *from, size_t n);
struct mln_err mln_fd_sync(struct mln_cx *cx, int fd); /* fdatasync */
struct mln_err mln_dir_sync(struct mln_cx *cx, const char *dir);
/* Everything written so far on the file system that holds `dir`: one call where many files would need one each. */
struct mln_err mln_fs_sync(struct mln_cx *cx, const char *dir);
/* Write to a temporary name beside it, sync, rename, sync the folder: a crash leaves the old file or the new. */
struct mln_err mln_file_replace(struct mln_cx *cx, const char *path, struct mln_bytes content, unsigned mode, bool durable);
struct mln_err mln_dir_make(struct mln_cx *cx, const char *dir, unsigned mode); /* and its parents; fine when there */
struct mln_err mln_file_size(struct mln_cx *cx, int fd, uint64_t *ret);
/* Sorted names in a folder, without . and .. : an array of strings in the arena of cx. */
struct mln_err mln_dir_list(struct mln_cx *cx, const char *dir, const struct mln_value **ret);
