/* SPDX-License-Identifier: Apache-2.0 */
/* The table of this room's engines, from assure.def. */
#include "assure/assure.h"

#define MLN_ASSURANCE(name) extern const struct mln_engine mln_assurance_##name;
#include "assure/assure.def"
#undef MLN_ASSURANCE

const struct mln_engine *const mln_assurances[] = {
#define MLN_ASSURANCE(name) &mln_assurance_##name,
#include "assure/assure.def"
#undef MLN_ASSURANCE
    NULL,
};
