/* SPDX-License-Identifier: Apache-2.0 */
/* Logging in by each method, renewing, and writing the token to its sinks. */
#include "agent/agent_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

/* ---- what is read from files ---- */

static struct mln_err read_credential(struct mln_cx *cx, const char *path, struct mln_bytes *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = true};
    MLN_TRY(mln_file_read_all(cx, path, AGENT_CREDENTIAL_MAX, &buf));
    *ret = mln_bytes_dup(cx, mln_bytes_trim(mln_buf_bytes(&buf)));
    MLN_TRY(mln_cx_err(cx));
    return ret->len > 0 ? MLN_OK : mln_fail(cx, MLN_E_INVALID, "%s is empty", path);
}

/* Read, kept for the next login, removed when the configuration says so. Without the file: what was kept. */
static struct mln_err take_credential(struct mln_cx *cx, struct agent *agent, const char *path,
                                      struct mln_bytes *ret)
{
    struct mln_err err = read_credential(cx, path, ret);
    if (mln_is(err, MLN_E_NOT_FOUND) && agent->secret_id.len > 0) {
        mln_cx_clear(cx);
        *ret = mln_buf_bytes(&agent->secret_id);
        return MLN_OK;
    }
    MLN_TRY(err);
    mln_buf_clear(&agent->secret_id);
    mln_buf_add_bytes(&agent->secret_id, *ret);
    MLN_TRY(mln_buf_ok(cx, &agent->secret_id));
    if (agent->config->auth.removes && unlink(path) != 0) {
        mln_log(MLN_LOG_WARN, "agent", "%s cannot be removed: %s", path, strerror(errno));
    }
    return MLN_OK;
}

/* ---- the bodies of logins ---- */

static const char *namespace_of(const struct agent *agent)
{
    return agent->config->auth.ns != NULL ? agent->config->auth.ns : agent->config->server.ns;
}

/* A wrapped secret ID is taken only when it was made where the configuration says: another's may have been slipped in. */
static struct mln_err unwrap_secret_id(struct mln_cx *cx, struct agent *agent,
                                       struct mln_bytes wrapping, struct mln_bytes *ret)
{
    struct mln_value *body = mln_object(cx);
    const struct mln_value *answer = NULL;
    struct agent_ask ask = {.method = "POST",
                            .target = "/v1/sys/wrapping/lookup",
                            .ns = namespace_of(agent),
                            .body = body};
    mln_put_bytes(cx, body, "token", wrapping);
    MLN_TRY(agent_call(cx, &agent->config->server, &ask, &answer));
    if (!mln_is_text(mln_get(mln_get(answer, "data"), "creation_path"),
                     agent->config->auth.wrap_path)) {
        return mln_fail(cx, MLN_E_DENIED, "the wrapped secret ID was not made at %s",
                        agent->config->auth.wrap_path);
    }
    ask.target = "/v1/sys/wrapping/unwrap";
    MLN_TRY(agent_call(cx, &agent->config->server, &ask, &answer));
    *ret = mln_get_bytes(mln_get(mln_get(answer, "data"), "secret_id"));
    if (ret->len == 0) {
        return mln_fail(cx, MLN_E_REMOTE, "what was unwrapped is no secret ID");
    }
    mln_buf_clear(&agent->secret_id);
    mln_buf_add_bytes(&agent->secret_id, *ret);
    return mln_buf_ok(cx, &agent->secret_id);
}

static struct mln_err approle_body(struct mln_cx *cx, struct agent *agent, struct mln_value *body)
{
    const struct mln_agent_auth *auth = &agent->config->auth;
    struct mln_bytes role, secret;
    MLN_TRY(read_credential(cx, auth->file, &role));
    mln_put_bytes(cx, body, "role_id", role);
    if (auth->secret_id == NULL) {
        return mln_cx_err(cx);
    }
    bool is_new = access(auth->secret_id, F_OK) == 0;
    MLN_TRY(take_credential(cx, agent, auth->secret_id, &secret));
    if (auth->wrap_path != NULL && is_new) {
        struct mln_bytes wrapping = mln_bytes_dup(cx, secret);
        mln_buf_clear(&agent->secret_id); /* a wrapping token works once: nothing to keep */
        MLN_TRY(unwrap_secret_id(cx, agent, wrapping, &secret));
    }
    mln_put_bytes(cx, body, "secret_id", secret);
    return mln_cx_err(cx);
}

