/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What processes at the workload socket are answered: their SVIDs and bundles, JWT-SVIDs, validation. Who they are was attested
 * (rq->peer); which entries fit them decides what they get. A fault that passes is UNREACHABLE, never INVALID: clients give up on
 * the latter.
 */
#include "identity/spiffe_priv.h"

#define TRIES_MAX      4   /* entries and authorities may change while a new SVID is signed */
#define AUDIENCE_MAX   64u /* of one token */

/* An entry that fits, copied out of memory that is locked. */
struct mine {
    struct sp_holder_of of;
    struct mln_bytes chain, key; /* of its SVID; none when one is to be made */
    const struct mln_value *federates;
};

struct caller {
    struct mln_request *rq;
    struct sp_state *state;
    struct mine *mine;
    size_t n, missing;
    bool wants_svids;
    const struct mln_value *domains; /* ids of foreign trust domains of all its entries */
    char topic[SP_TOPIC_MAX];
};

static void copy_entry(struct caller *c, const struct sp_entry *e, struct mln_value *domains)
{
    struct mln_cx *cx = c->rq->cx;
    struct mine *m = &c->mine[c->n++];
    m->of = (struct sp_holder_of){.id = mln_text_dup(cx, mln_bytes_of(e->id)),
                                  .spiffe_id = mln_text_dup(cx, mln_bytes_of(e->spiffe->text)),
                                  .hint = e->hint == NULL ? NULL
                                                          : mln_text_dup(cx, mln_bytes_of(e->hint)),
                                  .revision = e->revision,
                                  .created_ns = e->created_ns,
                                  .ttl_s = e->jwt_ttl_s};
    for (size_t i = 0; i < e->n_federates; i++) {
        if (!sp_has(domains, mln_bytes_of(e->federates[i]->text))) {
            mln_push_text(cx, domains, mln_text_dup(cx, mln_bytes_of(e->federates[i]->text)));
        }
    }
    if (c->wants_svids && sp_svid_is_good(c->state, e->svid, c->rq->now_ns / SP_SECOND_NS)) {
        m->chain = mln_bytes_dup(cx, mln_bytes_at(e->svid->chain, e->svid->chain_n));
        m->key = mln_bytes_dup(cx, mln_secret_bytes(&e->svid->key));
    } else if (c->wants_svids) {
        c->missing++;
    }
}

static struct mln_err collect(struct caller *c)
{
    struct mln_cx *cx = c->rq->cx;
    struct mln_value *domains = mln_array(cx);
    struct sp_entry **found = mln_new_array(cx, SP_MATCH_MAX, sizeof(struct sp_entry *));
    MLN_TRY(sp_made_ready(c->rq, c->state, mln_bytes_of(c->state->server), c->rq->peer->selectors));
    SP_READ(c->state);
    if (found == NULL || !c->state->is_loaded) {
        return found == NULL
                   ? mln_cx_err(cx)
                   : mln_fail(cx, MLN_E_UNREACHABLE, "registration entries are being read");
    }
    size_t n = sp_made_match(c->state->index, mln_bytes_of(c->state->server), c->rq->peer->selectors,
                             c->rq->now_ns / SP_SECOND_NS, found);
    n = sp_index_heard(found, n);
    c->n = c->missing = 0;
    c->mine = mln_new_array(cx, n + 1, sizeof(*c->mine));
    for (size_t i = 0; c->mine != NULL && i < n; i++) {
        copy_entry(c, found[i], domains);
    }
    c->domains = domains;
    return mln_cx_err(cx);
}

/* The topic is remembered before entries are looked at: a change after that is told. */
static struct mln_err begin(struct caller *c)
{
    bool is_known;
    MLN_TRY(sp_state_get(c->rq, &c->state));
    {
        SP_READ(c->state);
        is_known =
            c->state->is_loaded && sp_topic_known(c->state, c->rq->peer->selectors, c->topic);
    }
    if (!is_known) {
        SP_WRITE(c->state);
        if (c->state->is_loaded) {
            sp_topic_remember(c->state, c->rq->peer->selectors);
        }
    }
    return collect(c);
}

