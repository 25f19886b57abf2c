/* SPDX-License-Identifier: Apache-2.0 */
/* Files to a bundle: what each is, the manifest, the policies and whether they keep to the roots. */
#include "rego/bundle_priv.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/text.h"
#include "rego/ast_priv.h"

#define ARENA_MAX ((size_t)512 << 20) /* paths, manifest, and the values of data.yaml while they are read */

/* ---- paths ---- */

static bool part_ok(struct mln_bytes part)
{
    return part.len > 0 && !mln_bytes_is(part, ".") && !mln_bytes_is(part, "..");
}

bool bundle_path_ok(struct mln_bytes path)
{
    bool ok = path.len > 0 && path.len <= MLN_BUNDLE_PATH_MAX && mln_utf8_valid(path) && path.ptr[path.len - 1] != '/';
    for (size_t i = 0; ok && i < path.len; i++) {
        ok = path.ptr[i] >= ' ' && path.ptr[i] != 0x7f;
    }
    while (ok && path.len > 0) {
        ok = part_ok(mln_bytes_cut(path, '/', &path));
    }
    return ok;
}

struct mln_bytes bundle_base_name(const char *path)
{
    struct mln_bytes name = mln_bytes_of(path), rest;
    for (;;) {
        struct mln_bytes head = mln_bytes_cut(name, '/', &rest);
        if (head.len == name.len) {
            return name;
        }
        name = rest;
    }
}

bool bundle_is_document(struct mln_bytes name)
{
    return mln_bytes_is(name, "data.json") || mln_bytes_is(name, "data.yaml") || mln_bytes_is(name, "data.yml");
}

static int by_path(const void *a, const void *b)
{
    const struct mln_bundle_file *x = a, *y = b;
    return mln_bytes_cmp(mln_bytes_of(x->path), mln_bytes_of(y->path));
}

const struct mln_bundle_file *bundle_find(const struct mln_bundle_file *files, size_t n, const char *path)
{
    struct mln_bundle_file key = {.path = path};
    return n == 0 ? NULL : bsearch(&key, files, n, sizeof(*files), by_path);
}

/* ---- the making ---- */

