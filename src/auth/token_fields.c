/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/token_fields.h"

#include "base/cidr.h"
#include "base/text.h"

#define TTL_MAX_S (INT64_MAX / 1000000000) /* the clock counts nanoseconds */

enum kind { KIND_SECONDS, KIND_COUNT, KIND_LIST, KIND_CIDRS, KIND_BOOL, KIND_TYPE };

static const struct token_field {
    const char *name, *old; /* old: NULL = it never had another name */
    enum kind kind;
} token_fields[] = {
    {"token_bound_cidrs", "bound_cidrs", KIND_CIDRS}, {"token_explicit_max_ttl", NULL, KIND_SECONDS},
    {"token_max_ttl", "max_ttl", KIND_SECONDS},       {"token_no_default_policy", NULL, KIND_BOOL},
    {"token_num_uses", NULL, KIND_COUNT},             {"token_period", "period", KIND_SECONDS},
    {"token_policies", "policies", KIND_LIST},        {"token_strictly_bind_ip", NULL, KIND_BOOL},
    {"token_ttl", "ttl", KIND_SECONDS},               {"token_type", NULL, KIND_TYPE},
};

static const struct token_field *field_of(const char *name)
{
    for (size_t i = 0; i < MLN_COUNT(token_fields); i++) {
        if (mln_bytes_is(mln_bytes_of(name), token_fields[i].name)) {
            return &token_fields[i];
        }
    }
    return NULL;
}

/* ---- blocks of addresses ---- */

struct mln_err mln_cidrs_check(struct mln_cx *cx, const struct mln_value *list)
{
    struct mln_cidr block;
    if (mln_len(list) > MLN_CIDRS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "more than %u address blocks", MLN_CIDRS_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes text = mln_bytes_trim(mln_get_bytes(mln_item(list, i)));
        if (!mln_cidr_parse(text, &block)) {
            return mln_fail(cx, MLN_E_INVALID, "invalid CIDR block \"%.*s\"", (int)(text.len > 64 ? 64 : text.len),
                            (const char *)text.ptr);
        }
    }
    return MLN_OK;
}

bool mln_cidrs_have(const struct mln_value *list, const char *source)
{
    struct mln_cidr block;
    bool is_in = mln_len(list) == 0;
    for (size_t i = 0; !is_in && i < mln_len(list); i++) {
        is_in = mln_cidr_parse(mln_bytes_trim(mln_get_bytes(mln_item(list, i))), &block) &&
                mln_cidr_has(&block, mln_bytes_of(source));
    }
    return is_in;
}

bool mln_cidrs_within(const struct mln_value *inner, const struct mln_value *outer)
{
    struct mln_cidr a, b;
    for (size_t i = 0; i < mln_len(inner); i++) {
        bool is_in = false;
        if (!mln_cidr_parse(mln_bytes_trim(mln_get_bytes(mln_item(inner, i))), &a)) {
            return false;
        }
        for (size_t k = 0; !is_in && k < mln_len(outer); k++) {
            is_in = mln_cidr_parse(mln_bytes_trim(mln_get_bytes(mln_item(outer, k))), &b) && mln_cidr_within(&a, &b);
        }
        if (!is_in) {
            return false;
        }
    }
    return true;
}

/* ---- taking ---- */

static struct mln_err check_type(struct mln_cx *cx, const struct mln_value *v, const struct mln_value **ret)
{
    struct mln_bytes text = mln_get_bytes(v);
    if (text.len == 0) {
        *ret = mln_text(cx, "default");
        return MLN_OK;
    }
    if (!mln_is_text(v, "default") && !mln_is_text(v, "service") && !mln_is_text(v, "batch")) {
        return mln_fail(cx, MLN_E_INVALID, "invalid 'token_type' value \"%.*s\"", (int)(text.len > 64 ? 64 : text.len),
                        (const char *)text.ptr);
    }
    *ret = v;
    return MLN_OK;
}

