/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision table of a token: the rules of all its policies, equal patterns merged, exact ones in a hash table, the
 * others sorted so that the first that matches is the most specific. A decision is one hash lookup, and for a path without
 * an exact rule a walk over prefixes and "+" patterns. Facts: docs/policies.md.
 */
#include "policy/acl_priv.h"

#include "base/limits.h"
#include "policy/template.h"

#include <stdlib.h>

struct mln_acl {
    struct mln_arena *arena;
    bool is_root;
    struct acl_rule *rules; /* merged: first the exact ones, then the others, most specific first */
    size_t exact_n, n;
    uint32_t *slots; /* hash table over the exact rules: position + 1, 0 is free */
    size_t mask;
    int64_t until_ns;
};

/* What a table is made from. */
struct policies {
    const struct mln_policy *const *list;
    size_t n;
    struct mln_acl_for who;
};

static uint64_t hash_of(struct mln_bytes path)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a: patterns are written by administrators, not by strangers */
    for (size_t i = 0; i < path.len; i++) {
        h = (h ^ path.ptr[i]) * 0x100000001b3u;
    }
    return h ^ h >> 32;
}

/* ---- building ---- */

/* Join two maps of constraints: lists are joined, an empty list (any value) wins. */
static struct mln_value *merge_parameters(struct mln_cx *cx, struct mln_value *a,
                                          const struct mln_value *b)
{
    if (a == NULL || b == NULL) {
        return b == NULL ? a : mln_value_dup(cx, b);
    }
    for (size_t i = 0; i < mln_len(b); i++) {
        const struct mln_member *m = mln_member_at(b, i);
        const struct mln_value *old = mln_get_key(a, m->key);
        struct mln_value *joined = mln_array(cx);
        bool takes_any = old != NULL && (mln_len(old) == 0 || mln_len(&m->value) == 0);
        for (size_t j = 0; !takes_any && j < mln_len(old); j++) {
            mln_push(cx, joined, mln_item(old, j));
        }
        for (size_t j = 0; !takes_any && j < mln_len(&m->value); j++) {
            mln_push(cx, joined, mln_value_dup(cx, mln_item(&m->value, j)));
        }
        mln_put_key(cx, a, mln_bytes_dup(cx, m->key), joined);
    }
    return a;
}

static struct mln_value *merge_required(struct mln_cx *cx, struct mln_value *a,
                                        const struct mln_value *b)
{
    if (a == NULL && b != NULL) {
        a = mln_array(cx);
    }
    for (size_t i = 0; i < mln_len(b); i++) {
        mln_push(cx, a, mln_value_dup(cx, mln_item(b, i)));
    }
    return a;
}

static int64_t least(int64_t a, int64_t b) /* 0 is no limit */
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* `to` gains what `from` (of the same pattern) says. */
static void merge_rule(struct mln_cx *cx, struct acl_rule *to, const struct acl_rule *from)
{
    if (((to->capabilities | from->capabilities) & MLN_CAP_DENY) != 0) {
        to->capabilities = MLN_CAP_DENY;
        to->allowed = to->denied = to->required = NULL;
        return;
    }
    to->capabilities |= from->capabilities;
    to->allowed = merge_parameters(cx, to->allowed, from->allowed);
    to->denied = merge_parameters(cx, to->denied, from->denied);
    to->required = merge_required(cx, to->required, from->required);
    to->min_wrap_s = least(to->min_wrap_s, from->min_wrap_s);
    to->max_wrap_s = least(to->max_wrap_s, from->max_wrap_s);
    to->pagination = least(to->pagination, from->pagination);
}

static void copy_rule(struct mln_cx *cx, struct acl_rule *to, const struct acl_rule *from)
{
    *to = (struct acl_rule){.pattern = mln_bytes_dup(cx, from->pattern)};
    acl_rule_classify(to);
    merge_rule(cx, to, from);
}

