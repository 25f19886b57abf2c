/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of an age file, and whole files. Chunks are independent, so every core seals or opens
 * runs of them straight from the one file into the other. What is damaged never gets its final
 * name: it stays in a temporary file that is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/age_priv.h"
#include "base/clock.h"
#include "base/io.h"
#include "crypto/crypto.h"

#define RUN_CHUNKS 8 /* per piece of work: half a megabyte a write; 2, 4 and 16 measured slower */
#define RUN_BYTES  ((RUN_CHUNKS + 1) * AGE_BOX)

void age_payload_key(const uint8_t file_key[MLN_AGE_KEY], const uint8_t nonce[AGE_NONCE],
                     uint8_t key[32])
{
    mln_hkdf_sha256(mln_bytes_at(file_key, MLN_AGE_KEY), mln_bytes_at(nonce, AGE_NONCE),
                    MLN_BYTES("payload"), key, 32);
}

/* Eleven bytes of counter and one that tells the last chunk. */
static void chunk_nonce(uint8_t nonce[12], uint64_t index, bool is_last)
{
    mln_fill(nonce, 0, 3);
    mln_put_u64be(nonce + 3, index);
    nonce[11] = is_last;
}

struct mln_err age_seal_chunk(struct mln_cx *cx, const uint8_t key[32], uint64_t index,
                              bool is_last, struct mln_bytes plain, uint8_t *box)
{
    uint8_t nonce[12];
    chunk_nonce(nonce, index, is_last);
    return mln_chacha_seal(cx, key, nonce, MLN_BYTES_NONE, plain, box);
}

struct mln_err age_open_chunk(struct mln_cx *cx, const uint8_t key[32], uint64_t index,
                              bool is_last, struct mln_bytes box, uint8_t *plain)
{
    uint8_t nonce[12];
    chunk_nonce(nonce, index, is_last);
    if (mln_failed(mln_chacha_open(NULL, key, nonce, MLN_BYTES_NONE, box, plain))) {
        return mln_fail(cx, MLN_E_FORGED, "age: the file is damaged or cut off at chunk %llu",
                        (unsigned long long)index);
    }
    return MLN_OK;
}

struct mln_err age_count_chunks(struct mln_cx *cx, uint64_t n, uint64_t *ret_chunks,
                                uint64_t *ret_plain)
{
    uint64_t chunks = n / AGE_BOX + (n % AGE_BOX != 0);
    uint64_t last = chunks == 0 ? 0 : n - (chunks - 1) * AGE_BOX;
    /* Only a file that is empty as a whole may end in an empty chunk. */
    if (last < MLN_AGE_TAG || (last == MLN_AGE_TAG && chunks > 1)) {
        return mln_fail(cx, MLN_E_FORGED, "age: the file is cut off");
    }
    *ret_chunks = chunks;
    *ret_plain = n - chunks * MLN_AGE_TAG;
    return MLN_OK;
}

/* ---- one file by all cores ---- */

struct age_run {
    int in, out;
    bool is_sealing;
    uint64_t in_at, out_at; /* where the first chunk lies in each */
    uint64_t chunks;
    uint64_t plain;
    uint8_t key[32];
    uint8_t *boxes[MLN_WORK_THREADS_MAX];
};

static void run_drop(struct age_run *run)
{
    mln_wipe(run->key, sizeof(run->key));
    for (size_t i = 0; i < MLN_WORK_THREADS_MAX; i++) {
        mln_free_wiped(run->boxes[i], run->boxes[i] != NULL ? RUN_BYTES : 0);
    }
}

/* Plaintext bytes from the beginning of chunk `from` to that of chunk `to`. */
static size_t plain_between(const struct age_run *run, uint64_t from, uint64_t to)
{
    uint64_t end = to == run->chunks ? run->plain : to * MLN_AGE_CHUNK;
    return (size_t)(end - from * MLN_AGE_CHUNK);
}

