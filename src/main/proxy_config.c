/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of `merlon proxy` (docs/spiffe-proxy.md): strict, for a mistyped key must not let somebody in. */
#include "base/text.h"
#include "base/yaml.h"
#include "main/config_read.h"
#include "main/proxy_priv.h"
#include "policy/acl.h"

#define CONNECTIONS_DEFAULT 10000
#define HANDSHAKE_DEFAULT_S 10
#define CONNECT_DEFAULT_S   10
#define IDLE_DEFAULT_S      3600
#define DRAIN_DEFAULT_S     30
#define DRAIN_MAX_S         3600
#define IDLE_MAX_S          (30 * 86400)
#define SHAKE_MAX_S         120
#define ALPN_MAX            8u
#define ALPN_NAME_MAX       255u
#define SOCKET_MODE         0600u
#define AUDIENCE_MAX        256u

/* ---- pieces ---- */

static struct mln_err within(struct mln_cx *cx, const char *name, int64_t value, int64_t least, int64_t most)
{
    return value >= least && value <= most
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "'%s' must be %lld to %lld", name, (long long)least, (long long)most);
}

static struct mln_err number(struct mln_cx *cx, const struct mln_value *from, const char *name, int64_t most, int64_t *ret)
{
    const struct mln_value *v = mln_get(from, name);
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    *ret = mln_type_of(v) == MLN_INT ? mln_get_int(v, 0) : 0;
    return within(cx, name, *ret, 1, most);
}

static struct mln_err seconds(struct mln_cx *cx, const struct mln_value *from, const char *name, int64_t most, int64_t *ret)
{
    MLN_TRY(config_duration(cx, from, name, ret));
    return within(cx, name, *ret, 1, most);
}

static struct mln_err need(struct mln_cx *cx, const struct mln_value *from, const char *where, const char *name, const char **ret)
{
    MLN_TRY(config_text(cx, from, where, name, ret));
    return *ret != NULL ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "'%s%s' is missing", where, name);
}

/* A list of texts, or one text. */
static size_t texts_of(const struct mln_value *v)
{
    return mln_type_of(v) == MLN_STRING ? 1 : mln_type_of(v) == MLN_ARRAY ? mln_len(v) : 0;
}

static struct mln_bytes text_at(const struct mln_value *v, size_t i)
{
    return mln_get_bytes(mln_type_of(v) == MLN_STRING ? v : mln_item(v, i));
}

/* ---- a listener ---- */

static struct mln_err read_allow(struct mln_cx *cx, const struct mln_value *list, const char *where, struct mln_proxy_listener *to)
{
    size_t n = texts_of(list);
    if (n == 0 || n > MLN_PROXY_IDS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'%sallow' must be a list of 1 to %u patterns like spiffe://example.org/ns/*/sa/web", where,
                        MLN_PROXY_IDS_MAX);
    }
    struct mln_bytes *allow = mln_new_array(cx, n, sizeof(*allow));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        allow[i] = text_at(list, i);
        MLN_TRY(mln_spiffe_pattern_check(cx, allow[i]));
    }
    to->allow = allow;
    to->n_allow = n;
    return MLN_OK;
}

static struct mln_err read_alpn(struct mln_cx *cx, const struct mln_value *list, const char *where, struct mln_proxy_listener *to)
{
    uint8_t *wire = mln_new(cx, ALPN_MAX * (ALPN_NAME_MAX + 1));
    size_t n = 0;
    MLN_TRY(mln_cx_err(cx));
    if (!mln_is_null(list) && (texts_of(list) == 0 || texts_of(list) > ALPN_MAX)) {
        return mln_fail(cx, MLN_E_INVALID, "'%salpn' must be a list of 1 to %u protocols", where, ALPN_MAX);
    }
    for (size_t i = 0; i < texts_of(list); i++) {
        struct mln_bytes name = text_at(list, i);
        if (name.len == 0 || name.len > ALPN_NAME_MAX) {
            return mln_fail(cx, MLN_E_INVALID, "'%salpn': a protocol is a text of 1 to %u bytes", where, ALPN_NAME_MAX);
        }
        wire[n++] = (uint8_t)name.len;
        mln_copy(wire + n, name.ptr, name.len);
        n += name.len;
    }
    to->alpn = mln_bytes_at(wire, n);
    return MLN_OK;
}

