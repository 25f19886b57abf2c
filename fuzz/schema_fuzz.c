/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: json.verify_schema, json.match_schema: a document, NUL, a schema. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = json.verify_schema(input.b)", data, size);
    rego_call("x = json.match_schema(input.a, input.b)", data, size);
    return 0;
}
