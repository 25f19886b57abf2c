/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node keeps: its entries and all bundles. It says how far it is and gets what came after that; while nothing did, its question is
 * held (struct mln_reply, hold_s), so that an idle node costs one request a minute.
 *
 * How far: "EPOCH.ENTRIES.GONE.KEYS". Epoch: of this memory; another one begins from nothing. Entries and gone: changes of the index that
 * are known, of entries that are and of those that are not any more (two numbers, for a long list comes in pages). Keys: of bundles.
 */
#include "base/cbor.h"
#include "identity/spiffe_node_priv.h"

#include <stdlib.h>

#define WAIT_S                                                                                     \
    50 /* below the minute after which much that stands between closes silent connections */
#define WAIT_MAX  60
#define PAGE      500u  /* entries of one answer: some 250 KB */
#define GONE_MAX  4096u /* who knows less than these begins from nothing: some 300 KB */
#define SINCE_MAX 128u

struct sp_gone {
    uint64_t at; /* change of the index */
    char id[41];
    uint8_t node[16];
};

struct since {
    struct mln_bytes epoch;
    uint64_t entries, gone, keys;
    bool is_whole; /* begins from nothing */
};

/* ---- topics and what is gone ---- */

static void digest_of(struct mln_bytes id, uint8_t ret[MLN_SHA256_BYTES])
{
    mln_sha256(id, ret);
}

bool sp_is_node(const struct sp_state *state, struct mln_bytes id)
{
    struct mln_bytes domain = mln_bytes_of(state->id);
    return mln_bytes_starts(id, domain) &&
           mln_bytes_starts(mln_bytes_from(id, domain.len), MLN_BYTES("/merlon/node/"));
}

const char *sp_node_topic(struct mln_cx *cx, struct mln_bytes id)
{
    uint8_t digest[MLN_SHA256_BYTES];
    digest_of(id, digest);
    return mln_text_format(cx, SP_TOPIC_NODES "%s", mln_hex_text(cx, mln_bytes_at(digest, 16)));
}

void sp_gone_note(struct sp_state *state, const struct sp_entry *entry)
{
    uint8_t digest[MLN_SHA256_BYTES];
    struct mln_bytes parent = mln_bytes_of(entry->parent->text);
    if (!sp_is_node(state, parent)) {
        return;
    }
    state->gone =
        state->gone != NULL ? state->gone : mln_alloc_array(GONE_MAX, sizeof(struct sp_gone));
    uint64_t at = sp_index_generation(state->index) + 1;
    if (state->gone == NULL) {
        state->gone_floor = at; /* nobody may miss it */
        return;
    }
    struct sp_gone *slot = &state->gone[state->gone_n++ % GONE_MAX];
    state->gone_floor = slot->at > state->gone_floor ? slot->at : state->gone_floor;
    *slot = (struct sp_gone){.at = at};
    digest_of(parent, digest);
    mln_copy(slot->id, entry->id, sizeof(slot->id));
    mln_copy(slot->node, digest, sizeof(slot->node));
}

void sp_gone_many(struct mln_request *rq, struct sp_state *state)
{
    state->gone_floor = sp_index_generation(state->index);
    rq->services->publish(rq, SP_TOPIC_NODES, NULL);
}

void sp_gone_forget(struct sp_state *state)
{
    mln_free(state->gone);
    state->gone = NULL;
    state->gone_n = 0;
    state->gone_floor = 0;
    state->forgot_n = 0;
    mln_fill(state->forgot, 0, sizeof(state->forgot));
}

/* The newest of this parent; NULL: none that is known. */
static const struct sp_forgot *forgot_of(const struct sp_state *state, struct mln_bytes parent)
{
    uint8_t digest[MLN_SHA256_BYTES];
    size_t n = state->forgot_n < SP_FORGOT_MAX ? state->forgot_n : SP_FORGOT_MAX;
    digest_of(parent, digest);
    for (size_t i = 0; i < n; i++) {
        const struct sp_forgot *f = &state->forgot[(state->forgot_n - 1 - i) % SP_FORGOT_MAX];
        if (mln_same(f->parent, digest, sizeof(f->parent))) {
            return f;
        }
    }
    return NULL;
}

