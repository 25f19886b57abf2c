/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transit engine: backup and restore. A backup is base64 of JSON with all of a key in the clear:
 *
 *   {"policy": {"format": "merlon-transit-1", "name", "type", "latest_version", "min_decryption_version", "min_encryption_version",
 *               "min_available_version", "auto_rotate_period", "derived", "convergent_encryption", "exportable",
 *               "allow_plaintext_backup", "deletion_allowed", "imported_key", "allow_rotation"},
 *    "keys": {"N": {"time": ns, "key": base64, "hmac_key": base64, "public_key": base64 where there is no private half}}}
 *
 * It is not Vault's: that holds Go's own numbers of RSA keys. Restoring believes nothing: keys are parsed, public halves made again.
 */
#include "engine/transit_priv.h"

#include "base/json.h"
#include "base/text.h"

#define FORMAT "merlon-transit-1"

static const struct {
    const char *name;
    enum transit_flag flag;
} flags[] = {
    {"derived", TRANSIT_DERIVED},           {"convergent_encryption", TRANSIT_CONVERGENT},
    {"exportable", TRANSIT_EXPORTABLE},     {"allow_plaintext_backup", TRANSIT_MAY_BACKUP},
    {"imported_key", TRANSIT_IMPORTED},     {"deletion_allowed", TRANSIT_MAY_DELETE},
    {"allow_rotation", TRANSIT_MAY_ROTATE},
};

/* ---- backup ---- */

static void put_base64(struct mln_cx *cx, struct mln_value *to, const char *name,
                       struct mln_bytes bytes)
{
    mln_put(cx, to, name,
            mln_secret_string(cx, mln_bytes_of(mln_base64_text(cx, bytes, MLN_B64_STD))));
}

static struct mln_err put_versions(struct mln_request *rq, const struct transit_key *key,
                                   struct mln_value *to)
{
    struct mln_cx *cx = rq->cx;
    for (int64_t i = key->min_available > 1 ? key->min_available : 1; i <= key->latest; i++) {
        struct transit_version v;
        struct mln_value *one = mln_object(cx);
        MLN_TRY(transit_version_of(rq, key, i, &v));
        mln_put_int(cx, one, "time", v.created_ns);
        put_base64(cx, one, "key", v.key);
        put_base64(cx, one, "hmac_key", v.hmac);
        if (v.key.len == 0) {
            put_base64(cx, one, "public_key", v.public);
        }
        mln_put(cx, to, mln_text_format(cx, "%lld", (long long)i), one);
    }
    return mln_cx_err(cx);
}

static struct mln_value *policy_value(struct mln_cx *cx, const struct transit_key *key)
{
    struct mln_value *v = mln_object(cx);
    mln_put_text(cx, v, "format", FORMAT);
    mln_put_bytes(cx, v, "name", key->name);
    mln_put_text(cx, v, "type", transit_traits(key->type)->name);
    mln_put_int(cx, v, "latest_version", key->latest);
    mln_put_int(cx, v, "min_decryption_version", key->min_decryption);
    mln_put_int(cx, v, "min_encryption_version", key->min_encryption);
    mln_put_int(cx, v, "min_available_version", key->min_available);
    mln_put_int(cx, v, "auto_rotate_period", key->auto_rotate_s);
    for (size_t i = 0; i < MLN_COUNT(flags); i++) {
        mln_put_bool(cx, v, flags[i].name, transit_is(key, flags[i].flag));
    }
    return v;
}

struct mln_err transit_backup_read(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes name;
    struct transit_key key;
    struct mln_value *all = mln_object(cx), *versions = mln_object(cx), *data = mln_object(cx);
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    MLN_TRY(transit_name(rq, &name));
    struct mln_err err = transit_load(rq, name, &key);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return transit_absent(re);
    }
    MLN_TRY(err);
    if (!transit_is(&key, TRANSIT_EXPORTABLE) || !transit_is(&key, TRANSIT_MAY_BACKUP)) {
        return mln_fail(cx, MLN_E_PRECONDITION, "%s is disallowed on the policy",
                        transit_is(&key, TRANSIT_EXPORTABLE) ? "plaintext backup" : "exporting");
    }
    MLN_TRY(put_versions(rq, &key, versions));
    mln_put(cx, all, "policy", policy_value(cx, &key));
    mln_put(cx, all, "keys", versions);
    mln_json_print(&text, all, MLN_JSON_COMPACT);
    MLN_TRY(mln_buf_ok(cx, &text));
    put_base64(cx, data, "backup", mln_buf_bytes(&text));
    re->data = data;
    return mln_cx_err(cx);
}

