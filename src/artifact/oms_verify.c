/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verifying a model: first the signature, then what it says, then the files. Nothing of the payload
 * is read before the signature over its bytes held, but for the JSON of the bundle around it.
 */
#include <math.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "artifact/oms_priv.h"
#include "base/io.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define SHOWN_NAMES 3    /* in the one-line error; the report has all */
#define SNIFF       4096 /* bytes of an uncovered file that are looked at */

struct resource {
    struct mln_bytes name;
    uint8_t digest[MLN_DIGEST_MAX];
    struct mln_bytes hex;
    bool is_found;
};

/* What an authentic statement says. */
struct statement {
    struct mln_bytes name;
    enum mln_digest digest;
    uint64_t shard_size;
    bool allow_symlinks;
    bool is_legacy;
    const struct mln_value *ignore;
    struct resource *resources; /* sorted by name once the root is checked */
    size_t n_resources;
    uint8_t root[32];
};

/* What the bundle says and who says it. */
struct said {
    struct mln_dsse dsse;
    struct mln_value *signer, *warnings;
};

struct verify {
    struct mln_cx *cx;
    const struct mln_oms_options *options;
    struct statement st;
    struct mln_tree tree;
    struct oms_unit *units; /* on disk and in the statement */
    struct resource **of_unit;
    size_t n_units;
    uint64_t bytes;
    size_t n_files;
    struct said said;
    struct mln_value *missing, *extra, *different, *uncovered;
};

static struct mln_err bad(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_FORGED, "statement: %s", what);
}

/* ---- the signature ---- */

static struct mln_err verify_pae(struct mln_cx *cx, const struct mln_dsse *dsse, EVP_PKEY *key,
                                 bool legacy)
{
    const EVP_MD *md = NULL;
    MLN_TRY(oms_key_hash(cx, key, &md));
    if (legacy && dsse->material == MLN_DSSE_CHAIN) {
        md = EVP_sha256();
    }
    struct mln_buf pae = {0};
    if (legacy) {
        mln_dsse_pae_legacy(&pae, dsse->payload_type, dsse->payload);
    } else {
        mln_dsse_pae(&pae, dsse->payload_type, dsse->payload);
    }
    struct mln_err err = mln_buf_ok(cx, &pae);
    if (!mln_failed(err)) {
        err = oms_key_verify(cx, key, md, mln_buf_bytes(&pae), dsse->sig);
    }
    mln_buf_drop(&pae);
    return err;
}

static struct mln_err check_hint(struct mln_cx *cx, const struct mln_dsse *dsse, EVP_PKEY *key,
                                 struct mln_value *signer, struct mln_value *warnings)
{
    struct mln_bytes pem;
    const char *hint = NULL;
    MLN_TRY(oms_key_pem(cx, key, &pem, &hint));
    if (dsse->hint.len == 0) {
        mln_push_text(cx, warnings, "the bundle has no hint of its key");
    } else if (!mln_bytes_is(dsse->hint, hint)) {
        return mln_fail(cx, MLN_E_FORGED,
                        "the bundle was made with another key (its hint differs)");
    }
    mln_put_text(cx, signer, "kind", "key");
    mln_put_text(cx, signer, "hint", hint);
    return mln_cx_err(cx);
}

static struct mln_err trusted_key(struct mln_cx *cx, const struct mln_dsse *dsse,
                                  const struct mln_oms_trust *trust, EVP_PKEY **ret,
                                  struct mln_value *signer, struct mln_value *warnings)
{
    if ((trust->public_pem.len > 0) == (trust->roots_pem.len > 0)) {
        return mln_fail(cx, MLN_E_INVALID, "give either a public key or roots to verify with");
    }
    if (trust->roots_pem.len > 0) {
        if (dsse->material != MLN_DSSE_CHAIN) {
            return mln_fail(cx, MLN_E_FORGED,
                            "the bundle holds no certificate; it wants a public key");
        }
        return oms_chain_verify(cx, dsse, trust, ret, signer, warnings);
    }
    if (dsse->material != MLN_DSSE_KEY) {
        return mln_fail(cx, MLN_E_FORGED,
                        "the bundle is signed with a certificate; it wants roots");
    }
    MLN_AUTO(oms_pkey_drop) EVP_PKEY *key = NULL;
    MLN_TRY(oms_key_from_public_pem(cx, trust->public_pem, &key));
    MLN_TRY(check_hint(cx, dsse, key, signer, warnings));
    *ret = mln_take(&key);
    return MLN_OK;
}

