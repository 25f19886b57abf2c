/* SPDX-License-Identifier: Apache-2.0 */
/* Bundles that are active: each owns its roots; one comes in the place of the one before, whole or not at all. */
#include "api/rego_priv.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

/* ---- entries ---- */

static struct rego_bundle *find(struct mln_rego_state *state, struct mln_bytes name, bool is_discovery)
{
    for (size_t i = 0; i < state->n_bundles; i++) {
        if (mln_bytes_is(name, state->bundles[i].name) && state->bundles[i].is_discovery == is_discovery) {
            return &state->bundles[i];
        }
    }
    return NULL;
}

struct rego_bundle *rego_bundle_entry(struct mln_rego_state *state, const char *name, bool is_discovery)
{
    struct rego_bundle *b = find(state, mln_bytes_of(name), is_discovery);
    if (b != NULL || state->n_bundles == MLN_COUNT(state->bundles)) {
        return b;
    }
    b = &state->bundles[state->n_bundles];
    *b = (struct rego_bundle){.name = mln_strdup(name), .is_discovery = is_discovery};
    state->n_bundles += b->name != NULL;
    return b->name != NULL ? b : NULL;
}

static void clear_roots(struct rego_bundle *b)
{
    for (size_t i = 0; i < b->n_roots; i++) {
        mln_free((void *)(uintptr_t)b->roots[i].ptr);
    }
    mln_free(b->roots);
    b->roots = NULL;
    b->n_roots = 0;
}

/* False: no memory. */
static bool keep_roots(struct rego_bundle *b, const struct mln_bundle *bundle)
{
    clear_roots(b);
    b->roots = mln_alloc_array(bundle->n_roots + 1, sizeof(*b->roots));
    for (size_t i = 0; b->roots != NULL && i < bundle->n_roots; i++) {
        uint8_t *copy = mln_alloc(bundle->roots[i].len + 1);
        if (copy == NULL) {
            return false;
        }
        mln_copy(copy, bundle->roots[i].ptr, bundle->roots[i].len);
        b->roots[b->n_roots++] = mln_bytes_at(copy, bundle->roots[i].len);
    }
    return b->roots != NULL;
}

static void keep_text(char **to, const char *text)
{
    mln_free(*to);
    *to = mln_strdup(text);
}

/* Its roots as a bundle, for comparisons. */
static struct mln_bundle shape_of(const struct rego_bundle *b)
{
    return (struct mln_bundle){.roots = b->roots, .n_roots = b->n_roots};
}

bool rego_bundles_ready(struct mln_rego_state *state)
{
    bool ready = true;
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        ready = ready && state->bundles[i].is_active;
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    return ready;
}

void rego_print_revisions(struct mln_rego_state *state, struct mln_buf *out)
{
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; i < state->n_bundles; i++) {
        const struct rego_bundle *b = &state->bundles[i];
        if (b->is_active && !b->is_discovery) {
            mln_buf_add_byte(out, out->len == 0 ? '{' : ',');
            mln_json_print_string(out, mln_bytes_of(b->name), MLN_JSON_COMPACT);
            mln_buf_add_text(out, ":{\"revision\":");
            mln_json_print_string(out, mln_bytes_of(b->revision), MLN_JSON_COMPACT);
            mln_buf_add_byte(out, '}');
        }
    }
    if (out->len > 0) {
        mln_buf_add_byte(out, '}');
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
}

static bool is_below(struct mln_bytes path, struct mln_bytes root)
{
    return root.len == 0 || (mln_bytes_starts(path, root) && (path.len == root.len || path.ptr[root.len] == '/'));
}

