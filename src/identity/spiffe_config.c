/* SPDX-License-Identifier: Apache-2.0 */
/* spiffe/config: the trust domain, lifetimes, kinds of keys, issuer. Row "config" has what was written; the rest are defaults. */
#include "identity/spiffe_priv.h"

#include "identity/identity_priv.h"

#define DEFAULT_X509_S (3600)
#define DEFAULT_JWT_S  (300)
#define DEFAULT_CA_S   (24 * 3600)
#define DEFAULT_HINT_S (300)
#define LEAF_MIN_S     (10) /* shorter ones are turned faster than once a few seconds */
#define CA_MIN_S       (60) /* rotation looks once a second and needs room for overlap */
#define TTL_MAX_S      (10LL * 365 * 86400)
#define CLAIMS_MAX     64u

/* ---- trust domain ---- */

struct mln_err sp_domain_settle(struct mln_request *rq, const char **ret)
{
    const struct mln_value *row = NULL,
                           *asked = mln_get(rq->services->setting(rq, "spiffe"), "trust_domain");
    struct mln_err err = sp_row_get(rq, "domain", MLN_BYTES_NONE, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION,
                        "no trust domain yet: start the server with --trust-domain NAME, or write "
                        "spiffe/config trust_domain=NAME");
    }
    MLN_TRY(err);
    struct mln_bytes td = mln_get_bytes(mln_get(row, "trust_domain"));
    if (mln_len(asked) > 0 && !mln_bytes_eq(mln_get_bytes(asked), td)) {
        return mln_fail(rq->cx, MLN_E_PRECONDITION,
                        "this server's identities are of trust domain \"%.*s\", which cannot be "
                        "changed to \"%.*s\"",
                        MLN_FMT(td), MLN_FMT(mln_get_bytes(asked)));
    }
    *ret = mln_text_dup(rq->cx, td);
    return mln_cx_err(rq->cx);
}

static struct mln_err record_domain(struct mln_request *rq, struct mln_bytes td)
{
    struct mln_value *row = mln_object(rq->cx);
    if (!mln_spiffe_domain_ok(td)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "a trust domain has 1 to %u of a-z, 0-9, dot, dash and underscore",
                        MLN_SPIFFE_DOMAIN_MAX);
    }
    mln_put_bytes(rq->cx, row, "trust_domain", td);
    mln_put_int(rq->cx, row, "created_ns", rq->now_ns);
    mln_put_bytes(rq->cx, rq->detail, "trust_domain", td);
    return sp_row_put(rq, "domain", MLN_BYTES_NONE, row);
}

struct mln_err sp_domain_begin(struct mln_request *rq, struct mln_bytes td)
{
    const struct mln_value *row = NULL;
    struct mln_err err = sp_row_get(rq, "domain", MLN_BYTES_NONE, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return td.len > 0 ? record_domain(rq, td) : MLN_OK;
    }
    MLN_TRY(err);
    struct mln_bytes now = mln_get_bytes(mln_get(row, "trust_domain"));
    return td.len == 0 || mln_bytes_eq(now, td)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_PRECONDITION,
                          "this server's identities are of trust domain \"%.*s\"; it was set once "
                          "and cannot be changed",
                          MLN_FMT(now));
}

/* ---- settings ---- */

static const struct key_name {
    const char *name;
    enum mln_key_kind kind;
    unsigned bits;
} key_names[] = {{"ec-p256", MLN_KEY_EC, 256},
                 {"ec-p384", MLN_KEY_EC, 384},
                 {"rsa-2048", MLN_KEY_RSA, 2048},
                 {"rsa-4096", MLN_KEY_RSA, 4096}};

static bool key_of(struct mln_bytes name, enum mln_key_kind *kind, unsigned *bits)
{
    for (size_t i = 0; i < MLN_COUNT(key_names); i++) {
        if (mln_bytes_is(name, key_names[i].name)) {
            *kind = key_names[i].kind;
            *bits = key_names[i].bits;
            return true;
        }
    }
    return false;
}

