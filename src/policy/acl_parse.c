/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACL policy text to rules. Source: the public documentation of Vault's policies; the facts are in docs/policies.md.
 *
 * What a policy can say and this version does not enforce (control groups, second factors by path) is refused when the
 * policy is written: a rule that is silently weaker than its text would be worse than none.
 */
#include "policy/acl_priv.h"

#include "base/limits.h"
#include "base/text.h"
#include "policy/template.h"

static const struct {
    const char *name;
    unsigned bit;
} capability_list[] = {
    {"create", MLN_CAP_CREATE}, {"delete", MLN_CAP_DELETE},   {"list", MLN_CAP_LIST},
    {"patch", MLN_CAP_PATCH},   {"read", MLN_CAP_READ},       {"recover", MLN_CAP_RECOVER},
    {"scan", MLN_CAP_SCAN},     {"subscribe", MLN_CAP_SUBSCRIBE}, {"sudo", MLN_CAP_SUDO},
    {"update", MLN_CAP_UPDATE},
};

const struct mln_value *mln_capability_names(struct mln_cx *cx, unsigned capabilities, bool is_root)
{
    struct mln_value *names = mln_array(cx);
    if (is_root) {
        mln_push_text(cx, names, "root");
        return names;
    }
    for (size_t i = 0; i < MLN_COUNT(capability_list); i++) {
        if ((capabilities & MLN_CAP_DENY) == 0 && (capabilities & capability_list[i].bit) != 0) {
            mln_push_text(cx, names, capability_list[i].name);
        }
    }
    if (mln_len(names) == 0) {
        mln_push_text(cx, names, "deny");
    }
    return names;
}

/* The rule that is being read: its path is named in every error. */
struct reading {
    struct mln_cx *cx;
    struct acl_rule *rule;
    struct mln_bytes path; /* as written */
};

static struct mln_err read_capability(struct reading *r, const struct mln_value *name)
{
    struct mln_bytes text = mln_get_bytes(name);
    if (mln_type_of(name) == MLN_STRING && mln_bytes_is(text, "deny")) {
        r->rule->capabilities |= MLN_CAP_DENY;
        return MLN_OK;
    }
    for (size_t i = 0; i < MLN_COUNT(capability_list); i++) {
        if (mln_type_of(name) == MLN_STRING && mln_bytes_is(text, capability_list[i].name)) {
            r->rule->capabilities |= capability_list[i].bit;
            return MLN_OK;
        }
    }
    return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": invalid capability \"%.*s\"",
                    MLN_FMT(r->path), MLN_FMT(text));
}

static struct mln_err read_capabilities(struct reading *r, const struct mln_value *v)
{
    if (mln_type_of(v) != MLN_ARRAY) {
        return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": capabilities must be a list",
                        MLN_FMT(r->path));
    }
    for (size_t i = 0; i < mln_len(v); i++) {
        MLN_TRY(read_capability(r, mln_item(v, i)));
    }
    return MLN_OK;
}

/* The form of before capabilities: policy = "read". */
static struct mln_err read_legacy(struct reading *r, const struct mln_value *v)
{
    const unsigned write = MLN_CAP_CREATE | MLN_CAP_READ | MLN_CAP_UPDATE | MLN_CAP_DELETE |
                           MLN_CAP_LIST;
    if (mln_is_text(v, "deny")) {
        r->rule->capabilities |= MLN_CAP_DENY;
    } else if (mln_is_text(v, "read")) {
        r->rule->capabilities |= MLN_CAP_READ | MLN_CAP_LIST;
    } else if (mln_is_text(v, "write")) {
        r->rule->capabilities |= write;
    } else if (mln_is_text(v, "sudo")) {
        r->rule->capabilities |= write | MLN_CAP_SUDO;
    } else {
        return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": invalid policy \"%.*s\"",
                        MLN_FMT(r->path), MLN_FMT(mln_get_bytes(v)));
    }
    return MLN_OK;
}

