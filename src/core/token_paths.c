/* SPDX-License-Identifier: Apache-2.0 */
/* auth/token: looking up, renewing and revoking tokens; the descriptor. Texts as Vault's clients match them. */
#include "core/token_priv.h"

#include "base/text.h"

static struct mln_err token_given(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "token"));
    if (id.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing token ID");
    }
    MLN_TRY(mln_token_find(mln_core_of(rq), rq->cx, rq->txn, rq->now_ns, id, ret));
    return mln_space_is_below(mln_run_of(rq), mln_token_ns(*ret)) ? MLN_OK : (struct mln_err){MLN_E_UNAUTHENTIC};
}

static struct mln_err accessor_given(struct mln_request *rq, const struct mln_value **ret)
{
    const char *accessor = mln_get_text(rq->cx, mln_field_of(rq, "accessor"), "");
    if (accessor[0] == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing accessor");
    }
    int64_t life_ns = mln_life_ns(mln_core_of(rq), rq->now_ns);
    MLN_TRY(mln_token_by_accessor(rq->cx, rq->txn, accessor, ret));
    if (!mln_space_is_below(mln_run_of(rq), mln_token_ns(*ret))) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_err err = mln_token_has_line(rq->cx, rq->txn, *ret, life_ns);
    bool is_dead = mln_is(err, MLN_E_UNAUTHENTIC) || !mln_token_is_live(*ret, life_ns);
    return is_dead ? (struct mln_err){MLN_E_NOT_FOUND} : err;
}

/* ---- lookup ---- */

static void put_times(struct mln_request *rq, const struct mln_value *entry, struct mln_value *data)
{
    struct mln_cx *cx = rq->cx;
    int64_t created_ns = mln_get_int(mln_get(entry, "created_ns"), 0);
    int64_t expires_ns = mln_get_int(mln_get(entry, "expires_ns"), 0);
    int64_t renewed_ns = mln_get_int(mln_get(entry, "renewed_ns"), 0);
    mln_put_int(cx, data, "creation_time", created_ns / 1000000000);
    mln_put(cx, data, "creation_ttl", mln_get(entry, "ttl_s"));
    mln_put(cx, data, "explicit_max_ttl", mln_get(entry, "explicit_max_ttl_s"));
    mln_put(cx, data, "expire_time", expires_ns == 0 ? mln_null(cx) : mln_text(cx, mln_time_text_go(cx, expires_ns)));
    if (!mln_is_text(mln_get(entry, "path"), MLN_PATH_FIRST_TOKEN)) { /* that one was not issued to a request */
        mln_put_text(cx, data, "issue_time", mln_time_text_go(cx, created_ns));
        mln_put_bool(cx, data, "renewable", expires_ns != 0 && mln_get_bool(mln_get(entry, "renewable"), false));
    }
    mln_put_int(cx, data, "ttl", expires_ns == 0 ? 0 : (expires_ns - rq->now_ns) / 1000000000);
    if (renewed_ns != 0) {
        mln_put_text(cx, data, "last_renewal", mln_time_text_go(cx, renewed_ns));
        mln_put_int(cx, data, "last_renewal_time", renewed_ns / 1000000000);
    }
}

/* What changes under an entry: its parent may be revoked alone, and this request is a use of the caller's own token. */
static struct mln_err put_state(struct mln_request *rq, const struct mln_value *entry, struct mln_value *data)
{
    bool is_orphan = false;
    int64_t uses = mln_get_int(mln_get(entry, "num_uses"), 0);
    bool is_own = mln_value_eq(mln_get(entry, "accessor"), mln_get(rq->actor->token, "accessor"));
    MLN_TRY(mln_token_is_orphan(rq->cx, rq->txn, entry, &is_orphan));
    mln_put_bool(rq->cx, data, "orphan", is_orphan);
    mln_put_int(rq->cx, data, "num_uses", is_own && uses > 1 ? uses - 1 : uses);
    return mln_cx_err(rq->cx);
}

