/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Targets: mln_replica_put, mln_replica_certified, mln_replica_token, mln_replica_answer. What a server says is put in twice and changes
 * nothing the second time; what is refused leaves a replica that asks for everything.
 * Input: JSON {"sync": answer of nodes/sync, "sign": of nodes/sign, "jwt": of nodes/jwt, "ask": {"data", "selectors"}}
 */
#include "fuzz.h"

#include "base/json.h"
#include "identity/spiffe_replica.h"

#define NOW_S 1764240000 /* when the seeds were made */

static void ask_all(struct mln_cx *cx, struct mln_replica *r, const struct mln_value *all)
{
    const struct mln_value *from = mln_get(all, "ask");
    static const char *const questions[] = {"x509-svids",  "secrets",  "x509-bundles",
                                            "jwt-bundles", "jwt-svid", "validate"};
    for (size_t i = 0; i < 2 * MLN_COUNT(questions); i++) {
        struct mln_replica_reply reply;
        struct mln_replica_ask ask = {.question = mln_bytes_of(questions[i / 2]),
                                      .data = mln_get(from, "data"),
                                      .selectors = mln_get(from, "selectors"),
                                      .now_ns = NOW_S * 1000000000LL,
                                      .is_cut_off = i % 2 == 1};
        struct mln_err err = mln_replica_answer(cx, r, &ask, &reply);
        bool lacks = reply.ids != NULL || reply.entry != NULL || reply.needs_match;
        MLN_CHECK(mln_failed(err) || (reply.data != NULL) != lacks);
        MLN_CHECK(!ask.is_cut_off || mln_failed(err) || !lacks);
        if (!mln_failed(err) && reply.entry != NULL) {
            (void)mln_failed(mln_replica_token(cx, r, &ask, &reply, mln_get(all, "jwt")));
        }
        mln_cx_clear(cx);
    }
}

static void put(struct mln_cx *cx, struct mln_replica *r, const struct mln_value *all)
{
    const struct mln_value *sync = mln_get(all, "sync"), *body = NULL;
    struct mln_replica_batch *batch = NULL;
    bool has_more = false;
    size_t entries = 0, again = 0, svids = 0, n = 0;
    if (mln_failed(mln_replica_put(cx, r, sync, &has_more))) {
        mln_cx_clear(cx);
        MLN_CHECK(mln_replica_revision(cx, r)[0] == '\0');
        ask_all(cx, r, all);
        return;
    }
    MLN_CHECK(mln_is_text(mln_get(sync, "revision"), mln_replica_revision(cx, r)));
    mln_replica_count(r, NOW_S, &entries, &svids);
    MLN_CHECK(svids == 0 && !mln_failed(mln_replica_put(cx, r, sync, &has_more)));
    mln_replica_count(r, NOW_S, &again, &svids);
    MLN_CHECK(again == entries);
    if (!mln_failed(mln_replica_due(cx, r, NULL, NOW_S, &batch, &body)) && batch != NULL) {
        bool ok = !mln_failed(mln_replica_certified(cx, r, batch, mln_get(all, "sign"), NOW_S, &n));
        MLN_CHECK(!ok || n == 0); /* keys are new each time: nobody has a certificate for them */
    }
    mln_cx_clear(cx);
    ask_all(cx, r, all);
}

int mln_fuzz_one(const uint8_t *data, size_t size)
{
    struct mln_cx cx;
    const struct mln_value *all = NULL;
    struct mln_arena *arena = mln_arena_new((size_t)32 << 20, false);
    struct mln_replica *r = mln_replica_new();
    MLN_CHECK(arena != NULL && r != NULL);
    mln_cx_init(&cx, arena);
    if (!mln_failed(mln_json_parse(&cx, mln_bytes_at(data, size), &all))) {
        put(&cx, r, all);
    }
    mln_replica_free(r);
    mln_arena_free(arena);
    return 0;
}
