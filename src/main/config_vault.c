/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a Vault or OpenBao server, in HCL or JSON, as one of ours: a team's file starts Merlon unchanged. What means
 * nothing here is named in a warning; what would weaken a protection if it were passed over (an unknown seal) is an error.
 * Source: the configuration pages of both projects.
 */
#include "main/config.h"

#include "base/text.h"

#define BLOCKS_MAX 64u /* of one kind */

struct reading {
    struct mln_cx *cx;
    struct mln_value *out;      /* the file as merlon.yaml would have it */
    struct mln_value *warnings; /* array of texts */
};

static void warn(struct reading *r, const char *where, struct mln_bytes name)
{
    mln_push(r->cx, r->warnings, mln_textf(r->cx, "'%s%.*s' means nothing to Merlon and is not used", where, MLN_FMT(name)));
}

static bool is_in(struct mln_bytes name, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (mln_bytes_is(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* ---- values as HCL's readers take them ---- */

/* true, 1, "true", "1" */
static struct mln_err flag_of(struct mln_cx *cx, const struct mln_value *v, const char *name, bool *ret)
{
    struct mln_bytes text = mln_get_bytes(v);
    if (mln_type_of(v) == MLN_BOOL) {
        *ret = mln_get_bool(v, false);
    } else if (mln_type_of(v) == MLN_INT) {
        *ret = mln_get_int(v, 0) != 0;
    } else if (mln_bytes_is(text, "true") || mln_bytes_is(text, "1") || mln_bytes_is(text, "on")) {
        *ret = true;
    } else if (mln_bytes_is(text, "false") || mln_bytes_is(text, "0") || mln_bytes_is(text, "off") || text.len == 0) {
        *ret = false;
    } else {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must be true or false", name);
    }
    return MLN_OK;
}

static struct mln_err put_flag(struct reading *r, struct mln_value *to, const struct mln_value *from, const char *name)
{
    bool is_set = false;
    if (mln_is_null(mln_get(from, name))) {
        return MLN_OK;
    }
    MLN_TRY(flag_of(r->cx, mln_get(from, name), name, &is_set));
    mln_put_bool(r->cx, to, name, is_set);
    return MLN_OK;
}

static void put_same(struct reading *r, struct mln_value *to, const struct mln_value *from, const char *name)
{
    if (!mln_is_null(mln_get(from, name))) {
        mln_put(r->cx, to, name, mln_get(from, name));
    }
}

/*
 * Blocks of one kind, however they were written: `listener "tcp" {...}` once or more, {"listener": {"tcp": {...}}}, lists of either.
 * Each is handed on with its label ("tcp"); labels of labels stay in the body.
 */
typedef struct mln_err (*block_fn)(struct reading *r, struct mln_bytes label, const struct mln_value *body);

static struct mln_err each_body(struct reading *r, struct mln_bytes label, const struct mln_value *body, block_fn take)
{
    if (mln_type_of(body) != MLN_ARRAY) {
        return mln_type_of(body) == MLN_OBJECT ? take(r, label, body)
                                               : mln_fail(r->cx, MLN_E_INVALID, "'%.*s' must be a block", MLN_FMT(label));
    }
    for (size_t i = 0; i < mln_len(body) && i < BLOCKS_MAX; i++) {
        if (mln_type_of(mln_item(body, i)) != MLN_OBJECT) {
            return mln_fail(r->cx, MLN_E_INVALID, "'%.*s' must be a block", MLN_FMT(label));
        }
        MLN_TRY(take(r, label, mln_item(body, i)));
    }
    return MLN_OK;
}

static struct mln_err each_block(struct reading *r, const struct mln_value *all, const char *kind, block_fn take)
{
    const struct mln_value *blocks = mln_get(all, kind);
    size_t n = mln_type_of(blocks) == MLN_ARRAY ? mln_len(blocks) : mln_is_null(blocks) ? 0 : 1;
    for (size_t i = 0; i < n; i++) {
        const struct mln_value *one = mln_type_of(blocks) == MLN_ARRAY ? mln_item(blocks, i) : blocks;
        if (mln_type_of(one) != MLN_OBJECT || n > BLOCKS_MAX) {
            return mln_fail(r->cx, MLN_E_INVALID, "'%s' must be blocks with a label, at most %u", kind, BLOCKS_MAX);
        }
        for (size_t k = 0; k < mln_len(one); k++) {
            const struct mln_member *m = mln_member_at(one, k);
            MLN_TRY(each_body(r, m->key, &m->value, take));
        }
    }
    return MLN_OK;
}

/* ---- blocks ---- */

/* ":8200" is every address of the machine. */
static void put_address(struct reading *r, struct mln_value *to, const struct mln_value *body)
{
    const char *text = mln_get_text(r->cx, mln_get(body, "address"), "127.0.0.1:8200");
    mln_put_text(r->cx, to, "address", text[0] == ':' ? mln_text_format(r->cx, "0.0.0.0%s", text) : text);
}

static struct mln_err take_listener(struct reading *r, struct mln_bytes label, const struct mln_value *body)
{
    static const char *const flags[] = {"tls_disable", "disable_unauthed_rekey_endpoints",
                                        "disable_unauthed_generate_root_endpoints", NULL};
    static const char *const quiet[] = {"address", "cluster_address", "tls_cert_file", "tls_key_file", "tls_client_ca_file",
                                        "tls_disable_client_certs", "tls_require_and_verify_client_cert", NULL};
    struct mln_value *one = mln_object(r->cx);
    bool is_strict = false, is_off = false, is_plain = false;
    if (!mln_bytes_is(label, "tcp")) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED, "a listener \"%.*s\" is not served: only \"tcp\" is", MLN_FMT(label));
    }
    put_address(r, one, body);
    for (size_t i = 0; flags[i] != NULL; i++) {
        MLN_TRY(put_flag(r, one, body, flags[i]));
    }
    MLN_TRY(flag_of(r->cx, mln_get(body, "tls_require_and_verify_client_cert"), "tls_require_and_verify_client_cert", &is_strict));
    MLN_TRY(flag_of(r->cx, mln_get(body, "tls_disable_client_certs"), "tls_disable_client_certs", &is_off));
    is_plain = mln_get_bool(mln_get(one, "tls_disable"), false);
    if (is_strict) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED, "'tls_require_and_verify_client_cert': a client without certificate is always let in; "
                                                  "let a proxy refuse it");
    }
    if (!is_plain) { /* the files of a listener that is plain now are left from before, in many files */
        put_same(r, one, body, "tls_cert_file");
        put_same(r, one, body, "tls_key_file");
        put_same(r, one, body, "tls_client_ca_file");
        if (!is_off && mln_is_null(mln_get(body, "tls_client_ca_file"))) {
            mln_put_bool(r->cx, one, "tls_request_client_certs", true); /* as theirs do, for the method "cert" */
        }
    }
    for (size_t i = 0; i < mln_len(body); i++) {
        struct mln_bytes name = mln_member_at(body, i)->key;
        if (!is_in(name, flags) && !is_in(name, quiet)) {
            warn(r, "listener.", name);
        }
    }
    struct mln_value *list = mln_value_dup(r->cx, mln_get(r->out, "listeners"));
    mln_push(r->cx, list, one);
    mln_put(r->cx, r->out, "listeners", list);
    return mln_cx_err(r->cx);
}

