/* SPDX-License-Identifier: Apache-2.0 */
/* The reach process of `merlon rego eval` and `merlon rego test`. */
#include "cli/rego_net.h"

/* "host" as OPA's capabilities have it means every port; "host:port" and "*.domain:443" are reach's own. */
static struct mln_err patterns_of(struct mln_cli *cli, const struct mln_value **ret)
{
    struct mln_value *list = mln_array(cli->cx);
    for (size_t i = 0; i < cli->n_sets; i++) {
        if (!mln_bytes_is(mln_bytes_of(cli->sets[i].flag->name), "allow-net")) {
            continue;
        }
        struct mln_bytes t = mln_bytes_of(cli->sets[i].text);
        bool has_port = t.len > 0 && t.ptr[0] == '[' ? !mln_bytes_ends(t, MLN_BYTES("]"))
                                                     : mln_bytes_find(t, ':') < t.len;
        const char *pattern = mln_text_format(cli->cx, has_port ? "%.*s" : "%.*s:*", MLN_FMT(t));
        MLN_TRY(mln_reach_pattern_check(cli->cx, mln_bytes_of(pattern)));
        mln_push(cli->cx, list, mln_string(cli->cx, mln_bytes_of(pattern)));
    }
    *ret = mln_len(list) > 0 ? list : NULL;
    return mln_cx_err(cli->cx);
}

static struct mln_err send_http(void *with, struct mln_cx *cx, const struct mln_value *ask,
                                const struct mln_value **ret)
{
    const struct rego_net *net = with;
    return mln_reach_call(cx, net->child.reach, ask, ret);
}

static struct mln_err look_up(void *with, struct mln_cx *cx, struct mln_bytes name,
                              const struct mln_value **ret)
{
    const struct rego_net *net = with;
    const struct mln_value *answer = NULL;
    struct mln_value *ask = mln_object(cx);
    mln_put(cx, ask, "kind", mln_string(cx, MLN_BYTES("lookup")));
    mln_put(cx, ask, "name", mln_string_dup(cx, name));
    MLN_TRY(mln_cx_err(cx));
    MLN_TRY(mln_reach_call(cx, net->child.reach, ask, &answer));
    *ret = mln_get(answer, "addresses");
    return MLN_OK;
}

struct mln_err rego_net_start(struct mln_cli *cli, struct rego_net *net,
                              const struct mln_rego_net **ret_host)
{
    const struct mln_value *allow = NULL;
    *ret_host = NULL;
    MLN_TRY(patterns_of(cli, &allow));
    if (allow == NULL) {
        return MLN_OK;
    }
    MLN_TRY(mln_reach_spawn(cli->cx, allow, &net->child));
    net->host = (struct mln_rego_net){.http = send_http, .lookup = look_up, .with = net};
    *ret_host = &net->host;
    return MLN_OK;
}

void rego_net_drop(struct rego_net *net)
{
    mln_reach_child_drop(&net->child);
    *net = (struct rego_net){0};
}
