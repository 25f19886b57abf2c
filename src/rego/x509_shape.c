/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates and requests as values. What is absent is null, as Go prints an empty slice that nobody made. */
#include "rego/x509_shape_priv.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <openssl/asn1.h>

#define OID_TEXT_MAX 512 /* of an object identifier in digits and dots */

static struct rg_val append(struct rg_heap *heap, struct rg_val list, struct rg_val item)
{
    list = list.tag == RG_ARRAY ? list : rg_array(heap, 2);
    rg_push(heap, list, item);
    return list;
}

static struct rg_val oid_text(struct rg_heap *heap, const ASN1_OBJECT *oid)
{
    char text[OID_TEXT_MAX];
    int n = OBJ_obj2txt(text, sizeof(text), oid, 1);
    return rg_text(heap, n > 0 && n < OID_TEXT_MAX ? text : "");
}

static struct rg_val oid_numbers(struct rg_heap *heap, const ASN1_OBJECT *oid)
{
    struct rg_val out = rg_array(heap, 8);
    struct mln_bytes rest = rg_bytes(oid_text(heap, oid));
    while (rest.len > 0) {
        rg_push(heap, out, rg_number(heap, mln_bytes_cut(rest, '.', &rest)));
    }
    return out;
}

static struct rg_val asn1_text(struct rg_heap *heap, const ASN1_STRING *s)
{
    unsigned char *text = NULL;
    int n = s == NULL ? -1 : ASN1_STRING_to_UTF8(&text, s);
    struct mln_bytes t = mln_bytes_at(text, n > 0 ? (size_t)n : 0);
    struct rg_val v = mln_utf8_valid(t) ? rg_string(heap, t) : rg_text(heap, "");
    OPENSSL_free(text);
    return v;
}

static struct mln_bytes asn1_bytes(const ASN1_STRING *s)
{
    return s == NULL ? MLN_BYTES_NONE
                     : mln_bytes_at(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
}

/* What an i2d function wrote. */
static struct rg_val encoded(struct rg_heap *heap, int n, unsigned char *der)
{
    struct rg_val v = n > 0 ? rg_x509_base64(heap, mln_bytes_at(der, (size_t)n)) : rg_null();
    OPENSSL_free(der);
    return v;
}

/* What is signed: the first part of a signed structure, byte for byte. */
static struct rg_val signed_part(struct rg_heap *heap, struct mln_bytes der)
{
    const unsigned char *p = der.ptr, *from = NULL;
    long len = 0;
    int tag = 0, kind = 0;
    if (ASN1_get_object(&p, &len, &tag, &kind, (long)der.len) & 0x80) {
        return rg_null();
    }
    from = p;
    if (ASN1_get_object(&p, &len, &tag, &kind, len) & 0x80) {
        return rg_null();
    }
    return rg_x509_base64(heap, mln_bytes_at(from, (size_t)(p - from) + (size_t)len));
}

static struct rg_val name_der(struct rg_heap *heap, const X509_NAME *name)
{
    unsigned char *der = NULL;
    int n = i2d_X509_NAME(name, &der);
    return encoded(heap, n, der);
}

/* ---- names ---- */
static struct rg_val name_value(struct rg_heap *heap, const X509_NAME *name)
{
    static const struct {
        const char *key;
        int nid;
        bool is_one;
    } members[] = {{"Country", NID_countryName, false},
                   {"Organization", NID_organizationName, false},
                   {"OrganizationalUnit", NID_organizationalUnitName, false},
                   {"Locality", NID_localityName, false},
                   {"Province", NID_stateOrProvinceName, false},
                   {"StreetAddress", NID_streetAddress, false},
                   {"PostalCode", NID_postalCode, false},
                   {"SerialNumber", NID_serialNumber, true},
                   {"CommonName", NID_commonName, true}};
    struct rg_val out = rg_object(heap, 11), names = rg_null();
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        rg_put_text(heap, out, members[i].key, members[i].is_one ? rg_text(heap, "") : rg_null());
    }
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        const ASN1_OBJECT *oid = X509_NAME_ENTRY_get_object(entry);
        struct rg_val pair = rg_object(heap, 2),
                      v = asn1_text(heap, X509_NAME_ENTRY_get_data(entry));
        rg_put_text(heap, pair, "Type", oid_numbers(heap, oid));
        rg_put_text(heap, pair, "Value", v);
        names = append(heap, names, pair);
        for (size_t k = 0; k < MLN_COUNT(members); k++) {
            if (members[k].nid == OBJ_obj2nid(oid)) {
                struct rg_val old = rg_get_text(out, members[k].key);
                rg_put_text(heap, out, members[k].key,
                            members[k].is_one ? v : append(heap, old, v));
            }
        }
    }
    rg_put_text(heap, out, "Names", names);
    rg_put_text(heap, out, "ExtraNames", rg_null());
    return out;
}

