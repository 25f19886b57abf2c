/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for requests: from rows to compiled rules, and what a row may be. */
#include "core/govern_priv.h"

#include "base/log.h"

#define SET_BYTES ((size_t)128 << 20) /* of texts and lists of all rules */

static const char *const heads[] = {"deny", "warn", NULL};
static const char *const levels[] = {"advisory", "soft-mandatory", "hard-mandatory"};

/* ---- users of a set ---- */

void govern_release(struct mln_governor **all)
{
    struct mln_governor *g = *all;
    *all = NULL;
    if (g == NULL || atomic_fetch_sub(&g->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < g->n; i++) {
        mln_rules_free(g->rules[i].rules);
    }
    mln_arena_free(g->arena);
    mln_free(g);
}

struct mln_governor *govern_hold(struct mln_core *core)
{
    pthread_rwlock_rdlock(&core->rules_lock);
    struct mln_governor *g = core->rules;
    if (g != NULL) {
        atomic_fetch_add(&g->refs, 1);
    }
    pthread_rwlock_unlock(&core->rules_lock);
    return g;
}

static void replace(struct mln_core *core, struct mln_governor *with)
{
    pthread_rwlock_wrlock(&core->rules_lock);
    struct mln_governor *old = core->rules;
    core->rules = with;
    atomic_store_explicit(&core->has_rules, with != NULL, memory_order_release);
    pthread_rwlock_unlock(&core->rules_lock);
    govern_release(&old);
}

void mln_govern_forget(struct mln_core *core)
{
    replace(core, NULL);
}

/* ---- rows ---- */

static struct mln_err take_level(struct mln_cx *cx, const struct mln_value *row, enum govern_level *ret)
{
    const struct mln_value *v = mln_get(row, "enforcement_level");
    for (size_t i = 0; i < MLN_COUNT(levels); i++) {
        if (mln_is_text(v, levels[i])) {
            *ret = (enum govern_level)i;
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "enforcement_level is none of advisory, soft-mandatory, hard-mandatory");
}

static struct mln_err take_list(struct mln_cx *cx, const struct mln_value *row, const char *key, const struct mln_value **ret)
{
    const struct mln_value *v = mln_get(row, key);
    if (mln_len(v) > MLN_GOVERN_LIST_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "%s has more than %u entries", key, MLN_GOVERN_LIST_MAX);
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        if (mln_len(mln_item(v, i)) == 0) {
            return mln_fail(cx, MLN_E_INVALID, "%s has an empty entry", key);
        }
    }
    *ret = v == NULL ? mln_array(cx) : v;
    return MLN_OK;
}

static struct mln_err take_rules(struct mln_cx *cx, const char *name, const struct mln_value *row, struct mln_rules **ret)
{
    struct mln_rego_source source = {.name = name, .text = mln_get_bytes(mln_get(row, "policy"))};
    struct mln_rules_options o = {.modules = &source, .n_modules = 1, .prefix = "data", .heads = heads};
    if (source.text.len == 0 || source.text.len > MLN_GOVERN_TEXT_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "policy is no text of 1 to %zu bytes", MLN_GOVERN_TEXT_MAX);
    }
    MLN_TRY(mln_rules_new(cx, &o, ret));
    return mln_rules_count(*ret) > 0 ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "the policy has no rule deny or warn: it would never say no");
}

/* rules of ret are set even when something behind them fails: the caller frees. */
static struct mln_err take_row(struct mln_cx *cx, const char *name, const struct mln_value *row, struct governed *ret)
{
    const struct mln_value *mode = mln_get(row, "mode");
    ret->name = name;
    ret->is_role = mln_bytes_starts(mln_bytes_of(name), MLN_BYTES("rgp/"));
    ret->is_dry_run = mln_is_text(mode, "dry-run");
    if (mode != NULL && !ret->is_dry_run && !mln_is_text(mode, "enforce")) {
        return mln_fail(cx, MLN_E_INVALID, "mode is neither enforce nor dry-run");
    }
    MLN_TRY(take_level(cx, row, &ret->level));
    MLN_TRY(take_list(cx, row, "paths", &ret->paths));
    MLN_TRY(take_list(cx, row, "policies", &ret->policies));
    MLN_TRY(take_list(cx, row, "entities", &ret->entities));
    MLN_TRY(take_list(cx, row, "groups", &ret->groups));
    if (!ret->is_role && mln_len(ret->paths) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "an endpoint rule names its paths (\"*\": all)");
    }
    if (ret->is_role && mln_len(ret->policies) + mln_len(ret->entities) + mln_len(ret->groups) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "a role rule names policies, entities or groups");
    }
    return take_rules(cx, name, row, &ret->rules);
}

struct mln_err mln_govern_check(struct mln_cx *cx, const char *name, const struct mln_value *row)
{
    struct governed g = {0};
    struct mln_err err = take_row(cx, name, row, &g);
    mln_rules_free(g.rules);
    return err;
}

/* ---- all of them ---- */

static struct mln_err load_kind(struct mln_cx *cx, struct mln_cx *own, struct mln_txn *txn, const char *kind, struct mln_governor *all)
{
    const struct mln_value *names = NULL, *row = NULL;
    MLN_TRY(mln_txn_list(cx, txn, govern_view(), mln_bytes_format(cx, "%s/", kind), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *name = mln_text_format(own, "%s/%.*s", kind, MLN_FMT(mln_get_bytes(mln_item(names, i))));
        if (all->n == MLN_GOVERN_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "more than %u rules", MLN_GOVERN_MAX);
        }
        MLN_TRY(mln_txn_get_value(cx, txn, govern_view(), mln_bytes_of(name), &row));
        const struct mln_value *copy = mln_value_dup(own, row);
        MLN_TRY(mln_cx_err(own));
        struct governed *g = &all->rules[all->n++];
        *g = (struct governed){.level = GOVERN_HARD};
        struct mln_err err = take_row(own, name, copy, g);
        if (mln_is(err, MLN_E_MEMORY)) {
            return mln_fail(cx, MLN_E_MEMORY, "no memory for rules");
        }
        if (mln_failed(err)) { /* it was taken once: from now on it says no where it is for, and opening goes on */
            mln_log(MLN_LOG_ERROR, "core", "rule %s cannot be judged any more: %s", name, own->text);
            mln_cx_clear(own);
        }
    }
    return MLN_OK;
}

struct mln_err mln_govern_load(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    MLN_AUTO(govern_release) struct mln_governor *all = mln_alloc(sizeof(*all));
    struct mln_cx own;
    if (all == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for rules");
    }
    atomic_init(&all->refs, 1);
    all->arena = mln_arena_new(SET_BYTES, false);
    if (all->arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for rules");
    }
    mln_cx_init(&own, all->arena);
    all->rules = mln_new_array(&own, MLN_GOVERN_MAX, sizeof(*all->rules));
    if (all->rules == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for rules");
    }
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(load_kind(cx, &own, txn, "egp", all));
    MLN_TRY(load_kind(cx, &own, txn, "rgp", all));
    replace(core, all->n > 0 ? mln_take(&all) : NULL);
    return MLN_OK;
}
