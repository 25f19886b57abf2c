/* SPDX-License-Identifier: Apache-2.0 */
/* merlon migrate: one object, its calls at both sides, its row of the report. */
#include "cli/migrate_priv.h"

void mig_fresh(struct migrate *m)
{
    mln_arena_reset(m->work.arena);
    mln_cx_clear(&m->work);
}

/* Names come from the source: none may lead out of where it was listed. */
static bool is_tame(struct mln_bytes path)
{
    while (path.len > 0) {
        struct mln_bytes part = mln_bytes_cut(path, '/', &path);
        if (mln_bytes_is(part, "..") || mln_bytes_is(part, ".")) {
            return false;
        }
    }
    return true;
}

struct mln_err mig_ask(struct migrate *m, const struct mig_side *side, const char *method,
                       const char *path, const char *query, const struct mln_value *body,
                       struct mln_cli_reply *ret)
{
    if (!is_tame(mln_bytes_of(path))) {
        return mln_fail(&m->work, MLN_E_INVALID, "a name with '.' or '..' as a part is not followed");
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_percent_print(&buf, mln_bytes_of(path));
    mln_buf_add_text(&buf, query);
    MLN_TRY(mln_buf_ok(&m->work, &buf));
    const char *target = mln_text_dup(&m->work, mln_buf_bytes(&buf));
    return mln_cli_peer_call(&m->work, &side->peer, method, target, body, ret);
}

struct mln_err mig_call(struct migrate *m, const struct mig_side *side, const char *method,
                        const char *path, const struct mln_value *body, struct mln_cli_reply *ret)
{
    return mig_ask(m, side, method, path, "", body, ret);
}

static bool is_absent(struct mln_err err)
{
    return mln_is(err, MLN_E_NOT_FOUND) || mln_is(err, MLN_E_NO_ROUTE) || mln_is(err, MLN_E_METHOD);
}

/* Vault says 400 or 404 "no handler for route" where nothing is mounted. */
static bool is_unmounted(const struct mln_cx *cx)
{
    struct mln_bytes text = mln_bytes_of(cx->text), needle = MLN_BYTES("no handler for route");
    return mln_bytes_find_bytes(text, needle) < text.len;
}

static struct mln_err get(struct migrate *m, const struct mig_side *side, const char *method,
                          const char *path, const struct mln_value **ret)
{
    struct mln_cli_reply reply = {0};
    struct mln_err err = mig_call(m, side, method, path, NULL, &reply);
    if (is_absent(err) || (mln_failed(err) && is_unmounted(&m->work))) {
        mln_cx_clear(&m->work);
        *ret = NULL;
        return MLN_OK;
    }
    MLN_TRY(err);
    *ret = mln_type_of(reply.data) == MLN_OBJECT ? reply.data : NULL;
    return MLN_OK;
}

struct mln_err mig_read(struct migrate *m, const struct mig_side *side, const char *path,
                        const struct mln_value **ret)
{
    return get(m, side, "GET", path, ret);
}

struct mln_err mig_list(struct migrate *m, const struct mig_side *side, const char *path,
                        const struct mln_value **ret)
{
    const struct mln_value *data = NULL;
    mig_fresh(m);
    *ret = NULL;
    MLN_TRY(get(m, side, "LIST", path, &data));
    const struct mln_value *keys = mln_get(data, "keys");
    if (mln_type_of(keys) == MLN_ARRAY) {
        *ret = mln_value_dup(m->cli->cx, keys);
    }
    return mln_cx_err(m->cli->cx);
}

/* ---- the report ---- */

static const char *const verdicts[] = {"moved",    "present", "verified", "planned",
                                       "conflict", "left",    "failed"};

struct mln_err mig_row(struct migrate *m, const char *path, enum mig_verdict verdict,
                       const char *reason)
{
    struct mln_cx *cx = m->cli->cx;
    struct mln_value *row = mln_object(cx);
    m->counts[verdict]++;
    mln_put_bytes(cx, row, "path", mln_bytes_dup(cx, mln_bytes_of(path)));
    mln_put_text(cx, row, "state", verdicts[verdict]);
    if (reason != NULL && reason[0] != '\0') {
        mln_put_bytes(cx, row, "reason", mln_bytes_dup(cx, mln_bytes_of(reason)));
    }
    mln_push(cx, m->rows, row);
    return mln_cx_err(cx);
}

struct mln_err mig_caught(struct migrate *m, const char *path, struct mln_err err)
{
    if (!mln_failed(err) || mln_failed(mln_cx_err(m->cli->cx))) {
        return err;
    }
    bool is_whole = mln_is(err, MLN_E_UNREACHABLE) || mln_is(err, MLN_E_TIMEOUT) ||
                    mln_is(err, MLN_E_SEALED) || mln_is(err, MLN_E_IO) || mln_is(err, MLN_E_FULL);
    if (is_whole) {
        return mln_fail(m->cli->cx, (enum mln_code)err.code, "%s: %s", path, m->work.text);
    }
    MLN_TRY(mig_row(m, path, MIG_FAILED, m->work.text));
    mig_fresh(m);
    return MLN_OK;
}

bool mig_may_write(const struct migrate *m, const char *path)
{
    const struct mig_entry *e = mig_state_get(&m->state, path);
    return m->overwrites || (e != NULL && e->mark == MIG_OPEN);
}

struct mln_err mig_done(struct migrate *m, const char *path, const char *kept, const char *note)
{
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, path, MIG_DONE, kept));
    if (kept[0] != '\0') {
        const char *more = note != NULL ? mln_text_format(&m->work, "; %s", note) : "";
        note = mln_text_format(&m->work, "the target holds otherwise: %s%s", kept, more);
    }
    m->is_partial = m->is_partial || note != NULL;
    return mig_row(m, path, MIG_MOVED, note);
}

