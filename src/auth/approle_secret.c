/* SPDX-License-Identifier: Apache-2.0 */
/* AppRole: secret ids. Only their HMACs are stored; an accessor names one without being of use to log in. */
#include "auth/approle_priv.h"

#include "base/clock.h"
#include "base/json.h"

#define META_MAX_BYTES  16384u /* of a secret id's metadata as text: it goes into each token */
#define SWEEP_MAX       3000u  /* secret ids that one transaction deletes: three rows each fit one batch of the store */
#define NS_PER_S        1000000000
#define HOUR_NS         (3600 * (int64_t)NS_PER_S)
#define NEVER           "0001-01-01T00:00:00Z" /* Go's zero time */

/* ---- rows ---- */

static struct mln_bytes secret_key(struct mln_cx *cx, const char *uid, const char *mac)
{
    return mln_bytes_format(cx, "secret/%s/%s", uid, mac);
}

static struct mln_bytes accessor_key(struct mln_cx *cx, const char *uid, const char *accessor)
{
    return mln_bytes_format(cx, "accessor/%s/%s", uid, accessor);
}

/* The hour after it expired. */
static struct mln_bytes due_key(struct mln_cx *cx, int64_t expires_ns, const char *uid, const char *mac)
{
    return mln_bytes_format(cx, "due/%08llx/%s/%s", (unsigned long long)(expires_ns / HOUR_NS + 1), uid, mac);
}

static struct mln_err remove_rows(struct mln_request *rq, const char *uid, const struct mln_value *secret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_view view = rq->mount->view;
    const char *mac = approle_text(cx, secret, "mac");
    int64_t expires_ns = mln_get_int(mln_get(secret, "expires_ns"), 0);
    MLN_TRY(mln_txn_delete(cx, rq->txn, view, secret_key(cx, uid, mac)));
    MLN_TRY(mln_txn_delete(cx, rq->txn, view, accessor_key(cx, uid, approle_text(cx, secret, "accessor"))));
    return expires_ns == 0 ? MLN_OK : mln_txn_delete(cx, rq->txn, view, due_key(cx, expires_ns, uid, mac));
}

static struct mln_err by_mac(struct mln_request *rq, const struct mln_value *role, const char *mac, const struct mln_value **ret)
{
    const struct mln_value *secret = NULL;
    MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, secret_key(rq->cx, approle_text(rq->cx, role, "uid"), mac), &secret));
    struct mln_bytes kept = mln_get_bytes(mln_get(secret, "mac")), asked = mln_bytes_of(mac);
    int64_t expires_ns = mln_get_int(mln_get(secret, "expires_ns"), 0);
    bool is_live = expires_ns == 0 || rq->now_ns < expires_ns;
    if (!is_live || !mln_eq_ct(kept.ptr, kept.len, asked.ptr, asked.len)) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    *ret = secret;
    return MLN_OK;
}

static struct mln_err by_secret_id(struct mln_request *rq, const struct mln_value *role, struct mln_bytes secret_id,
                                   const struct mln_value **ret)
{
    const char *mac = NULL;
    if (secret_id.len == 0 || secret_id.len > APPROLE_ID_MAX) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    MLN_TRY(approle_mac(rq, secret_id, &mac));
    return by_mac(rq, role, mac, ret);
}

static struct mln_err by_accessor(struct mln_request *rq, const struct mln_value *role, const struct mln_value **ret)
{
    const struct mln_value *mac = NULL;
    const char *accessor = mln_get_text(rq->cx, mln_field_of(rq, "secret_id_accessor"), ""), *uid = approle_text(rq->cx, role, "uid");
    struct mln_bytes text = mln_bytes_of(accessor);
    if (text.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing secret_id_accessor");
    }
    struct mln_err err = {MLN_E_NOT_FOUND};
    if (text.len <= 64 && mln_bytes_find(text, '/') == text.len) {
        err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, accessor_key(rq->cx, uid, accessor), &mac);
    }
    err = mln_failed(err) ? err : by_mac(rq, role, mln_get_text(rq->cx, mac, ""), ret);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_NOT_FOUND, "failed to find accessor entry for secret_id_accessor: \"%.*s\"",
                        (int)(text.len > 64 ? 64 : text.len), accessor);
    }
    return err;
}

