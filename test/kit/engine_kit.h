/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the handlers of descriptors without a server: fault-engine store, real barrier, one transaction a request, a small router
 * and field parser after the contract of contract/engine.h. Not the pipeline: no tokens, no policies, no ledger.
 * All in a header, since only tests of rooms above the barrier can link it.
 */
#pragma once

#include "kit/kit.h"

#include "barrier/txn.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "contract/engine.h"

#include <string.h>

#define EK_MOUNTS_MAX 4
#define EK_AFTER_MAX  16

struct ek {
    struct mln_cx *cx; /* of the last call: its texts and answers live until the next */
    struct mln_store *store;
    struct mln_store_fault *control;
    struct mln_barrier *barrier;
    struct mln_mount mounts[EK_MOUNTS_MAX];
    size_t n;
    int64_t now_ns;
    struct mln_actor actor;
    struct mln_services services;
    struct mln_txn *txn;
    const struct mln_bytes *client_certs; /* DER, leaf first: of the TLS client from now on; NULL = none */
    size_t n_client_certs;
    size_t calls;        /* of services.call */
    size_t blocks;       /* of services.block */
    const char *topic;   /* last published */
    size_t topics;       /* how many were */
    const struct mln_peer *peer;       /* of requests from now on; NULL = none */
    const struct mln_value *settings;  /* what services.setting looks in */
    struct ek_kept {                   /* of services.keep, a place a mount */
        void *what;
        void (*drop)(void *what);
    } kept[EK_MOUNTS_MAX];
    struct ek_after { /* of services.after */
        struct mln_err (*fn)(struct mln_request *rq, void *arg);
        void *arg;
        const struct mln_mount *mount;
    } after[EK_AFTER_MAX];
    size_t n_after;
    /* of the last request */
    struct mln_err err;
    struct mln_reply re;
    int status; /* as HTTP would say */
    bool wrote;
    const struct mln_value *detail;
};

static inline bool ek_is_capture(struct mln_bytes part, bool *rest, bool *optional, struct mln_bytes *name)
{
    *optional = part.len > 0 && part.ptr[part.len - 1] == '?';
    part.len -= *optional ? 1 : 0;
    *rest = false;
    if (part.len < 2 || part.ptr[0] != '{' || part.ptr[part.len - 1] != '}') {
        *name = part;
        return false;
    }
    *name = mln_bytes_sub(part, 1, part.len - 2);
    if (mln_bytes_ends(*name, MLN_BYTES("..."))) {
        *rest = true;
        name->len -= 3;
    }
    return true;
}

static inline bool ek_match(struct mln_cx *cx, const char *pattern, struct mln_bytes path, struct mln_value *captures)
{
    struct mln_bytes left = mln_bytes_of(pattern);
    while (left.len > 0) {
        struct mln_bytes after, name, part = mln_bytes_cut(left, '/', &after);
        bool is_rest, is_optional, is_capture = ek_is_capture(part, &is_rest, &is_optional, &name);
        if (path.len == 0) {
            return is_optional && after.len == 0;
        }
        if (is_capture && is_rest) {
            mln_put_key(cx, captures, name, mln_string(cx, path));
            return true;
        }
        struct mln_bytes path_after, got = mln_bytes_cut(path, '/', &path_after);
        if (is_capture) {
            mln_put_key(cx, captures, name, mln_string(cx, got));
        } else if (!mln_bytes_eq(got, name)) {
            return false;
        }
        left = after;
        path = path_after;
    }
    return path.len == 0;
}

static inline const struct mln_value *ek_split(struct mln_cx *cx, struct mln_bytes text, bool ints)
{
    struct mln_value *out = mln_array(cx);
    while (text.len > 0) {
        int64_t i = 0;
        struct mln_bytes part = mln_bytes_trim(mln_bytes_cut(text, ',', &text));
        if (ints && mln_i64_parse(part, &i)) {
            mln_push(cx, out, mln_int(cx, i));
        } else if (part.len > 0) {
            mln_push(cx, out, mln_string(cx, part));
        }
    }
    return out;
}

