/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules for requests: Rego that is asked after tokens and ACL policies said yes, as Sentinel's endpoint and role rules are. A rule says
 * no (deny) or warns; how much its no weighs is its level. The root token and the system's own work are not asked, nor is what answers
 * while sealed: nobody can be locked out by a rule. docs/rules.md
 *
 * Rows in view "root/rule/": "egp/<name>", "rgp/<name>". They are the root namespace's and judge requests in all.
 */
#pragma once

#include "assure/rules.h"

#define MLN_GOVERN_MAX      256u                 /* rules: all are matched for each request */
#define MLN_GOVERN_TEXT_MAX ((size_t)256 << 10)  /* of one */
#define MLN_GOVERN_LIST_MAX 256u                 /* paths, policies, entities, groups of one */
#define MLN_GOVERN_TIME_NS  200000000u           /* of all rules for one request: people wait */
#define MLN_GOVERN_STEPS    2000000u
#define MLN_GOVERN_MEMORY   ((size_t)32 << 20)

struct mln_core;
struct mln_run;
struct mln_governor; /* all rules, compiled; read only, goes with its last user */

/* From the store, after a change and at unseal. */
struct mln_err mln_govern_load(struct mln_cx *cx, struct mln_core *core);
void mln_govern_forget(struct mln_core *core);
/* A row, checked: its Rego compiles, its level is known, its paths are paths. errors INVALID */
struct mln_err mln_govern_check(struct mln_cx *cx, const char *name, const struct mln_value *row);
/* May this request go on? DENIED with the rule's message; says in rq->detail what was judged. Nothing when there are no rules. */
struct mln_err mln_govern(struct mln_run *run);
