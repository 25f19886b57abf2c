/* SPDX-License-Identifier: Apache-2.0 */
/* See spiffe_index.h. Two hash tables with chains: texts and entries; one array of all entries in order. */
#include "identity/spiffe_index.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"

#define SLOTS_MIN 64u

struct sp_index {
    void (*drop_svid)(struct sp_svid *svid);
    uint8_t key[crypto_shorthash_KEYBYTES]; /* so that nobody can choose colliding selectors */
    struct sp_text **texts;
    struct sp_entry **ids, **order;
    size_t texts_n, texts_cap, ids_cap, n, order_cap, made_n;
    uint64_t generation;
};

/* ---- hash tables ---- */

uint64_t sp_index_hash(const struct sp_index *index, struct mln_bytes text)
{
    uint8_t out[crypto_shorthash_BYTES];
    crypto_shorthash(out, text.ptr, text.len, index->key);
    return mln_get_u64le(out);
}

struct sp_index *sp_index_new(void (*drop_svid)(struct sp_svid *svid))
{
    struct sp_index *index = mln_alloc(sizeof(*index));
    struct sp_text **texts = mln_alloc_array(SLOTS_MIN, sizeof(struct sp_text *));
    struct sp_entry **ids = mln_alloc_array(SLOTS_MIN, sizeof(struct sp_entry *));
    if (index == NULL || texts == NULL || ids == NULL) {
        mln_free(index);
        mln_free(texts);
        mln_free(ids);
        return NULL;
    }
    *index = (struct sp_index){.drop_svid = drop_svid,
                               .texts = texts,
                               .ids = ids,
                               .texts_cap = SLOTS_MIN,
                               .ids_cap = SLOTS_MIN};
    mln_random(index->key, sizeof(index->key));
    return index;
}

static struct sp_text *find_text(const struct sp_index *index, struct mln_bytes text)
{
    uint64_t hash = sp_index_hash(index, text);
    struct sp_text *t = index->texts[hash & (index->texts_cap - 1)];
    while (t != NULL && (t->hash != hash || !mln_bytes_eq(mln_bytes_at(t->text, t->len), text))) {
        t = t->next;
    }
    return t;
}

static void grow_texts(struct sp_index *index)
{
    size_t cap = 2 * index->texts_cap;
    struct sp_text **more = mln_alloc_array(cap, sizeof(struct sp_text *));
    for (size_t i = 0; more != NULL && i < index->texts_cap; i++) {
        for (struct sp_text *t = index->texts[i], *next; t != NULL; t = next) {
            next = t->next;
            t->next = more[t->hash & (cap - 1)];
            more[t->hash & (cap - 1)] = t;
        }
    }
    if (more != NULL) { /* else chains get longer */
        mln_free(index->texts);
        index->texts = more;
        index->texts_cap = cap;
    }
}

/* NULL: no memory */
static struct sp_text *use_text(struct sp_index *index, struct mln_bytes text)
{
    struct sp_text *t = find_text(index, text);
    if (t == NULL) {
        t = mln_alloc(sizeof(*t) + text.len + 1);
        if (t == NULL) {
            return NULL;
        }
        if (index->texts_n >= index->texts_cap) {
            grow_texts(index);
        }
        t->hash = sp_index_hash(index, text);
        t->len = (uint32_t)text.len;
        mln_copy(t->text, text.ptr, text.len);
        struct sp_text **slot = &index->texts[t->hash & (index->texts_cap - 1)];
        t->next = *slot;
        *slot = t;
        index->texts_n++;
    }
    t->refs++;
    return t;
}

static void leave_text(struct sp_index *index, struct sp_text *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    struct sp_text **at = &index->texts[t->hash & (index->texts_cap - 1)];
    while (*at != t) {
        at = &(*at)->next;
    }
    *at = t->next;
    index->texts_n--;
    mln_free(t);
}

static struct sp_entry **slot_of(const struct sp_index *index, struct mln_bytes id)
{
    struct sp_entry **at = &index->ids[sp_index_hash(index, id) & (index->ids_cap - 1)];
    while (*at != NULL && !mln_bytes_is(id, (*at)->id)) {
        at = &(*at)->chain;
    }
    return at;
}

