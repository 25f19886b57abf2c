/* SPDX-License-Identifier: Apache-2.0 */
/* spiffe/templates: create, list, show, change, delete; templates in memory, and what they make when a caller comes. */
#include "identity/spiffe_template.h"

#include "base/log.h"

#define FOLDER         "template/"
#define ARENA_BYTES    (8u << 20) /* of all templates: each is some KiB */
#define FORGET_EVERY_S 60

/* ---- memory ---- */

void sp_templates_free(struct sp_state *state)
{
    mln_arena_drop(&state->templates_arena);
    state->templates_arena = NULL;
    state->templates = NULL;
}

static int by_age(const struct mln_value *a, const struct mln_value *b)
{
    int64_t x = mln_get_int(mln_get(a, "created_ns"), 0),
            y = mln_get_int(mln_get(b, "created_ns"), 0);
    return x != y ? (x < y ? -1 : 1)
                  : mln_bytes_cmp(mln_get_bytes(mln_get(a, "name")),
                                  mln_get_bytes(mln_get(b, "name")));
}

/* Oldest first, as entries are. */
static struct mln_value *in_order(struct mln_cx *cx, const struct mln_value *rows)
{
    struct mln_value *out = mln_array(cx);
    const struct mln_value *last = NULL;
    for (size_t n = 0; n < mln_len(rows); n++) {
        const struct mln_value *next = NULL;
        for (size_t i = 0; i < mln_len(rows); i++) {
            const struct mln_value *one = mln_item(rows, i);
            bool is_later = last == NULL || by_age(one, last) > 0;
            next = is_later && (next == NULL || by_age(one, next) < 0) ? one : next;
        }
        mln_push(cx, out, next);
        last = next;
    }
    return out;
}

static struct mln_err rows_of(struct mln_request *rq, struct mln_value **ret)
{
    const struct mln_value *names = NULL, *row = NULL;
    struct mln_value *rows = mln_array(rq->cx);
    MLN_TRY(sp_row_names(rq, FOLDER, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(sp_row_get(rq, FOLDER, mln_get_bytes(mln_item(names, i)), &row));
        mln_push(rq->cx, rows, row);
    }
    *ret = in_order(rq->cx, rows);
    return mln_cx_err(rq->cx);
}

struct mln_err sp_templates_load(struct mln_request *rq, struct sp_state *state)
{
    struct mln_value *rows = NULL;
    struct mln_cx cx;
    sp_templates_free(state);
    MLN_TRY(rows_of(rq, &rows));
    if (mln_len(rows) == 0) {
        return MLN_OK;
    }
    state->templates_arena = mln_arena_new(ARENA_BYTES, false);
    mln_cx_init(&cx, state->templates_arena);
    const struct mln_value *own = state->templates_arena != NULL ? mln_value_dup(&cx, rows) : NULL;
    if (own == NULL || mln_failed(mln_cx_err(&cx))) {
        sp_templates_free(state);
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for templates of registration entries");
    }
    state->templates = own;
    return MLN_OK;
}

/* ---- when a caller comes ---- */

/* Of one namespace and one account: who shows two is nobody whom a template means. */
bool sp_is_pod(const struct mln_value *selectors)
{
    size_t n_ns = 0, n_sa = 0;
    for (size_t i = 0; i < mln_len(selectors) && i < SP_CALLER_MAX; i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(selectors, i));
        n_ns += mln_bytes_starts(one, MLN_BYTES("k8s:ns:"));
        n_sa += mln_bytes_starts(one, MLN_BYTES("k8s:sa:"));
    }
    return n_ns == 1 && n_sa == 1;
}

/* Rows of entries that are not there yet. */
static struct mln_err missing(struct mln_request *rq, struct sp_state *state,
                              const struct sp_pod *pod, struct mln_value *rows)
{
    SP_READ(state);
    for (size_t i = 0; state->is_loaded && i < mln_len(state->templates); i++) {
        const struct mln_value *asked = NULL, *row = NULL, *tmpl = mln_item(state->templates, i);
        MLN_TRY(sp_template_ask(rq->cx, state, tmpl, pod, &asked));
        if (asked == NULL ||
            sp_index_get(state->index, mln_get_bytes(mln_get(asked, "id"))) != NULL) {
            continue;
        }
        MLN_TRY(sp_template_row(rq, state, tmpl, asked, &row));
        if (row != NULL) {
            mln_push(rq->cx, rows, row);
        }
    }
    return mln_cx_err(rq->cx);
}

