/* SPDX-License-Identifier: Apache-2.0 */
/* The table of auth methods, from auth.def. Tokens themselves belong to core. */
#include "contract/engine.h"

#define MLN_METHOD(name) extern const struct mln_engine mln_method_##name;
#include "auth/auth.def"
#undef MLN_METHOD

const struct mln_engine *const mln_methods[] = {
#define MLN_METHOD(name) &mln_method_##name,
#include "auth/auth.def"
#undef MLN_METHOD
    NULL,
};
