/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SSH engine: one-time passwords. A client gets one for a user at an address; the host, whose login asks `verify`, learns for whom it
 * is, and it is used up by that. Only its hash is kept.
 */
#include "engine/ssh_priv.h"

#include "base/cidr.h"
#include "base/clock.h"
#include "base/text.h"
#include "crypto/crypto.h"

/* What OpenBao's helper for hosts asks to see whether the server is there. */
#define ECHO_REQUEST "verify-echo-request"
#define ECHO_ANSWER  "verify-echo-response"

struct mln_err ssh_check_cidrs(struct mln_request *rq, const struct mln_value *list, const char *name)
{
    struct mln_cidr block;
    for (size_t i = 0; i < mln_len(list); i++) {
        struct mln_bytes text = mln_get_bytes(mln_item(list, i));
        if (!mln_cidr_parse(text, &block)) {
            return mln_fail(rq->cx, MLN_E_INVALID, "failed to validate %s: \"%.*s\" is no block of addresses", name,
                            MLN_FMT(mln_bytes_sub(text, 0, 64)));
        }
    }
    return MLN_OK;
}

static bool list_covers(const struct mln_value *list, struct mln_bytes ip)
{
    struct mln_cidr block;
    for (size_t i = 0; i < mln_len(list); i++) {
        if (mln_cidr_parse(mln_get_bytes(mln_item(list, i)), &block) && mln_cidr_has(&block, ip)) {
            return true;
        }
    }
    return false;
}

static struct mln_err zero_load(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("zero"), ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        *ret = NULL;
        return MLN_OK;
    }
    return err;
}

/* One address, no block. */
static struct mln_err address_of(struct mln_request *rq, struct mln_bytes *ret)
{
    struct mln_cidr block;
    struct mln_bytes ip = mln_get_bytes(mln_field_of(rq, "ip"));
    if (ip.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Missing ip");
    }
    if (mln_bytes_find(ip, '/') < ip.len || !mln_cidr_parse(ip, &block)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Invalid ip \"%.*s\"", MLN_FMT(mln_bytes_sub(ip, 0, 64)));
    }
    *ret = ip;
    return MLN_OK;
}

static bool role_covers(const struct mln_value *role, bool is_zero, struct mln_bytes ip)
{
    return is_zero || (list_covers(mln_get(role, "cidr_list"), ip) && !list_covers(mln_get(role, "exclude_cidr_list"), ip));
}

/* ---- making one ---- */

static struct mln_err user_of(struct mln_request *rq, const struct mln_value *role, struct mln_bytes *ret)
{
    struct mln_bytes user = mln_get_bytes(mln_field_of(rq, "username"));
    struct mln_bytes usual = mln_get_bytes(mln_get(role, "default_user"));
    const struct mln_value *allowed = mln_get(role, "allowed_users");
    const char *filled = mln_text_dup(rq->cx, usual);
    if (mln_get_bool(mln_get(role, "default_user_template"), false)) {
        MLN_TRY(rq->services->fill(rq, usual, &filled));
        usual = mln_bytes_of(filled);
    }
    user = user.len > 0 ? user : usual;
    if (user.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "No default username registered. Use 'username' option");
    }
    bool is_any = mln_len(allowed) == 0 || ssh_list_has(allowed, MLN_BYTES("*"));
    if (!is_any && !mln_bytes_eq(user, usual) && !ssh_list_has(allowed, user)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Username is not present is allowed users list");
    }
    *ret = user;
    return mln_cx_err(rq->cx);
}

static const char *row_name(struct mln_cx *cx, struct mln_bytes otp)
{
    uint8_t digest[MLN_SHA256_BYTES];
    mln_sha256(otp, digest);
    return mln_hex_text(cx, mln_bytes_at(digest, sizeof(digest)));
}

static struct mln_bytes row_key(struct mln_cx *cx, const char *name)
{
    return mln_bytes_format(cx, "otp/%s", name);
}

static struct mln_err otp_role(struct mln_request *rq, struct mln_bytes name, const struct mln_value **ret)
{
    struct mln_err err = ssh_role_load(rq, name, ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Role \"%.*s\" not found", MLN_FMT(name));
    }
    MLN_TRY(err);
    return mln_is_text(mln_get(*ret, "key_type"), "otp")
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_INVALID, "role key type unknown"); /* Vault's words for a role of certificates */
}

