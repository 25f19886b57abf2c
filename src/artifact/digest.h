/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of a model's files on all cores: SHA-256 and BLAKE2b-512 by OpenSSL, blocks of a fixed
 * size, so that memory does not depend on the files. One file under one digest cannot be split over
 * cores; shards and several files can.
 */
#pragma once

#include "artifact/digest_pool.h"
#include "artifact/tree.h"

enum mln_digest { MLN_DIGEST_SHA256, MLN_DIGEST_BLAKE2B };

#define MLN_DIGEST_MAX 64

/*
 * One digest to compute: bytes start..end of a file of the tree (end 0 with start 0 = an empty or a
 * whole file).
 */
struct mln_digest_job {
    const struct mln_tree_file *file;
    uint64_t start, end; /* end is exclusive, at most file->size */
    uint8_t digest[MLN_DIGEST_MAX];
};

size_t mln_digest_len(enum mln_digest kind);       /* 32, 64 */
const char *mln_digest_name(enum mln_digest kind); /* "sha256", "blake2b" */
/* By OMS name; false for others. */
bool mln_digest_parse(struct mln_bytes name, enum mln_digest *ret);
/*
 * Fill jobs[].digest. errors: CONFLICT when a file changes meanwhile, NOT_FOUND, DENIED, IO,
 * MEMORY; each names the file.
 */
struct mln_err mln_digest_files(struct mln_cx *cx, const struct mln_tree *tree,
                                enum mln_digest kind, struct mln_digest_job *jobs, size_t n_jobs,
                                struct mln_work_progress progress);
