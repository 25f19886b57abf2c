/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of gRPC as a client, over one connected socket: the proxy's side of the Workload API. Not blocking: the owner polls the socket
 * and calls _turn. One message is asked, any number is answered; metadata is not told. Source: grpc/doc/PROTOCOL-HTTP2.md.
 */
#pragma once

#include "base/value.h"

#define MLN_GRPC_CLIENT_MESSAGE_MAX (4u << 20) /* as other clients have it: an answer is SVIDs and bundles */
#define MLN_GRPC_CLIENT_CALLS_MAX   8u         /* at once: a stream of SVIDs and what is asked beside it */

struct mln_grpc_client;
struct mln_grpc_client_config {
    int fd;                    /* connected; taken, closed by _free */
    const char *authority;     /* ":authority"; borrowed until _free, as all texts */
    const char *const *header; /* name and value that every call carries; NULL = none */
    /* One message of a call; `message` lasts for the call of it. */
    void (*on_message)(void *arg, int32_t call, struct mln_bytes message);
    /* A call is over. status: of gRPC, 0 = fine; text: what the server said, cut, printable */
    void (*on_end)(void *arg, int32_t call, int status, const char *text);
    void *arg;
};

/* errors MEMORY; then the descriptor stays the caller's */
struct mln_err mln_grpc_client_new(struct mln_cx *cx, const struct mln_grpc_client_config *config, struct mln_grpc_client **ret);
void mln_grpc_client_free(struct mln_grpc_client *client); /* calls that run are not told of; NULL is fine */
/* path: "/Service/Method". *ret_call names it in the callbacks. errors LIMIT, MEMORY, REMOTE (the connection is at its end) */
struct mln_err mln_grpc_client_call(struct mln_cx *cx, struct mln_grpc_client *client, const char *path, struct mln_bytes message,
                                    int32_t *ret_call);
/*
 * Read and write what can be. Callbacks run in here; they may begin calls. errors UNREACHABLE (at its end, as with what is no HTTP/2),
 * REMOTE
 */
struct mln_err mln_grpc_client_turn(struct mln_cx *cx, struct mln_grpc_client *client);
int mln_grpc_client_fd(const struct mln_grpc_client *client); /* for poll(), with */
short mln_grpc_client_events(const struct mln_grpc_client *client);
