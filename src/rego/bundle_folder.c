/* SPDX-License-Identifier: Apache-2.0 */
/* Folders that are bundles, and the choice between a folder and a file. */
#include "rego/bundle_priv.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/io.h"

#define DEPTH_MAX 64 /* folders in folders: names in data */

/* Where a file lies in the buffer, which still moves. */
struct place {
    const char *path;
    size_t from, len;
};
struct folder {
    struct bundle_making *m;
    struct place *places;
    size_t n, cap;
};

static bool is_wanted(const char *name)
{
    return name[0] != '.' || mln_bytes_is(mln_bytes_of(name), BUNDLE_MANIFEST) ||
           mln_bytes_is(mln_bytes_of(name), BUNDLE_SIGNATURES);
}

static struct mln_err keep_place(struct folder *f, const char *path, size_t from, size_t len)
{
    if (f->n == MLN_BUNDLE_FILES_MAX) {
        return mln_fail(f->m->cx, MLN_E_LIMIT, "bundle: more than %u files", MLN_BUNDLE_FILES_MAX);
    }
    if (f->n == f->cap) {
        size_t cap = f->cap == 0 ? 64 : f->cap * 2;
        struct place *more = mln_new_array(f->m->cx, cap, sizeof(*more));
        MLN_TRY(mln_cx_err(f->m->cx));
        mln_copy(more, f->places, f->n * sizeof(*more));
        f->places = more;
        f->cap = cap;
    }
    f->places[f->n++] = (struct place){path, from, len};
    return MLN_OK;
}

static struct mln_err take_file(struct folder *f, const char *file, const char *path)
{
    struct mln_buf *out = &f->m->bundle->store->unpacked;
    size_t from = out->len;
    MLN_TRY(mln_file_read_all(f->m->cx, file, MLN_BUNDLE_BYTES_MAX - from, out));
    return keep_place(f, path, from, out->len - from);
}

static struct mln_err take_folder(struct folder *f, const char *folder, const char *below, unsigned depth)
{
    struct mln_cx *cx = f->m->cx;
    const struct mln_value *names = NULL;
    if (depth == DEPTH_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "bundle: more than %d folders in one another", DEPTH_MAX);
    }
    MLN_TRY(mln_dir_list(cx, folder, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), ".");
        const char *whole = mln_text_format(cx, "%s/%s", folder, name);
        const char *path = below[0] == '\0' ? name : mln_text_format(cx, "%s/%s", below, name);
        struct stat st;
        if (!is_wanted(name) || stat(whole, &st) != 0) {
            continue; /* hidden, or a link to nowhere */
        }
        if (S_ISDIR(st.st_mode)) {
            MLN_TRY(take_folder(f, whole, path, depth + 1));
        } else if (S_ISREG(st.st_mode)) {
            MLN_TRY(take_file(f, whole, path));
        }
    }
    return mln_cx_err(cx);
}

static struct mln_err fill_folder(struct bundle_making *m, const void *from)
{
    struct folder f = {.m = m};
    MLN_TRY(take_folder(&f, from, "", 0));
    for (size_t i = 0; i < f.n; i++) {
        struct mln_bytes all = mln_buf_bytes(&m->bundle->store->unpacked);
        MLN_TRY(bundle_add_file(m, mln_bytes_of(f.places[i].path), mln_bytes_sub(all, f.places[i].from, f.places[i].len)));
    }
    return MLN_OK;
}

struct mln_err mln_bundle_pack_folder(struct mln_cx *cx, const char *folder, struct mln_buf *ret)
{
    MLN_AUTO(mln_bundle_drop) struct mln_bundle *bundle = NULL;
    struct mln_cx own;
    MLN_TRY(bundle_new(cx, &bundle));
    mln_cx_init(&own, bundle->store->arena);
    struct bundle_making m = {.cx = &own, .bundle = bundle};
    struct mln_err err = fill_folder(&m, folder);
    err = mln_failed(err) ? err : mln_bundle_pack(&own, m.files, m.n, ret);
    return mln_failed(err) ? mln_fail(cx, (enum mln_code)err.code, "%s", own.text) : MLN_OK;
}

struct mln_err mln_bundle_read_folder(struct mln_cx *cx, const char *folder, const struct mln_bundle_options *options,
                                      struct mln_bundle **ret)
{
    return bundle_make(cx, options, fill_folder, folder, ret);
}

struct mln_err mln_bundle_load(struct mln_cx *cx, const char *path, const struct mln_bundle_options *options,
                               struct mln_bundle **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return mln_bundle_read_folder(cx, path, options, ret);
    }
    MLN_TRY(mln_file_read_all(cx, path, MLN_BUNDLE_PACKED_MAX, &packed));
    return mln_bundle_read(cx, mln_buf_bytes(&packed), options, ret);
}
