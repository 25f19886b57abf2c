/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's way through core: who (token) -> may they (policy) -> engine -> record -> answer. A request is one transaction; when
 * something that it read has changed meanwhile it is run again. No record, no answer.
 */
#include "core/core_priv.h"

#include "base/cbor.h"
#include "base/clock.h"

#define TRIES_MAX 32 /* conflicts of one request before it gives up: each means that another one got through */

struct mln_core *mln_core_of(const struct mln_request *rq)
{
    return mln_run_of(rq)->core;
}

/* ---- the request as front sent it ---- */

static bool op_of(struct mln_bytes text, enum mln_op *ret)
{
    static const char *const names[] = {"read", "list", "write", "patch", "delete", "help"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(text, names[i])) {
            *ret = (enum mln_op)i;
            return true;
        }
    }
    return false;
}

static struct mln_err decode(struct mln_cx *cx, struct mln_run *run, struct mln_bytes message)
{
    struct mln_request *rq = &run->rq;
    struct mln_err err = mln_cbor_parse(cx, message, &run->message);
    rq->path = mln_get_bytes(mln_get(run->message, "path"));
    if (mln_failed(err) || !op_of(mln_get_bytes(mln_get(run->message, "op")), &rq->op) || rq->path.len == 0) {
        return mln_refail(cx, MLN_E_CORRUPT, "core: a message that is no request");
    }
    const struct mln_value *data = mln_get(run->message, "data"), *raw = mln_get(run->message, "raw");
    rq->data = mln_type_of(data) == MLN_OBJECT ? data : mln_object(cx);
    if (raw != NULL) {
        struct mln_value *with = mln_value_dup(cx, rq->data);
        mln_put(cx, with, "raw", raw);
        rq->data = with;
    }
    rq->source = mln_get_text(cx, mln_get(run->message, "from"), "");
    return mln_cx_err(cx);
}

struct mln_err mln_run_begin(struct mln_cx *cx, struct mln_core *core, struct mln_run *run)
{
    char *id = mln_new(cx, 37);
    if (id == NULL) {
        return mln_cx_err(cx);
    }
    mln_uuid(id);
    run->core = core;
    run->ledger_index = UINT64_MAX;
    run->rq = (struct mln_request){
        .cx = cx, .id = id, .fields = mln_object(cx), .data = mln_object(cx), .ns = MLN_NS_ROOT, .source = "", .now_ns = mln_now_ns(),
        .actor = &run->actor, .services = &mln_core_services, .core = run, .detail = mln_object(cx),
    };
    run->actor = (struct mln_actor){.accessor = "", .display_name = "", .entity_id = "", .entity_name = "", .auth_path = ""};
    return mln_cx_err(cx);
}

/* ---- may they ---- */

unsigned mln_capability_of(enum mln_op op, bool exists_known, bool exists)
{
    switch (op) {
    case MLN_OP_READ:
    case MLN_OP_HELP:
        return MLN_CAP_READ;
    case MLN_OP_LIST:
        return MLN_CAP_LIST;
    case MLN_OP_PATCH:
        return MLN_CAP_PATCH;
    case MLN_OP_DELETE:
        return MLN_CAP_DELETE;
    case MLN_OP_WRITE:
    default:
        return exists_known && !exists ? MLN_CAP_CREATE : MLN_CAP_UPDATE;
    }
}

struct question {
    struct mln_run *run;
    struct mln_bytes path;
    unsigned capability;
    const struct mln_value *data;
};

static struct mln_err ask(void *arg, struct mln_cx *cx, const struct mln_acl *acl)
{
    const struct question *q = arg;
    struct mln_bytes rule = MLN_BYTES_NONE;
    struct mln_err err = mln_acl_check(cx, acl, q->path, q->capability, q->data, &rule);
    if (rule.len > 0) {
        q->run->rule = mln_text_dup(cx, rule);
    }
    return err;
}

struct mln_err mln_run_may(struct mln_run *run, unsigned capability, struct mln_bytes path, const struct mln_value *data)
{
    struct question q = {.run = run, .path = path, .capability = capability, .data = data};
    struct mln_cx *cx = run->rq.cx;
    if (run->is_system || run->actor.is_root) {
        run->rule = run->actor.is_root ? "root" : NULL;
        return MLN_OK;
    }
    return mln_policies_use(run->core, cx, run->rq.txn, run->actor.policies, ask, &q);
}

static struct mln_err who(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    const struct mln_value *entry = NULL;
    struct mln_bytes token = mln_get_bytes(mln_get(run->message, "token"));
    struct mln_err err = mln_token_find(run->core, rq->cx, rq->txn, rq->now_ns, token, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        return mln_fail(rq->cx, MLN_E_UNAUTHENTIC, "permission denied");
    }
    MLN_TRY(err);
    struct mln_value *with_id = mln_value_dup(rq->cx, entry); /* handlers that answer with the token need its id */
    mln_put(rq->cx, with_id, "id", mln_secret_string(rq->cx, token));
    MLN_TRY(mln_token_use(run->core, rq->cx, rq->txn, entry));
    mln_token_actor(rq->cx, with_id, &run->actor);
    return mln_cx_err(rq->cx);
}

