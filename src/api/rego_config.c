/* SPDX-License-Identifier: Apache-2.0 */
/* See rego_config.h. */
#include "api/rego_config.h"

#include "base/io.h"
#include "base/text.h"

#define KEY_FILE_MAX ((size_t)64 << 10)
#define MEGA         ((int64_t)1 << 20)

/* ---- members ---- */

static struct mln_err bad(struct mln_cx *cx, const char *where, const char *what)
{
    return mln_fail(cx, MLN_E_INVALID, "configuration: %s %s", where, what);
}

/* A text, or `otherwise` when the member is not there. */
static struct mln_err text_of(struct mln_cx *cx, const struct mln_value *of, const char *name, const char *otherwise,
                              const char **ret)
{
    const struct mln_value *v = mln_get(of, name);
    if (!mln_is_null(v) && mln_type_of(v) != MLN_STRING) {
        return bad(cx, name, "is a text");
    }
    *ret = mln_is_null(v) ? otherwise : mln_get_text(cx, v, NULL);
    return !mln_is_null(v) && *ret == NULL ? bad(cx, name, "is a text") : mln_cx_err(cx);
}

static struct mln_err int_of(struct mln_cx *cx, const struct mln_value *of, const char *name, int64_t otherwise, int64_t max,
                             int64_t *ret)
{
    const struct mln_value *v = mln_get(of, name);
    int64_t i = mln_is_null(v) ? otherwise : mln_get_int(v, -1);
    if (i < 0 || i > max) {
        return mln_fail(cx, MLN_E_INVALID, "configuration: %s is a number from 0 to %lld", name, (long long)max);
    }
    *ret = i;
    return MLN_OK;
}

static struct mln_err object_of(struct mln_cx *cx, const struct mln_value *of, const char *name, const struct mln_value **ret)
{
    *ret = mln_get(of, name);
    *ret = mln_is_null(*ret) ? NULL : *ret;
    return *ret == NULL || mln_type_of(*ret) == MLN_OBJECT ? MLN_OK : bad(cx, name, "is an object");
}

/* A path of data as it is written in configurations: "/system/main" or "system.main" is not taken apart further. */
static const char *decision_path(const char *text)
{
    return text != NULL && text[0] == '/' ? text + 1 : text;
}

/* ---- services ---- */

static struct mln_err read_credentials(struct mln_cx *cx, const struct mln_value *of, struct rego_service *to)
{
    const struct mln_value *all = NULL, *bearer = NULL, *tls = NULL;
    MLN_TRY(object_of(cx, of, "credentials", &all));
    MLN_TRY(object_of(cx, all, "bearer", &bearer));
    MLN_TRY(object_of(cx, all, "client_tls", &tls));
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes kind = mln_member_at(all, i)->key;
        if (!mln_bytes_is(kind, "bearer") && !mln_bytes_is(kind, "client_tls")) {
            return mln_fail(cx, MLN_E_UNSUPPORTED, "configuration: credentials of kind %.*s are not supported: bearer and client_tls are",
                            MLN_FMT(kind));
        }
    }
    MLN_TRY(text_of(cx, bearer, "token", NULL, &to->token));
    MLN_TRY(text_of(cx, bearer, "token_path", NULL, &to->token_path));
    MLN_TRY(text_of(cx, bearer, "scheme", "Bearer", &to->scheme));
    MLN_TRY(text_of(cx, tls, "cert", NULL, &to->cert_file));
    MLN_TRY(text_of(cx, tls, "private_key", NULL, &to->key_file));
    if (to->token != NULL && to->token_path != NULL) {
        return bad(cx, "bearer", "has token or token_path, not both");
    }
    return MLN_OK;
}

static struct mln_err read_service(struct mln_cx *cx, const char *name, const struct mln_value *v, struct rego_service *to)
{
    const struct mln_value *tls = NULL;
    MLN_TRY(text_of(cx, v, "url", NULL, &to->url));
    to->name = name;
    bool is_http = mln_bytes_starts(mln_bytes_of(to->url), MLN_BYTES("http://")) ||
                   mln_bytes_starts(mln_bytes_of(to->url), MLN_BYTES("https://"));
    if (name[0] == '\0' || !is_http) {
        return mln_fail(cx, MLN_E_INVALID, "configuration: service \"%s\" needs a url of http or https", name);
    }
    MLN_TRY(object_of(cx, v, "headers", &to->headers));
    for (size_t i = 0; i < mln_len(to->headers); i++) {
        if (mln_type_of(&mln_member_at(to->headers, i)->value) != MLN_STRING) {
            return bad(cx, "headers", "is an object of texts");
        }
    }
    MLN_TRY(int_of(cx, v, "response_header_timeout_seconds", 10, 60, &to->timeout_s));
    to->is_insecure = mln_get_bool(mln_get(v, "allow_insecure_tls"), false);
    MLN_TRY(object_of(cx, v, "tls", &tls));
    MLN_TRY(text_of(cx, tls, "ca_cert", NULL, &to->ca_file));
    return read_credentials(cx, v, to);
}

