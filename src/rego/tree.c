/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of packages and rules, and the search for rules that need themselves. */
#include "rego/compile_priv.h"

#define SCAN_MOST 8

struct rg_node *rg_node_kid(const struct rg_node *node, struct rg_val name)
{
    if (name.tag != RG_STR) {
        return NULL;
    }
    if (node->names.tag == RG_OBJECT) {
        struct rg_val i = rg_get(node->names, name);
        return i.tag == RG_INT ? node->kids[i.integer] : NULL;
    }
    for (uint32_t i = 0; i < node->n; i++) {
        const struct rg_str *s = node->kids[i]->name;
        if (s == name.str || (s->hash == name.hash && s->len == name.str->len &&
                              mln_same(s->text, name.str->text, s->len))) {
            return node->kids[i];
        }
    }
    return NULL;
}

static struct rg_val text_of(const struct rg_str *s)
{
    return (struct rg_val){.tag = RG_STR, .hash = s->hash, .str = s};
}

static struct rg_node *node_new(struct rg_policy *policy, struct rg_node *parent,
                                const struct rg_str *name)
{
    struct rg_node *kid = rg_new(policy->heap, sizeof(*kid));
    *kid = (struct rg_node){.name = name, .parent = parent};
    kid->path = rg_array(policy->heap, 4);
    for (uint32_t i = 0; parent != NULL && i < parent->path.arr->len; i++) {
        rg_push(policy->heap, kid->path, parent->path.arr->items[i]);
    }
    if (parent != NULL) {
        rg_push(policy->heap, kid->path, text_of(name));
    }
    return kid;
}

struct rg_node *rg_node_make(struct rg_policy *policy, struct rg_node *node,
                             const struct rg_str *name)
{
    struct rg_node *kid = rg_node_kid(node, text_of(name));
    if (kid != NULL) {
        return kid;
    }
    kid = node_new(policy, node, name);
    RG_GROW(policy->heap, node->kids, node->n, node->cap);
    node->kids[node->n++] = kid;
    if (node->n > SCAN_MOST) {
        if (node->names.tag == RG_UNDEF) {
            node->names = rg_object(policy->heap, 16);
            for (uint32_t i = 0; i < node->n; i++) {
                rg_put(policy->heap, node->names, text_of(node->kids[i]->name), rg_int(i));
            }
        }
        rg_put(policy->heap, node->names, text_of(name), rg_int(node->n - 1));
    }
    return kid;
}

struct rg_node *rg_node_package(struct rg_policy *policy, const struct rg_term *package, bool make)
{
    if (policy->root == NULL) {
        policy->root = node_new(policy, NULL, rg_name_of(&policy->names, "data"));
    }
    struct rg_node *node = policy->root;
    for (uint32_t i = 1; package != NULL && node != NULL && i < package->n; i++) {
        struct rg_val name = package->items[i]->value;
        node = make ? rg_node_make(policy, node, rg_name(&policy->names, rg_bytes(name)))
                    : rg_node_kid(node, name);
    }
    return node;
}

static const char *path_text(struct rg_heap *heap, const struct rg_node *node)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_buf_add_text(&buf, "data");
    for (uint32_t i = 0; i < node->path.arr->len; i++) {
        mln_buf_add_byte(&buf, '.');
        mln_buf_add_bytes(&buf, rg_bytes(node->path.arr->items[i]));
    }
    return rg_text_dup(heap, mln_buf_bytes(&buf));
}

static enum rg_group_kind kind_of(const struct rg_rule *rule, uint32_t static_n)
{
    if (rule->is_function) {
        return RG_G_FUNCTION;
    }
    if (rule->head == RG_HEAD_SET && static_n == rule->ref->n) {
        return RG_G_SET;
    }
    return static_n < rule->ref->n ? RG_G_OBJECT : RG_G_COMPLETE;
}

static struct rg_group *group_make(struct rg_compiler *c, struct rg_node *node,
                                   enum rg_group_kind kind)
{
    struct rg_policy *policy = c->policy;
    if (node->group != NULL) {
        return node->group;
    }
    struct rg_group *g = rg_new(policy->heap, sizeof(*g));
    *g = (struct rg_group){.id = policy->groups_n,
                           .kind = (uint8_t)kind,
                           .node = node,
                           .name = path_text(policy->heap, node)};
    node->group = g;
    RG_GROW(policy->heap, policy->groups, policy->groups_n, policy->groups_cap);
    policy->groups[policy->groups_n++] = g;
    return g;
}

static void add_default(struct rg_compiler *c, struct rg_group *g, struct rg_rule *rule)
{
    if (g->fallback != NULL) {
        rg_report(c->errors, "rego_type_error", rule->module->loc,
                  "multiple default rules %s found at %s:%u, %s:%u", g->name,
                  g->fallback->loc.file, (unsigned)g->fallback->loc.row, rule->loc.file,
                  (unsigned)rule->loc.row);
    }
    g->fallback = rule;
}

