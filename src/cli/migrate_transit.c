/* SPDX-License-Identifier: Apache-2.0 */
/* merlon migrate: keys of transit, where their owner allowed plain backups. */
#include "cli/migrate_priv.h"

/* Versions with their times, and public halves where there are: what a backup keeps. */
static bool is_same_key(const struct mln_value *a, const struct mln_value *b)
{
    static const char *const names[] = {"type", "latest_version", "keys"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (!mig_same(mln_get(a, names[i]), mln_get(b, names[i]))) {
            return false;
        }
    }
    return true;
}

static struct mln_err carry(struct migrate *m, const char *mount, const char *name, const char *path)
{
    struct mln_cli_reply reply = {0}, done = {0};
    const char *at = mln_text_format(&m->work, "%sbackup/%s", mount, name);
    MLN_TRY(mig_call(m, &m->from, "GET", at, NULL, &reply));
    struct mln_value *body = mln_object(&m->work);
    mln_put(&m->work, body, "backup", mln_get(reply.data, "backup"));
    if (mig_may_write(m, path)) {
        mln_put_bool(&m->work, body, "force", true);
    }
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, path, MIG_OPEN, ""));
    at = mln_text_format(&m->work, "%srestore/%s", mount, name);
    struct mln_err err = mig_call(m, &m->to, "POST", at, body, &done);
    if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_PARSE)) {
        const char *why = mln_text_format(&m->work, "the target does not read the source's backups: %s", m->work.text);
        return mig_row(m, path, MIG_LEFT, why);
    }
    MLN_TRY(err);
    return mig_done(m, path, "", NULL);
}

static struct mln_err key(struct migrate *m, const char *mount, const char *name, const char *path)
{
    const struct mln_value *wanted = NULL, *have = NULL;
    MLN_TRY(mig_read(m, &m->from, path, &wanted));
    MLN_TRY(mig_read(m, &m->to, path, &have));
    const struct mig_entry *e = mig_state_get(&m->state, path);
    if (wanted == NULL) {
        return MLN_OK;
    }
    if (have != NULL && is_same_key(wanted, have)) {
        return mig_row(m, path, e != NULL && e->mark == MIG_DONE ? MIG_VERIFIED : MIG_PRESENT, NULL);
    }
    if (!mln_get_bool(mln_get(wanted, "exportable"), false)) {
        return mig_row(m, path, MIG_LEFT, "the key is not exportable");
    }
    if (!mln_get_bool(mln_get(wanted, "allow_plaintext_backup"), false)) {
        return mig_row(m, path, MIG_LEFT, "the key's allow_plaintext_backup is off");
    }
    if (have != NULL && !mig_may_write(m, path)) {
        return mig_row(m, path, MIG_CONFLICT, "the target has another key of that name");
    }
    return m->is_dry ? mig_row(m, path, MIG_PLANNED, NULL) : carry(m, mount, name, path);
}

struct mln_err mig_transit(struct migrate *m, const char *mount)
{
    struct mln_cx *cx = m->cli->cx;
    const struct mln_value *names = NULL;
    const char *keys = mln_text_format(cx, "%skeys", mount);
    MLN_TRY(mig_caught(m, keys, mig_list(m, &m->from, keys, &names)));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_get_text(cx, mln_item(names, i), "");
        const char *path = mln_text_format(cx, "%s/%s", keys, name);
        mig_fresh(m);
        if (mig_wanted(m->only, m->exclude, path)) {
            MLN_TRY(mig_caught(m, path, key(m, mount, name, path)));
        }
    }
    return mln_cx_err(cx);
}
