/* SPDX-License-Identifier: Apache-2.0 */
/* The server as commands see it: address, token, one call, errors with the server's own text. No secret in argv or output. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_MAX_BYTES (256u << 20) /* a list of a million names */

const char *mln_cli_address(const struct mln_cli *cli)
{
    const char *address = cli->command->is_local ? NULL : mln_cli_text(cli, "address");
    if (address == NULL) {
        address = mln_cli_env(cli, "ADDR");
    }
    return address != NULL ? address : "http://127.0.0.1:8200";
}

static const char *setting(const struct mln_cli *cli, const char *flag, const char *env)
{
    const char *text = mln_cli_text(cli, flag);
    return text != NULL ? text : mln_cli_env(cli, env);
}

static struct mln_err connect_client(struct mln_cli *cli)
{
    if (cli->client != NULL) {
        return MLN_OK;
    }
    const char *skip = mln_cli_env(cli, "SKIP_VERIFY");
    struct mln_client_config config = {
        .url = mln_cli_address(cli),
        .ca_file = setting(cli, "ca-cert", "CACERT"),
        .cert_file = setting(cli, "client-cert", "CLIENT_CERT"),
        .key_file = setting(cli, "client-key", "CLIENT_KEY"),
        .server_name = setting(cli, "tls-server-name", "TLS_SERVER_NAME"),
        .skip_verify = mln_cli_bool(cli, "tls-skip-verify") ||
                       (skip != NULL && (mln_bytes_is(mln_bytes_of(skip), "true") ||
                                         mln_bytes_is(mln_bytes_of(skip), "1"))),
    };
    if (config.skip_verify) {
        mln_cli_say(cli, "merlon: warning: the server's certificate is not verified\n");
    }
    struct mln_err err = mln_client_new(cli->cx, &config, &cli->client);
    if (mln_is(err, MLN_E_UNREACHABLE)) {
        cli->hint = "is the server running? set MERLON_ADDR or --address";
    }
    return err;
}

static const char *token_path(struct mln_cli *cli)
{
    const char *config = getenv("XDG_CONFIG_HOME");
    if (config != NULL && config[0] == '/') {
        return mln_text_format(cli->cx, "%s/merlon/token", config);
    }
    const char *home = getenv("HOME");
    return home == NULL ? NULL : mln_text_format(cli->cx, "%s/.config/merlon/token", home);
}

struct mln_err mln_cli_token(struct mln_cli *cli, const char **ret)
{
    const char *token = mln_cli_env(cli, "TOKEN");
    if (token != NULL) {
        *ret = token;
        return MLN_OK;
    }
    const char *path = token_path(cli);
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {.is_secret = true};
    if (path != NULL && !mln_failed(mln_file_read_all(cli->cx, path, 65536, &buf))) {
        *ret = mln_text_dup(cli->cx, mln_bytes_trim(mln_buf_bytes(&buf)));
        return mln_cx_err(cli->cx);
    }
    mln_cx_clear(cli->cx);
    cli->hint = "log in with 'merlon login', or set MERLON_TOKEN";
    return mln_fail(cli->cx, MLN_E_UNAUTHENTIC, "not logged in");
}

struct mln_err mln_cli_token_save(struct mln_cli *cli, const char *token)
{
    const char *path = token_path(cli);
    if (path == NULL) {
        return mln_fail(cli->cx, MLN_E_INVALID, "no HOME: cannot keep the token; use --no-store");
    }
    struct mln_bytes whole = mln_bytes_of(path);
    const char *dir = mln_text_dup(cli->cx, mln_bytes_sub(whole, 0, whole.len - 6));
    MLN_TRY(mln_dir_make(cli->cx, dir, 0700));
    return mln_file_replace(cli->cx, path, mln_bytes_of(token), 0600, false);
}

const char *mln_cli_escape(struct mln_cli *cli, const char *segment_path)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    mln_percent_print(&buf, mln_bytes_of(segment_path));
    return mln_text_dup(cli->cx, mln_buf_bytes(&buf));
}