/* ---- making ---- */

/* "k=v,k2=v2" */
static struct mln_err pairs_of(struct mln_request *rq, struct mln_bytes text, struct mln_value *ret)
{
    while (text.len > 0) {
        struct mln_bytes value, pair = mln_bytes_cut(text, ',', &text);
        struct mln_bytes key = mln_bytes_trim(mln_bytes_cut(pair, '=', &value));
        if (key.len == 0 || mln_bytes_find(pair, '=') == pair.len) {
            return mln_fail(rq->cx, MLN_E_INVALID, "failed to parse metadata: neither a JSON object nor \"key=value\" pairs");
        }
        mln_put_key(rq->cx, ret, key, mln_string(rq->cx, mln_bytes_trim(value)));
    }
    return MLN_OK;
}

/* An object of texts: given as JSON in a string (Vault's clients), as an object, or as pairs. */
static struct mln_err metadata(struct mln_request *rq, const struct mln_value **ret)
{
    const struct mln_value *given = mln_field_of(rq, "metadata"), *parsed = given;
    struct mln_bytes text = mln_bytes_trim(mln_get_bytes(given));
    struct mln_value *out = mln_object(rq->cx);
    *ret = out;
    if (text.len > META_MAX_BYTES) {
        return mln_fail(rq->cx, MLN_E_INVALID, "metadata has at most %u bytes", META_MAX_BYTES);
    }
    if (mln_is_null(given) || (mln_type_of(given) == MLN_STRING && text.len == 0)) {
        return mln_cx_err(rq->cx);
    }
    if (mln_type_of(given) == MLN_STRING && text.ptr[0] != '{') {
        return pairs_of(rq, text, out);
    }
    if (mln_type_of(given) == MLN_STRING && mln_failed(mln_json_parse(rq->cx, text, &parsed))) {
        return mln_refail(rq->cx, MLN_E_INVALID, "failed to parse metadata: malformed JSON");
    }
    if (mln_type_of(parsed) != MLN_OBJECT) {
        return mln_fail(rq->cx, MLN_E_INVALID, "failed to parse metadata: it must be an object of strings");
    }
    for (size_t i = 0; i < mln_len(parsed); i++) {
        const struct mln_member *m = mln_member_at(parsed, i);
        if (mln_type_of(&m->value) != MLN_STRING || mln_len(&m->value) > META_MAX_BYTES) {
            return mln_fail(rq->cx, MLN_E_INVALID, "failed to parse metadata: it must be an object of strings");
        }
        mln_put_key(rq->cx, out, m->key, &m->value);
    }
    return mln_cx_err(rq->cx);
}

/* The request's own number, at most the role's (0 is no limit). */
static struct mln_err narrower(struct mln_request *rq, const struct mln_value *role, const char *field, const char *of_role,
                               int64_t *ret)
{
    int64_t most = mln_get_int(mln_get(role, of_role), 0);
    const struct mln_value *given = mln_field_of(rq, field);
    *ret = mln_is_null(given) ? most : mln_get_int(given, -1);
    if (*ret < 0 || *ret > INT32_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, *ret < 0 ? "%s cannot be negative" : "%s is too large", field);
    }
    bool is_wider = most > 0 && (*ret == 0 || *ret > most);
    if (!is_wider) {
        return MLN_OK;
    }
    const char *how = mln_bytes_is(mln_bytes_of(field), "ttl") ? "longer" : "higher";
    return mln_fail(rq->cx, MLN_E_INVALID, "%s cannot be %s than the role's %s", field, how, of_role);
}

