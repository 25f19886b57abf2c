/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. One function a section of the file; what is not named there is an error. */
#include "main/config.h"

#include <arpa/inet.h>

#include "base/io.h"
#include "base/spiffe_id.h"
#include "base/text.h"
#include "base/yaml.h"
#include "identity/attest.h"
#include "main/config_read.h"
#include "net/reach.h"
#include "policy/acl.h"

#define ORIGIN_DEFAULT   "merlon.local/ledger"
#define ORIGIN_MAX_BYTES 199u /* as struct mln_ledger_status */
#define REACH_ALLOW_MAX  1024u /* patterns: looked through at each call */
#define AUDIT_MAX        16   /* as core takes */
#define REKEY_MAX        1000 /* a minute; more is no limit at all */

/* ---- addresses ---- */

static bool host_into(struct mln_cx *cx, struct mln_bytes host, uint16_t port,
                      struct server_address *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    const char *text = mln_text_dup(cx, host);
    if (mln_bytes_is(host, "localhost")) {
        text = "127.0.0.1";
    }
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        mln_copy(&address->sock, &v4, sizeof(v4));
        address->len = sizeof(v4);
        return true;
    }
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        text = mln_text_dup(cx, mln_bytes_sub(host, 1, host.len - 2));
    }
    if (text[0] != '[' && host.ptr[0] == '[' && inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        mln_copy(&address->sock, &v6, sizeof(v6));
        address->len = sizeof(v6);
        return true;
    }
    return false;
}

struct mln_err server_address_parse(struct mln_cx *cx, const char *text, struct server_address *ret)
{
    struct mln_bytes all = mln_bytes_of(text);
    size_t colon = all.len;
    for (size_t i = 0; i < all.len; i++) {
        colon = all.ptr[i] == ':' ? i : colon;
    }
    uint64_t port = 0;
    struct server_address address = {.text = text};
    struct mln_bytes host = mln_bytes_sub(all, 0, colon);
    if (host.len == 0 || !mln_u64_parse(mln_bytes_from(all, colon + 1), &port) || port > 65535 ||
        !host_into(cx, host, (uint16_t)port, &address)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'%.*s' is no address: write 127.0.0.1:8200 or [::1]:8200", MLN_FMT(all));
    }
    *ret = address;
    return mln_cx_err(cx);
}

/* ---- sections ---- */

static struct mln_err parse_listener(struct mln_cx *cx, const struct mln_value *item,
                                     const char *where, bool dev_tls, struct server_listener *ret)
{
    static const char *const names[] = {
        "address",
        "tls_cert_file",
        "tls_key_file",
        "tls_client_ca_file",
        "tls_disable",
        "tls_request_client_certs",
        "disable_unauthed_rekey_endpoints",
        "disable_unauthed_generate_root_endpoints",
        NULL};
    const char *address = NULL;
    bool is_plain = false;
    if (mln_type_of(item) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "each of 'listeners' must hold keys of its own");
    }
    MLN_TRY(config_check_keys(cx, item, where, names));
    MLN_TRY(config_text(cx, item, where, "address", &address));
    MLN_TRY(config_text(cx, item, where, "tls_cert_file", &ret->cert_file));
    MLN_TRY(config_text(cx, item, where, "tls_key_file", &ret->key_file));
    MLN_TRY(config_text(cx, item, where, "tls_client_ca_file", &ret->client_ca_file));
    MLN_TRY(config_bool(cx, item, where, "tls_disable", &is_plain));
    MLN_TRY(config_bool(cx, item, where, "tls_request_client_certs", &ret->asks_certs));
    ret->no_unauthed_rekey = ret->no_unauthed_root = true;
    MLN_TRY(config_bool(cx, item, where, "disable_unauthed_rekey_endpoints", &ret->no_unauthed_rekey));
    MLN_TRY(config_bool(cx, item, where, "disable_unauthed_generate_root_endpoints",
                     &ret->no_unauthed_root));
    if (address == NULL) {
        return mln_fail(cx, MLN_E_INVALID, "'%saddress' is missing", where);
    }
    bool has_files = ret->cert_file != NULL && ret->key_file != NULL;
    bool has_one = ret->cert_file != NULL || ret->key_file != NULL || ret->client_ca_file != NULL;
    if (is_plain && (has_one || ret->asks_certs)) {
        return mln_fail(cx, MLN_E_INVALID, "'%stls_disable' stands beside TLS files", where);
    }
    if (!is_plain && !has_files && (ret->cert_file != NULL || ret->key_file != NULL || !dev_tls)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'%s%s' is missing (or say tls_disable: true to serve without TLS)", where,
                        ret->cert_file == NULL ? "tls_cert_file" : "tls_key_file");
    }
    ret->is_tls = !is_plain;
    return server_address_parse(cx, address, &ret->address);
}

