/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX: a protobuf. Runs no code by itself, so what matters is where it reaches: files of external data, operators that only a
 * foreign library has, and structure that readers choke on. Tensor bytes are measured, never read.
 * Source: onnx/onnx.proto of ONNX 1.17; docs/ExternalData.md.
 */
#include "artifact/onnx_priv.h"

static struct mln_err walk_graph(struct mln_onnx *in, struct mln_bytes graph, int depth);
static void walk_tensor(struct mln_onnx *in, struct mln_bytes tensor);

/* The offset of a view of the map in the outer file. */
static uint64_t offset_of(const struct mln_onnx *in, struct mln_bytes part)
{
    return in->input->base + (part.ptr == NULL ? 0 : (uint64_t)(part.ptr - in->input->map.ptr));
}

static void find(struct mln_onnx *in, enum mln_verdict verdict, const char *rule,
                 struct mln_bytes where, const char *text)
{
    enum mln_severity severity =
        verdict == MLN_VERDICT_CLEAN ? MLN_SEVERITY_INFO : MLN_SEVERITY_HIGH;
    mln_scan_find(in->report, verdict, severity, rule, offset_of(in, where), "%s", text);
}

static void check_end(struct mln_onnx *in, const struct mln_proto *r, const char *what)
{
    if (r->is_bad) {
        mln_scan_find(in->report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "onnx-structure",
                      offset_of(in, r->all) + r->at, "%s is no well-formed protobuf message", what);
    }
}

/* ---- tensors ---- */

/* Bits of one element by TensorProto.DataType; 0 for strings and unknown ones. */
static unsigned type_bits(uint64_t type)
{
    static const uint8_t bits[] = {0,  32,  8,  8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64,
                                   64, 128, 16, 8, 8,  8,  8,  4,  4, 4, 8,  2,  2};
    return type < sizeof(bits) ? bits[type] : 0;
}

static bool path_leaves(struct mln_bytes path)
{
    struct mln_bytes rest = path;
    if (path.len == 0 || path.ptr[0] == '/' || (path.len > 1 && path.ptr[1] == ':')) {
        return true;
    }
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] < 0x20 || path.ptr[i] == '\\' || path.ptr[i] == 0x7f) {
            return true;
        }
    }
    while (rest.len > 0) {
        if (mln_bytes_is(mln_bytes_cut(rest, '/', &rest), "..")) {
            return true;
        }
    }
    return mln_bytes_find_bytes(path, MLN_BYTES("://")) < path.len;
}

static void check_location(struct mln_onnx *in, struct mln_bytes path)
{
    if (path_leaves(path)) {
        mln_scan_find(in->report, MLN_VERDICT_SUSPICIOUS, MLN_SEVERITY_HIGH, "onnx-external-path",
                      offset_of(in, path),
                      "external data at %.*s: a path that leaves the model's folder",
                      MLN_FMT(path));
    }
}

/* A StringStringEntryProto. */
static void read_pair(struct mln_onnx *in, struct mln_bytes pair, struct mln_bytes *key,
                      struct mln_bytes *value)
{
    struct mln_proto r = mln_proto_of(pair);
    struct mln_proto_field f;
    *key = *value = MLN_BYTES_NONE;
    while (mln_proto_next(&r, &f)) {
        if (f.number == 1) {
            *key = f.bytes;
        } else if (f.number == 2) {
            *value = f.bytes;
        }
    }
    check_end(in, &r, "an entry");
}

static void walk_external(struct mln_onnx *in, struct mln_bytes entry, bool *has_location)
{
    struct mln_bytes key, value;
    uint64_t number;
    read_pair(in, entry, &key, &value);
    if (mln_bytes_is(key, "location")) {
        *has_location = true;
        check_location(in, value);
    } else if (mln_bytes_is(key, "offset") || mln_bytes_is(key, "length")) {
        if (!mln_u64_parse(value, &number) || number > INT64_MAX) {
            find(in, MLN_VERDICT_MALFORMED, "onnx-external", entry,
                 "external data with an offset or length that is no number");
        }
    } else if (mln_bytes_is(key, "basepath")) {
        check_location(in, value);
    }
}

