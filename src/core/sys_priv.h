/* SPDX-License-Identifier: Apache-2.0 */
/* For the parts of sys/: fields that many of them have. A part ends in its paths and has a line in sys.def. */
#pragma once

#include "core/token_priv.h"

#include "base/text.h"

#define F_TEXT(n, h)                                                                               \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_TEXT, .help = h, .is_query = true                             \
    }
#define F_INT(n, d, h)                                                                             \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_INT, .fallback = d, .help = h, .is_query = true               \
    }
#define F_BOOL(n, d, h)                                                                            \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_BOOL, .fallback = d, .help = h, .is_query = true              \
    }
#define F_LIST(n, h)                                                                               \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_LIST, .help = h, .is_query = true                             \
    }
#define F_DURATION(n, h)                                                                           \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_DURATION, .help = h, .is_query = true                         \
    }
