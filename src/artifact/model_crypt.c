/* SPDX-License-Identifier: Apache-2.0 */
/* Encrypting and opening whole models; what they promise stands in model_crypt.h. */
#include "artifact/model_crypt.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "artifact/tree.h"
#include "base/clock.h"
#include "base/io.h"

#define WALK_FDS 32

/* ---- a place beside the target, which becomes the target or vanishes ---- */

struct place {
    const char *temporary; /* NULL = kept, or not made */
    const char *final;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

static void place_drop(struct place *place)
{
    if (place->temporary != NULL) {
        (void)nftw(place->temporary, remove_one, WALK_FDS, FTW_DEPTH | FTW_PHYS);
    }
}

/* A name beside `path` that nobody has: ".name.RANDOM.tmp". Trailing slashes are cut. */
static struct mln_err place_name(struct mln_cx *cx, const char *path, struct place *place)
{
    char random[13];
    struct mln_bytes text = mln_bytes_of(path);
    while (text.len > 1 && text.ptr[text.len - 1] == '/') {
        text.len--;
    }
    const char *final = mln_text_dup(cx, text);
    const char *slash = strrchr(final, '/');
    int dir_n = slash == NULL ? 0 : (int)(slash - final + 1);
    const char *name = final + dir_n;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return mln_fail(cx, MLN_E_INVALID, "%s is no name for what is to be written", path);
    }
    mln_random_base62(random, 12);
    place->temporary = mln_text_format(cx, "%.*s.%s.%s.tmp", dir_n, final, name, random);
    place->final = final;
    struct mln_err err = mln_cx_err(cx);
    if (mln_failed(err)) {
        place->temporary = NULL;
    }
    return err;
}

static struct mln_err place_make_dir(struct mln_cx *cx, const char *path, struct place *place)
{
    struct stat st;
    MLN_TRY(place_name(cx, path, place));
    const char *temporary = place->temporary;
    place->temporary = NULL;
    if (lstat(place->final, &st) == 0) {
        return mln_fail(cx, MLN_E_EXISTS, "%s is there already", place->final);
    }
    MLN_TRY(mln_dir_make(cx, temporary, 0700));
    place->temporary = temporary;
    return MLN_OK;
}

static struct mln_err place_keep(struct mln_cx *cx, struct place *place, bool may_replace)
{
    MLN_CHECK(place->temporary != NULL && place->final != NULL);
    int failed = renameat2(AT_FDCWD, place->temporary, AT_FDCWD, place->final,
                           may_replace ? 0 : RENAME_NOREPLACE);
    if (failed != 0 && (errno == EINVAL || errno == ENOSYS) && !may_replace &&
        access(place->final, F_OK) != 0) {
        failed = rename(place->temporary, place->final); /* a file system without the flag */
    }
    if (failed != 0) {
        char why[128];
        return errno == EEXIST ? mln_fail(cx, MLN_E_EXISTS, "%s is there already", place->final)
                               : mln_fail(cx, MLN_E_IO, "cannot put %s in its place: %s",
                                          place->final, strerror_r(errno, why, sizeof(why)));
    }
    place->temporary = NULL;
    return MLN_OK;
}

/* ---- both ways ---- */

/* Progress over all files: each file's own, shifted by what came before. */
struct shifted {
    const struct mln_work_progress *whole;
    uint64_t before, all;
};

static void step(void *arg, uint64_t done, uint64_t all)
{
    const struct shifted *s = arg;
    (void)all;
    uint64_t sum = s->before + done;
    s->whole->step(s->whole->arg, sum < s->all ? sum : s->all, s->all);
}

static struct mln_work_progress shift(struct shifted *s)
{
    return s->whole->step == NULL ? (struct mln_work_progress){0}
                                  : (struct mln_work_progress){step, s};
}

/* The error of one file, named. */
static struct mln_err named(struct mln_cx *cx, struct mln_err err, const char *path)
{
    if (!mln_failed(err)) {
        return MLN_OK;
    }
    struct mln_cx cause = *cx;
    return mln_refail(cx, (enum mln_code)err.code, "%s: %s", mln_tree_show(cx, mln_bytes_of(path)),
                      cause.text);
}

