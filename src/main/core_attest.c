/* SPDX-License-Identifier: Apache-2.0 */
/* See core_attest.h. */
#include "main/core_attest.h"

#include <sys/socket.h>

#include "base/io.h"
#include "base/log.h"
#include "main/attest_wire.h"
#include "main/workers.h"

#define ARENA_BYTES (1u << 20) /* one message as values, and room to spare */

static void *take_all(void *arg)
{
    struct core_attest *attest = arg;
    struct mln_arena *arena = mln_arena_new(ARENA_BYTES, false);
    struct attest_tell *tell = mln_alloc(sizeof(*tell));
    struct mln_cx cx;
    struct mln_err err = {arena != NULL && tell != NULL ? MLN_E_OK : MLN_E_MEMORY};
    while (!mln_failed(err)) {
        mln_cx_init(&cx, arena);
        err = attest_tell_receive(&cx, attest->fd, tell);
        if (mln_failed(err)) {
            break;
        }
        struct mln_err taken = attest_tell_take(&cx, attest->peers, tell);
        if (mln_failed(taken)) {
            mln_log_fault(MLN_LOG_WARN, "core", &cx, "a process is not known here");
            mln_cx_clear(&cx);
            if (tell->kind == ATTEST_FOUND) {
                mln_peers_refuse(&cx, attest->peers, tell->number, MLN_E_UNREACHABLE);
            }
        }
        err = mln_is(taken, MLN_E_INVALID) ? taken : err;
        mln_arena_reset(arena);
    }
    (void)shutdown(attest->fd, SHUT_RDWR); /* who says nonsense is heard no more: it ends, and monitor starts another */
    mln_free(tell);
    mln_arena_free(arena);
    return NULL;
}

void core_attest_end(struct core_attest *attest)
{
    if (attest->has_thread) {
        (void)shutdown(attest->fd, SHUT_RDWR);
        (void)pthread_join(attest->thread, NULL);
        attest->has_thread = false;
    }
    mln_fd_drop(&attest->fd);
}

struct mln_err core_attest_attach(struct mln_cx *cx, struct core_attest *attest, struct mln_peers *peers, int fd)
{
    pthread_attr_t attr;
    core_attest_end(attest);
    mln_peers_end_all(peers);
    attest->peers = peers;
    attest->fd = fd;
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    attest->has_thread = pthread_create(&attest->thread, &attr, take_all, attest) == 0;
    (void)pthread_attr_destroy(&attr);
    if (!attest->has_thread) {
        mln_fd_drop(&attest->fd);
        return mln_fail(cx, MLN_E_MEMORY, "core: no thread for the attest process");
    }
    return MLN_OK;
}
