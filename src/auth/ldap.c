/* SPDX-License-Identifier: Apache-2.0 */
/* LDAP: configuration, users, groups, the descriptor. See ldap_priv.h. */
#include "auth/ldap_priv.h"

/* Members of the configuration with what they are when never set, as Vault has it. */
static const struct own_field {
    const char *name, *text; /* text: NULL = a boolean or number */
    int64_t number;
    bool is_bool;
} own_fields[] = {
    {"url", "ldap://127.0.0.1", 0, false}, {"userdn", "", 0, false}, {"userattr", "cn", 0, false},
    {"userfilter", LDAP_USERFILTER, 0, false}, {"groupdn", "", 0, false}, {"groupfilter", LDAP_GROUPFILTER, 0, false},
    {"groupattr", "cn", 0, false}, {"binddn", "", 0, false}, {"upndomain", "", 0, false}, {"certificate", "", 0, false},
    {"tls_min_version", "tls12", 0, false}, {"tls_max_version", "tls12", 0, false}, {"dereference_aliases", "never", 0, false},
    {"starttls", NULL, 0, true}, {"insecure_tls", NULL, 0, true}, {"deny_null_bind", NULL, 1, true}, {"discoverdn", NULL, 0, true},
    {"case_sensitive_names", NULL, 0, true}, {"username_as_alias", NULL, 0, true}, {"anonymous_group_search", NULL, 0, true},
    {"use_token_groups", NULL, 0, true}, {"request_timeout", NULL, 90, false}, {"connection_timeout", NULL, 30, false},
    {"max_page_size", NULL, 0, false},
};

struct mln_bytes ldap_of(const struct mln_value *config, const char *name)
{
    return mln_get_bytes(mln_get(config, name));
}

bool ldap_flag(const struct mln_value *config, const char *name)
{
    return mln_get_bool(mln_get(config, name), false);
}

struct mln_bytes ldap_row(struct mln_cx *cx, const char *kind, const char *name)
{
    return mln_bytes_format(cx, "%s/%s", kind, name);
}

struct mln_err ldap_name(struct mln_request *rq, const struct mln_value *config, struct mln_bytes name, const char **ret)
{
    bool keeps = ldap_flag(config, "case_sensitive_names");
    char *text = mln_new(rq->cx, name.len + 1);
    if (name.len == 0 || name.len > MLN_NAME_MAX_BYTES || !mln_utf8_valid(name)) {
        return mln_fail(rq->cx, MLN_E_INVALID, name.len == 0 ? "missing name" : "a name has 1 to %d bytes", MLN_NAME_MAX_BYTES);
    }
    for (size_t i = 0; text != NULL && i < name.len; i++) {
        uint8_t c = name.ptr[i];
        if (c < 0x20 || c == 0x7f || c == '/') {
            return mln_fail(rq->cx, MLN_E_INVALID, "a name has no control characters and no \"/\"");
        }
        text[i] = (char)(!keeps && c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    *ret = text;
    return mln_cx_err(rq->cx);
}

/* ---- configuration ---- */

static struct mln_err load(struct mln_request *rq, const char *key, const struct mln_value **ret)
{
    return mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, mln_bytes_of(key), ret);
}

struct mln_err ldap_config_load(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = load(rq, "config", ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_INVALID, "ldap backend not configured") : err;
}

static struct mln_err check_urls(struct mln_request *rq, const struct mln_value *config)
{
    struct mln_bytes rest = ldap_of(config, "url");
    while (rest.len > 0) {
        struct mln_bytes one = mln_bytes_trim(mln_bytes_cut(rest, ',', &rest));
        if (!mln_bytes_starts(one, MLN_BYTES("ldap://")) && !mln_bytes_starts(one, MLN_BYTES("ldaps://"))) {
            return mln_fail(rq->cx, MLN_E_INVALID, "url must be ldap://host or ldaps://host, several with commas");
        }
    }
    return MLN_OK;
}

static struct mln_err check_texts(struct mln_request *rq, const struct mln_value *config)
{
    struct ldap_names names = {MLN_BYTES("u"), MLN_BYTES("d"), ldap_of(config, "userattr")};
    const char *filled = NULL;
    if (!ldap_attribute_is_sane(ldap_of(config, "userattr")) || !ldap_attribute_is_sane(ldap_of(config, "groupattr"))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "userattr and groupattr are names of attributes");
    }
    MLN_TRY(ldap_template_fill(rq->cx, ldap_of(config, "userfilter"), &names, &filled));
    return ldap_template_fill(rq->cx, ldap_of(config, "groupfilter"), &names, &filled);
}

static bool is_tls_version(struct mln_bytes text)
{
    return mln_bytes_is(text, "tls12") || mln_bytes_is(text, "tls13");
}

