/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a model and the statement over it; what they promise stands in oms.h. */
#include "artifact/oms.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "artifact/oms_priv.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/crypto.h"

const char *const oms_git_paths[4] = {".git", ".gitattributes", ".github", ".gitignore"};

uint64_t oms_units_count(const struct mln_tree_file *files, size_t n, uint64_t shard_size)
{
    if (shard_size == 0) {
        return n;
    }
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += files[i].size / shard_size + (files[i].size % shard_size != 0);
    }
    return count;
}

void oms_units_of(struct mln_cx *cx, const struct mln_tree_file *file, uint64_t shard_size,
                  struct oms_unit *units, size_t *n)
{
    if (shard_size == 0) {
        units[(*n)++] =
            (struct oms_unit){.name = mln_bytes_of(file->path), .file = file, .end = file->size};
        return;
    }
    for (uint64_t at = 0; at < file->size;) {
        uint64_t end = file->size - at < shard_size ? file->size : at + shard_size;
        struct mln_bytes name = mln_bytes_format(cx, "%s:%llu:%llu", file->path,
                                                 (unsigned long long)at, (unsigned long long)end);
        units[(*n)++] = (struct oms_unit){.name = name, .file = file, .start = at, .end = end};
        at = end;
    }
}

const char *oms_signature_inside(struct mln_cx *cx, const char *model_path,
                                 const char *signature_path)
{
    if (signature_path == NULL) {
        return NULL;
    }
    const char *slash = strrchr(signature_path, '/');
    const char *dir =
        slash == NULL ? "."
        : slash == signature_path
            ? "/"
            : mln_text_dup(cx, mln_bytes_at(signature_path, (size_t)(slash - signature_path)));
    char model[PATH_MAX];
    char folder[PATH_MAX];
    const char *inside = NULL;
    const char *base = slash == NULL ? signature_path : slash + 1;
    if (realpath(model_path, model) != NULL && realpath(dir, folder) != NULL &&
        mln_tree_is_below(folder, mln_bytes_of(model))) {
        const char *rest = folder + strlen(model);
        inside = *rest == '/' ? mln_text_format(cx, "%s/%s", rest + 1, base)
                              : mln_text_dup(cx, mln_bytes_of(base));
    }
    return inside;
}

/* What the statement says is left out: git's names, the signature, and what the caller wants. */
static const struct mln_value *ignores(struct mln_cx *cx, const char *path,
                                       const struct mln_oms_options *options)
{
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < MLN_COUNT(oms_git_paths) && !options->keep_git_paths; i++) {
        mln_push_text(cx, list, oms_git_paths[i]);
    }
    const char *inside = oms_signature_inside(cx, path, options->signature_path);
    if (inside != NULL) {
        mln_push_text(cx, list, inside);
    }
    for (size_t i = 0; i < mln_len(options->ignore); i++) {
        mln_push(cx, list, mln_item(options->ignore, i));
    }
    return list;
}

static struct mln_err check_ignores(struct mln_cx *cx, const struct mln_value *ignore)
{
    for (size_t i = 0; i < mln_len(ignore); i++) {
        struct mln_bytes path = mln_get_bytes(mln_item(ignore, i));
        while (path.len > 1 && path.ptr[path.len - 1] == '/') {
            path.len--;
        }
        if (!mln_tree_path_valid(path)) {
            return mln_fail(cx, MLN_E_INVALID,
                            "cannot ignore %s: a path relative to the model is wanted",
                            mln_tree_show(cx, path));
        }
    }
    return MLN_OK;
}

static struct mln_err units_of_tree(struct mln_cx *cx, const struct mln_tree *tree,
                                    const struct mln_oms_options *options, struct oms_unit **ret,
                                    size_t *ret_n)
{
    for (size_t i = 0; i < tree->n_files; i++) {
        MLN_TRY(mln_tree_check(cx, &tree->files[i], options->allow_symlinks));
    }
    uint64_t count = oms_units_count(tree->files, tree->n_files, options->shard_size);
    if (count == 0) {
        return mln_fail(cx, MLN_E_INVALID, "%s: there is nothing to sign", tree->name);
    }
    if (count > MLN_OMS_UNITS_MAX) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "the model has more than %u %s", MLN_OMS_UNITS_MAX,
                        options->shard_size == 0 ? "files" : "shards; choose larger ones");
    }
    struct oms_unit *units = mln_new_array(cx, (size_t)count, sizeof(*units));
    if (units == NULL) {
        return mln_cx_err(cx);
    }
    size_t n = 0;
    for (size_t i = 0; i < tree->n_files; i++) {
        oms_units_of(cx, &tree->files[i], options->shard_size, units, &n);
    }
    *ret = units;
    *ret_n = n;
    return mln_cx_err(cx);
}

