/* SPDX-License-Identifier: Apache-2.0 */
/* release.yaml, the gates beside it, and exceptions: one evaluation, one verdict. */
#include "assure/gates.h"

#include "assure/decision.h"
#include "assure/exception.h"

#define RELEASE "release" /* the package that release.yaml becomes */

static const char *const heads[] = {"decision", "deny", "warn", NULL};

/* ---- from what was said to findings ---- */

struct sum {
    struct mln_cx *cx;
    const struct mln_value *exceptions;
    struct mln_value *findings, *expired, *used;
    bool is_bad;
};

static bool has(const struct mln_value *list, const struct mln_value *item)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_value_eq(mln_item(list, i), item)) {
            return true;
        }
    }
    return false;
}

static void add_finding(struct sum *s, const struct mln_value *gate, const char *level, const struct mln_value *msg,
                        const struct mln_value *details)
{
    struct mln_value *f = mln_object(s->cx);
    bool is_deny = mln_bytes_is(mln_bytes_of(level), "deny");
    const struct mln_value *e =
        is_deny ? mln_exception_find(s->exceptions, mln_get_bytes(gate), mln_get_bytes(msg)) : NULL;
    bool is_expired = e != NULL && mln_get_bool(mln_get(e, "is_expired"), true);
    mln_put(s->cx, f, "gate", gate);
    mln_put_text(s->cx, f, "level", e != NULL && !is_expired ? "excepted" : level);
    mln_put(s->cx, f, "msg", msg);
    if (details != NULL) {
        mln_put(s->cx, f, "details", details);
    }
    if (e != NULL) {
        mln_put(s->cx, f, "exception", e);
        mln_push(s->cx, s->used, mln_get(e, "id"));
    }
    if (is_expired && !has(s->expired, e)) {
        mln_push(s->cx, s->expired, e);
    }
    s->is_bad = s->is_bad || (is_deny && (e == NULL || is_expired));
    mln_push(s->cx, s->findings, f);
}

/* Checks of release.yaml that do not hold; approvals are waited for, not failed. */
static void sum_release(struct sum *s, const struct mln_value *checks)
{
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *c = mln_item(checks, i), *name = mln_get(c, "name");
        if (!mln_get_bool(mln_get(c, "ok"), false) && !mln_is_text(name, "approvals")) {
            add_finding(s, name, "deny", mln_get(c, "detail"), NULL);
        }
    }
}

static struct mln_err sum_heads(struct sum *s, const struct mln_value *said, const char *head)
{
    const struct mln_value *messages = NULL;
    MLN_TRY(mln_rules_messages(s->cx, said, head, &messages));
    for (size_t i = 0; i < mln_len(messages); i++) {
        const struct mln_value *m = mln_item(messages, i);
        add_finding(s, mln_get(m, "package"), head, mln_get(m, "msg"), mln_get(m, "details"));
    }
    return mln_cx_err(s->cx);
}

static const struct mln_value *release_of(const struct mln_value *said)
{
    for (size_t i = 0; i < mln_len(said); i++) {
        const struct mln_value *one = mln_item(said, i);
        if (mln_is_text(mln_get(one, "package"), RELEASE) && mln_is_text(mln_get(one, "rule"), "decision")) {
            return mln_get(one, "value");
        }
    }
    return NULL;
}

static bool is_approved(const struct mln_value *checks)
{
    for (size_t i = 0; i < mln_len(checks); i++) {
        const struct mln_value *c = mln_item(checks, i);
        if (mln_is_text(mln_get(c, "name"), "approvals")) {
            return mln_get_bool(mln_get(c, "ok"), false);
        }
    }
    return true;
}

struct mln_err mln_gates_sum(struct mln_cx *cx, const struct mln_value *said, const struct mln_value *exceptions,
                             struct mln_value **ret)
{
    struct mln_value *v = mln_object(cx), *unused = mln_array(cx);
    struct sum s = {.cx = cx, .exceptions = exceptions, .findings = mln_array(cx), .expired = mln_array(cx), .used = mln_array(cx)};
    const struct mln_value *release = release_of(said), *checks = mln_get(release, "checks");
    sum_release(&s, checks);
    MLN_TRY(sum_heads(&s, said, "deny"));
    MLN_TRY(sum_heads(&s, said, "warn"));
    for (size_t i = 0; i < mln_len(exceptions); i++) {
        const struct mln_value *id = mln_get(mln_item(exceptions, i), "id");
        if (!has(s.used, id)) {
            mln_push(cx, unused, id);
        }
    }
    mln_put_text(cx, v, "verdict", s.is_bad ? "fail" : is_approved(checks) ? "pass" : "waiting");
    if (release != NULL) {
        mln_put(cx, v, "model", mln_get(release, "model"));
        mln_put(cx, v, "checks", checks);
    }
    mln_put(cx, v, "findings", s.findings);
    mln_put(cx, v, "expired", s.expired);
    mln_put(cx, v, "unused", unused);
    MLN_TRY(mln_cx_err(cx));
    *ret = v;
    return MLN_OK;
}

