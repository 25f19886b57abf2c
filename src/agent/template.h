/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The template language of the agent: the strict part of consul-template's (Go's text/template) that docs/agent.md lists. What is
 * not in it is a parse error that names line and column; nothing is silently different. Pure: secrets and the environment come
 * through functions of the caller.
 */
#pragma once

#include "base/value.h"

#define MLN_RENDER_SOURCE_MAX                                                                      \
    ((size_t)1 << 20) /* of one template: those of people stay below 64 KiB */
#define MLN_RENDER_OUTPUT_MAX                                                                      \
    ((size_t)16 << 20)           /* of one rendered file, and of one text made on the way to it */
#define MLN_RENDER_DEPTH_MAX 32u /* blocks in blocks, calls in calls */
#define MLN_RENDER_STEPS_MAX                                                                       \
    1000000u                    /* nodes and calls run for one rendering: ends loops in loops */
#define MLN_RENDER_VARS_MAX 64u /* variables in sight at one place */

struct mln_render; /* a parsed template in the arena of its context; immutable */

/* text: borrowed, must outlive the template. errors PARSE ("line 3, column 7: ..."), TOO_LARGE, MEMORY */
struct mln_err mln_render_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_render **ret);

struct mln_render_world {
    /*
     * The answer to `secret` (list false, params an object or NULL) and `secrets` (list true): an object with Data, LeaseID,
     * LeaseDuration, Renewable, RequestID; null when nothing is there.
     */
    struct mln_err (*secret)(struct mln_cx *cx, void *arg, struct mln_bytes path, bool is_list,
                             const struct mln_value *params, const struct mln_value **ret);
    const char *(*env)(void *arg, const char *name); /* NULL when unset */
    void *arg;
    bool
        fails_on_missing; /* a member that is not there is an error; otherwise it prints as Go does, "<no value>" */
};
/* Appended to `to`, which is meant for secrets. errors INVALID ("line 3, column 7: ..."), TOO_LARGE, and those of world */
struct mln_err mln_render_run(struct mln_cx *cx, const struct mln_render *render,
                              const struct mln_render_world *world, struct mln_buf *to);