/* The server's texts, joined: they are meant for the client. */
static const char *error_text(struct mln_cx *cx, const struct mln_value *body, int status)
{
    const struct mln_value *errors = mln_get(body, "errors");
    MLN_AUTO(mln_buf_drop) struct mln_buf buf = {0};
    for (size_t i = 0; i < mln_len(errors); i++) {
        struct mln_bytes text = mln_bytes_trim(mln_get_bytes(mln_item(errors, i)));
        struct mln_bytes star = MLN_BYTES("\n\t* ");
        size_t at = mln_bytes_find_bytes(text, star);
        text = at < text.len ? mln_bytes_from(text, at + star.len) : text;
        mln_buf_add_text(&buf, i > 0 ? "; " : "");
        mln_buf_add_bytes(&buf, text);
    }
    const struct mln_value *oauth = mln_get(body, "error_description"); /* RFC 6749 sec. 5.2 */
    if (buf.len == 0 && mln_len(oauth) > 0) {
        return mln_text_format(cx, "%.*s: %.*s", MLN_FMT(mln_get_bytes(mln_get(body, "error"))),
                               MLN_FMT(mln_get_bytes(oauth)));
    }
    if (buf.len == 0) {
        return status == 404 ? "not found"
                             : mln_text_format(cx, "the server answered %d", status);
    }
    return mln_text_dup(cx, mln_buf_bytes(&buf));
}

static enum mln_code code_of(const struct mln_value *body, int status)
{
    struct mln_bytes name = mln_get_bytes(mln_get(body, "code"));
    for (uint32_t c = 1; name.len > 0 && c < MLN_E_COUNT; c++) {
        if (mln_bytes_is(name, mln_err_name(c))) {
            return (enum mln_code)c;
        }
    }
    if (mln_is_text(mln_get(body, "error"), "temporarily_unavailable")) {
        return MLN_E_UNREACHABLE;
    }
    switch (status) {
    case 403:
        return MLN_E_DENIED;
    case 404:
        return MLN_E_NOT_FOUND;
    case 405:
        return MLN_E_METHOD;
    case 409:
        return MLN_E_CONFLICT;
    case 413:
        return MLN_E_TOO_LARGE;
    case 429:
        return MLN_E_LIMIT;
    case 501:
        return MLN_E_UNINIT;
    case 503:
        return MLN_E_SEALED;
    case 507:
        return MLN_E_FULL;
    default:
        return status >= 500 ? MLN_E_REMOTE : MLN_E_INVALID;
    }
}

static struct mln_err read_reply(struct mln_cx *cx, const struct mln_client_answer *answer,
                                 struct mln_cli_reply *ret)
{
    *ret =
        (struct mln_cli_reply){.status = answer->status, .raw = answer->body, .ledger_index = -1};
    for (size_t i = 0; i < answer->n_headers; i++) {
        if (mln_bytes_is_nocase(answer->headers[i].name, "x-merlon-ledger-index")) {
            (void)mln_i64_parse(answer->headers[i].value, &ret->ledger_index);
        }
    }
    if (answer->body.len > 0 && answer->body.ptr[0] == '{') {
        MLN_TRY(mln_json_parse(cx, answer->body, &ret->body));
        ret->data = mln_get(ret->body, "data");
    }
    if (answer->status < 400) {
        return MLN_OK;
    }
    return mln_fail(cx, code_of(ret->body, answer->status), "%s",
                    error_text(cx, ret->body, answer->status));
}

static struct mln_err parse_reply(struct mln_cli *cli, const struct mln_client_answer *answer,
                                  struct mln_cli_reply *ret)
{
    struct mln_err err = read_reply(cli->cx, answer, ret);
    if (ret->body != NULL) {
        cli->request_id = mln_get_text(cli->cx, mln_get(ret->body, "request_id"), "");
    }
    if (mln_is(err, MLN_E_SEALED)) {
        cli->hint = "unseal it with 'merlon operator unseal'";
    }
    return err;
}

struct mln_err mln_cli_peer_call(struct mln_cx *cx, const struct mln_cli_peer *peer,
                                 const char *method, const char *path,
                                 const struct mln_value *body, struct mln_cli_reply *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true, .max = ANSWER_MAX_BYTES};
    if (body != NULL) {
        mln_json_print(&text, body, MLN_JSON_COMPACT);
    }
    MLN_TRY(mln_buf_ok(cx, &text));
    const char *headers[4];
    size_t n = 0;
    headers[n++] = "X-Vault-Request: true";
    headers[n++] = mln_text_format(cx, "X-Vault-Token: %s", peer->token);
    if (peer->ns != NULL) {
        headers[n++] = mln_text_format(cx, "X-Vault-Namespace: %s", peer->ns);
    }
    if (text.len > 0) {
        headers[n++] = "Content-Type: application/json";
    }
    struct mln_client_answer answer = {0};
    MLN_TRY(mln_client_call(cx, peer->client, method, mln_text_format(cx, "/v1/%s", path), headers,
                            n, mln_buf_bytes(&text), &answer));
    return read_reply(cx, &answer, ret);
}

