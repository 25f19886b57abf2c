/* SPDX-License-Identifier: Apache-2.0 */
/* sys/policies/egp and rgp: rules for requests (govern.h). docs/rules.md */
#include "core/govern.h"
#include "core/sys_priv.h"

#include "base/limits.h"

static struct mln_view rule_view(void)
{
    return mln_core_view("root/rule/");
}

/* They judge requests in all namespaces: who rules one namespace makes no rules for the others. */
static struct mln_err only_root(struct mln_request *rq)
{
    return mln_run_of(rq)->space == NULL
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_UNSUPPORTED, "rules for requests are kept in the root namespace; their paths name namespaces");
}

static bool is_name(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!ok) {
            return false;
        }
    }
    return text.len > 0 && text.len <= 128;
}

static struct mln_err rule_key(struct mln_request *rq, const char **ret)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "name")), rest = mln_bytes_from(rq->rest, 9); /* "policies/" */
    MLN_TRY(only_root(rq));
    if (!is_name(name)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "a rule's name has letters, digits, - _ . and at most 128 of them");
    }
    *ret = mln_text_format(rq->cx, "%.*s/%.*s", 3, (const char *)rest.ptr, MLN_FMT(name));
    return mln_cx_err(rq->cx);
}

static struct mln_err rules_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *keys = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_bytes kind = mln_bytes_sub(rq->rest, 9, 3);
    MLN_TRY(only_root(rq));
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rule_view(), mln_bytes_format(rq->cx, "%.*s/", MLN_FMT(kind)), &keys));
    mln_put(rq->cx, data, "keys", keys);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err rule_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *key = NULL;
    const struct mln_value *row = NULL;
    MLN_TRY(rule_key(rq, &key));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rule_view(), mln_bytes_of(key), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        re->status = 404;
        re->no_errors_text = true;
        return MLN_OK;
    }
    MLN_TRY(err);
    struct mln_value *data = mln_value_dup(rq->cx, row);
    mln_put(rq->cx, data, "name", mln_field_of(rq, "name"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* As plain text or, as Sentinel's clients send it, in base64. */
static const struct mln_value *text_of(struct mln_request *rq)
{
    const struct mln_value *given = mln_field_of(rq, "policy");
    MLN_AUTO(mln_buf_drop) struct mln_buf plain = {0};
    bool is_base64 = !mln_failed(mln_base64_parse(rq->cx, mln_get_bytes(given), MLN_B64_STD, &plain)) && plain.len > 0 &&
                     mln_utf8_valid(mln_buf_bytes(&plain));
    mln_cx_clear(rq->cx);
    return is_base64 ? mln_string_dup(rq->cx, mln_buf_bytes(&plain)) : given;
}

static struct mln_err rule_write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const keys[] = {"enforcement_level", "mode", "paths", "policies", "entities", "groups"};
    const char *key = NULL;
    struct mln_value *row = mln_object(rq->cx);
    (void)re;
    MLN_TRY(rule_key(rq, &key));
    for (size_t i = 0; i < MLN_COUNT(keys); i++) {
        if (mln_field_of(rq, keys[i]) != NULL) {
            mln_put(rq->cx, row, keys[i], mln_field_of(rq, keys[i]));
        }
    }
    if (mln_len(mln_field_of(rq, "policy")) > 0) {
        mln_put(rq->cx, row, "policy", text_of(rq));
    }
    MLN_TRY(mln_govern_check(rq->cx, key, row));
    mln_run_of(rq)->changed_rules = true;
    return mln_txn_put_value(rq->cx, rq->txn, rule_view(), mln_bytes_of(key), row);
}

static struct mln_err rule_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *key = NULL;
    (void)re;
    MLN_TRY(rule_key(rq, &key));
    mln_run_of(rq)->changed_rules = true;
    return mln_txn_delete(rq->cx, rq->txn, rule_view(), mln_bytes_of(key));
}

static const struct mln_field rule_fields[] = {
    F_TEXT("name", "The rule's name."),
    {.name = "policy", .type = MLN_FIELD_TEXT, .help = "A Rego module with rules deny and warn; plain or in base64."},
    {.name = "enforcement_level",
     .type = MLN_FIELD_TEXT,
     .fallback = "hard-mandatory",
     .help = "advisory, soft-mandatory or hard-mandatory."},
    {.name = "mode", .type = MLN_FIELD_TEXT, .fallback = "enforce", .help = "enforce, or dry-run: only the record says no."},
    {.name = "paths", .type = MLN_FIELD_LIST, .help = "Paths that it is for, with * for anything."},
    {.name = "policies", .type = MLN_FIELD_LIST, .help = "Role rules: for tokens with these policies."},
    {.name = "entities", .type = MLN_FIELD_LIST, .help = "Role rules: for these entities, by id or name."},
    {.name = "groups", .type = MLN_FIELD_LIST, .help = "Role rules: for who is in these groups, by id or name."},
    {0},
};

#define RULES(kind, what)                                                                                                  \
    {.pattern = "policies/" kind, .summary = "List " what " rules.", .read = rules_list, .list = rules_list},              \
    {                                                                                                                      \
        .pattern = "policies/" kind "/{name}", .summary = "Read, write or delete one of the " what " rules.",              \
        .fields = rule_fields, .read = rule_read, .write = rule_write, .remove = rule_remove, .controls = "AC-3,AC-6"      \
    }

const struct mln_path mln_sys_rules[] = {
    RULES("egp", "endpoint"),
    RULES("rgp", "role"),
    {0},
};
