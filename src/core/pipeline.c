/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's way through core: who (token) -> may they (policy) -> engine -> record -> answer. A request is one transaction; when
 * something that it read has changed meanwhile it is run again. No record, no answer.
 */
#include "core/core_priv.h"

#include "base/cbor.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "core/govern.h"
#include "identity/identity.h"

struct mln_core *mln_core_of(const struct mln_request *rq)
{
    return mln_run_of(rq)->core;
}

/* ---- the request as front sent it ---- */

static bool op_of(struct mln_bytes text, enum mln_op *ret)
{
    static const char *const names[] = {"read", "list", "write", "patch", "delete", "help", "scan"};
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(text, names[i])) {
            *ret = (enum mln_op)i;
            return true;
        }
    }
    return false;
}

/* Lists end in "/" before policy and routing see them. */
static struct mln_bytes whole_path(struct mln_cx *cx, enum mln_op op, struct mln_bytes path)
{
    bool has_slash = path.len > 0 && path.ptr[path.len - 1] == '/';
    uint8_t *slashed = mln_op_is_list(op) && !has_slash ? mln_new(cx, path.len + 1) : NULL;
    if (slashed == NULL) {
        return path;
    }
    mln_copy(slashed, path.ptr, path.len);
    slashed[path.len] = '/';
    return mln_bytes_at(slashed, path.len + 1);
}

static struct mln_err decode(struct mln_cx *cx, struct mln_run *run, struct mln_bytes message)
{
    struct mln_request *rq = &run->rq;
    struct mln_err err = mln_cbor_parse(cx, message, &run->message);
    if (mln_is(err, MLN_E_MEMORY)) {
        return mln_refail(cx, MLN_E_TOO_LARGE, "the request needs more memory than one may have");
    }
    const struct mln_value *path = mln_get(run->message, "path"), *data = mln_get(run->message, "data");
    bool has_data = !mln_is_null(data);
    if (mln_failed(err) || mln_type_of(path) != MLN_STRING || mln_len(path) == 0 || (has_data && mln_type_of(data) != MLN_OBJECT) ||
        !op_of(mln_get_bytes(mln_get(run->message, "op")), &rq->op)) {
        return mln_refail(cx, MLN_E_CORRUPT, "core: a message that is no request");
    }
    const struct mln_value *raw = mln_get(run->message, "raw");
    if (raw != NULL) {
        struct mln_value *with = mln_object(cx);
        mln_put(cx, with, "raw", raw);
        rq->data = with;
    } else if (has_data) {
        rq->data = data;
    }
    rq->path = whole_path(cx, rq->op, mln_get_bytes(path));
    rq->source = mln_get_text(cx, mln_get(run->message, "from"), "");
    rq->client_certs = mln_len(mln_get(run->message, "certs")) > 0 ? mln_get(run->message, "certs") : NULL;
    run->token = rq->bearer = mln_get_bytes(mln_get(run->message, "token"));
    return mln_cx_err(cx);
}

/* What is asked for and not there is refused, never passed over: a secret that should come wrapped must not come bare. */
static struct mln_err check(struct mln_run *run)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_bytes path = run->rq.path;
    bool is_clean = path.len <= MLN_PATH_MAX_BYTES + 1;
    for (size_t i = 0; is_clean && i < path.len; i++) {
        is_clean = path.ptr[i] >= 0x20 && path.ptr[i] != 0x7f;
    }
    if (!is_clean) {
        return mln_fail(cx, MLN_E_INVALID, "malformed path");
    }
    bool is_write = run->rq.op == MLN_OP_WRITE || run->rq.op == MLN_OP_PATCH;
    if (is_write && mln_bytes_ends(path, MLN_BYTES("/"))) { /* a secret of that name, or what lies below it? */
        return mln_fail(cx, MLN_E_INVALID, "cannot write to a path ending in '/'");
    }
    return mln_wrap_ttl(cx, mln_get_bytes(mln_get(run->message, "wrap")), &run->wrap_ttl_s);
}

const struct mln_actor mln_stranger = {.accessor = "", .display_name = "", .entity_id = "", .entity_name = "", .auth_path = ""};

