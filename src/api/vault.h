/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vault's HTTP API as values: requests below /v1/ become REQUEST messages (net/wire.h), ANSWER
 * messages become its JSON envelope. Also the public ledger files below /ledger/. Runs in front: it
 * parses what strangers send and decides nothing. docs/http.md says what is taken and what is
 * refused.
 */
#pragma once

#include "net/front.h"

extern const struct mln_front_api mln_vault_api;
