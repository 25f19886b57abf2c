/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scanning a large torch archive whose pages are warm: a gigabyte of storages, sparse on disk, with the
 * pickle of a state dict that names them all. Maps, scans and unmaps each time; prints medians of five.
 * Usage: bench_scan [FOLDER [MEBIBYTES]]; the file is made in FOLDER and removed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "artifact/scan.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/text.h"

#define ROUNDS   5
#define STORAGES 400u
#define ALIGN    64u /* torch pads local headers so that storages begin at such a place */

static struct mln_arena *arena;
static struct mln_cx cx;
static struct mln_buf dir;
static uint64_t file_at;
static unsigned members;
static int file = -1;

static void stop(const char *what)
{
    fprintf(stderr, "bench_scan: %s: %s\n", what, cx.text);
    exit(1);
}

static void put_u16(struct mln_buf *b, unsigned v)
{
    mln_buf_add_byte(b, (uint8_t)v);
    mln_buf_add_byte(b, (uint8_t)(v >> 8));
}

static void put_u32(struct mln_buf *b, uint64_t v)
{
    put_u16(b, (unsigned)(v & 0xffff));
    put_u16(b, (unsigned)(v >> 16 & 0xffff));
}

static void put(struct mln_bytes what, uint64_t at)
{
    if (mln_failed(mln_fd_pwrite(&cx, file, what.ptr, what.len, at))) {
        stop("write");
    }
}

/* The fields that both headers share. CRCs of storages are not right: they are not read. */
static void common(struct mln_buf *b, uint32_t crc, uint64_t size, size_t name_len, size_t extra)
{
    put_u16(b, 20);
    put_u16(b, 0);
    put_u16(b, 0);
    put_u32(b, 0x00210000);
    put_u32(b, crc);
    put_u32(b, size);
    put_u32(b, size);
    put_u16(b, (unsigned)name_len);
    put_u16(b, (unsigned)extra);
}

static uint32_t crc_of(struct mln_bytes data)
{
    return (uint32_t)crc32_z(0, data.ptr, data.len);
}

/* A stored member of `size` bytes; data.len = 0 leaves a hole. */
static void add_member(const char *name, struct mln_bytes data, uint64_t size, uint32_t crc)
{
    static const uint8_t zeros[ALIGN];
    struct mln_bytes text = mln_bytes_of(name);
    struct mln_buf head = {0};
    uint64_t begins = file_at + 30 + text.len + 4;
    size_t pad = (size_t)(ALIGN - begins % ALIGN) % ALIGN;
    mln_buf_add(&head, "PK\3\4", 4);
    common(&head, crc, size, text.len, pad + 4);
    mln_buf_add_bytes(&head, text);
    put_u16(&head, 0x4246); /* torch's "FB" padding field */
    put_u16(&head, (unsigned)pad);
    mln_buf_add(&head, zeros, pad);
    put(mln_buf_bytes(&head), file_at);
    put(data, file_at + head.len);
    mln_buf_add(&dir, "PK\1\2\24\3", 6);
    common(&dir, crc, size, text.len, 0);
    put_u16(&dir, 0);
    put_u32(&dir, 0);
    put_u32(&dir, 0);
    put_u32(&dir, file_at);
    mln_buf_add_bytes(&dir, text);
    file_at += head.len + size;
    members++;
    mln_buf_drop(&head);
}

static void add_text(struct mln_buf *b, const char *text)
{
    mln_buf_add_byte(b, 'X');
    put_u32(b, mln_bytes_of(text).len);
    mln_buf_add_text(b, text);
}

static void add_number(struct mln_buf *b, uint64_t n)
{
    mln_buf_add_byte(b, 'J');
    put_u32(b, n);
}

