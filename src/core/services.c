/* SPDX-License-Identifier: Apache-2.0 */
/* What handlers may ask of core, and the system's own work. */
#include "core/core_priv.h"

#include "identity/identity.h"
#include "net/reach.h"
#include "policy/template.h"

#define CALL_DEPTH_MAX 8 /* of engines that call engines */

static void note_call(struct mln_run *run, const struct mln_request *inner)
{
    static const char *const names[] = {"read", "list", "write", "patch", "delete", "help", "scan"};
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *one = mln_object(cx);
    mln_put_text(cx, one, "action", names[inner->op]);
    mln_put_bytes(cx, one, "resource", inner->path);
    if (mln_len(inner->detail) > 0) {
        mln_put(cx, one, "detail", inner->detail);
    }
    run->calls = run->calls != NULL ? run->calls : mln_array(cx);
    mln_push(cx, run->calls, one);
}

static struct mln_err find_inner(struct mln_run *run, struct mln_request *inner)
{
    inner->mount = mln_mounts_find(run->table, inner->path);
    if (inner->mount == NULL || inner->mount->engine == NULL) {
        return mln_fail(inner->cx, MLN_E_NO_ROUTE,
                        "no handler for route \"%.*s\". route entry not found.",
                        MLN_FMT(inner->path));
    }
    if (run->depth >= CALL_DEPTH_MAX) {
        return mln_fail(inner->cx, MLN_E_LIMIT, "engines call engines more than %d deep",
                        CALL_DEPTH_MAX);
    }
    inner->rest = mln_bytes_from(inner->path, mln_bytes_of(inner->mount->path).len);
    return mln_route(inner);
}

static struct mln_err service_call(struct mln_request *rq, enum mln_op op, const char *path,
                                   const struct mln_value *data, struct mln_reply *re)
{
    struct mln_run *run = mln_run_of(rq);
    struct mln_request inner = *rq;
    inner.op = op;
    inner.path = mln_bytes_dup(rq->cx, mln_bytes_of(path));
    inner.data = data != NULL ? data : mln_object(rq->cx);
    inner.detail = mln_object(rq->cx);
    MLN_TRY(find_inner(run, &inner));
    if (inner.route->may_block) {
        mln_run_block(run);
    }
    run->depth++;
    struct mln_err err = mln_route_handler(inner.route, op)(&inner, re);
    run->depth--;
    MLN_TRY(err);
    if (re->lease != NULL) {
        MLN_TRY(mln_lease_make(&inner, re->lease));
        re->lease = NULL;
    }
    note_call(run, &inner);
    if (mln_txn_has_writes(rq->txn)) {
        run->changed_identity = run->changed_identity ||
                                mln_bytes_is(mln_bytes_of(inner.mount->path), MLN_IDENTITY_MOUNT);
        MLN_TRY(mln_mounts_expect(rq->cx, rq->txn, inner.mount));
    }
    return mln_cx_err(rq->cx);
}

static bool service_may(struct mln_request *rq, const char *path, const char *capability)
{
    static const struct {
        const char *name;
        unsigned capability;
    } names[] = {{"create", MLN_CAP_CREATE}, {"read", MLN_CAP_READ}, {"update", MLN_CAP_UPDATE},
                 {"delete", MLN_CAP_DELETE}, {"list", MLN_CAP_LIST}, {"patch", MLN_CAP_PATCH},
                 {"sudo", MLN_CAP_SUDO}, {"scan", MLN_CAP_SCAN}};
    struct mln_run *run = mln_run_of(rq);
    const char *rule = run->rule;
    for (size_t i = 0; i < MLN_COUNT(names); i++) {
        if (mln_bytes_is(mln_bytes_of(capability), names[i].name)) {
            bool may = !mln_failed(mln_run_may(run, names[i].capability, mln_bytes_of(path), NULL));
            if (!may) {
                mln_cx_clear(rq->cx);
            }
            run->rule = rule; /* the record names what decided the request itself */
            return may;
        }
    }
    return false;
}

static void service_publish(struct mln_request *rq, const char *topic,
                            const struct mln_value *value)
{
    struct mln_run *run = mln_run_of(rq);
    struct mln_value *one = mln_object(rq->cx);
    run->topics = run->topics != NULL ? run->topics : mln_array(rq->cx);
    mln_put_text(rq->cx, one, "name", mln_text_dup(rq->cx, mln_bytes_of(topic)));
    mln_put(rq->cx, one, "value", value);
    mln_push(rq->cx, run->topics, one);
}

void mln_run_block(struct mln_run *run)
{
    if (!run->has_blocked && run->call != NULL && run->call->block != NULL) {
        run->has_blocked = true;
        run->call->block(run->call->arg);
    }
}

static void service_block(struct mln_request *rq)
{
    mln_run_block(mln_run_of(rq));
}

