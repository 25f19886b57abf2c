/* SPDX-License-Identifier: Apache-2.0 */
/* What the services share. */
#pragma once

#include "api/grpc.h"
#include "api/protobuf.h"

static inline void grpc_question(struct mln_cx *cx, struct mln_value *rq, const char *op, const char *path, const struct mln_value *data)
{
    mln_put_text(cx, rq, "op", op);
    mln_put_text(cx, rq, "path", path);
    mln_put(cx, rq, "data", data != NULL ? data : mln_null(cx));
}
