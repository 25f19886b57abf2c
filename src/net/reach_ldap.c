/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LDAP by OpenLDAP's library, loaded when reach starts: bind, or bind and search, on a connection of its own. Referrals are not
 * followed: a server must not send a password elsewhere.
 */
#include <dlfcn.h>
#include <ldap.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/select.h>

#include "base/text.h"
#include "net/reach_priv.h"

#define ENTRIES_MAX 5000 /* of one search: groups of a person are some dozens */
#define SYSTEM_CAS  "/etc/ssl/certs/ca-certificates.crt"
#define CA_MAX_BYTES    (256u << 10)
#define AUTHORITIES_MAX 8u /* of one ask: each costs a connection until one fits */

#define LDAP_FUNCTION(name) __typeof__(&ldap_##name) name
static struct {
    LDAP_FUNCTION(initialize);
    LDAP_FUNCTION(set_option);
    LDAP_FUNCTION(get_option);
    LDAP_FUNCTION(start_tls_s);
    LDAP_FUNCTION(sasl_bind_s);
    LDAP_FUNCTION(search_ext_s);
    LDAP_FUNCTION(first_entry);
    LDAP_FUNCTION(next_entry);
    LDAP_FUNCTION(get_dn);
    LDAP_FUNCTION(first_attribute);
    LDAP_FUNCTION(next_attribute);
    LDAP_FUNCTION(get_values_len);
    LDAP_FUNCTION(value_free_len);
    LDAP_FUNCTION(memfree);
    LDAP_FUNCTION(msgfree);
    LDAP_FUNCTION(unbind_ext_s);
    LDAP_FUNCTION(err2string);
    __typeof__(&ber_free) free_ber;
    bool is_there;
} ldap;

struct link {
    LDAP *ld;
    struct ldap_conncb callback;
    const struct mln_value *allow;
    bool was_denied;
    unsigned turn; /* which of the given authorities is tried: the library takes one, as DER */
};