static struct mln_err read_services(struct mln_cx *cx, struct rego_config *c)
{
    const struct mln_value *all = mln_get(c->raw, "services");
    bool is_list = mln_type_of(all) == MLN_ARRAY;
    if (!mln_is_null(all) && !is_list && mln_type_of(all) != MLN_OBJECT) {
        return bad(cx, "services", "is an object or a list");
    }
    if (mln_len(all) > REGO_SERVICES_MAX) {
        return bad(cx, "services", "has more than 64 entries");
    }
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_value *v = is_list ? mln_item(all, i) : &mln_member_at(all, i)->value;
        const char *name = is_list ? mln_get_text(cx, mln_get(v, "name"), "") : mln_text_dup(cx, mln_member_at(all, i)->key);
        MLN_TRY(read_service(cx, name, v, &c->services[c->n_services++]));
    }
    return mln_cx_err(cx);
}

const struct rego_service *rego_config_service(const struct rego_config *config, const char *name)
{
    for (size_t i = 0; name != NULL && i < config->n_services; i++) {
        if (mln_bytes_is(mln_bytes_of(name), config->services[i].name)) {
            return &config->services[i];
        }
    }
    return NULL;
}

/* The only service when none is named, as OPA takes it. */
static struct mln_err check_service(struct mln_cx *cx, const struct rego_config *c, const char *what, const char **name)
{
    if (*name == NULL && c->n_services == 1) {
        *name = c->services[0].name;
    }
    if (*name == NULL || rego_config_service(c, *name) == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "configuration: %s: service \"%s\" is not among services", what, *name == NULL ? "" : *name);
    }
    return MLN_OK;
}

/* ---- keys ---- */

/* The text of the key, or what is in the file that it names. */
static struct mln_err key_bytes(struct mln_cx *cx, const char *text, bool is_secret, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf file = {.is_secret = true};
    struct mln_bytes plain = mln_bytes_of(text);
    bool is_pem = mln_bytes_find_bytes(plain, MLN_BYTES("-----BEGIN")) < plain.len;
    if (is_pem || is_secret) {
        *ret = plain;
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(cx, text, KEY_FILE_MAX, &file));
    *ret = mln_bytes_dup(cx, mln_buf_bytes(&file));
    return mln_cx_err(cx);
}

static struct mln_err read_keys(struct mln_cx *cx, struct rego_config *c)
{
    const struct mln_value *all = NULL;
    MLN_TRY(object_of(cx, c->raw, "keys", &all));
    if (mln_len(all) > MLN_BUNDLE_KEYS_MAX) {
        return bad(cx, "keys", "has more than 64 entries");
    }
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_member *m = mln_member_at(all, i);
        struct mln_bundle_key *to = &c->keys[c->n_keys++];
        const char *text = NULL;
        to->id = mln_text_dup(cx, m->key);
        MLN_TRY(text_of(cx, &m->value, "algorithm", "RS256", &to->algorithm));
        MLN_TRY(text_of(cx, &m->value, "scope", NULL, &to->scope));
        MLN_TRY(text_of(cx, &m->value, "key", NULL, &text));
        if (text == NULL || text[0] == '\0') {
            return mln_fail(cx, MLN_E_INVALID, "configuration: key %s has no \"key\" to verify with", to->id);
        }
        MLN_TRY(key_bytes(cx, text, mln_bytes_starts(mln_bytes_of(to->algorithm), MLN_BYTES("HS")), &to->key));
    }
    return mln_cx_err(cx);
}

struct mln_bundle_verify rego_config_verify(const struct rego_config *config, const struct rego_bundle_config *bundle)
{
    return (struct mln_bundle_verify){.keys = config->keys,
                                      .n_keys = config->n_keys,
                                      .key_id = bundle->key_id,
                                      .scope = bundle->scope,
                                      .exclude = bundle->exclude,
                                      .is_needed = bundle->is_signed};
}

