/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for requests: which are for this one, what they are told, what their answer means. */
#include "core/govern_priv.h"

#include "base/text.h"

#define SHOWN_MAX 512u /* bytes of a message that a client sees */

struct governing {
    struct mln_run *run;
    const struct mln_value *input;
    int64_t left_ns;
};

/* ---- which ---- */

static bool has_name(const struct mln_value *list, const struct mln_value *name)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_value_eq(mln_item(list, i), name)) {
            return true;
        }
    }
    return false;
}

static bool covers_path(const struct governed *g, struct mln_bytes path)
{
    for (size_t i = 0; i < mln_len(g->paths); i++) {
        if (mln_bytes_glob(mln_get_bytes(mln_item(g->paths, i)), path)) {
            return true;
        }
    }
    return mln_len(g->paths) == 0;
}

static bool covers_groups(const struct governed *g, const struct mln_value *person)
{
    const struct mln_value *all = mln_get(person, "groups");
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_value *one = mln_item(all, i);
        if (has_name(g->groups, mln_get(one, "id")) || has_name(g->groups, mln_get(one, "name"))) {
            return true;
        }
    }
    return false;
}

/* An endpoint rule is for whoever comes to its paths; a role rule for who carries a policy, is an entity, is in a group. */
static bool covers(const struct governed *g, const struct mln_run *run, struct mln_bytes path)
{
    const struct mln_value *person = run->subject.person;
    if (!covers_path(g, path)) {
        return false;
    }
    if (!g->is_role) {
        return true;
    }
    for (size_t i = 0; i < mln_len(run->subject.names); i++) {
        if (has_name(g->policies, mln_item(run->subject.names, i))) {
            return true;
        }
    }
    return person != NULL && (has_name(g->entities, mln_get(person, "id")) || has_name(g->entities, mln_get(person, "name")) ||
                              covers_groups(g, person));
}

/* ---- what they are told ---- */

static void put_request(const struct mln_run *run, struct mln_value *input)
{
    static const char *const ops[] = {"read", "list", "write", "patch", "delete", "help", "scan"};
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *v = mln_object(cx);
    mln_put_bytes(cx, v, "path", run->rq.path);
    mln_put_text(cx, v, "operation", ops[run->rq.op]);
    mln_put_text(cx, v, "namespace", run->space == NULL ? "" : run->space->path);
    mln_put_text(cx, v, "source", run->rq.source);
    mln_put_text(cx, v, "id", run->rq.id);
    mln_put_text(cx, v, "time", mln_time_text_go(cx, run->rq.now_ns));
    mln_put_int(cx, v, "wrap_ttl_s", run->wrap_ttl_s);
    mln_put(cx, v, "data", run->rq.data);
    mln_put(cx, input, "request", v);
}

static void put_token(const struct mln_run *run, struct mln_value *input)
{
    struct mln_cx *cx = run->rq.cx;
    struct mln_value *v = mln_object(cx);
    if (run->entry == NULL) {
        return;
    }
    mln_put_text(cx, v, "accessor", run->actor.accessor);
    mln_put_text(cx, v, "display_name", run->actor.display_name);
    mln_put_text(cx, v, "path", run->actor.auth_path);
    mln_put(cx, v, "policies", run->subject.names == NULL ? mln_array(cx) : run->subject.names);
    if (run->actor.meta != NULL) {
        mln_put(cx, v, "meta", run->actor.meta);
    }
    mln_put(cx, input, "token", v);
}

static void put_rest(const struct mln_run *run, struct mln_value *input)
{
    struct mln_cx *cx = run->rq.cx;
    const struct mln_peer *peer = run->rq.peer;
    if (run->subject.person != NULL) {
        mln_put(cx, input, "entity", run->subject.person);
    }
    if (run->rq.mount != NULL) {
        struct mln_value *mount = mln_object(cx);
        mln_put_text(cx, mount, "path", run->rq.mount->path);
        mln_put_text(cx, mount, "type", run->rq.mount->type);
        mln_put(cx, input, "mount", mount);
    }
    if (peer != NULL) {
        struct mln_value *v = mln_object(cx);
        mln_put_int(cx, v, "uid", peer->uid);
        mln_put_int(cx, v, "gid", peer->gid);
        mln_put(cx, v, "selectors", peer->selectors);
        mln_put(cx, input, "peer", v);
    }
}

