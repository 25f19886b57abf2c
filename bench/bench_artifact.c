/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashing for model signatures and age encryption of whole files, per core and by all cores, beside
 * what OpenSSL does on bytes that lie in the cache already. Usage: bench_artifact [FOLDER
 * [MEBIBYTES]]; files are made in FOLDER and removed.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/age.h"
#include "artifact/oms.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define FILES  4
#define ROUNDS 3
#define GIGA   1e9

static char folder[256];
static uint64_t file_bytes;
static uint8_t block[1 << 20], boxed[(1 << 20) + 16];
static struct mln_arena *arena;
static struct mln_cx cx;
static struct mln_age_recipient recipient;
static uint8_t identity[32];

static void stop(const char *what)
{
    fprintf(stderr, "bench_artifact: %s: %s\n", what, cx.text);
    exit(1);
}

/* The best of some rounds; wall and CPU seconds of that round. */
static void measure(const char *name, double bytes, double beside, void (*run)(void),
                    double *ret_per_core)
{
    double best = 0;
    double wall_best = 0;
    for (int i = 0; i < ROUNDS; i++) {
        int64_t wall = mln_mono_ns();
        int64_t cpu = mln_cpu_ns();
        run();
        double per_core = bytes / (double)(mln_cpu_ns() - cpu);
        double whole = bytes / (double)(mln_mono_ns() - wall);
        if (per_core > best) {
            best = per_core;
        }
        if (whole > wall_best) {
            wall_best = whole;
        }
        mln_arena_reset(arena);
    }
    printf("%-34s %8.2f %8.2f", name, best, wall_best);
    printf(beside > 0 ? " %8.2f\n" : "\n", best / beside);
    if (ret_per_core != NULL) {
        *ret_per_core = best;
    }
}

static void raw_sha256(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    for (uint64_t i = 0; i < FILES * file_bytes / sizeof(block); i++) {
        EVP_DigestUpdate(ctx, block, sizeof(block));
    }
    EVP_MD_CTX_free(ctx);
}

static void raw_chacha(void)
{
    static const uint8_t key[32], nonce[12];
    int n = 0;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, nonce);
    for (uint64_t i = 0; i < file_bytes / MLN_AGE_CHUNK; i++) {
        EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce);
        EVP_EncryptUpdate(ctx, boxed, &n, block, MLN_AGE_CHUNK);
        EVP_EncryptFinal_ex(ctx, boxed + n, &n);
    }
    EVP_CIPHER_CTX_free(ctx);
}

/* A new file: replacing one makes some file systems write it out at once. */
static const char *fresh(const char *ending)
{
    const char *path = mln_text_format(&cx, "%s.%s", folder, ending);
    unlink(path);
    return path;
}

static void manifest(void)
{
    struct mln_oms_manifest made;
    const struct mln_oms_options options = {0};
    if (mln_failed(mln_oms_manifest(&cx, folder, &options, &made))) {
        stop("manifest");
    }
}

static void manifest_shards(void)
{
    struct mln_oms_manifest made;
    const struct mln_oms_options options = {.shard_size = 64 << 20};
    if (mln_failed(mln_oms_manifest(&cx, folder, &options, &made))) {
        stop("manifest");
    }
}

static void seal(void)
{
    struct mln_age_to to = {.recipients = &recipient, .n_recipients = 1};
    const struct mln_age_options options = {0};
    const char *in = mln_text_format(&cx, "%s/0", folder);
    if (mln_failed(mln_age_encrypt_file(&cx, in, fresh("age"), &to, &options))) {
        stop("encrypt");
    }
}

static void unseal(void)
{
    struct mln_age_with with = {.identities = mln_bytes_at(identity, 32)};
    const struct mln_age_options options = {0};
    const char *in = mln_text_format(&cx, "%s.age", folder);
    if (mln_failed(mln_age_decrypt_file(&cx, in, fresh("out"), &with, &options))) {
        stop("decrypt");
    }
}

