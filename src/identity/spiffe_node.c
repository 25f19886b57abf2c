/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: machines that attest processes in this server's name. A node shows once who it is (spiffe_node_attest.c), gets a SPIFFE id
 * below /merlon/node/ and a session token, and then asks for what its processes ask: with their selectors, and only of entries whose
 * parent it is. So what a taken node can get are the identities below itself.
 * Rows: node/<hash of id> {"id","method","facts","created","seen","expires","session"}; session/<hash of token> {"node"};
 *       join/<hash of token> {"expires"}
 */
#include "identity/spiffe_node_priv.h"

#include "base/cbor.h"
#include "base/clock.h"
#include "identity/spiffe_bundle.h"

#define SESSION_S    (24 * 3600) /* a node that was cut off for longer attests again */
#define RENEW_S      (3600)      /* "seen" and "expires" are written at most so often */
#define SELECTORS    512u
#define SELECTOR_MAX 1024u

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

/* A new session; the one before ends, so that a token that was stolen is noticed when the node cannot go on. */
struct mln_err sp_node_begin(struct mln_request *rq, const struct sp_node_proof *proof,
                             struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    char secret[33];
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    const struct mln_value *old = NULL;
    struct mln_value *row = mln_object(cx), *session = mln_object(cx), *data = mln_object(cx);
    const char *name = sp_node_hash(cx, mln_bytes_of(proof->id));
    struct mln_err err = sp_row_get(rq, "node/", mln_bytes_of(name), &old);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(cx);
    } else {
        MLN_TRY(err);
        MLN_TRY(forget_session(rq, old));
    }
    mln_random_base62(secret, sizeof(secret) - 1);
    const char *token =
        mln_text_format(cx, SP_NODE_TOKEN "%.*s", (int)(sizeof(secret) - 1), (const char *)secret);
    mln_wipe(secret, sizeof(secret));
    const char *hash = sp_node_hash(cx, mln_bytes_of(token));
    mln_put_text(cx, row, "id", proof->id);
    mln_put_text(cx, row, "method", proof->method);
    mln_put(cx, row, "facts", proof->facts);
    mln_put_int(cx, row, "created",
                old != NULL ? mln_get_int(mln_get(old, "created"), now_s) : now_s);
    mln_put_int(cx, row, "seen", now_s);
    mln_put_int(cx, row, "expires", now_s + SESSION_S);
    mln_put_text(cx, row, "session", hash);
    mln_put_text(cx, session, "node", name);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(sp_row_put(rq, "node/", mln_bytes_of(name), row));
    MLN_TRY(sp_row_put(rq, "session/", mln_bytes_of(hash), session));
    mln_put_text(cx, rq->detail, "node", proof->id);
    mln_put_text(cx, rq->detail, "method", proof->method);
    mln_put_text(cx, data, "spiffe_id", proof->id);
    mln_put(cx, data, "session", mln_secret_string(cx, mln_bytes_of(token)));
    mln_put_int(cx, data, "expires", now_s + SESSION_S);
    re->data = data;
    return mln_cx_err(cx);
}

/* Who shows this session token. DENIED whatever is wrong with it. */
static struct mln_err node_of(struct mln_request *rq, const struct mln_value **ret,
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
    *ret = node;
    *ret_name = name;
    return MLN_OK;
}

/* Once an hour at most: what follows is a write. */
static struct mln_err prolong(struct mln_request *rq, const struct mln_value *node,
                              struct mln_bytes name)
{
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    if (now_s - mln_get_int(mln_get(node, "seen"), 0) < RENEW_S) {
        return MLN_OK;
    }
    struct mln_value *row = mln_value_dup(rq->cx, node);
    mln_put_int(rq->cx, row, "seen", now_s);
    mln_put_int(rq->cx, row, "expires", now_s + SESSION_S);
    return sp_row_put(rq, "node/", name, row);
}

/* ---- what a node asks ---- */

/*
 * One text that changes when something of this node's does: its entries, their SVIDs being due, bundles. Its entries only are looked at,
 * so thousands of nodes that ask cost what they have, not what all have.
 */
