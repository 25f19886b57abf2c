/* SPDX-License-Identifier: Apache-2.0 */
/*
 * METADATA: comments in YAML before a rule or package. rego.metadata.rule() and chain() are known when code is made, so they
 * become constants.
 */
#include "rego/compile_priv.h"

#include "base/yaml.h"

#define YAML_MEMORY                                                                                \
    ((size_t)16 << 20) /* a module is at most that large, and its comments are few */

static struct rg_val author(struct rg_heap *heap, struct rg_val v)
{
    if (v.tag != RG_STR) {
        return v;
    }
    struct mln_bytes text = rg_bytes(v), name = mln_bytes_trim(mln_bytes_cut(text, '<', &text));
    struct rg_val out = rg_object(heap, 2);
    if (name.len > 0) {
        rg_put_text(heap, out, "name", rg_string(heap, name));
    }
    if (text.len > 1 && text.ptr[text.len - 1] == '>') {
        rg_put_text(heap, out, "email", rg_string(heap, mln_bytes_sub(text, 0, text.len - 1)));
    }
    return out;
}

static struct rg_val resource(struct rg_heap *heap, struct rg_val v)
{
    if (v.tag != RG_STR) {
        return v;
    }
    struct rg_val out = rg_object(heap, 1);
    rg_put_text(heap, out, "ref", v);
    return out;
}

/* Short forms written out. */
static void widen(struct rg_heap *heap, struct rg_val notes, const char *key,
                  struct rg_val (*one)(struct rg_heap *, struct rg_val))
{
    struct rg_val list = rg_get_text(notes, key);
    for (uint32_t i = 0; list.tag == RG_ARRAY && i < list.arr->len; i++) {
        list.arr->items[i] = one(heap, list.arr->items[i]);
    }
}

static struct rg_val read_yaml(struct rg_heap *heap, struct mln_bytes yaml)
{
    struct mln_arena *arena = mln_arena_new(YAML_MEMORY, false);
    struct mln_cx cx;
    const struct mln_value *v = NULL;
    mln_cx_init(&cx, arena);
    struct rg_val out = RG_NONE;
    if (arena != NULL && !mln_failed(mln_yaml_parse(&cx, yaml, &v)) &&
        mln_type_of(v) == MLN_OBJECT) {
        out = rg_from_value(heap, v);
        widen(heap, out, "authors", author);
        widen(heap, out, "related_resources", resource);
    }
    mln_arena_free(arena);
    return out;
}

static void attach(struct rg_heap *heap, struct rg_module *m, struct rg_val notes, uint32_t row)
{
    bool package = m->loc.row > row;
    struct rg_rule *rule = NULL;
    for (uint32_t i = 0; !package && i < m->rules_n && rule == NULL; i++) {
        rule = m->rules[i]->loc.row > row ? m->rules[i] : NULL;
    }
    if (rg_get_text(notes, "scope").tag != RG_STR) {
        rg_put_text(heap, notes, "scope", rg_text(heap, package ? "package" : "rule"));
    }
    struct rg_val *list = package ? &m->notes : rule != NULL ? &rule->notes : NULL;
    if (list != NULL) {
        *list = list->tag == RG_UNDEF ? rg_array(heap, 1) : *list;
        rg_push(heap, *list, notes);
    }
}

/* The text of a comment line without its sign; false: no comment. */
static bool comment(struct mln_bytes line, struct mln_bytes *ret)
{
    line = mln_bytes_trim(line);
    if (line.len == 0 || line.ptr[0] != '#') {
        return false;
    }
    *ret = mln_bytes_from(line, 1);
    return true;
}

void rg_notes_read(struct rg_heap *heap, struct rg_module *m)
{
    struct mln_bytes rest = m->text, text;
    MLN_AUTO(mln_buf_drop) struct mln_buf yaml = {0};
    bool inside = false;
    for (uint32_t row = 1; rest.len > 0; row++) {
        struct mln_bytes line = mln_bytes_cut(rest, '\n', &rest);
        bool is = comment(line, &text);
        if (inside && is) {
            mln_buf_add_bytes(&yaml,
                              text.len > 0 && text.ptr[0] == ' ' ? mln_bytes_from(text, 1) : text);
            mln_buf_add_byte(&yaml, '\n');
        }
        if (inside && (!is || rest.len == 0)) {
            struct rg_val notes = read_yaml(heap, mln_buf_bytes(&yaml));
            if (notes.tag == RG_OBJECT) {
                attach(heap, m, notes, row - 1);
            }
            inside = false;
        }
        if (is && mln_bytes_is(mln_bytes_trim(text), "METADATA")) {
            inside = true;
            mln_buf_clear(&yaml);
        }
    }
}

/* ---- what the builtins answer ---- */
static bool has_scope(struct rg_val notes, const char *scope)
{
    struct rg_val v = rg_get_text(notes, "scope");
    return v.tag == RG_STR && mln_bytes_is(rg_bytes(v), scope);
}

static struct rg_val with_scope(const struct rg_rule *rule, const char *scope)
{
    for (uint32_t i = 0; rule->notes.tag == RG_ARRAY && i < rule->notes.arr->len; i++) {
        if (has_scope(rule->notes.arr->items[i], scope)) {
            return rule->notes.arr->items[i];
        }
    }
    return RG_NONE;
}

struct rg_val rg_notes_rule(const struct rg_compiler *c)
{
    struct rg_val own = c->rule == NULL ? RG_NONE : with_scope(c->rule, "rule");
    return own.tag == RG_UNDEF ? rg_object(c->heap, 0) : own;
}

static void add_link(const struct rg_compiler *c, struct rg_val chain, struct rg_val path,
                     struct rg_val notes)
{
    struct rg_val link = rg_object(c->heap, 2);
    if (notes.tag != RG_UNDEF) {
        rg_put_text(c->heap, link, "annotations", notes);
    }
    rg_put_text(c->heap, link, "path", path);
    rg_push(c->heap, chain, link);
}

/* Of all modules of a package; its own scope, or "subpackages" of those above. */
static void add_package(const struct rg_compiler *c, struct rg_val chain,
                        const struct rg_node *node, const char *scope)
{
    for (uint32_t i = 0; i < c->policy->modules_n; i++) {
        const struct rg_module *m = c->policy->modules[i];
        if (rg_node_package(c->policy, m->package, false) != node || m->notes.tag != RG_ARRAY) {
            continue;
        }
        for (uint32_t k = 0; k < m->notes.arr->len; k++) {
            if (has_scope(m->notes.arr->items[k], scope)) {
                add_link(c, chain, node->path, m->notes.arr->items[k]);
            }
        }
    }
}

struct rg_val rg_notes_chain(const struct rg_compiler *c)
{
    struct rg_val chain = rg_array(c->heap, 4);
    if (c->rule == NULL || c->group == NULL) {
        return chain;
    }
    add_link(c, chain, c->group->node->path, with_scope(c->rule, "rule"));
    for (uint32_t i = 0; i < c->group->n; i++) {
        struct rg_val notes = with_scope(c->group->rules[i], "document");
        if (notes.tag != RG_UNDEF) {
            add_link(c, chain, c->group->node->path, notes);
        }
    }
    add_package(c, chain, c->package, "package");
    for (const struct rg_node *node = c->package; node != NULL; node = node->parent) {
        add_package(c, chain, node, "subpackages");
    }
    return chain;
}
