/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: time.parse_ns (a layout, NUL, a value), time.format, time.parse_duration_ns, zones by name. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = time.parse_ns(input.a, input.b)", data, size);
    rego_call("x = time.format([1700000000000000000, input.b, input.a])", data, size);
    rego_call("x = time.clock([1700000000000000000, input.a])", data, size);
    rego_call("x = [time.parse_duration_ns(input.a), time.parse_rfc3339_ns(input.b)]", data, size);
    return 0;
}