static struct mln_bytes lower(struct mln_cx *cx, struct mln_bytes name)
{
    uint8_t *to = mln_new(cx, name.len + 1);
    for (size_t i = 0; to != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        to[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
    }
    return mln_bytes_at(to, to != NULL ? name.len : 0);
}

static struct mln_err read_parameters(struct reading *r, const char *key, const struct mln_value *v,
                                      struct mln_value **ret)
{
    if (mln_type_of(v) != MLN_OBJECT) {
        return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": %s must be a map of lists",
                        MLN_FMT(r->path), key);
    }
    struct mln_value *out = mln_object(r->cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_member *m = mln_member_at(v, i);
        if (mln_type_of(&m->value) != MLN_ARRAY) {
            return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": %s must be a map of lists",
                            MLN_FMT(r->path), key);
        }
        mln_put_key(r->cx, out, lower(r->cx, m->key), &m->value);
    }
    *ret = mln_len(out) > 0 ? out : NULL;
    return mln_cx_err(r->cx);
}

static struct mln_err read_required(struct reading *r, const struct mln_value *v)
{
    struct mln_value *out = mln_array(r->cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        const struct mln_value *name = mln_item(v, i);
        if (mln_type_of(name) != MLN_STRING) {
            out = NULL;
            break;
        }
        mln_push(r->cx, out, mln_string(r->cx, lower(r->cx, mln_get_bytes(name))));
    }
    if (mln_type_of(v) != MLN_ARRAY || out == NULL) {
        return mln_fail(r->cx, MLN_E_INVALID,
                        "path \"%.*s\": required_parameters must be a list of names",
                        MLN_FMT(r->path));
    }
    r->rule->required = mln_len(out) > 0 ? out : NULL;
    return mln_cx_err(r->cx);
}

/* 90, "90" or "90s". */
static struct mln_err read_seconds(struct reading *r, const char *key, const struct mln_value *v,
                                   int64_t *ret)
{
    int64_t s = -1;
    bool ok = mln_type_of(v) == MLN_INT ? (s = mln_get_int(v, -1)) >= 0
                                        : mln_type_of(v) == MLN_STRING &&
                                              mln_duration_parse(mln_get_bytes(v), &s);
    if (!ok || s < 0) {
        return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": error parsing %s", MLN_FMT(r->path),
                        key);
    }
    *ret = s;
    return MLN_OK;
}

static struct mln_err read_limit(struct reading *r, const struct mln_value *v)
{
    int64_t n = mln_get_int(v, -1);
    if (n < 0) {
        return mln_fail(r->cx, MLN_E_INVALID, "path \"%.*s\": pagination_limit must be 0 or more",
                        MLN_FMT(r->path));
    }
    r->rule->pagination = n;
    return MLN_OK;
}

/* RFC 3339, of a path or of the whole policy. */
static struct mln_err read_expiration(struct mln_cx *cx, const struct mln_value *v, int64_t *ret)
{
    int64_t ns = 0;
    if (mln_type_of(v) != MLN_STRING || !mln_time_parse(mln_get_bytes(v), &ns) || ns == 0) {
        return mln_fail(cx, MLN_E_INVALID, "expiration must be a time such as 2030-01-31T12:00:00Z");
    }
    *ret = *ret != 0 && *ret < ns ? *ret : ns;
    return MLN_OK;
}

static bool is_one_of(struct mln_bytes name, const char *const *list)
{
    for (; *list != NULL; list++) {
        if (mln_bytes_is(name, *list)) {
            return true;
        }
    }
    return false;
}

static struct mln_err read_setting(struct reading *r, const struct mln_member *m)
{
    static const char *const unsupported[] = {
        "mfa_methods", "control_group", "list_scan_response_keys_filter_path", "subscribe_event_types", NULL,
    };
    if (mln_bytes_is(m->key, "capabilities")) {
        return read_capabilities(r, &m->value);
    }
    if (mln_bytes_is(m->key, "policy")) {
        return read_legacy(r, &m->value);
    }
    if (mln_bytes_is(m->key, "allowed_parameters")) {
        return read_parameters(r, "allowed_parameters", &m->value, &r->rule->allowed);
    }
    if (mln_bytes_is(m->key, "denied_parameters")) {
        return read_parameters(r, "denied_parameters", &m->value, &r->rule->denied);
    }
    if (mln_bytes_is(m->key, "required_parameters")) {
        return read_required(r, &m->value);
    }
    if (mln_bytes_is(m->key, "min_wrapping_ttl")) {
        return read_seconds(r, "min_wrapping_ttl", &m->value, &r->rule->min_wrap_s);
    }
    if (mln_bytes_is(m->key, "max_wrapping_ttl")) {
        return read_seconds(r, "max_wrapping_ttl", &m->value, &r->rule->max_wrap_s);
    }
    if (mln_bytes_is(m->key, "pagination_limit")) {
        return read_limit(r, &m->value);
    }
    if (mln_bytes_is(m->key, "expiration")) {
        return read_expiration(r->cx, &m->value, &r->rule->expires_ns);
    }
    if (mln_bytes_is(m->key, "comment")) {
        return MLN_OK;
    }
    return mln_fail(r->cx, MLN_E_INVALID,
                    is_one_of(m->key, unsupported) ? "path \"%.*s\": \"%.*s\" is not supported"
                                                   : "path \"%.*s\": invalid key \"%.*s\"",
                    MLN_FMT(r->path), MLN_FMT(m->key));
}

