/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: machines that attest processes in this server's name. A node shows who it is (spiffe_node_attest.c) and gets a SPIFFE id below
 * /merlon/node/, an SVID for it and a session token. By that it hears of its entries (spiffe_node_sync.c) and has keys certified that it
 * makes itself (spiffe_node_sign.c): of entries whose parent it is. So what a taken node can get are the identities below itself.
 * Rows: node/<hash of id> {"id","method","facts","created","seen","expires","session","serial","serial_before","nonce_ns","banned"};
 *       session/<hash of token> {"node"}; join/<hash of token> {"id","expires"}; node-config, see spiffe_node_attest.c
 */
#include "identity/spiffe_node_priv.h"

#include "base/clock.h"

#define SESSION_S (24 * 3600) /* of a node, and its SVID: one that was cut off for longer attests again */

const char *sp_node_hash(struct mln_cx *cx, struct mln_bytes text)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(text, digest);
    return mln_hex_text(cx, mln_bytes_at(digest, sizeof(digest)));
}

/* ---- sessions ---- */

static struct mln_err forget_session(struct mln_request *rq, const struct mln_value *node)
{
    struct mln_bytes old = mln_get_bytes(mln_get(node, "session"));
    struct mln_err err = old.len > 0 ? sp_row_delete(rq, "session/", old) : MLN_OK;
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    return err;
}

/* An SVID for the node's own id, when it made a key for it. */
static struct mln_err issue(struct mln_request *rq, const char *id, struct mln_value *row, struct mln_value *data)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *config = NULL;
    struct sp_state *state = NULL;
    struct sp_authority by;
    struct sp_made made;
    struct sp_leaf leaf = {.spiffe_id = id};
    struct mln_err err = sp_row_get(rq, "node-config", MLN_BYTES_NONE, &config);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    mln_cx_clear(cx);
    leaf.ttl_s = mln_get_int(mln_get(config, "svid_ttl"), SESSION_S);
    MLN_TRY(sp_csr_take(rq, mln_get_bytes(mln_field_of(rq, "csr")), &leaf.spki, &leaf.is_rsa));
    MLN_TRY(sp_state_get(rq, &state));
    {
        SP_READ(state);
        MLN_TRY(sp_authority_borrow(cx, state->authorities.x509, state->authorities.x509_n, rq->now_ns / SP_SECOND_NS, &by));
    }
    MLN_TRY(sp_leaf_sign(cx, &by, &leaf, rq->now_ns / SP_SECOND_NS, &made));
    const char *serial = mln_hex_text(cx, made.serial);
    mln_put_text(cx, row, "serial", serial);
    mln_put_int(cx, row, "expires", made.not_after_s);
    mln_put_text(cx, data, "svid", mln_base64_text(cx, made.chain, MLN_B64_STD));
    mln_put_text(cx, data, "authority", mln_text_dup(cx, mln_bytes_of(by.id)));
    mln_put_int(cx, data, "expires", made.not_after_s);
    mln_put_text(cx, rq->detail, "serial", serial);
    return mln_cx_err(cx);
}

static const char *new_token(struct mln_cx *cx)
{
    char secret[33];
    mln_random_base62(secret, sizeof(secret) - 1);
    const char *token =
        mln_text_format(cx, SP_NODE_TOKEN "%.*s", (int)(sizeof(secret) - 1), (const char *)secret);
    mln_wipe(secret, sizeof(secret));
    return token;
}

static struct mln_err known_before(struct mln_request *rq, struct mln_bytes name, const struct mln_value **ret)
{
    struct mln_err err = sp_row_get(rq, "node/", name, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        *ret = NULL;
        return MLN_OK;
    }
    MLN_TRY(err);
    if (mln_get_bool(mln_get(*ret, "banned"), false)) {
        return sp_node_refuse(rq, "a node that was banned");
    }
    return forget_session(rq, *ret);
}

/*
 * A challenge works once: after one that was made later, or with it, it is refused, so that one number for each node is enough. One of
 * the future is from before the clock was set back, and says nothing.
 */
static struct mln_err check_order(struct mln_request *rq, const struct sp_node_proof *proof,
                                  const struct mln_value *old)
{
    int64_t last_ns = mln_get_int(mln_get(old, "nonce_ns"), 0);
    return proof->nonce_ns != 0 && last_ns >= proof->nonce_ns && last_ns <= rq->now_ns
               ? sp_node_refuse(rq, "a challenge that was used, or is older than one that was")
               : MLN_OK;
}