/* PRECONDITION is an administrator's matter: for the workload it will pass. */
static struct mln_err begin_or_wait(struct caller *c)
{
    struct mln_err err = begin(c);
    if (!mln_is(err, MLN_E_PRECONDITION)) {
        return err;
    }
    const char *why = mln_text_dup(c->rq->cx, mln_bytes_of(c->rq->cx->text));
    return mln_refail(c->rq->cx, MLN_E_UNREACHABLE, "%s", why);
}

static struct mln_err none(struct caller *c)
{
    return mln_fail(c->rq->cx, MLN_E_DENIED, "no identity issued");
}

static void follow(const struct caller *c, struct mln_reply *re)
{
    re->topic = mln_text_dup(c->rq->cx, mln_bytes_of(c->topic));
}

/* ---- X.509-SVIDs ---- */

static struct mln_err renew(struct caller *c)
{
    MLN_TRY(begin_or_wait(c));
    for (int i = 0; c->missing > 0; i++) {
        if (i == TRIES_MAX) {
            return mln_fail(c->rq->cx, MLN_E_UNREACHABLE,
                            "entries change faster than SVIDs are signed");
        }
        for (size_t k = 0; k < c->n; k++) {
            if (c->mine[k].chain.len == 0) {
                MLN_TRY(sp_svid_renew(c->rq, c->state, c->mine[k].of.id));
            }
        }
        MLN_TRY(collect(c));
    }
    return c->n > 0 ? MLN_OK : none(c);
}

static struct mln_value *secret_blob(struct mln_cx *cx, struct mln_bytes bytes)
{
    struct mln_value *v = mln_blob(cx, bytes);
    v->flags |= MLN_VALUE_SECRET;
    return v;
}

static struct mln_value *own_bundle(struct caller *c)
{
    SP_READ(c->state);
    return mln_blob(c->rq->cx,
                    mln_bytes_dup(c->rq->cx, mln_bytes_at(c->state->bundle, c->state->bundle_n)));
}

/* Bundles of foreign domains that an entry federates with and that are here: DER or JWKS. */
static void put_foreign(struct caller *c, bool is_jwt, struct mln_value *to)
{
    struct mln_cx *cx = c->rq->cx;
    SP_READ(c->state);
    for (const struct sp_foreign *f = c->state->foreign; f != NULL; f = f->next) {
        if (sp_has(c->domains, mln_bytes_of(f->id))) {
            struct mln_bytes bytes =
                is_jwt ? mln_bytes_of(f->jwks) : mln_bytes_at(f->der, f->der_n);
            mln_put(cx, to, mln_text_dup(cx, mln_bytes_of(f->id)),
                    mln_blob(cx, mln_bytes_dup(cx, bytes)));
        }
    }
}

static struct mln_err read_x509(struct mln_request *rq, struct mln_reply *re)
{
    struct caller c = {.rq = rq, .wants_svids = true};
    struct mln_value *data = mln_object(rq->cx), *svids = mln_array(rq->cx),
                     *federated = mln_object(rq->cx);
    MLN_TRY(renew(&c));
    const struct mln_value *bundle = own_bundle(&c);
    for (size_t i = 0; i < c.n; i++) {
        struct mln_value *one = mln_object(rq->cx);
        mln_put_text(rq->cx, one, "spiffe_id", c.mine[i].of.spiffe_id);
        mln_put(rq->cx, one, "chain", mln_blob(rq->cx, c.mine[i].chain));
        mln_put(rq->cx, one, "key", secret_blob(rq->cx, c.mine[i].key));
        mln_put(rq->cx, one, "bundle", bundle);
        mln_put_text(rq->cx, one, "hint", c.mine[i].of.hint != NULL ? c.mine[i].of.hint : "");
        mln_push(rq->cx, svids, one);
    }
    put_foreign(&c, false, federated);
    mln_put(rq->cx, data, "svids", svids);
    mln_put(rq->cx, data, "crl", mln_array(rq->cx));
    mln_put(rq->cx, data, "federated", federated);
    re->data = data;
    follow(&c, re);
    return mln_cx_err(rq->cx);
}

/* ---- bundles ---- */

static struct mln_err begin_bundles(struct caller *c)
{
    struct sp_config config;
    MLN_TRY(begin_or_wait(c));
    MLN_TRY(sp_config_get(c->rq, &config));
    return c->n > 0 || config.bundles_for_all ? MLN_OK : none(c);
}

