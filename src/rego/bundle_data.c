/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of bundles: read into one value, kept to the roots, put in the place of what was there, patched. */
#include "rego/bundle_priv.h"

#include "base/text.h"
#include "base/yaml.h"
#include "rego/rego_priv.h"

/* ---- roots ---- */

bool bundle_is_below(struct mln_bytes path, struct mln_bytes root)
{
    return root.len == 0 || (mln_bytes_starts(path, root) && (path.len == root.len || path.ptr[root.len] == '/'));
}

bool mln_bundle_covers(const struct mln_bundle *bundle, struct mln_bytes path)
{
    for (size_t i = 0; i < bundle->n_roots; i++) {
        if (bundle_is_below(path, bundle->roots[i])) {
            return true;
        }
    }
    return false;
}

bool mln_bundle_roots_meet(const struct mln_bundle *a, const struct mln_bundle *b, struct mln_bytes *ret_a,
                           struct mln_bytes *ret_b)
{
    for (size_t i = 0; i < a->n_roots; i++) {
        for (size_t k = 0; k < b->n_roots; k++) {
            if (bundle_is_below(a->roots[i], b->roots[k]) || bundle_is_below(b->roots[k], a->roots[i])) {
                *ret_a = a->roots[i];
                *ret_b = b->roots[k];
                return true;
            }
        }
    }
    return false;
}

/* Does one of the roots lie below the path? */
static bool leads_to_root(const struct mln_bundle *bundle, struct mln_bytes path)
{
    for (size_t i = 0; i < bundle->n_roots; i++) {
        if (bundle_is_below(bundle->roots[i], path)) {
            return true;
        }
    }
    return false;
}

static struct mln_err check_roots(struct bundle_making *m, struct rg_val at, struct mln_buf *path, unsigned depth)
{
    struct mln_bytes here = mln_buf_bytes(path);
    if (mln_bundle_covers(m->bundle, here)) {
        return MLN_OK;
    }
    if (at.tag != RG_OBJECT || !leads_to_root(m->bundle, here) || depth > MLN_REGO_PATH_MAX) {
        return mln_fail(m->cx, MLN_E_INVALID,
                        "bundle: manifest roots do not permit data at path '/%.*s' (hint: check bundle directory structure)",
                        MLN_FMT(here));
    }
    for (size_t i = 0; i < rg_len(at); i++) {
        size_t before = path->len;
        mln_buf_add_text(path, before == 0 ? "" : "/");
        mln_buf_add_bytes(path, rg_key_at(at, i).tag == RG_STR ? rg_bytes(rg_key_at(at, i)) : MLN_BYTES(""));
        MLN_TRY(mln_buf_ok(m->cx, path));
        MLN_TRY(check_roots(m, rg_val_at(at, i), path, depth + 1));
        path->len = before;
    }
    return MLN_OK;
}

/* ---- documents ---- */

struct place {
    struct rg_heap *heap;
    struct mln_bytes clash; /* the name that two files say differently */
    bool has_clash;
};

/* `with` into the object `into`, which nobody else sees yet. */
static void merge_into(struct place *p, struct rg_val into, struct rg_val with, unsigned depth)
{
    for (size_t i = 0; i < rg_len(with) && !p->has_clash; i++) {
        struct rg_val key = rg_key_at(with, i), v = rg_val_at(with, i), old = rg_get(into, key);
        if (old.tag == RG_UNDEF) {
            rg_put(p->heap, into, key, v);
        } else if (old.tag == RG_OBJECT && v.tag == RG_OBJECT && depth < MLN_REGO_JSON_DEPTH_MAX) {
            merge_into(p, old, v, depth + 1);
        } else if (!rg_eq(old, v)) {
            p->has_clash = true;
            p->clash = key.tag == RG_STR ? rg_bytes(key) : MLN_BYTES("");
        }
    }
}

/* An object that holds `v` at the folder's path: {"a": {"b": v}}. */
static struct rg_val below_folder(struct rg_heap *heap, const char *path, struct rg_val v)
{
    struct mln_bytes all = mln_bytes_of(path), name = bundle_base_name(path);
    all.len -= name.len + (all.len > name.len);
    while (all.len > 0) {
        struct rg_val out = rg_object(heap, 1);
        size_t from = all.len;
        while (from > 0 && all.ptr[from - 1] != '/') {
            from--;
        }
        rg_put(heap, out, rg_string(heap, mln_bytes_from(all, from)), v);
        all.len = from > 0 ? from - 1 : 0;
        v = out;
    }
    return v;
}

