/* SPDX-License-Identifier: Apache-2.0 */
/* Core's end of the socket to the attest process: a thread that takes what it tells. */
#pragma once

#include <pthread.h>

#include "core/core.h"

struct core_attest {
    struct mln_peers *peers;
    int fd; /* -1 = none */
    pthread_t thread;
    bool has_thread;
};

/* A new attest process: what the one before told is forgotten. Takes the descriptor, also when it fails. errors MEMORY */
struct mln_err core_attest_attach(struct mln_cx *cx, struct core_attest *attest, struct mln_peers *peers, int fd);
void core_attest_end(struct core_attest *attest);
