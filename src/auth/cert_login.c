/* SPDX-License-Identifier: Apache-2.0 */
/* Which entry lets this client in: its chain, its constraints, revocation. */
#include "auth/cert_priv.h"

#define NS_PER_S 1000000000

/* ---- constraints ---- */

static bool any_glob(const struct mln_value *patterns, struct mln_bytes text)
{
    for (size_t i = 0; i < mln_len(patterns); i++) {
        if (text.len > 0 && mln_bytes_glob(mln_get_bytes(mln_item(patterns, i)), text)) {
            return true;
        }
    }
    return false;
}

/* No patterns: anything goes. Otherwise one of the names must match one of them. */
static bool list_fits(const struct mln_value *patterns, const struct mln_value *names)
{
    bool fits = mln_len(patterns) == 0;
    for (size_t i = 0; !fits && i < mln_len(names); i++) {
        fits = any_glob(patterns, mln_get_bytes(mln_item(names, i)));
    }
    return fits;
}

/* allowed_names: the common name, or a DNS or e-mail name. */
static bool names_fit(const struct mln_value *entry, const struct cert_facts *facts)
{
    const struct mln_value *patterns = mln_get(entry, "allowed_names");
    return any_glob(patterns, mln_bytes_of(facts->common_name)) || list_fits(patterns, facts->dns) ||
           list_fits(patterns, facts->emails);
}

/* "1.2.3:text*" or "hex:1.2.3:0c02*", against the extension's text or its DER in hex. */
static bool extension_fits(struct mln_cx *cx, struct mln_bytes wanted, X509 *leaf)
{
    struct mln_bytes pattern, text, der, oid = mln_bytes_cut(wanted, ':', &pattern);
    bool is_hex = mln_bytes_is(oid, "hex");
    if (is_hex) {
        oid = mln_bytes_cut(pattern, ':', &pattern);
    }
    if (!cert_extension(cx, leaf, mln_text_dup(cx, oid), &text, &der)) {
        return false;
    }
    return mln_bytes_glob(pattern, is_hex ? mln_bytes_of(mln_hex_text(cx, der)) : text);
}

static bool extensions_fit(struct mln_cx *cx, const struct mln_value *entry, X509 *leaf)
{
    const struct mln_value *wanted = mln_get(entry, "required_extensions");
    bool fits = true;
    for (size_t i = 0; fits && i < mln_len(wanted); i++) {
        fits = extension_fits(cx, mln_get_bytes(mln_item(wanted, i)), leaf);
    }
    return fits;
}

static bool constraints_fit(struct mln_cx *cx, const struct mln_value *entry, const struct cert_facts *facts, X509 *leaf)
{
    const struct mln_value *common = mln_get(entry, "allowed_common_names");
    return names_fit(entry, facts) && (mln_len(common) == 0 || any_glob(common, mln_bytes_of(facts->common_name))) &&
           list_fits(mln_get(entry, "allowed_dns_sans"), facts->dns) &&
           list_fits(mln_get(entry, "allowed_email_sans"), facts->emails) &&
           list_fits(mln_get(entry, "allowed_uri_sans"), facts->uris) &&
           list_fits(mln_get(entry, "allowed_organizational_units"), facts->units) && extensions_fit(cx, entry, leaf);
}

static struct mln_err is_revoked(struct mln_request *rq, STACK_OF(X509) * path, bool *ret)
{
    const struct mln_value *names = NULL, *row = NULL;
    *ret = false;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("crl/"), &names));
    for (size_t i = 0; i < mln_len(names) && !*ret; i++) {
        struct mln_bytes key = mln_bytes_format(rq->cx, "crl/%.*s", MLN_FMT(mln_get_bytes(mln_item(names, i))));
        MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, &row));
        *ret = cert_is_revoked(mln_get_bytes(mln_get(row, "crl")), path);
    }
    return MLN_OK;
}

/* ---- entries ---- */

