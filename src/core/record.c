/* SPDX-License-Identifier: Apache-2.0 */
/* What a request leaves in the ledger: who, what, on what, decided how and why; digests instead of contents. docs/format-ledger.md */
#include "core/core_priv.h"

static const char *const op_names[] = {"read", "list", "write", "patch", "delete", "help"};

static void put_actor(struct mln_run *run, struct mln_value *content)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_actor *a = &run->actor;
    struct mln_value *actor = mln_object(cx);
    static const char *const kinds[] = {"stranger", "token", "system"};
    mln_put_text(cx, actor, "kind", kinds[a->kind]);
    if (a->kind == MLN_ACTOR_TOKEN) {
        mln_put_text(cx, actor, "name", a->display_name);
        mln_put_text(cx, actor, "accessor", a->accessor);
        if (a->entity_id[0] != 0) {
            mln_put_text(cx, actor, "entity_id", a->entity_id);
            mln_put_text(cx, actor, "entity", a->entity_name);
        }
    }
    if (run->rq.source[0] != 0) {
        mln_put_text(cx, actor, "from", run->rq.source);
    }
    mln_put(cx, content, "actor", actor);
}

static void put_answer(struct mln_run *run, struct mln_err err, struct mln_value *content)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_reply *re = &run->reply;
    if (mln_failed(err)) {
        mln_put_text(cx, content, "error", mln_err_name(err.code));
        return;
    }
    const struct mln_value *given = re->auth != NULL ? re->auth : re->data != NULL ? re->data : re->bare;
    if (given != NULL) {
        mln_put_text(cx, content, "answer", mln_ledger_digest(cx, run->core->ledger, given));
    }
}

static enum mln_record_class class_of(const struct mln_run *run, struct mln_err err, bool wrote)
{
    if (run->is_refused) {
        return MLN_RECORD_DENIED;
    }
    if (run->is_system) {
        return MLN_RECORD_SYSTEM;
    }
    const struct mln_path *route = run->rq.route;
    if (!mln_failed(err) && route != NULL && route->act == MLN_ACT_LOGIN) {
        return MLN_RECORD_LOGIN;
    }
    if (route != NULL && route->act == MLN_ACT_EVIDENCE) {
        return MLN_RECORD_EVIDENCE;
    }
    return wrote ? MLN_RECORD_MUTATION : MLN_RECORD_READ;
}

void mln_run_record(struct mln_run *run, struct mln_err err, const struct mln_value *digests, struct mln_record *ret)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *content = mln_object(cx);
    const struct mln_path *route = run->rq.route;
    put_actor(run, content);
    mln_put_text(cx, content, "action", op_names[run->rq.op]);
    mln_put_bytes(cx, content, "resource", run->rq.path);
    mln_put_text(cx, content, "decision", run->is_refused ? "deny" : "allow");
    if (run->rule != NULL) {
        mln_put_text(cx, content, "rule", run->rule);
    }
    mln_put_text(cx, content, "request_id", run->rq.id);
    if (mln_len(run->rq.data) > 0) {
        mln_put_text(cx, content, "request", mln_ledger_digest(cx, run->core->ledger, run->rq.data));
    }
    put_answer(run, err, content);
    if (mln_len(run->rq.detail) > 0) {
        mln_put(cx, content, "detail", run->rq.detail);
    }
    if (route != NULL && route->controls != NULL) {
        mln_put_text(cx, content, "controls", route->controls);
    }
    if (mln_len(digests) > 0) {
        mln_put(cx, content, "digests", digests);
    }
    *ret = (struct mln_record){.klass = class_of(run, err, digests != NULL), .content = content, .index = UINT64_MAX};
}
