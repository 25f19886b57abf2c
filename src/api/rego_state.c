/* SPDX-License-Identifier: Apache-2.0 */
/* Policies and documents of a server of policies: snapshots that are made anew, never changed. */
#include "api/rego_priv.h"

#include "base/clock.h"

/* ---- sets of policies ---- */

static void set_free(struct rego_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        mln_free(set->modules[i].id);
        mln_free(set->modules[i].text);
    }
    mln_free(set->modules);
    mln_rego_free(set->rego);
    mln_free(set);
}

void rego_set_drop(struct rego_set **set)
{
    if (*set != NULL && atomic_fetch_sub(&(*set)->refs, 1) == 1) {
        set_free(*set);
    }
    *set = NULL;
}

static bool module_put(struct rego_set *set, const char *id, struct mln_bytes text)
{
    struct rego_module *m = &set->modules[set->n];
    *m = (struct rego_module){.id = mln_strdup(id), .text = mln_alloc(text.len + 1), .len = text.len};
    set->n++; /* also when half made: it is freed */
    if (m->id == NULL || m->text == NULL) {
        return false;
    }
    mln_copy(m->text, text.ptr, text.len);
    return true;
}

const struct rego_module *rego_set_find(const struct rego_set *set, struct mln_bytes id)
{
    for (size_t i = 0; i < set->n; i++) {
        if (mln_bytes_is(id, set->modules[i].id)) {
            return &set->modules[i];
        }
    }
    return NULL;
}

/* The old modules in order, with the changed one in its place. */
static bool fill(struct rego_set *set, const struct rego_set *old, const char *id, struct mln_bytes text)
{
    bool is_done = id == NULL, ok = true;
    for (size_t i = 0; ok && old != NULL && i < old->n; i++) {
        const struct rego_module *m = &old->modules[i];
        int order = is_done ? -1 : mln_bytes_cmp(mln_bytes_of(m->id), mln_bytes_of(id));
        if (!is_done && order >= 0) {
            ok = text.ptr == NULL || module_put(set, id, text);
            is_done = true;
        }
        if (ok && order != 0) {
            ok = module_put(set, m->id, mln_bytes_at(m->text, m->len));
        }
    }
    return ok && (is_done || text.ptr == NULL || module_put(set, id, text));
}

struct mln_err rego_set_change(struct mln_cx *cx, const struct mln_rego_state *state, const struct rego_set *old,
                               const char *id, struct mln_bytes text, struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = mln_alloc(sizeof(*set));
    size_t n = (old != NULL ? old->n : 0) + 1;
    struct mln_rego_options options = {.version = state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
    if (set != NULL) {
        atomic_store(&set->refs, 1);
        set->modules = mln_alloc_array(n, sizeof(*set->modules));
    }
    if (set == NULL || set->modules == NULL || !fill(set, old, id, text)) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (set->n > REGO_MODULES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "more than %u policies", REGO_MODULES_MAX);
    }
    MLN_TRY(mln_rego_new(cx, &options, &set->rego));
    *ret = mln_take(&set);
    return MLN_OK;
}

struct mln_err rego_set_compile(struct mln_cx *cx, struct rego_set *set)
{
    struct mln_err err = MLN_OK;
    for (size_t i = 0; i < set->n; i++) {
        const struct rego_module *m = &set->modules[i];
        struct mln_err one = mln_rego_add(set->rego, cx, m->id, mln_bytes_at(m->text, m->len));
        err = mln_failed(err) ? err : one;
    }
    return mln_failed(err) ? err : mln_rego_compile(set->rego, cx);
}

/* ---- snapshots ---- */

static void documents_drop(struct rego_documents **documents)
{
    if (*documents != NULL && atomic_fetch_sub(&(*documents)->refs, 1) == 1) {
        mln_rego_data_free((*documents)->data);
        mln_free(*documents);
    }
    *documents = NULL;
}

static void snapshot_drop(struct rego_snapshot **snapshot)
{
    if (*snapshot != NULL && atomic_fetch_sub(&(*snapshot)->refs, 1) == 1) {
        rego_set_drop(&(*snapshot)->set);
        documents_drop(&(*snapshot)->documents);
        mln_free(*snapshot);
    }
    *snapshot = NULL;
}

/* data is taken over; NULL with data freed when memory is out. */
static struct rego_documents *documents_new(struct mln_rego_data *data)
{
    struct rego_documents *d = mln_alloc(sizeof(*d));
    if (d == NULL) {
        mln_rego_data_free(data);
        return NULL;
    }
    atomic_store(&d->refs, 1);
    d->data = data;
    return d;
}

static void put_in_place(struct mln_rego_state *state, struct rego_snapshot *next)
{
    (void)pthread_mutex_lock(&state->lock);
    struct rego_snapshot *old = state->now;
    state->now = next;
    (void)pthread_mutex_unlock(&state->lock);
    snapshot_drop(&old);
}

