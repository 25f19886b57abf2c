/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: u64 LE header length | JSON header | tensor bytes. Harmless by design, so what is checked is that it is nothing
 * else as well: every byte belongs to one tensor, without overlap, hole or tail, and the header is strict JSON.
 * Source: the format section of huggingface/safetensors' README.
 */
#include "artifact/scan.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/text.h"

#define HEADER_MAX  ((uint64_t)100 << 20) /* the reference reader refuses more: 100 MB */
#define LENGTH_SIZE 8u

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {
    {"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"I16", 16},    {"U16", 16},
    {"F16", 16},        {"BF16", 16},       {"I32", 32},    {"U32", 32},    {"F32", 32},
    {"I64", 64},        {"U64", 64},        {"F64", 64},    {"C64", 64},    {"F8_E4M3", 8},
    {"F8_E5M2", 8},     {"F8_E8M0", 8},     {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
};

struct span {
    uint64_t from;
    uint64_t to;
    struct mln_bytes name;
};

struct reading {
    const struct mln_scan_input *input;
    struct mln_scan_report *report;
    struct mln_bytes data; /* behind the header */
    uint64_t data_at;
    struct span *spans;
    size_t n;
};

static void bad(struct mln_scan_report *report, uint64_t at, const char *rule, const char *text)
{
    mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, rule, at, "%s", text);
}

static void bad_tensor(const struct reading *in, const char *rule, struct mln_bytes name,
                       const char *text)
{
    mln_scan_find(in->report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, rule,
                  in->input->base + LENGTH_SIZE, "tensor %.*s: %s", MLN_FMT(name), text);
}

static unsigned dtype_bits(const struct mln_value *dtype)
{
    for (size_t i = 0; i < MLN_COUNT(dtypes); i++) {
        if (mln_is_text(dtype, dtypes[i].name)) {
            return dtypes[i].bits;
        }
    }
    return 0;
}

/* Bytes of a tensor by type and shape; false when that is no whole number that fits. */
static bool tensor_bytes(unsigned bits, const struct mln_value *shape, uint64_t *ret)
{
    uint64_t total = bits;
    if (mln_type_of(shape) != MLN_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < mln_len(shape); i++) {
        int64_t dim = mln_get_int(mln_item(shape, i), -1);
        if (dim < 0 || __builtin_mul_overflow(total, (uint64_t)dim, &total)) {
            return false;
        }
    }
    *ret = total / 8;
    return total % 8 == 0;
}

static void read_tensor(struct reading *in, const struct mln_member *member)
{
    const struct mln_value *v = &member->value;
    const struct mln_value *offsets = mln_get(v, "data_offsets");
    int64_t from = mln_get_int(mln_item(offsets, 0), -1);
    int64_t to = mln_get_int(mln_item(offsets, 1), -1);
    unsigned bits = dtype_bits(mln_get(v, "dtype"));
    uint64_t want = 0;
    if (mln_type_of(v) != MLN_OBJECT || mln_len(v) != 3 || mln_type_of(offsets) != MLN_ARRAY ||
        mln_len(offsets) != 2) {
        bad_tensor(in, "safetensors-header", member->key, "not just dtype, shape and data_offsets");
        return;
    }
    if (bits == 0) {
        bad_tensor(in, "safetensors-dtype", member->key, "unknown dtype");
    }
    if (from < 0 || to < from || (uint64_t)to > in->data.len) {
        bad_tensor(in, "safetensors-offsets", member->key, "its bytes do not lie in the file");
        return;
    }
    if (bits != 0 &&
        (!tensor_bytes(bits, mln_get(v, "shape"), &want) || want != (uint64_t)(to - from))) {
        bad_tensor(in, "safetensors-size", member->key,
                   "its bytes are not as many as type and shape need");
    }
    in->spans[in->n++] = (struct span){(uint64_t)from, (uint64_t)to, member->key};
}

static void read_metadata(struct reading *in, const struct mln_value *metadata)
{
    if (mln_type_of(metadata) != MLN_OBJECT) {
        bad(in->report, in->input->base + LENGTH_SIZE, "safetensors-metadata",
            "__metadata__ is no object");
        return;
    }
    for (size_t i = 0; i < mln_len(metadata); i++) {
        if (mln_type_of(&mln_member_at(metadata, i)->value) != MLN_STRING) {
            bad(in->report, in->input->base + LENGTH_SIZE, "safetensors-metadata",
                "__metadata__ holds more than strings");
            return;
        }
    }
}

static int by_from(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return x->to < y->to ? -1 : x->to > y->to;
}

/* No byte twice, no byte unnamed. */
static void check_cover(struct reading *in)
{
    uint64_t at = 0;
    qsort(in->spans, in->n, sizeof(*in->spans), by_from);
    for (size_t i = 0; i < in->n; i++) {
        if (in->spans[i].from < at) {
            bad_tensor(in, "safetensors-overlap", in->spans[i].name, "overlaps the one before");
        } else if (in->spans[i].from > at) {
            mln_scan_find(in->report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "safetensors-hole",
                          in->input->base + in->data_at + at, "a hole before tensor %.*s",
                          MLN_FMT(in->spans[i].name));
        }
        at = in->spans[i].to > at ? in->spans[i].to : at;
    }
    if (at < in->data.len) {
        bad(in->report, in->input->base + in->data_at + at, "safetensors-tail",
            "bytes behind the last tensor");
    }
    if (at > 0) {
        mln_scan_skip(in->report, "tensor data", in->input->base + in->data_at, at);
    }
}

static struct mln_err read_header(struct mln_cx *cx, struct reading *in, struct mln_bytes text)
{
    const struct mln_value *header = NULL;
    uint64_t at = in->input->base + LENGTH_SIZE;
    in->report->bytes_read += text.len + LENGTH_SIZE;
    struct mln_err err = text.len > 0 && text.ptr[0] == '{'
                             ? mln_json_parse(cx, text, &header)
                             : mln_fail(cx, MLN_E_PARSE, "it does not begin with {");
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err)) {
        mln_scan_find(in->report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "safetensors-header",
                      at, "the header is no strict JSON object: %s", cx->text);
        mln_cx_clear(cx);
        return MLN_OK;
    }
    in->spans = mln_new_array(cx, mln_len(header) + 1, sizeof(*in->spans));
    if (in->spans == NULL) {
        return mln_cx_err(cx);
    }
    for (size_t i = 0; i < mln_len(header); i++) {
        const struct mln_member *member = mln_member_at(header, i);
        if (mln_bytes_is(member->key, "__metadata__")) {
            read_metadata(in, &member->value);
        } else {
            read_tensor(in, member);
        }
    }
    check_cover(in);
    return MLN_OK;
}

