/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes and edges from entries, templates and rules. See graph_priv.h. */
#include "cli/graph_priv.h"

#include <stdlib.h>

#include "base/spiffe_id.h"
#include "identity/spiffe_rule.h"

const char *const graph_kind_names[GRAPH_KINDS] = {"server",   "node",         "workload",
                                                   "template", "unregistered", "outside"};

/* ---- nodes ---- */

static int by_id(const void *a, const void *b)
{
    return mln_bytes_cmp(mln_bytes_of(((const struct graph_node *)a)->id),
                         mln_bytes_of(((const struct graph_node *)b)->id));
}

/* "*" when the pattern ends within the trust domain, or is no id at all: then it may be anybody's. */
static struct mln_bytes domain_of(struct mln_bytes id)
{
    struct mln_bytes rest =
        mln_bytes_starts(id, MLN_BYTES("spiffe://")) ? mln_bytes_from(id, 9) : MLN_BYTES_NONE;
    struct mln_bytes domain = mln_bytes_sub(rest, 0, mln_bytes_find(rest, '/'));
    return mln_spiffe_domain_ok(domain) ? domain : MLN_BYTES("*");
}

static struct graph_node *add_node(struct graph *g, struct mln_bytes id, enum graph_kind kind)
{
    if (g->n_nodes == g->cap_nodes) {
        size_t cap = g->cap_nodes == 0 ? 64 : 2 * g->cap_nodes;
        struct graph_node *more = mln_new_array(g->cx, cap, sizeof(*more));
        if (more == NULL) {
            return NULL;
        }
        mln_copy(more, g->nodes, g->n_nodes * sizeof(*more));
        g->nodes = more;
        g->cap_nodes = cap;
    }
    struct graph_node *n = &g->nodes[g->n_nodes++];
    *n = (struct graph_node){.id = mln_text_dup(g->cx, id),
                             .kind = kind,
                             .shows = mln_set(g->cx),
                             .parents = mln_set(g->cx),
                             .federates = mln_set(g->cx)};
    n->domain = domain_of(mln_bytes_of(n->id));
    return n;
}

static void join(struct mln_cx *cx, struct mln_value *to, const struct mln_value *from)
{
    for (size_t i = 0; i < mln_len(from); i++) {
        mln_push(cx, to, mln_item(from, i));
    }
}

/* Sorted, each id once: several entries of one id are one node. The lowest kind counts: it says the most. */
static void merge(struct graph *g)
{
    size_t n = 0;
    if (g->n_nodes > 1) {
        qsort(g->nodes, g->n_nodes, sizeof(*g->nodes), by_id);
    }
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct graph_node *last = n > 0 ? &g->nodes[n - 1] : NULL, *one = &g->nodes[i];
        if (last == NULL || by_id(last, one) != 0) {
            g->nodes[n++] = *one;
            continue;
        }
        last->kind = one->kind < last->kind ? one->kind : last->kind;
        join(g->cx, last->shows, one->shows);
        join(g->cx, last->parents, one->parents);
        join(g->cx, last->federates, one->federates);
    }
    g->n_nodes = n;
}

static bool is_reserved(struct mln_bytes id)
{
    size_t at = mln_bytes_find_bytes(id, MLN_BYTES("/merlon/"));
    return at < id.len && at == 9 + domain_of(id).len;
}

static enum graph_kind kind_of(struct mln_bytes id)
{
    return !is_reserved(id)                                  ? GRAPH_WORKLOAD
           : mln_bytes_ends(id, MLN_BYTES("/merlon/server")) ? GRAPH_SERVER
                                                             : GRAPH_MACHINE;
}

static const struct mln_value *sorted(struct mln_cx *cx, const struct mln_value *list)
{
    struct mln_value *set = mln_set(cx);
    join(cx, set, list);
    return set;
}

/* "other.example" and "spiffe://other.example" are the same. */
static void add_domains(struct mln_cx *cx, struct mln_value *to, const struct mln_value *from)
{
    for (size_t i = 0; i < mln_len(from); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(from, i));
        bool is_id = mln_bytes_starts(one, MLN_BYTES("spiffe://"));
        mln_push(cx, to, mln_string(cx, is_id ? mln_bytes_from(one, 9) : one));
    }
}

