/* SPDX-License-Identifier: Apache-2.0 */
/* The picture for programs: JSON, dot, Mermaid. Trust domains are clusters, and in them servers and nodes. */
#include "cli/graph_priv.h"

/* ---- texts ---- */

const char *graph_plain(struct mln_cx *cx, struct mln_bytes text)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    for (size_t i = 0; i < text.len; i++) {
        mln_buf_add_byte(&out, text.ptr[i] >= ' ' && text.ptr[i] <= '~' ? text.ptr[i] : '?');
    }
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

static void add_list(struct mln_cx *cx, struct mln_buf *out, const struct mln_value *list)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_buf_add_text(out, i > 0 ? "," : "");
        mln_buf_add_text(out, graph_plain(cx, mln_get_bytes(mln_item(list, i))));
    }
}

const char *graph_what(struct mln_cx *cx, const struct mln_value *way)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    add_list(cx, &out, mln_get(way, "methods"));
    mln_buf_add_text(&out, out.len > 0 && mln_len(mln_get(way, "paths")) > 0 ? " " : "");
    add_list(cx, &out, mln_get(way, "paths"));
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

/* All that an edge allows in one line: "GET /a; POST /b", or "anything". */
static const char *whole(struct mln_cx *cx, const struct graph_edge *e)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    for (size_t i = 0; i < mln_len(e->allows); i++) {
        const char *one = graph_what(cx, mln_item(e->allows, i));
        mln_buf_add_text(&out, i > 0 ? "; " : "");
        mln_buf_add_text(&out, one[0] != '\0' ? one : "anything");
    }
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

/* ---- who holds an edge ---- */

static bool is_whole(const struct graph_edge *e)
{
    bool is = !graph_is_denied(e);
    for (size_t i = 0; i < mln_len(e->allows); i++) {
        is = is && mln_len(mln_get(mln_item(e->allows, i), "methods")) == 0 &&
             mln_len(mln_get(mln_item(e->allows, i), "paths")) == 0;
    }
    return is;
}

/* Pods that labels say exactly, wherever an entry has it. */
static bool is_pods(const struct graph *g, const struct graph_node *n)
{
    struct graph_kube k = {.g = g, .sa_label = GRAPH_SA_LABEL, .losses = mln_set(g->cx)};
    bool is = mln_len(n->shows) > 0;
    for (size_t i = 0; i < mln_len(n->shows) && is; i++) {
        struct graph_pods pods = graph_pods_of(&k, mln_item(n->shows, i));
        is = pods.ns != NULL && mln_len(pods.losses) == 0;
    }
    return is;
}

const struct mln_value *graph_held_by(const struct graph *g, const struct graph_edge *e)
{
    struct mln_value *list = mln_array(g->cx);
    bool is_to = is_pods(g, &g->nodes[e->to]);
    mln_push_text(g->cx, list, "ext_authz");
    if (is_to) {
        mln_push_text(g->cx, list, "istio");
    }
    if (is_whole(e) && is_to && is_pods(g, &g->nodes[e->from])) {
        mln_push_text(g->cx, list, "network");
    }
    if (is_whole(e)) {
        mln_push_text(g->cx, list, "proxy");
    }
    return list;
}

/* ---- JSON ---- */

static struct mln_value *node_value(const struct graph *g, const struct graph_node *n)
{
    struct mln_value *v = mln_object(g->cx);
    mln_put_text(g->cx, v, "id", n->id);
    mln_put_text(g->cx, v, "kind", graph_kind_names[n->kind]);
    mln_put_bytes(g->cx, v, "trust_domain", n->domain);
    mln_put(g->cx, v, "parents", n->parents);
    mln_put(g->cx, v, "selectors", n->shows);
    mln_put(g->cx, v, "federates_with", n->federates);
    return v;
}

static struct mln_value *edge_value(const struct graph *g, const struct graph_edge *e)
{
    struct mln_value *v = mln_object(g->cx);
    mln_put_text(g->cx, v, "from", g->nodes[e->from].id);
    mln_put_text(g->cx, v, "to", g->nodes[e->to].id);
    mln_put(g->cx, v, "allows", e->allows);
    mln_put(g->cx, v, "denies", e->denies);
    mln_put(g->cx, v, "held_by", graph_held_by(g, e));
    return v;
}

struct mln_value *graph_value(const struct graph *g)
{
    struct mln_value *v = mln_object(g->cx), *nodes = mln_array(g->cx), *edges = mln_array(g->cx),
                     *federation = mln_array(g->cx);
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (!g->nodes[i].is_hidden) {
            mln_push(g->cx, nodes, node_value(g, &g->nodes[i]));
        }
    }
    for (size_t i = 0; i < g->n_edges; i++) {
        mln_push(g->cx, edges, edge_value(g, &g->edges[i]));
    }
    mln_put_bytes(g->cx, v, "trust_domain", g->domain);
    mln_put(g->cx, v, "federation", g->federation != NULL ? g->federation : federation);
    mln_put(g->cx, v, "nodes", nodes);
    mln_put(g->cx, v, "edges", edges);
    return v;
}

