/* SPDX-License-Identifier: Apache-2.0 */
/* A replica's entries and bundles: what nodes/sync tells is put in, piece by piece. */
#include "identity/spiffe_replica_priv.h"

#include "base/cbor.h"
#include "base/json.h"

#define FEDERATES_MAX 255u
#define ALLOWED_MAX   64u /* as many as a relationship may have */

/* ---- making and freeing ---- */

struct mln_replica *mln_replica_new(void)
{
    struct mln_replica *r = mln_alloc(sizeof(*r));
    struct sp_index *index = sp_index_new(sp_svid_free);
    if (r == NULL || index == NULL) {
        sp_index_free(index);
        mln_free(r);
        return NULL;
    }
    pthread_rwlock_init(&r->lock, NULL);
    r->index = index;
    return r;
}

void rp_tokens_forget(struct mln_replica *r)
{
    for (size_t i = 0; i < RP_TOKENS; i++) {
        mln_free_wiped(r->tokens[i].text, r->tokens[i].n);
        r->tokens[i] = (struct rp_token){0};
    }
}

static void forget_entries(struct mln_replica *r)
{
    while (sp_index_count(r->index) > 0) {
        sp_index_remove(r->index,
                        mln_bytes_of(sp_index_at(r->index, sp_index_count(r->index) - 1)->id));
    }
    r->revision[0] = '\0';
    r->is_sweeping = false;
}

static void forget_all(struct mln_replica *r)
{
    forget_entries(r);
    sp_foreign_free(r->bundles);
    r->bundles = NULL;
    r->good_n = 0;
    mln_buf_drop(&r->claims);
    rp_tokens_forget(r);
}

void mln_replica_clear(struct mln_replica *r)
{
    RP_WRITE(r);
    forget_all(r);
}

void mln_replica_free(struct mln_replica *r)
{
    if (r != NULL) {
        forget_all(r);
        sp_index_free(r->index);
        pthread_rwlock_destroy(&r->lock);
        mln_free(r);
    }
}

const char *mln_replica_revision(struct mln_cx *cx, struct mln_replica *r)
{
    RP_READ(r);
    return mln_text_dup(cx, mln_bytes_of(r->revision));
}

/* ---- entries ---- */

static struct mln_err unreadable(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_REMOTE, "the server's answer cannot be read: %s", what);
}

static bool texts_ok(const struct mln_value *list, size_t most)
{
    bool ok = mln_type_of(list) == MLN_ARRAY && mln_len(list) <= most;
    for (size_t i = 0; ok && i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        ok = one.len > 0 && one.len <= MLN_SPIFFE_ID_MAX;
    }
    return ok;
}

static struct mln_err put_entry(struct mln_cx *cx, struct mln_replica *r,
                                const struct mln_value *row)
{
    struct mln_spiffe_id id;
    struct mln_bytes name = mln_get_bytes(mln_get(row, "id"));
    bool ok = name.len > 0 && name.len <= 40 && mln_is_text(mln_get(row, "parent_id"), r->parent) &&
              texts_ok(mln_get(row, "selectors"), SP_SELECTORS_MAX) &&
              texts_ok(mln_get(row, "federates_with"), FEDERATES_MAX) &&
              !mln_failed(mln_spiffe_id_parse(cx, mln_get_bytes(mln_get(row, "spiffe_id")), &id));
    if (!ok) {
        return unreadable(cx, "an entry");
    }
    struct sp_entry *e = sp_index_get(r->index, name);
    bool is_same = e != NULL && e->revision == (uint64_t)mln_get_int(mln_get(row, "revision"), 0) &&
                   e->created_ns == mln_get_int(mln_get(row, "created_ns"), 0);
    if (!is_same) { /* its SVID goes with the entry before */
        MLN_TRY(sp_index_put(cx, r->index, row));
        e = sp_index_get(r->index, name);
    }
    e->changed = r->round;
    return MLN_OK;
}

