/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the Workload API, for who asks it: the fields that answers have (spiffe.c). */
#pragma once

#include "api/protobuf.h"

/* X509SVIDResponse: "svids" ({"spiffe_id", "chain", "key", "bundle", "hint"}), "crl", "federated". */
extern const struct mln_pb_field mln_spiffe_x509_svids[];
/* JWTSVIDRequest: "audience", "spiffe_id". JWTSVIDResponse: "svids" ({"spiffe_id", "svid", "hint"}). */
extern const struct mln_pb_field mln_spiffe_jwt_ask[], mln_spiffe_jwt_svids[];
