/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authorities: keys that sign SVIDs, and their rotation. Rows "authority/<kind>/<id>": {"id","state","created_at","not_before",
 * "not_after","sig","key","cert","chain","roots","jwk"}; key is wiped when it is revoked.
 *
 *   prepared  in the bundle, does not sign yet       -> active
 *   active    signs; one of each kind                -> old
 *   old       in the bundle until its last SVID died -> tainted
 *   tainted   still in the bundle, but what it signed is replaced at once -> revoked
 *   revoked   not in the bundle any more
 *
 * A new one is prepared at half of the active one's life and takes over at three quarters of it, so that everybody who asks for the
 * bundle now and then knows it before it signs.
 */
#include "identity/spiffe_priv.h"

#include "base/json.h"
#include "identity/identity_priv.h"

const char *const sp_state_names[SP_STATES] = {"prepared", "active", "old", "tainted", "revoked"};

#define JUMP_S 60 /* an authority that begins later than so is of a clock that was set back since */

enum sp_authority_state sp_state_of(const struct mln_value *row)
{
    for (unsigned i = 0; i < SP_STATES; i++) {
        if (mln_is_text(mln_get(row, "state"), sp_state_names[i])) {
            return (enum sp_authority_state)i;
        }
    }
    return SP_REVOKED;
}

static int64_t time_of(const struct mln_value *row, const char *name)
{
    return mln_get_int(mln_get(row, name), 0);
}

/* ---- rows ---- */

static int by_age(const struct mln_value *a, const struct mln_value *b)
{
    int64_t x = time_of(a, "created_ns"), y = time_of(b, "created_ns");
    return x != y ? (x < y ? -1 : 1) : mln_value_cmp(mln_get(a, "id"), mln_get(b, "id"));
}

/* Oldest first: there are few. */
struct mln_err sp_authority_rows(struct mln_request *rq, const char *folder, struct mln_value **ret)
{
    const struct mln_value *names = NULL, *rows[SP_AUTHORITIES_MAX];
    size_t n = 0;
    MLN_TRY(sp_row_names(rq, folder, &names));
    for (size_t i = 0; i < mln_len(names) && n < SP_AUTHORITIES_MAX; i++) {
        size_t at = n;
        const struct mln_value *row = NULL;
        MLN_TRY(sp_row_get(rq, folder, mln_get_bytes(mln_item(names, i)), &row));
        for (; at > 0 && by_age(row, rows[at - 1]) < 0; at--) {
            rows[at] = rows[at - 1];
        }
        rows[at] = row;
        n++;
    }
    *ret = mln_array(rq->cx);
    for (size_t i = 0; i < n; i++) {
        mln_push(rq->cx, *ret, rows[i]);
    }
    return mln_cx_err(rq->cx);
}

struct mln_err sp_bundle_bump(struct mln_request *rq)
{
    const struct mln_value *row = NULL;
    struct mln_value *next = mln_object(rq->cx);
    struct mln_err err = sp_row_get(rq, "bundle", MLN_BYTES_NONE, &row);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    mln_put_int(rq->cx, next, "sequence", mln_get_int(mln_get(row, "sequence"), 0) + 1);
    return sp_row_put(rq, "bundle", MLN_BYTES_NONE, next);
}

struct mln_err sp_authority_set(struct mln_request *rq, const char *folder,
                                const struct mln_value *row, enum sp_authority_state to)
{
    struct mln_value *next = mln_value_dup(rq->cx, row), *note = mln_object(rq->cx);
    struct mln_value *all = mln_get(rq->detail, "authorities") != NULL
                                ? mln_value_dup(rq->cx, mln_get(rq->detail, "authorities"))
                                : mln_array(rq->cx);
    mln_put_text(rq->cx, next, "state", sp_state_names[to]);
    if (to == SP_REVOKED) {
        mln_put_null(rq->cx, next, "key");
    }
    if (to == SP_ACTIVE) {
        mln_put_int(rq->cx, next, "activated_at", rq->now_ns / SP_SECOND_NS);
    }
    mln_put(rq->cx, note, "id", mln_get(row, "id"));
    mln_put_text(rq->cx, note, "state", sp_state_names[to]);
    mln_put_text(rq->cx, note, "kind",
                 mln_bytes_is(mln_bytes_of(folder), SP_X509) ? "x509" : "jwt");
    mln_push(rq->cx, all, note);
    mln_put(rq->cx, rq->detail, "authorities", all);
    return sp_row_put(rq, folder, mln_get_bytes(mln_get(row, "id")), next);
}

/* ---- rotation ---- */

struct turn {
    struct mln_request *rq;
    const char *folder;
    const struct sp_config *config;
    const char *domain;
    const struct mln_value *rows, *active, *prepared;
    int64_t now_s;
    bool changed;
};

static bool is_usable(const struct mln_value *row, int64_t now_s)
{
    return row != NULL && time_of(row, "not_after") > now_s &&
           time_of(row, "not_before") <= now_s + JUMP_S;
}

