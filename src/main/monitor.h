/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: parent of all processes of a server. It starts and restarts them and keeps the root
 * key, so that a crashed core can be unsealed again. It parses nothing and answers nobody.
 */
#pragma once

#include "base/secret.h"
#include "main/config.h"
#include "net/ring.h"

struct monitor_config {
    int core_boot, front_boot, reach_boot, attest_boot; /* sealed memfds; borrowed */
    int workload;              /* the listening Unix socket; -1 = none; borrowed */
    const char *core_name;     /* of the process that answers; NULL = "merlon-core" */
    bool is_node;              /* neither reach nor box */
    const int *listeners;      /* listening sockets; borrowed */
    unsigned n_listeners;
    unsigned n_rings;          /* threads of front */
    unsigned rekey_per_minute; /* how often a crashed core gets the root key back */
    /* Once, when everything answers: text for a person; token is "" outside of development. */
    void (*ready)(void *arg, bool is_sealed, const char *vkey, const char *token);
    void *arg;
};

/* Runs until SIGTERM or SIGINT, or until core cannot be started; exit code. */
int monitor_run(const struct monitor_config *config);