struct mln_err mln_run_begin(struct mln_cx *cx, struct mln_core *core, struct mln_run *run)
{
    char *id = mln_new(cx, 37);
    run->rq.cx = cx;
    run->rq.id = "";
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
    run->actor = mln_stranger;
    return mln_cx_err(cx);
}

/* ---- who ---- */

/* The actor of a token. One whose entity is disabled or gone is as good as none. */
static struct mln_err become(struct mln_run *run, bool is_open)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_err err = mln_subject_of(run->core, cx, run->entry, &run->subject);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        run->entry = NULL;
        run->subject = (struct mln_subject){0};
        run->reason = is_open ? "open" : "entity";
        return is_open ? MLN_OK : mln_fail(cx, MLN_E_UNAUTHENTIC, "permission denied");
    }
    MLN_TRY(err);
    mln_token_actor(cx, run->entry, &run->actor);
    if (run->subject.person != NULL) {
        run->actor.entity_id = mln_get_text(cx, mln_get(run->subject.person, "id"), "");
        run->actor.entity_name = mln_get_text(cx, mln_get(run->subject.person, "name"), "");
    }
    return mln_cx_err(cx);
}

/* A login's token goes with its method: dead from the request that disables it, deleted by a tick. */
static struct mln_err has_method(struct mln_run *run, bool *ret)
{
    struct mln_mount mount;
    const char *uuid = mln_get_text(run->rq.cx, mln_get(run->entry, "auth_uuid"), "");
    struct mln_err err = uuid[0] == 0 ? MLN_OK : mln_mount_of(&run->rq, mln_token_ns(run->entry), uuid, &mount);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

/* Why a token that is known is as good as none here, or NULL. */
static struct mln_err why_not(struct mln_run *run, const char **ret)
{
    bool has_one = false;
    if (!mln_space_enter(run, mln_token_ns(run->entry))) {
        *ret = "namespace";
        return MLN_OK;
    }
    MLN_TRY(has_method(run, &has_one));
    *ret = !has_one ? "bad token" : mln_token_may_come_from(run->entry, run->rq.source) ? NULL : "address";
    return MLN_OK;
}

/* A token would add nothing: what a process gets there depends on what it is. */
static struct mln_err become_peer(struct mln_run *run)
{
    const struct mln_peer *peer = run->rq.peer;
    run->reason = peer != NULL ? "peer" : "no peer";
    if (peer == NULL) {
        return mln_fail(run->rq.cx, MLN_E_DENIED, "only for processes at the workload socket");
    }
    run->actor.kind = MLN_ACTOR_PEER;
    run->actor.display_name = mln_text_format(run->rq.cx, "pid %lld uid %u", (long long)peer->pid, peer->uid);
    return mln_cx_err(run->rq.cx);
}

/* Open paths take a token too, to answer for it; a bad one makes a stranger there. */
static struct mln_err who(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    bool is_open = rq->route != NULL && rq->route->is_open;
    if (rq->route != NULL && rq->route->needs_peer) {
        return become_peer(run);
    }
    if (is_open && run->token.len == 0) {
        run->reason = "open";
        return MLN_OK;
    }
    struct mln_err err = mln_token_find(run->core, rq->cx, rq->txn, rq->now_ns, run->token, &run->entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        mln_cx_clear(rq->cx);
        run->reason = is_open ? "open" : run->token.len == 0 ? "no token" : "bad token";
        return is_open ? MLN_OK : mln_fail(rq->cx, MLN_E_UNAUTHENTIC, "permission denied");
    }
    MLN_TRY(err);
    const char *reason = NULL;
    MLN_TRY(why_not(run, &reason));
    if (reason != NULL) {
        run->entry = NULL;
        run->home = NULL;
        run->reason = is_open ? "open" : reason;
        return is_open ? MLN_OK : mln_fail(rq->cx, MLN_E_UNAUTHENTIC, "permission denied");
    }
    return become(run, is_open);
}

/* ---- may they ---- */

struct question {
    struct mln_run *run;
    struct mln_bytes path;
    unsigned capability, got; /* got: all that the path has */
    bool is_request;          /* what was sent, not what an engine asks */
    const struct mln_value *data;
};

/* Wrapping times and page sizes that the rule asks for: of the request itself, not of what engines ask. */
static struct mln_err check_limits(const struct question *q, struct mln_cx *cx, const struct mln_acl *acl)
{
    struct mln_acl_limits limits;
    int64_t wrap_s = q->run->wrap_ttl_s, page = mln_get_int(mln_get(q->run->rq.data, "limit"), 0);
    bool is_list = mln_op_is_list(q->run->rq.op);
    mln_acl_limits_of(acl, q->path, is_list, &limits);
    if (limits.min_wrap_s == 0 && limits.max_wrap_s == 0 && limits.pagination == 0) {
        return MLN_OK;
    }
    (void)mln_i64_parse(mln_get_bytes(mln_get(q->run->rq.data, "limit")), &page); /* of a query */
    bool needs_wrap = limits.min_wrap_s > 0 || limits.max_wrap_s > 0;
    bool ok = !needs_wrap || (wrap_s > 0 && wrap_s >= limits.min_wrap_s && (limits.max_wrap_s == 0 || wrap_s <= limits.max_wrap_s));
    ok = ok && (!is_list || limits.pagination == 0 || (page > 0 && page <= limits.pagination));
    return ok ? MLN_OK : mln_fail(cx, MLN_E_DENIED, "permission denied");
}

static struct mln_err ask(void *arg, struct mln_cx *cx, const struct mln_acl *acl)
{
    const struct question *q = arg;
    struct mln_bytes rule = MLN_BYTES_NONE;
    struct mln_err err = mln_acl_check(cx, acl, q->path, q->capability, q->data, &rule);
    if (rule.len > 0) {
        q->run->rule = mln_text_dup(cx, rule);
    }
    return mln_failed(err) || !q->is_request ? err : check_limits(q, cx, acl);
}

static struct mln_err decide(struct question *q)
{
    struct mln_run *run = q->run;
    if (run->is_system || run->actor.is_root) {
        return MLN_OK;
    }
    return mln_policies_use_as(run->core, run->rq.cx, &run->subject, ask, q);
}

struct mln_err mln_run_may(struct mln_run *run, unsigned capability, struct mln_bytes path, const struct mln_value *data)
{
    struct question q = {.run = run, .path = mln_space_acl_path(run, path), .capability = capability, .data = data};
    return decide(&q);
}

static struct mln_err look(void *arg, struct mln_cx *cx, const struct mln_acl *acl)
{
    struct question *q = arg;
    (void)cx;
    q->got = mln_acl_capabilities(acl, q->path);
    return MLN_OK;
}

/* Create or update: the engine is asked only when the difference matters, and never for who may neither. */
static struct mln_err capability_of_write(struct mln_run *run, unsigned *ret)
{
    struct mln_request *rq = &run->rq;
    struct question q = {.run = run, .path = mln_space_acl_path(run, rq->path)};
    const unsigned both = MLN_CAP_CREATE | MLN_CAP_UPDATE;
    bool is_there = true;
    *ret = MLN_CAP_UPDATE;
    if (rq->route == NULL || rq->route->exists == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_policies_use_as(run->core, rq->cx, &run->subject, look, &q));
    if ((q.got & both) == 0 || (q.got & both) == both) {
        return MLN_OK;
    }
    MLN_TRY(mln_route_parse(rq, run->captures));
    MLN_TRY(rq->route->exists(rq, &is_there));
    *ret = is_there ? MLN_CAP_UPDATE : MLN_CAP_CREATE;
    return MLN_OK;
}

static struct mln_err capability_of(struct mln_run *run, unsigned *ret)
{
    switch (run->rq.op) {
    case MLN_OP_READ:
    case MLN_OP_HELP:
        *ret = MLN_CAP_READ;
        break;
    case MLN_OP_LIST:
        *ret = MLN_CAP_LIST;
        break;
    case MLN_OP_SCAN:
        *ret = MLN_CAP_SCAN;
        break;
    case MLN_OP_PATCH:
        *ret = MLN_CAP_PATCH;
        break;
    case MLN_OP_DELETE:
        *ret = MLN_CAP_DELETE;
        break;
    case MLN_OP_WRITE:
        return capability_of_write(run, ret);
    }
    return MLN_OK;
}

static struct mln_err may_they(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    unsigned capability = 0;
    if (rq->route != NULL && (rq->route->is_open || rq->route->needs_peer)) {
        return MLN_OK;
    }
    run->reason = run->actor.is_root ? "root" : "policy";
    if (run->actor.is_root) {
        return MLN_OK;
    }
    MLN_TRY(capability_of(run, &capability));
    struct question q = {.run = run,
                         .path = mln_space_acl_path(run, rq->path),
                         .capability = capability,
                         .data = rq->data,
                         .is_request = true};
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(decide(&q));
    struct mln_err err = rq->route != NULL && rq->route->is_sudo ? mln_run_may(run, MLN_CAP_SUDO, rq->path, NULL) : MLN_OK;
    run->reason = mln_is(err, MLN_E_DENIED) ? "sudo is needed" : run->reason;
    return err;
}

/* ---- one try ---- */

/* "keys/k/" is no other name of "keys/k": a rule for the one would not be asked about the other. Lists and rests of paths end so. */
static bool is_alias(const struct mln_request *rq)
{
    struct mln_bytes pattern = mln_bytes_of(rq->route->pattern);
    bool takes_it = mln_bytes_ends(pattern, MLN_BYTES("...}")) || mln_bytes_ends(pattern, MLN_BYTES("...}?"));
    return mln_bytes_ends(rq->path, MLN_BYTES("/")) && !mln_op_is_list(rq->op) && rq->op != MLN_OP_HELP && !takes_it;
}

static void find_route(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    rq->mount = mln_mounts_find(run->table, rq->path);
    rq->rest = rq->mount == NULL ? MLN_BYTES_NONE : mln_bytes_from(rq->path, mln_bytes_of(rq->mount->path).len);
    run->captures = mln_object(rq->cx);
    rq->route = rq->mount == NULL || rq->mount->engine == NULL ? NULL
                                                               : mln_route_find(rq->cx, rq->mount->engine, rq->rest, run->captures);
    rq->route = rq->route != NULL && is_alias(rq) ? NULL : rq->route;
}

/* What a reply asks core for: a token, a lease, to be wrapped. */
static struct mln_err complete(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    const struct mln_reply *re = &run->reply;
    if (re->login != NULL) {
        MLN_TRY(mln_token_login(rq, re->login, &run->reply.auth));
    }
    if (re->auth != NULL) {
        MLN_TRY(mln_entity_show_auth(rq, &run->reply.auth));
    }
    if (re->lease != NULL) {
        MLN_TRY(mln_lease_make(rq, re->lease));
    }
    bool is_plain = run->wrap_info != NULL || run->unwrapped != NULL || re->status >= 400 || re->topic != NULL;
    return run->wrap_ttl_s > 0 && !is_plain ? mln_wrap_reply(run) : MLN_OK;
}

static struct mln_err act(struct mln_run *run)
{
    struct mln_request *rq = &run->rq;
    if (rq->mount == NULL || rq->mount->engine == NULL) {
        return mln_fail(rq->cx, MLN_E_NO_ROUTE, "no handler for route \"%.*s\". route entry not found.", MLN_FMT(rq->path));
    }
    if (rq->op == MLN_OP_HELP) {
        return mln_help(run);
    }
    if (mln_token_is_batch(run->entry) && mln_bytes_is(mln_bytes_of(rq->mount->type), "cubbyhole")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cubbyhole operations are only supported by \"service\" type tokens");
    }
    if (run->entry != NULL && !mln_bytes_eq(mln_token_ns(run->entry), rq->ns) &&
        mln_bytes_is(mln_bytes_of(rq->mount->type), "cubbyhole")) { /* it would outlive its token */
        return mln_fail(rq->cx, MLN_E_INVALID, "a cubbyhole is in the namespace of its token: use \"%.*s\"",
                        MLN_FMT(run->home == NULL ? MLN_BYTES("root") : mln_space_path(run->home)));
    }
    MLN_TRY(mln_route_parse(rq, run->captures));
    if (rq->route->is_relief) {
        mln_txn_mark_relief(rq->txn);
    }
    if (rq->route->may_block) {
        mln_run_block(run);
    }
    MLN_TRY(mln_route_handler(rq->route, rq->op)(rq, &run->reply));
    MLN_TRY(complete(run));
    if (mln_txn_has_writes(rq->txn)) {
        run->changed_identity = run->changed_identity || mln_bytes_is(mln_bytes_of(rq->mount->path), MLN_IDENTITY_MOUNT);
        MLN_TRY(mln_mounts_expect(rq->cx, rq->txn, rq->mount));
    }
    return mln_cx_err(rq->cx);
}

