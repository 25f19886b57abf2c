/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles and files on this machine: looked at each second, read again when names, sizes or times changed. */
#include "api/rego_feeder_priv.h"

#include <sys/stat.h>

#include "crypto/digest.h"

#define LOOK_NS   SECOND_NS
#define DEPTH_MAX 64 /* folders in folders, as loaders have it */

/* What of a tree tells that it changed; hidden files count too. */
static void print_state(struct mln_cx *cx, const char *path, unsigned depth, struct mln_buf *out)
{
    const struct mln_value *names = NULL;
    struct stat st;
    if (stat(path, &st) != 0) {
        mln_buf_add_format(out, "%s -\n", path);
        return;
    }
    mln_buf_add_format(out, "%s %llu %lld %lld.%09lld\n", path, (unsigned long long)st.st_ino, (long long)st.st_size,
                       (long long)st.st_mtim.tv_sec, (long long)st.st_mtim.tv_nsec);
    if (!S_ISDIR(st.st_mode) || depth == DEPTH_MAX || mln_failed(mln_dir_list(cx, path, &names))) {
        mln_cx_clear(cx);
        return;
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        print_state(cx, mln_text_format(cx, "%s/%s", path, name), depth + 1, out);
    }
}

static void state_of(const char *const *paths, uint8_t ret[MLN_HASH_MAX_BYTES])
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(FEEDER_ARENA, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    for (size_t i = 0; arena != NULL && paths[i] != NULL; i++) {
        print_state(&cx, paths[i], 0, &text);
    }
    mln_hash_sum(MLN_HASH_SHA2_256, mln_buf_bytes(&text), ret);
}

static struct mln_err read_bundle(struct mln_cx *cx, const struct rego_bundle_config *b, struct mln_buf *ret)
{
    struct stat st;
    if (stat(b->path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return mln_bundle_pack_folder(cx, b->path, ret);
    }
    return mln_file_read_all(cx, b->path, b->size_max, ret);
}

static void offer_file(struct poller *p)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(FEEDER_ARENA, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    if (arena == NULL || mln_failed(read_bundle(&cx, p->bundle, &packed))) {
        feeder_note(p, "bundle_error", cx.text, 0);
        return;
    }
    (void)feeder_offer(p, "", "file", mln_buf_bytes(&packed));
}

void *poller_disk_main(void *arg)
{
    struct poller *p = arg;
    const char *const paths[] = {p->bundle->path, NULL};
    uint8_t now[MLN_HASH_MAX_BYTES] = {0}, seen[MLN_HASH_MAX_BYTES] = {0};
    do {
        state_of(paths, now);
        if (!mln_same(now, seen, sizeof(now))) {
            mln_copy(seen, now, sizeof(now));
            offer_file(p);
        }
    } while (poller_wait(p, LOOK_NS));
    return NULL;
}

static void reload(struct feeder *f)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(4 * FEEDER_ARENA, false);
    MLN_AUTO(mln_buf_drop) struct mln_buf packed = {0};
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_value *head = mln_object(&cx);
    mln_put_text(&cx, head, "do", "files");
    if (arena == NULL || mln_failed(f->options->reload(f->options->reload_arg, &cx, &packed))) {
        mln_log(MLN_LOG_ERROR, "rego", "the files changed and cannot be read, those before stay: %s", cx.text);
        return;
    }
    (void)feeder_send(f, &cx, head, mln_buf_bytes(&packed));
}

void *watch_main(void *arg)
{
    struct feeder *f = arg;
    uint8_t now[MLN_HASH_MAX_BYTES] = {0}, seen[MLN_HASH_MAX_BYTES] = {0};
    state_of(f->options->watched, seen);
    while (f->options->watched != NULL) {
        mln_sleep_ns(LOOK_NS);
        state_of(f->options->watched, now);
        if (!mln_same(now, seen, sizeof(now))) {
            mln_copy(seen, now, sizeof(now));
            reload(f);
        }
    }
    return NULL;
}