/* A whole list came: what was not in it is gone. SVIDs of what is there still stay. */
static void sweep(struct mln_replica *r)
{
    for (size_t i = sp_index_count(r->index); i-- > 0;) {
        const struct sp_entry *e = sp_index_at(r->index, i);
        if (e->changed != r->round) {
            sp_index_remove(r->index, mln_bytes_of(e->id));
        }
    }
}

static struct mln_err put_entries(struct mln_cx *cx, struct mln_replica *r,
                                  const struct mln_value *data, bool has_more)
{
    const struct mln_value *gone = mln_get(data, "gone"), *entries = mln_get(data, "entries");
    if (mln_get_bool(mln_get(data, "whole"), false)) {
        r->round++;
        r->is_sweeping = true;
        mln_fill(r->matched, 0, sizeof(r->matched)); /* what they made may be gone */
    }
    for (size_t i = 0; i < mln_len(gone); i++) {
        sp_index_remove(r->index, mln_get_bytes(mln_item(gone, i)));
    }
    for (size_t i = 0; i < mln_len(entries); i++) {
        MLN_TRY(put_entry(cx, r, mln_item(entries, i)));
    }
    if (r->is_sweeping && !has_more) {
        sweep(r);
        r->is_sweeping = false;
    }
    return MLN_OK;
}

/* ---- bundles ---- */

static struct mln_err bundle_of(struct mln_cx *cx, const char *id, const struct mln_value *from,
                                struct sp_foreign **ret)
{
    const struct mln_value *set = NULL;
    struct mln_value *row = mln_object(cx), *x509 = mln_array(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.max = MLN_BODY_MAX_BYTES};
    if (mln_failed(mln_base64_parse(cx, mln_get_bytes(mln_get(from, "der")), MLN_B64_STD, &der)) ||
        der.has_failed ||
        mln_failed(mln_json_parse(cx, mln_get_bytes(mln_get(from, "jwks")), &set))) {
        return unreadable(cx, "a bundle");
    }
    mln_push(cx, x509, mln_blob(cx, mln_bytes_dup(cx, mln_buf_bytes(&der))));
    mln_put(cx, row, "x509", x509);
    mln_put(cx, row, "jwt", mln_get(set, "keys"));
    mln_put(cx, row, "allowed_ids", mln_get(from, "allowed_ids"));
    MLN_TRY(mln_cx_err(cx));
    *ret = sp_foreign_make(cx, id, row);
    return *ret != NULL ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "no memory for bundles");
}

static struct mln_err bundles_of(struct mln_cx *cx, const struct mln_value *keys,
                                 const char *own_id, struct sp_foreign **ret)
{
    const struct mln_value *foreign = mln_get(keys, "foreign");
    struct sp_foreign **last = ret;
    MLN_TRY(bundle_of(cx, own_id, keys, last));
    for (size_t i = 0; i < mln_len(foreign); i++) {
        if (!texts_ok(mln_get(mln_item(foreign, i), "allowed_ids"), ALLOWED_MAX)) {
            return unreadable(cx, "which ids of another trust domain count");
        }
        last = &(*last)->next;
        MLN_TRY(bundle_of(cx, mln_get_text(cx, mln_get(mln_item(foreign, i), "id"), ""),
                          mln_item(foreign, i), last));
    }
    return MLN_OK;
}

static bool kind_of(const struct mln_value *keys, enum mln_key_kind *kind, unsigned *bits)
{
    int64_t n = mln_get_int(mln_get(keys, "key_bits"), 0);
    bool is_ec = mln_is_text(mln_get(keys, "key_kind"), mln_key_kind_name(MLN_KEY_EC)),
         is_rsa = mln_is_text(mln_get(keys, "key_kind"), mln_key_kind_name(MLN_KEY_RSA));
    *kind = is_ec ? MLN_KEY_EC : MLN_KEY_RSA;
    *bits = (unsigned)n;
    return (is_ec && (n == 256 || n == 384)) || (is_rsa && n >= 2048 && n <= 4096);
}