/* ---- restore ---- */

struct mln_err transit_backup_parse(struct mln_cx *cx, struct mln_bytes text,
                                    const struct mln_value **ret)
{
    const struct mln_value *v = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf json = {.is_secret = true};
    if (mln_failed(mln_base64_parse(cx, text, MLN_B64_STD, &json))) {
        return mln_refail(cx, MLN_E_INVALID, "backup is not base64");
    }
    struct mln_bytes copy = mln_bytes_dup(cx, mln_buf_bytes(&json)); /* values point into it */
    MLN_TRY(mln_cx_err(cx));
    if (mln_failed(mln_json_parse(cx, copy, &v)) ||
        mln_type_of(mln_get(v, "policy")) != MLN_OBJECT ||
        mln_type_of(mln_get(v, "keys")) != MLN_OBJECT) {
        return mln_refail(cx, MLN_E_INVALID, "backup is not what a backup of a key is");
    }
    if (!mln_is_text(mln_get(mln_get(v, "policy"), "format"), FORMAT)) {
        return mln_fail(cx, MLN_E_UNSUPPORTED,
                        "backup was not made by Merlon: its format is not %s", FORMAT);
    }
    *ret = v;
    return MLN_OK;
}

static struct mln_err bad(struct mln_cx *cx, const char *what)
{
    return mln_refail(cx, MLN_E_INVALID, "backup has a bad %s", what);
}

static struct mln_err read_policy(struct mln_cx *cx, const struct mln_value *v,
                                  struct transit_key *key)
{
    int64_t first = 0;
    if (!transit_type_of(mln_get_bytes(mln_get(v, "type")), &key->type)) {
        return bad(cx, "type");
    }
    key->latest = mln_get_int(mln_get(v, "latest_version"), 0);
    key->min_decryption = mln_get_int(mln_get(v, "min_decryption_version"), 0);
    key->min_encryption = mln_get_int(mln_get(v, "min_encryption_version"), 0);
    key->min_available = mln_get_int(mln_get(v, "min_available_version"), 0);
    key->auto_rotate_s = mln_get_int(mln_get(v, "auto_rotate_period"), 0);
    for (size_t i = 0; i < MLN_COUNT(flags); i++) {
        transit_set(key, flags[i].flag, mln_get_bool(mln_get(v, flags[i].name), false));
    }
    first = key->min_available;
    bool has_order = first >= 0 && key->min_decryption >= (first > 1 ? first : 1) &&
                     key->min_decryption <= key->latest &&
                     (key->min_encryption == 0 || key->min_encryption >= key->min_decryption) &&
                     key->min_encryption <= key->latest && key->latest <= TRANSIT_VERSIONS_MAX;
    if (!has_order) {
        return bad(cx, "version");
    }
    const struct transit_traits *traits = transit_traits(key->type);
    bool is_convergent = transit_is(key, TRANSIT_CONVERGENT);
    if ((transit_is(key, TRANSIT_DERIVED) && !traits->derives) ||
        (is_convergent && !(traits->is_aead && transit_is(key, TRANSIT_DERIVED)))) {
        return bad(cx, "derivation");
    }
    bool has_period = key->auto_rotate_s == 0 || key->auto_rotate_s >= TRANSIT_ROTATE_MIN_S;
    return has_period ? MLN_OK : bad(cx, "auto_rotate_period");
}

/* A public half alone; of a derived key it would say nothing. */
static struct mln_err read_public(struct mln_cx *cx, const struct transit_key *key,
                                  struct mln_bytes public, struct transit_version *v)
{
    const struct transit_traits *traits = transit_traits(key->type);
    bool fits = traits->is_akey ? !mln_failed(mln_akey_check_public(cx, traits->akey, public))
                                : traits->is_pair && public.len == 32;
    if (!fits || transit_is(key, TRANSIT_DERIVED)) {
        return bad(cx, "public key");
    }
    v->public = mln_bytes_dup(cx, public);
    return mln_cx_err(cx);
}