/* A new session; the one before ends, so that a token that was stolen is noticed when the node cannot go on. */
struct mln_err sp_node_begin(struct mln_request *rq, const struct sp_node_proof *proof,
                             struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    const struct mln_value *old = NULL;
    struct mln_value *row = mln_object(cx), *session = mln_object(cx), *data = mln_object(cx);
    const char *name = sp_node_hash(cx, mln_bytes_of(proof->id)), *token = new_token(cx);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(known_before(rq, mln_bytes_of(name), &old));
    MLN_TRY(check_order(rq, proof, old));
    const char *hash = sp_node_hash(cx, mln_bytes_of(token));
    mln_put_text(cx, row, "id", proof->id);
    mln_put(cx, row, "method",
            proof->facts == NULL && old != NULL ? mln_get(old, "method") : mln_text(cx, proof->method));
    mln_put(cx, row, "facts", proof->facts != NULL ? proof->facts : mln_get(old, "facts"));
    mln_put_int(cx, row, "created",
                old != NULL ? mln_get_int(mln_get(old, "created"), now_s) : now_s);
    mln_put_int(cx, row, "seen", now_s);
    mln_put_int(cx, row, "expires", now_s + SESSION_S);
    mln_put_text(cx, row, "session", hash);
    mln_put_text(cx, row, "serial_before", proof->serial);
    mln_put_int(cx, row, "nonce_ns",
                proof->nonce_ns != 0 ? proof->nonce_ns : mln_get_int(mln_get(old, "nonce_ns"), 0));
    mln_put_text(cx, session, "node", name);
    mln_put_text(cx, rq->detail, "node", proof->id);
    mln_put_text(cx, rq->detail, "method", proof->method);
    mln_put_text(cx, data, "spiffe_id", proof->id);
    mln_put(cx, data, "session", mln_secret_string(cx, mln_bytes_of(token)));
    mln_put_int(cx, data, "expires", now_s + SESSION_S);
    if (mln_len(mln_field_of(rq, "csr")) > 0) {
        MLN_TRY(issue(rq, proof->id, row, data));
    }
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(sp_row_put(rq, "node/", mln_bytes_of(name), row));
    MLN_TRY(sp_row_put(rq, "session/", mln_bytes_of(hash), session));
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err sp_node_of(struct mln_request *rq, const struct mln_value **ret,
                          struct mln_bytes *ret_name)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *session = NULL, *node = NULL;
    if (!mln_bytes_starts(rq->bearer, MLN_BYTES(SP_NODE_TOKEN)) || rq->bearer.len > 128) {
        return mln_fail(cx, MLN_E_DENIED, "only for nodes: attest first");
    }
    const char *hash = sp_node_hash(cx, rq->bearer);
    struct mln_err err = sp_row_get(rq, "session/", mln_bytes_of(hash), &session);
    struct mln_bytes name = mln_get_bytes(mln_get(session, "node"));
    err = mln_failed(err) ? err : sp_row_get(rq, "node/", name, &node);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(cx, MLN_E_DENIED, "this node is not known here: attest again");
    }
    MLN_TRY(err);
    if (!mln_is_text(mln_get(node, "session"), hash) ||
        mln_get_int(mln_get(node, "expires"), 0) <= rq->now_ns / SP_SECOND_NS) {
        return mln_fail(cx, MLN_E_DENIED, "this node's session is over: attest again");
    }
    mln_put(cx, rq->detail, "node", mln_get(node, "id"));
    rq->services->vouch(rq, mln_get_text(cx, mln_get(node, "id"), ""));
    *ret = node;
    *ret_name = name;
    return MLN_OK;
}

/* ---- what administrators do ---- */

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *data = mln_object(rq->cx);
    const struct mln_value *names = NULL;
    MLN_TRY(sp_row_names(rq, "node/", &names));
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err find(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = sp_row_get(rq, "node/", mln_get_bytes(mln_field_of(rq, "node")), ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_refail(rq->cx, MLN_E_NOT_FOUND, "no such node") : err;
}

static struct mln_err show(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    MLN_TRY(find(rq, &row));
    struct mln_value *data = mln_value_dup(rq->cx, row);
    mln_remove(data, MLN_BYTES("session"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err wake(struct mln_request *rq, void *arg)
{
    rq->services->publish(rq, arg, NULL);
    return MLN_OK;
}

/* It hears at once that it is out: what it holds is answered when the rows are gone. */
static struct mln_err put_out(struct mln_request *rq, const struct mln_value *row)
{
    const char *topic = sp_node_topic(rq->cx, mln_get_bytes(mln_get(row, "id")));
    MLN_TRY(mln_cx_err(rq->cx));
    rq->services->after(rq, wake, (void *)(uintptr_t)topic);
    return MLN_OK;
}

/* As evicted, and it cannot attest again, whatever it shows; or it may. */
static struct mln_err ban(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    bool is_banned = mln_get_bool(mln_field_of(rq, "banned"), false);
    (void)re;
    MLN_TRY(find(rq, &row));
    struct mln_value *changed = mln_value_dup(rq->cx, row);
    mln_put_bool(rq->cx, changed, "banned", is_banned);
    if (is_banned) {
        MLN_TRY(forget_session(rq, row));
        mln_remove(changed, MLN_BYTES("session"));
        mln_remove(changed, MLN_BYTES("serial"));
        mln_remove(changed, MLN_BYTES("serial_before"));
    }
    mln_put(rq->cx, rq->detail, "node", mln_get(row, "id"));
    mln_put_bool(rq->cx, rq->detail, "banned", is_banned);
    MLN_TRY(put_out(rq, row));
    return sp_row_put(rq, "node/", mln_get_bytes(mln_field_of(rq, "node")), changed);
}

/* From now on it gets nothing; what its processes have lives until it expires. */
static struct mln_err evict(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(find(rq, &row));
    MLN_TRY(forget_session(rq, row));
    mln_put(rq->cx, rq->detail, "node", mln_get(row, "id"));
    MLN_TRY(put_out(rq, row));
    return sp_row_delete(rq, "node/", mln_get_bytes(mln_field_of(rq, "node")));
}

/* ---- paths ---- */

static const struct mln_field node_fields[] = {
    {.name = "node",
     .type = MLN_FIELD_TEXT,
     .help = "A name of the list: digest of the node's SPIFFE id.",
     .is_query = true},
    {.name = "banned", .type = MLN_FIELD_BOOL, .help = "It may not attest again, whatever it shows."},
    {0}};
static const struct mln_field no_fields[] = {{0}};

const struct mln_path sp_node_paths[] = {
    {.pattern = "nodes/list/{node}",
     .summary = "Show, ban or evict a node.",
     .fields = node_fields,
     .read = show,
     .write = ban,
     .remove = evict,
     .is_relief = true,
     .controls = "IA-3"},
    {.pattern = "nodes/list", .summary = "List nodes.", .fields = no_fields, .list = list},
    {0},
};
