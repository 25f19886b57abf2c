/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The box: a process that reads hostile files for us. A zygote is exec'ed ("merlon-box", from /proc/self/exe) before any key exists;
 * it forks a worker per batch; workers get descriptors over a socket pair and give back CBOR reports; no network, no other files,
 * rlimits, a deadline. A worker that dies or is late makes the file it held "malformed" and is replaced; the rest goes on.
 */
#pragma once

#include <sys/types.h>

#include "artifact/scan.h"

struct mln_box;
struct mln_box_config {
    const char *exe;          /* NULL = /proc/self/exe; tests may give NULL with no_exec: fork only */
    bool no_exec;
    bool no_sandbox;          /* tests under sanitizers only */
    int64_t file_deadline_ns; /* CPU+wall of one file; 0 = 60 s */
    uint64_t memory_bytes;    /* address space beyond the file's map; 0 = 1 GiB */
};
struct mln_err mln_box_start(struct mln_cx *cx, const struct mln_box_config *config, struct mln_box **ret);
void mln_box_stop(struct mln_box *box);
void mln_box_drop(struct mln_box **box);
/* Scan an open file. ret: mln_scan_report_value in the arena. errors: only when no box can be had (IO, MEMORY). One thread a box. */
struct mln_err mln_box_scan(struct mln_cx *cx, struct mln_box *box, const char *path, int fd, const struct mln_value **ret);
/* {"seccomp":bool,"landlock":bool,"abi":n} of the zygote's workers, in the arena */
const struct mln_value *mln_box_state(struct mln_cx *cx, struct mln_box *box);
pid_t mln_box_pid(const struct mln_box *box);
/* The zygote's whole life; main calls it when argv[0] is "merlon-box". control_fd: the socket. Returns the exit code. */
int mln_box_main(int control_fd);

/*
 * Scan paths (folders walked as tree.h does) through the box.
 * ret  {"files":[report...],"summary":{"files","bytes","clean","suspicious","malicious","malformed","unsupported","verdict","seconds"}}
 * progress may be NULL. errors: a path that cannot be read at all: NOT_FOUND, DENIED; one bad file never hides the others
 */
struct mln_scan_progress {
    void (*step)(void *arg, uint64_t done, uint64_t all);
    void *arg;
};
struct mln_err mln_scan_paths(struct mln_cx *cx, struct mln_box *box, const char *const *paths, size_t n,
                              const struct mln_scan_progress *progress, const struct mln_value **ret);
