/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AuthorizationPolicy (security.istio.io/v1): in each namespace mutual TLS or nothing, and nobody; then for each identity the rules as
 * they are, patterns too. Principals are written as Istio wants them, without "spiffe://". The mesh must have the same trust domain,
 * and workloads their SVIDs from Merlon (docs/kubernetes.md), or its own certificates name the same ids.
 */
#include "cli/graph_priv.h"

#include "identity/spiffe_rule.h"

#define API "security.istio.io/v1"

static void print_fences(struct graph_kube *k)
{
    struct mln_cx *cx = k->g->cx;
    const struct mln_value *all = graph_kube_namespaces(k);
    for (size_t i = 0; i < mln_len(all); i++) {
        const char *ns = mln_get_text(cx, mln_item(all, i), "");
        struct mln_value *tls = graph_kube_object(cx, API, "PeerAuthentication", ns, "merlon-mtls"),
                         *spec = mln_object(cx), *mode = mln_object(cx),
                         *none = graph_kube_object(cx, API, "AuthorizationPolicy", ns,
                                                   "merlon-default-deny");
        mln_put_text(cx, mode, "mode", "STRICT");
        mln_put(cx, spec, "mtls", mode);
        mln_put(cx, tls, "spec", spec);
        mln_put(cx, none, "spec", mln_object(cx)); /* no rule: nothing is allowed */
        graph_kube_print(k, tls);
        graph_kube_print(k, none);
    }
}

/* ---- one rule ---- */

/* Istio reads "{" in paths as a template of its own, and "*" only at one end. */
static bool can_say(const struct mln_value *list)
{
    bool ok = true;
    for (size_t i = 0; i < mln_len(list) && ok; i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        for (size_t b = 0; b < one.len && ok; b++) {
            ok = one.ptr[b] > ' ' && one.ptr[b] <= '~' && one.ptr[b] != '{' && one.ptr[b] != '}';
        }
    }
    return ok;
}

static const struct mln_value *principals_of(struct mln_cx *cx, const struct mln_value *list,
                                             bool *ret_ok)
{
    struct mln_value *all = mln_array(cx);
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        bool is_id = mln_bytes_starts(one, MLN_BYTES("spiffe://"));
        bool is_any = mln_bytes_ends(one, MLN_BYTES("*")) &&
                      mln_bytes_starts(MLN_BYTES("spiffe://"), mln_bytes_sub(one, 0, one.len - 1));
        *ret_ok = *ret_ok && (is_id || is_any);
        mln_push(cx, all, is_id ? mln_string(cx, mln_bytes_from(one, 9)) : mln_text(cx, "*"));
    }
    return all;
}

static void put_list(struct mln_cx *cx, struct mln_value *object, const char *name,
                     const struct mln_value *list)
{
    if (mln_len(list) > 0) {
        mln_put(cx, object, name, list);
    }
}

static const struct mln_value *wrapped(struct mln_cx *cx, const char *name,
                                       const struct mln_value *what)
{
    struct mln_value *list = mln_array(cx), *one = mln_object(cx);
    mln_put(cx, one, name, what);
    mln_push(cx, list, one);
    return list;
}

/* NULL: it cannot be said. */
static const struct mln_value *rule_of(struct mln_cx *cx, const struct mln_value *r)
{
    bool ok = can_say(mln_get(r, "methods")) && can_say(mln_get(r, "paths")) &&
              can_say(mln_get(r, "principals"));
    struct mln_value *rule = mln_object(cx), *source = mln_object(cx), *operation = mln_object(cx);
    put_list(cx, source, "principals", principals_of(cx, mln_get(r, "principals"), &ok));
    put_list(cx, operation, "methods", mln_get(r, "methods"));
    put_list(cx, operation, "paths", mln_get(r, "paths"));
    if (mln_len(source) > 0) {
        mln_put(cx, rule, "from", wrapped(cx, "source", source));
    }
    if (mln_len(operation) > 0) {
        mln_put(cx, rule, "to", wrapped(cx, "operation", operation));
    }
    return ok ? rule : NULL;
}

/* ---- one identity ---- */

/* A pattern of which only a part is these pods' may open too much, but never refuse too little. */
static bool is_of(const struct mln_value *r, const char *effect, const char *id)
{
    const struct mln_value *list = mln_get(r, "destinations");
    bool is = mln_is_text(mln_get(r, "effect"), effect),
         is_deny = mln_bytes_is(mln_bytes_of(effect), "deny"), fits = mln_len(list) == 0;
    for (size_t i = 0; i < mln_len(list) && is && !fits; i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        fits = is_deny ? mln_rule_meets(one, mln_bytes_of(id))
                       : mln_rule_covers(one, mln_bytes_of(id));
    }
    return is && fits;
}

