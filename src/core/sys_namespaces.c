/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sys/namespaces: there is one namespace, the root. Clients that ask are told so in the words they know: a list without names, none
 * of that name, and a refusal to make one. A request for another namespace never comes this far (pipeline.c).
 */
#include "core/sys_priv.h"

static struct mln_err none(struct mln_request *rq, struct mln_reply *re)
{
    (void)rq;
    (void)re;
    return (struct mln_err){MLN_E_NOT_FOUND};
}

static struct mln_err refuse(struct mln_request *rq, struct mln_reply *re)
{
    (void)re;
    return mln_fail(rq->cx, MLN_E_INVALID, "namespaces are not supported");
}

static const struct mln_field fields[] = {
    F_TEXT("path", "Name of the namespace."),
    {.name = "custom_metadata", .type = MLN_FIELD_MAP, .help = "Not used."},
    {0},
};

const struct mln_path mln_sys_namespaces[] = {
    {.pattern = "namespaces", .summary = "List namespaces: there are none.", .list = none},
    {.pattern = "namespaces/{path...}",
     .summary = "There are no namespaces but the root.",
     .fields = fields,
     .read = none,
     .list = none,
     .write = refuse,
     .patch = refuse,
     .remove = none},
    {0},
};
