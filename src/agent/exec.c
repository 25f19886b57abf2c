/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program that runs with secrets in its environment: started when every variable was rendered once, told to end and started anew
 * when one changed. When it ends by itself, so does the agent, with its exit code.
 */
#include "agent/agent_priv.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define STOP_LIMIT_NS (30 * SECOND_NS) /* from the signal to SIGKILL */

static bool is_replaced(const struct agent *agent, const char *pair)
{
    struct mln_bytes rest, name = mln_bytes_cut(mln_bytes_of(pair), '=', &rest);
    for (size_t i = 0; i < agent->config->n_templates; i++) {
        if (mln_bytes_is(name, agent->config->templates[i].env)) {
            return true;
        }
    }
    return false;
}

/* The agent's environment with the rendered variables. A NUL would end a variable early: refused. */
static struct mln_err environment(struct mln_cx *cx, struct agent *agent, char ***ret)
{
    char **own = agent_environment(cx);
    size_t n = 0, kept = 0;
    MLN_TRY(mln_cx_err(cx));
    while (own[n] != NULL) {
        n++;
    }
    char **to = mln_new_array(cx, n + agent->config->n_templates + 1, sizeof(*to));
    MLN_TRY(mln_cx_err(cx));
    for (size_t i = 0; i < n; i++) {
        if (!is_replaced(agent, own[i])) {
            to[kept++] = own[i];
        }
    }
    for (size_t i = 0; i < agent->config->n_templates; i++) {
        struct mln_bytes value = mln_buf_bytes(&agent->rendered[i].output);
        const char *name = agent->config->templates[i].env;
        if (mln_bytes_find(value, 0) < value.len) {
            return mln_fail(cx, MLN_E_INVALID, "the value of %s has a NUL byte", name);
        }
        struct mln_bytes pair = mln_bytes_format(cx, "%s=%.*s", name, MLN_FMT(value));
        MLN_TRY(mln_cx_err(cx));
        to[kept++] = mln_new(cx, pair.len + 1);
        MLN_TRY(mln_cx_err(cx));
        mln_copy(to[kept - 1], pair.ptr, pair.len);
    }
    *ret = to;
    return MLN_OK;
}

static bool is_rendered(const struct agent *agent)
{
    for (size_t i = 0; i < agent->config->n_templates; i++) {
        if (!agent->rendered[i].is_done) {
            return false;
        }
    }
    return true;
}

static void note_end(struct agent *agent, int status)
{
    agent->child = 0;
    agent->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    mln_log(MLN_LOG_INFO, "agent", "the program ended with %d", agent->exit_code);
}

void agent_exec_stop(struct agent *agent)
{
    int64_t end = mln_mono_ns() + STOP_LIMIT_NS;
    sigset_t set;
    int status = 0;
    if (agent->child <= 0) {
        return;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    (void)kill(-agent->child, agent->config->exec.stop_signal);
    while (waitpid(agent->child, &status, WNOHANG) == 0) {
        if (mln_mono_ns() >= end) {
            mln_log(MLN_LOG_WARN, "agent", "the program did not end: it is killed");
            (void)kill(-agent->child, SIGKILL);
            (void)waitpid(agent->child, &status, 0);
            break;
        }
        struct timespec step = {.tv_nsec = SECOND_NS / 5};
        (void)sigtimedwait(&set, NULL, &step);
    }
    agent->child = 0;
}

struct mln_err agent_exec_tend(struct mln_cx *cx, struct agent *agent, size_t i)
{
    const struct mln_agent_exec *exec = &agent->config->exec;
    int status = 0;
    char **env = NULL;
    (void)i;
    if (agent->child > 0 && waitpid(agent->child, &status, WNOHANG) == agent->child) {
        note_end(agent, status);
        agent->stops = true;
        return MLN_OK;
    }
    if (!agent->is_env_new || agent->stops || !is_rendered(agent) || (agent->child > 0 && exec->stays)) {
        return MLN_OK;
    }
    MLN_TRY(environment(cx, agent, &env));
    if (agent->child > 0) {
        mln_log(MLN_LOG_INFO, "agent", "a variable changed: the program is started anew");
        agent_exec_stop(agent);
    }
    agent->is_env_new = false;
    int error = agent_spawn(exec->command, env, &agent->child);
    if (error != 0) {
        agent->child = 0;
        return mln_fail(cx, MLN_E_NOT_FOUND, "%s cannot be started: %s", exec->command[0], strerror(error));
    }
    return MLN_OK;
}