static inline struct mln_err ek_parse(struct mln_cx *cx, const struct mln_field *f, const struct mln_value *v,
                                      const struct mln_value **ret)
{
    struct mln_bytes text = mln_get_bytes(v);
    bool is_text = mln_type_of(v) == MLN_STRING, is_secret = f->type == MLN_FIELD_SECRET;
    int64_t i = 0;
    *ret = v;
    if (is_secret && is_text) {
        *ret = mln_secret_string(cx, text);
    } else if (f->type == MLN_FIELD_INT && is_text && mln_i64_parse(text, &i)) {
        *ret = mln_int(cx, i);
    } else if (f->type == MLN_FIELD_DURATION && is_text && mln_duration_parse(text, &i)) {
        *ret = mln_int(cx, i);
    } else if (f->type == MLN_FIELD_BOOL && is_text) {
        *ret = mln_bool(cx, mln_bytes_is(text, "true"));
    } else if ((f->type == MLN_FIELD_LIST || f->type == MLN_FIELD_INTS) && is_text) {
        *ret = ek_split(cx, text, f->type == MLN_FIELD_INTS);
    } else if (f->type == MLN_FIELD_MAP && mln_type_of(v) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "field %s must be a map", f->name);
    } else if ((f->type == MLN_FIELD_INT || f->type == MLN_FIELD_DURATION) && mln_type_of(v) != MLN_INT) {
        return mln_fail(cx, MLN_E_INVALID, "field %s must be a number", f->name);
    }
    return MLN_OK;
}

static inline struct mln_err ek_fields(struct mln_request *rq, const struct mln_value *captures)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *out = mln_value_dup(cx, captures);
    const struct mln_field *f = rq->route->fields;
    for (; f != NULL && f->name != NULL; f++) {
        const struct mln_value *v = mln_get(captures, f->name), *parsed = NULL;
        v = v != NULL ? v : mln_get(rq->data, f->name);
        v = v != NULL || f->fallback == NULL ? v : mln_text(cx, f->fallback);
        if (v == NULL) {
            if (f->is_required) {
                return mln_fail(cx, MLN_E_INVALID, "missing %s", f->name);
            }
            continue;
        }
        if (!mln_is_null(v)) {
            MLN_TRY(ek_parse(cx, f, v, &parsed));
            v = parsed;
        }
        mln_put(cx, out, f->name, v);
    }
    rq->fields = out;
    return MLN_OK;
}

static inline mln_handler ek_handler(const struct mln_path *route, enum mln_op op)
{
    return op == MLN_OP_READ     ? route->read
           : op == MLN_OP_LIST   ? route->list
           : op == MLN_OP_WRITE  ? route->write
           : op == MLN_OP_PATCH  ? route->patch
           : op == MLN_OP_DELETE ? route->remove
                                 : NULL;
}

/* Find mount and path, parse the fields; *ret is the handler. */
static inline struct mln_err ek_route(struct ek *k, struct mln_request *rq, mln_handler *ret)
{
    for (size_t i = 0; i < k->n; i++) {
        struct mln_bytes mount = mln_bytes_of(k->mounts[i].path);
        if (!mln_bytes_starts(rq->path, mount)) {
            continue;
        }
        rq->mount = &k->mounts[i];
        rq->rest = mln_bytes_from(rq->path, mount.len);
        const struct mln_engine *engine = rq->mount->engine;
        const struct mln_path *route = engine->paths;
        for (size_t more = 0; route != NULL; route = engine->more_paths == NULL ? NULL : engine->more_paths[more++]) {
            for (; route->pattern != NULL; route++) {
                struct mln_value *captures = mln_object(rq->cx);
                if (!ek_match(rq->cx, route->pattern, rq->rest, captures)) {
                    continue;
                }
                rq->route = route;
                *ret = ek_handler(route, rq->op);
                return *ret == NULL ? mln_fail(rq->cx, MLN_E_METHOD, "unsupported operation") : ek_fields(rq, captures);
            }
        }
    }
    return mln_fail(rq->cx, MLN_E_NO_ROUTE, "no handler for route");
}

