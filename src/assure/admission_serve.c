/* SPDX-License-Identifier: Apache-2.0 */
/* Admission engine: a review is judged, answered and recorded. */
#include "assure/admission_priv.h"

#include "assure/decision.h"
#include "assure/decision_keep.h"
#include "base/text.h"

#define HEARD_MAX  64u  /* sets of one review that are kept for its record */
#define SHOWN_MAX  8u   /* refusals in the ledger's record */
#define TEXT_SHOWN 256u /* bytes of one */

struct heard {
    const struct mln_rules *rules;
    const struct mln_value *input, *said;
};
struct serving {
    struct mln_request *rq;
    struct admission_kept *kept;
    struct admission_set *set;
    struct mln_admission_review review;
    struct mln_lookups lookups;
    struct mln_facts_ask facts;
    struct heard heard[HEARD_MAX];
    size_t n_heard;
    bool is_mutating;
};

static void listen_to(void *with, const struct mln_rules *rules, const struct mln_value *input, const struct mln_value *said)
{
    struct serving *s = with;
    if (s->n_heard < HEARD_MAX && mln_len(said) > 0) {
        s->heard[s->n_heard++] = (struct heard){rules, input, said};
    }
}

/* ---- who may ask ---- */

static struct mln_err check_caller(const struct serving *s)
{
    struct mln_request *rq = s->rq;
    const char *path = mln_text_format(rq->cx, "%s%s", rq->mount->path, s->is_mutating ? "mutate" : "validate");
    if (!s->set->config.needs_token || (rq->actor->kind == MLN_ACTOR_TOKEN && rq->services->may(rq, path, "update"))) {
        return MLN_OK;
    }
    return mln_fail(rq->cx, MLN_E_DENIED, "permission denied: a token with update on %s is needed (or auth=none in %sconfig)", path,
                    rq->mount->path);
}

/* ---- the record ---- */

static bool may_keep(struct serving *s)
{
    int64_t second = s->rq->now_ns / 1000000000;
    if (s->rq->actor->kind == MLN_ACTOR_TOKEN) {
        return true;
    }
    (void)pthread_mutex_lock(&s->kept->lock);
    s->kept->n_kept = s->kept->second == second ? s->kept->n_kept + 1 : 1;
    s->kept->second = second;
    bool ok = s->kept->n_kept <= ADMISSION_KEPT_A_SECOND;
    (void)pthread_mutex_unlock(&s->kept->lock);
    return ok;
}

/* What the masks name, and of a Secret what it holds, whatever they say. */
static const struct mln_value *masks_of(const struct serving *s)
{
    static const char *const secret[] = {"/request/object/data",      "/request/object/stringData", "/request/oldObject/data",
                                         "/request/oldObject/stringData", "/review/object/data",    "/review/object/stringData",
                                         "/review/oldObject/data",    "/review/oldObject/stringData"};
    struct mln_value *all = mln_value_dup(s->rq->cx, s->set->config.masks);
    for (size_t i = 0; mln_bytes_is(s->review.kind, "Secret") && i < MLN_COUNT(secret); i++) {
        mln_push_text(s->rq->cx, all, secret[i]);
    }
    return all;
}

static struct mln_err keep_one(struct serving *s, const struct heard *h, const char *verdict, struct mln_value *ids)
{
    struct mln_rules_options o;
    struct mln_value *d = NULL;
    struct mln_cx *cx = s->rq->cx;
    bool is_kept = false;
    if (!admission_options_of(s->set, h->rules, &o)) {
        return MLN_OK;
    }
    struct mln_decision decision = {.kind = "admission", .verdict = verdict, .rules = &o, .input = h->input, .said = h->said,
                                    .masks = masks_of(s), .lookups = &s->lookups, .now_ns = s->rq->now_ns};
    MLN_TRY(mln_decision_make(cx, &decision, &d));
    MLN_TRY(mln_decision_keep(s->rq, d, &is_kept));
    struct mln_value *one = mln_object(cx);
    mln_put(cx, one, "id", mln_get(d, "id"));
    mln_put(cx, one, "policy", mln_get(mln_get(d, "policy"), "digest"));
    mln_put(cx, one, "input", mln_get(d, "input_digest"));
    mln_put(cx, one, "result", mln_get(d, "result_digest"));
    mln_put_bool(cx, one, "kept", is_kept);
    mln_push(cx, ids, one);
    return mln_cx_err(cx);
}

