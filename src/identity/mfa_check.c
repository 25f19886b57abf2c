/* SPDX-License-Identifier: Apache-2.0 */
/* What core asks at logins: which second factors are needed, whether codes are right; and logins that wait for them. */
#include "identity/mfa_priv.h"

#include "base/clock.h"
#include "crypto/otp.h"

#define PENDING_NS (300 * MFA_SECOND_NS)
#define SWEEP_MAX  1000u /* waiting logins that one tick looks at */
#define CODES_MAX  8u    /* that one request may try for a method */

/* ---- what is needed ---- */

static bool is_in_group(const struct mln_value *person, const struct mln_value *ids)
{
    const struct mln_value *groups = mln_get(person, "groups");
    for (size_t i = 0; i < mln_len(groups); i++) {
        if (id_has(ids, mln_get_bytes(mln_get(mln_item(groups, i), "id")))) {
            return true;
        }
    }
    return false;
}

static bool applies(const struct mln_value *e, const struct mln_mount *mount,
                    const struct mln_value *person)
{
    return id_has(mln_get(e, "auth_method_accessors"), mln_bytes_of(mount->accessor)) ||
           id_has(mln_get(e, "auth_method_types"), mln_bytes_of(mount->type)) ||
           (person != NULL &&
            (id_has(mln_get(e, "identity_entity_ids"), mln_get_bytes(mln_get(person, "id"))) ||
             is_in_group(person, mln_get(e, "identity_group_ids"))));
}

static struct mln_err any_of(struct mln_cx *cx, struct mln_txn *txn, const struct mln_value *e,
                             struct mln_value *ret)
{
    const struct mln_value *ids = mln_get(e, "mfa_method_ids");
    for (size_t i = 0; i < mln_len(ids); i++) {
        const struct mln_value *m = NULL;
        struct mln_value *one = mln_object(cx);
        MLN_TRY(mfa_method(cx, txn, mln_get_bytes(mln_item(ids, i)), &m));
        mln_put_text(cx, one, "type", "totp");
        mln_put(cx, one, "id", mln_get(m, "id"));
        mln_put_bool(cx, one, "uses_passcode", true);
        mln_put(cx, one, "name", mln_get(m, "name"));
        mln_push(cx, ret, one);
    }
    return mln_cx_err(cx);
}

struct mln_err mln_mfa_needed(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mount *mount,
                              const char *entity_id, const struct mln_value **ret)
{
    const struct mln_value *keys = NULL, *person = NULL;
    struct mln_value *out = mln_object(cx);
    *ret = NULL;
    MLN_TRY(id_names(cx, txn, MLN_BYTES("mfa/enforcement/"), &keys));
    if (mln_len(keys) == 0) {
        return MLN_OK;
    }
    if (entity_id[0] != 0) {
        MLN_TRY(mln_identity_person(cx, txn, entity_id, &person));
    }
    for (size_t i = 0; i < mln_len(keys); i++) {
        const struct mln_value *e = NULL;
        struct mln_value *constraint = mln_object(cx), *any = mln_array(cx);
        MLN_TRY(mln_txn_get_value(
            cx, txn, id_view(),
            mln_bytes_format(cx, "mfa/enforcement/%.*s", MLN_FMT(mln_get_bytes(mln_item(keys, i)))),
            &e));
        if (applies(e, mount, person)) {
            MLN_TRY(any_of(cx, txn, e, any));
            mln_put(cx, constraint, "any", any);
            mln_put_key(cx, out, mln_get_bytes(mln_get(e, "name")), constraint);
        }
    }
    *ret = mln_len(out) > 0 ? out : NULL;
    return mln_cx_err(cx);
}

/* ---- codes ---- */

static enum mln_otp_hash hash_of(const struct mln_value *m)
{
    return mln_is_text(mln_get(m, "algorithm"), "SHA512")   ? MLN_OTP_SHA512
           : mln_is_text(mln_get(m, "algorithm"), "SHA256") ? MLN_OTP_SHA256
                                                            : MLN_OTP_SHA1;
}

/* The step whose code it is; 0 when none. All that may be are looked at, whatever the first says. */
static struct mln_err step_of(struct mln_cx *cx, const struct mln_value *m,
                              const struct mln_value *secret, struct mln_bytes code, int64_t now_ns,
                              int64_t *ret)
{
    int64_t period_s = mln_get_int(mln_get(m, "period"), 30),
            skew = mln_get_int(mln_get(m, "skew"), 1);
    int64_t now = now_ns / MFA_SECOND_NS / (period_s > 0 ? period_s : 30),
            last = mln_get_int(mln_get(secret, "last_step"), 0);
    unsigned digits = mln_get_int(mln_get(m, "digits"), 6) == 8 ? 8 : 6;
    *ret = 0;
    for (int64_t step = now - skew; step <= now + skew; step++) {
        char right[MLN_OTP_DIGITS_MAX + 1] = {0};
        MLN_TRY(mln_otp_code(cx, hash_of(m), mln_get_bytes(mln_get(secret, "key")), (uint64_t)step,
                             digits, right));
        if (mln_eq_ct(right, digits, code.ptr, code.len) && step > last) {
            *ret = step;
        }
        mln_wipe(right, sizeof(right));
    }
    return MLN_OK;
}

