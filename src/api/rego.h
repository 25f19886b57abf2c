/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OPA's REST API over policies and documents in memory. The state is shared by the threads of front: readers take a
 * snapshot, one writer at a time puts a new one in its place. Each thread has an evaluator and its prepared queries.
 */
#pragma once

#include "contract/server.h"
#include "net/front.h"
#include "rego/rego.h"

struct mln_rego_state;

#define MLN_REGO_BODY_MAX ((size_t)256 << 20) /* of a request: documents are put whole, 100 MB of them */

/*
 * Policies and data of the options are compiled; data and bundles are taken over.
 * errors  INVALID with the first error of the policies, MEMORY
 */
struct mln_err mln_rego_state_new(struct mln_cx *cx, const struct mln_rego_server_options *options,
                                  struct mln_rego_state **ret);
void mln_rego_state_free(struct mln_rego_state *state);
void mln_rego_state_drop(struct mln_rego_state **state);
/*
 * The feeder (api/rego_feed.h) is at the other ends of two pipes, which are taken. Starts threads, which enter front's
 * sandbox by themselves; before mln_front_main.
 */
struct mln_err mln_rego_state_feed(struct mln_cx *cx, struct mln_rego_state *state, int in_fd, int out_fd);
bool mln_rego_state_ready(struct mln_rego_state *state); /* all bundles that are expected are active */

/* For mln_front_config.local; arg is the state. */
struct mln_err mln_rego_answer_http(void *arg, unsigned thread, struct mln_cx *cx,
                                    const struct mln_http_request *http,
                                    struct mln_http_answer *ret, struct mln_buf *body);
extern const struct mln_front_api mln_rego_api; /* fault only */