static struct mln_err check_number(struct mln_cx *cx, const struct token_field *f, const struct mln_value *v)
{
    int64_t number = mln_get_int(v, -1);
    if (number < 0) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' cannot be negative", f->name);
    }
    return number > TTL_MAX_S ? mln_fail(cx, MLN_E_INVALID, "'%s' is too large", f->name) : MLN_OK;
}

static struct mln_value *lower(struct mln_cx *cx, struct mln_bytes name)
{
    uint8_t *text = mln_new(cx, name.len + 1);
    for (size_t i = 0; text != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        text[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return mln_string(cx, mln_bytes_at(text, text != NULL ? name.len : 0));
}

/* Policies are kept sorted, once each, in lower case. */
static const struct mln_value *policies_of(struct mln_cx *cx, const struct mln_value *v)
{
    struct mln_value *set = mln_set(cx), *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(v); i++) {
        struct mln_bytes name = mln_bytes_trim(mln_get_bytes(mln_item(v, i)));
        if (name.len > 0) {
            mln_push(cx, set, lower(cx, name));
        }
    }
    for (size_t i = 0; i < mln_len(set); i++) {
        mln_push(cx, out, mln_item(set, i));
    }
    return out;
}

static struct mln_err check_one(struct mln_cx *cx, const struct token_field *f, const struct mln_value *v,
                                const struct mln_value **ret)
{
    *ret = v;
    switch (f->kind) {
    case KIND_SECONDS:
    case KIND_COUNT:
        return check_number(cx, f, v);
    case KIND_CIDRS:
        return mln_cidrs_check(cx, v);
    case KIND_TYPE:
        return check_type(cx, v, ret);
    case KIND_LIST:
        *ret = policies_of(cx, v);
        return MLN_OK;
    case KIND_BOOL:
    default:
        return MLN_OK;
    }
}

/* The new name beats the old one; a value given by the old name is read back under both. */
static struct mln_err take_one(struct mln_request *rq, const struct token_field *f, struct mln_value *role, bool *ret_given)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *v = mln_field_of(rq, f->name), *checked = NULL;
    bool is_old = mln_is_null(v) && f->old != NULL && !mln_is_null(mln_field_of(rq, f->old));
    v = is_old ? mln_field_of(rq, f->old) : v;
    *ret_given = !mln_is_null(v);
    if (!*ret_given) {
        return MLN_OK;
    }
    MLN_TRY(check_one(cx, f, v, &checked));
    mln_put(cx, role, f->name, checked);
    if (is_old) {
        mln_put(cx, role, f->old, checked);
    } else if (f->old != NULL) {
        mln_remove(role, mln_bytes_of(f->old));
    }
    return mln_cx_err(cx);
}

static int64_t number_of(const struct mln_value *role, const char *name)
{
    return mln_get_int(mln_get(role, name), 0);
}

static struct mln_err check_together(struct mln_cx *cx, const struct mln_value *role)
{
    int64_t ttl_s = number_of(role, "token_ttl"), max_s = number_of(role, "token_max_ttl");
    if (max_s > 0 && ttl_s > max_s) {
        return mln_fail(cx, MLN_E_INVALID, "'token_ttl' cannot be greater than 'token_max_ttl'");
    }
    if (!mln_is_text(mln_get(role, "token_type"), "batch")) {
        return MLN_OK;
    }
    if (number_of(role, "token_period") != 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens");
    }
    if (number_of(role, "token_num_uses") != 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count");
    }
    return MLN_OK;
}

struct mln_err mln_token_fields_take(struct mln_request *rq, struct mln_value *role)
{
    bool is_given = false;
    for (size_t i = 0; i < MLN_COUNT(token_fields); i++) {
        MLN_TRY(take_one(rq, &token_fields[i], role, &is_given));
    }
    return check_together(rq->cx, role);
}

struct mln_err mln_token_fields_take_one(struct mln_request *rq, struct mln_value *role, const char *name)
{
    const struct token_field *f = field_of(name);
    bool is_given = false;
    MLN_CHECK(f != NULL);
    MLN_TRY(take_one(rq, f, role, &is_given));
    return is_given ? check_together(rq->cx, role) : mln_fail(rq->cx, MLN_E_INVALID, "missing %s", name);
}

