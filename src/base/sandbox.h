/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process gives up: seccomp (libseccomp, kill the process on anything else) and Landlock (no paths, no connect or bind).
 * Landlock alone lets sendto with MSG_FASTOPEN, UDP and listen on unbound sockets through, so seccomp is the network wall.
 */
#pragma once

#include "base/err.h"

enum mln_sandbox_profile {
    MLN_SANDBOX_FRONT, /* epoll, accept4, recv, send with a null address, memory, clocks, futex; sendmsg/recvmsg on one descriptor */
    MLN_SANDBOX_BOX,   /* read, pread, fstat, lseek, mmap of handed-in descriptors, recvmsg/sendmsg on one descriptor */
    /* outbound sockets of IPv4 and IPv6, threads, and reading the resolver's and the authorities' files; no exec, no accept */
    MLN_SANDBOX_REACH,
    /*
     * Reading files, epoll, threads, messages on sockets it has; no file is opened for writing, no socket made. No Landlock: under it
     * /proc of other processes would be closed, and with it what the attest process is for.
     */
    MLN_SANDBOX_ATTEST,
    /* front's, and what sockets tell and are told about themselves: who is at the other end, did it connect, reset it */
    MLN_SANDBOX_RELAY,
    MLN_SANDBOX_KEEPER, /* front's, and locking memory: it holds keys */
    MLN_SANDBOX_LOCAL,  /* as REACH, but sockets of this machine (Unix) only, and no files of resolvers */
    /* reach's, and locking memory; it reads and writes files in the folders that it is given, and nowhere else */
    MLN_SANDBOX_NODE,
};
struct mln_sandbox_folders {
    const char *const *reads; /* folders or files; what is not there is left out */
    size_t n_reads;
    const char *writes; /* a folder: files in it are made, replaced and removed */
};
struct mln_sandbox_state {
    bool has_seccomp;
    bool has_landlock;
    int landlock_abi; /* 0 = kernel has none */
};
/*
 * Enter for good, in every thread that is started from now on (call before starting threads, or from each).
 * control_fd   the one descriptor on which sendmsg and recvmsg stay allowed; -1 = none
 * A kernel without Landlock or seccomp is not an error: the state says what is active and `merlon status` shows it.
 */
struct mln_err mln_sandbox_enter(struct mln_cx *cx, enum mln_sandbox_profile profile, int control_fd,
                                 struct mln_sandbox_state *ret);
/* MLN_SANDBOX_NODE. Where the kernel has no Landlock, the user alone bounds what is read and written. */
struct mln_err mln_sandbox_enter_node(struct mln_cx *cx, const struct mln_sandbox_folders *folders,
                                      struct mln_sandbox_state *ret);