/* ---- alternative names ---- */
static struct rg_val address(struct rg_heap *heap, struct mln_bytes raw)
{
    char text[64];
    const uint8_t *p = raw.ptr;
    if (raw.len == 4) {
        return rg_text(heap, rg_text_format(heap, "%u.%u.%u.%u", p[0], p[1], p[2], p[3]));
    }
    return raw.len == 16 && inet_ntop(AF_INET6, raw.ptr, text, sizeof(text)) != NULL
               ? rg_text(heap, text)
               : rg_null();
}

/* As Go's url.URL, of an absolute URI without escapes in its host. */
static struct rg_val uri(struct rg_heap *heap, struct mln_bytes t)
{
    struct mln_bytes fragment, query, rest, user = MLN_BYTES_NONE, host = MLN_BYTES_NONE;
    struct rg_val out = rg_object(heap, 11);
    rest = mln_bytes_cut(t, '#', &fragment);
    bool force = mln_bytes_ends(rest, MLN_BYTES("?"));
    rest = mln_bytes_cut(rest, '?', &query);
    struct mln_bytes scheme = mln_bytes_cut(rest, ':', &rest);
    bool has_host = mln_bytes_starts(rest, MLN_BYTES("//"));
    bool is_opaque = !has_host && !mln_bytes_starts(rest, MLN_BYTES("/"));
    if (has_host) {
        rest = mln_bytes_from(rest, 2);
        size_t slash = mln_bytes_find(rest, '/');
        host = mln_bytes_sub(rest, 0, slash);
        rest = mln_bytes_from(rest, slash);
        size_t at = mln_bytes_find(host, '@');
        user = at < host.len ? host : user;
        host = at < host.len ? mln_bytes_from(host, at + 1) : host;
    }
    rg_put_text(heap, out, "Scheme", rg_string(heap, scheme));
    rg_put_text(heap, out, "Opaque", is_opaque ? rg_string(heap, rest) : rg_text(heap, ""));
    rg_put_text(heap, out, "User", user.len > 0 ? rg_object(heap, 0) : rg_null());
    rg_put_text(heap, out, "Host", rg_string(heap, host));
    rg_put_text(heap, out, "Path", is_opaque ? rg_text(heap, "") : rg_string(heap, rest));
    rg_put_text(heap, out, "RawPath", rg_text(heap, ""));
    rg_put_text(heap, out, "OmitHost", rg_bool(false));
    rg_put_text(heap, out, "ForceQuery", rg_bool(force));
    rg_put_text(heap, out, "RawQuery", rg_string(heap, query));
    rg_put_text(heap, out, "Fragment", rg_string(heap, fragment));
    rg_put_text(heap, out, "RawFragment", rg_text(heap, ""));
    return out;
}

struct names {
    struct rg_val dns, email, ip, uri, uri_text;
};

static struct names names_of(struct rg_heap *heap, const GENERAL_NAMES *from)
{
    struct names n = {rg_null(), rg_null(), rg_null(), rg_null(), rg_null()};
    for (int i = 0; i < (from == NULL ? 0 : sk_GENERAL_NAME_num(from)); i++) {
        const GENERAL_NAME *g = sk_GENERAL_NAME_value(from, i);
        if (g->type == GEN_DNS) {
            n.dns = append(heap, n.dns, asn1_text(heap, g->d.dNSName));
        } else if (g->type == GEN_EMAIL) {
            n.email = append(heap, n.email, asn1_text(heap, g->d.rfc822Name));
        } else if (g->type == GEN_IPADD) {
            n.ip = append(heap, n.ip, address(heap, asn1_bytes(g->d.iPAddress)));
        } else if (g->type == GEN_URI) {
            struct rg_val text = asn1_text(heap, g->d.uniformResourceIdentifier);
            n.uri_text = append(heap, n.uri_text, text);
            n.uri = append(heap, n.uri, uri(heap, rg_bytes(text)));
        }
    }
    return n;
}

