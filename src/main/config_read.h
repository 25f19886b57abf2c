/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the values of a configuration file, each with its name in the error. What is absent leaves *ret as it is. errors INVALID */
#pragma once

#include "base/value.h"

/* Is every member of `object` in `names` (NULL-ended)? `where` is "" or ends in a dot. */
struct mln_err config_check_keys(struct mln_cx *cx, const struct mln_value *object, const char *where, const char *const *names);
/* A section: absent is fine (NULL), anything but an object with these keys is not. */
struct mln_err config_section(struct mln_cx *cx, const struct mln_value *all, const char *name, const char *const *names,
                              const struct mln_value **ret);
/* A text that is not empty. */
struct mln_err config_text(struct mln_cx *cx, const struct mln_value *object, const char *where, const char *name, const char **ret);
struct mln_err config_bool(struct mln_cx *cx, const struct mln_value *object, const char *where, const char *name, bool *ret);
/* Seconds, or a text such as "30m" or "768h"; more than none. */
struct mln_err config_duration(struct mln_cx *cx, const struct mln_value *object, const char *name, int64_t *ret);
