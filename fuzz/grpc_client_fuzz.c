/* SPDX-License-Identifier: Apache-2.0 */
/* Target: mln_grpc_client_turn over what a server sends. Every call ends once at most, and no message is larger than may be. */
#include "fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/grpc_client.h"

static void on_message(void *arg, int32_t call, struct mln_bytes message)
{
    MLN_CHECK(*(unsigned *)arg == 0 && call == 1 && message.len <= MLN_GRPC_CLIENT_MESSAGE_MAX);
}

static void on_end(void *arg, int32_t call, int status, const char *text)
{
    unsigned *ends = arg;
    MLN_CHECK(call == 1 && status >= 0 && status <= 16 && ++*ends == 1);
    for (; *text != 0; text++) {
        MLN_CHECK(*text >= 0x20 && *text < 0x7f);
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    struct mln_grpc_client *client = NULL;
    unsigned ends = 0;
    int fds[2];
    int32_t call = 0;
    mln_cx_init(&cx, NULL);
    MLN_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    struct mln_grpc_client_config config = {
        .fd = fds[0], .authority = "localhost", .on_message = on_message, .on_end = on_end, .arg = &ends};
    MLN_CHECK(!mln_failed(mln_grpc_client_new(&cx, &config, &client)));
    MLN_CHECK(!mln_failed(mln_grpc_client_call(&cx, client, "/S/M", MLN_BYTES_NONE, &call)));
    while (size > 0) { /* in pieces: the socket holds no more, and pieces end anywhere */
        size_t n = size < 1000 ? size : 1000;
        if (send(fds[1], data, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n || mln_failed(mln_grpc_client_turn(&cx, client))) {
            break;
        }
        data += n;
        size -= n;
    }
    mln_grpc_client_free(client);
    (void)close(fds[1]);
    return 0;
}