/* Kept is what says no or changes something; a dry run leaves nothing but its record. */
static struct mln_err keep_decisions(struct serving *s, const struct mln_value *verdict)
{
    bool is_allowed = mln_get_bool(mln_get(verdict, "allowed"), false), is_patched = mln_len(mln_get(verdict, "patch")) > 0;
    struct mln_value *ids = mln_array(s->rq->cx);
    if ((is_allowed && !is_patched) || s->review.is_dry_run || !may_keep(s)) {
        return MLN_OK;
    }
    for (size_t i = 0; i < s->n_heard; i++) {
        MLN_TRY(keep_one(s, &s->heard[i], is_allowed ? "patched" : "denied", ids));
    }
    mln_put(s->rq->cx, s->rq->detail, "decisions", ids);
    return mln_cx_err(s->rq->cx);
}

static void tell_refusals(const struct serving *s, const char *key, const struct mln_value *list)
{
    struct mln_cx *cx = s->rq->cx;
    struct mln_value *shown = mln_array(cx);
    for (size_t i = 0; i < mln_len(list) && i < SHOWN_MAX; i++) {
        struct mln_bytes msg = mln_bytes_sub(mln_get_bytes(mln_get(mln_item(list, i), "msg")), 0, TEXT_SHOWN);
        while (msg.len > 0 && !mln_utf8_valid(msg)) {
            msg.len--;
        }
        mln_push(cx, shown, mln_textf(cx, "%.*s: %.*s", MLN_FMT(mln_get_bytes(mln_get(mln_item(list, i), "policy"))), MLN_FMT(msg)));
    }
    if (mln_len(shown) > 0) {
        mln_put(cx, s->rq->detail, key, shown);
    }
}

static void tell(const struct serving *s, const char *result)
{
    struct mln_cx *cx = s->rq->cx;
    struct mln_value *detail = s->rq->detail;
    const struct mln_admission_review *r = &s->review;
    mln_put_text(cx, detail, "admission", result);
    mln_put_bytes(cx, detail, "operation", r->operation);
    mln_put(cx, detail, "kind", mln_textf(cx, "%.*s/%.*s/%.*s", MLN_FMT(r->group), MLN_FMT(r->version), MLN_FMT(r->kind)));
    mln_put_bytes(cx, detail, "name", r->name);
    mln_put_bytes(cx, detail, "ns", r->ns);
    mln_put_bytes(cx, detail, "user", r->user);
    mln_put_bytes(cx, detail, "uid", r->uid);
    if (r->subresource.len > 0) {
        mln_put_bytes(cx, detail, "subresource", r->subresource);
    }
    if (r->is_dry_run) {
        mln_put_bool(cx, detail, "dry_run", true);
    }
    mln_put_text(cx, detail, "policies", mln_rules_digest(s->set->validate));
}

/* ---- judging ---- */

static bool is_exempt(const struct serving *s)
{
    for (size_t i = 0; s->review.ns.len > 0 && i < mln_len(s->set->config.exempt); i++) {
        if (mln_bytes_glob(mln_get_bytes(mln_item(s->set->config.exempt, i)), s->review.ns)) {
            return true;
        }
    }
    return false;
}

