/* SPDX-License-Identifier: Apache-2.0 */
/* SSH engine: what a role allows in a certificate. Texts of refusals as Vault's clients know them. */
#include "engine/ssh_priv.h"

#include "base/text.h"
#include "crypto/crypto.h"

static bool flag(const struct mln_value *role, const char *name)
{
    return mln_get_bool(mln_get(role, name), false);
}

/* A text of the role, filled in when it is a template; NULL when that cannot be: the actor has no entity, or lacks what it names. */
static struct mln_err filled(struct mln_request *rq, struct mln_bytes text, bool is_template, const char **ret)
{
    bool has_marks = mln_bytes_find_bytes(text, MLN_BYTES("{{")) < text.len;
    if (!is_template || !has_marks) {
        *ret = mln_text_dup(rq->cx, text);
        return mln_cx_err(rq->cx);
    }
    return rq->services->fill(rq, text, ret);
}

/* ---- the key ---- */

static bool is_size_allowed(const struct mln_value *sizes, unsigned bits)
{
    for (size_t i = 0; i < mln_len(sizes); i++) {
        if (mln_get_int(mln_item(sizes, i), -1) == (int64_t)bits) {
            return true;
        }
    }
    return false;
}

/* Short names of a kind: a size counts where the name leaves it open. */
static const char *const *names_of(enum mln_ssh_kind kind)
{
    static const char *const rsa[] = {"rsa", "ssh-rsa", NULL}, *const ed[] = {"ed25519", NULL}, *const ec[] = {"ec", "ecdsa", NULL},
                            *const none[] = {NULL};
    switch (kind) {
    case MLN_SSH_RSA:
        return rsa;
    case MLN_SSH_ED25519:
        return ed;
    case MLN_SSH_P256:
    case MLN_SSH_P384:
    case MLN_SSH_P521:
        return ec;
    case MLN_SSH_SK_ED25519:
    case MLN_SSH_SK_P256:
    case MLN_SSH_KINDS:
    default:
        return none;
    }
}

struct mln_err ssh_rule_key(struct mln_request *rq, const struct mln_value *role, const struct mln_ssh_key *key)
{
    const struct mln_value *lengths = mln_get(role, "allowed_user_key_lengths");
    const char *name = mln_ssh_kind_name(key->kind);
    bool is_listed = key->kind != MLN_SSH_RSA && mln_get(lengths, name) != NULL, fits = is_listed;
    if (mln_len(lengths) == 0) {
        return MLN_OK;
    }
    for (const char *const *n = names_of(key->kind); *n != NULL; n++) {
        const struct mln_value *sizes = mln_get(lengths, *n);
        is_listed = is_listed || sizes != NULL;
        fits = fits || (sizes != NULL && (key->kind == MLN_SSH_ED25519 || is_size_allowed(sizes, key->bits)));
    }
    if (!is_listed) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "public_key failed to meet the key requirements: key of type %s is not allowed", name);
    }
    return fits ? MLN_OK
                : mln_fail(rq->cx, MLN_E_INVALID,
                           "public_key failed to meet the key requirements: key is of an invalid size: %u", key->bits);
}

/* ---- its name ---- */

static void put_key_id(struct mln_request *rq, struct mln_bytes format, const struct mln_ssh_key *key, struct mln_buf *to)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(key->blob, digest);
    const struct {
        struct mln_bytes mark, text;
    } marks[] = {
        {MLN_BYTES("{{token_display_name}}"), mln_bytes_of(rq->actor->display_name)},
        {MLN_BYTES("{{role_name}}"), mln_get_bytes(mln_field_of(rq, "role"))},
        {MLN_BYTES("{{public_key_hash}}"), mln_bytes_of(mln_hex_text(rq->cx, mln_bytes_at(digest, sizeof(digest))))},
    };
    while (format.len > 0) {
        size_t i = 0;
        while (i < MLN_COUNT(marks) && !mln_bytes_starts(format, marks[i].mark)) {
            i++;
        }
        if (i < MLN_COUNT(marks)) {
            mln_buf_add_bytes(to, marks[i].text);
            format = mln_bytes_from(format, marks[i].mark.len);
        } else {
            mln_buf_add_byte(to, format.ptr[0]);
            format = mln_bytes_from(format, 1);
        }
    }
}

