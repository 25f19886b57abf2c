/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKI engine: roles. A role lies in the store as it is answered: an object of all its members in their order, from one table
 * that also gives the fields of the request and their defaults.
 */
#include "engine/pki_priv.h"

#include "base/text.h"

#define ROLE_LIST_MAX 1024 /* items of one list of a role */

/* MEMBER(name, kind, default as text, help) */
/* clang-format off */
#define MEMBERS                                                                                                        \
    MEMBER(allow_any_name, BOOL, "false", "Any name may be asked for.")                                                \
    MEMBER(allow_bare_domains, BOOL, "false", "The allowed domains themselves may be asked for.")                      \
    MEMBER(allow_glob_domains, BOOL, "false", "Allowed domains are patterns with *.")                                  \
    MEMBER(allow_globs_in_identity_templates, BOOL, "false", "* that came from an identity counts as a pattern.")      \
    MEMBER(allow_ip_sans, BOOL, "true", "Addresses may be asked for.")                                                 \
    MEMBER(allow_localhost, BOOL, "true", "localhost and localdomain may be asked for.")                               \
    MEMBER(allow_subdomains, BOOL, "false", "Names below the allowed domains may be asked for.")                       \
    MEMBER(allow_token_displayname, BOOL, "false", "The display name of the token may be asked for.")                  \
    MEMBER(allow_wildcard_certificates, BOOL, "true", "Names with * may be asked for.")                                \
    MEMBER(allowed_domains, LIST, "", "Domains.")                                                                      \
    MEMBER(allowed_domains_template, BOOL, "false", "Domains may have identity templates.")                            \
    MEMBER(allowed_ip_sans_cidr, LIST, "", "Networks that addresses must lie in.")                                     \
    MEMBER(allowed_other_sans, LIST, "", "OID;UTF8:value, both patterns; or *.")                                       \
    MEMBER(allowed_serial_numbers, LIST, "", "Serial numbers of the subject: patterns.")                               \
    MEMBER(allowed_uri_sans, LIST, "", "URIs: patterns.")                                                              \
    MEMBER(allowed_uri_sans_template, BOOL, "false", "URIs may have identity templates.")                              \
    MEMBER(allowed_user_ids, LIST, "", "User ids of the subject: patterns.")                                           \
    MEMBER(basic_constraints_valid_for_non_ca, BOOL, "false", "Say in each certificate that it is no CA's.")           \
    MEMBER(client_flag, BOOL, "true", "For clients of TLS.")                                                           \
    MEMBER(cn_validations, LIST, "email,hostname", "What a common name may be: email, hostname; or disabled.")         \
    MEMBER(code_signing_flag, BOOL, "false", "For signing of code.")                                                   \
    MEMBER(country, LIST, "", "Subject: C.")                                                                           \
    MEMBER(email_protection_flag, BOOL, "false", "For e-mail.")                                                        \
    MEMBER(enforce_hostnames, BOOL, "true", "Names must be names of hosts.")                                           \
    MEMBER(ext_key_usage, LIST, "", "Names of extended key usages.")                                                   \
    MEMBER(ext_key_usage_oids, LIST, "", "OIDs of extended key usages.")                                               \
    MEMBER(generate_lease, BOOL, "false", "A lease for each certificate; its end revokes.")                            \
    MEMBER(issuer_ref, TEXT, "default", "Which issuer signs.")                                                         \
    MEMBER(key_bits, INT, "0", "Size of keys; 0 is the kind's usual one.")                                             \
    MEMBER(key_type, TEXT, "rsa", "rsa, ec, ed25519; any for sign.")                                                   \
    MEMBER(key_usage, LIST, "DigitalSignature,KeyAgreement,KeyEncipherment", "Names of key usages.")                   \
    MEMBER(locality, LIST, "", "Subject: L.")                                                                          \
    MEMBER(max_ttl, DURATION, "0", "No certificate lives longer.")                                                     \
    MEMBER(no_store, BOOL, "false", "Certificates are not kept: they cannot be listed or revoked by number.")          \
    MEMBER(not_after, TEXT, "", "End of all certificates, RFC 3339.")                                                  \
    MEMBER(not_after_bound, TEXT, "permit", "What a request may set: permit, forbid, ttl-limited.")                    \
    MEMBER(not_before, TEXT, "", "Begin of all certificates, RFC 3339.")                                               \
    MEMBER(not_before_bound, TEXT, "permit", "What a request may set: permit, forbid, duration.")                      \
    MEMBER(not_before_duration, DURATION, "30", "Certificates are valid from so long before now.")                     \
    MEMBER(organization, LIST, "", "Subject: O.")                                                                      \
    MEMBER(ou, LIST, "", "Subject: OU.")                                                                               \
    MEMBER(policy_identifiers, LIST, "", "OIDs of certificate policies.")                                              \
    MEMBER(postal_code, LIST, "", "Subject: postal code.")                                                             \
    MEMBER(province, LIST, "", "Subject: ST.")                                                                         \
    MEMBER(require_cn, BOOL, "true", "A common name must be given.")                                                   \
    MEMBER(server_flag, BOOL, "true", "For servers of TLS.")                                                           \
    MEMBER(signature_bits, INT, "0", "Hash of signatures: 256, 384, 512; 0 is the usual one.")                         \
    MEMBER(street_address, LIST, "", "Subject: street.")                                                               \
    MEMBER(ttl, DURATION, "0", "Life of certificates.")                                                                \
    MEMBER(use_csr_common_name, BOOL, "true", "sign takes the common name of the request.")                            \
    MEMBER(use_csr_sans, BOOL, "true", "sign takes the alternative names of the request.")                             \
    MEMBER(use_pss, BOOL, "false", "RSA signs as PSS.")