static struct mln_err revision_of(struct mln_request *rq, const char *id, const char **ret)
{
    struct sp_state *state = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    int64_t now_s = rq->now_ns / SP_SECOND_NS;
    MLN_TRY(sp_state_get(rq, &state));
    SP_READ(state);
    if (!state->is_loaded) {
        return mln_fail(rq->cx, MLN_E_UNREACHABLE, "registration entries are being read");
    }
    for (const struct sp_entry *e = sp_index_first(state->index, SP_BY_PARENT, mln_bytes_of(id));
         e != NULL; e = e->next[SP_BY_PARENT]) {
        bool is_good = sp_svid_is_good(state, e->svid, now_s),
             is_over = e->expires_s != 0 && e->expires_s <= now_s;
        mln_buf_add_text(&all, e->id);
        mln_buf_add_u64be(&all, e->revision);
        mln_buf_add_byte(&all, (uint8_t)((is_good ? 1 : 0) | (is_over ? 2 : 0)));
        mln_buf_add_u64be(&all, is_good ? (uint64_t)e->svid->made_s : 0);
    }
    for (size_t i = 0; i < mln_len(state->templates); i++) { /* they may have something for who has nothing yet */
        const struct mln_value *t = mln_item(state->templates, i);
        mln_buf_add_bytes(&all, mln_get_bytes(mln_get(t, "name")));
        mln_buf_add_u64be(&all, (uint64_t)mln_get_int(mln_get(t, "revision"), 0));
        mln_buf_add_u64be(&all, (uint64_t)mln_get_int(mln_get(t, "created_ns"), 0));
    }
    mln_buf_add(&all, state->bundle, state->bundle_n);
    mln_buf_add_text(&all, state->jwks != NULL ? state->jwks : "");
    for (const struct sp_foreign *f = state->foreign; f != NULL; f = f->next) {
        mln_buf_add(&all, f->der, f->der_n);
        mln_buf_add_text(&all, f->jwks);
    }
    MLN_TRY(mln_buf_ok(rq->cx, &all));
    *ret = sp_node_hash(rq->cx, mln_buf_bytes(&all));
    return mln_cx_err(rq->cx);
}

static struct mln_err revision(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *node = NULL;
    const char *text = "";
    struct mln_bytes name;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(node_of(rq, &node, &name));
    MLN_TRY(prolong(rq, node, name));
    MLN_TRY(revision_of(rq, mln_get_text(rq->cx, mln_get(node, "id"), ""), &text));
    mln_put_text(rq->cx, data, "revision", text);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err selectors_of(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *given = mln_field_of(rq, "selectors");
    bool ok = mln_type_of(given) == MLN_ARRAY && mln_len(given) <= SELECTORS;
    for (size_t i = 0; ok && i < mln_len(given); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(given, i));
        ok = one.len > 0 && one.len <= SELECTOR_MAX && mln_bytes_find(one, ':') < one.len;
    }
    *ret = given;
    return ok ? MLN_OK
              : mln_fail(rq->cx, MLN_E_INVALID,
                         "selectors must be a list of texts type:value, at most %u", SELECTORS);
}

