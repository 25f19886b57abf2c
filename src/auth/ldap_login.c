/* SPDX-License-Identifier: Apache-2.0 */
/* A login: who is it by name, does the directory take the password, in which groups, which policies follow. */
#include "auth/ldap_priv.h"

#define PASSWORD_MAX_BYTES 4096u
#define GROUPS_MAX         1000 /* of one person */

/* Who is asking the directory. */
struct person {
    const char *typed;    /* as the name was given, in lower case unless case counts */
    const char *dn;       /* to bind with */
    const char *full_dn;  /* of the entry, for group filters */
    const char *alias;
    struct mln_bytes password; /* empty at renewals */
};

static struct mln_err bad_login(struct mln_request *rq, const char *why)
{
    struct mln_err err = mln_refail(rq->cx, MLN_E_BAD_LOGIN, "ldap operation failed: failed to bind as user");
    mln_note(rq->cx, "ldap: %s", why);
    return err;
}

/* ---- asking ---- */

static struct mln_value *new_ask(struct mln_request *rq, const struct mln_value *config, const char *op)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ask = mln_object(cx);
    int64_t ms = mln_get_int(mln_get(config, "request_timeout"), 10) * 1000;
    mln_put_text(cx, ask, "kind", "ldap");
    mln_put_text(cx, ask, "op", op);
    mln_put_bool(cx, ask, "starttls", ldap_flag(config, "starttls"));
    mln_put_bool(cx, ask, "insecure_tls", ldap_flag(config, "insecure_tls"));
    mln_put(cx, ask, "tls_min_version", mln_get(config, "tls_min_version"));
    mln_put(cx, ask, "dereference", mln_get(config, "dereference_aliases"));
    mln_put_int(cx, ask, "timeout_ms", ms < 1000 ? 1000 : ms > 60000 ? 60000 : ms);
    if (ldap_of(config, "certificate").len > 0) {
        mln_put(cx, ask, "ca_pem", mln_get(config, "certificate"));
    }
    return ask;
}

static void put_bind(struct mln_cx *cx, struct mln_value *ask, struct mln_bytes dn, struct mln_bytes password)
{
    if (dn.len > 0) {
        mln_put(cx, ask, "bind_dn", mln_string(cx, dn));
        mln_put(cx, ask, "password", mln_secret_string(cx, password));
    }
}

static struct mln_err put_client(struct mln_request *rq, const struct mln_value *config, struct mln_value *ask)
{
    struct ldap_pair pair;
    MLN_TRY(ldap_client_pair(rq->cx, config, &pair));
    if (pair.cert.len > 0) {
        mln_put(rq->cx, ask, "cert_der", mln_blob(rq->cx, pair.cert));
        mln_put(rq->cx, ask, "key_der", mln_blob(rq->cx, pair.key));
    }
    return mln_cx_err(rq->cx);
}

/* Each of the configured servers in turn, until one can be reached. */
static struct mln_err ask_directory(struct mln_request *rq, const struct mln_value *config, struct mln_value *ask,
                                    const struct mln_value **ret)
{
    struct mln_bytes rest = ldap_of(config, "url");
    struct mln_err err = {MLN_E_UNREACHABLE};
    MLN_TRY(put_client(rq, config, ask));
    while (rest.len > 0 && (mln_is(err, MLN_E_UNREACHABLE) || mln_is(err, MLN_E_TIMEOUT))) {
        struct mln_bytes one = mln_bytes_trim(mln_bytes_cut(rest, ',', &rest));
        mln_cx_clear(rq->cx);
        mln_put(rq->cx, ask, "url", mln_string(rq->cx, one));
        MLN_TRY(mln_cx_err(rq->cx));
        err = rq->services->reach(rq, ask, ret);
    }
    return err;
}

/* As the configured searcher; anonymously when there is none. */
static struct mln_err search(struct mln_request *rq, const struct mln_value *config, struct mln_value *ask,
                             const struct mln_value **ret_entries)
{
    const struct mln_value *answer = NULL;
    MLN_TRY(ask_directory(rq, config, ask, &answer));
    int64_t code = mln_get_int(mln_get(answer, "code"), -1);
    if (code != 0) {
        return mln_fail(rq->cx, MLN_E_REMOTE, "ldap operation failed: the search ended with code %lld", (long long)code);
    }
    *ret_entries = mln_get(answer, "entries");
    return MLN_OK;
}

