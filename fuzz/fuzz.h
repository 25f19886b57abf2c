/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz target: one function over hostile bytes. It asserts round trips (parse, print, parse again equal) and that refusals
 * leave nothing behind. driver.c runs it over seeds and seeded mutations of them; clang's libFuzzer can drive it as well.
 */
#pragma once

#include "base/arena.h"

int mln_fuzz_one(const uint8_t *data, size_t size); /* returns 0 */
