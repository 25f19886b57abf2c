/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entities in the pipeline: a login finds or makes one (src/identity keeps the rows); each request of a token with an entity asks what
 * it amounts to now: disabled or not, policies of its own and of its groups. That is kept in memory until anything of identity changes
 * (an epoch, read before the transaction that reads the rows). Tokens without an entity never come here.
 */
#include "core/token_priv.h"

#include "base/cbor.h"
#include "identity/identity.h"

static uint64_t hash_of(struct mln_bytes text)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: ids are made by us */
    for (size_t i = 0; i < text.len; i++) {
        h = (h ^ text.ptr[i]) * 0x100000001b3u;
    }
    return h ^ h >> 32;
}

static struct mln_person_entry *slot_of(struct mln_core *core, const char *id)
{
    return &core->persons[hash_of(mln_bytes_of(id)) % MLN_PERSON_CACHE];
}

static void clear(struct mln_person_entry *e)
{
    mln_free_wiped(e->bytes, e->len);
    mln_free(e->id);
    *e = (struct mln_person_entry){0};
}

void mln_persons_forget(struct mln_core *core)
{
    pthread_rwlock_wrlock(&core->person_lock);
    for (size_t i = 0; core->persons != NULL && i < MLN_PERSON_CACHE; i++) {
        clear(&core->persons[i]);
    }
    pthread_rwlock_unlock(&core->person_lock);
}

/* A copy of the bytes, if they are of this epoch. */
static struct mln_bytes kept(struct mln_core *core, struct mln_cx *cx, struct mln_bytes ns, const char *id,
                             uint64_t epoch)
{
    struct mln_bytes out = MLN_BYTES_NONE;
    pthread_rwlock_rdlock(&core->person_lock);
    const struct mln_person_entry *e = slot_of(core, id);
    if (e->id != NULL && e->epoch == epoch && mln_bytes_is(mln_bytes_of(e->id), id) &&
        mln_bytes_is(ns, e->ns)) {
        out = mln_bytes_dup(cx, mln_bytes_at(e->bytes, e->len));
    }
    pthread_rwlock_unlock(&core->person_lock);
    return out;
}

/* Without memory it is not kept. */
static void keep(struct mln_core *core, struct mln_bytes ns, const char *id, uint64_t epoch, struct mln_bytes bytes)
{
    char *name = mln_strdup(id);
    uint8_t *copy = mln_alloc(bytes.len);
    if (name == NULL || copy == NULL) {
        mln_free(name);
        mln_free(copy);
        return;
    }
    mln_copy(copy, bytes.ptr, bytes.len);
    pthread_rwlock_wrlock(&core->person_lock);
    struct mln_person_entry *e = slot_of(core, id);
    clear(e);
    *e = (struct mln_person_entry){.id = name, .bytes = copy, .len = bytes.len, .epoch = epoch};
    mln_copy(e->ns, ns.ptr, ns.len <= MLN_NSID_LEN ? ns.len : 0);
    pthread_rwlock_unlock(&core->person_lock);
}

static struct mln_err load(struct mln_core *core, struct mln_cx *cx, struct mln_bytes ns, const char *id,
                           const struct mln_value **ret)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *fresh = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    uint64_t epoch = atomic_load(&core->person_epoch);
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &fresh));
    (void)mln_txn_enter(fresh, ns);
    MLN_TRY(mln_identity_person(cx, fresh, id, ret));
    mln_cbor_print(&buf, *ret);
    if (!buf.has_failed && buf.len <= MLN_PERSON_BYTES_MAX) {
        keep(core, ns, id, epoch, mln_buf_bytes(&buf));
    }
    return mln_cx_err(cx);
}

struct mln_err mln_person_find(struct mln_core *core, struct mln_cx *cx, struct mln_bytes ns, const char *id,
                               const struct mln_value **ret)
{
    struct mln_bytes bytes = kept(core, cx, ns, id, atomic_load(&core->person_epoch));
    return bytes.len > 0 ? mln_cbor_parse(cx, bytes, ret) : load(core, cx, ns, id, ret);
}

/* ---- requests ---- */

static const struct mln_value *joined(struct mln_cx *cx, const struct mln_value *a,
                                      const struct mln_value *b)
{
    struct mln_value *all = mln_array(cx);
    for (size_t i = 0; i < mln_len(a); i++) {
        mln_push(cx, all, mln_item(a, i));
    }
    for (size_t i = 0; i < mln_len(b); i++) {
        mln_push(cx, all, mln_item(b, i));
    }
    return mln_token_policies(cx, all, false);
}

