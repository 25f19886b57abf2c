/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses, by the system's resolver. Blocks: for a thread that may. */
#pragma once

#include <sys/socket.h>

#include "base/bytes.h"

#define MLN_RESOLVE_MAX 8u /* addresses of one name that are used */

struct mln_resolved {
    struct sockaddr_storage sock[MLN_RESOLVE_MAX];
    socklen_t len[MLN_RESOLVE_MAX];
    size_t n;
};
/* host: a name or an address; ret has at least one. errors UNREACHABLE, INVALID */
struct mln_err mln_resolve(struct mln_cx *cx, const char *host, uint16_t port, struct mln_resolved *ret);
