/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that asks the kubelet: an ordinary user with outbound sockets and no other rights, started by the attest process before
 * that gives up its own. What a cluster's users write (names, labels, images) is parsed there and comes back as selectors.
 */
#pragma once

#include "main/attest_helper.h"

struct attest_kubelet {
    struct attest_helper helper; /* its fd -1 = no kubelet */
    const char *token_file; /* NULL = none */
};

/* By the settings spiffe.attest.kubernetes; NULL: none is started. Before threads. errors INVALID, IO */
struct mln_err attest_kubelet_start(struct mln_cx *cx, const struct mln_value *settings, struct attest_kubelet *kubelet);
/* As mln_attest_config.pod; arg is the struct. The process ends when the other is gone. */
struct mln_err attest_kubelet_pod(void *arg, struct mln_cx *cx, const char *pod, const char *container, const struct mln_value **ret);