static bool has_searcher(const struct mln_value *config)
{
    return ldap_of(config, "binddn").len > 0 && ldap_of(config, "bindpass").len > 0;
}

static const struct mln_value *attribute(const struct mln_value *entry, struct mln_bytes name)
{
    const struct mln_value *all = mln_get(entry, "attributes");
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_member *m = mln_member_at(all, i);
        if (m->key.len == name.len && mln_bytes_is_nocase(m->key, (const char *)name.ptr)) {
            return &m->value;
        }
    }
    return NULL;
}

/* ---- who ---- */

/* The one entry that a filter finds below userdn; searched for as `by`. */
static struct mln_err find_entry(struct mln_request *rq, const struct mln_value *config, const char *filter,
                                 const struct person *by, const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *ask = new_ask(rq, config, "search"), *names = mln_array(cx);
    const struct mln_value *entries = NULL;
    mln_push(cx, names, mln_get(config, "userattr"));
    mln_put(cx, ask, "base", mln_get(config, "userdn"));
    mln_put_text(cx, ask, "filter", filter);
    mln_put(cx, ask, "attributes", names);
    mln_put_int(cx, ask, "size_limit", 3);
    if (has_searcher(config)) {
        put_bind(cx, ask, ldap_of(config, "binddn"), ldap_of(config, "bindpass"));
    } else if (by != NULL) {
        put_bind(cx, ask, mln_bytes_of(by->dn), by->password);
    }
    MLN_TRY(search(rq, config, ask, &entries));
    if (mln_len(entries) != 1) {
        return bad_login(rq, "LDAP search for user 0 or not unique");
    }
    *ret = mln_item(entries, 0);
    return MLN_OK;
}

static void take_entry(struct mln_request *rq, const struct mln_value *config, const struct mln_value *entry, struct person *p)
{
    const struct mln_value *value = mln_item(attribute(entry, mln_bytes_of(mln_get_text(rq->cx, mln_get(config, "userattr"), ""))), 0);
    struct mln_bytes alias = mln_get_bytes(value);
    p->full_dn = mln_get_text(rq->cx, mln_get(entry, "dn"), "");
    if (!ldap_flag(config, "username_as_alias") && alias.len > 0 && alias.len <= MLN_NAME_MAX_BYTES && mln_utf8_valid(alias)) {
        p->alias = mln_text_dup(rq->cx, alias);
    }
}

static struct mln_err search_for(struct mln_request *rq, const struct mln_value *config, struct person *p)
{
    struct ldap_names names = {mln_bytes_of(p->typed), MLN_BYTES_NONE, ldap_of(config, "userattr")};
    struct mln_bytes template = ldap_of(config, "userfilter");
    const struct mln_value *entry = NULL;
    const char *filter = NULL;
    MLN_TRY(ldap_template_fill(rq->cx, template.len > 0 ? template : MLN_BYTES(LDAP_USERFILTER), &names, &filter));
    MLN_TRY(find_entry(rq, config, filter, NULL, &entry));
    take_entry(rq, config, entry, p);
    p->dn = p->full_dn;
    return p->dn[0] != 0 ? MLN_OK : bad_login(rq, "the entry has no name");
}

/* How is this person called when he binds? */
static struct mln_err find_person(struct mln_request *rq, const struct mln_value *config, struct person *p)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf dn = {0};
    struct mln_bytes domain = ldap_of(config, "upndomain");
    p->alias = p->typed;
    if (ldap_flag(config, "discoverdn") || has_searcher(config)) {
        return search_for(rq, config, p);
    }
    if (domain.len > 0) {
        p->dn = mln_text_format(rq->cx, "%s@%.*s", p->typed, MLN_FMT(domain));
        return mln_cx_err(rq->cx);
    }
    mln_buf_add_bytes(&dn, ldap_of(config, "userattr"));
    mln_buf_add_byte(&dn, '=');
    ldap_dn_print(&dn, mln_bytes_of(p->typed));
    mln_buf_add_byte(&dn, ',');
    mln_buf_add_bytes(&dn, ldap_of(config, "userdn"));
    MLN_TRY(mln_buf_ok(rq->cx, &dn));
    p->dn = p->full_dn = mln_text_dup(rq->cx, mln_buf_bytes(&dn));
    return mln_cx_err(rq->cx);
}

