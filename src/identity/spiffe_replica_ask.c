/* SPDX-License-Identifier: Apache-2.0 */
/* What a replica answers processes: as spiffe_workload.c does at a server, of what is here. */
#include "identity/spiffe_replica_priv.h"

#include "base/cbor.h"
#include "base/text.h"

#define JUMP_S 60

struct caller {
    struct mln_cx *cx;
    struct mln_replica *r;
    const struct mln_replica_ask *ask;
    int64_t now_s;
    struct sp_entry **mine; /* under the lock */
    size_t n;
    struct mln_value *domains; /* foreign ones of all its entries */
};

/* Under the lock. */
static struct mln_err begin(struct caller *c)
{
    c->domains = mln_array(c->cx);
    c->mine = mln_new_array(c->cx, SP_MATCH_MAX, sizeof(struct sp_entry *));
    MLN_TRY(mln_cx_err(c->cx));
    if (c->r->bundles == NULL || (c->r->revision[0] == '\0' && sp_index_count(c->r->index) == 0)) {
        return mln_fail(c->cx, MLN_E_UNREACHABLE, "this node has not heard from its server yet");
    }
    size_t n = sp_made_match(c->r->index, mln_bytes_of(c->r->parent), c->ask->selectors, c->now_s,
                             c->mine);
    c->n = sp_index_heard(c->mine, n);
    for (size_t i = 0; i < c->n; i++) {
        for (size_t k = 0; k < c->mine[i]->n_federates; k++) {
            struct mln_bytes id = mln_bytes_of(c->mine[i]->federates[k]->text);
            if (!sp_has(c->domains, id)) {
                mln_push_text(c->cx, c->domains, mln_text_dup(c->cx, id));
            }
        }
    }
    return mln_cx_err(c->cx);
}

static struct mln_err none(const struct caller *c)
{
    return mln_fail(c->cx, MLN_E_DENIED, "no identity issued");
}

/* Of an id ours or federated with: DER or JWKS. */
static void put_bundles(const struct caller *c, bool with_own, bool is_jwt, struct mln_value *to)
{
    for (const struct sp_foreign *f = c->r->bundles; f != NULL; f = f->next) {
        bool is_own = f == c->r->bundles;
        if (is_own ? with_own : sp_has(c->domains, mln_bytes_of(f->id))) {
            struct mln_bytes bytes =
                is_jwt ? mln_bytes_of(f->jwks) : mln_bytes_at(f->der, f->der_n);
            mln_put(c->cx, to, mln_text_dup(c->cx, mln_bytes_of(f->id)),
                    mln_blob(c->cx, mln_bytes_dup(c->cx, bytes)));
        }
    }
}

/* ---- X.509 ---- */

static void push_svid(const struct caller *c, const struct sp_entry *e,
                      const struct mln_value *bundle, struct mln_value *svids)
{
    struct mln_cx *cx = c->cx;
    struct mln_value *one = mln_object(cx),
                     *key = mln_blob(cx, mln_bytes_dup(cx, mln_secret_bytes(&e->svid->key)));
    if (key != NULL) {
        key->flags |= MLN_VALUE_SECRET;
    }
    mln_put_text(cx, one, "spiffe_id", mln_text_dup(cx, mln_bytes_of(e->spiffe->text)));
    mln_put(cx, one, "chain",
            mln_blob(cx, mln_bytes_dup(cx, mln_bytes_at(e->svid->chain, e->svid->chain_n))));
    mln_put(cx, one, "key", key);
    mln_put(cx, one, "bundle", bundle);
    mln_put_text(cx, one, "hint", e->hint != NULL ? mln_text_dup(cx, mln_bytes_of(e->hint)) : "");
    mln_push(cx, svids, one);
}

