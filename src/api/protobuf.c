/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf by tables; contract in protobuf.h. Source: protobuf.dev/programming-guides/encoding and proto3. */
#include "api/protobuf.h"

#include "artifact/proto.h"
#include "base/text.h"

#define VARINT_MAX 10u

/* ---- in ---- */

static struct mln_err decode(struct mln_cx *cx, const struct mln_pb_field *fields, struct mln_bytes bytes, struct mln_value *into);

static enum mln_proto_wire wire_of(const struct mln_pb_field *field)
{
    bool is_number = field->shape != MLN_PB_MAP && (field->type == MLN_PB_BOOL || field->type == MLN_PB_INT);
    return is_number ? MLN_PROTO_VARINT : MLN_PROTO_BYTES;
}

static struct mln_err read_one(struct mln_cx *cx, const struct mln_pb_field *field, const struct mln_proto_field *got,
                               const struct mln_value **ret)
{
    struct mln_value *message = NULL;
    switch (field->type) {
    case MLN_PB_STRING:
    case MLN_PB_SECRET:
        if (!mln_utf8_valid(got->bytes)) {
            return mln_fail(cx, MLN_E_PARSE, "protobuf: %s is no UTF-8", field->name);
        }
        *ret = field->type == MLN_PB_SECRET ? mln_secret_string(cx, got->bytes) : mln_string(cx, got->bytes);
        return MLN_OK;
    case MLN_PB_BYTES:
        *ret = mln_blob(cx, got->bytes);
        return MLN_OK;
    case MLN_PB_BOOL:
        *ret = mln_bool(cx, got->value != 0);
        return MLN_OK;
    case MLN_PB_INT:
        *ret = mln_int(cx, (int64_t)got->value);
        return MLN_OK;
    case MLN_PB_MESSAGE:
        message = mln_object(cx);
        *ret = message;
        return decode(cx, field->sub, got->bytes, message);
    case MLN_PB_STRUCT:
        break;
    }
    return mln_fail(cx, MLN_E_INTERNAL, "protobuf: %s is not for reading", field->name);
}

/* An entry of a map is a message of its own: 1 key, 2 value. */
static struct mln_err read_entry(struct mln_cx *cx, const struct mln_pb_field *field, struct mln_bytes bytes, struct mln_value *map)
{
    struct mln_pb_field parts[] = {{1, "key", MLN_PB_STRING, MLN_PB_ONE, NULL}, *field, {0}};
    struct mln_value *entry = mln_object(cx);
    parts[1].number = 2;
    parts[1].name = "value";
    parts[1].shape = MLN_PB_ONE;
    MLN_TRY(decode(cx, parts, bytes, entry));
    struct mln_bytes key = mln_get_bytes(mln_get(entry, "key"));
    const struct mln_value *value = mln_get(entry, "value");
    if (mln_get_key(map, key) != NULL) {
        return mln_fail(cx, MLN_E_PARSE, "protobuf: a key of %s stands twice", field->name);
    }
    mln_put_key(cx, map, key, value != NULL ? value : mln_string(cx, MLN_BYTES_NONE));
    return MLN_OK;
}

static struct mln_err take_field(struct mln_cx *cx, const struct mln_pb_field *field, const struct mln_proto_field *got,
                                 struct mln_value *into)
{
    const struct mln_value *had = mln_get(into, field->name), *one = NULL;
    if (got->wire != wire_of(field)) {
        return mln_fail(cx, MLN_E_PARSE, "protobuf: %s has the wrong type", field->name);
    }
    if (field->shape == MLN_PB_ONE) {
        if (had != NULL) {
            return mln_fail(cx, MLN_E_PARSE, "protobuf: %s stands twice", field->name);
        }
        MLN_TRY(read_one(cx, field, got, &one));
        mln_put(cx, into, field->name, one);
        return MLN_OK;
    }
    if (had == NULL) {
        mln_put(cx, into, field->name, field->shape == MLN_PB_MAP ? mln_object(cx) : mln_array(cx));
        had = mln_get(into, field->name);
    }
    if (mln_len(had) >= MLN_PB_ITEMS_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "protobuf: more than %u of %s", MLN_PB_ITEMS_MAX, field->name);
    }
    struct mln_value *many = (struct mln_value *)(uintptr_t)had; /* ours, made above */
    if (field->shape == MLN_PB_MAP) {
        return read_entry(cx, field, got->bytes, many);
    }
    MLN_TRY(read_one(cx, field, got, &one));
    mln_push(cx, many, one);
    return MLN_OK;
}