static void *open_library(void)
{
    static const char *const names[] = {"libldap-2.5.so.0", "libldap.so.2"};
    void *library = NULL;
    for (size_t i = 0; i < MLN_COUNT(names) && library == NULL; i++) {
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

bool reach_ldap_load(void)
{
    void *library = open_library();
    if (library == NULL) {
        return false;
    }
    bool ok = true;
#define LOAD(name) ok = reach_symbol(library, "ldap_" #name, &ldap.name, sizeof(ldap.name)) && ok
    LOAD(initialize);
    LOAD(set_option);
    LOAD(get_option);
    LOAD(start_tls_s);
    LOAD(sasl_bind_s);
    LOAD(search_ext_s);
    LOAD(first_entry);
    LOAD(next_entry);
    LOAD(get_dn);
    LOAD(first_attribute);
    LOAD(next_attribute);
    LOAD(get_values_len);
    LOAD(value_free_len);
    LOAD(memfree);
    LOAD(msgfree);
    LOAD(unbind_ext_s);
    LOAD(err2string);
#undef LOAD
    ok = reach_symbol(library, "ber_free", &ldap.free_ber, sizeof(ldap.free_ber)) && ok;
    LDAP *warm = NULL; /* the library reads its own files once: now, while it can */
    ldap.is_there = ok && ldap.initialize(&warm, "ldap://localhost") == LDAP_SUCCESS;
    if (warm != NULL) {
        (void)ldap.unbind_ext_s(warm, NULL, NULL);
    }
    return ldap.is_there;
}

/* ---- the connection ---- */

/* Called when a socket is connected, before anything is sent on it. */
static int on_connect(LDAP *ld, Sockbuf *sb, LDAPURLDesc *server, struct sockaddr *address,
                      struct ldap_conncb *callback)
{
    struct link *link = callback->lc_arg;
    (void)ld;
    (void)sb;
    (void)server;
    if (!mln_reach_address_allowed(link->allow, address)) {
        link->was_denied = true;
        return -1;
    }
    return 0;
}

static void on_close(LDAP *ld, Sockbuf *sb, struct ldap_conncb *callback)
{
    (void)ld;
    (void)sb;
    (void)callback;
}

static void link_drop(struct link *link)
{
    if (link->ld != NULL) {
        (void)ldap.unbind_ext_s(link->ld, NULL, NULL);
    }
}

/* The library's own words, which for TLS say more than the code. */
static const char *words_of(struct mln_cx *cx, const struct link *link, int rc)
{
    char *more = NULL;
    (void)ldap.get_option(link->ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
    const char *text = more != NULL ? mln_text_format(cx, "%s (%s)", ldap.err2string(rc), more) : ldap.err2string(rc);
    if (more != NULL) {
        ldap.memfree(more);
    }
    return text;
}

/* The n-th certificate of a PEM text as DER; 0 bytes: there are not so many. */
static int certificate_der(struct mln_bytes pem, unsigned n, unsigned char **ret)
{
    BIO *bio = pem.len <= CA_MAX_BYTES ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    X509 *x = NULL;
    for (unsigned i = 0; bio != NULL && i <= n; i++) {
        X509_free(x);
        x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (x == NULL) {
            break;
        }
    }
    int size = x != NULL ? i2d_X509(x, ret) : 0;
    X509_free(x);
    BIO_free(bio);
    ERR_clear_error();
    return size > 0 ? size : 0;
}

static bool set_authority(const struct link *link, struct mln_bytes pem)
{
    unsigned char *der = NULL;
    if (pem.len == 0) {
        return ldap.set_option(link->ld, LDAP_OPT_X_TLS_CACERTFILE, SYSTEM_CAS) == LDAP_OPT_SUCCESS;
    }
    int n = certificate_der(pem, link->turn, &der);
    struct berval value = {.bv_len = (ber_len_t)n, .bv_val = (char *)der};
    bool ok = n > 0 && ldap.set_option(link->ld, LDAP_OPT_X_TLS_CACERT, &value) == LDAP_OPT_SUCCESS;
    OPENSSL_free(der);
    return ok;
}

static bool set_der(const struct link *link, int option, struct mln_bytes der)
{
    struct berval value = {.bv_len = der.len, .bv_val = (char *)(uintptr_t)der.ptr};
    return der.len > 0 && ldap.set_option(link->ld, option, &value) == LDAP_OPT_SUCCESS;
}

/* The library shows the certificate when it has both. */
static bool set_client(const struct link *link, const struct mln_value *ask)
{
    struct mln_bytes cert = mln_get_bytes(mln_get(ask, "cert_der")), key = mln_get_bytes(mln_get(ask, "key_der"));
    return (cert.len == 0 && key.len == 0) ||
           (set_der(link, LDAP_OPT_X_TLS_CERT, cert) && set_der(link, LDAP_OPT_X_TLS_KEY, key));
}

static struct mln_err set_tls(struct mln_cx *cx, struct link *link, const struct mln_value *ask)
{
    bool is_13 = mln_is_text(mln_get(ask, "tls_min_version"), "tls13");
    int fresh = 0, least = is_13 ? LDAP_OPT_X_TLS_PROTOCOL_TLS1_3 : LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;
    int require = mln_get_bool(mln_get(ask, "insecure_tls"), false) ? LDAP_OPT_X_TLS_NEVER : LDAP_OPT_X_TLS_DEMAND;
    bool ok = ldap.set_option(link->ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &require) == LDAP_OPT_SUCCESS;
    ok = ok && set_authority(link, mln_get_bytes(mln_get(ask, "ca_pem")));
    ok = ok && set_client(link, ask);
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &least) == LDAP_OPT_SUCCESS;
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_X_TLS_NEWCTX, &fresh) == LDAP_OPT_SUCCESS;
    return ok ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "reach: TLS to the directory cannot be set up (is ca_pem a certificate?)");
}

static int deref_of(const struct mln_value *ask)
{
    const struct mln_value *when = mln_get(ask, "dereference");
    return mln_is_text(when, "finding")     ? LDAP_DEREF_FINDING
           : mln_is_text(when, "searching") ? LDAP_DEREF_SEARCHING
           : mln_is_text(when, "always")    ? LDAP_DEREF_ALWAYS
                                            : LDAP_DEREF_NEVER;
}

static struct mln_err set_options(struct mln_cx *cx, struct link *link, const struct mln_value *ask)
{
    int64_t ms = reach_timeout_ms(ask);
    struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    int version = LDAP_VERSION3, deref = deref_of(ask);
    link->callback = (struct ldap_conncb){.lc_add = on_connect, .lc_del = on_close, .lc_arg = link};
    bool ok = ldap.set_option(link->ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS;
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_DEREF, &deref) == LDAP_OPT_SUCCESS;
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS;
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_NETWORK_TIMEOUT, &patience) == LDAP_OPT_SUCCESS;
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_TIMEOUT, &patience) == LDAP_OPT_SUCCESS;
    ok = ok && ldap.set_option(link->ld, LDAP_OPT_CONNECT_CB, &link->callback) == LDAP_OPT_SUCCESS;
    return ok ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "reach: the directory's connection cannot be set up");
}