struct mln_err bundle_new(struct mln_cx *cx, struct mln_bundle **ret)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *b = mln_alloc(sizeof(*b));
    if (b != NULL) {
        b->store = mln_alloc(sizeof(*b->store));
    }
    if (b == NULL || b->store == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    b->store->arena = mln_arena_new(ARENA_MAX, false);
    b->store->unpacked.max = MLN_BUNDLE_BYTES_MAX + ((size_t)1 << 20); /* what is over is seen, not cut */
    if (b->store->arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    *ret = mln_take(&b);
    return MLN_OK;
}

void mln_bundle_free(struct mln_bundle *bundle)
{
    if (bundle == NULL) {
        return;
    }
    mln_rego_data_free(bundle->data);
    if (bundle->store != NULL) {
        mln_arena_free(bundle->store->arena);
        mln_buf_drop(&bundle->store->unpacked);
        mln_free(bundle->store);
    }
    mln_free(bundle);
}

void mln_bundle_drop(struct mln_bundle **bundle)
{
    mln_bundle_free(*bundle);
    *bundle = NULL;
}

struct mln_err bundle_add_file(struct bundle_making *m, struct mln_bytes path, struct mln_bytes bytes)
{
    if (!bundle_path_ok(path)) {
        return mln_fail(m->cx, MLN_E_INVALID, "bundle: \"%.*s\" is no path for a file", MLN_FMT(mln_bytes_sub(path, 0, 200)));
    }
    if (m->n == MLN_BUNDLE_FILES_MAX) {
        return mln_fail(m->cx, MLN_E_LIMIT, "bundle: more than %u files", MLN_BUNDLE_FILES_MAX);
    }
    if (m->n == m->cap) {
        size_t cap = m->cap == 0 ? 64 : m->cap * 2;
        struct mln_bundle_file *more = mln_new_array(m->cx, cap, sizeof(*more));
        MLN_TRY(mln_cx_err(m->cx));
        mln_copy(more, m->files, m->n * sizeof(*more));
        m->files = more;
        m->cap = cap;
    }
    m->files[m->n++] = (struct mln_bundle_file){mln_text_dup(m->cx, path), bytes};
    m->bundle->bytes += bytes.len;
    return mln_cx_err(m->cx);
}

static struct mln_err sort_files(struct bundle_making *m)
{
    if (m->n > 1) {
        qsort(m->files, m->n, sizeof(*m->files), by_path);
    }
    for (size_t i = 1; i < m->n; i++) {
        if (by_path(&m->files[i - 1], &m->files[i]) == 0) {
            return mln_fail(m->cx, MLN_E_EXISTS, "bundle: %s is there twice", m->files[i].path);
        }
    }
    m->bundle->files = m->files;
    m->bundle->n_files = m->n;
    return MLN_OK;
}

/* ---- manifest ---- */

static struct mln_err bad_manifest(struct bundle_making *m, const char *what)
{
    return mln_fail(m->cx, MLN_E_INVALID, "bundle: .manifest: %s", what);
}

static struct mln_bytes without_slashes(struct mln_bytes text)
{
    while (text.len > 0 && text.ptr[0] == '/') {
        text = mln_bytes_from(text, 1);
    }
    while (text.len > 0 && text.ptr[text.len - 1] == '/') {
        text.len--;
    }
    return text;
}

static struct mln_err read_roots(struct bundle_making *m, const struct mln_value *list)
{
    size_t n = list == NULL ? 1 : mln_len(list);
    if (list != NULL && (mln_type_of(list) != MLN_ARRAY || n > MLN_BUNDLE_ROOTS_MAX)) {
        return bad_manifest(m, "roots is a list of at most 4096 paths");
    }
    struct mln_bytes *roots = mln_new_array(m->cx, n + 1, sizeof(*roots));
    MLN_TRY(mln_cx_err(m->cx));
    roots[0] = MLN_BYTES("");
    for (size_t i = 0; list != NULL && i < n; i++) {
        if (mln_type_of(mln_item(list, i)) != MLN_STRING) {
            return bad_manifest(m, "roots is a list of at most 4096 paths");
        }
        roots[i] = without_slashes(mln_get_bytes(mln_item(list, i)));
        roots[i] = roots[i].len == 0 ? MLN_BYTES("") : roots[i];
        for (size_t k = 0; k < i; k++) {
            if (bundle_is_below(roots[i], roots[k]) || bundle_is_below(roots[k], roots[i])) {
                return mln_fail(m->cx, MLN_E_INVALID, "bundle: manifest has overlapped roots: '%.*s' and '%.*s'",
                                MLN_FMT(roots[k]), MLN_FMT(roots[i]));
            }
        }
    }
    m->bundle->roots = roots;
    m->bundle->n_roots = n;
    return MLN_OK;
}

static bool is_version(const struct mln_value *v)
{
    return v == NULL || (mln_type_of(v) == MLN_INT && (mln_get_int(v, 2) == 0 || mln_get_int(v, 2) == 1));
}

static struct mln_err check_versions(struct bundle_making *m, const struct mln_value *manifest)
{
    const struct mln_value *files = mln_get(manifest, "file_rego_versions");
    if (!is_version(mln_get(manifest, "rego_version"))) {
        return bad_manifest(m, "rego_version is 0 or 1");
    }
    if (files != NULL && (mln_type_of(files) != MLN_OBJECT || mln_len(files) > MLN_BUNDLE_FILES_MAX)) {
        return bad_manifest(m, "file_rego_versions is an object of paths and versions");
    }
    for (size_t i = 0; i < mln_len(files); i++) {
        if (!is_version(&mln_member_at(files, i)->value)) {
            return bad_manifest(m, "file_rego_versions has a version that is neither 0 nor 1");
        }
    }
    return MLN_OK;
}

static struct mln_err read_manifest(struct bundle_making *m)
{
    const struct mln_bundle_file *f = bundle_find(m->files, m->n, BUNDLE_MANIFEST);
    const struct mln_value *manifest = mln_object(m->cx);
    if (f != NULL) {
        if (f->bytes.len > MLN_BUNDLE_MANIFEST_MAX) {
            return mln_fail(m->cx, MLN_E_TOO_LARGE, "bundle: .manifest is larger than %zu bytes", MLN_BUNDLE_MANIFEST_MAX);
        }
        if (mln_failed(mln_json_parse(m->cx, f->bytes, &manifest))) {
            const char *why = mln_text_dup(m->cx, mln_bytes_of(m->cx->text));
            return mln_refail(m->cx, MLN_E_PARSE, "bundle: .manifest: %s", why);
        }
        if (mln_type_of(manifest) != MLN_OBJECT) {
            return bad_manifest(m, "it is an object");
        }
    }
    const struct mln_value *revision = mln_get(manifest, "revision");
    if (revision != NULL && mln_type_of(revision) != MLN_STRING) {
        return bad_manifest(m, "revision is a text");
    }
    m->bundle->manifest = manifest;
    m->bundle->revision = mln_get_text(m->cx, revision, "");
    MLN_TRY(check_versions(m, manifest));
    return read_roots(m, mln_is_null(mln_get(manifest, "roots")) ? NULL : mln_get(manifest, "roots"));
}

/* ---- policies ---- */

static enum mln_rego_version version_of(const struct bundle_making *m, const char *path)
{
    const struct mln_value *manifest = m->bundle->manifest, *files = mln_get(manifest, "file_rego_versions");
    enum mln_rego_version otherwise = m->options == NULL ? MLN_REGO_V1 : m->options->version;
    int64_t v = mln_get_int(mln_get(manifest, "rego_version"), otherwise == MLN_REGO_V0 ? 0 : 1);
    for (size_t i = 0; i < mln_len(files); i++) {
        struct mln_bytes pattern = without_slashes(mln_member_at(files, i)->key);
        if (mln_bytes_glob(pattern, mln_bytes_of(path))) {
            v = mln_get_int(&mln_member_at(files, i)->value, v);
            if (mln_bytes_is(pattern, path)) {
                break; /* its own name says more than a pattern */
            }
        }
    }
    return v == 0 ? MLN_REGO_V0 : MLN_REGO_V1;
}

static void heap_drop(struct rg_heap **heap)
{
    rg_heap_free(*heap);
}

/* "a/b" of package a.b. */
static void package_path(const struct rg_term *package, struct mln_buf *out)
{
    for (uint32_t i = 1; i < package->n; i++) {
        mln_buf_add_text(out, i == 1 ? "" : "/");
        if (package->items[i]->value.tag == RG_STR) {
            mln_buf_add_bytes(out, rg_bytes(package->items[i]->value));
        }
    }
}

struct mln_err mln_bundle_package(struct mln_cx *cx, const struct mln_bundle_module *module, struct mln_buf *ret)
{
    MLN_AUTO(heap_drop) struct rg_heap *heap = rg_heap_new(0);
    if (heap == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (module->text.len > MLN_REGO_MODULE_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "bundle: %s is larger than %zu bytes", module->path, MLN_REGO_MODULE_MAX);
    }
    struct rg_errors errors = {.heap = heap, .max = 1};
    struct rg_names names = {.heap = heap};
    struct rg_parse how = {.heap = heap,
                           .names = &names,
                           .errors = &errors,
                           .file = module->path,
                           .text = mln_bytes_at(rg_text_dup(heap, module->text), module->text.len),
                           .version = module->version};
    struct rg_module *parsed = rg_parse_module(&how);
    if (parsed == NULL) {
        const struct mln_rego_error *e = errors.n > 0 ? &errors.list[0] : NULL;
        return mln_fail(cx, MLN_E_PARSE, "bundle: %s:%u: rego_parse_error: %s", module->path, e == NULL ? 1u : (unsigned)e->row,
                        e == NULL ? "module cannot be read" : e->message);
    }
    package_path(parsed->package, ret);
    return mln_buf_ok(cx, ret);
}

static struct mln_err check_module(struct bundle_making *m, const struct mln_bundle_module *module)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf path = {0};
    MLN_TRY(mln_bundle_package(m->cx, module, &path));
    if (!mln_bundle_covers(m->bundle, mln_buf_bytes(&path))) {
        return mln_fail(m->cx, MLN_E_INVALID, "bundle: manifest roots do not permit 'package %.*s' in module '%s'",
                        MLN_FMT(mln_buf_bytes(&path)), module->path);
    }
    return MLN_OK;
}

