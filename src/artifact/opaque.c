/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats that are known by their first bytes and not judged: archives, compressed streams, other model formats, programs. They
 * are named in the report and are `unsupported`, never clean.
 */
#include "artifact/scan.h"

static const struct {
    const char *format;
    size_t at;
    size_t len;
    const char *magic;
} kinds[] = {
    {"gzip", 0, 2, "\x1f\x8b"},
    {"bzip2", 0, 3, "BZh"},
    {"xz", 0, 6,
     "\xfd"
     "7zXZ\0"},
    {"lzma", 0, 3, "\x5d\0\0"},
    {"zlib", 0, 2, "\x78\x01"},
    {"zlib", 0, 2, "\x78\x5e"},
    {"zlib", 0, 2, "\x78\x9c"},
    {"zlib", 0, 2, "\x78\xda"},
    {"zstd", 0, 4, "\x28\xb5\x2f\xfd"},
    {"lz4", 0, 4, "\x04\x22\x4d\x18"},
    {"7z", 0, 6, "7z\xbc\xaf\x27\x1c"},
    {"rar", 0, 6, "Rar!\x1a\x07"},
    {"tar", 257, 5, "ustar"},
    {"h5", 0, 8, "\x89HDF\r\n\x1a\n"},
    {"gguf", 0, 4, "GGUF"},
    {"ggml", 0, 4, "lmgg"},
    {"ggml", 0, 4, "tjgg"},
    {"tflite", 4, 4, "TFL3"},
    {"executorch", 4, 2, "ET"},
    {"elf", 0, 4,
     "\x7f"
     "ELF"},
    {"pe", 0, 2, "MZ"},
    {"parquet", 0, 4, "PAR1"},
    {"arrow", 0, 6, "ARROW1"},
    {"sqlite", 0, 16, "SQLite format 3"},
    {"png", 0, 8, "\x89PNG\r\n\x1a\n"},
    {"jpeg", 0, 3, "\xff\xd8\xff"},
    {"wasm", 0, 4, "\0asm"},
};

/* The name of the format, NULL when none fits. */
static const char *kind_of(struct mln_bytes map)
{
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        if (map.len >= kinds[i].at + kinds[i].len &&
            mln_same(map.ptr + kinds[i].at, kinds[i].magic, kinds[i].len)) {
            return kinds[i].format;
        }
    }
    return NULL;
}

static int opaque_probe(const struct mln_scan_input *input)
{
    return kind_of(input->map) != NULL ? 2 : 0;
}

static struct mln_err opaque_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                                  struct mln_scan_report *report)
{
    const char *format = kind_of(input->map);
    (void)cx;
    report->format = format != NULL ? format : "unknown";
    mln_scan_find(report, MLN_VERDICT_UNSUPPORTED, MLN_SEVERITY_INFO, "unsupported", input->base,
                  "%s files are not looked into", report->format);
    mln_scan_skip(report, "whole file", input->base, input->map.len);
    return MLN_OK;
}

const struct mln_scanner mln_scanner_opaque = {
    .format = "opaque",
    .summary = "archives, compressed streams and other formats that are named but not judged",
    .extensions = " .gz .bz2 .xz .zst .7z .rar .tar .h5 .hdf5 .gguf .tflite ",
    .probe = opaque_probe,
    .scan = opaque_scan,
};
