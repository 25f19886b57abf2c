/* SPDX-License-Identifier: Apache-2.0 */
/* PKI engine: the names of a certificate, taken from the request and judged by the role. */
#include "engine/pki_priv.h"

#include "base/text.h"

#include <arpa/inet.h>

#define HOST_MAX  253
#define LABEL_MAX 63
#define TEXT_MAX  1024 /* of one name that is no host's */

static bool flag(const struct mln_value *role, const char *name)
{
    return mln_get_bool(mln_get(role, name), false);
}

static struct mln_bytes lower(struct mln_cx *cx, struct mln_bytes text)
{
    uint8_t *out = mln_new(cx, text.len + 1);
    for (size_t i = 0; out != NULL && i < text.len; i++) {
        uint8_t c = text.ptr[i];
        out[i] = (uint8_t)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    }
    return out != NULL ? mln_bytes_at(out, text.len) : MLN_BYTES_NONE;
}

/* ---- shapes ---- */

static bool is_label(struct mln_bytes label, bool may_star)
{
    size_t stars = 0;
    for (size_t i = 0; i < label.len; i++) {
        uint8_t c = label.ptr[i];
        bool is_letter =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        stars += c == '*' ? 1 : 0;
        if (!is_letter && !(c == '-' && i > 0 && i + 1 < label.len) && !(c == '*' && may_star)) {
            return false;
        }
    }
    return label.len > 0 && label.len <= LABEL_MAX && stars <= 1;
}

bool pki_is_hostname(struct mln_bytes name)
{
    if (name.len > 1 && name.ptr[name.len - 1] == '.') {
        name.len--;
    }
    if (name.len == 0 || name.len > HOST_MAX) {
        return false;
    }
    while (true) {
        struct mln_bytes rest, label = mln_bytes_cut(name, '.', &rest);
        if (!is_label(label, false)) {
            return false;
        }
        if (label.len == name.len) {
            return true;
        }
        name = rest;
    }
}

static bool has_star(struct mln_bytes name)
{
    return mln_bytes_find(name, '*') < name.len;
}

/* "*.x.y", "a*.x.y": one star, in the first label (RFC 6125 sec. 6.4.3). *ret_below: "x.y" */
static bool is_wildcard(struct mln_bytes name, struct mln_bytes *ret_below)
{
    struct mln_bytes rest, label = mln_bytes_cut(name, '.', &rest);
    *ret_below = rest;
    return has_star(label) && is_label(label, true) && pki_is_hostname(rest);
}

/* ---- what the request asks for ---- */

static struct mln_err add_san(struct mln_request *rq, struct pki_names *names, struct mln_san san)
{
    for (size_t i = 0; i < names->n; i++) {
        const struct mln_san *old = &names->sans[i];
        if (old->kind == san.kind && mln_bytes_eq(old->value, san.value) &&
            mln_bytes_eq(old->oid, san.oid)) {
            return MLN_OK;
        }
    }
    if (san.value.len > TEXT_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "an alternative name is too long");
    }
    MLN_CHECK(names->n < names->cap);
    names->sans[names->n++] = san;
    return MLN_OK;
}

static bool is_email(struct mln_bytes text)
{
    return mln_bytes_find(text, '@') < text.len;
}

static struct mln_err add_name(struct mln_request *rq, struct pki_names *names,
                               struct mln_bytes text)
{
    struct mln_bytes below;
    if (is_email(text)) {
        return add_san(rq, names, (struct mln_san){.kind = MLN_SAN_EMAIL, .value = text});
    }
    if (!pki_is_hostname(text) && !is_wildcard(text, &below)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "subject alternate name %.*s not allowed by this role",
                        MLN_FMT(mln_bytes_sub(text, 0, 256)));
    }
    return add_san(rq, names, (struct mln_san){.kind = MLN_SAN_DNS, .value = text});
}

static struct mln_err add_ip(struct mln_request *rq, struct pki_names *names, struct mln_bytes text)
{
    uint8_t address[16];
    const char *z = text.len < INET6_ADDRSTRLEN ? mln_text_dup(rq->cx, text) : "";
    size_t n = inet_pton(AF_INET, z, address) == 1    ? 4
               : inet_pton(AF_INET6, z, address) == 1 ? 16
                                                      : 0;
    if (n == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the value \"%.*s\" is not a valid IP address",
                        MLN_FMT(mln_bytes_sub(text, 0, 64)));
    }
    return add_san(rq, names,
                   (struct mln_san){.kind = MLN_SAN_IP,
                                    .value = mln_bytes_dup(rq->cx, mln_bytes_at(address, n))});
}