static const struct mln_value *either(const struct mln_value *row, const struct mln_value *setting,
                                      const char *name)
{
    const struct mln_value *v = mln_get(row, name);
    return v != NULL ? v : mln_get(setting, name);
}

struct mln_err sp_config_get(struct mln_request *rq, struct sp_config *ret)
{
    const struct mln_value *row = NULL, *setting = rq->services->setting(rq, "spiffe");
    struct mln_err err = sp_row_get(rq, "config", MLN_BYTES_NONE, &row);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    row = mln_failed(err) ? NULL : row;
    struct sp_config c = {
        .x509_ttl_s = mln_get_int(either(row, setting, "x509_svid_ttl"), DEFAULT_X509_S),
        .jwt_ttl_s = mln_get_int(either(row, setting, "jwt_svid_ttl"), DEFAULT_JWT_S),
        .ca_ttl_s = mln_get_int(either(row, setting, "ca_ttl"), DEFAULT_CA_S),
        .refresh_hint_s = mln_get_int(either(row, setting, "refresh_hint"), DEFAULT_HINT_S),
        .jwt_alg = MLN_JOSE_ES256,
        .bundles_for_all =
            mln_get_bool(either(row, setting, "allow_unauthenticated_verifiers"), false),
        .issuer = mln_get_text(rq->cx, either(row, setting, "jwt_issuer"), ""),
        .upstream = mln_get_text(rq->cx, either(row, setting, "upstream"), ""),
        .claims = either(row, setting, "foreign_claims"),
    };
    if (!key_of(mln_get_bytes(either(row, setting, "ca_key_type")), &c.ca_kind, &c.ca_bits)) {
        (void)key_of(MLN_BYTES("ec-p256"), &c.ca_kind, &c.ca_bits);
    }
    if (!key_of(mln_get_bytes(either(row, setting, "workload_key_type")), &c.key_kind,
                &c.key_bits)) {
        (void)key_of(MLN_BYTES("ec-p256"), &c.key_kind, &c.key_bits);
    }
    (void)mln_jose_alg_of(mln_get_bytes(either(row, setting, "jwt_alg")), &c.jwt_alg);
    *ret = c;
    return mln_cx_err(rq->cx);
}

static struct mln_err check_ttl(struct mln_request *rq, const char *name, int64_t min_s)
{
    const struct mln_value *v = mln_field_of(rq, name);
    int64_t s = mln_get_int(v, min_s);
    return s >= min_s && s <= TTL_MAX_S
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "%s is from %llds to 10 years", name,
                          (long long)min_s);
}

static struct mln_err check_key(struct mln_request *rq, const char *name)
{
    enum mln_key_kind kind;
    unsigned bits;
    const struct mln_value *v = mln_field_of(rq, name);
    return v == NULL || key_of(mln_get_bytes(v), &kind, &bits)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "%s is ec-p256, ec-p384, rsa-2048 or rsa-4096",
                          name);
}

static bool is_url(struct mln_bytes text)
{
    bool ok = (mln_bytes_starts(text, MLN_BYTES("https://")) ||
               mln_bytes_starts(text, MLN_BYTES("http://"))) &&
              text.len > 8 && text.len <= MLN_NAME_MAX_BYTES &&
              !mln_bytes_ends(text, MLN_BYTES("/"));
    for (size_t i = 0; ok && i < text.len; i++) {
        uint8_t c = text.ptr[i];
        ok = c > ' ' && c < 0x7f && c != '?' && c != '#' && c != '"' && c != '\\' && c != '@';
    }
    return ok;
}

