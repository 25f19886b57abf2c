/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the attestors: what the kernel's texts say, and the cache of digests. */
#pragma once

#include <sys/stat.h>

#include "identity/attest.h"

#define ATTEST_STAT_MAX   4096u /* /proc/PID/stat is one line */
#define ATTEST_GROUPS_MAX 256u  /* of one process that are looked at; NGROUPS_MAX is 65,536 and nobody's */

struct attest_ids {
    uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
    uint32_t groups[ATTEST_GROUPS_MAX];
    size_t n_groups;
};
/* /proc/PID/status. errors PARSE */
struct mln_err attest_ids_parse(struct mln_cx *cx, struct mln_bytes status, struct attest_ids *ret);
/* When it began, of /proc/PID/stat, since the machine's start. errors PARSE */
struct mln_err attest_start_parse(struct mln_cx *cx, struct mln_bytes stat, long ticks_per_s, int64_t *ret_ns);
/* The name of a number in /etc/passwd or /etc/group ("name:x:NUMBER:..."); none when it is not there. */
struct mln_bytes attest_name_of(struct mln_bytes file, uint32_t number);
/* SHA-256 of a regular file of at most `max` bytes as 64 hex digits, from memory while it has not changed. errors TOO_LARGE, ... */
struct mln_err attest_digest(struct mln_cx *cx, struct mln_attest_cache *cache, int fd, uint64_t max, char ret_hex[65]);

/* ---- /proc/PID/cgroup (attest_cgroup.c); views into the text ---- */

struct attest_container {
    struct mln_bytes id;  /* 64 hexadecimal digits */
    const char *runtime;  /* "docker", "containerd", "cri-o", "podman"; "" = its folder does not say */
    struct mln_bytes pod; /* uid as the folder spells it, perhaps with "_"; none outside of Kubernetes */
};
/* The outermost container that a process is in. errors NOT_FOUND, INVALID (its cgroups name two) */
struct mln_err attest_container_parse(struct mln_cx *cx, struct mln_bytes cgroup, struct attest_container *ret);
/* The unit of systemd. errors NOT_FOUND */
struct mln_err attest_unit_parse(struct mln_cx *cx, struct mln_bytes cgroup, struct mln_bytes *ret);
struct attest_slurm {
    struct mln_bytes job, step, uid; /* step and uid may be none */
};
/* The job of Slurm. errors NOT_FOUND, INVALID (its cgroups name two) */
struct mln_err attest_slurm_parse(struct mln_cx *cx, struct mln_bytes cgroup, struct attest_slurm *ret);
