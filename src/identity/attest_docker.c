/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestor "docker": the cgroup says which container a process is in, dockerd says what it was started with. docker:label:KEY:VALUE,
 * docker:image_id (as the container was started: "nginx:1.27"), docker:image_config_digest (what the image is). As SPIRE has them but for
 * docker:env: environments hold secrets, and selectors are logged. dockerd is asked by a process of its own (main/attest_docker.c).
 */
#include "base/json.h"
#include "identity/attest_priv.h"

#define LABELS_MAX 100u /* of one container: with all else a process has at most 128 selectors */

static void push_labels(struct mln_cx *cx, const struct mln_value *labels,
                        struct mln_value *selectors)
{
    for (size_t i = 0; mln_type_of(labels) == MLN_OBJECT && i < mln_len(labels) && i < LABELS_MAX; i++) {
        const struct mln_member *m = mln_member_at(labels, i);
        if (m->value.type == MLN_STRING && m->key.len > 0) {
            mln_attest_push_pair(cx, selectors, "docker:label", m->key, mln_get_bytes(&m->value));
        }
    }
}

struct mln_err mln_attest_docker_parse(struct mln_cx *cx, struct mln_bytes json,
                                       const char *container, struct mln_value *selectors)
{
    const struct mln_value *all = NULL;
    MLN_TRY(mln_json_parse(cx, json, &all));
    const struct mln_value *config = mln_get(all, "Config");
    if (!mln_is_text(mln_get(all, "Id"),
                     container)) { /* a name may be another container's beginning */
        return mln_fail(cx, MLN_E_PARSE,
                        "dockerd speaks of another container than it was asked for");
    }
    if (mln_type_of(config) != MLN_OBJECT) {
        return mln_fail(cx, MLN_E_PARSE, "dockerd does not say how a container was started");
    }
    push_labels(cx, mln_get(config, "Labels"), selectors);
    mln_attest_push(cx, selectors, "docker:image_id", mln_get_bytes(mln_get(config, "Image")));
    mln_attest_push(cx, selectors, "docker:image_config_digest",
                    mln_get_bytes(mln_get(all, "Image")));
    return mln_cx_err(cx);
}

/* Of a container that dockerd made it must be known what it is, or it would pass for something else. */
static struct mln_err look(struct mln_cx *cx, const struct mln_attest_target *target,
                           struct mln_value *selectors)
{
    struct attest_container container = {0};
    const struct mln_value *found = NULL;
    MLN_TRY(attest_container_parse(cx, target->cgroup, &container));
    bool is_docker = mln_bytes_is(mln_bytes_of(container.runtime), "docker");
    if (container.pod.len > 0 || target->config->docker == NULL ||
        (!is_docker && container.runtime[0] != '\0')) {
        return MLN_OK;
    }
    struct mln_err err = target->config->docker(target->config->docker_arg, cx,
                                                mln_text_dup(cx, container.id), &found);
    if (mln_is(err, MLN_E_NOT_FOUND) && !is_docker) {
        return err;
    }
    if (mln_failed(err)) {
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_UNREACHABLE, "%s", why);
    }
    for (size_t i = 0; i < mln_len(found); i++) {
        mln_push(cx, selectors, mln_item(found, i));
    }
    return mln_cx_err(cx);
}

static struct mln_err check(struct mln_cx *cx, const struct mln_value *settings)
{
    for (size_t i = 0; i < mln_len(settings); i++) {
        const struct mln_member *m = mln_member_at(settings, i);
        struct mln_bytes value = mln_get_bytes(&m->value);
        if (!mln_bytes_is(m->key, "socket")) {
            return mln_fail(cx, MLN_E_INVALID, "unknown key 'spiffe.attest.docker.%.*s'",
                            MLN_FMT(m->key));
        }
        if (value.len == 0 || value.ptr[0] != '/' || value.len > MLN_DOCKER_SOCKET_MAX) {
            return mln_fail(cx, MLN_E_INVALID,
                            "'spiffe.attest.docker.socket' must be the path of a socket, "
                            "as " MLN_DOCKER_SOCKET);
        }
    }
    return MLN_OK;
}

const struct mln_attestor mln_attestor_docker = {
    .name = "docker",
    .summary = "Labels and image of the container that a process is in, as dockerd says them.",
    .is_optional = true,
    .look = look,
    .check = check,
};
