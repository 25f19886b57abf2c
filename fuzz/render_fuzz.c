/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Target: mln_render_parse and mln_render_run. A refusal has a text with line and column and, from the parser, no template; text
 * without actions comes back as it is; two runs give the same; no output passes its limit.
 */
#include "fuzz.h"

#include "agent/template.h"
#include "base/json.h"

static struct mln_err some_secret(struct mln_cx *cx, void *arg, struct mln_bytes path, bool is_list,
                                  const struct mln_value *params, const struct mln_value **ret)
{
    (void)arg;
    (void)is_list;
    (void)params;
    if (path.len == 0) {
        *ret = mln_null(cx);
        return MLN_OK;
    }
    return mln_json_parse(cx,
                          MLN_BYTES("{\"Data\":{\"data\":{\"a\":\"b\",\"n\":1,\"l\":[\"x\",2,null]}"
                                    ",\"keys\":[\"k\"]},\"LeaseDuration\":0}"),
                          ret);
}

static const char *some_env(void *arg, const char *name)
{
    (void)arg;
    return name[0] == 'A' ? "value" : NULL;
}

static void run(struct mln_cx *cx, const struct mln_render *render, struct mln_bytes in,
                bool fails_on_missing)
{
    struct mln_render_world world = {
        .secret = some_secret, .env = some_env, .fails_on_missing = fails_on_missing};
    MLN_AUTO(mln_buf_drop) struct mln_buf once = {0}, twice = {0};
    struct mln_err err = mln_render_run(cx, render, &world, &once);
    MLN_CHECK(!mln_failed(err) || cx->text[0] != '\0');
    mln_cx_clear(cx);
    struct mln_err again = mln_render_run(cx, render, &world, &twice);
    mln_cx_clear(cx);
    if (!mln_is(err, MLN_E_MEMORY) && !mln_is(again, MLN_E_MEMORY)) {
        MLN_CHECK(err.code == again.code &&
                  mln_bytes_eq(mln_buf_bytes(&once), mln_buf_bytes(&twice)));
    }
    MLN_CHECK(once.len <= MLN_RENDER_OUTPUT_MAX);
    if (mln_bytes_find_bytes(in, MLN_BYTES("{{")) == in.len && !mln_failed(err)) {
        MLN_CHECK(mln_bytes_eq(mln_buf_bytes(&once), in));
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new((size_t)64 << 20, false);
    struct mln_cx cx;
    struct mln_render *render = NULL;
    mln_cx_init(&cx, arena);
    if (!mln_failed(mln_render_parse(&cx, mln_bytes_at(data, size), &render))) {
        run(&cx, render, mln_bytes_at(data, size), false);
        run(&cx, render, mln_bytes_at(data, size), true);
    } else {
        MLN_CHECK(render == NULL && cx.text[0] != '\0');
    }
    mln_arena_free(arena);
    return 0;
}
