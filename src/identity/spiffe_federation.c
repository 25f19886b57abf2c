/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relationships with other trust domains: where their bundle is published, what of theirs counts here, and asking for it again in
 * time. Rows "relationship/<trust domain>": {"trust_domain","url","profile","endpoint_spiffe_id","ca_pem","allowed_ids":[patterns],
 * "next_ns","failures","error","refreshed_ns","created_ns"}. What is held stays when it cannot be fetched.
 * Source: SPIFFE_Federation.md of spiffe.io, sec. 5 (profiles https_web and https_spiffe).
 */
#include "identity/spiffe_bundle.h"
#include "identity/spiffe_priv.h"

#define URL_MAX      2048u
#define PEM_MAX      (64u << 10)
#define PATTERNS_MAX 64u
#define HINT_USUAL_S 300
#define HINT_MIN_S   10 /* whatever a publisher wishes */
#define RETRY_MIN_S  5  /* after a failure, doubled with each */
#define RETRY_MAX_S  300
#define TIMEOUT_MS   5000
#define POLL_MAX_S   60 /* an answer that has not come by then comes no more */

bool sp_patterns_take(const struct mln_value *patterns, struct mln_bytes id)
{
    for (size_t i = 0; i < mln_len(patterns); i++) {
        if (mln_spiffe_pattern_fits(mln_get_bytes(mln_item(patterns, i)), id)) {
            return true;
        }
    }
    return mln_len(patterns) == 0;
}

struct mln_err sp_policy_check(struct mln_request *rq, const struct sp_state *state,
                               const struct mln_spiffe_id *id)
{
    const struct mln_value *row = NULL;
    if (mln_bytes_is(id->domain, state->domain)) {
        return MLN_OK;
    }
    struct mln_err err = sp_row_get(rq, "relationship/", id->domain, &row);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    return sp_patterns_take(mln_get(row, "allowed_ids"), id->text)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_DENIED,
                          "the relationship with %.*s does not take this identity",
                          MLN_FMT(id->domain));
}

/* ---- asking ---- */

static bool is_spiffe(const struct mln_value *row)
{
    return mln_is_text(mln_get(row, "profile"), "https_spiffe");
}

/* What is held of the trust domain of an endpoint of https_spiffe, as the authorities of its certificate. */
static struct mln_err roots_of(struct mln_request *rq, struct mln_bytes endpoint,
                               struct mln_bytes *ret)
{
    struct sp_state *state = NULL;
    struct mln_spiffe_id id;
    struct mln_bytes all;
    MLN_AUTO(mln_buf_drop) struct mln_buf pem = {0};
    MLN_TRY(sp_state_get(rq, &state));
    MLN_TRY(mln_spiffe_id_parse(rq->cx, endpoint, &id));
    const char *domain = mln_text_format(rq->cx, "spiffe://%.*s", MLN_FMT(id.domain));
    MLN_TRY(sp_roots_of(rq, state, domain, &all));
    for (size_t n; all.len > 0; all = mln_bytes_from(all, n)) {
        n = sp_der_length(all);
        if (n == 0) {
            return mln_fail(rq->cx, MLN_E_CORRUPT, "a bundle's certificates cannot be told apart");
        }
        mln_buf_add_text(&pem, mln_pem_text(rq->cx, "CERTIFICATE", mln_bytes_sub(all, 0, n)));
        mln_buf_add_byte(&pem, '\n');
    }
    if (pem.len == 0) {
        return mln_fail(rq->cx, MLN_E_FORGED, "the bundle of %s has no X.509 authority", domain);
    }
    *ret = mln_bytes_dup(rq->cx, mln_buf_bytes(&pem));
    return mln_buf_ok(rq->cx, &pem);
}

static struct mln_err ask_of(struct mln_request *rq, const struct mln_value *row,
                             const struct mln_value **ret)
{
    struct mln_value *ask = mln_object(rq->cx);
    struct mln_bytes ca = mln_get_bytes(mln_get(row, "ca_pem")),
                     endpoint = mln_get_bytes(mln_get(row, "endpoint_spiffe_id"));
    mln_put_text(rq->cx, ask, "kind", "http");
    mln_put_text(rq->cx, ask, "method", "GET");
    mln_put(rq->cx, ask, "url", mln_get(row, "url"));
    mln_put_int(rq->cx, ask, "timeout_ms", TIMEOUT_MS);
    if (is_spiffe(row)) {
        MLN_TRY(roots_of(rq, endpoint, &ca));
        mln_put_bytes(rq->cx, ask, "spiffe_id", endpoint);
    }
    if (ca.len > 0) {
        mln_put_bytes(rq->cx, ask, "ca_pem", ca);
    }
    *ret = ask;
    return mln_cx_err(rq->cx);
}