static bool is_past(const struct mln_value *row, int64_t quarters, int64_t now_s)
{
    int64_t from = time_of(row, "not_before"), life = time_of(row, "not_after") - from;
    return now_s >= from + life / 4 * quarters;
}

static struct mln_err sweep(struct turn *t)
{
    for (size_t i = 0; i < mln_len(t->rows); i++) {
        const struct mln_value *row = mln_item(t->rows, i);
        enum sp_authority_state state = sp_state_of(row);
        bool is_dead = time_of(row, "not_after") <= t->now_s;
        if (state == SP_ACTIVE) {
            t->active = row;
        } else if (state == SP_PREPARED && is_usable(row, t->now_s)) {
            t->prepared = row;
        } else if (is_dead || state == SP_PREPARED) {
            MLN_TRY(sp_row_delete(t->rq, t->folder, mln_get_bytes(mln_get(row, "id"))));
            t->changed = true;
        }
    }
    return MLN_OK;
}

struct mln_err sp_authority_prepare(struct mln_request *rq, const char *folder,
                                    const struct sp_config *config, const char *domain,
                                    struct mln_value **ret)
{
    bool is_x509 = mln_bytes_is(mln_bytes_of(folder), SP_X509);
    MLN_TRY(is_x509 ? sp_x509_make(rq, config, domain, ret) : sp_jwt_key_make(rq, config, ret));
    if (is_x509) {
        MLN_TRY(sp_upstream_fine(rq));
    }
    return sp_authority_set(rq, folder, *ret, SP_PREPARED);
}

/* An upstream that does not sign holds up nothing else: what is held signs on. */
static struct mln_err prepare(struct turn *t)
{
    struct mln_value *row = NULL;
    bool is_upstream = mln_bytes_is(mln_bytes_of(t->folder), SP_X509) && t->config->upstream[0] != '\0',
         waits = false;
    if (is_upstream) {
        MLN_TRY(sp_upstream_waits(t->rq, t->config, &waits));
    }
    if (waits) {
        return MLN_OK;
    }
    struct mln_err err = sp_authority_prepare(t->rq, t->folder, t->config, t->domain, &row);
    if (is_upstream && mln_is(err, MLN_E_REMOTE)) {
        const char *why = mln_text_dup(t->rq->cx, mln_bytes_of(t->rq->cx->text));
        mln_cx_clear(t->rq->cx);
        return sp_upstream_failed(t->rq, t->config, why);
    }
    MLN_TRY(err);
    t->prepared = row;
    t->changed = true;
    return MLN_OK;
}

struct mln_err sp_authority_activate(struct mln_request *rq, const char *folder,
                                     const struct mln_value *prepared,
                                     const struct mln_value *active)
{
    if (active != NULL) {
        MLN_TRY(sp_authority_set(rq, folder, active, SP_OLD));
    }
    return sp_authority_set(rq, folder, prepared, SP_ACTIVE);
}

static struct mln_err turn_kind(struct turn *t)
{
    struct mln_value *rows = NULL;
    MLN_TRY(sp_authority_rows(t->rq, t->folder, &rows));
    t->rows = rows;
    MLN_TRY(sweep(t));
    bool can_sign = is_usable(t->active, t->now_s);
    if (t->prepared == NULL && (!can_sign || is_past(t->active, 2, t->now_s))) {
        MLN_TRY(prepare(t));
    }
    if (t->prepared != NULL && (!can_sign || is_past(t->active, 3, t->now_s))) {
        MLN_TRY(sp_authority_activate(t->rq, t->folder, t->prepared, t->active));
        t->changed = true;
    }
    return MLN_OK;
}

struct mln_err sp_authorities_turn(struct mln_request *rq, bool *ret_changed)
{
    static const char *const folders[] = {SP_X509, SP_JWT};
    struct sp_config config;
    const char *domain = NULL;
    MLN_TRY(sp_domain_settle(rq, &domain));
    MLN_TRY(sp_config_get(rq, &config));
    for (size_t i = 0; i < MLN_COUNT(folders); i++) {
        struct turn t = {.rq = rq,
                         .folder = folders[i],
                         .config = &config,
                         .domain = domain,
                         .now_s = rq->now_ns / SP_SECOND_NS};
        MLN_TRY(turn_kind(&t));
        *ret_changed = *ret_changed || t.changed;
    }
    return *ret_changed ? sp_bundle_bump(rq) : MLN_OK;
}

/* ---- in memory ---- */

static void authority_clear(struct sp_authority *a)
{
    mln_secret_drop(&a->key);
    mln_free(a->cert);
    mln_free(a->chain);
    mln_free(a->roots);
    mln_free(a->jwk);
    mln_jose_public_free(a->public);
}

void sp_authorities_clear(struct sp_authorities *a)
{
    for (size_t i = 0; i < a->x509_n; i++) {
        authority_clear(&a->x509[i]);
    }
    for (size_t i = 0; i < a->jwt_n; i++) {
        authority_clear(&a->jwt[i]);
    }
    mln_free(a->x509);
    mln_free(a->jwt);
    *a = (struct sp_authorities){0};
}