void sp_forgot_note(struct mln_request *rq, struct sp_state *state, struct mln_bytes parent)
{
    uint8_t digest[MLN_SHA256_BYTES];
    struct sp_forgot *slot = &state->forgot[state->forgot_n++ % SP_FORGOT_MAX];
    state->gone_floor = slot->at > state->gone_floor ? slot->at : state->gone_floor;
    *slot = (struct sp_forgot){.at = sp_index_generation(state->index),
                               .at_s = rq->now_ns / SP_SECOND_NS};
    digest_of(parent, digest);
    mln_copy(slot->parent, digest, sizeof(slot->parent));
    rq->services->publish(
        rq, sp_is_node(state, parent) ? sp_node_topic(rq->cx, parent) : SP_TOPIC_ALL, NULL);
}

bool sp_forgot_lately(const struct sp_state *state, struct mln_bytes parent, int64_t now_s,
                      int64_t within_s)
{
    const struct sp_forgot *f = forgot_of(state, parent);
    return f != NULL && f->at_s <= now_s && now_s - f->at_s < within_s;
}

/* ---- how far ---- */

static bool read_since(struct mln_bytes text, struct since *ret)
{
    struct mln_bytes rest = text, part;
    uint64_t *const numbers[] = {&ret->entries, &ret->gone, &ret->keys};
    bool ok = text.len <= SINCE_MAX;
    ret->epoch = mln_bytes_cut(text, '.', &rest);
    for (size_t i = 0; ok && i < MLN_COUNT(numbers); i++) {
        part = mln_bytes_cut(rest, '.', &rest);
        ok = mln_u64_parse(part, numbers[i]);
    }
    return ok && rest.len == 0;
}

/* Under the lock. What is not ours, or too long ago, begins from nothing. */
static struct since since_of(struct mln_request *rq, const struct sp_state *state,
                             struct mln_bytes node)
{
    const struct sp_forgot *forgot = forgot_of(state, node);
    struct since since = {0};
    uint64_t now = sp_index_generation(state->index);
    bool ok = read_since(mln_get_bytes(mln_field_of(rq, "since")), &since) &&
              mln_bytes_is(since.epoch, state->epoch) && since.gone >= state->gone_floor &&
              since.entries <= now && since.gone <= now &&
              (forgot == NULL || since.gone >= forgot->at);
    return ok ? since : (struct since){.gone = now, .is_whole = true};
}

static const char *print_since(struct mln_cx *cx, const struct sp_state *state,
                               const struct since *since)
{
    return mln_text_format(cx, "%s.%llu.%llu.%llu", state->epoch,
                           (unsigned long long)since->entries, (unsigned long long)since->gone,
                           (unsigned long long)since->keys);
}

/* Of this node, newest first: goes on while the callback's list has room. */
static size_t gone_since(struct mln_cx *cx, const struct sp_state *state, struct mln_bytes node,
                         uint64_t since, struct mln_value *ret)
{
    uint8_t digest[MLN_SHA256_BYTES];
    size_t n = state->gone_n < GONE_MAX ? state->gone_n : GONE_MAX, found = 0;
    digest_of(node, digest);
    for (size_t i = 0; i < n; i++) {
        const struct sp_gone *g = &state->gone[(state->gone_n - 1 - i) % GONE_MAX];
        if (g->at <= since) {
            break;
        }
        if (mln_same(g->node, digest, sizeof(g->node))) {
            found++;
            if (ret != NULL) {
                mln_push_text(cx, ret, mln_text_dup(cx, mln_bytes_of(g->id)));
            }
        }
    }
    return found;
}

static bool is_behind(struct mln_cx *cx, const struct sp_state *state, struct mln_bytes node,
                      const struct since *since)
{
    const struct sp_entry *newest = sp_index_first(state->index, SP_BY_PARENT, node);
    return since->is_whole || since->keys != state->keys_seq ||
           (newest != NULL && newest->changed > since->entries) ||
           gone_since(cx, state, node, since->gone, NULL) > 0;
}

/* ---- what is told ---- */

static void push_entry(struct mln_cx *cx, const struct sp_entry *e, struct mln_value *to)
{
    struct mln_value *one = mln_object(cx), *selectors = mln_array(cx), *federates = mln_array(cx);
    for (size_t i = 0; i < e->n_selectors; i++) {
        mln_push_text(cx, selectors, mln_text_dup(cx, mln_bytes_of(e->selectors[i]->text)));
    }
    for (size_t i = 0; i < e->n_federates; i++) {
        mln_push_text(cx, federates, mln_text_dup(cx, mln_bytes_of(e->federates[i]->text)));
    }
    mln_put_text(cx, one, "id", mln_text_dup(cx, mln_bytes_of(e->id)));
    mln_put_text(cx, one, "parent_id", mln_text_dup(cx, mln_bytes_of(e->parent->text)));
    mln_put_text(cx, one, "spiffe_id", mln_text_dup(cx, mln_bytes_of(e->spiffe->text)));
    mln_put(cx, one, "selectors", selectors);
    mln_put(cx, one, "federates_with", federates);
    mln_put_text(cx, one, "hint", e->hint != NULL ? mln_text_dup(cx, mln_bytes_of(e->hint)) : "");
    if (e->made != NULL) { /* by a template: what it says else is the server's matter */
        mln_put_text(cx, one, "made_by", "template");
        mln_put_bool(cx, one, "fallback", e->is_fallback);
    }
    mln_put_int(cx, one, "created_ns", e->created_ns);
    mln_put_int(cx, one, "expires_at", e->expires_s);
    mln_put_int(cx, one, "revision", (int64_t)e->revision);
    mln_push(cx, to, one);
}

