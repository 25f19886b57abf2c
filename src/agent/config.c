/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's configuration, as Vault's agent has it. Keys that nobody knows are refused; known ones that mean nothing here are
 * named in a warning, and what would weaken something if it were passed over is an error. Source: the agent's pages of Vault's and
 * OpenBao's documentation.
 */
#include "agent/config_priv.h"

#include "base/text.h"
#include "base/yaml.h"
#include "policy/acl.h"

#define K8S_TOKEN        "/var/run/secrets/kubernetes.io/serviceaccount/token"

/* ---- values ---- */

struct mln_err conf_flag(struct mln_cx *cx, const struct mln_value *from, const char *name,
                               bool *ret)
{
    const struct mln_value *v = mln_get(from, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if (mln_type_of(v) != MLN_BOOL && !mln_is_text(v, "true") && !mln_is_text(v, "false")) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must be true or false", name);
    }
    *ret = mln_get_bool(v, false) || mln_is_text(v, "true");
    return MLN_OK;
}

struct mln_err conf_text(struct mln_cx *cx, const struct mln_value *from, const char *name,
                               const char **ret)
{
    const struct mln_value *v = mln_get(from, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    const char *text = mln_get_text(cx, v, NULL);
    if (text == NULL || text[0] == '\0') {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must be a text that is not empty", name);
    }
    *ret = text;
    return MLN_OK;
}

struct mln_err conf_need(struct mln_cx *cx, const struct mln_value *from, const char *name,
                                const char **ret)
{
    MLN_TRY(conf_text(cx, from, name, ret));
    return *ret != NULL ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "'%s' is missing", name);
}

/* "5m" or seconds */
struct mln_err conf_duration(struct mln_cx *cx, const struct mln_value *from,
                                   const char *name, int64_t *ret)
{
    const struct mln_value *v = mln_get(from, name);
    int64_t s = mln_get_int(v, -1);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    if ((mln_type_of(v) == MLN_STRING && !mln_duration_parse(mln_get_bytes(v), &s)) || s < 1 ||
        s > 30 * 86400) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must be a duration of 1s to 30 days", name);
    }
    *ret = s;
    return MLN_OK;
}

/* "0640"; HCL reads a bare 0640 as octal already. YAML reads it as 640: refused, as it is no mode */
struct mln_err conf_mode(struct mln_cx *cx, const struct mln_value *from, const char *name,
                               unsigned *ret)
{
    const struct mln_value *v = mln_get(from, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    struct mln_bytes text = mln_get_bytes(v);
    unsigned mode = mln_type_of(v) == MLN_INT ? (unsigned)(mln_get_int(v, 0) & 07777) : 0;
    bool is_good = mln_type_of(v) == MLN_INT ? mln_get_int(v, 0) >= 0 && mln_get_int(v, 0) <= 0777
                                             : text.len >= 3 && text.len <= 4;
    for (size_t i = 0; i < text.len && is_good; i++) {
        is_good = text.ptr[i] >= '0' && text.ptr[i] <= '7';
        mode = mode * 8 + (unsigned)(text.ptr[i] - '0');
    }
    if (!is_good || mode > 0777 || (mode & 0400) == 0) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must be a file mode such as \"0640\"", name);
    }
    *ret = mode;
    return MLN_OK;
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

/* Every key is one of `known`, or of `quiet` (which gets a warning); the rest is refused. */
struct mln_err conf_keys(struct reading *r, const char *where, const struct mln_value *from,
                                 const char *const *known, const char *const *quiet)
{
    if (mln_type_of(from) != MLN_OBJECT) {
        return mln_fail(r->cx, MLN_E_INVALID, "'%s' must be a block", where);
    }
    for (size_t i = 0; i < mln_len(from); i++) {
        struct mln_bytes name = mln_member_at(from, i)->key;
        if (is_in(name, known)) {
            continue;
        }
        if (!is_in(name, quiet)) {
            return mln_fail(r->cx, MLN_E_UNSUPPORTED, "'%s': unknown or unsupported key '%.*s'",
                            where, MLN_FMT(name));
        }
        mln_push(r->cx, r->warnings,
                 mln_textf(r->cx, "'%s.%.*s' means nothing to this agent and is not used", where,
                           MLN_FMT(name)));
    }
    return mln_cx_err(r->cx);
}

