/* SPDX-License-Identifier: Apache-2.0 */
/* The relay process up to the point where proxy/relay.c takes over: an ordinary user with nothing but its descriptors. */
#include <sys/mman.h>
#include <unistd.h>

#include "main/main_priv.h"
#include "main/proxy_priv.h"

#define BOOT_BYTES (16u << 20)

static struct mln_err run(struct mln_cx *cx, int *ret_code)
{
    static struct proxy_config config;
    static int listen_fds[MLN_PROXY_LISTENERS_MAX];
    const struct mln_value *boot = NULL;
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "relay");
    MLN_TRY(proxy_config_read(cx, mln_get(boot, "config"), &config));
    for (size_t i = 0; i < config.n_listeners; i++) {
        listen_fds[i] = FD_MORE + (int)i;
    }
    void *page = mmap(NULL, sizeof(struct mln_proxy_counters), PROT_READ | PROT_WRITE, MAP_SHARED, FD_STATE, 0);
    if (page == MAP_FAILED) {
        return mln_fail(cx, MLN_E_IO, "the counters cannot be mapped");
    }
    (void)close(FD_STATE);
    raise_descriptors();
    MLN_TRY(drop_root(cx));
    harden_process(); /* again: another user's process is dumpable by the system's setting */
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "monitor is gone");
    }
    struct mln_proxy_relay relay = {.listeners = config.listeners,
                                    .listen_fds = listen_fds,
                                    .n_listeners = config.n_listeners,
                                    .limits = config.limits,
                                    .control_fd = FD_CONTROL,
                                    .counters = page};
    *ret_code = mln_proxy_relay_main(&relay);
    return MLN_OK;
}

int relay_main(void)
{
    struct mln_cx cx;
    int code = 1;
    name_process("merlon-relay");
    harden_process();
    mln_cx_init(&cx, mln_arena_new(BOOT_BYTES, false));
    if (mln_failed(cx.arena != NULL ? run(&cx, &code) : (struct mln_err){MLN_E_MEMORY})) {
        mln_log_fault(MLN_LOG_ERROR, "relay", &cx, "the relay cannot start");
    }
    return code;
}
