/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon entry graph: who may talk to whom, from registration entries, templates and the rules of spiffe/authz. Nothing is kept besides
 * these: the picture, the policies of Kubernetes and Istio and the flags of `merlon proxy` are all made from them. What is drawn is in
 * the order of ids and names, so that the same state gives the same bytes. All in the arena of cx.
 */
#pragma once

#include "cli/cli_priv.h"

#define GRAPH_EDGES_MAX                                                                            \
    20000u /* pairs that a rule allows: more are no picture; --only draws a part */
#define GRAPH_NODES_MAX 200000u

enum graph_kind {
    GRAPH_SERVER,   /* this server */
    GRAPH_MACHINE,  /* a node that attests for it */
    GRAPH_WORKLOAD, /* has an entry, or a template makes it */
    GRAPH_TEMPLATE, /* whoever a template makes an identity for, as far as a rule means it */
    GRAPH_UNKNOWN,  /* of this trust domain, in a rule, without an entry */
    GRAPH_OUTSIDE,  /* of another trust domain, or of any */
    GRAPH_KINDS
};
extern const char *const graph_kind_names[GRAPH_KINDS];

struct graph_node {
    const char *id;          /* SPIFFE id, or a rule's pattern */
    struct mln_bytes domain; /* "*": any */
    enum graph_kind kind;
    struct mln_value *shows;               /* set of sets: selectors of each of its entries */
    struct mln_value *parents, *federates; /* sets of texts */
    bool is_hidden;                        /* --only left it out */
};

/* `from` may talk to `to`: allows is an array of {"rule","methods","paths"}; denies the same, what is refused all the same. */
struct graph_edge {
    size_t from, to;
    struct mln_value *allows, *denies;
};

struct graph {
    struct mln_cx *cx;
    struct mln_bytes domain;            /* this server's trust domain */
    const struct mln_value *templates;  /* array */
    const struct mln_value *federation; /* array of {"trust_domain","url",...} */
    const struct mln_value **rules;     /* {"name","effect","principals",...} by name */
    struct graph_node *nodes;           /* by id */
    struct graph_edge *edges;           /* by to, then from */
    size_t n_rules, n_nodes, cap_nodes, n_edges;
};

/* What is drawn: {"trust_domain","entries":[],"rules":[],"templates":[],"federation":[]}. errors INVALID, LIMIT */
struct mln_err graph_build(struct mln_cx *cx, const struct mln_value *from, struct graph *ret);
/* Leave out what neither fits this pattern of SPIFFE ids nor talks to what does. */
void graph_only(struct graph *g, struct mln_bytes pattern);
bool graph_is_denied(const struct graph_edge *e); /* at least sometimes */

/* ---- templates (graph_template.c) ---- */
/* Could this template make an identity that the rule's pattern means? Then what its processes show: an array of arrays. */
bool graph_template_meets(const struct graph *g, const struct mln_value *tmpl,
                          struct mln_bytes pattern, struct mln_value **ret_shows);

/* ---- pictures (graph_draw.c, graph_text.c) ---- */
struct mln_value *graph_value(const struct graph *g); /* for JSON and YAML */
void graph_text(const struct graph *g, struct mln_buf *out);
void graph_dot(const struct graph *g, struct mln_buf *out);
void graph_mermaid(const struct graph *g, struct mln_buf *out);
void graph_proxy(const struct graph *g, struct mln_buf *out);
/* "GET,POST /v1/..." of an allows or denies item; "" = everything. */
const char *graph_what(struct mln_cx *cx, const struct mln_value *way);
/* Printable ASCII; everything else is "?": texts of rules may be anything. */
const char *graph_plain(struct mln_cx *cx, struct mln_bytes text);
/* Words of what holds an edge: "ext_authz", "proxy", "istio", "network". */
const struct mln_value *graph_held_by(const struct graph *g, const struct graph_edge *e);

/* ---- Kubernetes (graph_kube.c) ---- */
/* Where the processes of one entry are: pods of a namespace with labels. */
struct graph_pods {
    const char *ns;                 /* NULL: not in Kubernetes, or not in one namespace */
    struct mln_value *labels;       /* object, by key */
    const struct mln_value *losses; /* texts: what the labels do not say of the entry */
};
#define GRAPH_SA_LABEL                                                                             \
    "service-account" /* the label that pods carry to say their service account */
struct graph_kube {
    const struct graph *g;
    const char *sa_label; /* "" = service accounts are not said by labels */
    struct mln_buf *out;
    struct mln_value *losses; /* set of texts: all that could not be said */
};
struct graph_pods graph_pods_of(const struct graph_kube *k, const struct mln_value *shows);
/* A name for an object of Kubernetes (RFC 1123, at most 63 bytes) that no other id or part gets. */
const char *graph_kube_name(struct mln_cx *cx, const char *kind, struct mln_bytes id,
                            struct mln_bytes part);
/* The head of one object: "apiVersion", "kind", "metadata". */
struct mln_value *graph_kube_object(struct mln_cx *cx, const char *api, const char *kind,
                                    const char *ns, const char *name);
void graph_kube_put_id(struct mln_cx *cx, struct mln_value *object,
                       const char *id); /* as annotation */
void graph_kube_print(struct graph_kube *k, const struct mln_value *object);
void graph_kube_comment(struct graph_kube *k, const char *text);
void graph_kube_loss(struct graph_kube *k,
                     const char *text); /* a comment, and it counts for --strict */
/* All namespaces that entries are in: a set. */
const struct mln_value *graph_kube_namespaces(const struct graph_kube *k);
void graph_network(struct graph_kube *k); /* NetworkPolicy */
void graph_istio(struct graph_kube *k);   /* AuthorizationPolicy */