/* ---- clusters, for dot and Mermaid ---- */

struct style {
    void (*open)(struct mln_buf *out, unsigned depth, size_t number, const char *title);
    void (*close)(struct mln_buf *out, unsigned depth);
    void (*node)(struct mln_buf *out, unsigned depth, size_t number, const struct graph_node *n,
                 const char *title);
};

/* The path of an id below its trust domain; a pattern as it stands. */
static const char *short_of(const struct graph *g, const char *id)
{
    struct mln_bytes text = mln_bytes_of(id), rest = mln_bytes_from(text, 9);
    size_t slash = mln_bytes_find(rest, '/');
    return graph_plain(g->cx, mln_bytes_starts(text, MLN_BYTES("spiffe://")) && slash < rest.len
                                  ? mln_bytes_from(rest, slash)
                                  : text);
}

static bool is_host(const struct graph_node *n)
{
    return n->kind == GRAPH_SERVER || n->kind == GRAPH_MACHINE;
}

/* The server or node that alone serves it; NULL: none or several. */
static const struct graph_node *host_of(const struct graph *g, const struct graph_node *n)
{
    for (size_t i = 0; i < g->n_nodes && mln_len(n->parents) == 1; i++) {
        if (is_host(&g->nodes[i]) && mln_is_text(mln_item(n->parents, 0), g->nodes[i].id)) {
            return &g->nodes[i];
        }
    }
    return NULL;
}

static void draw_below(const struct graph *g, const struct style *s, struct mln_bytes domain,
                       const struct graph_node *host, unsigned depth, struct mln_buf *out)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct graph_node *n = &g->nodes[i];
        if (!n->is_hidden && !is_host(n) && mln_bytes_eq(n->domain, domain) &&
            host_of(g, n) == host) {
            s->node(out, depth, i, n, short_of(g, n->id));
        }
    }
}

static const char *domain_title(const struct graph *g, struct mln_bytes domain)
{
    const char *what = mln_bytes_eq(domain, g->domain) ? "" : ", not federated";
    for (size_t i = 0; i < mln_len(g->federation); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_get(mln_item(g->federation, i), "trust_domain")),
                         domain)) {
            what = ", federated";
        }
    }
    return mln_bytes_is(domain, "*")
               ? "any trust domain"
               : mln_text_format(g->cx, "trust domain %.*s%s", MLN_FMT(domain), what);
}

/* All trust domains: ours first. */
static const struct mln_value *domains_of(const struct graph *g)
{
    struct mln_value *others = mln_set(g->cx), *all = mln_array(g->cx);
    for (size_t i = 0; i < g->n_nodes; i++) {
        if (!g->nodes[i].is_hidden && !mln_bytes_eq(g->nodes[i].domain, g->domain)) {
            mln_push(g->cx, others, mln_string(g->cx, g->nodes[i].domain));
        }
    }
    for (size_t i = 0; i < mln_len(g->federation); i++) {
        mln_push(g->cx, others, mln_get(mln_item(g->federation, i), "trust_domain"));
    }
    mln_push(g->cx, all, mln_string(g->cx, g->domain));
    for (size_t i = 0; i < mln_len(others); i++) {
        mln_push(g->cx, all, mln_item(others, i));
    }
    return all;
}

static void draw_domain(const struct graph *g, const struct style *s, size_t number,
                        struct mln_bytes domain, struct mln_buf *out)
{
    s->open(out, 1, number, domain_title(g, domain));
    for (size_t i = 0; i < g->n_nodes; i++) {
        const struct graph_node *n = &g->nodes[i];
        if (!n->is_hidden && is_host(n) && mln_bytes_eq(n->domain, domain)) {
            s->open(out, 2, g->n_nodes + i,
                    mln_text_format(g->cx, "%s %s", graph_kind_names[n->kind], short_of(g, n->id)));
            s->node(out, 3, i, n, graph_kind_names[n->kind]);
            draw_below(g, s, domain, n, 3, out);
            s->close(out, 2);
        }
    }
    draw_below(g, s, domain, NULL, 2, out);
    s->close(out, 1);
}

static void indent(struct mln_buf *out, unsigned depth)
{
    mln_buf_add_format(out, "%*s", (int)(2 * depth), "");
}

/* ---- dot ---- */

static void dot_text(struct mln_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        mln_buf_add_text(out, *text == '"' || *text == '\\' ? "\\" : "");
        mln_buf_add_byte(out, (uint8_t)*text);
    }
}