struct judged {
    struct cert_chain chain;
    struct cert_facts facts;
    const char *name; /* of the entry that fits; NULL = none */
    const struct mln_value *entry;
    bool has_trust; /* some entry trusts the chain, whatever its constraints say */
};

static void judged_drop(struct judged *j)
{
    cert_chain_drop(&j->chain);
}

static struct mln_err judge_entry(struct mln_request *rq, const char *name, const struct mln_value *entry, struct judged *j)
{
    MLN_AUTO(cert_stack_drop) STACK_OF(X509) *trusted = NULL;
    MLN_AUTO(cert_stack_drop) STACK_OF(X509) *path = NULL;
    bool is_gone = false;
    MLN_TRY(cert_pem_read(rq->cx, mln_get_bytes(mln_get(entry, "certificate")), &trusted));
    if (!cert_is_trusted(&j->chain, trusted, rq->now_ns / NS_PER_S, &path)) {
        return MLN_OK;
    }
    j->has_trust = true;
    if (!constraints_fit(rq->cx, entry, &j->facts, j->chain.leaf)) {
        return MLN_OK;
    }
    MLN_TRY(is_revoked(rq, path, &is_gone));
    if (!is_gone) {
        j->name = name;
        j->entry = entry;
    }
    return MLN_OK;
}

static struct mln_err judge_named(struct mln_request *rq, const char *name, struct judged *j)
{
    const struct mln_value *entry = NULL;
    struct mln_err err = cert_load(rq, name, &entry);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    }
    return judge_entry(rq, name, entry, j);
}

static struct mln_err judge_all(struct mln_request *rq, struct judged *j)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("cert/"), &names));
    if (mln_len(names) > CERT_ENTRIES_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "more than %u entries: log in with a name", CERT_ENTRIES_MAX);
    }
    for (size_t i = 0; i < mln_len(names) && j->name == NULL; i++) {
        MLN_TRY(judge_named(rq, mln_get_text(rq->cx, mln_item(names, i), ""), j));
    }
    return MLN_OK;
}

static struct mln_err judge(struct mln_request *rq, const char *name, struct judged *j)
{
    if (mln_len(rq->client_certs) == 0) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN, "client certificate must be supplied");
    }
    MLN_TRY(cert_chain_read(rq->cx, rq->client_certs, &j->chain));
    MLN_TRY(cert_facts_read(rq->cx, j->chain.leaf, &j->facts));
    MLN_TRY(name[0] != 0 ? judge_named(rq, name, j) : judge_all(rq, j));
    if (j->name == NULL) {
        return mln_fail(rq->cx, MLN_E_BAD_LOGIN,
                        j->has_trust ? "failed to match all constraints for this login certificate"
                                     : "invalid certificate or no client certificate supplied");
    }
    return mln_cx_err(rq->cx);
}

/* ---- the login ---- */

/* "1.2.3.4" in metadata is "1-2-3-4". */
static void put_extensions(struct mln_cx *cx, const struct judged *j, struct mln_value *meta)
{
    const struct mln_value *wanted = mln_get(j->entry, "allowed_metadata_extensions");
    for (size_t i = 0; i < mln_len(wanted); i++) {
        struct mln_bytes text, der, oid = mln_get_bytes(mln_item(wanted, i));
        uint8_t *key = mln_new(cx, oid.len + 1);
        if (key == NULL || !cert_extension(cx, j->chain.leaf, mln_text_dup(cx, oid), &text, &der) || text.len == 0) {
            continue;
        }
        for (size_t k = 0; k < oid.len; k++) {
            key[k] = oid.ptr[k] == '.' ? '-' : oid.ptr[k];
        }
        mln_put_key(cx, meta, mln_bytes_at(key, oid.len), mln_string(cx, text));
    }
}

