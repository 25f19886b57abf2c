/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that ask somebody in the attest process's name, because that one has no sockets: asks of fixed size go there, selectors come
 * back as core gets them. What the other side wrote is parsed there, behind a wall, and can only say what its kind may say.
 */
#pragma once

#include <pthread.h>

#include "base/sandbox.h"
#include "base/value.h"
#include "main/attest_wire.h"

struct attest_helper_kind {
    const char *name;   /* of the process: "merlon-kubelet" */
    const char *prefix; /* what its selectors begin with: "k8s:" */
    size_t ask_bytes;   /* of one ask; wiped after use */
    size_t arena_bytes; /* of one answer's work */
    enum mln_sandbox_profile profile;
    /* In the new process, as the user of the one that started it: prepare, and give up rights. */
    struct mln_err (*begin)(struct mln_cx *cx, void *self);
    /* An array of texts. The arena may be reset meanwhile. errors NOT_FOUND (the other side knows nothing of it); others: not now */
    struct mln_err (*find)(struct mln_cx *cx, void *self, const void *ask,
                           const struct mln_value **ret);
};
struct attest_helper {
    const struct attest_helper_kind *kind;
    pthread_mutex_t lock;
    int fd;                   /* -1 = none was started */
    struct attest_tell *tell; /* under the lock: it is large */
};

/* Before threads. self is the kind's, copied by fork. errors IO */
struct mln_err attest_helper_start(struct mln_cx *cx, const struct attest_helper_kind *kind,
                                   void *self, struct attest_helper *ret);
/* Any thread, one at a time. The process ends when the other one is gone. errors NOT_FOUND, UNREACHABLE (anything else) */
struct mln_err attest_helper_ask(struct mln_cx *cx, struct attest_helper *helper, void *ask,
                                 const struct mln_value **ret);
