/* SPDX-License-Identifier: Apache-2.0 */
/* spiffe/entries: create, list, show, change, delete; many at once. */
#include "identity/spiffe_template.h"

#include "identity/identity_priv.h"

#define BATCH_MAX  1000u /* one transaction of four rows each */
#define LIST_MAX   10000 /* entries of one answer: some 5 MB */
#define LIST_USUAL 1000

static struct mln_err row_of(struct mln_request *rq, struct mln_bytes id,
                             const struct mln_value **ret)
{
    struct mln_err err =
        id_is_id(id) ? sp_row_get(rq, "entry/", id, ret) : (struct mln_err){MLN_E_NOT_FOUND};
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "no such registration entry")
               : err;
}

/* What the request says of the entry: its body without what the path captured. */
static struct mln_value *asked_of(struct mln_request *rq)
{
    struct mln_value *asked = mln_object(rq->cx);
    for (size_t i = 0; i < mln_len(rq->fields); i++) {
        const struct mln_member *m = mln_member_at(rq->fields, i);
        if (!mln_bytes_is(m->key, "entry_id")) {
            mln_put_key(rq->cx, asked, m->key, &m->value);
        }
    }
    return asked;
}

/* An entry that is stored is never taken for one that a template made. */
static struct mln_err check_id(struct mln_cx *cx, const struct mln_value *asked)
{
    return mln_bytes_starts(mln_get_bytes(mln_get(asked, "id")), SP_MADE_PREFIX)
               ? mln_fail(cx, MLN_E_INVALID, "ids that begin with \"%.*s\" are those of what templates make", MLN_FMT(SP_MADE_PREFIX))
               : MLN_OK;
}

static struct mln_err tell(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_value *ids = mln_array(rq->cx);
    mln_push(rq->cx, ids, mln_get(row, "id"));
    mln_put(rq->cx, rq->detail, "entry", mln_get(row, "id"));
    mln_put(rq->cx, rq->detail, "spiffe_id", mln_get(row, "spiffe_id"));
    return sp_after_entries(rq, ids);
}

static struct mln_err create(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    const struct mln_value *row = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(check_id(rq->cx, asked_of(rq)));
    MLN_TRY(sp_entry_make(rq, state, asked_of(rq), NULL, &row));
    MLN_TRY(sp_entry_store(rq, row, NULL));
    re->data = sp_entry_show(rq->cx, row);
    return tell(rq, row);
}

static struct mln_err show(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    MLN_TRY(row_of(rq, mln_get_bytes(mln_field_of(rq, "entry_id")), &row));
    re->data = sp_entry_show(rq->cx, row);
    return mln_cx_err(rq->cx);
}

static struct mln_err update(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    const struct mln_value *old = NULL, *row = NULL;
    struct mln_value *asked = asked_of(rq);
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(row_of(rq, mln_get_bytes(mln_field_of(rq, "entry_id")), &old));
    mln_put(rq->cx, asked, "id", mln_get(old, "id"));
    MLN_TRY(sp_entry_make(rq, state, asked, old, &row));
    MLN_TRY(sp_entry_store(rq, row, old));
    re->data = sp_entry_show(rq->cx, row);
    return tell(rq, row);
}

static struct mln_err delete (struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(row_of(rq, mln_get_bytes(mln_field_of(rq, "entry_id")), &row));
    MLN_TRY(sp_entry_delete(rq, row));
    return tell(rq, row);
}

/* ---- many ---- */

struct batch {
    struct mln_request rq; /* a copy: each entry is a little younger than the one before it */
    const struct sp_state *state;
    struct mln_value *results, *ids;
};

/* One of them: its own mistake is told in its own place, everything else fails the request. */
static struct mln_err create_one(struct batch *b, const struct mln_value *asked)
{
    struct mln_cx *cx = b->rq.cx;
    const struct mln_value *row = NULL;
    struct mln_value *result = mln_object(cx);
    const char *similar = "";
    struct mln_err err = check_id(cx, asked);
    err = mln_failed(err) ? err : sp_entry_make(&b->rq, b->state, asked, NULL, &row);
    err = mln_failed(err) ? err : sp_entry_similar(&b->rq, row, &similar);
    if (!mln_failed(err) && similar[0] == '\0') {
        err = sp_entry_store(&b->rq, row, NULL);
    }
    if (mln_failed(err) && !mln_is(err, MLN_E_INVALID) && !mln_is(err, MLN_E_EXISTS)) {
        return err;
    }
    if (mln_failed(err)) {
        mln_put_text(cx, result, "status", mln_is(err, MLN_E_EXISTS) ? "exists" : "invalid");
        mln_put_text(cx, result, "error", mln_text_dup(cx, mln_bytes_of(cx->text)));
        mln_cx_clear(cx);
    } else if (similar[0] != '\0') {
        mln_put_text(cx, result, "status", "exists");
        mln_put_text(cx, result, "id", similar);
    } else {
        mln_put_text(cx, result, "status", "created");
        mln_put(cx, result, "id", mln_get(row, "id"));
        mln_push(cx, b->ids, mln_get(row, "id"));
    }
    mln_push(cx, b->results, result);
    b->rq.now_ns++;
    return mln_cx_err(cx);
}