static struct mln_err take_one(struct reading *r, const char *kind, const struct mln_value *one,
                               bool is_labelled, block_fn take)
{
    if (mln_type_of(one) != MLN_OBJECT) {
        return mln_fail(r->cx, MLN_E_INVALID, "'%s' must be a block", kind);
    }
    struct mln_bytes type = mln_get_bytes(mln_get(one, "type"));
    if (!is_labelled || type.len > 0) {
        return take(r, type, one);
    }
    for (size_t i = 0; i < mln_len(one); i++) {
        const struct mln_member *m = mln_member_at(one, i);
        bool is_list = mln_type_of(&m->value) == MLN_ARRAY;
        for (size_t k = 0; k < (is_list ? mln_len(&m->value) : 1); k++) {
            const struct mln_value *body = is_list ? mln_item(&m->value, k) : &m->value;
            if (mln_type_of(body) != MLN_OBJECT) {
                return mln_fail(r->cx, MLN_E_INVALID, "'%s' needs a type: %s \"...\" { }", kind,
                                kind);
            }
            MLN_TRY(take(r, m->key, body));
        }
    }
    return MLN_OK;
}

struct mln_err conf_blocks(struct reading *r, const struct mln_value *all, const char *kind,
                                 bool is_labelled, block_fn take)
{
    const char *const names[] = {kind, mln_text_format(r->cx, "%ss", kind)};
    for (size_t n = 0; n < MLN_COUNT(names); n++) {
        const struct mln_value *blocks = mln_get(all, names[n]);
        if (mln_type_of(blocks) != MLN_ARRAY) {
            MLN_TRY(mln_is_null(blocks) ? MLN_OK : take_one(r, kind, blocks, is_labelled, take));
            continue;
        }
        for (size_t i = 0; i < mln_len(blocks); i++) {
            MLN_TRY(take_one(r, kind, mln_item(blocks, i), is_labelled, take));
        }
    }
    return MLN_OK;
}

const char *const conf_none[] = {NULL};

/* ---- vault { } ---- */

static struct mln_err take_server(struct reading *r, const struct mln_value *all)
{
    static const char *const known[] = {
        "address",         "ca_cert",         "client_cert", "client_key",
        "tls_server_name", "tls_skip_verify", "namespace",   NULL};
    static const char *const quiet[] = {"retry", NULL};
    const struct mln_value *from = mln_get(all, "vault");
    struct mln_agent_server *to = &r->out->server;
    if (mln_is_null(from)) {
        return MLN_OK;
    }
    MLN_TRY(conf_keys(r, "vault", from, known, quiet));
    MLN_TRY(conf_text(r->cx, from, "address", &to->address));
    MLN_TRY(conf_text(r->cx, from, "ca_cert", &to->ca_cert));
    MLN_TRY(conf_text(r->cx, from, "client_cert", &to->client_cert));
    MLN_TRY(conf_text(r->cx, from, "client_key", &to->client_key));
    MLN_TRY(conf_text(r->cx, from, "tls_server_name", &to->server_name));
    MLN_TRY(conf_text(r->cx, from, "namespace", &to->ns));
    return conf_flag(r->cx, from, "tls_skip_verify", &to->skips_verify);
}

/* ---- auto_auth { } ---- */

static struct mln_err take_approle(struct reading *r, const struct mln_value *config)
{
    static const char *const known[] = {"role_id_file_path", "secret_id_file_path",
                                        "remove_secret_id_file_after_reading",
                                        "secret_id_response_wrapping_path", NULL};
    struct mln_agent_auth *to = &r->out->auth;
    to->removes = true;
    MLN_TRY(conf_keys(r, "method.config", config, known, conf_none));
    MLN_TRY(conf_need(r->cx, config, "role_id_file_path", &to->file));
    MLN_TRY(conf_text(r->cx, config, "secret_id_file_path", &to->secret_id));
    MLN_TRY(conf_text(r->cx, config, "secret_id_response_wrapping_path", &to->wrap_path));
    return conf_flag(r->cx, config, "remove_secret_id_file_after_reading", &to->removes);
}

static struct mln_err take_jwt(struct reading *r, const struct mln_value *config)
{
    static const char *const known[] = {"path", "role", "remove_jwt_after_reading", NULL};
    struct mln_agent_auth *to = &r->out->auth;
    to->removes = true;
    MLN_TRY(conf_keys(r, "method.config", config, known, conf_none));
    MLN_TRY(conf_need(r->cx, config, "path", &to->file));
    MLN_TRY(conf_need(r->cx, config, "role", &to->role));
    return conf_flag(r->cx, config, "remove_jwt_after_reading", &to->removes);
}

