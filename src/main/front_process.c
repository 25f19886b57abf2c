/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front process up to the point where net/front.c takes over: an ordinary user with nothing but
 * its descriptors.
 */
#include <unistd.h>

#include "api/grpc.h"
#include "api/vault.h"
#include "main/main_priv.h"
#include "net/front.h"

#define BOOT_ARENA_BYTES (2u * BOOT_MAX_BYTES + (1u << 20)) /* the value and what it points to */

static void fill_listeners(const struct mln_value *list, int first_fd,
                           struct mln_front_listener *listeners, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        const struct mln_value *v = mln_item(list, i);
        listeners[i] = (struct mln_front_listener){
            .fd = first_fd + (int)i,
            .is_tls = mln_get_bool(mln_get(v, "tls"), true),
            .cert_pem = mln_get_bytes(mln_get(v, "cert")),
            .client_ca_pem = mln_get_bytes(mln_get(v, "client_ca")),
            .asks_certs = mln_get_bool(mln_get(v, "asks_certs"), false),
            .shows_svid = mln_get_bool(mln_get(v, "svid"), false),
            .only_bundle = mln_get_bool(mln_get(v, "bundle"), false),
            .key = i,
        };
    }
}

static struct mln_err run(struct mln_cx *cx, int *ret_code)
{
    static struct mln_front_listener listeners[MLN_FRONT_LISTENERS_MAX];
    static struct mln_ring_fds rings[MLN_FRONT_THREADS_MAX];
    const struct mln_value *boot = NULL;
    MLN_TRY(boot_read(cx, FD_BOOT, &boot));
    boot_log(boot, "front");
    const struct mln_value *list = mln_get(boot, "listeners");
    unsigned n_listeners = (unsigned)mln_len(list);
    unsigned n_rings = (unsigned)mln_get_int(mln_get(boot, "rings"), 0);
    bool has_peers = mln_get_bool(mln_get(boot, "workload"), false);
    int first_fd = FD_MORE + (has_peers ? 1 : 0);
    if (n_listeners > MLN_COUNT(listeners) || n_rings > MLN_COUNT(rings)) {
        return mln_fail(cx, MLN_E_INVALID, "front: more listeners or threads than it can serve");
    }
    fill_listeners(list, first_fd, listeners, n_listeners);
    for (unsigned i = 0; i < n_rings; i++) {
        int fd = first_fd + (int)n_listeners + 3 * (int)i;
        rings[i] = (struct mln_ring_fds){.memfd = fd, .bell_core = fd + 1, .bell_front = fd + 2};
    }
    raise_descriptors();
    MLN_TRY(drop_root(cx));
    harden_process(); /* again: another user's process is dumpable by the system's setting */
    if (!die_with_parent((pid_t)mln_get_int(mln_get(boot, "parent"), 0))) {
        return mln_fail(cx, MLN_E_UNREACHABLE, "front: monitor is gone");
    }
    struct mln_front_config config = {
        .rings = rings,
        .n_rings = n_rings,
        .listeners = listeners,
        .n_listeners = n_listeners,
        .api = &mln_vault_api,
        .services = mln_grpc_services,
        .stop_fd = FD_CONTROL,
        .state_fd = FD_STATE,
        .peer_fd = has_peers ? FD_MORE : -1,
        .pin = true,
    };
    *ret_code = mln_front_main(&config);
    return MLN_OK;
}

int front_main(void)
{
    name_process("merlon-front");
    harden_process();
    struct mln_arena *arena = mln_arena_new(BOOT_ARENA_BYTES, false);
    struct mln_cx cx;
    int code = 1;
    mln_cx_init(&cx, arena);
    if (arena == NULL || mln_failed(run(&cx, &code))) {
        mln_log_fault(MLN_LOG_ERROR, "front", &cx, "front cannot start");
        code = cx.fault.code == MLN_E_USAGE ? 2 : 1;
    }
    mln_arena_free(arena);
    return code;
}
