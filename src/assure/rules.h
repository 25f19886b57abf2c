/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of Rego policies whose rules with certain names are asked together: gates (deny, warn), admission (deny, warn, patch),
 * rules for requests (deny). One decision path for all of them: compiled once, evaluated within a budget, named by a digest, and
 * with nothing in it that a replay would see otherwise (time and chance are given).
 *
 * A set is read only once it is made: threads may share it; each evaluation takes an evaluator from its pool.
 */
#pragma once

#include "contract/server.h"
#include "rego/rego.h"

#define MLN_RULES_MODULES_MAX 1024u              /* modules of one set: a library has dozens */
#define MLN_RULES_BYTES_MAX   ((size_t)4 << 20)  /* of all texts: they are kept with each decision's policy */
#define MLN_RULES_STEPS_MAX   20000000u          /* default: about a second of one CPU */
#define MLN_RULES_MEMORY_MAX  ((size_t)64 << 20) /* default: an object of 3 MiB many times over */
#define MLN_RULES_TIME_NS     2000000000u        /* default */
#define MLN_DIGEST_TEXT       72u                /* "sha256:" and 64 hex digits, with room for the NUL */

struct mln_rules;

struct mln_rules_options {
    const struct mln_rego_source *modules; /* borrowed for the call */
    size_t n_modules;
    const char *prefix;       /* only rules below it: "data.merlon.gates"; "data" = all */
    const char *const *heads; /* names of rules that are asked, "deny", ..., NULL; "x*" also takes x["constant"] := .. */
    const char *own_path, *own_file; /* only own_file may have rules below own_path; NULL = no such path */
    struct mln_rego_data *data; /* taken over, also in failure; NULL = none */
    bool is_v0;
};
/* errors INVALID ("file:row:col: code: message"), LIMIT, TOO_LARGE, MEMORY */
struct mln_err mln_rules_new(struct mln_cx *cx, const struct mln_rules_options *options, struct mln_rules **ret);
void mln_rules_free(struct mln_rules *rules); /* not while somebody asks */
void mln_rules_drop(struct mln_rules **rules);
size_t mln_rules_count(const struct mln_rules *rules); /* rules that are asked; 0: nothing can be refused */
/* Package of rule i behind the prefix, in order; NULL behind the last. */
const char *mln_rules_package(const struct mln_rules *rules, size_t i);
const char *mln_rules_digest(const struct mln_rules *rules); /* "sha256:<hex>" of names and texts; lives as long as rules */

struct mln_rules_question {
    const struct mln_value *input;
    const struct mln_rego_data *data; /* NULL: that of the set */
    struct mln_rego_budget budget; /* for all rules together; zeros: the defaults above */
    int64_t now_ns;                /* what time.now_ns answers; must be given */
    enum mln_rego_lookup (*lookup)(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret);
    void *lookup_with;
};
/*
 * Ask all rules.
 * ret     array, in order of package and rule: {"package": "a.b" (behind the prefix), "rule": "deny", "value": what it says}
 *         of those that are defined
 * errors  INVALID (an evaluation failed: a conflict, a lookup that failed; the text names the rule), TIMEOUT (a budget is used up)
 */
struct mln_err mln_rules_ask(struct mln_rules *rules, struct mln_cx *cx, const struct mln_rules_question *q,
                             const struct mln_value **ret);
/* Did the last error of mln_rules_ask come from a lookup that could not be answered? Reads cx. */
bool mln_rules_is_lookup(const struct mln_cx *cx);

/*
 * What rules said, as single messages: sets and arrays give one an item, an object {"msg": .., ..} or {"message": ..} its text and
 * its other members as details, `true` and texts one, false, null and empty sets none.
 * head  which rule; NULL = all
 * ret   array of {"package", "rule", "msg", "details"?}
 */
struct mln_err mln_rules_messages(struct mln_cx *cx, const struct mln_value *said, const char *head, const struct mln_value **ret);

/* "sha256:<hex>" of a value as JSON with sorted members; of sources as names and texts, in order of names. */
struct mln_err mln_digest_value(struct mln_cx *cx, const struct mln_value *v, const char **ret);
struct mln_err mln_digest_sources(struct mln_cx *cx, const struct mln_rego_source *sources, size_t n, const char **ret);