static struct mln_err create_many(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    const struct mln_value *entries = mln_field_of(rq, "entries");
    struct mln_value *data = mln_object(rq->cx);
    if (mln_type_of(entries) != MLN_ARRAY || mln_len(entries) == 0 ||
        mln_len(entries) > BATCH_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "entries must be given: a list of 1 to %u",
                        BATCH_MAX);
    }
    MLN_TRY(sp_state_get(rq, &state));
    struct batch b = {
        .rq = *rq, .state = state, .results = mln_array(rq->cx), .ids = mln_array(rq->cx)};
    for (size_t i = 0; i < mln_len(entries); i++) {
        MLN_TRY(create_one(&b, mln_item(entries, i)));
    }
    mln_put(rq->cx, data, "results", b.results);
    mln_put_int(rq->cx, data, "created", (int64_t)mln_len(b.ids));
    mln_put(rq->cx, rq->detail, "entries", b.ids);
    re->data = data;
    return sp_after_entries(rq, b.ids);
}

/* ---- list ---- */

struct filter {
    struct mln_bytes spiffe_id, parent_id, hint, source;
    const struct mln_value *selectors;
    bool has_hint;
};

static bool has_selector(const struct sp_entry *e, struct mln_bytes text)
{
    for (size_t i = 0; i < e->n_selectors; i++) {
        if (mln_bytes_is(text, e->selectors[i]->text)) {
            return true;
        }
    }
    return false;
}

static bool passes(const struct filter *f, const struct sp_entry *e)
{
    bool ok = (f->spiffe_id.len == 0 || mln_bytes_is(f->spiffe_id, e->spiffe->text)) &&
              (f->parent_id.len == 0 || mln_bytes_is(f->parent_id, e->parent->text)) &&
              (!f->has_hint || mln_bytes_is(f->hint, e->hint != NULL ? e->hint : ""));
    for (size_t i = 0; ok && i < mln_len(f->selectors); i++) {
        ok = has_selector(e, mln_get_bytes(mln_item(f->selectors, i)));
    }
    return ok;
}

static struct mln_err pick(struct mln_request *rq, struct sp_state *state, int64_t limit,
                           struct mln_value *keys, bool *ret_more)
{
    struct filter f = {.spiffe_id = mln_get_bytes(mln_field_of(rq, "spiffe_id")),
                       .parent_id = mln_get_bytes(mln_field_of(rq, "parent_id")),
                       .hint = mln_get_bytes(mln_field_of(rq, "hint")),
                       .has_hint = mln_field_of(rq, "hint") != NULL,
                       .selectors = mln_field_of(rq, "selectors")};
    struct mln_bytes after = mln_get_bytes(mln_field_of(rq, "after"));
    SP_READ(state);
    if (!state->is_loaded) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "registration entries are being read");
    }
    if (after.len > 0 && sp_index_get(state->index, after) == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "after: no such registration entry; begin again");
    }
    for (size_t i = sp_index_behind(state->index, after); i < sp_index_count(state->index); i++) {
        const struct sp_entry *e = sp_index_at(state->index, i);
        if (e->made != NULL || !passes(&f, e)) {
            continue;
        }
        if ((int64_t)mln_len(keys) == limit) {
            *ret_more = true;
            break;
        }
        mln_push_text(rq->cx, keys, mln_text_dup(rq->cx, mln_bytes_of(e->id)));
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    int64_t limit = mln_get_int(mln_field_of(rq, "limit"), LIST_USUAL);
    struct mln_value *data = mln_object(rq->cx), *keys = mln_array(rq->cx),
                     *info = mln_object(rq->cx);
    bool has_more = false;
    if (limit < 1 || limit > LIST_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "limit is from 1 to %d", LIST_MAX);
    }
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(pick(rq, state, limit, keys, &has_more));
    for (size_t i = 0; i < mln_len(keys); i++) {
        const struct mln_value *row = NULL;
        struct mln_bytes id = mln_get_bytes(mln_item(keys, i));
        struct mln_err err = sp_row_get(rq, "entry/", id, &row);
        if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
            return err;
        }
        if (!mln_failed(err)) {
            mln_put_key(rq->cx, info, id, sp_entry_show(rq->cx, row));
        }
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put(rq->cx, data, "key_info", info);
    mln_put_bool(rq->cx, data, "has_more", has_more);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err count(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(sp_state_get(rq, &state));
    SP_READ(state);
    mln_put_int(rq->cx, data, "count",
                state->is_loaded ? (int64_t)(sp_index_count(state->index) - sp_index_made(state->index)) : 0);
    re->data = data;
    return mln_cx_err(rq->cx);
}

