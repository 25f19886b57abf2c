/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections of the workload socket get from monitor, which accepted them, to front: one SOCK_SEQPACKET pair that front's threads
 * share. To front: a number and the connection. Back: the number, when the connection is over.
 */
#pragma once

#include "base/err.h"

/* Both ends close-on-exec. errors IO */
struct mln_err mln_peer_link_pair(struct mln_cx *cx, int ret[2]);
/* Monitor: hand one over; fd stays the caller's. Never waits. errors LIMIT (front does not keep up), IO */
struct mln_err mln_peer_link_give(struct mln_cx *cx, int link, uint64_t number, int fd);
/* Front: the next one, non-blocking. Never waits. errors NOT_FOUND (none), IO, INVALID */
struct mln_err mln_peer_link_take(struct mln_cx *cx, int link, uint64_t *ret_number, int *ret_fd);
/* Front: this one is over. Waits for monitor when it must, which never waits for front. */
void mln_peer_link_tell_end(int link, uint64_t number);
/* Monitor: the next one that is over. Never waits. errors NOT_FOUND (none), IO, INVALID */
struct mln_err mln_peer_link_hear_end(struct mln_cx *cx, int link, uint64_t *ret_number);