static struct mln_err read_answer(struct mln_request *rq, const struct mln_value *answer,
                                  const struct mln_value **ret)
{
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    return status == 200
               ? sp_bundle_parse_text(rq->cx, mln_get_bytes(mln_get(answer, "body")), ret)
               : mln_fail(rq->cx, MLN_E_REMOTE,
                          "the bundle endpoint answered with status %lld", (long long)status);
}

/* A bundle of a lower sequence than the one that is held is an old copy: somebody plays it back, or a mirror lags. */
static struct mln_err take(struct mln_request *rq, struct mln_bytes td,
                           const struct mln_value *parsed)
{
    const struct mln_value *held = NULL;
    struct mln_err err = sp_row_get(rq, "foreign/", td, &held);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return sp_foreign_put(rq, td, parsed);
    }
    MLN_TRY(err);
    int64_t old = mln_get_int(mln_get(held, "sequence"), 0),
            new = mln_get_int(mln_get(parsed, "sequence"), 0);
    if (new < old) {
        return mln_fail(
            rq->cx, MLN_E_REMOTE,
            "the bundle endpoint answered with sequence %lld, older than %lld which is held",
            (long long)new, (long long)old);
    }
    bool is_same = mln_value_eq(mln_get(held, "x509"), mln_get(parsed, "x509")) &&
                   mln_value_eq(mln_get(held, "jwt"), mln_get(parsed, "jwt")) &&
                   mln_value_eq(mln_get(held, "refresh_hint"), mln_get(parsed, "refresh_hint"));
    return is_same ? MLN_OK : sp_foreign_put(rq, td, parsed);
}

static int64_t hint_of(const struct mln_value *parsed)
{
    int64_t s = mln_get_int(mln_get(parsed, "refresh_hint"), 0);
    s = s == 0 ? HINT_USUAL_S : s;
    return s < HINT_MIN_S ? HINT_MIN_S : s;
}

static struct mln_err note(struct mln_request *rq, const struct mln_value *row, const char *error,
                           int64_t next_s)
{
    struct mln_value *next = mln_value_dup(rq->cx, row);
    int64_t failures = error[0] == '\0' ? 0 : mln_get_int(mln_get(row, "failures"), 0) + 1;
    int64_t wait_s = failures == 0 ? next_s : RETRY_MIN_S << (failures < 7 ? failures - 1 : 6);
    mln_put_int(rq->cx, next, "failures", failures);
    mln_put_text(rq->cx, next, "error", error);
    mln_put_int(rq->cx, next, "next_ns",
                rq->now_ns +
                    (wait_s < RETRY_MAX_S || failures == 0 ? wait_s : RETRY_MAX_S) * SP_SECOND_NS);
    if (failures == 0) {
        mln_put_int(rq->cx, next, "refreshed_ns", rq->now_ns);
    }
    return sp_row_put(rq, "relationship/", mln_get_bytes(mln_get(row, "trust_domain")), next);
}

/* *ret_error: why it could not be had, "" when it could; other errors are this server's own. */
static struct mln_err settle(struct mln_request *rq, const struct mln_value *row,
                             struct mln_err err, const struct mln_value *parsed,
                             const char **ret_error)
{
    err = mln_failed(err) ? err : take(rq, mln_get_bytes(mln_get(row, "trust_domain")), parsed);
    if (mln_is(err, MLN_E_MEMORY) || mln_is(err, MLN_E_CORRUPT)) {
        return err;
    }
    *ret_error = mln_failed(err) ? mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text)) : "";
    mln_cx_clear(rq->cx);
    return note(rq, row, *ret_error, hint_of(parsed));
}

/* For somebody who waits. */
static struct mln_err refresh(struct mln_request *rq, const struct mln_value *row,
                              const char **ret_error)
{
    const struct mln_value *ask = NULL, *answer = NULL, *parsed = NULL;
    struct mln_err err = ask_of(rq, row, &ask);
    err = mln_failed(err) ? err : rq->services->reach(rq, ask, &answer);
    err = mln_failed(err) ? err : read_answer(rq, answer, &parsed);
    return settle(rq, row, err, parsed, ret_error);
}

/* ---- asking in time ---- */

/* Domains that are being asked, so that a slow one is not asked again each second. */
struct sp_poll {
    struct sp_poll *next;
    int64_t until_s; /* whatever became of it */
    char domain[MLN_SPIFFE_DOMAIN_MAX + 1];
};