static bool is_plain(struct mln_bytes text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

struct mln_err ssh_rule_key_id(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert)
{
    struct mln_bytes asked = mln_get_bytes(mln_field_of(rq, "key_id"));
    struct mln_bytes format = mln_get_bytes(mln_get(role, "key_id_format"));
    MLN_AUTO(mln_buf_drop) struct mln_buf id = {0};
    if (asked.len > 0 && !flag(role, "allow_user_key_ids")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "setting key_id is not allowed by role");
    }
    if (asked.len > 0) {
        mln_buf_add_bytes(&id, asked);
    } else if (format.len > 0) {
        put_key_id(rq, format, cert->key, &id);
    } else {
        bool is_named = rq->actor->display_name[0] != 0;
        put_key_id(rq, mln_bytes_of(is_named ? "vault-{{token_display_name}}-{{public_key_hash}}" : "vault-{{public_key_hash}}"),
                   cert->key, &id);
    }
    MLN_TRY(mln_buf_ok(rq->cx, &id));
    if (id.len > SSH_KEY_ID_MAX || !is_plain(mln_buf_bytes(&id))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "key_id has at most %d bytes, none of them control characters", SSH_KEY_ID_MAX);
    }
    cert->key_id = mln_bytes_dup(rq->cx, mln_buf_bytes(&id));
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_rule_type(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert)
{
    struct mln_bytes type = mln_get_bytes(mln_field_of(rq, "cert_type"));
    cert->is_host = mln_bytes_is(type, "host");
    if (!cert->is_host && !mln_bytes_is(type, "user")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "cert_type must be either 'user' or 'host'");
    }
    const char *needed = cert->is_host ? "allow_host_certificates" : "allow_user_certificates";
    return flag(role, needed) ? MLN_OK
                              : mln_fail(rq->cx, MLN_E_INVALID, "cert_type '%s' is not allowed by role",
                                         cert->is_host ? "host" : "user");
}

/* ---- principals ---- */

static bool is_below(struct mln_bytes name, struct mln_bytes domain)
{
    return name.len > domain.len + 1 && mln_bytes_ends(name, domain) && name.ptr[name.len - domain.len - 1] == '.';
}

static struct mln_err is_allowed(struct mln_request *rq, const struct mln_value *role, bool is_host, struct mln_bytes name,
                                 bool *ret)
{
    const struct mln_value *list = mln_get(role, is_host ? "allowed_domains" : "allowed_users");
    bool is_template = flag(role, is_host ? "allowed_domains_template" : "allowed_users_template");
    bool bare = !is_host || flag(role, "allow_bare_domains"), below = is_host && flag(role, "allow_subdomains");
    *ret = false;
    for (size_t i = 0; i < mln_len(list) && !*ret; i++) {
        const char *text = NULL;
        MLN_TRY(filled(rq, mln_get_bytes(mln_item(list, i)), is_template, &text));
        struct mln_bytes allowed = mln_bytes_of(text); /* what cannot be filled allows nothing */
        *ret = allowed.len > 0 && ((bare && mln_bytes_eq(allowed, name)) || (below && is_below(name, allowed)));
    }
    return MLN_OK;
}

/* What is asked, else (also for an empty text, which hvac sends) the default user; each once. */
static struct mln_err wanted(struct mln_request *rq, const struct mln_value *role, bool is_host, const struct mln_value **ret)
{
    const struct mln_value *asked = mln_field_of(rq, "valid_principals");
    struct mln_value *out = mln_array(rq->cx);
    const char *user = NULL;
    if (mln_len(asked) == 0 && !is_host) {
        struct mln_bytes name = mln_get_bytes(mln_get(role, "default_user"));
        MLN_TRY(filled(rq, name, flag(role, "default_user_template"), &user));
        if (name.len > 0 && user == NULL) {
            return mln_fail(rq->cx, MLN_E_INVALID, "template '%.*s' could not be rendered", MLN_FMT(name));
        }
        if (name.len > 0) {
            mln_push_text(rq->cx, out, user);
        }
    }
    for (size_t i = 0; i < mln_len(asked); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(asked, i));
        if (name.len > 0 && !ssh_list_has(out, name)) {
            mln_push(rq->cx, out, mln_string(rq->cx, name));
        }
    }
    *ret = out;
    return mln_len(out) <= SSH_PRINCIPALS_MAX
               ? mln_cx_err(rq->cx)
               : mln_fail(rq->cx, MLN_E_INVALID, "at most %d valid_principals", SSH_PRINCIPALS_MAX);
}

struct mln_err ssh_rule_principals(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert)
{
    const struct mln_value *list = mln_get(role, cert->is_host ? "allowed_domains" : "allowed_users");
    bool is_any = mln_len(list) == 1 && mln_is_text(mln_item(list, 0), "*");
    MLN_TRY(wanted(rq, role, cert->is_host, &cert->principals));
    size_t n = mln_len(cert->principals);
    if (n == 0 && !is_any && !flag(role, "allow_empty_principals")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "refusing to issue unsafe, globally-valid certificate with no principals specified; set "
                        "valid_principals or default_user");
    }
    if (n > 0 && mln_len(list) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "role is not configured to allow any principals");
    }
    for (size_t i = 0; i < n; i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(cert->principals, i));
        bool ok = is_any;
        if (!ok) {
            MLN_TRY(is_allowed(rq, role, cert->is_host, name, &ok));
        }
        if (!ok || !is_plain(name)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%.*s is not a valid value for valid_principals",
                            MLN_FMT(mln_bytes_sub(name, 0, 256)));
        }
    }
    return MLN_OK;
}

/* ---- time ---- */