static const char *own_id(struct caller *c)
{
    SP_READ(c->state);
    return mln_text_dup(c->rq->cx, mln_bytes_of(c->state->id));
}

static struct mln_err read_bundles(struct mln_request *rq, struct mln_reply *re)
{
    struct caller c = {.rq = rq};
    struct mln_value *data = mln_object(rq->cx), *bundles = mln_object(rq->cx);
    MLN_TRY(begin_bundles(&c));
    mln_put(rq->cx, bundles, own_id(&c), own_bundle(&c));
    put_foreign(&c, false, bundles);
    mln_put(rq->cx, data, "crl", mln_array(rq->cx));
    mln_put(rq->cx, data, "bundles", bundles);
    re->data = data;
    follow(&c, re);
    return mln_cx_err(rq->cx);
}

static struct mln_value *own_jwks(struct caller *c)
{
    SP_READ(c->state);
    return mln_blob(c->rq->cx, mln_bytes_dup(c->rq->cx, mln_bytes_of(c->state->jwks)));
}

static struct mln_err read_jwt_bundles(struct mln_request *rq, struct mln_reply *re)
{
    struct caller c = {.rq = rq};
    struct mln_value *data = mln_object(rq->cx), *bundles = mln_object(rq->cx);
    MLN_TRY(begin_bundles(&c));
    mln_put(rq->cx, bundles, own_id(&c), own_jwks(&c));
    put_foreign(&c, true, bundles);
    mln_put(rq->cx, data, "bundles", bundles);
    re->data = data;
    follow(&c, re);
    return mln_cx_err(rq->cx);
}

/* SDS asks for all at once: what read_x509 answers, with all bundles by trust domain. */
static struct mln_err read_secrets(struct mln_request *rq, struct mln_reply *re)
{
    struct caller c = {.rq = rq};
    struct mln_value *bundles = mln_object(rq->cx);
    MLN_TRY(read_x509(rq, re));
    MLN_TRY(begin_or_wait(&c));
    struct mln_value *data = mln_value_dup(rq->cx, re->data);
    mln_put(rq->cx, bundles, own_id(&c), own_bundle(&c));
    put_foreign(&c, false, bundles);
    mln_put(rq->cx, data, "bundles", bundles);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- JWT-SVIDs ---- */

struct mln_err sp_audience_check(struct mln_cx *cx, const struct mln_value *audience)
{
    if (mln_len(audience) == 0 || mln_type_of(audience) != MLN_ARRAY) {
        return mln_fail(cx, MLN_E_INVALID, "audience must be given: who the token is for");
    }
    if (mln_len(audience) > AUDIENCE_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "a token has at most %u audiences", AUDIENCE_MAX);
    }
    for (size_t i = 0; i < mln_len(audience); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(audience, i));
        if (one.len == 0 || one.len > SP_AUDIENCE_BYTES || !mln_utf8_valid(one)) {
            return mln_fail(cx, MLN_E_INVALID, "an audience is a text of 1 to %u bytes",
                            SP_AUDIENCE_BYTES);
        }
    }
    return MLN_OK;
}

static struct mln_err wanted_of(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_spiffe_id id;
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "spiffe_id"));
    *ret = text;
    return text.len == 0 ? MLN_OK : mln_spiffe_id_parse(rq->cx, text, &id);
}

static struct mln_err push_token(struct caller *c, const struct mine *m,
                                 const struct mln_value *audience, struct mln_value *svids)
{
    struct mln_cx *cx = c->rq->cx;
    struct sp_token token;
    struct mln_value *one = mln_object(cx);
    MLN_TRY(sp_jwt_make(c->rq, c->state, &m->of, audience, &token));
    mln_put_text(cx, one, "spiffe_id", token.spiffe_id);
    mln_put(cx, one, "svid", mln_secret_string(cx, token.svid));
    mln_put_text(cx, one, "hint", token.hint != NULL ? token.hint : "");
    mln_push(cx, svids, one);
    return mln_cx_err(cx);
}

