/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions that can be replayed: making, masking, evaluating again. Their shape stands in decision.h. */
#include "assure/decision.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#define MASK_DEPTH_MAX 32u
#define MASKED         "(masked)"
#define HEADS_MAX      16u

/* ---- lookups ---- */

enum mln_rego_lookup mln_lookups_ask(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret)
{
    struct mln_lookups *l = with;
    enum mln_rego_lookup how = l->ask(l->with, name, args, n, ret);
    if (mln_len(l->kept) >= MLN_DECISION_LOOKUPS_MAX) {
        l->is_over = true;
        return how;
    }
    struct mln_value *one = mln_object(l->cx), *list = mln_array(l->cx);
    for (size_t i = 0; i < n; i++) {
        mln_push(l->cx, list, mln_string_dup(l->cx, args[i]));
    }
    mln_put(l->cx, one, "name", mln_string_dup(l->cx, mln_bytes_of(name)));
    mln_put(l->cx, one, "args", list);
    if (how == MLN_REGO_FOUND) {
        mln_put(l->cx, one, "answer", mln_string_dup(l->cx, *ret));
    }
    mln_push(l->cx, l->kept, one);
    return how;
}

/* ---- masks ---- */

struct mask {
    struct mln_cx *cx;
    struct mln_bytes parts[MASK_DEPTH_MAX];
    size_t n;
    bool is_hit;
};

static struct mln_err read_mask(struct mln_cx *cx, struct mln_bytes path, struct mask *ret)
{
    struct mln_bytes rest = mln_bytes_from(path, 1);
    *ret = (struct mask){.cx = cx};
    if (path.len < 2 || path.ptr[0] != '/') {
        return mln_fail(cx, MLN_E_INVALID, "a mask is a path such as /request/object/data");
    }
    while (rest.len > 0) {
        if (ret->n == MASK_DEPTH_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "a mask has more than %u names", MASK_DEPTH_MAX);
        }
        ret->parts[ret->n++] = mln_bytes_cut(rest, '/', &rest);
    }
    return MLN_OK;
}

static bool names(struct mln_bytes part, struct mln_bytes key)
{
    return mln_bytes_is(part, "*") || mln_bytes_eq(part, key);
}

static struct mln_value *masked(struct mask *m, const struct mln_value *v, size_t depth)
{
    if (depth == m->n) {
        m->is_hit = true;
        return mln_text(m->cx, MASKED);
    }
    if (mln_type_of(v) != MLN_OBJECT && mln_type_of(v) != MLN_ARRAY) {
        return mln_value_dup(m->cx, v);
    }
    bool is_object = mln_type_of(v) == MLN_OBJECT;
    struct mln_value *copy = is_object ? mln_object(m->cx) : mln_array(m->cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        struct mln_bytes key = is_object ? mln_member_at(v, i)->key : mln_bytes_format(m->cx, "%zu", i);
        const struct mln_value *item = is_object ? &mln_member_at(v, i)->value : mln_item(v, i);
        const struct mln_value *to = names(m->parts[depth], key) ? masked(m, item, depth + 1) : item;
        if (is_object) {
            mln_put_key(m->cx, copy, key, to);
        } else {
            mln_push(m->cx, copy, to);
        }
    }
    return copy;
}

struct mln_err mln_decision_mask(struct mln_cx *cx, const struct mln_value *input, const struct mln_value *masks,
                                 struct mln_value **ret, struct mln_value **ret_hit)
{
    struct mln_value *copy = mln_value_dup(cx, input), *hit = mln_array(cx);
    if (mln_len(masks) > MLN_DECISION_MASKS_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "more than %u masks", MLN_DECISION_MASKS_MAX);
    }
    for (size_t i = 0; i < mln_len(masks); i++) {
        struct mask m;
        MLN_TRY(read_mask(cx, mln_get_bytes(mln_item(masks, i)), &m));
        copy = masked(&m, copy, 0);
        if (m.is_hit) {
            mln_push(cx, hit, mln_item(masks, i));
        }
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = copy;
    *ret_hit = hit;
    return MLN_OK;
}

/* ---- making ---- */

static struct mln_err policy_value(struct mln_cx *cx, const struct mln_rules_options *o, struct mln_value **ret)
{
    struct mln_value *v = mln_object(cx), *modules = mln_array(cx), *rules = mln_array(cx);
    const char *digest = NULL;
    MLN_TRY(mln_digest_sources(cx, o->modules, o->n_modules, &digest));
    for (size_t i = 0; i < o->n_modules; i++) {
        struct mln_value *m = mln_object(cx);
        mln_put(cx, m, "name", mln_string_dup(cx, mln_bytes_of(o->modules[i].name)));
        mln_put_bytes(cx, m, "text", o->modules[i].text);
        mln_push(cx, modules, m);
    }
    for (const char *const *h = o->heads; *h != NULL; h++) {
        mln_push_text(cx, rules, *h);
    }
    mln_put_text(cx, v, "digest", digest);
    mln_put_text(cx, v, "prefix", o->prefix);
    mln_put(cx, v, "rules", rules);
    mln_put(cx, v, "modules", modules);
    *ret = v;
    return mln_cx_err(cx);
}

