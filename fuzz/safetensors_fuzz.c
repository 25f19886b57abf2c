/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_scanner_safetensors. */
#include "scan_fuzz.h"

extern const struct mln_scanner mln_scanner_safetensors;

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    return scan_fuzz(&mln_scanner_safetensors, "x.safetensors", data, size);
}