static struct mln_err answer_lookup(struct mln_request *rq, struct mln_reply *re,
                                    const struct mln_value *entry, struct mln_bytes id)
{
    static const char *const same[] = {"accessor", "display_name", "entity_id", "meta",
                                       "path",     "policies",     "type"};
    static const char *const rare[] = {"role", "bound_cidrs"};
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(same); i++) {
        mln_put(cx, data, same[i], mln_get(entry, same[i]));
    }
    for (size_t i = 0; i < MLN_COUNT(rare); i++) {
        if (mln_get(entry, rare[i]) != NULL) {
            mln_put(cx, data, rare[i], mln_get(entry, rare[i]));
        }
    }
    mln_put(cx, data, "id", mln_secret_string(cx, id));
    const struct mln_space *space = mln_space_by_id(mln_run_of(rq)->spaces, mln_token_ns(entry));
    if (space != NULL) {
        mln_put_text(cx, data, "namespace_path", space->path);
    }
    put_times(rq, entry, data);
    MLN_TRY(put_state(rq, entry, data));
    MLN_TRY(mln_entity_show(rq, entry, data));
    int64_t period_s = mln_get_int(mln_get(entry, "period_s"), 0);
    if (period_s > 0) {
        mln_put_int(cx, data, "period", period_s);
    }
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_bytes own_id(const struct mln_request *rq)
{
    return rq->actor->token != NULL ? rq->bearer : MLN_BYTES_NONE; /* the store does not know it */
}

static struct mln_err lookup_self(struct mln_request *rq, struct mln_reply *re)
{
    return answer_lookup(rq, re, rq->actor->token, own_id(rq));
}

static struct mln_err lookup(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "token"));
    if (id.len == 0) {
        return lookup_self(rq, re);
    }
    struct mln_err err = token_given(rq, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        return mln_refail(rq->cx, MLN_E_DENIED, "bad token");
    }
    MLN_TRY(err);
    return answer_lookup(rq, re, entry, id);
}

static struct mln_err lookup_accessor(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = accessor_given(rq, &entry);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "invalid accessor");
    }
    MLN_TRY(err);
    return answer_lookup(rq, re, entry, MLN_BYTES_NONE);
}

static struct mln_err list_accessors(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(mln_token_accessors(rq->cx, rq->txn, rq->ns, &names));
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- renew ---- */

static struct mln_err renew_self(struct mln_request *rq, struct mln_reply *re)
{
    return mln_token_renew_entry(rq, re, rq->actor->token, own_id(rq));
}

static struct mln_err renew(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = token_given(rq, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        return mln_refail(rq->cx, MLN_E_DENIED, "bad token");
    }
    MLN_TRY(err);
    return mln_token_renew_entry(rq, re, entry, mln_get_bytes(mln_field_of(rq, "token")));
}

static struct mln_err renew_accessor(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = accessor_given(rq, &entry);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "invalid accessor");
    }
    MLN_TRY(err);
    return mln_token_renew_entry(rq, re, entry, MLN_BYTES_NONE);
}

/* ---- revoke ---- */

static struct mln_err revoke_entry(struct mln_request *rq, const struct mln_value *entry)
{
    mln_put(rq->cx, rq->detail, "revoked", mln_get(entry, "accessor"));
    return mln_token_revoke(mln_core_of(rq), rq->cx, rq->txn, entry);
}

static struct mln_err revoke_self(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return revoke_entry(rq, rq->actor->token);
}

static struct mln_err revoke(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    (void)re;
    struct mln_err err = token_given(rq, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        return MLN_OK; /* gone already: revoking twice is fine */
    }
    MLN_TRY(err);
    return revoke_entry(rq, entry);
}

