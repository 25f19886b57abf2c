/* SPDX-License-Identifier: Apache-2.0 */
/* A whole core in a temporary folder, driven by messages as front sends them. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cbor.h"
#include "base/json.h"
#include "core/core.h"
#include "kit/kit.h"

extern const struct mln_engine *const mln_identities[];
extern const struct mln_engine mln_engine_kv, mln_engine_transit, mln_method_userpass;
#ifndef CK_MORE_ENGINES
#define CK_MORE_ENGINES /* of the test itself, each with a comma behind */
#endif
#ifndef CK_REACH /* what is outside, where the test has something there */
#define CK_REACH NULL
#endif
static const struct mln_engine *const ck_engines[] = {&mln_engine_kv, &mln_engine_transit, CK_MORE_ENGINES NULL};
static const struct mln_engine *const ck_methods[] = {&mln_method_userpass, NULL};
static const struct mln_engine *const *const ck_registries[] = {ck_engines, ck_methods, mln_identities, NULL};

struct ck {
    char dir[64], keyfile[96];
    struct mln_arena *arena;
    struct mln_cx cx;
    struct mln_core *core;
    const char *root;
    const struct mln_value *answer;
    struct mln_buf buf;
    unsigned blocks;
    const char *ns;   /* X-Vault-Namespace of the next requests; NULL = none */
    const char *wrap; /* X-Vault-Wrap-TTL of the next requests; NULL = none */
    bool is_shamir, is_unauthed; /* instead of a key file; sys/rekey and sys/generate-root without a token */
    const char *origin;          /* of a web page: sent along when set */
    bool is_preflight;
    const char *format;          /* X-Vault-Wrap-Format; NULL = none */
    const char *sent;            /* headers for audit lines, as JSON; NULL = none */
    const char *keys[8];         /* of a Shamir seal, hex */
};

static inline void ck_block(void *arg)
{
    ((struct ck *)arg)->blocks++;
}

static inline void ck_open(struct ck *k)
{
    struct mln_core_config config = {.data_dir = k->dir, .origin = "test.local/ledger", .seal = MLN_SEAL_KEYFILE, .keyfile = k->keyfile,
                                     .registries = ck_registries, .is_dev = true, .no_sync = true, .reach = CK_REACH,
                                     .unauthed_rekey = k->is_unauthed, .unauthed_root = k->is_unauthed};
    config.seal = k->is_shamir ? MLN_SEAL_SHAMIR : MLN_SEAL_KEYFILE;
    struct mln_err err = mln_core_open(&k->cx, &config, &k->core);
    if (mln_failed(err)) {
        fail_msg("open: %s (%s)", k->cx.text, k->cx.note);
    }
}

/* Opened, not initialised. */
static inline struct ck *ck_new_bare(bool is_shamir, bool is_unauthed)
{
    struct ck *k = calloc(1, sizeof(*k));
    assert_non_null(k);
    mln_secret_allow_unlocked(true);
    (void)snprintf(k->dir, sizeof(k->dir), "/tmp/mln-core-XXXXXX");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->keyfile, sizeof(k->keyfile), "%s/unseal.key", k->dir);
    k->arena = mln_arena_new(64u << 20, false);
    mln_cx_init(&k->cx, k->arena);
    k->is_shamir = is_shamir;
    k->is_unauthed = is_unauthed;
    ck_open(k);
    return k;
}

static inline struct ck *ck_new(void)
{
    struct ck *k = ck_new_bare(false, false);
    struct mln_err err = mln_core_init_dev(&k->cx, k->core, "root", &k->root);
    if (mln_failed(err)) {
        fail_msg("init: %s (%s)", k->cx.text, k->cx.note);
    }
    return k;
}

static inline void ck_drop(struct ck **at)
{
    struct ck *k = *at;
    char command[128];
    mln_core_close(k->core);
    mln_buf_drop(&k->buf);
    mln_arena_free(k->arena);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", k->dir);
    assert_int_equal(system(command), 0);
    free(k);
}

