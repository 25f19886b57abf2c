/* SPDX-License-Identifier: Apache-2.0 */
/* Lease counts: rules in memory, what counts for which, room for a commit. */
#include "core/lease_priv.h"

#define COUNT_ROWS        2048u /* read at a time */
#define COUNT_ARENA_BYTES (64u << 20)

/* ---- the gate ---- */

static void gate_init(struct mln_lease_gate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->free, NULL);
}

static void gate_drop(struct mln_lease_gate *gate)
{
    pthread_mutex_destroy(&gate->lock);
    pthread_cond_destroy(&gate->free);
}

static void gate_enter(struct mln_lease_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (gate->is_closed || gate->waiting > 0) {
        pthread_cond_wait(&gate->free, &gate->lock);
    }
    gate->inside++;
    pthread_mutex_unlock(&gate->lock);
}

static void gate_leave(struct mln_lease_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    if (--gate->inside == 0) {
        pthread_cond_broadcast(&gate->free);
    }
    pthread_mutex_unlock(&gate->lock);
}

/* Who counts anew must not starve: nobody enters while he waits. */
static void gate_close(struct mln_lease_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->waiting++;
    while (gate->is_closed || gate->inside > 0) {
        pthread_cond_wait(&gate->free, &gate->lock);
    }
    gate->waiting--;
    gate->is_closed = true;
    pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct mln_lease_gate *gate)
{
    pthread_mutex_lock(&gate->lock);
    gate->is_closed = false;
    pthread_cond_broadcast(&gate->free);
    pthread_mutex_unlock(&gate->lock);
}

/* ---- rules ---- */

void mln_lease_quotas_init(struct mln_lease_quotas *q)
{
    gate_init(&q->gate);
    pthread_mutex_init(&q->lock, NULL);
}

static void free_rules(struct mln_lease_quotas *q)
{
    for (size_t i = 0; i < q->n; i++) {
        mln_free(q->names[i]);
        mln_free(q->rules[i].path);
        mln_free(q->rules[i].role);
    }
    mln_free(q->names);
    mln_free(q->rules);
    q->names = NULL;
    q->rules = NULL;
    q->n = 0;
}

void mln_lease_quotas_drop(struct mln_lease_quotas *q)
{
    free_rules(q);
    gate_drop(&q->gate);
    pthread_mutex_destroy(&q->lock);
}

void mln_lease_quotas_forget(struct mln_core *core)
{
    gate_close(&core->lease_quotas.gate);
    free_rules(&core->lease_quotas);
    gate_open(&core->lease_quotas.gate);
}

/* ---- what counts for which ---- */

static bool has_role(const struct mln_lease_rule *rule)
{
    return rule->role[0] != 0;
}

/* A role is more special than any path, then the longest path decides. */
static bool is_nearer(const struct mln_lease_rule *rule, const struct mln_lease_rule *best)
{
    if (best == NULL || has_role(rule) != has_role(best)) {
        return best == NULL || has_role(rule);
    }
    return mln_bytes_of(rule->path).len > mln_bytes_of(best->path).len;
}

/* One that is not inherited does not count what namespaces below its path have. */
static bool is_reached(const struct mln_lease_rule *rule, struct mln_bytes space)
{
    struct mln_bytes path = mln_bytes_of(rule->path);
    return rule->is_inheritable || path.len >= space.len || !mln_bytes_starts(space, path);
}

/* A lease counts for one rule: the nearest. NULL: for none. space: its namespace's path; path: from the root */
static struct mln_lease_rule *rule_of(const struct mln_lease_quotas *q, struct mln_bytes space, struct mln_bytes path,
                                      struct mln_bytes role)
{
    struct mln_lease_rule *best = NULL;
    for (size_t i = 0; i < q->n; i++) {
        struct mln_lease_rule *rule = &q->rules[i];
        bool fits = is_reached(rule, space) && mln_quota_covers(mln_bytes_of(rule->path), path) &&
                    (!has_role(rule) || mln_bytes_is(role, rule->role));
        best = fits && is_nearer(rule, best) ? rule : best;
    }
    return best;
}