static int cmp_size(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

/* > 0 when a is the more specific one. */
static int cmp_specific(const struct acl_rule *a, const struct acl_rule *b)
{
    int c = cmp_size(a->first_wild, b->first_wild);
    if (c == 0 && a->is_glob != b->is_glob) {
        c = a->is_glob ? -1 : 1;
    }
    if (c == 0) {
        c = cmp_size(b->plus_n, a->plus_n);
    }
    if (c == 0) {
        c = cmp_size(a->pattern.len, b->pattern.len);
    }
    return c != 0 ? c : mln_bytes_cmp(a->pattern, b->pattern);
}

/* Most specific first; equal patterns side by side. first_wild of exact rules is the largest: they come first. */
static int cmp_order(const void *a, const void *b)
{
    const struct acl_rule *const *x = a, *const *y = b;
    return cmp_specific(*y, *x);
}

/* The rule with its path filled in; NULL when it cannot be, or would be no path any more. */
static struct mln_err fill_rule(struct mln_cx *cx, const struct acl_rule *rule,
                                const struct mln_value *person, const struct acl_rule **ret)
{
    const struct mln_template_who who = {.person = person};
    const char *path = NULL;
    *ret = NULL;
    struct mln_err err = mln_template_fill(cx, rule->pattern, MLN_TEMPLATE_PATH, &who, &path);
    if (mln_is(err, MLN_E_INVALID)) { /* refused when policies are written; one from before fills nothing */
        mln_cx_clear(cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    if (path == NULL || mln_bytes_of(path).len > MLN_PATH_MAX_BYTES) {
        return MLN_OK;
    }
    struct acl_rule *filled = MLN_NEW(cx, struct acl_rule);
    MLN_TRY(mln_cx_err(cx));
    *filled = *rule;
    filled->pattern = mln_bytes_of(path);
    filled->is_glob = filled->has_plus = false;
    filled->plus_n = 0;
    acl_rule_classify(filled);
    *ret = filled;
    return MLN_OK;
}

static struct mln_err collect(struct mln_cx *cx, const struct policies *from,
                              const struct acl_rule ***ret, size_t *ret_n)
{
    const struct mln_policy *const *policies = from->list;
    size_t most = 0, used = 0, n = from->n;
    for (size_t i = 0; i < n; i++) {
        most += policies[i]->n;
    }
    const struct acl_rule **all = mln_new_array(cx, most + 1, sizeof(*all));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < policies[i]->n; j++) {
            const struct acl_rule *rule = &policies[i]->rules[j];
            if (rule->expires_ns != 0 && rule->expires_ns <= from->who.now_ns) {
                continue;
            }
            if (acl_rule_is_template(rule)) {
                MLN_TRY(fill_rule(cx, rule, from->who.person, &rule));
            }
            if (rule != NULL) {
                all[used++] = rule;
            }
        }
    }
    qsort(all, used, sizeof(*all), cmp_order);
    *ret = all;
    *ret_n = used;
    return MLN_OK;
}

static struct mln_err index_exact(struct mln_cx *cx, struct mln_acl *acl)
{
    while (acl->exact_n < acl->n && acl->rules[acl->exact_n].first_wild == SIZE_MAX) {
        acl->exact_n++;
    }
    size_t size = 8;
    while (size < acl->exact_n * 2) {
        size *= 2;
    }
    acl->mask = size - 1;
    acl->slots = mln_new_array(cx, size, sizeof(*acl->slots));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < acl->exact_n; i++) {
        size_t at = hash_of(acl->rules[i].pattern) & acl->mask;
        while (acl->slots[at] != 0) {
            at = (at + 1) & acl->mask;
        }
        acl->slots[at] = (uint32_t)(i + 1);
    }
    return MLN_OK;
}

static struct mln_err compile(struct mln_cx *cx, const struct policies *from, struct mln_acl *acl)
{
    const struct acl_rule **all = NULL;
    size_t all_n = 0;
    MLN_TRY(collect(cx, from, &all, &all_n));
    acl->rules = mln_new_array(cx, all_n + 1, sizeof(*acl->rules));
    MLN_TRY(mln_cx_err(cx));
    acl->until_ns = INT64_MAX;
    for (size_t i = 0; i < all_n; i++) {
        bool is_sooner = all[i]->expires_ns != 0 && all[i]->expires_ns < acl->until_ns;
        acl->until_ns = is_sooner ? all[i]->expires_ns : acl->until_ns;
        bool is_same = i > 0 && mln_bytes_eq(all[i]->pattern, all[i - 1]->pattern);
        if (is_same) {
            merge_rule(cx, &acl->rules[acl->n - 1], all[i]);
        } else {
            copy_rule(cx, &acl->rules[acl->n++], all[i]);
        }
    }
    MLN_TRY(mln_cx_err(cx));
    return index_exact(cx, acl);
}

