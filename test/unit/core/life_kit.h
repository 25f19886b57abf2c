/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of tokens, leases and wrapping: a clock that tests turn, an engine that hands out leases, shorter calls. */
#pragma once

#include "core_kit.h"

#include "barrier/txn.h"
#include "base/clock.h"
#include "base/text.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define CK(name) MLN_AUTO(ck_drop) struct ck *name = ck_new()

/* ---- time ---- */
static atomic_llong lk_ahead_ns;
static int64_t lk_now(void *arg)
{
    struct timespec at;
    (void)arg;
    (void)clock_gettime(CLOCK_REALTIME, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec + atomic_load(&lk_ahead_ns);
}

static int64_t lk_mono(void *arg)
{
    struct timespec at;
    (void)arg;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static inline void lk_turn(int64_t seconds)
{
    static const struct mln_clock clock = {.now_ns = lk_now, .mono_ns = lk_mono};
    atomic_store(&lk_ahead_ns, seconds * 1000000000);
    mln_clock_use(&clock);
}

static inline void lk_tick(struct ck *k)
{
    mln_cx_clear(&k->cx);
    mln_core_tick(&k->cx, k->core);
    mln_cx_clear(&k->cx);
}

/* ---- calls ---- */

/* As ck_call, from an address and with a wrapping time (NULL = none). */
static inline int lk_call(struct ck *k, const char *token, const char *op, const char *path,
                          const char *json, const char *from, const char *wrap)
{
    const struct mln_value *data = NULL;
    mln_cx_clear(&k->cx);
    struct mln_value *rq = mln_object(&k->cx);
    mln_put_text(&k->cx, rq, "op", op);
    mln_put_text(&k->cx, rq, "path", path);
    if (json != NULL) {
        assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(json), &data)));
    }
    mln_put(&k->cx, rq, "data", data != NULL ? data : mln_null(&k->cx));
    if (token != NULL) {
        mln_put(&k->cx, rq, "token", mln_secret_string(&k->cx, mln_bytes_of(token)));
    }
    mln_put_text(&k->cx, rq, "from", from != NULL ? from : "127.0.0.1");
    if (wrap != NULL) {
        mln_put_text(&k->cx, rq, "wrap", wrap);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0}, answer = {0};
    mln_cbor_print(&message, rq);
    struct mln_core_call call = {.message = mln_buf_bytes(&message)};
    assert_false(mln_failed(mln_core_answer(&k->cx, k->core, &call, &answer)));
    mln_cx_clear(&k->cx);
    assert_false(mln_failed(
        mln_cbor_parse(&k->cx, mln_bytes_dup(&k->cx, mln_buf_bytes(&answer)), &k->answer)));
    return (int)mln_get_int(mln_get(k->answer, "status"), 0);
}

/* A member of a member of the answer as text. */
static inline const char *lk_text(struct ck *k, const char *part, const char *name)
{
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, part), name), "");
}

static inline int64_t lk_int(struct ck *k, const char *part, const char *name)
{
    return mln_get_int(mln_get(mln_get(k->answer, part), name), -1);
}

static inline const char *lk_token_by(struct ck *k, const char *by, const char *path,
                                      const char *json)
{
    CK_WANT(k, ck_call(k, by, "write", path, json), 200);
    return lk_text(k, "auth", "client_token");
}

static inline const char *lk_token(struct ck *k, const char *json)
{
    return lk_token_by(k, "root", "auth/token/create", json);
}

static inline void lk_policy(struct ck *k, const char *name, const char *rules)
{
    char path[64];
    mln_cx_clear(&k->cx);
    struct mln_value *body = mln_object(&k->cx);
    mln_put_text(&k->cx, body, "policy", rules);
    (void)snprintf(path, sizeof(path), "sys/policies/acl/%s", name);
    CK_WANT(k, ck_call(k, "root", "write", path, ck_json(k, body)), 204);
}

/* 200 for a live token, 403 for a dead one. */
static inline int lk_is(struct ck *k, const char *token)
{
    return ck_call(k, token, "read", "auth/token/lookup-self", NULL);
}

#define LK_REFUSED(k, call, status, text)                                                          \
    do {                                                                                           \
        CK_WANT((k), (call), (status));                                                            \
        assert_string_equal(ck_error(k), (text));                                                  \
    } while (0)
