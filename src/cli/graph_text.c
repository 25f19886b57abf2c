/* SPDX-License-Identifier: Apache-2.0 */
/* The picture for people: a tree of trust domains, identities, and who may call each; and the flags of `merlon proxy` for each. */
#include "cli/graph_priv.h"

#include "base/spiffe_id.h"

static void add_texts(struct mln_cx *cx, struct mln_buf *out, const char *head,
                      const struct mln_value *list, const char *between)
{
    mln_buf_add_text(out, mln_len(list) > 0 ? head : "");
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_buf_add_text(out, i > 0 ? between : "");
        mln_buf_add_text(out, graph_plain(cx, mln_get_bytes(mln_item(list, i))));
    }
    mln_buf_add_text(out, mln_len(list) > 0 ? "\n" : "");
}

static const char *rule_of(struct mln_cx *cx, const struct mln_value *way)
{
    return graph_plain(cx, mln_get_bytes(mln_get(way, "rule")));
}

static void add_ways(struct mln_cx *cx, struct mln_buf *out, const char *head,
                     const struct mln_value *ways)
{
    for (size_t i = 0; i < mln_len(ways); i++) {
        const char *what = graph_what(cx, mln_item(ways, i));
        mln_buf_add_format(out, "      %s %s  (rule %s)\n", head,
                           what[0] != '\0' ? what : "anything", rule_of(cx, mln_item(ways, i)));
        add_texts(cx, out, "        when it is ", mln_get(mln_item(ways, i), "principals"), ", ");
    }
}

static void add_callers(const struct graph *g, struct mln_buf *out, size_t node)
{
    bool is_any = false;
    for (size_t i = 0; i < g->n_edges; i++) {
        const struct graph_edge *e = &g->edges[i];
        if (e->to == node) {
            mln_buf_add_format(out, "    <- %s\n",
                               graph_plain(g->cx, mln_bytes_of(g->nodes[e->from].id)));
            add_ways(g->cx, out, "may", e->allows);
            add_ways(g->cx, out, "but never", e->denies);
            add_texts(g->cx, out, "      held by ", graph_held_by(g, e), ", ");
            is_any = true;
        }
    }
    mln_buf_add_text(out, is_any || g->nodes[node].kind != GRAPH_WORKLOAD ? "" : "    <- nobody\n");
}

static void add_node(const struct graph *g, struct mln_buf *out, size_t i)
{
    const struct graph_node *n = &g->nodes[i];
    mln_buf_add_format(out, "  %s %s\n", graph_kind_names[n->kind],
                       graph_plain(g->cx, mln_bytes_of(n->id)));
    for (size_t k = 0; k < mln_len(n->shows); k++) {
        add_texts(g->cx, out, "    shows ", mln_item(n->shows, k), " ");
    }
    add_texts(g->cx, out, "    served by ", n->parents, ", ");
    add_texts(g->cx, out, "    gets bundles of ", n->federates, ", ");
    add_callers(g, out, i);
}

static void add_domain(const struct graph *g, struct mln_buf *out, struct mln_bytes domain,
                       const char *title)
{
    bool is_first = true;
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (mln_bytes_eq(g->nodes[i].domain, domain) && !g->nodes[i].is_hidden) {
            mln_buf_add_text(out, is_first ? title : "");
            is_first = false;
            add_node(g, out, i);
        }
    }
}

static const char *url_of(const struct graph *g, struct mln_bytes domain)
{
    for (size_t i = 0; i < mln_len(g->federation); i++) {
        const struct mln_value *f = mln_item(g->federation, i);
        if (mln_bytes_eq(mln_get_bytes(mln_get(f, "trust_domain")), domain)) {
            return graph_plain(g->cx, mln_get_bytes(mln_get(f, "url")));
        }
    }
    return NULL;
}

