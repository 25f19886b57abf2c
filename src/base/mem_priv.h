/* SPDX-License-Identifier: Apache-2.0 */
/* The fault points of hot paths: one relaxed load while nothing is armed. */
#pragma once

#include <stdatomic.h>

#include "base/mem.h"

extern _Atomic bool mln_fault_is_armed;

static inline bool fault_point(enum mln_fault_kind kind)
{
    return __builtin_expect(atomic_load_explicit(&mln_fault_is_armed, memory_order_relaxed), 0) &&
           mln_fault_hit(kind);
}