/* Multiply dimensions, packed or not, into *total; false when negative or too large. */
static bool take_dims(const struct mln_proto_field *f, uint64_t *total)
{
    struct mln_proto r = mln_proto_of(f->bytes);
    uint64_t dim = f->value;
    if (f->wire == MLN_PROTO_VARINT) {
        return dim <= INT64_MAX && !__builtin_mul_overflow(*total, dim, total);
    }
    while (r.at < r.all.len) {
        if (!mln_proto_varint(&r, &dim) || dim > INT64_MAX ||
            __builtin_mul_overflow(*total, dim, total)) {
            return false;
        }
    }
    return true;
}

struct tensor {
    uint64_t count;
    uint64_t type;
    uint64_t location;
    struct mln_bytes raw;
    bool has_raw, has_external, has_location, has_bad_dims;
};

static void check_tensor(struct mln_onnx *in, const struct tensor *t, struct mln_bytes where)
{
    uint64_t bits = type_bits(t->type);
    uint64_t total;
    if (t->has_bad_dims || (bits != 0 && __builtin_mul_overflow(bits, t->count, &total))) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-size", where,
             "a tensor with negative or too large dimensions");
        return;
    }
    if (t->has_raw && bits != 0 && t->raw.len != (bits * t->count + 7) / 8) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-size", where,
             "a tensor whose bytes are not as many as type and dimensions need");
    }
    if (t->location == 1 && !t->has_location) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-external", where, "external data without a location");
    }
    if (t->location > 1 || (t->location == 0 && t->has_external)) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-external", where,
             "external data that the tensor does not say it has");
    }
    if (t->has_external && t->has_raw && t->raw.len > 0) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-external", where,
             "a tensor with bytes inside and outside");
    }
    in->external += t->has_external;
    in->tensor_bytes += t->raw.len;
}

static void walk_tensor(struct mln_onnx *in, struct mln_bytes tensor)
{
    struct mln_proto r = mln_proto_of(tensor);
    struct mln_proto_field f;
    struct tensor t = {.count = 1};
    while (mln_proto_next(&r, &f)) {
        switch (f.number) {
        case 1:
            t.has_bad_dims |= !take_dims(&f, &t.count);
            break;
        case 2:
            t.type = f.value;
            break;
        case 9:
            t.has_raw = true;
            t.raw = f.bytes;
            break;
        case 13:
            t.has_external = true;
            walk_external(in, f.bytes, &t.has_location);
            break;
        case 14:
            t.location = f.value;
            break;
        default:
            break;
        }
    }
    check_end(in, &r, "a tensor");
    if (!r.is_bad) {
        check_tensor(in, &t, tensor);
    }
}

static void walk_sparse(struct mln_onnx *in, struct mln_bytes sparse)
{
    struct mln_proto r = mln_proto_of(sparse);
    struct mln_proto_field f;
    while (mln_proto_next(&r, &f)) {
        if (f.wire == MLN_PROTO_BYTES && (f.number == 1 || f.number == 2)) {
            walk_tensor(in, f.bytes);
        }
    }
    check_end(in, &r, "a sparse tensor");
}

/* ---- nodes and graphs ---- */

static struct mln_err walk_attribute(struct mln_onnx *in, struct mln_bytes attribute,
                                     struct mln_onnx_attr *ret, int depth)
{
    struct mln_proto r = mln_proto_of(attribute);
    struct mln_proto_field f;
    *ret = (struct mln_onnx_attr){0};
    while (mln_proto_next(&r, &f)) {
        if (f.wire != MLN_PROTO_BYTES) {
            ret->number = f.number == 3 ? f.value : ret->number;
        } else if (f.number == 1) {
            ret->name = f.bytes;
        } else if (f.number == 4) {
            ret->text = f.bytes;
        } else if (f.number == 5 || f.number == 10) {
            walk_tensor(in, f.bytes);
        } else if (f.number == 6 || f.number == 11) {
            MLN_TRY(walk_graph(in, f.bytes, depth - 1));
        } else if (f.number == 22 || f.number == 23) {
            walk_sparse(in, f.bytes);
        }
    }
    check_end(in, &r, "an attribute");
    return mln_cx_err(in->cx);
}

