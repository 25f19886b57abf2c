/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A mount's settings: read from what a client sends when it enables or tunes, kept in the mount's row, shown. Members of the row's
 * "config" are those that were set; lifetimes lie in columns of their own.
 */
#include "core/sys_mounts_priv.h"

const struct mln_field sys_mount_config_fields[] = {
    F_TEXT("default_lease_ttl", "Default time to live; \"\" leaves it, \"system\" is the server's."),
    F_TEXT("max_lease_ttl", "Longest time to live."),
    F_BOOL("force_no_cache", NULL, "Kept; nothing is cached here."),
    F_LIST("audit_non_hmac_request_keys", "Members of requests that audit devices show in clear."),
    F_LIST("audit_non_hmac_response_keys", "Members of answers that audit devices show in clear."),
    F_TEXT("listing_visibility", "\"unauth\": listed for callers without a token; \"hidden\"."),
    F_LIST("passthrough_request_headers", "Request headers that the engine may see."),
    F_LIST("allowed_response_headers", "Headers that the engine may set."),
    F_TEXT("token_type", "Of logins here: default-service, default-batch, service, batch."),
    {.name = "user_lockout_config", .type = MLN_FIELD_MAP,
     .help = "lockout_threshold, lockout_duration, lockout_counter_reset, lockout_disable."},
    F_TEXT("plugin_version", "Engines are built in: empty."),
    F_TEXT("plugin_name", "Old way of naming the type."),
    F_TEXT("description", "A line for people."),
    {.name = "options", .type = MLN_FIELD_MAP, .help = "The engine's own options."},
    {0},
};

/* In the order in which they are shown, with the lifetimes between them. */
static const char *const list_names[] = {"audit_non_hmac_request_keys",
                                         "audit_non_hmac_response_keys", "allowed_response_headers",
                                         "passthrough_request_headers"};

/* ---- showing ---- */

static void put_if(struct mln_cx *cx, struct mln_value *to, const struct mln_value *from,
                   const char *name)
{
    if (!mln_is_null(mln_get(from, name))) {
        mln_put(cx, to, name, mln_get(from, name));
    }
}

static struct mln_value *show_config(struct mln_cx *cx, const struct mln_value *row,
                                     int64_t default_s, int64_t max_s)
{
    const struct mln_value *config = mln_get(row, "config");
    struct mln_value *out = mln_object(cx);
    put_if(cx, out, config, "allowed_response_headers");
    put_if(cx, out, config, "audit_non_hmac_request_keys");
    put_if(cx, out, config, "audit_non_hmac_response_keys");
    mln_put_int(cx, out, "default_lease_ttl", default_s);
    mln_put_bool(cx, out, "force_no_cache",
                 mln_get_bool(mln_get(config, "force_no_cache"), false));
    put_if(cx, out, config, "listing_visibility");
    mln_put_int(cx, out, "max_lease_ttl", max_s);
    put_if(cx, out, config, "passthrough_request_headers");
    put_if(cx, out, config, "token_type");
    put_if(cx, out, config, "user_lockout_config");
    return out;
}

/* Mounts that every server has are in no catalog, so nothing says how long they stay. */
static bool is_of_server(struct mln_bytes type)
{
    static const char *const types[] = {"cubbyhole", "identity", "system", "token"};
    for (size_t i = 0; i < MLN_COUNT(types); i++) {
        if (mln_bytes_is(type, types[i])) {
            return true;
        }
    }
    return false;
}

struct mln_value *sys_mount_show(struct mln_cx *cx, const struct mln_value *row)
{
    struct mln_value *out = mln_object(cx);
    mln_put(cx, out, "accessor", mln_get(row, "accessor"));
    mln_put(cx, out, "config",
            show_config(cx, row, mln_get_int(mln_get(row, "default_ttl_s"), 0),
                        mln_get_int(mln_get(row, "max_ttl_s"), 0)));
    if (!is_of_server(mln_get_bytes(mln_get(row, "type")))) {
        mln_put_text(cx, out, "deprecation_status", "supported");
    }
    mln_put(cx, out, "description", mln_get(row, "description"));
    mln_put_bool(cx, out, "external_entropy_access", false);
    mln_put_bool(cx, out, "local", mln_get_bool(mln_get(row, "local"), false));
    mln_put(cx, out, "options", mln_get(row, "options"));
    mln_put_text(cx, out, "plugin_version", "");
    mln_put_text(cx, out, "running_plugin_version", "v" MLN_VERSION "+builtin");
    mln_put_text(cx, out, "running_sha256", "");
    mln_put_bool(cx, out, "seal_wrap", mln_get_bool(mln_get(row, "seal_wrap"), false));
    bool is_own = mln_get_bool(mln_get(row, "of_namespace"), false); /* made with a namespace: clients know them so */
    mln_put(cx, out, "type",
            is_own ? mln_textf(cx, "ns_%s", mln_get_text(cx, mln_get(row, "type"), "")) : mln_get(row, "type"));
    mln_put(cx, out, "uuid", mln_get(row, "uuid"));
    return out;
}

