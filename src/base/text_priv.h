/* SPDX-License-Identifier: Apache-2.0 */
/* Time stamps without an arena, for the log. */
#pragma once

#include "base/text.h"

#define MLN_TIME_TEXT_MAX 40

/* RFC 3339 in UTC with 0..9 digits of the fraction; returns the length. */
size_t mln_time_print(char to[MLN_TIME_TEXT_MAX], int64_t ns, int digits);