static void put_good(struct mln_replica *r, const struct mln_value *ids)
{
    r->good_n = 0;
    for (size_t i = 0; i < mln_len(ids) && r->good_n < SP_AUTHORITIES_MAX; i++) {
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        if (id.len < sizeof(r->good[0])) {
            mln_fill(r->good[r->good_n], 0, sizeof(r->good[0]));
            mln_copy(r->good[r->good_n++], id.ptr, id.len);
        }
    }
}

static struct mln_err put_keys(struct mln_cx *cx, struct mln_replica *r,
                               const struct mln_value *keys)
{
    struct sp_foreign *made = NULL;
    struct mln_bytes domain = mln_get_bytes(mln_get(keys, "domain"));
    enum mln_key_kind kind;
    unsigned bits;
    if (!mln_spiffe_domain_ok(domain) || !kind_of(keys, &kind, &bits)) {
        return unreadable(cx, "its trust domain or kind of keys");
    }
    const char *own_id = mln_text_format(cx, "spiffe://%.*s", MLN_FMT(domain));
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = bundles_of(cx, keys, own_id, &made);
    if (mln_failed(err)) {
        sp_foreign_free(made);
        return err;
    }
    sp_foreign_free(r->bundles);
    r->bundles = made;
    mln_copy(r->own_id, own_id, mln_bytes_of(own_id).len + 1);
    r->key_kind = kind;
    r->key_bits = bits;
    r->has_templates = mln_get_bool(mln_get(keys, "templates"), false);
    mln_fill(r->matched, 0, sizeof(r->matched)); /* templates may be others */
    r->bundles_for_all = mln_get_bool(mln_get(keys, "bundles_for_all"), false);
    mln_buf_clear(&r->claims);
    mln_cbor_print(&r->claims, mln_get(keys, "claims"));
    put_good(r, mln_get(keys, "authorities"));
    rp_tokens_forget(r); /* keys that signed them may count no more */
    return mln_buf_ok(cx, &r->claims);
}

static struct mln_err put(struct mln_cx *cx, struct mln_replica *r, const struct mln_value *data,
                          bool has_more)
{
    struct mln_bytes revision = mln_get_bytes(mln_get(data, "revision")),
                     node = mln_get_bytes(mln_get(data, "node"));
    const struct mln_value *keys = mln_get(data, "keys");
    if (revision.len == 0 || revision.len >= sizeof(r->revision) || node.len == 0 ||
        node.len >= sizeof(r->parent)) {
        return unreadable(cx, "how far it is");
    }
    if (!mln_bytes_is(node, r->parent)) {
        forget_entries(r); /* another node than before */
        mln_copy(r->parent, node.ptr, node.len);
        r->parent[node.len] = '\0';
    }
    if (keys != NULL) {
        MLN_TRY(put_keys(cx, r, keys));
    }
    if (r->bundles == NULL) {
        return unreadable(cx, "no bundle");
    }
    MLN_TRY(put_entries(cx, r, data, has_more));
    mln_fill(r->revision, 0, sizeof(r->revision));
    mln_copy(r->revision, revision.ptr, revision.len);
    return MLN_OK;
}

struct mln_err mln_replica_put(struct mln_cx *cx, struct mln_replica *r,
                               const struct mln_value *data, bool *ret_more)
{
    bool has_more = mln_get_bool(mln_get(data, "more"), false);
    RP_WRITE(r);
    struct mln_err err = put(cx, r, data, has_more);
    if (mln_failed(err)) {
        r->revision[0] = '\0'; /* all of it again: what is known stays until then */
        return err;
    }
    *ret_more = has_more;
    return MLN_OK;
}

void mln_replica_count(struct mln_replica *r, int64_t now_s, size_t *ret_entries, size_t *ret_svids)
{
    size_t n = 0;
    RP_READ(r);
    for (size_t i = 0; i < sp_index_count(r->index); i++) {
        n += rp_svid_lives(r, sp_index_at(r->index, i)->svid, now_s) ? 1 : 0;
    }
    *ret_entries = sp_index_count(r->index);
    *ret_svids = n;
}