static struct mln_err read_mode(struct mln_cx *cx, const struct mln_value *from, const char *where, unsigned *ret)
{
    const char *text = NULL;
    unsigned mode = 0;
    MLN_TRY(config_text(cx, from, where, "socket_mode", &text));
    if (text == NULL) {
        *ret = SOCKET_MODE;
        return MLN_OK;
    }
    struct mln_bytes digits = mln_bytes_of(text);
    bool is_good = digits.len == 4 && digits.ptr[0] == '0';
    for (size_t i = 0; i < digits.len && is_good; i++) {
        is_good = digits.ptr[i] >= '0' && digits.ptr[i] <= '7';
        mode = mode * 8 + (unsigned)(digits.ptr[i] - '0');
    }
    *ret = mode;
    return is_good ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "'%ssocket_mode' must be a mode such as \"0660\"", where);
}

static struct mln_err read_side(struct mln_cx *cx, const struct mln_value *from, const char *where, enum mln_proxy_side *ret)
{
    const char *mode = NULL;
    MLN_TRY(need(cx, from, where, "mode", &mode));
    bool is_server = mln_bytes_is(mln_bytes_of(mode), "server");
    *ret = is_server ? MLN_PROXY_SERVER : MLN_PROXY_CLIENT;
    return is_server || mln_bytes_is(mln_bytes_of(mode), "client")
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "'%smode' must be server (mTLS comes in) or client (mTLS goes out)", where);
}

/* What is plain must stay on this machine. */
static struct mln_err check_places(struct mln_cx *cx, const char *where, const struct mln_proxy_listener *l)
{
    struct proxy_place listen, target;
    MLN_TRY(proxy_place_parse(cx, l->listen, &listen));
    MLN_TRY(proxy_place_parse(cx, l->target, &target));
    bool is_server = l->side == MLN_PROXY_SERVER;
    if (!proxy_place_is_local(is_server ? &target : &listen)) {
        return mln_fail(cx, MLN_E_INVALID, "'%s%s': plain bytes stay on loopback or a Unix socket, %s is neither", where,
                        is_server ? "target" : "listen", is_server ? l->target : l->listen);
    }
    return is_server && listen.is_unix ? mln_fail(cx, MLN_E_INVALID, "'%slisten': mTLS comes in over TCP", where)
           : !is_server && target.is_unix ? mln_fail(cx, MLN_E_INVALID, "'%starget': mTLS goes out over TCP", where)
           : !target.is_unix && target.port == 0 ? mln_fail(cx, MLN_E_INVALID, "'%starget' needs a port", where)
                                                 : MLN_OK;
}

static struct mln_err read_listener(struct mln_cx *cx, const struct mln_value *from, const char *where, struct mln_proxy_listener *to)
{
    static const char *const names[] = {"name", "mode", "listen", "target", "allow", "alpn", "socket_mode", NULL};
    if (mln_type_of(from) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "'%s' must hold keys of its own", where);
    }
    MLN_TRY(config_check_keys(cx, from, where, names));
    MLN_TRY(need(cx, from, where, "name", &to->name));
    MLN_TRY(read_side(cx, from, where, &to->side));
    MLN_TRY(need(cx, from, where, "listen", &to->listen));
    MLN_TRY(need(cx, from, where, "target", &to->target));
    MLN_TRY(read_allow(cx, mln_get(from, "allow"), where, to));
    MLN_TRY(read_alpn(cx, mln_get(from, "alpn"), where, to));
    MLN_TRY(read_mode(cx, from, where, &to->socket_mode));
    return check_places(cx, where, to);
}

static struct mln_err read_listeners(struct mln_cx *cx, const struct mln_value *list, struct proxy_config *to)
{
    to->n_listeners = mln_len(list);
    if (mln_type_of(list) != MLN_ARRAY || to->n_listeners == 0 || to->n_listeners > MLN_PROXY_LISTENERS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'listeners' must be a list of 1 to %u", MLN_PROXY_LISTENERS_MAX);
    }
    for (size_t i = 0; i < to->n_listeners; i++) {
        const char *where = mln_text_format(cx, "listeners[%zu].", i);
        MLN_TRY(mln_cx_err(cx));
        MLN_TRY(read_listener(cx, mln_item(list, i), where, &to->listeners[i]));
        for (size_t k = 0; k < i; k++) {
            if (mln_bytes_is(mln_bytes_of(to->listeners[k].name), to->listeners[i].name)) {
                return mln_fail(cx, MLN_E_INVALID, "'%sname': there are two of '%s'", where, to->listeners[i].name);
            }
        }
    }
    return MLN_OK;
}

