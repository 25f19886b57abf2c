/* SPDX-License-Identifier: Apache-2.0 */
/* spiffe/exchange/issuers and rules: whose tokens are taken, and what they become. */
#include "identity/spiffe_exchange_priv.h"

#include "base/json.h"
#include "identity/identity_priv.h"
#include "policy/issuer.h"

#define NAME_BYTES  64u
#define LIST_MAX    64u
#define TEXT_BYTES  1024u
#define PEM_BYTES   (64u << 10)
#define TTL_MIN_S   10
#define TTL_MAX_S   86400 /* a day: whoever exchanges can come again */
#define DEFAULT_FOR "merlon"

static const char *text_of(struct mln_cx *cx, const struct mln_value *row, const char *name)
{
    return mln_get_text(cx, mln_get(row, name), "");
}

struct mln_err sx_rows(struct mln_request *rq, const char *folder, struct mln_value **ret)
{
    const struct mln_value *names = NULL;
    struct mln_value *rows = mln_array(rq->cx);
    MLN_TRY(sp_row_names(rq, folder, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *row = NULL;
        MLN_TRY(sp_row_get(rq, folder, mln_get_bytes(mln_item(names, i)), &row));
        mln_push(rq->cx, rows, row);
    }
    *ret = rows;
    return mln_cx_err(rq->cx);
}

const struct mln_value *sx_issuer_config(struct mln_cx *cx, const struct mln_value *row)
{
    struct mln_value *config = mln_object(cx);
    mln_put(cx, config, "jwt_validation_pubkeys", mln_get(row, "public_keys"));
    mln_put(cx, config, "jwt_supported_algs", mln_get(row, "algorithms"));
    mln_put(cx, config, "jwks_url", mln_get(row, "jwks_url"));
    mln_put(cx, config, "jwks_ca_pem", mln_get(row, "ca_pem"));
    mln_put(cx, config, "oidc_discovery_url", mln_get(row, "issuer"));
    mln_put(cx, config, "oidc_discovery_ca_pem", mln_get(row, "ca_pem"));
    return config;
}

struct mln_err sx_audiences_of(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *row = NULL;
    struct mln_value *usual = mln_array(rq->cx);
    struct mln_err err = sp_row_get(rq, SX_ISSUER, MLN_BYTES(SX_SPIFFE), &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        mln_push_text(rq->cx, usual, DEFAULT_FOR);
        *ret = usual;
        return mln_cx_err(rq->cx);
    }
    *ret = mln_get(row, "audiences");
    return err;
}

/* ---- checks ---- */

static struct mln_err name_of(struct mln_request *rq, struct mln_bytes *ret)
{
    *ret = mln_get_bytes(mln_field_of(rq, "name"));
    return id_is_id(*ret) && ret->len <= NAME_BYTES
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID,
                          "a name has 1 to %u letters, digits, dashes and underscores", NAME_BYTES);
}

static struct mln_err check_texts(struct mln_request *rq, const struct mln_value *list,
                                  const char *what, size_t least)
{
    bool ok = mln_len(list) >= least && mln_len(list) <= LIST_MAX;
    for (size_t i = 0; ok && i < mln_len(list); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(list, i));
        ok = mln_type_of(mln_item(list, i)) == MLN_STRING && one.len > 0 && one.len <= TEXT_BYTES;
    }
    return ok ? MLN_OK
              : mln_fail(rq->cx, MLN_E_INVALID,
                         "%s is a list of %zu to %u texts of at most %u bytes", what, least,
                         LIST_MAX, TEXT_BYTES);
}

static struct mln_err check_room(struct mln_request *rq, const char *folder, struct mln_bytes name,
                                 size_t max)
{
    const struct mln_value *names = NULL;
    MLN_TRY(sp_row_names(rq, folder, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        if (mln_bytes_eq(mln_get_bytes(mln_item(names, i)), name)) {
            return MLN_OK;
        }
    }
    return mln_len(names) < max
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_LIMIT, "there are %zu already, which is the limit", max);
}

/* What was written: only fields that were given. */
static struct mln_value *row_of(struct mln_request *rq, const struct mln_field *fields)
{
    struct mln_value *row = mln_object(rq->cx);
    for (const struct mln_field *f = fields; f->name != NULL; f++) {
        const struct mln_value *v = mln_field_of(rq, f->name);
        if (!mln_is_null(v)) {
            mln_put(rq->cx, row, f->name, v);
        }
    }
    return row;
}

