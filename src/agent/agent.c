/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's loop: log in or renew when it is time, render what is due, sleep until the next of these or a signal. Whatever fails
 * is said and tried again later, with growing pauses.
 */
#include "agent/agent_priv.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#define RENDER_BACKOFF_MAX_S 60

/* A piece of work in an arena of its own: wiped behind it. */
typedef struct mln_err (*work_fn)(struct mln_cx *cx, struct agent *agent, size_t i);

static struct mln_err work(struct agent *agent, work_fn fn, size_t i, char why[MLN_CX_TEXT_MAX])
{
    MLN_AUTO(mln_arena_drop) struct mln_arena *arena = mln_arena_new(AGENT_ARENA_BYTES, false);
    struct mln_cx cx;
    mln_cx_init(&cx, arena);
    struct mln_err err =
        arena != NULL ? fn(&cx, agent, i) : mln_fail(&cx, MLN_E_MEMORY, "out of memory");
    mln_copy(why, cx.text, MLN_CX_TEXT_MAX);
    return err;
}

static struct mln_err do_login(struct mln_cx *cx, struct agent *agent, size_t i)
{
    (void)i;
    return agent_login(cx, agent);
}

static struct mln_err do_renew(struct mln_cx *cx, struct agent *agent, size_t i)
{
    (void)i;
    return agent_renew(cx, agent);
}

static struct mln_err do_write(struct mln_cx *cx, struct agent *agent, size_t i)
{
    (void)i;
    return agent_write_sinks(cx, agent);
}

/* ---- the token ---- */

/* A failure of err is fatal only where the configuration wants that. */
static struct mln_err login_now(struct agent *agent, char why[MLN_CX_TEXT_MAX])
{
    const struct mln_agent_auth *auth = &agent->config->auth;
    struct mln_err err = work(agent, do_login, 0, why);
    if (!mln_failed(err)) {
        mln_log(MLN_LOG_INFO, "agent", "logged in");
        agent->failures = 0;
        agent_forget(agent, true);
        for (size_t i = 0; i < agent->config->n_templates; i++) {
            agent->rendered[i].due_ns =
                0; /* leases ended with the old token; what is kept costs no call */
        }
        return MLN_OK;
    }
    agent->failures++;
    int64_t pause = agent_backoff_ns(agent->failures, auth->min_backoff_s, auth->max_backoff_s);
    agent->act_ns = mln_mono_ns() + pause;
    mln_log(MLN_LOG_WARN, "agent", "cannot log in: %s; again in %lld s", why,
            (long long)((pause + SECOND_NS - 1) / SECOND_NS));
    return auth->exits_on_error ? err : MLN_OK;
}

/* Network trouble is waited out while the token lives; a refusal, or the end of its life, is answered by a login. */
static struct mln_err renew_now(struct agent *agent, char why[MLN_CX_TEXT_MAX])
{
    const struct mln_agent_auth *auth = &agent->config->auth;
    struct mln_err err = work(agent, do_renew, 0, why);
    if (!mln_failed(err)) {
        agent->failures = 0;
        mln_log(MLN_LOG_DEBUG, "agent", "token renewed");
        return MLN_OK;
    }
    bool is_final = mln_is(err, MLN_E_CONFLICT) || mln_is(err, MLN_E_DENIED) ||
                    mln_is(err, MLN_E_INVALID) || mln_is(err, MLN_E_NOT_FOUND);
    if (is_final) {
        return login_now(agent, why);
    }
    agent->failures++;
    int64_t next =
        mln_mono_ns() + agent_backoff_ns(agent->failures, auth->min_backoff_s, auth->max_backoff_s);
    agent->act_ns = next < agent->ends_ns ? next : agent->ends_ns;
    mln_log(MLN_LOG_WARN, "agent", "cannot renew the token: %s", why);
    return MLN_OK;
}

static struct mln_err tend_token(struct agent *agent, char why[MLN_CX_TEXT_MAX])
{
    int64_t now = mln_mono_ns();
    if (agent->config->auth.method == MLN_AGENT_NONE) {
        return MLN_OK;
    }
    if (now >= agent->act_ns) {
        bool may_renew = agent->has_token && agent->is_renewable && now < agent->ends_ns;
        MLN_TRY(may_renew ? renew_now(agent, why) : login_now(agent, why));
    }
    if (agent->has_token && !agent->is_written) {
        struct mln_err err = work(agent, do_write, 0, why);
        if (mln_failed(err)) {
            mln_log(MLN_LOG_ERROR, "agent", "cannot write the token: %s", why);
            return agent->config->exits_after_auth ? err : MLN_OK;
        }
    }
    return MLN_OK;
}

