/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running agent. One thread logs in, renews and renders; each connection to the proxy has a thread of its own, and they share
 * nothing but the token, which is behind `lock`.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "agent/agent.h"
#include "agent/leases.h"
#include "base/buf.h"
#include "net/client.h"

#define AGENT_CALL_NS         ((int64_t)15000000000) /* of one own call: what a stop waits for at most */
#define AGENT_ARENA_BYTES     ((size_t)256 << 20) /* a rendering with all its secrets */
#define AGENT_CREDENTIAL_MAX  (64u << 10)         /* a token, an ID, a JWT in a file */
#define AGENT_CACHE_MAX       1024u /* answers kept for templates; more: all are read anew */
#define AGENT_CONNECTIONS_MAX 64u   /* of the proxy: a thread each */
#define SECOND_NS             ((int64_t)1000000000)

struct cached {
    struct mln_buf key, answer; /* both may hold secrets; an answer is JSON */
    struct mln_buf lease_id;    /* of a lease that may be renewed; empty = none */
    int64_t due_ns, full_s;     /* full_s: the lease's time when it was new */
    bool is_leased, is_write;
};

struct rendered {
    struct mln_buf text;   /* the template */
    struct mln_buf output; /* of a variable: its value */
    int64_t due_ns;
    unsigned failures;
    bool is_done; /* at least once */
};

struct agent {
    const struct mln_agent_config *config;
    pthread_mutex_t lock;
    struct mln_buf token;    /* under lock; empty = none */
    int64_t ends_ns, act_ns; /* monotonic: the token's end; when to renew it or to log in */
    int64_t full_s;          /* its time to live when it was new; 0 = for ever */
    bool is_renewable, has_token, is_written;
    unsigned failures;
    struct mln_buf secret_id; /* or the JWT: kept once its file was removed */
    struct cached cache[AGENT_CACHE_MAX];
    size_t n_cached;
    struct rendered *rendered; /* one a template */
    bool stops;
    /* the program of exec */
    pid_t child; /* 0 = none */
    int exit_code;
    bool is_env_new; /* a variable was rendered anew since the program was started */
    /* the proxy */
    struct mln_leases *leases; /* NULL: no cache */
    pthread_t main;            /* told by SIGUSR2 that there is more to renew */
    int stop_fd; /* readable when the agent stops */
    int listen_fds[MLN_AGENT_LISTENERS_MAX];
    pthread_t threads[MLN_AGENT_LISTENERS_MAX];
    size_t n_listening;
    atomic_uint n_connections;
};

/* ---- calls (agent_call.c) ---- */
struct agent_ask {
    const char *method, *target; /* "/v1/..." */
    struct mln_bytes token;      /* empty = none */
    const char *ns;              /* NULL = none */
    const struct mln_value *body;
};
/* The server's answer as a value, null when it is empty. errors: the server's own text and what errors.def has for its status */
struct mln_err agent_call(struct mln_cx *cx, const struct mln_agent_server *server,
                          const struct agent_ask *ask, const struct mln_value **ret);
struct mln_err agent_client(struct mln_cx *cx, const struct mln_agent_server *server,
                            int64_t timeout_ns, struct mln_client **ret);
struct mln_bytes agent_token(struct mln_cx *cx,
                             struct agent *agent); /* a copy in the arena of cx */
/* min * 2^failures up to max, 75 to 100 % of it so that a thousand agents do not come at once */
int64_t agent_backoff_ns(unsigned failures, int64_t min_s, int64_t max_s);

/* ---- the token (auth.c) ---- */
struct mln_err agent_login(struct mln_cx *cx, struct agent *agent);
struct mln_err agent_renew(struct mln_cx *cx, struct agent *agent);
/* Renew a lease, or the token itself when lease_id is empty. The seconds that it has then; 0: refused; -1: the server was not reached. */
int64_t agent_renew_lease(struct mln_cx *cx, struct agent *agent, struct mln_bytes token, struct mln_bytes lease_id);
struct mln_err agent_write_sinks(struct mln_cx *cx, struct agent *agent);

/* ---- templates (render.c, command.c) ---- */
struct mln_err agent_read_template(struct mln_cx *cx, struct agent *agent,
                                   size_t i); /* its text; parsed to see that it is one */
struct mln_err agent_render(struct mln_cx *cx, struct agent *agent,
                            size_t i);                    /* sets due_ns when it went well */
const char *agent_template_name(const struct mln_agent_template *t); /* its file or its variable */
void agent_forget(struct agent *agent, bool only_leased); /* what may be read again */
void agent_cache_drop(struct agent *agent);
struct mln_err agent_notify(struct mln_cx *cx, struct agent *agent,
                            const struct mln_agent_template *to);

/* ---- programs (command.c, exec.c) ---- */
char **agent_environment(struct mln_cx *cx); /* the agent's own, without tokens */
int agent_spawn(const char *const *argv, char **env, pid_t *ret); /* in a process group of its own; an errno */
struct mln_err agent_exec_tend(struct mln_cx *cx, struct agent *agent, size_t i); /* start, start anew, notice its end; i is not used */
void agent_exec_stop(struct agent *agent);

/* ---- the proxy (proxy.c, proxy_conn.c) ---- */
struct mln_err agent_listen(struct mln_cx *cx, struct agent *agent);
void agent_unlisten(struct agent *agent); /* and waits for the connections */
struct connection {
    struct agent *agent;
    const struct mln_agent_listener *listener;
    int fd;
};
void agent_serve(struct connection *c); /* until the client or the agent ends it */
