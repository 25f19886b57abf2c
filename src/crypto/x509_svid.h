/* SPDX-License-Identifier: Apache-2.0 */
/* X.509-SVIDs as others show them: what a leaf must be, besides its chain (x509_chain.h). Source: X509-SVID.md of spiffe.io. */
#pragma once

#include "base/spiffe_id.h"
#include "crypto/x509.h"

enum mln_svid_side { MLN_SVID_CLIENT, MLN_SVID_SERVER }; /* of TLS */
/*
 * Whose is it? Nothing is verified but the form: exactly one URI, a workload's id; no CA; may sign handshakes of that side.
 * der      borrowed; *ret is in the arena
 * errors   FORGED, with why; MEMORY
 */
struct mln_err mln_x509_svid_read(struct mln_cx *cx, struct mln_bytes der, enum mln_svid_side side,
                                  struct mln_spiffe_id *ret);