static struct mln_err take_blocks(struct mln_request *rq, const struct mln_value *role, const char *field, const char *of_role,
                                  struct mln_value *secret)
{
    const struct mln_value *given = mln_field_of(rq, field), *outer = mln_get(role, of_role);
    MLN_TRY(mln_cidrs_check(rq->cx, given));
    if (mln_len(outer) > 0 && !mln_cidrs_within(given, outer)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "%s of the secret ID must be a subset of %s of the role", field, of_role);
    }
    if (mln_len(given) > 0) {
        mln_put(rq->cx, secret, field, given);
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err fill(struct mln_request *rq, const struct mln_value *role, struct mln_value *secret)
{
    struct mln_cx *cx = rq->cx;
    int64_t uses = 0, ttl_s = 0;
    const struct mln_value *meta = NULL;
    MLN_TRY(narrower(rq, role, "num_uses", "secret_id_num_uses", &uses));
    MLN_TRY(narrower(rq, role, "ttl", "secret_id_ttl", &ttl_s));
    if (rq->mount->max_ttl_s > 0 && ttl_s > rq->mount->max_ttl_s) {
        ttl_s = rq->mount->max_ttl_s;
    }
    MLN_TRY(take_blocks(rq, role, "cidr_list", "secret_id_bound_cidrs", secret));
    MLN_TRY(take_blocks(rq, role, "token_bound_cidrs", "token_bound_cidrs", secret));
    MLN_TRY(metadata(rq, &meta));
    mln_put_int(cx, secret, "uses", uses);
    mln_put_int(cx, secret, "ttl_s", ttl_s);
    mln_put_int(cx, secret, "created_ns", rq->now_ns);
    mln_put_int(cx, secret, "updated_ns", rq->now_ns);
    mln_put_int(cx, secret, "expires_ns", ttl_s > 0 ? rq->now_ns + ttl_s * NS_PER_S : 0);
    mln_put(cx, secret, "metadata", meta);
    return mln_cx_err(cx);
}

static struct mln_err put_new(struct mln_request *rq, const char *uid, const struct mln_value *secret)
{
    struct mln_cx *cx = rq->cx;
    struct mln_view view = rq->mount->view;
    const struct mln_value *other = NULL;
    const char *mac = approle_text(cx, secret, "mac");
    int64_t expires_ns = mln_get_int(mln_get(secret, "expires_ns"), 0);
    struct mln_err err = mln_txn_get_value(cx, rq->txn, view, secret_key(cx, uid, mac), &other);
    if (!mln_failed(err)) {
        return mln_fail(cx, MLN_E_INVALID, "SecretID is already registered");
    }
    if (!mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    MLN_TRY(mln_txn_put_value(cx, rq->txn, view, secret_key(cx, uid, mac), secret));
    MLN_TRY(mln_txn_put_value(cx, rq->txn, view, accessor_key(cx, uid, approle_text(cx, secret, "accessor")), mln_text(cx, mac)));
    return expires_ns == 0 ? MLN_OK : mln_txn_put(cx, rq->txn, view, due_key(cx, expires_ns, uid, mac), MLN_BYTES_NONE);
}

static struct mln_err make(struct mln_request *rq, struct mln_reply *re, struct mln_bytes secret_id)
{
    struct mln_cx *cx = rq->cx;
    const char *name = NULL, *mac = NULL;
    const struct mln_value *role = NULL;
    char *accessor = mln_new(cx, 37);
    struct mln_value *secret = mln_object(cx), *data = mln_object(cx);
    MLN_TRY(approle_need(rq, &name, &role));
    if (!mln_get_bool(mln_get(role, "bind_secret_id"), true)) {
        return mln_fail(cx, MLN_E_INVALID, "bind_secret_id is not set on the role");
    }
    MLN_TRY(fill(rq, role, secret));
    MLN_TRY(approle_mac(rq, secret_id, &mac));
    mln_uuid(accessor);
    mln_put_text(cx, secret, "mac", mac);
    mln_put_text(cx, secret, "accessor", accessor);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(put_new(rq, approle_text(cx, role, "uid"), secret));
    mln_put_text(cx, rq->detail, "role", name);
    mln_put_text(cx, rq->detail, "secret_id_accessor", accessor);
    mln_put(cx, data, "secret_id", mln_secret_string(cx, secret_id));
    mln_put_text(cx, data, "secret_id_accessor", accessor);
    mln_put(cx, data, "secret_id_num_uses", mln_get(secret, "uses"));
    mln_put(cx, data, "secret_id_ttl", mln_get(secret, "ttl_s"));
    re->data = data;
    return mln_cx_err(cx);
}

struct mln_err approle_secret_make(struct mln_request *rq, struct mln_reply *re)
{
    char *id = mln_new(rq->cx, 37);
    if (id == NULL) {
        return mln_cx_err(rq->cx);
    }
    mln_uuid(id);
    return make(rq, re, mln_bytes_of(id));
}

struct mln_err approle_secret_custom(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_bytes id = mln_get_bytes(mln_field_of(rq, "secret_id"));
    if (id.len == 0 || id.len > APPROLE_ID_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, id.len == 0 ? "missing secret_id" : "secret_id is too long");
    }
    return make(rq, re, id);
}

/* ---- looking and destroying ---- */

struct mln_err approle_secret_list(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL, *names = NULL;
    MLN_TRY(approle_need(rq, &name, &role));
    struct mln_bytes folder = mln_bytes_format(rq->cx, "accessor/%s/", approle_text(rq->cx, role, "uid"));
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, folder, &names));
    if (mln_len(names) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

static void put_list(struct mln_cx *cx, struct mln_value *data, const struct mln_value *secret, const char *name)
{
    const struct mln_value *v = mln_get(secret, name);
    mln_put(cx, data, name, mln_is_null(v) ? mln_array(cx) : v);
}

static struct mln_err show(struct mln_request *rq, const struct mln_value *secret, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_value *data = mln_object(cx);
    int64_t expires_ns = mln_get_int(mln_get(secret, "expires_ns"), 0);
    put_list(cx, data, secret, "cidr_list");
    mln_put_text(cx, data, "creation_time", mln_time_text_go(cx, mln_get_int(mln_get(secret, "created_ns"), 0)));
    mln_put_text(cx, data, "expiration_time", expires_ns == 0 ? NEVER : mln_time_text_go(cx, expires_ns));
    mln_put_text(cx, data, "last_updated_time", mln_time_text_go(cx, mln_get_int(mln_get(secret, "updated_ns"), 0)));
    mln_put(cx, data, "metadata", mln_get(secret, "metadata"));
    mln_put(cx, data, "secret_id_accessor", mln_get(secret, "accessor"));
    mln_put(cx, data, "secret_id_num_uses", mln_get(secret, "uses"));
    mln_put(cx, data, "secret_id_ttl", mln_get(secret, "ttl_s"));
    put_list(cx, data, secret, "token_bound_cidrs");
    re->data = data;
    return mln_cx_err(cx);
}

static struct mln_err find(struct mln_request *rq, const struct mln_value **ret_role, const struct mln_value **ret)
{
    const char *name = NULL;
    struct mln_bytes secret_id = mln_get_bytes(mln_field_of(rq, "secret_id"));
    if (secret_id.len == 0) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing secret_id");
    }
    MLN_TRY(approle_need(rq, &name, ret_role));
    mln_put_text(rq->cx, rq->detail, "role", name);
    struct mln_err err = by_secret_id(rq, *ret_role, secret_id, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err; /* Vault answers 204 */
}

struct mln_err approle_secret_lookup(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *role = NULL, *secret = NULL;
    MLN_TRY(find(rq, &role, &secret));
    return secret == NULL ? MLN_OK : show(rq, secret, re);
}

struct mln_err approle_secret_destroy(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *role = NULL, *secret = NULL;
    (void)re;
    MLN_TRY(find(rq, &role, &secret));
    return secret == NULL ? MLN_OK : remove_rows(rq, approle_text(rq->cx, role, "uid"), secret);
}

struct mln_err approle_accessor_lookup(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL, *secret = NULL;
    MLN_TRY(approle_need(rq, &name, &role));
    MLN_TRY(by_accessor(rq, role, &secret));
    return show(rq, secret, re);
}

struct mln_err approle_accessor_destroy(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL, *secret = NULL;
    (void)re;
    MLN_TRY(approle_need(rq, &name, &role));
    MLN_TRY(by_accessor(rq, role, &secret));
    mln_put_text(rq->cx, rq->detail, "role", name);
    mln_put(rq->cx, rq->detail, "secret_id_accessor", mln_get(secret, "accessor"));
    return remove_rows(rq, approle_text(rq->cx, role, "uid"), secret);
}

/* ---- logins ---- */

struct mln_err approle_secret_find(struct mln_request *rq, const struct mln_value *role, struct mln_bytes secret_id,
                                   const struct mln_value **ret)
{
    struct mln_err err = by_secret_id(rq, role, secret_id, ret);
    return mln_is(err, MLN_E_NOT_FOUND) ? mln_fail(rq->cx, MLN_E_BAD_LOGIN, "invalid role or secret ID") : err;
}

/* Two logins with the last use meet as a conflict of their transactions: one of them runs again and finds it gone. */
struct mln_err approle_secret_use(struct mln_request *rq, const struct mln_value *role, const struct mln_value *secret)
{
    int64_t uses = mln_get_int(mln_get(secret, "uses"), 0);
    const char *uid = approle_text(rq->cx, role, "uid");
    if (uses == 0) {
        return MLN_OK;
    }
    if (uses == 1) {
        return remove_rows(rq, uid, secret);
    }
    struct mln_value *less = mln_value_dup(rq->cx, secret);
    mln_put_int(rq->cx, less, "uses", uses - 1);
    mln_put_int(rq->cx, less, "updated_ns", rq->now_ns);
    MLN_TRY(mln_cx_err(rq->cx));
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, secret_key(rq->cx, uid, approle_text(rq->cx, secret, "mac")), less);
}

