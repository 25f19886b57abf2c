/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of base documents. What is on the way to a change is built anew, what hangs beside it is shared in the copy. */
#include "rego/rego_doc.h"

#include "base/text.h"
#include "rego/rego_priv.h"

struct edit {
    struct rg_heap *heap;
    enum mln_rego_change change;
    struct rg_val value;
    struct mln_rego_path path;
    struct mln_err err; /* code only */
};

static struct rg_val edit_at(struct edit *e, struct rg_val at, size_t depth);

static struct rg_val give_up(struct edit *e, enum mln_code code)
{
    e->err = (struct mln_err){(uint32_t)code};
    return RG_NONE;
}

static struct rg_val merge(struct edit *e, struct rg_val at, struct rg_val with)
{
    if (at.tag == RG_UNDEF) {
        return with;
    }
    if (at.tag != RG_OBJECT || with.tag != RG_OBJECT) {
        return rg_eq(at, with) ? at : give_up(e, MLN_E_EXISTS);
    }
    struct rg_val out = rg_object(e->heap, (uint32_t)(rg_len(at) + rg_len(with)));
    for (size_t i = 0; i < rg_len(at); i++) {
        rg_put(e->heap, out, rg_key_at(at, i), rg_val_at(at, i));
    }
    for (size_t i = 0; i < rg_len(with) && e->err.code == 0; i++) {
        struct rg_val key = rg_key_at(with, i);
        rg_put(e->heap, out, key, merge(e, rg_get(at, key), rg_val_at(with, i)));
    }
    return out;
}

/* The value that stands at the end of the path from now on; undefined: none. */
static struct rg_val edit_leaf(struct edit *e, struct rg_val at)
{
    bool must_be = e->change == MLN_REGO_REPLACE || e->change == MLN_REGO_REMOVE;
    if (must_be && at.tag == RG_UNDEF) {
        return give_up(e, MLN_E_NOT_FOUND);
    }
    if (e->change == MLN_REGO_MERGE) {
        return merge(e, at, e->value);
    }
    return e->change == MLN_REGO_REMOVE ? RG_NONE : e->value;
}

static struct rg_val edit_object(struct edit *e, struct rg_val at, size_t depth)
{
    struct rg_val name = rg_string(e->heap, e->path.names[depth]);
    struct rg_val out = rg_object(e->heap, (uint32_t)rg_len(at) + 1);
    for (size_t i = 0; i < rg_len(at); i++) {
        struct rg_val key = rg_key_at(at, i);
        if (!rg_eq(key, name)) {
            rg_put(e->heap, out, key, rg_val_at(at, i));
        }
    }
    struct rg_val v = edit_at(e, rg_get(at, name), depth + 1);
    if (v.tag != RG_UNDEF && e->err.code == 0) {
        rg_put(e->heap, out, name, v);
    }
    return out;
}

/* The index that a name of the path means; n for "-". */
static bool index_of(struct mln_bytes name, size_t n, size_t *ret)
{
    uint64_t i = 0;
    if (mln_bytes_is(name, "-")) {
        *ret = n;
        return true;
    }
    if (!mln_u64_parse(name, &i) || i > n) {
        return false;
    }
    *ret = (size_t)i;
    return true;
}

static struct rg_val edit_array(struct edit *e, struct rg_val at, size_t depth)
{
    size_t n = rg_len(at), i = 0;
    bool is_last = depth + 1 == e->path.n;
    bool inserts = is_last && (e->change == MLN_REGO_ADD || e->change == MLN_REGO_PUT);
    if (!index_of(e->path.names[depth], n, &i) || (i == n && !inserts)) {
        return give_up(e, MLN_E_NOT_FOUND);
    }
    bool keeps = e->change == MLN_REGO_ADD && is_last; /* PUT replaces an item that is there */
    struct rg_val out = rg_array(e->heap, (uint32_t)n + 1);
    for (size_t k = 0; k <= n && e->err.code == 0; k++) {
        if (k == i) {
            struct rg_val v = edit_at(e, k < n ? rg_item(at, k) : RG_NONE, depth + 1);
            if (v.tag != RG_UNDEF) {
                rg_push(e->heap, out, v);
            }
        }
        if (k < n && (k != i || keeps)) {
            rg_push(e->heap, out, rg_item(at, k));
        }
    }
    return out;
}

