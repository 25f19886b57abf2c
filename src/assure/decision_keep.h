/* SPDX-License-Identifier: Apache-2.0 */
/* Where engines put decisions so that they can be replayed: the engine `decision`, mounted at decision/ when a server is initialised. */
#pragma once

#include "contract/engine.h"

#define MLN_DECISION_MOUNT "decision/"

/*
 * Keep a decision (assure/decision.h) in this request's transaction. *ret_kept false: there is no such mount, or the day is full; that
 * is no error, the caller's record has the digests. errors: those of the store
 */
struct mln_err mln_decision_keep(struct mln_request *rq, const struct mln_value *decision, bool *ret_kept);
