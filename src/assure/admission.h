/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes admission, without server and store: AdmissionReview v1 in, AdmissionReview v1 out. Policies are Rego packages
 * merlon.admission.NAME; Gatekeeper's ConstraintTemplates and constraints are read as they are. docs/admission.md.
 * Source: Kubernetes' API reference (admission.k8s.io/v1), Gatekeeper's constraint framework (templates.gatekeeper.sh/v1).
 */
#pragma once

#include "assure/rules.h"

#define MLN_ADMISSION_PREFIX     "data.merlon.admission"
#define MLN_ADMISSION_UID_MAX    128u  /* bytes: API servers send UUIDs */
#define MLN_ADMISSION_PATCH_MAX  1000u /* operations of one answer */
#define MLN_ADMISSION_TEXT_MAX   4096u /* bytes of a refusal's message: API servers show it to people */
#define MLN_ADMISSION_WARNINGS   64u
#define MLN_ADMISSION_LIBS_MAX   64u   /* of one template */

/* A request that was checked; values are borrowed from the review. */
struct mln_admission_review {
    const struct mln_value *review, *request;
    const struct mln_value *object, *old_object; /* NULL when null or absent */
    struct mln_bytes uid, operation, group, version, kind, name, ns, user, subresource;
    bool is_dry_run;
};
/* errors INVALID naming the member */
struct mln_err mln_admission_read(struct mln_cx *cx, const struct mln_value *review, struct mln_admission_review *ret);

/* ---- Gatekeeper: templates and constraints (admission_template.c) ---- */
struct mln_admission_template {
    const char *name, *kind; /* "k8srequiredlabels", "K8sRequiredLabels" */
    struct mln_rego_source *sources; /* the template's, then its libraries */
    size_t n_sources;
    bool is_v0;
};
/* v: templates.gatekeeper.sh/v1, v1beta1 or v1alpha1. errors INVALID, UNSUPPORTED (an engine that is not Rego), LIMIT */
struct mln_err mln_admission_template(struct mln_cx *cx, const struct mln_value *v, struct mln_admission_template *ret);
/* Is this a constraint that can be judged as it says? Its match is checked whole. errors INVALID, UNSUPPORTED */
struct mln_err mln_admission_constraint(struct mln_cx *cx, const struct mln_value *v);
/* "deny", "warn" or "dryrun": what a constraint wants at the webhook. NULL: nothing */
const char *mln_admission_action(const struct mln_value *constraint);

/* ---- match (admission_match.c) ---- */
/*
 * Does a constraint's spec.match cover this object? object is that of the review or its old one.
 * ns    the Namespace object that it is in, NULL = not known
 * errors PRECONDITION: a namespaceSelector, and the namespace is not known
 */
struct mln_err mln_admission_match(struct mln_cx *cx, const struct mln_value *match, const struct mln_admission_review *r,
                                   const struct mln_value *object, const struct mln_value *ns, bool *ret);

/* ---- judging (admission_judge.c) ---- */
struct mln_admission_judge {
    struct mln_rules *validate, *mutate; /* of policies; NULL = none */
    const struct mln_admission_checked {
        const char *kind; /* of the constraints that it is for */
        struct mln_rules *rules;
    } *templates;
    size_t n_templates;
    const struct mln_value *constraints; /* array of constraint objects */
    const struct mln_value *inventory;   /* {"cluster", "namespace"} as Gatekeeper has it */
    const struct mln_rego_data *data;    /* {"inventory": the same}; NULL = none */
    int64_t now_ns;
    struct mln_rego_budget budget;       /* for all together */
    enum mln_rego_lookup (*lookup)(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret);
    void *lookup_with;
    /* Each set that was asked and what it said: for the record. NULL = nobody listens. */
    void (*heard)(void *with, const struct mln_rules *rules, const struct mln_value *input, const struct mln_value *said);
    void *heard_with;
};
/*
 * ret     {"allowed": bool, "denied": [{"policy", "msg", "details"?}], "warned": [..], "dryrun": [..], "patch": [operations],
 *          "annotations": {..}}
 * errors  INVALID, TIMEOUT, LIMIT, PRECONDITION: it could not be judged
 */
struct mln_err mln_admission_judge(struct mln_cx *cx, const struct mln_admission_judge *j, const struct mln_admission_review *r,
                                   bool is_mutating, struct mln_value **ret);
/* The AdmissionReview that answers. verdict: of mln_admission_judge. annotations more of these */
struct mln_err mln_admission_answer(struct mln_cx *cx, const struct mln_admission_review *r, const struct mln_value *verdict,
                                    const struct mln_value **ret);
/* The same when it could not be judged. */
struct mln_err mln_admission_answer_failed(struct mln_cx *cx, const struct mln_admission_review *r, bool is_allowed, const char *why,
                                           const struct mln_value **ret);
