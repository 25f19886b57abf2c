/* SPDX-License-Identifier: Apache-2.0 */
/* AppRole: roles, as a whole and field by field. */
#include "auth/approle_priv.h"

#include "base/clock.h"

/* ---- the role's id ---- */

static struct mln_bytes id_key(struct mln_cx *cx, const char *mac)
{
    return mln_bytes_format(cx, "role-id/%s", mac);
}

static struct mln_err drop_id(struct mln_request *rq, const struct mln_value *role)
{
    const char *mac = NULL;
    MLN_TRY(approle_mac(rq, mln_get_bytes(mln_get(role, "role_id")), &mac));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, id_key(rq->cx, mac));
}

/* One role has an id at a time; the old id of this role is no one's from now on. */
static struct mln_err set_id(struct mln_request *rq, const char *name, struct mln_value *role, const char *id)
{
    const char *mac = NULL;
    const struct mln_value *other = NULL;
    struct mln_bytes text = mln_bytes_of(id);
    if (text.len == 0 || text.len > APPROLE_ID_MAX) {
        return mln_fail(rq->cx, MLN_E_INVALID, text.len == 0 ? "missing role_id" : "role_id is too long");
    }
    MLN_TRY(approle_mac(rq, text, &mac));
    struct mln_err err = mln_txn_get_value(rq->cx, rq->txn, rq->mount->view, id_key(rq->cx, mac), &other);
    if (!mln_failed(err) && !mln_is_text(other, name)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "failed to create an index role: role_id already in use");
    }
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    if (mln_get(role, "role_id") != NULL) {
        MLN_TRY(drop_id(rq, role));
    }
    mln_put_text(rq->cx, role, "role_id", id);
    return mln_txn_put_value(rq->cx, rq->txn, rq->mount->view, id_key(rq->cx, mac), mln_text(rq->cx, name));
}

struct mln_err approle_role_id_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL;
    MLN_TRY(approle_name(rq, &name));
    MLN_TRY(approle_load(rq, name, &role));
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "role_id", mln_get(role, "role_id"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err approle_role_id_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *before = NULL;
    (void)re;
    MLN_TRY(approle_need(rq, &name, &before));
    struct mln_value *role = mln_value_dup(rq->cx, before);
    MLN_TRY(set_id(rq, name, role, mln_get_text(rq->cx, mln_field_of(rq, "role_id"), "")));
    return approle_put(rq, name, role);
}

/* ---- the role's own fields ---- */

enum own { OWN_BOOL, OWN_COUNT, OWN_CIDRS };

static const struct own_field {
    const char *name, *old;
    enum own kind;
} own_fields[] = {
    {"bind_secret_id", NULL, OWN_BOOL},      {"local_secret_ids", NULL, OWN_BOOL}, {"secret_id_bound_cidrs", "bound_cidr_list", OWN_CIDRS},
    {"secret_id_num_uses", NULL, OWN_COUNT}, {"secret_id_ttl", NULL, OWN_COUNT},
};

static const struct own_field *own_of(const char *name)
{
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        if (mln_bytes_is(mln_bytes_of(name), own_fields[i].name)) {
            return &own_fields[i];
        }
    }
    return NULL;
}

static struct mln_err take_own(struct mln_request *rq, const struct own_field *f, struct mln_value *role, bool *ret_given)
{
    const struct mln_value *v = mln_field_of(rq, f->name);
    v = mln_is_null(v) && f->old != NULL ? mln_field_of(rq, f->old) : v;
    *ret_given = !mln_is_null(v);
    if (!*ret_given) {
        return MLN_OK;
    }
    if (f->kind == OWN_COUNT && (mln_get_int(v, -1) < 0 || mln_get_int(v, -1) > INT32_MAX)) {
        return mln_fail(rq->cx, MLN_E_INVALID, mln_get_int(v, -1) < 0 ? "%s cannot be negative" : "%s is too large", f->name);
    }
    if (f->kind == OWN_CIDRS) {
        MLN_TRY(mln_cidrs_check(rq->cx, v));
    }
    mln_put(rq->cx, role, f->name, v);
    return mln_cx_err(rq->cx);
}