static struct mln_err x509(struct caller *c, struct mln_replica_reply *ret)
{
    struct mln_cx *cx = c->cx;
    struct mln_value *data = mln_object(cx), *svids = mln_array(cx), *federated = mln_object(cx),
                     *missing = mln_array(cx);
    const struct sp_foreign *own = c->r->bundles;
    const struct mln_value *bundle =
        mln_blob(cx, mln_bytes_dup(cx, mln_bytes_at(own->der, own->der_n)));
    if (c->n == 0) {
        return none(c);
    }
    for (size_t i = 0; i < c->n; i++) {
        const struct sp_svid *svid = c->mine[i]->svid;
        if (c->ask->is_cut_off ? rp_svid_lives(c->r, svid, c->now_s)
                               : rp_svid_is_good(c->r, svid, c->now_s)) {
            push_svid(c, c->mine[i], bundle, svids);
        } else {
            mln_push_text(cx, missing, mln_text_dup(cx, mln_bytes_of(c->mine[i]->id)));
        }
    }
    if (mln_len(missing) > 0 && !c->ask->is_cut_off) {
        ret->ids = missing;
        return mln_cx_err(cx);
    }
    if (mln_len(svids) == 0) {
        return mln_fail(cx, MLN_E_UNREACHABLE,
                        "the server cannot be asked, and no SVID is here that lives");
    }
    put_bundles(c, false, false, federated);
    mln_put(cx, data, "svids", svids);
    mln_put(cx, data, "crl", mln_array(cx));
    mln_put(cx, data, "federated", federated);
    if (mln_bytes_is(c->ask->question, "secrets")) {
        struct mln_value *bundles = mln_object(cx);
        put_bundles(c, true, false, bundles);
        mln_put(cx, data, "bundles", bundles);
    }
    ret->data = data;
    return mln_cx_err(cx);
}

static struct mln_err bundles(struct caller *c, struct mln_replica_reply *ret)
{
    struct mln_value *data = mln_object(c->cx), *all = mln_object(c->cx);
    bool is_jwt = mln_bytes_is(c->ask->question, "jwt-bundles");
    if (c->n == 0 && !c->r->bundles_for_all) {
        return none(c);
    }
    put_bundles(c, true, is_jwt, all);
    if (!is_jwt) {
        mln_put(c->cx, data, "crl", mln_array(c->cx));
    }
    mln_put(c->cx, data, "bundles", all);
    ret->data = data;
    return mln_cx_err(c->cx);
}

/* ---- JWT ---- */

static void key_of(const struct sp_entry *e, const struct mln_value *audience, uint8_t ret[32])
{
    struct sp_holder_of of = {.id = e->id,
                              .spiffe_id = e->spiffe->text,
                              .revision = e->revision,
                              .created_ns = e->created_ns,
                              .ttl_s = e->jwt_ttl_s};
    sp_jwt_key(&of, audience, ret);
}

/* What the question brought itself counts before what is kept: two tokens may want the same place. */
static struct mln_bytes token_of(const struct caller *c, const struct sp_entry *e,
                                 const struct mln_value *audience)
{
    uint8_t key[32];
    key_of(e, audience, key);
    const struct mln_value *brought =
        mln_get(c->ask->tokens, mln_hex_text(c->cx, mln_bytes_at(key, sizeof(key))));
    if (brought != NULL) {
        return mln_get_bytes(brought);
    }
    const struct rp_token *slot = &c->r->tokens[mln_get_u32le(key) % RP_TOKENS];
    bool is_it = slot->text != NULL && mln_same(slot->key, key, sizeof(key)) &&
                 c->now_s >= slot->made_s - JUMP_S;
    return is_it && c->now_s < (c->ask->is_cut_off ? slot->expires_s : slot->turn_s)
               ? mln_bytes_dup(c->cx, mln_bytes_at((const uint8_t *)slot->text, slot->n))
               : MLN_BYTES_NONE;
}

static void want_token(const struct caller *c, const struct sp_entry *e,
                       const struct mln_value *audience, struct mln_replica_reply *ret)
{
    struct mln_cx *cx = c->cx;
    struct mln_value *body = mln_object(cx);
    ret->entry = mln_text_dup(cx, mln_bytes_of(e->id));
    mln_put_text(cx, body, "entry", ret->entry);
    mln_put_text(cx, body, "spiffe_id", mln_text_dup(cx, mln_bytes_of(e->spiffe->text)));
    mln_put_int(cx, body, "revision", (int64_t)e->revision);
    mln_put(cx, body, "audience", audience);
    ret->body = body;
}

