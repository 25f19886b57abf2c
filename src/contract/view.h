/* SPDX-License-Identifier: Apache-2.0 */
/* Where a mount's keys lie in the store: a view that the mount cannot leave. */
#pragma once

#include "base/bytes.h"

struct mln_view {
    struct mln_bytes ns;     /* namespace id: which keyring. Empty: the one that the transaction stands in */
    struct mln_bytes prefix; /* "<ns>/<mount-uuid>/", with its final "/"; below "<ns>/" when ns is empty */
};
