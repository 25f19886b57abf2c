/* SPDX-License-Identifier: Apache-2.0 */
/* The proxy's cache of leased answers: a short list, looked through under one lock. See leases.h. */
#include "agent/leases.h"

#include <pthread.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define SECOND_NS  ((int64_t)1000000000)
#define AGAIN_NS   (60 * SECOND_NS)
#define BODY_MAX   ((size_t)1 << 20) /* a lease with more is passed on */
#define LIFE_MAX_S (3650LL * 86400)

struct leased {
    struct mln_leased_key key;
    struct mln_buf body;
    struct mln_buf token;              /* that asked */
    struct mln_buf made, accessor;     /* the token that was made; empty = none */
    struct mln_buf lease_id, path;     /* empty = none; "/v1/..." without its query */
    int64_t kept_ns, due_ns, ends_ns, full_s;
    bool is_gone;
};

struct mln_leases {
    pthread_mutex_t lock;
    struct leased all[MLN_LEASES_MAX];
    size_t n;
};

/* ---- entries ---- */

static void leased_drop(struct leased *e)
{
    mln_buf_drop(&e->body);
    mln_buf_drop(&e->token);
    mln_buf_drop(&e->made);
    mln_buf_drop(&e->accessor);
    mln_buf_drop(&e->lease_id);
    mln_buf_drop(&e->path);
    *e = (struct leased){0};
}

static bool same(const struct mln_buf *a, struct mln_bytes b)
{
    return a->len > 0 && mln_eq_ct(a->ptr, a->len, b.ptr, b.len);
}

static struct leased *entry_of(struct mln_leases *l, const struct mln_leased_key *key)
{
    for (size_t i = 0; i < l->n; i++) {
        if (mln_bytes_eq(mln_bytes_at(l->all[i].key.hash, sizeof(key->hash)),
                         mln_bytes_at(key->hash, sizeof(key->hash)))) {
            return &l->all[i];
        }
    }
    return NULL;
}

/* What was asked for with a token that is gone goes too, and so on; then the list closes up. */
static void sweep(struct mln_leases *l)
{
    bool grew = true;
    while (grew) {
        grew = false;
        for (size_t i = 0; i < l->n; i++) {
            for (size_t k = 0; k < l->n && l->all[i].is_gone; k++) {
                struct leased *e = &l->all[k];
                if (!e->is_gone && same(&e->token, mln_buf_bytes(&l->all[i].made))) {
                    e->is_gone = grew = true;
                }
            }
        }
    }
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->all[i].is_gone) {
            leased_drop(&l->all[i]);
            continue;
        }
        if (kept != i) {
            l->all[kept] = l->all[i];
            l->all[i] = (struct leased){0};
        }
        kept++;
    }
    l->n = kept;
}

struct mln_err mln_leases_new(struct mln_cx *cx, struct mln_leases **ret)
{
    struct mln_leases *l = mln_alloc(sizeof(*l));
    if (l == NULL || pthread_mutex_init(&l->lock, NULL) != 0) {
        mln_free(l);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    *ret = l;
    return MLN_OK;
}

void mln_leases_free(struct mln_leases *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->n; i++) {
        leased_drop(&l->all[i]);
    }
    (void)pthread_mutex_destroy(&l->lock);
    mln_free(l);
}

/* ---- requests ---- */

/* Each part with its length before it: no two requests have the same text. */
struct mln_leased_key mln_leased_key_of(const struct mln_leased_ask *ask)
{
    const struct mln_bytes parts[] = {ask->method, ask->target, ask->ns,
                                      ask->token,  ask->wrap,   ask->body};
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    struct mln_leased_key key = {0};
    for (size_t i = 0; i < MLN_COUNT(parts); i++) {
        mln_buf_add_format(&text, "%zu:", parts[i].len);
        mln_buf_add_bytes(&text, parts[i]);
    }
    MLN_CHECK(!text.has_failed); /* a body has a limit, and there is none on this buffer */
    mln_sha256(mln_buf_bytes(&text), key.hash);
    return key;
}

static struct mln_bytes path_of(const struct mln_leased_ask *ask)
{
    struct mln_bytes query;
    return mln_bytes_cut(ask->target, '?', &query);
}

static bool is_renewal(struct mln_bytes path)
{
    static const char *const paths[] = {"/v1/auth/token/renew", "/v1/sys/leases/renew", "/v1/sys/renew",
                                        "/v1/sys/wrapping/"};
    for (size_t i = 0; i < MLN_COUNT(paths); i++) {
        if (mln_bytes_starts(path, mln_bytes_of(paths[i]))) {
            return true;
        }
    }
    return false;
}

bool mln_leases_find(struct mln_leases *l, struct mln_cx *cx, const struct mln_leased_key *key,
                     struct mln_bytes *ret_body, int64_t *ret_age_s)
{
    pthread_mutex_lock(&l->lock);
    struct leased *e = entry_of(l, key);
    bool is_there = e != NULL && mln_mono_ns() < e->ends_ns;
    if (is_there) {
        *ret_body = mln_bytes_dup(cx, mln_buf_bytes(&e->body));
        *ret_age_s = (mln_mono_ns() - e->kept_ns) / SECOND_NS;
    }
    pthread_mutex_unlock(&l->lock);
    return is_there && !mln_failed(mln_cx_err(cx));
}

