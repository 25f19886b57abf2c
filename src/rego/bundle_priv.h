/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   bundle.c         files to a bundle: manifest, modules        bundle_tar.c     tar, both ways
 *   bundle_data.c    documents, patches, roots                   bundle_sign.c    hashes and signatures
 *   bundle_folder.c  folders
 */
#pragma once

#include "rego/bundle.h"

#define BUNDLE_MANIFEST   ".manifest"
#define BUNDLE_SIGNATURES ".signatures.json"
#define BUNDLE_PATCH      "patch.json"

/* The memory of a bundle. */
struct mln_bundle_store {
    struct mln_arena *arena;
    struct mln_buf unpacked; /* the tar, or the files of a folder behind one another */
};

/* A bundle while it is put together. */
struct bundle_making {
    struct mln_cx *cx;   /* with the bundle's own arena */
    const struct mln_bundle_options *options;
    struct mln_bundle *bundle;
    struct mln_bundle_file *files;
    size_t n, cap;
};

/* ---- bundle.c ---- */
struct mln_err bundle_new(struct mln_cx *cx, struct mln_bundle **ret);
/* The next file, `bytes` borrowed from the store. errors INVALID (path), EXISTS, LIMIT */
struct mln_err bundle_add_file(struct bundle_making *m, struct mln_bytes path, struct mln_bytes bytes);
/* All files are there: sort, verify, read. */
struct mln_err bundle_finish(struct bundle_making *m);
/* Is the path one that a file of a bundle may have? */
bool bundle_path_ok(struct mln_bytes path);
struct mln_bytes bundle_base_name(const char *path);
bool bundle_is_document(struct mln_bytes name); /* data.json, data.yaml, data.yml */
const struct mln_bundle_file *bundle_find(const struct mln_bundle_file *files, size_t n, const char *path);
/* Run `fill` on a new bundle; what went wrong is told to cx. */
typedef struct mln_err bundle_fill_fn(struct bundle_making *m, const void *from);
struct mln_err bundle_make(struct mln_cx *cx, const struct mln_bundle_options *options, bundle_fill_fn *fill,
                           const void *from, struct mln_bundle **ret);

/* ---- bundle_tar.c ---- */
struct mln_err bundle_unpack(struct bundle_making *m, struct mln_bytes packed);

/* ---- bundle_data.c ---- */
struct mln_err bundle_read_data(struct bundle_making *m);
struct mln_err bundle_check_patch(struct bundle_making *m);
/* root is path, or above it; both without slashes at the ends. */
bool bundle_is_below(struct mln_bytes path, struct mln_bytes root);

/* ---- bundle_sign.c ---- */
/* Sets bundle->is_verified. errors FORGED: the text says of what */
struct mln_err bundle_verify(struct bundle_making *m);