/* Core does not know by which listener a request came: what is on at one would be on at all. */
static struct mln_err check_alike(struct mln_cx *cx, const struct server_config *config)
{
    const struct server_listener *first = &config->listeners[0];
    for (unsigned i = 1; i < config->n_listeners; i++) {
        const struct server_listener *l = &config->listeners[i];
        if (l->no_unauthed_rekey != first->no_unauthed_rekey ||
            l->no_unauthed_root != first->no_unauthed_root) {
            return mln_fail(cx, MLN_E_INVALID,
                            "'listeners[%u].disable_unauthed_...' must be the same for all "
                            "listeners",
                            i);
        }
    }
    return MLN_OK;
}

static struct mln_err parse_listeners(struct mln_cx *cx, const struct mln_value *list, bool dev_tls,
                                      struct server_config *config)
{
    if (mln_type_of(list) != MLN_ARRAY || mln_len(list) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "'listeners' must be a list of at least one");
    }
    if (mln_len(list) > SERVER_LISTENERS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'listeners' are more than %u", SERVER_LISTENERS_MAX);
    }
    for (size_t i = 0; i < mln_len(list); i++) {
        const char *where = mln_text_format(cx, "listeners[%zu].", i);
        MLN_TRY(parse_listener(cx, mln_item(list, i), where, dev_tls, &config->listeners[i]));
    }
    config->n_listeners = (unsigned)mln_len(list);
    return check_alike(cx, config);
}

static struct mln_err parse_seal(struct mln_cx *cx, const struct mln_value *all,
                                 struct server_config *config)
{
    static const char *const names[] = {"type", "path", NULL};
    const struct mln_value *seal = NULL;
    const char *type = "shamir";
    MLN_TRY(config_section(cx, all, "seal", names, &seal));
    MLN_TRY(config_text(cx, seal, "seal.", "type", &type));
    MLN_TRY(config_text(cx, seal, "seal.", "path", &config->keyfile));
    if (mln_bytes_is(mln_bytes_of(type), "keyfile")) {
        config->seal = MLN_SEAL_KEYFILE;
        return config->keyfile != NULL ? MLN_OK
                                       : mln_fail(cx, MLN_E_INVALID, "'seal.path' is missing");
    }
    if (!mln_bytes_is(mln_bytes_of(type), "shamir")) {
        return mln_fail(cx, MLN_E_INVALID, "'seal.type' must be shamir or keyfile");
    }
    config->seal = MLN_SEAL_SHAMIR;
    return config->keyfile == NULL
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "'seal.path' means nothing to the seal 'shamir'");
}

/* A log's name as C2SP wants it in a note: no blanks, no plus, no control characters. */
static bool origin_is_sane(struct mln_bytes origin)
{
    for (size_t i = 0; i < origin.len; i++) {
        if (origin.ptr[i] <= ' ' || origin.ptr[i] >= 0x7f || origin.ptr[i] == '+') {
            return false;
        }
    }
    return origin.len > 0 && origin.len <= ORIGIN_MAX_BYTES;
}

static struct mln_err parse_ledger(struct mln_cx *cx, const struct mln_value *all,
                                   struct server_config *config)
{
    static const char *const names[] = {"origin", "read_durability", NULL};
    const struct mln_value *ledger = NULL;
    const char *durability = "process";
    MLN_TRY(config_section(cx, all, "ledger", names, &ledger));
    MLN_TRY(config_text(cx, ledger, "ledger.", "origin", &config->origin));
    MLN_TRY(config_text(cx, ledger, "ledger.", "read_durability", &durability));
    if (!origin_is_sane(mln_bytes_of(config->origin))) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'ledger.origin' must be a name such as example.org/merlon");
    }
    config->durable_reads = mln_bytes_is(mln_bytes_of(durability), "disk");
    if (!config->durable_reads && !mln_bytes_is(mln_bytes_of(durability), "process")) {
        return mln_fail(cx, MLN_E_INVALID, "'ledger.read_durability' must be process or disk");
    }
    return MLN_OK;
}