static void print_curl(const char *method, const char *url, bool has_token, struct mln_bytes body)
{
    mln_cli_out("curl -X %s", method);
    if (has_token) {
        mln_cli_out(" -H \"X-Vault-Token: $MERLON_TOKEN\"");
    }
    if (body.len > 0) {
        mln_cli_out(" -d @-");
    }
    mln_cli_out(" '%s'\n", url);
}

/* type NULL = JSON, or a merge patch */
static struct mln_err exchange(struct mln_cli *cli, const char *method, const char *target, const char *type,
                               struct mln_bytes body, struct mln_client_answer *ret)
{
    const char *token = NULL;
    const char *headers[8];
    size_t n = 0;
    headers[n++] = "X-Vault-Request: true";
    if (mln_failed(mln_cli_token(cli, &token))) {
        mln_cx_clear(cli->cx);
        token = NULL;
    } else {
        cli->hint = NULL;
        headers[n++] = mln_text_format(cli->cx, "X-Vault-Token: %s", token);
    }
    const char *ns = setting(cli, "namespace", "NAMESPACE");
    if (ns != NULL) {
        headers[n++] = mln_text_format(cli->cx, "X-Vault-Namespace: %s", ns);
    }
    const char *wrap = setting(cli, "wrap-ttl", "WRAP_TTL");
    if (wrap != NULL && !cli->asks_bare) {
        headers[n++] = mln_text_format(cli->cx, "X-Vault-Wrap-TTL: %s", wrap);
    }
    const char *mfa = setting(cli, "mfa", "MFA");
    if (mfa != NULL) {
        headers[n++] = mln_text_format(cli->cx, "X-Vault-MFA: %s", mfa);
    }
    if (type != NULL) {
        headers[n++] = mln_text_format(cli->cx, "Content-Type: %s", type);
    } else if (body.len > 0) {
        headers[n++] = mln_bytes_is(mln_bytes_of(method), "PATCH")
                           ? "Content-Type: application/merge-patch+json"
                           : "Content-Type: application/json";
    }
    if (mln_cli_bool(cli, "curl")) {
        print_curl(method, mln_text_format(cli->cx, "%s%s", mln_cli_address(cli), target),
                   token != NULL, body);
        return mln_fail(cli->cx, MLN_E_INTERRUPTED, "nothing was sent");
    }
    MLN_TRY(connect_client(cli));
    struct mln_err err =
        mln_client_call(cli->cx, cli->client, method, target, headers, n, body, ret);
    if (mln_is(err, MLN_E_UNREACHABLE)) {
        cli->hint = "is the server running? set MERLON_ADDR or --address";
    }
    return err;
}

struct mln_err mln_cli_call(struct mln_cli *cli, const char *method, const char *path,
                            const struct mln_value *body, struct mln_cli_reply *ret)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true, .max = ANSWER_MAX_BYTES};
    if (body != NULL) {
        mln_json_print(&text, body, MLN_JSON_COMPACT);
    }
    MLN_TRY(mln_buf_ok(cli->cx, &text));
    struct mln_client_answer answer = {0};
    MLN_TRY(exchange(cli, method, mln_text_format(cli->cx, "/v1/%s", path), NULL, mln_buf_bytes(&text),
                     &answer));
    return parse_reply(cli, &answer, ret);
}

struct mln_err mln_cli_send_raw(struct mln_cli *cli, const char *method, const char *path, struct mln_bytes body,
                                struct mln_cli_reply *ret)
{
    struct mln_client_answer answer = {0};
    MLN_TRY(exchange(cli, method, mln_text_format(cli->cx, "/v1/%s", path), "application/octet-stream", body, &answer));
    return parse_reply(cli, &answer, ret);
}

struct mln_err mln_cli_get_raw(struct mln_cli *cli, const char *target, struct mln_bytes *ret)
{
    struct mln_client_answer answer = {0};
    MLN_TRY(exchange(cli, "GET", target, NULL, MLN_BYTES_NONE, &answer));
    if (answer.status >= 400) {
        struct mln_cli_reply reply;
        return parse_reply(cli, &answer, &reply);
    }
    *ret = answer.body;
    return MLN_OK;
}
