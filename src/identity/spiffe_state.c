/* SPDX-License-Identifier: Apache-2.0 */
/* What the engine keeps in memory: made at the first request after unsealing, read again after each commit that changed rows. */
#include "identity/spiffe_template.h"

#include "base/clock.h"

#include "base/json.h"
#include "base/log.h"

#define LOAD_CHUNK       512u /* entries that are read in one arena */
#define LOAD_ARENA_BYTES (64u << 20)

/* ---- rows ---- */

static struct mln_bytes key_of(struct mln_request *rq, const char *folder, struct mln_bytes name)
{
    return mln_bytes_format(rq->cx, "%s%.*s", folder, MLN_FMT(name));
}

struct mln_err sp_row_get(struct mln_request *rq, const char *folder, struct mln_bytes name,
                          const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key_of(rq, folder, name), ret);
}

struct mln_err sp_row_put(struct mln_request *rq, const char *folder, struct mln_bytes name,
                          const struct mln_value *row)
{
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key_of(rq, folder, name), row);
}

struct mln_err sp_row_delete(struct mln_request *rq, const char *folder, struct mln_bytes name)
{
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key_of(rq, folder, name));
}

struct mln_err sp_row_names(struct mln_request *rq, const char *folder,
                            const struct mln_value **ret)
{
    *ret = NULL;
    struct mln_err err = mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(folder), ret);
    *ret = *ret != NULL ? *ret : mln_array(rq->cx);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_cx_err(rq->cx) : err;
}

/* ---- making and freeing ---- */

static void *make(void)
{
    struct sp_state *state = mln_alloc(sizeof(*state));
    if (state != NULL) {
        pthread_rwlock_init(&state->lock, NULL);
        pthread_mutex_init(&state->signing, NULL);
        mln_random(state->nonce_key, sizeof(state->nonce_key));
    }
    return state;
}

static void clear(struct sp_state *state)
{
    sp_index_free(state->index);
    state->index = NULL;
    sp_templates_free(state);
    sp_authorities_clear(&state->authorities);
    mln_free(state->bundle);
    mln_free(state->jwks);
    state->bundle = NULL;
    state->jwks = NULL;
    state->bundle_n = 0;
    sp_foreign_free(state->foreign);
    state->foreign = NULL;
    sp_holders_free(state);
    sp_gone_forget(state);
    sp_tokens_free(state);
    sp_polls_free(state);
    state->is_loaded = false;
}

static void drop(void *what)
{
    struct sp_state *state = what;
    clear(state);
    pthread_rwlock_destroy(&state->lock);
    pthread_mutex_destroy(&state->signing);
    mln_free(state);
}

/* ---- our bundle, from the authorities that are shown ---- */

static struct mln_err copy_out(struct mln_cx *cx, const struct mln_buf *from, uint8_t **ret)
{
    MLN_TRY(mln_buf_ok(cx, from));
    uint8_t *own = mln_alloc(from->len + 1);
    if (own == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for a bundle");
    }
    mln_copy(own, from->ptr, from->len);
    mln_free(*ret);
    *ret = own;
    return MLN_OK;
}

static struct mln_err make_bundle(struct mln_cx *cx, struct sp_state *state, int64_t now_s)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {0}, jwks = {0};
    const struct sp_authorities *a = &state->authorities;
    bool is_first = true;
    for (size_t i = 0; i < a->x509_n; i++) {
        struct mln_bytes roots = mln_bytes_at(a->x509[i].roots, a->x509[i].roots_n);
        bool has_it = mln_bytes_find_bytes(mln_buf_bytes(&der), roots) < der.len;
        if (sp_authority_is_shown(&a->x509[i], now_s) && roots.len > 0 && !has_it) {
            mln_buf_add_bytes(&der, roots);
        }
    }
    mln_buf_add_text(&jwks, "{\"keys\":[");
    for (size_t i = 0; i < a->jwt_n; i++) {
        if (sp_authority_is_shown(&a->jwt[i], now_s)) {
            mln_buf_add_text(&jwks, is_first ? "" : ",");
            mln_buf_add_text(&jwks, a->jwt[i].jwk);
            is_first = false;
        }
    }
    mln_buf_add_text(&jwks, "]}");
    MLN_TRY(copy_out(cx, &der, &state->bundle));
    state->bundle_n = der.len;
    uint8_t *text = (uint8_t *)state->jwks;
    MLN_TRY(copy_out(cx, &jwks, &text));
    state->jwks = (char *)text;
    return MLN_OK;
}

/* ---- loading ---- */

static struct mln_err put_row(struct mln_request *rq, struct mln_txn *txn, struct mln_cx *cx,
                              struct sp_state *state, struct mln_bytes id)
{
    const struct mln_value *row = NULL;
    struct mln_err err = mln_txn_get_value(cx, txn, rq->mount->view,
                                           mln_bytes_format(cx, "entry/%.*s", MLN_FMT(id)), &row);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK
           : mln_failed(err)            ? err
                                        : sp_index_put(cx, state->index, row);
}

