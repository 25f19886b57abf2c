/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's configuration: templates, and the program that runs with secrets in its environment. */
#include "agent/config_priv.h"

#include <signal.h>

#include "base/text.h"

#define COMMAND_ARGS_MAX 64u

/* ---- template { } ---- */

/* A text goes to /bin/sh; a list is a program and its arguments. */
static struct mln_err get_command(struct mln_cx *cx, const struct mln_value *v,
                                  const char *const **ret)
{
    size_t n = mln_type_of(v) == MLN_ARRAY ? mln_len(v) : 3;
    if (mln_is_null(v) || (mln_type_of(v) == MLN_STRING && mln_len(v) == 0)) {
        return MLN_OK;
    }
    if ((mln_type_of(v) != MLN_STRING && mln_type_of(v) != MLN_ARRAY) || n == 0 ||
        n > COMMAND_ARGS_MAX) {
        return mln_fail(cx, MLN_E_INVALID, "'command' must be a text or a list of 1 to %u texts",
                        COMMAND_ARGS_MAX);
    }
    const char **argv = mln_new_array(cx, n + 1, sizeof(*argv));
    MLN_TRY(mln_cx_err(cx));
    if (mln_type_of(v) == MLN_STRING) {
        argv[0] = "/bin/sh";
        argv[1] = "-c";
        argv[2] = mln_get_text(cx, v, NULL);
    }
    for (size_t i = 0; mln_type_of(v) == MLN_ARRAY && i < n; i++) {
        argv[i] = mln_get_text(cx, mln_item(v, i), NULL);
    }
    for (size_t i = 0; i < n; i++) {
        if (argv[i] == NULL) {
            return mln_fail(cx, MLN_E_INVALID, "'command' must be a text or a list of texts");
        }
    }
    *ret = argv;
    return MLN_OK;
}

static struct mln_err get_signal(struct mln_cx *cx, const struct mln_value *from, const char *name,
                                 int *ret)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"HUP", SIGHUP}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"INT", SIGINT},
                   {"TERM", SIGTERM}, {"QUIT", SIGQUIT}, {"KILL", SIGKILL}};
    const char *given = NULL;
    MLN_TRY(conf_text(cx, from, name, &given));
    if (given == NULL) {
        return MLN_OK;
    }
    struct mln_bytes text = mln_bytes_of(given);
    text = mln_bytes_from(text, mln_bytes_starts(text, MLN_BYTES("SIG")) ? 3 : 0);
    for (size_t i = 0; i < MLN_COUNT(signals); i++) {
        if (mln_bytes_is(text, signals[i].name)) {
            *ret = signals[i].number;
            return MLN_OK;
        }
    }
    return mln_fail(cx, MLN_E_INVALID, "'%s' must be HUP, USR1, USR2, INT, TERM, QUIT or KILL", name);
}

/* notify { pid_file = "/run/nginx.pid" signal = "HUP" } */
static struct mln_err get_notify(struct reading *r, const struct mln_value *v,
                                 struct mln_agent_template *to)
{
    static const char *const known[] = {"pid_file", "signal", NULL};
    if (mln_is_null(v)) {
        return MLN_OK;
    }
    MLN_TRY(conf_keys(r, "template.notify", v, known, conf_none));
    MLN_TRY(conf_need(r->cx, v, "pid_file", &to->signal_file));
    to->signal = SIGHUP;
    return get_signal(r->cx, v, "signal", &to->signal);
}

/* exec { command = [...] timeout = "30s" } is the newer form of command and command_timeout. */
static struct mln_err get_exec(struct reading *r, const struct mln_value *body,
                               struct mln_agent_template *to)
{
    static const char *const known[] = {"command", "timeout", NULL};
    const struct mln_value *exec = mln_get(body, "exec");
    to->command_timeout_s = 30;
    MLN_TRY(conf_duration(r->cx, body, "command_timeout", &to->command_timeout_s));
    MLN_TRY(get_command(r->cx, mln_get(body, "command"), &to->command));
    if (mln_is_null(exec)) {
        return MLN_OK;
    }
    if (to->command != NULL) {
        return mln_fail(r->cx, MLN_E_INVALID, "a template has either 'command' or 'exec'");
    }
    MLN_TRY(conf_keys(r, "template.exec", exec, known, conf_none));
    MLN_TRY(conf_duration(r->cx, exec, "timeout", &to->command_timeout_s));
    return get_command(r->cx, mln_get(exec, "command"), &to->command);
}

static struct mln_err get_source(struct reading *r, const struct mln_value *body,
                                 struct mln_agent_template *to)
{
    const struct mln_value *left = mln_get(body, "left_delimiter"),
                           *right = mln_get(body, "right_delimiter");
    MLN_TRY(conf_text(r->cx, body, "source", &to->source));
    to->contents = mln_get_bytes(mln_get(body, "contents"));
    if ((to->source != NULL) == (to->contents.len > 0)) {
        return mln_fail(r->cx, MLN_E_INVALID, "a template has either 'source' or 'contents'");
    }
    if ((!mln_is_null(left) && !mln_is_text(left, "{{")) ||
        (!mln_is_null(right) && !mln_is_text(right, "}}"))) {
        return mln_fail(r->cx, MLN_E_UNSUPPORTED,
                        "'template': other delimiters than {{ and }} are not supported");
    }
    return conf_flag(r->cx, body, "error_on_missing_key", &to->fails_on_missing);
}

static struct mln_err next_template(struct reading *r, struct mln_agent_template **ret)
{
    if (r->out->n_templates == MLN_AGENT_TEMPLATES_MAX) {
        return mln_fail(r->cx, MLN_E_INVALID, "more than %u templates", MLN_AGENT_TEMPLATES_MAX);
    }
    *ret = &r->out->templates[r->out->n_templates++];
    return MLN_OK;
}