/* ---- issuers ---- */

static const struct mln_field issuer_fields[] = {
    {.name = "name",
     .type = MLN_FIELD_TEXT,
     .help = "The issuer's name here; \"spiffe\": JWT-SVIDs of known trust domains."},
    {.name = "issuer",
     .type = MLN_FIELD_TEXT,
     .help = "What iss must be; without jwks_url and public_keys its keys are discovered there."},
    {.name = "jwks_url", .type = MLN_FIELD_TEXT, .help = "Where its keys are published."},
    {.name = "public_keys",
     .type = MLN_FIELD_LIST,
     .help = "Its public keys or certificates in PEM: nothing is asked outside."},
    {.name = "ca_pem",
     .type = MLN_FIELD_TEXT,
     .help = "Authorities for it, instead of the system's."},
    {.name = "algorithms",
     .type = MLN_FIELD_LIST,
     .help = "Algorithms that are taken; none named: all that the keys can."},
    {.name = "audiences",
     .type = MLN_FIELD_LIST,
     .help = "Whom its tokens must be for: one of these."},
    {.name = "single_use",
     .type = MLN_FIELD_BOOL,
     .help = "Each token (by its jti) is exchanged once only."},
    {0},
};

static bool is_https(const char *text)
{
    return mln_bytes_starts(mln_bytes_of(text), MLN_BYTES("https://"));
}

static struct mln_err check_keys(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_cx *cx = rq->cx;
    const struct mln_value *pems = mln_get(row, "public_keys"), *algs = mln_get(row, "algorithms");
    for (size_t i = 0; i < mln_len(pems); i++) {
        MLN_AUTO(mln_jose_public_drop) struct mln_jose_public *key = NULL;
        if (mln_len(pems) > LIST_MAX ||
            mln_failed(mln_jose_public_from_pem(cx, mln_get_bytes(mln_item(pems, i)), &key))) {
            return mln_refail(cx, MLN_E_INVALID,
                              "public_keys are at most %u public keys or certificates in PEM",
                              LIST_MAX);
        }
    }
    for (size_t i = 0; i < mln_len(algs); i++) {
        enum mln_jose_alg alg;
        if (!mln_jose_alg_of(mln_get_bytes(mln_item(algs, i)), &alg)) {
            return mln_fail(cx, MLN_E_INVALID,
                            "algorithms are RS256, PS256, ES256 and their siblings, or EdDSA");
        }
    }
    return MLN_OK;
}

static struct mln_err check_source(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_cx *cx = rq->cx;
    const char *issuer = text_of(cx, row, "issuer"), *url = text_of(cx, row, "jwks_url");
    size_t n_keys = mln_len(mln_get(row, "public_keys"));
    if (issuer[0] == 0 || mln_bytes_of(issuer).len > TEXT_BYTES) {
        return mln_fail(cx, MLN_E_INVALID,
                        "issuer must be given: what iss of its tokens is, 1 to %u bytes",
                        TEXT_BYTES);
    }
    if (url[0] != 0 && n_keys > 0) {
        return mln_fail(cx, MLN_E_INVALID, "either jwks_url or public_keys, not both");
    }
    if ((url[0] != 0 && !is_https(url)) || (url[0] == 0 && n_keys == 0 && !is_https(issuer))) {
        return mln_fail(cx, MLN_E_INVALID,
                        "keys are asked for by https:// only: give jwks_url, or public_keys");
    }
    if (mln_len(mln_get(row, "ca_pem")) > PEM_BYTES) {
        return mln_fail(cx, MLN_E_LIMIT, "ca_pem has at most %u bytes", PEM_BYTES);
    }
    return check_keys(rq, row);
}

/* Two with one iss could not be told apart. */
static struct mln_err check_alone(struct mln_request *rq, const struct mln_value *row)
{
    struct mln_value *rows = NULL;
    MLN_TRY(sx_rows(rq, SX_ISSUER, &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *other = mln_item(rows, i);
        if (mln_value_eq(mln_get(other, "issuer"), mln_get(row, "issuer")) &&
            !mln_value_eq(mln_get(other, "name"), mln_get(row, "name"))) {
            return mln_fail(rq->cx, MLN_E_EXISTS,
                            "another issuer of this iss is configured already");
        }
    }
    return MLN_OK;
}

/* A rule without its issuer would wait for whoever gets the name next, and one whose issuer became another takes strangers' tokens. */
static struct mln_err check_unused(struct mln_request *rq, struct mln_bytes name, const char *what)
{
    struct mln_value *rules = NULL;
    MLN_TRY(sx_rows(rq, SX_RULE, &rules));
    for (size_t i = 0; i < mln_len(rules); i++) {
        const struct mln_value *rule = mln_item(rules, i);
        if (mln_bytes_eq(mln_get_bytes(mln_get(rule, "issuer")), name)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "%s while the rule \"%s\" names it: delete its rules first", what,
                            text_of(rq->cx, rule, "name"));
        }
    }
    return MLN_OK;
}

