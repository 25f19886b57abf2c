/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of policies: made anew for each change, never changed once they are compiled. */
#include "api/rego_priv.h"

#include "base/text.h"

static void module_fini(struct rego_module *m)
{
    mln_free(m->id);
    mln_free(m->origin);
    mln_free(m->package);
    mln_free(m->text);
}

static void set_free(struct rego_set *set)
{
    if (set == NULL) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        module_fini(&set->modules[i]);
    }
    mln_free(set->modules);
    mln_rego_free(set->rego);
    (void)pthread_mutex_destroy(&set->preparing);
    mln_free(set);
}

void rego_set_drop(struct rego_set **set)
{
    if (*set != NULL && atomic_fetch_sub(&(*set)->refs, 1) == 1) {
        set_free(*set);
    }
    *set = NULL;
}

struct mln_err rego_set_new(struct mln_cx *cx, const struct mln_rego_state *state, size_t n, struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = mln_alloc(sizeof(*set));
    struct mln_rego_options options = {.version = state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
    if (set == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    atomic_store(&set->refs, 1);
    (void)pthread_mutex_init(&set->preparing, NULL);
    set->modules = mln_alloc_array(n + 1, sizeof(*set->modules));
    set->cap = n + 1;
    if (set->modules == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    if (n > REGO_MODULES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "more than %u policies", REGO_MODULES_MAX);
    }
    MLN_TRY(mln_rego_new(cx, &options, &set->rego));
    *ret = mln_take(&set);
    return MLN_OK;
}

/* A copy that may be NULL because the text is; ok tells memory. */
static char *dup(const char *text, bool *ok)
{
    char *copy = text == NULL ? NULL : mln_strdup(text);
    *ok = *ok && (text == NULL || copy != NULL);
    return copy;
}

struct mln_err rego_set_keep(struct mln_cx *cx, struct rego_set *set, const struct rego_module *module)
{
    bool ok = true;
    MLN_CHECK(set->n < set->cap);
    struct rego_module *m = &set->modules[set->n++]; /* also when half made: it is freed */
    *m = (struct rego_module){.len = module->len, .version = module->version, .text = mln_alloc(module->len + 1)};
    m->id = dup(module->id, &ok);
    m->origin = dup(module->origin, &ok);
    m->package = dup(module->package, &ok);
    if (!ok || m->text == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    mln_copy(m->text, module->text, module->len);
    return MLN_OK;
}

struct mln_err rego_set_add(struct mln_cx *cx, struct rego_set *set, const struct mln_bundle_module *module, const char *id,
                            const char *origin)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf package = {0};
    struct mln_cx own; /* what does not parse, the compiler says */
    mln_cx_init(&own, cx->arena);
    struct rego_module m = {.id = (char *)(uintptr_t)id,
                            .origin = (char *)(uintptr_t)origin,
                            .text = (uint8_t *)(uintptr_t)module->text.ptr,
                            .len = module->text.len,
                            .version = module->version};
    if (!mln_failed(mln_bundle_package(&own, module, &package))) {
        mln_buf_add_byte(&package, 0);
        m.package = (char *)package.ptr;
    }
    return rego_set_keep(cx, set, &m);
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

struct mln_err rego_set_change(struct mln_cx *cx, const struct mln_rego_state *state, const struct rego_set *old,
                               const char *id, struct mln_bytes text, struct rego_set **ret)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    MLN_TRY(rego_set_new(cx, state, old->n + 1, &set));
    for (size_t i = 0; i < old->n; i++) {
        if (!mln_bytes_is(mln_bytes_of(id), old->modules[i].id)) {
            MLN_TRY(rego_set_keep(cx, set, &old->modules[i]));
        }
    }
    if (text.ptr != NULL) {
        struct mln_bundle_module module = {id, text, state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
        MLN_TRY(rego_set_add(cx, set, &module, id, NULL));
    }
    *ret = mln_take(&set);
    return MLN_OK;
}

/* ---- compilation ---- */

static int by_id(const struct rego_module *a, const struct rego_module *b)
{
    return mln_bytes_cmp(mln_bytes_of(a->id), mln_bytes_of(b->id));
}

/* Merge sort by halves, bottom up: what was sorted stays cheap. */
static struct mln_err sort(struct mln_cx *cx, struct rego_set *set)
{
    struct rego_module *from = set->modules, *to = mln_alloc_array(set->cap, sizeof(*to));
    if (to == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    for (size_t run = 1; run < set->n; run *= 2) {
        for (size_t at = 0; at < set->n; at += 2 * run) {
            size_t mid = at + run < set->n ? at + run : set->n, end = mid + run < set->n ? mid + run : set->n;
            size_t i = at, k = mid;
            for (size_t out = at; out < end; out++) {
                bool left = i < mid && (k == end || by_id(&from[i], &from[k]) <= 0);
                to[out] = left ? from[i++] : from[k++];
            }
        }
        struct rego_module *swap = from;
        from = to;
        to = swap;
    }
    set->modules = from;
    mln_free(to);
    return MLN_OK;
}

static bool is_below(const char *path, const char *prefix)
{
    struct mln_bytes p = mln_bytes_of(path), f = mln_bytes_of(prefix);
    return mln_bytes_starts(p, f) && (p.len == f.len || p.ptr[f.len] == '.');
}

static void look_for_system(struct rego_set *set)
{
    size_t n = mln_rego_rule_count(set->rego);
    for (size_t i = 0; i < n; i++) {
        struct mln_rego_rule rule;
        if (mln_rego_rule_at(set->rego, i, &rule) && mln_bytes_starts(mln_bytes_of(rule.path), MLN_BYTES("data.system."))) {
            set->has_mask = set->has_mask || is_below(rule.path, "data.system.log.mask");
            set->has_drop = set->has_drop || is_below(rule.path, "data.system.log.drop");
            set->has_authz = set->has_authz || is_below(rule.path, "data.system.authz");
            set->has_main = set->has_main || is_below(rule.path, "data.system.main");
        }
    }
}

struct mln_err rego_set_compile(struct mln_cx *cx, struct rego_set *set)
{
    struct mln_err err = sort(cx, set);
    MLN_TRY(err);
    for (size_t i = 0; i < set->n; i++) {
        const struct rego_module *m = &set->modules[i];
        struct mln_err one = mln_rego_add_as(set->rego, cx, m->id, mln_bytes_at(m->text, m->len), m->version);
        err = mln_failed(err) ? err : one;
    }
    MLN_TRY(err);
    MLN_TRY(mln_rego_compile(set->rego, cx));
    look_for_system(set);
    return MLN_OK;
}