static struct mln_err take_template(struct reading *r, struct mln_bytes label,
                                    const struct mln_value *body)
{
    static const char *const known[] = {"source", "contents", "destination", "perms", "command",
                                        "command_timeout", "exec", "notify", "error_on_missing_key",
                                        "create_dest_dirs", "left_delimiter", "right_delimiter",
                                        "backup", NULL};
    static const char *const quiet[] = {"wait", NULL};
    struct mln_agent_template *to = NULL;
    bool keeps_old = false;
    (void)label;
    MLN_TRY(next_template(r, &to));
    MLN_TRY(conf_keys(r, "template", body, known, quiet));
    MLN_TRY(conf_need(r->cx, body, "destination", &to->destination));
    MLN_TRY(get_source(r, body, to));
    MLN_TRY(conf_mode(r->cx, body, "perms", &to->mode));
    MLN_TRY(get_exec(r, body, to));
    MLN_TRY(get_notify(r, mln_get(body, "notify"), to));
    to->makes_dirs = true;
    MLN_TRY(conf_flag(r->cx, body, "create_dest_dirs", &to->makes_dirs));
    MLN_TRY(conf_flag(r->cx, body, "backup", &keeps_old));
    return keeps_old ? mln_fail(r->cx, MLN_E_UNSUPPORTED,
                                "'template.backup': old secrets are not kept")
                     : MLN_OK;
}

/* ---- env_template "NAME" { }, exec { } ---- */

static bool is_name(struct mln_bytes text)
{
    bool is_good = text.len > 0 && text.len <= 255 && !(text.ptr[0] >= '0' && text.ptr[0] <= '9');
    for (size_t i = 0; i < text.len && is_good; i++) {
        uint8_t c = text.ptr[i];
        is_good = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
    }
    return is_good;
}

static struct mln_err take_env_template(struct reading *r, struct mln_bytes label,
                                        const struct mln_value *body)
{
    static const char *const known[] = {"source", "contents", "error_on_missing_key",
                                        "left_delimiter", "right_delimiter", NULL};
    static const char *const quiet[] = {"wait", NULL};
    struct mln_agent_template *to = NULL;
    MLN_TRY(next_template(r, &to));
    MLN_TRY(conf_keys(r, "env_template", body, known, quiet));
    to->env = mln_text_dup(r->cx, label);
    if (!is_name(label)) {
        return mln_fail(r->cx, MLN_E_INVALID,
                        "'env_template' needs the name of a variable: env_template \"NAME\" { }");
    }
    return get_source(r, body, to);
}

static struct mln_err take_exec(struct reading *r, const struct mln_value *all)
{
    static const char *const known[] = {"command", "restart_on_secret_changes",
                                        "restart_stop_signal", NULL};
    const struct mln_value *from = mln_get(all, "exec");
    struct mln_agent_exec *to = &r->out->exec;
    const char *restarts = "always";
    if (mln_type_of(from) == MLN_ARRAY && mln_len(from) == 1) { /* as JSON has blocks */
        from = mln_item(from, 0);
    }
    if (mln_is_null(from)) {
        return MLN_OK;
    }
    MLN_TRY(conf_keys(r, "exec", from, known, conf_none));
    MLN_TRY(get_command(r->cx, mln_get(from, "command"), &to->command));
    MLN_TRY(conf_text(r->cx, from, "restart_on_secret_changes", &restarts));
    to->stays = mln_bytes_is(mln_bytes_of(restarts), "never");
    to->stop_signal = SIGTERM;
    MLN_TRY(get_signal(r->cx, from, "restart_stop_signal", &to->stop_signal));
    if (!to->stays && !mln_bytes_is(mln_bytes_of(restarts), "always")) {
        return mln_fail(r->cx, MLN_E_INVALID,
                        "'exec.restart_on_secret_changes' must be \"always\" or \"never\"");
    }
    return to->command != NULL ? MLN_OK
                               : mln_fail(r->cx, MLN_E_INVALID, "'exec' needs a 'command'");
}

static struct mln_err take_template_config(struct reading *r, const struct mln_value *all)
{
    static const char *const known[] = {"static_secret_render_interval", "exit_on_retry_failure",
                                        NULL};
    static const char *const quiet[] = {"max_connections_per_host", NULL};
    const struct mln_value *from = mln_get(all, "template_config");
    r->out->interval_s = 300;
    if (mln_is_null(from)) {
        return MLN_OK;
    }
    MLN_TRY(conf_keys(r, "template_config", from, known, quiet));
    MLN_TRY(conf_duration(r->cx, from, "static_secret_render_interval", &r->out->interval_s));
    return conf_flag(r->cx, from, "exit_on_retry_failure", &r->out->exits_on_failure);
}

struct mln_err conf_templates(struct reading *r, const struct mln_value *all)
{
    MLN_TRY(take_template_config(r, all));
    MLN_TRY(conf_blocks(r, all, "template", false, take_template));
    size_t n_files = r->out->n_templates;
    MLN_TRY(conf_blocks(r, all, "env_template", true, take_env_template));
    MLN_TRY(take_exec(r, all));
    bool has_env = r->out->n_templates > n_files;
    if (has_env && n_files > 0) {
        return mln_fail(r->cx, MLN_E_INVALID, "'env_template' and 'template' exclude each other");
    }
    if (has_env != (r->out->exec.command != NULL)) {
        return mln_fail(r->cx, MLN_E_INVALID, "'env_template' and 'exec' need each other");
    }
    return MLN_OK;
}