static struct mln_err verify_envelope(struct mln_cx *cx, struct mln_bytes bundle,
                                      const struct mln_oms_trust *trust, bool legacy,
                                      struct said *said)
{
    struct mln_dsse *dsse = &said->dsse;
    MLN_TRY(mln_dsse_parse(cx, bundle, dsse));
    MLN_AUTO(oms_pkey_drop) EVP_PKEY *key = NULL;
    MLN_TRY(trusted_key(cx, dsse, trust, &key, said->signer, said->warnings));
    struct mln_err err = verify_pae(cx, dsse, key, false);
    if (mln_is(err, MLN_E_FORGED) && legacy) {
        mln_cx_clear(cx);
        err = verify_pae(cx, dsse, key, true);
        if (!mln_failed(err)) {
            mln_push_text(cx, said->warnings, "the signature is over the format from before 1.0");
        }
    }
    MLN_TRY(err);
    if (!mln_bytes_is(dsse->payload_type, MLN_DSSE_IN_TOTO)) {
        return mln_fail(cx, MLN_E_FORGED, "bundle: payloadType is not " MLN_DSSE_IN_TOTO);
    }
    return MLN_OK;
}

/* ---- the statement ---- */

static struct mln_err parse_digest(struct mln_cx *cx, const struct mln_value *v, size_t want,
                                   uint8_t *to)
{
    struct mln_buf raw = {0};
    struct mln_err err = mln_hex_parse(cx, mln_get_bytes(v), &raw);
    bool fits = !mln_failed(err) && raw.len == want;
    if (fits) {
        mln_copy(to, raw.ptr, want);
    }
    mln_buf_drop(&raw);
    return fits ? MLN_OK : bad(cx, "a digest is malformed");
}

/* A number that may come as 5 or 5.0. */
static bool whole_number(const struct mln_value *v, uint64_t *ret)
{
    double d = mln_get_double(v, -1);
    if (!(d >= 1 && d <= 9007199254740992.0) || trunc(d) < d) {
        return false;
    }
    *ret = (uint64_t)d;
    return true;
}

static struct mln_err parse_hash_type(struct mln_cx *cx, const struct mln_value *how,
                                      struct statement *st)
{
    struct mln_bytes name = mln_get_bytes(mln_get(how, "hash_type"));
    if (mln_bytes_is(name, "blake3")) {
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "the model is signed over BLAKE3 digests, which are not built in");
    }
    if (!mln_digest_parse(name, &st->digest)) {
        return bad(cx, "hash_type is not sha256, blake2b or blake3");
    }
    return MLN_OK;
}

static struct mln_err parse_serialization(struct mln_cx *cx, const struct mln_value *how,
                                          struct statement *st)
{
    const struct mln_value *method = mln_get(how, "method");
    const struct mln_value *links = mln_get(how, "allow_symlinks");
    const struct mln_value *ignore = mln_get(how, "ignore_paths");
    MLN_TRY(parse_hash_type(cx, how, st));
    if (mln_is_text(method, "shards")) {
        if (!whole_number(mln_get(how, "shard_size"), &st->shard_size)) {
            return bad(cx, "shard_size is not a whole number");
        }
    } else if (!mln_is_text(method, "files")) {
        return bad(cx, "method is neither files nor shards");
    }
    if (!mln_is_null(links) && mln_type_of(links) != MLN_BOOL) {
        return bad(cx, "allow_symlinks is not a boolean");
    }
    if (!mln_is_null(ignore) && mln_type_of(ignore) != MLN_ARRAY) {
        return bad(cx, "ignore_paths is not a list");
    }
    for (size_t i = 0; i < mln_len(ignore); i++) {
        struct mln_bytes path = mln_get_bytes(mln_item(ignore, i));
        if (!mln_bytes_is(path, ".") && !mln_tree_path_valid(path)) {
            return bad(cx, "ignore_paths holds what is no relative path");
        }
    }
    st->allow_symlinks = mln_get_bool(links, false);
    st->ignore = ignore;
    return MLN_OK;
}