struct mln_err mln_subject_of(struct mln_core *core, struct mln_cx *cx,
                              const struct mln_value *entry, struct mln_subject *ret)
{
    const char *id = mln_get_text(cx, mln_get(entry, "entity_id"), "");
    *ret = (struct mln_subject){.ns = mln_token_ns(entry), .names = mln_get(entry, "policies")};
    if (id[0] == 0) {
        return MLN_OK;
    }
    struct mln_err err = mln_person_find(core, cx, ret->ns, id, &ret->person);
    if (mln_is(err, MLN_E_NOT_FOUND) ||
        (!mln_failed(err) && mln_get_bool(mln_get(ret->person, "disabled"), false))) {
        return (struct mln_err){MLN_E_UNAUTHENTIC};
    }
    MLN_TRY(err);
    const struct mln_value *more = mln_get(ret->person, "all_policies");
    if (mln_len(more) > 0) {
        ret->names = joined(cx, ret->names, more);
    }
    return mln_cx_err(cx);
}

/* ---- answers ---- */

/* As this transaction sees it: a login's groups are not committed yet. */
static struct mln_err policies_now(struct mln_request *rq, struct mln_bytes ns, const struct mln_value *of,
                                   const struct mln_value **ret)
{
    const char *id = mln_get_text(rq->cx, mln_get(of, "entity_id"), "");
    const struct mln_value *person = NULL;
    *ret = NULL;
    if (id[0] == 0) {
        return MLN_OK;
    }
    struct mln_bytes before = mln_txn_enter(rq->txn, ns);
    struct mln_err err = mln_identity_person(rq->cx, rq->txn, id, &person);
    (void)mln_txn_enter(rq->txn, before);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    *ret = mln_len(mln_get(person, "all_policies")) > 0 ? mln_get(person, "all_policies") : NULL;
    return MLN_OK;
}

struct mln_err mln_entity_show(struct mln_request *rq, const struct mln_value *entry,
                               struct mln_value *data)
{
    const struct mln_value *more = NULL;
    MLN_TRY(policies_now(rq, mln_token_ns(entry), entry, &more));
    if (more != NULL) {
        mln_put(rq->cx, data, "identity_policies", more);
    }
    return mln_cx_err(rq->cx);
}

struct mln_err mln_entity_show_auth(struct mln_request *rq, const struct mln_value **auth)
{
    const struct mln_value *more = NULL;
    struct mln_cx *cx = rq->cx;
    if (!mln_is_null(mln_get(*auth, "mfa_requirement"))) {
        return MLN_OK; /* nothing of the entity before its second factor */
    }
    MLN_TRY(policies_now(rq, rq->ns, *auth, &more));
    if (more == NULL) {
        return MLN_OK;
    }
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(*auth);
         i++) { /* identity_policies stands behind token_policies */
        const struct mln_member *m = mln_member_at(*auth, i);
        mln_put_key(cx, out, m->key, &m->value);
        if (mln_bytes_is(m->key, "token_policies")) {
            mln_put(cx, out, "policies", joined(cx, &m->value, more));
            mln_put(cx, out, "identity_policies", more);
        }
    }
    *auth = out;
    return mln_cx_err(cx);
}

/* ---- logins ---- */

struct mln_err mln_entity_login(struct mln_request *rq, const struct mln_login *login,
                                struct mln_token_spec *spec)
{
    const struct mln_value *entity = NULL;
    bool is_changed = false;
    const struct mln_identity_login asked = {
        .mount = rq->mount,
        .alias = login->alias,
        .alias_meta = login->alias_meta,
        .groups = login->groups,
        .now_ns = rq->now_ns,
    };
    MLN_TRY(mln_identity_login(rq->cx, rq->txn, &asked, &entity, &is_changed));
    if (mln_get_bool(mln_get(entity, "disabled"), false)) {
        return mln_fail(rq->cx, MLN_E_DENIED, "permission denied");
    }
    struct mln_run *run = mln_run_of(rq);
    run->changed_identity = run->changed_identity || is_changed;
    spec->entity_id = mln_get_text(rq->cx, mln_get(entity, "id"), "");
    spec->entity_name = mln_get_text(rq->cx, mln_get(entity, "name"), "");
    return mln_cx_err(rq->cx);
}
