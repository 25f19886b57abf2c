/* SPDX-License-Identifier: Apache-2.0 */
/* For the parts of sys/: fields that many of them have. A part ends in its paths and has a line in sys.def. */
#pragma once

#include "core/token_priv.h"

#include "base/text.h"

#define F_TEXT(n, h)                                                                               \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_TEXT, .help = h, .is_query = true                             \
    }
#define F_INT(n, d, h)                                                                             \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_INT, .fallback = d, .help = h, .is_query = true               \
    }
#define F_BOOL(n, d, h)                                                                            \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_BOOL, .fallback = d, .help = h, .is_query = true              \
    }
#define F_LIST(n, h)                                                                               \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_LIST, .help = h, .is_query = true                             \
    }
#define F_DURATION(n, h)                                                                           \
    {                                                                                              \
        .name = n, .type = MLN_FIELD_DURATION, .help = h, .is_query = true                         \
    }

/* ---- what parts of the seal share (sys_seal.c) ---- */
/* The field "key": one share, hex or base64. INVALID */
struct mln_err sys_share_of(struct mln_request *rq, struct mln_buf *ret);
/* Are there recovery keys, which then decide instead of what opens the seal? config, as those, only if so. */
bool sys_has_recovery(struct mln_request *rq, struct mln_seal_config *config);
/* How many keys people hold and how many of them decide. UNINIT, CORRUPT */
struct mln_err sys_holders(struct mln_request *rq, struct mln_seal_config *ret);
/* Are the shares given to a ceremony those that decide? FORGED, INVALID */
struct mln_err sys_prove_shares(struct mln_request *rq, const struct mln_ceremony *c);
/* What is wrong with n shares of which t open the seal; NULL when nothing is. */
const char *sys_shares_wrong(int64_t n, int64_t t);
/* A path without a token that is off: METHOD, whoever asks. */
struct mln_err sys_refuse_open(struct mln_request *rq, bool is_on);

/* ---- what quotas share (sys_quotas.c) ---- */
/* The names of one kind ("rate-limit/"). NOT_FOUND when there are none */
struct mln_err mln_quota_list(struct mln_request *rq, struct mln_bytes folder, struct mln_reply *re);
/* The field "name" and the key of its row. INVALID */
struct mln_err mln_quota_key(struct mln_request *rq, const char *kind, struct mln_bytes *ret_name,
                             struct mln_bytes *ret);
/* The field "path"; one that names a mount covers all below it. */
struct mln_bytes mln_quota_rule_path(struct mln_request *rq);
