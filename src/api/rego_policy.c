/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/policies and /v1/query: policies come and go whole, queries are compiled against what is there. */
#include "api/rego_priv.h"

#include "base/clock.h"

#define COMPILE_FAILED "error(s) occurred while compiling module(s)"
#define EVALUATE_FAILED "error(s) occurred while evaluating query"
#define QUERY_FAILED "error(s) occurred while parsing query"

static const struct mln_rego_error *set_error_at(const void *of, size_t i)
{
    return mln_rego_error_at(of, i);
}

static const struct mln_rego_error *query_error_at(const void *of, size_t i)
{
    return mln_rego_query_error_at(of, i);
}

static const struct mln_rego_error *one_error_at(const void *of, size_t i)
{
    return i == 0 ? of : NULL;
}

/* ---- policies ---- */

static struct mln_bytes id_of(struct rego_call *call)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf id = {0};
    for (size_t i = 0; i < call->path.n; i++) {
        mln_buf_add_text(&id, i == 0 ? "" : "/");
        mln_buf_add_bytes(&id, call->path.names[i]);
    }
    return mln_bytes_dup(call->cx, mln_buf_bytes(&id));
}

static void add_module(struct mln_buf *out, const struct rego_set *set, const struct rego_module *m)
{
    mln_buf_add_text(out, "{\"id\":");
    mln_json_print_string(out, mln_bytes_of(m->id), MLN_JSON_COMPACT);
    mln_buf_add_text(out, ",\"raw\":");
    mln_json_print_string(out, mln_bytes_at(m->text, m->len), MLN_JSON_COMPACT);
    mln_buf_add_text(out, ",\"ast\":");
    mln_rego_module_print(set->rego, m->id, out);
    mln_buf_add_byte(out, '}');
}

void rego_policy_list(struct rego_call *call)
{
    const struct rego_set *set = call->snapshot->set;
    mln_buf_add_text(call->body, "{\"result\":[");
    for (size_t i = 0; i < set->n; i++) {
        mln_buf_add_text(call->body, i == 0 ? "" : ",");
        add_module(call->body, set, &set->modules[i]);
    }
    mln_buf_add_text(call->body, "]}");
}

static void refuse_unknown(struct rego_call *call, struct mln_bytes id)
{
    rego_refuse(call, 404, "resource_not_found", "storage_not_found_error: policy id \"%.*s\"", MLN_FMT(id));
}

void rego_policy_get(struct rego_call *call)
{
    struct mln_bytes id = id_of(call);
    const struct rego_module *m = rego_set_find(call->snapshot->set, id);
    if (m == NULL) {
        refuse_unknown(call, id);
        return;
    }
    mln_buf_add_text(call->body, "{\"result\":");
    add_module(call->body, call->snapshot->set, m);
    mln_buf_add_byte(call->body, '}');
}

static void refuse_clash(struct rego_call *call, struct mln_bytes path)
{
    struct mln_rego_error e = {.code = "rego_compile_error",
                               .message = mln_text_format(call->cx, "conflicting rule for data path %.*s found",
                                                          MLN_FMT(path)),
                               .file = "", .row = 0};
    rego_refuse_list(call, 400, "invalid_parameter", COMPILE_FAILED, one_error_at, &e);
}

/* Compile the new set and put it in place; `writing` is held. */
static void put_set(struct rego_call *call, struct rego_set **set)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf clash = {0};
    struct mln_err err = rego_set_compile(call->cx, *set);
    if (mln_failed(err) && mln_rego_error_count((*set)->rego) > 0) {
        rego_refuse_list(call, 400, "invalid_parameter", COMPILE_FAILED, set_error_at, (*set)->rego);
        return;
    }
    if (!mln_failed(err) && mln_rego_data_conflict((*set)->rego, call->state->now->documents->data, &clash)) {
        refuse_clash(call, mln_buf_bytes(&clash));
        return;
    }
    err = mln_failed(err) ? err : rego_publish(call->cx, call->state, (struct rego_next){.set = mln_take(set)});
    if (mln_failed(err)) {
        rego_refuse_change(call, err);
        return;
    }
    mln_buf_add_byte(call->body, '{');
    rego_add_extras(call, true);
    mln_buf_add_byte(call->body, '}');
}

/* A policy that a bundle brought, or a package below its roots, is changed by bundles only. */
static bool refuse_owned(struct rego_call *call, const struct rego_module *old, const struct rego_module *new)
{
    const char *owner = old != NULL && old->origin != NULL && old->origin[0] != '\0' ? old->origin : NULL;
    if (owner == NULL && old != NULL && old->package != NULL) {
        owner = rego_bundle_owner(call->cx, call->state, mln_bytes_of(old->package));
    }
    if (owner == NULL && new != NULL && new->package != NULL) {
        owner = rego_bundle_owner(call->cx, call->state, mln_bytes_of(new->package));
    }
    if (owner != NULL) {
        const char *path = old != NULL && old->package != NULL ? old->package : new != NULL ? new->package : "";
        rego_refuse(call, 400, "invalid_parameter", "path %s is owned by bundle \"%s\"", path, owner);
    }
    return owner != NULL;
}