/* The part of a resource's name before ":start:end". */
static struct mln_bytes path_of(struct mln_bytes name, bool is_shard)
{
    for (int colons = is_shard ? 2 : 0; colons > 0 && name.len > 0; name.len--) {
        colons -= name.ptr[name.len - 1] == ':';
    }
    return name;
}

static struct mln_err check_name(struct mln_cx *cx, const struct statement *st,
                                 struct mln_bytes name)
{
    struct mln_bytes path = path_of(name, st->shard_size != 0);
    if (!mln_bytes_is(path, ".") && !mln_tree_path_valid(path)) {
        return mln_fail(cx, MLN_E_FORGED, "statement: \"%s\" is no name for a file in the model",
                        mln_tree_show(cx, name));
    }
    return MLN_OK;
}

static struct mln_err parse_resource(struct mln_cx *cx, const struct statement *st,
                                     const struct mln_value *v, struct mln_bytes algorithm,
                                     struct resource *to)
{
    const struct mln_value *name = mln_get(v, "name");
    if (mln_type_of(name) != MLN_STRING) {
        return bad(cx, "a resource has no name");
    }
    to->name = mln_get_bytes(name);
    MLN_TRY(check_name(cx, st, to->name));
    if (!mln_bytes_eq(mln_get_bytes(mln_get(v, "algorithm")), algorithm)) {
        return mln_fail(cx, MLN_E_FORGED, "statement: the algorithm of %s is not %.*s",
                        mln_tree_show(cx, to->name), MLN_FMT(algorithm));
    }
    return parse_digest(cx, mln_get(v, "digest"), mln_digest_len(st->digest), to->digest);
}

static struct mln_err alloc_resources(struct mln_cx *cx, size_t n, struct statement *st)
{
    if (n > MLN_OMS_UNITS_MAX) {
        return bad(cx, "too many resources");
    }
    st->resources = mln_new_array(cx, n + 1, sizeof(*st->resources));
    st->n_resources = n;
    return mln_cx_err(cx);
}

static struct mln_err parse_resources(struct mln_cx *cx, const struct mln_value *list,
                                      struct statement *st)
{
    if (mln_type_of(list) != MLN_ARRAY) {
        return bad(cx, "resources is not a list");
    }
    MLN_TRY(alloc_resources(cx, mln_len(list), st));
    struct mln_bytes algorithm =
        st->shard_size == 0 ? mln_bytes_of(mln_digest_name(st->digest))
                            : mln_bytes_format(cx, "%s-sharded-%llu", mln_digest_name(st->digest),
                                               (unsigned long long)st->shard_size);
    struct mln_sha256_stream root;
    MLN_TRY(mln_sha256_begin(cx, &root));
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < st->n_resources && !mln_failed(err); i++) {
        err = parse_resource(cx, st, mln_item(list, i), algorithm, &st->resources[i]);
        mln_sha256_update(&root, st->resources[i].digest, mln_digest_len(st->digest));
    }
    mln_sha256_end(&root, st->root);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return mln_bytes_cmp(((const struct resource *)a)->name, ((const struct resource *)b)->name);
}

static struct mln_err sort_resources(struct mln_cx *cx, struct statement *st)
{
    qsort(st->resources, st->n_resources, sizeof(*st->resources), by_name);
    for (size_t i = 1; i < st->n_resources; i++) {
        if (mln_bytes_eq(st->resources[i - 1].name, st->resources[i].name)) {
            return mln_fail(cx, MLN_E_FORGED, "statement: %s stands twice",
                            mln_tree_show(cx, st->resources[i].name));
        }
    }
    return MLN_OK;
}

