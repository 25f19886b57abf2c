/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a node's processes: made here, certified by the server, renewed at half of their certificates' lives. */
#include "identity/spiffe_bundle.h"
#include "identity/spiffe_replica_priv.h"

#define JUMP_S 60 /* what was made later than so from now is of a clock that was set back since */

struct waiting {
    char id[41];
    uint64_t revision;
    int64_t created_ns;
    const char *spiffe_id;
    struct mln_key key;
};
struct mln_replica_batch {
    size_t n;
    struct waiting all[MLN_REPLICA_BATCH];
};

/* ---- which are good ---- */

static bool is_good(const struct mln_replica *r, const char *authority)
{
    bool is_there = false;
    for (size_t i = 0; !is_there && i < r->good_n; i++) {
        is_there = mln_bytes_is(mln_bytes_of(authority), r->good[i]);
    }
    return is_there;
}

bool mln_replica_trusts(struct mln_replica *r, const char *authority)
{
    RP_READ(r);
    return r->good_n == 0 || is_good(r, authority);
}

bool rp_svid_lives(const struct mln_replica *r, const struct sp_svid *svid, int64_t now_s)
{
    return svid != NULL && now_s < svid->not_after_s && now_s >= svid->made_s - JUMP_S &&
           is_good(r, svid->authority);
}

bool rp_svid_is_good(const struct mln_replica *r, const struct sp_svid *svid, int64_t now_s)
{
    return rp_svid_lives(r, svid, now_s) && now_s < svid->turn_s;
}

/* ---- which are due ---- */

static bool is_over(const struct sp_entry *e, int64_t now_s)
{
    return e->expires_s != 0 && e->expires_s <= now_s;
}

static void take(struct mln_cx *cx, struct mln_replica_batch *batch, const struct sp_entry *e)
{
    struct waiting *w = &batch->all[batch->n++];
    mln_copy(w->id, e->id, sizeof(w->id));
    w->revision = e->revision;
    w->created_ns = e->created_ns;
    w->spiffe_id = mln_text_dup(cx, mln_bytes_of(e->spiffe->text));
}

/* Those that have none are made up to a number; those that have one are renewed. */
static void take_due(struct mln_cx *cx, const struct mln_replica *r, int64_t now_s,
                     struct mln_replica_batch *batch)
{
    size_t n = sp_index_count(r->index), ahead = 0;
    for (size_t i = 0; i < n; i++) {
        ahead += sp_index_at(r->index, i)->svid != NULL ? 1 : 0;
    }
    for (size_t i = 0; i < n && batch->n < MLN_REPLICA_BATCH; i++) {
        const struct sp_entry *e = sp_index_at(r->index, i);
        bool is_wanted = e->svid != NULL || ahead + batch->n < MLN_REPLICA_AHEAD;
        if (is_wanted && !is_over(e, now_s) && !rp_svid_is_good(r, e->svid, now_s)) {
            take(cx, batch, e);
        }
    }
}

static void take_named(struct mln_cx *cx, const struct mln_replica *r, const struct mln_value *ids,
                       int64_t now_s, struct mln_replica_batch *batch)
{
    for (size_t i = 0; i < mln_len(ids) && batch->n < MLN_REPLICA_BATCH; i++) {
        const struct sp_entry *e = sp_index_get(r->index, mln_get_bytes(mln_item(ids, i)));
        if (e != NULL && !is_over(e, now_s) && !rp_svid_is_good(r, e->svid, now_s)) {
            take(cx, batch, e);
        }
    }
}

/* A request that says nothing but the key, signed by it. */
struct mln_err mln_replica_csr(struct mln_cx *cx, const struct mln_key *key, const char **ret)
{
    struct mln_x509_signer signer = {.pkcs8 = key->pkcs8};
    struct mln_x509_name name = {0};
    struct mln_cert_spec spec = {.spki = key->spki};
    struct mln_bytes der;
    MLN_TRY(mln_sig_pick(cx, key->kind, key->bits, 0, false, &signer.sig));
    MLN_TRY(mln_x509_name_print(cx, &name, &spec.subject));
    MLN_TRY(mln_csr_build(cx, &spec, &signer, &der));
    *ret = mln_base64_text(cx, der, MLN_B64_STD);
    return mln_cx_err(cx);
}

static struct mln_err make_keys(struct mln_cx *cx, enum mln_key_kind kind, unsigned bits,
                                struct mln_replica_batch *batch, const struct mln_value **ret_body)
{
    struct mln_value *body = mln_object(cx), *requests = mln_array(cx);
    for (size_t i = 0; i < batch->n; i++) {
        struct waiting *w = &batch->all[i];
        struct mln_value *one = mln_object(cx);
        const char *csr = NULL;
        MLN_TRY(mln_key_generate(cx, kind, bits, &w->key));
        MLN_TRY(mln_replica_csr(cx, &w->key, &csr));
        mln_put_text(cx, one, "entry", w->id);
        mln_put_text(cx, one, "csr", csr);
        mln_push(cx, requests, one);
    }
    mln_put(cx, body, "requests", requests);
    *ret_body = body;
    return mln_cx_err(cx);
}