static void put_names(struct rg_heap *heap, struct rg_val out, const struct names *n)
{
    rg_put_text(heap, out, "DNSNames", n->dns);
    rg_put_text(heap, out, "EmailAddresses", n->email);
    rg_put_text(heap, out, "IPAddresses", n->ip);
    rg_put_text(heap, out, "URIs", n->uri);
}

struct rg_val rg_x509_uri_strings(struct rg_heap *heap, X509 *cert)
{
    GENERAL_NAMES *from = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    struct names n = names_of(heap, from);
    GENERAL_NAMES_free(from);
    return n.uri_text;
}

/* ---- extensions ---- */
static struct rg_val extensions(struct rg_heap *heap, const STACK_OF(X509_EXTENSION) * list)
{
    struct rg_val out = rg_null();
    for (int i = 0; i < (list == NULL ? 0 : sk_X509_EXTENSION_num(list)); i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(list, i);
        struct rg_val item = rg_object(heap, 3);
        rg_put_text(heap, item, "Id", oid_numbers(heap, X509_EXTENSION_get_object(e)));
        rg_put_text(heap, item, "Critical", rg_bool(X509_EXTENSION_get_critical(e) > 0));
        rg_put_text(heap, item, "Value",
                    rg_x509_base64(heap, asn1_bytes(X509_EXTENSION_get_data(e))));
        out = append(heap, out, item);
    }
    return out;
}

static struct rg_val unhandled(struct rg_heap *heap, const STACK_OF(X509_EXTENSION) * list)
{
    static const int known[] = {
        NID_key_usage,         NID_basic_constraints,       NID_subject_alt_name,
        NID_name_constraints,  NID_crl_distribution_points, NID_authority_key_identifier,
        NID_ext_key_usage,     NID_subject_key_identifier,  NID_certificate_policies,
        NID_info_access,       NID_policy_mappings,         NID_policy_constraints,
        NID_inhibit_any_policy};
    struct rg_val out = rg_null();
    for (int i = 0; i < (list == NULL ? 0 : sk_X509_EXTENSION_num(list)); i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(list, i);
        bool is_known = X509_EXTENSION_get_critical(e) <= 0;
        for (size_t k = 0; k < MLN_COUNT(known); k++) {
            is_known = is_known || known[k] == OBJ_obj2nid(X509_EXTENSION_get_object(e));
        }
        if (!is_known) {
            out = append(heap, out, oid_numbers(heap, X509_EXTENSION_get_object(e)));
        }
    }
    return out;
}

static void put_usage(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    static const int purposes[] = {NID_anyExtendedKeyUsage, NID_server_auth,   NID_client_auth,
                                   NID_code_sign,           NID_email_protect, NID_ipsecEndSystem,
                                   NID_ipsecTunnel,         NID_ipsecUser,     NID_time_stamp,
                                   NID_OCSP_sign,           NID_ms_sgc,        NID_ns_sgc,
                                   NID_ms_code_com}; /* in the order of Go's numbers */
    struct rg_val uses = rg_null(), others = rg_null();
    int64_t bits = 0;
    ASN1_BIT_STRING *usage = X509_get_ext_d2i(cert, NID_key_usage, NULL, NULL);
    EXTENDED_KEY_USAGE *more = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    for (int i = 0; usage != NULL && i < 9; i++) {
        bits |= (int64_t)ASN1_BIT_STRING_get_bit(usage, i) << i;
    }
    for (int i = 0; i < (more == NULL ? 0 : sk_ASN1_OBJECT_num(more)); i++) {
        const ASN1_OBJECT *oid = sk_ASN1_OBJECT_value(more, i);
        size_t k = 0;
        while (k < MLN_COUNT(purposes) && purposes[k] != OBJ_obj2nid(oid)) {
            k++;
        }
        bool is_kernel = mln_bytes_is(rg_bytes(oid_text(heap, oid)), "1.3.6.1.4.1.311.61.1.1");
        if (k < MLN_COUNT(purposes) ||
            is_kernel) { /* that one has no name in OpenSSL; its number is the next */
            uses = append(heap, uses, rg_int((int64_t)k));
        } else {
            others = append(heap, others, oid_numbers(heap, oid));
        }
    }
    ASN1_BIT_STRING_free(usage);
    EXTENDED_KEY_USAGE_free(more);
    rg_put_text(heap, out, "KeyUsage", rg_int(bits));
    rg_put_text(heap, out, "ExtKeyUsage", uses);
    rg_put_text(heap, out, "UnknownExtKeyUsage", others);
}

