/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACL policies in Vault's language (HCL or JSON): which capabilities a token has on a path. Source: Vault's policy documentation;
 * facts in docs/policies.md. Pure: no store, no clock.
 */
#pragma once

#include "base/value.h"

enum mln_capability {
    MLN_CAP_CREATE = 1, MLN_CAP_READ = 2, MLN_CAP_UPDATE = 4, MLN_CAP_DELETE = 8, MLN_CAP_LIST = 16, MLN_CAP_PATCH = 32,
    MLN_CAP_SUDO = 64, MLN_CAP_DENY = 128, MLN_CAP_SCAN = 256, MLN_CAP_RECOVER = 512, MLN_CAP_SUBSCRIBE = 1024,
};

struct mln_policy; /* parsed, reference-free, lives in memory of its own; immutable */

/* text: HCL or JSON. errors PARSE/INVALID with Vault's texts ("failed to parse policy: ...", `path "a": invalid capability "fly"`). */
struct mln_err mln_policy_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_policy **ret);
void mln_policy_free(struct mln_policy *policy);

/* Many policies compiled to one decision table: most specific pattern wins across all; equal patterns: union, deny wins. */
struct mln_acl;
struct mln_err mln_acl_new(struct mln_cx *cx, const struct mln_policy *const *policies, size_t n, bool is_root, struct mln_acl **ret);
/* For a person (contract's services->entity) or NULL: templates in paths are filled in; a path whose template cannot be is dropped. */
struct mln_acl_for {
    const struct mln_value *person;
    int64_t now_ns; /* rules that expired before are dropped; 0: none is */
};
struct mln_err mln_acl_new_for(struct mln_cx *cx, const struct mln_policy *const *policies, size_t n, const struct mln_acl_for *who,
                               struct mln_acl **ret);
int64_t mln_acl_until_ns(const struct mln_acl *acl); /* when the first of its rules expires: make it anew then; INT64_MAX = never */
void mln_acl_free(struct mln_acl *acl); /* policies may go before it */

/* What the token may on this path (full, without "v1/"; lists end in "/"). 0 = nothing. Root: all but DENY. */
unsigned mln_acl_capabilities(const struct mln_acl *acl, struct mln_bytes path);
/*
 * The decision for one operation: the capability and the parameter constraints of the winning rule against data (object or NULL).
 * MLN_OK or DENIED ("permission denied"); *ret_rule (may be NULL) gets the winning pattern for the record, borrowed.
 */
struct mln_err mln_acl_check(struct mln_cx *cx, const struct mln_acl *acl, struct mln_bytes path, unsigned capability,
                             const struct mln_value *data, struct mln_bytes *ret_rule);
/* What the winning rule says beside capabilities; all 0 without one. */
struct mln_acl_limits {
    int64_t min_wrap_s, max_wrap_s; /* of the asked wrapping; either needs one to be asked for */
    int64_t pagination;             /* lists must ask for at most so many entries ("limit") */
};
void mln_acl_limits_of(const struct mln_acl *acl, struct mln_bytes path, bool is_list, struct mln_acl_limits *ret);
/* Does any rule allow anything at or below `prefix` ("secret/")? */
bool mln_acl_touches(const struct mln_acl *acl, struct mln_bytes prefix);
/* The table's rules one by one, for showing them: false behind the last. pattern is without the "*" of a glob. */
struct mln_acl_shown {
    struct mln_bytes pattern;
    bool is_glob;
    unsigned capabilities;
};
bool mln_acl_rule_at(const struct mln_acl *acl, size_t i, struct mln_acl_shown *ret);
/* Names in Vault's order for sys/capabilities: ["create","read",...], ["root"] or ["deny"]. */
const struct mln_value *mln_capability_names(struct mln_cx *cx, unsigned capabilities, bool is_root);
/* HCL to a value: blocks as objects ({"path": {"secret/x": {...}}}, repeated blocks become arrays), for configuration too. */
struct mln_err mln_hcl_parse(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret);
