/* SPDX-License-Identifier: Apache-2.0 */
/* Target: strings.render_template: a template, NUL, its data as JSON. */
#include "rego_call.h"

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    rego_call("x = strings.render_template(input.a, json.unmarshal(input.b))", data, size);
    return 0;
}