static struct mln_err jwt(struct caller *c, struct mln_replica_reply *ret)
{
    struct mln_cx *cx = c->cx;
    struct mln_spiffe_id id;
    const struct mln_value *audience = mln_get(c->ask->data, "audience");
    struct mln_bytes wanted = mln_get_bytes(mln_get(c->ask->data, "spiffe_id"));
    struct mln_value *data = mln_object(cx), *svids = mln_array(cx);
    size_t n = 0;
    MLN_TRY(sp_audience_check(cx, audience));
    if (wanted.len > 0) {
        MLN_TRY(mln_spiffe_id_parse(cx, wanted, &id));
    }
    for (size_t i = 0; i < c->n; i++) {
        const struct sp_entry *e = c->mine[i];
        if (wanted.len > 0 && !mln_bytes_is(wanted, e->spiffe->text)) {
            continue;
        }
        n++;
        struct mln_bytes token = token_of(c, e, audience);
        if (token.len == 0 && !c->ask->is_cut_off) {
            want_token(c, e, audience, ret);
            return mln_cx_err(cx);
        }
        if (token.len > 0) {
            struct mln_value *one = mln_object(cx);
            mln_put_text(cx, one, "spiffe_id", mln_text_dup(cx, mln_bytes_of(e->spiffe->text)));
            mln_put(cx, one, "svid", mln_secret_string(cx, token));
            mln_put_text(cx, one, "hint",
                         e->hint != NULL ? mln_text_dup(cx, mln_bytes_of(e->hint)) : "");
            mln_push(cx, svids, one);
        }
    }
    if (mln_len(svids) == 0) {
        return n == 0 ? none(c)
                      : mln_fail(cx, MLN_E_UNREACHABLE,
                                 "the server cannot be asked for a token of this audience");
    }
    mln_put(cx, data, "svids", svids);
    ret->data = data;
    return mln_cx_err(cx);
}

static struct mln_err verify(void *arg, struct mln_cx *cx, const struct mln_jose_token *token,
                             const char *domain)
{
    const struct caller *c = arg;
    const struct mln_jose_public *key = NULL;
    MLN_TRY(sp_foreign_key(cx, c->r->bundles, token, domain, &key));
    return sp_jwt_signature(cx, key, token);
}

/* What the relationship with its trust domain says, as at a server. */
static struct mln_err check_allowed(const struct caller *c, const char *text)
{
    struct mln_cx *cx = c->cx;
    struct mln_spiffe_id id;
    const struct mln_value *patterns = NULL;
    MLN_TRY(mln_spiffe_id_parse(cx, mln_bytes_of(text), &id));
    struct mln_bytes domain = mln_bytes_format(cx, "spiffe://%.*s", MLN_FMT(id.domain));
    for (const struct sp_foreign *f = c->r->bundles->next; f != NULL; f = f->next) {
        if (mln_bytes_is(domain, f->id)) {
            MLN_TRY(mln_cbor_parse(cx, mln_buf_bytes(&f->allowed), &patterns));
            return sp_patterns_take(patterns, id.text)
                       ? MLN_OK
                       : sp_jwt_invalid(cx, "the relationship with its trust domain does not "
                                            "take this identity");
        }
    }
    return mln_cx_err(cx);
}

static struct mln_err validate(struct caller *c, struct mln_replica_reply *ret)
{
    struct mln_cx *cx = c->cx;
    const struct mln_value *claims = NULL, *shown = NULL;
    const char *id = NULL;
    struct mln_value *data = mln_object(cx);
    struct sp_asked asked = {.token = mln_get_bytes(mln_get(c->ask->data, "svid")),
                             .audience = mln_get_text(cx, mln_get(c->ask->data, "audience"), ""),
                             .domains = c->domains};
    if (asked.audience[0] == '\0' || asked.token.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "%s must be given",
                        asked.token.len == 0 ? "svid" : "audience");
    }
    MLN_TRY(mln_cbor_parse(cx, mln_buf_bytes(&c->r->claims), &claims));
    struct sp_checker by = {.now_ns = c->ask->now_ns,
                            .own_id = c->r->own_id,
                            .claims = claims,
                            .verify = verify,
                            .arg = c};
    MLN_TRY(sp_jwt_check(cx, &by, &asked, &id, &shown));
    MLN_TRY(check_allowed(c, id));
    mln_put_text(cx, data, "spiffe_id", id);
    mln_put(cx, data, "claims", mln_value_dup(cx, shown));
    ret->data = data;
    return mln_cx_err(cx);
}

/* ---- templates ---- */

static void digest_of(const struct mln_value *selectors, uint8_t ret[32])
{
    MLN_AUTO(mln_buf_drop) struct mln_buf all = {0};
    mln_cbor_print(&all, selectors);
    mln_sha256(mln_buf_bytes(&all), ret);
}

