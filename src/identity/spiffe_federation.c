/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relationships with other trust domains: where their bundle is published, what of theirs counts here, and asking for it again in
 * time. Rows "relationship/<trust domain>": {"trust_domain","url","profile","ca_pem","allowed_ids":[patterns],"next_ns","failures",
 * "error","refreshed_ns","created_ns"}. What is held stays when it cannot be fetched.
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
#define TIMEOUT_MS   5000 /* ticks wait for it */

bool sp_policy_allows(const struct mln_value *row, struct mln_bytes id)
{
    const struct mln_value *patterns = mln_get(row, "allowed_ids");
    for (size_t i = 0; i < mln_len(patterns); i++) {
        if (mln_spiffe_pattern_fits(mln_get_bytes(mln_item(patterns, i)), id)) {
            return true;
        }
    }
    return mln_len(patterns) == 0;
}

/* ---- fetching ---- */

static struct mln_err fetch(struct mln_request *rq, const struct mln_value *row,
                            const struct mln_value **ret)
{
    struct mln_value *ask = mln_object(rq->cx);
    const struct mln_value *answer = NULL;
    mln_put_text(rq->cx, ask, "kind", "http");
    mln_put_text(rq->cx, ask, "method", "GET");
    mln_put(rq->cx, ask, "url", mln_get(row, "url"));
    mln_put_int(rq->cx, ask, "timeout_ms", TIMEOUT_MS);
    if (mln_len(mln_get(row, "ca_pem")) > 0) {
        mln_put(rq->cx, ask, "ca_pem", mln_get(row, "ca_pem"));
    }
    MLN_TRY(mln_cx_err(rq->cx));
    MLN_TRY(rq->services->reach(rq, ask, &answer));
    int64_t status = mln_get_int(mln_get(answer, "status"), 0);
    if (status != 200) {
        return mln_fail(rq->cx, MLN_E_REMOTE, "the bundle endpoint answered with status %lld",
                        (long long)status);
    }
    return sp_bundle_parse_text(rq->cx, mln_get_bytes(mln_get(answer, "body")), ret);
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
static struct mln_err refresh(struct mln_request *rq, const struct mln_value *row,
                              const char **ret_error)
{
    const struct mln_value *parsed = NULL;
    struct mln_err err = fetch(rq, row, &parsed);
    err = mln_failed(err) ? err : take(rq, mln_get_bytes(mln_get(row, "trust_domain")), parsed);
    if (mln_is(err, MLN_E_MEMORY) || mln_is(err, MLN_E_CORRUPT)) {
        return err;
    }
    *ret_error = mln_failed(err) ? mln_text_dup(rq->cx, mln_bytes_of(rq->cx->text)) : "";
    mln_cx_clear(rq->cx);
    return note(rq, row, *ret_error, hint_of(parsed));
}

/* One a tick: fetching waits. */
struct mln_err sp_federation_due(struct mln_request *rq)
{
    const struct mln_value *names = NULL, *due = NULL;
    MLN_TRY(sp_row_names(rq, "relationship/", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *row = NULL;
        MLN_TRY(sp_row_get(rq, "relationship/", mln_get_bytes(mln_item(names, i)), &row));
        int64_t next = mln_get_int(mln_get(row, "next_ns"), 0);
        if (next <= rq->now_ns && (due == NULL || next < mln_get_int(mln_get(due, "next_ns"), 0))) {
            due = row;
        }
    }
    const char *error = NULL;
    return due != NULL && rq->services->reach != NULL ? refresh(rq, due, &error) : MLN_OK;
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
    static const char *const plain[] = {"trust_domain", "url",      "profile", "ca_pem",
                                        "allowed_ids",  "failures", "error"};
    struct mln_value *out = mln_object(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(plain); i++) {
        mln_put(rq->cx, out, plain[i], mln_get(row, plain[i]));
    }
    mln_put_int(rq->cx, out, "refreshed_at",
                mln_get_int(mln_get(row, "refreshed_ns"), 0) / SP_SECOND_NS);
    mln_put_int(rq->cx, out, "next_at", mln_get_int(mln_get(row, "next_ns"), 0) / SP_SECOND_NS);
    return out;
}

static struct mln_err check(struct mln_request *rq, const struct mln_value *row,
                            struct mln_bytes td)
{
    struct mln_bytes url = mln_get_bytes(mln_get(row, "url"));
    const struct mln_value *patterns = mln_get(row, "allowed_ids");
    if (!mln_bytes_starts(url, MLN_BYTES("https://")) || url.len > URL_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "url must be the https:// address of the other domain's bundle endpoint");
    }
    if (!mln_is_text(mln_get(row, "profile"), "https_web")) {
        return mln_fail(
            rq->cx, MLN_E_UNSUPPORTED,
            "the profile must be https_web; set bundles of https_spiffe endpoints by hand");
    }
    if (mln_len(mln_get(row, "ca_pem")) > PEM_MAX || mln_len(patterns) > PATTERNS_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT,
                        "ca_pem has at most %u bytes, allowed_ids at most %u patterns", PEM_MAX,
                        PATTERNS_MAX);
    }
    for (size_t i = 0; i < mln_len(patterns); i++) {
        struct mln_bytes one = mln_get_bytes(mln_item(patterns, i));
        struct mln_bytes prefix = mln_bytes_format(rq->cx, "spiffe://%.*s/", MLN_FMT(td));
        MLN_TRY(mln_spiffe_pattern_check(rq->cx, one));
        if (!mln_bytes_starts(one, prefix)) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "allowed_ids are patterns of ids of that trust domain");
        }
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err write(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const members[] = {"url", "profile", "ca_pem", "allowed_ids"};
    struct mln_bytes td;
    struct sp_state *state = NULL;
    const struct mln_value *old = NULL;
    MLN_TRY(sp_domain_of(rq, &td));
    MLN_TRY(sp_state_get(rq, &state));
    struct mln_err err = sp_row_get(rq, "relationship/", td, &old);
    if (mln_bytes_is(td, state->domain) || (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND))) {
        return mln_bytes_is(td, state->domain)
                   ? mln_fail(rq->cx, MLN_E_INVALID, "this server is of that trust domain itself")
                   : err;
    }
    struct mln_value *row = mln_failed(err) ? mln_object(rq->cx) : mln_value_dup(rq->cx, old);
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
    MLN_TRY(check(rq, row, td));
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
     .help = "https_web: the endpoint has a certificate of a public or given authority."},
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
