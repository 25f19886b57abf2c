/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PKI engine: tidying up what has expired, on request or by the clock. One run looks at a bounded number of rows in one
 * transaction and remembers where it stopped; by the clock it goes on from there.
 */
#include "engine/pki_priv.h"

#include "base/text.h"

#define SAFETY_S        259200   /* 72 hours after the end: clocks differ */
#define ISSUER_SAFETY_S 31536000 /* a year */
#define INTERVAL_S      43200

struct tidy {
    struct mln_request *rq;
    bool certs, revoked, associations, issuers, invalid;
    int64_t safety_s, revoked_safety_s, issuer_safety_s;
    int64_t deleted_certs, deleted_revoked, missing_issuers;
    struct mln_bytes cursor; /* serial number where the next run begins; empty: at the first */
    struct mln_value *gone;  /* serial numbers (bytes) that leave the lists */
};

/* ---- runs ---- */

static size_t first_after(const struct mln_value *keys, struct mln_bytes cursor)
{
    size_t low = 0, high = mln_len(keys);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (mln_bytes_cmp(mln_get_bytes(mln_item(keys, middle)), cursor) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct mln_err drop_revoked(struct tidy *t, struct mln_bytes serial)
{
    struct mln_bytes bytes = pki_serial_bytes(t->rq->cx, serial);
    while (bytes.len > 0 && bytes.ptr[0] == 0) {
        bytes = mln_bytes_from(bytes, 1);
    }
    mln_put_key(t->rq->cx, t->gone, bytes, mln_bool(t->rq->cx, true));
    t->deleted_revoked++;
    return pki_delete(t->rq, "revoked/", serial);
}

static struct mln_err look_at(struct tidy *t, struct mln_bytes serial)
{
    const struct mln_value *v = NULL;
    struct pki_revoked revoked;
    bool is_revoked = false;
    int64_t now_s = t->rq->now_ns / 1000000000;
    MLN_TRY(pki_find(t->rq, "cert/", serial, &v));
    MLN_TRY(pki_revoked_find(t->rq, serial, &revoked, &is_revoked));
    int64_t end_s = mln_get_int(mln_item(v, 2), 0);
    if (is_revoked && t->revoked && end_s + t->revoked_safety_s < now_s) {
        MLN_TRY(drop_revoked(t, serial));
        is_revoked = false;
    }
    if (t->certs && !is_revoked && end_s + t->safety_s < now_s) {
        t->deleted_certs++;
        return pki_delete(t->rq, "cert/", serial);
    }
    return MLN_OK;
}

static struct mln_err tidy_certs(struct tidy *t)
{
    const struct mln_value *keys = NULL;
    MLN_TRY(pki_list(t->rq, "cert/", &keys));
    size_t n = mln_len(keys), at = first_after(keys, t->cursor),
           looks = n < PKI_TIDY_MAX ? n : PKI_TIDY_MAX;
    for (size_t i = 0; i < looks; i++) {
        MLN_TRY(look_at(t, mln_get_bytes(mln_item(keys, (at + i) % n))));
    }
    t->cursor = n > PKI_TIDY_MAX ? mln_get_bytes(mln_item(keys, (at + looks) % n)) : MLN_BYTES_NONE;
    return pki_crl_drop(t->rq, t->gone);
}

/* Issuers long past their end go; their keys stay until they are deleted by hand. */
static struct mln_err tidy_issuers(struct tidy *t)
{
    struct pki_issuer *all = NULL;
    size_t n = 0;
    struct mln_bytes first;
    bool any = false;
    MLN_TRY(pki_issuers_all(t->rq, &all, &n));
    MLN_TRY(pki_default_issuer(t->rq, &first));
    for (size_t i = 0; i < n; i++) {
        bool is_old = all[i].not_after_s + t->issuer_safety_s < t->rq->now_ns / 1000000000;
        if (is_old && !mln_bytes_is(first, all[i].id)) {
            MLN_TRY(pki_delete(t->rq, "issuer/", mln_bytes_of(all[i].id)));
            any = true;
        }
    }
    return any ? pki_chains_find(t->rq) : MLN_OK;
}

static struct mln_err run(struct tidy *t)
{
    mln_txn_mark_relief(t->rq->txn);
    if (t->certs || t->revoked) {
        MLN_TRY(tidy_certs(t));
    }
    return t->issuers ? tidy_issuers(t) : MLN_OK;
}

/* ---- status ---- */

static struct mln_value *status_of(struct tidy *t, const char *state)
{
    struct mln_cx *cx = t->rq->cx;
    struct mln_value *v = mln_object(cx);
    const char *now = state[0] == 'F' ? mln_time_text_go(cx, t->rq->now_ns) : NULL;
    mln_put_int(cx, v, "acme_account_deleted_count", 0);
    mln_put_int(cx, v, "acme_account_revoked_count", 0);
    mln_put_int(cx, v, "acme_account_safety_buffer", 2592000);
    mln_put_int(cx, v, "acme_orders_deleted_count", 0);
    mln_put_int(cx, v, "cert_store_deleted_count", t->deleted_certs);
    mln_put_null(cx, v, "current_cert_store_count");
    mln_put_null(cx, v, "current_revoked_cert_count");
    mln_put_null(cx, v, "error");
    mln_put_text(cx, v, "internal_backend_uuid", t->rq->mount->uuid);
    mln_put_int(cx, v, "issuer_safety_buffer", t->issuer_safety_s);
    mln_put(cx, v, "last_auto_tidy_finished", mln_text(cx, now));
    mln_put_null(cx, v, "message");
    mln_put_int(cx, v, "missing_issuer_cert_count", t->missing_issuers);
    mln_put_int(cx, v, "page_size", 1000);
    mln_put_text(cx, v, "pause_duration", "0s");
    mln_put_int(cx, v, "revoked_cert_deleted_count", t->deleted_revoked);
    mln_put_int(cx, v, "revoked_safety_buffer", t->revoked_safety_s);
    mln_put_int(cx, v, "safety_buffer", t->safety_s);
    mln_put_text(cx, v, "state", state);
    mln_put_bool(cx, v, "tidy_acme", false);
    mln_put_bool(cx, v, "tidy_cert_store", t->certs);
    mln_put_bool(cx, v, "tidy_expired_issuers", t->issuers);
    mln_put_bool(cx, v, "tidy_invalid_certs", t->invalid);
    mln_put_bool(cx, v, "tidy_move_legacy_ca_bundle", false);
    mln_put_bool(cx, v, "tidy_revoked_cert_issuer_associations", t->associations);
    mln_put_bool(cx, v, "tidy_revoked_certs", t->revoked);
    mln_put(cx, v, "time_finished", mln_text(cx, now));
    mln_put(cx, v, "time_started", mln_text(cx, now));
    mln_put_int(cx, v, "total_acme_account_count", 0);
    return v;
}

static struct mln_err status_store(struct tidy *t)
{
    struct mln_value *row = mln_object(t->rq->cx);
    mln_put(t->rq->cx, row, "status", status_of(t, "Finished"));
    mln_put_bytes(t->rq->cx, row, "cursor", t->cursor);
    mln_put_int(t->rq->cx, row, "at", t->rq->now_ns);
    return pki_put(t->rq, "config/", MLN_BYTES("tidy-status"), row);
}

static struct tidy defaults(struct mln_request *rq)
{
    return (struct tidy){.rq = rq,
                         .safety_s = SAFETY_S,
                         .revoked_safety_s = SAFETY_S,
                         .issuer_safety_s = ISSUER_SAFETY_S,
                         .gone = mln_object(rq->cx)};
}

struct mln_err pki_tidy_status_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *row = NULL;
    struct tidy t = defaults(rq);
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("tidy-status"), &row));
    re->data = row != NULL ? mln_get(row, "status") : status_of(&t, "Inactive");
    return mln_cx_err(rq->cx);
}

