/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity/oidc/key: named signing keys. Each has the key that signs, the next one (published before it signs, so that verifiers know
 * it in time) and retired ones, of which only the public half is kept while tokens of them may live.
 */
#include "identity/oidc_priv.h"

#define ROTATION_S  (24 * 3600)
#define RETIRED_MAX 64u /* published at once: rotating by hand in a loop ends here */

static bool is_default(struct mln_bytes name)
{
    return mln_bytes_is(name, "default");
}

/* ---- making ---- */

static struct mln_err new_pair(struct mln_request *rq, enum mln_jose_alg alg,
                               const struct mln_value **ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf der = {.is_secret = true};
    struct mln_value *pair = mln_object(rq->cx);
    const struct mln_value *jwk = NULL;
    const char *kid = id_new_uuid(rq->cx);
    rq->services->block(rq);
    MLN_TRY(mln_jose_generate(rq->cx, alg, &der));
    MLN_TRY(mln_jose_jwk(rq->cx, alg, kid, mln_buf_bytes(&der), &jwk));
    mln_put_text(rq->cx, pair, "kid", kid);
    mln_put(rq->cx, pair, "der", mln_blob(rq->cx, mln_bytes_dup(rq->cx, mln_buf_bytes(&der))));
    mln_put(rq->cx, pair, "jwk", jwk);
    *ret = pair;
    return mln_cx_err(rq->cx);
}

static struct mln_err alg_of(struct mln_request *rq, const struct mln_value *key,
                             enum mln_jose_alg *ret)
{
    return mln_jose_alg_of(mln_get_bytes(mln_get(key, "algorithm")), ret)
               ? MLN_OK
               : mln_fail(rq->cx, MLN_E_CORRUPT, "oidc: a key of no algorithm");
}

static struct mln_err make_pairs(struct mln_request *rq, struct mln_value *key)
{
    const struct mln_value *current = NULL, *next = NULL;
    enum mln_jose_alg alg;
    MLN_TRY(alg_of(rq, key, &alg));
    MLN_TRY(new_pair(rq, alg, &current));
    MLN_TRY(new_pair(rq, alg, &next));
    mln_put(rq->cx, key, "current", current);
    mln_put(rq->cx, key, "next", next);
    mln_put(rq->cx, key, "retired", mln_array(rq->cx));
    mln_put_int(rq->cx, key, "rotates_ns",
                rq->now_ns +
                    mln_get_int(mln_get(key, "rotation_period_s"), ROTATION_S) * OIDC_SECOND_NS);
    return mln_cx_err(rq->cx);
}

static struct mln_value *fresh(struct mln_request *rq)
{
    struct mln_value *key = mln_object(rq->cx);
    mln_put_text(rq->cx, key, "algorithm", "RS256");
    mln_put_int(rq->cx, key, "rotation_period_s", ROTATION_S);
    mln_put_int(rq->cx, key, "verification_ttl_s", ROTATION_S);
    mln_put(rq->cx, key, "allowed_client_ids", mln_array(rq->cx));
    return key;
}

static struct mln_err make_default(struct mln_request *rq, const struct mln_value **ret)
{
    struct mln_value *key = fresh(rq), *all = mln_array(rq->cx);
    mln_push_text(rq->cx, all, "*");
    mln_put(rq->cx, key, "allowed_client_ids", all);
    MLN_TRY(make_pairs(rq, key));
    MLN_TRY(oidc_put(rq, "key", MLN_BYTES("default"), key));
    *ret = key;
    return MLN_OK;
}

struct mln_err oidc_key(struct mln_request *rq, struct mln_bytes name, const struct mln_value **ret)
{
    struct mln_err err = oidc_get(rq, "key", name, ret);
    return mln_is(err, MLN_E_NOT_FOUND) && is_default(name) ? make_default(rq, ret) : err;
}

/* ---- using ---- */

