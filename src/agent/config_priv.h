/* SPDX-License-Identifier: Apache-2.0 */
/* What the files that read the agent's configuration share. */
#pragma once

#include "agent/agent.h"

struct reading {
    struct mln_cx *cx;
    struct mln_agent_config *out;
    struct mln_value *warnings;
};

/* A key that is not there leaves *ret as it is; conf_need refuses that. */
struct mln_err conf_flag(struct mln_cx *cx, const struct mln_value *from, const char *name,
                         bool *ret);
struct mln_err conf_text(struct mln_cx *cx, const struct mln_value *from, const char *name,
                         const char **ret);
struct mln_err conf_need(struct mln_cx *cx, const struct mln_value *from, const char *name,
                         const char **ret);
struct mln_err conf_duration(struct mln_cx *cx, const struct mln_value *from, const char *name,
                             int64_t *ret);
struct mln_err conf_mode(struct mln_cx *cx, const struct mln_value *from, const char *name,
                         unsigned *ret);

/* Every key is one of `known`, or of `quiet` (which gets a warning); the rest is refused. */
extern const char *const conf_none[];
struct mln_err conf_keys(struct reading *r, const char *where, const struct mln_value *from,
                         const char *const *known, const char *const *quiet);

/*
 * Blocks of one kind: once, as a list, or under either of two names. labelled: `sink "file" {...}` is {"file": {...}}, or has a
 * "type" in YAML.
 */
typedef struct mln_err (*block_fn)(struct reading *r, struct mln_bytes label,
                                   const struct mln_value *body);
struct mln_err conf_blocks(struct reading *r, const struct mln_value *all, const char *kind,
                           bool is_labelled, block_fn take);

/* template, env_template, exec, template_config (config_template.c) */
struct mln_err conf_templates(struct reading *r, const struct mln_value *all);