/* ---- one object ---- */

struct pair {
    struct mln_value *wanted; /* as the source has it */
    struct mln_value *have;   /* as the target has it; NULL = absent */
    const char *note;
};

static struct mln_err read_one(struct migrate *m, const struct mig_kind *kind,
                               const struct mig_side *side, const char *path, struct pair *pair)
{
    const struct mln_value *data = NULL;
    MLN_TRY(mig_read(m, side, path, &data));
    if (data == NULL) {
        return MLN_OK;
    }
    bool is_source = side == &m->from;
    struct mln_value *body = mig_without(&m->work, data, kind->drop, is_source && kind->is_sparse);
    const char *unused = NULL;
    if (kind->read != NULL) {
        MLN_TRY(kind->read(m, side, path, body, is_source ? &pair->note : &unused));
    }
    *(is_source ? &pair->wanted : &pair->have) = body;
    if (is_source && kind->lost_if != NULL && !mig_is_empty(mln_get(data, kind->lost_if))) {
        pair->note = kind->lost;
    }
    return mln_cx_err(&m->work);
}

static struct mln_err write_one(struct migrate *m, const struct mig_kind *kind, const char *path,
                                struct pair *pair)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = mig_without(&m->work, pair->wanted, "", false);
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, path, MIG_OPEN, ""));
    if (kind->write != NULL) {
        /* a password is only made up where there is none */
        mln_put_bool(&m->work, body, "\1exists", pair->have != NULL);
        MLN_TRY(kind->write(m, &m->to, path, body, &pair->note));
        mln_remove(body, MLN_BYTES("\1exists"));
    }
    MLN_TRY(mig_call(m, &m->to, "POST", path, body, &reply));
    pair->have = NULL;
    MLN_TRY(read_one(m, kind, &m->to, path, pair));
    if (pair->have == NULL) {
        return mln_fail(&m->work, MLN_E_REMOTE, "written, but the target does not show it");
    }
    return mig_done(m, path, mig_differing(&m->work, pair->wanted, pair->have, ""), pair->note);
}