#define MEMBER(n, t, d, h) {.name = #n, .type = MLN_FIELD_##t, .help = (h)},
const struct mln_field pki_role_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "Name of the role.", .is_query = true}, MEMBERS{0}};
#undef MEMBER

#define MEMBER(n, t, d, h) {#n, MLN_FIELD_##t, (d)},
static const struct {
    const char *name;
    enum mln_field_type type;
    const char *fallback;
} members[] = {MEMBERS};
#undef MEMBER
/* clang-format on */

static const struct mln_value *default_of(struct mln_cx *cx, size_t i)
{
    struct mln_bytes text = mln_bytes_of(members[i].fallback);
    int64_t number = 0;
    if (members[i].type == MLN_FIELD_BOOL) {
        return mln_bool(cx, mln_bytes_is(text, "true"));
    }
    if (members[i].type == MLN_FIELD_INT || members[i].type == MLN_FIELD_DURATION) {
        return mln_int(cx, mln_i64_parse(text, &number) ? number : 0);
    }
    if (members[i].type != MLN_FIELD_LIST) {
        return mln_string(cx, text);
    }
    struct mln_value *list = mln_array(cx);
    while (text.len > 0) {
        mln_push(cx, list, mln_string(cx, mln_bytes_cut(text, ',', &text)));
    }
    return list;
}

static const struct mln_value *without_blanks(struct mln_cx *cx, const struct mln_value *list)
{
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_len(mln_item(list, i)) > 0) {
            mln_push(cx, out, mln_item(list, i));
        }
    }
    return out;
}

/* What the request gives, over `old` (NULL: over the defaults). */
static struct mln_value *role_of(struct mln_request *rq, const struct mln_value *old)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *role = mln_object(cx);
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        const struct mln_value *v = mln_field_of(rq, members[i].name);
        v = mln_is_null(v) ? mln_get(old, members[i].name) : v;
        v = mln_is_null(v)                      ? default_of(cx, i)
            : members[i].type == MLN_FIELD_LIST ? without_blanks(cx, v)
                                                : v;
        mln_put(cx, role, members[i].name, v);
    }
    return role;
}

/* ---- usages ---- */

static const struct {
    const char *name;
    unsigned bit;
} key_usages[] = {
    {"digitalsignature", MLN_KU_DIGITAL_SIGNATURE},
    {"contentcommitment", MLN_KU_CONTENT_COMMITMENT},
    {"nonrepudiation", MLN_KU_CONTENT_COMMITMENT},
    {"keyencipherment", MLN_KU_KEY_ENCIPHERMENT},
    {"dataencipherment", MLN_KU_DATA_ENCIPHERMENT},
    {"keyagreement", MLN_KU_KEY_AGREEMENT},
    {"certsign", MLN_KU_CERT_SIGN},
    {"crlsign", MLN_KU_CRL_SIGN},
    {"encipheronly", MLN_KU_ENCIPHER_ONLY},
    {"decipheronly", MLN_KU_DECIPHER_ONLY},
};

