/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merlon migrate: what is read and written under one path at both sides, as a table; and what no
 * API gives out. A further kind is one row.
 */
#include "cli/migrate_priv.h"

#define OIDC_SECRET "oidc_client_secret is not readable: set it again"

/* ---- hooks ---- */

/* role_id lies under a path of its own; secret ids are hashed at rest and stay. */
static struct mln_err read_approle(struct migrate *m, const struct mig_side *side, const char *path,
                                   struct mln_value *body, const char **note)
{
    struct mln_cli_reply reply = {0};
    const struct mln_value *id = NULL;
    MLN_TRY(mig_read(m, side, mln_text_format(&m->work, "%s/role-id", path), &id));
    if (mln_len(mln_get(id, "role_id")) > 0) {
        mln_put(&m->work, body, "role_id", mln_get(id, "role_id"));
    }
    if (side != &m->from) {
        return MLN_OK;
    }
    const char *secrets = mln_text_format(&m->work, "%s/secret-id", path);
    if (mln_failed(mig_call(m, side, "LIST", secrets, NULL, &reply))) {
        mln_cx_clear(&m->work); /* none, or not for this token to see */
    } else if (mln_len(mln_get(reply.data, "keys")) > 0) {
        *note = mln_text_format(&m->work, "%zu secret ids stay: they are not readable",
                                mln_len(mln_get(reply.data, "keys")));
    }
    return MLN_OK;
}

/* A user needs a password: 256 random bits that nobody is told. */
static struct mln_err write_userpass(struct migrate *m, const struct mig_side *side,
                                     const char *path, struct mln_value *body, const char **note)
{
    (void)side;
    (void)path;
    if (mln_get_bool(mln_get(body, "\1exists"), false)) {
        return MLN_OK;
    }
    char *password = mln_new(&m->work, 44);
    MLN_TRY(mln_cx_err(&m->work));
    mln_random_base62(password, 43);
    mln_put_text(&m->work, body, "password", password);
    *note = "the password is not readable: nobody can log in until one is set";
    return MLN_OK;
}

/* ---- tables ---- */

const struct mig_kind mig_system_kinds[] = {
    {.list = "sys/policies/acl", .item = "sys/policies/acl",
     .drop = "name,version,modified,data_base64,cas_required,expiration", .skip = "root"},
    {.list = "sys/policies/password", .item = "sys/policies/password", .drop = "name"},
    {.list = "auth/token/roles", .item = "auth/token/roles", .drop = "name,period"},
    {0},
};
static const struct mig_kind quota_kinds[] = {
    {.item = "sys/quotas/config", .is_sparse = true, .drop = "absolute_rate_limit_exempt_paths"},
    {.list = "sys/quotas/rate-limit", .item = "sys/quotas/rate-limit", .drop = "type,name"},
    {.list = "sys/quotas/lease-count", .item = "sys/quotas/lease-count", .drop = "type,name,counter"},
    {0},
};

const struct mig_kind mig_mount_kinds[] = {
    {.type = "userpass", .is_auth = true, .list = "users", .item = "users",
     .drop = "policies,ttl,max_ttl,name", .write = write_userpass},
    {.type = "approle", .is_auth = true, .list = "role", .item = "role", .drop = "policies,period,name", .read = read_approle},
    {.type = "jwt", .is_auth = true, .item = "config", .is_sparse = true, .drop = "status",
     .lost_if = "oidc_client_id", .lost = OIDC_SECRET},
    {.type = "jwt", .is_auth = true, .list = "role", .item = "role", .drop = "name"},
    {.type = "oidc", .is_auth = true, .item = "config", .is_sparse = true, .drop = "status",
     .lost_if = "oidc_client_id", .lost = OIDC_SECRET},
    {.type = "oidc", .is_auth = true, .list = "role", .item = "role", .drop = "name"},
    {.type = "kubernetes", .is_auth = true, .item = "config", .is_sparse = true, .drop = "token_reviewer_jwt_set",
     .lost_if = "token_reviewer_jwt_set", .lost = "token_reviewer_jwt is not readable: set it again"},
    {.type = "kubernetes", .is_auth = true, .list = "role", .item = "role",
     .drop = "name,policies,ttl,max_ttl,period,num_uses,bound_cidrs"},
    {.type = "ldap", .is_auth = true, .item = "config", .is_sparse = true, .drop = "bindpass_set",
     .lost_if = "binddn", .lost = "bindpass is not readable: set it again"},
    {.type = "ldap", .is_auth = true, .list = "users", .item = "users", .drop = "name"},
    {.type = "ldap", .is_auth = true, .list = "groups", .item = "groups", .drop = "name"},
    {.type = "cert", .is_auth = true, .item = "config", .is_sparse = true, .drop = ""},
    {.type = "cert", .is_auth = true, .list = "certs", .item = "certs", .drop = "name,policies,ttl,max_ttl,period,lease"},
    {.type = "pki", .list = "roles", .item = "roles", .drop = "name"},
    {.type = "pki", .item = "config/urls", .is_sparse = true, .drop = ""},
    {.type = "pki", .item = "config/cluster", .is_sparse = true, .drop = ""},
    {.type = "pki", .item = "config/crl", .is_sparse = true, .drop = "warnings"},
    {.type = "ssh", .list = "roles", .item = "roles", .drop = "name"},
    {.type = "ssh", .item = "config/zeroaddress", .is_sparse = true, .drop = ""},
    {.type = "kv2", .item = "config", .is_sparse = true, .drop = ""},
    {.type = "transit", .item = "config/keys", .is_sparse = true, .drop = ""},
    {.type = "database", .list = "roles", .item = "roles", .drop = "name"},
    {0},
};