static bool is_plus_segment(struct mln_bytes pattern, size_t i)
{
    return pattern.ptr[i] == '+' && (i == 0 || pattern.ptr[i - 1] == '/') &&
           (i + 1 == pattern.len || pattern.ptr[i + 1] == '/');
}

void acl_rule_classify(struct acl_rule *rule)
{
    struct mln_bytes p = rule->pattern;
    rule->is_glob = p.len > 0 && p.ptr[p.len - 1] == '*';
    rule->literal = mln_bytes_sub(p, 0, p.len - (rule->is_glob ? 1 : 0));
    rule->first_wild = rule->is_glob ? p.len - 1 : SIZE_MAX;
    for (size_t i = p.len; i-- > 0;) {
        if (is_plus_segment(p, i)) {
            rule->has_plus = true;
            rule->plus_n++;
            rule->first_wild = i;
        }
    }
    size_t fixed = rule->first_wild < p.len ? rule->first_wild : p.len;
    rule->head_mask = fixed >= 8 ? UINT64_MAX : ~(UINT64_MAX >> (8 * fixed));
    rule->head = acl_head(p) & rule->head_mask;
}

bool acl_rule_is_template(const struct acl_rule *rule)
{
    return mln_template_has(rule->pattern);
}

static struct mln_err check_pattern(struct reading *r)
{
    size_t segments = 1;
    for (size_t i = 0; i < r->path.len; i++) {
        segments += r->path.ptr[i] == '/';
    }
    if (r->path.len > MLN_PATH_MAX_BYTES || segments > ACL_SEGMENTS_MAX) {
        return mln_fail(r->cx, MLN_E_INVALID, "path \"%.64s...\": too long",
                        mln_text_dup(r->cx, r->path));
    }
    if (mln_bytes_find_bytes(r->path, MLN_BYTES("+*")) < r->path.len) {
        return mln_fail(r->cx, MLN_E_INVALID,
                        "path \"%.*s\": invalid use of wildcards ('+*' is forbidden)",
                        MLN_FMT(r->path));
    }
    /* With nobody to fill them, templates are read all the same. */
    const struct mln_template_who nobody = {0};
    const char *filled = NULL;
    return mln_template_has(r->path)
               ? mln_template_fill(r->cx, r->path, MLN_TEMPLATE_PATH, &nobody, &filled)
               : MLN_OK;
}

/* The rules lie in doubling arrays of the arena: most policies have a handful. */
static struct mln_err make_room(struct mln_cx *cx, struct mln_policy *policy)
{
    if (policy->n < policy->cap) {
        return MLN_OK;
    }
    size_t cap = policy->cap == 0 ? 8 : policy->cap * 2;
    struct acl_rule *rules = mln_new_array(cx, cap, sizeof(*rules));
    MLN_TRY(mln_cx_err(cx));
    mln_copy(rules, policy->rules, policy->n * sizeof(*rules));
    policy->rules = rules;
    policy->cap = cap;
    return MLN_OK;
}