/* One method: a code of those given that is right and new. What it cost is written either way. */
static struct mln_err check_method(struct mln_cx *cx, struct mln_txn *txn,
                                   const struct mln_mfa_try *t, struct mln_bytes method,
                                   bool *ret_ok)
{
    const struct mln_value *m = NULL, *secret = NULL, *codes = mln_get_key(t->given, method);
    struct mln_bytes key = mfa_secret_key(cx, method, mln_bytes_of(t->entity_id));
    MLN_TRY(mfa_method(cx, txn, method, &m));
    struct mln_err err = mln_txn_get_value(cx, txn, id_view(), key, &secret);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && mln_len(codes) == 0)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    int64_t failures = mln_get_int(mln_get(secret, "failures"), 0),
            window_ns = mln_get_int(mln_get(m, "period"), 30) * MFA_SECOND_NS;
    failures = t->now_ns - mln_get_int(mln_get(secret, "failed_ns"), 0) > window_ns ? 0 : failures;
    struct mln_value *next = mln_value_dup(cx, secret);
    for (size_t i = 0; i < mln_len(codes) && i < CODES_MAX && !*ret_ok; i++) {
        int64_t step = 0;
        if (failures >= mln_get_int(mln_get(m, "max_validation_attempts"), 5)) {
            break;
        }
        MLN_TRY(step_of(cx, m, secret, mln_get_bytes(mln_item(codes, i)), t->now_ns, &step));
        *ret_ok = step > 0;
        failures = step > 0 ? 0 : failures + 1;
        if (step > 0) {
            mln_put_int(cx, next, "last_step", step);
        } else {
            mln_put_int(cx, next, "failed_ns", t->now_ns);
        }
    }
    mln_put_int(cx, next, "failures", failures);
    MLN_TRY(mln_cx_err(cx));
    return mln_txn_put_value(cx, txn, id_view(), key, next);
}

struct mln_err mln_mfa_check(struct mln_cx *cx, struct mln_txn *txn, const struct mln_mfa_try *t,
                             bool *ret_ok)
{
    bool all = t->entity_id[0] != 0;
    struct mln_value *passed = mln_array(cx); /* a code is good once, but for every constraint */
    for (size_t i = 0; all && i < mln_len(t->constraints); i++) {
        const struct mln_value *any = mln_get(&mln_member_at(t->constraints, i)->value, "any");
        bool one = false;
        for (size_t k = 0; k < mln_len(any) && !one; k++) {
            const struct mln_value *id = mln_get(mln_item(any, k), "id");
            if (id_has(passed, mln_get_bytes(id))) {
                one = true;
                break;
            }
            MLN_TRY(check_method(cx, txn, t, mln_get_bytes(id), &one));
            if (one) {
                mln_push(cx, passed, id);
            }
        }
        all = one;
    }
    *ret_ok = all;
    return mln_cx_err(cx);
}

/* ---- waiting logins ---- */

struct mln_err mln_mfa_keep(struct mln_cx *cx, struct mln_txn *txn, struct mln_value *pending,
                            int64_t now_ns, const char **ret_id)
{
    const char *id = id_new_uuid(cx);
    mln_put_int(cx, pending, "expires_ns", now_ns + PENDING_NS);
    MLN_TRY(mln_cx_err(cx));
    *ret_id = id;
    return mln_txn_put_value(cx, txn, id_view(), mln_bytes_format(cx, "mfa/pending/%s", id),
                             pending);
}

struct mln_err mln_mfa_pending(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id,
                               int64_t now_ns, const struct mln_value **ret)
{
    MLN_TRY(id_row(cx, txn, "mfa/pending", id, ret));
    return mln_get_int(mln_get(*ret, "expires_ns"), 0) > now_ns ? MLN_OK
                                                                : (struct mln_err){MLN_E_NOT_FOUND};
}

struct mln_err mln_mfa_done(struct mln_cx *cx, struct mln_txn *txn, struct mln_bytes id)
{
    return id_is_id(id) ? mln_txn_delete(cx, txn, id_view(),
                                         mln_bytes_format(cx, "mfa/pending/%.*s", MLN_FMT(id)))
                        : MLN_OK;
}

struct mln_err mfa_sweep(struct mln_request *rq)
{
    const struct mln_value *ids = NULL, *row = NULL;
    MLN_TRY(id_names(rq->cx, rq->txn, MLN_BYTES("mfa/pending/"), &ids));
    for (size_t i = 0; i < mln_len(ids) && i < SWEEP_MAX; i++) {
        struct mln_bytes id = mln_get_bytes(mln_item(ids, i));
        MLN_TRY(id_row(rq->cx, rq->txn, "mfa/pending", id, &row));
        if (mln_get_int(mln_get(row, "expires_ns"), 0) <= rq->now_ns) {
            MLN_TRY(mln_mfa_done(rq->cx, rq->txn, id));
        }
    }
    return MLN_OK;
}