struct mln_err oidc_sign(struct mln_request *rq, const struct mln_value *key,
                         const struct mln_value *claims, const char **ret)
{
    const struct mln_value *current = mln_get(key, "current");
    MLN_AUTO(mln_buf_drop) struct mln_buf jwt = {.is_secret = true};
    struct mln_jose_key with = {.kid = id_text(rq->cx, current, "kid"),
                                .der = mln_get_bytes(mln_get(current, "der"))};
    MLN_TRY(alg_of(rq, key, &with.alg));
    MLN_TRY(mln_jose_sign(rq->cx, &with, NULL, claims, &jwt));
    *ret = mln_text_dup(rq->cx, mln_buf_bytes(&jwt));
    return mln_cx_err(rq->cx);
}

struct mln_err oidc_jwks(struct mln_request *rq, const struct mln_value *names,
                         const struct mln_value **ret)
{
    struct mln_value *out = mln_object(rq->cx), *keys = mln_array(rq->cx);
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *key = NULL;
        struct mln_err err = oidc_get(rq, "key", mln_get_bytes(mln_item(names, i)), &key);
        if (mln_is(err, MLN_E_NOT_FOUND)) {
            continue;
        }
        MLN_TRY(err);
        mln_push(rq->cx, keys, mln_get(mln_get(key, "current"), "jwk"));
        mln_push(rq->cx, keys, mln_get(mln_get(key, "next"), "jwk"));
        const struct mln_value *retired = mln_get(key, "retired");
        for (size_t k = 0; k < mln_len(retired); k++) {
            if (mln_get_int(mln_get(mln_item(retired, k), "expires_ns"), 0) > rq->now_ns) {
                mln_push(rq->cx, keys, mln_get(mln_item(retired, k), "jwk"));
            }
        }
    }
    mln_put(rq->cx, out, "keys", keys);
    *ret = out;
    return mln_cx_err(rq->cx);
}

/* ---- rotating ---- */

static struct mln_err rotate(struct mln_request *rq, struct mln_bytes name,
                             const struct mln_value *old, int64_t verification_s)
{
    struct mln_value *key = mln_value_dup(rq->cx, old), *retired = mln_array(rq->cx),
                     *gone = mln_object(rq->cx);
    const struct mln_value *before = mln_get(old, "retired"), *next = NULL;
    enum mln_jose_alg alg;
    mln_put(rq->cx, gone, "jwk", mln_get(mln_get(old, "current"), "jwk"));
    mln_put_int(rq->cx, gone, "expires_ns", rq->now_ns + verification_s * OIDC_SECOND_NS);
    mln_push(rq->cx, retired, gone);
    for (size_t i = 0; i < mln_len(before); i++) {
        if (mln_get_int(mln_get(mln_item(before, i), "expires_ns"), 0) > rq->now_ns) {
            mln_push(rq->cx, retired, mln_item(before, i));
        }
    }
    if (mln_len(retired) > RETIRED_MAX) {
        return mln_fail(rq->cx, MLN_E_LIMIT,
                        "more than %u retired keys are still published: let some expire",
                        RETIRED_MAX);
    }
    MLN_TRY(alg_of(rq, old, &alg));
    MLN_TRY(new_pair(rq, alg, &next));
    mln_put(rq->cx, key, "retired", retired);
    mln_put(rq->cx, key, "current", mln_get(old, "next"));
    mln_put(rq->cx, key, "next", next);
    mln_put_int(rq->cx, key, "rotates_ns",
                rq->now_ns +
                    mln_get_int(mln_get(old, "rotation_period_s"), ROTATION_S) * OIDC_SECOND_NS);
    return oidc_put(rq, "key", name, key);
}