static struct mln_err cursor_of(struct tidy *t)
{
    const struct mln_value *row = NULL;
    MLN_TRY(pki_find(t->rq, "config/", MLN_BYTES("tidy-status"), &row));
    t->cursor = mln_get_bytes(mln_get(row, "cursor"));
    return MLN_OK;
}

/* ---- on request ---- */

static int64_t duration_of(const struct mln_value *v, const char *name, int64_t otherwise)
{
    return mln_get_int(mln_get(v, name), otherwise);
}

static struct mln_err wanted(struct tidy *t, const struct mln_value *from)
{
    t->certs = mln_get_bool(mln_get(from, "tidy_cert_store"), false);
    t->revoked = mln_get_bool(mln_get(from, "tidy_revoked_certs"),
                              mln_get_bool(mln_get(from, "tidy_revocation_list"), false));
    t->associations = mln_get_bool(mln_get(from, "tidy_revoked_cert_issuer_associations"), false);
    t->issuers = mln_get_bool(mln_get(from, "tidy_expired_issuers"), false);
    t->invalid = mln_get_bool(mln_get(from, "tidy_invalid_certs"), false);
    t->safety_s = duration_of(from, "safety_buffer", SAFETY_S);
    t->revoked_safety_s = duration_of(from, "revoked_safety_buffer", t->safety_s);
    t->issuer_safety_s = duration_of(from, "issuer_safety_buffer", ISSUER_SAFETY_S);
    if (t->safety_s < 1 || t->revoked_safety_s < 1 || t->issuer_safety_s < 1) {
        return mln_fail(t->rq->cx, MLN_E_INVALID, "safety_buffer must be greater than zero");
    }
    return MLN_OK;
}