/* ---- counting from the store ---- */

struct counting {
    struct mln_core *core;
    struct mln_cx *cx;
    struct mln_arena *arena; /* of a batch */
    struct mln_lease_quotas *q;
    const struct mln_spaces *spaces;
};

/* The rule for a lease of a namespace. One that is gone has no leases left. */
static struct mln_err find_rule(struct mln_cx *cx, const struct mln_lease_quotas *q, const struct mln_spaces *spaces,
                                const struct mln_tally *lease, struct mln_lease_rule **ret)
{
    const struct mln_space *space = mln_space_by_id(spaces, lease->ns);
    struct mln_bytes above = mln_space_path(space), path = lease->path;
    if (space != NULL) {
        path = mln_bytes_format(cx, "%.*s%.*s", MLN_FMT(above), MLN_FMT(path));
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = space == NULL && !mln_bytes_eq(lease->ns, MLN_NS_ROOT) ? NULL : rule_of(q, above, path, lease->role);
    return MLN_OK;
}

static struct mln_err count_one(struct counting *c, struct mln_cx *cx, const struct mln_tally *lease)
{
    struct mln_lease_rule *rule = NULL;
    MLN_TRY(find_rule(cx, c->q, c->spaces, lease, &rule));
    if (rule != NULL) {
        rule->count++;
    }
    return MLN_OK;
}

/* The id has the path in front: no row is opened. */
static struct mln_err count_lease(struct counting *c, struct mln_cx *cx, struct mln_txn *txn,
                                  struct mln_bytes id)
{
    struct mln_tally lease = {.ns = mln_lease_ns(id), .path = mln_lease_quota_path(id)};
    (void)txn;
    return count_one(c, cx, &lease);
}

/* "<namespace>/<id>" */
static struct mln_err count_lease_below(struct counting *c, struct mln_cx *cx, struct mln_txn *txn,
                                        struct mln_bytes name)
{
    struct mln_bytes id = MLN_BYTES_NONE;
    (void)mln_bytes_cut(name, '/', &id);
    return count_lease(c, cx, txn, id);
}

static struct mln_err count_token(struct counting *c, struct mln_cx *cx, struct mln_txn *txn,
                                  struct mln_bytes name)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = mln_token_by_name(cx, txn, mln_text_dup(cx, name), &entry);
    if (mln_life_is_lost(cx, err)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    struct mln_tally lease = {.ns = mln_token_name_ns(name),
                              .path = mln_get_bytes(mln_get(entry, "path")),
                              .role = mln_token_quota_role(entry)};
    return mln_get_int(mln_get(entry, "expires_ns"), 0) != 0 ? count_one(c, cx, &lease) : MLN_OK;
}

typedef struct mln_err (*counter)(struct counting *c, struct mln_cx *cx, struct mln_txn *txn,
                                  struct mln_bytes rest);

/* One batch behind `after`, which goes on to its end. *ret_n rows were met. */
static struct mln_err count_batch(struct counting *c, struct mln_bytes prefix, struct mln_buf *after,
                                  counter count, size_t *ret_n)
{
    struct mln_cx cx;
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    mln_arena_reset(c->arena);
    mln_cx_init(&cx, c->arena);
    struct mln_value *rows = mln_array(&cx);
    struct mln_err err = mln_txn_begin(&cx, c->core->store, c->core->barrier, &txn);
    err = mln_failed(err) ? err
                          : mln_life_keys(c->core, &cx, prefix, mln_buf_bytes(after), MLN_BYTES_NONE,
                                          COUNT_ROWS, rows);
    *ret_n = mln_len(rows);
    for (size_t i = 0; !mln_failed(err) && i < *ret_n; i++) {
        err = count(c, &cx, txn, mln_get_bytes(mln_item(rows, i)));
    }
    if (mln_failed(err)) {
        return mln_fail(c->cx, err.code, "counting leases failed: %s", cx.text);
    }
    if (*ret_n == 0) {
        return MLN_OK;
    }
    mln_buf_clear(after);
    mln_buf_add_bytes(after, prefix);
    mln_buf_add_bytes(after, mln_get_bytes(mln_item(rows, *ret_n - 1)));
    return mln_buf_ok(c->cx, after);
}

static struct mln_err count_rows(struct counting *c, const char *prefix, counter count)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf after = {0};
    for (size_t n = COUNT_ROWS; n == COUNT_ROWS;) {
        MLN_TRY(count_batch(c, mln_bytes_of(prefix), &after, count, &n));
    }
    return MLN_OK;
}