/* What stands at the target already: equal, ours, or another's. */
static struct mln_err meet(struct migrate *m, const struct mig_kind *kind, const char *path,
                           struct pair *pair, bool may_replace)
{
    const struct mig_entry *e = mig_state_get(&m->state, path);
    const char *except = e != NULL && e->mark == MIG_DONE ? e->kept : "";
    const char *differ = mig_differing(&m->work, pair->wanted, pair->have, except);
    if (differ[0] == '\0' && e != NULL && e->mark == MIG_OPEN && !m->is_dry) {
        return mig_done(m, path, "", pair->note); /* ours, cut off behind the write */
    }
    if (differ[0] == '\0') {
        m->is_partial = m->is_partial || pair->note != NULL || except[0] != '\0';
        return mig_row(m, path, e != NULL && e->mark == MIG_DONE ? MIG_VERIFIED : MIG_PRESENT,
                       pair->note);
    }
    if (!may_replace && !mig_may_write(m, path)) {
        return mig_row(m, path, MIG_CONFLICT,
                       mln_text_format(&m->work, "the target has another: %s", differ));
    }
    return m->is_dry ? mig_row(m, path, MIG_PLANNED,
                               mln_text_format(&m->work, "replaces: %s", differ))
                     : write_one(m, kind, path, pair);
}

static struct mln_err object(struct migrate *m, const struct mig_kind *kind, const char *path,
                             bool may_replace)
{
    struct pair pair = {0};
    MLN_TRY(read_one(m, kind, &m->from, path, &pair));
    if (pair.wanted == NULL || (kind->is_sparse && mln_len(pair.wanted) == 0)) {
        return MLN_OK;
    }
    MLN_TRY(read_one(m, kind, &m->to, path, &pair));
    bool is_default = kind->is_sparse && mig_is_empty(mig_without(&m->work, pair.have, "", true));
    if (pair.have != NULL && !is_default) {
        return meet(m, kind, path, &pair, may_replace);
    }
    if (m->is_dry) {
        return mig_row(m, path, MIG_PLANNED, pair.note);
    }
    return write_one(m, kind, path, &pair);
}

struct mln_err mig_object(struct migrate *m, const struct mig_kind *kind, const char *path,
                          bool may_replace)
{
    if (!mig_wanted(m->only, m->exclude, path)) {
        return MLN_OK;
    }
    mig_fresh(m);
    return mig_caught(m, path, object(m, kind, path, may_replace));
}

static struct mln_err one_kind(struct migrate *m, const struct mig_kind *kind, const char *mount,
                               bool may_replace)
{
    struct mln_cx *cx = m->cli->cx;
    const char *item = mln_text_format(cx, "%s%s", mount, kind->item);
    if (kind->list == NULL) {
        return mig_object(m, kind, item, may_replace);
    }
    const struct mln_value *names = NULL;
    MLN_TRY(mig_caught(m, item, mig_list(m, &m->from, mln_text_format(cx, "%s%s", mount, kind->list), &names)));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        if (kind->skip == NULL || !mig_has_word(kind->skip, name)) {
            MLN_TRY(mig_object(m, kind, mln_text_format(cx, "%s/%.*s", item, MLN_FMT(name)), false));
        }
    }
    return mln_cx_err(cx);
}

struct mln_err mig_kinds(struct migrate *m, const struct mig_kind *kinds, const char *type,
                         bool is_auth, const char *mount, bool may_replace)
{
    for (const struct mig_kind *k = kinds; k->item != NULL; k++) {
        bool is_one = type == NULL || (mln_bytes_is(mln_bytes_of(type), k->type) && k->is_auth == is_auth);
        if (is_one) {
            MLN_TRY(one_kind(m, k, mount, may_replace));
        }
    }
    return MLN_OK;
}
