/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of Rego policies that are asked together; rules.h says what for. */
#include "assure/rules.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "crypto/crypto.h"

#define EVALS_MAX  64u       /* evaluators kept: one a thread that asks at the same time */
#define RULES_MAX  4096u     /* rules that are asked, of one set */
#define SEED       1u        /* chance is the same in a replay */
#define MESSAGES_MAX 1000u   /* of one question: more are an error of the policy, and would fill a record */

struct entry {
    char *package, *head;
    struct mln_rego_query *query;
};
struct mln_rules {
    struct mln_rego *rego;
    struct mln_rego_data *data;
    struct entry *entries;
    size_t n;
    char digest[MLN_DIGEST_TEXT];
    pthread_mutex_t lock; /* of evals */
    struct mln_rego_eval *evals[EVALS_MAX];
    size_t n_evals;
};

/* ---- digests ---- */

static const char *digest_text(struct mln_cx *cx, const uint8_t sum[MLN_SHA256_BYTES])
{
    return mln_text_format(cx, "sha256:%s", mln_hex_text(cx, mln_bytes_at(sum, MLN_SHA256_BYTES)));
}

struct mln_err mln_digest_value(struct mln_cx *cx, const struct mln_value *v, const char **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {0};
    uint8_t sum[MLN_SHA256_BYTES];
    mln_json_print(&json, v, MLN_JSON_COMPACT | MLN_JSON_SORTED);
    MLN_TRY(mln_buf_ok(cx, &json));
    mln_sha256(mln_buf_bytes(&json), sum);
    *ret = digest_text(cx, sum);
    return mln_cx_err(cx);
}

static int by_name(const void *a, const void *b)
{
    const struct mln_rego_source *const *x = a, *const *y = b;
    return mln_bytes_cmp(mln_bytes_of((*x)->name), mln_bytes_of((*y)->name));
}

static void add_part(struct mln_sha256_stream *s, struct mln_bytes part)
{
    uint8_t len[8];
    mln_put_u64be(len, part.len);
    mln_sha256_update(s, len, sizeof(len));
    mln_sha256_update(s, part.ptr, part.len);
}

/* Each part behind its length, so that no two sets of files read the same. */
struct mln_err mln_digest_sources(struct mln_cx *cx, const struct mln_rego_source *sources, size_t n, const char **ret)
{
    struct mln_sha256_stream s;
    uint8_t sum[MLN_SHA256_BYTES];
    const struct mln_rego_source **sorted = mln_new_array(cx, n + 1, sizeof(struct mln_rego_source *));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &sources[i];
    }
    qsort(sorted, n, sizeof(*sorted), by_name);
    MLN_TRY(mln_sha256_begin(cx, &s));
    for (size_t i = 0; i < n; i++) {
        add_part(&s, mln_bytes_of(sorted[i]->name));
        add_part(&s, sorted[i]->text);
    }
    mln_sha256_end(&s, sum);
    *ret = digest_text(cx, sum);
    return mln_cx_err(cx);
}

/* ---- making ---- */

void mln_rules_free(struct mln_rules *rules)
{
    if (rules == NULL) {
        return;
    }
    for (size_t i = 0; i < rules->n; i++) {
        mln_rego_query_free(rules->entries[i].query);
        mln_free(rules->entries[i].package);
        mln_free(rules->entries[i].head);
    }
    for (size_t i = 0; i < rules->n_evals; i++) {
        mln_rego_eval_free(rules->evals[i]);
    }
    mln_free(rules->entries);
    mln_rego_free(rules->rego);
    mln_rego_data_free(rules->data);
    (void)pthread_mutex_destroy(&rules->lock);
    mln_free(rules);
}

void mln_rules_drop(struct mln_rules **rules)
{
    mln_rules_free(*rules);
    *rules = NULL;
}