static struct mln_err take_kubernetes(struct reading *r, const struct mln_value *config)
{
    static const char *const known[] = {"role", "token_path", NULL};
    struct mln_agent_auth *to = &r->out->auth;
    to->file = K8S_TOKEN;
    MLN_TRY(conf_keys(r, "method.config", config, known, conf_none));
    MLN_TRY(conf_need(r->cx, config, "role", &to->role));
    return conf_text(r->cx, config, "token_path", &to->file);
}

static struct mln_err take_cert(struct reading *r, const struct mln_value *config)
{
    static const char *const known[] = {"name", "ca_cert", "client_cert", "client_key", NULL};
    static const char *const quiet[] = {"reload", NULL}; /* read anew at each login */
    struct mln_agent_auth *to = &r->out->auth;
    to->client = r->out->server;
    MLN_TRY(conf_keys(r, "method.config", config, known, quiet));
    MLN_TRY(conf_text(r->cx, config, "name", &to->role));
    MLN_TRY(conf_text(r->cx, config, "ca_cert", &to->client.ca_cert));
    MLN_TRY(conf_text(r->cx, config, "client_cert", &to->client.client_cert));
    MLN_TRY(conf_text(r->cx, config, "client_key", &to->client.client_key));
    if (to->client.client_cert == NULL || to->client.client_key == NULL) {
        return mln_fail(
            r->cx, MLN_E_INVALID,
            "the method \"cert\" needs 'client_cert' and 'client_key', here or in 'vault'");
    }
    return MLN_OK;
}

static struct mln_err take_token_file(struct reading *r, const struct mln_value *config)
{
    static const char *const known[] = {"token_file_path", NULL};
    MLN_TRY(conf_keys(r, "method.config", config, known, conf_none));
    return conf_need(r->cx, config, "token_file_path", &r->out->auth.file);
}

static struct mln_err take_method(struct reading *r, struct mln_bytes label,
                                  const struct mln_value *body)
{
    static const struct {
        const char *type;
        enum mln_agent_method method;
        struct mln_err (*take)(struct reading *r, const struct mln_value *config);
    } methods[] = {{"approle", MLN_AGENT_APPROLE, take_approle},
                   {"jwt", MLN_AGENT_JWT, take_jwt},
                   {"kubernetes", MLN_AGENT_KUBERNETES, take_kubernetes},
                   {"cert", MLN_AGENT_CERT, take_cert},
                   {"token_file", MLN_AGENT_TOKEN_FILE, take_token_file}};
    static const char *const known[] = {"type",        "mount_path",  "namespace",   "config",
                                        "min_backoff", "max_backoff", "exit_on_err", NULL};
    struct mln_agent_auth *to = &r->out->auth;
    const struct mln_value *config = mln_get(body, "config");
    if (to->method != MLN_AGENT_NONE) {
        return mln_fail(r->cx, MLN_E_INVALID, "'auto_auth' has more than one method");
    }
    MLN_TRY(conf_keys(r, "method", body, known, conf_none));
    MLN_TRY(conf_text(r->cx, body, "namespace", &to->ns));
    MLN_TRY(conf_duration(r->cx, body, "min_backoff", &to->min_backoff_s));
    MLN_TRY(conf_duration(r->cx, body, "max_backoff", &to->max_backoff_s));
    MLN_TRY(conf_flag(r->cx, body, "exit_on_err", &to->exits_on_error));
    if (mln_type_of(config) == MLN_ARRAY && mln_len(config) == 1) { /* as JSON has blocks */
        config = mln_item(config, 0);
    }
    for (size_t i = 0; i < MLN_COUNT(methods); i++) {
        if (mln_bytes_is(label, methods[i].type)) {
            to->method = methods[i].method;
            to->mount = mln_text_format(r->cx, "auth/%s", methods[i].type);
            MLN_TRY(conf_text(r->cx, body, "mount_path", &to->mount));
            return methods[i].take(r, mln_is_null(config) ? mln_object(r->cx) : config);
        }
    }
    return mln_fail(
        r->cx, MLN_E_UNSUPPORTED,
        "method \"%.*s\" is not supported: approle, jwt, kubernetes, cert and token_file are",
        MLN_FMT(label));
}