static inline struct mln_err ek_service_call(struct mln_request *rq, enum mln_op op, const char *path,
                                             const struct mln_value *data, struct mln_reply *re)
{
    struct ek *k = rq->core;
    struct mln_request inner = *rq;
    mln_handler handler = NULL;
    k->calls++;
    inner.op = op;
    inner.path = mln_bytes_of(path);
    inner.data = data != NULL ? data : mln_object(rq->cx);
    inner.detail = mln_object(rq->cx);
    MLN_TRY(ek_route(k, &inner, &handler));
    return handler(&inner, re);
}

static inline bool ek_service_may(struct mln_request *rq, const char *path, const char *capability)
{
    (void)path;
    (void)capability;
    return rq->actor->is_root;
}

static inline void ek_service_publish(struct mln_request *rq, const char *topic, const struct mln_value *value)
{
    (void)value;
    ((struct ek *)rq->core)->topic = mln_text_dup(rq->cx, mln_bytes_of(topic));
    ((struct ek *)rq->core)->topics++;
}

static inline struct mln_err ek_service_keep(struct mln_request *rq, void *(*make)(void), void (*drop)(void *), void **ret)
{
    struct ek *k = rq->core;
    struct ek_kept *kept = &k->kept[rq->mount - k->mounts];
    if (kept->what == NULL) {
        *kept = (struct ek_kept){make(), drop};
    }
    *ret = kept->what;
    return kept->what != NULL ? MLN_OK : mln_fail(rq->cx, MLN_E_MEMORY, "no memory");
}

static inline void ek_service_after(struct mln_request *rq, struct mln_err (*fn)(struct mln_request *rq, void *arg), void *arg)
{
    struct ek *k = rq->core;
    assert_true(k->n_after < EK_AFTER_MAX);
    k->after[k->n_after++] = (struct ek_after){fn, arg, rq->mount};
}

static inline const struct mln_value *ek_service_setting(struct mln_request *rq, const char *name)
{
    return mln_get(((struct ek *)rq->core)->settings, name);
}

/* As sealing does: engines read all again. */
static inline void ek_forget(struct ek *k)
{
    for (size_t i = 0; i < EK_MOUNTS_MAX; i++) {
        if (k->kept[i].what != NULL) {
            k->kept[i].drop(k->kept[i].what);
            k->kept[i] = (struct ek_kept){NULL, NULL};
        }
    }
}

static inline void ek_service_block(struct mln_request *rq)
{
    ((struct ek *)rq->core)->blocks++;
}

static inline struct ek *ek_new(void)
{
    struct ek *k = mln_alloc(sizeof(*k));
    assert_non_null(k);
    mln_secret_allow_unlocked(true);
    k->cx = kit_cx_new();
    k->now_ns = 1795336877112564042;
    k->actor = (struct mln_actor){.kind = MLN_ACTOR_TOKEN, .is_root = true, .accessor = "acc", .display_name = "root",
                                  .entity_id = "", .entity_name = "", .auth_path = "auth/token/root"};
    k->services = (struct mln_services){.call = ek_service_call, .may = ek_service_may,
                                        .publish = ek_service_publish, .block = ek_service_block,
                                        .keep = ek_service_keep, .after = ek_service_after, .setting = ek_service_setting};
    kit_ok(k->cx, mln_store_open_fault(k->cx, &k->store, &k->control));
    kit_ok(k->cx, mln_barrier_new(k->cx, k->store, &k->barrier));
    struct mln_secret root = {0};
    kit_ok(k->cx, mln_secret_random(k->cx, 32, &root));
    kit_ok(k->cx, mln_barrier_init(k->cx, k->barrier, &root));
    kit_ok(k->cx, mln_barrier_unseal(k->cx, k->barrier, &root));
    mln_secret_drop(&root);
    return k;
}