static struct mln_err use_log(struct mln_cx *cx, const char *level, const char *form,
                              struct server_config *config)
{
    if (!mln_log_level_parse(mln_bytes_of(level), &config->log_level)) {
        return mln_fail(cx, MLN_E_INVALID, "the log's level must be error, warn, info or debug");
    }
    bool is_json = mln_bytes_is(mln_bytes_of(form), "json");
    if (!is_json && !mln_bytes_is(mln_bytes_of(form), "text")) {
        return mln_fail(cx, MLN_E_INVALID, "the log's format must be text or json");
    }
    config->log_form = is_json ? MLN_LOG_JSON : MLN_LOG_TEXT;
    return MLN_OK;
}

static struct mln_err parse_log(struct mln_cx *cx, const struct mln_value *all,
                                struct server_config *config)
{
    static const char *const names[] = {"level", "format", NULL};
    const struct mln_value *log = NULL;
    const char *level = "info", *form = "text";
    MLN_TRY(config_section(cx, all, "log", names, &log));
    MLN_TRY(config_text(cx, log, "log.", "level", &level));
    MLN_TRY(config_text(cx, log, "log.", "format", &form));
    return use_log(cx, level, form, config);
}

/* What may be reached from here. An empty list is one: nothing may. */
static struct mln_err parse_reach(struct mln_cx *cx, const struct mln_value *all,
                                  struct server_config *config)
{
    static const char *const names[] = {"allow", NULL};
    const struct mln_value *reach = NULL;
    MLN_TRY(config_section(cx, all, "reach", names, &reach));
    const struct mln_value *allow = mln_get(reach, "allow");
    if (mln_is_null(allow)) {
        return MLN_OK;
    }
    if (mln_type_of(allow) != MLN_ARRAY || mln_len(allow) > REACH_ALLOW_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'reach.allow' must be a list of at most %u",
                        REACH_ALLOW_MAX);
    }
    for (size_t i = 0; i < mln_len(allow); i++) {
        MLN_TRY(mln_reach_pattern_check(cx, mln_get_bytes(mln_item(allow, i))));
    }
    config->reach_allow = allow;
    return MLN_OK;
}

static struct mln_err check_domain(struct mln_cx *cx, const char *domain)
{
    return domain == NULL || mln_spiffe_domain_ok(mln_bytes_of(domain))
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "a trust domain has 1 to %u of a-z, 0-9, dot, dash and underscore: example.org",
                          MLN_SPIFFE_DOMAIN_MAX);
}

/*
 * "spiffe.bundle_endpoint": an address, or keys of its own: with certificate files it is an endpoint of profile https_web, else of
 * https_spiffe. One listener more.
 */
static struct mln_err parse_bundle_endpoint(struct mln_cx *cx, const struct mln_value *v, struct server_config *config)
{
    static const char *const names[] = {"address", "tls_cert_file", "tls_key_file", NULL};
    static const char where[] = "spiffe.bundle_endpoint.";
    struct server_listener listener = {.is_tls = true, .only_bundle = true, .no_unauthed_rekey = true, .no_unauthed_root = true};
    const char *address = mln_get_text(cx, v, NULL);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (mln_type_of(v) == MLN_OBJECT) {
        MLN_TRY(config_check_keys(cx, v, where, names));
        MLN_TRY(config_text(cx, v, where, "address", &address));
        MLN_TRY(config_text(cx, v, where, "tls_cert_file", &listener.cert_file));
        MLN_TRY(config_text(cx, v, where, "tls_key_file", &listener.key_file));
    }
    if (address == NULL || (listener.cert_file == NULL) != (listener.key_file == NULL)) {
        return mln_fail(cx, MLN_E_INVALID, "'%s%s' is missing", where,
                        address == NULL ? "address" : listener.cert_file == NULL ? "tls_cert_file" : "tls_key_file");
    }
    if (config->n_listeners == SERVER_LISTENERS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'listeners' and the bundle endpoint are more than %u", SERVER_LISTENERS_MAX);
    }
    listener.shows_svid = listener.cert_file == NULL;
    MLN_TRY(server_address_parse(cx, address, &listener.address));
    config->listeners[config->n_listeners++] = listener;
    return MLN_OK;
}

/* Who this server is in SPIFFE and where processes ask it. */
static struct mln_err parse_spiffe(struct mln_cx *cx, const struct mln_value *all, struct server_config *config)
{
    static const char *const names[] = {"socket", "attest", "trust_domain", "bundle_endpoint", NULL};
    const struct mln_value *spiffe = NULL;
    MLN_TRY(config_section(cx, all, "spiffe", names, &spiffe));
    MLN_TRY(config_text(cx, spiffe, "spiffe.", "socket", &config->spiffe_socket));
    MLN_TRY(config_text(cx, spiffe, "spiffe.", "trust_domain", &config->trust_domain));
    MLN_TRY(check_domain(cx, config->trust_domain));
    MLN_TRY(parse_bundle_endpoint(cx, mln_get(spiffe, "bundle_endpoint"), config));
    config->attest = mln_get(spiffe, "attest");
    return mln_attest_check(cx, config->attest);
}