static struct mln_value *metadata_of(struct mln_cx *cx, const struct judged *j)
{
    struct mln_value *meta = mln_object(cx);
    mln_put_text(cx, meta, "cert_name", j->name);
    mln_put_text(cx, meta, "common_name", j->facts.common_name);
    mln_put_text(cx, meta, "serial_number", j->facts.serial);
    mln_put_text(cx, meta, "subject_key_id", j->facts.subject_key_id);
    mln_put_text(cx, meta, "authority_key_id", j->facts.authority_key_id);
    put_extensions(cx, j, meta);
    return meta;
}

static struct mln_value *internal_of(struct mln_cx *cx, const struct judged *j)
{
    struct mln_value *internal = mln_object(cx);
    mln_put_text(cx, internal, "cert_name", j->name);
    mln_put_text(cx, internal, "subject_key_id", j->facts.subject_key_id);
    mln_put_text(cx, internal, "authority_key_id", j->facts.authority_key_id);
    mln_put_text(cx, internal, "serial_number", j->facts.serial);
    return internal;
}

struct mln_err cert_login_write(struct mln_request *rq, struct mln_reply *re)
{
    MLN_AUTO(judged_drop) struct judged j = {0};
    struct mln_cx *cx = rq->cx;
    const struct mln_value *config = NULL;
    struct mln_login *login = MLN_NEW(cx, struct mln_login);
    MLN_TRY(judge(rq, mln_get_text(cx, mln_field_of(rq, "name"), ""), &j));
    if (!mln_token_fields_from(rq, j.entry)) {
        return mln_fail(cx, MLN_E_DENIED, "permission denied");
    }
    MLN_TRY(cert_config(rq, &config));
    const char *shown = mln_get_text(cx, mln_get(j.entry, "display_name"), "");
    struct mln_value *meta = metadata_of(cx, &j);
    MLN_TRY(mln_cx_err(cx));
    *login = (struct mln_login){
        .alias = j.facts.common_name[0] != 0 ? j.facts.common_name : NULL,
        .display_name = shown[0] != 0 ? shown : j.name,
        .meta = meta,
        .internal = internal_of(cx, &j),
        .alias_meta = mln_get_bool(mln_get(config, "enable_identity_alias_metadata"), false) ? meta : NULL,
    };
    mln_token_fields_login(rq, j.entry, login);
    mln_put_text(cx, rq->detail, "cert", j.name);
    mln_put_text(cx, rq->detail, "serial_number", j.facts.serial);
    re->login = login;
    return mln_cx_err(cx);
}

static bool is_same(struct mln_cx *cx, const struct mln_value *internal, const char *member, const char *now)
{
    return mln_bytes_is(mln_bytes_of(now), mln_get_text(cx, mln_get(internal, member), ""));
}

/* The same certificate must be at hand, unless the mount's binding is off. */
static struct mln_err check_binding(struct mln_request *rq, const struct mln_value *internal)
{
    MLN_AUTO(judged_drop) struct judged j = {0};
    MLN_TRY(judge(rq, mln_get_text(rq->cx, mln_get(internal, "cert_name"), "-"), &j));
    bool is_bound = is_same(rq->cx, internal, "subject_key_id", j.facts.subject_key_id) &&
                    is_same(rq->cx, internal, "authority_key_id", j.facts.authority_key_id) &&
                    is_same(rq->cx, internal, "serial_number", j.facts.serial);
    return is_bound ? MLN_OK
                    : mln_fail(rq->cx, MLN_E_INVALID, "client identity during renewal not matching client identity used during login");
}

struct mln_err cert_renew_login(struct mln_request *rq, const struct mln_value *internal, struct mln_login *login)
{
    const struct mln_value *entry = NULL, *config = NULL;
    MLN_TRY(cert_config(rq, &config));
    struct mln_err err = cert_load(rq, mln_get_text(rq->cx, mln_get(internal, "cert_name"), ""), &entry);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the certificate entry of this login is gone");
    }
    MLN_TRY(err);
    if (!mln_get_bool(mln_get(config, "disable_binding"), false)) {
        MLN_TRY(check_binding(rq, internal));
    }
    return mln_token_fields_renew(rq, entry, login);
}