void sp_polls_free(struct sp_state *state)
{
    for (struct sp_poll *p = state->polls, *next; p != NULL; p = next) {
        next = p->next;
        mln_free(p);
    }
    state->polls = NULL;
}

static struct sp_poll *poll_of(const struct sp_state *state, struct mln_bytes td)
{
    struct sp_poll *p = state->polls;
    while (p != NULL && !mln_bytes_is(td, p->domain)) {
        p = p->next;
    }
    return p;
}

/* until_s 0: it may be asked again. False: it is being asked, or there is no memory. */
static bool poll_mark(struct mln_request *rq, struct sp_state *state, struct mln_bytes td,
                      int64_t until_s)
{
    SP_WRITE(state);
    struct sp_poll *p = poll_of(state, td);
    if (p == NULL) {
        p = mln_alloc(sizeof(*p));
        if (p == NULL) {
            return false;
        }
        mln_copy(p->domain, td.ptr, td.len < sizeof(p->domain) ? td.len : 0);
        p->next = state->polls;
        state->polls = p;
    }
    bool is_free = until_s == 0 || p->until_s <= rq->now_ns / SP_SECOND_NS;
    p->until_s = is_free ? until_s : p->until_s;
    return is_free;
}

static bool is_same_place(const struct mln_value *a, const struct mln_value *b)
{
    static const char *const members[] = {"url", "profile", "endpoint_spiffe_id", "ca_pem"};
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        if (!mln_value_eq(mln_get(a, members[i]), mln_get(b, members[i]))) {
            return false;
        }
    }
    return true;
}

/* arg: the relationship as it was when it was asked; one that ended or points elsewhere by now learns nothing of it. */
static struct mln_err answered(struct mln_request *rq, const struct mln_value *arg,
                               const struct mln_value *answer, const char *why)
{
    const struct mln_value *row = NULL, *parsed = NULL;
    struct sp_state *state = NULL;
    struct mln_bytes td = mln_get_bytes(mln_get(arg, "trust_domain"));
    const char *error = NULL;
    MLN_TRY(sp_state_get(rq, &state));
    (void)poll_mark(rq, state, td, 0);
    struct mln_err err = sp_row_get(rq, "relationship/", td, &row);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && !is_same_place(row, arg))) {
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    MLN_TRY(err);
    err = answer != NULL ? read_answer(rq, answer, &parsed)
                         : mln_fail(rq->cx, MLN_E_UNREACHABLE, "%s", why);
    return settle(rq, row, err, parsed, &error);
}

static struct mln_err ask_later(struct mln_request *rq, struct sp_state *state,
                                const struct mln_value *row)
{
    struct mln_bytes td = mln_get_bytes(mln_get(row, "trust_domain"));
    const struct mln_value *ask = NULL;
    const char *error = NULL;
    if (!poll_mark(rq, state, td, rq->now_ns / SP_SECOND_NS + POLL_MAX_S)) {
        return MLN_OK;
    }
    struct mln_err err = ask_of(rq, row, &ask);
    err = mln_failed(err) ? err : rq->services->errand(rq, ask, answered, row);
    if (!mln_failed(err)) {
        return MLN_OK;
    }
    (void)poll_mark(rq, state, td, 0);
    if (mln_is(err, MLN_E_LIMIT)) { /* in the next second */
        mln_cx_clear(rq->cx);
        return MLN_OK;
    }
    return settle(rq, row, err, NULL, &error);
}

/* Ticks wait for nobody: what is due is asked on errands. */
struct mln_err sp_federation_due(struct mln_request *rq)
{
    const struct mln_value *names = NULL;
    struct sp_state *state = NULL;
    if (rq->services->errand == NULL) {
        return MLN_OK;
    }
    MLN_TRY(sp_row_names(rq, "relationship/", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *row = NULL;
        MLN_TRY(sp_row_get(rq, "relationship/", mln_get_bytes(mln_item(names, i)), &row));
        if (mln_get_int(mln_get(row, "next_ns"), 0) <= rq->now_ns) {
            MLN_TRY(sp_state_get(rq, &state));
            MLN_TRY(ask_later(rq, state, row));
        }
    }
    return MLN_OK;
}

/* ---- paths ---- */

static struct mln_err row_of(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_bytes td;
    MLN_TRY(sp_domain_of(rq, &td));
    struct mln_err err = sp_row_get(rq, "relationship/", td, ret);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_NOT_FOUND, "no relationship with that trust domain")
               : err;
}