static struct mln_err open_link(struct mln_cx *cx, const struct mln_value *ask, const char **ret_target,
                                struct link *link)
{
    struct reach_url url;
    MLN_TRY(reach_url_parse(cx, mln_get_bytes(mln_get(ask, "url")), &url));
    bool is_tls = mln_bytes_is_nocase(url.scheme, "ldaps");
    if (!is_tls && !mln_bytes_is_nocase(url.scheme, "ldap")) {
        return mln_fail(cx, MLN_E_INVALID, "reach: the URL is not one of LDAP");
    }
    *ret_target = reach_url_target(cx, &url);
    if (!mln_reach_allows(link->allow, mln_bytes_of(*ret_target))) {
        return mln_fail(cx, MLN_E_DENIED, "reach: %s is not in the configured list", *ret_target);
    }
    const char *text = mln_text_format(cx, "%s://%s", is_tls ? "ldaps" : "ldap", *ret_target);
    if (ldap.initialize(&link->ld, text) != LDAP_SUCCESS) {
        return mln_fail(cx, MLN_E_INVALID, "reach: the URL is not one of LDAP");
    }
    MLN_TRY(set_options(cx, link, ask));
    bool starts = !is_tls && mln_get_bool(mln_get(ask, "starttls"), false);
    if (is_tls || starts) {
        MLN_TRY(set_tls(cx, link, ask));
    }
    int rc = starts ? ldap.start_tls_s(link->ld, NULL, NULL) : LDAP_SUCCESS;
    return rc == LDAP_SUCCESS ? mln_cx_err(cx)
                              : mln_fail(cx, link->was_denied ? MLN_E_DENIED : MLN_E_UNREACHABLE,
                                         "reach: %s: %s", *ret_target, words_of(cx, link, rc));
}

/* Results of the connection, not of the directory, have negative numbers. */
static struct mln_err check(struct mln_cx *cx, const struct link *link, const char *target, int rc)
{
    if (link->was_denied) {
        return mln_fail(cx, MLN_E_DENIED, "reach: the address of %s is not one to connect to", target);
    }
    if (rc >= 0) {
        return MLN_OK;
    }
    enum mln_code code = rc == LDAP_TIMEOUT ? MLN_E_TIMEOUT : rc == LDAP_NO_MEMORY ? MLN_E_MEMORY
                         : rc == LDAP_FILTER_ERROR || rc == LDAP_PARAM_ERROR       ? MLN_E_INVALID
                                                                                   : MLN_E_UNREACHABLE;
    return mln_fail(cx, code, "reach: %s: %s", target, words_of(cx, link, rc));
}

static int bind_as(struct mln_cx *cx, const struct link *link, const struct mln_value *ask)
{
    const char *dn = mln_get_text(cx, mln_get(ask, "bind_dn"), "");
    struct mln_bytes password = mln_get_bytes(mln_get(ask, "password"));
    struct berval credential = {.bv_len = password.len, .bv_val = (char *)(uintptr_t)password.ptr};
    return ldap.sasl_bind_s(link->ld, dn, LDAP_SASL_SIMPLE, &credential, NULL, NULL, NULL);
}

/* ---- search ---- */

static void put_values(struct mln_cx *cx, const struct link *link, LDAPMessage *entry, const char *name,
                       struct mln_value *attributes)
{
    struct mln_value *list = mln_array(cx);
    struct berval **values = ldap.get_values_len(link->ld, entry, name);
    for (size_t i = 0; values != NULL && values[i] != NULL; i++) {
        mln_push(cx, list, mln_blob(cx, mln_bytes_dup(cx, mln_bytes_at(values[i]->bv_val, values[i]->bv_len))));
    }
    ldap.value_free_len(values);
    mln_put(cx, attributes, mln_text_dup(cx, mln_bytes_of(name)), list);
}

static void put_entry(struct mln_cx *cx, const struct link *link, LDAPMessage *entry, struct mln_value *entries)
{
    struct mln_value *one = mln_object(cx), *attributes = mln_object(cx);
    BerElement *ber = NULL;
    char *dn = ldap.get_dn(link->ld, entry);
    if (dn != NULL && mln_utf8_valid(mln_bytes_of(dn))) {
        mln_put(cx, one, "dn", mln_string_dup(cx, mln_bytes_of(dn)));
        for (char *name = ldap.first_attribute(link->ld, entry, &ber); name != NULL;
             name = ldap.next_attribute(link->ld, entry, ber)) {
            if (mln_utf8_valid(mln_bytes_of(name))) {
                put_values(cx, link, entry, name, attributes);
            }
            ldap.memfree(name);
        }
        mln_put(cx, one, "attributes", attributes);
        mln_push(cx, entries, one);
    }
    if (ber != NULL) {
        ldap.free_ber(ber, 0);
    }
    if (dn != NULL) {
        ldap.memfree(dn);
    }
}

