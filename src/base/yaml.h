/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML 1.2 core schema to values, by libyaml's events: one document; anchors and aliases are refused (billion laughs),
 * tags other than the core ones are refused, duplicate keys are refused, keys are strings. Errors name line and column.
 */
#pragma once

#include "base/value.h"

struct mln_err mln_yaml_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret);
/* The first document of a stream; the others only have to be well formed. */
struct mln_err mln_yaml_parse_first(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret);
/* Block style, for `--format yaml`; reads back equal. */
void mln_yaml_print(struct mln_buf *buf, const struct mln_value *v, unsigned json_style);
