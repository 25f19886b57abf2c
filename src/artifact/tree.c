/* SPDX-License-Identifier: Apache-2.0 */
/* Walking and opening the files of a model; what it promises stands in tree.h. */
#include "artifact/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/text.h"

#define NS 1000000000

struct walk {
    struct mln_cx *cx;
    const struct mln_value *ignore;
    struct mln_buf files; /* struct mln_tree_file, one after the other */
};

static enum mln_code code_of(int error)
{
    return error == ENOENT || error == ENOTDIR ? MLN_E_NOT_FOUND
           : error == EACCES || error == EPERM ? MLN_E_DENIED
                                               : MLN_E_IO;
}

static struct mln_err failed(struct mln_cx *cx, const char *what, const char *path, int error)
{
    char why[128];
    return mln_fail(cx, code_of(error), "cannot %s %s: %s", what, path,
                    strerror_r(error, why, sizeof(why)));
}

static void dir_drop(DIR **dir)
{
    if (*dir != NULL) {
        closedir(*dir);
    }
}

bool mln_tree_is_below(const char *path, struct mln_bytes rule)
{
    while (rule.len > 0 && rule.ptr[rule.len - 1] == '/') {
        rule.len--;
    }
    if (mln_bytes_is(rule, ".")) {
        return true;
    }
    struct mln_bytes p = mln_bytes_of(path);
    return rule.len > 0 && mln_bytes_starts(p, rule) &&
           (p.len == rule.len || p.ptr[rule.len] == '/');
}

bool mln_tree_is_ignored(const char *path, const struct mln_value *rules)
{
    for (size_t i = 0; i < mln_len(rules); i++) {
        if (mln_tree_is_below(path, mln_get_bytes(mln_item(rules, i)))) {
            return true;
        }
    }
    return false;
}

int mln_tree_cmp(const char *a, const char *b)
{
    for (; *a != '\0' && *a == *b; a++) {
        b++;
    }
    int x = *a == '\0' ? -1 : *a == '/' ? 0 : (uint8_t)*a;
    int y = *b == '\0' ? -1 : *b == '/' ? 0 : (uint8_t)*b;
    return x < y ? -1 : x > y;
}

bool mln_tree_path_valid(struct mln_bytes path)
{
    if (path.len == 0 || path.len > MLN_TREE_PATH_MAX || mln_bytes_find(path, 0) < path.len ||
        !mln_utf8_valid(path)) {
        return false;
    }
    for (;;) {
        size_t at = mln_bytes_find(path, '/');
        struct mln_bytes part = mln_bytes_sub(path, 0, at);
        if (part.len == 0 || mln_bytes_is(part, ".") || mln_bytes_is(part, "..")) {
            return false;
        }
        if (at == path.len) {
            return true;
        }
        path = mln_bytes_from(path, at + 1);
    }
}

const char *mln_tree_show(struct mln_cx *cx, struct mln_bytes name)
{
    char *text = mln_new(cx, name.len + 1);
    if (text == NULL) {
        return "";
    }
    bool is_text = mln_utf8_valid(name);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        text[i] = c < 0x20 || c == 0x7f || (c >= 0x80 && !is_text) ? '?' : (char)c;
    }
    return text;
}

static void note_stat(struct mln_tree_file *file, const struct stat *st)
{
    file->size = (uint64_t)st->st_size;
    file->mtime_ns = (int64_t)st->st_mtim.tv_sec * NS + st->st_mtim.tv_nsec;
    file->ctime_ns = (int64_t)st->st_ctim.tv_sec * NS + st->st_ctim.tv_nsec;
    file->inode = st->st_ino;
    file->device = st->st_dev;
    file->mode = st->st_mode & 0777;
}

static struct mln_err add_file(struct walk *w, int dir_fd, const char *name, const char *path,
                               const struct stat *st)
{
    struct mln_tree_file file = {.path = path, .kind = MLN_TREE_FILE};
    note_stat(&file, st);
    if (S_ISLNK(st->st_mode)) {
        struct stat target;
        bool is_file = fstatat(dir_fd, name, &target, 0) == 0 && S_ISREG(target.st_mode);
        file.kind = is_file ? MLN_TREE_LINK_FILE : MLN_TREE_LINK_ODD;
        if (is_file) {
            note_stat(&file, &target);
        }
    } else if (!S_ISREG(st->st_mode)) {
        file.kind = MLN_TREE_ODD;
    }
    mln_buf_add(&w->files, &file, sizeof(file));
    if (w->files.len / sizeof(file) > MLN_TREE_FILES_MAX) {
        return mln_fail(w->cx, MLN_E_TOO_LARGE, "the model has more than %u files",
                        MLN_TREE_FILES_MAX);
    }
    return mln_buf_ok(w->cx, &w->files);
}

