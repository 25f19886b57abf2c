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