static struct mln_err check_same(struct mln_request *rq, struct mln_bytes name,
                                 const struct mln_value *row)
{
    const struct mln_value *old = NULL;
    struct mln_err err = sp_row_get(rq, SX_ISSUER, name, &old);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    return mln_value_eq(mln_get(old, "issuer"), mln_get(row, "issuer"))
               ? MLN_OK
               : check_unused(rq, name, "an issuer does not become another one");
}

/* A mistake is told now, not to somebody's pipeline. */
static struct mln_err check_remote(struct mln_request *rq, const struct mln_value *row)
{
    const struct mln_value *config = sx_issuer_config(rq->cx, row), *answer = NULL;
    const char *url = text_of(rq->cx, row, "jwks_url");
    if (mln_len(mln_get(row, "public_keys")) > 0) {
        return MLN_OK;
    }
    struct mln_err err =
        rq->services->reach == NULL
            ? mln_fail(rq->cx, MLN_E_UNSUPPORTED, "this server reaches nothing outside")
        : url[0] != 0
            ? mln_issuer_fetch(rq, url, text_of(rq->cx, row, "ca_pem"), 1000, "JWKS", &answer)
            : mln_issuer_discover(rq, config, &answer);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text));
        return mln_refail(rq->cx, MLN_E_INVALID, "the issuer's keys cannot be had: %s", why);
    }
    return MLN_OK;
}

static struct mln_err write_issuer(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    (void)re;
    MLN_TRY(name_of(rq, &name));
    struct mln_value *row = row_of(rq, issuer_fields);
    MLN_TRY(check_texts(rq, mln_get(row, "audiences"), "audiences", 1));
    MLN_TRY(check_room(rq, SX_ISSUER, name, SX_ISSUERS_MAX));
    if (mln_bytes_is(name, SX_SPIFFE)) {
        bool has_other = mln_get(row, "issuer") != NULL || mln_get(row, "jwks_url") != NULL ||
                         mln_get(row, "public_keys") != NULL ||
                         mln_get(row, "single_use") != NULL || mln_get(row, "algorithms") != NULL;
        if (has_other) {
            return mln_fail(
                rq->cx, MLN_E_INVALID,
                "of \"spiffe\" only audiences can be set: its keys are those of bundles");
        }
        return sp_row_put(rq, SX_ISSUER, name, row);
    }
    MLN_TRY(check_source(rq, row));
    MLN_TRY(check_alone(rq, row));
    MLN_TRY(check_same(rq, name, row));
    MLN_TRY(check_remote(rq, row));
    return sp_row_put(rq, SX_ISSUER, name, row);
}

/* ---- rules ---- */

static const struct mln_field rule_fields[] = {
    {.name = "name",
     .type = MLN_FIELD_TEXT,
     .help = "The rule's name; rules are looked at in the order of their names."},
    {.name = "issuer",
     .type = MLN_FIELD_TEXT,
     .help = "Whose tokens: the name of an issuer, or spiffe."},
    {.name = "bound_ids", .type = MLN_FIELD_LIST, .help = "spiffe: patterns of ids; one must fit."},
    {.name = "bound_subject", .type = MLN_FIELD_TEXT, .help = "What sub must be."},
    {.name = "bound_claims",
     .type = MLN_FIELD_ANY,
     .help = "Claims (names or JSON pointers) and the values they may have."},
    {.name = "bound_claims_type",
     .type = MLN_FIELD_TEXT,
     .help = "string (default), or glob: * in values and in bound_subject stands for anything."},
    {.name = "id_template",
     .type = MLN_FIELD_TEXT,
     .help = "The id that is given: spiffe://td/ci/{{repository:2}}/{{ref...}}."},
    {.name = "audiences",
     .type = MLN_FIELD_LIST,
     .help = "Whom JWT-SVIDs may be asked for; * stands for anything. None: no JWT-SVIDs."},
    {.name = "ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of a JWT-SVID; that of spiffe/config by default."},
    {.name = "x509",
     .type = MLN_FIELD_BOOL,
     .help = "X.509-SVIDs are given too, for a certificate request."},
    {.name = "x509_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "Life of an X.509-SVID; that of spiffe/config by default."},
    {.name = "actors",
     .type = MLN_FIELD_LIST,
     .help = "Patterns of ids: one of these must act for the subject and show its own JWT-SVID."},
    {0},
};

static struct mln_err check_patterns(struct mln_request *rq, const struct mln_value *list)
{
    for (size_t i = 0; i < mln_len(list); i++) {
        MLN_TRY(mln_spiffe_pattern_check(rq->cx, mln_get_bytes(mln_item(list, i))));
    }
    return mln_len(list) <= LIST_MAX
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_LIMIT, "at most %u patterns", LIST_MAX);
}