static inline void ek_free(struct ek *k)
{
    ek_forget(k);
    mln_barrier_free(k->barrier);
    mln_store_close(k->store);
    kit_cx_free(k->cx);
    mln_free(k);
}

static inline void ek_drop(struct ek **k)
{
    ek_free(*k);
}

static inline void ek_begin(struct ek *k, struct mln_request *rq)
{
    kit_cx_free(k->cx);
    k->cx = kit_cx_new();
    kit_ok(k->cx, mln_txn_begin(k->cx, k->store, k->barrier, &k->txn));
    *rq = (struct mln_request){.cx = k->cx, .id = "9e0f9b2a-0000-4000-8000-000000000000", .txn = k->txn,
                               .ns = MLN_NS_ROOT, .source = "127.0.0.1", .now_ns = k->now_ns, .actor = &k->actor,
                               .services = &k->services, .detail = mln_object(k->cx), .core = k};
    struct mln_value *certs = k->n_client_certs > 0 ? mln_array(k->cx) : NULL;
    for (size_t i = 0; i < k->n_client_certs; i++) {
        mln_push(k->cx, certs, mln_blob(k->cx, k->client_certs[i]));
    }
    rq->client_certs = certs;
    rq->peer = k->peer;
    k->n_after = 0;
    k->topics = 0;
    k->topic = NULL;
}

/* What waits for the commit, each with a transaction of its own. */
static inline struct mln_err ek_run_after(struct ek *k)
{
    for (size_t i = 0; i < k->n_after; i++) {
        MLN_AUTO(mln_txn_drop) struct mln_txn *txn = NULL;
        MLN_TRY(mln_txn_begin(k->cx, k->store, k->barrier, &txn));
        struct mln_request rq = {.cx = k->cx, .id = "", .txn = txn, .ns = MLN_NS_ROOT, .source = "", .now_ns = k->now_ns,
                                 .actor = &k->actor, .mount = k->after[i].mount, .services = &k->services,
                                 .detail = mln_object(k->cx), .core = k};
        MLN_TRY(k->after[i].fn(&rq, k->after[i].arg));
    }
    return MLN_OK;
}

/* Write what the handler wrote, as the pipeline does, or drop it with the error. */
static inline void ek_end(struct ek *k, struct mln_err err)
{
    k->wrote = mln_txn_has_writes(k->txn);
    if (!mln_failed(err) && k->wrote) {
        struct mln_batch batch = {0};
        const struct mln_value *digests = NULL;
        err = mln_txn_batch(k->cx, k->txn, &batch, &digests);
        if (!mln_failed(err)) {
            err = mln_store_commit(k->cx, k->store, &batch);
        }
    }
    mln_txn_end(k->txn);
    k->txn = NULL;
    err = mln_failed(err) ? err : ek_run_after(k);
    k->err = err;
    k->status = mln_failed(err)        ? mln_err_http(err.code)
                : k->re.status != 0    ? k->re.status
                : k->re.data != NULL   ? 200
                                       : 204;
}

static inline void ek_mount(struct ek *k, const char *path, const struct mln_engine *engine, const char *uuid)
{
    assert_true(k->n < EK_MOUNTS_MAX);
    struct mln_mount *m = &k->mounts[k->n++];
    static char prefixes[EK_MOUNTS_MAX][80];
    char *prefix = prefixes[k->n - 1];
    size_t at = 0;
    for (const char *p = "root/"; *p != '\0'; p++) {
        prefix[at++] = *p;
    }
    for (const char *p = uuid; *p != '\0' && at < 78; p++) {
        prefix[at++] = *p;
    }
    prefix[at++] = '/';
    *m = (struct mln_mount){.path = path, .type = engine->type, .uuid = uuid, .accessor = "kind_01234567", .description = "",
                            .engine = engine, .view = {MLN_NS_ROOT, mln_bytes_at(prefix, at)}};
    if (engine->start != NULL) {
        struct mln_request rq;
        ek_begin(k, &rq);
        rq.mount = m;
        ek_end(k, engine->start(&rq));
        kit_ok(k->cx, k->err);
    }
}

