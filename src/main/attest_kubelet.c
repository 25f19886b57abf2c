/* SPDX-License-Identifier: Apache-2.0 */
/* See attest_kubelet.h. */
#include "main/attest_kubelet.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "identity/attest.h"
#include "main/main_priv.h"
#include "net/client.h"

#define URL_DEFAULT  "https://127.0.0.1:10250"
#define TOKEN_MAX    16384u
#define CA_DEFAULT   "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
#define TOKEN_DEFAULT "/var/run/secrets/kubernetes.io/serviceaccount/token"
#define ARENA_BYTES  (96u << 20) /* the list as text and as values; a node has at most some hundred pods */
#define FRESH_NS     ((int64_t)2000000000)
#define CALL_NS      ((int64_t)2000000000)
#define TRIES        5 /* a container runs some moments before the kubelet's list says so */
#define TRY_WAIT_NS  ((int64_t)300000000)

struct ask {
    char pod[72], container[72];
    uint32_t n_token;
    char token[TOKEN_MAX];
};

/* ---- the process that asks ---- */

struct child {
    struct mln_client_config config;
    struct mln_client *client;
    struct mln_buf list;
    int64_t fetched_ns;
};

static struct mln_err begin(struct mln_cx *cx, void *self)
{
    struct child *c = self;
    MLN_TRY(mln_client_new(cx, &c->config, &c->client));
    return drop_root(cx);
}

static struct mln_err fetch(struct mln_cx *cx, struct child *c, const struct ask *ask)
{
    const char *header = mln_text_format(cx, "Authorization: Bearer %.*s", (int)ask->n_token, ask->token);
    struct mln_client_answer got = {0};
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_client_call(cx, c->client, "GET", "/pods", &header, ask->n_token > 0 ? 1 : 0, MLN_BYTES_NONE, &got));
    if (got.status != 200) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "the kubelet answers /pods with %d", got.status);
    }
    mln_buf_clear(&c->list);
    mln_buf_add_bytes(&c->list, got.body);
    MLN_TRY(mln_buf_ok(cx, &c->list));
    c->fetched_ns = mln_mono_ns();
    return MLN_OK;
}

static struct mln_err look(struct mln_cx *cx, struct child *c, const struct ask *ask, const struct mln_value **ret)
{
    struct mln_value *selectors = mln_array(cx);
    MLN_TRY(mln_attest_pods_parse(cx, mln_buf_bytes(&c->list), ask->pod, ask->container, selectors));
    *ret = selectors;
    return MLN_OK;
}

static struct mln_err find(struct mln_cx *cx, void *self, const void *from, const struct mln_value **ret)
{
    struct child *c = self;
    const struct ask *ask = from;
    if (ask->n_token > sizeof(ask->token) || ask->pod[sizeof(ask->pod) - 1] != 0 || ask->container[sizeof(ask->container) - 1] != 0) {
        return mln_fail(cx, MLN_E_INVALID, "nothing that the attest process would ask");
    }
    bool is_fresh = c->fetched_ns != 0 && mln_mono_ns() - c->fetched_ns < FRESH_NS;
    struct mln_err err = is_fresh ? look(cx, c, ask, ret) : (struct mln_err){MLN_E_NOT_FOUND};
    for (int i = 0; i < TRIES && mln_is(err, MLN_E_NOT_FOUND); i++) {
        if (i > 0) {
            mln_sleep_ns(TRY_WAIT_NS);
        }
        mln_cx_clear(cx);
        mln_arena_reset(cx->arena);
        MLN_TRY(fetch(cx, c, ask));
        err = look(cx, c, ask, ret);
    }
    return err;
}

static const struct attest_helper_kind kind = {.name = "merlon-kubelet",
                                               .prefix = "k8s:",
                                               .ask_bytes = sizeof(struct ask),
                                               .arena_bytes = ARENA_BYTES,
                                               .profile = MLN_SANDBOX_REACH,
                                               .begin = begin,
                                               .find = find};

/* ---- the attest process ---- */

static const char *setting(struct mln_cx *cx, const struct mln_value *settings, const char *name, const char *otherwise)
{
    return mln_get_text(cx, mln_get(settings, name), otherwise != NULL && access(otherwise, R_OK) == 0 ? otherwise : NULL);
}

struct mln_err attest_kubelet_start(struct mln_cx *cx, const struct mln_value *settings, struct attest_kubelet *kubelet)
{
    static struct child child;
    kubelet->helper.fd = -1;
    if (mln_is_null(settings)) {
        return MLN_OK;
    }
    child.config = (struct mln_client_config){.url = mln_get_text(cx, mln_get(settings, "kubelet"), URL_DEFAULT),
                                              .ca_file = setting(cx, settings, "ca_file", CA_DEFAULT),
                                              .skip_verify = mln_get_bool(mln_get(settings, "skip_verify"), false),
                                              .timeout_ns = CALL_NS};
    kubelet->token_file = setting(cx, settings, "token_file", TOKEN_DEFAULT);
    return attest_helper_start(cx, &kind, &child, &kubelet->helper);
}

/* Read each time: it is renewed every hour. */
static struct mln_err read_token(struct mln_cx *cx, const char *path, struct ask *ask)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {.is_secret = true};
    if (path == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_file_read_all(cx, path, TOKEN_MAX, &text));
    struct mln_bytes token = mln_bytes_trim(mln_buf_bytes(&text));
    mln_copy(ask->token, token.ptr, token.len);
    ask->n_token = (uint32_t)token.len;
    return MLN_OK;
}

static struct mln_err fill(struct mln_cx *cx, const struct attest_kubelet *kubelet, const char *pod, const char *container, struct ask *ask)
{
    size_t n_pod = mln_bytes_of(pod).len, n_container = mln_bytes_of(container).len;
    if (n_pod >= sizeof(ask->pod) || n_container >= sizeof(ask->container)) {
        return mln_fail(cx, MLN_E_INVALID, "the name of a pod is too long");
    }
    mln_copy(ask->pod, pod, n_pod);
    mln_copy(ask->container, container, n_container);
    return read_token(cx, kubelet->token_file, ask);
}

struct mln_err attest_kubelet_pod(void *arg, struct mln_cx *cx, const char *pod, const char *container, const struct mln_value **ret)
{
    struct attest_kubelet *kubelet = arg;
    struct ask *ask = mln_alloc(sizeof(*ask));
    struct mln_err err = ask != NULL ? fill(cx, kubelet, pod, container, ask) : mln_fail(cx, MLN_E_MEMORY, "no memory to ask the kubelet");
    err = mln_failed(err) ? err : attest_helper_ask(cx, &kubelet->helper, ask, ret);
    if (ask != NULL) {
        mln_wipe(ask, sizeof(*ask));
    }
    mln_free(ask);
    return err;
}
