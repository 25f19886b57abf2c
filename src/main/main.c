/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One program, nine kinds of process and a command line: the name that it was started under
 * decides.
 */
#include "artifact/box.h"
#include "base/text.h"
#include "cli/cli.h"
#include "main/main_priv.h"
#include "main/proxy_priv.h"

#define BOX_FD_MAX 65535u

static struct mln_bytes base_name(const char *path)
{
    struct mln_bytes rest = mln_bytes_of(path);
    for (size_t at = mln_bytes_find(rest, '/'); at < rest.len; at = mln_bytes_find(rest, '/')) {
        rest = mln_bytes_from(rest, at + 1);
    }
    return rest;
}

/* The zygote's socket: the first argument, or the usual place of a child's socket. */
static int box_main(const char *fd_text)
{
    uint64_t fd = FD_BOOT;
    struct mln_cx cx;
    mln_cx_init(&cx, NULL);
    if (fd_text != NULL && (!mln_u64_parse(mln_bytes_of(fd_text), &fd) || fd > BOX_FD_MAX)) {
        return 2;
    }
    name_process("merlon-box"); /* overwrites the arguments */
    harden_process();
    if (mln_failed(drop_root(&cx))) {
        mln_log_fault(MLN_LOG_ERROR, "box", &cx, "box cannot start");
        return 1;
    }
    harden_process(); /* again: another user's process is dumpable by the system's setting */
    return mln_box_main((int)fd);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } kinds[] = {
        {"merlon-front", front_main},
        {"merlon-core", core_main},
        {"merlon-reach", reach_main},
        {"merlon-attest", attest_main},
        {"merlon-node", node_main},
        {"merlon-relay", relay_main},
        {"merlon-keeper", keeper_main},
    };
    static const struct mln_cli_hooks hooks = {
        .server_run = server_run, .node_run = node_run, .rego_run = rego_run, .proxy_run = proxy_run};
    struct mln_bytes name = base_name(argc > 0 ? argv[0] : "");
    name_keep(argc, argv);
    for (size_t i = 0; i < MLN_COUNT(kinds); i++) {
        if (mln_bytes_is(name, kinds[i].name)) {
            return kinds[i].run();
        }
    }
    if (mln_bytes_is(name, "merlon-box")) {
        return box_main(argc > 1 ? argv[1] : NULL);
    }
    return mln_cli_main(argc, argv, &hooks);
}