static void grow_ids(struct sp_index *index)
{
    size_t cap = 2 * index->ids_cap;
    struct sp_entry **more = mln_alloc_array(cap, sizeof(struct sp_entry *));
    for (size_t i = 0; more != NULL && i < index->n; i++) {
        struct sp_entry *e = index->order[i];
        struct sp_entry **slot = &more[sp_index_hash(index, mln_bytes_of(e->id)) & (cap - 1)];
        e->chain = *slot;
        *slot = e;
    }
    if (more != NULL) {
        mln_free(index->ids);
        index->ids = more;
        index->ids_cap = cap;
    }
}

/* ---- one entry ---- */

static int by_order(const struct sp_entry *a, const struct sp_entry *b)
{
    if (a->created_ns != b->created_ns) {
        return a->created_ns < b->created_ns ? -1 : 1;
    }
    return mln_compare(a->id, b->id, sizeof(a->id));
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (struct sp_text *const *)a,
              y = (uintptr_t) * (struct sp_text *const *)b;
    return x < y ? -1 : x > y;
}

static void hang(struct sp_entry *e, enum sp_by by, struct sp_text *t)
{
    e->prev[by] = NULL;
    e->next[by] = t->heads[by];
    if (t->heads[by] != NULL) {
        t->heads[by]->prev[by] = e;
    }
    t->heads[by] = e;
    t->counts[by]++;
}

static void unhang(struct sp_entry *e, enum sp_by by, struct sp_text *t)
{
    if (e->next[by] != NULL) {
        e->next[by]->prev[by] = e->prev[by];
    }
    if (e->prev[by] != NULL) {
        e->prev[by]->next[by] = e->next[by];
    } else {
        t->heads[by] = e->next[by];
    }
    t->counts[by]--;
}

/* An entry in no list yet. */
static void entry_free(struct sp_index *index, struct sp_entry *e)
{
    for (size_t i = 0; i < e->n_selectors; i++) {
        leave_text(index, e->selectors[i]);
    }
    for (size_t i = 0; i < e->n_federates; i++) {
        leave_text(index, e->federates[i]);
    }
    leave_text(index, e->parent);
    leave_text(index, e->spiffe);
    if (e->svid != NULL) {
        index->drop_svid(e->svid);
    }
    mln_free(e->selectors);
    mln_free(e->federates);
    mln_free(e->hint);
    mln_free(e->made);
    mln_free(e);
}

static bool use_all(struct sp_index *index, const struct mln_value *texts, struct sp_text ***ret,
                    uint8_t *ret_n)
{
    size_t n = mln_len(texts);
    *ret = mln_alloc_array(n, sizeof(struct sp_text *));
    for (size_t i = 0; *ret != NULL && i < n; i++, ++*ret_n) {
        (*ret)[i] = use_text(index, mln_get_bytes(mln_item(texts, i)));
        if ((*ret)[i] == NULL) {
            return false;
        }
    }
    if (*ret != NULL && n > 1) {
        qsort(*ret, n, sizeof(struct sp_text *), by_address);
    }
    return *ret != NULL;
}

static uint32_t ttl_of(const struct mln_value *row, const char *name)
{
    int64_t s = mln_get_int(mln_get(row, name), 0);
    return s > 0 && s <= UINT32_MAX ? (uint32_t)s : 0;
}

/* Nobody has the row of what a template made but we. */
static bool keep_row(const struct sp_index *index, struct sp_entry *e, const struct mln_value *row)
{
    struct mln_bytes by = mln_get_bytes(mln_get(row, "made_by"));
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    if (by.len == 0) {
        return true;
    }
    mln_json_print(&text, row, MLN_JSON_COMPACT);
    e->made_by = sp_index_hash(index, by);
    e->is_fallback = mln_get_bool(mln_get(row, "fallback"), false);
    e->made = text.has_failed ? NULL : mln_alloc(text.len + 1);
    mln_copy(e->made, text.ptr, e->made != NULL ? text.len : 0);
    return e->made != NULL;
}