static struct mln_err check_size(struct mln_cx *cx, const struct mln_value *input)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {.max = MLN_DECISION_INPUT_MAX};
    mln_json_print(&json, input, MLN_JSON_COMPACT);
    return json.is_over ? mln_fail(cx, MLN_E_TOO_LARGE, "the input of a decision is longer than %zu bytes", MLN_DECISION_INPUT_MAX)
                        : mln_buf_ok(cx, &json);
}

/* The id is of what was decided and when: the same twice is the same decision. */
static struct mln_err put_id(struct mln_cx *cx, struct mln_value *v)
{
    const char *whole = NULL;
    MLN_TRY(mln_digest_value(cx, v, &whole));
    struct mln_bytes hex = mln_bytes_from(mln_bytes_of(whole), 7);
    mln_put_text(cx, v, "id", mln_text_format(cx, "dec-%.*s", (int)MLN_DECISION_ID_HEX, (const char *)hex.ptr));
    return mln_cx_err(cx);
}

struct mln_err mln_decision_make(struct mln_cx *cx, const struct mln_decision *d, struct mln_value **ret)
{
    struct mln_value *v = mln_object(cx), *policy = NULL, *input = NULL, *hit = NULL;
    const char *input_digest = NULL, *result_digest = NULL;
    MLN_TRY(check_size(cx, d->input));
    MLN_TRY(policy_value(cx, d->rules, &policy));
    MLN_TRY(mln_decision_mask(cx, d->input, d->masks, &input, &hit));
    MLN_TRY(mln_digest_value(cx, input, &input_digest));
    MLN_TRY(mln_digest_value(cx, d->said, &result_digest));
    mln_put_text(cx, v, "kind", d->kind);
    mln_put_text(cx, v, "time", mln_time_text_go(cx, d->now_ns));
    mln_put_int(cx, v, "now_ns", d->now_ns);
    mln_put_text(cx, v, "verdict", d->verdict);
    mln_put(cx, v, "policy", policy);
    mln_put_text(cx, v, "input_digest", input_digest);
    mln_put(cx, v, "input", input);
    mln_put(cx, v, "masked", hit);
    if (d->lookups != NULL && mln_len(d->lookups->kept) > 0) {
        mln_put(cx, v, "lookups", d->lookups->kept);
        mln_put_bool(cx, v, "has_all_lookups", !d->lookups->is_over);
    }
    mln_put(cx, v, "said", d->said);
    mln_put_text(cx, v, "result_digest", result_digest);
    MLN_TRY(put_id(cx, v));
    *ret = v;
    return MLN_OK;
}

/* ---- replay ---- */

struct replay {
    struct mln_cx *cx;
    const struct mln_value *decision, *policy;
    struct mln_rego_source *sources;
    size_t n;
    const char *heads[HEADS_MAX + 1];
    const char *prefix;
};

static struct mln_err no_decision(struct mln_cx *cx, const char *what)
{
    return mln_fail(cx, MLN_E_INVALID, "this is no decision: %s is missing or of another type", what);
}

static struct mln_err read_policy(struct replay *r)
{
    struct mln_cx *cx = r->cx;
    const struct mln_value *modules = mln_get(r->policy, "modules"), *rules = mln_get(r->policy, "rules");
    r->n = mln_len(modules);
    r->prefix = mln_get_text(cx, mln_get(r->policy, "prefix"), NULL);
    if (mln_type_of(modules) != MLN_ARRAY || r->n > MLN_RULES_MODULES_MAX || r->prefix == NULL) {
        return no_decision(cx, "policy.modules or policy.prefix");
    }
    if (mln_type_of(rules) != MLN_ARRAY || mln_len(rules) == 0 || mln_len(rules) > HEADS_MAX) {
        return no_decision(cx, "policy.rules");
    }
    r->sources = mln_new_array(cx, r->n + 1, sizeof(*r->sources));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < r->n; i++) {
        const struct mln_value *m = mln_item(modules, i);
        r->sources[i] = (struct mln_rego_source){.name = mln_get_text(cx, mln_get(m, "name"), NULL),
                                                 .text = mln_get_bytes(mln_get(m, "text"))};
        if (r->sources[i].name == NULL) {
            return no_decision(cx, "the name of a module");
        }
    }
    for (size_t i = 0; i < mln_len(rules); i++) {
        r->heads[i] = mln_get_text(cx, mln_item(rules, i), "");
    }
    return mln_cx_err(cx);
}

