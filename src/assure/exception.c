/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions from gates; their language stands in exception.h. */
#include "assure/exception.h"

#include "base/text.h"

#define DAY_NS ((int64_t)86400 * 1000000000)

static const char *const keys[] = {"id", "gate", "match", "owner", "reason", "expires"};

struct entry {
    struct mln_cx *cx;
    const struct mln_value *from;
    size_t number; /* from 1 */
    struct mln_value *to;
};

static struct mln_err only_keys(const struct entry *e)
{
    if (mln_type_of(e->from) != MLN_OBJECT) {
        return mln_fail(e->cx, MLN_E_INVALID, "exception %zu is not a mapping", e->number);
    }
    for (size_t i = 0; i < mln_len(e->from); i++) {
        struct mln_bytes key = mln_member_at(e->from, i)->key;
        bool is_known = false;
        for (size_t k = 0; k < MLN_COUNT(keys); k++) {
            is_known = is_known || mln_bytes_is(key, keys[k]);
        }
        if (!is_known) {
            return mln_fail(e->cx, MLN_E_INVALID, "exception %zu has no key \"%.*s\"", e->number, MLN_FMT(key));
        }
    }
    return MLN_OK;
}

static struct mln_err take_text(const struct entry *e, const char *key, const char *otherwise)
{
    const struct mln_value *v = mln_get(e->from, key);
    struct mln_bytes text = mln_bytes_trim(mln_get_bytes(v));
    if (v == NULL && otherwise != NULL) {
        mln_put_text(e->cx, e->to, key, otherwise);
        return MLN_OK;
    }
    if (text.len == 0 || text.len > MLN_EXCEPTION_TEXT_MAX) {
        return v == NULL ? mln_fail(e->cx, MLN_E_INVALID, "exception %zu: %s is missing", e->number, key)
                         : mln_fail(e->cx, MLN_E_INVALID, "exception %zu: %s is no text of 1 to %u bytes", e->number, key,
                                    MLN_EXCEPTION_TEXT_MAX);
    }
    mln_put_bytes(e->cx, e->to, key, text);
    return MLN_OK;
}

static bool is_word(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!ok) {
            return false;
        }
    }
    return text.len > 0 && text.len <= 64;
}

/* A day lasts to its end. */
static bool parse_until(struct mln_cx *cx, struct mln_bytes text, int64_t *ret_ns)
{
    if (text.len != 10) {
        return mln_time_parse(text, ret_ns);
    }
    int64_t ns = 0;
    bool ok = mln_time_parse(mln_bytes_format(cx, "%.*sT00:00:00Z", MLN_FMT(text)), &ns);
    *ret_ns = ns + DAY_NS;
    return ok;
}

static struct mln_err take_expiry(const struct entry *e, int64_t now_ns)
{
    int64_t until_ns = 0;
    struct mln_bytes text = mln_get_bytes(mln_get(e->from, "expires"));
    if (text.len == 0) {
        return mln_fail(e->cx, MLN_E_INVALID, "exception %zu: expires is missing: each has an end", e->number);
    }
    if (!parse_until(e->cx, text, &until_ns)) {
        return mln_fail(e->cx, MLN_E_INVALID, "exception %zu: expires is neither a day (2027-03-31) nor a time (RFC 3339)", e->number);
    }
    if (until_ns - now_ns > (MLN_EXCEPTION_DAYS_MAX + 1) * DAY_NS) {
        return mln_fail(e->cx, MLN_E_INVALID, "exception %zu lasts longer than %d days: change the gate instead", e->number,
                        MLN_EXCEPTION_DAYS_MAX);
    }
    mln_put_text(e->cx, e->to, "expires", mln_time_text(e->cx, until_ns, 0));
    mln_put_bool(e->cx, e->to, "is_expired", until_ns <= now_ns);
    return MLN_OK;
}

static struct mln_err parse_one(const struct entry *e, int64_t now_ns)
{
    MLN_TRY(only_keys(e));
    MLN_TRY(take_text(e, "id", NULL));
    MLN_TRY(take_text(e, "gate", NULL));
    MLN_TRY(take_text(e, "match", "*"));
    MLN_TRY(take_text(e, "owner", NULL));
    MLN_TRY(take_text(e, "reason", NULL));
    if (!is_word(mln_get_bytes(mln_get(e->to, "id")))) {
        return mln_fail(e->cx, MLN_E_INVALID, "exception %zu: id is no name (letters, digits, - _ . and at most 64)", e->number);
    }
    if (mln_is_text(mln_get(e->to, "gate"), "approvals")) {
        return mln_fail(e->cx, MLN_E_INVALID, "exception %zu: nobody is excused from approvals; release.yaml says how many", e->number);
    }
    return take_expiry(e, now_ns);
}

static bool has_id(const struct mln_value *list, const struct mln_value *id)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_value_eq(mln_get(mln_item(list, i), "id"), id)) {
            return true;
        }
    }
    return false;
}

static struct mln_err list_of(struct mln_cx *cx, const struct mln_value *v, const struct mln_value **ret)
{
    const struct mln_value *all = mln_type_of(v) == MLN_OBJECT ? mln_get(v, "exceptions") : v;
    if (mln_type_of(all) != MLN_ARRAY || (mln_type_of(v) == MLN_OBJECT && mln_len(v) != 1)) {
        return mln_fail(cx, MLN_E_INVALID, "exceptions are a mapping with the one key \"exceptions\", a list");
    }
    if (mln_len(all) > MLN_EXCEPTIONS_MAX) {
        return mln_fail(cx, MLN_E_LIMIT, "more than %u exceptions", MLN_EXCEPTIONS_MAX);
    }
    *ret = all;
    return MLN_OK;
}

struct mln_err mln_exceptions_parse(struct mln_cx *cx, const struct mln_value *v, int64_t now_ns, const struct mln_value **ret)
{
    const struct mln_value *all = NULL;
    struct mln_value *list = mln_array(cx);
    MLN_TRY(list_of(cx, v, &all));
    for (size_t i = 0; i < mln_len(all); i++) {
        struct entry e = {.cx = cx, .from = mln_item(all, i), .number = i + 1, .to = mln_object(cx)};
        MLN_TRY(parse_one(&e, now_ns));
        MLN_TRY(mln_cx_err(cx));
        if (has_id(list, mln_get(e.to, "id"))) {
            return mln_fail(cx, MLN_E_INVALID, "exception %zu: its id is taken by another", i + 1);
        }
        mln_push(cx, list, e.to);
    }
    MLN_TRY(mln_cx_err(cx));
    *ret = list;
    return MLN_OK;
}

const struct mln_value *mln_exception_find(const struct mln_value *exceptions, struct mln_bytes gate, struct mln_bytes msg)
{
    const struct mln_value *expired = NULL;
    for (size_t i = 0; i < mln_len(exceptions); i++) {
        const struct mln_value *e = mln_item(exceptions, i);
        if (!mln_bytes_eq(mln_get_bytes(mln_get(e, "gate")), gate) ||
            !mln_bytes_glob(mln_get_bytes(mln_get(e, "match")), msg)) {
            continue;
        }
        if (!mln_get_bool(mln_get(e, "is_expired"), true)) {
            return e;
        }
        expired = expired == NULL ? e : expired;
    }
    return expired;
}