/* Many rows pass through a small arena of their own. */
static struct mln_err load_chunk(struct mln_request *rq, struct sp_state *state,
                                 const struct mln_value *ids, size_t from)
{
    struct mln_cx cx;
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(LOAD_ARENA_BYTES, false);
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    if (arena == NULL) {
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory to read the registration entries");
    }
    mln_cx_init(&cx, arena);
    struct mln_err err = mln_txn_beside(&cx, rq->txn, &txn);
    for (size_t i = from; !mln_failed(err) && i < mln_len(ids) && i < from + LOAD_CHUNK; i++) {
        err = put_row(rq, txn, &cx, state, mln_get_bytes(mln_item(ids, i)));
    }
    mln_txn_drop(&txn);
    return mln_failed(err) ? mln_fail(rq->cx, (enum mln_code)err.code,
                                      "registration entries cannot be read: %s", cx.text)
                           : MLN_OK;
}

static struct mln_err load_entries(struct mln_request *rq, struct sp_state *state)
{
    const struct mln_value *ids = NULL;
    state->index = sp_index_new(sp_svid_free);
    if (state->index == NULL) {
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for registration entries");
    }
    MLN_TRY(sp_row_names(rq, "entry/", &ids));
    for (size_t i = 0; i < mln_len(ids); i += LOAD_CHUNK) {
        MLN_TRY(load_chunk(rq, state, ids, i));
    }
    return MLN_OK;
}

static struct mln_err load_keys(struct mln_request *rq, struct sp_state *state)
{
    sp_authorities_clear(&state->authorities);
    MLN_TRY(sp_authorities_load(rq, &state->authorities));
    struct sp_foreign *foreign = NULL;
    struct mln_err err = sp_foreign_load(rq, &foreign);
    if (mln_failed(err)) {
        sp_foreign_free(foreign);
        return err;
    }
    sp_foreign_free(state->foreign);
    state->foreign = foreign;
    state->keys_seq++;
    sp_tokens_forget(state);
    return make_bundle(rq->cx, state, rq->now_ns / SP_SECOND_NS);
}

static void name(struct sp_state *state, const char *domain)
{
    struct mln_bytes id = mln_bytes_of("spiffe://"), td = mln_bytes_of(domain),
                     tail = mln_bytes_of("/merlon/server");
    MLN_CHECK(td.len <= MLN_SPIFFE_DOMAIN_MAX);
    mln_copy(state->domain, domain, td.len + 1);
    mln_copy(state->id, id.ptr, id.len);
    mln_copy(state->id + id.len, domain, td.len + 1);
    mln_copy(state->server, state->id, id.len + td.len);
    mln_copy(state->server + id.len + td.len, tail.ptr, tail.len + 1);
}

static struct mln_err load(struct mln_request *rq, struct sp_state *state)
{
    const char *domain = NULL;
    uint8_t epoch[8];
    MLN_TRY(sp_domain_settle(rq, &domain));
    name(state, domain);
    mln_put_u64le(epoch, mln_random_u64());
    const char *text = mln_hex_text(rq->cx, mln_bytes_at(epoch, sizeof(epoch)));
    MLN_TRY(mln_cx_err(rq->cx));
    mln_copy(state->epoch, text, sizeof(state->epoch));
    MLN_TRY(load_entries(rq, state));
    MLN_TRY(sp_templates_load(rq, state));
    MLN_TRY(load_keys(rq, state));
    state->next_expiry_s = 0;
    state->expiry_seen_s = rq->now_ns / SP_SECOND_NS;
    state->is_loaded = true;
    return MLN_OK;
}

static struct mln_err state_at(struct mln_request *rq, struct sp_state **ret)
{
    void *kept = NULL;
    MLN_TRY(rq->services->keep(rq, make, drop, &kept));
    *ret = kept;
    return MLN_OK;
}

struct mln_err sp_state_get(struct mln_request *rq, struct sp_state **ret)
{
    struct sp_state *state = NULL;
    MLN_TRY(state_at(rq, &state));
    {
        SP_READ(state);
        if (state->is_loaded) {
            *ret = state;
            return MLN_OK;
        }
    }
    SP_WRITE(state);
    struct mln_err err = state->is_loaded ? MLN_OK : load(rq, state);
    if (mln_failed(err)) {
        clear(state);
        return err;
    }
    *ret = state;
    return MLN_OK;
}

/* ---- after commits ---- */