/* "audit": a list of devices; their options are core's to judge. */
static struct mln_err parse_audit(struct mln_cx *cx, const struct mln_value *list,
                                  struct server_config *config)
{
    static const char *const names[] = {"type", "path", "description", "options", NULL};
    if (mln_is_null(list)) {
        return MLN_OK;
    }
    if (mln_type_of(list) != MLN_ARRAY || mln_len(list) > AUDIT_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'audit' must be a list of at most %d devices", AUDIT_MAX);
    }
    struct mln_value *out = mln_array(cx);
    for (size_t i = 0; i < mln_len(list); i++) {
        const struct mln_value *item = mln_item(list, i), *options = mln_get(item, "options");
        const char *where = mln_text_format(cx, "audit[%zu].", i), *type = NULL, *path = NULL;
        const char *description = "";
        if (mln_type_of(item) != MLN_OBJECT) {
            return mln_fail(cx, MLN_E_INVALID, "'audit[%zu]' must hold keys of its own", i);
        }
        MLN_TRY(config_check_keys(cx, item, where, names));
        MLN_TRY(config_text(cx, item, where, "type", &type));
        MLN_TRY(config_text(cx, item, where, "path", &path));
        MLN_TRY(config_text(cx, item, where, "description", &description));
        if (type == NULL || path == NULL || mln_type_of(options) != MLN_OBJECT) {
            return mln_fail(cx, MLN_E_INVALID, "'%stype', path and options are needed", where);
        }
        struct mln_value *one = mln_object(cx);
        const char *slash = mln_bytes_ends(mln_bytes_of(path), MLN_BYTES("/")) ? "" : "/";
        mln_put_text(cx, one, "path", mln_text_format(cx, "%s%s", path, slash));
        mln_put_text(cx, one, "type", type);
        mln_put_text(cx, one, "description", description);
        mln_put(cx, one, "options", options);
        mln_push(cx, out, one);
    }
    config->audit = out;
    return mln_cx_err(cx);
}

/* YAML (JSON is some) or HCL: what is no mapping of YAML may yet be HCL, whose errors are told when it looks like it. */
static struct mln_err read_file(struct mln_cx *cx, struct mln_bytes text, const struct mln_value **ret)
{
    struct mln_err err = mln_yaml_parse(cx, text, ret);
    if (!mln_failed(err) && mln_type_of(*ret) == MLN_OBJECT) {
        return MLN_OK;
    }
    const char *why = mln_failed(err) ? mln_text_dup(cx, mln_bytes_of(cx->text)) : "the configuration must hold keys";
    mln_cx_clear(cx);
    bool looks_like_hcl = mln_bytes_find(text, '{') < text.len;
    if (looks_like_hcl) {
        err = mln_hcl_parse(cx, text, ret);
        return mln_failed(err) ? err : MLN_OK;
    }
    return mln_fail(cx, MLN_E_INVALID, "%s", why);
}

struct mln_err server_config_parse(struct mln_cx *cx, struct mln_bytes text, bool dev_tls,
                                   struct server_config *ret)
{
    static const char *const names[] = {"data",          "listeners",         "seal", "ledger",
                                        "max_lease_ttl", "default_lease_ttl", "log",  "reach",
                                        "audit",         "unsafe_allow_api_audit_creation", "spiffe", NULL};
    struct server_config config = {.origin = ORIGIN_DEFAULT};
    const struct mln_value *all = NULL;
    MLN_TRY(read_file(cx, text, &all));
    if (server_config_is_vault(all)) {
        struct mln_value *warnings = mln_array(cx);
        MLN_TRY(server_config_from_vault(cx, all, &all, warnings));
        config.warnings = warnings;
        config.is_temporary = mln_get_bool(mln_get(all, "temporary"), false);
        struct mln_value *rest = mln_value_dup(cx, all);
        mln_remove(rest, MLN_BYTES("temporary"));
        all = rest;
    }
    MLN_TRY(config_check_keys(cx, all, "", names));
    MLN_TRY(config_text(cx, all, "", "data", &config.data_dir));
    MLN_TRY(parse_listeners(cx, mln_get(all, "listeners"), dev_tls, &config));
    MLN_TRY(parse_seal(cx, all, &config));
    MLN_TRY(parse_ledger(cx, all, &config));
    MLN_TRY(config_duration(cx, all, "default_lease_ttl", &config.default_ttl_s));
    MLN_TRY(config_duration(cx, all, "max_lease_ttl", &config.max_ttl_s));
    if (config.max_ttl_s != 0 && config.default_ttl_s > config.max_ttl_s) {
        return mln_fail(cx, MLN_E_INVALID, "'default_lease_ttl' is above 'max_lease_ttl'");
    }
    MLN_TRY(parse_log(cx, all, &config));
    MLN_TRY(parse_audit(cx, mln_get(all, "audit"), &config));
    MLN_TRY(config_bool(cx, all, "", "unsafe_allow_api_audit_creation", &config.audit_by_api));
    MLN_TRY(parse_reach(cx, all, &config));
    MLN_TRY(parse_spiffe(cx, all, &config));
    *ret = config;
    return mln_cx_err(cx);
}