static const struct {
    const char *name, *oid;
} ext_key_usages[] = {
    {"any", "2.5.29.37.0"},
    {"serverauth", "1.3.6.1.5.5.7.3.1"},
    {"clientauth", "1.3.6.1.5.5.7.3.2"},
    {"codesigning", "1.3.6.1.5.5.7.3.3"},
    {"emailprotection", "1.3.6.1.5.5.7.3.4"},
    {"ipsecendsystem", "1.3.6.1.5.5.7.3.5"},
    {"ipsectunnel", "1.3.6.1.5.5.7.3.6"},
    {"ipsecuser", "1.3.6.1.5.5.7.3.7"},
    {"timestamping", "1.3.6.1.5.5.7.3.8"},
    {"ocspsigning", "1.3.6.1.5.5.7.3.9"},
    {"microsoftservergatedcrypto", "1.3.6.1.4.1.311.10.3.3"},
    {"netscapeservergatedcrypto", "2.16.840.1.113730.4.1"},
    {"microsoftcommercialcodesigning", "1.3.6.1.4.1.311.2.1.22"},
    {"microsoftkernelcodesigning", "1.3.6.1.4.1.311.61.1.1"},
};

/* Names may carry the prefix that Go's constants have. */
static struct mln_bytes bare_name(struct mln_bytes name, const char *prefix)
{
    size_t n = mln_bytes_of(prefix).len;
    return name.len > n && mln_bytes_is_nocase(mln_bytes_sub(name, 0, n), prefix)
               ? mln_bytes_from(name, n)
               : name;
}

static unsigned key_usage_bit(struct mln_bytes name)
{
    name = bare_name(mln_bytes_trim(name), "KeyUsage");
    for (size_t i = 0; i < MLN_COUNT(key_usages); i++) {
        if (mln_bytes_is_nocase(name, key_usages[i].name)) {
            return key_usages[i].bit;
        }
    }
    return 0;
}

static const char *ext_key_usage_oid(struct mln_bytes name)
{
    name = bare_name(mln_bytes_trim(name), "ExtKeyUsage");
    for (size_t i = 0; i < MLN_COUNT(ext_key_usages); i++) {
        if (mln_bytes_is_nocase(name, ext_key_usages[i].name)) {
            return ext_key_usages[i].oid;
        }
    }
    return NULL;
}

unsigned pki_key_usage_of(const struct mln_value *role)
{
    const struct mln_value *list = mln_get(role, "key_usage");
    unsigned usage = 0;
    for (size_t i = 0; i < mln_len(list); i++) {
        usage |= key_usage_bit(mln_get_bytes(mln_item(list, i)));
    }
    return usage;
}

static void add_oid(struct mln_cx *cx, struct mln_value *list, struct mln_bytes oid)
{
    if (!pki_list_has(list, oid)) {
        mln_push(cx, list, mln_string(cx, oid));
    }
}

const struct mln_value *pki_ext_key_usage_of(struct mln_cx *cx, const struct mln_value *role)
{
    static const struct {
        const char *flag, *oid;
    } flags[] = {{"server_flag", "1.3.6.1.5.5.7.3.1"},
                 {"client_flag", "1.3.6.1.5.5.7.3.2"},
                 {"code_signing_flag", "1.3.6.1.5.5.7.3.3"},
                 {"email_protection_flag", "1.3.6.1.5.5.7.3.4"}};
    struct mln_value *oids = mln_array(cx);
    for (size_t i = 0; i < MLN_COUNT(flags); i++) {
        if (mln_get_bool(mln_get(role, flags[i].flag), false)) {
            add_oid(cx, oids, mln_bytes_of(flags[i].oid));
        }
    }
    const struct mln_value *names = mln_get(role, "ext_key_usage"),
                           *more = mln_get(role, "ext_key_usage_oids");
    for (size_t i = 0; i < mln_len(names); i++) {
        const char *oid = ext_key_usage_oid(mln_get_bytes(mln_item(names, i)));
        if (oid != NULL) {
            add_oid(cx, oids, mln_bytes_of(oid));
        }
    }
    for (size_t i = 0; i < mln_len(more); i++) {
        add_oid(cx, oids, mln_get_bytes(mln_item(more, i)));
    }
    return oids;
}

