/* SPDX-License-Identifier: Apache-2.0 */
/* A node's calls to the server, by connections that are kept. */
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "main/node_priv.h"

#define DOWN_NS                                                                                    \
    ((int64_t)5000000000) /* as long as a call that is not answered: half of the time at most is spent so */

static struct mln_err borrow_client(struct node *node, struct mln_cx *cx, struct mln_client **ret,
                                    bool *ret_was_kept)
{
    (void)pthread_mutex_lock(&node->lock);
    struct mln_client *client = node->n_idle > 0 ? node->idle[--node->n_idle] : NULL;
    (void)pthread_mutex_unlock(&node->lock);
    bool was_kept = client != NULL;
    if (!was_kept) {
        MLN_TRY(mln_client_new(cx, &node->server, &client));
    }
    *ret = client;
    *ret_was_kept = was_kept;
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

struct prepared {
    const struct node_call *what;
    const char *headers[2];
    size_t n;
    struct mln_bytes body;
};

static struct mln_err exchange(struct node *node, struct mln_cx *cx, const struct prepared *p,
                               struct mln_client_answer *ret, bool *ret_was_kept)
{
    struct mln_client *client = p->what->client;
    *ret_was_kept = false;
    if (client == NULL) {
        MLN_TRY(borrow_client(node, cx, &client, ret_was_kept));
    }
    struct mln_err err = mln_client_call(cx, client, p->what->body != NULL ? "POST" : "GET",
                                         p->what->path, p->headers, p->n, p->body, ret);
    if (p->what->client == NULL && mln_failed(err)) {
        mln_client_free(client);
    } else if (p->what->client == NULL) {
        give_client(node, client);
    }
    return err;
}

/* What processes ask may be asked twice: so a connection that was kept, and closed at the server meanwhile, is no sign of anything. */
static struct mln_err call(struct node *node, struct mln_cx *cx, const struct node_call *what,
                           const char *session, struct mln_client_answer *ret)
{
    bool was_kept = false;
    struct mln_err err;
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (what->body != NULL) {
        mln_json_print(&text, what->body, MLN_JSON_COMPACT);
        MLN_TRY(mln_buf_ok(cx, &text));
    }
    const struct prepared p = {
        .what = what,
        .headers = {"X-Vault-Request: true", mln_text_format(cx, "X-Vault-Token: %s", session)},
        .n = session[0] != '\0' ? 2 : 1,
        .body = mln_buf_bytes(&text)};
    MLN_TRY(mln_cx_err(cx));
    do {
        mln_cx_clear(cx);
        err = exchange(node, cx, &p, ret, &was_kept);
    } while (mln_is(err, MLN_E_UNREACHABLE) && was_kept && what->for_process);
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
    if (what->for_process && mln_mono_ns() < atomic_load(&node->down_until_ns)) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "the server did not answer a moment ago");
    }
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
    atomic_store(&node->down_until_ns,
                 mln_is(err, MLN_E_UNREACHABLE) ? mln_mono_ns() + DOWN_NS : 0);
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