static struct mln_err take_sink(struct reading *r, struct mln_bytes label,
                                const struct mln_value *body)
{
    static const char *const known[] = {"type", "config", NULL}, *const config_known[] = {
                                                                     "path", "mode", NULL};
    struct mln_agent_sink *to = &r->out->sinks[r->out->n_sinks];
    const struct mln_value *config = mln_get(body, "config");
    if (!mln_bytes_is(label, "file") || r->out->n_sinks == MLN_AGENT_SINKS_MAX) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED, "sinks are of type \"file\", at most %u",
                        MLN_AGENT_SINKS_MAX);
    }
    if (mln_type_of(config) == MLN_ARRAY && mln_len(config) == 1) {
        config = mln_item(config, 0);
    }
    MLN_TRY(conf_keys(r, "sink", body, known,
                       conf_none)); /* wrap_ttl, dh_type, ... would change what is written: refused */
    MLN_TRY(conf_keys(r, "sink.config", config, config_known, conf_none));
    to->mode = 0600;
    MLN_TRY(conf_need(r->cx, config, "path", &to->path));
    MLN_TRY(conf_mode(r->cx, config, "mode", &to->mode));
    r->out->n_sinks++;
    return MLN_OK;
}

static struct mln_err take_auto_auth(struct reading *r, const struct mln_value *all)
{
    static const char *const known[] = {"method", "sink", "sinks", NULL};
    static const char *const quiet[] = {"enable_reauth_on_new_credentials", NULL};
    const struct mln_value *from = mln_get(all, "auto_auth");
    struct mln_agent_auth *auth = &r->out->auth;
    auth->min_backoff_s = 1;
    auth->max_backoff_s = 300;
    if (mln_is_null(from)) {
        return MLN_OK;
    }
    MLN_TRY(conf_keys(r, "auto_auth", from, known, quiet));
    MLN_TRY(conf_blocks(r, from, "method", true, take_method));
    MLN_TRY(conf_blocks(r, from, "sink", true, take_sink));
    if (auth->method == MLN_AGENT_NONE) {
        return mln_fail(r->cx, MLN_E_INVALID, "'auto_auth' has no method");
    }
    if (auth->min_backoff_s > auth->max_backoff_s) {
        return mln_fail(r->cx, MLN_E_INVALID, "'min_backoff' is above 'max_backoff'");
    }
    return MLN_OK;
}

/* ---- the proxy ---- */

static bool is_loopback(struct mln_bytes address)
{
    return mln_bytes_starts(address, MLN_BYTES("127.")) ||
           mln_bytes_starts(address, MLN_BYTES("localhost:")) ||
           mln_bytes_starts(address, MLN_BYTES("[::1]:"));
}

static struct mln_err take_listener(struct reading *r, struct mln_bytes label,
                                    const struct mln_value *body)
{
    static const char *const known[] = {
        "type", "address", "tls_disable", "require_request_header", "socket_mode", "role", NULL};
    struct mln_agent_listener *to = &r->out->listeners[r->out->n_listeners];
    bool is_plain = false;
    to->is_unix = mln_bytes_is(label, "unix");
    to->mode = 0600;
    if ((!to->is_unix && !mln_bytes_is(label, "tcp")) ||
        r->out->n_listeners == MLN_AGENT_LISTENERS_MAX) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED, "listeners are \"unix\" or \"tcp\", at most %u",
                        MLN_AGENT_LISTENERS_MAX);
    }
    MLN_TRY(conf_keys(r, "listener", body, known, conf_none));
    MLN_TRY(conf_need(r->cx, body, "address", &to->address));
    MLN_TRY(conf_flag(r->cx, body, "tls_disable", &is_plain));
    MLN_TRY(conf_flag(r->cx, body, "require_request_header", &to->needs_header));
    MLN_TRY(conf_mode(r->cx, body, "socket_mode", &to->mode));
    if (!mln_is_null(mln_get(body, "role")) && !mln_is_text(mln_get(body, "role"), "default")) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED,
                        "'listener.role' other than \"default\" is not supported");
    }
    if (!to->is_unix && (!is_plain || !is_loopback(mln_bytes_of(to->address)))) {
        return mln_fail(
            r->cx, MLN_E_UNSUPPORTED,
            "a listener \"tcp\" needs tls_disable = true and an address of this machine, "
            "127.0.0.1:PORT: TLS is not served by the agent");
    }
    r->out->n_listeners++;
    return MLN_OK;
}

