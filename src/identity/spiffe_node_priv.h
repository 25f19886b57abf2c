/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: what spiffe_node.c and spiffe_node_attest.c share. */
#pragma once

#include "identity/spiffe_priv.h"

#define SP_NODE_TOKEN "mns." /* session tokens of nodes begin so */

/* What a node has shown. */
struct sp_node_proof {
    const char *method;
    const char *id;                /* its SPIFFE id */
    const struct mln_value *facts; /* object: what was shown, for people */
};
const char *sp_node_hash(struct mln_cx *cx, struct mln_bytes text); /* SHA-256, hex */
struct mln_err sp_node_begin(struct mln_request *rq, const struct sp_node_proof *proof, struct mln_reply *re);

extern const struct mln_path sp_node_paths[], sp_node_attest_paths[];