static struct mln_err hash_units(struct mln_cx *cx, const struct mln_tree *tree,
                                 const struct mln_oms_options *options,
                                 const struct oms_unit *units, struct mln_oms_manifest *to)
{
    struct mln_digest_job *jobs = mln_new_array(cx, to->n_entries, sizeof(*jobs));
    to->entries = mln_new_array(cx, to->n_entries, sizeof(*to->entries));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < to->n_entries; i++) {
        jobs[i] = (struct mln_digest_job){
            .file = units[i].file, .start = units[i].start, .end = units[i].end};
    }
    MLN_TRY(mln_digest_files(cx, tree, options->digest, jobs, to->n_entries, options->progress));
    struct mln_sha256_stream all;
    MLN_TRY(mln_sha256_begin(cx, &all));
    for (size_t i = 0; i < to->n_entries; i++) {
        to->entries[i] = (struct mln_oms_entry){.name = units[i].name, .digest = jobs[i].digest};
        mln_sha256_update(&all, jobs[i].digest, mln_digest_len(options->digest));
    }
    mln_sha256_end(&all, to->root);
    return MLN_OK;
}

struct mln_err mln_oms_manifest(struct mln_cx *cx, const char *path,
                                const struct mln_oms_options *options, struct mln_oms_manifest *ret)
{
    MLN_TRY(check_ignores(cx, options->ignore));
    struct mln_oms_manifest manifest = {.digest = options->digest,
                                        .shard_size = options->shard_size,
                                        .allow_symlinks = options->allow_symlinks,
                                        .ignore = ignores(cx, path, options)};
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    MLN_TRY(mln_tree_walk(cx, path, manifest.ignore, &tree));
    struct oms_unit *units = NULL;
    MLN_TRY(units_of_tree(cx, &tree, options, &units, &manifest.n_entries));
    manifest.name = tree.name;
    manifest.n_files = tree.n_files;
    manifest.bytes = tree.bytes;
    MLN_TRY(hash_units(cx, &tree, options, units, &manifest));
    *ret = manifest;
    return mln_cx_err(cx);
}

static struct mln_value *serialization(struct mln_cx *cx, const struct mln_oms_manifest *m)
{
    struct mln_value *how = mln_object(cx);
    mln_put_text(cx, how, "method", m->shard_size == 0 ? "files" : "shards");
    mln_put_text(cx, how, "hash_type", mln_digest_name(m->digest));
    if (m->shard_size != 0) {
        mln_put_int(cx, how, "shard_size", (int64_t)m->shard_size);
    }
    mln_put_bool(cx, how, "allow_symlinks", m->allow_symlinks);
    mln_put(cx, how, "ignore_paths", m->ignore);
    return how;
}

static struct mln_value *resources(struct mln_cx *cx, const struct mln_oms_manifest *m)
{
    struct mln_value *list = mln_array(cx);
    const char *algorithm = m->shard_size == 0
                                ? mln_digest_name(m->digest)
                                : mln_text_format(cx, "%s-sharded-%llu", mln_digest_name(m->digest),
                                                  (unsigned long long)m->shard_size);
    for (size_t i = 0; i < m->n_entries; i++) {
        struct mln_value *entry = mln_object(cx);
        mln_put_bytes(cx, entry, "name", m->entries[i].name);
        mln_put_text(cx, entry, "algorithm", algorithm);
        mln_put_text(
            cx, entry, "digest",
            mln_hex_text(cx, mln_bytes_at(m->entries[i].digest, mln_digest_len(m->digest))));
        mln_push(cx, list, entry);
    }
    return list;
}

struct mln_err mln_oms_statement(struct mln_cx *cx, const struct mln_oms_manifest *manifest,
                                 struct mln_buf *payload)
{
    struct mln_value *digest = mln_object(cx);
    mln_put_text(cx, digest, "sha256", mln_hex_text(cx, mln_bytes_at(manifest->root, 32)));
    struct mln_value *subject = mln_object(cx);
    mln_put_text(cx, subject, "name", manifest->name);
    mln_put(cx, subject, "digest", digest);
    struct mln_value *subjects = mln_array(cx);
    mln_push(cx, subjects, subject);
    struct mln_value *predicate = mln_object(cx);
    mln_put(cx, predicate, "serialization", serialization(cx, manifest));
    mln_put(cx, predicate, "resources", resources(cx, manifest));
    struct mln_value *statement = mln_object(cx);
    mln_put_text(cx, statement, "_type", MLN_OMS_STATEMENT);
    mln_put(cx, statement, "subject", subjects);
    mln_put_text(cx, statement, "predicateType", MLN_OMS_PREDICATE);
    mln_put(cx, statement, "predicate", predicate);
    MLN_TRY(mln_cx_err(cx));
    mln_json_print(payload, statement, MLN_JSON_COMPACT);
    return mln_buf_ok(cx, payload);
}