/* ---- bundles ---- */

static struct mln_err read_polling(struct mln_cx *cx, const struct mln_value *of, struct rego_polling *to)
{
    const struct mln_value *v = NULL;
    MLN_TRY(object_of(cx, of, "polling", &v));
    MLN_TRY(int_of(cx, v, "min_delay_seconds", REGO_DELAY_MIN_S, 86400, &to->min_s));
    MLN_TRY(int_of(cx, v, "max_delay_seconds", to->min_s > REGO_DELAY_MAX_S ? to->min_s : REGO_DELAY_MAX_S, 86400, &to->max_s));
    MLN_TRY(int_of(cx, v, "long_polling_timeout_seconds", 0, 86400, &to->long_poll_s));
    to->long_poll_s = to->long_poll_s > REGO_LONG_POLL_MAX_S ? REGO_LONG_POLL_MAX_S : to->long_poll_s;
    return to->min_s <= to->max_s ? MLN_OK : bad(cx, "min_delay_seconds", "is more than max_delay_seconds");
}

static struct mln_err read_signing(struct mln_cx *cx, const struct mln_value *of, struct rego_bundle_config *to)
{
    const struct mln_value *v = NULL;
    MLN_TRY(object_of(cx, of, "signing", &v));
    to->is_signed = v != NULL;
    MLN_TRY(text_of(cx, v, "keyid", NULL, &to->key_id));
    MLN_TRY(text_of(cx, v, "scope", NULL, &to->scope));
    const struct mln_value *files = mln_get(v, "exclude_files");
    const char **list = mln_new_array(cx, mln_len(files) + 1, sizeof(*list));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < mln_len(files); i++) {
        list[i] = mln_get_text(cx, mln_item(files, i), "");
    }
    to->exclude = list;
    return mln_cx_err(cx);
}

/* A name becomes part of a path on disk and of one in data. */
static bool name_ok(const char *name)
{
    struct mln_bytes n = mln_bytes_of(name);
    bool ok = n.len > 0 && n.len <= 200 && name[0] != '.' && name[0] != '/';
    for (size_t i = 0; ok && i < n.len; i++) {
        ok = n.ptr[i] > ' ' && n.ptr[i] != 0x7f && !(n.ptr[i] == '/' && n.ptr[i + 1] == '.');
    }
    return ok;
}

static struct mln_err read_bundle(struct mln_cx *cx, const struct rego_config *c, const char *name, const struct mln_value *v,
                                  struct rego_bundle_config *to)
{
    int64_t size = 0;
    to->name = name;
    if (mln_type_of(v) != MLN_OBJECT) {
        return bad(cx, name, "is an object");
    }
    MLN_TRY(text_of(cx, v, "service", NULL, &to->service));
    MLN_TRY(text_of(cx, v, "resource", NULL, &to->resource));
    to->resource = to->resource != NULL ? to->resource : mln_text_format(cx, "/bundles/%s", name);
    to->persists = mln_get_bool(mln_get(v, "persist"), false);
    MLN_TRY(int_of(cx, v, "size_limit_bytes", (int64_t)MLN_BUNDLE_PACKED_MAX, (int64_t)MLN_BUNDLE_PACKED_MAX, &size));
    to->size_max = (size_t)size;
    MLN_TRY(read_polling(cx, v, &to->polling));
    MLN_TRY(read_signing(cx, v, to));
    if (mln_bytes_starts(mln_bytes_of(to->resource), MLN_BYTES("file://"))) {
        to->path = to->resource + sizeof("file://") - 1;
        return mln_cx_err(cx);
    }
    if (!name_ok(name)) {
        return mln_fail(cx, MLN_E_INVALID, "configuration: \"%s\" is no name for a bundle", name);
    }
    return check_service(cx, c, name, &to->service);
}

static struct mln_err read_bundles(struct mln_cx *cx, struct rego_config *c)
{
    const struct mln_value *all = NULL;
    MLN_TRY(object_of(cx, c->raw, "bundles", &all));
    if (mln_len(all) > REGO_BUNDLES_MAX) {
        return bad(cx, "bundles", "has more than 64 entries");
    }
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_member *m = mln_member_at(all, i);
        MLN_TRY(read_bundle(cx, c, mln_text_dup(cx, m->key), &m->value, &c->bundles[c->n_bundles++]));
    }
    return MLN_OK;
}