static void dot_open(struct mln_buf *out, unsigned depth, size_t number, const char *title)
{
    indent(out, depth);
    mln_buf_add_format(out, "subgraph cluster_%zu {\n", number);
    indent(out, depth + 1);
    mln_buf_add_text(out, "label=\"");
    dot_text(out, title);
    mln_buf_add_text(out, depth == 1 ? "\"; style=dashed;\n" : "\"; style=solid;\n");
}

static void dot_close(struct mln_buf *out, unsigned depth)
{
    indent(out, depth);
    mln_buf_add_text(out, "}\n");
}

static void dot_node(struct mln_buf *out, unsigned depth, size_t number, const struct graph_node *n,
                     const char *title)
{
    static const char *const shapes[GRAPH_KINDS] = {"component", "component", "box",
                                                    "box3d",     "box",       "ellipse"};
    indent(out, depth);
    mln_buf_add_format(out, "n%zu [shape=%s%s label=\"", number, shapes[n->kind],
                       n->kind == GRAPH_UNKNOWN ? " style=dotted" : "");
    dot_text(out, title);
    mln_buf_add_text(out, "\"];\n");
}

static const struct style dot = {dot_open, dot_close, dot_node};

void graph_dot(const struct graph *g, struct mln_buf *out)
{
    const struct mln_value *domains = domains_of(g);
    mln_buf_add_text(out, "digraph merlon {\n  rankdir=LR;\n");
    for (size_t i = 0; i < mln_len(domains); i++) {
        draw_domain(g, &dot, i, mln_get_bytes(mln_item(domains, i)), out);
    }
    for (size_t i = 0; i < g->n_edges; i++) {
        const struct graph_edge *e = &g->edges[i];
        mln_buf_add_format(out, "  n%zu -> n%zu [%slabel=\"", e->from, e->to,
                           graph_is_denied(e) ? "style=dashed " : "");
        dot_text(out, whole(g->cx, e));
        mln_buf_add_text(out, "\"];\n");
    }
    mln_buf_add_text(out, "}\n");
}

/* ---- Mermaid ---- */

static bool is_safe(uint8_t c)
{
    const struct mln_bytes marks = MLN_BYTES(" /._-:,*");
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
           mln_bytes_find(marks, c) < marks.len;
}

/* Its texts have a language of their own: what is not plain goes by number. */
static void mermaid_text(struct mln_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        if (is_safe(c)) {
            mln_buf_add_byte(out, c);
        } else {
            mln_buf_add_format(out, "#%u;", (unsigned)c);
        }
    }
}

static void mermaid_open(struct mln_buf *out, unsigned depth, size_t number, const char *title)
{
    indent(out, depth);
    mln_buf_add_format(out, "subgraph d%zu[\"", number);
    mermaid_text(out, title);
    mln_buf_add_text(out, "\"]\n");
}

static void mermaid_close(struct mln_buf *out, unsigned depth)
{
    indent(out, depth);
    mln_buf_add_text(out, "end\n");
}

static void mermaid_node(struct mln_buf *out, unsigned depth, size_t number,
                         const struct graph_node *n, const char *title)
{
    static const char *const ends[GRAPH_KINDS][2] = {{"[[", "]]"}, {"[[", "]]"}, {"[", "]"},
                                                     {"[/", "/]"}, {"{{", "}}"}, {"([", "])"}};
    indent(out, depth);
    mln_buf_add_format(out, "n%zu%s\"", number, ends[n->kind][0]);
    mermaid_text(out, title);
    mln_buf_add_format(out, "\"%s\n", ends[n->kind][1]);
}

static const struct style mermaid = {mermaid_open, mermaid_close, mermaid_node};

void graph_mermaid(const struct graph *g, struct mln_buf *out)
{
    const struct mln_value *domains = domains_of(g);
    mln_buf_add_text(out, "flowchart LR\n");
    for (size_t i = 0; i < mln_len(domains); i++) {
        draw_domain(g, &mermaid, i, mln_get_bytes(mln_item(domains, i)), out);
    }
    for (size_t i = 0; i < g->n_edges; i++) {
        const struct graph_edge *e = &g->edges[i];
        mln_buf_add_format(out, "  n%zu %s|\"", e->from, graph_is_denied(e) ? "-.->" : "-->");
        mermaid_text(out, whole(g->cx, e));
        mln_buf_add_format(out, "\"| n%zu\n", e->to);
    }
    for (size_t i = 1; i < mln_len(domains); i++) {
        if (mln_bytes_ends(mln_bytes_of(domain_title(g, mln_get_bytes(mln_item(domains, i)))),
                           MLN_BYTES(", federated"))) {
            mln_buf_add_format(out, "  d0 -. its bundle is held .- d%zu\n", i);
        }
    }
}