/* The tick of the engine mounted at place i. */
static inline void ek_tick(struct ek *k, size_t i)
{
    struct mln_request rq;
    ek_begin(k, &rq);
    rq.mount = &k->mounts[i];
    ek_end(k, rq.mount->engine->tick(&rq));
}

/* One request. path is full; a list's has a "/" at its end or not. json may be NULL. Returns the status as HTTP would say. */
static inline int ek_call(struct ek *k, enum mln_op op, const char *path, const char *json)
{
    struct mln_request rq;
    mln_handler handler = NULL;
    const struct mln_value *data = NULL;
    const char *own_path = NULL, *own_json = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf keep = {.is_secret = true}; /* both may live in the answer before */
    mln_buf_add_text(&keep, path);
    mln_buf_add_byte(&keep, 0);
    mln_buf_add_text(&keep, json != NULL ? json : "{}");
    mln_buf_add_byte(&keep, 0);
    ek_begin(k, &rq);
    struct mln_bytes all = mln_bytes_dup(k->cx, mln_buf_bytes(&keep));
    own_path = (const char *)all.ptr;
    own_json = own_path + strlen(own_path) + 1;
    kit_ok(k->cx, mln_json_parse(k->cx, mln_bytes_of(own_json), &data));
    k->re = (struct mln_reply){.ledger_index = UINT64_MAX};
    rq.op = op;
    rq.data = data;
    rq.path = mln_bytes_of(own_path);
    struct mln_err err = ek_route(k, &rq, &handler);
    bool exists = false;
    if (!mln_failed(err) && op == MLN_OP_WRITE && rq.route->exists != NULL) {
        err = rq.route->exists(&rq, &exists);
    }
    if (!mln_failed(err)) {
        err = handler(&rq, &k->re);
    }
    if (!mln_failed(err)) {
        err = mln_cx_err(k->cx);
    }
    k->detail = rq.detail;
    ek_end(k, err);
    return k->status;
}

#define ek_read(k, path, json)   ek_call((k), MLN_OP_READ, (path), (json))
#define ek_list(k, path)         ek_call((k), MLN_OP_LIST, (path), NULL)
#define ek_write(k, path, json)  ek_call((k), MLN_OP_WRITE, (path), (json))
#define ek_patch(k, path, json)  ek_call((k), MLN_OP_PATCH, (path), (json))
#define ek_delete(k, path)       ek_call((k), MLN_OP_DELETE, (path), NULL)

/* A call that must answer with this status (and, for errors, a text with this part). */
static inline void ek_want_at(struct ek *k, int got, int want, const char *part, const char *what, int line)
{
    if (got != want || (part != NULL && strstr(k->cx->text, part) == NULL)) {
        fail_msg("line %d: %s: status %d (%s), want %d %s", line, what, got, k->cx->text, want, part != NULL ? part : "");
    }
}
#define EK_WANT(k, call, want)             ek_want_at((k), (call), (want), NULL, #call, __LINE__)
#define EK_REFUSED(k, call, want, part)    ek_want_at((k), (call), (want), (part), #call, __LINE__)

/* The answer's data as sorted JSON. */
static inline void ek_same_at(struct ek *k, const struct mln_value *v, const char *want, const char *file, int line)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf out = {0};
    mln_json_print(&out, v, MLN_JSON_SORTED);
    kit_text_at(mln_buf_bytes(&out), want, file, line);
    (void)k;
}
#define EK_DATA(k, want)    ek_same_at((k), (k)->re.data, (want), __FILE__, __LINE__)
#define EK_VALUE(k, v, want) ek_same_at((k), (v), (want), __FILE__, __LINE__)

/* A member of the answer's data as text, copied (frees with the next call's context: copy if it must live on). */
static inline const char *ek_text(struct ek *k, const char *name)
{
    return mln_get_text(k->cx, mln_get(k->re.data, name), "");
}