static struct mln_err explain(struct mln_cx *cx, const struct mln_rego_error *e, struct mln_err err)
{
    if (e == NULL || mln_is(err, MLN_E_MEMORY)) {
        return err;
    }
    const char *file = e->file == NULL ? "" : e->file;
    return mln_refail(cx, MLN_E_INVALID, "%s:%u:%u: %s: %s", file, (unsigned)e->row, (unsigned)e->col, e->code, e->message);
}

static struct mln_err compile(struct mln_cx *cx, const struct mln_rules_options *o, struct mln_rules *rules)
{
    struct mln_rego_options how = {.version = o->is_v0 ? MLN_REGO_V0 : MLN_REGO_V1, .has_print = true};
    size_t bytes = 0;
    if (o->n_modules > MLN_RULES_MODULES_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "more than %u policies in one set", MLN_RULES_MODULES_MAX);
    }
    MLN_TRY(mln_rego_new(cx, &how, &rules->rego));
    for (size_t i = 0; i < o->n_modules; i++) {
        bytes += o->modules[i].text.len;
        if (bytes > MLN_RULES_BYTES_MAX) {
            return mln_fail(cx, MLN_E_TOO_LARGE, "the policies of one set are longer than %zu bytes together", MLN_RULES_BYTES_MAX);
        }
        struct mln_err err = mln_rego_add(rules->rego, cx, o->modules[i].name, o->modules[i].text);
        if (mln_failed(err)) {
            return explain(cx, mln_rego_error_at(rules->rego, 0), err);
        }
    }
    struct mln_err err = mln_rego_compile(rules->rego, cx);
    return mln_failed(err) ? explain(cx, mln_rego_error_at(rules->rego, 0), err) : MLN_OK;
}

static bool is_head(struct mln_bytes name, const char *const *heads, bool has_key)
{
    for (const char *const *h = heads; *h != NULL; h++) {
        struct mln_bytes head = mln_bytes_of(*h);
        bool takes_keys = mln_bytes_ends(head, MLN_BYTES("*"));
        head.len -= takes_keys ? 1 : 0;
        if (mln_bytes_eq(name, head) && (takes_keys || !has_key)) {
            return true;
        }
    }
    return false;
}

static struct mln_bytes last_of(struct mln_bytes path, struct mln_bytes *ret_before)
{
    size_t dot = 0;
    for (size_t i = 0; i < path.len; i++) {
        dot = path.ptr[i] == '.' ? i : dot;
    }
    *ret_before = mln_bytes_sub(path, 0, dot);
    return mln_bytes_from(path, dot + 1);
}

/*
 * "data.merlon.gates.x.deny" below "data.merlon.gates": "x" and "deny". A rule of the prefix itself has the package "". *path loses a
 * constant key behind the rule.
 */
static bool split(struct mln_bytes *path, const struct mln_rules_options *o, struct mln_bytes *package, struct mln_bytes *head)
{
    struct mln_bytes prefix = mln_bytes_of(o->prefix), before;
    if (!mln_bytes_starts(*path, prefix) || path->len <= prefix.len || path->ptr[prefix.len] != '.') {
        return false;
    }
    *head = last_of(*path, &before);
    if (!is_head(*head, o->heads, false) && before.len > prefix.len) {
        *path = before;
        *head = last_of(*path, &before);
        if (!is_head(*head, o->heads, true)) {
            return false;
        }
    }
    *package = before.len > prefix.len ? mln_bytes_from(before, prefix.len + 1) : MLN_BYTES_NONE;
    return is_head(*head, o->heads, false);
}

static bool is_known(const struct mln_rules *rules, struct mln_bytes package, struct mln_bytes head)
{
    for (size_t i = 0; i < rules->n; i++) {
        if (mln_bytes_is(package, rules->entries[i].package) && mln_bytes_is(head, rules->entries[i].head)) {
            return true; /* another body of the same rule */
        }
    }
    return false;
}

static char *copy_of(struct mln_bytes text)
{
    char *copy = mln_alloc(text.len + 1);
    if (copy != NULL) {
        mln_copy(copy, text.ptr, text.len);
        copy[text.len] = '\0';
    }
    return copy;
}