static struct mln_err add_entry(struct graph *g, const struct mln_value *e)
{
    struct mln_cx *cx = g->cx;
    struct mln_spiffe_id id;
    MLN_TRY(mln_spiffe_id_parse(cx, mln_get_bytes(mln_get(e, "spiffe_id")), &id));
    struct mln_bytes parent = mln_get_bytes(mln_get(e, "parent_id"));
    parent = parent.len > 0
                 ? parent
                 : mln_bytes_format(cx, "spiffe://%.*s/merlon/server", MLN_FMT(g->domain));
    struct graph_node *n = add_node(g, id.text, kind_of(id.text));
    if (n == NULL) {
        return mln_cx_err(cx);
    }
    mln_push(cx, n->shows, sorted(cx, mln_get(e, "selectors")));
    mln_push(cx, n->parents, mln_string(cx, parent));
    add_domains(cx, n->federates, mln_get(e, "federates_with"));
    return add_node(g, parent, kind_of(parent)) == NULL ? mln_cx_err(cx) : MLN_OK;
}

/* ---- what rules speak of ---- */

/* Where ids that begin so would stand: first id not below. */
static size_t lower(const struct graph *g, struct mln_bytes text)
{
    size_t low = 0, high = g->n_nodes;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (mln_bytes_cmp(mln_bytes_of(g->nodes[mid].id), text) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static struct mln_bytes stem_of(struct mln_bytes pattern)
{
    return mln_bytes_ends(pattern, MLN_BYTES("*")) ? mln_bytes_sub(pattern, 0, pattern.len - 1)
                                                   : pattern;
}

/* A pattern means nobody's machines: servers and nodes only when a rule names them. */
static bool means(const struct graph_node *n, struct mln_bytes pattern)
{
    struct mln_bytes id = mln_bytes_of(n->id);
    return mln_bytes_eq(id, pattern) || (n->kind >= GRAPH_WORKLOAD && mln_rule_covers(pattern, id));
}

static bool is_in(const struct graph *g, struct mln_bytes pattern)
{
    struct mln_bytes stem = stem_of(pattern);
    for (size_t i = lower(g, stem);
         i < g->n_nodes && mln_bytes_starts(mln_bytes_of(g->nodes[i].id), stem); i++) {
        if (means(&g->nodes[i], pattern)) {
            return true;
        }
    }
    return false;
}

/* A node for what this template makes of the pattern; with the machines that may serve it. False: nothing. */
static bool add_made(struct graph *g, const struct mln_value *tmpl, struct mln_bytes pattern)
{
    struct mln_value *shows = NULL;
    const struct mln_value *parents = mln_get(tmpl, "parent_ids"),
                           *federates = mln_get(tmpl, "federates_with");
    bool is_pattern = mln_bytes_ends(pattern, MLN_BYTES("*"));
    if (!graph_template_meets(g, tmpl, pattern, &shows)) {
        return false;
    }
    struct graph_node *n = add_node(g, pattern, is_pattern ? GRAPH_TEMPLATE : GRAPH_WORKLOAD);
    if (n == NULL) {
        return true;
    }
    join(g->cx, n->shows, shows);
    join(g->cx, n->parents, parents);
    add_domains(g->cx, n->federates, federates);
    for (size_t i = 0; i < mln_len(parents); i++) {
        struct mln_bytes parent = mln_get_bytes(mln_item(parents, i));
        (void)add_node(g, parent, kind_of(parent));
    }
    return true;
}

/* A node of its own for what no entry is: other trust domains, what a template makes, what is not there. */
static void add_meant(struct graph *g, struct mln_bytes pattern, size_t n_entries)
{
    struct mln_bytes domain = domain_of(pattern);
    bool is_own = mln_bytes_eq(domain, g->domain),
         is_pattern = mln_bytes_ends(pattern, MLN_BYTES("*")), is_made = false;
    size_t n_all = g->n_nodes;
    g->n_nodes = n_entries; /* only these are sorted */
    bool is_there = is_in(g, pattern);
    g->n_nodes = n_all;
    for (size_t i = 0; i < mln_len(g->templates) && is_own && (is_pattern || !is_there); i++) {
        is_made = add_made(g, mln_item(g->templates, i), pattern) || is_made;
    }
    if (!is_own) {
        (void)add_node(g, pattern, GRAPH_OUTSIDE);
    } else if (!is_there && !is_made) {
        (void)add_node(g, pattern, GRAPH_UNKNOWN);
    }
}

static void add_all_meant(struct graph *g)
{
    size_t n_entries = g->n_nodes;
    for (size_t r = 0; r < g->n_rules; r++) {
        static const char *const lists[] = {"principals", "destinations"};
        for (size_t k = 0;
             k < MLN_COUNT(lists) && mln_is_text(mln_get(g->rules[r], "effect"), "allow"); k++) {
            const struct mln_value *list = mln_get(g->rules[r], lists[k]);
            for (size_t i = 0; i < mln_len(list); i++) {
                add_meant(g, mln_get_bytes(mln_item(list, i)), n_entries);
            }
        }
    }
    merge(g);
}

/* ---- edges ---- */

struct pair {
    size_t from, to, rule;
};
struct pairs {
    struct pair *all;
    size_t n;
};

static int by_pair(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->to != y->to) {
        return x->to < y->to ? -1 : 1;
    }
    if (x->from != y->from) {
        return x->from < y->from ? -1 : 1;
    }
    return x->rule < y->rule ? -1 : x->rule > y->rule;
}

/* The nodes that a list of patterns means, each once, in order; an absent list means all that have an identity here. */
static const size_t *meant(const struct graph *g, const struct mln_value *patterns, size_t *ret_n)
{
    size_t *all = mln_new_array(g->cx, g->n_nodes + 1, sizeof(*all));
    *ret_n = 0;
    for (size_t i = 0; all != NULL && i < g->n_nodes; i++) {
        bool is_meant = mln_len(patterns) == 0 &&
                        (g->nodes[i].kind == GRAPH_WORKLOAD || g->nodes[i].kind == GRAPH_TEMPLATE);
        for (size_t k = 0; k < mln_len(patterns) && !is_meant; k++) {
            is_meant = means(&g->nodes[i], mln_get_bytes(mln_item(patterns, k)));
        }
        if (is_meant) {
            all[(*ret_n)++] = i;
        }
    }
    return all;
}

static struct mln_err pair_up(struct graph *g, size_t rule, struct pairs *pairs)
{
    size_t n_from = 0, n_to = 0;
    const struct mln_value *r = g->rules[rule];
    if (!mln_is_text(mln_get(r, "effect"), "allow")) {
        return MLN_OK;
    }
    const size_t *from = meant(g, mln_get(r, "principals"), &n_from),
                 *to = meant(g, mln_get(r, "destinations"), &n_to);
    MLN_TRY(mln_cx_err(g->cx));
    for (size_t i = 0; i < n_to; i++) {
        for (size_t k = 0; k < n_from; k++) {
            if (pairs->n == GRAPH_EDGES_MAX) {
                return mln_fail(g->cx, MLN_E_LIMIT,
                                "more than %u pairs may talk: write rules for fewer, or draw fewer "
                                "entries with --parent-id",
                                GRAPH_EDGES_MAX);
            }
            pairs->all[pairs->n++] = (struct pair){.from = from[k], .to = to[i], .rule = rule};
        }
    }
    return MLN_OK;
}

static const struct mln_value *way_of(struct mln_cx *cx, const struct mln_value *rule)
{
    struct mln_value *way = mln_object(cx);
    mln_put(cx, way, "rule", mln_get(rule, "name"));
    mln_put(cx, way, "methods",
            mln_len(mln_get(rule, "methods")) > 0 ? mln_get(rule, "methods") : mln_array(cx));
    mln_put(cx, way, "paths",
            mln_len(mln_get(rule, "paths")) > 0 ? mln_get(rule, "paths") : mln_array(cx));
    return way;
}

enum reach { NONE, SOME, ALL };

/* How much of a node do these patterns mean? A node may be a pattern itself. */
static enum reach reach_of(const struct mln_value *patterns, const char *id)
{
    enum reach reach = mln_len(patterns) == 0 ? ALL : NONE;
    for (size_t i = 0; i < mln_len(patterns) && reach != ALL; i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(patterns, i)), text = mln_bytes_of(id);
        reach = mln_rule_covers(one, text) ? ALL : mln_rule_meets(one, text) ? SOME : reach;
    }
    return reach;
}