static struct mln_err may_they(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    const struct mln_path *route = rq->mount == NULL || rq->mount->engine == NULL ? NULL
                                   : mln_route_find(rq->cx, rq->mount->engine, rq->rest, NULL);
    bool exists = true, is_known = false;
    if (rq->op == MLN_OP_WRITE && route != NULL && route->exists != NULL) {
        rq->route = route;
        MLN_TRY(mln_route(rq));
        MLN_TRY(route->exists(rq, &exists));
        is_known = true;
    }
    struct mln_bytes path = rq->path;
    if (rq->op == MLN_OP_LIST && path.ptr[path.len - 1] != '/') {
        path = mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(path));
    }
    unsigned capability = mln_capability_of(rq->op, is_known, exists);
    MLN_TRY(mln_run_may(run, capability, path, rq->data));
    return route != NULL && route->is_sudo ? mln_run_may(run, MLN_CAP_SUDO, path, NULL) : MLN_OK;
}

/* ---- one try ---- */

static void find_mount(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    rq->mount = mln_mounts_find(run->table, rq->path);
    size_t at = rq->mount == NULL ? 0 : mln_bytes_of(rq->mount->path).len;
    rq->rest = rq->mount == NULL ? MLN_BYTES_NONE : mln_bytes_from(rq->path, at);
}

static bool is_open(struct mln_run *run)
{
    const struct mln_request *rq = &run->rq;
    const struct mln_path *route = rq->mount == NULL || rq->mount->engine == NULL ? NULL
                                   : mln_route_find(rq->cx, rq->mount->engine, rq->rest, NULL);
    return route != NULL && route->is_open;
}

static struct mln_err no_route(struct mln_run *run)
{
    struct mln_bytes path = run->rq.path;
    return mln_fail(run->rq.cx, MLN_E_NO_ROUTE, "no handler for route \"%.*s\". route entry not found.", MLN_FMT(path));
}

static struct mln_err help(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    struct mln_value *bare = mln_object(rq->cx), *paths = mln_array(rq->cx);
    const struct mln_engine *engine = rq->mount->engine;
    for (const struct mln_path *p = engine->paths; p->pattern != NULL; p++) {
        mln_push(rq->cx, paths, mln_textf(rq->cx, "%s: %s", p->pattern, p->summary));
    }
    mln_put_text(rq->cx, bare, "help", engine->summary);
    mln_put(rq->cx, bare, "see_also", paths);
    run->reply.bare = bare;
    return mln_cx_err(rq->cx);
}

static struct mln_err handle(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    find_mount(run);
    if (!is_open(run)) {
        MLN_TRY(who(run));
        struct mln_err err = may_they(run);
        run->is_refused = mln_is(err, MLN_E_DENIED);
        MLN_TRY(err);
    }
    if (rq->mount == NULL || rq->mount->engine == NULL) {
        return no_route(run);
    }
    if (rq->op == MLN_OP_HELP) {
        return help(run);
    }
    MLN_TRY(mln_route(rq));
    if (rq->route->is_relief) {
        mln_txn_mark_relief(rq->txn);
    }
    if (rq->route->may_block) {
        rq->services->block(rq);
    }
    MLN_TRY(mln_route_handler(rq->route, rq->op)(rq, &run->reply));
    if (run->reply.login != NULL) {
        MLN_TRY(mln_token_login(rq, run->reply.login, &run->reply.auth));
    }
    return mln_cx_err(rq->cx);
}

/* ---- the record ---- */

static struct mln_err commit(struct mln_run *run, struct mln_record *record)
{
    struct mln_request *rq = &run->rq;
    struct mln_batch batch = {0};
    const struct mln_value *digests = NULL;
    MLN_TRY(mln_txn_batch(rq->cx, rq->txn, &batch, &digests));
    mln_run_record(run, MLN_OK, digests, record);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_ledger_attach(rq->cx, run->core->ledger, record, &batch));
    mln_txn_end(rq->txn);
    rq->txn = NULL;
    rq->services->block(rq);
    MLN_TRY(mln_store_commit(rq->cx, run->core->store, &batch));
    run->ledger_index = record->index;
    return MLN_OK;
}

/* What is not written: noted before the answer leaves. Strangers are counted, not noted one by one. */
static struct mln_err note(struct mln_run *run, struct mln_err err)
{
    struct mln_request *rq = &run->rq;
    struct mln_record record = {0};
    if (rq->route != NULL && rq->route->is_exempt && !run->is_refused) {
        return MLN_OK;
    }
    if (mln_failed(err) && run->actor.kind == MLN_ACTOR_STRANGER) {
        mln_ledger_stranger(run->core->ledger, mln_bytes_of(rq->source), mln_err_name(err.code));
        return MLN_OK;
    }
    mln_run_record(run, err, NULL, &record);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(mln_ledger_note(rq->cx, run->core->ledger, &record));
    if (run->core->config.durable_reads && !mln_failed(err)) {
        rq->services->block(rq);
        MLN_TRY(mln_ledger_flush(rq->cx, run->core->ledger));
    }
    return MLN_OK;
}