static struct mln_err bind_person(struct mln_request *rq, const struct mln_value *config, const struct person *p)
{
    struct mln_value *ask = new_ask(rq, config, "bind");
    const struct mln_value *answer = NULL;
    put_bind(rq->cx, ask, mln_bytes_of(p->dn), p->password);
    MLN_TRY(ask_directory(rq, config, ask, &answer));
    return mln_get_int(mln_get(answer, "code"), -1) == 0 ? MLN_OK : bad_login(rq, "the directory refused the bind");
}

/* After a bind as user@domain: the entry's real name, for group filters. */
static struct mln_err find_full_dn(struct mln_request *rq, const struct mln_value *config, struct person *p)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf filter = {0};
    const struct mln_value *entry = NULL;
    if (p->full_dn[0] != 0) {
        return MLN_OK;
    }
    mln_buf_add_text(&filter, "(userPrincipalName=");
    ldap_filter_print(&filter, mln_bytes_of(p->dn));
    mln_buf_add_text(&filter, ")");
    MLN_TRY(mln_buf_ok(rq->cx, &filter));
    MLN_TRY(find_entry(rq, config, mln_text_dup(rq->cx, mln_buf_bytes(&filter)), p, &entry));
    take_entry(rq, config, entry, p);
    return mln_cx_err(rq->cx);
}

/* ---- groups ---- */

static void push_once(struct mln_cx *cx, struct mln_value *list, struct mln_bytes name)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(list, i)), name)) {
            return;
        }
    }
    mln_push(cx, list, mln_string_dup(cx, name));
}

static void take_groups(struct mln_request *rq, const struct mln_value *config, const struct mln_value *entries,
                        struct mln_value *groups)
{
    const char *attr = mln_get_text(rq->cx, mln_get(config, "groupattr"), "cn");
    for (size_t i = 0; i < mln_len(entries); i++) {
        const struct mln_value *entry = mln_item(entries, i), *values = attribute(entry, mln_bytes_of(attr));
        for (size_t j = 0; j < mln_len(values); j++) {
            struct mln_bytes name = ldap_common_name(rq->cx, mln_get_bytes(mln_item(values, j)));
            if (mln_utf8_valid(name) && name.len > 0 && name.len <= MLN_NAME_MAX_BYTES) {
                push_once(rq->cx, groups, name);
            }
        }
        if (mln_len(values) == 0) {
            push_once(rq->cx, groups, ldap_common_name(rq->cx, mln_get_bytes(mln_get(entry, "dn"))));
        }
    }
}

static struct mln_err find_groups(struct mln_request *rq, const struct mln_value *config, const struct person *p,
                                  struct mln_value *groups)
{
    struct mln_cx *cx = rq->cx;
    struct ldap_names names = {mln_bytes_of(p->typed), mln_bytes_of(p->full_dn), ldap_of(config, "userattr")};
    struct mln_value *ask = new_ask(rq, config, "search"), *attributes = mln_array(cx);
    const struct mln_value *entries = NULL;
    const char *filter = NULL;
    if (ldap_of(config, "groupdn").len == 0 || ldap_of(config, "groupfilter").len == 0) {
        return MLN_OK;
    }
    MLN_TRY(ldap_template_fill(cx, ldap_of(config, "groupfilter"), &names, &filter));
    mln_push(cx, attributes, mln_get(config, "groupattr"));
    mln_put(cx, ask, "base", mln_get(config, "groupdn"));
    mln_put_text(cx, ask, "filter", filter);
    mln_put(cx, ask, "attributes", attributes);
    mln_put_int(cx, ask, "size_limit", GROUPS_MAX);
    if (!ldap_flag(config, "anonymous_group_search")) {
        bool is_ours = has_searcher(config);
        put_bind(cx, ask, is_ours ? ldap_of(config, "binddn") : mln_bytes_of(p->dn), is_ours ? ldap_of(config, "bindpass") : p->password);
    }
    MLN_TRY(search(rq, config, ask, &entries));
    take_groups(rq, config, entries, groups);
    return mln_cx_err(cx);
}

/* ---- policies ---- */

static struct mln_err add_policies(struct mln_request *rq, const char *kind, const char *name, struct mln_value *policies,
                                   const struct mln_value **ret_row)
{
    const struct mln_value *row = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, ldap_row(rq->cx, kind, name), &row);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    const struct mln_value *list = mln_failed(err) ? NULL : mln_get(row, "policies");
    for (size_t i = 0; i < mln_len(list); i++) {
        push_once(rq->cx, policies, mln_get_bytes(mln_item(list, i)));
    }
    *ret_row = mln_failed(err) ? NULL : row;
    return MLN_OK;
}