/* Chunks are read to where their boxes will stand, sealed in place, and written in one piece. */
static struct mln_err seal_run(struct mln_cx *cx, const struct age_run *run, uint64_t first,
                               uint64_t end, uint8_t *boxes)
{
    size_t n = 0;
    for (uint64_t i = first; i < end; i++) {
        size_t plain = plain_between(run, i, i + 1);
        uint8_t *at = boxes + n;
        MLN_TRY(mln_fd_pread(cx, run->in, at, plain, i * MLN_AGE_CHUNK));
        MLN_TRY(age_seal_chunk(cx, run->key, i, i + 1 == run->chunks, mln_bytes_at(at, plain), at));
        n += plain + MLN_AGE_TAG;
    }
    return mln_fd_pwrite(cx, run->out, boxes, n, run->out_at + first * AGE_BOX);
}

/* The other way: each box through the spare one behind the run; the plaintext is in one piece. */
static struct mln_err open_run(struct mln_cx *cx, const struct age_run *run, uint64_t first,
                               uint64_t end, uint8_t *plain)
{
    uint8_t *box = plain + RUN_CHUNKS * AGE_BOX;
    size_t n = 0;
    for (uint64_t i = first; i < end; i++) {
        size_t part = plain_between(run, i, i + 1);
        MLN_TRY(mln_fd_pread(cx, run->in, box, part + MLN_AGE_TAG, run->in_at + i * AGE_BOX));
        struct mln_bytes whole = mln_bytes_at(box, part + MLN_AGE_TAG);
        MLN_TRY(age_open_chunk(cx, run->key, i, i + 1 == run->chunks, whole, plain + n));
        n += part;
    }
    return mln_fd_pwrite(cx, run->out, plain, n, first * MLN_AGE_CHUNK);
}

static struct mln_err run_item(struct mln_cx *cx, struct mln_work *work, unsigned worker,
                               size_t index)
{
    const struct age_run *run = work->arg;
    uint64_t first = (uint64_t)index * RUN_CHUNKS;
    uint64_t end = run->chunks - first < RUN_CHUNKS ? run->chunks : first + RUN_CHUNKS;
    MLN_TRY(run->is_sealing ? seal_run(cx, run, first, end, run->boxes[worker])
                            : open_run(cx, run, first, end, run->boxes[worker]));
    mln_work_step(work, worker, plain_between(run, first, end));
    return MLN_OK;
}

static struct mln_err run_all(struct mln_cx *cx, struct age_run *run,
                              const struct mln_age_options *options)
{
    struct mln_work work = {.item = run_item,
                            .arg = run,
                            .n_items = (size_t)((run->chunks + RUN_CHUNKS - 1) / RUN_CHUNKS),
                            .threads = options->threads,
                            .progress = options->progress,
                            .all_bytes = run->plain};
    for (unsigned i = 0; i < mln_work_threads(&work); i++) {
        run->boxes[i] = mln_alloc(RUN_BYTES);
        if (run->boxes[i] == NULL) {
            return mln_fail(cx, MLN_E_MEMORY, "no memory to encrypt or decrypt");
        }
    }
    return mln_work_run(cx, &work);
}

struct seen {
    uint64_t size;
    int64_t mtime_s, mtime_ns;
};

static struct mln_err look(struct mln_cx *cx, int fd, struct seen *ret)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return mln_fail(cx, MLN_E_INVALID, "what is read is not a regular file");
    }
    *ret = (struct seen){(uint64_t)st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    return MLN_OK;
}

static struct mln_err unchanged(struct mln_cx *cx, int fd, const struct seen *before)
{
    struct seen now;
    MLN_TRY(look(cx, fd, &now));
    if (now.size != before->size || now.mtime_s != before->mtime_s ||
        now.mtime_ns != before->mtime_ns) {
        return mln_fail(cx, MLN_E_CONFLICT, "the file changed while it was read");
    }
    return MLN_OK;
}

/* Header and nonce; the payload's key into key. */
static struct mln_err begin(struct mln_cx *cx, const struct mln_age_to *to, struct mln_buf *head,
                            uint8_t key[32])
{
    uint8_t file_key[MLN_AGE_KEY];
    uint8_t nonce[AGE_NONCE];
    MLN_TRY(mln_age_wrap(cx, to, file_key, head));
    mln_random(nonce, sizeof(nonce));
    mln_buf_add(head, nonce, sizeof(nonce));
    age_payload_key(file_key, nonce, key);
    mln_wipe(file_key, sizeof(file_key));
    return mln_buf_ok(cx, head);
}

