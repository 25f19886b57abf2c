/* SPDX-License-Identifier: Apache-2.0 */
/* Inside core: compiled rules for requests. */
#pragma once

#include "base/clock.h"
#include "core/core_priv.h"
#include "core/govern.h"

enum govern_level { GOVERN_ADVISORY, GOVERN_SOFT, GOVERN_HARD };

struct governed {
    const char *name; /* "egp/business-hours" */
    bool is_role, is_dry_run;
    enum govern_level level;
    const struct mln_value *paths, *policies, *entities, *groups; /* arrays of texts */
    struct mln_rules *rules;
};
struct mln_governor {
    atomic_uint refs;
    struct mln_arena *arena;
    struct governed *rules;
    size_t n;
};
/* The rules of now; NULL = none. Give them back. */
struct mln_governor *govern_hold(struct mln_core *core);
void govern_release(struct mln_governor **all);
static inline struct mln_view govern_view(void)
{
    return (struct mln_view){.ns = MLN_NS_ROOT, .prefix = MLN_BYTES("root/rule/")};
}