static struct mln_err count_all(struct mln_cx *cx, struct mln_core *core, struct mln_lease_quotas *q)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena =
        q->n == 0 ? NULL : mln_arena_new(COUNT_ARENA_BYTES, false);
    MLN_AUTO(mln_spaces_release_drop) struct mln_spaces *spaces = mln_spaces_hold(core);
    struct counting c = {.core = core, .cx = cx, .arena = arena, .q = q, .spaces = spaces};
    if (q->n == 0) {
        return MLN_OK;
    }
    if (arena == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory to count leases");
    }
    MLN_TRY(count_rows(&c, MLN_LEASE_PREFIX "id/", count_lease));
    MLN_TRY(count_rows(&c, MLN_LEASE_PREFIX "ns/", count_lease_below));
    return count_rows(&c, "root/token/id/", count_token);
}

/* ---- rules ---- */

static struct mln_err read_rule(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes name,
                                struct mln_lease_quotas *q)
{
    const struct mln_value *row = NULL;
    struct mln_lease_rule *rule = &q->rules[q->n];
    struct mln_bytes key = mln_bytes_format(cx, "lease-count/%.*s", MLN_FMT(name));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_txn_get_value(cx, txn, mln_quota_view(), key, &row));
    rule->path = mln_strdup(mln_get_text(cx, mln_get(row, "path"), ""));
    rule->role = mln_strdup(mln_get_text(cx, mln_get(row, "role"), ""));
    rule->is_inheritable = mln_get_bool(mln_get(row, "inheritable"), rule->path != NULL && rule->path[0] == 0);
    rule->max = mln_get_int(mln_get(row, "max_leases"), 0);
    q->names[q->n++] = mln_strdup(mln_text_dup(cx, name));
    return rule->path != NULL && rule->role != NULL && q->names[q->n - 1] != NULL
               ? MLN_OK
               : mln_fail(cx, MLN_E_MEMORY, "no memory for quotas");
}

static struct mln_err read_rules(struct mln_cx *cx, struct mln_core *core, struct mln_lease_quotas *q)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    MLN_TRY(mln_txn_list(cx, txn, mln_quota_view(), MLN_BYTES("lease-count/"), &names));
    q->rules = mln_alloc_array(mln_len(names) + 1, sizeof(*q->rules));
    q->names = mln_alloc_array(mln_len(names) + 1, sizeof(*q->names));
    if (q->rules == NULL || q->names == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for quotas");
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(read_rule(cx, txn, mln_get_bytes(mln_item(names, i)), q));
    }
    return MLN_OK;
}

struct mln_err mln_lease_quotas_load(struct mln_cx *cx, struct mln_core *core)
{
    struct mln_lease_quotas *q = &core->lease_quotas, fresh = {0}, old = {0};
    gate_close(&q->gate);
    struct mln_err err = read_rules(cx, core, &fresh);
    err = mln_failed(err) ? err : count_all(cx, core, &fresh);
    if (!mln_failed(err)) {
        old = (struct mln_lease_quotas){.names = q->names, .rules = q->rules, .n = q->n};
        q->names = fresh.names;
        q->rules = fresh.rules;
        q->n = fresh.n;
    }
    gate_open(&q->gate);
    free_rules(mln_failed(err) ? &fresh : &old);
    return err;
}