static struct mln_err add_uri(struct mln_request *rq, struct pki_names *names,
                              struct mln_bytes text)
{
    struct mln_bytes rest, scheme = mln_bytes_cut(text, ':', &rest);
    bool is_ok = scheme.len > 0 && scheme.len < text.len && rest.len > 0;
    for (size_t i = 0; i < text.len; i++) {
        is_ok = is_ok && text.ptr[i] > 0x20 && text.ptr[i] < 0x7f;
    }
    if (!is_ok) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "the provided URI Subject Alternative Name \"%.*s\" is not a valid URI",
                        MLN_FMT(mln_bytes_sub(text, 0, 256)));
    }
    return add_san(rq, names, (struct mln_san){.kind = MLN_SAN_URI, .value = text});
}

/* "1.2.3;UTF8:value" */
static struct mln_err add_other(struct mln_request *rq, struct pki_names *names,
                                struct mln_bytes text)
{
    struct mln_bytes rest, value, oid = mln_bytes_cut(text, ';', &rest),
                                  type = mln_bytes_cut(rest, ':', &value);
    bool is_utf8 = mln_bytes_is_nocase(type, "UTF8") || mln_bytes_is_nocase(type, "UTF-8");
    if (oid.len == text.len || type.len == rest.len || !is_utf8 || value.len == 0 ||
        !mln_utf8_valid(value)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "could not parse requested other SAN: expected an array of strings of the "
                        "form <OID>;UTF8:<value>");
    }
    return add_san(
        rq, names,
        (struct mln_san){.kind = MLN_SAN_OTHER, .value = value, .oid = mln_bytes_trim(oid)});
}

static struct mln_err add_all(struct mln_request *rq, struct pki_names *names, const char *field,
                              struct mln_err (*add)(struct mln_request *, struct pki_names *,
                                                    struct mln_bytes))
{
    const struct mln_value *list = mln_field_of(rq, field);
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes text = mln_bytes_trim(mln_get_bytes(mln_item(list, i)));
        if (text.len > 0) {
            MLN_TRY(add(rq, names, text));
        }
    }
    return MLN_OK;
}

static struct mln_err add_csr_sans(struct mln_request *rq, struct pki_names *names,
                                   const struct mln_x509_info *csr)
{
    for (size_t i = 0; i < csr->sans_n; i++) {
        const struct mln_san *san = &csr->sans[i];
        bool is_name = san->kind == MLN_SAN_DNS || san->kind == MLN_SAN_EMAIL;
        MLN_TRY(is_name                    ? add_name(rq, names, san->value)
                : san->kind == MLN_SAN_URI ? add_uri(rq, names, san->value)
                                           : add_san(rq, names, *san));
    }
    return MLN_OK;
}

static struct mln_err make_room(struct mln_request *rq, const struct mln_x509_info *csr,
                                struct pki_names *names)
{
    static const char *const lists[] = {"alt_names", "ip_sans", "uri_sans", "other_sans"};
    size_t cap = 1 + (csr != NULL ? csr->sans_n : 0);
    for (size_t i = 0; i < MLN_COUNT(lists); i++) {
        cap += mln_len(mln_field_of(rq, lists[i]));
    }
    if (cap > PKI_NAMES_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, "more than %d alternative names", PKI_NAMES_MAX);
    }
    *names =
        (struct pki_names){.sans = mln_new_array(rq->cx, cap, sizeof(struct mln_san)), .cap = cap};
    return mln_cx_err(rq->cx);
}