static struct mln_err add_entry(struct mln_cx *cx, struct mln_rules *rules, struct mln_bytes path, struct mln_bytes package,
                                struct mln_bytes head)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    struct mln_bytes rest = path;
    struct entry *e = &rules->entries[rules->n];
    mln_buf_add_bytes(&text, mln_bytes_cut(rest, '.', &rest));
    while (rest.len > 0) {
        mln_buf_add_byte(&text, '[');
        mln_json_print_string(&text, mln_bytes_cut(rest, '.', &rest), MLN_JSON_COMPACT);
        mln_buf_add_byte(&text, ']');
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    rules->n++;
    e->package = copy_of(package);
    e->head = copy_of(head);
    if (e->package == NULL || e->head == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the rules of a policy");
    }
    return mln_rego_prepare(rules->rego, cx, mln_buf_bytes(&text), NULL, &e->query);
}

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int c = mln_bytes_cmp(mln_bytes_of(x->package), mln_bytes_of(y->package));
    return c != 0 ? c : mln_bytes_cmp(mln_bytes_of(x->head), mln_bytes_of(y->head));
}

static struct mln_err check_own(struct mln_cx *cx, const struct mln_rules_options *o, const struct mln_rego_rule *rule)
{
    struct mln_bytes own = mln_bytes_of(o->own_path), path = mln_bytes_of(rule->path);
    bool is_inside = own.len > 0 && mln_bytes_starts(path, own) && (path.len == own.len || path.ptr[own.len] == '.');
    if (!is_inside || mln_bytes_is(mln_bytes_of(rule->file), o->own_file)) {
        return MLN_OK;
    }
    return mln_fail(cx, MLN_E_INVALID, "%s:%u: no policy may have rules below %s", rule->file, (unsigned)rule->row, o->own_path);
}

static struct mln_err collect(struct mln_cx *cx, const struct mln_rules_options *o, struct mln_rules *rules)
{
    struct mln_rego_rule rule;
    struct mln_bytes package, head;
    size_t n = mln_rego_rule_count(rules->rego);
    rules->entries = mln_alloc_array((n < RULES_MAX ? n : RULES_MAX) + 1, sizeof(struct entry));
    if (rules->entries == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "no memory for the rules of a policy");
    }
    for (size_t i = 0; mln_rego_rule_at(rules->rego, i, &rule); i++) {
        struct mln_bytes path = mln_bytes_of(rule.path);
        MLN_TRY(check_own(cx, o, &rule));
        if (rule.is_function || !split(&path, o, &package, &head) || is_known(rules, package, head)) {
            continue;
        }
        if (rules->n == RULES_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "more than %u rules to ask in one set", RULES_MAX);
        }
        MLN_TRY(add_entry(cx, rules, path, package, head));
    }
    qsort(rules->entries, rules->n, sizeof(struct entry), by_place);
    return MLN_OK;
}

struct mln_err mln_rules_new(struct mln_cx *cx, const struct mln_rules_options *o, struct mln_rules **ret)
{
    MLN_AUTO(mln_rules_drop) struct mln_rules *rules = mln_alloc(sizeof(*rules));
    const char *digest = NULL;
    if (rules == NULL) {
        mln_rego_data_free(o->data);
        return mln_fail(cx, MLN_E_MEMORY, "no memory for policies");
    }
    (void)pthread_mutex_init(&rules->lock, NULL);
    rules->data = o->data;
    MLN_TRY(compile(cx, o, rules));
    MLN_TRY(collect(cx, o, rules));
    MLN_TRY(mln_digest_sources(cx, o->modules, o->n_modules, &digest));
    mln_copy(rules->digest, digest, mln_bytes_of(digest).len);
    *ret = mln_take(&rules);
    return MLN_OK;
}

size_t mln_rules_count(const struct mln_rules *rules)
{
    return rules->n;
}

const char *mln_rules_package(const struct mln_rules *rules, size_t i)
{
    return i < rules->n ? rules->entries[i].package : NULL;
}