static void report_conflict(struct rg_compiler *c, struct rg_group *g, const struct rg_rule *rule)
{
    const struct rg_rule *first = g->n > 0 ? g->rules[0] : g->fallback;
    if (!g->is_conflict) {
        rg_report(c->errors, "rego_type_error", first != NULL ? first->loc : rule->loc,
                  "conflicting rules %s found", g->name);
    }
    g->is_conflict = true;
}

static void add_rule(struct rg_compiler *c, struct rg_node *package, struct rg_rule *rule)
{
    struct rg_node *node = rg_node_make(c->policy, package, rule->ref->items[0]->name);
    node->is_rule = true;
    uint32_t i = 1;
    for (; i < rule->ref->n; i++) {
        struct rg_term *key = rule->ref->items[i];
        if (key->kind != RG_T_VALUE || key->value.tag != RG_STR) {
            break;
        }
        node = rg_node_make(c->policy, node, rg_name(&c->policy->names, rg_bytes(key->value)));
    }
    enum rg_group_kind kind = kind_of(rule, i);
    struct rg_group *g = group_make(c, node, kind);
    if (g->kind != kind && !(g->n == 0 && g->fallback != NULL)) {
        report_conflict(c, g, rule);
        return;
    }
    g->kind = (uint8_t)kind;
    rule->path = g->name;
    if (kind == RG_G_FUNCTION) {
        if ((g->n > 0 || g->fallback != NULL) && g->arity != rule->args_n) {
            report_conflict(c, g, rule);
        }
        g->arity = rule->args_n;
    }
    if (rule->is_default) {
        add_default(c, g, rule);
        return;
    }
    RG_GROW(c->policy->heap, g->rules, g->n, g->cap);
    g->rules[g->n++] = rule;
}

void rg_tree_build(struct rg_compiler *c)
{
    for (uint32_t m = 0; m < c->policy->modules_n; m++) {
        struct rg_module *module = c->policy->modules[m];
        struct rg_node *package = rg_node_package(c->policy, module->package, true);
        for (uint32_t i = 0; i < module->rules_n; i++) {
            add_rule(c, package, module->rules[i]);
        }
    }
}

/* ---- cycles: marks 1 on the way, 2 done ---- */
struct way {
    const struct way *before;
    struct rg_group *group;
};

static bool visit(struct rg_compiler *c, struct rg_group *g, const struct way *before,
                  unsigned depth);

/* One error a rule on the way: each names the way from itself and back. */
static void report_cycle(struct rg_compiler *c, const struct rg_group *g, const struct way *way)
{
    const struct rg_group *round[MLN_REGO_CALLS_MAX + 2];
    uint32_t n = 0;
    for (; way != NULL && n <= MLN_REGO_CALLS_MAX; way = way->before) {
        round[n++] = way->group;
        if (way->group == g) {
            break;
        }
    }
    for (uint32_t i = n; i-- > 0;) { /* the way stands in reverse */
        MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
        for (uint32_t k = 0; k <= n; k++) {
            mln_buf_add_format(&text, "%s%s", k == 0 ? "" : " -> ", round[(i + n - k) % n]->name);
        }
        struct rg_rule *rule = round[i]->n > 0 ? round[i]->rules[0] : round[i]->fallback;
        rg_report(c->errors, "rego_recursion_error", rule->loc, "rule %s is recursive: %s",
                  round[i]->name, rg_text_dup(c->heap, mln_buf_bytes(&text)));
    }
}

static bool visit_tree(struct rg_compiler *c, struct rg_node *node, const struct way *way,
                       unsigned depth)
{
    bool ok = node->group == NULL || visit(c, node->group, way, depth);
    for (uint32_t i = 0; ok && i < node->n; i++) {
        ok = visit_tree(c, node->kids[i], way, depth);
    }
    return ok;
}

static bool visit(struct rg_compiler *c, struct rg_group *g, const struct way *before,
                  unsigned depth)
{
    if (g->mark == 2) {
        return true;
    }
    if (g->mark == 1) {
        report_cycle(c, g, before);
        return false;
    }
    if (depth > MLN_REGO_CALLS_MAX) {
        rg_report(c->errors, "rego_compile_error", g->rules[0]->loc,
                  "rules depend on each other more than %d deep", MLN_REGO_CALLS_MAX);
        return false;
    }
    g->mark = 1;
    struct way here = {.before = before, .group = g};
    bool ok = true;
    for (uint32_t i = 0; ok && i < g->needs_n; i++) {
        ok = visit(c, g->needs[i], &here, depth + 1);
    }
    for (uint32_t i = 0; ok && i < g->trees_n; i++) {
        ok = visit_tree(c, g->trees[i], &here, depth + 1);
    }
    g->mark = 2;
    return ok;
}

void rg_tree_cycles(struct rg_compiler *c)
{
    for (uint32_t i = 0; i < c->policy->groups_n; i++) {
        (void)visit(c, c->policy->groups[i], NULL, 0);
    }
}