/* The template as it is now: between the locks it may have been changed or deleted. */
static bool is_current(const struct sp_state *state, const struct mln_value *row)
{
    bool is = false;
    for (size_t i = 0; i < mln_len(state->templates) && !is; i++) {
        const struct mln_value *t = mln_item(state->templates, i);
        is = mln_value_eq(mln_get(t, "name"), mln_get(row, "made_by")) &&
             mln_value_eq(mln_get(t, "revision"), mln_get(row, "revision")) &&
             mln_value_eq(mln_get(t, "created_ns"), mln_get(row, "created_ns"));
    }
    return is;
}

static void forget_of(struct mln_request *rq, struct sp_state *state, struct mln_bytes parent)
{
    mln_log(MLN_LOG_WARN, "spiffe",
            "templates have made %zu entries for %.*s: these are made anew as they are asked for",
            sp_index_made_of(state->index, parent), MLN_FMT(parent));
    sp_index_forget_made_of(state->index, parent);
    sp_forgot_note(rq, state, parent);
}

/*
 * Room for one more. A node says what its processes are, so a taken one can name pods without end: that costs its own entries, and once
 * they are gone it waits. When all together are too many, who has most of them pays.
 */
static struct mln_err make_room(struct mln_request *rq, struct sp_state *state,
                                struct mln_bytes parent)
{
    if (sp_index_made_of(state->index, parent) >= SP_MADE_PARENT_MAX) {
        if (sp_forgot_lately(state, parent, rq->now_ns / SP_SECOND_NS, FORGET_EVERY_S)) {
            return mln_fail(rq->cx, MLN_E_LIMIT,
                            "templates make at most %u entries for a node within a minute",
                            SP_MADE_PARENT_MAX);
        }
        forget_of(rq, state, parent);
    }
    if (sp_index_made(state->index) >= SP_MADE_MAX) {
        struct mln_bytes most = mln_bytes_dup(rq->cx, sp_index_made_most(state->index));
        MLN_TRY(mln_cx_err(rq->cx));
        forget_of(rq, state, most);
    }
    return mln_cx_err(rq->cx);
}

struct mln_err sp_made_ready(struct mln_request *rq, struct sp_state *state,
                             struct mln_bytes parent, const struct mln_value *selectors)
{
    struct mln_value *rows = mln_array(rq->cx);
    struct sp_pod pod = {.parent = parent, .selectors = selectors};
    if (!sp_is_pod(selectors)) {
        return MLN_OK;
    }
    MLN_TRY(missing(rq, state, &pod, rows));
    if (mln_len(rows) == 0) {
        return MLN_OK;
    }
    SP_WRITE(state);
    for (size_t i = 0; state->is_loaded && i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        if (!is_current(state, row) ||
            sp_index_get(state->index, mln_get_bytes(mln_get(row, "id"))) != NULL) {
            continue;
        }
        MLN_TRY(make_room(rq, state, parent));
        MLN_TRY(sp_index_put(rq->cx, state->index, row));
    }
    return MLN_OK;
}

/* Is another of these the same id, and counts before it? */
static bool is_twice(struct sp_entry *const *found, size_t n, size_t at)
{
    bool is = false;
    for (size_t i = 0; i < n && !is; i++) {
        is = i != at && found[i]->spiffe == found[at]->spiffe && (found[i]->made == NULL || i < at);
    }
    return is;
}

size_t sp_made_match(const struct sp_index *index, struct mln_bytes parent,
                     const struct mln_value *selectors, int64_t now_s, struct sp_entry **ret)
{
    size_t n = sp_index_match(index, parent, selectors, now_s, ret), kept = 0;
    bool has_other = false, takes_made = sp_index_made(index) > 0 && sp_is_pod(selectors);
    for (size_t i = 0; i < n; i++) {
        has_other = has_other || ret[i]->made == NULL || !ret[i]->is_fallback;
    }
    uint8_t is_left[SP_MATCH_MAX];
    for (size_t i = 0; i < n; i++) {
        is_left[i] = ret[i]->made == NULL ||
                     (takes_made && !(ret[i]->is_fallback && has_other) && !is_twice(ret, n, i));
    }
    for (size_t i = 0; i < n; i++) {
        if (is_left[i]) {
            ret[kept++] = ret[i];
        }
    }
    return kept;
}

