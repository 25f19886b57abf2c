/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of policies alone: one process, the threads of front, no core behind it. Policies and documents are read before;
 * when the first byte comes the process is in front's sandbox.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/rego.h"
#include "base/io.h"
#include "base/log.h"
#include "main/main_priv.h"

#define THREADS_MOST 64
#define IDLE_NS ((int64_t)300000000000) /* clients of policies keep connections for long */

static unsigned threads_of(const struct mln_rego_server_options *options)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    long n = options->threads > 0 ? (long)options->threads : cpus > 0 ? cpus : 1;
    return (unsigned)(n < THREADS_MOST ? n : THREADS_MOST);
}

/* Readable when the process shall stop. */
static struct mln_err watch_signals(struct mln_cx *cx, int *ret)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "signals cannot be blocked");
    }
    *ret = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret >= 0 ? MLN_OK : mln_fail(cx, MLN_E_INTERNAL, "no descriptor for signals");
}

static struct mln_err serve(struct mln_cx *cx, const struct mln_rego_server_options *options, int *ret_code)
{
    MLN_AUTO(mln_rego_state_drop) struct mln_rego_state *state = NULL;
    MLN_AUTO(mln_fd_drop) int fd = -1, stop_fd = -1;
    const char *url = NULL;
    MLN_TRY(mln_rego_state_new(cx, options, &state));
    MLN_TRY(server_listen(cx, options->address, &fd, &url));
    MLN_TRY(watch_signals(cx, &stop_fd));
    raise_descriptors();
    MLN_TRY(drop_root(cx));
    harden_process();
    mln_log(MLN_LOG_INFO, "rego", "serving policies at %s", url);
    struct mln_front_listener listener = {.fd = fd};
    struct mln_front_config config = {
        .n_rings = threads_of(options),
        .listeners = &listener,
        .n_listeners = 1,
        .api = &mln_rego_api,
        .local = {.answer = mln_rego_answer_http, .arg = state},
        .stop_fd = stop_fd,
        .peer_fd = -1,
        .state_fd = -1,
        .idle_ns = IDLE_NS,
        .body_max = MLN_REGO_BODY_MAX,
    };
    *ret_code = mln_front_main(&config);
    return MLN_OK;
}

struct mln_err rego_run(struct mln_cx *cx, const struct mln_rego_server_options *options, int *ret_code)
{
    enum mln_log_level level = MLN_LOG_INFO;
    if (options->log_level != NULL && !mln_log_level_parse(mln_bytes_of(options->log_level), &level)) {
        return mln_fail(cx, MLN_E_USAGE, "--log-level is error, warn, info or debug");
    }
    bool is_json = options->log_format != NULL && mln_bytes_starts(mln_bytes_of(options->log_format), MLN_BYTES("json"));
    mln_log_setup("rego", level, is_json ? MLN_LOG_JSON : MLN_LOG_TEXT);
    return serve(cx, options, ret_code);
}