static struct rg_val edit_at(struct edit *e, struct rg_val at, size_t depth)
{
    if (depth == e->path.n) {
        return edit_leaf(e, at);
    }
    bool makes = e->change == MLN_REGO_PUT || e->change == MLN_REGO_MERGE;
    if (at.tag == RG_UNDEF && makes) {
        at = rg_object(e->heap, 1);
    }
    if (at.tag == RG_OBJECT) {
        return edit_object(e, at, depth);
    }
    return at.tag == RG_ARRAY ? edit_array(e, at, depth) : give_up(e, MLN_E_NOT_FOUND);
}

static struct mln_err say(struct mln_cx *cx, const struct edit *e)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < e->path.n; i++) {
        mln_buf_add_byte(&text, '/');
        mln_buf_add_bytes(&text, mln_bytes_sub(e->path.names[i], 0, 200));
    }
    struct mln_bytes where = e->path.n == 0 ? MLN_BYTES("/") : mln_buf_bytes(&text);
    if (e->err.code == MLN_E_EXISTS) {
        return mln_fail(cx, MLN_E_EXISTS, "two values for one path below %.*s", MLN_FMT(where));
    }
    return mln_fail(cx, (enum mln_code)e->err.code, "%.*s: document does not exist",
                    MLN_FMT(where));
}

/* A copy of old to work on. */
static struct mln_err begin(struct mln_cx *cx, const struct mln_rego_data *old,
                            struct mln_rego_data **ret)
{
    MLN_TRY(mln_rego_data_load(cx, MLN_BYTES("{}"), ret));
    if (old != NULL) {
        (*ret)->root = rg_copy((*ret)->heap, old->root);
    }
    return MLN_OK;
}

static struct mln_err finish(struct mln_cx *cx, struct mln_rego_data *data)
{
    if (data->root.tag != RG_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "the root of data is an object");
    }
    rg_settle(data->root);
    return MLN_OK;
}

static struct mln_err parse(struct mln_cx *cx, struct rg_heap *heap, struct mln_bytes json,
                            struct rg_val *ret)
{
    const char *error = NULL;
    *ret = rg_json_parse(heap, json, &error);
    return error == NULL ? MLN_OK : mln_fail(cx, MLN_E_PARSE, "%s", error);
}

static struct mln_err edit_run(struct mln_cx *cx, struct mln_rego_data *data, struct edit *e)
{
    bool is_gone = e->change == MLN_REGO_REMOVE && e->path.n == 0;
    struct rg_val root = is_gone ? give_up(e, MLN_E_INVALID) : edit_at(e, data->root, 0);
    if (is_gone) {
        return mln_fail(cx, MLN_E_INVALID, "the root of data cannot be removed");
    }
    if (e->err.code != 0) {
        return say(cx, e);
    }
    data->root = root;
    return MLN_OK;
}

struct mln_err mln_rego_data_change(struct mln_cx *cx, const struct mln_rego_data *old,
                                    enum mln_rego_change change, struct mln_rego_path path,
                                    struct mln_bytes json, struct mln_rego_data **ret)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    bool replaces_all = path.n == 0 && change != MLN_REGO_MERGE && change != MLN_REGO_REMOVE;
    MLN_TRY(begin(cx, replaces_all ? NULL : old, &data));
    struct edit e = {.heap = data->heap, .change = change, .path = path};
    if (change != MLN_REGO_REMOVE) {
        MLN_TRY(parse(cx, data->heap, json, &e.value));
    }
    MLN_TRY(edit_run(cx, data, &e));
    MLN_TRY(finish(cx, data));
    *ret = mln_take(&data);
    return MLN_OK;
}

/* ---- patches ---- */

/* One name of a pointer: "~1" is "/", "~0" is "~". */
static struct mln_err unescape(struct mln_cx *cx, struct mln_bytes name, struct mln_bytes *ret)
{
    uint8_t *to = mln_new(cx, name.len + 1);
    size_t n = 0;
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c == '~') {
            uint8_t next = i + 1 < name.len ? name.ptr[i + 1] : 0;
            if (next != '0' && next != '1') {
                return mln_fail(cx, MLN_E_PARSE, "in a path ~ is followed by 0 or 1");
            }
            c = next == '0' ? '~' : '/';
            i++;
        }
        to[n++] = c;
    }
    *ret = mln_bytes_at(to, n);
    return MLN_OK;
}