/* *ret_whole: all of them could be said. */
static const struct mln_value *rules_of(struct graph_kube *k, const char *effect, const char *id,
                                        bool *ret_whole)
{
    struct mln_value *all = mln_array(k->g->cx);
    for (size_t i = 0; i < k->g->n_rules; i++) {
        const struct mln_value *r = k->g->rules[i];
        if (!is_of(r, effect, id)) {
            continue;
        }
        const struct mln_value *one = rule_of(k->g->cx, r);
        if (one != NULL) {
            mln_push(k->g->cx, all, one);
        } else {
            *ret_whole = false;
            graph_kube_loss(
                k,
                mln_text_format(k->g->cx, "rule %s (%s) is left out: Istio cannot say its patterns",
                                graph_plain(k->g->cx, mln_get_bytes(mln_get(r, "name"))), effect));
        }
    }
    return all;
}

static void print_one(struct graph_kube *k, const struct graph_node *n,
                      const struct graph_pods *pods, const char *action,
                      const struct mln_value *rules)
{
    struct mln_cx *cx = k->g->cx;
    struct mln_value *spec = mln_object(cx), *selector = mln_object(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf part = {0};
    if (mln_len(rules) == 0) {
        return;
    }
    bool is_deny = mln_bytes_is(mln_bytes_of(action), "DENY");
    mln_json_print(&part, pods->labels, MLN_JSON_COMPACT);
    struct mln_value *o = graph_kube_object(
        cx, API, "AuthorizationPolicy", pods->ns,
        graph_kube_name(cx, is_deny ? "deny" : "to", mln_bytes_of(n->id), mln_buf_bytes(&part)));
    if (mln_len(pods->labels) > 0) {
        mln_put(cx, selector, "matchLabels", pods->labels);
        mln_put(cx, spec, "selector", selector);
    }
    mln_put_text(cx, spec, "action", action);
    mln_put(cx, spec, "rules", rules);
    graph_kube_put_id(cx, o, n->id);
    mln_put(cx, o, "spec", spec);
    graph_kube_print(k, o);
}

static void print_node(struct graph_kube *k, const struct graph_node *n)
{
    struct mln_cx *cx = k->g->cx;
    bool has_denies = true, has_allows = true;
    graph_kube_comment(k, mln_text_format(cx, "to %s", n->id));
    const struct mln_value *denies = rules_of(k, "deny", n->id, &has_denies),
                           *allows = rules_of(k, "allow", n->id, &has_allows);
    if (!has_denies && mln_len(allows) > 0) {
        graph_kube_loss(
            k, mln_text_format(cx, "nothing is opened to %s: a rule that denies could not be said",
                               n->id));
        allows = NULL;
    }
    for (size_t i = 0; i < mln_len(n->shows); i++) {
        struct graph_pods pods = graph_pods_of(k, mln_item(n->shows, i));
        if (pods.ns == NULL) {
            graph_kube_loss(
                k,
                mln_text_format(cx, "no policy for %s: an entry of it names no namespace", n->id));
            continue;
        }
        for (size_t l = 0; l < mln_len(pods.losses); l++) {
            const char *loss = mln_get_text(cx, mln_item(pods.losses, l), "");
            graph_kube_loss(k, mln_text_format(cx, "wider than the entry of %s: %s", n->id, loss));
        }
        print_one(k, n, &pods, "DENY", denies);
        print_one(k, n, &pods, "ALLOW", allows);
    }
}

void graph_istio(struct graph_kube *k)
{
    graph_kube_comment(k, "AuthorizationPolicy by merlon entry graph, from registration entries "
                          "and the rules of spiffe/authz.");
    if (k->sa_label[0] != '\0') {
        graph_kube_comment(k, mln_text_format(k->g->cx,
                                              "Pods say their service account with the label %s.",
                                              k->sa_label));
    }
    print_fences(k);
    for (size_t i = 0; i < k->g->n_nodes; i++) {
        const struct graph_node *n = &k->g->nodes[i];
        if (!n->is_hidden && (n->kind == GRAPH_WORKLOAD || n->kind == GRAPH_TEMPLATE)) {
            print_node(k, n);
        }
    }
}