/* ---- paths ---- */

static struct mln_err tell(struct mln_request *rq, struct mln_bytes name)
{
    mln_put_bytes(rq->cx, rq->detail, "template", name);
    return sp_after_template(rq, name);
}

static struct mln_err find(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = sp_row_get(rq, FOLDER, mln_get_bytes(mln_field_of(rq, "name")), ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_refail(rq->cx, MLN_E_NOT_FOUND, "no such template")
                                        : err;
}

static struct mln_err write(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_state *state = NULL;
    const struct mln_value *old = NULL, *row = NULL, *names = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(sp_row_names(rq, FOLDER, &names));
    struct mln_err err = find(rq, &old);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        if (mln_len(names) >= SP_TEMPLATES_MAX) {
            return mln_fail(rq->cx, MLN_E_LIMIT, "a server has at most %u templates",
                            SP_TEMPLATES_MAX);
        }
    } else {
        MLN_TRY(err);
    }
    MLN_TRY(sp_template_make(rq, state, old, &row));
    MLN_TRY(sp_row_put(rq, FOLDER, mln_get_bytes(mln_get(row, "name")), row));
    re->data = sp_entry_show(rq->cx, row);
    return tell(rq, mln_get_bytes(mln_get(row, "name")));
}

static struct mln_err read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    MLN_TRY(find(rq, &row));
    re->data = sp_entry_show(rq->cx, row);
    return mln_cx_err(rq->cx);
}

static struct mln_err remove(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(find(rq, &row));
    MLN_TRY(sp_row_delete(rq, FOLDER, mln_get_bytes(mln_get(row, "name"))));
    return tell(rq, mln_get_bytes(mln_get(row, "name")));
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *rows = NULL, *data = mln_object(rq->cx), *keys = mln_array(rq->cx),
                     *info = mln_object(rq->cx);
    MLN_TRY(rows_of(rq, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *name = mln_get(mln_item(rows, i), "name");
        mln_push(rq->cx, keys, name);
        mln_put_key(rq->cx, info, mln_get_bytes(name), sp_entry_show(rq->cx, mln_item(rows, i)));
    }
    mln_put(rq->cx, data, "keys", keys);
    mln_put(rq->cx, data, "key_info", info);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The template's name."},
    {.name = "spiffe_id",
     .type = MLN_FIELD_TEXT,
     .help = "The identity, with {{trust_domain}}, {{ns}}, {{sa}}, {{label:NAME}}."},
    {.name = "parent_ids",
     .type = MLN_FIELD_LIST,
     .help = "Patterns of the nodes that serve it; this server when absent."},
    {.name = "namespaces",
     .type = MLN_FIELD_LIST,
     .help = "Namespaces, * for any characters; all when absent."},
    {.name = "service_accounts", .type = MLN_FIELD_LIST, .help = "Service accounts, likewise."},
    {.name = "labels",
     .type = MLN_FIELD_MAP,
     .help = "Labels that a pod must have, with patterns of their values."},
    {.name = "selectors", .type = MLN_FIELD_LIST, .help = "What a caller must show besides."},
    {.name = "dns_names",
     .type = MLN_FIELD_LIST,
     .help = "DNS names in its certificates: {{sa}}.{{ns}}.svc."},
    {.name = "federates_with",
     .type = MLN_FIELD_LIST,
     .help = "Trust domains whose bundles it gets."},
    {.name = "x509_svid_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of its X.509-SVIDs; the server's default when 0."},
    {.name = "jwt_svid_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of its JWT-SVIDs; the server's default when 0."},
    {.name = "hint",
     .type = MLN_FIELD_TEXT,
     .help = "For workloads with several identities: what this one is for."},
    {.name = "fallback",
     .type = MLN_FIELD_BOOL,
     .help = "Only for who has no other entry; true when absent."},
    {.name = "source",
     .type = MLN_FIELD_TEXT,
     .help = "Whose declaration made it; for merlon entry apply --prune."},
    {0},
};

const struct mln_path sp_template_paths[] = {
    {.pattern = "templates",
     .summary = "List templates of registration entries.",
     .fields = fields,
     .list = list},
    {.pattern = "templates/{name}",
     .summary = "A template: an entry for each pod that fits.",
     .fields = fields,
     .read = read,
     .write = write,
     .remove = remove,
     .controls = "IA-4"},
    {0},
};