static const struct mln_value *print_own(struct mln_cx *cx, const struct own_field *f, const struct mln_value *role)
{
    const struct mln_value *v = mln_get(role, f->name);
    switch (f->kind) {
    case OWN_BOOL:
        return mln_bool(cx, mln_get_bool(v, mln_bytes_is(mln_bytes_of(f->name), "bind_secret_id")));
    case OWN_COUNT:
        return mln_int(cx, mln_get_int(v, 0));
    case OWN_CIDRS:
    default:
        return mln_len(v) > 0 ? v : mln_null(cx);
    }
}

/* Whoever knows the role id alone must be held by something. */
static struct mln_err check_bound(struct mln_cx *cx, const struct mln_value *role)
{
    bool is_bound = mln_get_bool(mln_get(role, "bind_secret_id"), true) || mln_len(mln_get(role, "secret_id_bound_cidrs")) > 0 ||
                    mln_len(mln_get(role, "token_bound_cidrs")) > 0;
    return is_bound ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "at least one constraint should be enabled on the role");
}

/* ---- whole roles ---- */

static struct mln_value *new_role(struct mln_cx *cx)
{
    struct mln_value *role = mln_object(cx);
    char *uid = mln_new(cx, 25);
    if (uid != NULL) {
        mln_random_base62(uid, 24);
        mln_put_text(cx, role, "uid", uid);
    }
    return role;
}

static struct mln_err give_id(struct mln_request *rq, const char *name, struct mln_value *role, bool is_new)
{
    const struct mln_value *given = mln_field_of(rq, "role_id");
    char *id = mln_new(rq->cx, 37);
    if (mln_len(given) > 0) {
        return set_id(rq, name, role, mln_get_text(rq->cx, given, ""));
    }
    if (!is_new || id == NULL) {
        return mln_cx_err(rq->cx);
    }
    mln_uuid(id);
    return set_id(rq, name, role, id);
}

struct mln_err approle_role_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *before = NULL;
    bool is_given = false;
    (void)re;
    MLN_TRY(approle_name(rq, &name));
    struct mln_err err = approle_load(rq, name, &before);
    bool is_new = mln_is(err, MLN_E_NOT_FOUND);
    if (mln_failed(err) && !is_new) {
        return err;
    }
    if (!is_new && !mln_is_null(mln_field_of(rq, "local_secret_ids"))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "local_secret_ids can only be modified during role creation");
    }
    struct mln_value *role = is_new ? new_role(rq->cx) : mln_value_dup(rq->cx, before);
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        MLN_TRY(take_own(rq, &own_fields[i], role, &is_given));
    }
    MLN_TRY(mln_token_fields_take(rq, role));
    MLN_TRY(check_bound(rq->cx, role));
    MLN_TRY(give_id(rq, name, role, is_new));
    return approle_put(rq, name, role);
}

struct mln_err approle_role_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL;
    MLN_TRY(approle_name(rq, &name));
    MLN_TRY(approle_load(rq, name, &role));
    struct mln_value *data = mln_object(rq->cx);
    for (size_t i = 0; i < MLN_COUNT(own_fields); i++) {
        mln_put(rq->cx, data, own_fields[i].name, print_own(rq->cx, &own_fields[i], role));
    }
    mln_token_fields_print(rq->cx, role, data);
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err approle_role_exists(struct mln_request *rq, bool *ret)
{
    const char *name = NULL;
    const struct mln_value *role = NULL;
    MLN_TRY(approle_name(rq, &name));
    struct mln_err err = approle_load(rq, name, &role);
    *ret = !mln_failed(err);
    return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
}

struct mln_err approle_role_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL;
    const struct mln_value *role = NULL;
    (void)re;
    MLN_TRY(approle_name(rq, &name));
    mln_put_text(rq->cx, rq->detail, "role", name);
    struct mln_err err = approle_load(rq, name, &role);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    }
    MLN_TRY(drop_id(rq, role));
    MLN_TRY(approle_secret_forget(rq, role));
    return mln_txn_delete(rq->cx, rq->txn, rq->mount->view, mln_bytes_format(rq->cx, "role/%s", name));
}

