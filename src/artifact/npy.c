/* SPDX-License-Identifier: Apache-2.0 */
/*
 * npy: magic | version | header length | a Python dict literal | array bytes, or a pickle when the type holds objects. The
 * literal is read by a strict parser of just what numpy writes; several arrays may follow one another in a file.
 * Source: numpy.lib.format's documentation, NEP 1.
 */
#include "artifact/npy.h"

#include "artifact/scan.h"

#define MAGIC_BYTES 6u
#define HEADER_MAX                                                                                 \
    ((size_t)1 << 20)    /* numpy itself reads 10,000 characters unless told otherwise */
#define DEPTH_MAX  16    /* of structured types */
#define ARRAYS_MAX 1024u /* of one file */
#define FIELD_NAME 512u
#define DIMS_MAX   64u /* numpy 2's own limit */

static const uint8_t magic[MAGIC_BYTES] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* The parser's cursor. why: the first thing that was wrong; NULL while all is well. */
struct lit {
    struct mln_bytes text;
    size_t at;
    const char *why;
};

/* A type: how long an item is and whether it holds Python objects. */
struct dtype {
    uint64_t bytes;
    bool has_object;
};

struct header {
    struct dtype type;
    uint64_t count; /* items of the array */
    bool has_descr, has_order, has_shape;
};

static void fail(struct lit *in, const char *why)
{
    if (in->why == NULL) {
        in->why = why;
    }
    in->at = in->text.len;
}

static uint8_t peek(struct lit *in)
{
    while (in->at < in->text.len && (in->text.ptr[in->at] == ' ' || in->text.ptr[in->at] == '\n')) {
        in->at++;
    }
    return in->at < in->text.len ? in->text.ptr[in->at] : 0;
}

static bool take(struct lit *in, uint8_t byte)
{
    if (peek(in) != byte || in->at >= in->text.len) {
        return false;
    }
    in->at++;
    return true;
}

static void want(struct lit *in, uint8_t byte)
{
    if (!take(in, byte)) {
        fail(in, "unexpected character");
    }
}

/* A quoted string without escapes; a view of the text. */
static struct mln_bytes read_string(struct lit *in)
{
    uint8_t quote = peek(in);
    if (quote != '\'' && quote != '"') {
        fail(in, "a string is missing");
        return MLN_BYTES_NONE;
    }
    struct mln_bytes rest = mln_bytes_from(in->text, in->at + 1);
    size_t len = mln_bytes_find(rest, quote);
    struct mln_bytes s = mln_bytes_sub(rest, 0, len);
    if (len == rest.len) {
        fail(in, "a string does not end");
        return MLN_BYTES_NONE;
    }
    if (mln_bytes_find(s, '\\') < s.len || mln_bytes_find(s, '\n') < s.len) {
        fail(in, "a string with escapes");
        return MLN_BYTES_NONE;
    }
    in->at += len + 2;
    return s;
}

static uint64_t read_number(struct lit *in)
{
    uint64_t n = 0;
    size_t digits = 0;
    (void)peek(in);
    while (in->at < in->text.len && in->text.ptr[in->at] >= '0' && in->text.ptr[in->at] <= '9') {
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(in->text.ptr[in->at] - '0'), &n)) {
            fail(in, "a number is too large");
            return 0;
        }
        in->at++;
        digits++;
    }
    if (digits == 0) {
        fail(in, "a number is missing");
    }
    if (in->at < in->text.len && in->text.ptr[in->at] == 'L') {
        in->at++; /* written by Python 2 */
    }
    return n;
}

static void multiply(struct lit *in, uint64_t *total, uint64_t by)
{
    if (__builtin_mul_overflow(*total, by, total)) {
        fail(in, "a size is too large");
    }
}

/* "(2, 3)", "(2,)", "()" or, where allowed, a bare number: the product. */
static uint64_t read_shape(struct lit *in, bool may_be_bare)
{
    uint64_t total = 1;
    unsigned dims = 0;
    if (may_be_bare && peek(in) >= '0' && peek(in) <= '9') {
        return read_number(in);
    }
    want(in, '(');
    while (in->why == NULL && !take(in, ')')) {
        multiply(in, &total, read_number(in));
        if (++dims > DIMS_MAX) {
            fail(in, "too many dimensions");
        }
        if (!take(in, ',')) {
            want(in, ')');
            if (dims == 1) {
                fail(in, "a shape that is no tuple");
            }
            break;
        }
    }
    return total;
}