static bool is_for_all(const struct mln_value *patterns)
{
    bool is = mln_len(patterns) == 0;
    for (size_t i = 0; i < mln_len(patterns) && !is; i++) {
        is = mln_is_text(mln_item(patterns, i), "*");
    }
    return is;
}

/* Is there a method or path that both lists are for? */
static bool lists_meet(const struct mln_value *a, const struct mln_value *b)
{
    bool meet = mln_len(a) == 0 || mln_len(b) == 0;
    for (size_t i = 0; i < mln_len(a) && !meet; i++) {
        for (size_t k = 0; k < mln_len(b) && !meet; k++) {
            meet = mln_rule_meets(mln_get_bytes(mln_item(a, i)), mln_get_bytes(mln_item(b, k)));
        }
    }
    return meet;
}

/* Does it refuse anything that is allowed? */
static bool takes_away(const struct graph_edge *e, const struct mln_value *rule)
{
    bool takes = false;
    for (size_t i = 0; i < mln_len(e->allows) && !takes; i++) {
        const struct mln_value *way = mln_item(e->allows, i);
        takes = lists_meet(mln_get(rule, "methods"), mln_get(way, "methods")) &&
                lists_meet(mln_get(rule, "paths"), mln_get(way, "paths"));
    }
    return takes;
}

