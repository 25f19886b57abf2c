/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon migrate: one secret of KV version 2 with its history. Versions are written in order, each
 * by check-and-set, so that nobody else's write is lost and a run that was cut off goes on where it
 * stopped. A version that cannot be read (deleted, destroyed, pruned) is written empty and then
 * destroyed: those behind it keep their numbers.
 */
#include "cli/migrate_priv.h"

struct history {
    const char *mount, *name, *path;
    const struct mln_value *from, *to; /* metadata; to NULL = absent */
    int64_t last, there;               /* newest version at the source, at the target */
    int64_t oldest;                    /* first one that the source still holds */
    int64_t shift;                     /* the target's numbers are lower by this */
    int64_t n_lost;                    /* held by the source, but not readable */
    struct mln_value *empties;         /* the target's versions that are to be destroyed */
    bool is_metadata_same;
};

static const char settings[] = "max_versions,cas_required,delete_version_after,custom_metadata";

static struct mln_value *settings_of(struct mln_cx *cx, const struct mln_value *meta)
{
    struct mln_value *to = mln_object(cx);
    struct mln_bytes rest = mln_bytes_of(settings);
    while (rest.len > 0) {
        struct mln_bytes name = mln_bytes_cut(rest, ',', &rest);
        const struct mln_value *v = mln_get_key(meta, name);
        if (!mln_is_null(v)) {
            mln_put_key(cx, to, name, v);
        }
    }
    return to;
}

static const char *at(struct migrate *m, const struct history *h, const char *what)
{
    return mln_text_format(&m->work, "%s%s/%s", h->mount, what, h->name);
}

/* *ret NULL when it cannot be read. */
static struct mln_err version_at(struct migrate *m, const struct history *h,
                                 const struct mig_side *side, int64_t version,
                                 const struct mln_value **ret)
{
    struct mln_cli_reply reply = {0};
    const char *query = mln_text_format(&m->work, "?version=%lld", (long long)version);
    struct mln_err err = mig_ask(m, side, "GET", at(m, h, "data"), query, NULL, &reply);
    *ret = NULL;
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(&m->work);
        return MLN_OK;
    }
    MLN_TRY(err);
    const struct mln_value *data = mln_get(reply.data, "data");
    *ret = mln_type_of(data) == MLN_OBJECT ? data : NULL;
    return MLN_OK;
}

/* The first number of `versions`; last + 1 when it has none. */
static int64_t oldest_of(const struct mln_value *meta, int64_t last)
{
    const struct mln_value *versions = mln_get(meta, "versions");
    int64_t oldest = last + 1;
    for (size_t i = 0; mln_type_of(versions) == MLN_OBJECT && i < mln_len(versions); i++) {
        int64_t n = 0;
        if (mln_i64_parse(mln_member_at(versions, i)->key, &n) && n >= 1 && n < oldest) {
            oldest = n;
        }
    }
    return oldest;
}

static struct mln_err look(struct migrate *m, struct history *h)
{
    MLN_TRY(mig_read(m, &m->from, at(m, h, "metadata"), &h->from));
    MLN_TRY(mig_read(m, &m->to, at(m, h, "metadata"), &h->to));
    h->last = mln_get_int(mln_get(h->from, "current_version"), 0);
    h->there = mln_get_int(mln_get(h->to, "current_version"), 0);
    h->oldest = oldest_of(h->from, h->last);
    h->shift = h->oldest - 1 > MIG_PLACEHOLDERS_MAX ? h->oldest - 1 : 0;
    h->empties = mln_array(&m->work);
    h->is_metadata_same = h->to != NULL && mig_same(settings_of(&m->work, h->from), settings_of(&m->work, h->to));
    return mln_cx_err(&m->work);
}