static struct mln_err read_discovery(struct mln_cx *cx, struct rego_config *c)
{
    const struct mln_value *v = NULL;
    const char *name = NULL, *decision = NULL;
    MLN_TRY(object_of(cx, c->raw, "discovery", &v));
    if (v == NULL) {
        return MLN_OK;
    }
    MLN_TRY(text_of(cx, v, "name", "discovery", &name));
    MLN_TRY(text_of(cx, v, "decision", name, &decision));
    MLN_TRY(read_bundle(cx, c, name, v, &c->discovery));
    c->discovery_decision = decision_path(decision);
    return MLN_OK;
}

/* ---- reports ---- */

static struct mln_err read_report(struct mln_cx *cx, struct rego_config *c, const char *name, const char *resource,
                                  struct rego_report_config *to)
{
    const struct mln_value *v = NULL, *how = NULL;
    int64_t buffer = 0, upload = 0;
    MLN_TRY(object_of(cx, c->raw, name, &v));
    MLN_TRY(object_of(cx, v, "reporting", &how));
    to->is_on = v != NULL;
    to->is_console = mln_get_bool(mln_get(v, "console"), false);
    to->is_prometheus = mln_get_bool(mln_get(v, "prometheus"), false);
    MLN_TRY(text_of(cx, v, "service", NULL, &to->service));
    const char *partition = NULL;
    MLN_TRY(text_of(cx, v, "partition_name", NULL, &partition));
    const char *path = partition == NULL ? resource : mln_text_format(cx, "%s/%s", resource, partition);
    MLN_TRY(text_of(cx, v, "resource", path, &to->resource));
    MLN_TRY(int_of(cx, how, "min_delay_seconds", 300, 86400, &to->min_s));
    MLN_TRY(int_of(cx, how, "max_delay_seconds", to->min_s > 600 ? to->min_s : 600, 86400, &to->max_s));
    MLN_TRY(int_of(cx, how, "buffer_size_limit_bytes", 64 * MEGA, 1024 * MEGA, &buffer));
    MLN_TRY(int_of(cx, how, "upload_size_limit_bytes", 32768, 512 * MEGA, &upload));
    MLN_TRY(int_of(cx, how, "max_decisions_per_second", 0, INT32_MAX, &to->per_second_max));
    to->buffer_max = (size_t)buffer;
    to->upload_max = (size_t)upload < 90 ? 90 : (size_t)upload; /* OPA's least */
    if (to->is_on && to->service == NULL && !to->is_console && !to->is_prometheus && c->n_services == 1) {
        to->service = c->services[0].name;
    }
    return to->service == NULL ? MLN_OK : check_service(cx, c, name, &to->service);
}

static struct mln_err read_decisions(struct mln_cx *cx, struct rego_config *c)
{
    const struct mln_value *v = mln_get(c->raw, "decision_logs");
    MLN_TRY(read_report(cx, c, "decision_logs", "/logs", &c->decisions));
    MLN_TRY(text_of(cx, v, "mask_decision", "system/log/mask", &c->decisions.mask));
    MLN_TRY(text_of(cx, v, "drop_decision", "system/log/drop", &c->decisions.drop));
    c->decisions.mask = decision_path(c->decisions.mask);
    c->decisions.drop = decision_path(c->decisions.drop);
    c->decisions.headers = mln_get(mln_get(mln_get(v, "request_context"), "http"), "headers");
    return MLN_OK;
}

/* ---- the whole ---- */

struct mln_err rego_config_read(struct mln_cx *cx, const struct mln_value *raw, struct rego_config *ret)
{
    *ret = (struct rego_config){.raw = mln_is_null(raw) ? mln_object(cx) : raw, .gzip_min = 1024};
    if (mln_type_of(ret->raw) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "configuration: it is an object");
    }
    MLN_TRY(read_services(cx, ret));
    MLN_TRY(read_keys(cx, ret));
    MLN_TRY(read_bundles(cx, ret));
    MLN_TRY(read_discovery(cx, ret));
    MLN_TRY(read_decisions(cx, ret));
    MLN_TRY(read_report(cx, ret, "status", "/status", &ret->status));
    MLN_TRY(object_of(cx, ret->raw, "labels", &ret->labels));
    MLN_TRY(text_of(cx, ret->raw, "default_decision", "/system/main", &ret->default_decision));
    MLN_TRY(text_of(cx, ret->raw, "default_authorization_decision", "/system/authz/allow", &ret->default_authorization));
    MLN_TRY(text_of(cx, ret->raw, "persistence_directory", ".opa", &ret->persistence));
    ret->default_decision = decision_path(ret->default_decision);
    ret->default_authorization = decision_path(ret->default_authorization);
    ret->has_nd_cache = mln_get_bool(mln_get(ret->raw, "nd_builtin_cache"), false);
    const struct mln_value *gzip = mln_get(mln_get(mln_get(ret->raw, "server"), "encoding"), "gzip");
    return int_of(cx, gzip, "min_length", 1024, INT32_MAX, &ret->gzip_min);
}