/* ---- keeping ---- */

static void fill(struct leased *e, const struct mln_leased_ask *ask, const struct mln_value *v,
                 struct mln_bytes body)
{
    const struct mln_value *auth = mln_get(v, "auth");
    bool is_token = mln_type_of(auth) == MLN_OBJECT;
    e->body.is_secret = e->token.is_secret = e->made.is_secret = e->accessor.is_secret = true;
    mln_buf_add_bytes(&e->body, body);
    mln_buf_add_bytes(&e->token, ask->token);
    mln_buf_add_bytes(&e->path, path_of(ask));
    mln_buf_add_bytes(&e->made, mln_get_bytes(mln_get(auth, "client_token")));
    mln_buf_add_bytes(&e->accessor, mln_get_bytes(mln_get(auth, "accessor")));
    mln_buf_add_bytes(&e->lease_id, is_token ? MLN_BYTES_NONE : mln_get_bytes(mln_get(v, "lease_id")));
    e->full_s = mln_get_int(mln_get(is_token ? auth : v, "lease_duration"), 0);
    bool is_renewable = mln_get_bool(mln_get(is_token ? auth : v, "renewable"), false);
    bool is_good = is_renewable && e->full_s > 0 && e->full_s <= LIFE_MAX_S &&
                   (e->made.len > 0 || e->lease_id.len > 0);
    e->kept_ns = mln_mono_ns();
    e->ends_ns = e->kept_ns + (is_good ? e->full_s : 0) * SECOND_NS;
    e->due_ns = e->kept_ns + (is_good ? e->full_s : 0) * SECOND_NS / 3 * 2;
    e->is_gone = !is_good || e->body.has_failed || e->token.has_failed || e->made.has_failed ||
                 e->accessor.has_failed || e->lease_id.has_failed || e->path.has_failed;
}

/* A child of a token that the agent does not hold would live on after it: not kept. A login has no parent. */
static bool is_ours(const struct mln_leases *l, struct mln_bytes token, struct mln_bytes own_token,
                    const struct mln_value *v, struct mln_bytes path)
{
    bool is_login = mln_type_of(mln_get(v, "auth")) == MLN_OBJECT &&
                    !mln_bytes_starts(path, MLN_BYTES("/v1/auth/token/"));
    if (is_login || (token.len > 0 && mln_eq_ct(token.ptr, token.len, own_token.ptr, own_token.len))) {
        return true;
    }
    for (size_t i = 0; i < l->n; i++) {
        if (same(&l->all[i].made, token)) {
            return true;
        }
    }
    return false;
}

bool mln_leases_keep(struct mln_leases *l, struct mln_cx *cx, const struct mln_leased_ask *ask,
                     struct mln_bytes own_token, struct mln_bytes body)
{
    const struct mln_value *v = NULL;
    struct mln_leased_key key = mln_leased_key_of(ask);
    bool is_kept = false;
    if (body.len > BODY_MAX || is_renewal(path_of(ask))) {
        return false;
    }
    if (mln_failed(mln_json_parse(cx, body, &v))) {
        mln_cx_clear(cx);
        return false;
    }
    pthread_mutex_lock(&l->lock);
    if (l->n < MLN_LEASES_MAX && entry_of(l, &key) == NULL &&
        is_ours(l, ask->token, own_token, v, path_of(ask))) {
        struct leased *e = &l->all[l->n];
        *e = (struct leased){.key = key};
        fill(e, ask, v, body);
        is_kept = !e->is_gone;
        l->n += is_kept ? 1 : 0;
        if (!is_kept) {
            leased_drop(e);
        }
    }
    pthread_mutex_unlock(&l->lock);
    return is_kept;
}

/* ---- forgetting ---- */

enum what { BY_TOKEN, BY_ACCESSOR, BY_LEASE, BY_LEASE_PREFIX, BY_PATH, BY_ALL };

static bool is_meant(const struct leased *e, enum what what, struct mln_bytes value)
{
    switch (what) {
    case BY_TOKEN: /* what it asked for, and itself */
        return same(&e->token, value) || same(&e->made, value);
    case BY_ACCESSOR:
        return same(&e->accessor, value);
    case BY_LEASE:
        return same(&e->lease_id, value);
    case BY_LEASE_PREFIX:
        return e->lease_id.len > 0 && mln_bytes_starts(mln_buf_bytes(&e->lease_id), value);
    case BY_PATH:
        return mln_bytes_starts(mln_buf_bytes(&e->path), value);
    case BY_ALL:
    default:
        return true;
    }
}

static void forget(struct mln_leases *l, enum what what, struct mln_bytes value)
{
    if (value.len == 0 && what != BY_ALL) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++) {
        l->all[i].is_gone = is_meant(&l->all[i], what, value);
    }
    sweep(l);
    pthread_mutex_unlock(&l->lock);
}