/* Is the target's version v what the source's is? Pruned ones at either side say nothing. */
static struct mln_err compare_one(struct migrate *m, struct history *h, int64_t v, bool *ret_same)
{
    const struct mln_value *a = NULL, *b = NULL;
    MLN_TRY(version_at(m, h, &m->from, v, &a));
    MLN_TRY(version_at(m, h, &m->to, v - h->shift, &b));
    h->n_lost += a == NULL && v >= h->oldest;
    if (a == NULL && b != NULL && mln_len(b) == 0) {
        mln_push(&m->work, h->empties, mln_int(&m->work, v - h->shift)); /* cut off before it was destroyed */
        *ret_same = true;
    } else if (a != NULL && b == NULL) {
        *ret_same = v - h->shift < oldest_of(h->to, h->there);
    } else {
        *ret_same = (a == NULL) == (b == NULL) && (a == NULL || mln_value_eq(a, b));
    }
    return mln_cx_err(&m->work);
}

/* *ret: the first version that differs, 0 = none. */
static struct mln_err compare(struct migrate *m, struct history *h, int64_t *ret)
{
    *ret = 0;
    if (h->there + h->shift > h->last) {
        *ret = h->last + 1;
        return MLN_OK;
    }
    int64_t end = h->there + h->shift;
    for (int64_t v = h->oldest; v <= end; v++) {
        bool is_same = false;
        MLN_TRY(compare_one(m, h, v, &is_same));
        if (!is_same) {
            *ret = v;
            return MLN_OK;
        }
    }
    return MLN_OK;
}

/* ---- writing ---- */

static struct mln_err put_settings(struct migrate *m, const struct history *h, bool is_last)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = settings_of(&m->work, h->from);
    if (!is_last) { /* nothing may be pruned or expire while the history is written */
        int64_t most = mln_get_int(mln_get(body, "max_versions"), 0);
        int64_t held = h->last - h->oldest + 1;
        mln_put_int(&m->work, body, "max_versions", held > most ? held : most > 10 ? most : held > 10 ? held : 10);
        mln_remove(body, MLN_BYTES("delete_version_after"));
    }
    return mig_call(m, &m->to, "POST", at(m, h, "metadata"), body, &reply);
}

static struct mln_err put_version(struct migrate *m, struct history *h, int64_t v)
{
    const struct mln_value *data = NULL;
    struct mln_cli_reply reply = {0};
    if (v >= h->oldest) {
        MLN_TRY(version_at(m, h, &m->from, v, &data));
        h->n_lost += data == NULL;
    }
    if (data == NULL) {
        mln_push(&m->work, h->empties, mln_int(&m->work, v - h->shift));
        data = mln_object(&m->work);
    }
    struct mln_value *body = mln_object(&m->work), *options = mln_object(&m->work);
    mln_put_int(&m->work, options, "cas", v - h->shift - 1);
    mln_put(&m->work, body, "options", options);
    mln_put(&m->work, body, "data", data);
    MLN_TRY(mig_call(m, &m->to, "POST", at(m, h, "data"), body, &reply));
    int64_t got = mln_get_int(mln_get(reply.data, "version"), 0);
    return got == v - h->shift ? MLN_OK
                               : mln_fail(&m->work, MLN_E_CONFLICT, "the target gave version %lld the number %lld",
                                          (long long)v, (long long)got);
}

static struct mln_err destroy_empties(struct migrate *m, const struct history *h)
{
    struct mln_cli_reply reply = {0};
    if (mln_len(h->empties) == 0) {
        return MLN_OK;
    }
    struct mln_value *body = mln_object(&m->work);
    mln_put(&m->work, body, "versions", h->empties);
    return mig_call(m, &m->to, "POST", at(m, h, "destroy"), body, &reply);
}

static struct mln_err restart(struct migrate *m, struct history *h)
{
    struct mln_cli_reply reply = {0};
    MLN_TRY(mig_call(m, &m->to, "DELETE", at(m, h, "metadata"), NULL, &reply));
    h->to = NULL;
    h->there = h->n_lost = 0;
    h->is_metadata_same = false;
    h->empties = mln_array(&m->work);
    return MLN_OK;
}

