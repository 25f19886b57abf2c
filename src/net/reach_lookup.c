/* SPDX-License-Identifier: Apache-2.0 */
/* Names to addresses, by the system's resolver. The list must allow all ports of the name. */
#include <arpa/inet.h>
#include <netdb.h>
#include <string.h>

#include "net/reach_priv.h"

#define LOOKUP_ADDRESSES_MAX 256 /* of one name: pools of servers have tens */

static void add(struct mln_cx *cx, struct mln_value *list, const struct addrinfo *a)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    const void *raw = NULL;
    if (a->ai_family == AF_INET && a->ai_addrlen >= sizeof(v4)) {
        mln_copy(&v4, a->ai_addr, sizeof(v4));
        raw = &v4.sin_addr;
    } else if (a->ai_family == AF_INET6 && a->ai_addrlen >= sizeof(v6)) {
        mln_copy(&v6, a->ai_addr, sizeof(v6));
        raw = &v6.sin6_addr;
    }
    if (raw != NULL && inet_ntop(a->ai_family, raw, text, sizeof(text)) != NULL) {
        mln_push(cx, list, mln_string_dup(cx, mln_bytes_of(text)));
    }
}

struct mln_err reach_lookup(struct mln_cx *cx, const struct mln_value *allow,
                            const struct mln_value *ask, const struct mln_value **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_get(ask, "name"));
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
    struct mln_value *answer = mln_object(cx), *list = mln_array(cx);
    if (name.len == 0 || name.len > 253 || mln_bytes_find(name, 0) < name.len) {
        return mln_fail(cx, MLN_E_INVALID, "reach: not a host name");
    }
    const char *text = mln_text_format(cx, "%.*s", MLN_FMT(name));
    if (text == NULL || !mln_reach_allows(allow, mln_bytes_of(mln_text_format(cx, "%s:0", text)))) {
        return mln_fail(cx, MLN_E_DENIED,
                        "reach: the name %.*s is not on the list of what may be reached",
                        MLN_FMT(name));
    }
    int code = getaddrinfo(text, NULL, &hints, &found);
    if (code != 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "lookup %.*s: %s", MLN_FMT(name),
                        gai_strerror(code));
    }
    size_t n = 0;
    for (const struct addrinfo *a = found; a != NULL && n < LOOKUP_ADDRESSES_MAX;
         a = a->ai_next, n++) {
        add(cx, list, a);
    }
    freeaddrinfo(found);
    mln_put(cx, answer, "addresses", list);
    *ret = answer;
    return mln_cx_err(cx);
}