/* As deep as the tables are: none of them names itself. */
static struct mln_err decode(struct mln_cx *cx, const struct mln_pb_field *fields, struct mln_bytes bytes, struct mln_value *into)
{
    struct mln_proto reader = mln_proto_of(bytes);
    struct mln_proto_field got;
    while (mln_proto_next(&reader, &got)) {
        const struct mln_pb_field *field = fields;
        while (field->number != 0 && field->number != got.number) {
            field++;
        }
        if (field->number != 0) {
            MLN_TRY(take_field(cx, field, &got, into));
        }
        MLN_TRY(mln_cx_err(cx));
    }
    return reader.is_bad ? mln_fail(cx, MLN_E_PARSE, "protobuf: malformed at byte %zu", reader.at) : MLN_OK;
}

struct mln_err mln_pb_decode(struct mln_cx *cx, const struct mln_pb_field *fields, struct mln_bytes bytes,
                             const struct mln_value **ret)
{
    struct mln_value *into = mln_object(cx);
    MLN_TRY(decode(cx, fields, bytes, into));
    MLN_TRY(mln_cx_err(cx));
    *ret = into;
    return MLN_OK;
}

/* ---- out ---- */

static size_t put_varint(uint8_t to[VARINT_MAX], uint64_t value)
{
    size_t n = 0;
    while (value >= 0x80) {
        to[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[n++] = (uint8_t)value;
    return n;
}

static void add_varint(struct mln_buf *buf, uint64_t value)
{
    uint8_t bytes[VARINT_MAX];
    mln_buf_add(buf, bytes, put_varint(bytes, value));
}

static void add_key(struct mln_buf *buf, uint32_t number, enum mln_proto_wire wire)
{
    add_varint(buf, (uint64_t)number << 3 | (unsigned)wire);
}

/* What stands in buf from `at` on gets its length in front. */
static void close_length(struct mln_buf *buf, size_t at)
{
    uint8_t bytes[VARINT_MAX];
    if (buf->has_failed) {
        return;
    }
    size_t len = buf->len - at;
    size_t n = put_varint(bytes, len);
    mln_buf_add(buf, bytes, n); /* makes the room */
    if (!buf->has_failed) {
        mln_move(buf->ptr + at + n, buf->ptr + at, len);
        mln_copy(buf->ptr + at, bytes, n);
    }
}

static void add_bytes(struct mln_buf *buf, uint32_t number, struct mln_bytes bytes)
{
    add_key(buf, number, MLN_PROTO_BYTES);
    add_varint(buf, bytes.len);
    mln_buf_add_bytes(buf, bytes);
}

static void add_struct(struct mln_buf *buf, const struct mln_value *object);

static void add_double(struct mln_buf *buf, uint32_t number, double value)
{
    uint8_t bytes[8];
    uint64_t bits = 0;
    mln_copy(&bits, &value, sizeof(bits));
    mln_put_u64le(bytes, bits);
    add_key(buf, number, MLN_PROTO_FIXED64);
    mln_buf_add(buf, bytes, sizeof(bytes));
}

/* google.protobuf.Value: exactly one of its fields, defaults too. Depth is that of values, MLN_VALUE_DEPTH_MAX. */
static void add_any(struct mln_buf *buf, const struct mln_value *value)
{
    size_t at = 0;
    switch (mln_type_of(value)) {
    case MLN_NULL:
        add_key(buf, 1, MLN_PROTO_VARINT);
        add_varint(buf, 0);
        break;
    case MLN_INT:
    case MLN_DECIMAL:
        add_double(buf, 2, mln_get_double(value, 0));
        break;
    case MLN_STRING:
        add_bytes(buf, 3, mln_get_bytes(value));
        break;
    case MLN_BOOL:
        add_key(buf, 4, MLN_PROTO_VARINT);
        add_varint(buf, mln_get_bool(value, false));
        break;
    case MLN_OBJECT:
        add_key(buf, 5, MLN_PROTO_BYTES);
        at = buf->len;
        add_struct(buf, value);
        close_length(buf, at);
        break;
    case MLN_ARRAY:
    case MLN_SET:
        add_key(buf, 6, MLN_PROTO_BYTES);
        at = buf->len;
        for (size_t i = 0; i < mln_len(value); i++) {
            add_key(buf, 1, MLN_PROTO_BYTES);
            size_t item = buf->len;
            add_any(buf, mln_item(value, i));
            close_length(buf, item);
        }
        close_length(buf, at);
        break;
    }
}

static void add_struct(struct mln_buf *buf, const struct mln_value *object)
{
    for (size_t i = 0; i < mln_len(object); i++) {
        const struct mln_member *member = mln_member_at(object, i);
        add_key(buf, 1, MLN_PROTO_BYTES);
        size_t entry = buf->len;
        add_bytes(buf, 1, member->key);
        add_key(buf, 2, MLN_PROTO_BYTES);
        size_t at = buf->len;
        add_any(buf, &member->value);
        close_length(buf, at);
        close_length(buf, entry);
    }
}

static bool fits(enum mln_pb_type type, const struct mln_value *value)
{
    enum mln_type is = mln_type_of(value);
    switch (type) {
    case MLN_PB_STRING:
    case MLN_PB_SECRET:
    case MLN_PB_BYTES:
        return is == MLN_STRING;
    case MLN_PB_BOOL:
        return is == MLN_BOOL;
    case MLN_PB_INT:
        return is == MLN_INT;
    case MLN_PB_MESSAGE:
    case MLN_PB_STRUCT:
        return is == MLN_OBJECT;
    }
    return false;
}

/* What a reader takes for absent. */
static bool is_default(const struct mln_value *value)
{
    enum mln_type type = mln_type_of(value);
    return (type == MLN_STRING && mln_len(value) == 0) || (type == MLN_INT && mln_get_int(value, 1) == 0) ||
           (type == MLN_BOOL && !mln_get_bool(value, true));
}

static struct mln_err add_one(struct mln_cx *cx, const struct mln_pb_field *field, const struct mln_value *value, struct mln_buf *buf)
{
    if (!fits(field->type, value)) {
        return mln_fail(cx, MLN_E_INTERNAL, "protobuf: %s is a %s", field->name, mln_type_name(mln_type_of(value)));
    }
    if (field->type == MLN_PB_BOOL || field->type == MLN_PB_INT) {
        add_key(buf, field->number, MLN_PROTO_VARINT);
        add_varint(buf, field->type == MLN_PB_BOOL ? mln_get_bool(value, false) : (uint64_t)mln_get_int(value, 0));
    } else if (field->type == MLN_PB_MESSAGE || field->type == MLN_PB_STRUCT) {
        add_key(buf, field->number, MLN_PROTO_BYTES);
        size_t at = buf->len;
        if (field->type == MLN_PB_STRUCT) {
            add_struct(buf, value);
        } else {
            MLN_TRY(mln_pb_encode(cx, field->sub, value, buf));
        }
        close_length(buf, at);
    } else {
        add_bytes(buf, field->number, mln_get_bytes(value));
    }
    return MLN_OK;
}

static struct mln_err add_map(struct mln_cx *cx, const struct mln_pb_field *field, const struct mln_value *map, struct mln_buf *buf)
{
    struct mln_pb_field value = *field;
    value.number = 2;
    value.shape = MLN_PB_ONE;
    for (size_t i = 0; i < mln_len(map); i++) {
        const struct mln_member *member = mln_member_at(map, i);
        add_key(buf, field->number, MLN_PROTO_BYTES);
        size_t at = buf->len;
        add_bytes(buf, 1, member->key);
        MLN_TRY(add_one(cx, &value, &member->value, buf));
        close_length(buf, at);
    }
    return MLN_OK;
}

struct mln_err mln_pb_encode(struct mln_cx *cx, const struct mln_pb_field *fields, const struct mln_value *value, struct mln_buf *buf)
{
    for (const struct mln_pb_field *field = fields; field->number != 0; field++) {
        const struct mln_value *member = mln_get(value, field->name);
        enum mln_type need = field->shape == MLN_PB_MAP ? MLN_OBJECT : MLN_ARRAY;
        if (mln_is_null(member) || (field->shape == MLN_PB_ONE && is_default(member))) {
            continue;
        }
        if (field->shape != MLN_PB_ONE && mln_type_of(member) != need) {
            return mln_fail(cx, MLN_E_INTERNAL, "protobuf: %s is a %s", field->name, mln_type_name(mln_type_of(member)));
        }
        if (field->shape == MLN_PB_ONE) {
            MLN_TRY(add_one(cx, field, member, buf));
        } else if (field->shape == MLN_PB_MAP) {
            MLN_TRY(add_map(cx, field, member, buf));
        } else {
            for (size_t i = 0; i < mln_len(member); i++) {
                MLN_TRY(add_one(cx, field, mln_item(member, i), buf));
            }
        }
    }
    return mln_buf_ok(cx, buf);
}