struct mln_err mln_run_handle(struct mln_run *run)
{
    find_route(run);
    run->is_refused = true;
    struct mln_err err = who(run);
    err = mln_failed(err) ? err : may_they(run);
    err = mln_failed(err) ? err : mln_govern(run);
    run->is_refused = mln_failed(err);
    MLN_TRY(mln_audit_request(run, err));
    run->is_use_spent = mln_token_is_wrap(run->entry) && mln_bytes_starts(run->rq.path, MLN_BYTES("sys/wrapping/"));
    if (run->entry != NULL && !run->is_use_spent) {
        MLN_TRY(mln_token_use(run->core, run->rq.cx, run->rq.txn, run->entry));
    }
    return act(run);
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
    *ret = mln_space_check_open(run);
    *ret = mln_failed(*ret) ? *ret : mln_route(rq);
    if (!mln_failed(*ret) && rq->route->may_block) {
        mln_run_block(run);
    }
    *ret = mln_failed(*ret) ? *ret : mln_route_handler(rq->route, rq->op)(rq, &run->reply);
    return true;
}

static void end(struct mln_run *run, struct mln_err err, struct mln_buf *answer)
{
    mln_audit_release(run);
    mln_run_answer(run, err, answer);
    mln_spaces_release_drop(&run->spaces);
    mln_mounts_release_drop(&run->table); /* errors name what they found in it */
    if (run->seals) { /* also when its record failed: keys are safer gone */
        mln_core_seal_now(run->core, true);
    }
}

