/* SPDX-License-Identifier: Apache-2.0 */
/* The table of secrets engines, from engine.def. */
#include "contract/engine.h"

#define MLN_ENGINE(name) extern const struct mln_engine mln_engine_##name;
#include "engine/engine.def"
#undef MLN_ENGINE

const struct mln_engine *const mln_engines[] = {
#define MLN_ENGINE(name) &mln_engine_##name,
#include "engine/engine.def"
#undef MLN_ENGINE
    NULL,
};