static struct mln_err safetensors_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                                       struct mln_scan_report *report)
{
    struct mln_bytes map = input->map;
    report->format = "safetensors";
    if (map.len < LENGTH_SIZE + 2) {
        bad(report, input->base, "safetensors-header", "too short for a header");
        return MLN_OK;
    }
    uint64_t len = mln_get_u64le(map.ptr);
    if (len > HEADER_MAX) {
        bad(report, input->base, "safetensors-length",
            "the header claims to be longer than 100 MB");
        return MLN_OK;
    }
    if (len > map.len - LENGTH_SIZE) {
        bad(report, input->base, "safetensors-length", "the header is longer than the file");
        return MLN_OK;
    }
    struct reading in = {.input = input, .report = report, .data_at = LENGTH_SIZE + len};
    in.data = mln_bytes_from(map, (size_t)in.data_at);
    return read_header(cx, &in, mln_bytes_sub(map, LENGTH_SIZE, (size_t)len));
}

static int safetensors_probe(const struct mln_scan_input *input)
{
    struct mln_bytes map = input->map;
    struct mln_bytes path = mln_bytes_of(input->path);
    struct mln_bytes end = mln_bytes_from(path, path.len > 12 ? path.len - 12 : 0);
    bool is_json = map.len >= LENGTH_SIZE + 2 && map.ptr[LENGTH_SIZE] == '{' && map.ptr[0] != '{';
    if (is_json && mln_get_u64le(map.ptr) <= map.len - LENGTH_SIZE && mln_get_u64le(map.ptr) >= 2) {
        return 3;
    }
    return mln_bytes_is_nocase(end, ".safetensors") ? 1 : 0;
}

const struct mln_scanner mln_scanner_safetensors = {
    .format = "safetensors",
    .summary = "tensors behind a JSON header: strict header, every byte accounted for",
    .extensions = " .safetensors ",
    .probe = safetensors_probe,
    .scan = safetensors_scan,
};