static struct mln_err login_body(struct mln_cx *cx, struct agent *agent, struct mln_value *body)
{
    const struct mln_agent_auth *auth = &agent->config->auth;
    struct mln_bytes jwt;
    switch (auth->method) {
    case MLN_AGENT_APPROLE:
        return approle_body(cx, agent, body);
    case MLN_AGENT_JWT:
        MLN_TRY(take_credential(cx, agent, auth->file, &jwt));
        break;
    case MLN_AGENT_KUBERNETES: /* the kubelet writes a new one before the old ends */
        MLN_TRY(read_credential(cx, auth->file, &jwt));
        break;
    case MLN_AGENT_CERT:
        if (auth->role != NULL) {
            mln_put_text(cx, body, "name", auth->role);
        }
        return mln_cx_err(cx);
    case MLN_AGENT_NONE:
    case MLN_AGENT_TOKEN_FILE:
    default:
        return mln_fail(cx, MLN_E_INTERNAL, "this method has no login");
    }
    mln_put_text(cx, body, "role", auth->role);
    mln_put_bytes(cx, body, "jwt", jwt);
    return mln_cx_err(cx);
}

/* ---- the token's life ---- */

static struct mln_err keep_token(struct mln_cx *cx, struct agent *agent, struct mln_bytes token)
{
    bool is_line = token.len > 0 && token.len <= AGENT_CREDENTIAL_MAX;
    for (size_t i = 0; i < token.len && is_line; i++) {
        is_line = token.ptr[i] > 0x20 && token.ptr[i] < 0x7f;
    }
    if (!is_line) {
        return mln_fail(cx, MLN_E_REMOTE, "the login gave no token");
    }
    struct mln_bytes old = agent_token(cx, agent);
    if (agent->leases != NULL && !mln_eq_ct(old.ptr, old.len, token.ptr, token.len)) {
        mln_leases_forget_token(agent->leases, old); /* its leases end with it */
    }
    pthread_mutex_lock(&agent->lock);
    mln_buf_clear(&agent->token);
    mln_buf_add_bytes(&agent->token, token);
    struct mln_err err = mln_buf_ok(cx, &agent->token);
    pthread_mutex_unlock(&agent->lock);
    return err;
}

/* 2/3 of its time, spread over a tenth. */
static void plan(struct agent *agent, int64_t ttl_s)
{
    int64_t now = mln_mono_ns(), ns = ttl_s > 10 * 365 * 86400 ? 0 : ttl_s * SECOND_NS;
    agent->ends_ns = ns > 0 ? now + ns : INT64_MAX;
    agent->act_ns =
        ns > 0 ? now + ns / 3 * 2 - (int64_t)mln_random_below((uint64_t)(ns / 10)) : INT64_MAX;
}

static struct mln_err lookup_file(struct mln_cx *cx, struct agent *agent)
{
    struct mln_bytes token;
    const struct mln_value *answer = NULL;
    MLN_TRY(read_credential(cx, agent->config->auth.file, &token));
    struct agent_ask ask = {.method = "GET",
                            .target = "/v1/auth/token/lookup-self",
                            .token = token,
                            .ns = namespace_of(agent)};
    MLN_TRY(agent_call(cx, &agent->config->server, &ask, &answer));
    const struct mln_value *data = mln_get(answer, "data");
    MLN_TRY(keep_token(cx, agent, token));
    agent->full_s = mln_get_int(mln_get(data, "ttl"), 0);
    agent->is_renewable = mln_get_bool(mln_get(data, "renewable"), false);
    return MLN_OK;
}