/* A type in numpy's array-interface spelling, "<f8", "|S5", "<M8[ns]". */
static struct dtype read_typestr(struct lit *in)
{
    static const char order[] = "<>|=";
    struct mln_bytes s = read_string(in);
    struct dtype type = {0};
    size_t at = 0;
    if (s.len > 0 && mln_bytes_find(mln_bytes_of(order), s.ptr[0]) < sizeof(order) - 1) {
        at = 1;
    }
    uint8_t kind = at < s.len ? s.ptr[at] : 0;
    struct lit num = {.text = s, .at = at + 1};
    bool has_digits = at + 1 < s.len && s.ptr[at + 1] >= '0' && s.ptr[at + 1] <= '9';
    uint64_t n = has_digits ? read_number(&num) : 0;
    if (num.why != NULL || n > UINT32_MAX) {
        fail(in, "an item is too large");
        return type;
    }
    if (kind == 'O') {
        type.has_object = true;
        type.bytes = 8;
    } else if (kind == '?') {
        type.bytes = 1;
    } else if (kind != 0 && mln_bytes_find(MLN_BYTES("biufcmMSUVa"), kind) < 11 && has_digits) {
        type.bytes = kind == 'U' ? n * 4 : n;
    } else {
        fail(in, "an unknown type");
    }
    struct mln_bytes unit = mln_bytes_from(s, has_digits ? num.at : at + 1);
    bool is_time = (kind == 'm' || kind == 'M') && unit.len > 2 && unit.ptr[0] == '[' &&
                   unit.ptr[unit.len - 1] == ']';
    if (unit.len > 0 && !is_time) {
        fail(in, "an unknown type");
    }
    return type;
}

static struct dtype read_descr(struct lit *in, int depth);

/* ('name', type), ('name', type, shape), (('title', 'name'), type): one field of a structured type. */
static struct dtype read_field(struct lit *in, int depth)
{
    want(in, '(');
    if (take(in, '(')) {
        (void)read_string(in);
        want(in, ',');
        (void)read_string(in);
        want(in, ')');
    } else if (read_string(in).len > FIELD_NAME) {
        fail(in, "a field's name is too long");
    }
    want(in, ',');
    struct dtype type = read_descr(in, depth);
    if (take(in, ',') && peek(in) != ')') {
        multiply(in, &type.bytes, read_shape(in, true));
        (void)take(in, ',');
    }
    want(in, ')');
    return type;
}

static struct dtype read_descr(struct lit *in, int depth)
{
    struct dtype type = {0};
    if (depth <= 0) {
        fail(in, "types nest too deep");
        return type;
    }
    if (take(in, '(')) { /* (type, shape): an array as item */
        type = read_descr(in, depth - 1);
        want(in, ',');
        multiply(in, &type.bytes, read_shape(in, true));
        want(in, ')');
        return type;
    }
    if (!take(in, '[')) {
        return read_typestr(in);
    }
    while (in->why == NULL && !take(in, ']')) {
        struct dtype field = read_field(in, depth - 1);
        type.has_object |= field.has_object;
        if (__builtin_add_overflow(type.bytes, field.bytes, &type.bytes)) {
            fail(in, "an item is too large");
        }
        if (!take(in, ',')) {
            want(in, ']');
            break;
        }
    }
    return type;
}

static void read_bool(struct lit *in)
{
    (void)peek(in);
    struct mln_bytes rest = mln_bytes_from(in->text, in->at);
    if (mln_bytes_starts(rest, MLN_BYTES("True"))) {
        in->at += 4;
    } else if (mln_bytes_starts(rest, MLN_BYTES("False"))) {
        in->at += 5;
    } else {
        fail(in, "fortran_order is no bool");
    }
}

static void read_member(struct lit *in, struct header *to)
{
    struct mln_bytes key = read_string(in);
    want(in, ':');
    if (mln_bytes_is(key, "descr") && !to->has_descr) {
        to->type = read_descr(in, DEPTH_MAX);
        to->has_descr = true;
    } else if (mln_bytes_is(key, "fortran_order") && !to->has_order) {
        read_bool(in);
        to->has_order = true;
    } else if (mln_bytes_is(key, "shape") && !to->has_shape) {
        to->count = read_shape(in, false);
        to->has_shape = true;
    } else {
        fail(in, "a key that is unknown or there twice");
    }
}

/* The whole literal; why it is refused, or NULL. */
static const char *read_literal(struct mln_bytes text, struct header *to)
{
    struct lit in = {.text = text};
    want(&in, '{');
    while (in.why == NULL && !take(&in, '}')) {
        read_member(&in, to);
        if (!take(&in, ',')) {
            want(&in, '}');
            break;
        }
    }
    if (in.why == NULL && (peek(&in), in.at < text.len)) {
        fail(&in, "something behind the dict");
    }
    if (in.why == NULL && !(to->has_descr && to->has_order && to->has_shape)) {
        fail(&in, "a key is missing");
    }
    return in.why;
}

static void bad(struct mln_scan_report *report, uint64_t at, const char *rule, const char *text)
{
    mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, rule, at, "%s", text);
}