/* Through the gate, and the answer, unless a commit is on its way: `ready` may have been called for it already. */
static void run_open(struct mln_run *run, struct mln_buf *answer)
{
    struct mln_err err = mln_run_pass_gate(run);
    if (run->landing != NULL) {
        run->call->waiting = run;
        return;
    }
    mln_running_remove(run->core, &run->running);
    if (!mln_failed(err)) {
        mln_topics_publish(run);
    }
    err = mln_failed(err) || run->restore == NULL ? err : mln_core_restore(run);
    end(run, err, answer);
}

struct mln_err mln_core_answer(struct mln_cx *cx, struct mln_core *core, struct mln_core_call *call, struct mln_buf *answer)
{
    struct mln_run *run = MLN_NEW(cx, struct mln_run);
    if (run == NULL) {
        mln_answer_short(answer, answer->len);
        return MLN_OK;
    }
    run->call = call;
    struct mln_err err = mln_run_begin(cx, core, run);
    if (!mln_failed(err)) {
        err = decode(cx, run, call->message);
        if (mln_is(err, MLN_E_CORRUPT)) {
            return err;
        }
    }
    bool is_preflight = mln_get_bool(mln_get(run->message, "preflight"), false);
    err = mln_failed(err) ? err : check(run);
    err = mln_failed(err) ? err : mln_peer_resolve(run);
    err = mln_failed(err) ? err
                          : mln_cors_judge(cx, core, mln_get_bytes(mln_get(run->message, "origin")), is_preflight, &run->cors);
    if (mln_failed(err) || is_preflight || answer_sealed(run, &err)) {
        end(run, err, answer);
    } else {
        mln_running_add(core, &run->running, run);
        run_open(run, answer);
    }
    mln_wipe_stack();
    return MLN_OK;
}

void mln_core_resume(struct mln_core_call *call, struct mln_buf *answer)
{
    struct mln_run *run = call->waiting;
    call->waiting = NULL;
    run_open(run, answer);
    mln_wipe_stack();
}