int64_t mln_lease_quota_count(struct mln_core *core, struct mln_bytes name)
{
    struct mln_lease_quotas *q = &core->lease_quotas;
    int64_t count = 0;
    gate_enter(&q->gate);
    pthread_mutex_lock(&q->lock);
    for (size_t i = 0; i < q->n; i++) {
        count = mln_bytes_is(name, q->names[i]) ? q->rules[i].count : count;
    }
    pthread_mutex_unlock(&q->lock);
    gate_leave(&q->gate);
    return count;
}

/* ---- commits ---- */

static bool has_room(const struct mln_lease_quotas *q, const int64_t *net)
{
    for (size_t i = 0; i < q->n; i++) {
        if (net[i] > 0 && q->rules[i].count + net[i] > q->rules[i].max) {
            return false;
        }
    }
    return true;
}

static void add(struct mln_lease_quotas *q, const int64_t *net, int sign, bool is_growth)
{
    for (size_t i = 0; i < q->n; i++) {
        q->rules[i].count += (net[i] > 0) == is_growth ? sign * net[i] : 0;
    }
}

/* What is made is claimed now, what ends is given back when it is committed: in between nobody has too much. */
static struct mln_err claim(struct mln_cx *cx, struct mln_core *core, const struct mln_tally *tallies,
                            struct mln_bytes path, struct mln_lease_claim *ret)
{
    MLN_AUTO(mln_spaces_release_drop) struct mln_spaces *spaces = mln_spaces_hold(core);
    struct mln_lease_quotas *q = &core->lease_quotas;
    ret->net = mln_new_array(cx, q->n, sizeof(*ret->net));
    if (ret->net == NULL) {
        return mln_cx_err(cx);
    }
    for (; tallies != NULL; tallies = tallies->next) {
        struct mln_lease_rule *rule = NULL;
        MLN_TRY(find_rule(cx, q, spaces, tallies, &rule));
        if (rule != NULL) {
            ret->net[rule - q->rules] += tallies->delta;
        }
    }
    pthread_mutex_lock(&q->lock);
    bool may = has_room(q, ret->net);
    if (may) {
        add(q, ret->net, 1, true);
    }
    pthread_mutex_unlock(&q->lock);
    return may ? MLN_OK
               : mln_fail(cx, MLN_E_LIMIT, "request path \"%.*s\": lease count quota exceeded",
                          MLN_FMT(path));
}

struct mln_err mln_lease_claim(struct mln_cx *cx, struct mln_core *core, const struct mln_tally *tallies,
                               struct mln_bytes path, struct mln_lease_claim *ret)
{
    struct mln_lease_quotas *q = &core->lease_quotas;
    *ret = (struct mln_lease_claim){.is_held = tallies != NULL};
    if (!ret->is_held) {
        return MLN_OK;
    }
    gate_enter(&q->gate);
    struct mln_err err = q->n == 0 ? MLN_OK : claim(cx, core, tallies, path, ret);
    if (mln_failed(err)) {
        gate_leave(&q->gate);
        *ret = (struct mln_lease_claim){0};
    }
    return err;
}

void mln_lease_settle(struct mln_core *core, struct mln_lease_claim *claimed, bool is_committed)
{
    struct mln_lease_quotas *q = &core->lease_quotas;
    if (claimed->net != NULL) {
        pthread_mutex_lock(&q->lock);
        add(q, claimed->net, is_committed ? 1 : -1, !is_committed);
        pthread_mutex_unlock(&q->lock);
    }
    if (claimed->is_held) {
        gate_leave(&q->gate);
        claimed->is_held = false;
    }
}
