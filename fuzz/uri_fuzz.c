/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: uri.parse, uri.is_valid, urlquery.*: what parses is valid. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = uri.parse(input.a); uri.is_valid(input.a)", data, size);
    rego_call("x = [uri.is_valid(input.a), urlquery.encode(input.a), "
              "urlquery.decode(urlquery.encode(input.a))]; "
              "x[2] = input.a",
              data, size);
    rego_call("x = urlquery.decode_object(input.a)", data, size);
    return 0;
}
