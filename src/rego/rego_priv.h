/* SPDX-License-Identifier: Apache-2.0 */
/* What the door's opaque structs hold. */
#pragma once

#include "rego/vm_priv.h"

#include <stdatomic.h>

struct mln_rego {
    struct rg_policy policy;
};

struct mln_rego_query {
    struct rg_heap *heap;
    struct rg_errors errors;
    struct rg_names names;
    const struct rg_policy *policy;
    struct rg_proc *proc;
    uint32_t slots;
};

struct mln_rego_data {
    atomic_uint refs;
    unsigned age; /* snapshots below it */
    struct mln_rego_data *base; /* whose values it shares */
    struct rg_heap *heap;
    struct rg_val root;
};

struct mln_rego_eval {
    struct rg_vm vm;
    struct rg_heap *input_heap;
    struct rg_val input;
};
