/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: logs a workload in, keeps its token alive, writes it to sinks, renders templates, and stands as a proxy in front of
 * the server. Its configuration is that of Vault's agent, or the same words as YAML; see docs/agent.md.
 */
#pragma once

#include "base/value.h"

#define MLN_AGENT_CONFIG_MAX    ((size_t)1 << 20) /* contents of templates may stand in it */
#define MLN_AGENT_SINKS_MAX     16u
#define MLN_AGENT_TEMPLATES_MAX 256u
#define MLN_AGENT_LISTENERS_MAX 16u

enum mln_agent_method {
    MLN_AGENT_NONE,
    MLN_AGENT_APPROLE,
    MLN_AGENT_JWT,
    MLN_AGENT_KUBERNETES,
    MLN_AGENT_CERT,
    MLN_AGENT_TOKEN_FILE
};

struct mln_agent_server {
    const char *address, *ca_cert, *client_cert, *client_key, *server_name,
        *ns; /* NULL = not set */
    bool skips_verify;
};
struct mln_agent_auth {
    enum mln_agent_method method;
    const char *mount;     /* "auth/approle" */
    const char *ns;        /* of the method; NULL = the server's */
    const char *role;      /* jwt, kubernetes, cert (its name); NULL */
    const char *file;      /* role ID, JWT, service account's token, token */
    const char *secret_id; /* approle's file; NULL = a role without */
    const char *wrap_path; /* approle: the secret ID is wrapped, and was made at this path; NULL */
    bool removes;          /* the secret ID's or the JWT's file, once read */
    bool exits_on_error;   /* instead of trying again */
    struct mln_agent_server client; /* cert: with which certificate; address is not used */
    int64_t min_backoff_s, max_backoff_s;
};
struct mln_agent_sink {
    const char *path;
    unsigned mode;
};
struct mln_agent_template {
    const char *source; /* file, or NULL: then contents */
    struct mln_bytes contents;
    const char *destination; /* NULL: of the environment */
    const char *env;         /* name of a variable of the program that runs; NULL: a file */
    unsigned mode;              /* 0 = as the file has it, 0600 for a new one */
    const char *const *command; /* argv with NULL at its end; NULL = none */
    int64_t command_timeout_s;
    const char *signal_file; /* pid file of who gets the signal; NULL */
    int signal;
    bool fails_on_missing, makes_dirs;
};
struct mln_agent_listener {
    const char *address; /* path, or host:port */
    bool is_unix, needs_header;
    unsigned mode; /* of the socket */
};
struct mln_agent_exec {
    const char *const *command; /* argv with NULL at its end; NULL = none */
    bool stays;                 /* is not started anew when a variable changed */
    int stop_signal;
};
enum mln_agent_proxy { MLN_AGENT_PASS, MLN_AGENT_ADD, MLN_AGENT_FORCE };

struct mln_agent_config {
    struct mln_agent_server server;
    struct mln_agent_auth auth;
    struct mln_agent_sink sinks[MLN_AGENT_SINKS_MAX];
    size_t n_sinks;
    struct mln_agent_template *templates;
    size_t n_templates;
    struct mln_agent_exec exec; /* with templates of the environment only */
    struct mln_agent_listener listeners[MLN_AGENT_LISTENERS_MAX];
    size_t n_listeners;
    enum mln_agent_proxy proxy;
    bool caches; /* answers with a lease or a token */
    bool exits_after_auth,
        exits_on_failure; /* a template that fails: end, instead of trying again */
    int64_t interval_s;   /* how often secrets without a lease are read */
    const char *pid_file;
};

/*
 * text: HCL or JSON (HCL's other form), or YAML when is_yaml. Everything in ret is in the arena of cx. warnings: array, gets texts.
 * errors PARSE, INVALID, UNSUPPORTED (what would be lost if it were passed over), naming the key
 */
struct mln_err mln_agent_config_parse(struct mln_cx *cx, struct mln_bytes text, bool is_yaml,
                                      struct mln_agent_config *ret, struct mln_value *warnings);

/*
 * Runs until SIGTERM or SIGINT, until all is done once with exits_after_auth, or until the program of `exec` ends: *ret_exit is its exit
 * code then (128 and the signal's number), else 0. Blocks signals: for a process of its own.
 */
struct mln_err mln_agent_run(struct mln_cx *cx, const struct mln_agent_config *config, int *ret_exit);