/* ---- the flags ---- */

static struct mln_err load_file(struct mln_cx *cx, const struct mln_server_options *options,
                                struct server_config *config)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    MLN_TRY(mln_file_read_all(cx, options->config_file, SERVER_CONFIG_MAX_BYTES, &text));
    struct mln_bytes kept = mln_bytes_dup(cx, mln_buf_bytes(&text));
    struct mln_err err = server_config_parse(cx, kept, options->dev_tls, config);
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_INVALID, "%s: %s", options->config_file, why);
    }
    return MLN_OK;
}

/* --dev without a file: one loopback listener, key file seal. */
static struct mln_err fill_dev(struct mln_cx *cx, const struct mln_server_options *options,
                               struct server_config *config)
{
    const char *address = options->dev_listen_address;
    *config = (struct server_config){.origin = ORIGIN_DEFAULT, .seal = MLN_SEAL_KEYFILE};
    config->log_level = MLN_LOG_INFO;
    config->n_listeners = 1;
    config->listeners[0].is_tls = options->dev_tls;
    config->listeners[0].no_unauthed_rekey = config->listeners[0].no_unauthed_root = true;
    return server_address_parse(cx, address != NULL ? address : "127.0.0.1:8200",
                                &config->listeners[0].address);
}

static bool is_other(const char *given, const char *usual)
{
    return given != NULL && !mln_bytes_is(mln_bytes_of(given), usual);
}

static struct mln_err use_flags(struct mln_cx *cx, const struct mln_server_options *options,
                                struct server_config *config)
{
    bool has_level = is_other(options->log_level, "info");
    bool has_form = is_other(options->log_format, "text");
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    MLN_TRY(use_log(cx, has_level ? options->log_level : levels[config->log_level],
                    has_form                           ? options->log_format
                    : config->log_form == MLN_LOG_JSON ? "json"
                                                       : "text",
                    config));
    if (options->rekey_per_minute < 0 || options->rekey_per_minute > REKEY_MAX) {
        return mln_fail(cx, MLN_E_USAGE, "--rekey-per-minute must be 0 to %d", REKEY_MAX);
    }
    config->rekey_per_minute = (unsigned)options->rekey_per_minute;
    config->data_dir = options->data_dir != NULL ? options->data_dir : config->data_dir;
    config->is_dev = options->is_dev;
    if (options->spiffe_bundle_endpoint != NULL) {
        MLN_TRY(parse_bundle_endpoint(cx, mln_text(cx, options->spiffe_bundle_endpoint), config));
    }
    config->spiffe_socket = options->spiffe_socket != NULL ? options->spiffe_socket : config->spiffe_socket;
    config->audit_by_api = config->audit_by_api || options->is_dev;
    config->dev_tls = options->dev_tls;
    config->trust_domain = options->trust_domain != NULL ? options->trust_domain : config->trust_domain;
    MLN_TRY(check_domain(cx, config->trust_domain));
    config->root_token = options->is_dev ? options->dev_root_token_id : NULL;
    return MLN_OK;
}

struct mln_err server_config_load(struct mln_cx *cx, const struct mln_server_options *options,
                                  struct server_config *ret)
{
    struct server_config config = {0};
    if (options->config_file != NULL && options->is_dev) {
        return mln_fail(cx, MLN_E_USAGE, "--dev and --config exclude each other");
    }
    if (options->config_file != NULL) {
        MLN_TRY(load_file(cx, options, &config));
    } else {
        MLN_TRY(fill_dev(cx, options, &config));
    }
    MLN_TRY(use_flags(cx, options, &config));
    if (config.data_dir == NULL && !config.is_dev && !config.is_temporary) {
        return mln_fail(cx, MLN_E_INVALID, "%s: 'data' is missing", options->config_file);
    }
    *ret = config;
    return mln_cx_err(cx);
}
