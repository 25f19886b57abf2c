/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What monitor and core say to each other: fixed-size messages over a SOCK_SEQPACKET pair, ring
 * descriptors beside them. Monitor parses nothing: it keeps bytes or hands them on.
 */
#pragma once

#include "base/secret.h"
#include "net/front.h"
#include "net/ring.h"

#define CONTROL_BYTES_MAX 768u /* a token, a verifier key */
#define CONTROL_RINGS_MAX MLN_FRONT_THREADS_MAX

enum control_kind {
    /* monitor to core */
    CONTROL_START =
        1,         /* the first one. number: 1 = a key file may unseal, 0 = only we and people */
    CONTROL_REKEY, /* bytes: the root key that was kept */
    CONTROL_RINGS, /* number: generation; descriptors: n rings; the older generation ends */
    CONTROL_STATE, /* text: process; bytes: its line about the sandbox */
    CONTROL_STOP,  /* finish and end */
    CONTROL_REACH, /* one descriptor: the socket to a new reach process */
    CONTROL_ATTEST, /* one descriptor: the socket to a new attest process; what an older one told is void */
    CONTROL_REOPEN, /* files that grow were moved away: open them anew */
    /* core to monitor */
    CONTROL_READY, /* number: 1 = sealed; text: verifier key; bytes: root token (development) */
    CONTROL_ROOT,  /* bytes: keep this root key; none: forget it */
    CONTROL_DROP,  /* number: a generation of front that broke its ring */
};

struct control_message {
    uint32_t kind; /* enum control_kind */
    uint32_t n;    /* of bytes */
    uint64_t number;
    char text[256]; /* NUL-ended */
    uint8_t bytes[CONTROL_BYTES_MAX];
};

/* A socket pair, both ends close-on-exec. errors IO */
struct mln_err control_pair(struct mln_cx *cx, int ret[2]);
/* The message is wiped by the caller. errors IO (the other side is gone) */
struct mln_err control_send(struct mln_cx *cx, int fd, const struct control_message *message);
struct mln_err control_send_rings(struct mln_cx *cx, int fd, uint64_t generation,
                                  const struct mln_ring_fds *rings, unsigned n);
/* kind: REACH or ATTEST. `passed` stays the caller's. */
struct mln_err control_send_socket(struct mln_cx *cx, int fd, enum control_kind kind, int passed);

/* What came beside a message; all of it is the receiver's to close. */
struct control_fds {
    struct mln_ring_fds rings[CONTROL_RINGS_MAX];
    unsigned n_rings;
    int socket; /* of REACH or ATTEST; -1 = none */
};
void control_fds_close(struct control_fds *fds);
/*
 * One message and its descriptors.
 * errors NOT_FOUND (none now; only with `no_wait`), UNREACHABLE (the other side is gone), INVALID
 */
struct mln_err control_receive(struct mln_cx *cx, int fd, bool no_wait, struct control_message *ret,
                               struct control_fds *ret_fds);
