/* SPDX-License-Identifier: Apache-2.0 */
/* merlon migrate: mounts with their settings, and then what lies in each. */
#include "cli/migrate_priv.h"

/* Each server has these by itself. */
static bool is_built_in(const struct mln_value *mount)
{
    static const char *const types[] = {"system", "identity", "cubbyhole", "token", "ns_system",
                                        "ns_identity", "ns_cubbyhole", "ns_token"};
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        if (mln_is_text(mln_get(mount, "type"), types[i])) {
            return true;
        }
    }
    return false;
}

/* Settings that both enabling and tuning take; times as texts, as Vault's enabling reads texts only. */
static struct mln_value *settings_of(struct mln_cx *cx, const struct mln_value *config)
{
    static const char *const times[] = {"default_lease_ttl", "max_lease_ttl"};
    static const char *const others[] = {
        "audit_non_hmac_request_keys", "audit_non_hmac_response_keys", "listing_visibility",
        "passthrough_request_headers", "allowed_response_headers",     "token_type",
    };
    struct mln_value *to = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(times); i++) {
        int64_t s = mln_get_int(mln_get(config, times[i]), 0);
        if (s > 0) {
            mln_put_text(cx, to, times[i], mln_text_format(cx, "%llds", (long long)s));
        }
    }
    for (size_t i = 0; i < MLN_COUNT(others); i++) {
        if (!mig_is_empty(mln_get(config, others[i]))) {
            mln_put(cx, to, others[i], mln_get(config, others[i]));
        }
    }
    return to;
}

/* What enabling takes, of one row of sys/mounts. */
static struct mln_value *body_of(struct mln_cx *cx, const struct mln_value *mount)
{
    struct mln_value *body = mln_object(cx);
    mln_put(cx, body, "type", mln_get(mount, "type"));
    mln_put(cx, body, "description", mln_get(mount, "description"));
    if (!mig_is_empty(mln_get(mount, "options"))) {
        mln_put(cx, body, "options", mln_get(mount, "options"));
    }
    if (mln_get_bool(mln_get(mount, "local"), false)) {
        mln_put_bool(cx, body, "local", true);
    }
    if (mln_get_bool(mln_get(mount, "seal_wrap"), false)) {
        mln_put_bool(cx, body, "seal_wrap", true);
    }
    mln_put(cx, body, "config", settings_of(cx, mln_get(mount, "config")));
    return body;
}

static bool is_version_2(const struct mln_value *mount)
{
    return mln_is_text(mln_get(mln_get(mount, "options"), "version"), "2");
}

static bool is_kv(const struct mln_value *mount)
{
    return mln_is_text(mln_get(mount, "type"), "kv") || mln_is_text(mln_get(mount, "type"), "generic");
}

/* Of one kind, so that the contents of one fit into the other. */
static bool is_alike(const struct mln_value *a, const struct mln_value *b)
{
    return mln_value_eq(mln_get(a, "type"), mln_get(b, "type")) && is_version_2(a) == is_version_2(b);
}

static const struct mln_value *mounts_at(const struct mig_side *side, bool is_auth)
{
    return is_auth ? side->auth : side->secrets;
}

static const char *path_of(struct migrate *m, bool is_auth, struct mln_bytes key)
{
    key.len -= key.len > 0 && key.ptr[key.len - 1] == '/';
    return mln_text_format(m->cli->cx, "sys/%s/%.*s", is_auth ? "auth" : "mounts", MLN_FMT(key));
}

static struct mln_err enable(struct migrate *m, const char *path, const struct mln_value *mount)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = body_of(&m->work, mount);
    MLN_TRY(mig_state_mark(m->cli->cx, &m->state, path, MIG_OPEN, ""));
    struct mln_err err = mig_call(m, &m->to, "POST", path, body, &reply);
    struct mln_bytes text = mln_bytes_of(m->work.text), unknown = MLN_BYTES("plugin not found in the catalog");
    if (mln_failed(err) && mln_bytes_find_bytes(text, unknown) < text.len) { /* Merlon's own, at another server */
        MLN_TRY(mig_row(m, path, MIG_LEFT, "the target has no engine of this type"));
        mig_fresh(m);
        return MLN_OK;
    }
    MLN_TRY(err);
    return mig_done(m, path, "", NULL);
}

static struct mln_err tune(struct migrate *m, const char *path, const struct mln_value *mount)
{
    struct mln_cli_reply reply = {0};
    struct mln_value *body = settings_of(&m->work, mln_get(mount, "config"));
    mln_put(&m->work, body, "description", mln_get(mount, "description"));
    const char *to = mln_text_format(&m->work, "%s/tune", path);
    MLN_TRY(mig_call(m, &m->to, "POST", to, body, &reply));
    return mig_done(m, path, "", NULL);
}

static struct mln_err meet(struct migrate *m, const char *path, const struct mln_value *mount,
                           const struct mln_value *there)
{
    const struct mig_entry *e = mig_state_get(&m->state, path);
    bool is_done = e != NULL && e->mark == MIG_DONE;
    if (!is_alike(mount, there)) {
        return mig_row(m, path, MIG_CONFLICT, "the target has another type mounted there");
    }
    const char *differ = mig_differing(&m->work, body_of(&m->work, mount), body_of(&m->work, there), "");
    if (differ[0] == '\0' && e != NULL && e->mark == MIG_OPEN && !m->is_dry) {
        return mig_done(m, path, "", NULL); /* ours, cut off behind the write */
    }
    if (differ[0] == '\0') {
        return mig_row(m, path, is_done ? MIG_VERIFIED : MIG_PRESENT, NULL);
    }
    differ = mln_text_format(&m->work, "the target has other settings: %s", differ);
    if (!mig_may_write(m, path)) {
        return mig_row(m, path, MIG_CONFLICT, differ);
    }
    return m->is_dry ? mig_row(m, path, MIG_PLANNED, differ) : tune(m, path, mount);
}