struct mln_err mln_replica_due(struct mln_cx *cx, struct mln_replica *r,
                               const struct mln_value *ids, int64_t now_s,
                               struct mln_replica_batch **ret, const struct mln_value **ret_body)
{
    struct mln_replica_batch *batch = MLN_NEW(cx, struct mln_replica_batch);
    enum mln_key_kind kind;
    unsigned bits;
    MLN_TRY(mln_cx_err(cx));
    {
        RP_READ(r);
        kind = r->key_kind;
        bits = r->key_bits;
        if (ids != NULL) {
            take_named(cx, r, ids, now_s, batch);
        } else if (r->revision[0] != '\0') {
            take_due(cx, r, now_s, batch);
        }
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = NULL;
    if (batch->n == 0) {
        return MLN_OK;
    }
    MLN_TRY(make_keys(cx, kind, bits, batch, ret_body)); /* without the lock: RSA takes its time */
    *ret = batch;
    return MLN_OK;
}

/* ---- what was certified ---- */

static const struct waiting *find(const struct mln_replica_batch *batch, struct mln_bytes id)
{
    for (size_t i = 0; i < batch->n; i++) {
        if (mln_bytes_is(id, batch->all[i].id)) {
            return &batch->all[i];
        }
    }
    return NULL;
}

static struct mln_err new_svid(struct mln_cx *cx, const struct waiting *w, struct mln_bytes chain,
                               struct sp_svid **ret)
{
    struct sp_svid *svid = mln_alloc(sizeof(*svid));
    uint8_t *own = mln_alloc(chain.len);
    struct mln_err err = svid == NULL || own == NULL
                             ? mln_fail(cx, MLN_E_MEMORY, "no memory for an SVID")
                             : mln_secret_from(cx, w->key.pkcs8, &svid->key);
    if (mln_failed(err)) {
        mln_free(svid);
        mln_free(own);
        return err;
    }
    mln_copy(own, chain.ptr, chain.len);
    svid->chain = own;
    svid->chain_n = chain.len;
    mln_copy(svid->entry, w->id, sizeof(svid->entry));
    *ret = svid;
    return MLN_OK;
}

/* The server is trusted to say who a process is, not to be without faults. */
static struct mln_err check_leaf(struct mln_cx *cx, const struct waiting *w, struct mln_bytes chain,
                                 int64_t *ret_not_after_s)
{
    struct mln_x509_info leaf;
    size_t n = sp_der_length(chain);
    bool ok = n > 0 && n <= chain.len &&
              !mln_failed(mln_x509_cert_read(cx, mln_bytes_sub(chain, 0, n), &leaf)) &&
              mln_bytes_eq(leaf.spki, w->key.spki);
    bool is_named = false;
    for (size_t i = 0; ok && i < leaf.sans_n; i++) {
        is_named = is_named || (leaf.sans[i].kind == MLN_SAN_URI &&
                                mln_bytes_is(leaf.sans[i].value, w->spiffe_id));
    }
    if (!is_named) {
        return mln_refail(cx, MLN_E_REMOTE,
                          "the server certified another key or id than it was asked for");
    }
    *ret_not_after_s = leaf.not_after_s;
    return MLN_OK;
}

static struct mln_err certified(struct mln_cx *cx, struct mln_replica *r, const struct waiting *w,
                                const struct mln_value *one, int64_t now_s, size_t *n)
{
    struct sp_svid *svid = NULL;
    int64_t not_after_s = 0;
    struct mln_bytes authority = mln_get_bytes(mln_get(one, "authority"));
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = 1u << 20};
    if (mln_failed(mln_base64_parse(cx, mln_get_bytes(mln_get(one, "chain")), MLN_B64_STD, &der)) ||
        der.has_failed || authority.len == 0 || authority.len >= sizeof(svid->authority)) {
        return mln_refail(cx, MLN_E_REMOTE, "the server's certificate cannot be read");
    }
    struct mln_bytes chain = mln_bytes_dup(cx, mln_buf_bytes(&der));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(check_leaf(cx, w, chain, &not_after_s));
    MLN_TRY(new_svid(cx, w, chain, &svid));
    svid->made_s = now_s;
    svid->not_after_s = not_after_s;
    svid->turn_s = sp_turn_of(now_s, not_after_s);
    mln_copy(svid->authority, authority.ptr, authority.len);
    RP_WRITE(r);
    struct sp_entry *e = sp_index_get(r->index, mln_bytes_of(w->id));
    if (e == NULL || e->revision != w->revision || e->created_ns != w->created_ns) {
        sp_svid_free(svid); /* for what is not there any more */
        return MLN_OK;
    }
    sp_svid_free(e->svid);
    e->svid = svid;
    ++*n;
    return MLN_OK;
}

struct mln_err mln_replica_certified(struct mln_cx *cx, struct mln_replica *r,
                                     const struct mln_replica_batch *batch,
                                     const struct mln_value *data, int64_t now_s, size_t *ret_n)
{
    const struct mln_value *svids = mln_get(data, "svids");
    size_t n = 0;
    for (size_t i = 0; i < mln_len(svids); i++) {
        const struct mln_value *one = mln_item(svids, i);
        const struct waiting *w = find(batch, mln_get_bytes(mln_get(one, "entry")));
        if (w != NULL && mln_get(one, "error") == NULL) {
            MLN_TRY(certified(cx, r, w, one, now_s, &n));
        }
    }
    *ret_n = n;
    return MLN_OK;
}

int64_t mln_replica_next_s(struct mln_replica *r, int64_t now_s, int64_t most)
{
    RP_READ(r);
    for (size_t i = 0; i < sp_index_count(r->index); i++) {
        const struct sp_entry *e = sp_index_at(r->index, i);
        int64_t left = e->svid == NULL || is_over(e, now_s) ? most : e->svid->turn_s - now_s;
        most = left < most ? left : most;
    }
    return most < 0 ? 0 : most;
}