/* A node's entries hang newest change first. Those after `since`, oldest first, a page of them; *since moves on. */
static void put_entries(struct mln_cx *cx, const struct sp_state *state, struct mln_bytes node,
                        struct since *since, struct mln_value *data)
{
    struct mln_value *list = mln_array(cx);
    size_t n = 0, skip;
    const struct sp_entry *first = sp_index_first(state->index, SP_BY_PARENT, node), *e,
                          *last = NULL;
    for (e = first; e != NULL && e->changed > since->entries; e = e->next[SP_BY_PARENT]) {
        last = e;
        n++;
    }
    skip = n > PAGE ? n - PAGE : 0;
    for (size_t i = skip; last != NULL && i < n; i++, last = last->prev[SP_BY_PARENT]) {
        push_entry(cx, last, list);
        since->entries = last->changed;
    }
    since->entries = skip == 0 ? sp_index_generation(state->index) : since->entries;
    mln_put(cx, data, "entries", list);
    mln_put_bool(cx, data, "more", skip > 0);
}

static struct mln_err push_foreign(struct mln_cx *cx, const struct sp_foreign *f,
                                   struct mln_value *to)
{
    const struct mln_value *allowed = NULL;
    struct mln_value *one = mln_object(cx);
    MLN_TRY(mln_cbor_parse(cx, mln_buf_bytes(&f->allowed), &allowed));
    mln_put_text(cx, one, "id", mln_text_dup(cx, mln_bytes_of(f->id)));
    mln_put_text(cx, one, "der", mln_base64_text(cx, mln_bytes_at(f->der, f->der_n), MLN_B64_STD));
    mln_put_text(cx, one, "jwks", mln_text_dup(cx, mln_bytes_of(f->jwks)));
    mln_put(cx, one, "allowed_ids", mln_value_dup(cx, allowed));
    mln_push(cx, to, one);
    return mln_cx_err(cx);
}

static struct mln_err put_keys(struct mln_request *rq, const struct sp_state *state,
                               const struct sp_config *config, struct mln_value *data)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *keys = mln_object(cx), *good = mln_array(cx), *foreign = mln_array(cx);
    for (size_t i = 0; i < state->authorities.x509_n; i++) {
        const struct sp_authority *a = &state->authorities.x509[i];
        if (a->state == SP_ACTIVE || a->state == SP_OLD) {
            mln_push_text(cx, good, mln_text_dup(cx, mln_bytes_of(a->id)));
        }
    }
    for (const struct sp_foreign *f = state->foreign; f != NULL; f = f->next) {
        MLN_TRY(push_foreign(cx, f, foreign));
    }
    mln_put_text(cx, keys, "domain", mln_text_dup(cx, mln_bytes_of(state->domain)));
    mln_put_text(cx, keys, "der",
                 mln_base64_text(cx, mln_bytes_at(state->bundle, state->bundle_n), MLN_B64_STD));
    mln_put_text(cx, keys, "jwks", mln_text_dup(cx, mln_bytes_of(state->jwks)));
    mln_put(cx, keys, "foreign", foreign);
    mln_put(cx, keys, "authorities", good);
    mln_put_text(cx, keys, "key_kind", mln_key_kind_name(config->key_kind));
    mln_put_int(cx, keys, "key_bits", config->key_bits);
    mln_put_bool(cx, keys, "templates", mln_len(state->templates) > 0);
    mln_put_bool(cx, keys, "bundles_for_all", config->bundles_for_all);
    mln_put(cx, keys, "claims", config->claims != NULL ? config->claims : mln_array(cx));
    mln_put(cx, data, "keys", keys);
    return mln_cx_err(cx);
}

static struct mln_err loaded(struct mln_request *rq, const struct sp_state *state)
{
    return state->is_loaded
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_UNREACHABLE, "registration entries are being read");
}