/* Array data at `at`: a pickle, or bytes that are passed over. */
static struct mln_err read_data(struct mln_cx *cx, const struct mln_scan_input *input,
                                const struct header *header, size_t at,
                                struct mln_scan_report *report, size_t *ret_end)
{
    uint64_t left = input->map.len - at;
    uint64_t bytes = header->type.bytes;
    *ret_end = input->map.len;
    if (header->type.has_object) {
        mln_scan_find(report, MLN_VERDICT_CLEAN, MLN_SEVERITY_LOW, "npy-object", input->base + at,
                      "an array of Python objects: reading it runs the pickle in it");
        return mln_scan_pickle_at(cx, input, at, false, report, ret_end);
    }
    if (__builtin_mul_overflow(bytes, header->count, &bytes) || bytes > left) {
        bad(report, input->base + at, "npy-short", "the array is longer than the file");
        return MLN_OK;
    }
    if (bytes > 0) {
        mln_scan_skip(report, "array data", input->base + at, bytes);
    }
    *ret_end = at + (size_t)bytes;
    return MLN_OK;
}

bool mln_npy_is_plain(struct mln_bytes head, uint64_t total)
{
    struct header header = {0};
    if (head.len < 12 || !mln_same(head.ptr, magic, MAGIC_BYTES) || head.ptr[6] < 1 ||
        head.ptr[6] > 3) {
        return false;
    }
    size_t fixed = head.ptr[6] == 1 ? 10 : 12;
    uint64_t len = head.ptr[6] == 1 ? mln_get_u16le(head.ptr + 8) : mln_get_u32le(head.ptr + 8);
    if (len > head.len - fixed ||
        read_literal(mln_bytes_sub(head, fixed, (size_t)len), &header) != NULL) {
        return false;
    }
    uint64_t bytes = header.type.bytes;
    bool fits = !__builtin_mul_overflow(bytes, header.count, &bytes) &&
                !__builtin_add_overflow(bytes, fixed + len, &bytes);
    return fits && !header.type.has_object && bytes == total;
}

/* One array at `at`; *ret_end behind it, or the file's end when there is no going on. */
static struct mln_err read_array(struct mln_cx *cx, const struct mln_scan_input *input, size_t at,
                                 struct mln_scan_report *report, size_t *ret_end)
{
    struct mln_bytes map = mln_bytes_from(input->map, at);
    size_t fixed = map.len > MAGIC_BYTES && map.ptr[MAGIC_BYTES] == 1 ? 10 : 12;
    *ret_end = input->map.len;
    if (map.len < fixed || !mln_same(map.ptr, magic, MAGIC_BYTES)) {
        bad(report, input->base + at, at == 0 ? "npy-magic" : "npy-tail",
            "bytes that are no array");
        return MLN_OK;
    }
    uint8_t major = map.ptr[6];
    if (major < 1 || major > 3 || map.ptr[7] != 0) {
        bad(report, input->base + at, "npy-version", "an unknown version of the format");
        return MLN_OK;
    }
    uint64_t len = major == 1 ? mln_get_u16le(map.ptr + 8) : mln_get_u32le(map.ptr + 8);
    if (len > HEADER_MAX || len > map.len - fixed) {
        bad(report, input->base + at, "npy-header",
            "the header is longer than the file or than 1 MiB");
        return MLN_OK;
    }
    struct header header = {0};
    const char *why = read_literal(mln_bytes_sub(map, fixed, (size_t)len), &header);
    report->bytes_read += fixed + len;
    if (why != NULL) {
        mln_scan_find(report, MLN_VERDICT_MALFORMED, MLN_SEVERITY_HIGH, "npy-header",
                      input->base + at + fixed, "the header is not what numpy writes: %s", why);
        return MLN_OK;
    }
    return read_data(cx, input, &header, at + fixed + (size_t)len, report, ret_end);
}

static struct mln_err npy_scan(struct mln_cx *cx, const struct mln_scan_input *input,
                               struct mln_scan_report *report)
{
    size_t at = 0;
    report->format = "npy";
    for (unsigned n = 0; n < ARRAYS_MAX; n++) {
        MLN_TRY(read_array(cx, input, at, report, &at));
        report->format = "npy"; /* a pickle inside may have named itself */
        if (at >= input->map.len) {
            return MLN_OK;
        }
    }
    bad(report, input->base + at, "npy-tail", "too many arrays in one file");
    return MLN_OK;
}

static int npy_probe(const struct mln_scan_input *input)
{
    struct mln_bytes path = mln_bytes_of(input->path);
    if (input->map.len >= MAGIC_BYTES && mln_same(input->map.ptr, magic, MAGIC_BYTES)) {
        return 2;
    }
    return mln_bytes_is_nocase(mln_bytes_from(path, path.len > 4 ? path.len - 4 : 0), ".npy") ? 1
                                                                                              : 0;
}

const struct mln_scanner mln_scanner_npy = {
    .format = "npy",
    .summary = "numpy arrays: strict header; arrays of objects are read as pickles",
    .extensions = " .npy ",
    .probe = npy_probe,
    .scan = npy_scan,
};
