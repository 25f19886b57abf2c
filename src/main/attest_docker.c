/* SPDX-License-Identifier: Apache-2.0 */
/* See attest_docker.h. One question of dockerd's API: what is this container? */
#include "main/attest_docker.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "identity/attest.h"
#include "main/main_priv.h"
#include "net/client.h"

#define CALL_NS     ((int64_t)2000000000)
#define BODY_MAX    (1u << 20)  /* what dockerd says of one container is some 10 KiB */
#define ARENA_BYTES (24u << 20) /* the answer as text and as values */

struct ask {
    char container[72];
};

struct child {
    const char *path, *url;
    struct mln_client *client;
};

/* The group of the socket is what stays of the rights. */
static struct mln_err begin(struct mln_cx *cx, void *self)
{
    struct child *c = self;
    struct stat st;
    struct mln_client_config config = {.url = c->url, .timeout_ns = CALL_NS};
    MLN_TRY(mln_client_new(cx, &config, &c->client));
    if (stat(c->path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        mln_log(MLN_LOG_WARN, "attest",
                "there is no socket of dockerd at %s: start it before Merlon", c->path);
        return drop_root(cx);
    }
    return drop_root_but(cx, st.st_gid);
}

static struct mln_err find(struct mln_cx *cx, void *self, const void *from,
                           const struct mln_value **ret)
{
    struct child *c = self;
    const struct ask *ask = from;
    struct mln_client_answer got = {0};
    struct mln_value *selectors = mln_array(cx);
    if (ask->container[sizeof(ask->container) - 1] != 0) {
        return mln_fail(cx, MLN_E_INVALID, "nothing that the attest process would ask");
    }
    const char *target = mln_text_format(cx, "/containers/%s/json", ask->container);
    MLN_TRY(mln_client_call(cx, c->client, "GET", target, NULL, 0, MLN_BYTES_NONE, &got));
    if (got.status == 404) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "dockerd does not know the container of a process");
    }
    if (got.status != 200 || got.body.len > BODY_MAX) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "dockerd answers with %d and %zu bytes", got.status,
                        got.body.len);
    }
    MLN_TRY(mln_attest_docker_parse(cx, got.body, ask->container, selectors));
    *ret = selectors;
    return MLN_OK;
}

static const struct attest_helper_kind kind = {.name = "merlon-docker",
                                               .prefix = "docker:",
                                               .ask_bytes = sizeof(struct ask),
                                               .arena_bytes = ARENA_BYTES,
                                               .profile = MLN_SANDBOX_LOCAL,
                                               .begin = begin,
                                               .find = find};

struct mln_err attest_docker_start(struct mln_cx *cx, const struct mln_value *settings,
                                   struct attest_docker *docker)
{
    static struct child child;
    docker->helper.fd = -1;
    if (mln_is_null(settings)) {
        return MLN_OK;
    }
    child.path = mln_get_text(cx, mln_get(settings, "socket"), MLN_DOCKER_SOCKET);
    child.url = mln_text_format(cx, "unix:%s", child.path);
    return attest_helper_start(cx, &kind, &child, &docker->helper);
}

struct mln_err attest_docker_container(void *arg, struct mln_cx *cx, const char *container,
                                       const struct mln_value **ret)
{
    struct attest_docker *docker = arg;
    struct ask ask = {0};
    size_t n = mln_bytes_of(container).len;
    if (n >= sizeof(ask.container)) {
        return mln_fail(cx, MLN_E_INVALID, "the name of a container is too long");
    }
    mln_copy(ask.container, container, n);
    return attest_helper_ask(cx, &docker->helper, &ask, ret);
}
