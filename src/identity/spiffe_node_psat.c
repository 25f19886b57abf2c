/* SPDX-License-Identifier: Apache-2.0 */
/* A node in Kubernetes: a service account token that its cluster vouches for (TokenReview), bound to the machine that it runs on. */
#include "base/json.h"
#include "crypto/jose_verify.h"
#include "identity/spiffe_node_priv.h"
#include "net/reach.h"
#include "policy/claims.h"

#define AUDIENCE  "merlon-server"
#define TOKEN_MAX 8192u /* bytes: a cluster's have about 1200 */

static struct mln_err review(struct mln_request *rq, const struct mln_value *cluster,
                             struct mln_bytes jwt, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ask = mln_object(cx), *headers = mln_object(cx), *body = mln_object(cx),
                     *spec = mln_object(cx), *audiences = mln_array(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    const struct mln_value *answer = NULL;
    mln_put(cx, spec, "token", mln_secret_string(cx, jwt));
    mln_push_text(cx, audiences, AUDIENCE);
    mln_put(cx, spec, "audiences", audiences);
    mln_put_text(cx, body, "apiVersion", "authentication.k8s.io/v1");
    mln_put_text(cx, body, "kind", "TokenReview");
    mln_put(cx, body, "spec", spec);
    mln_json_print(&text, body, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &text));
    struct mln_bytes reviewer = mln_get_bytes(mln_get(cluster, "token_reviewer_jwt"));
    struct mln_bytes bearer =
        mln_bytes_format(cx, "Bearer %.*s", (int)reviewer.len, (const char *)reviewer.ptr);
    mln_put(cx, headers, "Authorization", mln_secret_string(cx, bearer));
    mln_put_text(cx, headers, "Content-Type", "application/json");
    mln_put_text(cx, ask, "kind", "http");
    mln_put_text(cx, ask, "method", "POST");
    mln_put_text(cx, ask, "url",
                 mln_text_format(cx, "%s/apis/authentication.k8s.io/v1/tokenreviews",
                                 mln_get_text(cx, mln_get(cluster, "host"), "")));
    mln_put(cx, ask, "headers", headers);
    mln_put(cx, ask, "body", mln_secret_string(cx, mln_bytes_dup(cx, mln_buf_bytes(&text))));
    if (mln_len(mln_get(cluster, "ca_cert")) > 0) {
        mln_put(cx, ask, "ca_pem", mln_get(cluster, "ca_cert"));
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(rq->services->reach(rq, ask, &answer));
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    if (status != 200 && status != 201) {
        return sp_node_refuse(rq, "the cluster does not review tokens for this server");
    }
    return mln_failed(mln_json_parse(cx, mln_get_bytes(mln_get(answer, "body")), ret))
               ? sp_node_refuse(rq, "the cluster's answer cannot be read")
               : MLN_OK;
}

/* What anybody can see of it: only a token that may be good costs the cluster a question. */
static struct mln_err look_at(struct mln_request *rq, struct mln_bytes jwt)
{
    struct mln_cx *cx = rq->cx;
    struct mln_jose_token token;
    struct mln_value *audiences = mln_array(cx);
    mln_push_text(cx, audiences, AUDIENCE);
    MLN_TRY(mln_cx_err(cx));
    if (jwt.len > TOKEN_MAX || mln_failed(mln_jose_parse(cx, jwt, &token))) {
        return sp_node_refuse(rq, "it is no signed JWT of at most 8192 bytes");
    }
    if (mln_failed(mln_claims_check_audience(cx, token.claims, audiences))) {
        return sp_node_refuse(rq, "its audience is not " AUDIENCE);
    }
    double exp_s = mln_get_double(mln_get(token.claims, "exp"), -1);
    return exp_s > (double)(rq->now_ns / SP_SECOND_NS)
               ? MLN_OK
               : sp_node_refuse(rq, "it is expired, or has no exp");
}

/* The first value of what the cluster says besides the name of the user. */
static struct mln_bytes extra_of(const struct mln_value *user, const char *name)
{
    return mln_get_bytes(mln_item(mln_get(mln_get(user, "extra"), name), 0));
}

struct mln_err sp_by_k8s_psat(struct mln_request *rq, const struct mln_value *payload,
                              struct sp_node_proof *proof)
{
    const struct mln_value *config = NULL, *answer = NULL;
    struct mln_bytes name = mln_get_bytes(mln_get(payload, "cluster")),
                     jwt = mln_get_bytes(mln_get(payload, "token")), account;
    struct mln_err err = sp_row_get(rq, "node-config", MLN_BYTES_NONE, &config);
    const struct mln_value *cluster = mln_get_key(mln_get(config, "clusters"), name);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && cluster == NULL) || jwt.len == 0) {
        return sp_node_refuse(rq, "a cluster that is not configured");
    }
    MLN_TRY(err);
    MLN_TRY(look_at(rq, jwt));
    MLN_TRY(review(rq, cluster, jwt, &answer));
    const struct mln_value *status = mln_get(answer, "status"), *user = mln_get(status, "user");
    struct mln_bytes full = mln_get_bytes(mln_get(user, "username")),
                     node = extra_of(user, "authentication.kubernetes.io/node-uid");
    account = mln_bytes_starts(full, MLN_BYTES("system:serviceaccount:")) ? mln_bytes_from(full, 22)
                                                                          : MLN_BYTES_NONE;
    if (!mln_get_bool(mln_get(status, "authenticated"), false) ||
        !sp_has(mln_get(status, "audiences"), MLN_BYTES(AUDIENCE))) {
        return sp_node_refuse(rq, "the cluster does not vouch for this token");
    }
    if (account.len == 0 || !sp_has(mln_get(cluster, "service_accounts"), account) || node.len == 0) {
        return sp_node_refuse(rq,
                      "a service account that is not listed, or a token that is bound to no node");
    }
    struct mln_value *facts = mln_object(rq->cx);
    mln_put_bytes(rq->cx, facts, "cluster", name);
    mln_put_bytes(rq->cx, facts, "service_account", account);
    mln_put_bytes(rq->cx, facts, "node_name",
                  extra_of(user, "authentication.kubernetes.io/node-name"));
    proof->facts = facts;
    return sp_node_id(rq, "k8s_psat", mln_text_format(rq->cx, "%.*s/%.*s", MLN_FMT(name), MLN_FMT(node)),
                 &proof->id);
}