static struct mln_err check_tls(struct mln_request *rq, const struct mln_value *config)
{
    struct mln_bytes least = ldap_of(config, "tls_min_version"), most = ldap_of(config, "tls_max_version");
    struct ldap_pair pair;
    if (!is_tls_version(least) || !is_tls_version(most)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "invalid 'tls_min_version' or 'tls_max_version': tls12 or tls13");
    }
    if (mln_bytes_is(least, "tls13") && mln_bytes_is(most, "tls12")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "'tls_max_version' must be greater than or equal to 'tls_min_version'");
    }
    return ldap_client_pair(rq->cx, config, &pair);
}

static bool is_deref(struct mln_bytes text)
{
    return mln_bytes_is(text, "never") || mln_bytes_is(text, "finding") || mln_bytes_is(text, "searching") ||
           mln_bytes_is(text, "always");
}

static struct mln_err check_config(struct mln_request *rq, const struct mln_value *config)
{
    struct mln_cx *cx = rq->cx;
    if (ldap_flag(config, "use_token_groups")) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "use_token_groups is not supported");
    }
    if (!is_deref(ldap_of(config, "dereference_aliases"))) {
        return mln_fail(cx, MLN_E_INVALID, "dereference_aliases is never, finding, searching or always");
    }
    MLN_TRY(check_tls(rq, config));
    MLN_TRY(check_urls(rq, config));
    return check_texts(rq, config);
}

static void put_default(struct mln_cx *cx, struct mln_value *config, const struct own_field *f)
{
    if (f->text != NULL) {
        mln_put_text(cx, config, f->name, f->text);
    } else if (f->is_bool) {
        mln_put_bool(cx, config, f->name, f->number != 0);
    } else {
        mln_put_int(cx, config, f->name, f->number);
    }
}

static const char *const hidden[] = {"bindpass", "client_tls_cert", "client_tls_key"}; /* kept, and never shown */

static struct mln_err config_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *before = NULL;
    (void)re;
    struct mln_err err = load(rq, "config", &before);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *config = mln_failed(err) ? mln_object(cx) : mln_value_dup(cx, before);
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        const struct mln_value *v = mln_field_of(rq, own_fields[i].name);
        if (!mln_is_null(v)) {
            mln_put(cx, config, own_fields[i].name, v);
        } else if (mln_get(config, own_fields[i].name) == NULL) {
            put_default(cx, config, &own_fields[i]);
        }
    }
    for (size_t i = 0; i < MLN_COUNT(hidden); i++) {
        if (!mln_is_null(mln_field_of(rq, hidden[i]))) {
            mln_put(cx, config, hidden[i], mln_field_of(rq, hidden[i]));
        }
    }
    MLN_TRY(mln_token_fields_take(rq, config));
    MLN_TRY(check_config(rq, config));
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, MLN_BYTES("config"), config);
}

/* What was never configured is shown as it would be; logins still need a configuration. */
static struct mln_err config_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *config = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_err err = load(rq, "config", &config);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    mln_cx_clear(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        const struct mln_value *v = mln_get(config, own_fields[i].name);
        if (v != NULL) {
            mln_put(rq->cx, data, own_fields[i].name, v);
        } else {
            put_default(rq->cx, data, &own_fields[i]);
        }
    }
    mln_token_fields_print(rq->cx, config, data);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- users and groups: what they may besides ---- */

static struct mln_err row_of(struct mln_request *rq, const char *kind, struct mln_bytes *ret)
{
    const struct mln_value *config = NULL;
    const char *name = NULL;
    struct mln_err err = load(rq, "config", &config);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(ldap_name(rq, mln_failed(err) ? NULL : config, mln_get_bytes(mln_field_of(rq, "name")), &name));
    mln_put_text(rq->cx, rq->detail, kind, name);
    *ret = ldap_row(rq->cx, kind, name);
    return mln_cx_err(rq->cx);
}

static struct mln_err write_row(struct mln_request *rq, const char *kind)
{
    static const char *const members[] = {"policies", "groups"};
    struct mln_value *row = mln_object(rq->cx);
    struct mln_bytes key;
    MLN_TRY(row_of(rq, kind, &key));
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        const struct mln_value *list = mln_field_of(rq, members[i]);
        mln_put(rq->cx, row, members[i], mln_is_null(list) ? mln_array(rq->cx) : list);
    }
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, key, row);
}

/* A user's groups are shown as one text with commas, as Vault does. */
static struct mln_err read_row(struct mln_request *rq, const char *kind, bool is_user, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf joined = {0};
    struct mln_bytes key;
    MLN_TRY(row_of(rq, kind, &key));
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, &row));
    const struct mln_value *groups = mln_get(row, "groups");
    for (size_t i = 0; i < mln_len(groups); i++) {
        mln_buf_add_text(&joined, i > 0 ? "," : "");
        mln_buf_add_bytes(&joined, mln_get_bytes(mln_item(groups, i)));
    }
    if (is_user) {
        mln_put(rq->cx, data, "groups", mln_string_dup(rq->cx, mln_buf_bytes(&joined)));
    }
    mln_put(rq->cx, data, "policies", mln_get(row, "policies"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static struct mln_err remove_row(struct mln_request *rq, const char *kind)
{
    struct mln_bytes key;
    MLN_TRY(row_of(rq, kind, &key));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key);
}

static struct mln_err user_write(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return write_row(rq, "user");
}
static struct mln_err user_read(struct mln_request *rq, struct mln_reply *re)
{
    return read_row(rq, "user", true, re);
}
static struct mln_err user_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return remove_row(rq, "user");
}
static struct mln_err user_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_method_list(rq, re, MLN_BYTES("user/"));
}
static struct mln_err group_write(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return write_row(rq, "group");
}
static struct mln_err group_read(struct mln_request *rq, struct mln_reply *re)
{
    return read_row(rq, "group", false, re);
}
static struct mln_err group_remove(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return remove_row(rq, "group");
}
static struct mln_err group_list(struct mln_request *rq, struct mln_reply *re)
{
    return mln_method_list(rq, re, MLN_BYTES("group/"));
}