static struct mln_value *show(struct mln_request *rq, const struct mln_value *row)
{
    static const char *const plain[] = {"trust_domain", "url",         "profile",  "endpoint_spiffe_id",
                                        "ca_pem",       "allowed_ids", "failures", "error"};
    struct mln_value *out = mln_object(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(plain); i++) {
        mln_put(rq->cx, out, plain[i], mln_get(row, plain[i]));
    }
    mln_put_int(rq->cx, out, "refreshed_at",
                mln_get_int(mln_get(row, "refreshed_ns"), 0) / SP_SECOND_NS);
    mln_put_int(rq->cx, out, "next_at", mln_get_int(mln_get(row, "next_ns"), 0) / SP_SECOND_NS);
    return out;
}

static struct mln_err check_patterns(struct mln_request *rq, const struct mln_value *patterns,
                                     struct mln_bytes td)
{
    struct mln_bytes prefix = mln_bytes_format(rq->cx, "spiffe://%.*s/", MLN_FMT(td));
    if (mln_len(patterns) > PATTERNS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "allowed_ids has at most %u patterns", PATTERNS_MAX);
    }
    for (size_t i = 0; i < mln_len(patterns); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(patterns, i));
        MLN_TRY(mln_spiffe_pattern_check(rq->cx, one));
        if (!mln_bytes_starts(one, prefix)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "allowed_ids are patterns of ids of that trust domain");
        }
    }
    return mln_cx_err(rq->cx);
}

/* Without a bundle of the endpoint's own trust domain nothing could ever be verified. */
static struct mln_err check_endpoint(struct mln_request *rq, const struct sp_state *state,
                                     struct mln_bytes endpoint)
{
    struct mln_spiffe_id id;
    const struct mln_value *held = NULL;
    if (mln_failed(mln_spiffe_id_parse(rq->cx, endpoint, &id)) || id.path.len == 0) {
        return mln_refail(rq->cx, MLN_E_INVALID,
                          "endpoint_spiffe_id must be the SPIFFE id that the endpoint presents: "
                          "spiffe://other.example/spire/server");
    }
    if (mln_bytes_is(id.domain, state->domain)) {
        return MLN_OK;
    }
    struct mln_err err = sp_row_get(rq, "foreign/", id.domain, &held);
    return mln_is(err, MLN_E_NOT_FOUND)
               ? mln_fail(rq->cx, MLN_E_INVALID,
                          "no bundle of %.*s is here to verify the endpoint with: give a first one "
                          "as bundle, or set it",
                          MLN_FMT(id.domain))
               : err;
}

static struct mln_err check_profile(struct mln_request *rq, const struct sp_state *state,
                                    const struct mln_value *row)
{
    struct mln_bytes endpoint = mln_get_bytes(mln_get(row, "endpoint_spiffe_id"));
    if (is_spiffe(row)) {
        return mln_len(mln_get(row, "ca_pem")) == 0
                   ? check_endpoint(rq, state, endpoint)
                   : mln_fail(rq->cx, MLN_E_INVALID,
                              "ca_pem is for https_web; https_spiffe verifies by the bundle");
    }
    if (!mln_is_text(mln_get(row, "profile"), "https_web")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "the profile must be https_web or https_spiffe");
    }
    return endpoint.len == 0 ? MLN_OK
                             : mln_fail(rq->cx, MLN_E_INVALID,
                                        "endpoint_spiffe_id is for the profile https_spiffe");
}

static struct mln_err check(struct mln_request *rq, const struct sp_state *state,
                            const struct mln_value *row, struct mln_bytes td)
{
    struct mln_bytes url = mln_get_bytes(mln_get(row, "url"));
    if (!mln_bytes_starts(url, MLN_BYTES("https://")) || url.len > URL_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "url must be the https:// address of the other domain's bundle endpoint");
    }
    if (mln_len(mln_get(row, "ca_pem")) > PEM_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT, "ca_pem has at most %u bytes", PEM_MAX);
    }
    MLN_TRY(check_profile(rq, state, row));
    return check_patterns(rq, mln_get(row, "allowed_ids"), td);
}