/* ---- leases of the proxy ---- */

/* errors: NOT_FOUND when nothing is due. */
static struct mln_err renew_one(struct mln_cx *cx, struct agent *agent, size_t i)
{
    struct mln_leased_due due;
    (void)i;
    if (!mln_leases_due(agent->leases, cx, &due)) {
        return mln_fail(cx, MLN_E_NOT_FOUND, "nothing is due");
    }
    MLN_TRY(mln_cx_err(cx));
    mln_leases_renewed(agent->leases, &due.key, agent_renew_lease(cx, agent, due.token, due.lease_id));
    return MLN_OK;
}

static void tend_leases(struct agent *agent)
{
    char why[MLN_CX_TEXT_MAX];
    while (agent->leases != NULL && !agent->stops && !mln_failed(work(agent, renew_one, 0, why))) {
        mln_log(MLN_LOG_DEBUG, "agent", "a lease of the proxy was renewed or forgotten");
    }
}

/* ---- templates ---- */

static struct mln_err render_due(struct agent *agent, char why[MLN_CX_TEXT_MAX])
{
    for (size_t i = 0; i < agent->config->n_templates && agent->has_token && !agent->stops; i++) {
        struct rendered *state = &agent->rendered[i];
        if (mln_mono_ns() < state->due_ns) {
            continue;
        }
        struct mln_err err = work(agent, agent_render, i, why);
        state->failures = mln_failed(err) ? state->failures + 1 : 0;
        if (mln_failed(err)) {
            state->due_ns =
                mln_mono_ns() + agent_backoff_ns(state->failures, 1, RENDER_BACKOFF_MAX_S);
            mln_log(MLN_LOG_WARN, "agent", "cannot render %s: %s",
                    agent_template_name(&agent->config->templates[i]), why);
            if (agent->config->exits_on_failure) {
                return err;
            }
        }
    }
    return MLN_OK;
}

static void read_again(struct agent *agent)
{
    char why[MLN_CX_TEXT_MAX];
    mln_log(MLN_LOG_INFO, "agent", "reading the templates again");
    agent_forget(agent, false);
    for (size_t i = 0; i < agent->config->n_templates; i++) {
        if (mln_failed(work(agent, agent_read_template, i, why))) {
            mln_log(MLN_LOG_ERROR, "agent", "%s: the old text stays", why);
        }
        agent->rendered[i].due_ns = 0;
    }
}

/* ---- the loop ---- */

static bool is_all_done(const struct agent *agent)
{
    for (size_t i = 0; i < agent->config->n_templates; i++) {
        if (!agent->rendered[i].is_done) {
            return false;
        }
    }
    return agent->has_token && (agent->is_written || agent->config->n_sinks == 0);
}

static int64_t next_ns(const struct agent *agent)
{
    int64_t next = agent->config->auth.method != MLN_AGENT_NONE ? agent->act_ns : INT64_MAX;
    if (agent->leases != NULL) {
        int64_t due = mln_leases_next_ns(agent->leases);
        next = due < next ? due : next;
    }
    for (size_t i = 0; i < agent->config->n_templates && agent->has_token; i++) {
        next = agent->rendered[i].due_ns < next ? agent->rendered[i].due_ns : next;
    }
    if (agent->has_token &&
        !agent->is_written) { /* the disk was full, or the folder is not there yet */
        int64_t soon = mln_mono_ns() + SECOND_NS;
        next = soon < next ? soon : next;
    }
    return next;
}

static void wait_for_more(struct agent *agent, const sigset_t *set)
{
    int64_t left = next_ns(agent) - mln_mono_ns();
    left = left < 0 ? 0 : left > 3600 * SECOND_NS ? 3600 * SECOND_NS : left;
    struct timespec time = {.tv_sec = (time_t)(left / SECOND_NS),
                            .tv_nsec = (long)(left % SECOND_NS)};
    int got = sigtimedwait(set, NULL, &time);
    agent->stops = agent->stops || got == SIGTERM || got == SIGINT;
    if (got == SIGHUP) {
        read_again(agent);
    }
}