static struct mln_err sync_node(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *node = NULL;
    struct sp_state *state = NULL;
    struct sp_config config;
    struct mln_bytes name;
    struct mln_value *data = mln_object(cx), *gone = mln_array(cx);
    MLN_TRY(sp_node_of(rq, &node, &name));
    MLN_TRY(sp_config_get(rq, &config));
    MLN_TRY(sp_state_get(rq, &state));
    struct mln_bytes id = mln_get_bytes(mln_get(node, "id"));
    SP_READ(state);
    MLN_TRY(loaded(rq, state));
    struct since since = since_of(rq, state, id);
    mln_put(cx, data, "node", mln_get(node, "id"));
    mln_put_bool(cx, data, "whole", since.is_whole);
    (void)gone_since(cx, state, id, since.gone, gone);
    since.gone = sp_index_generation(state->index);
    put_entries(cx, state, id, &since, data);
    if (since.is_whole || since.keys != state->keys_seq) {
        MLN_TRY(put_keys(rq, state, &config, data));
        since.keys = state->keys_seq;
    }
    mln_put(cx, data, "gone", gone);
    mln_put_text(cx, data, "revision", print_since(cx, state, &since));
    re->data = data;
    return mln_cx_err(cx);
}

/* Nothing is told but that there is something: so it leaves no record. */
static struct mln_err watch(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *node = NULL;
    struct sp_state *state = NULL;
    struct mln_bytes name;
    int64_t wait_s = mln_get_int(mln_field_of(rq, "wait"), WAIT_S);
    if (wait_s < 1 || wait_s > WAIT_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "wait must be 1 to %d seconds", WAIT_MAX);
    }
    MLN_TRY(sp_node_of(rq, &node, &name));
    MLN_TRY(sp_state_get(rq, &state));
    struct mln_bytes id = mln_get_bytes(mln_get(node, "id"));
    SP_READ(state);
    MLN_TRY(loaded(rq, state));
    struct since since = since_of(rq, state, id);
    if (is_behind(rq->cx, state, id, &since)) {
        struct mln_value *data = mln_object(rq->cx);
        mln_put_bool(rq->cx, data, "changed", true);
        re->data = data;
        return mln_cx_err(rq->cx);
    }
    re->status = 204;
    re->topic = sp_node_topic(rq->cx, id);
    re->hold_s = wait_s;
    return mln_cx_err(rq->cx);
}

/* ---- templates ---- */

/* A process of this node has come: entries that templates have for it are made, and are among the node's from now on. */
static struct mln_err match(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *node = NULL, *selectors = mln_field_of(rq, "selectors");
    struct sp_state *state = NULL;
    struct mln_bytes name;
    bool ok = mln_type_of(selectors) == MLN_ARRAY && mln_len(selectors) <= SP_CALLER_MAX;
    (void)re;
    MLN_TRY(sp_node_of(rq, &node, &name));
    for (size_t i = 0; ok && i < mln_len(selectors); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(selectors, i));
        ok = one.len > 0 && one.len <= SP_SELECTOR_BYTES && mln_bytes_find(one, ':') < one.len;
    }
    if (!ok) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "selectors must be a list of texts type:value, at most %u", SP_CALLER_MAX);
    }
    MLN_TRY(sp_state_get(rq, &state));
    return sp_made_ready(rq, state, mln_get_bytes(mln_get(node, "id")), selectors);
}

static const struct mln_field match_fields[] = {
    {.name = "selectors",
     .type = MLN_FIELD_ANY,
     .help = "What a process of the node shows.",
     .is_required = true},
    {0},
};
static const struct mln_field since_fields[] = {
    {.name = "since",
     .type = MLN_FIELD_TEXT,
     .help = "How far the node is: revision of the answer before.",
     .is_query = true},
    {.name = "wait",
     .type = MLN_FIELD_DURATION,
     .fallback = "50",
     .help = "How long nothing new is waited for: 1 to 60 seconds.",
     .is_query = true},
    {0},
};

const struct mln_path sp_node_sync_paths[] = {
    {.pattern = "nodes/sync",
     .summary = "Entries and bundles of a node that changed.",
     .fields = since_fields,
     .read = sync_node,
     .is_open = true},
    {.pattern = "nodes/watch",
     .summary = "Wait until something of a node changed.",
     .fields = since_fields,
     .read = watch,
     .is_open = true,
     .is_exempt = true},
    {.pattern = "nodes/match",
     .summary = "Make the entries that templates have for a process of a node.",
     .fields = match_fields,
     .write = match,
     .is_open = true},
    {0},
};