static struct mln_err parse_document(struct bundle_making *m, struct rg_heap *heap, const struct mln_bundle_file *f,
                                     struct rg_val *ret)
{
    const char *error = NULL;
    if (mln_bytes_ends(mln_bytes_of(f->path), MLN_BYTES(".json"))) {
        *ret = rg_json_parse(heap, f->bytes, &error);
    } else {
        const struct mln_value *value = NULL;
        if (mln_failed(mln_yaml_parse(m->cx, f->bytes, &value))) {
            error = mln_text_dup(m->cx, mln_bytes_of(m->cx->text));
            mln_cx_clear(m->cx);
        } else {
            *ret = rg_from_value(heap, value);
        }
    }
    if (error != NULL) {
        return mln_fail(m->cx, MLN_E_PARSE, "bundle: %s: %s", f->path, error);
    }
    if (ret->tag != RG_OBJECT && bundle_base_name(f->path).len == mln_bytes_of(f->path).len) {
        return mln_fail(m->cx, MLN_E_INVALID, "bundle: %s: the root of data is an object", f->path);
    }
    return MLN_OK;
}

struct mln_err bundle_read_data(struct bundle_making *m)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf path = {0};
    MLN_TRY(mln_rego_data_load(m->cx, MLN_BYTES("{}"), &data));
    struct rg_val root = rg_object(data->heap, 8);
    struct place p = {.heap = data->heap};
    for (size_t i = 0; i < m->n; i++) {
        const struct mln_bundle_file *f = &m->files[i];
        struct rg_val v = RG_NONE;
        if (!bundle_is_document(bundle_base_name(f->path))) {
            continue;
        }
        MLN_TRY(parse_document(m, data->heap, f, &v));
        merge_into(&p, root, below_folder(data->heap, f->path, v), 0);
        if (p.has_clash) {
            return mln_fail(m->cx, MLN_E_INVALID, "bundle: %s: \"%.*s\" has another value in another file", f->path,
                            MLN_FMT(mln_bytes_sub(p.clash, 0, 100)));
        }
    }
    if (rg_heap_is_over(data->heap)) {
        return mln_fail(m->cx, MLN_E_MEMORY, "out of memory");
    }
    data->root = root;
    rg_settle(root);
    if (rg_len(root) > 0) {
        MLN_TRY(check_roots(m, root, &path, 0));
    }
    m->bundle->data = mln_take(&data);
    return MLN_OK;
}

/* ---- in the place of what was there ---- */

struct graft {
    struct rg_heap *heap;
    struct rg_val with; /* undefined: nothing */
};

/* `old` with the value below root taken from `with`. Ancestors are made when they are needed and vanish when empty. */
static struct rg_val graft_at(struct graft *g, struct rg_val old, struct rg_val with, struct mln_bytes root)
{
    struct mln_bytes rest, name = mln_bytes_cut(root, '/', &rest);
    if (root.len == 0) {
        return with;
    }
    struct rg_val key = rg_string(g->heap, name);
    struct rg_val from = old.tag == RG_OBJECT ? rg_get(old, key) : RG_NONE;
    struct rg_val new = with.tag == RG_OBJECT ? rg_get(with, key) : RG_NONE;
    struct rg_val below = graft_at(g, from, new, rest);
    if (below.tag == RG_UNDEF && from.tag == RG_UNDEF) {
        return old;
    }
    struct rg_val out = rg_object(g->heap, (uint32_t)rg_len(old) + 1);
    for (size_t i = 0; old.tag == RG_OBJECT && i < rg_len(old); i++) {
        if (!rg_eq(rg_key_at(old, i), key)) {
            rg_put(g->heap, out, rg_key_at(old, i), rg_val_at(old, i));
        }
    }
    if (below.tag != RG_UNDEF) {
        rg_put(g->heap, out, key, below);
    }
    return rg_len(out) == 0 ? RG_NONE : out;
}

/* A snapshot of its own: what it takes from both is copied, so that both may be freed. */
static struct mln_err graft(struct mln_cx *cx, const struct mln_bundle *b, struct rg_val with,
                            const struct mln_rego_data *old, struct mln_rego_data **ret)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *shape = NULL;
    MLN_TRY(mln_rego_data_load(cx, MLN_BYTES("{}"), &shape));
    MLN_TRY(mln_rego_data_load(cx, MLN_BYTES("{}"), &data));
    struct graft g = {.heap = shape->heap, .with = with};
    struct rg_val root = old == NULL ? RG_NONE : old->root;
    for (size_t i = 0; i < b->n_roots; i++) {
        root = graft_at(&g, root, with, b->roots[i]);
    }
    data->root = root.tag == RG_UNDEF ? rg_object(data->heap, 0) : rg_copy(data->heap, root);
    if (rg_heap_is_over(data->heap) || rg_heap_is_over(shape->heap)) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    rg_settle(data->root);
    *ret = mln_take(&data);
    return MLN_OK;
}

