/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/compile: what is left of a query when parts of its input are not known. */
#include "api/rego_priv.h"

#include "base/clock.h"
#include "rego/partial.h"

#define COMPILE_FAILED "error(s) occurred while compiling query"

static const struct mln_rego_error *error_at(const void *of, size_t i)
{
    return mln_rego_partial_error_at(of, i);
}

/* A list of texts of the body. */
static bool read_texts(struct rego_call *call, const struct mln_value *of, const char *name, struct mln_bytes **ret, size_t *ret_n)
{
    const struct mln_value *list = mln_get(of, name);
    *ret = mln_new_array(call->cx, mln_len(list) + 1, sizeof(**ret));
    *ret_n = 0;
    bool ok = *ret != NULL && (mln_is_null(list) || (mln_type_of(list) == MLN_ARRAY && mln_len(list) <= MLN_PARTIAL_UNKNOWNS_MAX));
    for (size_t i = 0; ok && i < mln_len(list); i++) {
        ok = mln_type_of(mln_item(list, i)) == MLN_STRING;
        (*ret)[(*ret_n)++] = mln_get_bytes(mln_item(list, i));
    }
    if (!ok) {
        rego_refuse(call, 400, "invalid_parameter", "%s is a list of at most %u refs", name, MLN_PARTIAL_UNKNOWNS_MAX);
    }
    return ok;
}

/* The body again without its input: that is in the evaluator, and may be large. */
static bool read_body(struct rego_call *call, struct mln_bytes *ret_query, const struct mln_value **ret)
{
    bool has_input = false;
    if (mln_failed(mln_rego_eval_body(call->worker->eval, call->cx, call->input, ret_query, &has_input)) ||
        mln_failed(mln_json_parse(call->cx, call->input, ret))) {
        rego_refuse(call, 400, "invalid_parameter", "error(s) occurred while decoding request: %s", call->cx->text);
        return false;
    }
    *ret_query = mln_bytes_dup(call->cx, *ret_query);
    if (mln_bytes_trim(*ret_query).len == 0) {
        rego_refuse(call, 400, "invalid_parameter", "missing required 'query' value");
        return false;
    }
    return true;
}

static void answer(struct rego_call *call, struct mln_bytes query, const struct mln_rego_partial_options *options)
{
    MLN_AUTO(mln_rego_partial_drop) struct mln_rego_partial *partial = NULL;
    struct rego_set *set = call->snapshot->set;
    int64_t start_ns = mln_mono_ns();
    (void)pthread_mutex_lock(&set->preparing); /* it compiles what is known against the policies */
    const struct mln_rego_data *data = call->snapshot->documents->data;
    struct mln_err err = mln_rego_partial(set->rego, call->cx, call->worker->eval, query, data, options, &partial);
    (void)pthread_mutex_unlock(&set->preparing);
    call->eval_ns = mln_mono_ns() - start_ns;
    if (mln_failed(err) && partial != NULL && mln_rego_partial_error_at(partial, 0) != NULL) {
        rego_refuse_list(call, 400, "invalid_parameter", COMPILE_FAILED, error_at, partial);
    } else if (mln_failed(err)) {
        rego_refuse_change(call, err);
    } else {
        mln_buf_add_text(call->body, "{\"result\":");
        mln_rego_partial_print(partial, call->body);
        rego_add_extras(call, false);
        mln_buf_add_byte(call->body, '}');
    }
}

void rego_compile_post(struct rego_call *call)
{
    const struct mln_value *body = NULL;
    struct mln_bytes query, *unknowns = NULL, *kept = NULL;
    struct mln_rego_partial_options options = {.budget.time_ns = call->state->time_ns,
                                               .version = call->state->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1};
    if (call->path.n > 0) {
        rego_refuse(call, 501, "not_implemented", "filters of data (/v1/compile/PATH) are not supported");
        return;
    }
    if (!read_body(call, &query, &body) || !read_texts(call, body, "unknowns", &unknowns, &options.n_unknowns) ||
        !read_texts(call, mln_get(body, "options"), "disableInlining", &kept, &options.n_kept)) {
        return;
    }
    options.unknowns = unknowns;
    options.kept = kept;
    answer(call, query, &options);
}