static struct mln_err write_jwt(struct mln_request *rq, struct mln_reply *re)
{
    struct caller c = {.rq = rq};
    const struct mln_value *audience = mln_field_of(rq, "audience");
    struct mln_bytes wanted;
    struct mln_value *data = mln_object(rq->cx), *svids = mln_array(rq->cx);
    MLN_TRY(sp_audience_check(rq->cx, audience));
    MLN_TRY(wanted_of(rq, &wanted));
    MLN_TRY(begin_or_wait(&c));
    for (size_t i = 0; i < c.n; i++) {
        if (wanted.len == 0 || mln_bytes_is(wanted, c.mine[i].of.spiffe_id)) {
            MLN_TRY(push_token(&c, &c.mine[i], audience, svids));
        }
    }
    if (mln_len(svids) == 0) {
        return none(&c);
    }
    mln_put(rq->cx, data, "svids", svids);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* INVALID as for any other token that does not count: a client takes DENIED as having no identity itself. */
static struct mln_err check_policy(struct caller *c, const char *id)
{
    struct mln_spiffe_id parsed;
    MLN_TRY(mln_spiffe_id_parse(c->rq->cx, mln_bytes_of(id), &parsed));
    struct mln_err err = sp_policy_check(c->rq, c->state, &parsed);
    if (!mln_is(err, MLN_E_DENIED)) {
        return err;
    }
    const char *why = mln_text_dup(c->rq->cx, mln_bytes_of(c->rq->cx->text));
    return mln_refail(c->rq->cx, MLN_E_INVALID, "this is no valid JWT-SVID: %s", why);
}

static struct mln_err write_validate(struct mln_request *rq, struct mln_reply *re)
{
    struct caller c = {.rq = rq};
    struct sp_asked asked = {.token = mln_get_bytes(mln_field_of(rq, "svid")),
                             .audience = mln_get_text(rq->cx, mln_field_of(rq, "audience"), "")};
    const char *id = NULL;
    const struct mln_value *claims = NULL;
    struct mln_value *data = mln_object(rq->cx);
    if (asked.audience[0] == '\0' || asked.token.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s must be given",
                        asked.token.len == 0 ? "svid" : "audience");
    }
    MLN_TRY(begin_or_wait(&c));
    asked.domains = c.domains;
    MLN_TRY(sp_jwt_validate(rq, c.state, &asked, &id, &claims));
    MLN_TRY(check_policy(&c, id));
    mln_put_text(rq->cx, data, "spiffe_id", id);
    mln_put(rq->cx, data, "claims", claims);
    mln_put_text(rq->cx, rq->detail, "validated", id);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field jwt_fields[] = {
    {.name = "audience", .type = MLN_FIELD_LIST, .help = "Who the token is for."},
    {.name = "spiffe_id",
     .type = MLN_FIELD_TEXT,
     .help = "Only this identity; absent: all of the caller's."},
    {0},
};
static const struct mln_field validate_fields[] = {
    {.name = "audience", .type = MLN_FIELD_TEXT, .help = "Who it must be for."},
    {.name = "svid", .type = MLN_FIELD_SECRET, .help = "The JWT-SVID."},
    {0},
};

const struct mln_path sp_workload_paths[] = {
    {.pattern = "workload/x509-svids",
     .summary = "The caller's X.509-SVIDs.",
     .read = read_x509,
     .needs_peer = true,
     .controls = "IA-3,IA-9"},
    {.pattern = "workload/x509-bundles",
     .summary = "Bundles for verifying X.509-SVIDs.",
     .read = read_bundles,
     .needs_peer = true},
    {.pattern = "workload/jwt-svid",
     .summary = "Sign a JWT-SVID for the caller.",
     .fields = jwt_fields,
     .write = write_jwt,
     .needs_peer = true,
     .controls = "IA-3,IA-9"},
    {.pattern = "workload/jwt-bundles",
     .summary = "Bundles for verifying JWT-SVIDs.",
     .read = read_jwt_bundles,
     .needs_peer = true},
    {.pattern = "workload/validate",
     .summary = "Validate a JWT-SVID.",
     .fields = validate_fields,
     .write = write_validate,
     .needs_peer = true},
    {.pattern = "workload/secrets",
     .summary = "SVIDs and all bundles of the caller, for Envoy.",
     .read = read_secrets,
     .needs_peer = true},
    {0},
};