void graph_text(const struct graph *g, struct mln_buf *out)
{
    struct mln_value *others = mln_set(g->cx);
    add_domain(g, out, g->domain,
               mln_text_format(g->cx, "trust domain %.*s\n", MLN_FMT(g->domain)));
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (!mln_bytes_eq(g->nodes[i].domain, g->domain)) {
            mln_push(g->cx, others, mln_string(g->cx, g->nodes[i].domain));
        }
    }
    for (size_t i = 0; i < mln_len(others); i++) {
        struct mln_bytes domain = mln_get_bytes(mln_item(others, i));
        const char *url = url_of(g, domain);
        const char *title =
            mln_bytes_is(domain, "*") ? "any trust domain that is federated\n"
            : url != NULL
                ? mln_text_format(g->cx, "trust domain %.*s, federated: %s\n", MLN_FMT(domain), url)
                : mln_text_format(
                      g->cx, "trust domain %.*s, not federated: its ids are not verified here\n",
                      MLN_FMT(domain));
        add_domain(g, out, domain, title);
    }
}

/* ---- merlon proxy ---- */

/* A rule's pattern in the proxy's language, where "*" stays in one segment: what begins so, and what is below. */
static bool add_allow(struct mln_cx *cx, struct mln_value *flags, struct mln_bytes pattern)
{
    bool is_prefix = mln_bytes_ends(pattern, MLN_BYTES("*"));
    struct mln_bytes stem = is_prefix ? mln_bytes_sub(pattern, 0, pattern.len - 1) : pattern;
    bool is_folder = mln_bytes_ends(stem, MLN_BYTES("/"));
    struct mln_bytes first =
        is_prefix && is_folder ? mln_bytes_format(cx, "%.*s**", MLN_FMT(stem)) : pattern;
    if (mln_failed(mln_spiffe_pattern_check(cx, first))) {
        mln_cx_clear(cx);
        return false;
    }
    mln_push(cx, flags, mln_string(cx, first));
    if (is_prefix && !is_folder) {
        mln_push(cx, flags, mln_textf(cx, "%.*s*/**", MLN_FMT(stem)));
    }
    return true;
}

static bool has_text(const struct mln_value *list, const char *text)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_is_text(mln_item(list, i), text)) {
            return true;
        }
    }
    return false;
}

/* What the proxy lets in is never more than the rules do. */
static void add_flags(const struct graph *g, struct mln_buf *out, const struct graph_edge *e,
                      struct mln_value *flags)
{
    struct mln_bytes from = mln_bytes_of(g->nodes[e->from].id);
    const char *why = !has_text(graph_held_by(g, e), "proxy")
                          ? "it does not see methods and paths, which the rules for this one name"
                      : mln_bytes_is(g->nodes[e->from].domain, "*")
                          ? "it names trust domains one by one"
                      : !add_allow(g->cx, flags, from) ? "this is no pattern of ids"
                                                       : NULL;
    if (why != NULL) {
        mln_buf_add_format(out, "# not by a proxy, %s: %s\n", why, graph_plain(g->cx, from));
    }
}

void graph_proxy(const struct graph *g, struct mln_buf *out)
{
    for (size_t n = 0; n < g->n_nodes; n++) {
        struct mln_value *flags = mln_set(g->cx);
        if (g->nodes[n].kind != GRAPH_WORKLOAD || g->nodes[n].is_hidden) {
            continue;
        }
        mln_buf_add_format(out, "# %s\n", graph_plain(g->cx, mln_bytes_of(g->nodes[n].id)));
        for (size_t i = 0; i < g->n_edges; i++) {
            if (g->edges[i].to == n) {
                add_flags(g, out, &g->edges[i], flags);
            }
        }
        for (size_t i = 0; i < mln_len(flags); i++) {
            mln_buf_add_format(out, "--allow '%.*s'\n", MLN_FMT(mln_get_bytes(mln_item(flags, i))));
        }
        mln_buf_add_text(out, mln_len(flags) == 0 ? "# nobody may connect\n" : "");
    }
}