static void chunks(void)
{
    static const uint8_t key[32], nonce[12];
    for (uint64_t i = 0; i < file_bytes / MLN_AGE_CHUNK; i++) {
        if (mln_failed(mln_chacha_seal(&cx, key, nonce, MLN_BYTES_NONE,
                                       mln_bytes_at(block, MLN_AGE_CHUNK), boxed))) {
            stop("seal");
        }
    }
}

/* Copying through memory without cryptography: the floor under encrypting and decrypting. */
static void copy_file(void)
{
    int in = -1;
    int out = -1;
    const char *from = mln_text_format(&cx, "%s/0", folder);
    if (mln_failed(mln_file_open(&cx, from, O_RDONLY, 0, &in)) ||
        mln_failed(mln_file_open(&cx, fresh("out"), O_RDWR | O_CREAT, 0600, &out))) {
        stop("copy");
    }
    for (uint64_t at = 0; at < file_bytes; at += 1 << 19) {
        if (mln_failed(mln_fd_pread(&cx, in, block, 1 << 19, at)) ||
            mln_failed(mln_fd_pwrite(&cx, out, block, 1 << 19, at))) {
            stop("copy");
        }
    }
    mln_fd_drop(&in);
    mln_fd_drop(&out);
}

static void make_files(void)
{
    mln_random(block, sizeof(block));
    for (int i = 0; i < FILES; i++) {
        int fd = -1;
        if (mln_failed(mln_file_open(&cx, mln_text_format(&cx, "%s/%d", folder, i),
                                     O_RDWR | O_CREAT | O_TRUNC, 0600, &fd))) {
            stop("files");
        }
        for (uint64_t at = 0; at < file_bytes; at += sizeof(block)) {
            if (mln_failed(mln_fd_pwrite(&cx, fd, block, sizeof(block), at))) {
                stop("files");
            }
        }
        mln_fd_drop(&fd);
    }
}

static void remove_files(void)
{
    for (int i = 0; i < FILES; i++) {
        unlink(mln_text_format(&cx, "%s/%d", folder, i));
    }
    unlink(mln_text_format(&cx, "%s.age", folder));
    unlink(mln_text_format(&cx, "%s.out", folder));
    rmdir(folder);
}

int main(int argc, char **argv)
{
    uint64_t mebibytes = 256;
    arena = mln_arena_new((size_t)64 << 20, false);
    mln_cx_init(&cx, arena);
    snprintf(folder, sizeof(folder), "%s/bench_artifact.XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if ((argc > 2 && !mln_u64_parse(mln_bytes_of(argv[2]), &mebibytes)) ||
        mkdtemp(folder) == NULL) {
        stop("usage: bench_artifact [FOLDER [MEBIBYTES]]");
    }
    file_bytes = mebibytes << 20;
    mln_random(identity, sizeof(identity));
    mln_x25519_public(identity, recipient.x25519);
    make_files();
    double sha = 0;
    double chacha = 0;
    double all = (double)(FILES * file_bytes);
    double one = (double)file_bytes;
    printf("%-34s %8s %8s %8s\n", "GB/s", "a core", "wall", "beside");
    measure("SHA-256, OpenSSL in memory", all, 0, raw_sha256, &sha);
    measure("model manifest, 4 files", all, sha, manifest, NULL);
    measure("model manifest, shards of 64 MiB", all, sha, manifest_shards, NULL);
    measure("ChaCha20-Poly1305, OpenSSL", one, 0, raw_chacha, &chacha);
    measure("age chunks in memory", one, chacha, chunks, NULL);
    measure("copy a file, no cryptography", one, 0, copy_file, NULL);
    measure("age encrypt a file", one, chacha, seal, NULL);
    measure("age decrypt a file", one, chacha, unseal, NULL);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("peak resident memory: %ld MiB\n", usage.ru_maxrss / 1024);
    remove_files();
    mln_arena_free(arena);
    return 0;
}