const char *mln_rules_digest(const struct mln_rules *rules)
{
    return rules->digest;
}

/* ---- asking ---- */

static struct mln_err take_eval(struct mln_rules *rules, struct mln_cx *cx, struct mln_rego_eval **ret)
{
    struct mln_rego_eval *eval = NULL;
    (void)pthread_mutex_lock(&rules->lock);
    if (rules->n_evals > 0) {
        eval = rules->evals[--rules->n_evals];
    }
    (void)pthread_mutex_unlock(&rules->lock);
    if (eval != NULL) {
        *ret = eval;
        return MLN_OK;
    }
    return mln_rego_eval_new(cx, ret);
}

static void give_eval(struct mln_rules *rules, struct mln_rego_eval *eval)
{
    mln_rego_eval_reset(eval);
    (void)pthread_mutex_lock(&rules->lock);
    if (rules->n_evals < EVALS_MAX) {
        rules->evals[rules->n_evals++] = eval;
        eval = NULL;
    }
    (void)pthread_mutex_unlock(&rules->lock);
    mln_rego_eval_free(eval);
}

static struct mln_rego_run_options options_of(const struct mln_rules_question *q)
{
    struct mln_rego_run_options o = {
        .budget = q->budget, .now_ns = q->now_ns, .seed = SEED, .lookup = q->lookup, .lookup_with = q->lookup_with};
    o.budget.steps_max = o.budget.steps_max == 0 ? MLN_RULES_STEPS_MAX : o.budget.steps_max;
    o.budget.memory_max = o.budget.memory_max == 0 ? MLN_RULES_MEMORY_MAX : o.budget.memory_max;
    o.budget.time_ns = o.budget.time_ns == 0 ? MLN_RULES_TIME_NS : o.budget.time_ns;
    return o;
}

static struct mln_err say_failed(struct mln_cx *cx, const struct mln_rego_eval *eval, const struct entry *e, struct mln_err err)
{
    const struct mln_rego_error *why = mln_rego_eval_error(eval);
    if (why == NULL) {
        return err;
    }
    const char *code = why->code, *text = mln_text_dup(cx, mln_bytes_of(why->message));
    enum mln_code as = mln_is(err, MLN_E_TIMEOUT) ? MLN_E_TIMEOUT : MLN_E_INVALID;
    return mln_refail(cx, as, "%s: rule %s%s%s: %s", code, e->package, e->package[0] == '\0' ? "" : ".", e->head, text);
}

bool mln_rules_is_lookup(const struct mln_cx *cx)
{
    return mln_bytes_starts(mln_bytes_of(cx->text), MLN_BYTES("eval_lookup_error"));
}

/* Another rule has what is left of the budget of all. */
static struct mln_err ask_all(struct mln_rules *rules, struct mln_cx *cx, struct mln_rego_eval *eval,
                              const struct mln_rules_question *q, struct mln_value *said)
{
    struct mln_rego_run_options o = options_of(q);
    int64_t end_ns = mln_mono_ns() + (int64_t)o.budget.time_ns;
    for (size_t i = 0; i < rules->n; i++) {
        const struct entry *e = &rules->entries[i];
        int64_t left_ns = end_ns - mln_mono_ns();
        if (left_ns <= 0 || o.budget.steps_max == 0) {
            return mln_fail(cx, MLN_E_TIMEOUT, "the budget of this evaluation is used up");
        }
        o.budget.time_ns = (uint64_t)left_ns;
        struct mln_err err = mln_rego_run(eval, cx, e->query, q->data != NULL ? q->data : rules->data, &o);
        if (mln_failed(err)) {
            return say_failed(cx, eval, e, err);
        }
        uint64_t steps = mln_rego_steps(eval);
        o.budget.steps_max -= steps < o.budget.steps_max ? steps : o.budget.steps_max;
        const struct mln_value *answer = mln_rego_answer(eval, cx);
        if (answer != NULL) {
            struct mln_value *one = mln_object(cx);
            mln_put(cx, one, "package", mln_string_dup(cx, mln_bytes_of(e->package)));
            mln_put(cx, one, "rule", mln_string_dup(cx, mln_bytes_of(e->head)));
            mln_put(cx, one, "value", answer);
            mln_push(cx, said, one);
        }
    }
    return mln_cx_err(cx);
}