/* Before 1.0: one subject a file, always SHA-256 of whole files, only git's names ignored. */
static struct mln_err parse_legacy(struct mln_cx *cx, const struct mln_value *subjects,
                                   struct statement *st)
{
    st->is_legacy = true;
    struct mln_value *ignore = mln_array(cx);
    for (size_t i = 0; i < MLN_COUNT(oms_git_paths); i++) {
        mln_push_text(cx, ignore, oms_git_paths[i]);
    }
    st->ignore = ignore;
    MLN_TRY(alloc_resources(cx, mln_len(subjects), st));
    for (size_t i = 0; i < st->n_resources; i++) {
        const struct mln_value *subject = mln_item(subjects, i);
        st->resources[i].name = mln_get_bytes(mln_get(subject, "name"));
        MLN_TRY(check_name(cx, st, st->resources[i].name));
        MLN_TRY(parse_digest(cx, mln_get(mln_get(subject, "digest"), "sha256"), 32,
                             st->resources[i].digest));
    }
    return sort_resources(cx, st);
}

static struct mln_err parse_current(struct mln_cx *cx, const struct mln_value *doc,
                                    struct statement *st)
{
    const struct mln_value *subjects = mln_get(doc, "subject");
    const struct mln_value *predicate = mln_get(doc, "predicate");
    uint8_t claimed[32];
    if (mln_type_of(subjects) != MLN_ARRAY || mln_len(subjects) != 1) {
        return bad(cx, "there must be exactly one subject");
    }
    st->name = mln_get_bytes(mln_get(mln_item(subjects, 0), "name"));
    MLN_TRY(
        parse_digest(cx, mln_get(mln_get(mln_item(subjects, 0), "digest"), "sha256"), 32, claimed));
    MLN_TRY(parse_serialization(cx, mln_get(predicate, "serialization"), st));
    MLN_TRY(parse_resources(cx, mln_get(predicate, "resources"), st));
    if (!mln_same(claimed, st->root, sizeof(claimed))) {
        return bad(cx, "the root digest is not that of the resources");
    }
    return sort_resources(cx, st);
}

static struct mln_err parse_statement(struct mln_cx *cx, struct mln_bytes payload, bool legacy,
                                      struct statement *st)
{
    const struct mln_value *doc = NULL;
    struct mln_err err = mln_json_parse(cx, payload, &doc);
    if (mln_is(err, MLN_E_PARSE)) {
        return bad(cx, "the payload is not strict JSON");
    }
    MLN_TRY(err);
    if (!mln_is_text(mln_get(doc, "_type"), MLN_OMS_STATEMENT)) {
        return bad(cx, "_type is not " MLN_OMS_STATEMENT);
    }
    const struct mln_value *type = mln_get(doc, "predicateType");
    if (mln_is_text(type, MLN_OMS_PREDICATE_LEGACY)) {
        return legacy ? parse_legacy(cx, mln_get(doc, "subject"), st)
                      : bad(cx, "of a format before 1.0 (--legacy reads it)");
    }
    if (!mln_is_text(type, MLN_OMS_PREDICATE)) {
        return bad(cx, "predicateType is not " MLN_OMS_PREDICATE);
    }
    return parse_current(cx, doc, st);
}

/* ---- the files ---- */

static struct resource *find_resource(const struct statement *st, struct mln_bytes name)
{
    struct resource key = {.name = name};
    return bsearch(&key, st->resources, st->n_resources, sizeof(*st->resources), by_name);
}

/*
 * Names of model weights, code and settings that loaders read: leaving such a file out leaves a
 * hole.
 */
static const char *const loaded_endings[] = {
    ".bin",  ".safetensors", ".pt",     ".pth",     ".ckpt", ".pkl",  ".pickle", ".joblib",
    ".dill", ".npy",         ".npz",    ".onnx",    ".pb",   ".h5",   ".hdf5",   ".keras",
    ".gguf", ".ggml",        ".tflite", ".model",   ".mar",  ".nemo", ".zip",    ".tar",
    ".gz",   ".tgz",         ".7z",     ".msgpack", ".ot",   ".rds",  ".xml",    ".engine",
    ".plan", ".mlmodel",     ".params", ".weights", ".data", ".dat",  ".py",     ".pyc",
    ".so",   ".dll",         ".dylib",  ".sh",      ".js",   ".jar",  ".class",  ".lua",
    ".json", ".yaml",        ".yml",    ".toml",    ".cfg",  ".ini"};