static struct mln_err walk_dir(struct walk *w, int fd, const char *prefix, unsigned depth);

static struct mln_err walk_entry(struct walk *w, int dir_fd, const char *name, const char *prefix,
                                 unsigned depth)
{
    struct mln_bytes text = mln_bytes_of(name);
    if (!mln_utf8_valid(text)) {
        return mln_fail(w->cx, MLN_E_INVALID, "the name of a file in %s is not UTF-8: %s",
                        *prefix ? prefix : ".", mln_tree_show(w->cx, text));
    }
    const char *path =
        *prefix ? mln_text_format(w->cx, "%s/%s", prefix, name) : mln_text_dup(w->cx, text);
    MLN_TRY(mln_cx_err(w->cx));
    if (mln_bytes_of(path).len > MLN_TREE_PATH_MAX) {
        return mln_fail(w->cx, MLN_E_TOO_LARGE, "a path in the model is longer than %d bytes",
                        MLN_TREE_PATH_MAX);
    }
    if (mln_tree_is_ignored(path, w->ignore)) {
        return MLN_OK;
    }
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return failed(w->cx, "look at", path, errno);
    }
    if (!S_ISDIR(st.st_mode)) {
        return add_file(w, dir_fd, name, path, &st);
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? failed(w->cx, "open folder", path, errno) : walk_dir(w, fd, path, depth + 1);
}

/* Takes fd over. */
static struct mln_err walk_dir(struct walk *w, int fd, const char *prefix, unsigned depth)
{
    MLN_AUTO(dir_drop) DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int error = errno;
        close(fd);
        return failed(w->cx, "list", prefix, error);
    }
    if (depth > MLN_TREE_DEPTH_MAX) {
        return mln_fail(w->cx, MLN_E_TOO_LARGE, "folders of the model are nested deeper than %d",
                        MLN_TREE_DEPTH_MAX);
    }
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno == 0 ? MLN_OK : failed(w->cx, "list", prefix, errno);
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            MLN_TRY(walk_entry(w, dirfd(dir), entry->d_name, prefix, depth));
        }
    }
}

static int by_path(const void *a, const void *b)
{
    return mln_tree_cmp(((const struct mln_tree_file *)a)->path,
                        ((const struct mln_tree_file *)b)->path);
}

/* The last component of where the path leads, so that "." and "x/" have a name too. */
static const char *name_of(struct mln_cx *cx, const char *path)
{
    char whole[PATH_MAX];
    const char *slash = realpath(path, whole) != NULL ? strrchr(whole, '/') : NULL;
    const char *name = mln_text_dup(cx, mln_bytes_of(slash != NULL ? slash + 1 : path));
    return *name != '\0' ? name : "model";
}

static struct mln_err finish(struct walk *w, struct mln_tree *tree)
{
    tree->n_files = w->files.len / sizeof(struct mln_tree_file);
    tree->files = mln_new_array(w->cx, tree->n_files + 1, sizeof(struct mln_tree_file));
    MLN_TRY(mln_cx_err(w->cx));
    mln_copy(tree->files, w->files.ptr, w->files.len);
    qsort(tree->files, tree->n_files, sizeof(struct mln_tree_file), by_path);
    for (size_t i = 0; i < tree->n_files; i++) {
        tree->bytes += tree->files[i].size;
    }
    return MLN_OK;
}

static struct mln_err walk_root(struct walk *w, struct mln_tree *tree, const struct stat *st)
{
    tree->is_file = S_ISREG(st->st_mode);
    if (tree->is_file) {
        MLN_TRY(add_file(w, tree->root_fd, "", ".", st));
    } else if (S_ISDIR(st->st_mode)) {
        int fd = openat(tree->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            return failed(w->cx, "open folder", tree->name, errno);
        }
        MLN_TRY(walk_dir(w, fd, "", 0));
    } else {
        return mln_fail(w->cx, MLN_E_INVALID, "%s is neither a file nor a folder", tree->name);
    }
    return finish(w, tree);
}