static void put_basic(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    BASIC_CONSTRAINTS *basic = X509_get_ext_d2i(cert, NID_basic_constraints, NULL, NULL);
    int64_t path = basic == NULL            ? 0
                   : basic->pathlen == NULL ? -1
                                            : ASN1_INTEGER_get(basic->pathlen);
    rg_put_text(heap, out, "BasicConstraintsValid", rg_bool(basic != NULL));
    rg_put_text(heap, out, "IsCA", rg_bool(basic != NULL && basic->ca != 0));
    rg_put_text(heap, out, "MaxPathLen", rg_int(path));
    rg_put_text(heap, out, "MaxPathLenZero", rg_bool(basic != NULL && path == 0));
    BASIC_CONSTRAINTS_free(basic);
}

static void put_key_ids(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    const ASN1_OCTET_STRING *subject = X509_get0_subject_key_id(cert),
                            *issuer = X509_get0_authority_key_id(cert);
    rg_put_text(heap, out, "SubjectKeyId",
                subject == NULL ? rg_null() : rg_x509_base64(heap, asn1_bytes(subject)));
    rg_put_text(heap, out, "AuthorityKeyId",
                issuer == NULL ? rg_null() : rg_x509_base64(heap, asn1_bytes(issuer)));
}

static void put_access(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    struct rg_val ocsp = rg_null(), issuing = rg_null(), lists = rg_null();
    AUTHORITY_INFO_ACCESS *access = X509_get_ext_d2i(cert, NID_info_access, NULL, NULL);
    CRL_DIST_POINTS *points = X509_get_ext_d2i(cert, NID_crl_distribution_points, NULL, NULL);
    for (int i = 0; i < (access == NULL ? 0 : sk_ACCESS_DESCRIPTION_num(access)); i++) {
        const ACCESS_DESCRIPTION *a = sk_ACCESS_DESCRIPTION_value(access, i);
        if (a->location->type != GEN_URI) {
            continue;
        }
        struct rg_val text = asn1_text(heap, a->location->d.uniformResourceIdentifier);
        if (OBJ_obj2nid(a->method) == NID_ad_OCSP) {
            ocsp = append(heap, ocsp, text);
        } else if (OBJ_obj2nid(a->method) == NID_ad_ca_issuers) {
            issuing = append(heap, issuing, text);
        }
    }
    for (int i = 0; i < (points == NULL ? 0 : sk_DIST_POINT_num(points)); i++) {
        const DIST_POINT *p = sk_DIST_POINT_value(points, i);
        const GENERAL_NAMES *full =
            p->distpoint != NULL && p->distpoint->type == 0 ? p->distpoint->name.fullname : NULL;
        for (int k = 0; k < (full == NULL ? 0 : sk_GENERAL_NAME_num(full)); k++) {
            const GENERAL_NAME *g = sk_GENERAL_NAME_value(full, k);
            if (g->type == GEN_URI) {
                lists = append(heap, lists, asn1_text(heap, g->d.uniformResourceIdentifier));
            }
        }
    }
    AUTHORITY_INFO_ACCESS_free(access);
    CRL_DIST_POINTS_free(points);
    rg_put_text(heap, out, "OCSPServer", ocsp);
    rg_put_text(heap, out, "IssuingCertificateURL", issuing);
    rg_put_text(heap, out, "CRLDistributionPoints", lists);
}

static struct rg_val range(struct rg_heap *heap, struct mln_bytes raw)
{
    size_t half = raw.len / 2;
    struct rg_val out = rg_object(heap, 2);
    rg_put_text(heap, out, "IP", address(heap, mln_bytes_sub(raw, 0, half)));
    rg_put_text(heap, out, "Mask", rg_x509_base64(heap, mln_bytes_from(raw, half)));
    return out;
}