struct mln_err pki_names_take(struct mln_request *rq, const struct mln_value *role,
                              const struct mln_x509_info *csr, struct pki_names *ret)
{
    bool from_csr = csr != NULL && flag(role, "use_csr_common_name"),
         sans_from_csr = csr != NULL && flag(role, "use_csr_sans");
    struct mln_bytes below;
    MLN_TRY(make_room(rq, csr, ret));
    ret->is_from_csr = sans_from_csr;
    ret->common_name = from_csr ? csr->common_name : pki_text(rq, "common_name");
    if (ret->common_name.len == 0 && flag(role, "require_cn")) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "the common_name field is required, or must be provided in a CSR with "
                        "\"use_csr_common_name\" set to true, "
                        "unless \"require_cn\" is set to false");
    }
    struct mln_bytes cn = ret->common_name;
    bool is_san = is_email(cn) || pki_is_hostname(cn) || is_wildcard(cn, &below);
    if (is_san && !pki_flag(rq, "exclude_cn_from_sans", false)) {
        MLN_TRY(add_name(rq, ret, cn));
    }
    if (sans_from_csr) {
        return add_csr_sans(rq, ret, csr);
    }
    MLN_TRY(add_all(rq, ret, "alt_names", add_name));
    MLN_TRY(add_all(rq, ret, "ip_sans", add_ip));
    MLN_TRY(add_all(rq, ret, "uri_sans", add_uri));
    return add_all(rq, ret, "other_sans", add_other);
}

/* ---- judging host names and addresses of mail ---- */

/* A name under judgement. `host`: without the mailbox; `reduced`: also without a wildcard's label. All in lower case. */
struct judged {
    struct mln_bytes name, host, reduced;
    bool is_email, is_wildcard;
};

static bool is_below(struct mln_bytes name, struct mln_bytes domain)
{
    return name.len > domain.len + 1 && mln_bytes_ends(name, domain) &&
           name.ptr[name.len - domain.len - 1] == '.';
}

static bool is_domain_ok(const struct mln_value *role, const struct judged *j,
                         struct mln_bytes domain, bool may_glob)
{
    bool is_bare = mln_bytes_eq(j->name, domain) || (j->is_email && mln_bytes_eq(j->host, domain));
    if (is_bare && flag(role, "allow_bare_domains")) {
        return true;
    }
    bool is_sub =
        is_below(j->reduced, domain) || (j->is_wildcard && mln_bytes_eq(j->reduced, domain));
    if (is_sub && flag(role, "allow_subdomains")) {
        return true;
    }
    return may_glob && flag(role, "allow_glob_domains") && has_star(domain) &&
           pki_glob(domain, j->name);
}

static bool is_localhost_ok(const struct mln_value *role, const struct judged *j)
{
    static const char *const locals[] = {"localhost", "localdomain"};
    for (size_t i = 0; i < MLN_COUNT(locals); i++) {
        struct mln_bytes local = mln_bytes_of(locals[i]);
        bool is_same = mln_bytes_eq(j->reduced, local);
        bool is_sub = is_below(j->reduced, local) || (j->is_wildcard && is_same);
        if ((is_same && !j->is_wildcard) || (is_sub && flag(role, "allow_subdomains"))) {
            return true;
        }
    }
    return false;
}

static size_t count_stars(struct mln_bytes text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == '*' ? 1 : 0;
    }
    return n;
}

static struct mln_err is_listed(struct mln_request *rq, const struct mln_value *role,
                                const struct judged *j, bool *ret)
{
    const struct mln_value *domains = mln_get(role, "allowed_domains");
    *ret = false;
    for (size_t i = 0; i < mln_len(domains) && !*ret; i++) {
        struct mln_bytes domain = mln_get_bytes(mln_item(domains, i));
        bool may_glob = true;
        if (flag(role, "allowed_domains_template")) {
            const char *text = NULL;
            MLN_TRY(pki_fill(rq, domain, &text));
            if (text == NULL) {
                continue;
            }
            struct mln_bytes full = mln_bytes_of(text);
            may_glob = count_stars(full) == count_stars(domain) ||
                       flag(role, "allow_globs_in_identity_templates");
            domain = full;
        }
        *ret = domain.len > 0 && is_domain_ok(role, j, lower(rq->cx, domain), may_glob);
    }
    return mln_cx_err(rq->cx);
}

/* The token's display name counts as a domain of its own. */
static bool is_display_name_ok(struct mln_request *rq, const struct mln_value *role,
                               const struct judged *j)
{
    struct mln_bytes own = lower(rq->cx, mln_bytes_of(rq->actor->display_name)), rest;
    if (own.len == 0 || !flag(role, "allow_token_displayname")) {
        return false;
    }
    if (mln_bytes_eq(j->name, own)) {
        return true;
    }
    struct mln_bytes box = mln_bytes_cut(own, '@', &rest), domain = box.len < own.len ? rest : own;
    return domain.len > 0 && flag(role, "allow_subdomains") &&
           (is_below(j->reduced, domain) || (j->is_wildcard && mln_bytes_eq(j->reduced, domain)));
}

