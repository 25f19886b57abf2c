/* SPDX-License-Identifier: Apache-2.0 */
/* Types of refs: through documents of rules, then through the types of values. */
#include "rego/infer_priv.h"

static void pad(struct mln_buf *buf, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mln_buf_add_byte(buf, ' ');
    }
}

/* The first n parts of a ref as text. */
static const char *front(struct rg_infer *f, const struct rg_term *ref, uint32_t n)
{
    struct rg_term part = *ref;
    if (ref->kind != RG_T_REF) {
        return rg_term_text(f->heap, ref);
    }
    part.n = n;
    return n == 1 ? rg_term_text(f->heap, ref->items[0]) : rg_term_text(f->heap, &part);
}

/* No keys at all: a number, a boolean. */
static void fail_unsupported(struct rg_infer *f, const struct rg_term *ref, uint32_t i,
                             const struct rg_type *in)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const char *whole = rg_term_text(f->heap, ref);
    mln_buf_add_format(&text, "%s\n", whole);
    for (size_t k = mln_bytes_of(front(f, ref, i)).len; k > 0; k--) {
        mln_buf_add_byte(&text, '^');
    }
    mln_buf_add_text(&text, "\nhave: ");
    rg_type_print(&text, in);
    rg_infer_fail(f, ref->loc, rg_text_format(f->heap, "undefined ref: %s", whole),
                  rg_text_dup(f->heap, mln_buf_bytes(&text)));
}

static void print_one_of(struct mln_buf *text, const struct rg_type *in)
{
    mln_buf_add_text(text, "want (one of): [");
    for (uint32_t i = 0; in->kind == RG_Y_OBJECT && i < in->n; i++) {
        mln_buf_add_text(text, i == 0 ? "" : " ");
        rg_print_rego(text, in->keys[i]);
    }
    mln_buf_add_byte(text, ']');
}

static void fail_key(struct rg_infer *f, const struct rg_term *ref, uint32_t i,
                     const struct rg_type *in, const struct rg_type *have)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    const char *whole = rg_term_text(f->heap, ref);
    size_t n = mln_bytes_of(front(f, ref, i)).len + 1;
    mln_buf_add_format(&text, "%s\n", whole);
    pad(&text, n);
    mln_buf_add_text(&text, "^\n");
    pad(&text, n);
    mln_buf_add_text(&text, have != NULL ? "have (type): " : "have: ");
    if (have != NULL) {
        rg_type_print(&text, have);
    } else {
        mln_buf_add_text(&text, rg_term_text(f->heap, ref->items[i]));
    }
    mln_buf_add_byte(&text, '\n');
    pad(&text, n);
    if (in->rest == NULL && in->kind != RG_Y_ANY && (in->kind != RG_Y_ARRAY || in->n == 0)) {
        print_one_of(&text, in);
    } else {
        mln_buf_add_text(&text, "want (type): ");
        rg_type_print(&text, rg_type_keys(f->heap, in));
    }
    rg_infer_fail(f, ref->loc, rg_text_format(f->heap, "undefined ref: %s", whole),
                  rg_text_dup(f->heap, mln_buf_bytes(&text)));
}

const struct rg_type *rg_infer_step(struct rg_infer *f, const struct rg_term *ref, uint32_t i,
                                    const struct rg_type *in)
{
    struct rg_term *key = ref->items[i];
    const struct rg_type *keys = rg_type_keys(f->heap, in), *have = NULL;
    bool is_empty = in->kind == RG_Y_ARRAY || in->kind == RG_Y_OBJECT || in->kind == RG_Y_SET;
    if (keys == NULL && !is_empty) {
        fail_unsupported(f, ref, i, in);
        return NULL;
    }
    if (key->kind == RG_T_VALUE) {
        const struct rg_type *out = rg_type_select(f->heap, in, key->value);
        if (out == NULL) {
            fail_key(f, ref, i, in, NULL);
        }
        return out;
    }
    have = rg_infer_term(f, key);
    if (keys == NULL) {
        (void)rg_infer_unify(f, key, &rg_type_any, false);
        return &rg_type_any;
    }
    bool ok = key->kind == RG_T_REF || key->kind == RG_T_CALL
                  ? have == NULL || rg_type_unifies(have, keys)
                  : rg_infer_unify(f, key, keys, false);
    if (!ok) {
        fail_key(f, ref, i, in, rg_infer_term(f, key));
        return NULL;
    }
    return rg_type_values(f->heap, in);
}

/* Keys behind what nobody knows anything of. */
static const struct rg_type *through(struct rg_infer *f, const struct rg_term *ref, uint32_t i,
                                     const struct rg_type *in)
{
    for (; ref->kind == RG_T_REF && i < ref->n && in != NULL; i++) {
        in = rg_infer_step(f, ref, i, in);
    }
    return in;
}

