/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders through the box, one report each and a summary. */
#include "artifact/box.h"
#include "artifact/tree.h"
#include "base/clock.h"
#include "base/io.h"

struct paths {
    struct mln_cx *cx;
    struct mln_box *box;
    const struct mln_scan_progress *progress;
    struct mln_value *files;
    uint64_t done, all;
    uint64_t counts[MLN_VERDICT_MALICIOUS + 1];
    enum mln_verdict worst;
};

/* "folder/name", without a second slash. */
static const char *join(struct mln_cx *cx, const char *path, const struct mln_tree *tree,
                        const struct mln_tree_file *file)
{
    struct mln_bytes root = mln_bytes_of(path);
    while (root.len > 1 && root.ptr[root.len - 1] == '/') {
        root.len--;
    }
    if (tree->is_file) {
        return path;
    }
    bool is_slash = mln_bytes_is(root, "/");
    return mln_text_format(cx, "%.*s%s%s", MLN_FMT(root), is_slash ? "" : "/", file->path);
}

static const struct mln_value *unread(struct mln_cx *cx, const char *path, enum mln_verdict verdict,
                                      const char *rule, const char *why)
{
    struct mln_scan_report report = {.cx = cx, .findings = mln_array(cx), .unread = mln_array(cx)};
    mln_scan_find(&report, verdict, MLN_SEVERITY_MEDIUM, rule, MLN_SCAN_OFFSET_NONE, "%s", why);
    return mln_scan_report_value(&report, path);
}

/* What cannot be opened is a report too. errors MEMORY, IO: no box */
static struct mln_err scan_file(struct paths *p, const struct mln_tree *tree,
                                const struct mln_tree_file *file, const char *path,
                                const struct mln_value **ret)
{
    MLN_AUTO(mln_fd_drop) int fd = -1;
    struct mln_err err = mln_tree_check(p->cx, file, true);
    err = mln_failed(err) ? err : mln_tree_open(p->cx, tree, file, &fd);
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    if (mln_failed(err)) {
        const char *why = mln_text_dup(p->cx, mln_bytes_of(p->cx->text));
        mln_cx_clear(p->cx);
        *ret = unread(p->cx, path, MLN_VERDICT_UNSUPPORTED, "unreadable", why);
        return mln_cx_err(p->cx);
    }
    MLN_TRY(mln_box_scan(p->cx, p->box, path, fd, ret));
    if (mln_failed(mln_tree_unchanged(p->cx, file, fd))) {
        mln_cx_clear(p->cx);
        *ret = unread(p->cx, path, MLN_VERDICT_SUSPICIOUS, "changed",
                      "the file changed while it was read");
    }
    return mln_cx_err(p->cx);
}

static void count(struct paths *p, const struct mln_value *report)
{
    for (unsigned v = MLN_VERDICT_CLEAN; v <= MLN_VERDICT_MALICIOUS; v++) {
        if (mln_is_text(mln_get(report, "verdict"), mln_verdict_name((enum mln_verdict)v))) {
            p->counts[v]++;
            p->worst = v > (unsigned)p->worst ? (enum mln_verdict)v : p->worst;
        }
    }
}

static void step(const struct paths *p)
{
    if (p->progress != NULL) {
        p->progress->step(p->progress->arg, p->done, p->all > p->done ? p->all : p->done);
    }
}

static struct mln_err scan_path(struct paths *p, const char *path)
{
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    MLN_TRY(mln_tree_walk(p->cx, path, NULL, &tree));
    for (size_t i = 0; i < tree.n_files; i++) {
        const struct mln_value *report = NULL;
        const char *name = join(p->cx, path, &tree, &tree.files[i]);
        MLN_TRY(scan_file(p, &tree, &tree.files[i], name, &report));
        mln_push(p->cx, p->files, report);
        count(p, report);
        p->done += tree.files[i].size;
        step(p);
    }
    return mln_cx_err(p->cx);
}

/* How much there is, for the progress bar. */
static struct mln_err measure(struct paths *p, const char *path)
{
    MLN_AUTO(mln_tree_drop) struct mln_tree tree = {.root_fd = -1};
    MLN_TRY(mln_tree_walk(p->cx, path, NULL, &tree));
    p->all += tree.bytes;
    return MLN_OK;
}

static const struct mln_value *summary(const struct paths *p, int64_t start_ns)
{
    struct mln_value *v = mln_object(p->cx);
    mln_put_int(p->cx, v, "files", (int64_t)mln_len(p->files));
    mln_put_int(p->cx, v, "bytes", (int64_t)p->done);
    for (unsigned i = MLN_VERDICT_CLEAN; i <= MLN_VERDICT_MALICIOUS; i++) {
        mln_put_int(p->cx, v, mln_verdict_name((enum mln_verdict)i), (int64_t)p->counts[i]);
    }
    mln_put_text(p->cx, v, "verdict", mln_verdict_name(p->worst));
    mln_put(p->cx, v, "seconds",
            mln_double(p->cx, (double)((mln_mono_ns() - start_ns) / 1000) / 1e6));
    return v;
}

struct mln_err mln_scan_paths(struct mln_cx *cx, struct mln_box *box, const char *const *paths,
                              size_t n, const struct mln_scan_progress *progress,
                              const struct mln_value **ret)
{
    struct paths p = {.cx = cx, .box = box, .progress = progress, .files = mln_array(cx)};
    int64_t start_ns = mln_mono_ns();
    for (size_t i = 0; i < n && progress != NULL; i++) {
        MLN_TRY(measure(&p, paths[i]));
    }
    for (size_t i = 0; i < n; i++) {
        MLN_TRY(scan_path(&p, paths[i]));
    }
    struct mln_value *answer = mln_object(cx);
    mln_put(cx, answer, "files", p.files);
    mln_put(cx, answer, "summary", summary(&p, start_ns));
    MLN_TRY(mln_cx_err(cx));
    *ret = answer;
    return MLN_OK;
}