/* False: a rule refuses all of it. */
static bool deny(const struct graph *g, struct graph_edge *e)
{
    for (size_t i = 0; i < g->n_rules; i++) {
        const struct mln_value *r = g->rules[i];
        enum reach from = reach_of(mln_get(r, "principals"), g->nodes[e->from].id),
                   to = reach_of(mln_get(r, "destinations"), g->nodes[e->to].id);
        if (!mln_is_text(mln_get(r, "effect"), "deny") || from == NONE || to == NONE ||
            !takes_away(e, r)) {
            continue;
        }
        if (from == ALL && to == ALL && is_for_all(mln_get(r, "methods")) &&
            is_for_all(mln_get(r, "paths"))) {
            return false;
        }
        struct mln_value *way = mln_value_dup(g->cx, way_of(g->cx, r));
        if (from != ALL) {
            mln_put(g->cx, way, "principals", mln_get(r, "principals"));
        }
        mln_push(g->cx, e->denies, way);
    }
    return true;
}

bool graph_is_denied(const struct graph_edge *e)
{
    return mln_len(e->denies) > 0;
}

static struct mln_err add_edges(struct graph *g)
{
    struct pairs pairs = {.all = mln_new_array(g->cx, GRAPH_EDGES_MAX, sizeof(struct pair))};
    MLN_TRY(mln_cx_err(g->cx));
    for (size_t i = 0; i < g->n_rules; i++) {
        MLN_TRY(pair_up(g, i, &pairs));
    }
    qsort(pairs.all, pairs.n, sizeof(struct pair), by_pair);
    g->edges = mln_new_array(g->cx, pairs.n + 1, sizeof(*g->edges));
    MLN_TRY(mln_cx_err(g->cx));
    for (size_t i = 0; i < pairs.n;) {
        struct graph_edge e = {.from = pairs.all[i].from,
                               .to = pairs.all[i].to,
                               .allows = mln_array(g->cx),
                               .denies = mln_array(g->cx)};
        for (; i < pairs.n && pairs.all[i].from == e.from && pairs.all[i].to == e.to; i++) {
            mln_push(g->cx, e.allows, way_of(g->cx, g->rules[pairs.all[i].rule]));
        }
        if (deny(g, &e)) {
            g->edges[g->n_edges++] = e;
        }
    }
    return mln_cx_err(g->cx);
}