/* ---- checks of a whole role ---- */

static struct mln_err check_usages(struct mln_cx *cx, const struct mln_value *role)
{
    const struct mln_value *usage = mln_get(role, "key_usage"),
                           *ext = mln_get(role, "ext_key_usage");
    for (size_t i = 0; i < mln_len(usage); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(usage, i));
        if (key_usage_bit(name) == 0) {
            return mln_fail(cx, MLN_E_INVALID, "unrecognized key usage %.*s",
                            MLN_FMT(mln_bytes_sub(name, 0, 64)));
        }
    }
    for (size_t i = 0; i < mln_len(ext); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(ext, i));
        if (ext_key_usage_oid(name) == NULL) {
            return mln_fail(cx, MLN_E_INVALID, "unrecognized extended key usage %.*s",
                            MLN_FMT(mln_bytes_sub(name, 0, 64)));
        }
    }
    /* OIDs are judged by printing them. */
    (void)mln_ext_ext_key_usage(cx, mln_get(role, "ext_key_usage_oids"));
    (void)mln_ext_policies(cx, mln_get(role, "policy_identifiers"));
    return mln_cx_err(cx);
}

static struct mln_err check_validations(struct mln_cx *cx, const struct mln_value *role)
{
    const struct mln_value *list = mln_get(role, "cn_validations");
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(list, i));
        bool is_off = mln_bytes_is(name, "disabled");
        if (is_off && mln_len(list) > 1) {
            return mln_fail(
                cx, MLN_E_INVALID,
                "cannot specify `disabled` along with other values for `cn_validations`");
        }
        if (!is_off && !mln_bytes_is(name, "email") && !mln_bytes_is(name, "hostname")) {
            return mln_fail(cx, MLN_E_INVALID, "unknown value for `cn_validations`: %.*s",
                            MLN_FMT(mln_bytes_sub(name, 0, 64)));
        }
    }
    return MLN_OK;
}

static struct mln_err check_times(struct mln_cx *cx, const struct mln_value *role)
{
    static const char *const ends[] = {"permit", "forbid", "ttl-limited"}, *const begins[] = {
                                                                               "permit", "forbid",
                                                                               "duration"};
    int64_t ttl = mln_get_int(mln_get(role, "ttl"), 0),
            max = mln_get_int(mln_get(role, "max_ttl"), 0), at = 0;
    struct mln_bytes after = mln_get_bytes(mln_get(role, "not_after")),
                     before = mln_get_bytes(mln_get(role, "not_before"));
    bool ends_ok = false, begins_ok = false;
    for (size_t i = 0; i < MLN_COUNT(ends); i++) {
        ends_ok = ends_ok || mln_is_text(mln_get(role, "not_after_bound"), ends[i]);
        begins_ok = begins_ok || mln_is_text(mln_get(role, "not_before_bound"), begins[i]);
    }
    if (!ends_ok || !begins_ok) {
        return mln_fail(cx, MLN_E_INVALID, "unknown value for `%s`",
                        ends_ok ? "not_before_bound" : "not_after_bound");
    }
    if (ttl < 0 || max < 0 || ttl > PKI_TTL_MAX_S || max > PKI_TTL_MAX_S ||
        mln_get_int(mln_get(role, "not_before_duration"), 0) < 0) {
        return mln_fail(cx, MLN_E_INVALID, "a duration is out of range");
    }
    if (max > 0 && ttl > max) {
        return mln_fail(cx, MLN_E_INVALID, "\"ttl\" value must be less than \"max_ttl\" value");
    }
    if ((after.len > 0 && !mln_time_parse(after, &at)) ||
        (before.len > 0 && !mln_time_parse(before, &at))) {
        return mln_fail(cx, MLN_E_INVALID,
                        "`not_after` and `not_before` must be in the format of RFC 3339");
    }
    return MLN_OK;
}

