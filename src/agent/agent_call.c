/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the agent's own. Each dials anew: they are minutes apart, and a kept connection that died would fail a renewal. */
#include "agent/agent_priv.h"

#include "base/clock.h"
#include "base/json.h"
#include "net/client.h"

struct mln_err agent_client(struct mln_cx *cx, const struct mln_agent_server *server,
                            int64_t timeout_ns, struct mln_client **ret)
{
    struct mln_client_config config = {
        .url = server->address,
        .ca_file = server->ca_cert,
        .server_name = server->server_name,
        .cert_file = server->client_cert,
        .key_file = server->client_key,
        .skip_verify = server->skips_verify,
        .timeout_ns = timeout_ns,
    };
    return mln_client_new(cx, &config, ret);
}

struct mln_bytes agent_token(struct mln_cx *cx, struct agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    struct mln_bytes copy = mln_bytes_dup(cx, mln_buf_bytes(&agent->token));
    pthread_mutex_unlock(&agent->lock);
    return copy;
}

int64_t agent_backoff_ns(unsigned failures, int64_t min_s, int64_t max_s)
{
    int64_t s = min_s;
    for (unsigned i = 1; i < failures && s < max_s; i++) {
        s = s > max_s / 2 ? max_s : s * 2;
    }
    int64_t ns = s * SECOND_NS;
    return ns - (int64_t)mln_random_below((uint64_t)(ns / 4));
}

/* The last line of the server's first error: "1 error occurred:\n\t* permission denied". */
static struct mln_bytes error_text(const struct mln_value *body)
{
    struct mln_bytes text = mln_bytes_trim(mln_get_bytes(mln_item(mln_get(body, "errors"), 0)));
    size_t at = mln_bytes_find_bytes(text, MLN_BYTES("\n\t* "));
    return at < text.len ? mln_bytes_from(text, at + 4) : text;
}

static struct mln_err refused(struct mln_cx *cx, int status, const struct mln_value *body)
{
    enum mln_code code = status == 403   ? MLN_E_DENIED
                         : status == 404 ? MLN_E_NOT_FOUND
                         : status == 400 ? MLN_E_INVALID
                         : status == 429 ? MLN_E_LIMIT
                         : status == 503 ? MLN_E_SEALED
                                         : MLN_E_REMOTE;
    struct mln_bytes text = error_text(body);
    return mln_fail(cx, code, "the server answered %d%s%.*s", status, text.len > 0 ? ": " : "",
                    MLN_FMT(text));
}

struct mln_err agent_call(struct mln_cx *cx, const struct mln_agent_server *server,
                          const struct agent_ask *ask, const struct mln_value **ret)
{
    MLN_AUTO(mln_client_drop) struct mln_client *client = NULL;
    MLN_AUTO(mln_buf_drop) struct mln_buf body = {.is_secret = true}, token = {.is_secret = true};
    const char *headers[5] = {"X-Vault-Request: true"};
    struct mln_client_answer answer = {0};
    size_t n = 1;
    const struct mln_value *value = mln_null(cx);
    if (ask->token.len > 0) {
        mln_buf_add_text(&token, "X-Vault-Token: ");
        mln_buf_add_bytes(&token, ask->token);
        mln_buf_add_byte(&token, 0);
        MLN_TRY(mln_buf_ok(cx, &token));
        headers[n++] = (const char *)token.ptr;
    }
    if (ask->ns != NULL) {
        headers[n++] = mln_text_format(cx, "X-Vault-Namespace: %s", ask->ns);
    }
    if (ask->body != NULL) {
        headers[n++] = "Content-Type: application/json";
        mln_json_print(&body, ask->body, MLN_JSON_COMPACT);
    }
    MLN_TRY(mln_buf_ok(cx, &body));
    MLN_TRY(agent_client(cx, server, AGENT_CALL_NS, &client));
    MLN_TRY(mln_client_call(cx, client, ask->method, ask->target, headers, n, mln_buf_bytes(&body),
                            &answer));
    if (answer.body.len > 0 && mln_failed(mln_json_parse(cx, answer.body, &value))) {
        return mln_refail(cx, MLN_E_REMOTE, "the server answered %d with what is no JSON",
                          answer.status);
    }
    if (answer.status >= 300) {
        return refused(cx, answer.status, value);
    }
    *ret = value;
    return MLN_OK;
}
