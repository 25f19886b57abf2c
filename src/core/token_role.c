/* SPDX-License-Identifier: Apache-2.0 */
/* auth/token/roles: what tokens made with a role may be. Source: the public documentation of Vault's token method. */
#include "core/token_priv.h"

#include "base/limits.h"

#define ROLE_NAME_MAX 256u /* of a name: it is a part of the path */

const struct mln_field mln_token_role_fields[] = {
    {.name = "role", .type = MLN_FIELD_TEXT, .help = "The role's name.", .is_query = true},
    {.name = "allowed_policies",
     .type = MLN_FIELD_LIST,
     .help = "Policies that its tokens may have."},
    {.name = "allowed_policies_glob",
     .type = MLN_FIELD_LIST,
     .help = "The same, with \"*\" at the ends."},
    {.name = "disallowed_policies",
     .type = MLN_FIELD_LIST,
     .help = "Policies that its tokens may not have."},
    {.name = "disallowed_policies_glob",
     .type = MLN_FIELD_LIST,
     .help = "The same, with \"*\" at the ends."},
    {.name = "allowed_entity_aliases",
     .type = MLN_FIELD_LIST,
     .help = "Aliases that may be asked for, with \"*\" at the ends."},
    {.name = "orphan", .type = MLN_FIELD_BOOL, .help = "Its tokens have no parent."},
    {.name = "renewable",
     .type = MLN_FIELD_BOOL,
     .help = "Its tokens may be renewed; true when absent."},
    {.name = "path_suffix",
     .type = MLN_FIELD_TEXT,
     .help = "Added to the path that its tokens show."},
    {.name = "period", .type = MLN_FIELD_DURATION, .help = "Old name of token_period."},
    {.name = "token_period",
     .type = MLN_FIELD_DURATION,
     .help = "Lives on as long as it is renewed within this time."},
    {.name = "explicit_max_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Old name of token_explicit_max_ttl."},
    {.name = "token_explicit_max_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "An end that no renewal moves."},
    {.name = "bound_cidrs", .type = MLN_FIELD_LIST, .help = "Old name of token_bound_cidrs."},
    {.name = "token_bound_cidrs",
     .type = MLN_FIELD_LIST,
     .help = "Where its tokens may be used from."},
    {.name = "token_no_default_policy",
     .type = MLN_FIELD_BOOL,
     .help = "Without the policy \"default\"."},
    {.name = "token_num_uses",
     .type = MLN_FIELD_INT,
     .help = "Requests that a token is good for; 0 is no limit."},
    {.name = "token_type",
     .type = MLN_FIELD_TEXT,
     .help = "service, batch, default-service or default-batch."},
    {0},
};

/* How a role lies in the store: every member there, lists as arrays. Old names are written through to the new. */
static const struct {
    const char *name, *old;
    enum mln_field_type type;
} members[] = {
    {"allowed_policies", NULL, MLN_FIELD_LIST},
    {"allowed_policies_glob", NULL, MLN_FIELD_LIST},
    {"disallowed_policies", NULL, MLN_FIELD_LIST},
    {"disallowed_policies_glob", NULL, MLN_FIELD_LIST},
    {"allowed_entity_aliases", NULL, MLN_FIELD_LIST},
    {"orphan", NULL, MLN_FIELD_BOOL},
    {"path_suffix", NULL, MLN_FIELD_TEXT},
    {"token_period", "period", MLN_FIELD_DURATION},
    {"token_explicit_max_ttl", "explicit_max_ttl", MLN_FIELD_DURATION},
    {"token_bound_cidrs", "bound_cidrs", MLN_FIELD_LIST},
    {"token_no_default_policy", NULL, MLN_FIELD_BOOL},
    {"token_num_uses", NULL, MLN_FIELD_INT},
};

static struct mln_bytes role_key(struct mln_cx *cx, const char *name)
{
    return mln_token_key(cx, "role", name);
}

struct mln_err mln_token_role_get(struct mln_request *rq, const char *name,
                                  const struct mln_value **ret)
{
    struct mln_bytes text = mln_bytes_of(name);
    if (text.len == 0 || text.len > ROLE_NAME_MAX) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    return mln_txn_get_value(rq->cx, rq->txn, mln_home_view("token/"), role_key(rq->cx, name), ret);
}

static const char *role_name(struct mln_request *rq)
{
    return mln_get_text(rq->cx, mln_field_of(rq, "role"), "");
}

/* ---- read and list ---- */

struct mln_err mln_token_role_read(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const shown[] = {"allowed_entity_aliases",
                                        "allowed_policies",
                                        "allowed_policies_glob",
                                        "disallowed_policies",
                                        "disallowed_policies_glob",
                                        "orphan",
                                        "path_suffix",
                                        "renewable",
                                        "token_explicit_max_ttl",
                                        "token_no_default_policy",
                                        "token_period",
                                        "token_type"};
    struct mln_cx *cx = rq->cx;
    const struct mln_value *role = NULL;
    struct mln_value *data = mln_object(cx);
    MLN_TRY(mln_token_role_get(rq, role_name(rq), &role));
    for (size_t i = 0; i < MLN_COUNT(shown); i++) {
        mln_put(cx, data, shown[i], mln_get(role, shown[i]));
    }
    if (mln_len(mln_get(role, "allowed_entity_aliases")) == 0) {
        mln_put_null(cx, data, "allowed_entity_aliases");
    }
    mln_put(cx, data, "explicit_max_ttl", mln_get(role, "token_explicit_max_ttl"));
    mln_put(cx, data, "period", mln_get(role, "token_period"));
    mln_put_text(cx, data, "name", role_name(rq));
    if (mln_len(mln_get(role, "token_bound_cidrs")) > 0) {
        mln_put(cx, data, "token_bound_cidrs", mln_get(role, "token_bound_cidrs"));
        mln_put(cx, data, "bound_cidrs", mln_get(role, "token_bound_cidrs"));
    }
    if (mln_get_int(mln_get(role, "token_num_uses"), 0) > 0) {
        mln_put(cx, data, "token_num_uses", mln_get(role, "token_num_uses"));
    }
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err mln_token_role_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, mln_home_view("token/"), MLN_BYTES("role/"), &names));
    if (mln_len(names) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- write ---- */

static const struct mln_value *empty_of(struct mln_cx *cx, enum mln_field_type type)
{
    return type == MLN_FIELD_LIST   ? mln_array(cx)
           : type == MLN_FIELD_BOOL ? mln_bool(cx, false)
           : type == MLN_FIELD_TEXT ? mln_text(cx, "")
                                    : mln_int(cx, 0);
}

/* As given, else as it was, else empty. */
static struct mln_value *merge(struct mln_request *rq, const struct mln_value *old)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *role = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        const struct mln_value *v = mln_field_of(rq, members[i].name);
        v = mln_is_null(v) && members[i].old != NULL ? mln_field_of(rq, members[i].old) : v;
        v = mln_is_null(v) ? mln_get(old, members[i].name) : v;
        mln_put(cx, role, members[i].name, mln_is_null(v) ? empty_of(cx, members[i].type) : v);
    }
    bool was = mln_get_bool(mln_get(old, "renewable"), true);
    mln_put_bool(cx, role, "renewable", mln_get_bool(mln_field_of(rq, "renewable"), was));
    const char *type = mln_get_text(cx, mln_field_of(rq, "token_type"), "");
    type = type[0] == 0 ? mln_get_text(cx, mln_get(old, "token_type"), "default-service") : type;
    mln_put_text(cx, role, "token_type",
                 mln_bytes_is(mln_bytes_of(type), "default") ? "default-service" : type);
    return role;
}

