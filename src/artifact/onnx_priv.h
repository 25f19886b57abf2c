/* SPDX-License-Identifier: Apache-2.0 */
/* Between onnx.c (structure) and onnx_ops.c (operators and their domains). */
#pragma once

#include <inttypes.h>

#include "artifact/proto.h"
#include "artifact/scan.h"
#include "base/text.h"

#define MLN_ONNX_DEPTH_MAX 32 /* graphs in attributes of nodes (If, Loop, Scan) in one another */
#define MLN_ONNX_DOMAINS_MAX                                                                       \
    64u /* of a model's own functions; exporters use one or two. Each node is compared with all */
#define MLN_ONNX_PROBE_FIELDS 100000u

struct mln_onnx {
    struct mln_cx *cx;
    const struct mln_scan_input *input;
    struct mln_scan_report *report;
    struct mln_bytes *domains; /* of functions that the model itself defines */
    size_t n_domains;
    uint64_t nodes;
    uint64_t external;     /* tensors with external data */
    uint64_t tensor_bytes; /* passed over */
};

/* What is looked at of an attribute: its name, its string or its number. */
struct mln_onnx_attr {
    struct mln_bytes name;
    struct mln_bytes text;
    uint64_t number;
};

struct mln_onnx_node {
    struct mln_bytes op;
    struct mln_bytes domain;
    struct mln_bytes cache; /* EPContext: a blob or a path */
    bool is_cache_outside;
    uint64_t where;
};

/* Collect the domains of the model's own functions. errors MEMORY */
struct mln_err mln_onnx_functions(struct mln_onnx *in);
/* Who runs this operator: the standard, the runtime, the model itself, or code from elsewhere. */
void mln_onnx_check_node(struct mln_onnx *in, const struct mln_onnx_node *node);
