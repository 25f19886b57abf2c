/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pair of message rings between one front thread and core, in one memfd sealed against resizing.
 * A message is copied out before it is looked at and its slot is wiped. Messages above
 * MLN_RING_FRAGMENT travel as fragments and are put together again on the other side, so no
 * descriptor ever crosses and front's filter needs no sendmsg. What does not fit waits in the
 * sender's queue; front keeps at most MLN_RING_CREDITS requests in flight, so the queues are
 * bounded. Kinds are 1..255. Whatever is inconsistent in shared memory is MLN_E_CORRUPT: the holder
 * drops this generation.
 */
#pragma once

#include "base/buf.h"

#define MLN_RING_BYTES                                                                             \
    (1u << 19) /* each direction; a power of two: 8 fragments of the largest size and more */
#define MLN_RING_FRAGMENT (32u << 10) /* larger payloads are split: keeps latency of others low */
/* requests in flight per front thread: 64 KiB of small ones fit the ring many times */
#define MLN_RING_CREDITS 1024u
/* put together: a 32 MiB body as CBOR, and answers of lists */
#define MLN_RING_MESSAGE_MAX (80u << 20)

enum mln_ring_side { MLN_RING_FRONT, MLN_RING_CORE };
/*
 * Bells are non-blocking eventfds: watch them with EPOLLET and never read them, or poll and read.
 */
struct mln_ring_fds {
    int memfd;
    int bell_core;  /* eventfd: core sleeps on it */
    int bell_front; /* eventfd: front sleeps on it */
};
struct mln_ring_head {
    uint64_t id;   /* the sender's: connection, stream and generation of it; echoed in the answer */
    uint32_t kind; /* enum mln_wire_kind */
    uint32_t spare;
};
struct mln_ring;

struct mln_err mln_ring_create(struct mln_cx *cx,
                               struct mln_ring_fds *ret); /* sealed; all three close-on-exec */
void mln_ring_fds_close(struct mln_ring_fds *fds);
/* Map one end. fds borrowed; seals and size are checked. */
struct mln_err mln_ring_attach(struct mln_cx *cx, const struct mln_ring_fds *fds,
                               enum mln_ring_side side, struct mln_ring **ret);
void mln_ring_free(struct mln_ring *ring); /* unmaps, wipes queues */
/*
 * Send or queue. errors CORRUPT, TOO_LARGE. Sends of one end must not run at once (core: under its
 * reply lock).
 */
struct mln_err mln_ring_send(struct mln_ring *ring, const struct mln_ring_head *head,
                             struct mln_bytes message);
/* Move queued fragments while there is room; call after receiving. */
struct mln_err mln_ring_flush(struct mln_ring *ring);
/* Bytes of messages that wait for room (sender's side). */
size_t mln_ring_queued(const struct mln_ring *ring);
/*
 * Next whole message: appended to buf (secret). NOT_FOUND when there is none. errors CORRUPT,
 * TOO_LARGE. One receiver at a time.
 */
struct mln_err mln_ring_receive(struct mln_ring *ring, struct mln_ring_head *ret_head,
                                struct mln_buf *buf);
/* Doorbell: wake the peer if it sleeps; once per turn, after sends. */
void mln_ring_bell(struct mln_ring *ring);
/*
 * Announce sleep; true = may sleep on the bell fd, false = something arrived, go on. Always
 * followed by mln_ring_awake.
 */
bool mln_ring_sleep(struct mln_ring *ring);
void mln_ring_awake(struct mln_ring *ring);