static bool has_loaded_ending(struct mln_bytes path)
{
    for (size_t i = 0; i < MLN_COUNT(loaded_endings); i++) {
        struct mln_bytes ending = mln_bytes_of(loaded_endings[i]);
        if (path.len > ending.len &&
            mln_bytes_is_nocase(mln_bytes_from(path, path.len - ending.len), loaded_endings[i])) {
            return true;
        }
    }
    return false;
}

/* Whether the beginning of a file is plain text; what cannot be read is not. */
static bool is_plain_text(const struct verify *v, const struct mln_tree_file *file)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    uint8_t head[SNIFF];
    size_t n = file->size < SNIFF ? (size_t)file->size : SNIFF;
    if (mln_failed(mln_tree_open(NULL, &v->tree, file, &fd)) ||
        mln_failed(mln_fd_pread(NULL, fd, head, n, 0))) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((head[i] < 0x20 && head[i] != '\n' && head[i] != '\r' && head[i] != '\t') ||
            head[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_git_path(const char *path)
{
    for (size_t i = 0; i < MLN_COUNT(oms_git_paths); i++) {
        if (mln_tree_is_below(path, mln_bytes_of(oms_git_paths[i]))) {
            return true;
        }
    }
    return false;
}

/* A file that the signer left out on purpose. */
static struct mln_err take_uncovered(struct verify *v, const struct mln_tree_file *file)
{
    if (is_git_path(file->path)) {
        return MLN_OK;
    }
    mln_push_text(v->cx, v->uncovered, file->path);
    if (v->options->allow_uncovered) {
        return MLN_OK;
    }
    if (file->kind != MLN_TREE_FILE || has_loaded_ending(mln_bytes_of(file->path)) ||
        !is_plain_text(v, file)) {
        return mln_fail(
            v->cx, MLN_E_FORGED,
            "the signer left out %s, which a loader may read (--allow-uncovered accepts it)",
            mln_tree_show(v->cx, mln_bytes_of(file->path)));
    }
    return MLN_OK;
}

/* The units of a file that the statement knows; false when it knows none of them. */
static bool match_units(struct verify *v, const struct mln_tree_file *file)
{
    size_t first = v->n_units;
    size_t n = first;
    oms_units_of(v->cx, file, v->st.shard_size, v->units, &n);
    size_t kept = first;
    size_t unknown = 0;
    for (size_t i = first; i < n; i++) {
        struct resource *resource = find_resource(&v->st, v->units[i].name);
        if (resource == NULL) {
            unknown++;
            continue;
        }
        resource->is_found = true;
        v->units[kept] = v->units[i];
        v->of_unit[kept++] = resource;
    }
    v->n_units = kept;
    if (kept > first && unknown > 0) {
        mln_push_text(v->cx, v->different, file->path); /* it grew */
    }
    return kept > first;
}

static struct mln_err take_file(struct verify *v, const struct mln_tree_file *file)
{
    bool is_left_out = mln_tree_is_ignored(file->path, v->st.ignore);
    if (!is_left_out && mln_failed(mln_tree_check(NULL, file, v->st.allow_symlinks)) &&
        v->options->ignore_unsigned && find_resource(&v->st, mln_bytes_of(file->path)) == NULL) {
        mln_push_text(v->cx, v->extra, file->path);
        return MLN_OK;
    }
    if (is_left_out) {
        return take_uncovered(v, file);
    }
    MLN_TRY(mln_tree_check(v->cx, file, v->st.allow_symlinks));
    if (match_units(v, file)) {
        v->n_files++;
        v->bytes += file->size;
    } else if (v->st.shard_size == 0 || file->size > 0) {
        mln_push_text(v->cx, v->extra, file->path);
    }
    return MLN_OK;
}

static struct mln_err sort_files(struct verify *v)
{
    uint64_t count = oms_units_count(v->tree.files, v->tree.n_files, v->st.shard_size);
    if (count > (uint64_t)v->st.n_resources + MLN_OMS_UNITS_MAX) {
        return mln_fail(v->cx, MLN_E_FORGED, "the model has far more shards than were signed");
    }
    v->units = mln_new_array(v->cx, (size_t)count + 1, sizeof(*v->units));
    v->of_unit = mln_new_array(v->cx, (size_t)count + 1, sizeof(struct resource *));
    MLN_TRY(mln_cx_err(v->cx));
    for (size_t i = 0; i < v->tree.n_files; i++) {
        MLN_TRY(take_file(v, &v->tree.files[i]));
    }
    for (size_t i = 0; i < v->st.n_resources; i++) {
        if (!v->st.resources[i].is_found) {
            mln_push(v->cx, v->missing, mln_string(v->cx, v->st.resources[i].name));
        }
    }
    return mln_cx_err(v->cx);
}

static struct mln_err hash_files(struct verify *v)
{
    struct mln_digest_job *jobs = mln_new_array(v->cx, v->n_units + 1, sizeof(*jobs));
    MLN_TRY(mln_cx_err(v->cx));
    for (size_t i = 0; i < v->n_units; i++) {
        jobs[i] = (struct mln_digest_job){
            .file = v->units[i].file, .start = v->units[i].start, .end = v->units[i].end};
    }
    MLN_TRY(
        mln_digest_files(v->cx, &v->tree, v->st.digest, jobs, v->n_units, v->options->progress));
    for (size_t i = 0; i < v->n_units; i++) {
        if (!mln_same(jobs[i].digest, v->of_unit[i]->digest, mln_digest_len(v->st.digest))) {
            mln_push(v->cx, v->different, mln_string(v->cx, v->units[i].name));
        }
    }
    return mln_cx_err(v->cx);
}

/* ---- the verdict ---- */

static void add_names(struct mln_cx *cx, struct mln_buf *to, const char *what,
                      const struct mln_value *names)
{
    size_t n = mln_len(names);
    if (n == 0) {
        return;
    }
    mln_buf_add_format(to, "%s%s ", to->len > 0 ? "; " : "", what);
    for (size_t i = 0; i < n && i < SHOWN_NAMES; i++) {
        mln_buf_add_format(to, "%s%s", i > 0 ? ", " : "",
                           mln_tree_show(cx, mln_get_bytes(mln_item(names, i))));
    }
    if (n > SHOWN_NAMES) {
        mln_buf_add_format(to, " and %zu more", n - SHOWN_NAMES);
    }
}

static struct mln_err judge(struct verify *v)
{
    struct mln_buf why = {0};
    add_names(v->cx, &why, "missing", v->missing);
    add_names(v->cx, &why, "different", v->different);
    if (!v->options->ignore_unsigned) {
        add_names(v->cx, &why, "not signed", v->extra);
    }
    mln_buf_add_byte(&why, '\0');
    struct mln_err err = mln_buf_ok(v->cx, &why);
    if (!mln_failed(err) && why.len > 1) {
        err = mln_fail(v->cx, MLN_E_FORGED, "the model is not what was signed: %s",
                       (const char *)why.ptr);
    }
    mln_buf_drop(&why);
    return err;
}

static struct mln_value *report(struct verify *v, bool is_ok)
{
    struct mln_cx *cx = v->cx;
    struct mln_value *r = mln_object(cx);
    mln_put_text(cx, r, "verdict", is_ok ? "ok" : "refused");
    mln_put_text(cx, r, "model", v->tree.name);
    mln_put_bytes(cx, r, "signed_as", v->st.name);
    if (!v->st.is_legacy) {
        mln_put_text(cx, r, "root", mln_hex_text(cx, mln_bytes_at(v->st.root, 32)));
    }
    mln_put_text(cx, r, "method", v->st.shard_size == 0 ? "files" : "shards");
    mln_put_text(cx, r, "hash", mln_digest_name(v->st.digest));
    mln_put_int(cx, r, "files", (int64_t)v->n_files);
    mln_put_int(cx, r, "bytes", (int64_t)v->bytes);
    mln_put(cx, r, "signer", v->said.signer);
    mln_put(cx, r, "ignored", v->st.ignore != NULL ? v->st.ignore : mln_array(cx));
    mln_put(cx, r, "uncovered", v->uncovered);
    mln_put(cx, r, "missing", v->missing);
    mln_put(cx, r, "extra", v->extra);
    mln_put(cx, r, "different", v->different);
    mln_put(cx, r, "warnings", v->said.warnings);
    return r;
}

static void lists(struct verify *v)
{
    v->said.signer = mln_object(v->cx);
    v->said.warnings = mln_array(v->cx);
    v->missing = mln_array(v->cx);
    v->extra = mln_array(v->cx);
    v->different = mln_array(v->cx);
    v->uncovered = mln_array(v->cx);
}

/* What is not even looked at: the signature itself and what the caller does not want to hear of. */
static const struct mln_value *unseen(struct verify *v, const char *model_path)
{
    struct mln_value *list = mln_array(v->cx);
    const char *inside = oms_signature_inside(v->cx, model_path, v->options->signature_path);
    if (inside != NULL) {
        mln_push_text(v->cx, list, inside);
    }
    for (size_t i = 0; i < mln_len(v->options->ignore); i++) {
        mln_push(v->cx, list, mln_item(v->options->ignore, i));
    }
    for (size_t i = 0; i < MLN_COUNT(oms_git_paths); i++) {
        if (mln_tree_is_ignored(oms_git_paths[i], v->st.ignore)) {
            mln_push_text(v->cx, list, oms_git_paths[i]);
        }
    }
    return list;
}

static struct mln_err verify_files(struct verify *v, const char *model_path)
{
    MLN_TRY(mln_tree_walk(v->cx, model_path, unseen(v, model_path), &v->tree));
    if (v->st.n_resources == 0 && !v->options->allow_uncovered) {
        return bad(v->cx, "it covers no file at all");
    }
    MLN_TRY(sort_files(v));
    MLN_TRY(hash_files(v));
    return judge(v);
}

struct mln_err mln_oms_verify(struct mln_cx *cx, const char *model_path, struct mln_bytes bundle,
                              const struct mln_oms_trust *trust,
                              const struct mln_oms_options *options,
                              const struct mln_value **ret_report)
{
    struct verify v = {.cx = cx, .options = options, .tree = {.root_fd = -1}};
    lists(&v);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(verify_envelope(cx, bundle, trust, options->legacy, &v.said));
    MLN_TRY(parse_statement(cx, v.said.dsse.payload, options->legacy, &v.st));
    struct mln_err err = verify_files(&v, model_path);
    mln_tree_drop(&v.tree);
    if (ret_report != NULL && (!mln_failed(err) || mln_is(err, MLN_E_FORGED))) {
        *ret_report = report(&v, !mln_failed(err));
    }
    return mln_failed(err) ? err : mln_cx_err(cx);
}

struct mln_err mln_oms_verify_signature(struct mln_cx *cx, struct mln_bytes bundle,
                                        const struct mln_oms_trust *trust, bool legacy,
                                        uint8_t ret_root[32], const struct mln_value **ret_signer)
{
    struct said said = {.signer = mln_object(cx), .warnings = mln_array(cx)};
    struct statement st = {0};
    MLN_TRY(verify_envelope(cx, bundle, trust, legacy, &said));
    MLN_TRY(parse_statement(cx, said.dsse.payload, legacy, &st));
    if (st.is_legacy) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "a bundle from before 1.0 has no root digest");
    }
    mln_put(cx, said.signer, "warnings", said.warnings);
    MLN_TRY(mln_cx_err(cx));
    mln_copy(ret_root, st.root, sizeof(st.root));
    *ret_signer = said.signer;
    return MLN_OK;
}