/* Make the file `dir/path` and the folders that it lies in. */
static struct mln_err make_file(struct mln_cx *cx, const char *dir, const char *path, int *ret_fd)
{
    MLN_CHECK(dir != NULL && path != NULL);
    const char *whole = mln_text_format(cx, "%s/%s", dir, path);
    MLN_TRY(mln_cx_err(cx));
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        const char *folder = mln_text_format(cx, "%s/%.*s", dir, (int)(slash - path), path);
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(mln_dir_make(cx, folder, 0700));
    }
    return mln_file_open(cx, whole, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, ret_fd);
}

static struct mln_err put_file(struct mln_cx *cx, const char *dir, const char *path,
                               struct mln_bytes content, bool durable)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    MLN_TRY(make_file(cx, dir, path, &fd));
    MLN_TRY(mln_fd_write(cx, fd, content.ptr, content.len));
    return durable ? mln_fd_sync(cx, fd) : MLN_OK;
}

/* The folder's signature; none when it has no such file. */
static struct mln_err read_signature(struct mln_cx *cx, const struct mln_tree *tree,
                                     struct mln_bytes *ret)
{
    for (size_t i = 0; i < tree->n_files && !tree->is_file; i++) {
        if (strcmp(tree->files[i].path, MLN_MODEL_SIGNATURE) != 0) {
            continue;
        }
        MLN_AUTO(mln_fd_drop) int fd = -1;
        MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
        MLN_TRY(mln_tree_check(cx, &tree->files[i], false));
        MLN_TRY(mln_tree_open(cx, tree, &tree->files[i], &fd));
        MLN_TRY(mln_fd_read_all(cx, fd, MLN_DSSE_BUNDLE_MAX, &buf));
        *ret = mln_bytes_dup(cx, mln_buf_bytes(&buf));
        return mln_cx_err(cx);
    }
    *ret = MLN_BYTES_NONE;
    return MLN_OK;
}

static bool is_signature(const struct mln_tree *tree, const struct mln_tree_file *file)
{
    return !tree->is_file && strcmp(file->path, MLN_MODEL_SIGNATURE) == 0;
}

/* ---- encrypting ---- */

static struct mln_err encrypt_one(struct mln_cx *cx, const struct mln_tree *tree,
                                  const struct mln_tree_file *file, int out,
                                  const struct mln_model_encrypt *how,
                                  struct mln_work_progress progress)
{
    MLN_AUTO(mln_fd_drop) int in = -1;
    MLN_TRY(mln_tree_open(cx, tree, file, &in));
    const struct mln_age_options options = {.progress = progress};
    MLN_TRY(mln_age_encrypt_fd(cx, in, out, &how->to, &options));
    if (fchmod(out, (file->mode & 0666) | 0600) != 0) {
        return mln_fail(cx, MLN_E_IO, "cannot set the mode of what was written");
    }
    return how->durable ? mln_fd_sync(cx, out) : MLN_OK;
}

static struct mln_err encrypt_dir(struct mln_cx *cx, const struct mln_tree *tree, const char *out,
                                  const struct mln_model_encrypt *how, struct mln_bytes signature)
{
    MLN_AUTO(place_drop) struct place place = {0};
    struct shifted shifted = {.whole = &how->progress, .all = tree->bytes};
    MLN_TRY(place_make_dir(cx, out, &place));
    for (size_t i = 0; i < tree->n_files; i++) {
        const struct mln_tree_file *file = &tree->files[i];
        if (!is_signature(tree, file)) {
            MLN_AUTO(mln_fd_drop) int fd = -1;
            MLN_TRY(make_file(cx, place.temporary, mln_text_format(cx, "%s.age", file->path), &fd));
            MLN_TRY(named(cx, encrypt_one(cx, tree, file, fd, how, shift(&shifted)), file->path));
        }
        shifted.before += file->size;
    }
    if (signature.ptr != NULL) {
        MLN_TRY(put_file(cx, place.temporary, MLN_MODEL_SIGNATURE, signature, how->durable));
    }
    return place_keep(cx, &place, false);
}

static struct mln_value *counted(struct mln_cx *cx, size_t files, uint64_t bytes)
{
    struct mln_value *v = mln_object(cx);
    mln_put_int(cx, v, "files", (int64_t)files);
    mln_put_int(cx, v, "bytes", (int64_t)bytes);
    return v;
}

