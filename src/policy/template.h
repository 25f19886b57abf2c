/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates over an identity: "{{identity.entity.name}}" and the like, in paths of policies, in what engines let their roles say, and
 * in claims of OIDC tokens. Pure. The words are in docs/policies.md; a person is what contract's services->entity gives.
 */
#pragma once

#include "base/value.h"

enum mln_template_mode {
    MLN_TEMPLATE_TEXT, /* texts as they are */
    MLN_TEMPLATE_PATH, /* into a policy's path: a value that would change the path's shape (empty, "/", "*", "+") fills nothing */
    MLN_TEMPLATE_JSON, /* into a JSON document: texts with quotes, maps and lists whole, null-like for what is not there; also time.* */
};

struct mln_template_who {
    const struct mln_value *person; /* NULL: nobody */
    int64_t now_s;                  /* for time.now */
};

#define MLN_TEMPLATE_MAX 65536u /* bytes of a filled template */

bool mln_template_has(struct mln_bytes text); /* is there a "{{" in it? */
/*
 * ret     in the arena of cx; NULL when something cannot be filled in (never in mode JSON)
 * errors  INVALID ("unbalanced templating characters", an unknown word), TOO_LARGE
 */
struct mln_err mln_template_fill(struct mln_cx *cx, struct mln_bytes text,
                                 enum mln_template_mode mode, const struct mln_template_who *who,
                                 const char **ret);