static struct mln_err take_storage(struct reading *r, struct mln_bytes label, const struct mln_value *body)
{
    static const char *const quiet[] = {"path", "node_id", "retry_join", "performance_multiplier", NULL};
    if (mln_bytes_is(label, "inmem")) {
        mln_put_bool(r->cx, r->out, "temporary", true);
    } else if (mln_bytes_is(label, "file") || mln_bytes_is(label, "raft")) {
        put_same(r, r->out, body, "path");
    } else {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED, "storage \"%.*s\" is not supported: inmem, file and raft are, all as the embedded store",
                        MLN_FMT(label));
    }
    for (size_t i = 0; i < mln_len(body); i++) {
        if (!is_in(mln_member_at(body, i)->key, quiet)) {
            warn(r, "storage.", mln_member_at(body, i)->key);
        }
    }
    return MLN_OK;
}

static struct mln_err take_seal(struct reading *r, struct mln_bytes label, const struct mln_value *body)
{
    bool is_off = false;
    MLN_TRY(flag_of(r->cx, mln_get(body, "disabled"), "disabled", &is_off));
    if (!mln_bytes_is(label, "shamir") && !is_off) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED, "seal \"%.*s\" is not supported: shamir is", MLN_FMT(label));
    }
    return MLN_OK;
}

/* audit "file" "to-disk" { options { file_path = "..." } } */
static struct mln_err take_audit_named(struct reading *r, struct mln_bytes type, struct mln_bytes path, const struct mln_value *body)
{
    struct mln_value *one = mln_object(r->cx), *list = mln_value_dup(r->cx, mln_get(r->out, "audit"));
    mln_put_bytes(r->cx, one, "type", type);
    mln_put_bytes(r->cx, one, "path", path);
    put_same(r, one, body, "description");
    put_same(r, one, body, "options");
    list = mln_is_null(list) ? mln_array(r->cx) : list;
    mln_push(r->cx, list, one);
    mln_put(r->cx, r->out, "audit", list);
    return mln_cx_err(r->cx);
}

