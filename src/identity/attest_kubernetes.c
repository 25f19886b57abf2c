/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attestor "kubernetes": the cgroup says which pod and container a process is in, the kubelet of this node says what they are. The
 * list is fetched and read by a process of its own (main/attest_kubelet.c), which knows pod and container and answers with selectors.
 */
#include "base/json.h"
#include "identity/attest_priv.h"

/* ---- the kubelet's list ---- */

static bool is_same_pod(struct mln_bytes uid, const char *pod)
{
    bool ok = uid.len == mln_bytes_of(pod).len;
    for (size_t i = 0; ok && i < uid.len; i++) { /* folders spell "-" as "_" */
        ok = uid.ptr[i] == (uint8_t)(pod[i] == '_' ? '-' : pod[i]);
    }
    return ok;
}

static const struct mln_value *find_pod(const struct mln_value *list, const char *pod)
{
    const struct mln_value *items = mln_get(list, "items");
    for (size_t i = 0; i < mln_len(items); i++) {
        const struct mln_value *meta = mln_get(mln_item(items, i), "metadata");
        /* A static pod is known to the API by another uid than to the kubelet, which notes its own beside. */
        struct mln_bytes hash = mln_get_bytes(mln_get(mln_get(meta, "annotations"), "kubernetes.io/config.hash"));
        if (is_same_pod(mln_get_bytes(mln_get(meta, "uid")), pod) || (hash.len > 0 && is_same_pod(hash, pod))) {
            return mln_item(items, i);
        }
    }
    return NULL;
}

/* "containerd://<id>" */
static bool is_same_container(struct mln_bytes id, const char *container)
{
    size_t at = mln_bytes_find_bytes(id, MLN_BYTES("://"));
    return at < id.len && mln_bytes_is(mln_bytes_from(id, at + 3), container);
}

static const struct mln_value *find_container(const struct mln_value *pod, const char *container)
{
    static const char *const lists[] = {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"};
    const struct mln_value *status = mln_get(pod, "status");
    for (size_t l = 0; l < MLN_COUNT(lists); l++) {
        const struct mln_value *all = mln_get(status, lists[l]);
        for (size_t i = 0; i < mln_len(all); i++) {
            if (is_same_container(mln_get_bytes(mln_get(mln_item(all, i), "containerID")), container)) {
                return mln_item(all, i);
            }
        }
    }
    return NULL;
}

static void push_of(struct mln_cx *cx, struct mln_value *selectors, const char *type, const struct mln_value *object, const char *name)
{
    mln_attest_push(cx, selectors, type, mln_get_bytes(mln_get(object, name)));
}

static void push_labels(struct mln_cx *cx, const struct mln_value *labels, struct mln_value *selectors)
{
    for (size_t i = 0; mln_type_of(labels) == MLN_OBJECT && i < mln_len(labels); i++) {
        const struct mln_member *m = mln_member_at(labels, i);
        if (m->value.type == MLN_STRING) {
            mln_attest_push_pair(cx, selectors, "k8s:pod-label", m->key, mln_get_bytes(&m->value));
        }
    }
}

static void push_owners(struct mln_cx *cx, const struct mln_value *owners, struct mln_value *selectors)
{
    for (size_t i = 0; i < mln_len(owners); i++) {
        struct mln_bytes kind = mln_get_bytes(mln_get(mln_item(owners, i), "kind"));
        struct mln_bytes name = mln_get_bytes(mln_get(mln_item(owners, i), "name"));
        mln_attest_push_pair(cx, selectors, "k8s:pod-owner", kind, name);
    }
}

/* Images of all its containers: a policy of a pod may name any. */
static void push_images(struct mln_cx *cx, const struct mln_value *pod, struct mln_value *selectors)
{
    const struct mln_value *all = mln_get(mln_get(pod, "status"), "containerStatuses");
    for (size_t i = 0; i < mln_len(all); i++) {
        push_of(cx, selectors, "k8s:pod-image", mln_item(all, i), "image");
        push_of(cx, selectors, "k8s:pod-image", mln_item(all, i), "imageID");
    }
}

struct mln_err mln_attest_pods_parse(struct mln_cx *cx, struct mln_bytes json, const char *pod, const char *container,
                                 struct mln_value *selectors)
{
    const struct mln_value *list = NULL;
    MLN_TRY(mln_json_parse(cx, json, &list));
    const struct mln_value *found = find_pod(list, pod), *status = find_container(found, container);
    if (found == NULL || status == NULL) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "the kubelet does not know pod or container of a process yet");
    }
    const struct mln_value *meta = mln_get(found, "metadata"), *spec = mln_get(found, "spec");
    push_of(cx, selectors, "k8s:ns", meta, "namespace");
    push_of(cx, selectors, "k8s:sa", spec, "serviceAccountName");
    push_of(cx, selectors, "k8s:node-name", spec, "nodeName");
    push_of(cx, selectors, "k8s:pod-name", meta, "name");
    push_of(cx, selectors, "k8s:pod-uid", meta, "uid");
    push_of(cx, selectors, "k8s:container-name", status, "name");
    push_of(cx, selectors, "k8s:container-image", status, "image");
    push_of(cx, selectors, "k8s:container-image", status, "imageID");
    push_labels(cx, mln_get(meta, "labels"), selectors);
    push_owners(cx, mln_get(meta, "ownerReferences"), selectors);
    push_images(cx, found, selectors);
    return mln_cx_err(cx);
}