struct mln_err mln_age_encrypt_fd(struct mln_cx *cx, int in, int out, const struct mln_age_to *to,
                                  const struct mln_age_options *options)
{
    MLN_AUTO(run_drop) struct age_run run = {.in = in, .out = out, .is_sealing = true};
    struct seen before;
    MLN_TRY(look(cx, in, &before));
    MLN_AUTO(mln_buf_drop) struct mln_buf head = {0};
    MLN_TRY(begin(cx, to, &head, run.key));
    MLN_TRY(mln_fd_pwrite(cx, out, head.ptr, head.len, 0));
    run.out_at = head.len;
    run.plain = before.size;
    run.chunks = before.size == 0 ? 1 : (before.size + MLN_AGE_CHUNK - 1) / MLN_AGE_CHUNK;
    struct mln_err err = run_all(cx, &run, options);
    struct mln_err same = unchanged(mln_failed(err) ? NULL : cx, in, &before);
    if (mln_failed(err) && mln_failed(same)) {
        return mln_refail(cx, MLN_E_CONFLICT, "the file changed while it was read");
    }
    return mln_failed(err) ? err : same;
}

/*
 * Read the header with what lies behind it, unwrap, derive the payload's key. *ret_at: the first
 * chunk.
 */
static struct mln_err finish_header(struct mln_cx *cx, struct mln_bytes head,
                                    const struct mln_age_with *with, uint8_t key[32],
                                    size_t *ret_at)
{
    struct mln_age_header header;
    uint8_t file_key[MLN_AGE_KEY];
    MLN_TRY(mln_age_header_parse(cx, head, &header));
    MLN_TRY(mln_age_unwrap(cx, &header, with, file_key));
    if (head.len - header.len < AGE_NONCE) {
        mln_wipe(file_key, sizeof(file_key));
        return mln_fail(cx, MLN_E_FORGED, "age: the file is cut off before its payload");
    }
    age_payload_key(file_key, head.ptr + header.len, key);
    mln_wipe(file_key, sizeof(file_key));
    *ret_at = header.len + AGE_NONCE;
    return MLN_OK;
}

struct mln_err mln_age_decrypt_fd(struct mln_cx *cx, int in, int out,
                                  const struct mln_age_with *with,
                                  const struct mln_age_options *options)
{
    MLN_AUTO(run_drop) struct age_run run = {.in = in, .out = out};
    struct seen before;
    size_t at = 0;
    MLN_TRY(look(cx, in, &before));
    size_t head_n = before.size < MLN_AGE_HEADER_MAX + AGE_NONCE ? (size_t)before.size
                                                                 : MLN_AGE_HEADER_MAX + AGE_NONCE;
    uint8_t *head = mln_new(cx, head_n);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_fd_pread(cx, in, head, head_n, 0));
    MLN_TRY(finish_header(cx, mln_bytes_at(head, head_n), with, run.key, &at));
    run.in_at = at;
    MLN_TRY(age_count_chunks(cx, before.size - at, &run.chunks, &run.plain));
    MLN_TRY(run_all(cx, &run, options));
    return unchanged(cx, in, &before);
}

/* ---- a file under its final name ---- */

struct place {
    int fd;
    const char *temporary, *final;
};

static void place_drop(struct place *place)
{
    mln_fd_drop(&place->fd);
    if (place->temporary != NULL) {
        unlink(place->temporary);
    }
}

static struct mln_err place_make(struct mln_cx *cx, const char *path, struct place *place)
{
    char random[13];
    mln_random_base62(random, 12);
    const char *slash = strrchr(path, '/');
    int dir_n = slash == NULL ? 0 : (int)(slash - path + 1);
    const char *temporary =
        mln_text_format(cx, "%.*s.%s.%s.tmp", dir_n, path, path + dir_n, random);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_file_open(cx, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, &place->fd));
    place->temporary = temporary;
    place->final = path;
    return MLN_OK;
}