static struct mln_err service_reach(struct mln_request *rq, const struct mln_value *ask,
                                    const struct mln_value **ret)
{
    struct mln_run *run = mln_run_of(rq);
    const struct mln_core_config *config = &run->core->config;
    const char *target = NULL;
    if (config->reach == NULL) {
        return mln_fail(rq->cx, MLN_E_UNSUPPORTED, "this server reaches nothing outside");
    }
    MLN_TRY(mln_reach_target(rq->cx, ask, &target));
    struct mln_value *one = mln_object(rq->cx);
    mln_put_text(rq->cx, one, "action", "reach");
    mln_put_text(rq->cx, one, "resource", target); /* where, never what: paths and bodies may hold secrets */
    run->calls = run->calls != NULL ? run->calls : mln_array(rq->cx);
    mln_push(rq->cx, run->calls, one);
    mln_run_block(run);
    MLN_TRY(mln_audit_flush(mln_run_of(rq)));
    return config->reach(config->arg, rq->cx, ask, ret);
}

static struct mln_err service_entity(struct mln_request *rq, const char *id,
                                     const struct mln_value **ret)
{
    struct mln_err err = mln_person_find(mln_core_of(rq), rq->cx, rq->ns, id, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "no such entity") : err;
}

static struct mln_err service_fill(struct mln_request *rq, struct mln_bytes text, const char **ret)
{
    const struct mln_template_who who = {.person = mln_run_of(rq)->subject.person,
                                         .now_s = rq->now_ns / 1000000000};
    return mln_template_fill(rq->cx, text, MLN_TEMPLATE_TEXT, &who, ret);
}

static const struct mln_mount *service_mount(struct mln_request *rq, const char *accessor)
{
    const struct mln_mount_table *table = mln_run_of(rq)->table;
    for (size_t i = 0; table != NULL && i < table->n; i++) {
        if (mln_bytes_is(mln_bytes_of(table->mounts[i].accessor), accessor)) {
            return &table->mounts[i];
        }
    }
    return NULL;
}

static const char *service_address(struct mln_request *rq)
{
    const char *known = mln_core_of(rq)->config.api_address;
    return known != NULL ? known : "http://127.0.0.1:8200";
}

static void service_vouch(struct mln_request *rq, const char *name)
{
    struct mln_run *run = mln_run_of(rq);
    if (run->actor.kind == MLN_ACTOR_STRANGER) {
        run->actor.kind = MLN_ACTOR_BEARER;
        run->actor.display_name = mln_text_dup(rq->cx, mln_bytes_of(name));
    }
}

static const struct mln_value *service_setting(struct mln_request *rq, const char *name)
{
    return mln_get(mln_core_of(rq)->config.settings, name);
}

static struct mln_err service_present(struct mln_request *rq, struct mln_bytes chain, struct mln_bytes key)
{
    const struct mln_core_config *config = &mln_core_of(rq)->config;
    return config->present != NULL ? config->present(config->arg, rq->cx, chain, key) : MLN_OK;
}

const struct mln_services mln_core_services = {
    .call = service_call,
    .may = service_may,
    .publish = service_publish,
    .block = service_block,
    .reach = service_reach,
    .entity = service_entity,
    .fill = service_fill,
    .mount = service_mount,
    .address = service_address,
    .attempt = mln_lockout_attempt,
    .keep = mln_keep,
    .after = mln_after,
    .setting = service_setting,
    .errand = mln_errand,
    .present = service_present,
    .vouch = service_vouch,
};

static struct mln_err commit_claimed(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                                     const char *action, const struct mln_value *detail)
{
    struct mln_run run = {.is_system = true};
    struct mln_batch batch = {0};
    struct mln_record record = {0};
    const struct mln_value *digests = NULL;
    MLN_TRY(mln_run_begin(cx, core, &run));
    if (!mln_txn_has_writes(txn)) {
        return MLN_OK;
    }
    run.actor.kind = MLN_ACTOR_SYSTEM;
    run.rq.path = mln_bytes_of(action);
    run.rq.op = MLN_OP_WRITE;
    run.rq.detail = detail == NULL ? mln_object(cx) : mln_value_dup(cx, detail);
    MLN_TRY(mln_txn_batch(cx, txn, &batch, &digests));
    mln_run_record(&run, MLN_OK, digests, &record);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_ledger_attach(cx, core->ledger, &record, &batch));
    return mln_store_commit(cx, core->store, &batch);
}

struct mln_err mln_core_commit(struct mln_core *core, struct mln_cx *cx, struct mln_txn *txn,
                               const char *action, const struct mln_value *detail)
{
    struct mln_lease_claim claim;
    MLN_TRY(mln_lease_claim(cx, core, mln_txn_tallies(txn), mln_bytes_of(action), &claim));
    struct mln_err err = commit_claimed(core, cx, txn, action, detail);
    mln_lease_settle(core, &claim, !mln_failed(err));
    return err;
}
