/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Response wrapping: an answer is put away under a token that is good for one use, and sys/wrapping gives it out once. Row
 * "<token name>" in view "root/wrap/": {"path", "created_ns", "ttl_s", "answer": the ANSWER as it would have been}. The row goes with
 * its token (mln_token_remove_rows). Source: the public documentation of Vault's response wrapping.
 */
#include "core/wrap_priv.h"

#define NOT_VALID "wrapping token is not valid or does not exist"

struct mln_view mln_wrap_view(struct mln_bytes name)
{
    return (struct mln_view){.ns = mln_token_name_ns(name), .prefix = MLN_BYTES("root/wrap/")};
}

struct mln_err mln_wrap_ttl(struct mln_cx *cx, struct mln_bytes header, int64_t *ret_s)
{
    int64_t s = 0;
    bool is_number = mln_i64_parse(header, &s);
    if ((is_number && s < 0) || (header.len > 1 && header.ptr[0] == '-')) {
        return mln_fail(
            cx, MLN_E_INVALID,
            "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative");
    }
    if (header.len > 0 && !is_number && !mln_duration_parse(header, &s)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "error parsing X-Vault-Wrap-TTL header: time: invalid duration \"%.*s\"",
                        MLN_FMT(mln_bytes_sub(header, 0, 64)));
    }
    if (s < 0 || s > MLN_TTL_MAX_S) {
        return mln_fail(cx, MLN_E_INVALID,
                        "error parsing X-Vault-Wrap-TTL header: more than 100 years");
    }
    *ret_s = s;
    return MLN_OK;
}

/* ---- putting away ---- */

static struct mln_value *info_of(struct mln_cx *cx, const struct mln_value *row,
                                       const struct mln_value *auth)
{
    struct mln_value *info = mln_object(cx);
    const struct mln_value *inner = mln_get(mln_get(mln_get(row, "answer"), "auth"), "accessor");
    mln_put(cx, info, "token", mln_get(auth, "client_token"));
    mln_put(cx, info, "accessor", mln_get(auth, "accessor"));
    mln_put(cx, info, "ttl", mln_get(row, "ttl_s"));
    mln_put_text(cx, info, "creation_time",
                 mln_time_text_go(cx, mln_get_int(mln_get(row, "created_ns"), 0)));
    mln_put(cx, info, "creation_path", mln_get(row, "path"));
    if (mln_len(inner) > 0) {
        mln_put(cx, info, "wrapped_accessor", inner);
    }
    return info;
}

/* A new token for the row; the run answers with what is known of it. */
static struct mln_err put_row(struct mln_run *run, const struct mln_value *row)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *policies = mln_array(cx);
    const struct mln_value *auth = NULL, *entry = NULL;
    int64_t ttl_s = mln_get_int(mln_get(row, "ttl_s"), 0);
    mln_push_text(cx, policies, "response-wrapping");
    struct mln_token_spec spec = {
        .policies = policies,
        .display_name = "",
        .path = mln_get_text(cx, mln_get(row, "path"), ""),
        .ttl_s = ttl_s,
        .explicit_max_ttl_s = ttl_s,
        .num_uses = 1,
        .is_wrap = true,
    };
    MLN_TRY(mln_token_create(run->core, cx, run->rq.txn, run->rq.now_ns, &spec, &auth, &entry));
    struct mln_bytes name = mln_get_bytes(mln_get(entry, "name"));
    MLN_TRY(mln_txn_put_value(cx, run->rq.txn, mln_wrap_view(name), name, row));
    struct mln_value *info = info_of(cx, row, auth);
    MLN_TRY(wrap_is_jwt_asked(run) ? wrap_jwt_sign(run, info) : mln_cx_err(cx));
    run->wrap_info = info;
    mln_put(cx, run->rq.detail, "wrapped", mln_get(auth, "accessor"));
    return mln_cx_err(cx);
}

struct mln_err mln_wrap_reply(struct mln_run *run)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *row = mln_object(cx), *answer = mln_object(cx);
    mln_put_text(cx, answer, "request_id", run->rq.id);
    mln_run_reply(run, answer);
    mln_put_bytes(cx, row, "path", run->rq.path);
    mln_put_int(cx, row, "created_ns", run->rq.now_ns);
    mln_put_int(cx, row, "ttl_s", run->wrap_ttl_s);
    mln_put(cx, row, "answer", answer);
    MLN_TRY(mln_cx_err(cx));
    return put_row(run, row);
}

/* ---- sys/wrapping ---- */

struct wrapped {
    const struct mln_value *entry, *row;
    bool is_own; /* the caller came with the wrapping token itself */
};

/* What a JWT of ours holds; other texts stay as they are. */
static struct mln_err plain_token(struct mln_request *rq, struct mln_bytes *id)
{
    if (!wrap_looks_jwt(*id)) {
        return MLN_OK;
    }
    struct mln_err err = wrap_jwt_open(rq, *id, id);
    bool is_foreign = mln_is(err, MLN_E_FORGED) || mln_is(err, MLN_E_INVALID);
    return is_foreign ? mln_refail(rq->cx, MLN_E_INVALID, NOT_VALID) : err;
}

