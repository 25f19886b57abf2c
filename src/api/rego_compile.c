/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/compile: partial evaluation. */
#include "api/rego_priv.h"

void rego_compile_post(struct rego_call *call)
{
    rego_refuse(call, 501, "not_implemented", "partial evaluation (/v1/compile) is not supported");
}