/* As tuning shows it: lifetimes that are in force, the server's where the mount has none. */
struct mln_value *sys_mount_show_tune(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_cx *cx = rq->cx;
    struct mln_mount mount = {.default_ttl_s = mln_get_int(mln_get(row, "default_ttl_s"), 0),
                              .max_ttl_s = mln_get_int(mln_get(row, "max_ttl_s"), 0)};
    struct mln_value *out = show_config(cx, row, mln_token_ttl_default(mln_core_of(rq), &mount),
                                        mln_token_ttl_max(mln_core_of(rq), &mount));
    mln_put(cx, out, "description", mln_get(row, "description"));
    if (mln_len(mln_get(row, "options")) > 0) {
        mln_put(cx, out, "options", mln_get(row, "options"));
    }
    return out;
}

/* ---- reading ---- */

#define SHOWN_MAX 64u /* a longer text is not repeated in its refusal */

static struct mln_err put_ttl(struct mln_cx *cx, const struct mln_value *fields, const char *name,
                              struct mln_value *row, const char *column)
{
    struct mln_bytes text = mln_get_bytes(mln_get(fields, name));
    int64_t s = 0;
    if (text.len == 0) {
        return MLN_OK;
    }
    bool is_system = mln_bytes_is(text, "system");
    if (!is_system && (!mln_duration_parse(text, &s) || s < 0 || s > SYS_MOUNT_TTL_MAX_S)) {
        struct mln_bytes shown = text.len <= SHOWN_MAX ? text : MLN_BYTES("that text");
        return mln_fail(cx, MLN_E_INVALID, "unable to parse %s TTL of %.*s: a duration such as \"24h\" or "
                        "\"system\" is expected", mln_bytes_is(mln_bytes_of(name), "max_lease_ttl") ? "max" : "default",
                        MLN_FMT(shown));
    }
    mln_put_int(cx, row, column, s);
    return MLN_OK;
}

static struct mln_err put_ttls(struct mln_request *rq, const struct mln_value *fields,
                               struct mln_value *row, bool is_tune)
{
    struct mln_cx *cx = rq->cx;
    MLN_TRY(put_ttl(cx, fields, "default_lease_ttl", row, "default_ttl_s"));
    MLN_TRY(put_ttl(cx, fields, "max_lease_ttl", row, "max_ttl_s"));
    int64_t usual = mln_get_int(mln_get(row, "default_ttl_s"), 0),
            most = mln_get_int(mln_get(row, "max_ttl_s"), 0),
            of_server = mln_token_ttl_max(mln_core_of(rq), NULL);
    if (most > 0 && usual > most && is_tune) {
        return mln_fail(cx, MLN_E_INVALID,
                        "backend max lease TTL of %lld would be less than backend default lease "
                        "TTL of %lld",
                        (long long)most, (long long)usual);
    }
    if (most > 0 && usual > most) {
        return mln_fail(cx, MLN_E_INVALID,
                        "given default lease TTL greater than given max lease TTL");
    }
    if (most == 0 && usual > of_server) {
        return mln_fail(cx, MLN_E_INVALID,
                        "given default lease TTL greater than system max lease TTL of %lld",
                        (long long)of_server);
    }
    return mln_cx_err(cx);
}

static bool is_one_of(struct mln_bytes text, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (mln_bytes_is(text, names[i])) {
            return true;
        }
    }
    return false;
}

static struct mln_err put_visibility(struct mln_cx *cx, const struct mln_value *fields,
                                     struct mln_value *config)
{
    static const char *const known[] = {"", "unauth", "hidden", NULL};
    const struct mln_value *v = mln_get(fields, "listing_visibility");
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (!is_one_of(mln_get_bytes(v), known)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid listing visibility type");
    }
    mln_remove(config, MLN_BYTES("listing_visibility"));
    if (mln_len(v) > 0) {
        mln_put(cx, config, "listing_visibility", v);
    }
    return MLN_OK;
}