static bool fill(struct sp_index *index, struct sp_entry *e, const struct mln_value *row)
{
    struct mln_bytes id = mln_get_bytes(mln_get(row, "id")),
                     hint = mln_get_bytes(mln_get(row, "hint"));
    mln_copy(e->id, id.ptr, id.len < sizeof(e->id) ? id.len : sizeof(e->id) - 1);
    e->created_ns = mln_get_int(mln_get(row, "created_ns"), 0);
    e->expires_s = mln_get_int(mln_get(row, "expires_at"), 0);
    e->revision = (uint64_t)mln_get_int(mln_get(row, "revision"), 0);
    e->x509_ttl_s = ttl_of(row, "x509_svid_ttl");
    e->jwt_ttl_s = ttl_of(row, "jwt_svid_ttl");
    e->is_admin = mln_get_bool(mln_get(row, "admin"), false);
    e->is_downstream = mln_get_bool(mln_get(row, "downstream"), false);
    e->parent = use_text(index, mln_get_bytes(mln_get(row, "parent_id")));
    e->spiffe = use_text(index, mln_get_bytes(mln_get(row, "spiffe_id")));
    if (hint.len > 0) {
        e->hint = mln_alloc(hint.len + 1);
        mln_copy(e->hint, hint.ptr, e->hint != NULL ? hint.len : 0);
    }
    return keep_row(index, e, row) && e->parent != NULL && e->spiffe != NULL && (hint.len == 0 || e->hint != NULL) &&
           use_all(index, mln_get(row, "selectors"), &e->selectors, &e->n_selectors) &&
           use_all(index, mln_get(row, "federates_with"), &e->federates, &e->n_federates);
}

static struct sp_text *rarest(const struct sp_entry *e)
{
    struct sp_text *best = e->n_selectors > 0 ? e->selectors[0] : NULL;
    for (size_t i = 1; i < e->n_selectors; i++) {
        best = e->selectors[i]->counts[SP_BY_SELECTOR] < best->counts[SP_BY_SELECTOR]
                   ? e->selectors[i]
                   : best;
    }
    return best;
}

