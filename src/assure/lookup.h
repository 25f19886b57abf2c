/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon.model.verdict, merlon.evidence and merlon.approval: what releases say of a digest, from memory. A miss asks the release engine
 * within the request's transaction; an answer is good for cache_ns, then it is asked again. Source of truth: docs/release.md.
 *
 *   merlon.model.verdict(digest)   {"state", "id", "model", "root", "checks": {name: bool}, "approvals": n, "released_time"?}
 *   merlon.evidence(digest, step)  what the step showed ("scan", "fairness", "card", "verify", "encrypt", "signature")
 *   merlon.approval(digest)        {"count", "by": [names], "state"}
 *
 * A digest is 64 hex digits, with "sha256:" in front or without. What is not known is undefined. What cannot be asked fails the
 * evaluation (rego.h): the caller decides what that means.
 */
#pragma once

#include "assure/rules.h"
#include "contract/engine.h"

#define MLN_FACTS_MAX      4096u                     /* digests in memory, a few KiB each */
#define MLN_FACTS_CACHE_NS ((int64_t)1000000000)     /* default: a release counts a second later at most */

struct mln_facts; /* shared by threads */
struct mln_facts *mln_facts_new(void);
void mln_facts_free(struct mln_facts *facts);

struct mln_facts_ask {
    struct mln_facts *facts;
    struct mln_request *rq;
    const char *mount; /* "release/" */
    int64_t cache_ns;
};
/* For mln_rules_question.lookup; with: struct mln_facts_ask. */
enum mln_rego_lookup mln_facts_lookup(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret);
