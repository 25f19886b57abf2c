/* SPDX-License-Identifier: Apache-2.0 */
/* sys/: who leads. One server leads itself. */
#include "core/sys_priv.h"

#include <unistd.h>

static struct mln_err leader(struct mln_request *rq, struct mln_reply *re)
{
    struct mln_value *bare = mln_object(rq->cx);
    mln_put_bool(rq->cx, bare, "ha_enabled", false);
    mln_put_bool(rq->cx, bare, "is_self", !mln_core_is_sealed(mln_core_of(rq)));
    mln_put_text(rq->cx, bare, "active_time", "0001-01-01T00:00:00Z");
    mln_put_text(rq->cx, bare, "leader_address", "");
    mln_put_text(rq->cx, bare, "leader_cluster_address", "");
    re->bare = bare;
    return mln_cx_err(rq->cx);
}

static struct mln_err ha_status(struct mln_request *rq, struct mln_reply *re)
{
    char host[256] = "";
    struct mln_value *data = mln_object(rq->cx), *nodes = mln_array(rq->cx), *node = mln_object(rq->cx);
    if (gethostname(host, sizeof(host) - 1) != 0) {
        host[0] = 0;
    }
    mln_put_text(rq->cx, node, "hostname", mln_text_dup(rq->cx, mln_bytes_of(host)));
    mln_put_text(rq->cx, node, "api_address", rq->services->address(rq));
    mln_put_text(rq->cx, node, "cluster_address", "");
    mln_put_bool(rq->cx, node, "active_node", true);
    mln_put_null(rq->cx, node, "last_echo");
    mln_put_text(rq->cx, node, "version", MLN_VERSION);
    mln_put_text(rq->cx, node, "upgrade_version", MLN_VERSION);
    mln_push(rq->cx, nodes, node);
    mln_put(rq->cx, data, "nodes", nodes);
    re->data = re->top = data;
    return mln_cx_err(rq->cx);
}

/* There is nobody to step down for: what a single Vault answers. */
static struct mln_err step_down(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    mln_put_text(rq->cx, rq->detail, "step_down", "no other server");
    return MLN_OK;
}

const struct mln_path mln_sys_ha[] = {
    {.pattern = "leader",
     .summary = "Who leads.",
     .read = leader,
     .is_open = true,
     .is_exempt = true,
     .works_sealed = true},
    {.pattern = "ha-status", .summary = "The servers of this cluster: one.", .read = ha_status},
    {.pattern = "step-down",
     .summary = "Let another lead; there is none.",
     .write = step_down,
     .is_sudo = true},
    {0},
};