const char *rego_bundle_owner(struct mln_cx *cx, struct mln_rego_state *state, struct mln_bytes path)
{
    const char *owner = NULL;
    (void)pthread_mutex_lock(&state->bundles_lock);
    for (size_t i = 0; owner == NULL && i < state->n_bundles; i++) {
        const struct rego_bundle *b = &state->bundles[i];
        for (size_t k = 0; b->is_active && !b->is_discovery && k < b->n_roots; k++) {
            if (is_below(path, b->roots[k]) || is_below(b->roots[k], path)) {
                owner = mln_text_dup(cx, mln_bytes_of(b->name));
            }
        }
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    return owner;
}

/* ---- activation: `writing` is held ---- */

static struct mln_err check_overlap(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *bundle, const char *name)
{
    struct mln_bytes a, b;
    for (size_t i = 0; i < state->n_bundles; i++) {
        const struct rego_bundle *other = &state->bundles[i];
        struct mln_bundle shape = shape_of(other);
        if (other->is_active && !other->is_discovery && !mln_bytes_is(mln_bytes_of(name), other->name) &&
            mln_bundle_roots_meet(bundle, &shape, &a, &b)) {
            return mln_fail(cx, MLN_E_INVALID, "detected overlapping roots in manifests of bundles %s ('%.*s') and %s ('%.*s')", name,
                            MLN_FMT(a), other->name, MLN_FMT(b));
        }
    }
    return MLN_OK;
}

/* All but what the bundle brought before, or what stands below its roots now. */
static bool stays(const struct rego_module *m, const char *name, const struct mln_bundle *bundle)
{
    bool is_own = m->origin != NULL && mln_bytes_is(mln_bytes_of(name), m->origin);
    return !is_own && !(m->package != NULL && bundle != NULL && mln_bundle_covers(bundle, mln_bytes_of(m->package)));
}

static struct mln_err next_set(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *bundle, const char *name,
                               struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    const struct rego_set *old = state->now->set;
    size_t more = bundle == NULL ? 0 : bundle->n_modules;
    MLN_TRY(rego_set_new(cx, state, old->n + more, &set));
    for (size_t i = 0; i < old->n; i++) {
        if (stays(&old->modules[i], name, bundle)) {
            MLN_TRY(rego_set_keep(cx, set, &old->modules[i]));
        }
    }
    for (size_t i = 0; i < more; i++) {
        const struct mln_bundle_module *m = &bundle->modules[i];
        MLN_TRY(rego_set_add(cx, set, m, mln_text_format(cx, "%s/%s", name, m->path), name));
    }
    MLN_TRY(rego_set_compile(cx, set));
    *ret = mln_take(&set);
    return MLN_OK;
}

static bool same_roots(const struct rego_bundle *entry, const struct mln_bundle *bundle)
{
    bool same = entry->n_roots == bundle->n_roots;
    for (size_t i = 0; same && i < entry->n_roots; i++) {
        same = mln_bytes_eq(entry->roots[i], bundle->roots[i]);
    }
    return same;
}

/* data.system.bundles[name].manifest is there for policies, as OPA has it. */
static struct mln_err put_manifest(struct mln_cx *cx, const struct mln_bundle *bundle, const char *name, struct mln_rego_data **data)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *next = NULL;
    const struct mln_bytes names[] = {MLN_BYTES("system"), MLN_BYTES("bundles"), mln_bytes_of(name), MLN_BYTES("manifest")};
    struct mln_value *manifest = mln_value_dup(cx, bundle->manifest), *roots = mln_array(cx);
    for (size_t i = 0; i < bundle->n_roots; i++) {
        mln_push(cx, roots, mln_string(cx, bundle->roots[i]));
    }
    mln_put_text(cx, manifest, "revision", bundle->revision);
    mln_put(cx, manifest, "roots", roots);
    mln_json_print(&json, manifest, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &json));
    MLN_TRY(mln_rego_data_change(cx, *data, MLN_REGO_PUT, (struct mln_rego_path){names, MLN_COUNT(names)}, mln_buf_bytes(&json), &next));
    mln_rego_data_drop(data);
    *data = mln_take(&next);
    return MLN_OK;
}

static struct mln_err next_data(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *bundle,
                                const struct rego_bundle *entry, struct mln_rego_data **ret)
{
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *clean = NULL;
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    const struct mln_rego_data *old = state->now->documents->data;
    struct mln_bundle view = *bundle;
    if (bundle->is_delta) { /* it may patch what its snapshot brought, whatever it says itself */
        view.roots = entry->roots;
        view.n_roots = entry->n_roots;
    } else if (entry->is_active && !same_roots(entry, bundle)) {
        struct mln_bundle before = shape_of(entry);
        MLN_TRY(mln_bundle_erase(cx, &before, old, &clean));
    }
    MLN_TRY(mln_bundle_apply(cx, &view, clean != NULL ? clean : old, &data));
    MLN_TRY(put_manifest(cx, &view, entry->name, &data));
    *ret = mln_take(&data);
    return MLN_OK;
}

static struct mln_err check_clash(struct mln_cx *cx, const struct rego_set *set, const struct mln_rego_data *data)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf clash = {0};
    if (mln_rego_data_conflict(set->rego, data, &clash)) {
        return mln_fail(cx, MLN_E_INVALID, "rego_compile_error: conflicting rule for data path %.*s found",
                        MLN_FMT(mln_buf_bytes(&clash)));
    }
    return MLN_OK;
}

static struct mln_err build(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *bundle,
                            const struct rego_bundle *entry, struct rego_next *ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    if (bundle->is_delta && !entry->is_active) {
        return mln_fail(cx, MLN_E_INVALID, "a delta came before there is a bundle that it changes");
    }
    if (!bundle->is_delta) {
        MLN_TRY(check_overlap(cx, state, bundle, entry->name));
        MLN_TRY(next_set(cx, state, bundle, entry->name, &set));
    }
    MLN_TRY(next_data(cx, state, bundle, entry, &data));
    MLN_TRY(check_clash(cx, set != NULL ? set : state->now->set, data));
    *ret = (struct rego_next){.set = mln_take(&set), .data = mln_take(&data)};
    return MLN_OK;
}