static void put_trees(struct rg_heap *heap, struct rg_val out,
                      const STACK_OF(GENERAL_SUBTREE) * trees, bool permitted)
{
    struct names n = {rg_null(), rg_null(), rg_null(), rg_null(), rg_null()};
    for (int i = 0; i < (trees == NULL ? 0 : sk_GENERAL_SUBTREE_num(trees)); i++) {
        const GENERAL_NAME *g = sk_GENERAL_SUBTREE_value(trees, i)->base;
        if (g->type == GEN_DNS) {
            n.dns = append(heap, n.dns, asn1_text(heap, g->d.dNSName));
        } else if (g->type == GEN_EMAIL) {
            n.email = append(heap, n.email, asn1_text(heap, g->d.rfc822Name));
        } else if (g->type == GEN_IPADD) {
            n.ip = append(heap, n.ip, range(heap, asn1_bytes(g->d.iPAddress)));
        } else if (g->type == GEN_URI) {
            n.uri = append(heap, n.uri, asn1_text(heap, g->d.uniformResourceIdentifier));
        }
    }
    rg_put_text(heap, out, permitted ? "PermittedDNSDomains" : "ExcludedDNSDomains", n.dns);
    rg_put_text(heap, out, permitted ? "PermittedEmailAddresses" : "ExcludedEmailAddresses",
                n.email);
    rg_put_text(heap, out, permitted ? "PermittedIPRanges" : "ExcludedIPRanges", n.ip);
    rg_put_text(heap, out, permitted ? "PermittedURIDomains" : "ExcludedURIDomains", n.uri);
}

static void put_constraints(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    int critical = 0;
    NAME_CONSTRAINTS *c = X509_get_ext_d2i(cert, NID_name_constraints, &critical, NULL);
    put_trees(heap, out, c == NULL ? NULL : c->permittedSubtrees, true);
    put_trees(heap, out, c == NULL ? NULL : c->excludedSubtrees, false);
    rg_put_text(heap, out, "PermittedDNSDomainsCritical", rg_bool(c != NULL && critical > 0));
    NAME_CONSTRAINTS_free(c);
}

static void put_level(struct rg_heap *heap, struct rg_val out, const char *key,
                      const ASN1_INTEGER *n)
{
    int64_t v = n == NULL ? 0 : ASN1_INTEGER_get(n);
    rg_put_text(heap, out, key, rg_int(v));
    rg_put_text(heap, out, rg_text_format(heap, "%sZero", key), rg_bool(n != NULL && v == 0));
}

static void put_policies(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    struct rg_val numbers = rg_null(), texts = rg_null(), maps = rg_null();
    CERTIFICATEPOLICIES *list = X509_get_ext_d2i(cert, NID_certificate_policies, NULL, NULL);
    POLICY_CONSTRAINTS *levels = X509_get_ext_d2i(cert, NID_policy_constraints, NULL, NULL);
    POLICY_MAPPINGS *mappings = X509_get_ext_d2i(cert, NID_policy_mappings, NULL, NULL);
    ASN1_INTEGER *any = X509_get_ext_d2i(cert, NID_inhibit_any_policy, NULL, NULL);
    for (int i = 0; i < (list == NULL ? 0 : sk_POLICYINFO_num(list)); i++) {
        const ASN1_OBJECT *oid = sk_POLICYINFO_value(list, i)->policyid;
        numbers = append(heap, numbers, oid_numbers(heap, oid));
        texts = append(heap, texts, oid_text(heap, oid));
    }
    for (int i = 0; i < (mappings == NULL ? 0 : sk_POLICY_MAPPING_num(mappings)); i++) {
        const POLICY_MAPPING *m = sk_POLICY_MAPPING_value(mappings, i);
        struct rg_val pair = rg_object(heap, 2);
        rg_put_text(heap, pair, "IssuerDomainPolicy", oid_text(heap, m->issuerDomainPolicy));
        rg_put_text(heap, pair, "SubjectDomainPolicy", oid_text(heap, m->subjectDomainPolicy));
        maps = append(heap, maps, pair);
    }
    rg_put_text(heap, out, "PolicyIdentifiers", numbers);
    rg_put_text(heap, out, "Policies", texts);
    rg_put_text(heap, out, "PolicyMappings", maps);
    put_level(heap, out, "RequireExplicitPolicy",
              levels == NULL ? NULL : levels->requireExplicitPolicy);
    put_level(heap, out, "InhibitPolicyMapping",
              levels == NULL ? NULL : levels->inhibitPolicyMapping);
    put_level(heap, out, "InhibitAnyPolicy", any);
    CERTIFICATEPOLICIES_free(list);
    POLICY_CONSTRAINTS_free(levels);
    sk_POLICY_MAPPING_pop_free(mappings, POLICY_MAPPING_free);
    ASN1_INTEGER_free(any);
}

