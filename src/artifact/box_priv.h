/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between who asks (box.c) and the box (box_worker.c), all of it in packets of a socket pair:
 *
 *   control  asker -> zygote   struct box_order, with the worker's end of a link; an order ends the worker before
 *            zygote -> asker   struct box_born
 *   link     worker -> asker   struct box_hello, once it is in its sandbox
 *            asker -> worker   path (no NUL), with the file
 *            worker -> asker   u64 length of the report, then the report as CBOR in packets of at most BOX_PACKET_MAX
 */
#pragma once

#include "artifact/box.h"

#define BOX_PATH_MAX   4096u
#define BOX_PACKET_MAX (32u << 10)
#define BOX_REPORT_MAX ((uint64_t)16 << 20) /* 256 findings are some 200 KiB */
#define BOX_MAGIC      0x4d4c4258u
#define BOX_FD         3 /* the zygote's control socket when it was exec'ed */

struct box_order {
    uint32_t magic;
    uint32_t no_sandbox;
    uint64_t memory_bytes;
};

struct box_born {
    uint32_t magic;
    int32_t pid; /* -1: no worker could be made */
};

struct box_hello {
    uint32_t magic;
    int32_t landlock_abi;
    uint8_t has_seccomp, has_landlock, is_ready, spare[5];
};

/* One packet with one descriptor (-1: none). False when it could not be sent. */
bool mln_box_send(int to, const void *bytes, size_t n, int fd);
/* One packet; bytes read, 0 at the end, -1 on errors. *ret_fd is -1 without a descriptor. */
ssize_t mln_box_receive(int from, void *bytes, size_t max, int *ret_fd);