struct mln_err oidc_rotate_due(struct mln_request *rq)
{
    const struct mln_value *names = NULL;
    struct mln_value *done = mln_array(rq->cx);
    MLN_TRY(oidc_names(rq, "key", &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *key = NULL;
        struct mln_bytes name = mln_get_bytes(mln_item(names, i));
        MLN_TRY(oidc_get(rq, "key", name, &key));
        if (mln_get_int(mln_get(key, "rotates_ns"), INT64_MAX) <= rq->now_ns) {
            MLN_TRY(
                rotate(rq, name, key, mln_get_int(mln_get(key, "verification_ttl_s"), ROTATION_S)));
            mln_push(rq->cx, done, mln_item(names, i));
        }
    }
    if (mln_len(done) > 0) {
        mln_put(rq->cx, rq->detail, "rotated", done);
    }
    return mln_cx_err(rq->cx);
}

static struct mln_err rotate_path(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *key = NULL, *asked = mln_field_of(rq, "verification_ttl");
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    struct mln_err err = oidc_get(rq, "key", name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "no key found at \"%.64s\"",
                        mln_text_dup(rq->cx, name));
    }
    MLN_TRY(err);
    int64_t verification_s =
        mln_get_int(asked, mln_get_int(mln_get(key, "verification_ttl_s"), ROTATION_S));
    if (verification_s < 0 || verification_s > 10LL * 365 * 86400) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "verification_ttl must be 0 or more, and at most ten years");
    }
    return rotate(rq, name, key, verification_s);
}

/* ---- paths ---- */

static struct mln_err write_key(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *old = NULL, *asked = mln_field_of(rq, "algorithm");
    struct mln_bytes name;
    enum mln_jose_alg alg;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    struct mln_err err = oidc_get(rq, "key", name, &old);
    if (mln_failed(err) && !mln_is(err, MLN_E_NOT_FOUND)) {
        return err;
    }
    struct mln_value *key = old != NULL ? mln_value_dup(rq->cx, old) : fresh(rq);
    MLN_TRY(oidc_put_seconds(rq, "rotation_period", key, "rotation_period_s"));
    MLN_TRY(oidc_put_seconds(rq, "verification_ttl", key, "verification_ttl_s"));
    MLN_TRY(oidc_put_list(rq, "allowed_client_ids", key));
    int64_t rotation_s = mln_get_int(mln_get(key, "rotation_period_s"), 0);
    if (rotation_s < 60) {
        return mln_fail(rq->cx, MLN_E_INVALID, "rotation_period must be at least one minute");
    }
    if (mln_get_int(mln_get(key, "verification_ttl_s"), 0) > 10 * rotation_s) {
        return mln_fail(rq->cx, MLN_E_INVALID,
                        "verification_ttl cannot be longer than 10x rotation_period");
    }
    if (!mln_is_null(asked)) {
        mln_put(rq->cx, key, "algorithm", asked);
    }
    if (!mln_jose_alg_of(mln_get_bytes(mln_get(key, "algorithm")), &alg) ||
        mln_bytes_starts(mln_get_bytes(asked), MLN_BYTES("PS"))) {
        return mln_fail(rq->cx, MLN_E_INVALID, "unknown signing algorithm \"%.32s\"",
                        mln_get_text(rq->cx, asked, ""));
    }
    mln_put(rq->cx, rq->detail, "key", mln_field_of(rq, "name"));
    if (old == NULL) {
        MLN_TRY(make_pairs(rq, key));
    } else if (!mln_value_eq(mln_get(old, "algorithm"), mln_get(key, "algorithm"))) {
        const struct mln_value *next =
            NULL; /* what signs now goes on until it is rotated: then twice of the new kind */
        MLN_TRY(new_pair(rq, alg, &next));
        mln_put(rq->cx, key, "next", next);
        return rotate(rq, name, key, mln_get_int(mln_get(key, "verification_ttl_s"), ROTATION_S));
    }
    return oidc_put(rq, "key", name, key);
}

