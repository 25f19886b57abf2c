/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of files; what they promise stands in digest.h. */
#include "artifact/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>

#include "base/io.h"

#define BLOCK                                                                                      \
    ((size_t)256 << 10) /* stays in the second-level cache; larger blocks measured no faster */

struct digest_run {
    const struct mln_tree *tree;
    struct mln_digest_job *jobs;
    EVP_MD *md;
    EVP_MD_CTX *ctx[MLN_WORK_THREADS_MAX];
    uint8_t *block[MLN_WORK_THREADS_MAX];
};

size_t mln_digest_len(enum mln_digest kind)
{
    return kind == MLN_DIGEST_SHA256 ? 32 : 64;
}

const char *mln_digest_name(enum mln_digest kind)
{
    return kind == MLN_DIGEST_SHA256 ? "sha256" : "blake2b";
}

bool mln_digest_parse(struct mln_bytes name, enum mln_digest *ret)
{
    if (!mln_bytes_is(name, "sha256") && !mln_bytes_is(name, "blake2b")) {
        return false;
    }
    *ret = mln_bytes_is(name, "sha256") ? MLN_DIGEST_SHA256 : MLN_DIGEST_BLAKE2B;
    return true;
}

static struct mln_err hash_range(struct mln_cx *cx, struct mln_work *work, unsigned worker,
                                 const struct mln_digest_job *job, int fd)
{
    struct digest_run *run = work->arg;
    for (uint64_t at = job->start; at < job->end && !mln_work_is_over(work);) {
        size_t n = job->end - at < BLOCK ? (size_t)(job->end - at) : BLOCK;
        struct mln_err err = mln_fd_pread(cx, fd, run->block[worker], n, at);
        if (mln_failed(err)) {
            struct mln_err same = mln_tree_unchanged(NULL, job->file, fd);
            return mln_failed(same)
                       ? mln_refail(cx, MLN_E_CONFLICT, "%s changed while it was read",
                                    job->file->path)
                       : mln_refail(cx, (enum mln_code)err.code, "cannot read %s", job->file->path);
        }
        if (EVP_DigestUpdate(run->ctx[worker], run->block[worker], n) != 1) {
            return mln_fail(cx, MLN_E_CRYPTO, "cannot hash %s", job->file->path);
        }
        at += n;
        mln_work_step(work, worker, n);
    }
    return MLN_OK;
}

static struct mln_err hash_job(struct mln_cx *cx, struct mln_work *work, unsigned worker,
                               size_t index)
{
    struct digest_run *run = work->arg;
    struct mln_digest_job *job = &run->jobs[index];
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(mln_tree_open(cx, run->tree, job->file, &fd));
    posix_fadvise(fd, (off_t)job->start, (off_t)(job->end - job->start), POSIX_FADV_SEQUENTIAL);
    if (EVP_DigestInit_ex2(run->ctx[worker], run->md, NULL) != 1) {
        return mln_fail(cx, MLN_E_CRYPTO, "cannot hash %s", job->file->path);
    }
    MLN_TRY(hash_range(cx, work, worker, job, fd));
    MLN_TRY(mln_tree_unchanged(cx, job->file, fd));
    if (EVP_DigestFinal_ex(run->ctx[worker], job->digest, NULL) != 1) {
        return mln_fail(cx, MLN_E_CRYPTO, "cannot hash %s", job->file->path);
    }
    return MLN_OK;
}

static void run_drop(struct digest_run *run)
{
    for (size_t i = 0; i < MLN_WORK_THREADS_MAX; i++) {
        EVP_MD_CTX_free(run->ctx[i]);
        mln_free(run->block[i]);
    }
    EVP_MD_free(run->md);
}

struct mln_err mln_digest_files(struct mln_cx *cx, const struct mln_tree *tree,
                                enum mln_digest kind, struct mln_digest_job *jobs, size_t n_jobs,
                                struct mln_work_progress progress)
{
    MLN_AUTO(run_drop) struct digest_run run = {.tree = tree, .jobs = jobs};
    struct mln_work work = {.item = hash_job, .arg = &run, .n_items = n_jobs, .progress = progress};
    for (size_t i = 0; i < n_jobs; i++) {
        work.all_bytes += jobs[i].end - jobs[i].start;
    }
    run.md = EVP_MD_fetch(NULL, kind == MLN_DIGEST_SHA256 ? "SHA256" : "BLAKE2B-512", NULL);
    if (run.md == NULL) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "%s is not supported by this OpenSSL",
                        mln_digest_name(kind));
    }
    for (unsigned i = 0; i < mln_work_threads(&work); i++) {
        run.ctx[i] = EVP_MD_CTX_new();
        run.block[i] = mln_alloc(BLOCK);
        if (run.ctx[i] == NULL || run.block[i] == NULL) {
            return mln_fail(cx, MLN_E_MEMORY, "no memory to hash files");
        }
    }
    return mln_work_run(cx, &work);
}