static const struct rg_type *below(struct rg_infer *f, const struct rg_node *node, unsigned depth)
{
    if (node->group != NULL) {
        const struct rg_type *t = node->n == 0 ? node->group->type : &rg_type_any;
        return t == NULL || t->kind == RG_Y_FUNCTION ? &rg_type_any : t;
    }
    struct rg_type *t = rg_type_object_new(f->heap);
    t->key = &rg_type_string;
    t->rest = &rg_type_any;
    for (uint32_t i = 0; i < node->n && depth < RG_TYPE_DEPTH_MAX; i++) {
        const struct rg_str *name = node->kids[i]->name;
        struct rg_val key = {.tag = RG_STR, .hash = name->hash, .str = name};
        rg_type_member(f->heap, t, key, below(f, node->kids[i], depth + 1));
    }
    return rg_type_done(t);
}

static const struct rg_type *data_ref(struct rg_infer *f, struct rg_term *t)
{
    const struct rg_node *node = f->c->policy->root;
    uint32_t i = 1;
    while (t->kind == RG_T_REF && i < t->n && node != NULL && (node->group == NULL || node->n > 0)) {
        if (t->items[i]->kind != RG_T_VALUE) {
            break;
        }
        const struct rg_node *kid = rg_node_kid(node, t->items[i]->value);
        if (kid == NULL) {
            return through(f, t, i, &rg_type_any);
        }
        node = kid;
        i++;
    }
    if (node == NULL) {
        return through(f, t, i, &rg_type_any);
    }
    if (node->group != NULL && node->n == 0) {
        const struct rg_type *type = node->group->type;
        if (type != NULL && type->kind == RG_Y_FUNCTION) {
            fail_unsupported(f, t, i, type);
            return NULL;
        }
        return through(f, t, i, type == NULL ? &rg_type_any : type);
    }
    if (t->kind == RG_T_REF && i < t->n) { /* keys of what is below are names, and values anything */
        static const struct rg_type names = {.kind = RG_Y_OBJECT, .key = &rg_type_string, .rest = &rg_type_any};
        return through(f, t, i, &names);
    }
    return below(f, node, 0);
}

/* "schema.input", or a schema written out in METADATA. */
static const struct rg_type *named_type(struct rg_infer *f, struct rg_val v)
{
    const char *error = NULL;
    if (v.tag == RG_OBJECT) {
        return rg_type_of_schema(f->heap, v, &error);
    }
    if (v.tag != RG_STR || !mln_bytes_starts(rg_bytes(v), MLN_BYTES("schema."))) {
        return NULL;
    }
    struct mln_bytes name = mln_bytes_from(rg_bytes(v), sizeof("schema.") - 1);
    for (const struct rg_schema *s = f->c->policy->schemas; s != NULL; s = s->next) {
        if (mln_bytes_is(name, s->name)) {
            return s->type;
        }
    }
    return NULL;
}

/* The longest path of METADATA's schemas that a ref begins with; *ret_n parts of it are used up. */
static const struct rg_type *noted_type(struct rg_infer *f, const struct rg_term *ref, uint32_t *ret_n)
{
    const struct rg_type *found = NULL;
    *ret_n = 0;
    for (uint32_t i = 0; f->schemas.tag == RG_ARRAY && i < f->schemas.arr->len; i++) {
        struct rg_val one = f->schemas.arr->items[i];
        for (uint32_t k = 0; one.tag == RG_OBJECT && k < one.map->len; k++) {
            uint32_t parts = ref->kind == RG_T_REF ? ref->n : 1;
            for (uint32_t n = parts; n > *ret_n && one.map->keys[k].tag == RG_STR; n--) {
                const struct rg_type *type = named_type(f, one.map->vals[k]);
                if (type != NULL && mln_bytes_is(rg_bytes(one.map->keys[k]), front(f, ref, n))) {
                    found = type;
                    *ret_n = n;
                }
            }
        }
    }
    return found;
}

const struct rg_type *rg_infer_ref(struct rg_infer *f, struct rg_term *t)
{
    struct rg_term *head = t->kind == RG_T_REF ? t->items[0] : t;
    uint32_t n = 0;
    const struct rg_type *noted = head->kind == RG_T_VAR && head->var == NULL ? noted_type(f, t, &n) : NULL;
    if (noted != NULL) {
        return through(f, t, n, noted);
    }
    if (rg_is_root(head, "data")) {
        return data_ref(f, t);
    }
    if (rg_is_root(head, "input")) {
        const struct rg_type *input = f->c->policy->input_type;
        return through(f, t, 1, input != NULL ? input : &rg_type_any);
    }
    const struct rg_type *type = rg_infer_term(f, head);
    if (head->kind == RG_T_VAR && head->var != NULL && type == NULL) {
        head->var->type = type = &rg_type_any;
    }
    return through(f, t, 1, type);
}
