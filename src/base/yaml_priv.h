/* SPDX-License-Identifier: Apache-2.0 */
/* The core schema, shared by the reader and the printer (which quotes what would resolve). */
#pragma once

#include "base/value.h"

/* True when a plain scalar of this text is null, a boolean or a number, which is then in *to. */
bool mln_yaml_resolve(struct mln_cx *cx, struct mln_bytes text, struct mln_value *to);
