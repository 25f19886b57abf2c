/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feeder: a process beside the evaluator of policies. It reads the disk, asks services (by the reach process) and reports to
 * them; it holds their credentials. The evaluator, which answers strangers and reads hostile bundles, has neither files nor sockets
 * to open. Between them two pipes with frames: u32 length of the head, u64 length of the body, head (JSON object), body.
 *
 *   to the evaluator   {"do":"bundle","name","etag","from":"service|disk|file","size"} + a tar.gz     answered by "did"
 *                      {"do":"note","name","code","message","http"}      a request for a bundle failed; code "": it succeeded
 *                      {"do":"files"} + a tar.gz                          what was named on the command line changed
 *   from the evaluator {"did":"bundle","name","ok"}
 *                      {"did":"log","n"} + decisions, one JSON object a line
 *                      {"did":"status"} + the status as JSON
 *                      {"did":"config"} + a new configuration, from discovery
 */
#pragma once

#include "api/rego_config.h"

#define REGO_FEED_HEAD_MAX ((size_t)64 << 10)
#define REGO_FEED_BODY_MAX (MLN_BUNDLE_PACKED_MAX + ((size_t)1 << 20))

/* Blocks until all is written or read. errors UNREACHABLE (the other side is gone), CORRUPT, MEMORY */
struct mln_err rego_feed_send(struct mln_cx *cx, int fd, const struct mln_value *head, struct mln_bytes body);
void rego_feed_print(struct mln_buf *out, const struct mln_value *head, struct mln_bytes body); /* a whole frame, appended */
/* buf is the memory of head and body. body_max: what the other side may send. */
struct mln_err rego_feed_receive(struct mln_cx *cx, int fd, size_t body_max, struct mln_buf *buf, const struct mln_value **ret_head,
                                 struct mln_bytes *ret_body);

/* What main gives the feeder. Strings are borrowed. */
struct rego_feeder_options {
    int in_fd, out_fd;               /* from and to the evaluator; blocking */
    const struct mln_value *config;  /* as it was read */
    const char *const *bundle_paths; /* bundles of the command line that are watched; ends with NULL; may be NULL */
    const char *const *watched;      /* files and folders whose change means "files"; may be NULL */
    /* What the watched files hold now, as a bundle. */
    struct mln_err (*reload)(void *arg, struct mln_cx *cx, struct mln_buf *ret_packed);
    void *reload_arg;
    /* A new reach process: its socket and its id. */
    struct mln_err (*start_reach)(struct mln_cx *cx, size_t body_max, int *ret_fd, int *ret_pid);
};
/* Until the evaluator is gone. */
struct mln_err rego_feeder_run(struct mln_cx *cx, const struct rego_feeder_options *options);