/* Where it stands or belongs. */
static size_t place_of(const struct sp_index *index, const struct sp_entry *e)
{
    size_t low = 0, high = index->n;
    if (high > 0 && by_order(index->order[high - 1], e) < 0) {
        return high; /* new ones are the newest */
    }
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (by_order(index->order[mid], e) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool reserve(struct sp_index *index)
{
    if (index->n < index->order_cap) {
        return true;
    }
    size_t cap = index->order_cap == 0 ? SLOTS_MIN : 2 * index->order_cap;
    struct sp_entry **more =
        mln_realloc(index->order, index->order_cap * sizeof(*more), cap * sizeof(*more), false);
    if (more == NULL) {
        return false;
    }
    index->order = more;
    index->order_cap = cap;
    return true;
}

static void insert(struct sp_index *index, struct sp_entry *e)
{
    size_t at = place_of(index, e);
    if (index->n >= index->ids_cap) {
        grow_ids(index);
    }
    mln_move(index->order + at + 1, index->order + at, (index->n - at) * sizeof(struct sp_entry *));
    index->order[at] = e;
    index->n++;
    struct sp_entry **slot =
        &index->ids[sp_index_hash(index, mln_bytes_of(e->id)) & (index->ids_cap - 1)];
    e->chain = *slot;
    *slot = e;
    e->key = rarest(e);
    if (e->key != NULL) {
        hang(e, SP_BY_SELECTOR, e->key);
    }
    hang(e, SP_BY_PARENT, e->parent);
    hang(e, SP_BY_SPIFFE, e->spiffe);
    index->made_n += e->made != NULL;
    e->parent->made += e->made != NULL;
    e->changed = ++index->generation;
}

/* Out of everything but the array of all. */
static void unlink_entry(struct sp_index *index, struct sp_entry *e)
{
    struct sp_entry **slot = slot_of(index, mln_bytes_of(e->id));
    MLN_CHECK(*slot == e);
    *slot = e->chain;
    if (e->key != NULL) {
        unhang(e, SP_BY_SELECTOR, e->key);
    }
    unhang(e, SP_BY_PARENT, e->parent);
    unhang(e, SP_BY_SPIFFE, e->spiffe);
    index->made_n -= e->made != NULL;
    e->parent->made -= e->made != NULL;
    index->generation++;
}

static void take_out(struct sp_index *index, struct sp_entry *e)
{
    size_t at = place_of(index, e);
    MLN_CHECK(at < index->n && index->order[at] == e);
    unlink_entry(index, e);
    mln_move(index->order + at, index->order + at + 1,
             (index->n - at - 1) * sizeof(struct sp_entry *));
    index->n--;
}

/* By which template (NULL: any), of which parent (NULL: any). In one go: there may be many. */
static void forget(struct sp_index *index, const uint64_t *by, const struct sp_text *of)
{
    size_t n = 0;
    for (size_t i = 0; i < index->n; i++) {
        struct sp_entry *e = index->order[i];
        if (e->made != NULL && (by == NULL || e->made_by == *by) && (of == NULL || e->parent == of)) {
            unlink_entry(index, e);
            entry_free(index, e);
        } else {
            index->order[n++] = e;
        }
    }
    index->n = n;
}

void sp_index_forget_made(struct sp_index *index, const struct mln_bytes *name)
{
    uint64_t by = name != NULL ? sp_index_hash(index, *name) : 0;
    forget(index, name != NULL ? &by : NULL, NULL);
}

void sp_index_forget_made_of(struct sp_index *index, struct mln_bytes parent)
{
    const struct sp_text *t = find_text(index, parent);
    if (t != NULL && t->made > 0) { /* it may go with its last entry: only its address is compared */
        forget(index, NULL, t);
    }
}

struct mln_err sp_index_put(struct mln_cx *cx, struct sp_index *index, const struct mln_value *row)
{
    struct sp_entry *e = mln_alloc(sizeof(*e));
    if (e == NULL || !fill(index, e, row) || !reserve(index)) {
        if (e != NULL) {
            entry_free(index, e);
        }
        return mln_fail(cx, MLN_E_MEMORY, "no memory for another registration entry");
    }
    struct sp_entry *old = sp_index_get(index, mln_bytes_of(e->id));
    if (old == NULL && index->n >= SP_ENTRIES_MAX) {
        entry_free(index, e);
        return mln_fail(cx, MLN_E_LIMIT, "a server has at most %u registration entries",
                        SP_ENTRIES_MAX);
    }
    if (old != NULL) {
        take_out(index, old);
        entry_free(index, old);
    }
    insert(index, e);
    return MLN_OK;
}

void sp_index_remove(struct sp_index *index, struct mln_bytes id)
{
    struct sp_entry *e = sp_index_get(index, id);
    if (e != NULL) {
        take_out(index, e);
        entry_free(index, e);
    }
}

void sp_index_free(struct sp_index *index)
{
    if (index == NULL) {
        return;
    }
    for (size_t i = 0; i < index->n; i++) {
        entry_free(index, index->order[i]);
    }
    mln_free(index->order);
    mln_free(index->texts);
    mln_free(index->ids);
    mln_free(index);
}

/* ---- looking ---- */

size_t sp_index_count(const struct sp_index *index)
{
    return index->n;
}

size_t sp_index_made(const struct sp_index *index)
{
    return index->made_n;
}

size_t sp_index_made_of(const struct sp_index *index, struct mln_bytes parent)
{
    const struct sp_text *t = find_text(index, parent);
    return t != NULL ? t->made : 0;
}

struct mln_bytes sp_index_made_most(const struct sp_index *index)
{
    const struct sp_text *most = NULL;
    for (size_t i = 0; i < index->texts_cap; i++) {
        for (const struct sp_text *t = index->texts[i]; t != NULL; t = t->next) {
            most = t->made > (most != NULL ? most->made : 0) ? t : most;
        }
    }
    return most != NULL ? mln_bytes_at(most->text, most->len) : MLN_BYTES_NONE;
}

uint64_t sp_index_generation(const struct sp_index *index)
{
    return index->generation;
}

struct sp_entry *sp_index_get(const struct sp_index *index, struct mln_bytes id)
{
    return *slot_of(index, id);
}

struct sp_entry *sp_index_at(const struct sp_index *index, size_t i)
{
    MLN_CHECK(i < index->n);
    return index->order[i];
}

size_t sp_index_behind(const struct sp_index *index, struct mln_bytes id)
{
    const struct sp_entry *e = sp_index_get(index, id);
    return e == NULL ? 0 : place_of(index, e) + 1;
}

struct sp_entry *sp_index_first(const struct sp_index *index, enum sp_by by, struct mln_bytes text)
{
    const struct sp_text *t = find_text(index, text);
    return t == NULL ? NULL : t->heads[by];
}

struct caller {
    struct sp_text *known[SP_CALLER_MAX]; /* sorted by address, each once */
    size_t n;
};

static void know(const struct sp_index *index, const struct mln_value *selectors, struct caller *c)
{
    size_t n = 0;
    for (size_t i = 0; i < mln_len(selectors) && c->n < SP_CALLER_MAX; i++) {
        struct sp_text *t = find_text(index, mln_get_bytes(mln_item(selectors, i)));
        if (t != NULL) {
            c->known[c->n++] = t;
        }
    }
    qsort(c->known, c->n, sizeof(c->known[0]), by_address);
    for (size_t i = 0; i < c->n; i++) {
        if (n == 0 || c->known[n - 1] != c->known[i]) {
            c->known[n++] = c->known[i];
        }
    }
    c->n = n;
}

/* Both sorted. */
static bool has_all(const struct caller *c, const struct sp_entry *e)
{
    size_t at = 0;
    for (size_t i = 0; i < e->n_selectors; i++) {
        while (at < c->n && (uintptr_t)c->known[at] < (uintptr_t)e->selectors[i]) {
            at++;
        }
        if (at == c->n || c->known[at] != e->selectors[i]) {
            return false;
        }
    }
    return e->n_selectors > 0;
}

static int entries_by_order(const void *a, const void *b)
{
    return by_order(*(struct sp_entry *const *)a, *(struct sp_entry *const *)b);
}

/* Keep the oldest: a full list takes one in only for a newer one. */
static size_t keep(struct sp_entry **ret, size_t n, struct sp_entry *e)
{
    if (n < SP_MATCH_MAX) {
        ret[n++] = e;
        if (n == SP_MATCH_MAX) {
            qsort(ret, n, sizeof(struct sp_entry *), entries_by_order);
        }
        return n;
    }
    size_t at = n;
    while (at > 0 && by_order(e, ret[at - 1]) < 0) {
        at--;
    }
    if (at < n) {
        mln_move(ret + at + 1, ret + at, (n - 1 - at) * sizeof(struct sp_entry *));
        ret[at] = e;
    }
    return n;
}

size_t sp_index_match(const struct sp_index *index, struct mln_bytes parent,
                      const struct mln_value *selectors, int64_t now_s, struct sp_entry **ret)
{
    struct caller c;
    size_t n = 0;
    const struct sp_text *of = find_text(index, parent);
    c.n = 0;
    know(index, of == NULL ? NULL : selectors, &c);
    for (size_t i = 0; i < c.n; i++) {
        for (struct sp_entry *e = c.known[i]->heads[SP_BY_SELECTOR]; e != NULL;
             e = e->next[SP_BY_SELECTOR]) {
            if (e->parent == of && (e->expires_s == 0 || e->expires_s > now_s) && has_all(&c, e)) {
                n = keep(ret, n, e);
            }
        }
    }
    if (n > 1 && n < SP_MATCH_MAX) {
        qsort(ret, n, sizeof(struct sp_entry *), entries_by_order);
    }
    return n;
}

static bool is_hidden(struct sp_entry *const *before, size_t n, const struct sp_entry *e)
{
    for (size_t i = 0; e->hint != NULL && i < n; i++) {
        if (before[i]->hint != NULL && mln_bytes_is(mln_bytes_of(e->hint), before[i]->hint)) {
            return true;
        }
    }
    return false;
}

size_t sp_index_heard(struct sp_entry **found, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_hidden(found, kept, found[i])) {
            found[kept++] = found[i];
        }
    }
    return kept;
}
