/* SPDX-License-Identifier: Apache-2.0 */
#include "api/grpc.h"

#define MLN_GRPC(name) extern const struct mln_grpc_service mln_grpc_##name;
#include "api/grpc.def"
#undef MLN_GRPC

const struct mln_grpc_service *const mln_grpc_services[] = {
#define MLN_GRPC(name) &mln_grpc_##name,
#include "api/grpc.def"
#undef MLN_GRPC
    NULL,
};