/* ---- signatures, times, numbers ---- */
/* x509.SignatureAlgorithm. Of RSA-PSS the hash stands in its parameters. */
static int64_t signature_algorithm(const X509_ALGOR *alg)
{
    static const int known[] = {0,
                                NID_md2WithRSAEncryption,
                                NID_md5WithRSAEncryption,
                                NID_sha1WithRSAEncryption,
                                NID_sha256WithRSAEncryption,
                                NID_sha384WithRSAEncryption,
                                NID_sha512WithRSAEncryption,
                                NID_dsaWithSHA1,
                                NID_dsa_with_SHA256,
                                NID_ecdsa_with_SHA1,
                                NID_ecdsa_with_SHA256,
                                NID_ecdsa_with_SHA384,
                                NID_ecdsa_with_SHA512,
                                0,
                                0,
                                0,
                                NID_ED25519};
    const ASN1_OBJECT *oid = NULL;
    const void *value = NULL;
    int type = 0;
    X509_ALGOR_get0(&oid, &type, &value, alg);
    int nid = OBJ_obj2nid(oid);
    for (size_t i = 1; i < MLN_COUNT(known); i++) {
        if (known[i] != 0 && known[i] == nid) {
            return (int64_t)i;
        }
    }
    if (nid != NID_rsassaPss || type != V_ASN1_SEQUENCE) {
        return 0;
    }
    RSA_PSS_PARAMS *pss = ASN1_TYPE_unpack_sequence(ASN1_ITEM_rptr(RSA_PSS_PARAMS), alg->parameter);
    int hash =
        pss == NULL || pss->hashAlgorithm == NULL ? 0 : OBJ_obj2nid(pss->hashAlgorithm->algorithm);
    RSA_PSS_PARAMS_free(pss);
    return hash == NID_sha256 ? 13 : hash == NID_sha384 ? 14 : hash == NID_sha512 ? 15 : 0;
}

static void put_signature(struct rg_heap *heap, struct rg_val out, const ASN1_BIT_STRING *sig,
                          const X509_ALGOR *alg)
{
    rg_put_text(heap, out, "Signature", rg_x509_base64(heap, asn1_bytes(sig)));
    rg_put_text(heap, out, "SignatureAlgorithm", rg_int(signature_algorithm(alg)));
}

static void put_key(struct rg_heap *heap, struct rg_val out, X509_PUBKEY *from)
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(from, &der);
    EVP_PKEY *key = X509_PUBKEY_get0(from);
    rg_put_text(heap, out, "RawSubjectPublicKeyInfo", encoded(heap, n, der));
    rg_put_text(heap, out, "PublicKeyAlgorithm", rg_int(rg_x509_key_algorithm(key)));
    rg_put_text(heap, out, "PublicKey", rg_x509_public_key(heap, key));
}

static struct rg_val time_value(struct rg_heap *heap, const ASN1_TIME *t)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        return rg_null();
    }
    return rg_text(heap,
                   rg_text_format(heap, "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900,
                                  tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec));
}

static void put_raw(struct rg_heap *heap, struct rg_val out, X509 *cert)
{
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    rg_put_text(heap, out, "RawTBSCertificate",
                n > 0 ? signed_part(heap, mln_bytes_at(der, (size_t)n)) : rg_null());
    rg_put_text(heap, out, "Raw", encoded(heap, n, der));
    rg_put_text(heap, out, "RawSubject", name_der(heap, X509_get_subject_name(cert)));
    rg_put_text(heap, out, "RawIssuer", name_der(heap, X509_get_issuer_name(cert)));
}

static struct rg_val serial(struct rg_heap *heap, const ASN1_INTEGER *n)
{
    MLN_AUTO(rg_x509_bn_drop) BIGNUM *bn = ASN1_INTEGER_to_BN(n, NULL);
    return rg_x509_bn(heap, bn);
}