struct mln_err approle_role_list(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    MLN_TRY(mln_txn_list(rq->cx, rq->txn, rq->mount->view, MLN_BYTES("role/"), &names));
    if (mln_len(names) == 0) {
        return (struct mln_err){MLN_E_NOT_FOUND};
    }
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, "keys", names);
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* ---- one field ---- */

/* "role/r/secret-id-ttl" names "secret_id_ttl"; two segments have another name than their field. */
static const char *field_at(struct mln_request *rq)
{
    struct mln_bytes after, rest = rq->rest;
    rest = mln_bytes_ends(rest, MLN_BYTES("/")) ? mln_bytes_sub(rest, 0, rest.len - 1) : rest;
    struct mln_bytes segment = mln_bytes_cut(rest, '/', &after);
    while (after.len > 0) {
        segment = mln_bytes_cut(after, '/', &after);
    }
    if (mln_bytes_is(segment, "policies")) {
        return "token_policies";
    }
    if (mln_bytes_is(segment, "period")) {
        return "token_period";
    }
    if (mln_bytes_is(segment, "bound-cidr-list")) {
        return "secret_id_bound_cidrs";
    }
    char *name = mln_new(rq->cx, segment.len + 1);
    for (size_t i = 0; name != NULL && i < segment.len; i++) {
        name[i] = segment.ptr[i] == '-' ? '_' : (char)segment.ptr[i];
    }
    return name != NULL ? name : "";
}

struct mln_err approle_field_read(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL, *field = field_at(rq);
    const struct mln_value *role = NULL;
    const struct own_field *own = own_of(field);
    MLN_TRY(approle_name(rq, &name));
    MLN_TRY(approle_load(rq, name, &role));
    struct mln_value *data = mln_object(rq->cx);
    mln_put(rq->cx, data, field, own != NULL ? print_own(rq->cx, own, role) : mln_token_fields_value(rq->cx, role, field));
    re->data = data;
    return mln_cx_err(rq->cx);
}

struct mln_err approle_field_write(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL, *field = field_at(rq);
    const struct mln_value *before = NULL;
    const struct own_field *own = own_of(field);
    bool is_given = true;
    (void)re;
    MLN_TRY(approle_need(rq, &name, &before));
    struct mln_value *role = mln_value_dup(rq->cx, before);
    if (mln_bytes_is(mln_bytes_of(field), "local_secret_ids")) {
        return mln_fail(rq->cx, MLN_E_INVALID, "local_secret_ids can only be modified during role creation");
    }
    if (own == NULL) {
        MLN_TRY(mln_token_fields_take_one(rq, role, field));
    } else {
        MLN_TRY(take_own(rq, own, role, &is_given));
    }
    if (!is_given) {
        return mln_fail(rq->cx, MLN_E_INVALID, "missing %s", field);
    }
    MLN_TRY(check_bound(rq->cx, role));
    return approle_put(rq, name, role);
}

struct mln_err approle_field_remove(struct mln_request *rq, struct mln_reply *re)
{
    const char *name = NULL, *field = field_at(rq);
    const struct mln_value *before = NULL;
    (void)re;
    MLN_TRY(approle_name(rq, &name));
    struct mln_err err = approle_load(rq, name, &before);
    if (mln_failed(err)) {
        return mln_is(err, MLN_E_NOT_FOUND) ? MLN_OK : err;
    }
    struct mln_value *role = mln_value_dup(rq->cx, before);
    if (mln_bytes_is(mln_bytes_of(field), "local_secret_ids")) {
        return mln_fail(rq->cx, MLN_E_METHOD, "unsupported operation");
    }
    if (own_of(field) != NULL) {
        mln_remove(role, mln_bytes_of(field));
    } else {
        mln_token_fields_reset(role, field);
    }
    MLN_TRY(check_bound(rq->cx, role));
    return approle_put(rq, name, role);
}