static void keep_fault(struct mln_run *run)
{
    mln_copy(run->fault, run->rq.cx->text, sizeof(run->fault));
    mln_cx_clear(run->rq.cx);
}

static struct mln_err try_once(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    struct mln_record record = {0};
    struct mln_err err = mln_txn_begin(rq->cx, run->core->store, run->core->barrier, &rq->txn);
    err = mln_failed(err) ? err : handle(run);
    bool writes = !mln_failed(err) && mln_txn_has_writes(rq->txn);
    if (writes) {
        err = commit(run, &record);
        if (mln_is(err, MLN_E_CONFLICT) || !mln_failed(err)) {
            return err;
        }
    }
    keep_fault(run);
    struct mln_err noted = note(run, err);
    if (mln_failed(noted)) {
        keep_fault(run);
    }
    return mln_failed(noted) ? noted : err;
}

static void again(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    mln_txn_drop(&rq->txn);
    mln_cx_clear(rq->cx);
    run->reply = (struct mln_reply){0};
    run->actor = (struct mln_actor){.accessor = "", .display_name = "", .entity_id = "", .entity_name = "", .auth_path = ""};
    run->is_refused = run->reload_mounts = run->changed_policies = run->seals = false;
    run->topics = NULL;
    rq->detail = mln_object(rq->cx);
    rq->fields = mln_object(rq->cx);
    rq->route = NULL;
}

static struct mln_err tries(struct mln_run *run)
{
    struct mln_err err = {MLN_E_CONFLICT};
    for (int i = 0; i < TRIES_MAX && mln_is(err, MLN_E_CONFLICT); i++) {
        again(run);
        err = try_once(run);
    }
    mln_txn_drop(&run->rq.txn);
    if (mln_is(err, MLN_E_CONFLICT) && run->fault[0] == 0) {
        mln_copy(run->fault, "changed by others again and again: try once more", 49);
    }
    return err;
}

/* ---- what follows a change ---- */

static void after(struct mln_run *run)
{
    struct mln_core *core = run->core;
    struct mln_cx *cx = run->rq.cx;
    if (run->changed_policies) {
        atomic_fetch_add(&core->acl_epoch, 1);
    }
    if (run->reload_mounts && mln_failed(mln_mounts_load(cx, core))) {
        mln_cx_clear(cx); /* the table of before stays; the next change or unseal reads it again */
    }
    for (size_t i = 0; i < mln_len(run->topics); i++) {
        const char *name = mln_get_text(cx, mln_get(mln_item(run->topics, i), "name"), "");
        uint64_t version = mln_topic_next(core, name);
        if (core->config.publish != NULL && version != 0) {
            core->config.publish(core->config.arg, name, version, mln_get(mln_item(run->topics, i), "value"));
        }
    }
}

/* ---- what is answered while sealed: no transaction, no lock, no record ---- */

static bool answer_sealed(struct mln_run *run, struct mln_err *ret)
{
    struct mln_request *rq = &run->rq;
    struct mln_bytes rest = mln_bytes_from(rq->path, 4);
    static const struct mln_mount sys = {.path = "sys/", .type = "system", .engine = &mln_system};
    if (!mln_bytes_starts(rq->path, MLN_BYTES("sys/"))) {
        return false;
    }
    const struct mln_path *route = mln_route_find(rq->cx, &mln_system, rest, NULL);
    if (route == NULL || !route->works_sealed) {
        return false;
    }
    rq->mount = &sys;
    rq->rest = rest;
    *ret = mln_route(rq);
    if (!mln_failed(*ret) && rq->route->may_block) {
        rq->services->block(rq);
    }
    *ret = mln_failed(*ret) ? *ret : mln_route_handler(rq->route, rq->op)(rq, &run->reply);
    keep_fault(run);
    return true;
}

static struct mln_err run_open(struct mln_run *run)
{
    struct mln_core *core = run->core;
    pthread_rwlock_rdlock(&core->gate);
    struct mln_err err = {MLN_E_SEALED};
    if (atomic_load(&core->is_open)) {
        run->table = mln_mounts_hold(core);
        err = tries(run);
        if (!mln_failed(err)) {
            after(run);
        }
        mln_mounts_release_drop(&run->table);
    } else {
        mln_copy(run->fault, "Vault is sealed", 16);
    }
    pthread_rwlock_unlock(&core->gate);
    return err;
}

struct mln_err mln_core_answer(struct mln_cx *cx, struct mln_core *core, const struct mln_core_call *call, struct mln_buf *answer)
{
    struct mln_run run = {0};
    struct mln_err err = mln_run_begin(cx, core, &run);
    run.call = call;
    if (!mln_failed(err)) {
        err = decode(cx, &run, call->message);
        if (mln_is(err, MLN_E_CORRUPT)) {
            return err;
        }
    }
    if (mln_failed(err)) {
        keep_fault(&run);
    } else if (!answer_sealed(&run, &err)) {
        err = run_open(&run);
    }
    mln_run_answer(&run, err, answer);
    if (run.seals && !mln_failed(err)) {
        mln_core_seal_now(core, true);
    }
    mln_wipe_stack();
    return MLN_OK;
}