static struct mln_err read_rule(struct mln_cx *cx, struct mln_policy *policy, struct mln_bytes path,
                                const struct mln_value *body)
{
    MLN_TRY(make_room(cx, policy));
    struct acl_rule *rule = &policy->rules[policy->n];
    struct reading r = {.cx = cx, .rule = rule, .path = path};
    if (mln_type_of(body) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "path \"%.*s\": must be a block", MLN_FMT(path));
    }
    MLN_TRY(check_pattern(&r));
    size_t slash = path.len > 0 && path.ptr[0] == '/' ? 1 : 0;
    rule->pattern = mln_bytes_from(path, slash);
    for (size_t i = 0; i < mln_len(body); i++) {
        MLN_TRY(read_setting(&r, mln_member_at(body, i)));
    }
    if (rule->max_wrap_s > 0 && rule->max_wrap_s < rule->min_wrap_s) {
        return mln_fail(cx, MLN_E_INVALID,
                        "path \"%.*s\": max_wrapping_ttl cannot be less than min_wrapping_ttl",
                        MLN_FMT(path));
    }
    if ((rule->capabilities & MLN_CAP_DENY) != 0) {
        *rule = (struct acl_rule){.pattern = rule->pattern,
                                  .capabilities = MLN_CAP_DENY,
                                  .expires_ns = rule->expires_ns};
    }
    acl_rule_classify(rule);
    policy->n++;
    return MLN_OK;
}

/* path "x" { } once or, as an array, several times. */
static struct mln_err read_paths(struct mln_cx *cx, struct mln_policy *policy,
                                 const struct mln_value *paths)
{
    if (mln_type_of(paths) == MLN_ARRAY) { /* JSON: [{"x": {}}, {"y": {}}] */
        for (size_t i = 0; i < mln_len(paths); i++) {
            const struct mln_value *one = mln_item(paths, i);
            if (mln_type_of(one) == MLN_ARRAY) {
                return mln_fail(cx, MLN_E_INVALID, "path must have a name");
            }
            MLN_TRY(read_paths(cx, policy, one));
        }
        return MLN_OK;
    }
    if (mln_type_of(paths) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "path must have a name");
    }
    for (size_t i = 0; i < mln_len(paths); i++) {
        const struct mln_member *m = mln_member_at(paths, i);
        bool is_many = mln_type_of(&m->value) == MLN_ARRAY;
        for (size_t j = 0; j < (is_many ? mln_len(&m->value) : 1); j++) {
            MLN_TRY(read_rule(cx, policy, m->key, is_many ? mln_item(&m->value, j) : &m->value));
        }
    }
    return MLN_OK;
}

static struct mln_err read_policy(struct mln_cx *cx, struct mln_bytes text,
                                  struct mln_policy *policy)
{
    const struct mln_value *all = NULL;
    int64_t expires_ns = 0;
    struct mln_bytes own = mln_bytes_dup(cx, text); /* values borrow from it */
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_hcl_parse(cx, own, &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_member *m = mln_member_at(all, i);
        if (mln_bytes_is(m->key, "path")) {
            MLN_TRY(read_paths(cx, policy, &m->value));
        } else if (mln_bytes_is(m->key, "expiration")) {
            MLN_TRY(read_expiration(cx, &m->value, &expires_ns));
        } else if (!mln_bytes_is(m->key, "name")) {
            return mln_fail(cx, MLN_E_INVALID, "invalid key \"%.*s\"", MLN_FMT(m->key));
        }
    }
    for (size_t i = 0; expires_ns != 0 && i < policy->n; i++) {
        struct acl_rule *rule = &policy->rules[i];
        bool is_sooner = rule->expires_ns != 0 && rule->expires_ns < expires_ns;
        rule->expires_ns = is_sooner ? rule->expires_ns : expires_ns;
    }
    return MLN_OK;
}

static void policy_drop(struct mln_policy **policy)
{
    mln_policy_free(*policy);
}

struct mln_err mln_policy_parse(struct mln_cx *cx, struct mln_bytes text, struct mln_policy **ret)
{
    if (text.len > MLN_POLICY_MAX_BYTES) {
        return mln_fail(cx, MLN_E_TOO_LARGE, "failed to parse policy: larger than %u bytes",
                        MLN_POLICY_MAX_BYTES);
    }
    MLN_AUTO(policy_drop) struct mln_policy *policy = mln_alloc(sizeof(*policy));
    if (policy == NULL || (policy->arena = mln_arena_new(ACL_MEMORY_MAX, false)) == NULL) {
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    struct mln_cx inner;
    mln_cx_init(&inner, policy->arena);
    struct mln_err err = read_policy(&inner, text, policy);
    if (mln_failed(err)) {
        return mln_fail(cx, (enum mln_code)err.code, "failed to parse policy: %s", inner.text);
    }
    *ret = mln_take(&policy);
    return MLN_OK;
}

void mln_policy_free(struct mln_policy *policy)
{
    if (policy != NULL) {
        mln_arena_free(policy->arena);
        mln_free(policy);
    }
}