static struct mln_err read_version(struct mln_cx *cx, const struct transit_key *key,
                                   const struct mln_value *in, struct transit_version *ret)
{
    struct transit_version v = {.created_ns = mln_get_int(mln_get(in, "time"), 0)};
    MLN_AUTO(mln_buf_drop) struct mln_buf secret = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf hmac = {.is_secret = true};
    MLN_AUTO(mln_buf_drop) struct mln_buf public = {0};
    if (mln_failed(mln_base64_parse(cx, mln_get_bytes(mln_get(in, "key")), MLN_B64_STD, &secret)) ||
        mln_failed(
            mln_base64_parse(cx, mln_get_bytes(mln_get(in, "hmac_key")), MLN_B64_STD, &hmac)) ||
        mln_failed(
            mln_base64_parse(cx, mln_get_bytes(mln_get(in, "public_key")), MLN_B64_STD, &public))) {
        return bad(cx, "key");
    }
    if (v.created_ns < 0) {
        return bad(cx, "time");
    }
    if (key->type != TRANSIT_HMAC && hmac.len != MLN_KEY_BYTES) {
        return bad(cx, "hmac_key");
    }
    v.hmac = mln_bytes_dup(cx, mln_buf_bytes(&hmac));
    MLN_TRY(mln_cx_err(cx));
    struct mln_err err = secret.len > 0 || !transit_traits(key->type)->is_pair
                             ? transit_take(cx, key->type, mln_buf_bytes(&secret), true, &v)
                             : read_public(cx, key, mln_buf_bytes(&public), &v);
    if (mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_PARSE)) {
        return bad(cx, "key");
    }
    *ret = v;
    return err;
}

static struct mln_err read_versions(struct mln_request *rq, const struct mln_value *keys,
                                    struct transit_key *key)
{
    struct mln_cx *cx = rq->cx;
    for (int64_t i = key->min_available > 1 ? key->min_available : 1; i <= key->latest; i++) {
        struct transit_version v;
        const struct mln_value *in = mln_get(keys, mln_text_format(cx, "%lld", (long long)i));
        MLN_TRY(mln_cx_err(cx));
        if (mln_type_of(in) != MLN_OBJECT) {
            return bad(cx, "key: a version is missing");
        }
        MLN_TRY(read_version(cx, key, in, &v));
        if (key->type == TRANSIT_HMAC) {
            key->hmac_bytes = (int64_t)v.key.len;
        }
        if (i == key->latest) {
            key->newest = v;
        } else {
            MLN_TRY(transit_store_version(rq, key, i, &v));
        }
    }
    return MLN_OK;
}

/* Whatever stands under the name makes way only when it is told to. */
static struct mln_err make_way(struct mln_request *rq, struct mln_bytes name)
{
    struct transit_key there;
    struct mln_err err = transit_load(rq, name, &there);
    if (mln_is(err, MLN_E_NOT_FOUND)) {
        return MLN_OK;
    }
    MLN_TRY(err);
    if (!mln_get_bool(mln_field_of(rq, "force"), false)) {
        return mln_fail(rq->cx, MLN_E_EXISTS, "key \"%.*s\" already exists", MLN_FMT(name));
    }
    return transit_remove(rq, &there);
}

struct mln_err transit_restore_write(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_cx *cx = rq->cx;
    struct mln_bytes text = mln_get_bytes(mln_field_of(rq, "backup")),
                     name = mln_get_bytes(mln_field_of(rq, "name"));
    const struct mln_value *v = NULL;
    if (text.len == 0) {
        return mln_fail(cx, MLN_E_INVALID, "'backup' must be supplied");
    }
    MLN_TRY(transit_backup_parse(cx, text, &v));
    name = name.len > 0 ? name : mln_get_bytes(mln_get(mln_get(v, "policy"), "name"));
    MLN_TRY(transit_name_check(cx, name));
    struct transit_key key = {.name = name};
    MLN_TRY(read_policy(cx, mln_get(v, "policy"), &key));
    MLN_TRY(make_way(rq, name));
    MLN_TRY(read_versions(rq, mln_get(v, "keys"), &key));
    mln_put_int(cx, rq->detail, "version", key.latest);
    re->status = 204;
    return transit_store(rq, &key);
}