const char *rego_config_unknown(struct mln_cx *cx, const struct rego_config *config, size_t i)
{
    static const char *const known[] = {
        "services", "labels", "keys", "bundles", "discovery", "decision_logs", "status", "default_decision",
        "default_authorization_decision", "persistence_directory", "nd_builtin_cache", "server",
    };
    for (size_t k = 0; k < mln_len(config->raw); k++) {
        struct mln_bytes name = mln_member_at(config->raw, k)->key;
        size_t at = 0;
        while (at < MLN_COUNT(known) && !mln_bytes_is(name, known[at])) {
            at++;
        }
        if (at == MLN_COUNT(known) && i-- == 0) {
            return mln_text_dup(cx, name);
        }
    }
    return NULL;
}

/* An object's entries without the members named; both levels are copied, what hangs below is shared. */
static const struct mln_value *without(struct mln_cx *cx, const struct mln_value *entries, const char *const names[3])
{
    bool is_list = mln_type_of(entries) == MLN_ARRAY;
    struct mln_value *out = is_list ? mln_array(cx) : mln_object(cx);
    for (size_t i = 0; i < mln_len(entries); i++) {
        const struct mln_value *v = is_list ? mln_item(entries, i) : &mln_member_at(entries, i)->value;
        struct mln_value *one = mln_object(cx);
        for (size_t k = 0; k < mln_len(v); k++) {
            const struct mln_member *m = mln_member_at(v, k);
            if (m != NULL && !mln_bytes_is(m->key, names[0]) && !mln_bytes_is(m->key, names[1]) && !mln_bytes_is(m->key, names[2])) {
                mln_put_key(cx, one, m->key, &m->value);
            }
        }
        if (is_list) {
            mln_push(cx, out, one);
        } else {
            mln_put_key(cx, out, mln_member_at(entries, i)->key, one);
        }
    }
    return out;
}

const struct mln_value *rego_config_shown(struct mln_cx *cx, const struct rego_config *config)
{
    static const char *const of_service[] = {"credentials", "headers", ""}, *const of_key[] = {"key", "private_key", ""};
    struct mln_value *out = mln_object(cx);
    mln_put_text(cx, out, "default_authorization_decision", mln_text_format(cx, "/%s", config->default_authorization));
    mln_put_text(cx, out, "default_decision", mln_text_format(cx, "/%s", config->default_decision));
    for (size_t i = 0; i < mln_len(config->raw); i++) {
        const struct mln_member *m = mln_member_at(config->raw, i);
        bool is_service = mln_bytes_is(m->key, "services"), is_key = mln_bytes_is(m->key, "keys");
        mln_put_key(cx, out, m->key, is_service ? without(cx, &m->value, of_service)
                                     : is_key   ? without(cx, &m->value, of_key)
                                                : &m->value);
    }
    return out;
}

#define MERGE_DEPTH_MAX 16u /* deeper no configuration goes */

const struct mln_value *rego_config_merge(struct mln_cx *cx, const struct mln_value *base, const struct mln_value *more,
                                          unsigned depth)
{
    if (mln_type_of(base) != MLN_OBJECT || mln_type_of(more) != MLN_OBJECT || depth == MERGE_DEPTH_MAX) {
        return more;
    }
    struct mln_value *out = mln_object(cx);
    for (size_t i = 0; i < mln_len(base); i++) {
        mln_put_key(cx, out, mln_member_at(base, i)->key, &mln_member_at(base, i)->value);
    }
    for (size_t i = 0; i < mln_len(more); i++) {
        const struct mln_member *m = mln_member_at(more, i);
        const struct mln_value *old = mln_get_key(base, m->key);
        mln_put_key(cx, out, m->key, old == NULL ? &m->value : rego_config_merge(cx, old, &m->value, depth + 1));
    }
    return out;
}