static void change_set(struct rego_call *call, struct mln_bytes id, struct mln_bytes text)
{
    MLN_AUTO(rego_set_drop) struct rego_set *set = NULL;
    (void)pthread_mutex_lock(&call->state->writing);
    const struct rego_set *old = call->state->now->set;
    if (text.ptr == NULL && rego_set_find(old, id) == NULL) {
        refuse_unknown(call, id);
    } else {
        struct mln_err err =
            rego_set_change(call->cx, call->state, old, mln_text_dup(call->cx, id), text, &set);
        if (mln_failed(err)) {
            rego_refuse_change(call, err);
        } else if (!refuse_owned(call, rego_set_find(old, id), rego_set_find(set, id))) {
            put_set(call, &set);
        }
    }
    (void)pthread_mutex_unlock(&call->state->writing);
}

void rego_policy_put(struct rego_call *call)
{
    struct mln_bytes id = id_of(call), text = call->input;
    if (mln_bytes_find(id, '\0') < id.len) {
        rego_refuse(call, 400, "invalid_parameter", "a policy's id has no NUL");
        return;
    }
    const struct rego_module *old = rego_set_find(call->snapshot->set, id);
    if (old != NULL && mln_bytes_eq(text, mln_bytes_at(old->text, old->len))) {
        mln_buf_add_text(call->body, "{}"); /* nothing new: nothing is compiled */
        return;
    }
    change_set(call, id, text.ptr == NULL ? MLN_BYTES("") : text);
}

void rego_policy_delete(struct rego_call *call)
{
    change_set(call, id_of(call), MLN_BYTES_NONE);
}

/* ---- queries ---- */

int64_t rego_clock(const struct rego_call *call)
{
    return call->has_metrics || call->is_decision ? mln_mono_ns() : 0;
}

const struct mln_rego_query *rego_prepare(struct rego_call *call, struct mln_bytes text)
{
    return rego_prepare_as(call, text, text);
}

const struct mln_rego_query *rego_prepare_as(struct rego_call *call, struct mln_bytes key, struct mln_bytes text)
{
    const struct mln_rego_query *query = NULL;
    MLN_AUTO(mln_rego_query_drop) struct mln_rego_query *failed = NULL;
    int64_t start_ns = rego_clock(call);
    struct mln_err err = rego_query_get(call, key, text, &query, &failed);
    call->compile_ns = rego_clock(call) - start_ns;
    if (!mln_failed(err)) {
        return query;
    }
    if (failed != NULL && mln_rego_query_error_count(failed) > 0) {
        rego_refuse_list(call, 400, "invalid_parameter", QUERY_FAILED, query_error_at, failed);
    } else {
        rego_refuse_change(call, err);
    }
    return NULL;
}

bool rego_evaluate(struct rego_call *call, const struct mln_rego_query *query)
{
    struct mln_rego_run_options options = {.budget.time_ns = call->state->time_ns,
                                           .is_strict = call->is_strict,
                                           .zones = call->state->zones,
                                           .notes_nd = call->is_decision && call->snapshot->settings->config->has_nd_cache};
    int64_t start_ns = rego_clock(call);
    struct mln_err err = mln_rego_run(call->worker->eval, call->cx, query, call->snapshot->documents->data, &options);
    call->eval_ns = rego_clock(call) - start_ns;
    const struct mln_rego_error *e = mln_rego_eval_error(call->worker->eval);
    if (mln_failed(err) && e != NULL) {
        rego_refuse_list(call, 500, "internal_error", EVALUATE_FAILED, one_error_at, e);
    } else if (mln_failed(err)) {
        rego_refuse_change(call, err);
    }
    return !mln_failed(err);
}

static void answer_rows(struct rego_call *call, struct mln_bytes text)
{
    const struct mln_rego_query *query = NULL;
    if (mln_bytes_trim(text).len == 0) {
        rego_refuse(call, 400, "invalid_parameter", "a query is needed: ?q=, or \"query\" in the body");
        return;
    }
    rego_log_begin(call);
    query = rego_prepare(call, text);
    if (query == NULL || !rego_evaluate(call, query)) {
        call->is_decision = false;
        return;
    }
    bool is_empty = mln_rego_rows(call->worker->eval) == 0;
    struct rego_decision d = {.query = mln_bytes_dup(call->cx, text)};
    mln_buf_add_text(call->body, is_empty ? "{" : "{\"result\":");
    size_t from = call->body->len;
    if (!is_empty) {
        mln_rego_rows_print(call->worker->eval, call->body);
    }
    size_t len = call->body->len - from;
    rego_add_extras(call, is_empty);
    mln_buf_add_byte(call->body, '}');
    if (call->is_decision) {
        d.result = mln_bytes_sub(mln_buf_bytes(call->body), from, len);
        rego_log_decision(call, &d);
    }
}

void rego_query_ask_get(struct rego_call *call)
{
    struct mln_bytes text = {0};
    (void)rego_param(call, "q", &text);
    answer_rows(call, text);
}

void rego_query_ask_post(struct rego_call *call)
{
    struct mln_bytes text = {0};
    bool has_input = false;
    if (mln_failed(mln_rego_eval_body(call->worker->eval, call->cx, call->input, &text, &has_input))) {
        rego_refuse(call, 400, "invalid_parameter", "body contains malformed query document: %s", call->cx->text);
        return;
    }
    answer_rows(call, text);
}