/* ---- the rest ---- */

static struct mln_err read_limits(struct mln_cx *cx, const struct mln_value *all, struct mln_proxy_limits *to)
{
    static const char *const names[] = {"connections", "threads", "handshake", "connect", "idle", "drain", NULL};
    const struct mln_value *from = NULL;
    *to = (struct mln_proxy_limits){.connections = CONNECTIONS_DEFAULT,
                                    .threads = 1,
                                    .handshake_s = HANDSHAKE_DEFAULT_S,
                                    .connect_s = CONNECT_DEFAULT_S,
                                    .idle_s = IDLE_DEFAULT_S,
                                    .drain_s = DRAIN_DEFAULT_S};
    MLN_TRY(config_section(cx, all, "limits", names, &from));
    MLN_TRY(number(cx, from, "connections", MLN_PROXY_CONNS_MAX, &to->connections));
    MLN_TRY(number(cx, from, "threads", MLN_PROXY_THREADS_MAX, &to->threads));
    MLN_TRY(seconds(cx, from, "handshake", SHAKE_MAX_S, &to->handshake_s));
    MLN_TRY(seconds(cx, from, "connect", SHAKE_MAX_S, &to->connect_s));
    MLN_TRY(seconds(cx, from, "idle", IDLE_MAX_S, &to->idle_s));
    return seconds(cx, from, "drain", DRAIN_MAX_S, &to->drain_s);
}

static struct mln_err read_evidence(struct mln_cx *cx, const struct mln_value *all, struct proxy_evidence *to)
{
    static const char *const names[] = {"server", "ca_file", "token_file", "login", "role", "audience", NULL};
    const struct mln_value *from = NULL;
    MLN_TRY(config_section(cx, all, "evidence", names, &from));
    if (from == NULL) {
        return MLN_OK;
    }
    MLN_TRY(need(cx, from, "evidence.", "server", &to->url));
    MLN_TRY(config_text(cx, from, "evidence.", "ca_file", &to->ca_file));
    MLN_TRY(config_text(cx, from, "evidence.", "token_file", &to->token_file));
    MLN_TRY(config_text(cx, from, "evidence.", "login", &to->login));
    MLN_TRY(config_text(cx, from, "evidence.", "role", &to->role));
    MLN_TRY(config_text(cx, from, "evidence.", "audience", &to->audience));
    struct mln_bytes url = mln_bytes_of(to->url);
    if (!mln_bytes_starts(url, MLN_BYTES("https://")) && !mln_bytes_starts(url, MLN_BYTES("http://127.0.0.1:"))) {
        return mln_fail(cx, MLN_E_INVALID, "'evidence.server' must be https://HOST:PORT");
    }
    if ((to->token_file != NULL) == (to->login != NULL) || (to->role != NULL && to->login == NULL)) {
        return mln_fail(cx, MLN_E_INVALID,
                        "'evidence' needs 'token_file', or 'login' (the mount of a spiffe auth method) with or without 'role'");
    }
    to->audience = to->audience != NULL ? to->audience : "merlon";
    return mln_bytes_of(to->audience).len <= AUDIENCE_MAX
               ? MLN_OK
               : mln_fail(cx, MLN_E_INVALID, "'evidence.audience' is longer than %u bytes", AUDIENCE_MAX);
}

