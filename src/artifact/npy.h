/* SPDX-License-Identifier: Apache-2.0 */
/* What other readers ask of npy.c. */
#pragma once

#include "base/bytes.h"

/* Does `head`, the beginning of a file of `total` bytes, say that the rest is one array without Python objects? */
bool mln_npy_is_plain(struct mln_bytes head, uint64_t total);