/* ---- sweeping ---- */

/* Rows of a uid that no role has any more lead nowhere, so what does not fit this transaction is swept with its hour or left. */
struct mln_err approle_secret_forget(struct mln_request *rq, const struct mln_value *role)
{
    const struct mln_value *macs = NULL, *secret = NULL;
    const char *uid = approle_text(rq->cx, role, "uid");
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "secret/%s/", uid), &macs));
    for (size_t i = 0; i < mln_len(macs) && i < SWEEP_MAX; i++) {
        struct mln_bytes key = secret_key(rq->cx, uid, mln_get_text(rq->cx, mln_item(macs, i), ""));
        MLN_TRY(mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, key, &secret));
        MLN_TRY(remove_rows(rq, uid, secret));
    }
    return MLN_OK;
}

static struct mln_err sweep_one(struct mln_request *rq, const char *hour, const char *uid, const char *mac)
{
    const struct mln_value *secret = NULL;
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, secret_key(rq->cx, uid, mac), &secret);
    int64_t expires_ns = mln_get_int(mln_get(secret, "expires_ns"), 0);
    if (!mln_failed(err) && expires_ns != 0 && expires_ns <= rq->now_ns) {
        return remove_rows(rq, uid, secret);
    }
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "due/%s/%s/%s", hour, uid, mac));
}