/* The row as it is now, whichever of two commits comes here first. */
static struct mln_err refresh(struct mln_request *rq, struct sp_state *state, struct mln_bytes id)
{
    const struct mln_value *row = NULL;
    struct sp_entry *e = sp_index_get(state->index, id);
    if (e != NULL) {
        sp_topics_of_entry(rq, state, e);
    }
    struct mln_err err = sp_row_get(rq, "entry/", id, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        if (e != NULL) {
            sp_gone_note(state, e);
        }
        sp_index_remove(state->index, id);
        return MLN_OK;
    }
    MLN_TRY(err);
    if (e != NULL && e->revision == (uint64_t)mln_get_int(mln_get(row, "revision"), 0) &&
        e->created_ns == mln_get_int(mln_get(row, "created_ns"), 0)) {
        return MLN_OK; /* another commit's work brought it here already */
    }
    if (e != NULL && !mln_is_text(mln_get(row, "parent_id"), e->parent->text)) {
        sp_gone_note(state, e);
    }
    MLN_TRY(sp_index_put(rq->cx, state->index, row));
    e = sp_index_get(state->index, id);
    sp_topics_of_entry(rq, state, e);
    if (e->expires_s != 0) {
        state->next_expiry_s = 0;
    }
    return MLN_OK;
}

static void publish_all(struct mln_request *rq)
{
    rq->services->publish(rq, SP_TOPIC_NODES, NULL);
    rq->services->publish(rq, SP_TOPIC_ALL, NULL);
}

static struct mln_err entries_changed(struct mln_request *rq, void *arg)
{
    const struct mln_value *ids = arg;
    struct sp_state *state = NULL;
    struct mln_err err = MLN_OK;
    MLN_TRY(state_at(rq, &state));
    SP_WRITE(state);
    for (size_t i = 0; state->is_loaded && !mln_failed(err) && i < mln_len(ids); i++) {
        err = refresh(rq, state, mln_get_bytes(mln_item(ids, i)));
    }
    if (mln_failed(err)) { /* read all again at the next request: better slow than wrong */
        clear(state);
        publish_all(rq);
    }
    return err;
}

static struct mln_err keys_changed(struct mln_request *rq, void *arg)
{
    struct sp_state *state = NULL;
    (void)arg;
    MLN_TRY(state_at(rq, &state));
    SP_WRITE(state);
    struct mln_err err = state->is_loaded ? load_keys(rq, state) : MLN_OK;
    if (mln_failed(err)) {
        clear(state);
    }
    publish_all(rq);
    return err;
}

static struct mln_err templates_changed(struct mln_request *rq, void *arg)
{
    struct mln_bytes name = mln_get_bytes(arg);
    struct sp_state *state = NULL;
    struct mln_err err = MLN_OK;
    MLN_TRY(state_at(rq, &state));
    SP_WRITE(state);
    if (state->is_loaded) {
        sp_index_forget_made(state->index, &name);
        sp_gone_many(rq, state);
        state->keys_seq++; /* nodes ask again who gets what */
        err = sp_templates_load(rq, state);
    }
    if (mln_failed(err)) {
        clear(state);
    }
    rq->services->publish(rq, SP_TOPIC_ALL, NULL);
    return err;
}

struct mln_err sp_after_template(struct mln_request *rq, struct mln_bytes name)
{
    struct mln_value *own = mln_string(rq->cx, mln_bytes_dup(rq->cx, name));
    MLN_TRY(mln_cx_err(rq->cx));
    rq->services->after(rq, templates_changed, own);
    return MLN_OK;
}

struct mln_err sp_after_entries(struct mln_request *rq, const struct mln_value *ids)
{
    struct mln_value *own = mln_value_dup(rq->cx, ids);
    MLN_TRY(mln_cx_err(rq->cx));
    rq->services->after(rq, entries_changed, own);
    return MLN_OK;
}

/* ---- entries that end by the clock ---- */

static void tell_expired(struct mln_request *rq, struct sp_state *state, int64_t now_s)
{
    int64_t next_s = INT64_MAX;
    for (size_t i = 0; i < sp_index_count(state->index); i++) {
        const struct sp_entry *e = sp_index_at(state->index, i);
        if (e->expires_s > now_s) {
            next_s = e->expires_s < next_s ? e->expires_s : next_s;
        } else if (e->expires_s > state->expiry_seen_s) {
            sp_topics_of_entry(rq, state, e);
        }
    }
    state->next_expiry_s = next_s;
    state->expiry_seen_s = now_s;
}

/* All entries are looked through only when one has expired, one with an end was written or the clock was set back. */
struct mln_err sp_entries_expired(struct mln_request *rq)
{
    struct sp_state *state = NULL;
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    struct mln_err err = sp_state_get(rq, &state);
    if (mln_is(err, MLN_E_PRECONDITION)) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    SP_WRITE(state);
    if (!state->is_loaded) {
        return MLN_OK;
    }
    if (now_s < state->expiry_seen_s) {
        state->expiry_seen_s = now_s;
        state->next_expiry_s = 0;
    }
    if (now_s >= state->next_expiry_s) {
        tell_expired(rq, state, now_s);
    }
    return MLN_OK;
}

void sp_after_keys(struct mln_request *rq)
{
    rq->services->after(rq, keys_changed, NULL);
}