void mln_leases_forget_token(struct mln_leases *l, struct mln_bytes token)
{
    forget(l, BY_TOKEN, token);
}

bool mln_leases_clear(struct mln_leases *l, struct mln_bytes type, struct mln_bytes value)
{
    static const struct {
        const char *type;
        enum what what;
    } types[] = {{"all", BY_ALL}, {"token", BY_TOKEN}, {"token_accessor", BY_ACCESSOR},
                 {"lease", BY_LEASE}, {"request_path", BY_PATH}};
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        if (mln_bytes_is(type, types[i].type)) {
            forget(l, types[i].what, value);
            return true;
        }
    }
    return false;
}

void mln_leases_note(struct mln_leases *l, struct mln_cx *cx, const struct mln_leased_ask *ask)
{
    static const struct {
        const char *path, *member; /* member NULL: the rest of the path */
        enum what what;
    } rows[] = {
        {"/v1/auth/token/revoke", "token", BY_TOKEN},
        {"/v1/auth/token/revoke-orphan", "token", BY_TOKEN},
        {"/v1/auth/token/revoke-accessor", "accessor", BY_ACCESSOR},
        {"/v1/sys/leases/revoke", "lease_id", BY_LEASE},
        {"/v1/sys/revoke", "lease_id", BY_LEASE},
        {"/v1/sys/leases/revoke/", NULL, BY_LEASE},
        {"/v1/sys/revoke/", NULL, BY_LEASE},
        {"/v1/sys/leases/revoke-prefix/", NULL, BY_LEASE_PREFIX},
        {"/v1/sys/leases/revoke-force/", NULL, BY_LEASE_PREFIX},
        {"/v1/sys/revoke-prefix/", NULL, BY_LEASE_PREFIX},
        {"/v1/sys/revoke-force/", NULL, BY_LEASE_PREFIX},
    };
    const struct mln_value *v = NULL;
    struct mln_bytes path = path_of(ask);
    if (!mln_bytes_is(ask->method, "PUT") && !mln_bytes_is(ask->method, "POST")) {
        return;
    }
    if (mln_bytes_is(path, "/v1/auth/token/revoke-self")) {
        forget(l, BY_TOKEN, ask->token);
        return;
    }
    for (size_t i = 0; i < MLN_COUNT(rows); i++) {
        struct mln_bytes head = mln_bytes_of(rows[i].path);
        if (rows[i].member == NULL && mln_bytes_starts(path, head)) {
            forget(l, rows[i].what, mln_bytes_from(path, head.len));
        } else if (rows[i].member != NULL && mln_bytes_eq(path, head) &&
                   !mln_failed(mln_json_parse(cx, ask->body, &v))) {
            forget(l, rows[i].what, mln_get_bytes(mln_get(v, rows[i].member)));
        }
    }
    mln_cx_clear(cx);
}

/* ---- renewing ---- */

bool mln_leases_due(struct mln_leases *l, struct mln_cx *cx, struct mln_leased_due *ret)
{
    int64_t now = mln_mono_ns();
    bool found = false;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++) {
        l->all[i].is_gone = now >= l->all[i].ends_ns;
    }
    sweep(l);
    for (size_t i = 0; i < l->n && !found; i++) {
        struct leased *e = &l->all[i];
        found = now >= e->due_ns;
        if (found) {
            bool is_token = e->made.len > 0;
            ret->key = e->key;
            ret->token = mln_bytes_dup(cx, mln_buf_bytes(is_token ? &e->made : &e->token));
            ret->lease_id = mln_bytes_dup(cx, mln_buf_bytes(&e->lease_id));
            ret->full_s = e->full_s;
            e->due_ns = now + AGAIN_NS < e->ends_ns ? now + AGAIN_NS : e->ends_ns;
        }
    }
    pthread_mutex_unlock(&l->lock);
    return found;
}

int64_t mln_leases_next_ns(struct mln_leases *l)
{
    int64_t next = INT64_MAX;
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++) {
        next = l->all[i].due_ns < next ? l->all[i].due_ns : next;
    }
    pthread_mutex_unlock(&l->lock);
    return next;
}

void mln_leases_renewed(struct mln_leases *l, const struct mln_leased_key *key, int64_t left_s)
{
    pthread_mutex_lock(&l->lock);
    struct leased *e = entry_of(l, key);
    left_s = left_s > LIFE_MAX_S ? LIFE_MAX_S : left_s;
    bool is_known = e != NULL && left_s >= 0;
    if (is_known && (left_s == 0 || left_s < e->full_s / 3)) {
        for (size_t i = 0; i < l->n; i++) {
            l->all[i].is_gone = &l->all[i] == e;
        }
        sweep(l);
    } else if (is_known) {
        e->ends_ns = mln_mono_ns() + left_s * SECOND_NS;
        e->due_ns = mln_mono_ns() + left_s * SECOND_NS / 3 * 2;
    }
    pthread_mutex_unlock(&l->lock);
}