static struct mln_err read_key(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *key = NULL;
    struct mln_value *data = mln_object(rq->cx);
    struct mln_bytes name;
    MLN_TRY(oidc_field_name(rq, &name));
    MLN_TRY(oidc_get(rq, "key", name, &key));
    mln_put(rq->cx, data, "algorithm", mln_get(key, "algorithm"));
    mln_put(rq->cx, data, "allowed_client_ids", mln_get(key, "allowed_client_ids"));
    mln_put(rq->cx, data, "rotation_period", mln_get(key, "rotation_period_s"));
    mln_put(rq->cx, data, "verification_ttl", mln_get(key, "verification_ttl_s"));
    re->data = data;
    return mln_cx_err(rq->cx);
}

/* Names of roles or clients that use the key, comma separated; "" when none. */
static struct mln_err users_of(struct mln_request *rq, const char *kind, struct mln_bytes name,
                               const char **ret)
{
    const struct mln_value *names = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf list = {.max = 256};
    MLN_TRY(oidc_names(rq, kind, &names));
    for (size_t i = 0; i < mln_len(names); i++) {
        const struct mln_value *row = NULL;
        MLN_TRY(oidc_get(rq, kind, mln_get_bytes(mln_item(names, i)), &row));
        if (mln_bytes_eq(mln_get_bytes(mln_get(row, "key")), name)) {
            mln_buf_add_text(&list, list.len > 0 ? ", " : "");
            mln_buf_add_bytes(&list, mln_get_bytes(mln_item(names, i)));
        }
    }
    *ret = mln_text_dup(rq->cx, mln_buf_bytes(&list));
    return mln_cx_err(rq->cx);
}

static struct mln_err delete_key(struct mln_request *rq, struct mln_reply *re)
{
    static const char *const kinds[] = {"role", "client"};
    struct mln_bytes name;
    (void)re;
    MLN_TRY(oidc_field_name(rq, &name));
    if (is_default(name)) {
        return mln_fail(rq->cx, MLN_E_INVALID, "deletion of key \"default\" not allowed");
    }
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        const char *users = NULL;
        MLN_TRY(users_of(rq, kinds[i], name, &users));
        if (users[0] != 0) {
            return mln_fail(rq->cx, MLN_E_INVALID,
                            "unable to delete key \"%.64s\" because it is currently referenced by "
                            "these %ss: %s",
                            mln_text_dup(rq->cx, name), kinds[i], users);
        }
    }
    mln_put(rq->cx, rq->detail, "key", mln_field_of(rq, "name"));
    return oidc_delete(rq, "key", name);
}

static struct mln_err list_keys(struct mln_request *rq, struct mln_reply *re)
{
    const struct mln_value *names = NULL;
    MLN_TRY(oidc_names(rq, "key", &names));
    return id_answer_list(rq, re, names, NULL);
}

static const struct mln_field key_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The key's name."},
    {.name = "rotation_period",
     .type = MLN_FIELD_DURATION,
     .help = "How often it is rotated; a day by default."},
    {.name = "verification_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "How long a retired key is still published; a day by default."},
    {.name = "allowed_client_ids",
     .type = MLN_FIELD_LIST,
     .help = "Client ids of roles that may use it; \"*\" is all."},
    {.name = "algorithm",
     .type = MLN_FIELD_TEXT,
     .help = "RS256 (default), RS384, RS512, ES256, ES384, ES512 or EdDSA."},
    {0},
};
static const struct mln_field rotate_fields[] = {
    {.name = "name", .type = MLN_FIELD_TEXT, .help = "The key's name."},
    {.name = "verification_ttl",
     .type = MLN_FIELD_DURATION,
     .help = "How long what it signed can still be verified."},
    {0},
};

const struct mln_path id_oidc_key_paths[] = {
    {.pattern = "oidc/key", .summary = "List keys.", .list = list_keys},
    {.pattern = "oidc/key/{name}/rotate",
     .summary = "Rotate a key.",
     .fields = rotate_fields,
     .write = rotate_path},
    {.pattern = "oidc/key/{name}",
     .summary = "A signing key.",
     .fields = key_fields,
     .read = read_key,
     .write = write_key,
     .remove = delete_key,
     .may_block = true},
    {0},
};