static struct mln_err pointer_of(struct mln_cx *cx, struct mln_rego_path base,
                                 struct mln_bytes text, struct mln_rego_path *ret)
{
    struct mln_bytes *names = mln_new_array(cx, MLN_REGO_PATH_MAX, sizeof(*names));
    size_t n = base.n;
    MLN_TRY(mln_cx_err(cx));
    mln_copy(names, base.names, base.n * sizeof(*names));
    struct mln_bytes rest = text.len > 0 && text.ptr[0] == '/' ? mln_bytes_from(text, 1) : text;
    while (rest.len > 0) {
        if (n == MLN_REGO_PATH_MAX) {
            return mln_fail(cx, MLN_E_PARSE, "a path has at most %d names", MLN_REGO_PATH_MAX);
        }
        MLN_TRY(unescape(cx, mln_bytes_cut(rest, '/', &rest), &names[n]));
        n++;
    }
    *ret = (struct mln_rego_path){names, n};
    return MLN_OK;
}

/* Requests say add, deltas of bundles upsert. */
enum patch_words { PATCH_OF_REQUEST, PATCH_OF_BUNDLE };

static struct mln_err patch_one(struct mln_cx *cx, struct mln_rego_data *data, enum patch_words words,
                                struct mln_rego_path base, struct rg_val op)
{
    const struct {
        const char *name;
        enum mln_rego_change change;
    } kinds[] = {{words == PATCH_OF_BUNDLE ? "upsert" : "add", words == PATCH_OF_BUNDLE ? MLN_REGO_PUT : MLN_REGO_ADD},
                 {"remove", MLN_REGO_REMOVE},
                 {"replace", MLN_REGO_REPLACE}};
    struct rg_val name = op.tag == RG_OBJECT ? rg_get_text(op, "op") : RG_NONE;
    struct rg_val path = op.tag == RG_OBJECT ? rg_get_text(op, "path") : RG_NONE;
    struct edit e = {.heap = data->heap};
    size_t k = 0;
    while (k < MLN_COUNT(kinds) &&
           !(name.tag == RG_STR && mln_bytes_is(rg_bytes(name), kinds[k].name))) {
        k++;
    }
    if (k == MLN_COUNT(kinds) || path.tag != RG_STR) {
        return mln_fail(cx, MLN_E_PARSE,
                        "an operation has 'op' (%s, remove or replace) and 'path'", kinds[0].name);
    }
    e.change = kinds[k].change;
    e.value = rg_get_text(op, "value");
    if (e.change != MLN_REGO_REMOVE && e.value.tag == RG_UNDEF) {
        return mln_fail(cx, MLN_E_PARSE, "operation '%s' needs 'value'", kinds[k].name);
    }
    MLN_TRY(pointer_of(cx, base, rg_bytes(path), &e.path));
    return edit_run(cx, data, &e);
}

static struct mln_err patch(struct mln_cx *cx, const struct mln_rego_data *old, enum patch_words words,
                            struct mln_rego_path path, struct mln_bytes operations, struct mln_rego_data **ret)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    struct rg_val list;
    MLN_TRY(begin(cx, old, &data));
    MLN_TRY(parse(cx, data->heap, operations, &list));
    if (list.tag != RG_ARRAY) {
        return mln_fail(cx, MLN_E_PARSE, "a patch is a list of operations");
    }
    for (size_t i = 0; i < rg_len(list); i++) {
        MLN_TRY(patch_one(cx, data, words, path, rg_item(list, i)));
    }
    MLN_TRY(finish(cx, data));
    *ret = mln_take(&data);
    return MLN_OK;
}

struct mln_err mln_rego_data_patch(struct mln_cx *cx, const struct mln_rego_data *old,
                                   struct mln_rego_path path, struct mln_bytes operations,
                                   struct mln_rego_data **ret)
{
    return patch(cx, old, PATCH_OF_REQUEST, path, operations, ret);
}

struct mln_err mln_rego_data_delta(struct mln_cx *cx, const struct mln_rego_data *old, struct mln_bytes operations,
                                   struct mln_rego_data **ret)
{
    return patch(cx, old, PATCH_OF_BUNDLE, (struct mln_rego_path){0}, operations, ret);
}

/* ---- looking ---- */

static struct rg_val find(struct rg_heap *heap, struct rg_val at, struct mln_rego_path path)
{
    for (size_t i = 0; i < path.n && at.tag != RG_UNDEF; i++) {
        size_t k = 0;
        if (at.tag == RG_ARRAY) {
            bool is_there = index_of(path.names[i], rg_len(at), &k) && k < rg_len(at);
            at = is_there ? rg_item(at, k) : RG_NONE;
        } else {
            at = at.tag == RG_OBJECT ? rg_get(at, rg_string(heap, path.names[i])) : RG_NONE;
        }
    }
    return at;
}