/* ---- the attestor ---- */

static struct mln_err look(struct mln_cx *cx, const struct mln_attest_target *target, struct mln_value *selectors)
{
    struct attest_container container = {0};
    const struct mln_value *found = NULL;
    MLN_TRY(attest_container_parse(cx, target->cgroup, &container));
    if (container.pod.len == 0 || target->config->pod == NULL) {
        return MLN_OK;
    }
    const char *pod = mln_text_dup(cx, container.pod), *id = mln_text_dup(cx, container.id);
    struct mln_err err = target->config->pod(target->config->arg, cx, pod, id, &found);
    if (mln_failed(err)) { /* it is a pod's, so it must be known as one: without, it would pass for something else */
        const char *why = mln_text_dup(cx, mln_bytes_of(cx->text));
        return mln_refail(cx, MLN_E_UNREACHABLE, "%s", why);
    }
    for (size_t i = 0; i < mln_len(found); i++) {
        mln_push(cx, selectors, mln_item(found, i));
    }
    return MLN_OK;
}

static struct mln_err check(struct mln_cx *cx, const struct mln_value *settings)
{
    static const char *const names[] = {"kubelet", "token_file", "ca_file", "skip_verify"};
    for (size_t i = 0; i < mln_len(settings); i++) {
        const struct mln_member *m = mln_member_at(settings, i);
        bool is_known = false;
        for (size_t n = 0; n < MLN_COUNT(names) && !is_known; n++) {
            is_known = mln_bytes_is(m->key, names[n]);
        }
        bool is_flag = mln_bytes_is(m->key, "skip_verify");
        if (!is_known) {
            return mln_fail(cx, MLN_E_INVALID, "unknown key 'spiffe.attest.kubernetes.%.*s'", MLN_FMT(m->key));
        }
        if (m->value.type != (is_flag ? MLN_BOOL : MLN_STRING) || (!is_flag && m->value.len == 0)) {
            return mln_fail(cx, MLN_E_INVALID, "'spiffe.attest.kubernetes.%.*s' must be %s", MLN_FMT(m->key),
                            is_flag ? "true or false" : "a text");
        }
    }
    struct mln_bytes url = mln_get_bytes(mln_get(settings, "kubelet"));
    bool is_url = url.len == 0 || mln_bytes_starts(url, MLN_BYTES("https://")) || mln_bytes_starts(url, MLN_BYTES("http://127.0.0.1:")) ||
                  mln_bytes_starts(url, MLN_BYTES("http://[::1]:"));
    return is_url ? MLN_OK
                  : mln_fail(cx, MLN_E_INVALID, "'spiffe.attest.kubernetes.kubelet' must be https://HOST:10250, or a read-only port at "
                                                "http://127.0.0.1:10255");
}

const struct mln_attestor mln_attestor_kubernetes = {
    .name = "kubernetes",
    .summary = "Namespace, service account, labels and images of a process's pod, as the kubelet says them.",
    .is_optional = true,
    .look = look,
    .check = check,
};