static struct mln_err check(struct mln_request *rq)
{
    enum mln_jose_alg alg = MLN_JOSE_ES256;
    struct mln_bytes issuer = mln_get_bytes(mln_field_of(rq, "jwt_issuer")),
                     name = mln_get_bytes(mln_field_of(rq, "jwt_alg"));
    MLN_TRY(check_ttl(rq, "x509_svid_ttl", LEAF_MIN_S));
    MLN_TRY(check_ttl(rq, "jwt_svid_ttl", LEAF_MIN_S));
    MLN_TRY(check_ttl(rq, "ca_ttl", CA_MIN_S));
    MLN_TRY(check_ttl(rq, "refresh_hint", 1));
    MLN_TRY(check_key(rq, "ca_key_type"));
    MLN_TRY(check_key(rq, "workload_key_type"));
    if (name.len > 0 && (!mln_jose_alg_of(name, &alg) || alg == MLN_JOSE_EDDSA)) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            "jwt_alg is RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512");
    }
    if (issuer.len > 0 && !is_url(issuer)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "jwt_issuer is a URL without query and without a slash at its end: "
                        "https://oidc.example.org");
    }
    if (mln_len(mln_field_of(rq, "foreign_claims")) > CLAIMS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "foreign_claims has at most %u names", CLAIMS_MAX);
    }
    return MLN_OK;
}

static const char *const columns[] = {"x509_svid_ttl",
                                      "jwt_svid_ttl",
                                      "ca_ttl",
                                      "refresh_hint",
                                      "ca_key_type",
                                      "jwt_alg",
                                      "workload_key_type",
                                      "upstream",
                                      "jwt_issuer",
                                      "allow_unauthenticated_verifiers",
                                      "foreign_claims"};

/*
 * Another upstream signs at once: a mistake is told now and not at the next rotation, and everybody who asks for the bundle knows the new
 * root before it counts.
 */
static struct mln_err change_upstream(struct mln_request *rq, const struct mln_value *old,
                                      const struct mln_value *row)
{
    struct mln_value *made = NULL;
    const char *domain = NULL;
    struct mln_bytes before = mln_get_bytes(mln_get(old, "upstream")),
                     now = mln_get_bytes(mln_get(row, "upstream"));
    if (mln_bytes_eq(before, now)) {
        return MLN_OK;
    }
    if (now.len > 0 && !mln_bytes_ends(now, MLN_BYTES("/"))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "upstream is the path of a pki mount, with a slash at its end: pki/");
    }
    struct mln_err err = sp_domain_settle(rq, &domain);
    if (mln_is(err, MLN_E_PRECONDITION)) { /* no trust domain yet: the first authority is made with it */
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    err = sp_authority_replace(rq, SP_X509, &made);
    if (mln_is(err, MLN_E_REMOTE)) {
        const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
        return mln_refail(rq->cx, MLN_E_INVALID, "%s", why);
    }
    MLN_TRY(err);
    return sp_bundle_bump(rq);
}

static struct mln_err write_config(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL;
    struct mln_err err = sp_row_get(rq, "config", MLN_BYTES_NONE, &old);
    (void)re;
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(check(rq));
    MLN_TRY(sp_domain_begin(rq, mln_get_bytes(mln_field_of(rq, "trust_domain"))));
    struct mln_value *row = mln_failed(err) ? mln_object(rq->cx) : mln_value_dup(rq->cx, old);
    for (size_t i = 0; i < MLN_COUNT(columns); i++) {
        const struct mln_value *v = mln_field_of(rq, columns[i]);
        if (v != NULL) {
            mln_put(rq->cx, row, columns[i], v);
        }
    }
    MLN_TRY(sp_row_put(rq, "config", MLN_BYTES_NONE, row));
    MLN_TRY(change_upstream(rq, old, row));
    bool changed = false;
    struct mln_err none = sp_authorities_turn(rq, &changed);
    if (mln_failed(none) && !mln_is(none, MLN_E_PRECONDITION)) {
        return none;
    }
    mln_cx_clear(rq->cx);
    sp_after_keys(rq);
    return MLN_OK;
}