struct mln_err mln_tree_walk(struct mln_cx *cx, const char *path, const struct mln_value *ignore,
                             struct mln_tree *ret)
{
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    MLN_TRY(mln_file_open(cx, path, O_RDONLY | O_NONBLOCK, 0, &tree.root_fd));
    struct stat st;
    if (fstat(tree.root_fd, &st) != 0) {
        return failed(cx, "look at", path, errno);
    }
    tree.name = name_of(cx, path);
    struct walk w = {.cx = cx, .ignore = ignore};
    struct mln_err err = walk_root(&w, &tree, &st);
    mln_buf_drop(&w.files);
    MLN_TRY(err);
    MLN_TRY(mln_cx_err(cx));
    *ret = tree;
    tree.root_fd = -1;
    return MLN_OK;
}

void mln_tree_drop(struct mln_tree *tree)
{
    mln_fd_drop(&tree->root_fd);
}

struct mln_err mln_tree_check(struct mln_cx *cx, const struct mln_tree_file *file,
                              bool allow_symlinks)
{
    switch (file->kind) {
    case MLN_TREE_FILE:
        return MLN_OK;
    case MLN_TREE_LINK_FILE:
        if (allow_symlinks) {
            return MLN_OK;
        }
        return mln_fail(cx, MLN_E_INVALID, "%s is a symbolic link", file->path);
    case MLN_TREE_LINK_ODD:
        return mln_fail(cx, MLN_E_INVALID, "%s is a symbolic link that leads to no regular file",
                        file->path);
    case MLN_TREE_ODD:
    default:
        return mln_fail(cx, MLN_E_INVALID, "%s is not a regular file", file->path);
    }
}

static struct mln_err changed(struct mln_cx *cx, const char *path)
{
    return mln_fail(cx, MLN_E_CONFLICT, "%s changed while it was read", path);
}

struct mln_err mln_tree_unchanged(struct mln_cx *cx, const struct mln_tree_file *file, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return failed(cx, "look at", file->path, errno);
    }
    struct mln_tree_file now = *file;
    note_stat(&now, &st);
    bool is_same = S_ISREG(st.st_mode) && now.size == file->size &&
                   now.mtime_ns == file->mtime_ns && now.inode == file->inode &&
                   now.device == file->device;
    return is_same ? MLN_OK : changed(cx, file->path);
}

/* Walk down to the folder that holds the last component; *name is that component. */
static struct mln_err open_parent(struct mln_cx *cx, int root_fd, const char *path, int *ret_fd,
                                  const char **name)
{
    char part[NAME_MAX + 1];
    MLN_AUTO(mln_fd_drop) int fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
    const char *at = path;
    for (const char *slash; (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        size_t n = (size_t)(slash - at);
        if (n > NAME_MAX) {
            return failed(cx, "open", path, ENAMETOOLONG);
        }
        mln_copy(part, at, n);
        part[n] = '\0';
        int next = openat(fd, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            return errno == ELOOP || errno == ENOTDIR ? changed(cx, path)
                                                      : failed(cx, "open", path, errno);
        }
        mln_fd_drop(&fd);
        fd = next;
    }
    if (fd < 0) {
        return failed(cx, "open", path, errno);
    }
    *ret_fd = fd;
    fd = -1;
    *name = at;
    return MLN_OK;
}

struct mln_err mln_tree_open(struct mln_cx *cx, const struct mln_tree *tree,
                             const struct mln_tree_file *file, int *ret_fd)
{
    MLN_CHECK(tree->root_fd >= 0 && file->path != NULL);
    MLN_AUTO(mln_fd_drop) int fd = -1;
    if (tree->is_file) {
        fd = fcntl(tree->root_fd, F_DUPFD_CLOEXEC, 0);
    } else {
        MLN_AUTO(mln_fd_drop) int dir = -1;
        const char *name = NULL;
        MLN_TRY(open_parent(cx, tree->root_fd, file->path, &dir, &name));
        MLN_CHECK(name != NULL);
        int follow = file->kind == MLN_TREE_LINK_FILE ? 0 : O_NOFOLLOW;
        fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | follow);
    }
    if (fd < 0) {
        return errno == ELOOP ? changed(cx, file->path) : failed(cx, "open", file->path, errno);
    }
    MLN_TRY(mln_tree_unchanged(cx, file, fd));
    *ret_fd = fd;
    fd = -1;
    return MLN_OK;
}
