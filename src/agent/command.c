/* SPDX-License-Identifier: Apache-2.0 */
/* What is told that a file changed: a command, in a process group of its own with a time limit, or a process by a signal. */
#include "agent/agent_priv.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

/* The agent's environment without tokens: a command gets what it needs from the file. */
char **agent_environment(struct mln_cx *cx)
{
    static const char *const hidden[] = {"VAULT_TOKEN=", "BAO_TOKEN=", "MERLON_TOKEN="};
    size_t n = 0, kept = 0;
    while (environ[n] != NULL) {
        n++;
    }
    char **to = mln_new_array(cx, n + 1, sizeof(*to));
    for (size_t i = 0; to != NULL && i < n; i++) {
        bool is_hidden = false;
        for (size_t k = 0; k < MLN_COUNT(hidden); k++) {
            is_hidden =
                is_hidden || mln_bytes_starts(mln_bytes_of(environ[i]), mln_bytes_of(hidden[k]));
        }
        if (!is_hidden) {
            to[kept++] = environ[i];
        }
    }
    return to;
}

/* No blocked signals, nothing ignored, a group of its own so that a limit ends all of it. */
int agent_spawn(const char *const *argv, char **env, pid_t *ret)
{
    posix_spawnattr_t attr;
    sigset_t empty, all;
    sigemptyset(&empty);
    sigfillset(&all);
    int error = posix_spawnattr_init(&attr);
    if (error != 0) {
        return error;
    }
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    (void)posix_spawnattr_setsigmask(&attr, &empty);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setpgroup(&attr, 0);
    char *args[68];
    size_t n = 0;
    for (; argv[n] != NULL && n < MLN_COUNT(args) - 1; n++) {
        mln_copy(&args[n], &argv[n],
                 sizeof(args[n])); /* spawn takes them unchanged, and says char *const */
    }
    args[n] = NULL;
    error = posix_spawnp(ret, args[0], NULL, &attr, args, env);
    (void)posix_spawnattr_destroy(&attr);
    return error;
}

/* Until the child ends: SIGCHLD and the agent's own end are blocked signals that are waited for. */
static struct mln_err wait_for(struct mln_cx *cx, struct agent *agent, pid_t child, int64_t limit_s)
{
    int64_t end = mln_mono_ns() + limit_s * SECOND_NS;
    sigset_t set;
    int status = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    while (waitpid(child, &status, WNOHANG) == 0) {
        int64_t left = end - mln_mono_ns();
        if (left <= 0 || agent->stops) {
            (void)kill(-child, SIGKILL);
            (void)waitpid(child, &status, 0);
            return mln_fail(cx, agent->stops ? MLN_E_INTERRUPTED : MLN_E_TIMEOUT,
                            "the command was ended%s",
                            agent->stops ? " with the agent" : ": it took too long");
        }
        left = left < SECOND_NS / 5 ? left : SECOND_NS / 5;
        struct timespec step = {.tv_nsec = (long)left};
        int got = sigtimedwait(&set, NULL, &step);
        agent->stops = agent->stops || got == SIGTERM || got == SIGINT;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return MLN_OK;
    }
    return mln_fail(cx, MLN_E_INVALID,
                    WIFEXITED(status) ? "the command failed with %d"
                                      : "the command was ended by signal %d",
                    WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static struct mln_err send_signal(struct mln_cx *cx, const struct mln_agent_template *to)
{
    MLN_AUTO(mln_buf_drop) struct mln_buf text = {0};
    uint64_t pid = 0;
    MLN_TRY(mln_file_read_all(cx, to->signal_file, 64, &text));
    if (!mln_u64_parse(mln_bytes_trim(mln_buf_bytes(&text)), &pid) || pid < 2 || pid > INT32_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "%s holds no process's number", to->signal_file);
    }
    if (kill((pid_t)pid, to->signal) != 0) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "the process of %s cannot be told: %s",
                        to->signal_file, strerror(errno));
    }
    return MLN_OK;
}

/* The file stands already: what fails here is said and not tried again, as with consul-template. */
struct mln_err agent_notify(struct mln_cx *cx, struct agent *agent,
                            const struct mln_agent_template *to)
{
    struct mln_err err = MLN_OK;
    if (to->command != NULL) {
        char **env = agent_environment(cx);
        pid_t child = -1;
        MLN_TRY(mln_cx_err(cx));
        int error = agent_spawn(to->command, env, &child);
        err = error == 0 ? wait_for(cx, agent, child, to->command_timeout_s)
                         : mln_fail(cx, MLN_E_NOT_FOUND, "the command cannot be started: %s",
                                    strerror(error));
    }
    if (!mln_failed(err) && to->signal_file != NULL) {
        err = send_signal(cx, to);
    }
    if (mln_failed(err)) {
        mln_log(MLN_LOG_WARN, "agent", "%s: %s", to->destination, cx->text);
        mln_cx_clear(cx);
    }
    return MLN_OK;
}
