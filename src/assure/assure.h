/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engines of this room as a registry for core (mln_core_config.registries); assure.def lists
 * them. Ends with NULL.
 */
#pragma once

#include "contract/engine.h"

extern const struct mln_engine *const mln_assurances[];
