/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of tokens share: rows (token.c), lifetimes and policies (token_ttl.c), paths (token_paths.c). */
#pragma once

#include "core/core_priv.h"

/* NOT_FOUND without text when there is none; an entry that expired is still given. */
struct mln_err mln_token_by_name(struct mln_cx *cx, struct mln_txn *txn, const char *name, const struct mln_value **ret);
struct mln_err mln_token_by_accessor(struct mln_cx *cx, struct mln_txn *txn, const char *accessor, const struct mln_value **ret);
bool mln_token_is_live(const struct mln_value *entry, int64_t now_ns);
/* The envelope's auth object; id may be empty (renewal by accessor). */
const struct mln_value *mln_token_auth(struct mln_cx *cx, const struct mln_value *entry, struct mln_bytes id);
struct mln_err mln_token_replace(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *old, const struct mln_value *entry);
struct mln_err mln_token_orphan_children(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry);
struct mln_err mln_token_remove(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *entry); /* not its children */
struct mln_err mln_token_accessors(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value **ret); /* array of texts */

int64_t mln_token_ttl_default(const struct mln_core *core, const struct mln_mount *mount); /* seconds, > 0 */
int64_t mln_token_ttl_max(const struct mln_core *core, const struct mln_mount *mount);
/* At most limit_s (0 = none), with a warning when re is given. */
int64_t mln_token_ttl_cap(struct mln_request *rq, struct mln_reply *re, int64_t asked_s, int64_t limit_s);
/* Names in lower case, sorted, each once; "default" added unless root is among them. */
const struct mln_value *mln_token_policies(struct mln_cx *cx, const struct mln_value *asked, bool with_default);
bool mln_token_names(const struct mln_value *names, const char *name);
struct mln_err mln_token_create_path(struct mln_request *rq, struct mln_reply *re); /* auth/token/create and create-orphan */