static struct mln_err one_mount(struct migrate *m, bool is_auth, const struct mln_member *x)
{
    const char *path = path_of(m, is_auth, x->key);
    if (is_built_in(&x->value) || !mig_wanted(m->only, m->exclude, path)) {
        return MLN_OK;
    }
    mig_fresh(m);
    const struct mln_value *there = mln_get_key(mounts_at(&m->to, is_auth), x->key);
    if (there != NULL) {
        return mig_caught(m, path, meet(m, path, &x->value, there));
    }
    if (m->is_dry) {
        return mig_row(m, path, MIG_PLANNED, NULL);
    }
    return mig_caught(m, path, enable(m, path, &x->value));
}

static struct mln_err look(struct migrate *m, struct mig_side *side, bool is_auth)
{
    const char *path = is_auth ? "sys/auth" : "sys/mounts";
    const struct mln_value *data = NULL;
    mig_fresh(m);
    struct mln_err err = mig_read(m, side, path, &data);
    if (mln_failed(err) || data == NULL) {
        return mln_fail(m->cli->cx, mln_failed(err) ? (enum mln_code)err.code : MLN_E_REMOTE,
                        "--%s: %s: %s", side->name, path, mln_failed(err) ? m->work.text : "no answer");
    }
    *(is_auth ? &side->auth : &side->secrets) = mln_value_dup(m->cli->cx, data);
    return mln_cx_err(m->cli->cx);
}

struct mln_err mig_mounts(struct migrate *m, bool is_auth)
{
    MLN_TRY(look(m, &m->from, is_auth));
    MLN_TRY(look(m, &m->to, is_auth));
    const struct mln_value *mounts = mounts_at(&m->from, is_auth);
    for (size_t i = 0; i < mln_len(mounts); i++) {
        MLN_TRY(one_mount(m, is_auth, mln_member_at(mounts, i)));
    }
    return look(m, &m->to, is_auth); /* as they are now: accessors of the new ones */
}

/* ---- contents ---- */

static bool is_known(const char *type, bool is_auth)
{
    for (const struct mig_kind *k = mig_mount_kinds; k->item != NULL; k++) {
        if (k->is_auth == is_auth && mln_bytes_is(mln_bytes_of(type), k->type)) {
            return true;
        }
    }
    return mln_bytes_is(mln_bytes_of(type), "totp") || mln_bytes_is(mln_bytes_of(type), "kv");
}

/* A mount that this migration made holds only defaults: they may be replaced. */
static bool is_ours(const struct migrate *m, const char *path)
{
    const struct mig_entry *e = mig_state_get(&m->state, path);
    return e != NULL && e->mark == MIG_DONE;
}

static struct mln_err content_of(struct migrate *m, bool is_auth, const struct mln_member *x)
{
    struct mln_cx *cx = m->cli->cx;
    const char *type = mln_get_text(cx, mln_get(&x->value, "type"), "");
    const char *mount = mln_text_format(cx, "%s%.*s", is_auth ? "auth/" : "", MLN_FMT(x->key));
    const char *path = path_of(m, is_auth, x->key);
    const struct mln_value *there = mln_get_key(mounts_at(&m->to, is_auth), x->key);
    if (there != NULL && !is_alike(&x->value, there)) {
        return mig_row(m, mount, MIG_LEFT, "nothing of it: the target has another type mounted there");
    }
    if (there == NULL && !m->is_dry) {
        return mig_wanted(m->only, m->exclude, mount)
                   ? mig_row(m, mount, MIG_LEFT, "nothing of it: it is not mounted at the target")
                   : MLN_OK;
    }
    bool is_new = is_ours(m, path);
    if (is_kv(&x->value)) {
        bool is_v2 = is_version_2(&x->value);
        MLN_TRY(is_v2 ? mig_kinds(m, mig_mount_kinds, "kv2", false, mount, is_new) : MLN_OK);
        return mig_kv(m, mount, is_v2);
    }
    MLN_TRY(mig_kinds(m, mig_mount_kinds, type, is_auth, mount, is_new));
    if (!is_auth && mln_bytes_is(mln_bytes_of(type), "transit")) {
        return mig_transit(m, mount);
    }
    if (!is_known(type, is_auth) && mig_wanted(m->only, m->exclude, mount)) {
        return mig_row(m, mount, MIG_LEFT, "what lies in a mount of this type is not known");
    }
    return MLN_OK;
}

struct mln_err mig_contents(struct migrate *m, bool is_auth)
{
    const struct mln_value *mounts = mounts_at(&m->from, is_auth);
    for (size_t i = 0; i < mln_len(mounts); i++) {
        const struct mln_member *x = mln_member_at(mounts, i);
        if (!is_built_in(&x->value)) {
            MLN_TRY(content_of(m, is_auth, x));
        }
    }
    return MLN_OK;
}
