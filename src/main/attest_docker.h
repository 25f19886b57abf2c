/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that asks dockerd over its socket: an ordinary user in the socket's group, with sockets of this machine and no other rights.
 * Who may use that socket can be root of the machine, so this process is worth as much; that is why it is one of its own, and off
 * unless it is asked for.
 */
#pragma once

#include "main/attest_helper.h"

struct attest_docker {
    struct attest_helper helper; /* its fd -1 = no dockerd */
};

/* By the settings spiffe.attest.docker; NULL: none is started. Before threads. errors IO */
struct mln_err attest_docker_start(struct mln_cx *cx, const struct mln_value *settings,
                                   struct attest_docker *docker);
/* As mln_attest_config.docker; arg is the struct. */
struct mln_err attest_docker_container(void *arg, struct mln_cx *cx, const char *container,
                                       const struct mln_value **ret);
