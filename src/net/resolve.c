/* SPDX-License-Identifier: Apache-2.0 */
/* See resolve.h. */
#include "net/resolve.h"

#include <netdb.h>
#include <stdio.h>

struct mln_err mln_resolve(struct mln_cx *cx, const char *host, uint16_t port, struct mln_resolved *ret)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "%s has no address: %s", host, gai_strerror(rc));
    }
    ret->n = 0;
    for (const struct addrinfo *a = list; a != NULL && ret->n < MLN_RESOLVE_MAX; a = a->ai_next) {
        if (a->ai_addrlen <= sizeof(ret->sock[0])) {
            mln_copy(&ret->sock[ret->n], a->ai_addr, a->ai_addrlen);
            ret->len[ret->n++] = a->ai_addrlen;
        }
    }
    freeaddrinfo(list);
    return ret->n > 0 ? MLN_OK : mln_fail(cx, MLN_E_UNREACHABLE, "%s has no address", host);
}