static const char *key_name(enum mln_key_kind kind, unsigned bits)
{
    for (size_t i = 0; i < MLN_COUNT(key_names); i++) {
        if (key_names[i].kind == kind && key_names[i].bits == bits) {
            return key_names[i].name;
        }
    }
    return "";
}

static struct mln_err read_config(struct mln_request *rq, struct mln_reply *re)
{
    struct sp_config c;
    const char *domain = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(sp_config_get(rq, &c));
    MLN_TRY(sp_domain_settle(rq, &domain));
    mln_put_text(rq->cx, data, "trust_domain", domain);
    mln_put_int(rq->cx, data, "x509_svid_ttl", c.x509_ttl_s);
    mln_put_int(rq->cx, data, "jwt_svid_ttl", c.jwt_ttl_s);
    mln_put_int(rq->cx, data, "ca_ttl", c.ca_ttl_s);
    mln_put_int(rq->cx, data, "refresh_hint", c.refresh_hint_s);
    mln_put_text(rq->cx, data, "ca_key_type", key_name(c.ca_kind, c.ca_bits));
    mln_put_text(rq->cx, data, "workload_key_type", key_name(c.key_kind, c.key_bits));
    mln_put_text(rq->cx, data, "jwt_alg", mln_jose_alg_name(c.jwt_alg));
    mln_put_text(rq->cx, data, "jwt_issuer", c.issuer);
    mln_put_text(rq->cx, data, "upstream", c.upstream);
    mln_put_bool(rq->cx, data, "allow_unauthenticated_verifiers", c.bundles_for_all);
    MLN_TRY(sp_upstream_show(rq, data));
    mln_put(rq->cx, data, "foreign_claims", c.claims != NULL ? c.claims : mln_array(rq->cx));
    re->data = data;
    return mln_cx_err(rq->cx);
}

static const struct mln_field config_fields[] = {
    {.name = "trust_domain",
     .type = MLN_FIELD_TEXT,
     .help = "The trust domain; set once, never changed."},
    {.name = "x509_svid_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of an X.509-SVID; an hour by default."},
    {.name = "jwt_svid_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of a JWT-SVID; five minutes by default."},
    {.name = "ca_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of an authority; a day by default. It is rotated in time."},
    {.name = "refresh_hint",
     .type = MLN_FIELD_DURATION,
     .help = "How often others should ask for the bundle; five minutes by default."},
    {.name = "ca_key_type",
     .type = MLN_FIELD_TEXT,
     .help = "ec-p256 (default), ec-p384, rsa-2048 or rsa-4096."},
    {.name = "workload_key_type",
     .type = MLN_FIELD_TEXT,
     .help = "Keys of X.509-SVIDs: ec-p256 (default), ec-p384 or rsa-2048."},
    {.name = "jwt_alg",
     .type = MLN_FIELD_TEXT,
     .help = "How JWT-SVIDs are signed: ES256 by default."},
    {.name = "jwt_issuer",
     .type = MLN_FIELD_TEXT,
     .help = "The \"iss\" of JWT-SVIDs: the address of the OIDC issuer."},
    {.name = "upstream",
     .type = MLN_FIELD_TEXT,
     .help = "A pki mount whose CA signs the authority, \"pki/\"; none: self-signed."},
    {.name = "allow_unauthenticated_verifiers",
     .type = MLN_FIELD_BOOL,
     .help = "Callers without an identity get our own bundle."},
    {.name = "foreign_claims",
     .type = MLN_FIELD_LIST,
     .help = "Claims of foreign JWT-SVIDs shown besides sub, aud and exp."},
    {0},
};

const struct mln_path sp_config_paths[] = {
    {.pattern = "config",
     .summary = "Trust domain, lifetimes and kinds of keys.",
     .fields = config_fields,
     .read = read_config,
     .write = write_config,
     .may_block = true,
     .controls = "IA-9,SC-12"},
    {0},
};
