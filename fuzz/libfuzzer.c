/* SPDX-License-Identifier: Apache-2.0 */
/* The name by which clang's libFuzzer calls a target (-Dlibfuzzer=true); otherwise driver.c runs it. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return mln_fuzz_one(data, size);
}