static struct mln_err take_audit(struct reading *r, struct mln_bytes label, const struct mln_value *body)
{
    for (size_t i = 0; i < mln_len(body); i++) {
        const struct mln_member *m = mln_member_at(body, i);
        if (mln_type_of(&m->value) != MLN_OBJECT) {
            return mln_fail(r->cx, MLN_E_INVALID, "audit \"%.*s\" needs a path: audit \"file\" \"to-disk\" { ... }", MLN_FMT(label));
        }
        MLN_TRY(take_audit_named(r, label, m->key, &m->value));
    }
    return MLN_OK;
}

/* ---- the rest ---- */

static struct mln_err put_ttls(struct reading *r, const struct mln_value *all)
{
    put_same(r, r->out, all, "default_lease_ttl");
    put_same(r, r->out, all, "max_lease_ttl");
    bool has_default = !mln_is_null(mln_get(all, "default_lease_ttl")), has_max = !mln_is_null(mln_get(all, "max_lease_ttl"));
    if (has_max && !has_default) { /* theirs would complain only when a lease is made; 768 h may be above */
        put_same(r, r->out, all, "max_lease_ttl");
        mln_put(r->cx, r->out, "default_lease_ttl", mln_get(all, "max_lease_ttl"));
    }
    return mln_cx_err(r->cx);
}

static struct mln_err put_log(struct reading *r, const struct mln_value *all)
{
    static const char *const levels[][2] = {{"trace", "debug"}, {"debug", "debug"}, {"info", "info"}, {"notice", "info"},
                                            {"warn", "warn"},   {"warning", "warn"}, {"err", "error"}, {"error", "error"}};
    struct mln_value *log = mln_object(r->cx);
    struct mln_bytes level = mln_get_bytes(mln_get(all, "log_level"));
    for (size_t i = 0; i < MLN_COUNT(levels); i++) {
        if (mln_bytes_is_nocase(level, levels[i][0])) {
            mln_put_text(r->cx, log, "level", levels[i][1]);
        }
    }
    if (level.len > 0 && mln_len(log) == 0) {
        return mln_fail(r->cx, MLN_E_INVALID, "'log_level' must be trace, debug, info, warn or error");
    }
    struct mln_bytes form = mln_get_bytes(mln_get(all, "log_format"));
    if (mln_bytes_is(form, "json")) {
        mln_put_text(r->cx, log, "format", "json");
    }
    mln_put(r->cx, r->out, "log", log);
    return mln_cx_err(r->cx);
}

bool server_config_is_vault(const struct mln_value *all)
{
    static const char *const ours[] = {"listeners", "data", NULL}, *const theirs[] = {"listener", "storage", "backend", NULL};
    bool has_ours = false, has_theirs = false;
    for (size_t i = 0; i < mln_len(all) && mln_type_of(all) == MLN_OBJECT; i++) {
        has_ours = has_ours || is_in(mln_member_at(all, i)->key, ours);
        has_theirs = has_theirs || is_in(mln_member_at(all, i)->key, theirs);
    }
    return has_theirs && !has_ours;
}

struct mln_err server_config_from_vault(struct mln_cx *cx, const struct mln_value *all, const struct mln_value **ret,
                                        struct mln_value *warnings)
{
    static const char *const known[] = {"listener", "storage", "backend", "ha_storage", "seal", "audit", "default_lease_ttl",
                                        "max_lease_ttl",
                                        "log_level", "log_format", "unsafe_allow_api_audit_creation", NULL};
    /* about the machine or the cluster: said often, and nothing hangs on them here */
    static const char *const quiet[] = {"ui", "disable_mlock", "api_addr", "cluster_addr", "cluster_name", "pid_file", "disable_cache",
                                        "plugin_directory", "telemetry", NULL};
    struct reading r = {.cx = cx, .out = mln_object(cx), .warnings = warnings};
    mln_put(cx, r.out, "listeners", mln_array(cx));
    MLN_TRY(each_block(&r, all, "listener", take_listener));
    MLN_TRY(each_block(&r, all, mln_is_null(mln_get(all, "storage")) ? "backend" : "storage", take_storage));
    MLN_TRY(each_block(&r, all, "seal", take_seal));
    MLN_TRY(each_block(&r, all, "audit", take_audit));
    MLN_TRY(put_flag(&r, r.out, all, "unsafe_allow_api_audit_creation"));
    MLN_TRY(put_ttls(&r, all));
    MLN_TRY(put_log(&r, all));
    for (size_t i = 0; i < mln_len(all); i++) {
        struct mln_bytes name = mln_member_at(all, i)->key;
        if (!is_in(name, known) && !is_in(name, quiet)) {
            warn(&r, "", name);
        }
    }
    if (mln_get(r.out, "path") != NULL) {
        mln_put(cx, r.out, "data", mln_get(r.out, "path"));
        mln_remove(r.out, MLN_BYTES("path"));
    }
    *ret = r.out;
    return mln_cx_err(cx);
}