static struct mln_err walk_node(struct mln_onnx *in, struct mln_bytes node, int depth)
{
    struct mln_proto r = mln_proto_of(node);
    struct mln_proto_field f;
    struct mln_onnx_node n = {.where = offset_of(in, node)};
    struct mln_onnx_attr attr;
    while (mln_proto_next(&r, &f)) {
        if (f.number == 4) {
            n.op = f.bytes;
        } else if (f.number == 7) {
            n.domain = f.bytes;
        } else if (f.number == 5 && f.wire == MLN_PROTO_BYTES) {
            MLN_TRY(walk_attribute(in, f.bytes, &attr, depth));
            if (mln_bytes_is(attr.name, "ep_cache_context")) {
                n.cache = attr.text;
            } else if (mln_bytes_is(attr.name, "embed_mode")) {
                n.is_cache_outside = attr.number == 0;
            }
        }
    }
    check_end(in, &r, "a node");
    mln_onnx_check_node(in, &n);
    if (n.is_cache_outside && mln_bytes_is(n.op, "EPContext")) {
        check_location(in, n.cache);
    }
    in->nodes++;
    return MLN_OK;
}

static struct mln_err walk_graph(struct mln_onnx *in, struct mln_bytes graph, int depth)
{
    struct mln_proto r = mln_proto_of(graph);
    struct mln_proto_field f;
    if (depth <= 0) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-depth", graph, "graphs nest too deep");
        return MLN_OK;
    }
    while (mln_proto_next(&r, &f)) {
        if (f.wire != MLN_PROTO_BYTES) {
            continue;
        }
        if (f.number == 1) {
            MLN_TRY(walk_node(in, f.bytes, depth));
        } else if (f.number == 5) {
            walk_tensor(in, f.bytes);
        } else if (f.number == 15) {
            walk_sparse(in, f.bytes);
        }
    }
    check_end(in, &r, "a graph");
    return MLN_OK;
}

static struct mln_err walk_function(struct mln_onnx *in, struct mln_bytes function)
{
    struct mln_proto r = mln_proto_of(function);
    struct mln_proto_field f;
    struct mln_onnx_attr attr;
    while (mln_proto_next(&r, &f)) {
        if (f.number == 7 && f.wire == MLN_PROTO_BYTES) {
            MLN_TRY(walk_node(in, f.bytes, MLN_ONNX_DEPTH_MAX));
        } else if (f.number == 11 && f.wire == MLN_PROTO_BYTES) {
            MLN_TRY(walk_attribute(in, f.bytes, &attr, MLN_ONNX_DEPTH_MAX));
        }
    }
    check_end(in, &r, "a function");
    return MLN_OK;
}

static struct mln_err walk_training(struct mln_onnx *in, struct mln_bytes training)
{
    struct mln_proto r = mln_proto_of(training);
    struct mln_proto_field f;
    while (mln_proto_next(&r, &f)) {
        if (f.wire == MLN_PROTO_BYTES && (f.number == 1 || f.number == 2)) {
            MLN_TRY(walk_graph(in, f.bytes, MLN_ONNX_DEPTH_MAX));
        }
    }
    check_end(in, &r, "training information");
    return MLN_OK;
}

/* ---- the model ---- */

