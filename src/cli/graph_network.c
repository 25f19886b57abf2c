/* SPDX-License-Identifier: Apache-2.0 */
/*
 * NetworkPolicy (networking.k8s.io/v1): in each namespace nobody may reach a pod, then for each identity who may. It knows addresses
 * of pods, neither identities nor requests: it is the fence around what mutual TLS decides.
 */
#include "cli/graph_priv.h"

#define API "networking.k8s.io/v1"

static struct mln_value *selector(struct mln_cx *cx, const struct mln_value *labels)
{
    struct mln_value *v = mln_object(cx);
    if (mln_len(labels) > 0) {
        mln_put(cx, v, "matchLabels", labels);
    }
    return v;
}

static struct mln_value *spec(struct mln_cx *cx, const struct mln_value *labels)
{
    struct mln_value *v = mln_object(cx), *types = mln_array(cx);
    mln_push_text(cx, types, "Ingress");
    mln_put(cx, v, "podSelector", selector(cx, labels));
    mln_put(cx, v, "policyTypes", types);
    return v;
}

static void print_fences(struct graph_kube *k)
{
    struct mln_cx *cx = k->g->cx;
    const struct mln_value *all = graph_kube_namespaces(k);
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_value *o =
            graph_kube_object(cx, API, "NetworkPolicy", mln_get_text(cx, mln_item(all, i), ""),
                              "merlon-default-deny");
        mln_put(cx, o, "spec", spec(cx, NULL));
        graph_kube_print(k, o);
    }
}

static struct mln_value *peer(struct mln_cx *cx, const struct graph_pods *pods)
{
    struct mln_value *v = mln_object(cx), *ns = mln_object(cx);
    mln_put_text(cx, ns, "kubernetes.io/metadata.name", pods->ns);
    mln_put(cx, v, "namespaceSelector", selector(cx, ns));
    mln_put(cx, v, "podSelector", selector(cx, pods->labels));
    return v;
}

static void say_losses(struct graph_kube *k, const char *id, const struct mln_value *losses)
{
    for (size_t i = 0; i < mln_len(losses); i++) {
        graph_kube_loss(k, mln_text_format(k->g->cx, "wider than the entry of %s: %s", id,
                                           mln_get_text(k->g->cx, mln_item(losses, i), "")));
    }
}

static void add_peers(struct graph_kube *k, const struct graph_node *from, struct mln_value *peers)
{
    struct mln_cx *cx = k->g->cx;
    if (mln_len(from->shows) == 0) {
        graph_kube_loss(
            k, mln_text_format(cx, "not opened for %s: it is no pod of this cluster", from->id));
    }
    for (size_t i = 0; i < mln_len(from->shows); i++) {
        struct graph_pods pods = graph_pods_of(k, mln_item(from->shows, i));
        if (pods.ns == NULL) {
            graph_kube_loss(
                k, mln_text_format(cx, "not opened for %s: an entry of it names no namespace",
                                   from->id));
        } else {
            say_losses(k, from->id, pods.losses);
            mln_push(cx, peers, peer(cx, &pods));
        }
    }
}

/* Rules that say more than who: each once. */
static void add_requests(struct graph_kube *k, const struct graph_edge *e, struct mln_value *rules)
{
    const struct mln_value *both[] = {e->allows, e->denies};
    for (size_t b = 0; b < MLN_COUNT(both); b++) {
        for (size_t i = 0; i < mln_len(both[b]); i++) {
            const struct mln_value *way = mln_item(both[b], i);
            if (b == 1 || graph_what(k->g->cx, way)[0] != '\0') {
                mln_push(k->g->cx, rules, mln_get(way, "rule"));
            }
        }
    }
}

static const struct mln_value *peers_of(struct graph_kube *k, size_t to)
{
    struct mln_value *peers = mln_set(k->g->cx), *rules = mln_set(k->g->cx);
    for (size_t i = 0; i < k->g->n_edges; i++) {
        if (k->g->edges[i].to == to) {
            add_requests(k, &k->g->edges[i], rules);
            add_peers(k, &k->g->nodes[k->g->edges[i].from], peers);
        }
    }
    for (size_t i = 0; i < mln_len(rules); i++) {
        const char *rule = graph_plain(k->g->cx, mln_get_bytes(mln_item(rules, i)));
        graph_kube_loss(
            k, mln_text_format(k->g->cx,
                               "requests are not seen at this layer: rule %s is held elsewhere",
                               rule));
    }
    return peers;
}

static void print_one(struct graph_kube *k, const struct graph_node *n,
                      const struct graph_pods *pods, const struct mln_value *peers)
{
    struct mln_cx *cx = k->g->cx;
    struct mln_value *ingress = mln_array(cx), *rule = mln_object(cx), *from = mln_array(cx),
                     *s = spec(cx, pods->labels);
    MLN_AUTO(mln_buf_drop) struct mln_buf part = {0};
    mln_json_print(&part, pods->labels, MLN_JSON_COMPACT);
    struct mln_value *o =
        graph_kube_object(cx, API, "NetworkPolicy", pods->ns,
                          graph_kube_name(cx, "to", mln_bytes_of(n->id), mln_buf_bytes(&part)));
    for (size_t i = 0; i < mln_len(peers); i++) {
        mln_push(cx, from, mln_item(peers, i));
    }
    mln_put(cx, rule, "from", from); /* never empty: that would mean everybody */
    mln_push(cx, ingress, rule);
    mln_put(cx, s, "ingress", ingress);
    graph_kube_put_id(cx, o, n->id);
    mln_put(cx, o, "spec", s);
    graph_kube_print(k, o);
}

static void print_node(struct graph_kube *k, size_t at)
{
    const struct graph_node *n = &k->g->nodes[at];
    size_t n_calls = 0;
    for (size_t i = 0; i < k->g->n_edges; i++) {
        n_calls += k->g->edges[i].to == at;
    }
    if (n_calls == 0) {
        return;
    }
    graph_kube_comment(k, mln_text_format(k->g->cx, "to %s", n->id));
    const struct mln_value *peers = peers_of(k, at);
    if (mln_len(n->shows) == 0) {
        graph_kube_loss(
            k, mln_text_format(k->g->cx, "no policy for %s: it is no pod of this cluster", n->id));
    }
    for (size_t i = 0; i < mln_len(n->shows); i++) {
        struct graph_pods pods = graph_pods_of(k, mln_item(n->shows, i));
        if (pods.ns == NULL) {
            graph_kube_loss(
                k, mln_text_format(k->g->cx, "no policy for %s: an entry of it names no namespace",
                                   n->id));
            continue;
        }
        say_losses(k, n->id, pods.losses);
        if (mln_len(peers) > 0) {
            print_one(k, n, &pods, peers);
        }
    }
}

void graph_network(struct graph_kube *k)
{
    graph_kube_comment(k, "NetworkPolicy by merlon entry graph, from registration entries and the "
                          "rules of spiffe/authz. Incoming traffic only.");
    if (k->sa_label[0] != '\0') {
        graph_kube_comment(k, mln_text_format(k->g->cx,
                                              "Pods say their service account with the label %s; "
                                              "one without it reaches nothing and is "
                                              "reached by nobody.",
                                              k->sa_label));
    }
    print_fences(k);
    for (size_t i = 0; i < k->g->n_nodes; i++) {
        if (!k->g->nodes[i].is_hidden) {
            print_node(k, i);
        }
    }
}