static struct mln_err read_modules(struct bundle_making *m)
{
    size_t n = 0;
    struct mln_bundle_module *modules = mln_new_array(m->cx, m->n + 1, sizeof(*modules));
    MLN_TRY(mln_cx_err(m->cx));
    for (size_t i = 0; i < m->n; i++) {
        const struct mln_bundle_file *f = &m->files[i];
        if (mln_bytes_ends(mln_bytes_of(f->path), MLN_BYTES(".rego"))) {
            struct mln_bytes text = f->bytes.ptr == NULL ? MLN_BYTES("") : f->bytes;
            modules[n++] = (struct mln_bundle_module){f->path, text, version_of(m, f->path)};
        }
    }
    m->bundle->modules = modules;
    m->bundle->n_modules = n;
    for (size_t i = 0; i < n; i++) {
        MLN_TRY(check_module(m, &modules[i]));
    }
    return MLN_OK;
}

/* ---- the whole ---- */

static struct mln_err read_delta(struct bundle_making *m)
{
    for (size_t i = 0; i < m->n; i++) {
        struct mln_bytes name = bundle_base_name(m->files[i].path);
        if (bundle_is_document(name) || mln_bytes_ends(name, MLN_BYTES(".rego"))) {
            return mln_fail(m->cx, MLN_E_INVALID, "bundle: a delta has patch.json only, not %s", m->files[i].path);
        }
    }
    return bundle_check_patch(m);
}

