/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of the protobuf wire format: one field after the other over a view, nothing copied. Groups, field number 0, varints
 * longer than ten bytes and lengths beyond the view end the reading with is_bad.
 * Source: protobuf.dev/programming-guides/encoding.
 */
#pragma once

#include "base/bytes.h"

enum mln_proto_wire {
    MLN_PROTO_VARINT = 0,
    MLN_PROTO_FIXED64 = 1,
    MLN_PROTO_BYTES = 2,
    MLN_PROTO_FIXED32 = 5
};

struct mln_proto {
    struct mln_bytes all;
    size_t at;
    bool is_bad;
};

struct mln_proto_field {
    uint32_t number;
    enum mln_proto_wire wire;
    uint64_t value;         /* of a varint or fixed field */
    struct mln_bytes bytes; /* of a length-delimited field: a view */
};

static inline struct mln_proto mln_proto_of(struct mln_bytes all)
{
    return (struct mln_proto){.all = all};
}
/* The next field; false at the end or when it is malformed (then r->is_bad). */
bool mln_proto_next(struct mln_proto *r, struct mln_proto_field *ret);
/* A varint by itself, as packed fields hold them; false at the end or when malformed. */
bool mln_proto_varint(struct mln_proto *r, uint64_t *ret);