static struct mln_err get_use(struct reading *r, const struct mln_value *from)
{
    bool adds = false;
    if (mln_is_text(mln_get(from, "use_auto_auth_token"), "force")) {
        r->out->proxy = MLN_AGENT_FORCE;
        return MLN_OK;
    }
    MLN_TRY(conf_flag(r->cx, from, "use_auto_auth_token", &adds));
    r->out->proxy = adds ? MLN_AGENT_ADD : r->out->proxy;
    return MLN_OK;
}

static struct mln_err take_proxy(struct reading *r, const struct mln_value *all)
{
    static const char *const known[] = {"use_auto_auth_token", NULL};
    static const char *const quiet[] = {"enforce_consistency", "when_inconsistent",
                                        "cache_static_secrets", NULL};
    const struct mln_value *cache = mln_get(all, "cache"), *proxy = mln_get(all, "api_proxy");
    if (!mln_is_null(cache)) {
        MLN_TRY(conf_keys(r, "cache", cache, known, quiet));
        r->out->caches = true;
        MLN_TRY(get_use(r, cache));
    }
    if (!mln_is_null(proxy)) {
        MLN_TRY(conf_keys(r, "api_proxy", proxy, known, quiet));
        MLN_TRY(get_use(r, proxy));
    }
    MLN_TRY(conf_blocks(r, all, "listener", true, take_listener));
    if (r->out->proxy != MLN_AGENT_PASS && r->out->auth.method == MLN_AGENT_NONE) {
        return mln_fail(r->cx, MLN_E_INVALID, "'use_auto_auth_token' needs 'auto_auth'");
    }
    return MLN_OK;
}

/* ---- all ---- */

static struct mln_err read_all(struct reading *r, const struct mln_value *all)
{
    static const char *const known[] = {
        "vault",     "auto_auth", "template",  "templates",       "template_config", "cache",
        "api_proxy", "listener",  "listeners", "exit_after_auth", "pid_file",        "exec",
        "env_template", "env_templates", NULL};
    static const char *const quiet[] = {
        "log_level",           "log_format", "log_file", "telemetry", "disable_idle_connections",
        "disable_keep_alives", NULL};
    if (mln_type_of(all) != MLN_OBJECT) {
        return mln_fail(r->cx, MLN_E_INVALID, "the configuration must hold keys");
    }
    MLN_TRY(conf_keys(r, "the configuration", all, known, quiet));
    MLN_TRY(take_server(r, all));
    MLN_TRY(take_auto_auth(r, all));
    MLN_TRY(conf_templates(r, all));
    MLN_TRY(take_proxy(r, all));
    MLN_TRY(conf_flag(r->cx, all, "exit_after_auth", &r->out->exits_after_auth));
    MLN_TRY(conf_text(r->cx, all, "pid_file", &r->out->pid_file));
    if (r->out->auth.method == MLN_AGENT_NONE && r->out->n_listeners == 0) {
        return mln_fail(r->cx, MLN_E_INVALID,
                        "nothing to do: there is neither 'auto_auth' nor 'listener'");
    }
    if (r->out->auth.method == MLN_AGENT_NONE && r->out->n_templates > 0) {
        return mln_fail(r->cx, MLN_E_INVALID, "'template' needs 'auto_auth'");
    }
    return mln_cx_err(r->cx);
}

struct mln_err mln_agent_config_parse(struct mln_cx *cx, struct mln_bytes text, bool is_yaml,
                                      struct mln_agent_config *ret, struct mln_value *warnings)
{
    const struct mln_value *all = NULL;
    struct mln_agent_config *out = MLN_NEW(cx, struct mln_agent_config);
    MLN_TRY(mln_cx_err(cx));
    out->templates = mln_new_array(cx, MLN_AGENT_TEMPLATES_MAX, sizeof(*out->templates));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(is_yaml ? mln_yaml_parse(cx, text, &all) : mln_hcl_parse(cx, text, &all));
    MLN_TRY(read_all(&(struct reading){.cx = cx, .out = out, .warnings = warnings}, all));
    *ret = *out;
    return MLN_OK;
}