static struct mln_err own(struct mln_cx *cx, struct mln_bytes from, uint8_t **ret, size_t *ret_n)
{
    *ret = mln_alloc(from.len + 1);
    if (*ret == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for an authority");
    }
    mln_copy(*ret, from.ptr, from.len);
    *ret_n = from.len;
    return MLN_OK;
}

/* Issuer name and key id stay views into the copy. */
static struct mln_err read_cert(struct mln_cx *cx, struct sp_authority *a)
{
    struct mln_x509_info info;
    struct mln_bytes all = mln_bytes_at(a->cert, a->cert_n);
    MLN_TRY(mln_x509_cert_read(cx, all, &info));
    size_t subject = mln_bytes_find_bytes(all, info.subject),
           id = mln_bytes_find_bytes(all, info.subject_key);
    if (subject == all.len || id == all.len) {
        return mln_fail(cx, MLN_E_CORRUPT, "an authority's certificate has no subject or key id");
    }
    a->subject = mln_bytes_sub(all, subject, info.subject.len);
    a->key_id = mln_bytes_sub(all, id, info.subject_key.len);
    return MLN_OK;
}

static struct mln_err load_x509(struct mln_cx *cx, const struct mln_value *row,
                                struct sp_authority *a)
{
    MLN_TRY(own(cx, mln_get_bytes(mln_get(row, "cert")), &a->cert, &a->cert_n));
    MLN_TRY(own(cx, mln_get_bytes(mln_get(row, "chain")), &a->chain, &a->chain_n));
    MLN_TRY(own(cx, mln_get_bytes(mln_get(row, "roots")), &a->roots, &a->roots_n));
    if (!mln_sig_of(mln_get_bytes(mln_get(row, "sig")), &a->sig)) {
        return mln_fail(cx, MLN_E_CORRUPT, "an authority's algorithm is unknown");
    }
    return read_cert(cx, a);
}

static struct mln_err load_jwt(struct mln_cx *cx, const struct mln_value *row,
                               struct sp_authority *a)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    const struct mln_value *jwk = mln_get(row, "jwk");
    if (!mln_jose_alg_of(mln_get_bytes(mln_get(row, "sig")), &a->alg)) {
        return mln_fail(cx, MLN_E_CORRUPT, "an authority's algorithm is unknown");
    }
    mln_json_print(&json, jwk, MLN_JSON_COMPACT);
    mln_buf_add_byte(&json, 0);
    MLN_TRY(mln_buf_ok(cx, &json));
    a->jwk = mln_strdup((const char *)json.ptr);
    if (a->jwk == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for an authority");
    }
    return mln_jose_public_from_jwk(cx, jwk, &a->public);
}

static struct mln_err load_one(struct mln_request *rq, const struct mln_value *row, bool is_x509,
                               struct sp_authority *a)
{
    struct mln_bytes id = mln_get_bytes(mln_get(row, "id")),
                     key = mln_get_bytes(mln_get(row, "key"));
    mln_copy(a->id, id.ptr, id.len < sizeof(a->id) ? id.len : sizeof(a->id) - 1);
    a->state = sp_state_of(row);
    a->not_before_s = time_of(row, "not_before");
    a->not_after_s = time_of(row, "not_after");
    a->created_s = time_of(row, "created_ns") / SP_SECOND_NS;
    if (key.len > 0) {
        MLN_TRY(mln_secret_from(rq->cx, key, &a->key));
    }
    return is_x509 ? load_x509(rq->cx, row, a) : load_jwt(rq->cx, row, a);
}

static struct mln_err load_kind(struct mln_request *rq, const char *folder,
                                struct sp_authority **ret, size_t *ret_n)
{
    struct mln_value *rows = NULL;
    bool is_x509 = mln_bytes_is(mln_bytes_of(folder), SP_X509);
    MLN_TRY(sp_authority_rows(rq, folder, &rows));
    *ret = mln_alloc_array(mln_len(rows), sizeof(**ret));
    if (*ret == NULL) {
        return mln_fail(rq->cx, MLN_E_MEMORY, "no memory for authorities");
    }
    for (size_t i = 0; i < mln_len(rows); i++) {
        ++*ret_n;
        MLN_TRY(load_one(rq, mln_item(rows, i), is_x509, &(*ret)[i]));
    }
    return MLN_OK;
}

struct mln_err sp_authorities_load(struct mln_request *rq, struct sp_authorities *ret)
{
    MLN_TRY(load_kind(rq, SP_X509, &ret->x509, &ret->x509_n));
    return load_kind(rq, SP_JWT, &ret->jwt, &ret->jwt_n);
}

const struct sp_authority *sp_authority_signing(const struct sp_authority *all, size_t n,
                                                int64_t now_s)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].state == SP_ACTIVE && all[i].not_after_s > now_s && all[i].key.len > 0) {
            return &all[i];
        }
    }
    return NULL;
}

bool sp_authority_is_shown(const struct sp_authority *a, int64_t now_s)
{
    return a->state != SP_REVOKED && a->not_after_s > now_s;
}