/* Take the name apart; false when its shape is not allowed whatever the role lists. */
static bool judged_of(struct mln_cx *cx, const struct mln_value *role, struct mln_bytes name,
                      struct judged *j)
{
    struct mln_bytes rest, box;
    *j = (struct judged){.name = lower(cx, name)};
    j->host = j->name;
    if (is_email(j->name)) {
        box = mln_bytes_cut(j->name, '@', &rest);
        if (box.len == 0 || rest.len == 0 || is_email(rest) || has_star(j->name)) {
            return false;
        }
        j->is_email = true;
        j->host = rest;
    }
    j->reduced = j->host;
    if (has_star(j->host)) {
        if (!flag(role, "allow_wildcard_certificates") || !is_wildcard(j->host, &j->reduced)) {
            return false;
        }
        j->is_wildcard = true;
    }
    return !flag(role, "enforce_hostnames") || pki_is_hostname(j->reduced);
}

static struct mln_err is_name_ok(struct mln_request *rq, const struct mln_value *role,
                                 struct mln_bytes name, bool *ret)
{
    struct judged j;
    *ret = false;
    if (!judged_of(rq->cx, role, name, &j)) {
        return mln_cx_err(rq->cx);
    }
    *ret = flag(role, "allow_any_name") ||
           (flag(role, "allow_localhost") && is_localhost_ok(role, &j)) ||
           is_display_name_ok(rq, role, &j);
    return *ret ? MLN_OK : is_listed(rq, role, &j, ret);
}

static struct mln_err check_common_name(struct mln_request *rq, const struct mln_value *role,
                                        struct mln_bytes cn)
{
    const struct mln_value *kinds = mln_get(role, "cn_validations");
    bool is_ok = true;
    if (cn.len == 0 || pki_list_has(kinds, MLN_BYTES("disabled"))) {
        return MLN_OK;
    }
    if (mln_len(kinds) > 0) {
        is_ok = pki_list_has(kinds, is_email(cn) ? MLN_BYTES("email") : MLN_BYTES("hostname"));
    }
    if (is_ok) {
        MLN_TRY(is_name_ok(rq, role, cn, &is_ok));
    }
    return is_ok ? MLN_OK
                 : mln_fail(rq->cx, MLN_E_INVALID, "common name %.*s not allowed by this role",
                            MLN_FMT(mln_bytes_sub(cn, 0, 256)));
}

/* ---- judging the other kinds ---- */

static bool is_in_network(struct mln_cx *cx, struct mln_bytes address, struct mln_bytes cidr)
{
    struct mln_bytes bits_text, net_text = mln_bytes_cut(cidr, '/', &bits_text);
    uint8_t net[16];
    uint64_t bits = 0;
    const char *z = net_text.len < INET6_ADDRSTRLEN ? mln_text_dup(cx, net_text) : "";
    if (!mln_u64_parse(bits_text, &bits) || bits > 8 * address.len ||
        inet_pton(address.len == 4 ? AF_INET : AF_INET6, z, net) != 1) {
        return false;
    }
    for (size_t i = 0; i < bits; i++) {
        unsigned mask = 0x80u >> i % 8;
        if (((unsigned)net[i / 8] & mask) != ((unsigned)address.ptr[i / 8] & mask)) {
            return false;
        }
    }
    return true;
}

static struct mln_err check_ip(struct mln_request *rq, const struct mln_value *role,
                               const struct pki_names *names, const struct mln_san *san)
{
    const char *via = names->is_from_csr ? "via CSR" : "via the API";
    const struct mln_value *nets = mln_get(role, "allowed_ip_sans_cidr");
    if (!flag(role, "allow_ip_sans")) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "IP Subject Alternative Names are not allowed in this role, but was provided %s", via);
    }
    bool is_ok = mln_len(nets) == 0;
    for (size_t i = 0; i < mln_len(nets) && !is_ok; i++) {
        is_ok = is_in_network(rq->cx, san->value, mln_get_bytes(mln_item(nets, i)));
    }
    return is_ok
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "IP Subject Alternative Name is not in an allowed network of this role");
}

