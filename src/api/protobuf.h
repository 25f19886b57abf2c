/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protobuf messages as values, by tables: a row a field, no generated code. The names of the members are ours, the numbers are those of
 * the .proto files (docs/format-grpc.md lists them).
 *
 * Reading is strict: a known field of the wrong wire type, one that may stand once and stands twice, text that is no UTF-8, nesting
 * deeper than the tables and more than MLN_PB_ITEMS_MAX items of one field are refused. Unknown fields are skipped. Absent fields are
 * absent members. Printing leaves out absent members and null, and what has the default of its type.
 */
#pragma once

#include "base/value.h"

#define MLN_PB_ITEMS_MAX 4096u /* audiences, header lines, names: people have tens; members of an object are looked for one by one */

enum mln_pb_type {
    MLN_PB_STRING, /* UTF-8 */
    MLN_PB_SECRET, /* the same, marked secret */
    MLN_PB_BYTES,
    MLN_PB_BOOL,
    MLN_PB_INT,    /* int32, int64, enum: plain varint */
    MLN_PB_MESSAGE,
    MLN_PB_STRUCT, /* google.protobuf.Struct; printed only */
};

enum mln_pb_shape { MLN_PB_ONE, MLN_PB_MANY, MLN_PB_MAP /* string keys: an object */ };

struct mln_pb_field {
    uint32_t number;
    const char *name;
    enum mln_pb_type type;
    enum mln_pb_shape shape;
    const struct mln_pb_field *sub; /* of MESSAGE */
};

/* fields end with {0}. Strings are borrowed from `bytes`. errors PARSE ("protobuf: ..."), TOO_LARGE, MEMORY */
struct mln_err mln_pb_decode(struct mln_cx *cx, const struct mln_pb_field *fields, struct mln_bytes bytes,
                             const struct mln_value **ret);
/* Append an object (null = an empty message). errors INVALID (a member of the wrong type: a fault of ours), TOO_LARGE */
struct mln_err mln_pb_encode(struct mln_cx *cx, const struct mln_pb_field *fields, const struct mln_value *value, struct mln_buf *buf);