static bool is_plain(const struct mln_value *v)
{
    enum mln_type type = mln_type_of(v);
    return type == MLN_STRING || type == MLN_INT || type == MLN_BOOL;
}

/* On a command line it is JSON in a text. */
static struct mln_err read_claims(struct mln_request *rq, struct mln_value *row)
{
    const struct mln_value *bound = mln_get(row, "bound_claims");
    if (mln_type_of(bound) == MLN_STRING) {
        if (mln_failed(mln_json_parse(rq->cx, mln_get_bytes(bound), &bound))) {
            return mln_refail(rq->cx, MLN_E_INVALID, "bound_claims is no JSON object");
        }
        mln_put(rq->cx, row, "bound_claims", bound);
    }
    return bound == NULL || mln_type_of(bound) == MLN_OBJECT
               ? mln_cx_err(rq->cx)
               : mln_fail(rq->cx, MLN_E_INVALID, "bound_claims is no JSON object");
}

static struct mln_err check_claims(struct mln_request *rq, const struct mln_value *bound)
{
    bool ok = mln_len(bound) <= LIST_MAX;
    for (size_t i = 0; ok && i < mln_len(bound); i++) {
        const struct mln_value *v = &mln_member_at(bound, i)->value;
        bool is_list = mln_type_of(v) == MLN_ARRAY;
        ok = is_list ? mln_len(v) > 0 && mln_len(v) <= LIST_MAX : is_plain(v);
        for (size_t k = 0; ok && is_list && k < mln_len(v); k++) {
            ok = is_plain(mln_item(v, k));
        }
    }
    return ok ? MLN_OK
              : mln_fail(rq->cx, MLN_E_INVALID,
                         "bound_claims has at most %u claims, each with a text, number or boolean, "
                         "or a list of them",
                         LIST_MAX);
}

/* A rule without bounds would take everybody who has a token of that issuer. */
static struct mln_err check_bounds(struct mln_request *rq, const struct mln_value *row,
                                   bool is_spiffe)
{
    struct mln_bytes type = mln_get_bytes(mln_get(row, "bound_claims_type"));
    bool has_ids = mln_len(mln_get(row, "bound_ids")) > 0,
         has_others = mln_len(mln_get(row, "bound_subject")) > 0 ||
                      mln_len(mln_get(row, "bound_claims")) > 0;
    if (type.len > 0 && !mln_bytes_is(type, "string") && !mln_bytes_is(type, "glob")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "bound_claims_type is string or glob");
    }
    if (is_spiffe ? !has_ids : has_ids || !has_others) {
        return mln_fail(
            rq->cx, MLN_E_INVALID,
            is_spiffe
                ? "bound_ids must say which ids the rule is for"
                : "bound_subject or bound_claims must say whom the rule is for; bound_ids are for "
                  "the issuer \"spiffe\"");
    }
    MLN_TRY(check_patterns(rq, mln_get(row, "bound_ids")));
    return check_claims(rq, mln_get(row, "bound_claims"));
}

static struct mln_err check_ttl(struct mln_request *rq, const struct mln_value *row,
                                const char *name)
{
    int64_t s = mln_get_int(mln_get(row, name), TTL_MIN_S);
    return s >= TTL_MIN_S && s <= TTL_MAX_S
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "%s is from %ds to %dh", name, TTL_MIN_S,
                          TTL_MAX_S / 3600);
}