struct mln_err rego_publish(struct mln_cx *cx, struct mln_rego_state *state, struct rego_set *set,
                            struct mln_rego_data *data)
{
    const struct rego_snapshot *now = state->now;
    struct rego_documents *documents = data != NULL ? documents_new(data) : NULL;
    struct rego_snapshot *next = mln_alloc(sizeof(*next));
    if (next == NULL || (data != NULL && documents == NULL)) {
        documents_drop(&documents);
        rego_set_drop(&set);
        mln_free(next);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    atomic_store(&next->refs, 1);
    next->set = set;
    next->documents = documents;
    if (set == NULL && now != NULL) {
        next->set = now->set;
        atomic_fetch_add(&next->set->refs, 1);
    }
    if (documents == NULL && now != NULL && now->documents != NULL) {
        next->documents = now->documents;
        atomic_fetch_add(&next->documents->refs, 1);
    }
    put_in_place(state, next);
    return MLN_OK;
}

/* ---- prepared queries ---- */

static void forget_queries(struct rego_worker *worker)
{
    for (size_t i = 0; i < REGO_QUERIES; i++) {
        mln_rego_query_drop(&worker->queries[i].query);
        mln_free(worker->queries[i].text);
        worker->queries[i] = (struct rego_query){0};
    }
}

struct rego_snapshot *rego_current(struct mln_rego_state *state, struct rego_worker *worker)
{
    (void)pthread_mutex_lock(&state->lock);
    struct rego_snapshot *now = state->now;
    bool is_new = now != worker->seen;
    if (is_new) {
        atomic_fetch_add(&now->refs, 1);
    }
    (void)pthread_mutex_unlock(&state->lock);
    if (is_new) {
        if (worker->seen != NULL && worker->seen->set != now->set) {
            forget_queries(worker);
        }
        snapshot_drop(&worker->seen);
        worker->seen = now;
    }
    return now;
}

static uint64_t hash_of(struct mln_bytes text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < text.len; i++) {
        h = (h ^ text.ptr[i]) * 1099511628211u;
    }
    return h ^ h >> 32;
}

static void keep(struct rego_query *slot, struct mln_bytes text, struct mln_rego_query *query)
{
    mln_rego_query_drop(&slot->query);
    mln_free(slot->text);
    *slot = (struct rego_query){.text = mln_alloc(text.len + 1), .len = text.len, .query = query};
    if (slot->text != NULL) {
        mln_copy(slot->text, text.ptr, text.len);
    } else {
        slot->len = SIZE_MAX; /* nothing is as long: it serves this call only */
    }
}

struct mln_err rego_query_get(struct rego_call *call, struct mln_bytes text, const struct mln_rego_query **ret,
                              struct mln_rego_query **ret_failed)
{
    struct rego_query *slot = &call->worker->queries[text.len > REGO_QUERY_KEPT ? 0 : hash_of(text) % REGO_QUERIES];
    struct mln_rego_query_options how = {.version = call->state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
    struct mln_rego_query *query = NULL;
    if (slot->query != NULL && slot->len == text.len && mln_same(slot->text, text.ptr, text.len)) {
        *ret = slot->query;
        call->was_kept = true;
        return MLN_OK;
    }
    (void)pthread_mutex_lock(&call->state->writing);
    struct mln_err err = mln_rego_prepare(call->snapshot->set->rego, call->cx, text, &how, &query);
    (void)pthread_mutex_unlock(&call->state->writing);
    if (mln_failed(err)) {
        *ret_failed = query;
        return err;
    }
    keep(slot, text, query);
    *ret = query;
    return MLN_OK;
}

/* ---- the whole ---- */

/* Modules of the command line: one compilation for all. */
static struct mln_err first_set(struct mln_cx *cx, struct mln_rego_state *state,
                                const struct mln_rego_server_options *options, struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_TRY(rego_set_change(cx, state, NULL, NULL, MLN_BYTES_NONE, &set));
    for (size_t i = 0; i < options->n_modules; i++) {
        struct rego_set *more = NULL;
        MLN_TRY(rego_set_change(cx, state, set, options->modules[i].name, options->modules[i].text, &more));
        rego_set_drop(&set);
        set = more;
    }
    MLN_TRY(rego_set_compile(cx, set));
    *ret = mln_take(&set);
    return MLN_OK;
}

static struct mln_err check_clash(struct mln_cx *cx, const struct rego_set *set, const struct mln_rego_data *data)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf path = {0};
    if (mln_rego_data_conflict(set->rego, data, &path)) {
        return mln_fail(cx, MLN_E_INVALID, "conflicting rule for data path %.*s found", MLN_FMT(mln_buf_bytes(&path)));
    }
    return MLN_OK;
}

struct mln_err mln_rego_state_new(struct mln_cx *cx, const struct mln_rego_server_options *options,
                                  struct mln_rego_state **ret)
{
    MLN_AUTO(mln_rego_state_drop) struct mln_rego_state *state = mln_alloc(sizeof(*state));
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = options->data;
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    if (state == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    MLN_CHECK(pthread_mutex_init(&state->lock, NULL) == 0 && pthread_mutex_init(&state->writing, NULL) == 0);
    state->is_v0 = options->is_v0;
    state->time_ns = options->time_s > 0 ? (uint64_t)options->time_s * 1000000000u : 0;
    state->start_ns = mln_now_ns();
    MLN_TRY(mln_rego_zones_new(cx, &state->zones));
    mln_uuid(state->id);
    MLN_TRY(first_set(cx, state, options, &set));
    if (data == NULL) {
        MLN_TRY(mln_rego_data_load(cx, MLN_BYTES("{}"), &data));
    }
    MLN_TRY(check_clash(cx, set, data));
    MLN_TRY(rego_publish(cx, state, mln_take(&set), mln_take(&data)));
    *ret = mln_take(&state);
    return MLN_OK;
}

void mln_rego_state_free(struct mln_rego_state *state)
{
    if (state == NULL) {
        return;
    }
    for (size_t i = 0; i < MLN_COUNT(state->workers); i++) {
        forget_queries(&state->workers[i]);
        mln_rego_eval_drop(&state->workers[i].eval);
        snapshot_drop(&state->workers[i].seen);
    }
    snapshot_drop(&state->now);
    mln_rego_zones_free(state->zones);
    (void)pthread_mutex_destroy(&state->lock);
    (void)pthread_mutex_destroy(&state->writing);
    mln_free(state);
}

void mln_rego_state_drop(struct mln_rego_state **state)
{
    mln_rego_state_free(*state);
    *state = NULL;
}