#define ENTRY_FIELDS                                                                               \
    {.name = "spiffe_id",                                                                          \
     .type = MLN_FIELD_TEXT,                                                                       \
     .help = "The identity: spiffe://example.org/web."},                                           \
        {.name = "parent_id",                                                                      \
         .type = MLN_FIELD_TEXT,                                                                   \
         .help = "The node that serves it; this server when absent."},                             \
        {.name = "selectors",                                                                      \
         .type = MLN_FIELD_LIST,                                                                   \
         .help = "What a caller must show, all of it: \"unix:uid:1000\"."},                        \
        {.name = "x509_svid_ttl",                                                                  \
         .type = MLN_FIELD_DURATION,                                                               \
         .help = "Life of its X.509-SVIDs; the server's default when 0."},                         \
        {.name = "jwt_svid_ttl",                                                                   \
         .type = MLN_FIELD_DURATION,                                                               \
         .help = "Life of its JWT-SVIDs; the server's default when 0."},                           \
        {.name = "dns_names", .type = MLN_FIELD_LIST, .help = "DNS names in its certificates."},   \
        {.name = "federates_with",                                                                 \
         .type = MLN_FIELD_LIST,                                                                   \
         .help = "Trust domains whose bundles it gets."},                                          \
        {.name = "hint",                                                                           \
         .type = MLN_FIELD_TEXT,                                                                   \
         .help = "For workloads with several identities: what this one is for."},                  \
        {.name = "admin", .type = MLN_FIELD_BOOL, .help = "It may manage the server."},            \
        {.name = "downstream", .type = MLN_FIELD_BOOL, .help = "It is a server below this one."},  \
        {.name = "store_svid",                                                                     \
         .type = MLN_FIELD_BOOL,                                                                   \
         .help = "Its SVIDs are kept elsewhere for it."},                                          \
        {.name = "expires_at",                                                                     \
         .type = MLN_FIELD_INT,                                                                    \
         .help = "When it ends, in seconds since 1970; 0 = never."},                               \
    {                                                                                              \
        .name = "source", .type = MLN_FIELD_TEXT,                                                  \
        .help = "Whose declaration made it; for merlon entry apply --prune."                       \
    }

static const struct mln_field create_fields[] = {
    {.name = "id", .type = MLN_FIELD_TEXT, .help = "Its id; random when absent."},
    ENTRY_FIELDS,
    {.name = "after",
     .type = MLN_FIELD_TEXT,
     .is_query = true,
     .help = "List what comes behind this id."},
    {.name = "limit",
     .type = MLN_FIELD_INT,
     .is_query = true,
     .help = "List at most so many; 1000 by default."},
    {0},
};
static const struct mln_field entry_fields[] = {
    {.name = "entry_id", .type = MLN_FIELD_TEXT, .help = "The entry's id."},
    ENTRY_FIELDS,
    {0},
};
static const struct mln_field batch_fields[] = {
    {.name = "entries",
     .type = MLN_FIELD_ANY,
     .help = "A list of entries as spiffe/entries takes them."},
    {0},
};
static const struct mln_field none_fields[] = {{0}};

const struct mln_path sp_entry_paths[] = {
    {.pattern = "entries",
     .summary = "Registration entries: create and list.",
     .fields = create_fields,
     .list = list,
     .write = create,
     .controls = "IA-4"},
    {.pattern = "entries/batch",
     .summary = "Create many registration entries.",
     .fields = batch_fields,
     .write = create_many,
     .may_block = true,
     .controls = "IA-4"},
    {.pattern = "entries/count",
     .summary = "How many registration entries there are.",
     .fields = none_fields,
     .read = count},
    {.pattern = "entries/{entry_id}",
     .summary = "A registration entry.",
     .fields = entry_fields,
     .read = show,
     .write = update,
     .patch = update,
     .remove = delete,
     .controls = "IA-4"},
    {0},
};