static struct mln_err place_keep(struct mln_cx *cx, struct place *place,
                                 const struct mln_age_options *options)
{
    if (options->durable) {
        MLN_TRY(mln_fd_sync(cx, place->fd));
    }
    if (fchmod(place->fd, options->mode != 0 ? options->mode : 0600) != 0 ||
        rename(place->temporary, place->final) != 0) {
        return mln_fail(cx, MLN_E_IO, "cannot put %s in its place: %s", place->final,
                        strerror(errno));
    }
    place->temporary = NULL;
    return MLN_OK;
}

struct mln_err mln_age_encrypt_file(struct mln_cx *cx, const char *in_path, const char *out_path,
                                    const struct mln_age_to *to,
                                    const struct mln_age_options *options)
{
    MLN_AUTO(mln_fd_drop) int in = -1;
    MLN_AUTO(place_drop) struct place place = {.fd = -1};
    MLN_TRY(mln_file_open(cx, in_path, O_RDONLY | O_NONBLOCK, 0, &in));
    MLN_TRY(place_make(cx, out_path, &place));
    MLN_TRY(mln_age_encrypt_fd(cx, in, place.fd, to, options));
    return place_keep(cx, &place, options);
}

struct mln_err mln_age_decrypt_file(struct mln_cx *cx, const char *in_path, const char *out_path,
                                    const struct mln_age_with *with,
                                    const struct mln_age_options *options)
{
    MLN_AUTO(mln_fd_drop) int in = -1;
    MLN_AUTO(place_drop) struct place place = {.fd = -1};
    MLN_TRY(mln_file_open(cx, in_path, O_RDONLY | O_NONBLOCK, 0, &in));
    MLN_TRY(place_make(cx, out_path, &place));
    MLN_TRY(mln_age_decrypt_fd(cx, in, place.fd, with, options));
    return place_keep(cx, &place, options);
}

/* ---- in memory ---- */

struct mln_err mln_age_encrypt_bytes(struct mln_cx *cx, struct mln_bytes plain,
                                     const struct mln_age_to *to, struct mln_buf *out)
{
    uint8_t key[32];
    uint64_t index = 0;
    struct mln_err err = begin(cx, to, out, key);
    while (!mln_failed(err)) {
        struct mln_bytes part = mln_bytes_sub(plain, 0, MLN_AGE_CHUNK);
        plain = mln_bytes_from(plain, part.len);
        if (!mln_buf_reserve(out, part.len + MLN_AGE_TAG)) {
            err = mln_buf_ok(cx, out);
            break;
        }
        err = age_seal_chunk(cx, key, index++, plain.len == 0, part, out->ptr + out->len);
        out->len += part.len + MLN_AGE_TAG;
        if (plain.len == 0) {
            break;
        }
    }
    mln_wipe(key, sizeof(key));
    return err;
}

static struct mln_err open_chunks(struct mln_cx *cx, struct mln_bytes boxes, const uint8_t key[32],
                                  struct mln_buf *out)
{
    uint64_t chunks = 0;
    uint64_t plain = 0;
    MLN_TRY(age_count_chunks(cx, boxes.len, &chunks, &plain));
    if (!mln_buf_reserve(out, (size_t)plain + 1)) {
        return mln_buf_ok(cx, out);
    }
    for (uint64_t i = 0; i < chunks; i++) {
        struct mln_bytes box = mln_bytes_sub(boxes, (size_t)i * AGE_BOX, AGE_BOX);
        MLN_TRY(age_open_chunk(cx, key, i, i + 1 == chunks, box, out->ptr + out->len));
        out->len += box.len - MLN_AGE_TAG;
    }
    return MLN_OK;
}

struct mln_err mln_age_decrypt_bytes(struct mln_cx *cx, struct mln_bytes file,
                                     const struct mln_age_with *with, struct mln_buf *out)
{
    uint8_t key[32] = {0};
    size_t at = 0;
    size_t before = out->len;
    struct mln_err err = finish_header(cx, file, with, key, &at);
    if (!mln_failed(err)) {
        err = open_chunks(cx, mln_bytes_from(file, at), key, out);
    }
    if (mln_failed(err) && out->len > before) {
        mln_wipe(out->ptr + before, out->len - before);
        out->len = before;
    }
    mln_wipe(key, sizeof(key));
    return err;
}