struct mln_err mln_rules_ask(struct mln_rules *rules, struct mln_cx *cx, const struct mln_rules_question *q,
                             const struct mln_value **ret)
{
    struct mln_rego_eval *eval = NULL;
    struct mln_value *said = mln_array(cx);
    MLN_CHECK(q->now_ns != 0);
    MLN_TRY(take_eval(rules, cx, &eval));
    struct mln_err err = mln_rego_eval_input_value(eval, cx, q->input);
    err = mln_failed(err) ? err : ask_all(rules, cx, eval, q, said);
    give_eval(rules, eval);
    MLN_TRY(err);
    *ret = said;
    return MLN_OK;
}

/* ---- messages ---- */

static bool is_yes(const struct mln_value *v)
{
    return !(mln_is_null(v) || (mln_type_of(v) == MLN_BOOL && !mln_get_bool(v, true)));
}

static const struct mln_value *text_of(struct mln_cx *cx, const struct mln_value *v, const char *rule)
{
    const struct mln_value *msg = mln_get(v, "msg");
    msg = msg != NULL ? msg : mln_get(v, "message");
    msg = mln_type_of(v) == MLN_OBJECT ? msg : v;
    if (mln_type_of(msg) == MLN_STRING) {
        return msg;
    }
    if (msg == NULL || mln_type_of(msg) == MLN_BOOL) {
        return mln_textf(cx, "%s holds", rule);
    }
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {.max = 4096};
    mln_json_print(&json, msg, MLN_JSON_COMPACT);
    return json.has_failed ? mln_text(cx, "a long message") : mln_string_dup(cx, mln_buf_bytes(&json));
}

static void add_message(struct mln_cx *cx, struct mln_value *list, const struct mln_value *from, const struct mln_value *v)
{
    struct mln_value *m = mln_object(cx);
    const char *rule = mln_get_text(cx, mln_get(from, "rule"), "");
    mln_put(cx, m, "package", mln_get(from, "package"));
    mln_put(cx, m, "rule", mln_get(from, "rule"));
    mln_put(cx, m, "msg", text_of(cx, v, rule));
    if (mln_type_of(v) == MLN_OBJECT && mln_len(v) > 1) {
        struct mln_value *details = mln_object(cx);
        for (size_t i = 0; i < mln_len(v); i++) {
            const struct mln_member *member = mln_member_at(v, i);
            if (!mln_bytes_is(member->key, "msg") && !mln_bytes_is(member->key, "message")) {
                mln_put_key(cx, details, member->key, &member->value);
            }
        }
        mln_put(cx, m, "details", details);
    }
    mln_push(cx, list, m);
}

struct mln_err mln_rules_messages(struct mln_cx *cx, const struct mln_value *said, const char *head, const struct mln_value **ret)
{
    struct mln_value *list = mln_array(cx);
    for (size_t i = 0; i < mln_len(said); i++) {
        const struct mln_value *one = mln_item(said, i), *v = mln_get(one, "value");
        if (head != NULL && !mln_is_text(mln_get(one, "rule"), head)) {
            continue;
        }
        bool is_many = mln_type_of(v) == MLN_ARRAY || mln_type_of(v) == MLN_SET;
        if (!is_many && is_yes(v)) {
            add_message(cx, list, one, v);
        }
        for (size_t k = 0; is_many && k < mln_len(v); k++) {
            add_message(cx, list, one, mln_item(v, k));
        }
        if (mln_len(list) > MESSAGES_MAX) {
            return mln_fail(cx, MLN_E_LIMIT, "more than %u messages from one decision", MESSAGES_MAX);
        }
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = list;
    return MLN_OK;
}