static struct mln_err need_input(struct governing *g)
{
    struct mln_value *input = mln_object(g->run->rq.cx);
    if (g->input == NULL) {
        put_request(g->run, input);
        put_token(g->run, input);
        put_rest(g->run, input);
        g->input = input;
    }
    return mln_cx_err(g->run->rq.cx);
}

/* ---- what their answer means ---- */

/* Of the input as it may be kept: what a request carries can be secret, and its digest is in the record already. */
static struct mln_err put_digests(const struct governing *g, const struct governed *rule, struct mln_value *note)
{
    struct mln_cx *cx = g->run->rq.cx;
    struct mln_value *input = mln_value_dup(cx, g->input), *request = mln_value_dup(cx, mln_get(g->input, "request"));
    const char *digest = NULL;
    mln_put_text(cx, request, "data", "(masked)");
    mln_put(cx, input, "request", request);
    MLN_TRY(mln_digest_value(cx, input, &digest));
    mln_put_text(cx, note, "policy", rule->rules == NULL ? "" : mln_rules_digest(rule->rules));
    mln_put_text(cx, note, "input", digest);
    return MLN_OK;
}

/* In the record: which rule, what became of it. Messages may quote the request and stay out. */
static struct mln_err tell(const struct governing *g, const struct governed *rule, const char *outcome)
{
    struct mln_cx *cx = g->run->rq.cx;
    const struct mln_value *before = mln_get(g->run->rq.detail, "rules");
    struct mln_value *list = before == NULL ? mln_array(cx) : mln_value_dup(cx, before), *note = mln_object(cx);
    mln_put_text(cx, note, "rule", rule->name);
    mln_put_text(cx, note, "outcome", outcome);
    MLN_TRY(put_digests(g, rule, note));
    mln_push(cx, list, note);
    mln_put(cx, g->run->rq.detail, "rules", list);
    return mln_cx_err(cx);
}

static struct mln_bytes shown(struct mln_bytes msg)
{
    msg = mln_bytes_sub(msg, 0, SHOWN_MAX);
    while (msg.len > 0 && !mln_utf8_valid(msg)) {
        msg.len--;
    }
    return msg;
}

static bool wants_override(const struct mln_run *run)
{
    const struct mln_value *sent = mln_get(mln_get(run->message, "sent"), "x-vault-policy-override");
    const struct mln_value *value = mln_type_of(sent) == MLN_ARRAY ? mln_item(sent, 0) : sent;
    return mln_is_text(value, "true") || mln_is_text(value, "1");
}

/* A soft rule yields to who asks for it and may: sudo on the path. */
static struct mln_err may_override(struct mln_run *run, bool *ret)
{
    *ret = false;
    if (!wants_override(run)) {
        return MLN_OK;
    }
    struct mln_err err = mln_run_may(run, MLN_CAP_SUDO, run->rq.path, NULL);
    if (mln_is(err, MLN_E_DENIED)) {
        mln_cx_clear(run->rq.cx);
        return MLN_OK;
    }
    *ret = !mln_failed(err);
    return err;
}

static void warn(struct governing *g, const struct governed *rule, struct mln_bytes msg)
{
    struct mln_run *run = g->run;
    mln_reply_warn(&run->rq, &run->reply, mln_text_format(run->rq.cx, "rule %s: %.*s", rule->name, MLN_FMT(shown(msg))));
}