/* The token fields of the configuration with the policies of user and groups added: a role for token_fields. */
static struct mln_err role_of(struct mln_request *rq, const struct mln_value *config, const char *user, struct mln_value *groups,
                              const struct mln_value **ret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *role = mln_value_dup(cx, config), *policies = mln_array(cx);
    const struct mln_value *row = NULL, *fixed = mln_get(config, "token_policies");
    for (size_t i = 0; i < mln_len(fixed); i++) {
        push_once(cx, policies, mln_get_bytes(mln_item(fixed, i)));
    }
    MLN_TRY(add_policies(rq, "user", user, policies, &row));
    const struct mln_value *more = mln_get(row, "groups");
    for (size_t i = 0; i < mln_len(more); i++) {
        push_once(cx, groups, mln_get_bytes(mln_item(more, i)));
    }
    for (size_t i = 0; i < mln_len(groups); i++) {
        const char *name = NULL;
        if (mln_failed(ldap_name(rq, config, mln_get_bytes(mln_item(groups, i)), &name))) {
            mln_cx_clear(cx); /* a group of the directory that cannot be one here */
            continue;
        }
        MLN_TRY(add_policies(rq, "group", name, policies, &row));
    }
    mln_put(cx, role, "token_policies", policies);
    *ret = role;
    return mln_cx_err(cx);
}

/* ---- login and renewal ---- */

static struct mln_err authenticate(struct mln_request *rq, const struct mln_value *config, struct person *p, struct mln_value *groups)
{
    MLN_TRY(find_person(rq, config, p));
    MLN_TRY(bind_person(rq, config, p));
    MLN_TRY(find_full_dn(rq, config, p));
    return find_groups(rq, config, p, groups);
}

struct mln_err ldap_login(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *config = NULL, *role = NULL;
    struct mln_value *groups = mln_array(cx), *meta = mln_object(cx), *internal = mln_object(cx);
    struct person p = {.dn = "", .full_dn = "", .alias = "", .password = mln_get_bytes(mln_field_of(rq, "password"))};
    struct mln_login *login = MLN_NEW(cx, struct mln_login);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(ldap_config_load(rq, &config));
    MLN_TRY(ldap_name(rq, config, mln_get_bytes(mln_field_of(rq, "username")), &p.typed));
    if (p.password.len == 0 || mln_bytes_find(p.password, 0) < p.password.len || p.password.len > PASSWORD_MAX_BYTES) {
        return mln_fail(cx, MLN_E_INVALID, "password cannot be of zero length when passwordless binds are being denied");
    }
    if (!mln_token_fields_from(rq, config)) {
        return mln_fail(cx, MLN_E_DENIED, "permission denied");
    }
    MLN_TRY(mln_login_attempt(rq, p.typed));
    MLN_TRY(authenticate(rq, config, &p, groups));
    MLN_TRY(role_of(rq, config, p.typed, groups, &role));
    mln_put_text(cx, meta, "username", p.typed);
    mln_put_text(cx, internal, "username", p.typed);
    mln_put(cx, internal, "groups", groups);
    mln_put_text(cx, rq->detail, "user", p.typed);
    *login = (struct mln_login){.alias = p.alias, .display_name = p.typed, .meta = meta, .groups = groups, .internal = internal};
    mln_token_fields_login(rq, role, login);
    re->login = login;
    return mln_cx_err(cx);
}

/* With a searcher the person and his groups are looked up again; without one (no password is kept) the groups of the login stand. */
struct mln_err ldap_renew(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login)
{
    const struct mln_value *config = NULL, *role = NULL, *before = mln_get(internal, "groups");
    struct mln_value *groups = mln_array(rq->cx);
    struct person p = {.dn = "", .full_dn = "", .alias = "", .typed = mln_get_text(rq->cx, mln_get(internal, "username"), "")};
    MLN_TRY(ldap_config_load(rq, &config));
    if (has_searcher(config)) {
        MLN_TRY(find_person(rq, config, &p));
        MLN_TRY(find_groups(rq, config, &p, groups));
    } else {
        for (size_t i = 0; i < mln_len(before); i++) {
            push_once(rq->cx, groups, mln_get_bytes(mln_item(before, i)));
        }
    }
    MLN_TRY(role_of(rq, config, p.typed, groups, &role));
    return mln_token_fields_renew(rq, role, login);
}