/* A pod that the server's templates were not asked about yet. */
static bool wants_match(const struct caller *c)
{
    uint8_t digest[32];
    if (!c->r->has_templates || c->ask->is_cut_off || !sp_is_pod(c->ask->selectors)) {
        return false;
    }
    digest_of(c->ask->selectors, digest);
    return !mln_same(c->r->matched[mln_get_u32le(digest) % RP_MATCHED], digest, sizeof(digest));
}

void mln_replica_matched(struct mln_replica *r, const struct mln_value *selectors)
{
    uint8_t digest[32];
    digest_of(selectors, digest);
    RP_WRITE(r);
    mln_copy(r->matched[mln_get_u32le(digest) % RP_MATCHED], digest, sizeof(digest));
}

/* ---- all ---- */

static const struct {
    const char *name;
    struct mln_err (*answer)(struct caller *c, struct mln_replica_reply *ret);
} questions[] = {{"x509-svids", x509},     {"secrets", x509}, {"x509-bundles", bundles},
                 {"jwt-bundles", bundles}, {"jwt-svid", jwt}, {"validate", validate}};

struct mln_err mln_replica_answer(struct mln_cx *cx, struct mln_replica *r,
                                  const struct mln_replica_ask *ask, struct mln_replica_reply *ret)
{
    struct caller c = {.cx = cx, .r = r, .ask = ask, .now_s = ask->now_ns / SP_SECOND_NS};
    *ret = (struct mln_replica_reply){0};
    for (size_t i = 0; i < MLN_COUNT(questions); i++) {
        if (mln_bytes_is(ask->question, questions[i].name)) {
            RP_READ(r);
            MLN_TRY(begin(&c));
            if (wants_match(&c)) {
                ret->needs_match = true;
                return MLN_OK;
            }
            return questions[i].answer(&c, ret);
        }
    }
    return mln_fail(cx, MLN_E_NO_ROUTE, "no such question of a process");
}

/* Is it of the entry as it is here? Who may have it was looked up there. */
static struct mln_err check_token(struct mln_cx *cx, const struct sp_entry *e,
                                  struct mln_bytes text, const struct mln_value *data)
{
    struct mln_jose_token parsed;
    if (mln_failed(mln_jose_parse(cx, text, &parsed))) {
        return mln_refail(cx, MLN_E_REMOTE, "the server's token cannot be read");
    }
    bool is_it = e != NULL &&
                 mln_get_int(mln_get(data, "revision"), -1) == (int64_t)e->revision &&
                 mln_is_text(mln_get(parsed.claims, "sub"), e->spiffe->text);
    return is_it ? MLN_OK
                 : mln_fail(cx, MLN_E_NOT_FOUND,
                            "the server's token is of another entry than is known here");
}

struct mln_err mln_replica_token(struct mln_cx *cx, struct mln_replica *r,
                                 const struct mln_replica_ask *ask,
                                 const struct mln_replica_reply *lacks,
                                 const struct mln_value *data)
{
    struct mln_bytes text = mln_get_bytes(mln_get(data, "svid"));
    int64_t expires_s = mln_get_int(mln_get(data, "expires"), 0),
            now_s = ask->now_ns / SP_SECOND_NS;
    struct rp_token made = {.n = text.len,
                            .made_s = now_s,
                            .expires_s = expires_s,
                            .turn_s = now_s + (expires_s - now_s) / 2};
    if (text.len == 0 || expires_s <= now_s) {
        return mln_fail(cx, MLN_E_REMOTE,
                        "the server's token cannot be read, or has expired already");
    }
    RP_WRITE(r);
    const struct sp_entry *e = sp_index_get(r->index, mln_bytes_of(lacks->entry));
    MLN_TRY(check_token(cx, e, text, data));
    made.text = mln_alloc(text.len);
    if (made.text == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for a token");
    }
    mln_copy(made.text, text.ptr, text.len);
    key_of(e, mln_get(ask->data, "audience"), made.key);
    if (ask->tokens != NULL) {
        mln_put(cx, ask->tokens, mln_hex_text(cx, mln_bytes_at(made.key, sizeof(made.key))),
                mln_get(data, "svid"));
    }
    struct rp_token *slot = &r->tokens[mln_get_u32le(made.key) % RP_TOKENS];
    mln_free_wiped(slot->text, slot->n);
    *slot = made;
    return MLN_OK;
}