/* What was looked up then, in any order; what was not is not known now. */
static enum mln_rego_lookup looked_up(void *with, const char *name, const struct mln_bytes *args, size_t n, struct mln_bytes *ret)
{
    const struct replay *r = with;
    const struct mln_value *all = mln_get(r->decision, "lookups");
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_value *one = mln_item(all, i), *given = mln_get(one, "args");
        bool is_same = mln_is_text(mln_get(one, "name"), name) && mln_len(given) == n;
        for (size_t k = 0; is_same && k < n; k++) {
            is_same = mln_bytes_eq(mln_get_bytes(mln_item(given, k)), args[k]);
        }
        if (is_same) {
            *ret = mln_get_bytes(mln_get(one, "answer"));
            return mln_get(one, "answer") == NULL ? MLN_REGO_ABSENT : MLN_REGO_FOUND;
        }
    }
    *ret = MLN_BYTES("this was not looked up when it was decided");
    return MLN_REGO_FAILED;
}

static bool fits(const struct mln_value *decision, const char *key, const char *digest)
{
    return mln_is_text(mln_get(decision, key), digest);
}

/* NULL: content and digests belong together. */
static struct mln_err check_digests(struct replay *r, const char **ret_why)
{
    const char *policy = NULL, *input = NULL, *result = NULL;
    MLN_TRY(mln_digest_sources(r->cx, r->sources, r->n, &policy));
    MLN_TRY(mln_digest_value(r->cx, mln_get(r->decision, "input"), &input));
    MLN_TRY(mln_digest_value(r->cx, mln_get(r->decision, "said"), &result));
    *ret_why = !fits(r->policy, "digest", policy)              ? "the policies are not those that the digest names"
               : !fits(r->decision, "input_digest", input)     ? "the input is not the one that the digest names"
               : !fits(r->decision, "result_digest", result)   ? "the result is not the one that the digest names"
                                                               : NULL;
    return MLN_OK;
}

static struct mln_err answer(struct replay *r, const char *outcome, const char *why, const struct mln_value *said,
                             const struct mln_value **ret)
{
    struct mln_value *v = mln_object(r->cx);
    mln_put(r->cx, v, "id", mln_get(r->decision, "id"));
    mln_put_text(r->cx, v, "outcome", outcome);
    mln_put_text(r->cx, v, "why", why);
    mln_put(r->cx, v, "policy", mln_get(r->policy, "digest"));
    mln_put(r->cx, v, "input", mln_get(r->decision, "input_digest"));
    mln_put(r->cx, v, "result", mln_get(r->decision, "result_digest"));
    mln_put(r->cx, v, "verdict", mln_get(r->decision, "verdict"));
    if (said != NULL) {
        mln_put(r->cx, v, "said", said);
    }
    *ret = v;
    return mln_cx_err(r->cx);
}

static struct mln_err evaluate(struct replay *r, int64_t now_ns, const struct mln_value **ret)
{
    MLN_AUTO(mln_rules_drop) struct mln_rules *rules = NULL;
    struct mln_rules_options o = {.modules = r->sources, .n_modules = r->n, .prefix = r->prefix, .heads = r->heads};
    struct mln_rules_question q = {
        .input = mln_get(r->decision, "input"), .now_ns = now_ns, .lookup = looked_up, .lookup_with = r};
    MLN_TRY(mln_rules_new(r->cx, &o, &rules));
    return mln_rules_ask(rules, r->cx, &q, ret);
}

struct mln_err mln_decision_replay(struct mln_cx *cx, const struct mln_value *decision, const struct mln_value **ret)
{
    struct replay r = {.cx = cx, .decision = decision, .policy = mln_get(decision, "policy")};
    const struct mln_value *said = NULL;
    const char *why = NULL, *digest = NULL;
    int64_t now_ns = mln_get_int(mln_get(decision, "now_ns"), 0);
    if (now_ns <= 0 || mln_get(decision, "input") == NULL) {
        return no_decision(cx, "now_ns or input");
    }
    MLN_TRY(read_policy(&r));
    MLN_TRY(check_digests(&r, &why));
    if (why != NULL) {
        return answer(&r, "different", why, NULL, ret);
    }
    MLN_TRY(evaluate(&r, now_ns, &said));
    MLN_TRY(mln_digest_value(cx, said, &digest));
    if (fits(decision, "result_digest", digest)) {
        return answer(&r, "equal", "the same policies say the same of the same input", NULL, ret);
    }
    bool is_masked = mln_len(mln_get(decision, "masked")) > 0 || !mln_get_bool(mln_get(decision, "has_all_lookups"), true);
    return answer(&r, is_masked ? "unjudged" : "different",
                  is_masked ? "they say something else, but parts of the input are masked or lookups were not kept"
                            : "the same policies say something else of the same input",
                  said, ret);
}