static struct mln_err revoke_accessor(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = accessor_given(rq, &entry);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_reply_warn(rq, re, "No token found with this accessor");
        re->status = 200;
        return mln_cx_err(rq->cx);
    }
    MLN_TRY(err);
    return revoke_entry(rq, entry);
}

static struct mln_err revoke_orphan(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *entry = NULL;
    (void)re;
    struct mln_err err = token_given(rq, &entry);
    if (mln_is(err, MLN_E_UNAUTHENTIC)) {
        return mln_refail(rq->cx, MLN_E_INVALID, "token to revoke not found");
    }
    MLN_TRY(err);
    mln_put(rq->cx, rq->detail, "revoked", mln_get(entry, "accessor"));
    return mln_token_revoke_orphan(mln_core_of(rq), rq->cx, rq->txn, entry);
}

/* ---- tidy ---- */

/* Nothing lies about: rows go in the transactions that end what they stand for, and ticks sweep the rest. */
static struct mln_err tidy(struct mln_request *rq, struct mln_reply *re)
{
    mln_reply_warn(rq, re,
                   "Tidy operation successfully started. Any information from the operation will "
                   "be printed to Vault's server logs.");
    re->status = 202;
    return mln_cx_err(rq->cx);
}

/* ---- the descriptor ---- */

#define FIELD_TOKEN                                                                                \
    {                                                                                              \
        .name = "token", .type = MLN_FIELD_SECRET, .help = "The token.", .is_query = true          \
    }
#define FIELD_ACCESSOR                                                                             \
    {                                                                                              \
        .name = "accessor", .type = MLN_FIELD_TEXT, .help = "The token's accessor.",               \
        .is_query = true                                                                           \
    }
#define FIELD_INCREMENT                                                                            \
    {                                                                                              \
        .name = "increment", .type = MLN_FIELD_DURATION,                                           \
        .help = "How long it shall live from now."                                                 \
    }

#define CREATE_FIELDS                                                                              \
    {.name = "id", .type = MLN_FIELD_SECRET, .help = "The token's id; needs sudo."},               \
    {.name = "policies",                                                                           \
     .type = MLN_FIELD_LIST,                                                                       \
     .help = "Policies; those of the caller when absent."},                                        \
    {.name = "meta", .type = MLN_FIELD_MAP, .help = "Names and texts kept with the token."},       \
    {.name = "no_parent",                                                                          \
     .type = MLN_FIELD_BOOL,                                                                       \
     .fallback = "false",                                                                          \
     .help = "An orphan; needs sudo."},                                                            \
    {.name = "no_default_policy",                                                                  \
     .type = MLN_FIELD_BOOL,                                                                       \
     .fallback = "false",                                                                          \
     .help = "Without the policy \"default\"."},                                                   \
    {.name = "renewable", .type = MLN_FIELD_BOOL, .fallback = "true", .help = "May be renewed."},  \
    {.name = "ttl", .type = MLN_FIELD_DURATION, .help = "How long it lives."},                     \
    {.name = "lease", .type = MLN_FIELD_DURATION, .help = "Old name of ttl."},                     \
    {.name = "type", .type = MLN_FIELD_TEXT, .help = "\"service\" or \"batch\"."},                 \
    {.name = "entity_alias",                                                                       \
     .type = MLN_FIELD_TEXT,                                                                       \
     .help = "An alias that the role allows: its entity has the token."},                          \
    {.name = "explicit_max_ttl",                                                                   \
     .type = MLN_FIELD_DURATION,                                                                   \
     .help = "An end that no renewal moves."},                                                     \
    {.name = "display_name",                                                                       \
     .type = MLN_FIELD_TEXT,                                                                       \
     .fallback = "token",                                                                          \
     .help = "A name for people."},                                                                \
    {.name = "num_uses",                                                                           \
     .type = MLN_FIELD_INT,                                                                        \
     .fallback = "0",                                                                              \
     .help = "Requests that it is good for; 0 is no limit."},                                      \
    {.name = "period",                                                                             \
     .type = MLN_FIELD_DURATION,                                                                   \
     .help = "Lives on as long as it is renewed within this time; needs sudo."}

