/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Monitor's part of the workload socket: it accepts, notes who is at the other end, gives the connection a number, and hands the
 * connection to front and the process to the attest process. It reads nothing that a client sends.
 */
#pragma once

#include "base/err.h"

struct peers;

/* listener: listening, non-blocking; borrowed. NULL: no memory */
struct peers *peers_new(int listener);
void peers_free(struct peers *peers);
/*
 * The other processes came or went: -1 = it does not run. Takes no descriptor over. A new front knows none of the old connections; a
 * new attest process is told all that stand.
 */
void peers_set_front(struct peers *peers, int link);
void peers_set_attest(struct peers *peers, int link);
/* What to wait for: the listener when something may be accepted (else -1), and front's link. */
int peers_listener(const struct peers *peers);
int peers_link(const struct peers *peers);
/* Something may be there: accept, hear of ends. Never waits. True: come again in some milliseconds, something could not be said yet. */
bool peers_step(struct peers *peers, struct mln_cx *cx);