static struct mln_err loop(struct mln_cx *cx, struct agent *agent, const sigset_t *set)
{
    char why[MLN_CX_TEXT_MAX] = "";
    while (!agent->stops) {
        struct mln_err err = tend_token(agent, why);
        err = mln_failed(err) ? err : render_due(agent, why);
        tend_leases(agent);
        bool has_program = agent->config->exec.command != NULL;
        err = mln_failed(err) || !has_program ? err : work(agent, agent_exec_tend, 0, why);
        if (mln_failed(err)) {
            return mln_fail(cx, (enum mln_code)err.code, "%s", why);
        }
        if (agent->stops || (agent->config->exits_after_auth && !has_program && is_all_done(agent))) {
            return MLN_OK;
        }
        wait_for_more(agent, set);
    }
    mln_log(MLN_LOG_INFO, "agent", "ending");
    return MLN_OK;
}

static void agent_free(struct agent *agent)
{
    agent_exec_stop(agent);
    agent_unlisten(agent);
    agent_cache_drop(agent);
    mln_leases_free(agent->leases);
    for (size_t i = 0; agent->rendered != NULL && i < agent->config->n_templates; i++) {
        mln_buf_drop(&agent->rendered[i].text);
        mln_buf_drop(&agent->rendered[i].output);
    }
    mln_free(agent->rendered);
    mln_buf_drop(&agent->token);
    mln_buf_drop(&agent->secret_id);
    (void)pthread_mutex_destroy(&agent->lock);
    mln_free(agent);
}

static void agent_drop(struct agent **agent)
{
    if (*agent != NULL) {
        agent_free(*agent);
    }
    *agent = NULL;
}

static struct mln_err agent_new(struct mln_cx *cx, const struct mln_agent_config *config,
                                struct agent **ret)
{
    struct agent *agent = mln_alloc(sizeof(*agent));
    if (agent == NULL || pthread_mutex_init(&agent->lock, NULL) != 0) {
        mln_free(agent);
        return mln_fail(cx, MLN_E_MEMORY, "out of memory");
    }
    agent->config = config;
    agent->stop_fd = -1;
    agent->token.is_secret = agent->secret_id.is_secret = true;
    agent->rendered = mln_alloc_array(config->n_templates + 1, sizeof(*agent->rendered));
    *ret = agent;
    return agent->rendered != NULL ? MLN_OK : mln_fail(cx, MLN_E_MEMORY, "out of memory");
}

static struct mln_err write_pid(struct mln_cx *cx, const char *path)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    return path != NULL ? mln_file_replace(cx, path, mln_bytes_at(text, (size_t)n), 0644, false)
                        : MLN_OK;
}

struct mln_err mln_agent_run(struct mln_cx *cx, const struct mln_agent_config *config, int *ret_exit)
{
    MLN_AUTO(agent_drop) struct agent *agent = NULL;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2); /* the proxy has more to renew */
    sigset_t blocked = set;
    sigaddset(&blocked, SIGCHLD);
    if (config->exec.command != NULL) {
        sigaddset(&set, SIGCHLD);
    }
    if (pthread_sigmask(SIG_BLOCK, &blocked, NULL) != 0) {
        return mln_fail(cx, MLN_E_INTERNAL, "signals cannot be blocked");
    }
#ifndef MLN_SANITIZED
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0,
                0); /* no core with tokens, no reader of its memory of the same user */
#endif
    MLN_TRY(agent_new(cx, config, &agent));
    for (size_t i = 0; i < config->n_templates; i++) {
        MLN_TRY(agent_read_template(cx, agent, i));
    }
    agent->main = pthread_self();
    MLN_TRY(config->caches ? mln_leases_new(cx, &agent->leases) : MLN_OK);
    MLN_TRY(agent_listen(cx, agent));
    MLN_TRY(write_pid(cx, config->pid_file));
    struct mln_err err = loop(cx, agent, &set);
    if (config->pid_file != NULL) {
        (void)unlink(config->pid_file);
    }
    *ret_exit = mln_failed(err) ? 0 : agent->exit_code;
    return err;
}