static struct mln_err check_gift(struct mln_request *rq, const struct mln_value *row,
                                 bool is_spiffe)
{
    struct mln_bytes template = mln_get_bytes(mln_get(row, "id_template"));
    const char *domain = NULL;
    MLN_TRY(sp_domain_settle(rq, &domain));
    if (template.len == 0 && !is_spiffe) {
        return mln_fail(rq->cx, MLN_E_INVALID, "id_template must say which id is given");
    }
    if (template.len > 0) {
        MLN_TRY(sp_claims_id_check(rq->cx, template, mln_bytes_of(domain)));
    }
    if (mln_len(mln_get(row, "audiences")) == 0 && !mln_get_bool(mln_get(row, "x509"), false)) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "nothing is given: name audiences for JWT-SVIDs, or say x509=true");
    }
    MLN_TRY(check_texts(rq, mln_get(row, "audiences"), "audiences", 0));
    MLN_TRY(check_ttl(rq, row, "ttl"));
    MLN_TRY(check_ttl(rq, row, "x509_ttl"));
    return check_patterns(rq, mln_get(row, "actors"));
}

static struct mln_err write_rule(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    const struct mln_value *issuer = NULL;
    (void)re;
    MLN_TRY(name_of(rq, &name));
    struct mln_value *row = row_of(rq, rule_fields);
    struct mln_bytes of = mln_get_bytes(mln_get(row, "issuer"));
    bool is_spiffe = mln_bytes_is(of, SX_SPIFFE);
    struct mln_err err =
        is_spiffe || !id_is_id(of) ? MLN_OK : sp_row_get(rq, SX_ISSUER, of, &issuer);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!is_spiffe && !id_is_id(of))) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "issuer must be the name of one in spiffe/exchange/issuers, or spiffe");
    }
    MLN_TRY(err);
    MLN_TRY(check_room(rq, SX_RULE, name, SX_RULES_MAX));
    MLN_TRY(read_claims(rq, row));
    MLN_TRY(check_bounds(rq, row, is_spiffe));
    MLN_TRY(check_gift(rq, row, is_spiffe));
    return sp_row_put(rq, SX_RULE, name, row);
}

/* ---- the rest of both ---- */

static const char *folder_of(const struct mln_request *rq)
{
    return mln_bytes_starts(rq->rest, MLN_BYTES("exchange/issuers")) ? SX_ISSUER : SX_RULE;
}

static struct mln_err row_named(struct mln_request *rq, struct mln_bytes *ret_name,
                                const struct mln_value **ret)
{
    MLN_TRY(name_of(rq, ret_name));
    struct mln_err err = sp_row_get(rq, folder_of(rq), *ret_name, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "there is none of that name")
               : err;
}

static struct mln_err read_row(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    return row_named(rq, &name, &re->data);
}

static struct mln_err delete_row(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name;
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(row_named(rq, &name, &row));
    if (mln_bytes_is(mln_bytes_of(folder_of(rq)), SX_ISSUER) && !mln_bytes_is(name, SX_SPIFFE)) {
        MLN_TRY(check_unused(rq, name, "an issuer is not deleted"));
    }
    return sp_row_delete(rq, folder_of(rq), name);
}

static struct mln_err list_rows(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *rows = NULL, *keys = mln_array(rq->cx), *info = mln_object(rq->cx);
    MLN_TRY(sx_rows(rq, folder_of(rq), &rows));
    for (size_t i = 0; i < mln_len(rows); i++) {
        const struct mln_value *row = mln_item(rows, i);
        mln_push(rq->cx, keys, mln_get(row, "name"));
        mln_put_key(rq->cx, info, mln_get_bytes(mln_get(row, "name")), row);
    }
    return id_answer_list(rq, re, keys, info);
}

const struct mln_path sp_exchange_rule_paths[] = {
    {.pattern = "exchange/issuers",
     .summary = "List issuers whose tokens may be exchanged.",
     .fields = issuer_fields,
     .list = list_rows},
    {.pattern = "exchange/issuers/{name}",
     .summary = "An issuer whose tokens may be exchanged.",
     .fields = issuer_fields,
     .read = read_row,
     .write = write_issuer,
     .remove = delete_row,
     .may_block = true,
     .controls = "IA-8,SC-12"},
    {.pattern = "exchange/rules",
     .summary = "List what tokens become.",
     .fields = rule_fields,
     .list = list_rows},
    {.pattern = "exchange/rules/{name}",
     .summary = "What tokens of an issuer become.",
     .fields = rule_fields,
     .read = read_row,
     .write = write_rule,
     .remove = delete_row,
     .controls = "IA-8,AC-3"},
    {0},
};
