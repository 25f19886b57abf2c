/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CORS: may a web page of this origin ask? Judged before anything else, from a copy in memory. A page that may not gets 403, and what
 * asks beforehand (a preflight) is answered here alone: it carries no token. Source: the Fetch standard, section 3.2.
 */
#include "core/core_priv.h"

#define USUAL_HEADERS                                                                              \
    "Content-Type, X-Requested-With, X-Vault-AWS-IAM-Server-ID, X-Vault-MFA, X-Vault-Namespace, "  \
    "X-Vault-No-Request-Forwarding, X-Vault-Policy-Override, X-Vault-Token, X-Vault-Wrap-Format, " \
    "X-Vault-Wrap-TTL, Authorization"
#define METHODS "DELETE, GET, LIST, OPTIONS, PATCH, POST, PUT, SCAN"

void mln_cors_forget(struct mln_core *core)
{
    pthread_rwlock_wrlock(&core->cors_lock);
    struct mln_arena *old = core->cors_arena;
    core->cors_arena = NULL;
    core->cors = NULL;
    atomic_store(&core->has_cors, false);
    pthread_rwlock_unlock(&core->cors_lock);
    mln_arena_free(old);
}

/* Takes the arena over. */
static void replace(struct mln_core *core, struct mln_arena *arena, const struct mln_value *cors)
{
    pthread_rwlock_wrlock(&core->cors_lock);
    struct mln_arena *old = core->cors_arena;
    core->cors_arena = arena;
    core->cors = cors;
    atomic_store(&core->has_cors, mln_len(cors) > 0);
    pthread_rwlock_unlock(&core->cors_lock);
    mln_arena_free(old);
}

struct mln_err mln_cors_load(struct mln_cx *cx, struct mln_core *core)
{
    MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
    const struct mln_value *row = NULL;
    MLN_TRY(mln_txn_begin(cx, core->store, core->barrier, &txn));
    struct mln_err err =
        mln_txn_get_value(cx, txn, mln_core_view("root/sys/"), MLN_BYTES(MLN_CORS_ROW), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cors_forget(core);
        return MLN_OK;
    }
    MLN_TRY(err);
    struct mln_arena *arena = mln_arena_new(MLN_CORS_BYTES, false);
    struct mln_cx own;
    mln_cx_init(&own, arena);
    const struct mln_value *copy = arena == NULL ? NULL : mln_value_dup(&own, row);
    if (copy == NULL || mln_failed(mln_cx_err(&own))) {
        mln_arena_free(arena);
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the origins");
    }
    replace(core, arena, copy);
    return MLN_OK;
}

static bool is_allowed(const struct mln_value *cors, struct mln_bytes origin)
{
    const struct mln_value *list = mln_get(cors, "allowed_origins");
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        if (mln_bytes_is(one, "*") || mln_bytes_eq(one, origin)) {
            return true;
        }
    }
    return false;
}

static const char *headers_text(struct mln_cx *cx, const struct mln_value *cors)
{
    const struct mln_value *list = mln_get(cors, "allowed_headers");
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_buf_add_text(&out, USUAL_HEADERS);
    for (size_t i = 0; i < mln_len(list); i++) {
        mln_buf_add_text(&out, ", ");
        mln_buf_add_bytes(&out, mln_get_bytes(mln_item(list, i)));
    }
    return mln_text_dup(cx, mln_buf_bytes(&out));
}

static struct mln_err judge(struct mln_cx *cx, const struct mln_value *cors, struct mln_bytes origin,
                            bool is_preflight, const struct mln_value **ret)
{
    if (!is_allowed(cors, origin)) {
        return mln_fail(cx, MLN_E_DENIED, "origin not allowed");
    }
    struct mln_value *out = mln_object(cx);
    mln_put_bytes(cx, out, "origin", mln_bytes_dup(cx, origin));
    if (is_preflight) {
        mln_put_text(cx, out, "methods", METHODS);
        mln_put_text(cx, out, "headers", headers_text(cx, cors));
    }
    *ret = out;
    return mln_cx_err(cx);
}

struct mln_err mln_cors_judge(struct mln_cx *cx, struct mln_core *core, struct mln_bytes origin,
                              bool is_preflight, const struct mln_value **ret)
{
    struct mln_err err = MLN_OK;
    bool has_cors = atomic_load(&core->has_cors);
    if (has_cors && origin.len > 0) {
        pthread_rwlock_rdlock(&core->cors_lock);
        err = core->cors == NULL ? MLN_OK : judge(cx, core->cors, origin, is_preflight, ret);
        pthread_rwlock_unlock(&core->cors_lock);
    }
    if (is_preflight && !mln_failed(err) && *ret == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "cannot handle internal-only request operation");
    }
    return err;
}