/* The question of a process, as its node tells it; the answer is the one that a process here gets, but of the node's entries. */
static struct mln_err ask(struct mln_request *rq, const struct mln_peer *peer, struct mln_reply *re)
{
    static const struct {
        const char *name;
        enum mln_op op;
    } known[] = {{"x509-svids", MLN_OP_READ},  {"x509-bundles", MLN_OP_READ},
                 {"jwt-bundles", MLN_OP_READ}, {"secrets", MLN_OP_READ},
                 {"jwt-svid", MLN_OP_WRITE},   {"validate", MLN_OP_WRITE}};
    struct mln_bytes wanted = mln_get_bytes(mln_field_of(rq, "ask"));
    struct mln_request as = *rq;
    as.peer = peer;
    for (size_t i = 0; i < MLN_COUNT(known); i++) {
        if (mln_bytes_is(wanted, known[i].name)) {
            const char *path =
                mln_text_format(rq->cx, "%sworkload/%s", rq->mount->path, known[i].name);
            return rq->services->call(&as, known[i].op, path, mln_field_of(rq, "data"), re);
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "ask: no such question of a process");
}

/* When the first SVID in an answer dies; bundles are good as long as a session. */
static int64_t good_until(struct mln_request *rq, const struct mln_value *data)
{
    const struct mln_value *svids = mln_get(data, "svids");
    int64_t until_s = mln_get(data, "claims") != NULL ? 0 : rq->now_ns / SP_SECOND_NS + SESSION_S;
    for (size_t i = 0; i < mln_len(svids); i++) {
        struct mln_bytes chain = mln_get_bytes(mln_get(mln_item(svids, i), "chain"));
        struct mln_x509_info info = {0};
        struct mln_jose_token token = {0};
        bool is_x509 =
            chain.len > 0 && !mln_failed(mln_x509_cert_read(
                                 rq->cx, mln_bytes_sub(chain, 0, sp_der_length(chain)), &info));
        bool is_jwt = chain.len == 0 &&
                      !mln_failed(mln_jose_parse(
                          rq->cx, mln_get_bytes(mln_get(mln_item(svids, i), "svid")), &token));
        int64_t one_s = is_x509  ? info.not_after_s
                        : is_jwt ? mln_get_int(mln_get(token.claims, "exp"), 0)
                                 : 0;
        until_s = one_s < until_s ? one_s : until_s;
    }
    return until_s;
}

/* A refusal is an answer: it is the process's, not the node's. As CBOR, for there are bytes in it. */
static struct mln_err workload(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *node = NULL, *selectors = NULL;
    struct mln_reply inner = {0};
    struct mln_bytes name;
    const char *text = "";
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {.is_secret = true};
    struct mln_value *all = mln_object(cx);
    MLN_TRY(node_of(rq, &node, &name));
    MLN_TRY(selectors_of(rq, &selectors));
    MLN_TRY(revision_of(rq, mln_get_text(cx, mln_get(node, "id"), ""), &text));
    struct mln_peer peer = {.pid = mln_get_int(mln_field_of(rq, "pid"), 0),
                            .uid = (uint32_t)mln_get_int(mln_field_of(rq, "uid"), -1),
                            .gid = (uint32_t)mln_get_int(mln_field_of(rq, "gid"), -1),
                            .selectors = selectors,
                            .node = mln_get_text(cx, mln_get(node, "id"), "")};
    struct mln_err err = ask(rq, &peer, &inner);
    if (mln_failed(err) && mln_err_http(err.code) >= 500 && !mln_is(err, MLN_E_UNREACHABLE) &&
        !mln_is(err, MLN_E_SEALED)) {
        return err;
    }
    if (mln_is(err, MLN_E_CONFLICT) || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    mln_put_int(cx, all, "grpc", mln_err_grpc(err.code));
    mln_put_text(cx, all, "error", mln_failed(err) ? mln_text_dup(cx, mln_bytes_of(cx->text)) : "");
    mln_cx_clear(cx);
    mln_put(cx, all, "data", mln_failed(err) ? NULL : inner.data);
    mln_put_text(cx, all, "revision", text);
    mln_put_int(cx, all, "good_until", mln_failed(err) ? 0 : good_until(rq, inner.data));
    mln_cbor_print(&out, all);
    MLN_TRY(mln_buf_ok(cx, &out));
    re->raw = mln_bytes_dup(cx, mln_buf_bytes(&out));
    re->content_type = "application/cbor";
    return mln_cx_err(cx);
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

/* From now on it gets nothing; what its processes have lives until it expires. */
static struct mln_err evict(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(find(rq, &row));
    MLN_TRY(forget_session(rq, row));
    mln_put(rq->cx, rq->detail, "node", mln_get(row, "id"));
    return sp_row_delete(rq, "node/", mln_get_bytes(mln_field_of(rq, "node")));
}

/* ---- paths ---- */

static const struct mln_field workload_fields[] = {
    {.name = "ask",
     .type = MLN_FIELD_TEXT,
     .help = "What a process asks: x509-svids, jwt-svid, ...",
     .is_required = true},
    {.name = "selectors",
     .type = MLN_FIELD_ANY,
     .help = "What the process shows, as the node found it."},
    {.name = "data", .type = MLN_FIELD_MAP, .help = "The members of its question."},
    {.name = "pid", .type = MLN_FIELD_INT, .help = "Its number on the node, for the record."},
    {.name = "uid", .type = MLN_FIELD_INT, .help = "Its user."},
    {.name = "gid", .type = MLN_FIELD_INT, .help = "Its group."},
    {0},
};
static const struct mln_field node_fields[] = {
    {.name = "node",
     .type = MLN_FIELD_TEXT,
     .help = "A name of the list: digest of the node's SPIFFE id.",
     .is_query = true},
    {0}};
static const struct mln_field no_fields[] = {{0}};

const struct mln_path sp_node_paths[] = {
    {.pattern = "nodes/workload",
     .summary = "Answer a process of a node.",
     .fields = workload_fields,
     .write = workload,
     .is_open = true},
    {.pattern = "nodes/revision",
     .summary = "Tell a node whether something changed.",
     .fields = no_fields,
     .read = revision,
     .is_open = true},
    {.pattern = "nodes/list/{node}",
     .summary = "Show or evict a node.",
     .fields = node_fields,
     .read = show,
     .remove = evict,
     .is_relief = true,
     .controls = "IA-3"},
    {.pattern = "nodes/list", .summary = "List nodes.", .fields = no_fields, .list = list},
    {0},
};
