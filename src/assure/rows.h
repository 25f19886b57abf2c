/* SPDX-License-Identifier: Apache-2.0 */
/* What engines of this room do with their rows alike. */
#pragma once

#include "contract/engine.h"

/* The names below a folder ("r/") as data.keys; none: 404 without a text, as Vault's lists answer. */
struct mln_err mln_assure_list(struct mln_request *rq, struct mln_bytes folder, struct mln_reply *re);
