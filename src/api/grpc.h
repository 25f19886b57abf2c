/* SPDX-License-Identifier: Apache-2.0 */
/* The services of gRPC that grpc.def lists. */
#pragma once

#include "net/grpc.h"

extern const struct mln_grpc_service *const mln_grpc_services[]; /* ends with NULL */
