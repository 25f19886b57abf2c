/* SPDX-License-Identifier: Apache-2.0 */
/* A node's calls to the server, by connections that are kept. */
#include "base/json.h"
#include "base/text.h"
#include "main/node_priv.h"

static struct mln_err borrow_client(struct node *node, struct mln_cx *cx, struct mln_client **ret)
{
    (void)pthread_mutex_lock(&node->lock);
    struct mln_client *client = node->n_idle > 0 ? node->idle[--node->n_idle] : NULL;
    (void)pthread_mutex_unlock(&node->lock);
    if (client == NULL) {
        MLN_TRY(mln_client_new(cx, &node->server, &client));
    }
    *ret = client;
    return MLN_OK;
}

static void give_client(struct node *node, struct mln_client *client)
{
    (void)pthread_mutex_lock(&node->lock);
    if (node->n_idle < NODE_CLIENTS_MAX) {
        node->idle[node->n_idle++] = client;
        client = NULL;
    }
    (void)pthread_mutex_unlock(&node->lock);
    mln_client_free(client);
}

static struct mln_err judge(struct mln_cx *cx, const struct mln_client_answer *answer)
{
    const struct mln_value *json = NULL;
    if (answer->status >= 200 && answer->status < 300) {
        return MLN_OK;
    }
    bool is_json = !mln_failed(mln_json_parse(cx, answer->body, &json));
    mln_cx_clear(cx);
    struct mln_bytes why =
        is_json ? mln_get_bytes(mln_item(mln_get(json, "errors"), 0)) : MLN_BYTES_NONE;
    enum mln_code code = answer->status == 403   ? MLN_E_DENIED
                         : answer->status == 404 ? MLN_E_NOT_FOUND
                         : answer->status == 503 ? MLN_E_UNREACHABLE
                                                 : MLN_E_REMOTE;
    return mln_fail(cx, code, "the server answers %d: %.*s", answer->status,
                    MLN_FMT(mln_bytes_sub(why, 0, 200)));
}

static void copy_session(struct node *node, char to[NODE_SESSION_BYTES])
{
    (void)pthread_mutex_lock(&node->lock);
    mln_copy(to, node->session, NODE_SESSION_BYTES);
    (void)pthread_mutex_unlock(&node->lock);
}

static struct mln_err call(struct node *node, struct mln_cx *cx, const struct node_call *what,
                           const char *session, struct mln_client_answer *ret)
{
    struct mln_client *client = what->client;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (what->body != NULL) {
        mln_json_print(&text, what->body, MLN_JSON_COMPACT);
        MLN_TRY(mln_buf_ok(cx, &text));
    }
    const char *const headers[] = {"X-Vault-Request: true",
                                   mln_text_format(cx, "X-Vault-Token: %s", session)};
    MLN_TRY(mln_cx_err(cx));
    if (client == NULL) {
        MLN_TRY(borrow_client(node, cx, &client));
    }
    struct mln_err err =
        mln_client_call(cx, client, what->body != NULL ? "POST" : "GET", what->path, headers,
                        session[0] != '\0' ? 2 : 1, mln_buf_bytes(&text), ret);
    if (what->client == NULL && mln_failed(err)) {
        mln_client_free(client);
    } else if (what->client == NULL) {
        give_client(node, client);
    }
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_UNREACHABLE, "%s", why);
    }
    return judge(cx, ret);
}

/* A session that ended because another one began meanwhile is no refusal: once more with that. */
struct mln_err node_call(struct node *node, struct mln_cx *cx, const struct node_call *what,
                         const struct mln_value **ret)
{
    char session[NODE_SESSION_BYTES], newer[NODE_SESSION_BYTES];
    struct mln_client_answer answer = {0};
    const struct mln_value *json = NULL;
    copy_session(node, session);
    struct mln_err err = call(node, cx, what, session, &answer);
    copy_session(node, newer);
    if (mln_is(err, MLN_E_DENIED) && newer[0] != '\0' &&
        !mln_bytes_is(mln_bytes_of(newer), session)) {
        mln_cx_clear(cx);
        err = call(node, cx, what, newer, &answer);
    }
    mln_wipe(session, sizeof(session));
    mln_wipe(newer, sizeof(newer));
    MLN_TRY(err);
    *ret = NULL;
    if (answer.status == 204) {
        return MLN_OK;
    }
    if (mln_failed(mln_json_parse(cx, answer.body, &json))) {
        return mln_refail(cx, MLN_E_REMOTE, "the server's answer cannot be read");
    }
    *ret = mln_get(json, "data");
    return MLN_OK;
}
