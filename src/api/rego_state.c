/* SPDX-License-Identifier: Apache-2.0 */
/* Policies, documents and configuration of a server of policies: snapshots that are made anew, never changed. */
#include "api/rego_priv.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

#define SETTINGS_ARENA ((size_t)64 << 20) /* a configuration of 4 MiB and its keys */

/* ---- snapshots ---- */

static void documents_drop(struct rego_documents **documents)
{
    if (*documents != NULL && atomic_fetch_sub(&(*documents)->refs, 1) == 1) {
        mln_rego_data_free((*documents)->data);
        mln_free(*documents);
    }
    *documents = NULL;
}

void rego_settings_drop(struct rego_settings **settings)
{
    if (*settings != NULL && atomic_fetch_sub(&(*settings)->refs, 1) == 1) {
        mln_arena_free((*settings)->arena);
        mln_free(*settings);
    }
    *settings = NULL;
}

static void snapshot_drop(struct rego_snapshot **snapshot)
{
    if (*snapshot != NULL && atomic_fetch_sub(&(*snapshot)->refs, 1) == 1) {
        rego_set_drop(&(*snapshot)->set);
        documents_drop(&(*snapshot)->documents);
        rego_settings_drop(&(*snapshot)->settings);
        mln_free((void *)(uintptr_t)(*snapshot)->revisions.ptr);
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

/* What the change does not replace is shared with the snapshot before. */
static void share(struct rego_snapshot *next, const struct rego_snapshot *now)
{
    if (now == NULL) {
        return;
    }
    if (next->set == NULL) {
        next->set = now->set;
        atomic_fetch_add(&next->set->refs, 1);
    }
    if (next->documents == NULL) {
        next->documents = now->documents;
        atomic_fetch_add(&next->documents->refs, 1);
    }
    if (next->settings == NULL) {
        next->settings = now->settings;
        atomic_fetch_add(&next->settings->refs, 1);
    }
}

static void take_revisions(struct mln_rego_state *state, struct rego_snapshot *next)
{
    struct mln_buf text = {0};
    rego_print_revisions(state, &text);
    if (text.has_failed || text.len == 0) {
        mln_buf_drop(&text);
    }
    next->revisions = mln_buf_bytes(&text); /* its memory goes with the snapshot */
}

struct mln_err rego_publish(struct mln_cx *cx, struct mln_rego_state *state, struct rego_next change)
{
    struct rego_documents *documents = change.data != NULL ? documents_new(change.data) : NULL;
    struct rego_snapshot *next = mln_alloc(sizeof(*next));
    if (next == NULL || (change.data != NULL && documents == NULL)) {
        documents_drop(&documents);
        rego_set_drop(&change.set);
        rego_settings_drop(&change.settings);
        mln_free(next);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    atomic_store(&next->refs, 1);
    next->set = change.set;
    next->documents = documents;
    next->settings = change.settings;
    share(next, state->now);
    take_revisions(state, next);
    put_in_place(state, next);
    return MLN_OK;
}

/* ---- settings ---- */

/* {"id", "version"} and what is configured, the former first. */
static void print_labels(struct mln_cx *cx, const struct mln_rego_state *state, const struct rego_config *config, struct mln_buf *out)
{
    struct mln_value *labels = mln_object(cx);
    mln_put_text(cx, labels, "id", state->id);
    mln_put_text(cx, labels, "version", MLN_VERSION);
    for (size_t i = 0; i < mln_len(config->labels); i++) {
        const struct mln_member *m = mln_member_at(config->labels, i);
        mln_put_key(cx, labels, m->key, &m->value);
    }
    mln_json_print(out, labels, MLN_JSON_COMPACT);
}

struct mln_err rego_settings_new(struct mln_cx *cx, const struct mln_rego_state *state, const struct mln_value *raw,
                                 struct rego_settings **ret)
{
    MLN_AUTO(rego_settings_drop) struct rego_settings *s = mln_alloc(sizeof(*s));
    MLN_AUTO(mln_buf_drop) struct mln_buf labels = {0};
    struct mln_cx own;
    if (s == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    atomic_store(&s->refs, 1);
    s->arena = mln_arena_new(SETTINGS_ARENA, false);
    mln_cx_init(&own, s->arena);
    s->config = s->arena == NULL ? NULL : MLN_NEW(&own, struct rego_config);
    if (s->config == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    struct mln_err err = rego_config_read(&own, raw == NULL ? NULL : mln_value_dup(&own, raw), s->config);
    if (mln_failed(err)) {
        return mln_fail(cx, (enum mln_code)err.code, "%s", own.text);
    }
    print_labels(&own, state, s->config, &labels);
    s->labels = mln_bytes_dup(&own, mln_buf_bytes(&labels));
    if (mln_failed(mln_cx_err(&own)) || labels.has_failed) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    *ret = mln_take(&s);
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

static struct rego_query *slot_of(struct rego_call *call, struct mln_bytes key)
{
    return &call->worker->queries[key.len > REGO_QUERY_KEPT ? 0 : hash_of(key) % REGO_QUERIES];
}

const struct mln_rego_query *rego_query_kept(struct rego_call *call, struct mln_bytes key)
{
    const struct rego_query *slot = slot_of(call, key);
    bool is_it = slot->query != NULL && slot->len == key.len && mln_same(slot->text, key.ptr, key.len);
    call->was_kept = call->was_kept || is_it;
    return is_it ? slot->query : NULL;
}

struct mln_err rego_query_get(struct rego_call *call, struct mln_bytes key, struct mln_bytes text, const struct mln_rego_query **ret,
                              struct mln_rego_query **ret_failed)
{
    struct mln_rego_query_options how = {.version = call->state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
    struct mln_rego_query *query = NULL;
    struct rego_set *set = call->snapshot->set;
    *ret = rego_query_kept(call, key);
    if (*ret != NULL) {
        return MLN_OK;
    }
    (void)pthread_mutex_lock(&set->preparing);
    struct mln_err err = mln_rego_prepare(set->rego, call->cx, text, &how, &query);
    (void)pthread_mutex_unlock(&set->preparing);
    if (mln_failed(err)) {
        *ret_failed = query;
        return err;
    }
    keep(slot_of(call, key), key, query);
    *ret = query;
    return MLN_OK;
}

/* ---- the whole ---- */

/* Modules of the command line: one compilation for all. */
static struct mln_err first_set(struct mln_cx *cx, struct mln_rego_state *state,
                                const struct mln_rego_server_options *options, struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_TRY(rego_set_new(cx, state, options->n_modules, &set));
    for (size_t i = 0; i < options->n_modules; i++) {
        const struct mln_rego_source *m = &options->modules[i];
        struct mln_bundle_module module = {m->name, m->text.ptr == NULL ? MLN_BYTES("") : m->text,
                                           state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
        MLN_TRY(rego_set_add(cx, set, &module, m->name, ""));
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

static struct mln_err keep_config(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_value *config)
{
    struct mln_cx own;
    state->boot_arena = mln_arena_new(SETTINGS_ARENA, false);
    mln_cx_init(&own, state->boot_arena);
    if (state->boot_arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    state->boot_config = mln_is_null(config) ? mln_object(&own) : mln_value_dup(&own, config);
    return mln_failed(mln_cx_err(&own)) ? mln_fail(cx, MLN_E_MEMORY, "out of memory") : MLN_OK;
}

static struct mln_err fill(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_rego_server_options *options,
                           struct mln_rego_data *taken)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = taken;
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_AUTO(rego_settings_drop) struct rego_settings *settings = NULL;
    MLN_TRY(keep_config(cx, state, options->config));
    MLN_TRY(rego_settings_new(cx, state, options->config, &settings));
    MLN_TRY(first_set(cx, state, options, &set));
    if (data == NULL) {
        MLN_TRY(mln_rego_data_load(cx, MLN_BYTES("{}"), &data));
    }
    MLN_TRY(check_clash(cx, set, data));
    MLN_TRY(rego_publish(cx, state, (struct rego_next){mln_take(&set), mln_take(&data), mln_take(&settings)}));
    MLN_TRY(rego_bundles_expect(cx, state, state->now->settings->config));
    for (size_t i = 0; i < options->n_bundles; i++) {
        struct rego_offer offer = {.name = options->bundles[i].name, .etag = ""};
        MLN_TRY(rego_bundle_activate(cx, state, options->bundles[i].bundle, &offer));
    }
    return MLN_OK;
}

static void free_bundles(const struct mln_rego_server_options *options)
{
    for (size_t i = 0; i < options->n_bundles; i++) {
        mln_bundle_free(options->bundles[i].bundle);
    }
}

struct mln_err mln_rego_state_new(struct mln_cx *cx, const struct mln_rego_server_options *options,
                                  struct mln_rego_state **ret)
{
    MLN_AUTO(mln_rego_state_drop) struct mln_rego_state *state = mln_alloc(sizeof(*state));
    if (state == NULL) {
        mln_rego_data_free(options->data);
        free_bundles(options);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    (void)pthread_mutex_init(&state->lock, NULL);
    (void)pthread_mutex_init(&state->writing, NULL);
    (void)pthread_mutex_init(&state->bundles_lock, NULL);
    (void)pthread_mutex_init(&state->scribe.lock, NULL);
    (void)pthread_cond_init(&state->scribe.news, NULL);
    state->feeder_fd = state->feeder_in = -1;
    state->is_v0 = options->is_v0;
    state->authentication = options->authentication;
    state->is_authorized = options->is_authorized;
    state->time_ns = options->time_s > 0 ? (uint64_t)options->time_s * 1000000000u : 0;
    state->start_ns = mln_now_ns();
    mln_uuid(state->id);
    struct mln_err err = mln_rego_zones_new(cx, &state->zones);
    if (mln_failed(err)) {
        mln_rego_data_free(options->data);
    } else {
        err = fill(cx, state, options, options->data);
    }
    free_bundles(options);
    MLN_TRY(err);
    *ret = mln_take(&state);
    return MLN_OK;
}

static void bundle_fini(struct rego_bundle *b)
{
    for (size_t i = 0; i < b->n_roots; i++) {
        mln_free((void *)(uintptr_t)b->roots[i].ptr);
    }
    mln_free(b->roots);
    mln_free(b->name);
    mln_free(b->revision);
    mln_free(b->etag);
}

void mln_rego_state_free(struct mln_rego_state *state)
{
    if (state == NULL) {
        return;
    }
    rego_scribe_end(state); /* and with it the feeder's socket: the keeper ends */
    for (size_t i = 0; i < MLN_COUNT(state->workers); i++) {
        forget_queries(&state->workers[i]);
        mln_rego_eval_drop(&state->workers[i].eval);
        snapshot_drop(&state->workers[i].seen);
    }
    for (size_t i = 0; i < state->n_bundles; i++) {
        bundle_fini(&state->bundles[i]);
    }
    snapshot_drop(&state->now);
    mln_rego_zones_free(state->zones);
    mln_arena_free(state->boot_arena);
    mln_buf_drop(&state->scribe.lines);
    mln_buf_drop(&state->scribe.status);
    mln_buf_drop(&state->scribe.answers);
    (void)pthread_cond_destroy(&state->scribe.news);
    (void)pthread_mutex_destroy(&state->scribe.lock);
    (void)pthread_mutex_destroy(&state->bundles_lock);
    (void)pthread_mutex_destroy(&state->lock);
    (void)pthread_mutex_destroy(&state->writing);
    mln_free(state);
}

void mln_rego_state_drop(struct mln_rego_state **state)
{
    mln_rego_state_free(*state);
    *state = NULL;
}

bool mln_rego_state_ready(struct mln_rego_state *state)
{
    return rego_bundles_ready(state);
}

struct mln_err mln_rego_state_feed(struct mln_cx *cx, struct mln_rego_state *state, int in_fd, int out_fd)
{
    state->feeder_in = in_fd;
    state->feeder_fd = out_fd;
    MLN_TRY(rego_scribe_start(cx, state));
    return rego_keeper_start(cx, state);
}