struct mln_err mln_model_encrypt(struct mln_cx *cx, const char *path, const char *out,
                                 const struct mln_model_encrypt *how, const struct mln_value **ret)
{
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    struct mln_bytes signature = MLN_BYTES_NONE;
    MLN_TRY(mln_tree_walk(cx, path, NULL, &tree));
    for (size_t i = 0; i < tree.n_files; i++) {
        MLN_TRY(mln_tree_check(cx, &tree.files[i], false));
    }
    if (tree.is_file) {
        const struct mln_age_options options = {.mode = (tree.files[0].mode & 0666) | 0600,
                                                .durable = how->durable,
                                                .progress = how->progress};
        MLN_TRY(named(cx, mln_age_encrypt_file(cx, path, out, &how->to, &options), path));
    } else {
        MLN_TRY(read_signature(cx, &tree, &signature));
        MLN_TRY(encrypt_dir(cx, &tree, out, how, signature));
    }
    if (ret != NULL) {
        bool is_signed = signature.ptr != NULL;
        struct mln_value *v = counted(cx, tree.n_files - is_signed, tree.bytes - signature.len);
        mln_put_bool(cx, v, "signature", is_signed);
        *ret = v;
    }
    return mln_cx_err(cx);
}

/* ---- opening ---- */

struct open {
    struct mln_cx *cx;
    const struct mln_model_open *how;
    struct mln_tree tree;
    struct mln_bytes signature; /* none: ptr is NULL */
    const struct mln_value *report;
    size_t files;
    uint64_t bytes;
};

/* The name without ".age"; NULL when none is left, or when it would be the signature. */
static const char *plain_name(struct mln_cx *cx, const char *path)
{
    struct mln_bytes text = mln_bytes_of(path);
    if (!mln_bytes_ends(text, MLN_BYTES(".age"))) {
        return NULL;
    }
    text.len -= 4;
    bool is_bare = text.len == 0 || text.ptr[text.len - 1] == '/';
    return is_bare || mln_bytes_is(text, MLN_MODEL_SIGNATURE) ? NULL : mln_text_dup(cx, text);
}

static struct mln_err decrypt_one(struct open *o, const struct mln_tree_file *file, const char *dir,
                                  const char *name, struct mln_work_progress progress)
{
    MLN_AUTO(mln_fd_drop) int in = -1;
    MLN_AUTO(mln_fd_drop) int out = -1;
    uint64_t size = 0;
    const struct mln_age_options options = {.progress = progress};
    MLN_TRY(make_file(o->cx, dir, name, &out));
    MLN_TRY(mln_tree_open(o->cx, &o->tree, file, &in));
    MLN_TRY(mln_age_decrypt_fd(o->cx, in, out, &o->how->with, &options));
    MLN_TRY(mln_file_size(o->cx, out, &size));
    o->files++;
    o->bytes += size;
    return o->how->durable ? mln_fd_sync(o->cx, out) : MLN_OK;
}

static struct mln_err check_names(struct open *o)
{
    for (size_t i = 0; i < o->tree.n_files; i++) {
        const struct mln_tree_file *file = &o->tree.files[i];
        MLN_TRY(mln_tree_check(o->cx, file, false));
        if (!is_signature(&o->tree, file) && plain_name(o->cx, file->path) == NULL) {
            return mln_fail(o->cx, MLN_E_INVALID,
                            "%s is neither an encrypted file (*.age) nor " MLN_MODEL_SIGNATURE,
                            mln_tree_show(o->cx, mln_bytes_of(file->path)));
        }
    }
    return MLN_OK;
}

static struct mln_err decrypt_dir(struct open *o, const char *dir)
{
    struct shifted shifted = {.whole = &o->how->progress, .all = o->tree.bytes};
    for (size_t i = 0; i < o->tree.n_files; i++) {
        const struct mln_tree_file *file = &o->tree.files[i];
        if (!is_signature(&o->tree, file)) {
            const char *name = plain_name(o->cx, file->path);
            MLN_TRY(mln_cx_err(o->cx));
            MLN_TRY(named(o->cx, decrypt_one(o, file, dir, name, shift(&shifted)), file->path));
        }
        shifted.before += file->size;
    }
    return MLN_OK;
}