static bool is_suffix_char(uint8_t c, bool is_end)
{
    bool is_word =
        (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return is_word || (!is_end && (c == '-' || c == '.'));
}

static struct mln_err check_suffix(struct mln_request *rq, const struct mln_value *role)
{
    struct mln_bytes text = mln_get_bytes(mln_get(role, "path_suffix"));
    for (size_t i = 0; i < text.len; i++) {
        if (!is_suffix_char(text.ptr[i], i == 0 || i + 1 == text.len) || text.len > ROLE_NAME_MAX) {
            return mln_fail(
                rq->cx, MLN_E_INVALID,
                "given role path suffix contains invalid characters; must match ^\\w[\\w-.]+\\w$");
        }
    }
    return MLN_OK;
}

static struct mln_err check_batch(struct mln_request *rq, const struct mln_value *role)
{
    const char *why = mln_get_int(mln_get(role, "token_num_uses"), 0) > 0
                          ? "set to generate tokens with limited use count"
                      : mln_get_int(mln_get(role, "token_period"), 0) > 0
                          ? "set to generate periodic tokens"
                      : mln_get_int(mln_get(role, "token_explicit_max_ttl"), 0) > 0
                          ? "set to generate tokens with an explicit max TTL"
                          : NULL;
    return why == NULL
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "'token_type' cannot be 'batch' or 'default_batch' when role is %s", why);
}

static struct mln_err check_role(struct mln_request *rq, const struct mln_value *role)
{
    static const char *const positive[] = {"token_period", "token_explicit_max_ttl",
                                           "token_num_uses"};
    static const char *const types[] = {"service", "batch", "default-service", "default-batch"};
    bool is_type = false;
    for (size_t i = 0; i < MLN_COUNT(positive); i++) {
        int64_t n = mln_get_int(mln_get(role, positive[i]), 0);
        if (n < 0 || n > MLN_TTL_MAX_S) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            n < 0 ? "'%s' cannot be negative" : "'%s' is too large", positive[i]);
        }
    }
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        is_type = is_type || mln_is_text(mln_get(role, "token_type"), types[i]);
    }
    if (!is_type) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid 'token_type' value %.64s",
                        mln_get_text(rq->cx, mln_get(role, "token_type"), "?"));
    }
    MLN_TRY(check_suffix(rq, role));
    MLN_TRY(mln_token_cidrs_check(rq->cx, mln_get(role, "token_bound_cidrs")));
    return mln_bytes_ends(mln_get_bytes(mln_get(role, "token_type")), MLN_BYTES("batch"))
               ? check_batch(rq, role)
               : MLN_OK;
}

struct mln_err mln_token_role_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    struct mln_bytes name = mln_bytes_of(role_name(rq));
    (void)re;
    if (name.len == 0 || name.len > ROLE_NAME_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role name cannot be empty or longer than %u bytes",
                        ROLE_NAME_MAX);
    }
    struct mln_err err = mln_token_role_get(rq, role_name(rq), &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *role = merge(rq, old);
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(check_role(rq, role));
    return mln_txn_put_value(rq->cx, rq->txn, mln_home_view("token/"), role_key(rq->cx, role_name(rq)),
                             role);
}

struct mln_err mln_token_role_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_txn_delete(rq->cx, rq->txn, mln_home_view("token/"), role_key(rq->cx, role_name(rq)));
}
