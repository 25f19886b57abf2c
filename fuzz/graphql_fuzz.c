/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: graphql.parse_query, parse_schema, schema_is_valid, parse: a query, NUL, a schema. A tree is read as its text was. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = graphql.parse_query(input.a)", data, size);
    rego_call("x = graphql.parse_schema(input.b)", data, size);
    rego_call("x = graphql.parse(input.a, input.b)", data, size);
    rego_call(
        "x = [graphql.is_valid(input.a, input.b), graphql.is_valid(graphql.parse_query(input.a), "
        "graphql.parse_schema(input.b))]; x[0] = x[1]",
        data, size);
    return 0;
}