static char **attribute_names(struct mln_cx *cx, const struct mln_value *list)
{
    char **names = mln_new_array(cx, mln_len(list) + 1, sizeof(*names));
    for (size_t i = 0; names != NULL && i < mln_len(list); i++) {
        names[i] = (char *)(uintptr_t)mln_get_text(cx, mln_item(list, i), "1.1");
    }
    return mln_len(list) > 0 ? names : NULL;
}

static int scope_of(const struct mln_value *ask)
{
    const struct mln_value *scope = mln_get(ask, "scope");
    return mln_is_text(scope, "base") ? LDAP_SCOPE_BASE : mln_is_text(scope, "one") ? LDAP_SCOPE_ONELEVEL : LDAP_SCOPE_SUBTREE;
}

static int search(struct mln_cx *cx, const struct link *link, const struct mln_value *ask, struct mln_value *entries)
{
    int64_t ms = reach_timeout_ms(ask), most = mln_get_int(mln_get(ask, "size_limit"), ENTRIES_MAX);
    struct timeval patience = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    LDAPMessage *found = NULL;
    int limit = most < 1 || most > ENTRIES_MAX ? ENTRIES_MAX : (int)most;
    const char *base = mln_get_text(cx, mln_get(ask, "base"), "");
    const char *filter = mln_get_text(cx, mln_get(ask, "filter"), "(objectClass=*)");
    int rc = ldap.search_ext_s(link->ld, base, scope_of(ask), filter, attribute_names(cx, mln_get(ask, "attributes")), 0,
                               NULL, NULL, &patience, limit, &found);
    for (LDAPMessage *entry = ldap.first_entry(link->ld, found); entry != NULL && mln_len(entries) < (size_t)limit;
         entry = ldap.next_entry(link->ld, entry)) {
        put_entry(cx, link, entry, entries);
    }
    if (found != NULL) {
        (void)ldap.msgfree(found);
    }
    return rc;
}

/* ---- the whole ---- */

static struct mln_err check_ask(struct mln_cx *cx, const struct mln_value *ask)
{
    bool has_dn = mln_get_bytes(mln_get(ask, "bind_dn")).len > 0;
    if (!ldap.is_there) {
        return mln_fail(cx, MLN_E_UNSUPPORTED, "reach: libldap is not installed");
    }
    if (has_dn && mln_get_bytes(mln_get(ask, "password")).len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "reach: a bind without password would be an anonymous one");
    }
    if (!mln_is_text(mln_get(ask, "op"), "bind") && !mln_is_text(mln_get(ask, "op"), "search")) {
        return mln_fail(cx, MLN_E_INVALID, "reach: an LDAP call is a bind or a search");
    }
    return MLN_OK;
}

static struct mln_err call(struct mln_cx *cx, const struct mln_value *allow, const struct mln_value *ask, unsigned turn,
                           const struct mln_value **ret)
{
    MLN_AUTO(link_drop) struct link link = {.allow = allow, .turn = turn};
    struct mln_value *answer = mln_object(cx), *entries = mln_array(cx);
    const char *target = "";
    MLN_TRY(open_link(cx, ask, &target, &link));
    int rc = bind_as(cx, &link, ask);
    MLN_TRY(check(cx, &link, target, rc));
    if (rc == LDAP_SUCCESS && mln_is_text(mln_get(ask, "op"), "search")) {
        rc = search(cx, &link, ask, entries);
        MLN_TRY(check(cx, &link, target, rc));
        mln_put(cx, answer, "entries", entries);
    }
    mln_put_int(cx, answer, "code", rc);
    mln_put_text(cx, answer, "text", mln_text_dup(cx, mln_bytes_of(ldap.err2string(rc))));
    *ret = answer;
    return mln_cx_err(cx);
}

static unsigned count_certificates(struct mln_bytes pem)
{
    static const struct mln_bytes begin = {(const uint8_t *)"-----BEGIN CERTIFICATE-----", 27};
    unsigned n = 0;
    for (size_t at = mln_bytes_find_bytes(pem, begin); at < pem.len; at = mln_bytes_find_bytes(pem, begin)) {
        pem = mln_bytes_from(pem, at + begin.len);
        n++;
    }
    return n > AUTHORITIES_MAX ? AUTHORITIES_MAX : n;
}

struct mln_err reach_ldap(struct mln_cx *cx, const struct mln_value *allow,
                          const struct mln_value *ask, const struct mln_value **ret)
{
    MLN_TRY(check_ask(cx, ask));
    unsigned n = count_certificates(mln_get_bytes(mln_get(ask, "ca_pem")));
    struct mln_err err = call(cx, allow, ask, 0, ret);
    for (unsigned turn = 1; turn < n && mln_is(err, MLN_E_UNREACHABLE); turn++) {
        mln_cx_clear(cx);
        err = call(cx, allow, ask, turn, ret);
    }
    return err;
}
