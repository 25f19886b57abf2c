/* SPDX-License-Identifier: Apache-2.0 */
/* The reach process up to the point where net/reach_serve.c takes over: an ordinary user. */
#include <unistd.h>

#include "main/main_priv.h"
#include "net/reach.h"

#define ARENA_BYTES (4u << 20) /* the list of what may be reached */

static struct mln_err run(struct mln_cx *cx)
{
    const struct mln_value *boot = NULL;
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "reach");
    raise_descriptors();
    MLN_TRY(drop_root(cx));
    harden_process(); /* again: another user's process is dumpable by the system's setting */
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "reach: monitor is gone");
    }
    struct mln_reach_config config = {
        .fd = FD_CONTROL, .state_fd = FD_STATE, .allow = mln_get(boot, "allow"),
        .body_max = (size_t)mln_get_int(mln_get(boot, "body_max"), 0)};
    return mln_reach_serve(cx, &config);
}

int reach_main(void)
{
    name_process("merlon-reach");
    harden_process();
    struct mln_arena *arena = mln_arena_new(ARENA_BYTES, false);
    struct mln_cx cx;
    int code = 0;
    mln_cx_init(&cx, arena);
    if (arena == NULL || mln_failed(run(&cx))) {
        mln_log_fault(MLN_LOG_ERROR, "reach", &cx, "reach ends");
        code = cx.fault.code == MLN_E_USAGE ? 2 : 1;
    }
    _exit(code); /* its threads may be in the midst of calls */
}