static struct mln_err check_uri(struct mln_request *rq, const struct mln_value *role,
                                const struct pki_names *names, const struct mln_san *san)
{
    const char *via = names->is_from_csr ? "via CSR" : "via the API";
    const struct mln_value *allowed = mln_get(role, "allowed_uri_sans");
    if (mln_len(allowed) == 0) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "URI Subject Alternative Names are not allowed in this role, but were provided %s",
            via);
    }
    for (size_t i = 0; i < mln_len(allowed); i++) {
        struct mln_bytes pattern = mln_get_bytes(mln_item(allowed, i));
        const char *text = NULL;
        bool is_template = flag(role, "allowed_uri_sans_template");
        if (is_template) {
            MLN_TRY(pki_fill(rq, pattern, &text));
        }
        if (is_template &&
            (text == NULL || count_stars(mln_bytes_of(text)) != count_stars(pattern))) {
            continue;
        }
        if (pki_glob(is_template ? mln_bytes_of(text) : pattern, san->value)) {
            return MLN_OK;
        }
    }
    return mln_fail(
        rq->cx, MLN_E_INVALID,
        "URI Subject Alternative Names were provided %s which are not valid for this role", via);
}

static struct mln_err check_other(struct mln_request *rq, const struct mln_value *role,
                                  const struct mln_san *san)
{
    const struct mln_value *allowed = mln_get(role, "allowed_other_sans");
    for (size_t i = 0; i < mln_len(allowed); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(allowed, i)), rest, pattern,
                         oid = mln_bytes_cut(one, ';', &rest);
        mln_bytes_cut(rest, ':', &pattern);
        if (mln_bytes_is(one, "*") ||
            (mln_bytes_eq(mln_bytes_trim(oid), san->oid) && pki_glob(pattern, san->value))) {
            return MLN_OK;
        }
    }
    return mln_fail(rq->cx, MLN_E_INVALID, "other SAN OID %.*s not allowed by this role",
                    MLN_FMT(mln_bytes_sub(san->oid, 0, 64)));
}

static struct mln_err check_san(struct mln_request *rq, const struct mln_value *role,
                                const struct pki_names *names, const struct mln_san *san)
{
    bool is_ok = false;
    switch (san->kind) {
    case MLN_SAN_IP:
        return check_ip(rq, role, names, san);
    case MLN_SAN_URI:
        return check_uri(rq, role, names, san);
    case MLN_SAN_OTHER:
        return check_other(rq, role, san);
    case MLN_SAN_EMAIL:
    case MLN_SAN_DNS:
    default:
        break;
    }
    MLN_TRY(is_name_ok(rq, role, san->value, &is_ok));
    const char *what = san->kind == MLN_SAN_EMAIL ? "email address" : "subject alternate name";
    return is_ok ? MLN_OK
                 : mln_fail(rq->cx, MLN_E_INVALID, "%s %.*s not allowed by this role", what,
                            MLN_FMT(mln_bytes_sub(san->value, 0, 256)));
}

static struct mln_err check_subject(struct mln_request *rq, const struct mln_value *role)
{
    struct mln_bytes serial = pki_text(rq, "serial_number");
    const struct mln_value *ids = mln_field_of(rq, "user_ids"),
                           *serials = mln_get(role, "allowed_serial_numbers");
    const struct mln_value *allowed = mln_get(role, "allowed_user_ids");
    bool is_ok = serial.len == 0;
    for (size_t i = 0; i < mln_len(serials) && !is_ok; i++) {
        is_ok = pki_glob(mln_get_bytes(mln_item(serials, i)), serial);
    }
    if (!is_ok) {
        return mln_fail(rq->cx, MLN_E_INVALID, "serial_number %.*s not allowed by this role",
                        MLN_FMT(mln_bytes_sub(serial, 0, 256)));
    }
    for (size_t i = 0; i < mln_len(ids); i++) {
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        is_ok = false;
        for (size_t j = 0; j < mln_len(allowed) && !is_ok; j++) {
            is_ok = pki_glob(mln_get_bytes(mln_item(allowed, j)), id);
        }
        if (!is_ok) {
            return mln_fail(rq->cx, MLN_E_INVALID, "user_id %.*s is not allowed by this role",
                            MLN_FMT(mln_bytes_sub(id, 0, 256)));
        }
    }
    return MLN_OK;
}

struct mln_err pki_names_check(struct mln_request *rq, const struct mln_value *role,
                               const struct pki_names *names)
{
    MLN_TRY(check_common_name(rq, role, names->common_name));
    for (size_t i = 0; i < names->n; i++) {
        MLN_TRY(check_san(rq, role, names, &names->sans[i]));
    }
    return check_subject(rq, role);
}