/* Key type and bits, resolved to what is used. */
static struct mln_err check_key(struct mln_request *rq, struct mln_value *role)
{
    struct mln_bytes type = mln_get_bytes(mln_get(role, "key_type"));
    int64_t hash = mln_get_int(mln_get(role, "signature_bits"), 0);
    enum mln_key_kind kind = MLN_KEY_RSA;
    enum mln_sig sig;
    unsigned bits = 0;
    if (mln_bytes_is(type, "any")) {
        return mln_sig_pick(rq->cx, MLN_KEY_RSA, 2048, hash, false, &sig);
    }
    MLN_TRY(pki_key_want(rq, type, mln_get_int(mln_get(role, "key_bits"), 0), &kind, &bits));
    MLN_TRY(mln_sig_pick(rq->cx, kind, bits, hash, false, &sig));
    mln_put_int(rq->cx, role, "key_bits", bits);
    mln_put_text(rq->cx, role, "key_type", mln_key_kind_name(kind));
    mln_put_int(rq->cx, role, "signature_bits", kind == MLN_KEY_RSA && hash == 0 ? 256 : hash);
    return MLN_OK;
}

static struct mln_err check(struct mln_request *rq, struct mln_value *role)
{
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (mln_len(mln_get(role, members[i].name)) > ROLE_LIST_MAX) {
            return mln_fail(rq->cx, MLN_E_INVALID, "%s is too long", members[i].name);
        }
    }
    MLN_TRY(check_times(rq->cx, role));
    MLN_TRY(check_key(rq, role));
    MLN_TRY(check_usages(rq->cx, role));
    MLN_TRY(check_validations(rq->cx, role));
    if (mln_len(mln_get(role, "issuer_ref")) == 0) {
        mln_put_text(rq->cx, role, "issuer_ref", "default");
    }
    return mln_cx_err(rq->cx);
}

/* ---- handlers ---- */

struct mln_err pki_role_load(struct mln_request *rq, struct mln_bytes name,
                             const struct mln_value **ret)
{
    struct mln_err err = pki_get(rq, "role/", name, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_INVALID, "unknown role: %.*s",
                                                   MLN_FMT(mln_bytes_sub(name, 0, 256)))
                                        : err;
}

const struct mln_value *pki_role_open(struct mln_request *rq)
{
    return role_of(rq, NULL);
}

struct mln_err pki_roles_list(struct mln_request *rq, struct mln_reply *re)
{
    return pki_answer_list(rq, re, "role/");
}

struct mln_err pki_role_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *role = NULL;
    MLN_TRY(pki_find(rq, "role/", pki_text(rq, "name"), &role));
    if (role == NULL) {
        return pki_not_found(re);
    }
    re->data = role;
    return MLN_OK;
}

static struct mln_err role_store(struct mln_request *rq, struct mln_reply *re,
                                 struct mln_value *role)
{
    struct mln_bytes name = pki_text(rq, "name");
    MLN_TRY(check(rq, role));
    if (name.len > PKI_NAME_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the name of the role is too long");
    }
    MLN_TRY(pki_put(rq, "role/", name, role));
    re->data = role;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_role_write(struct mln_request *rq, struct mln_reply *re)
{
    return role_store(rq, re, role_of(rq, NULL));
}

struct mln_err pki_role_patch(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    MLN_TRY(pki_find(rq, "role/", pki_text(rq, "name"), &old));
    if (old == NULL) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Unable to fetch role entry to patch");
    }
    struct mln_value *role = role_of(rq, old);
    if (mln_field_of(rq, "key_type") != NULL && mln_field_of(rq, "key_bits") == NULL) {
        mln_put_int(rq->cx, role, "key_bits", 0); /* the old ones are of the old kind */
        mln_put_int(rq->cx, role, "signature_bits",
                    mln_get_int(mln_field_of(rq, "signature_bits"), 0));
    }
    return role_store(rq, re, role);
}

struct mln_err pki_role_remove(struct mln_request *rq, struct mln_reply *re)
{
    re->status = 204;
    return pki_delete(rq, "role/", pki_text(rq, "name"));
}

struct mln_err pki_role_exists(struct mln_request *rq, bool *ret)
{
    const struct mln_value *role = NULL;
    MLN_TRY(pki_find(rq, "role/", pki_text(rq, "name"), &role));
    *ret = role != NULL;
    return MLN_OK;
}
