/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What policies may reach from the command line: nothing without --allow-net. With it a reach process (net/reach.h) is
 * started, which has no files, keeps the list, and refuses addresses at which clouds hand out credentials.
 */
#pragma once

#include "cli/rego_priv.h"
#include "net/reach.h"

struct rego_net {
    struct mln_reach_child child; /* zeroes: none was started */
    struct mln_rego_net host;
};

#define REGO_FLAG_NET                                                                              \
    {                                                                                              \
        "allow-net", MLN_FLAG_LIST, "HOST[:PORT]", NULL,                                           \
            "http.send and lookups may reach this; default: nothing"                               \
    }

/* Before any thread is started. *ret_host is NULL without the flag. errors INVALID (a pattern) */
struct mln_err rego_net_start(struct mln_cli *cli, struct rego_net *net,
                              const struct mln_rego_net **ret_host);
void rego_net_drop(struct rego_net *net);