static void note_success(struct rego_bundle *entry, const struct mln_bundle *bundle, const struct rego_offer *offer, int64_t took_ns)
{
    entry->is_active = entry->is_active || bundle->is_delta || keep_roots(entry, bundle);
    if (!bundle->is_delta && entry->activated_ns != 0) {
        (void)keep_roots(entry, bundle);
    }
    entry->is_delta = bundle->is_delta;
    entry->activated_ns = mln_now_ns();
    entry->took_ns = took_ns;
    entry->bytes = (int64_t)bundle->bytes;
    entry->code[0] = entry->message[0] = '\0';
    keep_text(&entry->revision, bundle->revision);
    keep_text(&entry->etag, offer->etag);
}

struct mln_err rego_bundle_activate(struct mln_cx *cx, struct mln_rego_state *state, const struct mln_bundle *bundle,
                                    const struct rego_offer *offer)
{
    struct rego_next next = {0};
    int64_t start_ns = mln_mono_ns();
    (void)pthread_mutex_lock(&state->writing);
    (void)pthread_mutex_lock(&state->bundles_lock);
    struct rego_bundle *entry = rego_bundle_entry(state, offer->name, false);
    (void)pthread_mutex_unlock(&state->bundles_lock);
    struct mln_err err = entry == NULL ? mln_fail(cx, MLN_E_LIMIT, "more bundles than a server has room for")
                                       : build(cx, state, bundle, entry, &next);
    (void)pthread_mutex_lock(&state->bundles_lock);
    if (!mln_failed(err)) {
        note_success(entry, bundle, offer, mln_mono_ns() - start_ns);
    } else if (entry != NULL) {
        (void)snprintf(entry->code, sizeof(entry->code), "bundle_error");
        (void)snprintf(entry->message, sizeof(entry->message), "%s", cx->text);
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    err = mln_failed(err) ? err : rego_publish(cx, state, next);
    (void)pthread_mutex_unlock(&state->writing);
    if (mln_failed(err)) {
        mln_log(MLN_LOG_ERROR, "rego", "bundle %s is refused, what was before stays: %s", offer->name, cx->text);
    } else {
        mln_log(MLN_LOG_INFO, "rego", "bundle %s is active: revision \"%s\"%s", offer->name, bundle->revision,
                bundle->is_verified ? ", signed" : "");
    }
    return err;
}

/* ---- what is expected ---- */

static bool is_configured(const struct rego_config *config, const char *name)
{
    for (size_t i = 0; i < config->n_bundles; i++) {
        if (mln_bytes_is(mln_bytes_of(name), config->bundles[i].name)) {
            return true;
        }
    }
    return false;
}

static struct mln_err remove_bundle(struct mln_cx *cx, struct mln_rego_state *state, struct rego_bundle *entry)
{
    struct rego_next next = {0};
    struct mln_bundle shape = shape_of(entry);
    MLN_TRY(next_set(cx, state, NULL, entry->name, &next.set));
    struct mln_err err = mln_bundle_erase(cx, &shape, state->now->documents->data, &next.data);
    if (mln_failed(err)) {
        rego_set_drop(&next.set);
        return err;
    }
    entry->is_active = false;
    return rego_publish(cx, state, next);
}

/* Its place in the list goes to the last. */
static void forget(struct mln_rego_state *state, size_t i)
{
    struct rego_bundle *b = &state->bundles[i];
    clear_roots(b);
    mln_free(b->name);
    mln_free(b->revision);
    mln_free(b->etag);
    *b = state->bundles[--state->n_bundles];
    state->bundles[state->n_bundles] = (struct rego_bundle){0};
}

struct mln_err rego_bundles_expect(struct mln_cx *cx, struct mln_rego_state *state, const struct rego_config *config)
{
    for (size_t i = state->n_bundles; i-- > 0;) {
        struct rego_bundle *b = &state->bundles[i];
        bool is_of_files = b->requested_ns == 0 && b->is_active; /* of the command line */
        if (b->is_discovery || is_of_files || is_configured(config, b->name)) {
            continue;
        }
        if (b->is_active) {
            MLN_TRY(remove_bundle(cx, state, b));
        }
        (void)pthread_mutex_lock(&state->bundles_lock);
        forget(state, i);
        (void)pthread_mutex_unlock(&state->bundles_lock);
    }
    (void)pthread_mutex_lock(&state->bundles_lock);
    bool ok = config->discovery.name == NULL || rego_bundle_entry(state, config->discovery.name, true) != NULL;
    for (size_t i = 0; ok && i < config->n_bundles; i++) {
        ok = rego_bundle_entry(state, config->bundles[i].name, false) != NULL;
    }
    (void)pthread_mutex_unlock(&state->bundles_lock);
    return ok ? MLN_OK : mln_fail(cx, MLN_E_LIMIT, "more bundles than a server has room for");
}