struct mln_err bundle_finish(struct bundle_making *m)
{
    MLN_TRY(sort_files(m));
    MLN_TRY(bundle_verify(m));
    MLN_TRY(read_manifest(m));
    const struct mln_bundle_file *patch = bundle_find(m->files, m->n, BUNDLE_PATCH);
    if (patch != NULL) {
        m->bundle->is_delta = true;
        m->bundle->patch = patch->bytes;
        return read_delta(m);
    }
    MLN_TRY(read_modules(m));
    return bundle_read_data(m);
}

struct mln_err bundle_make(struct mln_cx *cx, const struct mln_bundle_options *options, bundle_fill_fn *fill,
                           const void *from, struct mln_bundle **ret)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    struct mln_cx own;
    MLN_TRY(bundle_new(cx, &bundle));
    mln_cx_init(&own, bundle->store->arena);
    struct bundle_making m = {.cx = &own, .options = options, .bundle = bundle};
    struct mln_err err = fill(&m, from);
    err = mln_failed(err) ? err : bundle_finish(&m);
    if (mln_failed(err)) {
        return mln_fail(cx, (enum mln_code)err.code, "%s", own.text);
    }
    *ret = mln_take(&bundle);
    return MLN_OK;
}

static struct mln_err fill_packed(struct bundle_making *m, const void *from)
{
    return bundle_unpack(m, *(const struct mln_bytes *)from);
}

struct mln_err mln_bundle_read(struct mln_cx *cx, struct mln_bytes packed, const struct mln_bundle_options *options,
                               struct mln_bundle **ret)
{
    return bundle_make(cx, options, fill_packed, &packed, ret);
}

struct given {
    const struct mln_bundle_file *files;
    size_t n;
};

static struct mln_err fill_given(struct bundle_making *m, const void *from)
{
    const struct given *g = from;
    for (size_t i = 0; i < g->n; i++) {
        MLN_TRY(bundle_add_file(m, mln_bytes_of(g->files[i].path), g->files[i].bytes));
    }
    return MLN_OK;
}

struct mln_err mln_bundle_of_files(struct mln_cx *cx, const struct mln_bundle_file *files, size_t n,
                                   const struct mln_bundle_options *options, struct mln_bundle **ret)
{
    struct given given = {files, n};
    return bundle_make(cx, options, fill_given, &given, ret);
}