static struct mln_err make_otp(struct mln_request *rq, struct mln_reply *re, const struct mln_value *role, struct mln_value *data)
{
    struct mln_cx *cx = rq->cx;
    char otp[37];
    int64_t ttl_s = rq->mount->default_ttl_s > 0 ? rq->mount->default_ttl_s : SSH_TTL_DEFAULT_S;
    struct mln_value *row = mln_object(cx), *internal = mln_object(cx);
    struct mln_lease *lease = MLN_NEW(cx, struct mln_lease);
    mln_uuid(otp); /* 122 random bits: its bare hash gives nothing away */
    const char *name = row_name(cx, mln_bytes_of(otp));
    mln_put(cx, row, "ip", mln_get(data, "ip"));
    mln_put(cx, row, "username", mln_get(data, "username"));
    mln_put(cx, row, "role", mln_field_of(rq, "role"));
    mln_put_int(cx, row, "expires_ns", rq->now_ns + ttl_s * 1000000000);
    mln_put_text(cx, internal, "otp", name);
    mln_put(cx, data, "key", mln_secret_string(cx, mln_bytes_dup(cx, mln_bytes_of(otp))));
    mln_put_text(cx, data, "key_type", "otp");
    mln_put(cx, data, "port", mln_get(role, "port"));
    mln_wipe(otp, sizeof(otp));
    struct mln_bytes key = row_key(cx, name);
    MLN_TRY(mln_cx_err(cx));
    *lease = (struct mln_lease){.ttl_s = ttl_s, .internal = internal};
    re->lease = lease;
    return mln_txn_put_value(cx, rq->txn, rq->mount->view, key, row);
}

struct mln_err ssh_creds_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes name = mln_get_bytes(mln_field_of(rq, "role")), ip, user;
    const struct mln_value *role = NULL, *zero = NULL;
    MLN_TRY(otp_role(rq, name, &role));
    MLN_TRY(address_of(rq, &ip));
    MLN_TRY(user_of(rq, role, &user));
    MLN_TRY(zero_load(rq, &zero));
    if (!role_covers(role, ssh_list_has(zero, name), ip)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Error validating IP: IP does not belong to role");
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put_bytes(rq->cx, data, "ip", ip);
    mln_put_bytes(rq->cx, data, "username", user);
    mln_put_bytes(rq->cx, rq->detail, "ip", ip);
    mln_put_bytes(rq->cx, rq->detail, "username", user);
    MLN_TRY(make_otp(rq, re, role, data));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- using one ---- */

struct mln_err ssh_verify_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes otp = mln_get_bytes(mln_field_of(rq, "otp"));
    const struct mln_value *row = NULL;
    struct mln_value *data = mln_object(cx);
    if (mln_bytes_is(otp, ECHO_REQUEST)) {
        mln_put_text(cx, data, "message", ECHO_ANSWER);
        re->data = data;
        return mln_cx_err(cx);
    }
    struct mln_bytes key = row_key(cx, row_name(cx, otp));
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = mln_txn_get_value(cx, rq->txn, rq->mount->view, key, &row);
    if (mln_is(err, MLN_E_NOT_FOUND) || (!mln_failed(err) && mln_get_int(mln_get(row, "expires_ns"), 0) <= rq->now_ns)) {
        return mln_fail(cx, MLN_E_INVALID, "OTP not found");
    }
    MLN_TRY(err);
    mln_put(cx, data, "ip", mln_get(row, "ip"));
    mln_put(cx, data, "role_name", mln_get(row, "role"));
    mln_put(cx, data, "username", mln_get(row, "username"));
    mln_put(cx, rq->detail, "ip", mln_get(row, "ip"));
    mln_put(cx, rq->detail, "username", mln_get(row, "username"));
    re->data = data;
    MLN_TRY(mln_cx_err(cx));
    return mln_txn_delete(cx, rq->txn, rq->mount->view, key);
}

struct mln_err ssh_revoke(struct mln_request *rq, const struct mln_value *internal)
{
    struct mln_bytes key = row_key(rq->cx, mln_get_text(rq->cx, mln_get(internal, "otp"), ""));
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, key);
}

struct mln_err ssh_lookup_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes ip;
    const struct mln_value *zero = NULL, *names = NULL, *role = NULL;
    struct mln_value *data = mln_object(rq->cx), *roles = mln_array(rq->cx);
    MLN_TRY(address_of(rq, &ip));
    MLN_TRY(zero_load(rq, &zero));
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("role/"), &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        MLN_TRY(ssh_role_load(rq, name, &role));
        if (mln_is_text(mln_get(role, "key_type"), "otp") && role_covers(role, ssh_list_has(zero, name), ip)) {
            mln_push(rq->cx, roles, mln_item(names, i));
        }
    }
    mln_put(rq->cx, data, "roles", roles);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- roles for any address ---- */

struct mln_err ssh_zero_read(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *zero = NULL;
    struct mln_value *data = mln_object(rq->cx);
    MLN_TRY(zero_load(rq, &zero));
    if (zero == NULL) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    mln_put(rq->cx, data, "roles", zero);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err ssh_zero_write(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = mln_field_of(rq, "roles"), *role = NULL;
    if (mln_len(names) == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "Missing roles");
    }
    for (size_t i = 0; i < mln_len(names); i++) {
        MLN_TRY(otp_role(rq, mln_get_bytes(mln_item(names, i)), &role));
    }
    re->status = 204;
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("zero"), names);
}

struct mln_err ssh_zero_remove(struct mln_request *rq, struct mln_reply *re)
{
    mln_txn_mark_relief(rq->txn);
    re->status = 204;
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("zero"));
}