static struct mln_err login_by_method(struct mln_cx *cx, struct agent *agent)
{
    const struct mln_agent_auth *auth = &agent->config->auth;
    const struct mln_agent_server *server = &agent->config->server;
    struct mln_agent_server with_cert = auth->client;
    struct mln_value *body = mln_object(cx);
    const struct mln_value *answer = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf mount = {0};
    MLN_TRY(login_body(cx, agent, body));
    mln_percent_print(&mount, mln_bytes_of(auth->mount));
    mln_buf_add_byte(&mount, 0);
    MLN_TRY(mln_buf_ok(cx, &mount));
    with_cert.address = server->address;
    struct agent_ask ask = {.method = "POST", .ns = namespace_of(agent), .body = body};
    ask.target = mln_text_format(cx, "/v1/%s/login", (const char *)mount.ptr);
    MLN_TRY(agent_call(cx, auth->method == MLN_AGENT_CERT ? &with_cert : server, &ask, &answer));
    const struct mln_value *got = mln_get(answer, "auth");
    MLN_TRY(keep_token(cx, agent, mln_get_bytes(mln_get(got, "client_token"))));
    agent->full_s = mln_get_int(mln_get(got, "lease_duration"), 0);
    agent->is_renewable = mln_get_bool(mln_get(got, "renewable"), false);
    return MLN_OK;
}

struct mln_err agent_login(struct mln_cx *cx, struct agent *agent)
{
    MLN_TRY(agent->config->auth.method == MLN_AGENT_TOKEN_FILE ? lookup_file(cx, agent)
                                                               : login_by_method(cx, agent));
    agent->full_s = agent->full_s > 0 ? agent->full_s : 0;
    plan(agent, agent->full_s);
    agent->has_token = true;
    agent->is_written = false;
    return MLN_OK;
}

/* errors: CONFLICT when the token comes to its end and a login is due. */
struct mln_err agent_renew(struct mln_cx *cx, struct agent *agent)
{
    const struct mln_value *answer = NULL;
    struct agent_ask ask = {.method = "POST",
                            .target = "/v1/auth/token/renew-self",
                            .ns = namespace_of(agent),
                            .body = mln_object(cx)};
    ask.token = agent_token(cx, agent);
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(agent_call(cx, &agent->config->server, &ask, &answer));
    int64_t ttl = mln_get_int(mln_get(mln_get(answer, "auth"), "lease_duration"), 0);
    if (ttl < agent->full_s / 3) { /* near its longest life: renewals give less and less */
        return mln_fail(cx, MLN_E_CONFLICT, "the token comes to its end");
    }
    plan(agent, ttl);
    return MLN_OK;
}

int64_t agent_renew_lease(struct mln_cx *cx, struct agent *agent, struct mln_bytes token, struct mln_bytes lease_id)
{
    struct mln_value *body = mln_object(cx);
    const struct mln_value *answer = NULL;
    bool is_token = lease_id.len == 0;
    struct agent_ask ask = {.method = "PUT",
                            .target = is_token ? "/v1/auth/token/renew-self" : "/v1/sys/leases/renew",
                            .ns = agent->config->server.ns,
                            .token = token,
                            .body = body};
    if (!is_token) {
        mln_put_bytes(cx, body, "lease_id", lease_id);
    }
    struct mln_err err = agent_call(cx, &agent->config->server, &ask, &answer);
    mln_cx_clear(cx);
    if (mln_failed(err)) {
        bool is_final = mln_is(err, MLN_E_DENIED) || mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_NOT_FOUND);
        return is_final ? 0 : -1;
    }
    return mln_get_int(mln_get(is_token ? mln_get(answer, "auth") : answer, "lease_duration"), 0);
}

struct mln_err agent_write_sinks(struct mln_cx *cx, struct agent *agent)
{
    struct mln_bytes token = agent_token(cx, agent);
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < agent->config->n_sinks; i++) {
        const struct mln_agent_sink *sink = &agent->config->sinks[i];
        MLN_TRY(mln_file_replace(cx, sink->path, token, sink->mode, false));
    }
    agent->is_written = true;
    return MLN_OK;
}