/* ---- judging ---- */

static struct mln_err sources_of(struct mln_cx *cx, const struct mln_gates *g, struct mln_rego_source **ret, size_t *ret_n)
{
    struct mln_rego_source *all = mln_new_array(cx, g->n_sources + 1, sizeof(*all));
    size_t n = 0;
    MLN_TRY(mln_cx_err(cx));
    if (g->gate != NULL) {
        struct mln_gate gate = *g->gate;
        gate.wants_gates = gate.wants_gates && g->n_sources == 0; /* they are run right here */
        all[n].name = MLN_GATE_MODULE;
        MLN_TRY(mln_gate_rego(cx, &gate, &all[n++].text));
    }
    for (size_t i = 0; i < g->n_sources; i++) {
        if (mln_bytes_is(mln_bytes_of(g->sources[i].name), MLN_GATE_MODULE)) {
            return mln_fail(cx, MLN_E_INVALID, "a gate cannot be named %s: release.yaml becomes that", MLN_GATE_MODULE);
        }
        all[n++] = g->sources[i];
    }
    *ret = all;
    *ret_n = n;
    return MLN_OK;
}

/* Names of the packages that were asked: of those that said nothing, too. */
static const struct mln_value *names_of(struct mln_cx *cx, const struct mln_rules *rules)
{
    struct mln_value *names = mln_array(cx);
    const char *last = NULL, *name;
    for (size_t i = 0; (name = mln_rules_package(rules, i)) != NULL; i++) {
        if ((last == NULL || !mln_bytes_is(mln_bytes_of(name), last)) && !mln_bytes_is(mln_bytes_of(name), RELEASE)) {
            mln_push(cx, names, mln_string_dup(cx, mln_bytes_of(name)));
        }
        last = name;
    }
    return names;
}

static struct mln_err decide(struct mln_cx *cx, const struct mln_gates *g, const struct mln_rules_options *o, struct mln_rules *rules,
                             const struct mln_value **ret)
{
    const struct mln_value *said = NULL;
    struct mln_value *v = NULL, *document = NULL;
    struct mln_rules_question q = {.input = g->input, .now_ns = g->now_ns};
    MLN_TRY(mln_rules_ask(rules, cx, &q, &said));
    MLN_TRY(mln_gates_sum(cx, said, g->exceptions, &v));
    mln_put(cx, v, "gates", names_of(cx, rules));
    const char *verdict = mln_get_text(cx, mln_get(v, "verdict"), "");
    struct mln_decision d = {.kind = "gate", .verdict = verdict, .rules = o, .input = g->input, .said = said, .masks = g->masks,
                             .now_ns = g->now_ns};
    MLN_TRY(mln_decision_make(cx, &d, &document));
    if (g->exceptions != NULL) {
        mln_put(cx, document, "exceptions", g->exceptions);
    }
    mln_put(cx, v, "decision", document);
    *ret = v;
    return mln_cx_err(cx);
}

struct mln_err mln_gates_judge(struct mln_cx *cx, const struct mln_gates *g, const struct mln_value **ret)
{
    MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
    struct mln_rego_source *sources = NULL;
    size_t n = 0;
    MLN_TRY(sources_of(cx, g, &sources, &n));
    struct mln_rules_options o = {.modules = sources, .n_modules = n, .prefix = MLN_GATE_PREFIX, .heads = heads,
                                  .own_path = MLN_GATE_PREFIX "." RELEASE, .own_file = MLN_GATE_MODULE};
    MLN_TRY(mln_rules_new(cx, &o, &rules));
    if (mln_rules_count(rules) == 0) {
        return mln_fail(cx, MLN_E_UNJUDGED,
                        "there is nothing to judge by: no release.yaml, and no rule deny or warn in a package merlon.gates.NAME");
    }
    return decide(cx, g, &o, rules, ret);
}
