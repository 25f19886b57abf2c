/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_scanner_npy, mln_npy_is_plain. */
#include "artifact/npy.h"
#include "scan_fuzz.h"

extern const struct mln_scanner mln_scanner_npy;

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    bool is_plain = mln_npy_is_plain(mln_bytes_at(data, size), size);
    MLN_CHECK(!is_plain || size > 10);
    return scan_fuzz(&mln_scanner_npy, "x.npy", data, size);
}