/* What torch.save writes for one tensor of a state dict. */
static void add_tensor(struct mln_buf *b, unsigned i, uint64_t items)
{
    char text[64];
    snprintf(text, sizeof(text), "layers.%u.weight", i);
    add_text(b, text);
    mln_buf_add_text(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    add_text(b, "storage");
    mln_buf_add_text(b, "ctorch\nFloatStorage\n");
    snprintf(text, sizeof(text), "%u", i);
    add_text(b, text);
    add_text(b, "cpu");
    add_number(b, items);
    mln_buf_add(b, "tQK\0", 4);
    add_number(b, items);
    mln_buf_add(b,
                "\x85K\1\x85\x89"
                "ccollections\nOrderedDict\n)RtR",
                34);
}

static void make_file(const char *path, uint64_t bytes)
{
    struct mln_buf pickle = {0};
    uint64_t each = bytes / STORAGES / 4 * 4;
    if (mln_failed(mln_file_open(&cx, path, O_RDWR | O_CREAT | O_TRUNC, 0600, &file))) {
        stop("file");
    }
    mln_buf_add_text(&pickle, "\x80\x02"
                              "ccollections\nOrderedDict\n)R(");
    for (unsigned i = 0; i < STORAGES; i++) {
        add_tensor(&pickle, i, each / 4);
    }
    mln_buf_add_text(&pickle, "u.");
    add_member("model/data.pkl", mln_buf_bytes(&pickle), pickle.len,
               crc_of(mln_buf_bytes(&pickle)));
    for (unsigned i = 0; i < STORAGES; i++) {
        char name[64];
        snprintf(name, sizeof(name), "model/data/%u", i);
        add_member(name, MLN_BYTES_NONE, each, 0);
    }
    add_member("model/version", MLN_BYTES("3\n"), 2, crc_of(MLN_BYTES("3\n")));
    uint64_t dir_at = file_at;
    size_t dir_len = dir.len;
    mln_buf_add(&dir, "PK\5\6\0\0\0\0", 8);
    put_u16(&dir, members);
    put_u16(&dir, members);
    put_u32(&dir, dir_len);
    put_u32(&dir, dir_at);
    put_u16(&dir, 0);
    put(mln_buf_bytes(&dir), dir_at);
    file_at += dir.len;
    mln_buf_drop(&pickle);
    mln_buf_drop(&dir);
}

/* One scan from the open file on, as a box does it. */
static void scan(const char *path, struct mln_scan_report *report)
{
    void *map = mmap(NULL, file_at, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED) {
        stop("map");
    }
    struct mln_scan_input input = {.path = path, .map = mln_bytes_at(map, file_at)};
    *report =
        (struct mln_scan_report){.cx = &cx, .findings = mln_array(&cx), .unread = mln_array(&cx)};
    if (mln_failed(mln_scan_bytes(&cx, &input, report))) {
        stop("scan");
    }
    munmap(map, file_at);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    char path[512];
    uint64_t mebibytes = 1024;
    double wall[ROUNDS], cpu[ROUNDS];
    struct mln_scan_report report = {0};
    arena = mln_arena_new((size_t)256 << 20, false);
    mln_cx_init(&cx, arena);
    if ((argc > 2 && !mln_u64_parse(mln_bytes_of(argv[2]), &mebibytes)) || mebibytes > 4000) {
        stop("usage: bench_scan [FOLDER [MEBIBYTES]]");
    }
    snprintf(path, sizeof(path), "%s/bench_scan.%ld.pt", argc > 1 ? argv[1] : "/tmp",
             (long)getpid());
    make_file(path, mebibytes << 20);
    scan(path, &report); /* warms the pages */
    for (int i = 0; i < ROUNDS; i++) {
        mln_arena_reset(arena);
        int64_t w = mln_mono_ns();
        int64_t c = mln_cpu_ns();
        scan(path, &report);
        wall[i] = (double)(mln_mono_ns() - w) / 1e6;
        cpu[i] = (double)(mln_cpu_ns() - c) / 1e6;
    }
    unlink(path);
    qsort(wall, ROUNDS, sizeof(wall[0]), by_value);
    qsort(cpu, ROUNDS, sizeof(cpu[0]), by_value);
    printf("%-34s %8s %8s %10s\n", "ms", "wall", "cpu", "bytes read");
    printf("%-34s %8.2f %8.2f %10llu\n",
           mln_text_format(&cx, "%s of %s, %s", report.format, mln_size_text(&cx, file_at),
                           mln_verdict_name(report.verdict)),
           wall[ROUNDS / 2], cpu[ROUNDS / 2], (unsigned long long)report.bytes_read);
    mln_fd_drop(&file);
    mln_arena_free(arena);
    return report.verdict == MLN_VERDICT_CLEAN ? 0 : 1;
}