static struct mln_err judge(struct serving *s, struct mln_value **ret)
{
    const struct admission_config *c = &s->set->config;
    s->facts = (struct mln_facts_ask){
        .facts = s->kept->facts, .rq = s->rq, .mount = c->release_mount, .cache_ns = c->cache_ms * 1000000};
    s->lookups = (struct mln_lookups){
        .cx = s->rq->cx, .ask = mln_facts_lookup, .with = &s->facts, .kept = mln_array(s->rq->cx)};
    s->lookups.is_over = mln_len(mln_get(s->set->inventory, "cluster")) + mln_len(mln_get(s->set->inventory, "namespace")) > 0;
    struct mln_admission_judge j = {
        .validate = s->set->validate, .mutate = s->set->mutate, .templates = s->set->checked, .n_templates = s->set->n_templates,
        .constraints = s->set->constraints, .inventory = s->set->inventory, .data = s->set->data, .now_ns = s->rq->now_ns,
        .budget.time_ns = (uint64_t)c->time_ms * 1000000u, .lookup = mln_lookups_ask, .lookup_with = &s->lookups,
        .heard = listen_to, .heard_with = s};
    return mln_admission_judge(s->rq->cx, &j, &s->review, s->is_mutating, ret);
}

/* It could not be judged: the configuration says what that means. */
static struct mln_err answer_failed(struct serving *s, struct mln_err err, struct mln_reply *re)
{
    struct mln_cx *cx = s->rq->cx;
    if (mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    const struct admission_config *c = &s->set->config;
    bool is_allowed = mln_rules_is_lookup(cx) ? c->lookup_fails_open : c->fails_open;
    const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
    mln_cx_clear(cx);
    tell(s, is_allowed ? "failed open" : "failed closed");
    mln_put_text(cx, s->rq->detail, "why", why);
    return mln_admission_answer_failed(cx, &s->review, is_allowed, why, &re->bare);
}

static struct mln_err answer(struct serving *s, struct mln_reply *re)
{
    struct mln_value *verdict = NULL;
    struct mln_err err = judge(s, &verdict);
    if (mln_failed(err)) {
        return answer_failed(s, err, re);
    }
    bool is_allowed = mln_get_bool(mln_get(verdict, "allowed"), false), is_patched = mln_len(mln_get(verdict, "patch")) > 0;
    tell(s, !is_allowed ? "denied" : is_patched ? "patched" : "allowed");
    tell_refusals(s, "denied", mln_get(verdict, "denied"));
    tell_refusals(s, "warned", mln_get(verdict, "warned"));
    tell_refusals(s, "would_deny", mln_get(verdict, "dryrun"));
    MLN_TRY(keep_decisions(s, verdict));
    return mln_admission_answer(s->rq->cx, &s->review, verdict, &re->bare);
}

static void serving_drop(struct serving **s)
{
    admission_set_drop(&(*s)->set);
}

static struct mln_err serve(struct mln_request *rq, struct mln_reply *re, bool is_mutating)
{
    struct serving *made = MLN_NEW(rq->cx, struct serving);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_AUTO(serving_drop) struct serving *s = made;
    s->rq = rq;
    s->is_mutating = is_mutating;
    MLN_TRY(admission_kept_of(rq, &s->kept));
    MLN_TRY(admission_set_of(rq, s->kept, &s->set));
    MLN_TRY(check_caller(s));
    MLN_TRY(mln_admission_read(rq->cx, rq->data, &s->review));
    if (is_exempt(s)) {
        struct mln_value *verdict = mln_object(rq->cx);
        mln_put_bool(rq->cx, verdict, "allowed", true);
        tell(s, "exempt");
        return mln_admission_answer(rq->cx, &s->review, verdict, &re->bare);
    }
    return answer(s, re);
}

struct mln_err admission_validate(struct mln_request *rq, struct mln_reply *re)
{
    return serve(rq, re, false);
}

struct mln_err admission_mutate(struct mln_request *rq, struct mln_reply *re)
{
    return serve(rq, re, true);
}