struct mln_err proxy_config_read(struct mln_cx *cx, const struct mln_value *all, struct proxy_config *ret)
{
    static const char *const names[] = {"workload_socket", "spiffe_id", "listeners", "limits", "records", "metrics", "evidence", NULL};
    struct mln_spiffe_id id;
    struct proxy_place place;
    *ret = (struct proxy_config){.records = "-"};
    if (mln_type_of(all) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "the configuration must hold keys");
    }
    if (mln_get(all, "vault") != NULL || mln_get(all, "auto_auth") != NULL) {
        return mln_fail(cx, MLN_E_INVALID, "this is a configuration of Vault's proxy: it is served by 'merlon agent --config FILE'");
    }
    MLN_TRY(config_check_keys(cx, all, "", names));
    MLN_TRY(config_text(cx, all, "", "workload_socket", &ret->workload_socket));
    MLN_TRY(config_text(cx, all, "", "spiffe_id", &ret->spiffe_id));
    MLN_TRY(config_text(cx, all, "", "records", &ret->records));
    MLN_TRY(config_text(cx, all, "", "metrics", &ret->metrics));
    MLN_TRY(ret->spiffe_id != NULL ? mln_spiffe_id_parse(cx, mln_bytes_of(ret->spiffe_id), &id) : MLN_OK);
    MLN_TRY(read_limits(cx, all, &ret->limits));
    MLN_TRY(read_evidence(cx, all, &ret->evidence));
    MLN_TRY(read_listeners(cx, mln_get(all, "listeners"), ret));
    if (ret->metrics != NULL) {
        MLN_TRY(proxy_place_parse(cx, ret->metrics, &place));
        if (place.is_unix || !proxy_place_is_local(&place)) {
            return mln_fail(cx, MLN_E_INVALID, "'metrics' must be an address on loopback such as 127.0.0.1:9464");
        }
    }
    return mln_cx_err(cx);
}

/* ---- forms ---- */

/* HCL has listener "name" { ... } blocks: as the list that YAML has. */
static struct mln_err from_blocks(struct mln_cx *cx, const struct mln_value *all, const struct mln_value **ret)
{
    const struct mln_value *blocks = mln_get(all, "listener");
    struct mln_value *list = mln_array(cx), *copy = mln_object(cx);
    if (mln_is_null(blocks) || mln_get(all, "listeners") != NULL) {
        *ret = all;
        return MLN_OK;
    }
    for (size_t i = 0; i < mln_len(all); i++) {
        const struct mln_member *m = mln_member_at(all, i);
        if (!mln_bytes_is(m->key, "listener")) {
            mln_put_key(cx, copy, m->key, &m->value);
        }
    }
    if (mln_type_of(blocks) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_INVALID, "a listener needs a name: listener \"api\" { }");
    }
    for (size_t i = 0; i < mln_len(blocks); i++) {
        const struct mln_member *m = mln_member_at(blocks, i);
        struct mln_value *one = mln_object(cx);
        if (mln_type_of(&m->value) != MLN_OBJECT) {
            return mln_fail(cx, MLN_E_INVALID, "listener \"%.*s\" must be one block", MLN_FMT(m->key));
        }
        mln_put_bytes(cx, one, "name", m->key);
        for (size_t k = 0; k < mln_len(&m->value); k++) {
            const struct mln_member *inner = mln_member_at(&m->value, k);
            mln_put_key(cx, one, inner->key, &inner->value);
        }
        mln_push(cx, list, one);
    }
    mln_put(cx, copy, "listeners", list);
    *ret = copy;
    return mln_cx_err(cx);
}

struct mln_err proxy_config_parse(struct mln_cx *cx, struct mln_bytes text, bool is_yaml, const struct mln_value **ret_all)
{
    const struct mln_value *all = NULL;
    MLN_TRY(is_yaml ? mln_yaml_parse(cx, text, &all) : mln_hcl_parse(cx, text, &all));
    return from_blocks(cx, all, ret_all);
}

struct mln_err proxy_config_of_flags(struct mln_cx *cx, const struct mln_proxy_options *options, const struct mln_value **ret_all)
{
    struct mln_value *all = mln_object(cx), *list = mln_array(cx), *one = mln_object(cx);
    bool is_client = mln_len(options->server_ids) > 0;
    if (options->listen == NULL || options->target == NULL || is_client == (mln_len(options->allow) > 0)) {
        return mln_fail(cx, MLN_E_USAGE,
                        "say --listen and --target, and who may: --allow PATTERN for mTLS in, --server-id PATTERN for mTLS out; or "
                        "--config FILE");
    }
    mln_put_text(cx, one, "name", "proxy");
    mln_put_text(cx, one, "mode", is_client ? "client" : "server");
    mln_put_text(cx, one, "listen", options->listen);
    mln_put_text(cx, one, "target", options->target);
    mln_put(cx, one, "allow", is_client ? options->server_ids : options->allow);
    if (mln_len(options->alpn) > 0) {
        mln_put(cx, one, "alpn", options->alpn);
    }
    mln_push(cx, list, one);
    mln_put(cx, all, "listeners", list);
    *ret_all = all;
    return mln_cx_err(cx);
}