/* ---- the descriptor ---- */

#define TEXT(field, what) {.name = field, .type = MLN_FIELD_TEXT, .help = what}
#define BOOL(field, what) {.name = field, .type = MLN_FIELD_BOOL, .help = what}
static const struct mln_field config_fields[] = {
    TEXT("url", "ldap://host:port or ldaps://host:port; several with commas are tried in turn."),
    TEXT("userdn", "Where users are."),
    TEXT("userattr", "The attribute that is the user name."),
    TEXT("userfilter", "How a user is found: {{.UserAttr}}, {{.Username}}."),
    TEXT("groupdn", "Where groups are."),
    TEXT("groupfilter", "How a user's groups are found: {{.UserDN}}, {{.Username}}."),
    TEXT("groupattr", "The attribute that names a group."),
    TEXT("binddn", "Who searches."),
    {.name = "bindpass", .type = MLN_FIELD_SECRET, .help = "With which password."},
    TEXT("upndomain", "Bind as user@domain (Active Directory)."),
    TEXT("certificate", "Authorities in PEM, instead of the system's."),
    TEXT("tls_min_version", "tls12 or tls13."),
    TEXT("tls_max_version", "tls12 or tls13."),
    TEXT("dereference_aliases", "When searches follow aliases: never, finding, searching or always."),
    TEXT("client_tls_cert", "The certificate to show the directory, PEM."),
    {.name = "client_tls_key", .type = MLN_FIELD_SECRET, .help = "Its key, PEM, not encrypted."},
    BOOL("starttls", "Start TLS on a plain connection."),
    BOOL("insecure_tls", "Do not verify the directory's certificate."),
    BOOL("deny_null_bind", "Kept, without effect: an empty password is never a login."),
    BOOL("discoverdn", "Search for the user's name, anonymously when there is no binddn."),
    BOOL("case_sensitive_names", "Names of users and groups keep their case."),
    BOOL("username_as_alias", "The name as it was typed is the alias, not the directory's."),
    BOOL("anonymous_group_search", "Search for groups without a bind."),
    BOOL("use_token_groups", "Not supported."),
    {.name = "request_timeout", .type = MLN_FIELD_DURATION, .help = "Seconds for each call, at most 60."},
    {.name = "connection_timeout", .type = MLN_FIELD_DURATION, .help = "Kept for clients that set it."},
    {.name = "max_page_size", .type = MLN_FIELD_INT, .help = "Kept for clients that set it."},
    MLN_TOKEN_FIELDS,
    {0},
};
static const struct mln_field row_fields[] = {
    TEXT("name", "The name of a user or group."),
    {.name = "policies", .type = MLN_FIELD_LIST, .help = "Policies that it brings."},
    {.name = "groups", .type = MLN_FIELD_LIST, .help = "Groups of a user besides the directory's."},
    {0},
};
static const struct mln_field login_fields[] = {
    TEXT("username", "The user's name."),
    {.name = "password", .type = MLN_FIELD_SECRET, .help = "The password."},
    {0},
};

static const struct mln_path paths[] = {
    {.pattern = "config", .summary = "Configure the directory.", .fields = config_fields, .read = config_read, .write = config_write,
     .controls = "IA-2,IA-8"},
    {.pattern = "users", .summary = "List users with policies of their own.", .list = user_list},
    {.pattern = "users/{name}", .summary = "Policies and groups of a user.", .fields = row_fields, .read = user_read,
     .write = user_write, .remove = user_remove, .controls = "AC-2"},
    {.pattern = "groups", .summary = "List groups with policies.", .list = group_list},
    {.pattern = "groups/{name}", .summary = "Policies of a group.", .fields = row_fields, .read = group_read, .write = group_write,
     .remove = group_remove, .controls = "AC-2"},
    {.pattern = "login/{username}", .summary = "Log in with the directory's password.", .fields = login_fields, .write = ldap_login,
     .is_open = true, .may_block = true, .act = MLN_ACT_LOGIN, .controls = "IA-2,IA-5"},
    {0},
};

const struct mln_engine mln_method_ldap = {
    .type = "ldap",
    .kind = MLN_MOUNT_AUTH,
    .summary = "People of an LDAP directory.",
    .paths = paths,
    .renew_login = ldap_renew,
};