/* The fields that ModelProto has; 0 for what it does not have, else 1 + the wire type. */
static unsigned model_field(uint32_t number)
{
    switch (number) {
    case 1:
    case 5:
        return 1 + MLN_PROTO_VARINT;
    case 2:
    case 3:
    case 4:
    case 6:
    case 7:
    case 8:
    case 14:
    case 20:
    case 25:
    case 26:
        return 1 + MLN_PROTO_BYTES;
    default:
        return 0;
    }
}

static struct mln_err walk_model_field(struct mln_onnx *in, const struct mln_proto_field *f,
                                       bool *has_graph)
{
    unsigned want = model_field(f->number);
    if (want == 0) {
        mln_scan_find(in->report, MLN_VERDICT_CLEAN, MLN_SEVERITY_LOW, "onnx-unknown-field",
                      offset_of(in, f->bytes), "a field %u that the format does not have",
                      f->number);
        return MLN_OK;
    }
    if (want != 1 + (unsigned)f->wire) {
        find(in, MLN_VERDICT_MALFORMED, "onnx-structure", f->bytes, "a field of the wrong type");
        return MLN_OK;
    }
    switch (f->number) {
    case 7:
        if (*has_graph) {
            find(in, MLN_VERDICT_MALFORMED, "onnx-structure", f->bytes,
                 "two graphs: readers merge them or take the last");
        }
        *has_graph = true;
        return walk_graph(in, f->bytes, MLN_ONNX_DEPTH_MAX);
    case 20:
        return walk_training(in, f->bytes);
    case 25:
        return walk_function(in, f->bytes);
    default:
        return MLN_OK;
    }
}

static struct mln_err onnx_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                                struct mln_scan_report *report)
{
    struct mln_onnx in = {.cx = cx, .input = input, .report = report};
    struct mln_proto r = mln_proto_of(input->map);
    struct mln_proto_field f;
    bool has_graph = false;
    report->format = "onnx";
    MLN_TRY(mln_onnx_functions(&in));
    while (mln_proto_next(&r, &f)) {
        MLN_TRY(walk_model_field(&in, &f, &has_graph));
    }
    check_end(&in, &r, "the model");
    if (!has_graph) {
        find(&in, MLN_VERDICT_MALFORMED, "onnx-structure", MLN_BYTES_NONE, "no graph");
    }
    report->bytes_read += input->map.len - in.tensor_bytes;
    if (in.tensor_bytes > 0) {
        mln_scan_skip(report, "tensor data", input->base, in.tensor_bytes);
    }
    if (in.external > 0) {
        mln_scan_find(report, MLN_VERDICT_CLEAN, MLN_SEVERITY_INFO, "onnx-external-data",
                      input->base, "%" PRIu64 " tensors lie in other files", in.external);
    }
    return MLN_OK;
}

/* By structure: a model's fields from end to end, with a version and a graph. */
static bool is_model(struct mln_bytes map)
{
    struct mln_proto r = mln_proto_of(map);
    struct mln_proto_field f;
    bool has_version = false;
    bool has_graph = false;
    for (unsigned n = 0; n < MLN_ONNX_PROBE_FIELDS && mln_proto_next(&r, &f); n++) {
        unsigned want = model_field(f.number);
        if (want != 0 && want != 1 + (unsigned)f.wire) {
            return false;
        }
        has_version |= f.number == 1;
        has_graph |= f.number == 7 && f.bytes.len > 0;
    }
    return has_version && has_graph && !r.is_bad;
}

static int onnx_probe(const struct mln_scan_input *input)
{
    struct mln_bytes path = mln_bytes_of(input->path);
    if (is_model(input->map)) {
        return 3;
    }
    return mln_bytes_is_nocase(mln_bytes_from(path, path.len > 5 ? path.len - 5 : 0), ".onnx") ? 1
                                                                                               : 0;
}

const struct mln_scanner mln_scanner_onnx = {
    .format = "onnx",
    .summary = "ONNX graphs: structure, operators of foreign libraries, paths of external data",
    .extensions = " .onnx ",
    .probe = onnx_probe,
    .scan = onnx_scan,
};
