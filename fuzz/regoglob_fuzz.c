/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: glob.match, glob.quote_meta, regex.globs_match: a pattern, NUL, a text or another pattern. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = glob.match(input.a, [\".\"], input.b)", data, size);
    rego_call("x = glob.match(input.a, null, input.b)", data, size);
    rego_call("x = glob.match(glob.quote_meta(input.b), [], input.b); x = true", data, size);
    rego_call("x = regex.globs_match(input.a, input.b)", data, size);
    rego_call("x = [regex.globs_match(input.a, input.b), regex.globs_match(input.a, input.a)]",
              data, size);
    return 0;
}