struct rg_val rg_x509_cert(struct rg_heap *heap, X509 *cert)
{
    struct rg_val out = rg_object(heap, 56);
    const ASN1_BIT_STRING *sig = NULL;
    const X509_ALGOR *alg = NULL;
    GENERAL_NAMES *alt = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    struct names names = names_of(heap, alt);
    GENERAL_NAMES_free(alt);
    X509_get0_signature(&sig, &alg, cert);
    put_raw(heap, out, cert);
    put_signature(heap, out, sig, alg);
    put_key(heap, out, X509_get_X509_PUBKEY(cert));
    rg_put_text(heap, out, "Version", rg_int(X509_get_version(cert) + 1));
    rg_put_text(heap, out, "SerialNumber", serial(heap, X509_get0_serialNumber(cert)));
    rg_put_text(heap, out, "Issuer", name_value(heap, X509_get_issuer_name(cert)));
    rg_put_text(heap, out, "Subject", name_value(heap, X509_get_subject_name(cert)));
    rg_put_text(heap, out, "NotBefore", time_value(heap, X509_get0_notBefore(cert)));
    rg_put_text(heap, out, "NotAfter", time_value(heap, X509_get0_notAfter(cert)));
    rg_put_text(heap, out, "Extensions", extensions(heap, X509_get0_extensions(cert)));
    rg_put_text(heap, out, "ExtraExtensions", rg_null());
    rg_put_text(heap, out, "UnhandledCriticalExtensions",
                unhandled(heap, X509_get0_extensions(cert)));
    put_usage(heap, out, cert);
    put_basic(heap, out, cert);
    put_key_ids(heap, out, cert);
    put_access(heap, out, cert);
    put_names(heap, out, &names);
    put_constraints(heap, out, cert);
    put_policies(heap, out, cert);
    return out;
}

/* ---- requests ---- */
/*
 * Go reads an attribute as a set of lists of (type, value); only the extensions have that form, and of one that is
 * critical the "value" is that flag.
 */
static struct rg_val attributes(struct rg_heap *heap, const STACK_OF(X509_EXTENSION) * list,
                                bool any)
{
    struct rg_val pairs = rg_array(heap, 4), sets = rg_array(heap, 1), one = rg_object(heap, 2),
                  out = rg_array(heap, 1);
    static const int64_t type[] = {1, 2, 840, 113549, 1, 9, 14};
    struct rg_val oid = rg_array(heap, MLN_COUNT(type));
    if (!any) {
        return rg_null();
    }
    for (int i = 0; i < (list == NULL ? 0 : sk_X509_EXTENSION_num(list)); i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(list, i);
        struct rg_val pair = rg_object(heap, 2);
        rg_put_text(heap, pair, "Type", oid_numbers(heap, X509_EXTENSION_get_object(e)));
        rg_put_text(heap, pair, "Value",
                    X509_EXTENSION_get_critical(e) > 0
                        ? rg_bool(true)
                        : rg_x509_base64(heap, asn1_bytes(X509_EXTENSION_get_data(e))));
        rg_push(heap, pairs, pair);
    }
    for (size_t i = 0; i < MLN_COUNT(type); i++) {
        rg_push(heap, oid, rg_int(type[i]));
    }
    rg_push(heap, sets, pairs);
    rg_put_text(heap, one, "Type", oid);
    rg_put_text(heap, one, "Value", sets);
    rg_push(heap, out, one);
    return out;
}

struct rg_val rg_x509_request(struct rg_heap *heap, X509_REQ *req, struct mln_bytes der)
{
    struct rg_val out = rg_object(heap, 20);
    const ASN1_BIT_STRING *sig = NULL;
    const X509_ALGOR *alg = NULL;
    STACK_OF(X509_EXTENSION) *list = X509_REQ_get_extensions(req);
    GENERAL_NAMES *alt = X509V3_get_d2i(list, NID_subject_alt_name, NULL, NULL);
    struct names names = names_of(heap, alt);
    GENERAL_NAMES_free(alt);
    X509_REQ_get0_signature(req, &sig, &alg);
    rg_put_text(heap, out, "Raw", rg_x509_base64(heap, der));
    rg_put_text(heap, out, "RawTBSCertificateRequest", signed_part(heap, der));
    rg_put_text(heap, out, "RawSubject", name_der(heap, X509_REQ_get_subject_name(req)));
    put_signature(heap, out, sig, alg);
    put_key(heap, out, X509_REQ_get_X509_PUBKEY(req));
    rg_put_text(heap, out, "Version", rg_int(X509_REQ_get_version(req)));
    rg_put_text(heap, out, "Subject", name_value(heap, X509_REQ_get_subject_name(req)));
    rg_put_text(heap, out, "Attributes",
                attributes(heap, list, list != NULL && sk_X509_EXTENSION_num(list) > 0));
    rg_put_text(heap, out, "Extensions", extensions(heap, list));
    rg_put_text(heap, out, "ExtraExtensions", rg_null());
    put_names(heap, out, &names);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return out;
}