/* ---- what stays ---- */

static const struct {
    const char *type;
    bool is_auth;
    const char *list; /* what there is of it */
    const char *reason;
} stays[] = {
    {"pki", false, "keys", "private keys of authorities never leave: import them from where they were made, or make a new authority"},
    {"pki", false, "certs", "issued certificates belong to the authority's key"},
    {"totp", false, "keys", "the secrets of codes are not readable"},
    {"cert", true, "crls", "revocation lists are not readable as they came: upload them again"},
    {"database", false, "config", "passwords of connections are not readable"},
    {"database", false, "static-roles", "their passwords are rotated by the server that holds them"},
    {NULL, false, "auth/token/accessors", "tokens are not readable: log in again"},
    {NULL, false, "sys/leases/lookup", "leases end with the server that gave them"},
    {NULL, false, "identity/oidc/client", "secrets of OIDC clients are the server's own"},
    {NULL, false, "identity/oidc/key", "signing keys of identity tokens are the server's own"},
    {NULL, false, "identity/mfa/method", "secrets of second factors are not readable"},
};

static bool is_only_default(const struct mln_value *names)
{
    return mln_len(names) == 1 && mln_is_text(mln_item(names, 0), "default");
}

static struct mln_err stay(struct migrate *m, size_t i, const char *mount)
{
    const char *path = mln_text_format(m->cli->cx, "%s%s", mount, stays[i].list);
    const struct mln_value *names = NULL;
    if (!mig_wanted(m->only, m->exclude, path)) {
        return MLN_OK;
    }
    struct mln_err err = mig_list(m, &m->from, path, &names);
    if (mln_is(err, MLN_E_DENIED) || mln_is(err, MLN_E_INVALID)) {
        mig_fresh(m);
        return mig_row(m, path, MIG_LEFT, mln_text_format(&m->work, "not shown to this token; %s", stays[i].reason));
    }
    MLN_TRY(mig_caught(m, path, err));
    size_t n = mln_len(names);
    bool is_own = mln_bytes_is(mln_bytes_of(stays[i].list), "auth/token/accessors") && n == 1;
    if (n == 0 || is_own || is_only_default(names)) {
        return MLN_OK; /* the token of this very run is not missed */
    }
    return mig_row(m, path, MIG_LEFT, mln_text_format(&m->work, "%zu: %s", n, stays[i].reason));
}

static struct mln_err stays_of(struct migrate *m, const char *type, bool is_auth, const char *mount)
{
    for (size_t i = 0; i < MLN_COUNT(stays); i++) {
        bool is_it = type == NULL ? stays[i].type == NULL
                                  : stays[i].type != NULL && stays[i].is_auth == is_auth &&
                                        mln_bytes_is(mln_bytes_of(type), stays[i].type);
        if (is_it) {
            MLN_TRY(stay(m, i, mount));
        }
    }
    return MLN_OK;
}

static struct mln_err ssh_authority(struct migrate *m, const char *mount)
{
    struct mln_cli_reply reply = {0};
    const char *path = mln_text_format(m->cli->cx, "%sconfig/ca", mount);
    mig_fresh(m);
    if (!mig_wanted(m->only, m->exclude, path)) {
        return MLN_OK;
    }
    if (mln_failed(mig_call(m, &m->from, "GET", path, NULL, &reply))) {
        mig_fresh(m); /* 400 where there is none */
        return MLN_OK;
    }
    return mln_len(mln_get(reply.data, "public_key")) == 0
               ? MLN_OK
               : mig_row(m, path, MIG_LEFT, "the authority's private key never leaves");
}

static struct mln_err mounts_stay(struct migrate *m, const struct mln_value *mounts, bool is_auth)
{
    struct mln_cx *cx = m->cli->cx;
    for (size_t i = 0; i < mln_len(mounts); i++) {
        const struct mln_member *x = mln_member_at(mounts, i);
        const char *type = mln_get_text(cx, mln_get(&x->value, "type"), "");
        const char *mount = mln_text_format(cx, "%s%.*s", is_auth ? "auth/" : "", MLN_FMT(x->key));
        MLN_TRY(stays_of(m, type, is_auth, mount));
        if (!is_auth && mln_bytes_is(mln_bytes_of(type), "ssh")) {
            MLN_TRY(ssh_authority(m, mount));
        }
    }
    return MLN_OK;
}

static struct mln_err audit_stays(struct migrate *m)
{
    const struct mln_value *devices = NULL;
    mig_fresh(m);
    MLN_TRY(mig_caught(m, "sys/audit", mig_read(m, &m->from, "sys/audit", &devices)));
    if (mln_len(devices) == 0 || !mig_wanted(m->only, m->exclude, "sys/audit")) {
        return MLN_OK;
    }
    return mig_row(m, "sys/audit", MIG_LEFT, "audit devices write on the machine of their server: enable them there");
}

struct mln_err mig_leftovers(struct migrate *m)
{
    MLN_TRY(mig_kinds(m, quota_kinds, NULL, false, "", false));
    MLN_TRY(mounts_stay(m, m->from.secrets, false));
    MLN_TRY(mounts_stay(m, m->from.auth, true));
    MLN_TRY(stays_of(m, NULL, false, ""));
    return audit_stays(m);
}