bool mln_rego_data_has(const struct mln_rego_data *data, struct mln_rego_path path)
{
    struct rg_heap *heap = rg_heap_new(0);
    bool has = data != NULL && heap != NULL && find(heap, data->root, path).tag != RG_UNDEF;
    rg_heap_free(heap);
    return has;
}

bool mln_rego_data_print(const struct mln_rego_data *data, struct mln_rego_path path,
                         struct mln_buf *buf)
{
    struct rg_heap *heap = rg_heap_new(0);
    struct rg_val v = data != NULL && heap != NULL ? find(heap, data->root, path) : RG_NONE;
    if (v.tag != RG_UNDEF) {
        rg_print_json(buf, v);
    }
    rg_heap_free(heap);
    return v.tag != RG_UNDEF;
}

/* at: the base document in the node's place, undefined: none */
static const struct rg_node *conflict_in(const struct rg_node *node, struct rg_val at)
{
    if (at.tag == RG_UNDEF) {
        return NULL;
    }
    if (node->group != NULL) {
        return node;
    }
    for (uint32_t i = 0; i < node->n; i++) {
        const struct rg_node *kid = node->kids[i];
        struct rg_val name = {.tag = RG_STR, .hash = kid->name->hash, .str = kid->name};
        struct rg_val below = at.tag == RG_OBJECT ? rg_get(at, name) : at;
        const struct rg_node *found = conflict_in(kid, below);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

bool mln_rego_data_conflict(const struct mln_rego *rego, const struct mln_rego_data *data,
                            struct mln_buf *ret_path)
{
    if (data == NULL || rego->policy.root == NULL) {
        return false;
    }
    const struct rg_node *node = conflict_in(rego->policy.root, data->root);
    for (size_t i = 0; node != NULL && i < rg_len(node->path); i++) {
        mln_buf_add_text(ret_path, i == 0 ? "" : "/");
        mln_buf_add_bytes(ret_path, rg_bytes(rg_item(node->path, i)));
    }
    return node != NULL;
}

/* ---- bodies of requests ---- */

#define BODY_MEMORY_MAX ((size_t)1 << 30) /* of the values of a body, as for any input */

struct mln_err mln_rego_eval_body(struct mln_rego_eval *eval, struct mln_cx *cx,
                                  struct mln_bytes json, struct mln_bytes *ret_query,
                                  bool *ret_has_input)
{
    struct rg_val body;
    rg_heap_reset(eval->input_heap, BODY_MEMORY_MAX);
    eval->input = RG_NONE;
    MLN_TRY(parse(cx, eval->input_heap, json, &body));
    if (body.tag != RG_OBJECT) {
        return mln_fail(cx, MLN_E_PARSE, "the body is an object");
    }
    struct rg_val query = rg_get_text(body, "query");
    eval->input = rg_get_text(body, "input");
    *ret_query = query.tag == RG_STR ? rg_bytes(query) : MLN_BYTES_NONE;
    *ret_has_input = eval->input.tag != RG_UNDEF;
    return MLN_OK;
}

/* ---- indentation ---- */

static void new_line(struct mln_buf *buf, const char *indent, size_t depth)
{
    mln_buf_add_byte(buf, '\n');
    for (size_t i = 0; i < depth; i++) {
        mln_buf_add_text(buf, indent);
    }
}

/* From the quote at `at` to behind the closing one. */
static size_t string_end(struct mln_bytes json, size_t at)
{
    for (at++; at < json.len && json.ptr[at] != '"'; at++) {
        at += json.ptr[at] == '\\';
    }
    return at < json.len ? at + 1 : json.len;
}

void mln_rego_json_indent(struct mln_buf *buf, struct mln_bytes json, const char *indent)
{
    size_t depth = 0;
    for (size_t at = 0; at < json.len;) {
        uint8_t c = json.ptr[at];
        bool is_empty = (c == '{' || c == '[') && at + 1 < json.len &&
                        (json.ptr[at + 1] == '}' || json.ptr[at + 1] == ']');
        size_t end = c == '"' ? string_end(json, at) : at + 1 + is_empty;
        if (c == '}' || c == ']') {
            depth -= depth > 0;
            new_line(buf, indent, depth);
        }
        mln_buf_add(buf, json.ptr + at, end - at);
        if (c == ':') {
            mln_buf_add_byte(buf, ' ');
        } else if ((c == '{' || c == '[') && !is_empty) {
            new_line(buf, indent, ++depth);
        } else if (c == ',') {
            new_line(buf, indent, depth);
        }
        at = end;
    }
}
