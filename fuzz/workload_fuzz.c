/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: workload_svid_read, workload_snapshot, proxy_record_read. A snapshot never has the key, and a record no line end. */
#include "fuzz.h"

#include "base/json.h"
#include "main/proxy_post.c"
#include "main/proxy_record.c"
#include "main/workload_client.c"

static void as_answer(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct workload_svid svid;
    const struct mln_value *federated = NULL, *snapshot = NULL;
    int64_t until_s = 0;
    if (mln_failed(workload_svid_read(cx, bytes, NULL, &svid, &federated)) ||
        mln_failed(workload_snapshot(cx, &svid, federated, 1, &snapshot, &until_s))) {
        MLN_CHECK(cx->text[0] != 0);
        return;
    }
    MLN_CHECK(mln_len(mln_get(snapshot, "certs")) > 0 && mln_len(mln_get(snapshot, "bundles")) > 0);
    MLN_CHECK(mln_type_of(mln_get(snapshot, "key")) == MLN_INT);
}

static void as_record(struct mln_cx *cx, struct mln_bytes bytes)
{
    static const struct proxy_config config = {.listeners = {{.name = "a", .target = "b:1"}}, .n_listeners = 1};
    const struct mln_value *record = NULL;
    struct mln_buf line = {0};
    mln_cx_clear(cx);
    if (!mln_failed(proxy_record_read(cx, bytes, &config, &record))) {
        mln_json_print(&line, record, MLN_JSON_COMPACT);
        MLN_CHECK(mln_bytes_find(mln_buf_bytes(&line), '\n') == line.len);
        mln_buf_drop(&line);
    }
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_arena *arena = mln_arena_new(64u << 20, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    as_answer(&cx, mln_bytes_at(data, size));
    as_record(&cx, mln_bytes_at(data, size));
    mln_arena_free(arena);
    return 0;
}
