/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: mln_scanner_onnx, mln_proto_next, mln_proto_varint, mln_onnx_functions. */
#include "scan_fuzz.h"

extern const struct mln_scanner mln_scanner_onnx;

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    return scan_fuzz(&mln_scanner_onnx, "x.onnx", data, size);
}