/* Whether there is something to verify by, before anything is decrypted. */
static struct mln_err find_trust(struct open *o, struct mln_oms_trust *to)
{
    const struct mln_model_open *how = o->how;
    if (o->signature.ptr == NULL || how->skips_signature) {
        return how->wants_signature
                   ? mln_fail(o->cx, MLN_E_FORGED,
                              "the model has no signature (" MLN_MODEL_SIGNATURE ")")
                   : MLN_OK;
    }
    if (how->trust != NULL) {
        *to = *how->trust;
        return MLN_OK;
    }
    if (how->find_trust != NULL) {
        return how->find_trust(how->find_trust_arg, o->cx, o->signature, to);
    }
    return mln_fail(o->cx, MLN_E_USAGE,
                    "the model is signed: give a key or roots to verify it with");
}

static struct mln_err verify(struct open *o, const char *path, const struct mln_oms_trust *trust)
{
    if (o->signature.ptr == NULL || o->how->skips_signature) {
        return MLN_OK;
    }
    struct mln_oms_options options = o->how->verify;
    options.signature_path =
        o->tree.is_file ? NULL : mln_text_format(o->cx, "%s/" MLN_MODEL_SIGNATURE, path);
    return mln_oms_verify(o->cx, path, o->signature, trust, &options, &o->report);
}

static struct mln_err open_dir(struct open *o, const char *out, const struct mln_oms_trust *trust)
{
    MLN_AUTO(place_drop) struct place place = {0};
    MLN_TRY(check_names(o));
    MLN_TRY(place_make_dir(o->cx, out, &place));
    MLN_TRY(decrypt_dir(o, place.temporary));
    if (o->signature.ptr != NULL) {
        MLN_TRY(
            put_file(o->cx, place.temporary, MLN_MODEL_SIGNATURE, o->signature, o->how->durable));
    }
    MLN_TRY(verify(o, place.temporary, trust));
    return place_keep(o->cx, &place, false);
}

static struct mln_err open_file(struct open *o, const char *path, const char *out,
                                const struct mln_oms_trust *trust)
{
    MLN_AUTO(place_drop) struct place place = {0};
    const struct mln_age_options options = {.progress = o->how->progress,
                                            .durable = o->how->durable};
    struct stat st;
    MLN_TRY(place_name(o->cx, out, &place));
    MLN_TRY(named(
        o->cx, mln_age_decrypt_file(o->cx, path, place.temporary, &o->how->with, &options), path));
    o->files = 1;
    o->bytes = stat(place.temporary, &st) == 0 ? (uint64_t)st.st_size : 0;
    MLN_TRY(verify(o, place.temporary, trust));
    return place_keep(o->cx, &place, true);
}

/* A report speaks of the place that was asked for, not of the temporary one. */
static const struct mln_value *report(struct open *o, const char *out)
{
    struct mln_value *v = counted(o->cx, o->files, o->bytes);
    mln_put_bool(o->cx, v, "verified", o->report != NULL);
    if (o->report == NULL) {
        mln_put_null(o->cx, v, "signature");
        return v;
    }
    struct mln_value *signature = mln_value_dup(o->cx, o->report);
    const char *slash = strrchr(out, '/');
    mln_put_text(o->cx, signature, "model", slash != NULL && slash[1] != '\0' ? slash + 1 : out);
    mln_put(o->cx, v, "signature", signature);
    return v;
}

struct mln_err mln_model_open(struct mln_cx *cx, const char *path, const char *out,
                              const struct mln_model_open *how, const struct mln_value **ret)
{
    struct open o = {.cx = cx, .how = how, .tree = {.root_fd = -1}, .signature = how->signature};
    struct mln_oms_trust trust = {0};
    struct mln_err err = mln_tree_walk(cx, path, NULL, &o.tree);
    if (!mln_failed(err) && o.signature.ptr == NULL) {
        err = read_signature(cx, &o.tree, &o.signature);
    }
    if (!mln_failed(err)) {
        err = find_trust(&o, &trust);
    }
    if (!mln_failed(err)) {
        err = o.tree.is_file ? open_file(&o, path, out, &trust) : open_dir(&o, out, &trust);
    }
    mln_tree_drop(&o.tree);
    MLN_TRY(err);
    if (ret != NULL) {
        *ret = report(&o, out);
    }
    return mln_cx_err(cx);
}