/* Vault answers before it begins, with a body that has no request id. */
struct mln_err pki_tidy_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct tidy t = defaults(rq);
    struct mln_value *bare = mln_object(cx), *warnings = mln_array(cx);
    MLN_TRY(wanted(&t, rq->fields));
    bool has_work = t.certs || t.revoked || t.issuers || t.associations || t.invalid;
    MLN_TRY(cursor_of(&t));
    MLN_TRY(run(&t));
    MLN_TRY(status_store(&t));
    mln_push_text(cx, warnings,
                  has_work ? "Tidy operation successfully started. Any information from the "
                             "operation will be printed to the server's logs."
                           : "No targets to tidy; specify tidy_cert_store=true or "
                             "tidy_revoked_certs=true or another target.");
    mln_put_text(cx, bare, "request_id", "");
    mln_put_text(cx, bare, "lease_id", "");
    mln_put_bool(cx, bare, "renewable", false);
    mln_put_int(cx, bare, "lease_duration", 0);
    mln_put_null(cx, bare, "data");
    mln_put_null(cx, bare, "wrap_info");
    mln_put(cx, bare, "warnings", warnings);
    mln_put_null(cx, bare, "auth");
    re->status = 202;
    re->bare = bare;
    return mln_cx_err(cx);
}

/* ---- by the clock ---- */

static const struct {
    const char *name;
    enum mln_field_type type;
    int64_t fallback;
} auto_members[] = {
    {"enabled", MLN_FIELD_BOOL, 0},
    {"interval_duration", MLN_FIELD_DURATION, INTERVAL_S},
    {"issuer_safety_buffer", MLN_FIELD_DURATION, ISSUER_SAFETY_S},
    {"revoked_safety_buffer", MLN_FIELD_DURATION, SAFETY_S},
    {"safety_buffer", MLN_FIELD_DURATION, SAFETY_S},
    {"tidy_cert_store", MLN_FIELD_BOOL, 0},
    {"tidy_expired_issuers", MLN_FIELD_BOOL, 0},
    {"tidy_invalid_certs", MLN_FIELD_BOOL, 0},
    {"tidy_revoked_cert_issuer_associations", MLN_FIELD_BOOL, 0},
    {"tidy_revoked_certs", MLN_FIELD_BOOL, 0},
};

static struct mln_err auto_load(struct mln_request *rq, struct mln_value **ret)
{
    const struct mln_value *row = NULL;
    struct mln_value *v = mln_object(rq->cx);
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("auto-tidy"), &row));
    for (size_t i = 0; i < MLN_COUNT(auto_members); i++) {
        const struct mln_value *kept = mln_get(row, auto_members[i].name);
        if (auto_members[i].type == MLN_FIELD_BOOL) {
            mln_put_bool(rq->cx, v, auto_members[i].name, mln_get_bool(kept, false));
        } else {
            mln_put_int(rq->cx, v, auto_members[i].name,
                        mln_get_int(kept, auto_members[i].fallback));
        }
    }
    *ret = v;
    return mln_cx_err(rq->cx);
}

struct mln_err pki_auto_tidy_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *v = NULL;
    MLN_TRY(auto_load(rq, &v));
    re->data = v;
    return MLN_OK;
}

struct mln_err pki_auto_tidy_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *v = NULL;
    struct tidy t = defaults(rq);
    MLN_TRY(auto_load(rq, &v));
    for (size_t i = 0; i < MLN_COUNT(auto_members); i++) {
        const struct mln_value *given = mln_field_of(rq, auto_members[i].name);
        if (!mln_is_null(given)) {
            mln_put(rq->cx, v, auto_members[i].name, given);
        }
    }
    MLN_TRY(wanted(&t, v));
    bool is_on = mln_get_bool(mln_get(v, "enabled"), false);
    if (mln_get_int(mln_get(v, "interval_duration"), 0) <= 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "given interval_duration must be greater than zero");
    }
    if (is_on && !t.certs && !t.revoked && !t.issuers && !t.associations && !t.invalid) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "Auto-tidy enabled but no tidy operations were requested. Enable at least "
                        "one tidy operation to be run");
    }
    MLN_TRY(pki_put(rq, "config/", MLN_BYTES("auto-tidy"), v));
    re->data = v;
    return mln_cx_err(rq->cx);
}

static struct mln_err auto_tidy(struct mln_request *rq)
{
    struct mln_value *v = NULL;
    const struct mln_value *row = NULL;
    struct tidy t = defaults(rq);
    MLN_TRY(auto_load(rq, &v));
    MLN_TRY(pki_find(rq, "config/", MLN_BYTES("tidy-status"), &row));
    int64_t since_s = (rq->now_ns - mln_get_int(mln_get(row, "at"), 0)) / 1000000000;
    bool is_due = since_s >= mln_get_int(mln_get(v, "interval_duration"), INTERVAL_S) ||
                  mln_len(mln_get(row, "cursor")) > 0;
    if (!mln_get_bool(mln_get(v, "enabled"), false) || !is_due) {
        return MLN_OK;
    }
    MLN_TRY(wanted(&t, v));
    MLN_TRY(cursor_of(&t));
    MLN_TRY(run(&t));
    return status_store(&t);
}

struct mln_err pki_tick(struct mln_request *rq)
{
    MLN_TRY(pki_crl_tick(rq));
    return auto_tidy(rq);
}