/* The wrapping token of the body, else the one that the caller came with. */
static struct mln_err find(struct mln_request *rq, struct wrapped *ret)
{
    struct mln_run *run = mln_run_of(rq);
    struct mln_bytes body = mln_get_bytes(mln_field_of(rq, "token")),
                     id = body.len > 0 ? body : run->token;
    ret->is_own = mln_eq_ct(id.ptr, id.len, run->token.ptr, run->token.len);
    MLN_TRY(plain_token(rq, &id));
    struct mln_err err = mln_token_find(run->core, rq->cx, rq->txn, rq->now_ns, id, &ret->entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC) ||
        (!mln_failed(err) &&
         (!mln_token_is_wrap(ret->entry) || !mln_space_is_below(run, mln_token_ns(ret->entry))))) {
        return mln_refail(rq->cx, MLN_E_INVALID, NOT_VALID);
    }
    MLN_TRY(err);
    struct mln_bytes name = mln_get_bytes(mln_get(ret->entry, "name"));
    err = mln_txn_get_value(rq->cx, rq->txn, mln_wrap_view(name), name, &ret->row);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_refail(rq->cx, MLN_E_INVALID, NOT_VALID) : err;
}

/* Who brings another's wrapping token needs a token of his own, and the policy for it. */
static struct mln_err may_take(struct mln_request *rq, const struct wrapped *w)
{
    struct mln_run *run = mln_run_of(rq);
    if (w->is_own) {
        return MLN_OK;
    }
    if (rq->actor->kind != MLN_ACTOR_TOKEN) {
        return mln_fail(rq->cx, MLN_E_UNAUTHENTIC, "permission denied");
    }
    run->reason = rq->actor->is_root ? "root" : "policy";
    struct mln_err err = mln_run_may(run, MLN_CAP_UPDATE, rq->path, rq->data);
    run->is_refused = mln_is(err, MLN_E_DENIED);
    return err;
}

static struct mln_err take(struct mln_request *rq, struct wrapped *w)
{
    MLN_TRY(find(rq, w));
    MLN_TRY(may_take(rq, w));
    mln_put(rq->cx, rq->detail, "unwrapped", mln_get(w->entry, "accessor"));
    return mln_token_revoke(mln_core_of(rq), rq->cx, rq->txn, w->entry);
}

static struct mln_err wrap(struct mln_request *rq, struct mln_reply *re)
{
    if (mln_run_of(rq)->wrap_ttl_s == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "endpoint requires response wrapping to be used");
    }
    re->data = rq->data;
    return MLN_OK;
}

static struct mln_err lookup(struct mln_request *rq, struct mln_reply *re)
{
    struct wrapped w = {0};
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(find(rq, &w));
    mln_put(rq->cx, data, "creation_path", mln_get(w.row, "path"));
    mln_put_text(rq->cx, data, "creation_time",
                 mln_time_text_go(rq->cx, mln_get_int(mln_get(w.row, "created_ns"), 0)));
    mln_put(rq->cx, data, "creation_ttl", mln_get(w.row, "ttl_s"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err unwrap(struct mln_request *rq, struct mln_reply *re)
{
    struct wrapped w = {0};
    (void)re;
    MLN_TRY(take(rq, &w));
    mln_run_of(rq)->unwrapped = mln_get(w.row, "answer");
    return mln_cx_err(rq->cx);
}

static struct mln_err rewrap(struct mln_request *rq, struct mln_reply *re)
{
    struct wrapped w = {0};
    (void)re;
    MLN_TRY(take(rq, &w));
    struct mln_value *row = mln_value_dup(rq->cx, w.row);
    mln_put_int(rq->cx, row, "created_ns", rq->now_ns);
    MLN_TRY(mln_cx_err(rq->cx));
    return put_row(mln_run_of(rq), row);
}

static const struct mln_field token_fields[] = {
    {.name = "token",
     .type = MLN_FIELD_SECRET,
     .help = "The wrapping token; the caller's own when absent.",
     .is_query = true},
    {0},
};

const struct mln_path mln_sys_wrapping[] = {
    {.pattern = "wrapping/wrap", .summary = "Wrap what is given.", .write = wrap},
    {.pattern = "wrapping/lookup",
     .summary = "What a wrapping token holds: path and times, not the answer.",
     .fields = token_fields,
     .read = lookup,
     .write = lookup,
     .is_open = true},
    {.pattern = "wrapping/unwrap",
     .summary = "The wrapped answer, once.",
     .fields = token_fields,
     .write = unwrap,
     .is_open = true,
     .is_relief = true},
    {.pattern = "wrapping/rewrap",
     .summary = "Move the wrapped answer to a new wrapping token.",
     .fields = token_fields,
     .write = rewrap,
     .is_open = true},
    {0},
};