void mln_token_fields_reset(struct mln_value *role, const char *name)
{
    const struct token_field *f = field_of(name);
    MLN_CHECK(f != NULL);
    mln_remove(role, mln_bytes_of(f->name));
    if (f->old != NULL) {
        mln_remove(role, mln_bytes_of(f->old));
    }
}

/* ---- printing ---- */

static const struct mln_value *printed(struct mln_cx *cx, const struct token_field *f, const struct mln_value *v)
{
    switch (f->kind) {
    case KIND_SECONDS:
    case KIND_COUNT:
        return mln_int(cx, mln_get_int(v, 0));
    case KIND_LIST:
    case KIND_CIDRS:
        return mln_is_null(v) ? mln_array(cx) : v;
    case KIND_BOOL:
        return mln_bool(cx, mln_get_bool(v, false));
    case KIND_TYPE:
    default:
        return mln_text(cx, mln_get_text(cx, v, "default"));
    }
}

const struct mln_value *mln_token_fields_value(struct mln_cx *cx, const struct mln_value *role, const char *name)
{
    const struct token_field *f = field_of(name);
    return f == NULL ? NULL : printed(cx, f, mln_get(role, f->name));
}

void mln_token_fields_print(struct mln_cx *cx, const struct mln_value *role, struct mln_value *data)
{
    for (size_t i = 0; i < MLN_COUNT(token_fields); i++) {
        const struct token_field *f = &token_fields[i];
        mln_put(cx, data, f->name, printed(cx, f, mln_get(role, f->name)));
        if (f->old != NULL && !mln_is_null(mln_get(role, f->old))) {
            mln_put(cx, data, f->old, printed(cx, f, mln_get(role, f->name)));
        }
    }
}

/* ---- logins ---- */

bool mln_token_fields_from(const struct mln_request *rq, const struct mln_value *role)
{
    return mln_cidrs_have(mln_get(role, "token_bound_cidrs"), rq->source);
}

static const struct mln_value *bound(struct mln_request *rq, const struct mln_value *role)
{
    const struct mln_value *blocks = mln_get(role, "token_bound_cidrs");
    struct mln_value *here = NULL;
    if (!mln_get_bool(mln_get(role, "token_strictly_bind_ip"), false)) {
        return mln_len(blocks) > 0 ? blocks : NULL;
    }
    here = mln_array(rq->cx);
    mln_push_text(rq->cx, here, rq->source);
    return here;
}

void mln_token_fields_login(struct mln_request *rq, const struct mln_value *role, struct mln_login *login)
{
    login->policies = mln_token_fields_value(rq->cx, role, "token_policies");
    login->ttl_s = number_of(role, "token_ttl");
    login->max_ttl_s = number_of(role, "token_max_ttl");
    login->explicit_max_ttl_s = number_of(role, "token_explicit_max_ttl");
    login->period_s = number_of(role, "token_period");
    login->num_uses = number_of(role, "token_num_uses");
    login->no_default_policy = mln_get_bool(mln_get(role, "token_no_default_policy"), false);
    login->is_batch = mln_is_text(mln_get(role, "token_type"), "batch");
    login->bound_cidrs = bound(rq, role);
}

/* As sets: order and repetition do not matter, nor does "default", which core adds. */
static const struct mln_value *policy_set(struct mln_cx *cx, const struct mln_value *names)
{
    struct mln_value *set = mln_set(cx);
    for (size_t i = 0; i < mln_len(names); i++) {
        if (!mln_is_text(mln_item(names, i), "default")) {
            mln_push(cx, set, mln_item(names, i));
        }
    }
    return set;
}

struct mln_err mln_token_fields_renew(struct mln_request *rq, const struct mln_value *role, struct mln_login *login)
{
    const struct mln_value *before = login->policies;
    mln_token_fields_login(rq, role, login);
    if (before != NULL && !mln_value_eq(policy_set(rq->cx, before), policy_set(rq->cx, login->policies))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "policies have changed, not renewing");
    }
    return mln_cx_err(rq->cx);
}
