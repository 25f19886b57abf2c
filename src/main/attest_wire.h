/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What monitor tells the attest process (a connection is there, or gone) and what that tells core (what it found, or that it is gone).
 * Messages of fixed size over SOCK_SEQPACKET pairs, in order: an end never overtakes its beginning.
 */
#pragma once

#include "core/core.h"

#define ATTEST_SELECTOR_BYTES 32768u /* of one process: labels of a pod are most of it */

enum attest_kind {
    ATTEST_NEW = 1, /* monitor: look at it; a pidfd beside it */
    ATTEST_END,     /* monitor, and on to core: the connection is over */
    ATTEST_FOUND,   /* to core: its selectors */
    ATTEST_REFUSED, /* to core: `why` */
};

struct attest_ask {
    uint32_t kind; /* ATTEST_NEW, ATTEST_END */
    uint32_t uid, gid;
    uint32_t is_by_number; /* 1: the pidfd was opened by number */
    int64_t pid;
    uint64_t number;
    int64_t accepted_ns; /* CLOCK_BOOTTIME */
};

struct attest_tell {
    uint32_t kind; /* ATTEST_FOUND, ATTEST_REFUSED, ATTEST_END */
    uint32_t uid, gid;
    uint32_t why; /* enum mln_code: UNREACHABLE, DENIED */
    int64_t pid;
    uint64_t number;
    uint32_t n;       /* selectors */
    uint32_t n_bytes; /* of them */
    char bytes[ATTEST_SELECTOR_BYTES]; /* each with a NUL behind */
};

/* Never waits. errors LIMIT (it does not keep up), IO */
struct mln_err attest_ask_send(struct mln_cx *cx, int fd, const struct attest_ask *ask, int pidfd);
/* Waits. *ret_pidfd: -1 = none came. errors UNREACHABLE (the other side is gone), INVALID */
struct mln_err attest_ask_receive(struct mln_cx *cx, int fd, struct attest_ask *ret, int *ret_pidfd);

/* Selectors into the message; what does not fit: TOO_LARGE. */
struct mln_err attest_tell_fill(struct mln_cx *cx, const struct mln_value *selectors, struct attest_tell *tell);
struct mln_err attest_tell_send(struct mln_cx *cx, int fd, const struct attest_tell *tell); /* waits. errors IO */
/* Waits. errors UNREACHABLE, INVALID */
struct mln_err attest_tell_receive(struct mln_cx *cx, int fd, struct attest_tell *ret);
/* Do to core what it says. errors as mln_peers_put; INVALID: nothing that the attest process would say */
struct mln_err attest_tell_take(struct mln_cx *cx, struct mln_peers *peers, const struct attest_tell *tell);
