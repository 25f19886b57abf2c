/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_rego_partial. The input is a query; behind a NUL, if there is one, stands a module beside the fixed one. The answer is
 * JSON, and the same for the same query.
 */
#include "fuzz.h"

#include "base/json.h"
#include "rego/partial.h"

#define RUN_NS ((uint64_t)2000000000)

static const char fixed[] = "package f\n"
                            "default p := false\n"
                            "p if { input.a == data.d[_]; not q }\n"
                            "q if input.b > 3\n"
                            "s contains x if some x in input.c\n"
                            "f(x) := y if { y := x + input.d }\n"
                            "o[k] := v if some k, v in input.e\n";

static void partial(struct mln_cx *cx, struct mln_rego *rego, struct mln_bytes query, struct mln_buf *ret)
{
    MLN_AUTO(mln_rego_partial_drop) struct mln_rego_partial *p = NULL;
    MLN_AUTO(mln_rego_data_drop) struct mln_rego_data *data = NULL;
    MLN_AUTO(mln_rego_eval_drop) struct mln_rego_eval *eval = NULL;
    struct mln_rego_partial_options options = {.budget = {.steps_max = 20000, .memory_max = (size_t)16 << 20, .time_ns = RUN_NS}};
    const struct mln_value *v = NULL;
    MLN_CHECK(!mln_failed(mln_rego_data_load(cx, MLN_BYTES("{\"d\":[1,\"x\"]}"), &data)));
    MLN_CHECK(!mln_failed(mln_rego_eval_new(cx, &eval)));
    if (!mln_failed(mln_rego_partial(rego, cx, eval, query, data, &options, &p))) {
        mln_rego_partial_print(p, ret);
        if (ret->len < ((size_t)1 << 16)) { /* values have a depth that JSON of configurations has not */
            (void)!mln_failed(mln_json_parse(cx, mln_buf_bytes(ret), &v));
        }
    }
    mln_cx_clear(cx);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    MLN_AUTO(mln_rego_drop) struct mln_rego *rego = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf first = {0}, second = {0};
    struct mln_bytes module, query = mln_bytes_cut(mln_bytes_at(data, size), 0, &module);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    MLN_CHECK(!mln_failed(mln_rego_new(&cx, NULL, &rego)));
    MLN_CHECK(!mln_failed(mln_rego_add(rego, &cx, "f.rego", mln_bytes_of(fixed))));
    bool ok = module.len == 0 || !mln_failed(mln_rego_add(rego, &cx, "g.rego", module));
    if (ok && !mln_failed(mln_rego_compile(rego, &cx))) {
        partial(&cx, rego, query, &first);
        partial(&cx, rego, query, &second);
        MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&first), mln_buf_bytes(&second)));
    }
    return 0;
}