struct mln_err ssh_rule_time(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert)
{
    const struct mln_value *asked = mln_field_of(rq, "ttl");
    bool is_asked = !mln_is_null(asked);
    int64_t ttl_s = is_asked ? mln_get_int(asked, 0) : mln_get_int(mln_get(role, "ttl"), 0);
    int64_t max_s = mln_get_int(mln_get(role, "max_ttl"), 0), now_s = rq->now_ns / 1000000000;
    int64_t mount_s = rq->mount->default_ttl_s, mount_max_s = rq->mount->max_ttl_s;
    max_s = max_s > 0 ? max_s : mount_max_s > 0 ? mount_max_s : SSH_TTL_DEFAULT_S;
    if (ttl_s < 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "ttl cannot be negative");
    }
    bool is_default = !is_asked || ttl_s == 0;
    ttl_s = ttl_s > 0 ? ttl_s : mount_s > 0 ? mount_s : SSH_TTL_DEFAULT_S;
    if (ttl_s > max_s && !is_default) {
        return mln_fail(rq->cx, MLN_E_INVALID, "ttl is larger than maximum allowed %lld", (long long)max_s);
    }
    int64_t back_s = mln_get_int(mln_get(role, "not_before_duration"), 30);
    cert->after_s = (uint64_t)(back_s < now_s ? now_s - back_s : 0);
    cert->before_s = (uint64_t)now_s + (uint64_t)(ttl_s < max_s ? ttl_s : max_s);
    return MLN_OK;
}

/* ---- options ---- */

/* Names that are not in the list, as Go prints a list; *ret is "" when all are. */
static struct mln_err strange_names(struct mln_cx *cx, const struct mln_value *options, const struct mln_value *allowed,
                                    const char **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    for (size_t i = 0; i < mln_len(options); i++) {
        struct mln_bytes name = mln_member_at(options, i)->key;
        if (!ssh_list_has(allowed, name)) {
            mln_buf_add_text(&text, text.len > 0 ? " " : "");
            mln_buf_add_text(&text, name.len == 0 ? "\"\"" : "");
            mln_buf_add_bytes(&text, mln_bytes_sub(name, 0, 64));
        }
    }
    MLN_TRY(mln_buf_ok(cx, &text)); /* without memory for the answer nothing is allowed */
    *ret = mln_text_dup(cx, mln_buf_bytes(&text));
    return mln_cx_err(cx);
}

static struct mln_err critical_options(struct mln_request *rq, const struct mln_value *role, struct ssh_cert *cert)
{
    const struct mln_value *asked = mln_field_of(rq, "critical_options");
    const struct mln_value *allowed = mln_get(role, "allowed_critical_options");
    if (mln_len(asked) == 0) {
        cert->critical = mln_get(role, "default_critical_options");
        return MLN_OK;
    }
    const char *strange = "";
    if (mln_len(allowed) > 0) {
        MLN_TRY(strange_names(rq->cx, asked, allowed, &strange));
    }
    if (strange[0] != 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "critical options not on allowed list: [%s]", strange);
    }
    return ssh_texts(rq, asked, "critical_options", &cert->critical);
}

/* Templates that cannot be filled leave their extension out, with a warning. */
static struct mln_err default_extensions(struct mln_request *rq, struct mln_reply *re, const struct mln_value *role,
                                         struct ssh_cert *cert)
{
    const struct mln_value *defaults = mln_get(role, "default_extensions");
    struct mln_value *out = mln_object(rq->cx);
    for (size_t i = 0; i < mln_len(defaults); i++) {
        const struct mln_member *m = mln_member_at(defaults, i);
        const char *text = NULL;
        MLN_TRY(filled(rq, mln_get_bytes(&m->value), flag(role, "default_extensions_template"), &text));
        if (text != NULL) {
            mln_put_key(rq->cx, out, m->key, mln_text(rq->cx, text));
        }
    }
    if (mln_len(out) < mln_len(defaults)) {
        mln_reply_warn(rq, re,
                       "default_extension templating enabled with at least one extension requiring identity templating. "
                       "However, this request lacked identity entity information, causing one or more extensions to be "
                       "skipped from the generated certificate.");
    }
    cert->extensions = out;
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_rule_options(struct mln_request *rq, struct mln_reply *re, const struct mln_value *role,
                                struct ssh_cert *cert)
{
    const struct mln_value *asked = mln_field_of(rq, "extensions"), *allowed = mln_get(role, "allowed_extensions");
    MLN_TRY(critical_options(rq, role, cert));
    if (mln_len(asked) == 0) {
        return default_extensions(rq, re, role, cert);
    }
    bool is_any = mln_len(allowed) == 1 && mln_is_text(mln_item(allowed, 0), "*");
    const char *strange = "";
    if (!is_any) {
        MLN_TRY(strange_names(rq->cx, asked, allowed, &strange));
    }
    if (strange[0] != 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "extensions [%s] are not on allowed list", strange);
    }
    return ssh_texts(rq, asked, "extensions", &cert->extensions);
}