static void acl_drop(struct mln_acl **acl)
{
    mln_acl_free(*acl);
}

static struct mln_err new_table(struct mln_cx *cx, const struct policies *from, bool is_root,
                                struct mln_acl **ret)
{
    MLN_AUTO(acl_drop) struct mln_acl *acl = mln_alloc(sizeof(*acl));
    if (acl == NULL || (acl->arena = mln_arena_new(ACL_MEMORY_MAX, false)) == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    acl->is_root = is_root;
    struct mln_cx inner;
    mln_cx_init(&inner, acl->arena);
    struct mln_err err = compile(&inner, from, acl);
    if (mln_failed(err)) {
        return mln_fail(cx, (enum mln_code)err.code, "%s", inner.text);
    }
    *ret = mln_take(&acl);
    return MLN_OK;
}

struct mln_err mln_acl_new(struct mln_cx *cx, const struct mln_policy *const *policies, size_t n,
                           bool is_root, struct mln_acl **ret)
{
    const struct policies from = {.list = policies, .n = n};
    return new_table(cx, &from, is_root, ret);
}

struct mln_err mln_acl_new_for(struct mln_cx *cx, const struct mln_policy *const *policies,
                               size_t n, const struct mln_acl_for *who, struct mln_acl **ret)
{
    const struct policies from = {.list = policies, .n = n, .who = *who};
    return new_table(cx, &from, false, ret);
}

void mln_acl_free(struct mln_acl *acl)
{
    if (acl != NULL) {
        mln_arena_free(acl->arena);
        mln_free(acl);
    }
}

/* ---- deciding ---- */

static const struct acl_rule *find_exact(const struct mln_acl *acl, struct mln_bytes path)
{
    for (size_t at = hash_of(path) & acl->mask; acl->slots[at] != 0; at = (at + 1) & acl->mask) {
        const struct acl_rule *rule = &acl->rules[acl->slots[at] - 1];
        if (mln_bytes_eq(rule->pattern, path)) {
            return rule;
        }
    }
    return NULL;
}

/* A pattern with "+" against a path, segment by segment; the last segment of a glob is a prefix. */
static bool matches_plus(const struct acl_rule *rule, struct mln_bytes path)
{
    struct mln_bytes pattern = rule->literal;
    for (;;) {
        size_t p = mln_bytes_find(pattern, '/'), q = mln_bytes_find(path, '/');
        struct mln_bytes want = mln_bytes_sub(pattern, 0, p);
        bool is_last = p == pattern.len;
        if (is_last && rule->is_glob) {
            return mln_bytes_starts(path, want);
        }
        bool is_plus = want.len == 1 && want.ptr[0] == '+';
        if (!is_plus && !mln_bytes_eq(want, mln_bytes_sub(path, 0, q))) {
            return false;
        }
        if (is_last || q == path.len) {
            return is_last && q == path.len;
        }
        pattern = mln_bytes_from(pattern, p + 1);
        path = mln_bytes_from(path, q + 1);
    }
}

static const struct acl_rule *find_wild(const struct mln_acl *acl, struct mln_bytes path)
{
    uint64_t head = acl_head(path);
    for (size_t i = acl->exact_n; i < acl->n; i++) {
        const struct acl_rule *rule = &acl->rules[i];
        if ((head & rule->head_mask) != rule->head) {
            continue;
        }
        if (rule->has_plus ? matches_plus(rule, path) : mln_bytes_starts(path, rule->literal)) {
            return rule;
        }
    }
    return NULL;
}

static const struct acl_rule *find_rule(const struct mln_acl *acl, struct mln_bytes path,
                                        bool is_list)
{
    const struct acl_rule *rule = find_exact(acl, path);
    if (rule == NULL && is_list && path.len > 1 && path.ptr[path.len - 1] == '/') {
        rule = find_exact(acl, mln_bytes_sub(path, 0, path.len - 1));
    }
    return rule != NULL ? rule : find_wild(acl, path);
}

unsigned mln_acl_capabilities(const struct mln_acl *acl, struct mln_bytes path)
{
    const unsigned all = MLN_CAP_CREATE | MLN_CAP_READ | MLN_CAP_UPDATE | MLN_CAP_DELETE |
                         MLN_CAP_LIST | MLN_CAP_PATCH | MLN_CAP_SUDO | MLN_CAP_SCAN |
                         MLN_CAP_RECOVER | MLN_CAP_SUBSCRIBE;
    if (acl->is_root) {
        return all;
    }
    const struct acl_rule *rule = find_rule(acl, path, false);
    return rule != NULL ? rule->capabilities : 0;
}

int64_t mln_acl_until_ns(const struct mln_acl *acl)
{
    return acl->until_ns;
}

void mln_acl_limits_of(const struct mln_acl *acl, struct mln_bytes path, bool is_list,
                       struct mln_acl_limits *ret)
{
    const struct acl_rule *rule = acl->is_root ? NULL : find_rule(acl, path, is_list);
    *ret = (struct mln_acl_limits){0};
    if (rule != NULL) {
        *ret = (struct mln_acl_limits){.min_wrap_s = rule->min_wrap_s,
                                       .max_wrap_s = rule->max_wrap_s,
                                       .pagination = rule->pagination};
    }
}

/* A text with "*" at its ends against another text. */
static bool matches_glob(struct mln_bytes pattern, struct mln_bytes text)
{
    bool at_start = pattern.len > 0 && pattern.ptr[0] == '*';
    struct mln_bytes core = mln_bytes_from(pattern, at_start ? 1 : 0);
    bool at_end = core.len > 0 && core.ptr[core.len - 1] == '*';
    core = mln_bytes_sub(core, 0, core.len - (at_end ? 1 : 0));
    if (at_start && at_end) {
        return core.len == 0 || mln_bytes_find_bytes(text, core) < text.len;
    }
    if (at_start) {
        return mln_bytes_ends(text, core);
    }
    return at_end ? mln_bytes_starts(text, core) : mln_bytes_eq(text, core);
}

static bool value_is_listed(const struct mln_value *value, const struct mln_value *list)
{
    if (mln_len(list) == 0) {
        return true;
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        const struct mln_value *item = mln_item(list, i);
        bool are_texts = mln_type_of(item) == MLN_STRING && mln_type_of(value) == MLN_STRING;
        if (are_texts ? matches_glob(mln_get_bytes(item), mln_get_bytes(value))
                      : mln_value_eq(item, value)) {
            return true;
        }
    }
    return false;
}

/* Names of constraints are kept in lower case; a body's names count in any case. */
static const struct mln_value *get_nocase(const struct mln_value *object, struct mln_bytes name)
{
    for (size_t i = 0; i < mln_len(object); i++) {
        const struct mln_member *m = mln_member_at(object, i);
        bool is_same = m->key.len == name.len;
        for (size_t j = 0; is_same && j < name.len; j++) {
            uint8_t a = m->key.ptr[j], b = name.ptr[j];
            a = a >= 'A' && a <= 'Z' ? (uint8_t)(a + 32) : a;
            b = b >= 'A' && b <= 'Z' ? (uint8_t)(b + 32) : b;
            is_same = a == b;
        }
        if (is_same) {
            return &m->value;
        }
    }
    return NULL;
}

static bool parameter_is_denied(const struct acl_rule *rule, const struct mln_member *m)
{
    const struct mln_value *list = get_nocase(rule->denied, m->key);
    return list != NULL && value_is_listed(&m->value, list);
}

static bool parameter_is_allowed(const struct acl_rule *rule, const struct mln_member *m)
{
    const struct mln_value *list = get_nocase(rule->allowed, m->key);
    return list != NULL ? value_is_listed(&m->value, list) : mln_get(rule->allowed, "*") != NULL;
}

static bool parameters_pass(const struct acl_rule *rule, const struct mln_value *data)
{
    for (size_t i = 0; i < mln_len(rule->required); i++) {
        if (get_nocase(data, mln_get_bytes(mln_item(rule->required, i))) == NULL) {
            return false;
        }
    }
    if (mln_len(data) > 0 && mln_get(rule->denied, "*") != NULL) {
        return false;
    }
    for (size_t i = 0; i < mln_len(data); i++) {
        const struct mln_member *m = mln_member_at(data, i);
        if (rule->denied != NULL && parameter_is_denied(rule, m)) {
            return false;
        }
        if (rule->allowed != NULL && !parameter_is_allowed(rule, m)) {
            return false;
        }
    }
    return true;
}

struct mln_err mln_acl_check(struct mln_cx *cx, const struct mln_acl *acl, struct mln_bytes path,
                             unsigned capability, const struct mln_value *data,
                             struct mln_bytes *ret_rule)
{
    if (acl->is_root) {
        if (ret_rule != NULL) {
            *ret_rule = MLN_BYTES("root");
        }
        return MLN_OK;
    }
    const struct acl_rule *rule = find_rule(acl, path, (capability & (MLN_CAP_LIST | MLN_CAP_SCAN)) != 0);
    bool is_ok = rule != NULL && capability != 0 && (rule->capabilities & MLN_CAP_DENY) == 0 &&
                 (rule->capabilities & capability) == capability;
    bool has_parameters = (capability & (MLN_CAP_CREATE | MLN_CAP_UPDATE | MLN_CAP_PATCH)) != 0;
    if (rule != NULL && ret_rule != NULL) {
        *ret_rule = rule->pattern;
    }
    if (!is_ok || (has_parameters && !parameters_pass(rule, data))) {
        return mln_fail(cx, MLN_E_DENIED, "permission denied");
    }
    return MLN_OK;
}

/* ---- showing ---- */

/* Could a path below `prefix` match? The pattern's segments against the prefix's, as far as both go. */
static bool reaches_below(const struct acl_rule *rule, struct mln_bytes prefix)
{
    struct mln_bytes pattern = rule->literal;
    while (prefix.len > 0) {
        size_t p = mln_bytes_find(pattern, '/'), q = mln_bytes_find(prefix, '/');
        struct mln_bytes want = mln_bytes_sub(pattern, 0, p), got = mln_bytes_sub(prefix, 0, q);
        bool is_last = p == pattern.len;
        if (is_last && rule->is_glob) {
            return mln_bytes_starts(got, want);
        }
        bool is_plus = want.len == 1 && want.ptr[0] == '+';
        if (is_last || (!is_plus && !mln_bytes_eq(want, got))) {
            return false;
        }
        pattern = mln_bytes_from(pattern, p + 1);
        prefix = mln_bytes_from(prefix, q + 1);
    }
    return true;
}

bool mln_acl_touches(const struct mln_acl *acl, struct mln_bytes prefix)
{
    unsigned here = mln_acl_capabilities(acl, prefix);
    bool is_touched = here != 0 && (here & MLN_CAP_DENY) == 0;
    for (size_t i = 0; !is_touched && i < acl->n; i++) {
        const struct acl_rule *rule = &acl->rules[i];
        bool allows = rule->capabilities != 0 && (rule->capabilities & MLN_CAP_DENY) == 0;
        bool is_above = rule->is_glob && rule->literal.len <= prefix.len; /* `here` has judged it */
        is_touched = allows && (rule->has_plus || !is_above) && reaches_below(rule, prefix);
    }
    return is_touched;
}

bool mln_acl_rule_at(const struct mln_acl *acl, size_t i, struct mln_acl_shown *ret)
{
    if (i >= acl->n) {
        return false;
    }
    *ret = (struct mln_acl_shown){.pattern = acl->rules[i].literal,
                                  .is_glob = acl->rules[i].is_glob,
                                  .capabilities = acl->rules[i].capabilities};
    return true;
}