/* Without a field for a role: a body's is not what policy judged. */
static const struct mln_field create_fields[] = {CREATE_FIELDS, {0}};
static const struct mln_field create_role_fields[] = {
    {.name = "role", .type = MLN_FIELD_TEXT, .help = "A role of auth/token/roles."},
    CREATE_FIELDS,
    {0},
};
static struct mln_err role_exists(struct mln_request *rq, bool *ret)
{
    const struct mln_value *role = NULL;
    const char *name = mln_get_text(rq->cx, mln_field_of(rq, "role"), "");
    struct mln_err err = mln_token_role_get(rq, name, &role);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

static const struct mln_field token_fields[] = {FIELD_TOKEN, FIELD_INCREMENT, {0}};
static const struct mln_field accessor_fields[] = {FIELD_ACCESSOR, FIELD_INCREMENT, {0}};
static const struct mln_field self_fields[] = {FIELD_INCREMENT, {0}};

static const struct mln_path token_paths[] = {
    {.pattern = "create",
     .summary = "Make a token.",
     .fields = create_fields,
     .write = mln_token_create_path},
    {.pattern = "create-orphan",
     .summary = "Make a token without a parent.",
     .fields = create_fields,
     .write = mln_token_create_path},
    {.pattern = "create/{role}",
     .summary = "Make a token with a role.",
     .fields = create_role_fields,
     .write = mln_token_create_path},
    {.pattern = "roles", .summary = "List roles.", .list = mln_token_role_list},
    {.pattern = "roles/{role}",
     .summary = "Read, write or delete a role.",
     .fields = mln_token_role_fields,
     .read = mln_token_role_read,
     .write = mln_token_role_write,
     .remove = mln_token_role_remove,
     .exists = role_exists,
     .controls = "AC-6"},
    {.pattern = "tidy", .summary = "Look for rows that lie about.", .write = tidy, .is_sudo = true},
    {.pattern = "lookup-self",
     .summary = "What the caller's token is.",
     .read = lookup_self,
     .write = lookup_self},
    {.pattern = "lookup",
     .summary = "What a token is.",
     .fields = token_fields,
     .read = lookup,
     .write = lookup},
    {.pattern = "lookup-accessor",
     .summary = "What the token of an accessor is.",
     .fields = accessor_fields,
     .write = lookup_accessor},
    {.pattern = "accessors", .summary = "List accessors.", .list = list_accessors, .is_sudo = true},
    {.pattern = "renew-self",
     .summary = "Renew the caller's token.",
     .fields = self_fields,
     .write = renew_self},
    {.pattern = "renew", .summary = "Renew a token.", .fields = token_fields, .write = renew},
    {.pattern = "renew-accessor",
     .summary = "Renew the token of an accessor.",
     .fields = accessor_fields,
     .write = renew_accessor},
    {.pattern = "revoke-self",
     .summary = "Revoke the caller's token and its children.",
     .write = revoke_self,
     .is_relief = true},
    {.pattern = "revoke",
     .summary = "Revoke a token and its children.",
     .fields = token_fields,
     .write = revoke,
     .is_relief = true},
    {.pattern = "revoke-accessor",
     .summary = "Revoke the token of an accessor and its children.",
     .fields = accessor_fields,
     .write = revoke_accessor,
     .is_relief = true},
    {.pattern = "revoke-orphan",
     .summary = "Revoke a token but not its children.",
     .fields = token_fields,
     .write = revoke_orphan,
     .is_sudo = true,
     .is_relief = true},
    {0},
};

const struct mln_engine mln_method_token = {
    .type = "token",
    .kind = MLN_MOUNT_AUTH,
    .summary = "Tokens: what every other way of logging in ends in.",
    .paths = token_paths,
};