struct mln_err mln_bundle_erase(struct mln_cx *cx, const struct mln_bundle *bundle, const struct mln_rego_data *old,
                                struct mln_rego_data **ret)
{
    return graft(cx, bundle, RG_NONE, old, ret);
}

/* ---- patches ---- */

static const char *const operations[] = {"upsert", "remove", "replace"};

static struct mln_err bad_patch(struct mln_cx *cx, const char *what)
{
    return mln_fail(cx, MLN_E_INVALID, "bundle: patch.json: %s", what);
}

static struct mln_err check_operation(struct mln_cx *cx, const struct mln_bundle *b, struct rg_val v)
{
    struct rg_val op = v.tag == RG_OBJECT ? rg_get_text(v, "op") : RG_NONE;
    struct rg_val path = v.tag == RG_OBJECT ? rg_get_text(v, "path") : RG_NONE;
    size_t k = 0;
    while (k < MLN_COUNT(operations) && !(op.tag == RG_STR && mln_bytes_is(rg_bytes(op), operations[k]))) {
        k++;
    }
    if (k == MLN_COUNT(operations) || path.tag != RG_STR) {
        return bad_patch(cx, "an operation has 'op' (upsert, remove or replace) and 'path'");
    }
    if (!mln_bytes_is(rg_bytes(op), "remove") && rg_get_text(v, "value").tag == RG_UNDEF) {
        return bad_patch(cx, "upsert and replace need 'value'");
    }
    struct mln_bytes plain = rg_bytes(path);
    plain = mln_bytes_starts(plain, MLN_BYTES("/")) ? mln_bytes_from(plain, 1) : plain;
    if (!mln_bundle_covers(b, plain)) {
        return mln_fail(cx, MLN_E_INVALID, "bundle: manifest roots do not permit patch at path '/%.*s'", MLN_FMT(plain));
    }
    return MLN_OK;
}

/* The list of operations, each one that the roots permit; it lives in the heap. */
static struct mln_err read_patch(struct mln_cx *cx, const struct mln_bundle *b, struct rg_heap *heap, struct rg_val *ret)
{
    const char *error = NULL;
    struct rg_val v = rg_json_parse(heap, b->patch, &error);
    if (error != NULL) {
        return mln_fail(cx, MLN_E_PARSE, "bundle: patch.json: %s", error);
    }
    *ret = v.tag == RG_OBJECT ? rg_get_text(v, "data") : RG_NONE;
    if (ret->tag != RG_ARRAY) {
        return bad_patch(cx, "it is {\"data\": [operations]}");
    }
    for (size_t i = 0; i < rg_len(*ret); i++) {
        MLN_TRY(check_operation(cx, b, rg_item(*ret, i)));
    }
    return MLN_OK;
}

static void heap_drop(struct rg_heap **heap)
{
    rg_heap_free(*heap);
}

struct mln_err bundle_check_patch(struct bundle_making *m)
{
    MLN_AUTO(heap_drop) struct rg_heap *heap = rg_heap_new(0);
    struct rg_val list;
    return heap == NULL ? mln_fail(m->cx, MLN_E_MEMORY, "out of memory") : read_patch(m->cx, m->bundle, heap, &list);
}

static struct mln_err apply_delta(struct mln_cx *cx, const struct mln_bundle *b, const struct mln_rego_data *old,
                                  struct mln_rego_data **ret)
{
    MLN_AUTO(heap_drop) struct rg_heap *heap = rg_heap_new(0);
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    struct rg_val list;
    if (heap == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_TRY(read_patch(cx, b, heap, &list));
    rg_print_json(&json, list);
    MLN_TRY(mln_buf_ok(cx, &json));
    return mln_rego_data_delta(cx, old, mln_buf_bytes(&json), ret);
}

struct mln_err mln_bundle_apply(struct mln_cx *cx, const struct mln_bundle *bundle, const struct mln_rego_data *old,
                                struct mln_rego_data **ret)
{
    return bundle->is_delta ? apply_delta(cx, bundle, old, ret) : graft(cx, bundle, bundle->data->root, old, ret);
}
