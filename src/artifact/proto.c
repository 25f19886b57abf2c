/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf wire format; contract in proto.h. */
#include "artifact/proto.h"

#define VARINT_MAX 10u
#define FIELD_MAX  ((1u << 29) - 1)

bool mln_proto_varint(struct mln_proto *r, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_MAX && r->at < r->all.len; i++) {
        uint8_t byte = r->all.ptr[r->at++];
        if (i == VARINT_MAX - 1 && byte > 1) {
            break;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *ret = value;
            return true;
        }
    }
    r->is_bad = true;
    return false;
}

static bool read_bytes(struct mln_proto *r, uint64_t len, struct mln_bytes *ret)
{
    if (len > r->all.len - r->at) {
        r->is_bad = true;
        return false;
    }
    *ret = mln_bytes_sub(r->all, r->at, (size_t)len);
    r->at += (size_t)len;
    return true;
}

bool mln_proto_next(struct mln_proto *r, struct mln_proto_field *ret)
{
    uint64_t key;
    uint64_t len;
    struct mln_proto_field field = {0};
    if (r->is_bad || r->at >= r->all.len || !mln_proto_varint(r, &key)) {
        return false;
    }
    unsigned wire = (unsigned)(key & 7);
    if (key >> 3 == 0 || key >> 3 > FIELD_MAX) {
        r->is_bad = true;
        return false;
    }
    field.number = (uint32_t)(key >> 3);
    field.wire = (enum mln_proto_wire)wire;
    bool ok = false;
    if (wire == MLN_PROTO_VARINT) {
        ok = mln_proto_varint(r, &field.value);
    } else if (wire == MLN_PROTO_BYTES) {
        ok = mln_proto_varint(r, &len) && read_bytes(r, len, &field.bytes);
    } else if (wire == MLN_PROTO_FIXED64 && read_bytes(r, 8, &field.bytes)) {
        field.value = mln_get_u64le(field.bytes.ptr);
        ok = true;
    } else if (wire == MLN_PROTO_FIXED32 && read_bytes(r, 4, &field.bytes)) {
        field.value = mln_get_u32le(field.bytes.ptr);
        ok = true;
    }
    if (!ok) {
        r->is_bad = true;
        return false;
    }
    *ret = field;
    return true;
}
