/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the admission engine share. docs/admission.md.
 *
 *   p/<name>          {"policy": text}: a Rego module
 *   t/<name>          a ConstraintTemplate
 *   c/<kind>/<name>   a constraint
 *   o/<sha-256>       an object of the cluster that policies may look at, by the digest of where it is
 *   config            admission_config_write
 *   version           {"n"}: grows with every change of the above; what is compiled is good for one
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "assure/admission.h"
#include "assure/lookup.h"
#include "barrier/txn.h"
#include "contract/engine.h"

#define ADMISSION_POLICIES_MAX    256u
#define ADMISSION_TEMPLATES_MAX   256u
#define ADMISSION_CONSTRAINTS_MAX 1024u
#define ADMISSION_OBJECTS_MAX     4096u                   /* all are in memory, twice */
#define ADMISSION_OBJECT_MAX      ((size_t)256 << 10)     /* bytes of one as JSON; etcd takes 1.5 MiB, what rules look at is small */
#define ADMISSION_SET_BYTES       ((size_t)256 << 20)     /* of what is read for one set */
#define ADMISSION_TIME_MS         2000                    /* API servers wait 10 s unless told otherwise, 30 s at most */
#define ADMISSION_TIME_MS_MAX     25000
#define ADMISSION_KEPT_A_SECOND   50 /* decisions of callers that nobody knows: what strangers may make the store write */

struct admission_config {
    bool fails_open;         /* what could not be judged is allowed, with a warning */
    bool lookup_fails_open;  /* the same when only a lookup could not be answered */
    bool needs_token;
    int64_t time_ms, cache_ms;
    const char *release_mount;
    const struct mln_value *exempt; /* patterns of namespaces that are not judged */
    const struct mln_value *masks;
};

/* All that judging needs, compiled. Read only; goes with its last user. */
struct admission_set {
    atomic_uint refs;
    int64_t version;
    struct mln_arena *arena; /* of values and texts */
    struct mln_cx cx;
    struct admission_config config;
    struct mln_rego_source *policies;
    size_t n_policies;
    struct mln_rules *validate, *mutate;
    struct mln_admission_template *templates;
    struct mln_admission_checked *checked;
    size_t n_templates;
    const struct mln_value *constraints, *inventory;
    struct mln_rego_data *data;
};
extern const char *const admission_validate_heads[], *const admission_mutate_heads[], *const admission_constraint_heads[];
/* The rules of the set that this is: what a decision names. false: none of it */
bool admission_options_of(const struct admission_set *set, const struct mln_rules *rules, struct mln_rules_options *ret);

/* What a mount keeps in memory. */
struct admission_kept {
    pthread_mutex_t lock; /* of set and budget */
    struct admission_set *set;
    struct mln_facts *facts;
    int64_t second, n_kept; /* decisions of strangers in this second */
};

/* ---- admission_state.c ---- */
struct mln_err admission_kept_of(struct mln_request *rq, struct admission_kept **ret);
/* The set as the transaction sees it, compiled now or before; give it back. errors INVALID: a policy does not compile */
struct mln_err admission_set_of(struct mln_request *rq, struct admission_kept *kept, struct admission_set **ret);
void admission_set_drop(struct admission_set **set);
/* Something changed: the next request compiles. Compiles with this transaction's writes, so that what is bad never gets in. */
struct mln_err admission_changed(struct mln_request *rq);
struct mln_err admission_config_of(struct mln_cx *cx, const struct mln_value *v, struct admission_config *ret);
/* Where an object of the cluster is kept. */
struct mln_bytes admission_object_key(struct mln_cx *cx, const struct mln_value *object);

/* ---- admission_serve.c ---- */
struct mln_err admission_validate(struct mln_request *rq, struct mln_reply *re);
struct mln_err admission_mutate(struct mln_request *rq, struct mln_reply *re);