/* One request; the status, k->answer the whole ANSWER. json NULL = no data. */
static inline int ck_call(struct ck *k, const char *token, const char *op, const char *path, const char *json)
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
    mln_put_text(&k->cx, rq, "from", "127.0.0.1");
    if (k->ns != NULL) {
        mln_put_text(&k->cx, rq, "ns", k->ns);
    }
    if (k->wrap != NULL) {
        mln_put_text(&k->cx, rq, "wrap", k->wrap);
    }
    if (k->origin != NULL) {
        mln_put_text(&k->cx, rq, "origin", k->origin);
    }
    if (k->format != NULL) {
        mln_put_text(&k->cx, rq, "wrap_format", k->format);
    }
    if (k->sent != NULL) {
        const struct mln_value *sent = NULL;
        assert_false(mln_failed(mln_json_parse(&k->cx, mln_bytes_of(k->sent), &sent)));
        mln_put(&k->cx, rq, "sent", sent);
    }
    if (k->is_preflight) {
        mln_put_bool(&k->cx, rq, "preflight", true);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf message = {0};
    mln_cbor_print(&message, rq);
    mln_buf_drop(&k->buf);
    struct mln_core_call call = {.message = mln_buf_bytes(&message), .block = ck_block, .arg = k};
    assert_false(mln_failed(mln_core_answer(&k->cx, k->core, &call, &k->buf)));
    mln_cx_clear(&k->cx);
    struct mln_bytes bytes = mln_bytes_dup(&k->cx, mln_buf_bytes(&k->buf));
    assert_false(mln_failed(mln_cbor_parse(&k->cx, bytes, &k->answer)));
    return (int)mln_get_int(mln_get(k->answer, "status"), 0);
}

static inline const char *ck_json(struct ck *k, const struct mln_value *v)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_json_print(&out, v, MLN_JSON_COMPACT);
    return mln_text_dup(&k->cx, mln_buf_bytes(&out));
}

#define CK_WANT(k, call, want)                                                                     \
    do {                                                                                           \
        int got_ = (call);                                                                         \
        if (got_ != (want)) {                                                                      \
            fail_msg("%d, not %d: %s", got_, (want), ck_json((k), (k)->answer));                   \
        }                                                                                          \
    } while (0)

/* The first error's text. */
static inline const char *ck_error(struct ck *k)
{
    return mln_get_text(&k->cx, mln_item(mln_get(k->answer, "errors"), 0), "");
}

/* A part of the answer as JSON: "data|secret/|type" names members, one below the other. */
static inline const char *ck_at(struct ck *k, const char *where)
{
    struct mln_bytes left = mln_bytes_of(where);
    const struct mln_value *v = k->answer;
    while (left.len > 0) {
        v = mln_get_key(v, mln_bytes_cut(left, '|', &left));
    }
    return v == NULL ? "absent" : ck_json(k, v);
}

/* One step of a story: a request, its status, and what a part of the answer is (or the first error, without `at`). */
struct ck_step {
    const char *token, *op, *path, *json;
    int status;
    const char *at, *want;
};

static inline void ck_play(struct ck *k, const struct ck_step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct ck_step *s = &steps[i];
        int got = ck_call(k, s->token, s->op, s->path, s->json);
        const char *part = s->want == NULL ? "" : s->at != NULL ? ck_at(k, s->at) : ck_error(k);
        if (got != s->status || (s->want != NULL && strcmp(part, s->want) != 0)) {
            fail_msg("step %zu, %s %s: %d, not %d; %s, not %s: %s", i, s->op, s->path, got, s->status,
                     part, s->want == NULL ? "" : s->want, ck_json(k, k->answer));
        }
    }
}
#define CK_PLAY(k, steps) ck_play((k), (steps), MLN_COUNT(steps))

static inline const char *ck_token(struct ck *k, const char *json)
{
    CK_WANT(k, ck_call(k, "root", "write", "auth/token/create", json), 200);
    return mln_get_text(&k->cx, mln_get(mln_get(k->answer, "auth"), "client_token"), "");
}

/* Initialised with shares of a Shamir seal and unsealed; k->root is the token, k->keys the shares. */
static inline struct ck *ck_new_shamir(unsigned shares, unsigned threshold, bool is_unauthed)
{
    struct ck *k = ck_new_bare(true, is_unauthed);
    const char *json = mln_text_format(&k->cx, "{\"secret_shares\":%u,\"secret_threshold\":%u}", shares, threshold);
    CK_WANT(k, ck_call(k, NULL, "write", "sys/init", json), 200);
    const struct mln_value *bare = mln_get(k->answer, "bare");
    k->root = mln_get_text(&k->cx, mln_get(bare, "root_token"), "");
    for (unsigned i = 0; i < shares; i++) {
        k->keys[i] = mln_get_text(&k->cx, mln_item(mln_get(bare, "keys"), i), "");
    }
    for (unsigned i = 0; i < threshold; i++) {
        json = mln_text_format(&k->cx, "{\"key\":\"%s\"}", k->keys[i]);
        CK_WANT(k, ck_call(k, NULL, "write", "sys/unseal", json), 200);
    }
    return k;
}
