/* SPDX-License-Identifier: Apache-2.0 */
/* merlon migrate: the tree of a key-value mount, and secrets of version 1. */
#include "cli/migrate_priv.h"

static struct mln_err write_v1(struct migrate *m, const char *path, const struct mln_value *wanted)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, path, MIG_OPEN, ""));
    MLN_TRY(mig_call(m, &m->to, "POST", path, wanted, &reply));
    return mig_done(m, path, "", NULL);
}

static struct mln_err secret_v1(struct migrate *m, const char *path)
{
    const struct mln_value *wanted = NULL, *have = NULL;
    MLN_TRY(mig_read(m, &m->from, path, &wanted));
    MLN_TRY(mig_read(m, &m->to, path, &have));
    const struct mig_entry *e = mig_state_get(&m->state, path);
    if (wanted == NULL) {
        return MLN_OK; /* gone since it was listed */
    }
    if (have != NULL && mln_value_eq(wanted, have)) {
        return mig_row(m, path, e != NULL && e->mark == MIG_DONE ? MIG_VERIFIED : MIG_PRESENT, NULL);
    }
    if (have != NULL && !mig_may_write(m, path)) {
        return mig_row(m, path, MIG_CONFLICT, "the target has another value");
    }
    return m->is_dry ? mig_row(m, path, MIG_PLANNED, have != NULL ? "replaces another value" : NULL)
                     : write_v1(m, path, wanted);
}

static struct mln_err secret(struct migrate *m, const char *mount, const char *name, bool is_v2)
{
    const char *path = mln_text_format(m->cli->cx, "%s%s", mount, name);
    if (!mig_wanted(m->only, m->exclude, path)) {
        return MLN_OK;
    }
    mig_fresh(m);
    return mig_caught(m, path, is_v2 ? mig_kv2_secret(m, mount, name) : secret_v1(m, path));
}

/* A name that ends in "/" is a folder, as the listing has them. */
static bool is_folder(const char *name)
{
    return mln_bytes_ends(mln_bytes_of(name), MLN_BYTES("/"));
}

static struct mln_err one_folder(struct migrate *m, const char *mount, const char *folder, bool is_v2,
                                 struct mln_value *folders)
{
    struct mln_cx *cx = m->cli->cx;
    const struct mln_value *names = NULL;
    const char *list = mln_text_format(cx, "%s%s%s", mount, is_v2 ? "metadata/" : "", folder);
    MLN_TRY(mig_caught(m, list, mig_list(m, &m->from, list, &names)));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_text_format(cx, "%s%s", folder, mln_get_text(cx, mln_item(names, i), ""));
        if (is_folder(name)) {
            mln_push_text(cx, folders, name);
        } else {
            MLN_TRY(secret(m, mount, name, is_v2));
        }
    }
    return mln_cx_err(cx);
}

struct mln_err mig_kv(struct migrate *m, const char *mount, bool is_v2)
{
    struct mln_cx *cx = m->cli->cx;
    struct mln_value *folders = mln_array(cx);
    mln_push_text(cx, folders, "");
    for (size_t i = 0; i < mln_len(folders); i++) {
        if (i > MIG_NAMES_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "%s: more than %u folders", mount, MIG_NAMES_MAX);
        }
        MLN_TRY(one_folder(m, mount, mln_get_text(cx, mln_item(folders, i), ""), is_v2, folders));
    }
    return MLN_OK;
}