static struct mln_err put_token_type(struct mln_cx *cx, const struct mln_value *fields,
                                     const struct mln_value *row, struct mln_value *config)
{
    static const char *const known[] = {"default-service", "default-batch", "service", "batch",
                                        NULL};
    const struct mln_value *v = mln_get(fields, "token_type");
    struct mln_bytes path = mln_get_bytes(mln_get(row, "path"));
    if (mln_len(v) == 0) {
        return MLN_OK;
    }
    if (!mln_bytes_starts(path, SYS_AUTH)) {
        return mln_fail(cx, MLN_E_INVALID, "'token_type' can only be modified on auth mounts");
    }
    if (mln_bytes_is(path, "auth/token/")) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'token_type' cannot be set for 'token' or 'ns_token' auth mounts");
    }
    if (!is_one_of(mln_get_bytes(v), known)) {
        return mln_fail(cx, MLN_E_INVALID, "invalid value for 'token_type'");
    }
    mln_put(cx, config, "token_type", v);
    return MLN_OK;
}

/* Numbers may come as texts, "0" leaves the default. */
static struct mln_err put_lockout(struct mln_cx *cx, const struct mln_value *fields, const struct mln_value *row,
                                  struct mln_value *config)
{
    static const struct mln_field parts[] = {
        {.name = "lockout_threshold", .type = MLN_FIELD_INT},
        {.name = "lockout_duration", .type = MLN_FIELD_DURATION},
        {.name = "lockout_counter_reset", .type = MLN_FIELD_DURATION},
        {.name = "lockout_disable", .type = MLN_FIELD_BOOL},
        {0},
    };
    static const char *const counting[] = {"userpass", "approle", "ldap", NULL};
    struct mln_value *out = mln_object(cx);
    const struct mln_value *v = mln_get(fields, "user_lockout_config");
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (!is_one_of(mln_get_bytes(mln_get(row, "type")), counting)) {
        return mln_fail(cx, MLN_E_INVALID, "tuning of user lockout configuration for auth type \"%.*s\" not allowed",
                        MLN_FMT(mln_get_bytes(mln_get(row, "type"))));
    }
    MLN_TRY(mln_fields_parse(cx, parts, NULL, v, out));
    for (size_t i = 0; i < 3; i++) {
        int64_t n = mln_get_int(mln_get(out, parts[i].name), 0);
        if (n < 0 || n > INT32_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "invalid %s", parts[i].name);
        }
    }
    mln_put(cx, config, "user_lockout_config", out);
    return mln_cx_err(cx);
}

static struct mln_err put_lists(struct mln_cx *cx, const struct mln_value *fields,
                                struct mln_value *config)
{
    for (size_t i = 0; i < MLN_COUNT(list_names); i++) {
        const struct mln_value *v = mln_get(fields, list_names[i]);
        if (mln_is_null(v)) {
            continue;
        }
        if (mln_len(v) > SYS_MOUNT_LIST_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "%s has at most %u names", list_names[i],
                            SYS_MOUNT_LIST_MAX);
        }
        mln_remove(config, mln_bytes_of(list_names[i]));
        if (mln_len(v) > 0) {
            mln_put(cx, config, list_names[i], v);
        }
    }
    return MLN_OK;
}

struct mln_err sys_mount_configure(struct mln_request *rq, const struct mln_value *fields,
                                   struct mln_value *row, bool is_tune)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *config = mln_value_dup(cx, mln_get(row, "config"));
    config = mln_type_of(config) == MLN_OBJECT ? config : mln_object(cx);
    MLN_TRY(put_ttls(rq, fields, row, is_tune));
    MLN_TRY(put_visibility(cx, fields, config));
    MLN_TRY(put_token_type(cx, fields, row, config));
    MLN_TRY(put_lockout(cx, fields, row, config));
    MLN_TRY(put_lists(cx, fields, config));
    if (mln_len(mln_get(fields, "plugin_version")) > 0) {
        return mln_fail(cx, MLN_E_INVALID,
                        "engines are built in: no version \"%.*s\" is in the catalog",
                        MLN_FMT(mln_get_bytes(mln_get(fields, "plugin_version"))));
    }
    if (!mln_is_null(mln_get(fields, "force_no_cache"))) {
        mln_put(cx, config, "force_no_cache", mln_get(fields, "force_no_cache"));
    }
    mln_put(cx, row, "config", config);
    return mln_cx_err(cx);
}