/* A folder's name without its "/". */
static const char *folder_name(struct mln_cx *cx, const struct mln_value *name)
{
    struct mln_bytes text = mln_get_bytes(name);
    return mln_text_dup(cx, mln_bytes_sub(text, 0, text.len > 0 ? text.len - 1 : 0));
}

static struct mln_err sweep_hour(struct mln_request *rq, const char *hour, size_t *left)
{
    const struct mln_value *uids = NULL, *macs = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "due/%s/", hour), &uids));
    for (size_t i = 0; i < mln_len(uids) && *left > 0; i++) {
        const char *uid = folder_name(rq->cx, mln_item(uids, i));
        MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "due/%s/%s/", hour, uid), &macs));
        for (size_t k = 0; k < mln_len(macs) && *left > 0; k++, --*left) {
            MLN_TRY(sweep_one(rq, hour, uid, mln_get_text(rq->cx, mln_item(macs, k), "")));
        }
    }
    return MLN_OK;
}

struct mln_err approle_tick(struct mln_request *rq)
{
    const struct mln_value *hours = NULL;
    size_t left = SWEEP_MAX;
    const char *now = mln_text_format(rq->cx, "%08llx", (unsigned long long)(rq->now_ns / HOUR_NS));
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("due/"), &hours));
    for (size_t i = 0; i < mln_len(hours) && left > 0; i++) {
        const char *hour = folder_name(rq->cx, mln_item(hours, i));
        if (mln_bytes_cmp(mln_bytes_of(hour), mln_bytes_of(now)) > 0) {
            break;
        }
        MLN_TRY(sweep_hour(rq, hour, &left));
    }
    return mln_cx_err(rq->cx);
}