/* The row as it is to be: what was there, with what is given now. */
static struct mln_err make_row(struct mln_request *rq, struct mln_bytes td, struct mln_value **ret)
{
    static const char *const members[] = {"url", "profile", "ca_pem", "allowed_ids",
                                          "endpoint_spiffe_id"};
    const struct mln_value *old = NULL;
    struct mln_err err = sp_row_get(rq, "relationship/", td, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *row = mln_failed(err) ? mln_object(rq->cx) : mln_value_dup(rq->cx, old);
    mln_cx_clear(rq->cx);
    mln_put_bytes(rq->cx, row, "trust_domain", td);
    for (size_t i = 0; i < MLN_COUNT(members); i++) {
        const struct mln_value *v = mln_field_of(rq, members[i]);
        if (v != NULL) {
            mln_put(rq->cx, row, members[i], v);
        }
    }
    if (mln_get(row, "profile") == NULL) {
        mln_put_text(rq->cx, row, "profile", "https_web");
    }
    mln_put_int(rq->cx, row, "next_ns", rq->now_ns); /* the next tick asks */
    mln_put_int(rq->cx, row, "failures", 0);
    mln_put_text(rq->cx, row, "error", "");
    *ret = row;
    return mln_cx_err(rq->cx);
}

static struct mln_err write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes td;
    struct sp_state *state = NULL;
    struct mln_value *row = NULL;
    const struct mln_value *first = mln_field_of(rq, "bundle"), *parsed = NULL;
    MLN_TRY(sp_domain_of(rq, &td));
    MLN_TRY(sp_state_get(rq, &state));
    if (mln_bytes_is(td, state->domain)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "this server is of that trust domain itself");
    }
    MLN_TRY(make_row(rq, td, &row));
    if (!mln_is_null(first)) {
        MLN_TRY(sp_bundle_parse_any(rq->cx, first, &parsed));
        MLN_TRY(sp_foreign_put(rq, td, parsed));
    }
    MLN_TRY(check(rq, state, row, td));
    sp_after_keys(rq); /* nodes hear which ids count */
    MLN_TRY(sp_row_put(rq, "relationship/", td, row));
    re->data = show(rq, row);
    return mln_cx_err(rq->cx);
}

static struct mln_err read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    MLN_TRY(row_of(rq, &row));
    re->data = show(rq, row);
    return mln_cx_err(rq->cx);
}

static struct mln_err list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL, *row = NULL;
    struct mln_value *data = mln_object(rq->cx), *info = mln_object(rq->cx);
    MLN_TRY(sp_row_names(rq, "relationship/", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes td = mln_get_bytes(mln_item(names, i));
        MLN_TRY(sp_row_get(rq, "relationship/", td, &row));
        mln_put_key(rq->cx, info, td, show(rq, row));
    }
    mln_put(rq->cx, data, "keys", names);
    mln_put(rq->cx, data, "key_info", info);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* The bundle stays: it is deleted by itself (spiffe/bundles), so that ending polling ends nobody's trust by surprise. */
static struct mln_err delete (struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    (void)re;
    MLN_TRY(row_of(rq, &row));
    sp_after_keys(rq);
    return sp_row_delete(rq, "relationship/", mln_get_bytes(mln_get(row, "trust_domain")));
}

static struct mln_err refresh_now(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    const char *error = "";
    MLN_TRY(row_of(rq, &row));
    MLN_TRY(refresh(rq, row, &error));
    if (error[0] != '\0') {
        return mln_fail(rq->cx, MLN_E_REMOTE, "%s", error);
    }
    MLN_TRY(row_of(rq, &row));
    re->data = show(rq, row);
    return mln_cx_err(rq->cx);
}

static const struct mln_field fields[] = {
    {.name = "trust_domain",
     .type = MLN_FIELD_TEXT,
     .help = "The other trust domain: other.example."},
    {.name = "url", .type = MLN_FIELD_TEXT, .help = "Its bundle endpoint: https://..."},
    {.name = "profile",
     .type = MLN_FIELD_TEXT,
     .help = "https_web: the endpoint has a certificate of a public or given authority. https_spiffe: "
             "an X.509-SVID."},
    {.name = "endpoint_spiffe_id",
     .type = MLN_FIELD_TEXT,
     .help = "https_spiffe: exactly whose X.509-SVID it must be."},
    {.name = "bundle",
     .type = MLN_FIELD_ANY,
     .help = "Its first bundle, a SPIFFE trust bundle document or PEM, as spiffe/bundles takes it."},
    {.name = "ca_pem",
     .type = MLN_FIELD_TEXT,
     .help = "Authorities that the endpoint's certificate may be of; the system's when absent."},
    {.name = "allowed_ids",
     .type = MLN_FIELD_LIST,
     .help = "Patterns of the ids that count in logins and validations; all when empty."},
    {0},
};

const struct mln_path sp_federation_paths[] = {
    {.pattern = "federation",
     .summary = "List relationships with other trust domains.",
     .fields = fields,
     .list = list},
    {.pattern = "federation/{trust_domain}",
     .summary = "A relationship: where its bundle is and what counts.",
     .fields = fields,
     .read = read,
     .write = write,
     .remove = delete,
     .controls = "SC-12"},
    {.pattern = "federation/{trust_domain}/refresh",
     .summary = "Ask for its bundle now.",
     .fields = fields,
     .write = refresh_now,
     .may_block = true},
    {0},
};