/* ---- the whole ---- */

static int by_name(const void *a, const void *b)
{
    return mln_bytes_cmp(mln_get_bytes(mln_get(*(const struct mln_value *const *)a, "name")),
                         mln_get_bytes(mln_get(*(const struct mln_value *const *)b, "name")));
}

static struct mln_err take_rules(struct graph *g, const struct mln_value *rules)
{
    g->n_rules = mln_len(rules);
    g->rules = mln_new_array(g->cx, g->n_rules + 1, sizeof(*g->rules));
    MLN_TRY(mln_cx_err(g->cx));
    for (size_t i = 0; i < g->n_rules; i++) {
        g->rules[i] = mln_item(rules, i);
        const struct mln_value *effect = mln_get(g->rules[i], "effect");
        if (mln_len(mln_get(g->rules[i], "name")) == 0 ||
            (!mln_is_text(effect, "allow") && !mln_is_text(effect, "deny"))) {
            return mln_fail(g->cx, MLN_E_INVALID,
                            "rule %zu needs a name, and effect: allow or deny", i + 1);
        }
    }
    qsort(g->rules, g->n_rules, sizeof(*g->rules), by_name);
    return MLN_OK;
}

static struct mln_err find_domain(struct graph *g, const struct mln_value *from)
{
    struct mln_spiffe_id id;
    g->domain = mln_get_bytes(mln_get(from, "trust_domain"));
    if (g->domain.len == 0 &&
        mln_len(mln_get(from, "entries")) > 0) { /* a file need not say it twice */
        MLN_TRY(mln_spiffe_id_parse(
            g->cx, mln_get_bytes(mln_get(mln_item(mln_get(from, "entries"), 0), "spiffe_id")),
            &id));
        g->domain = id.domain;
    }
    return mln_spiffe_domain_ok(g->domain)
               ? MLN_OK
               : mln_fail(g->cx, MLN_E_INVALID,
                          "trust_domain must be given: the name of this trust domain");
}

struct mln_err graph_build(struct mln_cx *cx, const struct mln_value *from, struct graph *ret)
{
    struct graph g = {.cx = cx,
                      .templates = mln_get(from, "templates"),
                      .federation = mln_get(from, "federation")};
    const struct mln_value *entries = mln_get(from, "entries");
    MLN_TRY(find_domain(&g, from));
    if (mln_len(entries) > GRAPH_NODES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "more than %u entries: draw fewer with --parent-id",
                        GRAPH_NODES_MAX);
    }
    MLN_TRY(take_rules(&g, mln_get(from, "rules")));
    for (size_t i = 0; i < mln_len(entries); i++) {
        MLN_TRY(add_entry(&g, mln_item(entries, i)));
    }
    merge(&g);
    add_all_meant(&g);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(add_edges(&g));
    *ret = g;
    return MLN_OK;
}

void graph_only(struct graph *g, struct mln_bytes pattern)
{
    size_t n = 0;
    bool *is_kept = mln_new_array(g->cx, g->n_nodes + 1, sizeof(bool));
    if (is_kept == NULL) {
        return;
    }
    for (size_t i = 0; i < g->n_edges; i++) {
        const struct graph_edge *e = &g->edges[i];
        if (mln_spiffe_pattern_fits(pattern, mln_bytes_of(g->nodes[e->from].id)) ||
            mln_spiffe_pattern_fits(pattern, mln_bytes_of(g->nodes[e->to].id))) {
            is_kept[e->from] = is_kept[e->to] = true;
            g->edges[n++] = *e;
        }
    }
    g->n_edges = n;
    for (size_t i = 0; i < g->n_nodes; i++) {
        g->nodes[i].is_hidden =
            !is_kept[i] && !mln_spiffe_pattern_fits(pattern, mln_bytes_of(g->nodes[i].id));
    }
}
