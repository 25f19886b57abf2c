/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a model: a folder walked without following links, or one file. Everything is reached
 * through the folder's descriptor with openat and O_NOFOLLOW, so that a name swapped for a link
 * between two looks is noticed.
 */
#pragma once

#include "base/value.h"

#define MLN_TREE_FILES_MAX (1u << 20) /* more is no model; bounds memory */
#define MLN_TREE_DEPTH_MAX 64
#define MLN_TREE_PATH_MAX  4096

enum mln_tree_kind {
    MLN_TREE_FILE,
    MLN_TREE_LINK_FILE, /* a symbolic link to a regular file */
    MLN_TREE_LINK_ODD,  /* a broken link, or one to a folder or device */
    MLN_TREE_ODD,       /* socket, device, pipe */
};

struct mln_tree_file {
    const char *path; /* relative, "/" between components; "." when the model is one file */
    enum mln_tree_kind kind;
    uint64_t size;
    int64_t mtime_ns, ctime_ns;
    uint64_t inode, device;
    unsigned mode;
};

struct mln_tree {
    int root_fd; /* -1 = none */
    bool is_file;
    const char *name;            /* last component of the path that was given, resolved ("." too) */
    struct mln_tree_file *files; /* sorted by components, as OMS.md section 3 has them */
    size_t n_files;
    uint64_t bytes;
};

/*
 * List what is below `path`.
 *
 * ignore    array of relative paths, NULL for none; a folder ignores all below it, component by
 *           component; "." ignores all
 * ret       in the arena of cx; close it with mln_tree_drop (MLN_AUTO)
 * errors    NOT_FOUND, DENIED, IO; INVALID for a name that is no UTF-8; TOO_LARGE
 */
struct mln_err mln_tree_walk(struct mln_cx *cx, const char *path, const struct mln_value *ignore,
                             struct mln_tree *ret);
void mln_tree_drop(struct mln_tree *tree);
/* INVALID, naming the file, unless it is a regular file (or a link to one where allowed). */
struct mln_err mln_tree_check(struct mln_cx *cx, const struct mln_tree_file *file,
                              bool allow_symlinks);
/* Open for reading; CONFLICT when it is not what the walk saw. */
struct mln_err mln_tree_open(struct mln_cx *cx, const struct mln_tree *tree,
                             const struct mln_tree_file *file, int *ret_fd);
/* CONFLICT when size or times are no longer what the walk saw. */
struct mln_err mln_tree_unchanged(struct mln_cx *cx, const struct mln_tree_file *file, int fd);
/* Whether path is `rule` or below it; the rule "." holds for everything. */
bool mln_tree_is_below(const char *path, struct mln_bytes rule);
bool mln_tree_is_ignored(const char *path, const struct mln_value *rules);
/* Order of two paths by components: "/" sorts before every other byte. */
int mln_tree_cmp(const char *a, const char *b);
/*
 * A relative path that cannot leave its folder: not empty, no NUL, not absolute, no empty, "." or
 * ".." component.
 */
bool mln_tree_path_valid(struct mln_bytes path);
/* A name for one line of text: control characters become "?". In the arena of cx. */
const char *mln_tree_show(struct mln_cx *cx, struct mln_bytes name);