static struct mln_err say_no(struct governing *g, const struct governed *rule, struct mln_bytes msg)
{
    struct mln_run *run = g->run;
    bool is_overridden = false;
    if (rule->is_dry_run) {
        return tell(g, rule, "would have denied");
    }
    if (rule->level == GOVERN_ADVISORY) {
        warn(g, rule, msg);
        return tell(g, rule, "advised");
    }
    if (rule->level == GOVERN_SOFT) {
        MLN_TRY(may_override(run, &is_overridden));
    }
    if (is_overridden) {
        warn(g, rule, msg);
        return tell(g, rule, "overridden");
    }
    MLN_TRY(tell(g, rule, "denied"));
    run->reason = "rule";
    run->rule = mln_text_dup(run->rq.cx, mln_bytes_of(rule->name)); /* the set may go before the record is made */
    return mln_fail(run->rq.cx, MLN_E_DENIED, "permission denied: rule %s: %.*s", rule->name, MLN_FMT(shown(msg)));
}

static struct mln_err ask(struct governing *g, const struct governed *rule, const struct mln_value **ret)
{
    struct mln_run *run = g->run;
    struct mln_rules_question q = {.input = g->input, .now_ns = run->rq.now_ns,
                                   .budget = {MLN_GOVERN_STEPS, MLN_GOVERN_MEMORY, (uint64_t)g->left_ns}};
    int64_t start_ns = mln_mono_ns();
    if (rule->rules == NULL) {
        return mln_fail(run->rq.cx, MLN_E_INVALID, "it does not compile any more");
    }
    struct mln_err err = g->left_ns <= 0 ? mln_fail(run->rq.cx, MLN_E_TIMEOUT, "the time for rules is used up")
                                         : mln_rules_ask(rule->rules, run->rq.cx, &q, ret);
    g->left_ns -= mln_mono_ns() - start_ns;
    return err;
}

/* A rule that cannot be judged says no. */
static struct mln_err judge(struct governing *g, const struct governed *rule)
{
    struct mln_cx *cx = g->run->rq.cx;
    const struct mln_value *said = NULL, *denied = NULL, *warned = NULL;
    MLN_TRY(need_input(g));
    struct mln_err err = ask(g, rule, &said);
    if (mln_failed(err)) {
        if (mln_is(err, MLN_E_MEMORY)) {
            return err;
        }
        const char *why = mln_text_format(cx, "could not be judged: %s", cx->text);
        mln_cx_clear(cx);
        return say_no(g, rule, mln_bytes_of(why));
    }
    MLN_TRY(mln_rules_messages(cx, said, "warn", &warned));
    MLN_TRY(mln_rules_messages(cx, said, "deny", &denied));
    for (size_t i = 0; i < mln_len(warned); i++) {
        warn(g, rule, mln_get_bytes(mln_get(mln_item(warned, i), "msg")));
    }
    return mln_len(denied) == 0 ? mln_cx_err(cx) : say_no(g, rule, mln_get_bytes(mln_get(mln_item(denied, 0), "msg")));
}

/* ---- the door ---- */

/* What makes a root token or new shares is guarded by shares: it must work whatever rules say. */
static bool is_recovery(const struct mln_run *run)
{
    static const char *const prefixes[] = {"sys/generate-root", "sys/rekey", "sys/rotate/root", "sys/rotate/recovery", "sys/decode-token"};
    for (size_t i = 0; run->space == NULL && i < MLN_COUNT(prefixes); i++) {
        if (mln_bytes_starts(run->rq.path, mln_bytes_of(prefixes[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_free(const struct mln_run *run)
{
    const struct mln_path *route = run->rq.route;
    return is_recovery(run) || run->is_system || run->actor.is_root || (route != NULL && (route->is_exempt || route->works_sealed));
}

struct mln_err mln_govern(struct mln_run *run)
{
    if (!atomic_load_explicit(&run->core->has_rules, memory_order_acquire) || is_free(run)) {
        return MLN_OK;
    }
    MLN_AUTO(govern_release) struct mln_governor *all = govern_hold(run->core);
    struct governing g = {.run = run, .left_ns = MLN_GOVERN_TIME_NS};
    struct mln_bytes path = mln_space_full_path(run, run->rq.path);
    for (size_t i = 0; all != NULL && i < all->n; i++) {
        if (covers(&all->rules[i], run, path)) {
            MLN_TRY(judge(&g, &all->rules[i]));
        }
    }
    return mln_cx_err(run->rq.cx);
}