static const char *note_of(struct migrate *m, const struct history *h)
{
    const char *lost = "", *moved = "";
    if (h->n_lost > 0) {
        lost = mln_text_format(&m->work, "%lld deleted or destroyed versions: only their numbers",
                               (long long)h->n_lost);
    }
    if (h->shift > 0) {
        moved = mln_text_format(&m->work, "%sversion numbers are lower by %lld", lost[0] != '\0' ? "; " : "",
                                (long long)h->shift);
    }
    return h->n_lost > 0 || h->shift > 0 ? mln_text_format(&m->work, "%s%s", lost, moved) : NULL;
}

static struct mln_err carry(struct migrate *m, struct history *h)
{
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, h->path, MIG_OPEN, ""));
    if (h->there + h->shift < h->last) {
        MLN_TRY(put_settings(m, h, false));
    }
    for (int64_t v = h->there + h->shift + 1; v <= h->last; v++) {
        MLN_TRY(put_version(m, h, v));
    }
    MLN_TRY(destroy_empties(m, h));
    MLN_TRY(put_settings(m, h, true));
    int64_t bad = 0;
    MLN_TRY(mig_read(m, &m->to, at(m, h, "metadata"), &h->to));
    h->there = mln_get_int(mln_get(h->to, "current_version"), 0);
    h->n_lost = 0;
    MLN_TRY(compare(m, h, &bad));
    if (bad != 0) {
        return mln_fail(&m->work, MLN_E_REMOTE, "version %lld reads otherwise at the target", (long long)bad);
    }
    const char *kept = mig_differing(&m->work, settings_of(&m->work, h->from), settings_of(&m->work, h->to), "");
    return mig_done(m, h->path, kept, note_of(m, h));
}

static struct mln_err stands(struct migrate *m, const struct history *h)
{
    const struct mig_entry *e = mig_state_get(&m->state, h->path);
    const char *note = note_of(m, h);
    m->is_partial = m->is_partial || note != NULL;
    return mig_row(m, h->path, e != NULL && e->mark == MIG_DONE ? MIG_VERIFIED : MIG_PRESENT, note);
}

struct mln_err mig_kv2_secret(struct migrate *m, const char *mount, const char *name)
{
    struct history h = {.mount = mount, .name = name};
    int64_t bad = 0;
    h.path = mln_text_format(m->cli->cx, "%s%s", mount, name);
    MLN_TRY(look(m, &h));
    if (h.from == NULL) {
        return MLN_OK; /* gone since it was listed */
    }
    MLN_TRY(h.to != NULL ? compare(m, &h, &bad) : MLN_OK);
    bool is_whole = h.to != NULL && h.there + h.shift == h.last && mln_len(h.empties) == 0;
    const struct mig_entry *e = mig_state_get(&m->state, h.path);
    bool is_known = e != NULL && e->mark == MIG_DONE && e->kept[0] != '\0';
    if (bad == 0 && is_whole && (h.is_metadata_same || is_known)) {
        return stands(m, &h);
    }
    const char *why = bad != 0 ? mln_text_format(&m->work, "version %lld differs", (long long)bad)
                               : "the target has other settings";
    bool is_other = bad != 0 || (is_whole && !h.is_metadata_same);
    /* settings may be ours, half written; a version that differs is not: each was written whole */
    if (is_other && !(bad != 0 ? m->overwrites : mig_may_write(m, h.path))) {
        return mig_row(m, h.path, MIG_CONFLICT, why);
    }
    if (m->is_dry) {
        long long n = (long long)(h.last - h.there - h.shift);
        why = is_other ? why : mln_text_format(&m->work, "%lld versions", n);
        return mig_row(m, h.path, MIG_PLANNED, why);
    }
    MLN_TRY(bad != 0 ? restart(m, &h) : MLN_OK);
    return carry(m, &h);
}
